"""Who is told of a run: functions, objects, progress, TensorBoard; what happens when one fails."""

import importlib.util
import sys
import threading
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

import elman
import tiny
from elman.callbacks import Callback, TensorBoard
from elman.errors import ConfigError
from elman.training.checkpoint import training_folder


class Notes(Callback):
    """Writes down what it is told."""

    def __init__(self, name="", told=None, fails=""):
        self.name, self.told, self.fails = name, [] if told is None else told, fails

    def _note(self, what):
        self.told.append(self.name + what)
        if what == self.fails:
            raise RuntimeError(f"no {what}")

    def on_training(self, name, number, count):
        self._note(f"training {name} {number}/{count}")

    def begin(self, task, split, learner):
        self._note(f"begin {task.name} {learner.options.hidden_size}")

    def on_batch(self, progress):
        if progress.batch == progress.batches:
            self._note(f"batch {progress.epoch}")

    def on_epoch(self, epoch):
        self._note(f"epoch {epoch.epoch}")

    def end(self, fitted):
        self._note(f"end {len(fitted.history)}")

    def on_run(self, task, run):
        self._note(f"run {run.cell} {run.seed}")

    def close(self):
        self._note("close")


RUN = ["begin classify 8", "batch 1", "epoch 1", "batch 2", "epoch 2", "end 2"]


def weights(trained):
    return {k: v.numpy().tobytes() for k, v in trained.model.module.state_dict().items()}


def test_all_are_told_in_their_order(names_file):
    told = []
    epochs = []
    first, second = Notes("a ", told), Notes("b ", told)
    tiny.train(names_file, epochs=2, callbacks=[first, epochs.append, second])
    assert told[:-2] == [f"{who} {what}" for what in RUN for who in "ab"]
    assert {*told[-2:]} == {"a close", "b close"}
    assert [epoch.epoch for epoch in epochs] == [1, 2]
    assert epochs[0].metrics["accuracy"] >= 0


def test_of_several_trainings_each_is_told(names_file):
    notes = Notes()
    more = {"seeds": 2, "keep": "best", "final": True}
    tiny.train(names_file, epochs=2, callbacks=[notes], **more)
    names = ["training seed 0 1/2", "training seed 1 2/2", "training all data 1/1"]
    assert [one for one in notes.told if one.startswith("training")] == names
    assert notes.told[:8] == [names[0], *RUN, names[1]]
    assert notes.told[-1] == "close"
    notes = Notes()
    tiny.train(names_file, epochs=1, callbacks=[notes], folds=2)
    assert [one for one in notes.told if one.startswith("training")] == [
        "training fold 1 1/2",
        "training fold 2 2/2",
    ]


def test_an_object_needs_no_more_than_one_method(names_file):
    ended = []
    tiny.train(names_file, epochs=1, callbacks=(SimpleNamespace(end=ended.append),))
    assert [len(fitted.history) for fitted in ended] == [1]


@pytest.mark.parametrize(
    ("callbacks", "said"),
    [
        ([5], r"callbacks\[0\] is 5; give a function of an epoch, or an object with any of"),
        ([print, SimpleNamespace(on_epoch_end=print)], r"callbacks\[1\] is .* begin, on_batch"),
        ([Notes], r"callbacks\[0\] is the class Notes; give one of its objects"),
        (print, "callbacks is <built-in function print>; give a list of callbacks"),
        ("tensorboard", "callbacks is 'tensorboard'; give a list of callbacks"),
    ],
)
def test_what_can_be_told_nothing_is_refused_before_the_data_are_read(callbacks, said):
    with pytest.raises(ConfigError, match=said):
        elman.train("nowhere.csv", callbacks=callbacks)
    with pytest.raises(ConfigError, match=said):
        elman.compare("nowhere.csv", callbacks=callbacks)


@pytest.mark.parametrize("what", ["batch 2", "epoch 2"])
def test_an_error_ends_the_run_and_what_was_trained_is_kept(names_file, tmp_path, what):
    unbroken = tiny.train(names_file, out=tmp_path / "unbroken")
    out, notes, other = tmp_path / "model", Notes(fails=what), Notes()
    with pytest.raises(RuntimeError, match=f"no {what}"):
        tiny.train(names_file, out=out, callbacks=[other, notes])
    assert notes.told[-2:] == [what, "close"]
    assert other.told[-1] == "close"
    assert not out.exists()
    assert training_folder(out).is_dir()
    resumed = tiny.train(names_file, out=out, resume=True)
    assert [epoch.epoch for epoch in resumed.history] == [1, 2, 3]
    assert weights(resumed) == weights(unbroken)


def test_an_error_of_close_comes_after_all_are_closed(names_file):
    first, second = Notes(), Notes(fails="close")
    with pytest.raises(RuntimeError, match="no close"):
        tiny.train(names_file, epochs=1, callbacks=[first, second])
    assert first.told[-1] == second.told[-1] == "close"


def test_who_was_not_begun_is_not_closed(names_file, tmp_path):
    """So that ``close`` finds what ``begin`` made, and hides no error."""
    tiny.train(names_file, out=tmp_path / "model", callbacks=[Notes(fails="nothing")])
    first, fails, last = Notes(), Notes(fails="begin classify 8"), Notes()
    with pytest.raises(RuntimeError, match="no begin"):
        tiny.train(names_file, callbacks=[first, fails, last])
    assert first.told == ["begin classify 8", "close"]
    assert (fails.told, last.told) == (["begin classify 8"], [])
    with pytest.raises(ConfigError, match="resume"):
        tiny.train(names_file, out=tmp_path / "new", resume=True, callbacks=[last])
    assert last.told == []


def test_one_can_stop_the_training_as_ctrl_c_does(names_file, tmp_path):
    def enough(epoch):
        if epoch.epoch == 2:
            raise KeyboardInterrupt

    trained = tiny.train(names_file, out=tmp_path / "model", callbacks=[enough])
    assert trained.report.stopped == "stopped by Ctrl-C after epoch 2"
    assert len(trained.history) == 2
    assert elman.load(tmp_path / "model").predict(["kamoto"])


def test_a_comparison_tells_of_every_run(names_file):
    notes = Notes()
    options = {**tiny.OPTIONS, "epochs": 1}
    table = elman.compare(names_file, cells="elman,gru", seeds=2, callbacks=[notes], **options)
    runs = [what for what in notes.told if what.startswith("run")]
    assert runs == ["run elman 0", "run gru 0", "run elman 1", "run gru 1"]
    assert notes.told.count("begin classify 8") == notes.told.count("end 1") == 4
    assert notes.told[-1] == "close"
    assert len(table.runs) == 4


def test_a_thread_trains_the_same_bits(names_file):
    found = []
    thread = threading.Thread(target=lambda: found.append(tiny.train(names_file, progress=True)))
    thread.start()
    thread.join()
    assert weights(found[0]) == weights(tiny.train(names_file))


# Progress


def test_progress_goes_to_stderr_where_it_is_asked_for(names_file, capsys):
    tiny.train(names_file, progress=True)
    out, err = capsys.readouterr()
    lines = err.splitlines()
    assert out == ""
    assert lines[0].endswith("lstm, at most 3 epochs")
    titles = next(i for i, line in enumerate(lines) if line.split()[:2] == ["epoch", "loss"])
    assert [line.split()[0] for line in lines[titles + 1 : titles + 4]] == ["1", "2", "3"]
    assert {len(line) for line in lines[titles : titles + 4]} == {len(lines[titles])}
    assert lines[-1].startswith("the weights of epoch ")


@pytest.mark.parametrize("progress", [None, False])
def test_nothing_is_shown_where_no_one_looks(names_file, capsys, progress):
    tiny.train(names_file, progress=progress)
    elman.compare(
        names_file, cells="elman", seeds=1, progress=progress, **{**tiny.OPTIONS, "epochs": 1}
    )
    assert capsys.readouterr() == ("", "")


def test_a_terminal_shows_it_unasked(names_file, capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    tiny.train(names_file)
    out, err = capsys.readouterr()
    assert out == ""
    assert "epoch 1/3" in err
    assert "the weights of epoch" in err


def test_without_a_stderr_nothing_is_shown(names_file, monkeypatch):
    monkeypatch.setattr(sys, "stderr", None)
    assert tiny.train(names_file, epochs=1).history


def test_a_comparison_shows_a_row_a_run(names_file, capsys):
    options = {**tiny.OPTIONS, "epochs": 1}
    elman.compare(names_file, cells="elman,gru", seeds=1, progress=True, **options)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[0].endswith("2 runs")
    assert [line.split()[-1] for line in err.splitlines()[1:]] == ["cell", "elman", "gru"]


@pytest.fixture
def notebook(monkeypatch):
    """As much of IPython as shows one output; what it shows at last."""
    page = SimpleNamespace(shown=[])

    class Handle:
        def update(self, html):
            page.shown[-1] = html

    def display(html, *, display_id):
        page.shown.append(html)
        return Handle()

    ipython, shows = ModuleType("IPython"), ModuleType("IPython.display")
    ipython.get_ipython = lambda: SimpleNamespace(kernel=1)
    shows.display, shows.HTML = display, str
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", shows)
    return page


def test_a_notebook_shows_one_output_that_grows(names_file, notebook, capsys, tmp_path):
    file = tmp_path / "<b>names.tsv"
    file.write_text(names_file.read_text(encoding="utf-8"), encoding="utf-8")
    tiny.train(file)
    assert capsys.readouterr() == ("", "")
    (html,) = notebook.shown
    assert "&lt;b&gt;names.tsv" in html
    assert "<b>" not in html
    assert html.count("<tr>") == 4
    assert "<progress" not in html
    assert "the weights of epoch" in html
    tiny.train(file, progress=False)
    assert len(notebook.shown) == 1


def test_a_notebook_shows_an_interrupted_run_to_its_end(names_file, notebook):
    with pytest.raises(RuntimeError):
        tiny.train(names_file, callbacks=[Notes(fails="epoch 2")])
    (html,) = notebook.shown
    assert "<progress" not in html
    assert html.count("<tr>") == 3


# TensorBoard


@pytest.fixture
def writers(monkeypatch):
    """What is written to TensorBoard, by folder: it need not be installed."""
    written = {}

    class SummaryWriter:
        def __init__(self, folder):
            Path(folder).mkdir(parents=True)
            self.scalars = written[Path(folder).name] = {}

        def add_scalar(self, name, value, step):
            self.scalars[name, step] = value

        def flush(self): ...

        def close(self):
            self.scalars["closed"] = True

    module = ModuleType("torch.utils.tensorboard")
    module.SummaryWriter = SummaryWriter
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr("elman.callbacks.find_spec", lambda name: name)
    return written


def test_tensorboard_gets_a_folder_a_run(names_file, tmp_path, writers):
    board = TensorBoard(tmp_path / "runs")
    trained = tiny.train(names_file, callbacks=[board], cell="gru", seed=4)
    tiny.train(names_file, callbacks=[board], cell="gru", seed=4)
    elman.compare(
        names_file, cells="elman,gru", seeds=1, callbacks=[board], **{**tiny.OPTIONS, "epochs": 1}
    )
    names = ["gru-seed-4", "gru-seed-4-2", "elman-seed-0", "gru-seed-0"]
    assert [*writers] == names
    for scalars in writers.values():
        assert scalars["closed"]
    scalars = writers[names[0]]
    for epoch in trained.history:
        assert scalars["training/loss", epoch.epoch] == epoch.loss
        assert scalars["validation/accuracy", epoch.epoch] == epoch.metrics["accuracy"]
        assert scalars["validation/score", epoch.epoch] == epoch.score


def test_a_missing_tensorboard_is_said_at_once(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setattr("elman.callbacks.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"pip install 'elman\[notebooks\]'"):
        TensorBoard("runs")


@pytest.mark.slow
def test_tensorboard_reads_what_was_written(names_file, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    trained = tiny.train(names_file, callbacks=[TensorBoard(tmp_path / "runs")])
    events = EventAccumulator(str(tmp_path / "runs" / "lstm-seed-0")).Reload()
    losses = [one.value for one in events.Scalars("training/loss")]
    assert losses == pytest.approx([epoch.loss for epoch in trained.history])
