"""Files of word vectors row by row: a word and its numbers, as text or as word2vec's binary form.

Both are read as a stream. Where words are asked for, their rows alone are kept: memory is bounded
by the vocabulary, not by the file.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import chain, islice
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from elman.errors import DataError
from elman.text.cleaning import normalise
from elman.text.vectors.subwords import Subwords

Rows = NDArray[np.float32]

LARGEST = 65_536
"""Numbers of a vector; what asks for more is no file of word vectors."""
CUT = "it is cut off: copy or download it again"
_LONGEST_WORD = 1 << 16  # bytes
_LONGEST_LINE = 1 << 23
_READ = 1 << 22
_PARSED = 2048  # rows of a text file parsed together
_HEAD = 100  # lines that tell how many numbers a row has
_DECIMAL = re.compile(rb"[-+]?\d*\.\d+(e[-+]?\d+)?")


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
class _All:
    """All rows of a file, the first of each word."""

    size: int
    words: dict[str, None] = field(default_factory=dict)
    parts: list[Rows] = field(default_factory=list)
    twice: int = 0
    unnamed: int = 0

    def add(self, words: Sequence[str], rows: Rows) -> None:
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


def _decoded(word: bytes) -> str:
    text = word.decode(errors="replace")
    return text if text.isascii() else normalise(text)


# -------------------------------------------------------------------------------------------------
# Text


def header_of(line: bytes) -> tuple[int, int] | None:
    """Return how many words and numbers a first line of word2vec announces; None if it is none."""
    match = re.fullmatch(rb"\s*(\d{1,15})[ \t]+(\d{1,15})\s*", line)
    return (int(match[1]), int(match[2])) if match else None


def is_row(line: bytes) -> bool:
    """Whether a line is a word and at least two numbers behind it."""
    fields = line.split()
    return len(fields) > 2 and all(map(_is_number, fields[-2:]))


def _is_number(text: bytes) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def read_text(handle: BinaryIO, source: str, wanted: Wanted | None, limit: int | None) -> Table:
    """Read a word and its numbers a line: word2vec's text form, fastText's .vec, or GloVe's.

    The first two begin with a line of two numbers (words, size); GloVe's has none. A word may hold
    blanks, as some of GloVe's do.

    Args:
        handle: at the beginning of the file.
        source: its name for messages.
        wanted: the words that are asked for; None for all.
        limit: how many rows are read at most.

    Raises:
        DataError: a row has another length or holds no numbers, or the file is cut off.
    """
    lines = iter(partial(handle.readline, _LONGEST_LINE), b"")
    first = next(lines, b"")
    header = header_of(first.removeprefix(b"\xef\xbb\xbf"))
    head = list(islice(lines, _HEAD))
    begun = 2 if header else 1
    if header is None:
        head.insert(0, first.removeprefix(b"\xef\xbb\xbf"))
    count, size = header or (None, _usual_size(head))
    check_size(size, source)
    rows = _Lines(chain(head, lines), source, size, begun)
    told = _wanted_rows(rows, wanted, limit) if wanted is not None else _all_rows(rows, limit)
    if count is not None and limit is None:
        if rows.count < count:
            raise DataError(
                f"{source} ends at line {rows.number} with {rows.count:,} of the {count:,} words "
                f"that its first line announces; {CUT}"
            )
        if rows.count > count:
            said = f"{rows.count:,} rows, though the first line says {count:,}"
            told.notes = (*told.notes, said)
    if not rows.count:
        raise DataError(f"{source} holds no vectors; give a file with a word and its numbers a row")
    return told


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


def _usual_size(lines: Sequence[bytes]) -> int:
    """Return how many numbers most rows have; some words hold blanks, a row may be damaged."""
    sizes = Counter(line.rstrip().count(b" ") for line in lines)
    return sizes.most_common(1)[0][0] if sizes else 0


class _Lines:
    """The rows of a text file that are not blank: line number, word, and its numbers as text."""

    def __init__(self, lines: Iterable[bytes], source: str, size: int, begun: int):
        self.lines, self.source, self.size = lines, source, size
        self.number = begun - 1
        self.count = 0

    def __iter__(self) -> Iterator[tuple[bytes, bytes]]:
        size = self.size
        for whole in self.lines:
            self.number += 1
            line = whole.rstrip()
            blanks = line.count(b" ")
            if blanks == size:
                word, _, numbers = line.partition(b" ")
            elif line:
                word, numbers = self._word_with_blanks(line, blanks, cut=not whole.endswith(b"\n"))
            else:
                continue
            self.count += 1
            yield word, numbers

    def _word_with_blanks(self, line: bytes, blanks: int, *, cut: bool) -> tuple[bytes, bytes]:
        """Return word and numbers of a row with more blanks than numbers.

        Raises:
            DataError: there are too few or too many numbers.
        """
        if len(line) >= _LONGEST_LINE - 1 or b"\0" in line:
            raise DataError(f"{self._place()} is no word with its numbers; check what the file is")
        if blanks < self.size and cut:
            raise DataError(f"{self.source} ends within line {self.number}; {CUT}")
        first, *others = line.split()
        if blanks > self.size and len(others) == self.size:  # several blanks between two numbers
            return first, b" ".join(others)
        word, *numbers = line.rsplit(b" ", self.size)
        within = word.split(b" ")[1:]
        if blanks < self.size or (within and all(map(_DECIMAL.fullmatch, within))):
            raise DataError(
                f"{self._place()} has {blanks:,} numbers, where other rows have {self.size:,}; "
                "mend or drop the row, or make the file anew"
            )
        return word, b" ".join(numbers)

    def _place(self) -> str:
        return f"{self.source} line {self.number}"

    def parsed(self, numbers: bytes, number: int) -> Rows:
        """Return the numbers of one row, (D,).

        Raises:
            DataError: one is none, or not finite.
        """
        fields = numbers.split(b" ")
        try:
            with np.errstate(over="ignore"):
                row = np.array(fields, dtype=np.float32)
        except ValueError:
            row = np.full(1, np.nan, np.float32)
        if np.isfinite(row).all():
            return row
        wrong = next((one for one in fields if not (_is_number(one) and _finite(one))), b"")
        shown = wrong[:40].decode(errors="replace")
        raise DataError(
            f"{self.source} line {number}: {shown!r} is not a finite number of float32; "
            "mend or drop the row"
        )


def _finite(text: bytes) -> bool:
    return abs(float(text)) <= float(np.finfo(np.float32).max)


def _wanted_rows(lines: _Lines, wanted: Wanted, limit: int | None) -> Table:
    for word, numbers in islice(lines, limit):
        text = _decoded(word)
        places = wanted.places(text)
        if places:
            wanted.take(text, places, lines.parsed(numbers, lines.number))
    return wanted.table(lines.size)


def _all_rows(lines: _Lines, limit: int | None) -> Table:
    found = _All(lines.size)
    rows = islice(((lines.number, *row) for row in lines), limit)
    while chunk := list(islice(rows, _PARSED)):
        parsed = _parsed_at_once([numbers for _, _, numbers in chunk], lines.size)
        if parsed is None:  # row by row, to say which it is
            parsed = np.stack([lines.parsed(numbers, number) for number, _, numbers in chunk])
        found.add([_decoded(word) for _, word, _ in chunk], parsed)
    return found.table()


def _parsed_at_once(rows: Sequence[bytes], size: int) -> Rows | None:
    """Return the numbers of many rows, (rows, D), by polars, which is fast; None if one is odd."""
    import polars as pl

    schema = {str(i): pl.Float32 for i in range(size)}
    try:
        frame = pl.read_csv(
            b"\n".join(rows), separator=" ", has_header=False, quote_char=None, schema=schema
        )
    except pl.exceptions.PolarsError:
        return None
    parsed: Rows = frame.to_numpy()
    whole = parsed.shape == (len(rows), size) and bool(np.isfinite(parsed).all())
    return np.ascontiguousarray(parsed, dtype=np.float32) if whole else None


# -------------------------------------------------------------------------------------------------
# word2vec's binary form


def read_binary(handle: BinaryIO, source: str, wanted: Wanted | None, limit: int | None) -> Table:
    """Read word2vec's binary form: a line of two numbers, then word, blank, D floats of 4 bytes.

    Args:
        handle: at the beginning of the file.
        source: its name for messages.
        wanted: the words that are asked for; None for all.
        limit: how many rows are read at most.

    Raises:
        DataError: the file is cut off, or is none of that form.
    """
    count, size = header_of(handle.readline(100)) or (0, 0)
    check_size(size, source)
    rows = enumerate(islice(_binary_rows(handle, source, count, size), limit), start=1)
    if wanted is None:
        return _all_binary(rows, source, size)
    for number, (word, numbers) in rows:
        text = _decoded(word)
        places = wanted.places(text)
        if places:
            wanted.take(text, places, _floats([numbers], source, number)[0])
    return wanted.table(size)


def _all_binary(rows: Iterator[tuple[int, tuple[bytes, bytes]]], source: str, size: int) -> Table:
    found = _All(size)
    while chunk := list(islice(rows, _PARSED)):
        numbers = _floats([row for _, (_, row) in chunk], source, chunk[0][0])
        found.add([_decoded(word) for _, (word, _) in chunk], numbers)
    return found.table()


def _floats(rows: Sequence[bytes], source: str, number: int) -> Rows:
    """Return the numbers of rows, (rows, D), of which the first is the ``number``-th.

    Raises:
        DataError: one is not finite.
    """
    found = np.frombuffer(b"".join(rows), dtype="<f4").reshape(len(rows), -1)
    odd = np.flatnonzero(~np.isfinite(found).all(axis=1))
    if len(odd):
        raise DataError(
            f"{source} row {number + int(odd[0]):,} has a number that is not finite; the file is "
            "damaged or no word2vec file: copy or download it again"
        )
    return found.astype(np.float32)


def _binary_rows(
    handle: BinaryIO, source: str, count: int, size: int
) -> Iterator[tuple[bytes, bytes]]:
    buffer, position, width = b"", 0, 4 * size
    for number in range(1, count + 1):
        blank = buffer.find(b" ", position)
        while blank < 0 or blank + 1 + width > len(buffer):
            more = handle.read(max(_READ, width))
            if not more:
                raise DataError(
                    f"{source} ends within row {number:,} of the {count:,} that its first line "
                    f"announces; {CUT}"
                )
            buffer, position = buffer[position:] + more, 0
            blank = buffer.find(b" ", position)
            if blank > _LONGEST_WORD or (blank < 0 and len(buffer) > _LONGEST_WORD):
                raise DataError(f"{source} row {number:,} has no word; check what the file is")
        row = buffer[blank + 1 : blank + 1 + width]
        yield buffer[position:blank].lstrip(b"\r\n"), row
        position = blank + 1 + width
