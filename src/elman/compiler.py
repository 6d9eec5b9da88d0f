"""From a cell to kernels as data, by a visible list of passes.

Reading `PIPELINE` from top to bottom is reading the compiler. Nothing here knows of sizes, types
or processors; backends turn the kernels into code.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, lru_cache

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
        operands = {node.inputs[0] for node in self.residual_products}
        return tuple(
            state
            for state, after in zip(self.graph.states, self.graph.next_states, strict=True)
            if after is self.graph.output and state in operands
        )[:1]

    @cached_property
    def residual_products(self) -> tuple[Node, ...]:
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
    operands = dict.fromkeys(node.inputs[0] for node in state.residual_products)
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
    assert state.adjoint is not None
    columns: list[Node] = [*state.products, *state.given]
    gradient = state.adjoint.values
    groups: dict[Node, list[Node]] = {}
    for node in state.residual_products:
        if node in gradient:
            groups.setdefault(node.inputs[0], []).append(node)
    ranges: list[tuple[list[Node], int]] = []
    for products in groups.values():
        added, start, ordered = _find_place(columns, products, gradient)
        if added and start == 0:
            columns = [*added, *columns]
            ranges = [(one, at + len(added)) for one, at in ranges]
        elif added:
            columns = [*columns, *added]
        ranges.append((ordered, start))
    # In the order of the stacks, so that a whole stack's gradient is one piece of memory.
    totals = sorted(state.adjoint.parameters, key=lambda node: state.place[str(node.attr)])
    state = replace(state, columns=tuple(columns), totals=tuple(totals))
    slots = _residual_slots(state)
    width = max([len(columns), *(1 + at.column for at in slots.values() if at.array == "buffer")])
    return replace(
        state,
        width=width,
        slots=slots,
        outers=tuple(
            Outer(slots[products[0].inputs[0]], tuple(products), start)
            for products, start in ranges
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
    operands = {node.inputs[0] for node in state.residual_products}
    assert state.adjoint is not None

    def fits(node: Node, column: Node) -> bool:
        gradient = state.adjoint.values.get(column) if state.adjoint else None
        written = backward.level[gradient] if gradient is not None else 0
        read = forward.last_read.get(column, -1) if column in state.products else -1
        return (
            node not in operands
            and read <= forward.level[node]
            and backward.last_read.get(node, -1) <= written
        )

    taken: dict[int, Node] = {}

    def give(node: Node, tried: set[int]) -> bool:
        for at, column in enumerate(state.columns):
            if at in tried or not fits(node, column):
                continue
            tried.add(at)
            if at not in taken or give(taken[at], tried):
                taken[at] = node
                return True
        return False

    alone = [node for node in rest if not give(node, set())]
    slots |= {node: Slot("buffer", at) for at, node in taken.items()}
    more = len(state.columns)
    return slots | {node: Slot("buffer", more + at) for at, node in enumerate(alone)}


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
        (found.values.get(node, zero), Slot("buffer", at))
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
