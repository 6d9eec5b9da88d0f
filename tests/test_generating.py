"""A language model in use: what it writes, how it is told to, and what is refused."""

import inspect
import io
import json
import math
import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import elman
import tiny
from elman.cli.app import run
from elman.cli.generate import _OF_MODES
from elman.errors import ConfigError, InputError
from elman.tasks.generate.options import NEW_TOKENS, SAMPLING, Decoding
from elman.text.tokenizer.reversible import Flow, fit_coder
from elman.training.history import History
from elman.training.options import declared, table

ROOT = Path(__file__).parent.parent
RUSSIAN = (
    "Пока земля ещё вертится, пока ещё ярок свет,\n"
    "Господи, дай же ты каждому — чего у него нет 🙂.\n"
)
OPTIONS = {**tiny.GENERATE_OPTIONS, "hidden_size": 24, "batch_size": 2, "epochs": 12}
VERSE = tiny.VERSE * 4


def trained(folder: Path, name: str, text: str, **options) -> Path:
    place = folder / name
    data = folder / f"{name}{'.csv' if 'label_column' in options else '.txt'}"
    data.write_text(text, encoding="utf-8")
    elman.train(data, task="generate", out=place, **{**OPTIONS, **options})
    return place


@pytest.fixture(scope="module")
def verse(tmp_path_factory):
    """A folder with a model of characters that has learnt to spell."""
    return trained(tmp_path_factory.mktemp("verse"), "verse", VERSE)


@pytest.fixture(scope="module")
def labelled(tmp_path_factory):
    """One of names with their labels."""
    rows = zip(tiny.NAMES, tiny.LABELS, strict=True)
    text = "text,label\n" + "".join(f"{name},{label}\n" for name, label in rows)
    return trained(tmp_path_factory.mktemp("labelled"), "names", text, label_column="label")


@pytest.fixture(scope="module", params=["characters", "bytes", "words", "bpe"])
def russian(request, tmp_path_factory):
    """One of each coding, of a text in which characters have one to four bytes."""
    more = {"epochs": 3, "tokens": request.param}
    if request.param == "bpe":
        more["vocab_size"] = 270
    return trained(tmp_path_factory.mktemp(request.param), "russian", RUSSIAN * 20, **more)


@pytest.fixture
def model(verse):
    return elman.load(verse)


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "120")


@pytest.fixture
def call(capsys):
    def call(*argv):
        code = run([str(word) for word in argv])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


@pytest.fixture
def stdin(monkeypatch):
    def give(text: str):
        data = io.BytesIO(text.encode())
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(data, encoding="utf-8"))

    return give


def refused(said):
    """What was said in one sentence by a command that did nothing."""
    code, out, err = said
    assert (code, out, err.count("\n")) == (2, "", 1), (code, out, err)
    assert err.startswith("elman: ")
    return err


# Options


def test_options_are_declared_once_for_python_the_command_line_and_the_docs(call, model):
    own = {one.name: one.default for one in declared(Decoding)}
    shown = inspect.signature(model.generate).parameters
    assert {name: one.default for name, one in shown.items() if name != "on_text"} == own
    drafted = inspect.signature(model.draft).parameters
    assert {*drafted} == {*_OF_MODES["interactive"]}
    assert all(drafted[name].default == own[name] for name in drafted)
    said = " ".join(call("generate", "--help")[1].replace("│", " ").split())
    for one in declared(Decoding):
        assert f"--{one.name.replace('_', '-')}" in said
        assert one.option.text.rstrip(".") in said
    page = (ROOT / "docs" / "options.md").read_text(encoding="utf-8")
    assert table(Decoding) in page, table(Decoding)
    assert {*SAMPLING} <= {*own}


def test_every_option_does_something(model):
    plain = model.generate("K", seed=1)[0]
    assert model.generate("K", seed=1) == [plain]
    assert len(plain["text"]) == plain["tokens"] == 200
    others = [
        {"max_new_tokens": 20},
        {"temperature": 0.3},
        {"temperature": 0},
        {"top_k": 2},
        {"top_p": 0.5},
        {"min_p": 0.3},
        {"repetition_penalty": 5.0},
        {"stop": "."},
        {"seed": 2},
        {"clamp": {3: 10.0}},
    ]
    texts = [model.generate("K", **{"seed": 1, **more})[0]["text"] for more in others]
    assert all(text != plain["text"] for text in texts)
    assert len({*texts}) >= len(others) - 1
    assert model.generate("B", seed=1)[0]["text"] != plain["text"]
    assert len(model.generate("K", n=3)) == 3
    assert model.generate("K")[0]["text"] != model.generate("K")[0]["text"]


def test_temperature_0_and_one_token_of_top_k_take_the_most_probable(model):
    [greedy] = model.generate("Ka", temperature=0, max_new_tokens=30)
    assert model.generate("Ka", top_k=1, max_new_tokens=30) == [greedy]
    text = ""
    for _ in range(30):
        text += model.next(f"Ka{text}", top=1)[0]["token"]
    assert greedy["text"] == text


def test_the_log_probability_is_that_of_reading_it(model):
    for options in ({"seed": 4}, {"seed": 4, "temperature": 0.5}, {"beam": 3}):
        [row] = model.generate("Kaka", max_new_tokens=30, **options)
        whole, prompt = (
            model.answer([text])[0]["log_probability"] for text in (f"Kaka{row['text']}", "Kaka")
        )
        assert row["log_probability"] == pytest.approx(whole - prompt, abs=1e-4)


def test_a_beam_finds_what_is_more_probable_than_the_greedy_text(model):
    found = model.generate("", beam=8, n=8, max_new_tokens=12)
    scores = [row["log_probability"] for row in found]
    assert len({row["text"] for row in found}) == 8
    [greedy] = model.generate("", temperature=0, max_new_tokens=12)
    assert scores[0] >= greedy["log_probability"]
    assert scores == sorted(scores, reverse=True)


def test_one_text_alone_is_the_first_of_several(model, labelled):
    def texts(model, n, **options):
        return [row["text"] for row in model.generate(n=n, seed=3, **options)]

    several = texts(model, 5, prompt="K")
    assert texts(model, 1, prompt="K") == several[:1]
    assert texts(model, 2, prompt="K") == several[:2]
    assert len({*several}) == 5
    names = elman.load(labelled)
    for label in names.labels:
        assert texts(names, 1, label=label) == texts(names, 5, label=label)[:1]


def test_what_never_ends_stops_at_the_limit(model):
    [row] = model.generate(max_new_tokens=777)
    assert (row["tokens"], row["finished"]) == (777, "limit")


def test_it_stops_before_what_it_is_to_stop_at(model):
    whole = model.generate("K", seed=1)[0]["text"]
    first = whole.index(".")
    [row] = model.generate("K", seed=1, stop=".")
    assert (row["text"], row["finished"]) == (whole[:first], "stop")
    assert row["tokens"] == first + 1
    pieces: list[str] = []
    stop = ["no such", ".\n", whole[first - 3 : first]]
    [row] = model.generate("K", seed=1, stop=stop, on_text=lambda _, text: pieces.append(text))
    assert row["text"] == whole[: first - 3] == "".join(pieces)
    # What may be the beginning of one, and is none, is written all the same.
    never = whole[-2:] + "\0"
    pieces = []
    [row] = model.generate("K", seed=1, stop=never, on_text=lambda _, text: pieces.append(text))
    assert (row["text"], row["finished"]) == (whole, "limit")
    assert "".join(pieces) == whole
    # Several rows stop each in its own time.
    rows = model.generate("K", n=4, seed=1, stop=".")
    assert [row["text"] for row in rows] == [
        row["text"].partition(".")[0] for row in model.generate("K", n=4, seed=1)
    ]


@pytest.mark.parametrize(
    "prompt", ["", " ", "K", "Ka ", "lives in", "\n\n", "日本", "\0", "\ud800"]
)
def test_any_prompt_can_be_gone_on_with(model, prompt):
    [row] = model.generate(prompt, max_new_tokens=5)
    assert row["prompt"] == prompt
    assert row["tokens"] == 5
    assert row.get("unknown", []) == [c for c in prompt if c not in VERSE]
    assert model.next(prompt, top=3)


def test_units_are_held_by_any_of_their_names(model, labelled):
    held = [
        model.generate(seed=1, clamp=clamp)
        for clamp in (
            {(0, "c", 3): 5.0},
            {3: 5.0},
            {"3": 5},
            {"c.3": 5.0},
            {"0.3": 5.0},
            ["3=5"],
            ["0.c.3=5.0"],
            ["0.3 = 5e0"],
        )
    ]
    assert all(one == held[0] for one in held)
    assert model.generate(seed=1, clamp=["h.3=5"]) != held[0]
    assert model.generate(seed=1, clamp=["3=5", "4=-5"]) != held[0]
    assert model.next("Ka", clamp={3: 5.0}) != model.next("Ka")
    names = elman.load(labelled)
    assert names.generate(seed=1, label="ja", clamp={3: 5.0}, n=3)


def test_a_model_of_several_layers_holds_units_of_the_last_unless_told(tmp_path):
    options = {"cell": "gru", "num_layers": 2, "epochs": 1}
    model = elman.load(trained(tmp_path, "two", VERSE, **options))
    assert model.generate(seed=1, clamp={3: 9.0}) == model.generate(seed=1, clamp=["1.h.3=9"])
    assert model.generate(seed=1, clamp={3: 9.0}) != model.generate(seed=1, clamp=["0.h.3=9"])


# Labels


def test_names_of_a_label_are_like_those_of_it(labelled):
    model = elman.load(labelled)
    assert model.labels == ("de", "ja")
    share = {}
    for label in model.labels:
        rows = model.generate(label=label, n=100, seed=0)
        assert {row["label"] for row in rows} == {label}
        assert {row["finished"] for row in rows} == {"end"}
        letters = "".join(row["text"] for row in rows)
        share[label] = sum(letters.count(c) for c in "bfglnsw") / len(letters)
    assert share["de"] > 1.5 * share["ja"]
    first = {label: model.next(label=label, top=1)[0]["token"] for label in model.labels}
    assert model.next("kamot", label="ja", top=1)[0]["token"] == "o"
    assert first


def test_the_end_of_a_text_may_come_next(labelled):
    draft = elman.load(labelled).draft("kamoto", label="ja", temperature=0)
    assert draft.next(1)[0]["token"] == "<end>"
    assert not draft.ended
    draft.draw()
    assert draft.ended
    assert draft.text == "kamoto"
    assert draft.undo()
    assert not draft.ended


# Codings


def test_what_is_told_as_it_comes_is_what_is_written(russian):
    model = elman.load(russian)
    for seed in range(5):
        pieces: dict[int, str] = {0: "", 1: ""}

        def told(row, text, pieces=pieces):
            pieces[row] += text

        rows = model.generate("Пока ", n=2, seed=seed, max_new_tokens=60, on_text=told)
        assert [row["text"] for row in rows] == [*pieces.values()]
        assert rows == model.generate("Пока ", n=2, seed=seed, max_new_tokens=60)
        for row in rows:
            row["text"].encode()


def test_characters_of_several_bytes_come_out_whole():
    text = RUSSIAN + "é 日本 👩‍👩‍👦"
    for level in ("bytes", "bpe"):
        coder = fit_coder(lambda: [RUSSIAN * 5], level=level)
        flow = Flow(coder)
        pieces = [flow.add(token) for token in coder.encode(text).tolist()]
        assert "".join(pieces) == text
        assert "\ufffd" not in "".join(pieces)
        assert len([piece for piece in pieces if piece]) < len(pieces)


def test_the_pieces_of_a_text_are_the_text_one_for_each_token(russian):
    coder = elman.load(russian).coder
    for text in ("Господи, дай \n же  ты", "неизвестное слово, Zürich 日本 🙂", "", " ", "\n"):
        pieces = coder.pieces(text)
        assert "".join(pieces) == text
        assert len(pieces) == len(coder.encode(text))
        written = [coder.to_bytes(token) for token in coder.encode(text).tolist()]
        assert b"".join(written).decode() == coder.decode(coder.encode(text))


def test_a_prompt_that_ends_in_a_blank_goes_on_with_a_word(russian):
    model = elman.load(russian)
    assert model.generate("Пока ", max_new_tokens=9)[0]["tokens"] == 9
    if model.coder.level in ("words", "bpe"):
        [with_blank] = model.generate("Пока ", seed=1, max_new_tokens=9)
        [without] = model.generate("Пока", seed=1, max_new_tokens=9)
        assert with_blank["text"] == without["text"].removeprefix(" ")
        assert "unknown" not in with_blank
        draft = model.draft("Пока ", temperature=0)
        draft.draw()
        assert draft.text.count("  ") == 0


def test_unknown_tokens_are_named_as_they_stand_in_the_text(russian):
    model = elman.load(russian)
    [row] = model.generate("Пока Zürich, ты", max_new_tokens=3)
    unknown = {"characters": ["Z", "ü", "r", "i", "c", "h"], "words": ["Zürich"]}
    assert row.get("unknown", []) == unknown.get(model.coder.level, [])


@pytest.mark.parametrize("level", [*NEW_TOKENS])
def test_without_a_limit_a_text_has_a_usual_length(level, tmp_path):
    more = {"epochs": 1, "tokens": level} | ({"vocab_size": 270} if level == "bpe" else {})
    model = elman.load(trained(tmp_path, "any", VERSE, **more))
    assert model.generate()[0]["tokens"] == NEW_TOKENS[level]


# What is refused


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"temperature": -1}, "temperature is -1; it must be 0 or more"),
        ({"temperature": math.nan}, "temperature is nan; it must be"),
        ({"top_k": 0}, "top_k is 0; it must be 1 or more"),
        ({"top_k": 1.5}, "top_k is 1.5; it must be a whole number"),
        ({"top_p": 2}, "top_p is 2; it must be above 0 and at most 1"),
        ({"min_p": -0.1}, "min_p is -0.1; it must be"),
        ({"repetition_penalty": 0}, "repetition_penalty is 0; it must be above 0"),
        ({"n": 0}, "n is 0; it must be"),
        ({"max_new_tokens": -3}, "max_new_tokens is -3; it must be"),
        ({"stop": ""}, "stop is an empty text"),
        ({"stop": ["a", ""]}, "stop is an empty text"),
        ({"stop": 5}, "stop is 5; it must be a list of texts"),
        ({"seed": -1}, "seed is -1; it must be"),
        ({"beam": 0}, "beam is 0; it must be"),
        ({"beam": 2, "n": 3}, "beam 2 finds so many texts at most, not n 3"),
        ({"beam": 2, "temperature": 0.5}, "leave out temperature"),
        ({"beam": 2, "top_k": 5}, "leave out top_k"),
        ({"beam": 2, "stop": "x"}, "leave out stop"),
        ({"beam": 2, "seed": 5}, "leave out seed"),
        ({"label": "ja"}, "label is 'ja', but the model was trained without labels; leave it out"),
        ({"clamp": {99: 1.0}}, "clamp: there is no unit 99; there are 0 to 23"),
        ({"clamp": ["1.c.3=1"]}, "clamp: there is no layer 1; there are 0 to 0"),
        ({"clamp": ["q.3=1"]}, "clamp: there is no state 'q'; there are h, c"),
        ({"clamp": ["3"]}, "clamp holds 3 at '', which is no number; write unit=value"),
        ({"clamp": ["3=x"]}, "clamp holds 3 at 'x', which is no number"),
        ({"clamp": ["x=3"]}, "clamp has 'x', which is no unit; write unit=value"),
        ({"clamp": {3: math.inf}}, "clamp holds 3 at inf, which is no number"),
        ({"clamp": {3: 1e300}}, "clamp holds 3 at 1e+300, which is no number"),
        ({"clamp": ["3=1", "c.3=2"]}, "clamp has the unit 'c.3' twice; give it once"),
        ({"clamp": "3=1"}, "clamp is '3=1'; write unit=value"),
    ],
)
def test_what_cannot_work_is_refused_in_one_sentence(model, options, said):
    with pytest.raises(ConfigError) as refusal:
        model.generate(**options)
    assert said in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_prompt_that_is_no_text_is_refused(model):
    for prompt in (None, 5, ["a"]):
        with pytest.raises(InputError, match="give a text"):
            model.generate(prompt)


def test_labels_are_asked_for_and_misspelt_ones_refused(labelled, call):
    model = elman.load(labelled)
    with pytest.raises(ConfigError, match=r"give one as label: de, ja$"):
        model.generate()
    with pytest.raises(ConfigError, match=r"knows no label 'jaa'; did you mean ja\?"):
        model.generate(label="jaa")
    assert "give one as label: de, ja" in refused(call("generate", labelled))
    assert "did you mean de?" in refused(call("generate", labelled, "--label", "dee"))


# Written together


def test_a_draft_is_written_by_both_and_can_be_gone_back_on(model):
    draft = model.draft("Ka", seed=5)
    choices = draft.next(4)
    assert choices == model.next("Ka", top=4)
    assert [*choices[0]] == ["token", "id", "probability"]
    draft.take(choices[1]["id"])
    assert draft.text == "Ka" + choices[1]["token"]
    draft.add("ж lives")
    assert draft.added == choices[1]["token"] + "ж lives"
    assert draft.next(2) == model.next(draft.text, top=2)
    draft.draw()
    assert len(draft.added) == 9
    for _ in range(3):
        assert draft.undo()
    assert not draft.undo()
    assert draft.text == "Ka"
    assert draft.next(4) == choices
    greedy = model.draft("Ka", temperature=0)
    assert greedy.next(4) == choices
    for _ in range(10):
        greedy.draw()
    assert greedy.added == model.generate("Ka", temperature=0, max_new_tokens=10)[0]["text"]


def test_probabilities_of_what_may_come_next_are_all_of_it(model):
    found = model.next("Kamo", top=10_000)
    assert sum(one["probability"] for one in found) == pytest.approx(1)
    values = [one["probability"] for one in found]
    assert values == sorted(values, reverse=True)
    assert not {"<unk>", "<end>"} & {one["token"] for one in found}
    assert len(model.next("Kamo", top=10_000, top_k=3)) == 3


# The command line


def test_a_text_is_written_after_its_prompt(call, verse, model):
    code, out, err = call("generate", verse, "--prompt", "Kamoto", "--seed", 1)
    assert (code, err) == (0, "")
    assert out == "Kamoto" + model.generate("Kamoto", seed=1)[0]["text"].removesuffix("\n") + "\n"
    assert call("generate", verse, "-p", "Kamoto", "--seed", 1)[1] == out
    assert call("generate", verse, "--seed", 1)[1] != out


def test_every_option_reaches_the_model(call, verse, model):
    words = {
        "temperature": 0.5,
        "top_k": 5,
        "top_p": 0.9,
        "min_p": 0.01,
        "repetition_penalty": 1.2,
        "max_new_tokens": 50,
        "seed": 4,
        "n": 2,
    }
    argv = [w for name, v in words.items() for w in (f"--{name.replace('_', '-')}", v)]
    argv += ["--stop", "x", "--stop", "q", "--clamp", "3=1.5", "--clamp", "h.2=-1"]
    code, out, err = call("generate", verse, "-p", "Ka", *argv, "--json")
    assert (code, err) == (0, "")
    clamp = {"3": 1.5, "h.2": -1}
    assert json.loads(out) == model.generate("Ka", **words, stop=["x", "q"], clamp=clamp)
    code, out, _ = call("generate", verse, "-p", "Ka", "--seed", 4, "--stop", "\\n", "--json")
    assert json.loads(out) == model.generate("Ka", seed=4, stop="\n")
    code, out, _ = call("generate", verse, "-p", "Ka", "--beam", 3, "-n", 2, "--json")
    assert json.loads(out) == model.generate("Ka", beam=3, n=2)


def test_several_texts_stand_apart(call, verse, labelled):
    code, out, err = call("generate", verse, "-p", "K", "-n", 3, "--seed", 1)
    assert (code, err) == (0, "")
    titles = [line for line in out.splitlines() if line.startswith("---")]
    assert titles == ["--- 1 of 3 ---", "--- 2 of 3 ---", "--- 3 of 3 ---"]
    code, out, err = call("generate", labelled, "--label", "ja", "-n", 7)
    assert (code, err) == (0, "")
    assert len(out.splitlines()) == 7  # a name a line


def test_a_prompt_may_come_from_a_pipe(call, verse, stdin):
    for typed in ("Kamoto\n", "Kamoto", "Kamoto\r\n"):
        stdin(typed)
        code, out, _ = call("generate", verse, "-p", "-", "--seed", 1)
        assert (code, out) == call("generate", verse, "-p", "Kamoto", "--seed", 1)[:2]
    stdin("a\nb\n")
    assert call("generate", verse, "-p", "-", "--max-new-tokens", 1)[1].startswith("a\nb")
    stdin("")
    assert call("generate", verse, "-p", "-")[0] == 0


def test_unknown_characters_are_said_and_read_all_the_same(call, verse):
    code, out, err = call("generate", verse, "-p", "Zürich 日本", "--max-new-tokens", 5)
    assert code == 0
    assert err == "elman: the model has not learnt Z, ü, c, 日, 本: read as unknown\n"
    assert out.startswith("Zürich 日本")
    code, _, err = call("generate", verse, "-p", "".join(map(chr, range(0x410, 0x430))))
    assert " and 22 more: read as unknown" in err


def test_answers_go_to_a_file(call, verse, model):
    code, out, err = call("generate", verse, "-n", 3, "--seed", 1, "--out", "texts.jsonl")
    assert (code, out, err) == (0, "", "elman: saved to texts.jsonl\n")
    rows = [json.loads(line) for line in Path("texts.jsonl").read_text("utf-8").splitlines()]
    assert rows == model.generate(n=3, seed=1)
    assert "exists" in refused(call("generate", verse, "--out", "texts.jsonl"))
    assert call("generate", verse, "-o", "texts.jsonl", "-f")[0] == 0
    assert "the suffix says the format" in refused(call("generate", verse, "--out", "texts"))


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--temperature -1", "temperature is -1.0; it must be 0 or more"),
        ("--temperature hot", "'hot' is not a number"),
        ("--top-k 1.5", "'1.5' is not a whole number"),
        ("--clamp 500=1", "clamp: there is no unit 500; there are 0 to 23"),
        ("--clamp c.x=1", "clamp has 'c.x', which is no unit"),
        ("--beam 2 --seed 1", "leave out seed"),
        ("--next --beam 2", "--beam does not go with --next; leave one out"),
        ("--next -n 2", "--n does not go with --next; leave one out"),
        ("--next --interactive", "--next and --interactive exclude each other; leave one out"),
        ("--surprise --temperature 2", "--temperature does not go with --surprise"),
        ("--surprise --top 3", "--top does not go with --surprise"),
        ("--interactive --json", "--json does not go with --interactive"),
        ("--next --out x.csv", "--out does not go with --next"),
        ("--json --out x.csv", "leave out --json"),
        ("--top 3", "--top is of --next and --interactive; add one of them"),
        ("--next --top 0", "--top is 0; it must be 1 or more"),
        ("--promt x", "Unknown option: --promt. Did you mean --prompt?"),
        ("extra", "extra"),
    ],
)
def test_bad_options_are_one_sentence(call, verse, words, said):
    assert said in refused(call("generate", verse, *words.split()))


def test_only_a_language_model_writes(call, bundle_made_once):
    said = refused(call("generate", bundle_made_once))
    assert "is a model of the task classify, which writes no texts" in said
    assert "there is no model at nowhere" in refused(call("generate", "nowhere"))
    assert "MODEL is missing" in refused(call("generate"))


def test_options_are_checked_before_torch_is_imported(verse, bundle_made_once):
    commands = [
        ["generate", "--help"],
        ["history", str(verse)],
        ["generate", str(verse), "--top-k", "0"],
        ["generate", str(verse), "--next", "--beam", "2"],
        ["generate", "nowhere"],
        ["generate", str(bundle_made_once)],
    ]
    program = (
        "import sys; from elman.cli.app import run\n"
        f"codes = [run(argv) for argv in {commands!r}]\n"
        "assert codes == [0, 0, 2, 2, 2, 2], codes\n"
        "assert not {'torch', 'sklearn', 'matplotlib'} & {*sys.modules}"
    )
    subprocess.run([sys.executable, "-c", program], check=True, stdout=subprocess.DEVNULL)


# --next


def test_what_may_come_next_is_a_table(call, verse, model):
    code, out, err = call("generate", verse, "-p", "Kamo", "--next", "--top", 3)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert len(lines) == 4
    found = model.next("Kamo", top=3)
    assert re.fullmatch(r" 1  \S+ +\d+\.\d% █+", lines[0])
    for line, one in zip(lines, found, strict=False):
        assert f"{one['probability']:.1%}" in line
    assert lines[3].startswith("   all others together ")
    code, out, _ = call("generate", verse, "-p", "Kamo", "--next", "--json")
    assert json.loads(out) == {"model": str(verse), "prompt": "Kamo", "next": model.next("Kamo")}
    sharp = call("generate", verse, "-p", "Kamo", "--next", "--temperature", 0.1)[1]
    assert sharp != call("generate", verse, "-p", "Kamo", "--next")[1]


# --interactive


def test_a_person_chooses_what_comes_next(call, verse, model, stdin):
    stdin('1\n2\n  lives\n\nundo\nundo\n99\n"12"\nж\n"undo"\n\\n\nquit\nnever read\n')
    code, out, err = call("generate", verse, "-i", "-p", "Kamo", "--top", 3, "--temperature", 0)
    assert code == 0
    draft = model.draft("Kamo")
    for step in (0, 1):
        draft.take(draft.next(3)[step]["id"])
    assert out.endswith(f"\n{draft.text}12жundo\n\n")
    assert "there is no 99, only 1 to 3; in quotes it is text" in err
    assert "the model has not learnt 1, 2: read as unknown" in err
    assert "the model has not learnt ж: read as unknown" in err
    assert out.count(" 1  ") == 12
    assert f"{draft.text}  lives▏" in out


def test_enter_takes_the_most_probable_at_temperature_0(call, verse, model, stdin):
    stdin("\n" * 12)
    code, out, err = call("generate", verse, "--interactive", "--temperature", 0, "-p", "Ka")
    assert (code, err) == (0, "")
    [greedy] = model.generate("Ka", temperature=0, max_new_tokens=12)
    assert out.endswith(f"\n\nKa{greedy['text']}\n")


def test_enter_draws_as_the_seed_says(call, verse, stdin):
    said = []
    for seed in (1, 1, 2):
        stdin("\n" * 12)
        said.append(call("generate", verse, "-i", "--seed", seed))
    assert said[0] == said[1] != said[2]


@pytest.mark.parametrize(
    "typed", ["", "undo\n", "quit\n", "undo\nundo", b"\xff\xfe\n".decode("latin-1")]
)
def test_a_dialogue_ends_with_its_input(call, verse, stdin, typed):
    stdin(typed)
    code, _, err = call("generate", verse, "-i")
    assert code == 0
    assert ("nothing to take back" in err) == ("undo" in typed)


def test_after_the_end_of_a_text_there_is_only_undo(call, labelled, stdin):
    stdin("1\n\n1\nx\nundo\nquit\n")
    argv = ("-i", "--label", "ja", "-p", "kamoto", "--temperature", 0)
    code, out, err = call("generate", labelled, *argv)
    assert code == 0
    assert out.count("here the text ends") == 4
    assert err.count("the text has ended; undo goes back") == 3
    assert out.endswith("\nkamoto\n")


# --surprise


def test_surprise_is_that_of_predict(call, verse, stdin):
    code, out, err = call("predict", verse, "Kamoto lives in Bern.", "--surprise")
    assert (code, err) == (0, "")
    assert call("generate", verse, "--surprise", "-p", "Kamoto lives in Bern.")[1] == out
    stdin("Kamoto lives in Bern.\n")
    assert call("generate", verse, "--surprise")[1] == out
    code, out, _ = call("generate", verse, "--surprise", "-p", "Kamoto", "--json")
    [row] = json.loads(out)
    assert row == elman.load(verse).answer(["Kamoto"], surprise=True)[0]
    assert [one["token"] for one in row["surprise"]] == [*"Kamoto"]
    assert sum(one["nats"] for one in row["surprise"]) == pytest.approx(-row["log_probability"])


def test_without_colours_digits_stand_below_the_tokens(call, verse):
    text = "Kamoto lives in Oslo.\nXylo 日 sings."
    code, out, err = call("predict", verse, text, "--surprise")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[1] == "Kamoto lives in Oslo.↵"
    assert lines[3] == "Xylo 日 sings."
    surprises = elman.load(verse).answer([text], surprise=True)[0]["surprise"]
    shown = ""
    for one in surprises:
        width = 2 if one["token"] == "日" else 1
        digits = f"{one['nats'] / math.log(2):.0f}"
        room = width if one is not surprises[-1] else 9
        shown += (digits if len(digits) <= room else "+").ljust(width)
    assert lines[2] + lines[4] == shown
    assert lines[-1].startswith("most surprising: ")
    assert not {*"\x1b\r"} & {*out}


def test_words_have_their_bits_below_their_beginning(tmp_path, call):
    folder = trained(tmp_path, "words", VERSE, tokens="words", epochs=3)
    code, out, _ = call("predict", folder, "Kamoto lives in Xanadu.", "--surprise")
    assert code == 0
    _, text, digits, *_ = out.splitlines()
    for place in (0, text.index("lives"), text.index("Xanadu")):
        assert digits[place].isdigit()
        assert place == 0 or digits[place - 1] == " "


def test_a_character_of_several_bytes_has_one_surprise(russian):
    model = elman.load(russian)
    text = "Пока 🙂 свет"
    [row] = model.answer([text], surprise=True)
    assert "".join(one["token"] for one in row["surprise"]) == text
    assert sum(one["nats"] for one in row["surprise"]) == pytest.approx(
        -row["log_probability"], rel=1e-5
    )
    assert len(row["surprise"]) <= row["tokens"]


def test_a_terminal_has_colours(verse):
    leader, follower = pty.openpty()
    argv = [
        sys.executable,
        "-m",
        "elman",
        "predict",
        str(verse),
        "Kamoto [b] Xx\x1b[31m",
        "--surprise",
    ]
    environment = {**os.environ, "TERM": "xterm-256color", "COLUMNS": "60"}
    environment.pop("NO_COLOR", None)
    subprocess.run(argv, stdout=follower, stderr=follower, env=environment, check=True)
    os.close(follower)
    said = _all_of(leader)
    assert "\x1b[1;31m" in said  # the surprising ones
    assert "\x1b[31m" not in said  # what is in the text drives no terminal
    bare = re.sub(r"\x1b\[[\d;]*m", "", said)
    assert "Kamoto [b] Xx\\x1b[31m" in bare
    assert "bits:  under 3  3 to 5  5 to 8  8 on" in bare


def _all_of(leader: int) -> str:
    parts = []
    while True:
        try:
            part = os.read(leader, 1 << 16)
        except OSError:
            break
        if not part:
            break
        parts.append(part)
    os.close(leader)
    return b"".join(parts).decode()


def test_a_page_of_html_needs_nothing_else(call, verse):
    code, out, err = call(
        "predict", verse, "Kamoto <b> & \n ж", "Kamo", "--surprise", "--format", "html"
    )
    assert (code, err) == (0, "")
    assert out.startswith("<!DOCTYPE html>")
    assert out.endswith("</html>\n")
    assert "&lt;" in out
    assert "<b>" not in out
    assert out.count("<span title=") == len("Kamoto <b> & \n ж") + 4
    assert not re.search(r"https?://|<script|<link", out)
    code, out, _ = call("predict", verse, "Kamoto", "--format", "html")
    assert (code, out.count("<span"), out.count("<p>")) == (0, 0, 1)


# A terminal, pipes and Ctrl-C


def test_it_writes_as_it_comes_and_ctrl_c_leaves_what_was_written(verse):
    argv = [sys.executable, "-m", "elman", "generate", str(verse), "-p", "Kamoto"]
    process = subprocess.Popen(
        [*argv, "--max-new-tokens", "100000000"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    first = process.stdout.read(500)
    process.send_signal(signal.SIGINT)
    rest, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, b"elman: stopped\n")
    assert first.startswith(b"Kamoto")
    assert rest.endswith(b"\n")


def test_ctrl_c_leaves_what_several_texts_have(call, verse, monkeypatch):
    from elman.tasks.generate.writing import Spoken

    add, count = Spoken.add, [0]

    def press(self, token):
        count[0] += 1
        if count[0] > 100:
            raise KeyboardInterrupt
        return add(self, token)

    monkeypatch.setattr(Spoken, "add", press)
    code, out, err = call("generate", verse, "-n", 2, "-p", "K")
    assert (code, err) == (130, "elman: stopped\n")
    assert out.count("K") >= 2
    assert 80 < len(out) < 200


def test_a_reader_that_has_gone_is_no_failure(verse):
    command = f"{sys.executable} -m elman generate {verse} --max-new-tokens 100000000 | head -c 100"
    ran = subprocess.run(command, shell=True, capture_output=True, timeout=120)
    assert (ran.returncode, ran.stderr, len(ran.stdout)) == (0, b"", 100)


def test_a_terminal_shows_the_prompt_and_no_escapes_of_a_text(tmp_path):
    folder = trained(tmp_path, "odd", "red\u202e text\n" * 60, epochs=20)
    leader, follower = pty.openpty()
    argv = [sys.executable, "-m", "elman", "generate", str(folder), "-p", "\x1b[31m", "--seed", "1"]
    environment = {**os.environ, "TERM": "xterm-256color"}
    subprocess.run(argv, stdout=follower, stderr=follower, env=environment, check=True)
    os.close(follower)
    said = _all_of(leader)
    assert "\r\n\x1b[1m\\x1b[31m\x1b[0m" in said
    assert said.count("\x1b") == 2
    assert "\\u202e" in said
    piped = subprocess.run(argv, capture_output=True, check=True).stdout.decode()
    assert piped.startswith("\x1b[31m")  # elsewhere it is what was written
    assert "\\x1b" not in piped


# elman history


def test_the_history_shows_what_it_wrote_on_the_way(call, verse):
    code, out, err = call("history", verse)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].split() == [
        *("epoch", "loss", "nats", "bits", "perplexity", "learning", "rate", "updates", "seconds")
    ]
    assert [int(line.split()[0]) for line in lines[1:13]] == [*range(1, 13)]
    assert sum(line.endswith("kept") for line in lines) == 1
    code, text, err = call("history", verse, "--json")
    found = json.loads(text)
    assert (code, err, found["model"]) == (0, "", str(verse))
    assert [one["epoch"] for one in found["epochs"]] == [*range(1, 13)]
    samples = {k: v for one in found["epochs"] for k, v in one["samples"].items()}
    assert list(samples)[:2] == ["100", "300"]
    for updates, sample in samples.items():
        at = lines.index(f"after {updates} updates:")
        assert lines[at + 1].strip() in {line.strip() for line in sample.splitlines()}
    code, out, err = call("history", verse, "--out", "epochs.csv")
    assert (code, out, err) == (0, "Epochs: epochs.csv\n", "")
    head, *rows = Path("epochs.csv").read_text().splitlines()
    assert head.startswith("epoch,loss,score,best,")
    assert head.endswith(",nats,bits,perplexity")
    assert len(rows) == 12


def test_any_model_has_a_history(call, bundle_made_once, model_folder):
    code, out, err = call("history", bundle_made_once)
    assert (code, err) == (0, "")
    assert out.splitlines()[0].startswith("epoch   loss  valid")
    assert "after " not in out
    (model_folder / "history.jsonl").write_text("{}\n")
    assert "history.jsonl is damaged" in refused(call("history", model_folder))
    (model_folder / "history.jsonl").unlink()
    assert "has no history.jsonl" in refused(call("history", model_folder))
    assert "there is no model at nowhere" in refused(call("history", "nowhere"))


def test_a_training_shows_its_samples(call):
    Path("verse.txt").write_text(VERSE)
    words = [
        w for k, v in (OPTIONS | {"epochs": 6}).items() for w in (f"--{k.replace('_', '-')}", v)
    ]
    code, out, err = call("train", "verse.txt", "--task", "generate", "--out", "m", *words)
    assert code == 0
    lines = err.splitlines()
    at = lines.index("after 100 updates:")
    history = [json.loads(line) for line in Path("m/history.jsonl").read_text().splitlines()]
    [sample] = [one["samples"]["100"] for one in history if "100" in one["samples"]]
    shown = [line for line in sample.splitlines() if line.strip()]
    assert lines[at + 1] == f"    {shown[0].rstrip()}"
    assert "Try: elman generate m" in out
    assert re.search(r"^Test: \d+ tokens$", out, re.MULTILINE)


def test_a_history_says_in_short_that_there_are_samples(verse):
    history = History(elman.training.history.read(verse))
    assert len(repr(history).splitlines()) < 25
    assert "after 300 updates" in repr(history)
    assert [*history.samples] == [100, 300]
