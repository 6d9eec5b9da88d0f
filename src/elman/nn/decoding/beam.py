"""The most probable texts, by searching several at a time."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from elman.errors import ConfigError
from elman.nn.decoding.filters import Mask, Numbers, best, normalised, nothing_left
from elman.nn.decoding.stepper import (
    Ids,
    Stepper,
    check_logits,
    first_ids,
    token_ids,
    whole_number,
)


@dataclass(frozen=True)
class Hypothesis:
    """A text that may be the most probable one."""

    ids: tuple[int, ...]
    """The tokens, without the first, which was given, and without the one that ended them."""
    log_prob: float
    """The logarithm of its probability by the model, its end included."""
    score: float
    """That over the length penalty: what hypotheses are ranked by."""
    finished: Literal["end", "limit"]
    """At an end token, or after max_new_tokens."""


def length_penalty_of(length: int, alpha: float) -> float:
    """What the log probability of so many tokens, the end among them, is divided by.

    lp(Y) = ((5 + |Y|) / (5 + 1)) ** alpha (Wu et al. 2016, "Google's Neural Machine Translation
    System", eq. 14).
    """
    return float(((5 + length) / 6) ** alpha)


def beam_search(
    stepper: Stepper,
    state: Any,
    first: NDArray[np.integer[Any]] | Sequence[int],
    *,
    beam_size: int,
    max_new_tokens: int,
    end: int | Iterable[int] = (),
    banned: int | Iterable[int] = (),
    length_penalty: float = 0.6,
    n_best: int = 1,
) -> list[list[Hypothesis]]:
    """Find the texts with the highest scores for each of B inputs, all inputs at once.

    At each step the ``beam_size`` best continuations of an input are looked at: those that end
    are finished and kept; of the others the ``beam_size`` best go on. An input is done with as
    many finished ones, or as soon as none that goes on can come among its ``n_best``. Texts that
    have reached ``max_new_tokens`` count beside the finished ones. Of equal ones the first is
    taken: the better one's continuation, then the lower token id.

    Args:
        stepper: the model.
        state: where it is before the first token, a row for each input.
        first: (B,), the token that each input reads first.
        beam_size: how many go on at a time; more find better texts and take longer.
        max_new_tokens: how long a text may be, its end included.
        end: ids at which a text ends.
        banned: ids that are never written.
        length_penalty: alpha of `length_penalty_of`: 0 ranks by probability, which prefers short
            texts.
        n_best: how many to return, at most ``beam_size``.

    Returns:
        For each input its best hypotheses, the best first: ``n_best`` of them, or as many as
        there are.

    Raises:
        ConfigError: an argument is out of range, or all tokens are banned.
        ElmanError: the model gives what is no number.
    """
    ids, ends, never = first_ids(first), token_ids("end", end), token_ids("banned", banned)
    whole_number("beam_size", beam_size)
    whole_number("max_new_tokens", max_new_tokens)
    whole_number("n_best", n_best)
    if n_best > beam_size:
        raise ConfigError(f"n_best is {n_best}; it must be at most beam_size, {beam_size}")
    if not 0 <= length_penalty < np.inf:
        raise ConfigError(f"length_penalty is {length_penalty!r}; it must be 0 or more")
    if not len(ids):
        return []
    search = _Search(len(ids), beam_size, n_best, ends, never, length_penalty, max_new_tokens)
    beams = np.repeat(np.arange(len(ids)), beam_size)
    state, ids = stepper.select(state, beams), ids[beams]
    for step in range(max_new_tokens):
        logits, state = stepper.step(ids, state)
        if not step:
            check_logits(logits, len(ids), {"end": ends, "banned": never})
        rows, ids = search.advance(logits)
        if not len(rows):
            break
        if step < max_new_tokens - 1 and not np.array_equal(rows, np.arange(len(logits))):
            state = stepper.select(state, rows)
    return search.results()


class _Search:
    """What goes on and what is finished, of all inputs."""

    def __init__(
        self,
        inputs: int,
        beam_size: int,
        n_best: int,
        ends: tuple[int, ...],
        banned: tuple[int, ...],
        alpha: float,
        limit: int,
    ) -> None:
        self.beam_size, self.n_best = beam_size, n_best
        self.ends, self.banned = ends, banned
        self.alpha, self.limit = alpha, limit
        self.finished: list[list[Hypothesis]] = [[] for _ in range(inputs)]
        self.inputs = np.arange(inputs)
        """(A,), those that are not done."""
        self.log_probs = np.full((inputs, beam_size), -np.inf)
        """(A, K), -inf where a place of the beam is empty: all but the first to begin with."""
        self.log_probs[:, 0] = 0
        self.tokens = np.empty((inputs, beam_size, 0), np.int64)
        """(A, K, t), what they have written."""

    def advance(self, logits: NDArray[Any]) -> tuple[Ids, Ids]:
        """Take the next token.

        Args:
            logits: (A * K, V).

        Returns:
            The rows that go on, in order, and the token that each has taken.
        """
        size, inputs, vocab_size = self.beam_size, len(self.inputs), logits.shape[1]
        # So many hold the best and, however many of these end, enough that do not.
        count = size * (1 + len(self.ends))
        tokens, scores = _continued(logits, min(count, vocab_size), self.banned)
        totals = (self.log_probs.reshape(-1, 1) + scores).reshape(inputs, -1)
        places, values = _ranked(totals, min(count, totals.shape[1]))
        parents = places // tokens.shape[1]
        tokens = np.take_along_axis(tokens.reshape(inputs, -1), places, axis=1)
        ends = np.isin(tokens, self.ends)
        self._finish(ends[:, :size] & np.isfinite(values[:, :size]), parents, values)
        values = np.where(ends, -np.inf, values)
        order = ends.argsort(1, kind="stable")[:, :size]
        parents, tokens, values = (
            np.take_along_axis(part, order, axis=1) for part in (parents, tokens, values)
        )
        before = np.take_along_axis(self.tokens, parents[:, :, None], axis=1)
        self.tokens = np.concatenate([before, tokens[:, :, None]], axis=2)
        self.log_probs = values
        if self.tokens.shape[2] == self.limit:
            self._stop()
        kept = np.flatnonzero([not self._is_done(at, vocab_size) for at in range(inputs)])
        rows = parents + np.arange(inputs)[:, None] * size
        self.inputs, self.tokens = self.inputs[kept], self.tokens[kept]
        self.log_probs = values[kept]
        return rows[kept].ravel(), tokens[kept].ravel()

    def results(self) -> list[list[Hypothesis]]:
        """The best of each input, the best first."""
        ranked = (sorted(each, key=lambda one: -one.score) for each in self.finished)
        return [each[: self.n_best] for each in ranked]

    def _finish(self, ends: Mask, parents: Ids, values: Numbers) -> None:
        """Keep those that end with this step."""
        for at, place in zip(*ends.nonzero(), strict=True):
            ids = self.tokens[at, parents[at, place]]
            self._keep(at, ids, len(ids) + 1, values[at, place], "end")

    def _stop(self) -> None:
        """Keep those that are as long as a text may be, and let none go on."""
        for at, place in zip(*np.isfinite(self.log_probs).nonzero(), strict=True):
            ids = self.tokens[at, place]
            self._keep(at, ids, len(ids), self.log_probs[at, place], "limit")
        self.log_probs[:] = -np.inf

    def _keep(
        self, at: int, ids: Ids, length: int, log_prob: float, finished: Literal["end", "limit"]
    ) -> None:
        score = float(log_prob) / length_penalty_of(length, self.alpha)
        found = Hypothesis(tuple(ids.tolist()), float(log_prob), score, finished)
        self.finished[self.inputs[at]].append(found)

    def _is_done(self, at: int, vocab_size: int) -> bool:
        """Whether nothing that goes on can come among the best, or enough are finished."""
        finished, going = self.finished[self.inputs[at]], self.log_probs[at].max()
        if going == -np.inf:
            if not finished:
                raise nothing_left(vocab_size)
            return True
        if len(finished) < self.n_best:
            return False
        # A text gets no more probable as it goes on; the longest has the weakest penalty.
        bound = going / length_penalty_of(self.limit, self.alpha)
        worst = sorted((one.score for one in finished), reverse=True)[self.n_best - 1]
        return len(finished) >= self.beam_size or worst >= bound


def _continued(logits: NDArray[Any], count: int, banned: Sequence[int]) -> tuple[Ids, Numbers]:
    """Each row's most probable tokens in the order of their ids, and their logarithms."""
    values, largest, totals = normalised(logits)
    if banned:
        values = values.copy()
        values[:, banned] = -np.inf
    tokens = _best_places(values, count)
    return tokens, np.take_along_axis(values, tokens, axis=1) - largest - totals


def _ranked(totals: Numbers, count: int) -> tuple[Ids, Numbers]:
    """The places of the largest of each row and these themselves, the largest first, (A, count)."""
    places = _best_places(totals, count)
    values = np.take_along_axis(totals, places, axis=1)
    order = (-values).argsort(1, kind="stable")
    return np.take_along_axis(places, order, axis=1), np.take_along_axis(values, order, axis=1)


def _best_places(values: NDArray[Any], count: int) -> Ids:
    """Where the largest of each row are, (B, count), in their order."""
    return np.flatnonzero(best(values, count)).reshape(-1, count) % values.shape[1]
