"""Calling a kernel: its arguments laid out as words, its memory, its threads."""

import ctypes
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import Any, NamedTuple

import torch
from torch import Tensor

from elman.backends.llvm.call.memory import scratch
from elman.backends.llvm.emit.entry import WORD
from elman.backends.llvm.emit.layout import HEADER
from elman.backends.llvm.native import threads
from elman.backends.llvm.native.executable import Executable
from elman.errors import BackendError
from elman.forks import at_fork

_TOKENS, _PACKED = HEADER.index("tokens"), HEADER.index("packed")


_team_ended = False


def _before_fork() -> None:
    global _team_ended
    _team_ended = threads.end_team()


def _in_child() -> None:
    # torch would wait for threads that are not there. One it has.
    if not _team_ended:
        torch.set_num_threads(1)


at_fork(before=_before_fork, after_in_child=_in_child)

_watch: list[tuple[str, float]] | None = None


@contextmanager
def watched() -> Iterator[list[tuple[str, float]]]:
    """Fills the list with what kernels do meanwhile, in any thread, and the seconds it takes.

    Each run is there as, say, ``("backward.run", 0.003)`` and the packing of its weights as
    ``("backward.pack", 0.0001)``; within another `watched` only the inner one is told.
    """
    global _watch
    durations: list[tuple[str, float]] = []
    before, _watch = _watch, durations
    try:
        yield durations
    finally:
        _watch = before


class Arguments(NamedTuple):
    """What a kernel is called with."""

    batch_sizes: Tensor
    """(T,), int64, contiguous."""
    rows: int
    """B."""
    tokens: int
    """N."""
    direction: int
    """1 from the first step to the last, -1 from the last to the first."""
    first: Sequence[Tensor]
    """Each state's first values, (B, H)."""
    last: Sequence[Tensor]
    """Where its last values go, (B, H)."""
    arrays: Mapping[str, Tensor | None]
    """The kernel's arrays by name, contiguous, and ``weights.NAME`` for each stack of matrices;
    None for what is left out."""
    threads: int
    """How many."""
    indices: Tensor | None = None
    """The tokens' indices (N,), int64, where a table is read."""


def run(executable: Executable, arguments: Arguments) -> None:
    """Run a kernel once.

    Raises:
        BackendError: the batch sizes are not those of a ragged batch of so many rows and tokens.
    """
    memory = scratch(_bytes(executable, arguments))
    if arguments.threads > 1 or _watch is not None:
        _prepare(executable, arguments, memory)()
        return
    # All in one call: a small batch takes no longer than a few of these.
    words = _words(executable, arguments, memory)
    executable.whole(ctypes.addressof(words), 0, 1)
    _check(words, arguments)


def prepare(
    executable: Executable, arguments: Arguments, packed: "Prepared | None" = None
) -> "Prepared":
    """Lay out the arguments and pack the weights, to run a kernel many times.

    Args:
        executable: the kernel.
        arguments: of the call.
        packed: the same kernel prepared before, whose packed weights this one reads.

    Raises:
        BackendError: as `run`.
    """
    size = _bytes(executable, arguments)
    memory = torch.empty(size, dtype=torch.uint8, device="cpu")
    return _prepare(executable, arguments, memory, packed)


def _prepare(
    executable: Executable,
    arguments: Arguments,
    memory: Tensor,
    packed: "Prepared | None" = None,
) -> "Prepared":
    words, count = _words(executable, arguments, memory), arguments.threads
    if packed is not None:
        words[_PACKED] = packed.words[_PACKED]
    executable.partition(ctypes.addressof(words), 0, count)
    _check(words, arguments)
    alive = (memory, arguments.batch_sizes, packed)
    prepared = Prepared(executable, words, count, alive)
    if executable.has_matrices and packed is None:
        prepared.start("pack", executable.pack, executable.pack_team)
    return prepared


def _bytes(executable: Executable, arguments: Arguments) -> int:
    """Of all that a call needs besides its arrays."""
    count = arguments.threads
    numbers = arguments.batch_sizes.shape[0] + arguments.rows + count + 1
    return executable.packed_bytes + executable.scratch_bytes * count + WORD * numbers


def _words(executable: Executable, arguments: Arguments, memory: Tensor) -> Any:
    """The words of a call, as `Layout.words` has them."""
    batch_sizes, rows, tokens, direction, first, last, arrays, count, indices = arguments
    steps = batch_sizes.shape[0]
    packed = memory.data_ptr()
    scratch = packed + executable.packed_bytes
    starts = scratch + executable.scratch_bytes * count
    lengths = starts + WORD * steps
    team = threads.team() if count > 1 else None
    return executable.Words(
        steps,
        rows,
        tokens,
        direction,
        batch_sizes.data_ptr(),
        starts,
        lengths,
        lengths + WORD * rows,
        scratch,
        packed,
        team.thread if team else 0,
        team.threads if team else 0,
        0 if indices is None else indices.data_ptr(),
        *[state.data_ptr() for state in first],
        *[state.data_ptr() for state in last],
        *[0 if (array := arrays[name]) is None else array.data_ptr() for name in executable.arrays],
    )


def _check(words: Any, arguments: "Arguments") -> None:
    """Whether the kernel found a ragged batch."""
    if words[_TOKENS] < 0:
        raise BackendError(
            f"the batch sizes must be above 0 and never rise, begin with at most the "
            f"{arguments.rows} rows of the states and add up to the {arguments.tokens} tokens of "
            f"the data; they are {_shown(arguments.batch_sizes)}"
        )


class Prepared:
    """A kernel with its arguments. Who holds it keeps the tensors that these point to alive."""

    __slots__ = ("_address", "_alive", "_alone", "_count", "_executable", "words")

    def __init__(
        self,
        executable: Executable,
        words: Any,
        count: int,
        alive: tuple[object, ...],
    ) -> None:
        self.words = words
        """The arguments, to be changed between runs: see `Executable.words`."""
        self._executable = executable
        self._alone = executable.run
        self._address = ctypes.addressof(words)
        self._count = count
        self._alive = alive

    def __call__(self) -> None:
        """Run the kernel."""
        if _watch is None and self._count == 1:
            self._alone(self._address, 0, 1)
        else:
            self.start("run", self._executable.run, self._executable.run_team)

    def start(self, name: str, entry: Any, team_entry: int) -> None:
        """Call a function of the kernel in all threads."""
        watch = _watch
        if watch is None:
            self._start(entry, team_entry)
            return
        begin = perf_counter()
        self._start(entry, team_entry)
        watch.append((f"{self._executable.kernel.name}.{name}", perf_counter() - begin))

    def _start(self, entry: Any, team_entry: int) -> None:
        threads.run(entry, team_entry, self._address, self._count)


def _shown(batch_sizes: Tensor) -> str:
    first = [str(size) for size in batch_sizes[:8].tolist()]
    return ", ".join([*first, "..."] if len(batch_sizes) > len(first) else first)
