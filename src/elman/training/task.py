"""The protocols of a task: all that the engine, the laboratory and the shell know of it.

A task is a folder in ``elman.tasks`` whose module ``task`` satisfies `Task`. Its model is trained
through a `Learner` and used through a `Predictor`. What is here imports torch for types alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import msgspec

from elman.data.examples import Inputs
from elman.data.form import Form
from elman.data.splits import Part, Split
from elman.text.summary import Summary, Table
from elman.text.terminal import counted
from elman.training.options import Options, RunOptions, Schedule

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from elman.training.bundle import Stored


@dataclass(frozen=True)
class Loss:
    """Of one batch."""

    mean: Tensor
    """What is differentiated: a number, the mean over the batch's items."""
    count: int
    """Items in the batch, counted in the schedule's unit."""


class Scores(msgspec.Struct, frozen=True):
    """How good a model is on the validation part after an epoch."""

    score: float
    """What early stopping looks at; higher is better."""
    error: float
    """The score's standard error: smaller differences are chance."""
    metrics: dict[str, float]
    """What is shown of the epoch, by names of the task's metrics."""


class Metric(msgspec.Struct, frozen=True):
    """How a number is shown and compared."""

    title: str
    digits: int = 4
    higher_is_better: bool = True
    headline: bool = False
    """Whether it stands in the short tables beside that by which a model is judged."""


class Evaluation(Summary, msgspec.Struct, frozen=True):
    """Scores of one model on one part of the data; a task adds its own fields."""

    count: int
    """Examples that were judged."""

    @property
    def metrics(self) -> dict[str, float]:
        """Every field that is declared a float, by name; the first decides who won."""
        names = (field.name for field in msgspec.structs.fields(self) if field.type is float)
        return {name: float(getattr(self, name)) for name in names}

    @property
    def main(self) -> list[str]:
        """The names of the metrics for which a table has room."""
        return [*self.metrics]

    def summary(self) -> Iterable[str | Table]:
        """Say how many examples were judged, and how well."""
        scores = ", ".join(f"{name} {value:.4f}" for name, value in self.metrics.items())
        yield f"{counted(self.count, 'example')}: {scores}"


ScoresT = TypeVar("ScoresT", bound=Evaluation)


class Findings(Summary, msgspec.Struct, frozen=True):
    """What ``elman check`` says of data; a task adds its own fields."""

    rows: int
    """Examples that would be used."""
    notes: list[str]
    """What looks wrong or was changed, one sentence each."""


class Baseline(Summary, msgspec.Struct, frozen=True):
    """One simple model's scores on the same test part."""

    name: str
    test: Evaluation
    seconds: float
    """Of training and judging it."""
    trained_on: int
    """Training examples used; fewer than all only where their size would take gigabytes."""
    constant: bool = False
    """Whether it answers everything alike: a network that is no better has learned nothing."""
    network: bool = False
    """Whether it is the model's own network, without what stands beside it."""

    def summary(self) -> Iterable[str | Table]:
        """Say what it is and how good."""
        scores = ", ".join(f"{name} {value:.4f}" for name, value in self.test.metrics.items())
        yield f"{self.name}: {scores}"


class Training(msgspec.Struct, frozen=True):
    """One of several trainings of a run: from a seed, or for a fold."""

    name: str
    """``seed 3``, ``fold 1``."""
    seed: int
    count: int
    """Examples that it was judged on."""
    metrics: dict[str, float]
    """Of its test part, by names of the task's metrics."""
    baselines: dict[str, dict[str, float]]
    """Likewise, where they too were trained for it: of a fold."""
    score: float | None
    """What early stopping looked at, higher is better; None without a validation part."""
    epochs: int
    best_epoch: int
    seconds: float
    """Of training alone."""
    failed: str = ""
    """Why it has failed, one sentence, or nothing."""


class Spread(msgspec.Struct, frozen=True):
    """How one model does over several trainings, by names of the task's headline metrics."""

    name: str
    mean: dict[str, float]
    deviation: dict[str, float]
    """The sample's standard deviation; 0 for a single training."""

    def shown(self, name: str, metric: Metric) -> str:
        """Return mean ± standard deviation of one metric."""
        deviation = f"{self.deviation[name]:.{max(metric.digits - 1, 0)}f}"
        return f"{self.mean[name]:.{metric.digits}f} ± {deviation}"


class Final(msgspec.Struct, frozen=True):
    """A last fit, on all data; what is kept is not what was judged."""

    count: int
    """Examples that the kept model saw."""
    epochs: list[int]
    """Of each of its networks."""


@dataclass(frozen=True)
class ScoreRow:
    """A row of the table of scores: a model, or one of several trainings."""

    name: str
    values: Mapping[str, float]
    seconds: float | None
    metrics: Mapping[str, Metric]
    """The columns."""
    spread: Spread | None = None
    """Where means of several trainings are shown."""
    single: bool = False
    """Whether it is a part of what stands in another row."""

    @property
    def cells(self) -> list[str]:
        """What is shown of each metric."""
        if self.spread is not None:
            return [self.spread.shown(name, metric) for name, metric in self.metrics.items()]
        return [f"{self.values[name]:.{one.digits}f}" for name, one in self.metrics.items()]

    @property
    def shown_seconds(self) -> str:
        """The seconds, where they are known."""
        return "" if self.seconds is None else f"{self.seconds:.1f}"


class Report(Summary, msgspec.Struct, Generic[ScoresT], frozen=True):
    """What is known of a finished run: metrics.json, and what ``train --json`` prints."""

    task: str
    data: str
    test: ScoresT
    baselines: list[Baseline]
    sizes: dict[str, dict[str, int]]
    """Examples of each kind (class, tag) in each part of the split."""
    parameters: int
    seconds: float
    """Of training alone."""
    epochs: int
    best_epoch: int
    stopped: str
    """Why training was cut short, one sentence, or nothing."""
    notes: list[str]
    ended: str = ""
    """Why training ended by itself, as the end of "training ended", or nothing."""
    test_notes: list[str] = []
    """Those of the notes without which the scores would be misread."""
    digest: str = ""
    """A hash of all examples of the three parts."""
    parts: dict[str, int] = {}
    """Examples of each part of the split."""
    warnings: list[str] = []
    """What is wrong with the model, one sentence each."""
    name: str = "this model"
    """What was judged: the model, or several together."""
    trainings: list[Training] = []
    """Each of several seeds or folds; nothing of a single one."""
    spread: list[Spread] = []
    """How far these are apart: of the network, and of a cross-validation's baselines."""
    final: Final | None = None
    """Of a model that was trained on all data after the scores."""

    def rows(self, metrics: Mapping[str, Metric]) -> list[ScoreRow]:
        """Return the rows of the table of scores.

        Of several trainings each has a row, then how far they are apart. Of a cross-validation
        means stand in place of scores.
        """
        judged = [(self.name, self.test.metrics, self.seconds)]
        judged += [(one.name, one.test.metrics, one.seconds) for one in self.baselines]
        whole = [ScoreRow(name, values, seconds, metrics) for name, values, seconds in judged]
        each = [
            ScoreRow(one.name, one.metrics, one.seconds, metrics, single=True)
            for one in self.trainings
        ]
        if len(self.spread) > 1:  # of folds: every model has its own
            pairs = zip(self.spread, whole, strict=True)
            return [*each, *(replace(row, name=one.name, spread=one) for one, row in pairs)]
        apart = [ScoreRow(one.name, one.mean, None, metrics, one, True) for one in self.spread]
        return [whole[0], *each, *apart, *whole[1:]]

    def summary(self) -> Iterable[str | Table]:
        """Say how good the network is beside its baselines, and how it was trained."""
        yield f"{self.data}: {counted(self.test.count, 'test example')}"
        names = [*self.spread[0].mean] if self.spread else self.test.main
        rows = self.rows({name: Metric(name) for name in names})
        yield Table(
            ["", *names, "seconds"], [[row.name, *row.cells, row.shown_seconds] for row in rows]
        )
        if self.spread:
            yield f"mean ± standard deviation over {counted(len(self.trainings), 'training')}"
        yield (
            f"{counted(self.epochs, 'epoch')}, the weights of epoch {self.best_epoch} kept; "
            f"{self.parameters:,} parameters"
        )
        yield from self.test_notes
        if self.stopped:
            yield self.stopped
        if self.notes:
            yield f"{counted(len(self.notes), 'note')} about the data in .notes"


def shown_as(name: str, metrics: Mapping[str, Metric]) -> Metric:
    """Return how a number is shown: a row of the task's, also of one class, as in ``f1:spam``."""
    kind, _, label = name.partition(":")
    metric = metrics.get(kind, Metric(kind))
    return msgspec.structs.replace(metric, title=f"{metric.title} of {label}") if label else metric


def headline(scores: Mapping[str, float], metrics: Mapping[str, Metric]) -> dict[str, Metric]:
    """Return what the short tables show of ``scores``: first that which decides who won."""
    first = next(iter(scores))
    others = (name for name, metric in metrics.items() if metric.headline and name in scores)
    return {name: shown_as(name, metrics) for name in (first, *others)}


def outdone(report: Report[Any], metrics: Mapping[str, Metric]) -> Iterator[str]:
    """Say of each baseline that does better than the network by how much it does."""
    own = report.test.metrics
    for one in report.baselines:
        theirs, better = one.test.metrics, []
        for name, metric in headline(own, metrics).items():
            ahead = theirs[name] - own[name]
            if (ahead if metric.higher_is_better else -ahead) > 0:
                values = (f"{value[name]:.{metric.digits}f}" for value in (theirs, own))
                better.append(f"{metric.title} {' against '.join(values)}")
        if better:
            yield f"{one.name} does better here than the network: {', '.join(better)}"


class Learner(Protocol):
    """A model on its way: all that the trainer knows of a task."""

    @property
    def model(self) -> nn.Module:
        """What is trained; the trainer moves it to the options' device, where ``loss`` runs."""

    @property
    def schedule(self) -> Schedule:
        """How long, how fast and from which seed."""

    @property
    def options(self) -> RunOptions:
        """As asked for, with everything settled."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What there is to say about the data, one sentence each."""

    def batches(self, rng: np.random.Generator, epoch: int) -> Sequence[Any]:
        """Return the batches of one epoch, at least one, in whatever form ``loss`` takes them.

        State that is carried from batch to batch starts anew here. Epochs count from 1, also where
        a run goes on.
        """

    def loss(self, batch: Any) -> Loss:
        """Run the model over one batch.

        Where the result is not finite it is asked for once more, to find where that began.
        """

    def validate(self) -> Scores | None:
        """Judge the model on the validation part; None where there is none."""


class Predictor(Protocol):
    """A model in use: what ``elman.load`` returns, and all that serving and inspection know."""

    @property
    def task(self) -> str:
        """The name of its task."""

    @property
    def module(self) -> nn.Module:
        """The network itself, whose weights are saved; answers are computed where they are."""

    @property
    def num_parameters(self) -> int:
        """Number of trained values."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """The task's options that are decided by the model: who goes on from it has the same."""

    @property
    def answer(self) -> Callable[..., list[dict[str, Any]]]:
        """A method: takes a list of inputs and the task's ``answers`` by name.

        It returns a row of plain JSON for each input, with ``truncated`` set to true where the
        model reads no more than its beginning.
        """

    @property
    def evaluate(self) -> Callable[..., Evaluation]:
        """A method: takes labelled examples and the task's ``scoring`` by name; judges the model.

        It raises a DataError where there is nothing to judge on.
        """

    @property
    def predictions(self) -> Callable[..., Iterable[dict[str, Any]]]:
        """A method: takes what ``evaluate`` takes.

        It returns a row for each example, in order: what is read, what is true, the answer. All
        rows have the same keys, and values that a cell of a table can hold. Where an answer is
        right or wrong, ``correct`` says which; it is None where there is no answer to judge.
        """

    def parts(self) -> tuple[msgspec.Struct, dict[str, bytes]]:
        """Return config and files of which `Task.load` makes a predictor, but for the weights."""


class Task(Protocol):
    """A module ``elman.tasks.NAME.task``. It imports neither torch nor scikit-learn."""

    name: str
    summary: str
    """What it trains, for the first line of ``elman train --help``."""
    formats: str
    """What it reads, for the next lines."""
    options: type[RunOptions]
    answers: type[Options]
    """The options of ``Predictor.answer``."""
    scoring: type[Options]
    """The options of ``Predictor.evaluate`` and ``Predictor.predictions``."""
    columns: Mapping[str, str]
    """The columns that ``read`` can be told, each with a sentence for ``--help``."""
    input_columns: Sequence[str]
    """Those of them that ``read_inputs`` takes, too."""
    metrics: Mapping[str, Metric]
    combine: Callable[[Sequence[Any]], Predictor] | None
    """Returns one model whose answers are the mean of those of several, which were trained from
    several seeds on the same parts; None where answers have no mean."""

    def claims(self, data: Any) -> bool:
        """Whether a file is plainly this task's, by its name or beginning."""

    def read(
        self, data: Any, *, form: Form, likely: Mapping[str, str], **columns: str | None
    ) -> Any:
        """Read examples from a file, a folder, ``-``, a built-in data set or a table in memory.

        ``likely`` are columns to be looked for first, as those of a model's training data are.

        Raises:
            DataError: it is not what it was given for.
        """

    def join(self, parts: Sequence[Any]) -> Any:
        """Return the examples of several files as one."""

    def read_inputs(
        self, data: Any, *, form: Form, likely: Mapping[str, str], **columns: str | None
    ) -> Inputs:
        """Read what ``Predictor.answer`` takes, with the columns beside it.

        Args:
            data: as for ``read``.
            form: what was said about the form of the files.
            likely: the columns of the training data, to be looked for first.
            **columns: those that were given.

        Raises:
            DataError: it is not what it was given for.
        """

    def inspect(self, examples: Any, others: Mapping[str, Any]) -> Findings:
        """Look at examples before any training, and at the parts that are given besides."""

    def split(
        self,
        examples: Any,
        *,
        fractions: tuple[float, float, float] | None,
        seed: int,
        valid: Any | None,
        test: Any | None,
    ) -> Split[Any]:
        """Cut examples into three parts, or take those that are given."""

    def folds(self, examples: Any, *, count: int, seed: int) -> list[Split[Any]]:
        """Cut examples ``count`` times so that each is in the test part once.

        Raises:
            ConfigError: there are too few for so many.
        """

    def prepare(self, split: Split[Any], options: Any, *, init: Any | None = None) -> Learner:
        """Turn the parts into numbers and make the model, from the options' seed.

        Args:
            split: the parts.
            options: as asked for.
            init: a model to go on from, whose ``settings`` are among the options.

        Raises:
            DataError: nothing is left to train on.
            ConfigError: it is not possible to go on from that model.
        """

    def predictor(
        self, learner: Any, *, tuned: Sequence[Any] = (), twin: Any | None = None
    ) -> Predictor:
        """Return the learner's model, ready to use.

        Args:
            learner: what was trained.
            tuned: models of the same options, trained on a share of the same data: what a
                validation part decides is taken from these where the learner has no such part.
            twin: a model of another seed on the same parts, whatever of which does not depend on
                the seed may be taken.
        """

    def sizes(self, split: Split[Any]) -> dict[str, dict[str, int]]:
        """Return how many examples of each kind stand in each part."""

    def plain(self, options: Any) -> Any:
        """Return the options of a network that stands alone, for comparing networks."""

    def baselines(
        self, split: Split[Any], options: Any, predictor: Any, seconds: float
    ) -> list[Baseline]:
        """Train and judge simpler models on the same parts.

        Args:
            split: the data.
            options: settled.
            predictor: the model, of which parts may be judged alone.
            seconds: its network took to train.
        """

    def pooled(self, parts: Sequence[Any]) -> Evaluation:
        """Return the scores of one kind of model on several parts as one, each example once."""

    def resampled(
        self, rows: Sequence[Mapping[str, Any]], weights: NDArray[np.float64]
    ) -> dict[str, NDArray[np.float64]]:
        """Return the headline metrics of answers, each of which counts so many times.

        Args:
            rows: what ``Predictor.predictions`` returned, those that are judged.
            weights: (R, rows) how often each counts, in each of R drawings.

        Returns:
            For each metric (R,): with weights of 1 what ``Predictor.evaluate`` says.
        """

    def files(self, name: str, learner: Any, report: Report[Any]) -> dict[str, bytes]:
        """Return the files that tell of a model: its card, ``README.md``, and pictures.

        How the model was made is added to the card.
        """

    def load(self, stored: Stored, *, backend: str) -> Predictor:
        """Make a predictor of what ``Predictor.parts`` returned and of the weights.

        Raises:
            BundleError: they do not fit each other.
        """


class Pages(Protocol):
    """A module ``elman.tasks.NAME.pages``: what people see of a task.

    What is returned is printed by ``elman.cli`` alone. Strings are Rich's markup, but for those of
    ``answer``, which stand as they are: there are thousands of them.
    """

    NOUN: str
    """What an example is called, in the singular."""

    def data_line(self, split: Any, learner: Any) -> str:
        """Say in a few plain words what the data hold, for the first line of a run."""

    def network_line(self, learner: Any) -> str:
        """Say in a few plain words what is trained."""

    def findings(self, findings: Any, *, width: int) -> Iterable[Any]:
        """Show what ``Task.inspect`` found, but for the notes."""

    def verdict(self, report: Report[Any]) -> Iterable[str]:
        """Say in plain sentences whether the network was worth it."""

    def suggestion(self, report: Report[Any]) -> str:
        """Return what to give `elman predict MODEL` first."""

    def evaluation(
        self,
        scores: Any,
        *,
        width: int,
        sizes: Mapping[str, Mapping[str, int]] | None = None,
        model: Any | None = None,
    ) -> Iterable[Any]:
        """Show scores in full, for a terminal of ``width`` columns."""

    def answer(self, row: Mapping[str, Any], model: Any, *, width: int) -> Iterable[Any]:
        """Show one row of ``Predictor.answer``."""

    def fields(self, row: Mapping[str, Any], *, inputs: bool) -> dict[str, Any]:
        """Return one row of ``Predictor.answer`` as columns of a table, the same for every row.

        Args:
            row: the answer.
            inputs: whether the input itself is a column, the first.

        Raises:
            ConfigError: what was asked for cannot be shown in one line.
        """

    def truncated(self, count: int, model: Any) -> str:
        """Say that so many inputs were longer than the model reads."""


__all__ = [
    "Baseline",
    "Evaluation",
    "Learner",
    "Loss",
    "Metric",
    "Pages",
    "Part",
    "Predictor",
    "Report",
    "Scores",
    "Split",
    "Task",
    "headline",
    "outdone",
    "shown_as",
]
