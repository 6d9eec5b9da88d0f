"""Word vectors that Elman wrote: a folder of plain files, each under its checksum."""

from __future__ import annotations

import hashlib
import struct
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from elman.errors import BundleError, ElmanError
from elman.text.vectors.rows import Rows, Table, Wanted, table_of
from elman.text.vectors.subwords import Subwords

TASK = "embed"
"""What config.json calls the task, where a model that answers has the name of its own."""
FORMAT_VERSION = 2  # of the envelope, as elman.training.bundle has it
CONFIG, SUMS = "config.json", "SHA256SUMS"
WEIGHTS, WORDS = "model.safetensors", "words.tsv"
_MEND = "copy the folder whole or train again"
_READ = 1 << 22


class VectorConfig(msgspec.Struct, frozen=True, kw_only=True):
    """What config.json says of word vectors, as its ``model``."""

    size: int
    """D."""
    words: int
    """V."""
    method: str
    """How they were trained."""
    min_n: int = 0
    max_n: int = 0
    """Characters of the n-grams whose vectors stand there, too; 0 for none."""
    buckets: int = 0
    """Rows of the n-grams."""


class _Envelope(msgspec.Struct, frozen=True, kw_only=True):
    format: str
    format_version: int
    task: str
    model: msgspec.Raw


def is_ours(folder: Path) -> bool:
    """Whether a folder says that it holds word vectors."""
    try:
        data = (folder / CONFIG).read_bytes()
        return msgspec.json.decode(data, type=_Envelope).task == TASK
    except (OSError, ValueError, msgspec.DecodeError):
        return False


def read_folder(folder: Path, wanted: Wanted | None, limit: int | None) -> Table:
    """Read word vectors that Elman wrote; the matrices stay on the disk until they are used.

    Args:
        folder: where they are.
        wanted: the words that are asked for; None for all.
        limit: how many words are read at most.

    Raises:
        BundleError: there are none, a file is missing or damaged, or of another version.
    """
    config = _config(folder)
    sums = _sums(folder)
    for name in (CONFIG, WORDS, WEIGHTS):
        _check(folder, name, sums)
    words = _words(folder, config)[:limit]
    tensors = _tensors(folder / WEIGHTS)
    matrix = _tensor(folder, tensors, "vectors", (config.words, config.size))
    subwords = None
    if config.buckets:
        rows = _tensor(folder, tensors, "subwords", (config.buckets, config.size))
        subwords = Subwords(rows, config.min_n, config.max_n)
    if wanted is None:
        return Table(words, matrix[: len(words)], subwords=subwords)
    return table_of(wanted, words, matrix, subwords)


def _config(folder: Path) -> VectorConfig:
    file = folder / CONFIG
    if not file.is_file():
        raise BundleError(
            f"{folder} holds no word vectors that Elman wrote: it has no {CONFIG}; give a file of "
            "vectors, or the folder that `elman embed` named"
        )
    try:
        envelope = msgspec.json.decode(_bytes(file), type=_Envelope)
        if envelope.format != "elman":
            raise BundleError(f"{file} was not written by Elman; give a file of vectors")
        if envelope.task != TASK:
            raise BundleError(
                f"{folder} is a model that answers (task {envelope.task}), and no word vectors; "
                "`elman embed` makes these"
            )
        if envelope.format_version != FORMAT_VERSION:
            raise BundleError(
                f"{folder} has format version {envelope.format_version}; this Elman reads "
                f"{FORMAT_VERSION}: train again, or upgrade with `pip install -U elman`"
            )
        return msgspec.json.decode(envelope.model, type=VectorConfig)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise _damaged(file) from error


def _sums(folder: Path) -> dict[str, str]:
    file = folder / SUMS
    rows = [line.split("  ", 1) for line in _bytes(file).decode("utf-8", "replace").splitlines()]
    if not all(len(row) == 2 for row in rows):
        raise _damaged(file)
    return {name: digest for digest, name in rows}


def _check(folder: Path, name: str, sums: dict[str, str]) -> None:
    digest = hashlib.sha256()
    try:
        with (folder / name).open("rb") as handle:
            while chunk := handle.read(_READ):
                digest.update(chunk)
    except OSError as error:
        raise _unreadable(folder / name, error) from error
    if digest.hexdigest() != sums.get(name):
        raise BundleError(
            f"{folder / name} is damaged or of another model: its checksum is not the one in "
            f"{SUMS}; {_MEND}"
        )


def _words(folder: Path, config: VectorConfig) -> list[str]:
    lines = _bytes(folder / WORDS).decode("utf-8", "replace").split("\n")[:-1]
    if len(lines) != config.words:
        raise _damaged(folder / WORDS)
    return [line.partition("\t")[0] for line in lines]


def _tensors(file: Path) -> dict[str, tuple[int, list[int]]]:
    """Return where each tensor of a safetensors file begins, and its shape."""
    try:
        with file.open("rb") as handle:
            (size,) = struct.unpack("<Q", handle.read(8))
            header = msgspec.json.decode(handle.read(size), type=dict[str, dict[str, Any]])
        return {
            name: (8 + size + row["data_offsets"][0], row["shape"])
            for name, row in header.items()
            if name != "__metadata__" and row["dtype"] == "F32"
        }
    except OSError as error:
        raise _unreadable(file, error) from error
    except (struct.error, msgspec.DecodeError, KeyError, MemoryError, OverflowError) as error:
        raise _damaged(file) from error


def _tensor(
    folder: Path, tensors: dict[str, tuple[int, list[int]]], name: str, shape: tuple[int, int]
) -> Rows:
    start, there = tensors.get(name, (0, []))
    if tuple(there) != shape:
        raise BundleError(
            f"{folder / WEIGHTS} does not fit {folder / CONFIG} ({name} is {there or 'missing'}, "
            f"not {[*shape]}); {_MEND}"
        )
    if not shape[0]:
        return np.empty(shape, dtype=np.float32)
    mapped: Any = np.memmap(folder / WEIGHTS, dtype="<f4", mode="r", offset=start, shape=shape)
    return mapped


def _bytes(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as error:
        raise _unreadable(file, error) from error


def _unreadable(file: Path, error: OSError) -> ElmanError:
    if isinstance(error, FileNotFoundError):
        return BundleError(f"{file} is missing; {_MEND}")
    reason = (error.strerror or str(error)).lower()
    return BundleError(f"{file} cannot be read ({reason}); check its permissions")


def _damaged(file: Path) -> BundleError:
    return BundleError(f"{file} is damaged; {_MEND}")
