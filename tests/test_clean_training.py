"""Cleaning as a part of a model: fitted in training, kept in the bundle, the same in answers."""

import json
import pickle
import re
import shutil

import pytest

import elman
import tiny
from elman import tasks
from elman.cli.app import run
from elman.errors import BundleError, ConfigError
from elman.lab.cleaning import ablate
from elman.tasks.classify import pages
from elman.tasks.classify.options import ClassifyOptions
from elman.text.cleaning import Steps
from elman.training import bundle

GOOD = ["не люблю дождь", "не нравится погода", "ужасный фильм", "скучная книга"]
BAD = ["люблю дождь", "нравится погода", "прекрасный фильм", "чудесная книга"]
TEXTS = [
    f"{text} {tail}!" for text in GOOD + BAD for tail in ("@bob", "@ann и", "очень", "так", "10")
]
LABELS = ["нет"] * 20 + ["да"] * 20
STEPS = "mentions,lower,digits,punctuation,lemmas,stopwords"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cleaned") / "model"
    options = {**tiny.OPTIONS, "tokens": "words", "clean": STEPS, "progress": False}
    return elman.train([*zip(TEXTS, LABELS, strict=True)], out=folder, **options), folder


def test_a_loaded_model_cleans_as_in_training(trained):
    run, folder = trained
    model = elman.load(folder)
    asked = ["@x ЛЮБИЛ дожди!! 5", "люблю дождь", "@bob", ""]
    assert model.predict_proba(asked).tobytes() == run.model.predict_proba(asked).tobytes()
    first, second, *empty = model.predict_proba(asked)
    assert first.tobytes() == second.tobytes()
    assert [row.tolist() for row in empty] == [model.prior.tolist()] * 2
    assert [step.token for step in model.steps("@x ЛЮБИЛ дожди!")] == ["любить", "дождь"]
    vectors = model.embed(asked)
    assert vectors[0].tobytes() == vectors[1].tobytes()
    rows = model.answer(asked)
    assert [row["text"] for row in rows] == asked
    assert ["empty" in row for row in rows] == [False, False, True, True]
    assert ["cleaned" in row for row in rows] == [False, False, True, False]
    shown = [*pages.answer(rows[2], model, width=80)]
    assert shown[0].startswith("(nothing is left of '@bob'): ")
    assert pages.fields(rows[2], inputs=True)["note"] == "nothing is left after cleaning: prior"


def test_it_is_a_file_under_its_checksum(trained, tmp_path):
    _, folder = trained
    assert json.loads((folder / "config.json").read_text())["model"]["clean"] == STEPS
    assert f'clean = "{STEPS}"' in (folder / "train.toml").read_text()
    assert STEPS in (folder / "README.md").read_text()
    stored = bundle.read(folder)
    assert "cleaning.json" in stored.files
    files = {**stored.files, "cleaning.json": b"{}"}
    with pytest.raises(BundleError, match=r"cleaning\.json is damaged"):
        tasks.find("classify").load(bundle.Stored(folder, stored.config, files))
    changed = shutil.copytree(folder, tmp_path / "changed")
    text = (changed / "cleaning.json").read_text()
    (changed / "cleaning.json").write_text(text.replace('"lower"', '"repeats"'))
    with pytest.raises(BundleError, match=r"cleaning\.json"):
        elman.load(changed)
    files = {name: data for name, data in stored.files.items() if name != "cleaning.json"}
    with pytest.raises(BundleError, match=r"cleaning\.json is missing"):
        tasks.find("classify").load(bundle.Stored(folder, stored.config, files))


def test_a_text_that_cleaning_empties_is_answered_and_judged():
    data = [*zip([*TEXTS, *(f"@user{i}" for i in range(40))], LABELS * 2, strict=True)]
    options = {**tiny.OPTIONS, "tokens": "words", "clean": STEPS, "progress": False}
    run = elman.train(data, **options)
    said = re.compile(r"nothing is left of \d\d of 72 texts to train and validate on")
    assert any(map(said.match, run.report.notes))
    assert any("test texts, whose answers are judged all the same" in n for n in run.report.notes)
    assert run.report.test.count == len(run.split.test) == 8
    assert {one.test.count for one in run.report.baselines} == {8}
    assert all(row["predicted"] for row in run.model.predictions(run.split.test))


def test_texts_that_become_equal_are_said():
    classes = zip(GOOD + BAD, "nnnnyyyy", strict=True)
    data = [(f"{text} @u{i}", label) for text, label in classes for i in range(5)]
    run = elman.train(data, **tiny.OPTIONS, tokens="words", clean="mentions", progress=False)
    assert any("also stand in the training part" in note for note in run.report.notes)


@pytest.mark.parametrize(("linear", "count"), [("on", 1), ("off", 0)])
def test_lemmas_are_spoken_of_where_there_are_n_grams(linear, count):
    texts = [
        f"{text} {number} и так далее и тому подобное" for number in range(16) for text in TEXTS
    ]
    run = tiny.train([*zip(texts, LABELS * 16, strict=True)], linear=linear, tokens="words")
    assert sum("--clean lemmas" in note for note in run.report.notes) == count


def test_cleaning_makes_no_names_of_sentences():
    long = [f"@ann @bob @carl @dora @emil {text}" for text in TEXTS]
    data = [*zip(long, LABELS, strict=True)]
    tokens = [
        elman.train(data, **tiny.OPTIONS, clean=steps, progress=False).model.tokenizer.level
        for steps in (None, "mentions")
    ]
    assert tokens == ["words", "words"]


def test_nothing_left_to_learn(tmp_path):
    data = [(f"@user{i}", "ab"[i % 2]) for i in range(40)]
    with pytest.raises(elman.errors.DataError, match="leaves training texts of 0 classes"):
        elman.train(data, **tiny.OPTIONS, clean="mentions", progress=False)


def test_the_estimator_cleans(trained):
    options = {**tiny.OPTIONS, "tokens": "words", "validation_fraction": 0.2}
    model = elman.TextClassifier(**options, clean=STEPS).fit(TEXTS, LABELS)
    first, second = model.predict_proba(["@x ЛЮБИЛ дожди!! 5", "люблю дождь"])
    assert first.tobytes() == second.tobytes()
    again = pickle.loads(pickle.dumps(model))
    assert again.predict_proba(TEXTS).tobytes() == model.predict_proba(TEXTS).tobytes()


def test_seeds_and_going_on_clean_alike(trained, tmp_path):
    _, folder = trained
    data = [*zip(TEXTS, LABELS, strict=True)]
    same = ["@x ЛЮБИЛ дожди!! 5", "люблю дождь"]
    options = {**tiny.OPTIONS, "epochs": 1, "tokens": "words", "progress": False}
    several = elman.train(data, clean=STEPS, seeds=2, out=tmp_path / "several", **options)
    del options["min_count"]  # as the vocabulary is there
    gone_on = elman.train(data, init=folder, clean=STEPS, **options)
    for model in (several.model, elman.load(tmp_path / "several"), gone_on.model):
        first, second = model.predict_proba(same)
        assert first.tobytes() == second.tobytes()
    with pytest.raises(ConfigError, match=rf"--init is a model with clean {STEPS}, not lower"):
        elman.train(data, init=folder, clean="lower", **options)


def test_an_unknown_step_is_refused_before_any_work(capsys, names_file, tmp_path):
    assert ClassifyOptions(clean="urls,LOWER,html").clean == "html,urls,lower"
    with pytest.raises(ConfigError, match=r"no step of cleaning 'lowr'; did you mean lower\?"):
        ClassifyOptions(clean="lowr")
    assert run(["train", str(names_file), "--clean", "lecturre", "--out", str(tmp_path / "m")]) == 2
    said = capsys.readouterr()
    assert said.out == ""
    assert "did you mean lecture? there are html, nfc" in said.err
    assert said.err.count("\n") == 1


# What a step is worth


def small(**more):
    return {**tiny.OPTIONS, "tokens": "words", "epochs": 2, **more}


def test_ablation_pairs_its_cuts(tmp_path):
    told = []
    found = ablate(
        tasks.find("classify"),
        [*zip(TEXTS, LABELS, strict=True)],
        Steps.of("lower,mentions"),
        columns={},
        model="network",
        settings=small(),
        seeds=2,
        watch=lambda name, seed, metrics: told.append((name, seed)),
    )
    names = ["all steps", "without mentions", "without lower", "no cleaning"]
    assert told == [(name, seed) for seed in (0, 1) for name in names]
    assert [one.name for one in found.variants] == names
    assert [one.left_out for one in found.variants] == [None, "mentions", "lower", None]
    assert set(found.variants[0].worth.values()) == {0.0}
    # The words of a step are in small letters already.
    assert found.variants[2].worth == found.variants[0].worth
    whole, *_, none = found.variants
    gain = whole.mean["accuracy"] - none.mean["accuracy"]
    assert none.worth["accuracy"] == pytest.approx(gain)
    assert found.judged_count == 8
    assert "2 cuts" in repr(found)
    said = " ".join(found.verdict("accuracy", higher_is_better=True))
    assert "no more than chance" in said


def test_one_step_is_compared_with_none():
    found = ablate(
        tasks.find("classify"),
        [*zip(TEXTS, LABELS, strict=True)],
        Steps.of("mentions"),
        columns={},
        model="network",
        settings=small(),
        seeds=1,
    )
    assert [one.name for one in found.variants] == ["all steps", "no cleaning"]
    assert [*found.verdict("accuracy", higher_is_better=True)] == [
        "one cut has no spread; several tell what is chance"
    ]


def test_the_test_part_is_not_looked_at(monkeypatch, names_file):
    from elman import api

    task = tasks.find("classify")
    test = set(api.read_split(task, names_file, {}).test.texts)
    seen = []
    prepare = task.prepare
    monkeypatch.setattr(
        task, "prepare", lambda split, options: seen.append(split) or prepare(split, options)
    )
    asked = {"columns": {}, "model": "network", "settings": small(), "seeds": 2}
    ablate(task, names_file, Steps.of("repeats"), **asked)
    assert len(seen) == 4
    for split in seen:
        assert not test & {*split.train.texts, *split.valid.texts, *split.test.texts}
    assert set(seen[0].test.texts) != set(seen[2].test.texts)


def test_elman_clean_ablate(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")
    rows = "".join(f"{text}\t{label}\n" for text, label in zip(TEXTS, LABELS, strict=True))
    (tmp_path / "a.tsv").write_text(rows, encoding="utf-8")
    argv = ["clean", "a.tsv", "--ablate", "--steps", "lower,lemmas", "--seeds", "2"]
    assert run(argv) == 0
    said = capsys.readouterr()
    lines = said.out.splitlines()
    assert lines[0] == "a.tsv: ngrams, 2 cuts with 8 texts kept apart"
    assert [line[:14] for line in lines[2:6]] == [
        "all steps     ",
        "without lower ",
        "without lemmas",
        "no cleaning   ",
    ]
    assert max(map(len, lines)) <= 80
    assert len(said.err.splitlines()) == 8
    assert said.err.startswith("cut 0, all steps: accuracy ")
    assert run([*argv, "--json", "--quiet"]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    found = json.loads(said.out)
    assert (found["model"], found["seeds"], len(found["variants"])) == ("ngrams", 2, 4)
    assert run([*argv, "--metric", "f1:да", "--quiet"]) == 0
    said = capsys.readouterr()
    assert said.out.splitlines()[1].split()[:3] == ["F1", "of", "да"]
    assert run([*argv, "--metric", "f1:maybe"]) == 2
    assert "the metric f1:maybe names no class" in capsys.readouterr().err
    assert run([*argv, "--model", "network", "--out", "b.csv"]) == 2
    assert "--ablate writes no texts; leave out --out" in capsys.readouterr().err
