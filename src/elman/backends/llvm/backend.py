"""The compiled backend: one fused kernel for all steps of a layer in one direction."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from elman.backends.base import Backend, Masks, States, Weights
from elman.backends.eager import FUNCTIONS
from elman.backends.llvm import engine
from elman.backends.llvm.executable import Executable
from elman.compiler import Compilation, compile
from elman.ir.graph import Graph, Node, Op
from elman.schedule.kernel import Kernel

_DTYPES = (torch.float32, torch.float64)


class Llvm(Backend):
    """Kernels that LLVM compiles for this machine's processor."""

    name = "llvm"

    def reason_against(
        self, graph: Graph, *, device: torch.device, dtype: torch.dtype
    ) -> str | None:
        """Another device or type of number, no llvmlite, or an unknown processor."""
        if device.type != "cpu":
            return f"its kernels run on the CPU, not on {device.type}"
        if dtype not in _DTYPES:
            return f"its kernels take float32 and float64, not {dtype}"
        try:
            engine.host()
        except engine.UnsupportedError as error:
            return str(error)
        return None

    def _run(
        self,
        graph: Graph,
        weights: Weights,
        data: Tensor,
        batch_sizes: Tensor,
        states: States,
        *,
        reverse: bool,
        masks: Masks,
    ) -> tuple[Tensor, States]:
        program = compile(graph)
        size = states[0].shape[-1]
        call = _Call(program, size, batch_sizes, reverse)
        ahead, given = _before_the_loop(program, weights, data, size)
        inside = [weights[name] for name in call.stacks]
        drawn = [masks[mask.name] for mask in program.graph.masks]
        counts = (len(given), len(inside), len(drawn))
        output, *finals = _Recurrence.apply(
            call, counts, data, ahead, *given, *inside, *drawn, *states
        )
        return output, tuple(finals)


def _before_the_loop(
    program: Compilation, weights: Weights, data: Tensor, size: int
) -> tuple[Tensor | None, list[Tensor]]:
    """The matrices whose products with the input the loop needs, and the other streams.

    Those come from torch's own operations, with their own gradients: a cell that squares its
    input before it multiplies it, say.
    """
    assert program.recurrence is not None

    def part(node: Node) -> Tensor:
        stack, at = program.place[str(node.attr)]
        return weights[stack][at * size : (at + 1) * size]

    ahead = _stacked(program, weights, size) if program.products else None
    if program.given == program.graph.inputs:
        return ahead, [data]
    values: dict[Node, Tensor] = {program.graph.inputs[0]: data}
    own = set(program.products)
    read = {operand for node in program.recurrence.outside for operand in node.inputs}
    for node in program.graph.nodes if program.given else ():
        if node.op is Op.CONSTANT:
            values[node] = data.new_tensor(node.attr)
        elif node.op is Op.PARAMETER:
            values[node] = part(node)
        elif node in program.recurrence.outside and (node not in own or node in read):
            operands = [values[operand] for operand in node.inputs]
            values[node] = (
                functional.linear(operands[0], part(node))
                if node.op is Op.PRODUCT
                else FUNCTIONS[node.op](*operands)
            )
    return ahead, [values[node].expand(len(data), size) for node in program.given]


def _stacked(program: Compilation, weights: Weights, size: int) -> Tensor:
    places = [program.place[str(node.attr)] for node in program.products]
    stack = weights[places[0][0]]
    if places == [(places[0][0], at) for at in range(len(stack) // size)]:
        return stack
    return torch.cat([weights[name][at * size : (at + 1) * size] for name, at in places])


@lru_cache(maxsize=1024)
def executable(graph: Graph, kind: str, size: int, dtype: torch.dtype) -> Executable:
    """The compiled kernel of a cell: kind is inference, forward or backward."""
    program = compile(graph)
    kernel: Kernel = getattr(program, kind)
    return Executable(kernel, program.place, size, dtype)


@dataclass(frozen=True)
class _Batch:
    """A ragged batch's layout, as kernels read it."""

    sizes: Any
    starts: Any
    lengths: Any

    @property
    def addresses(self) -> tuple[int, int, int]:
        return self.sizes.ctypes.data, self.starts.ctypes.data, self.lengths.ctypes.data


class _Call:
    """One layer in one direction over one batch."""

    def __init__(
        self, program: Compilation, size: int, batch_sizes: Tensor, reverse: bool
    ) -> None:
        self.program = program
        self.size = size
        self.reverse = reverse
        sizes = np.ascontiguousarray(batch_sizes.numpy(), dtype=np.int64)
        starts = np.cumsum(sizes) - sizes
        lengths = np.searchsorted(-sizes, -np.arange(int(sizes[0])), side="left")
        self.batch = _Batch(sizes, starts, lengths.astype(np.int64))
        self.steps, self.rows = len(sizes), int(sizes[0])
        self.tokens = int(starts[-1] + sizes[-1])
        self.dense = self.tokens == self.steps * self.rows
        inside = program.recurrence.inside if program.recurrence else ()
        names = [
            *(str(node.attr) for node in inside if node.op is Op.PRODUCT),
            *(str(node.attr) for node in program.graph.nodes if node.op is Op.PARAMETER),
        ]
        self.stacks = tuple(dict.fromkeys(program.place[name][0] for name in names))

    def threads(self) -> int:
        """No more than there are rows, or than are worth waking for the work."""
        work = self.tokens * self.size * self.size
        return max(1, min(torch.get_num_threads(), self.rows // 4, work // 100_000))

    def launch(
        self,
        kind: str,
        parts: "_Parts",
        last: Sequence[Tensor],
        dtype: torch.dtype,
        count: int,
        *,
        back: bool = False,
    ) -> None:
        """Run one of the kernels."""
        run = executable(self.program.graph, kind, self.size, dtype)
        run(
            steps=self.steps,
            rows=self.rows,
            turn=-1 if self.reverse != back else 1,
            layout=self.batch.addresses,
            first=parts.states,
            last=last,
            arrays=parts.arrays,
            matrices=parts.weights,
            count=count,
        )


class _Recurrence(torch.autograd.Function):
    """The loop with the products before and after it.

    One buffer holds the input's products, then the residuals, then the gradients. A second
    backward over the same graph finds the residuals gone and runs the forward pass again.
    """

    @staticmethod
    def forward(
        ctx: Any, call: _Call, counts: tuple[int, int, int], *tensors: Tensor | None
    ) -> Any:
        made = _forward(call, counts, tensors, keep=any(ctx.needs_input_grad))
        ctx.call, ctx.counts = call, counts
        ctx.kept = made.kept
        ctx.save_for_backward(made.output, *tensors)
        return made.output, *made.finals

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor, *grad_finals: Tensor) -> Any:
        output, *tensors = ctx.saved_tensors
        kept, ctx.kept = ctx.kept, None
        if kept is None:
            kept = _forward(ctx.call, ctx.counts, tensors, keep=True).kept
        grads = _backward(
            ctx.call, ctx.counts, tensors, kept, output, grad_output, grad_finals, ctx
        )
        return None, None, *grads


@dataclass(frozen=True)
class _Kept:
    """What waits for the backward pass."""

    buffer: Tensor
    scalar: Tensor
    previous: Tensor | None
    """The output of the step before for each token, (N, H)."""


@dataclass(frozen=True)
class _Made:
    output: Tensor
    finals: list[Tensor]
    kept: _Kept | None


class _Parts:
    """The tensors of a call by their roles."""

    def __init__(
        self, call: _Call, counts: tuple[int, int, int], tensors: Sequence[Tensor | None]
    ) -> None:
        given, inside, drawn = counts
        self.data, self.ahead, *rest = tensors
        whole = [tensor.contiguous() for tensor in rest if tensor is not None]
        self.given, whole = whole[:given], whole[given:]
        inside_weights, whole = whole[:inside], whole[inside:]
        self.weights = dict(zip(call.stacks, inside_weights, strict=True))
        self.masks, self.states = whole[:drawn], whole[drawn:]
        masks = zip(call.program.graph.masks, self.masks, strict=True)
        self.arrays: dict[str, Tensor | None] = {
            **{f"weights.{name}": weight for name, weight in self.weights.items()},
            **{f"mask.{mask.name}": tensor for mask, tensor in masks},
            **{f"given{at}": tensor for at, tensor in enumerate(self.given)},
        }


def _forward(
    call: _Call, counts: tuple[int, int, int], tensors: Sequence[Tensor | None], *, keep: bool
) -> _Made:
    program, size, tokens = call.program, call.size, call.tokens
    parts = _Parts(call, counts, tensors)
    like = parts.states[0]
    finals = [torch.empty_like(state) for state in parts.states]
    buffer = like.new_empty(tokens, (program.width if keep else len(program.products)) * size)
    if parts.ahead is not None and parts.data is not None:
        first = program.first_product * size if keep else 0
        torch.mm(parts.data, parts.ahead.t(), out=buffer[:, first : first + len(parts.ahead)])
    kept = None
    if keep and program.previous and call.dense:
        # The first states stand before the outputs (behind them, in the other direction), so
        # that the output of the step before is the same memory, shifted by one step.
        whole = like.new_empty(call.rows + tokens, size)
        before, output = whole[:tokens], whole[call.rows :]
        edge = whole[: call.rows]
        if call.reverse:
            before, output, edge = output, before, whole[tokens:]
        edge.copy_(parts.states[program.graph.states.index(program.previous[0])])
        kept = _Kept(buffer, like.new_empty(tokens, len(program.scalars)), before)
    else:
        output = like.new_empty(tokens, size)
        if keep:
            previous = like.new_empty(tokens, size) if program.previous else None
            kept = _Kept(buffer, like.new_empty(tokens, len(program.scalars)), previous)
    parts.arrays |= {"output": output, "buffer": buffer}
    if kept is not None:
        parts.arrays["scalar"] = kept.scalar
        for node in program.previous:
            parts.arrays[f"previous.{node.attr}"] = None if call.dense else kept.previous
    kind = "forward" if keep else "inference"
    call.launch(kind, parts, finals, like.dtype, call.threads())
    return _Made(output, finals, kept)


def _backward(
    call: _Call,
    counts: tuple[int, int, int],
    tensors: Sequence[Tensor | None],
    kept: _Kept,
    output: Tensor,
    grad_output: Tensor,
    grad_finals: Sequence[Tensor],
    ctx: Any,
) -> list[Tensor | None]:
    program, size = call.program, call.size
    parts = _Parts(call, counts, tensors)
    count = call.threads()
    run = executable(program.graph, "backward", size, output.dtype)
    total = output.new_zeros(count, len(program.totals), run.total_width)
    parts.arrays |= {
        "buffer": kept.buffer,
        "scalar": kept.scalar,
        "output": output,
        "grad_output": grad_output.contiguous(),
        "total": total,
    }
    for node in program.previous:
        parts.arrays[f"previous.{node.attr}"] = kept.previous
    parts.states = [grad.contiguous() for grad in grad_finals]
    lasts = [torch.empty_like(grad) for grad in parts.states]
    call.launch("backward", parts, lasts, output.dtype, count, back=True)
    gradient = kept.buffer
    grad_data = grad_ahead = None
    if parts.ahead is not None and parts.data is not None:
        first = program.first_product * size
        block = gradient[:, first : first + len(parts.ahead)]
        if ctx.needs_input_grad[2]:
            grad_data = block @ parts.ahead
        if ctx.needs_input_grad[3]:
            grad_ahead = block.t() @ parts.data
    columns = [program.columns.index(node) for node in program.given]
    grad_given = [gradient[:, at * size : (at + 1) * size] for at in columns]
    grads = _weight_gradients(program, parts.weights, kept, total.sum(0), size)
    return [grad_data, grad_ahead, *grad_given, *grads, *[None] * len(parts.masks), *lasts]


def _weight_gradients(
    program: Compilation,
    weights: Mapping[str, Tensor],
    kept: _Kept,
    totals: Tensor,
    size: int,
) -> list[Tensor]:
    """One matrix product for all products of an operand; sums of the loop for the rest."""
    whole: dict[str, Tensor] = {}
    made: dict[str, Tensor] = {}

    def put(name: str, part: Tensor) -> None:
        made[name] = made[name] + part if name in made else part

    for outer in program.outers:
        at, count = outer.operand.column, len(outer.products)
        operand = kept.buffer[:, at * size : (at + 1) * size]
        if outer.operand.array != "buffer":
            assert kept.previous is not None
            operand = kept.previous
        columns = kept.buffer[:, outer.gradients * size : (outer.gradients + count) * size]
        product = columns.t() @ operand
        names = [str(node.attr) for node in outer.products]
        stack = program.place[names[0]][0]
        if stack not in whole and [program.place[name] for name in names] == [
            (stack, at) for at in range(len(weights[stack]) // size)
        ]:
            whole[stack] = product
            continue
        for name, part in zip(names, product.split(size), strict=True):
            put(name, part)
    for node, total in zip(program.totals, totals, strict=True):
        put(str(node.attr), total[:size])
    grads = []
    for stack, weight in weights.items():
        parts = [(at, made[name]) for name, (one, at) in program.place.items()
                 if one == stack and name in made]
        if stack in whole and not parts:
            grads.append(whole[stack])
            continue
        grad = whole.get(stack, torch.zeros_like(weight))
        for at, part in parts:
            grad[at * size : (at + 1) * size] += part
        grads.append(grad)
    return grads
