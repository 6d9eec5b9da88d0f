"""The machines that tests compile kernels for, other than the one they run on."""

from contextlib import contextmanager
from dataclasses import replace

import pytest

from elman.backends.llvm import engine, products, scatter, subnormals
from elman.backends.llvm.plan import plan

HERE = engine.host()
TILES = {"software": replace(HERE, tiles="software")}
"""This machine with matrix tiles, of each form that it can have."""
if HERE.tiles:
    TILES["native"] = HERE

RUNS = {"neon": engine.Host("generic", "", 16, 32)}
"""Those with fewer and narrower registers whose code this one can run."""
if engine.is_x86():
    RUNS = {"sse2": engine.Host("x86-64", "", 16, 16)}
    if HERE.vector_bytes >= 32:
        RUNS["avx2"] = engine.Host("haswell", "", 32, 16)

_X86, _ARM = "x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"
READS = {
    "skylake": (engine.Host("skylake-avx512", "", 64, 32), _X86),
    "sapphire": (
        engine.Host("sapphirerapids", "+amx-tile,+amx-bf16", 64, 32, tiles="native"),
        _X86,
    ),
    "haswell": (engine.Host("haswell", "", 32, 16, tiles="software"), _X86),
    "neon": (engine.Host("generic", "", 16, 32, tiles="software"), _ARM),
}
"""Those whose code is compiled to be read, on any machine."""


@contextmanager
def running(host):
    """Kernels are compiled anew, for this machine."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "host", lambda: host)
        _forget()
        yield
    _forget()


def _forget():
    plan.cache_clear()
    products._compiled.cache_clear()
    scatter._compiled.cache_clear()


@contextmanager
def reading(name):
    """Code is compiled for one of `READS`."""
    from llvmlite import binding

    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    host, triple = READS[name]
    machine = binding.Target.from_triple(triple).create_target_machine(
        cpu=host.cpu, features=host.features, opt=3, reloc="pic", codemodel="small"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "host", lambda: host)
        patch.setattr(engine, "_machine", lambda: machine)
        patch.setattr(subnormals, "is_x86", lambda: triple == _X86)
        yield
