"""Products of large matrices on matrix tiles: those before and after the loop.

Each thread has a part of the result, by rows or by columns. A block of the right operand is split
and laid out so that it stays in the second cache, a panel of the left one so that it stays in the
first; four tiles of sums then run down both (Goto and van de Geijn, "Anatomy of High-Performance
Matrix Multiplication", 2008). A result is the same whatever the number of threads.
"""

import ctypes
from collections.abc import Sequence
from functools import cache, partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from elman.backends.llvm.call.memory import borrow, scratch
from elman.backends.llvm.emit import denormals as subnormals
from elman.backends.llvm.emit.amx import instructions as amx
from elman.backends.llvm.emit.amx import panels
from elman.backends.llvm.emit.amx.bf16x3 import LANES, LINES, PIECE
from elman.backends.llvm.emit.assembly import Function, Value, integer, module
from elman.backends.llvm.emit.entry import WORD, team
from elman.backends.llvm.native import cache as kept
from elman.backends.llvm.native import compiler as engine
from elman.backends.llvm.native import threads

_SIDES = ("", "2")
"""There may be two right operands and results: what the left one is packed for once."""
_WORDS = (
    *("m", "k", "a", "a_step", "scratch", "thread", "threads"),
    *(f"{name}{side}" for side in _SIDES for name in ("n", "b", "b_step", "c", "c_step")),
)
"""A (M, K), B (K, N) and C (M, N), with the bytes from one line of memory to the next."""
_DEPTH = 256
"""Units of a block."""
_WIDTH = 24
"""Panels in a block of the right operands: with its depth 1.1 MiB, in a second cache of 2 MiB."""

_PANEL = _DEPTH // amx.DEPTH * PIECE
_SCRATCH = (1 + _WIDTH) * _PANEL + 64
"""Bytes of a thread's memory: a left panel, a block of right ones, sizes of tiles at the edges."""

_ZERO, _ONE = integer("i64", 0), integer("i64", 1)

_LEAST_WORK = 1 << 20
"""Products of numbers that are worth a thread."""
_CALL, _TILES, _SPLIT = 5000, 1 / 140, 0.4
_VECTORS = {"along": 1 / 72, "across": 1 / 55}
"""Nanoseconds, measured on a processor of 2023: for a call, for a product of numbers on tiles, for
a number to be split and packed, and for a product of numbers without tiles, which take longer where
the left operand lies across."""


def product(left: Tensor, right: Tensor, out: Tensor | None = None) -> Tensor:
    """The product of two matrices; on matrix tiles where there are any, else torch's.

    Args:
        left: (M, K).
        right: (K, N).
        out: where the result goes, (M, N), each row in one piece of memory.
    """
    if not by_tiles(left, right):
        return torch.mm(left, right, out=out)
    if out is None:
        out = borrow(left.shape[0], right.shape[1], left.dtype)
    _run(left, [right], [out])
    return out


def two_products(left: Tensor, rights: Sequence[Tensor]) -> list[Tensor]:
    """The products of a matrix with two others, of which `by_tiles` is true."""
    outs = [borrow(left.shape[0], right.shape[1], left.dtype) for right in rights]
    _run(left, rights, outs)
    return outs


def _run(left: Tensor, rights: Sequence[Tensor], outs: Sequence[Tensor]) -> None:
    rows, depth = left.shape
    columns = sum(right.shape[1] for right in rights)
    parts = -(-max(rows, columns) // LINES)
    count = max(1, min(torch.get_num_threads(), parts, rows * columns * depth // _LEAST_WORK))
    found = _compiled()[f"product_{_form(left)}_{_form(rights[0].t())}"]
    group = threads.team() if count > 1 else None
    memory = scratch(count * _SCRATCH + 64)
    sides = [
        (right.shape[1], right.data_ptr(), _step(right), out.data_ptr(), _step(out))
        for right, out in zip(rights, outs, strict=True)
    ]
    words = _Words(
        *(rows, depth, left.data_ptr(), _step(left), -(-memory.data_ptr() // 64) * 64),
        *((group.thread, group.threads) if group else (0, 0)),
        *(word for side in sides for word in side),
    )
    address = ctypes.addressof(words)
    threads.run(found.alone, found.team, address, count)


def _step(matrix: Tensor) -> int:
    """Bytes from one line of memory to the next."""
    return max(matrix.stride()) * matrix.element_size()


def by_tiles(left: Tensor, *rights: Tensor) -> bool:
    """Whether tiles multiply these faster than torch does; all in one, where there are several."""
    (rows, depth), columns = left.shape, 0
    for right in rights:
        columns += right.shape[1]
    numbers = rows * columns * depth
    if numbers < _LEAST_WORK // 4 or left.dtype is not torch.float32 or not engine.host().tiles:
        return False
    form = _form(left)
    if form is None:
        return False
    area = _whole(rows, amx.ROWS) * sum(_whole(right.shape[1], amx.ROWS) for right in rights)
    time = _TILES * area * _whole(depth, amx.DEPTH) + _SPLIT * (rows + columns) * depth
    if _CALL + time > _VECTORS[form] * numbers:
        return False
    forms = {_form(right.t()) for right in rights}
    return len(forms) == 1 and None not in forms


def _whole(count: int, size: int) -> int:
    return -(-count // size) * size


def _form(lines: Tensor) -> str | None:
    """How lines of units lie: one after the other, or side by side."""
    if lines.stride(1) == 1 and lines.stride(0) >= lines.shape[1]:
        return "along"
    return "across" if lines.stride(0) == 1 and lines.stride(1) >= lines.shape[0] else None


_Words: Any = ctypes.c_int64 * len(_WORDS)


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
        words = {
            name: f.load(_type(name), f.at(args, WORD * at), WORD) for at, name in enumerate(_WORDS)
        }
        self.k, self.a, self.a_step = (words[name] for name in ("k", "a", "a_step"))
        self.sides = [
            tuple(words[f"{name}{side}"] for name in ("n", "b", "b_step", "c", "c_step"))
            for side in _SIDES
        ]
        self.panel = f.at(words["scratch"], f.mul(thread, integer("i64", _SCRATCH)))
        self.block = f.at(self.panel, _PANEL)
        self.sizes = f.at(self.block, _WIDTH * _PANEL)
        rows = _panels(f, words["m"])
        self.before = _panels(f, self.sides[0][0])
        columns = f.add(self.before, _panels(f, self.sides[1][0]))
        tall, wide = f.compare("sge", rows, columns), f.compare("slt", rows, columns)
        top, bottom = self._share(rows, tall, thread, threads)
        self.m, self.top, self.bottom = words["m"], top, bottom
        first, self.last = self._share(columns, wide, thread, threads)
        mode = subnormals.flush(f)
        amx.configure(f)
        # As many blocks as there must be, of nearly the same size.
        wanted = f.sub(self.last, first)
        blocks = f.parts(wanted, integer("i64", _WIDTH))
        self.width = f.parts(wanted, f.select(f.compare("sgt", blocks, _ZERO), blocks, _ONE))
        f.loop(self.last, self._columns, start=first, step=self.width, stem="columns")
        amx.release(f)
        subnormals.restore(f, mode)
        f.do("ret void")
        return f

    def _share(
        self, panels: Value, split: Value, thread: Value, threads: Value
    ) -> tuple[Value, Value]:
        """This thread's panels; all of them where the other side is split."""
        f = self.f
        ends = []
        for index in (thread, f.add(thread, integer("i64", 1))):
            share = f.mul(panels, index)
            ends.append(f.emit("i64", f"udiv {share.typed}, {threads}"))
        return f.select(split, ends[0], _ZERO), f.select(split, ends[1], panels)

    def _columns(self, first: Value, _: list[Value]) -> list[Value]:
        """A block of columns, a depth after the other."""
        f = self.f
        end = f.least(f.add(first, self.width), self.last)
        f.loop(self.k, partial(self._depth, first, end), step=_DEPTH, stem="depth")
        return []

    def _depth(self, first: Value, end: Value, unit: Value, _: list[Value]) -> list[Value]:
        """Pack a block of the right operands, and multiply all panels of the left one by it."""
        f = self.f
        depth = f.least(f.sub(self.k, unit), integer("i64", _DEPTH))
        pieces = f.parts(depth, integer("i64", amx.DEPTH))
        bytes_ = f.mul(pieces, integer("i64", PIECE))

        def pack(at: Value, carried: list[Value]) -> list[Value]:
            (to,) = carried
            line, (n, b, b_step, _, _) = self._side(at)
            self._pack(1, b, b_step, (line, f.sub(n, line)), (unit, depth), to)
            return [f.at(to, bytes_)]

        f.loop(end, pack, [self.block], start=first, stem="pack")

        def rows(at: Value, _: list[Value]) -> list[Value]:
            row = f.mul(at, integer("i64", LINES))
            lines = f.sub(self.m, row)
            self._pack(0, self.a, self.a_step, (row, lines), (unit, depth), self.panel)

            def each(at: Value, carried: list[Value]) -> list[Value]:
                (b,) = carried
                column, (n, _, _, c, c_step) = self._side(at)
                to = f.at(f.at(c, f.mul(row, c_step)), column, LANES.scalar)
                add = f.compare("sgt", unit, _ZERO)
                size = lines, f.sub(n, column)
                self._multiply(size, [self.panel, b, to, c_step, pieces, add])
                return [f.at(b, bytes_)]

            f.loop(end, each, [self.block], start=first, stem="each")
            return []

        f.loop(self.bottom, rows, start=self.top, stem="rows")
        return []

    def _side(self, panel: Value) -> tuple[Value, tuple[Value, ...]]:
        """A panel's first column in its operand, and the words of that."""
        f = self.f
        first = f.compare("slt", panel, self.before)
        index = f.select(first, panel, f.sub(panel, self.before))
        words = (f.select(first, one, two) for one, two in zip(*self.sides, strict=True))
        return f.mul(index, integer("i64", LINES)), tuple(words)

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

    def _multiply(self, size: tuple[Value, Value], arguments: Sequence[Value]) -> None:
        """A panel by a panel; at an edge the tiles are no larger than the result."""
        f = self.f
        rows, columns = (f.least(one, integer("i64", LINES)) for one in size)
        whole, part, after = (f.fresh(name) for name in ("whole.", "part.", "after."))
        area = f.mul(rows, columns)
        f.branch(f.compare("eq", area, integer("i64", LINES * LINES)), whole, part)
        f.label(whole)
        panels.call(f, "multiply_2x2", *arguments)
        f.jump(after)
        f.label(part)
        amx.fit(f, self.sizes, rows, columns)
        panels.product(f, "multiply", (rows, columns), arguments)
        amx.configure(f)
        f.jump(after)
        f.label(after)


def _type(word: str) -> str:
    return "ptr" if word in ("a", "b", "c", "b2", "c2", "scratch") else "i64"


def _panels(f: Function, lines: Value) -> Value:
    return f.parts(lines, integer("i64", LINES))
