"""The most that a core can do: a loop of fused multiply-adds on registers, compiled by LLVM."""

import ctypes
from collections.abc import Callable
from functools import cache
from typing import Any

from elman.backends.llvm import compiler, host, threads

ACCUMULATORS = 12
"""Enough to hide the latency of an fma, few enough for sixteen registers with their operands."""
TURNS = 1_000_000


def why_not() -> str | None:
    """Why the loop cannot run here; None when it can."""
    try:
        host.detect()
    except host.UnsupportedError as error:
        return str(error)
    return None


def loop(count: int) -> tuple[Callable[[], object], int]:
    """A function that runs the loop in so many threads at once, and its FLOPs."""
    function, lanes = _compiled()
    # All threads write the same numbers there, at their ends.
    result = ctypes.create_string_buffer(4 * lanes + 64)
    team = threads.team()

    def run() -> None:
        if count == 1:
            function(result)
        elif team is not None:
            team.parallel(function, result, count, 0)
        else:
            threads.in_pool(lambda _: function(result), count)

    return run, 2 * lanes * ACCUMULATORS * TURNS * count


@cache
def _compiled() -> tuple[Any, int]:
    lanes = host.detect().lanes("float").count
    tracker, addresses = compiler.load(compiler.compile_object(_text(lanes)), ("bare_fma",))
    function = compiler.function(addresses["bare_fma"])
    function.keep = tracker  # as long as the function lives
    return function, lanes


def _text(lanes: int) -> str:
    vector, number = f"<{lanes} x float>", "splat (float {})"
    name = f"@llvm.fma.v{lanes}f32"
    places = range(ACCUMULATORS)
    half, one = number.format("0.5"), number.format("1.0")
    lines = [
        f"declare {vector} {name}({vector}, {vector}, {vector})",
        "define void @bare_fma(ptr %result) {",
        "entry:",
        "  br label %loop",
        "loop:",
        "  %turn = phi i64 [0, %entry], [%next, %loop]",
        *(f"  %a{i} = phi {vector} [zeroinitializer, %entry], [%b{i}, %loop]" for i in places),
        *(
            f"  %b{i} = call {vector} {name}({vector} %a{i}, {vector} {half}, {vector} {one})"
            for i in places
        ),
        "  %next = add i64 %turn, 1",
        f"  %done = icmp eq i64 %next, {TURNS}",
        "  br i1 %done, label %end, label %loop",
        "end:",
        f"  %s0 = fadd {vector} %b0, %b1",
        *(f"  %s{i} = fadd {vector} %s{i - 1}, %b{i + 1}" for i in range(1, ACCUMULATORS - 1)),
        f"  store {vector} %s{ACCUMULATORS - 2}, ptr %result, align 4",
        "  ret void",
        "}",
    ]
    return "\n".join(lines) + "\n"
