"""`elman evaluate`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from elman import api, tasks
from elman.cli import options
from elman.cli.options import DATA_TEXT, Data
from elman.data.files import expanded
from elman.training import machine
from elman.training.options import MachineOptions
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

    def evaluate(model: Path, data: str, **given: Any) -> None:
        asked, others = options.machine_of(given)
        with machine.threads(asked.threads):
            _evaluate(api.task_of(model), model, data, asked, **others)

    positional = inspect.Parameter.POSITIONAL_ONLY
    parameters = [
        inspect.Parameter("model", positional, annotation=Path),
        inspect.Parameter("data", positional, annotation=Data),
        *options.column_options(task),
        *options.options_of(MachineOptions),
        options.json_option(),
    ]
    return options.with_signature(evaluate, parameters, text=_TEXT)


def _evaluate(
    task: Task,
    model: Path,
    data: str,
    asked: MachineOptions,
    *,
    json: bool,
    **columns: str | None,
) -> None:
    from elman.cli import screen
    from elman.text.terminal import plain

    examples = task.read(expanded(data), **columns)
    predictor = api.load(model, device=asked.device)
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
