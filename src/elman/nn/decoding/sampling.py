"""Writing on from where a model is, one drawn token after the other."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from elman.errors import ConfigError
from elman.nn.decoding.filters import (
    Mask,
    Numbers,
    Sampling,
    log_probabilities,
    token_weights,
)
from elman.nn.decoding.stepper import (
    Ids,
    Stepper,
    check_logits,
    first_ids,
    positive,
    token_ids,
)

AHEAD = 256
"""How many random numbers a row draws at a time."""

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

    What a row writes hangs on its own random numbers and not on which rows are beside it, as far
    as the model's numbers do not.

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
    positive("max_new_tokens", max_new_tokens, 0)
    stops = _stopping(stop)
    written = [Written() for _ in ids]
    if not len(ids) or not max_new_tokens:
        return written
    numbers = _numbers(rng, len(ids)) if sampling.temperature else None
    rows = list(range(len(ids)))
    every = np.arange(len(ids))
    for step in range(max_new_tokens):
        logits, state = stepper.step(ids, state)
        if not step:
            check_logits(logits, len(ids), {"end": ends, "banned": never})
            seen = _seen(seen, logits.shape, sampling)
        weights = token_weights(logits, sampling, seen, never)
        uniform = None if numbers is None else next(numbers)[rows]
        ids = _drawn(weights, uniform)
        log_probs = log_probabilities(logits)[every, ids]
        if seen is not None:
            seen[every, ids] = True
        kept = []
        for at, (row, token, log_prob) in enumerate(
            zip(rows, ids.tolist(), log_probs.tolist(), strict=True)
        ):
            text = written[row]
            text.log_prob += log_prob
            if token in ends:
                text.finished = "end"
                continue
            text.ids.append(token)
            text.log_probs.append(log_prob)
            if on_token is not None:
                on_token(row, token)
            if stops is not None and stops(text.ids):
                text.finished = "stop"
                continue
            kept.append(at)
        if not kept:
            break
        if len(kept) < len(rows) and step < max_new_tokens - 1:
            places = np.array(kept)
            state, ids, every = stepper.select(state, places), ids[places], every[: len(kept)]
            rows = [rows[at] for at in kept]
            seen = None if seen is None else seen[places]
    return written


def _drawn(weights: Numbers, uniform: Numbers | None) -> Ids:
    """One token a row: where the running total passes a random share of the whole."""
    if uniform is None:
        return weights.argmax(1)
    mass = np.add.accumulate(weights, axis=1)
    return (mass > (uniform * mass[:, -1])[:, None]).argmax(1)


def _numbers(
    rng: np.random.Generator | Sequence[np.random.Generator], rows: int
) -> Iterator[Numbers]:
    """For each step one number a row from 0 to under 1, each row's from its own stream."""
    streams = rng.spawn(rows) if isinstance(rng, np.random.Generator) else list(rng)
    if len(streams) != rows:
        raise ConfigError(f"rng holds {len(streams)} generators for {rows} rows; give one a row")
    return _in_blocks(streams)


def _in_blocks(streams: Sequence[np.random.Generator]) -> Iterator[Numbers]:
    while True:
        yield from np.stack([stream.random(AHEAD) for stream in streams], axis=1)


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
