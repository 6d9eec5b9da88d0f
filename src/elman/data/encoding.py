"""From the bytes of a file to UTF-8 text: gzip, byte-order marks, old encodings, binary files."""

from __future__ import annotations

import codecs
import difflib
import encodings
import encodings.aliases
import io
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from elman.data.detection import FEW, LEGACY, decode, guess
from elman.errors import ConfigError, DataError

PARQUET_MAGIC = b"PAR1"
GZIP_MAGIC = b"\x1f\x8b"
UTF8 = "utf-8"
# The longer ones first: that of UTF-32 begins with that of UTF-16.
_MARKS = (
    (codecs.BOM_UTF8, UTF8),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
# What a foreign file starts with, what it is, and what to do about it.
_FOREIGN = (
    (b"PK\x03\x04", "an Excel workbook or a zip archive; save it as CSV, or unpack it first"),
    (b"\xd0\xcf\x11\xe0", "an old Excel workbook; save it as CSV first"),
    (b"\x89PNG", "a PNG picture; give a text file"),
    (b"\xff\xd8\xff", "a JPEG picture; give a text file"),
    (b"GIF8", "a GIF picture; give a text file"),
    (b"%PDF-", "a PDF document; save its text first"),
    (b"{\\rtf", "an RTF document; save it as plain text first"),
    (b"\x7fELF", "a program; give a text file"),
    (b"BZh", "compressed with bzip2; unpack it first (gzip is read as it is)"),
    (b"\xfd7zXZ", "compressed with xz; unpack it first (gzip is read as it is)"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive; unpack it first (gzip is read as it is)"),
    (b"Rar!", "a RAR archive; unpack it first (gzip is read as it is)"),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd; unpack it first (gzip is read as it is)"),
    (b"SQLite format 3", "an SQLite database; export the table as CSV first"),
    (b"ARROW1", "an Arrow file; save it as Parquet or CSV first"),
    (b"Obj\x01", "an Avro file; save it as Parquet or CSV first"),
    (b"ORC", "an ORC file; save it as Parquet or CSV first"),
    (b"\x93NUMPY", "a NumPy array; save it as CSV first"),
    (b"\x80\x04\x95", "a Python pickle, which is not opened as it may run code; save it as CSV"),
    (b"\x80\x05\x95", "a Python pickle, which is not opened as it may run code; save it as CSV"),
    (b"<!DOCTYPE html", "a web page; give the table itself"),
    (b"<html", "a web page; give the table itself"),
    (b"<?xml", "an XML document; save it as CSV first"),
)
_CHUNK = 1 << 20
_PACKED = 1 << 16  # bytes unpacked at a time: to a thousand times as many at most
_TRIED = 500  # lines that are not UTF-8, to tell whether such lines are UTF-8 cut short
# Tab, newline, vertical tab, form feed, return and escape stand in real text.
_TEXT_CONTROLS = bytes([9, 10, 11, 12, 13, 27])
# A tiny gzip file can unpack to more than any memory.
MOST_UNPACKED = 4 << 30


@dataclass(frozen=True)
class Decoded:
    """A file's text in UTF-8, without a byte-order mark, and what it was before."""

    data: bytes
    encoding: str
    """As Python's codecs know it; that of most of the file."""
    note: str | None = None
    """What there is to say where it was not UTF-8."""
    word: str = ""
    """One that the encoding was guessed for, by which a person sees whether the guess is right."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What there is to say of one file, with such a word."""
        if self.note is None:
            return ()
        return (f"{self.note}, such as {self.word!r}" if self.word else self.note,)


def unpack(data: bytes, source: str) -> bytes:
    """Return ``data``, decompressed where its first bytes say gzip.

    Raises:
        DataError: The gzip stream is cut off or damaged, or unpacks to more than memory is for.
    """
    if not data.startswith(GZIP_MAGIC):
        return data
    whole = io.BytesIO()  # which hands over its bytes without a copy
    position = 0
    try:
        while data.startswith(GZIP_MAGIC, position):  # a gzip file may have several members
            position = _unpack_member(data, position, whole, source)
            zeros = _ZEROS.match(data, position)  # some tools pad with them
            position = zeros.end() if zeros else position
    except zlib.error as error:
        raise broken_gzip(source) from error
    return whole.getvalue()


_ZEROS = re.compile(rb"\0*")


def _unpack_member(data: bytes, position: int, whole: io.BytesIO, source: str) -> int:
    """Write what a member of a gzip file holds to ``whole``; return where it ends."""
    member = zlib.decompressobj(wbits=31)
    while not member.eof:
        packed = data[position : position + _PACKED]
        if not packed:
            raise broken_gzip(source)
        whole.write(member.decompress(packed))
        if whole.tell() > MOST_UNPACKED:
            raise DataError(
                f"{source} unpacks to more than {MOST_UNPACKED >> 30} GB; cut it into parts"
            )
        position += len(packed) - len(member.unused_data)
    return position


def broken_gzip(source: str) -> DataError:
    """Return the error for a gzip stream that is cut off or damaged."""
    return DataError(f"{source}: the gzip file is cut off or damaged; copy or download it again")


def to_utf8(data: bytes, source: str, encoding: str | None = None) -> Decoded:
    """Return ``data`` as UTF-8 without a byte-order mark, and what it was before.

    The bytes are copied only where something has to change.

    Args:
        data: The whole file.
        source: Its name for messages.
        encoding: What the user said that it is; told from the bytes when left out.

    Raises:
        ConfigError: There is no such encoding.
        DataError: The file is empty, is not text or not in that encoding, or one cannot tell in
            which it is.
    """
    found = _as_said(data, source, encoding) if encoding is not None else _told(data, source)
    text = found.data
    if not text or text.isspace():
        raise DataError(f"{source} is empty; give a file with data in it")
    if text.startswith(codecs.BOM_UTF8):  # a second mark, of a tool that does not see the first
        text = text[len(codecs.BOM_UTF8) :]
    if text.endswith(b"\x1a"):  # DOS ends a file with it
        text = text[:-1]
    if _has_mac_ends(text):
        text = _RETURN.sub(b"\n", text)
    return Decoded(text, found.encoding, found.note, found.word)


# One of \r\n is part of a line end.
_RETURN = re.compile(rb"\r(?!\n)")


def _has_mac_ends(text: bytes) -> bool:
    """Return whether lines end with a bare return, as on the old Mac.

    Line ends of the other kind may stand in quotes there.
    """
    first = _RETURN.search(text) if b"\r" in text else None
    if first is None or text.find(b"\n", 0, first.start()) >= 0:
        return False
    return text.count(b"\r") >= text.count(b"\n")


def _as_said(data: bytes, source: str, encoding: str) -> Decoded:
    name = known_encoding(encoding)
    for mark, marked in _MARKS:
        if data.startswith(mark) and name in (marked, marked[:6]):
            data, name = data[len(mark) :], marked
            break
    if name == UTF8:
        refuse_binary(data, source)
    odd = name != UTF8 and not data.isascii() and _is_utf8(data)
    note = f"read as {name}, as was said, though it is UTF-8" if odd else None
    if name.startswith(("utf-16", "utf-32")) and b"\0" not in data and _is_utf8(data):
        raise DataError(f"{source} is not {encoding} but UTF-8; leave --encoding out")
    try:
        return Decoded(data.decode(name).encode(), name, note)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataError(
            f"{source} line {line} is not {encoding} (byte 0x{data[error.start]:02x}); "
            "give another --encoding, or leave it out"
        ) from error


def known_encoding(name: str) -> str:
    """Return Python's name of an encoding.

    Raises:
        ConfigError: There is none of that name.
    """
    try:
        "".encode(name)  # refuses what is a codec and no encoding, such as rot13
        found = codecs.lookup(name).name
        # A package may have put a codec there that answers to every name, as future-typing does.
        if encodings.search_function(found) is None:
            raise LookupError(name)
        return found
    except (LookupError, ValueError, UnicodeError) as error:
        known = {*encodings.aliases.aliases.values(), *LEGACY, "utf-8", "utf-16", "utf-32"}
        near = difflib.get_close_matches(name.lower(), known, n=1)
        hint = f"did you mean {near[0]}?" if near else "write it as utf-8, cp1251, koi8-r, gbk"
        raise ConfigError(f"there is no encoding {name!r}; {hint}") from error


def _told(data: bytes, source: str) -> Decoded:
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            if encoding == UTF8:
                data = data[len(mark) :]
                break
            return _wide(data[len(mark) :], encoding, source)
    wide = _wide_without_mark(data)
    if wide:
        return _wide(data, wide, source)
    refuse_binary(data, source)
    return _from_8_bit(data, source)


def _wide(data: bytes, encoding: str, source: str) -> Decoded:
    try:
        text = data.decode(encoding).encode()
    except UnicodeError as error:
        raise DataError(f"{source} is broken {encoding[:6].upper()}; save it as UTF-8") from error
    return Decoded(text, encoding, f"not UTF-8; read as {encoding.upper()}")


def _wide_without_mark(data: bytes) -> str | None:
    """Return which UTF-16 a file without a byte-order mark is, or None.

    Blanks, line ends, digits and delimiters have a zero byte there, always on the same side.
    """
    head = data[: _CHUNK & ~1]
    if b"\0" not in head or len(head) < 4:
        return None
    zeros = np.frombuffer(head, np.uint8) == 0
    first, second = int(zeros[::2].sum()), int(zeros[1::2].sum())
    most, least = max(first, second), min(first, second)
    # A tenth of the characters: even Chinese prose has its commas in a table.
    if most < 2 or most * 20 < len(head) or least * 5 > most:
        return None
    encoding = "utf-16-be" if first > second else "utf-16-le"
    try:
        text = head.decode(encoding, "strict" if head is data else "ignore")
    except UnicodeDecodeError:
        return None
    plain = sum(c.isprintable() or c.isspace() for c in text) > 0.9 * len(text)
    return encoding if plain and ("\n" in text or b"\n" not in head) else None


def refuse_binary(data: bytes, source: str) -> None:
    """Raise ``DataError`` when ``data`` (a file or its beginning) is no text.

    A NUL here and there is the fault of a row, not of the file.
    """
    for magic, what in _FOREIGN:
        if data[: len(magic)].lower() == magic.lower():
            raise DataError(f"{source} is {what}")
    if _is_binary(data):
        raise DataError(
            f"{source} is a binary file; give text: CSV, TSV, JSON lines, Parquet or plain lines"
        )


def _is_binary(data: bytes) -> bool:
    """Return whether the beginning has control characters, which text has next to none of."""
    counts = np.bincount(np.frombuffer(data[:_CHUNK], np.uint8), minlength=256)
    counts[list(_TEXT_CONTROLS)] = 0
    controls = int(counts[:32].sum())
    return controls >= 8 and controls > 0.02 * min(len(data), _CHUNK)


def _from_8_bit(data: bytes, source: str) -> Decoded:
    if _is_utf8(data):
        return _from_7_bit(data) or Decoded(data, UTF8)
    lines = data.splitlines(keepends=True)
    broken, note = _without_damage(lines)
    if not broken:
        return Decoded(b"".join(lines), UTF8, note)
    # A short word of another encoding may happen to be UTF-8; many letters never are.
    foreign = (lines[i] for i in sorted({*range(len(lines))} - {*broken}))
    valid = [len(x) - len(x.decode("ascii", "ignore")) for x in foreign if not x.isascii()]
    whole = not valid or (max(valid) < FEW and len(broken) > 2 * len(valid))
    encoding = guess(lines[i] for i in broken)
    if encoding is None:
        what = "" if whole else f" of line {broken[0] + 1} and others"
        raise DataError(
            f"{source}: the encoding{what} is not UTF-8 and cannot be told; "
            "name it with --encoding (cp1251, koi8-r, iso-8859-2, gbk), or save the file as UTF-8"
        )
    if whole:
        text = decode(data, encoding)
        note = f"not UTF-8; read as {encoding}"
        return Decoded(text.encode(), encoding, note, _foreign_word(text))
    for i in broken:
        lines[i] = decode(lines[i], encoding).encode()
    count = "1 line is" if len(broken) == 1 else f"{len(broken):,} lines are"
    note = f"{note}; " if note else ""
    note += f"{count} not UTF-8; read as {encoding}"
    return Decoded(b"".join(lines), UTF8, note, _foreign_word(lines[broken[0]].decode()))


def _foreign_word(text: str) -> str:
    """Return the first word of several letters that are not all of ASCII, else any such sign."""
    match = _FOREIGN_WORD.search(text) or _FOREIGN_SIGN.search(text)
    return match[0] if match else ""


_FOREIGN_WORD = re.compile(r"(?=\w*[^\W\x00-\x7f])\w{3,30}")
_FOREIGN_SIGN = re.compile(r"[^\x00-\x7f]")


def _without_damage(lines: list[bytes]) -> tuple[list[int], str]:
    """Mend lines of UTF-8 of which a byte is lost, as where a text was cut at a number of bytes.

    Returns:
        Which lines are not UTF-8 at all, and what there is to say of those that were mended.
    """
    broken = [i for i, line in enumerate(lines) if not _is_utf8_line(line)]
    damaged = [i for i in broken[:_TRIED] if is_damaged(lines[i])]
    if damaged:  # else all is of another encoding
        damaged += [i for i in broken[_TRIED:] if is_damaged(lines[i])]
    for i in damaged:
        lines[i] = lines[i].decode(errors="replace").encode()
    if not damaged:
        return broken, ""
    count = "1 line has" if len(damaged) == 1 else f"{len(damaged):,} lines have"
    note = f"{count} broken UTF-8 (line {damaged[0] + 1}); the broken signs are read as U+FFFD"
    return sorted({*broken} - {*damaged}), note


def _is_utf8_line(line: bytes) -> bool:
    try:
        line.decode()
    except UnicodeDecodeError:
        return False
    return True


def is_damaged(line: bytes) -> bool:
    """Return whether most of what is not ASCII is UTF-8, which no other encoding happens to be."""
    text = line.decode(errors="replace")
    lost = text.count("\ufffd")
    return sum(character > "\x7f" for character in text) - lost >= 2 * lost


def _from_7_bit(data: bytes) -> Decoded | None:
    """Return the text of an encoding that switches alphabets by escapes, or None."""
    for escape, encoding in _ESCAPES.items() if b"\x1b" in data else ():
        if escape in data:
            try:
                text = data.decode(encoding)
            except UnicodeDecodeError:
                continue
            return Decoded(text.encode(), encoding, f"not UTF-8; read as {encoding}")
    return None


_ESCAPES = {b"\x1b$)C": "iso2022_kr", b"\x1b$B": "iso2022_jp", b"\x1b$@": "iso2022_jp"}


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
