"""A run that is asked to be good at something: what it looks at, its threshold, its labels."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

import elman
import tiny
from elman import tasks
from elman.cli.app import run
from elman.errors import BundleError, ConfigError, DataError
from elman.tasks.classify.labels import AnyOf, OneOf

RARE = 4  # of the German names one in so many


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two models: of names of which few are German, and of names with what is in them."""
    folder = tmp_path_factory.mktemp("models")
    rows = [
        (name, "японская" if label == "ja" else "немецкая")
        for i, (name, label) in enumerate(zip(tiny.NAMES, tiny.LABELS, strict=True))
        if label == "ja" or i % RARE == 0
    ] * 2
    rows = [(f"{name}{'aio'[i % 3]}{i}", label) for i, (name, label) in enumerate(rows)]
    write(folder / "two.tsv", rows)
    signs = {"к": "есть к", "m": "has m"}
    several = []
    for i, name in enumerate(tiny.NAMES * 2):
        found = [
            label for sign, label in {"k": signs["к"], "m": signs["m"]}.items() if sign in name
        ]
        several.append((f"{name}{i}", json.dumps(found, ensure_ascii=False)))
    write(folder / "several.tsv", several)
    options = {"split": (0.6, 0.2, 0.2), "epochs": 3}
    tiny.train(folder / "two.tsv", out=folder / "two", metric="f1:немецкая", **options)
    tiny.train(folder / "several.tsv", out=folder / "several", multilabel=True, **options)
    return folder


def write(path, rows):
    with path.open("w", encoding="utf-8", newline="") as handle:
        writer = csv.writer(handle, delimiter="\t")
        writer.writerows([("text", "label"), *rows])


def table(path):
    with Path(path).open(encoding="utf-8", newline="") as handle:
        return [*csv.DictReader(handle)]


@pytest.fixture
def call(capsys, folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("COLUMNS", "120")

    def call(*argv):
        code = run([str(word) for word in argv])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def report(folder, name):
    return json.loads((folder / name / "metrics.json").read_bytes())


# -------------------------------------------------------------------------------------------------
# Two classes


def test_what_was_asked_for_stands_first_and_is_what_training_looks_at(folder):
    found = report(folder, "two")
    assert found["test"]["metric"] == "f1:немецкая"
    epochs = [json.loads(line) for line in (folder / "two/history.jsonl").read_text().splitlines()]
    for epoch in epochs:
        assert epoch["score"] == epoch["metrics"]["f1:немецкая"]
    for one in found["baselines"]:
        assert one["test"]["metric"] == "f1:немецкая"
    model = elman.load(folder / "two")
    scores = elman.evaluate(folder / "two", folder / "two.tsv")
    assert next(iter(scores.metrics)) == "f1:немецкая"
    assert model.labels.metric == "f1:немецкая"
    assert model.classes[model.labels.positive] == "немецкая"


def test_the_threshold_is_the_models_and_answers_with_it(folder):
    model = elman.load(folder / "two")
    threshold = model.labels.threshold
    assert 0 < threshold < 1
    assert json.loads((folder / "two/config.json").read_bytes())["model"]["labels"] == {
        "type": "one",
        "threshold": threshold,
        "positive": model.labels.positive,
        "offsets": [],
        "metric": "f1:немецкая",
    }
    names = [*tiny.NAMES, ""]
    rare = model.predict_proba(names)[:, model.labels.positive]
    wanted = ["немецкая" if p >= threshold else "японская" for p in rare]
    assert model.predict(names) == wanted
    rows = model.answer(names)
    assert [row["label"] for row in rows] == wanted
    for row, p in zip(rows, rare, strict=True):
        [top] = row["top"]
        assert top["label"] == row["label"]
        assert top["probability"] == pytest.approx(p if row["label"] == "немецкая" else 1 - p)


@pytest.mark.parametrize("threshold", [1e-6, 1 - 1e-6])
def test_another_threshold_for_once(folder, call, threshold):
    model = elman.load(folder / "two")
    answer = "немецкая" if threshold < 0.5 else "японская"
    assert {*model.predict(tiny.NAMES, threshold=threshold)} == {answer}
    assert model.answer(["ab"], threshold=threshold, top=2)[0]["top"][0]["label"] == answer
    code, out, _ = call("predict", "two", "kamoto", "--threshold", threshold)
    assert code == 0
    assert out.startswith(f"kamoto: {answer} ")
    code, out, _ = call("evaluate", "two", "two.tsv", "--threshold", threshold, "--json")
    scores = json.loads(out)
    assert scores["threshold"] == threshold
    [other] = [row for row in scores["classes"] if row["label"] != answer]
    assert other["recall"] == 0
    call("evaluate", "two", "two.tsv", "--threshold", threshold, "-o", "a.csv", "-f")
    rows = table("a.csv")
    assert {row["predicted"] for row in rows} == {answer}
    again = elman.evaluate(model, folder / "two.tsv", threshold=threshold)
    assert again.accuracy == pytest.approx(scores["accuracy"])


def test_evaluate_shows_what_thresholds_give(call):
    code, out, _ = call("evaluate", "two", "two.tsv")
    assert code == 0
    start = out.index("Thresholds from which немецкая is answered")
    lines = out[start:].splitlines()[1:]
    rows = [line.split() for line in lines[1 : lines.index("")]]
    assert 4 <= len(rows) <= 11
    thresholds = [float(row[0]) for row in rows]
    assert thresholds == sorted(thresholds, reverse=True)
    [used] = [row for row in rows if row[-2:] == ["in", "use"]]
    assert used[0] == f"{elman.load('two').labels.threshold:.3f}"
    card = Path("two/README.md").read_text(encoding="utf-8")
    assert f"немецкая is answered from a probability of {used[0]} on" in card
    assert "F1 of немецкая" in card
    assert {"precision-recall.png", "reliability.png"} <= {
        one.name for one in Path("two").iterdir()
    }


@pytest.mark.parametrize(
    ("options", "threshold"),
    [
        ({}, None),
        ({"metric": "log_loss"}, None),
        ({"metric": "accuracy"}, None),
        ({"metric": "average_precision"}, None),
        ({"threshold": 0.2}, 0.2),
        ({"metric": "macro_f1", "threshold": 0.2}, 0.2),
    ],
)
def test_a_threshold_that_is_not_chosen(folder, options, threshold):
    trained = tiny.train(folder / "two.tsv", epochs=1, **options)
    assert trained.model.labels.threshold == threshold
    scores = trained.report.test
    assert scores.threshold == threshold
    own = str(trained.model.labels.metric or "accuracy")
    assert next(iter(scores.metrics)) == own
    epoch = trained.history[0]
    if "metric" in options:
        assert abs(epoch.score) == pytest.approx(epoch.metrics[own])
    assert {one.test.metric for one in trained.report.baselines} == {trained.model.labels.metric}


def test_compare_is_about_what_was_asked_for(folder, call):
    words = [w for k, v in tiny.OPTIONS.items() for w in (f"--{k.replace('_', '-')}", v)]
    asked = ["--metric", "f1:немецкая", "--seeds", 1, "--cells", "elman,gru"]
    code, out, err = call("compare", "two.tsv", *words, *asked)
    assert code == 0
    assert out.split("\n")[1].split()[:4] == ["cell", "F1", "of", "немецкая"]
    assert "F1 of немецкая 0." in err


BAD = {
    "an unknown metric": ({"metric": "f2"}, "there is no metric 'f2'; did you mean f1"),
    "a class that is not there": (
        {"metric": "f1:немецкий"},
        "names no class; did you mean f1:немецкая",
    ),
    "a metric of several labels": ({"metric": "hamming_loss"}, "not for one label a text"),
    "a threshold out of range": ({"threshold": 1.5}, "must be above 0 and under 1"),
    "a word for a threshold": ({"threshold": "best"}, "it must be a number or 'auto'"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_asked_for(folder, name):
    options, said = BAD[name]
    with pytest.raises(ConfigError, match=said):
        tiny.train(folder / "two.tsv", **options)


def test_a_threshold_of_more_than_two_classes(tmp_path, call):
    three = tmp_path / "three.tsv"
    write(three, [(f"{name}{i}", "abc"[i % 3]) for i, name in enumerate(tiny.NAMES)])
    for threshold in ("auto", "0.4"):
        code, _, err = call("train", three, "--threshold", threshold, "--out", tmp_path / "model")
        assert code == 2
        assert err.count("\n") == 1
        assert "a threshold is for two classes; here there are 3" in err
    tiny.train(three, out=tmp_path / "model", epochs=1, metric="macro_f1")
    for command in (["predict", tmp_path / "model", "x"], ["evaluate", tmp_path / "model", three]):
        code, out, err = call(*command, "--threshold", "0.4")
        assert (code, out) == (2, "")
        assert "leave --threshold out" in err


# -------------------------------------------------------------------------------------------------
# Several labels


def test_several_labels_are_trained_judged_and_shown(folder, call):
    found = report(folder, "several")
    test = found["test"]
    assert next(iter(elman.evaluate(folder / "several", folder / "several.tsv").metrics)) == (
        "macro_f1"
    )
    assert [row["label"] for row in test["classes"]] == ["has m", "есть к"]
    assert len(test["thresholds"]) == 2
    assert test["unlabelled"] > 0
    assert {one["name"] for one in found["baselines"]} == {
        "always has m",
        "the network alone",
        "n-grams + logistic",
    }
    code, out, _ = call("evaluate", "several", "several.tsv")
    assert code == 0
    assert "subset accuracy" in out
    assert "Confusion" not in out
    names = {one.name for one in Path("several").iterdir()}
    assert {"precision-recall.png", "reliability.png"} <= names
    assert "confusion.png" not in names
    card = Path("several/README.md").read_text(encoding="utf-8")
    assert "| class | training texts | answered from |" in card
    assert "subset accuracy" in card


def test_answers_are_lists_of_labels(folder, call):
    model = elman.load(folder / "several")
    assert isinstance(model.labels, AnyOf)
    probabilities = model.predict_proba(tiny.NAMES)
    answered = probabilities >= np.array(model.labels.thresholds, dtype=np.float32)
    labels = [[c for c, on in zip(model.classes, row, strict=True) if on] for row in answered]
    assert model.predict(tiny.NAMES) == labels
    for row, wanted, given in zip(model.answer(tiny.NAMES), labels, probabilities, strict=True):
        assert {*row["labels"]} == {*wanted}
        assert row["probabilities"] == dict(
            sorted(zip(model.classes, given.tolist(), strict=True), key=lambda pair: -pair[1])
        )
        assert [top["label"] for top in row["top"]] == (
            row["labels"] or [*row["probabilities"]][:1]
        )
    everything = model.answer(["x"], threshold=1e-6)[0]
    assert {*everything["labels"]} == {*model.classes}
    assert model.predict(["x", ""], threshold=1 - 1e-6) == [[], []]
    code, out, _ = call("predict", "several", "x", "--threshold", "0.999999")
    assert out.startswith("x: no label (")
    _, out, _ = call("predict", "several", "x", "--threshold", "0.000001")
    assert out.count("%") == 2
    code, out, _ = call("predict", "several", "--steps", "kam")
    assert code == 0


def test_answers_in_a_table_are_read_again(folder, call):
    code, _, _ = call("predict", "several", "several.tsv", "-o", "b.csv", "-f")
    assert code == 0
    again = elman.evaluate(folder / "several", "b.csv", label="predicted")
    assert again.subset_accuracy == 1
    code, _, _ = call("evaluate", "several", "several.tsv", "-o", "c.csv", "-f")
    first = table("c.csv")[0]
    assert json.loads(first["label"]) == ["has m", "есть к"]
    assert len(json.loads(first["predicted"])) == len(json.loads(first["probability"]))


def test_lists_in_memory_and_metrics_of_labels(folder):
    rows = [(name, ["a"] * ("k" in name) + ["b"] * ("m" in name)) for name in tiny.NAMES]
    trained = tiny.train(rows, multilabel=True, epochs=1, metric="f1:b", threshold=0.3)
    assert trained.model.labels.thresholds == [0.3, 0.3]
    assert next(iter(trained.report.test.metrics)) == "f1:b"
    assert trained.history[0].score == trained.history[0].metrics["f1:b"]
    with pytest.raises(ConfigError, match="not for several labels a text"):
        tiny.train(rows, multilabel=True, metric="accuracy")
    balanced = tiny.train(rows, multilabel=True, epochs=1, balance=True)
    assert not np.array_equal(
        balanced.model.predict_proba(["kam"]), trained.model.predict_proba(["kam"])
    )


def test_labels_of_the_other_kind_are_refused(folder):
    with pytest.raises(DataError, match="several labels here, and the model answers one"):
        elman.evaluate(folder / "two", folder / "several.tsv", multilabel=True)
    model = elman.load(folder / "several")
    single = tasks.find("classify").read(folder / "two.tsv")
    with pytest.raises(DataError, match="a text has one here, and the model answers several"):
        model.evaluate(single)


def test_a_config_whose_labels_do_not_fit_is_damaged(folder, tmp_path):
    import shutil

    for labels in (AnyOf(thresholds=[0.5]), OneOf(threshold=0.5, positive=7)):
        copy = tmp_path / type(labels).__name__
        shutil.copytree(folder / ("several" if labels.several else "two"), copy)
        model = elman.load(copy)
        model.decisions = {"": labels}
        model.save(tmp_path / "again", force=True)
        with pytest.raises(BundleError, match="damaged"):
            elman.load(tmp_path / "again")
