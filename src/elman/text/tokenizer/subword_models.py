"""Vocabularies of pieces of words, learnt from how often words were seen.

The models are the ``tokenizers`` library's, which also learns BPE. Its trainer of unigrams breaks
ties by the order of a hash table, another one in each run, so `unigram` beside this file learns
those. The same words always give the same model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import msgspec

from elman.text.vocabulary import PADDING, UNKNOWN, UNKNOWN_ID

SPECIAL = (PADDING, UNKNOWN)


def bpe(counts: Mapping[str, int], *, min_count: int, size: int) -> Any:
    """Return a model that merges the most frequent neighbours, step by step.

    Sennrich et al. 2016, "Neural Machine Translation of Rare Words with Subword Units", section
    3.2, without the mark for a word's end.

    Args:
        counts: the words with how often they were seen.
        min_count: characters and pairs seen less often make no entry.
        size: entries at most, the two special ones included.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    alphabet = _alphabet(counts, min_count, size - len(SPECIAL))
    # Each word as often as it was seen: the library takes no counts.
    lines = (" ".join(_known(word, alphabet) * counts[word]) for word in sorted(counts))
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    trainer = trainers.BpeTrainer(
        vocab_size=size, min_frequency=min_count, special_tokens=[*SPECIAL], show_progress=False
    )
    inner.train_from_iterator(lines, trainer)
    made = msgspec.json.decode(inner.to_str())["model"]
    vocab = made["vocab"]
    merges = [(left, right) for left, right in made["merges"]]
    # A run of unknown characters is one unknown piece, as it is in the other kind.
    return models.BPE(vocab=vocab, merges=merges, unk_token=UNKNOWN, fuse_unk=True)


def unigram(counts: Mapping[str, int], *, min_count: int, size: int) -> Any:
    """Return a model that cuts each word into the pieces that are likeliest together.

    Args:
        counts: the words with how often they were seen.
        min_count: characters and pieces seen less often make no entry.
        size: entries at most, the two special ones included.
    """
    from tokenizers import models

    from elman.text.tokenizer.unigram import learn

    alphabet = _alphabet(counts, min_count, size - len(SPECIAL))
    parts: Counter[str] = Counter()
    for word, count in counts.items():
        for part in _known(word, alphabet):
            parts[part] += count
    pieces = learn(parts, min_count=min_count, size=size - len(SPECIAL))
    return models.Unigram([*((token, 0.0) for token in SPECIAL), *pieces], UNKNOWN_ID, False)


def _alphabet(counts: Mapping[str, int], min_count: int, size: int) -> set[str]:
    """Return the most frequent characters; of equal ones the first by code point."""
    seen: Counter[str] = Counter()
    for word, count in counts.items():
        for character in word:
            seen[character] += count
    kept = sorted((c for c, n in seen.items() if n >= min_count), key=lambda c: (-seen[c], c))
    return set(kept[:size])


def _known(word: str, alphabet: set[str]) -> list[str]:
    """Return the parts of a word between the characters that are not in the alphabet."""
    return "".join(c if c in alphabet else " " for c in word).split()
