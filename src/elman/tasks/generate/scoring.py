"""How unlikely a model found each token of a text, in nats."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from elman.data.batching import sorted_batches
from elman.nn.batches import MAX_TOKENS, device_of
from elman.nn.language_model import RecurrentLanguageModel
from elman.tasks.generate.batches import Ids, RunningBatches, Texts, chunk_starts

Nats = NDArray[np.float32]
STEPS = 512
"""Tokens that are read in one piece, where a text is read in one row."""
_LOGITS = 1 << 22
"""Numbers that are in memory at a time."""
WARM_UP = 100
"""Tokens that a row reads before it counts, where a text is read in several rows."""


def token_nats(model: RecurrentLanguageModel, hidden: Tensor, targets: Tensor) -> Tensor:
    """Return -log probability (N,) of targets (N,), of what the head reads (N, D)."""
    block = max(1, _LOGITS // model.config.vocab_size)
    parts = [
        -model.head.log_probs(hidden[i : i + block]).gather(1, targets[i : i + block, None])[:, 0]
        for i in range(0, len(targets), block)
    ]
    return torch.cat(parts) if parts else hidden.new_empty(0)


def running_nats(
    model: RecurrentLanguageModel,
    ids: NDArray[np.integer[Any]],
    before: int,
    *,
    dynamic: float | None = None,
) -> Nats:
    """Return the nats of each token of one running text, read from its beginning in one row.

    So they depend neither on batches nor on chunks.

    Args:
        model: in evaluation mode.
        ids: (n,) the text.
        before: the id that stands before the first.
        dynamic: the rate at which the weights follow what was read, chunk by chunk, in a copy of
            the model (Mikolov et al. 2010, "Recurrent neural network based language model",
            section 2, dynamic models).
    """
    whole = np.concatenate([np.array([before], dtype=ids.dtype), ids])
    steps = STEPS
    if dynamic is not None:
        model, steps = copy.deepcopy(model), 20
    rows = RunningBatches(whole, 1, chunk_starts(len(ids), steps, None), device_of(model))
    states, nats = model.begin(1), []
    with torch.set_grad_enabled(dynamic is not None):
        for batch in rows:
            hidden, _, states = model(batch.tokens, states)
            found = token_nats(model, hidden, batch.targets)
            nats.append(found.detach().numpy(force=True))
            if dynamic is not None:
                _follow(model, found.mean(), dynamic)
                states = {name: state.detach() for name, state in states.items()}
    return np.concatenate(nats) if nats else np.empty(0, dtype=np.float32)


def _follow(model: RecurrentLanguageModel, loss: Tensor, rate: float) -> None:
    """Take one step of SGD down the loss of what was just read."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    with torch.no_grad():
        for parameter, gradient in zip(parameters, gradients, strict=True):
            if gradient is not None:
                parameter.sub_(gradient, alpha=rate)


def quick_nats(model: RecurrentLanguageModel, ids: Ids, rows: int) -> tuple[float, int]:
    """Return the sum of nats of a running text and of how many tokens, from several rows at once.

    Each row reads ``WARM_UP`` tokens before it counts: close to the exact value, and many times
    sooner.
    """
    rows = max(1, min(rows, len(ids) // (4 * WARM_UP)))
    length = (len(ids) - 1) // rows
    warm = min(WARM_UP, length // 2)
    states, total, count = model.begin(rows), 0.0, 0
    batches = RunningBatches(ids, rows, chunk_starts(length, STEPS // 2, None), device_of(model))
    for start, batch in zip(batches.starts, batches, strict=False):
        hidden, _, states = model(batch.tokens, states)
        skipped = max(0, warm - start) * rows
        nats = token_nats(model, hidden[skipped:], batch.targets[skipped:])
        total, count = total + float(nats.sum()), count + len(nats)
    return total, count


def text_nats(model: RecurrentLanguageModel, texts: Texts) -> Iterator[tuple[int, Nats]]:
    """Yield for each text that stands alone, in any order, its row and the nats of its tokens.

    The last one is the text's end.
    """
    device, offsets = device_of(model), texts.offsets
    with torch.no_grad():
        for chosen in sorted_batches(texts.lengths, MAX_TOKENS, 1_024):
            batch, rows = texts.batch(chosen, offsets, device)
            hidden, _, _ = model(batch.tokens, model.begin(len(rows)), batch.labels)
            nats = token_nats(model, hidden, batch.targets).numpy(force=True)
            sizes = batch.tokens.batch_sizes.numpy()
            starts = np.cumsum(sizes) - sizes
            for place, row in enumerate(rows.tolist()):
                steps = starts[: texts.lengths[row]]
                yield row, nats[steps + place]


@contextmanager
def evaluating(model: RecurrentLanguageModel) -> Iterator[None]:
    """Put the model in evaluation mode for the block."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


def unseen(ids: NDArray[Any], unknown: int) -> int:
    """Return how many tokens the vocabulary lacks."""
    return int(np.count_nonzero(ids == unknown))
