"""Writing word vectors in the forms that other programs read."""

from __future__ import annotations

import contextlib
import gzip
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, Literal, get_args

import numpy as np

from elman.errors import ConfigError
from elman.text.vectors.table import Rows, Vectors

Format = Literal["word2vec", "word2vec-binary", "glove"]
_ROWS = 4096


def check_place(path: Path, *, force: bool) -> None:
    """Refuse a file that cannot or must not be written, before any work is done.

    Raises:
        ConfigError: in one sentence, why not.
    """
    try:
        taken, folder = path.exists(), path.parent.is_dir() and not path.is_dir()
    except OSError as error:  # a name that cannot be
        raise _cannot(path, error) from error
    if not folder:
        what = "it is a folder" if path.is_dir() else f"there is no folder {path.parent}"
        raise ConfigError(f"{path}: {what}; name a file in a folder that there is")
    if taken and not force:
        raise ConfigError(f"{path} exists; add --force to replace it or choose another name")
    if not os.access(path.parent, os.W_OK):
        raise ConfigError(f"{path} cannot be written (permission denied); choose another place")


def write(
    vectors: Vectors, path: Path, *, format: Format = "word2vec", force: bool = False
) -> None:
    """Write vectors to a file: all of them, or nothing.

    A blank within a word becomes ``_``, as these forms part words from numbers by blanks. n-grams
    are left out: none of the forms has them.

    Args:
        vectors: what is written.
        path: the file; compressed with gzip where its name ends in ``.gz``.
        format: ``word2vec`` (text), ``word2vec-binary``, or ``glove``, which is text without the
            line of sizes.
        force: replace a file that stands there.

    Raises:
        ConfigError: the format is none of these, or the file cannot be written.
    """
    if format not in get_args(Format):
        raise ConfigError(f"format is {format!r}; it must be one of {', '.join(get_args(Format))}")
    check_place(path, force=force)
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(handle, "wb") as stream, contextlib.ExitStack() as stack:
                target: Any = stream
                if path.suffix == ".gz":
                    target = gzip.GzipFile("", "wb", fileobj=stream, mtime=0)
                    stack.enter_context(target)
                _write(vectors, target, format)
            os.chmod(temporary, 0o666 & ~_umask())
            os.replace(temporary, path)
        finally:
            Path(temporary).unlink(missing_ok=True)
    except OSError as error:
        raise _cannot(path, error) from error


def _cannot(path: Path, error: OSError) -> ConfigError:
    reason = (error.strerror or str(error)).lower()
    return ConfigError(f"{path} cannot be written ({reason}); choose another place")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _write(vectors: Vectors, target: BinaryIO, format: Format) -> None:
    if format != "glove":
        target.write(f"{len(vectors)} {vectors.size}\n".encode())
    rows = _binary_rows if format == "word2vec-binary" else _text_rows
    for start in range(0, len(vectors), _ROWS):
        words = [word.replace(" ", "_") for word in vectors.words[start : start + _ROWS]]
        target.write(rows(words, np.asarray(vectors.matrix[start : start + _ROWS])))


def _binary_rows(words: Sequence[str], matrix: Rows) -> bytes:
    pairs = zip(words, matrix.astype("<f4"), strict=True)
    return b"".join(word.encode() + b" " + row.tobytes() + b"\n" for word, row in pairs)


def _text_rows(words: Sequence[str], matrix: Rows) -> bytes:
    """Return lines of a word and its numbers, as short as they can be read back exactly."""
    import polars as pl

    frame = pl.DataFrame(matrix, schema=[str(i) for i in range(matrix.shape[1])])
    frame = frame.insert_column(0, pl.Series("word", words))
    return frame.write_csv(
        separator=" ", include_header=False, quote_style="never", line_terminator="\n"
    ).encode()
