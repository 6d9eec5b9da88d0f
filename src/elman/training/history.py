"""What happened in each epoch, as plain data: one JSON line an epoch."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec


class Epoch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One pass over the training part."""

    epoch: int
    """From 1."""
    loss: float
    """Mean cross-entropy of the training texts, in nats, with dropout and label smoothing."""
    valid_loss: float
    valid_accuracy: float
    valid_macro_f1: float
    score: float
    """What early stopping looks at: see ``elman.training.metrics.soft_score``."""
    best: bool
    """Whether this epoch's weights are kept, as the best so far but for chance."""
    learning_rate: float
    """At the end of the epoch."""
    seconds: float
    texts_per_second: float


def to_lines(history: Sequence[Epoch]) -> bytes:
    """Return the history as JSON lines."""
    return b"".join(msgspec.json.encode(epoch) + b"\n" for epoch in history)


def from_lines(data: bytes) -> list[Epoch]:
    """Read what ``to_lines`` wrote.

    Raises:
        msgspec.ValidationError: when a line is something else.
    """
    return msgspec.json.Decoder(Epoch).decode_lines(data)
