"""Linear models over n-grams of any kind: what is asked for is trained, saved and explained."""

import json

import numpy as np
import pytest

import elman
import tiny
from elman.cli.app import run
from elman.errors import ConfigError, InputError
from elman.tasks.classify import task
from elman.tasks.classify.linear import fit_models
from elman.tasks.classify.options import ClassifyOptions

GOOD = ["очень хорошо", "мне нравится", "хорошо и красиво", "это нравится всем"]
BAD = ["очень плохо", "мне не нравится", "плохо и страшно", "это не нравится"]
NEUTRAL = ["стол", "стул и стол", "это стол", "стул"]
TEXTS = [f"{text} {i}" for i in range(6) for text in (*GOOD, *BAD, *NEUTRAL)]
LABELS = (["за"] * 4 + ["против"] * 4 + ["ничего"] * 4) * 6
DATA = [*zip(TEXTS, LABELS, strict=True)]
TRUTH = np.array(LABELS)[:, None] == np.array(sorted({*LABELS}))
CHOICES = [
    *((kind, "both") for kind in ("counts", "binary", "hashing")),
    ("tfidf", "words"),
    ("hashing", "characters"),
]


@pytest.fixture(scope="module")
def usual():
    """A model of both linear models."""
    return tiny.train(DATA, model="ngrams").model


def test_the_defaults_train_both_models(usual):
    assert [one.kind for one in usual.module.linear] == ["ngrams", "naive Bayes"]


@pytest.mark.parametrize(("vectoriser", "ngrams"), CHOICES)
def test_what_is_asked_for_is_trained_saved_and_explained(tmp_path, vectoriser, ngrams):
    out = tmp_path / "m"
    asked = {"vectoriser": vectoriser, "ngrams": ngrams}
    model = tiny.train(DATA, out=out, model="ngrams", **asked).model
    [linear] = model.module.linear
    units = {"both": ["characters", "words"]}.get(ngrams, [ngrams])
    configs = [one.config for one in linear.vectorisers]
    assert [one.unit for one in configs] == units
    assert {one.weighting for one in configs} == {vectoriser}
    assert model.predict(["мне плохо", "нравится", "стул"]) == ["против", "за", "ничего"]
    loaded = elman.load(out)
    texts = [*GOOD, "", "совсем другое", "\ud83d ё"]
    np.testing.assert_array_equal(loaded.predict_proba(texts), model.predict_proba(texts))
    assert loaded.explain("не нравится") == model.explain("не нравится")
    if vectoriser == "hashing":
        assert (out / "ngrams.json").stat().st_size < 1000


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize(("vectoriser", "ngrams"), CHOICES)
def test_the_contributions_and_the_bias_are_the_score(vectoriser, ngrams, several):
    asked = {"vectoriser": vectoriser, "ngrams": ngrams, "several": several}
    [model] = fit_models(TEXTS, TRUTH, **asked)
    for text in ("мне не нравится стол", "ё", ""):
        summed = sum((one.scores for one in model.contributions(text)), np.zeros(3))
        score = model(model.rows([text]))[0].numpy() - model.bias.numpy()
        np.testing.assert_allclose(summed, score, atol=1e-5)


def test_the_signs_are_those_of_the_words(usual):
    found = usual.explain("стол не нравится", "против", top=100)
    assert found["label"] == "против"
    values = {(one["unit"], one["ngram"]): one["contribution"] for one in found["ngrams"]}
    assert values["words", "не"] > 0 > values["words", "стол"]
    assert values["characters", " не "] > 0 > values["characters", "тол"]
    sizes = [abs(value) for value in values.values()]
    assert sizes == sorted(sizes, reverse=True)
    assert len(usual.explain("стол не нравится")["ngrams"]) == 10


def test_the_class_that_is_answered_is_explained(usual):
    assert usual.explain("стул и стол")["label"] == "ничего"
    assert usual.explain("") == {"label": usual.predict([""])[0], "ngrams": []}
    [row] = usual.answer(["стул и стол"], explain=True)
    assert row["explained"] == [usual.explain("стул и стол")]


def test_what_cannot_be_explained_is_refused(usual):
    with pytest.raises(InputError, match="label is 'кот'; it must be one of за, ничего, против"):
        usual.explain("стол", "кот")
    with pytest.raises(ConfigError, match="top is 0"):
        usual.explain("стол", top=0)


def test_the_command_line_draws_a_table(usual, tmp_path, capsys):
    usual.save(tmp_path / "m")
    assert run(["predict", str(tmp_path / "m"), "--explain", "стол не нравится"]) == 0
    first, head, *lines = capsys.readouterr().out.splitlines()
    assert first.startswith("стол не нравится: ")
    assert head == f"  {usual.explain('стол не нравится')['label']}:"
    assert len(lines) == 10
    assert {"for", "against"} >= {line.rsplit(maxsplit=3)[-3] for line in lines}
    assert run(["predict", str(tmp_path / "m"), "--explain", "--json", "стол"]) == 0
    [row] = json.loads(capsys.readouterr().out)
    assert row["explained"] == [usual.explain("стол")]
    argv = ["predict", str(tmp_path / "m"), "--explain", "--format", "tsv", "стол"]
    assert run(argv) == 2
    assert "--explain cannot be shown in a table; use --json" in capsys.readouterr().err


def test_a_network_alone_says_so(tmp_path, capsys):
    out = tmp_path / "m"
    model = tiny.train(DATA, out=out, linear="off").model
    with pytest.raises(InputError, match="a network alone"):
        model.explain("стол")
    assert run(["predict", str(out), "--explain", "стол"]) == 2
    assert "has no n-grams to explain an answer by" in capsys.readouterr().err


def test_each_of_several_labels_is_explained():
    labels = [["нрав"] * ("нравится" in t) + ["нет"] * ("не" in t.split()) for t in TEXTS]
    model = tiny.train([*zip(TEXTS, labels, strict=True)], model="ngrams", multilabel=True).model
    both, none = model.answer(["это не нравится", "стол"], explain=True)
    assert {one["label"] for one in both["explained"]} == {*both["labels"]} == {"нрав", "нет"}
    for one in both["explained"]:
        assert one["ngrams"][0]["contribution"] > 0
    assert [one["label"] for one in none["explained"]] == [none["top"][0]["label"]]


def test_n_grams_that_nothing_would_read_are_refused():
    with pytest.raises(ConfigError, match=r"hashing of words.*linear is off"):
        ClassifyOptions(linear="off", vectoriser="hashing", ngrams="words")
    with pytest.raises(ConfigError, match=r"model is ngrams.*linear is off"):
        ClassifyOptions(model="ngrams", linear="off")
    plain = task.plain(ClassifyOptions(vectoriser="counts"))
    assert (plain.linear, plain.other_ngrams) == ("off", "")


def test_the_seconds_of_a_model_are_also_those_of_its_n_grams():
    assert tiny.train(DATA, model="ngrams").report.seconds > 0  # without a single epoch
    both = tiny.train(DATA)
    assert both.report.seconds > sum(epoch.seconds for epoch in both.history)
