"""From a cell to kernels as data, by a visible list of passes.

Reading `PIPELINE` from top to bottom is reading the compiler. Nothing here knows of sizes, types
or processors; backends turn the kernels into code.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache

from elman.autodiff.backward import OUTPUT, Adjoint, adjoint, next_state
from elman.errors import CellError
from elman.ir.graph import Graph, Node, Op, constant, depending, gradient_node, topological
from elman.ir.rewrite import simplify
from elman.ir.stacks import places
from elman.ir.verify import verify
from elman.schedule.columns import find_range, match
from elman.schedule.kernel import Array, Kernel, Kind, Slot, build
from elman.schedule.recurrence import Recurrence, hoist, products_first
from elman.schedule.residuals import minimal_cut


@dataclass(frozen=True)
class Outer:
    """Products of one operand, whose weights' gradients are one matrix product after the loop."""

    operand: Slot
    """Where the operand is kept for each token."""
    products: tuple[Node, ...]
    gradients: int
    """The first of the buffer's columns with the products' gradients, in the products' order."""


@dataclass(frozen=True)
class Compilation:
    """A cell on its way through the passes; what a pass has not made yet is empty."""

    graph: Graph
    place: Mapping[str, tuple[str, int]]
    """For each parameter its stack and its position there, as the cell itself has them."""
    recurrence: Recurrence | None = None
    products: tuple[Node, ...] = ()
    """The streams that are products of the input itself: one matrix product before the loop."""
    given: tuple[Node, ...] = ()
    """The other streams: the input itself, or what torch computes from it."""
    adjoint: Adjoint | None = None
    residuals: tuple[Node, ...] = ()
    """Kept for each token and unit."""
    scalars: tuple[Node, ...] = ()
    """Kept for each token."""
    columns: tuple[Node, ...] = ()
    """The stream or product whose gradient each of the buffer's first columns holds at the end."""
    outers: tuple[Outer, ...] = ()
    totals: tuple[Node, ...] = ()
    """Biases and vectors whose gradients are summed in the loop."""
    slots: Mapping[Node, Slot] = field(default_factory=dict)
    """Where each residual is kept."""
    width: int = 0
    """The buffer's columns: streams before the forward pass, residuals after it, gradients in the
    end, one in the place of the other wherever the phases allow it."""
    inference: Kernel | None = None
    forward: Kernel | None = None
    backward: Kernel | None = None

    @cached_property
    def inference_table(self) -> Kernel:
        """For tokens of a vocabulary, whose products with the input are rows of a table."""
        return _forward("inference_table", self, keep=False, table=True)

    @cached_property
    def forward_table(self) -> Kernel:
        """The same for training."""
        return _forward("forward_table", self, keep=True, table=True)

    @cached_property
    def previous(self) -> tuple[Node, ...]:
        """The states that are the output of the step before: kept in the output itself if the
        batch is dense, for there a step's rows are those of the step before."""
        operands = {node.inputs[0] for node in self.loop_products}
        return tuple(
            state
            for state, after in zip(self.graph.states, self.graph.next_states, strict=True)
            if after is self.graph.output and state in operands
        )[:1]

    @cached_property
    def loop_products(self) -> tuple[Node, ...]:
        """The products in the loop."""
        inside = self.recurrence.inside if self.recurrence else ()
        return tuple(node for node in inside if node.op is Op.PRODUCT)

    @cached_property
    def first_product(self) -> int:
        """The buffer's column where the products of the input begin."""
        return self.columns.index(self.products[0]) if self.products else 0


Pass = Callable[[Compilation], Compilation]


def _simplify(state: Compilation) -> Compilation:
    """Drop operations that do nothing."""
    return replace(state, graph=verify(simplify(state.graph)))


def _hoist(state: Compilation) -> Compilation:
    """Take what depends on inputs alone out of the loop."""
    recurrence = hoist(state.graph)
    (x,) = state.graph.inputs

    def whole(node: Node) -> bool:
        return node.op is Op.PRODUCT and node.inputs[0] is x

    products = [node for node in recurrence.streams if whole(node)]
    return replace(
        state,
        graph=verify(recurrence.graph),
        recurrence=recurrence,
        products=tuple(sorted(products, key=lambda node: state.place[str(node.attr)])),
        given=tuple(node for node in recurrence.streams if not whole(node)),
    )


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
    operands = dict.fromkeys(node.inputs[0] for node in state.loop_products)
    streams = frozenset(state.recurrence.streams)
    # The output lives as long as the input does, whether or not anyone keeps it for us.
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
    # Which of several minimal cuts is found, and so the order of the columns, hangs on this order.
    nodes = topological(reversed(state.adjoint.roots), frozenset(state.recurrence.streams))
    later = depending(nodes, {Op.GRADIENT})
    operands = dict.fromkeys(operand for node in nodes if node in later for operand in node.inputs)
    return [node for node in operands if node not in later and node.op is not Op.CONSTANT]


def _layout(state: Compilation) -> Compilation:
    """Place the gradients so that one matrix product a stack of weights finds them in a row."""
    assert state.adjoint is not None
    columns: tuple[Node, ...] = (*state.products, *state.given)
    gradient = state.adjoint.values
    groups: dict[Node, list[Node]] = {}
    for node in state.loop_products:
        if node in gradient:
            groups.setdefault(node.inputs[0], []).append(node)
    ranges: list[tuple[int, tuple[Node, ...]]] = []
    for group in groups.values():
        added, start, products = find_range(columns, group, gradient)
        if start == 0:
            columns = (*added, *columns)
            ranges = [(at + len(added), one) for at, one in ranges]
        else:
            columns = (*columns, *added)
        ranges.append((start, products))
    # In the order of the stacks, so that a whole stack's gradient is one piece of memory.
    totals = sorted(state.adjoint.parameters, key=lambda node: state.place[str(node.attr)])
    state = replace(state, columns=columns, totals=tuple(totals))
    slots = _residual_slots(state)
    width = max([len(columns), *(1 + at.column for at in slots.values() if at.array == "buffer")])
    return replace(
        state,
        width=width,
        slots=slots,
        outers=tuple(
            Outer(slots[products[0].inputs[0]], products, start) for start, products in ranges
        ),
    )


def _residual_slots(state: Compilation) -> dict[Node, Slot]:
    """Where each residual is kept: in place of a stream, and until a gradient takes its place.

    A residual may take a stream's column if nothing reads the stream later, and leave it to a
    gradient if nothing reads the residual later. Operands of products are needed after the loop,
    so they have columns of their own.
    """
    slots = {node: Slot(f"previous.{node.attr}", 0) for node in state.previous}
    rest = [node for node in state.residuals if node not in slots]
    anywhere = {node: Slot("buffer", at) for at, node in enumerate(rest)} | slots
    draft = replace(state, slots=anywhere, width=len(rest))
    forward, backward = _forward("forward", draft, keep=True), _backward(draft)
    operands = {node.inputs[0] for node in state.loop_products}
    gradients = state.adjoint.values if state.adjoint else {}

    def fits(node: Node, at: int) -> bool:
        column = state.columns[at]
        written = backward.level[gradients[column]] if column in gradients else 0
        read = forward.last_read.get(column, -1) if column in state.products else -1
        return (
            node not in operands
            and read <= forward.level[node]
            and backward.last_read.get(node, -1) <= written
        )

    taken = match(rest, len(state.columns), fits)
    slots |= {node: Slot("buffer", at) for at, node in taken.items()}
    alone = [node for node in rest if node not in slots]
    more = len(state.columns)
    return slots | {node: Slot("buffer", more + at) for at, node in enumerate(alone)}


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
            kind: Kind = "token" if mask.per == "step" else "row"
            arrays.append(Array(f"mask.{mask.name}", kind, 1))
    return list(dict.fromkeys(arrays)), leaves


def _given(state: Compilation) -> tuple[list[Array], dict[Node, Slot]]:
    arrays = [Array(f"given{at}", "token", 1) for at in range(len(state.given))]
    return arrays, {node: Slot(f"given{at}", 0) for at, node in enumerate(state.given)}


def _kept(state: Compilation) -> list[Array]:
    """Where values of the forward pass wait for the backward one."""
    return [
        Array("buffer", "token", state.width),
        Array("scalar", "scalar", len(state.scalars)),
        *(Array(f"previous.{node.attr}", "token", 1, optional=True) for node in state.previous),
        Array("output", "token", 1),
    ]


def _forward(name: str, state: Compilation, *, keep: bool, table: bool = False) -> Kernel:
    graph = state.graph
    arrays, leaves = _shared_leaves(state)
    more, slots = _given(state)
    first = state.first_product if keep and not table else 0
    source = "table" if table else "buffer"
    leaves |= slots | {node: Slot(source, first + at) for at, node in enumerate(state.products)}
    if table:
        more += [Array("table", "indexed", len(state.products))]
    stores = [(graph.output, Slot("output", 0))]
    if keep:
        more += _kept(state)
        stores += state.slots.items()
        stores += [(node, Slot("scalar", at)) for at, node in enumerate(state.scalars)]
    else:
        more += [] if table else [Array("buffer", "token", len(state.products))]
        more += [Array("output", "token", 1)]
    states = list(zip(graph.state_names, graph.states, graph.next_states, strict=True))
    return build(name, [*arrays, *more], leaves, states, stores)


def _backward(state: Compilation) -> Kernel:
    assert state.adjoint is not None
    graph, found = state.graph, state.adjoint
    arrays, leaves = _shared_leaves(state)
    given, slots = _given(state)
    kept = {node for node in state.given if node in graph.inputs}
    arrays += [array for array, node in zip(given, state.given, strict=True) if node in kept]
    leaves |= {node: slot for node, slot in slots.items() if node in kept}
    leaves |= state.slots
    leaves |= {node: Slot("scalar", at) for at, node in enumerate(state.scalars)}
    if graph.output not in leaves:
        leaves[graph.output] = Slot("output", 0)
    leaves[gradient_node(OUTPUT)] = Slot("grad_output", 0)
    arrays += [
        *_kept(state),
        Array("grad_output", "token", 1),
        Array("total", "total", len(state.totals)),
    ]
    zero = constant(0.0)
    stores = [
        (found.values.get(node, zero), Slot("buffer", at)) for at, node in enumerate(state.columns)
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
