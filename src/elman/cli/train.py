"""`elman train`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from elman import api
from elman.cli import options
from elman.cli.options import DATA_TEXT, option
from elman.data import output
from elman.data.source import items_of
from elman.data.splits import parse_fractions
from elman.errors import ConfigError
from elman.training.task import Task

STOPPED = 130  # Ctrl-C: as a shell says it, also when the best weights are saved

_TEXT = """{summary}

{formats} Ends with scores on data kept apart, beside baselines, and writes the model to a folder.
"""


def command(argv: Sequence[str]) -> Callable[..., int]:
    """Return the command with the options of the task that ``argv`` is about."""
    config = options.read_config(argv)
    task = options.task_for(argv, config)

    def train(*data: str, **given: Any) -> int:
        return _train(options.data_given(data), **{**given, "task": task})

    parameters = [
        options.DATA,
        *options.task_options(),
        *options.data_options(task),
        *options.options_of(task.options),
        *_OUTPUT,
    ]
    return options.with_signature(
        train,
        parameters,
        text=_TEXT.format(summary=task.summary, formats=task.formats)
        + f"\nParameters\n----------\ndata\n    {DATA_TEXT}\n",
        defaults=config,
    )


_OUTPUT = [
    option(
        "out",
        Path | None,
        None,
        "Folder of the model.",
        panel="output",
        rule="models/NAME, or models/NAME-2 and so on",
        short="-o",
    ),
    option(
        "force",
        bool,
        False,
        "Replace what stands at --out, be it a stopped run, and at --predictions.",
        panel="output",
        flag=True,
        short="-f",
    ),
    option(
        "resume",
        bool,
        False,
        "Go on with a run of the same command that was stopped.",
        panel="output",
        flag=True,
    ),
    option(
        "predictions",
        Path | None,
        None,
        "A file for the answers to the test part: .csv, .tsv or .jsonl.",
        panel="output",
        rule="none",
    ),
    options.json_option(),
]


def _train(
    data: str | list[str],
    *,
    task: Task,
    out: Path | None,
    force: bool,
    resume: bool,
    predictions: Path | None,
    json: bool,
    split: str | None,
    config: Path | None,
    **given: Any,
) -> int:
    from elman.cli import screen
    from elman.training.checkpoint import training_folder

    fractions = None if split is None else parse_fractions(split)
    first = data if isinstance(data, str) else data[0]
    place = _destination(None if out is None else Path(out), first, resume=resume)
    if training_folder(place).exists() and not (force or resume):
        raise ConfigError(
            f"a stopped run stands in {training_folder(place)}; add --resume to go on with it, "
            "--force to begin anew, or choose another --out"
        )
    if predictions is not None:
        parts = (data, given["valid"], given["test"])
        sources = [str(item) for part in parts if part is not None for item in items_of(part)]
        output.check_place(predictions, "--predictions", overwrite=force, sources=sources)
    try:
        with screen.TrainingScreen(quiet=json) as watcher:
            trained = api.train(
                data,
                task=task.name,
                out=place,
                force=force,
                resume=resume,
                split=fractions,
                progress=False,
                callbacks=[watcher],
                **given,
            )
    except KeyboardInterrupt:
        goes_on = "the same command with --resume goes on from the last whole epoch"
        kept = goes_on if training_folder(place).exists() else "no epoch was whole, nothing is kept"
        print(f"elman: stopped; {kept}", file=sys.stderr)
        return STOPPED
    if json:
        screen.print_json(trained.report, out=str(place))
    else:
        screen.print_report(trained.report, out=place, failed=trained.failed)
    if predictions is not None:
        rows = trained.model.predictions(trained.split.test)
        output.write_rows(predictions, rows, option="--predictions")
        if not json:
            screen.print_written(predictions)
    if trained.failed:
        return 1
    return STOPPED if trained.report.stopped else 0


def _destination(out: Path | None, data: str, *, resume: bool) -> Path:
    """Return --out, or the first free models/NAME; with --resume the one with an unfinished run."""
    from elman.training.checkpoint import training_folder

    if out is not None:
        return out
    name = "stdin" if data == "-" else Path(data).name.split(".")[0] or "model"
    for number in range(1, 10_000):
        place = Path("models") / (name if number == 1 else f"{name}-{number}")
        taken = place.exists() or training_folder(place).exists()
        if resume and training_folder(place).exists():
            return place
        if resume and not taken:
            raise ConfigError(f"no stopped run of {name} is in models; name it with --out")
        if not taken:
            return place
    raise ConfigError("models is full of runs of this name; give --out")
