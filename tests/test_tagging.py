"""The tagger: from files to tags, spans and probabilities that mean something."""

import csv
import io
import itertools
import json
from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch

import elman
import tiny
from elman.cli.app import run
from elman.data.tagged import of_lists
from elman.errors import ConfigError, DataError, InputError
from elman.tasks.tag import card, decoding, pages, task
from elman.tasks.tag.baselines import linear_chain
from elman.tasks.tag.decoding import Types, without_overlap
from elman.tasks.tag.forms import FormEncoder, key, shape
from elman.tasks.tag.learner import prepare
from elman.tasks.tag.options import TagOptions, settle
from elman.tasks.tag.predictor import TaggerModel
from elman.tasks.tag.resampling import resampled
from elman.text.tag_schemes import BIOES, IOB2, spans

POS = "".join(
    f"# a comment\n1\t{name.title()}\t_\tPROPN\t_\t_\t_\t_\t_\t_\n"
    f"2\t{verb}\t_\tVERB\t_\t_\t_\t_\t_\t_\n\n"
    for name, verb in zip(tiny.NAMES, itertools.cycle(["lives", "sings", "works"]), strict=False)
)


@pytest.fixture(autouse=True)
def _here(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")


@pytest.fixture
def call(capsys):
    def call(*argv):
        code = run([str(word) for word in argv])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def train(content=tiny.TAGGED, name="names.conll", **options):
    Path(name).write_text(content, encoding="utf-8")
    return elman.train(name, task="tag", **{**tiny.TAG_OPTIONS, **options})


@pytest.fixture(scope="module", params=["crf", "softmax"])
def spanner(request, tmp_path_factory):
    """A model of names and places, of either decoder."""
    place = tmp_path_factory.mktemp("names") / "names.conll"
    place.write_text(tiny.TAGGED, encoding="utf-8")
    options = {**tiny.TAG_OPTIONS, "epochs": 12, "decoder": request.param}
    return elman.train(place, task="tag", **options).model


# -------------------------------------------------------------------------------------------------
# Words in numbers


def test_what_words_are_looked_up_by_and_look_like():
    assert [key(word) for word in ("Bern", "3,5", "2024", "ЁЖ")] == ["bern", "0,0", "0000", "ёж"]
    shapes = ["Xxx", "XX", "00-x", "X.X.", "xXxx"]
    assert [shape(w) for w in ("Bern", "NATO", "2024-x", "U.S.", "iPhone")] == shapes


def test_signs_that_mean_the_same_are_read_alike():
    encoder = FormEncoder.fit([['"', "-", "'"]], min_count=1, spellings=8)
    for word in ("``", "&#39;&#39;", "«", "“", "&quot;", "–", "’"):
        assert encoder.knows(word), word


def test_one_long_address_costs_no_more_than_its_ends():
    encoder = FormEncoder.fit([["a"]], min_count=1, spellings=8)
    forms = encoder.forms(["https://" + "a" * 100_000, "a", ""])
    assert forms.lengths.tolist() == [40, 1, 1]


# -------------------------------------------------------------------------------------------------
# Spans


def brute_force(model, words):
    """Every sequence of tags with its probability."""
    sentences = model.encoder.encode([words])
    [(_, packed)] = decoding.scored(model.module, sentences)
    crf, scores = model.module.crf, packed.data.double() / model.config.temperature
    moves, start, end = (
        (one.detach().double() / model.config.temperature).masked_fill(~mask, -torch.inf)
        for one, mask in (
            (crf.transitions, crf.allowed),
            (crf.start, crf.starts),
            (crf.end, crf.ends),
        )
    )
    found = {}
    for tags in itertools.product(range(len(model.tags)), repeat=len(words)):
        total = start[tags[0]] + end[tags[-1]]
        total = total + sum(scores[i, tag] for i, tag in enumerate(tags))
        total = total + sum(moves[a, b] for a, b in itertools.pairwise(tags))
        if total > -torch.inf:
            found[tuple(model.tags[k] for k in tags)] = float(total)
    values = torch.tensor(list(found.values()), dtype=torch.float64).softmax(0)
    return dict(zip(found, values.tolist(), strict=True))


def test_probabilities_of_spans_are_sums_over_all_sequences(spanner):
    words = ["Kamoto", "in", "Bern"]
    every = brute_force(spanner, words)
    assert sum(every.values()) == pytest.approx(1)
    sums = {}
    for tags, chance in every.items():
        for span in spans(tags, BIOES):
            sums[span] = sums.get(span, 0) + chance
    types = Types.of(spanner.tags)
    sentences = spanner.encoder.encode([words])
    temperature = spanner.config.temperature
    [some] = decoding.beliefs(spanner.module, sentences, temperature=temperature)
    wanted, chances = decoding.candidates(some, types, np.full(len(types.names), 1e-6), 3)
    found = {
        (start, start + size, types.names[kind]): chance
        for (_, start, size, kind), chance in zip(wanted.tolist(), chances, strict=True)
    }
    expected = {span: chance for span, chance in sums.items() if chance >= 1e-5}
    assert expected
    for span, chance in expected.items():
        assert found[span] == pytest.approx(chance, rel=1e-3)


def test_the_best_sequences_are_the_likeliest_of_all(spanner):
    every = brute_force(spanner, ["Kamoto", "in", "Bern"])
    best = sorted(every.items(), key=lambda item: -item[1])[:4]
    [row] = spanner.answer([["Kamoto", "in", "Bern"]], nbest=4)
    [found] = row["nbest"]
    assert [one["probability"] for one in found] == pytest.approx([p for _, p in best], rel=1e-3)
    assert [spans(one["tags"], IOB2) for one in found] == [spans(tags, BIOES) for tags, _ in best]


def test_answers_have_the_places_of_the_text_as_it_was_given(spanner):
    texts = [
        "Kamoto  lives in\n\nBern .",
        "\u2068Kamoto\u2069 👩‍👩‍👧 lives\tin Bern!!",
        "",
        "   ",
        "ёж\r\nКамото",
        "&&& \udc80 x",
        "Kamoto lives in Bern. Mimura works in Oslo.",
    ]
    rows = spanner.answer(texts)
    assert json.dumps(rows)
    for text, row in zip(texts, rows, strict=True):
        assert row["text"] == text
        for one in (*row["tokens"], *row["entities"]):
            assert one["text"] == text[one["start"] : one["end"]]
            assert 0 <= one["probability"] <= 1
    assert [token["sentence"] for token in rows[-1]["tokens"]] == [0] * 5 + [1] * 5
    assert rows[2]["tokens"] == rows[3]["tokens"] == []


def test_one_text_alone_and_among_others_is_answered_alike(spanner):
    texts = [f"{name.title()} lives in Bern." for name in tiny.NAMES] + ["a " * 300]
    together = spanner.answer(texts)
    for i in (0, 9, len(texts) - 1):
        [alone] = spanner.answer([texts[i]])
        assert [t["tag"] for t in alone["tokens"]] == [t["tag"] for t in together[i]["tokens"]]
        assert [t["probability"] for t in alone["tokens"]] == pytest.approx(
            [t["probability"] for t in together[i]["tokens"]], abs=1e-4
        )


def test_a_threshold_answers_what_is_probable_enough(spanner):
    words = ["Kamoto", "lives", "in", "Bern", "."]
    [usual], [all_], [none] = (spanner.answer([words], threshold=t) for t in (None, 0.0, 1.0))
    assert len(all_["entities"]) >= len(usual["entities"])
    assert none["entities"] == []
    chosen = [e for e in all_["entities"] if "overlaps" not in e]
    assert len(chosen) < len(all_["entities"])
    covered = [set(range(e["start"], e["end"])) for e in chosen]
    assert sum(map(len, covered)) == len(set().union(*covered))
    assert {t["tag"] for t in none["tokens"]} == {"O"}


def test_a_threshold_suits_texts_shorter_than_the_longest_span(spanner):
    config = msgspec.structs.replace(spanner.config, longest=9)
    model = TaggerModel(spanner.module, spanner.encoder, config)
    rows = [model.answer([text], threshold=0.0)[0] for text in ("Kamoto lives", "Bern")]
    assert [len(row["tokens"]) for row in rows] == [2, 1]
    assert {e["text"] for e in rows[1]["entities"]} == {"Bern"}


def test_recall_finds_that_share_of_the_validation_part():
    trained = train(epochs=2)  # hardly knows anything yet
    model, valid = trained.model, trained.split.valid
    few, most = (model.evaluate(valid, recall=r) for r in (0.5, 1.0))
    assert most.recall >= few.recall
    assert most.recall == 1
    assert few.recall >= 0.5
    with pytest.raises(ConfigError, match="threshold and recall both say"):
        model.answer(["a"], recall=0.5, threshold=0.5)
    with pytest.raises(ConfigError, match="threshold and recall both say"):
        model.evaluate(valid, recall=0.5, threshold=0.5)


def test_of_overlapping_spans_the_likeliest_stay():
    wanted = np.array([[0, 0, 2, 0], [0, 1, 1, 1], [0, 2, 1, 0], [1, 0, 1, 0]])
    kept = without_overlap(wanted, np.array([0.4, 0.5, 0.1, 0.2]))
    assert kept.tolist() == [1, 2, 3]


# -------------------------------------------------------------------------------------------------
# A tag a word


def test_parts_of_speech_are_read_and_answered(call):
    Path("names.conllu").write_text(POS, encoding="utf-8")
    options = {**tiny.TAG_OPTIONS, "epochs": 8}
    words = [w for k, v in options.items() for w in (f"--{k.replace('_', '-')}", v)]
    code, out, err = call("train", "names.conllu", "--out", "model", *words)
    assert code == 0, err
    assert "usual tag of each word" in out
    code, out, _ = call("predict", "model", "Kamoto sings")
    assert (code, out) == (0, "Kamoto/PROPN sings/VERB\n")
    code, out, _ = call("predict", "model", "Kamoto sings.\n(Bern)!")
    assert [word.partition("/")[0] for word in out.split()] == [
        *["Kamoto", "sings", ".", "(", "Bern", ")", "!"]
    ]
    code, out, _ = call("predict", "model", "names.conllu", "--format", "conll")
    assert (code, out.split("\n")[:3]) == (0, ["Kamoto\tPROPN", "lives\tVERB", ""])
    [row] = elman.load("model").answer(["Kamoto sings qqq"])
    sure = sorted(t["probability"] for t in row["tokens"])
    [some] = elman.load("model").answer(["Kamoto sings qqq"], threshold=sure[1])
    assert sum(t["tag"] == "_" for t in some["tokens"]) == sum(p < sure[1] for p in sure)
    code, _, err = call("predict", "model", "a", "--recall", 0.9)
    assert (code, err.count("\n")) == (2, 1)
    assert "recall is for spans, and this model gives each word a tag" in err


def test_the_tagger_of_the_lecture_is_one_command(call):
    Path("names.conllu").write_text(POS, encoding="utf-8")
    code, _, err = call(
        *("train", "names.conllu", "--out", "model", "--encoder", "words", "--no-bidirectional"),
        *("--decoder", "softmax", "--epochs", 2, "--hidden-size", 8),
    )
    assert code == 0, err
    module = elman.load("model").module
    assert module.characters is module.shapes is module.subwords is None
    assert not module.recurrent.bidirectional


@pytest.mark.parametrize("encoder", ["convolution", "words"])
def test_every_encoder_learns(encoder):
    more = {"character_size": None, "subwords": None} if encoder == "words" else {}
    history = train(encoder=encoder, **more).history
    assert history[-1].loss < history[0].loss


def test_unknown_tags_are_neither_learnt_nor_judged():
    tokens = [[name, "sings", "."] for name in tiny.NAMES]
    tags = [["X", None, "Z"] for _ in tokens]
    tagger = elman.SequenceTagger(**{**tiny.TAG_OPTIONS, "epochs": 4}).fit(tokens, tags)
    assert tagger.model_.tags == ("X", "Z")
    scores = tagger.model_.evaluate(of_lists(tokens, tags))
    assert scores.tokens == 2 * len(tokens)
    crf = elman.SequenceTagger(**{**tiny.TAG_OPTIONS, "epochs": 4, "decoder": "crf"})
    assert np.isfinite(crf.fit(tokens, tags).history_[-1].loss)


def test_a_tagger_in_the_manner_of_scikit_learn():
    tokens = [[name.title(), "sings"] for name in tiny.NAMES]
    tags = [["PROPN", "VERB"] for _ in tokens]
    tagger = elman.SequenceTagger(**{**tiny.TAG_OPTIONS, "epochs": 8}, random_state=3)
    assert tagger.get_params()["random_state"] == 3
    assert tagger.fit(tokens, tags) is tagger
    assert tagger.predict([["Kamoto", "sings"], []]) == [["PROPN", "VERB"], []]
    assert tagger.score(tokens, tags) == 1
    assert sorted(tagger.classes_) == ["PROPN", "VERB"]
    for wrong in ("Kamoto sings", ["Kamoto sings"], [[1]]):
        with pytest.raises(InputError, match=r"give a list of|no string"):
            tagger.predict(wrong)


@pytest.mark.parametrize(
    ("sentences", "tags", "said"),
    [
        (["a b"], [["X"]], "the words of sentence 1 are 'a b'; give a list"),
        ([["a"], ["b"]], [["X"], "X"], "the tags of sentence 2 are 'X'; give a list"),
        ([["a"], None], [["X"], ["Y"]], "the words of sentence 2 are None; give a list"),
        ([["a", " "]], [["X", "Y"]], "sentence 1: token 2 is empty; leave it out, and its tag"),
        ([["a", "b"]], [["X"]], "sentence 1 has 2 tokens and 1 tag; give each token one tag"),
    ],
)
def test_lists_that_cannot_be_learnt_are_refused_in_words_of_python(sentences, tags, said):
    with pytest.raises(DataError, match=said) as caught:
        elman.SequenceTagger().fit(sentences, tags)
    assert "--" not in str(caught.value)


# -------------------------------------------------------------------------------------------------
# Files and pages


def test_spans_are_shown_and_written(call):
    train(epochs=12, out="model")
    code, out, _ = call("predict", "model", "Kamoto lives in Bern.")
    assert code == 0
    assert out.startswith("Kamoto/PER")
    code, out, _ = call("predict", "model", "Kamoto lives in Bern. So.", "--nbest", 2)
    assert code == 0
    assert [line[:4] for line in out.splitlines()[1:]] == ["  1.", "  2.", "  1.", "  2."]
    for format in ("csv", "conll", "conllu", "html"):
        code, _, err = call("predict", "model", "Kamoto.", "--nbest", 2, "--format", format)
        assert (code, err.count("\n")) == (2, 1)
        assert "--nbest cannot be shown" in err
    code, _, err = call("predict", "model", "nowhere.conllu")
    assert (code, err.count("\n")) == (2, 1)
    code, out, _ = call("predict", "model", "<b>&Kamoto lives in Bern.", "--format", "html")
    assert code == 0
    assert out.startswith("<!DOCTYPE html>")
    assert "&lt;" in out
    assert "<b>&" not in out
    assert 'class="k' in out
    code, out, _ = call("predict", "model", "Kamoto lives in Bern .", "--pretokenized", "--json")
    assert [t["text"] for t in json.loads(out)[0]["tokens"]] == [
        "Kamoto",
        "lives",
        "in",
        "Bern",
        ".",
    ]
    code, out, _ = call("predict", "model", "names.conll", "--format", "jsonl")
    rows = [json.loads(line) for line in out.splitlines()]
    assert len(rows) == 20
    assert rows[0]["tokens"] == rows[0]["text"].split(" ")
    assert len(rows[0]["tags"]) == len(rows[0]["tokens"])
    for row in rows:
        for one in row["entities"]:
            assert row["text"][one["start"] : one["end"]] == one["text"]
    code, out, _ = call("predict", "model", "names.conll", "--format", "csv")
    table = [*csv.DictReader(out.splitlines())]
    assert json.loads(table[0]["tokens"]) == rows[0]["tokens"]
    code, out, _ = call("evaluate", "model", "names.conll", "--json")
    assert {"accuracy", "precision", "recall", "f1", "calibration_error"} <= {*json.loads(out)}
    card = Path("model/README.md").read_text(encoding="utf-8")
    assert "conditional random field" in card
    assert Path("model/reliability.png").read_bytes().startswith(b"\x89PNG")


CONLLU = (
    "# newdoc\n\n# text = Kamoto sings\r\n1-2\tKamotosings\t_\t_\t_\t_\t_\t_\t_\tSpaceAfter=No\n"
    "1\tKamoto\tkamoto\tX\tNNP\tCase=Nom\t2\tnsubj\t_\t_\r\n"
    "2\tsings\t_\tX\t_\t_\t_\t_\t_\t\u00a0\n2.1\tand\t_\tX\t_\t_\t_\t_\t_\t_\n\n \n"
)


def test_tags_are_written_into_conllu_and_nothing_else_changes(call):
    train(POS, "names.conllu", epochs=8, out="model")
    Path("in.conllu").write_bytes(CONLLU.encode())
    wanted = CONLLU.replace("kamoto\tX", "kamoto\tPROPN").replace("sings\t_\tX", "sings\t_\tVERB")
    code, _, err = call("predict", "model", "in.conllu", "--out", "out.conllu")
    assert (code, err.splitlines()[-1]) == (0, "elman: saved to out.conllu")
    assert Path("out.conllu").read_bytes() == wanted.encode()
    code, out, _ = call("predict", "model", "in.conllu", "names.conllu", "--format", "conllu")
    assert (code, out) == (0, wanted + "\n\n" + POS)
    code, out, _ = call("predict", "model", "Kamoto  sings", "--format", "conllu")
    assert (code, out) == (
        0,
        "# text = Kamoto sings\n1\tKamoto\t_\tPROPN\t_\t_\t_\t_\t_\t_\n"
        "2\tsings\t_\tVERB\t_\t_\t_\t_\t_\t_\n\n",
    )


def test_the_format_follows_the_name_of_the_file(call):
    train(epochs=2, out="model")
    Path("texts.txt").write_text("Kamoto lives in Bern.\n")
    for name, format in (("x.conll", "conll"), ("x.HTML", "html"), ("x.jsonl", "jsonl")):
        code, out, _ = call("predict", "model", "texts.txt", "--format", format)
        assert code == 0
        code, _, err = call("predict", "model", "texts.txt", "--out", name)
        assert code == 0, err
        assert Path(name).read_text("utf-8") == out
    code, _, err = call("predict", "model", "texts.txt", "--out", "x.xml")
    assert (code, err.count("\n")) == (2, 1)
    assert "give .csv, .tsv, .jsonl, .conll, .conllu or .html" in err
    code, _, err = call("predict", "model", "texts.txt", "--out", "x.conllu")
    assert (
        code,
        err.splitlines()[-1].count("the model answers the column 2, and CoNLL-U has no"),
    ) == (2, 1)
    assert not Path("x.conllu").exists()


def test_answers_to_the_test_part_can_be_judged_again(call):
    trained = train(out="model")
    again = elman.evaluate("model", "model/test-predictions.csv")
    assert again.metrics == trained.report.test.metrics
    other = tiny.TAGGED.replace("Bern O", "Bern _")
    Path("other.conll").write_text(other, encoding="utf-8")
    for name in ("rows.jsonl", "rows.tsv"):
        code, _, err = call("evaluate", "model", "other.conll", "--out", name)
        assert code == 0, err
        scores = [elman.evaluate("model", one).metrics for one in ("other.conll", name)]
        assert scores[0] == scores[1]
    code, out, _ = call("predict", "model", "rows.tsv", "--format", "conll")
    assert (code, out.count("\n\n")) == (0, 20)


def test_a_temperature_that_makes_it_worse_is_told(spanner):
    words = ["Kamoto", "lives", "in", "Bern", "."]
    right = of_lists([words] * 3, [["B-PER", "O", "O", "B-LOC", "O"]] * 3)
    for temperature, worse in ((0.5, False), (9.0, True)):  # all is right: the surer, the better
        config = msgspec.structs.replace(spanner.config, temperature=temperature)
        scores = TaggerModel(spanner.module, spanner.encoder, config).evaluate(right)
        assert (scores.calibration_error > scores.uncalibrated.error) is worse
        said = " ".join(map(str, pages.evaluation(scores, width=100)))
        assert ("makes probabilities less honest here" in said) is worse
        assert ("makes probabilities less honest here" in card.calibration(scores)) is worse


def test_a_model_goes_on_with_the_same_tags_alone():
    first = train(epochs=2)
    own = {"epochs": 2, "init": first, "min_count": None}
    more = train(**own)
    assert more.model.tags == first.model.tags
    with pytest.raises(ConfigError, match="vectors says which vectors to start from"):
        train(**own, vectors="v.txt")
    with pytest.raises(ConfigError, match="--init is a model without the tags B-CITY"):
        train(tiny.TAGGED.replace("-LOC", "-CITY"), **own)


def test_vectors_of_a_file_are_taken():
    Path("v.txt").write_text("2 3\nbern 1 2 3\nnowhere 4 5 6\n")
    trained = train(vectors="v.txt", embedding_size=None, epochs=1)
    assert trained.model.module.config.embedding_size == 3
    assert trained.model.encoder.knows("Nowhere")
    assert any("vectors of v.txt" in note for note in trained.report.notes)
    with pytest.raises(ConfigError, match="embedding_size out, as it follows the file"):
        train(vectors="v.txt", epochs=1)


def test_very_long_and_empty_sentences(call):
    long = "".join(f"w{i} O\n" for i in range(5_000))
    trained = train(tiny.TAGGED + long + "\n", epochs=1)
    assert any("5,000 tokens" in note for note in trained.report.notes)
    [row] = trained.model.answer([["a"] * 5_000])
    assert len(row["tokens"]) == 5_000


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"encoder": "words", "subwords": 8, "character_size": 0}, "--encoder words reads words"),
        ({"decoder": "viterbi"}, "decoder is 'viterbi'; it must be one of softmax, crf"),
        ({"column": "upos"}, "column"),
        ({"drop_unlabelled": True}, "drop_unlabelled is not for the task tag; leave it out"),
        ({"multilabel": True}, "multilabel is not for the task tag; leave it out"),
        ({"lines": True}, "lines is not for the task tag; leave it out"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(options, said):
    with pytest.raises((ConfigError, DataError), match=said) as caught:
        train(**options)
    assert "\n" not in str(caught.value)


def test_a_part_of_another_kind_is_refused():
    Path("pos.conllu").write_text(POS, encoding="utf-8")
    with pytest.raises(DataError, match=r"has a tag a word, and .* has spans"):
        train(test="pos.conllu")
    model = train(epochs=1).model
    with pytest.raises(DataError, match="has a tag a word, and the model answers spans"):
        elman.evaluate(model, "pos.conllu")


def test_models_of_other_tags_are_not_compared(call):
    Path("pos.conllu").write_text(POS, encoding="utf-8")
    other = POS.replace("PROPN", "NNP").replace("VERB", "VBZ")
    for content, name in ((POS, "upos"), (other, "xpos")):
        train(content, f"{name}.conllu", epochs=1, out=name)
    code, _, err = call("compare", "--models", "upos", "xpos", "pos.conllu")
    assert (code, err.count("\n")) == (2, 1)
    assert (
        "xpos cannot be judged on the data: pos.conllu (UPOS) has other tags (PROPN, VERB) than "
        "the model, which answers NNP, VBZ (UPOS); choose another --column or model"
    ) in err
    code, _, err = call("evaluate", "xpos", "pos.conllu")
    assert (code, err.count("\n")) == (2, 1)
    assert "has other tags" in err
    few = POS.replace("VERB", "_")  # a model that lacks a tag is worse, and can be compared
    train(few, "few.conllu", epochs=1, out="few")
    code, out, _ = call("compare", "--models", "upos", "few", "pos.conllu", "--json")
    assert code == 0
    assert json.loads(out)["models"][1]["metrics"]["accuracy"] == 0.5


def test_models_of_other_types_are_not_judged(spanner):
    words = [["Kamoto", "lives"]]
    with pytest.raises(DataError, match=r"has other types of spans \(Town\) than the model"):
        spanner.evaluate(of_lists(words, [["B-Town", "O"]]))
    assert spanner.evaluate(of_lists(words, [["O", "O"]])).tokens == 2


def test_defaults_follow_the_kind_and_size_of_the_data():
    small, large = (settle(TagOptions(), count=n, spans=True) for n in (500, 15_000))
    assert (small.batch_size, large.batch_size) == (8, 32)
    assert small.epochs == 60
    assert small.decoder == "crf"
    assert settle(TagOptions(), count=500, spans=False).decoder == "softmax"


def test_tags_of_the_validation_part_alone_are_not_learnt():
    extra = "Kamoto B-PER\nlikes O\nRex B-DOG\n\n" * 3
    Path("valid.conll").write_text(tiny.TAGGED[:400].rpartition("\n\n")[0] + "\n\n" + extra)
    trained = train(valid="valid.conll", epochs=1)
    assert trained.model.types == ("LOC", "PER")


def test_a_learner_counts_loss_by_word():
    Path("names.conll").write_text(tiny.TAGGED, encoding="utf-8")
    from elman import api, tasks

    task = tasks.find("tag")
    split = api.read_split(task, "names.conll", {})
    learner = prepare(split, TagOptions(**tiny.TAG_OPTIONS))
    loss = learner.loss(np.arange(4))
    # Untrained, each sequence that BIOES allows is about as probable: fewer than nine tags a word.
    assert 0.8 < float(loss.mean.detach()) < np.log(9)
    assert loss.count == 4


def test_spans_over_unknown_tags_are_not_judged(spanner):
    words = ["Kamoto", "lives", "in", "Bern", "."]
    whole = of_lists([words] * 2, [["B-PER", "O", "O", "B-LOC", "O"]] * 2)
    gap = of_lists([words] * 2, [[None, "O", "O", "B-LOC", "O"], ["B-PER", "O", "O", "B-LOC", "O"]])
    assert spanner.predict([words]) == [["B-PER", "O", "O", "B-LOC", "O"]]
    for scores, people in ((spanner.evaluate(whole), 2), (spanner.evaluate(gap), 1)):
        assert (scores.f1, scores.precision, scores.accuracy) == (1.0, 1.0, 1.0)
        assert scores.kinds["PER"].support == scores.kinds["PER"].answered == people
        assert sum(one.count for one in scores.calibration.bins) == people + 2
    rows = [*spanner.predictions(gap)]
    assert resampled(rows, np.ones((1, 2)))["f1"] == [1.0]


def test_spans_over_unknown_tags_do_not_stop_training():
    gaps = tiny.TAGGED.replace("B-PER", "_")
    trained = train(gaps + "Ann B-PER\nsings O\n\n" * 3, epochs=6)
    assert trained.history[-1].metrics["f1"] > 0.9


def test_so_many_tags_have_no_linear_chain():
    words = [[f"w{i}", "is"] for i in range(3_500)]
    split = task.split(of_lists(words, [[word, "be"] for word, _ in words]))
    assert linear_chain(split) is None


def test_sentences_with_gaps_alone_have_no_linear_chain():
    words = [[f"w{i}", "is"] for i in range(9)]
    split = task.split(of_lists(words, [["X", None] for _ in words]))
    assert linear_chain(split) is None


@pytest.mark.parametrize("given", ["London", None])
def test_what_is_no_list_is_refused(spanner, given):
    for ask in (spanner.answer, spanner.predict):
        with pytest.raises(InputError, match=f"give a list of .*; this is {given!r}"):
            ask(given)


def test_types_with_blanks_are_counted_again():
    tags = ["B-Job Title", "I-Job Title", None]
    row = {"tags": tags, "predicted": [*tags[:2], "O"], "right": 2, "judged": 2}
    scores = resampled([row], np.ones((1, 1)))
    assert (scores["f1"], scores["accuracy"]) == (1.0, 1.0)


def test_check_names_the_column_once(call):
    Path("names.conll").write_text(tiny.TAGGED, encoding="utf-8")
    code, out, _ = call("check", "names.conll")
    assert (code, out.splitlines()[0]) == (0, "names.conll: columns; utf-8; column 2")


@pytest.mark.parametrize("content", [POS, tiny.TAGGED])
def test_tagged_sentences_on_stdin_need_the_task(call, monkeypatch, content):
    def pipe():
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content.encode())))

    for command in ("train", "check"):
        pipe()
        code, _, err = call(command, "-")
        assert (code, err) == (2, "elman: stdin holds tagged sentences; add --task tag\n")
    pipe()
    code, out, _ = call("check", "-", "--task", "tag")
    assert code == 0
    assert out.startswith("stdin: ")
