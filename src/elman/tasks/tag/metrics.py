"""How good tags are: a word at a time, and span by span."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from elman.tasks.tag.spans import Counts, SpanCounts, count_spans, is_judged
from elman.text.summary import Table
from elman.text.tag_schemes import Scheme, spans
from elman.text.terminal import counted
from elman.training.calibration import Calibration, calibration
from elman.training.report import Evaluation, Metric
from elman.training.task import Scores

METRICS: Mapping[str, Metric] = {
    "f1": Metric("span F1", headline=True),
    "accuracy": Metric("accuracy", headline=True),
    "precision": Metric("precision"),
    "recall": Metric("recall"),
    "known_accuracy": Metric("accuracy of known words"),
    "unknown_accuracy": Metric("accuracy of unknown words"),
    "calibration_error": Metric("calibration error", higher_is_better=False),
}

CONFUSIONS = 20
MISTAKES = 10
_WINDOW = 6
"""Words on either side of a mistake that are shown."""


class Kind(msgspec.Struct, frozen=True):
    """How well one kind of span, or one tag, is found."""

    precision: float
    recall: float
    f1: float
    support: int
    """Of them in the data."""
    answered: int
    """How many the model answers."""


class Confusion(msgspec.Struct, frozen=True):
    """One tag taken for another."""

    true: str
    predicted: str
    count: int


class Mistake(msgspec.Struct, frozen=True):
    """A word that is often tagged wrongly, with a sentence."""

    word: str
    true: str
    predicted: str
    count: int
    """How often this happened to it."""
    before: str
    """The words before it in one of the sentences."""
    after: str


class Tagging(Evaluation, frozen=True):
    """Scores of a tagger on some sentences.

    Attributes:
        tokens: words that were judged: those with a tag.
        accuracy: the share of them with the right tag.
        calibration_error: expected calibration error of the spans' probabilities, or where there
            are no spans of the words'.
        precision: strict: the share of answered spans that are right in type and both ends.
        recall: strict: the share of true spans that were found.
        f1: the harmonic mean of both, over all types together.
        known_accuracy: of words that the model has a vector of.
        unknown_accuracy: of the others.
        unknown: how many these are.
        kinds: by type of span, or by tag.
        confusions: which tags are taken for which, the most frequent first.
        mistakes: words that are tagged wrongly most often, with a sentence each.
        calibration: how honest the probabilities are.
        uncalibrated: how honest they were before the temperature of the validation part.
        skipped: sentences without a tag.
    """

    tokens: int
    accuracy: float
    calibration_error: float
    precision: float | None = None
    recall: float | None = None
    f1: float | None = None
    known_accuracy: float | None = None
    unknown_accuracy: float | None = None
    unknown: int = 0
    kinds: dict[str, Kind] = {}  # noqa: RUF012 - msgspec copies it
    confusions: list[Confusion] = []  # noqa: RUF012
    mistakes: list[Mistake] = []  # noqa: RUF012
    calibration: Calibration | None = None
    uncalibrated: Calibration | None = None
    skipped: int = 0

    @property
    def metrics(self) -> dict[str, float]:
        """All that can be compared, by name: first the F1 of spans, or accuracy without these."""
        names = ("f1", "accuracy", *METRICS)
        values = {name: getattr(self, name) for name in names}
        return {name: float(value) for name, value in values.items() if value is not None}

    @property
    def main(self) -> list[str]:
        """The names of the metrics for which a table has room."""
        shown = ("f1", "precision", "recall", "accuracy", "calibration_error")
        return [name for name in shown if name in self.metrics]

    def summary(self) -> Iterable[str | Table]:
        """Say how many sentences were judged, and how well; then kind by kind."""
        scores = ", ".join(f"{METRICS[n].title} {self.metrics[n]:.4f}" for n in self.main)
        yield f"{counted(self.count, 'sentence')}, {counted(self.tokens, 'word')}: {scores}"
        rows = [
            [name, *(f"{v:.4f}" for v in (k.precision, k.recall, k.f1)), f"{k.support:,}"]
            for name, k in self.kinds.items()
        ]
        yield Table(["", "precision", "recall", "F1", "support"], rows)


class Answers(msgspec.Struct, frozen=True):
    """What a model says of some sentences, a list a sentence."""

    tags: Sequence[Sequence[str]]
    spans: Sequence[Sequence[tuple[int, int, str]]]
    """(start, end, type) of what is answered; empty where there are no spans."""
    confidence: Sequence[float]
    """Of each span, or where there are none of each word, one after the other."""


def judge(
    sentences: Sequence[Sequence[str]],
    truth: Sequence[Sequence[str | None]],
    answers: Answers,
    scheme: Scheme | None,
    *,
    known: Any = None,
    uncalibrated: Sequence[float] | None = None,
    skipped: int = 0,
) -> Tagging:
    """Compare answers with the truth.

    Args:
        sentences: their words.
        truth: the true tags; a word of None is not judged, nor is an answered span that has one.
        answers: of the same sentences.
        scheme: how spans are written; None where there are none.
        known: a function from a word to whether the training part had it.
        uncalibrated: the confidences before the temperature, in place of those of ``answers``.
        skipped: how many sentences were left out.
    """
    pairs = [
        (word, true, said)
        for words, tags, answered in zip(sentences, truth, answers.tags, strict=True)
        for word, true, said in zip(words, tags, answered, strict=True)
        if true is not None
    ]
    right = np.array([true == said for _, true, said in pairs], dtype=bool)
    fields: dict[str, Any] = {}
    if known is not None:
        seen = np.array([known(word) for word, _, _ in pairs], dtype=bool)
        for name, which in (("known_accuracy", seen), ("unknown_accuracy", ~seen)):
            fields[name] = float(right[which].mean()) if which.any() else None
        fields["unknown"] = int((~seen).sum())
    if scheme is None:
        # None of the confidences is of a word that is not judged.
        judged = np.array([true is not None for tags in truth for true in tags], dtype=bool)
        correct = right
        fields["kinds"] = _kinds_of_tags(pairs)
    else:
        true_spans = [set(spans(_filled(tags), scheme)) for tags in truth]
        unknown = [{i for i, tag in enumerate(tags) if tag is None} for tags in truth]
        judged = np.array(
            [is_judged(one, gaps) for gaps, answered in zip(unknown, answers.spans, strict=True)
             for one in answered],
            dtype=bool,
        )  # fmt: skip
        counts = count_spans(
            true_spans,
            [{one for one in answered if is_judged(one, gaps)}
             for gaps, answered in zip(unknown, answers.spans, strict=True)],
        )  # fmt: skip
        total = counts.total
        fields |= {"precision": total.precision, "recall": total.recall, "f1": total.f1}
        fields["kinds"] = {name: _kind(one) for name, one in counts.types.items()}
        correct = np.array(
            [one in there for there, answered in zip(true_spans, answers.spans, strict=True)
             for one in answered],
            dtype=bool,
        )[judged]  # fmt: skip
    honest = [
        None
        if chances is None
        else _honesty(np.asarray(chances, dtype=np.float32)[judged], correct)
        for chances in (answers.confidence, uncalibrated)
    ]
    assert honest[0] is not None
    return Tagging(
        count=len(sentences),
        tokens=len(pairs),
        accuracy=float(right.mean()) if len(right) else 0.0,
        calibration_error=honest[0].error,
        calibration=honest[0],
        uncalibrated=honest[1],
        confusions=_confusions(pairs),
        mistakes=_mistakes(sentences, truth, answers.tags),
        skipped=skipped,
        **fields,
    )


def _honesty(confidence: NDArray[np.float32], right: NDArray[np.bool_]) -> Calibration:
    chance = np.where(right, confidence, 1 - confidence)
    return calibration(confidence, right, -np.log(np.maximum(chance, 1e-12)))


def _filled(tags: Sequence[str | None]) -> list[str]:
    return ["O" if tag is None else tag for tag in tags]


def _kind(counts: Counts) -> Kind:
    return Kind(counts.precision, counts.recall, counts.f1, counts.true, counts.answered)


def _kinds_of_tags(pairs: Sequence[tuple[str, str, str]]) -> dict[str, Kind]:
    true, said = Counter(t for _, t, _ in pairs), Counter(s for _, _, s in pairs)
    both = Counter(t for _, t, s in pairs if t == s)
    return {
        tag: _kind(Counts(true=true[tag], answered=said[tag], right=both[tag]))
        for tag in sorted({*true, *said}, key=lambda tag: (-true[tag], tag))
    }


def _confusions(pairs: Sequence[tuple[str, str, str]]) -> list[Confusion]:
    wrong = Counter((true, said) for _, true, said in pairs if true != said)
    return [Confusion(*both, count) for both, count in wrong.most_common(CONFUSIONS)]


def _mistakes(
    sentences: Sequence[Sequence[str]],
    truth: Sequence[Sequence[str | None]],
    tags: Sequence[Sequence[str]],
) -> list[Mistake]:
    wrong: Counter[tuple[str, str, str]] = Counter()
    first: dict[tuple[str, str, str], tuple[int, int]] = {}
    for i, (words, true, said) in enumerate(zip(sentences, truth, tags, strict=True)):
        for k, (word, wanted, answered) in enumerate(zip(words, true, said, strict=True)):
            if wanted is not None and wanted != answered:
                wrong[word, wanted, answered] += 1
                first.setdefault((word, wanted, answered), (i, k))
    rows = []
    for key, count in wrong.most_common(MISTAKES):
        i, k = first[key]
        before, after = sentences[i][max(0, k - _WINDOW) : k], sentences[i][k + 1 :]
        rows.append(Mistake(*key, count, " ".join(before), " ".join(after[:_WINDOW])))
    return rows


def quick(right: NDArray[np.bool_], total: SpanCounts | None) -> Scores:
    """Return what early stopping looks at: the F1 of spans, or the share of right tags.

    Args:
        right: (N,) whether each word that has a tag got it.
        total: the spans, where there are some.
    """
    accuracy = float(right.mean()) if len(right) else 0.0
    if total is None:
        error = (accuracy * (1 - accuracy) / max(len(right), 1)) ** 0.5
        return Scores(accuracy, error, {"accuracy": accuracy})
    f1, count = total.total.f1, max(total.total.true, 1)
    error = (f1 * (1 - f1) / count) ** 0.5
    return Scores(f1, error, {"f1": f1, "accuracy": accuracy})
