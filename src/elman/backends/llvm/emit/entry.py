"""A function that every thread of a call runs, each for its share: what `pack` and `run` share.

Both take the address of the call's words, the number of the thread and how many there are. A
vector at the end of a row may be truncated; it is loaded and stored under a mask, so that no
memory behind the row is touched.
"""

from collections.abc import Callable, Sequence

from elman.backends.llvm.emit.assembly import Function, Value, integer
from elman.backends.llvm.emit.layout import Layout

WORD = 8
"""Bytes of a call's argument."""

_ARGUMENTS = (("ptr", "args"), ("i64", "thread"), ("i64", "threads"))


class Entry:
    """The function under construction, and the way to its arguments."""

    def __init__(self, layout: Layout, name: str) -> None:
        self.layout = layout
        self.kernel = layout.kernel
        self.shape = layout.shape
        self.lanes = layout.lanes
        self.f = Function(name, _ARGUMENTS, linkage="", attributes="nounwind")
        self.args, self.thread, self.threads = self.f.arguments

    def word(self, name: str, type_: str) -> Value:
        """An argument of the call."""
        place = self.f.at(self.args, WORD * self.layout.words.index(name))
        return self.f.load(type_, place, WORD)

    def move(self, pointer: Value, numbers: Value) -> Value:
        """The pointer moved on by so many numbers of the kernel's type."""
        return self.f.at(pointer, numbers, self.lanes.scalar)

    def load(self, pointer: Value, *, tail: bool) -> Value:
        """Load a vector, or only the units of the last block."""
        if not tail:
            return self.f.load(self.lanes.type, pointer, self.lanes.bytes_each)
        type_, mask = self.lanes.type, self.mask
        name = f"@llvm.masked.load.{self._suffix}.p0"
        self.f.declared.add(f"declare {type_} {name}(ptr, i32, {mask.type}, {type_})")
        align = f"i32 {self.lanes.bytes_each}"
        operands = f"{pointer.typed}, {align}, {mask.typed}, {type_} zeroinitializer"
        return self.f.emit(type_, f"call {type_} {name}({operands})")

    def store(self, value: Value, pointer: Value, *, tail: bool) -> None:
        """Store a vector, or only the units of the last block."""
        if not tail:
            self.f.store(value, pointer, self.lanes.bytes_each)
            return
        mask, name = self.mask, f"@llvm.masked.store.{self._suffix}.p0"
        self.f.declared.add(f"declare void {name}({self.lanes.type}, ptr, i32, {mask.type})")
        align = f"i32 {self.lanes.bytes_each}"
        self.f.do(f"call void {name}({value.typed}, {pointer.typed}, {align}, {mask.typed})")

    @property
    def mask(self) -> Value:
        """Which lanes of the last block hold units."""
        count, tail = self.lanes.count, self.shape.tail
        bits = ", ".join(f"i1 {'true' if lane < tail else 'false'}" for lane in range(count))
        return Value(f"<{count} x i1>", f"<{bits}>")

    @property
    def _suffix(self) -> str:
        return f"v{self.lanes.count}f{8 * self.lanes.bytes_each}"

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


def whole(words: Sequence[str], names: Sequence[str]) -> Function:
    """The entry for one thread that calls ``partition`` and, if that found no fault, the others."""
    f = Function("whole", _ARGUMENTS, linkage="")
    listed = ", ".join(argument.typed for argument in f.arguments)
    f.do(f"call void @partition({listed}) noinline")
    tokens = f.load("i64", f.at(f.arguments[0], WORD * words.index("tokens")), WORD)
    with f.when(f.compare("sge", tokens, integer("i64", 0))):
        for name in names:
            f.do(f"call void @{name}({listed}) noinline")
    f.do("ret void")
    return f


def team(name: str, words: Sequence[str]) -> Function:
    """The entry for a team of OpenMP threads: asks which thread it is and does that share."""
    f = Function(f"{name}_team", [("ptr", "args")], linkage="")
    (args,) = f.arguments
    numbers = []
    for word in ("thread", "threads"):
        pointer = f.load("ptr", f.at(args, WORD * words.index(word)), WORD)
        numbers.append(f.cast("sext", f.emit("i32", f"call i32 {pointer}()"), "i64"))
    f.do(f"call void @{name}({args.typed}, {numbers[0].typed}, {numbers[1].typed})")
    f.do("ret void")
    return f
