"""What leaves the time loop, and how the sums that stay are bracketed."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import reduce

from elman.ir.graph import PRODUCTS, Graph, Node, Op, apply, depending, topological
from elman.ir.rewrite import with_operands
from elman.schedule.compilation import Compilation, Recurrence


def hoist(program: Compilation) -> Compilation:
    """Take what depends on inputs alone out of the loop."""
    recurrence = split(program.graph)
    (x,) = program.graph.inputs
    products = [
        node for node in recurrence.streams if node.op is Op.PRODUCT and node.inputs[0] is x
    ]
    return replace(
        program,
        graph=recurrence.graph,
        recurrence=recurrence,
        products=tuple(sorted(products, key=lambda node: program.place[str(node.attr)])),
        given=tuple(node for node in recurrence.streams if node not in products),
    )


def split(graph: Graph) -> Recurrence:
    """Split a verified graph: products of inputs leave the loop, with all that they need.

    Elementwise work on their results stays inside, where it is done in registers.
    """
    # What cannot be known before the loop.
    stepped = depending(graph.nodes, {Op.STATE, Op.MASK})
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
    needed = set(topological(results, frozenset(order)))
    return Recurrence(
        graph=graph,
        outside=tuple(node for node in graph.nodes if node in outside),
        streams=tuple(node for node in order if node in needed),
        inside=tuple(node for node in inside if node.inputs and node in needed),
    )


def _narrow(node: Node) -> bool:
    """Whether a value has the input's size, or is a mean of it, so that no unit holds it."""
    if node.op is Op.MEAN:
        return True
    return bool(node.inputs) and node.size == "I"


# ---------------------------------------------------------------------------------------------
# Brackets


def regroup(graph: Graph, stops: frozenset[Node] = frozenset()) -> Graph:
    """The same step with the products of each sum first: they share one accumulator."""
    roots = [*graph.next_states, graph.output, *(node for _, node in graph.named)]
    return graph.mapped(products_first(roots, stops).__getitem__)


def products_first(roots: Iterable[Node], stops: frozenset[Node]) -> Mapping[Node, Node]:
    """Each value with its sums bracketed anew, by the value it replaces.

    Only sums that nothing else reads are taken apart, so no product is computed twice.
    """
    nodes = topological(roots, stops)
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
            done[node] = with_operands(node, tuple(done[operand] for operand in node.inputs))
    return done


def _terms(node: Node, inner: set[Node], stops: frozenset[Node]) -> list[Node]:
    terms: list[Node] = []
    pending = [node]
    while pending:
        term = pending.pop()
        if term is node or (term in inner and term not in stops):
            pending.extend(reversed(term.inputs))
        else:
            terms.append(term)
    return terms
