"""Russian sentences with people, organisations, places and dates in their grammatical cases.

Names are declined by the rules of the regular nouns and adjectives; those that no rule here fits
(Пётр, Елец, Ростов-на-Дону) are left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from faker.providers.address.ru_RU import Provider as Addresses
from faker.providers.company.ru_RU import Provider as Companies
from faker.providers.person.ru_RU import Provider as People

from elman.data.datasets.grammar import Draw, Grammar, listed, make, stable
from elman.data.tagged import Tagged

CASES = ("nom", "gen", "dat", "acc", "ins", "loc")

# Letters to cut off and the endings of the six cases, for the first pattern that fits.
_Rules = tuple[tuple[str, int, str], ...]
_FEMININE: _Rules = (
    (r".*ия", 1, "я и и ю ей и"),
    (r".*я", 1, "я и е ю ей е"),
    (r".*[гкх]а", 1, "а и е у ой е"),
    (r".*[жшчщ]а", 1, "а и е у ей е"),
    (r".*ца", 1, "а ы е у ей е"),
    (r".*а", 1, "а ы е у ой е"),
)
_MAN: _Rules = (
    *_FEMININE,
    (r".*ий", 1, "й я ю я ем и"),
    (r".*[йь]", 1, "{} я ю я ем е"),
    (r".*[бвгдзклмнпрстфх]", 0, "- а у а ом е"),
)
_SURNAME_MAN: _Rules = (
    (r".*[сц]кий", 2, "ий ого ому ого им ом"),
    (r".*(?:[оеё]в|[иы]н)", 0, "- а у а ым е"),
)
_SURNAME_WOMAN: _Rules = (
    (r".*[сц]кий", 2, "ая ой ой ую ой ой"),
    (r".*(?:[оеё]в|[иы]н)", 0, "а ой ой у ой ой"),
)
_PLACE: _Rules = (
    (r".*ая", 2, "ая ой ой ую ой ой"),
    *_FEMININE,
    (r".*(?:Казан|Рязан|Твер|Перм|Астрахан|Сызран|Тюмен|Назран|Мезен)ь", 1, "ь и и ь ью и"),
    (r".*(?:Ярославл|Ставропол|Суздал|Израил)ь", 1, "ь я ю ь ем е"),
    (r".*ний", 2, "ий его ему ий им ем"),
    (r".*[гк]ий", 2, "ий ого ому ий им ом"),
    (r".*ый", 2, "ый ого ому ый ым ом"),
    (r".*(?<!ец)(?<!ел)(?<!Орл)[бвгдзклмнпрстфх]", 0, "- а у - ом е"),
    (r".*(?:[оуэе]|[^гкх]и)", 0, "- - - - - -"),
)
_INSTITUTION: _Rules = ((r".*й", 1, "й я ю й ем е"), *_PLACE)
_PATRONYMIC: _Rules = ((r".*ич", 0, "- а у а ем е"), (r".*на", 1, "а ы е у ой е"))


def declined(name: str, rules: _Rules, case: str) -> str:
    """Return a name in a case; "" where no rule fits it."""
    for pattern, cut, endings in rules:
        if re.fullmatch(pattern, name):
            ending = endings.split(" ")[CASES.index(case)].replace("-", "")
            return name[: len(name) - cut] + ending.replace("{}", name[-1:])
    return ""


_WORDS_AS_WOMEN = "Вера Надежда Роза Лилия Майя Виктория Марина Клара Злата Рада Любава Ева"
_WORDS_AS_MEN = "Роман Август Марк Владимир Руслан Мартын Тимур Май Ким Антон Герман Роланд"
_TOWNS_AS_SURNAMES = (
    "Пушкин Гагарин Чехов Серов Киров Ершов Макаров Александров Жуковский Чайковский Губкин Ростов"
    " Саров Кузнецов Ковров Азов Серпухов Тамбов Боровск Муром Курчатов Каширин"
)
_TOWNS_OF_TWO_WORDS = (
    *("Великий Новгород", "Великий Устюг", "Нижний Новгород", "Нижний Тагил", "Верхний Тагил"),
    *("Старый Оскол", "Новый Оскол", "Красная Поляна", "Малая Вишера", "Старая Русса"),
)
_WORDS_AS_FIRMS = (
    "Лента Магнит Август Вера Весна Титан Марс Прогресс Ресурс Заря Победа Звезда Спутник Маяк"
    " Рассвет Восток Роман Монета Квадрат Полюс Пульс Европа Россия Москва Волга Урал Байкал"
    " Роза Планета"
)
_MONTHS = listed("январь февраль март апрель май июнь июль август сентябрь октябрь ноябрь декабрь")
_MONTH: _Rules = ((r".*[ьй]", 1, "{} я ю {} ем е"), (r".*", 0, "- а у - ом е"))
_DAYS = listed("понедельник вторник среду четверг пятницу субботу воскресенье")


def _case(form: str) -> str:
    return next((part for part in form.split("_") if part in CASES), "nom")


def _person(draw: Draw, form: str) -> str:
    case, parts = _case(form), form.split("_")
    man = "m" in parts or ("f" not in parts and draw.chance(0.5))
    kind = draw.random()
    last = _surname(draw, case, man)
    if "last" in parts:
        return last
    first = draw.name("word_" * draw.chance(0.2) + ("man" if man else "woman"))
    middle = draw.name("middle_man" if man else "middle_woman")
    given = declined(first, _MAN, case)
    if "first" in parts:
        return given
    if kind < 0.6:
        return f"{given} {last}"
    if kind < 0.75:
        return f"{given} {declined(middle, _PATRONYMIC, case)} {last}"
    if kind < 0.85:
        return f"{given} {declined(middle, _PATRONYMIC, case)}"
    return f"{first[0]}. {middle[0]}. {last}"


def _surname(draw: Draw, case: str, man: bool) -> str:
    name = draw.name("town_last" if draw.chance(0.15) else "last")
    return declined(name, _SURNAME_MAN if man else _SURNAME_WOMAN, case)


def _firm(draw: Draw, form: str) -> str:
    case, kind = _case(form), draw.random()
    if kind < 0.25:
        return declined(draw.name("firm"), _PLACE, case)
    if kind < 0.5:
        return declined(draw.name("word_firm"), _PLACE, case)
    if kind < 0.6:
        return draw.name("short_firm")
    legal = draw.one(("ООО", "АО", "ЗАО", "ОАО", "НПО"))
    name = _surname(draw, "nom", True)
    if kind < 0.7:
        return f"{legal} «{draw.name('word_firm')}»"
    if kind < 0.8:
        return f"{legal} «{name}»"
    if kind < 0.88:
        return f"{legal} «{name} и {draw.one(('партнёры', 'сыновья', 'братья'))}»"
    kinds = ("Банк", "Университет", "Музей", "Театр")
    return f"{declined(draw.one(kinds), _INSTITUTION, case)} {_place(draw, 'gen')}"


def _quoted(draw: Draw, form: str) -> str:
    """Return the name of a firm as it stands between quotes."""
    name = _surname(draw, "nom", True)
    if draw.chance(0.6):
        return draw.name("word_firm" if draw.chance(0.6) else "firm")
    return f"{name} и {draw.one(('партнёры', 'сыновья', 'Ко'))}" if draw.chance(0.6) else name


def _organisation(draw: Draw, form: str) -> str:
    return _quoted(draw, form) if form == "quoted" else _firm(draw, form)


def _place(draw: Draw, form: str) -> str:
    kind = draw.random()
    if kind < 0.06:
        words = draw.name("two_words").split()
        return " ".join(declined(word, _PLACE, _case(form)) for word in words)
    if "town" in form or kind < 0.7:
        name = draw.name("town_last" if draw.chance(0.3) else "town")
    else:
        name = draw.name("country")
    return declined(name, _PLACE, _case(form))


def _date(draw: Draw, form: str) -> str:
    month, day, year = (
        draw.one(_MONTHS),
        1 + int(draw.random() * 28),
        1950 + int(draw.random() * 75),
    )
    if form.startswith("month"):
        name = declined(month, _MONTH, _case(form))
        return name if draw.chance(0.6) or form == "month" else f"{name} {year} года"
    if form == "year":
        return f"{year} году"
    if form == "weekday":
        return draw.one(_DAYS)
    dated = f"{day} {declined(month, _MONTH, 'gen')}"
    return dated if draw.chance(0.5) else f"{dated} {year} года"


def _linked(text: str, filling: str) -> str:
    """Return the text with `во` or `со` before such words as need it."""
    if re.search(r"(?:\A|\s)[вВ] \Z", text) and re.match(r"(?i:[вф][^аеёиоуыэюя])", filling):
        return text[:-1] + "о "
    if re.search(r"(?:\A|\s)[сС] \Z", text) and re.match(r"(?i:[сзшж][^аеёиоуыэюя])", filling):
        return text[:-1] + "о "
    return text


FRAMES = (
    # people and firms
    "{org:nom} [купит|продаст|откроет|закроет] {thing} в {date:month_loc}.",
    "[{per:m} возглавил|{per:f} возглавила] {org:acc} в {date:year}.",
    "[{per:last_m} ушёл|{per:last_f} ушла] из {org:gen} {date}.",
    "Акции {org:gen} [выросли|упали] на {num} процентов в {date:weekday}.",
    "Компания «{org:quoted}» [судится с|договорилась с] {org:ins}.",
    "Компания «{org:quoted}» [задолжала|поверила|помогает] {org:dat}.",
    "Директор компании «{org:quoted}» {per} [приедет|поедет] в {loc:acc}.",
    "{per}, {job} из {org:gen}, [живёт|работает] в {loc:loc}.",
    "В {org:loc} [работает|не хватает] {num} человек.",
    "Глава {org:gen} {per} [не ответил|промолчал] на вопрос {per:gen}.",
    "{org:nom} и {org:nom} [объединятся|разделятся] {date}.",
    "— [Мы рады|Очень жаль], — говорит {per}, {job} {org:gen}.",
    "[Суд|Банк|Город] [отказал|поверил] {org:dat} и {per:last_dat}.",
    "[Рабочие|Пайщики|Клиенты] {org:gen} [довольны|бастуют] с {date}.",
    # people
    "[{per:m} родился|{per:f} родилась] в {loc:loc} {date}.",
    "[{per:first_m} встретил|{per:first_f} встретила] {per:acc} в {loc:town_loc}.",
    "{per:first} и {per:first} [живут|учатся|выросли] в {loc:town_loc}.",
    "[Скажи|Позвони|Напиши|Верни {thing}] {per:first_dat}.",
    "[Спроси|Жди|Найди] {per:first_acc} {date}.",
    "Ты [видел|помнишь|знаешь] {per:acc}?",
    "[Книга|Машина|Картина|Сестра] {per:gen} осталась в {loc:town_loc}.",
    "[Роман|Письмо|Дом|Рассказ] {per:last_gen} [хвалят|помнят] в {loc:loc}.",
    "{per:last} и {per:last} [поедут|вернутся] в {loc:acc} в {date:month_loc}.",
    "Мы [говорили|спорили|ехали] с {per:ins} до {date}.",
    "[{job} пришёл|Гости пришли] к {per:dat} в {date:weekday}.",
    "[{per:last_m} забил|{per:last_f} забила] дважды, и {org:nom} победит.",
    "[{per:first_m} надеется|{per:first_f} верит], что {per:first} приедет в {date:month_loc}.",
    "Уважаемый {per:first_m}, {thing} можно забрать {date}.",
    "[Ваш {per:m}|Ваша {per:f}]",
    # places
    "Дорога из {loc:town_gen} в {loc:town_acc} закрыта в {date:weekday}.",
    "[Поезд|Автобус|Самолёт] из {loc:gen} придёт {date}.",
    "В {loc:town_loc} [шёл|идёт] [дождь|снег].",
    "Мы переехали из {loc:gen} в {loc:acc} в {date:year}.",
    "{loc:town} стоит в {num} километрах от {loc:town_gen}.",
    "Мэр {loc:town_gen} {per} [откроет|закроет] {thing} {date}.",
    "В {loc:town_loc} живёт {num} тысяч человек.",
    "[Полиция|Больница|Школа] {loc:town_gen} ищет {per:acc}.",
    "{org:nom} [откроет|закроет] {thing} в {loc:loc}.",
    "Под {loc:town_ins} [горит лес|нашли {thing}].",
    "[Лететь|Ехать] до {loc:gen} [долго|{num} часов].",
    # dates
    "{date:month} [выдался|был] [тёплым|холодным] в {loc:loc}.",
    "[Сдать|Прочесть|Вернуть] {thing} надо до {date}.",
    "В {date:month_loc} [{per:first_m} уехал|{per:first_f} уехала].",
    # words that are names elsewhere
    "Вера в людей [проходит|крепнет] с годами.",
    "Надежда [умирает последней|ещё есть].",
    "Роман [получился длинным|вышел в печать|понравился всем].",
    "Роза [завяла|стоит в вазе].",
    "Лента [порвалась|кончилась].",
    "Магнит [держит|притянул] {thing}.",
    "Весна [пришла рано|не спешит].",
    "Победа [далась нелегко|близко].",
    "Звезда [упала|погасла] за лесом.",
    "Слава [приходит поздно|проходит].",
    "Заря и роза — слова из песни.",
    "Спутник [летит|виден] над лесом.",
    "Маяк [светит|погас] над морем.",
    "Россыпь звёзд видна над полем.",
    "Восток [алеет|светлеет].",
    "Банк закрыт, и музей закрыт.",
    "{job} [принёс|потерял|нашёл] {thing}.",
    "На {thing} ушло {num} дней.",
    "Виктория [созрела|поспела] на грядке.",
    "Полюс холода [далеко|близко].",
)  # fmt: skip
TEST_FRAMES = (
    "По словам {per:gen}, {org:nom} уйдёт из {loc:gen} в {date:month_loc}.",
    "[{per:first_m} звонил|{per:first_f} звонила] из {loc:town_gen} в {date:weekday}.",
    "{org:nom} [заплатит|вернёт] {per:last_dat} {num} миллионов.",
    "Кто [такой {per:m}|такая {per:f}]?",
    "Ни {per:last}, ни {per:last} не живут в {loc:town_loc}.",
    "Ректор из {loc:town_gen} написал {org:dat}.",
    "За {thing} {per:last} [заплатит|ответит] {org:dat}.",
    "Поезда до {loc:town_gen} [стоят|опаздывают].",
    "Договор между {org:ins} и {per:ins} подпишут {date}.",
    "Вера и надежда живут в каждом.",
    "Роман лежит на столе.",
    "Лента и магнит лежат в ящике.",
    "Заря [занялась|погасла] над рекой.",
)  # fmt: skip
_JOBS = listed("учитель врач водитель юрист повар лётчик инженер певец художник сторож")
_THINGS = listed("отчёт письмо книгу дом завод склад билет ключ картину мост чертёж")


def _regular(names: Iterable[str], rules: _Rules) -> list[str]:
    """Return the names of one word that the rules decline."""
    return [
        name
        for name in names
        if re.fullmatch(r"[А-ЯЁ][а-яё]{2,}(?:-[А-ЯЁ][а-яё]+(?<!ий))?", name)
        and declined(name, rules, "gen")
    ]


def load() -> Tagged:
    """Return the training part, with the test part in it."""
    irregular = {"Павел", "Петр", "Пётр", "Лев", "Мир", "Дно", "Маврикий"}
    men = _regular(set(People.first_names_male) - irregular, _MAN)
    women = _regular(People.first_names_female, _FEMININE)
    towns = _regular(set(Addresses.city_names) - irregular, _PLACE)
    firms = Companies.large_companies
    grammar = Grammar(
        names={
            "man": stable(men, 150),
            "woman": stable(women, 75),
            "word_man": listed(_WORDS_AS_MEN),
            "word_woman": listed(_WORDS_AS_WOMEN),
            "middle_man": stable(People.middle_names_male, 100),
            "middle_woman": stable(People.middle_names_female, 75),
            "last": stable(_regular(People.last_names_male, _SURNAME_MAN), 250),
            "town_last": _regular(listed(_TOWNS_AS_SURNAMES), _SURNAME_MAN),
            "town": stable(towns, 400),
            "two_words": _TOWNS_OF_TWO_WORDS,
            "country": stable(_regular(set(Addresses.countries) - irregular, _PLACE), 100),
            "firm": stable(_regular(firms, _PLACE[-2:-1]), 150),
            "short_firm": stable((n for n in firms if re.fullmatch(r"[А-Я]{3,4}", n)), 40),
            "word_firm": listed(_WORDS_AS_FIRMS),
        },
        frames=FRAMES,
        test_frames=TEST_FRAMES,
        entities={"per": _person, "org": _organisation, "loc": _place, "date": _date},
        words={
            "job": _JOBS,
            "thing": _THINGS,
            "num": [str(n) for n in range(5, 90) if n % 10 > 4 or n % 10 == 0],
        },
        linked=_linked,
    )
    return make("entities-ru", grammar)
