"""Optimisers by name, one row each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from elman.training.options import Schedule

Groups = list[dict[str, object]]


def make(model: nn.Module, schedule: Schedule) -> torch.optim.Optimizer:
    """Return the optimiser that the schedule names; vectors and biases do not decay.

    Nor does a parameter with an attribute ``decays`` that says so; one with ``rate`` learns at that
    factor of the learning rate. All that is in one group decays and learns alike.
    """
    parts: dict[tuple[float, bool], list[nn.Parameter]] = {(1.0, True): [], (1.0, False): []}
    for p in model.parameters():
        decays = p.dim() > 1 and getattr(p, "decays", True)
        parts.setdefault((getattr(p, "rate", 1.0), decays), []).append(p)
    groups: Groups = [
        {"params": some, "weight_decay": schedule.weight_decay if decays else 0.0, "rate": rate}
        for (rate, decays), some in parts.items()
    ]
    return OPTIMISERS[schedule.optimiser](groups, schedule.learning_rate)


def _adamw(groups: Groups, learning_rate: float) -> torch.optim.Optimizer:
    """Fused AdamW (Loshchilov & Hutter 2019).

    A second-moment memory of 100 updates rather than 1,000 suits runs of a few thousand.
    """
    return torch.optim.AdamW(groups, lr=learning_rate, betas=(0.9, 0.99), fused=True)


def _sgd(groups: Groups, learning_rate: float) -> torch.optim.Optimizer:
    return torch.optim.SGD(groups, lr=learning_rate)


def _asgd(groups: Groups, learning_rate: float) -> torch.optim.Optimizer:
    """SGD whose weights can be averaged (Polyak & Juditsky 1992), from ``start_averaging`` on."""
    return torch.optim.ASGD(groups, lr=learning_rate, lambd=0.0, alpha=0.0, t0=NEVER)


OPTIMISERS: dict[str, Callable[[Groups, float], torch.optim.Optimizer]] = {
    "adamw": _adamw,
    "sgd": _sgd,
    "asgd": _asgd,
}

NEVER = 1e18
"""An update that never comes."""


def start_averaging(optimiser: torch.optim.Optimizer) -> bool:
    """Average the weights of all updates from here on; return whether that is new.

    What has no averages is left as it is.
    """
    if not isinstance(optimiser, torch.optim.ASGD) or is_averaging(optimiser):
        return False
    for group in optimiser.param_groups:
        steps = [float(optimiser.state[p]["step"]) for p in group["params"] if p in optimiser.state]
        group["t0"] = max(steps, default=0.0) - 1  # the next weights are the first of the mean
    return True


def is_averaging(optimiser: torch.optim.Optimizer) -> bool:
    """Whether there are means of weights to be judged in place of the last weights."""
    return any(group.get("t0", NEVER) < NEVER for group in optimiser.param_groups)


@contextmanager
def averaged(optimiser: torch.optim.Optimizer) -> Iterator[None]:
    """Put the means of the weights in the place of the last ones, for the block."""
    if not is_averaging(optimiser):
        yield
        return
    pairs = [(p, state["ax"]) for p, state in optimiser.state.items()]
    own = [p.detach().clone() for p, _ in pairs]
    with torch.no_grad():
        for p, mean in pairs:
            p.copy_(mean)
        try:
            yield
        finally:
            for (p, _), weights in zip(pairs, own, strict=True):
                p.copy_(weights)


def clip_(parameters: list[Tensor], largest: float) -> float:
    """Scale the gradients down to a norm of ``largest`` at most; return what the norm was."""
    grads = [parameter.grad for parameter in parameters if parameter.grad is not None]
    # As torch's clip_grad_norm_, which multiplies by 1 where nothing is to be clipped.
    norm = float(torch.linalg.vector_norm(torch.stack(torch._foreach_norm(grads))))
    if norm > largest:
        torch._foreach_mul_(grads, largest / (norm + 1e-6))
    return norm
