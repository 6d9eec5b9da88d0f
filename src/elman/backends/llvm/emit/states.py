"""States come from the caller's memory before a group of rows goes through time, and go back after.

The caller's hold whole rows (B, H); in scratch memory rows begin at full vectors, and a state whose
old value is read after its new one is written is there twice.
"""

from collections.abc import Callable
from functools import partial

from elman.backends.llvm.emit.assembly import Value, integer
from elman.backends.llvm.emit.frame import ZERO, Frame, RowGroup

_Copy = Callable[[Value, Value, bool], None]
"""Copies a block between outside and scratch memory; the last argument says if it is truncated."""


class StateCopies:
    """The first and the last states of a group of rows."""

    def __init__(self, frame: Frame, group: RowGroup) -> None:
        self.frame, self.f, self.shape = frame, frame.f, frame.shape
        self.lanes, self.group = frame.lanes, group

    def begin(self) -> None:
        """Copy the first states in, into both halves where there are two."""
        for state in self.frame.kernel.states:
            outside = self.frame.word(f"first.{state.name}", "ptr")
            for inside in dict.fromkeys(self.frame.buffers(state)):
                self._each_row(partial(self._row, outside, inside, self._copy_in))

    def end(self) -> None:
        """Copy the last states out."""
        for state in self.frame.kernel.states:
            outside = self.frame.word(f"last.{state.name}", "ptr")
            first, second = self.frame.buffers(state)
            if state.double:
                self._each_row(partial(self._half, outside, first, second))
            else:
                self._each_row(partial(self._row, outside, first, self._copy_out))

    def _each_row(self, copy: Callable[[Value], None]) -> None:
        def row(index: Value, _: list[Value]) -> list[Value]:
            copy(index)
            return []

        self.f.loop(self.group.count, row, stem="row")

    def _row(self, outside: Value, inside: Value, copy: _Copy, index: Value) -> None:
        outside_row = self._outside_row(outside, index)
        self._blocks(outside_row, self._inside_row(inside, index), copy)

    def _half(self, outside: Value, first: Value, second: Value, index: Value) -> None:
        """A row of a double state: the half that the row's own last step wrote."""
        f, frame = self.f, self.frame
        place = f.at(frame.lengths, frame.row(self.group, index), "i64")
        up = f.compare("sgt", frame.direction, ZERO)
        steps = f.select(up, f.load("i64", place, 8), frame.steps)
        odd = f.emit("i64", f"and {steps.typed}, 1")
        half = f.select(f.compare("eq", odd, ZERO), first, second)
        inside_row = self._inside_row(half, index)
        self._blocks(self._outside_row(outside, index), inside_row, self._copy_out)

    def _outside_row(self, outside: Value, index: Value) -> Value:
        row = self.frame.row(self.group, index)
        size = integer("i64", self.shape.hidden_size)
        return self.frame.move(outside, self.f.mul(row, size))

    def _inside_row(self, inside: Value, index: Value) -> Value:
        stride = integer("i64", self.frame.shape.whole)
        return self.frame.move(inside, self.f.mul(index, stride))

    def _blocks(self, outside_row: Value, inside_row: Value, copy: _Copy) -> None:
        def block(at: Value, _: list[Value]) -> list[Value]:
            unit = self.f.mul(at, integer("i64", self.lanes.count))
            outside, inside = self.frame.move(outside_row, unit), self.frame.move(inside_row, unit)
            self.frame.split_tail(at, partial(copy, outside, inside))
            return []

        self.f.loop(integer("i64", self.shape.blocks), block, stem="block")

    def _copy_in(self, outside_row: Value, inside_row: Value, tail: bool) -> None:
        self.f.store(self.frame.load(outside_row, tail=tail), inside_row, self.lanes.bytes)

    def _copy_out(self, outside_row: Value, inside_row: Value, tail: bool) -> None:
        value = self.f.load(self.lanes.type, inside_row, self.lanes.bytes)
        self.frame.store(value, outside_row, tail=tail)
