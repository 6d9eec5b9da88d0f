"""Files of one token a line: CoNLL-U, and columns as those of CoNLL-2003.

Blank lines stand between sentences. All lines are kept as they are, so that a file can be written
again with a column of its words replaced and not a byte changed besides.

CoNLL-U (https://universaldependencies.org/format.html) has ten columns with tabs between them,
comments before a sentence, and lines that are no words of it: ranges such as ``8-9``, where two
words are written as one, and empty nodes such as ``5.1``. Its relative CoNLL-U Plus names its own
columns in its first line. Other files have any columns, between blanks or tabs.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice

from elman.data.form import AS_TOLD, Form
from elman.data.records import HAS_NUL
from elman.data.tables import SKIP_HINT
from elman.errors import DataError

CONLLU_NAMES = (
    *("ID", "FORM", "LEMMA", "UPOS", "XPOS"),
    *("FEATS", "HEAD", "DEPREL", "DEPS", "MISC"),
)
NOTHING = "_"
"""What stands where there is no value."""
DOCUMENT = "-DOCSTART-"
"""The token of a line that begins a document."""
_SAMPLE = 2_000  # lines that tell how a file is written
_HEAD = 1 << 20  # characters in which its first word is looked for
_ID = re.compile(r"\d+")
_NO_WORD = re.compile(r"\d+-\d+|\d+\.\d+")
_FIELD = re.compile(r"[^ \t\r]+")
# A word may be a #. Comments are told by their number of columns, or by these beginnings.
_COMMENT = re.compile(
    r"# *[\w.:-]+ *= |# (id|sent_id|text|newdoc|newpar|global\.columns)\b|#(begin|end) document\b"
)


_TAG_HEADERS = ("tag", "tags", "ner_tag", "ner", "label", "labels", "pos", "pos_tag", "upos")


@dataclass(frozen=True)
class Block:
    """The lines of a sentence with the blank ones behind it, or lines that are no sentence."""

    number: int
    """Of its first line, from 1."""
    lines: list[str]
    """As they stand, without the line feed."""
    words: list[int]
    """Which of the lines are words, from 0."""


@dataclass(frozen=True)
class Conll:
    """A file of one token a line.

    Attributes:
        kind: in words.
        names: of the columns; their numbers from 1 where the file does not name them.
        delimiter: what stands between two columns; None for blanks and tabs, as many as there are.
        token_column: that of the tokens, from 0.
        blocks: all lines of the file.
        skipped: the numbers of lines for which a sentence was left out.
    """

    kind: str
    names: tuple[str, ...]
    delimiter: str | None
    token_column: int
    blocks: list[Block]
    skipped: tuple[int, ...] = ()

    @property
    def sentences(self) -> list[Block]:
        """The blocks that have words."""
        return [block for block in self.blocks if block.words]

    def column(self, place: int) -> list[list[str]]:
        """Return what stands in a column, from 0, for each word of each sentence."""
        field = self._field_at(place)
        return [
            [field(block.lines[i]) for i in block.words] for block in self.blocks if block.words
        ]

    def _field_at(self, place: int) -> Callable[[str], str]:
        """Return what takes the field of a column out of a line."""
        if self.kind == "CoNLL-U" and place + 1 < len(self.names):
            return lambda line: line.split("\t", place + 1)[place]  # most fields stand behind it
        split = _splitter(self.delimiter)
        return lambda line: split(line)[place]

    @property
    def tokens(self) -> list[list[str]]:
        """The words of each sentence."""
        return self.column(self.token_column)

    def line_of(self, sentence: int, token: int) -> int:
        """Return the number of a word's line from 1; sentences and words count from 0."""
        block = self.sentences[sentence]
        return block.number + block.words[token]

    def replaced(self, place: int, values: Sequence[Sequence[str]]) -> Conll:
        """Return the file with other values in a column, one a word; all else stays as it is.

        The number of columns as ``place`` adds one behind the last.
        """
        after = iter(values)
        blocks = [
            replace(block, lines=self._lines_with(block, place, next(after)))
            if block.words
            else block
            for block in self.blocks
        ]
        return replace(self, blocks=blocks)

    def _lines_with(self, block: Block, place: int, values: Sequence[str]) -> list[str]:
        lines = [*block.lines]
        for i, value in zip(block.words, values, strict=True):
            lines[i] = self._line_with(lines[i], place, value or NOTHING)
        return lines

    def _line_with(self, line: str, place: int, value: str) -> str:
        body = line.rstrip("\r") if self.kind == "CoNLL-U" else line.rstrip()
        if place == len(self.names):
            between = self.delimiter or ("\t" if "\t" in body else " ")
            return f"{body}{between}{value}{line[len(body) :]}"
        if self.delimiter is None:
            found = next(islice(_FIELD.finditer(line), place, None))
            return line[: found.start()] + value + line[found.end() :]
        fields = body.split(self.delimiter)
        fields[place] = value
        return self.delimiter.join(fields) + line[len(body) :]

    def text(self) -> str:
        """Return the file as it is written."""
        return "\n".join(line for block in self.blocks for line in block.lines)


def fields_of(line: str) -> list[str]:
    """Return the fields of a line between blanks and tabs.

    What else Unicode counts as a blank may be part of a token.
    """
    return line.split() if line.isascii() else _FIELD.findall(line)


def _splitter(delimiter: str | None) -> Callable[[str], list[str]]:
    """Return how a line is cut into its fields."""
    if delimiter is None:
        return fields_of
    return lambda line: [one.strip(" ") for one in line.rstrip().split(delimiter)]


class _Faults:
    """What cannot be read: refused, or the sentence is left out."""

    def __init__(self, source: str, form: Form):
        self.source, self.form = source, form
        self.lines: list[int] = []
        self._bad: list[Block] = []

    def add(self, number: int, block: Block, what: str) -> bool:
        """Note the fault of a line; ``what`` goes on after its number.

        Raises:
            DataError: it is to be refused.
        """
        if not self.form.skips:
            raise DataError(f"{self.source} line {number}{what}{SKIP_HINT}")
        self.lines.append(number)
        self._bad.append(block)
        return False

    def drop(self) -> None:
        """Leave the sentences at fault without words."""
        for block in self._bad:
            block.words.clear()


def _blocks(text: str, is_word: Callable[[int, str, Block], bool]) -> list[Block]:
    """Return all lines, block by block.

    Args:
        text: the file.
        is_word: takes a line that is not blank with its number, and the block in which it will be.
    """
    block = Block(1, [], [])
    blocks, ended = [block], False
    for number, line in enumerate(text.split("\n"), start=1):
        if not line or line.isspace():
            ended = True
        else:
            begins = line.startswith(DOCUMENT)
            if ended or (begins and block.words):
                block = Block(number, [], [])
                blocks.append(block)
            ended = begins
            if not begins and is_word(number, line, block):
                block.words.append(len(block.lines))
        block.lines.append(line)
    return blocks


# -------------------------------------------------------------------------------------------------
# CoNLL-U


def conllu_names(text: str) -> tuple[str, ...] | None:
    """Return the names of the columns of CoNLL-U or CoNLL-U Plus; None of any other file."""
    for line in text[:_HEAD].split("\n"):
        if line.startswith("# global.columns"):
            return tuple(line.partition("=")[2].split()) or None
        if line and not line.isspace() and not line.startswith("#"):
            fields = line.split("\t")
            numbered = _ID.fullmatch(fields[0]) or _NO_WORD.fullmatch(fields[0])
            return CONLLU_NAMES if len(fields) == len(CONLLU_NAMES) and numbered else None
    return None


def parse_conllu(
    text: str, source: str, form: Form = AS_TOLD, names: tuple[str, ...] = CONLLU_NAMES
) -> Conll:
    """Return CoNLL-U, or CoNLL-U Plus with other ``names`` of its columns.

    Raises:
        DataError: a line has too few columns or too many, its ID is no number, or there is no blank
            line between two sentences.
    """
    faults, width, numbered = _Faults(source, form), len(names), names[0] == "ID"
    has_nul = "\0" in text

    def is_word(number: int, line: str, block: Block) -> bool:
        if line[0] == "#":
            return False
        if line.count("\t") != width - 1:
            count = line.count("\t") + 1
            return faults.add(
                number,
                block,
                f" has {count} column{'s' if count > 1 else ''}, and CoNLL-U {width} with a tab "
                f"between them; put {NOTHING} where there is no value",
            )
        if has_nul and "\0" in line:
            return faults.add(number, block, HAS_NUL)
        if not numbered:
            return True
        word = line[: line.index("\t")]
        if word == "1" and block.words:
            return faults.add(
                number, block, " begins a sentence (ID 1); put a blank line before it"
            )
        if _ID.fullmatch(word):
            return True
        if _NO_WORD.fullmatch(word):
            return False
        return faults.add(number, block, f" has the ID {word!r}; it must be as 8, 8-9 or 8.1")

    blocks = _blocks(text, is_word)
    faults.drop()
    token = next((i for i, name in enumerate(names) if name.upper() == "FORM"), None)
    if token is None:
        raise DataError(f"{source} names no column FORM; name that of the words so")
    return Conll("CoNLL-U", names, "\t", token, blocks, tuple(faults.lines))


def is_empty_sentence(block: Block) -> bool:
    """Whether comments of CoNLL-U are those of a sentence, which has no words."""
    return not block.words and any(line.startswith(("# sent_id", "# text")) for line in block.lines)


def conllu(
    sentences: Sequence[Sequence[str]],
    values: Sequence[Sequence[str]],
    *,
    column: str = "UPOS",
    texts: Sequence[str] = (),
) -> str:
    """Return CoNLL-U with the words of sentences and one value each.

    Args:
        sentences: the words; a tab or line end in one is written as a blank.
        values: of each word.
        column: in which they stand.
        texts: each sentence as it was written, for its comment.
    """
    place = CONLLU_NAMES.index(column.upper())
    lines: list[str] = []
    for number, (words, row) in enumerate(zip(sentences, values, strict=True)):
        if texts:
            lines.append(f"# text = {' '.join(texts[number].split())}")
        for i, (word, value) in enumerate(zip(words, row, strict=True), start=1):
            fields = [str(i), _one_line(word), *[NOTHING] * (len(CONLLU_NAMES) - 2)]
            fields[place] = value or NOTHING
            lines.append("\t".join(fields))
        lines.append("")
    return "".join(f"{line}\n" for line in lines)


# -------------------------------------------------------------------------------------------------
# Columns


def parse_columns(text: str, source: str, form: Form = AS_TOLD) -> Conll:
    """Return a file of columns, between tabs if most lines have one, else between blanks.

    The first column holds the tokens, or the second where the first counts them. A line ``# ...``
    that has another number of columns, or begins as comments do, is a comment. A first line that
    ends with a name such as ``tag`` names the columns.

    Raises:
        DataError: the lines have no number of columns in common, or one has another.
    """
    sample = list(islice(_sampled(text), _SAMPLE))
    if not sample:
        raise DataError(f"{source} has no tokens; give one on each line")
    delimiter = _delimiter_of(sample, form)
    split = _splitter(delimiter)
    width = _width_of([len(split(line)) for line in sample], source)
    faults, has_nul = _Faults(source, form), "\0" in text
    has_header = _has_header(split(sample[0])) if form.header is None else form.header
    header: list[str] = []

    def is_word(number: int, line: str, block: Block) -> bool:
        count = len(split(line))
        if _is_comment(line) or (line[0] == "#" and count != width and not block.words):
            return False
        if has_header and not header:
            header.extend(split(line))
            return False
        if count != width:
            noun = "column" if count == 1 else "columns"
            return faults.add(
                number,
                block,
                f" has {count} {noun}, {line.strip()!r:.60}, and most lines have {width}; "
                "give each line the same columns",
            )
        if has_nul and "\0" in line:
            return faults.add(number, block, HAS_NUL)
        return True

    blocks = _blocks(text, is_word)
    faults.drop()
    names = tuple(header) or tuple(str(i + 1) for i in range(width))
    counted = width > 2 and _counts_tokens(blocks, split)
    return Conll("columns", names, delimiter, int(counted), blocks, tuple(faults.lines))


def _sampled(text: str) -> Iterator[str]:
    for line in text.split("\n"):
        if line and not line.isspace() and not line.startswith(DOCUMENT) and not _is_comment(line):
            yield line


def _is_comment(line: str) -> bool:
    return line[0] == "#" and _COMMENT.match(line) is not None


def _has_header(first: Sequence[str]) -> bool:
    """Whether the first line names the columns: no tag is called so."""
    return len(first) > 1 and first[-1].strip().casefold() in _TAG_HEADERS


def _delimiter_of(sample: Sequence[str], form: Form) -> str | None:
    if form.delimiter is not None:
        return None if form.delimiter == " " else form.delimiter
    return "\t" if 2 * sum("\t" in line.strip() for line in sample) > len(sample) else None


def _width_of(counts: Sequence[int], source: str) -> int:
    """Return how many columns most lines have.

    Raises:
        DataError: that is not half of them.
    """
    width, most = max(Counter(counts).items(), key=lambda item: (item[1], item[0]))
    if most * 2 < len(counts):
        raise DataError(
            f"{source} has no token and tag on each line, but {min(counts)} to {max(counts)} "
            "words; give CoNLL-U, columns with a blank line behind each sentence, or JSON lines"
        )
    return width


def _counts_tokens(blocks: Sequence[Block], split: Callable[[str], list[str]]) -> bool:
    """Whether the first column numbers the words of each sentence, from 0 or from 1."""
    seen = [block for block in blocks if block.words][:100]
    for block in seen:
        first = [split(block.lines[i])[0] for i in block.words]
        if not any(first == [str(i + start) for i in range(len(first))] for start in (0, 1)):
            return False
    return any(len(block.words) > 1 for block in seen)


def columns(sentences: Sequence[Sequence[str]], *values: Sequence[Sequence[str]]) -> str:
    """Return a file of columns, between tabs: the words of sentences, and values of each word."""
    lines: list[str] = []
    for rows in zip(sentences, *values, strict=True):
        lines += ("\t".join(map(_one_line, fields)) for fields in zip(*rows, strict=True))
        lines.append("")
    return "".join(f"{line}\n" for line in lines)


def _one_line(word: str) -> str:
    """Return a word as it can stand in a column."""
    return " ".join(re.split(r"[\t\r\n]+", word)).strip() or NOTHING
