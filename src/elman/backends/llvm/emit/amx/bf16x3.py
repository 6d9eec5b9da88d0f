"""Float32 as sums of three numbers in bfloat16, in the order in which tiles read them.

A panel is 32 lines of an operand: rows of the left one, columns of the right one. It lies in pieces
of 32 units deep, and each piece holds its three parts, and each part two tiles. A tile of the left
operand has a line in each row, a tile of the right one a line in each column; a word is always two
neighbouring units of one line.
"""

from elman.backends.llvm.emit.amx import instructions as amx
from elman.backends.llvm.emit.assembly import Function, Lanes, Value, integer

LINES = 2 * amx.ROWS
"""Lines of a panel."""
PART = 2 * amx.BYTES
"""Bytes of one part of a piece."""
PIECE = amx.PARTS * PART
"""Bytes of a panel for 32 units."""

LANES = Lanes("float", 16)
_WORDS, _HALVES = "<16 x i32>", "<32 x i16>"
_HIGH, _ROUND = integer(_WORDS, -0x10000), integer(_WORDS, 0x8000)
_SIXTEEN = integer(_WORDS, 16)
_COUNT = Value(_WORDS, "<" + ", ".join(f"i32 {lane}" for lane in range(16)) + ">")


def parts(f: Function, x: Value) -> list[Value]:
    """The three parts of each number, each in the upper half of a word.

    The first is rounded to 8 bits, so that the rest may have either sign and what is left out in
    the end does not add up; the rest has 16 bits and the last part what remains, exactly.
    """
    bits = f.cast("bitcast", x, _WORDS)
    found = [_masked(f, f.add(bits, _ROUND))]
    rest = f.fsub(x, f.cast("bitcast", found[0], LANES.type))
    found.append(_masked(f, f.cast("bitcast", rest, _WORDS)))
    rest = f.fsub(rest, f.cast("bitcast", found[1], LANES.type))
    return [*found, f.cast("bitcast", rest, _WORDS)]


def _masked(f: Function, bits: Value) -> Value:
    return f.emit(_WORDS, f"and {bits.typed}, {_HIGH}")


def along(f: Function, first: Value, second: Value) -> Value:
    """A row of 32 units of one line, from a part of the first 16 and of the others."""
    low, high = (f.cast("bitcast", one, _HALVES) for one in (first, second))
    odd = ", ".join(f"i32 {2 * lane + 1}" for lane in range(32))
    code = f"shufflevector {low.typed}, {high.typed}, <32 x i32> <{odd}>"
    return f.cast("bitcast", f.emit(_HALVES, code), _WORDS)


def across(f: Function, first: Value, second: Value) -> Value:
    """A row of two units of 16 lines, from a part of the one and of the other."""
    low = f.emit(_WORDS, f"lshr {first.typed}, {_SIXTEEN}")
    high = _masked(f, second)
    return f.emit(_WORDS, f"or {low.typed}, {high}")


def some(f: Function, pointer: Value, count: Value) -> Value:
    """The first ``count`` numbers there, at most 16, and zeros behind them; none if below 1."""
    mask, name = first(f, count), "@llvm.masked.load.v16f32.p0"
    f.declared.add(f"declare {LANES.type} {name}(ptr, i32, {mask.type}, {LANES.type})")
    operands = f"{pointer.typed}, i32 4, {mask.typed}, {LANES.type} zeroinitializer"
    return f.emit(LANES.type, f"call {LANES.type} {name}({operands})")


def first(f: Function, count: Value) -> Value:
    """Which of 16 lanes are below ``count``."""
    most = integer("i64", LANES.count)
    bounded = f.minimum(count, most)
    return f.compare("slt", _COUNT, f.splat(f.cast("trunc", bounded, "i32"), LANES.count))


def turned(f: Function, rows: list[Value]) -> list[Value]:
    """Sixteen vectors of words with rows and columns exchanged: by blocks of 1, 2, 4 and 8."""
    for size in (1, 2, 4, 8):
        first, second = (
            ", ".join(f"i32 {_source(lane, size, half)}" for lane in range(16)) for half in (0, 1)
        )
        after = list(rows)
        for at in range(16):
            if not at & size:
                pair = f"{rows[at].typed}, {rows[at + size].typed}"
                after[at] = f.emit(_WORDS, f"shufflevector {pair}, <16 x i32> <{first}>")
                after[at + size] = f.emit(_WORDS, f"shufflevector {pair}, <16 x i32> <{second}>")
        rows = after
    return rows


def _source(lane: int, size: int, half: int) -> int:
    """Which lane of a pair of vectors comes here when blocks of this size change places."""
    if half:
        return lane + 16 if lane & size else lane + size
    return lane - size + 16 if lane & size else lane
