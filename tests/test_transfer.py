"""Networks that start from a language model (--from)."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import elman
import tiny
from elman.cli.app import run
from elman.errors import BundleError, ConfigError
from elman.lab import units as units_lab
from elman.tasks.classify import task
from elman.tasks.classify.options import ClassifyOptions
from elman.text.tokenizer import CodedTokenizer, load_tokenizer
from elman.text.tokenizer.reversible import fit_coder
from elman.training import optimisers, transfer
from elman.training.report import SCRATCH

SMALL = {"batch_size": 8, "label_smoothing": 0.0, "linear": "off"}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with a language model of two layers, and data."""
    folder = tmp_path_factory.mktemp("transfer")
    verse = folder / "verse.txt"
    verse.write_text(tiny.VERSE, encoding="utf-8")
    options = {**tiny.GENERATE_OPTIONS, "num_layers": 2, "epochs": 1, "learn_state": True}
    elman.train(verse, task="generate", cell="gru", out=folder / "lm", **options)
    (folder / "names.tsv").write_text(tiny.LINES, encoding="utf-8")
    return folder


@pytest.fixture
def place(made, tmp_path, monkeypatch):
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def train(**options):
    return elman.train("names.tsv", **{"from_": "lm", **SMALL, **options})


def weights(module):
    return {name: tensor.numpy().tobytes() for name, tensor in module.state_dict().items()}


def moved(network):
    """Which parts of a classifier are not those of the language model."""
    lm = transfer.read_language_model("lm").network.state_dict()
    own = network.state_dict()
    return {name for name in own if name in lm and not torch.equal(own[name], lm[name])}


class StopAt:
    """Presses Ctrl-C after the first update of an epoch."""

    def __init__(self, epoch):
        self.stop = epoch

    def on_batch(self, progress):
        if progress.epoch == self.stop:
            raise KeyboardInterrupt


# What is taken over


def test_sizes_tokenizer_and_weights_are_those_of_the_language_model(place):
    model = train(epochs=1, learning_rate=1e-30).model
    lm = elman.load("lm")
    config, theirs = model.network.config, lm.module.config
    assert config.vocab_size == theirs.vocab_size
    assert (config.embedding_size, config.hidden_size, config.num_layers) == (8, 8, 2)
    assert (config.bidirectional, config.pairs, config.subwords) == (False, 0, 0)
    assert (config.pooling, config.learn_state) == ("last+max+mean", True)
    assert model.network.output.in_features == 3 * 8
    assert model.network.recurrent.cell.name == "gru"
    assert not moved(model.network)
    assert set(lm.module.state_dict()) & set(model.network.state_dict())
    ids = lm.coder.encode("Kamoto lives")
    read = model.tokenizer.encode(["Kamoto lives", "  ", ""])
    assert read.values.tolist() == [lm.before, *ids.tolist()]
    assert read.lengths.tolist() == [len(ids) + 1, 0, 0]


def test_the_states_of_a_text_are_those_of_the_language_model(place):
    model = train(epochs=1, learning_rate=1e-30).model
    parts = transfer.read_language_model("lm")
    text = "Kamoto lives in Bern."
    ids = torch.from_numpy(model.tokenizer.encode([text]).values)
    packed = torch.nn.utils.rnn.PackedSequence(ids.long(), torch.ones(len(ids), dtype=torch.long))
    with torch.inference_mode():
        _, outputs, _ = parts.network(packed, parts.network.begin(1))
    wanted = torch.cat([outputs[-1], outputs.amax(0), outputs.mean(0)])
    np.testing.assert_allclose(model.embed([text])[0], wanted.numpy(), atol=1e-6)


@pytest.mark.parametrize("level", ["characters", "bytes", "words", "bpe"])
def test_a_classifier_starts_from_any_tokens(place, level):
    options = {k: v for k, v in tiny.GENERATE_OPTIONS.items() if k != "min_count"}
    size = {"vocab_size": 300} if level == "bpe" else {}
    elman.train("verse.txt", task="generate", tokens=level, out="other", **options, **size)
    trained = elman.train("names.tsv", from_="other", epochs=1, out="model", **SMALL)
    model = elman.load("model")
    assert model.tokenizer.level == level
    texts = ["Kamoto lives in Bern, ёж!", "e\u0301te\u0301", "\ud800 x", "", " ", "kamoto"]
    found = model.predict_proba(texts)
    assert found.tobytes() == trained.model.predict_proba(texts).tobytes()
    for text, row in zip(texts, found, strict=True):
        np.testing.assert_allclose(model.predict_proba([text])[0], row, atol=1e-6)
        steps = model.steps(text)
        assert len(steps) == len(model.tokenizer.split(text))
        if steps:
            np.testing.assert_allclose(steps[-1].probabilities, row, atol=1e-6)
    again = elman.train("names.tsv", init="model", epochs=1, learning_rate=1e-30, **SMALL)
    assert weights(again.model.module) == weights(model.module)


def test_a_coded_tokenizer_is_saved_whole():
    coder = fit_coder(lambda: [tiny.VERSE], level="words", min_count=1)
    tokenizer = CodedTokenizer(coder, before=0, max_length=3)
    read = tokenizer.encode(["Kamoto lives in Bern.", "Kamoto"])
    assert read.lengths.tolist() == [4, 2]
    assert read.truncated_rows == [0]
    again = load_tokenizer(tokenizer.to_json())
    assert again.to_json() == tokenizer.to_json()
    assert again.encode(["Kamoto lives"]).values.tolist() == read.values.tolist()[:3]


# How it learns


@pytest.mark.parametrize(
    ("epochs", "learnt"),
    [
        (1, set()),
        (2, {"recurrent.l1"}),
        (3, {"recurrent.l1", "recurrent.l0"}),
        (4, {"recurrent.l1", "recurrent.l0", "embedding", "first"}),
    ],
)
def test_one_layer_more_learns_with_each_epoch(place, epochs, learnt):
    network = train(epochs=epochs, split=(0.8, 0.0, 0.2), learning_rate=0.02).model.network
    names = {
        f"recurrent.l{name[-1]}" if name.startswith("recurrent") else name.partition(".")[0]
        for name in moved(network)
    }
    assert names == learnt


def test_a_layer_learns_slower_than_the_one_above(place):
    options = ClassifyOptions(from_="lm", **SMALL)
    learner = task.prepare(tiny.parts(), options)
    optimiser = optimisers.make(learner.model, learner.schedule)
    rates = {id(p): g["rate"] for g in optimiser.param_groups for p in g["params"]}
    model = learner.model
    found = [
        rates[id(p)]
        for p in (
            *(model.output.weight, model.output.bias),
            *(model.recurrent.weight_hh_l1, model.recurrent.weight_hh_l0),
            *(model.embedding.weight, model.first["h"]),
        )
    ]
    np.testing.assert_allclose(found, [2.6**-depth for depth in (0, 0, 1, 2, 3, 3)])
    assert {id(p) for p in model.parameters()} == {*rates}


def test_the_seed_repeats_and_another_does_not(place):
    one, same, other = (weights(train(epochs=3, seed=seed).model.module) for seed in (1, 1, 2))
    assert one == same
    assert one != other


@pytest.mark.parametrize("epoch", [2, 3, 4])
def test_a_resumed_run_ends_as_an_unbroken_one(place, epoch):
    whole = train(epochs=5, out="whole")
    train(epochs=5, out="broken", callbacks=[StopAt(epoch)])
    resumed = train(epochs=5, out="broken", resume=True, force=True)
    assert weights(resumed.model.module) == weights(whole.model.module)
    assert [e.loss for e in resumed.history] == [e.loss for e in whole.history]


def test_a_run_is_not_resumed_from_another_language_model(place):
    train(epochs=5, out="broken", callbacks=[StopAt(2)])
    options = {**tiny.GENERATE_OPTIONS, "num_layers": 2, "epochs": 1, "seed": 7}
    options |= {"learn_state": True, "cell": "gru"}
    elman.train("verse.txt", task="generate", out="lm", force=True, **options)
    with pytest.raises(ConfigError, match="the stopped run had a hash of --from"):
        train(epochs=5, out="broken", resume=True, force=True)


# What is told and kept


def test_a_bundle_needs_the_language_model_no_more(place):
    trained = train(epochs=2, linear="on", out="model")
    shutil.rmtree("lm")
    model = elman.load("model")
    texts = ["kamoto", "bauer", "", "ёж"]
    assert model.answer(texts) == trained.model.answer(texts)
    again = elman.train("names.tsv", init="model", epochs=1, learning_rate=1e-30)
    assert weights(again.model.network) == weights(model.network)


def test_the_report_says_how_much_it_helped(place, capsys):
    command = ["train", "names.tsv", "--from", "lm", "--epochs", "2", "--out", "model", "-b", "8"]
    assert run(command) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert SCRATCH in said
    assert "started from the language model the network alone has accuracy" in said
    report = json.loads(Path("model/metrics.json").read_bytes())
    names = [one["name"] for one in report["baselines"]]
    assert names[1:] == ["the network alone", "n-grams + logistic", SCRATCH]
    assert any(
        note.startswith("starts from the language model lm (gru") for note in report["notes"]
    )
    assert 'from = "lm"' in Path("model/train.toml").read_text()
    assert "started from the language model" in Path("model/README.md").read_text()
    assert run(["train", "--config", "model/train.toml", "--out", "again", "--quiet"]) == 0
    assert weights(elman.load("again").module) == weights(elman.load("model").module)


def test_from_scratch_is_the_same_network_with_fresh_weights(place):
    fresh = task.prepare(tiny.parts(), ClassifyOptions(from_="lm", **SMALL))
    from elman.tasks.classify.learner import prepare

    scratch = prepare(tiny.parts(), ClassifyOptions(from_="lm", **SMALL), fresh=True)
    assert scratch.model.config == msgspec_replaced(fresh.model.config, scratch.model.config)
    assert all(p.requires_grad for p in scratch.model.parameters())
    assert not hasattr(scratch.model.embedding.weight, "rate")
    lm = transfer.read_language_model("lm").network
    assert not torch.equal(scratch.model.embedding.weight, lm.embedding.weight)


def msgspec_replaced(config, other):
    """The config with what may differ, its dropouts."""
    import msgspec

    names = ("dropout", "embedding_dropout", "token_dropout")
    return msgspec.structs.replace(config, **{name: getattr(other, name) for name in names})


def test_several_seeds_folds_and_a_last_fit_start_from_it(place):
    several = train(epochs=1, seeds=2)
    assert len(several.model.module.networks) == 2
    assert [one.name for one in several.report.baselines].count(SCRATCH) == 1
    folds = train(epochs=1, folds=2, final=True)
    assert [one.name for one in folds.report.baselines].count(SCRATCH) == 1
    assert folds.model.network.config.num_layers == 2


# Bad input


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"from_": "nowhere"}, "there is no model at nowhere"),
        ({"from_": "names.tsv"}, "names.tsv is not a model that Elman wrote"),
        ({"from_": 3}, "from_ is 3; it must be text"),
        (
            {"hidden_size": 9},
            "--from is a model with hidden_size 8, not 9; leave out --hidden-size",
        ),
        ({"num_layers": 1}, "--from is a model with num_layers 2, not 1; leave out --num-layers"),
        ({"cell": "lstm"}, "--from is a model with cell gru, not lstm; leave out --cell"),
        ({"tokens": "words"}, "--from is a model with tokens characters, not words"),
        ({"min_count": 1}, "--min-count is decided by the model that --from names; leave it out"),
        ({"bidirectional": True}, "--from is a model with bidirectional False, not True"),
        ({"pairs": 5}, "--from is a model with pairs 0, not 5; leave out --pairs"),
        ({"init": "lm", "task": "classify"}, "--init and --from both name a model to start from"),
        ({"vectors": "v.txt"}, "vectors says which vectors to start from, and so does from"),
        (
            {"model": "ngrams", "linear": "on"},
            "from is for the network, which model ngrams has not",
        ),
    ],
)
def test_what_cannot_be_is_refused(place, options, said):
    with pytest.raises((ConfigError, BundleError), match=said):
        train(epochs=1, **options)


def test_a_model_that_is_no_language_model_is_refused(place):
    tiny.train("names.tsv", out="classifier")
    with pytest.raises(
        ConfigError, match="classifier is a model of the task classify, no language"
    ):
        train(from_="classifier")
    Path("labelled.csv").write_text("text,label\n" + tiny.LINES.replace("\t", ","))
    options = {"task": "generate", "label_column": "label", **tiny.GENERATE_OPTIONS}
    elman.train("labelled.csv", out="conditional", **options)
    with pytest.raises(
        ConfigError, match="conditional is a language model that reads a label with"
    ):
        train(from_="conditional")
    coder = Path("lm/tokenizer.json")
    coder.write_bytes(coder.read_bytes().replace(b"a", b"b"))
    with pytest.raises(BundleError, match=r"tokenizer\.json is damaged or of another model"):
        train()


def test_the_command_line_says_it_in_one_sentence(place, capsys):
    for flags, said in (
        (["--from", "nowhere"], "there is no model at nowhere"),
        (["--from", "lm", "--cell", "lstm"], "--from is a model with cell gru, not lstm"),
        (["--from", "lm", "--init", "lm"], "--init and --from both name a model"),
    ):
        assert run(["train", "names.tsv", *flags]) == 2
        err = capsys.readouterr().err
        assert said in err
        assert err.count("\n") == 1


def test_compare_trains_from_scratch_alone(place, capsys):
    with pytest.raises(ConfigError, match="compare trains every cell from scratch"):
        elman.compare("names.tsv", from_="lm", cells="gru,lstm")
    train(epochs=1, out="model")
    command = ["compare", "--config", "model/train.toml", "--cells", "gru,lstm", "--seeds", "1"]
    assert run([*command, "--quiet"]) == 0, capsys.readouterr().err


def test_the_estimator_starts_from_a_language_model(place):
    model = elman.TextClassifier(from_="lm", epochs=1, linear="off").fit(tiny.NAMES, tiny.LABELS)
    assert model.model_.network.recurrent.cell.name == "gru"
    with pytest.raises(ConfigError, match="--from is a model with hidden_size 8, not 9"):
        elman.TextClassifier(from_="lm", hidden_size=9).fit(tiny.NAMES, tiny.LABELS)


# Language models that read backwards


def written(name, lines):
    Path(name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


@pytest.mark.parametrize("lines", [False, True])
def test_a_reversed_model_is_one_of_the_reversed_text(place, lines):
    """The line end before the first character is before the last one, too."""
    parts = {"train": slice(12), "valid": slice(12, 16), "test": slice(16, 20)}
    sentences = tiny.VERSE.splitlines()
    for name, rows in parts.items():
        written(f"{name}.txt", sentences[rows])
        turned = [line[::-1] for line in sentences[rows]]
        if lines:
            written(f"{name}-turned.txt", turned)
        else:  # the whole text, whose last line end comes first
            Path(f"{name}-turned.txt").write_text("\n" + "\n".join(turned[::-1]))
    models, options = [], {"lines": lines, **tiny.GENERATE_OPTIONS}
    for more, turned in (({"reverse": True}, ""), ({}, "-turned")):
        files = {name: f"{name}{turned}.txt" for name in ("valid", "test")}
        trained = elman.train(
            f"train{turned}.txt", task="generate", **files, **options, **more, progress=False
        )
        models.append(trained)
    one, other = models
    assert weights(one.model.module) == weights(other.model.module)
    assert one.report.test.nats == pytest.approx(other.report.test.nats, abs=1e-6)
    own, theirs = ([b.test.nats for b in trained.report.baselines] for trained in models)
    np.testing.assert_allclose(own, theirs, rtol=1e-6)
    text = "Kamoto lives"
    [row], [turned] = (
        trained.model.answer([given], surprise=True)
        for trained, given in ((one, text), (other, text[::-1]))
    )
    assert "".join(token["token"] for token in row["surprise"]) == text
    np.testing.assert_allclose(
        [token["nats"] for token in row["surprise"]],
        [token["nats"] for token in turned["surprise"][::-1]],
        atol=1e-5,
    )


def test_a_reversed_model_writes_no_text(place, capsys):
    options = tiny.GENERATE_OPTIONS
    elman.train("verse.txt", task="generate", reverse=True, out="back", **options)
    model = elman.load("back")
    for write in (model.generate, model.draft, model.next):
        with pytest.raises(ConfigError, match="reads from the end of a text to its beginning and"):
            write("Kamoto")
    assert run(["generate", "back", "--prompt", "Kamoto"]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert run(["predict", "back", "Kamoto", "--surprise"]) == 0
    with pytest.raises(ConfigError, match="units are looked for as a text is read; train one with"):
        units_lab.find_units("back", "names.tsv")
    with pytest.raises(ConfigError, match="--from is a language model that reads from the end"):
        train(from_="back")
    again = elman.train("verse.txt", init="back", epochs=1)
    assert again.model.config.reverse
    with pytest.raises(ConfigError, match="--init is a model with reverse True, not False"):
        elman.train("verse.txt", init="back", reverse=False)


# Taggers


@pytest.fixture(scope="module")
def readers(made):
    """Language models of characters in both directions, one of bytes and one of words."""
    options = {**tiny.GENERATE_OPTIONS, "epochs": 1, "task": "generate"}
    text = made / "verse.txt"
    elman.train(text, out=made / "forward", learn_state=True, **options)
    elman.train(text, out=made / "back", reverse=True, cell="gru", num_layers=2, **options)
    elman.train(text, out=made / "bytes", tokens="bytes", lines=True, **options)
    elman.train(text, out=made / "words", tokens="words", **options)
    (made / "names.conll").write_text(tiny.TAGGED, encoding="utf-8")
    return made


@pytest.fixture
def tagging(readers, tmp_path, monkeypatch):
    shutil.copytree(readers, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)


BOTH = {"states": "forward", "backward_states": "back"}


def tag(**options):
    return elman.train("names.conll", **{**tiny.TAG_OPTIONS, **BOTH, **options})


SENTENCES = [["Kamoto", "lives", "in", "Bern", "."], ["ёж", "e\u0301"], ["", "x"], ["a"] * 60]


@pytest.mark.parametrize("name", ["forward", "back", "bytes"])
def test_states_are_those_after_a_words_last_character(tagging, name):
    """Or from behind after its first: as the language model reads the text so far, by itself."""
    from elman.tasks.tag.states import Reader

    parts = transfer.read_language_model(name)
    found = Reader.of(parts).read(SENTENCES)
    at = 0
    for words in SENTENCES:
        words = [word or " " for word in words]
        for i in range(len(words)):
            text = " ".join(words[i:] if parts.reverse else words[: i + 1])
            ids = parts.coder.encode(text)
            ids = np.append(parts.before, ids[::-1] if parts.reverse else ids)
            tokens = torch.nn.utils.rnn.PackedSequence(
                torch.from_numpy(ids).long(), torch.ones(len(ids), dtype=torch.long)
            )
            with torch.inference_mode():
                _, outputs, _ = parts.network(tokens, parts.network.begin(1))
            np.testing.assert_allclose(found[at], outputs[-1].numpy(), atol=1e-6)
            at += 1
    assert at == len(found)


def test_a_tagger_reads_states_and_its_bundle_needs_the_models_no_more(tagging):
    trained = tag(out="model")
    config = trained.model.module.config
    assert config.state_size == 16
    assert trained.model.module.recurrent.input_size == 8 + 8 + 16 + 64 + 16
    for name in ("forward", "back"):
        shutil.rmtree(name)
    model = elman.load("model")
    texts = ["Kamoto lives in Bern.", "", "ёж e\u0301 🙂", "Wagmann works in Oslo"]
    together = model.answer(texts)
    assert together == trained.model.answer(texts)
    for text, row in zip(texts, together, strict=True):
        [alone] = model.answer([text])
        assert [one["tag"] for one in alone["tokens"]] == [one["tag"] for one in row["tokens"]]
        chances = [[one["probability"] for one in each["tokens"]] for each in (alone, row)]
        np.testing.assert_allclose(*chances, atol=1e-5)
    names = [line.split()[1] for line in Path("model/SHA256SUMS").read_text().splitlines()]
    assert {"states-0.json", "states-0-cell.txt", "states-1.json"} <= {*names}
    assert model.evaluate(trained.split.test) == trained.model.evaluate(trained.split.test)
    again = elman.train("names.conll", init="model", epochs=1, learning_rate=1e-30)
    assert weights(again.model.module) == weights(model.module)
    assert model.predict(SENTENCES) == trained.model.predict(SENTENCES)


def test_the_language_models_of_a_tagger_stand_still(tagging):
    model = tag(epochs=2, learning_rate=0.1).model
    for name, network in zip(("forward", "back"), model.module.readers, strict=True):
        assert weights(network) == weights(transfer.read_language_model(name).network)
        assert not any(p.requires_grad for p in network.parameters())
    assert model.module.projection.weight.requires_grad


def test_states_of_a_training_are_those_of_its_use(tagging):
    from elman.tasks.tag.learner import corpus_of

    model = tag(epochs=1).model
    parts = elman.api.read_all(elman.tasks.find("tag"), "names.conll", {})
    corpus = corpus_of(parts, model.encoder, model.tags)
    rows = np.array([3, 0, 7])
    read = model.encoder.encode(parts.tokens).states.of(rows)
    np.testing.assert_allclose(corpus.sentences.states.of(rows), read, atol=1e-6)


def test_a_tagger_with_states_is_resumed_and_its_seed_repeats(tagging):
    whole = tag(out="whole")
    tag(out="broken", callbacks=[StopAt(2)])
    resumed = tag(out="broken", resume=True, force=True)
    assert weights(resumed.model.module) == weights(whole.model.module)
    assert weights(tag(seed=3).model.module) == weights(tag(seed=3).model.module)
    tag(out="stopped", callbacks=[StopAt(2)])
    shutil.rmtree("forward")
    shutil.copytree("bytes", "forward")
    with pytest.raises(ConfigError, match="the stopped run had a hash of --states"):
        tag(out="stopped", resume=True, force=True)


def test_cells_are_compared_with_states(tagging):
    table = elman.compare("names.conll", cells="gru,lstm", seeds=1, **tiny.TAG_OPTIONS, **BOTH)
    assert [row.cell for row in table.rows] == ["gru", "lstm"]


def test_a_tagger_starts_from_the_embedding_of_words(tagging, capsys):
    options = {k: v for k, v in tiny.TAG_OPTIONS.items() if k != "embedding_size"}
    trained = elman.train("names.conll", from_="words", out="model", **options)
    assert trained.model.module.config.embedding_size == 8
    assert any("the embedding of the language model words" in n for n in trained.report.notes)
    assert [one.name for one in trained.report.baselines].count(SCRATCH) == 1
    assert "the words of the training part" in " ".join(trained.report.notes)
    flat = elman.train("names.conll", from_="words", **{**options, "learning_rate": 1e-30}).model
    parts = transfer.read_language_model("words")
    theirs = parts.network.embedding.weight[parts.coder.encode("Kamoto lives")[1]]
    own = flat.module.embedding.weight[flat.encoder.words.ids["lives"]]
    one, other = (v.detach().numpy() / np.linalg.norm(v.detach()) for v in (own, theirs))
    np.testing.assert_allclose(one, other, atol=1e-5)
    shutil.rmtree("words")
    texts = ["Kamoto lives in Bern."]
    assert elman.load("model").answer(texts) == trained.model.answer(texts)
    assert run(["evaluate", "model", "names.conll"]) == 0
    sentences = [[name, "b"] for name in tiny.NAMES]
    tags = [["X", "Y"]] * len(sentences)
    estimator = elman.SequenceTagger(epochs=1, **BOTH).fit(sentences, tags)
    assert len(estimator.model_.module.readers) == 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"states": "back"}, "--states is a language model that reads texts from their end to"),
        (
            {"backward_states": "forward"},
            "--backward-states is a language model that reads texts from their beginning to their "
            "end; give it as --states",
        ),
        ({"states": "words"}, "--states is a language model of words, and states are read at the"),
        ({"states": "nowhere"}, "there is no model at nowhere"),
        ({"from_": "forward"}, "--from is a language model of characters, and a tagger takes the"),
        ({"from_": "words"}, "--from is a model with embedding_size 8, not 9; leave out"),
        ({"from_": "words", "vectors": "v"}, "vectors says which vectors to start from, and so"),
        ({"init": "model", "embedding_size": 8}, "--states is of a new tagger, and --init goes on"),
    ],
)
def test_what_a_tagger_cannot_read_is_refused(tagging, options, said):
    if "init" in options:
        tag(epochs=1, out="model")
        options = {**options, "min_count": None}
    with pytest.raises((ConfigError, BundleError), match=said):
        tag(**{"embedding_size": 9, **options})
