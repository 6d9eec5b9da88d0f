"""Answers of a tagger as files for other programs: CoNLL columns, and a page of HTML."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from itertools import groupby
from typing import TYPE_CHECKING, Any

from elman.errors import ConfigError

if TYPE_CHECKING:
    from elman.tasks.tag.predictor import TaggerModel

Row = Mapping[str, Any]

COLOURS = ("#a6e3ff", "#ffd6a5", "#caffbf", "#ffadad", "#d7c6ff", "#fdffb6", "#b8f2e6", "#ffc6ff")
_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
body {{ font: 16px/2.1 system-ui, sans-serif; max-width: 50rem; margin: 2rem auto; padding: 0 1rem;
  color: #111; background: #fff }}
p {{ white-space: pre-wrap; border-bottom: 1px solid #ddd; padding-bottom: .6rem;
  overflow-wrap: anywhere }}
mark {{ padding: .2em .35em; border-radius: .35em; color: inherit }}
mark b {{ font-size: .68em; margin-left: .45em; letter-spacing: .03em }}
mark small {{ font-size: .62em; margin-left: .3em; opacity: .75 }}
{colours}
</style>
</head>
<body>
"""


def conll(rows: Iterable[Row], model: TaggerModel) -> Iterator[str]:
    """Yield a word and its tag a line, a tab between them, and a blank line after a sentence."""
    for row in rows:
        _refuse_several(row, "conll")
        for _, tokens in groupby(row["tokens"], key=lambda token: token["sentence"]):
            lines = [f"{token['text']}\t{token['tag']}\n" for token in tokens]
            yield "".join(lines) + "\n"


def html(rows: Iterable[Row], model: TaggerModel) -> Iterator[str]:
    """Yield a page that needs nothing else: each text with its spans, or tags, in colours."""
    names = list(model.types or model.tags)
    colours = "\n".join(
        f"mark.k{i} {{ background: {COLOURS[i % len(COLOURS)]} }}" for i in range(len(names))
    )
    yield _PAGE.format(title="Tagged by Elman", colours=colours)
    for row in rows:
        _refuse_several(row, "html")
        yield f"<p>{_marked(row, names)}</p>\n"
    yield "</body>\n</html>\n"


def _refuse_several(row: Row, format: str) -> None:
    if "nbest" in row:
        raise ConfigError(f"--nbest cannot be shown with --format {format}; use --json")


def _marked(row: Row, names: Sequence[str]) -> str:
    marks = row.get("entities")
    if marks is None:
        marks = [{**token, "label": token["tag"]} for token in row["tokens"]]
    marks = [mark for mark in marks if "overlaps" not in mark]
    text, place, parts = row["text"], 0, []
    for mark in marks:
        parts.append(escape(text[place : mark["start"]]))
        number = names.index(mark["label"]) if mark["label"] in names else 0
        sure = f"{mark['probability']:.0%}"
        parts.append(
            f'<mark class="k{number}" title="{escape(mark["label"])} {sure}">'
            f"{escape(text[mark['start'] : mark['end']])}<b>{escape(mark['label'])}</b>"
            f"<small>{sure}</small></mark>"
        )
        place = mark["end"]
    parts.append(escape(text[place:]))
    return "".join(parts)
