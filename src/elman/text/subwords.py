"""The character n-grams of words, as numbers: what tells of a word that was never seen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from elman.text.characters import Ints, flat
from elman.text.lengths import offsets_of

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
    ids = sorted(used)
    lengths = np.zeros(len(entries), dtype=np.int64)
    word, values = _numbers([f"<{entries[i]}>" for i in ids], num_vectors)
    lengths[ids] = np.bincount(word, minlength=len(ids))
    return Spelling(lengths, offsets_of(lengths), values)


def _numbers(words: Sequence[str], num_vectors: int) -> tuple[Ints, Ints]:
    """Return the word of each n-gram and its number, a checksum of its letters in UTF-8."""
    text = flat(words)
    data = np.frombuffer("".join(words).encode(), dtype=np.uint8)
    begins = np.flatnonzero((data & 0xC0) != 0x80)  # where each character's bytes do
    widths = np.diff(begins, append=len(data))
    places = np.arange(len(begins))
    state = np.full(len(begins), 0xFFFFFFFF, dtype=np.uint32)
    found = []
    for size in range(1, LONGEST + 1):
        keep = text.room[places] >= size
        places, state = places[keep], state[keep]
        last = places + size - 1
        for i in range(4):
            rows = np.flatnonzero(widths[last] > i)
            byte = data[begins[last[rows]] + i]
            state[rows] = _CHECKSUMS[(state[rows] ^ byte) & 0xFF] ^ (state[rows] >> 8)
        if size >= SHORTEST:
            found.append((text.word[places], (state ^ 0xFFFFFFFF) % np.uint32(num_vectors)))
    word = np.concatenate([one for one, _ in found])
    order = np.argsort(word, kind="stable")
    return word[order], np.concatenate([one for _, one in found])[order].astype(np.int64)


def _checksums() -> NDArray[np.uint32]:
    """Return what each byte makes of a checksum (crc32, as ``zlib`` has it)."""
    table: NDArray[np.uint32] = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, (table >> 1) ^ np.uint32(0xEDB88320), table >> 1)
    return table


_CHECKSUMS = _checksums()
