"""What can be done to any cell: each function takes a cell and returns another.

They work on the equations, so they nest in any order, and a modified cell is a cell like any
other: it has a text form, travels in a bundle and runs on every backend. What is random in
training is a mask of the graph; evaluation puts each mask's mean in its place.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial, reduce
from typing import Literal

from elman.cell import Cell
from elman.errors import CellError
from elman.ir.graph import (
    LEAVES,
    Graph,
    Mask,
    Node,
    Op,
    Parameter,
    apply,
    constant,
    mask_node,
    parameter_node,
    topological,
)
from elman.ir.rewrite import with_operands
from elman.ir.verify import verify

__all__ = ["MODIFIERS", "layer_norm", "recurrent_dropout", "residual", "zoneout"]

_EPSILON = 1e-5


def layer_norm(cell: Cell) -> Cell:
    """The cell with each learned affine map normalised over the hidden units.

    A map is a sum of products with at most one bias, as ``p.NAME(x, h)`` makes it. The products
    are added up to v, and the map becomes (Ba, Kiros and Hinton 2016, equation 4)

        gain (v - mean(v)) / sqrt(mean((v - mean(v))^2) + 1e-5) + bias

    with one gain a unit, which begins at 1. What else is added, such as a peephole or the input
    itself, is added after it. States are not normalised: the paper's own LSTM also normalises W_x x
    and W_h h by themselves and c under its tanh; write that as a cell if you want it.

    Raises:
        CellError: the cell has no product.
    """
    graph = cell.graph
    maps = _maps(graph)
    if not maps:
        raise CellError(f"the cell {graph.name} has no learned map to normalise")
    gains = _gains(graph, maps)
    done: dict[Node, Node] = {}
    for node in graph.nodes:
        affine = maps.get(node)
        if affine is None:
            done[node] = _on(node, done)
            continue
        products = [_on(product, done) for product in affine.products]
        done[node] = _normalised(products, gains[_key(affine)], affine.bias)
    added = (Parameter(str(gain.attr), "vector", "1", initial=1.0) for gain in gains.values())
    changed = replace(graph.mapped(done.__getitem__), parameters=(*graph.parameters, *added))
    doc = (
        "With layer normalisation (Ba, Kiros and Hinton 2016) of each learned map, under its bias."
    )
    return _cell("layer_norm", doc, changed, graph)


def zoneout(cell: Cell, **rates: float) -> Cell:
    """The cell whose units now and then keep their states (Krueger et al. 2017).

    With a mask of its own for each state and step, each unit's next state is the former one with
    probability ``rate``. Next states are computed from each other as they were before, and the
    output from the states that are kept, as in the paper. In evaluation a state is the mean,
    rate * former + (1 - rate) * next.

    Args:
        cell: any cell.
        rates: for each state by its name, from 0 to under 1; where none is given, 0.1 for
            the states h and c.

    Raises:
        CellError: a state that the cell does not have, or a rate out of range.
    """
    graph = cell.graph
    states = graph.state_names
    rates = rates or {name: 0.1 for name in ("h", "c") if name in states}
    for name in [name for name in rates if name not in states] or ([] if rates else ["h"]):
        raise CellError(
            f"the cell {graph.name} has no state {name} to keep; "
            f"write zoneout with rates for {', '.join(states)}"
        )
    masks: list[Mask] = []
    kept = dict(zip(states, graph.next_states, strict=True))
    for state in graph.states:
        name = str(state.attr)
        rate = _rate("zoneout", name, rates.get(name, 0.0))
        if not rate:
            continue
        mask = Mask(_free_mask(graph, f"zoneout_{name}"), "step", rate)
        masks.append(mask)
        kept[name] = _mixed(mask_node(mask.name), state, kept[name])
    after = {
        node: kept[name]
        for name, node in zip(states, graph.next_states, strict=True)
        if node.op not in LEAVES
    }
    changed = replace(
        graph,
        next_states=tuple(kept.values()),
        output=_replaced([graph.output], after)[graph.output],
        named=tuple(
            (name, kept[name] if name in kept and node in graph.next_states else node)
            for name, node in graph.named
        ),
        masks=(*graph.masks, *masks),
    )
    shown = ", ".join(f"{name} {rate:g}" for name, rate in rates.items())
    return _cell("zoneout", f"With zoneout (Krueger et al. 2017): {shown}.", changed, graph)


def recurrent_dropout(
    cell: Cell, rate: float = 0.25, *, on: Literal["state", "candidate"] = "state"
) -> Cell:
    """The cell with dropout between its steps.

    Args:
        cell: any cell.
        rate: the share that is dropped, from 0 to under 1; what stays is scaled by 1 / (1 - rate).
        on: ``state`` for one mask a row, kept for all its steps, on the former output state
            wherever it enters a product (Gal and Ghahramani 2016; all gates share the mask, and
            where the state is carried on unit by unit it is whole). ``candidate`` for a mask drawn
            anew for each step on the candidate, the value named g or n that is added to the state
            (Semeniuta et al. 2016), so that nothing is lost of what a cell remembers.

    Raises:
        CellError: the cell has no product of that state or no candidate, or the rate is out
            of range.
    """
    rate = _rate("recurrent_dropout", "rate", rate)
    places: dict[str, Callable[[Graph, float], Graph]] = {
        "state": _drop_state,
        "candidate": _drop_candidate,
    }
    if on not in places:
        raise CellError(f"recurrent_dropout has no on={on!r}; there are {', '.join(places)}")
    paper = {"state": "Gal and Ghahramani 2016", "candidate": "Semeniuta et al. 2016"}[on]
    doc = f"With recurrent dropout of {rate:g} on the {on} ({paper})."
    return _cell("recurrent_dropout", doc, places[on](cell.graph, rate), cell.graph)


def residual(cell: Cell) -> Cell:
    """The cell whose output is its own plus its input; the states stay as they are.

    It needs as many inputs as units; `elman.Recurrent` puts a learned projection before it where
    they differ.
    """
    graph = cell.graph
    changed = replace(graph, output=apply(Op.ADD, graph.output, graph.inputs[0]))
    return _cell("residual", "With the input added to the output (He et al. 2016).", changed, graph)


MODIFIERS: dict[str, Callable[..., Cell]] = {
    "layer_norm": layer_norm,
    "zoneout": zoneout,
    "recurrent_dropout": recurrent_dropout,
    "residual": residual,
}
"""By the names that stand for them in ``find("zoneout(lstm, h=0.1, c=0.1)")``."""


# ---------------------------------------------------------------------------------------------
# Layer normalisation


@dataclass(frozen=True)
class _Affine:
    products: tuple[Node, ...]
    bias: Node | None


def _maps(graph: Graph) -> dict[Node, _Affine]:
    """The learned maps by the nodes that are their results; none is a part of another there."""
    biases = {parameter.name for parameter in graph.parameters if parameter.kind == "bias"}
    maps: dict[Node, _Affine] = {}
    for node in graph.nodes:
        if node.op is Op.PRODUCT:
            maps[node] = _Affine((node,), None)
        elif node.op is Op.PARAMETER and node.attr in biases:
            maps[node] = _Affine((), node)
        elif node.op is Op.ADD and all(operand in maps for operand in node.inputs):
            left, right = (maps[operand] for operand in node.inputs)
            if left.bias is None or right.bias is None:
                maps[node] = _Affine(left.products + right.products, left.bias or right.bias)
    used = {*graph.next_states, graph.output, *(node for _, node in graph.named)}
    for node in graph.nodes:
        if node not in maps or node.op is Op.PRODUCT:
            used.update(node.inputs)
    return {node: affine for node, affine in maps.items() if affine.products and node in used}


def _gains(graph: Graph, maps: Mapping[Node, _Affine]) -> dict[tuple[str, ...], Node]:
    """One gain for each set of matrices: a map that is called twice has it twice."""
    taken = {parameter.name for parameter in graph.parameters}
    gains: dict[tuple[str, ...], Node] = {}
    for affine in maps.values():
        if _key(affine) not in gains:
            first = str(affine.products[0].attr)
            name = _free(f"{first.rpartition('.')[0] or first}.gain", taken)
            taken.add(name)
            gains[_key(affine)] = parameter_node(name)
    return gains


def _key(affine: _Affine) -> tuple[str, ...]:
    return tuple(sorted(str(term.attr) for term in affine.products))


def _normalised(products: list[Node], gain: Node, bias: Node | None) -> Node:
    total = reduce(partial(apply, Op.ADD), products)
    centred = apply(Op.SUB, total, apply(Op.MEAN, total))
    variance = apply(Op.MEAN, apply(Op.MUL, centred, centred))
    deviation = apply(Op.SQRT, apply(Op.ADD, variance, constant(_EPSILON)))
    scaled = apply(Op.MUL, gain, apply(Op.DIV, centred, deviation))
    return scaled if bias is None else apply(Op.ADD, scaled, bias)


# ---------------------------------------------------------------------------------------------
# Masks


def _mixed(mask: Node, former: Node, new: Node) -> Node:
    rest = apply(Op.SUB, constant(1.0), mask)
    return apply(Op.ADD, apply(Op.MUL, mask, former), apply(Op.MUL, rest, new))


def _drop_state(graph: Graph, rate: float) -> Graph:
    """A mask on the former output state within the operands of products."""
    carried = zip(graph.states, graph.next_states, strict=True)
    state = next((state for state, node in carried if node is graph.output), graph.states[0])
    mask = _keep(graph, rate, "sequence", f"drop_{state.attr}")
    inside: dict[Node, Node] = {state: apply(Op.MUL, mask_node(mask.name), state)}
    outside: dict[Node, Node] = {}
    for node in graph.nodes:
        if node.op is Op.PRODUCT:
            outside[node] = inside[node] = _on(node, inside)
            continue
        outside[node] = _on(node, outside)
        inside.setdefault(node, _on(node, inside))
    changed = graph.mapped(outside.__getitem__)
    if changed == graph:
        raise CellError(
            f"no product of the cell {graph.name} takes its state {state.attr}, "
            "so there is nothing to drop; take on='candidate' or zoneout"
        )
    return replace(changed, masks=(*graph.masks, mask))


def _drop_candidate(graph: Graph, rate: float) -> Graph:
    named = dict(graph.named)
    candidates = [
        named[name] for name in ("g", "n") if name in named and name not in graph.state_names
    ]
    if not candidates:
        raise CellError(
            f"the cell {graph.name} has no candidate, a value named g or n that is added to its "
            "state; name it so, or take on='state'"
        )
    candidate = candidates[0]
    mask = _keep(graph, rate, "step", "drop_candidate")
    dropped = apply(Op.MUL, mask_node(mask.name), candidate)
    done = _replaced([*graph.next_states, graph.output, *named.values()], {candidate: dropped})
    changed = graph.mapped(lambda node: node if node is candidate else done[node])
    return replace(changed, masks=(*graph.masks, mask))


def _keep(graph: Graph, rate: float, per: Literal["step", "sequence"], name: str) -> Mask:
    return Mask(_free_mask(graph, name), per, 1.0 - rate, 1.0 / (1.0 - rate))


def _rate(modifier: str, name: str, value: object) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    rate = float(value) if number else math.nan  # type: ignore[arg-type]
    if not 0.0 <= rate < 1.0:
        raise CellError(f"{modifier}: {name} is {value!r}; it must be at least 0 and under 1")
    return rate


# ---------------------------------------------------------------------------------------------
# Graphs


def _on(node: Node, done: Mapping[Node, Node]) -> Node:
    """The same operation on what its operands have become."""
    return with_operands(node, tuple(done[operand] for operand in node.inputs))


def _replaced(roots: list[Node], replacements: Mapping[Node, Node]) -> dict[Node, Node]:
    """What becomes of each node when some are replaced; nothing within a replaced one changes."""
    done: dict[Node, Node] = {}
    for node in topological(roots):
        rebuilt = _on(node, done)
        done[node] = replacements.get(node, rebuilt)
    return done


def _cell(modifier: str, doc: str, changed: Graph, graph: Graph) -> Cell:
    name = f"{modifier}_{graph.name}"
    return Cell(verify(replace(changed, name=name, doc=f"{doc}\n\n{graph.doc}".rstrip())))


def _free_mask(graph: Graph, name: str) -> str:
    taken = {str(node.attr) for node in (*graph.inputs, *graph.states)}
    return _free(name, taken | {mask.name for mask in graph.masks})


def _free(name: str, taken: set[str]) -> str:
    while name in taken:
        name += "_"
    return name
