"""torch's own kernels, for the cells that have a twin there.

A twin is known by its equations, not by its name: a user's own LSTM, with its own names for gates
and states, runs on torch's LSTM.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations
from typing import Any

import torch
from torch import Tensor

from elman.backends.base import Backend, Run, States, Weights
from elman.backends.eager import eager
from elman.cells.elman import elman, elman_relu
from elman.cells.gru import gru
from elman.cells.lstm import lstm
from elman.ir.graph import LEAVES, Graph, Node, Op, sum_terms
from elman.ir.rewrite import rewrite
from elman.ir.stacks import places, stacks

_torch: Any = torch._VF
_KERNELS: tuple[tuple[Graph, Callable[..., Any]], ...] = (
    (lstm.graph, _torch.lstm),
    (gru.graph, _torch.gru),
    (elman.graph, _torch.rnn_tanh),
    (elman_relu.graph, _torch.rnn_relu),
)
_COMMUTATIVE = frozenset({Op.MUL, Op.MAXIMUM, Op.MINIMUM})
_DTYPES = frozenset({torch.float32, torch.float64})

_Bound = dict[Node, Node]
_Rows = tuple[str | None, ...]
"""Parameters one below the other, None for zeros."""


class Builtin(Backend):
    """torch's LSTM, GRU and RNN."""

    name = "builtin"

    def unsupported_reason(
        self, graph: Graph, *, device: torch.device, dtype: torch.dtype
    ) -> str | None:
        """No twin among torch's cells, or a type of number that its kernels lack."""
        if _twin(graph) is None:
            return "its equations are not those of torch's LSTM, GRU or RNN"
        if device.type == "cpu" and dtype not in _DTYPES:
            return f"torch's kernels on the CPU take float32 and float64, not {dtype}"
        return None

    def _run(self, run: Run) -> tuple[Tensor, States]:
        twin = _twin(run.graph)
        assert twin is not None, "choose() lets no other graph through"
        if not len(run.batch_sizes):
            return eager._run(run)
        # torch's kernels know no rows without a step.
        begun, rows = int(run.batch_sizes[0]), len(run.states[0])
        states, data = tuple(state[:begun] for state in run.states), run.data
        call = _Call(twin, twin.weights(run.graph, run.weights, states[0]))
        ordered = tuple(states[at] for at in twin.states)
        segments = _segments(run.batch_sizes.tolist())
        if _is_faster_in_segments(twin, data, segments, states[0].shape[-1]):
            output, finals = call.segments(data, segments, ordered, run.reverse)
        else:
            output, finals = call.packed(data, run.batch_sizes, ordered, run.reverse)
        own = [finals[twin.states.index(at)] for at in range(len(states))]
        if begun < rows:
            pairs = zip(own, run.states, strict=True)
            own = [torch.cat([final, state[begun:]]) for final, state in pairs]
        return output, tuple(own)


# ---------------------------------------------------------------------------------------------
# The calls


@dataclass(frozen=True)
class _Segment:
    """Steps in a row with the same number of rows: a dense batch within the ragged one."""

    start: int
    steps: int
    rows: int


def _segments(batch_sizes: list[int]) -> list[_Segment]:
    segments: list[_Segment] = []
    start = 0
    for rows in batch_sizes:
        if segments and segments[-1].rows == rows:
            last = segments.pop()
            segments.append(_Segment(last.start, last.steps + 1, rows))
        else:
            segments.append(_Segment(start, 1, rows))
        start += rows
    return segments


def _is_faster_in_segments(
    twin: "_Twin", data: Tensor, segments: list[_Segment], size: int
) -> bool:
    """Whether a dense call a segment beats torch's packed call.

    Measured (torch 2.13, 2 threads, T 12-30, B 32-128, H 64-200, training step): torch's packed
    LSTM never reaches oneDNN, and dense calls are 2.1-3x faster for 2-4 segments; each further
    segment costs about as much as is gained on 100 tokens of 64 units, and segments of one step
    always lose. GRU and RNN have no oneDNN kernel: dense calls gain 1-2x, on large batches alone.
    """
    steps = sum(segment.steps for segment in segments)
    if data.device.type != "cpu" or 1 < len(segments) > steps // 2:
        return False
    fast = twin.kernel is _torch.lstm and data.dtype == torch.float32
    return len(data) * size >= (6_000 if fast else 40_000) * len(segments)


@dataclass(frozen=True)
class _Call:
    """A kernel with its weights; states are (B, H) in the kernel's order."""

    twin: "_Twin"
    weights: list[Tensor]

    def segments(
        self, data: Tensor, segments: list[_Segment], states: States, reverse: bool
    ) -> tuple[Tensor, States]:
        """One dense call a segment, states carried from one to the next."""
        outputs: list[Tensor] = []
        now = [state[: segments[-1 if reverse else 0].rows] for state in states]
        left: list[list[Tensor]] = []
        for segment in reversed(segments) if reverse else segments:
            before = len(now[0])
            if segment.rows < before:
                left.append([state[segment.rows :] for state in now])
                now = [state[: segment.rows] for state in now]
            elif segment.rows > before:
                joining = [state[before : segment.rows] for state in states]
                now = [torch.cat(pair) for pair in zip(now, joining, strict=True)]
            output, now = self._dense(data, segment, now, reverse)
            outputs.append(output)
        if reverse:
            outputs.reverse()
        finals = [torch.cat(parts) for parts in zip(now, *reversed(left), strict=True)]
        return torch.cat(outputs), tuple(finals)

    def _dense(
        self, data: Tensor, segment: _Segment, states: list[Tensor], reverse: bool
    ) -> tuple[Tensor, list[Tensor]]:
        tokens = segment.steps * segment.rows
        steps = data.narrow(0, segment.start, tokens).reshape(segment.steps, segment.rows, -1)
        steps = steps.flip(0) if reverse else steps  # (T, B, I)
        output, *finals = self._kernel(steps, None, states)
        output = output.flip(0) if reverse else output
        return output.reshape(tokens, -1), [final[0] for final in finals]

    def packed(
        self, data: Tensor, batch_sizes: Tensor, states: States, reverse: bool
    ) -> tuple[Tensor, States]:
        """One call for the whole ragged batch."""
        reversal = _reversal(batch_sizes, data.device) if reverse else None
        data = data if reversal is None else data.index_select(0, reversal)
        output, *finals = self._kernel(data, batch_sizes, list(states))
        # Reversing each row twice gives the row again.
        output = output if reversal is None else output.index_select(0, reversal)
        return output, tuple(final[0] for final in finals)

    def _kernel(self, data: Tensor, batch_sizes: Tensor | None, states: list[Tensor]) -> Any:
        stacked = [state.unsqueeze(0) for state in states]  # (1, B, H)
        first: Any = tuple(stacked) if len(stacked) > 1 else stacked[0]
        weights = _in_one_piece(self.weights) if data.is_cuda else self.weights
        options = (len(weights) == 4, 1, 0.0, torch.is_grad_enabled(), False)
        if batch_sizes is None:
            return self.twin.kernel(data, first, weights, *options, False)
        return self.twin.kernel(data, batch_sizes, first, weights, *options)


def _in_one_piece(weights: list[Tensor]) -> list[Tensor]:
    """The same weights as parts of one buffer: cuDNN warns of others and copies them itself."""
    whole = torch.cat([weight.reshape(-1) for weight in weights])
    parts = torch.split(whole, [weight.numel() for weight in weights])
    return [part.view_as(weight) for part, weight in zip(parts, weights, strict=True)]


def _reversal(batch_sizes: Tensor, device: torch.device) -> Tensor:
    """For each token of a ragged batch the place of its row's token as far from the other end."""
    starts = batch_sizes.cumsum(0) - batch_sizes
    tokens = torch.arange(int(batch_sizes.sum()), device="cpu")
    steps = torch.repeat_interleave(batch_sizes)
    rows = tokens - starts[steps]
    ends = batch_sizes - torch.cat([batch_sizes[1:], batch_sizes.new_zeros(1)])
    lengths = torch.repeat_interleave(ends.flip(0)).sub(len(ends)).neg()  # (B,), falling
    return (starts[lengths[rows] - 1 - steps] + rows).to(device)


# ---------------------------------------------------------------------------------------------
# The twins


@dataclass(frozen=True)
class _Twin:
    """Which of torch's kernels computes a graph, and where it finds its weights."""

    kernel: Callable[..., Any]
    states: tuple[int, ...]
    """For each state of the kernel its position among the graph's."""
    rows: tuple[_Rows, ...]
    """weight_ih, weight_hh and, where there are biases, bias_ih and bias_hh."""

    def weights(self, graph: Graph, weights: Weights, like: Tensor) -> list[Tensor]:
        """The kernel's weights, from the graph's stacks."""
        return [_gather(graph, weights, rows, like) for rows in self.rows]


def _gather(graph: Graph, weights: Weights, rows: _Rows, like: Tensor) -> Tensor:
    for stack in stacks(graph):
        if rows == tuple(parameter.name for parameter in stack.parameters):
            return weights[stack.name]
    size = like.shape[-1]
    if not any(rows):
        return like.new_zeros(len(rows) * size)
    place = places(graph)
    parts = []
    for row in rows:
        name, at = place[row] if row else ("", 0)
        parts.append(weights[name][at * size : (at + 1) * size] if row else like.new_zeros(size))
    return torch.cat(parts)


@lru_cache(maxsize=256)
def _twin(graph: Graph) -> _Twin | None:
    for pattern, kernel in _KERNELS:
        for form in (pattern, without_biases(pattern)):
            for bound in _bindings(form, graph):
                order = tuple(graph.states.index(bound[state]) for state in form.states)
                return _Twin(kernel, order, tuple(_rows(form, bound)))
    return None


def without_biases(graph: Graph) -> Graph:
    """The same step without what ends a sum as a bias does."""

    def rule(node: Node) -> Node | None:
        ends = node.op is Op.ADD and node.inputs[1].op is Op.PARAMETER
        return node.inputs[0] if ends else None

    return rewrite(graph, [rule])


def _rows(pattern: Graph, bound: _Bound) -> Iterator[_Rows]:
    """The graph's parameters in the layout of the kernel that ``pattern`` describes."""
    names = {str(node.attr): str(other.attr) for node, other in bound.items() if node.attr}
    stacked = {
        stack.name: [parameter.name for parameter in stack.parameters] for stack in stacks(pattern)
    }
    sides = [stacked["weight_ih"], stacked["weight_hh"]]
    for side in sides:
        yield tuple(names[matrix] for matrix in side)
    biases = set(stacked.get("bias", ()))
    for side in sides if biases else ():
        own = [f"{matrix.split('.')[0]}.bias" for matrix in side]
        # A gate with both products has one bias: it goes with the input's.
        yield tuple(names[bias] if bias in biases else None for bias in own)
        biases.difference_update(own)


def _bindings(pattern: Graph, graph: Graph) -> Iterator[_Bound]:
    """Each way to read ``graph`` as ``pattern`` with other names and another order of sums."""
    if len(graph.states) != len(pattern.states) or len(graph.inputs) != 1:
        return
    nexts = dict(zip(graph.states, graph.next_states, strict=True))
    for states in permutations(graph.states):
        bound = dict(zip((*pattern.states, *pattern.inputs), (*states, *graph.inputs), strict=True))
        pairs = [(pattern.output, graph.output)]
        pairs += zip(pattern.next_states, (nexts[state] for state in states), strict=True)
        yield from _match(pairs, bound)


def _match(pairs: list[tuple[Node, Node]], bound: _Bound) -> Iterator[_Bound]:
    if not pairs:
        yield bound
        return
    (pattern, node), *rest = pairs
    if pattern in bound:
        if bound[pattern] is node:
            yield from _match(rest, bound)
        return
    if pattern.op is not node.op or (pattern.op is Op.CONSTANT and pattern is not node):
        return
    if pattern.op in (Op.INPUT, Op.STATE):
        return
    bound = {**bound, pattern: node}
    for operands in _orders(pattern, node):
        yield from _match([*operands, *rest], bound)


def _orders(pattern: Node, node: Node) -> Iterable[list[tuple[Node, Node]]]:
    """Each way to pair the operands of two nodes of the same op."""
    if pattern.op in LEAVES:
        return [[]]
    if pattern.op is Op.ADD:
        terms, others = sum_terms(pattern), sum_terms(node)
        if len(terms) != len(others):
            return []
        return (list(zip(terms, order, strict=True)) for order in permutations(others))
    orders = permutations(node.inputs) if pattern.op in _COMMUTATIVE else [node.inputs]
    return (list(zip(pattern.inputs, order, strict=True)) for order in orders)
