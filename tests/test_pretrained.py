"""A classifier that starts from word vectors: of a file, or learnt from unlabelled texts."""

import json
import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

import elman
from elman.cli.app import run
from elman.errors import ConfigError, DataError
from elman.nn.embedding import Standing, start_from
from elman.tasks.classify import pretrained
from elman.text.vectors.table import Vectors
from elman.training import embed

GOOD = ["хороший", "отличный", "good", "fine"]
BAD = ["плохой", "ужасный", "bad", "poor"]
THINGS = ["фильм", "book", "обед", "hotel", "день", "song"]
TEXTS = [f"это {a} {thing}, {i}" for i, thing in enumerate(THINGS) for a in (*GOOD, *BAD)]
LABELS = [label for _ in THINGS for label in ["pos"] * 4 + ["neg"] * 4]
OPTIONS = {
    "tokens": "words",
    "hidden_size": 4,
    "epochs": 4,
    "batch_size": 8,
    "patience": 9,
    "learning_rate": 0.02,
    "progress": False,
    "linear": "off",
}
SIZE = 6


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [f"{text}\t{label}\n" for text, label in zip(TEXTS, LABELS, strict=True)]
    Path("reviews.tsv").write_text("".join(rows), encoding="utf-8")
    words = ["Это", *GOOD, *BAD[:3], "город", "New York", "Фильм"]
    matrix = 7 * np.random.default_rng(0).normal(size=(len(words), SIZE))
    lines = [f"{w} {' '.join(map(str, row))}" for w, row in zip(words, matrix, strict=True)]
    head = f"{len(words)} {SIZE}"
    Path("vectors.txt").write_text("\n".join([head, *lines]) + "\n", encoding="utf-8")
    Path("more.txt").write_text("\n".join(f"очень {text}" for text in TEXTS * 3), encoding="utf-8")
    return tmp_path


def train(**options):
    return elman.train("reviews.tsv", **{**OPTIONS, "vectors": "vectors.txt", **options})


def network(trained):
    [found] = trained.model.module.networks
    return found


def rows_of(trained, words):
    entries = trained.model.tokenizer.entries
    weight = network(trained).embedding.weight.detach().numpy()
    return weight[[entries.index(word) for word in words]]


def test_rows_start_as_large_as_is_asked_for():
    embedding = torch.nn.Embedding(50, 8)
    torch.nn.init.normal_(embedding.weight, std=0.1)
    before = embedding.weight.detach().clone()
    vectors = 30 * torch.randn(20, 8)
    start_from(embedding, torch.arange(10, 30), vectors, times=3)
    after = embedding.weight.detach()
    assert torch.equal(after[:10], before[:10])
    assert torch.equal(after[30:], before[30:])
    rows = after[10:30]
    size, expected = (float(one.square().mean().sqrt()) for one in (rows, before))
    assert size == pytest.approx(3 * expected, rel=1e-5)
    assert torch.allclose(rows / rows.norm(), vectors / vectors.norm(), atol=1e-6)


def test_rows_that_stand_still_are_left_alone_by_the_optimiser():
    from elman.training import optimisers
    from elman.training.options import Schedule

    embedding = torch.nn.Embedding(6, 3)
    standing = Standing(embedding, torch.tensor([1, 4]))
    schedule = Schedule(
        seed=0, epochs=1, patience=1, learning_rate=0.1, weight_decay=0.5, unit="texts"
    )
    optimiser = optimisers.make(embedding, schedule)
    before = embedding.weight.detach().clone()

    def step():
        optimiser.zero_grad()
        embedding(torch.arange(6)).square().sum().backward()
        optimiser.step()
        moved = (embedding.weight.detach() != before).any(dim=1)
        return moved.nonzero().flatten().tolist()

    assert step() == [0, 2, 3, 5]
    standing.held = False
    assert step() == [0, 1, 2, 3, 4, 5]


def test_the_vocabulary_knows_the_files_words_and_its_size_is_taken():
    trained = train(epochs=1)
    assert trained.model.module.networks[0].config.embedding_size == SIZE
    entries = trained.model.tokenizer.entries
    assert {"это", *GOOD, *BAD, "город"} <= {*entries}  # one that no text has, too
    assert "фильм" in entries  # the file has another case
    assert "new york" not in entries
    note = trained.report.notes[-1]
    assert note.startswith("vectors of vectors.txt (tuned): 9 of 22 words (41%), and 4")
    assert note.endswith(" of the running words of the training part; 1 other word known besides")


@pytest.mark.parametrize("mode", ["tuned", "warm", "frozen"])
def test_what_stands_still_and_what_is_tuned(mode):
    seen = []

    class Look:
        def begin(self, task, split, learner):
            self.learner = learner
            self.words = [w for w in GOOD if w in learner.prepared.tokenizer.entries]
            self.on_epoch(None)

        def on_batch(self, progress): ...

        def on_epoch(self, epoch):
            entries = self.learner.prepared.tokenizer.entries
            weight = self.learner.model.embedding.weight.detach()
            seen.append(weight[[entries.index(word) for word in self.words]].numpy().copy())

        def end(self, fitted): ...

    train(vectors_mode=mode, epochs=8, callbacks=[Look()])
    still = [np.array_equal(a, b) for a, b in pairwise(seen)]
    assert (
        still
        == {
            "tuned": [False] * 8,
            "warm": [True] * 2 + [False] * 6,  # a quarter
            "frozen": [True] * 8,
        }[mode]
    )
    file = Vectors.load("vectors.txt", words=GOOD)
    ratio = seen[0] / np.array([file[word] for word in GOOD])
    assert np.allclose(ratio, ratio[0, 0], rtol=1e-4)


class StopAt:
    def __init__(self, epoch):
        self.stop = epoch

    def begin(self, task, split, learner): ...

    def on_batch(self, progress):
        if progress.epoch == self.stop:
            raise KeyboardInterrupt

    def on_epoch(self, epoch): ...

    def end(self, fitted): ...


SOURCES = {
    "vectors": {"vectors_mode": "warm"},
    "unlabelled": {"vectors": None, "unlabelled": "more.txt", "embedding_size": 5},
}


@pytest.mark.parametrize("source", SOURCES)
def test_a_seed_repeats_it_a_resumed_run_ends_alike_and_a_folder_keeps_it(source):
    options = {**SOURCES[source], "epochs": 5}
    train(**options, out="unbroken")
    train(**options, out="again")
    train(**options, out="model", callbacks=[StopAt(2)])
    resumed = train(**options, out="model", resume=True)
    for file in ("model.safetensors", "config.json", "tokenizer.json"):
        expected = Path("unbroken", file).read_bytes()
        assert Path("again", file).read_bytes() == expected, file
        assert Path("model", file).read_bytes() == expected, file
    texts = ["плохой фильм", "отличный город", ""]
    Path("vectors.txt").unlink()  # of which a model needs nothing more
    Path("more.txt").unlink()
    loaded = elman.load("model")
    assert np.array_equal(loaded.predict_proba(texts), resumed.model.predict_proba(texts))


def test_vectors_are_learnt_from_the_training_part_and_what_nobody_judges(monkeypatch):
    given = []
    learn = embed.train
    monkeypatch.setattr(
        pretrained.embed,
        "train",
        lambda texts, options, watch: (
            given.append((list(texts), options)) or learn(given[0][0], options, watch)
        ),
    )
    Path("more.txt").write_text("\n".join([*TEXTS, "новый текст", "ещё один"]), encoding="utf-8")
    trained = train(vectors=None, unlabelled="more.txt", seed=3, epochs=1)
    [(texts, options)] = given
    split = trained.split
    assert not {*texts} & {*split.valid.texts, *split.test.texts}
    assert {*texts} == {*split.train.texts, "новый текст", "ещё один"}
    assert (options.seed, options.size, options.threads) == (3, 96, 1)
    left_out = len(split.valid) + len(split.test)
    assert f"{left_out} texts of more.txt left out" in trained.report.notes[-2]
    assert "100.0% of the running words" in trained.report.notes[-1]


class Preparing:
    def __init__(self):
        self.told = []

    def on_preparing(self, share, text):
        self.told.append((share, text))

    def close(self):
        self.told.append("close")


def test_that_vectors_are_learnt_is_told(capsys):
    told = Preparing()
    train(vectors=None, unlabelled="more.txt", epochs=1, callbacks=[told], progress=True)
    begins, *between, ends = told.told[:-1]
    assert begins == (0, "word vectors are learnt from more.txt and the training part …")
    assert all(0 <= share < 1 and text.startswith("vectors: ") for share, text in between)
    assert re.fullmatch(r"vectors of \d+ words learnt from \d+ texts", ends[1])
    assert ends[0] == 1
    assert told.told[-1] == "close"
    lines = capsys.readouterr().err.splitlines()
    assert lines[:2] == [begins[1], ends[1]]


@pytest.mark.parametrize("quiet", [[], ["--quiet"]])
def test_that_vectors_are_learnt_is_told_on_stderr(quiet, capsys):
    command = ["train", "reviews.tsv", "--unlabelled", "more.txt", "--tokens", "words", "--json"]
    assert run([*command, "--epochs", "1", *quiet]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["task"] == "classify"
    if quiet:
        assert "vectors" not in err
        return
    begins, ends = err.splitlines()[:2]
    assert begins == "word vectors are learnt from more.txt and the training part …"
    assert re.fullmatch(r"vectors of \d+ words learnt from \d+ texts", ends)


def test_whose_vectors_cannot_be_learnt_is_told_that_it_is_over():
    Path("more.txt").write_text("", encoding="utf-8")
    told = Preparing()
    with pytest.raises(DataError):
        train(vectors=None, unlabelled="more.txt", callbacks=[told])
    assert told.told[-1] == "close"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"embedding_size": 5}, "vectors of 6 numbers and embedding_size is 5"),
        ({"tokens": "characters"}, "vectors is for models by words"),
        ({"unlabelled": "more.txt"}, "leave one of the two out"),
        ({"vectors": None, "vectors_mode": "warm"}, "there are no vectors"),
        ({"model": "ngrams"}, "vectors is for the network"),
        ({"vectors": "nothing.bin"}, "no file 'nothing.bin'"),
        ({"vectors": "short.txt"}, "short.txt ends within line 9; it is cut off"),
        ({"vectors": "other.txt"}, "other.txt has none of the"),
        ({"init": "model"}, "and so does init"),
        ({"vectors": "reviews.tsv"}, "reviews.tsv holds no word vectors"),
        ({"vectors": None, "unlabelled": "nothing.txt"}, "no file 'nothing.txt'"),
        ({"vectors": None, "unlabelled": "more.txt", "tokens": "characters"}, "by words"),
    ],
)
def test_bad_requests_are_one_sentence(options, said, capsys):
    data = Path("vectors.txt").read_bytes()
    Path("short.txt").write_bytes(b"\n".join(data.split(b"\n")[:9])[:-30])
    Path("other.txt").write_text("2 6\n日本 1 2 3 4 5 6\n京都 6 5 4 3 2 1\n", encoding="utf-8")
    if "init" in options:
        train(vectors=None, epochs=1, out="model")
    with pytest.raises((ConfigError, DataError), match=said):
        train(**options)
    given = {"vectors": "vectors.txt", **options}
    words = [w for k, v in given.items() if v for w in (f"--{k.replace('_', '-')}", str(v))]
    argv = ["train", "reviews.tsv", "--out", "m", *words]
    assert run(argv if "tokens" in options else [*argv, "--tokens", "words"]) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("elman: ")
    assert not Path("m").exists()


def test_a_model_tells_the_name_of_the_file_and_not_where_it_lies(here):
    Path("secret").mkdir()
    place = Path("vectors.txt").rename("secret/vectors.txt").absolute()
    train(vectors=place, epochs=1, out="model")
    for file in Path("model").iterdir():
        assert b"secret" not in file.read_bytes(), file.name
    assert 'vectors = "vectors.txt"' in Path("model/train.toml").read_text()


def test_the_linear_models_beside_it_need_no_vectors():
    trained = train(linear="on", epochs=1)
    assert len(trained.model.module.linear) > 0
    assert {"n-grams + logistic"} <= {one.name for one in trained.report.baselines}


def test_the_estimator_takes_them_too():
    made = elman.TextClassifier(
        tokens="words", vectors="vectors.txt", vectors_mode="frozen", hidden_size=4, epochs=2
    )
    made.fit(TEXTS, LABELS)
    assert made.model_.module.networks[0].config.embedding_size == SIZE


def test_unlabelled_texts_are_cleaned_as_the_others_are():
    trained = train(
        vectors=None, unlabelled="more.txt", clean="punctuation,negation", epochs=1, linear="off"
    )
    assert "," not in trained.model.tokenizer.entries
    assert "очень" in trained.model.tokenizer.entries
