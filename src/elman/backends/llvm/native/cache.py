"""Compiled code on disk, so that a cell and size is compiled once a machine.

The key is made of everything that the code depends on: the kernel, its sizes, the sources of the
compiler itself, the versions of llvmlite and LLVM, and the processor. A file says its key and the
hash of its content, so that what is damaged, cut off or not ours is compiled anew and replaced.
What lies there is run, so it is taken only from a folder that no other user can write to.

Nothing here fails: where code cannot be kept, it is compiled by each process, and a warning says
so once.
"""

import hashlib
import logging
import os
import stat
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import elman
from elman.backends.llvm.native import compiler, host
from elman.ir.graph import Node

_log = logging.getLogger(__name__)
_MAGIC = b"elman kernel 1\n"
_SUFFIX, _UNFINISHED = ".kernel", ".unfinished"
_MOST_FILES = 512
_MOST_BYTES = 256 << 20
_ABANDONED = 3600.0
"""Seconds after which an unfinished file is one whose writer has died."""


# ---------------------------------------------------------------------------------------------
# What code depends on


@dataclass(frozen=True)
class Source:
    """Assembly that is written only when its code is not in the cache."""

    name: object
    """All that the text follows from, beside the machine and Elman's own sources: a `KernelSpec`,
    or what a fixed text is called."""
    text: Callable[[], str]
    """Writes the assembly."""

    @property
    def key(self) -> str:
        """What tells this code from all other; the same in every process."""
        whole = (_SOURCES, compiler.versions(), host.detect(), sys.platform, self.name)
        return hashlib.sha256(listing(whole).encode()).hexdigest()


def listing(value: object) -> str:
    """A text that equal values share and others do not, whatever the process.

    Nodes are numbered, operands first, and stand as a line each: their own `repr` shows one
    operation and not what it is applied to.

    Raises:
        TypeError: something in it has no such text.
    """
    numbers: dict[Node, int] = {}
    lines: list[str] = []

    def number(node: Node) -> int:
        # An explicit stack: a long chain of ops would overflow Python's own.
        pending = [node]
        while pending:
            last = pending[-1]
            missing = [operand for operand in last.inputs if operand not in numbers]
            if last not in numbers and not missing:
                operands = [numbers[operand] for operand in last.inputs]
                numbers[last] = len(lines)
                lines.append(f"{last.op.value} {last.attr!r} {last.size} {operands}")
            pending.pop() if not missing else pending.extend(reversed(missing))
        return numbers[node]

    def term(value: object) -> str:
        if isinstance(value, Node):
            return f"%{number(value)}"
        if value is None or isinstance(value, str | bytes | int | float):
            return repr(value)
        if isinstance(value, tuple | list):
            return f"({','.join(map(term, value))})"
        if isinstance(value, Mapping):
            return f"{{{','.join(f'{term(key)}:{term(entry)}' for key, entry in value.items())}}}"
        if isinstance(value, frozenset | set):
            return f"<{','.join(sorted(map(term, value)))}>"
        if is_dataclass(value):
            parts = (term(getattr(value, field.name)) for field in fields(value))
            return f"{type(value).__name__}({','.join(parts)})"
        raise TypeError(f"{type(value).__name__} has no text that is the same in every process")

    last = term(value)
    return "\n".join([*lines, last])


def _hash_of_sources(root: Path) -> str:
    """A hash of all that turns a graph into code; empty where Python's sources are not there."""
    parts = ("ir", "autodiff", "schedule", "backends/llvm")
    paths = [
        root / "compiler.py",
        *(path for part in parts for path in (root / part).rglob("*.py")),
    ]
    digest = hashlib.sha256()
    try:
        for path in sorted(paths):
            content = path.read_bytes()
            digest.update(f"{path.relative_to(root).as_posix()} {len(content)}\n".encode())
            digest.update(content)
    except OSError:
        return ""
    return digest.hexdigest()


# Taken when the compiler is imported: a file that is edited later is not what runs here.
_SOURCES = _hash_of_sources(Path(elman.__file__).parent)


# ---------------------------------------------------------------------------------------------
# Files


def folder() -> Path:
    """Where compiled code is kept: ``ELMAN_CACHE``, or the platform's cache folder.

    Raises:
        RuntimeError: there is no home folder.
    """
    chosen = os.environ.get("ELMAN_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    if sys.platform == "win32":
        local = os.environ.get("LOCALAPPDATA")
        base = Path(local) if local else Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        xdg = os.environ.get("XDG_CACHE_HOME")
        base = Path(xdg) if xdg else Path.home() / ".cache"
    return base / "elman"


class _UnusableError(Exception):
    """Why a folder is not used, as the end of a sentence."""


class _Store:
    """A folder of object code, one file a key."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def open(self) -> None:
        """Make the folder if need be.

        Raises:
            _UnusableError: code from it must not be run.
            OSError: it cannot be made.
        """
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not _only_mine(self.path.stat()):
            raise _UnusableError("can be written to by other users")

    def read(self, key: str) -> bytes | None:
        """The code of this key, or None where there is none that is whole and ours."""
        path = self._file(key)
        try:
            # Neither a link nor a pipe: what is checked is what is read.
            flags = ("O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_BINARY")
            number = os.open(path, os.O_RDONLY | sum(getattr(os, flag, 0) for flag in flags))
            with open(number, "rb") as file:
                status = os.fstat(number)
                usable = stat.S_ISREG(status.st_mode) and _only_mine(status)
                content = file.read(_MOST_BYTES) if usable else b""
        except FileNotFoundError:
            return None
        except OSError as error:
            _log.debug("%s cannot be read (%s)", path, error)
            return None
        head = len(_head(key, b""))
        code = content[head:]
        if not code or content[:head] != _head(key, code):
            _log.info("%s is damaged or not Elman's and is made anew", path)
            return None
        with suppress(OSError):
            os.utime(path)  # the least recently used files go first
        return code

    def write(self, key: str, code: bytes) -> None:
        """Put code there, whole or not at all.

        Raises:
            OSError: it cannot be written.
        """
        number, unfinished = tempfile.mkstemp(_UNFINISHED, key[:16] + ".", self.path)
        try:
            with open(number, "wb") as file:
                file.write(_head(key, code) + code)
            os.replace(unfinished, self._file(key))
        except BaseException:
            with suppress(OSError):
                os.unlink(unfinished)
            raise

    def prune(self) -> None:
        """Remove the least recently used files beyond the limits, and what dead writers left."""
        size = 0
        for count, (when, bytes_, path) in enumerate(sorted(self._files(), reverse=True), 1):
            size += bytes_
            finished = path.endswith(_SUFFIX)
            beyond = count > _MOST_FILES or size > _MOST_BYTES
            if beyond if finished else time.time() - when > _ABANDONED:
                with suppress(OSError):  # another process was quicker, or has it open
                    os.unlink(path)

    def _files(self) -> Iterator[tuple[float, int, str]]:
        with suppress(OSError), os.scandir(self.path) as entries:
            for entry in entries:
                if entry.name.endswith((_SUFFIX, _UNFINISHED)):
                    with suppress(OSError):
                        status = entry.stat(follow_symlinks=False)
                        yield status.st_mtime, status.st_size, entry.path

    def _file(self, key: str) -> Path:
        return self.path / f"{key}{_SUFFIX}"


def _head(key: str, code: bytes) -> bytes:
    """What stands before the code."""
    return b"%s%s\n%s\n" % (_MAGIC, key.encode(), hashlib.sha256(code).hexdigest().encode())


def _only_mine(status: os.stat_result) -> bool:
    """Whether nobody but this user and root can write there, as far as the system tells."""
    if sys.platform == "win32":
        return True  # the user's own folders are closed to others, and modes say nothing
    return status.st_uid in (os.geteuid(), 0) and not status.st_mode & 0o022


# ---------------------------------------------------------------------------------------------
# Loading


def load(source: Source, names: tuple[str, ...]) -> tuple[Any, dict[str, int]]:
    """The addresses of the functions, from the cache or compiled now, and what keeps them alive."""
    store = _store()
    key = source.key if store else ""
    code = store.read(key) if store else None
    if code is not None:
        try:
            return compiler.load(code, names)
        except RuntimeError as error:
            _log.info("kept code cannot be linked and is made anew (%s)", error)
    code = compiler.compile_object(source.text())
    if store:
        try:
            store.write(key, code)
            store.prune()
        except OSError as error:
            _warn(f"{store.path} cannot be written ({_why(error)})")
    return compiler.load(code, names)


def _store() -> _Store | None:
    """The cache, or None where there is none to be had."""
    if not _SOURCES:
        _warn("the compiler's sources are not there to tell its versions apart")
        return None
    try:
        store = _Store(folder())
        store.open()
    except RuntimeError:
        _warn("there is no home folder")
    except OSError as error:
        _warn(f"{folder()} cannot be made ({_why(error)})")
    except _UnusableError as error:
        _warn(f"{store.path} {error}")
    else:
        return store
    return None


def _why(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


_said: set[str] = set()


def _warn(problem: str) -> None:
    if problem not in _said:
        _said.add(problem)
        _log.warning(
            "compiled cells are not kept for the next process, since %s; set ELMAN_CACHE to a "
            "folder that only you can write to",
            problem,
        )
