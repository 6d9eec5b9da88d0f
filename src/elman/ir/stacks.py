"""How a cell's parameters are stored: one tensor for all matrices that multiply the same value.

``weight_ih`` holds the matrices of the input, ``weight_hh`` those of the first state, gates one
below the other in the order of the equations. That is the layout of ``torch.nn.LSTM`` and
``torch.nn.GRU``, so their tensors fit unchanged; it is also what makes one large product out of
several small ones.

Masks are seen through, so that a cell has the same weights in training and in evaluation, and a
recurrent matrix is in ``weight_hh`` whether or not a mask falls on the state before it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from elman.ir.graph import Graph, Kind, Node, Op, Parameter, Size
from elman.ir.rewrite import expected


@dataclass(frozen=True)
class Stack:
    """Parameters of one shape, stored one below the other: (len(parameters) * H, columns)."""

    name: str
    kind: Kind
    columns: Size
    parameters: tuple[Parameter, ...]


@lru_cache(maxsize=256)
def stacks(graph: Graph) -> tuple[Stack, ...]:
    """The stacks of a verified graph, in the order in which its equations need them."""
    operands = _first_operands(graph)
    groups: dict[object, list[Parameter]] = {}
    for parameter in graph.parameters:
        key = {"matrix": operands.get(parameter.name), "bias": "bias"}.get(parameter.kind)
        groups.setdefault(key or parameter, []).append(parameter)
    taken: set[str] = set()
    return tuple(_stack(graph, key, group, taken) for key, group in groups.items())


def places(graph: Graph) -> dict[str, tuple[str, int]]:
    """For each parameter the name of its stack and its position in it."""
    return {
        parameter.name: (stack.name, position)
        for stack in stacks(graph)
        for position, parameter in enumerate(stack.parameters)
    }


def unstack(graph: Graph, weights: Mapping[str, Any], hidden_size: int) -> dict[str, Any]:
    """Views of the single parameters by name, from the stacks by name (any array type)."""
    return {
        name: weights[stack][position * hidden_size : (position + 1) * hidden_size]
        for name, (stack, position) in places(graph).items()
    }


def _first_operands(graph: Graph) -> dict[str, Node]:
    operands: dict[str, Node] = {}
    for node in expected(graph).nodes:
        if node.op is Op.PRODUCT:
            operands.setdefault(str(node.attr), node.inputs[0])
    return operands


def _stack(graph: Graph, key: object, group: list[Parameter], taken: set[str]) -> Stack:
    name = _name(graph, key, group[0])
    while name in taken:
        name += "_"
    taken.add(name)
    return Stack(name, group[0].kind, group[0].columns, tuple(group))


def _name(graph: Graph, key: object, first: Parameter) -> str:
    if first.kind == "bias":
        return "bias"
    if first.kind == "vector":
        return f"vector_{first.name.replace('.', '_')}"
    if key is graph.inputs[0]:
        return "weight_ih"
    if key is graph.states[0]:
        return "weight_hh"
    if isinstance(key, Node) and key.op in (Op.INPUT, Op.STATE):
        return f"weight_{key.attr}"
    return f"weight_{first.name.replace('.', '_')}"
