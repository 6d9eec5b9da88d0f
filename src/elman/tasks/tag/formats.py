"""Answers of a tagger as files for other programs: CoNLL columns, CoNLL-U, and a page of HTML."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any

from elman.data import conll as conll_data
from elman.data.conll import CONLLU_NAMES, Conll
from elman.data.examples import Inputs
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


def conll(rows: Iterable[Row], model: TaggerModel, read: Sequence[Inputs]) -> Iterator[str]:
    """Yield a word and its tag a line, a tab between them, and a blank line after a sentence."""
    for row in rows:
        _refuse_several(row, "conll")
        for _, tokens in groupby(row["tokens"], key=lambda token: token["sentence"]):
            lines = [f"{token['text']}\t{token['tag']}\n" for token in tokens]
            yield "".join(lines) + "\n"


def conllu(rows: Iterable[Row], model: TaggerModel, read: Sequence[Inputs]) -> Iterator[str]:
    """Yield CoNLL-U: files of it as they stand, with the model's tags in its column.

    All else, a comment, a range, an empty node and a line end, stays byte for byte. What is read
    from something else is written anew, with words and tags alone.

    Raises:
        ConfigError: the files have no column of the model's name.
    """
    rows = iter(rows)
    for one in read:
        own = islice(rows, len(one.inputs))
        if isinstance(one.file, Conll) and one.file.kind == "CoNLL-U":
            place = _place(model, one.file.names, one.facts.source)
            text = one.file.replaced(place, [_tags(row) for row in own]).text()
            yield text if text.endswith("\n\n") or one is read[-1] else f"{text}\n\n"
        else:
            yield from _new_conllu(own, model)
    yield from _new_conllu(rows, model)


def _tags(row: Row) -> list[str]:
    _refuse_several(row, "conllu")
    return [token["tag"] for token in row["tokens"]]


def _place(model: TaggerModel, names: Sequence[str], source: str = "CoNLL-U") -> int:
    """Return the column of the model's tags, from 0."""
    column, known = model.config.column.casefold(), [name.casefold() for name in names]
    if column not in known:  # by name alone: column 2 of another file is something else
        raise ConfigError(
            f"the model answers the column {model.config.column}, and {source} has no such column, "
            f"but {', '.join(names)}; use --format conll"
        )
    return known.index(column)


def _new_conllu(rows: Iterable[Row], model: TaggerModel) -> Iterator[str]:
    for row in rows:
        _refuse_several(row, "conllu")
        column = CONLLU_NAMES[_place(model, CONLLU_NAMES)]
        for _, group in groupby(row["tokens"], key=lambda token: token["sentence"]):
            tokens = [*group]
            text = row["text"][tokens[0]["start"] : tokens[-1]["end"]]
            words, tags = ([token[key] for token in tokens] for key in ("text", "tag"))
            yield conll_data.conllu([words], [tags], column=column, texts=[text])


def html(rows: Iterable[Row], model: TaggerModel, read: Sequence[Inputs]) -> Iterator[str]:
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
