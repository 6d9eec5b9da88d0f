"""All that a kernel's assembly follows from, as data: its key in the cache of compiled code."""

from collections.abc import Mapping
from dataclasses import dataclass

from elman.backends.llvm.emit.blocking import Shape
from elman.backends.llvm.emit.tuning import CodeTuning
from elman.schedule.kernel import Kernel


@dataclass(frozen=True)
class KernelSpec:
    """One kernel for one size and type of number, on one kind of processor.

    Two of them that are equal have the same assembly, whatever else the process has seen.
    """

    kernel: Kernel
    shape: Shape
    places: Mapping[str, tuple[str, int]]
    """For each matrix its stack and its position there."""
    x86: bool
    """Whether subnormal numbers are flushed to zero as x86 does it."""
    tuning: CodeTuning
