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

from .bsn import BadBsn
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
from .oversight import OwnOfficer, officer_id
from .portal.counter import Counter
from .portal.family import Family
from .portal.family import welcome as of_citizen
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
    "counter-gives-no-yes": "counter",
    "no-say": "say",
    "not-yours": "say",
    "no-evidence": "evidence",
    "no-authority": "evidence",
    "until-past": "past",
    "unknown-receiver": "receiver",
    "no-consent-for-purpose": "no_choice",
    "no-consent-for-kind": "no_choice",
    "choices-full": "full",
}
"""Codes about the asker and the sentence for each; any other code reads as "the rules"."""


@dataclass(frozen=True, slots=True)
class Guest:
    """Who is logged in at this node: who may look, who manages the source, a citizen, or the counter."""

    employee: Employee | None = None
    manages_source: bool = False
    citizen: CitizenSession | None = None
    """About whom choices are made now: oneself, or one of the family."""
    family: Family | None = None
    officer: OwnOfficer | None = None
    """The organisation's own privacy officer, who looks at nobody."""
    counter: Counter | None = None
    """At a counter, which opens nothing: whoever has one is never here as a citizen too."""
    name: str = field(default="", repr=False)
    id: str = field(default="", repr=False)
    """Pseudonymous id of an employee at this node: tells two colleagues apart."""


NOT_NOW = {
    "age": "too_young",
    "age-unknown": "age_unknown",
    "curatele": "curatele",
    "deceased": "deceased",
    "mandate-over": "mandate_over",
    "measure-too-young": "measure_too_young",
    "mentorschap": "mentorschap",
    "not-your-subject": "not_your_subject",
    "number-changed": "number_changed",
    "parent-of-adult": "parent_of_adult",
    "wrong-evidence": "wrong_evidence",
}
"""Why this node lets nobody choose, and the page that says so. Nothing was recorded as given."""

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
        demo=node.environment == "test",
        trust_separation=node.trust_separation,
        tokens_file=node.tokens_file,
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
            claims=(login.bsn_claim, login.birthdate_claim, login.represents_claim)
            if "portal" in node.parts
            else (),
        ),
    )


def node_pages(node: NodeRuntime) -> tuple[NodePages, APIRouter]:
    """All pages of this node's parts, ready to be included.

    The first of the pair has `missing`, for the process's 404 handler.
    """
    from .desk.choice_pages import router as choice_router
    from .desk.pages import router as desk_router
    from .officer_pages.pages import router as officer_router
    from .portal.code_pages import router as code_router
    from .portal.counter_pages import router as counter_router
    from .portal.declare_pages import router as declare_router
    from .portal.lock_pages import router as lock_router
    from .portal.pages import router as portal_router
    from .source_pages.pages import router as source_router

    portal = "portal" in node.settings.parts
    site = "site.portal" if portal else "site.desk" if node.settings.parts == {"desk"} else "site.staff"
    if node.settings.parts == {"source"}:
        site = "site.source"

    async def welcome(identity: Identity) -> Guest:
        if not portal:
            return await _colleague(node, identity)
        if _works_at_counter(node.settings, identity):
            return Guest(counter=Counter(node, identity), name=identity.name)
        family = await of_citizen(node, identity)
        return Guest(citizen=family.own, family=family, name=identity.name)

    async def farewell(guest: Guest) -> None:
        for session in guest.family.sessions() if guest.family else []:
            node.citizens.close(session)
        if guest.counter is not None:
            guest.counter.finish()

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
        routes.include_router(code_router(pages, node))
        routes.include_router(declare_router(pages, node))
        routes.include_router(lock_router(pages, node))
    if node.settings.counter is not None:
        routes.include_router(counter_router(pages, node))
    if "desk" in node.settings.parts:
        routes.include_router(desk_router(pages, node))
        routes.include_router(choice_router(pages, node))
    if "source" in node.settings.parts:
        routes.include_router(source_router(pages, node))
    if not portal:
        routes.include_router(officer_router(pages, node))
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
        case NotAllowed(reason=reason) if reason in NOT_NOW:
            return State(NOT_NOW[reason], 403)
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


def _works_at_counter(settings: NodeSettings, identity: Identity) -> bool:
    """Whether this login is of the counter and of nobody else.

    Raises:
        NotForYou: It is of a citizen as well: one login is in one capacity.
    """
    login, counter = settings.login, settings.counter
    if login is None or counter is None or counter.role not in identity.roles:
        return False
    if login.bsn_claim in identity.claims or login.represents_claim in identity.claims:
        raise NotForYou
    return True


async def _colleague(node: NodeRuntime, identity: Identity) -> Guest:
    """An employee with the first of their roles that may look, a manager of the source, both, or the officer.

    Whoever looks or manages is not the officer too: nobody reviews their own work.

    Raises:
        NotForYou: None of these.
    """
    settings = node.settings
    manages = "source" in settings.parts and settings.source_role in identity.roles
    role = _looking_role(node, identity.roles) if "desk" in settings.parts else ""
    if settings.officer_role in identity.roles and not role and not manages:
        return Guest(
            officer=OwnOfficer(officer_id(node.keys.secret, identity.subject), identity.name),
            name=identity.name,
        )
    if not role and not manages:
        raise NotForYou
    id_ = employee_id(node.keys.secret, identity.subject)
    employee = Employee(id_, role, identity.team, identity.name) if role else None
    return Guest(employee, manages, name=identity.name, id=id_)


def _looking_role(node: NodeRuntime, roles: Iterable[str]) -> str:
    """The first role in the vocabulary's order that has a purpose to look for."""
    held = set(roles)
    return next((role.code for role in node.vocabulary.roles if role.code in held and role.purposes), "")
