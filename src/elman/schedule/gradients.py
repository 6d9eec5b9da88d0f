"""The adjoint step as the loop takes it, and the columns of the gradients that it leaves behind."""

from dataclasses import replace

from elman.autodiff.backward import adjoint as adjoint_of
from elman.ir.graph import Node
from elman.schedule.columns import find_range
from elman.schedule.compilation import Compilation, WeightGradients
from elman.schedule.recurrence import products_first


def adjoint(program: Compilation) -> Compilation:
    """Derive the adjoint step, products of each sum first."""
    assert program.recurrence is not None
    streams = program.recurrence.streams
    derived = adjoint_of(program.graph, streams)
    bracketed = products_first(derived.roots, frozenset(streams))
    return replace(program, adjoint=derived.mapped(bracketed.__getitem__))


def columns(program: Compilation) -> Compilation:
    """Place the gradients so that one matrix product a stack of weights finds them in a row."""
    assert program.adjoint is not None
    gradient = program.adjoint.values
    groups: dict[Node, list[Node]] = {}
    for node in program.loop_products:
        if node in gradient:
            groups.setdefault(node.inputs[0], []).append(node)
    columns: tuple[Node, ...] = (*program.products, *program.given)
    ranges: list[WeightGradients] = []
    for group in groups.values():
        added, start, products = find_range(columns, group, gradient)
        if start == 0:
            columns = (*added, *columns)
            ranges = [
                replace(range_, first_column=range_.first_column + len(added)) for range_ in ranges
            ]
        else:
            columns = (*columns, *added)
        ranges.append(WeightGradients(products, start))
    # In the order of the stacks, so that a whole stack's gradient is one piece of memory.
    totals = sorted(program.adjoint.parameters, key=lambda node: program.place[str(node.attr)])
    return replace(program, columns=columns, weight_gradients=tuple(ranges), totals=tuple(totals))
