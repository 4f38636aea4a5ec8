"""A small world behind the pages: a node and a log whose answers a test sets, served on loopback.

The pages, the login, the sessions and the browser are real. What a node would
fetch from the hub is set here, so that each state of each screen can be shown.
"""

import contextlib
import socket
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI

from consent.pages import LoginSettings, PageSettings
from consent.receipt import Receipt
from index import indicators, inquiries, notices, openings, policies, replaying
from index.erasing import Term
from index.office_hours import (
    BeginView,
    Drawn,
    OrganisationView,
    RetentionView,
    RulesView,
    SampleView,
    Silent,
    months_before,
)
from index.office_hours import Change as RulesChange
from index.officer import LogCheck, OfficerLine, OfficerPage, OfficerQuery, Unconfirmed
from index.oversight import entry_told, inquiry_told, review_told
from index.protocol.directory import KindEntry, OrganisationEntry, TeamEntry
from index.protocol.messages import (
    OfficerActRequest,
    OwnEntriesAnswer,
    OwnEntriesRequest,
    OwnEntry,
    OwnExample,
    OwnKindThen,
    OwnPattern,
    OwnReplayAnswer,
    OwnSample,
    OwnWorkAnswer,
)
from index.protocol.policy import MandateInForce
from index.registers import Entry
from index.replay import Replayed
from index.reviews import Review, ReviewLine, ReviewList, YearFigure, year_figures
from index.sampling import Sample
from index.steering import Count, Figures
from index.web.pages import officer_pages, with_organisation
from nodes.assisted import GivenCode, Letter
from nodes.bsn import Bsn
from nodes.citizen import (
    Cell,
    Change,
    ChoiceView,
    CitizenSession,
    CodeView,
    Effects,
    EnteredView,
    LookLine,
    LooksView,
    Notice,
    OwnFlagView,
    Receiver,
    ReceiverView,
    RightView,
    Saved,
    Standing,
)
from nodes.connectors.rows import Mapped
from nodes.connectors.runs import Sources
from nodes.contacts import RequestView
from nodes.crises import Crisis, Declared
from nodes.deceased import Alive, Everybody
from nodes.declarations import Declared as DeclaredSubject
from nodes.disputes import DisputeView
from nodes.employees import Employee
from nodes.errors import BadInput, UnknownInquiry, UnknownReference, UnknownVisit
from nodes.follow_up import Item
from nodes.inquiries import InquiryView
from nodes.outbox import Outbox
from nodes.oversight import OwnOfficer
from nodes.pages import node_pages
from nodes.policy import InForce
from nodes.publication import Rules, month_after
from nodes.representation import OWN, Known, Speaker
from nodes.sender import Comparison
from nodes.settings import CsvSettings, NodeKeys, NodeSettings, OidcSettings, SourceSettings
from nodes.signals import SignalView
from nodes.source import Overview, OwnKind, RejectedView
from nodes.store.database import open_engine
from nodes.switching_off import SwitchingOff
from nodes.visits import FlagView, PersonView, Visit
from policy.decide import may_break_glass
from policy.engine import publish
from policy.replay import FEW, Moved
from policy.vocabulary import Kind, Way, load_vocabulary

WITH_FLAGS, WITHOUT, UNKNOWN = "999993653", "999990639", "999993872"
AT = datetime(2026, 11, 24, 13, 5, tzinfo=UTC)
GEMEENTE = "00000009990000000101"
SCHULDHULP = "00000009990000000202"
NOORD = Receiver(GEMEENTE, "wijkteam-noord")
VOCABULARY = load_vocabulary()
RULES = publish(VOCABULARY, version=1, organisation_classes=("gemeente",))
SECRET = Path(__file__).with_name("client-secret.txt")
"""The provider of these tests takes any secret, so any file will do."""


def flag(kind: str, **more: Any) -> FlagView:
    entry = VOCABULARY.kind(kind)
    values: dict[str, Any] = {
        "kind": kind,
        "label": entry.label,
        "domain": entry.domain,
        "zrm": entry.zrm,
        "since": "2025-03",
        "until": None,
        "name": "Schuldhulp Waterrijk",
        "desk": "14 000, keuze 4",
        "confirmed_on": date(2026, 11, 20),
        "self_declared": False,
        "disputed": False,
    }
    return FlagView(**{**values, **more})


FLAGS = [
    flag("schuldhulp"),
    flag("bijstand", name="Gemeente Waterrijk, afdeling Inkomen", disputed=True),
    flag("zelf_gemeld_geldzorgen", self_declared=True, name="", desk="", confirmed_on=None),
]


def view(flags: Sequence[FlagView] = (), **more: Any) -> PersonView:
    values: dict[str, Any] = {
        "present": bool(flags),
        "flags": list(flags),
        "silent": [],
        "more": False,
        "refused": "",
        "at": AT,
        "log_index": 7,
    }
    return PersonView(**{**values, **more})


@dataclass
class VisitsInMemory:
    """Visits whose answers come from `flags`; `fails` is raised instead of any answer."""

    flags: dict[str, list[FlagView]] = field(default_factory=lambda: {WITH_FLAGS: FLAGS})
    fails: Exception | None = None
    silent: list[str] = field(default_factory=list)
    refused: str = ""
    questions: list[tuple[str, str]] = field(default_factory=list)
    opened: dict[str, tuple[Visit, list[str]]] = field(default_factory=dict)
    decided: tuple[MandateInForce, ...] = ()
    works: Way = field(default_factory=lambda: Way("wijkteam-noord", "list"))

    async def mandates(self) -> tuple[MandateInForce, ...]:
        return self.decided

    async def way(self, employee: Employee, *, anew: bool = False) -> Way:
        if self.fails:
            raise self.fails
        return self.works

    async def open(
        self,
        employee: Employee,
        bsns: Sequence[Bsn],
        purpose: str,
        case_reference: str,
        until: datetime | None = None,
    ) -> Visit:
        if self.fails:
            raise self.fails
        visit = Visit(
            f"bezoek{'abcdefgh'[len(self.opened) % 8]}{'k' * (1 + len(self.opened) // 8)}",
            len(bsns),
            purpose,
            case_reference,
            AT,
            until or AT + timedelta(days=14),
        )
        self.opened[visit.id] = (visit, [bsn.reveal() for bsn in bsns])
        return visit

    async def look(
        self,
        employee: Employee,
        visit_id: str,
        persons: Sequence[int] | None = None,
        detail: str = "subjects",
    ) -> list[PersonView]:
        if self.fails:
            raise self.fails
        _, numbers = self._own(visit_id)
        self.questions.append((visit_id, detail))
        views = []
        for number in numbers:
            flags = [] if self.refused else self.flags.get(number, [])
            shown = view(flags, silent=self.silent, refused=self.refused)
            views.append(shown if detail == "subjects" else replace(shown, flags=[]))
        return views

    def _own(self, visit_id: str) -> tuple[Visit, list[str]]:
        if visit_id not in self.opened:
            raise UnknownVisit
        return self.opened[visit_id]

    async def close(self, employee: Employee, visit_id: str) -> None:
        self._own(visit_id)
        del self.opened[visit_id]

    async def renew(self, employee: Employee, visit_id: str, until: datetime | None = None) -> Visit:
        visit, numbers = self._own(visit_id)
        longer = replace(visit, until=visit.until + timedelta(days=14))
        self.opened[visit_id] = (longer, numbers)
        return longer

    async def of(self, employee: Employee) -> list[Visit]:
        return [visit for visit, _ in self.opened.values()]


@dataclass
class CrisesInMemory:
    """Break-glass of the desk, declared in the visits that stand beside it."""

    visits: VisitsInMemory
    waiting: list[Crisis] = field(default_factory=list)
    declared: list[tuple[str, str, bool]] = field(default_factory=list)
    words: list[tuple[str, str]] = field(default_factory=list)
    fails: Exception | None = None

    def may_declare(self, role: str) -> bool:
        return may_break_glass(VOCABULARY, role)

    def second_person_hours(self, employee: Employee) -> int:
        return VOCABULARY.limits.second_person_hours(employee.team, employee.role)

    async def declare(
        self, employee: Employee, bsns: Sequence[Bsn], reason: str, at_risk: str, incapable: bool
    ) -> Declared:
        visit = await self.visits.open(employee, bsns, "crisis", "c", AT + timedelta(hours=4))
        self.declared.append((reason, at_risk, incapable))
        return Declared(visit, AT + timedelta(hours=1))

    async def confirm(self, employee: Employee, crisis_id: str, word: str) -> None:
        if self.fails:
            raise self.fails
        self.words.append((crisis_id, word))
        self.waiting = [crisis for crisis in self.waiting if crisis.id != crisis_id]

    async def to_confirm(self, employee: Employee) -> list[Crisis]:
        return self.waiting


WAITING = [
    Crisis("ca", "Aisha", "generalist", "wijkteam-zuid", "kind_onveilig", AT, AT + timedelta(hours=1), ""),
    Crisis("cb", "Sjoerd", "crisisdienst", "nacht", "andere_reden", AT, AT + timedelta(hours=24), ""),
]


def cells(kinds: Sequence[str], receiver: Receiver, role: str, purposes: Sequence[str]) -> list[Cell]:
    return [
        Cell(kind, VOCABULARY.kind(kind).label, receiver.oin, receiver.team, role, purpose)
        for kind in kinds
        for purpose in purposes
    ]


ALL_KINDS = VOCABULARY.role("generalist").toestemming
VISITING = ("huisbezoek", "keukentafelgesprek")


CODE, LETTER = "K7WA2QXM", "BRTF4HZ9"


def entered_view(group: str = "form", effect: str = "grant", **more: Any) -> EnteredView:
    """What an employee of wijkteam Noord entered; a form that waits unless said otherwise."""
    values: dict[str, Any] = {
        "group": group,
        "effect": effect,
        "kind": "schuldhulp",
        "receiver": "Wijkteam Noord",
        "purpose": "huisbezoek" if effect == "grant" else "",
        "by": "Wijkteam Noord",
        "role": "generalist",
        "made_at": AT - timedelta(hours=5),
        "until": AT + timedelta(hours=67) if effect == "grant" else None,
        "in_force": True,
    }
    return EnteredView(**{**values, **more})


@dataclass
class AssistedInMemory:
    """What the desk's part of assisted consent does, without a hub."""

    done: bool = False
    refuses: Exception | None = None
    stopped: list[tuple[str, str]] = field(default_factory=list)
    forms: list[tuple[str, str]] = field(default_factory=list)
    lasts: timedelta = timedelta(minutes=10)

    async def give_code(self, employee: Employee, visit_id: str, person: int) -> GivenCode:
        portal = "http://localhost:8626"
        return GivenCode(CODE, f"{portal}/code/{CODE}", portal, AT + self.lasts)

    async def is_done(self, employee: Employee, visit_id: str, person: int) -> bool:
        return self.done

    async def subjects(self, employee: Employee, visit_id: str) -> list[Kind]:
        return [kind for kind in VOCABULARY.kinds if kind.consent_possible]

    async def form_subjects(self, employee: Employee, visit_id: str) -> list[Kind]:
        return [kind for kind in await self.subjects(employee, visit_id) if not kind.art9_or_10]

    async def stop(
        self, employee: Employee, visit_id: str, person: int, *, effect: str, kind: str, text: str
    ) -> None:
        self.stopped.append((effect, kind))

    async def enter_form(
        self, employee: Employee, visit_id: str, person: int, *, kind: str, reference: str, **_: Any
    ) -> Letter:
        if self.refuses:
            raise self.refuses
        self.forms.append((kind, reference))
        until = AT + timedelta(hours=72)
        return Letter(LETTER, "http://localhost:8626", kind, "huisbezoek", employee.team, AT, until)


@dataclass
class DeclarationsInMemory:
    """The closed list of one citizen."""

    states: dict[str, str] = field(default_factory=dict)

    @property
    def kinds(self) -> list[Kind]:
        return [kind for kind in VOCABULARY.kinds if kind.self_declared]

    async def of(self, session: CitizenSession) -> list[DeclaredSubject]:
        return [self._one(kind.code) for kind in self.kinds]

    def _one(self, kind: str) -> DeclaredSubject:
        until = "2027-01" if kind in self.states else None
        return DeclaredSubject(kind, self.states.get(kind, "none"), until)  # type: ignore[arg-type]

    def last_month(self, session: CitizenSession, months: int) -> str:
        return month_after(AT.date(), months - 1)

    async def declare(self, session: CitizenSession, kind: str, months: int) -> DeclaredSubject:
        self.states[kind] = "declared"
        return self._one(kind)

    async def take_back(self, session: CitizenSession, kind: str) -> DeclaredSubject:
        self.states.pop(kind, None)
        return self._one(kind)


@dataclass
class CitizensInMemory:
    """One citizen's choices, flags and log, as a test sets them."""

    fails: Exception | None = None
    granted: dict[str, tuple[str, ...]] = field(default_factory=dict)
    known: list[OwnFlagView] = field(default_factory=list)
    rights: list[RightView] = field(default_factory=list)
    lines: list[LookLine] = field(default_factory=list)
    verified: bool = True
    opened_with: list[str] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    told: list[Notice] = field(default_factory=list)
    said_for: list[tuple[Speaker, datetime]] = field(default_factory=list)
    counters: list[str] = field(default_factory=list)
    """Of each session opened: the employee of the counter, empty for a citizen's own."""
    closed: list[CitizenSession] = field(default_factory=list)
    undoing: Effects = field(default_factory=lambda: Effects([], [], []))
    by_employees: list[EnteredView] = field(default_factory=list)
    locks: dict[str, str] = field(default_factory=dict)
    by_code: list[bool] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    confirmed: list[tuple[str, int]] = field(default_factory=list)

    async def open(
        self,
        bsn: Bsn,
        grant: str,
        born: date | None,
        *,
        known: Known,
        speaker: Speaker = OWN,
        counter: str = "",
    ) -> CitizenSession:
        if self.fails:
            raise self.fails
        self.opened_with.append(grant)
        self.counters.append(counter)
        return CitizenSession("ticket", [], AT, known, speaker, counter=counter)

    async def establish(self, session: CitizenSession, speaker: Speaker, until: datetime) -> Saved:
        if self.fails:
            raise self.fails
        self.said_for.append((speaker, until))
        return Saved("eyJ.bewijs.wie", "wie", AT)

    async def notices(self, session: CitizenSession) -> list[Notice]:
        return self.told

    def close(self, session: CitizenSession) -> None:
        self.opened_with.clear()
        self.closed.append(session)

    def receivers(self) -> list[ReceiverView]:
        return [
            ReceiverView(NOORD, "Wijkteam Noord"),
            ReceiverView(Receiver(SCHULDHULP, "schuldhulp"), "Schuldhulp"),
        ]

    def _visible(self) -> list[Cell]:
        return [
            cell for kinds in self.granted.values() for cell in cells(kinds, NOORD, "generalist", VISITING)
        ]

    async def standing(self, session: CitizenSession) -> Standing:
        if self.fails:
            raise self.fails
        law = cells(
            ["schuldhulp", "bijstand"], Receiver(SCHULDHULP, "schuldhulp"), "schuldhulpverlener", VISITING
        )
        possible = cells(ALL_KINDS, NOORD, "generalist", VISITING)
        possible += cells(["ww"], Receiver(SCHULDHULP, "schuldhulp"), "schuldhulpverlener", VISITING)
        return Standing(self._visible(), law, possible)

    async def what_is_known(self, session: CitizenSession) -> tuple[list[OwnFlagView], list[RightView]]:
        shown = [
            replace(flag, rights=tuple(right for right in self.rights if right.kind == flag.kind))
            for flag in await self.flags(session)
        ]
        kinds = {flag.kind for flag in shown}
        return shown, [right for right in self.rights if right.kind not in kinds]

    def may_object(self, kind: str) -> bool:
        return "wettelijke_taak" in VOCABULARY.kind(kind).bases

    async def use_right(
        self, session: CitizenSession, right: Any, kind: str, publisher: int, text_shown: str
    ) -> Saved:
        self.texts.append(text_shown)
        self.rights.append(a_right(right, kind, publisher=publisher))
        return Saved("eyJ.recht.bewijs", self.rights[-1].group, AT)

    async def end_right(self, session: CitizenSession, group: str, right: Any, text_shown: str) -> Saved:
        self.rights = [one for one in self.rights if one.group != group]
        return Saved("eyJ.recht.einde", group, AT)

    async def preview(self, session: CitizenSession, change: Change, code: CodeView | None = None) -> Effects:
        kinds = [change.kind] if change.kind else list(ALL_KINDS)
        seen = {kind for kinds in self.granted.values() for kind in kinds}
        law = cells(["schuldhulp"], Receiver(SCHULDHULP, "schuldhulp"), "schuldhulpverlener", VISITING)
        if change.effect == "grant":
            new = [kind for kind in kinds if kind not in seen]
            return Effects(cells(new, NOORD, "generalist", VISITING), [], law)
        gone = [kind for kind in kinds if kind in seen]
        return Effects([], cells(gone, NOORD, "generalist", VISITING), law)

    async def open_code(self, session: CitizenSession, code: str) -> CodeView:
        if code != CODE:
            raise BadInput("code", "code")
        return CodeView(
            code,
            ReceiverView(NOORD, "Wijkteam Noord"),
            "generalist",
            "huisbezoek",
            ("geld", "werk", "zorg", "jeugd", "onderwijs"),
            AT + timedelta(days=14),
        )

    async def code_done(self, session: CitizenSession, code: str) -> None:
        self.done.append(code)

    async def entered(self, session: CitizenSession, *, fresh: bool = True) -> list[EnteredView]:
        return self.by_employees

    async def form_of(self, session: CitizenSession, code: str) -> EnteredView:
        if code != LETTER:
            raise BadInput("code", "code")
        return next(view for view in self.by_employees if view.waits)

    async def confirm(self, session: CitizenSession, group: str, months: int, text_shown: str) -> Saved:
        self.confirmed.append((group, months))
        self.by_employees = [view for view in self.by_employees if view.group != group]
        return Saved("eyJ.bewijs.form", "bevestigd", AT)

    async def choose(
        self, session: CitizenSession, change: Change, text_shown: str, code: CodeView | None = None
    ) -> Saved:
        self.by_code.append(code is not None)
        if self.fails:
            raise self.fails
        self.changes.append(change)
        self.texts.append(text_shown)
        kinds = (change.kind,) if change.kind else ALL_KINDS
        if change.effect == "slot":
            self.locks[f"keuze{len(self.changes)}"] = change.domain
        if change.effect == "grant":
            self.granted[f"keuze{len(self.changes)}"] = tuple(kinds)
        else:
            self.granted = {
                group: tuple(kind for kind in had if kind not in kinds) for group, had in self.granted.items()
            }
        return Saved("eyJ.bewijs.abc", f"keuze{len(self.changes)}", AT)

    async def closed_to(self, classes: Sequence[str]) -> bool:
        return True

    async def preview_withdrawal(self, session: CitizenSession, group: str) -> Effects:
        return self.undoing

    async def stop_all(self, session: CitizenSession, text_shown: str) -> Saved | None:
        had, self.granted = self.granted, {}
        return Saved("eyJ.bewijs.alles", "alles", AT) if had else None

    async def receipts(self, session: CitizenSession) -> dict[str, tuple[str, Receipt]]:
        return {}

    async def rules(self) -> InForce:
        return InForce(RULES, {}, 1)

    async def own_log(
        self, session: CitizenSession, wait_s: float = 0.0
    ) -> tuple[LooksView, dict[str, bytes]]:
        return await self.looks(session), {"lines.jsonl": b"", "lids.json": b"{}", "policy.txt": b""}

    async def withdraw(self, session: CitizenSession, group: str, text_shown: str) -> Saved:
        self.granted.pop(group, None)
        self.locks.pop(group, None)
        return Saved("eyJ.bewijs.terug", "terug", AT)

    async def choices(self, session: CitizenSession) -> list[ChoiceView]:
        locks = [
            ChoiceView(group, "slot", "", domain, Receiver(), "", AT, None, True)
            for group, domain in self.locks.items()
        ]
        return locks + [
            ChoiceView(group, "grant", "", "", NOORD, "", AT, None, True) for group in self.granted
        ]

    async def flags(self, session: CitizenSession) -> list[OwnFlagView]:
        return self.known

    async def looks(self, session: CitizenSession) -> LooksView:
        total = len(self.lines)
        return LooksView(self.lines, self.verified, total if self.verified else total - 1, total, AT)


def own_flag(kind: str) -> OwnFlagView:
    entry = VOCABULARY.kind(kind)
    return OwnFlagView(
        kind,
        entry.label,
        entry.sentence,
        entry.domain,
        "2025-03",
        None,
        "Schuldhulp Waterrijk",
        "14 000, keuze 4",
        date(2026, 11, 20),
    )


def a_right(right: Any, kind: str, *, publisher: int = 0, answer: str = "", **more: Any) -> RightView:
    """A right that was used a day ago, with ten days to answer unless it was."""
    values: dict[str, Any] = {
        "group": f"groep-{right}-{kind}",
        "right": right,
        "kind": kind,
        "publisher": publisher,
        "opened": AT - timedelta(days=1),
        "due": None if answer else AT + timedelta(days=10),
        "answer": answer,
        "answered": AT if answer else None,
        "extended": False,
        "suspended": False,
        "mine": True,
    }
    return RightView(**{**values, **more})


def look_line(minutes: int, activity: str = "lookup", **more: Any) -> LookLine:
    values: dict[str, Any] = {
        "at": AT - timedelta(minutes=minutes),
        "activity": activity,
        "organisation": "Gemeente Waterrijk",
        "role": "generalist",
        "role_label": "Generalist wijkteam",
        "purpose": "huisbezoek",
        "purpose_label": "Huisbezoek",
        "seen": [],
        "refused": "",
        "own": False,
        "urgent": False,
    }
    return LookLine(**{**values, **more})


LINES = [
    look_line(1, "log_view", role="burger", purpose="", own=True),
    look_line(3, seen=["Hulp bij schulden", "Bijstand"]),
    look_line(4),
    look_line(5),
    look_line(6, "relation"),
    look_line(60 * 26, refused="role-not-allowed", role="ketenpartner"),
    look_line(60 * 50, urgent=True, role="crisisdienst", purpose="crisis", seen=["Hulp van de ggz"]),
    look_line(60 * 60, "choice", role="burger", purpose="", own=True),
]


@dataclass
class SourceInMemory:
    """Counts and rejections of one source."""

    rejections: list[RejectedView] = field(default_factory=list)
    waiting: int = 0
    reachable: bool = True

    async def overview(self) -> Overview:
        return Overview(
            waiting=self.waiting,
            waiting_for_holders=0,
            oldest_waiting=AT if self.waiting else None,
            live=204,
            published_today=3,
            retracted_today=14,
            expiring_soon=5,
            rejected=len(self.rejections),
            last_sent=AT,
            last_confirmed=AT,
            hub_reachable=self.reachable,
            holders_reachable=self.reachable,
            alarm="" if self.reachable else "waterschap",
        )

    async def rejected(self, limit: int = 100) -> list[RejectedView]:
        return self.rejections

    async def dismiss(self, rejected_id: int) -> None:
        self.rejections = [item for item in self.rejections if item.id != rejected_id]

    def kinds(self) -> list[OwnKind]:
        entry = VOCABULARY.kind("schuldhulp")
        return [OwnKind(entry.code, entry.label, entry.act, "Schuldhulp Waterrijk", "14 000, keuze 4")]


@dataclass
class IntakeInMemory:
    """Takes what an import queues, and remembers it."""

    submitted: list[dict[str, Any]] = field(default_factory=list)
    alive: Alive = field(default_factory=Everybody)

    async def submit(self, connector: str, **what: Any) -> None:
        self.submitted.append(what)


@dataclass
class SenderInMemory:
    """Compares with a hub that says `found`; None while messages wait."""

    found: Comparison | None = None
    fails: Exception | None = None
    repaired: int = 0

    def wake(self) -> None:
        """Nothing is sent here."""

    async def compare(self) -> Comparison | None:
        if self.fails:
            raise self.fails
        return self.found

    async def repair(self) -> Comparison | None:
        found = await self.compare()
        self.repaired += found is not None
        return found


def real_import(folder: Path) -> dict[str, Any]:
    """What a source's pages need of a node: a real store, rules and connectors, for debt help and Wmo."""
    keys = NodeKeys(signing=b"1" * 32, secret=b"2" * 32, case=b"3" * 32, storage=b"4" * 32)
    kinds = {"schuldhulp", "wmo_voorziening"}
    registered = SimpleNamespace(kind=lambda code: code if code in kinds else None)
    directory = SimpleNamespace(organisation=lambda oin: registered)
    engine = open_engine(folder / "node.sqlite")

    def now() -> datetime:
        return AT

    outbox = Outbox(engine, keys, "proef", batch=200, now=now)
    rules = Rules(VOCABULARY, lambda: directory, SCHULDHULP, max_until_years=10, now=now)
    intake: Any = IntakeInMemory()
    settings: Any = SimpleNamespace(
        sources=(SourceSettings(name="lijsten", type="csv"),),
        csv=CsvSettings(),
        poll_seconds=1.0,
        database=folder / "node.sqlite",
    )
    sources = Sources(
        settings,
        keys,
        VOCABULARY,
        engine=engine,
        outbox=outbox,
        intake=intake,
        rules=rules,
        http=httpx.AsyncClient(),
        now=now,
    )
    return {
        "outbox": outbox,
        "rules": rules,
        "intake": intake,
        "switching_off": SwitchingOff(engine, outbox, name="Schuldhulp Waterrijk", now=now),
        "csv_mapping": Mapped(),
        "sources": sources,
    }


REJECTIONS = [
    RejectedView(1, "zaak-17", 3, "bsn", "elfproef", "not a citizen service number", AT),
    RejectedView(2, "zaak-18", None, "until", "before-since", "until is before since", AT),
    RejectedView(3, "", 9, "since", "required", "since is missing", AT),
]


@dataclass
class DisputesInMemory:
    """What one source has to answer."""

    waiting: list[DisputeView] = field(default_factory=list)
    answered: list[tuple[str, str]] = field(default_factory=list)
    fails: Exception | None = None

    async def open(self, kinds: Sequence[str] | None = None) -> list[DisputeView]:
        if self.fails:
            raise self.fails
        return list(self.waiting)

    async def answer(self, id_: str, answer: str) -> None:
        if not any(view.id == id_ for view in self.waiting):
            raise UnknownReference
        self.answered.append((id_, answer))
        self.waiting = [view for view in self.waiting if view.id != id_]


def a_dispute(id_: str, right: Any, kind: str, **more: Any) -> DisputeView:
    values: dict[str, Any] = {
        "id": id_,
        "local_refs": (f"zaak-{id_}",),
        "kind": kind,
        "right": right,
        "opened": AT - timedelta(days=10),
        "due": AT + timedelta(days=4),
        "clock": "open",
        "second": False,
        "suspended": False,
        "extended": False,
    }
    return DisputeView(**{**values, **more})


DISPUTES = [
    a_dispute("a", "dispute", "schuldhulp"),
    a_dispute("b", "objection", "schuldhulp", clock="soon"),
    a_dispute("c", "dispute", "jeugdbescherming", clock="soon", second=True),
    a_dispute("d", "dispute", "schuldhulp", clock="overdue", suspended=True),
    a_dispute("e", "restriction", "jeugdbescherming"),
]


@dataclass
class LogInMemory:
    """A log of a few entries."""

    lines: list[OfficerLine] = field(default_factory=list)
    holds: bool = True
    waiting: list[ReviewLine] = field(default_factory=list)
    judged: list[tuple[str, str, str]] = field(default_factory=list)
    nobody_confirms: Unconfirmed | None = None

    def unconfirmed(self) -> Unconfirmed | None:
        return self.nobody_confirms

    async def status(self) -> LogCheck:
        problems = () if self.holds else ("entry 3: leaf differs",)
        return LogCheck(len(self.lines), AT if self.lines else None, self.holds, problems)

    async def find(self, query: OfficerQuery) -> OfficerPage:
        fits = [
            line
            for line in self.lines
            if query.organisation in ("", line.organisation)
            and query.role in ("", line.role)
            and query.purpose in ("", line.purpose)
            and query.day in (None, line.at.date())
        ]
        return OfficerPage(fits[(query.page - 1) * 10 : query.page * 10], len(fits), 10, True)

    async def reviews(self) -> ReviewList:
        return ReviewList(self.waiting, False)

    async def judge(self, id_: str, outcome: str, officer: str) -> bool:
        if id_ not in {line.id for line in self.waiting}:
            return False
        self.judged.append((id_, outcome, officer))
        self.waiting = [line for line in self.waiting if line.id != id_ or outcome == "asked"]
        return True

    async def figures(self) -> list[YearFigure]:
        return year_figures({2025: 12, 2026: 3}, 2026, VOCABULARY.limits.count_threshold)

    def organisations(self) -> dict[str, str]:
        return {GEMEENTE: "Gemeente Waterrijk", SCHULDHULP: "Schuldhulp Waterrijk"}


def review_line(id_: str, *, overdue: bool = False, **more: Any) -> ReviewLine:
    at = int(AT.timestamp())
    values: dict[str, Any] = {
        "node": "wijkteam",
        "org": GEMEENTE,
        "actor": "abcdefghijklmnopqrstuv",
        "role": "generalist",
        "team": "wijkteam-noord",
        "reason": "direct_gevaar",
        "at_risk": "ander",
        "incapable": False,
        "persons": 1,
        "declared": at,
        "confirm_by": at + 3600,
        "due": at + 7 * 86_400,
    }
    review = Review(**{**values, **more})
    return ReviewLine(id_, review, review.state_at(at + 7200), overdue)


REVIEWS = [
    review_line("een"),
    review_line("twee", state="reported", outcome="asked", overdue=True),
    review_line("drie", state="confirmed", role="crisisdienst", incapable=True, at_risk="zelf"),
]
ENTRIES = [
    OfficerLine(
        year=2026,
        index=40 - number,
        at=AT - timedelta(hours=number * 3),
        t=["lookup", "relation", "publish", "log_view"][number % 4],
        organisation=[GEMEENTE, SCHULDHULP][number % 2],
        node="wijkteam",
        role=["generalist", "schuldhulpverlener", "bron", "burger"][number % 4],
        team="wijkteam-noord" if number % 4 == 0 else "",
        purpose="huisbezoek" if number % 4 < 2 else "",
        actor="abcdefghijklmnopqrstuv" if number % 4 < 2 else "",
        basis="",
        refused="role-not-allowed" if number == 8 else "",
        shown=number % 3,
        something=False,
        break_glass=False,
    )
    for number in range(40)
]


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def node_settings(parts: set[str], port: int, issuer: str, **more: Any) -> NodeSettings:
    """Settings of a node of which only the pages run; files and keys are never opened."""
    nowhere = Path("nowhere")
    values: dict[str, Any] = {
        "node_id": "proef",
        "parts": frozenset(parts),
        "url": f"http://localhost:{port}",
        "database": nowhere,
        "signing_key_file": nowhere,
        "node_secret_file": nowhere,
        "case_key_file": nowhere,
        "storage_key_file": nowhere,
        "hub_url": "http://localhost:1",
        "hub_id": "hub.example",
        "hub_log_vkey": "x",
        "hub_receipt_key": "x",
        "holders": {},
        "manifest_url": "http://localhost:1/m",
        "directory_url": "http://localhost:1/d",
        "environment": "test",
        "login": OidcSettings(
            issuer=issuer, client_id="proef", scope="openid profile", client_secret_file=SECRET
        ),
    }
    return NodeSettings(**{**values, **more})


@dataclass
class InquiriesInMemory:
    """Questions to the employee who is logged in."""

    asked: list[InquiryView] = field(default_factory=list)
    answers: list[tuple[str, str]] = field(default_factory=list)

    async def of(self, employee: Employee) -> list[InquiryView]:
        return self.asked

    async def answer(self, employee: Employee, id_: str, answer: str) -> None:
        if id_ not in {one.id for one in self.asked}:
            raise UnknownInquiry
        self.answers.append((id_, answer))
        self.asked = [one for one in self.asked if one.id != id_]


@dataclass
class SignalsInMemory:
    """What is new for visits, and who follows what."""

    views: list[SignalView] = field(default_factory=list)
    following: set[str] = field(default_factory=set)
    names: list[str] = field(default_factory=list)

    async def follow(self, employee: Employee, visit_id: str, *, wanted: bool = True) -> None:
        (self.following.add if wanted else self.following.discard)(visit_id)

    async def followed(self, visit_ids: list[str]) -> frozenset[str]:
        return frozenset(self.following & set(visit_ids))

    async def items(self, employee: Employee) -> list[SignalView]:
        return [view for view in self.views if view.item.state != "closed"]

    async def news(self, employee: Employee) -> frozenset[str]:
        views = await self.items(employee)
        return frozenset(view.item.visit for view in views if view.item.mine and view.item.state == "new")

    async def choose(self, employee: Employee, visit_id: str, state: Any) -> None:
        if visit_id not in {view.item.visit for view in self.views}:
            raise UnknownVisit
        self.views = [
            replace(view, item=replace(view.item, state=state, mine=True))
            if view.item.visit == visit_id
            else view
            for view in self.views
        ]

    def combined(self, persons: list[PersonView]) -> list[str]:
        return self.names if any(person.flags for person in persons) else []


def signal_view(visit: str, state: Any = "new", *, first: bool = False, mine: bool = True) -> SignalView:
    return SignalView(Item(visit, state, AT, first, mine), f"Z-2026-{visit}", AT + timedelta(days=7))


@dataclass
class ContactsInMemory:
    """Requests for contact, at a desk and at a source."""

    asked: dict[tuple[str, int, str], datetime] = field(default_factory=dict)
    waiting: list[RequestView] = field(default_factory=list)
    gone: bool = False

    async def ask(self, employee: Employee, visit_id: str, place: int, flag: FlagView) -> datetime:
        if self.gone:
            raise BadInput("flag", "flag-not-visible")
        return self.asked.setdefault((visit_id, place, flag.kind), AT)

    async def sent(self, visit_id: str, flags: Any) -> dict[Any, datetime]:
        keys = {one: (visit_id, one[0], one[1].kind) for one in flags}
        return {one: self.asked[key] for one, key in keys.items() if key in self.asked}

    async def fetch(self) -> int:
        return 0

    async def requests(self) -> list[RequestView]:
        return self.waiting

    async def done(self, id_: str) -> None:
        if id_ not in {one.id for one in self.waiting}:
            raise UnknownReference
        self.waiting = [replace(one, done_at=AT) if one.id == id_ else one for one in self.waiting]


REQUESTS = [
    RequestView("een", "zaak-17", "wijkteam-noord", "generalist", AT, None),
    RequestView("twee", "zaak-18", "wijkteam-zuid", "wmo_consulent", AT, AT),
]


INQUIRIES = [
    InquiryView("een", AT, AT + timedelta(days=7), "huisbezoek", "steekproef", "Z-2026-17"),
    InquiryView("twee", AT, AT + timedelta(days=7), "keukentafelgesprek", "patroon", ""),
]


def asked_view(id_: str, *, answer: str = "", open_: bool = True) -> inquiries.View:
    at = int(AT.timestamp())
    asked = inquiries.Asked(
        2026, 40, "wijkteam", "abcdefghijkl", "generalist", "wijkteam-noord", "huisbezoek", "", at,
        "steekproef", at, at + 7 * 86_400, "olga", answer, 0, "" if open_ else "fits",
    )  # fmt: skip
    return inquiries.View(id_, asked, open_)


@dataclass
class WorkInMemory:
    """What an officer works on: nothing, until a test puts it there."""

    full: bool = False
    done: list[tuple[str, ...]] = field(default_factory=list)

    async def sample(self) -> SampleView:
        if not self.full:
            return SampleView(None, (), True, "2026-12")
        drawn = [
            Drawn(2026, line, asked_view("een") if number else None)
            for number, line in enumerate(ENTRIES[:2])
        ]
        return SampleView(
            Sample("2026-11", "", True, 1, 310, [(2026, 40), (2026, 39)]), drawn, True, "2026-12"
        )

    async def asked(self) -> list[inquiries.View]:
        return [asked_view("een"), asked_view("twee", answer="own_client")] if self.full else []

    async def ask(self, place: str, why: str, officer: str) -> str:
        self.done.append(("ask", place))
        return "done"

    async def close(self, id_: str, outcome: str) -> str:
        self.done.append((outcome, id_))
        return "done"

    async def postponed(self) -> list[notices.Waiting]:
        if not self.full:
            return []
        return [
            notices.Waiting("wijkteam.vt_liaison.lookup", "wijkteam", "vt_liaison", "lookup", 3, 2, AT),
            notices.Waiting("jeugd.bron.publish", "jeugd", "bron", "publish", 4, 0, AT + timedelta(days=3)),
        ]

    async def release(self, group: str) -> str:
        self.done.append(("release", group))
        return "done"

    async def postpone(self, group: str, reason: str) -> str:
        self.done.append(("postpone", group, reason))
        return "done"

    async def questions(self, organisation: str) -> list[indicators.QuestionToAsk]:
        team = indicators.Group(GEMEENTE, "wijkteam-noord", "generalist")
        newest = tuple(
            indicators.Example(2026, number, int(AT.timestamp()), "abcdefghijkl") for number in (38, 40)
        )
        asked = [indicators.QuestionToAsk(sign, team, 31, 80, 4.0, 3, newest) for sign in indicators.SIGNS]
        alone = indicators.QuestionToAsk("urgent", team, 6, 10, None, 0)
        return [*asked, alone] if self.full else []

    async def replay(self, place: str) -> replaying.Replayed | None:
        if not self.full:
            return None
        kinds = (
            replaying.KindThen("schuldhulp", 11, "toestemming", 12, True, True),
            replaying.KindThen("ggz", 12, "", 0, False, False),
        )
        return replaying.Replayed(2026, 40, AT, 3, "generalist", "huisbezoek", GEMEENTE, "different", kinds)

    async def wishes(self) -> list[openings.WishView]:
        if not self.full:
            return []
        at = int(AT.timestamp())
        wish = openings.Wish(2026, 40, "datalek", "otto", SCHULDHULP, at)
        return [
            openings.WishView("een", wish, "waiting"),
            openings.WishView("twee", openings.Wish(2026, 39, "datalek", "otto", SCHULDHULP, at), "over"),
        ]

    async def request(self, place: str, reason: str, officer: str, org: str) -> str:
        self.done.append(("request", place, reason, org))
        return "done" if org else "refused"

    async def approve(self, id_: str, officer: str, org: str) -> str:
        self.done.append(("approve", id_, org))
        return "done"

    async def opened(self, id_: str, officer: str) -> list[OfficerLine] | None:
        return ENTRIES[:3] if self.full else None

    async def export(self, form: str, begin: datetime, end: datetime, organisation: str) -> bytes:
        self.done.append(("export", form))
        return b"maand,aantal\r\n"

    async def begin(self) -> BeginView:
        if not self.full:
            return BeginView(0, 0, 0, None, 0, 0, (), 0, 0)
        sample = Sample("2026-11", "", True, 1, 310, [(2026, 40), (2026, 39)])
        silent = [Silent("jeugdhulp", AT - timedelta(days=40))]
        return BeginView(3, 1, 1, sample, 1, 2, silent, 1, 1)

    async def rules(self) -> RulesView:
        at = int(AT.timestamp())
        first = policies.Candidate(1, bytes(32), 0, "first", "", (), "active", at)
        if not self.full:
            return RulesView([first], 1, 0, [])
        waits = policies.Candidate(2, bytes(32), 1, "published", "anna", ("bram",), "waiting", at)
        return RulesView([waits, first], 1, 1, ["anna", "bram", "carla"])

    async def change(self, number: int) -> RulesChange | None:
        if not self.full or number != 2:
            return None
        waits = (await self.rules()).versions[0]
        cells = [
            ("generalist", "schuldhulp", "huisbezoek", "toestemming"),
            ("generalist", "schuldhulp", "casusoverleg", "toestemming"),
            ("generalist", "ggz", "huisbezoek", "toestemming"),
        ]
        return RulesChange(waits, cells, [], "ab" * 32, "hub.example")

    async def what_if(self, number: int) -> Replayed | None:
        moved = Moved("generalist", "schuldhulp", 15, FEW, FEW)
        return Replayed(1, 310, FEW, (moved,)) if number == 2 else None

    async def approve_version(self, number: int, name: str, signature: str) -> str:
        self.done.append(("approve_version", str(number), name, signature))
        return "done" if signature == "good" else "refused"

    async def organisations(self) -> list[OrganisationView]:
        kinds = [KindEntry("schuldhulp", "Schuldhulp Waterrijk", "14 000, keuze 4")]
        entry = OrganisationEntry(2, SCHULDHULP, "hulpverlening", kinds, [TeamEntry(1, "schuldhulp")])
        empty = OrganisationEntry(1, GEMEENTE, "gemeente", [], [])
        if not self.full:
            return [OrganisationView(empty, ["wijkteam"], "basis", (), ())]
        begin, end = int(AT.timestamp()), int((AT + timedelta(days=365)).timestamp())
        said = {"kinds": ["schuldhulp"], "purposes": ["huisbezoek"]}
        mandate = {"act": "wmo", "decision": "B-17"}
        held = [Entry(1, "convenant", SCHULDHULP, begin, end, begin, begin, 0, ("anna", "bram"), said)]
        given = [Entry(2, "mandate", SCHULDHULP, 0, 2**62, begin, begin, 0, (), mandate)]
        return [OrganisationView(entry, ["schuldhulp"], "basis", held, given)]

    async def figures(self) -> list[Figures]:
        if not self.full:
            return []
        counts = [Count("schuldhulp", 45), Count("bijstand", 20), Count("leerplicht", None)]
        areas = [Count(f"{GEMEENTE}/wijkteam-noord", 60), Count(f"{GEMEENTE}/wijkteam-zuid", None)]
        return [
            Figures("2026-11", 10, 5, counts, counts[::-1], areas),
            Figures("2026-10", 10, 5, counts[::-1], counts, areas),
        ]

    async def save_figures(self, form: str) -> bytes:
        self.done.append(("figures", form))
        return b"maand,telling\r\n"

    async def document(self, what: str) -> bytes:
        self.done.append(("document", what))
        return b"# Register"

    async def retention(self) -> RetentionView:
        if not self.full:
            return RetentionView((), "rechtszaak", 4)
        terms = [Term("log", "2026-11", AT + timedelta(days=1800), 900), Term("log-own", "2026-11", None, 12)]
        return RetentionView(terms, "", 0)


def _instant(at: datetime) -> str:
    return at.strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass
class OversightInMemory:
    """What the hub tells an organisation's own officer: nothing, until a test puts it there."""

    full: bool = False
    done: list[OfficerActRequest] = field(default_factory=list)
    saved: list[tuple[str, str]] = field(default_factory=list)
    asked: list[OwnEntriesRequest] = field(default_factory=list)

    @property
    def lines(self) -> list[OwnEntry]:
        return [entry_told(line) for line in ENTRIES if line.node == "wijkteam"] if self.full else []

    async def entries(self, officer: OwnOfficer, wanted: OwnEntriesRequest) -> OwnEntriesAnswer:
        self.asked.append(wanted)
        return OwnEntriesAnswer(self.lines[:50], len(self.lines), 50, True, [])

    async def patterns(self, officer: OwnOfficer) -> list[OwnPattern]:
        if not self.full:
            return []
        newest = [OwnExample(2026, 38, _instant(AT), "abcdefghijkl")]
        return [
            OwnPattern("outside_hours", "wijkteam-noord", "generalist", 31, 80, 4.0, 3, newest),
            OwnPattern("urgent", "wijkteam-noord", "crisisdienst", 6, 10, None, 0, newest),
        ]

    async def work(self, officer: OwnOfficer) -> OwnWorkAnswer:
        if not self.full:
            return OwnWorkAnswer(None, [], [], [])
        asked = [
            inquiry_told(asked_view("A" * 22)),
            inquiry_told(asked_view("B" * 22, answer="own_client")),
            inquiry_told(asked_view("C" * 22, answer="mistake", open_=False)),
        ]
        waiting = [review_told(line) for line in REVIEWS]
        return OwnWorkAnswer(OwnSample("2026-11", True, 61, self.lines[:3]), asked, waiting, [])

    async def act(self, officer: OwnOfficer, act: OfficerActRequest) -> bool:
        self.done.append(act)
        return act.index != 37

    async def replay(self, officer: OwnOfficer, year: int, index: int) -> OwnReplayAnswer | None:
        if not self.full:
            return None
        kinds = [
            OwnKindThen("schuldhulp", 11, "toestemming", 12, True, True),
            OwnKindThen("ggz", 12, "", 0, False, False),
        ]
        return OwnReplayAnswer(_instant(AT), 3, "generalist", "huisbezoek", "different", kinds, [])

    async def export(self, officer: OwnOfficer, form: str, month: str) -> str:
        self.saved.append((form, month))
        return "maand,aantal\r\n"

    def months(self) -> list[str]:
        return months_before(AT)


@dataclass
class Site:
    """A served process and what a test may set behind it."""

    url: str
    visits: VisitsInMemory = field(default_factory=VisitsInMemory)
    assisted: AssistedInMemory = field(default_factory=AssistedInMemory)
    citizens: CitizensInMemory = field(default_factory=CitizensInMemory)
    disputes: DisputesInMemory = field(default_factory=DisputesInMemory)
    declarations: DeclarationsInMemory = field(default_factory=DeclarationsInMemory)
    source: SourceInMemory = field(default_factory=SourceInMemory)
    log: LogInMemory = field(default_factory=LogInMemory)
    inquiries: InquiriesInMemory = field(default_factory=InquiriesInMemory)
    oversight: OversightInMemory = field(default_factory=OversightInMemory)
    work: WorkInMemory = field(default_factory=WorkInMemory)
    signals: SignalsInMemory = field(default_factory=SignalsInMemory)
    contacts: ContactsInMemory = field(default_factory=ContactsInMemory)
    crises: Any = None
    node: Any = None
    pages: Any = None
    app: Any = None


def node_site(parts: set[str], issuer: str, *, port: int = 0, **more: Any) -> Site:
    port = port or free_port()
    site = Site(f"http://localhost:{port}")
    site.crises = CrisesInMemory(site.visits)
    runtime: Any = SimpleNamespace(
        settings=node_settings(parts, port, issuer, **more),
        keys=NodeKeys(signing=b"1" * 32, secret=b"2" * 32, case=b"3" * 32, storage=b"4" * 32),
        vocabulary=VOCABULARY,
        visits=site.visits,
        crises=site.crises,
        inquiries=site.inquiries,
        signals=site.signals,
        contacts=site.contacts,
        oversight=site.oversight,
        assisted=site.assisted,
        citizens=site.citizens,
        declarations=site.declarations,
        source=site.source,
        disputes=site.disputes,
        sender=SenderInMemory(),
        sources=SimpleNamespace(inbox=SimpleNamespace(aside=list), triable=[]),
        brp=None,
        now=lambda: AT,
    )
    site.node = runtime
    site.pages, routes = node_pages(runtime)
    site.app = with_missing(site.pages, routes)
    return site


def officer_site(issuer: str) -> Site:
    port = free_port()
    site = Site(f"http://localhost:{port}")
    settings = PageSettings(
        process_id="hub",
        origin=site.url,
        login=LoginSettings(
            issuer=issuer,
            client_id="hub",
            client_auth="client_secret_basic",
            client_secret_file=SECRET,
        ),
        demo=True,
    )
    site.pages, routes = officer_pages(with_organisation(settings), site.log, VOCABULARY, site.work)
    site.app = with_missing(site.pages, routes)
    return site


def with_missing(pages: Any, routes: Any) -> FastAPI:
    app = FastAPI(docs_url=None, redoc_url=None, openapi_url=None, redirect_slashes=False)
    app.include_router(routes)

    async def missing(request: Any, _: Exception) -> Any:
        return await pages.missing(request)

    app.add_exception_handler(404, missing)
    return app


@contextlib.contextmanager
def served(site: Site) -> Iterator[Site]:
    """Serve the site with uvicorn until the block ends."""
    port = int(site.url.rpartition(":")[2])
    server = uvicorn.Server(
        uvicorn.Config(site.app, host="127.0.0.1", port=port, log_level="warning", access_log=False)
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        thread.join(0.02)
        assert thread.is_alive(), "the site did not start"
    try:
        yield site
    finally:
        server.should_exit = True
        thread.join(5)
