"""The cross entropy of a linear layer over many classes, without its logits in memory twice.

A language model of 10,000 words spends most of its time here. Forward and backward are one pass
over blocks of rows that stay in the cache, and the products run where they are fastest.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from elman.backends import product

_MANY = 1_024
"""Classes from which on it pays."""
_ROWS = 2_048
"""Rows whose logits are in memory at a time."""
_BLOCK = 1 << 19
"""Logits of a block that stays in the cache while it goes through the pointwise steps: 2 MB."""


def linear_cross_entropy(
    inputs: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor
) -> Tensor:
    """Return the mean of -log softmax(inputs @ weight.T + bias)[target], in nats.

    The same as ``cross_entropy(linear(inputs, weight, bias), targets)``, gradients too, but
    computed at once: on the CPU 1.5 to 2 times as fast for 10,000 classes. The gradients
    themselves cannot be differentiated.

    Args:
        inputs: (N, D).
        weight: (V, D).
        bias: (V,) or None.
        targets: (N,) int64, 0 to V - 1.
    """
    few = len(weight) < _MANY
    if few or inputs.device.type != "cpu" or inputs.dtype is not torch.float32:
        return functional.cross_entropy(functional.linear(inputs, weight, bias), targets)
    loss: Tensor = _LinearCrossEntropy.apply(inputs, weight, bias, targets)  # type: ignore[no-untyped-call]
    return loss


class _LinearCrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, inputs: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor
    ) -> Tensor:
        inputs, targets = inputs.contiguous(), targets.long()
        wanted = ctx.needs_input_grad
        total = inputs.new_zeros(())
        grad_inputs = torch.empty_like(inputs) if wanted[0] else None
        grad_weight = grad_bias = None
        for start in range(0, len(inputs), _ROWS):
            rows = slice(start, start + _ROWS)
            part = inputs[rows]
            logits = product(part, weight.t())
            total += _loss_and_gradient_(logits, bias, targets[rows], 1 / len(inputs))
            if grad_inputs is not None:
                product(logits, weight, grad_inputs[rows])
            if wanted[1]:
                grad = product(logits.t(), part)
                grad_weight = grad if grad_weight is None else grad_weight.add_(grad)
            if bias is not None and wanted[2]:
                grad = logits.sum(0)
                grad_bias = grad if grad_bias is None else grad_bias.add_(grad)
        ctx.save_for_backward(grad_inputs, grad_weight, grad_bias)
        return total / len(inputs)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> Any:
        (scale,) = grad_outputs
        grads = (None if grad is None else grad * scale for grad in ctx.saved_tensors)
        return *grads, None


def _loss_and_gradient_(
    logits: Tensor, bias: Tensor | None, targets: Tensor, scale: float
) -> Tensor:
    """Return the sum of the losses; the logits become their gradients, times ``scale``."""
    block = max(1, _BLOCK // logits.shape[1])
    total = logits.new_zeros(())
    for start in range(0, len(logits), block):
        part, wanted = logits[start : start + block], targets[start : start + block, None]
        if bias is not None:
            part.add_(bias)
        part.sub_(part.amax(1, keepdim=True))
        chosen = part.gather(1, wanted)
        sums = part.exp_().sum(1, keepdim=True)
        total += (sums.log() - chosen).sum()
        part.mul_(scale / sums)
        part.scatter_add_(1, wanted, torch.full_like(chosen, -scale))
    return total


class Full(nn.Linear):
    """All classes at every step: a linear layer and its cross entropy."""

    def __init__(self, size: int, classes: int):
        super().__init__(size, classes)
        nn.init.uniform_(self.weight, -0.1, 0.1)
        nn.init.zeros_(self.bias)

    def loss(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss in nats of inputs (N, D) and targets (N,)."""
        return linear_cross_entropy(inputs, self.weight, self.bias, targets)

    def log_probs(self, inputs: Tensor) -> Tensor:
        """Return log probabilities (N, V)."""
        return functional.log_softmax(self(inputs), dim=-1)


class Sampled(Full):
    """All classes in evaluation; in training the true one and some drawn ones.

    Jean et al. 2015, "On Using Very Large Target Vocabulary for Neural Machine Translation",
    section 3; the draws are log-uniform (Zipf's law), since classes are sorted by how frequent they
    are, and shared by the batch. What is drawn and true, too, does not count.
    """

    samples = 1_024

    def loss(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss in nats; in training that of the sampled classes, which is less."""
        classes = len(self.weight)
        if not self.training or classes <= 2 * self.samples:
            return super().loss(inputs, targets)
        spread = torch.rand(self.samples, device=inputs.device) * math.log(classes + 1)
        drawn = (spread.exp() - 1).long().clamp_(0, classes - 1)
        weight, bias = self.weight.index_select(0, drawn), self.bias[drawn]
        logits = functional.linear(inputs, weight, bias) - self._expected(drawn)
        logits = logits.masked_fill(drawn == targets[:, None], -torch.inf)
        own = (inputs * self.weight.index_select(0, targets)).sum(1) + self.bias[targets]
        own = own - self._expected(targets)
        return (torch.logsumexp(torch.cat([own[:, None], logits], 1), 1) - own).mean()

    def _expected(self, ids: Tensor) -> Tensor:
        """Return the logarithm of how often each class is drawn, in the mean."""
        share = torch.log((ids + 2.0) / (ids + 1.0)) / math.log(len(self.weight) + 1)
        return torch.log(self.samples * share)


class Adaptive(nn.AdaptiveLogSoftmaxWithLoss):
    """Frequent classes by a small softmax, the others by a second step in fewer dimensions.

    Grave et al. 2017, "Efficient softmax approximation for GPUs". Classes are sorted by how
    frequent they are.
    """

    def __init__(self, size: int, classes: int):
        bounds = sorted({max(classes // 16, 1), max(classes // 4, 2)})
        # Each rarer part has a fourth of the dimensions of the one before, but one at least.
        cutoffs = [one for one in bounds if one < classes]
        shrink = 4.0 if size >= 4 ** len(cutoffs) else 1.0
        super().__init__(size, classes, cutoffs, div_value=shrink)

    def loss(self, inputs: Tensor, targets: Tensor) -> Tensor:
        """Return the mean loss in nats."""
        loss: Tensor = self(inputs, targets).loss
        return loss

    def log_probs(self, inputs: Tensor) -> Tensor:
        """Return log probabilities (N, V)."""
        return self.log_prob(inputs)
