"""One layer in one direction: the products before the loop, the kernels, the products after it.

Kernels read memory, so they run on plain tensors only: inside `Recurrence` for autograd, or inside
the operators of ``library`` where torch.compile or torch.export look on.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from elman.backends.base import Masks, States, Weights
from elman.backends.eager import FUNCTIONS, eager
from elman.backends.llvm.executable import Executable
from elman.backends.llvm.scatter import sum_by_index
from elman.compiler import Compilation, compile
from elman.errors import BackendError
from elman.ir.graph import Graph, Node, Op
from elman.ir.stacks import stacks
from elman.schedule.kernel import Kernel


class Plan:
    """What every call of a cell needs to know, worked out once."""

    def __init__(self, graph: Graph) -> None:
        program = compile(graph)
        assert program.recurrence is not None
        self.graph = graph
        self.program: Compilation = program
        found = stacks(graph)
        self.stacks = tuple(stack.name for stack in found)
        """All weights, in the order in which calls take them."""
        self.masks = tuple(mask.name for mask in graph.masks)
        self.square = frozenset(stack.name for stack in found if stack.columns == "H")
        """The weights that multiply hidden units."""
        self.sizes = {stack.name: len(stack.parameters) for stack in found}
        inside = [str(node.attr) for node in program.recurrence.inside if node.op is Op.PRODUCT]
        inside += [str(node.attr) for node in program.graph.nodes if node.op is Op.PARAMETER]
        self.inside = tuple(dict.fromkeys(program.place[name][0] for name in inside))
        """The weights that kernels read."""
        self.ahead = [program.place[str(node.attr)] for node in program.products]
        """Where the matrices stand whose products with the input the loop needs."""
        self.takes_input = program.given == program.graph.inputs
        self.previous = tuple(f"previous.{node.attr}" for node in program.previous)
        nodes = program.graph.states
        self.before = nodes.index(program.previous[0]) if program.previous else 0
        """Which state the output of the step before is."""
        self.totals = [program.place[str(node.attr)] for node in program.totals]
        """Where the biases and vectors stand whose gradients the loop sums."""
        self.given = [program.columns.index(node) for node in program.given]
        """The buffer's columns with the gradients of the other streams."""
        self._executables: dict[tuple[str, int, torch.dtype], Executable] = {}

    def executable(self, kind: str, size: int, dtype: torch.dtype) -> Executable:
        """The compiled kernel: kind is inference, forward or backward."""
        key = (kind, size, dtype)
        if key not in self._executables:
            kernel: Kernel = getattr(self.program, kind)
            self._executables[key] = Executable(kernel, self.program.place, size, dtype)
        return self._executables[key]

    def stacked(self, weights: Weights, size: int) -> Tensor | None:
        """The matrices of the products before the loop, one below the other."""
        if not self.ahead:
            return None
        name = self.ahead[0][0]
        if self.is_whole(self.ahead):
            return weights[name]
        parts = [weights[one][at * size : (at + 1) * size] for one, at in self.ahead]
        return torch.cat(parts)

    def is_whole(self, places: Sequence[tuple[str, int]]) -> bool:
        """Whether these are all matrices of a stack in their order."""
        name = places[0][0]
        return list(places) == [(name, at) for at in range(self.sizes[name])]


@lru_cache(maxsize=256)
def plan(graph: Graph) -> Plan:
    """What is known of a cell before any call."""
    return Plan(graph)


class Tensors(NamedTuple):
    """The tensors of a call by their roles."""

    data: Tensor
    weights: tuple[Tensor, ...]
    """In the order of `Plan.stacks`."""
    masks: tuple[Tensor, ...]
    states: States
    given: tuple[Tensor, ...]
    """What the loop reads for each token and torch computed: in few cells anything."""

    def flat(self) -> list[Tensor]:
        """All of them, in order."""
        return [self.data, *self.weights, *self.masks, *self.states, *self.given]


def tensors(plan: Plan, flat: Sequence[Any]) -> Tensors:
    """The inverse of `Tensors.flat`."""
    data, *rest = flat
    masks = len(plan.stacks)
    states = masks + len(plan.masks)
    given = states + len(plan.graph.states)
    parts = (rest[:masks], rest[masks:states], rest[states:given], rest[given:])
    weights, *others = (tuple(part) for part in parts)
    return Tensors(data, weights, *others)


def before_the_loop(
    plan: Plan, weights: Weights, data: Tensor, masks: Masks, states: States
) -> Tensors:
    """The tensors of a call, differentiable, from what a backend is given.

    Streams other than products of the input come from torch's own operations, with their own
    gradients: a cell that squares its input before it multiplies it, say.
    """
    program, size = plan.program, states[0].shape[-1]
    given: tuple[Tensor, ...] = ()
    if plan.given and not plan.takes_input:
        values = outside(program, weights, data, size)
        # Under autocast torch's own products are of another type than the loop.
        whole = (values[node].to(data.dtype) for node in program.given)
        given = tuple(one.expand(data.shape[0], size) for one in whole)
    kept = tuple(weights[name] for name in plan.stacks)
    return Tensors(data, kept, tuple(masks[name] for name in plan.masks), states, given)


def outside(program: Compilation, weights: Weights, data: Tensor, size: int) -> dict[Node, Tensor]:
    """What torch computes before the loop, besides products that the loop alone reads."""
    assert program.recurrence is not None
    values: dict[Node, Tensor] = {program.graph.inputs[0]: data}
    own = set(program.products)
    read = {operand for node in program.recurrence.outside for operand in node.inputs}

    def part(node: Node) -> Tensor:
        stack, at = program.place[str(node.attr)]
        return weights[stack][at * size : (at + 1) * size]

    for node in program.graph.nodes:
        if node.op is Op.CONSTANT:
            assert isinstance(node.attr, float)
            values[node] = torch.full((), node.attr, dtype=data.dtype)
        elif node.op is Op.PARAMETER:
            values[node] = part(node)
        elif node in program.recurrence.outside and (node not in own or node in read):
            operands = [values[operand] for operand in node.inputs]
            values[node] = (
                functional.linear(operands[0], part(node))
                if node.op is Op.PRODUCT
                else FUNCTIONS[node.op](*operands)
            )
    return values


# ---------------------------------------------------------------------------------------------
# A call


class Call:
    """One layer in one direction over one batch."""

    def __init__(
        self,
        plan: Plan,
        size: int,
        batch_sizes: Tensor,
        tokens: int,
        *,
        reverse: bool,
        indices: Tensor | None = None,
    ) -> None:
        self.plan = plan
        self.indices = indices
        """(N,): where it is given, the data are a table (V, I), and tokens are rows of it."""
        self.size = size
        self.batch_sizes = batch_sizes
        self.reverse = reverse
        self.tokens = tokens
        sizes = batch_sizes.numpy()
        steps = self.steps = len(sizes)
        rows = self.rows = int(sizes[0])
        self.dense = steps * rows == tokens
        # Sizes, where each step starts, and the rows' lengths, in one piece of memory.
        self._layout = np.empty(2 * steps + rows, np.int64)
        self._layout[:steps] = sizes
        if self.dense:
            self._layout[steps : 2 * steps] = np.arange(0, tokens, rows)
            self._layout[2 * steps :] = steps
        else:
            np.cumsum(sizes, out=self._layout[steps : 2 * steps])
            self._layout[steps : 2 * steps] -= sizes
            self._layout[2 * steps :] = np.searchsorted(-sizes, -np.arange(rows), side="left")
            if self._layout[2 * steps - 1] + sizes[-1] != tokens:
                raise BackendError(
                    f"the batch sizes add up to {int(sizes.sum())} and the data has {tokens} tokens"
                )

    @property
    def layout(self) -> tuple[int, int, int]:
        """The addresses of the batch sizes, the starts and the lengths."""
        address = int(self._layout.__array_interface__["data"][0])
        return address, address + 8 * self.steps, address + 16 * self.steps

    def threads(self) -> int:
        """No more than there are rows, or than are worth waking for the work."""
        work = self.tokens * self.size * self.size
        return max(1, min(torch.get_num_threads(), self.rows // 4, work // 100_000))

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
        """Run one of the kernels."""
        run = self.plan.executable(kind, self.size, first[0].dtype)
        run.prepare(
            steps=self.steps,
            rows=self.rows,
            turn=-1 if self.reverse != back else 1,
            layout=self.layout,
            first=first,
            last=last,
            arrays=arrays,
            matrices={name: _there(arrays[f"weights.{name}"]) for name in run.stacks},
            count=count,
            indices=0 if self.indices is None else self.indices.data_ptr(),
        )()

    def arrays(self, parts: Tensors) -> dict[str, Tensor | None]:
        """What each kernel reads besides states, by the kernels' names, contiguous."""
        plan = self.plan
        weights = dict(zip(plan.stacks, parts.weights, strict=True))
        given = (parts.data,) if plan.takes_input else parts.given
        return {
            **{f"weights.{name}": weights[name].contiguous() for name in plan.inside},
            **{
                f"mask.{name}": mask.contiguous()
                for name, mask in zip(plan.masks, parts.masks, strict=True)
            },
            **{f"given{at}": one.contiguous() for at, one in enumerate(given)},
        }


def _there(tensor: Tensor | None) -> Tensor:
    assert tensor is not None
    return tensor


class Kept(NamedTuple):
    """What waits for the backward pass."""

    buffer: Tensor
    """The input's products, then the residuals, then the gradients, (N, columns * H)."""
    scalar: Tensor
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
    buffer = like.new_empty(tokens, columns * size)
    weights = dict(zip(plan.stacks, parts.weights, strict=True))
    ahead = plan.stacked(weights, size)
    arrays = call.arrays(parts)
    if by_table:
        arrays["table"] = parts.data @ _there(ahead).t()
    elif ahead is not None:
        column = program.first_product * size if keep else 0
        torch.mm(parts.data, ahead.t(), out=buffer[:, column : column + len(ahead)])
    shared = keep and share and call.dense and bool(plan.previous)
    kept = None
    if shared:
        output, before = _shifted(call, like, first[plan.before])
        kept = Kept(buffer, like.new_empty(tokens, len(program.scalars)), before)
    else:
        output = like.new_empty(tokens, size)
        if keep:
            previous = like.new_empty(tokens, size) if plan.previous else None
            kept = Kept(buffer, like.new_empty(tokens, len(program.scalars)), previous)
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
        square = name in plan.square and weight.shape[-1] != size
        if weight.shape[0] != plan.sizes[name] * size or square:
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
    """Of everything that has one, by the roles of `Tensors`."""

    data: Tensor | None
    weights: list[Tensor]
    states: list[Tensor]
    given: list[Tensor]


def backward(
    call: Call,
    parts: Tensors,
    kept: Kept,
    output: Tensor,
    grad_output: Tensor,
    grad_finals: Sequence[Tensor],
    *,
    data: bool,
) -> Gradients:
    """Run the loop back; the gradients take the place of the residuals in ``kept.buffer``.

    Args:
        call: as in the forward pass.
        parts: as in the forward pass.
        kept: what the forward pass kept, used up by this.
        output: what the forward pass gave.
        grad_output: the gradient of that, (N, H).
        grad_finals: of each last state, (B, H).
        data: whether the gradient of the data is wanted.
    """
    plan, size = call.plan, call.size
    program = plan.program
    count = call.threads()
    run = plan.executable("backward", size, output.dtype)
    total = output.new_zeros(count, len(program.totals), run.total_width)
    arrays = call.arrays(parts)
    arrays |= {
        "buffer": kept.buffer,
        "scalar": kept.scalar,
        "output": output,
        "grad_output": grad_output.contiguous(),
        "total": total,
    }
    arrays |= dict.fromkeys(plan.previous, kept.previous)
    first = [grad.contiguous() for grad in grad_finals]
    lasts = [torch.empty_like(grad) for grad in first]
    call.launch("backward", arrays, first, lasts, count=count, back=True)
    given = [kept.buffer[:, at * size : (at + 1) * size] for at in plan.given]
    weights = dict(zip(plan.stacks, parts.weights, strict=True))
    products = _product_gradient(call, kept, len(parts.data))
    grad_data = None
    if data and products is not None:
        grad_data = products @ _there(plan.stacked(weights, size))
    if plan.takes_input:
        if data:
            grad_data = given[0].clone() if grad_data is None else grad_data.add_(given[0])
        given = []
    ahead = None if products is None else _outer(products, parts.data)
    grads = _weight_gradients(plan, weights, ahead, kept, total.sum(0), size)
    return Gradients(grad_data, grads, lasts, given)


def _product_gradient(call: Call, kept: Kept, count: int) -> Tensor | None:
    """Of the products before the loop: (N, G*H), or (V, G*H) where they are those of a table."""
    plan, size = call.plan, call.size
    if not plan.ahead:
        return None
    column = plan.program.first_product * size
    block = kept.buffer[:, column : column + len(plan.ahead) * size]
    return block if call.indices is None else sum_by_index(block, call.indices, count)


def _weight_gradients(
    plan: Plan, weights: Weights, ahead: Tensor | None, kept: Kept, totals: Tensor, size: int
) -> list[Tensor]:
    """One matrix product for all products of an operand; sums of the loop for the rest."""
    program = plan.program
    whole: dict[str, Tensor] = {}
    parts: dict[str, list[tuple[int, Tensor]]] = {}

    def put(places: Sequence[tuple[str, int]], product: Tensor) -> None:
        name = places[0][0]
        if name not in whole and plan.is_whole(places):
            whole[name] = product
            return
        for (stack, at), part in zip(places, torch.split(product, size), strict=True):
            parts.setdefault(stack, []).append((at, part))

    if ahead is not None:
        put(plan.ahead, ahead)
    for outer in program.outers:
        at, count = outer.operand.column, len(outer.products)
        operand = kept.buffer[:, at * size : (at + 1) * size]
        if outer.operand.array != "buffer":
            operand = _there(kept.previous)
        columns = kept.buffer[:, outer.gradients * size : (outer.gradients + count) * size]
        put([program.place[str(node.attr)] for node in outer.products], _outer(columns, operand))
    done = 0
    for _, group in groupby(plan.totals, itemgetter(0)):
        places = list(group)
        put(places, totals[done : done + len(places), :size].flatten())
        done += len(places)
    grads = []
    for name, weight in weights.items():
        grad = whole[name] if name in whole else torch.zeros_like(weight)
        for at, part in parts.get(name, ()):
            grad[at * size : (at + 1) * size] += part
        grads.append(grad)
    return grads


def _outer(columns: Tensor, operand: Tensor) -> Tensor:
    """The sum over tokens of the outer products, (G*H, K), from (N, G*H) and (N, K).

    Measured (MKL, AVX-512, H = 64..512): with many tokens the transposed product and a copy are 5
    to 15 % faster, with few they are slower.
    """
    tokens, width = operand.shape
    if tokens >= 4 * width and columns.shape[1] >= 2 * width:
        return (operand.t() @ columns).t().contiguous()
    return columns.t() @ operand


# ---------------------------------------------------------------------------------------------
# Autograd


class _Recurrence(torch.autograd.Function):
    """The loop with the products before and after it.

    A second backward over the same graph finds the residuals gone and runs the forward pass again.
    """

    @staticmethod
    def forward(ctx: Any, call: Call, *flat: Tensor) -> Any:
        made = forward(call, tensors(call.plan, flat), keep=True)
        assert made.kept is not None
        ctx.call, ctx.fresh = call, True
        # The indices too, so that torch refuses what was changed in place since.
        ctx.save_for_backward(made.output, *made.kept, call.indices, *flat)
        return made.output, *made.finals

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor, *grad_finals: Tensor) -> Any:
        call: Call = ctx.call
        output, buffer, scalar, previous, _, *flat = ctx.saved_tensors
        needed = ctx.needs_input_grad[1:]
        parts = tensors(call.plan, flat)
        if torch.is_grad_enabled():
            return None, *_differentiable(call, parts, needed, (grad_output, *grad_finals))
        kept: Kept | None = Kept(buffer, scalar, previous)
        if not ctx.fresh:
            kept = forward(call, parts, keep=True).kept
        ctx.fresh = False
        assert kept is not None
        found = backward(call, parts, kept, output, grad_output, grad_finals, data=needed[0])
        masks = [None] * len(parts.masks)
        return None, found.data, *found.weights, *masks, *found.states, *found.given


recurrence: Any = _Recurrence.apply
"""A call and its tensors, flat: the output and the last states, differentiable twice."""


def _differentiable(
    call: Call, parts: Tensors, needed: Sequence[bool], grads: Sequence[Tensor]
) -> list[Tensor | None]:
    """The same gradients as a function of the inputs that autograd knows, by the eager backend.

    What torch computed of the data and weights before the loop is computed here again, and its
    gradient is part of theirs.
    """
    # Without views of their own, the gradient of one input would hold that of another which
    # depends on it.
    views = tensors(call.plan, [one.view_as(one) for one in parts.flat()])
    plan = call.plan
    output, finals = eager.run(
        plan.graph,
        dict(zip(plan.stacks, views.weights, strict=True)),
        views.data if call.indices is None else views.data[call.indices],
        call.batch_sizes,
        views.states,
        reverse=call.reverse,
        masks=dict(zip(plan.masks, views.masks, strict=True)),
    )
    wanted = [one for one, need in zip(views.flat(), needed, strict=True) if need]
    pairs = [
        (result, grad)
        for result, grad in zip((output, *finals), grads, strict=True)
        if result.requires_grad
    ]
    found = iter(
        torch.autograd.grad(
            [result for result, _ in pairs],
            wanted,
            [grad for _, grad in pairs],
            create_graph=True,
            allow_unused=True,
        )
    )
    return [next(found) if need else None for need in needed]
