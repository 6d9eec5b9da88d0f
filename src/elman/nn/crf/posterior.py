"""The probabilities of tags, spans and sequences."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from elman.errors import DataError
from elman.nn import ragged
from elman.nn.crf.lattice import Logarithmic, Scaled, restricted
from elman.nn.crf.potentials import (
    Potentials,
    check_tags,
)


class Posterior:
    """What a `CRF` says of a batch: the probabilities of tags, spans and sequences, all exact.

    It holds both passes over the batch, so each question is cheap.
    """

    def __init__(
        self,
        scores: PackedSequence,
        potentials: Potentials,
        lattice: Scaled | Logarithmic | None,
        dtype: torch.dtype,
    ) -> None:
        self._scores, self._potentials, self._lattice = scores, potentials, lattice
        self._num_tags, self._type = len(potentials.start), dtype

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
        check_tags(tags, len(self._scores.data), self._num_tags)
        result = self._scores.data.new_zeros(ragged.count(self._scores), dtype=torch.float64)
        if self._lattice is not None:
            part = restricted(self._potentials, tags, directions=1)
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
        if least < 0 or most >= self._num_tags:
            raise DataError(f"spans have tags 0 to {self._num_tags - 1}, not {least} to {most}")
