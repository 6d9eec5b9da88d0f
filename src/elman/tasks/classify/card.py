"""The model card: a bundle's README.md."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from elman.tasks.classify import pages
from elman.tasks.classify.learner import ClassifierLearner, NGramLearner
from elman.tasks.classify.metrics import Classification
from elman.training.task import Report

_CARD = """\
# {name}

{what} with {parameters:,} parameters that reads {level} and answers with one of {num_classes}
classes. Trained on {train:,} texts of `{data}`.
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

| | accuracy | macro-F1 |
|---|---|---|
| this model | {accuracy:.4f} | {macro_f1:.4f} |
{baselines}

{verdict}Expected calibration error {calibration:.4f}. `confusion.png` has the confusion matrix,
{course}`metrics.json` all figures, and the texts of the most confident mistakes: take those out
before the model goes to someone who must not read them.

| class | training texts | precision | recall | F1 | test texts |
|---|---|---|---|---|---|
{classes}

## Limits

The scores hold for texts like those of `{data}`. The model always answers with one of its classes,
also for a text that belongs to none of them. Texts longer than {max_length} {level} are truncated.
"""


def model_card(name: str, learner: ClassifierLearner | NGramLearner, report: Report[Any]) -> str:
    """Return the card in Markdown: what the model is, how good, how to use, where it ends."""
    scores = report.test
    assert isinstance(scores, Classification)
    baselines = (
        f"| {_cell(one.name)} | {one.test.metrics['accuracy']:.4f} "
        f"| {one.test.metrics['macro_f1']:.4f} |"
        for one in report.baselines
    )
    classes = (
        f"| {_cell(row.label)} | {report.sizes[row.label]['train']:,} | {row.precision:.3f} "
        f"| {row.recall:.3f} | {row.f1:.3f} | {row.support:,} |"
        for row in scores.classes
    )
    return _CARD.format(
        name=name,
        what=_what(learner),
        course="`learning-curve.png` the course of training, " if report.epochs else "",
        parameters=report.parameters,
        level=learner.prepared.tokenizer.level,
        max_length=learner.prepared.tokenizer.max_length,
        num_classes=len(learner.prepared.classes),
        data=report.data,
        train=sum(sizes["train"] for sizes in report.sizes.values()),
        warnings="".join(f"\n**{_cell(said)}.**\n" for said in _warnings(report)),
        verdict="".join(f"{_cell(line)}.\n\n" for line in pages.verdict(report)),
        test=scores.count,
        accuracy=scores.accuracy,
        macro_f1=scores.macro_f1,
        calibration=scores.calibration_error,
        baselines="\n".join(baselines),
        classes="\n".join(classes),
    )


def _what(learner: ClassifierLearner | NGramLearner) -> str:
    options = learner.options
    if isinstance(learner, NGramLearner):
        return "A text classifier by n-grams and logistic regression"
    directions = "two directions" if options.bidirectional else "one direction"
    cell = learner.model.recurrent.cell.name
    beside = " beside n-grams with logistic regression," if options.linear == "on" else ""
    return (
        f"A recurrent text classifier ({cell}, {directions}, {options.hidden_size} units){beside}"
    )


def _warnings(report: Report[Any]) -> Iterator[str]:
    """Say without what the scores would be misread."""
    if report.stopped:
        yield f"Training was cut short: {report.stopped}"
    yield from report.test_notes


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
