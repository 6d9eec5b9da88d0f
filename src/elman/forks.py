"""Where a process forks, its child has all of its memory and one of its threads.

What another thread held is never let go of there, and what it was to do is never done.
"""

import os
import threading
import weakref
from typing import Any

at_fork: Any = getattr(os, "register_at_fork", lambda **_: None)
"""``os.register_at_fork``; where no process forks (Windows), nothing."""


class Lock:
    """A lock that is open in a child, whoever held it in the parent.

    What it guards may be left there between any two lines, and must be of use all the same.
    """

    def __init__(self) -> None:
        self._open()
        _locks.add(self)

    def _open(self) -> None:
        self._lock = threading.Lock()

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


_locks: weakref.WeakSet[Lock] = weakref.WeakSet()


def _open_all() -> None:
    for lock in _locks:
        lock._open()


at_fork(after_in_child=_open_all)
