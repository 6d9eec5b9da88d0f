"""A layer in one direction as one operator of torch, for torch.compile and torch.export.

Dynamo cannot follow how a backend is chosen and how a cell is compiled, and need not: it sees
``elman::run`` with the cell as text. What that operator does is traced in turn as the operators of
the backend (``elman::recurrence``).
"""

from functools import lru_cache

import torch
from torch import Tensor

from elman import backends
from elman.backends.base import is_watched
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
    found = backends.choose(backend, graph, device=data.device, dtype=data.dtype)
    if found is not backends.llvm and is_watched(data):
        raise BackendError(
            "torch.compile and torch.export need the compiled kernels, and this machine has none: "
            f"{backends.llvm.reason_against_machine()}; run the layer without compiling it"
        )
    output, finals = found.run(
        graph,
        dict(zip(names, weights, strict=True)),
        data,
        batch_sizes,
        tuple(states),
        reverse=reverse,
        masks={mask.name: one for mask, one in zip(graph.masks, masks, strict=True)},
    )
    return [output, *finals]


def is_needed(backend: str, data: Tensor) -> bool:
    """Whether a layer is being traced that the compiled backend will run.

    Dynamo follows this function, so it asks for no more than can be followed.
    """
    if not torch.compiler.is_compiling() or backend not in ("auto", "llvm"):
        return False
    return data.device.type == "cpu" and data.dtype in _DTYPES and backends.llvm.able is not False
