"""What a running demo tells about itself: one JSON object for tests, a page of text for people.

Source: docs/design/design.md, "Interfaces", `demo --json`.
"""

from typing import Any

from . import plan
from .citizens import REPRESENTATIVES, Citizen
from .papers import Papers

PATHS = {"desk": "/", "portal": "/", "source": "/", "officer": "/"}
CITIZEN_ROLE = "burger"


def pages(base: int) -> dict[str, str | None]:
    """Where each role begins; None for a page that does not exist."""
    hub = plan.url(base, plan.HUB_OFFSET)
    return {
        "desk": plan.url(base, plan.node(plan.DESK_NODE).offset) + PATHS["desk"],
        "portal": plan.url(base, plan.node(plan.PORTAL_NODE).offset) + PATHS["portal"],
        "source": plan.url(base, plan.node(plan.SOURCE_NODE).offset) + PATHS["source"],
        "officer": hub + PATHS["officer"],
    }


def page_of(person: plan.Person, base: int) -> str:
    """The page where one person begins: their own organisation's."""
    if not person.node:
        return plan.url(base, plan.HUB_OFFSET) + PATHS[person.page]
    return plan.url(base, plan.node(person.node).offset) + PATHS[person.page]


def description(papers: Papers) -> dict[str, Any]:
    """The object of `demo --json`."""
    base = papers.base
    return {
        "hub": {"url": plan.url(base, plan.HUB_OFFSET)},
        "keyholders": [
            {"id": holder.id, "organisation": holder.name, "url": plan.url(base, holder.offset)}
            for holder in plan.HOLDERS
        ],
        "nodes": [_node(papers, node) for node in plan.NODES],
        "pages": pages(base),
        "people": [*(_employee(person, base) for person in plan.EMPLOYEES), *_citizen_people(papers)],
        "citizens": [_citizen(papers, citizen) for citizen in papers.world.citizens],
        "trustSeparation": "none",
    }


def _node(papers: Papers, node: plan.Node) -> dict[str, Any]:
    key_file = papers.api_key_file(node.id)
    return {
        "id": node.id,
        "organisation": plan.organisation(node.oin).name,
        "oin": node.oin,
        "parts": list(node.parts),
        "kinds": list(node.kinds),
        "url": plan.url(papers.base, node.offset),
        "apiKey": key_file.read_text().strip() if key_file.exists() else None,
    }


def _employee(person: plan.Person, base: int) -> dict[str, Any]:
    issuer = next(entry for entry in plan.ISSUERS if entry.id == person.issuer)
    return {
        "name": person.name,
        "role": person.role,
        "node": person.node or None,
        "page": page_of(person, base),
        "login": {"user": person.user, "issuer": plan.url(base, issuer.offset)},
    }


def _citizen_login(citizen: Citizen, base: int) -> dict[str, str]:
    return {"user": citizen.user, "issuer": plan.url(base, plan.CITIZEN_ISSUER.offset)}


def _citizen_people(papers: Papers) -> list[dict[str, Any]]:
    return [
        {
            "name": citizen.name,
            "role": CITIZEN_ROLE,
            "node": plan.PORTAL_NODE,
            "page": pages(papers.base)["portal"],
            "login": _citizen_login(citizen, papers.base),
        }
        for citizen in papers.world.citizens
        if citizen.name
    ]


def _citizen(papers: Papers, citizen: Citizen) -> dict[str, Any]:
    return {
        "bsn": citizen.bsn,
        "birthDate": citizen.birth_date.isoformat(),
        "flags": [
            {"kind": fact.kind, "node": fact.node} for fact in papers.world.facts if fact.bsn == citizen.bsn
        ],
        "choices": [
            {"effect": choice.effect, "kind": choice.kind, "receiver": choice.team, "purpose": choice.purpose}
            for choice in papers.world.choices
            if choice.user == citizen.user
        ],
        "login": _citizen_login(citizen, papers.base),
        "representatives": [
            {"user": login.user, "as": login.capacity}
            for login in REPRESENTATIVES
            if login.about == citizen.user
        ],
    }


def text(papers: Papers) -> str:
    """Where to click and as whom to log in."""
    at = pages(papers.base)
    fatima, rosa = papers.world.by_user("fatima"), papers.world.by_user("rosa")
    return f"""
Vlagwijzer draait. Oefenomgeving: geen echte mensen, en alles draait bij één partij.

  wie                     waar                             inloggen als
  medewerker wijkteam     {at["desk"]:<32} jan
  inwoner                 {at["portal"]:<32} fatima (of henk, rosa, emre, ...)
  balie                   {at["portal"]:<32} loes
  bron (schuldhulp)       {at["source"]:<32} bea
  privacy-medewerker      {at["officer"]:<32} olga, of otto (van een andere organisatie)
  idem, van het wijkteam  {at["desk"]:<32} ria

Probeer dit:
  1. Log in als jan, kies Huisbezoek, zaaknummer Z-1, nummer {fatima.bsn} (Fatima).
     U ziet Bijstand en Hulp bij schulden. Bij {rosa.bsn} (Rosa) ziet u niets: zij zei nog geen ja.
  2. Log in als fatima, bij Wie mag wat zien: Wijkteam Noord, alle onderwerpen, Nee.
     Kijk als jan opnieuw: er is niets zichtbaar.
  3. Kijk als fatima bij Wie heeft gekeken: beide keren staan erin.
  4. Log in als lotte: bij Voor wie kiest u staan Noor (8) en Daan (14). Daan zegt zelf ook ja of nee.
     Log in als ineke-voor-bram (bewindvoerder, alleen geld) of tom-voor-greet (gemachtigde).
  5. Kies als jan Direct gevaar en vul het nummer van Rosa in. Bevestig dat als aisha bij Te bevestigen
     (of als carla, van de crisisdienst). Olga ziet het bij Spoed nakijken, Rosa bij Wie heeft gekeken.
     Vraag als olga bij De lijst uitleg over een keer kijken: de medewerker ziet dat bij Vragen aan u.
     Openen met twee: olga vraagt het voor een regel, otto keurt het goed, Fatima ziet het in haar lijst.
     Ria ziet alleen wat haar eigen organisatie deed.
     Nieuwe regels: vlagwijzer policy publish MAP --settings {papers.folder}/hub/hub.toml --author olga
     --key {papers.folder}/people/olga.key. Otto en ria keuren ze goed, bij Regels, met hun eigen sleutel.
  6. Log in als loes (balie): zij controleert wie iemand is en helpt inzien of stoppen, nooit met een ja.
  7. Stop twee sleutelhouders en kijk opnieuw: er is niets bekeken.
       kill $(cat {papers.folder}/keyholders/{{ombudsman,waterschap}}/keyholder.pid)
     Start er weer een:
       vlagwijzer keyholder serve --config {papers.folder}/keyholders/waterschap/keyholder.toml

Alles van deze demo staat in {papers.folder}
Stoppen: Ctrl-C
"""
