"""The adjoint step: from the gradients of the output and the next states to all others."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from elman.autodiff.rules import RULES, add, of_product
from elman.ir.graph import Graph, Node, Op, gradient_node, topological

OUTPUT = "output"
"""The name of the gradient that reaches the output at its own step."""


@dataclass(frozen=True)
class Adjoint:
    """The gradients of one step; values of the step itself stand in them as they are."""

    states: tuple[Node | None, ...]
    """By each previous state, in order; None where nothing depends on it."""
    values: dict[Node, Node]
    """By each stream and each product that the step uses."""
    parameters: dict[Node, Node]
    """By each bias or vector: one step's and one row's share, to be summed over all of them."""
    every: dict[Node, Node] = field(default_factory=dict)
    """By each value of the step that has a gradient, for those who want to see it named."""

    @property
    def roots(self) -> tuple[Node, ...]:
        """All gradients."""
        some = (node for node in self.states if node is not None)
        return (*some, *self.values.values(), *self.parameters.values())

    def mapped(self, change: Callable[[Node], Node]) -> "Adjoint":
        """The same with each of the roots replaced."""
        return Adjoint(
            states=tuple(None if node is None else change(node) for node in self.states),
            values={value: change(node) for value, node in self.values.items()},
            parameters={value: change(node) for value, node in self.parameters.items()},
        )


def next_state(name: str) -> Node:
    """The gradient that comes to a next state from the steps after."""
    return gradient_node(f"next.{name}")


def adjoint(graph: Graph, streams: Iterable[Node]) -> Adjoint:
    """Return the adjoint of one step.

    Args:
        graph: a verified graph.
        streams: values known for all tokens before the loop; derivatives stop there.
    """
    stops = frozenset(streams)
    # The output last, since the way back begins with the last root. What lies behind the streams is
    # among the nodes, and no gradient reaches it.
    reached = topological([*reversed(graph.next_states), graph.output])
    nodes = [node for node in reached if _differentiable(node, stops)]
    wanted = set(nodes)
    gradients: dict[Node, Node] = {}

    def give(node: Node, gradient: Node | None) -> None:
        if gradient is not None and node in wanted:
            former = gradients.get(node)
            gradients[node] = gradient if former is None else add(former, gradient)

    give(graph.output, gradient_node(OUTPUT))
    for name, node in zip(graph.state_names, graph.next_states, strict=True):
        give(node, next_state(name))
    products: dict[Node, Node] = {}
    for node in reversed(nodes):
        gradient = gradients.get(node)
        if gradient is None or node in stops or not node.inputs:
            continue
        if node.op is Op.PRODUCT:
            products[node] = gradient
            give(node.inputs[0], of_product(str(node.attr), gradient))
            continue
        for operand, part in zip(
            node.inputs, RULES[node.op](gradient, node, *node.inputs), strict=True
        ):
            give(operand, part)
    return Adjoint(
        states=tuple(gradients.get(state) for state in graph.states),
        values={**{node: gradients[node] for node in nodes if node in stops & gradients.keys()}}
        | products,
        parameters={
            node: gradients[node] for node in nodes if node.op is Op.PARAMETER and node in gradients
        },
        every=gradients,
    )


def _differentiable(node: Node, stops: frozenset[Node]) -> bool:
    return node in stops or node.op not in (Op.CONSTANT, Op.MASK, Op.POSITIVE)
