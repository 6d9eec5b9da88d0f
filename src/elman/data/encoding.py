"""From the bytes of a file to UTF-8 text: gzip, byte-order marks, old encodings, binary files."""

from __future__ import annotations

import codecs
import gzip
import zlib
from collections.abc import Iterator

import numpy as np

from elman.errors import DataError

PARQUET_MAGIC = b"PAR1"
GZIP_MAGIC = b"\x1f\x8b"
UTF8_MARK = codecs.BOM_UTF8
UTF16_MARKS = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
# What a foreign file starts with, what it is, and what to do about it.
_FOREIGN = (
    (b"PK\x03\x04", "an Excel workbook or a zip archive; save it as CSV, or unpack it first"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook; save it as CSV first"),
    (b"\x89PNG", "a PNG picture; give a text file"),
    (b"\xff\xd8\xff", "a JPEG picture; give a text file"),
    (b"GIF8", "a GIF picture; give a text file"),
    (b"%PDF-", "a PDF document; save its text first"),
    (b"\x7fELF", "a program; give a text file"),
    (b"BZh", "compressed with bzip2; unpack it first (gzip is read as it is)"),
    (b"\xfd7zXZ", "compressed with xz; unpack it first (gzip is read as it is)"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd; unpack it first (gzip is read as it is)"),
    (b"SQLite format 3", "an SQLite database; export the table as CSV first"),
    (b"ARROW1", "an Arrow file; save it as Parquet or CSV first"),
)
_CHUNK = 1 << 20
# Tab, newline, vertical tab, form feed, return and escape stand in real text.
_TEXT_CONTROLS = bytes([9, 10, 11, 12, 13, 27])


def unpack(data: bytes, source: str) -> bytes:
    """Return ``data``, decompressed where its first bytes say gzip.

    Raises:
        DataError: The gzip stream is cut off or damaged.
    """
    if not data.startswith(GZIP_MAGIC):
        return data
    try:
        return gzip.decompress(data)
    except (EOFError, OSError, zlib.error) as error:
        raise broken_gzip(source) from error


def broken_gzip(source: str) -> DataError:
    """Return the error for a gzip stream that is cut off or damaged."""
    return DataError(f"{source}: the gzip file is cut off or damaged; copy or download it again")


def to_utf8(data: bytes, source: str) -> tuple[bytes, str | None]:
    """Return ``data`` as UTF-8 without a byte-order mark, and a note where it was not UTF-8.

    The bytes are copied only where something has to change.

    Raises:
        DataError: The file is empty or is not text.
    """
    if data.startswith(UTF16_MARKS):
        text, note = _from_utf16(data, source)
    else:
        refuse_binary(data, source)
        text, note = _from_8_bit(data)
    if not text or text.isspace():
        raise DataError(f"{source} is empty; give a file with data in it")
    if b"\r" in text and b"\n" not in text:
        text = text.replace(b"\r", b"\n")  # line ends of the old Mac
    return text, note


def refuse_binary(data: bytes, source: str) -> None:
    """Raise ``DataError`` when ``data`` (a file or its beginning) is no text."""
    for magic, what in _FOREIGN:
        if data.startswith(magic):
            raise DataError(f"{source} is {what}")
    if b"\0" in data or _control_share(data) > 0.02:
        raise DataError(
            f"{source} is a binary file; give text: CSV, TSV, JSON lines, Parquet or plain lines"
        )


def _control_share(data: bytes) -> float:
    """Return the share of control characters, which text has next to none of."""
    counts = np.bincount(np.frombuffer(data[:_CHUNK], np.uint8), minlength=256)
    counts[list(_TEXT_CONTROLS)] = 0
    return float(counts[:32].sum()) / max(1, min(len(data), _CHUNK))


def _from_utf16(data: bytes, source: str) -> tuple[bytes, str | None]:
    try:
        return data.decode("utf-16").encode(), "not UTF-8; read as UTF-16"
    except UnicodeError as error:
        raise DataError(f"{source} is broken UTF-16; save it as UTF-8") from error


def _from_8_bit(data: bytes) -> tuple[bytes, str | None]:
    if data.startswith(UTF8_MARK):
        data = data[len(UTF8_MARK) :]
    if _is_utf8(data):
        return data, None
    lines = data.splitlines(keepends=True)
    broken = [i for i, line in enumerate(lines) if not _is_utf8(line)]
    encoding = guess_legacy(b"".join(lines[i] for i in broken))
    for i in broken:
        lines[i] = decode_legacy(lines[i], encoding).encode()
    if sum(not line.isascii() for line in lines) == len(broken):
        return b"".join(lines), f"not UTF-8; read as {encoding}"
    count = "1 line is" if len(broken) == 1 else f"{len(broken):,} lines are"
    return b"".join(lines), f"{count} not UTF-8; read as {encoding}"


def _pieces(data: bytes) -> Iterator[bytes]:
    return (data[i : i + _CHUNK] for i in range(0, len(data), _CHUNK))


def _is_utf8(data: bytes) -> bool:
    if data.isascii():
        return True
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for piece in _pieces(data):
            decoder.decode(piece)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def guess_legacy(data: bytes) -> str:
    """Return ``cp1251`` or ``latin-1``, whichever ``data`` is more likely to be.

    Both put letters at 0xC0-0xFF. A Cyrillic word is made of them wholly, so that such a letter
    has another beside it; in the Latin languages an accented letter has plain ones beside it.
    """
    codes = np.frombuffer(data, np.uint8)
    high = codes >= 0xC0
    lower = codes | 0x20
    plain = (lower >= ord("a")) & (lower <= ord("z"))
    pairs = int((high[1:] & high[:-1]).sum()) * 2  # both letters of a pair have such a neighbour
    mixed = int((high[1:] & plain[:-1]).sum()) + int((high[:-1] & plain[1:]).sum())
    return "cp1251" if pairs > mixed else "latin-1"


def decode_legacy(data: bytes, encoding: str) -> str:
    """Return ``data`` decoded; every byte has some character.

    Latin-1 is read as Windows-1252, as browsers do: the two differ only where Latin-1 has control
    characters, and there Windows has its dashes and quotation marks.
    """
    if encoding == "cp1251":
        return data.decode("cp1251", errors="replace")
    try:
        return data.decode("cp1252")
    except UnicodeDecodeError:
        return data.decode("latin-1")
