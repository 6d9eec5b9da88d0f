"""A linear-chain conditional random field over ragged batches.

The tags y of a row have the probability

    p(y) = exp(start[y_1] + sum_t scores[t, y_t] + sum_t transitions[y_t-1, y_t] + end[y_T]) / Z

where Z is the sum over all sequences of tags (Lafferty et al. 2001; over a recurrent network:
Lample et al. 2016, "Neural Architectures for Named Entity Recognition", section 2.2). Training,
marginals and spans rest on sums over sequences, which one pass in each direction gives (Rabiner
1989, section III). Both passes run side by side in one loop: the second reads rows from their end.

All of it is worked out in float64, whatever the scores are: a likelihood is a small difference of
two large sums. So the passes can mostly run on probabilities themselves, a matrix product a step,
scaled now and then; where the numbers are too far apart for that, they run on logarithms.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from elman.errors import ConfigError, DataError
from elman.nn import ragged

UNKNOWN = -1
"""A tag in training that may be any."""

_LONGEST_MIX = 32
_LARGEST_EXPONENT = 340.0
"""exp(-2 * 340) still is a float64 of full precision."""
_SMALLEST = 1e-300
_CHUNK = 1 << 17
"""How many numbers an intermediate of K * K a row has at most, if it holds several rows."""


class CRF(nn.Module):
    """A linear-chain conditional random field: scores of each tag at each token -> sequences.

    Args:
        num_tags: K.
        allowed: bool (K, K), whether tag j may follow tag i; all may where it is None.
        starts: bool (K,), whether a row may begin with a tag.
        ends: bool (K,), whether a row may end with a tag.

    What the three forbid has probability 0 and is never decoded, and its parameters get no
    gradient. They are not part of the state_dict: they follow from the tag scheme, so make the
    layer as it was made before its weights are loaded.

    Parameters ``transitions`` (K, K), ``start`` (K,) and ``end`` (K,) begin at zero: before
    training the tags are independent but for what is forbidden.

    Raises:
        ConfigError: a size is wrong, or rows of some length could have no tags at all.
    """

    allowed: Tensor
    starts: Tensor
    ends: Tensor

    def __init__(
        self,
        num_tags: int,
        *,
        allowed: Tensor | None = None,
        starts: Tensor | None = None,
        ends: Tensor | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(num_tags, int) or num_tags < 1:
            raise ConfigError(f"num_tags is {num_tags!r}; it must be a whole number of at least 1")
        self.num_tags = num_tags
        self.transitions = nn.Parameter(torch.zeros(num_tags, num_tags))
        self.start = nn.Parameter(torch.zeros(num_tags))
        self.end = nn.Parameter(torch.zeros(num_tags))

        allowed = _mask("allowed", allowed, num_tags, num_tags)
        starts, ends = _mask("starts", starts, num_tags), _mask("ends", ends, num_tags)
        possible = _possible_tags(allowed, starts, ends)
        # A tag that no sequence reaches must not come up on the way back from the ends either.
        masks = {
            "allowed": allowed & possible & possible[:, None],
            "starts": starts & possible,
            "ends": ends & possible,
        }
        for name, mask in masks.items():
            self.register_buffer(name, mask.to(self.start.device), persistent=False)
        self._mix = _steps_to_mix(masks["allowed"][possible][:, possible])

    def forward(self, scores: PackedSequence, tags: Tensor) -> Tensor:
        """The same as `log_likelihood`."""
        return self.log_likelihood(scores, tags)

    def log_likelihood(self, scores: PackedSequence, tags: Tensor) -> Tensor:
        """The logarithm of the probability of each row's tags, for training.

        Args:
            scores: a ragged batch with data (N, K).
            tags: (N,) whole numbers in the layout of ``scores.data``. Where one is -1, any tag may
                stand, and the probability is that of all sequences together that have the others
                (Tsuboi et al. 2008, "Training Conditional Random Fields Using Incomplete
                Annotations"). Or bool (N, K), the tags that may stand at each token.

        Returns:
            (B,), in the batch's own row order; 0 for a row of length 0. It can be differentiated
            once.

        Raises:
            DataError: a shape is wrong, a number is not that of a tag, or a row's tags are
                forbidden by ``allowed``, ``starts`` and ``ends``.
        """
        self._check_scores(scores)
        tags = tags.to(scores.data.device)
        self._check_tags(tags, len(scores.data))
        parameters = (self.transitions, self.start, self.end)
        if not len(scores.data):
            # Zeros that still depend on the parameters, as the trainer expects of a loss.
            nothing = scores.data.sum() + sum(parameter.sum() for parameter in parameters)
            return (nothing * 0.0).expand(ragged.count(scores))
        differentiable = torch.is_grad_enabled() and any(
            tensor.requires_grad for tensor in (scores.data, *parameters)
        )
        result: Tensor = _LogLikelihood.apply(  # type: ignore[no-untyped-call]
            scores.data, *parameters, self, scores, tags, differentiable
        )
        return result

    @torch.no_grad()
    def decode(self, scores: PackedSequence) -> Tensor:
        """The most probable sequence of each row (Viterbi 1967): (N,), as ``scores.data`` lies."""
        self._check_scores(scores)
        tags = torch.empty(len(scores.data), dtype=torch.int64, device=scores.data.device)
        if not len(tags):
            return tags
        potentials = self._potentials(scores)
        sizes, transposed = potentials.layout.sizes, potentials.transitions.t().contiguous()
        # Which tag was the best before is looked up on the way back, for one tag a row.
        best: list[Tensor] = []
        for emissions in torch.split(potentials.emissions, sizes):
            if best:
                step = _over_rows(_largest, best[-1][: len(emissions)], transposed) + emissions
            else:
                step = emissions + potentials.start
            best.append(step)
        chosen = list(torch.split(tags, sizes))
        for t in reversed(range(len(sizes))):
            later = chosen[t + 1] if t + 1 < len(sizes) else tags[:0]
            going_on = best[t][: len(later)] + transposed[later]
            ending = best[t][len(later) :] + potentials.end
            chosen[t].copy_(torch.cat([going_on, ending]).argmax(1))
        return tags

    @torch.no_grad()
    def nbest(
        self, scores: PackedSequence, n: int, *, temperature: float = 1.0
    ) -> tuple[Tensor, Tensor]:
        """The n most probable sequences of each row, and how probable they are.

        Args:
            scores: a ragged batch with data (N, K).
            n: how many, at least 1.
            temperature: as in `posterior`.

        Returns:
            The tags (N, n), as ``scores.data`` lies, the best first; and the logarithms of their
            exact probabilities (B, n). Where a row has fewer sequences, tags -1 and -inf.
        """
        self._check_scores(scores)
        if not isinstance(n, int) or n < 1:
            raise ConfigError(f"n is {n!r}; it must be a whole number of at least 1")
        data = scores.data
        tags = torch.empty(len(data), n, dtype=torch.int64, device=data.device)
        ranked = data.new_full((ragged.count(scores), n), -torch.inf, dtype=torch.float64)
        ranked[:, 0] = 0.0  # for rows of length 0: their one sequence, of no tags
        if not len(data):
            return tags, ranked.to(self._result_type(scores))
        potentials = self._potentials(scores, temperature)
        found = _n_best(potentials, n, tags)
        found -= self._lattice(potentials, directions=1).log_sum[:, None]
        ranked[potentials.layout.order] = found
        missing = ranked.isneginf()[potentials.layout.row]
        return tags.masked_fill_(missing, UNKNOWN), ranked.to(self._result_type(scores))

    @torch.no_grad()
    def posterior(self, scores: PackedSequence, *, temperature: float = 1.0) -> Posterior:
        """All sequences' probabilities, to be asked for single tags, spans and sequences.

        Args:
            scores: a ragged batch with data (N, K).
            temperature: all scores and parameters are divided by it, for calibration (Guo et al.
                2017, "On Calibration of Modern Neural Networks", section 4.2); over 0.
        """
        self._check_scores(scores)
        potentials = self._potentials(scores, temperature)
        lattice = None if not len(scores.data) else self._lattice(potentials, logs=True)
        return Posterior(self, scores, potentials, lattice)

    def extra_repr(self) -> str:
        """What tells this layer from another."""
        forbidden = int((~self.allowed).sum())
        return f"{self.num_tags}" + (f", {forbidden} transitions forbidden" if forbidden else "")

    # -----------------------------------------------------------------------------------------

    def _check_scores(self, scores: PackedSequence) -> None:
        if scores.data.dim() != 2 or scores.data.shape[1] != self.num_tags:
            raise DataError(
                f"the scores have shape {tuple(scores.data.shape)}; "
                f"for {self.num_tags} tags they must be (N, {self.num_tags})"
            )

    def _check_tags(self, tags: Tensor, tokens: int) -> None:
        of_sets = tags.dtype == torch.bool
        shape = (tokens, self.num_tags) if of_sets else (tokens,)
        if tuple(tags.shape) != shape or tags.is_floating_point():
            raise DataError(
                f"the tags have shape {tuple(tags.shape)} and type {tags.dtype}; they must be "
                f"whole numbers ({tokens},) or bool ({tokens}, {self.num_tags}), as the scores lie"
            )
        if of_sets or not tokens:
            return
        least, most = (int(end) for end in torch.aminmax(tags))
        if least < UNKNOWN or most >= self.num_tags:
            raise DataError(
                f"there is a tag {least if least < UNKNOWN else most}; tags are the numbers 0 to "
                f"{self.num_tags - 1}, and {UNKNOWN} where any may stand"
            )

    def _result_type(self, scores: PackedSequence) -> torch.dtype:
        # The scores may have been made in bfloat16, which has 3 digits.
        return torch.promote_types(scores.data.dtype, self.transitions.dtype)

    def _potentials(self, scores: PackedSequence, temperature: float = 1.0) -> _Potentials:
        if not temperature > 0.0:
            raise ConfigError(f"the temperature is {temperature!r}; it must be over 0")
        emissions = scores.data.detach().double() / temperature
        # What all sequences of a row have in common does not change any.
        emissions -= emissions.amax(1, keepdim=True)
        transitions, start, end = (
            _below_largest(weights.detach().double().masked_fill(~mask, -torch.inf) / temperature)
            for weights, mask in (
                (self.transitions, self.allowed),
                (self.start, self.starts),
                (self.end, self.ends),
            )
        )
        joined = torch.cat([transitions.flatten(), start, end])
        least = torch.where(joined == -torch.inf, 0.0, joined).amin()
        spread = -float(emissions.amin() + least) if len(emissions) else 0.0
        return _Potentials(_Layout.of(scores), emissions, transitions, start, end, spread)

    def _lattice(
        self, potentials: _Potentials, *, directions: int = 2, logs: bool = False, mix: int = 0
    ) -> _Scaled | _Logarithmic:
        """The sums over all sequences; on logarithms where probabilities could be lost.

        Let a step multiply sums by numbers between exp(-R) and 1, and add up K of them, and let
        every tag be reached from every other in m steps. Then what was the largest m steps ago has
        gone into all, and none is under exp(-m (R + log K)) times the largest; in a row's first m
        steps this holds of all that can be reached. With s steps from one scaling to the next, sums
        stay within exp(-E) and exp(E) for E = (m + s) (R + log K), and where the two passes meet
        above exp(-2 E). So nothing is lost while float64 holds that.
        """
        layout = potentials.layout
        spread = max(potentials.spread + math.log(self.num_tags), 1.0)
        mix = min(max(self._mix, mix), len(layout.sizes))
        # An infinite or undefined score makes this comparison false, and shows in the result.
        if (mix + 1) * spread <= _LARGEST_EXPONENT:
            every = int(_LARGEST_EXPONENT / spread) - mix
            return _Scaled(potentials, directions, every, logs=logs)
        return _Logarithmic(potentials, directions)


class Posterior:
    """What a `CRF` says of a batch: the probabilities of tags, spans and sequences, all exact.

    It holds both passes over the batch, so each question is cheap.
    """

    def __init__(
        self,
        crf: CRF,
        scores: PackedSequence,
        potentials: _Potentials,
        lattice: _Scaled | _Logarithmic | None,
    ) -> None:
        self._crf, self._scores = crf, scores
        self._potentials, self._lattice = potentials, lattice
        self._type = crf._result_type(scores)

    def marginals(self) -> Tensor:
        """The probability of each tag at each token: (N, K), as the scores lie."""
        if self._lattice is None:
            return self._scores.data.to(self._type)
        return self._lattice.marginals().to(self._type)

    @torch.no_grad()
    def log_probabilities(self, tags: Tensor) -> Tensor:
        """The logarithm of the probability of a sequence for each row: (B,).

        Args:
            tags: (N,) as the scores lie, such as `CRF.decode` gives; -inf where they are forbidden.
                As in `CRF.log_likelihood`, -1 is any tag, and bool (N, K) are sets of tags.
        """
        tags = tags.to(self._scores.data.device)
        self._crf._check_tags(tags, len(self._scores.data))
        result = self._scores.data.new_zeros(ragged.count(self._scores), dtype=torch.float64)
        if self._lattice is not None:
            part = _part(self._crf, self._potentials, tags, directions=1)
            result[self._potentials.layout.order] = part.log_sum - self._lattice.log_sum
        return result.to(self._type)

    @torch.no_grad()
    def span_probabilities(
        self,
        rows: Tensor,
        starts: Tensor,
        lengths: Tensor,
        tags: Tensor,
        continues: Tensor | None = None,
    ) -> Tensor:
        """The probability of spans of tags: the sum over all sequences that have them there.

        An entity whose first or further tokens could have several tags is several spans of which
        no two can stand at once: its probability is the sum of theirs.

        Args:
            rows: (S,) which row of the batch each span is in.
            starts: (S,) its first token's place in the row, from 0.
            lengths: (S,) how many tokens it has, at least 1.
            tags: (M,) the tags of the first span's tokens, then those of the second, and so on.
            continues: bool (K, K), whether a tag j after a tag i belongs to the same entity, as
                I-PER after B-PER does. Sequences in which the entity begins before its span or goes
                on after it are then not counted. Without it they are.

        Returns:
            (S,).

        Raises:
            DataError: a span is not within its row, or the tags do not add up.
        """
        device = self._scores.data.device
        rows, starts, lengths, tags = (x.to(device) for x in (rows, starts, lengths, tags))
        self._check_spans(rows, starts, lengths, tags)
        if self._lattice is None or not len(rows):
            return self._scores.data.new_zeros(len(rows), dtype=self._type)
        p, layout = self._potentials, self._potentials.layout
        begun, ending = self._lattice.logarithms()  # (N, K) each
        boundary = p.transitions
        if continues is not None:
            boundary = boundary.masked_fill(continues.to(device), -torch.inf)
        span = torch.repeat_interleave(lengths)  # (M,)
        offsets = lengths.cumsum(0) - lengths
        step = torch.arange(len(tags), device=device) - offsets[span]
        place = layout.place_of(rows)
        at = layout.offsets[starts[span] + step] + place[span]  # (M,) which token

        inner = step > 0
        inside = p.emissions[at, tags]
        inside[inner] += p.transitions[tags[:-1], tags[1:]][inner[1:]]
        result = inside.new_zeros(len(rows)).index_add_(0, span, inside)

        first, last = tags[offsets], tags[offsets + lengths - 1]
        # Clamped only so that the look-up is within bounds; the end of the row is then taken.
        before = layout.offsets[(starts - 1).clamp(min=0)] + place
        left = (begun[before] + boundary.t()[first]).logsumexp(1)
        result += torch.where(starts > 0, left, p.start[first])
        follows = starts + lengths < layout.lengths[place]
        after = torch.where(follows, starts + lengths, 0)
        right = (ending[layout.offsets[after] + place] + boundary[last]).logsumexp(1)
        result += torch.where(follows, right, p.end[last])
        result -= self._lattice.log_sum[place]
        return result.exp().clamp(max=1.0).to(self._type)

    def _check_spans(self, rows: Tensor, starts: Tensor, lengths: Tensor, tags: Tensor) -> None:
        if not rows.shape == starts.shape == lengths.shape or int(lengths.sum()) != len(tags):
            raise DataError(
                f"there are {len(rows)} rows, {len(starts)} starts and {len(lengths)} lengths of "
                f"spans, and {len(tags)} tags; the lengths must add up to the tags"
            )
        sizes = ragged.lengths(self._scores).to(rows.device)
        known = (rows >= 0) & (rows < len(sizes))
        size = sizes[torch.where(known, rows, 0)]
        wrong = ~known | (starts < 0) | (lengths < 1) | (starts + lengths > size)
        if bool(wrong.any()):
            at = int(wrong.nonzero()[0])
            raise DataError(
                f"span {at} has row {int(rows[at])}, start {int(starts[at])} and length "
                f"{int(lengths[at])}; a span has at least one token and lies within its row"
            )
        least, most = (int(end) for end in torch.aminmax(tags)) if len(tags) else (0, 0)
        if least < 0 or most >= self._crf.num_tags:
            raise DataError(f"spans have tags 0 to {self._crf.num_tags - 1}, not {least} to {most}")


# ---------------------------------------------------------------------------------------------
# The batch


@dataclass(frozen=True)
class _Layout:
    """Where the tokens of a ragged batch are; rows sorted by falling length, without empty ones."""

    sizes: list[int]
    """How many rows have each step."""
    offsets: Tensor
    """(T,) where each step begins in the data."""
    lengths: Tensor
    """(rows,)."""
    place: Tensor
    """(N,) which of the sorted rows a token is in."""
    row: Tensor
    """(N,) which of the batch's rows that is."""
    order: Tensor
    """(rows,) which of the batch's rows is at each place."""
    unsorted: Tensor | None
    before: Tensor
    """(N - rows,) for each token after the first step, where the one before it is."""
    last: Tensor
    """(rows,) where each row's last token is."""
    mirror: Tensor
    """(N,) where the token is that is as far from its row's end as this one from its start."""

    @classmethod
    def of(cls, packed: PackedSequence) -> _Layout:
        sizes, device = packed.batch_sizes, packed.data.device
        sizes_list = sizes.tolist()
        rows = sizes_list[0] if sizes_list else 0
        offsets = sizes.cumsum(0) - sizes
        step = torch.repeat_interleave(sizes)
        token = torch.arange(len(step), device="cpu")
        place = token - offsets[step]
        # A row at place p has a step t if more than p rows have it.
        lengths = torch.bincount(place, minlength=rows)
        mirror = offsets[lengths[place] - 1 - step] + place
        order = packed.sorted_indices
        order = torch.arange(rows, device=device) if order is None else order[:rows]
        place_there = place.to(device)
        return cls(
            sizes_list,
            offsets.to(device),
            lengths.to(device),
            place_there,
            order[place_there],
            order,
            packed.unsorted_indices,
            (token - sizes[step - 1])[rows:].to(device),
            mirror[:rows].to(device),
            mirror.to(device),
        )

    def place_of(self, rows: Tensor) -> Tensor:
        return rows if self.unsorted is None else self.unsorted[rows]


@dataclass(frozen=True)
class _Potentials:
    """What a sequence's score is added up from: float64, at most 0, -inf where forbidden."""

    layout: _Layout
    emissions: Tensor
    """(N, K)."""
    transitions: Tensor
    start: Tensor
    end: Tensor
    spread: float
    """How far what one step adds can be under 0, but for what is forbidden."""


def _below_largest(values: Tensor) -> Tensor:
    return values - values.amax()


# ---------------------------------------------------------------------------------------------
# Sums over sequences. Each kind has `log_sum` (rows,), the logarithm of the sum of each row, and
# `counts(weights)`: how often each tag and each pair of tags is expected, rows weighted.


class _Scaled:
    """The passes on probabilities, scaled so that each row's largest is 1 every few steps."""

    def __init__(
        self, potentials: _Potentials, directions: int, every: int, *, logs: bool = False
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
        return self._meeting()[2]

    def counts(self, weights: Tensor) -> tuple[Tensor, Tensor]:
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


class _Logarithmic:
    """The same on logarithms: slower, and right for numbers of any size."""

    def __init__(self, potentials: _Potentials, directions: int) -> None:
        self._potentials = p = potentials
        layout = p.layout
        self._begun = _log_pass(p.emissions, layout.sizes, p.start, p.transitions.t())
        self.log_sum = (self._begun.index_select(0, layout.last) + p.end).logsumexp(1)
        if directions == 2:
            mirrored = p.emissions.index_select(0, layout.mirror)
            ending = _log_pass(mirrored, layout.sizes, p.end, p.transitions)
            self._ending = ending.index_select(0, layout.mirror)

    def marginals(self) -> Tensor:
        return self._meeting()[0]

    def _meeting(self) -> tuple[Tensor, Tensor, Tensor]:
        """Marginals (N, K), and both passes of each token and the one before it."""
        p = self._potentials
        begun = self._begun.index_select(0, p.layout.before)
        reached = _over_rows(_log_sum, begun, p.transitions.t().contiguous())
        first = p.start.expand(p.layout.sizes[0], -1)
        both = torch.cat([first, reached]) + self._ending
        total = both.logsumexp(1, keepdim=True)
        return (both - total).exp(), begun, (self._ending - total)[p.layout.sizes[0] :]

    def counts(self, weights: Tensor) -> tuple[Tensor, Tensor]:
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
        return self._begun, self._ending


class _Path:
    """The one sequence that full tags leave."""

    def __init__(self, potentials: _Potentials, tags: Tensor) -> None:
        p, layout = potentials, potentials.layout
        self._potentials, self._tags = potentials, tags.long()
        self._pairs = self._tags[layout.before] * len(p.start) + self._tags[layout.sizes[0] :]
        scores = p.emissions.gather(1, self._tags[:, None]).flatten()
        scores[layout.sizes[0] :] += p.transitions.flatten()[self._pairs]
        ends = p.start[self._tags[: layout.sizes[0]]] + p.end[self._tags[layout.last]]
        self.log_sum = ends.index_add_(0, layout.place, scores)

    def counts(self, weights: Tensor) -> tuple[Tensor, Tensor]:
        p, layout = self._potentials, self._potentials.layout
        weight = weights.index_select(0, layout.place)
        tags = torch.zeros_like(p.emissions).scatter_(1, self._tags[:, None], weight[:, None])
        pairs = torch.zeros_like(p.transitions).flatten()
        pairs.index_add_(0, self._pairs, weight[layout.sizes[0] :])
        return tags, pairs.view_as(p.transitions)


def _part(
    crf: CRF, potentials: _Potentials, tags: Tensor, *, directions: int
) -> _Path | _Scaled | _Logarithmic:
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
            return _Path(potentials, tags)
        every = torch.arange(crf.num_tags, device=tags.device)
        sets = (tags[:, None] == every) | unknown[:, None]
    emissions = potentials.emissions.masked_fill(~sets, -torch.inf)
    return crf._lattice(replace(potentials, emissions=emissions), directions=directions, mix=mix)


class _LogLikelihood(torch.autograd.Function):
    """Its derivative by a score: how often it counts in the given tags, less in all sequences."""

    @staticmethod
    def forward(
        ctx: Any,
        emissions: Tensor,
        transitions: Tensor,
        start: Tensor,
        end: Tensor,
        crf: CRF,
        scores: PackedSequence,
        tags: Tensor,
        differentiable: bool,
    ) -> Tensor:
        directions = 2 if differentiable else 1
        potentials = crf._potentials(scores)
        part = _part(crf, potentials, tags, directions=directions)
        layout = potentials.layout
        forbidden = part.log_sum.isneginf()
        if bool(forbidden.any()):
            row = int(layout.order[forbidden].min())
            raise DataError(
                f"row {row} of the batch has tags that allowed, starts and ends forbid; "
                "mend its tags, or allow them"
            )
        whole = crf._lattice(potentials, directions=directions)
        ctx.part, ctx.whole, ctx.layout = part, whole, layout
        ctx.types = [tensor.dtype for tensor in (emissions, transitions, start, end)]
        result = emissions.new_zeros(ragged.count(scores), dtype=crf._result_type(scores))
        result[layout.order] = (part.log_sum - whole.log_sum).to(result.dtype)
        return result

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():  # that is, with create_graph=True
            raise RuntimeError(
                "a CRF's log_likelihood can be differentiated once only; leave out create_graph"
            )
        layout: _Layout = ctx.layout
        weights = grad_output.double().index_select(0, layout.order)
        tags, pairs = ctx.part.counts(weights)
        expected, expected_pairs = ctx.whole.counts(weights)
        tags -= expected
        firsts, lasts = tags[: layout.sizes[0]].sum(0), tags.index_select(0, layout.last).sum(0)
        gradients = (tags, pairs - expected_pairs, firsts, lasts)
        return (
            *(grad.to(dtype) for grad, dtype in zip(gradients, ctx.types, strict=True)),
            *(None,) * 4,
        )


# ---------------------------------------------------------------------------------------------
# Steps


def _rows_a_chunk(weights: Tensor, each: int = 1) -> int:
    return max(1, _CHUNK // (weights.numel() * each))


def _over_rows(reduce: Callable[[Tensor], Tensor], messages: Tensor, weights: Tensor) -> Tensor:
    """For each row and each row of the weights, their sums reduced: (rows, K)."""
    parts = torch.split(messages, _rows_a_chunk(weights))
    return torch.cat([reduce(part[:, None, :] + weights) for part in parts])


def _largest(sums: Tensor) -> Tensor:
    return sums.amax(-1)


def _log_sum(sums: Tensor) -> Tensor:
    return sums.logsumexp(-1)


def _log_pass(emissions: Tensor, sizes: list[int], first: Tensor, weights: Tensor) -> Tensor:
    weights = weights.contiguous()
    steps: list[Tensor] = []
    for emission in torch.split(emissions, sizes):
        before = _over_rows(_log_sum, steps[-1][: len(emission)], weights) if steps else first
        steps.append(before + emission)
    return torch.cat(steps)


def _n_best(potentials: _Potentials, n: int, tags: Tensor) -> Tensor:
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
            found = [(part[:, None] + transposed).flatten(2).topk(n) for part in parts]
            best = torch.cat([values for values, _ in found])
            origins.append(torch.cat([indices for _, indices in found]))
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


# ---------------------------------------------------------------------------------------------
# What is allowed


def _mask(name: str, mask: Tensor | None, *shape: int) -> Tensor:
    if mask is None:
        return torch.ones(shape, dtype=torch.bool, device="cpu")
    if mask.dtype != torch.bool or tuple(mask.shape) != shape:
        raise ConfigError(
            f"{name} has shape {tuple(mask.shape)} and type {mask.dtype}; it must be bool {shape}"
        )
    return mask.to("cpu", copy=True)


def _follow(tags: Tensor, allowed: Tensor) -> Tensor:
    """Which tags may stand one step after one of these: bool (K,)."""
    return (allowed & tags[:, None]).any(0)


def _possible_tags(allowed: Tensor, starts: Tensor, ends: Tensor) -> Tensor:
    """Which tags are in some sequence: bool (K,)."""
    seen = set()
    tags, reached = starts, starts
    while (key := tuple(tags.tolist())) not in seen:
        seen.add(key)
        if not bool((tags & ends).any()):
            raise ConfigError(
                f"allowed, starts and ends leave no sequence of length {len(seen)}; "
                "rows of any length must have some tags"
            )
        tags = _follow(tags, allowed)
        reached = reached | tags
    leads = ends
    while not torch.equal(more := leads | _follow(leads, allowed.t()), leads):
        leads = more
    return reached & leads


def _steps_to_mix(allowed: Tensor) -> int:
    """In how many steps each tag can be reached from each; as good as never where in none."""
    weights = allowed.float()
    reached = weights
    for steps in range(1, _LONGEST_MIX):
        if bool(reached.all()):
            return steps
        reached = (reached @ weights > 0).float()
    return sys.maxsize
