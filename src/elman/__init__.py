"""Elman: train, understand and ship recurrent networks for text.

>>> import elman
>>> model = elman.load("models/surnames")
>>> model.predict(["Schmidt"])
"""

from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from elman.estimator import TextClassifier as TextClassifier
    from elman.models.bundle import load as load
    from elman.nn.recurrent import Recurrent as Recurrent
    from elman.training.run import train as train

# Imported on first use: `import elman` takes milliseconds, torch takes seconds.
_LAZY = {
    "TextClassifier": "elman.estimator",
    "load": "elman.models.bundle",
    "Recurrent": "elman.nn.recurrent",
    "train": "elman.training.run",
}
__all__ = ["Recurrent", "TextClassifier", "__version__", "load", "train"]


def __getattr__(name: str) -> Any:
    if name not in _LAZY:
        raise AttributeError(f"module 'elman' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_LAZY[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY})
