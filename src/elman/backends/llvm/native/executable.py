"""A kernel as machine code: compiled or taken from the cache, loaded and ready to be called."""

import ctypes
from functools import partial
from typing import Any

from elman.backends.llvm.emit.kernel import write
from elman.backends.llvm.emit.layout import Layout
from elman.backends.llvm.emit.spec import KernelSpec
from elman.backends.llvm.native import cache

_ENTRIES = ("partition", "run", "run_team", "pack", "pack_team", "whole")
_Entry: Any = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_int64, ctypes.c_int64)


class Executable:
    """Machine code of a kernel.

    Its functions take the address of a call's words (`words` says which they are, eight bytes
    each), the number of the thread and how many there are; the addresses for a team of OpenMP
    threads take the words alone. What words that point to memory need is up to the caller.
    """

    def __init__(self, spec: KernelSpec) -> None:
        layout = Layout(spec)
        self.spec = spec
        self.kernel = spec.kernel
        self.words = layout.words
        self.Words: Any = ctypes.c_int64 * len(layout.words)
        """The words of one call."""
        self.arrays = (
            *(array.name for array in spec.kernel.arrays),
            *(f"weights.{name}" for name in layout.stacks),
        )
        """The arrays and matrices whose addresses the words end with."""
        self.has_matrices = bool(layout.stacks)
        self.packed_bytes = layout.packed_bytes
        self.scratch_bytes = layout.scratch_bytes
        """Of each thread."""
        self.total_width = spec.shape.whole
        """Numbers of each sum over tokens: units with those that fill the last vector."""
        source = cache.Source(spec, partial(write, layout))
        self._alive, addresses = cache.load(source, _ENTRIES)
        self.partition, self.run, self.pack, self.whole = (
            _Entry(addresses[name]) for name in ("partition", "run", "pack", "whole")
        )
        self.run_team, self.pack_team = addresses["run_team"], addresses["pack_team"]
