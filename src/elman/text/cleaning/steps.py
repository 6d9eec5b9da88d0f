"""Which steps of cleaning there are, in their order, and how a user asks for them."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping

import msgspec

from elman.errors import ConfigError
from elman.text.cleaning.languages import LANGUAGES

STEPS: Mapping[str, str] = {
    "html": "tags and comments off, entities such as &amp; as what they stand for",
    "nfc": "Unicode's form C: a letter and its accent are one character",
    "nfkc": "Unicode's form KC: also full-width letters, ligatures and the like as usual ones",
    "urls": "addresses off, of pages and of mail",
    "mentions": "@names off",
    "emoji": "emoji off",
    "stress": "stress marks off Russian vowels",
    "yo": "ё becomes е",
    "lower": "small letters",
    "repeats": "a letter that stands three times or more stands twice",
    "digits": "digits off",
    "razdel": "words with Russian letters are parted as razdel parts them",
    "negation": "a negation is joined to its word: not_good, не_нравится",
    "punctuation": "signs off, but for a hyphen or an apostrophe inside a word",
    "lemmas": "each word as the dictionary has it",
    "stopwords": "words of grammar off, but no negation; stopwords=FILE for a list of your own",
    "stem": "each word without its ending",
    "rare": "words off that the training texts do not have twice",
}
"""Every step with what it does, in the order in which they are taken.

Whatever is known by its signs (tags, addresses, names) goes before the letters change; the
negation looks for the end of its clause and so goes before punctuation; stop words are looked for
among lemmas; stems are in no dictionary and so come last; what is rare is counted in the end.
"""

PRESETS: Mapping[str, tuple[str, ...]] = {
    "lecture": ("lower", "negation", "punctuation", "lemmas", "stopwords", "rare"),
    "tweets": ("html", "nfc", "urls", "mentions", "repeats"),
}
"""Several steps by one name."""


class Steps(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """The steps that are asked for.

    Raises:
        ConfigError: there is no such step or language, or a step lacks that language.
    """

    names: tuple[str, ...] = ()
    """Of STEPS; they are taken in the order of STEPS, in whichever they are given."""
    language: str | None = None
    """A code such as de: of the words in that language's script. Else words in Cyrillic letters
    are Russian and words in Latin letters English."""
    stopwords_file: str | None = None
    """A list of the user's own instead of ours."""

    def __post_init__(self) -> None:
        for name in self.names:
            if name not in STEPS:
                raise _unknown(name)
        ordered = tuple(name for name in STEPS if name in self.names)
        msgspec.structs.force_setattr(self, "names", ordered)
        if self.language is not None:
            self._check_language(self.language)

    def _check_language(self, code: str) -> None:
        if code not in LANGUAGES:
            raise ConfigError(
                f"language is {code!r}; it must be one of {', '.join(LANGUAGES)}, or be left out: "
                "Cyrillic letters are then Russian and Latin ones English"
            )
        language = LANGUAGES[code]
        if "stem" in self.names and language.stemmer is None:
            raise ConfigError(f"there is no stemmer for {language.name}; take lemmas instead")
        if "stopwords" in self.names and not (language.stopwords or self.stopwords_file):
            raise ConfigError(
                f"there are no stop words for {language.name}; give a list of your own with "
                "stopwords=FILE"
            )

    @classmethod
    def of(cls, given: str | Iterable[str] | Steps) -> Steps:
        """Read steps as a user writes them.

        Args:
            given: names of steps and presets with commas between them, or one by one, as in
                ``"lecture,-lemmas,urls,language=ru"``: ``-`` leaves a step out again,
                ``language=`` and ``stopwords=`` take a value.

        Raises:
            ConfigError: a name is unknown, or no step is named.
        """
        if isinstance(given, Steps):
            return given
        words = _words(given)
        names: set[str] = set()
        values: dict[str, str] = {}
        for word in words:
            name, has_value, value = word.partition("=")
            if has_value:
                values |= _valued(name.strip(), value.strip())
                names |= {"stopwords"} & {_canonical(name)}
            elif word.startswith("-"):
                names -= _named(word[1:])
            else:
                names |= _named(word)
        if not names:
            raise ConfigError(f"{given!r:.80} leaves no step of cleaning; {_those()}")
        return cls(tuple(names), **values)

    def without(self, name: str) -> Steps:
        """Return the same but for one step."""
        names = tuple(one for one in self.names if one != name)
        file = self.stopwords_file if "stopwords" in names else None
        return Steps(names, language=self.language, stopwords_file=file)

    def __contains__(self, name: object) -> bool:
        return name in self.names

    def __str__(self) -> str:
        """Return what ``of`` reads."""
        file = self.stopwords_file
        words = [f"stopwords={file}" if one == "stopwords" and file else one for one in self.names]
        return ",".join(words + ([f"language={self.language}"] if self.language else []))


def _words(given: object) -> list[str]:
    """Return the words between commas, or those of a list."""
    words: list[object] = []
    if isinstance(given, str):
        words = [*given.split(",")]
    elif isinstance(given, Iterable):
        words = [*given]
    texts = [word.strip() for word in words if isinstance(word, str)]
    if len(texts) < len(words) or not any(texts):
        raise ConfigError(f"{given!r:.80} names no steps of cleaning; {_those()}")
    return [word for word in texts if word]


def _named(word: str) -> set[str]:
    name = _canonical(word)
    if name in PRESETS:
        return {*PRESETS[name]}
    if name not in STEPS:
        raise _unknown(word)
    return {name}


def _canonical(word: str) -> str:
    """Return the name that is meant: url and stop-words are urls and stopwords."""
    name = word.strip().lower().replace("-", "").replace("_", "")
    known = [*STEPS, *PRESETS]
    return next((one for one in (name, f"{name}s", name[:-1]) if one in known), word.strip())


def _valued(name: str, value: str) -> dict[str, str]:
    fields = {"language": "language", "stopwords": "stopwords_file"}
    field = fields.get(_canonical(name))
    if field is None:
        raise ConfigError(
            f"{name}= is no step of cleaning that takes a value; those are language=CODE and "
            "stopwords=FILE"
        )
    if not value:
        raise ConfigError(f"{name}= has no value; give for example language=de, stopwords=my.txt")
    return {field: value.lower() if field == "language" else value}


def _unknown(name: str) -> ConfigError:
    near = difflib.get_close_matches(name.lower(), [*STEPS, *PRESETS], n=1)
    meant = f"did you mean {near[0]}? " if near else ""
    return ConfigError(f"there is no step of cleaning {name!r}; {meant}{_those()}")


def _those() -> str:
    return f"there are {', '.join(STEPS)}, and the presets {', '.join(PRESETS)}"
