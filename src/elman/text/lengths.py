"""Rows of different lengths in one array, one row after the other: where each begins."""

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


def offsets_of(lengths: Ints) -> Ints:
    """Return where each row begins."""
    return np.cumsum(lengths) - lengths


def steps_of(lengths: Ints) -> Ints:
    """Return for each value, all rows one after the other, which one of its row it is, from 0."""
    steps: Ints = np.arange(lengths.sum()) - np.repeat(offsets_of(lengths), lengths)
    return steps


def places_of(starts: Ints, lengths: Ints) -> Ints:
    """Return where the values of some rows stand, all rows one after the other.

    Args:
        starts: where each row begins.
        lengths: how many values it has.
    """
    places: Ints = np.repeat(starts, lengths) + steps_of(lengths)
    return places
