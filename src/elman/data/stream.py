"""Reading text for a language model: files of running text, or a table's texts that stand alone."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from elman.data import readers, typed
from elman.data.columns import LABEL_NAMES, NOTHING, TEXT, Role, Wanted
from elman.data.datasets import load_dataset
from elman.data.encoding import PARQUET_MAGIC, Decoded, to_utf8, unpack
from elman.data.examples import Examples
from elman.data.files import STDIN, name_of, read_bytes
from elman.data.folders import texts_in
from elman.data.form import AS_TOLD, Facts, Form
from elman.data.readers import suffix_of
from elman.data.recognition import looks_running as claims
from elman.data.records import HAS_NUL
from elman.data.source import builtin
from elman.data.stream_splits import folds_of, split_stream
from elman.data.tables import SKIP_HINT, RawColumns, notes_on_skipped
from elman.data.text_stream import TextStream, joined, running_text, texts_alone
from elman.errors import ConfigError, DataError

__all__ = ["TextStream", "claims", "folds_of", "joined", "read_stream", "split_stream"]

LABEL_COLUMN = Role("label-column", ("label-column", *LABEL_NAMES), repeats=True)
_HEAD = 1 << 20  # bytes that tell whether a file is a table


def read_stream(
    data: Any,
    *,
    form: Form = AS_TOLD,
    likely: Mapping[str, str] = NOTHING,
    text: str | None = None,
    label_column: str | None = None,
) -> TextStream:
    """Read text to learn to write from.

    A file of text is one running text, as is a folder of ``.txt`` files in the order of their
    names; with ``form.lines`` each line is a text that stands alone. Of a table, of a built-in data
    set of labelled texts or of a table in memory each row is such a text.

    Args:
        data: the file or folder, ``-`` for standard input, a built-in data set or a table.
        form: what the user said about the file.
        likely: columns to look for first, by the names of the arguments; where one is for labels,
            they are read without ``label_column``, too.
        text: the column of the texts, by name or by number from 1; found by name when left out.
        label_column: the column of the labels; without it the texts have none.

    Returns:
        The text as it stands, but with a single line feed for each line end. Rows of a table whose
        text is empty and blank lines of texts that stand alone are left out.

    Raises:
        DataError: what is there is missing, empty, no text, or has no such columns; or a text has
            no label.
        ConfigError: something was said that does not go with it.
    """
    if form.multilabel:
        raise ConfigError(
            "multilabel is for texts with several labels, and a language model is told one; "
            "leave it out"
        )
    with_labels = label_column is not None or "label_column" in likely
    dataset = builtin(data)
    if dataset is not None:
        loaded = load_dataset(dataset.name)
        return _of_dataset(loaded, dataset.task, label_column, with_labels=with_labels)
    given = {"text": text, LABEL_COLUMN.name: label_column}
    roles = [TEXT.preferring(likely.get("text"))]
    if with_labels:
        roles.append(LABEL_COLUMN.preferring(likely.get("label_column")))
    wanted = Wanted.of(roles, given)
    if typed.is_table(data):
        raw = typed.read_object(data, wanted)
        return _of_columns(raw, raw.facts.source, form)
    source = name_of(data)
    if source != STDIN and os.path.isdir(data):
        return _of_folder(Path(data), source, form, wanted)
    return _of_file(data, source, form, wanted)


def _of_dataset(
    loaded: Any, task: str, label_column: str | None, *, with_labels: bool
) -> TextStream:
    """Return a built-in data set, with labels where they were asked for or are its own."""
    if not isinstance(loaded, TextStream | Examples):
        raise DataError(
            f"data set {loaded.source!r} has no texts to write from; it is for --task {task}"
        )
    if isinstance(loaded, TextStream):
        bare = loaded.labels is None
    else:
        labels = loaded.labels if with_labels else None
        bare = False
        loaded = texts_alone(loaded.texts, loaded.source, labels, loaded.notes)
    if label_column is not None and (bare or label_column != "label"):
        known = "which has no labels" if bare else "whose labels are its column 'label'"
        raise DataError(
            f"there is no column {label_column!r} in the data set {loaded.source}, {known}"
        )
    return loaded


def _of_columns(raw: RawColumns, source: str, form: Form) -> TextStream:
    """Return the texts of a table, with labels where they were asked for."""
    if LABEL_COLUMN.name in raw.columns:
        columns = {"text": raw.columns["text"], "label": raw.columns[LABEL_COLUMN.name]}
        names = {**raw.names, "label": raw.names[LABEL_COLUMN.name]}
        examples = readers.labelled(replace(raw, columns=columns, names=names), source, form)
        return _alone(examples.texts, source, examples.labels, examples.notes, raw.facts)
    cells = raw.columns["text"]
    texts = [cell for cell in cells if cell and not cell.isspace()]
    notes = readers.notes_on_skipped_texts(raw, source, len(texts), 0)
    return _alone(texts, source, None, notes, raw.facts)


def _alone(
    texts: list[str], source: str, labels: list[str] | None, notes: tuple[str, ...], facts: Facts
) -> TextStream:
    texts = [one.replace("\r\n", "\n") if "\r" in one else one for one in texts]
    return texts_alone(texts, source, labels, notes, (facts,))


# -------------------------------------------------------------------------------------------------
# Files


def _of_file(path: str | Path, source: str, form: Form, wanted: Wanted) -> TextStream:
    data = unpack(read_bytes(path), source)
    said = form.delimiter is not None or form.header is not None
    if said or suffix_of(path) in readers.TABLE_SUFFIXES or data.startswith(PARQUET_MAGIC):
        raw = readers.read_columns(path, wanted, source, form, data)
        return _of_columns(raw, source, form)
    decoded = to_utf8(data, source, form.encoding)
    head = decoded.data[:_HEAD]
    head = head[: head.rfind(b"\n") + 1] or head
    if wanted.given or (suffix_of(path) != ".txt" and not form.lines):
        if readers.looks_like_table(head, wanted):
            return _of_columns(readers.read_columns(path, wanted, source, form, data), source, form)
        _refuse_columns(source, wanted)
    return _of_text(decoded, source, form)


def _refuse_columns(source: str, wanted: Wanted) -> None:
    for role, name in wanted.given.items():
        raise DataError(
            f"{source} is text without columns, so that there is no {name!r}; leave --{role} out, "
            "or give a table such as .csv or .jsonl"
        )


def _of_text(decoded: Decoded, source: str, form: Form) -> TextStream:
    data, notes = decoded.data, decoded.notes
    if b"\r\n" in data:
        data = data.replace(b"\r\n", b"\n")
    if b"\0" in data:
        data, skipped = _without_nul(data, source, form)
        notes += notes_on_skipped(skipped)
    kind = "lines" if form.lines else "running text"
    facts = Facts(source, kind, encoding=decoded.encoding)
    if not form.lines:
        return running_text(data, source, notes, (facts,))
    texts = [line for line in data.decode().split("\n") if line and not line.isspace()]
    return texts_alone(texts, source, None, notes, (facts,))


def _without_nul(data: bytes, source: str, form: Form) -> tuple[bytes, list[int]]:
    """Return the data without the lines that have a NUL byte, and which lines these are.

    Raises:
        DataError: there are such, which are not to be left out.
    """
    if not form.skips:
        line = data.count(b"\n", 0, data.index(b"\0")) + 1
        raise DataError(f"{source} line {line}{HAS_NUL}{SKIP_HINT}")
    lines = data.splitlines(keepends=True)
    broken = [number for number, line in enumerate(lines, start=1) if b"\0" in line]
    return b"".join(line for line in lines if b"\0" not in line), broken


def _of_folder(folder: Path, source: str, form: Form, wanted: Wanted) -> TextStream:
    """Return the texts of the ``.txt`` files in a folder, one after the other."""
    names = texts_in(folder)
    if not names:
        raise DataError(
            f"{source} has no .txt file; put texts there, or name the files: {folder / '*.md'}"
        )
    _refuse_columns(source, wanted)
    parts, notes = [], []
    for name in names:
        data = unpack(read_bytes(folder / name), str(folder / name))
        if not data or data.isspace():
            notes.append(f"{name}: the file is empty")
            continue
        parts.append(_of_text(to_utf8(data, str(folder / name), form.encoding), name, form))
    if not parts:
        raise DataError(f"{source} has empty files only; give a file with data in it")
    whole = joined(parts)
    own = parts[0].notes if len(parts) == 1 else whole.notes
    return replace(whole, source=source, notes=(*own, *notes))
