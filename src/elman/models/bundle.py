"""A trained model as a folder of plain files.

``config.json  model.safetensors  tokenizer.json  cell.txt`` are the model; anything else
(``metrics.json  history.jsonl  README.md  confusion.png``) tells of it. There is no pickle, and
loading runs no code from the folder: the cell is parsed from its text form.
"""

from __future__ import annotations

import contextlib
import difflib
import errno
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

import elman
from elman.errors import BundleError, ElmanError
from elman.models.config import ClassifierConfig

FORMAT_VERSION = 1
CONFIG = "config.json"
WEIGHTS = "model.safetensors"
TOKENIZER = "tokenizer.json"
CELL = "cell.txt"


class BundleConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The form of config.json."""

    format: str = "elman"
    format_version: int = FORMAT_VERSION
    elman_version: str = elman.__version__
    task: str
    model: ClassifierConfig
    classes: list[str]
    prior: list[float]
    """Share of each class in the training part."""
    training: dict[str, Any] = {}
    """The settled options of the run, for the record."""
    checksums: dict[str, str] = {}
    """SHA-256 of each file that the model is made of."""


def save(
    path: Path, model: Any, *, training: Mapping[str, Any], files: Mapping[str, bytes]
) -> None:
    """Write a ``TextClassifierModel``, and ``files`` that tell of it, to the folder ``path``.

    The folder is written beside its place under another name and renamed when it is whole; a model
    that was there before is replaced, anything else is not.

    Raises:
        BundleError: something that is no model stands at ``path``, or it cannot be written.
    """
    from safetensors.torch import save as to_safetensors

    from elman.ir import text as ir_text

    module = model.module
    weights = {k: v.detach().cpu().contiguous() for k, v in module.state_dict().items()}
    parts = {
        WEIGHTS: to_safetensors(weights),
        TOKENIZER: model.tokenizer.to_json(),
        CELL: ir_text.write(module.recurrent.cell.graph).encode(),
    }
    config = BundleConfig(
        task="classify",
        model=module.config,
        classes=list(model.classes),
        prior=[float(p) for p in model.prior],
        training=dict(training),
        checksums={name: _checksum(data) for name, data in parts.items()},
    )
    parts[CONFIG] = msgspec.json.format(msgspec.json.encode(config), indent=1)
    write_folder(path, {**files, **parts})


def load(path: str | Path, *, backend: str = "auto") -> Any:
    """Read a model that ``save`` wrote.

    Args:
        path: the bundle's folder.
        backend: which backend runs the recurrence.

    Returns:
        A ``TextClassifierModel``.

    Raises:
        BundleError: a file is missing, damaged, foreign, or from a newer format version.
    """
    folder = Path(path)
    config = read_config(folder)
    parts = {name: _read_part(folder, name, config) for name in (WEIGHTS, TOKENIZER, CELL)}

    import numpy as np
    from safetensors.torch import load as from_safetensors

    from elman.cell import Cell
    from elman.ir import text as ir_text
    from elman.models.classifier import Classifier
    from elman.models.predictor import TextClassifierModel
    from elman.text.tokenizer import load_tokenizer

    tokenizer = load_tokenizer(parts[TOKENIZER], source=str(folder / TOKENIZER))
    if tokenizer.vocab_size != config.model.vocab_size:
        raise BundleError(
            f"{folder / TOKENIZER} has {tokenizer.vocab_size} entries, not the "
            f"{config.model.vocab_size} of {CONFIG}; copy the folder whole or train again"
        )
    try:
        cell = Cell(ir_text.parse(parts[CELL].decode()))
        module = Classifier(config.model, cell, backend=backend)
        module.load_state_dict(from_safetensors(parts[WEIGHTS]))
    except ElmanError:
        raise
    except Exception as error:
        raise BundleError(
            f"{folder / WEIGHTS} does not fit {folder / CONFIG} ({_first_line(error)}); "
            "the files are of different models: copy the folder whole or train again"
        ) from error
    prior = np.asarray(config.prior, dtype=np.float32)
    return TextClassifierModel(module, tokenizer, config.classes, prior)


def read_config(folder: Path) -> BundleConfig:
    """Read and check config.json alone; imports no torch.

    Raises:
        BundleError: as ``load`` does.
    """
    file = folder / CONFIG
    if not folder.exists():
        raise BundleError(f"there is no model at {folder}{_nearest(folder)}")
    if not file.is_file():
        raise BundleError(
            f"{folder} is not a model that Elman wrote: it has no {CONFIG}; "
            "give the folder that `elman train` named"
        )
    raw = _decode(file, dict)
    if raw.get("format") != "elman":
        raise BundleError(f"{file} was not written by Elman; give the folder of an Elman model")
    version = raw.get("format_version")
    if isinstance(version, int) and version > FORMAT_VERSION:
        raise BundleError(
            f"{folder} has format version {version}, written by Elman "
            f"{raw.get('elman_version', 'of a later version')}; this Elman {elman.__version__} "
            f"reads up to version {FORMAT_VERSION}: upgrade with `pip install -U elman`"
        )
    config = _decode(file, BundleConfig)
    if not len(config.classes) == len(config.prior) == config.model.num_classes:
        raise BundleError(f"{file} is damaged: classes and prior do not match num_classes")
    return config


def is_bundle(path: Path) -> bool:
    """Whether ``path`` looks like a model that Elman wrote (of any version)."""
    try:
        return msgspec.json.decode((path / CONFIG).read_bytes()).get("format") == "elman"
    except (OSError, AttributeError, msgspec.DecodeError, UnicodeDecodeError):
        return False


def check_destination(path: Path, *, overwrite: bool) -> None:
    """Refuse a place that a bundle cannot or must not be written to, before any work is done.

    Raises:
        BundleError: it exists and ``overwrite`` is false, it is no model, or cannot be written.
    """
    if path.exists() and not (path.is_dir() and not any(path.iterdir())):
        if not is_bundle(path):
            raise BundleError(
                f"{path} exists and is no Elman model, so it is left alone; choose another --out"
            )
        if not overwrite:
            raise BundleError(f"{path} exists; add --force to replace it or choose another --out")
    with writing(path):
        nearest = next(folder for folder in path.absolute().parents if folder.exists())
        os.rmdir(tempfile.mkdtemp(prefix=f".{path.name}.", dir=nearest))


def write_folder(path: Path, files: Mapping[str, bytes]) -> None:
    """Write all ``files`` to the folder ``path`` at once: whole, or not at all.

    Raises:
        BundleError: the disk is full, the place is read-only, or holds something else.
    """
    check_destination(path, overwrite=True)
    with writing(path):
        place = path.resolve()  # a link to a model stays a link
        place.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.parent))
        try:
            for name, data in files.items():
                write_synced(temporary / name, data)
            temporary.chmod(0o777 & ~_umask())  # mkdtemp's folders are private
            _swap(temporary, place)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)


def write_synced(file: Path, data: bytes) -> None:
    """Write ``data`` and wait until it is on the disk, so that a rename never shows half a file."""
    with file.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())


class writing:  # noqa: N801 - reads as a statement: `with writing(path):`
    """Turn what the operating system says about ``path`` into one sentence."""

    def __init__(self, path: Path):
        self.path = path

    def __enter__(self) -> None: ...

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if not isinstance(error, OSError):
            return
        mend = "choose another --out"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            mend = "free some space or choose another --out"
        reason = (error.strerror or str(error)).lower()
        raise BundleError(f"{self.path} cannot be written ({reason}); {mend}") from error


def _swap(new: Path, path: Path) -> None:
    """Put ``new`` in the place of ``path``; the old one is removed only when the new one stands."""
    if not path.exists():
        new.rename(path)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{path.name}.old.", dir=path.parent))
    try:
        path.rename(old)  # onto an empty folder: atomic
        new.rename(path)
    except BaseException:  # Ctrl-C too
        with contextlib.suppress(OSError):
            old.rmdir() if path.exists() else old.rename(path)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _read_part(folder: Path, name: str, config: BundleConfig) -> bytes:
    file = folder / name
    data = _reading(file, file.read_bytes)
    if _checksum(data) != config.checksums.get(name):
        raise BundleError(
            f"{file} is damaged or of another model: its checksum is not the one in {CONFIG}; "
            "copy the folder whole or train again"
        )
    return data


def _decode(file: Path, kind: Any) -> Any:
    data = _reading(file, file.read_bytes)
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, ElmanError) as error:
        raise BundleError(
            f"{file} is damaged ({_first_line(error)}); copy the folder whole or train again"
        ) from error


def _reading(file: Path, read: Callable[[], bytes]) -> bytes:
    try:
        return read()
    except FileNotFoundError:
        raise BundleError(f"{file} is missing; copy the folder whole or train again") from None
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise BundleError(f"{file} cannot be read ({reason}); check its permissions") from error


def _nearest(folder: Path) -> str:
    """Return a hint: a model of nearly this name, or where models come from."""
    around = folder.parent if folder.parent.is_dir() else Path()
    models = [p.name for p in around.iterdir() if is_bundle(p)] if around.is_dir() else []
    near = difflib.get_close_matches(folder.name, models, n=1)
    if near:
        return f"; did you mean {folder.parent / near[0]}?"
    return "; `elman train DATA` makes one"


def _checksum(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
