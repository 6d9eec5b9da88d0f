"""A tile of products: the inner loop, where nearly all of a kernel's time goes.

For each size of tile that a chunk needs there is one function. It walks over the operands' units;
each unit is a few vectors of packed weights, and of each row one number that is broadcast and
multiplied into all of them. The sums stay in registers to the end.
"""

from functools import partial

from elman.backends.llvm.emit.assembly import Function, Value, integer, number
from elman.backends.llvm.emit.blocking import Chunk, Sweep
from elman.backends.llvm.emit.frame import Frame
from elman.backends.llvm.emit.layout import Layout


def name(frame: Frame, chunk: Chunk, blocks: int, rows: int) -> str:
    """The name of the function for a tile of this size, which is written when it is first asked."""
    name = f"tile_{chunk.offset}_{blocks}x{rows}"
    if name not in frame.functions:
        tile = _Microkernel(frame.layout, name, chunk, blocks, rows)
        frame.functions[name] = tile.function()
    return name


class _Microkernel:
    """All products of a tile: rows x blocks x accumulators."""

    def __init__(self, layout: Layout, name: str, chunk: Chunk, blocks: int, rows: int) -> None:
        self.layout, self.lanes = layout, layout.lanes
        self.chunk, self.blocks, self.rows = chunk, blocks, rows
        arguments = [
            *(("ptr", f"x{index}") for index in range(len(chunk.sweeps))),
            ("ptr", "w"),
            ("ptr", "out"),
        ]
        self.f = Function(name, arguments, attributes="nounwind noinline")

    def function(self) -> Function:
        """The function; what is carried from unit to unit is the weights' pointer and the sums."""
        f, bytes_ = self.f, self.lanes.bytes
        operands = f.arguments[: len(self.chunk.sweeps)]
        weights, out = f.arguments[len(operands) :]
        sums = self.rows * self.blocks * len(self.chunk.accumulators)
        carried = [weights, *[number(self.lanes.type, 0.0)] * sums]
        units = integer("i64", self.layout.shape.hidden_size)
        for sweep, operand in zip(self.chunk.sweeps, operands, strict=True):
            carried = f.loop(units, partial(self._multiply, sweep, operand), carried, stem="k")
        for at, value in enumerate(carried[1:]):
            f.store(value, f.at(out, at * bytes_), bytes_)
        f.do("ret void")
        return f

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
                f.prefetch(f.at(weights, offset + ahead))
        here = f.at(operand, k, self.lanes.scalar)
        for row in range(self.rows):
            pointer = f.at(here, row * self.layout.shape.whole * lanes.bytes_each)
            x = f.splat(f.load(self.lanes.scalar, pointer, lanes.bytes_each), lanes.count)
            for block in range(self.blocks):
                for member, (index, _) in enumerate(sweep.members):
                    at = (row * width + index) * self.blocks + block
                    sums[at] = f.fma(x, loaded[block * members + member], sums[at])
        return [f.at(weights, len(offsets) * lanes.bytes), *sums]
