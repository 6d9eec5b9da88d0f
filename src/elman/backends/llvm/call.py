"""One layer in one direction: the products before the loop, the kernels, the products after it.

Kernels read memory, so they run on plain tensors only: inside the function of ``function`` for
autograd, or inside the operators of ``library`` where torch.compile or torch.export look on.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from elman.backends.base import Weights
from elman.backends.llvm import engine
from elman.backends.llvm.executable import Arguments, Executable
from elman.backends.llvm.memory import borrow
from elman.backends.llvm.plan import Block, Plan, Tensors
from elman.backends.llvm.products import by_tiles, product, two_products
from elman.backends.llvm.scatter import sum_by_index
from elman.errors import BackendError

_TILE_UNITS = 64
_TILE_ROWS = 32
_TILE_SHARE = 12
"""Units, rows, and rows of each thread that fill matrix tiles well enough. (Measured: from 16 rows
a thread on they are faster than vectors; with 20 in all they are not, since their weights take half
as much memory again.) Few threads decide alike, so that results do not depend on their number."""


class Call:
    """One layer in one direction over one batch."""

    def __init__(
        self,
        plan: Plan,
        size: int,
        batch_sizes: Tensor,
        rows: int,
        tokens: int,
        *,
        reverse: bool,
        indices: Tensor | None = None,
    ) -> None:
        self.plan = plan
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
        return max(1, min(torch.get_num_threads(), self.rows // 4, work // 100_000))

    def executable(self, kind: str, dtype: torch.dtype, count: int) -> Executable:
        """The kernel for so many threads, on matrix tiles where those are faster."""
        rows = max(_TILE_ROWS, _TILE_SHARE * count)
        tiles = self.rows >= rows and self.size >= _TILE_UNITS and dtype is torch.float32
        tiles = tiles and engine.host().tiles is not None
        return self.plan.executable(kind, self.size, dtype, tiles=tiles)

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
        turn = -1 if self.reverse != back else 1
        sizes = self.batch_sizes, self.rows, self.tokens
        arguments = Arguments(*sizes, turn, first, last, arrays, count, self.indices)
        self.executable(kind, first[0].dtype, count).run(arguments)

    def arrays(self, parts: Tensors) -> dict[str, Tensor | None]:
        """What each kernel reads besides states, by the kernels' names, contiguous."""
        plan = self.plan
        given = (parts.data,) if plan.takes_input else parts.given
        found: dict[str, Tensor | None] = {
            name: parts.weights[at].contiguous() for name, at in plan.inside
        }
        for name, one in zip(plan.drawn + plan.streams, parts.masks + given, strict=True):
            found[name] = one.contiguous()
        return found


def _there(tensor: Tensor | None) -> Tensor:
    assert tensor is not None
    return tensor


class Kept(NamedTuple):
    """What waits for the backward pass."""

    buffer: Tensor
    """The input's products, then the residuals, then the gradients, (N, columns * H)."""
    scalar: Tensor | None
    """What is kept of each token and no unit, (N, ...); None where nothing is."""
    previous: Tensor | None
    """The output of the step before for each token, (N, H)."""


class Made(NamedTuple):
    """What the forward pass gives."""

    output: Tensor
    finals: list[Tensor]
    kept: Kept | None


def forward(call: Call, parts: Tensors, *, keep: bool, share: bool = True) -> Made:
    """Run the loop from its first step to its last.

    Args:
        call: the layer and the batch.
        parts: its tensors.
        keep: whether a backward pass may follow.
        share: whether what is kept may be the memory of the output.
    """
    _check(call, parts)
    plan, size, tokens = call.plan, call.size, call.tokens
    program = plan.program
    first = [state.contiguous() for state in parts.states]
    like = first[0]
    finals = [torch.empty_like(state) for state in first]
    by_table = call.indices is not None
    columns = program.width if keep else 0 if by_table else len(program.products)
    buffer = borrow(tokens, columns * size, like.dtype)
    weights = dict(zip(plan.stacks, parts.weights, strict=True))
    ahead = plan.stacked(weights, size)
    arrays = call.arrays(parts)
    if by_table:
        arrays["table"] = product(parts.data, _there(ahead).t())
    elif ahead is not None:
        column = program.first_product * size if keep else 0
        product(parts.data, ahead.t(), out=buffer.narrow(1, column, ahead.shape[0]))
    shared = keep and share and call.dense and bool(plan.previous)
    scalar, kept = None, None
    if keep and program.scalars:
        scalar = like.new_empty(tokens, len(program.scalars))
    if shared:
        output, before = _shifted(call, like, first[plan.before])
        kept = Kept(buffer, scalar, before)
    else:
        output = like.new_empty(tokens, size)
        if keep:
            previous = borrow(tokens, size, like.dtype) if plan.previous else None
            kept = Kept(buffer, scalar, previous)
    arrays |= {"output": output, "buffer": buffer}
    if kept is not None:
        arrays["scalar"] = kept.scalar
        arrays |= dict.fromkeys(plan.previous, None if shared else kept.previous)
    kind = ("forward" if keep else "inference") + ("_table" if by_table else "")
    call.launch(kind, arrays, first, finals, count=call.threads())
    return Made(output, finals, kept)


def _check(call: Call, parts: Tensors) -> None:
    """Kernels find numbers by their addresses: what is not as they expect must not reach them."""
    plan, size, dtype = call.plan, call.size, parts.states[0].dtype
    for one in parts.flat():
        if one.dtype is not dtype or not one.is_cpu:
            raise BackendError(
                f"the cell {plan.graph.name} was given {one.dtype} on {one.device} beside states "
                f"of {dtype}; its data, weights, masks and states must be of one type on the CPU"
            )
    for state in parts.states:
        if state.shape != (call.rows, size):
            raise BackendError(
                f"the cell {plan.graph.name} was given a state of shape {tuple(state.shape)}; "
                f"it must be {(call.rows, size)}"
            )
    for name, weight in zip(plan.stacks, parts.weights, strict=True):
        shape = weight.shape
        square = name in plan.square and shape[-1] != size
        if shape[0] != plan.sizes[name] * size or square:
            raise BackendError(
                f"the cell {plan.graph.name} was given {name} of shape {tuple(weight.shape)} "
                f"for {size} units"
            )
    if plan.takes_input and parts.data.shape[1] != size:
        raise BackendError(
            f"the cell {plan.graph.name} adds its input to {size} units, "
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
    kept: Kept,
    output: Tensor,
    grad_output: Tensor | None,
    grad_finals: Sequence[Tensor | None],
    *,
    data: bool,
    states: bool,
) -> Gradients:
    """Run the loop back; the gradients take the place of the residuals in ``kept.buffer``.

    Args:
        call: as in the forward pass.
        parts: as in the forward pass.
        kept: what the forward pass kept, used up by this.
        output: what the forward pass gave.
        grad_output: the gradient of that, (N, H); None for zeros.
        grad_finals: of each last state, (B, H), or None.
        data: whether the gradient of the data is wanted.
        states: whether those of the first states are.
    """
    plan, size = call.plan, call.size
    program = plan.program
    count = call.threads()
    run = call.executable("backward", output.dtype, count)
    total = output.new_zeros(count, len(program.totals), run.total_width)
    arrays = call.arrays(parts)
    arrays |= {
        "buffer": kept.buffer,
        "scalar": kept.scalar,
        "output": output,
        "grad_output": _filled([grad_output], output)[0],
        "total": total,
    }
    arrays |= dict.fromkeys(plan.previous, kept.previous)
    like = parts.states[0]
    first = _filled(grad_finals, like)
    grad_states = [torch.empty_like(like) for _ in first] if states else []
    # Where they are not wanted, all may go to the same place.
    lasts = grad_states or [torch.empty_like(like)] * len(first)
    call.launch("backward", arrays, first, lasts, count=count, back=True)
    given = [kept.buffer.narrow(1, at * size, size) for at in plan.given]
    weights = dict(zip(plan.stacks, parts.weights, strict=True))
    products = _product_gradient(call, kept, parts.data.shape[0])
    grad_data = None
    if data and products is not None:
        grad_data = product(products, _there(plan.stacked(weights, size)))
    if plan.takes_input:
        if data:
            grad_data = given[0].clone() if grad_data is None else grad_data.add_(given[0])
        given = []
    found = _outer_products(plan, parts.data, products, kept, size)
    blocks = [*found, *_sums(plan, total.sum(0) if count > 1 else total[0], size)]
    return Gradients(grad_data, _by_stack(plan, weights, blocks, size), grad_states, given)


def _filled(grads: Sequence[Tensor | None], like: Tensor) -> list[Tensor]:
    """Contiguous, and the same zeros for each that is None."""
    zeros, found = None, []
    for grad in grads:
        if grad is None:
            zeros = torch.zeros_like(like) if zeros is None else zeros
            found.append(zeros)
        else:
            found.append(grad.contiguous())
    return found


def _product_gradient(call: Call, kept: Kept, count: int) -> Tensor | None:
    """Of the products before the loop: (N, G*H), or (V, G*H) where they are those of a table."""
    plan, size = call.plan, call.size
    if plan.ahead is None:
        return None
    column = plan.program.first_product * size
    block = kept.buffer.narrow(1, column, len(plan.ahead.places) * size)
    return block if call.indices is None else sum_by_index(block, call.indices, count)


def _outer_products(
    plan: Plan, data: Tensor, products: Tensor | None, kept: Kept, size: int
) -> Iterator[tuple[Block, Tensor]]:
    """One matrix product after the loop for all products of an operand before or in it."""
    pairs: list[tuple[Block, Tensor, Tensor]] = []
    if products is not None and plan.ahead is not None:
        pairs.append((plan.ahead, products, data))
    for outer, block in plan.outers:
        if outer.operand.array == "buffer":
            at = outer.operand.column
            operand = kept.buffer.narrow(1, at * size, size)
        else:
            operand = _there(kept.previous)
        at = outer.gradients
        columns = kept.buffer.narrow(1, at * size, len(outer.products) * size)
        pairs.append((block, columns, operand))
    while pairs:
        block, columns, operand = pairs.pop()
        for at, (beside, other, also) in enumerate(pairs):
            if _same(columns, other) and by_tiles(columns.t(), operand, also):
                del pairs[at]
                one, two = two_products(columns.t(), (operand, also))
                yield block, one
                yield beside, two
                break
        else:
            yield block, _outer(columns, operand)


def _same(left: Tensor, right: Tensor) -> bool:
    """Whether these are the same numbers in the same memory."""
    return left.data_ptr() == right.data_ptr() and left.shape == right.shape


def _sums(plan: Plan, totals: Tensor, size: int) -> Iterator[tuple[Block, Tensor]]:
    """What the loop has summed up."""
    done = 0
    for block in plan.totals:
        end = done + len(block.places)
        yield block, totals[done:end, :size].flatten()
        done = end


def _by_stack(
    plan: Plan, weights: Weights, blocks: Iterable[tuple[Block, Tensor]], size: int
) -> list[Tensor]:
    """The gradient of each stack, put together from what blocks have of it."""
    found: dict[str, Tensor] = {}
    parts: dict[tuple[str, int], Tensor] = {}
    for block, gradient in blocks:
        if block.whole and block.stack not in found:
            found[block.stack] = gradient
            continue
        for place, part in zip(block.places, torch.split(gradient, size), strict=True):
            parts[place] = parts[place] + part if place in parts else part
    for name in dict.fromkeys(name for name, _ in parts):
        there = [parts.get((name, at)) for at in range(plan.sizes[name])]
        if name in found:
            there = [
                one if more is None else one + more
                for one, more in zip(torch.split(found[name], size), there, strict=True)
            ]
        nothing = weights[name].new_zeros(size, *weights[name].shape[1:])
        found[name] = torch.cat([nothing if part is None else part for part in there])
    return [
        found[name] if name in found else torch.zeros_like(weight)
        for name, weight in weights.items()
    ]


def _outer(columns: Tensor, operand: Tensor) -> Tensor:
    """The sum over tokens of the outer products, (G*H, K), from (N, G*H) and (N, K).

    Measured (MKL, AVX-512, H = 64..512): with many tokens the transposed product and a copy are 5
    to 15 % faster, with few they are slower.
    """
    tokens, width = operand.shape
    if by_tiles(columns.t(), operand):
        return product(columns.t(), operand)
    if tokens >= 4 * width and columns.shape[1] >= 2 * width:
        return (operand.t() @ columns).t().contiguous()
    return columns.t() @ operand
