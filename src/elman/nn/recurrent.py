"""A recurrent layer over a ragged batch: any cell, stacked, in one direction or two."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence

from elman.backends import choose, eager, operators
from elman.backends.base import Run
from elman.cell import Cell
from elman.cells import find
from elman.errors import ConfigError
from elman.ir.graph import Graph
from elman.ir.rewrite import expected
from elman.ir.stacks import Stack, places, stacks
from elman.ir.text import write
from elman.nn import dropout, ragged
from elman.nn.streaming import Clamp, Part, Session, State

StatesByName = dict[str, Tensor]


@dataclass(frozen=True)
class Trace:
    """Every named value of one layer in one direction, for each token."""

    layer: int
    reverse: bool
    values: dict[str, Tensor]
    """(N, H) each, in the layout of the packed data; gates and next states by their names."""


class Recurrent(nn.Module):
    """A cell run over each row of a ragged batch, from first token to last.

    Args:
        cell: a cell's name, ``path/to/file.py:name``, either within modifiers as in
            ``zoneout(lstm, h=0.1, c=0.1)``, or a `Cell`.
        input_size: I, how many numbers each token has.
        hidden_size: H, how many units.
        num_layers: how many layers, each over the outputs of the one before.
        bidirectional: whether a second set of weights runs each row from its end to its start.
        dropout: the share of outputs dropped between layers in training.
        variational: whether these are the same units at every step of a row (Gal & Ghahramani
            2016) in place of a draw a step.
        weight_dropout: the share of the recurrent (H, H) matrices' weights dropped in training
            (DropConnect as in Merity et al. 2018): one draw a call for all its rows and steps,
            what stays scaled by 1 / (1 - weight_dropout).
        trace: whether a call also returns every named value, as `trace` does, which takes the
            eager backend.
        backend: ``auto`` for the first that can run the cell, or one by name.

    The parameters are called as in ``torch.nn.LSTM`` (``weight_ih_l0``, ``weight_hh_l0``, with
    ``_reverse`` for the second direction) and have the same layout, but for one ``bias_l0`` where
    torch has two that are added up. A state_dict of ``torch.nn.RNN``, ``LSTM`` or ``GRU`` loads
    unchanged. A cell that adds the input itself to hidden units gets a learned ``projection_l0``
    (H, I) where the sizes differ. In training the cell's masks are drawn anew for each call, from
    torch's generator; in evaluation their means take their place.

    Raises:
        CellError: there is no such cell.
        ConfigError: a size or the dropout is out of range.
        BackendError: the backend asked for by name cannot run this cell.
    """

    def __init__(
        self,
        cell: str | Cell,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        bidirectional: bool = False,
        dropout: float = 0.0,
        variational: bool = False,
        weight_dropout: float = 0.0,
        trace: bool = False,
        backend: str = "auto",
    ) -> None:
        super().__init__()
        self.cell = find(cell)
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.num_layers = num_layers
        self.bidirectional = bidirectional
        self.dropout = dropout
        self.variational = variational
        self.weight_dropout = weight_dropout
        self.traces = trace
        self.backend = backend
        self._check()
        # At hand, since torch.compile cannot follow how they are worked out.
        self._stacks = stacks(self.cell.graph)
        self._graphs = {True: self.cell.graph, False: expected(self.cell.graph)}
        self._texts = {training: write(graph) for training, graph in self._graphs.items()}
        for layer, suffix in self._parts():
            self._register(layer, suffix)
        self.reset_parameters()
        some = next(self.parameters())
        choose(backend, self.cell.graph, device=some.device, dtype=some.dtype)

    @property
    def num_directions(self) -> int:
        """1 or 2."""
        return 2 if self.bidirectional else 1

    @property
    def output_size(self) -> int:
        """How many numbers each token has afterwards: H, or 2H in two directions."""
        return self.hidden_size * self.num_directions

    def _check(self) -> None:
        for name in ("input_size", "hidden_size", "num_layers"):
            value = getattr(self, name)
            if not isinstance(value, int) or value < 1:
                raise ConfigError(f"{name} is {value!r}; it must be a whole number of at least 1")
        for name in ("dropout", "weight_dropout"):
            value = getattr(self, name)
            if not isinstance(value, int | float) or not 0.0 <= value < 1.0:
                raise ConfigError(f"{name} is {value!r}; it must be at least 0 and under 1")
        if self.weight_dropout and not any(map(_is_recurrent, stacks(self.cell.graph))):
            raise ConfigError(
                f"weight_dropout is {self.weight_dropout!r}, but {self.cell.name} has no recurrent "
                "matrices; leave it 0, or take another cell"
            )

    # -----------------------------------------------------------------------------------------
    # Parameters

    def _parts(self) -> Iterator[tuple[int, str]]:
        """Each layer in each direction, with the end of its parameters' names."""
        for layer in range(self.num_layers):
            yield layer, f"_l{layer}"
            if self.bidirectional:
                yield layer, f"_l{layer}_reverse"

    def _register(self, layer: int, suffix: str) -> None:
        size = self.input_size if layer == 0 else self.output_size
        if self.cell.graph.needs_equal_sizes and size != self.hidden_size:
            projection = torch.empty(self.hidden_size, size)
            self.register_parameter(f"projection{suffix}", nn.Parameter(projection))
            size = self.hidden_size
        for stack in stacks(self.cell.graph):
            columns = {"I": [size], "H": [self.hidden_size], "1": []}[stack.columns]
            rows = self.hidden_size * len(stack.parameters)
            parameter = nn.Parameter(torch.empty(rows, *columns))
            self.register_parameter(stack.name + suffix, parameter)

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Glorot uniform input weights, orthogonal recurrent ones, and what the cell declares."""
        if next(self.parameters()).is_meta:
            return  # there is no memory to hold values
        for _, suffix in self._parts():
            projection = getattr(self, f"projection{suffix}", None)
            if projection is not None:
                nn.init.xavier_uniform_(projection)
            for stack in stacks(self.cell.graph):
                self._reset(stack, getattr(self, stack.name + suffix))

    def _reset(self, stack: Stack, weights: Tensor) -> None:
        # Each gate by itself: the scale of a draw depends on the shape of the matrix.
        parts = torch.split(weights, self.hidden_size)
        for parameter, part in zip(stack.parameters, parts, strict=True):
            if stack.columns == "1":
                part.fill_(parameter.initial)
            elif stack.columns == "I":
                nn.init.xavier_uniform_(part)
            else:
                nn.init.orthogonal_(part)
                part.diagonal().add_(parameter.diagonal)

    def _weights(self, suffix: str) -> dict[str, Tensor]:
        stacked = {}
        for stack in self._stacks:
            weights = getattr(self, stack.name + suffix)
            rate = self.weight_dropout if _is_recurrent(stack) else 0.0
            # Without a rate the parameter itself, not a copy of it.
            stacked[stack.name] = (
                functional.dropout(weights, rate) if rate and self.training else weights
            )
        return stacked

    # -----------------------------------------------------------------------------------------
    # Running

    def forward(
        self,
        packed: PackedSequence,
        hx: Mapping[str, Tensor] | None = None,
        *,
        table: Tensor | None = None,
    ) -> tuple[PackedSequence, StatesByName] | tuple[PackedSequence, StatesByName, list[Trace]]:
        """Run all layers.

        Args:
            packed: a ragged batch with data (N, I).
            hx: the first states by name, (num_layers * directions, B, H) each, rows in the order
                in which they were packed; zeros where it is None.
            table: the vectors of a vocabulary, (V, I), such as ``embedding.weight``. The data are
                then token ids (N,), int64; the result is that of looking them up first, and where
                there are fewer words than tokens it is had sooner. Each row that is read gets its
                gradient, also one that an ``nn.Embedding`` holds fixed by its ``padding_idx``.

        Returns:
            The ragged batch of outputs, data (N, H * directions), and each state after each
            row's own last step, in the form of ``hx``; of a row of length 0 it is the first state.
            With ``trace`` also what `trace` returns, of the same run.
        """
        output, finals, traces = self._run(packed, hx, table, traced=self.traces)
        return (output, finals, traces) if self.traces else (output, finals)

    def trace(self, packed: PackedSequence, hx: Mapping[str, Tensor] | None = None) -> list[Trace]:
        """Every gate, candidate and state for each token, layer by layer, on the eager backend."""
        return self._run(packed, hx, None, traced=True)[2]

    def start(
        self,
        batch_size: int = 1,
        hx: Mapping[str, Tensor] | None = None,
        *,
        table: Tensor | None = None,
        clamp: Clamp | None = None,
    ) -> State:
        """Begin to run token by token, as in evaluation, for `step`.

        The weights are read here, once: later changes to them are seen by the next `start`.

        Args:
            batch_size: B, how many rows go on side by side; with ``hx`` it is what that has.
            hx: the first states by name, (num_layers, B, H) each, as a call returns them or
                ``state.tensors()``; zeros where it is None.
            table: the vectors of a vocabulary, (V, I), such as ``embedding.weight``. Steps are
                then given token ids (B,), int64; the result is that of looking them up first,
                had sooner.
            clamp: units that are held, ``{(layer, "c", unit): value}``: set at the start and
                after each step of their layer, before the layer above reads its output (Radford
                et al. 2017, "Learning to Generate Reviews and Discovering Sentiment", section
                4.3). Where the output is that state, the unit's output is held, too; else it
                follows with the next step.

        Raises:
            ConfigError: the layer runs in two directions, a size is wrong, or there is no such
                unit.
        """
        if self.bidirectional:
            raise ConfigError(
                "a layer in two directions has no output before it has seen the last token; "
                "make it with bidirectional=False, or call it on whole sequences"
            )
        given = {} if hx is None else dict(hx)
        if hx is not None and (set(given) != set(self.cell.states)):
            raise ConfigError(self._wrong_states(given))
        rows = next(iter(given.values())).shape[1] if given else batch_size
        if not isinstance(rows, int) or rows < 1:
            raise ConfigError(f"batch_size is {rows!r}; it must be a whole number of at least 1")
        graph = self._graphs[False]
        some = next(self.parameters())
        backend = choose(self.backend, graph, device=some.device, dtype=some.dtype)
        parts = [
            Part(
                getattr(self, f"projection{suffix}", None),
                {stack.name: getattr(self, stack.name + suffix) for stack in self._stacks},
            )
            for _, suffix in self._parts()
        ]
        sizes = {"rows": rows, "input_size": self.input_size, "hidden_size": self.hidden_size}
        session = Session(self, backend, graph, parts, **sizes, table=table, clamp=clamp)
        return session.first(hx)

    def step(self, x: Tensor, state: State) -> tuple[Tensor, State]:
        """Run all layers over one token a row.

        Args:
            x: (B, I), the next token of each row; (B,), its id, where there is a table.
            state: from `start` or an earlier step; it stays as it is, to go back to.

        Returns:
            The output (B, H), and the state after the token. No gradient reaches either.

        Raises:
            ConfigError: the size, type or device of ``x`` is not the session's, or the state is
                another layer's.
        """
        if state.session.owner is not self:
            raise ConfigError(
                "the state is of another layer's session; begin with this layer's start()"
            )
        return state.session.step(x, state)

    def last(self, outputs: PackedSequence, finals: Mapping[str, Tensor]) -> Tensor:
        """Each direction's output at its own end: at the last token, and at the first.

        A row of length 0 has none: its first state is taken where the output is a state, and zeros
        elsewhere.

        Args:
            outputs: what ``forward`` gave.
            finals: the last states that it gave beside them.

        Returns:
            (B, H * directions), in the batch's own row order.
        """
        graph = self.cell.graph
        if graph.output in graph.next_states:
            state = finals[graph.state_names[graph.next_states.index(graph.output)]]
            return torch.cat(tuple(state[-2:]), -1) if self.bidirectional else state[-1]
        size = self.hidden_size
        forward = ragged.last(ragged.replace(outputs, outputs.data[:, :size]))
        if not self.bidirectional:
            return forward
        backward = ragged.first(ragged.replace(outputs, outputs.data[:, size:]))
        return torch.cat([forward, backward], dim=1)

    def _run(
        self,
        packed: PackedSequence,
        hx: Mapping[str, Tensor] | None,
        table: Tensor | None,
        *,
        traced: bool,
    ) -> tuple[PackedSequence, StatesByName, list[Trace]]:
        if table is not None:
            _check_tokens(packed, table)
            if traced or self.cell.graph.needs_equal_sizes or torch.compiler.is_compiling():
                packed = ragged.replace(packed, functional.embedding(packed.data, table))
                table = None
        self._check_input(packed, table)
        like = packed.data if table is None else table
        first = self._first_states(packed, hx, like)
        finals: list[tuple[Tensor, ...]] = []
        traces: list[Trace] = []
        data, parts = packed.data, []
        for (layer, suffix), states in zip(self._parts(), first, strict=True):
            read = table if layer == 0 else None
            output, final, values = self._run_part(
                data, packed.batch_sizes, states, suffix, read, traced
            )
            finals.append(final)
            traces.append(Trace(layer, suffix.endswith("_reverse"), values))
            parts.append(output)
            if len(parts) == self.num_directions:
                data, parts = torch.cat(parts, -1) if self.bidirectional else output, []
                if layer < self.num_layers - 1:
                    data = self._dropped(ragged.replace(packed, data))
        return ragged.replace(packed, data), self._final_states(packed, finals), traces

    def _dropped(self, packed: PackedSequence) -> Tensor:
        """The outputs of a layer as the next one reads them."""
        if self.variational:
            return dropout.variational(packed, self.dropout, training=self.training).data
        return functional.dropout(packed.data, self.dropout, self.training)

    def _run_part(
        self,
        data: Tensor,
        batch_sizes: Tensor,
        states: tuple[Tensor, ...],
        suffix: str,
        table: Tensor | None,
        traced: bool,
    ) -> tuple[Tensor, tuple[Tensor, ...], dict[str, Tensor]]:
        projection = getattr(self, f"projection{suffix}", None)
        if projection is not None:
            data = functional.linear(data, projection)
        graph = self._graphs[self.training]
        weights, masks = self._weights(suffix), self._masks(graph, data.shape[0], states[0])
        reverse = suffix.endswith("_reverse")
        run = Run(graph, weights, data, batch_sizes, states, reverse, masks, table)
        if traced:
            return eager.trace(run)
        output, final = operators.run(self.backend, self._texts[self.training], run)
        return output, final, {}

    def _masks(self, graph: Graph, tokens: int, state: Tensor) -> dict[str, Tensor]:
        rows, size = state.shape
        drawn = {}
        for mask in graph.masks:
            numbers = state.new_empty(tokens if mask.per == "step" else rows, size)
            drawn[mask.name] = numbers.bernoulli_(mask.probability).mul_(mask.scale)
        return drawn

    def _check_input(self, packed: PackedSequence, table: Tensor | None) -> None:
        if not isinstance(packed, PackedSequence):
            raise ConfigError(
                f"Recurrent takes a ragged batch, not a {type(packed).__name__}; "
                "make one with elman.nn.ragged.pack(values, lengths)"
            )
        shape = tuple((packed.data if table is None else table).shape)
        if len(shape) != 2 or shape[1] != self.input_size:
            word = "data have" if table is None else "table has"
            raise ConfigError(f"the {word} shape {shape}; must be (N, {self.input_size})")
        if not ragged.count(packed):
            raise ConfigError("the batch is empty; give it at least one row")
        read = packed.data if table is None else table
        own = getattr(self, f"{self._stacks[0].name}_l0")
        mixed = read.dtype != own.dtype and not torch.is_autocast_enabled(read.device.type)
        if mixed:
            raise ConfigError(
                f"the {'data are' if table is None else 'table is'} {read.dtype} and the layer's "
                f"weights {own.dtype}; convert one, as in data.to({own.dtype})"
            )

    def _first_states(
        self, packed: PackedSequence, hx: Mapping[str, Tensor] | None, like: Tensor
    ) -> list[tuple[Tensor, ...]]:
        """The states of each layer in each direction, (B, H) each, in sorted order."""
        order, rows = packed.sorted_indices, ragged.count(packed)
        parts = self.num_layers * self.num_directions
        if hx is None:
            zeros = like.new_zeros(rows, self.hidden_size)
            return [(zeros,) * len(self.cell.states)] * parts
        shape = (parts, rows, self.hidden_size)
        if not isinstance(hx, Mapping):
            raise ConfigError(
                f"hx is a {type(hx).__name__}; it must be a dict of the states "
                f"{', '.join(self.cell.states)} by name, as a call returns them"
            )
        if set(hx) != set(self.cell.states):
            raise ConfigError(self._wrong_states(hx))
        for name, state in hx.items():
            if tuple(state.shape) != shape:
                raise ConfigError(f"hx[{name!r}] has shape {tuple(state.shape)}; must be {shape}")
        firsts = [hx[name] for name in self.cell.states]
        if order is not None:
            firsts = [state.index_select(1, order) for state in firsts]
        return list(zip(*(state.unbind(0) for state in firsts), strict=True))

    def _wrong_states(self, hx: Mapping[str, Tensor]) -> str:
        return (
            f"hx holds {', '.join(sorted(hx)) or 'nothing'}; "
            f"the states of {self.cell.name} are {', '.join(self.cell.states)}"
        )

    def _final_states(
        self, packed: PackedSequence, finals: list[tuple[Tensor, ...]]
    ) -> StatesByName:
        order = packed.unsorted_indices
        stacked = {
            name: torch.stack(parts) if len(parts) > 1 else parts[0].unsqueeze(0)
            for name, parts in zip(self.cell.states, zip(*finals, strict=True), strict=True)
        }
        if order is None:
            return stacked
        return {name: state.index_select(1, order) for name, state in stacked.items()}

    def extra_repr(self) -> str:
        """What tells this layer from another."""
        text = f"{self.cell.name}, {self.input_size}, {self.hidden_size}"
        defaults = {
            "num_layers": 1,
            "bidirectional": False,
            "dropout": 0.0,
            "variational": False,
            "weight_dropout": 0.0,
            "backend": "auto",
        }
        for name, default in defaults.items():
            if getattr(self, name) != default:
                text += f", {name}={getattr(self, name)!r}"
        return f"{text}, trace=True" if self.traces else text

    # -----------------------------------------------------------------------------------------
    # Weights from torch

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        for _, suffix in self._parts():
            keys = [f"{prefix}bias_{side}{suffix}" for side in ("ih", "hh")]
            if all(key in state_dict for key in keys) and hasattr(self, f"bias{suffix}"):
                biases = [state_dict.pop(key) for key in keys]
                halves = dict(zip(("weight_ih", "weight_hh"), biases, strict=True))
                state_dict[f"{prefix}bias{suffix}"] = self._merged(halves)
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def _merged(self, halves: dict[str, Tensor]) -> Tensor:
        """Torch's two biases as the equations have them: added up where a gate has only one."""
        place = places(self.cell.graph)
        biases = next(stack for stack in stacks(self.cell.graph) if stack.name == "bias")
        size = self.hidden_size
        merged = []
        for bias in biases.parameters:
            gate = bias.name.removesuffix(".bias")
            matrices = [place[name] for name in place if name.rpartition(".")[0] == gate]
            parts = [
                halves[stack][at * size : (at + 1) * size]
                for stack, at in matrices
                if stack in halves
            ]
            merged.append(torch.stack(parts).sum(0))
        return torch.cat(merged)


def _is_recurrent(stack: Stack) -> bool:
    return stack.kind == "matrix" and stack.columns == "H"


def _check_tokens(packed: PackedSequence, table: Tensor) -> None:
    data = packed.data
    if data.dim() != 1 or data.dtype not in (torch.int64, torch.int32) or table.dim() != 2:
        raise ConfigError(
            f"with a table the data are token ids (N,), int64, and the table is (V, I); they have "
            f"shape {tuple(data.shape)} of {data.dtype}, and {tuple(table.shape)}"
        )
