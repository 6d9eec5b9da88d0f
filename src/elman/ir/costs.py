"""What a cell costs: its parameters' shapes, and the arithmetic of one token.

A multiply-add of a product counts 2, an operation on one unit counts 1, whatever it is, and a mean
one for each value it takes up. What does not depend on the states can be computed for all tokens
before the time loop; the rest must wait for the step before.
"""

from dataclasses import dataclass

from elman.ir.graph import LEAVES, PRODUCTS, Graph, Node, Op, depending, topological

_FREE = frozenset({Op.IDENTITY})


@dataclass(frozen=True)
class Flops:
    """Floating-point operations of one token, forward."""

    loop: int
    """Of what depends on the states."""
    outside: int
    """Of what depends on the inputs alone."""

    @property
    def total(self) -> int:
        """All of them."""
        return self.loop + self.outside


def shapes(graph: Graph, *, input_size: int, hidden_size: int) -> dict[str, tuple[int, ...]]:
    """The shape of each parameter by its name, with the projection that sizes may ask for."""
    by_name: dict[str, tuple[int, ...]] = {}
    if is_projected(graph, input_size=input_size, hidden_size=hidden_size):
        by_name["projection"] = (hidden_size, input_size)
        input_size = hidden_size
    sizes = {"I": (input_size,), "H": (hidden_size,), "1": ()}
    for parameter in graph.parameters:
        by_name[parameter.name] = (hidden_size, *sizes[parameter.columns])
    return by_name


def is_projected(graph: Graph, *, input_size: int, hidden_size: int) -> bool:
    """Whether a learned projection first brings the input to H."""
    return graph.needs_equal_sizes and input_size != hidden_size


def parameters(graph: Graph, *, input_size: int, hidden_size: int) -> int:
    """How many numbers the cell learns."""
    all_shapes = shapes(graph, input_size=input_size, hidden_size=hidden_size)
    return sum(rows * (rest[0] if rest else 1) for rows, *rest in all_shapes.values())


def flops(graph: Graph, *, input_size: int, hidden_size: int) -> Flops:
    """The operations of one token."""
    outside = 0
    if is_projected(graph, input_size=input_size, hidden_size=hidden_size):
        outside += 2 * input_size * hidden_size
        input_size = hidden_size
    sizes = {"I": input_size, "H": hidden_size, "1": 1}
    nodes = topological([*graph.next_states, graph.output])
    looped, fed = stepped(graph), depending(nodes, {Op.INPUT, Op.MASK})
    loop = 0
    for node in nodes:
        if node in looped:
            loop += _flops(node, sizes)
        elif node in fed:
            outside += _flops(node, sizes)
        # What is made of parameters alone is computed once for all tokens.
    return Flops(loop, outside)


def stepped(graph: Graph) -> frozenset[Node]:
    """The values that depend on the states, the states themselves among them."""
    return depending(topological([*graph.next_states, graph.output]), {Op.STATE})


def loop_products(graph: Graph) -> int:
    """How many products depend on the states."""
    return sum(node.op in PRODUCTS for node in stepped(graph))


def _flops(node: Node, sizes: dict[str, int]) -> int:
    if node.op in LEAVES or node.op in _FREE:
        return 0
    if node.op in PRODUCTS:
        return 2 * sizes[node.size] * sizes[node.inputs[0].size]
    return sizes[node.inputs[0].size if node.op is Op.MEAN else node.size]
