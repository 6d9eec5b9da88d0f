"""What the units of a language model hold when it has read a text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from elman import api
from elman.data.batching import Batch, pack_rows, sorted_batches
from elman.errors import ConfigError, LabError
from elman.nn.batches import MAX_ROWS, MAX_TOKENS, device_of
from elman.tasks.generate.predictor import LanguageModel
from elman.text.lengths import offsets_of
from elman.training.options import Device
from elman.training.trained import Trained

Floats = NDArray[np.float32]
Pool = Literal["last", "mean", "max"]
POOLS: tuple[Pool, ...] = ("last", "mean", "max")
WINDOW = 512
"""Tokens of each row that are read in one call, so that a text may be of any length."""

Watch = Callable[[float, str], object]
"""Told how far the work is, from 0 to 1, and what is being done."""


class Unit(NamedTuple):
    """One number of a model's memory."""

    layer: int
    state: str
    unit: int

    def __str__(self) -> str:
        return f"{self.layer}.{self.state}.{self.unit}"

    @classmethod
    def parse(cls, name: str) -> Self:
        """Return the unit of a name such as ``0.c.123``.

        Raises:
            ConfigError: it is no such name.
        """
        found = re.fullmatch(r"(\d{1,9})\.(\w+)\.(\d{1,9})", name.strip())
        if found is None:
            raise ConfigError(
                f"the unit is {name!r}; give layer, state and unit with dots, as in 0.c.123"
            )
        return cls(int(found[1]), found[2], int(found[3]))


def units_of(model: LanguageModel) -> list[Unit]:
    """Return all units of all states of all layers, in the order of ``read_units``."""
    recurrent = model.module.recurrent
    return [
        Unit(layer, state, unit)
        for layer in range(recurrent.num_layers)
        for state in recurrent.cell.states
        for unit in range(recurrent.hidden_size)
    ]


def check_unit(model: LanguageModel, unit: Unit) -> None:
    """Refuse a unit that is not there.

    Raises:
        ConfigError: with those that are.
    """
    recurrent = model.module.recurrent
    known = unit.state in recurrent.cell.states
    if known and unit.layer < recurrent.num_layers and unit.unit < recurrent.hidden_size:
        return
    last = recurrent.num_layers - 1
    layers = f"layers are 0 to {last}" if last else "layer is 0"
    raise ConfigError(
        f"the model has no unit {unit}; its {layers}, its states are "
        f"{', '.join(recurrent.cell.states)}, and the units of each are 0 to "
        f"{recurrent.hidden_size - 1}"
    )


def language_model(model: Any, *, device: Device = "cpu") -> LanguageModel:
    """Return the language model that is given, or that stands in a folder.

    Raises:
        BundleError: there is no model in the folder.
        ConfigError: it is no language model, or one that is told what is to be found.
    """
    given = api.model_given(model)
    if given.task.name != "generate":
        name = model if isinstance(model, str | Path) else "this"
        raise ConfigError(
            f"{name} is a model of the task {given.task.name}, and units are looked for in a "
            "language model; train one with `elman train TEXT --task generate`"
        )
    loaded = given.load(device)
    assert isinstance(loaded, LanguageModel)
    if loaded.labels:
        raise ConfigError(
            "the model is told the label of a text (--label-column), so that no unit has to find "
            "it out; train one without labels"
        )
    if loaded.config.reverse:
        raise ConfigError(
            "the model reads from the end of a text to its beginning, and units are looked for as "
            "a text is read; train one without --reverse"
        )
    return loaded


def read_units(
    model: LanguageModel | Trained[Any, Any] | str | Path,
    texts: Sequence[str],
    *,
    pool: Pool = "last",
    watch: Watch | None = None,
) -> Floats:
    """Return what all units hold for each text, (texts, units) in the order of ``units_of``.

    Args:
        model: a language model, what ``train`` returned, or a folder.
        texts: each is read from its beginning, whole.
        pool: the value after the last token (``last``), or over all tokens of the text their mean
            or the largest.
        watch: is told of the progress.

    Raises:
        ConfigError: it is no language model, or ``pool`` is none of these.
        LabError: a state is no finite number.
    """
    if pool not in POOLS:
        raise ConfigError(f"pool is {pool!r}; it must be one of {', '.join(POOLS)}")
    model = language_model(model)
    found = np.empty((len(texts), len(units_of(model))), dtype=np.float32)
    done = 0
    for batch, lengths in _batches(model, texts):
        found[batch.rows] = _pooled(model, batch, lengths, pool)
        done += len(lengths)
        if watch is not None:
            watch(done / len(texts), "reading texts")
    if not np.isfinite(found).all():
        raise LabError("a state of the model is no finite number after some text; train it anew")
    return found


def values_of(model: LanguageModel, texts: Sequence[str], unit: Unit) -> Floats:
    """Return what one unit holds after each token of the texts, in any order."""
    place = units_of(model).index(unit)
    found = [
        states[:, place].numpy(force=True)
        for batch, _ in _batches(model, texts)
        for start, states in windows(model, batch, 1)
        if start
    ]
    return np.concatenate(found)


def _batches(
    model: LanguageModel, texts: Sequence[str]
) -> Iterator[tuple[Batch, NDArray[np.int64]]]:
    """Yield batches of texts of like length, and how many tokens each row has, the first too."""
    if not len(texts):
        return
    ids = [np.append(np.int32(model.before), model.coder.encode(text)) for text in texts]
    lengths = np.array([len(one) for one in ids], dtype=np.int64)
    values, offsets = np.concatenate(ids), offsets_of(lengths)
    for chosen in sorted_batches(lengths, MAX_TOKENS, MAX_ROWS):
        batch = pack_rows(values, lengths, offsets, chosen)
        yield batch, lengths[batch.rows]


def _pooled(model: LanguageModel, batch: Batch, lengths: NDArray[np.int64], pool: Pool) -> Floats:
    """Return (rows, units) of one batch, whose rows have so many tokens, the longest first."""
    steps = WINDOW if pool == "last" else 1
    total: Floats | None = None
    for start, states in windows(model, batch, steps):
        now = states.numpy(force=True)
        if total is None:
            # What stands before the text counts in the mean of a text without tokens alone.
            total = now.copy()
        elif pool == "last" or start == 1:
            total[: len(now)] = now
        elif pool == "mean":
            total[: len(now)] += now
        else:
            np.maximum(total[: len(now)], now, out=total[: len(now)])
    assert total is not None
    if pool == "mean":
        total /= np.maximum(lengths - 1, 1)[:, None]
    return total


def windows(model: LanguageModel, batch: Batch, steps: int) -> Iterator[tuple[int, Tensor]]:
    """Read a batch, so many steps at a time.

    Yields:
        After each window where it began, and of the rows that go into it, (rows, units), what all
        units hold after its end, or after a row's own last token.
    """
    module, names = model.module, model.module.recurrent.cell.states
    device, sizes = device_of(module), torch.from_numpy(batch.batch_sizes)
    tokens = torch.from_numpy(batch.values.astype(np.int64)).to(device)
    states, place = module.begin(len(batch.rows)), 0
    with torch.no_grad():
        for start in range(0, len(sizes), steps):
            window = sizes[start : start + steps]
            count, rows = int(window.sum()), int(window[0])
            packed = PackedSequence(tokens[place : place + count], window)
            going = {name: state[:, :rows].contiguous() for name, state in states.items()}
            _, _, states = module(packed, going)
            place += count
            # (layers, states, rows, H), then a row the units layer by layer, state by state.
            stacked = torch.stack([states[name] for name in names], dim=1)
            yield start, stacked.permute(2, 0, 1, 3).reshape(rows, -1)
