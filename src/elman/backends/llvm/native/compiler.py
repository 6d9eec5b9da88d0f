"""From LLVM's assembly to code that runs: object code, loading, calling."""

import ctypes
import sys
from functools import cache
from itertools import count
from typing import Any

from elman.backends.llvm.emit.amx import software
from elman.backends.llvm.native import host

_numbers = count()


def versions() -> str:
    """Of llvmlite and LLVM."""
    import llvmlite

    return f"llvmlite {llvmlite.__version__}, LLVM {host.llvmlite().llvm_version_info}"


def _machine() -> Any:
    llvm, here = host.llvmlite(), host.detect()
    target = llvm.Target.from_default_triple()
    return target.create_target_machine(
        cpu=here.cpu, features=here.features, opt=3, reloc="pic", codemodel="small", jit=True
    )


def _parsed(text: str, machine: Any) -> Any:
    if host.detect().amx == "software":
        text = software.replaced(text)
    parsed = host.llvmlite().parse_assembly(text)
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
    llvm = host.llvmlite()
    builder = llvm.JITLibraryBuilder().add_object_img(code).add_current_process()
    for name in names:
        builder.export_symbol(name)
    tracker = builder.link(_jit(), f"elman{next(_numbers)}")
    return tracker, {name: tracker[name] for name in names}


@cache
def _jit() -> Any:
    # JITLink keeps all sections of an object in one piece of memory. LLVM's older linker maps each
    # where there is room, and aborts the process where code and its constants come to lie 2 GB
    # apart: with a few gigabytes mapped and holes above them, or after other code was unloaded.
    one_piece = sys.platform != "win32"  # where it is young
    return host.llvmlite().create_lljit_compiler(_machine(), use_jit_link=one_piece)


def function(address: int) -> Any:
    """A compiled function of one pointer as a Python callable; it lets go of the GIL."""
    return ctypes.CFUNCTYPE(None, ctypes.c_void_p)(address)
