"""How good a classifier is, as plain data.

Precision, recall, F1 and the confusion matrix are scikit-learn's. The expected calibration error is
that of Guo et al. 2017, "On Calibration of Modern Neural Networks", equation 3, over 15 bins.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import msgspec
import numpy as np
from numpy.typing import NDArray

from elman.text.summary import Summary, Table
from elman.text.terminal import shortened
from elman.training.task import Evaluation, Metric

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CALIBRATION_BINS = 15
MISTAKES = 20
FEW = 8
"""Classes whose confusion matrix fits a screen as text."""

METRICS: Mapping[str, Metric] = {
    "accuracy": Metric("accuracy", headline=True),
    "macro_f1": Metric("macro-F1", headline=True),
    "weighted_f1": Metric("weighted-F1"),
    "micro_f1": Metric("micro-F1"),
    "calibration_error": Metric("calibration error", higher_is_better=False),
    "loss": Metric("valid loss", digits=3, higher_is_better=False),
}
"""How each number is called and shown."""


class ClassScore(msgspec.Struct, frozen=True):
    """One row of the report."""

    label: str
    precision: float
    recall: float
    f1: float
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


class Classification(Evaluation, frozen=True):
    """Scores of one classifier on one part of the data. All shares are 0 to 1."""

    accuracy: float
    macro_f1: float
    weighted_f1: float
    micro_f1: float
    calibration_error: float
    classes: list[ClassScore]
    confusion: list[list[int]]
    """Row: the true class, column: the predicted one, both in the order of ``classes``."""
    mistakes: list[Mistake]
    skipped: int = 0
    """Texts of length 0, which are not judged."""
    truncated: int = 0
    """Texts longer than the model reads, judged by their beginning."""

    def plot_confusion(self) -> Figure:
        """Draw the confusion matrix; returns a figure of matplotlib, which notebooks show."""
        from elman.tasks.classify.figures import confusion_matrix

        return confusion_matrix(self)

    def summary(self) -> Iterator[str | Table]:
        """Say the scores, those by class, and for a few classes what was taken for what."""
        yield from super().summary()
        yield Table(
            ["class", "precision", "recall", "f1", "support"],
            [
                [one.label, *(f"{n:.3f}" for n in (one.precision, one.recall, one.f1)), *counts]
                for one in self.classes
                for counts in [[f"{one.support:,}"]]
            ],
        )
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
    skipped: int = 0,
    truncated: int = 0,
) -> Classification:
    """Judge predicted ``probabilities`` (rows, C) against the true ``labels`` (rows).

    Labels that are not among ``classes`` count as mistakes and get a row of their own in the
    report. ``macro_f1`` is scikit-learn's: the mean over the classes that occur in ``labels`` or
    among the predictions.
    """
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    known = {label: i for i, label in enumerate(classes)}
    names = [*classes, *sorted(set(labels) - known.keys())]
    index = {label: i for i, label in enumerate(names)}
    truth = np.asarray([index[label] for label in labels])
    predicted = probabilities.argmax(axis=1)
    confidence = probabilities.max(axis=1)
    every = np.arange(len(names))
    with warnings.catch_warnings():
        # Many classes with few texts are the user's data, not a mistake of his code.
        warnings.filterwarnings("ignore", message="The number of unique classes")
        precision, recall, f1, support = precision_recall_fscore_support(
            truth, predicted, labels=every, zero_division=0.0
        )
        confusion = confusion_matrix(truth, predicted, labels=every).tolist()
    right = predicted == truth
    present = (support > 0) | np.isin(every, predicted)
    accuracy = float(right.mean())
    return Classification(
        count=len(truth),
        accuracy=accuracy,
        macro_f1=float(f1[present].mean()),
        weighted_f1=float((f1 * support).sum() / support.sum()),
        micro_f1=accuracy,  # one label a text: every false positive is a false negative elsewhere
        calibration_error=calibration_error(confidence, right),
        classes=[
            ClassScore(name, float(p), float(r), float(f), int(n))
            for name, p, r, f, n in zip(names, precision, recall, f1, support, strict=True)
        ],
        confusion=confusion,
        mistakes=[
            Mistake(texts[i], labels[i], names[predicted[i]], float(confidence[i]))
            for i in np.argsort(-confidence, kind="stable")
            if texts and not right[i]
        ][:MISTAKES],
        skipped=skipped,
        truncated=truncated,
    )


def calibration_error(confidence: NDArray[np.float32], right: NDArray[np.bool_]) -> float:
    """Return the mean distance between confidence and accuracy, 0 for a perfectly honest model."""
    bins = np.minimum((confidence * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    gaps = np.bincount(bins, weights=confidence - right, minlength=CALIBRATION_BINS)
    return float(np.abs(gaps).sum() / max(len(confidence), 1))


def true_class_score(
    probability: NDArray[np.float32], truth: NDArray[np.int64], num_classes: int
) -> float:
    """Return the validation score: how probable the true classes are, 0 to 1.

    The mean of two means of ``probability`` (rows), that given to the true class: over all
    texts (accuracy's smooth sister) and over the classes (recall's). Accuracy and macro-F1
    themselves jump with a few texts of a small class and would pick an epoch by luck.
    """
    sums = np.bincount(truth, weights=probability, minlength=num_classes)
    sizes = np.bincount(truth, minlength=num_classes)
    present = sizes > 0
    return float((probability.mean() + (sums[present] / sizes[present]).mean()) / 2)


def quick_scores(
    predicted: NDArray[np.int64], truth: NDArray[np.int64], num_classes: int
) -> tuple[float, float]:
    """Return accuracy and macro-F1 as ``evaluate`` does, cheaply, for use after every epoch."""
    hits = np.bincount(truth[predicted == truth], minlength=num_classes)
    answered = np.bincount(predicted, minlength=num_classes)
    present = np.bincount(truth, minlength=num_classes)
    seen = (answered + present) > 0
    f1 = 2 * hits[seen] / (answered + present)[seen]
    return float(hits.sum() / max(len(truth), 1)), float(f1.mean())
