"""Elementwise ops on vectors, as lines of LLVM's assembly.

LLVM has no vector exp or tanh of its own (``llvm.exp`` on a vector becomes a libm call a lane), so
they are written out here from fmas, one division at most and shifts of the exponent. Nothing
branches, nothing depends on the number of lanes, and no integer is converted to a float or back:
AVX2 cannot do that for double. NaN goes through; selects are ordered for it (x86's max and min
return their second operand when either is NaN).

Errors are in units in the last place, measured by ``tests/test_llvm_math.py`` over dense grids.
Results under the smallest normal number may be zero.
"""

import math
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from elman.backends.llvm.emit.assembly import Function, Value, integer, number, scalar_of
from elman.ir.graph import Op


@dataclass(frozen=True)
class _Format:
    """What differs between float and double: the layout of the bits, ranges and coefficients.

    Each polynomial is the minimax one (Remez exchange in 60 digits, with mpmath), the lowest power
    first, of the smallest degree that keeps the function's bound: one more hardly lowers the error.
    The errors stated are relative to e^r, tanh y and 2 atanh s.
    """

    bits: int
    fraction: int
    """Bits of the fraction."""
    ln2: tuple[float, float]
    """The logarithm of 2 in two parts; the first has few bits, so that n times it is exact."""
    exp_range: tuple[float, float]
    """Beyond these exp is 0 and infinite."""
    sigmoid_range: tuple[float, float]
    """From these on 1 + exp(-x) is infinite (exp's factor 2^n just is) and 1."""
    softplus_low: float
    """Here the factor 2^n of exp is just 0."""
    tanh_limit: float
    """From here on tanh is 1."""
    exp: tuple[float, ...]
    """(e^r - 1 - r) / r^2 in r, |r| <= ln 2 / 2."""
    tanh: tuple[float, ...]
    """(tanh y / y - 1) / y^2 in y^2, |y| <= ln 2 / 4."""
    atanh: tuple[float, ...]
    """2 (atanh s / s - 1) / s^2 in s^2, 0 <= s <= 1/3."""

    @property
    def bias(self) -> int:
        """Of the exponent: 127 or 1023."""
        return int(2 ** (self.bits - self.fraction - 2)) - 1

    @property
    def magic(self) -> float:
        """Added to a small number, it leaves the nearest whole number in the lowest bits."""
        return 1.5 * 2.0**self.fraction

    def pattern(self, value: float) -> int:
        """The bits of a number."""
        codes = ("<i", "<f") if self.bits == 32 else ("<q", "<d")
        return int(struct.unpack(codes[0], struct.pack(codes[1], value))[0])


_FORMATS = {
    "float": _Format(
        bits=32,
        fraction=23,
        ln2=(0.693359375, -2.12194440054690583e-4),
        exp_range=(-104.0, 89.5),
        sigmoid_range=(-88.7, 87.0),
        softplus_low=-88.0,
        tanh_limit=9.1,
        # Errors: 3.1e-9, 5.5e-8, 9.1e-9.
        exp=(0.4999999403953552, 0.1666652113199234, 0.04166838899254799, 0.008368716575205326,
             0.0013814595295116305),
        tanh=(-0.3333127498626709, 0.13110794126987457),
        atanh=(0.6666641235351562, 0.40021705627441406, 0.27999013662338257, 0.2802514135837555),
    ),
    "double": _Format(
        bits=64,
        fraction=52,
        ln2=(6.93147180369123816490e-01, 1.90821492927058770002e-10),
        exp_range=(-746.0, 710.5),
        sigmoid_range=(-709.7, 700.0),
        softplus_low=-709.0,
        tanh_limit=19.5,
        # Errors: 3.6e-18, 4.1e-18, 2.7e-18.
        exp=(0.5000000000000011, 0.16666666666666413, 0.04166666666653016, 0.008333333333494463,
             0.001388888894362984, 0.00019841269506571107, 2.480149309914401e-05,
             2.7557586382581075e-06, 2.763024830872524e-07, 2.5000058349050145e-08),
        tanh=(-0.3333333333333249, 0.1333333333278519, -0.0539682527842187, 0.02186937086203708,
              -0.008857313242767752, 0.0034448883096770354),
        atanh=(0.6666666666666631, 0.40000000000157393, 0.28571428547833716, 0.22222223971052904,
               0.18181743876181652, 0.15386561003742968, 0.1330095888589297, 0.12106206312236632,
               0.08339561411509218, 0.17019603649679266),
    ),
}  # fmt: skip


def emit(function: Function, op: Op, *values: Value) -> Value:
    """Emit an elementwise op.

    Args:
        function: where the instructions go.
        op: one of ``graph.ELEMENTWISE``.
        values: its operands, vectors (or scalars) of float or double, all of one type.

    Returns:
        The result, of the operands' type.
    """
    return EMITTERS[op](function, *values)


def sigmoid(b: Function, x: Value) -> Value:
    """1 / (1 + exp(-x)): 2.5 ulp, for very negative x too.

    With -x = n ln 2 + 2y, w = tanh y and s = 2^n it is (1 - w) / (1 - w + s (1 + w)): a polynomial
    of half the degree that exp takes, and a division is needed in any case.
    """
    form, like = _FORMATS[scalar_of(x.type)], partial(number, x.type)
    x = _clamped(b, x, *form.sigmoid_range)
    scale, n = _powers(b, x, -1 / math.log(2), form.bias)
    # -2w from -2y, which is x + n ln 2: powers of 2 in the coefficients cost no rounding.
    halved = [coefficient / 4.0**power for power, coefficient in enumerate(form.tanh, 1)]
    twice = _tanh_near_0(b, _reduced(b, x, n, form.ln2), halved)
    above, below = b.fadd(like(2.0), twice), b.fsub(like(2.0), twice)
    return b.fdiv(above, b.fma(scale, below, above))


def tanh(b: Function, x: Value) -> Value:
    """Hyperbolic tangent: 2.6 ulp, near 0 too, and never beyond 1.

    By the addition formula: with x = n ln 2 / 2 + y, w = tanh y and s = 2^n, it is
    (s - 1 + (s + 1) w) / (s + 1 + (s - 1) w). Near 0, s is 1 and w the whole result.
    """
    form, like = _FORMATS[scalar_of(x.type)], partial(number, x.type)
    x = _clamped(b, x, -form.tanh_limit, form.tanh_limit)
    scale, n = _powers(b, x, 2 / math.log(2), form.bias)
    # ln 2 in one part: where n is large, an error in y hardly moves the result.
    w = _tanh_near_0(b, _reduced(b, x, n, (-math.log(2) / 2,)), form.tanh)
    below, above = b.fadd(scale, like(-1.0)), b.fadd(scale, like(1.0))
    return b.fdiv(b.fma(above, w, below), b.fma(below, w, above))


def exp(b: Function, x: Value) -> Value:
    """The exponential: 1 ulp (1.2 on machines without fma).

    2^n in two factors, since the largest results have n = 128 (1024), which has no float of its
    own, and the subnormal ones n under -126.
    """
    form = _FORMATS[scalar_of(x.type)]
    x = _clamped(b, x, *form.exp_range)
    code, n = _whole(b, x, 1 / math.log(2), 2 * form.bias)
    power = _polynomial(b, _reduced(b, x, n, (-form.ln2[0], -form.ln2[1])), [1.0, 1.0, *form.exp])
    half = _shift(b, "lshr", code, 1)
    first, second = (
        b.cast("bitcast", _shift(b, "shl", part, form.fraction), x.type)
        for part in (half, b.sub(code, half))
    )
    return b.fmul(b.fmul(power, first), second)


def log(b: Function, x: Value) -> Value:
    """The natural logarithm: 1 ulp; -inf at 0, NaN under it.

    x = 2^k (1 + f) with 1 + f from sqrt 1/2 to sqrt 2, as in fdlibm's e_log.c.
    """
    form, like = _FORMATS[scalar_of(x.type)], partial(number, x.type)
    integers = _integers(x.type, form)
    one, base = form.pattern(1.0), 2.0**form.fraction
    is_small = b.compare("olt", x, like(2.0 ** (1 - form.bias)))
    normal = b.select(is_small, b.fmul(x, like(base)), x)
    pattern = b.cast("bitcast", normal, integers)
    moved = b.add(pattern, integer(integers, one - form.pattern(math.sqrt(0.5))))
    biased = _shift(b, "lshr", moved, form.fraction)
    mantissa = b.sub(pattern, _shift(b, "shl", biased, form.fraction))
    f = b.fadd(b.cast("bitcast", b.add(mantissa, integer(integers, one)), x.type), like(-1.0))
    # A whole number under 2^23 (2^52), in the fraction of that power of two, is its sum with it.
    total = b.cast("bitcast", b.add(biased, integer(integers, form.pattern(base))), x.type)
    offset = base + form.bias
    k = b.fsub(total, b.select(is_small, like(offset + form.fraction), like(offset)))
    high, low = form.ln2
    correction = b.fma(k, like(-low), _log1p_correction(b, f, form))
    result = b.fma(k, like(high), b.fsub(f, correction))
    result = b.select(b.compare("olt", x, like(math.inf)), result, x)
    result = b.select(b.compare("olt", x, like(0.0)), like(math.nan), result)
    return b.select(b.compare("oeq", x, like(0.0)), like(-math.inf), result)


def softplus(b: Function, x: Value) -> Value:
    """log(1 + exp x) = max(x, 0) + log1p(exp(-|x|)): 2 ulp, for very negative x too."""
    form = _FORMATS[scalar_of(x.type)]
    minus = b.fneg(b.intrinsic("fabs", x))
    minus = _at_least(b, minus, form.softplus_low)
    scale, n = _powers(b, minus, 1 / math.log(2), form.bias)
    r = _reduced(b, minus, n, (-form.ln2[0], -form.ln2[1]))
    u = b.fmul(_polynomial(b, r, [1.0, 1.0, *form.exp]), scale)
    return b.fadd(_at_least(b, x, 0.0), b.fsub(u, _log1p_correction(b, u, form)))


def maximum(b: Function, left: Value, right: Value) -> Value:
    """The larger; NaN where either is NaN, as ``torch.maximum``."""
    return _chosen(b, "ogt", left, right)


def minimum(b: Function, left: Value, right: Value) -> Value:
    """The smaller; NaN where either is NaN, as ``torch.minimum``."""
    return _chosen(b, "olt", left, right)


def relu(b: Function, x: Value) -> Value:
    """max(x, 0); NaN stays."""
    return _at_least(b, x, 0.0)


def positive(b: Function, x: Value) -> Value:
    """1 where x > 0, else 0 (at NaN too)."""
    zero = number(x.type, 0.0)
    return b.select(b.compare("ogt", x, zero), number(x.type, 1.0), zero)


EMITTERS: dict[Op, Callable[..., Value]] = {
    Op.ADD: Function.fadd,
    Op.SUB: Function.fsub,
    Op.MUL: Function.fmul,
    Op.DIV: Function.fdiv,
    Op.MAXIMUM: maximum,
    Op.MINIMUM: minimum,
    Op.NEG: Function.fneg,
    Op.SIGMOID: sigmoid,
    Op.TANH: tanh,
    Op.RELU: relu,
    Op.EXP: exp,
    Op.LOG: log,
    Op.SQRT: lambda b, x: b.intrinsic("sqrt", x),
    Op.ABS: lambda b, x: b.intrinsic("fabs", x),
    Op.SOFTPLUS: softplus,
    Op.IDENTITY: lambda b, x: x,
    Op.POSITIVE: positive,
}
"""One row an elementwise op: a function of the `Function` under construction and the operands."""


# Parts --------------------------------------------------------------------------------------


def _polynomial(b: Function, x: Value, coefficients: Sequence[float]) -> Value:
    """By Horner's rule; the lowest power comes first."""
    result = number(x.type, coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        result = b.fma(result, x, number(x.type, coefficient))
    return result


def _at_least(b: Function, x: Value, low: float) -> Value:
    bound = number(x.type, low)
    return b.select(b.compare("ogt", bound, x), bound, x)


def _clamped(b: Function, x: Value, low: float, high: float) -> Value:
    x, bound = _at_least(b, x, low), number(x.type, high)
    return b.select(b.compare("olt", bound, x), bound, x)


def _chosen(b: Function, predicate: str, left: Value, right: Value) -> Value:
    # The first select is x86's max or min, which returns right where either is NaN.
    chosen = b.select(b.compare(predicate, left, right), left, right)
    return b.select(b.compare("uno", left, left), left, chosen)


def _whole(b: Function, x: Value, factor: float, added: int) -> tuple[Value, Value]:
    """n, the whole number nearest x times factor: with ``added`` in the low bits, and as a float.

    The sum with 1.5 * 2^23 (2^52) rounds, so that it takes no conversion and one fma.
    """
    form = _FORMATS[scalar_of(x.type)]
    offset = number(x.type, form.magic + added)
    total = b.fma(x, number(x.type, factor), offset)
    return b.cast("bitcast", total, _integers(x.type, form)), b.fsub(total, offset)


def _powers(b: Function, x: Value, factor: float, bias: int) -> tuple[Value, Value]:
    """2^n and n, the whole number nearest x times factor."""
    code, n = _whole(b, x, factor, bias)
    # The shift throws out all but the low bits, which are n's exponent, bias included.
    shifted = _shift(b, "shl", code, _FORMATS[scalar_of(x.type)].fraction)
    return b.cast("bitcast", shifted, x.type), n


def _reduced(b: Function, x: Value, n: Value, parts: Sequence[float]) -> Value:
    """x + n times the sum of the parts."""
    for part in parts:
        x = b.fma(n, number(x.type, part), x)
    return x


def _tanh_near_0(b: Function, y: Value, coefficients: Sequence[float]) -> Value:
    """y + y^3 times the polynomial in y^2: the leading term is exact."""
    square = b.fmul(y, y)
    return b.fma(b.fmul(y, square), _polynomial(b, square, coefficients), y)


def _log1p_correction(b: Function, f: Value, form: _Format) -> Value:
    """f - log(1 + f), for s = f / (2 + f) up to 1/3.

    2 atanh s = f - s (f - 2 atanh s / s + 2); f is exact, and an error in s counts for little.
    """
    s = b.fdiv(f, b.fadd(f, number(f.type, 2.0)))
    square = b.fmul(s, s)
    rest = b.fma(b.fneg(square), _polynomial(b, square, form.atanh), f)
    return b.fmul(s, rest)


def _integers(type_: str, form: _Format) -> str:
    return type_.replace(scalar_of(type_), f"i{form.bits}")


def _shift(b: Function, op: str, value: Value, by: int) -> Value:
    return b.emit(value.type, f"{op} {value.type} {value}, {integer(value.type, by)}")
