"""How a model was made, for its folder: to be repeated, and to be given to others.

A folder is shared, so of files in other places it holds the names alone; and no date stands in it,
so that equal runs give equal models.
"""

from __future__ import annotations

import hashlib
import platform
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from elman._version import __version__
from elman.data.files import expanded
from elman.data.splits import Split
from elman.training import bundle, markdown
from elman.training.options import RunOptions, declared, flag_of, toml
from elman.training.report import Metric, Report, headline
from elman.training.task import Predictor, Task

_SECTION = """
## How it was made

By Elman {elman}, torch {torch}, Python {python}. Of `{data}` {counts}; SHA-256 of all examples in
their parts: `{digest}`. {epochs}

`test-predictions.csv` has each example of the test part with the answer to it: take that file out
before the model goes to someone who must not read the examples.

{notes}
To repeat it, {how}: `elman train {data_given}--config train.toml --out again`. `train.toml` is

```toml
{recipe}
```
"""


def section(task: Task, report: Report[Any], split: Split[Any], recipe: bytes) -> str:
    """Return the end of a model card in Markdown: from what, with what and how it was trained."""
    import torch

    counts = ", ".join(f"{count:,} {name}" for name, count in split.counts().items())
    notes = dict.fromkeys((*report.test_notes, *report.notes))
    why = report.stopped or f"training ended {report.ended}"
    epochs = f"Epoch {report.best_epoch} of {report.epochs} is kept; {why}."
    if report.final is not None:
        lasted = " and ".join(dict.fromkeys(map(str, report.final.epochs)))
        epochs = (
            f"Epoch {report.best_epoch} of {report.epochs} was best; {why}. What is kept was then "
            f"trained on all {report.final.count:,} examples, for {lasted} epochs."
        )
    if not report.epochs:  # nothing was trained by the epoch
        epochs = report.stopped
    named = "data" in tomllib.loads(recipe.decode())
    return _trainings(task.metrics, report) + _SECTION.format(
        elman=__version__,
        torch=torch.__version__,
        python=platform.python_version(),
        data=report.data,
        counts=counts,
        digest=report.digest,
        epochs=epochs,
        notes="".join(f"- {_plain(note)}\n" for note in notes),
        how="with the data beside" if named else "with the same data in a file",
        data_given="" if named else "FILE ",
        recipe=recipe.decode().strip().replace("```", "'''"),
    )


def _trainings(metrics: Mapping[str, Metric], report: Report[Any]) -> str:
    """Return the scores of several trainings in Markdown; nothing for a single one."""
    if not report.trainings:
        return ""
    shown = headline(report.test.metrics, metrics)
    heads = ["", *(_plain(metric.title) for metric in shown.values()), "epoch kept"]
    rows = []
    for one in report.trainings:
        values = (f"{one.metrics[name]:.{metric.digits}f}" for name, metric in shown.items())
        rows.append([one.name, *values, f"{one.best_epoch} of {one.epochs}"])
    for row in report.spread:
        rows.append([_plain(row.name), *(row.shown(name, m) for name, m in shown.items()), ""])
    said = "## Each training\n\nMeans ± standard deviations in the last rows."
    return f"\n{said}\n\n{markdown.table(heads, rows)}\n"


def _plain(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def digest_of(predictor: Predictor) -> str:
    """Return a short hash of a model's weights."""
    digest = hashlib.sha256()
    for name, tensor in predictor.module.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:12]


def digests(options: RunOptions) -> dict[str, str]:
    """Return a short hash of each model that the options name, by what it is a hash of."""
    found = {}
    for one in declared(type(options)):
        place = getattr(options, one.name)
        if one.option.path and place is not None and bundle.is_bundle(Path(expanded(place))):
            sums = (Path(expanded(place)) / bundle.SUMS).read_bytes()
            found[f"a hash of {flag_of(one.name)}"] = hashlib.sha256(sums).hexdigest()[:12]
    return found


def name_of(place: str) -> str:
    """Return the name of a file or folder without the folders around it."""
    return Path(place).name or place


def told_by_name(notes: Iterable[str], split: Split[Any]) -> list[str]:
    """Return notes in which the files of the parts go by their names alone."""
    places = {part.source for part in (split.train, split.valid, split.test)}
    told = list(notes)
    for place in sorted(places, key=len, reverse=True):
        told = [note.replace(place, name_of(place)) for note in told]
    return told


def shareable(options: RunOptions) -> dict[str, Any]:
    """Return options as JSON can hold them, files in other places by their names."""
    known = declared(type(options))
    places = [one.name for one in known if one.takes_cell or one.option.path]
    values = options.to_dict()
    return {**values, **{name: _name_if_elsewhere(values[name]) for name in places}}


def train_toml(task: Task, settled: Mapping[str, Any], request: Mapping[str, Any]) -> bytes:
    """Return the options that repeat a run: `elman train --config train.toml`.

    Args:
        task: whose options they are.
        settled: what ``shareable`` returns.
        request: where the data came from.
    """
    given = {name: value for name, value in request.items() if value not in (None, "-")}
    for name in ("data", "valid", "test", "init"):
        if name in given:
            given[name] = _name_if_elsewhere(given[name])
    return toml(
        {"task": task.name, **given, **settled},
        comments=[
            "Repeats this run: elman train --config train.toml, where the data are."
            if "data" in given
            else "Repeats this run on the same data in a file: elman train FILE --config train.toml"
        ],
    )


def _name_if_elsewhere(place: Any) -> Any:
    if place is None:
        return None
    if isinstance(place, list):
        return [_name_if_elsewhere(one) for one in place]
    return name_of(place) if Path(place).is_absolute() else place
