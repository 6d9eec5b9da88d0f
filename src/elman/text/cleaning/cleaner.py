"""A cleaner: the steps that were asked for, ready to be taken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from elman.errors import DataError
from elman.text.cleaning import signs, words
from elman.text.cleaning.forms import normalise, normalise_compatible, without_surrogates
from elman.text.cleaning.languages import own_stopwords, read_stopwords
from elman.text.cleaning.steps import Steps

VERSION = 1
"""Of what the steps do; a cleaner that another version saved is refused, not misread."""

LEAST = 2
"""How often the training texts must have a word that `rare` keeps."""


class Cleaned(NamedTuple):
    """Texts after cleaning, and what was done to them."""

    texts: list[str]
    changed: dict[str, int]
    """For each step how many texts it changed."""


class _Saved(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The form of cleaning.json."""

    version: int
    steps: tuple[str, ...]
    language: str | None = None
    stopwords_file: str | None = None
    stopwords: list[str] | None = None
    known: list[str] | None = None


class Cleaner:
    """Cleans texts; the same texts become the same whenever and wherever.

    What is needed of lists and training texts is kept, so that a saved cleaner needs neither.

    Attributes:
        steps: what is done.
        stopwords: the words that `stopwords` takes off.
        known: the words that `rare` keeps.
    """

    def __init__(
        self, steps: Steps, *, stopwords: frozenset[str] | None, known: frozenset[str] | None
    ):
        self.steps = steps
        self.stopwords = stopwords
        self.known = known
        makers = _makers(self)
        self._changes = {name: makers[name]() for name in steps.names}

    @classmethod
    def fit(cls, texts: Sequence[str], steps: Steps) -> Cleaner:
        """Return the cleaner of ``steps``; ``texts`` are the training part alone.

        Raises:
            ConfigError: the file of stop words cannot be read.
        """
        stopwords = _stopwords(steps) if "stopwords" in steps else None
        if steps.stopwords_file is not None:  # where it lies is no matter of the cleaner
            name = Path(steps.stopwords_file).name
            steps = msgspec.structs.replace(steps, stopwords_file=name)
        if "rare" not in steps:
            return cls(steps, stopwords=stopwords, known=None)
        before = cls(steps.without("rare"), stopwords=stopwords, known=None)
        find = words.pattern().findall
        counts = Counter(word for text in before.clean(texts) for word in find(text))
        together: Counter[str] = Counter()  # spellings of one word
        for word, count in counts.items():
            together[words.key(word)] += count
        known = frozenset(word for word, count in together.items() if count >= LEAST)
        return cls(steps, stopwords=stopwords, known=known)

    def clean(self, texts: Sequence[str]) -> list[str]:
        """Return the texts cleaned, with single blanks; one of which nothing is left is ""."""
        changes = [*self._changes.values()]
        cleaned = []
        for text in without_surrogates(texts):
            for change in changes:
                text = change(text)
            cleaned.append(" ".join(text.split()))
        return cleaned

    def clean_and_count(self, texts: Sequence[str]) -> Cleaned:
        """Return the texts cleaned, and how many of them each step changed."""
        texts = [" ".join(text.split()) for text in without_surrogates(texts)]
        changed = {}
        for name, change in self._changes.items():
            after = [" ".join(change(text).split()) for text in texts]
            changed[name] = sum(a != b for a, b in zip(texts, after, strict=True))
            texts = after
        return Cleaned([*texts], changed)

    def to_json(self) -> bytes:
        """Return the cleaner as JSON, from which ``load_cleaner`` restores it."""
        saved = _Saved(
            version=VERSION,
            steps=self.steps.names,
            language=self.steps.language,
            stopwords_file=self.steps.stopwords_file,
            stopwords=None if self.stopwords is None else sorted(self.stopwords),
            known=None if self.known is None else sorted(self.known),
        )
        return msgspec.json.format(msgspec.json.encode(saved), indent=1)

    def __reduce__(self) -> tuple[Callable[[bytes], Cleaner], tuple[bytes]]:
        return load_cleaner, (self.to_json(),)

    def __repr__(self) -> str:
        return f"<cleaner: {', '.join(self.steps.names)}>"


def load_cleaner(data: bytes, *, source: str = "cleaning.json") -> Cleaner:
    """Restore a cleaner from its JSON.

    Raises:
        DataError: ``data`` is not what ``to_json`` writes; names ``source``.
    """
    try:
        saved = msgspec.json.decode(data, type=_Saved)
        if saved.version != VERSION:
            raise DataError(f"its version is {saved.version}, this Elman has {VERSION}")
        steps = Steps(saved.steps, saved.language, saved.stopwords_file)
        lists = [None if one is None else frozenset(one) for one in (saved.stopwords, saved.known)]
        if (lists[0] is None) == ("stopwords" in steps) or (lists[1] is None) == ("rare" in steps):
            raise DataError("its lists do not fit its steps")
        return Cleaner(steps, stopwords=lists[0], known=lists[1])
    except (msgspec.DecodeError, DataError, ValueError) as error:
        raise DataError(f"{source} is not a cleaner that Elman wrote ({error})") from error


def _stopwords(steps: Steps) -> frozenset[str]:
    file = steps.stopwords_file
    listed = own_stopwords() if file is None else read_stopwords(file)
    if "lemmas" in steps:  # which the texts then have in place of the words
        lemma = words.lemmas(steps.language, with_yo=False)
        listed |= {lemma(word) for word in listed}
    return frozenset(map(words.key, listed))


def _makers(cleaner: Cleaner) -> Mapping[str, Callable[[], words.Change]]:
    """Return for each step what makes it."""
    steps = cleaner.steps
    return {
        "html": lambda: signs.html,
        "nfc": lambda: normalise,
        "nfkc": lambda: normalise_compatible,
        "urls": lambda: signs.urls,
        "mentions": lambda: signs.mentions,
        "emoji": lambda: signs.emoji,
        "stress": lambda: signs.stress,
        "yo": lambda: signs.yo,
        "lower": lambda: signs.lower,
        "repeats": lambda: signs.repeats,
        "digits": lambda: signs.digits,
        "razdel": words.razdel,
        "negation": lambda: words.negation,
        "punctuation": lambda: signs.punctuation,
        "lemmas": lambda: words.lemmas(steps.language, with_yo="yo" not in steps),
        "stopwords": lambda: words.without(cleaner.stopwords or frozenset()),
        "stem": lambda: words.stems(steps.language),
        "rare": lambda: words.only(cleaner.known or frozenset()),
    }
