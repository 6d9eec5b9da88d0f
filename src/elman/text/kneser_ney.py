"""Language models that count: what a network has to beat.

An n-gram model with interpolated Kneser-Ney smoothing and three discounts a level (Chen & Goodman
1999, "An empirical study of smoothing techniques for language modeling"; Kneser & Ney 1995), and
the unigram model. Both read one long array of token ids, as language models do.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from elman.errors import ConfigError, DataError

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]

MAX_TOKENS = 10_000_000  # about 1 GB while they are counted, if most 5-grams differ
CHUNK_TOKENS = 2**20  # bounds the memory beside the result
USUAL_DISCOUNTS = (0.5, 1.0, 1.5)  # KenLM's, for counts that discounts cannot be estimated from


class KneserNey:
    """Interpolated Kneser-Ney n-gram model with modified discounts.

    With c the count of an n-gram, D the discount for that count and h' the context h without its
    first token,

        p(w | h) = (c(h w) - D(c(h w))) / c(h .) + (sum over v of D(c(h v))) / c(h .) * p(w | h')

    (Chen & Goodman 1999, section 3). An n-gram of the full order counts how often it stands in the
    text, a shorter one how many different tokens stand before it, the start of the text being one
    more. Below single tokens lies the uniform distribution, so that no id has probability 0. A
    context that was not seen, or that nothing followed, leaves the token to the shorter one.
    N-grams run across the ends of sentences, which are tokens like any other.

    Attributes:
        order: how many tokens the longest n-grams have: one more than the model looks back.
        vocab_size: ids are 0 ... vocab_size - 1.
        num_tokens: how many tokens were counted: all that ``fit`` got, or the last ``max_tokens``.
    """

    def __init__(self, levels: tuple[_Level, ...], vocab_size: int, order: int, num_tokens: int):
        self._levels = levels
        self.vocab_size = vocab_size
        self.order = order
        self.num_tokens = num_tokens

    @classmethod
    def fit(
        cls,
        ids: ArrayLike,
        vocab_size: int,
        *,
        order: int = 5,
        max_tokens: int | None = MAX_TOKENS,
    ) -> KneserNey:
        """Count the n-grams of a text.

        Args:
            ids: (T,) token ids of contiguous text; none at all gives the uniform distribution.
            vocab_size: how many different ids there can be.
            order: how many tokens the longest n-grams have.
            max_tokens: no more than so many are counted, the last ones; None counts all. Memory
                grows with it: with order 5 up to about 100 bytes a token.

        Raises:
            ConfigError: a number is below 1.
            DataError: ``ids`` are no row of ids below ``vocab_size``.
        """
        _at_least_one(vocab_size=vocab_size, order=order)
        if max_tokens is not None:
            _at_least_one(max_tokens=max_tokens)
        given = _row(ids)
        text = _checked(given[-max_tokens:] if max_tokens is not None else given, vocab_size)
        return cls(tuple(_counted(text, vocab_size, order)), vocab_size, order, len(text))

    @property
    def discounts(self) -> tuple[tuple[float, float, float], ...]:
        """What is taken off counts of 1, 2 and more, for each level from single tokens up.

        No level is longer than the text.
        """
        return tuple(level.discounts for level in self._levels)

    def log_probs(self, ids: ArrayLike, *, context: ArrayLike | None = None) -> Floats:
        """Return how probable each token is after those before it.

        Args:
            ids: (T,) token ids.
            context: (any,) the ids that come before ``ids[0]``; none by default.

        Returns:
            (T,) natural logarithms of the probabilities, in nats.

        Raises:
            DataError: ``ids`` or ``context`` are no row of ids below ``vocab_size``.
        """
        text, before = _row(ids), self._last(context)
        found = np.empty(len(text))
        for start in range(0, len(text), CHUNK_TOKENS):
            chunk = _checked(text[start : start + CHUNK_TOKENS], self.vocab_size)
            both = np.concatenate([before, chunk])
            found[start : start + len(chunk)] = np.log(self._probs(both)[len(before) :])
            before = self._last(both)
        return found

    def distribution(self, context: ArrayLike = ()) -> Floats:
        """Return the probability of each id after a context, of which the last ones matter.

        Args:
            context: (any,) token ids.

        Returns:
            (V,) probabilities; they sum to 1.

        Raises:
            DataError: ``context`` is no row of ids below ``vocab_size``.
        """
        before = self._last(context)
        probs = np.full(self.vocab_size, 1 / self.vocab_size)
        nodes = _roots(len(before) + 1)  # that of the last n - 1 tokens, before each and at the end
        for level in self._levels:
            probs = level.spread(nodes[-1], probs)
            nodes = _shifted(level.find(nodes[:-1], before))
        return probs

    def _probs(self, ids: Ints) -> Floats:
        probs = np.full(len(ids), 1 / self.vocab_size)
        nodes = _roots(len(ids))
        for level in self._levels:
            found = level.find(nodes, ids)
            probs = level.interpolated(nodes, found, probs)
            nodes = _shifted(found[:-1])
        return probs

    def _last(self, context: ArrayLike | None) -> Ints:
        row = _row(() if context is None else context)
        return _checked(row[max(len(row) - self.order + 1, 0) :], self.vocab_size)


class Unigram:
    """How frequent each token is, whatever stands before it.

    A token seen c times among T has probability (c + 1) / (T + V), the rule of succession of
    Laplace, so that no id has probability 0.

    Attributes:
        vocab_size: ids are 0 ... vocab_size - 1.
        num_tokens: how many tokens were counted.
    """

    def __init__(self, counts: Ints):
        self.vocab_size = len(counts)
        self.num_tokens = int(counts.sum())
        self._probs = (counts + 1) / (self.num_tokens + self.vocab_size)

    @classmethod
    def fit(cls, ids: ArrayLike, vocab_size: int) -> Unigram:
        """Count the tokens of a text, all of them.

        Args:
            ids: (T,) token ids; none at all gives the uniform distribution.
            vocab_size: how many different ids there can be.

        Raises:
            ConfigError: ``vocab_size`` is below 1.
            DataError: ``ids`` are no row of ids below ``vocab_size``.
        """
        _at_least_one(vocab_size=vocab_size)
        text, counts = _row(ids), np.zeros(vocab_size, dtype=np.int64)
        for start in range(0, len(text), CHUNK_TOKENS):
            chunk = _checked(text[start : start + CHUNK_TOKENS], vocab_size)
            counts += np.bincount(chunk, minlength=vocab_size)
        return cls(counts)

    def log_probs(self, ids: ArrayLike, *, context: ArrayLike | None = None) -> Floats:
        """Return how probable each token is.

        Args:
            ids: (T,) token ids.
            context: changes nothing; here so that one call serves both models.

        Returns:
            (T,) natural logarithms of the probabilities, in nats.

        Raises:
            DataError: ``ids`` are no row of ids below ``vocab_size``.
        """
        return np.log(self._probs)[_checked(_row(ids), self.vocab_size)]

    def distribution(self, context: ArrayLike = ()) -> Floats:
        """Return the probability of each id: (V,), whatever the context."""
        return self._probs.copy()


@dataclass(frozen=True)
class _Level:
    """The n-grams of one length, and what followed each context.

    An n-gram has a key: the number of its context (its first n - 1 tokens) among the n-grams of the
    level below, times the size of the vocabulary, plus its last token. Its own number is its place
    among the sorted keys, -1 if it was not seen. Each array has one more entry, the last, which -1
    therefore picks: it makes what was not seen leave everything to the shorter context.

    Attributes:
        vocab_size: V.
        keys: (n-grams + 1,) ascending.
        counts: (n-grams + 1,).
        totals: (contexts + 1,) the counts of all n-grams with that context.
        left: (contexts + 1,) the share of the probability that the discounts leave to the level
            below.
        discounts: off counts of 1, 2 and more.
    """

    vocab_size: int
    keys: Ints
    counts: NDArray[np.uint32]
    totals: Floats
    left: Floats
    discounts: tuple[float, float, float]

    @classmethod
    def of(cls, vocab_size: int, keys: Ints, counts: Ints, contexts: int) -> _Level:
        discounts = _discounts(counts)
        context = keys // vocab_size
        totals, left = (
            np.bincount(context, weights=of, minlength=contexts + 1).astype(np.float64, copy=False)
            for of in (counts, _off(counts, discounts))
        )
        ended = totals == 0  # and the entry for contexts not seen
        totals[ended] = left[ended] = 1
        left /= totals
        return cls(
            vocab_size,
            np.append(keys, np.iinfo(np.int64).max),
            np.append(counts, 0).astype(np.uint32),
            totals,
            left,
            discounts,
        )

    def find(self, contexts: Ints, ids: Ints) -> Ints:
        """Return the number of each n-gram, -1 for one that was not seen."""
        wanted = contexts * self.vocab_size + ids  # below 0, and so not found, for context -1
        places = np.searchsorted(self.keys, wanted)
        return np.where(self.keys[places] == wanted, places, -1)

    def interpolated(self, contexts: Ints, ngrams: Ints, shorter: Floats) -> Floats:
        """Return the probabilities of n-grams, from those after the shorter context."""
        counts = self.counts[ngrams]
        kept = counts - _off(counts, self.discounts)
        return kept / self.totals[contexts] + self.left[contexts] * shorter

    def spread(self, context: np.int64, shorter: Floats) -> Floats:
        """Return the probabilities (V,) of all tokens after one context."""
        first, last = np.searchsorted(self.keys, np.array([context, context + 1]) * self.vocab_size)
        counts = self.counts[first:last]
        probs: Floats = self.left[context] * shorter
        tokens = self.keys[first:last] - context * self.vocab_size
        probs[tokens] += (counts - _off(counts, self.discounts)) / self.totals[context]
        return probs


def _counted(ids: Ints, vocab_size: int, order: int) -> Iterator[_Level]:
    """Yield the levels, from single tokens up; none longer than the text."""
    group, contexts = _grouped(ids), 1
    for size in range(1, order + 1):
        keys, counts, ngrams = group[:3]
        if not len(keys):
            return
        if size < order:
            group = _grouped(ngrams[:-1] * vocab_size + ids[size:])
            # Each different longer n-gram is one more token before the n-gram that it ends with,
            # which starts one later.
            counts = np.bincount(ngrams[group.examples + 1], minlength=len(keys))
            counts[ngrams[0]] += 1  # the start of the text
        yield _Level.of(vocab_size, keys, counts, contexts)
        contexts = len(keys)


class _Grouped(NamedTuple):
    keys: Ints
    """(different keys,) ascending."""
    counts: Ints
    """(different keys,) how often each was given."""
    places: Ints
    """(given keys,) where each stands in ``keys``."""
    examples: Ints
    """(different keys,) where one such stands among the given ones."""


def _grouped(given: Ints) -> _Grouped:
    order = np.argsort(given)
    ranked = given[order]
    new = np.ones(len(given), dtype=bool)
    np.not_equal(ranked[1:], ranked[:-1], out=new[1:])
    starts = np.flatnonzero(new)
    keys = ranked[starts]
    del ranked  # there may be ten million of each
    places = np.empty_like(given)
    places[order] = np.cumsum(new) - 1
    return _Grouped(keys, np.diff(starts, append=len(given)), places, order[starts])


def _discounts(counts: Ints) -> tuple[float, float, float]:
    """Estimate what to take off counts of 1, 2 and more (Chen & Goodman 1999, equation 17)."""
    n1, n2, n3, n4 = np.bincount(np.minimum(counts, 5), minlength=6)[1:5].tolist()
    if not (n1 and n2 and n3 and n4):
        return USUAL_DISCOUNTS
    y = n1 / (n1 + 2 * n2)
    found = (1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3)
    return found if min(found) > 0 else USUAL_DISCOUNTS


def _off(counts: NDArray[Any], discounts: tuple[float, float, float]) -> Floats:
    return np.array([0.0, *discounts])[np.minimum(counts, 3)]


def _roots(size: int) -> Ints:
    """Return the number of the empty context, for so many tokens."""
    return np.zeros(size, dtype=np.int64)


def _shifted(ngrams: Ints) -> Ints:
    """Return what stands before each token and at the end: before the first, nothing seen."""
    return np.concatenate([[-1], ngrams])


def _row(ids: ArrayLike) -> NDArray[Any]:
    row = np.asarray(ids)
    if row.ndim != 1 or (row.size and row.dtype.kind not in "iu"):
        raise DataError(
            f"token ids are one row of whole numbers, and these are {row.dtype} of shape "
            f"{row.shape}; pass one text as one array of integers"
        )
    return row


def _checked(row: NDArray[Any], vocab_size: int) -> Ints:
    if row.size and not (row.min() >= 0 and row.max() < vocab_size):
        wrong = int(row.min()) if row.min() < 0 else int(row.max())
        raise DataError(
            f"token id {wrong} is not in a vocabulary of {vocab_size}, whose ids are 0 to "
            f"{vocab_size - 1}; pass ids and vocab_size of the same vocabulary"
        )
    return row.astype(np.int64)


def _at_least_one(**numbers: int) -> None:
    for name, number in numbers.items():
        if number < 1:
            raise ConfigError(f"{name} is {number}, and must be at least 1")
