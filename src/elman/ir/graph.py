"""One step of a recurrent cell as data: nodes, parameters and the graph that holds them.

Nodes are frozen and hash-consed, so two equal expressions are one object and structural equality
of graphs is equality of tuples. Sizes are symbols: ``"I"`` (input), ``"H"`` (hidden units) and
``"1"`` (one number a row, which spreads over any size).
"""

import enum
import math
import weakref
from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from elman.errors import CellError
from elman.forks import Lock

Size = Literal["I", "H", "1"]
Kind = Literal["matrix", "bias", "vector"]
Per = Literal["step", "sequence"]


class Op(enum.Enum):
    """What a node does; the value is its word in the text form."""

    INPUT = "input"
    STATE = "state"
    PARAMETER = "parameter"
    CONSTANT = "constant"
    MASK = "mask"
    GRADIENT = "gradient"
    PRODUCT = "product"
    TRANSPOSED = "transposed"
    ADD = "add"
    SUB = "sub"
    MUL = "mul"
    DIV = "div"
    MAXIMUM = "maximum"
    MINIMUM = "minimum"
    NEG = "neg"
    SIGMOID = "sigmoid"
    TANH = "tanh"
    RELU = "relu"
    EXP = "exp"
    LOG = "log"
    SQRT = "sqrt"
    ABS = "abs"
    SOFTPLUS = "softplus"
    IDENTITY = "identity"
    POSITIVE = "positive"
    MEAN = "mean"


LEAVES = frozenset({Op.INPUT, Op.STATE, Op.PARAMETER, Op.CONSTANT, Op.MASK, Op.GRADIENT})
PRODUCTS = frozenset({Op.PRODUCT, Op.TRANSPOSED})
BINARY = frozenset({Op.ADD, Op.SUB, Op.MUL, Op.DIV, Op.MAXIMUM, Op.MINIMUM})
ELEMENTWISE = frozenset(Op) - LEAVES - PRODUCTS - {Op.MEAN}
ADJOINT = frozenset({Op.GRADIENT, Op.TRANSPOSED, Op.POSITIVE})
"""What derivatives are made of; no cell's own equations hold them."""


@dataclass(frozen=True, eq=False, slots=True, weakref_slot=True)
class Node:
    """One value of the step; make it with the functions below, never directly."""

    op: Op
    inputs: tuple["Node", ...]
    attr: str | float | None
    """The name of an input, state or parameter, the matrix of a product, a constant's value."""
    size: Size

    def __repr__(self) -> str:
        # Never the whole expression: shared subexpressions would print exponentially often.
        return f"<{self.op.value}{'' if self.attr is None else f' {self.attr}'}: {self.size}>"

    def __copy__(self) -> "Node":
        return self

    def __deepcopy__(self, memo: object) -> "Node":
        return self

    def __reduce__(self) -> tuple[Callable[..., "Node"], tuple[object, ...]]:
        return _interned, (self.op, self.inputs, self.attr, self.size)


_Key = tuple[Op, tuple[Node, ...], str | None, Size]
_interned_nodes: weakref.WeakValueDictionary[_Key, Node] = weakref.WeakValueDictionary()
_lock = Lock()


def _interned(op: Op, inputs: tuple[Node, ...], attr: str | float | None, size: Size) -> Node:
    # A float's hex form as the key, since 0.0 == -0.0 and yet they are two constants.
    key = (op, inputs, attr.hex() if isinstance(attr, float) else attr, size)
    with _lock:
        node = _interned_nodes.get(key)
        if node is None:
            node = _interned_nodes[key] = Node(op, inputs, attr, size)
        return node


def input_node(name: str) -> Node:
    """The input called ``name``, of size I."""
    return _interned(Op.INPUT, (), name, "I")


def state_node(name: str) -> Node:
    """The state called ``name`` as the step before left it, of size H."""
    return _interned(Op.STATE, (), name, "H")


def parameter_node(name: str) -> Node:
    """A bias or vector parameter, of size H."""
    return _interned(Op.PARAMETER, (), name, "H")


def mask_node(name: str) -> Node:
    """Random numbers that no gradient reaches, one for each hidden unit."""
    return _interned(Op.MASK, (), name, "H")


def gradient_node(name: str) -> Node:
    """What the loss's derivative by the value called ``name`` is, coming from later steps."""
    return _interned(Op.GRADIENT, (), name, "H")


def constant(value: float) -> Node:
    """A number, of size 1."""
    if math.isnan(value):
        raise CellError("a constant is not a number (nan); give it a value")
    return _interned(Op.CONSTANT, (), float(value), "1")


def product(matrix: str, operand: Node) -> Node:
    """The matrix parameter called ``matrix`` times ``operand``, of size H."""
    if operand.size == "1":
        raise CellError(
            f"the matrix {matrix} is given a single number a row; give it the input or a state"
        )
    return _interned(Op.PRODUCT, (operand,), matrix, "H")


def transposed(matrix: str, operand: Node) -> Node:
    """The transpose of a matrix with H columns times ``operand``, of size H."""
    return _interned(Op.TRANSPOSED, (operand,), matrix, "H")


def apply(op: Op, *inputs: Node) -> Node:
    """An elementwise op or the mean over units, with its size worked out."""
    if op is Op.MEAN and len(inputs) == 1:
        return _interned(op, inputs, None, "1")
    if op not in ELEMENTWISE or len(inputs) != (2 if op in BINARY else 1):
        raise CellError(f"{op.value} does not take {len(inputs)} values")
    return _interned(op, inputs, None, joined_size(inputs))


def joined_size(inputs: Iterable[Node]) -> Size:
    """The size of an elementwise result; I beside H gives H and asks for I = H."""
    return widest(node.size for node in inputs)


def widest(sizes: Iterable[Size]) -> Size:
    """The size of what values of these sizes make together."""
    distinct = set(sizes)
    if "H" in distinct:
        return "H"
    return "I" if "I" in distinct else "1"


@dataclass(frozen=True)
class Parameter:
    """What a cell learns: its name, its shape in symbols and how it begins."""

    name: str
    kind: Kind
    columns: Size
    """I or H for a matrix of H rows; 1 for a bias or vector of H numbers."""
    initial: float = 0.0
    """The first value of a bias or vector."""
    diagonal: float = 0.0
    """What is added to the diagonal of a matrix's random first values."""


@dataclass(frozen=True)
class Mask:
    """Random numbers of a graph, (H,) for each draw: ``scale`` with ``probability``, else 0."""

    name: str
    per: Per
    """``step``: drawn anew for each token; ``sequence``: once for each row and all its steps."""
    probability: float
    scale: float = 1.0

    @property
    def mean(self) -> float:
        """What it is in expectation."""
        value = self.probability * self.scale
        # p * (1 / p) may miss 1 by a rounding, and a factor of 1 falls out of the equations.
        return 1.0 if math.isclose(value, 1.0, rel_tol=1e-15) else value


@dataclass(frozen=True)
class Graph:
    """One step: from inputs and states to an output and the next states.

    Equal graphs compare equal, whatever made them. The order of ``parameters`` is the order in
    which the equations name them and decides how their weights are stacked.
    """

    name: str
    doc: str
    inputs: tuple[Node, ...]
    states: tuple[Node, ...]
    parameters: tuple[Parameter, ...]
    next_states: tuple[Node, ...]
    """In the order of ``states``."""
    output: Node
    named: tuple[tuple[str, Node], ...] = ()
    """Gates, candidates and next states, by the names the equations give them."""
    masks: tuple[Mask, ...] = ()
    """In the order in which they are drawn; they share the name space of inputs and states."""

    def __hash__(self) -> int:
        return self._hash

    @cached_property
    def _hash(self) -> int:
        # Worked out once: kernels and plans are looked up by graph on each call.
        return hash((self.name, self.parameters, self.masks, self.next_states, self.output))

    def __deepcopy__(self, memo: object) -> "Graph":
        return self

    @cached_property
    def nodes(self) -> tuple[Node, ...]:
        """Every node, operands first."""
        return topological([*(node for _, node in self.named), *self.next_states, self.output])

    def mapped(self, change: Callable[[Node], Node]) -> "Graph":
        """The same graph with each of its results replaced."""
        return replace(
            self,
            next_states=tuple(change(node) for node in self.next_states),
            output=change(self.output),
            named=tuple((name, change(node)) for name, node in self.named),
        )

    @cached_property
    def state_names(self) -> tuple[str, ...]:
        """The names of the states in order."""
        return tuple(str(node.attr) for node in self.states)

    @cached_property
    def needs_equal_sizes(self) -> bool:
        """Whether the equations add the input itself to hidden units, so that I must equal H."""
        mixed = (
            {"I", "H"} <= {operand.size for operand in node.inputs}
            for node in self.nodes
            if node.op in ELEMENTWISE
        )
        return any(mixed) or any(node.size == "I" for node in (*self.next_states, self.output))


def topological(roots: Iterable[Node], stops: Container[Node] = frozenset()) -> tuple[Node, ...]:
    """All nodes that ``roots`` need, each once and after its operands; nothing behind ``stops``.

    The order is the same in each process, since code and the cache's keys follow it.
    """
    ordered: dict[Node, None] = {}
    # An explicit stack: a long chain of ops would overflow Python's own.
    pending = [(root, False) for root in reversed(list(roots))]
    while pending:
        node, operands_done = pending.pop()
        if node in ordered:
            continue
        if operands_done or not node.inputs or node in stops:
            ordered[node] = None
            continue
        pending.append((node, True))
        pending.extend((operand, False) for operand in reversed(node.inputs))
    return tuple(ordered)


def depending(nodes: Iterable[Node], ops: Container[Op]) -> frozenset[Node]:
    """Of ``nodes``, operands first, those of these ops and those that depend on them."""
    reached: set[Node] = set()
    for node in nodes:
        if node.op in ops or any(operand in reached for operand in node.inputs):
            reached.add(node)
    return frozenset(reached)


def sum_terms(node: Node, most: int = 64) -> list[Node]:
    """What a sum adds up, from left to right, however it is bracketed.

    A sum of more than ``most`` terms counts as one term: sums of sums of the same value have
    exponentially many.
    """
    terms: list[Node] = []
    pending = [node]
    while pending:
        if len(pending) + len(terms) > most:
            return [node]
        term = pending.pop()
        if term.op is Op.ADD:
            pending.extend(reversed(term.inputs))
        else:
            terms.append(term)
    return terms
