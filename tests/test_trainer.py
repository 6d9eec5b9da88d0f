"""Training repeats bit for bit, goes on where it stopped, and says where a number went wrong."""

import errno
import math
import os
import re
from types import SimpleNamespace

import msgspec
import numpy as np
import pytest
import torch

import elman
import tiny
from elman import cells
from elman.callbacks import Callbacks
from elman.data.examples import Examples
from elman.data.splits import Split
from elman.errors import BundleError, ConfigError, DataError, TrainingError
from elman.lab.compare import compare_split
from elman.tasks.classify import task
from elman.tasks.classify.learner import class_weights
from elman.tasks.classify.options import ClassifyOptions, settle
from elman.tasks.classify.saved import CELL, TOKENIZER
from elman.training import bundle, fitting
from elman.training import run as engine
from elman.training.checkpoint import Checkpoint, training_folder
from elman.training.history import Epoch, kept_line
from elman.training.options import MACHINE
from elman.training.trainer import Trainer, rate_factor

CELLS = [cell.name for cell in cells.ALL_CELLS]


def config(**options):
    return ClassifyOptions(**{**tiny.OPTIONS, **options})


def run(split, options, **more):
    return engine.run(task, split, options, engine.Setup(**more))


class fitted:
    """A trained model, and how that went."""

    def __init__(self, split=None, **options):
        self.learner = task.prepare(split or tiny.parts(), config(**options))
        went = fitting.fit(self.learner)
        self.history, self.stopped, self.failed = went.history, went.stopped, went.failed
        self.model = task.predictor(self.learner)


def trainer(split=None, **options):
    return Trainer(task.prepare(split or tiny.parts(), config(**options)))


def weights(model):
    return {name: t.numpy().tobytes() for name, t in model.module.state_dict().items()}


class StopAt:
    """Presses Ctrl-C in the middle of an epoch."""

    def __init__(self, epoch, batch):
        self.epoch, self.batch, self.seen = epoch, batch, 0
        self.ended = None

    def on_preparing(self, share, text): ...

    def begin(self, task, split, learner): ...

    def on_batch(self, progress):
        if progress.epoch == self.epoch:
            self.seen += 1
            if self.seen == self.batch:
                raise KeyboardInterrupt

    def on_epoch(self, epoch): ...

    def end(self, fitted):
        self.ended = fitted


# The same again


def test_a_seed_repeats_bit_for_bit_and_another_does_not():
    first, second, other = (fitted(seed=seed) for seed in (3, 3, 4))
    assert weights(first.model) == weights(second.model)
    assert weights(first.model) != weights(other.model)
    told = [msgspec.structs.replace(e, seconds=0, per_second=0) for e in first.history]
    again = [msgspec.structs.replace(e, seconds=0, per_second=0) for e in second.history]
    assert told == again


def test_what_others_draw_does_not_change_a_run():
    first = fitted()
    torch.manual_seed(99)
    torch.rand(7)
    np.random.seed(99)
    assert weights(fitted().model) == weights(first.model)


@pytest.mark.parametrize("options", [{}, {"cell": "gru", "num_layers": 2, "balance": True}])
@pytest.mark.parametrize(("epoch", "batch"), [(2, 1), (2, 3), (4, 5)])
def test_a_resumed_run_ends_as_an_unbroken_one(tmp_path, options, epoch, batch):
    settings = config(epochs=4, **options)
    split = tiny.parts()
    unbroken = run(split, settings, out=tmp_path / "unbroken")
    watcher = StopAt(epoch, batch)
    out = tmp_path / "model"
    stopped = run(split, settings, out=out, watcher=watcher)
    assert len(stopped.history) == epoch - 1
    assert stopped.report.stopped.startswith("stopped by Ctrl-C")
    assert watcher.ended.stopped == stopped.report.stopped
    assert bundle.is_bundle(out)
    assert training_folder(out).is_dir()
    resumed = run(split, settings, out=out, resume=True)
    assert [e.epoch for e in resumed.history] == [1, 2, 3, 4]
    assert [e.loss for e in resumed.history] == [e.loss for e in unbroken.history]
    assert [e.score for e in resumed.history] == [e.score for e in unbroken.history]
    for name in (bundle.WEIGHTS, TOKENIZER, CELL):
        assert (out / name).read_bytes() == (tmp_path / "unbroken" / name).read_bytes()
    assert not training_folder(out).exists()


def test_a_run_stopped_twice_and_a_run_stopped_after_its_end(tmp_path):
    split, settings, out = tiny.parts(), config(epochs=4), tmp_path / "model"
    unbroken = run(split, settings, out=tmp_path / "unbroken")
    run(split, settings, out=out, watcher=StopAt(2, 2))
    run(split, settings, out=out, resume=True, watcher=StopAt(3, 2))
    resumed = run(split, settings, out=out, resume=True)
    assert weights(resumed.model) == weights(unbroken.model)


def test_ctrl_c_before_the_first_epoch_is_whole_leaves_nothing(tmp_path):
    with pytest.raises(KeyboardInterrupt):
        run(tiny.parts(), config(), out=tmp_path / "model", watcher=StopAt(1, 2))
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def stopped(tmp_path):
    run(tiny.parts(), config(), out=tmp_path / "model", watcher=StopAt(2, 2))
    return tmp_path / "model"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"hidden_size": 9}, "the stopped run had hidden_size 8, not 9; resume with the same"),
        ({"seed": 1}, "the stopped run had seed 0, not 1"),
        ({"cell": "gru"}, "the stopped run had cell lstm, not gru"),
        ({"pooling": "max"}, "the stopped run had pooling last, not max"),
    ],
)
def test_resuming_with_other_options_is_refused(stopped, options, said):
    with pytest.raises(ConfigError, match=said):
        run(tiny.parts(), config(**options), out=stopped, resume=True)


def test_resuming_with_other_data_is_refused(stopped):
    swapped = tiny.parts(labels=[*tiny.LABELS[1:], tiny.LABELS[0]])
    longer = tiny.parts([*tiny.NAMES[:-1], "steinsteinn"])
    for split in (swapped, longer):
        with pytest.raises(ConfigError, match="the data are not those of the stopped run"):
            run(split, config(), out=stopped, resume=True)


def test_best_weights_from_before_the_stop_come_back(tmp_path):
    place = Checkpoint(tmp_path / "model", "classify", config(), "data")
    one = trainer()
    one.state.history.append(one.epoch())
    best = {k: v.clone() for k, v in one.model.state_dict().items()}
    worse = msgspec.structs.replace(one.epoch(), best=False)
    one.state.best_weights = best
    one.state.history.append(worse)
    place.save(one)
    other = trainer()
    place.restore(other)
    for name, tensor in other.model.state_dict().items():
        assert torch.equal(tensor, one.model.state_dict()[name])
    assert other.state.history == one.state.history
    other.load_best()
    for name, tensor in other.model.state_dict().items():
        assert torch.equal(tensor, best[name])


def test_resuming_nothing_is_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"there is nothing to resume at .*; leave out --resume"):
        run(tiny.parts(), config(), out=tmp_path / "model", resume=True)


@pytest.mark.parametrize("damage", [b"", b"x" * 100, b"\x08\0\0\0\0\0\0\0{}      ", None])
def test_a_damaged_checkpoint_is_refused(stopped, damage):
    file = training_folder(stopped) / "checkpoint.safetensors"
    file.write_bytes(file.read_bytes()[:-10] if damage is None else damage)
    with pytest.raises(BundleError, match="is damaged; begin anew with --force"):
        run(tiny.parts(), config(), out=stopped, resume=True)


def test_a_disk_that_is_full_at_once_leaves_nothing(tmp_path, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BundleError, match="free some space or choose another --out"):
        run(tiny.parts(), config(), out=tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_up_while_training_keeps_the_last_state(tmp_path, monkeypatch):
    out, synced = tmp_path / "model", []

    def fails_later(descriptor, fsync=os.fsync):
        synced.append(descriptor)
        if len(synced) == 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fails_later)
    failed = run(tiny.parts(), config(), out=out)
    assert failed.failed
    said = r"model\.training cannot be written .* with --resume goes on"
    assert re.search(said, failed.report.stopped)
    monkeypatch.undo()
    assert [p.name for p in training_folder(out).iterdir()] == ["checkpoint.safetensors"]
    resumed = run(tiny.parts(), config(), out=out, resume=True)
    assert weights(resumed.model) == weights(run(tiny.parts(), config()).model)


# Learning


@pytest.mark.parametrize("cell", CELLS)
def test_every_cell_learns_what_can_be_learned(cell):
    options = {"epochs": 12, "patience": 12, "cell": cell, "learning_rate": 0.01}
    found = fitted(**options)
    assert found.history[0].loss > found.history[-1].loss
    assert found.model.evaluate(tiny.parts().train).accuracy >= 0.9
    assert not found.failed


@pytest.mark.parametrize("pooling", ["last", "max", "mean", "attention"])
@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("num_layers", [1, 2])
def test_every_shape_trains_saves_and_loads(tmp_path, pooling, bidirectional, num_layers):
    options = {"pooling": pooling, "bidirectional": bidirectional, "num_layers": num_layers}
    trained = run(tiny.parts(), config(**options, epochs=6), out=tmp_path / "model")
    assert trained.history[-1].loss < trained.history[0].loss
    loaded = elman.load(tmp_path / "model")
    expected = trained.model.predict_proba(tiny.NAMES)
    assert loaded.predict_proba(tiny.NAMES).tobytes() == expected.tobytes()
    assert expected.sum(axis=1) == pytest.approx(1, abs=1e-6)
    assert loaded.embed(["ab"]).shape == (1, 8 * (2 if bidirectional else 1))


@pytest.mark.parametrize(("pairs", "vectors"), [(0, 0), (7, 7), (None, "all")])
def test_pairs_as_many_as_there_are_at_most(tmp_path, pairs, vectors):
    trained = run(tiny.parts(), config(pairs=pairs, epochs=2), out=tmp_path / "model")
    sizes = trained.model.network.config
    assert sizes.pairs == (sizes.vocab_size**2 if vectors == "all" else vectors)
    loaded = elman.load(tmp_path / "model")
    expected = trained.model.predict_proba(tiny.NAMES)
    assert loaded.predict_proba(tiny.NAMES).tobytes() == expected.tobytes()


def test_words_have_no_pairs_unless_they_are_asked_for():
    assert trainer(tokens="words").model.pairs is None
    assert trainer(tokens="words", pairs=5).model.pairs.table.num_embeddings == 5


def test_all_weights_are_trained():
    for pooling in ("last", "attention"):
        one = trainer(pooling=pooling, num_layers=2, epochs=1)
        before = {name: p.detach().clone() for name, p in one.model.named_parameters()}
        one.fit()
        for name, after in one.model.named_parameters():
            assert not torch.equal(before[name], after), name


def test_the_best_weights_are_kept():
    one = trainer(epochs=6, patience=6, learning_rate=0.05)
    kept = []
    one.fit(
        on_epoch=lambda _: kept.append({k: v.clone() for k, v in one.model.state_dict().items()})
    )
    scores = [epoch.score for epoch in one.state.history]
    best = int(np.argmax(scores))
    assert one.state.best.epoch == best + 1
    for name, tensor in one.model.state_dict().items():
        assert torch.equal(tensor, kept[best][name])


def test_training_stops_when_the_score_no_longer_rises():
    one = trainer(epochs=40, patience=2, learning_rate=1e-9)  # nothing can rise for long
    one.fit()
    assert len(one.state.history) < 40
    scores = [epoch.score for epoch in one.state.history]
    assert len(scores) - 1 - scores.index(max(scores)) == 2


def test_the_latest_epoch_within_chance_of_the_highest_score_is_kept():
    one = trainer(epochs=8)
    one.fit()
    history = one.state.history
    kept = one.state.best
    count = len(one.learner.valid)
    for epoch in history[kept.epoch :]:  # a probability's standard deviation is at most a half
        assert epoch.score < max(e.score for e in history[: epoch.epoch])
    assert kept.score >= max(e.score for e in history[: kept.epoch]) - 0.5 / count**0.5


# Numbers that are not finite


def test_an_absurd_learning_rate_is_said_and_nothing_is_written(tmp_path):
    with pytest.raises(TrainingError) as caught:
        run(tiny.parts(), config(learning_rate=1e30), out=tmp_path / "model")
    message = str(caught.value)
    assert message.startswith("training stopped in epoch 1, batch ")
    assert "not finite at step 1" in message
    assert message.endswith("; a lower --learning-rate usually helps")
    assert caught.value.exit_code == 1
    assert list(tmp_path.iterdir()) == []


def spoil(one, name, rows):
    """Plant a NaN in some rows of a weight."""
    with torch.no_grad():
        dict(one.model.named_parameters())[name][rows] = math.nan


@pytest.mark.parametrize("first_epoch", [True, False])
def test_the_last_good_weights_come_back(first_epoch):
    one = trainer(epochs=3, token_dropout=0.0)
    good = {k: v.clone() for k, v in one.model.state_dict().items()}
    if not first_epoch:
        one.state.history.append(one.epoch())
        good = {k: v.clone() for k, v in one.model.state_dict().items()}
    spoil(one, "output.bias", slice(None))
    with pytest.raises(
        TrainingError,
        match=r"module output gives values not finite, as the weights output\.bias are",
    ):
        one.fit()
    for name, tensor in one.model.state_dict().items():
        assert torch.equal(tensor, good[name])


def test_a_planted_embedding_is_named_with_its_step():
    one = trainer(token_dropout=0.0)
    letter = task.prepare(tiny.parts(), config()).prepared.tokenizer.encode(["f"]).values[0]
    spoil(one, "embedding.weight", int(letter))
    # Of the names only "hof..." has an f.
    with pytest.raises(TrainingError) as caught:
        one.fit()
    message = str(caught.value)
    assert "in epoch 1, batch " in message
    assert "module embedding gives values not finite at step 3, as" in message
    assert "as the weights embedding.weight are not" in message


@pytest.mark.parametrize("gate", range(4))
@pytest.mark.parametrize("layer", [0, 1])
def test_a_planted_gate_is_named_with_layer_and_step(gate, layer):
    one = trainer(num_layers=2, cell="lstm")
    spoil(one, f"recurrent.weight_hh_l{layer}", gate * 8 + 3)
    name = "ifgo"[gate]
    with pytest.raises(TrainingError) as caught:
        one.fit()
    # The recurrent weights meet zeros at the first step, and zero times NaN is NaN.
    assert f"batch 1: {name} of recurrent layer {layer + 1} is not finite at step 1" in str(
        caught.value
    )
    assert f"as the weights recurrent.weight_hh_l{layer} are not" in str(caught.value)


def test_the_backward_direction_is_named():
    one = trainer(cell="gru")
    spoil(one, "recurrent.weight_hh_l0_reverse", 8 + 3)
    with pytest.raises(TrainingError, match=r"z of recurrent layer 1 \(backwards\) is not finite"):
        one.fit()


def test_the_step_is_that_where_it_began():
    """A cell that overflows after some steps: elman_relu with a large recurrent weight."""
    one = trainer(cell="elman_relu", bidirectional=False)
    with torch.no_grad():
        one.model.recurrent.weight_hh_l0.copy_(torch.full((8, 8), 1e12))
        one.model.recurrent.bias_l0.fill_(1.0)
    with pytest.raises(TrainingError, match=r"h of recurrent layer 1 is not finite at step 4"):
        one.fit()


def test_weights_that_fail_only_on_the_validation_part_are_noticed(monkeypatch):
    one = trainer()
    one.state.history.append(one.epoch())
    monkeypatch.setattr(one, "_update", lambda batch, when: (0.5, 1))
    spoil(one, "output.bias", 0)
    with pytest.raises(TrainingError, match="stopped after epoch 2, validation: module output"):
        one.fit()
    assert torch.isfinite(one.model.output.bias).all()


def test_a_run_that_fails_later_keeps_what_was_good(tmp_path, monkeypatch):
    class Spoiler(StopAt):
        def on_epoch(self, epoch):
            if epoch.epoch == 2:
                spoil(spoiled[0], "output.bias", 0)

    spoiled = []
    prepare = task.prepare
    monkeypatch.setattr(
        task,
        "prepare",
        lambda *given, **more: spoiled.append(prepare(*given, **more)) or spoiled[0],
    )
    trained = run(tiny.parts(), config(), out=tmp_path / "model", watcher=Spoiler(9, 9))
    assert trained.failed
    assert "in epoch 3, batch 1" in trained.report.stopped
    loaded = elman.load(tmp_path / "model")
    assert np.isfinite(loaded.predict_proba(tiny.NAMES)).all()
    assert b"Training was cut short" in (tmp_path / "model" / "README.md").read_bytes()


# Odd data


def test_a_class_with_one_or_two_examples():
    texts = [*tiny.NAMES, "kim", "li", "wang"]
    labels = [*tiny.LABELS, "ko", "zh", "zh"]
    whole = tiny.examples(texts, labels)
    parts = tiny.parts()
    split = Split(whole, parts.valid, parts.test, ())
    for balance in (False, True):
        trained = run(split, config(balance=balance))
        assert trained.model.classes == ("de", "ja", "ko", "zh")
        assert trained.report.sizes["ko"] == {"train": 1, "valid": 0, "test": 0}
        assert [row.support for row in trained.report.test.classes[2:]] == [0, 0]


def test_a_class_of_the_test_part_alone():
    parts = tiny.parts()
    test = Examples([*parts.test.texts, "kim"], [*parts.test.labels, "ko"], "test")
    trained = run(Split(parts.train, parts.valid, test, ()), config())
    assert trained.report.test.classes[-1].label == "ko"
    assert trained.report.sizes["ko"] == {"train": 0, "valid": 0, "test": 1}


def test_a_class_of_the_validation_part_alone_is_not_looked_at():
    parts = tiny.parts()
    valid = Examples([*parts.valid.texts, "kim"], [*parts.valid.labels, "ko"], "valid")
    found = task.prepare(Split(parts.train, valid, parts.test, ()), config())
    assert len(found.valid) == len(parts.valid)


def test_one_long_text_among_short_ones():
    texts = [*tiny.NAMES, "moto" * 5_000]
    whole = tiny.examples(texts, [*tiny.LABELS, "ja"])
    parts = tiny.parts()
    split = Split(whole, parts.valid, whole, ())
    found = fitted(split, epochs=1)
    assert any("longer than 512 characters and truncated" in note for note in prepare_notes(split))
    assert np.isfinite(found.model.predict_proba(texts)).all()
    assert found.history[0].loss == pytest.approx(math.log(2), rel=0.5)


def prepare_notes(split):
    return task.prepare(split, config()).notes


def test_empty_texts_in_every_part():
    """Readers leave them out; the library may be given them all the same."""
    parts = tiny.parts()
    empties = [
        Examples(["", *part.texts, ""], ["ja", *part.labels, "de"], part.source)
        for part in (parts.train, parts.valid, parts.test)
    ]
    trained = run(Split(*empties, ()), config())
    plain = run(parts, config())
    assert trained.report.test.skipped == 2
    assert trained.report.test.count == plain.report.test.count
    assert weights(trained.model) == weights(plain.model)


def test_nothing_but_empty_texts_is_refused():
    empty = Examples(["", "", ""], ["a", "b", "b"], "nothing.csv")
    with pytest.raises(DataError, match=r"nothing\.csv: no training text holds a single token"):
        run(Split(empty, empty, empty, ()), config())


def an_epoch(number, score, best):
    return Epoch(
        epoch=number,
        loss=1.0,
        score=score,
        best=best,
        metrics={},
        learning_rate=0.1,
        seconds=1.0,
        per_second=1.0,
    )


@pytest.mark.parametrize(
    ("epochs", "said"),
    [
        ([], "no epoch was whole: the first weights are kept"),
        ([(0.5, True), (0.75, True), (0.25, False)], "best: epoch 2 of 3 (score 0.7500)"),
        ([(-2.0, True), (-1.0, True)], "best: epoch 2 of 2 (score -1.0000)"),
        (
            [(0.75, True), (0.5, False), (0.74, True), (0.5, False)],
            "best: epoch 3 of 4 (score 0.7400; that of epoch 1, 0.7500, is higher by less than a "
            "standard error, and of these the later is kept)",
        ),
        (
            [(None, True), (None, True)],
            "best: epoch 2 of 2 (the last, as there is no validation part to judge on)",
        ),
    ],
)
def test_the_epoch_that_is_kept_is_said(epochs, said):
    history = [an_epoch(i, *epoch) for i, epoch in enumerate(epochs, start=1)]
    assert kept_line(history) == said


def test_without_a_validation_part_the_last_weights_are_kept():
    parts = tiny.parts()
    nothing = Examples([], [], "names")
    found = fitted(Split(parts.train, nothing, parts.test, ()), epochs=4, patience=1)
    assert [epoch.best for epoch in found.history] == [True] * 4


def test_a_validation_part_of_unknown_labels_is_as_good_as_none():
    parts = tiny.parts()
    strangers = Examples(["kim", "pak"], ["ko", "ko"], "valid.csv")
    found = fitted(Split(parts.train, strangers, parts.test, ()), epochs=2)
    assert found.history[-1].best


def test_without_a_test_part_nothing_is_trained():
    parts = tiny.parts()
    split = Split(parts.train, parts.valid, Examples([], [], "names"), ())
    with pytest.raises(ConfigError, match="the test part is empty"):
        run(split, config())
    with pytest.raises(ConfigError, match="the test part is empty"):
        compare_split(task, split, [config()], seeds=1)


# Pieces


def test_the_schedule_rises_for_a_tenth_and_falls_to_nothing():
    assert rate_factor(0.05) == pytest.approx(0.5)
    assert rate_factor(0.1) == pytest.approx(1)
    assert rate_factor(0.55) == pytest.approx(0.5)
    assert rate_factor(1) == pytest.approx(0)
    rates = [rate_factor(i / 100) for i in range(101)]
    assert rates[:11] == sorted(rates[:11])
    assert rates[10:] == sorted(rates[10:], reverse=True)


def test_the_learning_rate_follows_the_schedule_to_the_end():
    one = trainer(epochs=2, patience=9, learning_rate=0.5)
    rates = []
    step = one.optimiser.step
    one.optimiser.step = lambda: rates.append(one.optimiser.param_groups[0]["lr"]) or step()
    one.fit()
    count = len(rates)
    assert rates == pytest.approx([0.5 * rate_factor((i + 1) / count) for i in range(count)])
    assert one.state.history[0].learning_rate == rates[count // 2 - 1]


def test_class_weights_are_scikit_learns():
    from sklearn.utils.class_weight import compute_class_weight

    targets = np.array([0] * 10 + [1] * 5 + [2])
    found = class_weights(np.bincount(targets))
    expected = compute_class_weight("balanced", classes=np.arange(3), y=targets)
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert trainer(balance=True).learner._class_weights is not None
    assert trainer().learner._class_weights is None


def test_balance_raises_the_small_class():
    """With labels that nothing tells apart, balanced training does not just answer the larger."""
    texts = [f"{a}{b}" for a in "abcdefgh" for b in "klmnopqr"]
    labels = ["rare" if i % 8 == 0 else "common" for i in range(len(texts))]
    rng = np.random.default_rng(0)
    rng.shuffle(labels)
    whole = tiny.examples(texts, labels)
    shares = [
        fitted(Split(whole, whole, whole, ()), linear="off", balance=balance, epochs=5, patience=9)
        .model.predict_proba(texts)[:, 1]
        .mean()
        for balance in (False, True)
    ]
    assert shares[0] < 0.3
    assert shares[1] > 0.35


def test_gradients_are_clipped(monkeypatch):
    from elman.training import optimisers

    norms = []
    clip = optimisers.clip_

    def watched(parameters, largest):
        norm = clip(parameters, largest)
        grads = [p.grad for p in parameters if p.grad is not None]
        norms.append(torch.stack([grad.norm() for grad in grads]).norm())
        return norm

    monkeypatch.setattr(optimisers, "clip_", watched)
    one = trainer(epochs=1)
    with torch.no_grad():
        one.model.output.weight.mul_(1000)
    one.fit()
    assert norms
    assert max(norms) <= one.schedule.clip_norm * 1.001


def test_what_is_given_stays_and_what_is_not_is_settled():
    given = settle(config(), level="characters", count=100)
    for name, value in tiny.OPTIONS.items():
        assert getattr(given, name) == value
    settled = settle(ClassifyOptions(), level="words", count=100_000)
    assert {name for name in MACHINE if getattr(settled, name) is None} == {"threads"}
    left = {name for name, value in msgspec.to_builtins(settled).items() if value is None}
    asked_for_alone = {"metric", "threshold", "clean", "vectors", "unlabelled", "from_"}
    assert left == asked_for_alone | {"vocab_size", "threads"}


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"hidden_size": 0}, "hidden_size is 0; it must be 1 or more"),
        ({"epochs": -1}, "epochs is -1; it must be 1 or more"),
        ({"dropout": 1.0}, "dropout is 1.0; it must be at least 0 and under 1"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0; it must be above 0"),
        ({"learning_rate": math.nan}, "learning_rate is nan; it must be a finite number, above 0"),
        ({"weight_decay": -1.0}, "weight_decay is -1.0; it must be 0 or more"),
        ({"seed": -1}, "seed is -1; it must be 0 to"),
        (
            {"pooling": "sum"},
            "pooling is 'sum'; it must be one of last, max, mean, max+mean, last+max+mean, att",
        ),
        ({"tokens": "bytes"}, "tokens is 'bytes'; it must be one of auto, characters, words"),
    ],
)
def test_options_that_cannot_work_are_refused(options, said):
    with pytest.raises(ConfigError) as caught:
        ClassifyOptions(**options)
    assert said in str(caught.value)


def test_compare_gives_each_cell_each_seed():
    ran = []
    table = compare_split(
        task,
        tiny.parts(),
        [config(cell=c) for c in ("elman", "gru")],
        seeds=2,
        watcher=Callbacks([SimpleNamespace(on_run=lambda _, run: ran.append(run))]),
    )
    assert [(r.cell, r.seed) for r in ran] == [("elman", 0), ("gru", 0), ("elman", 1), ("gru", 1)]
    assert table.runs == ran
    for row, pair in zip(table.rows, (ran[0::2], ran[1::2]), strict=True):
        accuracies = [r.metrics["accuracy"] for r in pair]
        assert row.mean["accuracy"] == pytest.approx(np.mean(accuracies))
        assert row.spread["accuracy"] == pytest.approx(np.std(accuracies, ddof=1))
        assert row.parameters == pair[0].parameters
    alone = fitted(cell="gru", seed=1).model.evaluate(tiny.parts().test)
    assert ran[3].metrics["accuracy"] == alone.accuracy
    assert [b.name.split()[0] for b in table.baselines] == ["always", "n-grams"]
