"""What is measured: one training step, or one step of a stream, as a function without arguments.

A training step is forward and backward, with the gradient of each parameter and of the input, from
the same weights and the same gradient of the output for all.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

import elman.nn
from elman import backends
from elman.cell import Cell
from elman.cells import ALL_CELLS
from elman.lab.bench.options import Shape
from elman.nn import Recurrent

Training = Callable[[], tuple[Tensor, tuple[Tensor, ...]]]
"""Returns the output and the gradients, the input's first."""

TWINS: dict[str, tuple[str, dict[str, Any]]] = {
    "lstm": ("LSTM", {}),
    "gru": ("GRU", {}),
    "elman": ("RNN", {}),
    "elman_relu": ("RNN", {"nonlinearity": "relu"}),
}
"""Cells that torch has, by what it calls them."""


def twin(cell: Cell) -> str | None:
    """What torch calls this cell; None where it has none."""
    return TWINS[cell.name][0] if cell in ALL_CELLS and cell.name in TWINS else None


@dataclass(frozen=True)
class Batch:
    """Inputs and the gradient of the output, as a ragged batch."""

    shape: Shape
    data: Tensor
    """(N, I), a leaf that requires a gradient."""
    batch_sizes: Tensor
    grad_output: Tensor
    """(N, H)"""

    @property
    def packed(self) -> PackedSequence:
        """As torch has it, rows sorted."""
        return PackedSequence(self.data, self.batch_sizes)

    def dense(self) -> Tensor:
        """The same inputs as a leaf (T, B, I), for rows of equal length."""
        steps, rows, size, _ = self.shape
        return self.data.detach().view(steps, rows, size).requires_grad_()


def batch(shape: Shape, *, ragged: bool) -> Batch:
    """A random batch; ragged ones have uniform lengths between T/4 and T, the longest T."""
    draw = torch.Generator().manual_seed(0)
    lengths = torch.full((shape.rows,), shape.steps)
    if ragged:
        shortest = max(1, -(-shape.steps // 4))
        lengths = torch.randint(shortest, shape.steps + 1, (shape.rows,), generator=draw)
        lengths[0] = shape.steps
    batch_sizes = (lengths.unsqueeze(0) > torch.arange(shape.steps).unsqueeze(1)).sum(1)
    tokens = int(lengths.sum())
    return Batch(
        shape,
        torch.randn(tokens, shape.input_size, generator=draw).requires_grad_(),
        batch_sizes,
        torch.randn(tokens, shape.hidden_size, generator=draw),
    )


# ---------------------------------------------------------------------------------------------
# Layers with the same weights


def source(cell: Cell, input_size: int, hidden_size: int) -> nn.Module:
    """A layer whose weights all others take: torch's own where it has the cell."""
    torch.manual_seed(0)
    name = twin(cell)
    if name is None:
        return Recurrent(cell, input_size, hidden_size, backend="eager")
    layer: nn.Module = getattr(nn, name)(input_size, hidden_size, **TWINS[cell.name][1])
    return layer


def recurrent(cell: Cell, weights: nn.Module, shape: Shape, *, backend: str = "auto") -> Recurrent:
    """A `Recurrent` with these weights."""
    layer = Recurrent(cell, shape.input_size, shape.hidden_size, backend=backend)
    layer.load_state_dict(weights.state_dict())
    return layer


def drop_in(cell: Cell, weights: nn.Module, shape: Shape) -> nn.Module | None:
    """Elman's layer in the place of torch's, with these weights; None where there is none."""
    made = getattr(elman.nn, twin(cell) or "", None)
    if made is None:
        return None
    layer: nn.Module = made(shape.input_size, shape.hidden_size, **TWINS[cell.name][1])
    layer.load_state_dict(weights.state_dict())
    return layer


# ---------------------------------------------------------------------------------------------
# Training steps


def train_packed(layer: nn.Module, batch: Batch) -> Training:
    """Of a layer that takes a `PackedSequence`."""
    wanted = [batch.data, *layer.parameters()]

    def step() -> tuple[Tensor, tuple[Tensor, ...]]:
        output = layer(batch.packed)[0].data
        return output, torch.autograd.grad(output, wanted, batch.grad_output)

    return step


def train_dense(layer: nn.Module, batch: Batch) -> Training:
    """Of a layer that takes a tensor (T, B, I)."""
    data = batch.dense()
    wanted = [data, *layer.parameters()]
    steps, rows, _, size = batch.shape
    grad_output = batch.grad_output.view(steps, rows, size)

    def step() -> tuple[Tensor, tuple[Tensor, ...]]:
        output = layer(data)[0]
        return output, torch.autograd.grad(output, wanted, grad_output)

    return step


def dense_step(cell: Cell, shape: Shape, weights: nn.Module, batch: Batch) -> Training:
    """Elman's training step on rows of equal length: by its drop-in where torch has the cell."""
    layer = drop_in(cell, weights, shape)
    if layer is None:
        return train_packed(recurrent(cell, weights, shape), batch)
    return train_dense(layer, batch)


def train_products(tokens: int, columns: int, rows: int) -> Callable[[], object]:
    """Of one affine map for all tokens: what leaves the time loop."""
    data = torch.randn(tokens, columns, requires_grad=True)
    weight = torch.randn(rows, columns, requires_grad=True)
    bias = torch.zeros(rows, requires_grad=True)
    grad_output = torch.randn(tokens, rows)

    def step() -> object:
        output = nn.functional.linear(data, weight, bias)
        return torch.autograd.grad(output, (data, weight, bias), grad_output)

    return step


# ---------------------------------------------------------------------------------------------
# Streams


def stream(layer: Recurrent) -> Callable[[], Tensor]:
    """One step of one row, the state carried on; to be called under no_grad."""
    layer.eval()
    x = torch.randn(1, layer.input_size)
    state = layer.start(1)

    def step() -> Tensor:
        nonlocal state
        output, state = layer.step(x, state)
        return output

    return step


def stream_torch(layer: nn.Module, input_size: int) -> Callable[[], object]:
    """The same with torch's layer on T = 1."""
    x = torch.randn(1, 1, input_size)
    states = None

    def step() -> object:
        nonlocal states
        output, states = layer(x, states)
        return output

    return step


# ---------------------------------------------------------------------------------------------
# What really ran


@contextmanager
def watched() -> Iterator[list[str]]:
    """Fills the list with the backends that ran within."""
    ran: list[str] = []
    before = {backend.name: backend.runs for backend in backends.BACKENDS}
    yield ran
    ran += [backend.name for backend in backends.BACKENDS if backend.runs > before[backend.name]]
