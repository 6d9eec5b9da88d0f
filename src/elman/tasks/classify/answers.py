"""What a classifier answers, as rows of plain JSON and of tables."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from elman.data.examples import Examples
from elman.tasks.classify.explanation import check_explains
from elman.tasks.classify.inspection import refuse_unknown
from elman.tasks.classify.options import ClassifyAnswers
from elman.text.inputs import texts_of

if TYPE_CHECKING:
    from elman.tasks.classify.predictor import TextClassifierModel


def answer(
    model: TextClassifierModel,
    inputs: Iterable[str],
    *,
    top: int | None,
    steps: bool,
    explain: bool,
    threshold: float | None,
) -> list[dict[str, Any]]:
    """Do what `TextClassifierModel.answer` says."""
    texts = texts_of(inputs)
    # Refuses what cannot be.
    ClassifyAnswers(top=top, steps=steps, explain=explain, threshold=threshold)
    if explain:
        check_explains(model)
    labels = model.labels.at(threshold, model.classes)
    found, encoded = model.judged(model.cleaned(texts))
    has_text = model.has_text(texts, encoded)
    truncated = set(encoded.truncated_rows)
    named = labels.named(labels.decide(found), model.classes)
    rows = []
    for i, (answered, probabilities) in enumerate(zip(named, found, strict=True)):
        row = {"text": texts[i], **_told(model, answered, probabilities, top, steps=steps)}
        if not encoded.lengths[i]:
            row["empty"] = True
            if has_text[i]:
                row["cleaned"] = True
        if i in truncated:
            row["truncated"] = True
        if steps:
            row["steps"] = _after_each_token(model, texts[i], len(row["top"]))
        if explain:
            said = row.get("labels", [answered]) or [row["top"][0]["label"]]
            row["explained"] = [model.explain(texts[i], label) for label in said]
        rows.append(row)
    return rows


def _after_each_token(model: TextClassifierModel, text: str, count: int) -> list[dict[str, Any]]:
    """Return the tokens of a text, each with the ``count`` most probable classes after it."""
    return [
        {"token": step.token, "probabilities": dict(_ranked(model, step.probabilities, count))}
        for step in model.steps(text)
    ]


def _told(
    model: TextClassifierModel,
    answered: Any,
    probabilities: NDArray[np.float32],
    top: int | None,
    *,
    steps: bool,
) -> dict[str, Any]:
    """Return what a row says of one text: its label or labels, and the most probable ones."""
    usual = len(answered) or 1 if model.several and not steps else 3 if steps else 1
    best = _ranked(model, probabilities, min(top or usual, len(model.classes)))
    if model.several:
        shown = dict(_ranked(model, probabilities, len(model.classes)))
        labels = [label for label in shown if label in answered]
        if top is None and labels and not steps:
            best = [(label, shown[label]) for label in labels]
        told: dict[str, Any] = {"labels": labels, "probabilities": shown}
    else:
        told = {"label": answered}
        if best[0][0] != answered:  # a threshold of its own: the answer stands first
            first = (answered, float(probabilities[model.classes.index(answered)]))
            best = [first, *(one for one in best if one[0] != answered)][: len(best)]
    told["top"] = [{"label": label, "probability": p} for label, p in best]
    return told


def _ranked(
    model: TextClassifierModel, probabilities: NDArray[np.float32], count: int
) -> list[tuple[str, float]]:
    order = (-probabilities).argsort(kind="stable")[:count]
    return [(model.classes[i], float(probabilities[i])) for i in order]


def predictions(
    model: TextClassifierModel, examples: Examples, threshold: float | None
) -> Iterator[dict[str, Any]]:
    """Do what `TextClassifierModel.predictions` says."""
    labels = model.labels_at(threshold)
    model.check_labelled(examples)
    refuse_unknown(examples, model.classes)
    probabilities, encoded = model.judged(model.cleaned(examples.texts))
    has_text = model.has_text(examples.texts, encoded)
    answered = labels.decide(probabilities)
    named = labels.named(answered, model.classes)
    for i, (text, label) in enumerate(zip(examples.texts, examples.written, strict=True)):
        judged = bool(has_text[i])
        given = [round(float(p), 6) for p in probabilities[i, answered[i]]]
        predicted, probability = (
            (_as_json(named[i]), _as_json(given)) if model.several else (named[i], given[0])
        )
        yield {
            "text": text,
            "label": label,
            "predicted": predicted if judged else None,
            "probability": probability if judged else None,
            "correct": predicted == label if judged else None,
        }


def _as_json(values: Sequence[Any]) -> str:
    return json.dumps(values, ensure_ascii=False)
