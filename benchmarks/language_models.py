"""Language models: a training step beside the same model on nn.LSTM, and quality on real text.

    python benchmarks/language_models.py speed [--rounds 7] [--threads 2]
    python benchmarks/language_models.py quality [--sets char,word,names] [--seeds 1]

``speed`` trains both models on the same batches in turns (same sizes, optimiser, dropout, softmax)
and prints the median of the ratios of each round, with the smallest and the largest. ``quality``
trains with the defaults:

* char: tinyshakespeare by characters; the last tenth is the test part.
* word: Penn Treebank by words, with its line ends; judged on valid, tuned on the end of train.
* names: the built-in surnames by language; the share of what is written for a language that the
  surname classifier takes for that language, beside its share on real names of the test part.

The files are those of ``../shared/data`` (or ``$ELMAN_DATA``).
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

import elman
from elman.nn.language_model import LanguageModelConfig, RecurrentLanguageModel
from elman.nn.ragged import PackedSequence

DATA = Path(os.environ.get("ELMAN_DATA", Path(__file__).parents[2] / "shared" / "data"))

# What the defaults make of the two texts: vocabulary, sizes, rows and steps of a batch.
WORKS = {
    "characters": {"vocab_size": 67, "embedding_size": 128, "hidden_size": 512, "dropout": 0.4},
    "words": {
        "vocab_size": 10_002,
        "embedding_size": 256,
        "hidden_size": 512,
        "tied": True,
        "dropout": 0.5,
    },
}
SHAPES = {"characters": (100, 32), "words": (35, 32)}


class Peer(nn.Module):
    """The same model of torch's own layers."""

    def __init__(self, sizes: dict[str, Any]):
        super().__init__()
        vocabulary, width, units = (
            sizes[name] for name in ("vocab_size", "embedding_size", "hidden_size")
        )
        self.rate = sizes["dropout"]
        self.embedding = nn.Embedding(vocabulary, width)
        self.lstm = nn.LSTM(width, units)
        tied = sizes.get("tied", False)
        self.narrow = nn.Linear(units, width) if tied else nn.Identity()
        self.output = nn.Linear(width if tied else units, vocabulary)
        if tied:
            self.output.weight = self.embedding.weight

    def _dropped(self, x: torch.Tensor, rate: float) -> torch.Tensor:
        mask = x.new_empty(1, *x.shape[1:]).bernoulli_(1 - rate).div_(1 - rate)
        return x * mask

    def loss(self, ids: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Return the mean loss in nats."""
        read = self._dropped(self.embedding(ids), self.rate / 2)
        outputs, _ = self.lstm(read)
        logits = self.output(self.narrow(self._dropped(outputs, self.rate)))
        return functional.cross_entropy(logits.flatten(0, 1), targets.flatten())


def own_step(sizes: dict[str, Any], steps: int, rows: int) -> Callable[[], None]:
    rate = sizes["dropout"]
    given = {**sizes, "input_dropout": rate / 2, "output_dropout": rate}
    model = RecurrentLanguageModel(LanguageModelConfig(**given), "lstm")
    packed_sizes = torch.full((steps,), rows)

    def loss(ids: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        hidden, _, _ = model(PackedSequence(ids.flatten(), packed_sizes), model.begin(rows))
        return model.head.loss(hidden, targets.flatten())

    return stepping(model, loss, sizes["vocab_size"], steps, rows)


def peer_step(sizes: dict[str, Any], steps: int, rows: int) -> Callable[[], None]:
    model = Peer(sizes)
    return stepping(model, model.loss, sizes["vocab_size"], steps, rows)


def stepping(
    model: nn.Module, loss: Callable[..., torch.Tensor], vocabulary: int, steps: int, rows: int
) -> Callable[[], None]:
    torch.manual_seed(0)
    ids = torch.randint(0, vocabulary, (steps + 1, rows))
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    parameters = [*model.parameters()]

    def step() -> None:
        optimiser.zero_grad()
        loss(ids[:-1], ids[1:]).backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()

    return step


def speed(rounds: int, threads: int) -> None:
    torch.set_num_threads(threads)
    print(f"{threads} threads; a training step, milliseconds, median of {rounds} rounds")
    for name, sizes in WORKS.items():
        steps, rows = SHAPES[name]
        works = [make(sizes, steps, rows) for make in (own_step, peer_step)]
        times = np.array([[seconds(work) for work in works] for _ in range(rounds + 2)])[2:]
        ratios = times[:, 1] / times[:, 0]
        own, peer = np.median(times, axis=0) * 1e3
        print(
            f"{name}: elman {own:.1f}, nn.LSTM {peer:.1f}; ratio {np.median(ratios):.2f} "
            f"({ratios.min():.2f} to {ratios.max():.2f}); {steps * rows / own * 1e3:,.0f} tokens/s"
        )


def seconds(work: Callable[[], None], repeats: int = 4) -> float:
    start = time.perf_counter()
    for _ in range(repeats):
        work()
    return (time.perf_counter() - start) / repeats


def quality(sets: list[str], seeds: int, options: dict[str, Any]) -> None:
    for name in sets:
        for seed in range(seeds):
            start = time.perf_counter()
            if name == "names":
                names(seed, options)
                continue
            trained = running(name, {**options, "seed": seed})
            scores = trained.report.test
            beside = ", ".join(
                f"{one.name} {one.test.nats:.4f}" for one in trained.report.baselines
            )
            print(
                f"{name} seed {seed}: {scores.nats:.4f} nats a {scores.unit}, perplexity "
                f"{scores.perplexity:.2f} ({beside}); trained in {trained.report.seconds:.0f} s, "
                f"epoch {trained.report.best_epoch} of {trained.report.epochs} kept; all "
                f"{time.perf_counter() - start:.0f} s",
                flush=True,
            )
            if name == "char":
                print(trained.model.generate("ROMEO:\n", temperature=0.8, seed=0)[0]["text"])


def running(name: str, options: dict[str, Any]) -> Any:
    if name == "char":
        file = DATA / "charlm/tinyshakespeare.txt"
        return elman.train(file, split=(0.85, 0.05, 0.1), **options)
    folder = DATA / "wordlm"
    data, test = folder / "ptb.train.txt.gz", folder / "ptb.valid.txt"
    return elman.train(data, test=test, task="generate", **{"tokens": "words", **options})


def names(seed: int, options: dict[str, Any]) -> None:
    writer = elman.train("names-generate", seed=seed, **options)
    judge = elman.train("surnames", seed=seed, linear="off")
    real = judge.report.test.accuracy
    share = []
    for label in writer.model.labels:
        rows = writer.model.generate(label=label, n=100, seed=seed, max_new_tokens=40)
        written = [row["text"] for row in rows]
        said = judge.model.predict(written)
        share.append(float(np.mean([one == label for one in said])))
    known = set(writer.split.train.texts())
    print(
        f"names seed {seed}: {np.mean(share):.3f} of the written names are taken for the language "
        f"that was asked for; of real ones {real:.3f}; ratio {np.mean(share) / real:.2f}; nats "
        f"{writer.report.test.nats:.4f}; {len(known):,} names learnt from"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("what", choices=["speed", "quality"])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--sets", default="char,word,names")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--options", type=json.loads, default={})
    given = parser.parse_args()
    if given.what == "speed":
        speed(given.rounds, given.threads)
    else:
        quality(given.sets.split(","), given.seeds, given.options)
