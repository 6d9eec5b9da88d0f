"""The processor that kernels are compiled for."""

import ctypes
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, Literal

from elman.backends.llvm.emit.assembly import SIZES, Lanes
from elman.backends.llvm.emit.blocking import Shape
from elman.backends.llvm.emit.spec import KernelSpec
from elman.backends.llvm.emit.tuning import CODE, CodeTuning
from elman.forks import at_fork
from elman.schedule.kernel import Kernel

_WIDTHS = (("avx512f", 64), ("avx2", 32), ("sse2", 16), ("neon", 16))
"""Instruction sets with vectors of so many bytes, the widest first."""


@dataclass(frozen=True)
class Host:
    """A processor, as far as kernels depend on it."""

    cpu: str
    features: str
    vector_bytes: int
    registers: int
    """Vector registers."""
    amx: Literal["native", "software"] | None = None
    """Its matrix unit (AMX), if it has one that this process may use: the processor's own or, for
    tests, in software (``emit.amx.software``)."""

    def lanes(self, scalar: str) -> Lanes:
        """Its vectors of float or double."""
        return Lanes(scalar, self.vector_bytes // SIZES[scalar])

    def spec(
        self,
        kernel: Kernel,
        places: Mapping[str, tuple[str, int]],
        hidden_size: int,
        scalar: str,
        *,
        amx: bool = False,
        tuning: CodeTuning = CODE,
    ) -> KernelSpec:
        """All that the code of a kernel for this processor follows from.

        Args:
            kernel: as the compiler made it.
            places: for each matrix its stack and its position there.
            hidden_size: H.
            scalar: float or double.
            amx: whether products go to the matrix unit (AMX).
            tuning: of the code.
        """
        shape = Shape(hidden_size, self.lanes(scalar), self.registers, amx)
        return KernelSpec(kernel, shape, places, is_x86(), tuning)


class UnsupportedError(Exception):
    """Why no kernel can be compiled here, as the end of a sentence."""


@cache
def detect() -> Host:
    """This machine's.

    Raises:
        UnsupportedError: llvmlite is missing, or the machine has no vectors that Elman knows.
    """
    llvm = llvmlite()
    features = llvm.get_host_cpu_features()
    arm = platform.machine().lower() in ("aarch64", "arm64")
    for name, width in _WIDTHS:
        # Every 64-bit Arm has NEON; LLVM does not always list it.
        if features.get(name) or (arm and name == "neon"):
            needs_fma = name != "sse2"
            if needs_fma and not arm and not features.get("fma"):
                continue
            registers = 32 if width == 64 or arm else 16
            amx: Literal["native"] | None = "native" if amx_usable(features) else None
            cpu = llvm.get_host_cpu_name()
            return Host(cpu, features.flatten(), width, registers, amx)
    raise UnsupportedError(
        f"this machine ({platform.machine()}) has no vector instructions it knows"
    )


@cache
def llvmlite() -> Any:
    """llvmlite's binding, made ready for this machine.

    Raises:
        UnsupportedError: it cannot be imported.
    """
    try:
        from llvmlite import binding
    except (ImportError, OSError) as error:
        raise UnsupportedError(f"llvmlite cannot be imported ({error})") from None
    # llvm.initialize() raises in this version; the native target is all that is needed.
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    _wait_at_forks(binding)
    return binding


def _wait_at_forks(binding: Any) -> None:
    """Let no process fork in the middle of a call of LLVM, which a child could never end.

    (llvmlite makes all calls under one lock, which it does not offer. Without it, a child would
    wait for ever only where another thread of its parent was compiling.)
    """
    lock = getattr(binding.ffi.lib, "_lock", None)
    if lock is not None:
        let_go = partial(lock.__exit__, None, None, None)
        at_fork(before=lock.__enter__, after_in_parent=let_go, after_in_child=let_go)


def is_x86() -> bool:
    """Whether this machine is a 64-bit x86."""
    return platform.machine().lower() in ("x86_64", "amd64")


# ---------------------------------------------------------------------------------------------
# The matrix unit

_AMX = ("amx-tile", "amx-bf16", "avx512f", "avx512bw")
_ARCH_PRCTL, _REQUEST, _TILE_DATA = 158, 0x1023, 18


def amx_usable(features: dict[str, bool]) -> bool:
    """Whether the processor has AMX and the system lets this process use them.

    Linux gives its memory only to a process that asks (arch_prctl, ARCH_REQ_XCOMP_PERM), once
    for all of its threads.
    """
    if not all(features.get(name) for name in _AMX):
        return False
    return sys.platform == "linux" and platform.machine() == "x86_64" and _permitted()


@cache
def _permitted() -> bool:
    call = ctypes.CDLL(None, use_errno=True).syscall
    call.restype = ctypes.c_long
    number, request, feature = map(ctypes.c_long, (_ARCH_PRCTL, _REQUEST, _TILE_DATA))
    return bool(call(number, request, feature) == 0)
