"""`elman evaluate`."""

from __future__ import annotations

from pathlib import Path

from elman.cli import display
from elman.cli.options import Data, Json
from elman.data.source import read_data


def evaluate(
    model: Path,
    data: Data,
    /,
    *,
    text: str | None = None,
    label: str | None = None,
    json: Json = False,
) -> None:
    """Score a trained model on labelled texts.

    All texts of DATA are judged, as they are. To judge on texts that the model was trained on
    says little: `elman train` has already judged it on texts kept apart.

    Parameters
    ----------
    model
        Folder of a trained model.
    data
        File, folder, `-`, or a name that `elman datasets` lists.
    text
        Column that holds the text, by name or by number from 1.
    label
        Column that holds the class, by name or by number from 1.
    json
        Print one JSON document on stdout and nothing else there.
    """
    from elman.models import bundle

    bundle.read_config(model)
    examples = read_data(data, text=text, label=label)
    from elman.training.classify import judge

    scores = judge(bundle.load(model), examples)
    if json:
        display.print_json(scores, data=data, model=str(model))
        return
    screen = display.console()
    screen.print(f"{examples.source}: {scores.count:,} judged", markup=False)
    for note in examples.notes:
        screen.print(f"  · {note}", markup=False)
    unseen = sorted({row.label for row in scores.classes} - set(bundle.read_config(model).classes))
    if unseen:
        said = ", ".join(unseen[:5]) + (" …" if len(unseen) > 5 else "")
        screen.print(
            "  · labels that are not among the model's classes, so that every text of theirs is a "
            f"mistake: {said}",
            markup=False,
        )
    display.print_evaluation(scores, screen=screen)
