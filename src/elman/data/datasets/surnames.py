"""Surnames of 17 languages from the lists inside three installed packages.

The lists were chosen one by one. Left out on purpose: mimesis `nl` (8,117 old spellings of farm
names from one region), `de-ch` and faker `de_LU` (three languages in one list), `pt-br` (mostly
Italian and German settlers), `es-mx` (given names among surnames), `ar` (names put together by
rule), `uk` (the letters А and Б alone), faker `ar_AA` (tribes of antiquity).
"""

from __future__ import annotations

import csv
import json
import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from zlib import crc32

from elman.data.datasets import romanise
from elman.data.examples import Examples
from elman.data.text_stream import TextStream, texts_alone


@dataclass(frozen=True)
class Language:
    """Where one language's surnames come from and how they are spelled in Latin letters."""

    native: tuple[str, ...]
    """Sources in the language's own script, as "package:list"."""
    latin: tuple[str, ...] = ()
    """Sources that have Latin spellings of their own."""
    romanise: Callable[[str], str] | None = None
    """From the native script to Latin; None where there is nothing to do or only `latin` serves."""
    feminine: str = ""
    """Endings that tell a woman's form from a man's, cut off to see that they are one name."""
    shortest: int = 3
    """In alphabets, entries of two letters are mostly scraps ("Lg", "Xx")."""


LANGUAGES: dict[str, Language] = {
    # Arabic leaves vowels unwritten, so no rule spells it; Algeria's own Latin spellings stand in.
    "Arabic": Language(
        native=(
            "faker:ar_DZ", "faker:ar_PS", "mimesis:ar-dz", "mimesis:ar-eg", "mimesis:ar-jo",
            "mimesis:ar-kw", "mimesis:ar-ma", "mimesis:ar-om", "mimesis:ar-qa", "mimesis:ar-sa",
            "mimesis:ar-sy", "mimesis:ar-tn", "mimesis:ar-ye",
        ),
        latin=("faker:fr_DZ",),
    ),
    "Chinese": Language(
        native=("faker:zh_CN", "faker:zh_TW", "mimesis:zh"),
        latin=("faker:zh_TW.last_romanized_names",),  # Wade-Giles, as in Taiwan
        romanise=romanise.chinese,
        shortest=1,
    ),
    "Czech": Language(
        native=("faker:cs_CZ.last_names_male", "faker:cs_CZ.last_names_female", "mimesis:cs"),
        feminine=r"(?:ov)?a$|[yeoi]$|e(?=[cklnr](?:ova)?$)",
    ),
    "Dutch": Language(native=("faker:nl_NL", "faker:nl_BE", "mimesis:nl-be")),
    "English": Language(native=("faker:en_US", "faker:en_GB", "faker:en_NZ", "mimesis:en")),
    "French": Language(native=("faker:fr_FR", "faker:fr_CA", "mimesis:fr")),
    "German": Language(native=("faker:de_DE", "faker:de_AT", "mimesis:de", "mimesis:de-at")),
    "Greek": Language(
        native=("faker:el_GR.last_names_male", "faker:el_GR.last_names_female",
                "mimesis:el.male", "mimesis:el.female"),
        romanise=romanise.greek,
        feminine=r"(?:[οηαε]σ|ου|[ηαε])$",
    ),
    "Hungarian": Language(native=("faker:hu_HU", "mimesis:hu")),
    "Italian": Language(native=("faker:it_IT", "mimesis:it")),
    "Japanese": Language(
        native=("japanese:kanji", "mimesis:ja"), latin=("japanese:romaji",), shortest=1
    ),
    "Korean": Language(
        native=("faker:ko_KR", "mimesis:ko"), romanise=romanise.korean, shortest=1
    ),
    "Polish": Language(
        native=("faker:pl_PL.male_last_names", "faker:pl_PL.unisex_last_names",
                "mimesis:pl.male", "mimesis:pl.female"),
        feminine=r"(?<=[scz]k)[ia]$",
    ),
    "Russian": Language(
        native=("faker:ru_RU.last_names_male", "faker:ru_RU.last_names_female",
                "mimesis:ru.male", "mimesis:ru.female"),
        romanise=romanise.russian,
        feminine=r"(?:[иыо]и|ая|а)$",
    ),
    "Spanish": Language(
        native=("faker:es_ES", "faker:es_MX", "faker:es_CL", "faker:es_CO", "faker:es_AR",
                "mimesis:es"),
    ),
    "Turkish": Language(native=("faker:tr_TR", "mimesis:tr")),
    "Ukrainian": Language(
        native=("faker:uk_UA.last_names_male", "faker:uk_UA.last_names_female"),
        romanise=romanise.ukrainian,
        feminine=r"(?:[иі]и|а|я)$",
    ),
}  # fmt: skip

# What may stand before a surname and belong to it; any other second word makes a full name or a
# title of it ("Godfrey van Alemannië", "Koch II").
_PARTICLES = frozenset({
    "aan", "d'", "da", "dal", "dalla", "de", "del", "dell'", "della", "delle", "den", "der",
    "des", "di", "do", "dos", "du", "el", "in", "la", "las", "le", "lo", "los", "op", "'s",
    "san", "st", "ste", "'t", "te", "ten", "ter", "uit", "van", "von", "zu", "zum", "zur", "آل",
    "آيت", "أبو", "ابو", "ال", "ايت", "بن", "بو", "ولد",
})  # fmt: skip
_SURNAME = re.compile(r"[^\W\d_]+(?:['-][^\W\d_]+)*")
# A placeholder, and medieval Dutch patronymics from a family tree ("Jansdr": Jan's daughter).
_NOT_NAMES = re.compile(r"Name|.*(?:dr|sd|zoen|dochter)")
_INNER_CAPITAL = re.compile(r"\b(Mc|[DO]')(\w)")
_TATWEEL = "\u0640"  # stretches an Arabic word on the page and is no letter


def load_romanised() -> Examples:
    """Return every language in Latin letters, so that spelling and not script is what tells."""
    return _examples("surnames", _latin)


def load_alone() -> TextStream:
    """Return what ``load_romanised`` does as texts that a model learns to write."""
    examples = load_romanised()
    return texts_alone(examples.texts, "names-generate", examples.labels, examples.notes)


def load_native() -> Examples:
    """Return every language in its own script."""
    return _examples("surnames-native", _native)


def _examples(name: str, spell: Callable[[Language, list[str]], list[str]]) -> Examples:
    packages = ("faker", "mimesis", "japanese-personal-name-dataset")
    notes = ["read from " + ", ".join(f"{package} {version(package)}" for package in packages)]
    rows = [(label, text) for label in LANGUAGES for text in spell(LANGUAGES[label], notes)]
    rows.sort()
    return Examples(
        texts=[text for _, text in rows],
        labels=[label for label, _ in rows],
        source=name,
        notes=tuple(notes),
    )


def _native(language: Language, notes: list[str]) -> list[str]:
    return _one_form(
        _unique(_collect(language.native, language.shortest, notes)), language.feminine
    )


def _latin(language: Language, notes: list[str]) -> list[str]:
    latin = _collect(language.latin, 2, notes)
    if language.romanise:
        latin += map(language.romanise, _native(language, notes))
    return _unique(latin) if latin else _native(language, notes)


def _collect(sources: Iterable[str], shortest: int, notes: list[str]) -> list[str]:
    names: list[str] = []
    for source in sources:
        package, _, path = source.partition(":")
        try:
            names += _READERS[package](path)
        except (ImportError, AttributeError, OSError, LookupError, TypeError):
            # Another version of the package: the other lists still make a data set. It is said.
            notes.append(f"{source} is not in the installed {package}; its names are missing")
    return [clean for name in names if (clean := _clean(name)) and len(clean) >= shortest]


def _clean(name: str) -> str:
    """Return the name in one capitalisation, or "" when it is not a plain surname."""
    name = unicodedata.normalize("NFC", name).replace("’", "'").replace(_TATWEEL, "")
    *before, last = name.split() or [""]
    if any(word.casefold() not in _PARTICLES for word in before):
        return ""
    if last.casefold() in _PARTICLES or not _SURNAME.fullmatch(last) or _NOT_NAMES.fullmatch(last):
        return ""
    if last.isupper() and len(last) > 1:
        last = last.title()
    joined = " ".join([*before, last])
    return _INNER_CAPITAL.sub(lambda m: m[1] + m[2].upper(), joined[0].upper() + joined[1:])


def _plain(name: str) -> str:
    """Return what is left of a name without case and accents."""
    if name.isascii():
        return name.casefold()
    parts = unicodedata.normalize("NFKD", name.casefold())
    return "".join(c for c in parts if not unicodedata.combining(c))


def _unique(names: Iterable[str]) -> list[str]:
    """Keep one spelling of each name: the one with most accents, then most capitals."""

    def rank(name: str) -> tuple[int, int, str]:
        accents = len(unicodedata.normalize("NFD", name))
        return accents, sum(map(str.isupper, name)), name

    best: dict[str, str] = {}
    for name in sorted(names, key=rank):
        best[_plain(name)] = name
    return sorted(best.values())


def _one_form(names: list[str], feminine: str) -> list[str]:
    """Keep either the man's or the woman's form of each name, about half of each.

    Both would stand on two sides of a split as good as equal and make the score too good; men's
    forms alone would leave a model that does not know Ivanova.
    """
    if not feminine:
        return names
    forms: dict[str, list[str]] = defaultdict(list)
    for name in names:
        forms[re.sub(feminine, "", _plain(name))].append(name)
    return [same[crc32(stem.encode()) % len(same)] for stem, same in forms.items()]


def _faker(path: str) -> list[str]:
    locale, _, attribute = path.partition(".")
    provider = import_module(f"faker.providers.person.{locale}").Provider
    return list(getattr(provider, attribute or "last_names"))


def _mimesis(path: str) -> list[str]:
    locale, _, gender = path.partition(".")
    file = _folder("mimesis") / "datasets" / locale / "person.json"
    surnames = json.loads(file.read_text(encoding="utf-8"))["surnames"]
    return list(surnames[gender] if gender else surnames)


def _japanese(column: str) -> list[str]:
    file = _folder("japanese_personal_name_dataset") / "dataset" / "last_name_org.csv"
    with file.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.reader(lines))  # kanji, bearers, kana, romaji
    if column == "kanji":
        return [row[0] for row in rows]
    return [romanise.japanese(row[3]) for row in rows]


@cache
def _folder(module: str) -> Path:
    # find_spec locates a package without running it: importing mimesis costs more than its data.
    spec = find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise ImportError(module)
    return Path(spec.submodule_search_locations[0])


_READERS: dict[str, Callable[[str], list[str]]] = {
    "faker": _faker,
    "mimesis": _mimesis,
    "japanese": _japanese,
}
