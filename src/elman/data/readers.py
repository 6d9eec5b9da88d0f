"""Reading labelled texts from the files that people have.

A table (CSV, TSV, JSON lines, Parquet), a folder with one ``<Label>.txt`` a class, or lines of
text, tab, label without a header; each may be compressed with gzip, and ``-`` is standard input.
The columns are found by their names (:data:`~elman.data.columns.TEXT_NAMES` and
:data:`~elman.data.columns.LABEL_NAMES`) or given. Without a header the text is the first of two
columns and the label the second, unless the first has plainly fewer different values.
"""

from __future__ import annotations

import gzip
import io
import os
import unicodedata
import zlib
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import BinaryIO

from elman.data.columns import LABEL, TEXT, Wanted
from elman.data.encoding import (
    GZIP_MAGIC,
    PARQUET_MAGIC,
    UTF8_MARK,
    UTF16_MARKS,
    broken_gzip,
    decode_legacy,
    guess_legacy,
    refuse_binary,
    to_utf8,
    unpack,
)
from elman.data.examples import Examples
from elman.data.files import STDIN, check_readable, name_of, open_bytes, read_bytes, unreadable
from elman.data.tables import RawColumns, read_table
from elman.data.typed import read_json_lines, read_parquet
from elman.errors import DataError

_ENOUGH = 4096  # bytes that are not UTF-8, to tell what else they are
_JSON_SUFFIXES = (".jsonl", ".ndjson", ".json")
_TABLE_SUFFIXES = (".csv", ".tsv", ".tab", ".parquet", *_JSON_SUFFIXES)


def read_examples(
    path: str | Path, *, text: str | None = None, label: str | None = None
) -> Examples:
    """Read labelled texts from a file, a folder, or standard input (``-``).

    Args:
        path: The file or folder. Its kind is told from its content and its name.
        text: The text column, by name or by number from 1; found by name when left out.
        label: The label column, likewise.

    Returns:
        The examples in the order of the file, texts as they stand and labels stripped; texts that
        are empty are left out and counted in the notes.

    Raises:
        DataError: The file is missing, unreadable, or not what it was given for; the message names
            file, line and what to do.
    """
    source = name_of(path)
    if source != STDIN and os.path.isdir(path):
        raw, notes = _read_folder(Path(path))
    else:
        wanted = Wanted.of((TEXT, LABEL), {"text": text, "label": label})
        raw, notes = read_columns(path, wanted, source)
    return _labelled(raw, source, notes)


def read_texts(path: str | Path, *, text: str | None = None) -> Iterator[str]:
    """Return the texts of a file or of standard input (``-``), one after another.

    A table (by its suffix, or because ``text`` says which column to take) gives its text column.
    Anything else is read line by line as it comes. Empty texts are kept, as ``""``, so that
    answers can be matched to lines.

    Args:
        path: The file.
        text: The text column, by name or by number from 1.

    Raises:
        DataError: As :func:`read_examples`; in plain lines possibly only on the way.
    """
    source = name_of(path)
    check_readable(path)
    if text is None and _suffix(path) not in _TABLE_SUFFIXES:
        return _lines(path, source)
    raw, _ = read_columns(path, Wanted.of((TEXT,), {"text": text}), source)
    return (cell or "" for cell in raw.columns["text"])


def read_columns(
    path: str | Path, wanted: Wanted, source: str
) -> tuple[RawColumns, tuple[str, ...]]:
    """Return the wanted columns of a table of any format, and what there is to say about the file.

    Raises:
        DataError: As :func:`read_examples`.
    """
    data = unpack(read_bytes(path), source)
    suffix = _suffix(path)
    if data.startswith(PARQUET_MAGIC):
        return read_parquet(data, wanted, source), ()
    if suffix == ".parquet" and data:
        raise DataError(f"{source} is not a Parquet file; name it after what it is, such as .csv")
    data, note = to_utf8(data, source)
    notes = () if note is None else (note,)
    if suffix in _JSON_SUFFIXES or (suffix not in _TABLE_SUFFIXES and _starts_as_json(data)):
        return read_json_lines(data, wanted, source), notes
    preferred = "," if suffix == ".csv" else "\t"
    return read_table(data, wanted, source, preferred=preferred), notes


def _suffix(path: str | Path) -> str:
    """Return the suffix that says what is in a file: that before ``.gz``."""
    name = Path(path).name.lower()
    return Path(name.removesuffix(".gz")).suffix


def _starts_as_json(data: bytes) -> bool:
    return data[:1024].lstrip().startswith(b"{")


def _read_folder(folder: Path) -> tuple[RawColumns, tuple[str, ...]]:
    """Return the lines of each ``<Label>.txt`` of a folder, in the order of the labels."""
    try:
        entries = sorted(os.listdir(folder))
    except OSError as error:
        raise unreadable(folder, error) from error
    names = [name for name in entries if _suffix(name) == ".txt" and not name.startswith(".")]
    if not names:
        raise DataError(
            f"{folder} has no .txt file; put one <Label>.txt a class there, a text on each line"
        )
    texts: list[str | None] = []
    labels: list[str | None] = []
    notes: tuple[str, ...] = ()
    for name in names:
        lines, note = _whole_lines(folder / name)
        label = unicodedata.normalize("NFC", name[: name.lower().rindex(".txt")])
        texts += lines
        labels += [label] * len(lines)
        notes += () if note is None else (f"{name}: {note}",)
    columns = {"text": texts, "label": labels}
    return RawColumns(columns, {"label": "file name"}, lambda row: f"text {row + 1}"), notes


def _whole_lines(path: Path) -> tuple[list[str], str | None]:
    data = unpack(read_bytes(path), str(path))
    if not data.strip():
        return [], "the file is empty"
    data, note = to_utf8(data, str(path))
    lines = data.decode().split("\n")
    if not lines[-1]:
        lines.pop()
    return [line.removesuffix("\r") for line in lines], note


def _labelled(raw: RawColumns, source: str, notes: tuple[str, ...]) -> Examples:
    texts: list[str] = []
    labels: list[str] = []
    same: dict[str, str] = {}  # one object a label, not one a row
    cells = zip(raw.columns["text"], raw.columns["label"], strict=True)
    for row, (text, cell) in enumerate(cells):
        if not text or text.isspace():
            continue
        label = cell.strip() if cell else ""
        if not label:
            raise DataError(
                f"{source} {raw.where(row)}: label column {raw.names['label']} is empty; "
                "fill it in or drop the row"
            )
        texts.append(text)
        labels.append(same.setdefault(label, label))
    if not texts:
        raise DataError(f"{source} has no text that is not empty; check which column is the text")
    skipped = _skipped(len(raw.columns["text"]) - len(texts))
    return Examples(texts, labels, source, notes + raw.notes + skipped)


def _skipped(count: int) -> tuple[str, ...]:
    if count == 0:
        return ()
    return (f"{count:,} empty text{'' if count == 1 else 's'} skipped",)


def _lines(path: str | Path, source: str) -> Iterator[str]:
    """Yield the lines of a file or of standard input as soon as they are there."""
    with open_bytes(path) as handle:
        peekable = handle if isinstance(handle, io.BufferedReader) else _peekable(handle)
        packed = peekable.peek(2).startswith(GZIP_MAGIC)
        try:
            yield from _decoded(gzip.GzipFile(fileobj=peekable) if packed else peekable, source)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise broken_gzip(source) from error


def _peekable(handle: BinaryIO) -> io.BufferedReader:
    return io.BufferedReader(io.BytesIO(handle.read()))


def _decoded(handle: Iterable[bytes], source: str) -> Iterator[str]:
    """Yield lines of bytes as text; those that are not UTF-8 tell their encoding together."""
    lines = iter(handle)
    first = next(lines, b"")
    if first.startswith(UTF16_MARKS):
        whole, _ = to_utf8(first + b"".join(lines), source)
        first, *rest = whole.splitlines(keepends=True)
        lines = iter(rest)
    refuse_binary(first, source)
    first = first.removeprefix(UTF8_MARK)
    broken = b""
    for number, line in enumerate(chain([first] if first else [], lines), start=1):
        if b"\0" in line:
            raise DataError(f"{source} line {number} holds binary data; give lines of text")
        try:
            text = line.decode()
        except UnicodeDecodeError:
            broken += line if len(broken) < _ENOUGH else b""
            text = decode_legacy(line, guess_legacy(broken))
        yield text.removesuffix("\n").removesuffix("\r")
