"""x86's matrix tiles (AMX): products of float32 at several times the rate of its vectors.

The tiles multiply bfloat16, numbers with 8 significant bits, and add up in float32. A float32 has
24 significant bits, so it is the exact sum of three such numbers::

    x = x1 + x2 + x3,    |x2| <= 2**-8 |x1|,    |x3| <= 2**-7 |x2|

Of the nine products of two such sums the six with i + j <= 4 are computed; the other three are
below the rounding of float32 itself. Six products at sixteen times the rate of a vector's fma leave
a factor of 2.6 (Henry, Tang and Heinecke, "Leveraging the bfloat16 Artificial Intelligence
Datatype For Higher-Precision Computations", 2019).

Two limits: an infinite operand gives NaN (inf - inf) where float32 would give inf, and parts of
numbers below 1e-33 may be flushed to zero.
"""

from collections.abc import Sequence

from elman.backends.llvm.emit.assembly import Function, Value, integer

ROWS = 16
"""Rows of a tile, and 32-bit words in each of its rows."""
DEPTH = 32
"""Units that one instruction multiplies and adds up: two to a word."""
BYTES = 1024
"""Of a tile."""
ROW = 64
"""Bytes of a tile's row."""
PARTS = 3
"""Numbers in bfloat16 that make up one in float32."""

# ---------------------------------------------------------------------------------------------
# Instructions


def configure(f: Function) -> None:
    """All eight tiles of this thread at their full size, to be released in the end."""
    _sizes(f)
    f.do("call void @llvm.x86.ldtilecfg(ptr @tile_sizes)")


def _sizes(f: Function) -> None:
    sizes = [1] + [0] * 15 + [ROW, 0] * 8 + [0] * 16 + [ROWS] * 8 + [0] * 8
    text = "".join(f"\\{byte:02X}" for byte in sizes)
    f.declared.add(f'@tile_sizes = private constant [64 x i8] c"{text}", align 64')
    f.declared.add("declare void @llvm.x86.ldtilecfg(ptr)")


def fit(f: Function, memory: Value, rows: Value, columns: Value) -> None:
    """Tiles for so many rows and columns (1 to 32) of a result, as ``panels`` has them.

    No number beyond them is read or written, and rows are what a product takes time for. Tiles 0
    to 3 are the four corners of the result, 4 and 5 rows of the left operand, 6 and 7 columns of
    the right one; a tile of which nothing is left must not be used.

    Args:
        f: where to.
        memory: 64 bytes, at a multiple of 64.
        rows: how many rows.
        columns: how many columns.
    """
    top, below = _halves(f, rows)
    left, right = _halves(f, f.mul(columns, integer("i64", 4)), ROW)
    word = integer("i64", 0)
    f.store(integer("i64", 1), memory, 8)
    f.store(word, f.at(memory, 8), 8)
    full = {4: integer("i64", ROW), 5: integer("i64", ROW)}
    widths = full | {0: left, 2: left, 6: left, 1: right, 3: right, 7: right}
    heights = {0: top, 1: top, 4: top, 2: below, 3: below, 5: below}
    heights |= {6: integer("i64", ROWS), 7: integer("i64", ROWS)}
    for half in range(2):
        tiles = range(4 * half, 4 * half + 4)
        f.store(_joined(f, [widths[tile] for tile in tiles], 16), f.at(memory, 16 + 8 * half), 8)
    for at in (32, 40, 56):
        f.store(word, f.at(memory, at), 8)
    f.store(_joined(f, [heights[tile] for tile in range(8)], 8), f.at(memory, 48), 8)
    _sizes(f)
    f.do(f"call void @llvm.x86.ldtilecfg({memory.typed})")


def _halves(f: Function, count: Value, most: int = ROWS) -> tuple[Value, Value]:
    """What of the count is in the first tile and in the second; at least a word of each."""
    limit, least = integer("i64", most), integer("i64", most // ROWS)
    more = f.sub(count, limit)
    first = f.minimum(count, limit)
    return first, f.select(f.compare("sgt", more, least), more, least)


def _joined(f: Function, parts: Sequence[Value], bits: int) -> Value:
    """One word of whole numbers, the first in its lowest bits."""
    whole = integer("i64", 0)
    for at, part in enumerate(parts):
        whole = f.add(whole, f.mul(part, integer("i64", 1 << bits * at)))
    return whole


def release(f: Function) -> None:
    """The tiles are free, and the system need not keep them when it changes threads."""
    f.declared.add("declare void @llvm.x86.tilerelease()")
    f.do("call void @llvm.x86.tilerelease()")


def zero(f: Function, tile: int) -> None:
    """All of a tile."""
    f.declared.add("declare void @llvm.x86.tilezero(i8 immarg)")
    f.do(f"call void @llvm.x86.tilezero(i8 {tile})")


def load(f: Function, tile: int, pointer: Value, stride: Value) -> None:
    """A tile from memory, its rows ``stride`` bytes apart."""
    f.declared.add("declare void @llvm.x86.tileloadd64(i8 immarg, ptr, i64)")
    f.do(f"call void @llvm.x86.tileloadd64(i8 {tile}, {pointer.typed}, {stride.typed})")


def store(f: Function, tile: int, pointer: Value, stride: Value) -> None:
    """A tile to memory."""
    f.declared.add("declare void @llvm.x86.tilestored64(i8 immarg, ptr, i64)")
    f.do(f"call void @llvm.x86.tilestored64(i8 {tile}, {pointer.typed}, {stride.typed})")


def multiply(f: Function, total: int, left: int, right: int) -> None:
    """Add to ``total`` (16 x 16, float32) the product of ``left`` (16 x 32) and ``right``."""
    f.declared.add("declare void @llvm.x86.tdpbf16ps(i8 immarg, i8 immarg, i8 immarg)")
    f.do(f"call void @llvm.x86.tdpbf16ps(i8 {total}, i8 {left}, i8 {right})")
