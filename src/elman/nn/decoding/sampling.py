"""Writing on from where a model is, one drawn token after the other."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from elman.errors import ConfigError
from elman.nn.decoding.filters import (
    Mask,
    Numbers,
    Sampling,
    normalised,
    token_weights,
)
from elman.nn.decoding.stepper import (
    Ids,
    Stepper,
    check_logits,
    first_ids,
    token_ids,
    whole_number,
)

_AHEAD = 256
"""How many random numbers a row draws at a time."""
_SCORED = 1 << 16
"""Logits that are kept until all their tokens are scored at once."""

Stop = Callable[[Sequence[int]], bool] | Sequence[Sequence[int]]


@dataclass
class Written:
    """What one row wrote."""

    ids: list[int] = field(default_factory=list)
    """The tokens, without the first, which was given, and without the one that ended them."""
    log_probs: list[float] = field(default_factory=list)
    """Of each, the logarithm of its probability by the model itself: at temperature 1, with no
    token left out."""
    log_prob: float = 0.0
    """Of all together, and of the end where there is one."""
    finished: Literal["end", "stop", "limit"] = "limit"
    """At an end token, where ``stop`` said so, or after max_new_tokens."""


def sample(
    stepper: Stepper,
    state: Any,
    first: NDArray[np.integer[Any]] | Sequence[int],
    *,
    max_new_tokens: int,
    rng: np.random.Generator | Sequence[np.random.Generator],
    sampling: Sampling | None = None,
    end: int | Iterable[int] = (),
    stop: Stop | None = None,
    banned: int | Iterable[int] = (),
    seen: Mask | None = None,
    on_token: Callable[[int, int], object] | None = None,
) -> list[Written]:
    """Write a text for each row.

    What a row writes does not hang on the rows beside it, but for the model's own numbers, whose
    rounding may differ with how many rows there are.

    Args:
        stepper: the model.
        state: where it is before the first token, B rows.
        first: (B,), the token that each row reads first: the last one of what was read so far,
            or a token that stands for the start.
        max_new_tokens: after so many tokens a row ends in any case.
        rng: from which a stream of random numbers for each row is spawned, by the number of the
            row; or the rows' own ones, which are then drawn from in blocks, ahead.
        sampling: how to draw; by default from the model's own probabilities.
        end: ids at which a row ends; they are not part of what it wrote.
        stop: token sequences at whose end a row stops; or a function that is called after each
            token with the ids that its row has written, and says whether to stop. What it wrote
            is kept, the sequence included.
        banned: ids that are never written.
        seen: (B, V), tokens that count as written already for the repetition penalty, such as
            those of a prompt.
        on_token: called with the number of the row and each of its tokens, as they are written.

    Raises:
        ConfigError: an argument is out of range, or all tokens are banned.
        ElmanError: the model gives what is no number.
    """
    sampling = Sampling() if sampling is None else sampling
    ids, ends, never = first_ids(first), token_ids("end", end), token_ids("banned", banned)
    whole_number("max_new_tokens", max_new_tokens, 0)
    stops = _stopping(stop)
    written = [Written() for _ in ids]
    if not len(ids) or not max_new_tokens:
        return written
    numbers = None if not sampling.temperature else _Numbers(rng, len(ids))
    writer = _Writer(written, ends, stops, on_token)
    rows = list(range(len(ids)))
    for step in range(max_new_tokens):
        logits, state = stepper.step(ids, state)
        if not step:
            check_logits(logits, len(ids), {"end": ends, "banned": never})
            seen = _seen(seen, logits.shape, sampling)
        weights = token_weights(logits, sampling, seen, never)
        ids = _drawn(weights, None if numbers is None else numbers.next())
        kept = writer.write(rows, ids, logits)
        if not kept:
            break
        if seen is not None:
            seen[np.arange(len(ids)), ids] = True
        if len(kept) < len(rows) and step < max_new_tokens - 1:
            places = np.array(kept)
            rows, ids, state = [rows[at] for at in kept], ids[places], stepper.select(state, places)
            seen = None if seen is None else seen[places]
            if numbers is not None:
                numbers.select(places)
    writer.score()
    return written


class _Writer:
    """What becomes of tokens that were drawn."""

    def __init__(
        self,
        written: Sequence[Written],
        ends: tuple[int, ...],
        stops: Callable[[Sequence[int]], bool] | None,
        on_token: Callable[[int, int], object] | None,
    ) -> None:
        self.written, self.ends, self.stops, self.on_token = written, ends, stops, on_token
        self._unscored: list[tuple[list[int], Ids, NDArray[Any]]] = []
        self._numbers = 0

    def write(self, rows: list[int], ids: Ids, logits: NDArray[Any]) -> list[int]:
        """Write a token in each of these rows.

        Returns:
            Which of them go on.
        """
        self._unscored.append((rows, ids, logits))
        self._numbers += logits.size
        if self._numbers >= _SCORED:
            self.score()
        tokens = ids.tolist()
        return [at for at, row in enumerate(rows) if self._goes_on(row, tokens[at])]

    def _goes_on(self, row: int, token: int) -> bool:
        text = self.written[row]
        if token in self.ends:
            text.finished = "end"
            return False
        text.ids.append(token)
        if self.on_token is not None:
            self.on_token(row, token)
        if self.stops is not None and self.stops(text.ids):
            text.finished = "stop"
            return False
        return True

    def score(self) -> None:
        """Note how probable the tokens were that were written since the last time.

        Many at once, since for one of them alone it takes as long as to draw it.
        """
        if not self._unscored:
            return
        rows, ids, logits = zip(*self._unscored, strict=True)
        tokens = np.concatenate(ids)
        values, largest, totals = normalised(np.concatenate(logits))
        log_probs = values[np.arange(len(tokens)), tokens] - largest[:, 0] - totals[:, 0]
        for row, token, log_prob in zip(
            chain(*rows), tokens.tolist(), log_probs.tolist(), strict=True
        ):
            text = self.written[row]
            text.log_prob += log_prob
            if token not in self.ends:
                text.log_probs.append(log_prob)
        self._unscored, self._numbers = [], 0


class _Numbers:
    """Random numbers from 0 to under 1, each row's from its own stream, drawn in blocks ahead."""

    def __init__(self, rng: np.random.Generator | Sequence[np.random.Generator], rows: int) -> None:
        self._streams = rng.spawn(rows) if isinstance(rng, np.random.Generator) else list(rng)
        if len(self._streams) != rows:
            raise ConfigError(
                f"rng holds {len(self._streams)} generators for {rows} rows; give one a row"
            )
        self._block = np.empty((0, rows))
        self._at = 0

    def next(self) -> Numbers:
        """One for each row."""
        if self._at == len(self._block):
            self._block = np.stack([stream.random(_AHEAD) for stream in self._streams], axis=1)
            self._at = 0
        self._at += 1
        numbers: Numbers = self._block[self._at - 1]
        return numbers

    def select(self, rows: Ids) -> None:
        """Go on with these rows."""
        self._streams = [self._streams[row] for row in rows]
        self._block = self._block[:, rows]


def _drawn(weights: Numbers, uniform: Numbers | None) -> Ids:
    """One token a row: where the running total passes a random share of the whole."""
    if uniform is None:
        return weights.argmax(1)
    mass = np.add.accumulate(weights, axis=1)
    return (mass > (uniform * mass[:, -1])[:, None]).argmax(1)


def _seen(given: Mask | None, shape: tuple[int, ...], sampling: Sampling) -> Mask | None:
    if given is not None and given.shape != shape:
        raise ConfigError(f"seen has shape {given.shape}; it must be {shape}")
    if sampling.repetition_penalty == 1:
        return None
    return np.zeros(shape, bool) if given is None else given.astype(bool)


def _stopping(stop: Stop | None) -> Callable[[Sequence[int]], bool] | None:
    if stop is None or callable(stop):
        return stop
    sequences = [[int(token) for token in sequence] for sequence in stop]
    if not all(sequences):
        raise ConfigError("stop holds an empty sequence; leave it out")
    if not sequences:
        return None
    return lambda ids: any(ids[-len(sequence) :] == sequence for sequence in sequences)
