"""Going on from a trained classifier: its weights are the first ones of another."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from elman.errors import ConfigError
from elman.tasks.classify.model import Classifier
from elman.tasks.classify.predictor import TextClassifierModel
from elman.text.terminal import counted

OUTPUT = "output."
"""How the names of those weights begin that belong to a class each."""
_SHOWN = 10


def check(init: TextClassifierModel) -> None:
    """Refuse a model that has no network, or several.

    Raises:
        ConfigError: with what it is.
    """
    count = len(init.module.networks)
    if count != 1:
        has = f"{count} networks" if count else "no network"
        raise ConfigError(f"--init has {has} ({init.kind}); go on from a model with a single one")


def take_weights(model: Classifier, classes: Sequence[str], init: TextClassifierModel) -> None:
    """Put the weights of ``init``, which has one network, into a fresh one of the same sizes.

    What belongs to a class goes by the class's name; a class that ``init`` does not know keeps its
    fresh weights.
    """
    old = {name: i for i, name in enumerate(init.classes)}
    pairs = [(i, old[name]) for i, name in enumerate(classes) if name in old]
    own, theirs = model.state_dict(), init.module.networks[0].state_dict()
    with torch.no_grad():
        for name, tensor in own.items():
            if not name.startswith(OUTPUT):
                tensor.copy_(theirs[name])
                continue
            for here, there in pairs:
                tensor[here] = theirs[name][there]


def notes_on_classes(classes: Sequence[str], init: TextClassifierModel) -> Iterator[str]:
    """Say which classes are new, and which of the model's have no text here and so are left out."""
    new = [name for name in classes if name not in init.classes]
    gone = [name for name in init.classes if name not in classes]
    if new:
        yield f"new to the model (--init): {_listed(new)}"
    if gone:
        yield f"known to the model (--init), without a text here and left out: {_listed(gone)}"


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(map(repr, names[:_SHOWN]))
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return f"{counted(len(names), 'class')} ({shown}{more})"
