"""One id a byte of UTF-8, or a run of bytes that come together often (BPE), and back."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache
from itertools import chain
from typing import Any

import msgspec
import numpy as np

from elman.errors import ConfigError
from elman.text.cleaning import without_surrogates
from elman.text.tokenizer.coding import (
    END,
    END_ID,
    NUM_SPECIAL,
    REPLACEMENT,
    UNKNOWN,
    UNKNOWN_ID,
    Coding,
    Flow,
    Ids,
    Numbers,
    SavedCoder,
    written,
)

NUM_BYTES = 256
_LINE = re.compile(r"[^\n]*\n|[^\n]+")


class ByteCoder:
    """One token a byte of the text in UTF-8; there is nothing to learn and nothing unknown."""

    level: Coding = "bytes"
    vocab_size = NUM_SPECIAL + NUM_BYTES

    def encode(self, text: str) -> Ids:
        """Return the (N,) ids of the bytes."""
        return np.frombuffer(_utf8(text), dtype=np.uint8).astype(np.int32) + NUM_SPECIAL

    def decode(self, ids: Numbers) -> str:
        """Return the text: U+FFFD for the unknown token and for what is no UTF-8."""
        numbers = np.asarray(ids, dtype=np.int64)
        parts = np.split(numbers, np.flatnonzero(numbers == UNKNOWN_ID))
        data = REPLACEMENT.encode().join(
            (part[part >= NUM_SPECIAL] - NUM_SPECIAL).astype(np.uint8).tobytes() for part in parts
        )
        return data.decode("utf-8", "replace")

    def to_bytes(self, id: int) -> bytes:
        """Return the byte; the sign of the unknown token, nothing for an end."""
        if id < NUM_SPECIAL:
            return REPLACEMENT.encode() if id == UNKNOWN_ID else b""
        return bytes((id - NUM_SPECIAL,))

    def pieces(self, text: str) -> list[str]:
        """Return each character where its last byte stands, and nothing where the others do."""
        return _pieces(self, text)

    def token(self, id: int) -> str:
        r"""Return one byte as a character of ASCII or as ``\xNN``."""
        named = {END_ID: END, UNKNOWN_ID: UNKNOWN}.get(int(id))
        return named or _shown(bytes([int(id) - NUM_SPECIAL]))

    def to_json(self) -> bytes:
        """Return the coder as JSON."""
        return written(SavedCoder(self.level))

    @classmethod
    def from_saved(cls, saved: SavedCoder) -> ByteCoder:
        """Restore what ``to_json`` wrote."""
        return cls()


class BpeCoder:
    """One token a run of bytes, merged of frequent neighbours; no text has anything unknown.

    Bytes are merged within words, to which the blank before them belongs (Radford et al. 2019,
    "Language Models are Unsupervised Multitask Learners", section 2.2). A line end is a token of
    its own, so that a text cut at line ends gives the same ids as the whole.
    """

    level: Coding = "bpe"

    def __init__(self, inner: Any):
        self._inner = inner
        by_id = sorted(inner.get_vocab(with_added_tokens=False).items(), key=lambda item: item[1])
        if [number for _, number in by_id] != [*range(len(by_id))]:
            raise ValueError("the ids are not numbered one after the other")
        of_sign = _bytes_of_signs()
        tokens = (bytes(of_sign[sign] for sign in token) for token, _ in by_id)
        self._bytes = [b"", REPLACEMENT.encode(), *tokens]

    @classmethod
    def fit(cls, pieces: Iterable[str], *, min_count: int = 2, vocab_size: int = 4_000) -> BpeCoder:
        """Learn which bytes to merge; pairs seen less than ``min_count`` times are not.

        Raises:
            ConfigError: the vocabulary is smaller than that of bytes.
        """
        from tokenizers import Regex, Tokenizer, models, pre_tokenizers, trainers

        if vocab_size < ByteCoder.vocab_size:
            raise ConfigError(
                f"vocab_size is {vocab_size}; the bytes alone are {ByteCoder.vocab_size} entries, "
                "so it must be that at least"
            )
        inner = Tokenizer(models.BPE())
        inner.pre_tokenizer = pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(Regex("\n"), behavior="isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False),
            ]
        )
        # The special tokens are not the library's: it would find their names in a text.
        trainer = trainers.BpeTrainer(
            vocab_size=vocab_size - NUM_SPECIAL,
            min_frequency=min_count,
            initial_alphabet=sorted(_bytes_of_signs()),
            show_progress=False,
        )
        inner.train_from_iterator((without_surrogates([one])[0] for one in pieces), trainer)
        return cls(inner)

    @property
    def vocab_size(self) -> int:
        """Number of ids, the two special ones included."""
        return len(self._bytes)

    def encode(self, text: str) -> Ids:
        """Return the (N,) ids of the runs of bytes."""
        [text] = without_surrogates([text])
        lines = _LINE.findall(text)
        found = self._inner.encode_batch_fast(lines, add_special_tokens=False)
        ids = chain.from_iterable(one.ids for one in found)
        return np.fromiter(ids, dtype=np.int32) + NUM_SPECIAL

    def decode(self, ids: Numbers) -> str:
        """Return the text: U+FFFD for the unknown token and for what is no UTF-8."""
        numbers = np.asarray(ids, dtype=np.int64).tolist()
        return b"".join(map(self._bytes.__getitem__, numbers)).decode("utf-8", "replace")

    def to_bytes(self, id: int) -> bytes:
        """Return the bytes; the sign of the unknown token, nothing for an end."""
        return self._bytes[id]

    def pieces(self, text: str) -> list[str]:
        """Return what each token adds to the text, a character where its last byte stands."""
        return _pieces(self, text)

    def token(self, id: int) -> str:
        r"""Return one token, what of it is no character as ``\xNN``."""
        return {END_ID: END, UNKNOWN_ID: UNKNOWN}.get(int(id)) or _shown(self._bytes[id])

    def to_json(self) -> bytes:
        """Return the coder as JSON."""
        return written(SavedCoder(self.level, pieces=msgspec.json.decode(self._inner.to_str())))

    @classmethod
    def from_saved(cls, saved: SavedCoder) -> BpeCoder:
        """Restore what ``to_json`` wrote."""
        from tokenizers import Tokenizer

        return cls(Tokenizer.from_str(msgspec.json.encode(saved.pieces).decode()))


def _pieces(coder: ByteCoder | BpeCoder, text: str) -> list[str]:
    return [*map(Flow(coder).add, coder.encode(text).tolist())]


def _utf8(text: str) -> bytes:
    return without_surrogates([text])[0].encode()


def _shown(data: bytes) -> str:
    return data.decode("utf-8", "backslashreplace")


@cache
def _bytes_of_signs() -> dict[str, int]:
    """Return the byte that each sign of the library's byte-level tokens stands for.

    Printable signs of Latin-1 stand for themselves, the other bytes for those from U+0100 on.
    """
    own = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(NUM_BYTES) if byte not in own]
    return {chr(byte): byte for byte in own} | {
        chr(0x100 + i): byte for i, byte in enumerate(others)
    }
