"""Tables of text with a delimiter: CSV, TSV, and lines of text, tab, label without a header.

What kind of table it is, is told from its first rows (`dialect`, `layout`). Polars then reads a
regular table, `records` every other: one with stray quotation marks, escapes, rows of odd lengths.
`records` also names the line where a row is at fault.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING

from elman.data.columns import Wanted, recognise
from elman.data.dialect import DELIMITERS, Trial, folded, head_of, is_byte, sniff
from elman.data.form import NAMES, Facts, Form
from elman.data.layout import Layout, has_row_names, lay_out
from elman.data.records import Dialect, Record, records
from elman.errors import DataError

if TYPE_CHECKING:
    import polars as pl

_SAMPLE = 10_000  # rows that tell whether there is a header
_SAMPLED = 1 << 22  # bytes in which they are
_Cell = str | None
_NULL = r"\N"  # what databases write for a missing value
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
    return _Table(data, source, form, wanted, preferred=preferred).read()


class _Table:
    """A table whose dialect is known."""

    def __init__(
        self, data: bytes, source: str, form: Form, wanted: Wanted, *, preferred: str = "\t"
    ):
        self.source, self.form, self.wanted = source, form, wanted
        self.data, self.first_line, said = _without_declaration(data)
        delimiter = form.delimiter or said
        self.dialect = sniff(self.data, wanted, delimiter, preferred)
        self.notes: tuple[str, ...] = ()
        for bare, note in (
            (_without_quotes_around_rows, "each row stands in quotation marks as a whole"),
            (_without_rules, "a table is drawn with lines"),
        ):
            found = bare(self.data, wanted)
            if found is not None:
                self.data = found
                self.dialect = sniff(self.data, wanted, delimiter, preferred)
                self.notes = (f"{note}; read without them",)
        if form.header is not False:
            self._leave_out_titles()

    def _leave_out_titles(self) -> None:
        """Begin with the header where lines of another kind stand above it, as in reports."""
        rows = list(islice(records(head_of(self.data)[0], self.dialect, self.first_line), 30))
        filled = [row for row in rows if any(row.fields)]
        if not filled or not _is_title(filled[0]):
            return
        for row in filled[1:]:
            known = any(recognise(row.fields, role.names) for role in self.wanted.roles)
            named = folded(self.wanted.named) & folded(row.fields)
            if not _is_title(row) and (known or named):
                lines = row.line - self.first_line
                self.data = self.data.split(b"\n", lines)[lines]
                self.first_line = row.line
                above = "1 line" if row.line == 2 else f"{row.line - 1} lines"
                self.notes += (f"{above} above the header left out: {filled[0].fields[0]:.40}",)
                return
            if not _is_title(row):
                return

    def records(self) -> Iterator[Record]:
        """Yield each record from the first that is not blank on."""
        return records(self.data.decode(), self.dialect, self.first_line)

    @cached_property
    def sample(self) -> list[list[str]]:
        """The fields of the first good rows."""
        head = self.data[:_SAMPLED].decode(errors="ignore")
        rows = records(head, self.dialect, self.first_line)
        good = (one.fields for one in rows if any(one.fields) and not one.fault)
        sample = list(islice(good, _SAMPLE))
        if len(sample) > 1 and len(self.data) > _SAMPLED:
            sample.pop()  # it may be cut off
        if not sample:  # refused with the reason
            for one in self.records():
                if one.fault:
                    raise DataError(f"{self.source} line {one.line}{one.fault}{SKIP_HINT}")
            raise DataError(f"{self.source} is empty; give a file with data in it")
        return sample

    def read(self) -> RawColumns:
        """Return the wanted columns."""
        wanted = self.wanted
        layout = lay_out(self.sample, wanted, self.dialect, self.source, self.form.header)
        header, names, places = layout.header, layout.names, layout.columns.places
        positions = list(range(len(names))) if wanted.keep else list(places.values())
        cells, notes = self._cells(positions, len(names), header)
        if header and not (cells and cells[0]):
            raise DataError(
                f"{self.source} has a header and no rows; add rows, or check the export"
            )
        by_place = dict(zip(positions, cells, strict=True))

        def where(row: int) -> str:
            own = {place: by_place[place][row] or "" for place in places.values()}
            return self._line_of(layout, row, own) or self._first_incomplete(layout, row)

        shown = {role: repr(names[i]) if header else names[i] for role, i in places.items()}
        return RawColumns(
            columns={role: self._without_nulls(by_place[i]) for role, i in places.items()},
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

    def _without_nulls(self, cells: list[_Cell]) -> list[_Cell]:
        if b"\\" not in self.data or _NULL.encode() not in self.data:
            return cells
        return [None if cell == _NULL else cell for cell in cells]

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
        if not dialect.regular or b"\0" in data or not is_byte(dialect.delimiter):
            return None
        if header and has_row_names(self.sample):
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
        for record in self.records():
            fields, fault = record.fields, record.fault
            if header and any(fields) and not fault:
                header = False
                continue
            if len(fields) > width and any(fields[width:]) and not fault:
                fault = _too_wide(fields, width, self.dialect)
            if fault and not self.form.skips:
                raise DataError(f"{self.source} line {record.line}{fault}{SKIP_HINT}")
            if fault:
                if skipped is not None:
                    skipped.append(record.line)
            elif width == 1 or any(fields):
                yield record, fields[:width]

    def _line_of(self, layout: Layout, row: int, cells: Mapping[int, str]) -> str | None:
        """Return the line of a row, if it has these ``cells`` by position: rows may be counted
        otherwise by who read them.
        """
        rows = self._rows(len(layout.names), layout.header)
        for record, fields in islice(rows, row, row + 1):
            found = {place: fields[place] if place < len(fields) else "" for place in cells}
            if found == cells:
                return f"line {record.line}"
        return None

    def _first_incomplete(self, layout: Layout, row: int) -> str:
        """Return the line of the first record that has the first role's cell and lacks another."""
        first, *others = layout.columns.places.values()
        for record, fields in self._rows(len(layout.names), layout.header):
            padded = [*fields, *[""] * (max(first, *others, 0) + 1)]
            has = ["" if cell == _NULL else cell.strip() for cell in padded]
            if has[first] and not all(has[place] for place in others):
                return f"line {record.line}"
        return f"row {row + 1}"


def _is_title(row: Record) -> bool:
    """Return whether a row has one field alone, as a spreadsheet's title, or is a comment."""
    return sum(map(bool, row.fields)) < 2 or row.fields[0].startswith("#")


def _without_declaration(data: bytes) -> tuple[bytes, int, str | None]:
    """Return a table without Excel's ``sep=;``, its first line's number, and that delimiter."""
    match = _DECLARATION.match(data)
    if match is None:
        return data, 1, None
    return data[match.end() :], 2, match[1].decode()


_DECLARATION = re.compile(rb'\A"?sep ?= ?([^\r\n"])"?[ \t;,|]*\r?\n', re.IGNORECASE)


def _without_quotes_around_rows(data: bytes, wanted: Wanted) -> bytes | None:
    """Return a table without the quotes, if each row stands in them with delimiters and all.

    Spreadsheets make such files of a table that was pasted into their first column.
    """
    head, _ = head_of(data)
    found = [line.strip() for line in head.split("\n")[:200] if line.strip()]
    if not found or any(_WHOLE_ROW.fullmatch(line) is None for line in found):
        return None
    rows = (line.strip() for line in data.decode().split("\n"))
    bare = "\n".join(row[1:-1].replace('""', '"') for row in rows)
    text, whole = head_of(bare.encode())
    trials = (Trial.of(Dialect(one), text, wanted, whole=whole) for one in DELIMITERS)
    # A column of texts may have a comma in each; a header has not.
    return bare.encode() if any(one.known and one.width > 1 for one in trials) else None


def _without_rules(data: bytes, _: Wanted) -> bytes | None:
    """Return a table without the lines with which Markdown and databases draw one on a screen."""
    if not is_drawn(data):
        return None
    rows = []
    for line in data.split(b"\n"):
        row = b"" if _RULE.fullmatch(line) or _COUNT.fullmatch(line) else line.strip()
        cells = row.removeprefix(b"|").removesuffix(b"|").split(b"|")
        rows.append(b"|".join(map(bytes.strip, cells)))
    return b"\n".join(rows)


def is_drawn(data: bytes) -> bool:
    """Return whether a table has a line of dashes above or below its header."""
    return any(map(_RULE.fullmatch, data[:_SAMPLED].split(b"\n", 2)[:2]))


_RULE = re.compile(rb"\s*(?=[-:+ ]*[|+])[|+]?[ :]*--[-+|: ]*\s*")
_COUNT = re.compile(rb"\s*\(?\d+ rows?( in set[^|]*)?\)?\s*")
_WHOLE_ROW = re.compile(r'"(?:[^"]|"")*"')


def unique(names: Sequence[str]) -> list[str]:
    """Return names of which none comes twice, for the keys of a table."""
    counts: Counter[str] = Counter()
    result = []
    for name in names:
        counts[name] += 1
        result.append(name if counts[name] == 1 else f"{name}_{counts[name]}")
    return result


def _unquoted(column: pl.Series) -> pl.Series:
    import polars as pl

    cell = pl.col(column.name)
    inside = cell.str.slice(1, cell.str.len_chars() - 2).str.replace_all('""', '"', literal=True)
    whole = cell.str.contains(r'\A"(?:[^"]|"")*"\z')
    return column.to_frame().select(pl.when(whole).then(inside).otherwise(cell)).to_series()


def _too_wide(fields: Sequence[str], width: int, dialect: Dialect) -> str:
    name = NAMES.get(dialect.delimiter, repr(dialect.delimiter))
    escaped = any(cell.endswith("\\") for cell in fields[:-1])
    return (
        f" has {len(fields)} fields where the first line has {width}; "
        f"put a text with a {name} in it between quotation marks"
        + (f", as a backslash before a {name} does not keep it in a field" if escaped else "")
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
