"""Cutting text for a language model into parts to train, tune and test on."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from elman.data import splits
from elman.data.splits import Split
from elman.data.text_stream import (
    BLOCK,
    Starts,
    TextStream,
    blocks,
    num_characters,
    refuse_other_kind,
)
from elman.errors import ConfigError, DataError


def split_stream(
    stream: TextStream,
    *,
    fractions: tuple[float, float, float] | None = None,
    seed: int = 0,
    valid: TextStream | None = None,
    test: TextStream | None = None,
) -> Split[TextStream]:
    """Cut a text into training, validation and test parts.

    A running text is cut twice, at the line ends nearest to the shares of its characters: its end
    is the test part, what stands before that the validation part. Texts that stand alone are drawn
    label by label; equal ones never stand on both sides.

    Args:
        stream: what to cut.
        fractions: shares of the parts; 0.9, 0.05, 0.05 when not given, or 0.95 and 0.05 where
            there is a test part.
        seed: of the drawing.
        valid: a validation part from elsewhere.
        test: a test part from elsewhere.

    Raises:
        ConfigError: the fractions do not sum to 1.
        DataError: there is too little text, or a part is of another kind or has a label of its own.
    """
    for part in (valid, test):
        if part is not None:
            refuse_other_kind([stream, part])
            _refuse_unknown(part, stream)
    shares = fractions or ((0.9, 0.05, 0.05) if test is None else (0.95, 0.05, 0.0))
    if not stream.running:
        return splits.split(
            stream,
            keys=_keys,
            strata=_strata,
            fractions=shares,
            seed=seed,
            valid=valid,
            test=test,
        )
    for_valid, for_test = splits.cut_shares(shares, valid, test)
    bounds = _bounds(stream, [1 - for_valid - for_test, for_valid, for_test])
    train, cut_valid, cut_test = (stream.take(slice(start, end)) for start, end in pairwise(bounds))
    return Split(
        train, cut_valid if valid is None else valid, cut_test if test is None else test, ()
    )


def folds_of(stream: TextStream, *, count: int, seed: int = 0) -> list[Split[TextStream]]:
    """Cut a text ``count`` times, each of its parts once into the test part.

    The parts of a running text follow one another; a twentieth of what is not tested on, its end,
    is the validation part.

    Raises:
        ConfigError: there is too little text for so many.
    """
    if not stream.running:
        return splits.folds(
            stream, keys=_keys, strata=_strata, count=count, valid=1 / 19, seed=seed
        )
    if len(stream) < max(2 * count, 3):
        raise ConfigError(
            f"{stream.source} has {_lines(len(stream))}, too few for {count} folds; "
            "ask for fewer folds"
        )
    bounds = _bounds(stream, [1 / count] * count)
    cuts = []
    for start, end in pairwise(bounds):
        rest = np.concatenate([np.arange(start), np.arange(end, len(stream))])
        cut = split_stream(stream.take(rest), fractions=(0.95, 0.05, 0.0))
        cuts.append(Split(cut.train, cut.valid, stream.take(slice(start, end)), cut.notes))
    return cuts


def _keys(part: TextStream) -> list[str]:
    return splits.keys_of([*part.texts()])


def _strata(part: TextStream) -> Sequence[str]:
    return [""] * len(part) if part.labels is None else part.labels


def _refuse_unknown(part: TextStream, stream: TextStream) -> None:
    unknown = sorted({*(part.labels or ())} - {*(stream.labels or ())})
    if unknown:
        raise DataError(
            f"{part.source} has the label {unknown[0]!r}, which {stream.source} has not; "
            "give texts of the same labels"
        )


def _bounds(stream: TextStream, shares: Sequence[float]) -> list[int]:
    """Return the first row of each part, and the end; a part with a share has a row at least.

    Raises:
        DataError: there are fewer rows than parts.
    """
    wanted = [share > 0 for share in shares]
    if len(stream) < sum(wanted):
        raise DataError(
            f"{stream.source} has {_lines(len(stream))}, too little text to train on and test; "
            f"give at least {sum(wanted)} lines, better some thousands"
        )
    places = _places(stream, np.cumsum(shares[:-1]) * stream.characters)
    right = np.searchsorted(stream.starts, places)
    left = np.maximum(right - 1, 0)
    nearer = places - stream.starts[left] <= stream.starts[right] - places
    bounds = [0, *np.where(nearer, left, right).tolist(), len(stream)]
    last = max(i for i, has_share in enumerate(wanted) if has_share)
    bounds[last + 1 :] = [len(stream)] * (len(wanted) - last)
    for i in range(1, len(bounds) - 1):
        bounds[i] = max(bounds[i], bounds[i - 1] + wanted[i - 1])
    for i in reversed(range(1, len(bounds) - 1)):
        bounds[i] = min(bounds[i], bounds[i + 1] - wanted[i])
    return bounds


def _places(stream: TextStream, characters: NDArray[np.float64]) -> Starts:
    """Return at which bytes so many characters have gone by, each place within a few bytes."""
    counts = [num_characters(block) for block in blocks(stream.buffer)]
    before = np.concatenate([[0], np.cumsum(counts)])
    places = []
    for number in characters.tolist():
        block = min(int(np.searchsorted(before, number, side="right")) - 1, len(counts) - 1)
        part = stream.buffer[block * BLOCK : (block + 1) * BLOCK]
        firsts = np.flatnonzero((part & 0xC0) != 0x80)
        within = min(int(number - before[block]), len(firsts))
        places.append(block * BLOCK + (int(firsts[within]) if within < len(firsts) else len(part)))
    return np.asarray(places, dtype=np.int64)


def _lines(count: int) -> str:
    return f"{count:,} line{'' if count == 1 else 's'}"
