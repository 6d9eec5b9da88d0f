"""How each work is measured, in this process, with the number of threads it has."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch

from elman.cell import Cell
from elman.cells import ALL_CELLS, find
from elman.errors import CellError, LabError
from elman.ir import costs
from elman.ir.graph import PRODUCTS, Graph
from elman.lab.bench import fma, fresh, scan, subjects, timing
from elman.lab.bench.options import DEFAULT_CELLS, Options, Shape
from elman.lab.bench.result import Row, Skipped
from elman.lab.bench.subjects import Batch, Training
from elman.lab.bench.timing import Step

Found = Iterator[Row | Skipped]

_INPUTS = 8
"""I where the products outside of the loop are to weigh little."""
_STREAM = Shape(1, 1, 128, 128)
_TOLERANCE = 1e-3
"""Of the largest value: a peer that is further off computes something else."""


@dataclass(frozen=True)
class Session:
    """The request as one process has it."""

    options: Options
    threads: int

    def in_turn(self, steps: dict[str, Step]) -> dict[str, list[float]]:
        """Seconds a call, round by round."""
        seconds = self.options.sample_ms / 1e3
        return timing.in_turn(steps, repeats=self.options.repeats, sample_seconds=seconds)

    def names(self, default: Sequence[str]) -> Iterator[str | Skipped]:
        """The cells asked for, or those of ``default`` that there are, by name."""
        for name in self.options.cells or default:
            try:
                find(name)
            except CellError as error:
                yield Skipped(name, str(error))
            else:
                yield name

    def cells(self, default: Sequence[str]) -> Iterator[Cell | Skipped]:
        """The same, found."""
        for name in self.names(default):
            yield name if isinstance(name, Skipped) else find(name)

    def peers(self, cell: Cell, work: str) -> tuple[str, ...]:
        """The peers asked for, or those that fit the cell and the work."""
        if self.options.against:
            return self.options.against
        if subjects.twin(cell):
            return ("torch",)
        return ("eager", "jax") if work == "dense" else ("eager",)


def measure(options: Options, threads: int) -> Found:
    """Measure every work that is asked for."""
    torch.set_num_threads(threads)
    session = Session(options, threads)
    for name in options.works:
        yield from RUN[name](session)


# ---------------------------------------------------------------------------------------------
# Training steps beside peers


def _ragged(session: Session) -> Found:
    default = [name for name in DEFAULT_CELLS if name in subjects.TWINS]
    yield from _training(session, "ragged", default)


def _dense(session: Session) -> Found:
    yield from _training(session, "dense", DEFAULT_CELLS)


def _training(session: Session, work: str, default: Sequence[str]) -> Found:
    for cell in session.cells(default):
        if isinstance(cell, Skipped):
            yield cell
            continue
        peers = []
        for peer in session.peers(cell, work):
            reason = _reason_against(peer, cell, work)
            if reason is None:
                peers.append(peer)
            else:
                yield Skipped(f"{work} {cell.name} beside {peer}", reason)
        for shape in session.options.shapes if peers else ():
            yield from _compared(session, work, cell, shape, peers)


def _reason_against(peer: str, cell: Cell, work: str) -> str | None:
    if peer == "torch" and subjects.twin(cell) is None:
        return "torch has no such cell"
    if peer == "jax" and work != "dense":
        return "jax.lax.scan takes rows of equal length"
    return scan.why_not() if peer == "jax" else None


def _compared(
    session: Session, work: str, cell: Cell, shape: Shape, peers: list[str]
) -> Iterator[Row]:
    batch = subjects.batch(shape, ragged=work == "ragged")
    weights = subjects.source(cell, shape.input_size, shape.hidden_size)

    def theirs(peer: str) -> Training:
        if peer == "torch":
            train = subjects.train_packed if work == "ragged" else subjects.train_dense
            return train(weights, batch)
        eager = subjects.recurrent(cell, weights, shape, backend="eager")
        return scan.train(eager, batch) if peer == "jax" else subjects.train_packed(eager, batch)

    if work == "dense":
        steps = {"elman": dense_step(cell, shape, weights, batch)}
    else:
        layer = subjects.recurrent(cell, weights, shape)
        steps = {"elman": subjects.train_packed(layer, batch)}
    steps |= {peer: theirs(peer) for peer in peers}
    with subjects.watched() as ran:
        steps["elman"]()
    if not cell.graph.masks:
        _check_equal(cell, shape, steps)
    seconds = session.in_turn(dict(steps))
    for peer in peers:
        yield Row(
            work=work,
            cell=cell.name,
            shape=shape,
            threads=session.threads,
            backend=", ".join(ran) or "torch",
            against=_said(peer, cell, work),
            ours=1e3 * float(np.median(seconds["elman"])),
            theirs=1e3 * float(np.median(seconds[peer])),
            ratios=timing.ratios(seconds[peer], seconds["elman"]),
        )


def dense_step(cell: Cell, shape: Shape, weights: torch.nn.Module, batch: Batch) -> Training:
    """Elman's training step on rows of equal length: by its drop-in where torch has the cell."""
    layer = subjects.drop_in(cell, weights, shape)
    if layer is None:
        return subjects.train_packed(subjects.recurrent(cell, weights, shape), batch)
    return subjects.train_dense(layer, batch)


def _said(peer: str, cell: Cell, work: str) -> str:
    if peer == "torch":
        form = {"ragged": " on PackedSequence", "stream": " on T = 1"}.get(work, "")
        return f"nn.{subjects.twin(cell)}{form}"
    return {"eager": "eager loop", "jax": "jax.lax.scan"}[peer]


def _check_equal(cell: Cell, shape: Shape, steps: dict[str, Training]) -> None:
    """Hold outputs and the input's gradients of all against each other."""
    found = {}
    for name, step in steps.items():
        output, grads = step()
        pair = (output, grads[0])
        if name == "jax":
            pair = (scan.to_torch(output), scan.to_torch(grads[0]))
        found[name] = [value.detach().flatten() for value in pair]
    for name, values in found.items():
        for mine, other in zip(found["elman"], values, strict=True):
            off = float((mine - other).abs().max() / other.abs().max().clamp(min=1e-30))
            if not off < _TOLERANCE:
                raise LabError(
                    f"{cell.name} at {shape}: elman and {name} differ by {off:.1e} of the largest "
                    "value; what computes something else cannot be compared"
                )


# ---------------------------------------------------------------------------------------------
# Streams and threads


def _stream(session: Session) -> Found:
    for cell in session.cells(["lstm"]):
        if isinstance(cell, Skipped):
            yield cell
            continue
        for peer in session.peers(cell, "stream"):
            reason = "a scan has no single step" if peer == "jax" else None
            reason = reason or _reason_against(peer, cell, "stream")
            if reason is None:
                yield _streamed(session, cell, peer)
            else:
                yield Skipped(f"stream {cell.name} beside {peer}", reason)


def _streamed(session: Session, cell: Cell, peer: str) -> Row:
    weights = subjects.source(cell, _STREAM.input_size, _STREAM.hidden_size)
    ours = subjects.stream(subjects.recurrent(cell, weights, _STREAM))
    if peer == "torch":
        theirs = subjects.stream_torch(weights, _STREAM.input_size)
    else:
        theirs = subjects.stream(subjects.recurrent(cell, weights, _STREAM, backend="eager"))
    with torch.no_grad():
        with subjects.watched() as ran:
            ours()
        seconds = session.in_turn({"elman": ours, peer: theirs})
    return Row(
        work="stream",
        cell=cell.name,
        shape=_STREAM,
        threads=session.threads,
        backend=", ".join(ran) or "torch",
        against=_said(peer, cell, "stream"),
        ours=1e3 * float(np.median(seconds["elman"])),
        theirs=1e3 * float(np.median(seconds[peer])),
        ratios=timing.ratios(seconds[peer], seconds["elman"]),
    )


def _threads(session: Session) -> Found:
    if session.threads == 1:
        if max(session.options.threads) == 1:
            yield Skipped("threads", "only one thread was asked for; add --threads 1,2")
        return
    shapes = [shape for shape in session.options.shapes if shape.rows >= 64]
    if not shapes:
        yield Skipped("threads", "no shape has 64 rows or more")
    for cell in session.cells(DEFAULT_CELLS):
        if isinstance(cell, Skipped):
            yield cell
            continue
        for shape in shapes:
            yield _scaled(session, cell, shape)


def _scaled(session: Session, cell: Cell, shape: Shape) -> Row:
    batch = subjects.batch(shape, ragged=False)
    weights = subjects.source(cell, shape.input_size, shape.hidden_size)
    step = dense_step(cell, shape, weights, batch)

    def with_threads(count: int) -> Step:
        def run() -> object:
            torch.set_num_threads(count)
            return step()

        return run

    with subjects.watched() as ran:
        step()
    seconds = session.in_turn({"one": with_threads(1), "all": with_threads(session.threads)})
    torch.set_num_threads(session.threads)
    return Row(
        work="threads",
        cell=cell.name,
        shape=shape,
        threads=session.threads,
        backend=", ".join(ran) or "torch",
        against="one thread",
        ours=1e3 * float(np.median(seconds["all"])),
        theirs=1e3 * float(np.median(seconds["one"])),
        ratios=timing.ratios(seconds["one"], seconds["all"]),
    )


# ---------------------------------------------------------------------------------------------
# The loop alone


@dataclass(frozen=True)
class _Loop:
    """A training step and what of it is done outside of the time loop."""

    cell: Cell
    shape: Shape
    step: Training
    outside: list[Step] = field(default_factory=list)

    def seconds(self, timed: dict[str, list[float]], label: str) -> list[float]:
        """Of the loop, round by round; at least a tenth of the step, as noise may eat it up."""
        whole = timed[label]
        outside = timed.get(f"{label} outside", [0.0] * len(whole))
        return [max(a - b, 0.1 * a) for a, b in zip(whole, outside, strict=True)]

    def steps(self, label: str) -> dict[str, Step]:
        """What is to be timed."""
        found: dict[str, Step] = {label: self.step}
        if self.outside:
            found[f"{label} outside"] = lambda: [step() for step in self.outside]
        return found

    @property
    def flops(self) -> int:
        """In the loop, of a training step: forward, and twice as much backward."""
        sizes = {"input_size": self.shape.input_size, "hidden_size": self.shape.hidden_size}
        return 3 * self.shape.steps * self.shape.rows * costs.flops(self.cell.graph, **sizes).loop


def _loop(cell: Cell, shape: Shape) -> _Loop:
    inputs = shape.hidden_size if cell.graph.needs_equal_sizes else _INPUTS
    shape = shape._replace(input_size=inputs)
    weights = subjects.source(cell, inputs, shape.hidden_size)
    batch = subjects.batch(shape, ragged=False)
    step = subjects.train_packed(subjects.recurrent(cell, weights, shape), batch)
    tokens, size = shape.steps * shape.rows, shape.hidden_size
    columns = [{"I": inputs, "H": size}[node] for node in _outside_products(cell.graph)]
    outside = [
        subjects.train_products(tokens, width, columns.count(width) * size)
        for width in sorted(set(columns))
    ]
    return _Loop(cell, shape, step, outside)


def _outside_products(graph: Graph) -> list[str]:
    """For each product that does not depend on the states the size of what it multiplies."""
    looped = costs.stepped(graph)
    return [n.inputs[0].size for n in graph.nodes if n.op in PRODUCTS and n not in looped]


def _flops(session: Session) -> Found:
    shapes = [shape for shape in session.options.shapes if shape.hidden_size >= 128]
    if not shapes:
        yield Skipped("flops", "no shape has H of 128 or more")
    for cell in session.cells([one.name for one in ALL_CELLS]):
        if isinstance(cell, Skipped):
            yield cell
        elif cell == find("lstm"):
            continue  # it is what the others are measured by
        elif costs.loop_products(cell.graph):
            for shape in shapes:
                yield _per_flop(session, cell, shape)
        elif session.options.cells:
            yield Skipped(f"flops {cell.name}", "its loop has no products; --work copy has it")


def _per_flop(session: Session, cell: Cell, shape: Shape) -> Row:
    mine, bar = _loop(cell, shape), _loop(find("lstm"), shape)
    with subjects.watched() as ran:
        mine.step()
    timed = session.in_turn(bar.steps("bar") | mine.steps("mine"))
    rates = [
        [loop.flops / seconds / 1e9 for seconds in loop.seconds(timed, label)]
        for loop, label in ((mine, "mine"), (bar, "bar"))
    ]
    return Row(
        work="flops",
        cell=cell.name,
        shape=mine.shape,
        threads=session.threads,
        backend=", ".join(ran) or "torch",
        against="lstm",
        unit="GFLOP/s",
        ours=float(np.median(rates[0])),
        theirs=float(np.median(rates[1])),
        ratios=timing.ratios(*rates),
    )


def _rate(session: Session) -> Found:
    shapes = [shape for shape in session.options.shapes if shape.hidden_size >= 128]
    reason = fma.why_not() if shapes else "no shape has H of 128 or more"
    if reason is not None:
        yield Skipped("rate", reason)
        return
    for cell in session.cells(list(subjects.TWINS)):
        if isinstance(cell, Skipped):
            yield cell
            continue
        if not costs.loop_products(cell.graph):
            yield Skipped(f"rate {cell.name}", "its loop has no products; --work copy has it")
            continue
        for shape in shapes:
            yield _beside_fma(session, cell, shape)


def _beside_fma(session: Session, cell: Cell, shape: Shape) -> Row:
    loop = _loop(cell, shape)
    tokens, size = shape.steps * shape.rows, shape.hidden_size
    rows = costs.loop_products(cell.graph) * size
    # The gradients of the recurrent weights: one product after the loop.
    loop.outside.append(partial(torch.mm, torch.randn(rows, tokens), torch.randn(tokens, size)))
    with subjects.watched() as ran:
        loop.step()
    bare, flops = fma.loop(session.threads)
    timed = session.in_turn({"bare": bare, **loop.steps("loop")})
    rates = [
        [loop.flops / 3 * 2 / seconds / 1e9 for seconds in loop.seconds(timed, "loop")],
        [flops / seconds / 1e9 for seconds in timed["bare"]],
    ]
    return Row(
        work="rate",
        cell=cell.name,
        shape=loop.shape,
        threads=session.threads,
        backend=", ".join(ran) or "torch",
        against="a bare FMA loop",
        unit="GFLOP/s",
        ours=float(np.median(rates[0])),
        theirs=float(np.median(rates[1])),
        ratios=timing.ratios(*rates),
    )


def _copy(session: Session) -> Found:
    for cell in session.cells([one.name for one in ALL_CELLS]):
        if isinstance(cell, Skipped):
            yield cell
        elif not costs.loop_products(cell.graph):
            for shape in session.options.shapes:
                yield _beside_copy(session, cell, shape)
        elif session.options.cells:
            yield Skipped(f"copy {cell.name}", "its loop has products; --work flops has it")


def _beside_copy(session: Session, cell: Cell, shape: Shape) -> Row:
    loop = _loop(cell, shape)
    tokens, size = shape.steps * shape.rows, shape.hidden_size
    products, states = len(_outside_products(cell.graph)), len(cell.states)
    # Forward reads the products and writes the states; backward reads both and the output's
    # gradient, and writes the products' gradients. A copy reads and writes each number.
    numbers = tokens * size * (products + states + products + states + 1 + products)
    old, new = torch.randn(numbers // 2), torch.empty(numbers // 2)
    with subjects.watched() as ran:
        loop.step()
    timed = session.in_turn({"a copy": lambda: new.copy_(old), **loop.steps("loop")})
    gigabytes = 4 * numbers / 1e9
    rates = [
        [gigabytes / seconds for seconds in one]
        for one in (loop.seconds(timed, "loop"), timed["a copy"])
    ]
    return Row(
        work="copy",
        cell=cell.name,
        shape=loop.shape,
        threads=session.threads,
        backend=", ".join(ran) or "torch",
        against="a copy",
        unit="GB/s",
        ours=float(np.median(rates[0])),
        theirs=float(np.median(rates[1])),
        ratios=timing.ratios(*rates),
    )


# ---------------------------------------------------------------------------------------------
# In fresh processes


def _memory(session: Session) -> Found:
    for name in session.names(["lstm", "gru", "elman"]):
        if isinstance(name, Skipped):
            yield name
            continue
        for shape in session.options.shapes:
            row = fresh.memory(name, shape, threads=session.threads)
            if row is None:
                yield Skipped("memory", "this system does not say how much a process uses")
                return
            yield row


def _compile(session: Session) -> Found:
    if session.threads != session.options.threads[0]:
        return  # threads do not change what is compiled
    names = []
    for name in session.names(DEFAULT_CELLS):
        if isinstance(name, Skipped):
            yield name
        else:
            names.append(name)
    yield from fresh.compiled(names, session.options.shapes, threads=session.threads)


RUN: dict[str, Callable[[Session], Found]] = {
    "ragged": _ragged,
    "dense": _dense,
    "stream": _stream,
    "threads": _threads,
    "flops": _flops,
    "rate": _rate,
    "copy": _copy,
    "memory": _memory,
    "compile": _compile,
}
"""One row a work; `options.WORKS` says what each is."""
