"""What units hold, drawn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from elman.lab.units.report import LabelUnits
from elman.lab.units.states import Unit
from elman.training.figures import Picture, harmless_legend

if TYPE_CHECKING:
    from elman.lab.units.finding import FoundUnits

MOST_PANELS = 6
MOST_CURVES = 6
BINS = 40
EDGES = (0.5, 99.5)
"""Between which percentiles is drawn; what lies beyond counts in the last bins."""


def histograms(found: FoundUnits) -> Figure:
    """Draw what the best unit of each label holds for the held-out texts, by label.

    Of more than six labels the six with the best units are drawn.
    """
    labels = sorted(found.report.labels, key=lambda one: -one.best.train_auc)[:MOST_PANELS]
    columns = min(len(labels), 3)
    rows = -(-len(labels) // columns)
    figure = Picture(figsize=(4.6 * columns, 3.2 * rows), layout="constrained")
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, one in zip(panels, labels, strict=False):
        _panel(axes, found, one)
    for axes in panels[len(labels) :]:
        axes.remove()
    return figure


def _panel(axes: Axes, found: FoundUnits, one: LabelUnits) -> None:
    values = found.test[:, found.units.index(Unit.parse(one.best.unit))]
    low, high = np.percentile(values, EDGES)
    bins = np.linspace(low, high if high > low else low + 1, BINS + 1)
    for name, rows in _groups(found, one.label):
        axes.hist(
            np.clip(values[rows], bins[0], bins[-1]),
            bins=list(bins),
            density=True,
            histtype="stepfilled" if name == one.label else "step",
            alpha=0.6 if name == one.label else 1.0,
            linewidth=1.3,
            label=f"{name} ({int(rows.sum()):,})",
        )
    axes.axvline(one.best.threshold, color="grey", linestyle=":", label="threshold")
    axes.set_title(f"{one.best.unit}, AUC {one.best.auc:.3f}", fontsize=9, color="grey")
    axes.set_xlabel(f"value ({found.report.pool})")
    axes.set_ylabel("density")
    axes.grid(alpha=0.3)
    harmless_legend(axes)


def _groups(found: FoundUnits, label: str) -> list[tuple[str, np.ndarray]]:
    """Return which held-out texts stand in one curve: those of each label, or all others."""
    test = found.split.test
    sets = test.label_sets
    has = np.array([label in row for row in sets])
    others = sorted({*test.sizes()} - {label})
    if test.several or len(others) >= MOST_CURVES:
        return [(label, has), ("others", ~has)]
    return [
        (label, has),
        *((name, np.array([name in row for row in sets])) for name in others),
    ]
