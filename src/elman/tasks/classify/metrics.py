"""How good a classifier is, as plain data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from elman.tasks.classify.curves import Curve, precision_recall
from elman.tasks.classify.labels import AnyOf, Labels, OneOf
from elman.tasks.classify.objective import MEASURES, OF_CLASS, Floats, Judged, are_ratings
from elman.tasks.classify.thresholds import EVEN
from elman.text.summary import Summary, Table
from elman.text.terminal import shortened
from elman.training.calibration import Calibration, calibration
from elman.training.report import Evaluation, Metric

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MISTAKES = 20
FEW = 8
"""Classes whose confusion matrix fits a screen as text, and whose curves a picture."""

_MAIN = ("accuracy", "subset_accuracy", "macro_f1", "log_loss", "calibration_error")
_HEADLINE = ("accuracy", "macro_f1", "subset_accuracy")
METRICS: Mapping[str, Metric] = {
    **{
        name: Metric(one.title, higher_is_better=one.higher_is_better, headline=name in _HEADLINE)
        for name, one in MEASURES.items()
    },
    **{name: Metric(title) for name, title in OF_CLASS.items()},
    "ranking_average_precision": Metric("ranking average precision"),
    "calibration_error": Metric("calibration error", higher_is_better=False),
    "mean_absolute_error": Metric("mean absolute error", higher_is_better=False),
    "quadratic_kappa": Metric("quadratic weighted kappa"),
    "loss": Metric("valid loss", digits=3, higher_is_better=False),
}
"""How each number is called and shown."""


class ClassScore(msgspec.Struct, frozen=True):
    """One row of the report."""

    label: str
    precision: float
    recall: float
    f1: float
    average_precision: float
    """0 for a class of which there is no example."""
    support: int
    """Examples of this class in the judged part."""


class Mistake(Summary, msgspec.Struct, frozen=True):
    """A text whose label the model was confident, and wrong, about."""

    text: str
    label: str
    predicted: str
    confidence: float

    def summary(self) -> Iterator[str | Table]:
        """Say what was taken for what."""
        yield (
            f"{self.confidence:.0%} {shortened(self.predicted, 24)}, not "
            f"{shortened(self.label, 24)}: {self.text}"
        )


class Judgement(Evaluation, frozen=True, kw_only=True):
    """What is told of every classifier. All shares are 0 to 1."""

    macro_f1: float
    weighted_f1: float
    micro_f1: float
    macro_average_precision: float
    log_loss: float
    """Mean negative logarithm of what the truth was given, in nats."""
    calibration_error: float
    classes: list[ClassScore]
    metric: str = ""
    """What the model was asked to be good at; empty where nothing was said."""
    calibration: Calibration | None = None
    """How honest the probabilities are."""
    uncalibrated: Calibration | None = None
    """The same before they were calibrated on the validation part."""
    curves: list[Curve]
    """Precision and recall at falling thresholds: of two classes of the one that the threshold is
    about, of a few of each against all others."""
    skipped: int = 0
    """Texts of length 0, which are not judged."""
    truncated: int = 0
    """Texts longer than the model reads, judged by their beginning."""

    @property
    def metrics(self) -> dict[str, float]:
        """Every score over all classes by name; first what was asked for."""
        scores = super().metrics
        if not self.metric:
            return scores
        return {self.metric: self.value(self.metric), **scores}

    @property
    def main(self) -> list[str]:
        """The names of the metrics for which a table has room."""
        first, *others = self.metrics
        return [first, *(name for name in _MAIN if name in others)]

    def value(self, name: str) -> float:
        """Return a score by its name: one of ``metrics``, or such as ``f1:spam``."""
        kind, colon, label = name.partition(":")
        if not colon:
            return float(getattr(self, name))
        row = next((one for one in self.classes if one.label == label), None)
        return 0.0 if row is None else float(getattr(row, kind))

    def plot_precision_recall(self) -> Figure:
        """Draw precision over recall; returns a figure of matplotlib, which notebooks show."""
        from elman.tasks.classify.figures import precision_recall

        return precision_recall(self)

    def plot_reliability(self) -> Figure:
        """Draw how honest the probabilities are; returns a figure of matplotlib."""
        from elman.tasks.classify.figures import reliability

        return reliability(self)

    def summary(self) -> Iterator[str | Table]:
        """Say the scores, and those by class."""
        yield from super().summary()
        yield Table(
            ["class", "precision", "recall", "f1", "average precision", "support"],
            [
                [
                    one.label,
                    *(
                        f"{n:.3f}"
                        for n in (one.precision, one.recall, one.f1, one.average_precision)
                    ),
                    f"{one.support:,}",
                ]
                for one in self.classes
            ],
        )


class Classification(Judgement, frozen=True, kw_only=True):
    """Scores of one classifier of one label a text on one part of the data."""

    accuracy: float
    balanced_accuracy: float
    mcc: float
    """Matthews' correlation: 0 for guesses, 1 for no mistake."""
    confusion: list[list[int]]
    """Row: the true class, column: the predicted one, both in the order of ``classes``."""
    mistakes: list[Mistake]
    threshold: float | None = None
    """From which probability on the class ``positive`` was answered; None: the most probable."""
    positive: str | None = None
    """Of two classes the one that a threshold and the precision-recall table are about."""
    mean_absolute_error: float | None = None
    """How far answers are from the truth in the mean, where the classes may be ratings: whole
    numbers that follow each other."""
    quadratic_kappa: float | None = None
    """Agreement beyond chance, weighted by the square of the distance (Cohen 1968), of ratings."""

    @property
    def metrics(self) -> dict[str, float]:
        """Every score over all classes by name; first what was asked for, else the accuracy."""
        scores = super().metrics
        for name in ("mean_absolute_error", "quadratic_kappa"):
            value = getattr(self, name)
            if value is not None:
                scores[name] = value
        first = self.metric or "accuracy"
        return {name: scores[name] for name in (first, "accuracy", *scores)}

    def plot_confusion(self) -> Figure:
        """Draw the confusion matrix; returns a figure of matplotlib, which notebooks show."""
        from elman.tasks.classify.figures import confusion_matrix

        return confusion_matrix(self)

    def summary(self) -> Iterator[str | Table]:
        """Say the scores, those by class, and for a few classes what was taken for what."""
        yield from super().summary()
        if len(self.classes) > FEW:
            yield ".plot_confusion() draws what was taken for what"
            return
        yield "Confusion (row: true, column: predicted)"
        names = [one.label for one in self.classes]
        yield Table(
            ["", *(shortened(name, 8) for name in names)],
            [[name, *map(str, row)] for name, row in zip(names, self.confusion, strict=True)],
            [[n / max(sum(row), 1) for n in row] for row in self.confusion],
        )


def evaluate(
    probabilities: NDArray[np.float32],
    labels: Sequence[str],
    classes: Sequence[str],
    texts: Sequence[str] = (),
    *,
    kind: OneOf | None = None,
    uncalibrated: NDArray[np.float32] | None = None,
    skipped: int = 0,
    truncated: int = 0,
) -> Classification:
    """Judge ``probabilities`` (rows, C) against the true ``labels`` (rows).

    Labels that are not among ``classes`` count as mistakes and get a row of their own in the
    report. ``macro_f1`` is scikit-learn's: the mean over the classes that occur in ``labels`` or
    among the predictions.

    Args:
        probabilities: of a model.
        labels: the truth.
        classes: the C labels that the model knows.
        texts: to tell the mistakes by.
        kind: how the model answers; None: the most probable class.
        uncalibrated: its probabilities before they were calibrated.
        skipped: texts of length 0, which are not judged.
        truncated: texts that were judged by their beginning.
    """
    kind = kind or OneOf()
    names = [*classes, *sorted(set(labels) - {*classes})]
    truth = kind.truth(labels, names)
    answered = _widened(kind.decide(probabilities), len(names))
    judged = Judged(_widened(probabilities, len(names)), answered, truth)
    predicted = answered.argmax(axis=1)
    right = (answered & truth).any(axis=1)
    confidence = probabilities[np.arange(len(predicted)), predicted]
    confusion = _confusion(truth.argmax(axis=1), predicted, len(names))
    positive = classes[kind.positive] if len(classes) == 2 else None
    return Classification(
        **_common(judged, names, kind.metric, positive),
        accuracy=MEASURES["accuracy"].of(judged),
        balanced_accuracy=MEASURES["balanced_accuracy"].of(judged),
        mcc=MEASURES["mcc"].of(judged),
        confusion=confusion.tolist(),
        mistakes=[
            Mistake(texts[i], labels[i], names[predicted[i]], float(confidence[i]))
            for i in np.argsort(-confidence, kind="stable")
            if texts and not right[i]
        ][:MISTAKES],
        threshold=kind.threshold,
        positive=positive,
        **of_ratings(names, confusion),
        **_both_calibrations(judged, uncalibrated),
        skipped=skipped,
        truncated=truncated,
    )


class LabelMistake(Summary, msgspec.Struct, frozen=True):
    """A text about one of whose labels the model was sure, and wrong."""

    text: str
    labels: list[str]
    predicted: list[str]
    label: str
    """The one that the model was surest of."""
    probability: float
    """What it gave this label."""

    def summary(self) -> Iterator[str | Table]:
        """Say what was missed or added."""
        fault = "missing" if self.label in self.labels else "too much"
        yield f"{self.probability:.0%} {shortened(self.label, 24)}, {fault}: {self.text}"


class Labelling(Judgement, frozen=True, kw_only=True):
    """Scores of one classifier of several labels a text on one part of the data."""

    subset_accuracy: float
    """The share of texts whose labels are all right, and none too much."""
    hamming_loss: float
    """The share of wrong answers among all of whether a text has a label."""
    ranking_average_precision: float
    """The mean over the true labels of how many of the labels ranked as high are true."""
    mistakes: list[LabelMistake]
    thresholds: list[float]
    """From which probability on each label was answered, in the order of ``classes``."""
    unlabelled: int = 0
    """Texts without a label."""

    @property
    def metrics(self) -> dict[str, float]:
        """Every score over all classes by name; first what was asked for, else the macro-F1."""
        scores = super().metrics
        first = self.metric or "macro_f1"
        return {first: scores[first], **scores}


def evaluate_several(
    probabilities: NDArray[np.float32],
    labels: Sequence[Sequence[str]],
    classes: Sequence[str],
    texts: Sequence[str] = (),
    *,
    kind: AnyOf | None = None,
    uncalibrated: NDArray[np.float32] | None = None,
    skipped: int = 0,
    truncated: int = 0,
) -> Labelling:
    """Judge ``probabilities`` (rows, C) against the true ``labels`` (rows), each several or none.

    Labels that are not among ``classes`` count as missing and get a row of their own in the
    report; the arguments are those of ``evaluate``.
    """
    kind = kind or AnyOf()
    names = [*classes, *sorted({label for row in labels for label in row} - {*classes})]
    truth = kind.truth(labels, names)
    answered = _widened(kind.decide(probabilities), len(names))
    judged = Judged(_widened(probabilities, len(names)), answered, truth, several=True)
    thresholds = kind.thresholds or [EVEN] * len(classes)
    return Labelling(
        **_common(judged, names, kind.metric, None),
        subset_accuracy=MEASURES["subset_accuracy"].of(judged),
        hamming_loss=MEASURES["hamming_loss"].of(judged),
        ranking_average_precision=_ranking(judged),
        mistakes=_label_mistakes(judged, names, labels, texts),
        thresholds=thresholds,
        unlabelled=int((~truth.any(axis=1)).sum()),
        **_both_calibrations(judged, uncalibrated),
        skipped=skipped,
        truncated=truncated,
    )


def judge(
    kind: Labels,
    probabilities: NDArray[np.float32],
    labels: Sequence[Any],
    classes: Sequence[str],
    texts: Sequence[str] = (),
    **more: Any,
) -> Classification | Labelling:
    """Judge with ``evaluate``, or where a text may have several labels ``evaluate_several``."""
    if isinstance(kind, AnyOf):
        return evaluate_several(probabilities, labels, classes, texts, kind=kind, **more)
    return evaluate(probabilities, labels, classes, texts, kind=kind, **more)


def _ranking(judged: Judged) -> float:
    from sklearn.metrics import label_ranking_average_precision_score

    return float(label_ranking_average_precision_score(judged.truth, judged.probabilities))


def _label_mistakes(
    judged: Judged, names: Sequence[str], labels: Sequence[Sequence[str]], texts: Sequence[str]
) -> list[LabelMistake]:
    wrong = judged.predicted != judged.truth
    given = np.where(judged.truth, judged.probabilities, 1 - judged.probabilities)
    given[~wrong] = 1
    surest = given.argmin(axis=1)
    order = np.argsort(given.min(axis=1), kind="stable")
    rows = [int(i) for i in order if wrong[i].any()][:MISTAKES] if texts else []
    return [
        LabelMistake(
            texts[i],
            [*labels[int(i)]],
            [names[j] for j in np.flatnonzero(judged.predicted[i]).tolist()],
            names[int(surest[i])],
            float(judged.probabilities[i, surest[i]]),
        )
        for i in rows
    ]


def _common(
    judged: Judged, names: Sequence[str], metric: str, positive: str | None
) -> dict[str, Any]:
    """Return what is told of every classifier, but for its calibration."""
    counts = judged.counts
    about = list(names) if positive is None else [positive]
    columns = [names.index(name) for name in about] if len(about) <= FEW else []
    rows = zip(names, counts.precision, counts.recall, counts.f1, counts.support, strict=True)
    shared = ("macro_f1", "weighted_f1", "micro_f1", "macro_average_precision", "log_loss")
    return {
        "count": len(judged.truth),
        **{name: MEASURES[name].of(judged) for name in shared},
        "classes": [
            ClassScore(name, float(p), float(r), float(f), judged.average_precision(column), int(n))
            for column, (name, p, r, f, n) in enumerate(rows)
        ],
        "metric": metric,
        "curves": [
            curve
            for i in columns
            if (curve := precision_recall(names[i], judged.probabilities[:, i], judged.truth[:, i]))
        ],
    }


def _both_calibrations(judged: Judged, uncalibrated: Floats | None) -> dict[str, Any]:
    after, before = _calibration(judged), None
    if uncalibrated is not None:
        wide = _widened(uncalibrated, judged.truth.shape[1])
        before = _calibration(replace(judged, probabilities=wide))
    return {"calibration_error": after.error, "calibration": after, "uncalibrated": before}


def _calibration(judged: Judged) -> Calibration:
    """Judge how honest the most probable class is, or the probability of each label."""
    if judged.several:
        return calibration(judged.probabilities.ravel(), judged.truth.ravel(), judged.losses)
    best = judged.probabilities.argmax(axis=1)
    every = np.arange(len(best))
    return calibration(judged.probabilities[every, best], judged.truth[every, best], judged.losses)


def _widened(matrix: Any, columns: int) -> Any:
    """Return a matrix with columns of zeros for labels that the model does not know."""
    missing = columns - matrix.shape[1]
    return np.pad(matrix, ((0, 0), (0, missing))) if missing else matrix


def _confusion(truth: NDArray[np.intp], predicted: NDArray[np.intp], classes: int) -> Any:
    pairs = np.bincount(truth * classes + predicted, minlength=classes * classes)
    return pairs.reshape(classes, classes)


def of_ratings(names: Sequence[str], confusion: Any) -> dict[str, Any]:
    """Return how far answers are from the truth where classes may be ratings."""
    if not are_ratings(names):
        return {}
    values = np.array([int(name) for name in names])
    apart = np.abs(values[:, None] - values)
    total = confusion.sum()
    by_chance = np.outer(confusion.sum(axis=1), confusion.sum(axis=0)) / total
    worst = (apart**2 * by_chance).sum()
    return {
        "mean_absolute_error": float((apart * confusion).sum() / total),
        "quadratic_kappa": float(1 - (apart**2 * confusion).sum() / worst) if worst else 1.0,
    }
