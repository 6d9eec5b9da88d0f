"""Labels: strings, whatever the file's format made of them; and lists of labels in one cell."""

from __future__ import annotations

import ast
import json
import re
import unicodedata
from collections.abc import Iterable, Sequence

from elman.errors import DataError

_WHOLE = re.compile(r"([-+]?\d+)\.0+")
# What nobody sees comes along where a label is copied from a page.
_UNSEEN = "\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"
_TRUTH = ("true", "false")


def canonical(label: str) -> str:
    """Return a label as it is kept: one spelling for what formats write in several ways.

    Blanks and unseen marks around it are dropped and characters composed (form C). A data frame
    turns 1 into 1.0 as soon as a cell is missing, Parquet and JSON write true where CSV has True
    and Excel TRUE: these become ``1`` and ``true``. Everything else stays as written.
    """
    label = label.strip().strip(_UNSEEN).strip()
    if not label.isascii():
        return unicodedata.normalize("NFC", label)
    if label.lower() in _TRUTH:
        return label.lower()
    whole = _WHOLE.fullmatch(label)
    return whole[1] if whole else label


# -------------------------------------------------------------------------------------------------
# Several labels in a cell


SEPARATORS = {";": ";", "|": "|", ",": ",", " ": "blanks"}
"""What may stand between labels where nothing is said, and what it is called; commas and blanks
stand in names, too, so they come last."""

# Parentheses and braces hold a list where there is more than one word, or nothing, in them.
_BRACKETED = re.compile(r"""\s*(?:\[(.*)\]|[({](\s*|.*[,"'].*)[)}])\s*""", re.DOTALL)
_CALL = re.compile(r"\s*(?:set|frozenset|array|list|tuple)\((.*?)(?:,\s*dtype=.*)?\)\s*", re.DOTALL)
# As NumPy prints a list, or a person writes one: in quotes, or up to a blank or a comma.
_ITEM = re.compile(r"""\s*(?:"([^"]*)"|'([^']*)'|([^\s,;|"']+))\s*[,;|]?""")


def separator_of(cells: Iterable[str]) -> str | None:
    """Return what plainly stands between the labels of cells that are no lists in brackets.

    Blanks do so only where each word also is the whole label of another text, or all are numbers.

    Raises:
        DataError: two signs may; the message is the rest of a sentence.
    """
    plain = {cell.strip() for cell in cells if not is_list(cell)}
    found = [sign for sign in SEPARATORS if sign != " " and any(sign in cell for cell in plain)]
    if found[:2] == [";", "|"]:
        raise DataError(
            " has both ; and | in its labels; name what stands between two labels with "
            "--label-separator"
        )
    if found:
        return found[0]
    words = {word for cell in plain for word in cell.split()}
    several = any(len(cell.split()) > 1 for cell in plain)
    numbers = all(re.fullmatch(r"[-+]?\d+", word) for word in words)
    return " " if several and (numbers or words <= plain) else None


def is_list(cell: str) -> bool:
    """Whether a cell is in brackets, as a list is written in JSON, Python and NumPy."""
    return _inner(cell) is not None


def _inner(cell: str) -> tuple[str, str] | None:
    """Return a list without what Python writes around it, and what is in its brackets."""
    call = _CALL.fullmatch(cell)
    cell = cell if call is None else call[1] or "[]"
    found = _BRACKETED.fullmatch(cell)
    return None if found is None else (cell, found[1] or found[2] or "")


def labels_in(cell: str, separator: str | None, *, given: bool = False) -> tuple[str, ...]:
    """Return the labels of one cell, each once and in its kept spelling, sorted.

    Args:
        cell: as it stands.
        separator: between labels that are not in a list; None: the cell is one label.
        given: whether the user said so, so that it holds in brackets, too.

    Raises:
        DataError: it is no list of plain values; the message is the rest of a sentence.
    """
    found = _inner(cell)
    if found is not None and not given:
        parts = _items(*found)
    elif found is None and cell.lstrip().startswith("["):
        raise _no_list(cell)
    else:
        parts = _parted(cell if found is None else found[1], separator)
    return tuple(sorted({canonical(part) for part in parts} - {""}))


def _parted(cell: str, separator: str | None) -> list[str]:
    if separator is None:
        return [cell]
    parts = cell.split() if separator == " " else cell.split(separator)
    return [part.strip().strip("\"'") for part in parts]


def _items(cell: str, inner: str) -> list[str]:
    """Return what stands in brackets: as JSON, Python, or NumPy has it."""
    for read in (json.loads, _evaluated):
        try:
            value = read(cell)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            continue
        if value in ({}, ()):
            return []
        if not isinstance(value, list | tuple | set):
            raise _no_list(cell)
        if any(isinstance(one, dict | list | tuple | set) for one in value):
            raise _no_list(cell)
        return [_as_string(one) for one in value]
    return _loose(inner)


def _evaluated(cell: str) -> object:
    if _SIDE_BY_SIDE.search(cell):
        raise ValueError("NumPy's, which Python would take for one string")
    return ast.literal_eval(cell.strip())


_SIDE_BY_SIDE = re.compile(r"""["']\s+["']""")


def _no_list(cell: str) -> DataError:
    return DataError(f': the labels {cell!r:.60} are no plain list; write them as ["a", "b"]')


def _loose(inner: str) -> list[str]:
    if "," in inner and not re.search("[\"']", inner):
        return inner.split(",")
    items = [next(filter(None, item.groups()), "") for item in _ITEM.finditer(inner)]
    return [re.sub(r"^([-+]?\d+)\.$", r"\1", item) for item in items]  # NumPy's 1. is 1


def _as_string(value: object) -> str:
    if value is None or value != value:  # NaN
        return ""
    return str(value)


def unread_sign(cells: Sequence[str]) -> str | None:
    """Return a sign that may stand between labels though none is read so: whose parts are labels.

    Args:
        cells: of which each was read as one label.
    """
    whole = {cell.strip() for cell in cells}
    for sign in dict.fromkeys(one for cell in whole for one in cell):
        if sign.isalnum() or sign == "_":
            continue
        parted = [cell.split(sign) for cell in whole if sign in cell.strip(sign)]
        if any({part.strip() for part in parts} & whole for parts in parted):
            return sign
    return None
