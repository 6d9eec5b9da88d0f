"""A call as a function of its tensors that autograd can differentiate, twice and more."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from elman.backends.base import Run, States, is_batched, is_transformed
from elman.backends.eager import eager
from elman.backends.llvm.call.passes import Call, Kept, backward, forward
from elman.backends.llvm.call.signature import Tensors, tensors


class _Recurrence(torch.autograd.Function):
    """The loop with the products before and after it.

    A second backward over the same graph finds the residuals gone and runs the forward pass again.
    """

    @staticmethod
    def forward(ctx: Any, call: Call, parts: Tensors, *flat: Tensor) -> Any:
        made = forward(call, parts, keep=True)
        assert made.kept is not None
        ctx.call, ctx.fresh = call, True
        ctx.set_materialize_grads(False)
        # What kernels find their way by too, so that torch refuses what was changed in place since.
        ctx.save_for_backward(made.output, *made.kept, call.indices, call.batch_sizes, *flat)
        return made.output, *made.finals

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor | None, *grad_finals: Tensor | None) -> Any:
        call: Call = ctx.call
        output, buffer, scalar, previous, _, _, *flat = ctx.saved_tensors
        needed = ctx.needs_input_grad[2:]
        parts = tensors(call.plan, flat)
        grads = grad_output, *grad_finals
        if torch.is_grad_enabled() or is_transformed() or is_batched(*grads):
            return None, None, *_differentiable(call, parts, needed, grads)
        kept: Kept | None = Kept(buffer, scalar, previous)
        if not ctx.fresh:
            kept = forward(call, parts, keep=True).kept
        ctx.fresh = False
        assert kept is not None
        begin = 1 + len(parts.weights) + len(parts.masks)
        found = backward(
            call,
            parts,
            kept,
            output,
            grad_output,
            grad_finals,
            data=needed[0],
            states=any(needed[begin : begin + len(parts.states)]),
        )
        masks = [None] * len(parts.masks)
        states = found.states if found.states else [None] * len(parts.states)
        return None, None, found.data, *found.weights, *masks, *states, *found.given


_apply: Any = _Recurrence.apply


def recurrence(call: Call, parts: Tensors) -> tuple[Tensor, States]:
    """The output and the last states; differentiable, twice, where anything asks for it."""
    flat = parts.flat()
    if torch.is_grad_enabled() and any(one.requires_grad for one in flat):
        # Autograd knows only arguments of their own.
        output, *finals = _apply(call, parts, *flat)
    else:
        output, finals, _ = forward(call, parts, keep=False)
    return output, tuple(finals)


def _differentiable(
    call: Call, parts: Tensors, needed: Sequence[bool], grads: Sequence[Tensor | None]
) -> list[Tensor | None]:
    """The same gradients as a function of the inputs that autograd knows, by the eager backend.

    What torch computed of the data and weights before the loop is computed here again, and its
    gradient is part of theirs.
    """
    again = torch.is_grad_enabled()
    with torch.enable_grad():
        # Without views of their own, the gradient of one input would hold that of another which
        # depends on it.
        views = tensors(call.plan, [one.view_as(one) for one in parts.flat()])
        plan = call.plan
        output, finals = eager.run(
            Run(
                plan.graph,
                dict(zip(plan.stacks, views.weights, strict=True)),
                views.data if call.indices is None else views.data[call.indices],
                call.batch_sizes,
                views.states,
                call.reverse,
                dict(zip(plan.masks, views.masks, strict=True)),
            )
        )
    wanted = [one for one, need in zip(views.flat(), needed, strict=True) if need]
    pairs = [
        (result, grad)
        for result, grad in zip((output, *finals), grads, strict=True)
        if result.requires_grad and grad is not None
    ]
    found = iter(
        torch.autograd.grad(
            [result for result, _ in pairs],
            wanted,
            [grad for _, grad in pairs],
            create_graph=again,
            allow_unused=True,
        )
    )
    return [next(found) if need else None for need in needed]
