"""Rows as a file: CSV, TSV or JSON lines, as its suffix says."""

from __future__ import annotations

import csv
import io
import json
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TextIO

from elman.errors import ConfigError

Row = Mapping[str, Any]


def check_place(
    path: Path,
    option: str,
    *,
    overwrite: bool = False,
    sources: Iterable[str] = (),
    suffixes: Iterable[str] = (),
) -> None:
    """Refuse a file that cannot or must not be written, before any work is done.

    Args:
        path: the file.
        option: which option named it, as in ``--out``.
        overwrite: whether a file that stands there is replaced.
        sources: what is read, and so is never replaced.
        suffixes: what the name may end with, beside those that ``write_rows`` knows.

    Raises:
        ConfigError: in one sentence, why not.
    """
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        pass
    except OSError as error:  # a name that cannot be
        raise _cannot(path, option, (error.strerror or str(error)).lower()) from error
    if path.exists() and any(Path(s).exists() and path.samefile(s) for s in sources):
        raise ConfigError(f"{option} {path} is what is read; choose another {option}")
    known = [*WRITERS, *suffixes]
    if path.suffix.lower() not in known:
        *most, last = known
        raise ConfigError(
            f"{option} {path}: the suffix says the format; give {', '.join(most)} or {last}"
        )
    if path.is_dir() or not path.parent.is_dir():
        what = "it is a folder" if path.is_dir() else f"there is no folder {path.parent}"
        raise ConfigError(f"{option} {path}: {what}; name a file in a folder that there is")
    if path.exists() and not overwrite:
        raise ConfigError(f"{path} exists; add --force to replace it or choose another {option}")
    if not os.access(path.parent, os.W_OK):
        raise _cannot(path, option, "permission denied")


def write_rows(path: Path, rows: Iterable[Row], *, option: str = "--out") -> None:
    """Write rows of the same keys as UTF-8 to ``path``: all of them, or nothing.

    Raises:
        ConfigError: the file cannot be written.
    """
    write = WRITERS[path.suffix.lower()]
    _write_whole(path, lambda file: write(file, rows), option)


def write_text(path: Path, parts: Iterable[str], *, option: str = "--out") -> None:
    """Write text as UTF-8 to ``path``: all of it, or nothing.

    Raises:
        ConfigError: the file cannot be written.
    """
    _write_whole(path, lambda file: file.writelines(parts), option)


def _write_whole(path: Path, write: Callable[[TextIO], object], option: str) -> None:
    try:
        descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        temporary = Path(name)
        try:
            # What no encoding can write, half a character, becomes a question mark.
            with os.fdopen(descriptor, "w", encoding="utf-8", errors="replace", newline="") as file:
                write(file)
            temporary.chmod(0o666 & ~_umask())  # mkstemp's files are private
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise _cannot(path, option, (error.strerror or str(error)).lower()) from error


def as_csv(rows: Iterable[Row]) -> bytes:
    """Return rows of the same keys as ``write_rows`` writes them to a file ``.csv``."""
    text = io.StringIO(newline="")
    WRITERS[".csv"](text, rows)
    return text.getvalue().encode("utf-8", "replace")


def _cannot(path: Path, option: str, reason: str) -> ConfigError:
    return ConfigError(f"{path} cannot be written ({reason}); choose another {option}")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _write_table(file: TextIO, rows: Iterable[Row], *, delimiter: str) -> None:
    writer = csv.writer(file, delimiter=delimiter, lineterminator="\n")
    for i, row in enumerate(rows):
        if not i:
            writer.writerow(row)
        writer.writerow(map(cell, row.values()))


def cell(value: Any) -> Any:
    """Return a value as a cell of a table: a list or a mapping as JSON, others as they are."""
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False)
    return value


def _write_lines(file: TextIO, rows: Iterable[Row]) -> None:
    for row in rows:
        file.write(json.dumps(row, ensure_ascii=False) + "\n")


WRITERS: dict[str, Callable[[TextIO, Iterable[Row]], None]] = {
    ".csv": lambda file, rows: _write_table(file, rows, delimiter=","),
    ".tsv": lambda file, rows: _write_table(file, rows, delimiter="\t"),
    ".jsonl": _write_lines,
}
"""What writes a file, by its suffix."""
