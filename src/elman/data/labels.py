"""Labels: strings, whatever the file's format made of them."""

from __future__ import annotations

import re
import unicodedata

_WHOLE = re.compile(r"([-+]?\d+)\.0+")
_TRUTH = ("true", "false")


def canonical(label: str) -> str:
    """Return a label as it is kept: one spelling for what formats write in several ways.

    Blanks around it are dropped and characters composed (form C). A data frame turns 1 into 1.0 as
    soon as a cell is missing, Parquet and JSON write true where CSV has True and Excel TRUE: these
    become ``1`` and ``true``. Everything else stays as written.
    """
    label = label.strip()
    if not label.isascii():
        return unicodedata.normalize("NFC", label)
    if label.lower() in _TRUTH:
        return label.lower()
    whole = _WHOLE.fullmatch(label)
    return whole[1] if whole else label
