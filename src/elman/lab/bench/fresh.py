"""Measurements that need a process of their own: `child` makes them.

It is started with the number of threads in its environment, as OpenMP and XLA read it there once.
"""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from elman.cells import find
from elman.errors import LabError
from elman.lab.bench.options import Options, Shape
from elman.lab.bench.result import Row, Skipped

_GIVE_BACK = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
"""Has glibc give freed memory back at once, so that the resident set shows what is in use."""
_COMPILE_NOTHING = ("builtin", "eager")


def answers(
    request: dict[str, Any], *, threads: int, environment: dict[str, str] | None = None
) -> Iterator[Any]:
    """Start a child and yield its answers as they come.

    Raises:
        LabError: the child failed, with the last line that it wrote on stderr.
    """
    command = [sys.executable, "-m", "elman.lab.bench.child"]
    pipes: dict[str, Any] = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with (
        tempfile.TemporaryFile() as errors,
        subprocess.Popen(
            command, **{**pipes, "stderr": errors}, env=_environment(threads) | (environment or {})
        ) as child,
    ):
        assert child.stdin is not None
        assert child.stdout is not None
        try:
            child.stdin.write(msgspec.json.encode(request))
            child.stdin.close()
            for line in child.stdout:
                yield msgspec.json.decode(line)
        except BaseException:
            child.kill()
            raise
        if child.wait():
            errors.seek(0)
            said = errors.read().decode(errors="replace").strip().splitlines()
            raise LabError(f"a measuring process failed: {said[-1] if said else child.returncode}")


def _environment(threads: int) -> dict[str, str]:
    environment = os.environ | {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    # XLA counts its threads by NPROC; with one, its matrix products must not share them out.
    environment["NPROC"] = str(threads)
    if threads == 1:
        flags = os.environ.get("XLA_FLAGS", "")
        environment["XLA_FLAGS"] = f"{flags} --xla_cpu_multi_thread_eigen=false".strip()
    return environment


def measured(options: Options, threads: int) -> Iterator[Row | Skipped]:
    """What `works.measure` finds, in a process with so many threads."""
    request = {"kind": "measure", "options": msgspec.to_builtins(options), "threads": threads}
    for kind, value in answers(request, threads=threads):
        if kind == "row":
            yield msgspec.convert(value, Row)
        else:
            yield msgspec.convert(value, Skipped)


def memory(cell: str, shape: Shape, *, threads: int) -> Row | None:
    """Elman's and torch's growth at the peak; None where the system does not say it."""
    request = {"kind": "memory", "cell": cell, "shape": shape}

    def grown(side: str) -> Any:
        (answer,) = answers({**request, "side": side}, threads=threads, environment=environment)
        return answer

    with tempfile.TemporaryDirectory() as folder:
        environment = {**_GIVE_BACK, "ELMAN_CACHE": folder}
        # The first one compiles. What a compiler leaves free behind it would hide a growth.
        grown("elman")
        ours, theirs = grown("elman"), grown("torch")
    if ours["megabytes"] is None or theirs["megabytes"] is None:
        return None
    mine, other = (max(answer["megabytes"], 1e-3) for answer in (ours, theirs))
    return Row(
        work="memory",
        cell=find(cell).name,
        shape=shape,
        threads=threads,
        backend=ours["backend"],
        against="nn.LSTM",
        unit="MB",
        ours=mine,
        theirs=other,
        ratios=[other / mine],
    )


def compiled(
    cells: Sequence[str], shapes: Sequence[Shape], *, threads: int
) -> Iterator[Row | Skipped]:
    """Both kernels with an empty cache in one process, and with the filled one in a second.

    The second one finds the files that the first one has just written in the system's memory.
    """
    # One number of units a process and a cache: what a cell needs but once must count for each.
    firsts: dict[int, Shape] = {}
    for shape in shapes:
        firsts.setdefault(shape.hidden_size, shape)
    for shape in firsts.values():
        request = {"kind": "compile", "cells": list(cells), "shape": shape}
        with tempfile.TemporaryDirectory() as folder:
            for work, unit, factor in (("compile", "s", 1.0), ("reload", "ms", 1e3)):
                for answer in answers(
                    request, threads=threads, environment={"ELMAN_CACHE": folder}
                ):
                    cell, backend = find(answer["cell"]).name, answer["backend"]
                    if backend in _COMPILE_NOTHING:
                        yield Skipped(f"compile {cell}", f"{backend} compiles nothing")
                        continue
                    more = f"besides {1e3 * answer['loading']:.0f} ms a process to import llvmlite"
                    yield Row(
                        work=work,
                        cell=cell,
                        shape=shape,
                        threads=threads,
                        backend=backend,
                        unit=unit,
                        ours=factor * answer["seconds"],
                        note=more,
                    )
