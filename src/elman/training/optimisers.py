"""Optimisers by name, one row each."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from elman.training.options import Schedule

Groups = list[dict[str, object]]


def make(model: nn.Module, schedule: Schedule) -> torch.optim.Optimizer:
    """Return the optimiser that the schedule names; vectors and biases do not decay.

    Nor does a parameter with an attribute ``decays`` that says so.
    """
    matrices = [p for p in model.parameters() if p.dim() > 1 and getattr(p, "decays", True)]
    chosen = {id(p) for p in matrices}
    vectors = [p for p in model.parameters() if id(p) not in chosen]
    groups: Groups = [
        {"params": matrices, "weight_decay": schedule.weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return OPTIMISERS[schedule.optimiser](groups, schedule.learning_rate)


def _adamw(groups: Groups, learning_rate: float) -> torch.optim.Optimizer:
    """Fused AdamW (Loshchilov & Hutter 2019).

    A second-moment memory of 100 updates rather than 1,000 suits runs of a few thousand.
    """
    return torch.optim.AdamW(groups, lr=learning_rate, betas=(0.9, 0.99), fused=True)


OPTIMISERS: dict[str, Callable[[Groups, float], torch.optim.Optimizer]] = {"adamw": _adamw}


def clip_(parameters: list[Tensor], largest: float) -> float:
    """Scale the gradients down to a norm of ``largest`` at most; return what the norm was."""
    grads = [parameter.grad for parameter in parameters if parameter.grad is not None]
    # As torch's clip_grad_norm_, which multiplies by 1 where nothing is to be clipped.
    norm = float(torch.linalg.vector_norm(torch.stack(torch._foreach_norm(grads))))
    if norm > largest:
        torch._foreach_mul_(grads, largest / (norm + 1e-6))
    return norm
