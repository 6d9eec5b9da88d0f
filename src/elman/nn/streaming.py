"""A layer over tokens as they come: a step a call, from states that one can go back to."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, NoReturn

import torch
from torch import Tensor

from elman.backends import Backend
from elman.errors import ConfigError
from elman.forks import Lock
from elman.ir.graph import Graph


class Part(NamedTuple):
    """One layer's weights: the projection of its input if there is one, and the cell's."""

    projection: Tensor | None
    weights: Mapping[str, Tensor]


class Session:
    """All layers with their weights as they were at the start; what the states of it share.

    Args:
        owner: the layer that it was started from.
        backend: what runs the cell.
        graph: the cell without masks.
        parts: the layers, from the first to the last.
        rows: B.
        input_size: I.
        hidden_size: H.
    """

    def __init__(
        self,
        owner: object,
        backend: Backend,
        graph: Graph,
        parts: Sequence[Part],
        *,
        rows: int,
        input_size: int,
        hidden_size: int,
    ) -> None:
        some = next(iter(parts[0].weights.values()))
        self.owner = owner
        self.names = graph.state_names
        self.shape = (rows, input_size)
        self.dtype, self.device = some.dtype, some.device
        self.size = (1 + len(self.names), rows, hidden_size)
        """Of what each layer writes a step: its output, and its states."""
        self._layers = [
            (
                None if part.projection is None else part.projection.detach().t().clone(),
                backend.stepper(graph, part.weights, rows),
            )
            for part in parts
        ]
        # Memory that a step uses on its way is the session's, so there is one step at a time.
        self._lock = Lock()

    def step(self, x: Tensor, state: "State") -> tuple[Tensor, "State"]:
        """Run all layers over one token a row."""
        if x.shape != self.shape or x.dtype is not self.dtype or x.device != self.device:
            self._refuse(x)
        if x.requires_grad:
            x = x.detach()
        blocks = []
        with self._lock:
            for (projection, stepper), before in zip(self._layers, state.blocks, strict=True):
                if projection is not None:
                    x = torch.mm(x, projection)
                after = torch.empty(self.size, dtype=self.dtype, device=self.device)
                stepper(x, before, after)
                blocks.append(after)
                x = after[0]
        return x, State(self, blocks)

    def first(self, hx: Mapping[str, Tensor] | None) -> "State":
        """Zeros, or these states (num_layers, B, H) by name."""
        blocks = [self._zeros() for _ in self._layers]
        state = State(self, blocks)
        return state if hx is None else state.replace(**hx)

    def _zeros(self) -> Tensor:
        return torch.zeros(self.size, dtype=self.dtype, device=self.device)

    def _refuse(self, x: Tensor) -> NoReturn:
        raise ConfigError(
            f"step was given {_described(tuple(x.shape), x.dtype, x.device)}, and the session was "
            f"started for {_described(self.shape, self.dtype, self.device)}; give it one token a "
            "row, or start another session"
        )


def _described(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> str:
    return f"{shape} of {str(dtype).removeprefix('torch.')} on {device}"


class State:
    """Where a session is after some step.

    Each state of the cell is there by its name: ``state.h`` is a copy of shape
    (num_layers, B, H). A step leaves the state that it was given as it is, so that one can go
    back to it at any time. To save it, save `tensors` and start with ``layer.start(hx=saved)``.
    """

    __slots__ = ("blocks", "session")

    def __init__(self, session: Session, blocks: Sequence[Tensor]) -> None:
        self.session = session
        self.blocks = blocks
        """For each layer its last output and the states, (1 + states, B, H)."""

    def __getattr__(self, name: str) -> Tensor:
        if name.startswith("_") or name not in self.session.names:
            raise AttributeError(
                f"there is no state {name!r}; there are {', '.join(self.session.names)}"
            )
        return self._stacked(name)

    def __repr__(self) -> str:
        rows, layers = self.session.shape[0], len(self.blocks)
        return f"<State {', '.join(self.session.names)}: {layers} layers, {rows} rows>"

    def _stacked(self, name: str) -> Tensor:
        at = 1 + self.session.names.index(name)
        return torch.stack([block[at] for block in self.blocks])

    def tensors(self) -> dict[str, Tensor]:
        """A copy of each state by name, (num_layers, B, H), as `Recurrent` takes and gives them."""
        return {name: self._stacked(name) for name in self.session.names}

    def copy(self) -> "State":
        """The same values in memory of their own."""
        return State(self.session, [block.clone() for block in self.blocks])

    def replace(self, **states: Tensor) -> "State":
        """The same with other values for some states, (num_layers, B, H) each.

        Raises:
            ConfigError: there is no such state, or it has another shape.
        """
        names, shape = self.session.names, (len(self.blocks), *self.session.size[1:])
        changed = self.copy()
        for name, values in states.items():
            if name not in names:
                raise ConfigError(f"there is no state {name!r}; there are {', '.join(names)}")
            if tuple(values.shape) != shape:
                raise ConfigError(
                    f"the state {name!r} has shape {tuple(values.shape)}; it must be {shape}"
                )
            for block, value in zip(changed.blocks, values.detach(), strict=True):
                block[1 + names.index(name)].copy_(value)
        return changed

    __copy__ = copy

    def __deepcopy__(self, memo: Any) -> "State":
        return self.copy()

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a State cannot be pickled, since it belongs to a session in memory; save "
            "state.tensors() and begin with layer.start(hx=saved)"
        )
