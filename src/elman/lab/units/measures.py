"""How well single numbers tell texts with a label from those without, for many units at a time.

Values are (texts, units) everywhere, and flags (texts,) say which texts have the label.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.floating[Any]]
Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
BLOCK = 4_000_000
"""Values that are sorted at a time."""
BINS = 10


def blocks(values: Values) -> Iterator[slice]:
    """Yield the columns that are worked on at a time, so that little memory is used."""
    width = max(1, BLOCK // max(len(values), 1))
    for start in range(0, values.shape[1], width):
        yield slice(start, start + width)


def aucs(values: Values, flags: Flags) -> Floats:
    """Return the area under the ROC curve of each unit, for several labels at once.

    That is how often a text with the label has the higher value of two, ties counting half
    (Hanley & McNeil 1982, "The Meaning and Use of the Area under a ROC Curve").

    Args:
        values: (texts, units).
        flags: (labels, texts); each has texts with the label and without.

    Returns:
        (labels, units).
    """
    from scipy.stats import rankdata

    with_label = flags.sum(axis=1)[:, None].astype(np.float64)
    without = flags.shape[1] - with_label
    found = np.empty((len(flags), values.shape[1]))
    for columns in blocks(values):
        sums = flags.astype(np.float64) @ rankdata(values[:, columns], axis=0)
        found[:, columns] = (sums - with_label * (with_label + 1) / 2) / (with_label * without)
    return found


def thresholds(values: Values, flags: Flags, high: Flags) -> Floats:
    """Return from where on each unit is best taken to say the label: by the balanced accuracy.

    Args:
        values: (texts, units).
        flags: (texts,).
        high: (units,) whether values above the threshold speak for the label, or those below.
    """
    found = np.empty(values.shape[1])
    for columns in blocks(values):
        part = values[:, columns].astype(np.float64)
        order = part.argsort(axis=0, kind="stable")
        part, own = np.take_along_axis(part, order, axis=0), flags[order]
        below = (~own).cumsum(axis=0) / max((~flags).sum(), 1)
        below -= own.cumsum(axis=0) / max(flags.sum(), 1)
        gains = np.where(high[columns], below, -below)[:-1]
        gains[part[1:] <= part[:-1]] = -np.inf  # no threshold stands between equal values
        best, units = gains.argmax(axis=0), np.arange(part.shape[1])
        found[columns] = (part[best, units] + part[best + 1, units]) / 2
    return found


def balanced_accuracies(values: Values, flags: Flags, cuts: Floats, high: Flags) -> Floats:
    """Return the mean of the shares of right answers among texts with the label and without."""
    found = np.empty(values.shape[1])
    for columns in blocks(values):
        says = (values[:, columns] > cuts[columns]) == high[columns]
        found[columns] = (says[flags].mean(axis=0) + 1 - says[~flags].mean(axis=0)) / 2
    return found


def mutual_information(values: Values, flags: Flags, edges: Floats) -> Floats:
    """Return how many bits each unit's value says of the label, of at most one.

    Values are taken by bins; what chance alone gives is taken off in the mean (Miller 1955, "Note
    on the bias of information estimates").

    Args:
        values: (texts, units).
        flags: (texts,).
        edges: (bins - 1, units), where bins end, as of ``bin_edges``.
    """
    bins = len(edges) + 1
    found = np.empty(values.shape[1])
    for columns in blocks(values):
        part = values[:, columns]
        place = sum((part > edge[columns]).astype(np.int8) for edge in edges)
        counts = np.empty((2, bins, part.shape[1]))
        for number in range(bins):
            inside = place == number
            counts[1, number] = inside[flags].sum(axis=0)
            counts[0, number] = inside[~flags].sum(axis=0)
        found[columns] = _information(counts)
    return found


def bin_edges(values: Values) -> Floats:
    """Return the deciles of each unit, (9, units), by which its values are put into bins."""
    found = np.empty((BINS - 1, values.shape[1]))
    for columns in blocks(values):
        found[:, columns] = np.quantile(values[:, columns], np.linspace(0, 1, BINS + 1)[1:-1], 0)
    return found


def _information(counts: Floats) -> Floats:
    """Return the bits of tables of counts, (2, bins, units)."""
    total = counts.sum(axis=(0, 1))
    tables = (counts.sum(axis=0), counts.sum(axis=1), counts.reshape(-1, counts.shape[2]))
    by_bin, by_label, whole = (_entropy(table, total) for table in tables)
    bits: Floats = np.maximum(by_bin + by_label - whole, 0)
    return bits


def _entropy(counts: Floats, total: Floats) -> Floats:
    """Return the entropy of counts (cells, units) in bits, by Miller's formula."""
    shares = counts / total
    plain = -(shares * np.log2(shares, out=np.zeros_like(shares), where=shares > 0)).sum(axis=0)
    bits: Floats = plain + ((counts > 0).sum(axis=0) - 1) / (2 * total * np.log(2))
    return bits
