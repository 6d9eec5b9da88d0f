"""Many-to-many, aligned: a label for each word. The task as the engine sees it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, cast

from elman.data import splits, tagged
from elman.data.columns import NOTHING
from elman.data.datasets import load_dataset
from elman.data.examples import Inputs
from elman.data.form import AS_TOLD, Form
from elman.data.recognition import looks_tagged
from elman.data.source import builtin
from elman.data.splits import Split
from elman.data.tagged import Tagged
from elman.errors import DataError
from elman.tasks.tag import inspection
from elman.tasks.tag.inspection import TagFindings
from elman.tasks.tag.metrics import METRICS, Tagging
from elman.tasks.tag.options import TagAnswers, TagOptions, TagScoring
from elman.training.options import OF_ANY_FILE
from elman.training.report import Baseline, Metric, Report
from elman.training.task import Watch

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from elman.tasks.tag.learner import TagLearner
    from elman.tasks.tag.predictor import TaggerModel
    from elman.training.bundle import Stored

name = "tag"
summary = "Train a tagger: a label for each word, or spans such as names."
formats = (
    "Reads CoNLL-U, columns as CoNLL-2003 (a word a line, a blank line between sentences), JSON "
    "lines with `tokens` and `tags` or with `text` and `entities`, each also gzipped, and `-` for "
    "stdin; several files are read as one."
)
options = TagOptions
answers = TagAnswers
scoring = TagScoring
reading: Sequence[str] = OF_ANY_FILE
columns: Mapping[str, str] = {
    "column": "Column of the tags: upos, xpos, feats, lemma, or its number from 1.",
}
input_columns: Sequence[str] = ()
asked_columns: Sequence[str] = ()
shares = "0.8,0.1,0.1"
metrics: Mapping[str, Metric] = METRICS
combine = None
NOUN = "sentence"


def claims(data: Any) -> bool:
    """Whether a file is in a format of tagged sentences, by its name or beginning."""
    return looks_tagged(data)


def read(
    data: Any,
    *,
    form: Form = AS_TOLD,
    likely: Mapping[str, str] = NOTHING,
    column: str | None = None,
) -> Tagged:
    """Read tagged sentences of one file, data set or table.

    Raises:
        DataError: as ``elman.data.tagged.read_tagged``.
    """
    dataset = builtin(data)
    if dataset is None:
        return tagged.read_tagged(data, form=form, likely=likely, column=column)
    if dataset.task != name:
        raise DataError(
            f"data set {dataset.name!r} has no tagged sentences; it is for --task {dataset.task}"
        )
    return cast(Tagged, load_dataset(dataset.name))


def join(parts: Sequence[Tagged]) -> Tagged:
    """Return the sentences of several files as one."""
    return tagged.joined(parts)


def read_inputs(data: Any, *, form: Form = AS_TOLD, likely: Mapping[str, str] = NOTHING) -> Inputs:
    """Read texts to tag, or sentences that are cut into words already.

    Raises:
        DataError: as ``elman.data.tagged.read_tokens``.
    """
    return tagged.read_tokens(data, form=form)


def inspect(examples: Tagged, others: Mapping[str, Tagged]) -> TagFindings:
    """Return tags, lengths and what looks wrong."""
    return inspection.inspect(examples, others)


def split(
    examples: Tagged,
    *,
    fractions: tuple[float, float, float] | None = None,
    seed: int = 0,
    valid: Tagged | None = None,
    test: Tagged | None = None,
) -> Split[Tagged]:
    """Cut tagged sentences at random; equal sentences never stand on both sides.

    A test part that comes with the data is taken where none is given.

    Raises:
        ConfigError: the fractions do not sum to 1.
        DataError: there are too few different sentences, or a part is of another kind.
    """
    test = examples.test if test is None else test
    examples = replace(examples, test=None)
    for part in (valid, test):
        if part is not None:
            inspection.refuse_other_kind(part, examples)
    return splits.split(
        examples,
        keys=_keys,
        strata=lambda part: [""] * len(part),
        fractions=fractions or ((0.9, 0.1, 0.0) if test is not None else (0.8, 0.1, 0.1)),
        seed=seed,
        valid=valid,
        test=test,
        noun=NOUN,
    )


def folds(examples: Tagged, *, count: int, seed: int = 0) -> list[Split[Tagged]]:
    """Cut tagged sentences ``count`` times, each once into the test part.

    Raises:
        ConfigError: there are too few sentences for so many.
    """
    return splits.folds(
        examples,
        keys=_keys,
        strata=lambda part: [""] * len(part),
        count=count,
        valid=1 / 9,
        seed=seed,
        noun=NOUN,
    )


def _keys(part: Tagged) -> list[str]:
    return splits.keys_of([" ".join(words) for words in part.tokens])


def prepare(
    split: Split[Tagged],
    options: TagOptions,
    *,
    init: TaggerModel | None = None,
    watch: Watch | None = None,
) -> TagLearner:
    """Make the vocabulary of the training part, encode what training needs, make the model.

    Raises:
        DataError: nothing is left to train on.
        ConfigError: the model to go on from knows other tags.
    """
    from elman.tasks.tag import learner

    return learner.prepare(split, options, init=init, watch=watch)


def predictor(
    learner: TagLearner,
    *,
    tuned: Sequence[TaggerModel] = (),
    twin: TaggerModel | None = None,
) -> TaggerModel:
    """Return the learner's model with honest probabilities."""
    from elman.tasks.tag.calibrate import finished

    return finished(learner, tuned=tuned)


def plain(options: TagOptions) -> TagOptions:
    """Return the options of a network that stands alone, as every tagger does."""
    return options


def sizes(split: Split[Tagged]) -> dict[str, dict[str, int]]:
    """Return how many words of each tag, or spans of each type, stand in each part."""
    parts = {"train": split.train, "valid": split.valid, "test": split.test}
    counts = {name: part.sizes() for name, part in parts.items()}
    kinds = Counter({kind: count for part in counts.values() for kind, count in part.items()})
    return {kind: {name: counts[name][kind] for name in parts} for kind in sorted(kinds)}


def baselines(
    split: Split[Tagged], options: TagOptions, predictor: TaggerModel, seconds: float
) -> list[Baseline]:
    """Judge the usual tag of each word, and where CRFsuite is there a linear chain of features.

    Where the network started from a language model, the same one is trained from scratch, too.
    """
    from elman.tasks.tag.baselines import linear_chain, scratch, usual

    judged = [usual(split)]
    if find_spec("pycrfsuite") is not None:
        chain = linear_chain(split)
        judged += [] if chain is None else [chain]
    return [*judged, *scratch(split, predictor)]


def pooled(parts: Sequence[Tagging]) -> Tagging:
    """Return the scores of several parts as one."""
    from elman.tasks.tag.resampling import pooled

    return pooled(parts)


def resampled(
    rows: Sequence[Mapping[str, Any]],
    weights: NDArray[np.float64],
    *,
    predictor: TaggerModel | None = None,
    metrics: Sequence[str] = (),
) -> dict[str, NDArray[np.float64]]:
    """Return accuracy, and of spans F1, of sentences that count so many times each."""
    from elman.tasks.tag.resampling import resampled

    return resampled(rows, weights)


def files(name: str, learner: TagLearner, report: Report[Any]) -> dict[str, bytes]:
    """Return the model card and the picture of the probabilities."""
    from elman.tasks.tag.card import model_card, pictures

    return {
        "README.md": model_card(name, learner, report).encode("utf-8", "replace"),
        **pictures(report.test),
    }


def load(stored: Stored, *, backend: str = "auto") -> TaggerModel:
    """Make a tagger of the files of a bundle.

    Raises:
        BundleError: they do not fit each other.
    """
    from elman.tasks.tag import predictor

    return predictor.load(stored, backend=backend)
