"""The model card: a bundle's README.md, and the picture beside it."""

from __future__ import annotations

from typing import Any

from elman.tasks.tag import pages
from elman.tasks.tag.learner import TagLearner
from elman.tasks.tag.metrics import METRICS, Tagging
from elman.training.markdown import cell, table
from elman.training.report import Report, headline

_CARD = """\
# {name}

{what} with {parameters:,} parameters that gives each word of a sentence {answers}.
Trained on {train:,} sentences of `{data}`{column}.
{warnings}
## Use

```
elman predict {name} "some text"
```

```python
import elman

model = elman.load("{name}")
model.answer(["some text"])  # cut into sentences and words, with places and probabilities
model.predict([["some", "words"]])  # the tags of sentences that are cut already
```

## Scores on {test:,} sentences not used in training

{scores}

{verdict}{kinds}

## Probabilities

{calibration}

## Limits

The scores hold for sentences like those of `{data}`, cut into words as those are. `metrics.json`
has all figures, and words that are often wrong with their sentences: take those out before the
model goes to someone who must not read them.
"""


def model_card(name: str, learner: TagLearner, report: Report[Any]) -> str:
    """Return the card in Markdown: what the model is, how good, how to use, where it ends."""
    scores, prepared = report.test, learner.prepared
    assert isinstance(scores, Tagging)
    options = learner.options
    decoder = "with a conditional random field" if options.decoder == "crf" else "with softmax"
    answers = f"one of {len(prepared.tags)} tags"
    if prepared.types:
        answers = f"a place in spans of {len(prepared.types)} types"
    column = prepared.split.train.column
    return _CARD.format(
        name=name,
        what=f"A {learner.model.recurrent.cell.name} tagger {decoder}",
        parameters=report.parameters,
        answers=answers,
        train=report.parts["train"],
        data=report.data,
        column=f", column {column}" if column else "",
        warnings="".join(f"\n**{cell(said)}.**\n" for said in report.warnings),
        test=scores.count,
        scores=_scores(report),
        verdict="".join(f"{cell(line)}.\n\n" for line in pages.verdict(report)),
        kinds=_kinds(report, scores),
        calibration=calibration(scores),
    )


def _scores(report: Report[Any]) -> str:
    shown = headline(report.test.metrics, METRICS)
    rows = [("this model", report.test), *((one.name, one.test) for one in report.baselines)]
    return table(
        ["", *(metric.title for metric in shown.values())],
        [[cell(name), *(f"{one.metrics[key]:.4f}" for key in shown)] for name, one in rows],
    )


def _kinds(report: Report[Any], scores: Tagging) -> str:
    rows = [
        [
            cell(name),
            f"{report.sizes.get(name, {}).get('train', 0):,}",
            *(f"{n:.3f}" for n in (kind.precision, kind.recall, kind.f1)),
            f"{kind.support:,}",
        ]
        for name, kind in scores.kinds.items()
    ]
    noun = "type" if scores.f1 is not None else "tag"
    return table([noun, "in training", "precision", "recall", "F1", "in the test part"], rows)


def calibration(scores: Tagging) -> str:
    """Return how far the probabilities are from what is right, as a table in Markdown."""
    of = "spans" if scores.f1 is not None else "words"
    said = f"Expected calibration error of the {of}: {scores.calibration_error:.4f}"
    if scores.uncalibrated is not None:
        said += f"; before calibration on the validation part {scores.uncalibrated.error:.4f}"
    said = ". ".join([said, *(f"**{note}**" for note in pages.calibration_notes(scores))])
    if scores.calibration is None:
        return f"{said}."
    rows = [
        [f"{b.confidence:.3f}", f"{b.accuracy:.3f}", f"{b.count:,}"]
        for b in scores.calibration.bins
    ]
    return f"{said}.\n\n" + table(["said to be right", "is right", of], rows)


def pictures(scores: Tagging) -> dict[str, bytes]:
    """Return the reliability diagram, by the name of its file."""
    if scores.calibration is None:
        return {}
    from elman.training.figures import reliability, render

    what = "span" if scores.f1 is not None else "tag"
    figure = reliability(
        scores.calibration,
        scores.uncalibrated,
        right=f"share of right {what}s",
        said=f"probability of the {what}",
    )
    return {"reliability.png": render(figure, "png")}
