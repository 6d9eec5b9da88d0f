"""What each knob of the compiled backend gains: a training step with it beside one without."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from elman import backends
from elman.backends.llvm import (
    NEVER,
    Call,
    Layout,
    TileLimits,
    Tuning,
    host,
    signature_of,
    tuned,
    write,
)
from elman.cell import Cell
from elman.lab.bench import subjects, timing
from elman.lab.bench.equal import check_equal
from elman.lab.bench.options import Shape
from elman.lab.bench.result import Row, Skipped
from elman.lab.bench.session import Found, Session
from elman.lab.bench.subjects import Training

CELLS = ("lstm", "gru")
VECTORS = "llvm on vectors"
"""The backend's name where its matrix unit is left aside."""
USUAL = Tuning()
_NO_AMX: dict[str, Any] = {"amx_rows": NEVER, "amx_call": float("inf")}


@dataclass(frozen=True)
class Knob:
    """Something that could be otherwise, turned off."""

    name: str
    off: Tuning
    amx: bool = False
    """Whether it matters only on processors with a matrix unit."""
    threads: bool = False
    """Whether it matters only with several threads."""


def _code(**changes: Any) -> Tuning:
    return Tuning(code=replace(USUAL.code, **changes))


def _half(limits: TileLimits) -> TileLimits:
    return limits._replace(registers=limits.registers // 2)


KNOBS = (
    Knob("groups of rows", _code(row_group=512)),
    Knob("wide groups on AMX", _code(amx_wide_group=NEVER), amx=True),
    Knob(
        "whole tiles",
        _code(
            narrow=_half(USUAL.code.narrow),
            wide=_half(USUAL.code.wide),
            tall=_half(USUAL.code.tall),
        ),
    ),
    Knob("tall tiles", _code(tall_from=NEVER)),
    Knob("prefetch of weights", _code(prefetch_weights_from=NEVER)),
    Knob("prefetch at this distance", _code(prefetch_weights_ahead=512)),
    Knob("deep blocks of products", _code(product_depth=64), amx=True),
    Knob("wide blocks of products", _code(product_width=4), amx=True),
    Knob("kernels on AMX", Tuning(amx_rows=NEVER), amx=True),
    Knob(
        "vectors for few rows and units",
        Tuning(amx_units=1, amx_rows=1, amx_rows_per_thread=1),
        amx=True,
    ),
    Knob("products on AMX", Tuning(amx_call=float("inf")), amx=True),
    Knob(
        "torch for small products",
        Tuning(amx_call=0.0, amx_split=0.0, amx_product=0.0, vectors_along=1.0, vectors_across=1.0),
        amx=True,
    ),
    Knob("transposed products", Tuning(transposed_tokens=NEVER)),
    Knob(
        "one thread for little work",
        Tuning(rows_per_thread=1, work_per_thread=1, products_per_thread=1),
        threads=True,
    ),
    Knob("shared output", Tuning(shared_output=False)),
    Knob("borrowed memory", Tuning(borrow_from=NEVER)),
)
"""Each is deleted by deleting its field of the tuning, what reads that, and its line here."""


def ablation(session: Session) -> Found:
    """Each knob, over all cells and shapes."""
    reason = backends.compiled.unsupported_machine_reason()
    if reason is not None:
        yield Skipped("ablation", reason)
        return
    for cell in session.cells(CELLS):
        if isinstance(cell, Skipped):
            yield cell
            continue
        steps = {shape: _step(cell, shape) for shape in session.options.shapes}
        for knob in KNOBS:
            rows = _unsupported_reason(knob, session) or list(_measured(session, cell, steps, knob))
            if isinstance(rows, str) or not rows:
                why = rows or "it changes nothing at these sizes"
                yield Skipped(f"ablation of {knob.name}, {cell.name}", str(why))
            else:
                yield from rows


def _unsupported_reason(knob: Knob, session: Session) -> str | None:
    if knob.amx and not host.detect().amx:
        return "this machine has no AMX"
    if knob.threads and session.threads == 1:
        return "it matters with several threads only"
    return None


def _step(cell: Cell, shape: Shape) -> Training:
    """A training step that the compiled backend runs whatever the shape."""
    weights = subjects.source(cell, shape.input_size, shape.hidden_size)
    layer = subjects.recurrent(cell, weights, shape, backend="llvm")
    return subjects.train_packed(layer, subjects.batch(shape, ragged=False))


def _measured(
    session: Session, cell: Cell, steps: Mapping[Shape, Training], knob: Knob
) -> Iterator[Row]:
    for shape, step in steps.items():
        pair = _pair(cell, shape, knob)
        if pair is None:
            continue
        backend, usual, off = pair
        both = {"elman": _with(usual, step), f"elman without {knob.name}": _with(off, step)}
        if not cell.graph.masks:
            check_equal(cell, shape, both)
        ours, theirs = session.in_turn(dict(both)).values()
        yield Row(
            work="ablation",
            cell=cell.name,
            shape=shape,
            threads=session.threads,
            backend=backend,
            against=f"without {knob.name}",
            ours=1e3 * float(np.median(ours)),
            theirs=1e3 * float(np.median(theirs)),
            ratios=timing.ratios(theirs, ours),
        )


def _pair(cell: Cell, shape: Shape, knob: Knob) -> tuple[str, Tuning, Tuning] | None:
    """The tuning with and without a knob, and on what; None where the knob changes nothing.

    A knob of kernels on vectors is measured on those where the usual kernel is one on AMX.
    """
    vectors = replace(USUAL, **_NO_AMX)
    pairs = [("llvm", USUAL, knob.off)]
    if host.detect().amx and not knob.amx:
        pairs.append((VECTORS, vectors, replace(knob.off, **_NO_AMX)))
    for backend, usual, off in pairs:
        if not _changes_nothing(cell, shape, usual, off):
            return backend, usual, off
    return None


def _with(tuning: Tuning, step: Training) -> Training:
    def run() -> tuple[torch.Tensor, tuple[torch.Tensor, ...]]:
        with tuned(tuning):
            return step()

    return run


def _changes_nothing(cell: Cell, shape: Shape, usual: Tuning, off: Tuning) -> bool:
    """Whether a knob of the kernels' code leaves those for this shape as they are."""
    products = usual.code.product_depth, usual.code.product_width
    beside = (off.code.product_depth, off.code.product_width) != products
    if beside or off.code is usual.code:
        return False
    return _written(cell, shape, usual) == _written(cell, shape, off)


def _written(cell: Cell, shape: Shape, tuning: Tuning) -> list[str]:
    """The assembly of both kernels of a training step."""
    steps, rows, _, size = shape
    sizes = torch.full((steps,), rows)
    call = Call(signature_of(cell.graph), size, sizes, rows, steps * rows, reverse=False)
    with tuned(tuning):
        specs = [
            call.executable(kind, torch.float32, call.threads()).spec
            for kind in ("forward", "backward")
        ]
    return [write(Layout(spec)) for spec in specs]
