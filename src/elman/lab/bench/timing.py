"""Seconds a call, of several functions in turn."""

import gc
import time
from collections.abc import Callable, Collection, Mapping

from elman.backends.llvm import watched

Step = Callable[[], object]
_Sample = Callable[[Step, int], float]


def in_turn(
    steps: Mapping[str, Step],
    *,
    repeats: int,
    sample_seconds: float,
    kernels: Collection[str] = (),
) -> dict[str, list[float]]:
    """Seconds a call of each function, one figure a round.

    A round takes one sample of each function, in an order that turns around from round to round;
    a sample calls the function as often as it takes to fill ``sample_seconds``. So noise of the
    machine falls on all, and the figures of one round can be set in ratio. Of the functions named
    in ``kernels`` only the seconds within compiled kernels count.
    """
    samples = {name: _kernel_sample if name in kernels else _sample for name in steps}
    calls = {
        name: _enough_calls(step, samples[name], sample_seconds) for name, step in steps.items()
    }
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    order = list(steps)
    for _ in range(repeats):
        for name in order:
            seconds[name].append(samples[name](steps[name], calls[name]))
        order.reverse()
    return seconds


def ratios(theirs: list[float], ours: list[float]) -> list[float]:
    """How many times longer theirs took, round by round."""
    return [a / b for a, b in zip(theirs, ours, strict=True)]


def _enough_calls(step: Step, sample: _Sample, sample_seconds: float) -> int:
    step()
    step()  # warm: compiled, cached, allocated
    calls = 1
    while (seconds := calls * sample(step, calls)) < sample_seconds:
        calls = max(2 * calls, int(1.1 * calls * sample_seconds / max(seconds, 1e-9)))
        calls = min(calls, 1_000_000)
    return calls


def _sample(step: Step, calls: int) -> float:
    collects = gc.isenabled()
    gc.disable()
    try:
        start = time.perf_counter()
        for _ in range(calls):
            step()
        return (time.perf_counter() - start) / calls
    finally:
        if collects:
            gc.enable()


def _kernel_sample(step: Step, calls: int) -> float:
    with watched() as durations:
        _sample(step, calls)
    return sum(seconds for _, seconds in durations) / calls
