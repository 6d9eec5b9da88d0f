"""Texts as Python has them: lists, arrays, columns and tables of any library.

pandas, pyarrow and torch are known by what their objects can do, not imported. Positions count from
0, as Python's do.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from elman.errors import InputError

_TO_LIST = ("tolist", "to_list", "to_pylist")
_COLUMNS = ("column_names", "columns")  # of pyarrow, where columns are arrays; of the others
_MISSING = ("NAType", "NaTType")  # pandas.NA and pandas.NaT, by the names of their types


def texts_of(values: Any, name: str = "texts") -> list[str]:
    """Return the texts of a list, array, column, or table of one column, in their order.

    Args:
        values: strings in anything that has an order: a list, a generator, an array of NumPy, a
            series or a table of one column of pandas or polars, an array or table of Arrow.
        name: what ``values`` is called where it was given.

    Raises:
        InputError: it is one string, a table of several columns, or has no order; or a text is
            missing or no string.
    """
    _refuse_unordered(values, name)
    texts = _listed(_column(values, name), name)
    # Almost always all are strings: found in C, not one by one.
    if {*map(type, texts)} <= {str}:
        return texts
    for i, text in enumerate(texts):
        if not isinstance(text, str):
            raise InputError(_reason(i, text))
    return [str(text) for text in texts]  # np.str_ and the like


def _refuse_unordered(values: Any, name: str) -> None:
    kind = type(values).__name__
    wrong = {
        str: "one string; pass a list of strings",
        bytes | bytearray: f"bytes; decode them, and pass a list: [{name}.decode()]",
        Mapping: f"a {kind}; pass a list of its texts, as [*{name}.values()]",
        set | frozenset: f"a {kind}, which has no order; pass a list, as sorted({name})",
    }
    for kinds, said in wrong.items():
        if isinstance(values, kinds):
            raise InputError(f"{name} is {said}")


def _column(values: Any, name: str) -> Any:
    """Return the only column of a table or 2-D array; what has one dimension as it is."""
    if hasattr(type(values), "collect"):  # a query of polars, not yet run
        values = values.collect()
    if not any(hasattr(type(values), one) for one in (*_TO_LIST, *_COLUMNS)):
        values = _from_arrow(values)
    names = _column_names(values)
    if names is not None:
        if len(names) != 1:
            raise InputError(
                f"{name} is a table with {_listed_names(names)}; pass the column of the texts "
                'alone, as df["text"]'
            )
        return values[names[0]]
    shape = getattr(values, "shape", None)
    if isinstance(shape, tuple) and len(shape) != 1:
        if len(shape) != 2 or shape[1] != 1:
            raise InputError(
                f"{name} is an array of shape {shape}; pass one column of it, as {name}[:, 0]"
            )
        return values[:, 0]
    return values


def _column_names(table: Any) -> list[str] | None:
    """Return the names of a table's columns; None for what is no table."""
    for attribute in _COLUMNS:
        if hasattr(type(table), attribute):
            return [*getattr(table, attribute)]
    return None


def _from_arrow(values: Any) -> Any:
    """Return what any other library hands over by Arrow's interface as a column of polars."""
    if not any(hasattr(values, f"__arrow_c_{kind}__") for kind in ("stream", "array")):
        return values
    import polars as pl

    series = pl.Series(values)
    return series.struct.unnest() if series.dtype == pl.Struct else series


def _listed(values: Any, name: str) -> list[Any]:
    for method in _TO_LIST:
        if hasattr(values, method):
            return [*getattr(values, method)()]
    if not isinstance(values, Iterable):
        raise InputError(f"{name} is {_a(values)}; pass a list of strings")
    return [*values]


def _reason(position: int, text: Any) -> str:
    if is_missing(text):
        return (
            f"text {position} is missing ({text}); drop or fill what is missing first, as "
            'df["text"].dropna() or .fillna("")'
        )
    if isinstance(text, bytes):
        return f"text {position} is bytes; decode it first, as text.decode()"
    return f"text {position} is {_a(text)}; every text must be a string"


def is_missing(value: Any) -> bool:
    """Whether a value stands for none: None, NaN, pandas' NA and NaT."""
    is_nan = isinstance(value, float | np.floating) and bool(np.isnan(value))
    return value is None or is_nan or type(value).__name__ in _MISSING


def _a(value: Any) -> str:
    name = type(value).__name__
    return f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"


def _listed_names(names: list[Any]) -> str:
    if not names:
        return "no columns"
    shown = ", ".join(map(str, names[:5])) + (", …" if len(names) > 5 else "")
    return f"{len(names)} columns ({shown})"
