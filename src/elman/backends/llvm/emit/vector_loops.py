"""The loops of a phase on vectors: groups of blocks of units, and in each of them tiles of rows.

A tile of products is accumulated in registers, and the elementwise work on it follows at once.
"""

from collections.abc import Sequence

from elman.backends.llvm.emit import microkernel
from elman.backends.llvm.emit.assembly import Value, integer
from elman.backends.llvm.emit.blocking import BlockGroup, Chunk, groups
from elman.backends.llvm.emit.frame import ZERO
from elman.backends.llvm.emit.phase import PhaseCode


def vector_loops(phase: PhaseCode) -> None:
    """Write the loops of a phase with products."""
    for group in groups(phase.shape.blocks, phase.chunks[0].blocks):
        _groups(phase, group)


def _groups(phase: PhaseCode, group: BlockGroup) -> None:
    """All groups of so many blocks, each by tiles of rows of nearly the same height."""
    f, rows = phase.f, phase.chunks[0].rows
    tiles = f.parts(phase.active, integer("i64", rows))
    small = f.emit("i64", f"udiv {phase.active.typed}, {tiles}")
    more = f.emit("i64", f"urem {phase.active.typed}, {tiles}")

    def each_group(index: Value, _: list[Value]) -> list[Value]:
        block = f.add(f.mul(index, integer("i64", group.blocks)), integer("i64", group.first))

        def each_tile(tile: Value, carried: list[Value]) -> list[Value]:
            (start,) = carried
            extra = f.cast("zext", f.compare("slt", tile, more), "i64")
            return [_tile(phase, group.blocks, block, start, f.add(small, extra))]

        f.loop(tiles, each_tile, [ZERO], stem="tile")
        return []

    f.loop(integer("i64", group.count), each_group, stem="units")


def _tile(phase: PhaseCode, blocks: int, block: Value, start: Value, height: Value) -> Value:
    """Products, then elementwise work; returns the row behind the tile."""
    _accumulate(phase, blocks, block, start, height)
    end = phase.f.add(start, height)
    last = phase.f.add(block, integer("i64", blocks))
    phase.elementwise((block, last), (start, end), width=blocks)
    return end


def _accumulate(phase: PhaseCode, blocks: int, block: Value, start: Value, height: Value) -> None:
    """The tile, chunk after chunk."""
    f = phase.f
    tile = phase.frame.scratch("tile")
    for chunk in phase.chunks:
        depth = integer("i64", chunk.depth * phase.shape.hidden_size * phase.lanes.bytes)
        weights = f.at(phase.frame.packed, chunk.offset * phase.lanes.bytes_each)
        weights = f.at(weights, f.mul(block, depth))
        stride = f.mul(start, integer("i64", phase.shape.whole))
        operands = [
            phase.frame.move(phase.operand(sweep.operand), stride) for sweep in chunk.sweeps
        ]
        out = f.at(tile, chunk.first * chunk.rows * blocks * phase.lanes.bytes)
        _call(phase, chunk, blocks, height, [*operands, weights, out])


def _call(
    phase: PhaseCode,
    chunk: Chunk,
    blocks: int,
    height: Value,
    arguments: Sequence[Value],
) -> None:
    """Call the function for a tile of this height."""
    f = phase.f
    listed = ", ".join(value.typed for value in arguments)
    after = f.fresh("accumulated.")
    labels = {rows: f.fresh(f"rows{rows}.") for rows in range(1, chunk.rows + 1)}
    cases = " ".join(f"i64 {rows}, label %{label}" for rows, label in labels.items())
    f.do(f"switch {height.typed}, label %{labels[chunk.rows]} [ {cases} ]")
    for rows, label in labels.items():
        f.label(label)
        f.do(f"call void @{microkernel.name(phase.frame, chunk, blocks, rows)}({listed})")
        f.jump(after)
    f.label(after)
