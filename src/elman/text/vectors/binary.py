"""Word vectors in word2vec's binary form, read as a stream."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import BinaryIO

import numpy as np

from elman.errors import DataError
from elman.text.vectors.rows import (
    AT_ONCE,
    CUT,
    All,
    Rows,
    Table,
    Wanted,
    check_size,
    decoded,
    header_of,
)

_LONGEST_WORD = 1 << 16  # bytes
_READ = 1 << 22


def read_binary(handle: BinaryIO, source: str, wanted: Wanted | None, limit: int | None) -> Table:
    """Read word2vec's binary form: a line of two numbers, then word, blank, D floats of 4 bytes.

    Args:
        handle: at the beginning of the file.
        source: its name for messages.
        wanted: the words that are asked for; None for all.
        limit: how many rows are read at most.

    Raises:
        DataError: the file is cut off, or is none of that form.
    """
    count, size = header_of(handle.readline(100)) or (0, 0)
    check_size(size, source)
    rows = enumerate(islice(_binary_rows(handle, source, count, size), limit), start=1)
    if wanted is None:
        return _all_binary(rows, source, size)
    for number, (word, numbers) in rows:
        text = decoded(word)
        places = wanted.places(text)
        if places:
            wanted.take(text, places, _floats([numbers], source, number)[0])
    return wanted.table(size)


def _all_binary(rows: Iterator[tuple[int, tuple[bytes, bytes]]], source: str, size: int) -> Table:
    found = All(size)
    while chunk := list(islice(rows, AT_ONCE)):
        numbers = _floats([row for _, (_, row) in chunk], source, chunk[0][0])
        found.add([decoded(word) for _, (word, _) in chunk], numbers)
    return found.table()


def _floats(rows: Sequence[bytes], source: str, number: int) -> Rows:
    """Return the numbers of rows, (rows, D), of which the first is the ``number``-th.

    Raises:
        DataError: one is not finite.
    """
    found = np.frombuffer(b"".join(rows), dtype="<f4").reshape(len(rows), -1)
    odd = np.flatnonzero(~np.isfinite(found).all(axis=1))
    if len(odd):
        raise DataError(
            f"{source} row {number + int(odd[0]):,} has a number that is not finite; the file is "
            "damaged or no word2vec file: copy or download it again"
        )
    return found.astype(np.float32)


def _binary_rows(
    handle: BinaryIO, source: str, count: int, size: int
) -> Iterator[tuple[bytes, bytes]]:
    buffer, position, width = b"", 0, 4 * size
    for number in range(1, count + 1):
        blank = buffer.find(b" ", position)
        while blank < 0 or blank + 1 + width > len(buffer):
            more = handle.read(max(_READ, width))
            if not more:
                raise DataError(
                    f"{source} ends within row {number:,} of the {count:,} that its first line "
                    f"announces; {CUT}"
                )
            buffer, position = buffer[position:] + more, 0
            blank = buffer.find(b" ", position)
            if blank > _LONGEST_WORD or (blank < 0 and len(buffer) > _LONGEST_WORD):
                raise DataError(f"{source} row {number:,} has no word; check what the file is")
        row = buffer[blank + 1 : blank + 1 + width]
        yield buffer[position:blank].lstrip(b"\r\n"), row
        position = blank + 1 + width
