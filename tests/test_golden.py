"""What the compiler makes of three cells, word for word: tests/golden/CELL.STAGE.txt.

The text is that of `elman explain`, for a processor with AVX-512 and matrix tiles whatever this one
is, so it is the same everywhere. If a change of it is meant, write the files anew and read them in
the commit's diff:

    ELMAN_RENEW_GOLDEN=1 python -m pytest tests/test_golden.py
"""

import difflib
import hashlib
import os
import platform
from pathlib import Path

import pytest

from elman.backends.llvm.native import host as hosts
from elman.cells import find
from elman.lab.explain import explain

FOLDER = Path(__file__).parent / "golden"
RENEW = bool(os.environ.get("ELMAN_RENEW_GOLDEN"))
HOW = "if that is meant: ELMAN_RENEW_GOLDEN=1 python -m pytest tests/test_golden.py"
# One product and phase; several gates and a carried state; means, and a product that waits for r h.
CELLS = {cell.name: cell for cell in map(find, ("elman", "lstm", "layer_norm(gru_v1)"))}
STAGES = ("graph", "adjoint", "schedule", "kernel")
SIZE = 70
"""H: some whole blocks of units and a part of one, and enough for matrix tiles."""
HOSTS = (
    hosts.Host("x86-avx512-amx", "", 64, 32, amx="native"),
    hosts.Host("x86-avx2", "", 32, 16),
    hosts.Host("arm-neon", "", 16, 32),
)


@pytest.fixture
def host(monkeypatch):
    """Choose a machine, whatever this one is."""

    def choose(chosen):
        monkeypatch.setattr(hosts, "detect", lambda: chosen)
        name = "x86_64" if chosen.cpu.startswith("x86") else "aarch64"
        monkeypatch.setattr(platform, "machine", lambda: name)

    choose(HOSTS[0])
    return choose


def shown(cell, stage, host):
    """The text of a stage; that of the kernels is short enough to read, their assembly is not."""
    if stage != "kernel":
        return explain(cell, stage)
    options = [{"kernel": "forward"}, {"kernel": "backward"}, {"kernel": "forward", "amx": True}]
    texts = [explain(cell, "kernel", hidden_size=SIZE, **one) for one in options]
    lines = ["LLVM assembly, SHA-256:"]
    for machine in HOSTS:
        host(machine)
        for kernel in ("inference", "forward", "backward"):
            for dtype in ("float32", "float64"):
                for amx in (False, True) if machine.amx and dtype == "float32" else (False,):
                    options = {"kernel": kernel, "dtype": dtype, "amx": amx}
                    text = explain(cell, "llvm", hidden_size=SIZE, **options)
                    what = f"{machine.cpu} {kernel} {dtype}{' amx' if amx else ''}"
                    lines.append(f"{what}: {hashlib.sha256(text.encode()).hexdigest()[:16]}")
    return "\n".join([*texts, *lines]) + "\n"


def difference(name, wanted, found):
    lines = (wanted.splitlines(), found.splitlines())
    return "\n".join(difflib.unified_diff(*lines, f"golden/{name}", "now", lineterm=""))


@pytest.mark.parametrize("stage", STAGES)
@pytest.mark.parametrize("name", CELLS)
def test_the_compiler_says_what_it_said(name, stage, host):
    path = FOLDER / f"{name}.{stage}.txt"
    found = shown(CELLS[name], stage, host)
    if RENEW:
        path.write_text(found, encoding="utf-8")
    wanted = path.read_text(encoding="utf-8")
    assert found == wanted, f"{difference(path.name, wanted, found)}\n{HOW}"


def test_there_are_no_other_files():
    names = {f"{name}.{stage}.txt" for name in CELLS for stage in STAGES}
    assert {path.name for path in FOLDER.iterdir()} == names
