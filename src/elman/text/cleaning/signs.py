"""Steps that know what they look for by its signs: tags, addresses, names, emoji, marks.

Each function takes a text and returns it changed. What goes leaves a blank, so that its neighbours
do not become one word; a `Cleaner` makes one blank of several in the end. Done twice each is as
done once.
"""

from __future__ import annotations

import html as entities
import re
import unicodedata
from collections.abc import Callable
from functools import cache

import numpy as np

# ---------------------------------------------------------------------------------------------
# HTML

_ELEMENTS = (
    "a abbr address article aside audio b big blockquote body br button center cite code dd del "
    "details div dl dt em embed figure font footer form frame h1 h2 h3 h4 h5 h6 head header hr "
    "html i iframe img input ins kbd label legend li link main mark meta nav noscript object ol "
    "option p param pre q s samp script section select small source span strike strong style sub "
    "summary sup svg table tbody td textarea tfoot th thead time title tr tt u ul var video wbr"
)
_TAG = re.compile(rf"<!doctype\b[^>]*>|</?(?:{'|'.join(_ELEMENTS.split())})\b[^>]*>", re.IGNORECASE)
_COMMENT = re.compile("<!--.*?-->", re.DOTALL)
# With its semicolon: an address may hold &copy=2.
_ENTITY = re.compile(r"&(?:#\d{1,8}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});")


def html(text: str) -> str:
    """Take off tags of HTML and comments; entities become what they stand for.

    What only looks like a tag (``<3``, ``<grin>``) stays. Tweets are often escaped twice.
    """
    while "&" in text:
        plain = _ENTITY.sub(_unescaped, text)
        if plain == text:
            break
        text = plain
    return _without(_TAG, _without(_COMMENT, text, "-->"), ">") if "<" in text else text


def _without(pattern: re.Pattern[str], text: str, end: str) -> str:
    # Behind the last end no match can be, and each try would look through all that is left.
    last = text.rfind(end) + len(end)
    return pattern.sub(" ", text[:last]) + text[last:] if last >= len(end) else text


def _unescaped(match: re.Match[str]) -> str:
    return entities.unescape(match[0])


# ---------------------------------------------------------------------------------------------
# Addresses and names

_END = r"[^\s.,;:!?…\"'»”’)\]}>]"  # an address does not end with a sign of the sentence
_URL = re.compile(
    rf"(?:https?|ftp)://\S*{_END}|www\.\S*{_END}|"
    r"(?<![\w@.+-])(?:[\w.+-]+@)?(?:[\w-]+\.)+(?:"
    r"(?:com|net|org|edu|gov|info|biz|io|co|uk|de|fr|eu|tv|ru|su|ua|kz|рф)(?![\w-])"
    rf"(?:[/?#]\S*{_END})?|[a-z]{{2,6}}/\S*{_END})",
    re.IGNORECASE,
)
_MENTION = re.compile(r"(?<!\w)(?:@+\w+(?:['’]s\b)?)+")


def urls(text: str) -> str:
    """Take off addresses: those with their scheme, ``www.``, a known end, or a path; mail too."""
    return _URL.sub(" ", text) if "." in text or "://" in text else text


def mentions(text: str) -> str:
    """Take off ``@names`` with an English ``'s`` behind them; an address of mail stays."""
    return _MENTION.sub(" ", text) if "@" in text else text


# ---------------------------------------------------------------------------------------------
# Emoji

_PICTURES = (
    "\u231a-\u23ff\u25fb-\u25fe\u2600-\u2775\u2794-\u27bf\u2b05-\u2b55\u3030\u303d\u3297\u3299"
    "\U0001f000-\U0001f0ff\U0001f10d-\U0001f1ff\U0001f200-\U0001faff"
)
_PICTURE = rf"(?:[0-9#*]\ufe0f?\u20e3|[^\w\s]\ufe0f|[{_PICTURES}])"
_EMOJI = re.compile(
    rf"{_PICTURE}(?:[\ufe0e\ufe0f\U0001f3fb-\U0001f3ff\U000e0020-\U000e007f]|\u200d{_PICTURE}?)*"
)


def emoji(text: str) -> str:
    """Take off emoji of however many code points; ``:)`` is punctuation."""
    return text if text.isascii() else _EMOJI.sub(" ", text)


# ---------------------------------------------------------------------------------------------
# Letters

_STRESSED = re.compile("([аеёиоуыэюяіїєѐѝАЕЁИОУЫЭЮЯІЇЄЀЍ])([\u0300-\u036f]*)")
_STRESS = str.maketrans({0x300: None, 0x301: None, 0x340: None, 0x341: None})
_GRAVE = str.maketrans("ѐѝЀЍ", "еиЕИ")  # with a stress mark, as one character
_YO = re.compile("([еЕ])\u0308+")
_DOT = re.compile("i\u0307+")
_REPEATED = re.compile(r"([^\W\d_])\1{2,}")


def stress(text: str) -> str:
    """Take the marks of stress off Russian vowels: за́мок, замо̀к; й and ё stay as they are."""
    if text.isascii():
        return text
    return _STRESSED.sub(lambda m: m[1].translate(_GRAVE) + m[2].translate(_STRESS), text)


def yo(text: str) -> str:
    """Write е for ё."""
    return _YO.sub(r"\1", text.replace("ё", "е").replace("Ё", "Е"))


def lower(text: str) -> str:
    """Write small letters; the Turkish İ is i, as in the tokenizer."""
    return _DOT.sub("i", text.lower())


def repeats(text: str) -> str:
    """Write a letter twice that stands three times or more: sooooo, неееет."""
    return _REPEATED.sub(r"\1\1", text)


# ---------------------------------------------------------------------------------------------
# Digits and signs

_DIGITS = re.compile(r"\d+(?:[.,:/–-]\d+)*(?!\ufe0f?\u20e3)")


def digits(text: str) -> str:
    """Take off digits, with the signs that are inside a number; a keycap is an emoji."""
    return _DIGITS.sub("", text)


def punctuation(text: str) -> str:
    """Take off signs (Unicode's P and S) that are no emoji.

    A hyphen, an apostrophe or an underscore between letters belongs to its word.
    """
    return _signs().sub(" ", text)


INSIDE = "'’ʼ‐‑-"
"""Apostrophes and hyphens: what may stand inside a word."""


@cache
def _signs() -> re.Pattern[str]:
    picture = re.compile(f"[{_PICTURES}]")
    inside = re.escape(f"{INSIDE}_")
    signs = characters(
        lambda char: (
            unicodedata.category(char)[0] in "PS"
            and char not in f"{INSIDE}_"
            and not picture.match(char)
        )
    )
    outside = rf"(?<![^\W_])(?<![{marks()}])[{inside}]|[{inside}](?![^\W_])"
    return re.compile(rf"(?:(?:[{signs}]|{outside})(?![\ufe0f\u20e3]))+")


@cache
def marks() -> str:
    """Return the accents and vowel signs that belong to the letter before them, as a class."""
    return characters(lambda char: unicodedata.category(char)[0] == "M")


def characters(wanted: Callable[[str], bool]) -> str:
    """Return the inside of a class of a pattern: all characters that are ``wanted``.

    Planes of Unicode beyond the first two hold kanji and variation selectors alone.
    """
    codes = np.array([code for code in _CODES if wanted(chr(code))])
    runs = np.split(codes, np.flatnonzero(np.diff(codes) > 1) + 1)
    return "".join(f"{re.escape(chr(run[0]))}-{re.escape(chr(run[-1]))}" for run in runs)


_CODES = (*range(0x20000), *range(0xE0100, 0xE01F0))
