"""Many-to-one: one label for a whole text. The task as the engine sees it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

from elman.data import readers, splits
from elman.data.columns import NOTHING, TEXT
from elman.data.examples import Examples, Inputs
from elman.data.form import AS_TOLD, Form
from elman.data.readers import joined
from elman.data.source import read_data
from elman.data.splits import Split
from elman.errors import DataError
from elman.tasks.classify import inspection
from elman.tasks.classify.inspection import ClassifyFindings
from elman.tasks.classify.metrics import METRICS
from elman.tasks.classify.options import ClassifyAnswers, ClassifyOptions, ClassifyScoring
from elman.training.options import OF_ANY_FILE
from elman.training.report import Baseline, Metric, Report
from elman.training.task import Watch

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from elman.tasks.classify.learner import ClassifierLearner, NGramLearner
    from elman.tasks.classify.metrics import Classification, Labelling
    from elman.tasks.classify.predictor import TextClassifierModel
    from elman.training.bundle import Stored

name = "classify"
summary = "Train a classifier: one label for a whole text."
formats = (
    "Reads CSV, TSV, JSON, JSON lines, Parquet, lines `text<TAB>label`, `label text` or "
    "`__label__x text`, a folder with one `<Label>.txt` or one folder of texts a class, each also "
    "gzipped, and `-` for stdin; several files are read as one."
)
options = ClassifyOptions
answers = ClassifyAnswers
scoring = ClassifyScoring
reading: Sequence[str] = (*OF_ANY_FILE, "drop_unlabelled", "multilabel", "label_separator")
columns: Mapping[str, str] = {
    "text": "Column that holds the text, by name or by number from 1.",
    "label": "Column that holds the class, by name or by number from 1.",
}
input_columns = ("text",)
asked_columns: Sequence[str] = ()
shares = "0.8,0.1,0.1"
metrics: Mapping[str, Metric] = METRICS

# From here on fewer than a tenth of a file is enough to validate on.
LARGE = 20_000
_SHOWN = 10
_FREQUENT = 10  # texts with the same labels


def claims(data: Any) -> bool:
    """Texts with labels are what is read where nothing speaks for another task."""
    return False


def read(
    data: Any,
    *,
    form: Form = AS_TOLD,
    likely: Mapping[str, str] = NOTHING,
    **columns: str | None,
) -> Examples:
    """Read labelled texts of one file, data set or table.

    Raises:
        DataError: as ``elman.data.source.read_data``.
        ConfigError: what is said of the form is of running text.
    """
    return read_data(data, form=form, likely=likely, **columns)


def join(parts: Sequence[Examples]) -> Examples:
    """Return the labelled texts of several files as one."""
    return joined(parts)


def read_inputs(
    data: Any,
    *,
    form: Form = AS_TOLD,
    likely: Mapping[str, str] = NOTHING,
    **columns: str | None,
) -> Inputs:
    """Read texts to classify, with the columns beside them.

    Raises:
        DataError: as ``elman.data.readers.read_inputs``.
    """
    role = TEXT.preferring(likely.get("text"))
    return readers.read_inputs(data, role, form=form, column=columns.get("text"))


def inspect(examples: Examples, others: Mapping[str, Examples]) -> ClassifyFindings:
    """Return classes, lengths and what looks wrong."""
    return inspection.inspect(examples, others)


def split(
    examples: Examples,
    *,
    fractions: tuple[float, float, float] | None = None,
    seed: int = 0,
    valid: Examples | None = None,
    test: Examples | None = None,
) -> Split[Examples]:
    """Cut labelled texts class by class; without ``fractions`` as ``default_fractions`` says.

    Raises:
        ConfigError: the fractions do not sum to 1.
        DataError: there is one class only, or there are too few different texts.
    """
    _refuse_few_classes(examples)
    for part in (valid, test):
        if part is not None:
            inspection.refuse_unknown(part, sorted(examples.sizes()))
    shares = fractions or default_fractions(len(examples), test_given=test is not None)
    parts = splits.split(
        examples,
        keys=lambda part: splits.keys_of(part.texts),
        strata=_strata,
        fractions=shares,
        seed=seed,
        valid=valid,
        test=test,
    )
    return _with_notes(parts, examples)


def folds(examples: Examples, *, count: int, seed: int = 0) -> list[Split[Examples]]:
    """Cut labelled texts ``count`` times, class by class, each text once into the test part.

    Raises:
        ConfigError: there are too few texts for so many.
        DataError: there is one class only.
    """
    _refuse_few_classes(examples)
    train, valid, _ = default_fractions(len(examples), test_given=False)
    cuts = splits.folds(
        examples,
        keys=lambda part: splits.keys_of(part.texts),
        strata=_strata,
        count=count,
        valid=valid / (train + valid),
        seed=seed,
    )
    return [_with_notes(cut, examples) for cut in cuts]


def _refuse_few_classes(examples: Examples) -> None:
    labels = examples.sizes()
    if len(labels) == 1 and not examples.several:
        raise DataError(
            f"{examples.source} has one class only, {next(iter(labels))!r}; add texts of another "
            "class, or check which column is the label (--label)"
        )
    inspection.refuse_no_lists(examples)
    inspection.refuse_no_classes(examples)


def _with_notes(parts: Split[Examples], examples: Examples) -> Split[Examples]:
    """Add to a cut what there is to say of the labels and of classes that a part lacks."""
    unseen = _notes_on_unseen(parts.train, parts.test, "test")
    notes = (
        *parts.notes,
        *inspection.notes_on_labels(examples),
        *_notes_on_small(examples),
        *_notes_on_unseen(parts.train, parts.valid, "validation"),
        *unseen,
    )
    return Split(parts.train, parts.valid, parts.test, notes, (*parts.test_notes, *unseen))


def _strata(part: Examples) -> list[str]:
    """Return for each text what every part is to have its share of: its class.

    Of several labels that is their whole set, where it is frequent enough to be cut, else the
    rarest of them.
    """
    if not part.several:
        return part.labels
    sets, sizes = Counter(part.labels), part.sizes()
    return [
        str(row if sets[row] >= _FREQUENT else (min(row, key=lambda label: sizes[label]),))
        if row
        else ""
        for row in part.labels
    ]


def default_fractions(count: int, *, test_given: bool) -> tuple[float, float, float]:
    """Return the shares of the parts where none are asked for.

    Early stopping, and how much each model counts, need up to two thousand texts, not a tenth of a
    large file; but a test part that is cut off should be large enough to trust, and a validation
    part no larger than it.
    """
    if test_given and count >= LARGE:
        valid = LARGE / 10 / count
        return 1 - valid, valid, 0.0
    return 0.8, 0.1, 0.1


def prepare(
    split: Split[Examples],
    options: ClassifyOptions,
    *,
    init: TextClassifierModel | None = None,
    watch: Watch | None = None,
) -> ClassifierLearner | NGramLearner:
    """Make the vocabulary from the training part, encode what training needs, make the model.

    Raises:
        DataError: nothing is left to train on.
        BundleError, ConfigError: it is not possible to start from the language model of ``from_``.
    """
    from elman.tasks.classify import learner

    return learner.prepare(split, options, init=init, watch=watch)


def predictor(
    learner: ClassifierLearner | NGramLearner,
    *,
    tuned: Sequence[TextClassifierModel] = (),
    twin: TextClassifierModel | None = None,
) -> TextClassifierModel:
    """Return the learner's network with the linear models beside it, tokenizer and classes."""
    from elman.tasks.classify.assembly import assemble

    return assemble(learner, tuned=tuned, twin=twin)


def combine(models: Sequence[TextClassifierModel]) -> TextClassifierModel:
    """Return one model whose networks answer together: those of several seeds."""
    from elman.tasks.classify.assembly import combine

    return combine(models)


def plain(options: ClassifyOptions) -> ClassifyOptions:
    """Return the options of a network that stands alone, for comparing networks."""
    return msgspec.structs.replace(
        options, model="network", linear="off", vectoriser="tfidf", ngrams="both"
    )


def sizes(split: Split[Examples]) -> dict[str, dict[str, int]]:
    """Return how many texts of each class stand in each part."""
    parts = {"train": split.train, "valid": split.valid, "test": split.test}
    counts = {name: part.sizes() for name, part in parts.items()}
    labels = sorted(set().union(*counts.values()))
    return {label: {name: counts[name][label] for name in parts} for label in labels}


def baselines(
    split: Split[Examples], options: ClassifyOptions, predictor: TextClassifierModel, seconds: float
) -> list[Baseline]:
    """Judge the largest class, and the network and the n-grams each by itself.

    Where the network started from a language model, the same one is trained from scratch, too.
    """
    from elman.tasks.classify.baselines import majority, parts, scratch

    return [
        majority(split.train, split.test, options.metric),
        *parts(split, options, predictor, seconds),
        *scratch(split, predictor),
    ]


def pooled(parts: Sequence[Classification | Labelling]) -> Classification | Labelling:
    """Return the scores of several parts, of the folds of a cross-validation, as one."""
    from elman.tasks.classify.resampling import pooled

    return pooled(parts)


def resampled(
    rows: Sequence[Mapping[str, Any]],
    weights: NDArray[np.float64],
    *,
    predictor: TextClassifierModel | None = None,
    metrics: Sequence[str] = (),
) -> dict[str, NDArray[np.float64]]:
    """Return accuracy, macro-F1 and what is asked for of answers that count so often each."""
    from elman.tasks.classify.resampling import resampled

    classes = () if predictor is None else predictor.classes
    return resampled(rows, weights, classes=classes, metrics=metrics)


def files(name: str, learner: ClassifierLearner, report: Report[Any]) -> dict[str, bytes]:
    """Return the model card and the pictures of the scores."""
    from elman.tasks.classify.card import model_card
    from elman.tasks.classify.figures import confusion_pictures, pictures
    from elman.tasks.classify.metrics import Classification

    of_classes = isinstance(report.test, Classification)
    return {
        "README.md": model_card(name, learner, report).encode("utf-8", "replace"),
        **(confusion_pictures(report.test) if of_classes else {}),
        **pictures(report.test),
    }


def load(stored: Stored, *, backend: str = "auto") -> TextClassifierModel:
    """Make a classifier of the files of a bundle.

    Raises:
        BundleError: they do not fit each other.
    """
    from elman.tasks.classify import loading

    return loading.load(stored, backend=backend)


def _notes_on_small(examples: Examples) -> tuple[str, ...]:
    pairs = set(zip(splits.keys_of(examples.texts), examples.label_sets, strict=True))
    counts = Counter(label for _, row in pairs for label in row)
    small = {label: size for label, size in sorted(counts.items()) if size < 3}
    if not small:
        return ()
    return (f"too few examples (under three) to stand in every part: {_listed(small)}",)


def _notes_on_unseen(train: Examples, part: Examples, name: str) -> tuple[str, ...]:
    known = train.sizes()
    unseen = {c: n for c, n in sorted(part.sizes().items()) if c not in known}
    if not unseen:
        return ()
    return (f"in the {name} part but not in the training part: {_listed(unseen)}",)


def _listed(sizes: Mapping[str, int]) -> str:
    """Return the classes with their sizes, the first few of them by name."""
    rows: Sequence[tuple[str, int]] = list(sizes.items())
    shown = [f"class {label!r} ({size})" for label, size in rows[:_SHOWN]]
    more = [f"and {len(rows) - _SHOWN} more classes"] if len(rows) > _SHOWN else []
    return ", ".join(shown + more)
