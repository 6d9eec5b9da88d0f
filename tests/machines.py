"""The machines that tests compile kernels for, other than the one they run on."""

from contextlib import contextmanager
from dataclasses import replace

import pytest

from elman.backends.llvm.call import index_add, matmul
from elman.backends.llvm.call.signature import signature_of
from elman.backends.llvm.native import compiler, host
from elman.backends.llvm.native.host import Host

HERE = host.detect()
AMX = {"software": replace(HERE, amx="software")}
"""This machine with AMX, in each form that it can have."""
if HERE.amx:
    AMX["native"] = HERE

RUNS = {"neon": Host("generic", "", 16, 32)}
"""Those with fewer and narrower registers whose code this one can run."""
if host.is_x86():
    RUNS = {"sse2": Host("x86-64", "", 16, 16)}
    if HERE.vector_bytes >= 32:
        RUNS["avx2"] = Host("haswell", "", 32, 16)

_X86, _ARM = "x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"
READS = {
    "skylake": (Host("skylake-avx512", "", 64, 32), _X86),
    "sapphire": (Host("sapphirerapids", "+amx-tile,+amx-bf16", 64, 32, amx="native"), _X86),
    "haswell": (Host("haswell", "", 32, 16, amx="software"), _X86),
    "neon": (Host("generic", "", 16, 32, amx="software"), _ARM),
}
"""Those whose code is compiled to be read, on any machine."""


@contextmanager
def running(machine):
    """Kernels are compiled anew, for this machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(host, "detect", lambda: machine)
        _forget()
        yield
    _forget()


def _forget():
    signature_of.cache_clear()  # executables are kept by their signature
    matmul._compiled.cache_clear()
    index_add._compiled.cache_clear()


@contextmanager
def reading(name):
    """Code is compiled for one of `READS`."""
    from llvmlite import binding

    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    machine, triple = READS[name]
    target = binding.Target.from_triple(triple).create_target_machine(
        cpu=machine.cpu, features=machine.features, opt=3, reloc="pic", codemodel="small"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(host, "detect", lambda: machine)
        patch.setattr(host, "is_x86", lambda: triple == _X86)
        patch.setattr(compiler, "_machine", lambda: target)
        yield
