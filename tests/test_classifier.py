"""The classifier's parts, each beside the plain computation row by row."""

import pytest
import torch
from torch.nn.utils.rnn import pack_sequence

from elman.errors import ConfigError
from elman.nn import ragged
from elman.tasks.classify.model import Classifier, ClassifierConfig
from elman.tasks.classify.options import POOLINGS
from elman.text.subwords import spelling
from elman.text.vocabulary import PADDING_ID, UNKNOWN_ID

# Rows in an order of their own, as users pack them, and in the order of the trainer.
ROWS = {"own order": [[5, 2], [3, 4, 5, 6, 7], [2], [7, 7, 3]], "sorted": [[4, 5, 6], [3, 2], [7]]}


def classifier(**options):
    torch.manual_seed(0)
    sizes = {"vocab_size": 8, "num_classes": 3, "embedding_size": 4, "hidden_size": 5}
    return Classifier(ClassifierConfig(**{**sizes, **options}), "lstm").eval()


def pooled_by_hand(model, row):
    """Pool the outputs (T, H * directions) of one row."""
    vectors = model.embedding(torch.tensor(row))
    outputs, _ = model.recurrent(pack_sequence([vectors]))
    data = outputs.data
    match model.config.pooling:
        case "last":
            return torch.cat([data[-1, :5], data[0, 5:]])
        case "max":
            return data.max(dim=0).values
        case "mean":
            return data.mean(dim=0)
        case "max+mean":
            return torch.cat([data.max(dim=0).values, data.mean(dim=0)])
        case "last+max+mean":
            last = torch.cat([data[-1, :5], data[0, 5:]])
            return torch.cat([last, data.max(dim=0).values, data.mean(dim=0)])
    scores = model.attention.context(torch.tanh(model.attention.projection(data)))
    return (scores.softmax(dim=0) * data).sum(dim=0)


@pytest.mark.parametrize("order", ROWS)
@pytest.mark.parametrize("bidirectional", [True, False])
@pytest.mark.parametrize("pooling", POOLINGS)
def test_pooling(pooling, bidirectional, order):
    model = classifier(pooling=pooling, bidirectional=bidirectional)
    rows = ROWS[order]
    packed = pack_sequence([torch.tensor(row) for row in rows], enforce_sorted=order == "sorted")
    expected = torch.stack([pooled_by_hand(model, row) for row in rows])
    torch.testing.assert_close(model.pooled(packed), expected)
    torch.testing.assert_close(model(packed), model.output(expected))


@pytest.mark.parametrize("pairs", [64, 13])
def test_pairs_add_a_vector_for_the_token_and_the_one_before(pairs):
    model = classifier(pairs=pairs)
    for rows in ROWS.values():
        packed = pack_sequence([torch.tensor(row) for row in rows], enforce_sorted=False)
        found, lengths = ragged.unpack(ragged.replace(packed, model.vectors(packed)))
        by_row = found.split(lengths.tolist())
        for row, vectors in zip(rows, by_row, strict=True):
            for before, token, vector in zip([PADDING_ID, *row], row, vectors, strict=False):
                pair = model.pairs.table.weight[(before * 8 + token) % pairs]
                torch.testing.assert_close(vector, model.embedding.weight[token] + pair)


def test_pairs_learn_and_are_read_in_training_and_after():
    model = classifier(pairs=64)
    packed = pack_sequence([torch.tensor(row) for row in ROWS["sorted"]])
    before = model(packed)
    torch.testing.assert_close(model.train()(packed), before)
    model(packed).sum().backward()
    seen = model.pairs.table.weight.grad.any(1).nonzero().flatten().tolist()
    assert seen == sorted([0 * 8 + 4, 4 * 8 + 5, 5 * 8 + 6, 3, 3 * 8 + 2, 7])


def test_without_pairs_there_is_no_table():
    assert classifier().pairs is None
    with pytest.raises(ConfigError, match="pairs is -1; it must be 0 or more"):
        classifier(pairs=-1)


def test_token_dropout_reads_unknown_in_training_alone():
    model = classifier(token_dropout=0.5)
    packed = pack_sequence([torch.tensor([2, 3, 4, 5, 6, 7] * 200)])
    unknown = model.embedding.weight[UNKNOWN_ID]
    assert not (model.vectors(packed) == unknown).all(dim=1).any()
    model.train()
    hidden = (model.vectors(packed) == unknown).all(dim=1)
    assert 0.4 < hidden.float().mean() < 0.6


def test_words_have_a_vector_by_their_spelling_known_or_not():
    entries = ["<pad>", "<unk>", "кот", "кота", "коту"]
    spelt = spelling(entries, [2, 3, 4], 16)
    model = classifier(vocab_size=4, subwords=16)  # the last word is not known
    packed = pack_sequence([torch.tensor([4, 2]), torch.tensor([3])])
    vectors = model.vectors(packed, spelt)
    for vector, i in zip(vectors, packed.data.tolist(), strict=True):
        start = spelt.starts[i]
        numbers = spelt.values[start : start + spelt.lengths[i]]
        mean = model.subwords.table.weight[numbers].mean(dim=0)
        own = model.embedding.weight[i if i < 4 else UNKNOWN_ID]
        torch.testing.assert_close(vector, own + mean)
    model(packed, spelt).sum().backward()
    assert model.subwords.table.weight.grad.any()
