"""A loop as data: the work of each phase of a step, and the kernel that reads and writes memory."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from elman.ir.graph import Node, Op

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
class Work:
    """What is computed in one phase, wherever it is read from and written to."""

    accumulators: tuple[Accumulator, ...]
    stored: tuple[Node, ...]
    """Written to memory or summed."""
    kept: tuple[Node, ...]
    """Later phases read them."""
    averaged: tuple[Node, ...]
    """The arguments of means; the next phase has the means."""
    states: tuple[State, ...]
    """Whose next value this phase has."""

    @property
    def roots(self) -> tuple[Node, ...]:
        """All that the phase has to compute."""
        nexts = (state.next for state in self.states)
        return tuple(dict.fromkeys([*self.stored, *self.kept, *self.averaged, *nexts]))


@dataclass(frozen=True)
class Phases:
    """The work of a loop, phase by phase."""

    leaves: frozenset[Node]
    """What is read and not computed, besides the states."""
    states: tuple[State, ...]
    works: tuple[Work, ...]
    level: Mapping[Node, int]
    """The phase in which each value is computed; values of leaves alone wherever they are read."""
    last_read: Mapping[Node, int]
    """For each leaf the last phase that reads it."""


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
        ready = {node for earlier in before for node in earlier.kept}
        ready.update(sum_.node for sum_ in phase.accumulators)
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
