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


def kept(history: Sequence[Epoch]) -> Epoch | None:
    """Return the epoch whose weights are kept, if any was whole."""
    return next((epoch for epoch in reversed(history) if epoch.best), None)


def kept_line(history: Sequence[Epoch]) -> str:
    """Say which epoch's weights are kept, and why these where another has a higher score."""
    epoch = kept(history)
    if epoch is None:
        return "no epoch was whole: the first weights are kept"
    said = f"best: epoch {epoch.epoch} of {len(history)}"
    if epoch.score is None:
        return f"{said} (the last, as there is no validation part to judge on)"
    highest = max((one for one in history if one.score is not None), key=lambda one: one.score or 0)
    if highest.score == epoch.score:
        return f"{said} (score {epoch.score:.4f})"
    return (
        f"{said} (score {epoch.score:.4f}; that of epoch {highest.epoch}, {highest.score:.4f}, is "
        "higher by less than a standard error, and of these the later is kept)"
    )


def to_lines(history: Sequence[Epoch]) -> bytes:
    """Return the history as JSON lines."""
    return b"".join(msgspec.json.encode(epoch) + b"\n" for epoch in history)


def from_lines(data: bytes) -> list[Epoch]:
    """Read what ``to_lines`` wrote.

    Raises:
        msgspec.ValidationError: when a line is something else.
    """
    return msgspec.json.Decoder(Epoch).decode_lines(data)
