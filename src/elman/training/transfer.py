"""A language model that another network starts from, whatever its task.

Howard & Ruder 2018, "Universal Language Model Fine-tuning for Text Classification": what is learnt
from texts without labels is the beginning of a model of few texts with labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import torch
from torch import nn

from elman.cell import Cell
from elman.data.files import expanded
from elman.errors import BundleError, ConfigError
from elman.ir import text as ir_text
from elman.nn.language_model import LanguageModelConfig, RecurrentLanguageModel
from elman.nn.recurrent import Recurrent
from elman.text.tokenizer.reversible import CODINGS, TextCoder, first_id, load_coder
from elman.training import bundle
from elman.training.options import RunOptions, declared, disagreement
from elman.training.provenance import name_of

TASK = "generate"
CODER = "tokenizer.json"
CELL = "cell.txt"
SLOWER = 2.6
"""How much slower a layer learns than the one above it (Howard & Ruder 2018, section 3.2)."""

OptionsT = TypeVar("OptionsT", bound=RunOptions)


class _Config(msgspec.Struct, frozen=True, kw_only=True):
    """What of a language model's part of config.json is needed here."""

    network: LanguageModelConfig
    running: bool
    labels: list[str] = []
    reverse: bool = False


@dataclass(frozen=True)
class LanguageModelParts:
    """What another network takes from a language model.

    Attributes:
        place: its folder, as it was given.
        coder: from text to token ids.
        network: with the trained weights, on the CPU.
        running: whether it has learnt from one running text, and not from texts that stand alone.
        reverse: whether it reads from the end of a text to its beginning.
    """

    place: str
    coder: TextCoder
    network: RecurrentLanguageModel
    running: bool
    reverse: bool

    @property
    def config(self) -> LanguageModelConfig:
        """Its sizes."""
        return self.network.config

    @property
    def cell(self) -> Cell:
        """Of all layers."""
        return self.network.recurrent.cell

    @property
    def before(self) -> int:
        """The id that stands before a text's first token."""
        return first_id(self.coder, running=self.running)

    def __str__(self) -> str:
        layers = f"{self.config.num_layers} x {self.config.hidden_size}"
        level = CODINGS[self.coder.level]
        return f"{name_of(self.place)} ({self.cell.name}, {layers} units, {level})"


def read_language_model(place: str | Path) -> LanguageModelParts:
    """Read a language model that `elman train --task generate` wrote.

    Args:
        place: its folder.

    Raises:
        BundleError: there is no model, or it is damaged.
        ConfigError: it is of another task, or reads a label with each text.
    """
    folder = Path(expanded(str(place)))
    told = bundle.read_config(folder)
    if told.task != TASK:
        raise ConfigError(
            f"{place} is a model of the task {told.task}, no language model; make one with "
            f"`elman train TEXT --task {TASK}`"
        )
    stored = bundle.read(folder)
    config: _Config = bundle.decode_model(stored, _Config)
    if config.labels:
        raise ConfigError(
            f"{place} is a language model that reads a label with each text, which is not known of "
            "others; train one without --label-column"
        )
    coder = stored.parse(CODER, load_coder)
    cell = stored.parse(CELL, lambda data: Cell(ir_text.parse(data.decode("utf-8", "replace"))))
    if coder.vocab_size != config.network.vocab_size:
        raise BundleError(
            f"{folder / CODER} and {bundle.CONFIG} do not match each other; copy the folder whole "
            "or train again"
        )

    def make(backend: str) -> RecurrentLanguageModel:
        return RecurrentLanguageModel(config.network, cell, backend=backend)

    layers = config.network.num_layers
    network = bundle.restore_module(stored, make, backend="auto", num_layers=layers)
    return LanguageModelParts(str(place), coder, network.eval(), config.running, config.reverse)


def agreed(options: OptionsT, decided: Mapping[str, Any]) -> OptionsT:
    """Return the options with what a language model has decided.

    What differs from its default was asked for.

    Raises:
        ConfigError: something else was.
    """
    kinds = {one.name: one for one in declared(type(options))}
    own = msgspec.structs.replace(options, **decided)
    cells = [{k: ir_text.write(c.graph) for k, c in one.cells().items()} for one in (options, own)]
    then, now = ({**one.to_dict(), **cell} for one, cell in zip((options, own), cells, strict=True))
    for name in decided:
        default = getattr(options, name) in (None, kinds[name].default)
        if not default and then[name] != now[name]:
            raise ConfigError(disagreement("--from", name, options, own))
    return own


# ---------------------------------------------------------------------------------------------
# The weights


@torch.no_grad()
def take_weights(parts: LanguageModelParts, embedding: nn.Embedding, recurrent: Recurrent) -> None:
    """Put the embedding and the recurrent layers of a language model into fresh ones."""
    embedding.weight.copy_(parts.network.embedding.weight)
    recurrent.load_state_dict(parts.network.recurrent.state_dict())


class Layers:
    """The layers of a network from the lowest to the last one, as they come to learn.

    A layer learns ``SLOWER`` times slower than the one above it. In the first epoch the last one
    learns alone, then one more with each epoch (Howard & Ruder 2018, sections 3.2 and 3.3).

    Args:
        layers: the parameters of each, the lowest first.
    """

    def __init__(self, layers: Sequence[Sequence[nn.Parameter]]):
        self._layers = layers
        for depth, layer in enumerate(reversed(layers)):
            for parameter in layer:
                # As ``decays``: seen by elman.training.optimisers.
                parameter.rate = SLOWER**-depth  # type: ignore[attr-defined]

    def begin(self, epoch: int) -> None:
        """Let those learn that do so in an epoch, counted from 1."""
        for depth, layer in enumerate(reversed(self._layers)):
            for parameter in layer:
                parameter.requires_grad_(depth < epoch)


def layers_of(recurrent: Recurrent) -> list[list[nn.Parameter]]:
    """Return the parameters of each layer, the lowest first."""
    return [
        [p for name, p in recurrent.named_parameters() if _layer_of(name) == layer]
        for layer in range(recurrent.num_layers)
    ]


def _layer_of(name: str) -> int:
    return int(name.removesuffix("_reverse").rpartition("_l")[2])
