"""One driver for local changes to a graph, and the rules that hold for every cell."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from elman.ir.graph import Graph, Node, Op, apply, product

Rule = Callable[[Node], Node | None]
"""What to put in the place of a node whose operands are rewritten already, or None to leave it."""

_MOST_ROUNDS = 100


def rewrite(graph: Graph, rules: Sequence[Rule]) -> Graph:
    """Apply the rules to each node, operands first, until none has anything to say.

    Expects a verified graph; the result verifies if each rule keeps a node's size. Parameters
    that nothing uses any more leave the graph.
    """
    done: dict[Node, Node] = {}
    for node in graph.nodes:
        done[node] = _settle(_with_operands(node, tuple(done[one] for one in node.inputs)), rules)
    changed = replace(
        graph,
        next_states=tuple(done[node] for node in graph.next_states),
        output=done[graph.output],
        named=tuple((name, done[node]) for name, node in graph.named),
    )
    used = {node.attr for node in changed.nodes if node.op in (Op.PARAMETER, Op.PRODUCT)}
    kept = tuple(parameter for parameter in graph.parameters if parameter.name in used)
    return replace(changed, parameters=kept)


def _with_operands(node: Node, operands: tuple[Node, ...]) -> Node:
    if operands == node.inputs:
        return node
    if node.op is Op.PRODUCT:
        return product(str(node.attr), *operands)
    return apply(node.op, *operands)


def _settle(node: Node, rules: Sequence[Rule]) -> Node:
    for _ in range(_MOST_ROUNDS):
        better = next((new for rule in rules if (new := rule(node)) is not None), None)
        if better is None or better is node:
            return node
        node = better
    raise RuntimeError(f"the rewrite rules do not settle on {node}")
