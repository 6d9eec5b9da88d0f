"""Pictures for the bundle."""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from elman.tasks.classify.metrics import Classification

# Beyond this many classes numbers in the cells can no longer be read.
MOST_NUMBERED = 30


def confusion_pictures(evaluation: Classification) -> dict[str, bytes]:
    """Return ``confusion.png`` and ``confusion.svg``: rows are true classes, shares by row."""
    figure = _confusion_figure(evaluation)
    return {f"confusion.{kind}": _render(figure, kind) for kind in ("png", "svg")}


def _confusion_figure(evaluation: Classification) -> Any:
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


def _render(figure: Any, kind: str) -> bytes:
    import logging
    import warnings

    stream = io.BytesIO()
    # No date in the file: equal runs give equal bundles.
    metadata = {"Date": None} if kind == "svg" else {"Software": None}
    logger = logging.getLogger("matplotlib")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            # A class name in a script that the font lacks is drawn as boxes; that is no failure.
            warnings.filterwarnings("ignore", message=".*[Gg]lyph.*")
            figure.savefig(stream, format=kind, dpi=150, metadata=metadata)
    finally:
        logger.setLevel(level)
    return stream.getvalue()
