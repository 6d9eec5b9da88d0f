"""A call as a function of its tensors that autograd can differentiate, twice and more."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from elman.backends.base import Run
from elman.backends.eager import eager
from elman.backends.llvm.call import Call, Kept, backward, forward
from elman.backends.llvm.plan import Tensors, tensors


class _Recurrence(torch.autograd.Function):
    """The loop with the products before and after it.

    A second backward over the same graph finds the residuals gone and runs the forward pass again.
    """

    @staticmethod
    def forward(ctx: Any, call: Call, *flat: Tensor) -> Any:
        made = forward(call, tensors(call.plan, flat), keep=True)
        assert made.kept is not None
        ctx.call, ctx.fresh = call, True
        # What kernels find their way by too, so that torch refuses what was changed in place since.
        ctx.save_for_backward(made.output, *made.kept, call.indices, call.batch_sizes, *flat)
        return made.output, *made.finals

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor, *grad_finals: Tensor) -> Any:
        call: Call = ctx.call
        output, buffer, scalar, previous, _, _, *flat = ctx.saved_tensors
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
