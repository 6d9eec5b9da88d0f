"""The function `pack`: weights in the order in which tiles read them, a straight line each.

A tile reads, unit after unit of an operand, one vector of weights for each product and block of its
group. A matrix holds them apart, and crosswise where the product is not transposed; so they are
copied once a call, which all its steps and rows pay for together.
"""

from collections.abc import Mapping

from elman.backends.llvm.emit.amx import panels
from elman.backends.llvm.emit.amx.bf16x3 import LINES
from elman.backends.llvm.emit.assembly import Function, Value, integer, number
from elman.backends.llvm.emit.blocking import BlockGroup, Chunk, Sweep, groups
from elman.backends.llvm.emit.entry import Entry
from elman.backends.llvm.emit.layout import Layout
from elman.ir.graph import Node, Op


class Packing(Entry):
    """Packs group after group of blocks; threads take them by turns."""

    def __init__(self, layout: Layout) -> None:
        super().__init__(layout, "pack")

    def function(self) -> Function:
        """The function."""
        packed = self.word("packed", "ptr")
        matrices = {name: self.word(f"matrix.{name}", "ptr") for name in self.layout.stacks}
        for chunks in self.layout.chunks:
            for chunk in chunks:
                if self.shape.amx:
                    self._panels(chunk, packed, matrices)
                    continue
                for group in groups(self.shape.blocks, chunk.blocks):
                    self._groups(chunk, group, packed, matrices)
        self.f.do("ret void")
        return self.f

    def _panels(self, chunk: Chunk, packed: Value, matrices: Mapping[str, Value]) -> None:
        """For the matrix unit: one panel of units after the other, each with all products."""
        f, size = self.f, self.shape.hidden_size
        step, depth = integer("i64", size * self.lanes.bytes_each), integer("i64", size)

        def each(index: Value, _: list[Value]) -> list[Value]:
            unit = f.mul(index, integer("i64", LINES))
            lines = f.sub(depth, unit)
            to = f.at(packed, chunk.offset * self.lanes.bytes_each)
            to = f.at(to, f.mul(index, integer("i64", chunk.depth * self.shape.panel)))
            for product in chunk.products:
                stack, position = self.layout.places[str(product.attr)]
                matrix = f.at(matrices[stack], position * size * size * self.lanes.bytes_each)
                across = product.op is Op.TRANSPOSED
                start = self.move(matrix, unit if across else f.mul(unit, depth))
                panels.pack(f, "across" if across else "along", start, step, lines, depth, to)
                if not across:
                    panels.exchange(f, to, depth)
                to = f.at(to, self.shape.panel)
            return []

        count = integer("i64", self.shape.panels)
        f.loop(count, each, start=self.thread, step=self.threads, stem="panel")

    def _groups(
        self, chunk: Chunk, group: BlockGroup, packed: Value, matrices: Mapping[str, Value]
    ) -> None:
        f, size = self.f, self.shape.hidden_size

        def each(index: Value, _: list[Value]) -> list[Value]:
            block = f.add(f.mul(index, integer("i64", group.blocks)), integer("i64", group.first))
            numbers = chunk.depth * size * self.lanes.count
            start = f.at(packed, chunk.offset * self.lanes.bytes_each)
            start = self.move(start, f.mul(block, integer("i64", numbers)))
            done = 0
            for sweep in chunk.sweeps:
                wide = group.blocks * len(sweep.members)
                for side in range(group.blocks):
                    here = f.add(block, integer("i64", side))
                    column = done + side * len(sweep.members)
                    self._columns(sweep, matrices, here, (start, column), wide)
                done += wide * size
            return []

        f.loop(
            integer("i64", group.count), each, start=self.thread, step=self.threads, stem="group"
        )

    def _columns(
        self,
        sweep: Sweep,
        matrices: Mapping[str, Value],
        block: Value,
        place: tuple[Value, int],
        wide: int,
    ) -> None:
        """A block's vectors of one unit after the other, those of all products side by side."""
        start, column = place
        size = self.shape.hidden_size * self.shape.hidden_size * self.lanes.bytes_each
        for at, (_, product) in enumerate(sweep.members):
            stack, position = self.layout.places[str(product.attr)]
            matrix = self.f.at(matrices[stack], position * size)
            to = self.f.at(start, (column + at) * self.lanes.bytes)
            self._column(product, matrix, block, to, wide)

    def _column(self, product: Node, matrix: Value, block: Value, to: Value, wide: int) -> None:
        """One vector a unit of the operand, every ``wide`` vectors."""
        f, size, lanes = self.f, self.shape.hidden_size, self.lanes
        across = product.op is Op.TRANSPOSED
        unit = f.mul(block, integer("i64", lanes.count))
        start = self.move(matrix, unit if across else f.mul(unit, integer("i64", size)))

        def emit(tail: bool) -> None:
            def each(k: Value, _: list[Value]) -> list[Value]:
                if across:
                    row = self.move(start, f.mul(k, integer("i64", size)))
                    vector = self.load(row, tail=tail)
                else:
                    vector = self._gather(self.move(start, k), tail=tail)
                place = f.at(to, f.mul(k, integer("i64", wide * lanes.bytes)))
                f.store(vector, place, lanes.bytes)
                return []

            f.loop(integer("i64", size), each, stem="k")

        self.split_tail(block, emit)

    def _gather(self, pointer: Value, *, tail: bool) -> Value:
        """One number of each of the block's rows of the matrix."""
        f, lanes = self.f, self.lanes
        vector = number(lanes.type, 0.0)
        for lane in range(self.shape.tail if tail else lanes.count):
            place = f.at(pointer, lane * self.shape.hidden_size * lanes.bytes_each)
            scalar = f.load(self.lanes.scalar, place, lanes.bytes_each)
            vector = f.emit(lanes.type, f"insertelement {vector.typed}, {scalar.typed}, i64 {lane}")
        return vector
