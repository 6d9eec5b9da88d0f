"""The protocols of a task: all that the engine, the laboratory and the shell know of it.

A task is a folder in ``elman.tasks`` whose module ``task`` satisfies `Task`. Its model is trained
through a `Learner` and used through a `Predictor`. What is here imports torch for types alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from elman.data.examples import Inputs
from elman.data.form import Form
from elman.data.splits import Split
from elman.training.options import Options, RunOptions, Schedule
from elman.training.report import Baseline, Evaluation, Findings, Metric, Report

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from elman.training.bundle import Stored

Watch = Callable[[float, str], object]
"""Who is told how far some work is, 0 to 1, and what is being done."""


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


class Batches(Protocol):
    """The batches of one epoch, in their order; a list of them is one."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[Any]: ...


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

    def batches(self, rng: np.random.Generator, epoch: int) -> Batches:
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

    def sample(self, update: int) -> str | None:
        """Return what the model writes after so many updates, where it is time to look."""


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
    def metric(self) -> str:
        """What it was asked to be good at, a name as in ``Evaluation.metrics``; "" for nothing."""

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
    reading: Sequence[str]
    """Which of the ``ReadOptions`` its readers heed, by name; others are refused."""
    columns: Mapping[str, str]
    """The columns that ``read`` can be told, each with a sentence for ``--help``."""
    asked_columns: Sequence[str]
    """Those of them that are read where they are named alone; others are found."""
    shares: str
    """Of the training, validation and test parts where none are asked for, for ``--help``."""
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

    def prepare(
        self,
        split: Split[Any],
        options: Any,
        *,
        init: Any | None = None,
        watch: Watch | None = None,
    ) -> Learner:
        """Turn the parts into numbers and make the model, from the options' seed.

        Args:
            split: the parts.
            options: as asked for.
            init: a model to go on from, whose ``settings`` are among the options.
            watch: is told of what takes long: first what it is, at last, with 1, what came of it.

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
        self,
        rows: Sequence[Mapping[str, Any]],
        weights: NDArray[np.float64],
        *,
        predictor: Predictor | None = None,
        metrics: Sequence[str] = (),
    ) -> dict[str, NDArray[np.float64]]:
        """Return the headline metrics of answers, each of which counts so many times.

        Args:
            rows: what ``Predictor.predictions`` returned, those that are judged.
            weights: (R, rows) how often each counts, in each of R drawings.
            predictor: whose answers these are, where further metrics are asked for.
            metrics: the names of these; what the rows do not tell is left out.

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
    JUDGED: str
    """What the count of an evaluation is of, in the singular."""
    FORMATS: Mapping[
        str, Callable[[Iterable[Mapping[str, Any]], Any, Sequence[Inputs]], Iterable[str]]
    ]
    """How answers can be written beside what every task has: by name, which is the suffix of such
    files, too, a function to the text of a file, part by part, from rows of ``Predictor.answer``,
    the model, and the files that were read, none where the inputs come from no file."""

    def data_line(self, split: Any, learner: Any) -> str:
        """Say in a few plain words what the data hold, for the first line of a run."""

    def network_line(self, learner: Any) -> str:
        """Say in a few plain words what is trained."""

    def findings(self, findings: Any, *, width: int) -> Iterable[Any]:
        """Show what ``Task.inspect`` found, but for the notes."""

    def verdict(self, report: Report[Any]) -> Iterable[str]:
        """Say in plain sentences whether the network was worth it."""

    def suggestion(self, report: Report[Any], model: str) -> str:
        """Return the command to try first with a model, which is named as on the command line."""

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
