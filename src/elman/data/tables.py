"""Tables of text with a separator: CSV, TSV, and lines of text, tab, label without a header.

Polars reads them; Python's own csv module reads the first rows, to see what kind of table it is,
and reads again where Polars refuses, to name the line that is at fault.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np

from elman.data.columns import Columns, Role, Wanted, choose, numbered, recognise
from elman.errors import DataError

if TYPE_CHECKING:
    import polars as pl

_SAMPLE = 20_000
_QUOTED = re.compile(r'"[^"]*"')
_Cell = str | None


@dataclass(frozen=True)
class RawColumns:
    """Columns as they stand in a file, before empty texts are dropped and labels checked.

    Attributes:
        columns: for each role by name its cells.
        names: for each role what its column is called in messages.
        where: names the place of a row that lacks a cell, such as ``"line 14"``.
        notes: what there is to say to the user, one sentence each.
    """

    columns: Mapping[str, Sequence[_Cell]]
    names: Mapping[str, str]
    where: Callable[[int], str]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Dialect:
    """How a table's fields are told apart."""

    delimiter: str
    quoted: bool = True
    regular: bool = True  # every quote opens or closes a whole field, or is doubled inside one


def read_table(data: bytes, wanted: Wanted, source: str, *, preferred: str = "\t") -> RawColumns:
    """Return the wanted columns of a table in UTF-8.

    Args:
        data: The whole file, not empty.
        wanted: What the user said about the columns.
        source: The file's name for messages.
        preferred: The delimiter to take where the first line leaves the choice.

    Raises:
        DataError: The columns cannot be found, a quote is not closed, or a row has too many fields.
    """
    dialect = sniff(data, preferred)
    sample = [fields for _, fields in islice(records(data, dialect, source), _SAMPLE) if fields]
    header, columns = _lay_out(sample, wanted, dialect, source)
    names = sample[0] if header else [str(i + 1) for i in range(len(sample[0]))]
    if header and len(sample) == 1:
        raise DataError(f"{source} has a header and no rows; add rows, or check the export")
    places = columns.places
    cells = _cells(data, dialect, list(places.values()), len(names), header, source)

    def where(row: int) -> str:
        return _first_incomplete(data, dialect, columns, header, source) or f"row {row + 1}"

    shown = {role: repr(names[i]) if header else names[i] for role, i in places.items()}
    return RawColumns(dict(zip(places, cells, strict=True)), shown, where, columns.notes)


def sniff(data: bytes, preferred: str) -> Dialect:
    """Return the delimiter of the first line and how quotes are used in the whole table."""
    first = next(line for line in io.BytesIO(data) if line.strip()).decode()
    bare = _QUOTED.sub("", first)
    candidates = [preferred, *(c for c in ",;\t|" if c != preferred)]
    delimiter = max(candidates, key=bare.count)  # of equals the first
    if preferred == "\t" and "\t" in bare:
        delimiter = "\t"  # a text has commas, hardly tabs
    if b'"' not in data:
        return Dialect(delimiter, quoted=False)
    if delimiter == "\t" and _same_width(data):
        # Each line is a whole row, so quotes keep nothing together and may be part of a text.
        return Dialect(delimiter, quoted=False)
    regular = _quotes_are_regular(data, delimiter)
    return Dialect(delimiter, quoted=regular or delimiter != "\t", regular=regular)


def records(data: bytes, dialect: Dialect, source: str) -> Iterator[tuple[int, list[str]]]:
    """Yield each record from the first on, with the line it starts on; a blank line has no fields.

    Raises:
        DataError: A quote is not closed, or text follows a closing quote.
    """
    csv.field_size_limit(2**31 - 1)  # the module's own limit is 131,072 characters a field
    reader = csv.reader(
        (line.replace("\r\n", "\n").replace("\r", " ") for line in _lines(data)),
        delimiter=dialect.delimiter,
        quoting=csv.QUOTE_MINIMAL if dialect.quoted else csv.QUOTE_NONE,
        strict=True,
    )
    line, begun = 1, False
    while True:
        try:
            fields = next(reader, None)
        except csv.Error as error:
            raise DataError(
                f"{source} line {line}: a quotation mark opens here and the field does not end "
                'with one; close it, and write a quotation mark inside a field twice ("")'
            ) from error
        if fields is None:
            return
        begun = begun or bool(fields)
        if begun:
            yield line, _unquote(fields, dialect)
        line = reader.line_num + 1


def _lines(data: bytes) -> Iterator[str]:
    return io.TextIOWrapper(io.BytesIO(data), encoding="utf-8", newline="\n")


def _unquote(fields: list[str], dialect: Dialect) -> list[str]:
    if dialect.quoted:
        return fields
    return [_QUOTED_FIELD.sub(_inside, field) if field[:1] == '"' else field for field in fields]


_QUOTED_FIELD = re.compile(r'\A"((?:[^"]|"")*)"\Z')


def _inside(match: re.Match[str]) -> str:
    return match[1].replace('""', '"')


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


def _lay_out(
    sample: list[list[str]], wanted: Wanted, dialect: Dialect, source: str
) -> tuple[bool, Columns]:
    """Return whether the first record is a header, and the columns."""
    first = sample[0]
    named = [given for given in wanted.given.values() if not given.isdecimal()]
    if named or any(recognise(first, role.names) for role in wanted.roles):
        return True, choose(first, wanted, source)
    columns = _by_position(sample, wanted)
    if columns is None:
        return True, choose(first, wanted, source)
    repeating = [columns.places[role.name] for role in wanted.roles if role.repeats]
    if repeating and _is_header(sample, repeating[0], dialect):
        return True, choose(first, wanted, source)
    return False, columns


def _by_position(sample: list[list[str]], wanted: Wanted) -> Columns | None:
    """Return the columns of a table without a header, or None where they cannot be told."""
    width, roles = len(sample[0]), wanted.roles
    places = {role.name: numbered(wanted.given.get(role.name), width) for role in roles}
    if any(places[name] is None for name in wanted.given):
        return None  # a number that is no column's: `choose` says so
    if width == len(roles) == 1:
        return Columns({roles[0].name: 0})
    order = _usual_order(sample, roles)
    free = [i for i in order if i not in places.values()]
    for name, place in places.items():
        if place is None and free:
            places[name] = free.pop(0)
    chosen = {name: place for name, place in places.items() if place is not None}
    if len(chosen) < len(roles) or len({*chosen.values()}) < len(roles):
        return None
    said = [f"column {place + 1} is read as the {name}" for name, place in chosen.items()]
    return Columns(chosen, ("no header found: " + ", ".join(said),))


def _usual_order(sample: list[list[str]], roles: Sequence[Role]) -> list[int]:
    """Return the columns in the order of the roles, where their number tells which is which."""
    width = len(sample[0])
    if width != max(len(roles), 2):
        return []
    # The text comes first, unless the first column is plainly the labels.
    labelled = len(roles) == 1 or roles[-1].repeats
    return [1, 0] if width == 2 and labelled and _text_position(sample) else [*range(width)]


def _text_position(sample: list[list[str]]) -> int:
    """Return 0 or 1: the text comes first, unless the first column is plainly the labels."""
    first, second = ({row[i] for row in sample if len(row) > i} for i in (0, 1))
    return 1 if len(first) * 2 <= len(second) else 0


def _is_header(sample: list[list[str]], label: int, dialect: Dialect) -> bool:
    """Return whether the first record names columns, though by no name that is known.

    A label comes again further down and the name of the column does not. Where labels hardly
    repeat at all that says nothing: a comma then speaks for a header, a tab against one.
    """
    below = [row[label] for row in sample[1:] if len(row) > label]
    if sample[0][label] in below:
        return False
    telling = len(below) >= 10 and len(set(below)) * 2 <= len(below)
    return telling or dialect.delimiter != "\t"


def _cells(
    data: bytes, dialect: Dialect, places: list[int], width: int, header: bool, source: str
) -> list[list[_Cell]]:
    cells = _cells_by_polars(data, dialect, places, width, header)
    if cells is None:
        cells = _cells_by_csv(data, dialect, places, width, header, source)
    return cells


def _cells_by_polars(
    data: bytes, dialect: Dialect, wanted: list[int], width: int, header: bool
) -> list[list[_Cell]] | None:
    """Return the columns ``wanted``, or None where the table has to be read with more care."""
    if not dialect.regular:
        return None  # Polars takes a quote inside a field for the start of a quoted one
    import polars as pl

    try:
        # All columns, not the wanted ones alone: only then are rows with too many fields refused.
        frame = pl.read_csv(
            data,
            separator=dialect.delimiter,
            quote_char='"' if dialect.quoted else None,
            has_header=header,
            infer_schema=False,
        )
    except pl.exceptions.PolarsError:
        return None
    if frame.width != width:
        return None
    if width > 1:  # a blank line
        frame = frame.filter(~pl.all_horizontal(pl.all().is_null()))
    series = [frame.to_series(i) for i in wanted]
    del frame
    if not dialect.quoted and b'"' in data:
        series = [_unquoted(column) for column in series]
    return [column.to_list() for column in series]


def _unquoted(column: pl.Series) -> pl.Series:
    import polars as pl

    field = pl.col(column.name)
    inside = field.str.slice(1, field.str.len_chars() - 2).str.replace_all('""', '"', literal=True)
    whole = field.str.contains(r'\A"(?:[^"]|"")*"\z')
    return column.to_frame().select(pl.when(whole).then(inside).otherwise(field)).to_series()


def _cells_by_csv(
    data: bytes, dialect: Dialect, wanted: list[int], width: int, header: bool, source: str
) -> list[list[_Cell]]:
    found: list[list[_Cell]] = [[] for _ in wanted]
    for line, fields in islice(records(data, dialect, source), int(header), None):
        if len(fields) > width:
            raise _too_wide(source, line, len(fields), width, dialect)
        if width > 1 and not any(fields):
            continue
        for column, position in zip(found, wanted, strict=True):
            column.append(fields[position] if position < len(fields) else None)
    return found


def _too_wide(source: str, line: int, fields: int, width: int, dialect: Dialect) -> DataError:
    name = {"\t": "tab", ",": "comma", ";": "semicolon", "|": "bar"}[dialect.delimiter]
    return DataError(
        f"{source} line {line} has {fields} fields where the first line has {width}; "
        f"put a text with a {name} in it between quotation marks"
    )


def _first_incomplete(
    data: bytes, dialect: Dialect, columns: Columns, header: bool, source: str
) -> str | None:
    """Return the line of the first record that has a cell for the first role and lacks another."""
    first, *others = columns.places.values()
    for line, fields in islice(records(data, dialect, source), int(header), None):
        padded = [*fields, *[""] * (max(first, *others, 0) + 1)]
        if padded[first].strip() and not all(padded[place].strip() for place in others):
            return f"line {line}"
    return None
