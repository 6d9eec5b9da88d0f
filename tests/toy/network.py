"""What needs torch."""

import msgspec
import numpy as np
import torch
from torch import nn
from torch.nn import functional

from elman.cell import Cell
from elman.errors import DataError
from elman.ir import text as ir_text
from elman.nn import Recurrent, ragged
from elman.training import bundle
from elman.training.task import Loss, Scores
from toy.task import Scored


class Network(nn.Module):
    def __init__(
        self, size, embedding_size, hidden_size, cell, *, layers=1, dropout=0.0, backend="auto"
    ):
        super().__init__()
        self.embedding = nn.Embedding(size, embedding_size)
        self.dropout = dropout
        self.recurrent = Recurrent(cell, embedding_size, hidden_size, layers, backend=backend)
        self.output = nn.Linear(hidden_size, size)
        if hidden_size == embedding_size:
            self.output.weight = self.embedding.weight

    def forward(self, tokens):
        outputs, _ = self.recurrent(ragged.replace(tokens, self.embedding(tokens.data)))
        return self.output(functional.dropout(outputs.data, self.dropout, self.training))

    def loss(self, lines, characters, smoothing=0.0):
        rows = [[characters.find(c) + 1 for c in line] for line in lines]
        device = self.output.weight.device
        ids = torch.tensor([i for row in rows for i in (0, *row)]).to(device)
        packed = ragged.pack(ids, [len(row) + 1 for row in rows])
        nexts = torch.tensor([i for row in rows for i in (*row, 0)]).to(device)
        targets = ragged.pack(nexts, [len(row) + 1 for row in rows])
        return functional.cross_entropy(self(packed), targets.data, label_smoothing=smoothing), len(
            ids
        )


class ToyLearner:
    def __init__(self, split, options, init=None):
        self.options, self.notes = options, ()
        self.schedule = options.schedule(unit="characters", batch_work=0)
        self.split = split
        self.characters = "".join(sorted({c for line in split.train.lines for c in line}))
        if init is not None:
            self.characters = init.characters
        torch.manual_seed(options.seed)
        sizes = len(self.characters) + 1, options.embedding_size, options.hidden_size
        self.model = Network(
            *sizes,
            options.cells()["cell"],
            layers=options.num_layers,
            dropout=options.dropout,
            backend=options.backend,
        )
        if init is not None:
            self.model.load_state_dict(init.module.state_dict())

    def batches(self, rng, epoch):
        order = rng.permutation(len(self.split.train))
        return np.split(order, range(self.options.batch_size, len(order), self.options.batch_size))

    def loss(self, batch):
        lines = [self.split.train.lines[i] for i in batch]
        return Loss(*self.model.loss(lines, self.characters, self.options.smoothing))

    def sample(self, update):
        return None

    def validate(self):
        if not len(self.split.valid):
            return None
        loss, count = self.model.loss(self.split.valid.lines, self.characters)
        return Scores(-float(loss), 1 / count**0.5, {"nats": float(loss)})


class Config(msgspec.Struct):
    characters: str
    embedding_size: int
    hidden_size: int
    num_layers: int


class ToyPredictor:
    task = "toy"
    metric = ""

    def __init__(self, module, characters):
        self.module, self.characters = module.eval(), characters

    @property
    def num_parameters(self):
        return sum(p.numel() for p in self.module.parameters())

    @property
    def settings(self):
        own = self.module.recurrent
        return {
            "cell": own.cell,
            "embedding_size": own.input_size,
            "hidden_size": own.hidden_size,
            "num_layers": own.num_layers,
        }

    def answer(self, inputs, *, length=3):
        return [{"text": text, "continued": self._continued(text, length)} for text in inputs]

    @torch.inference_mode()
    def _continued(self, text, length):
        for _ in range(length):
            ids = torch.tensor([0, *(self.characters.find(c) + 1 for c in text)])
            ids = ids.to(self.module.output.weight.device)
            text += ("", *self.characters)[
                int(self.module(ragged.pack(ids, [len(ids)]))[-1].argmax())
            ]
        return text

    @torch.inference_mode()
    def evaluate(self, examples, **options):
        if not len(examples):
            raise DataError(f"{examples.source}: there is nothing to judge on")
        loss, count = self.module.loss(examples.lines, self.characters)
        return Scored(count, float(loss))

    @torch.inference_mode()
    def predictions(self, examples, **options):
        for line in examples.lines:
            loss, count = self.module.loss([line], self.characters)
            yield {"text": line, "nats": float(loss), "characters": count}

    def parts(self):
        recurrent = self.module.recurrent
        config = Config(
            self.characters, recurrent.input_size, recurrent.hidden_size, recurrent.num_layers
        )
        return config, {"cell.txt": ir_text.write(recurrent.cell.graph).encode()}


def load(stored, *, backend):
    config = bundle.decode_model(stored, Config)
    cell = Cell(ir_text.parse(stored.file("cell.txt").decode()))
    sizes = len(config.characters) + 1, config.embedding_size, config.hidden_size
    module = bundle.restore_module(
        stored,
        lambda backend: Network(*sizes, cell, layers=config.num_layers, backend=backend),
        backend=backend,
        num_layers=config.num_layers,
    )
    return ToyPredictor(module, config.characters)
