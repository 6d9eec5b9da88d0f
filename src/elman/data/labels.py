"""Labels: strings, whatever the file's format made of them."""

from __future__ import annotations

import re
import unicodedata

_WHOLE = re.compile(r"([-+]?\d+)\.0+")
# What nobody sees comes along where a label is copied from a page.
_UNSEEN = "\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"
_TRUTH = ("true", "false")


def canonical(label: str) -> str:
    """Return a label as it is kept: one spelling for what formats write in several ways.

    Blanks and unseen marks around it are dropped and characters composed (form C). A data frame
    turns 1 into 1.0 as soon as a cell is missing, Parquet and JSON write true where CSV has True
    and Excel TRUE: these become ``1`` and ``true``. Everything else stays as written.
    """
    label = label.strip().strip(_UNSEEN).strip()
    if not label.isascii():
        return unicodedata.normalize("NFC", label)
    if label.lower() in _TRUTH:
        return label.lower()
    whole = _WHOLE.fullmatch(label)
    return whole[1] if whole else label
