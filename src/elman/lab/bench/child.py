"""The process that measures what needs one of its own; `fresh` starts it.

A request comes as JSON on stdin, answers go as lines of JSON to stdout.
"""

import ctypes
import gc
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import torch

from elman.backends import choose, compiled
from elman.backends.llvm import Call, host, signature_of
from elman.cells import find
from elman.errors import LabError
from elman.lab.bench import subjects, works
from elman.lab.bench.options import Options, Shape
from elman.lab.bench.result import Row

_STATUS = Path("/proc/self/status")
_CLEAR = Path("/proc/self/clear_refs")


def _measure(request: dict[str, Any]) -> Iterator[Any]:
    options = msgspec.convert(request["options"], Options)
    for result in works.measure(options, request["threads"]):
        yield ("row" if isinstance(result, Row) else "skipped"), result


def _memory(request: dict[str, Any]) -> Iterator[Any]:
    shape = Shape(*request["shape"])
    cell = find(request["cell"] if request["side"] == "elman" else "lstm")

    def step(at: Shape) -> Callable[[], object]:
        batch = subjects.batch(at, ragged=False)
        weights = subjects.source(cell, at.input_size, at.hidden_size)
        if request["side"] == "elman":
            return subjects.dense_step(cell, at, weights, batch)
        return subjects.train_dense(weights, batch)

    with subjects.watched() as ran:
        # Not so small that it is left to torch's kernels.
        small = step(shape._replace(steps=8, rows=min(shape.rows, 4)))
        small()
    # The matrix products keep buffers of their own for good, on either side.
    subjects.train_products(shape.steps * shape.rows, shape.input_size, 4 * shape.hidden_size)()
    large = step(shape)
    yield {"megabytes": growth(large), "backend": ", ".join(ran) or "torch"}


def growth(step: Callable[[], object]) -> float | None:
    """How many megabytes the resident set grows at the peak of three calls."""
    gc.collect()
    with suppress(OSError, AttributeError, TypeError):  # glibc alone has it
        ctypes.CDLL(None).malloc_trim(0)
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
    shape = Shape(*request["shape"])

    def seconds(name: str, size: int) -> tuple[float, str]:
        graph = find(name).graph
        backend = choose("auto", graph, device=torch.device("cpu"), dtype=torch.float32)
        start = time.perf_counter()
        if backend is compiled:
            tokens = shape.steps * shape.rows
            sizes = torch.full((shape.steps,), shape.rows)
            call = Call(signature_of(graph), size, sizes, shape.rows, tokens, reverse=False)
            for kind in ("forward", "backward"):
                call.executable(kind, torch.float32, 1)
        return time.perf_counter() - start, backend.name

    # As timeit does: a collection of all that torch has made takes longer than what is timed.
    gc.collect()
    gc.disable()
    start = time.perf_counter()
    with suppress(host.UnsupportedError):
        host.detect()  # imports llvmlite
    loading = time.perf_counter() - start
    seconds("elman_relu", 5)  # the first call of LLVM
    for cell in request["cells"]:
        took, backend = seconds(cell, shape.hidden_size)
        yield {"cell": cell, "seconds": took, "loading": loading, "backend": backend}


KINDS: dict[str, Callable[[dict[str, Any]], Iterator[Any]]] = {
    "measure": _measure,
    "memory": _memory,
    "compile": _compile,
}


def main() -> None:
    """Answer one request."""
    request = msgspec.json.decode(sys.stdin.buffer.read())
    try:
        for answer in KINDS[request["kind"]](request):
            sys.stdout.buffer.write(msgspec.json.encode(answer) + b"\n")
            sys.stdout.buffer.flush()
    except LabError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(1)


if __name__ == "__main__":
    main()
