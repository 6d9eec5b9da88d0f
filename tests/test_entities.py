import random
import subprocess
import sys
from itertools import chain

import pytest

from elman.data.corpus import read_texts
from elman.data.datasets import entities_en, entities_ru, grammar, load_dataset
from elman.data.source import read_data
from elman.errors import DataError
from elman.text.segmentation import word_spans

NAMES = ("entities", "entities-ru")
TYPES = {"PER", "ORG", "LOC", "DATE"}


@pytest.fixture(scope="module", params=NAMES)
def entities(request):
    return load_dataset(request.param)


def spans(part):
    """Yield the type and the text of each entity."""
    for tokens, tags in zip(part.tokens, part.tags, strict=True):
        open_span = None
        for token, tag in zip([*tokens, ""], [*tags, "O"], strict=True):
            if open_span and not tag.startswith("I-"):
                yield open_span[0], " ".join(open_span[1])
                open_span = None
            if tag.startswith("B-"):
                open_span = (tag[2:], [token])
            elif tag.startswith("I-"):
                assert open_span, (tokens, tags)
                assert open_span[0] == tag[2:]
                open_span[1].append(token)


def texts(part):
    return [" ".join(tokens) for tokens in part.tokens]


def test_all_sentences_are_different_and_tagged_in_iob2(entities):
    test = entities.test
    assert (len(entities), len(test), test.test) == (5000, 1000, None)
    assert len({*texts(entities), *texts(test)}) == 6000
    for part in (entities, test):
        assert {kind for kind, _ in spans(part)} == TYPES
        assert part.source in NAMES
        assert "faker" in part.notes[0]
        assert list(map(len, part.tokens)) == list(map(len, part.tags))


def test_a_text_is_cut_into_the_same_tokens(entities):
    for tokens in entities.tokens[:500]:
        for token in tokens:
            assert not token.isspace()
            assert "{" not in token
            assert "[" not in token
    sentence = grammar.Sentence("It's in St. Ives.", ((8, 16, "LOC"),))
    assert grammar.tagged(sentence) == (
        [word.text for word in word_spans(sentence.text)],
        ["O", "O", "O", "B-LOC", "I-LOC", "O"],
    )
    with pytest.raises(ValueError, match="no whole tokens"):
        grammar.tagged(grammar.Sentence("Ivesham", ((0, 4, "LOC"),)))


def test_the_test_part_has_names_that_the_training_part_has_not(entities):
    seen = {name.lower() for kind, name in spans(entities) if kind == "PER"}
    there = [name.lower() for kind, name in spans(entities.test) if kind == "PER"]
    single = [name for name in there if " " not in name]
    assert 0.3 < sum(name not in seen for name in single) / len(single) < 0.9
    words = set(chain.from_iterable(name.split() for name in seen))
    new = [name for name in there if not words & set(name.split())]
    assert len(new) > 0.4 * len(there)


def test_some_sentences_are_in_lower_case_more_of_the_test_part(entities):
    lower = [
        sum(text == text.lower() for text in texts(p)) / len(p) for p in (entities, entities.test)
    ]
    assert 0.03 < lower[0] < 0.08
    assert 0.15 < lower[1] < 0.25


def test_a_name_is_of_several_types(entities):
    kinds = {}
    for kind, name in spans(entities):
        kinds.setdefault(name, set()).add(kind)
    outside = {
        token
        for tokens, tags in zip(entities.tokens, entities.tags, strict=True)
        for token, tag in zip(tokens, tags, strict=True)
        if tag == "O"
    }
    assert sum(len(found) > 1 for found in kinds.values()) >= 50
    assert sum({"PER", "LOC"} <= found for found in kinds.values()) >= 20
    months = {"entities": {"May", "June"}, "entities-ru": {"Август"}}[entities.source]
    assert all({"PER", "DATE"} <= kinds[month] for month in months)
    assert len(outside & set(kinds)) >= 5


def test_words_of_both_languages_stand_where_they_should():
    english = texts(load_dataset("entities"))
    assert any(" 's " in text for text in english)
    russian = texts(load_dataset("entities-ru"))
    assert not any(" в Вл" in text or " в Фр" in text for text in russian)
    assert any(text.lower().startswith("во владимир") or " во В" in text for text in russian)


@pytest.mark.parametrize(
    ("name", "rules", "forms"),
    [
        ("Москва", "_PLACE", "Москва Москвы Москве Москву Москвой Москве"),
        ("Калуга", "_PLACE", "Калуга Калуги Калуге Калугу Калугой Калуге"),
        ("Россия", "_PLACE", "Россия России России Россию Россией России"),
        ("Казань", "_PLACE", "Казань Казани Казани Казань Казанью Казани"),
        ("Ярославль", "_PLACE", "Ярославль Ярославля Ярославлю Ярославль Ярославлем Ярославле"),
        ("Пушкин", "_PLACE", "Пушкин Пушкина Пушкину Пушкин Пушкином Пушкине"),
        ("Грозный", "_PLACE", "Грозный Грозного Грозному Грозный Грозным Грозном"),
        ("Жуковский", "_PLACE", "Жуковский Жуковского Жуковскому Жуковский Жуковским Жуковском"),
        (
            "Павловская",
            "_PLACE",
            "Павловская Павловской Павловской Павловскую Павловской Павловской",
        ),
        ("Сочи", "_PLACE", "Сочи Сочи Сочи Сочи Сочи Сочи"),
        ("Пушкин", "_SURNAME_MAN", "Пушкин Пушкина Пушкину Пушкина Пушкиным Пушкине"),
        ("Пушкин", "_SURNAME_WOMAN", "Пушкина Пушкиной Пушкиной Пушкину Пушкиной Пушкиной"),
        (
            "Жуковский",
            "_SURNAME_WOMAN",
            "Жуковская Жуковской Жуковской Жуковскую Жуковской Жуковской",
        ),
        ("Андрей", "_MAN", "Андрей Андрея Андрею Андрея Андреем Андрее"),
        ("Дмитрий", "_MAN", "Дмитрий Дмитрия Дмитрию Дмитрия Дмитрием Дмитрии"),
        ("Игорь", "_MAN", "Игорь Игоря Игорю Игоря Игорем Игоре"),
        ("Никита", "_MAN", "Никита Никиты Никите Никиту Никитой Никите"),
        ("Ольга", "_FEMININE", "Ольга Ольги Ольге Ольгу Ольгой Ольге"),
        ("Ильич", "_PATRONYMIC", "Ильич Ильича Ильичу Ильича Ильичем Ильиче"),
        ("июль", "_MONTH", "июль июля июлю июль июлем июле"),
        ("Елец", "_PLACE", ""),
        ("Химки", "_PLACE", ""),
    ],
)
def test_russian_cases(name, rules, forms):
    found = [
        entities_ru.declined(name, getattr(entities_ru, rules), case) for case in entities_ru.CASES
    ]
    assert " ".join(found).strip() == forms


@pytest.mark.parametrize("language", [entities_en, entities_ru])
def test_every_frame_can_be_filled(language, monkeypatch):
    caught = {}
    monkeypatch.setattr(language, "make", lambda source, made: caught.setdefault("grammar", made))
    language.load()
    made = caught["grammar"]
    assert not set(made.frames) & set(made.test_frames)
    for seen in (True, False):
        names = grammar._names(made.names, seen=seen)
        assert all(names.values()), [kind for kind, found in names.items() if not found]
        draw = grammar.Draw(random.Random(0).random, names)
        for frame in (*made.frames, *made.test_frames):
            for _ in range(5):
                sentence = grammar.fill(made, frame, draw)
                grammar.tagged(sentence)
                assert "  " not in sentence.text
                for start, end, _kind in sentence.entities:
                    assert sentence.text[start:end].strip() == sentence.text[start:end] != ""


def test_the_sentences_do_not_depend_on_the_hash_seed_or_on_who_drew_before(entities):
    code = (
        "import random; random.seed(1); random.random()\n"
        "from elman.data.datasets import load_dataset\n"
        f"found = load_dataset({entities.source!r})\n"
        "print(ascii(found.tokens[-1]), ascii(found.test.tokens[-1]))"
    )
    run = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert run.stdout.strip() == f"{entities.tokens[-1]!a} {entities.test.tokens[-1]!a}"


def test_they_are_no_texts_to_classify_but_texts_to_read(entities):
    with pytest.raises(DataError, match=r"has no labelled texts; it is for --task tag"):
        read_data(entities.source)
    assert list(read_texts(entities.source)) == texts(entities)
