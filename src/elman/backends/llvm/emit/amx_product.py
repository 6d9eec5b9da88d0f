"""Products of large matrices on the matrix unit, as a module of functions.

Each thread has a part of the result, by rows or by columns. A block of the right operand is split
and laid out so that it stays in the second cache, a panel of the left one so that it stays in the
first; four tiles of sums then run down both (Goto and van de Geijn, "Anatomy of High-Performance
Matrix Multiplication", 2008). A result is the same whatever the number of threads.
"""

from collections.abc import Sequence
from functools import partial

from elman.backends.llvm.emit import denormals
from elman.backends.llvm.emit.amx import instructions as amx
from elman.backends.llvm.emit.amx import panels
from elman.backends.llvm.emit.amx.bf16x3 import LANES, LINES, PIECE
from elman.backends.llvm.emit.assembly import Function, Value, integer, module
from elman.backends.llvm.emit.entry import WORD, team
from elman.backends.llvm.emit.tuning import CodeTuning

FORMS = (("along", "along"), ("along", "across"), ("across", "across"), ("across", "along"))
"""How the lines of the left and of the right operand may lie: one after the other, or side by side.
There is a function for each, ``product_LEFT_RIGHT``, and one for a team of threads."""
WORDS = (
    *("m", "n", "k", "a", "a_step", "b", "b_step", "c", "c_step"),
    *("scratch", "thread", "threads"),
)
"""A (M, K), B (K, N) and C (M, N), with the bytes from one line of memory to the next."""
_ZERO, _ONE = integer("i64", 0), integer("i64", 1)


def scratch_bytes(tuning: CodeTuning) -> int:
    """A thread's memory: a left panel, a block of right ones, sizes of tiles at the edges."""
    return (1 + tuning.product_width) * _panel_bytes(tuning) + 64


def _panel_bytes(tuning: CodeTuning) -> int:
    return tuning.product_depth // amx.DEPTH * PIECE


def text(tuning: CodeTuning, *, x86: bool = True) -> str:
    """The assembly of the products in all forms; ``x86`` as in `KernelSpec`."""
    functions = panels.functions()
    for left, right in FORMS:
        functions += [
            _Product(left, right, tuning, x86=x86).function(),
            team(f"product_{left}_{right}", WORDS),
        ]
    return module(functions)


# ---------------------------------------------------------------------------------------------
# The loops around them


class _Product:
    """The function of one form: a thread's part of a product."""

    def __init__(self, left: str, right: str, tuning: CodeTuning, *, x86: bool) -> None:
        self.forms, self.tuning, self.x86 = (left, right), tuning, x86
        arguments = [("ptr", "args"), ("i64", "thread"), ("i64", "threads")]
        self.f = Function(f"product_{left}_{right}", arguments, linkage="")

    def function(self) -> Function:
        """The function."""
        f = self.f
        args, thread, threads = f.arguments
        words = {
            name: f.load(_type(name), f.at(args, WORD * at), WORD) for at, name in enumerate(WORDS)
        }
        self.m, self.n, self.k, *operands = (words[name] for name in WORDS[:9])
        self.a, self.a_step, self.b, self.b_step, self.c, self.c_step = operands
        self.panel = f.at(
            words["scratch"], f.mul(thread, integer("i64", scratch_bytes(self.tuning)))
        )
        panel = _panel_bytes(self.tuning)
        self.block = f.at(self.panel, panel)
        self.sizes = f.at(self.block, self.tuning.product_width * panel)
        rows, columns = (f.parts(count, integer("i64", LINES)) for count in (self.m, self.n))
        tall, wide = f.compare("sge", rows, columns), f.compare("slt", rows, columns)
        self.top, self.bottom = self._share(rows, tall, thread, threads)
        first, self.last = self._share(columns, wide, thread, threads)
        mode = denormals.flush(f) if self.x86 else None
        amx.configure(f)
        # As many blocks as there must be, of nearly the same size.
        wanted = f.sub(self.last, first)
        blocks = f.parts(wanted, integer("i64", self.tuning.product_width))
        self.width = f.parts(wanted, f.select(f.compare("sgt", blocks, _ZERO), blocks, _ONE))
        f.loop(self.last, self._columns, start=first, step=self.width, stem="columns")
        amx.release(f)
        if mode is not None:
            denormals.restore(f, mode)
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
        end = f.minimum(f.add(first, self.width), self.last)
        f.loop(
            self.k, partial(self._depth, first, end), step=self.tuning.product_depth, stem="depth"
        )
        return []

    def _depth(self, first: Value, end: Value, unit: Value, _: list[Value]) -> list[Value]:
        """Pack a block of the right operand, and multiply all panels of the left one by it."""
        f = self.f
        depth = f.minimum(f.sub(self.k, unit), integer("i64", self.tuning.product_depth))
        pieces = f.parts(depth, integer("i64", amx.DEPTH))
        bytes_ = f.mul(pieces, integer("i64", PIECE))

        def pack(at: Value, carried: list[Value]) -> list[Value]:
            (to,) = carried
            line = f.mul(at, integer("i64", LINES))
            self._pack(1, self.b, self.b_step, (line, f.sub(self.n, line)), (unit, depth), to)
            return [f.at(to, bytes_)]

        f.loop(end, pack, [self.block], start=first, stem="pack")

        def rows(at: Value, _: list[Value]) -> list[Value]:
            row = f.mul(at, integer("i64", LINES))
            lines = f.sub(self.m, row)
            self._pack(0, self.a, self.a_step, (row, lines), (unit, depth), self.panel)

            def each(at: Value, carried: list[Value]) -> list[Value]:
                (b,) = carried
                column = f.mul(at, integer("i64", LINES))
                to = f.at(f.at(self.c, f.mul(row, self.c_step)), column, LANES.scalar)
                add = f.compare("sgt", unit, _ZERO)
                size = lines, f.sub(self.n, column)
                self._multiply(size, [self.panel, b, to, self.c_step, pieces, add])
                return [f.at(b, bytes_)]

            f.loop(end, each, [self.block], start=first, stem="each")
            return []

        f.loop(self.bottom, rows, start=self.top, stem="rows")
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

    def _multiply(self, size: tuple[Value, Value], arguments: Sequence[Value]) -> None:
        """A panel by a panel; at an edge the tiles are no larger than the result."""
        f = self.f
        rows, columns = (f.minimum(count, integer("i64", LINES)) for count in size)
        whole, part, after = (f.fresh(name) for name in ("whole.", "part.", "after."))
        area = f.mul(rows, columns)
        f.branch(f.compare("eq", area, integer("i64", LINES * LINES)), whole, part)
        f.label(whole)
        panels.call(f, "multiply_2x2", *arguments)
        f.jump(after)
        f.label(part)
        amx.fit(f, self.sizes, rows, columns)
        panels.product(f, (rows, columns), arguments)
        amx.configure(f)
        f.jump(after)
        f.label(after)


def _type(word: str) -> str:
    return "ptr" if word in ("a", "b", "c", "scratch") else "i64"
