"""One canonical form for equal-looking texts."""

import unicodedata
from collections.abc import Sequence


def normalise(text: str) -> str:
    """Return ``text`` in Unicode normalisation form C (UAX #15): "é" or "й" is one code point."""
    return unicodedata.normalize("NFC", text)


def normalise_all(texts: Sequence[str]) -> Sequence[str]:
    """Return ``texts`` in form C; the very same object when nothing had to change.

    Checking is many times faster than normalising, and nearly all texts are in form C already.
    """
    if all(map(_is_normal, texts)):
        return texts
    return [text if _is_normal(text) else normalise(text) for text in texts]


def _is_normal(text: str) -> bool:
    return text.isascii() or unicodedata.is_normalized("NFC", text)
