"""What must hold after each pass; looked through where `elman.compiler.VERIFIES` is set."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping

from elman.autodiff.backward import OUTPUT, next_state
from elman.ir import verify as graphs
from elman.ir.graph import LEAVES, PRODUCTS, Node, Op, apply, gradient_node, topological
from elman.schedule.compilation import Compilation
from elman.schedule.kernel import Kernel, Phases
from elman.schedule.layout import fits
from elman.schedule.residuals import read_by_adjoint


def verify(program: Compilation, name: str) -> None:
    """Look through what the passes up to the one of this name have made.

    Raises:
        RuntimeError: naming the cell, the pass and the first thing that is wrong.
    """
    graphs.verify(program.graph)
    for made, problems in _PROBLEMS.items():
        for problem in problems(program):
            raise RuntimeError(f"cell {program.graph.name}, after the pass {name}: {problem}")
        if made == name:
            return


def _recurrence_problems(program: Compilation) -> Iterator[str]:
    assert program.recurrence is not None
    recurrence = program.recurrence
    if recurrence.graph is not program.graph:
        yield "the loop is that of another graph"
    if Counter((*program.products, *program.given)) != Counter(recurrence.streams):
        yield "the streams are not the products of the input and the other ones"
    available = {*recurrence.streams, *recurrence.inside}
    for node in recurrence.inside:
        for operand in node.inputs:
            if operand not in available and operand.op not in LEAVES - {Op.INPUT}:
                yield f"{node} in the loop reads {operand}, which no stream brings"
    for node in recurrence.outside:
        if any(needed.op in (Op.STATE, Op.MASK) for needed in topological([node])):
            yield f"{node} before the loop hangs on a state or a mask"


def _adjoint_problems(program: Compilation) -> Iterator[str]:
    assert program.recurrence is not None
    assert program.adjoint is not None
    adjoint, streams = program.adjoint, frozenset(program.recurrence.streams)
    if len(adjoint.states) != len(program.graph.states):
        yield "the adjoint has not one gradient for each state"
    square = {parameter.name for parameter in program.graph.parameters if parameter.columns == "H"}
    coming = {gradient_node(OUTPUT), *map(next_state, program.graph.state_names)}
    forward = {*program.graph.nodes, *streams}
    for node in topological(adjoint.roots, streams):
        if node.op is Op.TRANSPOSED and node.attr not in square:
            yield f"{node} is no transposed matrix of the cell"
        if node.op is Op.GRADIENT and node not in coming:
            yield f"{node} comes from nowhere"
        if node.op is Op.PRODUCT and node not in forward:
            yield f"{node} is a product that the step does not have"
    products = {node for node in program.loop_products if node in forward}
    yield from (
        f"{value} has a gradient and is neither stream nor product of the loop"
        for value in adjoint.values
        if value not in streams and value not in products
    )


def _residual_problems(program: Compilation) -> Iterator[str]:
    assert program.recurrence is not None
    kept = {*program.residuals, *program.scalars, program.graph.output, *program.graph.inputs}
    if len({*program.residuals, *program.scalars}) < len((*program.residuals, *program.scalars)):
        yield "a value is kept twice"
    streams = frozenset(program.recurrence.streams)
    for node in topological(read_by_adjoint(program), frozenset(kept | streams)):
        costly = node.op in (*PRODUCTS, Op.MEAN, Op.STATE, Op.INPUT)
        if node not in kept and (costly or node in streams):
            yield f"the adjoint needs {node}, which is not kept"


def _column_problems(program: Compilation) -> Iterator[str]:
    assert program.recurrence is not None
    assert program.adjoint is not None
    columns, gradient = program.columns, program.adjoint.values
    if not {*program.recurrence.streams} <= {*columns} or len({*columns}) < len(columns):
        yield "each stream must have one column"
    placed = [product for range_ in program.weight_gradients for product in range_.products]
    if Counter(placed) != Counter(node for node in program.loop_products if node in gradient):
        yield "each product of the loop must have its gradient in one range"
    for range_ in program.weight_gradients:
        if any(product.inputs[0] is not range_.operand for product in range_.products):
            yield "the products of a range have different operands"
        beside = columns[range_.first_column : range_.first_column + len(range_.products)]
        if [gradient.get(node) for node in beside] != [gradient[node] for node in range_.products]:
            yield f"the gradients of {range_.products} are not in a row"
    first = program.first_product
    if columns[first : first + len(program.products)] != program.products:
        yield "the products of the input are not in a row"


def _phase_problems(program: Compilation) -> Iterator[str]:
    for name, phases in program.phases.items():
        yield from (f"{name}: {problem}" for problem in _order_problems(phases))


def _order_problems(phases: Phases) -> Iterator[str]:
    """Nothing is read before the phase that completes it, and no product is computed twice."""
    sums = [sum_ for work in phases.works for sum_ in work.accumulators]
    if len({product for sum_ in sums for product in sum_.products}) < sum(
        len(sum_.products) for sum_ in sums
    ):
        yield "a product is computed twice"
    if Counter(state for work in phases.works for state in work.states) != Counter(phases.states):
        yield "a state has not one next value"
    carried = {state.now for state in phases.states}
    kept: set[Node] = set()
    averaged: set[Node] = set()
    for at, work in enumerate(phases.works):
        for product in (product for sum_ in work.accumulators for product in sum_.products):
            if product.inputs[0] not in kept | carried:
                yield f"{product} in phase {at} reads what is not whole"
        ready = phases.leaves | carried | kept | {sum_.node for sum_ in work.accumulators}
        for node in topological(work.roots, ready | {apply(Op.MEAN, node) for node in averaged}):
            if node.op in LEAVES - {Op.CONSTANT} and node not in ready:
                yield f"{node} in phase {at} comes from nowhere"
            if node.op in PRODUCTS and node not in ready:
                yield f"{node} is read in phase {at}, which does not compute it"
            if node.op is Op.MEAN and node.inputs[0] not in averaged and node not in ready:
                yield f"{node} is read in phase {at}, before its mean is there"
        kept.update(work.kept)
        averaged.update(work.averaged)


def _layout_problems(program: Compilation) -> Iterator[str]:
    slots = program.slots
    if slots.keys() != {*program.residuals}:
        yield "each residual must have one place"
    if len({*slots.values()}) < len(slots):
        yield "two residuals have one place"
    for node, slot in slots.items():
        if slot.array != "buffer":
            continue
        if not 0 <= slot.column < program.width:
            yield f"{node} is kept outside of the buffer"
        if slot.column < len(program.columns) and not fits(program, node, slot.column):
            yield f"{node} is kept where something else still stands"


def _kernel_problems(program: Compilation) -> Iterator[str]:
    kernels = (program.inference, program.forward, program.backward)
    for kernel in (*kernels, program.inference_table, program.forward_table):
        assert kernel is not None
        yield from (f"{kernel.name}: {problem}" for problem in _memory_problems(kernel))


def _memory_problems(kernel: Kernel) -> Iterator[str]:
    names = [array.name for array in kernel.arrays]
    if len({*names}) < len(names):
        yield "two arrays have one name"
    # A stack of weights has as many as it has.
    columns: Mapping[str, int] = {
        array.name: array.columns for array in kernel.arrays if array.kind != "parameter"
    }
    stores = [slot for phase in kernel.phases for _, slot in phase.stores]
    totals = [slot for phase in kernel.phases for _, slot in phase.totals]
    for slot in (*kernel.leaves.values(), *stores, *totals):
        if slot.array not in names or not 0 <= slot.column < columns.get(slot.array, 1 << 30):
            yield f"there is no {slot}"
    if len({*stores, *totals}) < len(stores) + len(totals):
        yield "two values are written to one place"


_PROBLEMS: dict[str, Callable[[Compilation], Iterator[str]]] = {
    "simplify": lambda program: iter(()),
    "hoist": _recurrence_problems,
    "adjoint": _adjoint_problems,
    "residuals": _residual_problems,
    "columns": _column_problems,
    "phases": _phase_problems,
    "layout": _layout_problems,
    "kernels": _kernel_problems,
}
"""By the pass after which it holds; what held before must hold again."""
