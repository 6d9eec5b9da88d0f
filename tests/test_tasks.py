"""Every task of the table, and one of a test: checked by existing."""

import csv
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import elman
import tiny
from elman import api, tasks
from elman.cell import cell, tanh
from elman.cli import screen as screens
from elman.cli.app import run
from elman.data import output
from elman.errors import BundleError, ConfigError, DataError
from elman.training import bundle, fitting
from elman.training.checkpoint import training_folder
from elman.training.options import PANELS, ReadOptions, Repeats, declared, flag_of, table
from elman.training.task import Pages, Task

ROOT = Path(__file__).parent.parent

# For each task a small file, quick options and inputs to answer.
SMALL = {
    "classify": ("names.tsv", tiny.LINES, {**tiny.OPTIONS, "epochs": 3}, ["kamoto", "", "ёж"]),
    "tag": ("names.conll", tiny.TAGGED, tiny.TAG_OPTIONS, ["Kamoto lives in Bern.", "", "ёж"]),
    "generate": ("verse.txt", tiny.VERSE, tiny.GENERATE_OPTIONS, ["Kamoto lives", "", "ёж"]),
    # Its last layer is its embedding where these sizes are equal (tied weights).
    "toy": (
        "names.toy",
        "\n".join(tiny.NAMES),
        {"epochs": 3, "hidden_size": 5, "embedding_size": 5},
        ["ka", ""],
    ),
}
NAMES = [*tasks.TASKS, "toy"]


@pytest.fixture(autouse=True)
def _toy(monkeypatch, tmp_path):
    monkeypatch.setitem(tasks.TASKS, "toy", "toy.task")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")


@pytest.fixture(params=NAMES)
def task(request) -> Task:
    return tasks.find(request.param)


@pytest.fixture
def data(task):
    name, content, _, _ = SMALL[task.name]
    Path(name).write_text(content, encoding="utf-8")
    return name


def options_of(task):
    return SMALL[task.name][2]


def inputs_of(task):
    return SMALL[task.name][3]


def train(task, data, **more):
    return elman.train(data, task=task.name, **{**options_of(task), **more})


def words_of(task, **more):
    """The same options as the command line has them."""
    given = {**options_of(task), **more}
    return [w for k, v in given.items() for w in (f"--{k.replace('_', '-')}", str(v))]


def weights(module):
    return {name: tensor.numpy().tobytes() for name, tensor in module.state_dict().items()}


@pytest.fixture
def call(capsys):
    def call(*argv):
        code = run([str(word) for word in argv])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


class StopAt:
    """Presses Ctrl-C after the first update of an epoch."""

    def __init__(self, epoch):
        self.stop = epoch

    def begin(self, task, split, learner): ...

    def on_batch(self, progress):
        if progress.epoch == self.stop:
            raise KeyboardInterrupt

    def on_epoch(self, epoch): ...

    def end(self, fitted): ...


# What a task is


def test_a_task_is_what_the_protocol_says(task):
    for name in (*Task.__annotations__, *(n for n in vars(Task) if not n.startswith("_"))):
        assert hasattr(task, name), name
    assert tasks.TASKS[task.name].endswith(".task")
    assert sum(metric.headline for metric in task.metrics.values()) >= 1
    for name in (*Pages.__annotations__, *(n for n in vars(Pages) if not n.startswith("_"))):
        assert hasattr(tasks.pages(task), name), name


def test_help_of_every_task_imports_no_torch():
    program = (
        "import sys; from elman import tasks; from elman.cli.app import run\n"
        "for name in tasks.TASKS:\n"
        "    assert run(['train', '--task', name, '--help']) == 0\n"
        "assert not {'torch', 'sklearn', 'matplotlib'} & {*sys.modules}"
    )
    subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.DEVNULL)


def test_every_option_is_said_with_its_default_or_the_rule_that_gives_it(task, call):
    code, out, _ = call("train", "--task", task.name, "--help")
    assert code == 0
    said = " ".join(out.replace("│", " ").split())
    for one in declared(task.options):
        assert f"{flag_of(one.name)} " in said
        assert one.option.text.rstrip(".") in said
        assert one.option.panel in PANELS
        assert one.rule if one.default is None else not one.rule, one.name
        assert f"[default: {one.rule if one.default is None else one.default}" in said
    for name in task.columns:
        assert f"--{name.replace('_', '-')} " in said


def test_only_what_its_readers_heed_is_shown_and_taken(task, data, call):
    for command in (["train", "--task", task.name], ["check", "--task", task.name]):
        code, out, err = call(*command, "--help")
        assert code == 0, err
        for one in declared(ReadOptions):
            flag = f"--{one.name.replace('_', '-')}"
            assert (f"{flag} " in out) == (one.name in task.reading)
    if "multilabel" not in task.reading:
        with pytest.raises(ConfigError, match=f"multilabel is not for the task {task.name}; leave"):
            train(task, data, multilabel=True)


def test_options_of_another_task_are_not_there(call):
    Path("names.toy").write_text("a b c")
    assert "--smoothing" not in call("train", "--task", "classify", "--help")[1]
    assert "--pooling" not in call("train", "names.toy", "--help")[1]
    assert "--smoothing" in call("train", "names.toy", "--help")[1]
    code, _, err = call("train", "names.toy", "--pooling", "max")
    assert (code, err.count("\n")) == (2, 1)


@pytest.mark.parametrize("name", [*tasks.TASKS])
def test_the_docs_have_the_table_of_options(name):
    page = (ROOT / "docs" / "options.md").read_text(encoding="utf-8")
    found = tasks.find(name)
    assert table(found.options) in page, table(found.options)
    assert table(found.answers) in page, table(found.answers)
    assert table(found.scoring) in page, table(found.scoring)
    assert table(Repeats) in page, table(Repeats)


def test_a_task_that_is_not_there_is_refused(call):
    code, _, err = call("train", "names.tsv", "--task", "clasify")
    assert (code, err) == (2, "elman: there is no task 'clasify'; did you mean classify?\n")


def test_the_task_is_guessed_from_the_file(task, data):
    assert tasks.guess(data) is task


# A run


def test_it_trains_is_judged_and_shown(task, data, call):
    code, out, err = call("train", data, "--out", "model", *words_of(task))
    assert code == 0, err
    assert f"{data}" in err
    assert "this model" in out
    assert "Saved to model" in out
    report = json.loads(Path("model/metrics.json").read_bytes())
    [best] = [line for line in err.splitlines() if line.startswith("best: ")]
    assert best.startswith(f"best: epoch {report['best_epoch']} of 3 (score ")
    assert best.endswith("; training ended with the last of 3 epochs (--epochs)")
    assert report["task"] == task.name
    assert len(report["baselines"]) >= 1
    scores = report["test"].keys()
    shown = [name for name, metric in task.metrics.items() if metric.headline and name in scores]
    assert shown
    for name in shown:
        assert isinstance(report["test"][name], float)
        assert all(isinstance(one["test"][name], float) for one in report["baselines"])
    history = [json.loads(line) for line in Path("model/history.jsonl").read_text().splitlines()]
    assert [epoch["epoch"] for epoch in history] == [1, 2, 3]
    assert {name for epoch in history for name in epoch["metrics"]} <= {*task.metrics}
    assert history[-1]["loss"] < history[0]["loss"]


def test_the_highest_score_so_far_is_marked_and_why_it_ended_is_said(task, data, call):
    more = {"epochs": 9, "patience": 2, "learning_rate": 1e-30}
    code, _, err = call("train", data, "--out", "model", *words_of(task, **more))
    assert code == 0
    lines = err.splitlines()
    marked = [line.split()[0] for line in lines if "*" in line]
    assert marked[0] == "1"
    assert len(marked) < 4
    [best] = [line for line in lines if line.startswith("best: ")]
    assert re.match(r"best: epoch \d of \d \(score -?\d\.\d{4}", best)
    assert best.endswith("; training ended as no score was higher for 2 epochs (--patience)")
    saved = json.loads(Path("model/metrics.json").read_bytes())
    assert saved["ended"] == "as no score was higher for 2 epochs (--patience)"


def test_in_a_pipe_nothing_is_wrapped_or_overwritten(task, data, call, monkeypatch):
    monkeypatch.delenv("COLUMNS")
    for argv in (
        ["train", data, "--out", "model", *words_of(task)],
        ["evaluate", "model", data],
        ["compare", data, "--cells", "elman", "--seeds", 1, *words_of(task)],
        ["predict", "model", *inputs_of(task)],
    ):
        code, out, err = call(*argv)
        assert code == 0
        for line in (out + err).split("\n"):
            assert line == line.rstrip()
            assert not {*"\r\x1b│╭"} & {*line}
    long = "x" * 100
    Path(f"{long}{Path(data).suffix}").write_text(Path(data).read_text())
    [name] = [path.name for path in Path().iterdir() if path.name.startswith(long)]
    code, out, err = call("train", name, "--out", long, *words_of(task))
    assert code == 0
    assert any(re.match(rf"Try: elman \w+ {long}\b", line) for line in out.splitlines())
    assert any(line.startswith(f"{name}: ") and " test" in line for line in err.splitlines())


def test_answers_to_examples_are_written_as_a_table(task, data, call):
    train(task, data, out="model")
    model, examples = elman.load("model"), task.read(data)
    rows = [*model.predictions(examples)]
    assert len(rows) == len(examples)
    assert len({tuple(row) for row in rows}) == 1
    for suffix in (".csv", ".tsv", ".jsonl"):
        code, out, err = call("evaluate", "model", data, "--out", f"rows{suffix}")
        assert (code, err) == (0, "")
        assert out.splitlines()[-1] == f"Answers: rows{suffix}"
    with open("rows.csv", encoding="utf-8", newline="") as file:
        as_text = [*csv.DictReader(file)]
    assert as_text == [
        {k: "" if v is None else str(output.cell(v)) for k, v in row.items()} for row in rows
    ]
    with open("rows.tsv", encoding="utf-8", newline="") as file:
        assert [*csv.DictReader(file, delimiter="\t")] == as_text
    lines = Path("rows.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == rows
    code, out, err = call("evaluate", "model", data, "-o", "rows.csv", "-f", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["count"]


def test_answers_to_the_test_part_are_written_where_it_is_asked_for(task, data, call):
    argv = ["train", data, "--out", "model", *words_of(task)]
    code, out, _ = call(*argv, "--predictions", "rows.jsonl")
    assert code == 0
    assert out.splitlines()[-1] == "Answers: rows.jsonl"
    rows = [json.loads(line) for line in Path("rows.jsonl").read_text("utf-8").splitlines()]
    test = api.read_split(task, data, {}).test
    assert rows == [*elman.load("model").predictions(test)]
    # The model's folder has them too, as `evaluate --out` writes them.
    with Path("model/test-predictions.csv").open(encoding="utf-8", newline="") as file:
        as_text = [
            {k: "" if v is None else str(output.cell(v)) for k, v in row.items()} for row in rows
        ]
        assert [*csv.DictReader(file)] == as_text
    assert "`test-predictions.csv`" in Path("model/README.md").read_text(encoding="utf-8")
    output.write_rows(Path("again.csv"), elman.load("model").predictions(test))
    assert Path("again.csv").read_bytes() == Path("model/test-predictions.csv").read_bytes()
    before = Path("model/metrics.json").read_bytes()
    code, out, err = call(*argv, "--force", "--predictions", data)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "is what is read" in err
    assert Path("model/metrics.json").read_bytes() == before


@pytest.mark.parametrize(
    ("file", "said"),
    [
        ("rows.txt", "--out rows.txt: the suffix says the format; give .csv, .tsv or .jsonl"),
        ("rows", "the suffix says the format"),
        ("old.csv", "old.csv exists; add --force to replace it or choose another --out"),
        ("folder.csv", "--out folder.csv: it is a folder; name a file in a folder that there is"),
        ("no/rows.csv", "--out no/rows.csv: there is no folder no;"),
    ],
)
def test_a_table_that_cannot_or_must_not_be_written_is_refused_first(task, data, call, file, said):
    train(task, data, out="model")
    Path("old.csv").write_text("old")
    Path("folder.csv").mkdir()
    code, out, err = call("evaluate", "model", data, "--out", file)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert said in err
    assert Path("old.csv").read_text() == "old"


def test_a_full_disk_leaves_the_old_table_and_the_scores(task, data, call, monkeypatch):
    train(task, data, out="model")
    Path("old.csv").write_text("old")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    code, out, err = call("evaluate", "model", data, "--out", "old.csv", "--force")
    assert code == 2
    assert err == (
        "elman: old.csv cannot be written (no space left on device); choose another --out\n"
    )
    assert f"{data}: " in out
    assert Path("old.csv").read_text() == "old"
    assert not [*Path().glob(".old*")]


def test_a_model_says_how_it_was_made_and_nothing_of_where(task, data):
    Path("secret").mkdir()
    place = Path(data).rename(Path("secret", data)).absolute()
    test = Path("secret", f"test-{data}").absolute()
    test.write_text(place.read_text())
    Path("secret/mine.py").write_text(
        "from elman.cell import cell, tanh\n"
        "@cell(state=('h',))\n"
        "def mine(p, x, h):\n"
        "    return tanh(p.a(x, h))\n"
    )
    cell = f"{Path('secret/mine.py').absolute()}:mine"
    trained = train(task, place, test=None if task.name == "toy" else test, cell=cell, out="model")
    for file in Path("model").iterdir():
        assert b"secret" not in file.read_bytes(), file.name
    card = Path("model/README.md").read_text(encoding="utf-8")
    assert trained.report.digest == trained.split.digest()
    for said in (
        f"`{data}`",
        trained.report.digest,
        elman.__version__,
        torch.__version__,
        "elman train --config train.toml",
        f"Epoch {trained.report.best_epoch} of 3 is kept",
        "seed = 0",
        'cell = "mine.py:mine"',
    ):
        assert said in card, said
    assert Path("model/train.toml").read_text(encoding="utf-8").strip() in card
    for note in trained.report.notes:
        assert f"- {note}" in card


def test_equal_runs_give_equal_models_but_for_the_times(task, data):
    for name in ("first", "second"):
        Path(name).mkdir()
        train(task, data, out=Path(name, "model"))
    files = sorted(path.name for path in Path("first/model").iterdir())
    assert files == sorted(path.name for path in Path("second/model").iterdir())
    for file in {*files} - {"metrics.json", "history.jsonl"}:
        first, second = (Path(name, "model", file).read_bytes() for name in ("first", "second"))
        assert first == second, file
    assert Path("first/model/learning-curve.png").read_bytes().startswith(b"\x89PNG")


def test_a_seed_repeats_bit_for_bit_and_another_does_not(task, data):
    first, same, other = (train(task, data, seed=seed).model.module for seed in (3, 3, 4))
    assert weights(first) == weights(same)
    assert weights(first) != weights(other)


@pytest.mark.parametrize("epoch", [2, 3])
def test_a_resumed_run_ends_as_an_unbroken_one(task, data, epoch):
    train(task, data, out="unbroken")
    stopped = train(task, data, out="model", callbacks=[StopAt(epoch)])
    assert stopped.report.stopped == f"stopped by Ctrl-C after epoch {epoch - 1}"
    assert training_folder(Path("model")).is_dir()
    resumed = train(task, data, out="model", resume=True)
    assert [e.epoch for e in resumed.history] == [1, 2, 3]
    for file in ("model.safetensors", bundle.CONFIG, bundle.SUMS):
        assert Path("model", file).read_bytes() == Path("unbroken", file).read_bytes()
    assert not training_folder(Path("model")).exists()


def test_ctrl_c_before_the_first_epoch_leaves_nothing(task, data, call, monkeypatch):
    def press(screen, progress):
        raise KeyboardInterrupt

    monkeypatch.setattr(screens.TrainingScreen, "on_batch", press)
    code, out, err = call("train", data, "--quiet", *words_of(task))
    assert (code, out, err) == (130, "", "elman: stopped; no epoch was whole, nothing is kept\n")
    assert [p.name for p in Path().iterdir()] == [data]


def test_resuming_with_another_task_is_refused(data, task):
    train(task, data, out="model", callbacks=[StopAt(2)])
    others = [name for name in NAMES if name != task.name]
    other = tasks.find(others[0])
    name, content, options, _ = SMALL[other.name]
    Path(name).write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError, match=f"the stopped run had task {task.name}, not"):
        elman.train(name, task=other.name, out="model", resume=True, **options)


def test_a_config_file_repeats_the_run(task, data, call):
    assert call("train", data, "--out", "first", *words_of(task, seed=5))[0] == 0
    code, _, err = call("train", "--config", "first/train.toml", "--out", "again")
    assert code == 0, err
    for file in ("model.safetensors", bundle.SUMS):
        assert Path("again", file).read_bytes() == Path("first", file).read_bytes()
    code, _, _ = call("train", data, "--config=first/train.toml", "--out", "other", "--seed", 6)
    assert code == 0
    first, other = (Path(m, "model.safetensors").read_bytes() for m in ("first", "other"))
    assert first != other


def test_a_loss_that_is_not_finite_names_where_it_began(task, data):
    learner = task.prepare(api.read_split(task, data, {}), api.make_options(task, options_of(task)))
    with torch.no_grad():
        learner.model.recurrent.weight_hh_l0[0] = float("nan")
    went = fitting.fit(learner)
    assert went.failed
    assert "of recurrent layer 1 is not finite at step 1" in went.stopped
    assert "as the weights recurrent.weight_hh_l0 are not" in went.stopped


def test_a_file_with_a_cell_is_run_once_a_training_and_anew_when_it_changes(task, data):
    source = (
        "from pathlib import Path\n"
        "from elman.cell import cell, tanh\n"
        "with Path('runs').open('a') as log: log.write('x')\n"
        "@cell(state=('h',))\n"
        "def mine(p, x, h):\n"
        "    h = tanh(p.a(x, h))\n"
        "    return h\n"
    )
    Path("mine.py").write_text(source)
    model = train(task, data, out="model", cell="mine.py:mine").model
    assert Path("runs").read_text() == "x"
    assert 'cell = "mine.py:mine"' in Path("model/train.toml").read_text()
    Path("mine.py").write_text(source.replace("return h", "return h * 2"))
    # A model holds the equations themselves.
    examples = task.read(data)
    scores = model.evaluate(examples)
    assert elman.load("model").evaluate(examples) == scores
    assert train(task, data, cell="mine.py:mine").model.evaluate(examples) != scores
    assert Path("runs").read_text() == "xx"


# Several trainings: seeds, folds, a last one on all data, going on from a model


class StopAtTraining:
    """Presses Ctrl-C after the first update of an epoch of one of several trainings."""

    def __init__(self, name, epoch=1):
        self.name, self.epoch, self.now = name, epoch, ""

    def on_training(self, name, number, count):
        self.now = name

    def on_batch(self, progress):
        if (self.now, progress.epoch) == (self.name, self.epoch):
            raise KeyboardInterrupt


def keeps_of(task):
    return ["best"] if task.combine is None else ["best", "mean"]


def headline_of(task, metrics):
    """The names of the short tables that these scores have."""
    return [name for name, one in task.metrics.items() if one.headline and name in metrics]


def test_several_seeds_are_told_apart_and_one_is_kept(task, data, call):
    trained = train(task, data, out="model", seeds=3, keep="best", seed=4)
    report = trained.report
    assert [(one.name, one.seed) for one in report.trainings] == [
        (f"seed {seed}", seed) for seed in (4, 5, 6)
    ]
    parts = trained.split
    alone = [train(task, data, split=None, seed=4)]
    assert alone[0].split.digest() == parts.digest()
    assert alone[0].report.test.metrics == report.trainings[0].metrics
    [spread] = report.spread
    for name in headline_of(task, report.test.metrics):
        values = [one.metrics[name] for one in report.trainings]
        assert spread.mean[name] == pytest.approx(np.mean(values))
        assert spread.deviation[name] == pytest.approx(np.std(values, ddof=1))
    scores = [one.score for one in report.trainings]
    best = report.trainings[scores.index(max(scores))]
    assert report.test.metrics == best.metrics
    assert elman.load("model").evaluate(parts.test).metrics == best.metrics
    assert report.name == f"{best.name}, kept"
    told = json.loads(Path("model/metrics.json").read_bytes())
    assert [one["name"] for one in told["trainings"]] == ["seed 4", "seed 5", "seed 6"]
    assert best.name in repr(trained)
    assert "<table>" in trained._repr_html_()
    assert f"| {best.name} |" in Path("model/README.md").read_text(encoding="utf-8")
    code, out, err = call("train", "--config", "model/train.toml", "--out", "again")
    assert code == 0, err
    assert "seed 5 (2 of 3)" in err
    assert "each by itself" in out
    assert "±" in out
    for file in ("model.safetensors", bundle.CONFIG):
        assert Path("again", file).read_bytes() == Path("model", file).read_bytes()


def test_a_mean_of_seeds_is_one_model(task, data, call):
    if task.combine is None:
        said = f"networks of the task {task.name} have no mean; leave --keep out to keep the best"
        with pytest.raises(ConfigError, match=said):
            train(task, data, seeds=2, keep="mean")
        code, _, err = call("train", data, "--seeds", 2, "--keep", "mean", *words_of(task))
        assert (code, err.count("\n")) == (2, 1)
        code, out, _ = call("train", "--task", task.name, "--help")
        assert "Of several seeds: the best on validation" in " ".join(out.split())
        assert train(task, data, seeds=2).report.name.endswith(", kept")
        return
    trained = train(task, data, out="model", seeds=2)
    assert trained.report.name == "mean of 2 seeds"
    assert trained.model.num_parameters == trained.report.parameters
    loaded = elman.load("model")
    assert loaded.answer(inputs_of(task)) == trained.model.answer(inputs_of(task))
    assert loaded.evaluate(trained.split.test).metrics == trained.report.test.metrics
    assert loaded.num_parameters > train(task, data).model.num_parameters


def test_several_seeds_go_on_where_they_were_stopped(task, data, call):
    for keep in keeps_of(task):
        more = {"seeds": 3, "keep": keep}
        unbroken = train(task, data, out=f"{keep}-unbroken", **more)
        for name, epoch, done in [("seed 1", 1, 1), ("seed 2", 2, 2), ("seed 0", 2, 1)]:
            place = f"{keep}-{name[-1]}"
            stopped = train(task, data, out=place, callbacks=[StopAtTraining(name, epoch)], **more)
            assert stopped.interrupt is not None
            said = stopped.report.stopped
            if name == "seed 0":
                assert said == "seed 0, the first of 3, was stopped by Ctrl-C after epoch 1"
            else:
                assert said == (
                    f"stopped by Ctrl-C when {done} of 3 seeds were trained; the model is of these"
                )
            assert elman.load(place).answer(inputs_of(task))
            with pytest.raises(ConfigError, match="the stopped run had seeds 3, not 2; resume"):
                train(task, data, out=place, resume=True, seeds=2, keep="best")
            resumed = train(task, data, out=place, resume=True, **more)
            assert resumed.report.trainings[0].best_epoch
            assert resumed.report.test == unbroken.report.test
            for file in ("model.safetensors", bundle.CONFIG, bundle.SUMS):
                first, second = (Path(p, file).read_bytes() for p in (place, f"{keep}-unbroken"))
                assert first == second
            assert not training_folder(Path(place)).exists()


def test_a_stopped_run_of_seeds_is_said_and_forgotten_with_force(task, data, call, monkeypatch):
    def press(screen, progress):
        if screen._several == "seed 1":
            raise KeyboardInterrupt

    argv = ["train", data, "--out", "model", "--seeds", 3, "--keep", "best", *words_of(task)]
    with monkeypatch.context() as patch:
        patch.setattr(screens.TrainingScreen, "on_batch", press)
        code, out, err = call(*argv)
    assert code == 130
    assert "Saved to model" in out
    assert err.splitlines()[-1].endswith("--resume")
    assert [p.name for p in Path("model.training").iterdir()] == ["seed-0"]
    code, _, err = call("train", data, "--out", "model", *words_of(task))
    assert (code, err.count("\n")) == (2, 1)
    assert "a stopped run stands in model.training; add --resume to go on" in err
    code, _, err = call("train", data, "--out", "model", "--resume", *words_of(task))
    assert (code, err.count("\n")) == (2, 1)
    assert "the stopped run had seeds 3, not 1" in err
    assert call("train", data, "--out", "model", "--force", *words_of(task))[0] == 0
    assert not Path("model.training").exists()


def test_each_example_is_tested_once_over_the_folds(task, data, call):
    trained = train(task, data, folds=3)
    report = trained.report
    whole = task.read(data)
    assert report.test.count == sum(one.count for one in report.trainings)
    assert len(trained.split.test) == len(whole)
    rows = [*trained.predictions()]
    assert len({str(next(iter(row.values()))) for row in rows}) == len(rows) == len(whole)
    assert [one.name for one in report.trainings] == ["fold 1", "fold 2", "fold 3"]
    names = ["this model", *(one.name for one in report.baselines)]
    assert [one.name for one in report.spread] == names
    for i, one in enumerate(report.spread):
        for name in headline_of(task, report.test.metrics):
            values = [[t.metrics, *t.baselines.values()][i][name] for t in report.trainings]
            assert one.mean[name] == pytest.approx(np.mean(values))
            assert one.deviation[name] == pytest.approx(np.std(values, ddof=1))
    with pytest.raises(ConfigError, match="cross-validation alone keeps no model; add final=True"):
        trained.model  # noqa: B018
    assert "fold 2" in repr(trained)
    assert "<table>" in trained._repr_html_()
    argv = ["train", data, "--folds", 3, *words_of(task)]
    code, out, err = call(*argv, "--json", "--predictions", "rows.jsonl")
    assert code == 0, err
    told = json.loads(out)
    assert told["out"] is None
    assert told["spread"][0]["mean"] == report.spread[0].mean
    assert len(Path("rows.jsonl").read_text(encoding="utf-8").splitlines()) == len(whole)
    code, out, _ = call(*argv)
    assert code == 0
    assert "No model is kept of cross-validation alone" in out
    assert {path.name for path in Path().iterdir()} == {data, "rows.jsonl"}


def test_scores_of_folds_are_those_of_all_their_answers(task, data):
    trained = train(task, data, folds=3)
    rows = [*trained.predictions()]
    answered = [row for row in rows if row.get("correct", True) is not None]
    values = task.resampled(answered, np.ones((1, len(answered))))
    for name in headline_of(task, trained.report.test.metrics):
        assert trained.report.test.metrics[name] == pytest.approx(values[name][0])


def test_a_last_model_saw_all_data_and_says_so(task, data, call):
    once = train(task, data)
    trained = train(task, data, out="model", final=True)
    said = (
        "scores are of a model trained on the training part alone; this one saw all "
        f"{len(task.read(data)):,} examples"
    )
    assert said in Path("model/README.md").read_text(encoding="utf-8")
    assert said in " ".join(repr(trained).split())
    assert trained.report.test == once.report.test
    assert trained.report.final.epochs == [once.report.best_epoch]
    assert weights(trained.model.module) != weights(once.model.module)
    loaded = elman.load("model")
    assert loaded.answer(inputs_of(task)) == trained.model.answer(inputs_of(task))
    with Path("model/test-predictions.csv").open(encoding="utf-8", newline="") as file:
        rows = [*csv.DictReader(file)]  # of the model that was judged
    assert rows == [
        {k: "" if v is None else str(output.cell(v)) for k, v in row.items()}
        for row in once.model.predictions(once.split.test)
    ]
    code, out, err = call("train", "--config", "model/train.toml", "--out", "again")
    assert code == 0, err
    assert said in out
    for file in ("model.safetensors", bundle.CONFIG, "train.toml"):
        assert Path("again", file).read_bytes() == Path("model", file).read_bytes()


def test_folds_with_a_last_model_keep_that(task, data):
    trained = train(task, data, out="model", folds=2, final=True)
    assert elman.load("model").answer(inputs_of(task)) == trained.model.answer(inputs_of(task))
    assert trained.report.final.count == len(task.read(data))
    best = [one.best_epoch for one in trained.report.trainings]
    assert trained.report.final.epochs[0] in best
    card = Path("model/README.md").read_text(encoding="utf-8")
    assert "(cross-validation)" in card
    assert "| fold 2 |" in card
    with Path("model/test-predictions.csv").open(encoding="utf-8", newline="") as file:
        assert len([*csv.DictReader(file)]) == len(task.read(data))


@pytest.mark.parametrize("name", ["fold 1", "fold 2", "all data"])
def test_stopped_folds_go_on(task, data, name):
    more = {"folds": 2, "final": True}
    unbroken = train(task, data, out="unbroken", **more)
    with pytest.raises(KeyboardInterrupt):
        train(task, data, out="model", callbacks=[StopAtTraining(name, 2)], **more)
    assert not Path("model").exists()
    resumed = train(task, data, out="model", resume=True, **more)
    assert resumed.report.test == unbroken.report.test
    for file in ("model.safetensors", bundle.CONFIG):
        assert Path("model", file).read_bytes() == Path("unbroken", file).read_bytes()
    assert not training_folder(Path("model")).exists()


def test_a_last_fit_that_is_stopped_leaves_what_was_judged(task, data):
    more = {"final": True}
    stopped = train(task, data, out="model", callbacks=[StopAtTraining("all data", 1)], **more)
    assert stopped.report.stopped == (
        "stopped by Ctrl-C in the last fit, on all data; the model is the one that was judged"
    )
    assert stopped.report.final is None
    assert weights(elman.load("model").module) == weights(train(task, data).model.module)
    resumed = train(task, data, out="model", resume=True, **more)
    assert resumed.report.final is not None
    assert not training_folder(Path("model")).exists()


def test_a_last_fit_of_seeds_is_one_for_each_that_is_kept(task, data):
    for keep in keeps_of(task):
        trained = train(task, data, out=keep, seeds=2, keep=keep, final=True)
        assert len(trained.report.final.epochs) == (1 if keep == "best" else 2)
        assert elman.load(keep).answer(inputs_of(task)) == trained.model.answer(inputs_of(task))


def test_a_model_is_gone_on_from(task, data, call):
    first = train(task, data, out="first")
    more = elman.train(data, task=task.name, init="first", learning_rate=1e-30, epochs=1)
    examples = first.split.test
    assert more.model.evaluate(examples).metrics == pytest.approx(
        first.model.evaluate(examples).metrics, abs=1e-6
    )
    for init in (first, first.model):
        same = elman.train(data, task=task.name, init=init, learning_rate=1e-30, epochs=1)
        assert weights(same.model.module) == weights(more.model.module)
    code, _, err = call("train", data, "--init", "first", "--epochs", 2, "--out", "more")
    assert code == 0, err
    kept = Path("more/train.toml").read_text(encoding="utf-8")
    assert 'init = "first"' in kept
    assert "hidden_size" not in kept  # it follows from the model
    code, _, err = call("train", "--config", "more/train.toml", "--out", "again")
    assert code == 0, err
    assert (
        Path("again/model.safetensors").read_bytes() == Path("more/model.safetensors").read_bytes()
    )


def test_a_model_that_is_gone_on_from_keeps_its_cell(task, data):
    Path("mine.py").write_text(
        "from elman.cell import cell, tanh\n"
        "@cell(state=('h',))\n"
        "def mine(p, x, h):\n"
        "    return tanh(p.a(x, h))\n"
    )
    train(task, data, out="first", cell="mine.py:mine")
    second = elman.train(data, task=task.name, init="first", epochs=1, out="second")
    assert second.model.settings["cell"].name == "mine"
    assert elman.train(data, task=task.name, init="first", cell="mine.py:mine", epochs=1)
    assert elman.train(data, task=task.name, init="second", epochs=1)


def test_what_contradicts_the_model_is_refused(task, data, call):
    train(task, data, out="first")
    for option, value, had in (("hidden_size", 7, None), ("cell", "gru", "lstm")):
        had = had or options_of(task)["hidden_size"]
        code, out, err = call(
            "train", data, "--init", "first", f"--{option.replace('_', '-')}", value
        )
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert f"--init is a model with {option} {had}, not {value}; leave out" in err
    code, _, err = call("train", data, "--init", "nowhere")
    assert (code, err.count("\n")) == (2, 1)
    assert "there is no model at nowhere" in err
    other = next(name for name in NAMES if name != task.name)
    with pytest.raises(ConfigError, match=f"a model of the task {task.name}, not of {other}"):
        elman.train(data, task=other, init="first")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"folds": 3, "out": "model"}, "cross-validation alone keeps no model; add --final"),
        (
            {"folds": 3, "seeds": 2},
            "--folds 3 trains one network for each fold, and --seeds 2 several on the same parts",
        ),
        ({"folds": 3, "test": "names.tsv"}, "--folds cuts all of the data by itself; leave out"),
        ({"folds": 1}, "folds is 1; it must be 2 to 99"),
        ({"folds": 60}, "too few for 60 folds; ask for fewer folds"),
        ({"seeds": 0}, "seeds is 0; it must be 1 to 99"),
        ({"seeds": 2.5}, "seeds is 2.5; it must be a whole number"),
        ({"keep": "best"}, "--keep best is of several seeds; add --seeds 3"),
        ({"keep": "worst", "seeds": 2}, "keep is 'worst'; it must be one of mean, best"),
        ({"final": 1}, "final is 1; it must be True or False"),
        ({"init": 3}, "init is 3; give a model, what elman.train returned, or a folder"),
    ],
)
def test_trainings_that_cannot_be_are_refused(task, data, options, said):
    with pytest.raises(ConfigError, match=said):
        train(task, data, **options)
    assert [p.name for p in Path().iterdir()] == [data]


# Bad input


def test_empty_input_is_one_sentence(task, data, call):
    Path(data).write_text("")
    code, out, err = call("train", data, *words_of(task))
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert f"{data} is empty" in err
    assert [p.name for p in Path().iterdir()] == [data]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("epochs = 0", "epochs is 0; it must be 1 or more"),
        ('epochs = "3"', "--config: epochs is '3'; it must be a whole number"),
        (
            "epoch = 3",
            "--config names epoch, which is no option of this command; did you mean epochs?",
        ),
        ("epochs = ", "--config a.toml is not TOML: Invalid value"),
        ('force = "no"', "--config: force is 'no'; it must be true or false"),
        ("split = 2026-01-02", "--config: split is datetime.date(2026, 1, 2); it must be text"),
        ("data = [3]", "--config: data is [3]; it must be text"),
        ("out = 3", "--config: out is 3; it must be text"),
        ("backend = 'cuda'", "--config: backend is 'cuda'; it must be one of auto, llvm"),
        ("config = 'b.toml'", "--config names config, which is no option of this command"),
        ("[network]\nhidden_size = 3", "options stand at the top, in no [table]"),
        ("hidden-size = 3\nhidden_size = 4", "names an option twice"),
        (None, "--config a.toml cannot be read (no such file or directory)"),
    ],
)
def test_a_config_file_that_cannot_be_used_is_one_sentence(task, data, call, content, said):
    if content is not None:
        Path("a.toml").write_text(content)
    code, out, err = call("train", data, "--config", "a.toml")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert said in err


def test_an_option_that_is_not_there_is_refused_with_the_nearest(task, data):
    with pytest.raises(
        ConfigError, match="there is no option hiden_size; did you mean hidden_size"
    ):
        elman.train(data, task=task.name, hiden_size=3)
    with pytest.raises(ConfigError, match="there is no option wattage; there are "):
        elman.evaluate(train(task, data).model, data, wattage=60)


@pytest.mark.parametrize(
    ("call_", "said"),
    [
        (lambda data: elman.train(None), "data is None; give a path"),
        (lambda data: elman.train(data, out=3), "out is 3; it must be a path"),
        (lambda data: elman.train(data, split=0.1), "split is 0.1; give three shares"),
        (lambda data: elman.train(data, task=3), "there is no task 3"),
        (lambda data: elman.train(data, resume=True), "there is nothing to resume without out"),
        (
            lambda data: elman.train(data, hidden_size=np.float64(3.5)),
            "hidden_size is 3.5; it must",
        ),
        (lambda data: elman.load(None), "path is None"),
        (lambda data: elman.compare(data, seeds="3"), "seeds is '3'; it must be a whole number"),
        (lambda data: elman.compare(data, cells=""), "cells names no cell"),
        (lambda data: elman.compare(data, seed=3), "compare takes cells and seeds, not seed"),
    ],
)
def test_python_says_the_same(task, data, call_, said):
    with pytest.raises(ConfigError, match=said):
        call_(data)


def test_numbers_of_numpy_are_numbers(task, data):
    plain = train(task, data)
    numpy = train(task, data, hidden_size=np.int64(options_of(task)["hidden_size"]))
    assert weights(numpy.model.module) == weights(plain.model.module)


# A model


def test_what_is_loaded_answers_as_what_was_trained(task, data):
    trained = train(task, data, out="model").model
    loaded = elman.load("model")
    assert loaded.task == task.name
    assert (
        loaded.num_parameters
        == trained.num_parameters
        == sum(p.numel() for p in loaded.module.parameters())
    )
    answers = loaded.answer(inputs_of(task))
    assert answers == trained.answer(inputs_of(task))
    assert json.loads(json.dumps(answers)) == answers
    assert len(answers) == len(inputs_of(task))
    assert loaded.answer([]) == []


def test_a_model_is_loaded_without_most_of_torch(task, data):
    train(task, data, out="model")
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from elman import api, tasks; tasks.TASKS.setdefault('toy', 'toy.task')\n"
        "api.load('model').answer(['ka'])\n"
        "print(*{'sympy', 'torch._dynamo', 'sklearn'} & {*sys.modules})"
    )
    argv = [sys.executable, "-c", program, str(ROOT / "tests")]
    assert subprocess.run(argv, capture_output=True, text=True).stdout == "\n"


@pytest.mark.parametrize("backend", ["auto", "llvm", "builtin", "eager"])
def test_a_model_is_loaded_on_any_backend(task, data, backend):
    trained = train(task, data, out="model").model
    rows = elman.load("model", backend=backend).answer(inputs_of(task))
    assert [row["text"] for row in rows] == inputs_of(task)
    assert elman.load("model", backend=backend).evaluate(task.read(data)).metrics == pytest.approx(
        trained.evaluate(task.read(data)).metrics, abs=1e-5
    )


def test_evaluate_is_the_function_that_its_command_calls(task, data, call):
    model = train(task, data, out="model").model
    scores = elman.evaluate(model, data)
    assert elman.evaluate("model", data) == scores
    assert elman.evaluate(train(task, data), data) == scores
    told = json.loads(call("evaluate", "model", data, "--json")[1])
    assert told["count"] == scores.count
    assert {name: told[name] for name in scores.metrics} == scores.metrics
    code, out, _ = call("evaluate", "model", data)
    assert code == 0
    assert out.startswith(f"{data}: {scores.count:,} judged\n")


def test_compare_is_the_function_that_its_command_calls(task, data, call):
    options = options_of(task)
    table = elman.compare(data, task=task.name, cells="elman,gru", seeds=2, **options)
    assert [(run.cell, run.seed) for run in table.runs] == [
        (cell, seed) for seed in (0, 1) for cell in ("elman", "gru")
    ]
    argv = ["compare", data, "--cells", "elman,gru", "--seeds", 2, *words_of(task)]
    told = json.loads(call(*argv, "--json")[1])
    for row, said in zip(table.rows, told["rows"], strict=True):
        assert said["mean"] == row.mean
        assert said["spread"] == row.spread
    code, out, _ = call(*argv)
    assert code == 0
    assert "±" in out


def test_compare_takes_a_cell_once_and_refuses_two_of_one_name(task, data):
    table = elman.compare(data, task=task.name, cells="gru,GRU", seeds=1, **options_of(task))
    assert [row.cell for row in table.rows] == ["gru"]

    @cell(state=("h",))
    def gru(p, x, h):
        return tanh(p.a(x, h))

    with pytest.raises(ConfigError, match="two of the cells are both called gru"):
        elman.compare(data, task=task.name, cells=["gru", gru], **options_of(task))


def test_compare_takes_a_train_toml_and_marks_what_failed(task, data, call):
    train(task, data, out="model")
    argv = ["compare", "--config", "model/train.toml", "--cells", "elman,gru", "--seeds", 1]
    code, out, err = call(*argv)
    assert code == 0, err
    code, out, _ = call(*argv, "--learning-rate", "1e30")
    assert code == 1
    assert out.count("(1 of 1 runs failed)") == 2


def test_predict_takes_the_options_of_answer(task, data, call):
    train(task, data, out="model")
    out = call("predict", "model", "--help")[1]
    for one in declared(task.answers):
        assert f"--{one.name}" in out
    rows = json.loads(call("predict", "model", *inputs_of(task), "--json")[1])
    assert rows == elman.load("model").answer(inputs_of(task))
    for kind in ("text", "tsv"):
        code, out, _ = call("predict", "model", *inputs_of(task), "--format", kind)
        assert code == 0
        assert len(out.splitlines()) == len(inputs_of(task))


def test_predict_reads_a_file_and_keeps_its_columns(task, data, call):
    train(task, data, out="model")
    Path("new.csv").write_text("id,text\n7,kamo\n8,Bau\n", encoding="utf-8")
    code, _, err = call("predict", "model", "new.csv", "--out", "answers.csv")
    assert (code, err.splitlines()[-1]) == (0, "elman: saved to answers.csv")
    head, *rows = Path("answers.csv").read_text(encoding="utf-8").splitlines()
    assert head.startswith("id,text,")
    assert [row[:6] for row in rows] == ["7,kamo", "8,Bau,"]
    rows = json.loads(call("predict", "model", "new.csv", "--json")[1])
    assert [row["row"] for row in rows] == [
        {"id": "7", "text": "kamo"},
        {"id": "8", "text": "Bau"},
    ]


def test_check_knows_the_task(task, data, call):
    code, out, err = call("check", data, "--task", task.name, "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["task"] == task.name
    for name in ("rows", "encoding", "delimiter", "header", "notes", "files"):
        assert name in found
    assert found["rows"] == len(api.read_all(task, data, {}))
    assert call("check", data)[0] == 0
    code, out, err = call("check", "no.csv", "--task", task.name)
    assert (code, out, err.count("\n")) == (2, "", 1)


def test_several_files_are_one(task, data):
    parts = api.read_all(task, [data, data], {})
    assert len(parts) == 2 * len(api.read_all(task, data, {}))


def test_a_model_of_an_unknown_task_is_refused(task, data, call, monkeypatch):
    train(task, data, out="model")
    monkeypatch.delitem(tasks.TASKS, task.name)
    monkeypatch.setattr(tasks, "DEFAULT", next(iter(tasks.TASKS)))
    with pytest.raises(BundleError, match=f"a model of the task '{task.name}', which this Elman"):
        elman.load("model")
    code, _, err = call("predict", "model", "text")
    assert (code, err.count("\n")) == (2, 1)


@pytest.mark.parametrize(
    ("name", "size"), [("hidden_size", 7), ("hidden_size", 20_000), ("num_layers", 10**9)]
)
def test_a_config_of_other_sizes_is_refused_before_memory_is_taken(task, data, name, size):
    train(task, data, out="model")
    config = json.loads(Path("model/config.json").read_bytes())
    model = config["model"].get("network", config["model"])
    model[name] = size
    Path("model/config.json").write_text(json.dumps(config))
    with pytest.raises(BundleError, match=r"config\.json is damaged or of another model"):
        elman.load("model")
    names = [line.split()[1] for line in Path("model/SHA256SUMS").read_text().splitlines()]
    files = {name: Path("model", name).read_bytes() for name in names}
    Path("model/SHA256SUMS").write_bytes(bundle.checksums(files))
    # Read in a process of its own, for its peak of memory; the weights would be 6 GB.
    program = (
        "import resource, sys; sys.path.insert(0, sys.argv[1]);"
        "resource.setrlimit(resource.RLIMIT_AS, (2**34, 2**34));"
        "from elman import api, tasks; from elman.errors import BundleError;"
        "tasks.TASKS.setdefault('toy', 'toy.task'); tasks.find(sys.argv[2]);"
        "import elman.tasks.classify.loading, elman.nn\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "before = peak()\n"
        "try: api.load('model')\n"
        "except BundleError as error: print(error)\n"
        "print((peak() - before) // 1024)"
    )
    argv = [sys.executable, "-c", program, str(ROOT / "tests"), task.name]
    ran = subprocess.run(argv, capture_output=True, text=True)
    said, megabytes = ran.stdout.splitlines()
    assert said.startswith("model/model.safetensors does not fit model/config.json (")
    assert int(megabytes) < 1000


def test_sha256sum_checks_a_model(task, data):
    train(task, data, out="model")
    ran = subprocess.run(["sha256sum", "-c", bundle.SUMS], cwd="model", capture_output=True)
    assert ran.returncode == 0, ran.stdout


def test_a_part_that_is_empty_is_refused(task, data):
    model = train(task, data).model
    parts = api.read_split(task, data, {})
    nothing = parts.test.take([]) if hasattr(parts.test, "take") else type(parts.test)([], data)
    with pytest.raises(DataError):
        model.evaluate(nothing)
    assert np.isfinite([*model.evaluate(parts.test).metrics.values()]).all()
