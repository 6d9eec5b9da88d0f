"""The rows of a table of text with a delimiter, each with its line, and why one cannot be read."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple


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


HAS_NUL = " has a NUL byte, which no text has; delete it"
"""The fault of a row; of any format."""
_ESCAPED = re.compile(r'\\(["\\])')


class Record(NamedTuple):
    """One row of a table."""

    line: int
    """On which it begins, from 1."""
    fields: list[str]
    fault: str = ""
    """Why it cannot be read and what to do: the rest of a sentence."""


def records(text: str, dialect: Dialect, first_line: int = 1) -> Iterator[Record]:
    """Yield each record from the first that is not blank on; a blank line has no fields."""
    delimiter, has_nul = dialect.delimiter, "\0" in text
    position, line, begun = 0, first_line, False
    rows = _OneLineRows(dialect)
    while position < len(text):
        end = text.find("\n", position)
        end = len(text) if end < 0 else end
        row = text[position:end]
        fields, fault, after = [], "", end
        if '"' not in row or not dialect.quoted:
            fields = _plain(row, dialect)
        elif not (fields := rows.fields_of(row)):
            fields, fault, after = _quoted(text, position, dialect)
        if has_nul and any("\0" in cell for cell in fields):
            fault = HAS_NUL
        begun = begun or fields != [""]
        if begun:
            yield Record(line, fields if fields != [""] or delimiter in row else [], fault)
        if after > end:
            line += text.count("\n", end, after)
        line, position = line + 1, after + 1


class _OneLineRows:
    """Rows whose quotes close in their line, read by Python's csv module, which is fast."""

    def __init__(self, dialect: Dialect):
        self._delimiter = dialect.delimiter
        self._able = len(dialect.delimiter) == 1 and not dialect.blanks and not dialect.escapes
        csv.field_size_limit(2**31 - 1)  # the module's own limit is 131,072 characters a field
        self._begin()

    def _begin(self) -> None:
        self._row: str | None = None
        self._reader = (
            csv.reader(self, delimiter=self._delimiter, strict=True) if self._able else None
        )

    def __iter__(self) -> _OneLineRows:
        return self

    def __next__(self) -> str:
        if self._row is None:  # a quote does not close in its line
            raise StopIteration
        row, self._row = self._row, None
        return row

    def fields_of(self, row: str) -> list[str]:
        """Return the fields of a row; none where it has to be read with more care."""
        if self._reader is None or "\r" in row[:-1]:
            return []
        self._row = row
        try:
            return next(self._reader)
        except (csv.Error, StopIteration):
            self._begin()
            return []


def _plain(row: str, dialect: Dialect) -> list[str]:
    fields = row.removesuffix("\r").split(dialect.delimiter)
    if '"' in row:
        return [_without_quotes(cell, dialect) for cell in fields]
    return fields


def _without_quotes(cell: str, dialect: Dialect) -> str:
    """Return what is meant by a field that stands in quotes as a whole; any other as it is."""
    match = dialect.quoted_field.fullmatch(cell.rstrip(" ") if dialect.blanks else cell)
    return cell if match is None else dialect.unquote(match[1])


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
