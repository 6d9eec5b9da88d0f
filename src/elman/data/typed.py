"""Tables whose columns have types: Parquet, Arrow, data frames. All are read as strings."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from elman.data.columns import Columns, Wanted, choose
from elman.data.encoding import PARQUET_MAGIC
from elman.data.form import Facts, Form
from elman.data.objects import SEVERAL_HINT, any_value, from_objects
from elman.data.tables import RawColumns, unique
from elman.errors import DataError

if TYPE_CHECKING:
    import polars as pl


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


def parquet_rows(data: bytes, source: str) -> list[dict[str, Any]]:
    """Return the rows of a Parquet file, whose cells may be lists.

    Raises:
        DataError: The file is cut off or damaged.
    """
    import polars as pl

    try:
        return pl.read_parquet(io.BytesIO(data)).to_dicts()
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as error:
        raise _damaged(source) from error


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
    for name in _plain(chosen, wanted, schema, source):
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


def _plain(
    chosen: Mapping[str, str], wanted: Wanted, schema: Mapping[str, pl.DataType], source: str
) -> Iterator[str]:
    """Yield the columns that may not hold lists.

    Raises:
        DataError: One holds lists of labels, which were not asked for.
    """
    repeat = {role.name for role in wanted.roles if role.repeats}
    for role, name in chosen.items():
        is_list = str(schema[name]).startswith(("List(", "Array(")) and role in repeat
        if is_list and not wanted.lists:
            raise DataError(f"{source}: column {name!r} holds lists{SEVERAL_HINT}")
        if not is_list:
            yield name


def _strings(column: pl.Series) -> list[str | None]:
    import polars as pl

    if column.dtype.is_float():
        column = column.fill_nan(None)
    if column.dtype == pl.Boolean or column.dtype.is_numeric() or column.dtype == pl.String:
        return column.cast(pl.String).to_list()
    return [any_value(value) for value in column.to_list()]


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
        return from_objects(rows, wanted, "the list", Form(), "a list", [], noun="row")
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
    return _from_columns(
        names, columns, Wanted(wanted.roles, {}, wanted.keep, wanted.lists), "the list"
    )


def _from_columns(
    names: list[str], columns: Sequence[Sequence[Any]], wanted: Wanted, source: str
) -> RawColumns:
    if len({len(column) for column in columns}) > 1:
        sizes = ", ".join(f"{n!r} {len(c):,}" for n, c in zip(names, columns, strict=True))
        raise DataError(f"{source}: the columns differ in length: {sizes}")
    if not columns or not len(columns[0]):
        raise DataError(f"{source} has no rows; give some")
    found = choose(names, wanted, source)
    for role, i in found.places.items():
        _refuse_lists(role, columns[i], wanted, f"{source}: column {names[i]!r} holds a ")
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


def _refuse_lists(role: str, cells: Sequence[Any], wanted: Wanted, where: str) -> None:
    """Refuse lists, but for those of labels where they were asked for.

    Raises:
        DataError: There is one; ``where`` is how the sentence begins.
    """
    repeats = any(one.repeats for one in wanted.roles if one.name == role)
    lists = {type(value).__name__ for value in cells} & {"list", "tuple", "dict", "set", "ndarray"}
    if repeats and wanted.lists:
        lists &= {"dict"}
    if lists:
        labels = repeats and "dict" not in lists
        raise DataError(f"{where}{lists.pop()}{SEVERAL_HINT if labels else '; make it a string'}")


def _plain_value(value: Any) -> str | None:
    """Return a Python value as a string; what pandas and NumPy have for missing values as None."""
    if type(value).__name__ in ("NAType", "NaTType"):
        return None
    if isinstance(value, tuple | set | frozenset) or type(value).__name__ == "ndarray":
        value = [one.item() if hasattr(one, "item") else one for one in value]
    return any_value(value.item() if hasattr(value, "item") else value)
