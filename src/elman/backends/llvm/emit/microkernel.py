"""A tile of products: the inner loop, where nearly all of a kernel's time goes.

For each size of tile that a chunk needs there is one function. It walks over the operands' units;
each unit is a few vectors of packed weights, and of each row one number that is broadcast and
multiplied into all of them. The sums stay in registers to the end.
"""

from collections.abc import Sequence
from functools import partial

from elman.backends.llvm.emit.assembly import Function, Value, integer, number
from elman.backends.llvm.emit.blocking import Chunk, Sweep
from elman.backends.llvm.emit.frame import Frame
from elman.backends.llvm.emit.layout import Layout
from elman.backends.llvm.emit.prefetch import Prefetch


def name(frame: Frame, chunk: Chunk, blocks: int, rows: int, prefetches: Sequence[Prefetch]) -> str:
    """The name of the function for a tile of this size, which is written when it is first asked."""
    name = f"tile_{chunk.offset}_{blocks}x{rows}"
    if name not in frame.functions:
        tile = _Microkernel(frame.layout, name, chunk, blocks, rows, prefetches)
        frame.functions[name] = tile.function()
    return name


class _Microkernel:
    """All products of a tile: rows x blocks x accumulators.

    On the way it asks for the memory that the elementwise work after it will touch: a few lines
    now and then, so that they never stand in the way of the weights.
    """

    def __init__(
        self,
        layout: Layout,
        name: str,
        chunk: Chunk,
        blocks: int,
        rows: int,
        prefetches: Sequence[Prefetch],
    ) -> None:
        self.layout, self.lanes = layout, layout.lanes
        self.chunk, self.blocks, self.rows, self.prefetches = chunk, blocks, rows, prefetches
        self.size = layout.shape.hidden_size
        arguments = [
            *(("ptr", f"x{index}") for index in range(len(chunk.sweeps))),
            ("ptr", "w"),
            ("ptr", "out"),
            *(("ptr", f"line{index}") for index in range(len(prefetches))),
        ]
        self.f = Function(name, arguments, attributes="nounwind noinline")

    def function(self) -> Function:
        """The function; what is carried from unit to unit is the weights' pointer and the sums."""
        f, bytes_ = self.f, self.lanes.bytes
        operands = f.arguments[: len(self.chunk.sweeps)]
        weights, out, *lines = f.arguments[len(operands) :]
        sums = self.rows * self.blocks * len(self.chunk.accumulators)
        carried = [weights, *[number(self.lanes.type, 0.0)] * sums]
        for index, (sweep, operand) in enumerate(zip(self.chunk.sweeps, operands, strict=True)):
            done = 0
            if index == 0 and self.prefetches:
                done, carried = self._prefetching(sweep, operand, carried, lines)
            if done < self.size:
                end = integer("i64", self.size)
                carried = self._units(sweep, operand, carried, done, end)
        for at, value in enumerate(carried[1:]):
            f.store(value, f.at(out, at * bytes_), bytes_)
        f.do("ret void")
        return f

    def _units(
        self, sweep: Sweep, operand: Value, carried: list[Value], start: Value | int, end: Value
    ) -> list[Value]:
        multiply = partial(self._multiply, sweep, operand)
        return self.f.loop(end, multiply, carried, start=start, stem="k")

    def _prefetching(
        self, sweep: Sweep, operand: Value, carried: list[Value], lines: Sequence[Value]
    ) -> tuple[int, list[Value]]:
        """A part of the units for each row, and before it the lines that the row will need."""
        f, count = self.f, len(self.prefetches)
        part = self.size // self.rows
        arrays = (self.layout.arrays[prefetch.array] for prefetch in self.prefetches)
        strides = [array.columns * self.size * self.lanes.bytes_each for array in arrays]

        def each(row: Value, carried: list[Value]) -> list[Value]:
            lines = carried[:count]
            self._request(lines)
            start = f.mul(row, integer("i64", part))
            end = f.add(start, integer("i64", part))
            results = self._units(sweep, operand, carried[count:], start, end)
            return [*(f.at(*pair) for pair in zip(lines, strides, strict=True)), *results]

        carried = f.loop(integer("i64", self.rows), each, [*lines, *carried], stem="part")
        return part * self.rows, carried[count:]

    def _request(self, lines: Sequence[Value]) -> None:
        for line, prefetch in zip(lines, self.prefetches, strict=True):
            for offset, write in prefetch.offsets:
                for side in range(self.blocks):
                    self.f.prefetch(self.f.at(line, offset + side * self.lanes.bytes), write)

    def _multiply(
        self, sweep: Sweep, operand: Value, k: Value, carried: list[Value]
    ) -> list[Value]:
        """One unit of the operand: its vectors of weights times one number of each row."""
        f, lanes = self.f, self.lanes
        weights, *sums = carried
        members, width = len(sweep.members), len(self.chunk.accumulators)
        offsets = [at * lanes.bytes for at in range(self.blocks * members)]
        loaded = [f.load(lanes.type, f.at(weights, offset), lanes.bytes) for offset in offsets]
        if self.chunk.far:
            ahead = self.layout.tuning.prefetch_weights_ahead
            for offset in offsets:
                f.prefetch(f.at(weights, offset + ahead), write=0)
        here = f.at(operand, k, self.lanes.scalar)
        for row in range(self.rows):
            pointer = f.at(here, row * self.layout.stride * lanes.bytes_each)
            x = f.splat(f.load(self.lanes.scalar, pointer, lanes.bytes_each), lanes.count)
            for block in range(self.blocks):
                for member, (index, _) in enumerate(sweep.members):
                    at = (row * width + index) * self.blocks + block
                    sums[at] = f.fma(x, loaded[block * members + member], sums[at])
        return [f.at(weights, len(offsets) * lanes.bytes), *sums]
