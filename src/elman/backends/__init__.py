"""The ways to run a cell, and which one is taken."""

import torch

from elman.backends.base import Backend
from elman.backends.builtin import Builtin
from elman.backends.eager import Eager
from elman.errors import BackendError
from elman.ir.graph import Graph

__all__ = ["BACKENDS", "Backend", "choose", "eager"]

eager = Eager()

BACKENDS: tuple[Backend, ...] = (Builtin(), eager)
"""In the order in which ``auto`` tries them; the last one runs everything."""


def choose(name: str, graph: Graph, *, device: torch.device, dtype: torch.dtype) -> Backend:
    """The backend of this name, or for ``auto`` the first that can run ``graph`` here.

    Raises:
        BackendError: there is none of this name, or it cannot run this cell, and why.
    """
    if name == "auto":
        for backend in BACKENDS:
            if backend.reason_against(graph, device=device, dtype=dtype) is None:
                return backend
    found = {backend.name: backend for backend in BACKENDS}
    if name not in found:
        raise BackendError(f"there is no backend {name!r}; there are auto, {', '.join(found)}")
    reason = found[name].reason_against(graph, device=device, dtype=dtype)
    if reason is not None:
        raise BackendError(
            f"the backend {name} cannot run the cell {graph.name}: {reason}; take backend='auto'"
        )
    return found[name]
