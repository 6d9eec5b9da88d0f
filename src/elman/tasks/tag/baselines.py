"""What a tagger has to beat: the usual tag of each word, and a linear chain over features."""

from __future__ import annotations

import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec

from elman.data.splits import Split
from elman.data.tagged import Tagged
from elman.tasks.tag.calibrate import finished
from elman.tasks.tag.forms import shape
from elman.tasks.tag.learner import prepare
from elman.tasks.tag.metrics import Answers, Tagging, judge
from elman.tasks.tag.pages import LINEAR_CHAIN
from elman.tasks.tag.predictor import TaggerModel
from elman.text.tag_schemes import spans
from elman.training.fitting import fit
from elman.training.report import SCRATCH, Baseline

OUTSIDE = "O"
MAX_TOKENS = 300_000
"""A linear chain is trained on no more: it takes a minute for so many and 50 tags."""
MAX_WORK = MAX_TOKENS * 50**2
"""Words times the square of the tags, likewise: the time of an iteration."""
FEWEST_TOKENS = 5_000
"""Of a linear chain that is worth its time, where there are more."""
ITERATIONS = 60
Sentence = Sequence[str]


def usual(split: Split[Tagged]) -> Baseline:
    """Give each word the tag that it has most often, and an unknown one that of unknown words.

    The tag of unknown words is the most frequent one of words seen once.
    """
    start = time.perf_counter()
    train = split.train
    seen: dict[str, Counter[str]] = defaultdict(Counter)
    for words, tags in zip(train.tokens, train.tags, strict=True):
        for word, tag in zip(words, tags, strict=True):
            if tag is not None:
                seen[word][tag] += 1
    single = Counter(tag for tags in seen.values() if tags.total() == 1 for tag in tags)
    every = sum(seen.values(), Counter[str]())
    other = (single or every).most_common(1)[0][0]
    best = {word: tags.most_common(1)[0] for word, tags in seen.items()}
    share = {word: count / seen[word].total() for word, (_, count) in best.items()}
    unsure = single[other] / single.total() if single else every[other] / every.total()
    tagged = [[best[word][0] if word in best else other for word in s] for s in split.test.tokens]
    chances = [share.get(word, unsure) for s in split.test.tokens for word in s]
    scores = _judged(split, tagged, chances, seen)
    return Baseline("usual tag of each word", scores, time.perf_counter() - start, len(train))


def linear_chain(split: Split[Tagged]) -> Baseline | None:
    """Train a conditional random field over the usual features, by CRFsuite.

    None where the tags are so many (lemmas) that it would take hours, and where no sentence has all
    of its tags.

    Words, their ends and shapes, and those of their neighbours (Okazaki's tutorial of CRFsuite);
    L-BFGS with both penalties.
    """
    import pycrfsuite

    start = time.perf_counter()
    kinds = {tag for tags in split.train.tags for tag in tags}
    most = min(MAX_TOKENS, MAX_WORK // len(kinds) ** 2)
    if most < min(FEWEST_TOKENS, sum(map(len, split.train.tokens))):
        return None
    trainer = pycrfsuite.Trainer(algorithm="lbfgs", verbose=False)
    trainer.set_params(
        {"c1": 0.1, "c2": 0.01, "max_iterations": ITERATIONS, "feature.possible_transitions": True}
    )
    count, tokens = 0, 0
    seen = set()
    for words, tags in zip(split.train.tokens, split.train.tags, strict=True):
        if tokens >= most:
            break
        if None in tags or not words:
            continue
        trainer.append(list(_features(words)), [str(tag) for tag in tags])
        seen.update(words)
        tokens, count = tokens + len(words), count + 1
    if not count:  # CRFsuite would crash
        return None
    with tempfile.TemporaryDirectory() as folder:
        place = str(Path(folder) / "model")
        trainer.train(place)
        tagger = pycrfsuite.Tagger()
        tagger.open(place)
        tagged: list[list[str]] = []
        chances: list[float] = []
        for words in split.test.tokens:
            best: list[str] = tagger.tag(list(_features(words))) if words else []
            tagged.append(best)
            chances += [tagger.marginal(tag, i) for i, tag in enumerate(best)]
        tagger.close()
    scores = _judged(split, tagged, chances, seen)
    return Baseline(LINEAR_CHAIN, scores, time.perf_counter() - start, count)


def scratch(split: Split[Tagged], model: TaggerModel) -> list[Baseline]:
    """Train from scratch the network that started from a language model; nothing of others."""
    asked = model.asked
    if asked is None or asked.from_ is None:
        return []
    start = time.perf_counter()
    size = model.module.config.embedding_size
    learner = prepare(split, msgspec.structs.replace(asked, from_=None, embedding_size=size))
    fitted = fit(learner)
    if fitted.interrupt is not None:
        raise fitted.interrupt
    scores = finished(learner).evaluate(split.test)
    return [Baseline(SCRATCH, scores, time.perf_counter() - start, len(split.train))]


def _judged(
    split: Split[Tagged],
    tagged: Sequence[Sequence[str]],
    chances: Sequence[float],
    known: Iterable[str],
) -> Tagging:
    """Judge tags; of a span that is as probable as its least probable word."""
    scheme, words = split.train.scheme, set(known)
    answered = [spans(tags, scheme) if scheme is not None else [] for tags in tagged]
    confidence = list(chances)
    if scheme is not None:
        confidence = [*_least(tagged, answered, chances)]
    return judge(
        split.test.tokens,
        split.test.tags,
        Answers(tagged, answered, confidence),
        scheme,
        known=words.__contains__,
    )


def _least(
    tagged: Sequence[Sequence[str]],
    answered: Sequence[Sequence[tuple[int, int, str]]],
    chances: Sequence[float],
) -> Iterator[float]:
    start = 0
    for tags, sentence in zip(tagged, answered, strict=True):
        for begin, end, _ in sentence:
            yield min(chances[start + begin : start + end])
        start += len(tags)


def _features(words: Sentence) -> Iterator[list[str]]:
    lower = [word.lower() for word in words]
    shapes = [shape(word) for word in words]
    for i, word in enumerate(words):
        features = ["bias", f"w={lower[i]}", f"W={word}", f"s={shapes[i]}"]
        features += [f"-{size}={lower[i][-size:]}" for size in (1, 2, 3, 4)]
        features += [f"{size}-={lower[i][:size]}" for size in (1, 2, 3)]
        for step in (-2, -1, 1, 2):
            if 0 <= i + step < len(words):
                features += [f"{step}w={lower[i + step]}", f"{step}s={shapes[i + step]}"]
            else:
                features.append(f"{step}=end")
        yield features
