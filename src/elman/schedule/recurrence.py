"""What leaves the time loop, and how the sums that stay are bracketed."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from functools import reduce

from elman.ir.graph import PRODUCTS, Graph, Node, Op, apply, product, transposed


@dataclass(frozen=True)
class Recurrence:
    """A step cut in two: what is known for all tokens at once, and the loop."""

    graph: Graph
    outside: tuple[Node, ...]
    """Computed before the loop, for all tokens together, operands first."""
    streams: tuple[Node, ...]
    """Those of them, or the input itself, that the loop reads token by token."""
    inside: tuple[Node, ...]
    """Computed in the loop, operands first."""


def hoist(graph: Graph) -> Recurrence:
    """Cut a verified graph: products of inputs leave the loop, with all that they need.

    Elementwise work on their results stays inside, where it is done in registers.
    """
    stepped = _depending(graph)
    outside: dict[Node, None] = {}
    pending = [
        node
        for node in graph.nodes
        if node not in stepped and (node.op is Op.PRODUCT or _narrow(node))
    ]
    while pending:
        node = pending.pop()
        if node not in outside and node.inputs:
            outside[node] = None
            pending.extend(node.inputs)
    graph = regroup(graph, stops=frozenset(outside))
    inside = [node for node in graph.nodes if node not in outside]
    results = [graph.output, *graph.next_states]
    read = {operand for node in inside for operand in node.inputs} | set(results)
    ahead = (*graph.inputs, *outside)
    order = [node for node in graph.nodes if node in ahead and node in read]
    needed = _reaching(results, frozenset(order))
    return Recurrence(
        graph=graph,
        outside=tuple(node for node in graph.nodes if node in outside),
        streams=tuple(node for node in order if node in needed),
        inside=tuple(node for node in inside if node.inputs and node in needed),
    )


def _depending(graph: Graph) -> set[Node]:
    """What cannot be known before the loop: all that depends on states, and masks."""
    found: set[Node] = set()
    for node in graph.nodes:
        if node.op in (Op.STATE, Op.MASK) or any(operand in found for operand in node.inputs):
            found.add(node)
    return found


def _narrow(node: Node) -> bool:
    """Whether a value has the input's size, or is a mean of it, so that no unit holds it."""
    if node.op is Op.MEAN:
        return True
    return bool(node.inputs) and node.size == "I"


def _reaching(roots: Iterable[Node], stops: frozenset[Node]) -> set[Node]:
    found: set[Node] = set()
    pending = list(roots)
    while pending:
        node = pending.pop()
        if node not in found:
            found.add(node)
            pending.extend(() if node in stops else node.inputs)
    return found


# ---------------------------------------------------------------------------------------------
# Brackets


def regroup(graph: Graph, stops: frozenset[Node] = frozenset()) -> Graph:
    """The same step with the products of each sum first: they share one accumulator."""
    roots = [*graph.next_states, graph.output, *(node for _, node in graph.named)]
    done = products_first(roots, stops)
    return replace(
        graph,
        next_states=tuple(done[node] for node in graph.next_states),
        output=done[graph.output],
        named=tuple((name, done[node]) for name, node in graph.named),
    )


def products_first(roots: Iterable[Node], stops: frozenset[Node]) -> Mapping[Node, Node]:
    """Each value with its sums bracketed anew, by the value it replaces.

    Only sums that nothing else reads are taken apart, so no product is computed twice.
    """
    nodes = list(_in_order(roots, stops))
    uses = Counter(operand for node in nodes if node not in stops for operand in node.inputs)
    uses.update(roots)
    inner = {
        operand
        for node in nodes
        if node.op is Op.ADD and node not in stops
        for operand in node.inputs
        if operand.op is Op.ADD and uses[operand] == 1
    }
    done: dict[Node, Node] = {}
    for node in nodes:
        if node in stops or not node.inputs:
            done[node] = node
        elif node.op is Op.ADD and node not in inner:
            terms = [done[term] for term in _terms(node, inner, stops)]
            first = [term for term in terms if term.op in PRODUCTS and term not in stops]
            rest = [term for term in terms if term not in first]
            done[node] = reduce(lambda left, right: apply(Op.ADD, left, right), [*first, *rest])
        else:
            done[node] = with_operands(node, [done[operand] for operand in node.inputs])
    return done


def _terms(node: Node, inner: set[Node], stops: frozenset[Node]) -> list[Node]:
    terms: list[Node] = []
    pending = [node]
    while pending:
        one = pending.pop()
        if one is node or (one in inner and one not in stops):
            pending.extend(reversed(one.inputs))
        else:
            terms.append(one)
    return terms


def _in_order(roots: Iterable[Node], stops: frozenset[Node]) -> Iterable[Node]:
    found: dict[Node, None] = {}
    pending = [(root, False) for root in reversed(list(roots))]
    while pending:
        node, ready = pending.pop()
        if node in found:
            continue
        if ready or not node.inputs or node in stops:
            found[node] = None
            continue
        pending.append((node, True))
        pending.extend((operand, False) for operand in reversed(node.inputs))
    return found


_MATRIX: dict[Op, Callable[[str, Node], Node]] = {
    Op.PRODUCT: product,
    Op.TRANSPOSED: transposed,
}


def with_operands(node: Node, operands: list[Node]) -> Node:
    """The same operation on other operands."""
    if node.op in PRODUCTS:
        return _MATRIX[node.op](str(node.attr), operands[0])
    return apply(node.op, *operands)
