"""Texts without labels, one after the other: a corpus may be larger than the memory."""

from __future__ import annotations

import gzip
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from elman.data import readers
from elman.data.datasets import load_dataset
from elman.data.encoding import GZIP_MAGIC, broken_gzip
from elman.data.files import STDIN, name_of, open_bytes
from elman.data.form import AS_TOLD, Form
from elman.data.source import builtin, items_of
from elman.data.typed import is_table
from elman.errors import DataError

_HEAD = 1 << 20
_SUFFIXES = (".txt", ".csv", ".tsv", ".tab", ".jsonl", ".ndjson", ".json", ".parquet", "")


def read_texts(data: Any, *, form: Form = AS_TOLD, text: str | None = None) -> Iterator[str]:
    """Yield the texts of files, folders, built-in data sets or tables in memory.

    A file of lines is read as they are asked for, each line a text; of a table the column of the
    texts is read whole. A folder stands for all files in it and in the folders there.

    Args:
        data: one of them, or a list.
        form: what is said about the form of the files.
        text: the column of the texts, by name or by number from 1; found by its name when left out.

    Raises:
        DataError: a file is missing or cannot be read; possibly only on the way.
    """
    for item in items_of(data):
        yield from _texts_of(item, form, text)


def _texts_of(item: Any, form: Form, text: str | None) -> Iterator[str]:
    dataset = builtin(item)
    if dataset is not None:
        examples = load_dataset(dataset.name)
        if dataset.task == "tag":
            yield from map(" ".join, examples.tokens)
        elif dataset.task == "generate":
            yield from (text.removesuffix("\n") for text in examples.texts())
        else:
            yield from examples.texts
    elif is_table(item) or name_of(item) == STDIN:
        yield from readers.read_inputs(item, form=form, column=text).inputs
    elif os.path.isdir(item):
        for file in _files_in(Path(item)):
            yield from _texts_of(file, form, text)
    elif text is None and not _is_pipe(item) and _is_lines(item, form):
        yield from readers.read_lines(item, form=form)
    else:
        yield from readers.read_inputs(item, form=form, column=text).inputs


def _files_in(folder: Path) -> list[Path]:
    """Return the files that may hold texts, in a folder and in those within it."""
    found = [
        Path(place) / name
        for place, _, names in os.walk(folder)
        for name in names
        if not name.startswith(".") and readers.suffix_of(name) in _SUFFIXES
    ]
    if not found:
        raise DataError(f"{folder} has no file of texts; put .txt, .csv, .tsv or .jsonl there")
    return sorted(found)


def _is_pipe(path: str | Path) -> bool:
    """Whether what is there can be read only once, as of ``<(command)`` or /dev/stdin."""
    return os.path.exists(path) and not os.path.isfile(path)


def _is_lines(path: str | Path, form: Form) -> bool:
    """Whether a file has a text a line, told from its beginning."""
    with open_bytes(path) as handle:
        head = handle.read(_HEAD)
    whole = len(head) < _HEAD
    if head.startswith(GZIP_MAGIC):
        try:
            with gzip.open(path) as unpacked:
                head = unpacked.read(_HEAD)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise broken_gzip(name_of(path)) from error
        whole = len(head) < _HEAD
    return readers.is_lines(head if whole else head[: head.rfind(b"\n") + 1], path, form)
