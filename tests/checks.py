"""What must hold for every cell on every backend; each check raises when it does not."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch

from elman.backends import BACKENDS, Backend
from elman.backends.base import Run
from elman.cells import ALL_CELLS, find
from elman.ir import reference
from elman.ir.graph import Graph
from elman.ir.stacks import stacks, unstack
from elman.nn import ragged


class Tolerance(NamedTuple):
    forward: float
    gradient: float


# Relative to the largest value of the tensor, or to 1 where that is smaller.
TOLERANCES = {
    torch.float32: Tolerance(forward=2e-6, gradient=1e-5),
    torch.float64: Tolerance(forward=1e-13, gradient=1e-7),
}


def backend_named(name: str) -> Backend:
    (backend,) = (backend for backend in BACKENDS if backend.name == name)
    return backend


LLVM, BUILTIN, EAGER = map(backend_named, ("llvm", "builtin", "eager"))


@contextmanager
def runs_on(backend: Backend, times: int = 1) -> Iterator[None]:
    """Within it, this backend runs so many times and no other one runs at all."""
    before = {one.name: one.runs for one in BACKENDS}
    yield
    after = {one.name: one.runs for one in BACKENDS}
    before[backend.name] += times
    assert after == before, f"{times} runs of {backend.name}: {before} became {after}"


def able(backend: Backend, graph: Graph) -> bool:
    device, dtype = torch.device("cpu"), torch.float64
    return backend.unsupported_reason(graph, device=device, dtype=dtype) is None


MODIFIED_NAMES = (
    "layer_norm(lstm)",
    "layer_norm(gru)",
    "layer_norm(mut1)",
    "zoneout(lstm, h=0.1, c=0.2)",
    "zoneout(gru_v1)",
    "recurrent_dropout(lstm_peephole)",
    "recurrent_dropout(mut3)",
    "recurrent_dropout(gru, 0.5, on='candidate')",
    "residual(elman)",
    "residual(zoneout(layer_norm(recurrent_dropout(mlstm, on='candidate')), c=0.3))",
)
ALL_MODIFIED = tuple(find(name) for name in MODIFIED_NAMES)
EVERY_CELL = (*ALL_CELLS, *ALL_MODIFIED)
CELLS_AND_BACKENDS = [
    (cell, backend) for cell in EVERY_CELL for backend in BACKENDS if able(backend, cell.graph)
]


@dataclass
class Problem:
    """A cell with random weights and masks, a ragged batch and first states, all in float64."""

    graph: Graph
    lengths: tuple[int, ...] = (3, 1, 4, 4)
    input_size: int = 3
    hidden_size: int = 4
    seed: int = 0
    weights: dict[str, np.ndarray] = field(init=False)
    rows: list[np.ndarray] = field(init=False)
    states: dict[str, np.ndarray] = field(init=False)
    masks: dict[str, list[np.ndarray]] = field(init=False)

    def __post_init__(self) -> None:
        random = np.random.default_rng(self.seed)
        if self.graph.needs_equal_sizes:
            self.input_size = self.hidden_size
        # Not so large that the recurrence is chaotic and float32 has no chance.
        scale = 1.2 / max(2.0, self.hidden_size**0.5)
        columns = {"I": (self.input_size,), "H": (self.hidden_size,), "1": ()}
        self.weights = {
            stack.name: scale
            * random.standard_normal(
                (len(stack.parameters) * self.hidden_size, *columns[stack.columns])
            )
            for stack in stacks(self.graph)
        }
        self.rows = [random.standard_normal((length, self.input_size)) for length in self.lengths]
        shape = (len(self.lengths), self.hidden_size)
        self.states = {name: 0.5 * random.standard_normal(shape) for name in self.graph.state_names}
        # Half of the numbers are 0, whatever the graph says: with few units a rare one never comes.
        self.masks = {
            mask.name: [
                mask.scale * random.integers(0, 2, shape[1:] if mask.per == "sequence" else row)
                for row in [(length, self.hidden_size) for length in self.lengths]
            ]
            for mask in self.graph.masks
        }

    def leaves(self) -> dict[str, np.ndarray]:
        """Everything that has a gradient, by name; the arrays themselves."""
        data = {f"row {index}": row for index, row in enumerate(self.rows)}
        return {**self.weights, **data, **{f"state {name}": s for name, s in self.states.items()}}


class Results(NamedTuple):
    rows: list[np.ndarray]
    states: dict[str, np.ndarray]


def run_reference(problem: Problem, *, reverse: bool) -> Results:
    weights = unstack(problem.graph, problem.weights, problem.hidden_size)
    size = problem.hidden_size
    found = reference.run(
        problem.graph,
        weights,
        problem.rows,
        size,
        states=problem.states,
        masks=problem.masks,
        reverse=reverse,
    )
    return Results(found.outputs, found.states)


def run_backend(
    backend: Backend,
    problem: Problem,
    leaves: dict[str, torch.Tensor],
    *,
    reverse: bool,
) -> tuple[list[torch.Tensor], dict[str, torch.Tensor]]:
    """The backend on the leaves of a problem, results by row in the rows' own order."""
    rows = [leaves[f"row {index}"] for index in range(len(problem.rows))]
    packed = ragged.pack(torch.cat(rows), torch.tensor(problem.lengths))
    states = tuple(
        leaves[f"state {name}"][packed.sorted_indices] for name in problem.graph.state_names
    )
    weights = {name: leaves[name] for name in problem.weights}
    masks = packed_masks(problem, packed)
    run = Run(problem.graph, weights, packed.data, packed.batch_sizes, states, reverse, masks)
    with runs_on(backend):
        output, finals = backend.run(run)
    values, lengths = ragged.unpack(ragged.replace(packed, output))
    finals = [final[packed.unsorted_indices] for final in finals]
    found = dict(zip(problem.graph.state_names, finals, strict=True))
    return list(values.split(lengths.tolist())), found


def packed_masks(problem: Problem, packed: ragged.PackedSequence) -> dict[str, torch.Tensor]:
    """The masks of a problem as a backend takes them."""
    masks: dict[str, torch.Tensor] = {}
    for mask in problem.graph.masks:
        rows = [torch.tensor(row, dtype=packed.data.dtype) for row in problem.masks[mask.name]]
        if mask.per == "step":
            masks[mask.name] = ragged.pack(torch.cat(rows), torch.tensor(problem.lengths)).data
        else:
            masks[mask.name] = torch.stack(rows)[packed.sorted_indices]
    return masks


def tensors(problem: Problem, dtype: torch.dtype, *, grad: bool = False) -> dict[str, torch.Tensor]:
    return {
        name: torch.tensor(value, dtype=dtype, requires_grad=grad)
        for name, value in problem.leaves().items()
    }


def assert_close(name: str, actual: object, expected: object, tolerance: float) -> None:
    actual, expected = np.asarray(actual, float), np.asarray(expected, float)
    assert actual.shape == expected.shape, f"{name}: {actual.shape} is not {expected.shape}"
    assert np.isfinite(expected).all(), f"{name}: the expected values are not finite"
    scale = max(1.0, float(np.abs(expected).max(initial=0.0)))
    error = float(np.abs(actual - expected).max(initial=0.0)) / scale
    # `not <=` rather than `>`, so that NaN fails.
    assert error <= tolerance, f"{name}: off by {error:.2e}, allowed {tolerance:.0e}"


def check_forward(
    backend: Backend, problem: Problem, dtype: torch.dtype, *, reverse: bool = False
) -> None:
    """Outputs and final states are those of the reference."""
    expected = run_reference(problem, reverse=reverse)
    rows, states = run_backend(backend, problem, tensors(problem, dtype), reverse=reverse)
    tolerance = TOLERANCES[dtype].forward
    for index, (actual, wanted) in enumerate(zip(rows, expected.rows, strict=True)):
        assert_close(f"row {index}", actual, wanted, tolerance)
    for name, wanted in expected.states.items():
        assert_close(f"state {name}", states[name], wanted, tolerance)


def check_gradients(backend: Backend, problem: Problem, *, reverse: bool = False) -> None:
    """Gradients of everything are the central differences of the reference, in float64."""
    row_weights, state_weights = _loss_weights(problem)
    leaves = tensors(problem, torch.float64, grad=True)
    rows, states = run_backend(backend, problem, leaves, reverse=reverse)
    total = sum((a * torch.tensor(b)).sum() for a, b in zip(rows, row_weights, strict=True))
    total += sum((states[name] * torch.tensor(w)).sum() for name, w in state_weights.items())
    found = torch.autograd.grad(total, list(leaves.values()), materialize_grads=True)
    expected = central_differences(problem, reverse=reverse)
    for name, actual in zip(leaves, found, strict=True):
        tolerance = TOLERANCES[torch.float64].gradient
        assert_close(f"gradient of {name}", actual, expected[name], tolerance)


def _loss_weights(problem: Problem) -> tuple[list[np.ndarray], dict[str, np.ndarray]]:
    """What the outputs and final states are multiplied by and summed up to a loss."""
    random = np.random.default_rng(problem.seed + 1)
    size = problem.hidden_size
    rows = [random.standard_normal((length, size)) for length in problem.lengths]
    return rows, {name: random.standard_normal(s.shape) for name, s in problem.states.items()}


_differences: dict[object, dict[str, np.ndarray]] = {}


def central_differences(problem: Problem, *, reverse: bool) -> dict[str, np.ndarray]:
    """The gradient of everything, worked out once for all backends."""
    row_weights, state_weights = _loss_weights(problem)

    def loss() -> float:
        found = run_reference(problem, reverse=reverse)
        total = sum((a * b).sum() for a, b in zip(found.rows, row_weights, strict=True))
        return total + sum((found.states[name] * w).sum() for name, w in state_weights.items())

    leaves = problem.leaves()
    arrays = [*leaves.values(), *(row for mask in problem.masks.values() for row in mask)]
    key = (problem.graph, problem.lengths, problem.seed, reverse, *(a.tobytes() for a in arrays))
    if key not in _differences:
        _differences[key] = {name: central_difference(loss, one) for name, one in leaves.items()}
    return _differences[key]


def central_difference(loss, array: np.ndarray, step: float = 3e-6) -> np.ndarray:
    """The derivative of ``loss()`` by each element of ``array``, which it reads."""
    result = np.empty_like(array)
    for index in np.ndindex(array.shape):
        kept = array[index]
        array[index] = kept + step
        above = loss()
        array[index] = kept - step
        result[index] = (above - loss()) / (2 * step)
        array[index] = kept
    return result
