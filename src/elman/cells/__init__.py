"""The cells that come with Elman, and how to find one by name or in a file."""

import difflib
import importlib.util
from pathlib import Path

from elman.cell import Cell
from elman.cells.elman import elman, elman_relu
from elman.cells.gru import gru, gru_v1
from elman.cells.lstm import (
    lstm,
    lstm_b,
    lstm_coupled,
    lstm_f,
    lstm_i,
    lstm_o,
    lstm_peephole,
)
from elman.cells.minimal import mingru, minlstm
from elman.cells.multiplicative import mlstm
from elman.cells.mutants import mut1, mut2, mut3
from elman.cells.xlstm import slstm
from elman.errors import CellError, ElmanError

__all__ = ["ALL_CELLS", "find"]

ALL_CELLS: tuple[Cell, ...] = (
    elman,
    elman_relu,
    lstm,
    lstm_b,
    lstm_peephole,
    lstm_coupled,
    lstm_f,
    lstm_i,
    lstm_o,
    gru,
    gru_v1,
    mut1,
    mut2,
    mut3,
    mingru,
    minlstm,
    slstm,
    mlstm,
)
"""Every cell of the zoo: the tests, the docs and the command line take their list from here."""


def find(cell: str | Cell) -> Cell:
    """The cell of this name, or of ``path/to/file.py:name``; a cell is returned as it is.

    A file is run as Python to read the cell in it, so name only files that you trust.

    Raises:
        CellError: no such cell (naming the nearest), no such file, or no cell in it.
    """
    if isinstance(cell, Cell):
        return cell
    path, colon, name = cell.rpartition(":")
    if colon and path.endswith(".py"):
        return _from_file(Path(path), name)
    if cell.endswith(".py"):
        return _from_file(Path(cell), "")
    return _from_zoo(cell)


def _from_zoo(name: str) -> Cell:
    known = {cell.name: cell for cell in ALL_CELLS}
    folded = name.strip().lower().replace("-", "_")
    if folded in known:
        return known[folded]
    near = difflib.get_close_matches(folded, known, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
    raise CellError(f"there is no cell called {name!r}; {hint}")


def _from_file(path: Path, name: str) -> Cell:
    found = _cells_in(path)
    if name in found:
        return found[name]
    if not found:
        raise CellError(f"{path}: holds no cell; put @cell(state=...) above its function")
    if not name and len(found) == 1:
        return next(iter(found.values()))
    wanted = f"holds no cell called {name}" if name else "holds several cells"
    raise CellError(f"{path}: {wanted}; write {path}:NAME with one of {', '.join(found)}")


def _cells_in(path: Path) -> dict[str, Cell]:
    if not path.is_file():
        raise CellError(f"{path}: no such file; name it as path/to/file.py:cell")
    spec = importlib.util.spec_from_file_location(f"elman_cell_file_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise CellError(f"{path}: cannot be read as Python")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except ElmanError:
        raise
    except Exception as error:
        raise CellError(f"{path}: {type(error).__name__}: {error}") from error
    return {name: value for name, value in vars(module).items() if isinstance(value, Cell)}
