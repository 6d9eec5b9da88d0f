"""`elman embed`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from elman.cli import options, screen
from elman.cli.options import option
from elman.data.files import expanded
from elman.errors import ConfigError
from elman.training.embed import Embedded, EmbedOptions, asked, run
from elman.training.lock import is_held
from elman.training.options import ReadOptions

_TEXT = """Train word vectors on texts: word2vec or fastText.

The texts are lines of files, or a column of tables; labels are not needed. Files of lines are read
as a stream and may be larger than the memory.

Parameters
----------
data
    Files, folders, `-`, or names that `elman datasets` lists.
"""


def _command() -> Callable[..., None]:
    """Return the command with the options of a training of word vectors."""
    parameters = [
        options.DATA,
        option(
            "text", str | None, None, "Column of the texts.", panel="data", rule="found by its name"
        ),
        *options.options_of(ReadOptions, without=("drop_unlabelled", "lines")),
        *options.options_of(EmbedOptions),
        option(
            "out",
            Path | None,
            None,
            "Folder of the vectors.",
            panel="output",
            rule="models/NAME-vectors, or models/NAME-vectors-2 and so on",
            short="-o",
        ),
        option(
            "force",
            bool,
            False,
            "Replace what stands at --out.",
            panel="output",
            flag=True,
            short="-f",
        ),
        options.json_option(),
        options.quiet_option(),
    ]
    return options.with_signature(_embed, parameters, text=_TEXT)


def _embed(
    *data: str,
    text: str | None,
    out: Path | None,
    force: bool,
    json: bool,
    quiet: bool,
    **given: Any,
) -> None:
    items = options.data_given(data)
    first = items if isinstance(items, str) else items[0]
    place = _free_place(first) if out is None else Path(expanded(out))
    reading = {name: given.pop(name) for name in ReadOptions.__struct_fields__ if name in given}
    with screen.Bar(quiet=quiet) as bar:
        made = run(
            items,
            asked(given),
            out=place,
            force=force,
            text=text,
            form=ReadOptions(**reading).form(),
            watch=bar,
        )
    if json:
        screen.print_json(report(made), out=str(place))
    else:
        _print(made, place)


def _free_place(data: str) -> Path:
    name = "stdin" if data == "-" else Path(data).name.split(".")[0][:100] or "model"
    for number in range(1, 10_000):
        place = Path("models") / (f"{name}-vectors" + (f"-{number}" if number > 1 else ""))
        if not place.exists() and not is_held(place):
            return place
    raise ConfigError("models is full of vectors of this name; give --out")


def report(made: Embedded) -> dict[str, Any]:
    """Return what is known of a training, as JSON can hold it."""
    return {
        "texts": made.texts,
        "running_words": made.running,
        "words": len(made.vectors),
        "covered": sum(made.counts.values()) / made.running,
        "size": made.vectors.size,
        "seconds": made.seconds,
        "options": made.options.to_dict(),
    }


def _print(made: Embedded, place: Path) -> None:
    from elman.text.terminal import counted, plain

    terminal, settled = screen.console(), made.options
    terminal.print(f"{counted(made.texts, 'text')}, {counted(made.running, 'running word')}")
    share = sum(made.counts.values()) / made.running
    terminal.print(
        f"{counted(len(made.vectors), 'word')} seen {settled.min_count} times or more, {share:.1%} "
        "of the running words"
    )
    terminal.print(
        f"{settled.method}: vectors of {counted(settled.size, 'number')}, "
        f"{counted(settled.epochs or 0, 'epoch')}, {made.seconds:.1f} s"
    )
    terminal.print(f"\nSaved to [bold]{plain(str(place))}[/]")
    word = next((word for word in made.vectors.words if len(word) > 3), made.vectors.words[0])
    terminal.print(f"Try: elman vectors similar {plain(str(place))} {plain(word)}")


embed = _command()
