"""Tables of text whose cells hold lists as JSON: sentences as `elman` writes them to a file."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import islice

from elman.data.form import Form
from elman.data.objects import Objects, Row
from elman.data.records import Dialect, Record, records
from elman.data.tables import SKIP_HINT
from elman.errors import DataError

_DELIMITERS = {",": "CSV", "\t": "TSV", ";": "a table"}


def delimiter_of(head: str, token_names: Sequence[str]) -> str | None:
    """Return the delimiter of a table that has lists of tokens in a column; None of other files.

    Args:
        head: the beginning of the file, its first two rows at least.
        token_names: what the column of the tokens can be called.
    """
    first = head[: head.find("\n") + 1]
    if not any(name in first for name in token_names):
        return None
    for delimiter in _DELIMITERS:
        rows = [one.fields for one in islice(records(head, Dialect(delimiter)), 2)]
        if len(rows) == 2 and any(
            name in token_names and cell.startswith("[") for name, cell in zip(*rows, strict=False)
        ):
            return delimiter
    return None


def objects_in_table(text: str, delimiter: str, source: str, form: Form) -> Objects:
    """Return the rows of a table with a header as objects; cells in brackets are read as JSON.

    Raises:
        DataError: a row has another number of cells than the header; possibly only on the way.
    """
    skipped: list[int] = []
    rows = _rows(records(text, Dialect(delimiter)), source, form, skipped)
    return Objects(rows, _DELIMITERS[delimiter], "line", skipped)


def _rows(found: Iterator[Record], source: str, form: Form, skipped: list[int]) -> Iterator[Row]:
    names = next(found).fields
    for row in found:
        if not row.fields:
            continue
        fault = row.fault
        if not fault and len(row.fields) != len(names):
            fault = f" has other cells than the header, {len(row.fields)} and not {len(names)}"
        if fault and not form.skips:
            raise DataError(f"{source} line {row.line}{fault}{SKIP_HINT}")
        if fault:
            skipped.append(row.line)
            continue
        yield row.line, {n: _value(cell) for n, cell in zip(names, row.fields, strict=True)}


def _value(cell: str) -> object:
    if not cell.startswith("["):
        return cell
    try:
        return json.loads(cell)
    except (ValueError, RecursionError):
        return cell
