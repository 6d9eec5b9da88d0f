"""The model card: a bundle's README.md."""

from __future__ import annotations

from typing import Any

from elman.tasks.generate import pages
from elman.tasks.generate.learner import GenerateLearner
from elman.tasks.generate.metrics import METRICS, Modelled
from elman.training.report import Report, headline

_CARD = """\
# {name}

A {cell} language model of {level} with {parameters:,} parameters: it writes like `{data}`, from
which it has read {characters:,} characters.
{warnings}
## Use

```
elman generate {name} --prompt "some text"{label}
elman predict {name} "some text" --surprise
```

```python
import elman

model = elman.load("{name}")
model.generate("some text", n=3, temperature=0.8{argument})
model.answer(["some text"])  # how likely the model finds it
```

## Scores on {test:,} tokens not used in training

{scores}

Means over tokens; a token is a {unit}.

{verdict}## Limits

It has learnt how texts like `{data}` go on, not what is true. What it writes may repeat pieces of
that text word for word; do not train it on what must not be read by those who get the model.
"""


def model_card(name: str, learner: GenerateLearner, report: Report[Any]) -> str:
    """Return the card in Markdown: what the model is, how good, how to use, where it ends."""
    scores, prepared = report.test, learner.prepared
    assert isinstance(scores, Modelled)
    label = prepared.labels[0] if prepared.labels else ""
    return _CARD.format(
        name=name,
        cell=learner.model.recurrent.cell.name,
        level=prepared.coder.level,
        parameters=report.parameters,
        data=report.data,
        characters=prepared.split.train.characters,
        warnings="".join(f"\n**{_cell(said)}.**\n" for said in report.warnings),
        label=f' --label "{label}"' if label else "",
        argument=f', label="{label}"' if label else "",
        test=scores.count,
        scores=_scores(report),
        unit=scores.unit,
        verdict="".join(f"{_cell(line)}.\n\n" for line in pages.verdict(report)),
    )


def _scores(report: Report[Any]) -> str:
    shown = headline(report.test.metrics, METRICS)
    rows = [("this model", report.test), *((one.name, one.test) for one in report.baselines)]
    lines = [["", *(metric.title for metric in shown.values())], ["---"] * (len(shown) + 1)]
    for name, one in rows:
        values = [f"{one.metrics[key]:.{metric.digits}f}" for key, metric in shown.items()]
        lines.append([_cell(name), *values])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
