"""Vector math of the LLVM backend against NumPy in long double, in units in the last place."""

import platform
from functools import cache

import numpy as np
import pytest
from llvmlite import binding

from elman.backends.llvm.emit import assembly as builder
from elman.backends.llvm.emit.math import EMITTERS, emit
from elman.backends.llvm.native import compiler
from elman.ir.graph import BINARY, ELEMENTWISE, Op

DTYPES = {"float": np.float32, "double": np.float64}
LANES = (4, 8, 16)
OPS = sorted(ELEMENTWISE, key=lambda op: op.value)

BOUNDS = {
    # (float, double): the largest error in units in the last place.
    Op.SIGMOID: (2.5, 2.5),
    Op.TANH: (2.5, 2.6),
    Op.EXP: (1.2, 1.2),
    Op.LOG: (1.0, 1.0),
    Op.SOFTPLUS: (2.0, 2.0),
}
"""Every other op is exact or rounds once."""

REFERENCE_ERROR = 0.0 if np.finfo(np.longdouble).eps < np.finfo(np.float64).eps else 1.0
"""NumPy's long double is no more than double on some machines."""

X86 = platform.machine().lower() in ("x86_64", "amd64")
CPUS = ("x86-64", "haswell", "skylake-avx512", "znver4") if X86 else ()
"""With SSE2 alone, AVX2 and AVX-512."""


def wide(value):
    return np.asarray(value, np.longdouble)


def sigmoid(value):
    small = np.exp(-np.abs(value))
    return np.where(value >= 0, 1, small) / (1 + small)


REFERENCES = {
    Op.ADD: np.add,
    Op.SUB: np.subtract,
    Op.MUL: np.multiply,
    Op.DIV: np.divide,
    Op.MAXIMUM: np.maximum,
    Op.MINIMUM: np.minimum,
    Op.NEG: np.negative,
    Op.SIGMOID: sigmoid,
    Op.TANH: np.tanh,
    Op.RELU: lambda value: np.maximum(value, 0),
    Op.EXP: np.exp,
    Op.LOG: np.log,
    Op.SQRT: np.sqrt,
    Op.ABS: np.abs,
    Op.SOFTPLUS: lambda value: np.maximum(value, 0) + np.log1p(np.exp(-np.abs(value))),
    Op.IDENTITY: lambda value: value,
    Op.POSITIVE: lambda value: np.where(value > 0, 1, 0),
}


def kernel(op, scalar, lanes):
    """Applies an op to arrays: the argument points at x, y, the result and the length."""
    vector = builder.Lanes(scalar, lanes)
    function = builder.Function(f"{op.value}_{lanes}", [("ptr", "args")], linkage="")
    arguments = function.arguments[0]
    x, y, out = (function.load("ptr", function.at(arguments, 8 * k), 8) for k in range(3))
    length = function.load("i64", function.at(arguments, 24), 8)

    def body(index, _carried):
        operands = [
            function.load(vector.type, function.at(pointer, index, scalar))
            for pointer in ((x, y) if op in BINARY else (x,))
        ]
        result = emit(function, op, *operands)
        function.store(result, function.at(out, index, scalar))
        return []

    function.loop(length, body, step=lanes)
    function.do("ret void")
    return function


@cache
def text(scalar):
    return builder.module([kernel(op, scalar, lanes) for op in OPS for lanes in LANES])


@cache
def loaded(scalar):
    names = tuple(f"{op.value}_{lanes}" for op in OPS for lanes in LANES)
    return compiler.load(compiler.compile_object(text(scalar)), names)


def compute(op, lanes, x, y=None):
    """Run the compiled kernel over an array of any length."""
    scalar = "float" if x.dtype == np.float32 else "double"
    length = -(-len(x) // 16) * 16
    padded = [np.ones(length, x.dtype) for _ in range(3)]
    padded[0][: len(x)] = x
    if y is not None:
        padded[1][: len(x)] = y
    args = np.array([*(array.ctypes.data for array in padded), length], np.int64)
    _tracker, addresses = loaded(scalar)
    compiler.function(addresses[f"{op.value}_{lanes}"])(args.ctypes.data)
    return padded[2][: len(x)]


def ulps(result, expected):
    """Errors in units of the expected value's last place; the least normal number's under that."""
    dtype = result.dtype
    least = np.finfo(dtype).tiny
    unit = np.spacing(np.maximum(np.abs(expected).astype(dtype), least))
    return np.abs(wide(result) - expected) / wide(unit)


def grid(op, dtype):
    """Numbers dense where the op bends, of all magnitudes, and at the ends of its range."""
    rng = np.random.default_rng(0)
    limit = {np.float32: 87.3, np.float64: 708.3}[dtype]
    top = {np.float32: 88.722, np.float64: 709.78}[dtype]
    parts = [
        np.linspace(-1, 1, 20_001),
        np.linspace(-20, 20, 40_001),
        np.linspace(-limit, limit, 20_001),
        np.linspace(limit, top, 1_001),
        rng.choice([-1, 1], 10_000) * np.exp(rng.uniform(-limit, np.log(limit), 10_000)),
    ]
    numbers = np.concatenate(parts).astype(dtype)
    if op in (Op.LOG, Op.SQRT):
        wide_range = np.exp(rng.uniform(-limit, limit, 20_000)).astype(dtype)
        near_one = np.linspace(0.5, 2, 20_001).astype(dtype)
        return np.concatenate([np.abs(numbers[numbers != 0]), wide_range, near_one])
    return numbers


@cache
def cases(op, scalar):
    x = grid(op, DTYPES[scalar])
    y = np.roll(x, 7) if op in BINARY else None
    with np.errstate(all="ignore"):
        return x, y, REFERENCES[op](*(wide(operand) for operand in (x, y) if operand is not None))


def test_the_table_has_a_row_for_every_op():
    assert set(EMITTERS) == ELEMENTWISE
    assert set(REFERENCES) == ELEMENTWISE


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("scalar", DTYPES)
@pytest.mark.parametrize("op", OPS, ids=lambda op: op.value)
def test_error_in_units_in_the_last_place(op, scalar, lanes):
    x, y, expected = cases(op, scalar)
    with np.errstate(all="ignore"):
        errors = ulps(compute(op, lanes, x, y), expected)
        finite = np.isfinite(expected.astype(x.dtype))
    bound = BOUNDS.get(op, (0.5, 0.5))[scalar == "double"]
    assert errors[finite].max() <= bound + REFERENCE_ERROR


INF, NAN = np.inf, np.nan
SPECIAL = [
    (Op.EXP, [INF, -INF, NAN, 0, -0.0, 1000, -1000], [INF, 0, NAN, 1, 1, INF, 0]),
    (Op.SIGMOID, [INF, -INF, NAN, 0, 1e30, -1e30], [1, 0, NAN, 0.5, 1, 0]),
    (Op.TANH, [INF, -INF, NAN, 0, 1e30, -1e30, 1e-30], [1, -1, NAN, 0, 1, -1, 1e-30]),
    (Op.LOG, [INF, -INF, NAN, 0, -0.0, -1, 1], [INF, NAN, NAN, -INF, -INF, NAN, 0]),
    (Op.SOFTPLUS, [INF, -INF, NAN, 1e30, -1e30], [INF, 0, NAN, 1e30, 0]),
    (Op.SQRT, [INF, -INF, NAN, 0, -1], [INF, NAN, NAN, 0, NAN]),
    (Op.RELU, [INF, -INF, NAN, 0, -1, 1], [INF, 0, NAN, 0, 0, 1]),
    (Op.POSITIVE, [INF, -INF, NAN, 0, -0.0, 1e-30], [1, 0, 0, 0, 0, 1]),
    (Op.NEG, [INF, -INF, NAN, 2], [-INF, INF, NAN, -2]),
    (Op.ABS, [INF, -INF, NAN, -2], [INF, INF, NAN, 2]),
    (Op.IDENTITY, [INF, -INF, NAN, -2], [INF, -INF, NAN, -2]),
]


@pytest.mark.parametrize("lanes", LANES)
@pytest.mark.parametrize("scalar", DTYPES)
@pytest.mark.parametrize(("op", "given", "expected"), SPECIAL, ids=str)
def test_special_values(op, given, expected, scalar, lanes):
    dtype = DTYPES[scalar]
    result = compute(op, lanes, np.array(given, dtype))
    np.testing.assert_array_equal(result, np.array(expected, dtype))


@pytest.mark.parametrize("scalar", DTYPES)
@pytest.mark.parametrize("op", sorted(ELEMENTWISE - BINARY, key=lambda op: op.value))
def test_nan_of_any_payload_stays_nan(op, scalar):
    codes = {
        "float": np.array([0x7FC00001, 0xFFC00000, 0x7FFFFFFF, 0xFFFFFFFF], np.uint32),
        "double": np.array([0x7FF8000000000001, 0xFFF8000000000000, 2**63 - 1], np.uint64),
    }[scalar]
    result = compute(op, 8, codes.view(DTYPES[scalar]))
    assert np.isnan(result).all() or op is Op.POSITIVE


@pytest.mark.parametrize("scalar", DTYPES)
@pytest.mark.parametrize("op", sorted(BINARY, key=lambda op: op.value))
def test_nan_on_either_side_gives_nan(op, scalar):
    x, y = np.array([[NAN, 1, NAN], [1, NAN, NAN]], DTYPES[scalar])
    assert np.isnan(compute(op, 8, x, y)).all()


@pytest.mark.parametrize("scalar", DTYPES)
def test_tanh_and_sigmoid_keep_their_bounds(scalar):
    x = np.linspace(-30, 30, 100_001).astype(DTYPES[scalar])
    assert np.abs(compute(Op.TANH, 8, x)).max() == 1
    values = compute(Op.SIGMOID, 8, np.concatenate([x, 2.5 * x]))
    assert values.min() > 0
    assert values.max() == 1


@pytest.mark.parametrize("op", [Op.EXP, Op.LOG])
@pytest.mark.parametrize("scalar", DTYPES)
def test_subnormal_numbers(op, scalar):
    dtype = DTYPES[scalar]
    tiny = np.finfo(dtype).tiny
    x = tiny * np.array([0.9, 0.5, 0.01], dtype)
    x = np.log(x.astype(np.longdouble)).astype(dtype) if op is Op.EXP else x
    expected = REFERENCES[op](wide(x))
    assert (ulps(compute(op, 8, x), expected) <= 1.5).all()


@pytest.mark.parametrize("scalar", DTYPES)
def test_no_call_is_left_in_the_object_code(scalar):
    assert "call" not in compiler.assembly(text(scalar))


@pytest.mark.parametrize("scalar", DTYPES)
@pytest.mark.parametrize("cpu", CPUS)
def test_no_call_is_left_on_other_machines(cpu, scalar):
    target = binding.Target.from_triple("x86_64-unknown-linux-gnu")
    machine = target.create_target_machine(cpu=cpu, opt=3)
    module = binding.parse_assembly(text(scalar))
    module.triple = machine.triple
    assert "call" not in machine.emit_assembly(module)
