"""Writing token by token: what is drawn, what is found, and that rows do not meet."""

import numpy as np
import pytest
import torch
from torch import nn

from elman.nn import Recurrent, ragged
from elman.nn.decoding import (
    RecurrentStepper,
    Sampling,
    beam_search,
    log_probabilities,
    sample,
)

V, H = 7, 6
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
        sampling=Sampling(temperature=0),
    )
    for first, text in zip(firsts, texts, strict=True):
        assert text.ids == written_by(logits, first, 8)
        assert text.finished == "limit"
        own = log_probabilities(logits([first, *text.ids[:-1]]))
        wanted = own[np.arange(8), text.ids]
        assert text.log_probs == pytest.approx(wanted, abs=1e-5)
        assert text.log_prob == pytest.approx(wanted.sum(), abs=1e-5)


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
