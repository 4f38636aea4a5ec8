"""Who can log in where: the demo's identity providers with their accounts."""

from datetime import UTC, datetime, timedelta

import flask

from . import plan
from .citizens import REPRESENTATIVES, Representative
from .identity import Account, Broker, create_issuer, kids_of
from .papers import Papers

MANDATE_DAYS = 365


def applications(papers: Papers) -> list[flask.Flask]:
    """The providers, in the order of `plan.ISSUERS`."""
    return [
        create_issuer(_citizens(papers), _broker(papers))
        if issuer == plan.CITIZEN_ISSUER
        else create_issuer(_employees(issuer.id))
        for issuer in plan.ISSUERS
    ]


def _employees(issuer: str) -> list[Account]:
    return [Account(person.user, _claims(person)) for person in plan.EMPLOYEES if person.issuer == issuer]


def _claims(person: plan.Person) -> dict[str, object]:
    claims: dict[str, object] = {"name": person.name, "roles": [person.role], "team": person.team}
    # Opening with two asks of which organisation each officer is.
    return {**claims, "oin": person.oin} if person.oin else claims


def _citizens(papers: Papers) -> list[Account]:
    """Every citizen can log in by typing the user name; the listed ones have a button."""
    return [
        Account(
            citizen.user,
            {
                "name": citizen.name or citizen.user,
                "bsn": citizen.bsn,
                "birthdate": citizen.birth_date.isoformat(),
            },
            listed=bool(citizen.name),
        )
        for citizen in papers.world.citizens
    ] + [
        *(_representative(papers, login) for login in REPRESENTATIVES),
        *_employees(plan.CITIZEN_ISSUER.id),
    ]


def _representative(papers: Papers, login: Representative) -> Account:
    """A login that the broker lets speak for somebody else, as after DigiD Machtigen."""
    speaker, about = papers.world.by_user(login.speaker), papers.world.by_user(login.about)
    until = datetime.now(UTC) + timedelta(days=MANDATE_DAYS)
    represents = {
        "sub": about.bsn,
        "as": login.capacity,
        "evidence": login.evidence,
        "until": until.strftime("%Y-%m-%dT%H:%M:%SZ"),
    }
    claims = {"name": speaker.name, "bsn": speaker.bsn, "represents": represents}
    return Account(login.user, claims)


def _broker(papers: Papers) -> Broker:
    kids = kids_of([key.kid for key in papers.manifest.keys if key.state == "active"])
    return Broker(plan.BROKER_ID, papers.broker_key(), plan.PORTAL_NODE, kids, plan.COUNTER_ROLE)
