"""Text that a language model learns from: one running text, or texts that stand alone.

It is kept as the bytes of UTF-8, a gigabyte of text in a gigabyte of memory, and cut where a line
or a text begins.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.data.form import Facts
from elman.data.readers import joined_names, joined_notes
from elman.errors import DataError
from elman.text.cleaning import without_surrogates

Bytes = NDArray[np.uint8]
Starts = NDArray[np.int64]

SEGMENT = 1 << 16
"""Bytes of a line at most; a longer one is cut into several, as of a text without line ends."""
_FEW = 100  # lines: they are cut finer, so that parts of a text can be had in wanted sizes
_FINEST = 1 << 6
BLOCK = 1 << 22
_LINE_END, _BLANK = ord("\n"), ord(" ")


@dataclass(frozen=True, repr=False, eq=False)
class TextStream:
    """Text without labels, or with one a text, in the order of its file.

    Attributes:
        source: the file's name as the user gave it, or the data set's.
        notes: what there is to say to the user, one sentence each.
        buffer: (N,) UTF-8 of all lines or texts, one after the other.
        starts: (rows + 1,) where each line (with its line end) or each text begins, and the end.
        running: whether the rows are the lines of one running text, so that a model carries its
            state from one to the next; else each is a text that stands alone.
        labels: of texts that stand alone, where they were asked for.
        facts: how each file was read.
    """

    source: str
    notes: tuple[str, ...]
    buffer: Bytes
    starts: Starts
    running: bool
    labels: tuple[str, ...] | None = None
    facts: tuple[Facts, ...] = ()

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __repr__(self) -> str:
        rows = "lines" if self.running else "texts"
        return f"<{len(self):,} {rows}, {self.characters:,} characters of {self.source}>"

    @cached_property
    def characters(self) -> int:
        """How many characters (Unicode code points) there are."""
        return sum(map(num_characters, blocks(self.buffer)))

    def digest(self) -> str:
        """Return a hash of the whole text in its order, and of where texts begin and their labels.

        Where the lines of a running text begin, the text itself says.
        """
        digest = hashlib.sha256(b"running" if self.running else self.starts.tobytes())
        digest.update(np.ascontiguousarray(self.buffer).data)
        for label in self.labels or ():
            digest.update(label.encode("utf-8", "surrogatepass") + b"\0")
        return digest.hexdigest()

    def take(self, rows: slice | Sequence[int] | NDArray[np.integer[Any]]) -> TextStream:
        """Return the lines or texts of ``rows``, in that order, under the same source and notes.

        Rows that follow one another are not copied.
        """
        runs = [*_runs(rows, len(self))]
        if len(runs) == 1:
            [(start, end)] = runs
            begin = self.starts[start]
            buffer = self.buffer[begin : self.starts[end]]
            starts = self.starts[start : end + 1]
            starts = starts - begin if begin else starts
        else:
            parts = [self.buffer[self.starts[start] : self.starts[end]] for start, end in runs]
            lengths = [np.diff(self.starts[start : end + 1]) for start, end in runs]
            buffer = np.concatenate(parts) if parts else self.buffer[:0]
            starts = np.cumsum(np.concatenate([np.zeros(1, np.int64), *lengths]))
        labels = self.labels
        if labels is not None:
            labels = tuple(label for start, end in runs for label in labels[start:end])
        return replace(self, buffer=buffer, starts=starts, labels=labels)

    def text(self, i: int) -> str:
        """Return one line, with its line end, or one text."""
        return self._decoded(int(self.starts[i]), int(self.starts[i + 1]))

    def texts(self) -> Iterator[str]:
        """Yield all lines or texts."""
        for i in range(len(self)):
            yield self.text(i)

    def pieces(self, size: int = 1 << 20) -> Iterator[str]:
        """Yield the text in pieces: of a running text some lines of about ``size`` bytes together.

        Of texts that stand alone each is a piece.
        """
        if not self.running:
            yield from self.texts()
            return
        start, starts = 0, self.starts
        while start < len(self):
            end = int(np.searchsorted(starts, starts[start] + size, side="right")) - 1
            end = max(end, start + 1)
            yield self._decoded(int(starts[start]), int(starts[end]))
            start = end

    def _decoded(self, begin: int, end: int) -> str:
        return self.buffer[begin:end].tobytes().decode()


def _runs(rows: Any, count: int) -> Iterator[tuple[int, int]]:
    """Yield (start, end) of rows that follow one another."""
    if isinstance(rows, slice):
        rows = range(count)[rows]
    if isinstance(rows, range) and rows.step == 1:
        if rows:
            yield rows.start, rows.stop
        return
    indices = np.asarray(rows, dtype=np.int64)
    if not len(indices):
        return
    breaks = np.flatnonzero(np.diff(indices) != 1) + 1
    firsts = indices[np.concatenate([[0], breaks])]
    lasts = indices[np.concatenate([breaks - 1, [len(indices) - 1]])]
    yield from zip(firsts.tolist(), (lasts + 1).tolist(), strict=True)


# -------------------------------------------------------------------------------------------------
# Making streams


def running_text(
    data: bytes, source: str, notes: tuple[str, ...] = (), facts: tuple[Facts, ...] = ()
) -> TextStream:
    """Return a running text of the bytes of UTF-8, which are not copied."""
    buffer = np.frombuffer(data, dtype=np.uint8)
    return TextStream(source, notes, buffer, _line_starts(buffer), True, None, facts)


def texts_alone(
    texts: Sequence[str],
    source: str,
    labels: Sequence[str] | None = None,
    notes: tuple[str, ...] = (),
    facts: tuple[Facts, ...] = (),
) -> TextStream:
    """Return texts that stand alone."""
    encoded = [text.encode() for text in without_surrogates(texts)]
    lengths = np.fromiter(map(len, encoded), dtype=np.int64, count=len(encoded))
    starts = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    buffer = np.frombuffer(b"".join(encoded), dtype=np.uint8)
    return TextStream(
        source, notes, buffer, starts, False, None if labels is None else tuple(labels), facts
    )


def blocks(buffer: Bytes) -> Iterator[Bytes]:
    """Yield the bytes in blocks, so that what is worked out of them needs little memory."""
    return (buffer[i : i + BLOCK] for i in range(0, len(buffer), BLOCK))


def num_characters(block: Bytes) -> int:
    """Return how many characters begin in a block of UTF-8."""
    return int(np.count_nonzero((block & 0xC0) != 0x80))


def _line_starts(buffer: Bytes) -> Starts:
    """Return where each line begins, and the end; a very long line is several."""
    count = sum(int(np.count_nonzero(block == _LINE_END)) for block in blocks(buffer))
    starts = np.zeros(count + 2, dtype=np.int64)
    filled, offset = 1, 0
    for block in blocks(buffer):
        ends = np.flatnonzero(block == _LINE_END)
        starts[filled : filled + len(ends)] = ends + (offset + 1)
        filled, offset = filled + len(ends), offset + len(block)
    starts[-1] = len(buffer)
    if starts[-2] == len(buffer):  # the last line has its end
        starts = starts[:-1]
    size = SEGMENT if count >= _FEW else min(SEGMENT, max(len(buffer) // (2 * _FEW), _FINEST))
    cuts = [*_cuts_in_long_lines(buffer, starts, size)]
    return np.sort(np.concatenate([starts, cuts])) if cuts else starts


def _cuts_in_long_lines(buffer: Bytes, starts: Starts, size: int) -> Iterator[int]:
    """Yield where lines over ``size`` bytes are cut."""
    for first in range(0, len(starts) - 1, BLOCK):
        part = starts[first : first + BLOCK + 1]
        for row in np.flatnonzero(np.diff(part) > size).tolist():
            position, end = int(part[row]), int(part[row + 1])
            while end - position > size:
                position = _cut(buffer, position, size)
                yield position


def _cut(buffer: Bytes, position: int, size: int) -> int:
    """Return where a segment that begins at ``position`` ends: before a blank if there is one."""
    middle, limit = position + size // 2, position + size
    blanks = np.flatnonzero(buffer[middle:limit] == _BLANK)
    if len(blanks):
        return middle + int(blanks[-1])
    while buffer[limit] & 0xC0 == 0x80:  # within a character
        limit -= 1
    return limit


def joined(parts: Sequence[TextStream]) -> TextStream:
    """Return the text of several files as one, a line end between two running ones.

    Raises:
        DataError: some are running text and some are texts that stand alone, or have labels and
            have none.
    """
    if len(parts) == 1:
        return parts[0]
    refuse_other_kind(parts)
    source = joined_names([part.source for part in parts])
    notes = joined_notes([(part.source, part.notes) for part in parts])
    facts = tuple(facts for part in parts for facts in part.facts)
    buffers: list[Bytes] = []
    for part in parts:
        if buffers and part.running and len(buffers[-1]) and buffers[-1][-1] != _LINE_END:
            buffers.append(np.frombuffer(b"\n", dtype=np.uint8))
        buffers.append(part.buffer)
    buffer = np.concatenate(buffers)
    if parts[0].running:
        return TextStream(source, notes, buffer, _line_starts(buffer), True, None, facts)
    lengths = [np.diff(part.starts) for part in parts]
    starts = np.cumsum(np.concatenate([np.zeros(1, np.int64), *lengths]))
    labels = None
    if parts[0].labels is not None:
        labels = tuple(label for part in parts for label in part.labels or ())
    return TextStream(source, notes, buffer, starts, False, labels, facts)


def refuse_other_kind(parts: Sequence[TextStream]) -> None:
    """Refuse texts of two kinds, which no model reads together.

    Raises:
        DataError: they are.
    """
    first = parts[0]
    for other in parts[1:]:
        if first.running != other.running:
            running, alone = (first, other) if first.running else (other, first)
            raise DataError(
                f"{running.source} is one running text and {alone.source} has texts that stand "
                "alone; give files of one kind, or --lines for a text on each line"
            )
        if (first.labels is None) != (other.labels is None):
            bare = first if first.labels is None else other
            raise DataError(f"{bare.source} has no labels as the other has; give each its own")
