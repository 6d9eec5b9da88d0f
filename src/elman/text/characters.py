"""The characters of many words as flat arrays, and all their n-grams looked up at once.

Python takes a second for the n-grams of ten thousand sentences, one string at a time; NumPy a
tenth of that.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


class Characters(NamedTuple):
    """The characters of some words, one word after the other."""

    codes: NDArray[np.uint32]
    """(N,) their code points."""
    word: Ints
    """(N,) which word each belongs to."""
    room: Ints
    """(N,) how many characters of its word there are from it on, itself included."""
    first: NDArray[np.bool_]
    """(N,) whether it begins its word."""


def flat(words: Sequence[str]) -> Characters:
    """Return the characters of the words."""
    lengths = np.fromiter(map(len, words), dtype=np.int64, count=len(words))
    # surrogatepass: a lone surrogate is bad text, not a reason to crash.
    data = "".join(words).encode("utf-32-le", "surrogatepass")
    ends = np.cumsum(lengths)
    word = np.repeat(np.arange(len(words)), lengths)
    place = np.arange(lengths.sum())
    first = place == (ends - lengths)[word]
    return Characters(np.frombuffer(data, dtype=np.uint32), word, ends[word] - place, first)


class Trie:
    """Which of a set of n-grams stand at each place of some words.

    An n-gram is found by the number of all its characters but the last, and the last one: so there
    is one sorted array of such pairs a length, and no n-gram is taken for another.

    Args:
        entries: the n-grams, all different.
    """

    def __init__(self, entries: Sequence[str]):
        text = flat(entries)
        self._alphabet, letters = np.unique(text.codes, return_inverse=True)
        begins = np.flatnonzero(text.first)
        lengths = text.room[begins]
        owner = text.word[begins]
        node = np.zeros(len(begins), dtype=np.int64)
        self._levels: list[tuple[Ints, Ints]] = []
        alive = np.arange(len(begins))
        for size in range(1, int(lengths.max(initial=0)) + 1):
            alive = alive[lengths[alive] >= size]
            pairs = node[alive] * len(self._alphabet) + letters[begins[alive] + size - 1]
            pairs, node[alive] = np.unique(pairs, return_inverse=True)
            entry = np.full(len(pairs), -1, dtype=np.int64)
            whole = alive[lengths[alive] == size]
            entry[node[whole]] = owner[whole]
            self._levels.append((pairs, entry))

    def find(self, text: Characters) -> Iterator[tuple[Ints, Ints]]:
        """Yield (places, entries) of all n-grams of one character, then of two, and so on.

        ``places`` index the characters, ``entries`` say which n-gram begins there.
        """
        if not self._levels:
            return
        letters = np.searchsorted(self._alphabet, text.codes)
        letters[letters == len(self._alphabet)] = 0
        known = self._alphabet[letters] == text.codes
        places = np.arange(len(text.codes))
        node = np.zeros(len(places), dtype=np.int64)
        for i, (pairs, entry) in enumerate(self._levels):
            keep = text.room[places] > i
            places, node = places[keep], node[keep]
            keys = node * len(self._alphabet) + letters[places + i]
            node = np.searchsorted(pairs, keys)
            node[node == len(pairs)] = 0
            keep = (pairs[node] == keys) & known[places + i]
            places, node = places[keep], node[keep]
            whole = entry[node] >= 0
            yield places[whole], entry[node[whole]]
