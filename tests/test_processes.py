"""Commands as processes: streams that are closed or not read, signals, two at once, a bare machine.

A process that loads torch takes seconds, so several commands share one where that is the same.
"""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch

import elman
import tiny
from elman import tasks
from elman.cli import screen as screens
from elman.cli.app import run
from elman.cli.process import BURST, SIGNALS, stop_on_signals
from elman.errors import ConfigError, Stopped, TrainingError
from elman.training import bundle, machine
from elman.training.checkpoint import training_folder
from elman.training.lock import FILE, is_held, locked
from elman.training.options import MachineOptions
from elman.training.trainer import Trainer
from test_cli import ELMAN, SMALL, refused, tree

TRAIN = ["train", "names.tsv", *SMALL]


def train_with(**options):
    """The small training with other options."""
    given = dict(zip(SMALL[::2], SMALL[1::2], strict=True))
    given |= {f"--{name.replace('_', '-')}": str(value) for name, value in options.items()}
    return ["train", "names.tsv", *(word for pair in given.items() for word in pair)]


LONG = train_with(epochs=50_000, patience=50_000)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch, names_file):
    """Each test has a folder of its own, with the names in it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")
    return tmp_path


@pytest.fixture
def call(capfd):
    """Run a command in this process: its exit code, stdout and stderr."""

    def call(*argv):
        capfd.readouterr()
        code = run([str(a) for a in argv])
        said = capfd.readouterr()
        return code, said.out, said.err

    return call


def codes_of(commands, before="", redirect="", **options):
    """Run commands one after the other as `elman` does, in one process; return their exit codes."""
    program = (
        "import os, sys\n"
        "from elman.cli.app import main\n"
        "codes = []\n"
        f"for argv in {commands!r}:\n"
        f"    {before or 'pass'}\n"
        "    try:\n"
        "        main(argv)\n"
        "    except SystemExit as end:\n"
        "        codes.append(end.code)\n"
        "open('codes', 'w').write(repr(codes))\n"
    )
    shell = ["sh", "-c", f'exec "$@" {redirect}', "sh"]
    ran = subprocess.run([*shell, sys.executable, "-c", program], **options)
    codes = eval(Path("codes").read_text())
    Path("codes").unlink()
    return codes, ran


# Streams


def test_closed_streams(here, model_folder):
    commands = [
        [*TRAIN, "--out", "m"],
        ["predict", "model", "kamoto"],
        ["predict", "model", "--json"],
        ["evaluate", "model", "names.tsv"],
        ["compare", "names.tsv", "--cells", "elman", "--seeds", "1", *SMALL],
        ["datasets"],
        ["datasets", "--json"],
        ["cells"],
        ["--help"],
        ["train", "-"],
    ]
    codes, _ = codes_of(commands, redirect="<&- >&- 2>&-")
    assert codes == [0] * 9 + [2]
    assert elman.load("m").predict(["kamoto"])[0] in ("de", "ja")
    # A file that is opened later never stands in for a stream that was closed.
    assert (here / "names.tsv").read_text() == tiny.LINES


@pytest.mark.parametrize(("redirect", "said"), [("<&-", 2), (">&-", 1), ("2>&-", 1)])
def test_one_closed_stream(redirect, said):
    commands = [["cells"], ["trian"], ["evaluate", "nowhere", "-"]]
    codes, ran = codes_of(commands, redirect=redirect, capture_output=True, text=True)
    assert codes == [0, 2, 2]
    assert "Traceback" not in ran.stdout + ran.stderr
    assert len([text for text in (ran.stdout, ran.stderr) if text]) == said


def test_readers_that_are_gone(here, model_folder):
    """As with `| head -1`: what is done for its own sake is done, and nothing complains."""
    commands = [
        ["--help"],
        ["train", "--help"],
        [*TRAIN, "--out", "m"],
        ["predict", "model", "kamoto"],
        ["predict", "model", "kamoto", "--json"],
        ["evaluate", "model", "names.tsv"],
        ["compare", "names.tsv", "--cells", "elman", "--seeds", "1", *SMALL],
        ["datasets"],
        ["cells", "--json"],
        ["trian"],
    ]
    reader, writer = os.pipe()
    os.close(reader)
    before = f"sys.stdout.flush(); os.dup2({writer}, 1); os.dup2({writer}, 2)"
    codes, _ = codes_of(commands, before, pass_fds=[writer], stdout=writer, stderr=writer)
    assert codes == [0] * 9 + [2]
    assert elman.load("m").predict(["kamoto"])[0] in ("de", "ja")
    assert sorted(os.listdir()) == ["m", "model", "names.tsv"]
    before = f"sys.stdout.flush(); os.dup2({writer}, 1)"
    commands = [["datasets"], [*TRAIN, "--out", "n", "--quiet", "--json"]]
    pipes = {"stdout": writer, "stderr": subprocess.PIPE}
    codes, ran = codes_of(commands, before, pass_fds=[writer], text=True, **pipes)
    assert codes == [0, 0]
    assert ran.stderr == "elman: nobody reads the report any more; the model is saved to n\n"
    os.close(writer)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="a device of Linux")
def test_a_report_that_finds_no_room_says_where_the_model_is():
    codes, ran = codes_of(
        [[*TRAIN, "--out", "m", "--quiet"]],
        redirect=">/dev/full",
        stderr=subprocess.PIPE,
        text=True,
    )
    assert codes == [1]
    assert ran.stderr == (
        "elman: the report cannot be written (no space left on device); the model is saved to m\n"
    )
    assert bundle.is_bundle(Path("m"))


def test_machine_output_is_utf_8_whatever_the_locale(model_folder):
    environment = os.environ | {"PYTHONIOENCODING": "cp1252"}
    commands = [
        ["predict", "model", "ёж日本", "--json"],
        ["predict", "model", "ёж日本", "--format", "tsv"],
        ["predict", "model", "ёж日本"],
    ]
    codes, ran = codes_of(commands, stdout=subprocess.PIPE, env=environment)
    assert codes == [0, 0, 0]
    array, separated, text = re.fullmatch(rb"(\[.*\]\n)(.*\n)(.*\n)", ran.stdout, re.S).groups()
    assert json.loads(array)[0]["text"] == "ёж日本"
    assert separated.decode().startswith("ёж日本\t")
    assert text.startswith(b"????: ")


def test_progress_is_told_on_stderr_beside_json(call):
    code, out, err = call(*TRAIN, "--out", "m", "--json")
    assert (code, json.loads(out)["out"]) == (0, "m")
    assert re.search(r"^ +3 .*\d", err, re.MULTILINE)
    code, out, err = call(*TRAIN, "--out", "n", "--json", "--quiet")
    assert (code, json.loads(out)["out"], err) == (0, "n", "")


# Signals


@contextmanager
def process(*argv):
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with subprocess.Popen([*ELMAN, *argv], text=True, **pipes) as started:
        try:
            yield started
        finally:
            started.kill()


def test_ctrl_c_while_packages_are_imported(here):
    (here / "cyclopts.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGINT)\n")
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(here), *sys.path])}
    ran = subprocess.run([*ELMAN, "cells"], capture_output=True, text=True, env=environment)
    assert (ran.returncode, ran.stdout, ran.stderr) == (130, "", "elman: stopped\n")


def test_a_training_is_alone_and_ends_in_order_on_sigterm(call):
    with process(*LONG, "--out", "in/m") as training:
        for line in training.stderr:
            if re.match(r" +1 ", line):
                break
        message = "another training writes to in/m; wait until it has ended, or choose another"
        assert message in refused(call("train", "nowhere.tsv", "--out", "in/m"))  # nothing is read
        with pytest.raises(ConfigError, match=message):
            elman.train("names.tsv", out="in/m", force=True)
        training.send_signal(signal.SIGTERM)
        out, err = training.communicate(timeout=200)
    assert training.returncode == 128 + signal.SIGTERM
    assert "Saved to in/m" in out
    stopped, goes_on = err.splitlines()[-2:]
    assert re.fullmatch(r"elman: stopped by SIGTERM after epoch \d+; the best weights .*", stopped)
    command = shlex.join(["elman", *LONG, "--out", "in/m", "--resume"])
    assert goes_on == f"elman: goes on from the last whole epoch with: {command}"
    assert [path.name for path in training_folder(Path("in/m")).iterdir()] == [
        "checkpoint.safetensors"
    ]
    assert elman.load("in/m").predict(["kamoto"])[0] in ("de", "ja")


def test_sigterm_ends_predict_with_one_line(model_folder):
    with process("predict", "model") as predicting:
        predicting.stdin.write("kamoto\n")
        predicting.stdin.flush()
        predicting.stdout.readline()
        predicting.send_signal(signal.SIGTERM)
        assert predicting.wait(200) == 128 + signal.SIGTERM
        assert predicting.stderr.read() == "elman: stopped\n"


def test_the_same_signal_twice_at_once_is_one(monkeypatch):
    """As `timeout` sends it: to the command, and to the group that the command is in."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    now = 100.0
    monkeypatch.setattr("time.monotonic", lambda: now)
    try:
        for number in SIGNALS:  # whatever the shell that runs the tests ignores
            signal.signal(number, signal.default_int_handler)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        stop_on_signals()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN  # as `nohup` asks
        with pytest.raises(Stopped):
            signal.raise_signal(signal.SIGTERM)
        now += BURST / 2
        signal.raise_signal(signal.SIGTERM)
        with pytest.raises(Stopped):
            signal.raise_signal(signal.SIGINT)
        now += 2 * BURST
        with pytest.raises(Stopped):
            signal.raise_signal(signal.SIGTERM)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@pytest.fixture
def stop_in(monkeypatch):
    def stop_in(epoch, error):
        def press(screen, progress):
            if progress.epoch == epoch:
                raise error

        monkeypatch.setattr(screens.TrainingScreen, "on_batch", press)

    return stop_in


def test_each_signal_has_its_name_and_code(call, stop_in):
    for name, code in (("SIGHUP", 129), ("SIGTERM", 143)):
        stop_in(2, Stopped(getattr(signal, name)))
        said = call(*TRAIN, "--out", name)
        assert said[0] == code
        assert f"stopped by {name} after epoch 1" in said[2]
        stop_in(1, Stopped(getattr(signal, name)))
        said = call(*TRAIN, "--out", "none", "--quiet")
        assert said == (code, "", "elman: stopped; no epoch was whole, nothing is kept\n")


def test_the_command_that_goes_on_is_said_and_works(call, stop_in, monkeypatch, here):
    (here / "the names.tsv").write_text(tiny.LINES)
    argv = ["train", "--seed", "3", *SMALL, "--", "the names.tsv"]
    assert call(*argv[:-2], "the names.tsv", "--out", "unbroken")[0] == 0
    with monkeypatch.context():
        stop_in(3, KeyboardInterrupt())
        err = call(*argv)[2]
    monkeypatch.undo()
    monkeypatch.chdir(here)
    command = err.splitlines()[-1].partition(" with: elman ")[2]
    assert "--out 'models/the names' --resume -- 'the names.tsv'" in command
    assert call(*shlex.split(command))[0] == 0
    weights = [Path(m, bundle.WEIGHTS).read_bytes() for m in ("unbroken", "models/the names")]
    assert weights[0] == weights[1]
    assert os.listdir("models") == ["the names"]


def test_a_stopped_run_goes_on_by_its_own_train_toml(call, stop_in, monkeypatch, here):
    few = ["--hidden-size", "8", "--embedding-size", "8", "--epochs", "3"]  # others are settled
    assert call("train", "names.tsv", *few, "--out", "unbroken")[0] == 0
    stop_in(3, KeyboardInterrupt())
    assert call("train", "names.tsv", *few, "--out", "m")[0] == 130
    monkeypatch.undo()
    monkeypatch.chdir(here)
    shutil.copy("m/train.toml", "own.toml")
    other = ["train", "--config", "own.toml", "--out", "m", "--resume"]
    assert "had batch_size 16, not 8" in refused(call(*other, "--batch-size", "8"))
    code, _, err = call(*other, "--threads", "1")  # another machine may go on
    assert code == 0, err
    weights = [Path(m, bundle.WEIGHTS).read_bytes() for m in ("unbroken", "m")]
    assert weights[0] == weights[1]


def test_a_run_with_other_settled_options_is_refused(call, stop_in, monkeypatch, here):
    stop_in(3, KeyboardInterrupt())
    assert call(*TRAIN, "--out", "m")[0] == 130
    monkeypatch.undo()
    monkeypatch.chdir(here)
    left_out = ["train", "names.tsv", *SMALL[:6], *SMALL[8:]]  # the size of a batch
    code, out, err = call(*left_out, "--out", "m", "--resume")
    assert (code, out) == (2, "")
    assert "the stopped run had batch_size 8, not 16" in err


# Two at once


def test_what_a_kill_leaves_behind_keeps_nobody_away(here):
    program = (
        "import sys; from pathlib import Path; from elman.training.lock import locked\n"
        "with locked(Path('in/m')):\n    print('held', flush=True)\n    sys.stdin.read()\n"
    )
    pipes = dict.fromkeys(("stdin", "stdout"), subprocess.PIPE)
    with subprocess.Popen([sys.executable, "-c", program], text=True, **pipes) as holder:
        assert holder.stdout.readline() == "held\n"
        assert is_held(Path("in/m"))
        with pytest.raises(ConfigError, match="another training"), locked(Path("in/m")):
            pass
        holder.kill()
    assert tree(here).keys() == {"names.tsv", "in", "in/m.training", f"in/m.training/{FILE}"}
    assert not is_held(Path("in/m"))
    tiny.train("names.tsv", out="in/m")
    assert sorted(os.listdir("in")) == ["m"]


def test_a_lock_leaves_nothing_and_holds_a_link_to_the_same_place(here, model_folder):
    before = tree(here)
    (here / "link").symlink_to("model")
    with locked(Path("deep/in/m")), locked(Path("model")):
        with pytest.raises(ConfigError), locked(Path("link")):
            pass
        assert is_held(Path("deep/in/m"))
    (here / "link").unlink()
    assert tree(here) == before


def test_runs_that_name_themselves_do_not_meet(call):
    with locked(Path("models/names")):
        code, out, _ = call(*TRAIN)
    assert (code, "Saved to models/names-2" in out) == (0, True)


def test_where_the_system_has_no_locks_training_goes_on(monkeypatch):
    def unsupported(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr("fcntl.flock", unsupported)
    tiny.train("names.tsv", out="m")
    assert sorted(os.listdir()) == ["m", "names.tsv"]


class Meanwhile:
    """Does something when training has ended, before the model is saved."""

    def __init__(self, what):
        self.what = what

    def begin(self, task, split, learner): ...

    def on_batch(self, progress): ...

    def on_epoch(self, epoch): ...

    def end(self, fitted):
        self.what()


@pytest.mark.parametrize("kind", ["a model", "a folder", "a file"])
def test_what_appeared_meanwhile_is_not_replaced(here, model_folder, kind):
    def appear():
        if kind == "a model":
            shutil.copytree("model", "m")
        elif kind == "a folder":
            Path("m").mkdir()
            Path("m/precious").touch()
        else:
            Path("m").touch()

    with pytest.raises(TrainingError, match=r"m exists.*kept in m\.training.*--resume saves it"):
        tiny.train("names.tsv", out="m", callbacks=[Meanwhile(appear)])
    if kind == "a model":
        assert tree(Path("m")) == tree(model_folder)
        with pytest.raises(ConfigError, match="replace the model at m; add --force --resume"):
            tiny.train("names.tsv", out="m", resume=True)
    Path("m").rename("elsewhere")
    tiny.train("names.tsv", out="m", resume=True)
    assert sorted(os.listdir()) == ["elsewhere", "m", "model", "names.tsv"]


def test_a_stopped_run_is_not_lost_to_another_of_python(here):
    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tiny.train("names.tsv", out="m", callbacks=[Meanwhile(stop)])
    with pytest.raises(ConfigError, match=r"a stopped run stands in m\.training; add --resume"):
        tiny.train("names.tsv", out="m")
    tiny.train("names.tsv", out="m", resume=True)


def test_a_disk_that_is_full_at_the_end(here):
    """A real limit on the size of files, which the pictures of the scores exceed."""
    program = (
        "import resource, signal, elman, tiny\n"
        "class Watcher:\n"
        "    def begin(self, *_): pass\n"
        "    on_batch = on_epoch = begin\n"
        "    def end(self, _):\n"
        "        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "        resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "tiny.train('names.tsv', out='m', callbacks=[Watcher()])\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment
    )
    assert ran.stderr.splitlines()[-1] == (
        "elman.errors.TrainingError: m cannot be written (file too large); what was trained is "
        "kept in m.training: fix that, and the same command with --resume saves it"
    )
    assert sorted(os.listdir()) == ["m.training", "names.tsv"]
    tiny.train("names.tsv", out="m", resume=True)
    assert sorted(os.listdir()) == ["m", "names.tsv"]


# Places and numbers


@pytest.mark.parametrize(
    ("out", "said"),
    [
        ("x" * 300, "cannot be written (file name too long); choose another --out"),
        ("x" * 300 + "/m", "cannot be written (file name too long); choose another --out"),
        ("x" * 244, "cannot be written (file name too long); choose another --out"),
        ("names.tsv/m", "cannot be written (not a directory); choose another --out"),
        ("/proc/m", "/proc/m cannot be written (no such file or directory); choose another --out"),
        (".", ". exists and is no Elman model, so it is left alone; choose another --out"),
    ],
)
def test_places_that_cannot_be_are_refused_before_anything_is_read(call, here, out, said):
    before = tree(here)
    assert said in refused(call("train", "nowhere.tsv", "--out", out))
    assert tree(here) == before


def test_a_name_that_cannot_be_is_told_of_as_data_or_model(call):
    name = "x" * 300
    assert "cannot be read: file name too long" in refused(call("train", name))
    assert "there is no model at xxx" in refused(call("predict", name, "text"))


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["train", "names.tsv", "--seed", "1.5"], "--seed: '1.5' is not a whole number"),
        (["train", "names.tsv", "--epochs", "1.9"], "--epochs: '1.9' is not a whole number"),
        (["train", "names.tsv", "--epochs", "nan"], "--epochs: 'nan' is not a whole number"),
        (["train", "names.tsv", "--epochs", ""], "--epochs: '' is not a whole number"),
        (["train", "names.tsv", "--min-count", "0.5"], "--min-count: '0.5' is not a whole number"),
        (["train", "names.tsv", "--batch-size", "1e2"], "--batch-size: '1e2' is not a whole"),
        (["train", "names.tsv", "--hidden-size", "64.7"], "--hidden-size: '64.7' is not a whole"),
        (["train", "names.tsv", "--threads", "1.5"], "--threads: '1.5' is not a whole number"),
        (["compare", "names.tsv", "--seeds", "2.5"], "--seeds: '2.5' is not a whole number"),
        (["predict", "model", "a", "--top", "1.5"], "--top: '1.5' is not a whole number"),
        (["evaluate", "model", "names.tsv", "--threads", "0"], "threads is 0; it must be 1"),
        (["cells", "--input-size", "1.5"], "--input-size: '1.5' is not a whole number"),
        (["explain", "lstm", "--hidden-size", "1.5"], "--hidden-size: '1.5' is not a whole"),
        (["bench", "--repeats", "1.5"], "--repeats: '1.5' is not a whole number"),
        (["train", "names.tsv", "--learning-rate", "inf"], "must be a finite number, above 0"),
        (["train", "names.tsv", "--dropout", "nan"], "must be a finite number, at least 0 and"),
    ],
)
def test_numbers_are_taken_as_they_are_written_or_refused(call, model_folder, argv, said):
    assert said in refused(call(*argv))


def test_home_and_variables_in_paths(call, here, monkeypatch):
    monkeypatch.setenv("HOME", str(here))
    (here / "run.toml").write_text('out = "~/m"\ntest = "$HOME/names.tsv"\n')
    code, out, err = call("train", "~/names.tsv", *SMALL, "--config", "~/run.toml")
    assert (code, f"Saved to {here}/m" in out) == (0, True), err
    for argv in (["predict", "~/m", "~"], ["evaluate", "$HOME/m", "~/names.tsv", "--top", "1"]):
        assert call(*argv[:3])[0] == 0
    assert call("predict", "~/m", "~")[1].startswith("~: ")  # a text is no path
    assert elman.load("~/m").predict(["kamoto"])[0] in ("de", "ja")
    assert elman.evaluate("~/m", here / "names.tsv").count == 56
    tiny.train("~/names.tsv", out="~/n")
    (here / "~").mkdir()
    shutil.copy("names.tsv", "~/names.tsv")
    assert "~/names.tsv: 2 classes" in call("train", "~/names.tsv", *SMALL, "--out", "k")[2]
    assert sorted(os.listdir()) == ["k", "m", "n", "names.tsv", "run.toml", "~"]


@pytest.mark.parametrize(
    "argv",
    [
        ["train", "https://example.org/a/names.csv"],
        ["train", "names.tsv", "--test", "https://example.org/a/names.csv"],
        ["predict", "https://example.org/a/names.csv", "text"],
    ],
)
def test_urls_are_not_read_and_told_of_whole(call, argv):
    said = refused(call(*argv))
    assert "Elman reads no URLs; download https://example.org/a/names.csv first" in said


# Training that goes wrong


def test_a_training_that_went_astray_is_said_and_is_no_success(call):
    code, out, err = call(*train_with(learning_rate=30), "--out", "m", "--quiet")
    assert code == 1
    assert re.fullmatch(
        r"elman: the loss in epoch \d, the best, is \S+, where untrained weights have 0\.\d+: "
        r"training went astray; a lower --learning-rate usually helps\n",
        err,
    )
    assert "Saved to m" in out  # it may yet be what someone wants to look at
    assert json.loads(Path("m/metrics.json").read_bytes())["warnings"] == [err[7:-1]]
    assert sorted(os.listdir()) == ["m", "names.tsv"]


def test_a_network_that_has_learned_nothing_is_said(call):
    argv = train_with(learning_rate=1e-12)
    code, out, err = call(*argv, "--out", "m", "--json", "--quiet")
    assert code == 0
    assert err.startswith("elman: the network is no better than always ")
    assert json.loads(out)["warnings"] == [err[7:-1]]
    code, out, err = call(*TRAIN, "--out", "n", "--json", "--quiet")
    assert (code, err, json.loads(out)["warnings"]) == (0, "", [])


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB"),
    ],
)
def test_memory_that_runs_out_keeps_what_was_trained(call, monkeypatch, error):
    update = Trainer._update

    def fails_later(trainer, batch, when):
        if len(trainer.state.history) == 2:
            raise error
        return update(trainer, batch, when)

    monkeypatch.setattr(Trainer, "_update", fails_later)
    code, out, err = call(*TRAIN, "--out", "m")
    assert (code, "Saved to m" in out) == (1, True)
    assert (
        "elman: training stopped in epoch 3: not enough memory; make --hidden-size or "
        "--batch-size smaller; the best weights so far are kept\n"
    ) in err
    monkeypatch.setattr(Trainer, "_update", lambda *_: (_ for _ in ()).throw(error))
    said = call(*TRAIN, "--out", "n", "--quiet")
    message = "training stopped in epoch 1: not enough memory; make --hidden-size or --batch-size"
    assert said == (1, "", f"elman: {message} smaller\n")
    assert not Path("n").exists()


@pytest.mark.parametrize(
    "sizes",
    [
        ["--hidden-size", "10000000"],
        ["--hidden-size", "9" * 25],
        ["--hidden-size", "1" + "0" * 400],
        ["--embedding-size", "1" + "0" * 14],
        ["--num-layers", "100", "--hidden-size", "10000000"],
    ],
)
def test_sizes_that_no_memory_holds_are_one_sentence(call, sizes):
    code, out, err = call("train", "names.tsv", "--out", "m", *sizes)
    assert (code, out) == (1, "")
    assert err == "elman: not enough memory; make --hidden-size or --batch-size smaller\n"
    assert os.listdir() == ["names.tsv"]


# What the machine has


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("raise OSError('libgomp.so.1: cannot open')", "libgomp.so.1: cannot open"),
        ("raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')", "No module named"),
        ("import one_that_is_not_there", "No module named 'one_that_is_not_there'"),
        ("None.gone", "'NoneType' object has no attribute 'gone'"),
    ],
)
def test_a_package_that_cannot_be_imported_is_one_sentence(here, model_folder, content, reason):
    (here / "torch.py").write_text(content)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(here), *sys.path])}
    commands = [
        [*TRAIN, "--out", "m"],
        ["predict", "model", "kamoto"],
        ["evaluate", "model", "names.tsv"],
        ["compare", "names.tsv", *SMALL],
        ["explain", "lstm", "--stage", "asm"],
        ["cells"],
    ]
    codes, ran = codes_of(commands, capture_output=True, text=True, env=environment)
    assert codes == [1] * 5 + [0]
    lines = ran.stderr.splitlines()
    assert len(lines) == 5
    for line in lines:
        assert line.startswith(f"elman: torch cannot be imported ({reason}")
        assert line.endswith("install it with `pip install torch`")
    assert not Path("m").exists()


def test_threads_hold_for_one_run(call, monkeypatch):
    before, seen = torch.get_num_threads(), []
    with machine.threads(before + 2):
        assert torch.get_num_threads() == before + 2
    assert torch.get_num_threads() == before
    watch = Meanwhile(lambda: seen.append(torch.get_num_threads()))
    tiny.train("names.tsv", out="m", callbacks=[watch], threads=before + 1)
    assert (seen, torch.get_num_threads()) == ([before + 1], before)
    # What was asked for is part of what repeats a run; what was not is the machine's own.
    assert f"threads = {before + 1}\n" in Path("m/train.toml").read_text()
    tiny.train("names.tsv", out="n")
    assert "threads" not in Path("n/train.toml").read_text()
    evaluate = type(elman.load("m")).evaluate

    def watched(*args, **options):
        seen.append(torch.get_num_threads())
        return evaluate(*args, **options)

    monkeypatch.setattr(type(elman.load("m")), "evaluate", watched)
    assert call("evaluate", "m", "names.tsv", "--threads", before + 3)[0] == 0
    assert (seen[1:], torch.get_num_threads()) == ([before + 3], before)


@pytest.mark.skipif(torch.cuda.is_available(), reason="here is one")
def test_a_gpu_that_is_not_there_is_refused(call, model_folder):
    for argv in (
        ["train", "nowhere.tsv"],
        ["compare", "nowhere.tsv"],
        ["predict", "model", "a"],
        ["evaluate", "model", "nowhere.tsv"],
    ):
        assert "device is cuda, but " in refused(call(*argv, "--device", "cuda"))
    with pytest.raises(ConfigError, match="device is cuda, but"):
        elman.load("model", device="cuda")
    with pytest.raises(ConfigError, match="it must be one of cpu, cuda"):
        elman.load("model", device="gpu")


def test_the_compiled_backend_is_refused_on_a_gpu(call):
    said = refused(call("train", "nowhere.tsv", "--device", "cuda", "--backend", "llvm"))
    assert "the backend llvm runs on the CPU alone, not on cuda" in said


def test_a_loss_is_computed_where_the_model_is():
    """On torch's device without memory, as there may be no GPU: a tensor left behind would fail."""
    task = tasks.find("classify")
    for options in ({}, {"pairs": 0, "balance": True}, {"pooling": "attention"}):
        asked = task.options(**{**tiny.OPTIONS, "backend": "eager", **options})
        learner = task.prepare(tiny.parts(), asked)
        learner.model.to("meta")
        loss = learner.loss(np.array([0, 1, 5]))
        assert loss.mean.device.type == "meta"
        loss.mean.backward()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("cell", ["lstm", "mut1"])
def test_a_gpu_trains_resumes_and_answers(cell, call):
    trained = tiny.train("names.tsv", out="m", cell=cell, device="cuda")
    assert {weight.device.type for weight in trained.model.module.parameters()} == {"cuda"}
    on_cpu, on_gpu = elman.load("m"), elman.load("m", device="cuda")
    assert on_gpu.predict_proba(tiny.NAMES) == pytest.approx(
        on_cpu.predict_proba(tiny.NAMES), abs=1e-4
    )
    assert call("predict", "m", "kamoto", "--steps", "--device", "cuda")[0] == 0
    assert call("evaluate", "m", "names.tsv", "--device", "cuda")[0] == 0

    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tiny.train("names.tsv", out="n", cell=cell, device="cuda", callbacks=[Meanwhile(stop)])
    tiny.train("names.tsv", out="n", cell=cell, device="cpu", resume=True)


def test_predict_and_evaluate_take_the_options_of_the_machine(call):
    for command in ("train", "compare", "predict", "evaluate"):
        out = call(command, "--help")[1]
        for name in MachineOptions.__struct_fields__:
            assert f"--{name} " in out
