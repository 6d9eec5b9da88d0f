"""The tagger on real corpora, trained from scratch with its defaults, beside CRFsuite.

    python benchmarks/tagging.py [--sets ewt,ru,conll] [--seeds 1] [--options '{"epochs": 3}']

Prints accuracy or the F1 of spans, the calibration error, what ``--recall 0.99`` finds and costs,
seconds of training, and how many sentences of raw text are tagged a second. The files are those of
``../shared/data`` (or ``$ELMAN_DATA``); sets that are not there are skipped.

* ewt: UD English EWT, train; judged on dev, UPOS.
* ru: Russian treebanks but GSD, without sentences that are in its dev part, on which is judged.
* conll: CoNLL-2003 English, train; judged on testa.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

import elman
from elman.data.tagged import Tagged, joined, read_tagged
from elman.errors import DataError

DATA = Path(os.environ.get("ELMAN_DATA", Path(__file__).parents[2] / "shared" / "data"))


def ewt() -> tuple[Tagged, Tagged]:
    return (
        read_tagged(DATA / "pos/en_ewt-ud-train.conllu.gz"),
        read_tagged(DATA / "pos/en_ewt-ud-dev.conllu"),
    )


def ru() -> tuple[Tagged, Tagged]:
    test = read_tagged(DATA / "pos/ru_gsd-ud-dev.conllu")
    files = sorted((DATA / "pos").glob("ru_*"))
    train = joined([read_tagged(file) for file in files if "gsd" not in file.name])
    unseen = {tuple(words) for words in test.tokens}
    return train.take([i for i, s in enumerate(train.tokens) if tuple(s) not in unseen]), test


def conll() -> tuple[Tagged, Tagged]:
    return read_tagged(DATA / "ner/eng.train"), read_tagged(DATA / "ner/eng.testa")


SETS: dict[str, Callable[[], tuple[Tagged, Tagged]]] = {"ewt": ewt, "ru": ru, "conll": conll}


def as_lists(part: Tagged) -> tuple[list[list[str]], list[list[str | None]]]:
    return part.tokens, part.tags


def speed(model: object, test: Tagged) -> float:
    """Return sentences of raw text a second, the median of five rounds."""
    texts = [" ".join(words) for words in test.tokens]
    model.answer(texts[:50])
    rounds = []
    for _ in range(5):
        start = time.perf_counter()
        model.answer(texts)
        rounds.append(len(texts) / (time.perf_counter() - start))
    return float(np.median(rounds))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--options", type=json.loads, default={}, help="of elman.train, as JSON")
    asked = parser.parse_args()
    for name in asked.sets.split(","):
        try:
            train, test = SETS[name]()
        except DataError as error:
            print(f"{name}: skipped ({error})")
            continue
        for seed in range(asked.seeds):
            trained = elman.train(
                as_lists(train), test=as_lists(test), task="tag", seed=seed, **asked.options
            )
            report = trained.report
            said = [f"{key} {value:.4f}" for key, value in report.test.metrics.items()]
            for one in report.baselines:
                said.append(f"{one.name}: {next(iter(one.test.metrics.values())):.4f}")
            if trained.model.types:
                found = trained.model.evaluate(trained.split.test, recall=0.99)
                said.append(f"recall 0.99: {found.recall:.4f} at precision {found.precision:.4f}")
            rate = speed(trained.model, test)
            print(f"{name}, seed {seed}: {', '.join(said)}")
            print(f"    {report.seconds:.0f} s of training, {rate:,.0f} sentences/s", flush=True)


if __name__ == "__main__":
    main()
