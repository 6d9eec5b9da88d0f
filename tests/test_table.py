"""Tokens of a vocabulary: the table of their vectors instead of the vectors one by one."""

import pytest
import torch
from torch.nn.functional import embedding

from checks import TOLERANCES
from elman.backends.base import RUNS
from elman.backends.llvm.call.index_add import sum_by_index
from elman.errors import ConfigError
from elman.nn import ragged
from elman.nn.recurrent import Recurrent

CELLS = ["lstm", "gru", "mut1", "mingru", "layer_norm(lstm)"]


def problem(name, dtype, **options):
    torch.manual_seed(0)
    layer = Recurrent(name, 5, 6, 2, **options).to(dtype)
    table = torch.randn(4, 5, dtype=dtype, requires_grad=True)
    packed = ragged.pack(torch.randint(0, 4, (30,)), torch.tensor([7, 3, 9, 11]))
    return layer, table, packed


def looked_up(packed, table):
    return ragged.replace(packed, embedding(packed.data, table))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("name", CELLS)
def test_a_table_gives_what_looking_up_gives(name, bidirectional, dtype):
    layer, table, packed = problem(name, dtype, bidirectional=bidirectional)
    leaves = [table, *layer.parameters()]

    def results(output, finals):
        weights = torch.arange(output.data.numel(), dtype=dtype).view_as(output.data).sin()
        loss = (output.data * weights).sum() + sum(state.sum() for state in finals.values())
        return [output.data, *torch.autograd.grad(loss, leaves)]

    before = RUNS["llvm"]
    found = results(*layer(packed, table=table))
    assert RUNS["llvm"] > before
    expected = results(*layer(looked_up(packed, table)))
    tolerance = TOLERANCES[dtype].gradient
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=tolerance, atol=tolerance)
    with torch.no_grad():
        torch.testing.assert_close(layer(packed, table=table)[0].data, expected[0])


@pytest.mark.parametrize("backend", ["llvm", "builtin", "eager"])
def test_each_backend_takes_a_table(backend):
    layer, table, packed = problem("lstm", torch.float64, backend=backend)
    found, _ = layer(packed, table=table)
    torch.testing.assert_close(found.data, layer(looked_up(packed, table))[0].data)


@pytest.mark.parametrize("turn", [torch.Tensor.int, lambda ids: torch.stack([ids, ids], 1)[:, 0]])
def test_indices_of_another_type_or_not_in_one_piece(turn):
    layer, table, packed = problem("lstm", torch.float64)
    found, _ = layer(ragged.replace(packed, turn(packed.data)), table=table)
    torch.testing.assert_close(found.data, layer(packed, table=table)[0].data)


def test_second_derivatives_by_a_table():
    layer, table, packed = problem("lstm", torch.float64)
    assert torch.autograd.gradgradcheck(lambda t: layer(packed, table=t)[0].data, table)


def test_a_vocabulary_larger_than_the_batch_is_looked_up():
    layer, _, packed = problem("lstm", torch.float64)
    table = torch.randn(1_000, 5, dtype=torch.float64)
    found, _ = layer(packed, table=table)
    torch.testing.assert_close(found.data, layer(looked_up(packed, table))[0].data)


@pytest.mark.parametrize("index", [-1, 4])
def test_an_index_outside_of_the_table_is_torchs_own_error(index):
    layer, table, packed = problem("lstm", torch.float64)
    data = packed.data.clone()
    data[3] = index
    with pytest.raises(IndexError, match="out of range"):
        layer(ragged.replace(packed, data), table=table)


def test_indices_changed_before_the_backward_pass_are_refused():
    layer, table, packed = problem("lstm", torch.float64)
    loss = layer(packed, table=table)[0].data.sum()
    packed.data.fill_(1_000_000)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


def test_what_is_no_table_or_no_tokens_is_refused():
    layer, table, packed = problem("lstm", torch.float64)
    with pytest.raises(ConfigError, match="token ids"):
        layer(looked_up(packed, table), table=table)
    with pytest.raises(ConfigError, match=r"table has shape \(4, 3\)"):
        layer(packed, table=table[:, :3])


@pytest.mark.parametrize("width", [1, 15, 16, 37])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_rows_are_summed_by_index(dtype, width):
    rows = torch.randn(50, width + 3, dtype=dtype)[:, 2 : 2 + width]
    indices = torch.randint(0, 7, (50,))
    expected = torch.zeros(7, width, dtype=dtype).index_add_(0, indices, rows)
    torch.testing.assert_close(sum_by_index(rows, indices, 7), expected)
