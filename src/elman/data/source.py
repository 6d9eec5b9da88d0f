"""DATA as a person names it: a file, a folder, ``-`` for stdin, or a built-in data set."""

from __future__ import annotations

import difflib
import os
from pathlib import Path

from elman.data.datasets import DATASETS, Dataset, load_dataset
from elman.data.examples import Examples
from elman.data.readers import read_examples
from elman.errors import DataError


def builtin(data: str | Path) -> Dataset | None:
    """Return the built-in data set of that name; a file of that name goes before it.

    Raises:
        DataError: there is neither, but a data set of nearly that name.
    """
    name = str(data)
    if os.path.exists(name):  # which a name that cannot be does not break
        return None
    if name in DATASETS:
        return DATASETS[name]
    near = difflib.get_close_matches(name, DATASETS, n=1)
    if near:
        raise DataError(f"no file {name!r}; did you mean the built-in data set {near[0]}?")
    return None


def read_data(data: str | Path, *, text: str | None = None, label: str | None = None) -> Examples:
    """Read labelled texts; a file of that name goes before a built-in data set.

    Args:
        data: a file, a folder, ``-``, or a name in ``DATASETS``.
        text: the text column, by name or by number from 1.
        label: the label column, likewise.

    Raises:
        DataError: as ``read_examples`` and ``load_dataset``.
    """
    dataset = builtin(data)
    if dataset is not None:
        return load_dataset(dataset.name)
    return read_examples(data, text=text, label=label)
