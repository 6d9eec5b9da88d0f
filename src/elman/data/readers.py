"""Reading the files that people have, for any task: columns by roles, labelled texts, inputs.

A table (CSV, TSV, JSON, Parquet), a folder with one ``<Label>.txt`` or one folder of texts a class,
lines of text, tab, label without a header, lines of label, blank, text, and what fastText reads;
each may be compressed with gzip, and ``-`` is standard input. The columns are found by their names
(:data:`~elman.data.columns.TEXT_NAMES` and :data:`~elman.data.columns.LABEL_NAMES`) or given.
Without a header the text is the first of two columns and the label the second, unless the first has
plainly fewer different values.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from elman.data import folders, lines, objects, tables, typed
from elman.data.columns import LABEL, NOTHING, TEXT, Role, Wanted, recognise
from elman.data.encoding import PARQUET_MAGIC, to_utf8, unpack
from elman.data.examples import Examples, Inputs
from elman.data.files import STDIN, check_readable, name_of, read_bytes
from elman.data.form import AS_TOLD, Form
from elman.data.labels import (
    SEPARATORS,
    canonical,
    is_list,
    labels_in,
    separator_of,
    unread_sign,
)
from elman.data.tables import RawColumns
from elman.errors import DataError

_JSON_SUFFIXES = (".jsonl", ".ndjson", ".json")
TABLE_SUFFIXES = (".csv", ".tsv", ".tab", ".parquet", *_JSON_SUFFIXES)


def read_examples(
    data: Any,
    *,
    form: Form = AS_TOLD,
    likely: Mapping[str, str] = NOTHING,
    content: bytes | None = None,
    **columns: str | None,
) -> Examples:
    """Read labelled texts from a file, a folder, standard input (``-``) or a table in memory.

    Args:
        data: The file or folder, whose kind is told from its content and its name; or what
            ``typed.read_object`` takes.
        form: What the user said about the file.
        likely: Columns to look for first, by the same names.
        content: The bytes of the file, where they have been read.
        **columns: ``text`` and ``label``: the column, by name or by number from 1; found by name
            when left out.

    Returns:
        The examples in the order of the file, texts as they stand; labels stripped, in Unicode's
        form C and as ``labels.canonical`` writes numbers, several a text where the form says so.
        Texts that are empty are left out and counted in the notes.

    Raises:
        DataError: The file is missing, unreadable, or not what it was given for; the message names
            file, line and what to do.
    """
    roles = (TEXT.preferring(likely.get("text")), LABEL.preferring(likely.get("label")))
    wanted = Wanted.of(roles, columns, lists=form.multilabel)
    if typed.is_table(data):
        raw = typed.read_object(data, wanted)
        return labelled(raw, raw.facts.source, form)
    source = name_of(data)
    if source != STDIN and os.path.isdir(data):
        return labelled(folders.read_folder(Path(data), form), source, form)
    return labelled(read_columns(data, wanted, source, form, content), source, form)


def read_inputs(
    data: Any,
    role: Role = TEXT,
    *,
    form: Form = AS_TOLD,
    column: str | None = None,
    content: bytes | None = None,
) -> Inputs:
    """Read what a model is to answer: one column, and all others beside it.

    A table gives the column of the role, by its names or as given. Other files are read line by
    line, each line whole, unless they plainly are a table.

    Args:
        data: As in :func:`read_examples`.
        role: What is read.
        form: What the user said about the file.
        column: The column, by name or by number from 1.
        content: The bytes of the file, where they have been read.

    Returns:
        The inputs in their order; empty ones are kept, as ``""``, so that answers can be matched.

    Raises:
        DataError: As :func:`read_examples`.
    """
    wanted = Wanted.of((role,), {role.name: column}, keep=True)
    if typed.is_table(data):
        raw = typed.read_object(data, wanted)
    elif name_of(data) != STDIN and os.path.isdir(data):
        raw = folders.read_folder(Path(data), form)
    else:
        raw = _read_input_file(data, wanted, form, content)
    inputs = [cell or "" for cell in raw.columns[role.name]]
    return Inputs(inputs, raw.table, raw.facts, raw.notes)


def _read_input_file(
    path: str | Path, wanted: Wanted, form: Form, content: bytes | None
) -> RawColumns:
    source = name_of(path)
    if _is_said_to_be_table(path, wanted, form):
        return read_columns(path, wanted, source, form, content)
    decoded = to_utf8(unpack(content or read_bytes(path), source), source, form.encoding)
    data, encoding, notes = decoded.data, decoded.encoding, decoded.notes
    if looks_like_table(data, wanted):
        return _read_text(data, path, wanted, source, form, encoding, notes)
    return lines.read_whole_lines(data, wanted.roles[0], source, form, encoding, notes)


def _is_said_to_be_table(path: str | Path, wanted: Wanted, form: Form) -> bool:
    said = form.delimiter is not None or form.header is not None or wanted.given
    return bool(said) or suffix_of(path) in TABLE_SUFFIXES


def looks_like_table(data: bytes, wanted: Wanted) -> bool:
    """Whether UTF-8 without a name that says so plainly is a table or labelled lines."""
    return bool(
        _starts_as_json(data)
        or lines.is_fasttext(data)
        or tables.is_drawn(data)
        or recognise(_names_by_r(data), wanted.roles[0].names)
        or lines.is_table(data, wanted)
    )


def is_lines(head: bytes, path: str | Path, form: Form) -> bool:
    """Whether a file has an input a line, as :func:`read_inputs` would read it.

    Args:
        head: whole lines from the beginning of the file, unpacked.
        path: the file, whose suffix may say what it is.
        form: what the user said about it.

    Raises:
        DataError: it is empty, or no text.
    """
    wanted = Wanted.of((TEXT,), {TEXT.name: None}, keep=True)
    if _is_said_to_be_table(path, wanted, form) or head.startswith(PARQUET_MAGIC):
        return False
    return not looks_like_table(to_utf8(head, name_of(path), form.encoding).data, wanted)


def read_columns(
    path: str | Path,
    wanted: Wanted,
    source: str,
    form: Form = AS_TOLD,
    content: bytes | None = None,
) -> RawColumns:
    """Return the wanted columns of a file of any format; ``content`` is it where it has been read.

    Raises:
        DataError: As :func:`read_examples`.
    """
    check_readable(path)
    data = unpack(content or read_bytes(path), source)
    if data.startswith(PARQUET_MAGIC):
        return typed.read_parquet(data, wanted, source)
    if suffix_of(path) == ".parquet" and data:
        raise DataError(f"{source} is not a Parquet file; name it after what it is, such as .csv")
    decoded = to_utf8(data, source, form.encoding)
    del data
    return _read_text(decoded.data, path, wanted, source, form, decoded.encoding, decoded.notes)


def _read_text(
    data: bytes,
    path: str | Path,
    wanted: Wanted,
    source: str,
    form: Form,
    encoding: str,
    notes: tuple[str, ...],
) -> RawColumns:
    """Read text of whatever format it is."""
    suffix = suffix_of(path)
    if suffix in _JSON_SUFFIXES and _JSON_LINE.search(data) is None:
        raise DataError(f"{source} holds no JSON objects; name a table after what it is, as .csv")
    of_texts = {role.name for role in wanted.roles} <= {TEXT.name, LABEL.name}
    if form.delimiter is None and (suffix in _JSON_SUFFIXES or _starts_as_json(data)):
        raw = objects.read_json(data, wanted, source, form)
    elif of_texts and form.delimiter is None and lines.is_fasttext(data):
        raw = lines.read_fasttext(data, wanted, source, form)
    elif form.delimiter in (None, " ") and _names_by_r(data):
        raw = tables.read_table(data, wanted, source, replace(form, delimiter=" "))
    elif of_texts and (form.delimiter == " " or lines.has_label_first(data, wanted, form)):
        raw = lines.read_label_first(data, wanted, source, form)
    else:
        preferred = "," if suffix == ".csv" else "\t"
        raw = tables.read_table(data, wanted, source, form, preferred=preferred)
    return replace(raw, facts=replace(raw.facts, encoding=encoding), notes=notes + raw.notes)


def suffix_of(path: str | Path) -> str:
    """Return the suffix that says what is in a file: that before ``.gz``."""
    name = Path(path).name.lower()
    return Path(name.removesuffix(".gz")).suffix


def _starts_as_json(data: bytes) -> bool:
    if _JSON_START.match(data[:1024]) is None:
        return False
    _, closed, behind = data[: data.find(b"\n", 1)].rpartition(b"}")
    return not (closed and b"\t" in behind)  # the text of a table may be JSON, before its label


# A text may begin with a bracket; an array of objects has a brace after it.
_JSON_START = re.compile(rb'\s*(\{\s*["}]|\[\s*\{\s*["}])')
_JSON_LINE = re.compile(rb"^\s*[{\[]", re.MULTILINE)


def _names_by_r(data: bytes) -> list[str]:
    """Return the names of the columns of R's tables, which are parted by blanks, all in quotes."""
    match = _R_HEADER.match(data)
    return match[0].decode().strip()[1:-1].split('" "') if match else []


_R_HEADER = re.compile(rb'"[^"\n]*"(?: "[^"\n]*")+\r?\n(?=")')


def labelled(raw: RawColumns, source: str, form: Form) -> Examples:
    """Return the texts and labels of columns, and what there is to say of those left out.

    Raises:
        DataError: a text has no label, or there is no text.
    """
    if form.multilabel:
        return _with_several_labels(raw, source, form)
    texts: list[str] = []
    labels: list[str] = []
    same: dict[str, str] = {}  # as it stands: as it is meant; one object a label, not one a row
    unlabelled = 0
    cells = zip(raw.columns[TEXT.name], raw.columns[LABEL.name], strict=True)
    for row, (text, cell) in enumerate(cells):
        if not text or text.isspace():
            continue
        label = same.get(cell or "")
        if label is None:
            label = canonical(cell) if cell else ""
            label = same.setdefault(cell or "", same.get(label, label))
        if not label:
            unlabelled += 1
            if not form.drop_unlabelled:
                raise _no_label(raw, source, row)
            continue
        texts.append(text)
        labels.append(label)
    notes = notes_on_skipped_texts(raw, source, len(texts), unlabelled) + _notes_on_spellings(same)
    return Examples(texts, labels, source, notes, (raw.facts,))


def _no_label(raw: RawColumns, source: str, row: int) -> DataError:
    return DataError(
        f"{source} {raw.where(row)}: label column {raw.names[LABEL.name]} is empty; "
        "fill it in or drop the row (--drop-unlabelled drops all such rows)"
    )


def notes_on_skipped_texts(
    raw: RawColumns, source: str, kept: int, unlabelled: int
) -> tuple[str, ...]:
    """Say what was left out.

    Raises:
        DataError: that is all.
    """
    if not kept:
        raise DataError(f"{source} has no text that is not empty; check which column is the text")
    empty = len(raw.columns[TEXT.name]) - kept - unlabelled
    return (*raw.notes, *_counted(empty, "empty text"), *_counted(unlabelled, "unlabelled text"))


def _with_several_labels(raw: RawColumns, source: str, form: Form) -> Examples:
    """Return texts with the lists of labels in their cells.

    An empty cell is a text without a label where the labels are no lists in brackets; among such
    lists, which can say so, it is a missing one.
    """
    cells = [cell or "" for cell in raw.columns[LABEL.name]]
    different = dict.fromkeys(cells)
    try:
        separator = form.label_separator or separator_of(different)
    except DataError as error:
        raise DataError(f"{source}{error}") from error
    bracketed = any(map(is_list, different))
    meant: dict[str, tuple[str, ...]] = {}
    texts: list[str] = []
    labels: list[tuple[str, ...]] = []
    unlabelled = without = 0
    for row, (text, cell) in enumerate(zip(raw.columns[TEXT.name], cells, strict=True)):
        if not text or text.isspace():
            continue
        if not cell.strip():
            if form.drop_unlabelled:
                unlabelled += 1
                continue
            if bracketed:
                raise _no_label(raw, source, row)
            without += 1
        if cell not in meant:
            meant[cell] = _labels_of(raw, source, row, cell, separator, form)
        texts.append(text)
        labels.append(meant[cell])
    notes = notes_on_skipped_texts(raw, source, len(texts), unlabelled)
    notes += _notes_on_lists(labels, meant, separator, bracketed=bracketed)
    given = form.label_separator
    if given is not None and not any(given in cell.strip("[](){} ") for cell in meant):
        notes += (
            f"{given!r} (--label-separator) stands in no label, so that each cell is one label; "
            "without it lists in brackets, ; | , and blanks are told from the labels",
        )
    if without:
        notes += (f"{_texts(without)} with an empty label: taken as having none of the labels",)
    return Examples(texts, labels, source, notes, (raw.facts,), several=True)


def _labels_of(
    raw: RawColumns, source: str, row: int, cell: str, separator: str | None, form: Form
) -> tuple[str, ...]:
    try:
        return labels_in(cell, separator, given=form.label_separator is not None)
    except DataError as error:
        raise DataError(f"{source} {raw.where(row)}{error}") from error


def _notes_on_lists(
    labels: Sequence[tuple[str, ...]],
    meant: Mapping[str, tuple[str, ...]],
    separator: str | None,
    *,
    bracketed: bool,
) -> tuple[str, ...]:
    """Say how labels were told apart, and what may stand between more of them."""
    notes: tuple[str, ...] = ()
    if separator is not None and not bracketed:
        notes += (f"labels are read as parted by {SEPARATORS.get(separator, separator)}",)
    sign = unread_sign([cell for cell, found in meant.items() if len(found) == 1])
    if sign is not None:
        example = next(cell for cell in meant if sign in cell.strip(sign))
        notes += (
            f"a label such as {example!r} is read as one; if {sign!r} stands between two, say so "
            "with --label-separator",
        )
    return notes


def _texts(count: int) -> str:
    return f"{count:,} text{'' if count == 1 else 's'}"


def _counted(count: int, what: str) -> tuple[str, ...]:
    if count == 0:
        return ()
    return (f"{count:,} {what}{'' if count == 1 else 's'} skipped",)


def _notes_on_spellings(same: Mapping[str, str]) -> tuple[str, ...]:
    """Say which labels, written in several ways, were read as one."""
    spellings: dict[str, list[str]] = {}
    for written, meant in same.items():
        spellings.setdefault(meant, []).append(written.strip())
    many = {meant: list(dict.fromkeys(ways)) for meant, ways in spellings.items() if meant}
    return tuple(
        f"labels {' and '.join(map(ascii_if_equal(ways), ways))} are read as one, {meant!r}"
        for meant, ways in many.items()
        if len(ways) > 1
    )


def ascii_if_equal(names: Sequence[str]) -> Callable[[str], str]:
    """Return how to show names: with escapes where they look alike on a screen."""
    shapes = Counter(unicodedata.normalize("NFC", name) for name in names)
    return ascii if max(shapes.values()) > 1 else repr


def joined(parts: Sequence[Examples]) -> Examples:
    """Return the examples of several files as one."""
    if len(parts) == 1:
        return parts[0]
    return Examples(
        [text for part in parts for text in part.texts],
        [label for part in parts for label in part.labels],
        joined_names([part.source for part in parts]),
        joined_notes((part.source, part.notes) for part in parts),
        tuple(facts for part in parts for facts in part.facts),
        several=parts[0].several,
    )


def joined_names(sources: Sequence[str]) -> str:
    """Return the names of several files as one, the first few of them."""
    names = [*dict.fromkeys(sources)]
    *first, last = names if len(names) <= 3 else [*names[:2], f"{len(names) - 2} more"]
    return ", ".join(first) + " and " + last if first else last


def joined_notes(parts: Iterable[tuple[str, Sequence[str]]]) -> tuple[str, ...]:
    """Return the notes of several files, each with the name of its file; what all say once."""
    parts = list(parts)
    common = [note for note in parts[0][1] if all(note in notes for _, notes in parts)]
    own = [
        f"{Path(name).name}: {note}"
        for name, notes in parts
        for note in notes
        if note not in common
    ]
    return (*common, *own)


def read_lines(path: str | Path, *, form: Form = AS_TOLD) -> Iterator[str]:
    """Return the lines of a file or of standard input (``-``) as they come.

    Raises:
        DataError: As :func:`read_examples`; possibly only on the way.
    """
    check_readable(path)
    return lines.stream(path, name_of(path), form)
