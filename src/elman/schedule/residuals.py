"""What the forward pass keeps for the backward one: enough to avoid a product, and no more.

The values that the adjoint reads can all be had again from some set of kept ones by elementwise
work. The smallest such set is a minimum vertex cut between what cannot be had again (products,
means, streams, states) and what is read; of several, the one nearest to what is read is taken, so
that a sigmoid is kept rather than its argument.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import replace
from itertools import pairwise

from elman.ir.graph import PRODUCTS, Node, Op, depending, topological
from elman.schedule.compilation import Compilation

_VECTOR = 64
_SCALAR = 1
_ENDLESS = 1 << 40


def residuals(program: Compilation) -> Compilation:
    """Choose what the forward pass keeps."""
    assert program.recurrence is not None
    operands = dict.fromkeys(node.inputs[0] for node in program.loop_products)
    streams = frozenset(program.recurrence.streams)
    # The output lives as long as the input does, whether or not anyone keeps it for us.
    free = frozenset({*operands, program.graph.output, *(streams & set(program.graph.inputs))})
    kept = minimum_cut(read_by_adjoint(program), free=free, streams=streams)
    vectors = [node for node in kept if node.size != "1"]
    return replace(
        program,
        residuals=(*operands, *vectors),
        scalars=tuple(node for node in kept if node.size == "1"),
    )


def read_by_adjoint(program: Compilation) -> list[Node]:
    """Values of the step that stand in the gradients."""
    assert program.adjoint is not None
    assert program.recurrence is not None
    # Which of several minimal cuts is found, and so the order of the columns, hangs on this order.
    nodes = topological(reversed(program.adjoint.roots), frozenset(program.recurrence.streams))
    later = depending(nodes, {Op.GRADIENT})
    operands = dict.fromkeys(operand for node in nodes if node in later for operand in node.inputs)
    return [node for node in operands if node not in later and node.op is not Op.CONSTANT]


def minimum_cut(
    needed: Iterable[Node], *, free: frozenset[Node], streams: frozenset[Node]
) -> tuple[Node, ...]:
    """The nodes to keep so that every node of ``needed`` can be computed from them again.

    Args:
        needed: values of the step that the adjoint reads.
        free: kept in any case, or at hand without being kept.
        streams: known before the loop and gone after it; nothing behind them is looked at.
    """
    flow = _Flow()
    reached: dict[Node, None] = {}
    pending = list(needed)
    for node in pending:
        flow.edge((node, "out"), "sink", _ENDLESS)
    while pending:
        node = pending.pop()
        if node in reached:
            continue
        reached[node] = None
        if node in free or node.op in (Op.PARAMETER, Op.CONSTANT, Op.MASK):
            continue
        cost = _SCALAR if node.size == "1" else _VECTOR
        flow.edge((node, "in"), (node, "out"), cost)
        if node in streams or node.op in PRODUCTS or node.op in (Op.MEAN, Op.STATE):
            flow.edge("source", (node, "in"), _ENDLESS)
            continue
        for operand in node.inputs:
            flow.edge((operand, "out"), (node, "in"), _ENDLESS)
            pending.append(operand)
    flow.saturate()
    before = flow.reaching_sink()
    return tuple(
        node
        for node in reached
        if (node, "in") not in before and (node, "out") in before and flow.has((node, "in"))
    )


class _Flow:
    """A flow network of a few dozen nodes: augmenting paths, shortest first."""

    def __init__(self) -> None:
        self.left: dict[object, dict[object, int]] = {"source": {}, "sink": {}}

    def edge(self, start: object, end: object, capacity: int) -> None:
        self.left.setdefault(start, {})[end] = capacity
        self.left.setdefault(end, {}).setdefault(start, 0)

    def has(self, node: object) -> bool:
        return node in self.left

    def saturate(self) -> None:
        while path := self._path():
            pairs = list(pairwise(path))
            amount = min(self.left[start][end] for start, end in pairs)
            for start, end in pairs:
                self.left[start][end] -= amount
                self.left[end][start] += amount

    def _path(self) -> list[object]:
        came: dict[object, object] = {"source": None}
        queue: deque[object] = deque(["source"])
        while queue:
            node = queue.popleft()
            if node == "sink":
                break
            for end, capacity in self.left[node].items():
                if capacity > 0 and end not in came:
                    came[end] = node
                    queue.append(end)
        if "sink" not in came:
            return []
        path: list[object] = ["sink"]
        while path[-1] != "source":
            path.append(came[path[-1]])
        return path[::-1]

    def reaching_sink(self) -> set[object]:
        """The nodes from which more could still flow to the sink."""
        into: dict[object, list[object]] = {}
        for start, ends in self.left.items():
            for end, capacity in ends.items():
                if capacity > 0:
                    into.setdefault(end, []).append(start)
        reaching: set[object] = {"sink"}
        queue: deque[object] = deque(["sink"])
        while queue:
            for start in into.get(queue.popleft(), []):
                if start not in reaching:
                    reaching.add(start)
                    queue.append(start)
        return reaching
