"""From texts to what a network reads, alike in training and in use."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from elman.text.subwords import Spelling, spelling
from elman.text.tokenizer import Encoded, Tokenizer, WordTokenizer


def encode(tokenizer: Tokenizer, texts: Sequence[str], vectors: int) -> Encoded:
    """Return token ids; where words have vectors by their spelling, unknown ones are told apart."""
    if vectors and isinstance(tokenizer, WordTokenizer):
        return tokenizer.encode_spelt(texts)
    return tokenizer.encode(texts)


def spelling_of(encoded: Encoded, tokenizer: Tokenizer, vectors: int) -> Spelling | None:
    """Return the n-grams of the words that are in use; None where no vectors are asked for."""
    if not vectors or not isinstance(tokenizer, WordTokenizer):
        return None
    entries = [*tokenizer.entries, *encoded.unknown]
    return spelling(entries, np.unique(encoded.values).tolist(), vectors)
