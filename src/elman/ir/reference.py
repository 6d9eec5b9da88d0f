"""What a graph means: NumPy in float64, row by row and step by step, as plainly as can be.

Slow on purpose. Every backend is measured against it, so nothing here is shared with them but the
graph itself.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.ir.graph import Graph, Mask, Node, Op

Array = NDArray[np.float64]


def _sigmoid(value: Array) -> Array:
    # By the sign: exp never overflows, and very negative values keep their relative accuracy.
    small = np.exp(-np.abs(value))
    return np.asarray(np.where(value >= 0, 1.0, small) / (1.0 + small))


FUNCTIONS: dict[Op, Callable[..., Any]] = {
    Op.ADD: np.add,
    Op.SUB: np.subtract,
    Op.MUL: np.multiply,
    Op.DIV: np.divide,
    Op.MAXIMUM: np.maximum,
    Op.MINIMUM: np.minimum,
    Op.NEG: np.negative,
    Op.SIGMOID: _sigmoid,
    Op.TANH: np.tanh,
    Op.RELU: lambda value: np.maximum(value, 0.0),
    Op.EXP: np.exp,
    Op.LOG: np.log,
    Op.SQRT: np.sqrt,
    Op.ABS: np.abs,
    Op.SOFTPLUS: lambda value: np.logaddexp(0.0, value),
    Op.IDENTITY: lambda value: value,
    Op.POSITIVE: lambda value: np.where(value > 0, 1.0, 0.0),
    Op.MEAN: lambda value: value.mean(keepdims=True),
}
"""One row an op; products and leaves are evaluated by name."""


@dataclass(frozen=True)
class Result:
    """What a run gave, row by row."""

    outputs: list[Array]
    """(T_b, H) for each row b."""
    states: dict[str, Array]
    """(B, H): each state after the last step that each row has."""
    named: dict[str, list[Array]]
    """(T_b, H), or (T_b, 1) for a mean, for each named value and row."""


def run(
    graph: Graph,
    weights: Mapping[str, Array],
    rows: Sequence[Array],
    hidden_size: int,
    *,
    states: Mapping[str, Array] | None = None,
    masks: Mapping[str, Sequence[Array]] | None = None,
    reverse: bool = False,
) -> Result:
    """Evaluate a graph over ragged rows.

    Args:
        graph: a verified graph of one input.
        weights: its parameters by name, (H, I), (H, H) or (H,).
        rows: (T_b, I) for each row b; T_b may be 0.
        hidden_size: H.
        states: the first states, (B, H) each; zeros where they are None.
        masks: for each mask and row b its numbers: (T_b, H), or (H,) for one kept for all steps.
        reverse: whether each row runs from its last step to its first.
    """
    drawn = masks or {}
    first = states or {name: np.zeros((len(rows), hidden_size)) for name in graph.state_names}
    outputs, finals, named = [], [], []
    with np.errstate(all="ignore"):
        for index, row in enumerate(rows):
            state = {name: np.asarray(first[name][index], float) for name in graph.state_names}
            here = {
                mask.name: _each_step(mask, drawn[mask.name][index], row) for mask in graph.masks
            }
            output, final, values = _run_row(graph, weights, row, hidden_size, state, here, reverse)
            outputs.append(output)
            finals.append(final)
            named.append(values)
    return Result(
        outputs,
        {name: np.stack([final[name] for final in finals]) for name in graph.state_names},
        {name: [values[name] for values in named] for name, _ in graph.named},
    )


def _each_step(mask: Mask, drawn: Array, row: Array) -> Array:
    drawn = np.asarray(drawn, float)
    return drawn if mask.per == "step" else np.repeat(drawn[None], len(row), axis=0)


def _run_row(
    graph: Graph,
    weights: Mapping[str, Array],
    row: Array,
    hidden_size: int,
    state: dict[str, Array],
    masks: dict[str, Array],
    reverse: bool,
) -> tuple[Array, dict[str, Array], dict[str, Array]]:
    steps = list(range(len(row)))
    outputs: dict[int, Array] = {}
    named: dict[str, dict[int, Array]] = {name: {} for name, _ in graph.named}
    for step in reversed(steps) if reverse else steps:
        drawn = {name: mask[step] for name, mask in masks.items()}
        values = step_values(graph, weights, row[step], state, drawn)
        outputs[step] = _whole(values[graph.output], hidden_size)
        for name, node in graph.named:
            named[name][step] = values[node]
        nexts = zip(graph.state_names, graph.next_states, strict=True)
        state = {name: _whole(values[node], hidden_size) for name, node in nexts}
    nothing = np.zeros((0, hidden_size))  # of a row of length 0
    output = np.stack([outputs[step] for step in steps]) if steps else nothing
    stacked = {
        name: np.stack([values[t] for t in steps]) if steps else nothing
        for name, values in named.items()
    }
    return output, state, stacked


def _whole(value: Array, hidden_size: int) -> Array:
    return np.broadcast_to(value, (hidden_size,))


def step_values(
    graph: Graph,
    weights: Mapping[str, Array],
    x: Array,
    state: Mapping[str, Array],
    masks: Mapping[str, Array] | None = None,
) -> dict[Node, Array]:
    """Every value of one step of one row, by its node."""
    values: dict[Node, Array] = {}
    for node in graph.nodes:
        operands = [values[operand] for operand in node.inputs]
        name = str(node.attr)
        if node.op is Op.INPUT:
            values[node] = np.asarray(x, float)
        elif node.op is Op.STATE:
            values[node] = state[name]
        elif node.op is Op.MASK:
            values[node] = (masks or {})[name]
        elif node.op is Op.PARAMETER:
            values[node] = weights[name]
        elif node.op is Op.CONSTANT:
            values[node] = np.full(1, node.attr)
        elif node.op is Op.PRODUCT:
            values[node] = weights[name] @ operands[0]
        else:
            values[node] = np.asarray(FUNCTIONS[node.op](*operands))
    return values
