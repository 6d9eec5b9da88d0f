"""The command line: what it prints where, what it refuses and how, and what a signal does."""

import gzip
import io
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

import elman
import tiny
from elman import __version__, tasks
from elman.cli import screen as screens
from elman.cli.app import OF_TASKS, OTHERS, run
from elman.errors import ConfigError
from elman.training import bundle
from elman.training.options import declared, flag_of

ELMAN = [sys.executable, "-m", "elman"]
COMMANDS = [*OF_TASKS, *OTHERS]
SMALL = [
    *("--hidden-size", "8", "--embedding-size", "8", "--epochs", "3", "--batch-size", "8"),
    *("--min-count", "1", "--learning-rate", "0.02", "--dropout", "0.1"),
]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Each test has a folder of its own and a wide terminal."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    return tmp_path


@pytest.fixture
def stdin(monkeypatch):
    def give(data: str | bytes):
        data = data.encode() if isinstance(data, str) else data
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data), encoding="utf-8"))

    return give


@pytest.fixture
def call(capsys):
    """Run a command in this process: its exit code, stdout and stderr."""

    def call(*argv):
        code = run([str(a) for a in argv])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


@pytest.fixture
def model(bundle_made_once):
    return str(bundle_made_once)


def tree(folder: Path):
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


# Help


def test_help_and_version(call):
    code, out, err = call("--help")
    assert (code, err) == (0, "")
    for command in ("train", "predict", "evaluate", "compare", "datasets"):
        assert command in out
    assert call("--version") == (0, f"elman {__version__}\n", "")
    assert call()[1] == out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(call, command):
    code, out, err = call(command, "--help")
    assert (code, err) == (0, "")
    assert f"Usage: elman {command}" in out
    assert ("--json" in out) == (command not in ("completion", "vectors"))


@pytest.mark.parametrize("command", ["analogy", "evaluate", "export", "map", "similar"])
def test_every_command_about_vectors_has_help(call, command):
    code, out, err = call("vectors", command, "--help")
    assert (code, err) == (0, "")
    assert f"Usage: elman vectors {command}" in out
    assert ("--json" in out) == (command not in ("export", "map"))


def test_help_in_a_pipe_has_an_option_a_line(call, monkeypatch):
    monkeypatch.delenv("COLUMNS")
    code, out, err = call("train", "--help")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert all(line == line.rstrip() for line in lines)
    [epochs] = [line for line in lines if line.strip().startswith("--epochs")]
    assert "-e" in epochs
    assert "[default: as many as make" in epochs
    assert epochs.endswith("]")
    [formats] = [line for line in lines if line.startswith("Reads CSV")]
    assert formats.endswith("writes the model to a folder.")
    assert not {*"│╭"} & {*out}


@pytest.mark.parametrize("columns", [40, 60, 80, 120, 200])
def test_help_fits_its_terminal_and_says_what_is_read(call, monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", str(columns))
    for command in COMMANDS:
        code, out, _ = call(command, "--help")
        assert code == 0
        assert "--empty" not in out
        assert max(len(line) for line in out.splitlines()[1:]) <= columns
    said = " ".join(call("train", "--help")[1].split())
    assert "Reads CSV, TSV, JSON" in said
    assert said.startswith("Usage: elman train [OPTIONS] [DATA...] Train a classifier: ")


def test_only_the_first_page_says_how_to_begin(call):
    assert call()[1].endswith("Begin with: elman train surnames\n")
    assert call("--help") == call("-h") == call("help") == call()
    for command in COMMANDS:
        said = call(command, "--help")
        assert said == call(command, "-h") == call("help", command)
        assert "Begin with" not in said[1]


def test_short_names_are_the_long_ones(call, names_file):
    assert call("train", names_file, "-o", "long", *SMALL)[0] == 0
    shorts = {"--epochs": "-e", "--batch-size": "-b", "--learning-rate": "--lr"}
    argv = [shorts.get(word, word) for word in SMALL]
    assert {"-e", "-b", "--lr"} <= {*argv}
    for force in ([], ["-f"]):
        assert call("train", names_file, "-o", "short", *force, *argv)[0] == 0
    weights = [Path(name, bundle.WEIGHTS).read_bytes() for name in ("long", "short")]
    assert weights[0] == weights[1]
    assert call("train", names_file, "-o", "short", "-e2")[0] == 2


def test_python_and_files_have_one_spelling(call, names_file):
    with pytest.raises(ConfigError, match="there is no option lr; did you mean learning_rate"):
        elman.train(names_file, lr=0.1)
    Path("a.toml").write_text("lr = 0.1")
    said = refused(call("train", names_file, "--config", "a.toml"))
    assert "names lr, which is no option of this command; did you mean learning_rate?" in said


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("trian", 'Did you mean "train"? '),
        ("hlep", "see `elman --help`"),
        ("train x.csv --epohcs 3", "Did you mean --epochs? (see `elman train --help`)"),
        ("train --epohcs=3 x.csv", "Did you mean --epochs? (see `elman train --help`)"),
        ("train x.csv --lr abc", "Invalid value for --lr: 'abc' is not a number (see `elman train"),
        ("train -z x.csv", "Unknown option: -z (see `elman train --help`)"),
        ("train", "DATA is missing: name a file, a folder or a built-in data set"),
        ("completion", "SHELL is missing (see `elman completion --help`)"),
        ("vectors map model", "--out is missing (see `elman vectors --help`)"),
        ("train x.csv --lr", "--lr requires an argument (see `elman train --help`)"),
        ("evaluate model --txt 1 x.csv", "Did you mean --text? (see `elman evaluate --help`)"),
        ("compare --sedes 1 x.csv", "Did you mean --seeds? (see `elman compare --help`)"),
        ("cells --hidden 3", "Did you mean --hidden-size? (see `elman cells --help`)"),
        ("datasets --jsno", "Did you mean --json? (see `elman datasets --help`)"),
        ("completion bahs", 'Did you mean "bash"? (see `elman completion --help`)'),
    ],
)
def test_what_is_misspelt_gets_the_nearest_and_the_help_of_its_command(call, line, said):
    assert said in refused(call(*line.split()))


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_knows_every_command_and_option(call, shell):
    code, out, err = call("completion", shell)
    assert (code, err) == (0, "")
    for command in COMMANDS:
        assert command in out
    for one in declared(tasks.find("classify").options):
        assert flag_of(one.name).removeprefix("--") in out
        assert one.option.short.lstrip("-") in out


def completed(*words: str) -> list[str]:
    """What bash offers after the last of ``words``."""
    program = (
        f'eval "$({shlex.join(ELMAN)} completion bash)"; COMP_WORDS=({shlex.join(words)});'
        'COMP_CWORD=$(( ${#COMP_WORDS[@]} - 1 )); _elman; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    ran = subprocess.run(["bash", "-c", program], capture_output=True, text=True)
    assert ran.stderr == ""
    return ran.stdout.split()


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not here")
def test_bash_completes_commands_options_and_words(here):
    (here / "train.csv").write_text("")
    assert {*COMMANDS} <= {*completed("elman", "")}
    assert completed("elman", "tr") == ["train"]
    assert completed("elman", "train", "--learn") == ["--learning-rate"]
    assert completed("elman", "train", "x.csv", "--pooling", "m") == ["max", "mean", "max+mean"]
    # Files are bash's own work, by `-o default`, wherever the script offers nothing.
    assert completed("elman", "train", "tr") == completed("elman", "train", "--out", "") == []


def test_arguments_are_checked_before_torch_is_imported(model):
    """Nor is anything else that takes long when only help is wanted."""
    commands = [
        ["--help"],
        ["--version"],
        ["train", "--help"],
        ["trian"],
        ["train", "nowhere.csv"],
        ["train", "x.csv", "--epochs", "0"],
        ["train", "x.csv", "--cell", "lstn"],
        ["train", "x.csv", "--out", model],
        ["compare", "nowhere.csv"],
        ["predict", "nowhere", "text"],
        ["predict", model, "--top", "0"],
        ["evaluate", model, "nowhere.csv"],
        ["datasets"],
    ]
    program = (
        "import sys; import elman; from elman.cli.app import run\n"
        f"for argv in {commands!r}:\n"
        "    code = run(argv)\n"
        "    slow = {'torch', 'sklearn', 'matplotlib', 'polars'} & {*sys.modules}\n"
        "    sys.stderr.write(f'{argv} {code} {sorted(slow)}\\n')\n"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    said = [line for line in ran.stderr.splitlines() if line.startswith("[")]
    assert len(said) == len(commands), ran.stderr
    assert all(line.endswith("0 []") for line in said[:3])
    assert all("torch" not in line and "sklearn" not in line for line in said), said
    assert [line.split("] ")[1][0] for line in said] == ["0"] * 3 + ["2"] * 9 + ["0"]


# Train


def test_train_says_what_it_did_and_saves(call, names_file):
    code, out, err = call("train", names_file, "--out", "m", *SMALL)
    assert code == 0
    assert "names.tsv: 2 classes; 44 train, 6 valid, 6 test" in err
    assert re.search(r"^ +3 .*\d", err, re.MULTILINE)  # a line an epoch
    for word in ("this model", "always", "n-grams", "macro-F1", "Confusion", "Saved to m"):
        assert word in out
    assert elman.load("m").predict(["kamoto"]) in (["ja"], ["de"])


def test_a_log_is_plain_lines(names_file):
    argv = [*ELMAN, "train", "names.tsv", "--out", "m", *SMALL]
    environment = {k: v for k, v in os.environ.items() if k != "COLUMNS"}
    ran = subprocess.run(argv, capture_output=True, env=environment, cwd=names_file.parent)
    assert ran.returncode == 0
    said = (ran.stdout + ran.stderr).decode()
    assert not {*"\r\x1b│"} & {*said}
    assert all(line == line.rstrip() for line in said.split("\n"))
    [network] = [line for line in said.splitlines() if line.startswith("lstm: ")]
    assert network.endswith("; at most 3 epochs")


def test_train_json_is_one_document_and_nothing_else(call, names_file):
    code, out, err = call("train", names_file, "--out", "m", "--json", *SMALL)
    assert code == 0
    assert re.search(r"^ +3 .*\d", err, re.MULTILINE)  # how it goes is told on stderr
    again = call("train", names_file, "--out", "again", "--json", "--quiet", *SMALL)
    assert (again[0], again[2]) == (0, "")
    assert json.loads(again[1]).keys() == json.loads(out).keys()
    told = json.loads(out)
    assert told["out"] == "m"
    assert told["test"]["count"] == 6
    assert {b["name"].split()[0] for b in told["baselines"]} == {"always", "n-grams", "the"}
    assert told["sizes"]["de"] == {"train": 22, "valid": 3, "test": 3}
    saved = json.loads(Path("m/metrics.json").read_bytes())
    assert saved == {k: v for k, v in told.items() if k != "out"}


def test_train_names_its_models_by_itself(call, names_file):
    for place in ("models/names", "models/names-2"):
        code, out, _ = call("train", names_file, "--epochs", "1", *SMALL[:4])
        assert code == 0
        assert f"Saved to {place}" in out
        assert bundle.is_bundle(Path(place))


def test_the_seed_repeats_a_command(call, names_file):
    for out, seed in (("a", 5), ("b", 5), ("c", 6)):
        assert call("train", names_file, "--out", out, "--seed", seed, *SMALL)[0] == 0
    first, same, other = (Path(f"{m}/model.safetensors").read_bytes() for m in "abc")
    assert first == same != other


def test_train_reads_stdin_folders_and_parts(call, stdin, here):
    stdin(tiny.LINES)
    assert call("train", "-", "--out", "from-stdin", *SMALL)[0] == 0
    (here / "folder").mkdir()
    for label, names in (("ja", tiny.JAPANESE), ("de", tiny.GERMAN)):
        (here / "folder" / f"{label}.txt").write_text("\n".join(names))
    (here / "test.csv").write_text("surname,lang\nkamoto,ja\nBaumann,de\n")
    code, out, err = call("train", "folder", "--test", "test.csv", "--out", "m", *SMALL)
    assert code == 0, err
    assert "Test: 2 texts" in out
    said = "1 of 2 texts of test.csv also occur in the training part; left as they are"
    assert said in err
    # Again beside the scores that it makes too good, and wherever these are told.
    lines = out.splitlines()
    scores = next(i for i, line in enumerate(lines) if line.split()[:2] == ["this", "model"])
    assert f"  · {said}" in lines[scores : scores + 5]
    assert f"**{said}.**" in Path("m/README.md").read_text()
    assert json.loads(Path("m/metrics.json").read_bytes())["test_notes"] == [said]


def test_labels_and_texts_with_markup_are_printed_as_they_stand(call, here):
    lines = tiny.LINES.replace("\tja", "\t[bold]ja[/]").replace("kamoto", "[red]kamoto")
    (here / "a.tsv").write_text(lines)
    code, out, _ = call("train", "a.tsv", "--out", "m[/]", *SMALL)
    assert code == 0
    assert "[bold]ja[/]" in out
    assert "Saved to m[/]" in out
    assert "[red]kamoto: " in call("predict", "m[/]", "[red]kamoto")[1]
    assert call("predict", "m[/]", "--steps", "[red]k")[0] == 0
    assert call("evaluate", "m[/]", "a.tsv")[0] == 0


# Bad input: one sentence, exit code 2, nothing written


def jsonl(*lines):
    return "\n".join(lines)


BAD_DATA = {
    "missing": ("no.csv", None, "no file 'no.csv'"),
    "folder without texts": ("folder", {}, "folder has no .txt file; put one <Label>.txt"),
    "empty": ("a.csv", "", "a.csv is empty; give a file"),
    "header only": ("a.csv", "text,label\n", "a.csv has a header and no rows; add rows"),
    "no label column": (
        "a.csv",
        "text,topic\na,b\n",
        "a.csv: no label column among the columns 'text', 'topic'; say which with --label",
    ),
    "one class": ("a.csv", "text,label\na,x\nb,x\nc,x\n", "a.csv has one class only, 'x'; add"),
    "label missing": ("a.csv", "text,label\na,x\nb,\n", "a.csv line 3: label column 'label' is"),
    "binary": ("a.csv", b"text\0label", "a.csv line 1 has a NUL byte"),
    "quote": ("a.csv", 'text,label\na,x\n"b,y\n', "a.csv line 3: a quotation mark opens"),
    "JSON": (
        "a.jsonl",
        '{"text": "a", "label": "x"}\n{"text": }\n',
        "a.jsonl line 2 is not valid JSON (column 10); write one whole",
    ),
    "gzip": ("a.csv.gz", gzip.compress(b"text,label\na,x\n" * 99)[:-9], "a.csv.gz: the gzip file"),
    "too few": ("a.csv", "text,label\na,x\nb,y\n", "a.csv has 2 different texts, too few to train"),
    "only empty texts": ("a.csv", "text,label\n,x\n ,y\n", "a.csv has no text that is not empty"),
}


def refused(said):
    """Check that ``said`` is exit code 2 and one sentence on stderr, and return that."""
    code, out, err = said
    assert out == ""
    assert "Traceback" not in err
    assert err.startswith("elman: ")
    assert err.count("\n") == 1, err
    assert code == 2
    return err


# Good enough to judge on, so not refused by evaluate.
JUDGEABLE = {"one class", "too few"}


@pytest.mark.parametrize(
    ("command", "name"),
    [
        (command, name)
        for command in ("train", "compare", "evaluate")
        for name in BAD_DATA
        if not (command == "evaluate" and name in JUDGEABLE)
    ],
)
def test_bad_data(call, here, model_folder, name, command):
    file, content, message = BAD_DATA[name]
    if isinstance(content, dict):
        (here / file).mkdir()
    elif content is not None:
        (here / file).write_bytes(content if isinstance(content, bytes) else content.encode())
    before = tree(here)
    argv = {
        "train": ["train", file, "--out", "model", "--force"],
        "compare": ["compare", file],
        "evaluate": ["evaluate", "model", file],
    }[command]
    assert message in refused(call(*argv))
    assert tree(here) == before


def test_a_model_is_judged_on_one_class_and_on_few_texts(call, here, model):
    (here / "a.csv").write_text("text,label\nkamoto,ja\nmiyama,ja\n")
    code, out, _ = call("evaluate", model, "a.csv", "--json")
    assert code == 0
    assert json.loads(out)["count"] == 2


BAD_COMMANDS = {
    "unknown command": (["trian"], 'Unknown command "trian". Did you mean "train"?'),
    "unknown option": (["train", "names.tsv", "--epoch", "3"], "--epoch"),
    "no data": (["train"], "DATA is missing: name a file"),
    "no number": (["train", "names.tsv", "--epochs", "many"], "--epochs"),
    "unknown cell": (["train", "names.tsv", "--cell", "lstn"], "did you mean lstm?"),
    "unknown cells": (["compare", "names.tsv", "--cells", "lstm,grv"], "did you mean gru?"),
    "no cells": (["compare", "names.tsv", "--cells", ","], "cells names no cell"),
    "no seeds": (
        ["compare", "names.tsv", "--seeds", "0"],
        "seeds is 0; it must be a whole number of 1 or more",
    ),
    "no cell file": (["train", "names.tsv", "--cell", "no.py:c"], "no.py: no such file"),
    "unknown pooling": (["train", "names.tsv", "--pooling", "sum"], "sum"),
    "bad size": (["train", "names.tsv", "--hidden-size", "0"], "hidden_size is 0; it must be 1"),
    "bad rate": (["train", "names.tsv", "--learning-rate", "-1"], "learning_rate is -1.0"),
    "bad seed": (["train", "names.tsv", "--seed", "-1"], "seed is -1; it must be 0 to"),
    "bad split": (["train", "names.tsv", "--split", "0.5,0.2"], "is not three shares"),
    "no test share": (["train", "names.tsv", "--split", "0.9,0.1,0"], "the test part is empty"),
    "no test share to compare on": (
        ["compare", "names.tsv", "--split", "0.9,0.1,0"],
        "the test part is empty",
    ),
    "no such column": (["train", "names.tsv", "--label", "3"], "names.tsv has 2 columns"),
    "no such test": (["train", "names.tsv", "--test", "no.csv"], "no file 'no.csv'"),
    "out exists": (["train", "names.tsv", "--out", "model"], "model exists; add --force"),
    "out is no model": (
        ["train", "names.tsv", "--out", "names.tsv", "--force"],
        "names.tsv exists and is no Elman model, so it is left alone",
    ),
    "out cannot be": (["train", "names.tsv", "--out", "names.tsv/m"], "cannot be written"),
    "nothing to resume": (["train", "names.tsv", "--resume"], "no stopped run of names"),
    "nothing to resume there": (
        ["train", "names.tsv", "--resume", "--out", "new"],
        "there is nothing to resume at new.training",
    ),
    "no model": (["predict", "modle", "text"], "there is no model at modle; did you mean model?"),
    "no model to judge": (["evaluate", "names.tsv", "names.tsv"], "names.tsv is not a model"),
    "no classes shown": (["predict", "model", "--top", "0", "a"], "top is 0; it must be 1"),
    "steps as tsv": (
        ["predict", "model", "--steps", "--format", "tsv", "a"],
        "--steps cannot be shown in a table; use --json",
    ),
    "unknown format": (["predict", "model", "--format", "xml", "a"], "xml"),
    "option as text": (["predict", "model", "-x"], "-x"),
}


@pytest.mark.parametrize("name", BAD_COMMANDS)
def test_bad_command(call, here, model_folder, names_file, name):
    argv, message = BAD_COMMANDS[name]
    before = tree(here)
    assert message in refused(call(*argv))
    assert tree(here) == before


@pytest.mark.parametrize("command", ["predict", "evaluate"])
def test_a_damaged_model_is_refused(call, here, model_folder, names_file, command):
    (model_folder / bundle.WEIGHTS).write_bytes(b"short")
    argv = ["model", "kamoto"] if command == "predict" else ["model", "names.tsv"]
    said = refused(call(command, *argv))
    assert said.startswith("elman: model/model.safetensors is damaged or of another model")


def test_a_newer_model_is_refused(call, model_folder):
    config = json.loads((model_folder / bundle.CONFIG).read_bytes())
    (model_folder / bundle.CONFIG).write_text(json.dumps(config | {"format_version": 3}))
    assert "upgrade with `pip install -U elman`" in refused(call("predict", "model", "a"))


def test_a_full_disk_at_the_end_keeps_the_old_model_and_the_run(
    call, here, model_folder, names_file, monkeypatch
):
    before = tree(model_folder)
    synced = []

    def full(descriptor):
        synced.append(descriptor)
        if len(synced) > 3:  # the three epochs still fit
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    argv = ["train", "names.tsv", "--out", "model", "--force", *SMALL]
    code, out, err = call(*argv)
    assert (code, out) == (1, "")
    last = err.splitlines()[-1]
    assert last == (
        "elman: model cannot be written (no space left on device); what was trained is kept in "
        "model.training: fix that, and the same command with --resume saves it"
    )
    assert tree(model_folder) == before
    monkeypatch.undo()
    monkeypatch.chdir(here)
    said = refused(call("train", "names.tsv", "--out", "model", "--resume", *SMALL))
    assert "will replace the model at model; add --force --resume" in said  # which is another
    assert call(*argv, "--resume")[0] == 0
    assert tree(model_folder) != before


def test_force_replaces_a_model(call, model_folder, names_file):
    assert call("train", "names.tsv", "--out", "model", "--force", "--cell", "gru", *SMALL)[0] == 0
    assert "gru" in (model_folder / "cell.txt").read_text()
    assert sorted(os.listdir()) == ["model", "names.tsv"]


# Predict


def test_predict_answers_in_order(call, model):
    code, out, err = call("predict", model, *tiny.NAMES)
    assert (code, err) == (0, "")
    loaded = elman.load(model)
    best = loaded.predict_proba(tiny.NAMES).max(axis=1)
    expected = [
        f"{name}: {label} {p:.0%}"
        for name, label, p in zip(tiny.NAMES, loaded.predict(tiny.NAMES), best, strict=True)
    ]
    assert out.splitlines() == expected


def test_predict_json_is_one_document(call, model, stdin):
    code, out, err = call("predict", model, "kamoto", "", "--json", "--top", "5")
    assert (code, err) == (0, "")
    name, empty = json.loads(out)
    loaded = elman.load(model)
    assert name["text"] == "kamoto"
    assert name["label"] == loaded.predict(["kamoto"])[0]
    assert {t["label"]: t["probability"] for t in name["top"]} == pytest.approx(
        dict(zip(loaded.classes, loaded.predict_proba(["kamoto"])[0].tolist(), strict=True))
    )
    assert "empty" not in name
    assert empty["empty"] is True
    assert [t["probability"] for t in empty["top"]] == sorted(loaded.prior.tolist(), reverse=True)
    stdin("")
    assert call("predict", model, "--json") == (0, "[]\n", "")


def test_predict_json_steps(call, model):
    code, out, _ = call("predict", model, "ab", "", "--json", "--steps", "--top", "2")
    assert code == 0
    row, empty = json.loads(out)
    assert [step["token"] for step in row["steps"]] == ["a", "b"]
    for step in row["steps"]:
        assert sum(step["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    answer = {top["label"]: top["probability"] for top in row["top"]}
    assert row["steps"][-1]["probabilities"] == pytest.approx(answer, abs=1e-6)
    assert empty["steps"] == []


def test_predict_tsv(call, model):
    text = "a\tb\nc  d\u00a0\\"
    code, out, err = call("predict", model, text, "", "--format", "tsv", "--top", "2")
    assert (code, err) == (0, "")
    first, second = (line.split("\t") for line in out.splitlines())
    assert first[0] == "a\\tb\\nc  d\u00a0\\\\"  # as given, with \t, \n and \\ for what cuts a line
    assert {first[1], first[3]} == {"de", "ja"}
    assert float(first[2]) + float(first[4]) == pytest.approx(1, abs=1e-5)
    assert first[5] == ""
    assert second == ["", "de", "0.500000", "ja", "0.500000", "empty text: prior"]


def test_predict_steps_draws_every_character(call, model):
    code, out, _ = call("predict", model, "--steps", "kamo to")
    assert code == 0
    lines = out.splitlines()
    assert lines[0] == "kamo to"
    assert [line.split()[0] for line in lines[1:]] == ["k", "a", "m", "o", "␣", "t", "o"]
    assert all(line.count("%") == 2 for line in lines[1:])


def test_an_empty_text_gets_the_prior_and_is_marked(call, model, stdin):
    assert call("predict", model, "") == (0, "(empty text): de 50% (the prior)\n", "")
    assert "(empty text) no step to show" in call("predict", model, "--steps", "")[1]
    stdin("kamoto\n\nmiyama\n")
    lines = call("predict", model)[1].splitlines()
    assert [line.split(":")[0] for line in lines] == ["kamoto", "(empty text)", "miyama"]


def test_texts_that_look_like_options(call, model):
    code, out, _ = call("predict", model, "--", "--json", "-x")
    assert code == 0
    assert [line.split(":")[0] for line in out.splitlines()] == ["--json", "-x"]


def test_ten_thousand_lines_in_order(call, model, stdin):
    lines = [f"{tiny.NAMES[i % 56]}{i}" for i in range(10_000)]
    stdin("\n".join(lines) + "\n")
    code, out, err = call("predict", model)
    assert (code, err) == (0, "")
    assert [line.split(":")[0] for line in out.splitlines()] == lines


def test_a_text_of_a_million_characters(call, model, stdin):
    stdin("moto" * 250_000 + "\nkamoto\n")
    code, out, err = call("predict", model)
    assert code == 0
    assert err == "elman: longer than 512 characters and truncated: 1 of the texts\n"
    long, short = out.splitlines()
    assert len(long) < 250
    assert short.startswith("kamoto: ")


def test_bytes_that_are_no_text(call, model, stdin):
    code, out, err = call("predict", model, "\udcffa", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)[0]["text"] == "?a"
    stdin(b"kamoto\n\0\0\0\n")
    code, out, err = call("predict", model)
    assert code == 2
    assert err == "elman: stdin line 2 holds binary data; give lines of text\n"


def test_a_word_model_takes_any_text(call, here, names_file):
    assert call("train", "names.tsv", "--tokens", "words", "--out", "w", *SMALL)[0] == 0
    code, out, err = call("predict", "w", "\udcff \ud83d", "👍🏽", "ёж", " ", "--json", "--steps")
    assert (code, err) == (0, "")
    assert [row.get("empty", False) for row in json.loads(out)] == [False, False, False, True]


# Evaluate, compare, datasets


def test_evaluate_counts_every_text(call, model, names_file):
    code, out, err = call("evaluate", model, "names.tsv")
    assert (code, err) == (0, "")
    assert out.startswith("names.tsv: 56 judged\n")
    scores = json.loads(call("evaluate", model, "names.tsv", "--json")[1])
    loaded = elman.load(model)
    right = [a == b for a, b in zip(loaded.predict(tiny.NAMES), tiny.LABELS, strict=True)]
    assert scores["accuracy"] == pytest.approx(sum(right) / 56)
    assert f"accuracy {scores['accuracy']:.4f}" in out


def test_evaluate_says_which_labels_are_strange(call, model, here):
    (here / "a.csv").write_text("text,label\nkamoto,ja\nkim,ko\n")
    code, out, _ = call("evaluate", model, "a.csv")
    assert code == 0
    assert "not among the model's classes, so that every text of theirs is a mistake: ko" in out
    assert json.loads(call("evaluate", model, "a.csv", "--json")[1])["accuracy"] <= 0.5


def test_compare_shows_mean_and_spread(call, names_file):
    argv = ["compare", "names.tsv", "--cells", "elman,gru,elman", "--seeds", "2", *SMALL]
    code, out, err = call(*argv)
    assert code == 0
    assert [line.split()[:3] for line in err.splitlines()] == [
        [cell, "seed", f"{seed}:"] for seed in (0, 1) for cell in ("elman", "gru")
    ]
    assert "±" in out
    code, out, err = call(*argv, "--json", "--quiet")
    assert (code, err) == (0, "")
    table = json.loads(out)
    assert [row["cell"] for row in table["rows"]] == ["elman", "gru"]
    assert len(table["runs"]) == 4
    assert os.listdir() == ["names.tsv"]


def test_datasets_are_listed(call):
    code, out, err = call("datasets")
    assert (code, err) == (0, "")
    rows = json.loads(call("datasets", "--json")[1])
    assert {"surnames", "surnames-native", "tweets"} <= {row["name"] for row in rows}
    for row in rows:
        assert row["name"] in out
        assert f"{row['size']:,}" in out
        assert row["licence"].split()[0] in out


# Ctrl-C, and going on


def test_ctrl_c_keeps_the_best_weights_and_resume_goes_on(call, names_file, monkeypatch):
    argv = ["train", "names.tsv", *SMALL]
    assert call(*argv, "--out", "unbroken")[0] == 0

    def press(screen, progress):
        if progress.epoch == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(screens.TrainingScreen, "on_batch", press)
        code, out, err = call(*argv)
    # 130, as shells have it, so that a script does not go on; yet the model is there.
    assert code == 130
    assert "elman: stopped by Ctrl-C after epoch 2; the best weights so far are kept\n" in err
    assert "Saved to models/names" in out
    assert err.splitlines()[-1] == (
        f"elman: goes on from the last whole epoch with: elman {shlex.join(argv)} "
        "--out models/names --resume"
    )
    assert call("predict", "models/names", "kamoto")[0] == 0
    said = refused(call(*argv, "--resume", "--seed", 9))
    assert "the stopped run had seed 0, not 9" in said
    code, _, err = call(*argv, "--resume")
    assert code == 0
    assert re.search(r"^ +3 ", err, re.MULTILINE)
    assert not re.search(r"^ +2 ", err, re.MULTILINE)
    for name in ("model.safetensors", "tokenizer.json", "cell.txt"):
        assert Path("models/names", name).read_bytes() == Path("unbroken", name).read_bytes()
    assert sorted(os.listdir("models")) == ["names"]


def test_ctrl_c_before_the_first_epoch_says_so(call, names_file, monkeypatch):
    def press(screen, progress):
        raise KeyboardInterrupt

    monkeypatch.setattr(screens.TrainingScreen, "on_batch", press)
    code, out, err = call("train", "names.tsv", "--quiet", *SMALL)
    assert (code, out, err) == (130, "", "elman: stopped; no epoch was whole, nothing is kept\n")
    assert os.listdir() == ["names.tsv"]


def test_a_loss_that_is_not_finite_is_exit_code_1(call, names_file):
    code, out, err = call("train", "names.tsv", "--out", "m", "--quiet", "--learning-rate", "1e30")
    assert (code, out) == (1, "")
    assert err.startswith("elman: training stopped in epoch 1, batch ")
    assert not Path("m").exists()


@contextmanager
def process(*argv, **options):
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([*ELMAN, *argv], text=True, **{**pipes, **options}) as started:
        try:
            yield started
        finally:
            started.kill()


def test_a_signal_while_training(names_file):
    argv = ["names.tsv", "--out", "m", "--epochs", "5000", "--patience", "5000", *SMALL[:4]]
    with process("train", *argv) as training:
        for line in training.stderr:
            if re.match(r" +1 ", line):
                break
        training.send_signal(signal.SIGINT)
        out, err = training.communicate(timeout=200)
    assert training.returncode == 130
    assert "Traceback" not in err
    assert re.search(r"elman: stopped by Ctrl-C after epoch \d+; the best weights", err)
    assert "Saved to m" in out
    assert elman.load("m").predict(["kamoto"])[0] in ("de", "ja")


def test_lines_are_answered_as_they_come_and_ctrl_c_ends_it(model):
    with process("predict", model) as predicting:
        for line in ("kamoto", "", "ёж"):
            predicting.stdin.write(f"{line}\n")
            predicting.stdin.flush()
            assert predicting.stdout.readline().startswith(f"{line or '(empty text)'}: ")
        predicting.send_signal(signal.SIGINT)
        assert predicting.wait(200) == 130
        assert predicting.stderr.read() == "elman: stopped\n"


def test_a_reader_that_goes_away_is_no_failure(model):
    with process("predict", model) as predicting:
        predicting.stdin.write("kamoto\n")
        predicting.stdin.flush()
        predicting.stdout.readline()
        predicting.stdout.close()  # as `| head -1` does
        with suppress(BrokenPipeError):  # it may be gone already
            predicting.stdin.write("miyama\n" * 50_000)
            predicting.stdin.close()
        assert predicting.wait(200) == 0
        assert predicting.stderr.read() == ""


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device of Linux")
@pytest.mark.parametrize("argv", [["predict", None, "kamoto"], ["datasets"], ["--help"]])
def test_output_to_a_full_disk_is_one_sentence(model, argv):
    argv = [argument or model for argument in argv]
    with open("/dev/full", "w") as full:
        ran = subprocess.run([*ELMAN, *argv], stdout=full, stderr=subprocess.PIPE, text=True)
    assert ran.stderr == "elman: the output cannot be written (no space left on device)\n"
    assert ran.returncode == 1


def test_a_terminal_that_lacks_the_characters(model):
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    argv = [*ELMAN, "predict", model, "--steps", "ёж"]
    ran = subprocess.run(argv, capture_output=True, env=environment)
    assert (ran.returncode, ran.stderr) == (0, b"")
    assert ran.stdout.isascii()
