"""Cleaning as a part of a classifier: fitted on the training part, kept with the model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from elman.data.examples import Examples
from elman.data.splits import Split, keys_of
from elman.errors import DataError
from elman.tasks.classify.options import ClassifyOptions
from elman.text.cleaning import Cleaner, Steps
from elman.text.terminal import counted


def fit_cleaner(train: Sequence[str], options: ClassifyOptions) -> Cleaner | None:
    """Return the cleaner that ``--clean`` asks for; None where it asks for none.

    Raises:
        ConfigError: the file of stop words cannot be read.
    """
    return None if options.clean is None else Cleaner.fit(train, Steps.of(options.clean))


def cleaned(split: Split[Examples], cleaner: Cleaner | None) -> Split[Examples]:
    """Return the parts with their texts cleaned; what there is to say of it is among the notes.

    Of a text of which nothing is left nothing can be learned, so it is left out. In the test part
    it stays: who cleans more must not be judged on fewer texts.

    Raises:
        DataError: there is nothing left to learn.
    """
    if cleaner is None:
        return split
    parts = (split.train, split.valid, split.test)
    train, valid, test = (replace(part, texts=cleaner.clean(part.texts)) for part in parts)
    count = len(train) + len(valid)
    train, valid = map(_without_empty, (train, valid))
    if len(set(train.labels)) < min(2, len(set(split.train.labels))):
        raise DataError(
            f"{train.source}: cleaning ({cleaner.steps}) leaves training texts of "
            f"{counted(len(set(train.labels)), 'class')}; leave out a step, as elman clean shows"
        )
    notes = [f"texts cleaned (--clean): {cleaner.steps}"]
    empty = count - len(train) - len(valid)
    if empty:
        notes.append(
            f"nothing is left of {empty:,} of {counted(count, 'text')} to train and validate on, "
            "which are left out; such a text is answered by the shares of the classes"
        )
    empty = len(test) - len(_without_empty(test))
    if empty:
        notes.append(
            f"nothing is left of {empty:,} of {counted(len(test), 'test text')}, whose answers are "
            "judged all the same"
        )
    known = set(keys_of(train.texts))
    same = sum(key in known for key in keys_of(valid.texts))
    if same:
        notes.append(
            f"after cleaning {same:,} of {counted(len(valid), 'validation text')} also stand in "
            "the training part"
        )
    return replace(split, train=train, valid=valid, test=test, notes=(*split.notes, *notes))


def _without_empty(part: Examples) -> Examples:
    return part.take([i for i, text in enumerate(part.texts) if text])
