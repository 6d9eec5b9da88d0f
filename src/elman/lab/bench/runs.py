"""One run: each number of threads in a process of its own, all figures together."""

import time
from collections.abc import Callable

import msgspec

from elman.lab.bench import fresh
from elman.lab.bench.machine import machine
from elman.lab.bench.options import WORKS, Options, available_cores
from elman.lab.bench.result import Result, Row, Skipped, summarise


def bench(options: Options, *, on_row: Callable[[Row], None] | None = None) -> Result:
    """Measure what is asked for.

    Args:
        options: the request.
        on_row: called with each row as it comes.

    Raises:
        LabError: a measuring process failed, or a peer computes something else.
    """
    threads = options.threads or (available_cores(),)
    options = msgspec.structs.replace(options, threads=tuple(dict.fromkeys(threads)))
    here, start = machine(), time.perf_counter()
    rows: list[Row] = []
    skipped: dict[Skipped, None] = {}
    for count in options.threads:
        for result in fresh.measured(options, count):
            if isinstance(result, Skipped):
                skipped[result] = None
                continue
            rows.append(result)
            if on_row is not None:
                on_row(result)
    return Result(
        machine=here,
        options=options,
        how={name: WORKS[name] for name in options.works},
        seconds=time.perf_counter() - start,
        summary=summarise(rows),
        rows=rows,
        skipped=list(skipped),
    )
