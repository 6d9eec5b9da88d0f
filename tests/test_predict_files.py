"""`elman predict MODEL FILE`, whatever the task; and `elman check`."""

import csv
import io
import json
import sys
from pathlib import Path

import polars as pl
import pytest

import elman
import tiny
from elman.cli.app import run

TABLE = 'id,name,group\n1,kamoto,a\n2,"Bau, mann",b\n3,,c\n'


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    return tmp_path


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    place = tmp_path_factory.mktemp("models") / "names"
    rows = [tuple(line.split("\t")) for line in tiny.LINES.splitlines()]
    elman.train(rows, out=place, progress=False, **{**tiny.OPTIONS, "epochs": 1})
    return place


@pytest.fixture
def call(capfdbinary):
    def call(*argv):
        code = run([str(word) for word in argv])
        out, err = capfdbinary.readouterr()
        return code, out.decode(), err.decode()

    return call


def write(name, data):
    Path(name).write_bytes(data.encode() if isinstance(data, str) else data)
    return name


def answers_of(model, texts):
    return elman.load(model).predict(texts)


# Files


@pytest.mark.parametrize("name", ["o.csv", "o.tsv", "o.jsonl"])
def test_a_file_keeps_its_columns(model, call, name):
    write("a.csv", TABLE)
    code, out, err = call("predict", model, "a.csv", "--out", name)
    assert (code, out) == (0, "")
    assert err == f"elman: a.csv: 3 texts in column 'name' (CSV)\nelman: saved to {name}\n"
    if name == "o.jsonl":
        rows = [json.loads(line) for line in Path(name).read_text().splitlines()]
    else:
        delimiter = "," if name == "o.csv" else "\t"
        rows = list(csv.DictReader(io.StringIO(Path(name).read_text()), delimiter=delimiter))
    assert [row["id"] for row in rows] == ["1", "2", "3"]
    assert [row["name"] or "" for row in rows] == ["kamoto", "Bau, mann", ""]
    assert [row["predicted"] for row in rows] == answers_of(model, ["kamoto", "Bau, mann", ""])
    assert all(0 <= float(row["probability"]) <= 1 for row in rows)
    assert rows[2]["note"] == "empty text: prior"


@pytest.mark.parametrize("form", ["csv", "tsv", "jsonl"])
def test_a_file_to_stdout(model, call, form):
    write("a.csv", TABLE)
    code, out, _ = call("predict", model, "a.csv", "--format", form)
    assert code == 0
    if form == "jsonl":
        assert [json.loads(line)["id"] for line in out.splitlines()] == ["1", "2", "3"]
    else:
        rows = list(csv.reader(io.StringIO(out), delimiter="," if form == "csv" else "\t"))
        assert rows[0] == ["id", "name", "group", "predicted", "probability", "note"]
        assert len(rows) == 4


def test_a_file_as_json(model, call):
    write("a.csv", TABLE)
    code, out, _ = call("predict", model, "a.csv", "--json")
    rows = json.loads(out)
    assert code == 0
    assert [row["text"] for row in rows] == ["kamoto", "Bau, mann", ""]
    assert rows[1]["row"] == {"id": "2", "name": "Bau, mann", "group": "b"}


def test_a_file_is_read_as_in_training(model, call):
    texts = ["камото", "Бауманн"]
    sources = {
        "a.tsv": "".join(f"{t}\tx\n" for t in texts),
        "a.json": json.dumps([{"text": t, "label": "x"} for t in texts]),
        "a.txt": "".join(f"{t}\n" for t in texts).encode("koi8-r"),
        "b.txt": "\r".join(texts) + "\r",
        "c.txt": "".join(f"__label__x {t}\n" for t in texts),
    }
    for name, data in sources.items():
        write(name, data)
        code, out, _ = call("predict", model, name, "--format", "jsonl")
        assert code == 0, name
        assert [
            next(v for v in json.loads(line).values() if v in texts) for line in out.splitlines()
        ] == texts
    pl.DataFrame({"review": texts, "n": [1, 2]}).write_parquet("a.parquet")
    code, out, _ = call("predict", model, "a.parquet", "--text", "review", "--format", "csv")
    assert out.splitlines()[0] == "review,n,predicted,probability,note"


def test_several_files(model, call):
    write("a.csv", TABLE)
    write("b.csv", "id,name,group\n9,miyama,z\n")
    code, out, _ = call("predict", model, "a.csv", "b.csv", "--format", "csv")
    assert code == 0
    assert [row[:2] for row in out.splitlines()[1:]] == ["1,", "2,", "3,", "9,"]
    write("b.csv", "name\nmiyama\n")
    code, out, err = call("predict", model, "a.csv", "b.csv", "--format", "csv")
    assert (code, out) == (2, "")
    assert "b.csv has other columns than a.csv" in err


def test_a_column_of_the_answer_that_is_there_already(model, call):
    write("a.csv", "name,predicted\nkamoto,mine\n")
    _, out, _ = call("predict", model, "a.csv", "--format", "csv")
    assert out.splitlines()[0] == "name,predicted,model_predicted,probability,note"
    assert out.splitlines()[1].startswith("kamoto,mine,")


def test_the_column_of_the_training_goes_first(call, here):
    rows = "".join(f"{line}\tx\n" for line in tiny.LINES.splitlines())
    write("train.tsv", "said\twho\ttext\n" + rows)
    options = [
        w
        for k, v in {**tiny.OPTIONS, "epochs": 1}.items()
        for w in (f"--{k.replace('_', '-')}", str(v))
    ]
    assert (
        call("train", "train.tsv", "--text", "said", "--label", "who", "--out", "m", *options)[0]
        == 0
    )
    write("new.csv", "text,said\nnone of this,kamoto\n")
    code, out, err = call("predict", "m", "new.csv", "--json")
    assert code == 0
    assert json.loads(out)[0]["text"] == "kamoto"
    assert "in column 'said'" in err


def test_stdin_as_a_table(model, call, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(TABLE.encode())))
    code, out, _ = call("predict", model, "--text", "name", "--format", "csv")
    assert code == 0
    assert out.splitlines()[0] == "id,name,group,predicted,probability,note"


def test_a_dash_is_a_file_on_stdin(model, call, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(TABLE.encode())))
    code, out, err = call("predict", model, "-", "--format", "csv")
    assert code == 0
    assert "3 texts in column 'name'" in err
    assert out.splitlines()[1].startswith("1,kamoto,a,")


@pytest.mark.parametrize("text", ["-", "-x", "-5"])
def test_what_stands_after_two_dashes_is_a_text(model, call, text):
    code, out, _ = call("predict", model, "--json", "--", text)
    assert code == 0
    assert [row["text"] for row in json.loads(out)] == [text]


def test_a_negative_number_is_a_text_and_a_mistyped_option_is_none(model, call):
    assert call("predict", model, "-5", "--json")[0] == 0
    code, out, err = call("predict", model, "--formt", "tsv")
    assert (code, out) == (2, "")
    assert err == (
        "elman: Unknown option: --formt. Did you mean --format? "
        "(a text that begins with a dash goes after --)\n"
    )


def test_a_text_typed_in_a_locale_of_single_bytes(model, call):
    typed = "ёж".encode().decode("ascii", "surrogateescape")
    code, out, _ = call("predict", model, typed, "--json")
    assert code == 0
    assert json.loads(out)[0]["text"] == "ёж"


@pytest.mark.parametrize(
    "data", [b"kamoto\rBaumann\r", b"kamoto\r\nBaumann\r\n", b"kamoto\nBaumann"]
)
def test_stdin_as_lines(model, call, monkeypatch, data):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
    code, out, _ = call("predict", model, "--json")
    assert code == 0
    assert [row["text"] for row in json.loads(out)] == ["kamoto", "Baumann"]


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (
            ["b.csv"],
            "no file 'b.csv'; did you mean 'a.csv'? (to answer it as a text, put it after --)",
        ),
        (["reviews.jsonl.gz"], "no file 'reviews.jsonl.gz'"),
        (["a.csv", "kamoto"], "'a.csv' is a file and 'kamoto' is none; give files or texts"),
        (["kamoto", "--text", "1"], "texts that are given as words have no columns"),
        (["a.csv", "--text", "nam"], "a.csv: no column 'nam' among the columns"),
        (["a.csv", "--out", "o.xlsx"], "the suffix says the format; give .csv, .tsv or .jsonl"),
        (["a.csv", "--out", "there.csv"], "there.csv exists; add --force to replace it"),
        (["a.csv", "--out", "a.csv", "--force"], "--out a.csv is what is read"),
        (["a.csv", "--out", "no/o.csv"], "there is no folder no"),
        (["a.csv", "--out", "o.csv", "--json"], "--out has its format from its suffix"),
        (["a.csv", "--json", "--format", "csv"], "exclude each other"),
        (["a.csv", "--steps", "--format", "csv"], "--steps cannot be shown in a table"),
    ],
)
def test_what_cannot_be_answered(model, call, argv, said):
    write("a.csv", TABLE)
    write("there.csv", "mine")
    code, out, err = call("predict", model, *argv)
    assert (code, out) == (2, "")
    assert said in err.splitlines()[-1]
    assert Path("there.csv").read_text() == "mine"
    assert Path("a.csv").read_text() == TABLE
    assert not Path("o.csv").exists()


def test_a_text_that_is_called_like_a_file(model, call):
    write("a.csv", TABLE)
    code, out, _ = call("predict", model, "--json", "--", "a.csv", "-x", "no.csv")
    assert code == 0
    assert [row["text"] for row in json.loads(out)] == ["a.csv", "-x", "no.csv"]


def test_force_replaces(model, call):
    write("a.csv", TABLE)
    write("o.csv", "old")
    assert call("predict", model, "a.csv", "--out", "o.csv", "--force")[0] == 0
    assert Path("o.csv").read_text().startswith("id,name")


# check


@pytest.fixture
def check(call):
    def check(*argv):
        code, out, err = call("check", *argv, "--json")
        assert (code, err) == (0, "")
        return json.loads(out)

    return check


def test_check_says_what_would_be_read(check):
    write("a.csv", "id;Отзыв;Оценка\n1;хорошо, да;2\n2;плохо;1\n3;плохо;1\n4;;2\n".encode("cp1251"))
    found = check("a.csv", "--text", "Отзыв", "--label", "Оценка")
    assert found["rows"] == 3
    assert found["classes"] == {"1": 2, "2": 1}
    assert (found["encoding"], found["delimiter"], found["header"]) == ("cp1251", ";", True)
    assert found["columns"] == {"text": "Отзыв", "label": "Оценка"}
    assert found["duplicates"] == 1
    assert "1 empty text skipped" in found["notes"]
    assert "not UTF-8; read as cp1251, such as 'Отзыв'" in found["notes"]


def test_check_of_several_files(check):
    write("positive.csv", "1;2;a;хорошо;1;0\n2;2;a;отлично;1;0\n")
    write("negative.csv", "1;2;a;плохо;-1;0\n")
    found = check("positive.csv", "negative.csv", "--no-header", "--text", "4", "--label", "5")
    assert found["classes"] == {"1": 2, "-1": 1}
    assert found["header"] is False
    assert [one["source"] for one in found["files"]] == ["positive.csv", "negative.csv"]


ODD_LABELS = {
    "ids": ([(f"text {i}", f"id{i}") for i in range(30)], "almost each text has its own label"),
    "numbers as ids": (
        [(f"text {i}", str(i)) for i in range(30)],
        "these are no classes, and train refuses them",
    ),
    "numbers": (
        [(f"text {i} {j}", f"{i}.{i}5") for i in range(25) for j in range(3)],
        "the 25 labels are numbers",
    ),
    "lists": ([("a", "[0 1]"), ("b", "[]"), ("c", "[2]"), ("d", "[0 1]")], "labels look like lists"),
    "lists with commas": ([("a", "x,y"), ("b", "x"), ("c", "y,z")], "labels look like lists"),
    "nearly equal": ([("a", "Pos"), ("b", "pos"), ("c", "neg")], "'Pos' (1) and 'pos' (1)"),
    "nearly equal signs": ([("a", "very good"), ("b", "very_good")], "almost the same name"),
    "missing": ([("a", "nan"), ("b", "x"), ("c", "NA")], "'nan', 'NA' are taken as classes (2 t"),
    "one class": ([("a", "x"), ("b", "x")], "one class only, 'x'"),
    "missing texts": ([("NA", "x"), ("null", "y"), ("c", "x")], "2 texts that may stand for a missing"),
    "a text that swallows": ([("a" * 20_000, "x"), *[("b", "y")] * 9], "the longest text has 20,000"),
    "texts as labels": ([("good", "good"), ("bad", "bad")], "most texts are their own label"),
}  # fmt: skip


@pytest.mark.parametrize("name", ODD_LABELS)
def test_check_says_what_looks_wrong(check, name):
    rows, said = ODD_LABELS[name]
    with open("a.csv", "w", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *rows])
    assert any(said in note for note in check("a.csv")["notes"])


def test_numbers_are_not_nearly_equal(check):
    write("a.csv", "text,label\na,1\nb,-1\nc,1.5\nd,15\n")
    assert check("a.csv")["notes"] == []


def test_check_compares_with_a_test_file(check):
    write("a.csv", "text,label\na,x\nb,y\nc,x\n")
    write("t.csv", "text,label\na,x\nd,z\n")
    found = check("a.csv", "--test", "t.csv")
    assert found["overlap"] == 1
    assert any("1 of 2 texts of t.csv stand in a.csv, too" in note for note in found["notes"])
    assert any(
        "t.csv has labels that the training texts have not: 'z'" in n for n in found["notes"]
    )


def test_check_for_people(call):
    write("a.csv", "text,label\ngood,x\nbad,y\n")
    code, out, err = call("check", "a.csv")
    assert (code, err) == (0, "")
    assert "a.csv: CSV; utf-8; delimiter comma; header text, label; text in column text" in out
    assert "2 texts, 2 classes" in out
    write("a.csv", "text,label\ngood,x\ngood,y\nbad,y\nbad,y\n")
    out = call("check", "a.csv")[1]
    assert "1 exact duplicate; 1 text that comes again with another label" in out


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ("text,label\na,x\nb,\n", "a.csv line 3: label column 'label' is empty"),
        (b"\x89PNG\r\n", "is a PNG picture"),
        ("", "a.csv is empty"),
    ],
)
def test_check_of_what_cannot_be_read(call, data, said):
    write("a.csv", data)
    code, out, err = call("check", "a.csv", "--json")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert said in err


# Training on what is odd


def test_labels_that_are_no_classes_are_refused(call):
    write("a.csv", "text,label\n" + "".join(f"text {i},id{i}\n" for i in range(30)))
    code, _, err = call("train", "a.csv", "--out", "m")
    assert code == 2
    assert "30 different labels for 30 texts" in err
    assert not Path("m").exists()


@pytest.mark.parametrize("part", ["--valid", "--test"])
def test_a_part_of_unknown_labels_is_refused(call, names_file, part):
    write("p.csv", "text,label\nkamoto,9\nBaumann,8\n")
    code, _, err = call("train", names_file, part, "p.csv", "--out", "m")
    assert code == 2
    assert "p.csv: none of its labels ('9', '8') is among the classes ('de', 'ja')" in err


def test_evaluate_on_unknown_labels_is_refused(call, model):
    write("p.csv", "text,label\nkamoto,9\nBaumann,8\n")
    code, _, err = call("evaluate", model, "p.csv")
    assert code == 2
    assert "none of its labels" in err


def test_a_table_on_stdin_that_is_answered_line_by_line_is_said(model, call, monkeypatch):
    for argv, rows in (([], 4), (["-"], 3)):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(TABLE.encode())))
        code, out, err = call("predict", model, *argv, "--json")
        assert (code, len(json.loads(out))) == (0, rows)
        assert ("stdin looks like a table" in err) == (rows == 4)


def test_the_columns_of_the_training_go_first_in_evaluate_too(call):
    rows = [tuple(line.split("\t")) for line in tiny.LINES.splitlines()]
    table = "".join(f"no,{name},{lang}\n" for name, lang in rows)
    write("a.csv", "text,review,stars\n" + table)
    options = {**tiny.OPTIONS, "epochs": 1, "progress": False}
    elman.train("a.csv", text="review", label="stars", out="m", **options)
    code, out, _ = call("evaluate", "m", "a.csv", "--json")
    assert (code, json.loads(out)["count"]) == (0, len(rows))
    assert elman.evaluate("m", "a.csv").count == len(rows)
    assert "though there is 'text'" in call("evaluate", "m", "a.csv")[1]


def test_the_numbers_of_the_training_columns_are_tried(call):
    rows = [tuple(line.split("\t")) for line in tiny.LINES.splitlines()]
    write("a.csv", "".join(f"{i};x;{name};{lang}\n" for i, (name, lang) in enumerate(rows)))
    options = {**tiny.OPTIONS, "epochs": 1, "progress": False}
    elman.train("a.csv", text=3, label=4, header=False, out="m", **options)
    assert json.loads(call("evaluate", "m", "a.csv", "--json")[1])["count"] == len(rows)
    answered = json.loads(call("predict", "m", "a.csv", "--json")[1])
    assert [row["text"] for row in answered] == [name for name, _ in rows]


def test_a_stopped_run_over_a_model_is_not_lost(call, names_file):
    from elman.training.checkpoint import FILE, training_folder

    options = {**tiny.OPTIONS, "epochs": 1, "progress": False}
    elman.train(names_file, out="m", **options)
    training_folder(Path("m")).mkdir()
    (training_folder(Path("m")) / FILE).write_bytes(b"a run")
    for more in ([], ["--resume"]):
        code, _, err = call("train", names_file, "--out", "m", *more)
        assert code == 2
        assert "a stopped run stands in m.training, which will replace the model at m" in err
        assert "add --force --resume to go on with it" in err


def test_examples_are_shown_in_a_line():
    from elman.data.examples import Examples

    assert repr(Examples(["a"] * 1_200, ["x", "y"] * 600, "a.csv")) == (
        "<1,200 texts of 2 classes of a.csv>"
    )
