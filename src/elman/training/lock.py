"""One training at a time for one folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path

from elman.errors import ConfigError
from elman.training.bundle import writing
from elman.training.checkpoint import training_folder

try:
    import fcntl
except ImportError:  # Windows has no such locks
    fcntl = None  # type: ignore[assignment]

FILE = "lock"
ATTEMPTS = 100
"""After so many the folder does not vanish: it cannot be made (as in /proc)."""


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """Keep other trainings, of this process and of others, away from ``out``.

    The lock is on a file in the folder of the unfinished run. The system frees it when the process
    ends, however that comes, so what a kill leaves behind keeps nobody away. At the end neither
    the file nor a folder made for it is left, but where something else stands in it.

    Raises:
        ConfigError: another training holds ``out``.
        BundleError: the place cannot be written.
    """
    with writing(out):
        folder = training_folder(out.resolve())
        made = [folder, *(parent for parent in folder.parents if not parent.exists())]
        descriptor = _locked_file(folder / FILE)
    if descriptor is None:
        raise ConfigError(
            f"another training writes to {out}; wait until it has ended, or choose another --out"
        )
    try:
        yield
    finally:
        (folder / FILE).unlink(missing_ok=True)
        os.close(descriptor)
        for each in made:
            with suppress(OSError):  # it is not empty
                each.rmdir()


def is_held(out: Path) -> bool:
    """Whether a training is at work on ``out``."""
    if not (training_folder(out.resolve()) / FILE).exists():
        return False
    try:
        with locked(out):
            return False
    except ConfigError:
        return True


def _locked_file(file: Path) -> int | None:
    """Return a descriptor of the locked file, made with its folders; None where another has it."""
    for attempt in count(1):
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
        except FileNotFoundError:
            if attempt == ATTEMPTS:
                raise
            continue  # who had it has just taken the folder away
        if not _lock(descriptor):
            os.close(descriptor)
            return None
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(descriptor), os.stat(file)):
                return descriptor
        os.close(descriptor)  # it is of the file that was taken away meanwhile
    raise AssertionError("the loop ends by itself")


def _lock(descriptor: int) -> bool:
    """Lock an open file; where the file system has no locks, go on without."""
    if fcntl is None:
        return True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        return True
    return True
