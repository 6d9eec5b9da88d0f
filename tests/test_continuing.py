"""Going on from a classifier: known classes by name, new ones fresh; other data, other labels."""

from pathlib import Path

import numpy as np
import pytest

import elman
import tiny
from elman.cli.app import run
from elman.errors import ConfigError


@pytest.fixture
def first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("names.tsv").write_text(tiny.LINES, encoding="utf-8")
    return tiny.train("names.tsv", out="first")


def rows(tensor, classes, names):
    return [tensor[classes.index(name)].numpy().tobytes() for name in names]


def test_weights_of_known_classes_are_kept_by_name(first):
    """New classes stand before, between and behind those that are known."""
    more = "".join(f"иван{a}\tан\nпётр{a}\tея\nsan{a}\tzz\n" for a in "абвгдежзик")
    Path("more.tsv").write_text(tiny.LINES + more, encoding="utf-8")
    model = elman.train("more.tsv", init="first", epochs=1, learning_rate=1e-30).model
    assert model.classes == ("de", "ja", "zz", "ан", "ея")
    own, theirs = model.network.state_dict(), first.model.network.state_dict()
    for name, tensor in own.items():
        if name.startswith("output."):
            known = rows(tensor, model.classes, ("de", "ja"))
            assert known == rows(theirs[name], first.model.classes, ("de", "ja"))
        else:
            assert tensor.numpy().tobytes() == theirs[name].numpy().tobytes()
    assert model.tokenizer.to_json() == first.model.tokenizer.to_json()


def test_classes_without_a_text_are_left_out_and_said(first):
    more = "".join(f"bau{a}\tde\nиван{a}\tру\n" for a in "абвгдежзик")
    Path("more.tsv").write_text(more, encoding="utf-8")
    trained = elman.train("more.tsv", init=first, epochs=1)
    assert trained.model.classes == ("de", "ру")
    assert "new to the model (--init): 1 class ('ру')" in trained.report.notes
    said = "known to the model (--init), without a text here and left out: 1 class ('ja')"
    assert said in trained.report.notes


def test_more_epochs_begin_where_the_model_is(first):
    again = elman.train("names.tsv", init="first", epochs=1, batch_size=8)
    anew = tiny.train("names.tsv", epochs=1)
    assert again.history[0].loss < anew.history[0].loss
    assert again.model.settings == first.model.settings


def test_columns_are_looked_for_by_the_names_of_the_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    table = tiny.LINES.replace("\t", ",")
    Path("a.csv").write_text("фамилия,язык\n" + table, encoding="utf-8")
    tiny.train("a.csv", out="first", text="фамилия", label="язык")
    lines = [line.split(",") for line in table.split()]
    body = "".join(f"{i},{name},у,{label}\n" for i, (name, label) in enumerate(lines))
    Path("b.csv").write_text("n,фамилия,x,язык\n" + body, encoding="utf-8")
    trained = elman.train("b.csv", init="first", epochs=1)
    assert trained.model.classes == ("de", "ja")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (
            {"hidden_size": 9},
            "--init is a model with hidden_size 8, not 9; leave out --hidden-size",
        ),
        ({"tokens": "auto"}, "--init is a model with tokens characters, not auto"),
        ({"tokens": "words"}, "--init is a model with tokens characters, not words"),
        ({"pooling": "mean"}, "--init is a model with pooling last, not mean"),
        ({"bidirectional": False}, "--init is a model with bidirectional True, not False"),
        ({"max_length": 9}, "--init is a model with max_length 512, not 9"),
        ({"min_count": 1}, "--min-count is decided by the model that --init names; leave it out"),
        ({"cell": "gru"}, "--init is a model with cell lstm, not gru; leave out --cell"),
    ],
)
def test_what_the_model_has_decided_cannot_be_other(first, options, said):
    with pytest.raises(ConfigError, match=said):
        elman.train("names.tsv", init="first", **options)


def test_a_default_that_is_given_is_asked_for_too(first, capsys):
    tiny.train("names.tsv", out="gru", cell="gru", epochs=1)
    command = ["train", "names.tsv", "--init", "gru", "--epochs", "1", "--quiet"]
    said = "--init is a model with cell gru, not lstm; leave out --cell"
    assert run([*command, "--cell", "lstm"]) == 2
    assert said in capsys.readouterr().err
    Path("asked.toml").write_text('cell = "lstm"\n', encoding="utf-8")
    assert run([*command, "--config", "asked.toml"]) == 2
    assert said in capsys.readouterr().err
    assert run([*command, "--cell", "gru"]) == run(command) == 0


def test_only_one_network_can_be_gone_on_from(first):
    several = tiny.train("names.tsv", seeds=2, epochs=1)
    with pytest.raises(ConfigError, match=r"--init has 2 networks \(lstm classifier of 2 networks"):
        elman.train("names.tsv", init=several, epochs=1)
    alone = elman.train("names.tsv", model="ngrams")
    with pytest.raises(ConfigError, match=r"--init has no network \(n-gram classifier\); go on"):
        elman.train("names.tsv", init=alone, epochs=1)
    with pytest.raises(ConfigError, match="--init is a model with model network, not ngrams"):
        elman.train("names.tsv", init=first, model="ngrams")


def test_what_training_decides_can_be_other(first):
    options = {"dropout": 0.3, "token_dropout": 0.3, "batch_size": 4, "learning_rate": 0.1}
    trained = elman.train("names.tsv", init="first", epochs=1, out="more", **options)
    assert np.isfinite(trained.model.predict_proba(tiny.NAMES)).all()
    kept = Path("more/train.toml").read_text(encoding="utf-8")
    assert "dropout = 0.3" in kept
    assert "embedding_size" not in kept
