"""The command line: a thin shell over the library, and the only code that prints.

Commands are named here and imported when they are called, so that `elman --help` and a mistyped
option are answered at once.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError

from elman import __version__
from elman.errors import ElmanError

app = App(
    name="elman",
    help="Train, understand and ship recurrent networks for text.",
    version=f"elman {__version__}",
    help_epilogue="Begin with: elman train surnames",
    suppress_keyboard_interrupt=False,  # `run` says it
)
for _name, _help in {
    "train": "Train a classifier on a file, a folder or a built-in data set.",
    "predict": "Classify texts, given as arguments or one a line on stdin.",
    "evaluate": "Score a trained model on labelled texts.",
    "compare": "Train several cells on the same data and compare them.",
    "datasets": "List the built-in data sets.",
    "cells": "List the cells with their equations, parameters and cost, or show one in full.",
    "explain": "Show what the compiler makes of a cell, from its equations to machine code.",
    "bench": "Measure the speed of cells beside torch, an eager loop and JAX.",
}.items():
    app.command(f"elman.cli.{_name}:{_name}", name=_name, help=_help)


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command and exit: 0 done, 1 the work failed, 2 the request was wrong."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a bar that a terminal lacks is no failure
    sys.exit(run(argv))


def run(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; what a user can cause shows no traceback."""
    try:
        code = app(argv, exit_on_error=False, print_error=False, result_action="return_value")
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except ElmanError as error:
        return _refuse(str(error), error.exit_code)
    except CycloptsError as error:
        return _refuse(f"{_sentence(error)} (see `elman --help`)", 2)
    except KeyboardInterrupt:
        return _refuse("stopped", 130)
    except BrokenPipeError:
        # The reader (`head`, say) has gone; keep the interpreter from complaining at exit.
        _silence_stdout()
        return 0
    except OSError as error:  # files are the library's; what is left is the output
        _silence_stdout()
        return _refuse(f"the output cannot be written ({(error.strerror or '').lower()})", 1)


def _silence_stdout() -> None:
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _refuse(message: str, code: int) -> int:
    print(f"elman: {message}", file=sys.stderr)
    return code


def _sentence(error: CycloptsError) -> str:
    return " ".join(str(error).split()).rstrip(".")
