"""Vectors of a word's n-grams of characters, as fastText makes and numbers them.

Bojanowski et al. 2017, "Enriching Word Vectors with Subword Information".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.float32]
_ALL_AT_ONCE = 256  # words, so that what is gathered of them fits a cache


@dataclass(frozen=True)
class Subwords:
    """The vectors of all n-grams; several n-grams share a row.

    Attributes:
        matrix: (buckets, D), in memory or on the disk.
        min_n: the least number of characters, those around a word (``<`` and ``>``) included.
        max_n: the largest number of characters; 0 for no n-grams at all.
    """

    matrix: Rows
    min_n: int
    max_n: int

    def rows(self, word: str) -> NDArray[np.int64]:
        """Return the row of each n-gram of ``word``; none where it is too short."""
        grams = ngrams(word, self.min_n, self.max_n)
        return (hashes(grams) % np.uint32(len(self.matrix))).astype(np.int64)

    def vector(self, word: str) -> Rows | None:
        """Return the mean of the vectors of a word's n-grams (D,); None where it has none."""
        rows = self.rows(word)
        return np.asarray(self.matrix[rows]).mean(axis=0) if len(rows) else None

    def added(self, words: Sequence[str], own: Rows) -> Rows:
        """Return for each word the mean of its own vector and those of its n-grams, (V, D).

        That is what fastText calls the vector of a word it has been trained on.
        """
        sums, counts = np.array(own, dtype=np.float32), np.ones(len(words), np.float32)
        for start in range(0, len(words), _ALL_AT_ONCE):
            chunk = words[start : start + _ALL_AT_ONCE]
            grams = [ngrams(word, self.min_n, self.max_n) for word in chunk]
            sizes = np.array([len(one) for one in grams])
            if not sizes.any():
                continue
            flat = [gram for one in grams for gram in one]
            rows = (hashes(flat) % np.uint32(len(self.matrix))).astype(np.int64)
            has = np.flatnonzero(sizes)
            starts = (np.cumsum(sizes) - sizes)[has]
            sums[start + has] += np.add.reduceat(np.asarray(self.matrix[rows]), starts, axis=0)
            counts[start : start + len(chunk)] += sizes
        return sums / counts[:, None]


def ngrams(word: str, min_n: int, max_n: int) -> list[bytes]:
    """Return the n-grams of ``<word>`` in UTF-8, in fastText's order, without ``<`` and ``>``."""
    if word == "</s>":  # fastText's mark of a line's end is no word
        return []
    whole = f"<{word}>"
    return [
        whole[start : start + n].encode()
        for start in range(len(whole))
        for n in range(min_n, min(max_n, len(whole) - start) + 1)
        if n > 1 or 0 < start < len(whole) - 1
    ]


def hashes(grams: Sequence[bytes]) -> NDArray[np.uint32]:
    """Return fastText's hash of each: FNV-1a of 32 bits, with bytes taken as signed."""
    result = np.full(len(grams), 2166136261, dtype=np.uint32)
    if not grams:
        return result
    lengths = np.fromiter(map(len, grams), dtype=np.int64, count=len(grams))
    padded: NDArray[Any] = np.array(grams, dtype=f"S{lengths.max()}")
    signed = padded.view(np.int8).reshape(len(grams), -1)
    for place in range(signed.shape[1]):
        byte = signed[:, place].astype(np.int32).view(np.uint32)
        after = (result ^ byte) * np.uint32(16777619)
        result = np.where(place < lengths, after, result)
    return result
