"""One step a call: weights packed and arguments laid out once, for streaming."""

import torch
from torch import Tensor

from elman.backends.base import RUNS, Backend, Stepper, Weights
from elman.backends.llvm.call.launch import Arguments, prepare
from elman.backends.llvm.call.passes import Call
from elman.backends.llvm.call.signature import Tensors, outside, signature_of
from elman.ir.graph import Graph


class LlvmStepper(Stepper):
    """A kernel for batches of T = 1, of which a call changes only the addresses."""

    def __init__(self, backend: Backend, graph: Graph, weights: Weights, rows: int) -> None:
        signature = self._signature = signature_of(graph)
        weights = {name: weights[name].detach() for name in signature.stacks}
        like = next(iter(weights.values()))
        size = self._size = len(like) // signature.sizes[signature.stacks[0]]
        matrices = signature.stacked(weights, size)
        # One row times this reads it in a straight line.
        self._matrices = None if matrices is None else matrices.t().contiguous()
        columns = 0 if matrices is None else len(matrices)
        self._buffer = like.new_empty(rows, columns)
        # Matrices are packed below; what the kernel reads as it is, or torch for it, is kept.
        keep = bool(signature.given) and not signature.takes_input
        self._weights = {name: weight.clone() for name, weight in weights.items()} if keep else {}
        self._call = Call(
            signature, size, torch.tensor([rows], device="cpu"), rows, rows, reverse=False
        )
        parts = Tensors(like, tuple(weights.values()), (), (), tuple(like for _ in signature.given))
        kernel = signature.executable("inference", size, like.dtype)
        given = self._call.arrays(parts)
        read = {array.name for array in kernel.kernel.arrays}
        self._arrays = {
            name: array.clone()
            for name, array in given.items()
            if array is not None and name in read
        }
        own = {"buffer": self._buffer, "output": self._buffer}
        nothing = [self._buffer] * len(graph.states)
        sizes = self._call.batch_sizes, rows, rows
        arrays, count = given | self._arrays | own, self._call.threads()
        self._run = prepare(kernel, Arguments(*sizes, 1, nothing, nothing, arrays, count))
        at = {word: place for place, word in enumerate(kernel.words)}
        self._first = at[f"first.{graph.state_names[0]}"]
        self._output = at["array.output"]
        self._given = [at[f"array.given{index}"] for index in range(len(signature.given))]
        self._block = rows * size * like.element_size()
        self._states = range(1, len(graph.states) + 1)

    def __call__(self, data: Tensor, before: Tensor, after: Tensor) -> None:
        """Take one step; see `Stepper`."""
        RUNS["llvm"] += 1
        if self._matrices is not None:
            torch.mm(data, self._matrices, out=self._buffer)
        block, old, new = self._block, before.data_ptr(), after.data_ptr()
        words, first = self._run.words, self._first
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
