"""How each work is measured, in this process, with the number of threads it has."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch

from elman.cell import Cell
from elman.lab.bench import ablation, fresh, loops, scan, subjects, timing
from elman.lab.bench.equal import check_equal
from elman.lab.bench.options import DEFAULT_CELLS, Options, Shape
from elman.lab.bench.result import Row, Skipped
from elman.lab.bench.session import Found, Session
from elman.lab.bench.subjects import Training
from elman.lab.bench.timing import Step

_STREAM = Shape(1, 1, 128, 128)


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
            reason = _unsupported_reason(peer, cell, work)
            if reason is None:
                peers.append(peer)
            else:
                yield Skipped(f"{work} {cell.name} beside {peer}", reason)
        for shape in session.options.shapes if peers else ():
            yield from _compared(session, work, cell, shape, peers)


def _unsupported_reason(peer: str, cell: Cell, work: str) -> str | None:
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
        steps = {"elman": subjects.dense_step(cell, shape, weights, batch)}
    else:
        layer = subjects.recurrent(cell, weights, shape)
        steps = {"elman": subjects.train_packed(layer, batch)}
    steps |= {peer: theirs(peer) for peer in peers}
    with subjects.watched() as ran:
        steps["elman"]()
    if not cell.graph.masks:
        check_equal(cell, shape, steps)
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


def _said(peer: str, cell: Cell, work: str) -> str:
    if peer == "torch":
        form = {"ragged": " on PackedSequence", "stream": " on T = 1"}.get(work, "")
        return f"nn.{subjects.twin(cell)}{form}"
    return {"eager": "eager loop", "jax": "jax.lax.scan"}[peer]


# ---------------------------------------------------------------------------------------------
# Streams and threads


def _stream(session: Session) -> Found:
    for cell in session.cells(["lstm"]):
        if isinstance(cell, Skipped):
            yield cell
            continue
        for peer in session.peers(cell, "stream"):
            reason = "a scan has no single step" if peer == "jax" else None
            reason = reason or _unsupported_reason(peer, cell, "stream")
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
    step = subjects.dense_step(cell, shape, weights, batch)

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
    "flops": loops.flops,
    "rate": loops.rate,
    "copy": loops.copy,
    "memory": _memory,
    "compile": _compile,
    "ablation": ablation.ablation,
}
"""One row a work; `options.WORKS` says what each is."""
