"""Pictures for a bundle: the learning curve of any task, and how a figure becomes a file."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

from elman.training.history import Epoch, kept


def learning_curve(history: Sequence[Epoch]) -> Any:
    """Return a figure of matplotlib: loss and score by epoch, and which epoch is kept."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    loss = figure.add_subplot()
    epochs = [epoch.epoch for epoch in history]
    lines = loss.plot(epochs, [epoch.loss for epoch in history], "o-", ms=3, label="loss, training")
    losses = [epoch.metrics["loss"] for epoch in history if "loss" in epoch.metrics]
    if len(losses) == len(epochs):
        lines += loss.plot(
            epochs, losses, "s--", ms=3, color="C0", alpha=0.6, label="loss, validation"
        )
    loss.set_xlabel("epoch")
    loss.set_ylabel("loss (nats)")
    loss.xaxis.set_major_locator(MaxNLocator(integer=True))
    scores = [epoch.score for epoch in history if epoch.score is not None]
    if len(scores) == len(epochs):
        score = loss.twinx()
        score.set_ylabel("score on the validation part (higher is better)", color="C1")
        lines += score.plot(epochs, scores, "^-", ms=3, color="C1", label="score, validation")
    best = kept(history)
    if best is not None:
        line = loss.axvline(
            best.epoch, color="grey", lw=1, ls=":", label=f"kept: epoch {best.epoch}"
        )
        lines.append(line)
    loss.legend(
        handles=lines, loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2, frameon=False
    )
    return figure


def rendered(figure: Any, kind: str) -> bytes:
    """Return a figure of matplotlib as the bytes of a file, equal for equal figures."""
    import logging
    import warnings

    from matplotlib import rc_context

    stream = io.BytesIO()
    # Neither a date nor a random name in the file: equal runs give equal bundles.
    metadata = {"Date": None} if kind == "svg" else {"Software": None}
    logger = logging.getLogger("matplotlib")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), rc_context({"svg.hashsalt": "elman"}):
            # A class name in a script that the font lacks is drawn as boxes; that is no failure.
            warnings.filterwarnings("ignore", message=".*[Gg]lyph.*")
            figure.savefig(stream, format=kind, dpi=150, metadata=metadata)
    finally:
        logger.setLevel(level)
    return stream.getvalue()
