"""The adjoint and the schedule as text."""

from collections.abc import Iterable, Sequence

from elman.autodiff.backward import adjoint as derive
from elman.compiler import Compilation, compile
from elman.ir.graph import PRODUCTS, Graph, Node, Op, depending, topological
from elman.lab.explain.naming import Line, Naming
from elman.schedule.kernel import Accumulator, Kernel, Phase, Slot
from elman.schedule.recurrence import products_first


def named(program: Compilation) -> Naming:
    """What to call a compilation's values, gradients among them."""
    assert program.recurrence is not None
    streams = program.recurrence.streams
    found = derive(program.graph, streams)
    # The compiler brackets the sums of the adjoint anew, as the last part of that pass.
    done = products_first(found.roots, frozenset(streams))
    return Naming(program.graph, {value: done.get(one, one) for value, one in found.every.items()})


# ---------------------------------------------------------------------------------------------
# The adjoint step


def adjoint(graph: Graph) -> str:
    """One step backwards, as numbered equations."""
    program = compile(graph, stop_after="adjoint")
    naming = named(program)
    graph, found = program.graph, program.adjoint
    assert found is not None
    lines = naming.lines(found.roots, _forward_values(naming, found.roots))
    said = [
        f"{graph.name}: one step backwards, run from the last step to the first.",
        "",
        *_given(naming, found.roots),
        "",
        *numbered(lines),
        "",
    ]
    pairs = [
        (f"d_{naming.names[state]}", naming[node])
        for state, node in zip(graph.states, found.states, strict=True)
        if node is not None
    ]
    said += _wrapped(
        "To the step before: ",
        (name if name == found else f"{name} = {found}" for name, found in pairs),
    )
    gradients: dict[Node, list[str]] = {}
    for value, node in found.values.items():
        gradients.setdefault(node, []).append(naming[value])
    said += ["The gradients of what enters the sums:"]
    said += [f"  {naming[node]} of {', '.join(values)}" for node, values in gradients.items()]
    if found.parameters:
        said += ["Summed over all steps and rows:"]
        said += [
            f"  {naming[node]} for {naming[value]}" for value, node in found.parameters.items()
        ]
    return "\n".join(said) + "\n"


def _forward_values(naming: Naming, roots: Iterable[Node]) -> list[Node]:
    """Values of the forward step that have a name, which the adjoint takes as they are."""
    nodes = topological(roots)
    later = depending(nodes, {Op.GRADIENT})
    found = {node for node in nodes if node not in later and node.inputs}
    return [node for node in naming.graph.nodes if node in found and naming.has_name(node)]


def _given(naming: Naming, roots: Iterable[Node]) -> list[str]:
    roots = list(roots)
    ready = frozenset(_forward_values(naming, roots))
    nodes = topological(roots, ready)
    gradients = [node for node in nodes if node.op is Op.GRADIENT]
    values = [
        node
        for node in nodes
        if node in ready or node.op in (Op.STATE, Op.INPUT, Op.MASK, Op.PARAMETER)
    ]
    values.sort(key=naming.graph.nodes.index)
    defined = [
        f"{naming[node]} = {naming.text(node)}"
        for node in values
        if node not in naming.names and node.op not in PRODUCTS
    ]
    said = _wrapped("Given: ", (naming[node] for node in gradients))
    said += _wrapped("From the forward step: ", (naming[node] for node in values))
    return said + _wrapped("where ", defined)


def numbered(lines: Sequence[Line]) -> list[str]:
    """Equations with their numbers."""
    wide = len(str(len(lines)))
    return [f"{at:{wide}}  {line}" for at, line in enumerate(lines, 1)]


def _wrapped(head: str, parts: Iterable[str], width: int = 96) -> list[str]:
    """``head`` and the parts with commas, over as many lines as they need."""
    lines, line = [], head
    listed = list(parts)
    for at, part in enumerate(listed):
        more = part + ("," if at + 1 < len(listed) else "")
        if line.strip() and len(line) + len(more) > width and line != head:
            lines.append(line.rstrip())
            line = "  "
        line += more + " "
    return [*lines, line.rstrip()] if listed else []


# ---------------------------------------------------------------------------------------------
# The schedule


def schedule(graph: Graph, kernels: Sequence[str]) -> str:
    """What happens before, in and after the time loop, and where values wait."""
    program = compile(graph)
    naming = named(program)
    phases: list[str] = []
    for name in kernels:
        kernel: Kernel = getattr(program, name)
        order = "the last step to the first" if name == "backward" else "the first step to the last"
        phases += [f"{name.capitalize()}, from {order}:"]
        for at, phase in enumerate(kernel.phases):
            phases += [f"  phase {at}", *_phase(naming, kernel, at, phase)]
        phases.append("")
    said = [f"{graph.name}: what is computed when, and where it is kept", ""]
    said += _before(program, naming)
    said += _buffer(program, naming) if tuple(kernels) != ("inference",) else []
    said += phases
    said += _after(program, naming) if "backward" in kernels else []
    return "\n".join(said).rstrip("\n") + "\n"


def _before(program: Compilation, naming: Naming) -> list[str]:
    said = ["Before the loop, for all tokens at once:"]
    products = (
        f"{naming[node]} = {naming.text(node)}" if node in naming.names else naming[node]
        for node in program.products
    )
    said += _wrapped("  one matrix product: ", products)
    given = [node for node in program.given if node.inputs]
    said += _wrapped("  by torch: ", (f"{naming[node]} = {naming.text(node)}" for node in given))
    said += [f"  {naming[node]} as it is" for node in program.given if not node.inputs]
    return [*(said if len(said) > 1 else ["Before the loop: nothing."]), ""]


def _buffer(program: Compilation, naming: Naming) -> list[str]:
    """The table of the one buffer that streams, residuals and gradients share."""
    assert program.adjoint is not None

    def shown(node: Node) -> str:
        return naming.text(node) if node in naming.numbered else naming[node]

    rows = [["", "", ""] for _ in range(program.width)]
    for at, node in enumerate(program.products):
        rows[program.first_product + at][0] = naming[node]
    for node, slot in program.slots.items():
        if slot.array == "buffer":
            rows[slot.column][1] = shown(node)
    for at, node in enumerate(program.columns):
        rows[at][2] = shown(program.adjoint.values[node])
    table = [["column", "before the loop", "after the forward pass", "after the backward pass"]]
    table += [[str(at), *row] for at, row in enumerate(rows)]
    widths = [max(len(row[at]) for row in table) for at in range(4)]
    said = ["The buffer, for each token:"]
    for row in table:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        said.append(f"  {'  '.join(cells)}".rstrip())
    elsewhere = [(node, slot) for node, slot in program.slots.items() if slot.array != "buffer"]
    said += [f"Kept beside it: {naming[node]} in {slot.array}" for node, slot in elsewhere]
    if elsewhere:
        said += ["  (in a dense batch the output itself, one step earlier)"]
    if program.scalars:
        one = [shown(node) for node in program.scalars]
        said += _wrapped("Kept as one number a token: ", one)
    return [*said, ""]


def _phase(naming: Naming, kernel: Kernel, at: int, phase: Phase) -> list[str]:
    said: list[str] = []

    def tell(head: str, lines: Sequence[str]) -> None:
        heads = [head, *[""] * len(lines)]
        said.extend(f"    {one:12}{line}" for one, line in zip(heads, lines, strict=False))

    alone = [naming[one.node] for one in phase.accumulators if _is_alone(naming, one.node)]
    sums = [_sum(naming, one) for one in phase.accumulators if not _is_alone(naming, one.node)]
    tell("products", [*_wrapped("", alone, 80), *sums])
    tell("each unit", [str(line) for line in pointwise(naming, kernel, at, phase)])
    tell("keeps", _wrapped("", (naming[node] for node in phase.kept)))
    tell("averages", _wrapped("", (naming[node] for node in phase.averaged)))
    stores = [f"{naming[node]} in {place(slot)}" for node, slot in phase.stores]
    tell("stores", _wrapped("", stores, 80))
    tell("sums up", _wrapped("", (naming[node] for node, _ in phase.totals), 80))
    tell("hands on", _wrapped("", (naming[state.next] for state in phase.states), 80))
    return said


def pointwise(naming: Naming, kernel: Kernel, at: int, phase: Phase) -> list[Line]:
    """The elementwise work of a phase."""
    ready = _ready(kernel, at) | dict.fromkeys(one.node for one in phase.accumulators)
    return naming.lines([node for node in phase.roots if node not in ready], ready)


def _is_alone(naming: Naming, node: Node) -> bool:
    """Whether a sum is a single product that goes into an expression as it is."""
    return node.op in PRODUCTS and node not in naming.names


def sum_name(naming: Naming, sum_: Accumulator) -> str:
    """What a sum of products is called."""
    return naming[sum_.node] if _is_alone(naming, sum_.node) else naming.line_name(sum_.node)


def _sum(naming: Naming, sum_: Accumulator) -> str:
    parts = (
        f"{naming.matrix(str(one.attr))}{'^T' * (one.op is Op.TRANSPOSED)} {naming[one.inputs[0]]}"
        for one in sum_.products
    )
    return f"{sum_name(naming, sum_)} = {' + '.join(parts)}"


def _ready(kernel: Kernel, at: int) -> dict[Node, None]:
    """What a phase finds in memory, in an order that is the same in each process."""
    ready = dict.fromkeys([*kernel.leaves, *(state.now for state in kernel.states)])
    for phase in kernel.phases[:at]:
        ready |= dict.fromkeys(phase.kept)
    means = (node for phase in kernel.phases for node in topological(phase.roots, frozenset(ready)))
    complete = (node for node in means if node.op is Op.MEAN and kernel.level[node] <= at)
    return ready | dict.fromkeys(complete)


def place(slot: Slot) -> str:
    """Where a value lies, as text."""
    return f"{slot.array} {slot.column}" if slot.array in ("buffer", "scalar") else slot.array


def _after(program: Compilation, naming: Naming) -> list[str]:
    """The gradients that are matrix products, and the sums of the threads."""

    def span(first: int, count: int) -> str:
        return f"buffer {first}" if count == 1 else f"buffer {first} to {first + count - 1}"

    said = ["After the loop, for all tokens at once:"]
    if program.products:
        (x,) = program.graph.inputs
        matrices = ", ".join(naming.matrix(str(node.attr)) for node in program.products)
        columns = span(program.first_product, len(program.products))
        said.append(f"  d of {matrices}: {columns}, transposed, times {naming[x]}")
        said.append(f"  d of {naming[x]}: {columns} times those matrices")
    for outer in program.weight_gradients:
        matrices = ", ".join(naming.matrix(str(node.attr)) for node in outer.products)
        columns = span(outer.first_column, len(outer.products))
        said.append(f"  d of {matrices}: {columns}, transposed, times {naming[outer.operand]}")
    for node in program.given:
        said.append(f"  d of {naming[node]}: {span(program.columns.index(node), 1)}")
    totals = (naming[node] for node in program.totals)
    return [*said, *_wrapped("  by adding up the threads' sums: d of ", totals)]
