"""Word vectors as text, a word and its numbers a line; read as a stream."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from itertools import chain, islice
from typing import BinaryIO

import numpy as np

from elman.errors import DataError
from elman.text.vectors.rows import CUT, Rows, Table, Wanted, check_size, header_of, read_rows

_LONGEST_LINE = 1 << 23
_HEAD = 100  # lines that tell how many numbers a row has
_DECIMAL = re.compile(rb"[-+]?\d*\.\d+(e[-+]?\d+)?")


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
    told = read_rows(islice(rows, limit), size, wanted, rows.parsed)
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

    def __iter__(self) -> Iterator[tuple[int, bytes, bytes]]:
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
            yield self.number, word, numbers

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

    def parsed(self, lines: Sequence[int], rows: Sequence[bytes]) -> Rows:
        """Return the numbers of rows, (rows, D), that stand in the given lines.

        Raises:
            DataError: one is none, or not finite.
        """
        parsed = _parsed_at_once(rows, self.size) if len(rows) > 1 else None
        if parsed is not None:
            return parsed
        # Row by row, to say which it is.
        return np.stack([self._parsed(*one) for one in zip(lines, rows, strict=True)])

    def _parsed(self, number: int, numbers: bytes) -> Rows:
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
