"""One canonical form for equal-looking texts."""

import unicodedata
from collections.abc import Sequence


def normalise(text: str) -> str:
    """Return ``text`` in Unicode normalisation form C (UAX #15): "é" or "й" is one code point."""
    return unicodedata.normalize("NFC", text)


def normalise_compatible(text: str) -> str:
    """Return ``text`` in form KC: full-width letters, ligatures and the like as usual ones."""
    return unicodedata.normalize("NFKC", text)


def is_normal(text: str) -> bool:
    """Whether ``text`` is in form C; many times faster than to normalise it."""
    return text.isascii() or unicodedata.is_normalized("NFC", text)


def without_surrogates(texts: Sequence[str]) -> Sequence[str]:
    """Return ``texts`` with U+FFFD for each lone surrogate, which only Python strings can hold.

    They come from bytes on the command line that are not UTF-8 and from halves of an emoji. The
    very same object is returned when there is none.
    """
    try:
        "".join(texts).encode()
    except UnicodeEncodeError:
        return [_without_surrogates(text) for text in texts]
    return texts


def _without_surrogates(text: str) -> str:
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
