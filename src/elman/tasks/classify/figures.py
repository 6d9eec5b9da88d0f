"""Pictures for the bundle."""

from __future__ import annotations

from typing import Any

import numpy as np

from elman.tasks.classify.metrics import Classification
from elman.training.figures import rendered

# Beyond this many classes numbers in the cells can no longer be read.
MOST_NUMBERED = 30


def confusion_pictures(evaluation: Classification) -> dict[str, bytes]:
    """Return ``confusion.png`` and ``confusion.svg``: rows are true classes, shares by row."""
    figure = confusion(evaluation)
    return {f"confusion.{kind}": rendered(figure, kind) for kind in ("png", "svg")}


def confusion(evaluation: Classification) -> Any:
    """Return a figure of matplotlib: rows are true classes, shares by row."""
    from matplotlib.figure import Figure

    names = [c.label if len(c.label) <= 24 else c.label[:23] + "…" for c in evaluation.classes]
    counts = np.asarray(evaluation.confusion)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = min(max(4.6, 0.46 * len(names) + 1.8), 24)
    figure = Figure(figsize=(side, side), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, ax=axes, fraction=0.046, pad=0.03, label="share of the true class")
    axes.set_xticks(range(len(names)), names, rotation=90)
    axes.set_yticks(range(len(names)), names)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.set_title(
        f"accuracy {evaluation.accuracy:.3f}, macro-F1 {evaluation.macro_f1:.3f}", fontsize=10
    )
    if len(names) <= MOST_NUMBERED:
        for i, j in zip(*np.nonzero(counts), strict=True):
            colour = "white" if shares[i, j] > 0.5 else "black"
            axes.text(j, i, str(counts[i, j]), ha="center", va="center", color=colour, fontsize=7)
    return figure
