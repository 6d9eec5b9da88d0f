"""A language model's tokenizer for texts that stand alone: what reads on with its weights."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import numpy as np

from elman.text.cleaning import normalise, without_surrogates
from elman.text.tokenizer.protocol import Encoded, Level, Saved, joined, written
from elman.text.tokenizer.reversible import TextCoder, load_coder


class CodedTokenizer:
    """One token a token of a language model, in normalisation form C, with its case.

    Before each text stands what stood before the texts that the language model has learnt from, so
    that the first token is read as there.

    Args:
        coder: the language model's tokenizer.
        before: the id that stands before a text.
        max_length: longer texts are truncated to so many tokens, ``before`` not counted.
    """

    def __init__(self, coder: TextCoder, *, before: int, max_length: int):
        self.coder = coder
        self.before = before
        self.max_length = max_length

    @property
    def level(self) -> Level:
        """What a token is."""
        return self.coder.level

    @property
    def vocab_size(self) -> int:
        """Number of ids, the two special ones included."""
        return self.coder.vocab_size

    def encode(self, texts: Sequence[str]) -> Encoded:
        """Return the token ids of ``texts``; a text of blanks alone has none."""
        values: list[np.ndarray] = []
        longer = []
        before = np.array([self.before], dtype=np.int32)
        lengths = np.zeros(len(texts), dtype=np.int64)
        for row, text in enumerate(_readable(texts)):
            if not text.strip():
                continue
            ids = self.coder.encode(text)
            if len(ids) > self.max_length:
                longer.append(row)
            values += [before, ids[: self.max_length]]
            lengths[row] = 1 + min(len(ids), self.max_length)
        return Encoded(joined(values, np.int32), lengths, longer)

    def split(self, text: str) -> list[str]:
        """Return the pieces of ``text``, in form C, that ``encode`` numbers.

        Of tokens that share a character the last one has it, and the others are not there.
        """
        [text] = _readable([text])
        if not text.strip():
            return []
        return [piece for piece in self.coder.pieces(text)[: self.max_length] if piece]

    def to_json(self) -> bytes:
        """Return the tokenizer as JSON, from which ``load_tokenizer`` restores it."""
        coder = msgspec.json.decode(self.coder.to_json())
        return written(Saved(self.level, self.max_length, coder=coder, before=self.before))

    @classmethod
    def from_saved(cls, saved: Saved) -> CodedTokenizer:
        """Restore what ``to_json`` wrote."""
        coder = load_coder(msgspec.json.encode(saved.coder))
        if coder.level != saved.level or not 0 <= saved.before < coder.vocab_size:
            raise ValueError("the coder is another one")
        return cls(coder, before=saved.before, max_length=saved.max_length)


def _readable(texts: Sequence[str]) -> list[str]:
    return [normalise(text) for text in without_surrogates(texts)]
