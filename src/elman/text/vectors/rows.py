"""The rows of a file of word vectors that are kept: all of them, or those of words asked for.

Where words are asked for, memory is bounded by them, not by the file.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.errors import DataError
from elman.text.cleaning import normalise
from elman.text.vectors.subwords import Subwords

Rows = NDArray[np.float32]

LARGEST = 65_536
"""Numbers of a vector; what asks for more is no file of word vectors."""
CUT = "it is cut off: copy or download it again"
AT_ONCE = 2048
"""Rows that are made numbers of together."""


@dataclass
class Table:
    """What was read of a file."""

    words: list[str]
    """In the order of the file, or in that in which they were asked for."""
    matrix: Rows
    """(words, D)."""
    notes: tuple[str, ...] = ()
    """What there is to say, one sentence each."""
    subwords: Subwords | None = None
    """Of fastText's models: what gives a vector to any other word."""
    composed: frozenset[str] = frozenset()
    """Words that were asked for and have a vector by their n-grams alone."""


class Wanted:
    """Words that are asked for, and the best row that a file has for each.

    A row of the very spelling goes before one of the word in lower case, and that before one of
    another case (``Paris`` for ``paris``); of equally good rows the first is taken, which in such
    files is that of the more frequent word.
    """

    def __init__(self, words: Iterable[str]):
        self.words = list(dict.fromkeys(words))
        self._ranks = [3] * len(self.words)
        self._exact = {normalise(word): i for i, word in enumerate(self.words)}
        self._folded: dict[str, list[int]] = {}
        for i, word in enumerate(self.words):
            self._folded.setdefault(normalise(word).lower(), []).append(i)
        self._rows: dict[int, Any] = {}

    def places(self, word: str) -> list[int]:
        """Return for which of the words a row of ``word`` is better than what there is."""
        exact, lower = self._exact.get(word), word.lower()
        asked = self._folded.get(lower)
        if asked is None:
            return []
        ranks = ((i, 0 if i == exact else 1 if word == lower else 2) for i in asked)
        return [i for i, rank in ranks if rank < self._ranks[i]]

    def take(self, word: str, places: Sequence[int], row: Any) -> None:
        """Keep a row, or what leads to it, for the words that ``places`` returned."""
        lower = word == word.lower()
        for i in places:
            self._ranks[i] = 0 if self._exact.get(word) == i else 1 if lower else 2
            self._rows[i] = row

    def found(self) -> Iterator[tuple[str, Any]]:
        """Yield each word that was found with what was kept for it, in the order of asking."""
        for i in sorted(self._rows):
            yield self.words[i], self._rows.pop(i)

    def missing(self) -> list[str]:
        """Return the words for which no row was taken."""
        return [word for word, rank in zip(self.words, self._ranks, strict=True) if rank == 3]

    def table(self, size: int) -> Table:
        """Return the words that were found with the rows that were kept for them."""
        matrix = np.empty((len(self._rows), size), dtype=np.float32)
        words = []
        for place, (word, row) in enumerate(self.found()):
            words.append(word)
            matrix[place] = row
        return Table(words, matrix)


def table_of(
    wanted: Wanted,
    words: Sequence[str],
    matrix: Rows,
    subwords: Subwords | None,
    *,
    own_alone: bool = False,
) -> Table:
    """Return the vectors of the words that are asked for, of a matrix that may lie on the disk.

    Args:
        wanted: the words; those that are missing get a vector by their n-grams where there are
            ``subwords``.
        words: of the rows.
        matrix: (words, D).
        subwords: the vectors of n-grams.
        own_alone: whether the rows have yet to be joined with those of their n-grams.
    """
    for row, word in enumerate(words):
        text = normalise(word)
        places = wanted.places(text)
        if places:
            wanted.take(text, places, row)
    missing = wanted.missing()
    found = list(wanted.found())
    rows = np.array(matrix[[row for _, row in found]]).reshape(len(found), matrix.shape[1])
    if subwords is None:
        return Table([word for word, _ in found], rows)
    if own_alone:
        rows = subwords.added([words[row] for _, row in found], rows)
    pairs = ((word, subwords.vector(word)) for word in missing)
    composed = {word: vector for word, vector in pairs if vector is not None}
    return Table(
        [*(word for word, _ in found), *composed],
        np.concatenate([rows, *(vector[None] for vector in composed.values())]),
        subwords=subwords,
        composed=frozenset(composed),
    )


@dataclass
class All:
    """All rows of a file, the first of each word."""

    size: int
    words: dict[str, None] = field(default_factory=dict)
    parts: list[Rows] = field(default_factory=list)
    twice: int = 0
    unnamed: int = 0

    def add(self, words: Sequence[str], rows: Rows) -> None:
        """Keep the rows (words, D) of words that did not stand there before."""
        keep = []
        for i, word in enumerate(words):
            if not word or word in self.words:
                self.unnamed += not word
                self.twice += bool(word)
                continue
            self.words[word] = None
            keep.append(i)
        self.parts.append(rows if len(keep) == len(words) else rows[keep])

    def table(self) -> Table:
        """Return all that was kept, and let go of it."""
        matrix = np.empty((len(self.words), self.size), dtype=np.float32)
        end = len(matrix)
        while self.parts:  # each is let go as it is copied: memory for the rows once, not twice
            part = self.parts.pop()
            matrix[end - len(part) : end] = part
            end -= len(part)
        notes = []
        if self.twice:
            notes.append(f"{self.twice:,} rows of words that stand there before are left out")
        if self.unnamed:
            notes.append(f"{self.unnamed:,} rows without a word are left out")
        return Table([*self.words], matrix, tuple(notes))


def read_rows(
    rows: Iterator[tuple[int, bytes, bytes]],
    size: int,
    wanted: Wanted | None,
    parse: Callable[[Sequence[int], Sequence[bytes]], Rows],
) -> Table:
    """Return the rows of a file that are kept.

    Args:
        rows: the number of each, its word, and its numbers as the file has them.
        size: how many numbers a row has, D.
        wanted: the words that are asked for; None for all.
        parse: makes numbers of rows, (rows, D); it is given how they count, for messages, and
            what stands there.
    """
    if wanted is None:
        found = All(size)
        while chunk := list(islice(rows, AT_ONCE)):
            numbers, words, written = zip(*chunk, strict=True)
            found.add([decoded(word) for word in words], parse(numbers, written))
        return found.table()
    for number, word, written_row in rows:
        text = decoded(word)
        places = wanted.places(text)
        if places:
            wanted.take(text, places, parse([number], [written_row])[0])
    return wanted.table(size)


def decoded(word: bytes) -> str:
    """Return a word of a file in Unicode's form C; bytes that are not UTF-8 become U+FFFD."""
    text = word.decode(errors="replace")
    return text if text.isascii() else normalise(text)


def header_of(line: bytes) -> tuple[int, int] | None:
    """Return how many words and numbers a first line of word2vec announces; None if it is none."""
    match = re.fullmatch(rb"\s*(\d{1,15})[ \t]+(\d{1,15})\s*", line)
    return (int(match[1]), int(match[2])) if match else None


def check_size(size: int, source: str) -> None:
    """Refuse sizes that no vector has.

    Raises:
        DataError: with the name of the file.
    """
    if not 1 <= size <= LARGEST:
        raise DataError(
            f"{source} would have vectors of {size:,} numbers, which no file of word vectors has; "
            "check what it is"
        )
