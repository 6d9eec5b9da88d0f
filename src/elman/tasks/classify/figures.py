"""Pictures for the bundle."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.figure import Figure

from elman.text.terminal import shortened, visible
from elman.training.figures import Picture, as_shares, harmless_legend, render
from elman.training.figures import reliability as drawn_reliability

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from elman.tasks.classify.curves import Point
    from elman.tasks.classify.metrics import Classification, Judgement

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


def precision_recall(scores: Judgement) -> Figure:
    """Draw precision over recall: a line for each class that has a curve, from high thresholds on.

    A dot marks where the model answers; a dotted line, of one class alone, what answering it always
    would give.
    """
    figure = Picture(figsize=(5.2, 4.4), layout="constrained")
    axes = figure.add_subplot()
    answered = {row.label: row for row in scores.classes}
    for curve in scores.curves:
        recall = [0.0, *(point.recall for point in curve.points)]
        precision = [curve.points[0].precision, *(point.precision for point in curve.points)]
        [line] = axes.plot(recall, precision, drawstyle="steps-pre", linewidth=1.4)
        name = visible(shortened(curve.label, 24))
        line.set_label(f"{name}: average precision {curve.average_precision:.3f}")
        row = answered[curve.label]
        axes.plot([row.recall], [row.precision], "o", color=line.get_color(), markersize=5)
    if len(scores.curves) == 1:
        _mark_thresholds(axes, scores.curves[0].table())
        always = scores.curves[0].share
        axes.axhline(always, color="grey", linestyle=":", label=f"always: {always:.3f}")
    axes.set_xlabel("recall")
    axes.set_ylabel("precision")
    as_shares(axes)
    axes.set_title(f"{scores.count:,} texts; dots: as answered", fontsize=10)
    harmless_legend(axes)
    return figure


def _mark_thresholds(axes: Axes, points: Sequence[Point]) -> None:
    """Write some thresholds beside the curve."""
    for point in points[::2]:
        axes.annotate(
            f"{point.threshold:.2f}",
            (point.recall, point.precision),
            xytext=(3, 3),
            textcoords="offset points",
            fontsize=7,
            color="dimgrey",
        )


def reliability(scores: Judgement) -> Figure:
    """Draw how often answers are right over how probable they are said to be."""
    several = not hasattr(scores, "confusion")
    return drawn_reliability(
        scores.calibration,
        scores.uncalibrated,
        right="share of texts with the label" if several else "share of right answers",
        said="probability of a label" if several else "probability of the answer",
    )


def pictures(scores: Judgement) -> dict[str, bytes]:
    """Return the pictures of a bundle, by the names of their files."""
    drawn = {}
    if scores.calibration is not None:
        drawn["reliability"] = reliability(scores)
    if scores.curves:
        drawn["precision-recall"] = precision_recall(scores)
    return {f"{name}.png": render(figure, "png") for name, figure in drawn.items()}
