"""AMX's six instructions as functions of plain LLVM, for tests.

Most processors have no AMX, and code that is only compiled there may be wrong. So a test may ask
for a `Host` whose ``amx`` is ``software``: the module is written as for a processor with AMX, and
here each of its instructions becomes a call of a function that does the same to memory of the
thread. It reads and writes what the processor would and adds up in the same order, so results are
the same to the bit; where the processor would refuse, it stops the process. It is some thirty times
slower, and never chosen for users.

What the instructions do is told in Intel's "64 and IA-32 Architectures Software Developer's
Manual", volume 2.
"""

import re
from collections.abc import Callable, Mapping

from elman.backends.llvm.emit.amx import bf16x3 as splits
from elman.backends.llvm.emit.amx import instructions as amx
from elman.backends.llvm.emit.assembly import Function, Value, integer, module, number

_TILES = 8
_SIZES = _TILES * amx.BYTES
"""Where the sizes of the tiles stand in their memory, as ldtilecfg reads them: behind the tiles."""
_MEMORY = _SIZES + 64

_FLOATS, _WORDS = splits.LANES.type, "<16 x i32>"
_ZERO = integer("i64", 0)


def replaced(text: str) -> str:
    """The module with calls in the place of the instructions; as it is where it has none.

    A function that other modules see has memory for the tiles, and hands it on to those of its own
    module that it calls.
    """
    functions = {found["name"]: found for found in _FUNCTION.finditer(text)}
    inside = {name for name, found in functions.items() if found["linkage"] == "internal"}
    using = {name for name, found in functions.items() if _called(found) & _FORMS.keys()}
    if not using:
        return text
    more = set(using)
    while more:
        more = {name for name, found in functions.items() if _called(found) & more & inside} - using
        using |= more
    given = _FORMS.keys() | using & inside

    def call(found: re.Match[str]) -> str:
        name, listed = found["name"], found["listed"]
        if name not in given:
            return found[0]
        return f"call void @{name}({', '.join(filter(None, ('ptr %tiles', listed)))})"

    def function(found: re.Match[str]) -> str:
        if found["name"] not in using:
            return found[0]
        lines = _CALL.sub(call, found[0])
        if found["name"] in inside:
            return lines.replace("(", "(ptr %tiles, ", 1)
        own = f"  %tiles = alloca [{_MEMORY} x i8], align 64\n  call void @tilerelease(ptr %tiles)"
        return lines.replace("entry:", f"entry:\n{own}", 1)

    whole = _FUNCTION.sub(function, text) + module([write() for write in _FORMS.values()])
    lines = [line for line in whole.splitlines() if not line.startswith("declare")]
    declared = {line for line in whole.splitlines() if line.startswith("declare")}
    instructions = tuple(f"declare void @llvm.x86.{name}(" for name in _FORMS)
    return "\n".join([*lines, *sorted(one for one in declared if not one.startswith(instructions))])


_FUNCTION = re.compile(
    r"^define (?P<linkage>\w*) \w+ @(?P<name>\w+)\([^\n]*\{\n.*?^\}$", re.MULTILINE | re.DOTALL
)
_CALL = re.compile(r"call void @(?:llvm\.x86\.)?(?P<name>\w+)\((?P<listed>[^)\n]*)\)")


def _called(function: re.Match[str]) -> set[str]:
    return {found["name"] for found in _CALL.finditer(function[0])}


# ---------------------------------------------------------------------------------------------
# Sizes


def _configure() -> Function:
    """Take the sizes of all tiles, which are zeros afterwards."""
    f = _function("ldtilecfg", ("ptr", "sizes"))
    tiles, source = f.arguments
    for at, wanted in ((0, 1), (8, 0), (32, 0), (40, 0), (56, 0)):
        found = f.load("i64", f.at(source, at), 1)
        _refuse(f, f.compare("ne", found, integer("i64", wanted)))
    f.store(f.load(_WORDS, source, 1), f.at(tiles, _SIZES), 64)

    def tile(index: Value, _: list[Value]) -> list[Value]:
        bytes_, rows = _stored(f, tiles, index)
        _refuse(f, f.compare("ugt", bytes_, integer("i64", amx.ROW)))
        _refuse(f, f.compare("ugt", rows, integer("i64", amx.ROWS)))
        # The processor takes other numbers too, but products refuse them.
        _refuse(f, f.compare("ne", f.emit("i64", f"urem {bytes_.typed}, 4"), _ZERO))
        _clear(f, f.at(tiles, f.mul(index, integer("i64", amx.BYTES))))
        return []

    f.loop(integer("i64", _TILES), tile, stem="tile")
    return _finished(f)


def _release() -> Function:
    """There are no tiles any more."""
    f = _function("tilerelease")
    f.store(integer(_WORDS, 0), f.at(f.arguments[0], _SIZES), 64)
    return _finished(f)


def _stored(f: Function, tiles: Value, index: Value) -> tuple[Value, Value]:
    """Bytes of a row, and rows, of a tile."""
    sizes = f.at(tiles, _SIZES)
    wide = f.load("i16", f.at(f.at(sizes, 16), index, "i16"), 2)
    high = f.load("i8", f.at(f.at(sizes, 48), index), 1)
    return f.cast("zext", wide, "i64"), f.cast("zext", high, "i64")


def _clear(f: Function, tile: Value) -> None:
    def row(index: Value, _: list[Value]) -> list[Value]:
        f.store(integer(_WORDS, 0), _row(f, tile, index), 64)
        return []

    f.loop(integer("i64", amx.ROWS), row, stem="row")


# ---------------------------------------------------------------------------------------------
# Memory


def _zero() -> Function:
    """A tile of zeros."""
    f = _function("tilezero", ("i8", "tile"))
    tile, _, _ = _tile(f, *f.arguments)
    _clear(f, tile)
    return _finished(f)


def _load() -> Function:
    """A tile from memory, with zeros beyond its size."""
    f = _function("tileloadd64", ("i8", "tile"), ("ptr", "from"), ("i64", "step"))
    tiles, index, source, step = f.arguments
    tile, rows, words = _tile(f, tiles, index)

    def row(at: Value, _: list[Value]) -> list[Value]:
        count = f.select(f.compare("slt", at, rows), words, _ZERO)
        found = splits.some(f, f.at(source, f.mul(at, step)), count)
        f.store(found, _row(f, tile, at), 64)
        return []

    f.loop(integer("i64", amx.ROWS), row, stem="row")
    return _finished(f)


def _store() -> Function:
    """What a tile holds within its size to memory."""
    f = _function("tilestored64", ("i8", "tile"), ("ptr", "to"), ("i64", "step"))
    tiles, index, target, step = f.arguments
    tile, rows, words = _tile(f, tiles, index)
    mask, name = splits.first(f, words), "@llvm.masked.store.v16f32.p0"
    f.declared.add(f"declare void {name}({_FLOATS}, ptr, i32, {mask.type})")

    def row(at: Value, _: list[Value]) -> list[Value]:
        value, place = f.load(_FLOATS, _row(f, tile, at), 64), f.at(target, f.mul(at, step))
        f.do(f"call void {name}({value.typed}, {place.typed}, i32 4, {mask.typed})")
        return []

    f.loop(rows, row, stem="row")
    return _finished(f)


# ---------------------------------------------------------------------------------------------
# Products


def _multiply() -> Function:
    """Add the product of two tiles of bfloat16, two to a word, to one of float32.

    Products of the lower halves and of the upper ones are added up apart, from zero on.
    """
    f = _function("tdpbf16ps", ("i8", "total"), ("i8", "left"), ("i8", "right"))
    tiles, *indices = f.arguments
    sizes = [_tile(f, tiles, index) for index in indices]
    (total, rows, words), (left, left_rows, depth), (right, right_rows, right_words) = sizes
    for one, other in ((rows, left_rows), (words, right_words), (depth, right_rows)):
        _refuse(f, f.compare("ne", one, other))
    mask = splits.first(f, words)
    nothing = number(_FLOATS, 0.0)

    def row(at: Value, _: list[Value]) -> list[Value]:
        units = _row(f, left, at)

        def unit(at: Value, sums: list[Value]) -> list[Value]:
            word = f.splat(f.load("i32", f.at(units, at, "i32")), amx.ROWS)
            others = f.load(_WORDS, _row(f, right, at), 64)
            halves = zip(_halves(f, word), _halves(f, others), sums, strict=True)
            return [f.fma(one, other, sum_) for one, other, sum_ in halves]

        sums = f.loop(depth, unit, [nothing, nothing], stem="unit")
        place = _row(f, total, at)
        found = f.fadd(f.load(_FLOATS, place, 64), f.fadd(*sums))
        f.store(f.select(mask, found, nothing), place, 64)
        return []

    f.loop(rows, row, stem="row")
    return _finished(f)


def _halves(f: Function, words: Value) -> tuple[Value, Value]:
    """The lower and the upper number of each word, in float32."""
    low = f.emit(_WORDS, f"shl {words.typed}, {integer(_WORDS, 16)}")
    high = f.emit(_WORDS, f"and {words.typed}, {integer(_WORDS, -0x10000)}")
    return f.cast("bitcast", low, _FLOATS), f.cast("bitcast", high, _FLOATS)


# ---------------------------------------------------------------------------------------------
# What they share

_FORMS: Mapping[str, Callable[[], Function]] = {
    "ldtilecfg": _configure,
    "tilerelease": _release,
    "tilezero": _zero,
    "tileloadd64": _load,
    "tilestored64": _store,
    "tdpbf16ps": _multiply,
}
"""By the names that LLVM has for the instructions."""


def _function(name: str, *arguments: tuple[str, str]) -> Function:
    """The memory of the tiles stands before the arguments of the instruction."""
    return Function(name, [("ptr", "tiles"), *arguments], attributes="nounwind noinline")


def _finished(f: Function) -> Function:
    f.do("ret void")
    return f


def _tile(f: Function, tiles: Value, index: Value) -> tuple[Value, Value, Value]:
    """Where a tile is, its rows, and the words of each; refused where it has none."""
    wide = f.cast("zext", index, "i64")
    bytes_, rows = _stored(f, tiles, wide)
    for size in (bytes_, rows):
        _refuse(f, f.compare("eq", size, _ZERO))
    words = f.emit("i64", f"udiv {bytes_.typed}, 4")
    return f.at(tiles, f.mul(wide, integer("i64", amx.BYTES))), rows, words


def _row(f: Function, tile: Value, index: Value) -> Value:
    return f.at(tile, f.mul(index, integer("i64", amx.ROW)))


def _refuse(f: Function, condition: Value) -> None:
    """Stop the process, as the processor would."""
    f.declared.add("declare void @llvm.trap()")
    with f.when(condition):
        f.do("call void @llvm.trap()")
