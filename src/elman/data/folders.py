"""Folders of texts: one ``<Label>.txt`` a class, or one folder of files a class."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

from elman.data.encoding import to_utf8, unpack
from elman.data.files import read_bytes, unreadable
from elman.data.form import Facts, Form
from elman.data.records import HAS_NUL
from elman.data.tables import SKIP_HINT, RawColumns, notes_on_skipped
from elman.errors import DataError

_SKIPPED = "with a NUL byte, left out"


def read_folder(folder: Path, form: Form) -> RawColumns:
    """Return the texts of a folder with the name of their file or folder as their label.

    In a folder with folders of ``.txt`` files each file is one text (as scikit-learn's
    ``load_files`` reads it); else each line of a ``<Label>.txt`` is one.

    Raises:
        DataError: There are no such files, or one cannot be read.
    """
    classes = _class_folders(folder)
    files = texts_in(folder)
    _refuse_parts(folder, classes, files)
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


def texts_in(folder: Path) -> list[str]:
    """Return the names of the ``.txt`` files right in a folder, in their order."""
    names = [name for name in _entries(folder) if not os.path.isdir(folder / name)]
    return [name for name in names if name.lower().removesuffix(".gz").endswith(".txt")]


def _single_texts_in(folder: Path) -> list[str]:
    """Return the files of which each is a text: also those without a suffix."""
    names = [name for name in _entries(folder) if not os.path.isdir(folder / name)]
    return [name for name in names if "." not in name or name in texts_in(folder)]


def _class_folders(folder: Path) -> list[str]:
    return [name for name in _folders_in(folder) if _single_texts_in(folder / name)]


def _folders_in(folder: Path) -> list[str]:
    return [name for name in _entries(folder) if os.path.isdir(folder / name)]


def _refuse_parts(folder: Path, classes: list[str], files: list[str]) -> None:
    """Refuse a folder whose files or folders are parts of a data set, not classes of one."""
    found = classes or files or _folders_in(folder)
    parts = [name for name in found if name.lower().split(".")[0] in _PARTS]
    if len(parts) > 1 and len(parts) == len(found):
        train = next((name for name in parts if "train" in name.lower()), parts[0])
        raise DataError(
            f"{folder} has the parts {', '.join(parts)}, which are no classes; give "
            f"{folder / train}, and the others with --valid and --test"
        )


_PARTS = ("train", "training", "test", "testing", "valid", "validation", "val", "dev", "eval")


def _read_class_folders(
    folder: Path, classes: list[str], files: list[str], form: Form
) -> RawColumns:
    texts: list[str | None] = []
    labels: list[str | None] = []
    names: list[str | None] = []
    told: dict[str, int] = {}
    encoding = "utf-8"
    for name in classes:
        for file in _single_texts_in(folder / name):
            text, encoding, note = _text_of(folder / name / file, form)
            if "\0" in text:
                told[_SKIPPED] = told.get(_SKIPPED, 0) + 1
                continue
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
        broken = [number for number, line in enumerate(found, start=1) if "\0" in line]
        found = [line for line in found if "\0" not in line]
        texts += [line.removesuffix("\r") for line in found]
        label = unicodedata.normalize("NFC", name[: name.lower().rindex(".txt")])
        labels += [label] * len(found)
        names += [name] * len(found)
        said = (*((note,) if note else ()), *notes_on_skipped(broken))
        notes += tuple(f"{name}: {one}" for one in said)
    return _raw(folder, texts, labels, names, "a file of lines a class", encoding, notes)


def _text_of(path: Path, form: Form) -> tuple[str, str, str | None]:
    data = unpack(read_bytes(path), str(path))
    if not data.strip():
        return "", "utf-8", "the file is empty"
    decoded = to_utf8(data, str(path), form.encoding)
    text = decoded.data.decode()
    if "\0" in text and not form.skips:
        line = text[: text.index("\0")].count("\n") + 1
        raise DataError(f"{path} line {line}{HAS_NUL}{SKIP_HINT}")
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
