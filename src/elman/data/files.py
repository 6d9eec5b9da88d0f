"""Opening what the user named, and saying plainly why it cannot be opened."""

from __future__ import annotations

import difflib
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from elman.errors import DataError

STDIN = "stdin"
MOST_PIPED = 1 << 29
_CHUNK = 1 << 20


def name_of(path: str | Path) -> str:
    """Return what messages call ``path``: its name as given, or ``stdin`` for ``-``."""
    # A name may hold bytes that are no UTF-8, which neither JSON nor a terminal can show.
    return STDIN if str(path) == "-" else str(path).encode("utf-8", "replace").decode()


def read_bytes(path: str | Path) -> bytes:
    """Return the bytes of a file, or of standard input for ``-``.

    A file has a size; of what has none (a pipe, a device) at most ``MOST_PIPED`` bytes are read.

    Raises:
        DataError: There is no such file, it cannot be read, or it does not end.
    """
    with open_bytes(path) as handle:
        if name_of(path) != STDIN and os.path.isfile(path):
            return handle.read()
        data = bytearray()
        while chunk := handle.read(_CHUNK):
            data += chunk
            if len(data) > MOST_PIPED:
                raise DataError(
                    f"{name_of(path)} gave {MOST_PIPED >> 20} MB and did not end; "
                    "save what it is to give in a file first"
                )
        return bytes(data)


@contextmanager
def open_bytes(path: str | Path) -> Iterator[BinaryIO]:
    """Open a file, or standard input for ``-``, which is left open afterwards.

    Raises:
        DataError: There is no such file, or it cannot be read, now or later in the block.
    """
    if name_of(path) == STDIN:
        with _stdin() as handle:
            yield handle
        return
    check_readable(path)
    try:
        with open(path, "rb") as handle:
            yield handle
    except OSError as error:
        raise unreadable(path, error) from error


def check_readable(path: str | Path) -> None:
    """Raise ``DataError`` when ``path`` is plainly missing, a folder, or not ours to read."""
    if name_of(path) == STDIN:
        return
    try:
        os.stat(path)
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from error
    if os.path.isdir(path):
        raise DataError(f"{path} is a folder; give a file")
    if not os.access(path, os.R_OK):
        raise unreadable(path, PermissionError())


def unreadable(path: str | Path, error: OSError | ValueError) -> DataError:
    """Return the error for a path that the system would not open."""
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return _missing(Path(path))
    if isinstance(error, PermissionError):
        return DataError(f"{path}: permission denied; check who may read it (ls -l)")
    reason = getattr(error, "strerror", None) or "the name cannot be that of a file"
    return DataError(f"{str(path)!r} cannot be read: {reason.lower()}; check the path")


@contextmanager
def _stdin() -> Iterator[BinaryIO]:
    buffer = getattr(sys.stdin, "buffer", None)
    if buffer is None:  # replaced by something that holds text only, as notebooks do
        yield io.BytesIO(sys.stdin.read().encode() if sys.stdin else b"")
        return
    try:
        own = os.dup(sys.stdin.fileno())
    except (OSError, ValueError):  # not a file of the system
        yield cast(BinaryIO, buffer)
        return
    # A reader of its own: the interpreter cannot close that of sys.stdin at its end while a thread
    # waits in it, and aborts.
    with os.fdopen(own, "rb") as handle:
        yield handle


def _missing(path: Path) -> DataError:
    try:
        beside = sorted(os.listdir(path.parent))
    except OSError:
        return DataError(f"no file {str(path)!r}: there is no folder {str(path.parent)!r}")
    by_plain = {name.casefold(): name for name in beside}
    near = difflib.get_close_matches(path.name.casefold(), by_plain, n=3)
    hints = [f"did you mean {_either(by_plain[name] for name in near)}?"] if near else []
    if not path.suffix and path.parent == Path():
        hints.append("`elman datasets` lists the built-in data sets")
    return DataError(f"no file {str(path)!r}; " + (" ".join(hints) or "check the path"))


def _either(names: Iterator[str]) -> str:
    return " or ".join(repr(name) for name in names)
