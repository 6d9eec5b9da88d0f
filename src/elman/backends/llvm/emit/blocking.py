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
from elman.ir.graph import Node
from elman.schedule.kernel import Accumulator

_CONFLICT = 1024
"""Rows that lie a multiple of so many bytes apart fall on a few sets of the first cache: those
repeat every 4096 bytes, and a tile reads all its rows at once."""


@dataclass(frozen=True)
class Shape:
    """How many units, and what vectors hold them."""

    hidden_size: int
    lanes: Lanes
    registers: int
    tiles: bool = False
    """Whether products are those of matrix tiles."""

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

    @property
    def stride(self) -> int:
        """Numbers from one row of scratch memory to the next."""
        conflict = self.whole * self.lanes.bytes_each % _CONFLICT == 0
        return self.whole + self.lanes.count if conflict else self.whole


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
        return tuple(product for one in self.accumulators for product in one.products)

    @property
    def end(self) -> int:
        """Of the phase's accumulators the index behind the last."""
        return self.first + len(self.accumulators)

    def packed(self, shape: Shape) -> int:
        """Its packed weights, in numbers."""
        if shape.tiles:
            return self.depth * shape.panels * shape.panel // shape.lanes.bytes_each
        return self.depth * shape.hidden_size * shape.whole


_LARGE = 2 << 20
"""Bytes of a phase's weights from which they come from the third cache or from memory."""
_FAR = 3 << 19
"""Bytes of a phase's weights that leave no room in a second cache for anything else."""


def chunked(accumulators: Sequence[Accumulator], shape: Shape, offset: int) -> tuple[Chunk, ...]:
    """The chunks of a phase, their packed weights in a row from ``offset`` on.

    They share their tile, since the phase's elementwise work needs them all.
    """
    if not accumulators:
        return ()
    if shape.tiles:
        members, blocks = tuple(accumulators), splits.LINES // shape.lanes.count
        return (Chunk(0, members, _sweeps(members), blocks, splits.LINES, offset, far=False),)
    products = sum(len(one.products) for one in accumulators)
    weights = products * shape.hidden_size * shape.blocks * shape.lanes.bytes
    tile = _tile(len(accumulators), shape, tall=weights > _LARGE)
    chunks: list[Chunk] = []
    for first, size in _shares(len(accumulators), tile.accumulators):
        members = tuple(accumulators[first : first + size])
        sweeps, far = _sweeps(members), weights > _FAR
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
    found: dict[tuple[Node, int], list[tuple[int, Node]]] = {}
    for index, accumulator in enumerate(accumulators):
        times: dict[Node, int] = {}
        for product in accumulator.products:
            operand = product.inputs[0]
            turn = times.get(operand, 0)
            times[operand] = turn + 1
            found.setdefault((operand, turn), []).append((index, product))
    return tuple(Sweep(operand, tuple(members)) for (operand, _), members in found.items())


# ---------------------------------------------------------------------------------------------
# Tiles: how much of a chunk at a time


class _Tile(NamedTuple):
    accumulators: int
    blocks: int
    rows: int


class _Limits(NamedTuple):
    accumulators: int
    """Of a chunk, at most."""
    vectors: int
    """Sums of one row side by side: each takes a register of weights."""
    registers: int
    """For all sums. Beside them there must be room for the weights and a broadcast number."""


_NARROW = _Limits(accumulators=3, vectors=2, registers=12)
"""Where there are 16 registers."""
_WIDE = _Limits(accumulators=6, vectors=4, registers=24)
"""Where there are 32: a wide tile makes more of each broadcast number."""
_TALL = _Limits(accumulators=2, vectors=2, registers=24)
"""The same for weights from far away: a tall tile makes more of each vector of them."""
_NINE_ROWS = 27
"""Registers for tiles of three sums a row, where there are 32: 9 rows, 3 vectors of weights and a
broadcast are 31."""


def _tile(accumulators: int, shape: Shape, *, tall: bool) -> _Tile:
    """How many accumulators, blocks and rows fit the registers."""
    few = shape.registers == 16
    limits = _NARROW if few else _TALL if tall else _WIDE
    chunks = -(-accumulators // limits.accumulators)
    widest = -(-accumulators // chunks)
    blocks = max(1, min(shape.blocks, limits.vectors // widest))
    across = widest * blocks
    registers = _NINE_ROWS if across == 3 and shape.registers == 32 else limits.registers
    return _Tile(widest, blocks, max(1, registers // across))


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
    found = []
    if more:
        found.append(BlockGroup(0, small + 1, more))
    if count > more:
        found.append(BlockGroup(more * (small + 1), small, count - more))
    return found
