"""Any graph as PyTorch operations: the backend that is always there.

What does not depend on the states leaves the time loop: it is computed once for all tokens, with
one product for all matrices of the input.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial, reduce
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from elman.backends.base import RUNS, Backend, Run, States, Weights, checked
from elman.ir.graph import Graph, Node, Op, apply, mask_node, sum_terms, topological
from elman.ir.rewrite import rewrite
from elman.ir.stacks import places

FUNCTIONS: dict[Op, Callable[..., Any]] = {
    Op.ADD: torch.add,
    Op.SUB: torch.sub,
    Op.MUL: torch.mul,
    Op.DIV: torch.div,
    Op.MAXIMUM: torch.maximum,
    Op.MINIMUM: torch.minimum,
    Op.NEG: torch.neg,
    Op.SIGMOID: torch.sigmoid,
    Op.TANH: torch.tanh,
    Op.RELU: torch.relu,
    Op.EXP: torch.exp,
    Op.LOG: torch.log,
    Op.SQRT: torch.sqrt,
    Op.ABS: torch.abs,
    # torch's own threshold of 20 is 2e-9 off, which shows in float64.
    Op.SOFTPLUS: lambda value: functional.softplus(value, threshold=40.0),
    Op.IDENTITY: lambda value: value,
    Op.POSITIVE: lambda value: (value > 0).to(value.dtype),
    Op.MEAN: lambda value: value.mean(-1, keepdim=True),
}
"""One row an op; products and leaves are the loop's own business."""

Values = dict[Node, Tensor]
Places = Mapping[str, tuple[str, int]]


class Eager(Backend):
    """PyTorch operations, step by step; differentiable any number of times."""

    name = "eager"

    def unsupported_reason(
        self, graph: Graph, *, device: torch.device, dtype: torch.dtype
    ) -> str | None:
        """None: it runs everything everywhere."""
        return None

    def _run(self, run: Run) -> tuple[Tensor, States]:
        output, finals, _ = _Loop(_plan(run.graph, False), run)()
        return output, finals

    def trace(self, run: Run) -> tuple[Tensor, States, dict[str, Tensor]]:
        """As `run`, with every named value of the graph for each token, (N, H) each."""
        run = checked(run.looked_up)
        RUNS[self.name] += 1
        return _Loop(_plan(run.graph, True), run)()


eager = Eager()


# ---------------------------------------------------------------------------------------------
# Values of nodes


@dataclass(frozen=True)
class _Instruction:
    """One call: an op on values, or one product for all matrices of an operand."""

    inputs: tuple[Node, ...]
    outputs: tuple[Node, ...]
    op: Op


def compute(
    nodes: Sequence[Node], inputs: Values, weights: Weights, place: Places, hidden_size: int
) -> Values:
    """The values of nodes by torch's operations on inputs and weights.

    Args:
        nodes: what is computed, operands first.
        inputs: the values that they begin with, at least one.
        weights: the stacks by name.
        place: for each parameter its stack and its position there.
        hidden_size: H.
    """
    read = dict.fromkeys(operand for node in nodes for operand in node.inputs)
    like = next(iter(inputs.values()))
    values = inputs | _leaves(read, weights, place, like, hidden_size)
    instructions = [_Instruction(node.inputs, (node,), node.op) for node in nodes]
    matrices: dict[tuple[Node, ...], Tensor] = {
        (node,): _part(weights, place[str(node.attr)], hidden_size)
        for node in nodes
        if node.op is Op.PRODUCT
    }
    _evaluate(instructions, values, matrices)
    return values


def _leaves(
    nodes: Iterable[Node], weights: Weights, place: Places, like: Tensor, hidden_size: int
) -> Values:
    """The constants, biases and vectors among nodes."""
    values: Values = {}
    for node in nodes:
        if node.op is Op.CONSTANT:
            assert isinstance(node.attr, float)
            values[node] = like.new_full((), _in_range(node.attr, like.dtype))
        elif node.op is Op.PARAMETER:
            values[node] = _part(weights, place[str(node.attr)], hidden_size)
    return values


def _in_range(value: float, dtype: torch.dtype) -> float:
    """The number itself, or infinity where it is beyond the type, which torch would refuse.

    (``new_tensor`` does not refuse it, and cannot be exported.)
    """
    return value if abs(value) <= torch.finfo(dtype).max else math.copysign(math.inf, value)


def _part(weights: Weights, place: tuple[str, int], hidden_size: int) -> Tensor:
    """One parameter of a stack."""
    name, at = place
    return weights[name][at * hidden_size : (at + 1) * hidden_size]


def _evaluate(
    instructions: Iterable[_Instruction],
    values: Values,
    matrices: Mapping[tuple[Node, ...], Tensor],
) -> None:
    """Fill in what the instructions compute."""
    for instruction in instructions:
        operands = [values[node] for node in instruction.inputs]
        if instruction.op is not Op.PRODUCT:
            values[instruction.outputs[0]] = FUNCTIONS[instruction.op](*operands)
            continue
        outputs = instruction.outputs
        joint = functional.linear(operands[0], matrices[outputs])
        parts = joint.chunk(len(outputs), -1) if len(outputs) > 1 else [joint]
        values.update(zip(outputs, parts, strict=True))


# ---------------------------------------------------------------------------------------------
# The loop


@dataclass(frozen=True)
class _Plan:
    graph: Graph
    once: tuple[_Instruction, ...]
    """From parameters alone: once a run."""
    per_token: tuple[_Instruction, ...]
    """From inputs or masks of tokens too: once a run, for all tokens."""
    per_step: tuple[_Instruction, ...]
    """From states or kept masks too: inside the time loop."""
    sliced: tuple[Node, ...]
    """Values of all tokens that the loop or the results take step by step."""
    stepped: frozenset[Node]
    """Values that depend on the states, or on masks kept for a whole sequence."""
    kept: tuple[Node, ...]
    """Masks of rows, kept for all their steps."""
    results: tuple[Node, ...]
    """The output, then the named values where they are wanted."""
    weights: dict[tuple[Node, ...], tuple[tuple[str, int], ...]]
    """For each joint product the places of its matrices."""


@lru_cache(maxsize=256)
def _plan(graph: Graph, named: bool) -> _Plan:
    graph = _inputs_first(graph)
    results = (graph.output, *(node for _, node in graph.named if named))
    nodes = topological([*results, *graph.next_states])
    drawn = [(mask_node(mask.name), mask.per) for mask in graph.masks]
    kept = tuple(node for node, per in drawn if per == "sequence")
    stepped = _reached(nodes, {*graph.states, *kept})
    per_token = _reached(nodes, {*graph.inputs, *(node for node, _ in drawn)}) - stepped
    classes: dict[str, list[_Instruction]] = {"once": [], "token": [], "step": []}
    for instruction in _instructions(nodes, graph):
        first = instruction.outputs[0]
        kind = "step" if first in stepped else "token" if first in per_token else "once"
        classes[kind].append(instruction)
    wanted = {node for instruction in classes["step"] for node in instruction.inputs} | set(
        graph.next_states
    )
    place = places(graph)
    return _Plan(
        graph=graph,
        once=tuple(classes["once"]),
        per_token=tuple(classes["token"]),
        per_step=tuple(classes["step"]),
        sliced=tuple(node for node in nodes if node in per_token and node in wanted),
        stepped=frozenset(stepped),
        kept=kept,
        results=results,
        weights={
            instruction.outputs: tuple(place[str(node.attr)] for node in instruction.outputs)
            for group in classes.values()
            for instruction in group
            if instruction.op is Op.PRODUCT
        },
    )


def _reached(nodes: Iterable[Node], leaves: set[Node]) -> set[Node]:
    reached: set[Node] = set()
    for node in nodes:
        if node in leaves or any(operand in reached for operand in node.inputs):
            reached.add(node)
    return reached


def _instructions(nodes: tuple[Node, ...], graph: Graph) -> Iterator[_Instruction]:
    """In an order that works, all products of one operand joined in the order of its stack."""
    place = places(graph)
    joint: dict[Node, list[Node]] = {}
    for node in nodes:
        if node.op is Op.PRODUCT:
            joint.setdefault(node.inputs[0], []).append(node)
    for node in nodes:
        if node.op in FUNCTIONS:
            yield _Instruction(node.inputs, (node,), node.op)
        elif node.op is Op.PRODUCT and joint.get(node.inputs[0]):
            group = sorted(joint.pop(node.inputs[0]), key=lambda member: place[str(member.attr)])
            yield _Instruction(node.inputs, tuple(group), Op.PRODUCT)


def _inputs_first(graph: Graph) -> Graph:
    """Sums regrouped so that what is known for all tokens is added up outside of the loop."""
    stepped: dict[Node, bool] = {}

    def depends(node: Node) -> bool:
        if node not in stepped:
            stepped[node] = node.op is Op.STATE or any(depends(operand) for operand in node.inputs)
        return stepped[node]

    def rule(node: Node) -> Node | None:
        if not depends(node) or node.op is not Op.ADD:
            return None
        terms = sum_terms(node)
        early = [term for term in terms if not depends(term)]
        late = [term for term in terms if depends(term)]
        return _sum([_sum(early), *late]) if early else None

    return rewrite(graph, [rule])


def _sum(terms: list[Node]) -> Node:
    return reduce(partial(apply, Op.ADD), terms)


class _Loop:
    """One call of the backend."""

    def __init__(self, plan: _Plan, run: Run) -> None:
        self.plan = plan
        self.data = run.data
        # Without a step one of no rows: the results are of the right shape, and depend on all that
        # has a gradient.
        self.sizes: list[int] = run.batch_sizes.tolist() or [0]
        self.states = run.states
        self.reverse = run.reverse
        self.masks = run.masks or {}
        self.hidden_size = run.states[0].shape[-1]
        self.matrices = {key: self._joint(run.weights, key) for key in plan.weights}
        self.whole = self._leaves(run.weights)
        _evaluate(plan.once, self.whole, self.matrices)
        _evaluate(plan.per_token, self.whole, self.matrices)

    def __call__(self) -> tuple[Tensor, States, dict[str, Tensor]]:
        collected, finals = self._steps()
        results = {node: self._all_tokens(node, collected) for node in self.plan.results}
        graph = self.plan.graph
        named = {name: results[node] for name, node in graph.named if node in results}
        return results[graph.output], finals, named

    def _joint(self, weights: Weights, key: tuple[Node, ...]) -> Tensor:
        """The matrices of one joint product, the whole stack as it is where they are all of it."""
        size = self.hidden_size
        members = self.plan.weights[key]
        stack = weights[members[0][0]]
        if [position for _, position in members] == list(range(stack.shape[0] // size)) and len(
            {name for name, _ in members}
        ) == 1:
            return stack
        return torch.cat([_part(weights, place, size) for place in members])

    def _leaves(self, weights: Weights) -> Values:
        graph = self.plan.graph
        values = {graph.inputs[0]: self.data}
        values.update((mask_node(name), mask) for name, mask in self.masks.items())
        nodes = topological([*self.plan.results, *graph.next_states])
        return values | _leaves(nodes, weights, places(graph), self.data, self.hidden_size)

    def _steps(self) -> tuple[dict[Node, list[Tensor]], States]:
        plan, sizes = self.plan, self.sizes
        slices = {node: torch.split(self.whole[node], sizes) for node in plan.sliced}
        collected: dict[Node, list[Tensor]] = {
            node: [] for node in plan.results if node in plan.stepped
        }
        carried = _Carried(self.states)
        for step in reversed(range(len(sizes))) if self.reverse else range(len(sizes)):
            values = dict(self.whole)
            values.update((node, parts[step]) for node, parts in slices.items())
            values.update((node, self.whole[node][: sizes[step]]) for node in plan.kept)
            values.update(zip(plan.graph.states, carried.resize(sizes[step]), strict=True))
            _evaluate(plan.per_step, values, self.matrices)
            for node, parts in collected.items():
                parts.append(values[node])
            carried.now = [
                values[node].expand(sizes[step], self.hidden_size)
                for node in plan.graph.next_states
            ]
        return collected, carried.finals()

    def _all_tokens(self, node: Node, collected: Mapping[Node, list[Tensor]]) -> Tensor:
        if node not in collected:
            width = self.whole[node].shape[-1] if self.whole[node].dim() else 1
            return self.whole[node].expand(len(self.data), width)
        parts = collected[node]
        return torch.cat(parts[::-1] if self.reverse else parts)


class _Carried:
    """The states of the rows that are under way; rows that end leave, in reverse rows join."""

    def __init__(self, states: States) -> None:
        self.first = states
        self.now = [state[:0] for state in states]
        self.left: list[list[Tensor]] = [[] for _ in states]
        self.started = False

    def resize(self, rows: int) -> list[Tensor]:
        """The states of the first ``rows`` rows."""
        before = len(self.now[0])
        if not self.started:
            self.now = [state[:rows] for state in self.first]
            self.started = True
        elif rows < before:
            for left, state in zip(self.left, self.now, strict=True):
                left.append(state[rows:])
            self.now = [state[:rows] for state in self.now]
        elif rows > before:
            joining = (first[before:rows] for first in self.first)
            self.now = [torch.cat(pair) for pair in zip(self.now, joining, strict=True)]
        return self.now

    def finals(self) -> States:
        """The states of all rows after their last steps, of those without a step the first."""
        ended = [[now, *left[::-1]] for now, left in zip(self.now, self.left, strict=True)]
        begun = sum(map(len, ended[0]))
        if begun < len(self.first[0]):
            for parts, first in zip(ended, self.first, strict=True):
                parts.append(first[begun:])
        return tuple(torch.cat(parts) if len(parts) > 1 else parts[0] for parts in ended)
