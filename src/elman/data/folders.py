"""Folders of texts: one ``<Label>.txt`` a class, or one folder of files a class."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

from elman.data.encoding import to_utf8, unpack
from elman.data.files import read_bytes, unreadable
from elman.data.form import Facts, Form
from elman.data.tables import RawColumns
from elman.errors import DataError


def read_folder(folder: Path, form: Form) -> RawColumns:
    """Return the texts of a folder with the name of their file or folder as their label.

    In a folder with folders of ``.txt`` files each file is one text (as scikit-learn's
    ``load_files`` reads it); else each line of a ``<Label>.txt`` is one.

    Raises:
        DataError: There are no such files, or one cannot be read.
    """
    classes = _class_folders(folder)
    files = _texts_in(folder)
    if len(classes) > 1 or (classes and not files):
        return _read_class_folders(folder, classes, files, form)
    if not files:
        raise DataError(
            f"{folder} has no .txt file; put one <Label>.txt a class there, a text on each line, "
            "or one folder a class, a text in each file; tables are given by name: "
            f"{folder}{os.sep}*.csv"
        )
    return _read_class_files(folder, files, form)


def _entries(folder: Path) -> list[str]:
    try:
        return sorted(name for name in os.listdir(folder) if not name.startswith("."))
    except OSError as error:
        raise unreadable(folder, error) from error


def _texts_in(folder: Path) -> list[str]:
    names = [name for name in _entries(folder) if not os.path.isdir(folder / name)]
    return [name for name in names if name.lower().removesuffix(".gz").endswith(".txt")]


def _class_folders(folder: Path) -> list[str]:
    inner = [name for name in _entries(folder) if os.path.isdir(folder / name)]
    return [name for name in inner if _texts_in(folder / name)]


def _read_class_folders(
    folder: Path, classes: list[str], files: list[str], form: Form
) -> RawColumns:
    texts: list[str | None] = []
    labels: list[str | None] = []
    names: list[str | None] = []
    told: dict[str, int] = {}
    encoding = "utf-8"
    for name in classes:
        for file in _texts_in(folder / name):
            text, encoding, note = _text_of(folder / name / file, form)
            texts.append(text)
            labels.append(unicodedata.normalize("NFC", name))
            names.append(f"{name}{os.sep}{file}")
            if note:
                told[note] = told.get(note, 0) + 1
    notes = [f"{count:,} file{'s' * (count > 1)}: {note}" for note, count in told.items()]
    if files:
        notes.append(f"files beside the folders are not read: {', '.join(files[:5])}")
    return _raw(folder, texts, labels, names, "a folder of texts a class", encoding, tuple(notes))


def _read_class_files(folder: Path, files: list[str], form: Form) -> RawColumns:
    texts: list[str | None] = []
    labels: list[str | None] = []
    names: list[str | None] = []
    notes: tuple[str, ...] = ()
    encoding = "utf-8"
    for name in files:
        whole, encoding, note = _text_of(folder / name, form)
        found = whole.split("\n")
        if not found[-1]:
            found.pop()
        texts += [line.removesuffix("\r") for line in found]
        label = unicodedata.normalize("NFC", name[: name.lower().rindex(".txt")])
        labels += [label] * len(found)
        names += [name] * len(found)
        notes += (f"{name}: {note}",) if note else ()
    return _raw(folder, texts, labels, names, "a file of lines a class", encoding, notes)


def _text_of(path: Path, form: Form) -> tuple[str, str, str | None]:
    data = unpack(read_bytes(path), str(path))
    if not data.strip():
        return "", "utf-8", "the file is empty"
    decoded = to_utf8(data, str(path), form.encoding)
    text = decoded.data.decode()
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise DataError(f"{path} line {line} has a NUL byte, which no text has; delete it")
    return text, decoded.encoding, decoded.note


def _raw(
    folder: Path,
    texts: list[str | None],
    labels: list[str | None],
    files: list[str | None],
    kind: str,
    encoding: str,
    notes: tuple[str, ...],
) -> RawColumns:
    columns = {"text": texts, "label": labels}
    return RawColumns(
        columns=columns,
        names={"label": "file name"},
        where=lambda row: f"text {row + 1} ({files[row]})",
        facts=Facts(str(folder), kind, ("file", "label", "text"), encoding=encoding, columns={}),
        notes=notes,
        table={"file": files, **columns},
    )
