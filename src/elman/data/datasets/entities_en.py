"""English sentences with people, organisations, places and dates."""

from __future__ import annotations

import re

from faker.providers.address.en_US import Provider as Addresses
from faker.providers.person.en_GB import Provider as Britons
from faker.providers.person.en_US import Provider as Americans

from elman.data.datasets.grammar import Draw, Grammar, listed, make, stable
from elman.data.tagged import Tagged

# Names that are common words or months, so that the words around must tell.
_WORDS_AS_FIRST = (
    "April May June August Mark Will Grace Hope Rose Bill Frank Faith Jack Art Rich Pat Sue Drew"
    " Joy Dawn Heather Ivy Olive Violet Chase Grant Miles Rob Penny Ray Dean Earl Guy Victor Summer"
)
_WORDS_AS_LAST = (
    "Young Brown Long Price Hill King Baker Cook Day Rich Banks Park Stone Field Marsh Woods Rivers"
    " March May Winter Church Bush Page Bond Case Law Swift Sharp Savage Wise Noble Poor Little"
)
_WORDS_AS_FIRMS = (
    "Apple Target Shell Gap Orange Subway Amazon Visa Oracle Sprint Delta United Focus Mars Dove"
    " Tide Crest Dawn Pioneer Polo Gateway Square Slack Stripe Zoom Box Twist Chime Bolt Lush"
    " Boots Next"
)
_TOWNS = (
    "Washington Jackson Lincoln Madison Austin Houston Franklin Hamilton Bradford Preston Chester"
    " Lancaster Paris Florence Charlotte Jordan Reading Nice Mobile Bath Orange Sandwich Cork"
    " Chelsea Sydney London Victoria Bristol Boston Dallas Phoenix Aurora Eugene Trenton"
    " Clinton Jersey"
)
_MONTHS = listed(
    "January February March April May June July August September October November December"
)
_DAYS = listed("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")


def _person(draw: Draw, form: str) -> str:
    first = draw.name("word_first" if draw.chance(0.25) else "first")
    last = _surname(draw)
    if form:
        return first if form == "first" else last
    kind = draw.random()
    if kind < 0.7:
        return f"{first} {last}"
    if kind < 0.8:
        return f"{first} {first[0]}. {last}"
    return f"{first[0]}. {last}" if kind < 0.9 else f"{first} {last}-{_surname(draw)}"


def _surname(draw: Draw) -> str:
    return draw.name("word_last" if draw.chance(0.2) else "last")


def _firm(draw: Draw, form: str) -> str:
    name = _surname(draw)
    kind = draw.random()
    if form == "bare":
        return draw.name("word_firm") if kind < 0.5 else name
    if kind < 0.15:
        return draw.name("word_firm")
    if kind < 0.25:
        return name
    if kind < 0.55:
        return f"{name} {draw.one(('Inc', 'LLC', 'Group', 'PLC', 'Ltd', 'Bank', 'Holdings'))}"
    if kind < 0.65:
        return f"{name} {draw.one(('and', '&'))} {draw.one(('Sons', 'Co', _surname(draw)))}"
    if kind < 0.72:
        return f"{name}, {_surname(draw)} and {_surname(draw)}"
    if kind < 0.78:
        return f"{name}-{_surname(draw)}"
    place = _place(draw, "town")
    if kind < 0.9:
        kinds = ("University", "City Council", "Police", "Hospital", "Herald", "United", "Bank")
        return f"{place} {draw.one(kinds)}"
    return f"{draw.one(('University', 'Bank', 'Museum'))} of {place}"


def _place(draw: Draw, form: str) -> str:
    kind = draw.random()
    if kind < 0.25 and not form:
        return draw.name("country" if draw.chance(0.6) else "state")
    if kind < 0.5:
        return draw.name("town")
    if kind < 0.75:
        return _surname(draw)
    if kind < 0.9:
        ending = draw.one(("ton", "ville", "bury", "mouth", "berg", "port", "field", "burgh"))
        return f"{draw.name('first')}{ending}"
    return f"{draw.one(('North', 'East', 'West', 'New', 'Lake', 'Port'))} {draw.name('last')}"


def _date(draw: Draw, form: str) -> str:
    month, day, year = (
        draw.one(_MONTHS),
        1 + int(draw.random() * 28),
        1950 + int(draw.random() * 75),
    )
    if form == "month":
        return month if draw.chance(0.6) else f"{month} {year}"
    if form == "year":
        return str(year)
    if form == "weekday":
        return draw.one(_DAYS)
    return draw.one((f"{month} {day}", f"{day} {month}", f"{month} {day}, {year}"))


FRAMES = (
    # people and firms
    "{org} [hired|promoted|dismissed|sued|thanked] {per} in {date:month}.",
    "{per} [joined|left|founded|runs|sued] {org} in {date:year}.",
    "{per:last} [joined|left|founded] {org} [last year|soon after|as a {job}|].",
    "Shares [of|in] {org} [rose|fell] by {num} percent on {date:weekday}.",
    "{org:bare} shares [rose|fell|slipped] {num} percent after {per} [resigned|spoke|left].",
    "{org:bare} will [open|close] {num} shops in {loc} by {date:month}.",
    "{org:bare} [said|announced] on {date:weekday} that it had bought {org}.",
    "Workers at {org:bare} [went on strike|voted] on {date}.",
    "I bought it from {org:bare} in {date:month}.",
    "{per}, a {job} [at|with] {org}, [moved to|was born in|lives in] {loc}.",
    "The {job} of {org}, {per}, [declined to comment|did not answer our questions].",
    "{org} and {org} [merged|split] on {date}.",
    '"We are [pleased|sorry]," said {per}, [a|the] {job} [at|of] {org}.',
    "[Mr|Mrs|Ms|Dr]. {per:last} [told|asked] {per:last} about {org}.",
    "[Mr|Mrs|Ms|Dr]. {per:last} [flew|moved|drove] to {loc} in {date:month}.",
    # people
    "{per} met {per} in {loc} on {date}.",
    "{per:first} and {per:first} [live|work|grew up] in {loc:town}.",
    "{per:first} [said|thinks|hopes] that {per:first} will come in {date:month}.",
    "{per:first} is [late|here|tired|a {job}], and so is {per:first}.",
    "[Ask|Tell|Call|Thank] {per:first} about the {thing}.",
    "Have you seen {per:first} [today|since {date:weekday}]?",
    "{per:first} [will|may|can] [march|stay|sail|eat] with us in {date:month}.",
    "{per:last} scored twice [as|when] {org} beat {org} on {date:weekday}.",
    "{per:last} beat {per:last} in the final in {loc:town}.",
    "The {job} {per} died on {date} in {loc}.",
    "{per}'s {thing} was [found|sold|seen] in {loc:town}.",
    "Dear {per:first}, the {thing} [is|was] late.",
    "Kind regards, {per}",
    # places
    "The road from {loc:town} to {loc:town} was closed on {date:weekday}.",
    "{loc} [borders|exports more than|has fewer towns than] {loc}.",
    "It [rained|snowed] in {loc:town} [on {date}|in {date:month}|all day].",
    "[They|We|I] moved from {loc} to {loc} in {date:year}.",
    "{num} people live in {loc:town}, {loc}.",
    "{loc:town} lies {num} miles [north|south|east|west] of {loc:town}.",
    "The mayor of {loc:town}, {per}, [opened|closed] the {thing} on {date}.",
    "{loc:town} is a [quiet|small|busy] town in {loc}.",
    "The court in {loc:town} heard the case of {per:last} against {org}.",
    "{org} [opened|closed] its office in {loc} in {date:month}.",
    "Police in {loc:town} arrested {per} on {date}.",
    "In {loc:town}, {per:last} [works|worked] for {org:bare}.",
    # dates
    "In {date:month} {per:first} [left|came back|called].",
    "{date:month} was [cold|warm|wet] in {loc:town}.",
    "The {thing} is due on {date}.",
    "{per:first} [is|was] a {job} at {org}.",
    # words that are names elsewhere
    "Mark the [pages|boxes] and [bill|chase] the {job}.",
    "Will the {job} [come|pay|read it]?",
    "May I [ask|see] the {thing}?",
    "Hope is not a {thing}.",
    "Target [dates|prices] [slipped|rose] again.",
    "Apple [pie|juice] and orange [juice|peel] cost {num} dollars.",
    "Young people [march|hope] for a better [price|day].",
    "Rose [bushes|petals] [grow|fall] by the church.",
    "Brown bread, stone walls and a long day.",
    "Bill [them|us] for the {thing}.",
    "The price of [oil|stone|bread] rose {num} percent.",
    "Next to the {thing} stands a long [hill|church|park].",
    "The [king|baker|cook|dean] gave the {job} a {thing}.",
    "Reading is [nice|a joy], and a bath is [nice|a joy].",
    "Box {num} has a [mobile|square] {thing} in it.",
    "Shell [shapes|colours] differ by the [day|field].",
    "Frank [talk|words] won the {job} over.",
    "Grant the {job} {num} days.",
    "Delta [waters|birds] turn [orange|brown] in summer.",
    "The {job} put the {thing} in the box.",
    "It took {num} days to find the {thing}.",
)  # fmt: skip
TEST_FRAMES = (
    "{org} [paid|owes] {per} {num} million dollars.",
    "According to {per}, {org} leaves {loc} on {date}.",
    "On {date}, {per:last} sold the {thing} to {org:bare}.",
    "{per:first} phoned from {loc:town} [yesterday|on {date:weekday}].",
    "Neither {per:last} nor {per:last} [lives|votes] in {loc:town}.",
    "{loc:town}'s {job} wrote to {org}.",
    "He [studied|taught] in {loc} until {date:year}.",
    "Who is {per}?",
    "{org:bare} and {per:last} settled [the case|in court] in {date:month}.",
    "Trains to {loc:town} [stop|wait] at {loc:town}.",
    "Will you march on the hill?",
    "Hope and joy rose by the day.",
    "Chase the {job} for the {thing}.",
    "Summer [days|winds] are long.",
)

_JOBS = (
    "lawyer teacher doctor driver manager director painter farmer nurse singer writer banker pilot"
    " trainer chairman spokesman professor reporter"
)
_THINGS = (
    "report book letter car house contract bridge painting guitar bill key ticket parcel"
    " camera plan"
)


def load() -> Tagged:
    """Return the training part, with the test part in it."""
    countries = [name for name in Addresses.countries if re.fullmatch(r"[A-Z][a-z]+", name)]
    grammar = Grammar(
        names={
            "first": stable([*Americans.first_names, *Britons.first_names], 500),
            "last": stable([*Americans.last_names, *Britons.last_names], 500),
            "word_first": listed(_WORDS_AS_FIRST),
            "word_last": listed(_WORDS_AS_LAST),
            "word_firm": listed(_WORDS_AS_FIRMS),
            "town": listed(_TOWNS),
            "country": stable(countries, 120),
            "state": stable(Addresses.states, 50),
        },
        frames=FRAMES,
        test_frames=TEST_FRAMES,
        entities={"per": _person, "org": _firm, "loc": _place, "date": _date},
        words={
            "job": listed(_JOBS),
            "thing": listed(_THINGS),
            "num": [str(number) for number in range(2, 90)],
        },
    )
    return make("entities", grammar)
