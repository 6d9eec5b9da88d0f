"""DATA as a person names it: a file, a folder, ``-`` for stdin, or a built-in data set."""

from __future__ import annotations

import difflib
from pathlib import Path

from elman.data.datasets import DATASETS, load_dataset
from elman.data.examples import Examples
from elman.data.readers import read_examples
from elman.data.splits import Split, split
from elman.errors import DataError

# From here on a fiftieth of a file is enough to validate on.
LARGE = 5_000


def read_data(data: str | Path, *, text: str | None = None, label: str | None = None) -> Examples:
    """Read labelled texts; a file of that name goes before a built-in data set.

    Args:
        data: a file, a folder, ``-``, or a name in ``DATASETS``.
        text: the text column, by name or by number from 1.
        label: the label column, likewise.

    Raises:
        DataError: as ``read_examples`` and ``load_dataset``.
    """
    name = str(data)
    if name in DATASETS and not Path(name).exists():
        return load_dataset(name)
    near = difflib.get_close_matches(name, DATASETS, n=1)
    if near and not Path(name).exists():
        raise DataError(f"no file {name!r}; did you mean the built-in data set {near[0]}?")
    return read_examples(data, text=text, label=label)


def read_split(
    data: str | Path,
    *,
    text: str | None = None,
    label: str | None = None,
    valid: str | Path | None = None,
    test: str | Path | None = None,
    fractions: tuple[float, float, float] | None = None,
    seed: int = 0,
) -> Split:
    """Read ``data`` and the parts that are given, and cut the others from ``data``.

    Without ``fractions`` the parts have the shares of ``default_fractions``.

    Raises:
        ConfigError, DataError: as ``read_data`` and ``split``.
    """
    parts = {
        name: None if part is None else read_data(part, text=text, label=label)
        for name, part in (("valid", valid), ("test", test))
    }
    examples = read_data(data, text=text, label=label)
    shares = fractions or default_fractions(len(examples), test_given=test is not None)
    return split(examples, fractions=shares, seed=seed, **parts)


def default_fractions(count: int, *, test_given: bool) -> tuple[float, float, float]:
    """Return the shares of the parts where none are asked for.

    Early stopping needs some hundred texts, not a tenth of a large file; but a test part that is
    cut off should be large enough to trust, and a validation part no larger than it.
    """
    if test_given and count >= LARGE:
        return 0.98, 0.02, 0.0
    return 0.8, 0.1, 0.1
