"""Rows become batches without padding: none is lost, none comes twice."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.nn.utils.rnn import pack_sequence

from elman.data.batching import (
    POOL_BATCHES,
    pack_rows,
    padding_share,
    shuffled_batches,
    sorted_batches,
)
from elman.text.lengths import offsets_of, places_of, steps_of

LENGTHS = st.lists(st.integers(1, 12), min_size=1, max_size=40)


def rng():
    return np.random.default_rng(0)


def sizes(lengths):
    return np.asarray(lengths, dtype=np.int64)


@given(LENGTHS, st.randoms(use_true_random=False))
def test_packing_is_torchs(lengths, random):
    lengths = sizes(lengths)
    values = np.arange(lengths.sum(), dtype=np.int32)
    offsets = offsets_of(lengths)
    rows = sizes(random.sample(range(len(lengths)), random.randint(1, len(lengths))))
    batch = pack_rows(values, lengths, offsets, rows)
    assert sorted(batch.rows) == sorted(rows)
    texts = [torch.from_numpy(values[offsets[r] : offsets[r] + lengths[r]]) for r in batch.rows]
    theirs = pack_sequence(texts)
    assert batch.values.dtype == np.int32
    assert batch.values.tolist() == theirs.data.tolist()
    assert batch.batch_sizes.tolist() == theirs.batch_sizes.tolist()


def test_rows_of_one_length_keep_their_order():
    batch = pack_rows(
        np.arange(6, dtype=np.int32), sizes([2, 2, 2]), sizes([0, 2, 4]), sizes([2, 0])
    )
    assert batch.rows.tolist() == [2, 0]
    assert batch.values.tolist() == [4, 0, 5, 1]


def test_offsets_pass_over_empty_rows():
    assert offsets_of(sizes([0, 3, 0, 2])).tolist() == [0, 0, 3, 3]
    assert offsets_of(sizes([])).tolist() == []


def test_steps_and_places_pass_over_empty_rows():
    assert steps_of(sizes([0, 3, 0, 2])).tolist() == [0, 1, 2, 0, 1]
    assert places_of(sizes([7, 4]), sizes([2, 3])).tolist() == [7, 8, 4, 5, 6]
    assert steps_of(sizes([])).tolist() == places_of(sizes([]), sizes([])).tolist() == []


@given(st.lists(st.integers(1, 30), max_size=300), st.integers(1, 20), st.integers(0, 9))
def test_each_row_trains_in_exactly_one_batch(lengths, batch_size, seed):
    batches = shuffled_batches(sizes(lengths), batch_size, np.random.default_rng(seed))
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    assert all(1 <= len(batch) <= batch_size for batch in batches)
    pools = -(-len(lengths) // (batch_size * POOL_BATCHES))
    assert sum(len(batch) < batch_size for batch in batches) <= pools


def test_batches_of_training_are_of_nearly_equal_length_and_never_the_same():
    lengths = rng().integers(1, 40, size=5_000)
    shuffler = rng()
    first, second = (shuffled_batches(lengths, 16, shuffler) for _ in range(2))
    spread = np.mean([np.ptp(lengths[batch]) for batch in first])
    assert spread < 3
    assert {*map(tuple, first)}.isdisjoint(map(tuple, second))
    # The batches themselves do not come sorted by length.
    means = [lengths[batch].mean() for batch in first]
    assert abs(np.corrcoef(means, np.arange(len(means)))[0, 1]) < 0.3


def test_the_same_seed_gives_the_same_batches():
    lengths = rng().integers(1, 40, size=500)
    first, second = (shuffled_batches(lengths, 16, np.random.default_rng(7)) for _ in range(2))
    assert list(map(list, first)) == list(map(list, second))


@given(st.lists(st.integers(1, 50), max_size=60), st.integers(1, 100), st.integers(1, 10))
def test_each_row_is_judged_in_exactly_one_batch(lengths, max_tokens, max_rows):
    lengths = sizes(lengths)
    batches = list(sorted_batches(lengths, max_tokens, max_rows))
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    for batch in batches:
        assert 1 <= len(batch) <= max_rows
        assert lengths[batch].sum() <= max_tokens or len(batch) == 1
    joined = lengths[np.concatenate(batches)] if batches else lengths
    assert (np.diff(joined) >= 0).all()


@pytest.mark.parametrize(
    ("lengths", "max_tokens", "max_rows", "expected"),
    [([1, 1, 2, 9], 3, 9, [[0, 1], [2], [3]]), ([1, 1, 1], 99, 2, [[0, 1], [2]])],
)
def test_the_bounds_of_a_batch_are_exact(lengths, max_tokens, max_rows, expected):
    batches = sorted_batches(sizes(lengths), max_tokens, max_rows)
    assert [batch.tolist() for batch in batches] == expected


def test_padding_share():
    assert padding_share(sizes([3, 3, 3]), 2, rng()) == 1
    assert padding_share(sizes([1, 3]), 2, rng()) == pytest.approx(4 / 6)
    assert padding_share(sizes([1, 3]), 1, rng()) == 1
    assert padding_share(sizes([]), 2, rng()) == 1
    assert 0.3 < padding_share(rng().integers(1, 40, size=999), 16, rng()) < 0.7
