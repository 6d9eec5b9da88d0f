"""The model card: a bundle's README.md."""

from __future__ import annotations

from elman import __version__, cells
from elman.training.classify import Prepared, Report

_CARD = """\
# {name}

A recurrent text classifier ({cell}, {directions}, {hidden} units, {parameters:,} parameters) that
reads {level} and answers with one of {num_classes} classes. Trained with Elman {version} on
`{data}`: {train:,} texts, {epochs} epochs, {seconds:.0f} s.
{stopped}
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
| this network | {accuracy:.4f} | {macro_f1:.4f} |
{baselines}

Expected calibration error {calibration:.4f}. The confusion matrix is in `confusion.png`, all
figures are in `metrics.json`.

| class | training texts | precision | recall | F1 | test texts |
|---|---|---|---|---|---|
{classes}

## Limits

The scores hold for texts like those of `{data}`. The model always answers with one of its classes,
also for a text that belongs to none of them. Texts longer than {max_length} {level} are cut.
"""


def model_card(name: str, prepared: Prepared, told: Report) -> str:
    """Return the card in Markdown: what the model is, how good, how to use, where it ends."""
    config, scores = prepared.config, told.test
    return _CARD.format(
        name=name,
        version=__version__,
        cell=cells.find(config.cell).name,
        directions="two directions" if config.bidirectional else "one direction",
        hidden=config.hidden_size,
        parameters=told.parameters,
        level=prepared.tokenizer.level,
        max_length=prepared.tokenizer.max_length,
        num_classes=len(prepared.classes),
        data=told.data,
        train=len(prepared.split.train),
        epochs=told.epochs,
        seconds=told.seconds,
        stopped=f"\nTraining was cut short: {told.stopped}.\n" if told.stopped else "",
        test=scores.count,
        accuracy=scores.accuracy,
        macro_f1=scores.macro_f1,
        calibration=scores.calibration_error,
        baselines="\n".join(
            f"| {_cell(b.name)} | {b.accuracy:.4f} | {b.macro_f1:.4f} |" for b in told.baselines
        ),
        classes="\n".join(
            f"| {_cell(c.label)} | {told.sizes[c.label]['train']:,} | {c.precision:.3f} "
            f"| {c.recall:.3f} | {c.f1:.3f} | {c.support:,} |"
            for c in scores.classes
        ),
    )


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
