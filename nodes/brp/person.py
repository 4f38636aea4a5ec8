"""One person as the BRP gives them, read strictly from its answer.

Not everything is known: an unknown day or month counts as the last possible
one, a birth date under investigation as unknown. Authority that is under
investigation or cannot be established is no authority.

Source: BRP API Personen 2, schemas Persoon, AbstractDatum and Gezagsrelatie.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any, Protocol

from nodes.ages import birth_date
from nodes.bsn import BadBsn, Bsn

QUERY = "RaadpleegMetBurgerservicenummer"
FIELDS = ("burgerservicenummer", "geboorte.datum", "gezag", "indicatieCurateleRegister")
"""What is asked, and no more. Death and other reasons for `opschortingBijhouding` come by themselves."""
MOST = 20
"""Numbers in one question, by the schema."""

_DIED = "O"
_WITHDRAWN = frozenset({"F", "W"})


class NotUnderstood(ValueError):
    """An answer that is not in the documented form. Names the field, never a value."""


@dataclass(frozen=True, slots=True)
class Authority:
    """Who has authority over one child: one or two parents, a parent and another, or guardians."""

    child: Bsn = field(repr=False)
    holders: tuple[Bsn, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
class BrpPerson:
    """`born` is the latest day it can have been; None when the year is unknown.

    `withdrawn`: the number is no longer of a person, for it was changed or made
    in error. `authority` lists the relations this person has part in, as child
    or as holder.
    """

    bsn: Bsn = field(repr=False)
    born: date | None = field(repr=False)
    deceased: bool = False
    withdrawn: bool = False
    curatele: bool = False
    authority: tuple[Authority, ...] = field(default=(), repr=False)

    def children(self) -> list[Bsn]:
        """Children this person has authority over, each once."""
        found: list[Bsn] = []
        for relation in self.authority:
            if self.bsn in relation.holders and relation.child not in found:
                found.append(relation.child)
        return found

    def is_child_of(self, holder: Bsn) -> bool:
        """Whether `holder` has authority over this person, by this person's own record."""
        return any(relation.child == self.bsn and holder in relation.holders for relation in self.authority)


class Brp(Protocol):
    """Where it is asked. Thread-safe; keeps no answer."""

    async def persons(self, bsns: Sequence[Bsn], fields: Sequence[str] = FIELDS) -> list[BrpPerson | None]:
        """What is known of each, in the order asked; None for a number it does not know.

        Args:
            bsns: 1 to `MOST`, each once.
            fields: What is asked; who needs less asks less.

        Raises:
            BrpUnavailable: It cannot be asked, or its answer cannot be relied on as a whole.
        """


def read_answer(answer: object, asked: Sequence[Bsn]) -> list[BrpPerson | None]:
    """The persons of an answer, in the order asked.

    1 it is an answer to this question   2 each record is of somebody asked, and of each one at most
    3 every field has the documented form

    Raises:
        NotUnderstood: At any step; nothing of the answer may then be used.
    """
    if not isinstance(answer, Mapping) or answer.get("type") != QUERY:  # 1
        raise NotUnderstood("type")
    found: list[BrpPerson | None] = [None] * len(asked)
    for record in _records(answer.get("personen"), "personen"):
        number = _bsn(record.get("burgerservicenummer"), "burgerservicenummer")
        place = next((at for at, bsn in enumerate(asked) if bsn == number), None)
        if place is None or found[place] is not None:  # 2
            raise NotUnderstood("burgerservicenummer")
        found[place] = _person(number, record)  # 3
    return found


def _person(bsn: Bsn, record: Mapping[str, Any]) -> BrpPerson:
    ended = _part(record, "opschortingBijhouding")
    code = _part(ended, "reden").get("code", "")
    curatele = record.get("indicatieCurateleRegister", False)
    if not isinstance(code, str) or not isinstance(curatele, bool):
        raise NotUnderstood("opschortingBijhouding or indicatieCurateleRegister")
    return BrpPerson(
        bsn=bsn,
        born=_born(_part(record, "geboorte")),
        deceased=code == _DIED or bool(record.get("overlijden")),
        withdrawn=code in _WITHDRAWN,
        curatele=curatele,
        authority=tuple(_authorities(_records(record.get("gezag", []), "gezag"))),
    )


def _born(birth: Mapping[str, Any]) -> date | None:
    if "datum" not in birth or _part(birth, "inOnderzoek").get("datum"):
        return None
    given = _part(birth, "datum")
    match given.get("type"):
        case "Datum":
            text = given.get("datum")
        case "JaarMaandDatum":
            text = f"{_number(given, 'jaar'):04d}-{_number(given, 'maand'):02d}-00"
        case "JaarDatum":
            text = f"{_number(given, 'jaar'):04d}"
        case "DatumOnbekend":
            return None
        case _:
            raise NotUnderstood("geboorte.datum")
    born = birth_date(text)
    if born is None:
        raise NotUnderstood("geboorte.datum")
    return born


def _authorities(relations: Sequence[Mapping[str, Any]]) -> Iterator[Authority]:
    for relation in relations:
        match relation.get("type"):
            case "TweehoofdigOuderlijkGezag" | "GezamenlijkOuderlijkGezag":
                people = _records(relation.get("ouders", []), "gezag.ouders")
            case "EenhoofdigOuderlijkGezag":
                people = [_part(relation, "ouder")]
            case "GezamenlijkGezag":
                people = [_part(relation, "ouder"), _part(relation, "derde")]
            case "Voogdij":
                people = _records(relation.get("derden", []), "gezag.derden")
            case "TijdelijkGeenGezag" | "GezagNietTeBepalen":
                continue
            case _:
                raise NotUnderstood("gezag.type")
        if relation.get("inOnderzoek"):
            continue
        child = _bsn(_part(relation, "minderjarige").get("burgerservicenummer"), "gezag.minderjarige")
        # Somebody without a number, such as an unknown third party, cannot log in and is left out.
        holders = [
            _bsn(person["burgerservicenummer"], "gezag")
            for person in people
            if "burgerservicenummer" in person
        ]
        yield Authority(child, tuple(holders))


def _records(value: object, name: str) -> list[Mapping[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(item, Mapping) for item in value):
        raise NotUnderstood(name)
    return value


def _part(record: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = record.get(name, {})
    if not isinstance(part, Mapping):
        raise NotUnderstood(name)
    return part


def _number(record: Mapping[str, Any], name: str) -> int:
    value = record.get(name)
    if type(value) is not int or not 0 < value < 10_000:
        raise NotUnderstood(name)
    return value


def _bsn(text: object, name: str) -> Bsn:
    try:
        return Bsn.parse(text)
    except BadBsn:
        raise NotUnderstood(name) from None
