"""Whether a file plainly is of tagged sentences or running text, told from name or beginning."""

from __future__ import annotations

import json
import os
import re
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

from elman.data.annotations import SPAN_NAMES, are_spans, unwrapped
from elman.data.columns import LABEL, TEXT, Wanted
from elman.data.conll import DOCUMENT, conllu_names, fields_of
from elman.data.encoding import GZIP_MAGIC, PARQUET_MAGIC, to_utf8
from elman.data.files import STDIN, name_of, open_bytes
from elman.data.form import AS_TOLD, Form
from elman.data.lines import has_label_first
from elman.data.objects import Row, objects_in
from elman.data.readers import looks_like_table, suffix_of
from elman.data.sentences import (
    FIRST,
    JSON_START,
    TAG_NAMES,
    TOKEN_NAMES,
    field_of,
    is_flat,
    is_list_of_rows,
    is_lists,
    is_row,
)
from elman.data.token_tables import delimiter_of
from elman.data.typed import parquet_rows
from elman.errors import DataError

SUFFIXES = (".conllu", ".conllup", ".conll", ".conll03", ".iob", ".iob1", ".iob2", ".bio", ".bilou")
"""The names of files that are plainly of tagged sentences end so."""
_HEAD = 1 << 16  # bytes that tell whose task a file is


def looks_tagged(data: Any) -> bool:
    """Whether ``data`` plainly is of tagged sentences: told from its name or its beginning.

    Standard input and pipes are not looked at, as they can be read only once.
    """
    if is_lists(data):
        return all(isinstance(one, str) for row in data[0][:FIRST] for one in row)
    if is_list_of_rows(data):
        return _are_tagged([dict(row) for row in islice(data, FIRST)])
    if not isinstance(data, str | Path) or name_of(data) == STDIN:
        return False
    if suffix_of(data) in SUFFIXES:
        return True
    head = _head_of(data)
    return head is not None and _begins_as_tagged(head)


def looks_running(data: Any) -> bool:
    """Whether ``data`` plainly is running text: a ``.txt`` file that is no table and has no labels.

    Also a folder with one such file and nothing else; several in a folder are a class each.
    """
    if not isinstance(data, str | Path) or name_of(data) == STDIN:
        return False
    if os.path.isdir(data):
        data = _only_file_in(Path(data)) or data
    if suffix_of(data) != ".txt":
        return False
    head = _head_of(data)
    if head is None:
        return False
    if not head or head.isspace():  # said where it is read
        return True
    try:
        text = to_utf8(head, name_of(data)).data
    except DataError:  # said where it is read
        return False
    text = _INDENT.sub(b"", text)
    return not (_begins_as_tagged(text) or looks_like_table(text, _LABELLED) or _is_labelled(text))


_INDENT = re.compile(rb"^[ \t]+", re.MULTILINE)


def _only_file_in(folder: Path) -> Path | None:
    try:
        names = [name for name in os.listdir(folder) if not name.startswith(".")]
    except OSError:  # said where it is read
        return None
    return folder / names[0] if len(names) == 1 else None


_LABELLED = Wanted.of((TEXT, LABEL), {})


def _is_labelled(head: bytes) -> bool:
    """Whether most lines are a label and a text, as far as the reader of such would see it.

    That is a tab within most of them, one and the same number of another delimiter in nearly all,
    or words before the first blank that come again and again.
    """
    lines = [line.strip() for line in head.split(b"\n") if line and not line.isspace()]
    if sum(b"\t" in line for line in lines) * 2 >= len(lines):
        return True
    if len(lines) < 2:
        return False
    for delimiter in (b",", b";", b"|"):
        count, most = Counter(line.count(delimiter) for line in lines).most_common(1)[0]
        if count and most * 10 >= len(lines) * 9:
            return True
    different = b"\n".join(dict.fromkeys(lines))
    return has_label_first(different, _LABELLED, AS_TOLD)


def _head_of(path: str | Path) -> bytes | None:
    """Return the beginning of a file, unpacked; None where there is none or it cannot be read."""
    if not os.path.isfile(path):
        return None
    try:
        with open_bytes(path) as handle:
            return _unpacked_head(handle.read(_HEAD))
    except DataError:  # said where it is read
        return None


def are_tagged(packed: bytes) -> bool:
    """Whether the bytes of a file, which may be packed, plainly begin with tagged sentences."""
    return not packed.startswith(PARQUET_MAGIC) and _begins_as_tagged(_unpacked_head(packed))


def holds_tokens(packed: bytes, path: str | Path) -> bool:
    """Whether a file has sentences as lists of tokens, with tags or without."""
    if packed.startswith(PARQUET_MAGIC):
        rows = [*enumerate(parquet_rows(packed, name_of(path)))]
        return field_of(rows, TOKEN_NAMES, is_flat) is not None
    head = _unpacked_head(packed)
    if JSON_START.match(head):  # texts with spans of characters have no tokens
        return field_of(_first_objects(head), TOKEN_NAMES, is_flat) is not None
    return (
        suffix_of(path) in SUFFIXES
        or conllu_names(head.decode("utf-8", "replace")) is not None
        or _begins_as_tagged(head)
    )


def _unpacked_head(data: bytes) -> bytes:
    """Return the beginning of a file, unpacked: whole lines, where it has several."""
    head = data[:_HEAD]
    if data.startswith(GZIP_MAGIC):
        try:
            head = zlib.decompressobj(wbits=31).decompress(data[: 4 * _HEAD], _HEAD)
        except zlib.error:
            return b""
    return head[: head.rfind(b"\n") + 1] or head if len(head) == _HEAD else head


def _begins_as_tagged(head: bytes) -> bool:
    text = head.decode("utf-8-sig", "replace")
    if JSON_START.match(head):
        return _are_tagged([row for _, row in _first_objects(head)])
    return (
        conllu_names(text) is not None
        or delimiter_of(text, TOKEN_NAMES) is not None
        or _are_tagged_columns(text)
    )


def _first_objects(head: bytes) -> list[Row]:
    """Return the first objects of the beginning of JSON."""
    form = Form(bad_rows="skip")
    with suppress(DataError):
        return [*islice(objects_in(head, "", form, is_row).rows, FIRST)]
    with suppress(ValueError, DataError, RecursionError):  # an array that is cut off
        start = head.index(b"[") + 1
        value, _ = json.JSONDecoder().raw_decode(head[start:].decode("utf-8", "ignore").lstrip())
        return [*objects_in(json.dumps([value]).encode(), "", form, is_row).rows]
    return []


def _are_tagged(rows: Sequence[Mapping[str, Any]]) -> bool:
    """Whether objects have as many tags as tokens, or spans beside a text."""
    for row in map(unwrapped, rows):
        tokens = next((row[name] for name in TOKEN_NAMES if is_flat(row.get(name))), None)
        tags = [row[name] for name in TAG_NAMES if is_flat(row.get(name))]
        if tokens and any(len(one) == len(tokens) for one in tags):
            return True
        spans = any(are_spans(row.get(name)) for name in SPAN_NAMES)
        if isinstance(row.get("text"), str) and spans:
            return True
    return False


_SPAN_TAG = re.compile(r"[BIESLU]-\S+")


def _are_tagged_columns(text: str) -> bool:
    """Whether lines are of one width with tags of spans behind, and blank lines between."""
    lines = [fields_of(line) for line in text.split("\n")]
    while lines and not lines[-1]:
        lines.pop()
    filled = [line for line in lines if line and not line[0].startswith("#")]
    if not filled or not 2 <= len(filled[0]) <= 12:
        return False
    if filled[0][0] == DOCUMENT:
        return True
    last = [line[-1] for line in filled]
    return (
        len(filled) < len(lines)
        and len({len(line) for line in filled}) == 1
        and all(tag == "O" or _SPAN_TAG.fullmatch(tag) for tag in last)
        and any(tag != "O" for tag in last)
    )
