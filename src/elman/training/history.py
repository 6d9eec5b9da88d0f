"""What happened in each epoch, as plain data: one JSON line an epoch."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec


class Epoch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One pass over the training part."""

    epoch: int
    """From 1."""
    loss: float
    """Mean over the training part, in nats, as it was minimised: with dropout and the like."""
    score: float | None
    """What early stopping looks at, higher is better; None without a validation part."""
    best: bool
    """Whether this epoch's weights are kept, as the best so far but for chance."""
    metrics: dict[str, float]
    """Of the validation part, by names of the task's metrics."""
    learning_rate: float
    """At the end of the epoch."""
    seconds: float
    per_second: float
    """Items trained on, in the task's unit."""


def to_lines(history: Sequence[Epoch]) -> bytes:
    """Return the history as JSON lines."""
    return b"".join(msgspec.json.encode(epoch) + b"\n" for epoch in history)


def from_lines(data: bytes) -> list[Epoch]:
    """Read what ``to_lines`` wrote.

    Raises:
        msgspec.ValidationError: when a line is something else.
    """
    return msgspec.json.Decoder(Epoch).decode_lines(data)
