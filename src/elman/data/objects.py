"""JSON: objects one a line, or in one document; and rows that are objects, from wherever."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

import msgspec

from elman.data.columns import Wanted, choose, listed
from elman.data.form import Facts, Form
from elman.data.records import HAS_NUL
from elman.data.tables import SKIP_HINT, RawColumns, notes_on_skipped
from elman.errors import DataError

SEVERAL_HINT = "; --multilabel reads several labels a text"
_FIRST = 100  # objects whose fields are the columns
Row = tuple[int, dict[str, Any]]  # its number from 1, its fields


def read_json(data: bytes, wanted: Wanted, source: str, form: Form) -> RawColumns:
    """Return the wanted fields of JSON in UTF-8: objects one a line, or in one document.

    A document is an array of objects, or an object of columns; one that holds an array of objects
    beside other things is read as that array.

    Raises:
        DataError: A line is no JSON object, lacks a field, or has no plain value in it.
    """
    found = objects_in(data, source, form)
    return from_objects(
        found.rows, wanted, source, form, found.kind, found.skipped, noun=found.noun
    )


@dataclass(frozen=True)
class Objects:
    """The objects of a file, as they are read.

    Attributes:
        rows: each with its number from 1.
        kind: the format in words.
        noun: what messages call a row.
        skipped: the numbers of rows that were left out, filled in on the way.
    """

    rows: Iterator[Row]
    kind: str
    noun: str
    skipped: list[int] = field(default_factory=list)


def objects_in(
    data: bytes,
    source: str,
    form: Form,
    is_row: Callable[[Mapping[str, Any]], bool] = lambda value: False,
) -> Objects:
    """Return the objects of JSON in UTF-8, one a line or in one document, as for :func:`read_json`.

    Args:
        data: the file.
        source: its name for messages.
        form: what the user said about it.
        is_row: whether an object that may be read as a table is a single row.

    Raises:
        DataError: it is no JSON; possibly only on the way.
    """
    skipped: list[int] = []
    if _is_one_document(data, is_row):
        return Objects(
            _rows_of_document(data, source, form, skipped, is_row), "JSON", "item", skipped
        )
    return Objects(_rows_of_lines(data, source, form, skipped), "JSON lines", "line", skipped)


def _rows_of_lines(data: bytes, source: str, form: Form, skipped: list[int]) -> Iterator[Row]:
    with_nul = _has_nul(data)
    for number, line in enumerate(io.BytesIO(data), start=1):
        if line.isspace():
            continue
        try:
            row = _json_object(_row(line))
            if with_nul:
                _refuse_nul(row)
            yield number, row
        except DataError as error:
            if not form.skips:
                raise DataError(f"{source} line {number}{error}{SKIP_HINT}") from error
            skipped.append(number)


def _is_one_document(data: bytes, is_row: Callable[[Mapping[str, Any]], bool]) -> bool:
    """Return whether the whole is one JSON document, not one a line."""
    start = data[:1024].lstrip()
    if start.startswith(b"["):
        return True
    first = _row(data.lstrip().split(b"\n", 1)[0])
    try:
        value = json.loads(first.decode())
    except (ValueError, RecursionError):
        # An object over several lines; else a broken line, which is told of as such.
        return _begins_a_document(first)
    one_line = not data.lstrip()[len(first) :].strip(b" \r\n\t,")
    return one_line and isinstance(value, dict) and _holds_rows(value) and not is_row(value)


def _begins_a_document(first: bytes) -> bool:
    return first.strip() == b"{" or first.rstrip().endswith((b"{", b"[", b","))


def _row(line: bytes) -> bytes:
    """Return a line without the comma behind it that stands in an array."""
    line = line.strip()
    return line[:-1] if line.endswith(b"},") else line


def _holds_rows(value: Mapping[str, Any]) -> bool:
    return _array_in(value) is not None or _rows_of_pandas(value) is not None or _are_columns(value)


def _rows_of_document(
    data: bytes,
    source: str,
    form: Form,
    skipped: list[int],
    is_row: Callable[[Mapping[str, Any]], bool],
) -> Iterator[Row]:
    try:
        value = json.loads(data.decode())
    except (ValueError, RecursionError) as error:
        where = ""
        if isinstance(error, json.JSONDecodeError):
            where = f" (line {error.lineno} column {error.colno})"
        raise DataError(
            f"{source} is not valid JSON{where}; it begins as one document: write it whole, "
            "or one object on each line"
        ) from error
    if isinstance(value, dict) and is_row(value):
        value = [value]
    elif isinstance(value, dict):
        inner = _array_in(value)
        if inner is None:
            inner = _rows_of_pandas(value)
        if inner is None and not _are_columns(value):
            inner = [value]
        value = _rows_of_columns(value, source) if inner is None else inner
    if not isinstance(value, list):  # a document begins with [ or {
        raise DataError(f"{source} is no JSON array of objects")
    if not value:
        raise DataError(f"{source} is an empty JSON array; add objects, or check the export")
    with_nul = _has_nul(data)
    for number, item in enumerate(value, start=1):
        try:
            yield number, _item(item, with_nul=with_nul)
        except DataError as error:
            if not form.skips:
                raise DataError(f"{source} item {number}{error}{SKIP_HINT}") from error
            skipped.append(number)


def _item(item: Any, *, with_nul: bool) -> dict[str, Any]:
    """Return an item of an array as an object; a text and an object beside it, as in spaCy, as one.

    Raises:
        DataError: it is none; the message is the rest of a sentence.
    """
    if isinstance(item, list) and [type(one) for one in item] == [str, dict]:
        item = {"text": item[0], **item[1]}
    if not isinstance(item, dict):
        raise DataError(' is not a JSON object; write each item as {"text": "...", "label": "..."}')
    if with_nul:
        _refuse_nul(item)
    return item


def _array_in(value: Mapping[str, Any]) -> list[Any] | None:
    """Return the only array of objects in an object, as many exports wrap their rows."""
    arrays = [v for v in value.values() if isinstance(v, list) and v and isinstance(v[0], dict)]
    return arrays[0] if len(arrays) == 1 else None


def _are_columns(value: Mapping[str, Any]) -> bool:
    """Return whether an object has a list, or an object by row, for each column."""
    kinds = {type(column) for column in value.values()}
    return len(value) > 1 and kinds in ({list}, {dict})


def _rows_of_pandas(value: Mapping[str, Any]) -> list[Any] | None:
    """Return the rows of what pandas writes with ``orient`` split or index; None of all else."""
    columns, data = value.get("columns"), value.get("data")
    if isinstance(columns, list) and isinstance(data, list) and value.keys() <= _SPLIT:
        names = [str(name) for name in columns]
        return [dict(zip(names, row, strict=False)) for row in data if isinstance(row, list)]
    rows = [*value.values()]
    if rows and all(isinstance(row, dict) for row in rows):
        inner, outer = {*rows[0]}, {*value}
        alike = all(row.keys() == inner for row in rows)
        if alike and all(map(str.isdecimal, outer)) and not all(map(str.isdecimal, inner)):
            return rows
    return None


_SPLIT = {"columns", "index", "data"}


def _rows_of_columns(value: Mapping[str, Any], source: str) -> list[dict[str, Any]]:
    columns = {k: list(v.values()) if isinstance(v, dict) else v for k, v in value.items()}
    lengths = {len(column) for column in columns.values()}
    if len(lengths) > 1:
        raise DataError(f"{source}: the columns {listed(list(columns))} differ in length")
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def from_objects(
    rows: Iterator[Row],
    wanted: Wanted,
    source: str,
    form: Form,
    kind: str,
    skipped: list[int],
    *,
    noun: str,
) -> RawColumns:
    """Return the wanted columns of rows that are objects.

    Args:
        rows: Each with its number from 1.
        wanted: What the user said about the columns.
        source: The file's name for messages.
        form: What the user said about the file.
        kind: The format in words.
        skipped: The numbers of rows that were left out, to which more are added.
        noun: What messages call a row.

    Raises:
        DataError: A row lacks a field, or has no plain value in it.
    """
    first = list(islice(rows, _FIRST))
    if not first:
        raise DataError(f"{source} has no row that can be read; check the file")
    names = list(dict.fromkeys(name for _, row in first for name in row))
    columns = choose(names, wanted, source)
    chosen = {role: names[i] for role, i in columns.places.items()}
    cells: dict[str, list[str | None]] = {name: [] for name in chosen.values()}
    table: dict[str, list[str | None]] = {name: [] for name in names} if wanted.keep else {}
    numbers: list[int] = []
    # A list of one label, as tools for labelling export it, is that label.
    lists = {chosen[role.name] for role in wanted.roles if role.repeats}
    columns_in_use = list(cells.items())
    for number, row in _all(first, rows):
        try:
            values = [
                value
                if type(value := row.get(name)) is str and value.isascii()  # as most are
                else _field(row, name, name in lists, several=wanted.lists)
                for name, _ in columns_in_use
            ]
        except DataError as error:
            if not form.skips:
                raise DataError(f"{source} {noun} {number}{error}{SKIP_HINT}") from error
            skipped.append(number)
            continue
        for (_, column), value in zip(columns_in_use, values, strict=True):
            column.append(value)
        for name, column in table.items():
            column.append(any_value(row.get(name)))
        numbers.append(number)
    return RawColumns(
        columns={role: cells[name] for role, name in chosen.items()},
        names={role: repr(name) for role, name in chosen.items()},
        where=lambda row: f"{noun} {numbers[row]}",
        facts=Facts(source, kind, tuple(names), columns=chosen),
        notes=columns.notes + notes_on_skipped(sorted(skipped)),
        table=table,
    )


def _all(first: Iterable[Row], rest: Iterable[Row]) -> Iterator[Row]:
    yield from first
    yield from rest


def _json_object(line: bytes) -> dict[str, Any]:
    """Return the object of one line.

    Raises:
        DataError: it is none; the message is the rest of a sentence.
    """
    try:
        row = _decoded(line)
    except (ValueError, RecursionError) as error:
        column = f" (column {error.pos + 1})" if isinstance(error, json.JSONDecodeError) else ""
        if line.startswith(b"{'"):
            column += ", which has double quotation marks"
        raise DataError(
            f" is not valid JSON{column}; write one whole JSON object on each line"
        ) from error
    if not isinstance(row, dict):
        raise DataError(" is not a JSON object; write one whole JSON object on each line")
    return row


def _has_nul(data: bytes) -> bool:
    return b"\\" in data and rb"\u0000" in data


def _refuse_nul(row: Mapping[str, Any]) -> None:
    if any(isinstance(value, str) and "\0" in value for value in row.values()):
        raise DataError(HAS_NUL)


def _decoded(line: bytes) -> Any:
    try:
        return msgspec.json.decode(line)  # three times as fast
    except (msgspec.DecodeError, RecursionError):
        # This one takes NaN and half characters, and says where a line is broken. Given bytes it
        # would guess at their encoding.
        return json.loads(line.decode())


def _field(row: dict[str, Any], name: str, may_be_list: bool, *, several: bool) -> str | None:
    """Return a field of an object as a string.

    Args:
        row: the object.
        name: of the field.
        may_be_list: whether it is one that may be a list of one value.
        several: whether such a list may have more values, or none; it stays one, as JSON.

    Raises:
        DataError: it is not there or is no plain value; the message is the rest of a sentence.
    """
    if name not in row:
        raise DataError(
            f" has no field {name!r} among {listed(list(row))}; add it or drop the line"
        )
    value = row[name]
    if may_be_list and isinstance(value, list | tuple | set):
        if several:
            return any_value([*value])
        if len(value) == 1:
            value = next(iter(value))
        else:
            raise DataError(f": field {name!r} is a list{SEVERAL_HINT}")
    if isinstance(value, list | dict):
        kind = "a list" if isinstance(value, list) else "an object"
        raise DataError(f": field {name!r} is {kind}; make it a string")
    return any_value(value)


def any_value(value: Any) -> str | None:
    """Return a value as a table of text has it; None where there is none."""
    if isinstance(value, str):
        return value if value.isascii() else _whole_characters(value)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | dict):
        return _whole_characters(json.dumps(value, ensure_ascii=False))
    return str(value)


def _whole_characters(text: str) -> str:
    """Return ``text`` with halves of surrogate pairs, which JSON can spell, replaced."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
