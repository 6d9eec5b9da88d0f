"""The command line: a thin shell over the library, and the only code that prints.

Commands are named here and imported when they are called, so that `elman --help` and a mistyped
option are answered at once.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from cyclopts import App, CycloptsError, UnknownOptionError

from elman._version import __version__
from elman.errors import ElmanError

# What each command is for. Those of the first table have the options of a task and are made for
# the command line at hand.
OF_TASKS = {
    "check": "Say what would be read of a file, and what looks wrong in it.",
    "train": "Train a model on a file, a folder or a built-in data set.",
    "predict": "Answer texts with a trained model.",
    "evaluate": "Score a trained model on labelled examples.",
    "compare": "Train several cells on the same data and compare them.",
}
OTHERS = {
    "datasets": "List the built-in data sets.",
    "cells": "List the cells with their equations, parameters and cost, or show one in full.",
    "explain": "Show what the compiler makes of a cell, from its equations to machine code.",
    "bench": "Measure the speed of cells beside torch, an eager loop and JAX.",
}


def build(argv: Sequence[str]) -> App:
    """Return the application for one command line."""
    app = App(
        name="elman",
        help="Train, understand and ship recurrent networks for text.",
        version=f"elman {__version__}",
        help_epilogue="Begin with: elman train surnames",
        suppress_keyboard_interrupt=False,  # `run` says it
    )
    for name, text in OF_TASKS.items():
        if argv[:1] == [name]:
            make = import_module(f"elman.cli.{name}").command
            app.command(make(argv[1:]), name=name)
        else:
            app.command(_not_called, name=name, help=text)
    for name, text in OTHERS.items():
        app.command(f"elman.cli.{name}:{name}", name=name, help=text)
    return app


def _not_called() -> None:
    """Stand for a command that this command line does not call."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command and exit: 0 done, 1 the work failed, 2 the request was wrong."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a bar that a terminal lacks is no failure
    sys.exit(run(argv))


def run(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; what a user can cause shows no traceback."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        app = build(words)
        code = app(words, exit_on_error=False, print_error=False, result_action="return_value")
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except ElmanError as error:
        return _refuse(str(error), error.exit_code)
    except CycloptsError as error:
        hint = f"see `elman {_help_of(words)}--help`"
        if words[:1] == ["predict"] and isinstance(error, UnknownOptionError):
            hint = "a text that begins with a dash goes after --"
        return _refuse(f"{_sentence(error)} ({hint})", 2)
    except KeyboardInterrupt:
        return _refuse("stopped", 130)
    except BrokenPipeError:
        # The reader (`head`, say) has gone; keep the interpreter from complaining at exit.
        _silence_stdout()
        return 0
    except (MemoryError, RuntimeError) as error:
        # torch's allocator has no error of its own.
        if isinstance(error, RuntimeError) and "alloc" not in str(error):
            raise
        return _refuse("not enough memory; make --hidden-size or --batch-size smaller", 1)
    except OSError as error:  # files are the library's; what is left is the output
        _silence_stdout()
        return _refuse(f"the output cannot be written ({(error.strerror or '').lower()})", 1)


def _silence_stdout() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _refuse(message: str, code: int) -> int:
    print(f"elman: {message}", file=sys.stderr)
    return code


def _help_of(words: Sequence[str]) -> str:
    """Return the command whose help says more."""
    return f"{words[0]} " if words and words[0] in (OF_TASKS | OTHERS) else ""


def _sentence(error: CycloptsError) -> str:
    return " ".join(str(error).split()).rstrip(".")
