"""What every backend offers; `Recurrent` knows no more than this.

One call is one layer in one direction over a ragged batch laid out as
``torch.nn.utils.rnn.PackedSequence``: rows sorted by falling length, time-major, step t holding
its first ``batch_sizes[t]`` rows. Where states have more rows than the first step, the others have
length 0.
"""

import copy
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

from elman.errors import BackendError
from elman.ir.graph import Graph

States = tuple[Tensor, ...]
Weights = Mapping[str, Tensor]
Masks = Mapping[str, Tensor]

RUNS: Counter[str] = Counter()
"""How often each backend ran, by name."""


class Run(NamedTuple):
    """What a backend is asked for: one layer in one direction over one ragged batch."""

    graph: Graph
    """Verified, of one input."""
    weights: Weights
    """Its stacks by name (``elman.ir.stacks``), in its order."""
    data: Tensor
    """(N, I)."""
    batch_sizes: Tensor
    """(T,), int64, on the CPU, never rising; T = 0 where all rows have length 0."""
    states: States
    """(B, H) for each state of the graph, rows in sorted order, those of length 0 last."""
    reverse: bool = False
    """Whether each row runs from its own last step back to its first."""
    masks: Masks | None = None
    """For each mask of the graph its numbers, (N, H) in the layout of ``data`` where it is drawn
    for each step, (B, H) in sorted order where for each sequence."""
    table: Tensor | None = None
    """(V, I), where the data are (N,) indices of its rows, int64: tokens of a vocabulary and their
    vectors."""

    @property
    def read(self) -> Tensor:
        """What holds the vectors: the data, or the table."""
        return self.data if self.table is None else self.table

    @property
    def looked_up(self) -> "Run":
        """The same with the tokens' vectors as data."""
        if self.table is None:
            return self
        return self._replace(data=nn.functional.embedding(self.data, self.table), table=None)


class Backend(ABC):
    """One way to run a cell over a ragged batch."""

    name: str

    @property
    def runs(self) -> int:
        """How often it really ran, for tests that a backend asked for was not passed over."""
        return RUNS[self.name]

    def __repr__(self) -> str:
        return f"<backend {self.name}>"

    @abstractmethod
    def unsupported_reason(
        self, graph: Graph, *, device: torch.device, dtype: torch.dtype
    ) -> str | None:
        """Why it cannot run this graph here, as the end of a sentence; None when it can."""

    def run(self, run: Run) -> tuple[Tensor, States]:
        """Run the cell from the first step to the last, or from the last to the first.

        Returns:
            The output (N, H) in the layout of the data, and each state (B, H) after the last
            step that each row has, the first state where it has none. Both are differentiable by
            autograd; masks get no gradient.

        Raises:
            BackendError: the masks are not those of the graph.
        """
        run = checked(run.looked_up)
        RUNS[self.name] += 1
        return self._run(run)

    def stepper(
        self, graph: Graph, weights: Weights, rows: int, table: Tensor | None = None
    ) -> "Stepper":
        """What runs a graph without masks one step a call, for streaming; see `Stepper`."""
        return Stepper(self, graph, weights, rows, table)

    @abstractmethod
    def _run(self, run: Run) -> tuple[Tensor, States]: ...


class Stepper:
    """One layer, a step a call, with the weights as they were when it was made.

    This one is every backend's; it runs a batch of T = 1.

    Args:
        backend: what runs the cell.
        graph: the cell without masks.
        weights: as in `Run`.
        rows: B.
        table: (V, I), where a step is given indices of its rows instead of data.
    """

    def __init__(
        self,
        backend: Backend,
        graph: Graph,
        weights: Weights,
        rows: int,
        table: Tensor | None = None,
    ) -> None:
        self.backend = backend
        self.graph = graph
        self.weights = {name: weight.detach().clone() for name, weight in weights.items()}
        self.table = None if table is None else table.detach().clone()
        self.batch_sizes = torch.tensor([rows], device="cpu")

    def resized(self, rows: int) -> "Stepper":
        """The same for so many rows, with the same weights in memory."""
        other = copy.copy(self)
        other.batch_sizes = torch.tensor([rows], device="cpu")
        return other

    @torch.no_grad()
    def __call__(self, data: Tensor, before: Tensor, after: Tensor) -> None:
        """Take one step.

        Args:
            data: (B, I), without gradients; or (B,) of int64, rows of the table.
            before: what the last step wrote, (1 + states, B, H): its output and the states.
            after: where this one writes the same, in other memory.
        """
        states = before[1:].unbind(0)
        run = Run(self.graph, self.weights, data, self.batch_sizes, states, table=self.table)
        output, finals = self.backend.run(run)
        torch.stack([output, *finals], out=after)


def checked(run: Run) -> Run:
    """The same with the graph's masks by name, cut off from autograd.

    Raises:
        BackendError: they are not those of the graph, or of another shape.
    """
    graph, given = run.graph, run.masks or {}
    if not graph.masks and not given:
        return run
    wanted = {mask.name: mask for mask in graph.masks}
    if given.keys() != wanted.keys():
        raise BackendError(
            f"the cell {graph.name} was given the masks {', '.join(given) or '(none)'} and has "
            f"{', '.join(wanted) or 'none'}; draw them, or run expected(graph) of elman.ir.rewrite"
        )
    rows, size = run.states[0].shape
    for name, mask in wanted.items():
        shape = (len(run.data) if mask.per == "step" else rows, size)
        if tuple(given[name].shape) != shape:
            raise BackendError(
                f"the mask {name} has shape {tuple(given[name].shape)}; it must be {shape}"
            )
    return run._replace(masks={name: given[name].detach() for name in wanted})


_PLAIN = (Tensor, nn.Parameter)
_modes: Any = torch._C._len_torch_dispatch_stack
_is_traced: Any = torch._C._is_tracing
_transforms: Any = torch._C._are_functorch_transforms_active
_is_batched: Any = torch._C._functorch.is_legacy_batchedtensor


def under_torch_tracing(*tensors: Tensor) -> bool:
    """Whether torch traces, records or counts operations, so that they must be torch's own.

    torch.compile and torch.export work on tensors without memory, torch.jit.trace records, and
    there are modes that count. A kernel that reads memory by its address is for plain tensors.
    """
    return bool(_modes()) or _is_traced() or any(type(tensor) not in _PLAIN for tensor in tensors)


def is_transformed() -> bool:
    """Whether torch.func or forward-mode differentiation is at work."""
    return bool(_transforms()) or forward_ad._current_level >= 0


def is_batched(*tensors: Tensor | None) -> bool:
    """Whether any stands for many, as gradients do under ``is_grads_batched``."""
    return any(tensor is not None and _is_batched(tensor) for tensor in tensors)
