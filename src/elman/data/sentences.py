"""Sentences as they stand in files and lists of any format, with a tag for each token."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from elman.data.annotations import SPAN_NAMES, Segment, align, are_spans, unwrapped
from elman.data.columns import find, listed, no_such_column
from elman.data.conll import (
    NOTHING,
    Conll,
    conllu_names,
    is_empty_sentence,
    parse_columns,
    parse_conllu,
)
from elman.data.encoding import PARQUET_MAGIC, to_utf8, unpack
from elman.data.files import check_readable, name_of, read_bytes
from elman.data.form import AS_TOLD, Facts, Form
from elman.data.objects import Objects, Row, any_value, objects_in
from elman.data.readers import suffix_of
from elman.data.tables import SKIP_HINT, notes_on_skipped
from elman.data.token_tables import delimiter_of, objects_in_table
from elman.data.typed import parquet_rows
from elman.errors import DataError
from elman.text.segmentation import segment as cut_into_words
from elman.text.tag_schemes import Tag

TOKEN_NAMES = ("tokens", "words", "токены", "слова")
TAG_NAMES = (
    *("tags", "ner_tags", "labels", "pos_tags", "upos", "pos", "ner", "label", "xpos"),
    *("теги", "метки"),
)
FIRST = 100
"""Objects whose fields are the columns."""
TABLE_HEAD = 1 << 16
"""Characters that tell a table whose cells hold lists."""
LISTS = "lists"
"""What token and tag lists are called, of which no row is left out."""
LONG = 1_000
"""Tokens in a sentence from which on a blank line may be missing."""
JSON_START = re.compile(rb'\s*(\{\s*"|\[\s*[\[{]\s*["}])')
_JSON_SUFFIXES = (".jsonl", ".ndjson", ".json")
_SHOWN = 3


@dataclass
class Raw:
    """Sentences as they stand in a file."""

    source: str
    facts: Facts
    column: str
    tokens: list[list[str]]
    tags: list[list[Tag]]
    lines: list[int]
    where: Callable[[int, int], str]
    """Names the place of a token."""
    notes: tuple[str, ...] = ()
    empty: list[str] = field(default_factory=list)
    """The places of sentences without tokens."""


@dataclass(frozen=True)
class Content:
    """What is in a file, before a column is chosen."""

    source: str
    parsed: Conll | Objects
    encoding: str | None = None
    notes: tuple[str, ...] = ()


def load(path: str | Path, form: Form) -> Content:
    """Read a file of whichever format.

    Raises:
        DataError: it is missing or unreadable, or not what its name or its beginning says.
    """
    if not isinstance(path, str | Path):
        raise DataError(
            f"sentences cannot be read from a {type(path).__name__}; give a file, or lists of "
            "token lists and of tag lists"
        )
    check_readable(path)
    return parse(read_bytes(path), path, form)


def parse(packed: bytes, path: str | Path, form: Form) -> Content:
    """Return what is in the bytes of a file, which may be packed; ``path`` names it.

    Raises:
        DataError: it is not what its name or its beginning says.
    """
    source, suffix = name_of(path), suffix_of(path)
    data = unpack(packed, source)
    if data.startswith(PARQUET_MAGIC):
        rows = iter(enumerate(parquet_rows(data, source), start=1))
        return Content(source, Objects(rows, "Parquet", "row"))
    decoded = to_utf8(data, source, form.encoding)
    parsed: Conll | Objects
    if suffix in _JSON_SUFFIXES or (form.delimiter is None and JSON_START.match(decoded.data)):
        parsed = objects_in(decoded.data, source, form, is_row)
    else:
        text = decoded.data.decode()
        delimiter = delimiter_of(text[:TABLE_HEAD], TOKEN_NAMES)
        if delimiter is not None:
            rows_of_table = objects_in_table(text, delimiter, source, form)
            return Content(source, rows_of_table, decoded.encoding, decoded.notes)
        names = conllu_names(text)
        if names is None and suffix == ".conllu":
            raise DataError(
                f"{source} is no CoNLL-U, which has ten columns with a tab between them and "
                "numbers the words; name it .conll if it has other columns"
            )
        parsed = (
            parse_columns(text, source, form)
            if names is None
            else parse_conllu(text, source, form, names)
        )
    return Content(source, parsed, decoded.encoding, decoded.notes)


def is_lists(data: Any) -> bool:
    """Whether ``data`` is a list of token lists and one of tag lists."""
    return (
        isinstance(data, tuple | list)
        and len(data) == 2
        and all(isinstance(part, tuple | list) for part in data)
        and all(isinstance(row, tuple | list) for part in data for row in part[:FIRST])
        and bool(data[0])
    )


def is_list_of_rows(data: Any) -> bool:
    """Whether ``data`` is a list of mappings."""
    return isinstance(data, tuple | list) and bool(data) and isinstance(data[0], Mapping)


def from_lists(tokens: Sequence[Sequence[Any]], tags: Sequence[Sequence[Any]]) -> Raw:
    """Return the sentences of lists of token lists and of tag lists.

    Raises:
        DataError: they differ in length, or a token is none.
    """
    source = "the lists"
    if len(tokens) != len(tags):
        raise DataError(
            f"{source}: {len(tokens):,} token lists and {len(tags):,} tag lists; give one each"
        )
    rows = []
    for number, pair in enumerate(zip(tokens, tags, strict=True), start=1):
        for row, what in zip(pair, ("words", "tags"), strict=True):
            if isinstance(row, str) or not isinstance(row, Iterable):
                raise DataError(
                    f"{source}: the {what} of sentence {number} are {row!r:.60}; give a list"
                )
        rows.append({"tokens": [*pair[0]], "tags": [*pair[1]]})
    found = Objects(enumerate(rows, start=1), LISTS, "sentence")
    return from_objects(found, source, AS_TOLD, "tags", None, cut_into_words)


# -------------------------------------------------------------------------------------------------
# One token a line


def from_conll(file: Conll, source: str, column: str | None, likely: str | None) -> Raw:
    """Return the sentences of a file of one token a line.

    Args:
        file: the file.
        source: its name for messages.
        column: the tags, as the user said.
        likely: that of the training data, which is taken if it is there.

    Raises:
        DataError: there is no such column, it is empty, or no blank lines are between sentences.
    """
    tags: list[list[Tag]]
    if len(file.names) == 1:
        raise DataError(
            f"{source} has one column only, {file.tokens[0][0]!r} in its first line; "
            "put the tag of each token behind it"
        )
    place = _place_of(file, source, column, likely)
    if place == file.token_column:  # the tags stand before the tokens, and there is nothing else
        file = replace(file, token_column=1 - place)
    tokens, values = file.tokens, file.column(place)
    name = file.names[place]
    refuse_gaps(file, source, tokens, "token")
    refuse_gaps(file, source, values, f"column {name}")
    _refuse_one_sentence(tokens, source)
    if name.upper() == "FEATS":
        tags = [[*row] for row in values]
    else:
        tags = [[None if tag == NOTHING else tag for tag in row] for row in values]
    if tags and not any(tag is not None for row in tags for tag in row):
        raise DataError(
            f"{source}: column {name} is {NOTHING!r} everywhere; the columns with values are "
            f"{listed(_filled(file))}"
        )
    sentences = file.sentences
    return Raw(
        source,
        Facts(source, file.kind, file.names, delimiter=file.delimiter, columns={"column": name}),
        name,
        tokens,
        tags,
        [block.number + block.words[0] for block in sentences],
        lambda sentence, token: f"line {file.line_of(sentence, token)}",
        notes_on_skipped(file.skipped),
        [f"line {block.number}" for block in file.blocks if is_empty_sentence(block)],
    )


def _place_of(file: Conll, source: str, column: str | None, likely: str | None) -> int:
    """Return the column of the tags, from 0.

    Raises:
        DataError: there is none of that name, or it holds the tokens.
    """
    names = file.names
    if column is not None:
        place = find(names, column)
        if place is None:
            raise no_such_column(names, column, "column", source)
        if place == file.token_column and (len(names) > 2 or file.kind == "CoNLL-U"):
            raise DataError(
                f"{source}: column {names[place]} holds the tokens; say with --column which of "
                f"{listed(names)} holds their tags"
            )
        return place
    place = find(names, likely) if likely is not None else None
    if place is None and "UPOS" in names:
        return names.index("UPOS")
    if place is not None and place != file.token_column:
        return place
    filled = [i for i in range(len(names)) if i > file.token_column and _has_values(file, i)]
    return filled[-1] if filled else len(names) - 1


def _has_values(file: Conll, place: int) -> bool:
    """Whether a column has anything but signs for nothing."""
    return any(tag not in (NOTHING, "-") for row in file.column(place) for tag in row)


def _filled(file: Conll) -> list[str]:
    start = file.token_column + 1
    return [name for i, name in enumerate(file.names) if i >= start and _has_values(file, i)]


def refuse_gaps(file: Conll, source: str, rows: Sequence[Sequence[str]], what: str) -> None:
    """Raise ``DataError`` where there is nothing between two delimiters."""
    for i, row in enumerate(rows):
        if "" in row:
            line = file.line_of(i, row.index(""))
            raise DataError(f"{source} line {line}: the {what} is empty; write {NOTHING!r} there")


def _refuse_one_sentence(tokens: Sequence[Sequence[str]], source: str) -> None:
    if len(tokens) == 1 and len(tokens[0]) >= LONG:
        raise DataError(
            f"{source} has no blank lines between sentences, so that its {len(tokens[0]):,} tokens "
            "are one; put a blank line behind each sentence"
        )


# -------------------------------------------------------------------------------------------------
# Objects


def is_row(value: Mapping[str, Any]) -> bool:
    """Whether a JSON object is one sentence or text, not a table of them."""
    value = unwrapped(value)
    text = isinstance(value.get("text"), str)
    return text or any(is_flat(value.get(name)) for name in TOKEN_NAMES)


def is_flat(value: Any) -> bool:
    """Whether a field is a list of plain values."""
    return isinstance(value, list | tuple) and not any(
        isinstance(one, list | tuple | Mapping) for one in value
    )


def field_of(rows: Sequence[Row], names: Sequence[str], fits: Callable[[Any], bool]) -> str | None:
    """Return the first of the names under which one of the first objects has what fits."""
    return next(
        (name for name in names if any(fits(row.get(name)) for _, row in rows[:FIRST])), None
    )


@dataclass(frozen=True)
class _Fields:
    """Where objects have what."""

    tokens: str | None
    text: str | None
    tags: str
    """Of each token, or the spans of the text."""
    names: tuple[str, ...]


def _fields_of(rows: Sequence[Row], source: str, column: str | None, likely: str | None) -> _Fields:
    """Tell which fields hold tokens and tags, or a text and spans.

    Raises:
        DataError: that cannot be told.
    """
    names = [*dict.fromkeys(name for _, row in rows[:FIRST] for name in row)]
    tokens = field_of(rows, TOKEN_NAMES, is_flat)
    text = field_of(rows, ("text", "текст", "sentence"), lambda value: isinstance(value, str))
    if column is not None:
        place = find(names, column)
        if place is None:
            raise no_such_column(names, column, "column", source)
        tags: str | None = names[place]
    else:
        liked = [likely] if likely in names and likely not in (tokens, text) else []
        tags = field_of(rows, [*liked, *TAG_NAMES], is_flat) if tokens else None
        if tags is None and text:
            tags = field_of(rows, [*liked, *SPAN_NAMES], are_spans)
            # Without a span in the first objects, by its name alone.
            tags = tags or next((name for name in SPAN_NAMES if name in names), None)
    if tags is None or not (tokens or text):
        raise DataError(
            f"{source}: no sentences with tags among the fields {listed(names) or 'none'}; give "
            "'tokens' and 'tags', or 'text' and 'entities', or say with --column which are the tags"
        )
    spanning = text and (not tokens or field_of(rows, [tags], are_spans))
    return _Fields(None if spanning else tokens, text if spanning else None, tags, tuple(names))


def from_objects(
    found: Objects,
    source: str,
    form: Form,
    column: str | None,
    likely: str | None,
    segment: Segment,
) -> Raw:
    """Return the sentences of objects with tokens and tags, or with a text and spans.

    Args:
        found: the objects.
        source: what messages call the file.
        form: what the user said about it.
        column: the field of the tags or spans, as the user said.
        likely: that of the training data, which is taken if it is there.
        segment: cuts a text into sentences of words.

    Raises:
        DataError: the fields cannot be told, or an object does not hold what it should.
    """
    rows = [(number, dict(unwrapped(row))) for number, row in found.rows]
    if not rows:
        raise DataError(f"{source} has no row that can be read; check the file")
    fields = _fields_of(rows, source, column, likely)
    place = f"{found.noun} {{}}".format
    facts = Facts(source, found.kind, fields.names, columns={"column": fields.tags})
    numbers: list[int] = []
    raw = Raw(source, facts, fields.tags, [], [], [], lambda s, t: _in_row(place(numbers[s]), t))
    skipped, misaligned, numeric = found.skipped, list[str](), False
    for number, row in rows:
        try:
            if fields.tokens is not None:
                sentences = [_tokens_and_tags(row, fields.tokens, fields.tags)]
                numeric = numeric or type(next(iter(row[fields.tags]), None)) is int
            else:
                aligned = align(*_text_and_spans(row, fields.text or "", fields.tags), segment)
                sentences = [(one.tokens, one.tags) for one in aligned.sentences]
                misaligned += (f"{place(number)}: {one}" for one in aligned.misaligned)
        except DataError as error:
            if not form.skips:
                hint = "" if found.kind == LISTS else SKIP_HINT
                raise DataError(f"{source} {place(number)}{error}{hint}") from error
            skipped.append(number)
            continue
        if not any(tokens for tokens, _ in sentences):
            raw.empty.append(place(number))
            continue
        for tokens, tags in sentences:
            raw.tokens.append(tokens)
            raw.tags.append(tags)
            raw.lines.append(number if found.noun == "line" else 0)
            numbers.append(number)
    raw.notes = notes_on_skipped(sorted(skipped))
    if misaligned:
        raw.notes += (
            f"{counted(len(misaligned), 'span')} not made of whole words, which are left without a "
            f"tag ({some(misaligned)})",
        )
    if numeric:
        raw.notes += ("the tags are numbers; with their names spans could be told",)
    return raw


def _in_row(row: str, token: int) -> str:
    return f"{row}, token {token + 1}"


def _tokens_and_tags(
    row: Mapping[str, Any], tokens_name: str, tags_name: str
) -> tuple[list[str], list[Tag]]:
    """Return the tokens and tags of an object.

    Raises:
        DataError: it has not a tag for each token; the message is the rest of a sentence.
    """
    tokens = tokens_in(row, tokens_name)
    tags = row.get(tags_name)
    if not is_flat(tags) or tags is None:
        raise DataError(f": field {tags_name!r} is no list of tags; give one tag a token")
    if len(tokens) != len(tags):
        raise DataError(
            f" has {counted(len(tokens), 'token')} and {counted(len(tags), 'tag')}; "
            "give each token one tag"
        )
    named = [tag if type(tag) is str else any_value(tag) for tag in tags]
    return tokens, [None if tag in ("", NOTHING) else tag for tag in named]


def tokens_in(row: Mapping[str, Any], name: str) -> list[str]:
    """Return the tokens of an object.

    Raises:
        DataError: it has none; the message is the rest of a sentence.
    """
    tokens = row.get(name)
    if not is_flat(tokens) or tokens is None:
        raise DataError(f": field {name!r} is no list of tokens; write them as strings in a list")
    found = [any_value(token) or "" for token in tokens]
    for i, token in enumerate(found):
        if not token or token.isspace():
            raise DataError(f": token {i + 1} is empty; leave it out, and its tag")
    return found


def _text_and_spans(row: Mapping[str, Any], text_name: str, tags_name: str) -> tuple[str, Any]:
    """Return the text and the spans of an object.

    Raises:
        DataError: it has none; the message is the rest of a sentence.
    """
    text, spans = row.get(text_name), row.get(tags_name)
    if not isinstance(text, str):
        raise DataError(f": field {text_name!r} is no text; make it a string")
    if spans is not None and not isinstance(spans, list | tuple):
        raise DataError(f': field {tags_name!r} is no list of spans; write [[0, 5, "PER"]]')
    return any_value(text) or "", spans


# -------------------------------------------------------------------------------------------------
# Words for messages


def counted(number: int, noun: str) -> str:
    """Return a number of things in words."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def some(items: Sequence[str], count: int | None = None) -> str:
    """Return the first few of them."""
    more = "; ..." if (count or len(items)) > _SHOWN else ""
    return "; ".join(items[:_SHOWN]) + more
