"""One kernel as data: what it reads and writes, and what each phase of a step does.

A step runs in phases. A product needs its whole operand, and a mean the whole of what it averages,
so each begins a new phase after the one that completes it; everything elementwise is done in the
phase in which its last operand arrives, on the numbers of one row and one block of units.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from elman.ir.graph import PRODUCTS, Node, Op

Kind = Literal["token", "indexed", "row", "parameter", "scalar", "total"]


@dataclass(frozen=True)
class Array:
    """Memory outside the kernel; a row of it holds ``columns`` vectors of H numbers."""

    name: str
    kind: Kind
    """One row a token, one an entry of the vocabulary (tokens name theirs by index), one a row of
    the batch, one in all, or single numbers a token; ``total`` is one in all that each thread has
    for itself."""
    columns: int
    optional: bool = False
    """Whether a call may leave it out, so that nothing is written there."""


@dataclass(frozen=True)
class Slot:
    """The place of a value: which column of which array."""

    array: str
    column: int


@dataclass(frozen=True)
class State:
    """A value carried from step to step."""

    name: str
    now: Node
    """As the step before left it."""
    next: Node
    double: bool
    """Whether the old value is still read after the new one is written, so that there are two."""


@dataclass(frozen=True)
class Accumulator:
    """A sum of products that is added up in registers."""

    node: Node
    products: tuple[Node, ...]


@dataclass(frozen=True)
class Phase:
    """Accumulate the products, then do the elementwise work of each row and block of units."""

    accumulators: tuple[Accumulator, ...]
    stores: tuple[tuple[Node, Slot], ...]
    totals: tuple[tuple[Node, Slot], ...]
    kept: tuple[Node, ...]
    """Written to scratch memory: later phases read them."""
    averaged: tuple[Node, ...]
    """The arguments of means; the next phase has the means."""
    states: tuple[State, ...]
    """Whose next value this phase writes."""

    @property
    def roots(self) -> tuple[Node, ...]:
        """All that the phase has to compute."""
        stored = (node for node, _ in (*self.stores, *self.totals))
        return tuple(
            dict.fromkeys(
                [*stored, *self.kept, *self.averaged, *(state.next for state in self.states)]
            )
        )


@dataclass(frozen=True)
class Kernel:
    """A loop over the steps of a ragged batch."""

    name: str
    arrays: tuple[Array, ...]
    leaves: Mapping[Node, Slot]
    states: tuple[State, ...]
    phases: tuple[Phase, ...]
    level: Mapping[Node, int] = field(repr=False)
    """The phase in which each value is computed; values of leaves alone wherever they are read."""
    last_read: Mapping[Node, int] = field(repr=False)
    """For each leaf the last phase that reads it."""

    @property
    def kept(self) -> tuple[Node, ...]:
        """All values in scratch memory."""
        return tuple(dict.fromkeys(node for phase in self.phases for node in phase.kept))

    @property
    def averaged(self) -> tuple[Node, ...]:
        """All arguments of means."""
        return tuple(dict.fromkeys(node for phase in self.phases for node in phase.averaged))

    @property
    def products(self) -> tuple[Node, ...]:
        """All products in the loop."""
        return tuple(
            product
            for phase in self.phases
            for accumulator in phase.accumulators
            for product in accumulator.products
        )

    def loaded(self, phase: Phase) -> Iterator[Node]:
        """The leaves that a phase loads."""
        before = self.phases[: self.phases.index(phase)]
        ready = {node for one in before for node in one.kept}
        ready.update(one.node for one in phase.accumulators)
        seen: set[Node] = set()
        pending = list(phase.roots)
        while pending:
            node = pending.pop()
            if node in seen:
                continue
            seen.add(node)
            if node in self.leaves:
                yield node
            elif node not in ready and node.op is not Op.MEAN:
                pending.extend(node.inputs)


def build(
    name: str,
    arrays: Sequence[Array],
    leaves: Mapping[Node, Slot],
    states: Sequence[tuple[str, Node, Node]],
    stores: Sequence[tuple[Node, Slot]],
    totals: Sequence[tuple[Node, Slot]] = (),
) -> Kernel:
    """Put everything that the roots need into phases.

    Args:
        name: what the kernel is called.
        arrays: the memory it reads and writes.
        leaves: where values that are not computed come from.
        states: name, previous value (a leaf) and next value of each.
        stores: what is written for each token.
        totals: what is summed over all tokens.
    """
    carried = {now for _, now, _ in states}
    roots = [*(node for node, _ in (*stores, *totals)), *(after for _, _, after in states)]
    reached = _in_order(roots, frozenset(leaves) | carried)
    level, cheap = _levels(reached, frozenset(leaves), carried)
    nodes = [node for node in reached if node not in leaves and node not in carried]
    accumulators = _accumulators(nodes, level, roots)
    averaged = {node.inputs[0]: level[node] - 1 for node in nodes if node.op is Op.MEAN}

    def planned(homes: Mapping[Node, int]) -> _Plan:
        ends = frozenset(leaves) | carried
        plan = _Plan(level, cheap, {one.node for one in accumulators}, ends, homes)
        for node in nodes:
            if node.op in PRODUCTS and node.inputs[0] not in carried:
                plan.keep(node.inputs[0], level[node] - 1)
        for root in roots:
            plan.need(root, level[root])
        for node, at in averaged.items():
            plan.need(node, at)
        plan.settle()
        return plan

    # Once to see where costly values are computed first, and once to keep them from there on.
    costs = _costs(reached, frozenset(leaves) | carried)
    first = planned({}).first
    plan = planned({node: at for node, at in first.items() if costs[node] > _CHEAP})
    reads = plan.reads
    operands = {node.inputs[0] for node in nodes if node.op in PRODUCTS}
    made = tuple(
        State(
            label,
            now,
            after,
            double=now in operands or any(at > level[after] for at in reads.get(now, ())),
        )
        for label, now, after in states
    )
    count = 1 + max(
        [level[node] for node in roots] + [one.level for one in plan.kept_at] + [0],
    )
    phases = tuple(
        Phase(
            accumulators=tuple(one for one in accumulators if level[one.node] == at),
            stores=tuple(one for one in stores if level[one[0]] == at),
            totals=tuple(one for one in totals if level[one[0]] == at),
            kept=tuple(one.node for one in plan.kept_at if one.level == at),
            averaged=tuple(node for node, when in averaged.items() if when == at),
            states=tuple(state for state in made if level[state.next] == at),
        )
        for at in range(count)
    )
    last = {node: max(when) for node, when in reads.items()}
    return Kernel(name, tuple(arrays), dict(leaves), made, phases, level, last)


def _in_order(roots: Iterable[Node], stops: frozenset[Node]) -> list[Node]:
    found: dict[Node, None] = {}
    pending = [(root, False) for root in reversed(list(roots))]
    while pending:
        node, ready = pending.pop()
        if node in found:
            continue
        if ready or not node.inputs or node in stops:
            found[node] = None
            continue
        pending.append((node, True))
        pending.extend((operand, False) for operand in reversed(node.inputs))
    return list(found)


def _levels(
    nodes: Iterable[Node], leaves: frozenset[Node], carried: set[Node]
) -> tuple[dict[Node, int], frozenset[Node]]:
    level: dict[Node, int] = {}
    cheap: set[Node] = set()
    for node in nodes:
        if node in leaves or node in carried or not node.inputs:
            level[node] = 0
            cheap.add(node)
        elif node.op in PRODUCTS:
            # A state is complete from the step before; anything else must be completed first.
            level[node] = 0 if node.inputs[0] in carried else level[node.inputs[0]] + 1
        elif node.op is Op.MEAN:
            level[node] = level[node.inputs[0]] + 1
        else:
            level[node] = max(level[operand] for operand in node.inputs)
            if all(operand in cheap for operand in node.inputs):
                cheap.add(node)
    return level, frozenset(cheap)


def _accumulators(
    nodes: Sequence[Node], level: Mapping[Node, int], roots: Iterable[Node]
) -> tuple[Accumulator, ...]:
    uses = Counter(operand for node in nodes for operand in node.inputs)
    uses.update(roots)
    made: dict[Node, Accumulator] = {}
    for node in nodes:
        if node.op in PRODUCTS:
            made[node] = Accumulator(node, (node,))
        elif node.op is Op.ADD and all(
            operand in made and uses[operand] == 1 and level[operand] == level[node]
            for operand in node.inputs
        ):
            left, right = (made.pop(operand) for operand in node.inputs)
            made[node] = Accumulator(node, (*left.products, *right.products))
    return tuple(made.values())


@dataclass(frozen=True)
class _Kept:
    node: Node
    level: int


_CHEAP = 6
"""Elementwise operations that cost no more than to keep a value and to load it again."""
_COSTLY = {
    **dict.fromkeys((Op.SIGMOID, Op.TANH, Op.EXP, Op.LOG, Op.SOFTPLUS), 15),
    **dict.fromkeys((Op.DIV, Op.SQRT), 5),
}


def _costs(nodes: Iterable[Node], ends: frozenset[Node]) -> dict[Node, int]:
    """About how many instructions a value takes from leaves on."""
    costs: dict[Node, int] = {}
    for node in nodes:
        own = 0 if node in ends or not node.inputs else _COSTLY.get(node.op, 1)
        below = 0 if node in ends else sum(costs[operand] for operand in node.inputs)
        costs[node] = min(own + below, 1_000)
    return costs


class _Plan:
    """Works out what must be kept from phase to phase."""

    def __init__(
        self,
        level: Mapping[Node, int],
        cheap: frozenset[Node],
        accumulators: set[Node],
        leaves: frozenset[Node],
        homes: Mapping[Node, int],
    ) -> None:
        self.level = level
        self.cheap = cheap
        self.homes = homes
        """For values of leaves alone that are not worth computing twice: in which phase once."""
        self.first: dict[Node, int] = {}
        """For each value the first phase that computes it."""
        self.accumulators = accumulators
        self.leaves = leaves
        self.kept_at: list[_Kept] = []
        self.reads: dict[Node, set[int]] = {}
        self._kept: dict[Node, int] = {}
        self._pending: list[tuple[Node, int]] = []

    def keep(self, node: Node, at: int) -> None:
        """Have the node written to scratch in this phase."""
        if node not in self._kept:
            self._kept[node] = at
            self.kept_at.append(_Kept(node, at))
            self.need(node, at)

    def need(self, node: Node, at: int) -> None:
        """Have the node computed in this phase."""
        self._pending.append((node, at))

    def settle(self) -> None:
        """Follow all needs to their ends."""
        seen: set[tuple[Node, int]] = set()
        while self._pending:
            node, at = self._pending.pop()
            if (node, at) in seen:
                continue
            seen.add((node, at))
            if node in self.leaves:
                self.reads.setdefault(node, set()).add(at)
            elif node.op is Op.MEAN or node in self.accumulators:
                if self.level[node] < at and node.op is not Op.MEAN:
                    self.keep(node, self.level[node])
            elif self.level[node] < at and node not in self.cheap:
                self.keep(node, self.level[node])
            elif self.homes.get(node, at) < at or self._kept.get(node, at) < at:
                self.keep(node, self.homes.get(node, at))
            else:
                self.first[node] = min(at, self.first.get(node, at))
                self._pending.extend((operand, at) for operand in node.inputs)
