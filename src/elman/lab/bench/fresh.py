"""Measurements that need a process of their own, and the process that makes them.

A child is ``python -m elman.lab.bench.fresh``: a request as JSON on stdin, answers as lines of JSON
on stdout. It is started with the number of threads in its environment, as OpenMP and XLA read it
there once.
"""

import gc
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec

from elman.errors import LabError
from elman.lab.bench.options import Options, Shape
from elman.lab.bench.result import Row, Skipped

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")
_GIVE_BACK = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}
"""Has glibc give freed memory back at once, so that the resident set shows what is in use."""
_LATER_STEPS = 5


# ---------------------------------------------------------------------------------------------
# Asking


def answers(
    request: dict[str, Any], *, threads: int, environment: dict[str, str] | None = None
) -> Iterator[Any]:
    """Start a child and yield its answers as they come.

    Raises:
        LabError: the child failed, with the last line that it wrote on stderr.
    """
    command = [sys.executable, "-m", "elman.lab.bench.fresh"]
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
    found = os.environ | {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    # XLA counts its threads by NPROC; with one, its matrix products must not share them out.
    found["NPROC"] = str(threads)
    if threads == 1:
        flags = os.environ.get("XLA_FLAGS", "")
        found["XLA_FLAGS"] = f"{flags} --xla_cpu_multi_thread_eigen=false".strip()
    return found


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
    ours, theirs = (
        next(answers({**request, "side": side}, threads=threads, environment=_GIVE_BACK))
        for side in ("elman", "torch")
    )
    if ours["megabytes"] is None or theirs["megabytes"] is None:
        return None
    mine, other = (max(one["megabytes"], 1e-3) for one in (ours, theirs))
    return Row(
        work="memory",
        cell=cell,
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
    """The first step with an empty cache in one process, with the filled one in a second."""
    sizes = list(dict.fromkeys((shape.input_size, shape.hidden_size) for shape in shapes))
    request = {"kind": "compile", "cells": list(cells), "sizes": sizes}
    with tempfile.TemporaryDirectory() as folder:
        for work, unit, factor in (("compile", "s", 1.0), ("reload", "ms", 1e3)):
            for found in answers(request, threads=threads, environment={"ELMAN_CACHE": folder}):
                cell, backend = found["cell"], found["backend"]
                if not any(Path(folder).iterdir()):
                    if work == "compile":
                        yield Skipped(f"compile {cell}", f"{backend} compiles nothing")
                    continue
                yield Row(
                    work=work,
                    cell=cell,
                    shape=Shape(1, 1, *found["sizes"]),
                    threads=threads,
                    backend=backend,
                    unit=unit,
                    ours=factor * found["seconds"],
                )


# ---------------------------------------------------------------------------------------------
# Answering


def _measure(request: dict[str, Any]) -> Iterator[Any]:
    from elman.lab.bench.works import measure

    options = msgspec.convert(request["options"], Options)
    for found in measure(options, request["threads"]):
        yield ("row" if isinstance(found, Row) else "skipped"), found


def _memory(request: dict[str, Any]) -> Iterator[Any]:
    from elman.cells import find
    from elman.lab.bench import subjects
    from elman.lab.bench.works import dense_step

    shape = Shape(*request["shape"])
    cell = find(request["cell"] if request["side"] == "elman" else "lstm")

    def step(at: Shape) -> Callable[[], object]:
        batch = subjects.batch(at, ragged=False)
        weights = subjects.source(cell, at.input_size, at.hidden_size)
        if request["side"] == "elman":
            return dense_step(cell, at, weights, batch)
        return subjects.train_dense(weights, batch)

    with subjects.watched() as ran:
        small = step(shape._replace(steps=2, rows=min(shape.rows, 4)))
        small()
    # The matrix products keep buffers of their own for good, on either side.
    subjects.train_products(shape.steps * shape.rows, shape.input_size, 4 * shape.hidden_size)()
    large = step(shape)
    yield {"megabytes": growth(large), "backend": ", ".join(ran) or "torch"}


def growth(step: Callable[[], object]) -> float | None:
    """How many megabytes the resident set grows at the peak of three calls."""
    gc.collect()
    before, peak = _resident()
    if peak is None:
        return None
    for _ in range(3):
        step()
    return peak() - before


def _resident() -> tuple[float, Callable[[], float] | None]:
    """The resident set now, and a function that says its peak from now on, in megabytes."""
    if _STATUS.exists() and _CLEAR.exists():
        _CLEAR.write_text("5")  # the peak begins anew
        return _status("VmRSS"), lambda: _status("VmHWM")
    try:
        import resource
    except ImportError:  # Windows
        return 0.0, None
    unit = 1e6 if sys.platform == "darwin" else 1e3

    def peak() -> float:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit

    return peak(), peak


def _status(name: str) -> float:
    line = next(line for line in _STATUS.read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) / 1e3


def _compile(request: dict[str, Any]) -> Iterator[Any]:
    from elman.cells import find
    from elman.lab.bench import subjects

    def seconds(name: str, input_size: int, hidden_size: int) -> tuple[float, str]:
        cell, shape = find(name), Shape(2, 2, input_size, hidden_size)
        batch = subjects.batch(shape, ragged=False)
        weights = subjects.source(cell, input_size, hidden_size)
        step = subjects.train_packed(subjects.recurrent(cell, weights, shape), batch)
        times = []
        with subjects.watched() as ran:
            for _ in range(1 + _LATER_STEPS):
                start = time.perf_counter()
                step()
                times.append(time.perf_counter() - start)
        return times[0] - sorted(times[1:])[_LATER_STEPS // 2], ", ".join(ran)

    seconds("elman_relu", 3, 5)  # loads torch's and LLVM's own code
    for cell in request["cells"]:
        for sizes in request["sizes"]:
            took, backend = seconds(cell, *sizes)
            yield {"cell": cell, "sizes": sizes, "seconds": max(took, 0.0), "backend": backend}


_KINDS: dict[str, Callable[[dict[str, Any]], Iterator[Any]]] = {
    "measure": _measure,
    "memory": _memory,
    "compile": _compile,
}


def main() -> None:
    """Answer one request."""
    request = msgspec.json.decode(sys.stdin.buffer.read())
    try:
        for found in _KINDS[request["kind"]](request):
            sys.stdout.buffer.write(msgspec.json.encode(found) + b"\n")
            sys.stdout.buffer.flush()
    except LabError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
