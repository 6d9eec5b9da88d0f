"""From LLVM's assembly to code that runs: the host's instruction set, object code, loading."""

import ctypes
import platform
from dataclasses import dataclass
from functools import cache
from itertools import count
from typing import Any, Literal

from elman.backends.llvm import amx, software_tiles
from elman.backends.llvm.builder import Lanes

_numbers = count()
_WIDTHS = (("avx512f", 64), ("avx2", 32), ("sse2", 16), ("neon", 16))
"""Instruction sets with vectors of so many bytes, the widest first."""


@dataclass(frozen=True)
class Host:
    """The machine that kernels are compiled for."""

    cpu: str
    features: str
    vector_bytes: int
    registers: int
    """Vector registers."""
    tiles: Literal["native", "software"] | None = None
    """Its matrix tiles (see ``amx``), if any: the processor's own or, for tests, in software."""

    def lanes(self, scalar: str) -> Lanes:
        """The vectors of this machine for float or double."""
        return Lanes(scalar, self.vector_bytes // {"float": 4, "double": 8}[scalar])


class UnsupportedError(Exception):
    """Why no kernel can be compiled here, as the end of a sentence."""


@cache
def host() -> Host:
    """This machine.

    Raises:
        UnsupportedError: llvmlite is missing, or the machine has no vectors that Elman knows.
    """
    llvm = _llvm()
    features = llvm.get_host_cpu_features()
    arm = platform.machine().lower() in ("aarch64", "arm64")
    for name, width in _WIDTHS:
        # Every 64-bit Arm has NEON; LLVM does not always list it.
        if features.get(name) or (arm and name == "neon"):
            needs_fma = name != "sse2"
            if needs_fma and not arm and not features.get("fma"):
                continue
            registers = 32 if width == 64 or arm else 16
            tiles: Literal["native"] | None = "native" if amx.usable(features) else None
            cpu = llvm.get_host_cpu_name()
            return Host(cpu, features.flatten(), width, registers, tiles)
    raise UnsupportedError(
        f"this machine ({platform.machine()}) has no vector instructions it knows"
    )


@cache
def _llvm() -> Any:
    try:
        from llvmlite import binding
    except (ImportError, OSError) as error:
        raise UnsupportedError(f"llvmlite cannot be imported ({error})") from None
    # llvm.initialize() raises in this version; the native target is all that is needed.
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    return binding


def versions() -> str:
    """Of llvmlite and LLVM."""
    import llvmlite

    return f"llvmlite {llvmlite.__version__}, LLVM {_llvm().llvm_version_info}"


def _machine() -> Any:
    llvm, here = _llvm(), host()
    target = llvm.Target.from_default_triple()
    return target.create_target_machine(
        cpu=here.cpu, features=here.features, opt=3, reloc="pic", codemodel="small", jit=True
    )


def _parsed(text: str, machine: Any) -> Any:
    if host().tiles == "software":
        text = software_tiles.replaced(text)
    parsed = _llvm().parse_assembly(text)
    parsed.triple = machine.triple
    parsed.data_layout = str(machine.target_data)
    return parsed


def compile_object(text: str) -> bytes:
    """Object code for this machine, from assembly."""
    machine = _machine()
    parsed = _parsed(text, machine)
    parsed.verify()
    return bytes(machine.emit_object(parsed))


def assembly(text: str) -> str:
    """The machine's own assembly, for reading."""
    machine = _machine()
    return str(machine.emit_assembly(_parsed(text, machine)))


def load(code: bytes, names: tuple[str, ...]) -> tuple[Any, dict[str, int]]:
    """The addresses of functions in object code, and what keeps them alive.

    Raises:
        RuntimeError: the code is not what LLVM can link.
    """
    llvm = _llvm()
    builder = llvm.JITLibraryBuilder().add_object_img(code).add_current_process()
    for name in names:
        builder.export_symbol(name)
    tracker = builder.link(_jit(), f"elman{next(_numbers)}")
    return tracker, {name: tracker[name] for name in names}


@cache
def _jit() -> Any:
    return _llvm().create_lljit_compiler(_machine())


def function(address: int) -> Any:
    """A compiled function of one pointer as a Python callable; it lets go of the GIL."""
    return ctypes.CFUNCTYPE(None, ctypes.c_void_p)(address)


def is_x86() -> bool:
    """Whether this machine has x86's control register for subnormal numbers."""
    return platform.machine().lower() in ("x86_64", "amd64")
