"""Rows summed by index: the gradient of a table that a loop has read by its tokens.

torch's own ways (``index_add_``, the backward of an embedding) are built for few long rows or for
many indices; here a table of some dozen rows stays in the first cache and a thousand rows are
added to it in about the time that it takes to read them.
"""

import ctypes
from functools import cache, partial
from typing import Any

import torch
from torch import Tensor

from elman.backends.llvm.call.signature import SCALARS
from elman.backends.llvm.emit.index_add import WORDS, text
from elman.backends.llvm.native import cache as code_cache
from elman.backends.llvm.native import compiler, host


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
    words = (ctypes.c_int64 * len(WORDS))(
        *(rows.shape[0], rows.shape[1], rows.stride(0)),
        *(indices.data_ptr(), rows.data_ptr(), total.data_ptr()),
    )
    _compiled(rows.dtype)(ctypes.addressof(words))
    return total


@cache
def _compiled(dtype: torch.dtype) -> Any:
    lanes = host.detect().lanes(SCALARS[dtype])
    source = code_cache.Source(f"scatter {lanes.scalar}", partial(text, lanes))
    alive, addresses = code_cache.load(source, ("scatter",))
    entry = compiler.function(addresses["scatter"])
    entry.alive = alive
    return entry
