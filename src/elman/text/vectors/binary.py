"""Word vectors in word2vec's binary form, read as a stream."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from typing import BinaryIO

import numpy as np

from elman.errors import DataError
from elman.text.vectors.rows import CUT, Rows, Table, Wanted, check_size, header_of, read_rows

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
    rows = islice(_binary_rows(handle, source, count, size), limit)
    return read_rows(rows, size, wanted, partial(_floats, source))


def _floats(source: str, numbers: Sequence[int], rows: Sequence[bytes]) -> Rows:
    """Return what stands in rows that count as ``numbers`` say, (rows, D).

    Raises:
        DataError: one is not finite.
    """
    found = np.frombuffer(b"".join(rows), dtype="<f4").reshape(len(rows), -1)
    odd = np.flatnonzero(~np.isfinite(found).all(axis=1))
    if len(odd):
        raise DataError(
            f"{source} row {numbers[odd[0]]:,} has a number that is not finite; the file is "
            "damaged or no word2vec file: copy or download it again"
        )
    return found.astype(np.float32)


def _binary_rows(
    handle: BinaryIO, source: str, count: int, size: int
) -> Iterator[tuple[int, bytes, bytes]]:
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
        yield number, buffer[position:blank].lstrip(b"\r\n"), row
        position = blank + 1 + width
