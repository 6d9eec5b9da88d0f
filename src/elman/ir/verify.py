"""What must hold for every graph, before and after each pass."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import get_args

from elman.errors import CellError
from elman.ir.graph import (
    BINARY,
    ELEMENTWISE,
    LEAVES,
    Graph,
    Node,
    Op,
    Per,
    Size,
    joined_size,
    widest,
)

MAX_NODES = 2_000
"""A cell is a few equations; more than this is a mistake or an attack."""


def verify(graph: Graph) -> Graph:
    """Return ``graph`` itself if it is sound.

    Raises:
        CellError: naming the cell and the first thing that is wrong with it.
    """
    for problem in _problems(graph):
        raise CellError(f"cell {graph.name}: {problem}")
    return graph


def _problems(graph: Graph) -> Iterator[str]:
    yield from _name_problems(graph)
    yield from _shape_problems(graph)
    if len(graph.nodes) > MAX_NODES:
        yield f"{len(graph.nodes)} operations are more than a cell may have ({MAX_NODES})"
        return
    for node in graph.nodes:
        yield from _node_problems(node)
    yield from _leaf_problems(graph)
    yield from _parameter_problems(graph)
    yield from _mask_problems(graph)
    if graph.masks:
        yield from _lone_mask_problems(graph)


def _name_problems(graph: Graph) -> Iterator[str]:
    values = [str(node.attr) for node in (*graph.inputs, *graph.states)]
    groups = {
        "input or state": values,
        "parameter": [parameter.name for parameter in graph.parameters],
        "value": [name for name, _ in graph.named],
        "mask": [mask.name for mask in graph.masks],
    }
    for word, names in {"cell": [graph.name], **groups}.items():
        yield from (f"{name!r} cannot name a {word}" for name in names if not is_name(name))
        twice = [name for name, count in Counter(names).items() if count > 1]
        yield from (f"two {word}s are called {name}" for name in twice)


def is_name(text: str) -> bool:
    """Whether ``text`` is one or more identifiers or numbers joined by dots, as in ``i.x``."""
    first, *rest = text.split(".")
    return first.isidentifier() and all(f"_{part}".isidentifier() for part in rest)


def _shape_problems(graph: Graph) -> Iterator[str]:
    if not graph.inputs:
        yield "it has no input"
    if not graph.states:
        yield "it has no state"
    if len(graph.next_states) != len(graph.states):
        yield f"{len(graph.states)} states but {len(graph.next_states)} next states"
    names = ("output", *graph.state_names)
    for name, node in zip(names, (graph.output, *graph.next_states), strict=False):
        if node.size == "1":
            yield f"the next {name} is one number a row; it must have one for each hidden unit"


def _node_problems(node: Node) -> Iterator[str]:
    word = node.op.value
    arity = 0 if node.op in LEAVES else 2 if node.op in BINARY else 1
    if len(node.inputs) != arity:
        yield f"{word} takes {arity} operands, not {len(node.inputs)}"
    elif node.op in ELEMENTWISE and node.size != joined_size(node.inputs):
        yield f"{word} has size {node.size} over operands of another size"
    elif node.op is Op.PRODUCT and node.inputs[0].size == "1":
        yield f"the matrix {node.attr} multiplies a single number a row"
    has_attr = node.op in LEAVES or node.op is Op.PRODUCT
    if has_attr != (node.attr is not None):
        yield f"{word} {'lacks its name' if has_attr else 'has a name it should not have'}"


def _leaf_problems(graph: Graph) -> Iterator[str]:
    declared = {*graph.inputs, *graph.states}
    for node in graph.nodes:
        if node.op in (Op.INPUT, Op.STATE) and node not in declared:
            yield f"the {node.op.value} {node.attr} is used but not declared"
    yield from _misplaced(graph.inputs, Op.INPUT)
    yield from _misplaced(graph.states, Op.STATE)


def _misplaced(nodes: Iterable[Node], op: Op) -> Iterator[str]:
    yield from (f"{node} stands among the {op.value}s" for node in nodes if node.op is not op)


def _parameter_problems(graph: Graph) -> Iterator[str]:
    declared = {parameter.name: parameter for parameter in graph.parameters}
    used: set[str] = set()
    for node in graph.nodes:
        if node.op not in (Op.PARAMETER, Op.PRODUCT):
            continue
        name = str(node.attr)
        used.add(name)
        parameter = declared.get(name)
        if parameter is None:
            yield f"the parameter {name} is used but not declared"
        elif (parameter.kind == "matrix") != (node.op is Op.PRODUCT):
            yield f"the {parameter.kind} {name} is used as something else"
        elif node.op is Op.PRODUCT and parameter.columns != node.inputs[0].size:
            yield f"the matrix {name} takes {parameter.columns} values, not {node.inputs[0].size}"
    yield from (f"the parameter {name} is declared but not used" for name in declared.keys() - used)
    for parameter in graph.parameters:
        if not (math.isfinite(parameter.initial) and math.isfinite(parameter.diagonal)):
            yield f"the {parameter.kind} {parameter.name} does not begin at a finite number"
        if (parameter.columns == "1") != (parameter.kind != "matrix"):
            yield f"the {parameter.kind} {parameter.name} cannot have {parameter.columns} columns"


def _mask_problems(graph: Graph) -> Iterator[str]:
    declared = {mask.name: None for mask in graph.masks}
    used = {str(node.attr): None for node in graph.nodes if node.op is Op.MASK}
    values = {str(node.attr) for node in (*graph.inputs, *graph.states)}
    yield from (
        f"the mask {name} is used but not declared" for name in used if name not in declared
    )
    yield from (
        f"the mask {name} is declared but not used" for name in declared if name not in used
    )
    yield from (f"the mask {name} has the name of an input or state" for name in values & set(used))
    for mask in graph.masks:
        if mask.per not in get_args(Per):
            yield f"the mask {mask.name} is drawn per {mask.per}; it must be step or sequence"
        if not 0.0 <= mask.probability <= 1.0:
            yield f"the mask {mask.name} has the probability {mask.probability}; take 0 to 1"
        if not math.isfinite(mask.scale):
            yield f"the mask {mask.name} has the scale {mask.scale}; it must be a finite number"


def _lone_mask_problems(graph: Graph) -> Iterator[str]:
    """Values that have H numbers by a mask alone: no constant could take the mask's place."""
    sizes: dict[Node, Size] = {}
    for node in graph.nodes:
        sizes[node] = "1" if node.op is Op.MASK else node.size
        if node.op in ELEMENTWISE:
            sizes[node] = widest(sizes[operand] for operand in node.inputs)
    used: list[tuple[str, Node]] = [("output", graph.output)]
    used += zip((f"next {name}" for name in graph.state_names), graph.next_states, strict=False)
    used += (
        (f"operand of {node.attr}", node.inputs[0]) for node in graph.nodes if node.op is Op.PRODUCT
    )
    for name, node in used:
        if sizes[node] != node.size and (sizes[node] == "1" or name.startswith("operand")):
            yield f"the {name} has one number a unit by a mask alone; multiply the mask by a state"
