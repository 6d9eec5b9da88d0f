"""`elman evaluate`."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from elman import api, tasks
from elman.cli import options
from elman.cli.options import DATA_TEXT
from elman.data import output
from elman.data.files import expanded
from elman.data.source import items_of
from elman.training import machine
from elman.training.options import Device, MachineOptions
from elman.training.task import Predictor, Task

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
        *options.read_options(task),
        *options.options_of(task.scoring),
        *options.options_of(MachineOptions),
        *options.file_options("A file for the answer to each example", rule="none"),
        options.json_option(),
    ]
    return options.with_signature(evaluate, parameters, text=_TEXT)


def _evaluate(
    task: Task,
    model: Path,
    data: str | list[str],
    device: Device,
    *,
    out: Path | None,
    force: bool,
    json: bool,
    **given: Any,
) -> None:
    from elman.cli import screen

    out = expanded(out)
    if out is not None:
        output.check_place(out, "--out", overwrite=force, sources=map(str, items_of(data)))
    columns, reading, others = api.sorted_out(task, given)
    asked = task.scoring(**others).to_dict()
    trained = api.recorded(task, model)
    examples = api.read_all(task, data, columns, reading.form(), trained)
    predictor = api.load(model, device=device)
    scores = predictor.evaluate(examples, **asked)
    if json:
        screen.print_json(scores, data=data, model=str(model))
    else:
        _print(task, examples, scores, predictor)
    if out is not None:
        output.write_rows(out, predictor.predictions(examples, **asked))
        if not json:
            screen.print_written(out)


def _print(task: Task, examples: Any, scores: Any, predictor: Predictor) -> None:
    from elman.cli import screen
    from elman.text.terminal import plain

    terminal = screen.console()
    terminal.print(f"{plain(examples.source)}: {scores.count:,} judged")
    for note in examples.notes:
        terminal.print(f"  · {plain(note)}")
    shown = tasks.pages(task).evaluation(scores, width=terminal.width, model=predictor)
    screen.print_all(shown, terminal)
