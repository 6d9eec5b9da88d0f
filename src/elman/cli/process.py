"""A command as a process: its streams, and the signals that end it.

Nothing slow is imported here: what a signal does is settled before anything else is loaded.
"""

from __future__ import annotations

import io
import os
import signal
import sys
import time
from contextlib import suppress
from types import FrameType
from typing import TYPE_CHECKING, Any

from elman.errors import Stopped, signal_of

if TYPE_CHECKING:
    from collections.abc import Callable

SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
BURST = 0.5  # seconds within which the same signal again is no second wish


def mend_streams() -> None:
    """Give the process all three streams, none of which can end it by an accident of its own.

    A closed one becomes an empty one: its number would else go to the next file that is opened. On
    stdout a character that a terminal lacks is replaced. What stderr does not take is dropped: it
    tells of the work and is not the work.
    """
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    if isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr = io.TextIOWrapper(
            io.BufferedWriter(_Droppable(sys.stderr.fileno(), "w", closefd=False)),
            encoding=sys.stderr.encoding,
            errors="replace",
            line_buffering=True,
        )
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            nowhere = open(os.devnull, mode, encoding="utf-8")  # noqa: SIM115 - to the end
            setattr(sys, name, nowhere)


class _Droppable(io.FileIO):
    """A file whose reader may go, or whose disk may be full."""

    def write(self, data: Any) -> int:
        with suppress(OSError):  # there is no place left to say so
            super().write(data)
        return len(data)


def silence_stdout() -> None:
    """Send what is still to come on stdout, at the interpreter's end too, nowhere."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def machine_writer() -> Callable[[str], object]:
    """Return what writes text for programs to stdout: UTF-8, whatever the locale is.

    Lone surrogates, which no encoding has, become question marks.
    """
    sys.stdout.flush()  # what was written as text goes first
    buffer = getattr(sys.stdout, "buffer", None)
    if buffer is None:  # replaced by something that takes text only
        return sys.stdout.write
    return lambda text: buffer.write(text.encode("utf-8", "replace"))


def as_utf8(text: str) -> str:
    """Return an argument as it was typed where the locale (C, POSIX) made single bytes of it."""
    try:
        return os.fsencode(text).decode()
    except UnicodeError:
        return text


# ---------------------------------------------------------------------------------------------
# Signals


def stop_on_signals() -> None:
    """Let SIGTERM and SIGHUP end the work as Ctrl-C does, where they are not ignored (nohup)."""
    last: dict[int, float] = {}

    def stop(number: int, frame: FrameType | None) -> None:
        # `timeout` sends its signal to the command and then to the group that it is in.
        before, last[number] = last.get(number, -BURST), time.monotonic()
        if last[number] - before >= BURST:
            raise Stopped(number)

    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, stop)


def end_on_signals() -> None:
    """Let signals end the process at once: all is done but the interpreter's own end."""
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


def exit_code(stop: KeyboardInterrupt) -> int:
    """Return the exit code of a process that a signal stopped, as a shell says it."""
    return 128 + signal_of(stop)


# ---------------------------------------------------------------------------------------------
# Packages


_PIP_NAMES = {"sklearn": "scikit-learn"}


def missing_package(error: Exception) -> str | None:
    """Return one sentence where an error came of the import of another package, else None.

    A package that is there and broken fails with whatever its beginning runs into: torch with an
    OSError where a library of the system is missing.
    """
    packages = _packages_after_ours(error)
    name = ""
    if isinstance(error, ImportError):
        name = packages[0][0] if packages else (error.name or "").partition(".")[0]
    elif packages and packages[0][1] == "<module>":
        name = packages[0][0]
    if not name or name == "elman":
        return None
    reason = str(error).strip().partition("\n")[0]
    return (
        f"{name} cannot be imported ({reason or type(error).__name__}); "
        f"install it with `pip install {_PIP_NAMES.get(name, name)}`"
    )


def _packages_after_ours(error: Exception) -> list[tuple[str, str]]:
    """Return package and function of each frame below the last one of ours."""
    frames: list[tuple[str, str]] = []
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        name = str(trace.tb_frame.f_globals.get("__name__", "")).partition(".")[0]
        if name == "elman":
            frames = []
        elif name != "importlib":
            frames.append((name, code.co_name))
        trace = trace.tb_next
    return frames
