"""A function that sums rows by index."""

from elman.backends.llvm.emit.assembly import Function, Lanes, Value, module

WORDS = ("tokens", "width", "stride", "indices", "source", "target")
"""What the function ``scatter`` is called with, eight bytes each."""


def text(lanes: Lanes) -> str:
    """The assembly of the module."""
    return module([_function(lanes)])


def _function(lanes: Lanes) -> Function:
    f = Function("scatter", [("ptr", "args")], linkage="")
    (args,) = f.arguments
    types = ("i64", "i64", "i64", "ptr", "ptr", "ptr")
    words = [f.load(type_, f.at(args, 8 * at), 8) for at, type_ in enumerate(types)]
    tokens, width, stride, indices, source, target = words
    whole = f.sub(width, f.emit("i64", f"urem {width.typed}, {lanes.count}"))

    def add(to: Value, from_: Value, at: Value, type_: str) -> list[Value]:
        place = f.at(to, at, lanes.scalar)
        former = f.load(type_, place, lanes.bytes_each)
        more = f.load(type_, f.at(from_, at, lanes.scalar), lanes.bytes_each)
        f.store(f.fadd(former, more), place, lanes.bytes_each)
        return []

    def token(number: Value, _: list[Value]) -> list[Value]:
        index = f.load("i64", f.at(indices, number, "i64"), 8)
        to = f.at(target, f.mul(index, width), lanes.scalar)
        row = f.at(source, f.mul(number, stride), lanes.scalar)
        f.loop(whole, lambda at, _: add(to, row, at, lanes.type), step=lanes.count, stem="vector")
        f.loop(width, lambda at, _: add(to, row, at, lanes.scalar), start=whole, stem="one")
        return []

    f.loop(tokens, token, stem="token")
    f.do("ret void")
    return f
