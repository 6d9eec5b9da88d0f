"""``RNN``, ``LSTM`` and ``GRU`` with the arguments, weights and results of ``torch.nn``'s own.

What Elman's backends cannot do better stays with torch's kernels, called for all layers at once:
devices other than the CPU, numbers other than float32 and float64, autocast, projections
(``proj_size``), empty batches, batches of very few steps, and ``torch.jit.trace``, whose files must
run without Elman. So the results, and the errors, are torch's there.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence

from elman.backends import operators
from elman.backends.base import Run, States, is_transformed
from elman.backends.builtin import without_biases
from elman.cells.elman import elman, elman_relu
from elman.cells.gru import gru
from elman.cells.lstm import lstm
from elman.ir.graph import Graph
from elman.ir.text import write

_torch: Any = torch._VF
_CELLS = {"LSTM": lstm, "GRU": gru, "RNN_TANH": elman, "RNN_RELU": elman_relu}
_GRAPHS: dict[tuple[str, bool], tuple[Graph, str]] = {
    (mode, bias): (graph, write(graph))
    for mode, cell in _CELLS.items()
    for bias, graph in ((True, cell.graph), (False, without_biases(cell.graph)))
}
"""By torch's name for the equations and whether they have biases; with the text."""
_KERNELS: dict[str, Callable[..., Any]] = {
    "LSTM": _torch.lstm,
    "GRU": _torch.gru,
    "RNN_TANH": _torch.rnn_tanh,
    "RNN_RELU": _torch.rnn_relu,
}
_FEW_STEPS, _MANY_STEPS, _MANY_ROWS, _MANY_UNITS = 4, 32, 64, 512
"""Measured with 1 and 2 threads, T from 1 to 200, B from 1 to 128, H from 64 to 1024, in training
and without gradients; torch's LSTM has a slow start of its own."""
_DTYPES = (torch.float32, torch.float64)
_jit: Any = torch.jit
_is_traced: Callable[[], bool] = _jit.is_tracing


@operators.graph_break  # type: ignore[untyped-decorator]
def _lstm_after_graph_break(*arguments: Any) -> Any:
    """Torch's LSTM where the graph of torch.compile breaks, as it does at torch's own layer.

    What is compiled of this kernel fails in training, and on an empty batch ends the process.
    """
    return _torch.lstm(*arguments)


class _DropIn(nn.RNNBase):
    """What the three layers share.

    The base is torch's own, for its parameters, their first values, its pickles and its text. It
    is not ``nn.LSTM`` itself, since ``torch.compile`` refuses each subclass of that.
    """

    def forward(self, input: Tensor | PackedSequence, hx: Any = None) -> tuple[Any, Any]:
        """Run all layers over a batch.

        Args:
            input: (T, B, I), (B, T, I) with ``batch_first``, (T, I) for a single row, or a
                ragged batch.
            hx: the first state, (num_layers * directions, B, H), without B for a single row, in
                the order in which the rows were packed; a pair of them for an LSTM; zeros where
                it is None.

        Returns:
            The outputs of the last layer in the form of ``input``, and the last states in the
            form of ``hx``. A row of length 0 in a ragged batch (`elman.nn.ragged.pack`), which
            torch's own layers refuse, has no output, and its first state is its last.

        Raises:
            ValueError: the input has a wrong number of dimensions or type of number.
            RuntimeError: a size is wrong, T is 0, or tensors are on different devices.
        """
        first = None if hx is None else self._unwrapped(hx)
        run: Any = self._packed if isinstance(input, PackedSequence) else self._dense
        output, finals = run(input, first)
        return output, self._wrapped(finals)

    # -----------------------------------------------------------------------------------------
    # The forms of a batch

    def _packed(
        self, packed: PackedSequence, first: States | None
    ) -> tuple[PackedSequence, States]:
        data, batch_sizes, order, unsorted = packed
        self._check_input(data, 2)
        # The same number, without looking into a tensor where that can be spared.
        rows = int(batch_sizes[0]) if order is None else order.shape[0]
        if first is not None:
            self._check_states(first, rows)
            if order is not None:
                first = tuple(state.index_select(1, order) for state in first)
        weights = self.all_weights
        steps = batch_sizes.shape[0]
        if self._is_ours(data, first, weights) and not self._is_faster_in_torch(steps, rows):
            output, finals = self._run(data, batch_sizes, rows, first, weights)
        else:
            output, finals = self._run_torch_packed(data, batch_sizes, rows, first, weights)
        if unsorted is not None:
            finals = tuple(state.index_select(1, unsorted) for state in finals)
        return PackedSequence(output, batch_sizes, order, unsorted), finals

    def _dense(self, input: Tensor, first: States | None) -> tuple[Tensor, States]:
        dimensions = input.dim()
        if dimensions not in (2, 3):
            raise ValueError(
                f"{type(self).__name__}: Expected input to be 2D or 3D, got {dimensions}D instead"
            )
        single = dimensions == 2
        if first is not None:
            self._check_dimensions(first, dimensions)
            first = tuple(state.unsqueeze(1) for state in first) if single else first
        if single:
            steps = input.unsqueeze(1)
        else:
            steps = input.transpose(0, 1) if self.batch_first else input  # (T, B, I)
        self._check_input(steps, 3)
        length, rows, size = steps.shape
        if first is not None:
            self._check_states(first, rows)
        weights = self.all_weights
        ours = length and rows and self._is_ours(steps, first, weights)
        if ours and not self._is_faster_in_torch(length, rows):
            data = steps.reshape(length * rows, size)
            batch_sizes = torch.full((length,), rows, dtype=torch.int64, device="cpu")
            output, finals = self._run(data, batch_sizes, rows, first, weights)
            output = output.view(length, rows, output.shape[-1])
        else:
            output, finals = self._run_torch(steps, None, rows, first, weights)
        if single:
            return output.squeeze(1), tuple(state.squeeze(1) for state in finals)
        return output.transpose(0, 1) if self.batch_first else output, finals

    # -----------------------------------------------------------------------------------------
    # Running

    def _is_ours(
        self, data: Tensor, first: States | None, weights: Sequence[Sequence[Tensor]]
    ) -> bool:
        """Whether Elman's backends run this call; where tensors do not match, torch says so."""
        device, dtype = data.device, data.dtype
        if device.type != "cpu" or dtype not in _DTYPES or self.proj_size:
            return False
        if torch.is_autocast_enabled("cpu") or _is_traced():
            return False
        tensors = [*(first or ()), *(weight for part in weights for weight in part)]
        return all(tensor.dtype == dtype and tensor.device == device for tensor in tensors)

    def _is_faster_in_torch(self, steps: int, rows: int) -> bool:
        """Whether torch's kernels take less time on such a batch.

        Compiled ones copy the weights into their own order first, for which a few steps are too
        few; and they share out rows to threads, where torch shares out units.
        """
        if torch.compiler.is_compiling() or is_transformed() or not steps:
            return False
        if self.mode != "LSTM" and steps < _FEW_STEPS and rows < _MANY_ROWS:
            return True
        threads = torch.get_num_threads()
        if threads == 1 or self.hidden_size < _MANY_UNITS or torch.is_grad_enabled():
            return False
        if self.mode == "LSTM":
            return rows < threads and steps >= _MANY_STEPS
        return rows <= threads

    def _run(
        self,
        data: Tensor,
        batch_sizes: Tensor,
        rows: int,
        first: States | None,
        weights: Sequence[Sequence[Tensor]],
    ) -> tuple[Tensor, States]:
        """Layer by layer on one of Elman's backends: (N, H * directions) and the last states."""
        graph, text = _GRAPHS[self.mode, self.bias]
        if first is None:
            zeros = data.new_zeros(rows, self.hidden_size)
            starts = [(zeros,) * len(self._state_sizes(rows))] * len(weights)
        else:
            starts = list(zip(*(state.unbind(0) for state in first), strict=True))
        finals: list[States] = []
        step = 2 if self.bidirectional else 1
        for at in range(0, len(weights), step):
            if at and self.dropout and self.training:
                data = functional.dropout(data, self.dropout, training=True)
            outputs = []
            for part in range(at, at + step):
                stacks = self._stacks(weights[part])
                run = Run(graph, stacks, data, batch_sizes, starts[part], reverse=part > at)
                output, final = operators.run("auto", text, run)
                outputs.append(output)
                finals.append(final)
            data = torch.cat(outputs, -1) if self.bidirectional else outputs[0]
        if len(finals) == 1:
            return data, tuple(state.unsqueeze(0) for state in finals[0])
        return data, tuple(torch.stack(states) for states in zip(*finals, strict=True))

    def _stacks(self, weights: Sequence[Tensor]) -> dict[str, Tensor]:
        """The weights of one layer in one direction by the names that the graph gives them."""
        stacked = {"weight_ih": weights[0], "weight_hh": weights[1]}
        if self.bias:
            stacked["bias"] = self._one_bias(weights[2], weights[3])
        return stacked

    def _one_bias(self, bias_ih: Tensor, bias_hh: Tensor) -> Tensor:
        """Torch's two biases as the equations have them."""
        return bias_ih + bias_hh

    def _run_torch_packed(
        self,
        data: Tensor,
        batch_sizes: Tensor,
        rows: int,
        first: States | None,
        weights: Sequence[Sequence[Tensor]],
    ) -> tuple[Tensor, States]:
        """The same by torch's kernel, which is not shown rows of length 0: it knows none."""
        if batch_sizes.shape[0]:
            begun = batch_sizes[0]  # not as a number, which torch.jit.trace would take for fixed
            if not _is_traced() and int(begun) == rows:
                return self._run_torch(data, batch_sizes, rows, first, weights)
        if first is None:
            first = tuple(data.new_zeros(size) for size in self._state_sizes(rows))
        if not batch_sizes.shape[0]:
            # One token of which nothing is kept, so that the output depends on all that it should.
            token, one = data.new_zeros(1, data.shape[1]), batch_sizes.new_ones(1)
            output, finals = self._run_torch(token, one, 1, None, weights)
            return output[:0], tuple(map(torch.Tensor.type_as, first, finals))
        early = tuple(state[:, :begun] for state in first)
        output, finals = self._run_torch(data, batch_sizes, rows, early, weights)
        late = (state[:, begun:].type_as(final) for state, final in zip(first, finals, strict=True))
        return output, tuple(torch.cat(pair, 1) for pair in zip(finals, late, strict=True))

    def _run_torch(
        self,
        data: Tensor,
        batch_sizes: Tensor | None,
        rows: int,
        first: States | None,
        weights: Sequence[Sequence[Tensor]],
    ) -> tuple[Tensor, States]:
        """All layers in one call of torch's kernel, on (T, B, I) or on a ragged batch."""
        if first is None:
            first = tuple(data.new_zeros(size) for size in self._state_sizes(rows))
        flat = [weight for part in weights for weight in part]
        hx: Any = first if len(first) > 1 else first[0]
        options = (self.bias, self.num_layers, self.dropout, self.training, self.bidirectional)
        kernel = _KERNELS[self.mode]
        # With projections it is another kernel, which can be compiled.
        if self.mode == "LSTM" and not self.proj_size and torch.compiler.is_compiling():
            kernel = _lstm_after_graph_break
        if batch_sizes is None:
            output, *finals = kernel(data, hx, flat, *options, False)
        else:
            output, *finals = kernel(data, batch_sizes, hx, flat, *options)
        return output, tuple(finals)

    # -----------------------------------------------------------------------------------------
    # States and checks, where an LSTM differs

    def _unwrapped(self, hx: Any) -> States:
        return (hx,)

    def _wrapped(self, states: States) -> Any:
        return states[0]

    def _state_sizes(self, rows: int) -> tuple[tuple[int, int, int], ...]:
        parts = self.num_layers * (2 if self.bidirectional else 1)
        return ((parts, rows, self.hidden_size),)

    def _check_dimensions(self, states: States, dimensions: int) -> None:
        if states[0].dim() != dimensions:
            kind = "batched" if dimensions == 3 else "unbatched"
            raise RuntimeError(
                f"For {kind} {dimensions}-D input, hx should also be {dimensions}-D "
                f"but got {states[0].dim()}-D tensor"
            )

    def _check_input(self, data: Tensor, dimensions: int) -> None:
        dtype = getattr(self, self._all_weights[0][0]).dtype
        # Autocast takes any type: the kernel converts what it is given.
        if data.dtype != dtype and not torch.is_autocast_enabled(data.device.type):
            raise ValueError(
                f"RNN input dtype ({data.dtype}) does not match weight dtype ({dtype}). "
                f"Convert input: input.to({dtype}), or convert model: model.to({data.dtype})"
            )
        if data.dim() != dimensions:
            raise RuntimeError(f"input must have {dimensions} dimensions, got {data.dim()}")
        if data.shape[-1] != self.input_size:
            raise RuntimeError(
                "input.size(-1) must be equal to input_size. "
                f"Expected {self.input_size}, got {data.shape[-1]}"
            )

    def _check_states(self, states: States, rows: int) -> None:
        sizes = self._state_sizes(rows)
        for at, (state, size) in enumerate(zip(states, sizes, strict=True)):
            if tuple(state.shape) != size:
                name = "hidden" if len(sizes) == 1 else f"hidden[{at}]"
                raise RuntimeError(f"Expected {name} size {size}, got {list(state.shape)}")


class RNN(_DropIn):
    """``torch.nn.RNN``: its arguments, weights, inputs and results, run by Elman on the CPU.

    Args:
        input_size: I, how many numbers each token has.
        hidden_size: H, how many units.
        num_layers: how many layers, each over the outputs of the one before.
        nonlinearity: ``tanh`` or ``relu``.
        bias: whether there are ``bias_ih_l0`` and ``bias_hh_l0``.
        batch_first: whether a dense batch is (B, T, I) rather than (T, B, I); states are not.
        dropout: the share of outputs dropped between layers in training.
        bidirectional: whether a second set of weights runs each row from its end to its start.
        device: where the weights are.
        dtype: their type of number.

    Raises:
        TypeError: an argument is of the wrong type, or there is none of this name.
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: torch.device | str | int | None = None,
        dtype: torch.dtype | None = None,
        *,
        proj_size: int | None = None,
    ) -> None:
        _check_projection(proj_size)
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(
                f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'."
            )
        super().__init__(
            f"RNN_{nonlinearity.upper()}",
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            device=device,
            dtype=dtype,
        )
        self.nonlinearity = nonlinearity


class LSTM(_DropIn):
    """``torch.nn.LSTM``: its arguments, weights, inputs and results, run by Elman on the CPU.

    Args:
        input_size: I, how many numbers each token has.
        hidden_size: H, how many units.
        num_layers: how many layers, each over the outputs of the one before.
        bias: whether there are ``bias_ih_l0`` and ``bias_hh_l0``.
        batch_first: whether a dense batch is (B, T, I) rather than (T, B, I); states are not.
        dropout: the share of outputs dropped between layers in training.
        bidirectional: whether a second set of weights runs each row from its end to its start.
        proj_size: how many numbers the output is projected to, 0 for no projection; an LSTM with
            one is run by torch.
        device: where the weights are.
        dtype: their type of number.

    Raises:
        TypeError: an argument is of the wrong type, or there is none of this name.
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: torch.device | str | int | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(
            "LSTM",
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            proj_size,
            device,
            dtype,
        )

    def _unwrapped(self, hx: Any) -> States:
        if len(hx) > 2:
            raise RuntimeError("lstm expects two hidden states")
        return hx[0], hx[1]

    def _wrapped(self, states: States) -> Any:
        return states

    def _state_sizes(self, rows: int) -> tuple[tuple[int, int, int], ...]:
        (cell,) = super()._state_sizes(rows)
        return (*cell[:2], self.proj_size or self.hidden_size), cell

    def _check_dimensions(self, states: States, dimensions: int) -> None:
        hidden, cell = (state.dim() for state in states)
        if (hidden, cell) != (dimensions, dimensions):
            kind = "batched" if dimensions == 3 else "unbatched"
            raise RuntimeError(
                f"For {kind} {dimensions}-D input, hx and cx should also be {dimensions}-D "
                f"but got ({hidden}-D, {cell}-D) tensors"
            )


class GRU(_DropIn):
    """``torch.nn.GRU``: its arguments, weights, inputs and results, run by Elman on the CPU.

    Args:
        input_size: I, how many numbers each token has.
        hidden_size: H, how many units.
        num_layers: how many layers, each over the outputs of the one before.
        bias: whether there are ``bias_ih_l0`` and ``bias_hh_l0``.
        batch_first: whether a dense batch is (B, T, I) rather than (T, B, I); states are not.
        dropout: the share of outputs dropped between layers in training.
        bidirectional: whether a second set of weights runs each row from its end to its start.
        device: where the weights are.
        dtype: their type of number.

    Raises:
        TypeError: an argument is of the wrong type, or there is none of this name.
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: torch.device | str | int | None = None,
        dtype: torch.dtype | None = None,
        *,
        proj_size: int | None = None,
    ) -> None:
        _check_projection(proj_size)
        super().__init__(
            "GRU",
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            device=device,
            dtype=dtype,
        )

    def _one_bias(self, bias_ih: Tensor, bias_hh: Tensor) -> Tensor:
        # r and z add theirs up; n has one outside and one inside of the reset gate.
        sizes = (2 * self.hidden_size, self.hidden_size)
        gates, candidate = bias_ih.split_with_sizes(sizes)
        gates_hh, candidate_hh = bias_hh.split_with_sizes(sizes)
        return torch.cat((gates + gates_hh, candidate, candidate_hh))


def _check_projection(proj_size: int | None) -> None:
    # An argument only for torch's error: projections are an LSTM's.
    if proj_size is not None:
        raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")
