"""Sums over sequences, and the best of them.

Each kind of sum has `log_sum` (rows,), the logarithm of the sum of each row, and `counts(weights)`:
how often each tag and each pair of tags is expected, rows weighted.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from elman.nn.crf.potentials import (
    UNKNOWN,
    Potentials,
)

LARGEST_EXPONENT = 340.0
"""exp(-2 * 340) still is a float64 of full precision."""
CHUNK = 1 << 17
"""How many numbers an intermediate of K * K a row has at most, if it holds several rows."""
_SMALLEST = 1e-300


def lattice(
    potentials: Potentials, *, directions: int = 2, logs: bool = False, mix: int = 0
) -> Scaled | Logarithmic:
    """The sums over all sequences; on logarithms where probabilities could be lost.

    Let a step multiply sums by numbers between exp(-R) and 1, and add up K of them, and let
    every tag be reached from every other in m steps. Then what was the largest m steps ago has
    gone into all, and none is under exp(-m (R + log K)) times the largest; in a row's first m
    steps this holds of all that can be reached. With s steps from one scaling to the next, sums
    stay within exp(-E) and exp(E) for E = (m + s) (R + log K), and where the two passes meet
    above exp(-2 E). So nothing is lost while float64 holds that.
    """
    layout = potentials.layout
    spread = max(potentials.spread + math.log(len(potentials.start)), 1.0)
    mix = min(max(potentials.mix, mix), len(layout.sizes))
    # An infinite or undefined score makes this comparison false, and shows in the result.
    if (mix + 1) * spread <= LARGEST_EXPONENT:
        every = int(LARGEST_EXPONENT / spread) - mix
        return Scaled(potentials, directions, every, logs=logs)
    return Logarithmic(potentials, directions)


def restricted(
    potentials: Potentials, tags: Tensor, *, directions: int
) -> Path | Scaled | Logarithmic:
    """The sums over the sequences that tags with unknown ones, or sets of tags, leave."""
    mix = 0
    if tags.dtype == torch.bool:
        sets = tags
        # Between tokens of one tag and of any tag it is reached as far as everywhere; else each
        # token may leave out what would have been reached from the largest.
        fixed = sets.sum(1)
        if not bool(((fixed == 1) | (fixed == sets.shape[1])).all()):
            mix = len(potentials.layout.sizes)
    else:
        unknown = tags == UNKNOWN
        if not bool(unknown.any()):
            return Path(potentials, tags)
        every = torch.arange(len(potentials.start), device=tags.device)
        sets = (tags[:, None] == every) | unknown[:, None]
    emissions = potentials.emissions.masked_fill(~sets, -torch.inf)
    return lattice(replace(potentials, emissions=emissions), directions=directions, mix=mix)


class Scaled:
    """The passes on probabilities, scaled so that each row's largest is 1 every few steps."""

    def __init__(
        self, potentials: Potentials, directions: int, every: int, *, logs: bool = False
    ) -> None:
        self._potentials = potentials
        layout = potentials.layout
        sizes, rows = layout.sizes, layout.sizes[0]
        forward = potentials.transitions.exp()
        self._weights = forward
        self._start, end = potentials.start.exp(), potentials.end.exp()
        factors = potentials.emissions.exp()
        sums = factors.new_empty(directions, *factors.shape)
        sums[0] = factors
        sums[0, :rows] *= self._start
        matrices = [forward]
        if directions == 2:
            torch.index_select(factors, 0, layout.mirror, out=sums[1])
            sums[1, :rows] *= end
            matrices.append(forward.t().contiguous())

        steps = torch.split(sums, sizes, 1)
        parts = [torch.split(direction, sizes) for direction in sums.unbind()]
        scales = sums.new_zeros(directions, rows)
        kept = [scales.clone()]
        size = 0
        for t in range(1, len(sizes)):
            before = [part[t - 1] for part in parts]
            if sizes[t] != size:
                size = sizes[t]
                products = sums.new_empty(directions, size, sums.shape[2])
                into = products.unbind()
            if sizes[t - 1] != size:
                before = [part[:size] for part in before]
            for message, matrix, product in zip(before, matrices, into, strict=True):
                torch.mm(message, matrix, out=product)
            step = steps[t].mul_(products)
            if t % every == 0:
                # A row without any sequence stays at 0.
                top = step.amax(2).clamp_min_(_SMALLEST)
                step /= top[:, :, None]
                scales[:, :size] += top.log()
            if logs:
                kept.append(scales[:, :size].clone())

        self.log_sum = (sums[0].index_select(0, layout.last) @ end).log() + scales[0]
        self._sums = sums
        self._kept = kept if logs else None
        self._reached: tuple[Tensor, Tensor, Tensor] | None = None

    def _meeting(self) -> tuple[Tensor, Tensor, Tensor]:
        """Both passes, (N - rows, K) before each token and (N, K) from it on, and marginals."""
        if self._reached is None:
            layout = self._potentials.layout
            begun = self._sums[0].index_select(0, layout.before)
            ending = self._sums[1].index_select(0, layout.mirror)
            both = torch.empty_like(ending)
            rows = layout.sizes[0]
            torch.mul(ending[:rows], self._start, out=both[:rows])
            torch.mm(begun, self._weights, out=both[rows:])
            both[rows:] *= ending[rows:]
            total = both.sum(1, keepdim=True)
            ending /= total
            both /= total
            self._reached = begun, ending, both
        return self._reached

    def marginals(self) -> Tensor:
        """How probable each tag is at each token: (N, K)."""
        return self._meeting()[2]

    def counts(self, weights: Tensor) -> tuple[Tensor, Tensor]:
        """How often each tag (N, K) and each pair of tags (K, K) is expected, rows weighted."""
        begun, ending, marginals = self._meeting()
        layout = self._potentials.layout
        weight = weights.index_select(0, layout.place)[:, None]
        pairs = begun.t() @ (ending * weight)[layout.sizes[0] :]
        return marginals * weight, pairs * self._weights

    def logarithms(self) -> tuple[Tensor, Tensor]:
        """The sums over what comes up to each token, and over what comes from it on: (N, K)."""
        assert self._kept is not None, "made with logs=True"
        logs = self._sums.log() + torch.cat(self._kept, 1)[:, :, None]
        return logs[0], logs[1].index_select(0, self._potentials.layout.mirror)


class Logarithmic:
    """The same on logarithms: slower, and right for numbers of any size."""

    def __init__(self, potentials: Potentials, directions: int) -> None:
        self._potentials = p = potentials
        layout = p.layout
        self._begun = _log_pass(p.emissions, layout.sizes, p.start, p.transitions.t())
        self.log_sum = (self._begun.index_select(0, layout.last) + p.end).logsumexp(1)
        if directions == 2:
            mirrored = p.emissions.index_select(0, layout.mirror)
            ending = _log_pass(mirrored, layout.sizes, p.end, p.transitions)
            self._ending = ending.index_select(0, layout.mirror)

    def marginals(self) -> Tensor:
        """How probable each tag is at each token: (N, K)."""
        return self._meeting()[0]

    def _meeting(self) -> tuple[Tensor, Tensor, Tensor]:
        """Marginals (N, K), and both passes of each token and the one before it."""
        p = self._potentials
        begun = self._begun.index_select(0, p.layout.before)
        reached = over_rows(_log_sum, begun, p.transitions.t().contiguous())
        first = p.start.expand(p.layout.sizes[0], -1)
        both = torch.cat([first, reached]) + self._ending
        total = both.logsumexp(1, keepdim=True)
        return (both - total).exp(), begun, (self._ending - total)[p.layout.sizes[0] :]

    def counts(self, weights: Tensor) -> tuple[Tensor, Tensor]:
        """How often each tag (N, K) and each pair of tags (K, K) is expected, rows weighted."""
        marginals, begun, ending = self._meeting()
        p = self._potentials
        weight = weights.index_select(0, p.layout.place)
        pairs = torch.zeros_like(p.transitions)
        of_later = weight[p.layout.sizes[0] :]
        size = _rows_a_chunk(p.transitions)
        for left, right, w in zip(
            *(torch.split(tensor, size) for tensor in (begun, ending, of_later)), strict=True
        ):
            shares = (left[:, :, None] + p.transitions + right[:, None, :]).exp()
            pairs += torch.tensordot(w, shares, 1)
        return marginals * weight[:, None], pairs

    def logarithms(self) -> tuple[Tensor, Tensor]:
        """The sums over what comes up to each token, and over what comes from it on: (N, K)."""
        return self._begun, self._ending


class Path:
    """The one sequence that full tags leave."""

    def __init__(self, potentials: Potentials, tags: Tensor) -> None:
        p, layout = potentials, potentials.layout
        self._potentials, self._tags = potentials, tags.long()
        self._pairs = self._tags[layout.before] * len(p.start) + self._tags[layout.sizes[0] :]
        scores = p.emissions.gather(1, self._tags[:, None]).flatten()
        scores[layout.sizes[0] :] += p.transitions.flatten()[self._pairs]
        ends = p.start[self._tags[: layout.sizes[0]]] + p.end[self._tags[layout.last]]
        self.log_sum = ends.index_add_(0, layout.place, scores)

    def counts(self, weights: Tensor) -> tuple[Tensor, Tensor]:
        """How often each tag (N, K) and each pair of tags (K, K) is expected, rows weighted."""
        p, layout = self._potentials, self._potentials.layout
        weight = weights.index_select(0, layout.place)
        tags = torch.zeros_like(p.emissions).scatter_(1, self._tags[:, None], weight[:, None])
        pairs = torch.zeros_like(p.transitions).flatten()
        pairs.index_add_(0, self._pairs, weight[layout.sizes[0] :])
        return tags, pairs.view_as(p.transitions)


# ---------------------------------------------------------------------------------------------
# Steps


def _rows_a_chunk(weights: Tensor, each: int = 1) -> int:
    return max(1, CHUNK // (weights.numel() * each))


def over_rows(reduce: Callable[[Tensor], Tensor], messages: Tensor, weights: Tensor) -> Tensor:
    """For each row and each row of the weights, their sums reduced: (rows, K)."""
    parts = torch.split(messages, _rows_a_chunk(weights))
    return torch.cat([reduce(part[:, None, :] + weights) for part in parts])


def largest(sums: Tensor) -> Tensor:
    """Return the largest of each row, for ``over_rows``."""
    return sums.amax(-1)


def _log_sum(sums: Tensor) -> Tensor:
    return sums.logsumexp(-1)


def _log_pass(emissions: Tensor, sizes: list[int], first: Tensor, weights: Tensor) -> Tensor:
    weights = weights.contiguous()
    steps: list[Tensor] = []
    for emission in torch.split(emissions, sizes):
        before = over_rows(_log_sum, steps[-1][: len(emission)], weights) if steps else first
        steps.append(before + emission)
    return torch.cat(steps)


def n_best(potentials: Potentials, n: int, tags: Tensor) -> Tensor:
    """Write the tags (N, n) of each row's best sequences; return their scores (rows, n)."""
    p, sizes = potentials, potentials.layout.sizes
    transposed = p.transitions.t()[:, :, None]
    # For each tag the n best sequences that end with it, and which of the (tag, rank) before
    # each goes on from, as one number.
    best = p.emissions.new_full((sizes[0], len(p.start), n), -torch.inf)
    best[:, :, 0] = p.start
    origins: list[Tensor] = []
    scores, chosen = [], []
    for t, emissions in enumerate(torch.split(p.emissions, sizes)):
        if t:
            parts = torch.split(best[: sizes[t]], _rows_a_chunk(p.transitions, n))
            ranked = [(part[:, None] + transposed).flatten(2).topk(n) for part in parts]
            best = torch.cat([values for values, _ in ranked])
            origins.append(torch.cat([indices for _, indices in ranked]))
        best = best + emissions[:, :, None]
        staying = sizes[t + 1] if t + 1 < len(sizes) else 0
        ended = (best[staying:] + p.end[:, None]).flatten(1).topk(n)
        scores.append(ended.values)
        chosen.append(ended.indices)
    state = chosen[-1]
    steps = torch.split(tags, sizes)
    for t in reversed(range(len(sizes))):
        if t + 1 < len(sizes):
            going_on = origins[t].flatten(1).gather(1, state)
            state = torch.cat([going_on, chosen[t]])
        steps[t].copy_(state // n)
    # The rows that end last stand first.
    return torch.cat(scores[::-1])
