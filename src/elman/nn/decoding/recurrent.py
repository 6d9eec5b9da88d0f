"""A recurrent layer that writes: vectors of tokens, the layer, scores of the next token."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from elman.errors import ConfigError
from elman.nn.decoding.stepper import Ids, whole_number
from elman.nn.recurrent import Recurrent
from elman.nn.streaming import Clamp, Session, State

Logits = NDArray[np.floating[Any]]
Head = nn.Linear | tuple[Tensor, Tensor | None] | Callable[[Tensor], Tensor]

_SMALL = 1 << 18
"""Weights of a head up to which NumPy's product is the faster one, since a call costs less."""
_NUMPY = (torch.float32, torch.float64)


class Rows(NamedTuple):
    """Where rows of a `RecurrentStepper` are."""

    state: State
    added: Tensor | None
    """(B, I), what is added to each token's vector."""


class RecurrentStepper:
    """A `Stepper` of a vocabulary's vectors, a layer over them and a head over its output.

    Make it anew when weights have changed.

    Args:
        recurrent: the layer, in one direction.
        vectors: (V, I), of each token, such as ``embedding.weight``.
        head: what makes logits of the layer's output: a linear layer, its weight (V, H) and bias
            (V,) or None, or a function from (B, H) to (B, V).
        clamp: units that are held, as `Recurrent.start` takes them.

    Raises:
        ConfigError: the layer runs in two directions, a size is wrong, or there is no such unit.
    """

    def __init__(
        self,
        recurrent: Recurrent,
        vectors: Tensor,
        head: Head,
        *,
        clamp: Clamp | None = None,
    ) -> None:
        self._recurrent, self._clamp = recurrent, clamp
        self._vectors = vectors.detach()
        self._on_cpu = vectors.device.type == "cpu"
        self._score = _scorer(head)
        self._sessions: dict[bool, Session] = {}
        self._session(by_id=True)

    def _session(self, *, by_id: bool) -> Session:
        """What reads ids, or their vectors, with something added: few need both."""
        if by_id not in self._sessions:
            table = self._vectors if by_id else None
            started = self._recurrent.start(table=table, clamp=self._clamp)
            self._sessions[by_id] = started.session
        return self._sessions[by_id]

    def start(
        self,
        rows: int = 1,
        hx: Mapping[str, Tensor] | None = None,
        *,
        added: Tensor | None = None,
    ) -> Rows:
        """The state of rows that have read nothing.

        Args:
            rows: B; with ``hx`` it is what that has.
            hx: the first states by name, (num_layers, B, H), as the layer's calls return them;
                zeros where it is None.
            added: (B, I), added to the vector of each token that a row reads, such as the vector
                of a label.

        Raises:
            ConfigError: something is of another shape.
        """
        if hx:
            rows = next(iter(hx.values())).shape[1]
        whole_number("rows", rows)
        shape = (rows, self._vectors.shape[1])
        if added is not None and tuple(added.shape) != shape:
            raise ConfigError(f"added has shape {tuple(added.shape)}; it must be {shape}")
        session = self._session(by_id=added is None).resized(rows)
        added = None if added is None else added.detach().to(self._vectors)
        return Rows(session.first(hx), added)

    def step(self, ids: Ids, state: Rows) -> tuple[Logits, Rows]:
        """Read one token a row; see `Stepper`."""
        before, added = state
        read = torch.from_numpy(ids)
        if not self._on_cpu:
            read = read.to(self._vectors.device)
        if added is not None:
            read = nn.functional.embedding(read, self._vectors) + added
        after = before.session.advance(read, before)
        return self._score(after.blocks[-1]), Rows(after, added)

    def select(self, state: Rows, rows: Ids) -> Rows:
        """The state of these rows; see `Stepper`."""
        places = torch.from_numpy(rows)
        added = None if state.added is None else state.added[places.to(state.added.device)]
        return Rows(state.state.select(places), added)


def _scorer(head: Head) -> Callable[[Tensor], Logits]:
    """What makes logits of what the last layer wrote: its output, and the states after it."""
    if isinstance(head, nn.Linear):
        head = (head.weight, head.bias)
    if not isinstance(head, tuple):
        return _called(head)
    weight, bias = (None if part is None else part.detach().clone() for part in head)
    assert weight is not None
    if weight.device.type == "cpu" and weight.dtype in _NUMPY and weight.numel() <= _SMALL:
        return _multiplied(weight, bias)
    return _called(lambda output: nn.functional.linear(output, weight, bias))


def _multiplied(weight: Tensor, bias: Tensor | None) -> Callable[[Tensor], Logits]:
    matrix = weight.t().contiguous().numpy()
    added = None if bias is None else bias.numpy()

    def score(block: Tensor) -> Logits:
        logits: Logits = np.matmul(block.numpy()[0], matrix)
        if added is not None:
            logits += added
        return logits

    return score


def _called(head: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Logits]:
    def score(block: Tensor) -> Logits:
        with torch.no_grad():
            logits: Logits = head(block[0]).float().numpy(force=True)
        return logits

    return score
