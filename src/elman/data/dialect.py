"""Telling how the fields of a table are told apart: the delimiter, and how quotes are used."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np

from elman.data.columns import Wanted, recognise
from elman.data.records import Dialect, records

_HEAD = 1 << 18  # characters that tell the delimiter
_MOST_TRIED = 1 << 24  # characters that tell how quotes are written, where they are irregular
DELIMITERS = ("\t", ";", "|", ",")
"""Those that are told; of equals the first: a text has commas, hardly tabs."""


def sniff(data: bytes, wanted: Wanted, delimiter: str | None, preferred: str) -> Dialect:
    """Return how the fields of a table are told apart.

    Args:
        data: The whole table.
        wanted: The columns; where their names are known they tell the delimiter.
        delimiter: The one that is given, or None.
        preferred: The one that goes before others which fit as well.
    """
    head, whole = head_of(data)
    order = [delimiter] if delimiter else [preferred, *(d for d in DELIMITERS if d != preferred)]
    trials = [Trial.of(Dialect(one), head, wanted, whole=whole) for one in order]
    best = max(trials, key=lambda trial: trial.fit)  # of equals the first
    return _with_quotes(data, best.dialect.delimiter, wanted)


def head_of(data: bytes) -> tuple[str, bool]:
    """Return the first lines of a file, one at least, and whether they are all."""
    end = max(_HEAD, data.find(b"\n") + 1 or len(data))
    return data[:end].decode(errors="ignore"), end >= len(data)


def is_delimited(data: bytes, wanted: Wanted, *, tabs: bool = False) -> bool:
    """Return whether a delimiter makes as many fields of each line, or there is a known header.

    Args:
        data: The whole file.
        wanted: The columns that are sought.
        tabs: Whether a tab alone counts where no column is known.
    """
    head, whole = head_of(data)
    for delimiter in DELIMITERS:
        trial = Trial.of(Dialect(delimiter), head, wanted, whole=whole)
        if trial.width > 1 and (
            trial.known or (trial.share == 1 and (delimiter == "\t" or not tabs))
        ):
            return True
    return False


@dataclass(frozen=True)
class Trial:
    """How well a dialect fits the rows of a table."""

    dialect: Dialect
    known: int
    """How many columns of the first row are known or were named."""
    share: float
    """Of the rows that have as many fields as most have."""
    width: int
    """Fields of most rows."""
    apart: bool
    """Whether the delimiter has no blank after it, as a comma of a text has."""
    faults: int
    leftover: int
    """Fields that still have quotation marks around them."""

    @classmethod
    def of(cls, dialect: Dialect, text: str, wanted: Wanted, *, whole: bool) -> Trial:
        """Read the first rows so; of a part of a file the last one does not count."""
        rows = list(islice(records(text, dialect), 1_000))
        if not whole and len(rows) > 1:
            rows.pop()
        filled = [row for row in rows if any(row.fields)]
        widths = Counter(len(row.fields) for row in filled if not row.fault)
        width, count = widths.most_common(1)[0] if widths else (1, 0)
        first = filled[0].fields if filled else []
        known = sum(bool(recognise(first, role.names)) for role in wanted.roles)
        named = sum(name.strip().casefold() in folded(first) for name in wanted.named)
        inside = [cell for row in filled for cell in row.fields[1:]]
        blanks = sum(cell[:1] == " " and cell[1:2] not in (" ", '"') for cell in inside)
        return cls(
            dialect,
            known=(known + named) * (len(first) > 1),
            share=count / max(1, len(filled)),
            width=width,
            apart=blanks * 2 <= len(inside),
            faults=sum(bool(row.fault) for row in rows),
            leftover=sum(_has_quotes_around(cell) for row in filled for cell in row.fields),
        )

    @property
    def fit(self) -> tuple[float, ...]:
        """What decides between delimiters, the most telling first."""
        if self.width < 2:
            return (self.known, 0, 0, 0)
        return (self.known, round(self.share * 10), self.apart, self.share)


def folded(names: Iterable[str]) -> set[str]:
    """Return names as they are compared: without blanks around them, in small letters."""
    return {name.strip().casefold() for name in names}


def _has_quotes_around(cell: str) -> bool:
    cell = cell.strip()
    return len(cell) > 1 and cell[0] == cell[-1] == '"'


def _with_quotes(data: bytes, delimiter: str, wanted: Wanted) -> Dialect:
    """Return the dialect of that delimiter: how quotes are used in the whole table."""
    if b'"' not in data:
        return Dialect(delimiter, quoted=False)
    if delimiter == "\t" and _same_width(data):
        # Each line is a whole row, so quotes keep nothing together and may be part of a text.
        blanks, escapes = b'\t "' in data[:_HEAD], b"\\" in data and b'\\"' in data
        regular = not (blanks or escapes)
        return Dialect(delimiter, quoted=False, regular=regular, blanks=blanks, escapes=escapes)
    regular = is_byte(delimiter) and _quotes_are_regular(data, delimiter)
    plain = Dialect(delimiter, regular=regular)
    if regular:
        return plain
    dialects = [plain]
    if delimiter.encode() + b" " in data:
        dialects.append(Dialect(delimiter, regular=False, blanks=True))
    if b'\\"' in data:
        dialects += [replace(one, escapes=True) for one in dialects]
    if delimiter == "\t":
        dialects.append(Dialect(delimiter, quoted=False, regular=False))
    if len(dialects) == 1:
        return plain
    text = data[:_MOST_TRIED].decode(errors="ignore")
    whole = len(data) <= _MOST_TRIED
    return min(dialects, key=lambda dialect: _odd(text, dialect, whole=whole))


def _odd(text: str, dialect: Dialect, *, whole: bool) -> tuple[int, int, int]:
    """Return how many rows are at fault or odd: less is better."""
    faults = leftover = 0
    widths: Counter[int] = Counter()
    for record in records(text, dialect):
        faults += bool(record.fault)
        if any(record.fields) and not record.fault:
            widths[len(record.fields)] += 1
        leftover += sum(_has_quotes_around(cell) for cell in record.fields)
    most = max(widths.values(), default=0)
    return faults if whole else max(faults - 1, 0), widths.total() - most, leftover


def is_byte(delimiter: str) -> bool:
    """Return whether a delimiter is one byte, as fast readers want it."""
    return len(delimiter.encode()) == 1


def _same_width(data: bytes) -> bool:
    """Return whether every line that is not blank has the same number of tabs."""
    codes = np.frombuffer(data, np.uint8)
    ends = np.append(np.flatnonzero(codes == ord("\n")), len(codes))
    tabs = np.diff(np.searchsorted(np.flatnonzero(codes == ord("\t")), ends), prepend=0)
    length = np.diff(ends, prepend=-1) - 1
    filled = (length > 1) | ((length == 1) & (codes[ends - 1] != ord("\r")))
    return bool((tabs[filled] == tabs[filled][:1]).all())


def _quotes_are_regular(data: bytes, delimiter: str) -> bool:
    """Return whether each quote opens or closes a whole field or is doubled inside one.

    Counting from the start, even quotes open and odd ones close; a doubled quote inside a field
    closes and opens at once.
    """
    codes = np.frombuffer(data, np.uint8)
    quotes = np.flatnonzero(codes == ord('"'))
    if quotes.size % 2:
        return False
    opening, closing = quotes[::2], quotes[1::2]
    before = codes[opening[1:] - 1] if opening[:1] == 0 else codes[opening - 1]
    after = codes[closing[closing + 1 < codes.size] + 1]
    edges = [ord(delimiter), ord("\n"), ord('"')]
    return bool(np.isin(before, edges).all() and np.isin(after, [*edges, ord("\r")]).all())
