"""A call as a function of its tensors that autograd can differentiate, twice and more."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from elman.backends.base import Run, States, is_batched, is_transformed
from elman.backends.eager import eager
from elman.backends.llvm.call.passes import Call, Saved, backward, forward
from elman.backends.llvm.call.signature import Tensors, tensors


class _Recurrence(torch.autograd.Function):
    """The loop with the products before and after it.

    A second backward over the same graph finds the residuals gone and runs the forward pass again.
    """

    @staticmethod
    def forward(ctx: Any, call: Call, parts: Tensors, *flat: Tensor) -> Any:
        result = forward(call, parts, keep=True)
        assert result.saved is not None
        ctx.call, ctx.fresh = call, True
        ctx.set_materialize_grads(False)
        # What kernels find their way by too, so that torch refuses what was changed in place since.
        ctx.save_for_backward(result.output, *result.saved, call.indices, call.batch_sizes, *flat)
        return result.output, *result.finals

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor | None, *grad_finals: Tensor | None) -> Any:
        call: Call = ctx.call
        output, buffer, scalar, previous, _, _, *flat = ctx.saved_tensors
        needed = ctx.needs_input_grad[2:]
        parts = tensors(call.signature, flat)
        grads = grad_output, *grad_finals
        if torch.is_grad_enabled() or is_transformed() or is_batched(*grads):
            return None, None, *_differentiable(call, parts, needed, grads)
        saved: Saved | None = Saved(buffer, scalar, previous)
        if not ctx.fresh:
            saved = forward(call, parts, keep=True).saved
        ctx.fresh = False
        assert saved is not None
        begin = 1 + len(parts.weights) + len(parts.masks)
        gradients = backward(
            call,
            parts,
            saved,
            output,
            grad_output,
            grad_finals,
            data=needed[0],
            states=any(needed[begin : begin + len(parts.states)]),
        )
        masks = [None] * len(parts.masks)
        states = gradients.states if gradients.states else [None] * len(parts.states)
        return None, None, gradients.data, *gradients.weights, *masks, *states, *gradients.given


_apply: Any = _Recurrence.apply


def recurrence(call: Call, parts: Tensors) -> tuple[Tensor, States]:
    """The output and the last states; differentiable, twice, where anything asks for it."""
    flat = parts.flat()
    if torch.is_grad_enabled() and any(tensor.requires_grad for tensor in flat):
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
        views = tensors(call.signature, [tensor.view_as(tensor) for tensor in parts.flat()])
        signature = call.signature
        output, finals = eager.run(
            Run(
                signature.graph,
                dict(zip(signature.stacks, views.weights, strict=True)),
                views.data if call.indices is None else views.data[call.indices],
                call.batch_sizes,
                views.states,
                call.reverse,
                dict(zip(signature.masks, views.masks, strict=True)),
            )
        )
    wanted = [view for view, need in zip(views.flat(), needed, strict=True) if need]
    pairs = [
        (result, grad)
        for result, grad in zip((output, *finals), grads, strict=True)
        if result.requires_grad and grad is not None
    ]
    gradients = iter(
        torch.autograd.grad(
            [result for result, _ in pairs],
            wanted,
            [grad for _, grad in pairs],
            create_graph=again,
            allow_unused=True,
        )
    )
    return [next(gradients) if need else None for need in needed]
