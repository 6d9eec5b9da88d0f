"""Memory that a training step borrows and the next one borrows again.

A large piece of fresh memory is slow: the system hands it out page by page, each cleared first, at
about 4 GB/s. What the loop keeps for the backward pass is the largest piece of a step by far, and
packed weights are the next.
"""

import threading
import weakref
from bisect import bisect_left
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from elman.backends.llvm.call import tuning
from elman.forks import Lock

_MOST = 256 << 20
"""Bytes that are kept in all while nobody uses them."""
_LARGE = 16 << 20
"""Bytes above which a thread's scratch memory is borrowed, too."""


class _Piece(NamedTuple):
    memory: np.ndarray
    user: "weakref.ref[np.ndarray]"
    """What a tensor holds as long as it, a view of it or a graph that saved it is there."""

    @property
    def is_free(self) -> bool:
        return self.user() is None


_pieces: list[_Piece] = []
_lock = Lock()
_own = threading.local()


def scratch(size: int) -> Tensor:
    """So many bytes for one call at a time of this thread, whatever stands there."""
    if size > _LARGE:
        return borrow(1, size, torch.uint8)[0]
    memory: Tensor | None = getattr(_own, "memory", None)
    if memory is None or memory.nbytes < size:
        memory = _own.memory = torch.empty(size, dtype=torch.uint8, device="cpu")
    return memory


def borrow(rows: int, columns: int, dtype: torch.dtype) -> Tensor:
    """Memory (rows, columns) with whatever stands there, which goes back when it is let go."""
    size = rows * columns * dtype.itemsize
    if not tuning.current.borrow_from <= size <= _MOST:
        return torch.empty(rows, columns, dtype=dtype, device="cpu")
    with _lock:
        memory = _taken(size)
        part = memory[:size]
        _pieces.append(_Piece(memory, weakref.ref(part)))
    return torch.from_numpy(part).view(dtype).view(rows, columns)


def _taken(size: int) -> np.ndarray:
    """The smallest free piece that is large enough, or a new one in place of smaller ones."""
    free = sorted((piece for piece in _pieces if piece.is_free), key=_bytes)
    _pieces[:] = [piece for piece in _pieces if not piece.is_free]
    at = bisect_left(free, size, key=_bytes)
    if at < len(free):
        memory = free.pop(at).memory
    else:
        # In place of the largest, with room for a batch a little longer than this one. By torch,
        # since it begins at a multiple of 64 as kernels expect.
        memory = torch.empty(size + size // 8, dtype=torch.uint8, device="cpu").numpy()
        free = free[:-1]
    kept = 0
    for piece in free:
        kept += _bytes(piece)
        if kept <= _MOST:
            _pieces.append(piece)
    return memory


def _bytes(piece: _Piece) -> int:
    return int(piece.memory.nbytes)
