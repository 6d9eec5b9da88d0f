"""Ragged batches: packing without padding, and what is read off them."""

import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pack_sequence

from checks import backend_named, runs_on
from elman.errors import DataError
from elman.nn import Recurrent, ragged

LENGTHS = [(3, 1, 4, 1, 4), (2, 2), (1,), (1, 2, 3), (5, 1, 1)]
every = pytest.mark.parametrize("lengths", LENGTHS, ids=str)


def make_rows(lengths, *shape):
    torch.manual_seed(0)
    return [torch.randn(length, *(shape or (3,)), dtype=torch.float64) for length in lengths]


def make_packed(lengths, *shape):
    return ragged.pack(torch.cat(make_rows(lengths, *shape)), torch.tensor(lengths))


@every
@pytest.mark.parametrize("shape", [(3,), (2, 3), ()], ids=str)
def test_pack_as_torch_does(lengths, shape):
    rows = [row.reshape(len(row), *shape, -1)[..., 0] for row in make_rows(lengths, *shape, 1)]
    ours = ragged.pack(torch.cat(rows), torch.tensor(lengths))
    theirs = pack_sequence(rows, enforce_sorted=False)
    assert torch.equal(ours.data, theirs.data)
    assert torch.equal(ours.batch_sizes, theirs.batch_sizes)
    assert ours.batch_sizes.device.type == "cpu"
    values, sizes = ragged.unpack(ours)
    assert torch.equal(values, torch.cat(rows))
    assert sizes.tolist() == list(lengths)


def test_lengths_may_be_a_list():
    packed = ragged.pack(torch.arange(6), [1, 3, 2])
    assert packed.data.tolist() == [1, 4, 0, 2, 5, 3]


def test_tokens_can_be_packed():
    packed = ragged.pack(torch.arange(6), torch.tensor([1, 3, 2], dtype=torch.int32))
    assert packed.data.tolist() == [1, 4, 0, 2, 5, 3]
    assert packed.data.dtype == torch.int64


@every
def test_what_torch_packed_is_read_too(lengths):
    rows = make_rows(sorted(lengths, reverse=True))
    packed = pack_sequence(rows)  # sorted already, so without indices
    assert packed.sorted_indices is None
    assert torch.equal(ragged.unpack(packed)[0], torch.cat(rows))
    assert ragged.lengths(packed).tolist() == sorted(lengths, reverse=True)
    assert torch.equal(ragged.last(packed), torch.stack([row[-1] for row in rows]))
    assert torch.equal(ragged.max(packed), torch.stack([row.max(0).values for row in rows]))
    padded = torch.nn.utils.rnn.pad_sequence(rows)
    again = pack_padded_sequence(padded, ragged.lengths(packed))
    assert torch.equal(again.data, packed.data)


@every
def test_rows_and_lengths(lengths):
    packed = make_packed(lengths)
    row = torch.repeat_interleave(torch.tensor(lengths))
    expected = ragged.pack(row, torch.tensor(lengths)).data
    assert torch.equal(ragged.rows(packed), expected)
    assert ragged.lengths(packed).tolist() == list(lengths)


@every
def test_previous(lengths):
    rows = make_rows(lengths)
    packed = ragged.pack(torch.cat(rows), torch.tensor(lengths))
    values, _ = ragged.unpack(ragged.replace(packed, ragged.previous(packed, -1.0)))
    expected = [torch.cat([torch.full_like(row[:1], -1.0), row[:-1]]) for row in rows]
    assert torch.equal(values, torch.cat(expected))


POOLS = {
    "last": (ragged.last, lambda row: row[-1]),
    "sum": (ragged.sum, lambda row: row.sum(0)),
    "mean": (ragged.mean, lambda row: row.mean(0)),
    "max": (ragged.max, lambda row: row.max(0).values),
}


@every
@pytest.mark.parametrize("name", POOLS)
def test_pooling(lengths, name):
    ours, plain = POOLS[name]
    rows = [row.requires_grad_() for row in make_rows(lengths)]
    pooled = ours(ragged.pack(torch.cat(rows), torch.tensor(lengths)))
    expected = torch.stack([plain(row) for row in rows])
    torch.testing.assert_close(pooled, expected)
    weight = torch.randn_like(expected)
    found = torch.autograd.grad((pooled * weight).sum(), rows)
    wanted = torch.autograd.grad((expected * weight).sum(), rows)
    torch.testing.assert_close(found, wanted)


@every
def test_softmax(lengths):
    packed = make_packed(lengths)
    shifted = ragged.replace(packed, packed.data + 1000.0)
    weights = ragged.softmax(shifted)
    values, sizes = ragged.unpack(weights)
    rows = make_rows(lengths)
    for part, row in zip(values.split(sizes.tolist()), rows, strict=True):
        torch.testing.assert_close(part, (row + 1000.0).softmax(0))
    torch.testing.assert_close(ragged.sum(weights), torch.ones(len(lengths), 3).double())


def test_nan_stays_in_its_row():
    packed = ragged.pack(torch.tensor([[1.0], [torch.nan], [2.0]]), torch.tensor([2, 1]))
    for pool in (ragged.max, ragged.mean, ragged.last):
        assert pool(packed).isnan().tolist() == [[True], [False]]


@pytest.mark.parametrize(
    ("lengths", "told"),
    [
        ([], "at least one row"),
        ([2, 0, 1], "row 1 of the batch has length 0; leave it out"),
        ([2, 2], "the lengths add up to 4, but there are 3 tokens"),
        ([[1, 2]], "of shape"),
    ],
)
def test_lengths_that_cannot_be(lengths, told):
    with pytest.raises(DataError, match=told):
        ragged.pack(torch.zeros(3, 1), torch.tensor(lengths))


def test_one_long_row_takes_no_rectangle():
    # 200 rows of 1 token beside one of 500,000: a (T, B) mask would hold 100 million.
    lengths = torch.tensor([1] * 200 + [500_000])
    values = torch.arange(int(lengths.sum()))
    packed = ragged.pack(values, lengths)
    assert torch.equal(ragged.unpack(packed)[0], values)


@pytest.mark.parametrize("backend", ["llvm", "builtin", "eager"])
def test_the_default_device_is_not_asked(backend):
    # Values, lengths and weights say where they are; torch.set_default_device is for what is new.
    layer = Recurrent("gru", 3, 5, bidirectional=True, backend=backend)
    values, sizes = torch.randn(9, 3), torch.tensor([2, 4, 3])
    wanted = layer(ragged.pack(values, sizes))[0].data
    with torch.device("meta"):
        packed = ragged.pack(values, sizes)
        with runs_on(backend_named(backend), 2):
            outputs, finals = layer(packed)
        outputs.data.sum().backward()
        found = [getattr(ragged, name)(outputs) for name in ("last", "mean", "max", "lengths")]
        found += [layer.last(outputs, finals), ragged.previous(packed, 0.0), outputs.data]
    assert {one.device.type for one in found} == {"cpu"}
    assert torch.equal(outputs.data, wanted)
