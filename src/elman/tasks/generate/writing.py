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
    sample,
)
from elman.nn.language_model import RecurrentLanguageModel
from elman.text.tokenizer.reversible import END_ID, UNKNOWN_ID, Flow, TextCoder

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
        self.stepper = RecurrentStepper(
            model.recurrent, model.embedding.weight, head, clamp=clamp or None
        )
        alone = before == END_ID
        self.ends = (END_ID,) if alone else ()
        self.banned = (UNKNOWN_ID,) if alone else (END_ID, UNKNOWN_ID)

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
        first, state = self.read(prompt, labels, count)
        skip = blank_after(self.coder, prompt)
        spoken = [Spoken(self.coder, stop, skip) for _ in range(count)]
        texts: list[list[str]] = [[] for _ in range(count)]

        def on_token(row: int, token: int) -> None:
            say(row, spoken[row].add(token))

        def say(row: int, text: str) -> None:
            texts[row].append(text)
            if text and on_text is not None:
                on_text(row, text)

        written = sample(
            self.stepper,
            state,
            first,
            max_new_tokens=max_new_tokens,
            sampling=sampling,
            rng=np.random.default_rng(seed),
            end=self.ends,
            banned=self.banned,
            stop=self._stopping(stop),
            seen=None if sampling is None else self.seen(prompt, count, sampling),
            on_token=None if on_text is None else on_token,
        )
        for row, one in enumerate(written):
            if on_text is None:
                texts[row] += map(spoken[row].add, one.ids)
            say(row, spoken[row].rest())
        return [
            WrittenText("".join(text), len(one.ids), one.log_prob, one.finished)
            for text, one in zip(texts, written, strict=True)
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
        first, state = self.read(prompt, None if label is None else [label], 1)
        [found] = beam_search(
            self.stepper,
            state,
            first,
            beam_size=beam_size,
            max_new_tokens=max_new_tokens,
            end=self.ends,
            banned=self.banned,
            n_best=count,
        )
        skip = blank_after(self.coder, prompt)
        return [
            WrittenText(
                self.coder.decode(one.ids).removeprefix(skip),
                len(one.ids),
                one.log_prob,
                one.finished,
            )
            for one in found
        ]

    def read(
        self, prompt: str, labels: Sequence[int] | None = None, rows: int = 1
    ) -> tuple[np.ndarray, Any]:
        """Return the last token of the prompt, for each row, and the state before it."""
        if labels is None or len(set(labels)) == 1:  # what is the same for all is read once
            first, state = self._read_rows(prompt, labels and labels[:1], 1)
            if rows == 1:
                return first, state
            return first.repeat(rows), self.stepper.select(state, np.zeros(rows, dtype=np.int64))
        return self._read_rows(prompt, labels, rows)

    def _read_rows(
        self, prompt: str, labels: Sequence[int] | None, rows: int
    ) -> tuple[np.ndarray, Any]:
        device = device_of(self.model)
        text = prompt.removesuffix(blank_after(self.coder, prompt))
        ids = [self.before, *self.coder.encode(text).tolist()]
        with torch.no_grad():
            states = self.model.begin(rows)
            numbers = added = None
            if labels is not None and self.model.labels is not None:
                numbers = torch.tensor(labels, device=device)
                added = self.model.labels(numbers)
            if len(ids) > 1 and not self._clamped:
                states = self._after(ids[:-1], rows, states, numbers)
        first = np.full(rows, ids[-1], dtype=np.int64)
        state = self.stepper.start(rows, states, added=added)
        if self._clamped:  # units are held from the first token on, which takes step after step
            for token in ids[:-1]:
                _, state = self.stepper.step(np.full(rows, token, dtype=np.int64), state)
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

    def seen(self, prompt: str, rows: int, sampling: Sampling) -> Any:
        """Return which tokens stand in a prompt, (rows, V), where that makes a difference."""
        if sampling.repetition_penalty == 1:
            return None
        seen = np.zeros((rows, self.coder.vocab_size), dtype=bool)
        seen[:, self.coder.encode(prompt)] = True
        return seen


def blank_after(coder: TextCoder, prompt: str) -> str:
    """Return the blank at the end of a prompt that belongs to the word to come, if any.

    Words and their pieces have the blank before them: a blank alone is nearly never followed by
    one. So it is left out of what is read, and of what is written.
    """
    alone = prompt[-1:] == " " and not prompt[-2:-1].isspace()
    return " " if alone and coder.level in ("words", "bpe") else ""


class Spoken:
    """What one row writes, as text: held back where it may be the beginning of what to stop at.

    Args:
        coder: the tokenizer.
        stop: texts to stop at.
        skip: what the text may begin with and does not say.
    """

    def __init__(self, coder: TextCoder, stop: Sequence[str] = (), skip: str = ""):
        self._flow, self._stop, self._skip = Flow(coder), stop, skip
        self._held = ""
        self._stopped = False

    def add(self, token: int) -> str:
        """Return what is sure to stay with one more token."""
        text = self._flow.add(token)
        if self._skip:
            text, self._skip = text.removeprefix(self._skip), ""
        if not self._stop:
            return text
        if self._stopped:
            return ""
        text = self._held + text
        places = [place for one in self._stop if (place := text.find(one)) >= 0]
        if places:
            self._stopped, self._held = True, ""
            return text[: min(places)]
        kept = len(text) - max(_overlap(text, one) for one in self._stop)
        self._held = text[kept:]
        return text[:kept]

    def rest(self) -> str:
        """Return what was held back, once nothing more comes."""
        return "" if self._stopped else self._held


def _overlap(text: str, stop: str) -> int:
    """Return how much of the end of a text is the beginning of ``stop``."""
    longest = min(len(text), len(stop) - 1)
    return next((n for n in range(longest, 0, -1) if text.endswith(stop[:n])), 0)
