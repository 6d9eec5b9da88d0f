"""Which columns of a buffer hold what: few in all, and those of a matrix product in a row.

The buffer has a row for each token. What is read no more gives its column to what comes later.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from elman.ir.graph import Node


class Range(NamedTuple):
    """Columns side by side for the gradients of some products."""

    added: tuple[Node, ...]
    """The products that need a new column; these are all in front of the others or all behind."""
    start: int
    """The first column, when the new ones are there."""
    products: tuple[Node, ...]
    """In the order of the columns."""


def find_range(
    columns: Sequence[Node], products: Sequence[Node], gradient: Mapping[Node, Node]
) -> Range:
    """Place the gradients of ``products`` in a row, sharing columns that hold the same gradients.

    GRU: the streams r, z, n and the products r, z, hn share two gradients of four; with hn put in
    front of r, both are a range.

    Args:
        columns: the values whose gradients have a column so far.
        products: those that need a range.
        gradient: of each of the products, and of those columns that have one.
    """
    values = [gradient.get(node) for node in columns]
    wanted = {gradient[product]: product for product in products}
    missing = tuple(product for product in products if gradient[product] not in values)
    shared = {gradient[product] for product in products if product not in missing}
    apart = Range(tuple(products), len(columns), tuple(products))
    if len(wanted) < len(products):
        return apart
    for start in range(len(values) - len(shared) + 1):
        end = start + len(shared)
        if set(values[start:end]) != shared:
            continue
        inside = tuple(wanted[value] for value in values[start:end] if value is not None)
        if not missing:
            return Range((), start, inside)
        if start == 0:
            return Range(missing, 0, (*missing, *inside))
        if end == len(values):
            return Range(missing, start, (*inside, *missing))
    return apart


def match(
    nodes: Sequence[Node], count: int, fits: Callable[[Node, int], bool]
) -> Mapping[int, Node]:
    """Give as many nodes as possible a column of their own that they fit.

    A node may turn another out if that one finds a place elsewhere: a maximum matching by
    augmenting paths, in which the first nodes and columns have the first choice.

    Args:
        nodes: those that look for a column.
        count: how many columns there are.
        fits: whether a node may have a column.
    """
    taken: dict[int, Node] = {}

    def give(node: Node, tried: set[int]) -> bool:
        for at in range(count):
            if at in tried or not fits(node, at):
                continue
            tried.add(at)
            if at not in taken or give(taken[at], tried):
                taken[at] = node
                return True
        return False

    for node in nodes:
        give(node, set())
    return taken
