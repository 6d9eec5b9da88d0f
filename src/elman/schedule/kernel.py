"""One kernel as data: what it reads and writes, and what each phase of a step does.

A step runs in phases. A product needs its whole operand, and a mean the whole of what it averages,
so each begins a new phase after the one that completes it; everything elementwise is done in the
phase in which its last operand arrives, on the numbers of one row and one block of units.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from elman.ir.graph import PRODUCTS, Node, Op, topological

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
    roots = [*(node for node, _ in (*stores, *totals)), *(after for _, _, after in states)]
    draft = _draft(roots, frozenset(leaves), frozenset(now for _, now, _ in states))
    # Once to see where costly values are computed first, and once to keep them from there on.
    first = _planned(draft, {}).first
    costs = _costs(draft)
    plan = _planned(draft, {node: at for node, at in first.items() if costs[node] > _CHEAP})
    made = _states(draft, states, plan.reads)
    level = draft.level
    count = 1 + max([level[root] for root in roots] + [*plan.kept.values()] + [0])
    phases = tuple(
        Phase(
            accumulators=tuple(one for one in draft.accumulators if level[one.node] == at),
            stores=tuple(one for one in stores if level[one[0]] == at),
            totals=tuple(one for one in totals if level[one[0]] == at),
            kept=tuple(node for node, when in plan.kept.items() if when == at),
            averaged=tuple(node for node, when in draft.averaged.items() if when == at),
            states=tuple(state for state in made if level[state.next] == at),
        )
        for at in range(count)
    )
    last = {node: max(when) for node, when in plan.reads.items()}
    return Kernel(name, tuple(arrays), dict(leaves), made, phases, level, last)


# ---------------------------------------------------------------------------------------------
# When a value can be computed first


@dataclass(frozen=True)
class _Draft:
    """The values of a loop, and the first phase that each can be computed in."""

    roots: Sequence[Node]
    reached: Sequence[Node]
    """All that the roots need, operands first, from the leaves on."""
    leaves: frozenset[Node]
    """Among them the states as the step before left them."""
    carried: frozenset[Node]
    """These states."""
    level: Mapping[Node, int]
    cheap: frozenset[Node]
    """Made of leaves alone: computed wherever they are read."""
    accumulators: tuple[Accumulator, ...]
    averaged: Mapping[Node, int]
    """The arguments of means, and the phase that sums each: the one before the mean is read."""

    @property
    def nodes(self) -> list[Node]:
        """What is computed."""
        return [node for node in self.reached if node not in self.leaves]


def _draft(roots: Sequence[Node], leaves: frozenset[Node], carried: frozenset[Node]) -> _Draft:
    ends = leaves | carried
    reached = topological(roots, ends)
    level, cheap = _levels(reached, ends, carried)
    nodes = [node for node in reached if node not in ends]
    return _Draft(
        roots=roots,
        reached=reached,
        leaves=ends,
        carried=carried,
        level=level,
        cheap=cheap,
        accumulators=_accumulators(nodes, level, roots),
        averaged={node.inputs[0]: level[node] - 1 for node in nodes if node.op is Op.MEAN},
    )


def _levels(
    nodes: Iterable[Node], leaves: frozenset[Node], carried: frozenset[Node]
) -> tuple[dict[Node, int], frozenset[Node]]:
    """For each of the nodes, operands first, its level, and which are made of leaves alone."""
    level: dict[Node, int] = {}
    cheap: set[Node] = set()
    for node in nodes:
        if node in leaves or not node.inputs:
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
    """Each product, or the whole of a sum of products that one phase can add up for it alone."""
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


# ---------------------------------------------------------------------------------------------
# What is kept from phase to phase


_CHEAP = 6
"""Elementwise operations that cost no more than to keep a value and to load it again."""
_COSTLY = {
    **dict.fromkeys((Op.SIGMOID, Op.TANH, Op.EXP, Op.LOG, Op.SOFTPLUS), 15),
    **dict.fromkeys((Op.DIV, Op.SQRT), 5),
}
"""About how many instructions an operation takes; the others take one."""
_MOST_COST = 1_000
"""A limit on costs: what is shared counts each time, which doubles them at every square."""


def _costs(draft: _Draft) -> Mapping[Node, int]:
    """About how many instructions a value takes from leaves on."""
    costs: dict[Node, int] = {}
    for node in draft.reached:
        if node in draft.leaves or not node.inputs:
            costs[node] = 0
        else:
            below = sum(costs[operand] for operand in node.inputs)
            costs[node] = min(_COSTLY.get(node.op, 1) + below, _MOST_COST)
    return costs


def _planned(draft: _Draft, homes: Mapping[Node, int]) -> "_Plan":
    """The plan that meets all needs."""
    plan = _Plan(draft, homes)
    for node in draft.nodes:
        if node.op in PRODUCTS and node.inputs[0] not in draft.carried:
            plan.keep(node.inputs[0], draft.level[node] - 1)
    for root in draft.roots:
        plan.need(root, draft.level[root])
    for node, at in draft.averaged.items():
        plan.need(node, at)
    plan.settle()
    return plan


class _Plan:
    """Works out what must be kept from phase to phase."""

    def __init__(self, draft: _Draft, homes: Mapping[Node, int]) -> None:
        self.draft = draft
        self.homes = homes
        """For values of leaves alone that are not worth computing twice: in which phase once."""
        self.sums = {one.node for one in draft.accumulators}
        self.first: dict[Node, int] = {}
        """For each value the first phase that computes it."""
        self.kept: dict[Node, int] = {}
        """For each value in scratch memory the phase that writes it."""
        self.reads: dict[Node, set[int]] = {}
        """For each leaf the phases that read it."""
        self._pending: list[tuple[Node, int]] = []

    def keep(self, node: Node, at: int) -> None:
        """Have the node written to scratch in this phase."""
        if node not in self.kept:
            self.kept[node] = at
            self.need(node, at)

    def need(self, node: Node, at: int) -> None:
        """Have the node computed in this phase."""
        self._pending.append((node, at))

    def settle(self) -> None:
        """Follow all needs to their ends."""
        seen: set[tuple[Node, int]] = set()
        while self._pending:
            need = self._pending.pop()
            if need not in seen:
                seen.add(need)
                self._meet(*need)

    def _meet(self, node: Node, at: int) -> None:
        level, home = self.draft.level[node], self.homes.get(node, at)
        if node in self.draft.leaves:
            self.reads.setdefault(node, set()).add(at)
        elif node.op is Op.MEAN:
            return  # it stands in scratch memory for all phases that follow
        elif node in self.sums:
            if level < at:
                self.keep(node, level)
        elif level < at and node not in self.draft.cheap:
            self.keep(node, level)
        elif home < at or self.kept.get(node, at) < at:
            self.keep(node, home)
        else:
            self.first[node] = min(at, self.first.get(node, at))
            self._pending.extend((operand, at) for operand in node.inputs)


def _states(
    draft: _Draft,
    states: Iterable[tuple[str, Node, Node]],
    reads: Mapping[Node, Iterable[int]],
) -> tuple[State, ...]:
    """The states; those are double that are operands of products, or read after they are written.

    A product reads all units of a state while blocks of its next value are written.
    """
    operands = {node.inputs[0] for node in draft.nodes if node.op in PRODUCTS}
    return tuple(
        State(
            name,
            now,
            after,
            double=now in operands or any(at > draft.level[after] for at in reads.get(now, ())),
        )
        for name, now, after in states
    )
