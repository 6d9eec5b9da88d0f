"""Writing token by token: what is drawn, what is found, and that rows do not meet."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from torch import nn

from checks import assert_close
from elman.errors import ConfigError, ElmanError
from elman.nn import Recurrent, ragged
from elman.nn.decoding import (
    RecurrentStepper,
    Sampling,
    beam_search,
    log_probabilities,
    probabilities,
    sample,
)

V, H = 7, 6
GREEDY = Sampling(temperature=0)
CELLS = ("lstm", "gru", "mlstm", "mut1", "slstm")


@pytest.fixture(autouse=True)
def _seeded():
    torch.manual_seed(0)


class Table:
    """A model whose scores hang on the last two tokens and the step.

    Each row's are looked up, so that not even their rounding hangs on the other rows.
    """

    def __init__(self, vocab_size, seed=0, steps=50):
        shape = (steps, vocab_size, vocab_size, vocab_size)
        self.scores = np.random.default_rng(seed).normal(0, 2, shape).astype(np.float32)

    def start(self, tokens):
        """The token before the first one of each row."""
        return np.stack([np.zeros_like(tokens), tokens], axis=1)

    def step(self, ids, state):
        steps, before = state.T
        return self.scores[steps, before, ids], np.stack([steps + 1, ids], axis=1)

    def select(self, state, rows):
        return state[rows]


def network(name="lstm", layers=2, spread=4.0, **options):
    """A stepper and the module that gives logits of a whole sequence at once."""
    recurrent = Recurrent(name, H, H, layers).eval()
    embedding, head = nn.Embedding(V, H), nn.Linear(H, V)
    nn.init.normal_(head.weight, std=spread)

    def logits(ids, hx=None):
        with torch.no_grad():
            packed = ragged.pack(embedding(torch.tensor(ids)), torch.tensor([len(ids)]))
            output, _ = recurrent(packed, hx)
            return head(output.data).numpy()

    return RecurrentStepper(recurrent, embedding.weight, head, **options), logits


def written_by(logits, first, steps, banned=()):
    """The greedy text, from whole sequences."""
    ids = [first]
    for _ in range(steps):
        scores = logits(ids)[-1]
        scores[list(banned)] = -np.inf
        ids.append(int(scores.argmax()))
    return ids[1:]


def generator(seed=0):
    return np.random.default_rng(seed)


# ---------------------------------------------------------------------------------------------
# Networks


@pytest.mark.parametrize("layers", [1, 2])
@pytest.mark.parametrize("name", CELLS)
def test_a_network_writes_what_its_whole_sequences_say(name, layers):
    stepper, logits = network(name, layers)
    firsts = [0, 3, 5]
    texts = sample(
        stepper,
        stepper.start(3),
        firsts,
        max_new_tokens=8,
        rng=generator(),
        sampling=GREEDY,
    )
    for first, text in zip(firsts, texts, strict=True):
        assert text.ids == written_by(logits, first, 8)
        assert text.finished == "limit"
        own = log_probabilities(logits([first, *text.ids[:-1]]))
        wanted = own[np.arange(8), text.ids]
        assert text.log_probs == pytest.approx(wanted, abs=1e-5)
        assert text.log_prob == pytest.approx(wanted.sum(), abs=1e-5)


@pytest.mark.parametrize("name", CELLS)
def test_rows_go_on_from_given_states(name):
    stepper, logits = network(name)
    finals = stepper_states(stepper, [4, 2])
    (text,) = sample(
        stepper,
        stepper.start(hx=finals),
        [3],
        max_new_tokens=5,
        rng=generator(),
        sampling=GREEDY,
    )
    prompt = [4, 2, 3]
    for token in text.ids:
        assert token == logits(prompt)[-1].argmax()
        prompt.append(token)


def stepper_states(stepper, ids):
    state = stepper.start()
    for token in ids:
        _, state = stepper.step(np.array([token]), state)
    return state.state.tensors()


@pytest.mark.parametrize("head", ["layer", "weights", "no bias", "function", "large"])
def test_heads(head, monkeypatch):
    recurrent, linear = Recurrent("lstm", V, H), nn.Linear(H, V, bias=head != "no bias")
    given = {
        "layer": linear,
        "weights": (linear.weight, linear.bias),
        "no bias": linear,
        "function": lambda output: linear(output),
        "large": linear,
    }[head]
    if head == "large":
        monkeypatch.setattr("elman.nn.decoding.recurrent._SMALL", 0)
    stepper = RecurrentStepper(recurrent, torch.eye(V), given)
    ids = np.array([2, 5, 5])
    logits, _ = stepper.step(ids, stepper.start(3))
    output, _ = recurrent.step(torch.eye(V)[ids], recurrent.start(3))
    assert isinstance(logits, np.ndarray)
    assert_close("logits", torch.from_numpy(logits), linear(output).detach(), 2e-6)


@pytest.mark.parametrize("backend", ["eager", "llvm"])
def test_what_is_added_to_each_token(backend):
    recurrent, head = Recurrent("gru", 4, H, 2, backend=backend), nn.Linear(H, V)
    table = torch.randn(V, 4)
    stepper, added = RecurrentStepper(recurrent, table, head), torch.randn(3, 4)
    ids = np.array([1, 0, 6])
    _, state = stepper.step(ids, stepper.start(3, added=added))
    state = stepper.select(state, np.array([2, 0]))
    logits, _ = stepper.step(ids[:2], state)
    _, by_hand = recurrent.step(table[ids] + added, recurrent.start(3))
    output, _ = recurrent.step(table[ids[:2]] + added[[2, 0]], by_hand.select([2, 0]))
    assert_close("logits", torch.from_numpy(logits), head(output).detach(), 2e-6)
    with pytest.raises(ConfigError, match=r"added has shape \(3, 4\); it must be \(2, 4\)"):
        stepper.start(2, added=added)


def test_a_held_unit_changes_what_is_written():
    texts = []
    for value in (None, 4.0, -4.0):
        torch.manual_seed(0)
        stepper, _ = network("mlstm", 1, clamp=None if value is None else {(0, "c", 2): value})
        state = stepper.start(2)
        texts.append(sample(stepper, state, [0, 1], max_new_tokens=20, rng=generator()))
        if value is not None:
            _, state = stepper.step(np.array([0, 1]), state)
            assert (state.state.c[:, :, 2] == value).all()
    assert texts[0] != texts[1] != texts[2]
    with pytest.raises(ConfigError, match="there is no unit 6; there are 0 to 5"):
        network(clamp={(0, "c", H): 1.0})


# ---------------------------------------------------------------------------------------------
# Probabilities

OPTIONS = st.builds(
    Sampling,
    temperature=st.sampled_from([0.0, 0.3, 1.0, 2.5]),
    top_k=st.none() | st.integers(1, 8),
    top_p=st.none() | st.floats(0.01, 1.0),
    min_p=st.none() | st.floats(0.0, 1.0),
    repetition_penalty=st.sampled_from([1.0, 1.3, 0.7]),
)
LOGITS = arrays(
    np.float32,
    st.tuples(st.integers(1, 4), st.integers(1, 6)),
    # Coarse, so that many are equal.
    elements=st.integers(-6, 6).map(lambda number: number / 2) | st.just(-np.inf),
)


def by_the_book(logits, sampling, seen, banned):
    """The probabilities of one row, token by token."""
    scores = [float(score) for score in logits]
    for token in range(len(scores)):
        if seen[token]:
            penalty = sampling.repetition_penalty
            scores[token] *= 1 / penalty if scores[token] > 0 else penalty
        if token in banned:
            scores[token] = -math.inf
    order = sorted(range(len(scores)), key=lambda token: (-scores[token], token))
    if sampling.temperature == 0:
        return [float(token == order[0]) for token in range(len(scores))]
    top = scores[order[0]]
    weights = [math.exp((score - top) / sampling.temperature) for score in scores]
    order = order[: sampling.top_k]
    if sampling.top_p is not None:
        whole, mass, kept = sum(weights[token] for token in order), 0.0, []
        for token in order:
            kept.append(token)
            mass += weights[token]
            if mass >= sampling.top_p * whole:
                break
        order = kept
    order = [token for token in order if weights[token] >= (sampling.min_p or 0)]
    total = sum(weights[token] for token in order)
    return [weights[token] / total * (token in order) for token in range(len(scores))]


@given(LOGITS, OPTIONS, st.data())
def test_probabilities_are_those_of_the_definitions(logits, sampling, data):
    rows, size = logits.shape
    seen = data.draw(arrays(bool, logits.shape))
    banned = tuple(data.draw(st.sets(st.integers(0, size - 1), max_size=size - 1)))
    logits[:, next(token for token in range(size) if token not in banned)] = 0.5
    found = probabilities(logits, sampling, seen=seen, banned=banned)
    assert found.sum(1) == pytest.approx(1)
    for at in range(rows):
        wanted = by_the_book(logits[at], sampling, seen[at], banned)
        # A sum may come to lie on either side of top_p by its rounding.
        if found[at] != pytest.approx(wanted) and sampling.top_p is not None:
            close = Sampling(**{**vars(sampling), "top_p": sampling.top_p * (1 - 1e-12)})
            wanted = by_the_book(logits[at], close, seen[at], banned)
        assert found[at] == pytest.approx(wanted)


@given(LOGITS, OPTIONS)
def test_a_row_has_the_same_probabilities_alone(logits, sampling):
    logits[:, 0] = 1
    whole = probabilities(logits, sampling)
    for at in range(len(logits)):
        assert np.array_equal(probabilities(logits[at : at + 1], sampling)[0], whole[at])


@pytest.mark.parametrize("temperature", [0.0, 1e-300, 1e-5, 1.0, 1e300])
@pytest.mark.parametrize("options", [{}, {"top_k": 2}, {"top_p": 0.5}, {"min_p": 0.5}])
def test_extreme_logits(temperature, options):
    largest = np.finfo(np.float32).max
    logits = np.array(
        [
            [largest, -largest, 0, -np.inf],
            [1e30, 1e30, -1e30, -np.inf],
            [np.inf, 1e30, np.inf, -np.inf],
            [-1e30, -np.inf, -np.inf, -np.inf],
            [np.inf, np.inf, np.inf, np.inf],
        ],
        np.float32,
    )
    found = probabilities(logits, Sampling(temperature, **options))
    assert found.sum(1) == pytest.approx(1)
    assert (found >= 0).all()
    if temperature == 1 and not options:
        wanted = [[1, 0, 0, 0], [0.5, 0.5, 0, 0], [0.5, 0, 0.5, 0], [1, 0, 0, 0], [0.25] * 4]
        assert np.array_equal(found, wanted)
        assert np.exp(log_probabilities(logits)) == pytest.approx(np.array(wanted))


def test_of_equal_tokens_the_first_are_kept():
    logits = np.zeros((2, 6), np.float32)
    logits[1, 4] = 1
    top = probabilities(logits, Sampling(top_k=2))
    assert np.array_equal(top[0], [0.5, 0.5, 0, 0, 0, 0])
    assert top[1].nonzero()[0].tolist() == [0, 4]
    nucleus = probabilities(logits, Sampling(top_p=0.5))
    assert nucleus[0].nonzero()[0].tolist() == [0, 1, 2]
    assert probabilities(logits, Sampling(0))[0].tolist() == [1, 0, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": -1.0}, "temperature is -1.0; it must be 0, for greedy, or more"),
        ({"temperature": math.nan}, "temperature is nan"),
        ({"temperature": math.inf}, "temperature is inf"),
        ({"top_k": 0}, "top_k is 0; it must be a whole number of at least 1"),
        ({"top_k": 1.5}, "top_k is 1.5"),
        ({"top_p": 0.0}, "top_p is 0.0; it must be above 0 and at most 1"),
        ({"top_p": 1.1}, "top_p is 1.1"),
        ({"min_p": -0.1}, "min_p is -0.1; it must be from 0 to 1"),
        ({"repetition_penalty": 0.0}, "repetition_penalty is 0.0; it must be above 0; 1 is none"),
    ],
)
def test_sampling_out_of_range(options, message):
    with pytest.raises(ConfigError, match=message):
        Sampling(**options)


# ---------------------------------------------------------------------------------------------
# Sampling


def draw(stepper, rows, *, steps=20, first=None, **options):
    """What is written with a `Table`, each row from a start of its own."""
    starts = np.array(rows) % stepper.scores.shape[1]
    options = {"rng": generator(), "max_new_tokens": steps, **options}
    return sample(stepper, stepper.start(starts), starts if first is None else first, **options)


@pytest.mark.parametrize(
    "sampling", [Sampling(), Sampling(0.7, top_k=3), Sampling(top_p=0.8, repetition_penalty=1.5)]
)
def test_a_row_does_not_see_the_others(sampling):
    stepper = Table(V)
    options = {"sampling": sampling, "end": 3, "stop": [[1, 2]], "banned": [4]}
    whole = draw(stepper, range(12), **options)
    assert len({text.finished for text in whole}) > 1
    for count in (1, 2, 5):
        assert draw(stepper, range(count), **options) == whole[:count]
    # The same row among others, given its stream.
    streams = generator().spawn(12)
    assert draw(stepper, [7, 2], rng=[streams[7], streams[2]], **options) == [whole[7], whole[2]]


@pytest.mark.parametrize("name", CELLS)
def test_a_row_of_a_network_does_not_see_the_others(name):
    stepper, _ = network(name, spread=1.0)
    options = {"max_new_tokens": 40, "end": 3}
    whole = sample(stepper, stepper.start(8), np.arange(8) % V, rng=generator(), **options)
    for count in (1, 3):
        ids = np.arange(count)
        texts = sample(stepper, stepper.start(count), ids, rng=generator(), **options)
        assert [text.ids for text in texts] == [text.ids for text in whole[:count]]


def test_a_second_call_draws_anew_and_a_seed_repeats():
    stepper, rng = Table(V), generator(5)
    first, second = draw(stepper, [1], rng=rng), draw(stepper, [1], rng=rng)
    assert first != second
    assert draw(stepper, [1], rng=generator(5)) == first


def test_tokens_are_drawn_as_often_as_they_are_probable():
    sampling, rows = Sampling(0.8, top_k=5, top_p=0.95), 20_000
    stepper = Table(V)
    texts = draw(stepper, [2] * rows, steps=1, sampling=sampling)
    counts = np.bincount([text.ids[0] for text in texts], minlength=V)
    wanted = probabilities(stepper.scores[0, 2, 2][None], sampling)[0]
    assert (counts[wanted == 0] == 0).all()
    drawn = wanted > 0
    statistic = ((counts - rows * wanted)[drawn] ** 2 / (rows * wanted)[drawn]).sum()
    assert 2 <= drawn.sum() < V
    assert statistic < stats.chi2.ppf(0.999, drawn.sum() - 1)


def test_log_probs_are_the_models_own():
    stepper = Table(V)
    sampling = Sampling(0.5, top_k=2, repetition_penalty=2.0)
    texts = draw(stepper, range(4), steps=30, sampling=sampling, end=3, banned=5)
    for start, text in enumerate(texts):
        state, token, wanted = stepper.start(np.array([start])), start, []
        for following in [*text.ids, *([3] if text.finished == "end" else [])]:
            logits, state = stepper.step(np.array([token]), state)
            wanted.append(log_probabilities(logits)[0, following])
            token = following
        assert text.log_probs == pytest.approx(wanted[: len(text.ids)])
        assert text.log_prob == pytest.approx(sum(wanted))
        assert 5 not in text.ids


def test_scores_are_the_same_however_many_at_once(monkeypatch):
    wanted = draw(Table(V), range(5), steps=30, end=3)
    monkeypatch.setattr("elman.nn.decoding.sampling._SCORED", 1)
    assert draw(Table(V), range(5), steps=30, end=3) == wanted


def test_greedy_takes_the_most_probable():
    stepper = Table(V)
    (text,) = draw(stepper, [1], steps=6, sampling=GREEDY)
    state, token = stepper.start(np.array([1])), 1
    for following in text.ids:
        logits, state = stepper.step(np.array([token]), state)
        assert following == logits.argmax()
        token = following


def test_where_a_row_ends():
    stepper = Table(V)
    whole = draw(stepper, range(6), steps=30)
    assert all(text.finished == "limit" and len(text.ids) == 30 for text in whole)
    for text, cut in zip(whole, draw(stepper, range(6), steps=30, end=[0, 3]), strict=True):
        length = min(text.ids.index(token) for token in (0, 3) if token in text.ids)
        assert (cut.ids, cut.finished) == (text.ids[:length], "end")
        assert cut.log_probs == text.log_probs[:length]
        assert cut.log_prob == pytest.approx(sum(text.log_probs[: length + 1]))


def test_where_a_row_stops():
    stepper = Table(V)
    whole = draw(stepper, range(6), steps=40)
    pair = whole[0].ids[7:9]
    for stop in ([pair, [0] * 30], lambda ids: ids[-2:] == pair):
        found = draw(stepper, range(6), steps=40, stop=stop)
        assert found[0].finished == "stop"
        for text, cut in zip(whole, found, strict=True):
            length = next((at for at in range(2, 41) if text.ids[at - 2 : at] == pair), 40)
            assert cut.ids == text.ids[:length]
    assert draw(stepper, range(6), steps=40, stop=[]) == whole


def test_each_token_is_told_as_it_is_written():
    told, stepper = [], Table(V)
    texts = draw(stepper, range(4), end=3, on_token=lambda row, token: told.append((row, token)))
    for row, text in enumerate(texts):
        assert [token for at, token in told if at == row] == text.ids
    assert [row for row, _ in told[:3]] == [0, 1, 2]


def test_rows_that_are_done_are_dropped():
    stepper, sizes = Table(V), []
    step = stepper.step
    stepper.step = lambda ids, state: (sizes.append(len(ids)), step(ids, state))[1]
    texts = draw(stepper, range(9), end=3, steps=50)
    assert sizes[0] == 9
    lengths = [len(text.ids) + 1 for text in texts]
    assert sizes == [sum(length > at for length in lengths) for at in range(max(lengths))]


def test_repeated_tokens_are_penalised():
    stepper = Table(V)
    (text,) = draw(stepper, [0], steps=V, sampling=Sampling(0, repetition_penalty=1e6))
    logits = stepper.scores[0, 0, 0]
    assert text.ids[0] == logits.argmax()
    assert len(set(text.ids[:3])) == 3
    seen = np.zeros((1, V), bool)
    seen[0, logits.argmax()] = True
    kept = seen.copy()
    (other,) = draw(stepper, [0], steps=1, sampling=Sampling(0, repetition_penalty=1e6), seen=seen)
    assert other.ids[0] == np.argsort(-logits)[1]
    assert np.array_equal(seen, kept)


def test_a_state_that_was_given_stays():
    stepper, _ = network("lstm")
    state = stepper.start(2)
    _, state = stepper.step(np.array([1, 2]), state)
    kept = state.state.tensors()
    first = sample(stepper, state, [0, 1], max_new_tokens=9, rng=generator(), end=3)
    beam_search(stepper, state, [0, 1], beam_size=3, max_new_tokens=9, end=3)
    assert all(torch.equal(kept[name], value) for name, value in state.state.tensors().items())
    assert sample(stepper, state, [0, 1], max_new_tokens=9, rng=generator(), end=3) == first


def test_nothing_to_write():
    stepper = Table(V)
    assert draw(stepper, []) == []
    (text,) = draw(stepper, [1], steps=0)
    assert (text.ids, text.log_prob, text.finished) == ([], 0.0, "limit")
    nobody = stepper.start(np.array([], int))
    assert beam_search(stepper, nobody, [], beam_size=2, max_new_tokens=3) == []


@pytest.mark.parametrize("name", ["table", "network"])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"banned": range(V)}, "no token can be written: each of the 7 is banned or impossible"),
        ({"banned": [2, V]}, "banned holds 7, and the model's 7 tokens end with 6"),
        ({"end": V}, "end holds 7, and the model's 7 tokens end with 6"),
        ({"end": -1}, "end holds -1; it must hold token ids, 0 and up"),
        ({"banned": "a"}, "banned holds 'a'; it must hold token ids"),
        ({"max_new_tokens": -1}, "max_new_tokens is -1; it must be a whole number of at least"),
        ({"max_new_tokens": 1.5}, "max_new_tokens is 1.5; it must be a whole number of at least"),
        ({"first": [[1], [2]]}, r"first has shape \(2, 1\) of int64; give one token id a row"),
        ({"first": [0.5, 1.0]}, r"first has shape \(2,\) of float64; give one token id a row"),
    ],
)
@pytest.mark.parametrize("search", [False, True])
def test_bad_arguments(name, options, message, search):
    model = Table(V) if name == "table" else network("lstm")[0]
    state = model.start(np.array([0, 1]) if name == "table" else 2)
    options = {"first": [0, 1], "max_new_tokens": 3, **options}
    own = {"beam_size": 2} if search else {"rng": generator()}
    with pytest.raises(ConfigError, match=message):
        (beam_search if search else sample)(model, state, **options, **own)


def test_bad_arguments_of_sampling():
    stepper = Table(V)
    with pytest.raises(ConfigError, match="rng holds 1 generators for 2 rows; give one a row"):
        draw(stepper, [0, 1], rng=[generator()])
    with pytest.raises(ConfigError, match="stop holds an empty sequence; leave it out"):
        draw(stepper, [0], stop=[[1], []])
    penalty = Sampling(repetition_penalty=2.0)
    with pytest.raises(ConfigError, match=r"seen has shape \(7,\); it must be \(1, 7\)"):
        draw(stepper, [0], sampling=penalty, seen=np.zeros(V, bool))


def test_scores_that_are_no_numbers():
    stepper = Table(V)
    stepper.scores[1, :, :, 2] = np.nan
    for sampling in (Sampling(), GREEDY):
        with pytest.raises(ElmanError, match=r"are not numbers \(nan\): its weights or states"):
            draw(stepper, [0, 1], sampling=sampling)
    with pytest.raises(ElmanError, match=r"are not numbers \(nan\): its weights or states"):
        beam_search(stepper, stepper.start(np.array([0])), [0], beam_size=2, max_new_tokens=3)


def test_logits_of_another_shape():
    stepper = Table(V)
    step = stepper.step
    stepper.step = lambda ids, state: (step(ids, state)[0][0], state)
    with pytest.raises(ConfigError, match=r"logits of shape \(7,\); they must be \(2, V\)"):
        draw(stepper, [0, 1])


# ---------------------------------------------------------------------------------------------
# Beams


def every_text(stepper, state, first, limit, ends, banned, alpha):
    """All texts of at most so many tokens, with their scores."""
    texts = []

    def follow(ids, state, log_prob):
        if len(ids) == limit:
            texts.append((log_prob / ((5 + limit) / 6) ** alpha, ids, "limit"))
            return
        last = np.array([ids[-1] if ids else first])
        logits, after = stepper.step(last, state)
        own = log_probabilities(logits)[0]
        for token in range(len(own)):
            if token in banned:
                continue
            total = log_prob + own[token]
            if token in ends:
                texts.append((total / ((6 + len(ids)) / 6) ** alpha, ids, "end"))
            else:
                follow((*ids, token), after, total)

    follow((), state, 0.0)
    return sorted(texts, key=lambda text: -text[0])


@pytest.mark.parametrize("alpha", [0.0, 0.6, 2.0])
@pytest.mark.parametrize(
    ("ends", "banned"), [((), ()), ((0,), ()), ((1,), (2,)), ((0, 3), ()), ((0,), (1, 2, 3))]
)
def test_a_wide_beam_finds_the_best_of_all_texts(ends, banned, alpha):
    stepper = Table(4, seed=len(ends))
    state = stepper.start(np.array([1, 3, 2]))
    found = beam_search(
        stepper,
        state,
        [0, 1, 2],
        beam_size=4**4,
        max_new_tokens=4,
        end=ends,
        banned=banned,
        length_penalty=alpha,
        n_best=10,
    )
    for at, hypotheses in enumerate(found):
        wanted = every_text(stepper, state[at : at + 1], at, 4, ends, banned, alpha)[:10]
        assert [one.ids for one in hypotheses] == [text[1] for text in wanted]
        assert [one.finished for one in hypotheses] == [text[2] for text in wanted]
        assert [one.score for one in hypotheses] == pytest.approx([text[0] for text in wanted])


@pytest.mark.parametrize("name", CELLS)
def test_a_wide_beam_over_a_network(name):
    stepper, _ = network(name, 1)
    state = stepper.start(2)
    found = beam_search(stepper, state, [0, 1], beam_size=V**3, max_new_tokens=3, end=2, n_best=5)
    for at, hypotheses in enumerate(found):
        own = stepper.select(state, np.array([at]))
        wanted = every_text(stepper, own, at, 3, (2,), (), 0.6)[:5]
        assert [one.ids for one in hypotheses] == [text[1] for text in wanted]


def searched(stepper, state, first, size, limit, ends, alpha, n_best):
    """Beam search of one input, a hypothesis at a time."""
    going, finished = [((), 0.0, state, first)], []
    for length in range(1, limit + 1):
        found = []
        for ids, log_prob, state, last in going:
            logits, after = stepper.step(np.array([last]), state)
            own = log_probabilities(logits)[0]
            found += [(ids, token, log_prob + own[token], after) for token in range(len(own))]
        found.sort(key=lambda one: -one[2])
        for ids, token, log_prob, _ in found[:size]:
            if token in ends:
                finished.append((log_prob / ((5 + length) / 6) ** alpha, ids, "end"))
        going = [
            ((*ids, token), log_prob, after, token)
            for ids, token, log_prob, after in found
            if token not in ends
        ][:size]
        if len(finished) >= size and length < limit:
            break
    else:
        finished += [(one[1] / ((5 + limit) / 6) ** alpha, one[0], "limit") for one in going]
    return sorted(finished, key=lambda one: -one[0])[:n_best]


@given(
    seed=st.integers(0, 1000),
    size=st.integers(1, 5),
    ends=st.sampled_from([(), (0,), (1, 3)]),
    alpha=st.sampled_from([0.0, 0.6, 1.5]),
    data=st.data(),
)
def test_a_beam_finds_what_one_by_one_is_found(seed, size, ends, alpha, data):
    stepper, n_best = Table(5, seed, steps=8), data.draw(st.integers(1, size))
    inputs = np.array([1, 0, 3, 4])
    found = beam_search(
        stepper,
        stepper.start(inputs),
        inputs,
        beam_size=size,
        max_new_tokens=8,
        end=ends,
        length_penalty=alpha,
        n_best=n_best,
    )
    for first, hypotheses in zip(inputs, found, strict=True):
        state = stepper.start(np.array([first]))
        wanted = searched(stepper, state, first, size, 8, ends, alpha, n_best)
        assert [(one.ids, one.finished) for one in hypotheses] == [one[1:] for one in wanted]
        assert [one.score for one in hypotheses] == pytest.approx([one[0] for one in wanted])


@pytest.mark.parametrize("name", CELLS)
def test_a_beam_of_one_is_greedy(name):
    stepper, _ = network(name)
    ids = np.arange(V)
    texts = sample(
        stepper, stepper.start(V), ids, max_new_tokens=9, rng=generator(), sampling=GREEDY, end=2
    )
    found = beam_search(stepper, stepper.start(V), ids, beam_size=1, max_new_tokens=9, end=2)
    for text, (one,) in zip(texts, found, strict=True):
        assert one.ids == tuple(text.ids)
        assert one.log_prob == pytest.approx(text.log_prob)
        assert one.finished == text.finished


def test_an_input_does_not_see_the_others():
    stepper, inputs = Table(V), np.arange(V)
    options = {"beam_size": 4, "max_new_tokens": 12, "end": 3, "n_best": 4}
    whole = beam_search(stepper, stepper.start(inputs), inputs, **options)
    for at in range(V):
        alone = beam_search(stepper, stepper.start(inputs[[at]]), [at], **options)
        assert alone == [whole[at]]


def test_inputs_that_are_done_are_dropped():
    stepper, sizes = Table(V), []
    step = stepper.step
    stepper.step = lambda ids, state: (sizes.append(len(ids)), step(ids, state))[1]
    state = stepper.start(np.arange(V))
    found = beam_search(stepper, state, np.arange(V), beam_size=3, max_new_tokens=40, end=[2, 3])
    assert sizes[0] == 3 * V
    assert sizes[-1] < sizes[0]
    assert sizes == sorted(sizes, reverse=True)
    assert len(sizes) < 40
    assert all(one.finished == "end" for (one,) in found)


class Fixed:
    """A model with the same scores at each step."""

    def __init__(self, *logits):
        self.logits = np.array([logits], np.float32)

    def step(self, ids, state):
        return np.repeat(self.logits, len(ids), axis=0), state

    def select(self, state, rows):
        return state


def test_of_equal_hypotheses_the_first_are_taken():
    options = {"beam_size": 3, "max_new_tokens": 2, "n_best": 3}
    (found,) = beam_search(Fixed(0, 0, 0, 0), None, [0], **options)
    assert [one.ids for one in found] == [(0, 0), (0, 1), (0, 2)]


def test_the_length_penalty():
    model, options = Fixed(math.log(0.4), math.log(0.6)), {"beam_size": 8, "max_new_tokens": 3}
    for alpha, ids in ((0.0, ()), (3.0, (1, 1, 1))):
        ((one,),) = beam_search(model, None, [0], end=0, length_penalty=alpha, **options)
        assert one.ids == ids
        length = len(ids) or 1
        assert one.log_prob == pytest.approx(math.log(0.4) if not ids else 3 * math.log(0.6))
        assert one.score == pytest.approx(one.log_prob / ((5 + length) / 6) ** alpha)


def test_fewer_texts_than_are_asked_for():
    model = Fixed(0.0, -np.inf, 0.5)
    options = {"max_new_tokens": 2, "end": 0, "banned": 2}
    (found,) = beam_search(model, None, [0], beam_size=4, n_best=3, **options)
    assert [(one.ids, one.finished) for one in found] == [((), "end")]
    with pytest.raises(ConfigError, match="no token can be written: each of the 3 is banned"):
        beam_search(model, None, [0], beam_size=4, max_new_tokens=2, banned=[0, 2])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"beam_size": 0}, "beam_size is 0; it must be a whole number of at least 1"),
        ({"n_best": 0}, "n_best is 0; it must be a whole number of at least 1"),
        ({"n_best": 3}, "n_best is 3; it must be at most beam_size, 2"),
        ({"length_penalty": -0.1}, "length_penalty is -0.1; it must be 0 or more"),
        ({"length_penalty": math.nan}, "length_penalty is nan; it must be 0 or more"),
        ({"max_new_tokens": 0}, "max_new_tokens is 0; it must be a whole number of at least 1"),
    ],
)
def test_bad_arguments_of_a_search(options, message):
    with pytest.raises(ConfigError, match=message):
        beam_search(Fixed(0, 1), None, [0], **{"beam_size": 2, "max_new_tokens": 3, **options})
