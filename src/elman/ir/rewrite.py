"""One driver for local changes to a graph, and the rules that hold for every cell."""

import math
import operator
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import lru_cache

from elman.ir.graph import Graph, Node, Op, apply, constant, product, transposed
from elman.ir.verify import MAX_NODES

Rule = Callable[[Node], Node | None]
"""What to put in the place of a node whose operands are rewritten already, or None to leave it."""

_MOST_ROUNDS = MAX_NODES


def rewrite(graph: Graph, rules: Sequence[Rule]) -> Graph:
    """Apply the rules to each node, operands first, until none has anything to say.

    Expects a verified graph; the result verifies if each rule keeps a node's size. Parameters
    and masks that nothing uses any more leave the graph.
    """
    done: dict[Node, Node] = {}
    for node in graph.nodes:
        operands = tuple(done[operand] for operand in node.inputs)
        done[node] = _settle(with_operands(node, operands), rules)
    changed = graph.mapped(done.__getitem__)
    used = {node.attr for node in changed.nodes if node.op in (Op.PARAMETER, Op.PRODUCT)}
    kept = tuple(parameter for parameter in graph.parameters if parameter.name in used)
    drawn = {node.attr for node in changed.nodes if node.op is Op.MASK}
    masks = tuple(mask for mask in graph.masks if mask.name in drawn)
    return replace(changed, parameters=kept, masks=masks)


def with_operands(node: Node, operands: tuple[Node, ...]) -> Node:
    """The same operation on other operands."""
    if operands == node.inputs:
        return node
    if node.op is Op.PRODUCT:
        return product(str(node.attr), *operands)
    if node.op is Op.TRANSPOSED:
        return transposed(str(node.attr), *operands)
    return apply(node.op, *operands)


def _settle(node: Node, rules: Sequence[Rule]) -> Node:
    for _ in range(_MOST_ROUNDS):
        better = next((new for rule in rules if (new := rule(node)) is not None), None)
        if better is None or better is node:
            return node
        node = better
    raise RuntimeError(f"the rewrite rules do not settle on {node}")


# ---------------------------------------------------------------------------------------------
# Rules that hold for every cell


def _is(node: Node, value: float) -> bool:
    return node.op is Op.CONSTANT and node.attr == value


def _drop_zero(node: Node) -> Node | None:
    if node.op is Op.ADD and _is(node.inputs[0], 0.0):
        return node.inputs[1]
    return node.inputs[0] if node.op in (Op.ADD, Op.SUB) and _is(node.inputs[1], 0.0) else None


def _drop_one(node: Node) -> Node | None:
    if node.op is Op.MUL and _is(node.inputs[0], 1.0):
        return node.inputs[1]
    return node.inputs[0] if node.op in (Op.MUL, Op.DIV) and _is(node.inputs[1], 1.0) else None


def _drop_two_minuses(node: Node) -> Node | None:
    twice = node.op is Op.NEG and node.inputs[0].op is Op.NEG
    return node.inputs[0].inputs[0] if twice else None


def _drop_identity(node: Node) -> Node | None:
    return node.inputs[0] if node.op is Op.IDENTITY else None


def _fold_constants(node: Node) -> Node | None:
    operands = [operand.attr for operand in node.inputs if isinstance(operand.attr, float)]
    if node.op not in FOLDS or not operands or len(operands) != len(node.inputs):
        return None
    try:
        value = float(FOLDS[node.op](*operands))
    except (ValueError, OverflowError, ZeroDivisionError):
        return None
    # What is not a number stays as an operation, for a trace to show where it began.
    return None if math.isnan(value) else constant(value)


FOLDS: dict[Op, Callable[..., float]] = {
    Op.ADD: operator.add,
    Op.SUB: operator.sub,
    Op.MUL: operator.mul,
    Op.DIV: operator.truediv,
    Op.MAXIMUM: max,
    Op.MINIMUM: min,
    Op.NEG: operator.neg,
    Op.SIGMOID: lambda value: 0.5 * (1.0 + math.tanh(0.5 * value)),
    Op.TANH: math.tanh,
    Op.RELU: lambda value: max(value, 0.0),
    Op.EXP: math.exp,
    Op.LOG: math.log,
    Op.SQRT: math.sqrt,
    Op.ABS: abs,
    Op.SOFTPLUS: lambda value: max(value, 0.0) + math.log1p(math.exp(-abs(value))),
    Op.IDENTITY: float,
    Op.POSITIVE: lambda value: float(value > 0),
    Op.MEAN: float,
}
"""One row an op: its value on numbers."""

SIMPLIFY: tuple[Rule, ...] = (
    _fold_constants,
    _drop_zero,
    _drop_one,
    _drop_two_minuses,
    _drop_identity,
)
"""Rules that change no result."""


def simplify(graph: Graph) -> Graph:
    """The same step without operations that do nothing."""
    return rewrite(graph, SIMPLIFY)


@lru_cache(maxsize=256)
def expected(graph: Graph) -> Graph:
    """The same step with each mask's mean in its place, simplified: what runs in evaluation.

    It keeps all parameters. A graph without masks is returned as it is.
    """
    if not graph.masks:
        return graph
    means = {mask.name: constant(mask.mean) for mask in graph.masks}

    def rule(node: Node) -> Node | None:
        return means[str(node.attr)] if node.op is Op.MASK else None

    return rewrite(graph, [rule, *SIMPLIFY])


def simplified(op: Op, *operands: Node) -> Node:
    """``apply``, without operations that do nothing; the operands are left as they are."""
    return _settle(apply(op, *operands), SIMPLIFY)
