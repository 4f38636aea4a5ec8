"""The pages of a node: who may come in, which parts it has, which error reads how.

    login -> checked claims -> employee, or citizen with a session at the hub -> pages of this node's parts

The citizen's number is read from the claims here, goes at once to the citizen
session and is kept by nothing on these pages.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from fastapi import APIRouter

from consent.pages import Identity, LoginSettings, Pages, PageSettings, State
from consent.pages.pages import NotForYou

from .ages import birth_date
from .bsn import BadBsn, Bsn
from .citizen import CitizenSession
from .employees import Employee, employee_id
from .errors import (
    CrisisSettled,
    HolderLied,
    HolderRefused,
    HoldersUnreachable,
    HubUnreachable,
    LoginExpired,
    NotAllowed,
    ReceiptInvalid,
    Refused,
    UnknownCrisis,
    UnknownVisit,
)
from .portal.grant import fetch_grant
from .runtime import NodeRuntime
from .settings import NodeSettings

REASONS = {
    "role": "role",
    "not-allowed": "role",
    "role-not-allowed": "role",
    "purpose": "purpose",
    "purpose-not-allowed": "purpose",
    "scopes": "purpose",
    "scopes-refused": "purpose",
    "no-relation": "case",
    "no_relation": "case",
    "ticket": "case",
    "ticket-refused": "case",
    "case": "case",
    "team": "team",
    "over-rate": "budget",
    "same-employee": "own",
    "declare-again": "urgent",
}
"""Codes about the asker and the sentence for each; any other code reads as "the rules"."""


@dataclass(frozen=True, slots=True)
class Guest:
    """Who is logged in at this node: an employee who may look, a manager of the source, or a citizen."""

    employee: Employee | None = None
    manages_source: bool = False
    citizen: CitizenSession | None = None
    name: str = field(default="", repr=False)


NodePages = Pages[Guest]


def page_settings(node: NodeSettings) -> PageSettings:
    """The pages' settings as the node's own settings imply them.

    Raises:
        ValueError: The node has no login, or an address in it is not safe.
    """
    login = node.login
    if login is None:
        raise ValueError("the pages of a node need [login]")
    return PageSettings(
        process_id=node.node_id.replace(".", "-")[:40],
        origin=node.url,
        demo=node.practice,
        trust_separation=node.trust_separation,
        login=LoginSettings(
            issuer=login.issuer,
            client_id=login.client_id,
            client_auth="client_secret_basic" if login.client_secret_file else "none",
            client_secret_file=login.client_secret_file,
            scope=login.scope,
            required_acr=(login.acr,) if login.acr else (),
            subject_claim=login.subject_claim,
            role_claim=login.role_claim,
            team_claim=login.team_claim,
            name_claim=login.name_claim,
            claims=(login.bsn_claim, login.birthdate_claim) if "portal" in node.parts else (),
        ),
    )


def node_pages(node: NodeRuntime) -> tuple[NodePages, APIRouter]:
    """All pages of this node's parts, ready to be included.

    The first of the pair has `missing`, for the process's 404 handler.
    """
    from .desk.pages import router as desk_router
    from .portal.pages import router as portal_router
    from .source_pages.pages import router as source_router

    portal = "portal" in node.settings.parts
    site = "site.portal" if portal else "site.desk" if node.settings.parts == {"desk"} else "site.staff"
    if node.settings.parts == {"source"}:
        site = "site.source"

    async def welcome(identity: Identity) -> Guest:
        return await (_citizen if portal else _colleague)(node, identity)

    async def farewell(guest: Guest) -> None:
        if guest.citizen is not None:
            node.citizens.close(guest.citizen)

    pages: NodePages = Pages(
        page_settings(node.settings),
        welcome=welcome,
        farewell=farewell,
        templates=("nodes.desk", "nodes.portal", "nodes.source_pages"),
        judge=judge,
        site=site,
        door="portal/door.html" if portal else "desk/door.html",
    )
    routes = pages.router()
    if portal:
        routes.include_router(portal_router(pages, node))
    if "desk" in node.settings.parts:
        routes.include_router(desk_router(pages, node))
    if "source" in node.settings.parts:
        routes.include_router(source_router(pages, node))
    return pages, routes


def judge(error: Exception) -> State | None:
    """Which plain sentence an error gets; None for a surprise, which gets an id."""
    match error:
        case HoldersUnreachable() | HolderLied() | HolderRefused():
            return State("holders_down", 503)
        case HubUnreachable():
            return State("hub_down", 503)
        case ReceiptInvalid():
            return State("not_proven", 502)
        case NotAllowed(reason="age"):
            return State("too_young", 403)
        case Refused(reason=reason):
            return State("refused", 403, {"reason": REASONS.get(reason, "other")})
        case NotAllowed(reason=reason):  # said by this node: no hub recorded it
            return State("not_allowed", 403, {"reason": REASONS.get(reason, "other")})
        case UnknownVisit():
            return State("visit_over", 404)
        case UnknownCrisis() | CrisisSettled():
            return State("crisis_settled", 409)
        case LoginExpired():
            return State("expired", 401)
        case BadBsn():
            return State("no_number", 403)
        case _:
            return None


async def _colleague(node: NodeRuntime, identity: Identity) -> Guest:
    """An employee with the first of their roles that may look, or a manager of the source, or both.

    Raises:
        NotForYou: Neither.
    """
    settings = node.settings
    manages = "source" in settings.parts and settings.source_role in identity.roles
    role = _looking_role(node, identity.roles) if "desk" in settings.parts else ""
    if not role and not manages:
        raise NotForYou
    employee = (
        Employee(employee_id(node.keys.secret, identity.subject), role, identity.team, identity.name)
        if role
        else None
    )
    return Guest(employee, manages, name=identity.name)


def _looking_role(node: NodeRuntime, roles: Iterable[str]) -> str:
    """The first role in the vocabulary's order that has a purpose to look for."""
    held = set(roles)
    return next((role.code for role in node.vocabulary.roles if role.code in held and role.purposes), "")


async def _citizen(node: NodeRuntime, identity: Identity) -> Guest:
    """A citizen, with a session at the hub under the broker's grant. The number ends here.

    Raises:
        BadBsn: The login gave no citizen service number.
    """
    login = node.settings.login
    bsn = Bsn.parse(identity.claims.get(login.bsn_claim if login else "bsn"))
    born = birth_date(identity.claims.get(login.birthdate_claim if login else "birthdate"))
    grant = await fetch_grant(node.settings, identity.id_token)
    return Guest(citizen=await node.citizens.open(bsn, grant, born), name=identity.name)
