"""Tables whose fields have types: JSON lines and Parquet. All of them are read as strings."""

from __future__ import annotations

import io
import json
from typing import Any

from elman.data.columns import Columns, Wanted, choose, listed
from elman.data.encoding import PARQUET_MAGIC
from elman.data.tables import RawColumns
from elman.errors import DataError


def read_json_lines(data: bytes, wanted: Wanted, source: str) -> RawColumns:
    """Return the wanted fields of JSON objects, one a line, in UTF-8.

    Raises:
        DataError: A line is no JSON object, lacks a field, or has no plain value in it.
    """
    cells: dict[str, list[str | None]] = {role.name: [] for role in wanted.roles}
    lines: list[int] = []
    names: list[str] = []
    columns: Columns | None = None
    for number, line in enumerate(io.BytesIO(data), start=1):
        if line.isspace():
            continue
        place = f"{source} line {number}"
        row = _json_object(line, place)
        if columns is None:
            names = list(row)
            columns = choose(names, wanted, source)
        for role, i in columns.places.items():
            cells[role].append(_field(row, names[i], place))
        lines.append(number)
    assert columns is not None  # the file is not empty
    shown = {role: repr(names[i]) for role, i in columns.places.items()}
    return RawColumns(cells, shown, lambda row: f"line {lines[row]}", columns.notes)


def _json_object(line: bytes, place: str) -> dict[str, Any]:
    try:
        row = json.loads(line.decode())  # given bytes it would guess at their encoding
    except (ValueError, RecursionError) as error:
        column = f" (column {error.pos + 1})" if isinstance(error, json.JSONDecodeError) else ""
        raise DataError(
            f"{place} is not valid JSON{column}; write one whole JSON object on each line"
        ) from error
    if not isinstance(row, dict):
        raise DataError(
            f'{place} is not a JSON object; write each line as {{"text": "...", "label": "..."}}'
        )
    return row


def _field(row: dict[str, Any], name: str, place: str) -> str | None:
    if name not in row:
        raise DataError(
            f"{place} has no field {name!r} among {listed(list(row))}; add it or drop the line"
        )
    value = row[name]
    if isinstance(value, str):
        return value if value.isascii() else _whole_characters(value)
    if value is None:
        return None
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    kind = "a list" if isinstance(value, list) else "an object"
    raise DataError(f"{place}: field {name!r} is {kind}; make it a string")


def _whole_characters(text: str) -> str:
    """Return ``text`` with halves of surrogate pairs, which JSON can spell, replaced."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def read_parquet(data: bytes, wanted: Wanted, source: str) -> RawColumns:
    """Return the wanted columns of a Parquet file.

    Raises:
        DataError: The file is cut off or damaged, has no rows, or a column holds lists.
    """
    import polars as pl

    if not data.endswith(PARQUET_MAGIC) or len(data) < 12:
        raise _damaged(source)
    try:
        schema = pl.read_parquet_schema(io.BytesIO(data))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise _damaged(source) from error
    names = list(schema)
    columns = choose(names, wanted, source)
    chosen = {role: names[i] for role, i in columns.places.items()}
    for name in chosen.values():
        if schema[name].is_nested():
            raise DataError(f"{source}: column {name!r} holds {schema[name]}; make it a string")
    try:
        frame = pl.read_parquet(io.BytesIO(data), columns=[*chosen.values()])
        frame = frame.select(pl.col(name).cast(pl.String) for name in chosen.values())
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise _damaged(source) from error
    if not frame.height:
        raise DataError(f"{source} has columns and no rows; add rows, or check the export")
    cells = {role: frame[name].to_list() for role, name in chosen.items()}
    shown = {role: repr(name) for role, name in chosen.items()}
    return RawColumns(cells, shown, lambda row: f"row {row + 1}", columns.notes)


def _damaged(source: str) -> DataError:
    return DataError(f"{source}: the Parquet file is cut off or damaged; write or copy it again")
