"""Raw text cut into words and sentences, against gold tokens: `python benchmarks/segmentation.py`.

    python benchmarks/segmentation.py [--dev] [--errors N] [--razdel] [FILE ...]

The files are Universal Dependencies treebanks of ``../shared/data/pos`` (or ``$ELMAN_DATA/pos``);
those that are not there are skipped. `&#39;`, as GSD has in its texts, is read as the apostrophe
that it stands for. The rules were written on the files that are read without ``--dev``, and the
others read once, when they were done.

* words: each `# text =` line is cut by itself; F1 of tokens, exact in both ends. Parts of a
  multi-word range (`don't`) count as the words they are.
* sentences: the texts of a document joined by blanks, and cut into sentences; F1 of sentences,
  exact in both ends. Both in characters that are no blanks, as the CoNLL 2018 shared task has it.
* speed: sentences a second of one core, the texts of a document in one string.
"""

from __future__ import annotations

import argparse
import gzip
import os
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from elman.text.segmentation import _cut, segment, word_spans

DATA = Path(os.environ.get("ELMAN_DATA", Path(__file__).parents[2] / "shared" / "data")) / "pos"
TUNED_ON = (
    "en_ewt-ud-train.conllu.gz",
    "ru_taiga-ud-dev.conllu",
    "ru_GramEval2020-Taiga-social-train.conllu",
    "ru_GramEval2020-Taiga-poetry-train.conllu",
)
SEEN_ONCE = ("en_ewt-ud-dev.conllu", "ru_gsd-ud-dev.conllu", "ru_poetry-ud-dev.conllu")
ROUNDS = 5
Spans = list[tuple[int, int]]


@dataclass
class Sentence:
    """A text and where its words are."""

    text: str
    words: Spans = field(default_factory=list)


def documents(path: Path) -> Iterator[list[Sentence]]:
    """Yield the sentences of each document; a file without any is one document."""
    found: list[Sentence] = []
    open_file = gzip.open if path.suffix == ".gz" else open
    with open_file(path, "rt", encoding="utf-8") as file:
        for block in file.read().replace("&#39;", "'").split("\n\n"):
            if block.startswith("# newdoc") and found:
                yield found
                found = []
            if one := sentence(block.splitlines()):
                found.append(one)
    if found:
        yield found


def sentence(lines: list[str]) -> Sentence | None:
    """Return a block's sentence; None where its tokens do not spell its text."""
    text = next((line[8:].strip() for line in lines if line.startswith("# text =")), None)
    if text is None:
        return None
    one, place, inside = Sentence(text), 0, 0
    rows = [line.split("\t") for line in lines if line and not line.startswith("#")]
    forms = {row[0]: row[1] for row in rows}
    for row in rows:
        number, form = row[0], row[1]
        if "." in number:
            continue
        if "-" in number:
            first, last = map(int, number.split("-"))
            parts = "".join(forms[str(i)] for i in range(first, last + 1))
            if parts == form:
                continue
            inside = last  # such parts are no pieces of the text: the whole is one word
        elif int(number) <= inside:
            continue
        start = text.find(form, place)
        if start < 0 or text[place:start].strip():
            return None
        place = start + len(form)
        one.words.append((start, place))
    return one


def without_blanks(text: str, spans: Spans) -> Spans:
    """Return spans counted in characters that are no blanks."""
    at = [0]
    for letter in text:
        at.append(at[-1] + (not letter.isspace()))
    return [(at[start], at[end]) for start, end in spans]


def f1(gold: list[set[tuple[int, int]]], found: list[set[tuple[int, int]]]) -> tuple[float, ...]:
    """Return F1, precision and recall in percent."""
    right = sum(len(a & b) for a, b in zip(gold, found, strict=True))
    precision = right / max(1, sum(map(len, found)))
    recall = right / max(1, sum(map(len, gold)))
    return tuple(
        100 * x
        for x in (2 * right / (sum(map(len, found)) + sum(map(len, gold))), precision, recall)
    )


def elman_words(text: str) -> Spans:
    return [(word.start, word.end) for word in word_spans(text)]


def elman_sentences(text: str) -> Spans:
    return [(words[0].start, words[-1].end) for words in segment(text)]


def razdel_words(text: str) -> Spans:
    from razdel import tokenize

    return [(one.start, one.stop) for one in tokenize(text)]


def razdel_sentences(text: str) -> Spans:
    from razdel import sentenize

    return [(one.start, one.stop) for one in sentenize(text)]


def judge(
    docs: list[list[Sentence]], cut: Callable[[str], Spans], cut_sentences: Callable[[str], Spans]
) -> tuple[float, ...]:
    """Return F1, precision and recall of words, then of sentences."""
    gold, found, gold_sentences, found_sentences = [], [], [], []
    for doc in docs:
        for one in doc:
            gold.append(set(without_blanks(one.text, one.words)))
            found.append(set(without_blanks(one.text, cut(one.text))))
        text = " ".join(one.text for one in doc)
        ends, place = [], 0
        for one in doc:
            ends.append((place, place + len(one.text)))
            place += len(one.text) + 1
        gold_sentences.append(set(without_blanks(text, ends)))
        found_sentences.append(set(without_blanks(text, cut_sentences(text))))
    return f1(gold, found) + f1(gold_sentences, found_sentences)


def speed(docs: list[list[Sentence]]) -> float:
    """Return sentences a second, the median of several rounds, each with no word remembered."""
    texts = [" ".join(one.text for one in doc) for doc in docs]
    seconds = []
    for _ in range(ROUNDS):
        _cut.cache_clear()
        start = time.process_time()
        for text in texts:
            segment(text)
        seconds.append(time.process_time() - start)
    return sum(map(len, docs)) / statistics.median(seconds)


def print_errors(docs: list[list[Sentence]], most: int) -> None:
    """Print the most frequent faults: gold words | words found, and wrong ends of sentences."""
    faults: Counter[str] = Counter()
    wrong: list[str] = []
    for doc in docs:
        for one in doc:
            gold, found = set(one.words), set(elman_words(one.text))
            common = sorted(gold & found)
            edges = [0, *(end for _, end in common), len(one.text)]
            starts = [*(start for start, _ in common), len(one.text)]
            for left, right in zip(edges, starts, strict=False):
                a = [one.text[s:e] for s, e in sorted(gold) if left <= s < right]
                b = [one.text[s:e] for s, e in sorted(found) if left <= s < right]
                if a != b:
                    faults[" ".join(a) + "   |   " + " ".join(b)] += 1
        text, place, ends = " ".join(one.text for one in doc), 0, set()
        for one in doc:
            place += len(one.text)
            ends.add(place)
            place += 1
        cut = {end for _, end in elman_sentences(text)}
        for end in sorted(cut ^ ends):
            kind = "cut too often" if end in cut else "not cut"
            wrong.append(f"{kind}: {text[max(0, end - 40) : end]} || {text[end : end + 40]}")
    for fault, count in faults.most_common(most):
        print(f"{count:6}  {fault}")
    print("\n".join(wrong[:: max(1, len(wrong) // most)]))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("files", nargs="*")
    parser.add_argument("--dev", action="store_true", help="the files that no rule was made for")
    parser.add_argument("--errors", type=int, default=0, help="print so many faults")
    parser.add_argument("--razdel", action="store_true", help="razdel beside it")
    asked = parser.parse_args()
    print(
        f"{'':40}{'words: F1':>10}{'P':>7}{'R':>7}{'sentences: F1':>15}{'P':>7}{'R':>7}"
        f"{'sentences/s':>13}"
    )
    for name in asked.files or (SEEN_ONCE if asked.dev else TUNED_ON):
        path = DATA / name
        if not path.is_file():
            print(f"{name}: skipped, there is no {path}")
            continue
        docs = list(documents(path))
        figures = judge(docs, elman_words, elman_sentences)
        row = "{:40}{:10.2f}{:7.2f}{:7.2f}{:15.2f}{:7.2f}{:7.2f}"
        print(row.format(name, *figures) + f"{speed(docs):13,.0f}")
        if asked.razdel:
            figures = judge(docs, razdel_words, razdel_sentences)
            print(row.format("  razdel", *figures))
        if asked.errors:
            print_errors(docs, asked.errors)


if __name__ == "__main__":
    main()
