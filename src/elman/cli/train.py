"""`elman train`."""

from __future__ import annotations

import sys
from pathlib import Path

from elman.cli.options import Data, DataOptions, Flag, Json, ModelOptions, read_split, train_config
from elman.errors import ConfigError

STOPPED = 130  # Ctrl-C: as a shell says it, also when the best weights are saved

_DATA = DataOptions()
_MODEL = ModelOptions()


def train(
    data: Data,
    /,
    *,
    cell: str = "lstm",
    out: Path | None = None,
    force: Flag = False,
    resume: Flag = False,
    seed: int = 0,
    json: Json = False,
    data_options: DataOptions = _DATA,
    model_options: ModelOptions = _MODEL,
) -> int:
    """Train a classifier on a file, a folder or a built-in data set.

    Reads CSV, TSV, JSON lines, Parquet, a folder with one <Label>.txt a class, or lines
    `text<TAB>label`, each also gzipped, and `-` for stdin. Ends with scores on texts kept apart,
    beside two baselines, and writes the model to a folder.

    Parameters
    ----------
    data
        File, folder, `-`, or a name that `elman datasets` lists.
    cell
        A cell of the zoo, or file.py:name.
    out
        Folder of the model (models/NAME, or models/NAME-2 and so on).
    force
        Replace the model or the stopped run that stands at --out.
    resume
        Go on with a run of the same command that was stopped.
    seed
        A run on CPU with the same seed gives the same model, bit for bit.
    json
        Print one JSON document on stdout and nothing else there.
    """
    from elman import cells
    from elman.models import bundle
    from elman.training.checkpoint import training_folder

    config = train_config(model_options, cell=cell, seed=seed)
    cells.find(cell)
    place = _destination(out, data, resume=resume)
    bundle.check_destination(place, overwrite=force or resume)
    if training_folder(place).exists() and not (force or resume):
        raise ConfigError(
            f"a stopped run stands in {training_folder(place)}; add --resume to go on with it, "
            "--force to begin anew, or choose another --out"
        )
    parts = read_split(data, data_options, seed=seed)

    from elman.cli import display
    from elman.training.run import run

    try:
        with display.TrainingScreen(quiet=json) as screen:
            trained = run(parts, config, out=place, resume=resume, watcher=screen)
    except KeyboardInterrupt:
        goes_on = "the same command with --resume goes on from the last whole epoch"
        kept = goes_on if training_folder(place).exists() else "no epoch was whole, nothing is kept"
        print(f"elman: stopped; {kept}", file=sys.stderr)
        return STOPPED
    if json:
        display.print_json(trained.report, out=str(place))
    else:
        display.print_report(trained.report, out=place, failed=trained.failed)
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
