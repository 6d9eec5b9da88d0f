"""In which phase of a step each value is computed.

A product needs its whole operand, and a mean the whole of what it averages, so each begins a new
phase after the one that completes it; everything elementwise is done in the phase in which its
last operand arrives, on the numbers of one row and one block of units.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from elman.autodiff.backward import OUTPUT, next_state
from elman.ir.graph import PRODUCTS, Node, Op, constant, gradient_node, topological
from elman.schedule.compilation import Compilation
from elman.schedule.kernel import Accumulator, Phases, State, Work


def phases(program: Compilation) -> Compilation:
    """Put forward and backward work into phases."""
    graph, streams = program.graph, {*program.products, *program.given}
    weights = {node for node in graph.nodes if node.op in (Op.PARAMETER, Op.MASK)}
    states = list(zip(graph.state_names, graph.states, graph.next_states, strict=True))
    kept = [graph.output, *program.residuals, *program.scalars]
    inference = divide([graph.output], states, weights | streams)
    forward = divide(kept, states, weights | streams)
    loops = {"inference": inference, "forward": forward, "backward": _backward(program, weights)}
    return replace(program, phases=loops)


def _backward(program: Compilation, weights: set[Node]) -> Phases:
    assert program.adjoint is not None
    graph, adjoint, zero = program.graph, program.adjoint, constant(0.0)
    read = weights | {node for node in program.given if node in graph.inputs}
    read |= {*program.residuals, *program.scalars, graph.output, gradient_node(OUTPUT)}
    stored = [adjoint.values.get(node, zero) for node in program.columns]
    stored += (adjoint.parameters[node] for node in program.totals)
    states = [
        (name, next_state(name), zero if node is None else node)
        for name, node in zip(graph.state_names, adjoint.states, strict=True)
    ]
    return divide(stored, states, read)


def divide(
    stored: Sequence[Node], states: Sequence[tuple[str, Node, Node]], leaves: Iterable[Node]
) -> Phases:
    """Put all that is wanted of a loop, and what that needs, into phases.

    Args:
        stored: what is written to memory for each token, or summed over all of them.
        states: name, previous value and next value of each.
        leaves: what is read and not computed.
    """
    leaves = frozenset(leaves)
    roots = [*stored, *(after for _, _, after in states)]
    draft = _draft(roots, leaves, frozenset(now for _, now, _ in states))
    # Once to see where costly values are computed first, and once to keep them from there on.
    first = _needs(draft, {}).first
    costs = _costs(draft)
    needs = _needs(draft, {node: at for node, at in first.items() if costs[node] > _CHEAP})
    carried = _states(draft, states, needs.reads)
    level = draft.level
    count = 1 + max([level[root] for root in roots] + [*needs.kept.values()] + [0])
    works = tuple(
        Work(
            accumulators=tuple(sum_ for sum_ in draft.accumulators if level[sum_.node] == at),
            stored=tuple(node for node in stored if level[node] == at),
            kept=tuple(node for node, when in needs.kept.items() if when == at),
            averaged=tuple(node for node, when in draft.averaged.items() if when == at),
            states=tuple(state for state in carried if level[state.next] == at),
        )
        for at in range(count)
    )
    last = {node: max(when) for node, when in needs.reads.items()}
    return Phases(leaves, carried, works, level, last)


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


def _needs(draft: _Draft, homes: Mapping[Node, int]) -> "_Needs":
    """All that is needed, followed to its ends."""
    needs = _Needs(draft, homes)
    for node in draft.nodes:
        if node.op in PRODUCTS and node.inputs[0] not in draft.carried:
            needs.keep(node.inputs[0], draft.level[node] - 1)
    for root in draft.roots:
        needs.add(root, draft.level[root])
    for node, at in draft.averaged.items():
        needs.add(node, at)
    needs.settle()
    return needs


class _Needs:
    """What each phase needs, and so what must be kept from phase to phase."""

    def __init__(self, draft: _Draft, homes: Mapping[Node, int]) -> None:
        self.draft = draft
        self.homes = homes
        """For values of leaves alone that are not worth computing twice: in which phase once."""
        self.sums = {sum_.node for sum_ in draft.accumulators}
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
            self.add(node, at)

    def add(self, node: Node, at: int) -> None:
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
