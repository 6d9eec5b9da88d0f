"""The function `partition`: a ragged batch worked out from its batch sizes, and shared out.

Where each step begins, how long each row is, and which rows are whose: a few hundred whole numbers,
for which a dozen calls of NumPy would take longer than a small batch's products.
"""

from elman.backends.llvm.emit.assembly import Function, Value, integer
from elman.backends.llvm.emit.entry import WORD, Entry
from elman.backends.llvm.emit.layout import Layout

_ZERO, _ONE = integer("i64", 0), integer("i64", 1)


class Partition(Entry):
    """Called once, before the threads begin; it is told how many those will be."""

    def __init__(self, layout: Layout) -> None:
        super().__init__(layout, "partition")
        self.steps, self.rows = (self.word(name, "i64") for name in ("steps", "rows"))
        self.sizes, self.starts, self.lengths, self.shares = (
            self.word(name, "ptr") for name in ("sizes", "starts", "lengths", "shares")
        )

    def function(self) -> Function:
        """The function; for sizes that are wrong it leaves -1 tokens among the words."""
        f = self.f
        f.loop(self.rows, self._no_step, stem="row")
        tokens, _, wrong = f.loop(self.steps, self._step, [_ZERO, self.rows, _ZERO], stem="step")
        differs = f.cast("zext", f.compare("ne", tokens, self.word("tokens", "i64")), "i64")
        right = f.compare("eq", f.add(wrong, differs), _ZERO)
        place = f.at(self.args, WORD * self.layout.words.index("tokens"))
        f.store(f.select(right, tokens, integer("i64", -1)), place, WORD)
        self._put(_ZERO, self.shares, _ZERO)
        f.loop(self.threads, lambda at, _: self._share(at, tokens), start=1, stem="share")
        self._put(self.rows, self.shares, self.threads)
        f.do("ret void")
        return f

    def _no_step(self, row: Value, _: list[Value]) -> list[Value]:
        """Length 0, which stays that of the rows beyond those of the first step."""
        self._put(_ZERO, self.lengths, row)
        return []

    def _step(self, step: Value, carried: list[Value]) -> list[Value]:
        """A step's start, and the lengths of the rows that end with it."""
        f, (tokens, before, wrong) = self.f, carried
        size = self._get(self.sizes, step)
        rises = f.cast("zext", f.compare("sgt", size, before), "i64")
        is_empty = f.cast("zext", f.compare("slt", size, _ONE), "i64")
        wrong = f.add(wrong, f.add(rises, is_empty))
        self._put(tokens, self.starts, step)
        after = f.add(step, _ONE)
        is_last = f.compare("eq", after, self.steps)
        beside = f.select(is_last, _ZERO, self._get(self.sizes, f.select(is_last, step, after)))
        # Sizes that are wrong must not lead out of memory before they are told.
        begin = f.select(f.compare("slt", beside, _ZERO), _ZERO, beside)
        end = f.select(f.compare("sgt", size, self.rows), self.rows, size)

        def row(at: Value, _: list[Value]) -> list[Value]:
            self._put(after, self.lengths, at)
            return []

        f.loop(end, row, start=begin, stem="row")
        return [f.add(tokens, size), size, wrong]

    def _share(self, index: Value, tokens: Value) -> list[Value]:
        """A thread's first row: so many that those before it have their part of the tokens.

        The longest rows come first, so the first threads have fewer of them than the last.
        """
        f = self.f
        wanted = f.mul(index, tokens)

        def row(at: Value, carried: list[Value]) -> list[Value]:
            done, count = carried
            more = f.cast("zext", f.compare("slt", done, wanted), "i64")
            length = f.mul(self._get(self.lengths, at), self.threads)
            return [f.add(done, length), f.add(count, more)]

        _, count = f.loop(self.rows, row, [_ZERO, _ZERO], stem="row")
        self._put(count, self.shares, index)
        return []

    def _get(self, numbers: Value, at: Value) -> Value:
        return self.f.load("i64", self.f.at(numbers, at, "i64"), WORD)

    def _put(self, value: Value, numbers: Value, at: Value) -> None:
        self.f.store(value, self.f.at(numbers, at, "i64"), WORD)
