"""Text to token ids and back: by character, by word, or by pieces of words.

A tokenizer is made from the training part alone (``fit``) and is saved as JSON with the model.
All kinds return an ``Encoded``: all ids in one flat array, row after row, and each row's length.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice
from typing import Any, ClassVar, Literal, Protocol, Self

import msgspec
import numpy as np
from numpy.typing import NDArray

from elman.errors import ConfigError, DataError
from elman.text import subword_models
from elman.text.cleaning import is_normal, normalise, without_surrogates
from elman.text.vocabulary import UNKNOWN_ID, Vocabulary

Level = Literal["characters", "words", "bpe", "unigram"]
NAMES: dict[Level, str] = {
    "characters": "characters",
    "words": "words",
    "bpe": "subwords (BPE)",
    "unigram": "subwords (unigram)",
}
"""What a model reads, as people are told."""
SUBWORDS: tuple[Level, ...] = ("bpe", "unigram")

# Texts this short (median) are names, codes or single words: their characters carry the meaning.
SHORT_TEXT = 32
# A chunk bounds the memory that encoding takes beside its result.
CHUNK_CHARACTERS = 1 << 20
CHUNK_TEXTS = 4096
MAX_LENGTH: dict[Level, int] = {"characters": 512, "words": 256, "bpe": 384, "unigram": 384}
MAX_WORDS = 50_000
MAX_SUBWORDS = 4_000

# The patterns are in the syntax of Oniguruma, which the ``tokenizers`` library uses.
_PICTURE = r"\p{Extended_Pictographic}"  # an emoji without skin tone, whatever its Unicode version
_TAG = r"\x{E0020}-\x{E007F}"  # unseen letters that name a region after a black flag
_UNSPACED = "".join(
    rf"\p{{{script}}}"
    for script in (
        *("Thai", "Lao", "Khmer", "Myanmar", "Tai_Le", "New_Tai_Lue", "Tai_Tham", "Tai_Viet"),
        *("Balinese", "Javanese", "Han", "Hiragana", "Katakana"),
    )
)

# What is deleted from lower-cased text before it is split: what nobody sees, unless it tells one
# word or emoji from another. The first set comes before all conditions: by it alone the search
# skips the rest of the text, which is several times faster.
_UNSEEN_WHERE = (
    # soft hyphen, non-joiner, direction marks, variation selectors, U+FEFF ...: anywhere
    rf"(?<![\u0307\u200B\u200D{_TAG}])",
    # a joiner, unless it makes one emoji of two
    rf"(?<=\u200D)(?!{_PICTURE})",
    rf"(?<=\u200D)(?<![{_PICTURE}\p{{Emoji_Modifier}}\uFE0F]\u200D)",
    # a space of no width, unless it parts words of a script that has no other spaces
    rf"(?<=\u200B)(?<![{_UNSPACED}]\u200B)(?![{_UNSPACED}])",
    # tags, unless they make another flag of the black one
    rf"(?<=[{_TAG}])(?<![\x{{1F3F4}}{_TAG}][{_TAG}])[{_TAG}]*",
    # the dot that lower-casing leaves of the Turkish İ, behind one other mark at most
    r"(?<=i\u0307|i[\p{M}\p{Default_Ignorable_Code_Point}]\u0307)",
)
UNSEEN = r"[\p{Default_Ignorable_Code_Point}\u0307](?:" + "|".join(_UNSEEN_WHERE) + ")"

# A letter, digit or combining mark; neither the frame of a keycap nor a letter drawn as an emoji.
_LETTER = rf"[\w&&[^\u20E3{_PICTURE}]]"
_LETTERS = rf"{_LETTER}+(?!\u20E3)"
_SIGN = rf"[\S&&[^\u200B\u200D]][\p{{M}}\p{{Emoji_Modifier}}{_TAG}]*"

# Handles, hashtags and addresses stay whole; an apostrophe or hyphen inside a word belongs to it;
# any other sign (an emoji of however many code points, a stop) is a token of its own.
WORD_PATTERN = "|".join(
    [
        r"https?://[^\s\u200B]+",
        rf"[@#]?{_LETTERS}(?:['’\-]{_LETTERS})*",
        r"\p{Regional_Indicator}{2}",
        rf"{_SIGN}(?:\u200D{_SIGN})*",
    ]
)


@dataclass(frozen=True)
class Encoded:
    """Token ids of many texts, ragged.

    Attributes:
        values: (N,) int32, the ids of all rows, one row after the other.
        lengths: (rows,) int64, the number of tokens in each row; 0 for an empty text.
        truncated_rows: those whose texts were longer than the tokenizer's ``max_length``.
        unknown: the different words that the vocabulary lacks, where they were asked for; their
            ids are those behind the vocabulary's.
    """

    values: NDArray[np.int32]
    lengths: NDArray[np.int64]
    truncated_rows: Sequence[int] = ()
    unknown: Sequence[str] = ()

    @property
    def truncated(self) -> int:
        """How many texts were longer than the tokenizer's ``max_length``."""
        return len(self.truncated_rows)

    def __len__(self) -> int:
        return len(self.lengths)


class Tokenizer(Protocol):
    """What models need of a tokenizer."""

    level: ClassVar[Level]
    max_length: int

    @property
    def vocab_size(self) -> int:
        """Number of ids, the two special ones included."""

    def encode(self, texts: Sequence[str]) -> Encoded:
        """Return the token ids of ``texts``."""

    def split(self, text: str) -> list[str]:
        """Return the pieces of ``text`` that ``encode`` numbers, as a person would read them."""

    def to_json(self) -> bytes:
        """Return the tokenizer as JSON, from which ``load_tokenizer`` restores it."""


class CharacterTokenizer:
    """One token a Unicode code point of the text in normalisation form C.

    The look-up is one NumPy gather through a table of all code points, which is some thirty times
    faster than a general tokenizer.
    """

    level: ClassVar[Level] = "characters"

    def __init__(self, vocabulary: Vocabulary, *, max_length: int = MAX_LENGTH["characters"]):
        self.vocabulary = vocabulary
        self.max_length = max_length
        self._table = _code_point_table(vocabulary)

    @classmethod
    def fit(
        cls,
        texts: Sequence[str],
        *,
        min_count: int = 1,
        max_length: int = MAX_LENGTH["characters"],
    ) -> CharacterTokenizer:
        """Make the vocabulary of the characters seen at least ``min_count`` times."""
        counts = np.zeros(0x110000, dtype=np.int64)
        for chunk, _ in _normal_chunks(texts, max_length):
            found = np.bincount(_code_points(chunk))
            counts[: len(found)] += found
        counts[0xD800:0xE000] = 0  # lone surrogates stay unknown: JSON cannot hold them
        seen = {chr(code): int(counts[code]) for code in np.flatnonzero(counts)}
        return cls(Vocabulary.from_counts(seen, min_count=min_count), max_length=max_length)

    @property
    def vocab_size(self) -> int:
        """Number of ids, the two special ones included."""
        return len(self.vocabulary)

    def encode(self, texts: Sequence[str]) -> Encoded:
        """Return the token ids of ``texts``; those over ``max_length`` lose their end."""
        values: list[NDArray[np.int32]] = []
        lengths: list[NDArray[np.int64]] = []
        for chunk, sizes in _normal_chunks(texts, self.max_length):
            values.append(self._table[_code_points(chunk)])
            lengths.append(sizes)
        whole = _joined(lengths, np.int64)
        longer = np.flatnonzero(whole > self.max_length).tolist()
        return Encoded(_joined(values, np.int32), np.minimum(whole, self.max_length), longer)

    def split(self, text: str) -> list[str]:
        """Return the characters of ``text`` that ``encode`` numbers."""
        return list(normalise(text)[: self.max_length])

    def to_json(self) -> bytes:
        """Return the tokenizer as JSON."""
        return _write(_Saved(self.level, self.max_length, tokens=self.vocabulary.tokens))

    @classmethod
    def from_saved(cls, saved: _Saved) -> CharacterTokenizer:
        """Restore what ``to_json`` wrote."""
        return cls(Vocabulary(saved.tokens), max_length=saved.max_length)


class _SplitTokenizer:
    """What the tokenizers by word and by pieces of words share.

    All is done by the ``tokenizers`` library, whose JSON holds the rules: a saved tokenizer keeps
    those that it was made with. Marks that nobody sees (``UNSEEN``) neither cut a word nor make
    another entry of it.
    """

    level: ClassVar[Level]

    def __init__(self, tokenizer: Any, *, max_length: int | None = None):
        self._tokenizer = tokenizer
        self.max_length = max_length or MAX_LENGTH[self.level]

    @property
    def vocab_size(self) -> int:
        """Number of ids, the two special ones included."""
        return int(self._tokenizer.get_vocab_size())

    def encode(self, texts: Sequence[str]) -> Encoded:
        """Return the token ids of ``texts``; those over ``max_length`` lose their end."""
        values: list[NDArray[np.int32]] = []
        lengths: list[int] = []
        for start in range(0, len(texts), CHUNK_TEXTS):
            chunk = list(without_surrogates(texts[start : start + CHUNK_TEXTS]))
            ids: list[int] = []
            for encoding in self._tokenizer.encode_batch_fast(chunk, add_special_tokens=False):
                row = encoding.ids
                lengths.append(len(row))
                ids += row[: self.max_length]
            values.append(np.asarray(ids, dtype=np.int32))
        whole = np.asarray(lengths, dtype=np.int64)
        longer = np.flatnonzero(whole > self.max_length).tolist()
        return Encoded(_joined(values, np.int32), np.minimum(whole, self.max_length), longer)

    def split(self, text: str) -> list[str]:
        """Return the pieces of ``text`` that ``encode`` numbers, spelt as in the text.

        Of pieces that share one letter of the text the first has it, and the others are empty.
        """
        [text] = without_surrogates([text])
        offsets = self._tokenizer.encode(text, add_special_tokens=False).offsets
        limits = [*(start for start, _ in offsets), len(text)][1:]
        pieces, last = [], 0
        for (start, end), limit in islice(zip(offsets, limits, strict=True), self.max_length):
            stop = _whole(text, end, limit)
            pieces.append(text[max(start, last) : stop])
            last = max(last, stop)
        return pieces

    def to_json(self) -> bytes:
        """Return the tokenizer as JSON."""
        inner = msgspec.json.decode(self._tokenizer.to_str())
        return _write(_Saved(self.level, self.max_length, words=inner))

    @classmethod
    def from_saved(cls, saved: _Saved) -> Self:
        """Restore what ``to_json`` wrote."""
        from tokenizers import Tokenizer as Inner

        inner = Inner.from_str(msgspec.json.encode(saved.words).decode())
        return cls(inner, max_length=saved.max_length)


class WordTokenizer(_SplitTokenizer):
    """One token a word, number, handle or sign, lower-cased, in normalisation form C."""

    level: ClassVar[Level] = "words"

    @classmethod
    def fit(
        cls,
        texts: Sequence[str],
        *,
        min_count: int = 2,
        max_length: int = MAX_LENGTH["words"],
        max_size: int = MAX_WORDS,
        known: Iterable[str] = (),
    ) -> WordTokenizer:
        """Make the vocabulary of the words seen at least ``min_count`` times, and of ``known``."""
        counts: Counter[str] = Counter()
        for text in without_surrogates(texts):
            counts.update(_entries(text)[:max_length])
        for word in known:
            counts[word] = max(counts[word], min_count)
        vocabulary = Vocabulary.from_counts(counts, min_count=min_count, max_size=max_size)
        return cls(_word_tokenizer(vocabulary), max_length=max_length)

    @property
    def entries(self) -> list[str]:
        """The words, each at the place of its id."""
        ids: dict[str, int] = self._tokenizer.get_vocab()
        return sorted(ids, key=ids.__getitem__)

    def encode_spelt(self, texts: Sequence[str]) -> Encoded:
        """Return token ids as ``encode`` does, but with unknown words told apart.

        An unknown word gets an id behind the vocabulary's and stands in ``Encoded.unknown``.
        """
        ids = dict(self._tokenizer.get_vocab())
        known, values, whole = len(ids), [], []
        normal = self._tokenizer.normalizer.normalize_str
        pieces = self._tokenizer.pre_tokenizer.pre_tokenize_str
        for text in without_surrogates(texts):
            row = pieces(normal(text))
            whole.append(len(row))
            values += [ids.setdefault(word, len(ids)) for word, _ in row[: self.max_length]]
        sizes = np.asarray(whole, dtype=np.int64)
        longer = np.flatnonzero(sizes > self.max_length).tolist()
        lengths = np.minimum(sizes, self.max_length)
        return Encoded(np.asarray(values, dtype=np.int32), lengths, longer, list(ids)[known:])


class _SubwordTokenizer(_SplitTokenizer):
    """One token a piece of a word, as the word tokenizer cuts and spells words.

    What has a character that the vocabulary lacks is read as unknown from there to the next one
    that it has.
    """

    @classmethod
    def fit(
        cls,
        texts: Sequence[str],
        *,
        min_count: int = 2,
        max_length: int | None = None,
        max_size: int = MAX_SUBWORDS,
    ) -> Self:
        """Learn the pieces from the words of the texts.

        ``min_count`` is how often a character must be seen (with BPE a pair of pieces, too).
        """
        counts: Counter[str] = Counter()
        for text in without_surrogates(texts):
            counts.update(_entries(text)[: max_length or MAX_LENGTH[cls.level]])
        return cls(_splitting(cls._model(counts, min_count, max_size)), max_length=max_length)

    @staticmethod
    def _model(counts: Mapping[str, int], min_count: int, size: int) -> Any:
        raise NotImplementedError


class BpeTokenizer(_SubwordTokenizer):
    """Pieces that come of merging frequent neighbours."""

    level: ClassVar[Level] = "bpe"

    @staticmethod
    def _model(counts: Mapping[str, int], min_count: int, size: int) -> Any:
        return subword_models.bpe(counts, min_count=min_count, size=size)


class UnigramTokenizer(_SubwordTokenizer):
    """Pieces that are likeliest together."""

    level: ClassVar[Level] = "unigram"

    @staticmethod
    def _model(counts: Mapping[str, int], min_count: int, size: int) -> Any:
        return subword_models.unigram(counts, min_count=min_count, size=size)


def words(text: str, *, case: bool = False) -> list[str]:
    """Return the entries of the words and signs of ``text``, in order, as a vocabulary has them.

    Args:
        text: any text.
        case: keep capital letters, which a vocabulary does not have.
    """
    [text] = without_surrogates([text])
    return _entries(text, case=case)


def choose_level(texts: Sequence[str]) -> Level:
    """Return ``"characters"`` for short texts and for scripts without spaces, else ``"words"``.

    Judged on at most 10,000 texts spread evenly over all.
    """
    sample = texts[:: max(1, len(texts) // 10_000)]
    lengths = [len(text) for text in sample]
    if not lengths or np.median(lengths) <= SHORT_TEXT:
        return "characters"
    words = sum(len(text.split()) for text in sample)
    # Twelve characters between two spaces is no word of an alphabetic script.
    return "characters" if sum(lengths) > 12 * words else "words"


def fit_tokenizer(
    texts: Sequence[str],
    *,
    level: Level,
    min_count: int | None = None,
    max_length: int | None = None,
    known: Iterable[str] = (),
    vocab_size: int | None = None,
) -> Tokenizer:
    """Make a tokenizer of the given level from the training texts.

    Args:
        texts: the training part alone; validation and test texts must not shape the vocabulary.
        level: ``"characters"``, ``"words"``, ``"bpe"`` or ``"unigram"``.
        min_count: tokens seen less often share the unknown entry; 2 when not given, so that the
            unknown entry is itself trained on the rare ones.
        max_length: longer texts are truncated; 512 characters, 256 words or 384 pieces of words
            when not given.
        known: words that enter a vocabulary of words however seldom the texts have them.
        vocab_size: pieces of words at most, the two special entries included; 4,000 when not given.

    Raises:
        ConfigError: a number under 1.
    """
    for name, value in (("min_count", min_count), ("max_length", max_length)):
        if value is not None and value < 1:
            raise ConfigError(f"{name} is {value}; it must be 1 or more")
    sizes = {"min_count": min_count or 2, "max_length": max_length or MAX_LENGTH[level]}
    if level == "characters":
        return CharacterTokenizer.fit(texts, **sizes)
    if level == "words":
        return WordTokenizer.fit(texts, **sizes, known=known)
    kind = BpeTokenizer if level == "bpe" else UnigramTokenizer
    return kind.fit(texts, **sizes, max_size=vocab_size or MAX_SUBWORDS)


def load_tokenizer(data: bytes, *, source: str = "tokenizer.json") -> Tokenizer:
    """Restore a tokenizer from its JSON.

    Raises:
        DataError: when ``data`` is not what ``to_json`` writes; names ``source``.
    """
    try:
        saved = msgspec.json.decode(data, type=_Saved)
        return _KINDS[saved.level].from_saved(saved)
    except Exception as error:
        raise DataError(f"{source} is not a tokenizer that Elman wrote ({error})") from error


_KINDS: dict[Level, Any] = {
    kind.level: kind for kind in (CharacterTokenizer, WordTokenizer, BpeTokenizer, UnigramTokenizer)
}


class _Saved(msgspec.Struct, omit_defaults=True, forbid_unknown_fields=True):
    """The form of tokenizer.json."""

    level: Level
    max_length: int
    tokens: tuple[str, ...] = ()
    words: dict[str, Any] = {}


def _write(saved: _Saved) -> bytes:
    return msgspec.json.format(msgspec.json.encode(saved), indent=1)


def _normal_chunks(
    texts: Sequence[str], max_length: int
) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """Yield runs of texts in form C as one string, each text truncated to ``max_length``.

    With each run come the lengths of its texts before that.
    """
    sizes = _lengths(texts)
    # A run ends with the text that takes it over CHUNK_CHARACTERS.
    run = (np.cumsum(sizes) - sizes) // CHUNK_CHARACTERS
    starts = np.flatnonzero(np.diff(run, prepend=-1)).tolist()
    for start, end in zip(starts, [*starts, len(texts)][1:], strict=True):
        part, lengths = texts[start:end], sizes[start:end]
        joined = "".join(part)
        # A part of a string in form C is in form C (UAX #15), so one look at the run is enough.
        if not is_normal(joined):
            part = [normalise(text) for text in part]
            lengths = _lengths(part)
            joined = "".join(part)
        if (lengths > max_length).any():
            joined = "".join(text[:max_length] for text in part)
        yield joined, lengths


def _lengths(texts: Sequence[str]) -> NDArray[np.int64]:
    return np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))


def _joined(arrays: list[NDArray[Any]], dtype: type[np.generic]) -> NDArray[Any]:
    return np.concatenate(arrays) if arrays else np.empty(0, dtype=dtype)


def _code_points(text: str) -> NDArray[np.uint32]:
    # surrogatepass: a lone surrogate is bad text, not a reason to crash; it becomes unknown.
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)


def _code_point_table(vocabulary: Vocabulary) -> NDArray[np.int32]:
    """Return the id of every code point, up to the last one that is known and one more."""
    table = np.full(0x110000, UNKNOWN_ID, dtype=np.int32)
    for token, i in vocabulary.ids.items():
        if len(token) == 1:
            table[ord(token)] = i
    return table


def _word_tokenizer(vocabulary: Vocabulary) -> Any:
    from tokenizers import models

    unknown = vocabulary.tokens[UNKNOWN_ID]
    return _splitting(models.WordLevel(vocab=vocabulary.ids, unk_token=unknown))


def _splitting(model: Any) -> Any:
    """Return a tokenizer of the library that cuts and spells words as Elman does."""
    from tokenizers import Regex, normalizers, pre_tokenizers
    from tokenizers import Tokenizer as Inner

    inner = Inner(model)
    # Form C comes last: an unseen mark may stand between a letter and its accent.
    inner.normalizer = normalizers.Sequence(
        [normalizers.Lowercase(), normalizers.Replace(Regex(UNSEEN), ""), normalizers.NFC()]
    )
    inner.pre_tokenizer = pre_tokenizers.Split(Regex(WORD_PATTERN), behavior="removed", invert=True)
    return inner


def _entries(text: str, *, case: bool = False) -> list[str]:
    normal, pieces = _splitter(case)
    return [piece for piece, _ in pieces(normal(text))]


def _whole(text: str, end: int, limit: int) -> int:
    """Return the end of a token with the accents and variation selectors behind it.

    The library's offsets leave out what was deleted or became one with its letter.
    """
    for i in range(end, limit):
        if text[i].isspace():
            break
        if unicodedata.category(text[i]) != "Cf":
            end = i + 1
    return end


@cache
def _splitter(case: bool) -> tuple[Any, Any]:
    inner = _word_tokenizer(Vocabulary.from_counts({}))
    normal = inner.normalizer
    if case:
        from tokenizers import normalizers

        normal = normalizers.Sequence([normal[1], normal[2]])  # all but Lowercase
    return normal.normalize_str, inner.pre_tokenizer.pre_tokenize_str
