"""A run that was stopped, kept so that it goes on exactly where it was.

One safetensors file holds all tensors; its metadata hold the history and what the run was told.
It stands beside the bundle, in ``<out>.training``, until the run is finished; where a run trains
several times, each training has a folder of its own there.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from elman.errors import BundleError, ConfigError, TrainingError
from elman.ir import text as ir_text
from elman.training import history
from elman.training.bundle import stored_names, without_fix, write_synced, writing
from elman.training.options import MACHINE, RunOptions

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from elman.training.trainer import Trainer

FILE = "checkpoint.safetensors"


class Checkpoint:
    """The place of one training's checkpoint.

    Args:
        out: where the bundle will stand.
        task: its name.
        options: the training's options as given.
        data: the digest of the three parts.
        name: the folder of this training where a run has several.
        plan: what else makes the run what it is, such as how often it trains.
    """

    def __init__(
        self,
        out: Path,
        task: str,
        options: RunOptions,
        data: str,
        *,
        name: str = "",
        plan: Mapping[str, Any] | None = None,
    ):
        self.out = out
        self.folder = training_folder(out) / name
        self.task = task
        self.plan = dict(plan or {})
        self.options = self._with_task(options)
        self.cells = {name: ir_text.write(cell.graph) for name, cell in options.cells().items()}
        self.data = data

    @property
    def file(self) -> Path:
        """The checkpoint itself."""
        return self.folder / FILE

    def _with_task(self, options: RunOptions) -> dict[str, Any]:
        """Return the options that make a run what it is: not how the machine runs it."""
        own = options.to_dict()
        return {
            "task": self.task,
            **self.plan,
            **{k: v for k, v in own.items() if k not in MACHINE},
        }

    def save(self, trainer: Trainer) -> None:
        """Write the trainer's state after a whole epoch; replaces the last one atomically.

        Raises:
            BundleError: it cannot be written.
            TrainingError: likewise, and an earlier one is kept.
        """
        from safetensors.torch import save

        tensors: dict[str, Tensor] = {}
        now = trainer.model.state_dict()
        for name in stored_names(trainer.model):
            tensors[f"model/{name}"] = now[name]
            if trainer.state.best_weights:
                tensors[f"best/{name}"] = trainer.state.best_weights[name]
        numbers: dict[str, Any] = {}
        optimiser = trainer.optimiser.state_dict()
        for i, state in optimiser["state"].items():
            for key, value in state.items():
                place = tensors if hasattr(value, "contiguous") else numbers
                place[f"optimiser/{i}/{key}"] = value
        metadata = {
            "history": history.to_lines(trainer.state.history).decode(),
            "numbers": _json(numbers),
            "averages": _json([group.get("t0") for group in optimiser["param_groups"]]),
            "options": _json(self._with_task(trainer.learner.options)),
            "first_loss": _json(trainer.state.first_loss),
            "cells": _json(self.cells),
            "data": self.data,
        }
        data = save({k: v.cpu().contiguous() for k, v in tensors.items()}, metadata)
        try:
            with writing(self.folder):
                self._write(data)
        except BundleError as error:
            if not self.file.is_file():
                raise
            raise TrainingError(
                f"{without_fix(error)}; the state after an earlier epoch is kept there: fix "
                "that, and the same command with --resume goes on"
            ) from error

    def _write(self, data: bytes) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        temporary = self.folder / f".{FILE}.{os.getpid()}"
        try:
            write_synced(temporary, data)
            temporary.replace(self.file)
        finally:
            temporary.unlink(missing_ok=True)  # half a file on a full disk helps nobody
            if not any(self.folder.iterdir()):
                self.folder.rmdir()

    def restore(self, trainer: Trainer) -> None:
        """Bring ``trainer`` to where the run was.

        Raises:
            ConfigError: there is no checkpoint, or it was made with other options or data.
            BundleError: the checkpoint is damaged.
        """
        from safetensors import safe_open

        self.check()
        settled = self._with_task(trainer.learner.options)
        try:
            with safe_open(str(self.file), framework="pt") as stored:
                metadata = stored.metadata()
                tensors = {name: stored.get_tensor(name) for name in list(stored.keys())}
            _refuse_others(settled, msgspec.json.decode(metadata["options"]))
            trainer.model.load_state_dict(_part(tensors, "model/"), strict=False)
            trainer.state.best_weights = _part(tensors, "best/")
            trainer.state.first_loss = msgspec.json.decode(metadata["first_loss"])
            trainer.state.history = history.from_lines(metadata["history"].encode())
            stored_values = {**tensors, **msgspec.json.decode(metadata["numbers"])}
            averages = msgspec.json.decode(metadata["averages"])
            _restore_optimiser(trainer.optimiser, _part(stored_values, "optimiser/"), averages)
        except ConfigError:
            raise
        except Exception as error:
            raise BundleError(f"{self.file} is damaged; begin anew with --force") from error

    def check(self) -> None:
        """Refuse to go on from another run's checkpoint; imports and changes nothing else.

        What is not given follows from the data once more: `restore` looks at it then.
        """
        if not self.file.is_file():
            raise ConfigError(
                f"there is nothing to resume at {self.folder}; leave out --resume to begin"
            )
        then, cells, data = _told(self.file)
        told = {k for k, value in self.options.items() if value not in (None, "auto")}
        given = {k: self.options[k] for k in (*self.plan, *told)}
        _refuse_others(given, then)
        for name, text in self.cells.items():
            if cells.get(name) != text:
                raise ConfigError(
                    f"the equations of {self.options[name]} are not those of the stopped run; "
                    "put them back, or begin anew with --force"
                )
        if data != self.data:
            raise ConfigError(
                "the data are not those of the stopped run; "
                "resume with the same files, or begin anew with --force"
            )

    def check_plan(self) -> None:
        """Refuse to go on from what another plan of trainings has left beside ``out``.

        Raises:
            ConfigError: nothing is left there, or it is of another plan.
            BundleError: it is damaged.
        """
        stored = stored_files(self.out)
        if not stored:
            raise ConfigError(
                f"there is nothing to resume at {training_folder(self.out)}; "
                "leave out --resume to begin"
            )
        _refuse_others({"task": self.task, **self.plan}, _told(stored[0])[0])


def training_folder(out: Path) -> Path:
    """Return where the unfinished run of the bundle ``out`` is kept."""
    place = out if out.name not in ("", "..") else out.resolve()
    return place.parent / f"{place.name}.training"


def stored_files(out: Path) -> list[Path]:
    """Return the checkpoints of the unfinished run of ``out``."""
    folder = training_folder(out)
    return sorted([*folder.glob(FILE), *folder.glob(f"*/{FILE}")])


def is_unfinished(out: Path) -> bool:
    """Whether a run that was stopped can go on at ``out``."""
    return bool(stored_files(out))


def forget(out: Path) -> None:
    """Forget the run of ``out``: it is finished, or another one begins in its place."""
    for file in stored_files(out):
        file.unlink(missing_ok=True)
        for folder in {file.parent, training_folder(out)}:
            if folder.is_dir() and not any(folder.iterdir()):
                folder.rmdir()


def _told(file: Path) -> tuple[dict[str, Any], dict[str, str], str]:
    """Return what a checkpoint says of its run: options, cells, the digest of the data."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(file), framework="numpy") as stored:
            metadata = stored.metadata()
        options = msgspec.json.decode(metadata["options"], type=dict)
        return options, msgspec.json.decode(metadata["cells"], type=dict), metadata["data"]
    except (SafetensorError, OSError, KeyError, TypeError, msgspec.DecodeError) as error:
        raise BundleError(f"{file} is damaged; begin anew with --force") from error


def _refuse_others(options: dict[str, Any], then: dict[str, Any]) -> None:
    for name, now in options.items():
        if now != then.get(name):
            raise ConfigError(
                f"the stopped run had {name} {then.get(name)}, not {now}; "
                "resume with the same options, or begin anew with --force"
            )


def _json(value: Any) -> str:
    return msgspec.json.encode(value).decode()


def _part(values: dict[str, Any], prefix: str) -> dict[str, Any]:
    return {k.removeprefix(prefix): v for k, v in values.items() if k.startswith(prefix)}


def _restore_optimiser(
    optimiser: torch.optim.Optimizer, values: dict[str, Any], averages: list[float | None]
) -> None:
    state: dict[int, dict[str, Any]] = {}
    for name, value in values.items():
        i, key = name.split("/")
        state.setdefault(int(i), {})[key] = value
    # The groups' learning rates are set anew before each update.
    groups = optimiser.state_dict()["param_groups"]
    for group, start in zip(groups, averages, strict=True):
        if start is not None:  # of weights that are averaged: from which update on
            group["t0"] = start
    optimiser.load_state_dict({"state": state, "param_groups": groups})
