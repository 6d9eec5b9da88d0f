"""One step a call: weights packed and arguments laid out once, for streaming."""

import copy

import torch
from torch import Tensor, nn

from elman.backends.base import RUNS, Backend, Stepper, Weights
from elman.backends.llvm.call.launch import Arguments, Prepared, prepare
from elman.backends.llvm.call.matmul import product
from elman.backends.llvm.call.passes import Call
from elman.backends.llvm.call.signature import Tensors, outside, signature_of
from elman.ir.graph import Graph

_LARGE = 32 << 20
"""Bytes that the products of a table may take, to be made once rather than token by token."""


class LlvmStepper(Stepper):
    """A kernel for batches of T = 1, of which a call changes only the addresses.

    With a table its products with the input are multiplied once for all of the table, where they
    are all that the kernel needs of the input and do not take too much memory.
    """

    def __init__(
        self,
        backend: Backend,
        graph: Graph,
        weights: Weights,
        rows: int,
        table: Tensor | None = None,
    ) -> None:
        signature = self._signature = signature_of(graph)
        weights = {name: weights[name].detach() for name in signature.stacks}
        like = next(iter(weights.values()))
        self._empty = like.new_empty(0)
        self._size = len(like) // signature.sizes[signature.stacks[0]]
        matrices = signature.stacked(weights, self._size)
        # One row times this reads it in a straight line.
        self._matrices = None if matrices is None else matrices.t().contiguous()
        self._table = self._products = None
        if table is not None:
            self._products = self._table_products(table.detach())
            self._table = table.detach().clone() if self._products is None else None
        # Matrices are packed below; what the kernel reads as it is, or torch for it, is kept.
        keep = bool(signature.given) and not signature.takes_input
        self._weights = {name: weight.clone() for name, weight in weights.items()} if keep else {}
        call = self._call(rows)
        parts = Tensors(like, tuple(weights.values()), (), (), tuple(like for _ in signature.given))
        kind = "inference" if self._products is None else "inference_table"
        self._kernel = signature.executable(kind, self._size, like.dtype)
        self._given_arrays = call.arrays(parts)
        read = {array.name for array in self._kernel.kernel.arrays}
        self._arrays = {
            name: array.clone()
            for name, array in self._given_arrays.items()
            if array is not None and name in read
        }
        if self._products is not None:
            self._arrays["table"] = self._products
        at = {word: place for place, word in enumerate(self._kernel.words)}
        self._first = at[f"first.{graph.state_names[0]}"]
        self._output, self._indices = at["array.output"], at["indices"]
        self._given = [at[f"array.given{index}"] for index in range(len(signature.given))]
        self._states = range(1, len(graph.states) + 1)
        self._lay_out(call, None)
        # Packed, so no longer read.
        self._given_arrays = dict.fromkeys(self._given_arrays)

    def resized(self, rows: int) -> "LlvmStepper":
        """The same for so many rows, with the same packed weights in memory."""
        other = copy.copy(self)
        other._lay_out(self._call(rows), self._run)
        return other

    def _call(self, rows: int) -> Call:
        sizes = torch.tensor([rows], device="cpu")
        return Call(self._signature, self._size, sizes, rows, rows, reverse=False)

    def _table_products(self, table: Tensor) -> Tensor | None:
        """All of the table's, (V, G*H); None where they are not to be had, or too large."""
        matrices = self._matrices
        if matrices is None or self._signature.program.given:
            return None
        size = len(table) * matrices.shape[1] * table.element_size()
        if size > _LARGE:
            return None
        self._matrices = None
        return product(table, matrices)

    def _lay_out(self, call: Call, packed: Prepared | None) -> None:
        """The memory and the words of calls with so many rows."""
        columns = 0 if self._matrices is None else self._matrices.shape[1]
        self._buffer = self._empty.new_empty(call.rows, columns)
        self._block = call.rows * self._size * self._empty.element_size()
        own = {"buffer": self._buffer, "output": self._buffer}
        nothing = [self._buffer] * len(self._states)
        arrays = self._given_arrays | self._arrays | own
        sizes = call.batch_sizes, call.rows, call.rows
        arguments = Arguments(*sizes, 1, nothing, nothing, arrays, call.threads())
        self._run = prepare(self._kernel, arguments, packed)

    def __call__(self, data: Tensor, before: Tensor, after: Tensor) -> None:
        """Take one step; see `Stepper`."""
        RUNS["llvm"] += 1
        words, first = self._run.words, self._first
        if self._products is not None:
            data = data.contiguous()
            words[self._indices] = data.data_ptr()
        else:
            if self._table is not None:
                data = nn.functional.embedding(data, self._table)
            if self._matrices is not None:
                torch.mm(data, self._matrices, out=self._buffer)
        block, old, new = self._block, before.data_ptr(), after.data_ptr()
        words[self._output] = new
        for at in self._states:
            words[first] = old + at * block
            words[first + len(self._states)] = new + at * block
            first += 1
        given = self._streams(data) if self._given else ()
        for at, stream in zip(self._given, given, strict=True):
            words[at] = stream.data_ptr()
        self._run()

    def _streams(self, data: Tensor) -> tuple[Tensor, ...]:
        if self._signature.takes_input:
            return (data.contiguous(),)
        values = outside(self._signature.program, self._weights, data, self._size)
        shape = (data.shape[0], self._size)
        streams = (values[node].expand(shape) for node in self._signature.program.given)
        return tuple(stream.contiguous() for stream in streams)
