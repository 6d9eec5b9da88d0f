"""One layer in one direction: the products before the loop, the kernels, the products after it.

Kernels read memory, so they run on plain tensors only: inside the function of ``autograd``, or
inside the operators of ``torch_ops`` where torch.compile or torch.export trace.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from elman.backends.base import Weights
from elman.backends.llvm.call import tuning
from elman.backends.llvm.call.index_add import sum_by_index
from elman.backends.llvm.call.launch import Arguments, run
from elman.backends.llvm.call.matmul import by_amx, product
from elman.backends.llvm.call.memory import borrow
from elman.backends.llvm.call.signature import Block, Signature, Tensors
from elman.backends.llvm.native import host
from elman.backends.llvm.native.executable import Executable
from elman.errors import BackendError


class Call:
    """One layer in one direction over one batch."""

    def __init__(
        self,
        signature: Signature,
        size: int,
        batch_sizes: Tensor,
        rows: int,
        tokens: int,
        *,
        reverse: bool,
        indices: Tensor | None = None,
    ) -> None:
        self.signature = signature
        self.indices = indices
        """(N,): where it is given, the data are a table (V, I), and tokens are rows of it."""
        self.size = size
        self.batch_sizes = batch_sizes = batch_sizes.long().contiguous()
        self.reverse = reverse
        self.rows = rows
        self.tokens = tokens
        self.dense = batch_sizes.shape[0] * rows == tokens

    def threads(self) -> int:
        """No more than there are rows, or than are worth waking for the work."""
        work = self.tokens * self.size * self.size
        by_rows, by_work = (
            self.rows // tuning.current.rows_per_thread,
            work // tuning.current.work_per_thread,
        )
        return max(1, min(torch.get_num_threads(), by_rows, by_work))

    def executable(self, kind: str, dtype: torch.dtype, count: int) -> Executable:
        """The kernel for so many threads, on the matrix unit where that is faster."""
        knobs = tuning.current
        rows = max(knobs.amx_rows, knobs.amx_rows_per_thread * count)
        amx = self.rows >= rows and self.size >= knobs.amx_units and dtype is torch.float32
        amx = amx and host.detect().amx is not None
        return self.signature.executable(kind, self.size, dtype, amx=amx)

    def launch(
        self,
        kind: str,
        arrays: dict[str, Tensor | None],
        first: Sequence[Tensor],
        last: Sequence[Tensor],
        *,
        count: int,
        back: bool = False,
    ) -> None:
        """Run one of the kernels; on no rows there is nothing to do."""
        if not self.rows:
            return
        direction = -1 if self.reverse != back else 1
        sizes = self.batch_sizes, self.rows, self.tokens
        arguments = Arguments(*sizes, direction, first, last, arrays, count, self.indices)
        run(self.executable(kind, first[0].dtype, count), arguments)

    def arrays(self, parts: Tensors) -> dict[str, Tensor | None]:
        """What each kernel reads besides states, by the kernels' names, contiguous."""
        signature = self.signature
        given = (parts.data,) if signature.takes_input else parts.given
        arrays: dict[str, Tensor | None] = {
            name: parts.weights[at].contiguous() for name, at in signature.inside
        }
        streams = zip(signature.drawn + signature.streams, parts.masks + given, strict=True)
        return arrays | {name: stream.contiguous() for name, stream in streams}


def _present(tensor: Tensor | None) -> Tensor:
    assert tensor is not None
    return tensor


class Saved(NamedTuple):
    """What waits for the backward pass."""

    buffer: Tensor
    """The input's products, then the residuals, then the gradients, (N, columns * H)."""
    scalar: Tensor | None
    """What is saved of each token and no unit, (N, ...); None where nothing is."""
    previous: Tensor | None
    """The output of the step before for each token, (N, H)."""


class ForwardResult(NamedTuple):
    """What the forward pass gives."""

    output: Tensor
    finals: list[Tensor]
    saved: Saved | None


def forward(call: Call, parts: Tensors, *, keep: bool, share: bool = True) -> ForwardResult:
    """Run the loop from its first step to its last.

    Args:
        call: the layer and the batch.
        parts: its tensors.
        keep: whether a backward pass may follow.
        share: whether what is saved may be the memory of the output.
    """
    _check(call, parts)
    signature, size, tokens = call.signature, call.size, call.tokens
    program = signature.program
    first = [state.contiguous() for state in parts.states]
    like = first[0]
    finals = [torch.empty_like(state) for state in first]
    by_table = call.indices is not None
    columns = program.width if keep else 0 if by_table else len(program.products)
    buffer = borrow(tokens, columns * size, like.dtype)
    weights = dict(zip(signature.stacks, parts.weights, strict=True))
    matrices = signature.stacked(weights, size)
    arrays = call.arrays(parts)
    if by_table:
        arrays["table"] = product(parts.data, _present(matrices).t())
    elif matrices is not None:
        column = program.first_product * size if keep else 0
        product(parts.data, matrices.t(), out=buffer.narrow(1, column, matrices.shape[0]))
    shared = (
        keep and share and call.dense and bool(signature.previous) and tuning.current.shared_output
    )
    scalar, saved = None, None
    if keep and program.scalars:
        scalar = like.new_empty(tokens, len(program.scalars))
    if shared:
        output, before = _shifted(call, like, first[signature.before])
        saved = Saved(buffer, scalar, before)
    else:
        output = like.new_empty(tokens, size)
        if keep:
            previous = borrow(tokens, size, like.dtype) if signature.previous else None
            saved = Saved(buffer, scalar, previous)
    arrays |= {"output": output, "buffer": buffer}
    if saved is not None:
        arrays["scalar"] = saved.scalar
        arrays |= dict.fromkeys(signature.previous, None if shared else saved.previous)
    kind = ("forward" if keep else "inference") + ("_table" if by_table else "")
    call.launch(kind, arrays, first, finals, count=call.threads())
    return ForwardResult(output, finals, saved)


def _check(call: Call, parts: Tensors) -> None:
    """Kernels find numbers by their addresses: what is not as they expect must not reach them."""
    signature, size, dtype = call.signature, call.size, parts.states[0].dtype
    for tensor in parts.flat():
        if tensor.dtype is not dtype or not tensor.is_cpu:
            raise BackendError(
                f"the cell {signature.graph.name} was given {tensor.dtype} on {tensor.device} "
                f"beside states of {dtype}; its data, weights, masks and states must be of one "
                "type on the CPU"
            )
    for state in parts.states:
        if state.shape != (call.rows, size):
            raise BackendError(
                f"the cell {signature.graph.name} was given a state of shape {tuple(state.shape)}; "
                f"it must be {(call.rows, size)}"
            )
    for name, weight in zip(signature.stacks, parts.weights, strict=True):
        shape = weight.shape
        square = name in signature.square and shape[-1] != size
        if shape[0] != signature.sizes[name] * size or square:
            raise BackendError(
                f"the cell {signature.graph.name} was given {name} of shape {tuple(weight.shape)} "
                f"for {size} units"
            )
    if signature.takes_input and parts.data.shape[1] != size:
        raise BackendError(
            f"the cell {signature.graph.name} adds its input to {size} units, "
            f"and the input has {parts.data.shape[1]}"
        )


def _shifted(call: Call, like: Tensor, state: Tensor) -> tuple[Tensor, Tensor]:
    """Memory for the output, and the same shifted by one step.

    The first state stands before the outputs (behind them, in the other direction), so that the
    output of the step before is there without being written twice.
    """
    rows, tokens = call.rows, call.tokens
    whole = like.new_empty(rows + tokens, call.size)
    early, late = whole[:tokens], whole[rows:]
    if call.reverse:
        whole[tokens:].copy_(state)
        return early, late
    whole[:rows].copy_(state)
    return late, early


class Gradients(NamedTuple):
    """Of everything that has one, by the roles of `Tensors`; none of data or states unasked."""

    data: Tensor | None
    weights: list[Tensor]
    states: list[Tensor]
    given: list[Tensor]


def backward(
    call: Call,
    parts: Tensors,
    saved: Saved,
    output: Tensor,
    grad_output: Tensor | None,
    grad_finals: Sequence[Tensor | None],
    *,
    data: bool,
    states: bool,
) -> Gradients:
    """Run the loop back; the gradients take the place of the residuals in ``saved.buffer``.

    Args:
        call: as in the forward pass.
        parts: as in the forward pass.
        saved: what the forward pass saved, used up by this.
        output: what the forward pass gave.
        grad_output: the gradient of that, (N, H); None for zeros.
        grad_finals: of each last state, (B, H), or None.
        data: whether the gradient of the data is wanted.
        states: whether those of the first states are.
    """
    signature, size = call.signature, call.size
    program = signature.program
    count = call.threads()
    width = call.executable("backward", output.dtype, count).total_width
    total = output.new_zeros(count, len(program.totals), width)
    arrays = call.arrays(parts)
    arrays |= {
        "buffer": saved.buffer,
        "scalar": saved.scalar,
        "output": output,
        "grad_output": _filled([grad_output], output)[0],
        "total": total,
    }
    arrays |= dict.fromkeys(signature.previous, saved.previous)
    like = parts.states[0]
    first = _filled(grad_finals, like)
    grad_states = [torch.empty_like(like) for _ in first] if states else []
    # Where they are not wanted, all may go to the same place.
    lasts = grad_states or [torch.empty_like(like)] * len(first)
    call.launch("backward", arrays, first, lasts, count=count, back=True)
    given = [saved.buffer.narrow(1, at * size, size) for at in signature.given]
    weights = dict(zip(signature.stacks, parts.weights, strict=True))
    products = _product_gradient(call, saved, parts.data.shape[0])
    grad_data = None
    if data and products is not None:
        grad_data = product(products, _present(signature.stacked(weights, size)))
    if signature.takes_input:
        if data:
            grad_data = given[0].clone() if grad_data is None else grad_data.add_(given[0])
        given = []
    blocks = [
        *_weight_gradients(signature, parts.data, products, saved, size),
        *_sums(signature, total.sum(0) if count > 1 else total[0], size),
    ]
    return Gradients(grad_data, _by_stack(signature, weights, blocks, size), grad_states, given)


def _filled(grads: Sequence[Tensor | None], like: Tensor) -> list[Tensor]:
    """Contiguous, and the same zeros for each that is None."""
    zeros, filled = None, []
    for grad in grads:
        if grad is None:
            zeros = torch.zeros_like(like) if zeros is None else zeros
            filled.append(zeros)
        else:
            filled.append(grad.contiguous())
    return filled


def _product_gradient(call: Call, saved: Saved, count: int) -> Tensor | None:
    """Of the products before the loop: (N, G*H), or (V, G*H) where they are those of a table."""
    signature, size = call.signature, call.size
    if signature.input_products is None:
        return None
    column = signature.program.first_product * size
    block = saved.buffer.narrow(1, column, len(signature.input_products.places) * size)
    return block if call.indices is None else sum_by_index(block, call.indices, count)


def _weight_gradients(
    signature: Signature, data: Tensor, products: Tensor | None, saved: Saved, size: int
) -> Iterator[tuple[Block, Tensor]]:
    """One matrix product after the loop for all products of an operand before or in it."""
    if products is not None and signature.input_products is not None:
        yield signature.input_products, _weight_gradient(products, data)
    for outer, slot, block in signature.weight_gradients:
        if slot.array == "buffer":
            operand = saved.buffer.narrow(1, slot.column * size, size)
        else:
            operand = _present(saved.previous)
        at = outer.first_column
        columns = saved.buffer.narrow(1, at * size, len(outer.products) * size)
        yield block, _weight_gradient(columns, operand)


def _sums(signature: Signature, totals: Tensor, size: int) -> Iterator[tuple[Block, Tensor]]:
    """What the loop has summed up."""
    done = 0
    for block in signature.totals:
        end = done + len(block.places)
        yield block, totals[done:end, :size].flatten()
        done = end


def _by_stack(
    signature: Signature, weights: Weights, blocks: Iterable[tuple[Block, Tensor]], size: int
) -> list[Tensor]:
    """The gradient of each stack, put together from what blocks have of it."""
    gradients: dict[str, Tensor] = {}
    parts: dict[tuple[str, int], Tensor] = {}
    for block, gradient in blocks:
        if block.whole and block.stack not in gradients:
            gradients[block.stack] = gradient
            continue
        for place, part in zip(block.places, torch.split(gradient, size), strict=True):
            parts[place] = parts[place] + part if place in parts else part
    for name in dict.fromkeys(name for name, _ in parts):
        added = [parts.get((name, at)) for at in range(signature.sizes[name])]
        if name in gradients:
            added = [
                part if more is None else part + more
                for part, more in zip(torch.split(gradients[name], size), added, strict=True)
            ]
        zeros = weights[name].new_zeros(size, *weights[name].shape[1:])
        gradients[name] = torch.cat([zeros if part is None else part for part in added])
    return [
        gradients[name] if name in gradients else torch.zeros_like(weight)
        for name, weight in weights.items()
    ]


def _weight_gradient(columns: Tensor, operand: Tensor) -> Tensor:
    """The sum over tokens of the outer products, (G*H, K), from (N, G*H) and (N, K)."""
    tokens, width = operand.shape
    if by_amx(columns.t(), operand):
        return product(columns.t(), operand)
    if tokens >= tuning.current.transposed_tokens * width:
        return (operand.t() @ columns).t().contiguous()
    return columns.t() @ operand
