"""What can go wrong, in a few kinds.

Every message is one sentence that says what was wrong, where, and what to do about it. The command
line prints it as it stands and ends with ``exit_code``: 2 when the request was wrong, 1 when the
work itself failed.
"""


class ElmanError(Exception):
    """Anything Elman says no to; catch this to catch them all."""

    exit_code = 2


class ConfigError(ElmanError, ValueError):
    """An option or argument has a value that cannot work."""


class DataError(ElmanError, ValueError):
    """A file or table cannot be read as what it was given for."""


class InputError(DataError, TypeError):
    """What was given from Python as texts is none, or one of them is missing."""


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
