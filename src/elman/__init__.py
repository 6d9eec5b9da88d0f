"""Elman: train, understand and ship recurrent networks for text.

What people call, each with a page of its own, as in ``help(elman.train)``:

    elman.train(data, ...)       train a model and judge it beside its baselines
    elman.load(folder)           a trained model: predict, predict_proba, answer, embed, save
    elman.evaluate(model, data)  judge a model on labelled data
    elman.compare(data, ...)     several cells, each from several seeds, on the same data
    elman.compare_models(models, data)  whether saved models really differ on labelled data
    elman.embed(texts, ...)      train word vectors: word2vec or fastText
    elman.Vectors                word vectors of any file: load, similar, analogy
    elman.TextClassifier         the same as an estimator of scikit-learn: fit, predict, score
    elman.SequenceTagger         likewise of the tagger: lists of words, lists of tags
    elman.TextCleaner            cleaning of texts for scikit-learn: fit, transform
    elman.callbacks              who is told of a run as it goes: a function, TensorBoard
    elman.nn                     layers that take the place of torch.nn's: LSTM, GRU, RNN
    elman.Recurrent              a layer of any cell, also of your own equations
    elman.cell, elman.cells      writing a cell; those that there are
    elman.errors                 what can go wrong; ElmanError is all of it

>>> trained = elman.train("reviews.csv", cell="gru")
>>> trained.model.predict(["Good"])
>>> elman.load("models/reviews").predict(["Good"])
"""

from typing import TYPE_CHECKING, Any

from elman._version import __version__ as __version__

if TYPE_CHECKING:
    from elman import callbacks as callbacks
    from elman import cell as cell
    from elman import cells as cells
    from elman import errors as errors
    from elman import nn as nn
    from elman.api import evaluate as evaluate
    from elman.api import load as load
    from elman.api import train as train
    from elman.lab.compare import compare as compare
    from elman.lab.models import compare_models as compare_models
    from elman.nn.recurrent import Recurrent as Recurrent
    from elman.tasks.classify.estimator import TextClassifier as TextClassifier
    from elman.tasks.tag.estimator import SequenceTagger as SequenceTagger
    from elman.text.cleaning.transformer import TextCleaner as TextCleaner
    from elman.text.vectors.table import Vectors as Vectors
    from elman.training.embed import embed as embed

# Imported on first use: `import elman` takes milliseconds, torch takes seconds.
_LAZY = {
    "Recurrent": "elman.nn.recurrent",
    "SequenceTagger": "elman.tasks.tag.estimator",
    "TextClassifier": "elman.tasks.classify.estimator",
    "TextCleaner": "elman.text.cleaning.transformer",
    "Vectors": "elman.text.vectors.table",
    "compare": "elman.lab.compare",
    "compare_models": "elman.lab.models",
    "embed": "elman.training.embed",
    "evaluate": "elman.api",
    "load": "elman.api",
    "train": "elman.api",
}
_MODULES = ("callbacks", "cell", "cells", "errors", "nn")
# What `help` shows in full. The classes would be a thousand lines, most of them torch's.
__all__ = ["__version__", "compare", "compare_models", "embed", "evaluate", "load", "train"]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in _MODULES:
        return import_module(f"elman.{name}")
    if name not in _LAZY:
        raise AttributeError(f"module 'elman' has no attribute {name!r}")
    return getattr(import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    special = (name for name in globals() if name.startswith("__"))
    return sorted({*special, *_LAZY, *_MODULES})
