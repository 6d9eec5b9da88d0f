"""One training epoch here, beside plain PyTorch's padded and packed loops of the same model.

The model is the one a PyTorch tutorial would write: embedding of 16, an LSTM of 64 units in one
direction, its last output, a linear layer; dropout of 0.25 after the embedding and 0.5 before the
linear layer, as `elman train` has it; batches of 128 names of 2 to 18 characters; AdamW, gradients
clipped to norm 1. All loops see the same names and do the same number of updates.

Prints ratios within one run (median over rounds in turn, with the spread), so that a noisy machine
does not favour one of them:  python benchmarks/train_epoch.py [--rounds 7] [--threads 2]
"""

from __future__ import annotations

import argparse
import platform
import statistics
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence

from elman.data.examples import Examples
from elman.data.splits import Split
from elman.tasks.classify.learner import ClassifierLearner, Corpus, Prepared
from elman.tasks.classify.model import Classifier, ClassifierConfig
from elman.tasks.classify.options import ClassifyOptions
from elman.text.tokenizer import CharacterTokenizer, Encoded
from elman.training.trainer import Trainer

EMBEDDING, HIDDEN, BATCH, CLASSES, VOCABULARY, NAMES = 16, 64, 128, 18, 60, 12_800
DROPOUT = 0.5


def names(seed: int = 0) -> Corpus:
    """Return random names with lengths like those of surnames: 2 to 18, about 7 on average."""
    rng = np.random.default_rng(seed)
    lengths = np.clip(np.round(rng.normal(7.2, 2.2, NAMES)), 2, 18).astype(np.int64)
    values = rng.integers(2, VOCABULARY, lengths.sum(), dtype=np.int32)
    return Corpus(Encoded(values, lengths), rng.integers(0, CLASSES, NAMES))


class Plain(nn.Module):
    """The tutorial's model, over padded batches; ``packed`` says how the LSTM takes them."""

    def __init__(self, *, packed: bool):
        super().__init__()
        self.packed = packed
        self.embedding = nn.Embedding(VOCABULARY, EMBEDDING, padding_idx=0)
        self.lstm = nn.LSTM(EMBEDDING, HIDDEN, batch_first=True)
        self.output = nn.Linear(HIDDEN, CLASSES)
        self.dropout = nn.Dropout(DROPOUT)
        self.embedding_dropout = nn.Dropout(DROPOUT / 2)

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        """Return the logits (B, C) of padded tokens (B, T)."""
        vectors = self.embedding_dropout(self.embedding(tokens))
        if self.packed:
            ragged = pack_padded_sequence(vectors, lengths, batch_first=True, enforce_sorted=False)
            _, (last, _) = self.lstm(ragged)
            return self.output(self.dropout(last[0]))
        outputs, _ = self.lstm(vectors)
        last = outputs[torch.arange(len(lengths)), lengths - 1]
        return self.output(self.dropout(last))


def plain_epoch(corpus: Corpus, *, packed: bool) -> Callable[[], None]:
    """Return one epoch of the plain loop: shuffle, pad, forward, backward, update."""
    torch.manual_seed(0)
    model = Plain(packed=packed)
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    rows = torch.from_numpy(corpus.encoded.values.astype(np.int64)).split(
        corpus.encoded.lengths.tolist()
    )
    targets = torch.from_numpy(corpus.targets)

    def epoch() -> None:
        for chosen in torch.randperm(len(rows)).split(BATCH):
            batch = [rows[i] for i in chosen.tolist()]
            lengths = torch.tensor([len(row) for row in batch])
            optimiser.zero_grad(set_to_none=True)
            logits = model(pad_sequence(batch, batch_first=True), lengths)
            functional.cross_entropy(logits, targets[chosen]).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimiser.step()

    return epoch


def elman_epoch(corpus: Corpus, backend: str) -> Callable[[], None]:
    """Return one epoch of Elman's own trainer, validation on one text."""
    torch.manual_seed(0)
    network = ClassifierConfig(
        vocab_size=VOCABULARY,
        num_classes=CLASSES,
        embedding_size=EMBEDDING,
        hidden_size=HIDDEN,
        bidirectional=False,
        dropout=DROPOUT,
        embedding_dropout=DROPOUT / 2,
    )
    options = ClassifyOptions(
        batch_size=BATCH,
        hidden_size=HIDDEN,
        epochs=1_000_000,
        patience=1_000_000,
        learning_rate=1e-3,
        # The same loss as the plain loops'.
        label_smoothing=0.0,
        logit_adjustment=0.0,
    )
    none = Examples([], [], "random")
    prepared = Prepared(
        options=options,
        tokenizer=CharacterTokenizer.fit(["a"]),  # the texts are encoded already
        classes=[str(i) for i in range(CLASSES)],
        split=Split(none, none, none, ()),
        train=corpus,
        valid=Corpus(Encoded(corpus.encoded.values[:2], np.array([2])), corpus.targets[:1]),
        notes=(),
    )
    learner = ClassifierLearner(Classifier(network, "lstm", backend=backend), prepared)
    trainer = Trainer(learner)
    return lambda: trainer.state.history.append(trainer.epoch())


def main() -> None:
    """Time all loops in turn and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    corpus = names()
    loops = {
        "plain PyTorch, padded": plain_epoch(corpus, packed=False),
        "plain PyTorch, packed": plain_epoch(corpus, packed=True),
        "Elman, llvm": elman_epoch(corpus, "llvm"),
        "Elman, builtin": elman_epoch(corpus, "builtin"),
        "Elman, eager": elman_epoch(corpus, "eager"),
    }
    seconds: dict[str, list[float]] = {name: [] for name in loops}
    for number in range(options.rounds + 1):
        for name, epoch in loops.items():
            start = time.perf_counter()
            epoch()
            if number:  # the first round warms up
                seconds[name].append(time.perf_counter() - start)
    print(
        f"{NAMES:,} names, {options.threads} threads, torch {torch.__version__}, "
        f"{platform.machine()}, {options.rounds} rounds"
    )
    print(f"{'loop':24}{'s an epoch':>12}{'padded / it':>14}{'spread':>16}")
    padded = seconds["plain PyTorch, padded"]
    for name, times in seconds.items():
        ratios = [a / b for a, b in zip(padded, times, strict=True)]
        spread = f"{min(ratios):.2f}-{max(ratios):.2f}"
        print(
            f"{name:24}{statistics.median(times):12.3f}{statistics.median(ratios):13.2f}x"
            f"{spread:>16}"
        )


if __name__ == "__main__":
    main()
