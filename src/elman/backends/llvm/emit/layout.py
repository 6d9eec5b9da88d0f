"""What the functions of a kernel agree on: the words of a call, and where all lies in memory.

`run` is called with the address of a row of words; the weights that `pack` wrote lie in one piece
of memory, chunk by chunk; each thread has a piece of scratch memory. Python lays these out before
a call and the emitted code finds its way in them, both from here.
"""

from collections.abc import Iterator, Mapping
from functools import cached_property

from elman.backends.llvm.emit.amx.bf16x3 import LINES
from elman.backends.llvm.emit.blocking import Chunk, chunked
from elman.backends.llvm.emit.spec import KernelSpec
from elman.ir.graph import Node

HEADER = (
    "steps",
    "rows",
    "tokens",
    "direction",
    "sizes",
    "starts",
    "lengths",
    "shares",
    "scratch",
    "packed",
    "thread",
    "threads",
    "indices",
)
"""The first words of a call's arguments; pointers to states, arrays and matrices follow."""

_LINE = 64
"""Bytes of a cache line and of the widest vector: all in scratch memory begins at a multiple."""
_APART = 4096 + _LINE
"""Bytes between the scratch memories of two threads: more than a page, and a line more, so that the
same value of two threads seldom falls on the same sets of the cache."""


class Layout:
    """The sizes and places of one kernel, for one shape."""

    def __init__(self, spec: KernelSpec) -> None:
        self.spec = spec
        self.kernel = spec.kernel
        self.shape = spec.shape
        self.places = spec.places
        self.lanes = spec.shape.lanes
        self.tuning = spec.tuning
        self.arrays = {array.name: array for array in spec.kernel.arrays}

    @cached_property
    def stacks(self) -> tuple[str, ...]:
        """The stacks of matrices that the kernel's products use."""
        used = (self.places[str(product.attr)][0] for product in self.kernel.products)
        return tuple(dict.fromkeys(used))

    @cached_property
    def words(self) -> tuple[str, ...]:
        """The names of a call's arguments, eight bytes each."""
        return (
            *HEADER,
            *(f"first.{state.name}" for state in self.kernel.states),
            *(f"last.{state.name}" for state in self.kernel.states),
            *(f"array.{array.name}" for array in self.kernel.arrays),
            *(f"matrix.{name}" for name in self.stacks),
        )

    @cached_property
    def group(self) -> int:
        """Rows that go through time together."""
        if not self.shape.amx:
            return self.tuning.row_group
        return 2 * LINES if self.packed_bytes > self.tuning.amx_wide_group else LINES

    @cached_property
    def operands(self) -> tuple[Node, ...]:
        """What the kernel's products multiply."""
        return tuple(dict.fromkeys(product.inputs[0] for product in self.kernel.products))

    # Packed weights --------------------------------------------------------------------------

    @cached_property
    def chunks(self) -> tuple[tuple[Chunk, ...], ...]:
        """For each phase its chunks."""
        by_phase: list[tuple[Chunk, ...]] = []
        offset = 0
        for phase in self.kernel.phases:
            chunks = chunked(phase.accumulators, self.shape, self.tuning, offset)
            offset += sum(chunk.packed(self.shape) for chunk in chunks)
            by_phase.append(chunks)
        return tuple(by_phase)

    @property
    def packed_bytes(self) -> int:
        """Memory for the packed weights: never none, so that a call always has its address."""
        numbers = sum(chunk.packed(self.shape) for chunks in self.chunks for chunk in chunks)
        return -(-numbers * self.lanes.bytes_each // _LINE) * _LINE + _LINE

    # Scratch memory --------------------------------------------------------------------------

    @cached_property
    def offsets(self) -> Mapping[object, int]:
        """Byte offsets in a thread's scratch memory; behind the last of them ``end``."""
        offsets: dict[object, int] = {}
        offset = 0
        for key, numbers in self._pieces():
            offsets[key] = offset
            offset += -(-numbers * self.lanes.bytes_each // _LINE) * _LINE
        return offsets | {"end": offset}

    def _pieces(self) -> Iterator[tuple[object, int]]:
        """What scratch memory holds, and how many numbers of each."""
        rows = self.group * self.shape.whole
        for state in self.kernel.states:
            yield ("state", state.name), rows * (2 if state.double else 1)
        for node in self.kernel.kept:
            yield ("kept", node), rows
        for node in self.kernel.averaged:
            yield ("partial", node), self.group * self.lanes.count
            yield ("mean", node), self.group
        if self.shape.amx:
            panels = self.group // LINES * self.shape.panel // self.lanes.bytes_each
            for node in self.operands:
                yield ("panels", node), panels
            yield "sizes", _LINE // self.lanes.bytes_each
        phases = zip(self.kernel.phases, self.chunks, strict=True)
        tiles = (
            (self.group if self.shape.amx else chunks[0].rows)
            * chunks[0].blocks
            * len(phase.accumulators)
            for phase, chunks in phases
            if chunks
        )
        yield "tile", max(tiles, default=0) * self.lanes.count

    @property
    def scratch_bytes(self) -> int:
        """Scratch memory of each thread."""
        return self.offsets["end"] + _APART
