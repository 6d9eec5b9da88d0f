"""What a text's label may be: one of the classes, or any of them.

The two differ in how labels become targets, in what the network's outputs mean, in its loss, and in
when a class is answered. All of that stands here, so that nothing else need ask which it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from elman.tasks.classify.objective import Flags, Floats, Judged, Objective, rarer
from elman.tasks.classify.thresholds import EVEN, choose

if TYPE_CHECKING:
    from torch import Tensor


class OneOf(msgspec.Struct, frozen=True, kw_only=True, tag="one"):
    """One label a text; of two classes one may be answered from another threshold than a half on.

    It stands in config.json.
    """

    several: ClassVar[bool] = False

    threshold: float | None = None
    """From which probability on the class ``positive`` is answered; None: the most probable is."""
    positive: int = 1
    """Which of two classes that is: the rarer one, or that of ``metric``."""
    metric: str = ""
    """What the model was asked to be good at; nothing was said where it is empty."""

    def classes(self, labels: Sequence[Any]) -> list[str]:
        """Return the different labels, sorted."""
        return sorted(set(labels))

    def truth(self, labels: Sequence[Any], classes: Sequence[str]) -> Flags:
        """Return which class is true of each text, (rows, C)."""
        index = {label: i for i, label in enumerate(classes)}
        truth = np.zeros((len(labels), len(classes)), dtype=bool)
        places = np.array([index.get(label, -1) for label in labels], dtype=np.int64)
        known = np.flatnonzero(places >= 0)
        truth[known, places[known]] = True
        return truth

    def decide(self, probabilities: Floats) -> Flags:
        """Return which class is answered for each text, (rows, C)."""
        best = probabilities.argmax(axis=1)
        if self.threshold is not None:
            reached = probabilities[:, self.positive] >= self.threshold
            best = np.where(reached, self.positive, 1 - self.positive)
        answered = np.zeros(probabilities.shape, dtype=bool)
        answered[np.arange(len(best)), best] = True
        return answered

    def judge(self, probabilities: Floats, truth: Flags) -> Judged:
        """Put the answers beside the truth."""
        return Judged(probabilities, self.decide(probabilities), truth)

    def about(self, objective: Objective | None, sizes: Sequence[int]) -> OneOf:
        """Return this with what was asked for; ``sizes`` are those of the classes, (C,)."""
        positive = rarer(sizes) if len(sizes) == 2 else self.positive
        if objective is not None and objective.label is not None:
            positive = objective.column
        metric = "" if objective is None else str(objective)
        return msgspec.structs.replace(self, positive=positive, metric=metric)

    def chosen(self, probabilities: Floats, truth: Flags, objective: Objective) -> OneOf:
        """Return this with the threshold that is best for ``objective`` on a validation part.

        Args:
            probabilities: (rows, 2).
            truth: (rows, 2).
            objective: what is to be high; it judges answers.
        """
        if objective.label is not None:
            # Answering the other class is the same choice, seen from there.
            threshold = choose(probabilities[:, self.positive], truth[:, self.positive])
            return msgspec.structs.replace(self, threshold=threshold)
        order = [1 - self.positive, self.positive]
        threshold = choose(
            probabilities[:, self.positive],
            truth[:, self.positive],
            lambda counts: objective.of_counts(counts.ordered(order)),
        )
        return msgspec.structs.replace(self, threshold=threshold)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return what the network's outputs (B, C) mean."""
        return logits.softmax(dim=1)


class AnyOf(msgspec.Struct, frozen=True, kw_only=True, tag="any"):
    """Any number of labels a text, also none: each is a question of its own.

    It stands in config.json.
    """

    several: ClassVar[bool] = True

    thresholds: list[float] = []
    """(C,) from which probability on each class is answered; a half where there are none."""
    metric: str = ""
    """What the model was asked to be good at; nothing was said where it is empty."""

    def classes(self, labels: Sequence[Any]) -> list[str]:
        """Return the different labels, sorted."""
        return sorted({label for row in labels for label in row})

    def truth(self, labels: Sequence[Any], classes: Sequence[str]) -> Flags:
        """Return which classes are true of each text, (rows, C)."""
        index = {label: i for i, label in enumerate(classes)}
        pairs = [
            (i, index[label]) for i, row in enumerate(labels) for label in row if label in index
        ]
        truth = np.zeros((len(labels), len(classes)), dtype=bool)
        if pairs:
            truth[tuple(np.array(pairs).T)] = True
        return truth

    def decide(self, probabilities: Floats) -> Flags:
        """Return which classes are answered for each text, (rows, C)."""
        answered: Flags = probabilities >= (np.array(self.thresholds or [EVEN], dtype=np.float32))
        return answered

    def judge(self, probabilities: Floats, truth: Flags) -> Judged:
        """Put the answers beside the truth."""
        return Judged(probabilities, self.decide(probabilities), truth, several=True)

    def about(self, objective: Objective | None, sizes: Sequence[int]) -> AnyOf:
        """Return this with what was asked for."""
        metric = "" if objective is None else str(objective)
        return msgspec.structs.replace(self, metric=metric)

    def chosen(self, probabilities: Floats, truth: Flags, objective: Objective) -> AnyOf:
        """Return this with each label's threshold: that which is best for its F1."""
        thresholds = [
            choose(probability, positive)
            for probability, positive in zip(probabilities.T, truth.T, strict=True)
        ]
        return msgspec.structs.replace(self, thresholds=thresholds)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return what the network's outputs (B, C) mean."""
        return logits.sigmoid()


Labels: TypeAlias = OneOf | AnyOf


def shares(truth: Flags) -> NDArray[np.float32]:
    """Return the share of each class among texts, (C,)."""
    result: NDArray[np.float32] = truth.mean(axis=0, dtype=np.float64).astype(np.float32)
    return result
