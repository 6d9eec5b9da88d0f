"""From a cell to kernels as data, by a visible list of passes.

Reading `PIPELINE` from top to bottom is reading the compiler. Nothing here knows of sizes, types
or processors; backends turn the kernels into code.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from elman.autodiff.backward import OUTPUT, Adjoint, adjoint, next_state, reachable
from elman.errors import CellError
from elman.ir.graph import Graph, Node, Op, constant, gradient_node
from elman.ir.rewrite import simplify
from elman.ir.stacks import places
from elman.ir.verify import verify
from elman.schedule.kernel import Array, Kernel, Slot, build
from elman.schedule.recurrence import Recurrence, hoist, products_first
from elman.schedule.residuals import gradient_free, minimal_cut


@dataclass(frozen=True)
class Stream:
    """Values known for all tokens before the loop, side by side in one array (N, columns * H)."""

    operand: Node | None
    """What one joint product multiplies; None for values that are computed one by one."""
    nodes: tuple[Node, ...]


@dataclass(frozen=True)
class Outer:
    """Products of one operand, whose weights' gradients are one matrix product after the loop."""

    operand: Node
    column: int
    """Of the residuals the one that holds the operand."""
    products: tuple[Node, ...]
    gradients: int
    """The first of the columns with the products' gradients, in the order of ``products``."""


@dataclass(frozen=True)
class Compilation:
    """A cell on its way through the passes; what a pass has not made yet is None."""

    graph: Graph
    place: Mapping[str, tuple[str, int]]
    """For each parameter its stack and its position there, as the cell itself has them."""
    recurrence: Recurrence | None = None
    streams: tuple[Stream, ...] = ()
    adjoint: Adjoint | None = None
    residuals: tuple[Node, ...] = ()
    """Kept for each token and unit."""
    scalars: tuple[Node, ...] = ()
    """Kept for each token."""
    stream_columns: tuple[int, ...] = ()
    """For each stream where its gradients begin in the array of gradients."""
    outers: tuple[Outer, ...] = ()
    totals: tuple[Node, ...] = ()
    """Biases and vectors whose gradients are summed in the loop."""
    columns: tuple[Node, ...] = ()
    """The stream or product whose gradient each column of the array of gradients holds."""
    inference: Kernel | None = None
    forward: Kernel | None = None
    backward: Kernel | None = None


Pass = Callable[[Compilation], Compilation]


def _simplify(state: Compilation) -> Compilation:
    """Drop operations that do nothing."""
    return replace(state, graph=verify(simplify(state.graph)))


def _hoist(state: Compilation) -> Compilation:
    """Take what depends on inputs alone out of the loop."""
    recurrence = hoist(state.graph)
    return replace(
        state,
        graph=verify(recurrence.graph),
        recurrence=recurrence,
        streams=_streams(recurrence, state.place),
    )


def _streams(
    recurrence: Recurrence, place: Mapping[str, tuple[str, int]]
) -> tuple[Stream, ...]:
    groups: dict[object, list[Node]] = {}
    for node in recurrence.streams:
        joint = node.op is Op.PRODUCT
        groups.setdefault(node.inputs[0] if joint else ("alone", node), []).append(node)
    found = []
    for key, nodes in groups.items():
        if isinstance(key, Node):
            ordered = sorted(nodes, key=lambda node: place[str(node.attr)])
            found.append(Stream(key, tuple(ordered)))
        else:
            found.append(Stream(None, tuple(nodes)))
    return tuple(found)


def _adjoint(state: Compilation) -> Compilation:
    """Derive the adjoint step, products of each sum first."""
    assert state.recurrence is not None
    found = adjoint(state.graph, state.recurrence.streams)
    done = products_first(found.roots, frozenset(state.recurrence.streams))
    return replace(
        state,
        adjoint=Adjoint(
            states=tuple(None if node is None else done[node] for node in found.states),
            values={value: done[node] for value, node in found.values.items()},
            parameters={value: done[node] for value, node in found.parameters.items()},
        ),
    )


def _residuals(state: Compilation) -> Compilation:
    """Choose what the forward pass keeps."""
    assert state.recurrence is not None
    assert state.adjoint is not None
    operands = dict.fromkeys(
        node.inputs[0] for node in state.recurrence.inside if node.op is Op.PRODUCT
    )
    streams = frozenset(state.recurrence.streams)
    free = frozenset({*operands, state.graph.output, *(streams & set(state.graph.inputs))})
    kept = minimal_cut(_read_by_adjoint(state), free=free, streams=streams)
    vectors = [node for node in kept if node.size != "1"]
    return replace(
        state,
        residuals=(*operands, *vectors),
        scalars=tuple(node for node in kept if node.size == "1"),
    )


def _read_by_adjoint(state: Compilation) -> list[Node]:
    """Values of the step that stand in the gradients."""
    assert state.adjoint is not None
    assert state.recurrence is not None
    nodes = _in_order(state.adjoint.roots, frozenset(state.recurrence.streams))
    free = gradient_free(nodes)
    read: dict[Node, None] = {}
    for node in nodes:
        if not free[node]:
            read.update((one, None) for one in node.inputs if free[one])
    return [node for node in read if node.op is not Op.CONSTANT]


def _in_order(roots: Sequence[Node], stops: frozenset[Node]) -> list[Node]:
    return list(reachable(roots, stops))


def _layout(state: Compilation) -> Compilation:
    """Place the gradients so that one matrix product a stack of weights finds them in a row."""
    assert state.recurrence is not None
    assert state.adjoint is not None
    columns: list[Node] = [node for stream in state.streams for node in stream.nodes]
    gradient = state.adjoint.values
    groups: dict[Node, list[Node]] = {}
    for node in state.recurrence.inside:
        if node.op is Op.PRODUCT and node in gradient:
            groups.setdefault(node.inputs[0], []).append(node)
    outers: list[Outer] = []
    shift = 0
    for operand, products in groups.items():
        added, start, ordered = _find_place(columns, products, gradient)
        if added and start == 0:
            shift += len(added)
            columns = [*added, *columns]
            outers = [replace(one, gradients=one.gradients + len(added)) for one in outers]
        elif added:
            columns = [*columns, *added]
        at = state.residuals.index(operand)
        outers.append(Outer(operand, at, tuple(ordered), start))
    starts, at = [], shift
    for stream in state.streams:
        starts.append(at)
        at += len(stream.nodes)
    return replace(
        state,
        stream_columns=tuple(starts),
        outers=tuple(outers),
        totals=tuple(state.adjoint.parameters),
        columns=tuple(columns),
    )


def _find_place(
    columns: Sequence[Node], products: Sequence[Node], gradient: Mapping[Node, Node]
) -> tuple[list[Node], int, list[Node]]:
    """New columns, where the range begins, and the products in its order.

    GRU: the streams r, z, n and the products r, z, hn share two gradients of four; with hn put in
    front of r, both are a range.
    """
    zero = constant(0.0)
    values = [gradient.get(node, zero) for node in columns]
    wanted = {gradient[product]: product for product in products}
    missing = [product for product in products if gradient[product] not in values]
    shared = len(products) - len(missing)
    if len(wanted) == len(products):
        for start in range(len(values) - shared + 1):
            window = values[start : start + shared]
            if set(window) != {gradient[one] for one in products if one not in missing}:
                continue
            inside = [wanted[value] for value in window]
            if not missing:
                return [], start, inside
            if start == 0:
                return missing, 0, [*missing, *inside]
            if start + shared == len(values):
                return missing, start, [*inside, *missing]
    return list(products), len(columns), list(products)


def _kernels(state: Compilation) -> Compilation:
    """Put forward and backward work into phases."""
    return replace(
        state,
        inference=_forward("inference", state, keep=False),
        forward=_forward("forward", state, keep=True),
        backward=_backward(state),
    )


def _shared_leaves(state: Compilation) -> tuple[list[Array], dict[Node, Slot]]:
    """Biases, vectors and masks: the same for both directions through time."""
    arrays: list[Array] = []
    leaves: dict[Node, Slot] = {}
    for node in state.graph.nodes:
        if node.op is Op.PARAMETER:
            stack, position = state.place[str(node.attr)]
            leaves[node] = Slot(f"weights.{stack}", position)
            arrays.append(Array(f"weights.{stack}", "parameter", 1))
        elif node.op is Op.MASK:
            mask = next(one for one in state.graph.masks if one.name == node.attr)
            leaves[node] = Slot(f"mask.{mask.name}", 0)
            kind = "token" if mask.per == "step" else "row"
            arrays.append(Array(f"mask.{mask.name}", kind, 1))  # type: ignore[arg-type]
    return list(dict.fromkeys(arrays)), leaves


def _stream_slots(state: Compilation) -> tuple[list[Array], dict[Node, Slot]]:
    arrays, leaves = [], {}
    for index, stream in enumerate(state.streams):
        arrays.append(Array(f"stream{index}", "token", len(stream.nodes)))
        for column, node in enumerate(stream.nodes):
            leaves[node] = Slot(f"stream{index}", column)
    return arrays, leaves


def _forward(name: str, state: Compilation, *, keep: bool) -> Kernel:
    graph = state.graph
    arrays, leaves = _shared_leaves(state)
    more, streams = _stream_slots(state)
    arrays += [*more, Array("output", "token", 1)]
    stores = [(graph.output, Slot("output", 0))]
    if keep:
        arrays += [
            Array("residual", "token", len(state.residuals)),
            Array("scalar", "scalar", len(state.scalars)),
        ]
        stores += [(node, Slot("residual", at)) for at, node in enumerate(state.residuals)]
        stores += [(node, Slot("scalar", at)) for at, node in enumerate(state.scalars)]
    states = list(zip(graph.state_names, graph.states, graph.next_states, strict=True))
    return build(name, arrays, {**leaves, **streams}, states, stores)


def _backward(state: Compilation) -> Kernel:
    assert state.adjoint is not None
    graph, found = state.graph, state.adjoint
    arrays, leaves = _shared_leaves(state)
    streams, slots = _stream_slots(state)
    for array, stream in zip(streams, state.streams, strict=True):
        if stream.nodes[0] in graph.inputs:
            arrays.append(array)
            leaves |= {node: slots[node] for node in stream.nodes}
    leaves |= {node: Slot("residual", at) for at, node in enumerate(state.residuals)}
    leaves |= {node: Slot("scalar", at) for at, node in enumerate(state.scalars)}
    if graph.output not in leaves:
        leaves[graph.output] = Slot("output", 0)
    leaves[gradient_node(OUTPUT)] = Slot("grad_output", 0)
    arrays += [
        Array("residual", "token", len(state.residuals)),
        Array("scalar", "scalar", len(state.scalars)),
        Array("output", "token", 1),
        Array("grad_output", "token", 1),
        Array("gradient", "token", len(state.columns)),
        Array("total", "total", len(state.totals)),
    ]
    zero = constant(0.0)
    stores = [
        (found.values.get(node, zero), Slot("gradient", at))
        for at, node in enumerate(state.columns)
    ]
    totals = [(found.parameters[node], Slot("total", at)) for at, node in enumerate(state.totals)]
    states = [
        (name, next_state(name), zero if node is None else node)
        for name, node in zip(graph.state_names, found.states, strict=True)
    ]
    return build("backward", arrays, leaves, states, stores, totals)


PIPELINE: tuple[tuple[str, Pass], ...] = (
    ("simplify", _simplify),
    ("hoist", _hoist),
    ("adjoint", _adjoint),
    ("residuals", _residuals),
    ("layout", _layout),
    ("kernels", _kernels),
)


@lru_cache(maxsize=256)
def compile(graph: Graph, *, stop_after: str = "kernels") -> Compilation:
    """Run the passes on a verified graph.

    Args:
        graph: one step.
        stop_after: the name of the last pass to run.

    Raises:
        CellError: there is no pass of that name.
    """
    names = [name for name, _ in PIPELINE]
    if stop_after not in names:
        raise CellError(f"there is no pass {stop_after!r}; there are {', '.join(names)}")
    state = Compilation(graph, places(graph))
    for name, step in PIPELINE:
        state = step(state)
        if name == stop_after:
            break
    return state
