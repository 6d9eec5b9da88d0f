"""Vectors for what is read beside single tokens."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from elman.nn import ragged
from elman.text.lengths import offsets_of, places_of
from elman.text.subwords import Spelling

PADDING_ID = 0
"""What stands before a row's first token; ``elman.text.vocabulary`` keeps it free."""

SMALL = 0.1
"""Standard deviation of vectors that are added to others at first."""


class PairEmbedding(nn.Module):
    """A vector for each pair of a token and the one before it, as linear models have n-grams.

    The network need not find out first which neighbours belong together (Chen et al. 2015, "Long
    Short-Term Memory Neural Networks for Chinese Word Segmentation", section 3.4). Where there are
    more pairs than vectors, several share one (Weinberger et al. 2009, "Feature Hashing for Large
    Scale Multitask Learning").

    Args:
        vocab_size: V, token ids there are.
        embedding_size: I.
        num_vectors: how many vectors the V * V pairs share.
    """

    def __init__(self, vocab_size: int, embedding_size: int, num_vectors: int):
        super().__init__()
        self.vocab_size = vocab_size
        self.table = nn.Embedding(num_vectors, embedding_size)
        # Small beside those of the tokens, which come first.
        nn.init.normal_(self.table.weight, std=SMALL)

    def forward(self, tokens: PackedSequence) -> Tensor:
        """Return (N, I), the first token's with padding before it."""
        before = ragged.previous(tokens, PADDING_ID)
        pairs = before.long() * self.vocab_size + tokens.data
        vectors: Tensor = self.table(pairs % self.table.num_embeddings)
        return vectors


class SubwordEmbedding(nn.Module):
    """A vector for a word by its spelling: the mean of those of its character n-grams.

    So words that were never seen have one, too, and forms of one word are near each other
    (Bojanowski et al. 2017, "Enriching Word Vectors with Subword Information", section 3.2).

    Args:
        embedding_size: I.
        num_vectors: how many vectors all n-grams share.
    """

    def __init__(self, embedding_size: int, num_vectors: int):
        super().__init__()
        self.table = nn.EmbeddingBag(num_vectors, embedding_size, mode="mean")
        nn.init.normal_(self.table.weight, std=SMALL)

    def forward(self, ids: Tensor, spelling: Spelling) -> Tensor:
        """Return (N, I) for token ids (N,); a token without n-grams gets zeros."""
        # Most tokens of a batch are the same few hundred words.
        unique, inverse = torch.unique(ids, return_inverse=True)
        used = unique.numpy(force=True)
        lengths, starts = spelling.lengths[used], spelling.starts[used]
        values = spelling.values[places_of(starts, lengths)]
        parts = (torch.from_numpy(one) for one in (values, offsets_of(lengths)))
        bags = self.table(*(part.to(self.table.weight.device) for part in parts))
        vectors: Tensor = bags.index_select(0, inverse)
        return vectors


class Standing:
    """Rows of an embedding that stand still in training while ``held``.

    The whole table is exempt from weight decay, which would else shrink these rows.

    Args:
        embedding: whose rows they are.
        ids: (rows,) which.
    """

    def __init__(self, embedding: nn.Embedding, ids: Tensor):
        self.held = True
        self._moves = torch.ones(embedding.num_embeddings, 1)
        self._moves[ids] = 0
        vars(embedding.weight)["decays"] = False
        embedding.weight.register_hook(self._without_rows)  # type: ignore[no-untyped-call]

    def _without_rows(self, gradient: Tensor) -> Tensor:
        return gradient * self._moves.to(gradient.device) if self.held else gradient


def start_from(
    embedding: nn.Embedding, ids: Tensor, vectors: Tensor, *, times: float = 1.0
) -> None:
    """Start some rows from vectors learnt elsewhere, whose size there says nothing here.

    Args:
        embedding: of V rows, as it was made.
        ids: (rows,) which.
        vectors: (rows, I).
        times: how much larger than the other rows they are made.
    """
    spread = vectors.square().mean().sqrt().clamp_min(1e-12)
    with torch.no_grad():
        own = embedding.weight.square().mean().sqrt()
        embedding.weight[ids] = (vectors * (times * own / spread)).to(embedding.weight)
