"""Why a classifier answers as it does: what each n-gram adds to a class's score."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from elman.errors import InputError
from elman.tasks.classify.options import ClassifyAnswers
from elman.text.inputs import texts_of

if TYPE_CHECKING:
    from elman.tasks.classify.predictor import TextClassifierModel


def explain(model: TextClassifierModel, text: str, label: str | None, top: int) -> dict[str, Any]:
    """Do what `TextClassifierModel.explain` says."""
    ClassifyAnswers(top=top)  # refuses what cannot be
    check_explains(model)
    texts = texts_of([text])
    if label is None:
        found = model.predict_proba(texts)
        [answered] = model.labels.named(model.labels.decide(found), model.classes)
        label = model.classes[int(found[0].argmax())] if model.several else answered
    if label not in model.classes:
        raise InputError(
            f"label is {label!r:.80}; it must be one of {', '.join(model.classes[:10])}"
            + (" …" if len(model.classes) > 10 else "")
        )
    values = contributions(model, model.cleaned(texts)[0], model.classes.index(label))
    ranked = sorted(values.items(), key=lambda item: -abs(item[1]))[:top]
    ngrams = [
        {"unit": unit, "ngram": ngram, "contribution": value}
        for (unit, ngram), value in ranked
        if value
    ]
    return {"label": label, "ngrams": ngrams}


def contributions(
    model: TextClassifierModel, text: str, place: int
) -> dict[tuple[str, str], float]:
    """Return what each n-gram adds to a class's score in all linear models together.

    Args:
        model: with linear models.
        text: cleaned.
        place: of the class among the model's.

    Returns:
        By unit (words, characters) and n-gram.
    """
    found: dict[tuple[str, str], float] = {}
    counts = model.weights[len(model.weights) - len(model.module.linear) :]
    for count, one in zip(counts, model.module.linear, strict=True):
        for unit, ngram, scores in one.contributions(text):
            usual = 0.0 if model.several else float(scores.mean())
            value = count * (float(scores[place]) - usual)
            found[unit, ngram] = found.get((unit, ngram), 0.0) + value
    return found


def check_explains(model: TextClassifierModel) -> None:
    """Refuse a model without n-grams.

    Raises:
        InputError: it is one.
    """
    if not len(model.module.linear):
        raise InputError(
            "this model is a network alone, which has no n-grams to explain an answer by; "
            "train one without --linear off, or see --steps"
        )
