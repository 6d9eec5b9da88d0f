"""`elman compare`."""

from __future__ import annotations

from elman.cli import display
from elman.cli.options import Data, DataOptions, Json, ModelOptions, read_split, train_config
from elman.errors import ConfigError

_DATA = DataOptions()
_MODEL = ModelOptions()


def compare(
    data: Data,
    /,
    *,
    cells: str = "elman,lstm,gru",
    seeds: int = 3,
    json: Json = False,
    data_options: DataOptions = _DATA,
    model_options: ModelOptions = _MODEL,
) -> int:
    """Train several cells on the same data and compare them.

    Every cell sees the same split; the seed changes the first weights, the order of the batches
    and the dropout.

    Parameters
    ----------
    data
        File, folder, `-`, or a name that `elman datasets` lists.
    cells
        Names of cells with commas between them.
    seeds
        How many runs of each cell.
    json
        Print one JSON document on stdout and nothing else there.
    """
    from elman import cells as zoo

    names = list(dict.fromkeys(zoo.split_names(cells)))
    if not names:
        raise ConfigError("--cells names no cell; write for example --cells elman,lstm,gru")
    if seeds < 1:
        raise ConfigError(f"--seeds is {seeds}; it must be 1 or more")
    for name in names:
        zoo.find(name)
    configs = [train_config(model_options, cell=name, seed=0) for name in names]
    parts = read_split(data, data_options, seed=0)
    from elman.training.compare import compare as run

    table = run(parts, configs, seeds=seeds, on_run=None if json else display.print_run)
    if json:
        display.print_json(table)
    else:
        display.print_comparison(table)
    return 0
