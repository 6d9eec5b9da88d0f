"""`elman evaluate`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from elman import api, tasks
from elman.cli import options
from elman.cli.options import DATA_TEXT
from elman.training import machine
from elman.training.options import Device, MachineOptions, ReadOptions
from elman.training.task import Task

_TEXT = f"""Score a trained model on labelled examples.

All of DATA is judged, as it is. To judge on what the model was trained on says little: `elman
train` has already judged it on data kept apart.

Parameters
----------
model
    Folder of a trained model.
data
    {DATA_TEXT}
"""


def command(argv: Sequence[str]) -> Callable[..., None]:
    """Return the command with the options of the model that ``argv`` names."""
    task = options.task_of_model(argv)

    def evaluate(model: Path, *data: str, **given: Any) -> None:
        asked, others = options.machine_of(given)
        with machine.threads(asked.threads):
            task = api.task_of(model)
            _evaluate(task, model, options.data_given(data), asked.device, **others)

    parameters = [
        inspect.Parameter("model", inspect.Parameter.POSITIONAL_ONLY, annotation=Path),
        options.DATA,
        *options.column_options(task),
        *options.options_of(ReadOptions),
        *options.options_of(MachineOptions),
        options.json_option(),
    ]
    return options.with_signature(evaluate, parameters, text=_TEXT)


def _evaluate(
    task: Task, model: Path, data: str | list[str], device: Device, *, json: bool, **given: Any
) -> None:
    from elman.cli import screen
    from elman.text.terminal import plain

    columns, reading, _ = api.sorted_out(task, given)
    examples = api.read_all(task, data, columns, reading.form())
    predictor = api.load(model, device=device)
    scores = predictor.evaluate(examples)
    if json:
        screen.print_json(scores, data=data, model=str(model))
        return
    terminal = screen.console()
    terminal.print(f"{plain(examples.source)}: {scores.count:,} judged")
    for note in examples.notes:
        terminal.print(f"  · {plain(note)}")
    shown = tasks.pages(task).evaluation(scores, width=terminal.width, model=predictor)
    screen.print_all(shown, terminal)
