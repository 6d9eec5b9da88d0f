"""Running a kernel in several threads.

torch keeps a team of OpenMP threads, which wait actively for a moment after each of its operations.
A second team would fight with it for the cores, so kernels run in torch's own where it can be
found (GNU's libgomp, which the wheels for Linux bring along), and in a pool of Python's threads
elsewhere: a call of compiled code lets go of the GIL.

The child of a fork has none of these threads, and libgomp there waits for them for ever. So the
team ends before a process forks, and parent and child start their own.
"""

import ctypes
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from elman.forks import at_fork


class Team(NamedTuple):
    """torch's OpenMP threads: how to start them, and how a thread knows which it is."""

    parallel: Any
    thread: int
    threads: int
    pause: Any
    """Ends those of the thread that calls it; None in a libgomp older than GCC 9."""


@cache
def team() -> Team | None:
    """torch's own threads, or None where they are not GNU's."""
    torch = find_spec("torch")
    folder = Path(torch.origin or "").parent / "lib" if torch else Path()
    for path in sorted(folder.glob("libgomp*")):
        try:
            library = ctypes.CDLL(str(path))
            parallel = library.GOMP_parallel
            number, count = library.omp_get_thread_num, library.omp_get_num_threads
        except (OSError, AttributeError):
            continue
        parallel.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_uint]
        parallel.restype = None
        thread, threads = (
            ctypes.cast(function, ctypes.c_void_p).value or 0 for function in (number, count)
        )
        pause = getattr(library, "omp_pause_resource_all", None)
        return Team(parallel, thread, threads, pause)
    return None


_SOFT = 1
"""A pause that is over with the next region."""


def end_team() -> bool:
    """End the team of this thread, as it must be before a fork; whether that was done."""
    group = team()
    return group is not None and group.pause is not None and group.pause(_SOFT) == 0


def run(alone: Any, team_entry: int, address: int, count: int) -> None:
    """Call a function of compiled code in so many threads, in torch's own where that can be.

    Args:
        alone: takes the address, the number of the thread and how many there are.
        team_entry: the address of the same for a team (`entry.team`).
        address: of the call's words.
        count: how many threads.
    """
    if count == 1:
        alone(address, 0, 1)
    elif (group := team()) is not None:
        group.parallel(team_entry, address, count, 0)
    else:
        in_pool(lambda index: alone(address, index, count), count)


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="elman")


at_fork(after_in_child=_pool.cache_clear)


def in_pool(work: Callable[[int], None], threads: int) -> None:
    """Call ``work`` with 0 to threads - 1, each in a thread of its own, the first in this one."""
    others = [_pool(threads - 1).submit(work, index) for index in range(1, threads)]
    work(0)
    for other in others:
        other.result()
