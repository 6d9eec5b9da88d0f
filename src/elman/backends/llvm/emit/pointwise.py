"""The elementwise work of a phase on one block of units: a loop over rows.

What a row needs is loaded, computed and stored before the next row, so that values never leave the
registers; only what does not depend on the row is loaded before the loop.
"""

from typing import NamedTuple

from elman.backends.llvm.emit import math
from elman.backends.llvm.emit.assembly import Value, integer, number
from elman.backends.llvm.emit.frame import Frame, Place
from elman.ir.graph import Node, Op
from elman.schedule.kernel import Slot


class Spot(NamedTuple):
    """A block of units in some rows of the group."""

    block: Value
    side: Value
    """Which block of its tile it is."""
    start: Value
    """The first row; those up to ``end`` follow."""
    end: Value
    width: int
    """Blocks of the tile."""
    tail: bool
    """Whether the block is truncated."""


class Pointwise:
    """The loop over the rows of a spot, for the phase of this index."""

    def __init__(self, frame: Frame, index: int, place: Place, spot: Spot) -> None:
        self.frame, self.f, self.lanes = frame, frame.f, frame.lanes
        self.layout, self.place, self.spot = frame.layout, place, spot
        self.phase = frame.kernel.phases[index]
        self.chunks = frame.layout.chunks[index]
        self.unit = self.f.mul(spot.block, integer("i64", self.lanes.count))
        self.states = {state.now: state for state in frame.kernel.states}
        before = frame.kernel.phases[:index]
        self.kept_before = {node for phase in before for node in phase.kept}
        self.accumulators = {
            accumulator.node: at for at, accumulator in enumerate(self.phase.accumulators)
        }

    def emit(self) -> None:
        """Write the loop, and what stands before and after it."""
        self.fixed = {
            node: self.frame.load(self._parameter(slot), tail=self.spot.tail)
            for node in self.frame.kernel.loaded(self.phase)
            if self._kind(slot := self.frame.kernel.leaves[node]) == "parameter"
        }
        totals = [number(self.lanes.type, 0.0)] * len(self.phase.totals)
        sums = self.f.loop(self.spot.end, self._row, totals, start=self.spot.start, stem="row")
        for (_, slot), total in zip(self.phase.totals, sums, strict=True):
            self._add_total(slot, total)

    def _row(self, row: Value, totals: list[Value]) -> list[Value]:
        """One row; what is carried from row to row are the sums over all of them."""
        f, bytes_ = self.f, self.lanes.bytes
        self.row = row
        self.token = f.add(self.place.token, row)
        self.batch_row = f.add(self.place.row, row)
        self.pointers: dict[str, Value] = {}
        self.values: dict[Node, Value] = dict(self.fixed)
        results = {root: self._value(root) for root in self.phase.roots}
        for node, slot in self.phase.stores:
            self._store(results[node], slot)
        for node in self.phase.kept:
            f.store(results[node], self._in_scratch(self.frame.scratch(("kept", node))), bytes_)
        for state in self.phase.states:
            pointer = self._in_scratch(self.place.buffers[state.name][1])
            f.store(results[state.next], pointer, bytes_)
        for node in self.phase.averaged:
            self._average(node, results[node])
        nodes = (node for node, _ in self.phase.totals)
        return [f.fadd(total, results[node]) for total, node in zip(totals, nodes, strict=True)]

    # Values ----------------------------------------------------------------------------------

    def _value(self, node: Node) -> Value:
        """The value of a node for this row and block; an explicit stack, as graphs can be deep."""
        pending = [node]
        while pending:
            last = pending[-1]
            if last in self.values:
                pending.pop()
                continue
            value = self._ready(last)
            if value is None:
                missing = [operand for operand in last.inputs if operand not in self.values]
                if missing:
                    pending.extend(reversed(missing))
                    continue
                operands = [self.values[operand] for operand in last.inputs]
                value = math.emit(self.f, last.op, *operands)
            self.values[last] = value
            pending.pop()
        return self.values[node]

    def _ready(self, node: Node) -> Value | None:
        """What is loaded rather than computed."""
        slot = self.frame.kernel.leaves.get(node)
        if slot is not None:
            return self._leaf(slot)
        if node in self.states:
            return self._scratch_value(self.place.buffers[self.states[node].name][0])
        if node.op is Op.CONSTANT:
            return number(self.lanes.type, float(node.attr or 0.0))
        if node in self.accumulators:
            return self._accumulated(self.accumulators[node])
        if node.op is Op.MEAN:
            return self._splat(self.frame.mean(node.inputs[0], self.row))
        if node in self.kept_before:
            return self._scratch_value(self.frame.scratch(("kept", node)))
        return None

    def _leaf(self, slot: Slot) -> Value:
        pointer = self._outside(slot)
        if self._kind(slot) == "scalar":
            return self._splat(pointer)
        return self.frame.load(pointer, tail=self.spot.tail)

    def _splat(self, pointer: Value) -> Value:
        scalar = self.f.load(self.lanes.scalar, pointer, self.lanes.bytes_each)
        return self.f.splat(scalar, self.lanes.count)

    def _scratch_value(self, start: Value) -> Value:
        return self.f.load(self.lanes.type, self._in_scratch(start), self.lanes.bytes)

    def _accumulated(self, at: int) -> Value:
        """One vector of the tile: [chunk][row][accumulator][block]."""
        f, lanes, spot = self.f, self.lanes, self.spot
        chunk = next(chunk for chunk in self.chunks if at < chunk.end)
        row = f.sub(self.row, spot.start)
        index = f.mul(row, integer("i64", len(chunk.accumulators)))
        index = f.add(index, integer("i64", at - chunk.first))
        index = f.add(f.mul(index, integer("i64", spot.width)), spot.side)
        before = chunk.first * chunk.rows * spot.width * lanes.bytes
        tile = self.frame.scratch("tile", before)
        pointer = f.at(tile, f.mul(index, integer("i64", lanes.bytes)))
        return f.load(lanes.type, pointer, lanes.bytes)

    # Results ---------------------------------------------------------------------------------

    def _store(self, value: Value, slot: Slot) -> None:
        f, pointer = self.f, self._outside(slot)
        if self._kind(slot) == "scalar":
            scalar = f.emit(self.lanes.scalar, f"extractelement {value.typed}, i64 0")
            f.store(scalar, pointer, self.lanes.bytes_each)
        elif self.layout.arrays[slot.array].optional:
            base = self.frame.arrays[slot.array]
            with f.when(f.compare("ne", base, Value("ptr", "null"))):
                self.frame.store(value, pointer, tail=self.spot.tail)
        else:
            self.frame.store(value, pointer, tail=self.spot.tail)

    def _average(self, node: Node, value: Value) -> None:
        """Add to the row's sum; lanes without a unit hold no zeros, and must not count."""
        f, lanes = self.f, self.lanes
        if self.spot.tail:
            value = f.select(self.frame.mask, value, number(lanes.type, 0.0))
        pointer = self.frame.partial(node, self.row)
        former = f.load(lanes.type, pointer, lanes.bytes)
        f.store(f.fadd(former, value), pointer, lanes.bytes)

    def _add_total(self, slot: Slot, total: Value) -> None:
        """Add to what this thread has summed in former tiles."""
        before = self.frame.shape.whole * slot.column * self.lanes.bytes_each
        start = self.f.at(self.frame.arrays[slot.array], before)
        pointer = self.frame.move(start, self.unit)
        former = self.f.load(self.lanes.type, pointer, self.lanes.bytes_each)
        self.f.store(self.f.fadd(former, total), pointer, self.lanes.bytes_each)

    # Places ----------------------------------------------------------------------------------

    def _kind(self, slot: Slot) -> str:
        return self.layout.arrays[slot.array].kind

    def _parameter(self, slot: Slot) -> Value:
        before = self.frame.shape.hidden_size * slot.column * self.lanes.bytes_each
        return self.frame.move(self.f.at(self.frame.arrays[slot.array], before), self.unit)

    def _in_scratch(self, start: Value) -> Value:
        """The vector of this row and block, where the rows begin at ``start``."""
        row = self.f.mul(self.row, integer("i64", self.frame.shape.whole))
        return self.frame.move(start, self.f.add(row, self.unit))

    def _outside(self, slot: Slot) -> Value:
        """Where the vector of this row and block lies in an array outside."""
        if slot.array not in self.pointers:
            self.pointers[slot.array] = self._first_column(slot.array)
        width = 1 if self._kind(slot) == "scalar" else self.frame.shape.hidden_size
        return self.f.at(self.pointers[slot.array], slot.column * width * self.lanes.bytes_each)

    def _first_column(self, name: str) -> Value:
        f, array = self.f, self.layout.arrays[name]
        at = self.batch_row if array.kind == "row" else self.token
        if array.kind == "indexed":
            at = f.load("i64", f.at(self.frame.indices, self.token, "i64"), 8)
        size = 1 if array.kind == "scalar" else self.frame.shape.hidden_size
        start = f.mul(at, integer("i64", array.columns * size))
        if array.kind != "scalar":
            start = f.add(start, self.unit)
        return self.frame.move(self.frame.arrays[name], start)
