"""Functions that work on panels, for products of large matrices and for kernels alike.

How a panel lies in memory is told in ``splits``.
"""

from collections.abc import Mapping, Sequence

from elman.backends.llvm.emit.amx import bf16x3 as splits
from elman.backends.llvm.emit.amx import instructions as amx
from elman.backends.llvm.emit.amx.bf16x3 import LINES, PART, PIECE
from elman.backends.llvm.emit.assembly import Function, Value, integer


def functions() -> list[Function]:
    """Those that every module with panels has."""
    products = [_multiply(high, wide) for high in (1, 2) for wide in (1, 2)]
    return [*products, pack_along(), pack_across(), turn()]


# ---------------------------------------------------------------------------------------------
# Calls


def pack(
    f: Function, form: str, start: Value, step: Value, lines: Value, depth: Value, to: Value
) -> None:
    """Split a panel of lines that lie ``along`` or ``across``, ``step`` bytes apart."""
    call(f, f"pack_{form}", start, step, lines, depth, to)


def exchange(f: Function, panel: Value, depth: Value) -> None:
    """Make columns of the lines that were packed along, or rows of those packed across."""
    call(f, "turn", panel, depth)


def call(f: Function, name: str, *values: Value) -> None:
    """Call a function of the module."""
    f.do(f"call void @{name}({', '.join(value.typed for value in values)})")


# ---------------------------------------------------------------------------------------------
# Products

_PRODUCTS = ((2, 0), (1, 0), (1, 1), (0, 1), (0, 0), (0, 2))
"""The parts of the left and the right operand, in an order that loads few tiles anew."""


def product(f: Function, size: tuple[Value, Value], arguments: Sequence[Value]) -> None:
    """Multiply two panels into so many rows and columns of a result: see `_multiply`.

    Tiles of which nothing is left are not touched.
    """
    after = f.fresh("multiplied.")
    many, broad = (f.compare("sgt", count, integer("i64", amx.ROWS)) for count in size)
    labels = {(high, wide): f.fresh(f"tiles{high}x{wide}.") for high in (1, 2) for wide in (1, 2)}
    high, low = f.fresh("high."), f.fresh("low.")
    f.branch(many, high, low)
    for label, height in ((high, 2), (low, 1)):
        f.label(label)
        f.branch(broad, labels[height, 2], labels[height, 1])
    for (height, width), label in labels.items():
        f.label(label)
        call(f, f"multiply_{height}x{width}", *arguments)
        f.jump(after)
    f.label(after)


def _multiply(high: int, wide: int) -> Function:
    """A left panel times a right one, or the first tile alone of either.

    The function takes both panels, the result with the bytes of its rows, how many pieces there
    are, and whether to add to what stands there.

    Args:
        high: tiles of the left panel.
        wide: tiles of the right panel.
    """
    arguments = [*(("ptr", one) for one in "abc"), ("i64", "step"), ("i64", "pieces")]
    arguments += [("i1", "add")]
    f = Function(f"multiply_{high}x{wide}", arguments, attributes="nounwind noinline")
    a, b, c, step, pieces, add = f.arguments
    tops = [c, f.at(c, f.mul(step, integer("i64", amx.ROWS)))][:high]
    corners = {
        2 * row + side: f.at(top, side * amx.ROW)
        for row, top in enumerate(tops)
        for side in range(wide)
    }
    _begin(f, corners, step, add)

    def piece(_: Value, carried: list[Value]) -> list[Value]:
        a, b = carried
        wanted = [f.at(b, PIECE + offset) for offset in range(0, PIECE, 64)]
        _piece(f, a, b, (high, wide), wanted)
        return [f.at(one, PIECE) for one in carried]

    f.loop(pieces, piece, [a, b], stem="piece")
    for tile, corner in corners.items():
        amx.store(f, tile, corner, step)
    f.do("ret void")
    return f


def _begin(f: Function, corners: Mapping[int, Value], step: Value, add: Value) -> None:
    """The sums begin at zero, or at what stands there."""
    more, none, ready = (f.fresh(name) for name in ("more.", "none.", "ready."))
    f.branch(add, more, none)
    f.label(more)
    for tile, corner in corners.items():
        amx.load(f, tile, corner, step)
    f.jump(ready)
    f.label(none)
    for tile in corners:
        amx.zero(f, tile)
    f.jump(ready)
    f.label(ready)


def _piece(f: Function, a: Value, b: Value, size: tuple[int, int], wanted: Sequence[Value]) -> None:
    """The six products of parts of a piece, and between them lines of the next one.

    Sums are in the first four tiles, lines of the left operand in 4 and 5, of the right in 6 and 7.
    """
    now: dict[int, int] = {}
    high, wide = size
    for count, (left, right) in enumerate(_PRODUCTS):
        for first, panel, part, sides in ((4, a, left, high), (6, b, right, wide)):
            if now.get(first) != part:
                now[first] = part
                for side in range(sides):
                    place = f.at(panel, part * PART + side * amx.BYTES)
                    amx.load(f, first + side, place, integer("i64", amx.ROW))
        for place in wanted[count :: len(_PRODUCTS)]:
            f.prefetch(place)
        for row in range(high):
            for side in range(wide):
                amx.multiply(f, 2 * row + side, 4 + row, 6 + side)


# ---------------------------------------------------------------------------------------------
# Packing

_PACK = [("ptr", "from"), ("i64", "step"), ("i64", "lines"), ("i64", "depth"), ("ptr", "to")]
_ZERO = integer("i64", 0)


def pack_along() -> Function:
    """A panel of lines that lie one after the other: a line becomes a row of each piece.

    Units behind ``depth`` are zeros; lines behind ``lines`` are whatever stood there, and so are
    the results that nobody reads.
    """
    f = Function("pack_along", _PACK, attributes="nounwind noinline")
    source, step, lines, depth, target = f.arguments

    def line(_: Value, carried: list[Value]) -> list[Value]:
        here, to = carried

        def piece(at: Value, carried: list[Value]) -> list[Value]:
            here, to = carried
            left = f.sub(depth, at)
            pair = []
            for side in range(2):
                count = f.sub(left, integer("i64", 16 * side))
                pair.append(splits.parts(f, splits.some(f, f.at(here, amx.ROW * side), count)))
            for part in range(amx.PARTS):
                f.store(splits.along(f, pair[0][part], pair[1][part]), f.at(to, part * PART), 64)
            return [f.at(here, 2 * amx.ROW), f.at(to, PIECE)]

        f.loop(depth, piece, [here, to], step=amx.DEPTH, stem="piece")
        return [f.at(here, step), f.at(to, amx.ROW)]

    most = integer("i64", LINES)
    count = f.minimum(lines, most)
    f.loop(count, line, [source, target], stem="line")
    f.do("ret void")
    return f


_AHEAD = 16
"""Pairs of units that are asked for before they are read: lines far apart, at whose next the
processor cannot guess. (Masks on all loads cost nothing beside that: measured.)"""


def pack_across() -> Function:
    """A panel of lines that lie side by side: two units of 16 lines become a row."""
    f = Function("pack_across", _PACK, attributes="nounwind noinline")
    source, step, lines, depth, target = f.arguments

    def piece(at: Value, carried: list[Value]) -> list[Value]:
        here, to = carried

        def pair(row: Value, carried: list[Value]) -> list[Value]:
            here, to = carried
            first = f.add(at, f.mul(row, integer("i64", 2)))
            for side in range(2):
                beside = f.sub(lines, integer("i64", 16 * side))
                found = []
                for unit in range(2):
                    far = f.at(here, f.mul(step, integer("i64", 2 * _AHEAD + unit)))
                    f.prefetch(f.at(far, amx.ROW * side))
                    inside = f.compare("slt", f.add(first, integer("i64", unit)), depth)
                    count = f.select(inside, beside, _ZERO)
                    place = f.at(here if unit == 0 else f.at(here, step), amx.ROW * side)
                    found.append(splits.parts(f, splits.some(f, place, count)))
                for part in range(amx.PARTS):
                    vector = splits.across(f, found[0][part], found[1][part])
                    f.store(vector, f.at(to, part * PART + side * amx.BYTES), 64)
            return [f.at(here, f.mul(step, integer("i64", 2))), f.at(to, amx.ROW)]

        here, _ = f.loop(integer("i64", amx.ROWS), pair, [here, to], stem="pair")
        return [here, f.at(to, PIECE)]

    f.loop(depth, piece, [source, target], step=amx.DEPTH, stem="piece")
    f.do("ret void")
    return f


def turn() -> Function:
    """Exchange rows and columns in each tile of a panel."""
    f = Function("turn", [("ptr", "panel"), ("i64", "depth")], attributes="nounwind noinline")
    panel, depth = f.arguments
    pieces = f.parts(depth, integer("i64", amx.DEPTH))
    tiles = f.mul(pieces, integer("i64", PIECE // amx.BYTES))

    def tile(_: Value, carried: list[Value]) -> list[Value]:
        (here,) = carried
        places = [f.at(here, row * amx.ROW) for row in range(amx.ROWS)]
        rows = [f.load("<16 x i32>", place, 64) for place in places]
        for place, row in zip(places, splits.turned(f, rows), strict=True):
            f.store(row, place, 64)
        return [f.at(here, amx.BYTES)]

    f.loop(tiles, tile, [panel], stem="tile")
    f.do("ret void")
    return f
