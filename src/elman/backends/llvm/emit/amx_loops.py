"""The loops of a phase on the matrix unit (AMX).

Its operands are split once for all units. Then, a panel of units at a time, all rows are
multiplied, and elementwise work is done on the sums.
"""

from elman.backends.llvm.emit.amx import instructions as amx
from elman.backends.llvm.emit.amx import panels
from elman.backends.llvm.emit.amx.bf16x3 import LINES, PIECE
from elman.backends.llvm.emit.assembly import Function, Value, integer
from elman.backends.llvm.emit.frame import ZERO
from elman.backends.llvm.emit.phase import PhaseCode


def amx_loops(phase: PhaseCode) -> None:
    """Write the loops of a phase with products."""
    _PanelLoops(phase).emit()


class _PanelLoops:
    """The loops of a phase."""

    def __init__(self, phase: PhaseCode) -> None:
        self.phase, self.chunk = phase, phase.chunks[0]
        self.frame, self.f, self.shape = phase.frame, phase.f, phase.shape
        self.pieces = self.shape.panel // PIECE

    def emit(self) -> None:
        """Write them."""
        f, chunk, phase = self.f, self.chunk, self.phase
        layout = self.frame.layout
        if layout.group == LINES:
            amx.fit(f, self.frame.scratch("sizes"), phase.active, integer("i64", LINES))
        self._split()
        whole = integer("i64", self.shape.blocks)
        packed = f.at(self.frame.packed, chunk.offset * self.frame.lanes.bytes_each)

        def units(index: Value, _: list[Value]) -> list[Value]:
            block = f.mul(index, integer("i64", chunk.blocks))
            weights = f.mul(index, integer("i64", chunk.depth * self.shape.panel))
            self._multiply(block, f.at(packed, weights))
            end = f.minimum(f.add(block, integer("i64", chunk.blocks)), whole)
            phase.elementwise((block, end), (ZERO, phase.active), width=chunk.blocks)
            return []

        f.loop(integer("i64", self.shape.panels), units, stem="units")

    def _split(self) -> None:
        """The operands of all rows as panels."""
        f = self.f
        bytes_ = integer("i64", self.shape.whole * self.frame.lanes.bytes_each)
        depth = integer("i64", self.shape.hidden_size)
        for node in dict.fromkeys(sweep.operand for sweep in self.chunk.sweeps):
            source, target = self.phase.operand(node), self.frame.scratch(("panels", node))

            def panel(row: Value, carried: list[Value], source: Value = source) -> list[Value]:
                (to,) = carried
                here = f.at(source, f.mul(row, bytes_))
                lines = f.sub(self.phase.active, row)
                panels.pack(f, "along", here, bytes_, lines, depth, to)
                return [f.at(to, self.shape.panel)]

            f.loop(self.phase.active, panel, [target], step=LINES, stem="split")

    def _multiply(self, block: Value, weights: Value) -> None:
        """All sums of a panel of units."""
        f, chunk = self.f, self.chunk
        name = self._function()
        columns = f.sub(
            integer("i64", self.shape.hidden_size),
            f.mul(block, integer("i64", self.frame.lanes.count)),
        )
        for index, accumulator in enumerate(chunk.accumulators):
            to = self.frame.scratch("tile", index * chunk.blocks * self.frame.lanes.bytes)
            for count, product in enumerate(accumulator.products):
                operand = self.frame.scratch(("panels", product.inputs[0]))
                add = integer("i1", int(count > 0))
                panels.call(f, name, operand, weights, to, add, self.phase.active, columns)
                weights = f.at(weights, self.shape.panel)

    def _function(self) -> str:
        """The name of a function that multiplies all panels of rows by one of units."""
        name = f"panels_{self.phase.index}"
        known = self.frame.functions
        if name in known:
            return name
        arguments = [*(("ptr", one) for one in "abc"), ("i1", "add"), ("i64", "rows")]
        arguments.append(("i64", "columns"))
        f = known[name] = Function(name, arguments, attributes="nounwind noinline")
        a, b, c, add, active, columns = f.arguments
        step = len(self.chunk.accumulators) * self.chunk.blocks * self.frame.lanes.bytes
        sizes = integer("i64", step), integer("i64", self.pieces)

        def panel(first: Value, carried: list[Value]) -> list[Value]:
            a, c = carried
            size = f.sub(active, first), columns
            panels.product(f, size, [a, b, c, *sizes, add])
            return [f.at(a, self.shape.panel), f.at(c, LINES * step)]

        f.loop(active, panel, [a, c], step=LINES, stem="rows")
        f.do("ret void")
        return name
