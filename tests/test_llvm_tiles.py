"""Matrix tiles: products of float32 in parts of 8 bits, in kernels and beside them."""

from dataclasses import replace

import pytest
import torch

from beside_eager import compared, rounded
from checks import EVERY_CELL
from elman.backends.llvm.call import tuning
from elman.backends.llvm.call.matmul import by_amx, product, two_products
from elman.backends.llvm.call.signature import signature_of
from elman.backends.llvm.emit import amx_product
from elman.backends.llvm.emit.kernel import write
from elman.backends.llvm.emit.layout import Layout
from elman.backends.llvm.emit.tuning import CODE
from elman.backends.llvm.native import compiler, host
from elman.cells import find
from elman.nn import Recurrent, ragged
from odd_cells import ODD_CELLS

tiles = pytest.mark.skipif(not host.detect().amx, reason="this processor has no matrix tiles")
SAPPHIRE = host.Host("sapphirerapids", "+amx-tile,+amx-bf16", 64, 32, amx=True)
SIZES = [(64, 64, 256), (65, 130, 300), (437, 97, 650), (96, 1050, 70), (1000, 64, 511)]


# ---------------------------------------------------------------------------------------------
# Products beside the loop


@pytest.fixture(params=[1, 2])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


@pytest.fixture
def gladly(monkeypatch):
    """Tiles for every product that they can do, whether or not they are faster."""
    gladly = replace(tuning.current, vectors_along=1e9, vectors_across=1e9)
    monkeypatch.setattr(tuning, "current", gladly)


def error(found, exact):
    return float((found.double() - exact).norm() / exact.norm())


def lying(matrix, form):
    """The same matrix, its rows or its columns each in one piece of memory."""
    return matrix if form == "rows" else matrix.t().contiguous().t()


@tiles
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("left", ["rows", "columns"])
@pytest.mark.parametrize("right", ["rows", "columns"])
def test_as_exact_as_float32_and_nothing_beside_it_is_touched(size, left, right, threads, gladly):
    rows, columns, depth = size
    generator = torch.Generator().manual_seed(rows + columns)
    a = torch.randn(rows, depth, generator=generator)
    b = torch.randn(depth, columns, generator=generator)
    exact = a.double() @ b.double()
    whole = torch.full((rows + 2, columns + 7), 7.0)
    out = whole[1:-1, 3 : 3 + columns]
    left_, right_ = lying(a, left), lying(b, right)
    assert by_amx(left_, right_)
    product(left_, right_, out=out)
    assert error(out, exact) < 1.1 * error(a @ b, exact)
    around = whole.clone()
    around[1:-1, 3 : 3 + columns] = 7.0
    assert (around == 7.0).all()


@tiles
def test_the_same_whatever_the_number_of_threads(gladly):
    a, b = torch.randn(500, 300), torch.randn(300, 200)
    before = torch.get_num_threads()
    found = []
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        found.append(product(a, b))
    torch.set_num_threads(before)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


@tiles
def test_exact_where_float32_is_exact(gladly):
    # Whole numbers of 12 bits: all products and sums fit in 24.
    a = torch.randint(-2048, 2048, (128, 4)).float()
    b = torch.randint(-512, 512, (4, 128)).float()
    wide_a, wide_b = torch.zeros(128, 64), torch.zeros(64, 128)
    wide_a[:, ::16], wide_b[::16] = a, b
    assert torch.equal(product(wide_a, wide_b), (a.double() @ b.double()).float())


@tiles
def test_numbers_of_all_sizes(gladly):
    scale = 10.0 ** torch.randint(-15, 15, (1, 200)).float()
    a, b = torch.randn(100, 200) * scale, torch.randn(200, 100) / scale.t()
    assert error(product(a, b), a.double() @ b.double()) < 1e-6


@tiles
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_reaches_its_row_and_no_other(bad, gladly):
    a, b = torch.randn(100, 200), torch.randn(200, 100)
    a[7, 11] = bad
    found = product(a, b)
    assert not found[7].isfinite().any()
    found[7] = 0.0
    assert found.isfinite().all()


@tiles
def test_left_to_torch(gladly):
    a = torch.randn(200, 200)
    assert by_amx(a, a)
    assert not by_amx(a.double(), a.double())
    assert not by_amx(a[:, ::2], a[::2])
    assert not by_amx(a[:1].expand(200, 200), a)
    assert torch.equal(product(a[:, ::2], a[::2]), a[:, ::2] @ a[::2])


def test_processors_without_tiles(monkeypatch):
    monkeypatch.setattr(host, "detect", lambda: host.Host("haswell", "", 32, 16))
    a = torch.randn(200, 200)
    assert not by_amx(a, a)
    assert torch.equal(product(a, a), a @ a)


def test_the_system_is_asked_only_where_the_processor_has_tiles(monkeypatch):
    def never():
        raise AssertionError

    monkeypatch.setattr(host, "_permitted", never)
    assert not host.amx_usable({"avx512f": True, "avx512bw": True, "amx-tile": True})


@pytest.mark.skipif(not host.is_x86(), reason="code for x86 is compiled on x86 alone")
def test_the_code_compiles_on_any_x86(monkeypatch):
    monkeypatch.setattr(host, "detect", lambda: SAPPHIRE)
    assert "tdpbf16ps" in compiler.assembly(amx_product.text(CODE))


# ---------------------------------------------------------------------------------------------
# Kernels


@pytest.fixture
def always(monkeypatch):
    """Tiles in every kernel, however few rows and units there are."""
    always = replace(tuning.current, amx_units=1, amx_rows=1, amx_rows_per_thread=1)
    monkeypatch.setattr(tuning, "current", always)


@tiles
@pytest.mark.parametrize("cell", EVERY_CELL, ids=str)
def test_every_cell(cell, always):
    problem = rounded(cell.graph, (3, 1, 4, 4), 20)
    compared(problem, torch.float32)
    compared(problem, torch.float32, reverse=True)


@tiles
@pytest.mark.slow
@pytest.mark.parametrize("cell", ODD_CELLS, ids=str)
def test_odd_cells(cell, always):
    compared(rounded(cell.graph, hidden_size=35), torch.float32)


@tiles
@pytest.mark.parametrize("size", [1, 16, 17, 31, 32, 33, 70, 100])
@pytest.mark.parametrize("name", ["lstm", "gru_v1"])
def test_hidden_sizes(name, size, always):
    compared(rounded(find(name).graph, hidden_size=size), torch.float32, reverse=size == 33)


@tiles
@pytest.mark.parametrize("rows", [*range(1, 35), 47, 48, 49, 64, 65, 100])
def test_every_number_of_rows(rows, always):
    lengths = tuple(1 + (index * 5) % 3 for index in range(rows))
    compared(rounded(find("lstm").graph, lengths, 20), torch.float32)


@tiles
def test_weights_beyond_the_second_cache(always):
    # Two panels of rows go through time together there.
    graph = find("lstm").graph
    kernel = signature_of(graph).program.forward
    place = signature_of(graph).program.place
    groups = [
        Layout(host.detect().spec(kernel, place, size, "float", amx=True)).group
        for size in (64, 320)
    ]
    assert groups == [32, 64]
    lengths = tuple(1 + index % 3 for index in range(70))
    compared(rounded(graph, lengths, 320), torch.float32)


@tiles
def test_the_same_kernel_whatever_the_number_of_threads(threads):
    layer = Recurrent("lstm", 10, 64)
    texts = ragged.pack(torch.randn(200, 10), torch.full((40,), 5))
    output = layer(texts)[0].data
    torch.set_num_threads(3 - threads)
    assert torch.equal(output, layer(texts)[0].data)


@tiles
def test_what_is_not_finite_stays_in_its_row(always):
    layer = Recurrent("lstm", 10, 40)
    data = torch.randn(60, 10)
    data[3, 2] = float("nan")
    output = layer(ragged.pack(data, torch.full((20,), 3)))[0].data.view(3, 20, 40)
    row = int(output.isnan().any(2).any(0).nonzero())
    assert output[:, [at for at in range(20) if at != row]].isfinite().all()


@pytest.mark.skipif(not host.is_x86(), reason="code for x86 is compiled on x86 alone")
@pytest.mark.parametrize("kind", ["inference", "forward", "backward"])
def test_the_kernels_compile_on_any_x86(kind, monkeypatch):
    monkeypatch.setattr(host, "detect", lambda: SAPPHIRE)
    program = signature_of(find("mut1").graph).program
    spec = host.detect().spec(getattr(program, kind), program.place, 70, "float", amx=True)
    assert "tdpbf16ps" in compiler.assembly(write(Layout(spec)))


@tiles
def test_small_and_narrow_products_are_left_to_torch():
    a = torch.randn(400, 400)
    assert by_amx(a, a)
    assert not by_amx(a[:50], a[:, :20])
    assert not by_amx(a[:, :8], a[:8])
    # Two that share their left operand may gain where one alone does not.
    long = torch.randn(2000, 256)
    assert not by_amx(long.t(), long[:, :16])
    assert by_amx(long.t(), long[:, :16], long[:, 16:80])


@tiles
def test_two_products_of_one_operand(threads, gladly):
    a, b, c = torch.randn(300, 190), torch.randn(300, 37), torch.randn(300, 70)
    for one, other in zip(two_products(a.t(), (b, c)), (b, c), strict=True):
        assert error(one, a.t().double() @ other.double()) < 1e-6
