"""A layer in one direction as one operator of torch, for torch.compile and torch.export.

Dynamo cannot follow how a backend is chosen and how a cell is compiled, and need not: it sees
``elman::run`` with the cell as text. What that operator does is traced in turn as the operators of
the backend (``elman::recurrence``).
"""

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from elman import backends
from elman.backends.base import Run, States, under_torch_tracing
from elman.errors import BackendError
from elman.ir.graph import Graph
from elman.ir.stacks import stacks
from elman.ir.text import parse

_DTYPES = (torch.float32, torch.float64)

torch.library.define(
    "elman::run",
    "(Tensor data, Tensor batch_sizes, Tensor[] weights, Tensor[] masks, Tensor[] states, "
    "str cell, bool reverse, str backend) -> Tensor[]",
)


@lru_cache(maxsize=256)
def _parsed(cell: str) -> tuple[Graph, tuple[str, ...]]:
    graph = parse(cell)
    return graph, tuple(stack.name for stack in stacks(graph))


@torch.library.impl("elman::run", "CompositeImplicitAutograd")
def _run(
    data: Tensor,
    batch_sizes: Tensor,
    weights: list[Tensor],
    masks: list[Tensor],
    states: list[Tensor],
    cell: str,
    reverse: bool,
    backend: str,
) -> list[Tensor]:
    graph, names = _parsed(cell)
    chosen = backends.choose(backend, graph, device=data.device, dtype=data.dtype)
    if chosen is not backends.compiled and under_torch_tracing(data):
        raise BackendError(
            "torch.compile and torch.export need the compiled kernels, and this machine has none: "
            f"{backends.compiled.unsupported_machine_reason()}; run the layer without compiling it"
        )
    output, finals = chosen.run(
        Run(
            graph,
            dict(zip(names, weights, strict=True)),
            data,
            batch_sizes,
            tuple(states),
            reverse,
            {mask.name: numbers for mask, numbers in zip(graph.masks, masks, strict=True)},
        )
    )
    return [output, *finals]


def run(backend: str, text: str, run: Run) -> tuple[Tensor, States]:
    """Choose a backend and run it, also where torch.compile or torch.export look on.

    Args:
        backend: its name, or ``auto``.
        text: the graph of ``run`` as text.
        run: without a table where torch.compile looks on; the masks in the graph's order.

    Raises:
        BackendError: the backend asked for by name cannot run this cell.
    """
    if not torch.compiler.is_compiling():
        return _run_plainly(backend, run)
    if not _is_compiled(backend, run.data):
        return _run_after_graph_break(backend, run)
    groups = [list(group) for group in (run.weights.values(), (run.masks or {}).values())]
    output, *finals = torch.ops.elman.run(
        run.data, run.batch_sizes, *groups, list(run.states), text, run.reverse, backend
    )
    return output, tuple(finals)


def _run_plainly(backend: str, run: Run) -> tuple[Tensor, States]:
    like = run.read
    chosen = backends.choose(backend, run.graph, device=like.device, dtype=like.dtype)
    return chosen.run(run)


graph_break: Any = torch._disable_dynamo  # type: ignore[attr-defined]
"""The same function where torch.compile does not look on: the graph breaks there.
``torch.compiler.disable`` does that too and imports Dynamo at once, which takes a second."""
_run_after_graph_break = graph_break(_run_plainly)


def _is_compiled(backend: str, data: Tensor) -> bool:
    """Whether the compiled backend will run the layer, as far as Dynamo can follow."""
    if backend not in ("auto", "llvm"):
        return False
    return data.device.type == "cpu" and data.dtype in _DTYPES and not backends.compiled.unable
