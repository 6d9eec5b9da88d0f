"""A recurrent language model: what comes next, at every step.

token (and label) -> embedding -> Recurrent -> (linear, to the embedding's size) -> softmax over the
vocabulary, with the embedding's own weights where they are tied
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

import msgspec
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.rnn import PackedSequence

from elman.cell import Cell
from elman.errors import ConfigError
from elman.nn import dropout, ragged
from elman.nn.recurrent import Recurrent
from elman.nn.softmax import Adaptive, Full, Sampled

States = dict[str, Tensor]
Softmax = Literal["full", "adaptive", "sampled"]
SOFTMAXES: tuple[str, ...] = get_args(Softmax)


class LanguageModelConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The sizes of a language model, all of them settled."""

    vocab_size: int
    """V, the two special entries included."""
    embedding_size: int
    hidden_size: int
    num_layers: int = 1
    num_labels: int = 0
    """Labels that texts may have; 0 for none."""
    tied: bool = False
    softmax: Softmax = "full"
    learn_state: bool = False
    input_dropout: float = 0.0
    dropout: float = 0.0
    """Between layers."""
    output_dropout: float = 0.0
    embedding_dropout: float = 0.0
    weight_dropout: float = 0.0

    def __post_init__(self) -> None:
        for name in ("vocab_size", "embedding_size", "hidden_size", "num_layers"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be 1 or more")
        if self.num_labels < 0:
            raise ConfigError(f"num_labels is {self.num_labels}; it must be 0 or more")
        for name in self.__struct_fields__:
            if name.endswith("dropout") and not 0 <= getattr(self, name) < 1:
                raise ConfigError(
                    f"{name} is {getattr(self, name)}; it must be at least 0 and under 1"
                )
        if self.softmax not in SOFTMAXES:
            raise ConfigError(
                f"softmax is {self.softmax!r}; it must be one of {', '.join(SOFTMAXES)}"
            )
        if self.tied and self.softmax == "adaptive":
            raise ConfigError("an adaptive softmax cannot be tied to the embedding")


class RecurrentLanguageModel(nn.Module):
    """A language model over ragged batches.

    Args:
        config: the sizes.
        cell: of all layers.
        backend: which backend runs the recurrence.
    """

    head: Full | Adaptive

    def __init__(self, config: LanguageModelConfig, cell: str | Cell, *, backend: str = "auto"):
        super().__init__()
        self.config = config
        width = config.embedding_size
        self.embedding = nn.Embedding(config.vocab_size, width)
        nn.init.normal_(self.embedding.weight, std=width**-0.5 if config.tied else 0.1)
        self.labels = nn.Embedding(config.num_labels, width) if config.num_labels else None
        self.recurrent = Recurrent(
            cell,
            width,
            config.hidden_size,
            num_layers=config.num_layers,
            dropout=config.dropout,
            variational=True,
            weight_dropout=config.weight_dropout,
            backend=backend,
        )
        size = config.hidden_size
        self.narrow = None
        if config.tied and size != width:
            self.narrow = nn.Linear(size, width)
            size = width
        kinds: dict[str, type[Full | Adaptive]]
        kinds = {"full": Full, "adaptive": Adaptive, "sampled": Sampled}
        kind = kinds[config.softmax]
        self.head = kind(size, config.vocab_size)
        if config.tied:
            self.head.weight = self.embedding.weight
        self.first = nn.ParameterDict()
        if config.learn_state:
            for name in self.recurrent.cell.states:
                self.first[name] = torch.zeros(config.num_layers, 1, config.hidden_size)

    def begin(self, rows: int) -> States:
        """Return the states that ``rows`` texts begin with, (num_layers, rows, H) each."""
        config, like = self.config, self.embedding.weight
        shape = (config.num_layers, rows, config.hidden_size)
        return {
            name: self.first[name].expand(shape) if config.learn_state else like.new_zeros(shape)
            for name in self.recurrent.cell.states
        }

    def forward(
        self,
        tokens: PackedSequence,
        states: Mapping[str, Tensor],
        labels: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, States]:
        """Read tokens.

        Args:
            tokens: ids (N,).
            states: before the first of each row, (num_layers, B, H) each.
            labels: (B,) of each row in the order of the states; None reads without any.

        Returns:
            What the head reads (N, D), the last layer's outputs (N, H) without dropout, and the
            states after each row's last token.
        """
        config = self.config
        table = dropout.words(
            self.embedding.weight, config.embedding_dropout, training=self.training
        )
        if (self.training and config.input_dropout) or (labels is not None and self.labels):
            vectors = functional.embedding(tokens.data, table)
            if labels is not None and self.labels is not None:
                vectors = vectors + self.labels(labels)[ragged.rows(tokens)]
            read = ragged.replace(tokens, vectors)
            read = dropout.variational(read, config.input_dropout, training=self.training)
            outputs, after = self.recurrent(read, states)
        else:
            outputs, after = self.recurrent(tokens, states, table=table)
        dropped = dropout.variational(outputs, config.output_dropout, training=self.training).data
        hidden = dropped if self.narrow is None else self.narrow(dropped)
        return hidden, outputs.data, after
