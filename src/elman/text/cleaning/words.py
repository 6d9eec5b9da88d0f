"""Steps that look at words: negations, lemmas, stop words, stems.

A word is letters, digits and marks, with hyphens and apostrophes inside. What a word becomes is
remembered, as texts repeat their words: most are looked up.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from functools import cache

from elman.text.cleaning.forms import normalise
from elman.text.cleaning.languages import ByScript, lemmatiser, stemmer
from elman.text.cleaning.signs import INSIDE, marks, stress, yo

Change = Callable[[str], str]

MOST_REMEMBERED = 200_000
"""Words; then a step begins anew, so that a model that answers for years stays small."""

# Soft hyphens, joiners and the like neither part words nor make others of them.
_UNSEEN = "\u00ad\u200c\u200d\u2060\ufeff"
_WITHOUT_UNSEEN = str.maketrans(dict.fromkeys(_UNSEEN))


@cache
def pattern() -> re.Pattern[str]:
    """Return what finds the words of a text; made when it is needed, as that takes a moment."""
    return re.compile(_word())


def _word(first: str = r"[^\W_]") -> str:
    return rf"{first}(?:[\w{marks()}{_UNSEEN}]|[{re.escape(INSIDE)}](?=[^\W_]))*"


def key(word: str) -> str:
    """Return what two words share that are one in a list: case, ё, stress, apostrophes apart."""
    seen = normalise(word.translate(_WITHOUT_UNSEEN)).lower()
    return yo(stress(seen)).replace("’", "'").replace("ʼ", "'")


class _Remembered(dict[str, str]):
    """What words become."""

    def __init__(self, change: Change):
        super().__init__()
        self._change = change

    def __missing__(self, word: str) -> str:
        if len(self) >= MOST_REMEMBERED:
            self.clear()
        result = self[word] = self._change(word)
        return result


def of_each_word(change: Change) -> Change:
    """Return the step that changes every word of a text by itself."""
    remembered, substitute = _Remembered(change), pattern().sub
    return lambda text: substitute(lambda match: remembered[match[0]], text)


# ---------------------------------------------------------------------------------------------
# Negation

NEGATIONS = ("not", "no", "never", "не", "ни", "нет")

# Words between a negation and what it denies: not a very good film, не очень хорошо.
_PASSED = (
    "a an the so very too really quite that such all be been "
    "очень так такой такая такое такие совсем особо слишком был была было были"
)
_SHORT = r"ca|could|did|does|do|had|has|have|are|is|was|were|must|might|need|should|would|wo|sha|ai"
# Without the apostrophe, where that is no other word.
_SHORT_ALONE = "can|couldn|didn|doesn|don|hadn|hasn|haven|aren|isn|wasn|weren|shouldn|wouldn|ain"
_WHOLE = {"ca": "can", "wo": "will", "sha": "shall", "ai": ""}


# Penn's treebank, and reviews cut as it is, have a blank before n't or inside it.
@cache
def _contracted() -> re.Pattern[str]:
    return re.compile(
        rf"\b(?:({_SHORT})\s?n\s?['’ʼ]t|({_SHORT_ALONE})t|(can)not)\b(?!['’ʼ-]\w)", re.IGNORECASE
    )


@cache
def _negated() -> re.Pattern[str]:
    negations, passed = "|".join(NEGATIONS), "|".join(_PASSED.split())
    letter = rf"[\w{marks()}{re.escape(INSIDE)}]"
    denied = _word(r"(?P<denied>[^\W\d_])")
    return re.compile(
        rf"(?<!{letter})(?:{negations})(?!{letter})(?P<between>(?:\s+(?:{passed})(?!{letter}))*)\s+"
        rf"(?!(?:{negations})(?!{letter})){denied}",
        re.IGNORECASE,
    )


def negation(text: str) -> str:
    """Join a negation to the word that it denies: not_good, не_нравится, do not_like.

    Short forms are first written out (don't: do not; cannot: can not). Articles and words of degree
    between the two stay before them (not a good film: a not_good film). A sign ends the search: it
    begins another clause (нет, спасибо).
    """
    return _negated().sub(_joined, _contracted().sub(_written_out, text))


def _written_out(match: re.Match[str]) -> str:
    short, alone, can = match.groups()
    verb = short or (alone.removesuffix("n") if alone and alone != "can" else alone) or can
    verb = like(verb, _WHOLE.get(verb.lower(), verb))
    return f"{verb} {'NOT' if match[0].isupper() else 'not'}".lstrip()


def _joined(match: re.Match[str]) -> str:
    between = match["between"]
    start = match.start("denied")
    said = match[0].split(None, 1)[0]
    denied = match.string[start : match.end()]
    return f"{between.strip()} {said}_{denied}".lstrip()


def parts(word: str) -> tuple[str, str]:
    """Return the negation that is joined to a word, with its line, and the word."""
    said, line, denied = word.partition("_")
    return (said + line, denied) if line and said.lower() in NEGATIONS else ("", word)


# ---------------------------------------------------------------------------------------------
# Other forms of a word

_APOSTROPHE = re.compile("['’ʼ]")
_OF_ENGLISH = re.compile("['’ʼ]s$", re.IGNORECASE)


def lemmas(language: str | None, *, with_yo: bool) -> Change:
    """Return the step that writes each word as its dictionary has it, in the case that it had.

    Args:
        language: as `Steps` has it.
        with_yo: whether ё may stand in the result; pymorphy3 writes it where it belongs.
    """
    code_of = ByScript(language)

    def lemma(word: str) -> str:
        code = code_of(word)
        word = _OF_ENGLISH.sub("", word) if code == "en" else word
        if code is None or _APOSTROPHE.search(word):  # of don't simplemma makes do
            return word
        found = lemmatiser(code)(word.lower()).lower()
        return like(word, found if with_yo else yo(found))

    return of_each_word(_behind_negation(lemma))


def stems(language: str | None) -> Change:
    """Return the step that takes the ending off each word."""
    code_of = ByScript(language)

    def stem(word: str) -> str:
        code = code_of(word)
        return word if code is None else like(word, stemmer(code)(word.lower()))

    return of_each_word(_behind_negation(stem))


def _behind_negation(change: Change) -> Change:
    def changed(word: str) -> str:
        said, denied = parts(word.translate(_WITHOUT_UNSEEN))
        return said + change(denied)

    return changed


def like(word: str, other: str) -> str:
    """Return ``other`` in the capitals that ``word`` has."""
    if word.isupper() and len(word) > 1:
        return other.upper()
    return other[:1].upper() + other[1:] if word[:1].isupper() else other


def without(listed: Collection[str]) -> Change:
    """Return the step that takes the words of a list off."""
    return of_each_word(lambda word: "" if key(word) in listed else word)


def only(known: Collection[str]) -> Change:
    """Return the step that takes off what is not in a list."""
    return of_each_word(lambda word: word if key(word) in known else "")


# ---------------------------------------------------------------------------------------------
# Razdel

_CYRILLIC = re.compile("[\u0400-\u04ff]")


def razdel() -> Change:
    """Return the step that parts what has Russian letters into words as razdel does.

    Between two blanks razdel looks at no more than that, so what stands there is remembered.
    """
    from razdel import tokenize

    remembered = _Remembered(lambda piece: " ".join(token.text for token in tokenize(piece)))

    def part(text: str) -> str:
        if _CYRILLIC.search(text) is None:
            return text
        pieces = (remembered[one] if _CYRILLIC.search(one) else one for one in text.split())
        return " ".join(pieces)

    return part
