"""What happened in each epoch, as plain data: one JSON line an epoch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from elman.errors import BundleError
from elman.text.summary import WIDTH, Summary, Table
from elman.text.terminal import counted, shortened
from elman.training.report import Metric, shown_as

if TYPE_CHECKING:
    from matplotlib.figure import Figure


FILE = "history.jsonl"


class Epoch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One pass over the training part."""

    epoch: int
    """From 1."""
    loss: float
    """Mean over the training part, in nats, as it was minimised: with dropout and the like."""
    score: float | None
    """What early stopping looks at, higher is better; None without a validation part."""
    best: bool
    """Whether this epoch's weights are kept, as the best so far but for chance."""
    metrics: dict[str, float]
    """Of the validation part, by names of the task's metrics."""
    learning_rate: float
    """At the end of the epoch."""
    seconds: float
    per_second: float
    """Items trained on, in the task's unit."""
    updates: int = 0
    """Steps of the optimiser in this epoch."""
    samples: dict[int, str] = {}
    """What a model that writes has written on the way, by how many updates it had by then."""


def kept(history: Sequence[Epoch]) -> Epoch | None:
    """Return the epoch whose weights are kept, if any was whole."""
    return next((epoch for epoch in reversed(history) if epoch.best), None)


def kept_line(history: Sequence[Epoch]) -> str:
    """Say which epoch's weights are kept, and why these where another has a higher score."""
    epoch = kept(history)
    if epoch is None:
        return "no epoch was whole: the first weights are kept"
    said = f"best: epoch {epoch.epoch} of {len(history)}"
    if epoch.score is None:
        return f"{said} (the last, as there is no validation part to judge on)"
    highest = max((one for one in history if one.score is not None), key=lambda one: one.score or 0)
    if highest.score == epoch.score:
        return f"{said} (score {epoch.score:.4f})"
    return (
        f"{said} (score {epoch.score:.4f}; that of epoch {highest.epoch}, {highest.score:.4f}, is "
        "higher by less than a standard error, and of these the later is kept)"
    )


class History(Summary, list[Epoch]):
    """The epochs of a run: a list that shows itself as a table.

    Attributes:
        metrics: how the task's metrics are shown.
    """

    def __init__(self, epochs: Iterable[Epoch] = (), metrics: Mapping[str, Metric] | None = None):
        super().__init__(epochs)
        self.metrics = dict(metrics or {})

    @property
    def kept(self) -> int:
        """The epoch whose weights were kept; 0 where none was whole."""
        epoch = kept(self)
        return 0 if epoch is None else epoch.epoch

    def plot(self) -> Figure:
        """Draw the learning curve; returns a figure of matplotlib, which notebooks show."""
        from elman.training.figures import learning_curve

        return learning_curve(self, self.metrics)

    def summary(self) -> Iterator[str | Table]:
        """Say what happened in each epoch."""
        said = f"; the weights of epoch {self.kept} are kept" if self.kept else ""
        yield f"{counted(len(self), 'epoch')}{said}"
        if not self:
            return
        metrics = {name: shown_as(name, self.metrics) for name in self[0].metrics}
        rows = []
        for epoch in self:
            values = [f"{epoch.metrics[name]:.{one.digits}f}" for name, one in metrics.items()]
            rows.append([str(epoch.epoch), f"{epoch.loss:.3f}", *values, f"{epoch.seconds:.1f}"])
        titles = [metric.title for metric in metrics.values()]
        yield Table(["epoch", "loss", *titles, "seconds"], rows)
        for updates, text in [*self.samples.items()][-1:]:
            said = ".samples has what the model wrote on the way; "
            yield f"{said}after {counted(updates, 'update')}: {shortened(text, 2 * WIDTH)}"

    @property
    def samples(self) -> dict[int, str]:
        """What a model that writes has written on the way, by how many updates it had by then."""
        return {updates: text for epoch in self for updates, text in epoch.samples.items()}

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield each epoch as a row of a table, but for the samples."""
        for epoch in self:
            row = msgspec.structs.asdict(epoch)
            del row["samples"]
            metrics = row.pop("metrics")
            yield {**row, **metrics}


def sample_lines(updates: int, text: str) -> list[str]:
    """Return what a model has written after so many updates, as lines to be shown."""
    return [f"after {counted(updates, 'update')}:", *(f"    {one}" for one in text.splitlines())]


def read(folder: Path) -> list[Epoch]:
    """Read the epochs of a saved model.

    Raises:
        BundleError: they are not there, or damaged.
    """
    file = folder / FILE
    try:
        return from_lines(file.read_bytes())
    except OSError as error:
        raise BundleError(
            f"{folder} has no {FILE}: it was trained for no epoch, or not copied whole"
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BundleError(f"{file} is damaged ({error}); copy the folder whole") from error


def to_lines(history: Sequence[Epoch]) -> bytes:
    """Return the history as JSON lines."""
    return b"".join(msgspec.json.encode(epoch) + b"\n" for epoch in history)


def from_lines(data: bytes) -> list[Epoch]:
    """Read what ``to_lines`` wrote.

    Raises:
        msgspec.ValidationError: when a line is something else.
    """
    return msgspec.json.Decoder(Epoch).decode_lines(data)
