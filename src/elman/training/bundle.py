"""A trained model as a folder of plain files.

``config.json`` is an envelope: format, versions and the name of the task, whose own part of it
(``model``) only that task reads. With ``model.safetensors`` and the task's files (tokenizers,
cells) it is the model, each under its checksum in ``SHA256SUMS`` (as ``sha256sum -c`` reads it).
Anything else in the folder tells of the model. There is no pickle, and loading runs no code from
the folder: a cell is parsed from its text form.
"""

from __future__ import annotations

import contextlib
import difflib
import errno
import hashlib
import os
import shutil
import struct
import tempfile
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from elman._version import __version__
from elman.data.files import url_of
from elman.errors import BundleError, ElmanError

if TYPE_CHECKING:
    from torch import nn

    from elman.training.task import Predictor

ModuleT = TypeVar("ModuleT", bound="nn.Module")

FORMAT_VERSION = 2
CONFIG = "config.json"
TRAIN_OPTIONS = "train.toml"
WEIGHTS = "model.safetensors"
SUMS = "SHA256SUMS"
_OLD = ".{}.old."  # how the name of a model that is being replaced begins: the longest name


class BundleConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The form of config.json."""

    format: str
    format_version: int
    elman_version: str
    task: str
    model: msgspec.Raw
    """What the task itself wrote."""
    training: dict[str, Any] = {}
    """The settled options of the run, for the record."""


class Stored(msgspec.Struct, frozen=True):
    """What a folder holds: the envelope, and the files of the model with their checksums right."""

    folder: Path
    config: BundleConfig
    files: dict[str, bytes]

    def file(self, name: str) -> bytes:
        """Return one of the task's files.

        Raises:
            BundleError: the model has no such file.
        """
        if name not in self.files:
            raise BundleError(
                f"{self.folder / name} is missing in {SUMS}; copy the folder whole or train again"
            )
        return self.files[name]

    def parse(self, name: str, read: Callable[[bytes], Any]) -> Any:
        """Return what ``read`` makes of one of the task's files.

        Raises:
            BundleError: the file is missing, or ``read`` refuses it.
        """
        data = self.file(name)
        try:
            return read(data)
        except ElmanError as error:
            raise _damaged(self.folder / name, error) from error


# ---------------------------------------------------------------------------------------------
# Writing


def save(
    path: Path,
    predictor: Predictor,
    *,
    training: Mapping[str, Any],
    files: Mapping[str, bytes],
    force: bool = False,
) -> None:
    """Write a model of any task, and ``files`` that tell of it, to the folder ``path``.

    The folder is written beside its place under another name and renamed when it is whole; with
    ``force`` a model that was there before is replaced, anything else never is.

    Raises:
        BundleError: something stands at ``path``, or it cannot be written.
    """
    from safetensors.torch import save as to_safetensors

    model, parts = predictor.parts()
    tensors = predictor.module.state_dict()
    names = stored_names(predictor.module)
    weights = {name: tensors[name].detach().cpu().contiguous() for name in names}
    config = BundleConfig(
        format="elman",
        format_version=FORMAT_VERSION,
        elman_version=__version__,
        task=predictor.task,
        model=msgspec.Raw(msgspec.json.encode(model)),
        training=dict(training),
    )
    parts = {
        **parts,
        WEIGHTS: to_safetensors(weights),
        CONFIG: msgspec.json.format(msgspec.json.encode(config), indent=1),
    }
    write_folder(path, {**files, **parts, SUMS: checksums(parts)}, force=force)


def stored_names(module: nn.Module) -> list[str]:
    """Return the names of a module's tensors, of those that are one tensor (tied) the first."""
    tied: set[str] = set()
    seen: set[int] = set()
    for name, tensor in module.named_parameters(remove_duplicate=False):
        if id(tensor) in seen:
            tied.add(name)
        seen.add(id(tensor))
    return [name for name in module.state_dict() if name not in tied]


def checksums(files: Mapping[str, bytes]) -> bytes:
    """Return SHA256SUMS as sha256sum writes it, a line a file."""
    lines = (f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files))
    return "".join(lines).encode()


# ---------------------------------------------------------------------------------------------
# Reading


def read(path: str | Path) -> Stored:
    """Read the files of a model and check that they are whole; imports no torch.

    Raises:
        BundleError: a file is missing, damaged, foreign, or from another format version.
    """
    folder = Path(path)
    config = read_config(folder)
    sums = _sums(folder)
    files = {name: _read_part(folder, name, sum_) for name, sum_ in sums.items()}
    if WEIGHTS not in files or CONFIG not in files:
        raise BundleError(f"{folder / SUMS} is damaged; copy the folder whole or train again")
    return Stored(folder, config, files)


def read_config(folder: Path) -> BundleConfig:
    """Read and check config.json alone; imports no torch.

    Raises:
        BundleError: as ``read`` does.
    """
    file = folder / CONFIG
    there, url = os.path.exists(folder), url_of(folder)  # a name that cannot be is not there
    if url is not None and not there:
        raise BundleError(f"Elman reads no URLs; download {url} first")
    if not there:
        raise BundleError(f"there is no model at {folder}{_nearest(folder)}")
    if not _is_file(file):
        raise BundleError(
            f"{folder} is not a model that Elman wrote: it has no {CONFIG}; "
            "give the folder that `elman train` named"
        )
    raw = _decode(file, dict)
    if raw.get("format") != "elman":
        raise BundleError(f"{file} was not written by Elman; give the folder of an Elman model")
    version = raw.get("format_version")
    if isinstance(version, int) and version != FORMAT_VERSION:
        raise BundleError(_other_version(folder, version, raw.get("elman_version")))
    config: BundleConfig = _decode(file, BundleConfig)
    return config


def train_options(folder: Path) -> dict[str, Any]:
    """Return the options of a model's ``train.toml``; none where there is no such file."""
    try:
        return tomllib.loads((folder / TRAIN_OPTIONS).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError):
        return {}  # a hint for a person; nothing depends on it


def _other_version(folder: Path, version: int, writer: Any) -> str:
    if version > FORMAT_VERSION:
        return (
            f"{folder} has format version {version}, written by Elman "
            f"{writer or 'of a later version'}; this Elman {__version__} "
            f"reads version {FORMAT_VERSION}: upgrade with `pip install -U elman`"
        )
    return (
        f"{folder} has format version {version}, from before Elman's first release; "
        f"this Elman {__version__} reads version {FORMAT_VERSION}: train again"
    )


def decode_model(stored: Stored, kind: type[Any]) -> Any:
    """Return the task's own part of config.json.

    Raises:
        BundleError: it is not of that form.
    """
    try:
        return msgspec.json.decode(stored.config.model, type=kind)
    except (msgspec.DecodeError, ElmanError) as error:
        raise _damaged(stored.folder / CONFIG, error) from error


def restore_module(
    stored: Stored, make: Callable[[str], ModuleT], *, backend: str, num_layers: int = 1
) -> ModuleT:
    """Return the module that ``make`` makes, with the stored weights.

    The shapes in the weights' header are held against those of the module before anything is
    allocated: a config that asks for other sizes costs no memory.

    Args:
        stored: what ``read`` returned.
        make: makes the module with a backend; called twice, first without memory behind its
            tensors.
        backend: the one that is asked for.
        num_layers: how many layers the config asks for, which takes memory even so.

    Raises:
        BundleError: the weights are of another model, or damaged.
    """
    from safetensors.torch import load as from_safetensors

    data = stored.files[WEIGHTS]
    shapes = _shapes(stored.folder / WEIGHTS, data)
    if num_layers > len(shapes):  # each has weights of its own
        raise _misfit(stored, f"{num_layers} layers, but {len(shapes)} tensors")
    try:
        with _without_memory():
            outline = make("auto")  # others may refuse tensors without memory
            tensors = outline.state_dict()
            expected = {name: list(tensors[name].shape) for name in stored_names(outline)}
    except ElmanError:
        raise
    except Exception as error:  # sizes that no tensor can have
        raise _misfit(stored, first_line(error)) from error
    for name in (*expected, *shapes):
        if expected.get(name) != shapes.get(name):
            was, wanted = (found.get(name, "missing") for found in (shapes, expected))
            raise _misfit(stored, f"{name} is {was}, not {wanted}")
    module = make(backend)
    try:
        module.load_state_dict(from_safetensors(data), strict=False)  # all names are there
    except Exception as error:
        raise _damaged(stored.folder / WEIGHTS, error) from error
    return module


@contextlib.contextmanager
def _without_memory() -> Iterator[None]:
    """Make tensors that have shapes alone ("meta"), and leave out what would fill them.

    To fill such a tensor torch first imports 800 modules, which takes most of a second.
    """
    import torch
    from torch.overrides import TorchFunctionMode

    class Unfilled(TorchFunctionMode):
        def __torch_function__(
            self, function: Any, types: Any, args: Any = (), kwargs: Any = None
        ) -> Any:
            options = kwargs or {}
            if function.__name__.endswith("_") and not function.__name__.endswith("__"):
                return args[0] if args else options["tensor"]  # as functions of nn.init have it
            return function(*args, **options)

    with torch.device("meta"), Unfilled():
        yield


def _misfit(stored: Stored, reason: str) -> BundleError:
    return BundleError(
        f"{stored.folder / WEIGHTS} does not fit {stored.folder / CONFIG} ({reason}); "
        "the files are of different models: copy the folder whole or train again"
    )


def _shapes(file: Path, data: bytes) -> dict[str, list[int]]:
    """Return the shape of each tensor of a safetensors file, from its header."""
    try:
        (size,) = struct.unpack("<Q", data[:8])
        header = msgspec.json.decode(data[8 : 8 + size], type=dict[str, dict[str, Any]])
        return {name: row["shape"] for name, row in header.items() if name != "__metadata__"}
    except (struct.error, msgspec.DecodeError, KeyError) as error:
        raise _damaged(file, error) from error


def is_bundle(path: Path) -> bool:
    """Whether ``path`` looks like a model that Elman wrote (of any version)."""
    try:
        return bool(msgspec.json.decode((path / CONFIG).read_bytes()).get("format") == "elman")
    except (OSError, AttributeError, msgspec.DecodeError, UnicodeDecodeError):
        return False


# ---------------------------------------------------------------------------------------------
# The folder


def check_destination(path: Path, *, force: bool) -> None:
    """Refuse a place that a bundle cannot or must not be written to, before any work is done.

    Raises:
        BundleError: it exists and ``force`` is false, it is no model, or cannot be written.
    """
    with writing(path):
        taken = path.exists() and not (path.is_dir() and not any(path.iterdir()))
    if taken and not is_bundle(path):
        raise BundleError(
            f"{path} exists and is no Elman model, so it is left alone; choose another --out"
        )
    if taken and not force:
        raise BundleError(f"{path} exists; add --force to replace it or choose another --out")
    with writing(path):
        place = path.resolve()
        nearest = next(folder for folder in place.parents if folder.exists())
        os.rmdir(tempfile.mkdtemp(prefix=_OLD.format(place.name), dir=nearest))


def write_folder(path: Path, files: Mapping[str, bytes], *, force: bool = False) -> None:
    """Write all ``files`` to the folder ``path`` at once: whole, or not at all.

    Raises:
        BundleError: the disk is full, the place is read-only, or holds something that is not to be
            replaced.
    """
    check_destination(path, force=force)
    with writing(path):
        place = path.resolve()  # a link to a model stays a link
        place.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{place.name}.", dir=place.parent))
        try:
            for name, data in files.items():
                write_synced(temporary / name, data)
            temporary.chmod(0o777 & ~_umask())  # mkdtemp's folders are private
            # A folder that has come here since is not empty, and nothing is renamed onto it.
            _swap(temporary, place) if force else temporary.rename(place)
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
        fix = "choose another --out"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            fix = "free some space or choose another --out"
        reason = (error.strerror or str(error)).lower()
        raise BundleError(f"{self.path} cannot be written ({reason}); {fix}") from error


def without_fix(error: BundleError) -> str:
    """Return what cannot be written and why, without the advice for what has not begun yet."""
    return str(error).rpartition("; ")[0]


def _swap(new: Path, path: Path) -> None:
    """Put ``new`` in the place of ``path``; the old one is removed only when the new one stands."""
    if not path.exists():
        new.rename(path)
        return
    old = Path(tempfile.mkdtemp(prefix=_OLD.format(path.name), dir=path.parent))
    try:
        path.rename(old)  # onto an empty folder: atomic
        new.rename(path)
    except BaseException:  # Ctrl-C too
        with contextlib.suppress(OSError):
            old.rmdir() if path.exists() else old.rename(path)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _sums(folder: Path) -> dict[str, str]:
    """Return the checksum of each file of the model."""
    file = folder / SUMS
    text = _reading(file, file.read_bytes).decode("utf-8", "replace")
    rows = [line.split("  ", 1) for line in text.splitlines()]
    # Names alone: nothing outside the folder is read.
    whole = (len(row) == 2 and len(row[0]) == 64 and Path(row[1]).name == row[1] for row in rows)
    if not text.endswith("\n") or not all(whole):
        raise BundleError(f"{file} is damaged; copy the folder whole or train again")
    return {name: digest for digest, name in rows}


def _read_part(folder: Path, name: str, digest: str) -> bytes:
    file = folder / name
    data = _reading(file, file.read_bytes)
    if hashlib.sha256(data).hexdigest() != digest:
        raise BundleError(
            f"{file} is damaged or of another model: its checksum is not the one in {SUMS}; "
            "copy the folder whole or train again"
        )
    return data


def _decode(file: Path, kind: Any) -> Any:
    data = _reading(file, file.read_bytes)
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, ElmanError) as error:
        raise _damaged(file, error) from error


def _damaged(file: Path, error: BaseException) -> BundleError:
    return BundleError(
        f"{file} is damaged ({first_line(error)}); copy the folder whole or train again"
    )


def _is_file(path: Path) -> bool:
    """Whether there is a file; one that may not be looked at is left to who reads it."""
    try:
        return path.is_file()
    except PermissionError:
        return True


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


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, for use within a sentence."""
    return str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
