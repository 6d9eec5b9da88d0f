"""Elman: train, understand and ship recurrent networks for text.

>>> import elman
>>> model = elman.load("models/surnames")
>>> model.predict(["Schmidt"])
"""

from typing import TYPE_CHECKING, Any

from elman._version import __version__ as __version__

if TYPE_CHECKING:
    from elman.api import evaluate as evaluate
    from elman.api import load as load
    from elman.api import train as train
    from elman.lab.compare import compare as compare
    from elman.nn.recurrent import Recurrent as Recurrent
    from elman.tasks.classify.estimator import TextClassifier as TextClassifier

# Imported on first use: `import elman` takes milliseconds, torch takes seconds.
_LAZY = {
    "Recurrent": "elman.nn.recurrent",
    "TextClassifier": "elman.tasks.classify.estimator",
    "compare": "elman.lab.compare",
    "evaluate": "elman.api",
    "load": "elman.api",
    "train": "elman.api",
}
__all__ = ["Recurrent", "TextClassifier", "__version__", "compare", "evaluate", "load", "train"]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'elman' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
