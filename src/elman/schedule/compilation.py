"""What the passes fill in, one after the other."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from elman.autodiff.backward import Adjoint
from elman.ir.graph import Graph, Node, Op
from elman.schedule.kernel import Kernel, Phases, Slot


@dataclass(frozen=True)
class Recurrence:
    """A step split in two: what is known for all tokens at once, and the loop."""

    graph: Graph
    outside: tuple[Node, ...]
    """Computed before the loop, for all tokens together, operands first."""
    streams: tuple[Node, ...]
    """Those of them, or the input itself, that the loop reads token by token."""
    inside: tuple[Node, ...]
    """Computed in the loop, operands first."""


@dataclass(frozen=True)
class WeightGradients:
    """Products of one operand, whose weights' gradients are one matrix product after the loop."""

    products: tuple[Node, ...]
    first_column: int
    """The first of the buffer's columns with the products' gradients, in the products' order."""

    @property
    def operand(self) -> Node:
        """What each of the products multiplies."""
        return self.products[0].inputs[0]


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
    weight_gradients: tuple[WeightGradients, ...] = ()
    totals: tuple[Node, ...] = ()
    """Biases and vectors whose gradients are summed in the loop."""
    phases: Mapping[str, Phases] = field(default_factory=dict)
    """The work of the loops ``inference``, ``forward``, which keeps residuals, and ``backward``."""
    slots: Mapping[Node, Slot] = field(default_factory=dict)
    """Where each residual is kept."""
    width: int = 0
    """The buffer's columns: streams before the forward pass, residuals after it, gradients in the
    end, one in the place of the other wherever the phases allow it."""
    inference: Kernel | None = None
    forward: Kernel | None = None
    backward: Kernel | None = None
    inference_table: Kernel | None = None
    """For tokens of a vocabulary, whose products with the input are rows of a table."""
    forward_table: Kernel | None = None
    """The same for training."""

    @cached_property
    def previous(self) -> tuple[Node, ...]:
        """The states that are the output of the step before: kept in the output itself if the
        batch is dense, for there a step's rows are those of the step before."""
        operands = {node.inputs[0] for node in self.loop_products}
        return tuple(
            state
            for state, after in zip(self.graph.states, self.graph.next_states, strict=True)
            if after is self.graph.output and state in operands
        )[:1]

    @cached_property
    def loop_products(self) -> tuple[Node, ...]:
        """The products in the loop."""
        inside = self.recurrence.inside if self.recurrence else ()
        return tuple(node for node in inside if node.op is Op.PRODUCT)

    @cached_property
    def first_product(self) -> int:
        """The buffer's column where the products of the input begin."""
        return self.columns.index(self.products[0]) if self.products else 0
