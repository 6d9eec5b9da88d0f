"""Units that carry a label: found where they were planted, and not where there is none."""

import csv
import json

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, mutual_info_score, roc_auc_score

import elman
import tiny
from elman.cli.app import run
from elman.errors import ConfigError, DataError, InputError
from elman.lab.units import Unit, find_units, measures, read_units, show_unit, steer, units_of
from elman.lab.units.states import WINDOW
from elman.nn.language_model import LanguageModelConfig, RecurrentLanguageModel
from elman.tasks.generate.predictor import LanguageModel, ModelConfig
from elman.text.tokenizer.reversible import fit_coder

LETTERS = "abcdefgh "


def texts_with(marks: dict[str, str], count: int, *, seed: int = 0) -> list[tuple[str, str]]:
    """Random letters with at most one mark somewhere, and the label of the mark."""
    rng = np.random.default_rng(seed)
    rows = []
    for i in range(count):
        text = "".join(rng.choice(list(LETTERS), size=int(rng.integers(10, 40))))
        mark = [*marks][i % len(marks)]
        place = int(rng.integers(len(text)))
        rows.append((text[:place] + mark + text[place:], marks[mark]))
    return rows


def model_of(cell="elman", *, level="characters", layers=1, labels=(), **sizes) -> LanguageModel:
    """A language model with random weights."""
    coder = fit_coder(lambda: [LETTERS + "!?\nпривет\n"] * 2, level=level)
    torch.manual_seed(0)
    config = LanguageModelConfig(
        vocab_size=coder.vocab_size,
        embedding_size=sizes.get("embedding_size", 8),
        hidden_size=sizes.get("hidden_size", 32),
        num_layers=layers,
        num_labels=len(labels),
    )
    module = RecurrentLanguageModel(config, cell)
    made = ModelConfig(network=config, running=False, labels=list(labels), max_length=1000)
    return LanguageModel(module, coder, made)


@torch.no_grad()
def plant(model: LanguageModel, unit: int, mark: str, weight: float = 2.0) -> None:
    """Make a unit of a simple recurrent network keep whether it has seen a mark."""
    layer, [number] = model.module.recurrent, model.coder.encode(mark)
    side = unit % model.module.config.embedding_size
    vectors = model.module.embedding.weight
    vectors[:, side] = 0
    vectors[number] = 0
    vectors[number, side] = 1
    layer.weight_ih_l0[unit] = 0
    layer.weight_ih_l0[unit, side] = weight
    layer.weight_hh_l0[unit] = 0
    layer.weight_hh_l0[unit, unit] = 1.5
    layer.bias_l0[unit] = 0
    # It writes the mark where the unit is on, and not where it is off.
    model.module.head.weight[number] = 0
    model.module.head.weight[number, unit] = 6 if weight > 0 else -6
    model.module.head.bias[number] = -3


YES_NO = {"!": "yes", "": "no"}


@pytest.fixture(scope="module")
def planted() -> LanguageModel:
    model = model_of()
    plant(model, 5, "!")
    return model


@pytest.fixture(scope="module")
def found(planted):
    return find_units(planted, texts_with(YES_NO, 400), shuffles=4)


@pytest.fixture(scope="module")
def folder(planted, tmp_path_factory):
    """The planted model and labelled texts as files."""
    place = tmp_path_factory.mktemp("units")
    planted.save(place / "model")
    with open(place / "data.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *texts_with(YES_NO, 400)])
    return place


@pytest.fixture
def call(capsys, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)  # pytest's workers have it

    def call(*argv):
        code = run(["units", *map(str, argv)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


# -------------------------------------------------------------------------------------------------
# What is read


@pytest.mark.parametrize(
    ("cell", "layers"), [("elman", 2), ("lstm", 2), ("gru", 1), ("mlstm", 1), ("mut1", 2)]
)
@pytest.mark.parametrize("pool", ["last", "mean", "max"])
def test_units_hold_what_the_layer_says_step_by_step(cell, layers, pool):
    model = model_of(cell, layers=layers, hidden_size=6)
    texts = ["a bad cab", "", "h", "x!?" * 5, "abc " * (WINDOW // 3)]
    values = read_units(model, texts, pool=pool)
    assert values.shape == (len(texts), len(units_of(model)))
    recurrent, vectors = model.module.recurrent, model.module.embedding.weight
    for text, row in zip(texts, values, strict=True):
        state, seen = recurrent.start(table=vectors), []
        for number in [model.before, *model.coder.encode(text).tolist()]:
            _, state = recurrent.step(torch.tensor([number]), state)
            named = state.tensors()
            seen.append([float(named[u.state][u.layer, 0, u.unit]) for u in units_of(model)])
        seen = np.array(seen if len(seen) == 1 else seen[1:])
        want = {"last": seen[-1], "mean": seen.mean(axis=0), "max": seen.max(axis=0)}[pool]
        np.testing.assert_allclose(row, want, atol=2e-5)


def test_a_text_holds_the_same_alone_and_among_others(planted):
    texts = [text for text, _ in texts_with(YES_NO, 50)]
    together = read_units(planted, texts)
    alone = np.concatenate([read_units(planted, [text]) for text in texts])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    assert read_units(planted, []).shape == (0, 32)


# -------------------------------------------------------------------------------------------------
# How well one number tells texts apart


def test_measures_are_those_of_scikit_learn():
    rng = np.random.default_rng(0)
    flags = rng.random((3, 200)) < 0.3
    values = rng.normal(size=(200, 5)).round(1).astype(np.float32) + flags[0][:, None]
    values[:, 4] = 7.0
    found = measures.aucs(values, flags)
    want = [[roc_auc_score(own, column) for column in values.T] for own in flags]
    np.testing.assert_allclose(found, want)
    high = found[0] >= 0.5
    cuts = measures.thresholds(values, flags[0], high)
    best = measures.balanced_accuracies(values, flags[0], cuts, high)
    edges = measures.bin_edges(values)
    bits = measures.mutual_information(values, flags[0], edges)
    for i, column in enumerate(values.T):
        says = [(column > cut) == high[i] for cut in (*column, column.min() - 1)]
        assert best[i] == pytest.approx(max(balanced_accuracy_score(flags[0], s) for s in says))
        place = np.searchsorted(edges[:, i], column)
        rows, columns = len({*place}), 2
        bias = ((rows - 1) + (columns - 1) - (len({*zip(place, flags[0], strict=True)}) - 1)) / 400
        plain = mutual_info_score(flags[0], place)
        assert bits[i] == pytest.approx(max((plain + bias) / np.log(2), 0), abs=1e-9)
    assert (best[4], bits[4]) == (0.5, 0)


def test_blocks_change_nothing(monkeypatch):
    rng = np.random.default_rng(0)
    values, flags = rng.normal(size=(60, 9)).astype(np.float32), rng.random(60) < 0.5

    def all_of():
        auc = measures.aucs(values, flags[None])[0]
        high, edges = auc >= 0.5, measures.bin_edges(values)
        cuts = measures.thresholds(values, flags, high)
        right = measures.balanced_accuracies(values, flags, cuts, high)
        return np.array([auc, cuts, right, measures.mutual_information(values, flags, edges)])

    whole = all_of()
    monkeypatch.setattr(measures, "BLOCK", 120)
    np.testing.assert_array_equal(all_of(), whole)


# -------------------------------------------------------------------------------------------------
# What is found


def test_a_planted_unit_is_found_and_chance_is_not(found):
    [one] = found.report.labels
    assert (one.label, one.best.unit, one.best.high) == ("yes", "0.h.5", True)
    assert one.best.auc == one.best.balanced_accuracy == 1
    assert one.best.mutual_information > 0.9
    assert (one.probe.units, one.probe.auc, [*one.probe.weights]) == (1, 1, ["0.h.5"])
    assert found.best() == found.best("yes") == Unit(0, "h", 5)
    assert found.report.train_texts + found.report.test_texts == 400
    # The best of 32 units of nothing is over a half where it is chosen, and not beyond.
    units, probes = zip(*((shuffle.unit, shuffle.probe) for shuffle in one.control), strict=True)
    assert all(0.5 < unit.train_auc < 0.7 for unit in units)
    assert abs(np.mean([unit.auc for unit in units]) - 0.5) < 0.08
    assert abs(np.mean([probed.auc for probed in probes]) - 0.5) < 0.08
    assert max(unit.mutual_information for unit in units) < 0.1


def test_what_the_length_tells_stands_beside(planted):
    # A mark at the end of each of the shorter half: counting does as well as the unit.
    rows = [("a" * (10 + i % 20), "short") for i in range(100)]
    rows = [
        (text + "!" * (len(text) >= 20), "long" if len(text) >= 20 else label)
        for text, label in rows
    ]
    rows = [(f"{text[0]}{i:03d}{text[4:]}", label) for i, (text, label) in enumerate(rows)]
    [one] = find_units(planted, rows, shuffles=0).report.labels
    assert (one.label, one.length.unit, one.length.high) == ("short", "length", False)
    assert one.length.auc == one.length.balanced_accuracy == 1


def test_a_unit_may_be_low_for_a_label():
    model = model_of()
    plant(model, 5, "!", -2.0)
    [one] = find_units(model, texts_with(YES_NO, 100), shuffles=0).report.labels
    assert (one.best.unit, one.best.high, one.best.auc) == ("0.h.5", False, 1)
    assert one.control == []


def test_each_of_several_labels_has_its_unit():
    model = model_of()
    plant(model, 5, "!")
    plant(model, 6, "?")
    marks = {"!": "joy", "?": "doubt", "": "none"}
    found = find_units(model, texts_with(marks, 300), shuffles=1)
    best = {one.label: one.best.unit for one in found.report.labels}
    assert (best["joy"], best["doubt"]) == ("0.h.5", "0.h.6")
    assert found.report.of("doubt").best.auc == 1
    assert found.score(Unit(0, "h", 5), "doubt").auc < 1
    assert "joy" in repr(found)


def test_texts_may_have_several_labels():
    model = model_of()
    plant(model, 5, "!")
    plant(model, 6, "?")
    marks = {"!": "joy", "?": "doubt", "": "", "!a?": "joy|doubt"}
    rows = texts_with(marks, 400)
    data = {"text": [text for text, _ in rows], "label": [label for _, label in rows]}
    found = find_units(model, data, shuffles=0, multilabel=True, label_separator="|")
    best = {one.label: (one.best.unit, one.best.auc) for one in found.report.labels}
    assert best == {"joy": ("0.h.5", 1), "doubt": ("0.h.6", 1)}


def test_rare_labels_are_left_out_and_said():
    model = model_of()
    rows = [*texts_with(YES_NO, 100), *texts_with({"?": "rare"}, 8)]
    report = find_units(model, rows, shuffles=0).report
    assert [one.label for one in report.labels] == ["no", "yes"]
    assert any("not looked for: rare" in note for note in report.notes)


def test_a_seed_repeats_a_search(planted, found):
    rows = texts_with(YES_NO, 400)
    assert find_units(planted, rows, shuffles=4).report == found.report
    other = find_units(planted, rows, shuffles=4, seed=1).report
    assert other != found.report
    assert other.of("yes").best.unit == "0.h.5"


def test_limit_draws_texts(planted):
    report = find_units(planted, texts_with(YES_NO, 400), shuffles=0, limit=100).report
    assert report.train_texts + report.test_texts == 100
    assert any("drawn by the seed" in note for note in report.notes)


def test_a_trained_model_tells_what_its_texts_say():
    # What a text begins with comes again at its end, so that it is worth remembering.
    rng = np.random.default_rng(0)
    rows = []
    for i in range(240):
        mark = "xy"[i % 2]
        body = "".join(rng.choice(list("abcd"), size=4))
        rows.append((f"{mark} {body} {mark}{mark}{mark}", f"{mark} {body}", mark))
    options = {**tiny.GENERATE_OPTIONS, "epochs": 20, "hidden_size": 16, "dropout": 0.0}
    data = {"text": [text for text, _, _ in rows]}
    trained = elman.train(data, task="generate", cell="mlstm", **options)
    found = find_units(trained, [row[1:] for row in rows], shuffles=2)
    [one] = found.report.labels
    assert one.best.auc > 0.95
    assert one.probe.auc > 0.95
    assert np.mean([shuffle.unit.auc for shuffle in one.control]) < 0.65
    states = {unit.state for unit in found.units}
    assert states == {"h", "c"}


def test_rows_and_figure_have_everything(found, tmp_path):
    rows = [*found.rows()]
    assert [row["unit"] for row in rows] == [str(unit) for unit in found.units]
    five = rows[5]
    assert (five["label"], five["layer"], five["state"], five["number"]) == ("yes", 0, "h", 5)
    assert five["auc"] == 1
    assert five["weight"] > 0
    assert sum(row["weight"] != 0 for row in rows) == 1
    assert found.plot()._repr_png_().startswith(b"\x89PNG")


# -------------------------------------------------------------------------------------------------
# A text in colours


def test_a_text_is_shown_token_by_token(planted):
    trace = show_unit(planted, "ab!c", "0.h.5", middle=0.4, low="no", high="yes")
    assert "".join(one.token for one in trace.tokens) == "ab!c"
    before, after = trace.tokens[1].value, trace.tokens[2].value
    assert before == 0
    assert after == pytest.approx(np.tanh(2), abs=1e-4)
    assert [said for _, said in trace.key()] == ["no", "", "yes"]
    low, high = trace.shade(before), trace.shade(after)
    assert low[2] > low[0]  # blue
    assert high[0] > high[2]  # red
    assert trace.shade(0.4) == (247, 247, 247)
    page = trace.html()
    assert "0.h.5" in page
    assert page.count("<span") == 4 + 3
    want = read_units(planted, ["ab!c"])[0, 5]
    assert trace.tokens[-1].value == pytest.approx(want, abs=1e-5)


def test_unknown_characters_and_markup_are_shown_as_they_stand(planted):
    trace = show_unit(planted, "<b>Ж\n", Unit(0, "h", 5))
    assert [one.token for one in trace.tokens] == ["<", "b", ">", "Ж", "\n"]
    assert "&lt;" in trace.html()
    assert "<b>" not in trace.html()


@pytest.mark.parametrize("level", ["bytes", "bpe", "words"])
def test_tokens_of_all_kinds_are_shown_as_text(level):
    model = model_of(level=level)
    trace = show_unit(model, "привет", "0.h.1")
    assert "".join(one.token for one in trace.tokens) == "привет"


# -------------------------------------------------------------------------------------------------
# Writing with the unit held


def test_what_is_written_moves_with_the_unit(found):
    moved = steer(found, n=60, max_new_tokens=20, values=[1.0, -1.0])
    assert [row.value for row in moved.rows] == [None, -1.0, 1.0]
    assert moved.rows[1].shares["yes"] < 0.1
    assert moved.rows[2].shares["yes"] > 0.9
    assert moved.judge_accuracy > 0.9
    assert all(0 < row.nats < 10 and 0 < row.mean_length <= 20 for row in moved.rows)
    assert sum(moved.real.values()) == pytest.approx(1)
    assert all(sum(row.shares.values()) == pytest.approx(1) for row in moved.rows)
    assert "0.h.5, high for yes" in repr(moved)
    again = steer(found, n=60, max_new_tokens=20, values=[1.0, -1.0])
    assert again == moved


def test_the_values_are_those_of_the_texts(found):
    moved = steer(found, n=2, max_new_tokens=3)
    values = [row.value for row in moved.rows[1:]]
    assert values == sorted(values)
    assert values[0] == 0
    assert 0.8 < values[-1] < 1


def test_a_given_classifier_judges(found, tmp_path):
    judge = elman.train(texts_with(YES_NO, 200, seed=3), model="ngrams", min_count=1)
    moved = steer(found, n=5, max_new_tokens=5, values=[0], judge=judge)
    assert moved.judge == "the n-gram classifier"
    assert moved.judge_accuracy > 0.9


# -------------------------------------------------------------------------------------------------
# The command


def test_command_prints_a_table(call, folder, tmp_path):
    out, figure, page = (tmp_path / name for name in ("units.csv", "units.png", "page.html"))
    code, said, err = call(
        *(folder / "model", folder / "data.csv", "--shuffles", 2, "--show", "ab!c"),
        *("--out", out, "--figure", figure, "--html", page),
        *("--steer", "-n", 4, "--max-new-tokens", 5, "--values=-1,1"),
    )
    assert (code, err) == (0, "")
    assert "best unit" in said
    assert "0.h.5 high" in said
    assert "shuffled: probe" in said
    assert "+0.9640\t!" in said
    assert "not held" in said
    assert len(out.read_text().splitlines()) == 1 + 32
    assert figure.read_bytes().startswith(b"\x89PNG")
    assert page.read_text().startswith("<!DOCTYPE html>")
    code, _, err = call(folder / "model", folder / "data.csv", "--out", out)
    assert code == 2
    assert "add --force" in err


def test_json_has_all(call, folder):
    code, said, _ = call(
        *(folder / "model", folder / "data.csv", "--shuffles", 1, "--show", "a!", "--json"),
        *("--steer", "-n", 2, "--max-new-tokens", 2, "--values", "0"),
    )
    document = json.loads(said)
    assert code == 0
    assert document["labels"][0]["units"][0]["unit"] == "0.h.5"
    assert len(document["labels"][0]["control"]) == 1
    assert [one["token"] for one in document["shown"]["tokens"]] == ["a", "!"]
    assert [row["value"] for row in document["steering"]["rows"]] == [None, 0]


def test_a_named_unit_is_shown_without_data(call, folder, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("a!\nb")
    code, said, err = call(folder / "model", "--show", text, "--unit", "0.h.5")
    assert (code, err) == (0, "")
    assert [line.partition("\t")[2] for line in said.splitlines()[2:]] == ["a", "!", "\\n", "b"]
    code, said, _ = call(folder / "model", "--show", text, "--unit", "0.h.5", "--json")
    assert json.loads(said)["shown"]["unit"] == "0.h.5"


def test_colours_on_a_terminal(call, folder, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "80")
    for system, colour in (("truecolor", "48;2;178;24;43"), ("", "37;41")):
        monkeypatch.setenv("COLORTERM", system)
        monkeypatch.setenv("TERM", "xterm")
        _, said, _ = call(folder / "model", "--show", "ab!\nc", "--unit", "0.h.5")
        assert colour in said
        assert "↵" in said
    monkeypatch.setenv("NO_COLOR", "1")
    _, said, _ = call(folder / "model", "--show", "ab!c", "--unit", "0.h.5")
    assert "+0.9640\t!" in said


def test_many_labels_are_a_line_each(call, folder, tmp_path):
    marks = {"a": "ka", "b": "kb", "c": "kc", "!": "kd", "?": "ke"}
    data = tmp_path / "many.jsonl"
    rows = texts_with(marks, 200)
    data.write_text("".join(json.dumps({"text": t, "label": label}) + "\n" for t, label in rows))
    code, said, _ = call(folder / "model", data, "--shuffles", 1)
    assert code == 0
    [line] = [line for line in said.splitlines() if line.startswith("kd")]
    assert "0.h.5 high" in line


# -------------------------------------------------------------------------------------------------
# What is refused


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["{m}"], "DATA is missing: name labelled texts, or give --show TEXT and --unit 0.c.123"),
        (["{m}", "--show", "a"], "DATA is missing"),
        (["{m}", "--steer", "--show", "a", "--unit", "0.h.1"], "DATA is missing: name labelled"),
        (["{m}", "{d}", "--unit", "0.h.99"], "its layer is 0, its states are h, and the units of"),
        (["{m}", "{d}", "--unit", "1.h.0"], "the model has no unit 1.h.0"),
        (["{m}", "{d}", "--unit", "0.c.0"], "the model has no unit 0.c.0"),
        (["{m}", "{d}", "--unit", "12"], "the unit is '12'; give layer, state and unit with dots"),
        (["{m}", "{d}", "--target", "perhaps"], "no units were looked for that tell 'perhaps'"),
        (["{m}", "{d}", "--html", "x.html"], "--html writes what --show shows"),
        (["{m}", "{d}", "--show", "a", "--html", "x.txt"], "name it after what it is, .html or"),
        (["{m}", "{d}", "--figure", "x.pdf"], "name it after what it is, .png or .svg"),
        (["{m}", "{d}", "--show", ""], "--show is empty; give a text, or a file of one"),
        (["{m}", "{d}", "--values", "1"], "--values is for --steer; add it or leave it out"),
        (["{m}", "{d}", "--max-new-tokens", "9"], "--max-new-tokens is for --steer"),
        (["{m}", "{d}", "--steer", "--values", "a,b"], "write --values=-1,0,1"),
        (["{m}", "{d}", "--steer", "-n", "0"], "n is 0; it must be a whole number of 1 or more"),
        (["{m}", "{d}", "--steer", "--judge", "{m}"], "the judge is a model of the task generate"),
        (["{m}", "{d}", "--shuffles", "-1"], "shuffles is -1; it must be a whole number of 0"),
        (["{m}", "{d}", "--limit", "3"], "limit is 3; it must be a whole number of 40 or more"),
        (["{m}", "{d}", "--label", "mood"], "mood"),
        (["{m}", "gone.csv"], "no file 'gone.csv'"),
        (["gone", "{d}"], "gone"),
    ],
)
def test_bad_requests_get_one_sentence(call, folder, argv, said):
    names = {"{m}": folder / "model", "{d}": folder / "data.csv"}
    code, out, err = call(*(names.get(word, word) for word in argv))
    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([("good", "yes")] * 60 + [("bad", "no")], "too few"),
        (texts_with(YES_NO, 30), "has 30 texts, too few to find units by; give at least 40"),
        (texts_with({"!": "yes"}, 60), "has one class only, 'yes'"),
        (
            texts_with({letter: letter for letter in "abcdefgh"}, 80),
            "has no label with 20 texts or more, and as many without it",
        ),
    ],
)
def test_texts_that_say_nothing_are_refused(planted, rows, said):
    with pytest.raises(DataError, match=said):
        find_units(planted, rows)


def test_texts_without_labels_are_refused(call, folder, tmp_path):
    data = tmp_path / "texts.csv"
    data.write_text("text,number\n" + "".join(f"abc {i},{i}\n" for i in range(60)))
    code, _, err = call(folder / "model", data)
    assert code == 2
    assert "label" in err


def test_other_models_are_refused(call, folder, bundle_made_once):
    code, _, err = call(bundle_made_once, folder / "data.csv")
    assert code == 2
    assert "is a model of the task classify, and units are looked for in a language model" in err
    told = model_of(labels=("no", "yes"))
    with pytest.raises(ConfigError, match="is told the label of a text"):
        find_units(told, texts_with(YES_NO, 60))
    with pytest.raises(ConfigError, match="model is 3; give a model"):
        read_units(3, ["a"])


def test_python_says_what_cannot_be(planted):
    with pytest.raises(ConfigError, match="pool is 'first'; it must be one of last, mean, max"):
        read_units(planted, ["a"], pool="first")
    with pytest.raises(InputError, match="the text to show is ''"):
        show_unit(planted, "", "0.h.1")
    with pytest.raises(ConfigError, match="there is no option texts; there are text, label"):
        find_units(planted, texts_with(YES_NO, 60), texts="a")


def test_unknown_characters_are_said(planted):
    rows = [(f"{text} ЖЖЖ", label) for text, label in texts_with(YES_NO, 60)]
    notes = find_units(planted, rows, shuffles=0).report.notes
    assert any("of the tokens are unknown to the model" in note for note in notes)
