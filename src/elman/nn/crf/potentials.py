"""What the score of a sequence is added up from, where it lies in a batch, and what is allowed."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from elman.errors import ConfigError, DataError

UNKNOWN = -1
"""A tag in training that may be any."""

_LONGEST_MIX = 32


@dataclass(frozen=True)
class Layout:
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
    def of(cls, packed: PackedSequence) -> Layout:
        """Return that of a ragged batch."""
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
        """Return at which place some of the batch's rows are when sorted."""
        return rows if self.unsorted is None else self.unsorted[rows]


@dataclass(frozen=True)
class Potentials:
    """What a sequence's score is added up from: float64, at most 0, -inf where forbidden."""

    layout: Layout
    emissions: Tensor
    """(N, K)."""
    transitions: Tensor
    start: Tensor
    end: Tensor
    spread: float
    """How far what one step adds can be under 0, but for what is forbidden."""
    mix: int
    """In how many steps each tag can be reached from each."""


def check_tags(tags: Tensor, tokens: int, num_tags: int) -> None:
    """Refuse what are no tags, or sets of tags, of so many tokens.

    Raises:
        DataError: a shape is wrong, or a number is not that of a tag.
    """
    of_sets = tags.dtype == torch.bool
    shape = (tokens, num_tags) if of_sets else (tokens,)
    if tuple(tags.shape) != shape or tags.is_floating_point():
        raise DataError(
            f"the tags have shape {tuple(tags.shape)} and type {tags.dtype}; they must be "
            f"whole numbers ({tokens},) or bool ({tokens}, {num_tags}), as the scores lie"
        )
    if of_sets or not tokens:
        return
    least, most = (int(end) for end in torch.aminmax(tags))
    if least < UNKNOWN or most >= num_tags:
        raise DataError(
            f"there is a tag {least if least < UNKNOWN else most}; tags are the numbers 0 to "
            f"{num_tags - 1}, and {UNKNOWN} where any may stand"
        )


# ---------------------------------------------------------------------------------------------
# What is allowed


def mask_of(name: str, mask: Tensor | None, *shape: int) -> Tensor:
    """Return what is allowed, all where nothing is said.

    Raises:
        ConfigError: the mask has another shape or type.
    """
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


def possible_tags(allowed: Tensor, starts: Tensor, ends: Tensor) -> Tensor:
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


def steps_to_mix(allowed: Tensor) -> int:
    """In how many steps each tag can be reached from each; as good as never where in none."""
    weights = allowed.float()
    reached = weights
    for steps in range(1, _LONGEST_MIX):
        if bool(reached.all()):
            return steps
        reached = (reached @ weights > 0).float()
    return sys.maxsize
