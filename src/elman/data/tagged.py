"""Sentences with a tag for each token, from CoNLL-U, columns, JSON, Parquet or Python lists."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from elman.data.annotations import Segment
from elman.data.columns import NOTHING as NO_COLUMNS
from elman.data.conll import Conll
from elman.data.examples import Inputs
from elman.data.files import check_readable, read_bytes
from elman.data.form import AS_TOLD, Facts, Form
from elman.data.objects import Objects, any_value
from elman.data.readers import joined_names, joined_notes, read_inputs
from elman.data.recognition import holds_tokens, looks_tagged
from elman.data.sentences import (
    FIRST,
    LONG,
    TOKEN_NAMES,
    Content,
    Raw,
    counted,
    field_of,
    from_conll,
    from_lists,
    from_objects,
    is_flat,
    is_list_of_rows,
    is_lists,
    load,
    parse,
    refuse_gaps,
    some,
    tokens_in,
)
from elman.data.tables import SKIP_HINT, notes_on_skipped
from elman.errors import DataError
from elman.text.segmentation import segment as cut_into_words
from elman.text.tag_schemes import IOB2, Scheme, Tag, check, convert, recognise, spans

__all__ = [
    "Tagged",
    "joined",
    "looks_tagged",
    "of_lists",
    "read_conll",
    "read_tagged",
    "read_tokens",
]


@dataclass(frozen=True, repr=False)
class Tagged:
    """Sentences with a tag for each token, in the order of their file.

    Attributes:
        tokens: those of each sentence, at least one.
        tags: one a token; None where nobody has given one.
        source: the file's name as the user gave it, or the data set's.
        column: what was read as the tags, by name or by number from 1.
        scheme: in which the tags write spans; None where each token has its tag by itself.
        lines: that of each sentence's first token, from 1; 0 where there are no lines.
        notes: what there is to say to the user, one sentence each.
        facts: how each file was read.
        test: the test part that comes with the data, where one does.
    """

    tokens: list[list[str]]
    tags: list[list[Tag]]
    source: str
    column: str = ""
    scheme: Scheme | None = None
    lines: list[int] = field(default_factory=list)
    notes: tuple[str, ...] = ()
    facts: tuple[Facts, ...] = ()
    test: Tagged | None = None

    def __post_init__(self) -> None:
        if [*map(len, self.tokens)] != [*map(len, self.tags)]:
            raise ValueError("tokens and tags differ in number")
        if not self.lines:
            object.__setattr__(self, "lines", [0] * len(self.tokens))

    def __len__(self) -> int:
        return len(self.tokens)

    def __repr__(self) -> str:
        kinds = self.scheme.name if self.scheme else f"{len(self.sizes())} tags"
        return f"<{len(self):,} sentences, {self.num_tokens:,} tokens ({kinds}) of {self.source}>"

    @property
    def num_tokens(self) -> int:
        """How many tokens there are."""
        return sum(map(len, self.tokens))

    def sizes(self) -> Counter[str]:
        """Return how many spans there are of each type, or without spans tokens of each tag."""
        if self.scheme is None:
            return Counter(tag for row in self.tags for tag in row if tag is not None)
        return Counter(kind for row in self.tags for _, _, kind in spans(row, self.scheme))

    def digest(self) -> str:
        """Return a hash of all tokens and tags in their order."""
        digest = hashlib.sha256()
        for part in (self.tokens, self.tags):
            digest.update(msgspec.json.encode([[_encodable(one) for one in row] for row in part]))
        return digest.hexdigest()

    def take(self, rows: Sequence[int] | NDArray[np.integer[Any]]) -> Tagged:
        """Return the sentences of ``rows``, in that order, under the same source and notes."""
        indices = np.asarray(rows, dtype=np.intp).tolist()
        return replace(
            self,
            tokens=[self.tokens[i] for i in indices],
            tags=[self.tags[i] for i in indices],
            lines=[self.lines[i] for i in indices],
        )

    def in_scheme(self, scheme: Scheme | None) -> Tagged:
        """Return the same spans written in another scheme; parts of speech stay as they are."""
        if self.scheme is None or scheme is None or self.scheme is scheme:
            return self
        tags = [convert(row, self.scheme, scheme) for row in self.tags]
        return replace(self, tags=tags, scheme=scheme)


def _encodable(value: Tag) -> Tag:
    return value if value is None or value.isascii() else value.encode("utf-8", "replace").decode()


def joined(parts: Sequence[Tagged]) -> Tagged:
    """Return the sentences of several files as one; spans of several schemes in IOB2.

    Raises:
        DataError: some have tags of spans and some have not.
    """
    if len(parts) == 1:
        return parts[0]
    schemes = {part.scheme for part in parts}
    if len(schemes) > 1 and None in schemes:
        bare = next(part for part in parts if part.scheme is None)
        other = next(part for part in parts if part.scheme is not None)
        assert other.scheme is not None
        raise DataError(
            f"{other.source} has tags of spans ({other.scheme.name}) and {bare.source} has not; "
            "say with --column which tags to read, or read them one by one"
        )
    if len(schemes) > 1:
        parts = [part.in_scheme(IOB2) for part in parts]
    return Tagged(
        [row for part in parts for row in part.tokens],
        [row for part in parts for row in part.tags],
        joined_names([part.source for part in parts]),
        ", ".join(dict.fromkeys(part.column for part in parts)),
        parts[0].scheme,
        [line for part in parts for line in part.lines],
        joined_notes([(part.source, part.notes) for part in parts]),
        tuple(facts for part in parts for facts in part.facts),
    )


# -------------------------------------------------------------------------------------------------
# Reading


def read_tagged(
    data: Any,
    *,
    form: Form = AS_TOLD,
    likely: Mapping[str, str] = NO_COLUMNS,
    column: str | None = None,
    segment: Segment = cut_into_words,
) -> Tagged:
    """Read tagged sentences.

    Args:
        data: a file of CoNLL-U or of columns, JSON lines or an array of JSON or Parquet with
            ``tokens`` and ``tags``, or with ``text`` and spans of characters; ``-`` for standard
            input; or lists of token lists and of tag lists, or of mappings as JSON has them.
        form: what the user said about the file.
        likely: under ``column`` the tags to take where the file has them, as those of a model's
            training data.
        column: the tags, by name (of CoNLL-U: upos, xpos, feats, lemma) or by number from 1. When
            left out that is ``upos`` of CoNLL-U, else the last column, else found by name.
        segment: cuts a text into the sentences of words on which spans are tagged.

    Returns:
        The sentences as they stand, in IOB2 where they were spans of characters. A tag ``_`` (but
        for features, where it means that there are none) or null counts as not known. Sentences
        without tokens are left out and counted in the notes, as are tags that their scheme does not
        allow.

    Raises:
        DataError: the file is missing, unreadable, or not what it was given for, or its tags are of
            a mixed scheme; the message names file, line and what to do.
    """
    likely_column = likely.get("column")
    if is_lists(data):
        return of_lists(*data)
    if is_list_of_rows(data):
        rows = Objects(((i, dict(row)) for i, row in enumerate(data, 1)), "a list", "row")
        return _checked(from_objects(rows, "the list", form, column, likely_column, segment))
    content = load(data, form)
    if isinstance(content.parsed, Conll):
        raw = from_conll(content.parsed, content.source, column, likely_column)
    else:
        raw = from_objects(content.parsed, content.source, form, column, likely_column, segment)
    raw.facts = replace(raw.facts, encoding=content.encoding)
    raw.notes = content.notes + raw.notes
    return _checked(raw, by_choice=column is not None)


# -------------------------------------------------------------------------------------------------
# What is wrong and what there is to say


def of_lists(tokens: Sequence[Sequence[str]], tags: Sequence[Sequence[Tag]]) -> Tagged:
    """Return the sentences of lists of token lists and of tag lists, as for :func:`read_tagged`.

    Raises:
        DataError: they differ in length, a token is empty, or the tags are of a mixed scheme.
    """
    return _checked(from_lists(tokens, tags))


def _checked(raw: Raw, *, by_choice: bool = True) -> Tagged:
    """Return the sentences with their scheme, and notes on what is not as it should be."""
    if not raw.tokens:
        raise DataError(f"{raw.source} has no sentence with tokens; check the file")
    total = sum(map(len, raw.tags))
    unknown = sum(row.count(None) for row in raw.tags)
    if unknown == total:
        raise DataError(
            f"{raw.source}: no token has a tag in {raw.column!r}; nothing to learn from"
        )
    try:
        scheme = recognise(raw.tags, raw.where)
    except DataError as error:
        raise DataError(f"{raw.source}: {error}") from error
    notes = [*raw.notes]
    if raw.empty:
        notes.append(f"{counted(len(raw.empty), 'empty sentence')} skipped ({some(raw.empty)})")
    if unknown:
        notes.append(f"{unknown:,} of {total:,} tokens have no tag: not learnt and not judged")
    notes += _notes_on_faults(raw, scheme)
    notes += _notes_on_length(raw)
    kinds = len({tag for row in raw.tags for tag in row})
    if not by_choice and scheme is None and kinds > 50 and kinds * 5 > total:
        notes.append(
            f"{kinds:,} different tags for {total:,} tokens in column {raw.column}; "
            "--column takes another"
        )
    return Tagged(
        raw.tokens, raw.tags, raw.source, raw.column, scheme, raw.lines, tuple(notes), (raw.facts,)
    )


def _notes_on_faults(raw: Raw, scheme: Scheme | None) -> Iterator[str]:
    faults = check(raw.tags, scheme) if scheme else []
    if faults and scheme:
        shown = [f"{raw.where(one.sentence, one.token)}: {one}" for one in faults[:3]]
        yield (
            f"{counted(len(faults), 'tag')} that {scheme.name} does not have there "
            f"({some(shown, len(faults))}); each is read as the beginning or end of a span"
        )


def _notes_on_length(raw: Raw) -> Iterator[str]:
    longest = max(range(len(raw.tokens)), key=lambda i: len(raw.tokens[i]))
    if len(raw.tokens[longest]) >= LONG:
        yield (
            f"a sentence of {len(raw.tokens[longest]):,} tokens ({raw.where(longest, 0)}); "
            "is its end marked?"
        )


# -------------------------------------------------------------------------------------------------
# Inputs


def read_tokens(data: Any, *, form: Form = AS_TOLD, column: str | None = None) -> Inputs:
    """Read sentences to tag: lists of tokens, or texts where the file has no tokens.

    Tokens are in CoNLL-U and in columns with tags of spans, in files whose name says so, and in
    JSON that has ``tokens``. All else is read as texts, by :func:`elman.data.readers.read_inputs`.

    Args:
        data: as for :func:`read_tagged`, without tags.
        form: what the user said about the file.
        column: the texts of a table, by name or by number from 1.

    Returns:
        Token lists or strings, in their order.

    Raises:
        DataError: the file cannot be read.
    """
    if not isinstance(data, str | Path):
        return read_inputs(data, form=form, column=column)
    check_readable(data)
    packed = read_bytes(data)
    if column is None and holds_tokens(packed, data):
        content = parse(packed, data, form)
        if isinstance(content.parsed, Conll):
            return _inputs_of_conll(content.parsed, content)
        return _inputs_of_objects(content.parsed, content, form)
    return read_inputs(data, form=form, column=column, content=packed)


def _inputs_of_conll(file: Conll, content: Content) -> Inputs:
    facts = Facts(content.source, file.kind, file.names, content.encoding, file.delimiter)
    tokens = file.tokens
    refuse_gaps(file, content.source, tokens, "token")
    return Inputs(tokens, {}, facts, content.notes + notes_on_skipped(file.skipped), file)


def _inputs_of_objects(found: Objects, content: Content, form: Form) -> Inputs:
    rows = [*found.rows]
    name = field_of(rows, TOKEN_NAMES, is_flat)
    names = [*dict.fromkeys(key for _, row in rows[:FIRST] for key in row)]
    inputs: list[list[str]] = []
    kept: list[dict[str, Any]] = []
    for number, row in rows:
        try:
            inputs.append(tokens_in(row, name or "tokens"))
            kept.append(row)
        except DataError as error:
            if not form.skips:
                where = f"{content.source} {found.noun} {number}"
                raise DataError(f"{where}{error}{SKIP_HINT}") from error
            found.skipped.append(number)
    table = {key: [any_value(row.get(key)) for row in kept] for key in names}
    facts = Facts(
        content.source, found.kind, tuple(names), content.encoding, columns={"tokens": str(name)}
    )
    return Inputs(inputs, table, facts, content.notes + notes_on_skipped(sorted(found.skipped)))


def read_conll(path: str | Path, *, form: Form = AS_TOLD) -> Conll:
    """Read CoNLL-U or columns to be written again with other tags.

    Raises:
        DataError: the file is of another kind.
    """
    content = load(path, form)
    if not isinstance(content.parsed, Conll):
        raise DataError(f"{content.source} is {content.parsed.kind}; give CoNLL-U or columns")
    return content.parsed
