"""One token a character."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from elman.text.cleaning import is_normal, normalise
from elman.text.tokenizer.protocol import MAX_LENGTH, Encoded, Level, Saved, joined, written
from elman.text.vocabulary import UNKNOWN_ID, Vocabulary

# A chunk bounds the memory that encoding takes beside its result.
CHUNK_CHARACTERS = 1 << 20


class CharacterTokenizer:
    """One token a Unicode code point of the text in normalisation form C.

    The look-up is one NumPy gather through a table of all code points, which is some thirty times
    faster than a general tokenizer.
    """

    level: ClassVar[Level] = "characters"

    def __init__(self, vocabulary: Vocabulary, *, max_length: int = MAX_LENGTH["characters"]):
        self.vocabulary = vocabulary
        self.max_length = max_length
        self._table = code_point_table(vocabulary.ids)

    @classmethod
    def fit(
        cls,
        texts: Sequence[str],
        *,
        min_count: int = 1,
        max_length: int = MAX_LENGTH["characters"],
    ) -> CharacterTokenizer:
        """Make the vocabulary of the characters seen at least ``min_count`` times."""
        counts = np.zeros(0x110000, dtype=np.int64)
        for chunk, _ in _normal_chunks(texts, max_length):
            found = np.bincount(code_points(chunk))
            counts[: len(found)] += found
        counts[0xD800:0xE000] = 0  # lone surrogates stay unknown: JSON cannot hold them
        seen = {chr(code): int(counts[code]) for code in np.flatnonzero(counts)}
        return cls(Vocabulary.from_counts(seen, min_count=min_count), max_length=max_length)

    @property
    def vocab_size(self) -> int:
        """Number of ids, the two special ones included."""
        return len(self.vocabulary)

    def encode(self, texts: Sequence[str]) -> Encoded:
        """Return the token ids of ``texts``; those over ``max_length`` lose their end."""
        values: list[NDArray[np.int32]] = []
        lengths: list[NDArray[np.int64]] = []
        for chunk, sizes in _normal_chunks(texts, self.max_length):
            values.append(self._table[code_points(chunk)])
            lengths.append(sizes)
        whole = joined(lengths, np.int64)
        longer = np.flatnonzero(whole > self.max_length).tolist()
        return Encoded(joined(values, np.int32), np.minimum(whole, self.max_length), longer)

    def split(self, text: str) -> list[str]:
        """Return the characters of ``text`` that ``encode`` numbers."""
        return list(normalise(text)[: self.max_length])

    def to_json(self) -> bytes:
        """Return the tokenizer as JSON."""
        return written(Saved(self.level, self.max_length, tokens=self.vocabulary.tokens))

    @classmethod
    def from_saved(cls, saved: Saved) -> CharacterTokenizer:
        """Restore what ``to_json`` wrote."""
        return cls(Vocabulary(saved.tokens), max_length=saved.max_length)


def _normal_chunks(
    texts: Sequence[str], max_length: int
) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """Yield runs of texts in form C as one string, each text truncated to ``max_length``.

    With each run come the lengths of its texts before that.
    """
    sizes = _lengths(texts)
    # A run ends with the text that takes it over CHUNK_CHARACTERS.
    run = (np.cumsum(sizes) - sizes) // CHUNK_CHARACTERS
    starts = np.flatnonzero(np.diff(run, prepend=-1)).tolist()
    for start, end in zip(starts, [*starts, len(texts)][1:], strict=True):
        part, lengths = texts[start:end], sizes[start:end]
        joined = "".join(part)
        # A part of a string in form C is in form C (UAX #15), so one look at the run is enough.
        if not is_normal(joined):
            part = [normalise(text) for text in part]
            lengths = _lengths(part)
            joined = "".join(part)
        if (lengths > max_length).any():
            joined = "".join(text[:max_length] for text in part)
        yield joined, lengths


def _lengths(texts: Sequence[str]) -> NDArray[np.int64]:
    return np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))


def code_points(text: str) -> NDArray[np.uint32]:
    """Return the (N,) code points of a text."""
    # surrogatepass: a lone surrogate is bad text, not a reason to crash; it becomes unknown.
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)


def code_point_table(ids: Mapping[str, int]) -> NDArray[np.int32]:
    """Return the id of every code point; ``UNKNOWN_ID`` where it has none."""
    table = np.full(0x110000, UNKNOWN_ID, dtype=np.int32)
    for token, i in ids.items():
        if len(token) == 1:
            table[ord(token)] = i
    return table
