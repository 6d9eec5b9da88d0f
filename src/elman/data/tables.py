"""Tables of text with a delimiter: CSV, TSV, and lines of text, tab, label without a header.

What kind of table it is, is told from its first rows (`sniff`). Polars then reads a regular table,
`records` every other: one with stray quotation marks, escapes, rows of odd lengths. `records` also
names the line where a row is at fault.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from elman.data.columns import HEADER_WORDS, Columns, Role, Wanted, choose, numbered, recognise
from elman.data.form import NAMES, Facts, Form
from elman.errors import DataError

if TYPE_CHECKING:
    import polars as pl

_HEAD = 1 << 18  # characters that tell the delimiter
_SAMPLE = 20_000  # rows that tell whether there is a header
_MOST_TRIED = 1 << 24  # characters that tell how quotes are written, where they are irregular
_DELIMITERS = ("\t", ";", "|", ",")  # of equals the first: a text has commas, hardly tabs
_Cell = str | None
SKIP_HINT = "; --bad-rows skip leaves such rows out"


@dataclass(frozen=True)
class RawColumns:
    """Columns as they stand in a file, before empty texts are dropped and labels checked.

    Attributes:
        columns: for each role by name its cells.
        names: for each role what its column is called in messages.
        where: names the place of a row that lacks a cell, such as ``"line 14"``.
        facts: how the file was read.
        notes: what there is to say to the user, one sentence each.
        table: every column by name, where they were asked for.
    """

    columns: Mapping[str, Sequence[_Cell]]
    names: Mapping[str, str]
    where: Callable[[int], str]
    facts: Facts
    notes: tuple[str, ...] = ()
    table: Mapping[str, Sequence[_Cell]] = field(default_factory=dict)


@dataclass(frozen=True)
class Dialect:
    """How a table's fields are told apart."""

    delimiter: str
    quoted: bool = True
    """Whether quotation marks keep delimiters and line ends together."""
    regular: bool = True
    """Whether every quote opens or closes a whole field, or is doubled inside one."""
    blanks: bool = False
    """Whether blanks around a quoted field do not count."""
    escapes: bool = False
    """Whether a backslash stands before a quotation mark inside quotes."""

    @cached_property
    def quoted_field(self) -> re.Pattern[str]:
        """A quoted field up to its closing quote."""
        inside = r'[^"\\]*(?:(?:\\.|"")[^"\\]*)*' if self.escapes else r'[^"]*(?:""[^"]*)*'
        return re.compile((" *" if self.blanks else "") + f'"({inside})"', re.DOTALL)

    def unquote(self, inside: str) -> str:
        """Return what is meant by the inside of a quoted field."""
        inside = inside.replace('""', '"')
        if self.escapes and "\\" in inside:
            inside = _ESCAPED.sub(r"\1", inside)
        return inside


_ESCAPED = re.compile(r'\\(["\\])')


class Record(NamedTuple):
    """One row of a table."""

    line: int
    """On which it begins, from 1."""
    fields: list[str]
    fault: str = ""
    """Why it cannot be read and what to do: the rest of a sentence."""


@dataclass(frozen=True)
class Layout:
    """Where the columns of a table are."""

    header: bool
    names: list[str]
    columns: Columns


def read_table(
    data: bytes, wanted: Wanted, source: str, form: Form, *, preferred: str = "\t"
) -> RawColumns:
    """Return the wanted columns of a table in UTF-8.

    Args:
        data: The whole file, not empty.
        wanted: What the user said about the columns.
        source: The file's name for messages.
        form: What the user said about the file.
        preferred: The delimiter to take where the rows leave the choice.

    Raises:
        DataError: The columns cannot be found, or a row cannot be read.
    """
    return Table(data, source, form, wanted, preferred=preferred).read(wanted)


class Table:
    """A table whose dialect is known."""

    def __init__(
        self, data: bytes, source: str, form: Form, wanted: Wanted, *, preferred: str = "\t"
    ):
        self.source, self.form = source, form
        self.data, self.first_line, said = _without_declaration(data)
        delimiter = form.delimiter or said
        self.dialect = sniff(self.data, wanted, delimiter, preferred)
        self.notes: tuple[str, ...] = ()
        bare = _without_quotes_around_rows(self.data, wanted)
        if bare is not None:
            self.data = bare
            self.dialect = sniff(self.data, wanted, delimiter, preferred)
            self.notes = ("each row stands in quotation marks as a whole; read without them",)
        if form.header is not False:
            self._leave_out_titles(wanted)

    def _leave_out_titles(self, wanted: Wanted) -> None:
        """Begin with the header where lines of another kind stand above it, as in reports."""
        rows = list(islice(records(_head(self.data)[0], self.dialect, self.first_line), 30))
        filled = [row for row in rows if any(row.fields)]
        if not filled or len(filled[0].fields) > 1:
            return
        for row in filled[1:]:
            known = any(recognise(row.fields, role.names) for role in wanted.roles)
            named = any(name.strip().casefold() in _folded(row.fields) for name in wanted.named)
            if len(row.fields) > 1 and (known or named):
                lines = row.line - self.first_line
                for _ in range(lines):
                    self.data = self.data[self.data.index(b"\n") + 1 :]
                self.first_line = row.line
                above = "1 line" if row.line == 2 else f"{row.line - 1} lines"
                self.notes += (f"{above} above the header left out: {filled[0].fields[0]:.40}",)
                return
            if len(row.fields) > 1:
                return

    def records(self) -> Iterator[Record]:
        """Yield each record from the first that is not blank on."""
        return records(self.data.decode(), self.dialect, self.first_line)

    @cached_property
    def sample(self) -> list[list[str]]:
        """The fields of the first good rows."""
        head = self.data[: _HEAD * 16].decode(errors="ignore")
        rows = records(head, self.dialect, self.first_line)
        good = (one.fields for one in rows if any(one.fields) and not one.fault)
        sample = list(islice(good, _SAMPLE))
        if len(sample) > 1 and len(self.data) > _HEAD * 16:
            sample.pop()  # it may be cut off
        if not sample:  # refused with the reason
            for one in self.records():
                if one.fault:
                    raise DataError(f"{self.source} line {one.line}{one.fault}{SKIP_HINT}")
            raise DataError(f"{self.source} is empty; give a file with data in it")
        return sample

    def read(self, wanted: Wanted) -> RawColumns:
        """Return the wanted columns."""
        layout = self._lay_out(wanted)
        header, names, places = layout.header, layout.names, layout.columns.places
        positions = list(range(len(names))) if wanted.keep else list(places.values())
        cells, notes = self._cells(positions, len(names), header)
        if header and not (cells and cells[0]):
            raise DataError(
                f"{self.source} has a header and no rows; add rows, or check the export"
            )
        by_place = dict(zip(positions, cells, strict=True))

        def where(row: int) -> str:
            return self._first_incomplete(layout, row)

        shown = {role: repr(names[i]) if header else names[i] for role, i in places.items()}
        return RawColumns(
            columns={role: by_place[i] for role, i in places.items()},
            names=shown,
            where=where,
            facts=Facts(
                source=self.source,
                format={",": "CSV", "\t": "TSV"}.get(self.dialect.delimiter, "a table"),
                names=tuple(names),
                delimiter=self.dialect.delimiter if len(names) > 1 else None,
                header=header,
                columns={role: names[i] for role, i in places.items()},
            ),
            notes=self.notes + layout.columns.notes + notes,
            table=dict(zip(unique(names), cells, strict=True)) if wanted.keep else {},
        )

    def _lay_out(self, wanted: Wanted) -> Layout:
        """Return whether the first record is a header, and the columns."""
        header, columns = _lay_out(self.sample, wanted, self.dialect, self.source, self.form.header)
        names = self.sample[0] if header else [str(i + 1) for i in range(_width(self.sample))]
        if header and _has_row_names(self.sample):
            columns = replace(
                columns, places={role: place + 1 for role, place in columns.places.items()}
            )
            names = ["", *names]
        return Layout(header, names, columns)

    def _cells(
        self, positions: list[int], width: int, header: bool
    ) -> tuple[list[list[_Cell]], tuple[str, ...]]:
        cells = self._cells_by_polars(positions, width, header)
        return (
            (cells, ()) if cells is not None else self._cells_by_records(positions, width, header)
        )

    def _cells_by_polars(
        self, positions: list[int], width: int, header: bool
    ) -> list[list[_Cell]] | None:
        """Return the columns, or None where the table has to be read with more care."""
        dialect, data = self.dialect, self.data
        if not dialect.regular or b"\0" in data or not _is_byte(dialect.delimiter):
            return None
        if header and _has_row_names(self.sample):
            return None
        import polars as pl

        try:
            # All columns, not the wanted ones alone: only then are rows with too many refused.
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
        series = [frame.to_series(i) for i in positions]
        del frame
        if not dialect.quoted and b'"' in data:
            series = [_unquoted(column) for column in series]
        return [column.to_list() for column in series]

    def _cells_by_records(
        self, positions: list[int], width: int, header: bool
    ) -> tuple[list[list[_Cell]], tuple[str, ...]]:
        found: list[list[_Cell]] = [[] for _ in positions]
        skipped: list[int] = []
        surplus = 0
        for record, fields in self._rows(width, header, skipped):
            surplus += len(record.fields) > width
            for column, position in zip(found, positions, strict=True):
                column.append(fields[position] if position < len(fields) else None)
        return found, _notes_on_rows(skipped, surplus)

    def _rows(
        self, width: int, header: bool, skipped: list[int] | None = None
    ) -> Iterator[tuple[Record, list[str]]]:
        """Yield the rows that count, with their fields up to ``width``.

        Raises:
            DataError: A row cannot be read, and such rows are not to be skipped.
        """
        found = islice(self.records(), int(header), None)
        for record in found:
            fields, fault = record.fields, record.fault
            if len(fields) > width and any(fields[width:]) and not fault:
                fault = _too_wide(len(fields), width, self.dialect)
            if fault and not self.form.skips:
                raise DataError(f"{self.source} line {record.line}{fault}{SKIP_HINT}")
            if fault:
                if skipped is not None:
                    skipped.append(record.line)
            elif width == 1 or any(fields):
                yield record, fields[:width]

    def _first_incomplete(self, layout: Layout, row: int) -> str:
        """Return the line of the first record that has the first role's cell and lacks another."""
        first, *others = layout.columns.places.values()
        for record, fields in self._rows(len(layout.names), layout.header):
            padded = [*fields, *[""] * (max(first, *others, 0) + 1)]
            if padded[first].strip() and not all(padded[place].strip() for place in others):
                return f"line {record.line}"
        return f"row {row + 1}"


def _without_declaration(data: bytes) -> tuple[bytes, int, str | None]:
    """Return a table without Excel's ``sep=;``, its first line's number, and that delimiter."""
    match = _DECLARATION.match(data)
    if match is None:
        return data, 1, None
    return data[match.end() :], 2, match[1].decode()


_DECLARATION = re.compile(rb'\A"?sep=([^\r\n"])"?[ \t]*\r?\n', re.IGNORECASE)


def _without_quotes_around_rows(data: bytes, wanted: Wanted) -> bytes | None:
    """Return a table without the quotes, if each row stands in them with delimiters and all.

    Spreadsheets make such files of a table that was pasted into their first column.
    """
    head, _ = _head(data)
    found = [line.strip() for line in head.split("\n")[:200] if line.strip()]
    if not found or any(_WHOLE_ROW.fullmatch(line) is None for line in found):
        return None
    rows = (line.strip() for line in data.decode().split("\n"))
    bare = "\n".join(row[1:-1].replace('""', '"') for row in rows)
    text, whole = _head(bare.encode())
    trials = (_Trial.of(Dialect(one), text, wanted, whole=whole) for one in _DELIMITERS)
    # A column of texts may have a comma in each; a header has not.
    return bare.encode() if any(one.known and one.width > 1 for one in trials) else None


_WHOLE_ROW = re.compile(r'"(?:[^"]|"")*"')


def unique(names: Sequence[str]) -> list[str]:
    """Return names of which none comes twice, for the keys of a table."""
    counts: Counter[str] = Counter()
    result = []
    for name in names:
        counts[name] += 1
        result.append(name if counts[name] == 1 else f"{name}_{counts[name]}")
    return result


# -------------------------------------------------------------------------------------------------
# Records


def records(text: str, dialect: Dialect, first_line: int = 1) -> Iterator[Record]:
    """Yield each record from the first that is not blank on; a blank line has no fields."""
    delimiter, has_nul = dialect.delimiter, "\0" in text
    position, line, begun = 0, first_line, False
    while position < len(text):
        end = text.find("\n", position)
        end = len(text) if end < 0 else end
        row = text[position:end]
        if '"' not in row or not dialect.quoted:
            fields, fault, after = _plain(row, dialect), "", end
        else:
            fields, fault, after = _quoted(text, position, dialect)
        if has_nul and any("\0" in cell for cell in fields):
            fault = " has a NUL byte, which no text has; delete it"
        begun = begun or fields != [""]
        if begun:
            yield Record(line, fields if fields != [""] or delimiter in row else [], fault)
        if after > end:
            line += text.count("\n", end, after)
        line, position = line + 1, after + 1


def _plain(row: str, dialect: Dialect) -> list[str]:
    fields = row.removesuffix("\r").split(dialect.delimiter)
    if '"' in row:
        return [_QUOTED_FIELD.sub(_inside, cell) if cell[:1] == '"' else cell for cell in fields]
    return fields


_QUOTED_FIELD = re.compile(r'\A"((?:[^"]|"")*)"\Z')


def _inside(match: re.Match[str]) -> str:
    return match[1].replace('""', '"')


def _quoted(text: str, position: int, dialect: Dialect) -> tuple[list[str], str, int]:
    """Return the fields of the record at ``position``, its fault, and where its line end is."""
    fields: list[str] = []
    begin, delimiter = position, dialect.delimiter
    while True:
        match = dialect.quoted_field.match(text, position)
        if match is not None:
            fields.append(dialect.unquote(match[1]))
            position = match.end()
            if dialect.blanks:
                position = _after_blanks(text, position)
            ending = _ending(text, position, delimiter)
            if ending == "\r" and text[position + 1 : position + 2] in ("\n", ""):
                position, ending = position + 1, "\n"
            if ending not in (delimiter, "\n", ""):
                match = None
        elif text.startswith('"', position):
            ending = '"'
        else:
            end = text.find("\n", position)
            end = len(text) if end < 0 else end
            stop = text.find(delimiter, position, end)
            cell = text[position : end if stop < 0 else stop]
            fields.append(cell.removesuffix("\r") if stop < 0 else cell)
            position, ending = (end, "\n") if stop < 0 else (stop, delimiter)
        if ending == delimiter:
            position += len(delimiter)
        elif ending in ("\n", ""):
            return fields, "", position
        else:
            end = text.find("\n", begin)
            return fields or [""], _UNCLOSED, len(text) if end < 0 else end


def _ending(text: str, position: int, delimiter: str) -> str:
    """Return what stands behind a field: the delimiter, or one character."""
    return delimiter if text.startswith(delimiter, position) else text[position : position + 1]


_UNCLOSED = (
    ": a quotation mark opens here and the field does not end with one; close it, and write a "
    'quotation mark inside a field twice ("")'
)


def _after_blanks(text: str, position: int) -> int:
    while text[position : position + 1] == " ":
        position += 1
    return position


# -------------------------------------------------------------------------------------------------
# The dialect


def sniff(data: bytes, wanted: Wanted, delimiter: str | None, preferred: str) -> Dialect:
    """Return how the fields of a table are told apart.

    Args:
        data: The whole table.
        wanted: The columns; where their names are known they tell the delimiter.
        delimiter: The one that is given, or None.
        preferred: The one that goes before others which fit as well.
    """
    head, whole = _head(data)
    order = [delimiter] if delimiter else [preferred, *(d for d in _DELIMITERS if d != preferred)]
    trials = [_Trial.of(Dialect(one), head, wanted, whole=whole) for one in order]
    best = max(trials, key=lambda trial: trial.fit)  # of equals the first
    return _with_quotes(data, best.dialect.delimiter, wanted)


def _head(data: bytes) -> tuple[str, bool]:
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
    head, whole = _head(data)
    for delimiter in _DELIMITERS:
        trial = _Trial.of(Dialect(delimiter), head, wanted, whole=whole)
        if trial.width > 1 and (
            trial.known or (trial.share == 1 and (delimiter == "\t" or not tabs))
        ):
            return True
    return False


@dataclass(frozen=True)
class _Trial:
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
    def of(cls, dialect: Dialect, text: str, wanted: Wanted, *, whole: bool) -> _Trial:
        rows = list(islice(records(text, dialect), 1_000))
        if not whole and len(rows) > 1:
            rows.pop()
        filled = [row for row in rows if any(row.fields)]
        widths = Counter(len(row.fields) for row in filled if not row.fault)
        width, count = widths.most_common(1)[0] if widths else (1, 0)
        first = filled[0].fields if filled else []
        known = sum(bool(recognise(first, role.names)) for role in wanted.roles)
        named = sum(name.strip().casefold() in _folded(first) for name in wanted.named)
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


def _folded(names: Iterable[str]) -> set[str]:
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
        return Dialect(delimiter, quoted=False)
    regular = _is_byte(delimiter) and _quotes_are_regular(data, delimiter)
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


def _is_byte(delimiter: str) -> bool:
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


# -------------------------------------------------------------------------------------------------
# Header and columns


def _width(sample: list[list[str]]) -> int:
    """Return how many fields most rows of a table without a header have.

    Those at the end that are empty in all rows do not count.
    """
    width = Counter(map(len, sample)).most_common(1)[0][0]
    while width > 1 and not any(row[width - 1].strip() for row in sample if len(row) >= width):
        width -= 1
    return width


def _lay_out(
    sample: list[list[str]], wanted: Wanted, dialect: Dialect, source: str, header: bool | None
) -> tuple[bool, Columns]:
    """Return whether the first record is a header, and the columns."""
    first = sample[0]
    if header is True:
        return True, choose(first, wanted, source)
    if header is None and _names_columns(sample, wanted):
        return True, _noted(choose(first, wanted, source), first, wanted)
    columns = _by_position(sample, wanted, source, said=header is False)
    if columns is None and header is None:
        return True, choose(first, wanted, source)
    if columns is None:
        return False, choose([str(i + 1) for i in range(_width(sample))], wanted, source)
    if header is None and not wanted.given and _is_unknown_header(sample, columns, wanted, dialect):
        return True, choose(first, wanted, source)
    return False, columns


def _names_columns(sample: list[list[str]], wanted: Wanted) -> bool:
    """Return whether the first row plainly names the columns."""
    first, below = sample[0], sample[1:]
    if wanted.named:
        return True
    folded = [name.strip().casefold() for name in first]
    known = {role.name: recognise(first, role.names) for role in wanted.roles}
    numbers = {
        role.name: numbered(wanted.given.get(role.name), len(first)) for role in wanted.roles
    }
    # A name of a column stands in its own column once; a word of the data comes again.
    repeats = [
        place
        for role in wanted.roles
        if role.repeats
        for place in (numbers[role.name], *known[role.name][:1], len(first) - 1)
        if place is not None
    ][:1]
    if len(wanted.roles) == 1:  # of which no column need be labels
        own = known[wanted.roles[0].name]
        repeats = [i for i, name in enumerate(first) if name and i not in own]
    if any(first[i] == row[i] for i in repeats for row in below if len(row) > i):
        return False
    if _numbers_below_a_word(sample):
        return True
    if wanted.given:  # by number: only a row of names alone is no data
        return sum(name in HEADER_WORDS for name in folded if name) * 2 > len(first)
    return any(known.values())


def _numbers_below_a_word(sample: list[list[str]]) -> bool:
    """Return whether a column is a word first and numbers from there on."""
    first, below = sample[0], sample[1 : 1 + 200]
    if len(below) < 2:
        return False
    for i, cell in enumerate(first):
        cells = [row[i] for row in below if len(row) > i and row[i].strip()]
        if cell.strip() and not _is_number(cell) and len(cells) > 1 and all(map(_is_number, cells)):
            return True
    return False


def _is_number(cell: str) -> bool:
    return _NUMBER.fullmatch(cell.strip()) is not None


_NUMBER = re.compile(r"[-+]?\d+([.,]\d+)?([eE][-+]?\d+)?")


def _noted(columns: Columns, first: list[str], wanted: Wanted) -> Columns:
    """Say what was taken for a header where the user did not name the columns by it."""
    if (not wanted.given and len(first) > 1) or wanted.named:
        return columns
    names = ", ".join(repr(name) for name in first[:8]) + (" ..." if len(first) > 8 else "")
    note = f"the first row is taken as the header: {names} (--no-header reads it as data)"
    return Columns(columns.places, (note, *columns.notes))


def _by_position(
    sample: list[list[str]], wanted: Wanted, source: str, *, said: bool
) -> Columns | None:
    """Return the columns of a table without a header, or None where they cannot be told."""
    width, roles = _width(sample), wanted.roles
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
    read = [f"column {place + 1} is read as the {name}" for name, place in chosen.items()]
    return Columns(chosen, () if said else ("no header found: " + ", ".join(read),))


def _usual_order(sample: list[list[str]], roles: Sequence[Role]) -> list[int]:
    """Return the columns in the order of the roles, where their number tells which is which."""
    width = _width(sample)
    if width != max(len(roles), 2):
        return []
    # The text comes first, unless the first column is plainly the labels.
    labelled = len(roles) == 1 or roles[-1].repeats
    return [1, 0] if width == 2 and labelled and _text_position(sample) else [*range(width)]


def _text_position(sample: list[list[str]]) -> int:
    """Return 0 or 1: the text comes first, unless the first column is plainly the labels.

    Labels are few and come again; where there are too few rows to tell by that, they are the column
    of single words that come again beside one of several words.
    """
    columns = [[row[i].strip() for row in sample if len(row) > 1] for i in (0, 1)]
    first, second = (set(column) for column in columns)
    if len(first) * 2 <= len(second):
        return 1
    words, texts = columns
    single = not any(" " in cell for cell in first)
    several = sum(" " in cell for cell in texts) * 2 > len(texts)
    repeats = len(first) < len(words) and len(first) < len(second)
    numbers = all(map(_is_number, words))
    return 1 if single and several and (repeats or numbers) else 0


def _is_unknown_header(
    sample: list[list[str]], columns: Columns, wanted: Wanted, dialect: Dialect
) -> bool:
    """Return whether the first record names columns, though by no name that is known.

    A label comes again further down and the name of the column does not. Where labels hardly
    repeat at all that says nothing: a comma then speaks for a header, a tab against one.
    """
    repeating = [columns.places[role.name] for role in wanted.roles if role.repeats]
    if not repeating:
        return False
    label = repeating[0]
    below = [row[label] for row in sample[1:] if len(row) > label]
    if len(sample[0]) <= label or sample[0][label] in below or _is_number(sample[0][label]):
        return False
    telling = len(below) >= 10 and len(set(below)) * 2 <= len(below)
    return telling or dialect.delimiter != "\t"


def _has_row_names(sample: list[list[str]]) -> bool:
    """Return whether each row has its number before the columns of the header, as R writes it."""
    width, below = len(sample[0]), sample[1:]
    if len(below) < 2 or any(len(row) != width + 1 for row in below):
        return False
    numbers = [row[0] for row in below]
    return numbers == [str(i) for i in range(1, len(below) + 1)]


# -------------------------------------------------------------------------------------------------
# Rows


def _unquoted(column: pl.Series) -> pl.Series:
    import polars as pl

    cell = pl.col(column.name)
    inside = cell.str.slice(1, cell.str.len_chars() - 2).str.replace_all('""', '"', literal=True)
    whole = cell.str.contains(r'\A"(?:[^"]|"")*"\z')
    return column.to_frame().select(pl.when(whole).then(inside).otherwise(cell)).to_series()


def _too_wide(fields: int, width: int, dialect: Dialect) -> str:
    name = NAMES.get(dialect.delimiter, repr(dialect.delimiter))
    return (
        f" has {fields} fields where the first line has {width}; "
        f"put a text with a {name} in it between quotation marks"
    )


def _notes_on_rows(skipped: Sequence[int], surplus: int) -> tuple[str, ...]:
    notes: tuple[str, ...] = ()
    if surplus:
        rows = "1 row ends" if surplus == 1 else f"{surplus:,} rows end"
        notes += (f"{rows} with more delimiters than the header; the empty fields are dropped",)
    return notes + notes_on_skipped(skipped)


def notes_on_skipped(lines: Sequence[int]) -> tuple[str, ...]:
    """Say how many rows were left out, and where the first of them are."""
    if not lines:
        return ()
    shown = ", ".join(map(str, lines[:5])) + (" ..." if len(lines) > 5 else "")
    rows = "1 row" if len(lines) == 1 else f"{len(lines):,} rows"
    return (f"{rows} that cannot be read left out (line {shown})",)
