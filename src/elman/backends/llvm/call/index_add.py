"""Rows summed by index: the gradient of a table that a loop has read by its tokens.

torch's own ways (``index_add_``, the backward of an embedding) are built for few long rows or for
many indices; here a table of some dozen rows stays in the first cache and a thousand rows are
added to it in about the time that it takes to read them.
"""

import ctypes
from functools import cache
from typing import Any

import torch
from torch import Tensor

from elman.backends.llvm.emit.assembly import Function, Lanes, Value, module
from elman.backends.llvm.native import cache as kept
from elman.backends.llvm.native import compiler as engine

_WORDS = ("tokens", "width", "stride", "indices", "source", "target")
_SCALARS = {torch.float32: "float", torch.float64: "double"}


def sum_by_index(rows: Tensor, indices: Tensor, count: int) -> Tensor:
    """For each index the sum of the rows that have it, always added in the same order.

    Args:
        rows: (N, W), float32 or float64, each row in one piece of memory.
        indices: (N,), int64, contiguous, from 0 to count - 1.
        count: V.

    Returns:
        (V, W).
    """
    total = rows.new_zeros(count, rows.shape[1])
    words = (ctypes.c_int64 * len(_WORDS))(
        *(rows.shape[0], rows.shape[1], rows.stride(0)),
        *(indices.data_ptr(), rows.data_ptr(), total.data_ptr()),
    )
    _compiled(rows.dtype)(ctypes.addressof(words))
    return total


@cache
def _compiled(dtype: torch.dtype) -> Any:
    lanes = engine.host().lanes(_SCALARS[dtype])
    source = kept.Fixed(f"scatter {lanes.scalar}", lambda: module([_function(lanes)]))
    alive, addresses = kept.load(source, ("scatter",))
    entry = engine.function(addresses["scatter"])
    entry.alive = alive
    return entry


def _function(lanes: Lanes) -> Function:
    f = Function("scatter", [("ptr", "args")], linkage="")
    (args,) = f.arguments
    types = ("i64", "i64", "i64", "ptr", "ptr", "ptr")
    words = [f.load(type_, f.at(args, 8 * at), 8) for at, type_ in enumerate(types)]
    tokens, width, stride, indices, source, target = words
    whole = f.sub(width, f.emit("i64", f"urem {width.typed}, {lanes.count}"))

    def add(to: Value, from_: Value, at: Value, type_: str) -> list[Value]:
        place = f.at(to, at, lanes.scalar)
        former = f.load(type_, place, lanes.bytes_each)
        more = f.load(type_, f.at(from_, at, lanes.scalar), lanes.bytes_each)
        f.store(f.fadd(former, more), place, lanes.bytes_each)
        return []

    def token(number: Value, _: list[Value]) -> list[Value]:
        index = f.load("i64", f.at(indices, number, "i64"), 8)
        to = f.at(target, f.mul(index, width), lanes.scalar)
        row = f.at(source, f.mul(number, stride), lanes.scalar)
        f.loop(whole, lambda at, _: add(to, row, at, lanes.type), step=lanes.count, stem="vector")
        f.loop(width, lambda at, _: add(to, row, at, lanes.scalar), start=whole, stem="one")
        return []

    f.loop(tokens, token, stem="token")
    f.do("ret void")
    return f
