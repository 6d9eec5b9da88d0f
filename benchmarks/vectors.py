"""Whether word vectors help where few texts have labels: accuracy and macro-F1 in mean and spread.

    python benchmarks/vectors.py FILE [FILE ...] --labelled 500 --judged 1000 --seeds 3

Of each file so many texts are trained on, half as many validated on, and others judged; the labels
of all that are left are thrown away. Vectors learnt from these (`--unlabelled`) are compared with
none.
"""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

import numpy as np

import elman
from elman.data.source import read_data

WAYS = {
    "none": {},
    "tuned": {"vectors_mode": "tuned"},
    "warm": {"vectors_mode": "warm"},
    "frozen": {"vectors_mode": "frozen"},
}


def cut(examples, sizes, seed):
    """Return parts of so many examples each, of distinct texts, and the texts of all others."""
    first = {text: row for row, text in reversed(list(enumerate(examples.texts)))}
    rows = np.random.default_rng(seed).permutation(sorted(first.values()))
    ends = np.cumsum(sizes)
    parts = [examples.take(part) for part in np.split(rows, ends)]
    return parts[:-1], parts[-1].texts


def known(part, labels):
    """Return the examples whose label is one of these."""
    return part.take([i for i, label in enumerate(part.labels) if label in labels])


def table(part):
    return {"text": part.texts, "label": part.labels}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="+")
    parser.add_argument("--labelled", type=int, default=500)
    parser.add_argument("--judged", type=int, default=1000)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--ways", default=",".join(WAYS))
    parser.add_argument("--epochs", type=int)
    asked = parser.parse_args()
    for file in asked.files:
        examples = read_data(file)
        for way in asked.ways.split(","):
            print_row(examples, file, way, asked)


def print_row(examples, file, way, asked):
    scores = []
    for seed in range(asked.seeds):
        sizes = [asked.labelled, asked.labelled // 2, asked.judged]
        (train, valid, test), others = cut(examples, sizes, seed)
        valid, test = (known(part, set(train.labels)) for part in (valid, test))
        with tempfile.TemporaryDirectory() as folder:
            corpus = Path(folder, "others.txt")
            corpus.write_text("\n".join(" ".join(text.split()) for text in others))
            options = dict(WAYS[way], unlabelled=str(corpus)) if way != "none" else {}
            trained = elman.train(
                table(train),
                valid=table(valid),
                test=table(test),
                tokens="words",
                seed=seed,
                epochs=asked.epochs,
                progress=False,
                **options,
            )
        report = trained.report
        models = {one.name: one.test for one in report.baselines if not one.constant}
        models["both"] = report.test
        scores.append({name: (one.accuracy, one.macro_f1) for name, one in models.items()})
    print(f"{Path(file).name}, {len(others):,} unlabelled texts, vectors: {way}")
    for name in scores[0]:
        pairs = zip(*(one[name] for one in scores), strict=True)
        means = (f"{statistics.mean(one):.3f} ± {statistics.stdev(one):.3f}" for one in pairs)
        print(f"  {name:24} accuracy {'  macro-F1 '.join(means)}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
