"""Networks of different cells with the same number of parameters."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from elman.data.splits import Split
from elman.errors import ConfigError
from elman.training.options import RunOptions
from elman.training.task import Task

_LETTERS = {"": 1, "k": 1_000, "m": 1_000_000, "b": 1_000_000_000}
_PROBES = (24, 40, 56)
LARGEST = 1 << 14
"""Units that are tried, at most."""


def number_of(text: str | int) -> int:
    """Return how many parameters are meant by ``1M``, ``500k`` or a number.

    Raises:
        ConfigError: that is none.
    """
    said = str(text).strip().lower().replace("_", "").replace(",", "")
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([kmb]?)", said)
    if isinstance(text, bool) or not found or not float(found[1]):
        raise ConfigError(f"parameters is {text!r}; it must be a number above 0, as in 500k or 1M")
    return round(float(found[1]) * _LETTERS[found[2]])


def with_parameters(
    task: Task, split: Split[Any], options: RunOptions, wanted: int
) -> tuple[RunOptions, int]:
    """Return the options with the hidden size whose network comes nearest to ``wanted``.

    Args:
        task: what is trained.
        split: the data, on which vocabulary and classes depend.
        options: as asked for, without a hidden size.
        wanted: how many parameters.

    Returns:
        The options, and how many parameters the network has.

    Raises:
        ConfigError: the smallest network has far more, or sizes are asked for, too.
    """
    if getattr(options, "hidden_size", None) is not None:
        raise ConfigError(
            "parameters decides the hidden size, which is given, too; leave one of the two out"
        )
    counts: dict[int, int] = {}

    def count(size: int) -> int:
        if size not in counts:
            asked = msgspec.structs.replace(options, hidden_size=size)
            model = task.prepare(split, task.plain(asked)).model
            counts[size] = sum(p.numel() for p in model.parameters())
        return counts[size]

    size = _nearest(count, wanted)
    if count(size) > 1.5 * wanted:
        raise ConfigError(
            f"a network of one unit has {count(size):,} parameters, more than {wanted:,}: ask for "
            "more, or make the embedding smaller"
        )
    return msgspec.structs.replace(options, hidden_size=size), count(size)


def _nearest(count: Callable[[int], int], wanted: int) -> int:
    """Return the size whose count is nearest to ``wanted``; counts rise with sizes.

    Parameters are a polynomial of the second degree in the hidden size, so three networks tell
    nearly where it is.
    """
    curve = np.polyfit(_PROBES, [count(size) for size in _PROBES], 2)
    grid = np.arange(1, LARGEST)
    size = int(grid[np.abs(np.polyval(curve, grid) - wanted).argmin()])
    while size > 1 and abs(count(size - 1) - wanted) < abs(count(size) - wanted):
        size -= 1
    while size < LARGEST and abs(count(size + 1) - wanted) < abs(count(size) - wanted):
        size += 1
    return size
