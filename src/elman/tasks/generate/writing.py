"""Writing on: a prompt in, texts out, token by token."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from elman.nn.batches import device_of
from elman.nn.decoding import (
    Clamp,
    RecurrentStepper,
    Sampling,
    beam_search,
    log_probabilities,
    sample,
)
from elman.nn.language_model import RecurrentLanguageModel
from elman.text.tokenizer.reversible import END_ID, UNKNOWN_ID, TextCoder

OnText = Callable[[int, str], object]
"""Told of the number of a text and what was written of it, as it is written."""


@dataclass(frozen=True)
class WrittenText:
    """What was written after a prompt."""

    text: str
    """Without the prompt, without what it was to stop at."""
    tokens: int
    log_prob: float
    """The logarithm of its probability by the model, at temperature 1."""
    finished: str
    """``end`` of the text, ``stop`` or ``limit``."""


class Writing:
    """A model as it is now, ready to write.

    Args:
        model: in evaluation mode.
        coder: its tokenizer.
        before: the id that stands before a text's first token: an end where texts stand alone.
        clamp: units that are held.
    """

    def __init__(
        self,
        model: RecurrentLanguageModel,
        coder: TextCoder,
        *,
        before: int,
        clamp: Clamp | None = None,
    ):
        self.model, self.coder, self.before = model, coder, before
        self._clamped = bool(clamp)
        head: Any = model.head.log_probs
        if model.narrow is not None:
            narrow = model.narrow
            head = lambda hidden: model.head.log_probs(narrow(hidden))  # noqa: E731
        elif model.config.softmax != "adaptive":
            head = model.head
        self._stepper = RecurrentStepper(
            model.recurrent, model.embedding.weight, head, clamp=clamp or None
        )
        alone = before == END_ID
        self._ends = (END_ID,) if alone else ()
        self._banned = (UNKNOWN_ID,) if alone else (END_ID, UNKNOWN_ID)

    def write(
        self,
        prompt: str,
        *,
        labels: Sequence[int] | None = None,
        count: int = 1,
        max_new_tokens: int,
        sampling: Sampling | None = None,
        stop: Sequence[str] = (),
        seed: int | None = 0,
        on_text: OnText | None = None,
    ) -> list[WrittenText]:
        """Write ``count`` texts that begin with the prompt; each has its own random numbers.

        Args:
            prompt: what they begin with; "" for nothing.
            labels: the number of the label of each text.
            count: how many.
            max_new_tokens: where they end in any case.
            sampling: how the next token is drawn.
            stop: texts to stop at.
            seed: of the random numbers; None for others each time.
            on_text: told of what is written, as it is written.
        """
        first, state = self._read(prompt, labels, count)
        flows = [Flow(self.coder) for _ in range(count)]

        def on_token(row: int, token: int) -> None:
            assert on_text is not None
            text = flows[row].add(token)
            if text:
                on_text(row, text)

        written = sample(
            self._stepper,
            state,
            first,
            max_new_tokens=max_new_tokens,
            sampling=sampling,
            rng=np.random.default_rng(seed),
            end=self._ends,
            banned=self._banned,
            stop=self._stopping(stop),
            seen=self._seen(prompt, count),
            on_token=None if on_text is None else on_token,
        )
        return [
            WrittenText(
                _without(self.coder.decode(one.ids), stop if one.finished == "stop" else ()),
                len(one.ids),
                one.log_prob,
                one.finished,
            )
            for one in written
        ]

    def search(
        self,
        prompt: str,
        *,
        label: int | None = None,
        beam_size: int,
        count: int = 1,
        max_new_tokens: int,
    ) -> list[WrittenText]:
        """Return the most probable texts that begin with the prompt, the best first."""
        first, state = self._read(prompt, None if label is None else [label], 1)
        [found] = beam_search(
            self._stepper,
            state,
            first,
            beam_size=beam_size,
            max_new_tokens=max_new_tokens,
            end=self._ends,
            banned=self._banned,
            n_best=count,
        )
        return [
            WrittenText(self.coder.decode(one.ids), len(one.ids), one.log_prob, one.finished)
            for one in found
        ]

    def log_probs(self, prompt: str, *, label: int | None = None) -> np.ndarray:
        """Return the logarithms of the probabilities of the token after the prompt, (V,)."""
        first, state = self._read(prompt, None if label is None else [label], 1)
        logits, _ = self._stepper.step(first, state)
        found: np.ndarray = log_probabilities(logits)[0]
        return found

    def _read(self, prompt: str, labels: Sequence[int] | None, rows: int) -> tuple[np.ndarray, Any]:
        """Return the last token of the prompt, for each row, and the state before it."""
        device = device_of(self.model)
        ids = [self.before, *self.coder.encode(prompt).tolist()]
        with torch.no_grad():
            states = self.model.begin(rows)
            numbers = added = None
            if labels is not None and self.model.labels is not None:
                numbers = torch.tensor(labels, device=device)
                added = self.model.labels(numbers)
            if len(ids) > 1 and not self._clamped:
                states = self._after(ids[:-1], rows, states, numbers)
        first = np.full(rows, ids[-1], dtype=np.int64)
        state = self._stepper.start(rows, states, added=added)
        if self._clamped:  # units are held from the first token on, which takes step after step
            for token in ids[:-1]:
                _, state = self._stepper.step(np.full(rows, token, dtype=np.int64), state)
        return first, state

    def _after(
        self, ids: Sequence[int], rows: int, states: dict[str, Tensor], labels: Tensor | None
    ) -> dict[str, Tensor]:
        device = device_of(self.model)
        tokens = torch.tensor(ids, device=device).repeat_interleave(rows)
        packed = PackedSequence(tokens, torch.full((len(ids),), rows))
        return self.model(packed, states, labels)[2]

    def _stopping(self, stop: Sequence[str]) -> Callable[[Sequence[int]], bool] | None:
        if not stop:
            return None
        # A token is a character at least, or a fourth of one.
        reach = 4 * max(map(len, stop))
        return partial(self._has_stopped, stop, reach)

    def _has_stopped(self, stop: Sequence[str], reach: int, ids: Sequence[int]) -> bool:
        tail = self.coder.decode(ids[-reach:])
        return any(one in tail for one in stop)

    def _seen(self, prompt: str, rows: int) -> Any:
        seen = np.zeros((rows, self.coder.vocab_size), dtype=bool)
        seen[:, self.coder.encode(prompt)] = True
        return seen


class Flow:
    """Text as it is written: a character of several bytes comes out when it is whole."""

    def __init__(self, coder: TextCoder):
        self._coder = coder
        self._waiting: list[int] = []

    def add(self, token: int) -> str:
        """Return what can be read with one more token."""
        self._waiting.append(token)
        text = self._coder.decode(self._waiting)
        is_part = self._coder.level in ("bytes", "bpe") and text.endswith("\ufffd")
        if is_part and len(self._waiting) < 4:
            return ""
        self._waiting.clear()
        return text


def _without(text: str, stop: Sequence[str]) -> str:
    """Return the text up to the first of ``stop``."""
    places = [place for one in stop if (place := text.find(one)) >= 0]
    return text[: min(places)] if places else text
