"""From a kernel as data to LLVM assembly.

The order of the loops is row group -> step -> phase -> blocks of units -> tile of rows. Rows of a
batch do not depend on each other, so each thread walks its own through all steps and no thread
waits for another. A tile of products is accumulated in registers (`_micro`), put down in a few
cache lines, and the elementwise work is done from there row by row: the code of a phase stands in
the kernel once, whatever the size of the tile.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import takewhile
from typing import NamedTuple

from elman.backends.llvm import math
from elman.backends.llvm.builder import Function, Lanes, Value, integer, module, number
from elman.ir.graph import Node, Op
from elman.schedule.kernel import Accumulator, Kernel, Phase, Slot, State

HEADER = (
    "steps",
    "rows",
    "turn",
    "sizes",
    "starts",
    "lengths",
    "scratch",
    "packed",
    "thread",
    "threads",
    "indices",
)
"""The first words of a call's arguments; pointers to states, arrays and matrices follow."""

_ROW_GROUP = 48
"""Rows that go through time together: few enough that their states stay in the L1 and L2 caches,
many enough that a block of weights is read once for several tiles."""


_STRIP = 4
"""Rows that elementwise work without products does together."""


@dataclass(frozen=True)
class Shape:
    """How many units, and what vectors hold them."""

    hidden_size: int
    lanes: Lanes
    registers: int

    @property
    def blocks(self) -> int:
        """Vectors that hold one row of units."""
        return -(-self.hidden_size // self.lanes.count)

    @property
    def tail(self) -> int:
        """Units in the last vector; 0 when it is full."""
        return self.hidden_size % self.lanes.count

    @property
    def stride(self) -> int:
        """Numbers from one row of scratch memory to the next.

        Not a multiple of 4096 bytes, since the rows of a tile would then fight for one set of the
        cache.
        """
        whole = self.blocks * self.lanes.count
        return whole + self.lanes.count if whole * self.lanes.bytes_each % 1024 == 0 else whole


class Fetch(NamedTuple):
    """Lines of an array that a tile's elementwise work will touch in each row."""

    array: str
    following: bool
    """Whether in the step that comes next."""
    offsets: tuple[tuple[int, int], ...]
    """Bytes from the row's first, and 1 where the line will be written."""


class Run(NamedTuple):
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
    runs: tuple[Run, ...]
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
        return sum(len(run.members) for run in self.runs)


_LARGE = 4 << 20
"""Bytes of a phase's weights from which they come from the third cache or from memory."""


_FAR = 3 << 19
"""Bytes of a phase's weights that leave no room in a second cache for anything else."""
_FAR_AHEAD = 2048
"""So many bytes ahead weights from far away are asked for: the processor's own guess ends at the
next page, and pages are short beside a row of blocks. (Measured at H = 650: 15 % faster.)"""


def _tile(accumulators: int, blocks: int, registers: int, *, tall: bool) -> tuple[int, int, int]:
    """Accumulators of a chunk, blocks and rows of a tile that fits the registers.

    Beside the accumulators there must be room for the weights and a broadcast. A tall tile makes
    more of each vector of weights, a wide one more of each broadcast.
    """
    most, wide, budget = (3, 2, 12) if registers == 16 else (2, 2, 24) if tall else (6, 4, 24)
    chunks = -(-accumulators // most)
    widest = -(-accumulators // chunks)
    together = max(1, min(blocks, wide // widest))
    if widest * together == 3 and registers == 32:
        budget = 27
    return widest, together, max(1, budget // (widest * together))


def groups(blocks: int, most: int) -> list[tuple[int, int, int]]:
    """(first block, blocks in each group, number of groups): groups of nearly the same size."""
    count = -(-blocks // most)
    small, more = divmod(blocks, count)
    found = []
    if more:
        found.append((0, small + 1, more))
    if count > more:
        found.append((more * (small + 1), small, count - more))
    return found


class Emitter:
    """Writes the module of one kernel: ``pack`` and ``run``, each called by every thread."""

    def __init__(
        self,
        kernel: Kernel,
        shape: Shape,
        matrices: Mapping[str, tuple[str, int]],
        scalar: str,
    ) -> None:
        self.kernel = kernel
        self.shape = shape
        self.matrices = matrices
        self.lanes = shape.lanes
        self.scalar = scalar
        self.group = _ROW_GROUP
        self.micros: dict[str, Function] = {}
        self.stacks = tuple(
            dict.fromkeys(matrices[str(product.attr)][0] for product in kernel.products)
        )
        self.words = (
            *HEADER,
            *(f"first.{state.name}" for state in kernel.states),
            *(f"last.{state.name}" for state in kernel.states),
            *(f"array.{array.name}" for array in kernel.arrays),
            *(f"matrix.{name}" for name in self.stacks),
        )
        self.columns = {array.name: array.columns for array in kernel.arrays}
        self.optional = {array.name for array in kernel.arrays if array.optional}
        self.kinds = {array.name: array.kind for array in kernel.arrays}

    # -----------------------------------------------------------------------------------------
    # Sizes

    @cached_property
    def chunks(self) -> tuple[tuple[Chunk, ...], ...]:
        """For each phase its chunks."""
        found: list[tuple[Chunk, ...]] = []
        offset = 0
        for phase in self.kernel.phases:
            chunks: list[Chunk] = []
            total = len(phase.accumulators)
            products = sum(len(one.products) for one in phase.accumulators)
            weights = products * self.shape.hidden_size * self.shape.blocks * self.lanes.bytes
            # All chunks of a phase share their tile, since its elementwise work needs them all.
            widest, together, rows = _tile(
                max(total, 1), self.shape.blocks, self.shape.registers, tall=weights > _LARGE
            )
            count = -(-total // widest)
            first = 0
            for index in range(count):
                size = total // count + (index < total % count)
                members = phase.accumulators[first : first + size]
                chunk = Chunk(first, members, _runs(members), together, rows, offset, weights > _FAR)
                chunks.append(chunk)
                first += size
                offset += chunk.depth * self.shape.hidden_size * self.shape.blocks * self.lanes.count
            found.append(tuple(chunks))
        self._packed = offset
        return tuple(found)

    @property
    def packed_bytes(self) -> int:
        """Memory for the packed weights."""
        _ = self.chunks
        return self._packed * self.lanes.bytes_each + 64

    @cached_property
    def _places(self) -> dict[object, int]:
        """Byte offsets in a thread's scratch memory."""
        places: dict[object, int] = {}
        offset = 0

        def take(key: object, numbers: int) -> None:
            nonlocal offset
            places[key] = offset
            offset += -(-numbers * self.lanes.bytes_each // 64) * 64

        rows = self.group * self.shape.stride
        for state in self.kernel.states:
            take(("state", state.name), rows * (2 if state.double else 1))
        for node in self.kernel.kept:
            take(("kept", node), rows)
        for node in self.kernel.averaged:
            take(("partial", node), self.group * self.lanes.count)
            take(("mean", node), self.group)
        tile = max(
            (
                chunk.rows * chunk.blocks * len(phase.accumulators)
                for phase, chunks in zip(self.kernel.phases, self.chunks, strict=True)
                for chunk in chunks
            ),
            default=0,
        )
        take("tile", tile * self.lanes.count)
        places["end"] = offset
        return places

    @property
    def scratch_bytes(self) -> int:
        """Scratch memory of each thread."""
        # An odd number of cache lines, so that threads do not share sets of the cache.
        return int(self._places["end"]) + 4096 + 64

    # -----------------------------------------------------------------------------------------
    # The module

    def text(self) -> str:
        """The assembly."""
        run = _Run(self).function()
        pack = _Pack(self).function()
        return module(
            [*self.micros.values(), run, pack, _team("run", self.words), _team("pack", self.words)]
        )

    def micro(self, chunk: Chunk, blocks: int, rows: int, fetches: Sequence[Fetch]) -> str:
        """The name of the function that accumulates a tile of this size."""
        name = f"tile_{chunk.offset}_{blocks}x{rows}"
        if name not in self.micros:
            self.micros[name] = self._micro(name, chunk, blocks, rows, fetches)
        return name

    def _micro(
        self, name: str, chunk: Chunk, blocks: int, rows: int, fetches: Sequence[Fetch]
    ) -> Function:
        """All products of a tile: rows x blocks x accumulators, in registers from end to end.

        On the way it asks for the memory that the elementwise work after it will touch: a few
        lines now and then, so that they never stand in the way of the weights.
        """
        f = Function(
            name,
            [
                *(("ptr", f"x{index}") for index in range(len(chunk.runs))),
                ("ptr", "w"),
                ("ptr", "out"),
                *(("ptr", f"line{index}") for index in range(len(fetches))),
                *(("i64", f"next{index}") for index in range(len(fetches))),
            ],
            attributes="nounwind noinline",
        )
        operands, rest = f.arguments[: len(chunk.runs)], f.arguments[len(chunk.runs) :]
        weights, out, *memory = rest
        lines, strides = memory[: len(fetches)], memory[len(fetches) :]
        vector, size = self.lanes.type, self.lanes.bytes
        width = len(chunk.accumulators)
        sums = [number(vector, 0.0)] * (rows * blocks * width)
        for index, (run, operand) in enumerate(zip(chunk.runs, operands, strict=True)):
            multiply = partial(self._multiply, f, chunk, run, operand, blocks, rows)
            first: Value | int = 0
            if index == 0 and fetches:
                part = self.shape.hidden_size // rows

                def section(row: Value, carried: list[Value], multiply=multiply, part=part):
                    lines = carried[: len(fetches)]
                    for line, fetch in zip(lines, fetches, strict=True):
                        for offset, write in fetch.offsets:
                            for side in range(blocks):
                                f.prefetch(f.at(line, offset + side * size), write)
                    start = f.mul(row, integer("i64", part))
                    end = f.add(start, integer("i64", part))
                    results = f.loop(end, multiply, carried[len(fetches) :], start=start, stem="k")
                    ahead = [f.at(*pair) for pair in zip(lines, strides, strict=True)]
                    return [*ahead, *results]

                whole = f.loop(integer("i64", rows), section, [*lines, weights, *sums], stem="part")
                weights, *sums = whole[len(fetches) :]
                first = part * rows
                if first == self.shape.hidden_size:
                    continue
            count = integer("i64", self.shape.hidden_size)
            weights, *sums = f.loop(count, multiply, [weights, *sums], start=first, stem="k")
        for at, value in enumerate(sums):
            f.store(value, f.at(out, at * size), size)
        f.do("ret void")
        return f

    def _multiply(
        self,
        f: Function,
        chunk: Chunk,
        run: Run,
        operand: Value,
        blocks: int,
        rows: int,
        k: Value,
        carried: list[Value],
    ) -> list[Value]:
        """One unit of the operand: its row of weights times one number of each row."""
        weights, *sums = carried
        size, members, width = self.lanes.bytes, len(run.members), len(chunk.accumulators)
        loaded = [
            f.load(self.lanes.type, f.at(weights, at * size), size)
            for at in range(blocks * members)
        ]
        if chunk.far:
            for at in range(blocks * members):
                f.prefetch(f.at(weights, at * size + _FAR_AHEAD), write=0)
        here = f.at(operand, k, self.scalar)
        for row in range(rows):
            pointer = f.at(here, row * self.shape.stride * self.lanes.bytes_each)
            x = f.splat(f.load(self.scalar, pointer, self.lanes.bytes_each), self.lanes.count)
            for block in range(blocks):
                for member, (index, _) in enumerate(run.members):
                    at = (row * blocks + block) * width + index
                    sums[at] = f.fma(x, loaded[block * members + member], sums[at])
        return [f.at(weights, blocks * members * size), *sums]


def _runs(accumulators: Sequence[Accumulator]) -> tuple[Run, ...]:
    found: dict[tuple[Node, int], list[tuple[int, Node]]] = {}
    for index, accumulator in enumerate(accumulators):
        times: dict[Node, int] = {}
        for product in accumulator.products:
            operand = product.inputs[0]
            turn = times.get(operand, 0)
            times[operand] = turn + 1
            found.setdefault((operand, turn), []).append((index, product))
    return tuple(Run(operand, tuple(members)) for (operand, _), members in found.items())


def _team(name: str, words: Sequence[str]) -> Function:
    """The entry for a team of OpenMP threads: asks which thread it is and does that share."""
    f = Function(f"{name}_team", [("ptr", "args")], linkage="")
    (args,) = f.arguments
    numbers = []
    for word in ("thread", "threads"):
        pointer = f.load("ptr", f.at(args, 8 * words.index(word)), 8)
        numbers.append(f.cast("sext", f.emit("i32", f"call i32 {pointer}()"), "i64"))
    f.do(f"call void @{name}({args.typed}, {numbers[0].typed}, {numbers[1].typed})")
    f.do("ret void")
    return f


_SHARE = [("ptr", "args"), ("i64", "thread"), ("i64", "threads")]


class _Base:
    """What the functions that run in every thread have in common."""

    def __init__(self, emitter: Emitter, name: str) -> None:
        self.e = emitter
        self.shape = emitter.shape
        self.lanes = emitter.lanes
        self.f = Function(name, _SHARE, linkage="", attributes="nounwind")
        self.args, self.thread, self.threads = self.f.arguments

    def word(self, name: str, type_: str) -> Value:
        return self.f.load(type_, self.f.at(self.args, 8 * self.e.words.index(name)), 8)

    def vector(self, pointer: Value, *, tail: bool, align: int | None = None) -> Value:
        """Load a vector, or only the units of the last block."""
        align = align or self.lanes.bytes_each
        if not tail:
            return self.f.load(self.lanes.type, pointer, align)
        type_, mask, suffix = self._masked()
        declared = f"declare {type_} @llvm.masked.load.{suffix}.p0(ptr, i32, {mask[0]}, {type_})"
        self.f.declared.add(declared)
        operands = f"{pointer.typed}, i32 {align}, {mask[0]} {mask[1]}, {type_} zeroinitializer"
        return self.f.emit(type_, f"call {type_} @llvm.masked.load.{suffix}.p0({operands})")

    def put(self, value: Value, pointer: Value, *, tail: bool, align: int | None = None) -> None:
        """Store a vector, or only the units of the last block."""
        align = align or self.lanes.bytes_each
        if not tail:
            self.f.store(value, pointer, align)
            return
        type_, mask, suffix = self._masked()
        declared = f"declare void @llvm.masked.store.{suffix}.p0({type_}, ptr, i32, {mask[0]})"
        self.f.declared.add(declared)
        operands = f"{value.typed}, {pointer.typed}, i32 {align}, {mask[0]} {mask[1]}"
        self.f.do(f"call void @llvm.masked.store.{suffix}.p0({operands})")

    def _masked(self) -> tuple[str, tuple[str, str], str]:
        count = self.lanes.count
        bits = ", ".join(f"i1 {'true' if i < self.shape.tail else 'false'}" for i in range(count))
        suffix = f"v{count}f{8 * self.lanes.bytes_each}"
        return self.lanes.type, (f"<{count} x i1>", f"<{bits}>"), suffix

    def split_tail(self, block: Value, emit: Callable[[bool], None]) -> None:
        """Emit the work of a block; twice where the last block is not full."""
        if not self.shape.tail:
            emit(False)
            return
        f = self.f
        full, part, after = (f.fresh(name) for name in ("full.", "part.", "after."))
        last = integer("i64", self.shape.blocks - 1)
        f.branch(f.compare("slt", block, last), full, part)
        f.label(full)
        emit(False)
        f.jump(after)
        f.label(part)
        emit(True)
        f.jump(after)
        f.label(after)


class _Pack(_Base):
    """Weights in the order in which tiles read them: a straight line each."""

    def __init__(self, emitter: Emitter) -> None:
        super().__init__(emitter, "pack")

    def function(self) -> Function:
        f = self.f
        packed = self.word("packed", "ptr")
        matrices = {name: self.word(f"matrix.{name}", "ptr") for name in self.e.stacks}
        for chunks in self.e.chunks:
            for chunk in chunks:
                for first, blocks, count in groups(self.shape.blocks, chunk.blocks):
                    self._groups(chunk, first, blocks, count, packed, matrices)
        f.do("ret void")
        return f

    def _groups(
        self,
        chunk: Chunk,
        first: int,
        blocks: int,
        count: int,
        packed: Value,
        matrices: Mapping[str, Value],
    ) -> None:
        f, size = self.f, self.shape.hidden_size

        def body(index: Value, _: list[Value]) -> list[Value]:
            block = f.add(f.mul(index, integer("i64", blocks)), integer("i64", first))
            numbers = chunk.depth * size * self.lanes.count
            start = f.at(packed, chunk.offset * self.lanes.bytes_each)
            start = f.at(start, f.mul(block, integer("i64", numbers)), self.e.scalar)
            done = 0
            for run in chunk.runs:
                wide = blocks * len(run.members)
                for side in range(blocks):
                    here = f.add(block, integer("i64", side))
                    for at, (_, product) in enumerate(run.members):
                        stack, position = self.e.matrices[str(product.attr)]
                        matrix = f.at(
                            matrices[stack], position * size * size * self.lanes.bytes_each
                        )
                        column = side * len(run.members) + at
                        to = f.at(start, (done + column) * self.lanes.bytes)
                        self._column(product, matrix, here, to, wide)
                done += wide * size
            return []

        f.loop(integer("i64", count), body, start=self.thread, step=self.threads, stem="group")

    def _column(self, product: Node, matrix: Value, block: Value, to: Value, wide: int) -> None:
        """One vector a step of the operand, every ``wide`` vectors."""
        f, size, lanes = self.f, self.shape.hidden_size, self.lanes
        across = product.op is Op.TRANSPOSED
        unit = f.mul(block, integer("i64", lanes.count))
        start = f.at(matrix, unit if across else f.mul(unit, integer("i64", size)), self.e.scalar)

        def emit(tail: bool) -> None:
            def body(k: Value, _: list[Value]) -> list[Value]:
                if across:
                    row = f.at(start, f.mul(k, integer("i64", size)), self.e.scalar)
                    vector = self.vector(row, tail=tail)
                else:
                    vector = self._gather(f.at(start, k, self.e.scalar), tail)
                place = f.at(to, f.mul(k, integer("i64", wide * lanes.bytes)))
                f.store(vector, place, lanes.bytes)
                return []

            f.loop(integer("i64", size), body, stem="k")

        self.split_tail(block, emit)

    def _gather(self, pointer: Value, tail: bool) -> Value:
        f, lanes = self.f, self.lanes
        vector = number(lanes.type, 0.0)
        for lane in range(self.shape.tail if tail else lanes.count):
            place = f.at(pointer, lane * self.shape.hidden_size * lanes.bytes_each)
            one = f.load(self.e.scalar, place, lanes.bytes_each)
            vector = f.emit(
                lanes.type, f"insertelement {vector.typed}, {one.typed}, i64 {lane}"
            )
        return vector


@dataclass
class _Place:
    """Where in the batch the code that is being emitted stands."""

    token: Value
    """The first row's token."""
    following: Value
    """Its token in the step that comes next."""
    row: Value
    """The first row's number in the batch."""
    buffers: Mapping[str, tuple[Value, Value]]
    """For each state where it is read and where its next value is written."""


class _Run(_Base):
    """The loop itself."""

    def __init__(self, emitter: Emitter) -> None:
        super().__init__(emitter, "run")
        self.kernel = emitter.kernel
        self.zero = integer("i64", 0)

    def function(self) -> Function:
        f = self.f
        self.old_mode = self._flush_subnormals()
        names = ("steps", "rows", "turn")
        self.steps, self.rows, self.turn = (self.word(name, "i64") for name in names)
        self.sizes, self.starts, self.lengths = (
            self.word(name, "ptr") for name in ("sizes", "starts", "lengths")
        )
        self.packed = self.word("packed", "ptr")
        scratch = self.word("scratch", "ptr")
        own = f.mul(self.thread, integer("i64", self.e.scratch_bytes))
        self.scratch = f.at(scratch, own)
        self.arrays = {
            array.name: self.word(f"array.{array.name}", "ptr") for array in self.kernel.arrays
        }
        self.indices = self.word("indices", "ptr")
        self._own_totals()
        # Thread j has the rows j, j + threads, ...: the longest rows come first in a batch, so
        # all threads have nearly the same number of tokens.
        mine = self._ceil(f.sub(self.rows, self.thread), self.threads)
        self.mine = mine
        f.loop(mine, self._group, step=self.e.group, stem="group")
        self._restore_subnormals(self.old_mode)
        f.do("ret void")
        return f

    def _ceil(self, count: Value, parts: Value) -> Value:
        f = self.f
        more = f.add(count, f.sub(parts, integer("i64", 1)))
        positive = f.select(f.compare("sgt", more, self.zero), more, self.zero)
        return f.emit("i64", f"udiv {positive.typed}, {parts}")

    def _least(self, left: Value, right: Value) -> Value:
        return self.f.select(self.f.compare("slt", left, right), left, right)

    def _own_totals(self) -> None:
        """Each thread sums into memory of its own; the caller adds them up in a fixed order."""
        f = self.f
        for array in self.kernel.arrays:
            if array.kind == "total":
                numbers = array.columns * self.shape.blocks * self.lanes.count
                own = f.mul(self.thread, integer("i64", numbers))
                self.arrays[array.name] = f.at(self.arrays[array.name], own, self.e.scalar)

    # Subnormal numbers -----------------------------------------------------------------------

    def _flush_subnormals(self) -> Value | None:
        """Decayed states become subnormal, and arithmetic on those takes 100 times as long."""
        from elman.backends.llvm.engine import is_x86

        if not is_x86():
            return None
        f = self.f
        f.declared.add("declare void @llvm.x86.sse.stmxcsr(ptr)")
        f.declared.add("declare void @llvm.x86.sse.ldmxcsr(ptr)")
        old = f.emit("ptr", "alloca i32, align 4")
        new = f.emit("ptr", "alloca i32, align 4")
        f.do(f"call void @llvm.x86.sse.stmxcsr({old.typed})")
        mode = f.load("i32", old)
        # Flush to zero (bit 15) and denormals are zero (bit 6).
        f.store(f.emit("i32", f"or {mode.typed}, {0x8040}"), new)
        f.do(f"call void @llvm.x86.sse.ldmxcsr({new.typed})")
        return old

    def _restore_subnormals(self, old: Value | None) -> None:
        if old is not None:
            self.f.do(f"call void @llvm.x86.sse.ldmxcsr({old.typed})")

    # Groups of rows --------------------------------------------------------------------------

    def _group(self, first: Value, _: list[Value]) -> list[Value]:
        f = self.f
        count = self._least(f.sub(self.mine, first), integer("i64", self.e.group))
        self.first, self.count = first, count
        self._begin()
        doubles = [state for state in self.kernel.states if state.double]
        pairs = [pointer for state in doubles for pointer in self._buffers(state)]

        def body(step: Value, carried: list[Value]) -> list[Value]:
            up = f.compare("sgt", self.turn, self.zero)
            other = f.sub(f.sub(self.steps, integer("i64", 1)), step)
            self._step(f.select(up, step, other), dict(_pairs(doubles, carried)))
            return [pointer for pair in _twos(carried) for pointer in reversed(pair)]

        f.loop(self.steps, body, pairs, stem="step")
        self._end()
        return []

    def _buffers(self, state: State) -> tuple[Value, Value]:
        start = self.f.at(self.scratch, self.e._places["state", state.name])
        if not state.double:
            return start, start
        half = self.e.group * self.shape.stride * self.lanes.bytes_each
        return start, self.f.at(start, half)

    def _each_unit(
        self,
        rows: Value,
        outside: Value,
        inside: Value,
        copy: Callable[[Value, Value, bool], None],
    ) -> None:
        """Copy between a state of the whole batch (B, H) and this group's scratch memory."""
        f = self.f

        def row(index: Value, _: list[Value]) -> list[Value]:
            number_ = self._row_of(index)
            there = f.at(
                outside, f.mul(number_, integer("i64", self.shape.hidden_size)), self.e.scalar
            )
            here = f.at(inside, f.mul(index, integer("i64", self.shape.stride)), self.e.scalar)

            def block(at: Value, _: list[Value]) -> list[Value]:
                move = f.mul(at, integer("i64", self.lanes.count))
                out, scratch = f.at(there, move, self.e.scalar), f.at(here, move, self.e.scalar)
                self.split_tail(at, lambda tail: copy(out, scratch, tail))
                return []

            f.loop(integer("i64", self.shape.blocks), block, stem="block")
            return []

        f.loop(rows, row, stem="row")

    def _row_of(self, index: Value) -> Value:
        """The number in the batch of a row of this group."""
        f = self.f
        return f.add(self.thread, f.mul(f.add(self.first, index), self.threads))

    def _begin(self) -> None:
        for state in self.kernel.states:
            outside = self.word(f"first.{state.name}", "ptr")
            for inside in dict.fromkeys(self._buffers(state)):

                def copy(there: Value, here: Value, tail: bool) -> None:
                    self.f.store(self.vector(there, tail=tail), here, self.lanes.bytes)

                self._each_unit(self.count, outside, inside, copy)

    def _end(self) -> None:
        """The last states: of a double one the half that each row's own last step wrote."""
        f = self.f
        for state in self.kernel.states:
            outside = self.word(f"last.{state.name}", "ptr")
            first, second = self._buffers(state)

            def copy(there: Value, here: Value, tail: bool) -> None:
                value = f.load(self.lanes.type, here, self.lanes.bytes)
                self.put(value, there, tail=tail)

            if not state.double:
                self._each_unit(self.count, outside, first, copy)
                continue

            def row(index: Value, _: list[Value], outside=outside, first=first, second=second):
                place = f.at(self.lengths, self._row_of(index), "i64")
                up = f.compare("sgt", self.turn, self.zero)
                steps = f.select(up, f.load("i64", place, 8), self.steps)
                odd = f.emit("i64", f"and {steps.typed}, 1")
                half = f.select(f.compare("eq", odd, self.zero), first, second)
                stride = integer("i64", self.shape.stride)
                here = f.at(half, f.mul(index, stride), self.e.scalar)
                size = integer("i64", self.shape.hidden_size)
                there = f.at(outside, f.mul(self._row_of(index), size), self.e.scalar)

                def block(at: Value, _: list[Value]) -> list[Value]:
                    move = f.mul(at, integer("i64", self.lanes.count))
                    out, scratch = f.at(there, move, self.e.scalar), f.at(here, move, self.e.scalar)
                    self.split_tail(at, lambda tail: copy(out, scratch, tail))
                    return []

                f.loop(integer("i64", self.shape.blocks), block, stem="block")
                return []

            f.loop(self.count, row, stem="row")

    # Steps -----------------------------------------------------------------------------------

    def _step(self, t: Value, doubles: Mapping[State, tuple[Value, Value]]) -> None:
        f = self.f
        size = f.load("i64", f.at(self.sizes, t, "i64"), 8)
        start = f.load("i64", f.at(self.starts, t, "i64"), 8)
        running = f.sub(self._ceil(f.sub(size, self.thread), self.threads), self.first)
        active = self._least(running, self.count)
        row = self._row_of(self.zero)
        buffers = {
            state.name: doubles.get(state) or self._buffers(state) for state in self.kernel.states
        }
        beside = f.add(t, self.turn)
        inside = f.compare("ult", beside, self.steps)
        beside = f.load("i64", f.at(self.starts, f.select(inside, beside, t), "i64"), 8)
        place = _Place(f.add(start, row), f.add(beside, row), row, buffers)
        with f.when(f.compare("sgt", active, self.zero)):
            for index, phase in enumerate(self.kernel.phases):
                f.comment(f"phase {index}")
                self._means(index, active)
                self._phase(index, phase, active, place)

    def _means(self, index: int, active: Value) -> None:
        """Finish the means that the phase before has summed, and clear those to come."""
        f, lanes = self.f, self.lanes
        done = self.kernel.phases[index - 1].averaged if index else ()
        share = number(self.e.scalar, 1.0 / self.shape.hidden_size)
        for node in done:

            def finish(row: Value, _: list[Value], node: Node = node) -> list[Value]:
                total = f.load(lanes.type, self._partial(node, row), lanes.bytes)
                mean = f.fmul(self._across(total), share)
                f.store(mean, self._mean(node, row), lanes.bytes_each)
                return []

            f.loop(active, finish, stem="mean")
        for node in self.kernel.phases[index].averaged:

            def clear(row: Value, _: list[Value], node: Node = node) -> list[Value]:
                f.store(number(lanes.type, 0.0), self._partial(node, row), lanes.bytes)
                return []

            f.loop(active, clear, stem="clear")

    def _across(self, vector: Value) -> Value:
        """The sum of a vector's lanes."""
        lanes, f = self.lanes, self.f
        suffix = f"v{lanes.count}f{8 * lanes.bytes_each}"
        name = f"@llvm.vector.reduce.fadd.{suffix}"
        f.declared.add(f"declare {self.e.scalar} {name}({self.e.scalar}, {lanes.type})")
        start = number(self.e.scalar, 0.0)
        return f.emit(
            self.e.scalar, f"call reassoc {self.e.scalar} {name}({start.typed}, {vector.typed})"
        )

    def _partial(self, node: Node, row: Value) -> Value:
        f = self.f
        start = f.at(self.scratch, self.e._places["partial", node])
        return f.at(start, f.mul(row, integer("i64", self.lanes.bytes)))

    def _mean(self, node: Node, row: Value) -> Value:
        start = self.f.at(self.scratch, self.e._places["mean", node])
        return self.f.at(start, row, self.e.scalar)

    # Phases ----------------------------------------------------------------------------------

    def _phase(self, index: int, phase: Phase, active: Value, place: _Place) -> None:
        chunks = self.e.chunks[index]
        if not phase.roots:
            return
        if not chunks:
            self._strips(index, phase, active, place)
            return
        for group in groups(self.shape.blocks, chunks[0].blocks):
            self._tiles(index, phase, group, chunks[0].rows, active, place)

    def _strips(self, index: int, phase: Phase, active: Value, place: _Place) -> None:
        """Elementwise work alone, a few rows at a time, so that memory is read in straight lines:
        the processor follows some dozens of those by itself."""
        f = self.f
        whole = integer("i64", self.shape.blocks)

        def strip(start: Value, _: list[Value]) -> list[Value]:
            end = self._least(f.add(start, integer("i64", _STRIP)), active)
            self._blocks(index, phase, self.zero, whole, start, end, place, tile=None)
            return []

        f.loop(active, strip, step=_STRIP, stem="strip")

    def _tiles(
        self,
        index: int,
        phase: Phase,
        group: tuple[int, int, int],
        rows: int,
        active: Value,
        place: _Place,
    ) -> None:
        """All groups of so many blocks, each by tiles of rows of nearly the same height."""
        f = self.f
        first, blocks, count = group
        tiles = f.emit(
            "i64", f"udiv {f.add(active, integer('i64', rows - 1)).typed}, {rows}"
        )
        small = f.emit("i64", f"udiv {active.typed}, {tiles}")
        more = f.emit("i64", f"urem {active.typed}, {tiles}")

        def each_group(number_: Value, _: list[Value]) -> list[Value]:
            block = f.add(f.mul(number_, integer("i64", blocks)), integer("i64", first))

            def each_tile(tile: Value, carried: list[Value]) -> list[Value]:
                (start,) = carried
                extra = f.cast("zext", f.compare("slt", tile, more), "i64")
                height = f.add(small, extra)
                self._accumulate(index, phase, blocks, rows, block, start, height, place)
                end = f.add(start, height)
                last = f.add(block, integer("i64", blocks))
                self._blocks(index, phase, block, last, start, end, place, tile=blocks)
                return [end]

            f.loop(tiles, each_tile, [self.zero], stem="tile")
            return []

        f.loop(integer("i64", count), each_group, stem="units")

    def _accumulate(
        self,
        index: int,
        phase: Phase,
        blocks: int,
        rows: int,
        block: Value,
        start: Value,
        height: Value,
        place: _Place,
    ) -> None:
        f, lanes = self.f, self.lanes
        fetches = self._fetches(phase)
        tile = f.at(self.scratch, self.e._places["tile"])
        done = 0
        for chunk in self.e.chunks[index]:
            depth = chunk.depth * self.shape.hidden_size * lanes.bytes
            weights = f.at(self.packed, chunk.offset * lanes.bytes_each)
            weights = f.at(weights, f.mul(block, integer("i64", depth)))
            stride = f.mul(start, integer("i64", self.shape.stride))
            operands = [
                f.at(self._operand(run.operand, place), stride, self.e.scalar)
                for run in chunk.runs
            ]
            out = f.at(tile, done * rows * blocks * lanes.bytes)
            done += len(chunk.accumulators)
            memory = self._lines(fetches, block, start, place)
            listed = ", ".join(value.typed for value in (*operands, weights, out, *memory))
            after = f.fresh("accumulated.")
            labels = [f.fresh(f"rows{count}.") for count in range(1, rows + 1)]
            cases = " ".join(
                f"i64 {count}, label %{label}" for count, label in enumerate(labels, 1)
            )
            f.do(f"switch {height.typed}, label %{labels[-1]} [ {cases} ]")
            for count, label in enumerate(labels, 1):
                f.label(label)
                f.do(f"call void @{self.e.micro(chunk, blocks, count, fetches)}({listed})")
                f.jump(after)
            f.label(after)
            fetches = ()

    def _fetches(self, phase: Phase) -> tuple[Fetch, ...]:
        """What to ask for while products are accumulated, array by array.

        Phases without products have no time to wait for memory, so the phase with products
        before them asks in their place, and the last one of a step for the step that follows.
        """
        phases = self.kernel.phases
        at = phases.index(phase)
        later = [one for one in range(at + 1, len(phases)) if phases[one].accumulators]
        same = phases[at : later[0] if later else len(phases)]
        ahead = [] if later else list(takewhile(lambda one: not one.accumulators, phases))
        size = self.shape.hidden_size * self.lanes.bytes_each
        found: dict[tuple[str, bool], list[tuple[int, int]]] = {}
        for served, following in ((same, False), (ahead, True)):
            lines: dict[Slot, int] = {}
            for one in served:
                lines |= {self.kernel.leaves[node]: 0 for node in self._read(one)}
            for one in served:
                lines |= {slot: 1 for _, slot in one.stores}
            for slot, write in lines.items():
                if self.e.kinds[slot.array] == "token":
                    offsets = found.setdefault((slot.array, following), [])
                    offsets.append((slot.column * size, write))
        return tuple(Fetch(*key, tuple(offsets)) for key, offsets in found.items())

    def _lines(
        self, fetches: Sequence[Fetch], block: Value, start: Value, place: _Place
    ) -> list[Value]:
        """For each array its place in the tile's first row, then the bytes to the next row."""
        f = self.f
        row = f.mul(start, self.threads)
        unit = f.mul(block, integer("i64", self.lanes.count))
        firsts, strides = [], []
        for fetch in fetches:
            token = f.add(place.following if fetch.following else place.token, row)
            width = self.e.columns[fetch.array] * self.shape.hidden_size
            offset = f.add(f.mul(token, integer("i64", width)), unit)
            firsts.append(f.at(self.arrays[fetch.array], offset, self.e.scalar))
            strides.append(f.mul(self.threads, integer("i64", width * self.lanes.bytes_each)))
        return [*firsts, *strides]

    def _read(self, phase: Phase) -> Iterator[Node]:
        """The leaves that a phase loads."""
        before: set[Node] = set()
        for one in self.kernel.phases:
            if one is phase:
                break
            before.update(one.kept)
        accumulators = {one.node for one in phase.accumulators}
        seen: set[Node] = set()
        pending = list(phase.roots)
        while pending:
            node = pending.pop()
            if node in seen:
                continue
            seen.add(node)
            if node in self.kernel.leaves:
                yield node
            elif node not in before and node not in accumulators and node.op is not Op.MEAN:
                pending.extend(node.inputs)

    def _operand(self, node: Node, place: _Place) -> Value:
        for state in self.kernel.states:
            if state.now is node:
                return place.buffers[state.name][0]
        return self.f.at(self.scratch, self.e._places["kept", node])

    # Elementwise work ------------------------------------------------------------------------

    def _blocks(
        self,
        index: int,
        phase: Phase,
        first: Value,
        last: Value,
        start: Value,
        end: Value,
        place: _Place,
        tile: int | None,
    ) -> None:
        """The elementwise work of these blocks of units, for the rows from start to end."""
        f = self.f

        def block(at: Value, _: list[Value]) -> list[Value]:
            side = f.sub(at, first)

            def emit(tail: bool) -> None:
                _Pointwise(self, index, phase, at, side, start, end, place, tile, tail).emit()

            self.split_tail(at, emit)
            return []

        f.loop(last, block, start=first, stem="block")


class _Pointwise:
    """One block of units of a phase: a loop over rows."""

    def __init__(
        self,
        run: _Run,
        index: int,
        phase: Phase,
        block: Value,
        side: Value,
        start: Value,
        end: Value,
        place: _Place,
        tile: int | None,
        tail: bool,
    ) -> None:
        self.run, self.f, self.e, self.lanes = run, run.f, run.e, run.lanes
        self.index, self.phase, self.tile, self.tail = index, phase, tile, tail
        self.side, self.start, self.end, self.place = side, start, end, place
        self.unit = self.f.mul(block, integer("i64", self.lanes.count))
        self.states = {state.now: state for state in run.kernel.states}
        self.kept_before = {
            node for phase in run.kernel.phases[:index] for node in phase.kept
        }
        self.accumulators = {one.node: at for at, one in enumerate(phase.accumulators)}

    def emit(self) -> None:
        self.fixed: dict[Node, Value] = {}
        for node in self.run._read(self.phase):
            slot = self.run.kernel.leaves.get(node)
            if slot is not None and self.e.kinds[slot.array] == "parameter":
                self.fixed[node] = self.run.vector(self._parameter(slot), tail=self.tail)
        totals = [number(self.lanes.type, 0.0)] * len(self.phase.totals)
        sums = self.f.loop(self.end, self._row, totals, start=self.start, stem="row")
        for (_, slot), total in zip(self.phase.totals, sums, strict=True):
            blocks = self.run.shape.blocks * self.lanes.count * slot.column
            start = self.f.at(self.run.arrays[slot.array], blocks * self.lanes.bytes_each)
            pointer = self.f.at(start, self.unit, self.e.scalar)
            former = self.f.load(self.lanes.type, pointer, self.lanes.bytes_each)
            self.f.store(self.f.fadd(former, total), pointer, self.lanes.bytes_each)

    def _parameter(self, slot: Slot) -> Value:
        size = self.run.shape.hidden_size * slot.column * self.lanes.bytes_each
        start = self.f.at(self.run.arrays[slot.array], size)
        return self.f.at(start, self.unit, self.e.scalar)

    def _row(self, row: Value, totals: list[Value]) -> list[Value]:
        f, run = self.f, self.run
        self.row = row
        ahead = f.mul(row, run.threads)
        self.token = f.add(self.place.token, ahead)
        self.batch_row = f.add(self.place.row, ahead)
        self.pointers: dict[str, Value] = {}
        self.values: dict[Node, Value] = dict(self.fixed)
        results = {root: self._value(root) for root in self.phase.roots}
        for node, slot in self.phase.stores:
            self._store(results[node], slot)
        for node in self.phase.kept:
            f.store(results[node], self._scratch(("kept", node)), self.lanes.bytes)
        for state in self.phase.states:
            pointer = self._in_scratch(self.place.buffers[state.name][1])
            f.store(results[state.next], pointer, self.lanes.bytes)
        for node in self.phase.averaged:
            self._average(node, results[node])
        return [
            f.fadd(total, results[node])
            for total, (node, _) in zip(totals, self.phase.totals, strict=True)
        ]

    def _average(self, node: Node, value: Value) -> None:
        f = self.f
        if self.tail:
            _, (type_, mask), _ = self.run._masked()
            value = f.select(Value(type_, mask), value, number(self.lanes.type, 0.0))
        pointer = self.run._partial(node, self.row)
        former = f.load(self.lanes.type, pointer, self.lanes.bytes)
        f.store(f.fadd(former, value), pointer, self.lanes.bytes)

    def _scratch(self, key: object) -> Value:
        return self._in_scratch(self.f.at(self.run.scratch, self.e._places[key]))

    def _in_scratch(self, start: Value) -> Value:
        f = self.f
        row = f.mul(self.row, integer("i64", self.run.shape.stride))
        return f.at(start, f.add(row, self.unit), self.e.scalar)

    def _outside(self, slot: Slot) -> Value:
        """Where the vector of this row and block lies in an array outside."""
        f, size = self.f, self.run.shape.hidden_size
        if slot.array not in self.pointers:
            kind, columns = self.e.kinds[slot.array], self.e.columns[slot.array]
            at = self.batch_row if kind == "row" else self.token
            if kind == "indexed":
                at = f.load("i64", f.at(self.run.indices, self.token, "i64"), 8)
            width = columns if kind == "scalar" else columns * size
            start = f.mul(at, integer("i64", width))
            if kind != "scalar":
                start = f.add(start, self.unit)
            self.pointers[slot.array] = f.at(self.run.arrays[slot.array], start, self.e.scalar)
        width = 1 if self.e.kinds[slot.array] == "scalar" else size
        return f.at(self.pointers[slot.array], slot.column * width * self.lanes.bytes_each)

    def _store(self, value: Value, slot: Slot) -> None:
        pointer = self._outside(slot)
        if self.e.kinds[slot.array] == "scalar":
            one = self.f.emit(self.e.scalar, f"extractelement {value.typed}, i64 0")
            self.f.store(one, pointer, self.lanes.bytes_each)
        elif slot.array in self.e.optional:
            base = self.run.arrays[slot.array]
            with self.f.when(self.f.compare("ne", base, Value("ptr", "null"))):
                self.run.put(value, pointer, tail=self.tail)
        else:
            self.run.put(value, pointer, tail=self.tail)

    def _value(self, node: Node) -> Value:
        """The value of a node for this row and block; an explicit stack, as graphs can be deep."""
        pending = [node]
        while pending:
            one = pending[-1]
            if one in self.values:
                pending.pop()
                continue
            value = self._ready(one)
            if value is None:
                missing = [operand for operand in one.inputs if operand not in self.values]
                if missing:
                    pending.extend(reversed(missing))
                    continue
                operands = [self.values[operand] for operand in one.inputs]
                value = math.emit(self.f, one.op, *operands)
            self.values[one] = value
            pending.pop()
        return self.values[node]

    def _ready(self, node: Node) -> Value | None:
        """What is loaded rather than computed."""
        f, lanes = self.f, self.lanes
        slot = self.run.kernel.leaves.get(node)
        if slot is not None:
            return self._leaf(slot)
        if node in self.states:
            pointer = self._in_scratch(self.place.buffers[self.states[node].name][0])
            return f.load(lanes.type, pointer, lanes.bytes)
        if node.op is Op.CONSTANT:
            return number(lanes.type, float(node.attr or 0.0))
        if node in self.accumulators:
            return self._accumulated(self.accumulators[node])
        if node.op is Op.MEAN:
            mean = f.load(self.e.scalar, self.run._mean(node.inputs[0], self.row), lanes.bytes_each)
            return f.splat(mean, lanes.count)
        if node in self.kept_before:
            return f.load(lanes.type, self._scratch(("kept", node)), lanes.bytes)
        return None

    def _leaf(self, slot: Slot) -> Value:
        pointer = self._outside(slot)
        if self.e.kinds[slot.array] == "scalar":
            one = self.f.load(self.e.scalar, pointer, self.lanes.bytes_each)
            return self.f.splat(one, self.lanes.count)
        return self.run.vector(pointer, tail=self.tail)

    def _accumulated(self, at: int) -> Value:
        """One vector of the tile: [chunk][row][block][accumulator]."""
        f, blocks = self.f, self.tile or 1
        chunks = self.e.chunks[self.index]
        chunk = next(one for one in chunks if at < one.first + len(one.accumulators))
        rows = chunk.rows
        width = len(chunk.accumulators)
        local = f.sub(self.row, self.start)
        index = f.add(f.mul(local, integer("i64", blocks)), self.side)
        index = f.add(f.mul(index, integer("i64", width)), integer("i64", at - chunk.first))
        start = self.run.e._places["tile"] + chunk.first * rows * blocks * self.lanes.bytes
        pointer = f.at(f.at(self.run.scratch, start), f.mul(index, integer("i64", self.lanes.bytes)))
        return f.load(self.lanes.type, pointer, self.lanes.bytes)


def _twos(values: Sequence[Value]) -> Iterator[tuple[Value, Value]]:
    return zip(values[::2], values[1::2], strict=True)


def _pairs(
    states: Sequence[State], values: Sequence[Value]
) -> Iterator[tuple[State, tuple[Value, Value]]]:
    return zip(states, _twos(values), strict=True)
