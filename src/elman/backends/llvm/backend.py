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
from elman.compiler import Compilation, Stream, compile
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
        streams = _streams(program, weights, data, size)
        call = _Call(program, size, batch_sizes, reverse)
        inside = [weights[name] for name in call.stacks]
        drawn = [masks[mask.name] for mask in program.graph.masks]
        output, *finals = _Recurrence.apply(
            call, len(streams), len(inside), len(drawn), *streams, *inside, *drawn, *states
        )
        return output, tuple(finals)


def _streams(program: Compilation, weights: Weights, data: Tensor, size: int) -> list[Tensor]:
    """What is known for all tokens before the loop, by torch's own operations and gradients."""
    assert program.recurrence is not None
    values: dict[Node, Tensor] = {program.graph.inputs[0]: data}

    def joint(stream: Stream) -> Tensor:
        assert stream.operand is not None
        matrix = _stacked(program, weights, stream.nodes, size)
        return functional.linear(values[stream.operand], matrix)

    def part(node: Node) -> Tensor:
        stack, at = program.place[str(node.attr)]
        return weights[stack][at * size : (at + 1) * size]

    ready = {node for stream in program.streams if stream.operand for node in stream.nodes}
    needed = {operand for node in program.recurrence.outside for operand in node.inputs}
    needed |= {node for stream in program.streams if not stream.operand for node in stream.nodes}
    for node in program.graph.nodes:
        if node.op is Op.CONSTANT:
            values[node] = data.new_tensor(node.attr)
        elif node.op is Op.PARAMETER:
            values[node] = part(node)
        elif node in program.recurrence.outside and (node not in ready or node in needed):
            operands = [values[operand] for operand in node.inputs]
            values[node] = (
                functional.linear(operands[0], part(node))
                if node.op is Op.PRODUCT
                else FUNCTIONS[node.op](*operands)
            )
    return [
        joint(stream) if stream.operand else values[stream.nodes[0]].expand(len(data), size)
        for stream in program.streams
    ]


def _stacked(
    program: Compilation, weights: Weights, nodes: Sequence[Node], size: int
) -> Tensor:
    places = [program.place[str(node.attr)] for node in nodes]
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
        dtype: torch.dtype,
        first: Sequence[Tensor],
        last: Sequence[Tensor],
        arrays: Mapping[str, Tensor | None],
        weights: Mapping[str, Tensor],
        *,
        back: bool,
        count: int,
    ) -> None:
        run = executable(self.program.graph, kind, self.size, dtype)
        run(
            steps=self.steps,
            rows=self.rows,
            turn=-1 if self.reverse != back else 1,
            layout=self.batch.addresses,
            first=first,
            last=last,
            arrays=arrays,
            matrices=weights,
            count=count,
        )


class _Recurrence(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, call: _Call, s: int, w: int, m: int, *tensors: Tensor) -> Any:
        parts = [tensor.contiguous() for tensor in tensors]
        streams, parts = parts[:s], parts[s:]
        weights, parts = parts[:w], parts[w:]
        masks, states = parts[:m], parts[m:]
        keep = any(ctx.needs_input_grad)
        program, size = call.program, call.size
        like = states[0]
        output = like.new_empty(call.tokens, size)
        finals = [torch.empty_like(state) for state in states]
        arrays: dict[str, Tensor | None] = {
            "output": output,
            **{f"stream{index}": stream for index, stream in enumerate(streams)},
            **_parameters(call.stacks, weights),
            **_masks(program, masks),
        }
        if keep:
            residual = like.new_empty(call.tokens, len(program.residuals) * size)
            scalar = like.new_empty(call.tokens, len(program.scalars))
            arrays |= {"residual": residual, "scalar": scalar}
        call.launch(
            "forward" if keep else "inference",
            like.dtype,
            states,
            finals,
            arrays,
            dict(zip(call.stacks, weights, strict=True)),
            back=False,
            count=call.threads(),
        )
        if keep:
            kept = [
                stream
                for stream, made in zip(streams, program.streams, strict=True)
                if made.nodes[0] in program.graph.inputs
            ]
            ctx.call, ctx.counts = call, (s, w, m, len(kept))
            ctx.save_for_backward(residual, scalar, output, *weights, *masks, *kept)
        return output, *finals

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor, *grad_finals: Tensor) -> Any:
        call: _Call = ctx.call
        s, w, m, _ = ctx.counts
        program, size = call.program, call.size
        residual, scalar, output, *rest = ctx.saved_tensors
        weights, rest = rest[:w], rest[w:]
        masks, kept = rest[:m], iter(rest[m:])
        count = call.threads()
        gradient = output.new_empty(call.tokens, len(program.columns) * size)
        width = -(-size // 16) * 16
        run = executable(program.graph, "backward", size, output.dtype)
        total = output.new_zeros(count, len(program.totals), run.total_width)
        firsts = [grad.contiguous() for grad in grad_finals]
        lasts = [torch.empty_like(grad) for grad in firsts]
        arrays: dict[str, Tensor | None] = {
            "residual": residual,
            "scalar": scalar,
            "output": output,
            "grad_output": grad_output.contiguous(),
            "gradient": gradient,
            "total": total,
            **_parameters(call.stacks, weights),
            **_masks(program, masks),
        }
        for index, stream in enumerate(program.streams):
            if stream.nodes[0] in program.graph.inputs:
                arrays[f"stream{index}"] = next(kept)
        del width
        by_name = dict(zip(call.stacks, weights, strict=True))
        call.launch("backward", output.dtype, firsts, lasts, arrays, by_name, back=True, count=count)
        grad_streams = [
            gradient[:, at * size : (at + len(stream.nodes)) * size]
            for at, stream in zip(program.stream_columns, program.streams, strict=True)
        ]
        grads = _weight_gradients(program, by_name, residual, gradient, total.sum(0), size)
        return None, None, None, None, *grad_streams, *grads, *[None] * m, *lasts


def _parameters(stacks: Sequence[str], weights: Sequence[Tensor]) -> dict[str, Tensor]:
    return {f"weights.{name}": weight for name, weight in zip(stacks, weights, strict=True)}


def _masks(program: Compilation, masks: Sequence[Tensor]) -> dict[str, Tensor]:
    return {
        f"mask.{mask.name}": tensor
        for mask, tensor in zip(program.graph.masks, masks, strict=True)
    }


def _weight_gradients(
    program: Compilation,
    weights: Mapping[str, Tensor],
    residual: Tensor,
    gradient: Tensor,
    totals: Tensor,
    size: int,
) -> list[Tensor]:
    """One matrix product for all products of an operand; sums of the loop for the rest."""
    whole: dict[str, Tensor] = {}
    made: dict[str, Tensor] = {}

    def put(name: str, part: Tensor) -> None:
        made[name] = made[name] + part if name in made else part

    for outer in program.outers:
        operand = residual[:, outer.column * size : (outer.column + 1) * size]
        count = len(outer.products)
        columns = gradient[:, outer.gradients * size : (outer.gradients + count) * size]
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
