"""A classifier that starts from a language model: its tokenizer, embedding and recurrent layers.

Then come pooling and a fresh last layer (Howard & Ruder 2018, section 3.3).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, get_args

import torch

from elman.errors import ConfigError
from elman.text.tokenizer import MAX_LENGTH, CodedTokenizer
from elman.training.options import Tokens
from elman.training.transfer import LanguageModelParts, Layers, layers_of, take_weights

if TYPE_CHECKING:
    from elman.tasks.classify.model import Classifier


def decided(parts: LanguageModelParts) -> Mapping[str, Any]:
    """Return the options of a classifier that follow from the language model it starts from.

    Raises:
        ConfigError: it reads from the end of a text to its beginning.
    """
    if parts.reverse:
        raise ConfigError(
            "--from is a language model that reads from the end of a text to its beginning, and a "
            "classifier reads on from its beginning; give one that was trained without --reverse"
        )
    level = parts.coder.level
    return {
        "tokens": level if level in get_args(Tokens) else "auto",
        "vocab_size": None,
        "min_count": None,
        "cell": parts.cell,
        "embedding_size": parts.config.embedding_size,
        "hidden_size": parts.config.hidden_size,
        "num_layers": parts.config.num_layers,
        "bidirectional": False,
        "pairs": 0,
        "subwords": 0,
        "model": "network",
    }


def tokenizer_of(parts: LanguageModelParts, max_length: int | None) -> CodedTokenizer:
    """Return the language model's tokenizer, which reads texts of so many tokens at most."""
    longest = max_length or MAX_LENGTH[parts.coder.level]
    return CodedTokenizer(parts.coder, before=parts.before, max_length=longest)


def start(model: Classifier, parts: LanguageModelParts) -> Layers:
    """Put the weights of the language model into a fresh classifier; return its layers.

    The vectors are one layer, below all others, and what is fresh is one, above them.
    """
    take_weights(parts, model.embedding, model.recurrent)
    with torch.no_grad():
        model.first.load_state_dict(parts.network.first.state_dict())
    lowest = [*model.embedding.parameters(), *model.first.parameters()]
    above = layers_of(model.recurrent)
    taken = {id(p) for layer in (lowest, *above) for p in layer}
    fresh = [p for p in model.parameters() if id(p) not in taken]
    return Layers([lowest, *above, fresh])
