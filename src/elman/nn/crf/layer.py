"""The layer: scores and parameters to likelihoods and sequences."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from elman.errors import ConfigError, DataError
from elman.nn import ragged
from elman.nn.crf.lattice import largest, lattice, n_best, over_rows, restricted
from elman.nn.crf.posterior import Posterior
from elman.nn.crf.potentials import (
    UNKNOWN,
    Layout,
    Potentials,
    check_tags,
    mask_of,
    possible_tags,
    steps_to_mix,
)


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

        allowed = mask_of("allowed", allowed, num_tags, num_tags)
        starts, ends = mask_of("starts", starts, num_tags), mask_of("ends", ends, num_tags)
        possible = possible_tags(allowed, starts, ends)
        # A tag that no sequence reaches must not come up on the way back from the ends either.
        masks = {
            "allowed": allowed & possible & possible[:, None],
            "starts": starts & possible,
            "ends": ends & possible,
        }
        for name, mask in masks.items():
            self.register_buffer(name, mask.to(self.start.device), persistent=False)
        self._mix = steps_to_mix(masks["allowed"][possible][:, possible])

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
        check_tags(tags, len(scores.data), self.num_tags)
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
                step = over_rows(largest, best[-1][: len(emissions)], transposed) + emissions
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
        logs = n_best(potentials, n, tags)
        logs -= lattice(potentials, directions=1).log_sum[:, None]
        ranked[potentials.layout.order] = logs
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
        sums = None if not len(scores.data) else lattice(potentials, logs=True)
        return Posterior(scores, potentials, sums, self._result_type(scores))

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

    def _result_type(self, scores: PackedSequence) -> torch.dtype:
        # The scores may have been made in bfloat16, which has 3 digits.
        return torch.promote_types(scores.data.dtype, self.transitions.dtype)

    def _potentials(self, scores: PackedSequence, temperature: float = 1.0) -> Potentials:
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
        return Potentials(Layout.of(scores), emissions, transitions, start, end, spread, self._mix)


def _below_largest(values: Tensor) -> Tensor:
    return values - values.amax()


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
        part = restricted(potentials, tags, directions=directions)
        layout = potentials.layout
        forbidden = part.log_sum.isneginf()
        if bool(forbidden.any()):
            row = int(layout.order[forbidden].min())
            raise DataError(
                f"row {row} of the batch has tags that allowed, starts and ends forbid; "
                "mend its tags, or allow them"
            )
        whole = lattice(potentials, directions=directions)
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
        layout: Layout = ctx.layout
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
