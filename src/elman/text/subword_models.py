"""Vocabularies of pieces of words, learnt from how often words were seen.

Both kinds are trained by the ``tokenizers`` library. The order of its hash tables differs from run
to run; what could depend on it is settled here: the same words always give the same model.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
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
    from tokenizers import models, trainers

    trainer = trainers.BpeTrainer(
        vocab_size=size, min_frequency=min_count, special_tokens=[*SPECIAL], show_progress=False
    )
    made = _trained(models.BPE(), trainer, counts, min_count, size)
    vocab = made["vocab"] or {token: i for i, token in enumerate(SPECIAL)}
    merges = [(left, right) for left, right in made["merges"]]
    # A run of unknown characters is one unknown piece, as it is in the other kind.
    return models.BPE(vocab=vocab, merges=merges, unk_token=UNKNOWN, fuse_unk=True)


def unigram(counts: Mapping[str, int], *, min_count: int, size: int) -> Any:
    """Return a model that cuts each word into the pieces that are likeliest together.

    Kudo 2018, "Subword Regularization: Improving Neural Network Translation Models with Multiple
    Subword Candidates", section 3.2.

    Args:
        counts: the words with how often they were seen.
        min_count: characters seen less often make no entry.
        size: entries at most, the two special ones included.
    """
    from tokenizers import models, trainers

    trainer = trainers.UnigramTrainer(
        vocab_size=size,
        shrinking_factor=0.5,  # in half the time of the library's 0.75
        special_tokens=[*SPECIAL],
        unk_token=UNKNOWN,
        show_progress=False,
    )
    made = _trained(models.Unigram(), trainer, counts, min_count, size)
    scores = dict(made["vocab"])
    pieces = [(piece, round(score, 4)) for piece, score in scores.items() if piece not in SPECIAL]
    pieces.sort(key=lambda row: (-row[1], row[0]))
    return models.Unigram([*((token, 0.0) for token in SPECIAL), *pieces], UNKNOWN_ID, False)


def _trained(
    model: Any, trainer: Any, counts: Mapping[str, int], min_count: int, size: int
) -> dict[str, Any]:
    """Return what the library makes of the words, as its JSON says it."""
    from tokenizers import Tokenizer, pre_tokenizers

    lines = list(_lines(counts, _alphabet(counts, min_count, size - len(SPECIAL))))
    inner = Tokenizer(model)
    inner.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    if lines:
        inner.train_from_iterator(lines, trainer)
    made: dict[str, Any] = msgspec.json.decode(inner.to_str())["model"]
    return made


def _alphabet(counts: Mapping[str, int], min_count: int, size: int) -> set[str]:
    """Return the most frequent characters; of equal ones the first by code point."""
    seen: Counter[str] = Counter()
    for word, count in counts.items():
        for character in word:
            seen[character] += count
    kept = sorted((c for c, n in seen.items() if n >= min_count), key=lambda c: (-seen[c], c))
    return set(kept[:size])


def _lines(counts: Mapping[str, int], alphabet: set[str]) -> Iterator[str]:
    """Yield each word as often as it was seen, cut where a character is not in the alphabet."""
    for word in sorted(counts):
        parts = "".join(c if c in alphabet else " " for c in word).split()
        if parts:
            yield " ".join(parts * counts[word])
