"""Which old encoding bytes that are not UTF-8 are in, told by the letters that it makes of them."""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np

_WIDE = ("gb18030", "big5", "cp932", "euc-jp", "cp949")
# The encodings that are told apart, and how much rarer than the first ones they are. It weighs
# where a few bytes are all there is to tell them by.
LEGACY = {
    **dict.fromkeys(("cp1251", "cp1252"), 1.0),
    **dict.fromkeys(("cp1250", "koi8-r", "cp866", "mac-cyrillic", "iso-8859-2", "gb18030"), 0.5),
    "cp1254": 0.5,
    **dict.fromkeys(("cp1253", "cp1255", "cp1256", "cp1257"), 0.2),
    **dict.fromkeys(("iso-8859-5", "iso-8859-6"), 0.2),
    **dict.fromkeys(("koi8-u", "cp852", "mac-roman", "cp850", *_WIDE[1:]), 0.2),
}
_SAMPLE = 1 << 14  # bytes that are not UTF-8, to tell what else they are
FEW = 8  # of these bytes say too little for a guess by letters
_MANY = 64
_UNSURE, _UNSURE_OF_MANY = 0.01, 0.03
# Latin letters beside those of another script: one of both was taken for the other.
_LATIN, _OTHER = r"[A-Za-z\u00c0-\u024f]", r"[^\W\x00-\u02ff]"
_MIXED = re.compile(f"{_LATIN}(?={_OTHER})|(?<={_OTHER}){_LATIN}")
_CONTROLS = re.compile("[\x80-\x9f\ufffd]")  # where an encoding has no sign
_SOLID = re.compile("[\u00c0-\u024f]{3,}")
_WORD = re.compile(r"[^\W\d_]{2,}")
# Signs that stand in texts, those that a word may begin with, and those it may end with. Any other
# is odd, and so is a half-width kana, of which there are as many as Latin capitals with accents.
_FIRST = "«„“‘’‚‹¿¡–—·•№§\u00a0"
_LAST = "»”“’‘›–—…·°ºª²³™®©\u00a0"
_SIGNS = _FIRST + _LAST + "€£¥¢±×÷½¼¾µ¹†‡´¨¯　、。，！？：；（）「」『』《》・ー〜"
_ODD_SIGN = re.compile(
    rf"[^\x00-\x7f\w{re.escape(_SIGNS)}]|[\uff61-\uff9f]"
    rf"|(?<=[^\W\d_])[^\x00-\x7f\w{re.escape(_LAST)}](?=\w)"
    rf"|[^\x00-\x7f\w{re.escape(_FIRST)}](?=[^\W\d_])"
)
# Quotation marks, dashes and other signs, which all encodings of Windows have at the same bytes.
_OF_WINDOWS = frozenset(b"\x82\x84\x85\x8b\x91\x92\x93\x94\x95\x96\x97\x99\x9b\xa0\xa9\xab\xae\xbb")
_RUSSIAN = re.compile("[ыэъщюяйё]", re.IGNORECASE)
_SERBIAN = re.compile("[ђѓѕљњќћџ]", re.IGNORECASE)


def guess(lines: Iterable[bytes]) -> str | None:
    """Return the likeliest encoding of lines that are not UTF-8, or None where it is in doubt."""
    sample = bytearray()
    for line in lines:
        sample += line
        if len(sample) >= _SAMPLE:
            break
    data = bytes(sample)
    if _has_signs_alone(data):
        return "cp1252"
    likelihood, best = max(((_likelihood(data, one), one) for one in LEGACY), key=lambda x: x[0])
    if likelihood < (_UNSURE_OF_MANY if _high(data) >= _MANY else _UNSURE):
        if _high(data) >= FEW:
            return None
        best = _guess_of_few(data)
        if _CONTROLS.search(decode(data, best)):
            return None
    text = decode(data, best)  # of several that say the same take the usual one
    best = next(one for one in LEGACY if _decodes(data, one, text))
    return _latin(data) if best == "cp1252" else best


def _has_signs_alone(data: bytes) -> bool:
    """Return whether nothing but signs of Windows is beyond ASCII, each where such a sign stands.

    No letters tell the encoding then, and none are needed.
    """
    high = {code for code in set(data) if code >= 0x80}
    return high <= _OF_WINDOWS and _ODD_SIGN.search(decode(data, "cp1252")) is None


def _decodes(data: bytes, encoding: str, text: str) -> bool:
    try:
        return decode(data, encoding) == text
    except UnicodeDecodeError:
        return False


def _high(data: bytes) -> int:
    return int((np.frombuffer(data, np.uint8) >= 0x80).sum())


def _latin(data: bytes) -> str:
    """Return ``latin-1`` where it and Windows-1252 are the same, else the latter."""
    codes = np.frombuffer(data, np.uint8)
    return "cp1252" if ((codes >= 0x80) & (codes < 0xA0)).any() else "latin-1"


def _likelihood(data: bytes, encoding: str) -> float:
    """Return how plausible the letters are that ``encoding`` makes of ``data``, from 0 to 1.

    The detector knows which letters follow each other in each language. It is asked about the
    text in small letters, as it has seen few capitals; a wrong encoding besides makes signs of
    letters, and capitals in the midst of words.
    """
    import chardet

    try:
        text = decode(data, encoding)
        small = text.lower().encode(encoding)
    except UnicodeEncodeError:
        small = data
    except UnicodeDecodeError:
        return 0.0
    found = chardet.detect_all(
        small,
        ignore_threshold=True,
        include_encodings=[encoding],
        no_match_encoding=encoding,  # then without a language
    )
    likely = max((one["confidence"] for one in found if one["language"]), default=0.0)
    rare = LEGACY[encoding] ** min(1.0, FEW / max(1, _high(data)))
    return likely * rare * _looks(text)


def _looks(text: str) -> float:
    """Return how much ``text`` looks like words, from 0 to 1."""
    foreign = [character for character in text if character > "\x7f"]
    odd = len(_ODD_SIGN.findall(text))
    if _RUSSIAN.search(text):  # Russian does not have the letters that Serbian has besides
        odd += len(_SERBIAN.findall(text))
    letters = max(0.0, 1 - odd / max(1, len(foreign)))
    words = [word for word in _WORD.findall(text) if not word.isascii()]
    # No language writes words in accented letters alone.
    solid = sum(_SOLID.fullmatch(word) is not None for word in words) / max(1, len(words))
    cased = sum(_is_cased_well(word) for word in words) / max(1, len(words))
    mixed = len(_MIXED.findall(text)) / max(1, len(foreign))
    return letters**8 * cased**2 * (1 - solid) ** 4 * max(0.0, 1 - mixed) ** 2


def _is_cased_well(word: str) -> bool:
    return word.isupper() or word[1:] == word[1:].lower()


def _guess_of_few(data: bytes) -> str:
    """Return ``cp1251`` or ``cp1252``, whichever a few bytes are more likely to be.

    Both put letters at 0xC0-0xFF. A Cyrillic word is made of them wholly, so that such a letter
    has another beside it; in the Latin languages an accented letter has plain ones beside it.
    """
    codes = np.frombuffer(data, np.uint8)
    high = codes >= 0xC0
    lower = codes | 0x20
    plain = (lower >= ord("a")) & (lower <= ord("z"))
    pairs = int((high[1:] & high[:-1]).sum()) * 2  # both letters of a pair have such a neighbour
    mixed = int((high[1:] & plain[:-1]).sum()) + int((high[:-1] & plain[1:]).sum())
    return "cp1251" if pairs > mixed else "cp1252"


def decode(data: bytes, encoding: str) -> str:
    """Return ``data`` decoded by an encoding that was guessed.

    Latin-1 is read as Windows-1252, as browsers do: the two differ only where Latin-1 has control
    characters, and there Windows has its dashes and quotation marks.
    """
    if encoding in ("latin-1", "cp1252"):
        try:
            return data.decode("cp1252")
        except UnicodeDecodeError:
            return data.decode("latin-1")
    # The few bytes that mean nothing in an encoding are no reason to refuse the file.
    return data.decode(encoding, "strict" if encoding in _WIDE else "replace")
