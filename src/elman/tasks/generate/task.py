"""A text in, a network that writes like it out. The task as the engine sees it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from elman.data import readers, stream
from elman.data.columns import NOTHING
from elman.data.examples import Inputs
from elman.data.form import AS_TOLD, Form
from elman.data.splits import Split
from elman.data.stream import TextStream
from elman.tasks.generate import inspection
from elman.tasks.generate.inspection import StreamFindings
from elman.tasks.generate.metrics import METRICS, Modelled
from elman.tasks.generate.options import GenerateAnswers, GenerateOptions, GenerateScoring
from elman.training.options import OF_ANY_FILE
from elman.training.report import Baseline, Metric, Report
from elman.training.task import Watch

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from elman.tasks.generate.learner import GenerateLearner
    from elman.tasks.generate.predictor import LanguageModel
    from elman.training.bundle import Stored

name = "generate"
summary = "Train a language model: it writes like the text that it has read."
formats = (
    "Reads running text (.txt, gzipped too, several files or a folder of them), or texts that "
    "stand alone: rows of CSV, TSV, JSON lines or Parquet, or with --lines the lines of a file; "
    "and `-` for stdin."
)
options = GenerateOptions
answers = GenerateAnswers
scoring = GenerateScoring
reading: Sequence[str] = (*OF_ANY_FILE, "drop_unlabelled", "lines")
columns: Mapping[str, str] = {
    "text": "Column of the texts, by name or by number from 1.",
    "label_column": "Column of labels: the model then writes texts of a label.",
}
input_columns: Sequence[str] = ("text",)
asked_columns: Sequence[str] = ("label_column",)
shares = "0.9,0.05,0.05"
metrics: Mapping[str, Metric] = METRICS
combine = None


def claims(data: Any) -> bool:
    """Whether a file is running text, by its name and beginning."""
    return stream.claims(data)


def read(
    data: Any,
    *,
    form: Form = AS_TOLD,
    likely: Mapping[str, str] = NOTHING,
    text: str | None = None,
    label_column: str | None = None,
) -> TextStream:
    """Read the text of a file, a folder, a data set or a table.

    Raises:
        DataError, ConfigError: as ``elman.data.stream.read_stream``.
    """
    if label_column is None and "label_column" in likely:
        label_column = likely["label_column"]
    return stream.read_stream(data, form=form, likely=likely, text=text, label_column=label_column)


def join(parts: Sequence[TextStream]) -> TextStream:
    """Return the texts of several files as one."""
    return stream.joined(parts)


def read_inputs(
    data: Any,
    *,
    form: Form = AS_TOLD,
    likely: Mapping[str, str] = NOTHING,
    text: str | None = None,
) -> Inputs:
    """Read texts to judge, one a line or one a row.

    Raises:
        DataError: as ``elman.data.readers.read_inputs``.
    """
    return readers.read_inputs(data, form=form, column=text or likely.get("text"))


def inspect(examples: TextStream, others: Mapping[str, TextStream]) -> StreamFindings:
    """Return lengths, characters and what looks wrong."""
    return inspection.inspect(examples, others)


def split(
    examples: TextStream,
    *,
    fractions: tuple[float, float, float] | None = None,
    seed: int = 0,
    valid: TextStream | None = None,
    test: TextStream | None = None,
) -> Split[TextStream]:
    """Cut a running text in order, its end being the test part; other texts at random.

    Raises:
        ConfigError: the fractions do not sum to 1.
        DataError: there is too little text, or a part is of another kind.
    """
    return stream.split_stream(examples, fractions=fractions, seed=seed, valid=valid, test=test)


def folds(examples: TextStream, *, count: int, seed: int = 0) -> list[Split[TextStream]]:
    """Cut text ``count`` times, each piece once into the test part.

    Raises:
        ConfigError: there is too little for so many.
    """
    return stream.folds_of(examples, count=count, seed=seed)


def prepare(
    split: Split[TextStream],
    options: GenerateOptions,
    *,
    init: LanguageModel | None = None,
    watch: Watch | None = None,
) -> GenerateLearner:
    """Make the vocabulary of the training part, encode what training needs, make the model.

    Raises:
        DataError: too little is left to train on.
        ConfigError: the model to go on from is of other texts.
    """
    from elman.tasks.generate import learner

    return learner.prepare(split, options, init=init, watch=watch)


def predictor(
    learner: GenerateLearner,
    *,
    tuned: Sequence[LanguageModel] = (),
    twin: LanguageModel | None = None,
) -> LanguageModel:
    """Return the learner's model, ready to write."""
    from elman.tasks.generate.predictor import finished

    return finished(learner)


def plain(options: GenerateOptions) -> GenerateOptions:
    """Return the options of a network that stands alone, as every language model does."""
    return options


def sizes(split: Split[TextStream]) -> dict[str, dict[str, int]]:
    """Return how many texts of each label stand in each part; nothing of texts without any."""
    parts = {"train": split.train, "valid": split.valid, "test": split.test}
    counts = {name: Counter(part.labels or ()) for name, part in parts.items()}
    labels = sorted({label for one in counts.values() for label in one})
    return {label: {name: counts[name][label] for name in parts} for label in labels}


def baselines(
    split: Split[TextStream], options: GenerateOptions, predictor: LanguageModel, seconds: float
) -> list[Baseline]:
    """Judge how frequent single tokens are, and counts of n-grams (Kneser-Ney)."""
    from elman.tasks.generate.baselines import baselines

    return baselines(split, predictor)


def pooled(parts: Sequence[Modelled]) -> Modelled:
    """Return the scores of several parts as one, each token once."""
    from elman.tasks.generate.metrics import pooled

    return pooled(list(parts))


def resampled(
    rows: Sequence[Mapping[str, Any]],
    weights: NDArray[np.float64],
    *,
    predictor: LanguageModel | None = None,
    metrics: Sequence[str] = (),
) -> dict[str, NDArray[np.float64]]:
    """Return the scores of lines or texts that count so many times each."""
    from elman.tasks.generate.metrics import resampled

    return resampled(rows, weights)


def files(name: str, learner: GenerateLearner, report: Report[Any]) -> dict[str, bytes]:
    """Return the model card."""
    from elman.tasks.generate.card import model_card

    return {"README.md": model_card(name, learner, report).encode("utf-8", "replace")}


def load(stored: Stored, *, backend: str = "auto") -> LanguageModel:
    """Make a language model of the files of a bundle.

    Raises:
        BundleError: they do not fit each other.
    """
    from elman.tasks.generate import predictor

    return predictor.load(stored, backend=backend)
