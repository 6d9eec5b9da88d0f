"""Tables whose fields have types: JSON, Parquet, Arrow, data frames. All are read as strings."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import msgspec

from elman.data.columns import Columns, Wanted, choose, listed
from elman.data.encoding import PARQUET_MAGIC
from elman.data.form import Facts, Form
from elman.data.records import HAS_NUL
from elman.data.tables import SKIP_HINT, RawColumns, notes_on_skipped, unique
from elman.errors import DataError

if TYPE_CHECKING:
    import polars as pl

_FIRST = 100  # objects whose fields are the columns
_Row = tuple[int, dict[str, Any]]  # its number from 1, its fields


# -------------------------------------------------------------------------------------------------
# JSON


def read_json(data: bytes, wanted: Wanted, source: str, form: Form) -> RawColumns:
    """Return the wanted fields of JSON in UTF-8: objects one a line, or in one document.

    A document is an array of objects, or an object of columns; one that holds an array of objects
    beside other things is read as that array.

    Raises:
        DataError: A line is no JSON object, lacks a field, or has no plain value in it.
    """
    if _is_one_document(data):
        return _read_document(data, wanted, source, form)
    skipped: list[int] = []
    with_nul = _has_nul(data)

    def rows() -> Iterator[_Row]:
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

    return _from_objects(rows(), wanted, source, form, "JSON lines", skipped, noun="line")


def _is_one_document(data: bytes) -> bool:
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
    return one_line and isinstance(value, dict) and _holds_rows(value)


def _begins_a_document(first: bytes) -> bool:
    return first.strip() == b"{" or first.rstrip().endswith((b"{", b"[", b","))


def _row(line: bytes) -> bytes:
    """Return a line without the comma behind it that stands in an array."""
    line = line.strip()
    return line[:-1] if line.endswith(b"},") else line


def _holds_rows(value: Mapping[str, Any]) -> bool:
    return _array_in(value) is not None or _rows_of_pandas(value) is not None or _are_columns(value)


def _read_document(data: bytes, wanted: Wanted, source: str, form: Form) -> RawColumns:
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
    if isinstance(value, dict):
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
    skipped: list[int] = []
    with_nul = _has_nul(data)

    def rows() -> Iterator[_Row]:
        for number, item in enumerate(value, start=1):
            try:
                yield number, _item(item, with_nul=with_nul)
            except DataError as error:
                if not form.skips:
                    raise DataError(f"{source} item {number}{error}{SKIP_HINT}") from error
                skipped.append(number)

    return _from_objects(rows(), wanted, source, form, "JSON", skipped, noun="item")


def _item(item: Any, *, with_nul: bool) -> dict[str, Any]:
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


def _from_objects(
    rows: Iterator[_Row],
    wanted: Wanted,
    source: str,
    form: Form,
    kind: str,
    skipped: list[int],
    *,
    noun: str,
) -> RawColumns:
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
                else _field(row, name, name in lists)
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
            column.append(_any_value(row.get(name)))
        numbers.append(number)
    return RawColumns(
        columns={role: cells[name] for role, name in chosen.items()},
        names={role: repr(name) for role, name in chosen.items()},
        where=lambda row: f"{noun} {numbers[row]}",
        facts=Facts(source, kind, tuple(names), columns=chosen),
        notes=columns.notes + notes_on_skipped(sorted(skipped)),
        table=table,
    )


def _all(first: Iterable[_Row], rest: Iterable[_Row]) -> Iterator[_Row]:
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
        raise DataError(' is not a JSON object; write each line as {"text": "...", "label": "..."}')
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


def _field(row: dict[str, Any], name: str, may_be_list: bool) -> str | None:
    """Return a field of an object as a string.

    Raises:
        DataError: it is not there or is no plain value; the message is the rest of a sentence.
    """
    if name not in row:
        raise DataError(
            f" has no field {name!r} among {listed(list(row))}; add it or drop the line"
        )
    value = row[name]
    if may_be_list and isinstance(value, list) and len(value) == 1:
        value = value[0]
    if isinstance(value, list | dict):
        kind = "a list" if isinstance(value, list) else "an object"
        raise DataError(f": field {name!r} is {kind}; make it a string")
    return _any_value(value)


def _any_value(value: Any) -> str | None:
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


# -------------------------------------------------------------------------------------------------
# Parquet


def read_parquet(data: bytes, wanted: Wanted, source: str) -> RawColumns:
    """Return the wanted columns of a Parquet file.

    Raises:
        DataError: The file is cut off or damaged, has no rows, or a column holds lists.
    """
    import polars as pl

    if not data.endswith(PARQUET_MAGIC) or len(data) < 12:
        raise _damaged(source)
    damage = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError)
    try:
        schema = pl.read_parquet_schema(io.BytesIO(data))
    except damage as error:
        raise _damaged(source) from error
    columns = choose(list(schema), wanted, source)

    def frame(names: list[str] | None) -> pl.DataFrame:
        try:
            return pl.read_parquet(io.BytesIO(data), columns=names)
        except damage as error:
            raise _damaged(source) from error

    return _from_frame(frame, dict(schema), columns, wanted, source, "Parquet")


def _damaged(source: str) -> DataError:
    return DataError(f"{source}: the Parquet file is cut off or damaged; write or copy it again")


def _from_frame(
    frame: Callable[[list[str] | None], pl.DataFrame],
    schema: Mapping[str, pl.DataType],
    columns: Columns,
    wanted: Wanted,
    source: str,
    kind: str,
) -> RawColumns:
    names = list(schema)
    chosen = {role: names[i] for role, i in columns.places.items()}
    for name in chosen.values():
        if schema[name].is_nested() or str(schema[name]) in ("Binary", "Object"):
            raise DataError(f"{source}: column {name!r} holds {schema[name]}; make it a string")
    found = frame(None if wanted.keep else [*chosen.values()])
    if not found.height:
        raise DataError(f"{source} has columns and no rows; add rows, or check the export")
    cells = {name: _strings(found[name]) for name in chosen.values()}
    table = {name: _strings(found[name]) for name in names} if wanted.keep else {}
    return RawColumns(
        columns={role: cells[name] for role, name in chosen.items()},
        names={role: repr(name) for role, name in chosen.items()},
        where=lambda row: f"row {row + 1}",
        facts=Facts(source, kind, tuple(names), columns=chosen),
        notes=columns.notes,
        table=table,
    )


def _strings(column: pl.Series) -> list[str | None]:
    import polars as pl

    if column.dtype.is_float():
        column = column.fill_nan(None)
    if column.dtype == pl.Boolean or column.dtype.is_numeric() or column.dtype == pl.String:
        return column.cast(pl.String).to_list()
    return [_any_value(value) for value in column.to_list()]


# -------------------------------------------------------------------------------------------------
# What Python programs have


def is_table(data: Any) -> bool:
    """Return whether ``data`` is a table in memory, not the name of one."""
    if isinstance(data, Mapping) or hasattr(data, "__arrow_c_stream__") or _is_frame(data):
        return True
    return isinstance(data, Sequence) and not isinstance(data, str) and _holds_examples(data)


def _is_frame(data: Any) -> bool:
    return hasattr(data, "columns") and hasattr(data, "iloc")


def _holds_examples(data: Sequence[Any]) -> bool:
    return len(data) > 0 and isinstance(data[0], Mapping | tuple | list)


def read_object(data: Any, wanted: Wanted) -> RawColumns:
    """Return the wanted columns of a table in memory.

    Args:
        data: A data frame of pandas or polars, an Arrow table, a mapping of columns, a list of
            mappings (one a row), or a list of tuples (one a row, in the order of the roles).
        wanted: What the user said about the columns.

    Raises:
        DataError: The columns cannot be found, or differ in length.
    """
    if _is_frame(data):  # of pandas, which has Arrow's interface but may lack pyarrow for it
        names = [str(name) for name in data.columns]
        columns = [data.iloc[:, i].tolist() for i in range(len(names))]
        return _from_columns(names, columns, wanted, "the data frame")
    if hasattr(data, "__arrow_c_stream__"):
        import polars as pl

        return _from_polars(pl.DataFrame(data), wanted, "the table")
    if isinstance(data, Mapping):
        values = [list(column) for column in data.values()]
        return _from_columns([str(name) for name in data], values, wanted, "the table")
    if isinstance(data[0], Mapping):
        rows = ((i + 1, dict(row)) for i, row in enumerate(data))
        return _from_objects(rows, wanted, "the list", Form(), "a list", [], noun="row")
    return _from_tuples(data, wanted)


def _from_polars(frame: pl.DataFrame, wanted: Wanted, source: str) -> RawColumns:
    columns = choose(frame.columns, wanted, source)

    def chosen(names: list[str] | None) -> pl.DataFrame:
        return frame if names is None else frame.select(list(dict.fromkeys(names)))

    return _from_frame(chosen, dict(frame.schema), columns, wanted, source, "a data frame")


def _from_tuples(data: Sequence[Any], wanted: Wanted) -> RawColumns:
    count = len(wanted.roles)
    for i, row in enumerate(data):
        if not isinstance(row, tuple | list) or len(row) != count:
            roles = ", ".join(role.name for role in wanted.roles)
            raise DataError(f"row {i + 1} of the list is {row!r:.60}; give ({roles}) for each")
    names = [role.name for role in wanted.roles]
    columns = [[row[i] for row in data] for i in range(count)]
    return _from_columns(names, columns, Wanted(wanted.roles, {}, wanted.keep), "the list")


def _from_columns(
    names: list[str], columns: Sequence[Sequence[Any]], wanted: Wanted, source: str
) -> RawColumns:
    if len({len(column) for column in columns}) > 1:
        sizes = ", ".join(f"{n!r} {len(c):,}" for n, c in zip(names, columns, strict=True))
        raise DataError(f"{source}: the columns differ in length: {sizes}")
    if not columns or not len(columns[0]):
        raise DataError(f"{source} has no rows; give some")
    found = choose(names, wanted, source)
    for i in found.places.values():
        kinds = {type(value) for value in columns[i]} & {list, tuple, dict, set}
        if kinds:
            raise DataError(
                f"{source}: column {names[i]!r} holds a {kinds.pop().__name__}; make it a string"
            )
    strings = {i: [_plain_value(v) for v in columns[i]] for i in set(found.places.values())}
    table = {
        name: strings.get(i) or [_plain_value(v) for v in columns[i]]
        for i, name in enumerate(unique(names))
        if wanted.keep
    }
    return RawColumns(
        columns={role: strings[i] for role, i in found.places.items()},
        names={role: repr(names[i]) for role, i in found.places.items()},
        where=lambda row: f"row {row + 1}",
        facts=Facts(
            source,
            "a table in memory",
            tuple(names),
            columns={role: names[i] for role, i in found.places.items()},
        ),
        notes=found.notes,
        table=table,
    )


def _plain_value(value: Any) -> str | None:
    """Return a Python value as a string; what pandas and NumPy have for missing values as None."""
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    return _any_value(value.item() if hasattr(value, "item") else value)
