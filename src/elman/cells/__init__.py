"""The cells that come with Elman, and how to find one by name or in a file."""

import ast
import difflib
import importlib.util
import inspect
import re
import traceback
from collections.abc import Iterable
from functools import lru_cache
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
from elman.cells.modifiers import MODIFIERS, layer_norm, recurrent_dropout, residual, zoneout
from elman.cells.multiplicative import mlstm
from elman.cells.mutants import mut1, mut2, mut3
from elman.cells.xlstm import slstm
from elman.errors import CellError, ElmanError

__all__ = [
    "ALL_CELLS",
    "MODIFIERS",
    "find",
    "layer_norm",
    "recurrent_dropout",
    "residual",
    "split_names",
    "zoneout",
]

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

    Modifiers stand around a name, ``zoneout(lstm, h=0.1, c=0.1)``, and around each other; within
    them a file is quoted, ``layer_norm("my_cell.py:mine")``. A file is run as Python to read the
    cell in it, so name only files that you trust.

    Raises:
        CellError: no such cell or modifier (naming the nearest), no such file, or no cell in it.
    """
    if isinstance(cell, Cell):
        return cell
    if re.fullmatch(r"\s*[^\s(]+\s*\(.*\)\s*", cell, re.DOTALL):
        return _modified(cell)
    path, colon, name = cell.rpartition(":")
    if colon and path.endswith(".py"):
        return _from_file(Path(path), name)
    if cell.endswith(".py"):
        return _from_file(Path(cell), "")
    if "(" in cell or ")" in cell:
        raise _unreadable(cell)
    return _from_zoo(cell)


def _from_zoo(name: str) -> Cell:
    cells = {cell.name: cell for cell in ALL_CELLS}
    folded = name.strip().lower().replace("-", "_")
    if folded in cells:
        return cells[folded]
    raise CellError(f"there is no cell called {name!r}; {_hint(folded, cells)}")


def _hint(name: str, names: Iterable[str]) -> str:
    near = {
        candidate: difflib.SequenceMatcher(None, candidate, name).ratio() for candidate in names
    }
    # Of two as near as each other the shorter: grv is gru rather than gru_v1.
    best = max(near, key=lambda candidate: (near[candidate], -len(candidate)))
    return f"did you mean {best}?" if near[best] >= 0.5 else f"there are {', '.join(near)}"


def split_names(text: str) -> list[str]:
    """The cells of a list with commas between them; those within brackets and quotes stay."""
    parts = re.findall(r"\"[^\"]*\"|'[^']*'|.", text, re.DOTALL)
    names, depth = [""], 0
    for part in parts:
        depth += (part == "(") - (part == ")")
        if part == "," and depth <= 0:
            names.append("")
        else:
            names[-1] += part
    return [name.strip() for name in names if name.strip()]


# ---------------------------------------------------------------------------------------------
# Modifiers around a name

_MOST_CHARACTERS = 1_000


def _modified(text: str) -> Cell:
    # A dash within a name, not the sign of a number and not in a quoted path.
    dashes = r"\"[^\"]*\"|'[^']*'|(?<=[A-Za-z0-9])-(?=[A-Za-z])"
    folded = re.sub(dashes, lambda match: "_" if match[0] == "-" else match[0], text.strip())
    if len(text) > _MOST_CHARACTERS:
        raise CellError(f"the cell {text[:40]!r}... has more than {_MOST_CHARACTERS} characters")
    try:
        tree = ast.parse(folded, mode="eval").body
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise _unreadable(text) from None
    return _evaluated(tree, text)


def _evaluated(tree: ast.expr, text: str) -> Cell:
    """The cell of a name, of a quoted name or file, or of a modifier's call."""
    if isinstance(tree, ast.Name):
        return _from_zoo(tree.id)
    if isinstance(tree, ast.Constant) and isinstance(tree.value, str):
        return find(tree.value)
    if not isinstance(tree, ast.Call) or not isinstance(tree.func, ast.Name):
        raise _unreadable(text)
    name = tree.func.id.lower()
    if name not in MODIFIERS:
        hint = _hint(name, MODIFIERS)
        raise CellError(f"there is no modifier called {tree.func.id!r}; {hint}")
    if not tree.args:
        raise CellError(f"{text!r}: {name} is given no cell; write {name}(lstm)")
    inner = _evaluated(tree.args[0], text)
    values = [_literal(argument, text) for argument in tree.args[1:]]
    options = {str(keyword.arg): _literal(keyword.value, text) for keyword in tree.keywords}
    if len(options) < len(tree.keywords):
        raise _unreadable(text)
    signature = inspect.signature(MODIFIERS[name])
    try:
        signature.bind(inner, *values, **options)
    except TypeError as error:
        shown = ", ".join(
            str(parameter.replace(annotation=parameter.empty))
            for parameter in signature.parameters.values()
        )
        raise CellError(f"{text!r}: {error}; write {name}({shown})") from None
    return MODIFIERS[name](inner, *values, **options)


def _literal(tree: ast.expr, text: str) -> object:
    try:
        value = ast.literal_eval(tree)
    except ValueError:
        raise _unreadable(text) from None
    if not isinstance(value, int | float | str):
        raise _unreadable(text)
    return value


def _unreadable(text: str) -> CellError:
    return CellError(
        f"the cell {text!r} cannot be understood; write modifiers with numbers around a name, "
        "for example zoneout(lstm, h=0.1, c=0.1)"
    )


def _from_file(path: Path, name: str) -> Cell:
    cells = _cells_in(path)
    if name in cells:
        return cells[name]
    if not cells:
        raise CellError(f"{path}: holds no cell; put @cell(state=...) above its function")
    if not name and len(cells) == 1:
        return next(iter(cells.values()))
    wanted = f"holds no cell called {name}" if name else "holds several cells"
    raise CellError(f"{path}: {wanted}; write {path}:NAME with one of {', '.join(cells)}")


def _line(error: BaseException, path: Path) -> str:
    """Where in the file it arose, in the words of a message."""
    if isinstance(error, SyntaxError):
        return ""  # its own message says it
    frames = traceback.extract_tb(error.__traceback__)
    lines = [frame.lineno for frame in frames if frame.filename == str(path)]
    return f" line {lines[-1]}" if lines else ""


def _cells_in(path: Path) -> dict[str, Cell]:
    if not path.is_file():
        raise CellError(f"{path}: no such file; name it as path/to/file.py:cell")
    stat = path.stat()
    return _cells_of(path, path.resolve(), stat.st_mtime_ns, stat.st_size)


# One run asks several times for its cell: the file is run once, and anew when it has changed.
@lru_cache(maxsize=16)
def _cells_of(path: Path, place: Path, changed: int, size: int) -> dict[str, Cell]:
    spec = importlib.util.spec_from_file_location(f"elman_cell_file_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise CellError(f"{path}: cannot be read as Python")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except ElmanError:
        raise
    except (Exception, SystemExit) as error:
        message = f": {error}" if str(error) else ""
        raise CellError(f"{path}{_line(error, path)}: {type(error).__name__}{message}") from error
    return {name: value for name, value in vars(module).items() if isinstance(value, Cell)}
