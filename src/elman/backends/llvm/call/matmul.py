"""Products of large matrices: those before and after the loop, on the matrix unit where it pays."""

import ctypes
from functools import lru_cache, partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

from elman.backends.llvm.call import tuning
from elman.backends.llvm.call.memory import borrow, scratch
from elman.backends.llvm.emit.amx import instructions as amx
from elman.backends.llvm.emit.amx.bf16x3 import LINES
from elman.backends.llvm.emit.amx_product import FORMS, WORDS, scratch_bytes, text
from elman.backends.llvm.emit.tuning import CodeTuning
from elman.backends.llvm.native import cache as code_cache
from elman.backends.llvm.native import host, threads

_LEAST_WORK = 1 << 18
"""Products of two numbers from which the matrix unit is thought of at all."""


def product(left: Tensor, right: Tensor, out: Tensor | None = None) -> Tensor:
    """The product of two matrices; on the matrix unit where that is faster, else torch's.

    Args:
        left: (M, K).
        right: (K, N).
        out: where the result goes, (M, N), each row in one piece of memory.
    """
    if out is None:
        out = borrow(left.shape[0], right.shape[1], left.dtype)
    if not by_amx(left, right):
        return torch.mm(left, right, out=out)
    _run(left, right, out)
    return out


def _run(left: Tensor, right: Tensor, out: Tensor) -> None:
    (rows, depth), columns = left.shape, right.shape[1]
    parts, work = -(-max(rows, columns) // LINES), rows * columns * depth
    count = max(1, min(torch.get_num_threads(), parts, work // tuning.current.products_per_thread))
    code = tuning.current.code
    entries = _compiled(code)[f"product_{_form(left)}_{_form(right.t())}"]
    group = threads.team() if count > 1 else None
    memory = scratch(count * scratch_bytes(code) + 64)
    words = _Words(
        *(rows, columns, depth),
        *(left.data_ptr(), _step(left), right.data_ptr(), _step(right)),
        *(out.data_ptr(), _step(out), -(-memory.data_ptr() // 64) * 64),
        *((group.thread, group.threads) if group else (0, 0)),
    )
    address = ctypes.addressof(words)
    threads.run(entries.alone, entries.team, address, count)


def _step(matrix: Tensor) -> int:
    """Bytes from one line of memory to the next."""
    return max(matrix.stride()) * matrix.element_size()


def by_amx(left: Tensor, right: Tensor) -> bool:
    """Whether the matrix unit multiplies these faster than torch."""
    (rows, depth), columns = left.shape, right.shape[1]
    numbers = rows * columns * depth
    if numbers < _LEAST_WORK or left.dtype is not torch.float32 or not host.detect().amx:
        return False
    form = _form(left)
    if form is None:
        return False
    area = _whole(rows, amx.ROWS) * _whole(columns, amx.ROWS)
    knobs = tuning.current
    time = knobs.amx_product * area * _whole(depth, amx.DEPTH)
    time += knobs.amx_call + knobs.amx_split * (rows + columns) * depth
    if time > (knobs.vectors_along if form == "along" else knobs.vectors_across) * numbers:
        return False
    return _form(right.t()) is not None


def _whole(count: int, size: int) -> int:
    return -(-count // size) * size


def _form(lines: Tensor) -> str | None:
    """How lines of units lie: one after the other, or side by side."""
    if lines.stride(1) == 1 and lines.stride(0) >= lines.shape[1]:
        return "along"
    return "across" if lines.stride(0) == 1 and lines.stride(1) >= lines.shape[0] else None


_Words: Any = ctypes.c_int64 * len(WORDS)


class _Entries(NamedTuple):
    alone: Any
    team: int
    alive: Any


_Entry: Any = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)


@lru_cache(maxsize=4)
def _compiled(code: CodeTuning) -> dict[str, _Entries]:
    names = [f"product_{left}_{right}" for left, right in FORMS]
    exported = (*names, *(f"{name}_team" for name in names))
    name = ("products", code.product_depth, code.product_width)
    alive, addresses = code_cache.load(
        code_cache.Source(name, partial(text, code, x86=host.is_x86())), exported
    )
    return {
        name: _Entries(_Entry(addresses[name]), addresses[f"{name}_team"], alive) for name in names
    }
