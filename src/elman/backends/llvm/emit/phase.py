"""The loops of one phase: groups of blocks of units, and in each of them tiles of rows.

A tile of products is accumulated in registers, put down in a few cache lines, and the elementwise
work is done from there row by row: the code of a phase stands in the kernel once, whatever the size
of the tile.
"""

from collections.abc import Sequence

from elman.backends.llvm.emit.amx_loops import PanelLoops
from elman.backends.llvm.emit.assembly import Value, integer
from elman.backends.llvm.emit.blocking import BlockGroup, Chunk, groups
from elman.backends.llvm.emit.frame import ZERO, Frame, Place
from elman.backends.llvm.emit.microkernel import Tiles
from elman.backends.llvm.emit.pointwise import Pointwise, Spot
from elman.backends.llvm.emit.prefetch import Fetch, fetches
from elman.ir.graph import Node

_STRIP = 4
"""Rows that elementwise work without products does together."""


class PhaseLoops:
    """A phase's loops, for the first ``active`` rows of a group."""

    def __init__(
        self, frame: Frame, tiles: Tiles, index: int, *, active: Value, place: Place
    ) -> None:
        self.frame, self.f, self.lanes, self.shape = frame, frame.f, frame.lanes, frame.shape
        self.tiles, self.index, self.active, self.place = tiles, index, active, place
        self.phase = frame.kernel.phases[index]
        self.chunks = frame.layout.chunks[index]

    def emit(self) -> None:
        """Write them."""
        if not self.phase.roots:
            return
        if not self.chunks:
            self._strips()
            return
        if self.shape.tiles:
            PanelLoops(self, self.chunks[0]).emit()
            return
        for group in groups(self.shape.blocks, self.chunks[0].blocks):
            self._groups(group)

    def _strips(self) -> None:
        """Elementwise work alone, a few rows at a time, so that memory is read in straight lines:
        the processor follows some dozens of those by itself."""
        f = self.f
        whole = integer("i64", self.shape.blocks)

        def strip(start: Value, _: list[Value]) -> list[Value]:
            end = f.least(f.add(start, integer("i64", _STRIP)), self.active)
            self.elementwise((ZERO, whole), (start, end), width=1)
            return []

        f.loop(self.active, strip, step=_STRIP, stem="strip")

    def _groups(self, group: BlockGroup) -> None:
        """All groups of so many blocks, each by tiles of rows of nearly the same height."""
        f, rows = self.f, self.chunks[0].rows
        tiles = f.parts(self.active, integer("i64", rows))
        small = f.emit("i64", f"udiv {self.active.typed}, {tiles}")
        more = f.emit("i64", f"urem {self.active.typed}, {tiles}")

        def each_group(index: Value, _: list[Value]) -> list[Value]:
            index = self.frame.there_and_back(index, group.count, self.place.odd)
            block = f.add(f.mul(index, integer("i64", group.blocks)), integer("i64", group.first))

            def each_tile(tile: Value, carried: list[Value]) -> list[Value]:
                (start,) = carried
                extra = f.cast("zext", f.compare("slt", tile, more), "i64")
                return [self._tile(group.blocks, block, start, f.add(small, extra))]

            f.loop(tiles, each_tile, [ZERO], stem="tile")
            return []

        f.loop(integer("i64", group.count), each_group, stem="units")

    def _tile(self, blocks: int, block: Value, start: Value, height: Value) -> Value:
        """Products, then elementwise work; returns the row behind the tile."""
        self._accumulate(blocks, block, start, height)
        end = self.f.add(start, height)
        last = self.f.add(block, integer("i64", blocks))
        self.elementwise((block, last), (start, end), width=blocks)
        return end

    # Products --------------------------------------------------------------------------------

    def _accumulate(self, blocks: int, block: Value, start: Value, height: Value) -> None:
        """The tile, chunk after chunk; the first one's function asks for memory."""
        f = self.f
        asked = fetches(self.frame.layout, self.phase)
        tile = self.frame.scratch("tile")
        for chunk in self.chunks:
            depth = integer("i64", chunk.depth * self.shape.hidden_size * self.lanes.bytes)
            weights = f.at(self.frame.packed, chunk.offset * self.lanes.bytes_each)
            weights = f.at(weights, f.mul(block, depth))
            stride = f.mul(start, integer("i64", self.shape.stride))
            operands = [
                self.frame.move(self.operand(sweep.operand), stride) for sweep in chunk.sweeps
            ]
            out = f.at(tile, chunk.first * chunk.rows * blocks * self.lanes.bytes)
            memory = self.lines(asked, block, start)
            self._call(chunk, blocks, height, asked, [*operands, weights, out, *memory])
            asked = ()

    def _call(
        self,
        chunk: Chunk,
        blocks: int,
        height: Value,
        asked: Sequence[Fetch],
        arguments: Sequence[Value],
    ) -> None:
        """Call the function for a tile of this height."""
        f = self.f
        listed = ", ".join(value.typed for value in arguments)
        after = f.fresh("accumulated.")
        labels = {rows: f.fresh(f"rows{rows}.") for rows in range(1, chunk.rows + 1)}
        cases = " ".join(f"i64 {rows}, label %{label}" for rows, label in labels.items())
        f.do(f"switch {height.typed}, label %{labels[chunk.rows]} [ {cases} ]")
        for rows, label in labels.items():
            f.label(label)
            f.do(f"call void @{self.tiles.name(chunk, blocks, rows, asked)}({listed})")
            f.jump(after)
        f.label(after)

    def operand(self, node: Node) -> Value:
        """Where the rows of a product's operand begin."""
        for state in self.frame.kernel.states:
            if state.now is node:
                return self.place.buffers[state.name][0]
        return self.frame.scratch(("kept", node))

    def lines(self, asked: Sequence[Fetch], block: Value, start: Value) -> list[Value]:
        """For each array its place in the tile's first row."""
        f = self.f
        unit = f.mul(block, integer("i64", self.lanes.count))
        found = []
        for fetch in asked:
            token = f.add(self.place.following if fetch.following else self.place.token, start)
            width = self.frame.layout.arrays[fetch.array].columns * self.shape.hidden_size
            offset = f.add(f.mul(token, integer("i64", width)), unit)
            found.append(self.frame.move(self.frame.arrays[fetch.array], offset))
        return found

    # Elementwise work ------------------------------------------------------------------------

    def elementwise(
        self, blocks: tuple[Value, Value], rows: tuple[Value, Value], *, width: int
    ) -> None:
        """The elementwise work of these blocks and rows, from the first up to the second."""
        first, last = blocks

        def each(block: Value, _: list[Value]) -> list[Value]:
            side = self.f.sub(block, first)

            def emit(tail: bool) -> None:
                spot = Spot(block, side, *rows, width, tail)
                Pointwise(self.frame, self.index, self.place, spot).emit()

            self.frame.split_tail(block, emit)
            return []

        self.f.loop(last, each, start=first, stem="block")
