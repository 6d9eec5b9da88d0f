"""The command line: a thin shell over the library, and the only code that prints.

Commands are named here and imported when they are called, so that `elman --help` and a mistyped
option are answered at once.
"""

from __future__ import annotations

import difflib
import inspect
import io
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from cyclopts import App, CycloptsError, Parameter, UnknownOptionError, ValidationError

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
    "completion": "Print what makes a shell complete commands and options.",
}


def build(argv: Sequence[str], *, whole: bool = False) -> App:
    """Return the application for one command line, or the ``whole`` of it, with every option."""
    named = [*argv[:1]]
    app = App(
        name="elman",
        help="Train, understand and ship recurrent networks for text.",
        version=f"elman {__version__}",
        help_epilogue=None if _help_of(named) else "Begin with: elman train surnames",
        default_parameter=Parameter(negative_iterable=()),  # no --empty-NAME
        suppress_keyboard_interrupt=False,  # `run` says it
        **_as_help(argv),
    )
    for name, text in OF_TASKS.items():
        if whole or named == [name]:
            make = import_module(f"elman.cli.{name}").command
            command = make(argv[1:])
            app.command(command, name=name, usage=_usage(name, command))
        else:
            app.command(_not_called, name=name, help=text)
    for name, text in OTHERS.items():
        app.command(f"elman.cli.{name}:{name}", name=name, help=text)
    return app


def _usage(name: str, command: Callable[..., Any]) -> str:
    """Return the first line of a command's help: Cyclopts has no names for several words."""
    words = []
    for one in inspect.signature(command).parameters.values():
        if one.kind is one.POSITIONAL_ONLY:
            words.append(one.name.upper())
        elif one.kind is one.VAR_POSITIONAL:
            words.append(f"[{one.name.upper()}...]")
    return f"Usage: elman {name} [OPTIONS] {' '.join(words)}"


def _not_called() -> None:
    """Stand for a command that this command line does not call."""


def _as_help(argv: Sequence[str]) -> dict[str, Any]:
    """Return how help is printed where it is asked for: without boxes where lines are unbounded."""
    if argv and not {"--help", "-h"} & {*argv}:
        return {}
    from elman.cli.screen import console
    from elman.text.terminal import UNBOUNDED

    screen = console()
    return {
        "console": screen,
        "help_formatter": "plain" if screen.width == UNBOUNDED else "default",
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command and exit: 0 done, 1 the work failed, 2 the request was wrong."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a bar that a terminal lacks is no failure
    sys.exit(run(argv))


def run(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; what a user can cause shows no traceback."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["help"]:
        words = [*words[1:], "--help"]
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
    words = [token.value for token in error.argument.tokens] if error.argument else []
    mistyped = next((word for word in words if word.startswith("-") and word != "-"), "")
    if isinstance(error, ValidationError) and mistyped:
        return _no_such_option(mistyped.partition("=")[0], error.target)
    text = " ".join(str(error).split())
    return text if text.endswith("...") else text.rstrip(".")


def _no_such_option(word: str, command: Callable[..., Any] | None) -> str:
    """Say of a word that stands where a file does that it is no option, in Cyclopts' own words."""
    names = inspect.signature(command).parameters if command else {}
    near = difflib.get_close_matches(word, [f"--{n.replace('_', '-')}" for n in names], n=1)
    return f"Unknown option: {word}" + (f". Did you mean {near[0]}?" if near else "")
