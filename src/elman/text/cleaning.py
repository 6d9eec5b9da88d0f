"""One canonical form for equal-looking texts."""

import unicodedata


def normalise(text: str) -> str:
    """Return ``text`` in Unicode normalisation form C (UAX #15): "é" or "й" is one code point."""
    return unicodedata.normalize("NFC", text)


def is_normal(text: str) -> bool:
    """Whether ``text`` is in form C; many times faster than to normalise it."""
    return text.isascii() or unicodedata.is_normalized("NFC", text)
