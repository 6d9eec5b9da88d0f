"""Language models: what is learnt, how it is scored, what is refused."""

import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

import elman
import tiny
from elman.cli.app import run
from elman.errors import ConfigError, DataError, InputError
from elman.nn import dropout, ragged, softmax
from elman.nn.language_model import LanguageModelConfig, RecurrentLanguageModel
from elman.nn.recurrent import Recurrent
from elman.tasks.generate import scoring
from elman.tasks.generate.batches import END_ID, RunningBatches, Texts, chunk_starts
from elman.tasks.generate.options import GenerateOptions, settle
from elman.training import optimisers
from elman.training.history import from_lines

CPU = torch.device("cpu")
CODINGS = ("characters", "bytes", "words", "bpe")


@pytest.fixture(autouse=True)
def _here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("verse.txt").write_text(tiny.VERSE, encoding="utf-8")


@pytest.fixture
def call(capsys):
    def call(*argv):
        code = run([str(word) for word in argv])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def train(data="verse.txt", **more):
    return elman.train(data, task="generate", **{**tiny.GENERATE_OPTIONS, **more})


def network(**more):
    torch.manual_seed(0)
    sizes = {"vocab_size": 20, "embedding_size": 6, "hidden_size": 5, **more}
    return RecurrentLanguageModel(LanguageModelConfig(**sizes), "lstm").eval()


# ---------------------------------------------------------------------------------------------
# The network's pieces


@pytest.mark.parametrize("rows", [1, 7, 5_000])
@pytest.mark.parametrize("bias", [True, False])
def test_the_fused_cross_entropy_is_torchs_with_its_gradients(rows, bias):
    torch.manual_seed(0)
    inputs = torch.randn(rows, 12, requires_grad=True)
    weight = torch.randn(1_500, 12, requires_grad=True)
    add = torch.randn(1_500, requires_grad=True) if bias else None
    targets = torch.randint(0, 1_500, (rows,))
    wanted = functional.cross_entropy(functional.linear(inputs, weight, add), targets)
    leaves = [one for one in (inputs, weight, add) if one is not None]
    gradients = torch.autograd.grad(3 * wanted, leaves)
    found = softmax.linear_cross_entropy(inputs, weight, add, targets)
    assert found.item() == pytest.approx(wanted.item(), rel=1e-5)
    for one, other in zip(torch.autograd.grad(3 * found, leaves), gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=2e-5)


def test_large_logits_lose_nothing():
    weight = torch.eye(1_200) * 300
    inputs, targets = torch.eye(1_200)[:3], torch.tensor([0, 1, 5])
    wanted = functional.cross_entropy(functional.linear(inputs, weight), targets)
    found = softmax.linear_cross_entropy(inputs, weight, None, targets)
    assert found.item() == pytest.approx(wanted.item())
    assert math.isfinite(found.item())


def test_variational_dropout_drops_the_same_units_at_every_step():
    torch.manual_seed(0)
    packed = ragged.pack(torch.ones(9, 50), [4, 2, 3])
    dropped = dropout.variational(packed, 0.4, training=True)
    values, lengths = ragged.unpack(dropped)
    masks = []
    for row in torch.split(values, lengths.tolist()):
        assert (row == row[0]).all()
        assert sorted({round(one, 4) for one in row[0].tolist()}) == [0.0, 1.6667]
        masks.append(row[0])
    assert not (masks[0] == masks[1]).all()
    square = ragged.pack(torch.ones(8, 50), [4, 4])
    for row in ragged.unpack(dropout.variational(square, 0.4, training=True))[0].view(2, 4, 50):
        assert (row == row[0]).all()
    assert dropout.variational(packed, 0.4, training=False) is packed


def test_between_layers_dropout_can_be_variational():
    torch.manual_seed(0)
    layer = Recurrent("elman", 3, 40, num_layers=2, dropout=0.5, variational=True)
    seen = []
    packed = ragged.pack(torch.randn(12, 3), [6, 6])
    layer.train()
    again = layer._dropped(ragged.replace(packed, torch.ones(12, 40)))
    seen = again.view(6, 2, 40)
    assert (seen == seen[0]).all()
    assert "variational=True" in repr(layer)


def test_embedding_dropout_drops_whole_words():
    torch.manual_seed(0)
    table = dropout.words(torch.ones(200, 4), 0.3, training=True)
    assert (table == table[:, :1]).all()
    assert 0.5 < (table[:, 0] > 0).float().mean() < 0.9


@pytest.mark.parametrize("kind", [softmax.Full, softmax.Sampled, softmax.Adaptive])
def test_probabilities_of_every_softmax_sum_to_one_and_are_the_losses(kind):
    torch.manual_seed(0)
    head = kind(7, 3_000).eval()
    inputs, targets = torch.randn(5, 7), torch.tensor([0, 3, 100, 900, 2_999])
    log_probs = head.log_probs(inputs)
    torch.testing.assert_close(log_probs.exp().sum(1), torch.ones(5))
    own = -log_probs.gather(1, targets[:, None]).mean()
    assert head.loss(inputs, targets).item() == pytest.approx(own.item(), rel=1e-4)


def test_the_sampled_softmax_points_where_the_full_one_does():
    torch.manual_seed(0)
    head = softmax.Sampled(8, 4_000).train()
    inputs, targets = torch.randn(64, 8), torch.randint(0, 4_000, (64,))
    inputs.requires_grad_()
    [full] = torch.autograd.grad(
        functional.cross_entropy(functional.linear(inputs, head.weight, head.bias), targets), inputs
    )
    sampled = torch.stack(
        [torch.autograd.grad(head.loss(inputs, targets), inputs)[0] for _ in range(200)]
    ).mean(0)
    assert functional.cosine_similarity(full.flatten(), sampled.flatten(), dim=0) > 0.98


@pytest.mark.parametrize("more", [{"tied": True}, {"tied": True, "embedding_size": 5}, {}])
def test_tied_weights_are_one(more):
    model = network(**more)
    tied = model.head.weight is model.embedding.weight
    assert tied == ("tied" in more)
    assert (model.narrow is not None) == (more == {"tied": True})


def test_first_states_are_learnt_where_asked_for():
    model = network(learn_state=True)
    ids = torch.tensor([2, 3, 4])
    packed = ragged.pack(ids, [3])
    hidden, _, _ = model(packed, model.begin(1))
    hidden.sum().backward()
    assert all(one.grad.abs().sum() > 0 for one in model.first.values())
    assert {*model.first} == {"h", "c"}


def test_sizes_that_cannot_be_are_refused():
    for more, said in (
        ({"hidden_size": 0}, "hidden_size is 0"),
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"tied": True, "softmax": "adaptive"}, "cannot be tied"),
        ({"softmax": "soft"}, "softmax is 'soft'"),
    ):
        with pytest.raises(ConfigError, match=said):
            network(**more)


# ---------------------------------------------------------------------------------------------
# Batches


@pytest.mark.parametrize(("rows", "chunk"), [(1, 5), (3, 4), (4, 100)])
def test_every_token_is_read_once_and_foretells_the_next(rows, chunk):
    ids = np.arange(2, 63, dtype=np.uint8)
    length = (len(ids) - 1) // rows
    read, following = [], []
    for batch in RunningBatches(ids, rows, chunk_starts(length, chunk, None), CPU):
        assert (batch.targets == batch.tokens.data + 1).all()
        assert batch.first == (not read)
        read.append(batch.tokens.data.view(-1, rows))
        following.append(batch.targets.view(-1, rows))
    whole = torch.cat(read).t().flatten().tolist()
    assert whole == ids[: rows * length].tolist()


def test_chunks_vary_and_cover_a_row():
    rng = np.random.default_rng(0)
    starts = chunk_starts(1_000, 50, rng)
    sizes = {end - start for start, end in itertools.pairwise(starts)}
    assert len(sizes) > 3
    assert starts[-1] == 1_000
    assert 0 <= starts[0] < 50
    assert chunk_starts(10, 4, None) == [0, 4, 8, 10]
    assert chunk_starts(1, 4, np.random.default_rng(1)) == [0, 1]


def test_texts_that_stand_alone_have_an_end_on_both_sides():
    texts = Texts.of([np.array([5, 6]), np.array([], int), np.array([7, 8, 9])], None, 2)
    assert texts.values.tolist() == [END_ID, 5, 6, END_ID, END_ID, END_ID, END_ID, 7, 8, END_ID]
    assert texts.lengths.tolist() == [3, 1, 3]
    batch, rows = texts.batch(np.arange(3), texts.offsets, CPU)
    assert rows.tolist() == [0, 2, 1]
    assert batch.tokens.data.tolist() == [0, 0, 0, 5, 7, 6, 8]
    assert batch.targets.tolist() == [5, 7, 0, 6, 8, 0, 0]


# ---------------------------------------------------------------------------------------------
# Scores


@pytest.mark.parametrize("coding", CODINGS)
def test_the_nats_of_a_text_are_the_same_whatever_the_chunks(coding, monkeypatch):
    trained = train(tokens=coding, epochs=1)
    model, test = trained.model, trained.split.test
    wanted = model.evaluate(test)
    for steps in (1, 3, 10_000):
        monkeypatch.setattr(scoring, "STEPS", steps)
        found = model.evaluate(test)
        assert found.nats == pytest.approx(wanted.nats, rel=1e-5)
    assert wanted.bits == pytest.approx(wanted.nats / math.log(2))
    assert wanted.perplexity == pytest.approx(math.exp(wanted.nats))
    assert wanted.unit == {"characters": "character", "bytes": "byte", "words": "word"}.get(
        coding, "piece of a word"
    )
    assert wanted.characters == test.characters
    rows = [*model.predictions(test)]
    assert sum(row["nats"] for row in rows) == pytest.approx(wanted.nats * wanted.count, rel=1e-5)
    assert sum(row["tokens"] for row in rows) == wanted.count


def test_one_sentence_alone_is_as_likely_as_among_others():
    model = train(epochs=1).model
    texts = ["Kamoto lives in Bern.", "", "b", "Nara sings in Oslo and in Tula." * 3]
    among = model.answer(texts)
    for text, row in zip(texts, among, strict=True):
        [alone] = model.answer([text])
        assert alone["log_probability"] == pytest.approx(row["log_probability"], rel=1e-5)
    assert among[1]["tokens"] == 0
    assert among[1]["log_probability"] == 0


def test_a_text_that_is_evaluated_alone_is_as_likely_as_it_is_answered():
    trained = train(epochs=1)
    text = trained.split.test.text(0)
    Path("one.txt").write_text(text)
    [row] = trained.model.answer([text])
    from elman.data.stream import read_stream

    scores = trained.model.evaluate(read_stream("one.txt"))
    assert scores.nats * scores.count == pytest.approx(-row["log_probability"], rel=1e-5)


def test_surprise_sums_to_the_log_probability():
    model = train(epochs=1).model
    [row] = model.answer(["Kamoto sings."], surprise=True)
    assert "".join(one["token"] for one in row["surprise"]) == "Kamoto sings."
    assert sum(one["nats"] for one in row["surprise"]) == pytest.approx(-row["log_probability"])


def test_dynamic_evaluation_learns_what_comes_again():
    trained = train(epochs=1)
    Path("again.txt").write_text("Zyx qwv zzk. " * 150)
    from elman.data.stream import read_stream

    again = read_stream("again.txt")
    before = {name: one.clone() for name, one in trained.model.module.state_dict().items()}
    still = trained.model.evaluate(again)
    moving = trained.model.evaluate(again, dynamic=0.5)
    assert moving.nats < 0.8 * still.nats
    for name, one in trained.model.module.state_dict().items():
        assert torch.equal(one, before[name])


def test_unknown_characters_are_counted():
    model = train(epochs=1).model
    from elman.data.stream import read_stream

    Path("odd.txt").write_text("Kamoto ☃☃ lives.\n")
    assert model.evaluate(read_stream("odd.txt")).unknown == 2


# ---------------------------------------------------------------------------------------------
# Training


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("cell", ["lstm", "gru", "mut1"])
def test_it_learns_to_foretell(coding, cell):
    trained = train(tokens=coding, cell=cell, epochs=12, hidden_size=16)
    losses = [epoch.loss for epoch in trained.history]
    assert losses[-1] < 0.9 * losses[0]
    single = trained.report.baselines[0]
    assert single.constant
    assert trained.report.test.nats < single.test.nats * 1.5


@pytest.mark.parametrize(
    "more",
    [
        {"tied": True},
        {"softmax": "adaptive", "tokens": "words"},
        {"softmax": "sampled", "tokens": "words"},
        {"learn_state": True},
        {"num_layers": 2, "weight_dropout": 0.2, "embedding_dropout": 0.1, "input_dropout": 0.1},
        {"ar": 2.0, "tar": 1.0},
        {"optimiser": "sgd", "learning_rate": 1.0},
        {"recipe": "awd", "learning_rate": 1.0},
    ],
    ids=str,
)
def test_every_way_to_train_is_saved_and_resumed(more):
    from test_tasks import StopAt

    options = {"epochs": 3, **more}
    unbroken = train(out="unbroken", **options)
    stopped = train(out="model", callbacks=[StopAt(3)], **options)
    assert stopped.report.stopped
    train(out="model", resume=True, **options)
    own, other = (elman.load(name) for name in ("unbroken", "model"))
    for name, tensor in own.module.state_dict().items():
        assert torch.equal(tensor, other.module.state_dict()[name]), name
    test = unbroken.split.test
    assert own.evaluate(test) == unbroken.model.evaluate(test)


def test_weights_are_averaged_once_the_score_stagnates():
    torch.manual_seed(0)
    weight = torch.nn.Parameter(torch.zeros(1, 1))
    module = torch.nn.Module()
    module.weight = weight
    schedule = GenerateOptions(epochs=1, patience=1, learning_rate=1.0, weight_decay=0.0).schedule(
        unit="characters"
    )
    schedule = type(schedule)(**{**vars(schedule), "optimiser": "asgd", "decay": False})
    optimiser = optimisers.make(module, schedule)

    def step(gradient):
        weight.grad = torch.full((1, 1), -gradient)
        optimiser.step()

    step(1.0)
    assert not optimisers.is_averaging(optimiser)
    assert optimisers.start_averaging(optimiser)
    assert not optimisers.start_averaging(optimiser)
    for _ in range(3):
        step(1.0)
    with optimisers.averaged(optimiser):
        assert weight.item() == pytest.approx(3.0)  # of 2, 3 and 4
    assert weight.item() == pytest.approx(4.0)


def test_samples_are_kept_in_the_history_and_shown(call):
    code, _, err = call(
        *("train", "verse.txt", "--task", "generate", "--out", "model", "--epochs", 45),
        *("--hidden-size", 8, "--chunk-length", 10, "--batch-size", 8),
    )
    assert code == 0, err
    assert "after 100 updates:" in err
    epochs = from_lines(Path("model/history.jsonl").read_bytes())
    samples = {at: text for epoch in epochs for at, text in epoch.samples.items()}
    assert 100 in samples
    assert len(samples[100]) <= 200
    assert sum(epoch.updates for epoch in epochs) >= 100


def test_a_sample_does_not_change_what_is_trained(monkeypatch):
    from elman.tasks.generate import learner

    plain = train(epochs=2)
    monkeypatch.setattr(learner, "SAMPLE_AT", (1, 2, 3))
    looked = train(epochs=2)
    assert any(epoch.samples for epoch in looked.history)
    for name, tensor in plain.model.module.state_dict().items():
        assert torch.equal(tensor, looked.model.module.state_dict()[name])


def labelled(tmp=Path()):
    rows = [("aa", "abab" * (1 + i % 3) + "a" * (i % 4)) for i in range(40)]
    rows += [("zz", "zyzy" * (1 + i % 3) + "z" * (i % 4)) for i in range(40)]
    file = tmp / "rows.csv"
    lines = [f"{label},{text}{i}" for i, (label, text) in enumerate(rows)]
    file.write_text("kind,text\n" + "\n".join(lines) + "\n")
    return file


def test_a_conditional_model_writes_what_its_label_says():
    trained = train(
        labelled(), label_column="kind", epochs=30, hidden_size=24, batch_size=8, dropout=0.0
    )
    model = trained.model
    assert model.labels == ("aa", "zz")
    for label, sign in (("aa", "a"), ("zz", "z")):
        rows = model.generate(label=label, n=20, seed=0, max_new_tokens=20)
        assert sum(row["text"].startswith(sign) for row in rows) >= 17
        assert all(row["label"] == label for row in rows)
    with pytest.raises(ConfigError, match=r"knows no label 'mm'; there are aa, zz"):
        model.generate(label="mm")
    with pytest.raises(ConfigError, match="writes texts of a label"):
        model.generate()
    own = model.answer(["abab"], label="aa")[0]["nats"]
    assert own < model.answer(["abab"], label="zz")[0]["nats"]


def test_settled_options_follow_the_length_of_the_text():
    small, large = (
        settle(GenerateOptions(), tokens=tokens, running=True) for tokens in (5_000, 1_000_000)
    )
    assert small.hidden_size < large.hidden_size
    assert small.batch_size < large.batch_size
    assert small.epochs > large.epochs
    assert settle(GenerateOptions(tokens="words"), tokens=9, running=True).tied
    awd = settle(GenerateOptions(recipe="awd", tokens="words"), tokens=10**6, running=True)
    assert (awd.optimiser, awd.weight_dropout, awd.ar) == ("asgd", 0.5, 2.0)


# ---------------------------------------------------------------------------------------------
# What is refused


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "verse.txt is empty"),
        (b"ab\n", "too"),
        (b"\x89PNG\r\n\x1a\n\0\0\0", "a PNG picture"),
    ],
)
def test_what_is_no_text_is_refused(content, said, call):
    Path("verse.txt").write_bytes(content)
    code, out, err = call("train", "verse.txt", "--task", "generate")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert said in err


def test_a_text_shorter_than_a_chunk_is_trained_on_with_a_note(call):
    Path("short.txt").write_text("to be or not to be\n" * 4)
    code, _, err = call(
        *("train", "short.txt", "--task", "generate", "--epochs", 1, "--hidden-size", 4),
        *("--batch-size", 32, "--chunk-length", 200),
    )
    assert code == 0, err
    assert "less than one batch" in err


def test_options_that_exclude_each_other():
    for more, said in (
        ({"vocab_size": 50}, "vocab_size is 50, but it is for words and pieces"),
        ({"tied": True, "softmax": "adaptive"}, "which the embedding cannot lend"),
    ):
        with pytest.raises(ConfigError, match=said):
            train(**more)


def test_texts_of_another_kind_are_refused():
    model = train(epochs=1).model
    with pytest.raises(InputError, match="give a part of trained"):
        model.evaluate("verse.txt")
    with pytest.raises(InputError, match="give a list of texts"):
        model.answer("text")
    with pytest.raises(ConfigError, match="label is 'x', but the model was trained without labels"):
        model.answer(["text"], label="x")
    conditional = train(labelled(), label_column="kind", epochs=1).model
    from elman.data.stream import read_stream

    with pytest.raises(DataError, match="one running text"):
        conditional.evaluate(read_stream("verse.txt"))
    with pytest.raises(DataError, match="--label-column"):
        conditional.evaluate(read_stream("rows.csv"))
    with pytest.raises(ConfigError, match="dynamic evaluation is for one running text"):
        conditional.evaluate(read_stream("rows.csv", label_column="kind"), dynamic=0.1)


def test_going_on_from_a_model_keeps_its_letters():
    first = train(epochs=1, out="model")
    Path("more.txt").write_text(tiny.VERSE.replace("Bern", "Rome"))
    second = elman.train("more.txt", task="generate", init="model", epochs=1)
    assert second.model.coder.to_json() == first.model.coder.to_json()
    with pytest.raises(ConfigError, match="is a model of one running text"):
        elman.train(labelled(), task="generate", init="model", epochs=1)


def test_networks_of_equal_numbers_of_parameters():
    found = elman.compare(
        "verse.txt", task="generate", cells="elman,lstm,mut1", seeds=1, parameters="6k", epochs=1
    )
    assert all(abs(row.parameters - 6_000) < 400 for row in found.rows)
    assert len({row.hidden_size for row in found.rows}) == 3
    for wrong, said in (("many", "must be a number above 0"), ("1", "more than 1")):
        with pytest.raises(ConfigError, match=said):
            elman.compare("verse.txt", task="generate", cells="lstm", seeds=1, parameters=wrong)
    with pytest.raises(ConfigError, match="leave one of the two out"):
        elman.compare(
            "verse.txt", task="generate", cells="lstm", seeds=1, parameters=9_000, hidden_size=8
        )
