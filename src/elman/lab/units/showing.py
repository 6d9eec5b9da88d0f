"""A text token by token, coloured by what one unit holds after each."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from elman.data.batching import Batch
from elman.errors import ConfigError, InputError
from elman.lab.units.states import Unit, check_unit, language_model, units_of, windows
from elman.tasks.generate.predictor import LanguageModel
from elman.text.cleaning import normalise
from elman.text.summary import Summary, Table
from elman.text.terminal import visible_token
from elman.text.tokenizer.reversible import Flow
from elman.training.trained import Trained

LOW, MIDDLE, HIGH = (33, 102, 172), (247, 247, 247), (178, 24, 43)
"""Blue, white and red, which also those who see no green can tell apart (ColorBrewer's RdBu)."""
_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 16px/1.7 system-ui, sans-serif; max-width: 50rem; margin: 2rem auto; padding: 0 1rem;
  color: #111; background: #fff }}
p.text {{ white-space: pre-wrap; overflow-wrap: anywhere }}
p.text span {{ padding: .1em 0 }}
p.key span {{ padding: .2em .6em }}
.dark {{ color: #fff }}
</style>
</head>
<body>
"""


class TokenValue(msgspec.Struct, frozen=True):
    """A piece of the text, and what the unit holds after it."""

    token: str
    value: float


class UnitTrace(Summary, msgspec.Struct, frozen=True):
    """What one unit holds on its way through a text."""

    unit: str
    first: float
    """Before the text."""
    tokens: list[TokenValue]
    middle: float = 0.0
    """The value that has no colour: the unit's threshold where one is known, else 0."""
    low: str = ""
    """What values under it speak for, where that is known."""
    high: str = ""

    @property
    def reach(self) -> float:
        """How far the values go from the middle; what is so far away has the full colour."""
        return max((abs(one.value - self.middle) for one in self.tokens), default=0.0) or 1.0

    def shade(self, value: float) -> tuple[int, int, int]:
        """Return the colour of a value: red, green and blue, each 0 to 255."""
        share = min(max((value - self.middle) / self.reach, -1.0), 1.0)
        far = HIGH if share > 0 else LOW
        red, green, blue = (
            round(m + (f - m) * abs(share)) for m, f in zip(MIDDLE, far, strict=True)
        )
        return red, green, blue

    def is_dark(self, value: float) -> bool:
        """Whether white letters are read more easily on the colour of a value."""
        red, green, blue = self.shade(value)
        return 0.299 * red + 0.587 * green + 0.114 * blue < 140

    def key(self) -> list[tuple[float, str]]:
        """Return the values at the ends and in the middle of the colours, and what they say."""
        return [
            (self.middle - self.reach, self.low),
            (self.middle, ""),
            (self.middle + self.reach, self.high),
        ]

    def html(self) -> str:
        """Return a page that needs nothing else."""
        return "".join(self._page())

    def _page(self) -> Iterator[str]:
        yield _PAGE.format(title=f"Unit {escape(self.unit)}")
        key = "".join(
            self._span(f"{value:+.2f} {said}".strip(), value, "") for value, said in self.key()
        )
        yield f'<p class="key">unit {escape(self.unit)}: {key}</p>\n<p class="text">'
        for one in self.tokens:
            yield self._span(one.token, one.value, f' title="{one.value:+.4f}"')
        yield "</p>\n</body>\n</html>\n"

    def _span(self, text: str, value: float, title: str) -> str:
        colour = "#{:02x}{:02x}{:02x}".format(*self.shade(value))
        dark = ' class="dark"' if self.is_dark(value) else ""
        return f'<span{dark} style="background:{colour}"{title}>{escape(text)}</span>'

    def summary(self) -> Iterator[str | Table]:
        """Show the values token by token, of a long text those at its ends."""
        yield f"unit {self.unit}, {self.first:+.4f} before the text; .html()"
        rows = [[visible_token(one.token), f"{one.value:+.4f}"] for one in self.tokens]
        yield Table(["token", "value"], rows)

    def _repr_html_(self) -> str:
        spans = "".join(self._span(one.token, one.value, "") for one in self.tokens)
        return f'<div style="white-space:pre-wrap">{spans}</div>'


def show_unit(
    model: LanguageModel | Trained[Any, Any] | str | Path,
    text: str,
    unit: Unit | str,
    *,
    middle: float = 0.0,
    low: str = "",
    high: str = "",
) -> UnitTrace:
    """Return what a unit holds after each token of a text.

    Args:
        model: a language model, what ``train`` returned, or a folder.
        text: read from its beginning.
        unit: which, as in ``0.c.123``.
        middle: the value that has no colour.
        low: what lower values speak for.
        high: what higher values speak for.

    Raises:
        ConfigError: there is no such unit, or it is no language model.
        InputError: the text is empty, or none.
    """
    if not isinstance(text, str) or not text:
        raise InputError(f"the text to show is {text!r:.60}; give a text that is not empty")
    model = language_model(model)
    unit = Unit.parse(unit) if isinstance(unit, str) else unit
    check_unit(model, unit)
    ids = np.append(np.int32(model.before), model.coder.encode(text))
    batch = Batch(np.zeros(1, np.int64), ids, np.ones(len(ids), np.int64))
    place = units_of(model).index(unit)
    values = [float(states[0, place]) for _, states in windows(model, batch, 1)]
    if not np.isfinite(values).all():
        raise ConfigError(f"unit {unit} is no finite number somewhere in the text")
    pieces = _pieces(model, text, ids[1:].tolist(), values[1:])
    return UnitTrace(str(unit), values[0], pieces, middle, low, high)


def _pieces(
    model: LanguageModel, text: str, ids: list[int], values: list[float]
) -> list[TokenValue]:
    """Return what can be read of the tokens, whole characters, with the value after each."""
    if model.coder.level == "characters":  # also those that the model does not know
        whole = normalise(text)
        if len(whole) == len(ids):
            return [TokenValue(*one) for one in zip(whole, values, strict=True)]
    flow, found = Flow(model.coder), []
    for number, value in zip(ids, values, strict=True):
        piece = flow.add(number)
        if piece:
            found.append(TokenValue(piece, value))
    return found
