"""The command line: a thin shell over the library, and the only code that prints.

Commands are named here and imported when they are called, so that `elman --help` and a mistyped
option are answered at once, and a Ctrl-C while anything is loaded is one line.
"""

from __future__ import annotations

import difflib
import inspect
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from elman._version import __version__
from elman.cli import process
from elman.errors import ElmanError, is_out_of_memory

if TYPE_CHECKING:
    from cyclopts import App, CycloptsError

# What each command is for. Those of the first table have the options of a task and are made for
# the command line at hand.
OF_TASKS = {
    "check": "Say what would be read of a file, and what looks wrong in it.",
    "clean": "Clean texts by named steps, and say what each step did or was worth.",
    "train": "Train a model on a file, a folder or a built-in data set.",
    "predict": "Answer texts with a trained model.",
    "evaluate": "Score a trained model on labelled examples.",
    "compare": "Train several cells on the same data and compare them.",
}
OTHERS = {
    "generate": "Write with a language model, or look at how it goes on.",
    "history": "Show how a training went, and what the model wrote on the way.",
    "embed": "Train word vectors on texts: word2vec or fastText.",
    "vectors": "Ask word vectors, judge, draw and convert them.",
    "units": "Find the units of a language model that carry a label, and see what they do.",
    "datasets": "List the built-in data sets.",
    "cells": "List the cells with their equations, parameters and cost, or show one in full.",
    "explain": "Show what the compiler makes of a cell, from its equations to machine code.",
    "bench": "Measure the speed of cells beside torch, an eager loop and JAX.",
    "completion": "Print what makes a shell complete commands and options.",
}


def build(argv: Sequence[str], *, whole: bool = False) -> App:
    """Return the application for one command line, or the ``whole`` of it, with every option."""
    from cyclopts import App, Parameter

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
    for name, text in (OF_TASKS | OTHERS).items():
        if not whole and named != [name]:
            app.command(_not_called, name=name, help=text)
            continue
        module = import_module(f"elman.cli.{name}")
        if name in OF_TASKS:
            command = module.command(argv[1:])
            app.command(command, name=name, usage=_usage(name, command))
        else:
            app.command(getattr(module, name), name=name)
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
    if argv and not {"--help", "-h", "--version"} & {*argv}:
        return {}
    from elman.cli.screen import console
    from elman.text.terminal import UNBOUNDED

    screen = console()
    return {
        "console": screen,
        "help_formatter": "plain" if screen.width == UNBOUNDED else "default",
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Run one command and exit: 0 done, 1 the work failed, 2 the request was wrong.

    128 and the number of a signal says that this one stopped it.
    """
    try:
        process.stop_on_signals()
        process.mend_streams()
        code = run(argv)
        process.end_on_signals()
    except KeyboardInterrupt as stop:  # in the few lines around `run`
        code = _refuse("stopped", process.exit_code(stop))
    sys.exit(code)


def run(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; what a user can cause shows no traceback."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == ["help"]:
        words = [*words[1:], "--help"]
    try:
        code = _call(words)
        sys.stdout.flush()
        return code
    except ElmanError as error:
        return _refuse(str(error), error.exit_code)
    except KeyboardInterrupt as stop:
        return _refuse("stopped", process.exit_code(stop))
    except BrokenPipeError:
        # The reader (`head`, say) has gone; keep the interpreter from complaining at exit.
        process.silence_stdout()
        return 0
    except Exception as error:
        return _refuse(_explained(error), 1)


def _call(words: list[str]) -> int:
    """Run a command; a command line that cannot be read is 2."""
    from cyclopts import CycloptsError

    try:
        app = build(words)
        code = app(words, exit_on_error=False, print_error=False, result_action="return_value")
        return code if isinstance(code, int) else 0
    except CycloptsError as error:
        hint, said = f"see `elman {_help_of(words)}--help`", _sentence(error)
        if words[:1] == ["predict"] and said.startswith("Unknown option"):
            hint = "a text that begins with a dash goes after --"
        return _refuse(f"{said} ({hint})", 2)


def _explained(error: Exception) -> str:
    """Return one sentence for what the machine lacks; what is our own mistake is raised again."""
    missing = process.missing_package(error)
    if missing is not None:
        return missing
    if is_out_of_memory(error):
        return "not enough memory; make --hidden-size or --batch-size smaller"
    if isinstance(error, OSError):  # files are the library's; what is left is the output
        process.silence_stdout()
        return f"the output cannot be written ({(error.strerror or '').lower()})"
    raise error


def _refuse(message: str, code: int) -> int:
    print(f"elman: {message}", file=sys.stderr)
    return code


def _help_of(words: Sequence[str]) -> str:
    """Return the command whose help says more."""
    return f"{words[0]} " if words and words[0] in (OF_TASKS | OTHERS) else ""


def _sentence(error: CycloptsError) -> str:
    from cyclopts import MissingArgumentError, ValidationError

    words = [token.value for token in error.argument.tokens] if error.argument else []
    mistyped = next((word for word in words if word.startswith("-") and word != "-"), "")
    if isinstance(error, ValidationError) and mistyped:
        return _no_such_option(mistyped.partition("=")[0], error.target)
    text = " ".join(str(error).split())
    if isinstance(error, MissingArgumentError) and error.argument and not error.keyword:
        typo = text.partition(" Did you mean ")[2]
        return f"{error.argument.name} is missing" + (f". Did you mean {typo}" if typo else "")
    return text if text.endswith("...") else text.rstrip(".")


def _no_such_option(word: str, command: Callable[..., Any] | None) -> str:
    """Say of a word that stands where a file does that it is no option, in Cyclopts' own words."""
    names = inspect.signature(command).parameters if command else {}
    near = difflib.get_close_matches(word, [f"--{n.replace('_', '-')}" for n in names], n=1)
    return f"Unknown option: {word}" + (f". Did you mean {near[0]}?" if near else "")
