"""Invented citizens, in households, and what sources know of them. The same seed gives the same world.

Citizen service numbers are test numbers: they begin with 9999 and pass the
elfproef. Nobody has a name or address: nothing in the federation needs one.
A few listed citizens stand first and carry a story; the rest are drawn.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date

DEFAULT_SEED = 20261122
DEFAULT_COUNT = 1000
TODAY = date(2026, 11, 1)
"""Ages and months are drawn against this day, so that a seed means the same next year."""


@dataclass(frozen=True, slots=True)
class Citizen:
    """`user` is what one types at the login; it says nothing about the number."""

    bsn: str
    birth_date: date
    household: int
    user: str
    name: str = ""
    """Only the listed citizens have a first name, to log in by."""

    @property
    def age(self) -> int:
        had_birthday = (TODAY.month, TODAY.day) >= (self.birth_date.month, self.birth_date.day)
        return TODAY.year - self.birth_date.year - (0 if had_birthday else 1)


@dataclass(frozen=True, slots=True)
class Fact:
    """One row of a source's extract: that somebody is known there. Months are `YYYY-MM`."""

    node: str
    kind: str
    bsn: str
    local_ref: str
    since: str
    until: str = ""


@dataclass(frozen=True, slots=True)
class DemoChoice:
    """A choice about a citizen, made through the portal while the demo starts.

    `login` is who logs in for it: a parent or a representative; empty for the citizen.
    """

    user: str
    effect: str
    kind: str
    team: str
    purpose: str
    login: str = ""


@dataclass(frozen=True, slots=True)
class Representative:
    """A login that speaks for a citizen, as the broker proves it. `user` is what one types."""

    user: str
    speaker: str
    about: str
    capacity: str
    evidence: str


@dataclass(frozen=True, slots=True)
class World:
    citizens: tuple[Citizen, ...]
    facts: tuple[Fact, ...]
    choices: tuple[DemoChoice, ...]

    def by_user(self, user: str) -> Citizen:
        return next(citizen for citizen in self.citizens if citizen.user == user)

    def holders_of(self, child: Citizen) -> list[Citizen]:
        """Who has authority over a child: the grown-ups it lives with, two at most."""
        home = [citizen for citizen in self.citizens if citizen.household == child.household]
        return [citizen for citizen in home if citizen.age >= 18][:2]

    def facts_of(self, node: str) -> list[Fact]:
        return [fact for fact in self.facts if fact.node == node]


def test_numbers(rng: random.Random) -> Iterator[str]:
    """Unique test numbers: nine digits that begin with 9999 and pass the elfproef."""
    stems = list(range(99990000, 100000000))
    rng.shuffle(stems)
    for stem in stems:
        digits = [int(digit) for digit in str(stem)]
        check = sum(w * d for w, d in zip(range(9, 1, -1), digits, strict=True)) % 11
        if check != 10:
            yield f"{stem}{check}"


_Known = tuple[str, str, str]
"""Node, kind and month since when of one fact about a listed citizen."""

_LISTED: tuple[tuple[str, date, int, tuple[_Known, ...]], ...] = (
    (
        "Fatima",
        date(1987, 4, 12),
        1,
        (("schuldhulp", "schuldhulp", "2025-03"), ("werk-en-inkomen", "bijstand", "2024-09")),
    ),
    (
        "Yusuf",
        date(2014, 6, 3),
        1,
        (("jeugdhulp", "jeugdhulp", "2026-01"), ("leerplicht", "leerplicht", "2026-05")),
    ),
    (
        "Henk",
        date(1951, 11, 30),
        2,
        (("wmo", "wmo_voorziening", "2023-06"), ("werk-en-inkomen", "minima", "2026-01")),
    ),
    ("Maria", date(1990, 2, 17), 3, ()),
    ("Rosa", date(1979, 8, 5), 4, (("schuldhulp", "schuldhulp", "2026-02"),)),
    (
        "Emre",
        date(1996, 1, 22),
        5,
        (("werk-en-inkomen", "bijstand", "2025-11"), ("schuldhulp", "schuldhulp", "2026-04")),
    ),
    ("Nel", date(1944, 3, 9), 6, (("wmo", "wmo_voorziening", "2024-02"),)),
    ("Kofi", date(1983, 12, 1), 7, (("werk-en-inkomen", "minima", "2026-01"),)),
    ("Karim", date(1986, 9, 14), 8, ()),
    ("Lotte", date(1988, 2, 2), 8, (("werk-en-inkomen", "minima", "2026-02"),)),
    ("Daan", date(2012, 3, 20), 8, (("leerplicht", "leerplicht", "2026-09"),)),
    ("Noor", date(2018, 5, 14), 8, (("jeugdhulp", "jeugdhulp", "2026-04"),)),
    ("Bram", date(1971, 10, 8), 9, (("schuldhulp", "schuldhulp", "2025-06"),)),
    ("Ineke", date(1969, 6, 30), 10, ()),
    ("Greet", date(1940, 1, 4), 11, (("wmo", "wmo_voorziening", "2023-11"),)),
    ("Tom", date(1968, 12, 12), 12, ()),
)

REPRESENTATIVES = (
    Representative("ineke-voor-bram", "ineke", "bram", "bewindvoerder", "CCBR/2025/0481"),
    Representative("tom-voor-greet", "tom", "greet", "gemachtigde", "machtiging/2026/17"),
)

CHOICES = (
    DemoChoice("fatima", "grant", "schuldhulp", "wijkteam-noord", "huisbezoek"),
    DemoChoice("fatima", "grant", "bijstand", "wijkteam-noord", "huisbezoek"),
    DemoChoice("henk", "grant", "wmo_voorziening", "wijkteam-noord", "keukentafelgesprek"),
    DemoChoice("henk", "deny", "minima", "wijkteam-noord", "keukentafelgesprek"),
    DemoChoice("maria", "grant", "schuldhulp", "wijkteam-noord", "huisbezoek"),
    DemoChoice("emre", "grant", "schuldhulp", "inkomen", "casusoverleg"),
    DemoChoice("nel", "grant", "wmo_voorziening", "wijkteam-zuid", "huisbezoek"),
    DemoChoice("kofi", "grant", "minima", "wijkteam-noord", "huisbezoek"),
    DemoChoice("noor", "grant", "jeugdhulp", "wijkteam-noord", "", login="lotte"),
    DemoChoice("daan", "grant", "leerplicht", "wijkteam-noord", "", login="karim"),
    DemoChoice("bram", "grant", "schuldhulp", "wijkteam-noord", "", login="ineke-voor-bram"),
    DemoChoice("greet", "grant", "wmo_voorziening", "wijkteam-noord", "", login="tom-voor-greet"),
)


def generate(seed: int = DEFAULT_SEED, count: int = DEFAULT_COUNT) -> World:
    """The demo's people and what sources know of them.

    Args:
        seed: The same seed and count give the same world.
        count: Citizens in all, at least the listed ones.
    """
    # Not secret: a reproducible world is the point.
    rng = random.Random(seed)  # noqa: S311
    numbers = test_numbers(rng)
    refs = _References(rng)
    citizens: list[Citizen] = []
    facts: list[Fact] = []
    for name, born, household, known in _LISTED:
        citizen = Citizen(next(numbers), born, household, name.lower(), name)
        citizens.append(citizen)
        facts += [Fact(node, kind, citizen.bsn, refs.next(kind), since) for node, kind, since in known]
    household = len(_LISTED)
    while len(citizens) < count:
        household += 1
        for born in _household(rng)[: count - len(citizens)]:
            user = f"inwoner-{len(citizens) + 1:04d}"
            citizens.append(Citizen(next(numbers), born, household, user))
    for members in _households(citizens[len(_LISTED) :]):
        facts += _known_about(members, rng, refs)
    return World(tuple(citizens), tuple(facts), CHOICES)


class _References:
    """Local references as source systems write them: a letter and a year, never nine digits."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._next: dict[str, int] = {}

    def next(self, kind: str) -> str:
        self._next[kind] = self._next.get(kind, 0) + self._rng.randint(1, 3)
        return f"{kind[:2].upper()}-{self._next[kind]:05d}"


def _birth_date(rng: random.Random, youngest: int, oldest: int) -> date:
    return date(TODAY.year - rng.randint(youngest, oldest) - 1, rng.randint(1, 12), rng.randint(1, 28))


def _household(rng: random.Random) -> list[date]:
    """Birth dates of one household: alone, a couple, one or two parents with children."""
    shape = rng.random()
    if shape < 0.38:
        return [_birth_date(rng, 19, 90)]
    if shape < 0.58:
        return [_birth_date(rng, 25, 85) for _ in range(2)]
    parents = [_birth_date(rng, 24, 52) for _ in range(1 if shape < 0.72 else 2)]
    return parents + [_birth_date(rng, 0, 17) for _ in range(rng.choice((1, 1, 2, 2, 3, 4)))]


def _households(citizens: list[Citizen]) -> Iterator[list[Citizen]]:
    members: list[Citizen] = []
    for citizen in citizens:
        if members and members[0].household != citizen.household:
            yield members
            members = []
        members.append(citizen)
    if members:
        yield members


def _since(rng: random.Random) -> str:
    months = rng.randint(0, 40)
    year, month = divmod(TODAY.year * 12 + TODAY.month - 1 - months, 12)
    return f"{year}-{month + 1:02d}"


def _known_about(members: list[Citizen], rng: random.Random, refs: _References) -> Iterator[Fact]:
    """Facts about one household: money troubles come together, and the rest by age."""
    adults = [member for member in members if member.age >= 18]
    tight = rng.random() < 0.22

    def fact(node: str, kind: str, citizen: Citizen, until: str = "") -> Fact:
        return Fact(node, kind, citizen.bsn, refs.next(kind), _since(rng), until)

    for index, adult in enumerate(adults):
        if adult.age < 67 and rng.random() < (0.45 if tight else 0.03):
            yield fact("werk-en-inkomen", "bijstand", adult)
        if index == 0 and rng.random() < (0.7 if tight else 0.06):
            yield fact("werk-en-inkomen", "minima", adult, "2027-12")
        if rng.random() < (0.4 if tight else 0.04):
            yield fact("schuldhulp", "schuldhulp", adult)
        if rng.random() < (0.35 if adult.age >= 70 else 0.05):
            yield fact("wmo", "wmo_voorziening", adult)
    for child in members:
        if child.age < 18 and rng.random() < (0.25 if tight else 0.1):
            yield fact("jeugdhulp", "jeugdhulp", child)
        if 5 <= child.age < 18 and rng.random() < 0.08:
            yield fact("leerplicht", "leerplicht", child)
