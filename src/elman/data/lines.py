"""Files of plain lines: ``label text``, fastText's ``__label__x text``, and texts alone."""

from __future__ import annotations

import gzip
import io
import json
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import chain, islice
from pathlib import Path
from typing import Any, BinaryIO

from elman.data.columns import LABEL, TEXT, Role, Wanted, recognise
from elman.data.detection import decode, guess
from elman.data.dialect import is_delimited
from elman.data.encoding import (
    GZIP_MAGIC,
    UTF8,
    broken_gzip,
    is_damaged,
    known_encoding,
    refuse_binary,
    to_utf8,
)
from elman.data.files import open_bytes
from elman.data.form import Facts, Form
from elman.data.records import HAS_NUL
from elman.data.tables import SKIP_HINT, RawColumns, notes_on_skipped
from elman.errors import DataError

_SHOWN = 5_000  # lines that tell what kind of file it is
_MOST_LABELS = 200
_ENOUGH = 4096  # bytes that are not UTF-8, to tell what else they are
_LONGEST = 1 << 26  # bytes of a line
_FASTTEXT = "__label__"
# Takes a line; returns its label, its text, and what is wrong with it.
_Splitter = Callable[[str], tuple[str | None, str, str]]


def _first_lines(data: bytes) -> list[str]:
    found = (line.decode(errors="replace").strip() for line in io.BytesIO(data))
    return list(islice(filter(None, found), _SHOWN))


# -------------------------------------------------------------------------------------------------
# Labelled lines


def is_fasttext(data: bytes) -> bool:
    """Return whether the lines begin with fastText's labels, and are no table of such."""
    return _FASTTEXT_LINE.match(data) is not None


_FASTTEXT_LINE = re.compile(rb'\s*__label__(?![^\s"]*[,;|]")')


def read_fasttext(data: bytes, wanted: Wanted, source: str, form: Form) -> RawColumns:
    """Return texts and labels of lines ``__label__x text``.

    Raises:
        DataError: A line has several labels, which were not asked for.
    """

    def split(line: str) -> tuple[str | None, str, str]:
        labels: list[str] = []
        while line.startswith(_FASTTEXT):
            first, *rest = line.split(maxsplit=1)
            if labels and not wanted.lists:
                return None, line, " has several labels; --multilabel reads them all"
            labels.append(first.removeprefix(_FASTTEXT))
            line = "".join(rest)
        if wanted.lists:
            return json.dumps(labels, ensure_ascii=False), line, ""
        return (labels[0] if labels else None), line, ""

    return _read(data, wanted, source, form, split, "fastText's lines")


def has_label_first(data: bytes, wanted: Wanted, form: Form) -> bool:
    """Return whether each line is a label, a blank, and a text, which nothing else delimits.

    The first words of lines of prose are many different ones; labels are few, and come again.
    """
    if wanted.given or form.delimiter is not None or form.header is not None:
        return False
    if LABEL.name not in {role.name for role in wanted.roles}:
        return False  # the first word of a text alone would be lost
    found = _first_lines(data)
    if len(found) < 2 or any("\t" in line for line in found[:100]):
        return False
    firsts = Counter(line.split(maxsplit=1)[0] for line in found)
    if sum(" " not in line for line in found) * 100 > len(found) or len(firsts) < 2:
        return False
    if recognise(re.split(r"[,;|]", found[0]), (*TEXT.names, *LABEL.names)):
        return False
    once = sum(count == 1 for count in firsts.values())
    few = len(firsts) <= min(_MOST_LABELS, max(len(found) // 10, min(len(found) / 2, 10)))
    plain = all(_LABEL.fullmatch(word) for word in firsts)
    delimited = is_delimited(data, wanted)
    return few and once * 50 <= max(len(found), 50) and plain and not delimited


# A label is a word, a number, or words joined by signs; a word of prose may have a comma after it.
_LABEL = re.compile(r"[-+]?\w+([-:./_+]\w+)*")


def read_label_first(data: bytes, wanted: Wanted, source: str, form: Form) -> RawColumns:
    """Return texts and labels of lines ``label text``."""

    def split(line: str) -> tuple[str | None, str, str]:
        label, _, text = line.lstrip().partition(" ")
        return label, text.lstrip(), ""

    return _read(data, wanted, source, form, split, "lines of a label, a blank and a text")


def _read(
    data: bytes, wanted: Wanted, source: str, form: Form, split: _Splitter, kind: str
) -> RawColumns:
    texts: list[str | None] = []
    labels: list[str | None] = []
    places: list[int] = []
    skipped: list[int] = []
    for number, raw_line in enumerate(io.BytesIO(data), start=1):
        line = raw_line.decode().strip("\r\n")
        if not line.strip():
            continue
        label, text, fault = split(line)
        if "\0" in line:
            fault = HAS_NUL
        if fault and not form.skips:
            raise DataError(f"{source} line {number}{fault}{SKIP_HINT}")
        if fault:
            skipped.append(number)
            continue
        texts.append(text)
        labels.append(label)
        places.append(number)
    columns = {TEXT.name: texts, LABEL.name: labels}
    note = f"read as {kind}"
    return RawColumns(
        columns=columns,
        names={LABEL.name: "(the first word)"},
        where=lambda row: f"line {places[row]}",
        facts=Facts(source, kind, (LABEL.name, TEXT.name), header=False, columns={}),
        notes=(note, *notes_on_skipped(skipped)),
        table={name: columns[name] for name in (LABEL.name, TEXT.name)} if wanted.keep else {},
    )


# -------------------------------------------------------------------------------------------------
# Lines that are the inputs


def is_table(data: bytes, wanted: Wanted) -> bool:
    """Return whether a file without a suffix that says so is a table, not lines of text.

    A line of text may have any sign in it; so tabs count alone, if each line has as many of them,
    or a header that has the name of the column.
    """
    return is_delimited(data, wanted, tabs=True)


def looks_like_table(first: str) -> bool:
    """Return whether the first of some lines is a header or an object rather than a text."""
    names = re.split(r"[,;\t|]", first)
    known = recognise(names, (*TEXT.names, *LABEL.names))
    return (len(names) > 1 and bool(known)) or first.startswith(("sep=", '{"'))


def read_whole_lines(
    data: bytes, role: Role, source: str, form: Form, encoding: str, notes: tuple[str, ...]
) -> RawColumns:
    """Return each line as an input."""
    found: list[str | None] = [*data.decode().split("\n")]
    if not found[-1]:
        found.pop()
    whole = [line.removesuffix("\r") for line in found if line is not None]
    broken = [number for number, line in enumerate(whole, start=1) if "\0" in line]
    if broken and not form.skips:
        raise DataError(f"{source} line {broken[0]}{HAS_NUL}{SKIP_HINT}")
    if broken:
        whole = [line for line in whole if "\0" not in line]
        notes += notes_on_skipped(broken)
    return RawColumns(
        columns={role.name: whole},
        names={role.name: "line"},
        where=lambda row: f"line {row + 1}",
        facts=Facts(source, "lines", (role.name,), encoding=encoding, columns={}),
        notes=notes,
        table={role.name: whole},
    )


# -------------------------------------------------------------------------------------------------
# Lines as they come


def stream(path: str | Path, source: str, form: Form) -> Iterator[str]:
    """Yield the lines of a file or of standard input as soon as they are there.

    Raises:
        DataError: It is no text, or a line does not end.
    """
    with open_bytes(path) as handle:
        peekable = handle if isinstance(handle, io.BufferedReader) else _peekable(handle)
        packed = peekable.peek(2).startswith(GZIP_MAGIC)
        unpacked: Any = gzip.GzipFile(fileobj=peekable) if packed else peekable
        try:
            yield from _decoded(_byte_lines(unpacked, source), source, form)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise broken_gzip(source) from error


def _peekable(handle: BinaryIO) -> io.BufferedReader:
    return io.BufferedReader(io.BytesIO(handle.read()))


def _byte_lines(handle: BinaryIO, source: str) -> Iterator[bytes]:
    """Yield lines with their ends, bounded in length; a bare return ends one as in old Mac files.

    Which it is, is told by what ends the first line.
    """
    first = handle.readline(_LONGEST)
    if b"\r" in first.rstrip(b"\r\n") and not first.endswith(b"\n"):
        whole = _bounded(first, handle, source)
        yield from (part + b"\n" for part in whole.removesuffix(b"\r").split(b"\r"))
        return
    while first:
        if len(first) >= _LONGEST:
            raise DataError(
                f"{source} has a line of more than {_LONGEST >> 20} MB; give lines of text"
            )
        yield first
        first = handle.readline(_LONGEST)


def _bounded(first: bytes, handle: BinaryIO, source: str) -> bytes:
    rest = handle.read(_LONGEST)
    if len(rest) == _LONGEST:
        raise DataError(f"{source} has more than {_LONGEST >> 20} MB without a line end")
    return first + rest


def _decoded(handle: Iterable[bytes], source: str, form: Form) -> Iterator[str]:
    """Yield lines of bytes as text; those that are not UTF-8 tell their encoding together."""
    found = iter(handle)
    first = next(found, b"")
    wide = first.startswith((b"\xff\xfe", b"\xfe\xff")) or (b"\0" in first and len(first) > 4)
    if form.encoding is not None or wide:
        said = None if form.encoding is None else known_encoding(form.encoding)
        if said != UTF8:
            whole = to_utf8(first + b"".join(found), source, said).data
            first, *rest = whole.splitlines(keepends=True)
            found = iter(rest)
    refuse_binary(first, source)
    first = first.removeprefix(b"\xef\xbb\xbf")
    broken = b""
    for number, line in enumerate(chain([first] if first else [], found), start=1):
        if b"\0" in line:
            raise DataError(f"{source} line {number} holds binary data; give lines of text")
        try:
            text = line.decode()
        except UnicodeDecodeError:
            if is_damaged(line):
                text = line.decode(errors="replace")
            else:
                broken += line if len(broken) < _ENOUGH else b""
                text = _guessed(line, broken, f"{source} line {number}")
        yield text.removesuffix("\n").removesuffix("\r")


def _guessed(line: bytes, broken: bytes, place: str) -> str:
    encoding = guess([broken])
    if encoding is None:
        raise DataError(
            f"{place} is not UTF-8 and its encoding cannot be told; name it with --encoding"
        )
    return decode(line, encoding)
