"""The conditional random field, against sums over all sequences and against pytorch-crf."""

import copy
import itertools
import math

import pytest
import torch
import torchcrf
from torch.nn.utils.rnn import pad_sequence

from elman.errors import ConfigError, DataError
from elman.nn import ragged
from elman.nn.crf import CRF
from elman.nn.crf import lattice as module

# Lengths of rows, how many tags, and whether some are forbidden.
CASES = [
    ((3, 1, 4, 0, 2), 3, False),
    ((1,), 4, False),
    ((2, 0, 2, 1), 5, True),
    ((5, 3, 5), 3, True),
    ((0, 0, 6), 2, True),
    ((4, 2), 1, False),
]
every_case = pytest.mark.parametrize("case", CASES, ids=str)

IOB2 = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
CONTINUES = torch.tensor([[b[0] == "I" and a[1:] == b[1:] for b in IOB2] for a in IOB2])
ALLOWED = torch.tensor([[b[0] != "I" for b in IOB2]] * 5) | CONTINUES
STARTS = torch.tensor([tag[0] != "I" for tag in IOB2])


@pytest.fixture(params=["scaled", "scaled at each step", "logarithmic"])
def way(request, monkeypatch):
    """How sums are worked out: on logarithms where numbers are too far apart, here everywhere."""
    kind = module.Scaled
    if request.param == "logarithmic":
        monkeypatch.setattr(module, "LARGEST_EXPONENT", 0.0)
        monkeypatch.setattr(module, "Scaled", None)
    elif request.param == "scaled at each step":
        monkeypatch.setattr(
            module,
            "Scaled",
            lambda potentials, directions, every, *, logs: kind(
                potentials, directions, 1, logs=logs
            ),
        )


def random_crf(num_tags, *, masked=False, seed=0):
    torch.manual_seed(seed)
    while True:
        masks = {}
        if masked:
            masks["allowed"] = torch.rand(num_tags, num_tags) < 0.7
            masks["starts"] = torch.rand(num_tags) < 0.7
            masks["ends"] = torch.rand(num_tags) < 0.7
        try:
            crf = CRF(num_tags, **masks).double()
        except ConfigError:
            continue
        for parameter in crf.parameters():
            torch.nn.init.normal_(parameter)
        return crf


def random_scores(lengths, num_tags, *, dtype=torch.float64):
    values = torch.randn(sum(lengths), num_tags, dtype=dtype) * 2
    return ragged.pack(values, lengths)


def make(case, seed=0):
    lengths, num_tags, masked = case
    crf = random_crf(num_tags, masked=masked, seed=seed)
    return crf, random_scores(lengths, num_tags)


def split(packed, values):
    """The values of each row: a list of (length, ...)."""
    flat, lengths = ragged.unpack(ragged.replace(packed, values))
    return list(torch.split(flat, lengths.tolist()))


def join(packed, rows):
    """From values row by row to the packed layout."""
    return ragged.pack(torch.cat(rows), [len(row) for row in rows]).data


def sequences(crf, scores):
    """All sequences of a row that are allowed, with their scores, as the equation has it."""
    found = {}
    for tags in itertools.product(range(crf.num_tags), repeat=len(scores)):
        pairs = list(itertools.pairwise(tags))
        if tags and not (crf.starts[tags[0]] and crf.ends[tags[-1]]):
            continue
        if not all(crf.allowed[pair] for pair in pairs):
            continue
        total = sum(scores[t, tag] for t, tag in enumerate(tags))
        total = total + sum(crf.transitions[pair] for pair in pairs)
        if tags:
            total = total + crf.start[tags[0]] + crf.end[tags[-1]]
        found[tags] = torch.as_tensor(total, dtype=torch.float64)
    return found


def probabilities(crf, scores):
    found = sequences(crf, scores)
    return dict(zip(found, torch.stack(list(found.values())).softmax(0), strict=True))


def some_tags(crf, scores, *, unknown=0.0):
    """An allowed sequence for each row, drawn; some of its tags unknown."""
    rows = []
    for row in split(scores, scores.data.detach()):
        found = sorted(sequences(crf, row))
        tags = torch.tensor(found[int(torch.randint(len(found), ()))], dtype=torch.int64)
        tags[torch.rand(len(tags)) < unknown] = -1
        rows.append(tags)
    return join(scores, rows)


def as_sets(tags, num_tags):
    return (tags[:, None] == torch.arange(num_tags)) | (tags[:, None] < 0)


def fits(sequence, sets):
    return all(sets[t, tag] for t, tag in enumerate(sequence))


# ---------------------------------------------------------------------------------------------
# Training


@every_case
@pytest.mark.parametrize("kind", ["tags", "unknown", "sets"])
def test_likelihood_and_gradients_are_those_of_all_sequences(case, kind, way):
    crf, scores = make(case)
    tags = some_tags(crf, scores, unknown=0.0 if kind == "tags" else 0.5)
    sets = as_sets(tags, crf.num_tags)
    if kind == "sets":
        sets |= torch.rand(sets.shape) < 0.4
        tags = sets
    scores.data.requires_grad_()
    ours = crf.log_likelihood(scores, tags)
    expected = []
    for row, allowed in zip(split(scores, scores.data), split(scores, sets), strict=True):
        found = sequences(crf, row)
        part = [value for sequence, value in found.items() if fits(sequence, allowed)]
        whole = torch.stack(list(found.values())).logsumexp(0)
        expected.append(torch.stack(part).logsumexp(0) - whole)
    theirs = torch.stack(expected)
    torch.testing.assert_close(ours, theirs, rtol=1e-10, atol=1e-10)
    # Each row by a weight of its own.
    weights = torch.randn(len(ours), dtype=torch.float64)
    wanted = [scores.data, *crf.parameters()]
    for mine, other in zip(
        torch.autograd.grad((ours * weights).sum(), wanted),
        torch.autograd.grad((theirs * weights).sum(), wanted, materialize_grads=True),
        strict=True,
    ):
        torch.testing.assert_close(mine, other, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("unknown", [0.0, 0.5])
def test_gradcheck(unknown, way):
    crf, scores = make(((3, 1, 0, 4), 3, True))
    tags = some_tags(crf, scores, unknown=unknown)

    def run(data, *parameters):
        names = [name for name, _ in crf.named_parameters()]
        replaced = dict(zip(names, parameters, strict=True))
        packed = ragged.replace(scores, data)
        return torch.func.functional_call(crf, replaced, (packed, tags))

    inputs = [scores.data, *(parameter.detach() for parameter in crf.parameters())]
    assert torch.autograd.gradcheck(run, [tensor.requires_grad_() for tensor in inputs])


def test_random_cases():
    for seed in range(40):
        torch.manual_seed(seed)
        lengths = torch.randint(0, 5, (int(torch.randint(1, 5, ())),)).tolist()
        crf, scores = make((lengths, int(torch.randint(1, 5, ())), bool(seed % 2)), seed)
        tags = some_tags(crf, scores, unknown=0.3)
        ours = crf.log_likelihood(scores, tags)
        best = split(scores, crf.decode(scores))
        for at, row in enumerate(split(scores, scores.data)):
            found = probabilities(crf, row)
            sets = as_sets(split(scores, tags)[at], crf.num_tags)
            expected = sum(p for sequence, p in found.items() if fits(sequence, sets))
            torch.testing.assert_close(ours[at], expected.log(), rtol=1e-10, atol=1e-10)
            assert max(found, key=found.get) == tuple(best[at].tolist())


def test_likelihoods_of_all_sequences_add_up_to_1():
    crf, _ = make(((4,), 3, True))
    row = torch.randn(4, 3, dtype=torch.float64)
    found = list(sequences(crf, row))
    packed = ragged.pack(row.repeat(len(found), 1), [4] * len(found))
    tags = join(packed, [torch.tensor(sequence) for sequence in found])
    total = crf.log_likelihood(packed, tags).exp().sum()
    torch.testing.assert_close(total, torch.ones((), dtype=torch.float64))


@pytest.mark.parametrize("num_tags", [2, 9, 40])
def test_as_pytorch_crf(num_tags):
    crf = random_crf(num_tags)
    lengths = [7, 1, 12, 12, 3]
    theirs = torchcrf.CRF(num_tags, batch_first=True).double()
    theirs.transitions.data.copy_(crf.transitions.data)
    theirs.start_transitions.data.copy_(crf.start.data)
    theirs.end_transitions.data.copy_(crf.end.data)
    rows = [torch.randn(length, num_tags, dtype=torch.float64) for length in lengths]
    tags = [torch.randint(num_tags, (length,)) for length in lengths]
    packed = ragged.pack(torch.cat(rows), lengths)
    packed.data.requires_grad_()
    padded = pad_sequence(rows, batch_first=True).requires_grad_()
    mask = torch.arange(12) < torch.tensor(lengths)[:, None]

    loss = crf.log_likelihood(packed, join(packed, tags)).sum()
    other = theirs(padded, pad_sequence(tags, batch_first=True), mask)
    torch.testing.assert_close(loss, other, rtol=1e-10, atol=1e-10)
    loss.backward()
    other.backward()
    for mine, its in (
        (crf.transitions, theirs.transitions),
        (crf.start, theirs.start_transitions),
        (crf.end, theirs.end_transitions),
    ):
        torch.testing.assert_close(mine.grad, its.grad, rtol=1e-9, atol=1e-10)
    for mine, its in zip(split(packed, packed.data.grad), padded.grad, strict=True):
        torch.testing.assert_close(mine, its[: len(mine)], rtol=1e-9, atol=1e-10)
    assert [row.tolist() for row in split(packed, crf.decode(packed))] == theirs.decode(
        padded, mask
    )


def test_what_is_forbidden_gets_no_gradient_and_is_never_decoded():
    crf = CRF(5, allowed=ALLOWED, starts=STARTS)
    scores = random_scores([6, 1, 9, 0, 3], 5, dtype=torch.float32)
    # Scores that would have I-LOC everywhere.
    scores.data[:, 4] += 50
    tags = crf.decode(scores)
    for row in split(scores, tags):
        assert all(ALLOWED[pair] for pair in itertools.pairwise(row.tolist()))
        assert all(STARTS[row[:1]])
    crf.log_likelihood(scores, tags).sum().backward()
    assert not crf.transitions.grad[~ALLOWED].any()
    assert not crf.start.grad[~STARTS].any()
    marginals = crf.posterior(scores).marginals()
    assert not split(scores, marginals)[1][0][~STARTS].any()


def test_a_tag_that_no_sequence_reaches_is_forbidden():
    # I-LOC without B-LOC: from I-LOC one may go on, but never come there.
    allowed = ALLOWED.clone()
    allowed[:, 3] = False
    starts = STARTS.clone()
    starts[3] = False
    crf = CRF(5, allowed=allowed, starts=starts).double()
    scores = random_scores([40], 5)
    scores.data[:, 4] += 60
    marginals = crf.posterior(scores).marginals()
    assert not marginals[:, 3:].any()
    torch.testing.assert_close(marginals.sum(1), torch.ones(40, dtype=torch.float64))
    assert crf._mix == 2


def test_a_second_derivative_is_refused():
    crf, scores = make(((3,), 3, False))
    loss = crf.log_likelihood(scores, torch.tensor([0, 1, 2])).sum()
    with pytest.raises(RuntimeError, match="differentiated once only"):
        torch.autograd.grad(loss, crf.transitions, create_graph=True)


def test_rows_of_length_0_only():
    crf = CRF(3)
    scores = ragged.pack(torch.zeros(0, 3), [0, 0])
    nothing = torch.zeros(0, dtype=torch.int64)
    loss = crf.log_likelihood(scores, nothing)
    assert loss.tolist() == [0.0, 0.0]
    loss.sum().backward()
    assert not crf.transitions.grad.any()
    assert crf.decode(scores).shape == (0,)
    tags, ranked = crf.nbest(scores, 2)
    assert tags.shape == (0, 2)
    assert ranked.tolist() == [[0.0, -torch.inf]] * 2
    posterior = crf.posterior(scores)
    assert posterior.marginals().shape == (0, 3)
    assert posterior.log_probabilities(nothing).tolist() == [0.0, 0.0]
    assert posterior.span_probabilities(*[nothing] * 4).shape == (0,)


def test_learns():
    torch.manual_seed(0)
    crf = CRF(3)
    scores = ragged.pack(torch.zeros(12, 3), [6, 4, 2])
    tags = join(scores, [torch.tensor([0, 1, 2] * 2)[:length] for length in (6, 4, 2)])
    optimizer = torch.optim.SGD(crf.parameters(), lr=1.0)
    for _ in range(50):
        optimizer.zero_grad()
        loss = -crf(scores, tags).sum() / len(tags)
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1
    assert torch.equal(crf.decode(scores), tags)


# ---------------------------------------------------------------------------------------------
# Numbers far apart, long rows, types


@pytest.mark.parametrize("size", [1.0, 100.0, 10_000.0])
def test_scores_of_any_size(size, monkeypatch):
    """On probabilities where that is safe, else on logarithms, float32 gets what float64 does."""
    torch.manual_seed(0)
    crf = CRF(5, allowed=ALLOWED, starts=STARTS)
    torch.nn.init.normal_(crf.transitions)
    scores = random_scores([30, 1, 12], 5, dtype=torch.float32)
    scores.data.mul_(size).requires_grad_()
    tags = crf.decode(scores)
    ours = crf.log_likelihood(scores, tags)
    gradient = torch.autograd.grad(ours.sum(), scores.data)[0]
    monkeypatch.setattr(module, "LARGEST_EXPONENT", 0.0)
    theirs = crf.log_likelihood(scores, tags)
    torch.testing.assert_close(ours, theirs)
    torch.testing.assert_close(gradient, torch.autograd.grad(theirs.sum(), scores.data)[0])
    assert ours.isfinite().all()
    assert gradient.isfinite().all()


def test_nothing_is_lost_where_the_best_way_was_the_least_probable():
    # What is by far the most probable at each token may not stand beside its neighbour.
    allowed = torch.tensor([[True, False], [True, True]])
    crf = CRF(2, allowed=allowed).double()
    for size in (10.0, 100.0, 1000.0):
        data = torch.tensor([[size, 0.0], [0.0, size]] * 20, dtype=torch.float64)
        scores = ragged.pack(data, [40])
        found = crf.posterior(scores)
        # All tags 1 up to some token, then 0: 41 sequences.
        steps = [data[:i, 1].sum() + data[i:, 0].sum() for i in range(41)]
        expected = torch.stack(steps).softmax(0)
        ones = torch.stack([expected[i + 1 :].sum() for i in range(40)])
        torch.testing.assert_close(found.marginals()[:, 1], ones, rtol=1e-9, atol=1e-300)


BIOES = ["O", *(f"{sign}-{kind}" for kind in ("PER", "LOC") for sign in "BIES")]
SCHEMES = {
    "all": torch.ones(6, 6, dtype=torch.bool),
    "IOB2": ALLOWED,
    "BIOES": torch.tensor(
        [[(b[0] in "IE") == (a[0] in "BI") and (a[0] not in "BI" or a[1:] == b[1:]) for b in BIOES]
         for a in BIOES]
    ),
}  # fmt: skip


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("share", [1.0, 0.5, 0.2, 0.01])
@pytest.mark.parametrize("unknown", [0.0, 0.7])
def test_probabilities_as_far_apart_as_they_may_be(scheme, unknown, share, monkeypatch):
    """Where numbers are just near enough to be summed as they are, nothing is lost."""
    allowed = SCHEMES[scheme]
    num_tags = len(allowed)
    ends = torch.ones(num_tags, dtype=torch.bool)
    if scheme == "BIOES":
        ends = torch.tensor([tag[0] in "OES" for tag in BIOES])
    crf = CRF(num_tags, allowed=allowed, starts=allowed[0], ends=ends).double()
    most = module.LARGEST_EXPONENT / (crf._mix + 1) - math.log(num_tags) - 1e-6
    torch.manual_seed(0)
    lengths = [60, 41, 2, 1]  # several scalings long
    choice = torch.randint(3, (sum(lengths), num_tags)).double()
    scores = ragged.pack(choice * share * most / 2, lengths)
    tags = crf.decode(ragged.replace(scores, torch.randn_like(scores.data)))
    tags[torch.rand(len(tags)) < unknown] = -1
    scores.data.requires_grad_()

    def everything():
        loss = crf.log_likelihood(scores, tags)
        gradients = torch.autograd.grad(loss.sum(), [scores.data, *crf.parameters()])
        return [loss, *gradients, crf.posterior(scores).marginals()]

    with monkeypatch.context() as patch:
        patch.setattr(module, "Logarithmic", None)
        ours = everything()
    monkeypatch.setattr(module, "Scaled", None)
    monkeypatch.setattr(module, "LARGEST_EXPONENT", 0.0)
    for mine, theirs in zip(ours, everything(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-9)


def test_tags_that_never_mix():
    # Two languages: no sequence has tags of both.
    allowed = torch.block_diag(torch.ones(2, 2), torch.ones(2, 2)).bool()
    crf = CRF(4, allowed=allowed).double()
    data = torch.zeros(300, 4, dtype=torch.float64)
    data[:100, :2] += 10
    data[100:, 2:] += 10
    marginals = crf.posterior(ragged.pack(data, [300])).marginals()
    expected = torch.tensor([0.0, 0.0, 0.5, 0.5], dtype=torch.float64).expand(300, 4)
    torch.testing.assert_close(marginals, expected)


def test_sets_of_tags_that_never_mix():
    # From 0 to 1 by 2 only, which the sets leave out.
    allowed = torch.tensor([[True, False, True], [False, True, True], [True, True, True]])
    crf = CRF(3, allowed=allowed).double()
    data = torch.zeros(200, 3, dtype=torch.float64)
    data[:100, 0] = 10
    data[100:, 1] = 11
    sets = torch.tensor([True, True, False]).expand(200, 3)
    posterior = crf.posterior(ragged.pack(data, [200]))
    either = posterior.log_probabilities(sets)
    second = posterior.log_probabilities(torch.ones(200, dtype=torch.int64))
    torch.testing.assert_close(either, second)
    loss = crf.log_likelihood(ragged.pack(data, [200]), sets)
    torch.testing.assert_close(loss, second)


def test_a_row_of_5000_tokens():
    torch.manual_seed(0)
    crf = CRF(9)
    torch.nn.init.normal_(crf.transitions)
    single = random_scores([5000, 3], 9, dtype=torch.float32)
    single.data.requires_grad_()
    double = ragged.replace(single, single.data.detach().double().requires_grad_())
    tags = crf.decode(single)
    ours = crf.log_likelihood(single, tags)
    assert ours.dtype == torch.float32
    ours.sum().backward()
    crf.double()
    theirs = crf.log_likelihood(double, tags)
    theirs.sum().backward()
    torch.testing.assert_close(ours, theirs.float())
    torch.testing.assert_close(single.data.grad, double.data.grad.float())
    total = crf.posterior(double).marginals().sum(1)
    torch.testing.assert_close(total, torch.ones_like(total))


def test_likelihood_near_1_is_exact_in_float32():
    # Two sums of 20,000 are multiples of 0.002.
    crf = CRF(3)
    data = torch.zeros(1000, 3)
    data[:, 0] = 20.0
    loss = crf.log_likelihood(ragged.pack(data, [1000]), torch.zeros(1000, dtype=torch.int64))
    assert loss.item() == pytest.approx(-2000 * math.exp(-20), rel=1e-5)


def test_scores_in_bfloat16():
    crf = CRF(3)
    scores = random_scores([4, 2], 3, dtype=torch.bfloat16)
    scores.data.requires_grad_()
    loss = crf.log_likelihood(scores, torch.zeros(6, dtype=torch.int64))
    loss.sum().backward()
    assert loss.dtype == torch.float32
    assert scores.data.grad.dtype == torch.bfloat16
    assert crf.transitions.grad.dtype == torch.float32


def test_a_score_that_is_no_number_shows():
    crf = CRF(3)
    scores = random_scores([4, 2], 3, dtype=torch.float32)
    scores.data[0, 0] = torch.nan
    assert crf.log_likelihood(scores, torch.ones(6, dtype=torch.int64)).isnan().tolist() == [
        True,
        False,
    ]


def test_scores_of_minus_infinity_forbid():
    crf = CRF(3).double()
    scores = random_scores([4], 3)
    scores.data[2, 1] = -torch.inf
    marginals = crf.posterior(scores).marginals()
    assert marginals[2, 1] == 0
    # Without transitions, as yet.
    torch.testing.assert_close(marginals, scores.data.softmax(1))


# ---------------------------------------------------------------------------------------------
# Use


@every_case
def test_marginals(case, way):
    crf, scores = make(case)
    ours = split(scores, crf.posterior(scores).marginals())
    for row, marginals in zip(split(scores, scores.data), ours, strict=True):
        expected = torch.zeros_like(row)
        for sequence, probability in probabilities(crf, row).items():
            expected[range(len(row)), sequence] += probability
        torch.testing.assert_close(marginals, expected)


@every_case
def test_n_best(case, way):
    crf, scores = make(case)
    n = 5
    tags, ranked = crf.nbest(scores, n)
    posterior = crf.posterior(scores)
    torch.testing.assert_close(posterior.log_probabilities(crf.decode(scores)), ranked[:, 0])
    for at, row in enumerate(split(scores, scores.data)):
        found = probabilities(crf, row)
        best = sorted(found, key=found.get, reverse=True)[:n]
        mine = split(scores, tags)[at].t().tolist()
        assert [tuple(sequence) for sequence in mine[: len(best)]] == best
        expected = torch.stack([found[sequence].log() for sequence in best])
        torch.testing.assert_close(ranked[at, : len(best)], expected)
        assert ranked[at, len(best) :].isneginf().all()
        assert all(tag == -1 for sequence in mine[len(best) :] for tag in sequence)


def test_many_rows_are_worked_out_in_parts(monkeypatch):
    crf, scores = make(((4, 3, 4, 0, 2, 2, 1), 4, True))
    whole = [crf.decode(scores), *crf.nbest(scores, 3)]
    monkeypatch.setattr(module, "CHUNK", 40)
    monkeypatch.setattr(module, "LARGEST_EXPONENT", 0.0)
    for one, other in zip(whole, [crf.decode(scores), *crf.nbest(scores, 3)], strict=True):
        torch.testing.assert_close(one, other)


@every_case
@pytest.mark.parametrize("temperature", [1.0, 0.5, 3.0])
def test_sequences_and_temperature(case, temperature):
    crf, scores = make(case)
    tags = some_tags(crf, scores, unknown=0.2)
    ours = crf.posterior(scores, temperature=temperature).log_probabilities(tags)
    colder = CRF(crf.num_tags, allowed=crf.allowed, starts=crf.starts, ends=crf.ends).double()
    colder.load_state_dict({k: v / temperature for k, v in crf.state_dict().items()})
    for at, row in enumerate(split(scores, scores.data / temperature)):
        found = probabilities(colder, row)
        sets = as_sets(split(scores, tags)[at], crf.num_tags)
        expected = sum(p for sequence, p in found.items() if fits(sequence, sets))
        torch.testing.assert_close(ours[at], expected.log())
    _, ranked = crf.nbest(scores, 2, temperature=temperature)
    best = crf.posterior(scores, temperature=temperature).log_probabilities(crf.decode(scores))
    torch.testing.assert_close(ranked[:, 0], best)


def test_a_forbidden_sequence_has_probability_0():
    crf = CRF(5, allowed=ALLOWED, starts=STARTS)
    scores = random_scores([3, 2], 5, dtype=torch.float32)
    tags = join(scores, [torch.tensor([0, 1, 4]), torch.tensor([1, 2])])
    found = crf.posterior(scores).log_probabilities(tags)
    assert found.isneginf().tolist() == [True, False]
    tags = join(scores, [torch.tensor([-1, 1, 4]), torch.tensor([1, 2])])
    assert crf.posterior(scores).log_probabilities(tags).isneginf().tolist() == [True, False]


def spans_of(sequence):
    """The entities of a sequence of IOB2: (start, tags)."""
    found = []
    for start, tag in enumerate(sequence):
        if IOB2[tag][0] != "B":
            continue
        end = start + 1
        while end < len(sequence) and CONTINUES[sequence[end - 1], sequence[end]]:
            end += 1
        found.append((start, tuple(sequence[start:end])))
    return found


@pytest.mark.parametrize("constrained", [True, False])
def test_probabilities_of_all_entities(constrained, way):
    torch.manual_seed(0)
    masks = {"allowed": ALLOWED, "starts": STARTS} if constrained else {}
    crf = CRF(5, **masks).double()
    for parameter in crf.parameters():
        torch.nn.init.normal_(parameter)
    scores = random_scores([3, 0, 1, 5], 5)
    expected = {}
    for at, row in enumerate(split(scores, scores.data)):
        for sequence, probability in probabilities(crf, row).items():
            for start, tags in spans_of(sequence):
                key = (at, start, tags)
                expected[key] = expected.get(key, 0.0) + probability.item()
    rows, starts, tags = zip(*expected, strict=True)
    ours = crf.posterior(scores).span_probabilities(
        torch.tensor(rows),
        torch.tensor(starts),
        torch.tensor([len(part) for part in tags]),
        torch.tensor([tag for part in tags for tag in part]),
        CONTINUES,
    )
    torch.testing.assert_close(ours, torch.tensor(list(expected.values()), dtype=torch.float64))


def test_spans_without_ends():
    crf, scores = make(((4, 2), 3, False))
    ours = crf.posterior(scores).span_probabilities(
        *map(torch.tensor, ([0, 0, 1, 1], [1, 0, 0, 1], [2, 4, 1, 1], [2, 0, 1, 1, 0, 2, 1, 0]))
    )
    spans = [(0, 1, (2, 0)), (0, 0, (1, 1, 0, 2)), (1, 0, (1,)), (1, 1, (0,))]
    for mine, (at, start, tags) in zip(ours, spans, strict=True):
        found = probabilities(crf, split(scores, scores.data)[at])
        end = start + len(tags)
        expected = sum(p for sequence, p in found.items() if sequence[start:end] == tags)
        torch.testing.assert_close(mine, expected)


def test_a_row_alone_and_among_others_is_tagged_alike():
    crf, scores = make(((9, 3, 0, 6), 4, True))
    tags = split(scores, crf.decode(scores))
    marginals = split(scores, crf.posterior(scores).marginals())
    for at, row in enumerate(split(scores, scores.data)):
        alone = ragged.pack(row, [len(row)])
        assert torch.equal(crf.decode(alone), tags[at])
        torch.testing.assert_close(crf.posterior(alone).marginals(), marginals[at])


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("way", ["scaled", "logarithmic"], indirect=True)
@pytest.mark.parametrize("kind", ["tags", "unknown", "sets"])
def test_on_a_gpu_as_on_the_cpu(kind, way):
    crf, scores = make(((4, 0, 1, 5), 3, True))
    tags = some_tags(crf, scores, unknown=0.0 if kind == "tags" else 0.5)
    if kind == "sets":
        tags = as_sets(tags, 3) | (torch.rand(len(tags), 3) < 0.4)
    spans = [torch.tensor(part) for part in ([0, 3], [1, 0], [2, 5], [0, 1, 2, 1, 0, 0, 1])]

    def everything(device):
        layer = copy.deepcopy(crf).to(device)
        values, lengths = ragged.unpack(scores)
        packed = ragged.pack(values.to(device), lengths)
        packed.data.requires_grad_()
        loss = layer(packed, tags.to(device))
        loss.sum().backward()
        posterior = layer.posterior(packed)
        found = [loss, packed.data.grad, *(parameter.grad for parameter in layer.parameters())]
        found += [layer.decode(packed), *layer.nbest(packed, 3), posterior.marginals()]
        found += [posterior.log_probabilities(tags.to(device))]
        found += [posterior.span_probabilities(*spans, torch.eye(3, dtype=torch.bool))]
        assert {tensor.device for tensor in found} == {packed.data.device}
        return [tensor.cpu() for tensor in found]

    for ours, theirs in zip(everything("cuda"), everything("cpu"), strict=True):
        torch.testing.assert_close(ours, theirs)


# ---------------------------------------------------------------------------------------------
# Bad input


@pytest.mark.parametrize(
    ("masks", "message"),
    [
        ({"allowed": torch.ones(3, 2, dtype=torch.bool)}, "allowed has shape"),
        ({"starts": torch.ones(3)}, "starts has shape .* it must be bool"),
        ({"ends": torch.zeros(3, dtype=torch.bool)}, "no sequence of length 1"),
        ({"allowed": torch.zeros(3, 3, dtype=torch.bool)}, "no sequence of length 2"),
    ],
)
def test_masks_that_cannot_be(masks, message):
    with pytest.raises(ConfigError, match=message):
        CRF(3, **masks)


@pytest.mark.parametrize("num_tags", [0, -1, 2.0])
def test_a_number_of_tags_that_cannot_be(num_tags):
    with pytest.raises(ConfigError, match="num_tags"):
        CRF(num_tags)


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ([0, 1, 5, 0], "there is a tag 5"),
        ([0, -2, 1, 0], "there is a tag -2"),
        ([0, 1, 2], "shape"),
        ([0.0, 1.0, 2.0, 0.0], "whole numbers"),
        ([2, 0, 0, 1], "row 1 of the batch has tags that"),
        ([2, -1, 0, 0], "row 1 of the batch has tags that"),
    ],
)
def test_tags_that_cannot_be(tags, message):
    # Packed, the tokens are those of rows 1, 0, 1, 1.
    crf = CRF(5, allowed=ALLOWED, starts=STARTS)
    scores = random_scores([1, 3], 5, dtype=torch.float32)
    with pytest.raises(DataError, match=message):
        crf.log_likelihood(scores, torch.tensor(tags))


@pytest.mark.parametrize(
    ("span", "message"),
    [
        (([0], [0], [4], [0, 0, 0, 0]), "span 0 has row 0, start 0 and length 4"),
        (([2], [0], [1], [0]), "span 0 has row 2"),
        (([0, 1], [0, -1], [1, 1], [0, 0]), "span 1 has row 1, start -1"),
        (([0], [0], [2], [0]), "must add up"),
        (([0], [0], [1], [7]), "tags 0 to 2"),
    ],
)
def test_spans_that_cannot_be(span, message):
    posterior = CRF(3).posterior(random_scores([3, 1], 3, dtype=torch.float32))
    with pytest.raises(DataError, match=message):
        posterior.span_probabilities(*map(torch.tensor, span))


def test_other_arguments_that_cannot_be():
    crf = CRF(3)
    scores = random_scores([3, 1], 3, dtype=torch.float32)
    with pytest.raises(DataError, match="the scores have shape"):
        crf.decode(random_scores([3], 4))
    with pytest.raises(ConfigError, match="n is 0"):
        crf.nbest(scores, 0)
    with pytest.raises(ConfigError, match="temperature"):
        crf.posterior(scores, temperature=0.0)
