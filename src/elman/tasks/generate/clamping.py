"""Units that are held while a text is written, as people write them down."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence

from elman.cell import Cell
from elman.errors import ConfigError
from elman.nn.decoding import Clamp

Held = Mapping[int | str | tuple[int, str, int], float] | Sequence[str]
"""Units by number, by text as in ``c.12`` or by (layer, state, unit), each with its value; or texts
as in ``c.12=3.0``."""

LARGEST = 3e38
"""Of numbers of 32 bits."""
_FORM = "write unit=value, as in 12=3.0, or with layer and state, as in 0.c.12=3.0"
_PLACE = re.compile(r"(?:(\d+)\.)?(?:([^\W\d]\w*)\.)?(\d+)")


def clamp_of(held: Held, cell: Cell, num_layers: int) -> Clamp:
    """Return which units are held at what, by layer, state and unit.

    A unit without a layer is of the last one, without a state of the cell's memory: ``c`` where
    there is one, as in an LSTM, else the first state.

    Raises:
        ConfigError: one is not written like this, or is there twice.
    """
    found: dict[tuple[int, str, int], float] = {}
    for key, value in _pairs(held):
        place = key if isinstance(key, tuple) else _placed(str(key), cell, num_layers)
        if place in found:
            raise ConfigError(f"clamp has the unit {key!r} twice; give it once")
        found[place] = _number(key, value)
    return found


def _pairs(held: Held) -> list[tuple[int | str | tuple[int, str, int], object]]:
    if isinstance(held, Mapping):
        return list(held.items())
    if isinstance(held, str) or not all(isinstance(one, str) for one in held):
        raise ConfigError(f"clamp is {held!r:.60}; {_FORM}")
    return [(key.strip(), value) for key, _, value in (one.partition("=") for one in held)]


def _placed(text: str, cell: Cell, num_layers: int) -> tuple[int, str, int]:
    match = _PLACE.fullmatch(text)
    if match is None:
        raise ConfigError(f"clamp has {text!r:.60}, which is no unit; {_FORM}")
    layer, state, unit = match.groups()
    usual = "c" if "c" in cell.states else cell.states[0]
    return int(layer) if layer else num_layers - 1, state or usual, int(unit)


def _number(key: object, value: object) -> float:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        number = math.nan
    if not abs(number) <= LARGEST:  # nor is nan
        raise ConfigError(f"clamp holds {key} at {value!r:.60}, which is no number; {_FORM}")
    return number
