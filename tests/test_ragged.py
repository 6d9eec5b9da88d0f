"""Ragged batches: packing without padding, and what is read off them."""

import pytest
import torch
from torch.nn.utils import rnn
from torch.nn.utils.rnn import pack_padded_sequence, pack_sequence, pad_sequence

from checks import backend_named, runs_on
from elman.errors import DataError
from elman.nn import Recurrent, ragged

FILLED = [(3, 1, 4, 1, 4), (2, 2), (1,), (1, 2, 3), (5, 1, 1)]
WITH_EMPTY = [(3, 0, 4), (0, 2, 0, 2), (1, 0), (0,), (0, 0)]
filled = pytest.mark.parametrize("lengths", FILLED, ids=str)
with_empty = pytest.mark.parametrize("lengths", WITH_EMPTY, ids=str)
every = pytest.mark.parametrize("lengths", [*FILLED, *WITH_EMPTY], ids=str)


def make_rows(lengths, *shape):
    torch.manual_seed(0)
    return [torch.randn(length, *(shape or (3,)), dtype=torch.float64) for length in lengths]


def make_packed(lengths, *shape):
    return ragged.pack(torch.cat(make_rows(lengths, *shape)), torch.tensor(lengths))


@filled
@pytest.mark.parametrize("shape", [(3,), (2, 3), ()], ids=str)
def test_pack_as_torch_does(lengths, shape):
    rows = [torch.randn(length, *shape, dtype=torch.float64) for length in lengths]
    ours = ragged.pack(torch.cat(rows), torch.tensor(lengths))
    theirs = pack_sequence(rows, enforce_sorted=False)
    assert torch.equal(ours.data, theirs.data)
    assert torch.equal(ours.batch_sizes, theirs.batch_sizes)
    assert ours.batch_sizes.device.type == "cpu"
    values, sizes = ragged.unpack(ours)
    assert torch.equal(values, torch.cat(rows))
    assert sizes.tolist() == list(lengths)


@with_empty
@pytest.mark.parametrize("shape", [(3,), (2, 3), ()], ids=str)
def test_rows_of_length_0_are_after_the_others(lengths, shape):
    rows = [torch.randn(length, *shape, dtype=torch.float64) for length in lengths]
    packed = ragged.pack(torch.cat(rows), torch.tensor(lengths))
    begun = [row for row in rows if len(row)]
    assert packed.sorted_indices.tolist() == sorted(
        range(len(lengths)), key=lambda row: lengths[row], reverse=True
    )
    assert ragged.count(packed) == len(lengths)
    if begun:
        theirs = pack_sequence(begun, enforce_sorted=False)
        assert torch.equal(packed.data, theirs.data)
        assert torch.equal(packed.batch_sizes, theirs.batch_sizes)
    else:
        assert packed.data.shape == (0, *shape)
        assert packed.batch_sizes.shape == (0,)
    values, sizes = ragged.unpack(packed)
    assert torch.equal(values, torch.cat(rows))
    assert sizes.tolist() == list(lengths)


@every
@pytest.mark.parametrize("shape", [(3,), ()], ids=str)
def test_pad_as_torch_does(lengths, shape):
    rows = [torch.randn(length, *shape, dtype=torch.float64) for length in lengths]
    leaf = torch.cat(rows).requires_grad_()
    padded, sizes = ragged.pad(ragged.pack(leaf, lengths), -1.0)
    assert torch.equal(padded, pad_sequence(rows, batch_first=True, padding_value=-1.0))
    assert sizes.tolist() == list(lengths)
    weight = torch.randn_like(padded)
    (found,) = torch.autograd.grad((padded * weight).sum(), leaf)
    parts = [part[:length] for part, length in zip(weight, lengths, strict=True)]
    assert torch.equal(found, torch.cat(parts))


@with_empty
@pytest.mark.parametrize("name", ["pad_packed_sequence", "unpack_sequence"])
def test_torch_refuses_rows_of_length_0(lengths, name):
    # Never a wrong answer: what docs/pytorch.md promises.
    with pytest.raises((IndexError, RuntimeError, ValueError)):
        getattr(rnn, name)(make_packed(lengths))


@pytest.mark.parametrize("given", [False, True])
@pytest.mark.parametrize("name", ["RNN", "LSTM", "GRU"])
def test_torchs_layers_refuse_rows_of_length_0(name, given):
    packed = make_packed((3, 0, 4))
    state = torch.zeros(1, 3, 5, dtype=torch.float64)
    hx = ((state, state) if name == "LSTM" else state) if given else None
    with pytest.raises((IndexError, RuntimeError)):
        getattr(torch.nn, name)(3, 5, dtype=torch.float64)(packed, hx)


def test_lengths_may_be_a_list():
    packed = ragged.pack(torch.arange(6), [1, 3, 2])
    assert packed.data.tolist() == [1, 4, 0, 2, 5, 3]


def test_tokens_can_be_packed():
    packed = ragged.pack(torch.arange(6), torch.tensor([1, 3, 2], dtype=torch.int32))
    assert packed.data.tolist() == [1, 4, 0, 2, 5, 3]
    assert packed.data.dtype == torch.int64


@filled
def test_what_torch_packed_is_read_too(lengths):
    rows = make_rows(sorted(lengths, reverse=True))
    packed = pack_sequence(rows)  # sorted already, so without indices
    assert packed.sorted_indices is None
    assert torch.equal(ragged.unpack(packed)[0], torch.cat(rows))
    assert ragged.lengths(packed).tolist() == sorted(lengths, reverse=True)
    assert ragged.count(packed) == len(rows)
    assert torch.equal(ragged.first(packed), torch.stack([row[0] for row in rows]))
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
    "first": (ragged.first, lambda row: row[0]),
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
    nothing = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    expected = torch.stack([plain(row) if len(row) else nothing for row in rows])
    torch.testing.assert_close(pooled, expected)
    weight = torch.randn_like(expected)
    found = torch.autograd.grad((pooled * weight).sum(), rows)
    wanted = torch.autograd.grad((expected * weight).sum(), rows, materialize_grads=True)
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
    whole = torch.tensor(lengths).clamp(max=1).double()
    torch.testing.assert_close(ragged.sum(weights), whole[:, None].expand(-1, 3))


def test_the_largest_may_be_0():
    # What a row of length 0 has is no value of the others, whose gradient it would share.
    values = torch.tensor([[0.0], [-1.0]], requires_grad=True)
    ragged.max(ragged.pack(values, [2, 0])).sum().backward()
    assert values.grad.tolist() == [[1.0], [0.0]]


def test_nan_stays_in_its_row():
    packed = ragged.pack(torch.tensor([[1.0], [torch.nan], [2.0]]), torch.tensor([2, 1]))
    for pool in (ragged.max, ragged.mean, ragged.last):
        assert pool(packed).isnan().tolist() == [[True], [False]]


@pytest.mark.parametrize(
    ("lengths", "told"),
    [
        ([], "at least one row"),
        ([2, -1, 2], "row 1 of the batch has length -1; lengths are at least 0"),
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
    values, sizes = torch.randn(9, 3), torch.tensor([2, 4, 0, 3])
    wanted = layer(ragged.pack(values, sizes))[0].data
    with torch.device("meta"):
        packed = ragged.pack(values, sizes)
        with runs_on(backend_named(backend), 2):
            outputs, finals = layer(packed)
        outputs.data.sum().backward()
        found = [
            getattr(ragged, name)(outputs) for name in ("first", "last", "mean", "max", "lengths")
        ]
        found.append(ragged.pad(outputs)[0])
        found += [layer.last(outputs, finals), ragged.previous(packed, 0.0), outputs.data]
    assert {one.device.type for one in found} == {"cpu"}
    assert torch.equal(outputs.data, wanted)
