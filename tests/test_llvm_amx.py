"""The matrix unit (AMX): products of float32 in parts of 8 bits, in kernels and beside them."""

import ctypes
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from beside_eager import compared, rounded
from checks import EVERY_CELL, check_forward
from elman.backends import compiled
from elman.backends.llvm.call import passes, tuning
from elman.backends.llvm.call.matmul import by_amx, product
from elman.backends.llvm.call.signature import signature_of
from elman.backends.llvm.emit import amx_product, denormals
from elman.backends.llvm.emit.amx import instructions as amx
from elman.backends.llvm.emit.amx import panels
from elman.backends.llvm.emit.assembly import Function, integer, module
from elman.backends.llvm.emit.kernel import write
from elman.backends.llvm.emit.layout import Layout
from elman.backends.llvm.emit.tuning import CODE
from elman.backends.llvm.native import compiler, host
from elman.cells import find
from elman.nn import Recurrent, ragged
from machines import AMX, RUNS, reading, running
from odd_cells import ODD_CELLS

TESTS = Path(__file__).parent
both = pytest.mark.usefixtures("form")
"""On the processor's AMX, where it has it, and in software everywhere."""
SIZES = [(64, 64, 256), (65, 130, 300), (437, 97, 650), (96, 1050, 70), (1000, 64, 511)]


@pytest.fixture(params=AMX)
def form(request):
    with running(AMX[request.param]):
        yield request.param


# ---------------------------------------------------------------------------------------------
# Instructions


def one_product():
    """A function that adds the product of two tiles to a third, of so many rows and columns."""
    pointers = [("ptr", name) for name in ("sizes", "total", "left", "right")]
    f = Function("one_product", [*pointers, ("i64", "rows"), ("i64", "columns")], linkage="")
    sizes, total, left, right, rows, columns = f.arguments
    mode = denormals.flush(f) if host.is_x86() else None
    amx.fit(f, sizes, rows, columns)
    for tile, pointer, step in ((0, total, 80), (4, left, 64), (6, right, 64)):
        amx.load(f, tile, pointer, integer("i64", step))
    amx.multiply(f, 0, 4, 6)
    amx.store(f, 0, total, integer("i64", 80))
    amx.release(f)
    if mode is not None:
        denormals.restore(f, mode)
    f.do("ret void")
    return f


def aligned(shape, dtype):
    numbers = np.zeros(np.prod(shape) * np.dtype(dtype).itemsize + 64, np.uint8)
    start = -numbers.ctypes.data % 64
    return numbers[start : len(numbers) - 64 + start].view(dtype).reshape(shape)


def halves(words):
    """The lower and the upper number of each word, in float32."""
    return (words << 16).view(np.float32), (words & 0xFFFF0000).view(np.float32)


@both
@pytest.mark.parametrize("size", [(16, 16), (16, 3), (5, 16), (1, 1), (11, 13)], ids=str)
def test_the_order_of_sums_and_the_bounds_of_tiles(size):
    rows, columns = size
    keep, addresses = compiler.load(
        compiler.compile_object(module([one_product()])), ("one_product",)
    )
    random = np.random.default_rng(rows)
    left, right = (aligned((16, 16), np.uint32) for _ in range(2))
    for words in (left, right):
        numbers = random.standard_normal((2, 16, 16)).astype(np.float32).view(np.uint32)
        words[...] = numbers[0] >> 16 | numbers[1] & 0xFFFF0000
    right[:, columns:] = 0x7FC07FC0  # NaN: must not be read
    left[rows:] = 0x7FC07FC0
    total = random.standard_normal((17, 20)).astype(np.float32)
    expected = total.copy()
    pairs = zip(halves(left[:rows]), halves(right[:, :columns]), strict=True)
    sums = []
    for one, other in pairs:
        sums.append(np.zeros((rows, columns), np.float32))
        for unit in range(16):
            sums[-1] += one[:, unit, None] * other[unit]
    expected[:rows, :columns] += sums[0] + sums[1]
    function = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 4, *[ctypes.c_int64] * 2)
    memory = (aligned((16,), np.uint32), total, left, right)
    function(addresses["one_product"])(*(one.ctypes.data for one in memory), rows, columns)
    assert keep is not None
    np.testing.assert_array_equal(total, expected)


MISUSE = """
import sys
from elman.backends.llvm.emit.amx import instructions as amx
from elman.backends.llvm.emit.assembly import Function, module
from elman.backends.llvm.native import compiler
from machines import AMX, running

f = Function("misuse", [("ptr", "memory")], linkage="")
amx.configure(f)
{}
f.do("ret void")
with running(AMX[sys.argv[1]]):
    keep, addresses = compiler.load(compiler.compile_object(module([f])), ("misuse",))
    compiler.function(addresses["misuse"])(None)
print("done")
"""


@both
@pytest.mark.parametrize(
    ("lines", "stops"),
    [("amx.zero(f, 0); amx.release(f)", False), ("amx.release(f); amx.zero(f, 0)", True)],
    ids=["used", "used after release"],
)
def test_what_the_processor_refuses_ends_the_process(lines, stops, form):
    argv = [sys.executable, "-c", MISUSE.format(lines), form]
    ran = subprocess.run(argv, cwd=TESTS, capture_output=True, text=True)
    assert "Traceback" not in ran.stderr
    assert (ran.returncode, ran.stdout) == (0, "done\n") or stops
    assert ran.returncode != 0 or not stops


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
    """AMX for every product that it can do, whether or not it is faster."""
    gladly = replace(tuning.current, vectors_along=1e9, vectors_across=1e9)
    monkeypatch.setattr(tuning, "current", gladly)


def error(found, exact):
    return float((found.double() - exact).norm() / exact.norm())


def lying(matrix, form):
    """The same matrix, its rows or its columns each in one piece of memory."""
    return matrix if form == "rows" else matrix.t().contiguous().t()


@both
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


@both
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


@both
def test_exact_where_float32_is_exact(gladly):
    # Whole numbers of 12 bits: all products and sums fit in 24.
    a = torch.randint(-2048, 2048, (128, 4)).float()
    b = torch.randint(-512, 512, (4, 128)).float()
    wide_a, wide_b = torch.zeros(128, 64), torch.zeros(64, 128)
    wide_a[:, ::16], wide_b[::16] = a, b
    assert torch.equal(product(wide_a, wide_b), (a.double() @ b.double()).float())


@both
def test_numbers_of_all_sizes(gladly):
    scale = 10.0 ** torch.randint(-15, 15, (1, 200)).float()
    a, b = torch.randn(100, 200) * scale, torch.randn(200, 100) / scale.t()
    assert error(product(a, b), a.double() @ b.double()) < 1e-6


@both
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_what_is_not_finite_reaches_its_row_and_no_other(bad, gladly):
    a, b = torch.randn(100, 200), torch.randn(200, 100)
    a[7, 11] = bad
    found = product(a, b)
    assert not found[7].isfinite().any()
    found[7] = 0.0
    assert found.isfinite().all()


@both
def test_left_to_torch(gladly):
    a = torch.randn(200, 200)
    assert by_amx(a, a)
    assert not by_amx(a.double(), a.double())
    assert not by_amx(a[:, ::2], a[::2])
    assert not by_amx(a[:1].expand(200, 200), a)
    assert torch.equal(product(a[:, ::2], a[::2]), a[:, ::2] @ a[::2])


def test_processors_without_amx(monkeypatch):
    monkeypatch.setattr(host, "detect", lambda: host.Host("haswell", "", 32, 16))
    a = torch.randn(200, 200)
    assert not by_amx(a, a)
    assert torch.equal(product(a, a), a @ a)


def test_the_system_is_asked_only_where_the_processor_has_amx(monkeypatch):
    def never():
        raise AssertionError

    monkeypatch.setattr(host, "_permitted", never)
    assert not host.amx_usable({"avx512f": True, "avx512bw": True, "amx-tile": True})


INSTRUCTION = {
    "sapphire": "\ttdpbf16ps\t%tmm",
    "haswell": "callq\ttdpbf16ps",
    "neon": "bl\ttdpbf16ps",
}


@pytest.mark.parametrize("machine", INSTRUCTION)
def test_the_code_of_other_processors(machine):
    with reading(machine):
        text = amx_product.text(CODE, x86=host.is_x86())
        assert INSTRUCTION[machine] in compiler.assembly(text)


# ---------------------------------------------------------------------------------------------
# Kernels


@pytest.fixture
def always(monkeypatch):
    """AMX in every kernel, however few rows and units there are; how often each has run there."""
    always = replace(tuning.current, amx_units=1, amx_rows=1, amx_rows_per_thread=1)
    monkeypatch.setattr(tuning, "current", always)
    runs, run = Counter(), passes.run

    def counted(executable, arguments):
        run(executable, arguments)
        runs[executable.kernel.name] += executable.spec.shape.amx and executable.has_matrices

    monkeypatch.setattr(passes, "run", counted)
    return runs


@both
@pytest.mark.parametrize("cell", EVERY_CELL, ids=str)
def test_every_cell(cell, always):
    problem = rounded(cell.graph, (3, 1, 4, 4), 20)
    compared(problem, torch.float32)
    compared(problem, torch.float32, reverse=True)
    check_forward(compiled, problem, torch.float32)
    program = signature_of(cell.graph).program
    for kernel, runs in ((program.forward, 2), (program.backward, 2), (program.inference, 1)):
        assert always[kernel.name] == (runs if kernel.products else 0)


@pytest.mark.parametrize("machine", RUNS)
@pytest.mark.parametrize("name", ["lstm", "layer_norm(mut1)"])
def test_narrower_vectors(name, machine, always, gladly):
    with running(replace(RUNS[machine], amx="software")):
        compared(rounded(find(name).graph, hidden_size=70), torch.float32)
        a, b = torch.randn(100, 70), torch.randn(70, 90)
        assert by_amx(a, b)
        assert error(product(a, b), a.double() @ b.double()) < 1e-6
    assert always == {"forward": 1, "backward": 1}


def _other_row(multiply):
    return lambda f, total, left, right: multiply(f, total, 9 - left, right)


def _other_column(multiply):
    return lambda f, total, left, right: multiply(f, total, left, 13 - right)


def _other_sum(multiply):
    return lambda f, total, left, right: multiply(f, 3 - total, left, right)


@pytest.mark.parametrize("wrong", [_other_row, _other_column, _other_sum])
def test_a_wrong_tile_is_noticed(wrong, always, gladly, monkeypatch, tmp_path):
    monkeypatch.setenv("ELMAN_CACHE", str(tmp_path))
    monkeypatch.setattr(amx, "multiply", wrong(amx.multiply))
    with running(AMX["software"]):
        with pytest.raises(AssertionError, match="off by"):
            compared(rounded(find("lstm").graph, (2,) * 32, 32, 32), torch.float32)
        a, b = torch.randn(128, 64), torch.randn(64, 128)
        assert error(product(a, b), a.double() @ b.double()) > 0.1
    assert always["forward"] == 1


@pytest.mark.parametrize("missing", panels._PRODUCTS)
def test_a_missing_product_of_parts_is_noticed(missing, always, monkeypatch, tmp_path):
    monkeypatch.setenv("ELMAN_CACHE", str(tmp_path))
    less = tuple(one for one in panels._PRODUCTS if one != missing)
    monkeypatch.setattr(panels, "_PRODUCTS", less)
    with running(AMX["software"]), pytest.raises(AssertionError, match="off by"):
        compared(rounded(find("lstm").graph, (2,) * 32, 32, 32), torch.float32)
    assert always["forward"] == 1


@both
@pytest.mark.slow
@pytest.mark.parametrize("cell", ODD_CELLS, ids=str)
def test_odd_cells(cell, always):
    compared(rounded(cell.graph, hidden_size=35), torch.float32)


@both
@pytest.mark.parametrize("size", [1, 16, 17, 31, 32, 33, 70, 100])
@pytest.mark.parametrize("name", ["lstm", "gru_v1"])
def test_hidden_sizes(name, size, always):
    compared(rounded(find(name).graph, hidden_size=size), torch.float32, reverse=size == 33)


@both
@pytest.mark.parametrize("rows", [*range(1, 35), 47, 48, 49, 64, 65, 100])
def test_every_number_of_rows(rows, always):
    lengths = tuple(1 + (index * 5) % 3 for index in range(rows))
    compared(rounded(find("lstm").graph, lengths, 20), torch.float32)


@both
@pytest.mark.parametrize("rows", [1, 31, 40, 100])
def test_rows_of_length_0(rows, always):
    lengths = tuple(max(0, index % 4 - 1) for index in range(rows))
    compared(rounded(find("lstm").graph, lengths, 20), torch.float32, reverse=rows == 40)


@both
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


@both
def test_the_same_kernel_whatever_the_number_of_threads(threads):
    layer = Recurrent("lstm", 10, 64)
    texts = ragged.pack(torch.randn(200, 10), torch.full((40,), 5))
    output = layer(texts)[0].data
    torch.set_num_threads(3 - threads)
    assert torch.equal(output, layer(texts)[0].data)


@both
def test_what_is_not_finite_stays_in_its_row(always):
    layer = Recurrent("lstm", 10, 40)
    data = torch.randn(60, 10)
    data[3, 2] = float("nan")
    output = layer(ragged.pack(data, torch.full((20,), 3)))[0].data.view(3, 20, 40)
    row = int(output.isnan().any(2).any(0).nonzero())
    assert output[:, [at for at in range(20) if at != row]].isfinite().all()


@pytest.mark.parametrize("machine", INSTRUCTION)
@pytest.mark.parametrize("kind", ["inference", "forward", "backward"])
def test_the_kernels_of_other_processors(kind, machine):
    program = signature_of(find("mut1").graph).program
    with reading(machine):
        spec = host.detect().spec(getattr(program, kind), program.place, 70, "float", amx=True)
        assert INSTRUCTION[machine] in compiler.assembly(write(Layout(spec)))


@both
def test_small_and_narrow_products_are_left_to_torch():
    a = torch.randn(400, 400)
    assert by_amx(a, a)
    assert not by_amx(a[:50], a[:, :20])
    assert not by_amx(a[:, :8], a[:8])
    long = torch.randn(2000, 256)
    assert not by_amx(long.t(), long[:, :16])
