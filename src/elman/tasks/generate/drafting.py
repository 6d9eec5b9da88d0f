"""A text that a person and a model write together, token by token, and can go back on."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from elman.errors import ConfigError
from elman.nn.decoding import Sampling, probabilities
from elman.tasks.generate.writing import Writing, blank_after
from elman.text.tokenizer.reversible import END_ID

Numbers = NDArray[np.float64]


class _Place(NamedTuple):
    """Where the text is after some of its tokens."""

    ids: tuple[int, ...]
    parts: tuple[str | int, ...]
    """What stands in the text: a person's own, or tokens by their ids."""
    logits: NDArray[Any]
    state: Any


class Draft:
    """A text on its way. Each step that is taken can be undone.

    Attributes:
        prompt: what the text begins with.
    """

    def __init__(
        self,
        writing: Writing,
        prompt: str,
        *,
        label: int | None = None,
        sampling: Sampling | None = None,
        seed: int | None = None,
    ):
        self.prompt = prompt
        self._writing, self._sampling = writing, sampling or Sampling()
        greedy = not self._sampling.temperature
        self._shown = replace(self._sampling, temperature=1.0) if greedy else self._sampling
        self._rng = np.random.default_rng(seed)
        first, state = writing.read(prompt, None if label is None else [label])
        self._seen = writing.seen(prompt, 1, self._sampling)
        self._skip = blank_after(writing.coder, prompt)
        self._places = [self._read(_Place((), (), first, state), int(first[0]))]

    @property
    def added(self) -> str:
        """What was written after the prompt."""
        parts = groupby(self._places[-1].parts, key=type)
        decode = self._writing.coder.decode
        texts = (
            "".join(map(str, run)) if kind is str else decode([*map(int, run)])
            for kind, run in parts
        )
        return "".join(texts).removeprefix(self._skip)

    @property
    def text(self) -> str:
        """The whole of it."""
        return self.prompt + self.added

    @property
    def ended(self) -> bool:
        """Whether the text has come to its end, after which there is nothing."""
        return self._places[-1].ids[-1:] == (END_ID,)

    def next(self, top: int = 10) -> list[dict[str, Any]]:
        """Return the most probable tokens: the ``token``, its ``id`` and its ``probability``.

        They are as they would be drawn, with temperature 0 as with 1. What cannot come is left out.

        Raises:
            ConfigError: ``top`` is no whole number of at least 1.
        """
        if not isinstance(top, int) or top < 1:
            raise ConfigError(f"top is {top!r}; it must be a whole number of at least 1")
        odds = self._odds(self._shown)
        best = np.argsort(-odds, kind="stable")[:top].tolist()
        token = self._writing.coder.token
        return [
            {"token": token(i), "id": i, "probability": float(odds[i])} for i in best if odds[i] > 0
        ]

    def draw(self) -> None:
        """Add a token as the model would: drawn, or with temperature 0 the most probable."""
        odds = self._odds(self._sampling)
        self.take(int(self._rng.choice(len(odds), p=odds)))

    def take(self, token: int) -> None:
        """Add a token by its id."""
        self._add([token], token)

    def add(self, text: str) -> None:
        """Add text of one's own, as one step."""
        if text:
            self._add(self._writing.coder.encode(text).tolist(), text)

    def undo(self) -> bool:
        """Take the last step back; return whether there was one."""
        if len(self._places) == 1:
            return False
        self._places.pop()
        return True

    def _add(self, tokens: list[int], part: str | int) -> None:
        before = place = self._places[-1]
        for token in tokens:
            place = self._read(place, token)
        ids = (*before.ids, *tokens)
        self._places.append(_Place(ids, (*before.parts, part), place.logits, place.state))

    def _read(self, place: _Place, token: int) -> _Place:
        logits, state = self._writing.stepper.step(np.array([token], dtype=np.int64), place.state)
        return place._replace(logits=logits, state=state)

    def _odds(self, sampling: Sampling) -> Numbers:
        place, seen = self._places[-1], self._seen
        if seen is not None and place.ids:
            seen = seen.copy()
            seen[0, list(place.ids)] = True
        odds: Numbers = probabilities(
            place.logits, sampling, seen=seen, banned=self._writing.banned
        )[0]
        return odds
