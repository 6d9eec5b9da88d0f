"""What a text's label may be: one of the classes, or any of them.

The two differ in how labels become targets, in what the network's outputs mean, in its loss, and in
when a class is answered. All of that stands here, so that nothing else need ask which it is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Literal, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from elman.errors import ConfigError
from elman.tasks.classify.objective import (
    SMALLEST,
    Counts,
    Flags,
    Floats,
    Judged,
    Objective,
    parse,
    rarer,
    settled,
)
from elman.tasks.classify.thresholds import EVEN, choose, choose_offsets, highest

if TYPE_CHECKING:
    from torch import Tensor

    from elman.data.examples import Examples


class OneOf(msgspec.Struct, frozen=True, kw_only=True, tag="one"):
    """One label a text; of two classes one may be answered from another threshold than a half on.

    It stands in config.json.
    """

    several: ClassVar[bool] = False

    threshold: float | None = None
    """From which probability on the class ``positive`` is answered; None: the most probable is."""
    positive: int = 1
    """Which of two classes that is: the rarer one, or that of ``metric``."""
    offsets: list[float] = []
    """(C,) of more than two classes: what is added to the logarithms of the probabilities before
    the class with the most is answered; nothing where it is empty."""
    metric: str = ""
    """What the model was asked to be good at; nothing was said where it is empty."""

    def fits(self, classes: int) -> bool:
        """Whether this can be about so many classes."""
        even = self.threshold is None or (classes == 2 and 0 < self.threshold < 1)
        return even and self.positive in (0, 1) and len(self.offsets) in (0, classes)

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
        if self.offsets:
            logarithms = np.log(np.maximum(probabilities, SMALLEST))
            probabilities = logarithms + np.array(self.offsets, dtype=logarithms.dtype)
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
        if objective is not None and objective.label is not None and len(sizes) == 2:
            positive = objective.column
        metric = "" if objective is None else str(objective)
        return msgspec.structs.replace(self, positive=positive, metric=metric)

    def chosen(self, probabilities: Floats, truth: Flags, objective: Objective) -> OneOf:
        """Return this with the threshold that is best for ``objective`` on a validation part.

        Of more than two classes these are offsets.

        Args:
            probabilities: (rows, C).
            truth: (rows, C).
            objective: what is to be high; it judges answers.
        """
        if truth.shape[1] != 2:
            offsets = choose_offsets(probabilities, truth, objective)
            return msgspec.structs.replace(self, offsets=offsets)
        threshold = choose(*self._question(probabilities, truth, objective))
        return msgspec.structs.replace(self, threshold=threshold)

    def _question(
        self, probabilities: Floats, truth: Flags, objective: Objective
    ) -> tuple[Floats, Flags, Callable[[Counts], float] | None]:
        """Return what two classes ask of a threshold."""
        score = None
        if objective.label is None:
            order = [1 - self.positive, self.positive]

            def score(counts: Counts) -> float:
                return objective.of_counts(counts.ordered(order))

        return probabilities[:, self.positive], truth[:, self.positive], score

    def reached(self, probabilities: Floats, truth: Flags, objective: Objective) -> float:
        """Return the ``objective`` of these answers, of two classes with the best threshold."""
        if truth.shape[1] == 2 and self.threshold is not None and objective.decides:
            return highest(*self._question(probabilities, truth, objective))
        return objective.of(self.judge(probabilities, truth))

    def at(self, threshold: float | None, classes: Sequence[str]) -> OneOf:
        """Return this with a threshold that was given; with none as it is.

        Raises:
            ConfigError: there are more than two classes.
        """
        if threshold is None:
            return self
        if len(classes) != 2:
            raise ConfigError(
                f"a threshold is for two classes; here there are {len(classes)}, of which the "
                "most probable is answered: leave --threshold out"
            )
        return msgspec.structs.replace(self, threshold=threshold)

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return what the network's outputs (B, C) mean."""
        return logits.softmax(dim=1)

    def opinion(self, probabilities: Floats) -> Floats:
        """Return what is added up where several models are one: logarithms, (rows, C)."""
        return np.log(np.maximum(probabilities, 1e-12))

    def choices(self, opinions: Floats) -> Floats:
        """Return opinions as logits of choices of one of several, a row each: as they are."""
        return opinions

    def chosen_rows(self, truth: Flags) -> NDArray[np.intp]:
        """Return what is right in each row of ``choices``."""
        return truth.argmax(axis=1)

    def unchosen(self, probabilities: Floats, classes: int) -> Floats:
        """Return the probabilities of ``choices`` as those of the classes, (rows, C)."""
        return probabilities

    def disagreement(self, one: Tensor, other: Tensor) -> Tensor:
        """Return the mean symmetric divergence, in nats, of two answers (B, C) in logits."""
        one, other = one.log_softmax(dim=1), other.log_softmax(dim=1)
        return ((one.exp() - other.exp()) * (one - other)).sum(dim=1).mean() / 2

    def loss(
        self, logits: Tensor, truth: Tensor, *, weights: Tensor | None, smoothing: float
    ) -> Tensor:
        """Return the mean cross-entropy, in nats.

        Args:
            logits: (B, C).
            truth: (B, C) which class is true.
            weights: (C,) of the classes.
            smoothing: the share of each target that is spread over all classes.
        """
        from torch.nn import functional

        targets = truth.int().argmax(dim=1)
        return functional.cross_entropy(logits, targets, weights, label_smoothing=smoothing)

    def named(self, answered: Flags, classes: Sequence[str]) -> list[Any]:
        """Return the label of each row of ``answered``."""
        return [classes[i] for i in answered.argmax(axis=1)]


class AnyOf(msgspec.Struct, frozen=True, kw_only=True, tag="any"):
    """Any number of labels a text, also none: each is a question of its own.

    It stands in config.json.
    """

    several: ClassVar[bool] = True

    thresholds: list[float] = []
    """(C,) from which probability on each class is answered; a half where there are none."""
    metric: str = ""
    """What the model was asked to be good at; nothing was said where it is empty."""

    def fits(self, classes: int) -> bool:
        """Whether this can be about so many classes."""
        return len(self.thresholds) in (0, classes)

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

    def reached(self, probabilities: Floats, truth: Flags, objective: Objective) -> float:
        """Return the ``objective`` of these answers; F1 of labels with their best thresholds."""
        columns = zip(probabilities.T, truth.T, strict=True)
        if objective.name == "macro_f1":
            return float(np.mean([highest(*column) for column in columns]))
        if objective.name == "f1":
            return highest(probabilities[:, objective.column], truth[:, objective.column])
        return objective.of(self.judge(probabilities, truth))

    def at(self, threshold: float | None, classes: Sequence[str]) -> AnyOf:
        """Return this with one threshold for all labels; with none as it is."""
        if threshold is None:
            return self
        return msgspec.structs.replace(self, thresholds=[threshold] * len(classes))

    def probabilities(self, logits: Tensor) -> Tensor:
        """Return what the network's outputs (B, C) mean."""
        return logits.sigmoid()

    def opinion(self, probabilities: Floats) -> Floats:
        """Return what is added up where several models are one: log odds, (rows, C)."""
        clipped = np.clip(probabilities, 1e-12, 1 - 1e-7)
        return np.log(clipped) - np.log1p(-clipped)

    def choices(self, opinions: Floats) -> Floats:
        """Return opinions as logits of choices of no or yes, (rows * C, 2)."""
        flat = opinions.reshape(-1, 1)
        return np.concatenate([np.zeros_like(flat), flat], axis=1)

    def chosen_rows(self, truth: Flags) -> NDArray[np.intp]:
        """Return what is right in each row of ``choices``."""
        return truth.ravel().astype(np.intp)

    def unchosen(self, probabilities: Floats, classes: int) -> Floats:
        """Return the probabilities of ``choices`` as those of the classes, (rows, C)."""
        return probabilities[:, 1].reshape(-1, classes)

    def disagreement(self, one: Tensor, other: Tensor) -> Tensor:
        """Return the mean symmetric divergence, in nats, of two answers (B, C) in logits."""
        return ((one.sigmoid() - other.sigmoid()) * (one - other)).mean() / 2

    def loss(
        self, logits: Tensor, truth: Tensor, *, weights: Tensor | None, smoothing: float
    ) -> Tensor:
        """Return the mean binary cross-entropy, in nats; the arguments are those of ``OneOf``."""
        from torch.nn import functional

        targets = truth.float() * (1 - smoothing) + smoothing / 2
        return functional.binary_cross_entropy_with_logits(logits, targets, weights)

    def named(self, answered: Flags, classes: Sequence[str]) -> list[Any]:
        """Return the labels of each row of ``answered``, a list each."""
        return [[classes[i] for i in np.flatnonzero(row).tolist()] for row in answered]


Labels: TypeAlias = OneOf | AnyOf


def averaged(several: Sequence[Labels]) -> Labels:
    """Return how the mean of some models answers: by the means of their thresholds or offsets."""
    first = several[0]
    if isinstance(first, AnyOf):
        return msgspec.structs.replace(
            first, thresholds=_mean([one.thresholds for one in several if isinstance(one, AnyOf)])
        )
    alike = [one for one in several if isinstance(one, OneOf)]
    thresholds = [one.threshold for one in alike if one.threshold is not None]
    return msgspec.structs.replace(
        first,
        threshold=sum(thresholds) / len(thresholds) if thresholds else None,
        offsets=_mean([one.offsets for one in alike]),
    )


def _mean(rows: Sequence[list[float]]) -> list[float]:
    """Return the mean of lists; an empty one holds zeros."""
    width = max(map(len, rows))
    return [float(one) for one in np.mean([row or [0.0] * width for row in rows], axis=0)]


def about(train: Examples, metric: str | None) -> Labels:
    """Return what labels are in a training part, with what was asked for.

    Raises:
        ConfigError: there is no such metric or class.
    """
    kind: Labels = AnyOf() if train.several else OneOf()
    classes = kind.classes(train.labels)
    sizes = kind.truth(train.labels, classes).sum(axis=0)
    return kind.about(asked_for(metric, classes, sizes, several=kind.several), sizes)


def asked_for(
    metric: str | None, classes: Sequence[str], sizes: Sequence[int], *, several: bool
) -> Objective | None:
    """Return what a run is asked to be good at; None where nothing was said.

    Raises:
        ConfigError: there is no such metric or class.
    """
    return None if metric is None else settled(parse(metric), classes, sizes, several=several)


_EVEN = ("accuracy", "micro_f1")
"""For what the most probable class is the best answer."""


def decided(
    kind: Labels,
    threshold: float | Literal["auto"] | None,
    probabilities: Floats,
    truth: Flags,
    classes: Sequence[str],
) -> Labels:
    """Return how a model is to answer.

    Args:
        kind: with what was asked for.
        threshold: that is wished: a number, ``auto``, or None, which is auto where the metric
            judges answers by more than how many are right, or there are several labels a text.
        probabilities: (rows, C) of the model on the validation part.
        truth: (rows, C).
        classes: the C labels.
    """
    if isinstance(threshold, float | int):
        return kind.at(threshold, classes)
    sizes = truth.sum(axis=0)
    objective = asked_for(kind.metric or None, classes, sizes, several=kind.several)
    leans = objective is not None and objective.decides and objective.name not in _EVEN
    wished = threshold == "auto" or leans
    if not (kind.several or wished):
        return kind
    usual = Objective("macro_f1" if kind.several else "accuracy")
    return kind.chosen(
        probabilities, truth, objective if objective is not None and objective.decides else usual
    )


def refuse_threshold(threshold: float | str | None, kind: Labels, classes: Sequence[str]) -> None:
    """Refuse a threshold where there are more than two classes, of which a text has one.

    Raises:
        ConfigError: with how many there are.
    """
    if threshold is not None and not kind.several:
        kind.at(EVEN, classes)


def shares(truth: Flags) -> NDArray[np.float32]:
    """Return the share of each class among texts, (C,)."""
    result: NDArray[np.float32] = truth.mean(axis=0, dtype=np.float64).astype(np.float32)
    return result
