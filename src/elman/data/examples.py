"""Labelled texts: what every reader returns and every split is made of."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.data.form import Facts


@dataclass(frozen=True, repr=False)
class Examples:
    """Texts with their labels, in the order of their file.

    Attributes:
        texts: The texts, as read (neither normalised nor stripped).
        labels: One label a text, a string; with ``several`` a tuple of them, sorted, or an empty
            one for a text that has none.
        source: The file's name as the user gave it, or the data set's name.
        notes: What there is to say to the user, one sentence each: the encoding where it is not
            UTF-8, empty texts skipped, columns not used.
        facts: How each file was read.
        several: Whether a text may have several labels, or none.
    """

    texts: list[str]
    labels: list[Any]
    source: str
    notes: tuple[str, ...] = ()
    facts: tuple[Facts, ...] = ()
    several: bool = False

    def __post_init__(self) -> None:
        if len(self.texts) != len(self.labels):
            raise ValueError(f"{len(self.texts)} texts but {len(self.labels)} labels")

    def __len__(self) -> int:
        return len(self.texts)

    def __repr__(self) -> str:
        return f"<{len(self):,} texts of {len(self.sizes()):,} classes of {self.source}>"

    def sizes(self) -> Counter[str]:
        """Return how many texts have each label."""
        return Counter(label for row in self.label_sets for label in row)

    @property
    def label_sets(self) -> list[tuple[str, ...]]:
        """The labels of each text, also where it is always one."""
        return self.labels if self.several else [(label,) for label in self.labels]

    @property
    def written(self) -> list[str]:
        """The labels of each text as one string: equal where these are."""
        if not self.several:
            return self.labels
        return [json.dumps(row, ensure_ascii=False) for row in self.labels]

    def digest(self) -> str:
        """Return a hash of all texts and labels in their order."""
        digest = hashlib.sha256()
        for column in (self.texts, self.written):
            digest.update(str(len(column)).encode())
            for value in column:
                digest.update(value.encode("utf-8", "surrogatepass") + b"\0")
        return digest.hexdigest()

    def take(self, rows: Sequence[int] | NDArray[np.integer[Any]]) -> Examples:
        """Return the examples of ``rows``, in that order, under the same source and notes."""
        indices = np.asarray(rows, dtype=np.intp).tolist()
        return replace(
            self,
            texts=[self.texts[i] for i in indices],
            labels=[self.labels[i] for i in indices],
        )


@dataclass(frozen=True)
class Inputs:
    """What a model is to answer, and what stands beside it."""

    inputs: list[Any]
    """One a row: a text, "" where there is none; or what else the task reads."""
    table: Mapping[str, Sequence[str | None]]
    """All columns of the file by name, as long as ``inputs``."""
    facts: Facts
    notes: tuple[str, ...] = ()
    file: Any = None
    """The file itself, in whose lines answers can be written; None of most formats."""
