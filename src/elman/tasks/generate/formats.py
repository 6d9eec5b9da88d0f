"""Answers of a language model as a page of HTML: each text, darker where it was less expected."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from elman.data.examples import Inputs
    from elman.tasks.generate.predictor import LanguageModel

Row = Mapping[str, Any]

DARKEST = 12.0
"""Bits of surprise from which on a token is as dark as it gets."""
_PAGE = """\
<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>How expected each token was</title>
<style>
body { font: 16px/1.8 system-ui, sans-serif; max-width: 50rem; margin: 2rem auto; padding: 0 1rem;
  color: #111; background: #fff }
p { white-space: pre-wrap; border-bottom: 1px solid #ddd; padding-bottom: .6rem;
  overflow-wrap: anywhere }
small { display: block; opacity: .7 }
</style>
</head>
<body>
"""


def html(rows: Iterable[Row], model: LanguageModel, read: Sequence[Inputs]) -> Iterator[str]:
    """Yield a page that needs nothing else; with ``surprise`` its tokens have their bits as a
    title.
    """
    yield _PAGE
    for row in rows:
        said = f"{row['bits']:.3f} bits a {row['unit']}, perplexity {row['perplexity']:.2f}"
        yield f"<p>{_marked(row)}<small>{escape(said)}</small></p>\n"
    yield "</body>\n</html>\n"


def _marked(row: Row) -> str:
    if "surprise" not in row:
        return escape(row["text"])
    return "".join(_token(one["token"], one["nats"] / math.log(2)) for one in row["surprise"])


def _token(text: str, bits: float) -> str:
    dark = min(bits / DARKEST, 1.0) * 0.8
    shown = escape(text).replace("\n", "↵\n")
    colour = f"background:rgba(230,60,30,{dark:.2f})"
    return f'<span title="{bits:.1f} bits" style="{colour}">{shown}</span>'
