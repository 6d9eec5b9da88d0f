"""Pieces of words with probabilities by which words are cut (Kudo 2018).

"Subword Regularization: Improving Neural Network Translation Models with Multiple Subword
Candidates", section 3.2: many candidates, their probabilities by expectation-maximisation over all
ways to cut the words, and a part of them left out again and again, those that the likelihood of the
words misses least.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

LONGEST = 16  # characters of a piece
MOST_WORDS = 30_000
CANDIDATES = 10  # times the pieces that are wanted
KEPT = 0.75  # of the candidates each time
UPDATES = 2  # of the probabilities before some are left out
# Longer words are learnt from in parts: products of so many probabilities are no zeros yet.
LONGEST_WORD = 32
SMALLEST = 1e-8

Numbers = NDArray[np.int64]
Shares = NDArray[np.float64]


def learn(counts: Mapping[str, int], *, min_count: int, size: int) -> list[tuple[str, float]]:
    """Return pieces with the logarithms of their probabilities, the likeliest first.

    Args:
        counts: the words with how often they were seen. All their characters are pieces, too.
        min_count: pieces of several characters that are seen less often are none.
        size: pieces at most; not fewer than there are different characters.
    """
    counts = dict(sorted(_in_parts(counts).items(), key=lambda row: (-row[1], row[0])))
    frequent = dict(list(counts.items())[:MOST_WORDS])
    if not frequent:
        return []
    seen = _substrings(frequent)
    single: Counter[str] = Counter()
    for word, count in counts.items():
        for character in word:
            single[character] += count
    several = [piece for piece, count in seen.items() if count >= max(min_count, 2)]
    several.sort(key=lambda piece: (-seen[piece] * len(piece), piece))
    pieces = [*sorted(single), *several[: CANDIDATES * size]]
    first = np.array([single[piece] or seen[piece] for piece in pieces], dtype=np.float64)
    shares = _maximised(pieces, first, frequent, size)
    order = sorted(shares, key=lambda piece: (-shares[piece], piece))
    return [(piece, round(float(np.log(shares[piece])), 4)) for piece in order]


def _in_parts(counts: Mapping[str, int]) -> Counter[str]:
    parts: Counter[str] = Counter()
    for word, count in counts.items():
        for start in range(0, len(word), LONGEST_WORD):
            parts[word[start : start + LONGEST_WORD]] += count
    return parts


def _substrings(counts: Mapping[str, int]) -> Counter[str]:
    """Return how often each run of 2 to 16 characters stands in the words."""
    seen: Counter[str] = Counter()
    for word, count in counts.items():
        for start in range(len(word) - 1):
            for end in range(start + 2, min(start + LONGEST, len(word)) + 1):
                seen[word[start:end]] += count
    return seen


def _maximised(
    pieces: Sequence[str], first: Shares, counts: Mapping[str, int], size: int
) -> dict[str, float]:
    """Return the pieces that are left in the end with their probabilities."""
    ids = {piece: i for i, piece in enumerate(pieces)}
    often = np.fromiter(counts.values(), dtype=np.float64)
    cuts, own = _Cuts.of(counts, ids), _Cuts.of(pieces, ids).without_whole()
    names = np.array(pieces, dtype=object)
    single = np.array([len(piece) == 1 for piece in pieces])
    expected, shares = first, _normal(first)
    while True:
        for _ in range(UPDATES):
            expected = cuts.expected(shares, often)
            shares = _normal(expected)
        keep = single | (expected >= 0.5)
        if keep.sum() > size:
            most = max(size, int(KEPT * len(names)))
            loss = expected * np.log(shares / np.maximum(own.likelihood(shares), 1e-300))
            loss[single], loss[~keep] = np.inf, -np.inf
            keep &= np.argsort(np.argsort(-loss, kind="stable"), kind="stable") < most
        elif keep.all():
            return dict(zip(names.tolist(), shares.tolist(), strict=True))
        cuts, own = cuts.keeping(keep), own.keeping(keep, rows=True)
        names, single, shares = names[keep], single[keep], _normal(expected[keep])


def _normal(expected: Shares) -> Shares:
    return np.maximum(expected / max(expected.sum(), SMALLEST), SMALLEST)


@dataclass(frozen=True)
class _Cuts:
    """Where which pieces stand in words, for all ways to cut these at once.

    Attributes:
        ends: (rows,) the length of each word.
        row, start, end, piece: (N,) of each place of a piece.
    """

    ends: Numbers
    row: Numbers
    start: Numbers
    end: Numbers
    piece: Numbers

    @classmethod
    def of(cls, words: Iterable[str], ids: Mapping[str, int]) -> _Cuts:
        """Find the pieces in the words."""
        rows = list(words)
        found = [
            (row, start, end, ids[word[start:end]])
            for row, word in enumerate(rows)
            for start in range(len(word))
            for end in range(start + 1, min(start + LONGEST, len(word)) + 1)
            if word[start:end] in ids
        ]
        places = np.array(found, dtype=np.int64).reshape(-1, 4).T
        return cls(np.array([len(word) for word in rows], dtype=np.int64), *places)

    def without_whole(self) -> _Cuts:
        """Leave out the places where a piece is the whole word."""
        whole = (self.end - self.start == self.ends[self.row]) & (self.ends[self.row] > 1)
        return self._at(~whole)

    def keeping(self, keep: NDArray[np.bool_], *, rows: bool = False) -> _Cuts:
        """Return what is left with these pieces alone, numbered anew; with ``rows`` rows, too."""
        numbers = np.cumsum(keep) - 1
        at = keep[self.piece] & (keep[self.row] if rows else True)
        left = self._at(at)
        left = replace(left, piece=numbers[left.piece])
        return replace(left, row=numbers[left.row], ends=self.ends[keep]) if rows else left

    def likelihood(self, shares: Shares) -> Shares:
        """Return the sum over all ways to cut each word (rows,)."""
        return self._forward(shares)[np.arange(len(self.ends)), self.ends]

    def expected(self, shares: Shares, often: Shares) -> Shares:
        """Return how often each piece is to be expected in words that are seen so often."""
        before = self._forward(shares)
        after = self._backward(shares)
        whole = often / after[:, 0]
        value = before[self.row, self.start] * shares[self.piece] * after[self.row, self.end]
        sums = np.bincount(self.piece, value * whole[self.row], minlength=len(shares))
        return sums.astype(np.float64, copy=False)

    def _forward(self, shares: Shares) -> Shares:
        """Return the sum over all ways to come to each place of each word."""
        sums = np.zeros((len(self.ends), int(self.ends.max()) + 1))
        sums[:, 0] = 1
        for at in range(1, sums.shape[1]):
            here = np.flatnonzero(self.end == at)
            row = self.row[here]
            value = sums[row, self.start[here]] * shares[self.piece[here]]
            sums[:, at] = np.bincount(row, value, minlength=len(sums))
        return sums

    def _backward(self, shares: Shares) -> Shares:
        """Return the sum over all ways to go from each place of each word to its end."""
        sums = np.zeros((len(self.ends), int(self.ends.max()) + 1))
        sums[np.arange(len(sums)), self.ends] = 1
        for at in range(sums.shape[1] - 2, -1, -1):
            here = np.flatnonzero(self.start == at)
            row = self.row[here]
            value = sums[row, self.end[here]] * shares[self.piece[here]]
            sums[:, at] += np.bincount(row, value, minlength=len(sums))
        return sums

    def _at(self, at: NDArray[np.bool_]) -> _Cuts:
        row, start, end, piece = (x[at] for x in (self.row, self.start, self.end, self.piece))
        return _Cuts(self.ends, row, start, end, piece)
