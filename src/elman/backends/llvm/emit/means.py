"""Means over the units of a row: the one thing that a phase cannot finish block by block.

The phase that computes a mean's argument adds up its blocks in a vector for each row; before the
next phase the lanes of that vector are added up and divided.
"""

from collections.abc import Iterable
from functools import partial

from elman.backends.llvm.emit.assembly import Value, number
from elman.backends.llvm.emit.frame import Frame
from elman.ir.graph import Node


def finish(frame: Frame, nodes: Iterable[Node], active: Value) -> None:
    """From sums to means, for the means of these nodes."""
    for node in nodes:
        frame.f.loop(active, partial(_finish, frame, node), stem="mean")


def clear(frame: Frame, nodes: Iterable[Node], active: Value) -> None:
    """Begin new sums, for the means of these nodes."""
    for node in nodes:
        frame.f.loop(active, partial(_clear, frame, node), stem="clear")


def _finish(frame: Frame, node: Node, row: Value, _: list[Value]) -> list[Value]:
    f, lanes = frame.f, frame.lanes
    share = number(lanes.scalar, 1.0 / frame.shape.hidden_size)
    total = f.load(lanes.type, frame.partial(node, row), lanes.bytes)
    mean = f.fmul(_across(frame, total), share)
    f.store(mean, frame.mean(node, row), lanes.bytes_each)
    return []


def _clear(frame: Frame, node: Node, row: Value, _: list[Value]) -> list[Value]:
    lanes = frame.lanes
    frame.f.store(number(lanes.type, 0.0), frame.partial(node, row), lanes.bytes)
    return []


def _across(frame: Frame, vector: Value) -> Value:
    """The sum of a vector's lanes; ``reassoc`` lets LLVM add them in pairs."""
    f, lanes = frame.f, frame.lanes
    name = f"@llvm.vector.reduce.fadd.v{lanes.count}f{8 * lanes.bytes_each}"
    f.declared.add(f"declare {lanes.scalar} {name}({lanes.scalar}, {lanes.type})")
    start = number(lanes.scalar, 0.0)
    call = f"call reassoc {lanes.scalar} {name}({start.typed}, {vector.typed})"
    return f.emit(lanes.scalar, call)
