"""What a run gives: the model, its report, its history."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from elman.data.splits import Split
from elman.errors import ConfigError
from elman.text.summary import Summary, Table
from elman.training.history import History
from elman.training.report import Evaluation, Report
from elman.training.task import Predictor

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ModelT = TypeVar("ModelT", bound=Predictor)
ScoresT = TypeVar("ScoresT", bound=Evaluation)


@dataclass(frozen=True, repr=False)
class Trained(Summary, Generic[ModelT, ScoresT]):
    """What a run gives.

    Attributes:
        kept: the model that is kept; None of cross-validation alone. ``model`` is the same, and
            says so where there is none.
        report: test scores, baselines, sizes and notes.
        history: what happened in each epoch; of several networks, in those of the best.
        split: the parts that it was trained, tuned and judged on.
        judged: the models that were judged on test parts, each with its own.
        failed: whether training was cut short by a loss that was not finite or for want of memory,
            or went astray.
        interrupt: what the user or the system stopped it with.
    """

    kept: ModelT | None
    report: Report[ScoresT]
    history: History
    split: Split[Any]
    judged: Sequence[tuple[Predictor, Any]]
    failed: bool = False
    interrupt: KeyboardInterrupt | None = None

    @property
    def model(self) -> ModelT:
        """The model, ready to use.

        Raises:
            ConfigError: there is none, as cross-validation alone keeps none.
        """
        if self.kept is None:
            raise ConfigError("cross-validation alone keeps no model; add final=True")
        return self.kept

    def predictions(self) -> Iterator[dict[str, Any]]:
        """Return a row for each example of the test part, as the model's ``predictions`` does.

        They are those of the models that were judged: of cross-validation each example's is of the
        network that had not seen it.
        """
        return chain.from_iterable(model.predictions(part) for model, part in self.judged)

    def plot(self) -> Figure:
        """Draw the learning curve; returns a figure of matplotlib, which notebooks show."""
        return self.history.plot()

    def summary(self) -> Iterator[str | Table]:
        """Say what the report says, and what the model is."""
        yield from self.report.summary()
        if self.kept is None:
            yield "no model is kept of cross-validation alone (final=True); .report, .history"
        else:
            yield f"{self.kept!r} in .model; .history, .report, .plot()"
