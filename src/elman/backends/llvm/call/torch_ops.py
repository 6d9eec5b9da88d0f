"""The compiled recurrence as operators of torch, for torch.compile and torch.export.

``elman::recurrence`` holds its cell as text, so that an exported program is complete by itself.
Autograd in Python goes around it, since an operator costs tens of microseconds a call.
"""

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from elman.backends.base import RUNS, Run, States
from elman.backends.llvm.call.passes import Call, Saved, backward, forward
from elman.backends.llvm.call.signature import Tensors, signature_of
from elman.ir.text import parse, write

_write = lru_cache(maxsize=256)(write)
_parse = lru_cache(maxsize=256)(parse)


def run(run: Run, parts: Tensors) -> tuple[Tensor, States]:
    """The output and the last states, of the tensors as `before_the_loop` has them."""
    keep = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in parts.flat())
    output, *rest = recurrence(
        parts.data,
        run.batch_sizes,
        list(parts.weights),
        list(parts.masks),
        list(parts.states),
        list(parts.given),
        _write(run.graph),
        run.reverse,
        keep,
    )
    return output, tuple(rest[: len(parts.states)])


def _call(
    cell: str, data: Tensor, batch_sizes: Tensor, states: list[Tensor], reverse: bool
) -> Call:
    rows, size = states[0].shape
    return Call(signature_of(_parse(cell)), size, batch_sizes, rows, len(data), reverse=reverse)


@torch.library.custom_op("elman::recurrence", mutates_args=(), device_types="cpu")
def recurrence(
    data: Tensor,
    batch_sizes: Tensor,
    weights: list[Tensor],
    masks: list[Tensor],
    states: list[Tensor],
    given: list[Tensor],
    cell: str,
    reverse: bool,
    keep: bool,
) -> list[Tensor]:
    """The output, each last state and, to ``keep``, the buffer, the scalars and the outputs before.

    Args:
        data: (N, I).
        batch_sizes: (T,).
        weights: the cell's stacks in order.
        masks: (N, H) or (B, H), in the cell's order.
        states: (B, H) each.
        given: what is computed of the data before the loop, (N, H) each.
        cell: its text (``elman.ir.text``).
        reverse: whether each row runs from its end to its start.
        keep: whether a backward pass may follow.
    """
    RUNS["llvm"] += 1
    call = _call(cell, data, batch_sizes, states, reverse)
    parts = Tensors(data, tuple(weights), tuple(masks), tuple(states), tuple(given))
    # What an operator returns must not share memory.
    result = forward(call, parts, keep=keep, share=False)
    if result.saved is None:
        return [result.output, *result.finals]
    saved = [data.new_empty(0) if part is None else part for part in result.saved]
    return [result.output, *result.finals, *saved]


@recurrence.register_fake
def _(
    data: Tensor,
    batch_sizes: Tensor,
    weights: list[Tensor],
    masks: list[Tensor],
    states: list[Tensor],
    given: list[Tensor],
    cell: str,
    reverse: bool,
    keep: bool,
) -> list[Tensor]:
    signature = signature_of(_parse(cell))
    tokens, size = data.shape[0], states[0].shape[-1]
    results = [data.new_empty(tokens, size), *(torch.empty_like(state) for state in states)]
    if keep:
        results.append(data.new_empty(tokens, signature.program.width * size))
        scalars = len(signature.program.scalars)
        results.append(data.new_empty(tokens, scalars) if scalars else data.new_empty(0))
        results.append(data.new_empty(tokens, size) if signature.previous else data.new_empty(0))
    return results


@torch.library.custom_op("elman::recurrence_backward", mutates_args=(), device_types="cpu")
def recurrence_backward(
    grad_output: Tensor,
    grad_finals: list[Tensor],
    output: Tensor,
    saved: list[Tensor],
    data: Tensor,
    batch_sizes: Tensor,
    weights: list[Tensor],
    masks: list[Tensor],
    states: list[Tensor],
    given: list[Tensor],
    cell: str,
    reverse: bool,
) -> list[Tensor]:
    """The gradients of the data, the weights, the states and what is given, in that order."""
    call = _call(cell, data, batch_sizes, states, reverse)
    parts = Tensors(data, tuple(weights), tuple(masks), tuple(states), tuple(given))
    buffer, *others = saved
    scalar, previous = (part if part.numel() else None for part in others)
    # An operator leaves its arguments as they are; this one is written over.
    gradients = backward(
        call,
        parts,
        Saved(buffer.clone(), scalar, previous),
        output,
        grad_output,
        grad_finals,
        data=True,
        states=True,
    )
    grad_data = torch.zeros_like(data) if gradients.data is None else gradients.data
    return _unaliased([grad_data, *gradients.weights, *gradients.states, *gradients.given])


def _unaliased(results: list[Tensor]) -> list[Tensor]:
    """The same, each in memory of its own, as an operator must return them."""
    seen: set[int] = set()
    unaliased = []
    for result in results:
        address = result.untyped_storage().data_ptr()
        whole = result.untyped_storage().nbytes() == result.numel() * result.element_size()
        unaliased.append(result.clone() if address in seen or not whole else result)
        seen.add(address)
    return unaliased


@recurrence_backward.register_fake
def _(
    grad_output: Tensor,
    grad_finals: list[Tensor],
    output: Tensor,
    saved: list[Tensor],
    data: Tensor,
    batch_sizes: Tensor,
    weights: list[Tensor],
    masks: list[Tensor],
    states: list[Tensor],
    given: list[Tensor],
    cell: str,
    reverse: bool,
) -> list[Tensor]:
    return [like.new_empty(like.shape) for like in (data, *weights, *states, *given)]


def _setup(ctx: Any, inputs: tuple[Any, ...], output: list[Tensor]) -> None:
    data, batch_sizes, weights, masks, states, given, cell, reverse, keep = inputs
    groups = (weights, masks, states, given)
    ctx.counts = [len(group) for group in groups]
    ctx.cell, ctx.reverse = cell, reverse
    ctx.set_materialize_grads(False)
    saved = output[1 + len(states) :] if keep else []
    ctx.mark_non_differentiable(*saved)
    flat = [tensor for group in groups for tensor in group]
    ctx.save_for_backward(batch_sizes, output[0], data, *flat, *saved)


def _backward(ctx: Any, grads: list[Tensor | None]) -> Any:
    batch_sizes, output, data, *rest = ctx.saved_tensors
    parts: list[list[Tensor]] = []
    for count in ctx.counts:
        parts.append(rest[:count])
        rest = rest[count:]
    weights, masks, states, given = parts
    inputs = (data, batch_sizes, weights, masks, states, given, ctx.cell, ctx.reverse)
    # A program exported for inference keeps nothing and may be trained all the same.
    saved = rest or recurrence(*inputs, True)[1 + len(states) :]
    likes = (output, *states)
    first, *lasts = [
        torch.zeros_like(like) if grad is None else grad
        for like, grad in zip(likes, grads[: len(likes)], strict=True)
    ]
    grad_data, *others = recurrence_backward(first, lasts, output, saved, *inputs)
    after = len(weights) + len(states)
    none = [None] * len(masks)
    grad_weights, grad_states = others[: len(weights)], others[len(weights) : after]
    return grad_data, None, grad_weights, none, grad_states, others[after:], None, None, None


recurrence.register_autograd(_backward, setup_context=_setup)
