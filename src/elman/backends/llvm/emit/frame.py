"""The function `run` under construction: what a thread finds in its arguments, and where it lies.

The order of the loops is row group -> step -> phase -> blocks of units -> tile of rows. Each of
these loops is written in a module of its own; all are given this frame and append to its function.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from elman.backends.llvm.emit import denormals
from elman.backends.llvm.emit.amx import instructions as amx
from elman.backends.llvm.emit.assembly import Function, Value, integer
from elman.backends.llvm.emit.entry import Entry
from elman.backends.llvm.emit.layout import Layout
from elman.ir.graph import Node
from elman.schedule.kernel import State

ZERO = integer("i64", 0)


@dataclass(frozen=True)
class RowGroup:
    """Rows of a thread that go through time together."""

    first: Value
    """The first one's number among the thread's rows."""
    count: Value


@dataclass(frozen=True)
class Place:
    """Where in the batch the code that is being emitted stands."""

    token: Value
    """The first row's token."""
    row: Value
    """The first row's number in the batch."""
    buffers: Mapping[str, tuple[Value, Value]]
    """For each state where it is read and where its next value is written."""


class Frame(Entry):
    """The function, with its arguments loaded."""

    def __init__(self, layout: Layout) -> None:
        super().__init__(layout, "run")
        self.functions: dict[str, Function] = {}
        """What the loops call, by name: each is written when it is first called."""
        self._mode = denormals.flush(self.f) if layout.spec.x86 else None
        if self.shape.amx:
            amx.configure(self.f)
        self.steps, self.direction = (self.word(name, "i64") for name in ("steps", "direction"))
        self.sizes, self.starts, self.lengths = (
            self.word(name, "ptr") for name in ("sizes", "starts", "lengths")
        )
        self._first, self.rows = self._own_rows()
        self.packed = self.word("packed", "ptr")
        scratch = self.word("scratch", "ptr")
        own = self.f.mul(self.thread, integer("i64", layout.scratch_bytes))
        self._scratch = self.f.at(scratch, own)
        self.arrays = {
            array.name: self.word(f"array.{array.name}", "ptr") for array in self.kernel.arrays
        }
        self.indices = self.word("indices", "ptr")
        self._own_totals()

    def finish(self) -> Function:
        """The function, with its end."""
        if self.shape.amx:
            amx.release(self.f)
        if self._mode is not None:
            denormals.restore(self.f, self._mode)
        self.f.do("ret void")
        return self.f

    def _own_rows(self) -> tuple[Value, Value]:
        """This thread's first row of the batch, and how many it has.

        They lie side by side: of rows by turns, one thread's lines of memory would be fetched ahead
        by the other's processor, too.
        """
        f = self.f
        place = f.at(self.word("shares", "ptr"), self.thread, "i64")
        first, end = (f.load("i64", address, 8) for address in (place, f.at(place, 8)))
        return first, f.sub(end, first)

    def _own_totals(self) -> None:
        """Each thread sums into memory of its own; the caller adds them up in a fixed order."""
        for array in self.kernel.arrays:
            if array.kind == "total":
                numbers = integer("i64", array.columns * self.shape.whole)
                own = self.f.mul(self.thread, numbers)
                self.arrays[array.name] = self.move(self.arrays[array.name], own)

    # Whole numbers ---------------------------------------------------------------------------

    def share(self, count: Value) -> Value:
        """How many of the batch's first ``count`` rows are this thread's; under 0 is none."""
        return self.f.minimum(self.f.sub(count, self._first), self.rows)

    def row(self, group: RowGroup, index: Value) -> Value:
        """The number in the batch of a row of the group."""
        return self.f.add(self._first, self.f.add(group.first, index))

    # Scratch memory --------------------------------------------------------------------------

    def scratch(self, key: object, offset: int = 0) -> Value:
        """So many bytes behind the start of a piece of this thread's memory: `Layout.offsets`."""
        return self.f.at(self._scratch, self.layout.offsets[key] + offset)

    def buffers(self, state: State) -> tuple[Value, Value]:
        """Where a state is read and written; the halves of a double one change places each step."""
        start = self.scratch(("state", state.name))
        if not state.double:
            return start, start
        half = self.layout.group * self.shape.whole * self.lanes.bytes_each
        return start, self.f.at(start, half)

    def partial(self, node: Node, row: Value) -> Value:
        """The vector in which a row's mean is summed."""
        start = self.scratch(("partial", node))
        return self.f.at(start, self.f.mul(row, integer("i64", self.lanes.bytes)))

    def mean(self, node: Node, row: Value) -> Value:
        """Where the mean of a row stands in the end."""
        return self.move(self.scratch(("mean", node)), row)
