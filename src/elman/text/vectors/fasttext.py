"""fastText's models (.bin): the vectors of words, and of the n-grams that any word is made of.

Read as fastText itself writes them (``fasttext.cc``, version 12; 11 is the same for vectors). The
matrices stay on the disk, and the rows in use alone are read.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from typing import Any, BinaryIO

import numpy as np

from elman.errors import DataError
from elman.text.cleaning import normalise
from elman.text.vectors.rows import CUT, Rows, Table, Wanted, check_size, table_of
from elman.text.vectors.subwords import Subwords

MAGIC = struct.pack("<i", 793712314)
_FIELDS = struct.Struct("<ii12id")  # magic, version, twelve arguments, one more
_SIZES = struct.Struct("<iiiqq")  # of the dictionary; how many n-grams were pruned
_ENTRY = struct.Struct("<qb")  # count; 0 for a word, 1 for a label
_SHAPE = struct.Struct("<?qq")  # whether it is quantised; rows, columns


def read_model(handle: BinaryIO, path: str, wanted: Wanted | None, limit: int | None) -> Table:
    """Read the vectors of a model of fastText.

    Args:
        handle: at the beginning of the file.
        path: of the file.
        wanted: the words that are asked for, which get a vector by their n-grams where the model
            does not know them; None for all that it knows.
        limit: how many words are read at most.

    Raises:
        DataError: the file is cut off, quantised (.ftz), or of another version.
    """
    numbers = _unpacked(_FIELDS, handle, path)
    version, size, buckets, min_n, max_n = (numbers[i] for i in (1, 2, 10, 11, 12))
    if version not in (11, 12):
        raise DataError(
            f"{path} is a fastText model of version {version}; Elman reads 11 and 12: make it anew "
            "with a current fastText"
        )
    check_size(size, path)
    entries, count, _, _, pruned = _unpacked(_SIZES, handle, path)
    words = list(_words(handle, path, entries))[: max(count, 0)]
    quantised, rows, columns = _unpacked(_SHAPE, handle, path)
    if quantised or pruned > 0:
        raise DataError(f"{path} is quantised (.ftz), which Elman does not read; give the .bin")
    if columns != size or rows != count + buckets:
        raise DataError(
            f"{path} has a matrix of {rows:,} by {columns:,}, not {count + buckets:,} by {size:,}; "
            f"{CUT}"
        )
    start = handle.tell()
    if os.path.getsize(path) < start + 4 * rows * columns:
        raise DataError(f"{path} ends within its matrix of vectors; {CUT}")
    matrix: Any = np.memmap(path, dtype="<f4", mode="r", offset=start, shape=(rows, columns))
    subwords = Subwords(matrix[count:], min_n, max_n) if max_n > 0 and buckets > 0 else None
    own = matrix[:count]
    if wanted is None:
        return _all(words[:limit], own, subwords)
    return table_of(wanted, words[:limit], own, subwords, own_alone=True)


def _unpacked(form: struct.Struct, handle: BinaryIO, path: str) -> tuple[Any, ...]:
    data = handle.read(form.size)
    if len(data) < form.size:
        raise DataError(f"{path} ends within its first part; {CUT}")
    return form.unpack(data)


def _words(handle: BinaryIO, path: str, entries: int) -> Iterator[str]:
    """Yield the words of the dictionary; labels stand behind them."""
    for number in range(1, entries + 1):
        word = bytearray()
        while (byte := handle.read(1)) != b"\0":
            if not byte or len(word) > 1 << 16:
                raise DataError(f"{path} ends within word {number:,} of its vocabulary; {CUT}")
            word += byte
        _unpacked(_ENTRY, handle, path)
        yield word.decode(errors="replace")


def _all(words: Sequence[str], own: Rows, subwords: Subwords | None) -> Table:
    matrix = (
        np.array(own[: len(words)])
        if subwords is None
        else subwords.added(words, own[: len(words)])
    )
    return Table([normalise(word) for word in words], matrix, subwords=subwords)
