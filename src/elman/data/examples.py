"""Labelled texts: what every reader returns and every split is made of."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.data.form import Facts


@dataclass(frozen=True, repr=False)
class Examples:
    """Texts with one label each, in the order of their file.

    Attributes:
        texts: The texts, as read (neither normalised nor stripped).
        labels: One label a text, always a string.
        source: The file's name as the user gave it, or the data set's name.
        notes: What there is to say to the user, one sentence each: the encoding where it is not
            UTF-8, empty texts skipped, columns not used.
        facts: How each file was read.
    """

    texts: list[str]
    labels: list[str]
    source: str
    notes: tuple[str, ...] = ()
    facts: tuple[Facts, ...] = ()

    def __post_init__(self) -> None:
        if len(self.texts) != len(self.labels):
            raise ValueError(f"{len(self.texts)} texts but {len(self.labels)} labels")

    def __len__(self) -> int:
        return len(self.texts)

    def __repr__(self) -> str:
        return f"<{len(self):,} texts of {len(set(self.labels)):,} classes of {self.source}>"

    def digest(self) -> str:
        """Return a hash of all texts and labels in their order."""
        digest = hashlib.sha256()
        for column in (self.texts, self.labels):
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

    inputs: list[str]
    """One a row, "" where there is none."""
    table: Mapping[str, Sequence[str | None]]
    """All columns of the file by name, as long as ``inputs``."""
    facts: Facts
    notes: tuple[str, ...] = ()
