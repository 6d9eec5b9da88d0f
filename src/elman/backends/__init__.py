"""The ways to run a cell, and which one is taken."""

import logging

import torch

from elman.backends.base import Backend, is_transformed
from elman.backends.builtin import Builtin
from elman.backends.eager import eager
from elman.backends.llvm import Llvm, product
from elman.errors import BackendError
from elman.ir.graph import Graph

__all__ = ["BACKENDS", "Backend", "choose", "compiled", "eager", "product"]

_log = logging.getLogger(__name__)

compiled = Llvm()

BACKENDS: tuple[Backend, ...] = (compiled, Builtin(), eager)
"""In the order in which ``auto`` tries them; the last one runs everything."""

_warned: set[str] = set()


def choose(name: str, graph: Graph, *, device: torch.device, dtype: torch.dtype) -> Backend:
    """The backend of this name, or for ``auto`` the first that can run ``graph`` here.

    Within torch.func's transforms and forward-mode differentiation it is the eager one, whatever
    the name: only torch's own operations can be transformed. Where no kernel can be compiled on
    this machine, ``auto`` logs a warning that says why, once a process.

    Raises:
        BackendError: there is none of this name, or it cannot run this cell, and why.
    """
    if name == "auto":
        return eager if is_transformed() else _first(graph, device, dtype)
    backends = {backend.name: backend for backend in BACKENDS}
    if name not in backends:
        raise BackendError(f"there is no backend {name!r}; there are auto, {', '.join(backends)}")
    if is_transformed():
        return eager
    reason = backends[name].unsupported_reason(graph, device=device, dtype=dtype)
    if reason is not None:
        raise BackendError(
            f"the backend {name} cannot run the cell {graph.name}: {reason}; take backend='auto'"
        )
    return backends[name]


def _first(graph: Graph, device: torch.device, dtype: torch.dtype) -> Backend:
    for backend in BACKENDS:
        if backend.unsupported_reason(graph, device=device, dtype=dtype) is None:
            return backend
        if backend is compiled and device.type == "cpu":
            _warn_once(compiled.unsupported_machine_reason())
    return eager


def _warn_once(reason: str | None) -> None:
    if reason is not None and reason not in _warned:
        _warned.add(reason)
        _log.warning(
            "no kernels can be compiled, so cells run several times slower on torch's operations: "
            "%s",
            reason,
        )
