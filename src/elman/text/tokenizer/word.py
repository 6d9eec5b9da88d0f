"""One token a word; and what the tokenizers by pieces of words take over from that."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import islice
from typing import Any, ClassVar, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from elman.text.cleaning import without_surrogates
from elman.text.tokenizer.protocol import MAX_LENGTH, Encoded, Level, Saved, joined, written
from elman.text.tokenizer.splitting import end_of, entries_of, word_level
from elman.text.vocabulary import Vocabulary

# A chunk bounds the memory that encoding takes beside its result.
CHUNK_TEXTS = 4096
MAX_WORDS = 50_000


class SplitTokenizer:
    """What the tokenizers by word and by pieces of words share.

    All is done by the ``tokenizers`` library, whose JSON holds the rules: a saved tokenizer keeps
    those that it was made with. Marks that nobody sees (``UNSEEN``) neither cut a word nor make
    another entry of it.
    """

    level: ClassVar[Level]

    def __init__(self, tokenizer: Any, *, max_length: int | None = None):
        self._tokenizer = tokenizer
        self.max_length = max_length or MAX_LENGTH[self.level]

    @property
    def vocab_size(self) -> int:
        """Number of ids, the two special ones included."""
        return int(self._tokenizer.get_vocab_size())

    def encode(self, texts: Sequence[str]) -> Encoded:
        """Return the token ids of ``texts``; those over ``max_length`` lose their end."""
        values: list[NDArray[np.int32]] = []
        lengths: list[int] = []
        for start in range(0, len(texts), CHUNK_TEXTS):
            chunk = list(without_surrogates(texts[start : start + CHUNK_TEXTS]))
            ids: list[int] = []
            for encoding in self._tokenizer.encode_batch_fast(chunk, add_special_tokens=False):
                row = encoding.ids
                lengths.append(len(row))
                ids += row[: self.max_length]
            values.append(np.asarray(ids, dtype=np.int32))
        whole = np.asarray(lengths, dtype=np.int64)
        longer = np.flatnonzero(whole > self.max_length).tolist()
        return Encoded(joined(values, np.int32), np.minimum(whole, self.max_length), longer)

    def split(self, text: str) -> list[str]:
        """Return the pieces of ``text`` that ``encode`` numbers, spelt as in the text.

        Of pieces that share one letter of the text the first has it, and the others are empty.
        """
        [text] = without_surrogates([text])
        offsets = self._tokenizer.encode(text, add_special_tokens=False).offsets
        limits = [*(start for start, _ in offsets), len(text)][1:]
        pieces, last = [], 0
        for (start, end), limit in islice(zip(offsets, limits, strict=True), self.max_length):
            stop = end_of(text, end, limit)
            pieces.append(text[max(start, last) : stop])
            last = max(last, stop)
        return pieces

    def to_json(self) -> bytes:
        """Return the tokenizer as JSON."""
        inner = msgspec.json.decode(self._tokenizer.to_str())
        return written(Saved(self.level, self.max_length, words=inner))

    @classmethod
    def from_saved(cls, saved: Saved) -> Self:
        """Restore what ``to_json`` wrote."""
        from tokenizers import Tokenizer as Inner

        inner = Inner.from_str(msgspec.json.encode(saved.words).decode())
        return cls(inner, max_length=saved.max_length)


class WordTokenizer(SplitTokenizer):
    """One token a word, number, handle or sign, lower-cased, in normalisation form C."""

    level: ClassVar[Level] = "words"

    @classmethod
    def fit(
        cls,
        texts: Sequence[str],
        *,
        min_count: int = 2,
        max_length: int = MAX_LENGTH["words"],
        max_size: int = MAX_WORDS,
        known: Iterable[str] = (),
    ) -> WordTokenizer:
        """Make the vocabulary of the words seen at least ``min_count`` times, and of ``known``."""
        counts: Counter[str] = Counter()
        for text in without_surrogates(texts):
            counts.update(entries_of(text)[:max_length])
        for word in known:
            counts[word] = max(counts[word], min_count)
        vocabulary = Vocabulary.from_counts(counts, min_count=min_count, max_size=max_size)
        return cls(word_level(vocabulary), max_length=max_length)

    # The library makes its table anew for each call, which takes longer than to answer a text.
    @cached_property
    def _ids(self) -> dict[str, int]:
        return dict(self._tokenizer.get_vocab())

    @cached_property
    def entries(self) -> tuple[str, ...]:
        """The words, each at the place of its id."""
        return tuple(sorted(self._ids, key=self._ids.__getitem__))

    def encode_spelt(self, texts: Sequence[str]) -> Encoded:
        """Return token ids as ``encode`` does, but with unknown words told apart.

        An unknown word gets an id behind the vocabulary's and stands in ``Encoded.unknown``.
        """
        ids = dict(self._ids)
        known, values, whole = len(ids), [], []
        normal = self._tokenizer.normalizer.normalize_str
        pieces = self._tokenizer.pre_tokenizer.pre_tokenize_str
        for text in without_surrogates(texts):
            row = pieces(normal(text))
            whole.append(len(row))
            values += [ids.setdefault(word, len(ids)) for word, _ in row[: self.max_length]]
        sizes = np.asarray(whole, dtype=np.int64)
        longer = np.flatnonzero(sizes > self.max_length).tolist()
        lengths = np.minimum(sizes, self.max_length)
        return Encoded(np.asarray(values, dtype=np.int32), lengths, longer, list(ids)[known:])
