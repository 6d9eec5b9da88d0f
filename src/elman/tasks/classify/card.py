"""The model card: a bundle's README.md."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from elman.tasks.classify import pages
from elman.tasks.classify.learner import ClassifierLearner, NGramLearner
from elman.tasks.classify.metrics import METRICS, Classification, Judgement
from elman.tasks.classify.thresholds import EVEN
from elman.text.tokenizer import NAMES
from elman.training.markdown import cell, table
from elman.training.report import Report, headline

_CARD = """\
# {name}

{what} with {parameters:,} parameters that reads {level} and answers with {answers}.
Trained on {train:,} texts of `{data}`.
{warnings}
## Use

```
elman predict {name} "some text"
```

```python
import elman

model = elman.load("{name}")
model.predict(["some text"])
```

## Scores on {test:,} texts not used in training

{scores}

{verdict}Pictures: {pictures}. `metrics.json` has all figures, and the texts of the most confident
mistakes: take those out before the model goes to someone who must not read them.

{classes}
{thresholds}
## Calibration

{calibration}

## Limits

The scores hold for texts like those of `{data}`. {limit}
Texts longer than {max_length} {level} are truncated.
"""


def model_card(name: str, learner: ClassifierLearner | NGramLearner, report: Report[Any]) -> str:
    """Return the card in Markdown: what the model is, how good, how to use, where it ends."""
    scores = report.test
    assert isinstance(scores, Judgement)
    return _CARD.format(
        name=name,
        what=_what(learner),
        parameters=report.parameters,
        level=NAMES[learner.prepared.tokenizer.level],
        max_length=learner.prepared.tokenizer.max_length,
        answers=_answers(learner),
        limit=_LIMITS[learner.prepared.labels.several],
        data=report.data,
        train=report.parts["train"],
        warnings="".join(f"\n**{cell(said)}.**\n" for said in _warnings(report)),
        verdict="".join(f"{cell(line)}.\n\n" for line in pages.verdict(report)),
        test=scores.count,
        scores=_score_table(report),
        pictures=_pictures(report, scores),
        classes=_class_table(report, scores),
        thresholds=_threshold_table(scores),
        calibration=_calibration_table(scores),
    )


def _score_table(report: Report[Any]) -> str:
    shown = headline(report.test.metrics, METRICS)
    rows = [("this model", report.test), *((one.name, one.test) for one in report.baselines)]
    return table(
        ["", *(cell(metric.title) for metric in shown.values())],
        [[cell(name), *(f"{one.metrics[key]:.4f}" for key in shown)] for name, one in rows],
    )


def _pictures(report: Report[Any], scores: Judgement) -> str:
    named = {
        "learning-curve": "the course of training" if report.epochs else "",
        "confusion": "the confusion matrix" if isinstance(scores, Classification) else "",
        "precision-recall": "precision over recall" if scores.curves else "",
        "reliability": "how honest the probabilities are" if scores.calibration else "",
    }
    return ", ".join(f"`{name}.png` ({what})" for name, what in named.items() if what)


def _class_table(report: Report[Any], scores: Judgement) -> str:
    thresholds = [f"{n:.3f}" for n in getattr(scores, "thresholds", ())]
    heads = ["answered from"] * bool(thresholds) + ["precision", "recall", "F1"]
    rows = []
    for i, row in enumerate(scores.classes):
        numbers = (row.precision, row.recall, row.f1, row.average_precision)
        own = [*thresholds[i : i + 1], *(f"{n:.3f}" for n in numbers), f"{row.support:,}"]
        if thresholds and i >= len(thresholds):  # a label that the model does not know
            own.insert(0, "never")
        rows.append([cell(row.label), f"{report.sizes[row.label]['train']:,}", *own])
    return table(["class", "training texts", *heads, "average precision", "test texts"], rows)


def _threshold_table(scores: Judgement) -> str:
    """Return what other thresholds would give, where two classes leave that choice."""
    if not isinstance(scores, Classification) or scores.positive is None or not scores.curves:
        return ""
    label, used = cell(scores.positive), EVEN if scores.threshold is None else scores.threshold
    rows = [
        [f"{n:.3f}" for n in (one.threshold, one.precision, one.recall, one.f1)]
        for one in scores.curves[0].table()
    ]
    return (
        f"\n## Thresholds\n\n{label} is answered from a probability of {used:.3f} on. Other "
        "thresholds (`elman predict --threshold`) give on the test texts:\n\n"
        + table(["threshold", "precision", "recall", "F1"], rows)
        + "\n"
    )


def _calibration_table(scores: Judgement) -> str:
    after, before = scores.calibration, scores.uncalibrated
    said = (
        f"Expected calibration error {scores.calibration_error:.4f}, log loss {scores.log_loss:.4f}"
    )
    if before is not None:
        said += (
            f"; before calibration on the validation part {before.error:.4f} and "
            f"{before.log_loss:.4f}"
        )
    if after is None:
        return f"{said}."
    said += (
        f". Of a perfectly honest model an error of {after.by_chance:.4f} is to be expected on so "
        "many texts"
    )
    rows = [[f"{b.confidence:.3f}", f"{b.accuracy:.3f}", f"{b.count:,}"] for b in after.bins]
    return f"{said}.\n\n" + table(["said to be right", "is right", "answers"], rows)


_LIMITS = {
    False: "The model always answers with one of its classes,\nalso for a text of none.",
    True: "What is none of its labels it does not know.",
}


def _answers(learner: ClassifierLearner | NGramLearner) -> str:
    count = len(learner.prepared.classes)
    if learner.prepared.labels.several:
        return f"any of {count} labels, or none"
    return f"one of {count} classes"


def _what(learner: ClassifierLearner | NGramLearner) -> str:
    options = learner.options
    other = f" ({options.other_ngrams})" if options.other_ngrams else ""
    if isinstance(learner, NGramLearner):
        return f"A text classifier by n-grams{other} and logistic regression"
    directions = "two directions" if options.bidirectional else "one direction"
    cell = learner.model.recurrent.cell.name
    beside = f" beside n-grams{other} with logistic regression," if options.linear == "on" else ""
    return (
        f"A recurrent text classifier ({cell}, {directions}, {options.hidden_size} units){beside}"
    )


def _warnings(report: Report[Any]) -> Iterator[str]:
    """Say without what the scores would be misread."""
    if report.stopped:
        yield f"Training was cut short: {report.stopped}"
    yield from report.test_notes
