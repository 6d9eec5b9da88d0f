"""Sizes of vectors and tiles: what is accumulated together, and how many registers it fills.

A tile is some rows of the batch times some vectors ("blocks") of units, times the sums of products
that a phase adds up for each. Its sums stay in registers from end to end, so all here follows from
how many registers there are; nothing here writes code.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from elman.backends.llvm.emit.amx import bf16x3 as splits
from elman.backends.llvm.emit.amx import instructions as amx
from elman.backends.llvm.emit.assembly import Lanes
from elman.backends.llvm.emit.tuning import CodeTuning
from elman.ir.graph import Node
from elman.schedule.kernel import Accumulator


@dataclass(frozen=True)
class Shape:
    """How many units, and what vectors hold them."""

    hidden_size: int
    lanes: Lanes
    registers: int
    amx: bool = False
    """Whether products go to the matrix unit (AMX)."""

    @property
    def blocks(self) -> int:
        """Vectors that hold one row of units."""
        return -(-self.hidden_size // self.lanes.count)

    @property
    def tail(self) -> int:
        """Units in the last vector; 0 when it is full."""
        return self.hidden_size % self.lanes.count

    @property
    def whole(self) -> int:
        """Units with those that fill the last vector."""
        return self.blocks * self.lanes.count

    @property
    def panels(self) -> int:
        """Panels that hold one row of units: see ``splits``."""
        return -(-self.hidden_size // splits.LINES)

    @property
    def panel(self) -> int:
        """Bytes of a panel that is as deep as there are units."""
        return -(-self.hidden_size // amx.DEPTH) * splits.PIECE


# ---------------------------------------------------------------------------------------------
# Chunks: what one pass over the operands adds up


class Sweep(NamedTuple):
    """Products that share an operand, so that one pass over it serves them all."""

    operand: Node
    members: tuple[tuple[int, Node], ...]
    """Which accumulator of the chunk, and the product."""


@dataclass(frozen=True)
class Chunk:
    """Accumulators that are computed together, and the tile that they are computed in."""

    first: int
    """Of the phase's accumulators the index of the first."""
    accumulators: tuple[Accumulator, ...]
    sweeps: tuple[Sweep, ...]
    blocks: int
    """Blocks of units side by side, at most."""
    rows: int
    """Rows of a tile, at most."""
    offset: int
    """Where its packed weights begin, in numbers."""
    far: bool
    """Whether the phase's weights do not stay in the second cache."""

    @property
    def depth(self) -> int:
        """Vectors of weights for each unit of the operands: one a product."""
        return sum(len(sweep.members) for sweep in self.sweeps)

    @property
    def products(self) -> tuple[Node, ...]:
        """All products, accumulator after accumulator."""
        return tuple(
            product for accumulator in self.accumulators for product in accumulator.products
        )

    @property
    def end(self) -> int:
        """Of the phase's accumulators the index behind the last."""
        return self.first + len(self.accumulators)

    def packed(self, shape: Shape) -> int:
        """Its packed weights, in numbers."""
        if shape.amx:
            return self.depth * shape.panels * shape.panel // shape.lanes.bytes_each
        return self.depth * shape.hidden_size * shape.whole


def chunked(
    accumulators: Sequence[Accumulator], shape: Shape, tuning: CodeTuning, offset: int
) -> tuple[Chunk, ...]:
    """The chunks of a phase, their packed weights in a row from ``offset`` on.

    They share their tile, since the phase's elementwise work needs them all.
    """
    if not accumulators:
        return ()
    if shape.amx:
        members, blocks = tuple(accumulators), splits.LINES // shape.lanes.count
        return (Chunk(0, members, _sweeps(members), blocks, splits.LINES, offset, far=False),)
    products = sum(len(accumulator.products) for accumulator in accumulators)
    weights = products * shape.hidden_size * shape.blocks * shape.lanes.bytes
    tile = _tile(len(accumulators), shape, tuning, tall=weights > tuning.tall_from)
    chunks: list[Chunk] = []
    for first, size in _shares(len(accumulators), tile.accumulators):
        members = tuple(accumulators[first : first + size])
        sweeps, far = _sweeps(members), weights > tuning.prefetch_weights_from
        chunk = Chunk(first, members, sweeps, tile.blocks, tile.rows, offset, far)
        chunks.append(chunk)
        offset += chunk.packed(shape)
    return tuple(chunks)


def _shares(total: int, most: int) -> Iterator[tuple[int, int]]:
    """(first, size) of parts of at most ``most``, of nearly the same size, larger ones first."""
    count = -(-total // most)
    small, more = divmod(total, count)
    first = 0
    for index in range(count):
        size = small + (index < more)
        yield first, size
        first += size


def _sweeps(accumulators: Sequence[Accumulator]) -> tuple[Sweep, ...]:
    """The chunk's products by operand; a sum's second product of an operand needs another pass."""
    sweeps: dict[tuple[Node, int], list[tuple[int, Node]]] = {}
    for index, accumulator in enumerate(accumulators):
        times: dict[Node, int] = {}
        for product in accumulator.products:
            operand = product.inputs[0]
            again = times.get(operand, 0)
            times[operand] = again + 1
            sweeps.setdefault((operand, again), []).append((index, product))
    return tuple(Sweep(operand, tuple(members)) for (operand, _), members in sweeps.items())


# ---------------------------------------------------------------------------------------------
# Tiles: how much of a chunk at a time


class _Tile(NamedTuple):
    accumulators: int
    blocks: int
    rows: int


def _tile(accumulators: int, shape: Shape, tuning: CodeTuning, *, tall: bool) -> _Tile:
    """How many accumulators, blocks and rows fit the registers."""
    many = tuning.tall if tall else tuning.wide
    limits = tuning.narrow if shape.registers == 16 else many
    chunks = -(-accumulators // limits.accumulators)
    widest = -(-accumulators // chunks)
    blocks = max(1, min(shape.blocks, limits.vectors // widest))
    return _Tile(widest, blocks, max(1, limits.registers // (widest * blocks)))


@dataclass(frozen=True)
class BlockGroup:
    """Groups of blocks of units that lie side by side and are of one size."""

    first: int
    """The first block of the first group."""
    blocks: int
    """In each group."""
    count: int
    """Groups of this size."""


def groups(blocks: int, most: int) -> list[BlockGroup]:
    """All blocks in groups of at most ``most``, of nearly the same size, larger ones first."""
    count = -(-blocks // most)
    small, more = divmod(blocks, count)
    sizes = []
    if more:
        sizes.append(BlockGroup(0, small + 1, more))
    if count > more:
        sizes.append(BlockGroup(more * (small + 1), small, count - more))
    return sizes
