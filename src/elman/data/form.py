"""What a user may say about the form of a file, and what was found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from elman.errors import ConfigError

BadRows = Literal["refuse", "skip"]

_DELIMITERS = {"tab": "\t", "\\t": "\t", "space": " ", "comma": ",", "semicolon": ";", "bar": "|"}
NAMES = {"\t": "tab", " ": "blank", ",": "comma", ";": "semicolon", "|": "bar"}
"""What messages call a delimiter."""


@dataclass(frozen=True)
class Form:
    """What the user said about the form of the files; None: it is told from the file.

    Attributes:
        encoding: Such as ``"cp1251"``.
        delimiter: What stands between two fields, or ``tab``, ``space``, ``comma``,
            ``semicolon``, ``bar``. With ``space`` the first word of a line is its label and the
            rest its text.
        header: Whether the first row names the columns.
        bad_rows: What to do with a row that cannot be read.
        drop_unlabelled: Leave out texts without a label, which are refused otherwise.
        multilabel: Read several labels a text, or none.
        label_separator: What stands between them, or its name as of a delimiter; who says so
            means ``multilabel``.
        lines: Each line of a text file is a text of its own, not one of a running text.
    """

    encoding: str | None = None
    delimiter: str | None = None
    header: bool | None = None
    bad_rows: BadRows = "refuse"
    drop_unlabelled: bool = False
    multilabel: bool = False
    label_separator: str | None = None
    lines: bool = False

    def __post_init__(self) -> None:
        if self.delimiter is not None:
            delimiter = _DELIMITERS.get(str(self.delimiter).lower(), self.delimiter)
            if not isinstance(delimiter, str) or not delimiter or set(delimiter) & {*'"\r\n'}:
                raise ConfigError(
                    f"delimiter is {self.delimiter!r}; it must be what stands between two fields, "
                    f"or {', '.join(name for name in _DELIMITERS if name.isalpha())}"
                )
            object.__setattr__(self, "delimiter", delimiter)
        if self.label_separator is not None:
            object.__setattr__(self, "label_separator", _separator(self.label_separator))
            object.__setattr__(self, "multilabel", True)
        if self.bad_rows not in ("refuse", "skip"):
            raise ConfigError(f"bad_rows is {self.bad_rows!r}; it must be one of refuse, skip")

    @property
    def skips(self) -> bool:
        """Whether rows that cannot be read are left out."""
        return self.bad_rows == "skip"


def _separator(given: str) -> str:
    """Return what stands between labels.

    Raises:
        ConfigError: it cannot.
    """
    sign = _DELIMITERS.get(str(given).lower(), given)
    within = {*"\"'[](){}\r\n"}
    plain = isinstance(sign, str) and 0 < len(sign) <= 3
    if not plain or set(sign) & within or any(one.isalnum() for one in sign):
        raise ConfigError(
            f"label_separator is {given!r}; it must be what stands between two labels, one to "
            "three signs that are no letters, digits, quotation marks or brackets, or "
            f"{', '.join(name for name in _DELIMITERS if name.isalpha())}"
        )
    return sign if sign.isspace() else sign.strip()


AS_TOLD = Form()
"""Nothing was said."""


@dataclass(frozen=True)
class Facts:
    """How one file was read."""

    source: str
    format: str
    """In words: CSV, JSON lines, Parquet ..."""
    names: tuple[str, ...] = ()
    """All columns, also those that were not read; numbers where there is no header."""
    encoding: str | None = None
    delimiter: str | None = None
    header: bool | None = None
    """Whether the first row names the columns; None where the format has no such row."""
    columns: dict[str, str] | None = None
    """For each role the column that was read."""
