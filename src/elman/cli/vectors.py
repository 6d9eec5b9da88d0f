"""`elman vectors`: asking word vectors, judging, drawing and converting them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter

from elman.cli import screen
from elman.cli.options import Json, Whole
from elman.data.files import check_readable, expanded
from elman.errors import ConfigError
from elman.text.terminal import counted, padded, plain
from elman.text.vectors.export import Format

if TYPE_CHECKING:
    from elman.text.vectors.judge import AnalogyScores, PairScores, Section
    from elman.text.vectors.table import Vectors

vectors = App(
    name="vectors",
    help="Ask word vectors, judge, draw and convert them. MODEL is a folder that `elman embed` "
    "wrote, or a file of word2vec (text or binary), GloVe or fastText (.vec, .bin), which is told "
    "from its content.",
)

Model = Annotated[Path, Parameter(help="A folder or a file of word vectors.")]
Count = Annotated[Whole, Parameter(alias="-n")]
Limit = Annotated[
    Whole | None,
    Parameter(help="Read so many rows of a file at most: those of the most frequent words."),
]
Force = Annotated[bool, Parameter(negative=(), alias="-f")]
Words = Annotated[list[str], Parameter(consume_multiple=True, negative=())]


@vectors.command
def similar(
    model: Model, /, *words: str, count: Count = 10, limit: Limit = None, json: Json = False
) -> None:
    """Show the words whose vectors are most like that of a word.

    Parameters
    ----------
    words
        The words, one or several.
    count
        How many to show for each.
    """
    if not words:
        raise ConfigError("WORDS are missing: name one or several")
    table = _load(model, limit)
    answers = [(word, table.similar(word, count)) for word in words]
    if json:
        rows = [{"word": word, "similar": _as_rows(found)} for word, found in answers]
        screen.print_json({"model": str(model), "words": rows})
        return
    for word, found in answers:
        _print_words(word, found)


@vectors.command
def analogy(
    model: Model,
    first: str,
    second: str,
    third: str,
    /,
    *,
    count: Count = 10,
    limit: Limit = None,
    json: Json = False,
) -> None:
    """Show the words nearest to FIRST - SECOND + THIRD, as in king - man + woman.

    Parameters
    ----------
    first
        What is begun with: king.
    second
        What is taken from it: man.
    third
        What is added: woman.
    count
        How many to show.
    """
    found = _load(model, limit).analogy(first, second, third, count)
    if json:
        asked = {"first": first, "second": second, "third": third}
        screen.print_json({"model": str(model), **asked, "answers": _as_rows(found)})
        return
    _print_words(f"{first} - {second} + {third}", found)


@vectors.command
def evaluate(model: Model, /, *files: Path, limit: Limit = None, json: Json = False) -> None:
    """Judge word vectors by tests: WordSim-353, SimLex-999, Google's analogies.

    Pairs with a mark are judged by the rank correlation (Spearman) of marks and cosines; analogies
    by how often the right word is the nearest of all. What has no vector does not count, and how
    much that is, is told.

    Parameters
    ----------
    files
        Tests: two words and a mark a line, or sections with four words a line.
    """
    from elman.text.vectors.judge import PairScores, judge, read_test

    if not files:
        raise ConfigError("FILES are missing: name tests, such as wordsim353.tsv")
    places = [expanded(file) for file in files]
    for place in places:
        check_readable(place)
    tests = [read_test(place) for place in places]
    table = _load(model, limit)
    scores = [judge(table, test) for test in tests]
    if json:
        screen.print_json({"model": str(model), "tests": scores})
        return
    for one in scores:
        _print_pairs(one) if isinstance(one, PairScores) else _print_analogies(one)


@vectors.command(name="map")
def map_(
    model: Model,
    /,
    *,
    out: Annotated[Path, Parameter(alias="-o")],
    words: Words | None = None,
    count: Count = 100,
    method: Literal["pca", "tsne"] = "pca",
    seed: Whole = 0,
    limit: Limit = None,
    force: Force = False,
) -> None:
    """Draw words as a map: near each other where their vectors are alike.

    Parameters
    ----------
    out
        The picture: .png or .svg.
    words
        What is drawn; without it the most frequent words that are no signs.
    count
        How many words are drawn without --words.
    method
        pca shows the plane in which the words differ most, tsne keeps those near each other
        together.
    seed
        Of tsne.
    force
        Replace the picture that stands there.
    """
    from elman.text.vectors.export import check_place

    place = Path(expanded(out))
    if place.suffix not in (".png", ".svg"):
        raise ConfigError(f"--out {place}: the suffix says the format; give .png or .svg")
    check_place(place, force=force)
    table = _load(model, limit)
    from elman.lab import word_map
    from elman.training.figures import render

    chosen = words or [word for word in table.words if word[0].isalnum()][:count]
    figure = word_map.draw(table, chosen, projection=method, seed=seed)
    place.write_bytes(render(figure, place.suffix[1:]))
    screen.console().print(f"Map of {len(set(chosen))} words: [bold]{plain(str(place))}[/]")


@vectors.command
def export(
    model: Model,
    file: Path,
    /,
    *,
    format: Format = "word2vec",
    limit: Whole | None = None,
    force: Force = False,
) -> None:
    """Write word vectors in a form that other programs read.

    Parameters
    ----------
    file
        What is written; compressed where its name ends in .gz.
    format
        word2vec is text with a line of sizes at its top, glove the same without that line.
    limit
        Write so many words at most, the most frequent ones.
    force
        Replace the file that stands there.
    """
    from elman.text.vectors.export import check_place, write

    place = Path(expanded(file))
    check_place(place, force=force)
    table = _load(model, limit)
    write(table, place, format=format, force=force)
    terminal = screen.console()
    terminal.print(f"{counted(len(table), 'vector')}: [bold]{plain(str(place))}[/]")
    if table.subwords is not None:
        terminal.print("  · the vectors of n-grams are left out: this form has none")


# -------------------------------------------------------------------------------------------------


def _load(model: Path, limit: int | None) -> Vectors:
    from elman.text.vectors.table import Vectors

    if limit is not None and limit < 1:
        raise ConfigError(f"--limit is {limit}; it must be 1 or more")
    place = Path(expanded(model))
    if not place.is_dir():
        check_readable(place)
    table = Vectors.load(place, limit=limit)
    for note in table.notes:
        screen.console(stderr=True).print(f"  · {plain(note)}")
    return table


def _as_rows(found: Sequence[tuple[str, float]]) -> list[dict[str, Any]]:
    return [{"word": word, "cosine": cosine} for word, cosine in found]


def _print_words(title: str, found: Sequence[tuple[str, float]]) -> None:
    terminal = screen.console()
    terminal.print(f"[bold]{plain(title)}[/]")
    for word, cosine in found:
        terminal.print(f"  {plain(padded(word, 24))} {cosine:6.3f}", soft_wrap=True)


def _print_pairs(scores: PairScores) -> None:
    terminal = screen.console()
    said = "–" if scores.spearman is None else f"{scores.spearman:.3f}"
    missing = scores.count - scores.judged
    terminal.print(f"[bold]{plain(scores.file)}[/]: Spearman {said}")
    terminal.print(
        f"  {scores.judged:,} of {counted(scores.count, 'pair')} judged; {missing:,} have a word "
        "without a vector"
    )
    if scores.composed:
        terminal.print(f"  {scores.composed:,} with a vector by n-grams alone")


def _print_analogies(scores: AnalogyScores) -> None:
    from rich.table import Table

    from elman.text.vectors.judge import Section

    terminal = screen.console()
    terminal.print(f"[bold]{plain(scores.file)}[/]: accuracy {_share(scores.accuracy)}")
    table = Table(box=None, pad_edge=False)
    table.add_column("")
    for title in ("accuracy", "right", "judged", "questions"):
        table.add_column(title, justify="right")
    whole = Section("all", scores.count, scores.judged, scores.right)
    for one in (*scores.sections, whole):
        table.add_row(plain(one.name), *_counts(one), style="bold" if one is whole else "")
    terminal.print(table)
    terminal.print(
        f"  {scores.count - scores.judged:,} of {counted(scores.count, 'question')} have a word "
        "without a vector"
    )


def _counts(one: Section) -> list[str]:
    return [_share(one.accuracy), *(f"{n:,}" for n in (one.right, one.judged, one.count))]


def _share(share: float | None) -> str:
    return "–" if share is None else f"{share:.3f}"
