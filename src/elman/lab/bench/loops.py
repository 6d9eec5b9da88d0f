"""The time loop alone: of a training step only the seconds in its kernels count, with packing.

What torch does outside, the products with the input, the gradients of weights, memory, is no loop.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from elman import compiler
from elman.cell import Cell
from elman.cells import ALL_CELLS, find
from elman.ir import costs
from elman.lab.bench import fma, subjects, timing
from elman.lab.bench.options import Shape
from elman.lab.bench.result import Row, Skipped
from elman.lab.bench.session import Found, Session
from elman.lab.bench.subjects import Training
from elman.schedule.kernel import Kernel, Slot

_LEAST_SIZE = 128
"""H from which on rates are held to a bar."""


@dataclass(frozen=True)
class _Loop:
    """A training step on rows of equal length, of which the kernels are timed."""

    cell: Cell
    shape: Shape
    step: Training

    @property
    def tokens(self) -> int:
        return self.shape.steps * self.shape.rows

    @property
    def flops(self) -> int:
        """Forward, and as much backward: the weights' gradients are a product after the loop."""
        sizes = {"input_size": self.shape.input_size, "hidden_size": self.shape.hidden_size}
        return 2 * self.tokens * costs.flops(self.cell.graph, **sizes).loop

    @property
    def kernels(self) -> tuple[Kernel, Kernel]:
        """Forward and backward."""
        program = compiler.compile(self.cell.graph)
        assert program.forward is not None
        assert program.backward is not None
        return program.forward, program.backward

    def gigabytes(self, columns: int) -> float:
        """So many columns, of one number a token and unit."""
        return 4 * self.tokens * self.shape.hidden_size * columns / 1e9


def _loop(cell: Cell, shape: Shape) -> _Loop | Skipped:
    weights = subjects.source(cell, shape.input_size, shape.hidden_size)
    step = subjects.dense_step(cell, shape, weights, subjects.batch(shape, ragged=False))
    with subjects.watched() as ran:
        step()
    if ran == ["llvm"]:
        return _Loop(cell, shape, step)
    by = ", ".join(ran) or "torch"
    return Skipped(f"the loop of {cell.name}", f"{by} ran it, which has no kernels of its own")


def traffic(kernel: Kernel) -> tuple[set[Slot], set[Slot]]:
    """The columns that a kernel reads, and those that it writes, of arrays with a row a token.

    What may be left out is: on rows of equal length the output of the step before is not kept.
    """
    streamed = {
        array.name for array in kernel.arrays if array.kind == "token" and not array.optional
    }
    reads = {slot for node, slot in kernel.leaves.items() if node in kernel.last_read}
    writes = {slot for phase in kernel.phases for _, slot in phase.stores}
    return (
        {slot for slot in reads if slot.array in streamed},
        {slot for slot in writes if slot.array in streamed},
    )


# ---------------------------------------------------------------------------------------------
# Works


def rate(session: Session) -> Found:
    """FLOP a second beside a bare loop of fused multiply-adds."""
    reason = fma.why_not()
    if reason is not None:
        yield Skipped("rate", reason)
        return
    yield from _each(session, "rate", list(subjects.TWINS), _beside_fma)


def flops(session: Session) -> Found:
    """FLOP a second beside the LSTM's."""
    names = [cell.name for cell in ALL_CELLS if cell != find("lstm")]
    yield from _each(session, "flops", names, _beside_lstm)


def copy(session: Session) -> Found:
    """Bytes a second beside a copy, of cells without recurrent products."""
    yield from _each(session, "copy", [cell.name for cell in ALL_CELLS], _beside_copy)


def _each(
    session: Session, work: str, default: list[str], measure: Callable[[Session, _Loop], Row]
) -> Found:
    for cell in session.cells(default):
        if isinstance(cell, Skipped):
            yield cell
            continue
        reason = _unsupported_reason(cell, work)
        if reason is not None:
            if session.options.cells:
                yield Skipped(f"{work} {cell.name}", reason)
            continue
        for shape in session.options.shapes:
            loop = _loop(cell, shape)
            yield loop if isinstance(loop, Skipped) else measure(session, loop)


def _unsupported_reason(cell: Cell, work: str) -> str | None:
    has_products = costs.loop_products(cell.graph) > 0
    if work == "copy":
        return "its loop has products; --work flops has it" if has_products else None
    if not has_products:
        return "its loop has no products; --work copy has it"
    if work == "flops" and cell == find("lstm"):
        return "it is what the others are measured by"
    return None


def _beside_fma(session: Session, loop: _Loop) -> Row:
    bare, work = fma.loop(session.threads)
    timed = session.in_turn({"bare": bare, "loop": loop.step}, kernels=("loop",))
    ours, theirs = _rates(loop.flops / 1e9, timed["loop"]), _rates(work / 1e9, timed["bare"])
    return _row(session, "rate", loop, "a bare FMA loop", "GFLOP/s", ours, theirs)


def _beside_lstm(session: Session, loop: _Loop) -> Row:
    bar = _loop(find("lstm"), loop.shape)
    assert isinstance(bar, _Loop)
    timed = session.in_turn({"bar": bar.step, "loop": loop.step}, kernels=("bar", "loop"))
    ours, theirs = _rates(loop.flops / 1e9, timed["loop"]), _rates(bar.flops / 1e9, timed["bar"])
    return _row(session, "flops", loop, "lstm", "GFLOP/s", ours, theirs)


def _beside_copy(session: Session, loop: _Loop) -> Row:
    passes = [slots for kernel in loop.kernels for slots in traffic(kernel)]
    moved, place = sum(map(len, passes)), len(set().union(*passes))
    # As much memory as the loop's: half of it is read and half of it is written.
    numbers = loop.tokens * loop.shape.hidden_size * place // 2
    old, new = torch.randn(numbers), torch.zeros(numbers)
    timed = session.in_turn(
        {"a copy": lambda: new.copy_(old), "loop": loop.step}, kernels=("loop",)
    )
    ours = _rates(loop.gigabytes(moved), timed["loop"])
    theirs = _rates(2 * 4 * numbers / 1e9, timed["a copy"])
    return _row(session, "copy", loop, "a copy", "GB/s", ours, theirs)


def _rates(amount: float, seconds: list[float]) -> list[float]:
    return [amount / duration for duration in seconds]


def _row(
    session: Session,
    work: str,
    loop: _Loop,
    against: str,
    unit: str,
    ours: list[float],
    theirs: list[float],
) -> Row:
    counts = work == "copy" or loop.shape.hidden_size >= _LEAST_SIZE
    return Row(
        work=work,
        cell=loop.cell.name,
        shape=loop.shape,
        threads=session.threads,
        backend="llvm",
        against=against,
        unit=unit,
        ours=float(np.median(ours)),
        theirs=float(np.median(theirs)),
        ratios=timing.ratios(ours, theirs),
        counts=counts,
        note="" if counts else f"H under {_LEAST_SIZE}: not counted below",
    )
