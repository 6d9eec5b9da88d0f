"""What can go wrong, in a few kinds.

Every message is one sentence that says what was wrong, where, and what to do about it. The command
line prints it as it stands and ends with ``exit_code``: 2 when the request was wrong, 1 when the
work itself failed.
"""

import signal


class ElmanError(Exception):
    """Anything Elman says no to; catch this to catch them all."""

    exit_code = 2


class ConfigError(ElmanError, ValueError):
    """An option or argument has a value that cannot work."""


class DataError(ElmanError, ValueError):
    """A file or table cannot be read as what it was given for."""


class InputError(DataError, TypeError):
    """What was given from Python as texts is none, or one of them is missing."""


class WordError(DataError, KeyError):
    """A word has no vector."""

    __str__ = Exception.__str__  # that of KeyError puts the sentence in quotes


class CellError(ElmanError):
    """A cell's equations cannot be traced, verified or found."""


class BundleError(ElmanError):
    """A saved model is missing a part, damaged, or from a newer format version."""


class BackendError(ElmanError):
    """A backend was asked for by name and cannot run this cell here."""


class TrainingError(ElmanError):
    """Training began and could not go on; what was reached so far is kept."""

    exit_code = 1


class LabError(ElmanError):
    """A measurement began and could not be finished."""

    exit_code = 1


class Stopped(KeyboardInterrupt):
    """A signal asked the program to end: Ctrl-C, or another that the command line listens to.

    Args:
        number: of the signal.
    """

    def __init__(self, number: int):
        super().__init__(number)
        self.number = number


def signal_of(stop: KeyboardInterrupt) -> signal.Signals:
    """Return the signal that stopped a program; a plain KeyboardInterrupt is Ctrl-C."""
    return signal.Signals(getattr(stop, "number", signal.SIGINT))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that there is no room for what was asked.

    torch's allocators have no error of their own on the CPU, nor has it one for sizes that no
    machine could hold.
    """
    words = ("alloc", "out of memory", "overflow")
    said = str(error).lower()
    return isinstance(error, MemoryError) or (
        isinstance(error, RuntimeError | TypeError | OverflowError)
        and any(word in said for word in words)
    )
