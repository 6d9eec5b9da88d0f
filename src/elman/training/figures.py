"""Pictures of a run, for the model's folder, a notebook and a script.

Imported where a picture is drawn: matplotlib takes a moment to load.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from elman.training.report import Metric, shown_as

if TYPE_CHECKING:
    from elman.training.calibration import Calibration
    from elman.training.history import Epoch

PIXELS_PER_INCH = 150
HEIGHT = 700
"""Pixels that a picture may be high in a notebook, so that it fits a screen."""


class Picture(Figure):
    """A matplotlib figure that a notebook shows by itself, without pyplot."""

    def _repr_png_(self) -> bytes:
        return render(self, "png", dpi=int(min(100, HEIGHT / self.get_figheight())))


def render(figure: Figure, kind: str, *, dpi: int = PIXELS_PER_INCH) -> bytes:
    """Return a figure as a file of the ``kind`` png or svg; equal figures give equal files."""
    stream = io.BytesIO()
    metadata = {"Date": None} if kind == "svg" else {"Software": None}
    with _any_script(), rc_context({"svg.hashsalt": "elman"}):
        figure.savefig(stream, format=kind, dpi=dpi, metadata=metadata)
    return stream.getvalue()


@contextmanager
def _any_script() -> Iterator[None]:
    """A label in a script that the font lacks is drawn as boxes; that is no failure."""
    logger = logging.getLogger("matplotlib")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*[Gg]lyph.*")
            yield
    finally:
        logger.setLevel(level)


def learning_curve(history: Sequence[Epoch], metrics: Mapping[str, Metric] | None = None) -> Figure:
    """Draw what happened epoch by epoch: losses on the left, what should rise on the right.

    Args:
        history: the epochs of one run.
        metrics: the task's, for their titles and whether higher is better; without them a metric is
            called by its name, and ``loss`` alone falls.

    Returns:
        A figure of one panel, or of two where the validation part has scores that should rise. The
        score that decides has a line where it is none of the metrics. A dotted line marks the epoch
        whose weights were kept.
    """
    known = metrics or {"loss": Metric("valid loss", higher_is_better=False)}
    names = [*history[0].metrics] if history else []
    table = {name: shown_as(name, known) for name in names}
    rising = {name: one for name, one in table.items() if one.higher_is_better}
    falling = {name: one for name, one in table.items() if not one.higher_is_better}
    panels = 2 if rising else 1
    figure = Picture(figsize=(4.6 * panels, 3.4), layout="constrained")
    axes = figure.subplots(1, panels, squeeze=False)[0]
    _line(axes[0], history, [epoch.loss for epoch in history], "training loss")
    _lines(axes[0], history, falling)
    axes[0].set_ylabel("loss")
    if rising:
        _lines(axes[1], history, rising)
        scores = [epoch.score for epoch in history if epoch.score is not None]
        if len(scores) == len(history) and not _is_drawn(scores, history):
            _line(axes[1], history, scores, "score")
        axes[1].set_ylabel("validation part")
    for panel in axes:
        _finish(panel, history)
    return figure


def _is_drawn(scores: Sequence[float], history: Sequence[Epoch]) -> bool:
    """Whether a score is one of the metrics, or that with its sign turned, as of a loss."""
    drawn = ([epoch.metrics[name] for epoch in history] for name in history[0].metrics)
    return any(np.allclose(np.abs(values), np.abs(scores)) for values in drawn)


def _lines(axes: Axes, history: Sequence[Epoch], metrics: Mapping[str, Metric]) -> None:
    for name, metric in metrics.items():
        _line(axes, history, [epoch.metrics[name] for epoch in history], metric.title)


def _line(axes: Axes, history: Sequence[Epoch], values: Sequence[float], title: str) -> None:
    epochs = [epoch.epoch for epoch in history]
    axes.plot(epochs, values, marker="o" if len(epochs) <= 30 else "", markersize=3, label=title)


def _finish(axes: Axes, history: Sequence[Epoch]) -> None:
    kept = [epoch.epoch for epoch in history if epoch.best]
    if kept:
        axes.axvline(kept[-1], color="grey", linestyle=":", label=f"kept: epoch {kept[-1]}")
    axes.set_xlabel("epoch")
    axes.set_xlim(0.5, max(len(history), 1) + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)


def reliability(
    after: Calibration | None,
    before: Calibration | None = None,
    *,
    right: str = "share of right answers",
    said: str = "probability of the answer",
) -> Figure:
    """Draw how often answers are right over how probable they are said to be.

    Honest probabilities lie on the diagonal; over them a model is too modest, under them too sure.
    The bars below are how many answers there are.

    Args:
        after: of the probabilities as they are answered.
        before: of those before they were calibrated.
        right: what the upper axis shows.
        said: what the lower axis shows.
    """
    figure = Picture(figsize=(5.2, 5.2), layout="constrained")
    above, below = figure.subplots(2, 1, height_ratios=[4, 1], sharex=True)
    above.plot([0, 1], [0, 1], color="grey", linestyle=":", label="honest")
    for title, found, style in (
        ("before calibration", before, "s--"),
        ("as answered", after, "o-"),
    ):
        if found is not None:
            _reliability_line(above, title, found, style)
    if after is not None:
        bins = after.bins
        below.bar([one.confidence for one in bins], [one.count for one in bins], width=0.04)
    above.set_ylabel(right)
    below.set_ylabel("answers")
    below.set_xlabel(said)
    as_shares(above)
    harmless_legend(above)
    return figure


def _reliability_line(axes: Axes, title: str, found: Calibration, style: str) -> None:
    axes.plot(
        [one.confidence for one in found.bins],
        [one.accuracy for one in found.bins],
        style,
        markersize=4,
        linewidth=1.4,
        label=f"{title}: calibration error {found.error:.3f}, log loss {found.log_loss:.3f}",
    )


def as_shares(axes: Axes) -> None:
    """Make both axes go from 0 to 1."""
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.02)
    axes.grid(alpha=0.3)


def harmless_legend(axes: Axes) -> None:
    """Add the legend; a label may hold dollar signs, and is no formula."""
    legend = axes.legend(fontsize=8)
    for text in legend.get_texts():
        text.set_parse_math(False)
