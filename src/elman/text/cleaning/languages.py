"""Languages that words can be in, and by whom their stems and lemmas are made."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping
from functools import cache, lru_cache
from importlib import resources
from pathlib import Path
from typing import NamedTuple

from elman.errors import ConfigError


class Language(NamedTuple):
    """A language with a lemmatiser: pymorphy3 for Russian, simplemma for all others."""

    name: str
    script: str = "LATIN"
    """As the names of Unicode's characters begin."""
    stemmer: str | None = None
    """What snowballstemmer calls it; None where it has none."""
    stopwords: bool = False
    """Whether there is a list of ours."""


LANGUAGES: Mapping[str, Language] = {
    "ru": Language("Russian", "CYRILLIC", "russian", stopwords=True),
    "en": Language("English", "LATIN", "english", stopwords=True),
    "ar": Language("Arabic", "ARABIC", "arabic"),
    "bg": Language("Bulgarian", "CYRILLIC"),
    "ca": Language("Catalan", "LATIN", "catalan"),
    "cs": Language("Czech"),
    "da": Language("Danish", "LATIN", "danish"),
    "de": Language("German", "LATIN", "german"),
    "el": Language("Greek", "GREEK", "greek"),
    "es": Language("Spanish", "LATIN", "spanish"),
    "et": Language("Estonian"),
    "fi": Language("Finnish", "LATIN", "finnish"),
    "fr": Language("French", "LATIN", "french"),
    "he": Language("Hebrew", "HEBREW"),
    "hi": Language("Hindi", "DEVANAGARI", "hindi"),
    "hu": Language("Hungarian", "LATIN", "hungarian"),
    "hy": Language("Armenian", "ARMENIAN", "armenian"),
    "id": Language("Indonesian", "LATIN", "indonesian"),
    "it": Language("Italian", "LATIN", "italian"),
    "lt": Language("Lithuanian", "LATIN", "lithuanian"),
    "lv": Language("Latvian"),
    "nb": Language("Norwegian"),
    "nl": Language("Dutch", "LATIN", "dutch"),
    "pl": Language("Polish"),
    "pt": Language("Portuguese", "LATIN", "portuguese"),
    "ro": Language("Romanian", "LATIN", "romanian"),
    "sk": Language("Slovak"),
    "sl": Language("Slovenian"),
    "sv": Language("Swedish", "LATIN", "swedish"),
    "tr": Language("Turkish", "LATIN", "turkish"),
    "uk": Language("Ukrainian", "CYRILLIC"),
}
"""By their codes (ISO 639-1)."""


class ByScript:
    """Tells the language of a word by its first letter."""

    def __init__(self, language: str | None = None):
        codes = ("ru", "en") if language is None else ("ru", "en", language)
        self._codes = {LANGUAGES[code].script: code for code in codes}

    def __call__(self, word: str) -> str | None:
        """Return the code of a word's language; None for numbers and other scripts."""
        letter = next((one for one in word if one.isalpha()), "")
        return self._codes.get(_script(letter))


@lru_cache(maxsize=10_000)
def _script(letter: str) -> str:
    return unicodedata.name(letter, "").partition(" ")[0] if letter else ""


@cache
def stemmer(code: str) -> Callable[[str], str]:
    """Return what takes the ending off a word in small letters (snowballstemmer)."""
    import snowballstemmer

    stem: Callable[[str], str] = snowballstemmer.stemmer(LANGUAGES[code].stemmer).stemWord
    return stem


@cache
def lemmatiser(code: str) -> Callable[[str], str]:
    """Return what turns a word in small letters into the form that a dictionary has.

    Of several lemmas it is the most frequent; no sentence is looked at.
    """
    if code == "ru":
        from pymorphy3 import MorphAnalyzer

        parse = MorphAnalyzer(lang="ru").parse
        return lambda word: str(parse(word)[0].normal_form)
    from simplemma import lemmatize

    return lambda word: str(lemmatize(word, lang=code))


def own_stopwords() -> frozenset[str]:
    """Return the stop words of all languages that have a list of ours."""
    folder = resources.files("elman.text.cleaning") / "stopwords"
    codes = (code for code, language in LANGUAGES.items() if language.stopwords)
    texts = (folder.joinpath(f"{code}.txt").read_text(encoding="utf-8") for code in codes)
    return frozenset(word for text in texts for word in _listed(text))


def read_stopwords(file: str) -> frozenset[str]:
    """Return the words of a user's list: blanks between them, a # before a comment.

    Raises:
        ConfigError: it cannot be read, or has no word.
    """
    try:
        text = Path(file).expanduser().read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        reason = (getattr(error, "strerror", None) or "").lower() or "it is not text in UTF-8"
        raise ConfigError(
            f"the stop words {file} cannot be read ({reason}); give a text file in UTF-8"
        ) from error
    words = frozenset(_listed(text))
    if not words:
        raise ConfigError(f"the stop words {file} have no word; write words with blanks between")
    return words


def _listed(text: str) -> list[str]:
    return [word for line in text.splitlines() for word in line.partition("#")[0].split()]
