"""Writes LLVM's assembly language, one function at a time.

Text rather than an object model: what `elman explain --stage llvm` prints is what LLVM reads, and
writing lines is many times faster than building objects that are printed in the end.
"""

import math
import struct
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

SIZES = {"float": 4, "double": 8}
"""Bytes of one number."""


class Value(NamedTuple):
    """An SSA value or constant: its type and how the text names it."""

    type: str
    name: str

    def __str__(self) -> str:
        return self.name

    @property
    def typed(self) -> str:
        """With its type, as an operand of a call or store."""
        return f"{self.type} {self.name}"


@dataclass(frozen=True)
class Lanes:
    """The vectors of a kernel: so many numbers of one type."""

    scalar: str
    count: int

    @property
    def type(self) -> str:
        """The vector's type."""
        return f"<{self.count} x {self.scalar}>"

    @property
    def integer(self) -> str:
        """The vector of integers of the same width."""
        return f"<{self.count} x i{8 * self.bytes_each}>"

    @property
    def bytes_each(self) -> int:
        """Bytes of one number."""
        return SIZES[self.scalar]

    @property
    def bytes(self) -> int:
        """Bytes of a whole vector."""
        return self.count * self.bytes_each


def number(type_: str, value: float) -> Value:
    """A constant of a float type, or of a vector of one (the same number in each lane)."""
    scalar = scalar_of(type_)
    if scalar == "float" and math.isfinite(value):
        value = struct.unpack("f", struct.pack("f", value))[0]
    digits = f"0x{struct.unpack('Q', struct.pack('d', value))[0]:016X}"
    return Value(type_, digits if type_ == scalar else f"splat ({scalar} {digits})")


def integer(type_: str, value: int) -> Value:
    """A constant of an integer type, or of a vector of one."""
    scalar = scalar_of(type_)
    return Value(type_, str(value) if type_ == scalar else f"splat ({scalar} {value})")


def scalar_of(type_: str) -> str:
    """``float`` for ``<16 x float>``; a scalar type is returned as it is."""
    return type_.split(" x ")[1].rstrip(">") if type_.startswith("<") else type_


class Function:
    """One function under construction.

    Float arithmetic is marked ``contract``, so that a product and a sum become one fma; nothing
    else is relaxed: NaN and infinities go through as they come.
    """

    def __init__(
        self,
        name: str,
        arguments: Sequence[tuple[str, str]],
        *,
        result: str = "void",
        linkage: str = "internal",
        attributes: str = "nounwind",
    ) -> None:
        self.name = name
        self.result = result
        self.arguments = [Value(type_, f"%{label}") for type_, label in arguments]
        listed = ", ".join(
            f"ptr noalias {value}" if value.type == "ptr" else value.typed
            for value in self.arguments
        )
        self.head = f"define {linkage} {result} @{name}({listed}) {attributes} {{"
        self.lines: list[str] = ["entry:"]
        self.block = "entry"
        self.declared: set[str] = set()
        self._count = 0

    def text(self) -> str:
        """The finished function."""
        return "\n".join([self.head, *self.lines, "}"])

    def comment(self, text: str) -> None:
        """A line for the reader."""
        self.lines.append(f"  ; {text}")

    def emit(self, type_: str, code: str) -> Value:
        """An instruction with a result."""
        self._count += 1
        value = Value(type_, f"%v{self._count}")
        self.lines.append(f"  {value} = {code}")
        return value

    def do(self, code: str) -> None:
        """An instruction without one."""
        self.lines.append(f"  {code}")

    # Arithmetic ------------------------------------------------------------------------------

    def _two(self, op: str, left: Value, right: Value) -> Value:
        return self.emit(left.type, f"{op} {left.type} {left}, {right}")

    def fadd(self, left: Value, right: Value) -> Value:
        """left + right."""
        return self._two("fadd contract", left, right)

    def fsub(self, left: Value, right: Value) -> Value:
        """left - right."""
        return self._two("fsub contract", left, right)

    def fmul(self, left: Value, right: Value) -> Value:
        """left * right."""
        return self._two("fmul contract", left, right)

    def fdiv(self, left: Value, right: Value) -> Value:
        """left / right."""
        return self._two("fdiv contract", left, right)

    def fneg(self, value: Value) -> Value:
        """-value."""
        return self.emit(value.type, f"fneg {value.type} {value}")

    def fma(self, left: Value, right: Value, addend: Value) -> Value:
        """Left * right + addend, rounded once where the processor has an instruction for that.

        (``llvm.fma`` is a call of libm for each lane where it has none.)
        """
        return self.intrinsic("fmuladd", left, right, addend)

    def intrinsic(self, name: str, *values: Value) -> Value:
        """An intrinsic of LLVM that is overloaded on one float type, such as ``sqrt``."""
        type_ = values[0].type
        scalar = scalar_of(type_)
        short = {"float": "f32", "double": "f64"}[scalar]
        suffix = short if type_ == scalar else f"v{type_[1:].split(' ')[0]}{short}"
        listed = ", ".join([type_] * len(values))
        self.declared.add(f"declare {type_} @llvm.{name}.{suffix}({listed})")
        operands = ", ".join(value.typed for value in values)
        return self.emit(type_, f"call {type_} @llvm.{name}.{suffix}({operands})")

    def compare(self, predicate: str, left: Value, right: Value) -> Value:
        """``fcmp`` for floats (olt, ogt, ...), ``icmp`` for integers (slt, eq, ...)."""
        word = "fcmp" if scalar_of(left.type) in SIZES else "icmp"
        is_vector = left.type.startswith("<")
        type_ = f"<{left.type[1:].split(' ')[0]} x i1>" if is_vector else "i1"
        return self.emit(type_, f"{word} {predicate} {left.type} {left}, {right}")

    def select(self, condition: Value, left: Value, right: Value) -> Value:
        """``left`` where the condition holds, else ``right``."""
        code = f"select {condition.typed}, {left.typed}, {right.typed}"
        return self.emit(left.type, code)

    def add(self, left: Value, right: Value) -> Value:
        """Integer sum."""
        return self._two("add", left, right)

    def sub(self, left: Value, right: Value) -> Value:
        """Integer difference."""
        return self._two("sub", left, right)

    def mul(self, left: Value, right: Value) -> Value:
        """Integer product."""
        return self._two("mul", left, right)

    def minimum(self, left: Value, right: Value) -> Value:
        """The smaller integer."""
        return self.select(self.compare("slt", left, right), left, right)

    def parts(self, count: Value, size: Value) -> Value:
        """How many parts of a size there are in so many, the last one perhaps smaller."""
        up = self.add(count, self.sub(size, integer(size.type, 1)))
        return self._two("udiv", up, size)

    def cast(self, op: str, value: Value, type_: str) -> Value:
        """A conversion: bitcast, fptosi, sitofp, trunc, ..."""
        return self.emit(type_, f"{op} {value.typed} to {type_}")

    # Memory ----------------------------------------------------------------------------------

    def at(self, pointer: Value, offset: Value | int, scalar: str = "i8") -> Value:
        """The pointer moved on by ``offset`` numbers (bytes by default)."""
        if isinstance(offset, int):
            if offset == 0:
                return pointer
            offset = integer("i64", offset)
        return self.emit("ptr", f"getelementptr {scalar}, {pointer.typed}, {offset.typed}")

    def load(self, type_: str, pointer: Value, align: int = 4) -> Value:
        """What stands there."""
        return self.emit(type_, f"load {type_}, {pointer.typed}, align {align}")

    def store(self, value: Value, pointer: Value, align: int = 4) -> None:
        """Write it there."""
        self.do(f"store {value.typed}, {pointer.typed}, align {align}")

    def prefetch(self, pointer: Value) -> None:
        """Ask for a line of the cache; no address is wrong, since nothing is read."""
        self.declared.add("declare void @llvm.prefetch.p0(ptr, i32, i32, i32)")
        self.do(f"call void @llvm.prefetch.p0({pointer.typed}, i32 0, i32 3, i32 1)")

    def splat(self, value: Value, count: int) -> Value:
        """A vector with this number in each lane."""
        type_ = f"<{count} x {value.type}>"
        first = self.emit(type_, f"insertelement {type_} poison, {value.typed}, i64 0")
        zeros = f"<{count} x i32> zeroinitializer"
        return self.emit(type_, f"shufflevector {first.typed}, {type_} poison, {zeros}")

    # Control ---------------------------------------------------------------------------------

    def label(self, name: str) -> None:
        """Begin a block."""
        self.lines.append(f"{name}:")
        self.block = name

    def fresh(self, stem: str) -> str:
        """A name for a block that no other has."""
        self._count += 1
        return f"{stem}{self._count}"

    def jump(self, label: str) -> None:
        """Go on there."""
        self.do(f"br label %{label}")

    def branch(self, condition: Value, yes: str, no: str) -> None:
        """Go on at one of two blocks."""
        self.do(f"br i1 {condition}, label %{yes}, label %{no}")

    def loop(
        self,
        count: Value,
        body: Callable[[Value, list[Value]], Sequence[Value]],
        carried: Sequence[Value] = (),
        *,
        start: Value | int = 0,
        step: Value | int = 1,
        stem: str = "loop",
    ) -> list[Value]:
        """``for i in range(start, count, step)``, carrying values from turn to turn.

        Args:
            count: where it ends, i64.
            body: given the counter and the carried values, emits a turn and returns the next ones.
            carried: the first values.
            start: where the counter begins.
            step: what each turn adds to it.
            stem: how the blocks are called.

        Returns:
            The carried values after the last turn.
        """
        head, inside, after = (self.fresh(f"{stem}.{part}.") for part in ("head", "body", "end"))
        before = self.block
        self.jump(head)
        self.label(head)
        first = integer("i64", start) if isinstance(start, int) else start
        phis = [self._phi(value.type) for value in [first, *carried]]
        self.branch(self.compare("slt", phis[0], count), inside, after)
        self.label(inside)
        results = list(body(phis[0], phis[1:]))
        stride = integer("i64", step) if isinstance(step, int) else step
        following = [self.add(phis[0], stride), *results]
        latch = self.block
        self.jump(head)
        for phi, initial, later in zip(phis, [first, *carried], following, strict=True):
            self._fill(phi, [(initial, before), (later, latch)])
        self.label(after)
        return phis[1:]

    @contextmanager
    def when(self, condition: Value) -> Iterator[None]:
        """What is emitted inside runs only where the condition holds."""
        yes, after = self.fresh("then."), self.fresh("after.")
        self.branch(condition, yes, after)
        self.label(yes)
        yield
        self.jump(after)
        self.label(after)

    def _phi(self, type_: str) -> Value:
        value = self.emit(type_, "")
        self.lines[-1] = f"  {value} = phi {type_} ?"
        return value

    def _fill(self, phi: Value, edges: list[tuple[Value, str]]) -> None:
        pending = f"  {phi} = phi {phi.type} ?"
        at = len(self.lines) - 1 - self.lines[::-1].index(pending)
        listed = ", ".join(f"[ {value}, %{label} ]" for value, label in edges)
        self.lines[at] = f"  {phi} = phi {phi.type} {listed}"


def module(functions: Sequence[Function]) -> str:
    """A whole module: the functions and what they declare."""
    declared = sorted(set().union(*(function.declared for function in functions)))
    return "\n\n".join([*(function.text() for function in functions), "\n".join(declared)]) + "\n"
