"""Which form a file of word vectors has, told from its content, and reading it."""

from __future__ import annotations

import codecs
import gzip
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO

from elman.errors import DataError
from elman.text.vectors import fasttext, folder
from elman.text.vectors.binary import read_binary
from elman.text.vectors.lines import is_row, read_text
from elman.text.vectors.rows import Table, Wanted, header_of

FORMATS = "word2vec (text or binary), GloVe, fastText (.vec or .bin), or a folder of `elman embed`"
_GZIP = b"\x1f\x8b"
_ZIP = b"PK\x03\x04"
_HEAD = 1 << 20


def read(path: str | Path, words: Iterable[str] | None = None, limit: int | None = None) -> Table:
    """Read word vectors of any form that there is, each told from the content.

    Args:
        path: a file, which may be compressed with gzip, or a folder that Elman wrote.
        words: those whose vectors are read; None for all.
        limit: how many rows are read at most; files have the most frequent words first.

    Raises:
        DataError, BundleError: there is no such file, it is of another kind, cut off or damaged.
    """
    wanted = None if words is None else Wanted(words)
    if Path(path).is_dir():
        return folder.read_folder(Path(path), wanted, limit)
    source = str(path).encode("utf-8", "replace").decode()
    try:
        return _read_file(path, source, wanted, limit)
    except OSError as error:
        if isinstance(error, gzip.BadGzipFile):
            raise _broken(source) from error
        reason = (error.strerror or str(error)).lower()
        raise DataError(f"{source} cannot be read ({reason}); check the path") from error
    except (EOFError, zlib.error) as error:
        raise _broken(source) from error


def _read_file(path: str | Path, source: str, wanted: Wanted | None, limit: int | None) -> Table:
    with _opened(path) as handle:
        head = handle.read(_HEAD)
    if head.startswith(fasttext.MAGIC):
        if _is_packed(path):
            raise DataError(f"{source} is a packed fastText model; unpack it first (gunzip)")
        with open(path, "rb") as handle:
            return fasttext.read_model(handle, source, wanted, limit)
    read_rows = read_binary if _is_binary(head, source) else read_text
    with _opened(path) as handle:
        return read_rows(handle, source, wanted, limit)


def _opened(path: str | Path) -> BinaryIO:
    opened: Any = gzip.open(path) if _is_packed(path) else open(path, "rb")  # noqa: SIM115
    return opened


def _is_packed(path: str | Path) -> bool:
    with open(path, "rb") as handle:
        return handle.read(2) == _GZIP


def _is_binary(head: bytes, source: str) -> bool:
    """Tell word2vec's binary form from a text.

    Raises:
        DataError: the file is neither.
    """
    if not head.strip():
        raise DataError(f"{source} is empty; give a file of word vectors")
    first, _, rest = head.removeprefix(b"\xef\xbb\xbf").partition(b"\n")
    if header_of(first) is not None:
        line = rest.partition(b"\n")[0]
        return bool(line) and not is_row(line) and not _is_text(line)
    if not _is_text(first) or not any(map(is_row, head.split(b"\n", 3)[:3])):
        if head.startswith(_ZIP):
            raise DataError(f"{source} is a zip archive; unpack it first")
        raise DataError(f"{source} holds no word vectors; give a file of {FORMATS}")
    return False


def _is_text(line: bytes) -> bool:
    """Whether bytes are a line of text, which floats of four bytes hardly ever are."""
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(line)  # it may be cut off
    except UnicodeDecodeError:
        return False
    return not any(sign < " " and not sign.isspace() for sign in text)


def _broken(source: str) -> DataError:
    return DataError(f"{source}: the gzip file is cut off or damaged; copy or download it again")
