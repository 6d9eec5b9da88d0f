"""Pictures for the bundle."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from elman.text.terminal import shortened, visible
from elman.training.figures import Picture, render

if TYPE_CHECKING:
    from elman.tasks.classify.metrics import Classification

# Beyond this many classes numbers in the cells can no longer be read.
MOST_NUMBERED = 30


def confusion_pictures(evaluation: Classification) -> dict[str, bytes]:
    """Return ``confusion.png`` and ``confusion.svg``: rows are true classes, shares by row."""
    figure = confusion_matrix(evaluation)
    return {f"confusion.{kind}": render(figure, kind) for kind in ("png", "svg")}


def confusion_matrix(evaluation: Classification) -> Figure:
    """Draw the confusion matrix: rows are true classes, colours are shares of a row."""
    names = [visible(shortened(row.label, 24)) for row in evaluation.classes]
    counts = np.asarray(evaluation.confusion)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = min(max(4.6, 0.46 * len(names) + 1.8), 24)
    figure = Picture(figsize=(side, side), layout="constrained")
    axes = figure.add_subplot()
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    figure.colorbar(image, ax=axes, fraction=0.046, pad=0.03, label="share of the true class")
    # A label may hold dollar signs, and is no formula.
    axes.set_xticks(range(len(names)), names, rotation=90, parse_math=False)
    axes.set_yticks(range(len(names)), names, parse_math=False)
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
