"""The classifier's parts, each beside the plain computation row by row."""

import pytest
import torch
from torch.nn.utils.rnn import pack_sequence

from elman.models.classifier import Classifier
from elman.models.config import POOLINGS, ClassifierConfig
from elman.text.vocabulary import UNKNOWN_ID

# Rows in an order of their own, as users pack them, and in the order of the trainer.
ROWS = {"own order": [[5, 2], [3, 4, 5, 6, 7], [2], [7, 7, 3]], "sorted": [[4, 5, 6], [3, 2], [7]]}


def classifier(**options):
    torch.manual_seed(0)
    sizes = {"vocab_size": 8, "num_classes": 3, "embedding_size": 4, "hidden_size": 5}
    return Classifier(ClassifierConfig(**sizes, **options), "lstm").eval()


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


def test_token_dropout_reads_unknown_in_training_alone():
    model = classifier(token_dropout=0.5)
    packed = pack_sequence([torch.tensor([2, 3, 4, 5, 6, 7] * 200)])
    assert model._with_unknown(packed) is packed
    model.train()
    unknown = model._with_unknown(packed).data == UNKNOWN_ID
    assert 0.4 < unknown.float().mean() < 0.6
