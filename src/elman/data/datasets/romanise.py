"""Surnames in Latin letters, spelled the way their bearers are usually met in print.

A letter-by-letter transliteration would be an answer key of its own ("oy" for Greek "ου"), so each
script follows the spelling in use: pinyin, customary Korean, ELOT 743, passport Russian and
Ukraine's 2010 table. Japanese needs the reading of each name; its source brings that along.
"""

from __future__ import annotations

import re
import unicodedata

from anyascii import anyascii

# Characters read otherwise as a surname than by themselves.
_PINYIN = {
    "万俟": "Moqi", "尉迟": "Yuchi", "单于": "Chanyu", "澹台": "Tantai",
    "仇": "Qiu", "单": "Shan", "單": "Shan", "区": "Ou", "曾": "Zeng", "朴": "Piao", "查": "Zha",
    "盖": "Ge", "缪": "Miao", "繆": "Miao", "覃": "Qin", "解": "Xie", "卜": "Bu", "翟": "Zhai",
    "薄": "Bo", "乐": "Yue", "能": "Nai", "都": "Du", "钭": "Tou", "莘": "Xin", "粘": "Nian",
}  # fmt: skip

# The 2000 system where custom agrees with it; these are spelled otherwise by most bearers.
_KOREAN = {
    "김": "Kim", "이": "Lee", "박": "Park", "최": "Choi", "정": "Jung", "조": "Cho", "윤": "Yoon",
    "임": "Lim", "오": "Oh", "신": "Shin", "안": "Ahn", "유": "Yoo", "고": "Ko", "문": "Moon",
    "허": "Heo", "심": "Shim", "노": "Noh", "곽": "Kwak", "성": "Sung", "주": "Joo", "우": "Woo",
    "구": "Koo", "공": "Kong", "현": "Hyun", "변": "Byun", "추": "Choo", "선": "Sun", "명": "Myung",
    "기": "Ki", "금": "Keum", "육": "Yook", "국": "Kook", "편": "Pyun", "감": "Kam", "강": "Kang",
    "길": "Kil", "경": "Kyung", "계": "Kye", "독고": "Dokko", "선우": "Sunwoo", "남궁": "Namkung",
}  # fmt: skip


def _table(letters: str, latin: str) -> dict[str, str]:
    return dict(zip(letters, latin.split(" "), strict=True))


_GREEK = _table(
    "αβγδεζηθικλμνξοπρσςτυφχψω",
    "a v g d e z i th i k l m n x o p r s s t y f ch ps o",
)
_GREEK_PAIRS = (
    (r"ου", "ou"),
    (r"(?<=[αεη])υ(?=[θκξπσςτφχψ])", "f"),
    (r"(?<=[αεη])υ", "v"),
    (r"^μπ|(?<=[-\s])μπ", "b"),
    (r"^γκ", "gk"),
    (r"γ(?=[γξχ])", "n"),
)

_RUSSIAN = _table(
    "абвгдеёжзийклмнопрстуфхцчшщъыьэюя",
    "a b v g d e e zh z i y k l m n o p r s t u f kh ts ch sh shch  y  e yu ya",
)
_UKRAINIAN = _table(
    "абвгґдеєжзиіїйклмнопрстуфхцчшщьюя'",
    "a b v h g d e ie zh z y i i i k l m n o p r s t u f kh ts ch sh shch  iu ia ",
)
_UKRAINIAN_FIRST = {"є": "ye", "ї": "yi", "й": "y", "ю": "yu", "я": "ya"}


def chinese(name: str) -> str:
    """Pinyin without tones, in the reading the character has as a surname."""
    return _PINYIN.get(name) or anyascii(name).capitalize()


def korean(name: str) -> str:
    """The customary spelling of the common surnames, Revised Romanisation of the others."""
    if name in _KOREAN:
        return _KOREAN[name]
    syllables = anyascii(name)
    for initial, closing in (("(?<!n)g", "k"), ("b", "p")):  # a closed syllable's end is voiceless
        syllables = re.sub(rf"{initial}(?=[A-Z]|$)", closing, syllables)
    return re.sub(r"^L", "R", syllables).capitalize()


def japanese(romaji: str) -> str:
    """Hepburn without macrons from a kana-by-kana reading: "satou" gives Sato.

    "ou" stays where two words meet in it (Inoue, Yamanouchi, Matsuura).
    """
    short = re.sub(r"ou(?!e|chi|ra)|oo", "o", romaji)
    return re.sub(r"(?<=[yj])uu|(?<=[sc]h)uu", "u", short).capitalize()


def greek(name: str) -> str:
    """ELOT 743, as in Greek passports."""
    text = name.casefold().replace("ϋ", "y").replace("ΰ", "y")  # a diaeresis: no digraph
    text = "".join(c for c in unicodedata.normalize("NFD", text) if not unicodedata.combining(c))
    for pattern, latin in _GREEK_PAIRS:
        text = re.sub(pattern, latin, text)
    return _spell(text, _GREEK)


def russian(name: str) -> str:
    """As in the English press: Dostoevsky, Solovyev, Gorbachev."""
    text = re.sub(r"[иы]й$", "y", name.lower())
    text = re.sub(r"[ьъ](?=[еёюя])", "y", text)
    return _spell(text, _RUSSIAN)


def ukrainian(name: str) -> str:
    """Ukraine's table of 2010, as in passports: Yushchenko, Zahorskyi."""
    text = name.lower().replace("зг", "zgh").replace("’", "'")
    text = re.sub(r"^[єїйюя]", lambda first: _UKRAINIAN_FIRST[first[0]], text)
    return _spell(text, _UKRAINIAN)


def _spell(text: str, letters: dict[str, str]) -> str:
    latin = "".join(letters.get(letter, letter) for letter in text)
    return "-".join(part.capitalize() for part in latin.split("-"))
