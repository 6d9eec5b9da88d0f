"""What follows from a cell before any call, and the tensors of a call by their roles."""

from collections.abc import Sequence
from functools import lru_cache
from itertools import groupby
from typing import Any, NamedTuple

import torch
from torch import Tensor

from elman.backends.base import Run, States, Weights
from elman.backends.eager import compute
from elman.backends.llvm.call import tuning
from elman.backends.llvm.emit.tuning import CodeTuning
from elman.backends.llvm.native import host
from elman.backends.llvm.native.executable import Executable
from elman.compiler import Compilation, compile
from elman.ir.graph import Graph, Node, Op
from elman.ir.stacks import stacks
from elman.schedule.kernel import Kernel

SCALARS = {torch.float32: "float", torch.float64: "double"}
"""What LLVM calls the types of number that kernels are for."""


class Block(NamedTuple):
    """Matrices, or biases and vectors, whose gradients are computed as one piece of memory."""

    places: tuple[tuple[str, int], ...]
    """For each its stack and its position there."""
    whole: bool
    """Whether these are all of a stack in their order."""

    @property
    def stack(self) -> str:
        """The first one's, and where it is whole that of all."""
        return self.places[0][0]


class Signature:
    """What every call of a cell needs to know, worked out once."""

    def __init__(self, graph: Graph) -> None:
        program = compile(graph)
        assert program.recurrence is not None
        self.graph = graph
        self.program: Compilation = program
        own = stacks(graph)
        self.stacks = tuple(stack.name for stack in own)
        """All weights, in the order in which calls take them."""
        self.masks = tuple(mask.name for mask in graph.masks)
        self.drawn = tuple(f"mask.{name}" for name in self.masks)
        """What kernels call the masks."""
        self.square = frozenset(stack.name for stack in own if stack.columns == "H")
        """The weights that multiply hidden units."""
        self.sizes = {stack.name: len(stack.parameters) for stack in own}
        inside = [str(node.attr) for node in program.recurrence.inside if node.op is Op.PRODUCT]
        inside += [str(node.attr) for node in program.graph.nodes if node.op is Op.PARAMETER]
        read = dict.fromkeys(program.place[name][0] for name in inside)
        self.inside = tuple((f"weights.{name}", self.stacks.index(name)) for name in read)
        """The weights that kernels read: what they call them, and which of all they are."""
        self.input_products = self._block(program.products) if program.products else None
        """The matrices whose products with the input the loop needs."""
        self.takes_input = program.given == program.graph.inputs
        self.streams = tuple(f"given{at}" for at in range(len(program.given)))
        """What kernels call the other streams."""
        self.previous = tuple(f"previous.{node.attr}" for node in program.previous)
        nodes = program.graph.states
        self.before = nodes.index(program.previous[0]) if program.previous else 0
        """Which state the output of the step before is."""
        self.weight_gradients = tuple(
            (outer, program.slots[outer.operand], self._block(outer.products))
            for outer in program.weight_gradients
        )
        """The products after the loop, where their operand is kept, and the matrices whose
        gradients they are."""
        stack_of = {node: program.place[str(node.attr)][0] for node in program.totals}
        groups = groupby(program.totals, key=stack_of.__getitem__)
        self.totals = tuple(self._block(tuple(group)) for _, group in groups)
        """The biases and vectors whose gradients the loop sums, in the order of these sums."""
        self.given = [program.columns.index(node) for node in program.given]
        """The buffer's columns with the gradients of the other streams."""

    def executable(
        self, kind: str, size: int, dtype: torch.dtype, *, amx: bool = False
    ) -> Executable:
        """The compiled kernel: inference, forward or backward; ``amx``: for the matrix unit."""
        return _executable(self, kind, size, dtype, amx, tuning.current.code)

    def stacked(self, weights: Weights, size: int) -> Tensor | None:
        """The matrices of the products before the loop, one below the other."""
        if self.input_products is None:
            return None
        if self.input_products.whole:
            return weights[self.input_products.stack]
        parts = [
            weights[stack][at * size : (at + 1) * size] for stack, at in self.input_products.places
        ]
        return torch.cat(parts)

    def _block(self, nodes: Sequence[Node]) -> Block:
        places = tuple(self.program.place[str(node.attr)] for node in nodes)
        name = places[0][0]
        whole = places == tuple((name, at) for at in range(self.sizes[name]))
        return Block(places, whole)


@lru_cache(maxsize=256)
def signature_of(graph: Graph) -> Signature:
    """The signature of a cell, worked out once."""
    return Signature(graph)


MOST_EXECUTABLES = 128
"""Kernels that stay loaded: those of a dozen layers, while a search over sizes goes on for ever. A
kernel that has gone comes back from the cache on disk."""


@lru_cache(maxsize=MOST_EXECUTABLES)
def _executable(
    signature: Signature, kind: str, size: int, dtype: torch.dtype, amx: bool, code: CodeTuning
) -> Executable:
    kernel: Kernel = getattr(signature.program, kind)
    places, scalar = signature.program.place, SCALARS[dtype]
    return Executable(host.detect().spec(kernel, places, size, scalar, amx=amx, tuning=code))


class Tensors(NamedTuple):
    """The tensors of a call by their roles."""

    data: Tensor
    weights: tuple[Tensor, ...]
    """In the order of `Signature.stacks`."""
    masks: tuple[Tensor, ...]
    states: States
    given: tuple[Tensor, ...]
    """What the loop reads for each token and torch computed: in few cells anything."""

    def flat(self) -> list[Tensor]:
        """All of them, in order."""
        return [self.data, *self.weights, *self.masks, *self.states, *self.given]


def tensors(signature: Signature, flat: Sequence[Any]) -> Tensors:
    """The inverse of `Tensors.flat`."""
    data, *rest = flat
    masks = len(signature.stacks)
    states = masks + len(signature.masks)
    given = states + len(signature.graph.states)
    parts = (rest[:masks], rest[masks:states], rest[states:given], rest[given:])
    weights, *others = (tuple(part) for part in parts)
    return Tensors(data, weights, *others)


def before_the_loop(signature: Signature, run: Run) -> Tensors:
    """The tensors of a call, differentiable, from what a backend is given, its masks checked.

    Streams other than products of the input come from torch's own operations, with their own
    gradients: a cell that squares its input before it multiplies it, say.
    """
    program, size = signature.program, run.states[0].shape[-1]
    weights, data, masks = run.weights, run.read, run.masks or {}
    given: tuple[Tensor, ...] = ()
    if signature.given and not signature.takes_input:
        values = outside(program, weights, data, size)
        # Under autocast torch's own products are of another type than the loop.
        whole = (values[node].to(data.dtype) for node in program.given)
        given = tuple(stream.expand(data.shape[0], size) for stream in whole)
    stacks = tuple(weights[name] for name in signature.stacks)
    drawn = tuple(masks[name] for name in signature.masks)
    return Tensors(data, stacks, drawn, run.states, given)


def outside(program: Compilation, weights: Weights, data: Tensor, size: int) -> dict[Node, Tensor]:
    """What torch computes before the loop, besides products that the loop alone reads."""
    assert program.recurrence is not None
    own = set(program.products)
    read = {operand for node in program.recurrence.outside for operand in node.inputs}
    nodes = [node for node in program.recurrence.outside if node not in own or node in read]
    return compute(nodes, {program.graph.inputs[0]: data}, weights, program.place, size)
