"""Raw text cut into sentences and words, each with its place in the text.

English words as the Universal Dependencies treebank EWT has them, which are those of the Penn
Treebank with hyphens apart (`don't` is `do` `n't`, `al-Ani` is `al` `-` `Ani`); Russian words as in
the treebanks of Universal Dependencies (`северо-запад` is one word, `т.е.` is `т.` `е.`). Which of
the two is told by the letters of each piece between blanks, so a text may be in both.
"""

from __future__ import annotations

import re
from functools import lru_cache

import msgspec

__all__ = ["Word", "segment", "word_spans"]


class Word(msgspec.Struct, frozen=True, gc=False):
    """A word, number or sign, and its place: ``text`` is ``given[start:end]``."""

    text: str
    start: int
    end: int


def segment(text: str) -> list[list[Word]]:
    """Return the sentences of ``text`` as lists of their words.

    Any text may be given. No character is lost but blanks, none of which is inside a word; no
    sentence is empty.
    """
    sentences: list[list[Word]] = []
    words: list[Word] = []
    pieces = _pieces(text)
    for number, piece in enumerate(pieces, start=1):
        last = number == len(pieces) or _ends(text, piece, pieces[number], first=not words)
        _add_words(words, piece, last)
        if last:
            sentences.append(words)
            words = []
    return sentences


def word_spans(text: str) -> list[Word]:
    """Return the words of ``text``, which is one sentence."""
    words: list[Word] = []
    pieces = _pieces(text)
    for number, piece in enumerate(pieces, start=1):
        _add_words(words, piece, number == len(pieces))
    return words


def _pieces(text: str) -> list[Word]:
    """Return what stands between blanks."""
    return [Word(match[0], *match.span()) for match in re.finditer(r"\S+", text)]


# Words: each piece between blanks is cut by one pattern.

# Letters, digits, the underscore, and the marks that belong to them, which `\w` leaves out: accents
# and vowel signs, the soft hyphen, joiners. Not the letters of scripts that are written without
# blanks: there each is a word.
_L = (
    r"(?:(?![\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff])[\w\u00ad\u0300-\u036f\u0483-\u0489"
    r"\u0591-\u05bd\u05bf-\u05c7\u0610-\u061a\u064b-\u065f\u0670\u06d6-\u06ed\u0900-\u0963"
    r"\u0966-\u0dff\u0e31-\u0e4e\u1ab0-\u1aff\u1dc0-\u1dff\u200c\u200d\ufe00-\ufe0f])"
)
_END = rf"(?!{_L})"
_START = rf"(?<!{_L})"
_CYRILLIC = "[\u0400-\u04ff]"
_QUOTE = "['’`]"
_CLITIC = rf"{_QUOTE}(?i:s|m|d|ll|re|ve){_END}"
_CLOSING = r"[\"'”’»)\]}]"

_PREFIXES = (
    "anti|arch|co|counter|cross|e|ex|extra|inter|intra|mid|mini|multi|neo|non|over|pan|post|pre|pro"
    "|pseudo|psycho|quasi|re|semi|socio|sub|super|trans|ultra|un|under|vice"
)
_UNITS = (
    "[ap]m|[AP]M|[kKmMbB]|[mM][mM]|[bt]n|mln|[kcm]m|[kKMG][bB]|[kmM]Hz|kg|mg|ml|lbs?|oz|ft|in|yrs?"
    "|hrs?|mins?|secs?|mph|кг|г|км|см|мм|л|мл|руб|р|тыс|млн|млрд|ч|мин|сек"
)
_DOMAINS = (
    "com|org|net|edu|gov|info|biz|io|[a-z]{2}\\.uk|ru|su|ua|рф|de|fr|eu|us|ca|au|uk|ge"
    "|docx?|xlsx?|pptx?|pdf|txt|csv|html?|php|aspx?|exe|zip|jpe?g|png|gif|mp3|url"
)

# Abbreviations after which a sentence never ends, as a name or number must follow.
_TITLES = (
    "Mr|Mrs|Ms|Messrs|Dr|Drs|Prof|Rev|Fr|Gen|Col|Lt|Maj|Capt|Cpt|Cmdr|Sgt|Adm|Gov|Sen|Reps?|Pres|Hon"
    "|St|Ste|Mt|Ft|No|Nos|vs|Fig|Figs|Vol|pp|Attn|Spec|cf|e\\.g|i\\.e|eg|ie"
)
_TITLES_RU = (
    "гр|г-н|г-жа|акад|проф|доц|им|ул|пр|пер|пл|просп|св|тов|см|ср|рис|табл|стр|гл|напр|примеч|тел"
    "|т|п|пп"
)
# Abbreviations that may stand at the end of a sentence.
_ABBREVIATIONS = (
    "Inc|Corp|Co|Ltd|Bros|Jr|Sr|Jan|Feb|Mar|Apr|Jun|Jul|Aug|Sept?|Oct|Nov|Dec|Mon|Tues?|Wed|Thurs?"
    "|Thu|Fri|Sat|Sun|Ave|Blvd|Rd|Hwy|Ph|Mob|Fax|Tel|Ext|Dept|Univ|Assn|Esq|Calif|Conf|Sec|Para|Esp"
    "|[Ee]tc|esp|approx|dept|arrv|Arrv|ext|al|yrs|lbs?|oz|hrs|mins"
)
_ABBREVIATIONS_RU = (
    "гг?|вв?|д|е|др|ч|н|э|руб|р|коп|тыс|млн|млрд|кг|км|мм|мин|сек|шт|обл|р-н|ст|л|кв|корп|тер|гос"
    "|глав|зам|ред|изд|пед|кот|бывш|соч|собр|сокр|англ|нем|фр|лат|греч|рус|мл|сах|анс|пол"
)

_NUMBER = r"\+?(?:\d++(?:[.,:/]\d+)*+)"
_EMOJI = r"[\u203c\u2049\u2190-\u21ff\u2300-\u23ff\u25a0-\u27bf\u2b00-\u2bff\U0001f000-\U0001faff]"
_JOINED = "[\ufe0e\ufe0f\u200d\u20e3\U000e0020-\U000e007f\U0001f3fb-\U0001f3ff\u2640\u2642]"
_FACE = r"[:;=8xX]['^o*-]?[)(\]\[DPpO|*]+"

_WORD = (
    # two words in one, spelt without an apostrophe; then the plain words, as they are most
    rf"{_START}(?i:can(?=not{_END})|(?:gon|wan)(?=na{_END})|got(?=ta{_END})"
    rf"|(?:do|does|did|ca|wo|is|was|are|were|could|would|should|have|has|had|ai)(?=nt{_END})|(?:that|what|there|here|he)(?=s{_END})"
    rf"|(?:they|you)(?=(?:re|ll|ve){_END})|i(?=(?:m|ve){_END}))",
    r"[A-Za-zА-яё]{2,}(?=[,;!?)\"”»]|:?\Z)",
    r"[A-Za-z]{2,}(?={stop}\Z)",
    # addresses, without the stop behind them
    r"(?:https?://|ftp://|www\.|mailto:)\S*[\w/#=&~]",
    r"[\w.+%-]{1,64}@\w[\w-]*(?:\.\w[\w-]*)*",
    r"[@#](?=[^\W\d])\w[\w-]*",
    rf"(?:[\w-]{{1,63}}\.){{1,8}}(?i:{_DOMAINS}){_END}(?:/\S*[\w/])?",
    # faces
    rf"(?<![:;=])(?:{_START}|(?![8xX])){_FACE}(?!\w)",
    r"\^_+\^|<3(?!\d)|\(:(?!\w)|:'\(",
    # pictures with what makes them one
    rf"(?:(?:{_EMOJI}|[0-9#*]\ufe0f?\u20e3){_JOINED}*)+",
    # numbers, with a Russian ending or without their unit
    rf"{_NUMBER}%?-{_CYRILLIC}+",
    rf"{_NUMBER}(?=(?:{_UNITS}){_END})",
    r"\+?\d+(?:-\d+){2,}(?!\w)|(?:\d+/)?\d{3}-\d{4}(?!\w)",
    rf"{_NUMBER}(?:'s{_END}|{_L}*)",
    # abbreviations, initials
    r"[A-Z]{1,3}\$|[A-Za-z]{1,2}(?:&[A-Za-z])+(?!\w)|[A-Za-z]/[A-Za-z](?!\w)",
    rf"{_START}(?:[A-Za-z]\.)+[A-Za-z]{_END}(?:\.{{last}})?|[a-z]+(?:\.[a-z]+){{2,}}{_END}",
    rf"{_START}(?:{_TITLES}|{_ABBREVIATIONS}|[A-ZА-ЯЁ])\.{{last}}",
    rf"{_START}(?i:{_TITLES_RU}|{_ABBREVIATIONS_RU})\.",
    # Russian words: hyphens belong to them
    rf"(?=(?:{_L}|-){{0,60}}{_CYRILLIC}){_L}+(?:['’-]{_L}+)*",
    # English words and what has grown onto them
    rf"(?<={_L})(?i:n['’`]t){_END}",
    rf"(?<={_L}){_CLITIC}",
    rf"(?i:{_PREFIXES})-{_L}+",
    rf"{_L}+?(?=(?i:n['’`]t){_END})",
    rf"{_QUOTE}(?:\d\ds?|em|til|tis|twas|cause){_END}",
    rf"{_L}+(?:['’](?!(?i:s|m|d|ll|re|ve){_END}){_L}+)*",
    # runs of signs, any other character
    r"[.!?…]{2,}|([-=*~+#<>'’`_|/\\^,()])\1+",
    r".[\u0300-\u036f\ufe00-\ufe0f\u200d]*",
)
# The stop behind the last word of a sentence is the sentence's.
_ALL_WORDS = "|".join(_WORD)
_INSIDE, _LAST = (
    re.compile(_ALL_WORDS.replace("{last}", last).replace("{stop}", stop), re.DOTALL)
    for last, stop in (("", ""), (rf"(?!{_CLOSING}*\Z)", r"\."))
)


def _add_words(words: list[Word], piece: Word, last: bool) -> None:
    """Add the words of what stands between blanks."""
    text, start = piece.text, piece.start
    spans = _cut(text, last) if len(text) < 40 else _cut.__wrapped__(text, last)
    if len(spans) == 1:
        words.append(piece)
    else:
        words += [Word(word, start + a, start + b) for word, a, b in spans]


@lru_cache(1 << 16)
def _cut(piece: str, last: bool) -> list[tuple[str, int, int]]:
    pattern = _LAST if last else _INSIDE
    return [(match[0], *match.span()) for match in pattern.finditer(piece)]


# Sentences: a mark at the end of a piece ends one, unless the pieces around it speak against it.

# Words that begin a sentence far more often than a name: they alone tell that one ends in "U.S."
_STARTER = re.compile(
    r"[\"'“«(]*(?:The|This|That|These|Those|He|She|It|They|We|You|I|An?|In|On|At|If|But|And|So|There"
    r"|When|What|However|Please|My|Our|Your|His|Her|Their|Its|As|For|After|Also|Not?|Then|Thanks|Yes"
    r"|В|На|С|К|По|О|И|А|Но|Он|Она|Оно|Они|Мы|Вы|Я|Ты|Это|Этот|Эта|Эти|Как|Так|Там|Тут|Что|Если"
    r"|Когда|После|До|За|Из|От|При|Для|У|Его|Е[её]|Их|Вс[её]|Не|Ни|Да|Или|Тогда|Затем|Однако),?\Z"
)
_TAIL = re.compile(
    rf"(?:(?P<marks>[.!?…。！？]+)|(?<!\w){_FACE}|(?<={_CYRILLIC})\)+|(?<=[!?.])\)+"
    rf"|{_EMOJI}{_JOINED}*)"
    rf"(?P<closing>{_CLOSING}*)\Z"
)
_TITLE = re.compile(rf"(?<!{_L})(?:{_TITLES}|(?i:{_TITLES_RU}))\.\Z")
_ABBREVIATION = re.compile(
    rf"(?<!{_L})(?:{_ABBREVIATIONS}|(?i:{_ABBREVIATIONS_RU})|[A-ZА-ЯЁ]|(?:\w\.)+\w)\.\Z"
)
_FIRST = re.compile(r"[\"'“‘«„(\[{*_—–\s-]{0,8}(.)", re.DOTALL)
_GOES_ON = re.compile(rf"[.!?…,;:)\]}}»]|{_FACE}(?!\w)|{_EMOJI}")
_BREAK = re.compile(r"\n[^\S\n]*\n|\u2029|\n[^\S\n]*(?=(?:[*•·-]|\d\d?[.)]) )")


def _ends(text: str, piece: Word, following: Word, *, first: bool) -> bool:
    """Say whether a sentence ends between two neighbours; ``first``: the piece is its first."""
    word, then = piece.text, following.text
    if _BREAK.search(text, piece.end, following.start + 4):
        return True
    if word[-1].isalnum() or word[-1] in ",;:":
        return False
    word = word[-24:]  # what is searched for ends here; the whole may be very long
    tail = _TAIL.search(word)
    if tail is None or _GOES_ON.match(then):
        return False
    marks, closed = tail["marks"], bool(tail["closing"])
    start = found[1] if (found := _FIRST.match(text, following.start)) else then[0]
    if not marks:  # a face or picture
        return not start.islower()
    if first and word[:-1].isdecimal():  # "1." heads a list
        return False
    if start.islower() and (closed or then[0] in "-–—" or (marks[0] in ".…" and len(marks) > 1)):
        return False
    if marks != "." or closed:
        return True
    if _TITLE.search(word):
        return False
    if _ABBREVIATION.search(word):
        return _STARTER.match(then) is not None
    return not start.islower() or len(word) > 3
