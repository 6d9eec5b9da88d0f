"""A layer over tokens as they come: a step a call, from states that one can go back to."""

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, NoReturn
from weakref import WeakValueDictionary

import torch
from torch import Tensor

from elman.backends import Backend
from elman.errors import ConfigError
from elman.forks import Lock
from elman.ir.graph import Graph

_WHOLE = (torch.int64, torch.int32)


class Part(NamedTuple):
    """One layer's weights: the projection of its input if there is one, and the cell's."""

    projection: Tensor | None
    weights: Mapping[str, Tensor]


Clamp = Mapping[tuple[int, str, int], float]
"""What units are held at, by layer, state and unit."""


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
        table: (V, I), where steps are given token ids rather than vectors.
        clamp: units that are set to a value at the start and in each step.

    Raises:
        ConfigError: the table has another form, or there is no such unit.
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
        table: Tensor | None = None,
        clamp: Clamp | None = None,
    ) -> None:
        some = next(iter(parts[0].weights.values()))
        self.owner = owner
        self.names = graph.state_names
        self.dtype, self.device = some.dtype, some.device
        self.input_size, self.hidden_size = input_size, hidden_size
        self.vocab_size = 0 if table is None else self._checked(table)
        """V; 0 without a table."""
        self._layers = []
        for part in parts:
            projection = None if part.projection is None else part.projection.detach().t()
            if table is not None and projection is not None:
                table, projection = torch.mm(table.detach(), projection), None
            stepper = backend.stepper(graph, part.weights, rows, table)
            self._layers.append((None if projection is None else projection.clone(), stepper))
            table = None  # of the first layer
        self._held = self._places(graph, clamp or {})
        # As long as states are there that need them.
        self._by_rows: WeakValueDictionary[int, Session] = WeakValueDictionary()
        self._set(rows)

    def _set(self, rows: int) -> None:
        self.rows = rows
        self.shape = (rows,) if self.vocab_size else (rows, self.input_size)
        """Of what a step is given."""
        self.size = (1 + len(self.names), rows, self.hidden_size)
        """Of what each layer writes a step: its output, and its states."""
        self._by_rows[rows] = self
        # Memory that a step uses on its way is the session's, so there is one step at a time.
        self._lock = Lock()

    def resized(self, rows: int) -> "Session":
        """The same for so many rows, with the same weights in memory."""
        session = self._by_rows.get(rows)
        if session is None:
            session = copy.copy(self)
            session._layers = [
                (projection, stepper.resized(rows)) for projection, stepper in self._layers
            ]
            session._set(rows)
        return session

    def step(self, x: Tensor, state: "State") -> tuple[Tensor, "State"]:
        """Run all layers over one token a row, for the output (B, H) and the state after it."""
        after = self.advance(x, state)
        return after.blocks[-1][0], after

    def advance(self, x: Tensor, state: "State") -> "State":
        """The same for the state alone, whose last block has the output."""
        if self.vocab_size:
            self._check_ids(x)
        elif x.shape != self.shape or x.dtype is not self.dtype or x.device != self.device:
            self._refuse(x, self.dtype)
        if x.requires_grad:
            x = x.detach()
        blocks: list[Tensor] = []
        with self._lock:
            for (projection, stepper), before in zip(self._layers, state.blocks, strict=True):
                if blocks:
                    x = blocks[-1][0]
                if projection is not None:
                    x = torch.mm(x, projection)
                after = torch.empty_like(before)
                stepper(x, before, after)
                if self._held:
                    self._hold(after, len(blocks))
                blocks.append(after)
        return State(self, blocks)

    def first(self, hx: Mapping[str, Tensor] | None) -> "State":
        """Zeros, or these states (num_layers, B, H) by name, with the units set that are held."""
        blocks = [self._zeros() for _ in self._layers]
        state = State(self, blocks)
        if hx is not None:
            state = state.replace(**hx)
        for layer, block in enumerate(state.blocks):
            self._hold(block, layer)
        return state

    def _zeros(self) -> Tensor:
        return torch.zeros(self.size, dtype=self.dtype, device=self.device)

    # -----------------------------------------------------------------------------------------
    # Held units

    def _places(self, graph: Graph, clamp: Clamp) -> dict[int, list[tuple[int, int, float]]]:
        """For each layer where in what it writes a step which unit is set to what."""
        held: dict[int, list[tuple[int, int, float]]] = {}
        for (layer, name, unit), value in clamp.items():
            self._check_unit(layer, name, unit)
            if not math.isfinite(value):
                raise ConfigError(f"a unit cannot be held at {value!r}; give a number")
            at = self.names.index(name)
            places = held.setdefault(layer, [])
            places.append((1 + at, unit, float(value)))
            if graph.next_states[at] is graph.output:
                places.append((0, unit, float(value)))
        return held

    def _check_unit(self, layer: int, name: str, unit: int) -> None:
        if name not in self.names:
            raise ConfigError(f"there is no state {name!r}; there are {', '.join(self.names)}")
        for word, value, count in (
            ("layer", layer, len(self._layers)),
            ("unit", unit, self.hidden_size),
        ):
            if not isinstance(value, int) or not 0 <= value < count:
                raise ConfigError(f"there is no {word} {value!r}; there are 0 to {count - 1}")

    def _hold(self, block: Tensor, layer: int) -> None:
        for at, unit, value in self._held.get(layer, ()):
            block[at, :, unit] = value

    # -----------------------------------------------------------------------------------------
    # What steps are given

    def _checked(self, table: Tensor) -> int:
        if table.dim() != 2 or table.shape[1] != self.input_size or not len(table):
            raise ConfigError(
                f"the table has shape {tuple(table.shape)}; it must be (V, {self.input_size})"
            )
        if table.dtype is not self.dtype or table.device != self.device:
            raise ConfigError(
                f"the table is of {table.dtype} on {table.device} and the layer of {self.dtype} "
                f"on {self.device}; convert one"
            )
        return len(table)

    def _check_ids(self, ids: Tensor) -> None:
        if ids.shape != self.shape or ids.dtype is not torch.int64 or ids.device != self.device:
            self._refuse(ids, torch.int64)
        # Indices are addresses to a kernel.
        values = ids.tolist()
        if min(values) < 0 or max(values) >= self.vocab_size:
            raise ConfigError(
                f"the token ids are from {min(values)} to {max(values)}; the table has rows 0 to "
                f"{self.vocab_size - 1}"
            )

    def _refuse(self, x: Tensor, dtype: torch.dtype) -> NoReturn:
        raise ConfigError(
            f"step was given {_described(tuple(x.shape), x.dtype, x.device)}, and the session was "
            f"started for {_described(self.shape, dtype, self.device)}; give it one token a "
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
        rows, layers = self.session.rows, len(self.blocks)
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

    def select(self, rows: Any) -> "State":
        """The states of these rows in this order, for a session of so many.

        Args:
            rows: whole numbers from 0 to B - 1, as a tensor, an array or a list; a row may be
                there several times, or not at all.

        Raises:
            ConfigError: there is no such row, or none is given.
        """
        places = torch.as_tensor(rows, device=self.session.device)
        count = self.session.rows
        if places.dim() != 1 or not len(places) or places.dtype not in _WHOLE:
            raise ConfigError("rows must be a list of whole numbers, one or more")
        if int(places.min()) < 0 or int(places.max()) >= count:
            raise ConfigError(f"there are the rows 0 to {count - 1}; {places.tolist()} were given")
        session = self.session.resized(len(places))
        return State(session, [block.index_select(1, places) for block in self.blocks])

    __copy__ = copy

    def __deepcopy__(self, memo: Any) -> "State":
        return self.copy()

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a State cannot be pickled, since it belongs to a session in memory; save "
            "state.tensors() and begin with layer.start(hx=saved)"
        )
