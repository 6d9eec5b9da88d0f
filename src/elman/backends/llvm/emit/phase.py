"""One phase of a step: what its loops share, whichever unit multiplies.

The products of some rows and units are put down in a few cache lines, and the elementwise work is
done from there row by row: its code stands in the kernel once, whatever the size of a tile.
"""

from elman.backends.llvm.emit.assembly import Value
from elman.backends.llvm.emit.frame import Frame, Place
from elman.backends.llvm.emit.pointwise import Pointwise, Spot
from elman.ir.graph import Node


class PhaseCode:
    """A phase for the first ``active`` rows of a group; `vector_loops` and `amx_loops` write it."""

    def __init__(self, frame: Frame, index: int, *, active: Value, place: Place) -> None:
        self.frame, self.f, self.lanes, self.shape = frame, frame.f, frame.lanes, frame.shape
        self.index, self.active, self.place = index, active, place
        self.phase = frame.kernel.phases[index]
        self.chunks = frame.layout.chunks[index]

    def operand(self, node: Node) -> Value:
        """Where the rows of a product's operand begin."""
        for state in self.frame.kernel.states:
            if state.now is node:
                return self.place.buffers[state.name][0]
        return self.frame.scratch(("kept", node))

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
