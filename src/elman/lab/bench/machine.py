"""Where the figures come from: processor, cores, load and versions."""

import os
import platform
from importlib import metadata
from pathlib import Path

import msgspec

from elman.lab.bench.options import available_cores

_PACKAGES = ("elman", "torch", "numpy", "llvmlite", "jax", "jaxlib")
_AMX = "amx_bf16"
_VECTORS = ("avx512f", "avx2", "avx", "sse2", "asimd")


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """The machine and what ran on it."""

    processor: str
    vectors: str
    """The widest vector instructions, and the matrix unit; empty where the system does not say."""
    cores: int
    """That the process may use."""
    load: float
    """Runnable processes, mean over the minute before: others take time from both sides."""
    system: str
    python: str
    versions: dict[str, str]


def machine() -> Machine:
    """This machine, now."""
    facts = _cpuinfo()
    flags = set((facts.get("flags") or facts.get("Features") or "").split())
    return Machine(
        processor=facts.get("model name") or platform.processor() or platform.machine(),
        vectors=" and ".join([*[name for name in _VECTORS if name in flags][:1], *{_AMX} & flags]),
        cores=available_cores(),
        load=round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else 0.0,
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        versions={name: version for name in _PACKAGES if (version := _version(name))},
    )


def _cpuinfo() -> dict[str, str]:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    pairs = (line.partition(":") for line in lines if ":" in line)
    return {name.strip(): value.strip() for name, _, value in pairs}


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
