"""The character n-grams of words, as numbers: what tells of a word that was never seen."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SHORTEST, LONGEST = 3, 6
"""As fastText has it (Bojanowski et al. 2017, "Enriching Word Vectors with Subword Information",
section 3.2)."""


@dataclass(frozen=True)
class Spelling:
    """The n-grams of each token id, ragged.

    Attributes:
        lengths: (K,) how many n-grams each id has.
        starts: (K,) where they begin among the values.
        values: (N,) the numbers of the n-grams, those of the first id, then of the second.
    """

    lengths: NDArray[np.int64]
    starts: NDArray[np.int64]
    values: NDArray[np.int64]


def spelling(entries: Sequence[str], used: Iterable[int], num_vectors: int) -> Spelling:
    """Return the n-grams of the words in use.

    Args:
        entries: (K,) the word of each id.
        used: ids whose n-grams are wanted; the others get none.
        num_vectors: n-grams are numbered from 0 to this, several of them alike (Weinberger et al.
            2009, "Feature Hashing for Large Scale Multitask Learning").
    """
    lengths = np.zeros(len(entries), dtype=np.int64)
    values: list[int] = []
    for i in sorted(used):
        numbers = _numbers(entries[i], num_vectors)
        lengths[i] = len(numbers)
        values += numbers
    return Spelling(lengths, np.cumsum(lengths) - lengths, np.asarray(values, dtype=np.int64))


def _numbers(word: str, num_vectors: int) -> list[int]:
    framed = f"<{word}>"
    ends = len(framed) + 1
    return [
        zlib.crc32(framed[start : start + size].encode()) % num_vectors
        for size in range(SHORTEST, LONGEST + 1)
        for start in range(ends - size)
    ]
