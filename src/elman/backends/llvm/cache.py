"""Compiled code on disk, so that a cell and size is compiled once a machine.

The key is made of everything that the code depends on: the kernel, its sizes, the sources of the
compiler itself, the versions of llvmlite and LLVM, and the processor.
"""

import hashlib
import logging
import os
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import elman
from elman.backends.llvm import engine
from elman.backends.llvm.emit import Emitter

_log = logging.getLogger(__name__)
_MAGIC = b"elman kernel 1\n"


class Source:
    """A kernel's assembly, written only when it is not in the cache."""

    def __init__(self, writer: Emitter) -> None:
        self.writer = writer

    @property
    def key(self) -> str:
        """What tells this code from all other."""
        writer = self.writer
        parts = (
            _compiler(),
            engine.versions(),
            engine.host(),
            writer.kernel,
            sorted(writer.kernel.level.items(), key=str),
            sorted(writer.matrices.items()),
            writer.shape,
            writer.words,
        )
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    def text(self) -> str:
        """The assembly."""
        return self.writer.text()


@cache
def _compiler() -> str:
    """A hash of the compiler's sources."""
    root = Path(elman.__file__).parent
    digest = hashlib.sha256()
    for folder in ("ir", "autodiff", "schedule", "backends/llvm"):
        for path in sorted((root / folder).glob("*.py")):
            digest.update(path.read_bytes())
    digest.update((root / "compiler.py").read_bytes())
    return digest.hexdigest()


def folder() -> Path:
    """Where compiled code is kept: ``ELMAN_CACHE``, or the platform's cache folder."""
    chosen = os.environ.get("ELMAN_CACHE")
    if chosen:
        return Path(chosen)
    home = Path.home()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = home / "Library" / "Caches"
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or home / ".cache")
    return base / "elman"


def load(source: Source, names: tuple[str, ...]) -> tuple[Any, dict[str, int]]:
    """The addresses of the functions, from the cache or compiled now, and what keeps them alive."""
    return engine.load(engine.compile_object(source.text()), names)
