"""A model on disk: the same again, or one sentence that says what is wrong with it."""

import errno
import json
import os
import subprocess
import sys

import numpy as np
import pytest

import elman
import tiny
from elman.errors import BundleError, ElmanError
from elman.tasks.classify.saved import CELL, NGRAMS, TOKENIZER
from elman.training import bundle

PARTS = (bundle.WEIGHTS, TOKENIZER, CELL, NGRAMS)
TEXTS = ["kamoto", "Baumann", "", "жук", "x" * 600, "\udcff"]


def contents(folder):
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def edit_config(folder, *, model=None, **changes):
    """Change config.json, and the checksums such that they fit the files."""
    file = folder / bundle.CONFIG
    config = json.loads(file.read_bytes()) | changes
    if model is not None:
        config["model"] |= model
    file.write_text(json.dumps(config))
    files = {name: (folder / name).read_bytes() for name in (*PARTS, bundle.CONFIG)}
    (folder / bundle.SUMS).write_bytes(bundle.checksums(files))


@pytest.fixture(scope="module")
def other_model(tmp_path_factory):
    """A model of another size, of other texts and of another cell."""
    folder = tmp_path_factory.mktemp("other")
    lines = "".join(
        f"{name.upper()}!\t{label}\n" for name, label in zip(tiny.NAMES, tiny.LABELS, strict=True)
    )
    (folder / "names.tsv").write_text(lines)
    tiny.train(folder / "names.tsv", out=folder / "model", cell="gru", hidden_size=6)
    return folder / "model"


# The same again


@pytest.mark.parametrize("tokens", ["characters", "words"])
def test_a_loaded_model_gives_the_same_numbers(tmp_path, names_file, tokens):
    trained = tiny.train(names_file, out=tmp_path / "model", tokens=tokens).model
    loaded = elman.load(tmp_path / "model")
    assert loaded.classes == trained.classes == ("de", "ja")
    assert loaded.predict_proba(TEXTS).tobytes() == trained.predict_proba(TEXTS).tobytes()
    assert loaded.embed(TEXTS).tobytes() == trained.embed(TEXTS).tobytes()
    assert loaded.num_parameters == trained.num_parameters
    assert not loaded.module.training


def test_saving_what_was_loaded_changes_nothing(model_folder, tmp_path):
    loaded = elman.load(model_folder)
    bundle.save(tmp_path / "again", loaded, training={}, files={})
    for name in PARTS:
        assert (tmp_path / "again" / name).read_bytes() == (model_folder / name).read_bytes()


def test_a_bundle_holds_what_the_design_says(bundle_made_once):
    assert {file.name for file in bundle_made_once.iterdir()} == {
        *PARTS,
        bundle.CONFIG,
        bundle.SUMS,
        "precision-recall.png",
        "reliability.png",
        "train.toml",
        "metrics.json",
        "test-predictions.csv",
        "history.jsonl",
        "README.md",
        "confusion.png",
        "confusion.svg",
        "learning-curve.png",
    }
    metrics = json.loads((bundle_made_once / "metrics.json").read_bytes())
    assert metrics["sizes"]["ja"] == {"train": 22, "valid": 3, "test": 3}
    history = (bundle_made_once / "history.jsonl").read_text().splitlines()
    assert [json.loads(line)["epoch"] for line in history] == [1, 2, 3]
    assert (bundle_made_once / "confusion.png").read_bytes().startswith(b"\x89PNG")
    assert bundle_made_once.stat().st_mode & 0o777 == 0o777 & ~bundle._umask()


def test_the_prior_answers_an_empty_text(bundle_made_once):
    model = elman.load(bundle_made_once)
    assert model.predict_proba([""])[0].tolist() == model.prior.tolist()
    assert model.embed([""]).tolist() == [[0.0] * 16]
    assert model.steps("") == []
    assert model.predict([]) == []
    assert model.predict_proba([]).shape == (0, 2)


def test_steps_are_the_answers_to_beginnings(bundle_made_once):
    model = elman.load(bundle_made_once)
    steps = model.steps("kamoto")
    assert [step.token for step in steps] == list("kamoto")
    beginnings = model.predict_proba(["kamoto"[:n] for n in range(1, 7)])
    np.testing.assert_array_equal([step.probabilities for step in steps], beginnings)


@pytest.mark.parametrize(("texts", "said"), [("one", "one string"), (["a", 1], "text 1 is an int")])
def test_what_is_no_list_of_strings_is_refused(bundle_made_once, texts, said):
    with pytest.raises(TypeError, match=said):
        elman.load(bundle_made_once).predict(texts)


def test_an_answer_does_not_depend_on_its_neighbours(bundle_made_once):
    model = elman.load(bundle_made_once)
    alone = np.concatenate([model.predict_proba([text]) for text in tiny.NAMES])
    np.testing.assert_allclose(model.predict_proba(tiny.NAMES), alone, atol=1e-6)


# Damage


@pytest.mark.parametrize("name", [*PARTS, bundle.CONFIG, bundle.SUMS])
@pytest.mark.parametrize("damage", ["missing", "truncated", "foreign", "empty", "of another model"])
def test_a_damaged_bundle_is_refused(model_folder, other_model, name, damage):
    file = model_folder / name
    whole = file.read_bytes()
    if damage == "missing":
        file.unlink()
    else:
        file.write_bytes(
            {
                "truncated": whole[:-10],
                "foreign": b"\x80\x04\x95 a pickle, perhaps",
                "empty": b"",
                "of another model": (other_model / name).read_bytes(),
            }[damage]
        )
    with pytest.raises(BundleError) as caught:
        elman.load(model_folder)
    message = str(caught.value)
    assert str(model_folder) in message
    # Foreign checksums show only in that the others do not fit them.
    if (name, damage) != (bundle.SUMS, "of another model"):
        assert name in message
    assert "\n" not in message
    assert caught.value.exit_code == 2


def test_weights_of_another_size_are_refused_even_with_a_good_checksum(model_folder, other_model):
    (model_folder / bundle.WEIGHTS).write_bytes((other_model / bundle.WEIGHTS).read_bytes())
    edit_config(model_folder)
    with pytest.raises(BundleError, match=r"model\.safetensors does not fit .*config\.json"):
        elman.load(model_folder)


def test_a_vocabulary_of_another_size_is_refused_even_with_a_good_checksum(
    model_folder, other_model
):
    (model_folder / TOKENIZER).write_bytes((other_model / TOKENIZER).read_bytes())
    edit_config(model_folder)
    with pytest.raises(BundleError, match=r"tokenizer\.json has \d+ entries, not the \d+"):
        elman.load(model_folder)


@pytest.mark.parametrize(
    "cell", ["", "import os", "\xff", "__import__('os').system('touch owned')"]
)
def test_a_cell_that_is_no_graph_is_refused(model_folder, cell):
    (model_folder / CELL).write_bytes(cell.encode("latin-1"))
    edit_config(model_folder)
    with pytest.raises(ElmanError) as caught:
        elman.load(model_folder)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "changes",
    [
        {"model": {"classes": ["de"]}},
        {"model": {"prior": [1.0]}},
        {"model": {"classes": [1, 2]}},
        {"model": {"network": {"vocab_size": 3}}},
        {"model": {"network": {}}},
        {"task": None},
        {"format_version": "one"},
    ],
)
def test_a_config_that_contradicts_itself_is_refused(model_folder, changes):
    edit_config(model_folder, **changes)
    with pytest.raises(BundleError, match=r"config\.json is damaged"):
        elman.load(model_folder)


def test_a_newer_format_names_both_versions_and_the_mend(model_folder):
    # A newer version may have changed anything else.
    (model_folder / bundle.CONFIG).write_text(
        '{"format": "elman", "format_version": 99, "elman_version": "7.1", "task": {"new": 1}}'
    )
    with pytest.raises(BundleError) as caught:
        elman.load(model_folder)
    assert "has format version 99, written by Elman 7.1" in str(caught.value)
    assert "reads version 2: upgrade with `pip install -U elman`" in str(caught.value)


def test_a_place_without_a_model(tmp_path, model_folder):
    with pytest.raises(BundleError, match=r"there is no model at .*modle; did you mean .*model\?"):
        elman.load(tmp_path / "modle")
    with pytest.raises(BundleError, match=r"no model at .*; `elman train DATA` makes one"):
        elman.load(tmp_path / "nowhere" / "at" / "all")
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    for name in ("folder", "file"):
        with pytest.raises(BundleError, match=f"{name} is not a model that Elman wrote"):
            elman.load(tmp_path / name)


@pytest.mark.parametrize("config", ["{}", '{"format": "other"}', '{"model_type": "bert"}'])
def test_a_model_of_another_tool_is_refused(tmp_path, config):
    (tmp_path / bundle.CONFIG).write_text(config)
    with pytest.raises(BundleError, match="was not written by Elman"):
        elman.load(tmp_path)


# No code


_seen: list[str] | None = None


def _hook(event, arguments):
    if _seen is not None and event in ("exec", "compile", "pickle.find_class", "os.system"):
        _seen.append(f"{event} {arguments}")


sys.addaudithook(_hook)  # cannot be taken away again, so it only looks while `_seen` is a list


def test_loading_runs_no_code_and_needs_no_pickle(model_folder):
    global _seen
    (model_folder / "__init__.py").write_text("raise SystemError")
    (model_folder / "cell.py").write_text("raise SystemError")
    model = elman.load(model_folder)  # what is imported on first use
    model.predict(TEXTS)
    _seen = []
    try:
        elman.load(model_folder).predict(TEXTS)
    finally:
        seen, _seen = _seen, None
    assert seen == []


def test_read_config_imports_no_torch(model_folder):
    program = (
        "import sys; from pathlib import Path; from elman.training.bundle import read_config;"
        f"print(read_config(Path({str(model_folder)!r})).task, 'torch' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ran.stdout == "classify False\n"


# Where to


def test_an_existing_model_is_replaced_only_on_demand(model_folder):
    with pytest.raises(BundleError, match="exists; add --force to replace it"):
        bundle.check_destination(model_folder, force=False)
    bundle.check_destination(model_folder, force=True)


@pytest.mark.parametrize("force", [False, True])
def test_what_is_no_model_is_never_replaced(tmp_path, force):
    folder = tmp_path / "thesis"
    folder.mkdir()
    (folder / "chapter1.tex").write_text("precious")
    (tmp_path / "file").write_text("precious")
    for place in (folder, tmp_path / "file"):
        with pytest.raises(BundleError, match="exists and is no Elman model, so it is left alone"):
            bundle.check_destination(place, force=force)
        with pytest.raises(BundleError, match="is no Elman model"):
            bundle.write_folder(place, {"a": b"1"}, force=force)
    assert (folder / "chapter1.tex").read_text() == "precious"
    assert (tmp_path / "file").read_text() == "precious"


def test_an_empty_folder_is_as_good_as_none(tmp_path):
    (tmp_path / "new").mkdir()
    bundle.check_destination(tmp_path / "new", force=False)
    bundle.write_folder(tmp_path / "new", {"a": b"1"})
    bundle.write_folder(tmp_path / "in" / "folders" / "to" / "come", {"a": b"1"})
    assert contents(tmp_path / "new") == {"a": b"1"}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in", "new"]


def test_a_file_in_the_way_of_the_folders(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(BundleError, match=r"cannot be written .*; choose another --out"):
        bundle.check_destination(tmp_path / "file" / "model", force=False)


def test_a_replaced_model_leaves_no_old_file(model_folder, tmp_path):
    bundle.write_folder(model_folder, {bundle.CONFIG: b"{}", "new": b"1"}, force=True)
    assert contents(model_folder) == {bundle.CONFIG: b"{}", "new": b"1"}
    assert [p.name for p in tmp_path.iterdir()] == ["model"]


def test_a_link_to_a_model_is_followed(model_folder, tmp_path):
    (tmp_path / "latest").symlink_to(model_folder)
    bundle.write_folder(tmp_path / "latest", {bundle.CONFIG: b"{}", "new": b"1"}, force=True)
    assert (tmp_path / "latest").is_symlink()
    assert contents(model_folder) == {bundle.CONFIG: b"{}", "new": b"1"}


# What can happen on the way


@pytest.mark.parametrize(
    ("call", "number", "mend"),
    [
        ("fsync", errno.ENOSPC, "free some space or choose another --out"),
        ("fsync", errno.EIO, "choose another --out"),
        ("mkdir", errno.EROFS, "choose another --out"),
        ("rename", errno.EACCES, "choose another --out"),
    ],
)
def test_a_failing_disk_leaves_the_old_model_whole(model_folder, monkeypatch, call, number, mend):
    before = contents(model_folder)

    def fail(*_, **__):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(BundleError) as caught:
        bundle.write_folder(model_folder, {bundle.CONFIG: b"{}", "weights": b"1" * 999}, force=True)
    monkeypatch.undo()
    said = os.strerror(number).lower()
    assert str(caught.value) == f"{model_folder} cannot be written ({said}); {mend}"
    assert contents(model_folder) == before
    assert [p.name for p in model_folder.parent.iterdir()] == ["model"]


@pytest.mark.parametrize("error", [OSError(errno.EIO, "i/o error"), KeyboardInterrupt()])
def test_the_old_model_comes_back_when_the_new_one_cannot_take_its_place(
    model_folder, monkeypatch, error
):
    before = contents(model_folder)
    renames = []

    def second_fails(source, target, rename=os.rename):
        renames.append(source)
        if len(renames) == 2:
            raise error
        rename(source, target)

    monkeypatch.setattr(os, "rename", second_fails)
    with pytest.raises((BundleError, KeyboardInterrupt)):
        bundle.write_folder(model_folder, {bundle.CONFIG: b"{}"}, force=True)
    monkeypatch.undo()
    assert len(renames) == 3
    assert contents(model_folder) == before
    assert [p.name for p in model_folder.parent.iterdir()] == ["model"]


def test_a_kill_before_the_rename_leaves_the_old_model_whole(model_folder):
    before = contents(model_folder)
    program = (
        "import os; from pathlib import Path; from elman.training import bundle;"
        "os.rename = lambda *_: os.kill(os.getpid(), 9);"
        f"bundle.write_folder(Path({str(model_folder)!r}), {{'config.json': b'1' * 999}}, "
        "force=True)"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True)
    assert ran.returncode == -9
    assert contents(model_folder) == before
    elman.load(model_folder)


def test_a_disk_that_is_really_full(model_folder):
    """The system itself refuses the bytes: no file may grow beyond 4 kB."""
    before = contents(model_folder)
    program = (
        "import resource, signal; from pathlib import Path; from elman.training import bundle;"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096));"
        f"bundle.write_folder(Path({str(model_folder)!r}), {{'config.json': b'1' * 9999}}, "
        "force=True)"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ran.stderr.splitlines()[-1] == (
        f"elman.errors.BundleError: {model_folder} cannot be written (file too large); "
        "choose another --out"
    )
    assert contents(model_folder) == before
    assert [p.name for p in model_folder.parent.iterdir()] == ["model"]


def test_a_folder_that_may_not_be_opened_was_told_as_an_output(tmp_path, names_file, monkeypatch):
    tiny.train(names_file, out=tmp_path / "model")
    secret = tmp_path / "model" / bundle.CONFIG

    def refuse(path, *_, **__):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    for method in ("is_file", "read_bytes"):
        monkeypatch.setattr(type(secret), method, refuse)
    with pytest.raises(
        BundleError, match=r"config.json cannot be read \(permission denied\); check"
    ):
        elman.load(tmp_path / "model")
