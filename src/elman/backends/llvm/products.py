"""Products of large matrices on matrix tiles: those before and after the loop.

Each thread has a part of the result, by rows or by columns. A block of the right operand is split
and laid out so that it stays in the second cache, a panel of the left one so that it stays in the
first; four tiles of sums then run down both (Goto and van de Geijn, "Anatomy of High-Performance
Matrix Multiplication", 2008). A result is the same whatever the number of threads.
"""

import ctypes
import math
import threading
from functools import cache, partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from elman.backends.llvm import amx, engine, panels, splits, subnormals, threads
from elman.backends.llvm import cache as kept
from elman.backends.llvm.builder import Function, Value, integer, module
from elman.backends.llvm.entry import WORD, team
from elman.backends.llvm.splits import LANES, LINES, PIECE

_WORDS = (
    "m",
    "n",
    "k",
    "a",
    "a_step",
    "b",
    "b_step",
    "c",
    "c_step",
    "scratch",
    "thread",
    "threads",
)
"""A (M, K), B (K, N) and C (M, N), with the bytes from one line of memory to the next."""
_DEPTH = 256
"""Units of a block."""
_WIDTH = 512
"""Columns of a block of the right operand: with its depth 768 KiB, half of a second cache."""

_PANEL = _DEPTH // amx.DEPTH * PIECE
_EDGE = LINES * LINES * LANES.bytes_each
_SCRATCH = _PANEL + _WIDTH // LINES * _PANEL + _EDGE + 64
"""Bytes of a thread's memory: a left panel, a block of right ones, tiles at the edges."""

_ZERO = integer("i64", 0)

_LEAST_WORK = 1 << 20
_LEAST_SIDE = 64
"""Smaller products are torch's: most of each tile would be empty."""


def product(left: Tensor, right: Tensor, out: Tensor | None = None) -> Tensor:
    """The product of two matrices; on matrix tiles where there are any, else torch's.

    Args:
        left: (M, K).
        right: (K, N).
        out: where the result goes, (M, N), each row in one piece of memory.
    """
    if not by_tiles(left, right):
        return torch.mm(left, right, out=out)
    (rows, depth), columns = left.shape, right.shape[1]
    forms = _form(left), _form(right.t())
    if out is None:
        out = left.new_empty(rows, columns)
    work = rows * columns * depth // (1 << 20)
    panels = -(-max(rows, columns) // LINES)
    count = max(1, min(torch.get_num_threads(), panels, work))
    steps = (max(one.stride()) for one in (left, right))
    found = _compiled()[f"product_{forms[0]}_{forms[1]}"]
    group = threads.team() if count > 1 else None
    a_step, b_step = (4 * step for step in steps)
    memory = _memory(count * _SCRATCH + 64)
    words = _Words(
        *(rows, columns, depth, left.data_ptr(), a_step, right.data_ptr(), b_step),
        *(out.data_ptr(), 4 * out.stride(0), -(-memory.data_ptr() // 64) * 64),
        *((group.thread, group.threads) if group else (0, 0)),
    )
    address = ctypes.addressof(words)
    if count == 1:
        found.alone(address, 0, 1)
    elif group is not None:
        group.parallel(found.team, address, count, 0)
    else:
        threads.in_pool(lambda index: found.alone(address, index, count), count)
    return out


def by_tiles(left: Tensor, right: Tensor) -> bool:
    """Whether tiles multiply these faster than torch does."""
    sides = (*left.shape, right.shape[1])
    if min(sides) < _LEAST_SIDE or left.dtype is not torch.float32 or not engine.host().tiles:
        return False
    return math.prod(sides) >= _LEAST_WORK and None not in (_form(left), _form(right.t()))


def _form(lines: Tensor) -> str | None:
    """How lines of units lie: one after the other, or side by side."""
    if lines.stride(1) == 1 and lines.stride(0) >= lines.shape[1]:
        return "along"
    return "across" if lines.stride(0) == 1 and lines.stride(1) >= lines.shape[0] else None


_Words: Any = ctypes.c_int64 * len(_WORDS)
_own = threading.local()


def _memory(size: int) -> Tensor:
    """This thread's scratch memory, kept: fresh pages cost more than a small product."""
    found: Tensor | None = getattr(_own, "memory", None)
    if found is None or len(found) < size:
        found = _own.memory = torch.empty(size, dtype=torch.uint8)
    return found


class _Entries(NamedTuple):
    alone: Any
    team: int
    alive: Any


_FORMS = (("along", "along"), ("along", "across"), ("across", "across"), ("across", "along"))
_Entry: Any = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)


@cache
def _compiled() -> dict[str, _Entries]:
    names = [f"product_{left}_{right}" for left, right in _FORMS]
    exported = (*names, *(f"{name}_team" for name in names))
    alive, addresses = kept.load(kept.Fixed("products", text), exported)
    return {
        name: _Entries(_Entry(addresses[name]), addresses[f"{name}_team"], alive) for name in names
    }


def text() -> str:
    """The assembly of the products in all forms."""
    functions = panels.functions()
    for left, right in _FORMS:
        functions += [_Product(left, right).function(), team(f"product_{left}_{right}", _WORDS)]
    return module(functions)


# ---------------------------------------------------------------------------------------------
# The loops around them


class _Product:
    """The function of one form: a thread's part of a product."""

    def __init__(self, left: str, right: str) -> None:
        self.forms = left, right
        arguments = [("ptr", "args"), ("i64", "thread"), ("i64", "threads")]
        self.f = Function(f"product_{left}_{right}", arguments, linkage="")

    def function(self) -> Function:
        """The function."""
        f = self.f
        args, thread, threads = f.arguments
        types = ("i64", "i64", "i64", "ptr", "i64", "ptr", "i64", "ptr", "i64", "ptr")
        words = [f.load(type_, f.at(args, WORD * at), WORD) for at, type_ in enumerate(types)]
        m, n, self.k, self.a, self.a_step, self.b, self.b_step, self.c, self.c_step, scratch = words
        self.panel = f.at(scratch, f.mul(thread, integer("i64", _SCRATCH)))
        self.block = f.at(self.panel, _PANEL)
        self.edge = f.at(self.block, _WIDTH // LINES * _PANEL)
        tall = f.compare("sge", m, n)
        self.top, self.bottom = self._share(m, tall, thread, threads)
        wide = f.compare("slt", m, n)
        self.first, self.last = self._share(n, wide, thread, threads)
        mode = subnormals.flush(f)
        amx.configure(f)
        f.loop(self.last, self._columns, start=self.first, step=_WIDTH, stem="columns")
        amx.release(f)
        subnormals.restore(f, mode)
        f.do("ret void")
        return f

    def _share(
        self, count: Value, split: Value, thread: Value, threads: Value
    ) -> tuple[Value, Value]:
        """This thread's lines, whole panels; all of them where the other side is split."""
        f = self.f
        up = f.add(count, integer("i64", LINES - 1))
        panels = f.emit("i64", f"udiv {up.typed}, {LINES}")
        ends = []
        for index in (thread, f.add(thread, integer("i64", 1))):
            share = f.mul(panels, index)
            share = f.emit("i64", f"udiv {share.typed}, {threads}")
            ends.append(self._least(f.mul(share, integer("i64", LINES)), count))
        return f.select(split, ends[0], _ZERO), f.select(split, ends[1], count)

    def _least(self, left: Value, right: Value) -> Value:
        return self.f.select(self.f.compare("slt", left, right), left, right)

    def _columns(self, column: Value, _: list[Value]) -> list[Value]:
        """A block of columns, a depth after the other."""
        f = self.f
        end = self._least(f.add(column, integer("i64", _WIDTH)), self.last)
        f.loop(self.k, partial(self._depth, column, end), step=_DEPTH, stem="depth")
        return []

    def _depth(self, column: Value, end: Value, unit: Value, _: list[Value]) -> list[Value]:
        """Pack a block of the right operand, and multiply all panels of the left one by it."""
        f = self.f
        depth = self._least(f.sub(self.k, unit), integer("i64", _DEPTH))
        up = f.add(depth, integer("i64", amx.DEPTH - 1))
        pieces = f.emit("i64", f"lshr {up.typed}, 5")

        def pack(at: Value, carried: list[Value]) -> list[Value]:
            (to,) = carried
            lines = f.sub(end, at)
            self._pack(1, self.b, self.b_step, (at, lines), (unit, depth), to)
            return [f.at(to, f.mul(pieces, integer("i64", PIECE)))]

        f.loop(end, pack, [self.block], start=column, step=LINES, stem="pack")

        def rows(at: Value, _: list[Value]) -> list[Value]:
            self._pack(
                0, self.a, self.a_step, (at, f.sub(self.bottom, at)), (unit, depth), self.panel
            )
            add = f.compare("sgt", unit, _ZERO)
            self._row(at, column, end, pieces, add)
            return []

        f.loop(self.bottom, rows, start=self.top, step=LINES, stem="rows")
        return []

    def _pack(
        self,
        side: int,
        operand: Value,
        step: Value,
        lines: tuple[Value, Value],
        units: tuple[Value, Value],
        to: Value,
    ) -> None:
        """A panel of an operand; side is 0 for the left one, which tiles read by rows."""
        f, form = self.f, self.forms[side]
        (line, count), (unit, depth) = lines, units
        far, near = (line, unit) if form == "along" else (unit, line)
        start = f.at(f.at(operand, f.mul(far, step)), near, LANES.scalar)
        panels.pack(f, form, start, step, count, depth, to)
        if (form == "along") == (side == 1):
            panels.exchange(f, to, depth)

    def _row(self, row: Value, column: Value, end: Value, pieces: Value, add: Value) -> None:
        """A panel of the left operand by all of the block."""
        f = self.f
        height = self._least(f.sub(self.bottom, row), integer("i64", LINES))
        line = f.at(self.c, f.mul(row, self.c_step))

        def each(at: Value, carried: list[Value]) -> list[Value]:
            (b,) = carried
            width = self._least(f.sub(end, at), integer("i64", LINES))
            c = f.at(line, at, LANES.scalar)
            area = f.mul(height, width)
            whole, part, after = (f.fresh(name) for name in ("whole.", "part.", "after."))
            f.branch(f.compare("eq", area, integer("i64", LINES * LINES)), whole, part)
            f.label(whole)
            self._multiply(b, c, self.c_step, pieces, add)
            f.jump(after)
            f.label(part)
            step = integer("i64", LINES * LANES.bytes_each)
            with f.when(add):
                self._copy((c, self.c_step), (self.edge, step), height, width)
            self._multiply(b, self.edge, step, pieces, add)
            self._copy((self.edge, step), (c, self.c_step), height, width)
            f.jump(after)
            f.label(after)
            return [f.at(b, f.mul(pieces, integer("i64", PIECE)))]

        f.loop(end, each, [self.block], start=column, step=LINES, stem="each")

    def _multiply(self, b: Value, c: Value, step: Value, pieces: Value, add: Value) -> None:
        panels.call(self.f, "multiply", self.panel, b, c, step, pieces, add)

    def _copy(
        self, source: tuple[Value, Value], target: tuple[Value, Value], height: Value, width: Value
    ) -> None:
        """Rows at an edge, and no number beyond it."""
        f = self.f

        def row(_: Value, carried: list[Value]) -> list[Value]:
            here, there = carried
            for side in range(2):
                count = f.sub(width, integer("i64", 16 * side))
                splits.put(
                    f, splits.some(f, f.at(here, 64 * side), count), f.at(there, 64 * side), count
                )
            return [f.at(here, source[1]), f.at(there, target[1])]

        f.loop(height, row, [source[0], target[0]], stem="copy")
