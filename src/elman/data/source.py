"""DATA as a person names it: files, a folder, ``-`` for stdin, a built-in data set, a table."""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from elman.data.columns import NOTHING
from elman.data.datasets import DATASETS, Dataset, load_dataset
from elman.data.examples import Examples
from elman.data.files import STDIN, expanded, name_of, read_bytes
from elman.data.form import AS_TOLD, Form
from elman.data.readers import read_examples
from elman.data.recognition import are_tagged
from elman.data.typed import is_table
from elman.errors import DataError


def items_of(data: Any) -> list[Any]:
    """Return the files, data sets or tables that ``data`` names: one, or those of a list.

    A ``~`` or a variable in a path is filled in.

    Raises:
        DataError: the list is empty.
    """
    if isinstance(data, str | Path) or is_table(data) or not isinstance(data, Sequence):
        return [expanded(data)]
    if not data:
        raise DataError("there is no file; name one, or a built-in data set")
    return [expanded(item) for item in data]


def builtin(data: Any) -> Dataset | None:
    """Return the built-in data set of that name; a file of that name goes before it.

    Raises:
        DataError: there is neither, but a data set of nearly that name.
    """
    if not isinstance(data, str | Path):
        return None
    name = str(data)
    if os.path.exists(name):  # which a name that cannot be does not break
        return None
    if name in DATASETS:
        return DATASETS[name]
    near = difflib.get_close_matches(name, DATASETS, n=1)
    if near:
        raise DataError(f"no file {name!r}; did you mean the built-in data set {near[0]}?")
    return None


def read_data(
    data: Any,
    *,
    form: Form = AS_TOLD,
    likely: Mapping[str, str] = NOTHING,
    **columns: str | None,
) -> Examples:
    """Read labelled texts; a file of that name goes before a built-in data set.

    Args:
        data: a file, a folder, ``-``, a name in ``DATASETS``, or a table in memory.
        form: what is said about the form of a file.
        likely: columns to look for first, by the same names.
        **columns: ``text`` and ``label``: the columns, by name or by number from 1.

    Raises:
        DataError: as ``read_examples`` and ``load_dataset``.
    """
    dataset = builtin(data)
    if dataset is not None:
        if dataset.task != "classify":
            raise DataError(
                f"data set {dataset.name!r} has no labelled texts; it is for --task {dataset.task}"
            )
        labelled: Examples = load_dataset(dataset.name)
        return labelled
    content = read_bytes(STDIN) if not is_table(data) and name_of(data) == STDIN else None
    try:
        return read_examples(data, form=form, likely=likely, content=content, **columns)
    except DataError as error:
        # Of a file the task is told from its beginning; standard input can be read only once.
        if content is not None and are_tagged(content):
            raise DataError(f"{STDIN} holds tagged sentences; add --task tag") from error
        raise
