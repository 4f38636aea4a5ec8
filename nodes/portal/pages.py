"""The citizen's pages: who may see what, the effect before the choice, what is known, who looked.

    two doors (P1) -> who may see what (P2) -> what changes (P3) -> saved, undo, receipt (P4)
                   -> who looked (P7), what is known (P6), stop everything (P5), check and keep (P9)
                   -> for somebody else (P10), messages (P11)

What opens and closes is computed by the engine that will decide, never here.
A yes and a no cost the same number of clicks, and no subject is named in an
address: a choice under way waits in the login session.

Source: screens.md §5; policy.md §2.3, §2.5.
"""

import asyncio
import secrets
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Literal, cast, get_args

from fastapi import APIRouter
from starlette.responses import Response

from consent.directive import Right
from consent.pages import State, Visitor
from consent.pages.names import Names
from consent.pages.pages import HEADERS, Door, NotForYou
from consent.resolve import add_months
from nodes.ages import regime_of
from nodes.citizen import (
    Cell,
    Change,
    CitizenSession,
    CodeView,
    Effects,
    LookLine,
    OwnFlagView,
    Receiver,
    ReceiverView,
    RightView,
    Saved,
    Standing,
)
from nodes.errors import BadInput, HubUnreachable
from nodes.pages import Guest, NodePages
from nodes.representation import end_of_choice
from nodes.runtime import NodeRuntime
from policy.postpone import Postponement

from .export import RETENTION_LOG_YEARS, confirmed_text, gather, packed, rendered
from .family import session_for

PERIODS: tuple[Literal[3, 6, 12], ...] = (3, 6, 12)
LINES_A_PAGE = 50
NEWS_DAYS = 30
"""How long a look is news in the inbox."""
PortalVisitor = Visitor[Guest]


@dataclass(frozen=True, slots=True)
class Subject:
    """One kind under one receiver on P2: how it stands now, and for which purposes."""

    kind: str
    answer: Literal["yes", "partly", "no"]
    purposes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReceiverBlock:
    """One receiver on P2 with its subjects; `place` is its number in the fixed list of receivers."""

    place: int
    name: str
    subjects: list[Subject]

    @property
    def seen(self) -> int:
        return sum(subject.answer != "no" for subject in self.subjects)


@dataclass(frozen=True, slots=True)
class LawLine:
    """A kind that one role sees by law, for these purposes; no choice here."""

    kind: str
    purposes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LawRole:
    """Everything one role sees by law."""

    role: str
    lines: list[LawLine]


@dataclass(frozen=True, slots=True)
class Wish:
    """A choice under way, from the click on P2 until it is saved."""

    effect: Literal["grant", "deny"]
    receiver: ReceiverView = field(repr=False)
    kind: str = field(repr=False)
    visit: CodeView | None = field(default=None, repr=False)
    """The visit by whose code this is chosen."""

    @property
    def back(self) -> str:
        """The page on which the click was made."""
        return "/mijn/team" if self.visit else "/mijn/keuzes"

    def change(self, months: Literal[3, 6, 12]) -> Change:
        return Change(self.effect, kind=self.kind, receiver=self.receiver.receiver, months=months)


@dataclass(frozen=True, slots=True)
class Done:
    """What P4 says: the sentence, what can be undone, and the receipts to keep."""

    sentence: str
    receipts: tuple[str, ...] = field(repr=False)
    at: str = ""
    undo: str = ""
    back: str = "/mijn/keuzes"


@dataclass(frozen=True, slots=True)
class Choosable:
    """A child in the list of P10; `born` is a day in words, empty when it is not known."""

    place: int
    born: str = field(repr=False)
    stage: str
    chosen: bool


@dataclass(frozen=True, slots=True)
class Message:
    """One message of P11. `place` is the receiver's, -1 where it is no team of the list."""

    day: str
    what: str
    receiver: str = field(repr=False)
    kind: str = field(repr=False)
    place: int


@dataclass(frozen=True, slots=True)
class Fold:
    """Equal lines of one day together: the newest, and how often."""

    line: LookLine
    times: int


@dataclass(frozen=True, slots=True)
class KnownFlag:
    """One flag on P6, what was asked about it, and what can be asked."""

    flag: OwnFlagView
    can_ask: tuple[Right, ...]
    rights: tuple[RightView, ...]


def _right_of(text: str) -> Right | None:
    return next((right for right in get_args(Right) if right == text), None)


def router(pages: NodePages, node: NodeRuntime) -> APIRouter:
    """The pages of the portal, for citizens."""
    portal = Portal(node)
    routes = APIRouter()
    may = is_citizen
    for path, label in (
        ("/mijn", "portal.nav"),
        ("/mijn/keuzes", "portal.nav_choices"),
        ("/mijn/gekeken", "portal.nav_looks"),
        ("/mijn/bekend", "portal.nav_known"),
    ):
        pages.doors.append(Door(path, label, may))
    pages.add(routes, "/mijn", portal.begin, who=may)
    pages.add(routes, "/mijn/keuzes", portal.choices, who=may)
    pages.add(routes, "/mijn/keuze", portal.wish, who=may, methods=("POST",))
    pages.add(routes, "/mijn/keuze", portal.effect, who=may)
    pages.add(routes, "/mijn/keuze/opslaan", portal.save, who=may, methods=("POST",))
    pages.add(routes, "/mijn/opgeslagen", portal.saved, who=may)
    pages.add(routes, "/mijn/ongedaan", portal.undo, who=may, methods=("POST",))
    pages.add(routes, "/mijn/bewijs", portal.receipt, who=may)
    pages.add(routes, "/mijn/stoppen", portal.stop, who=may)
    pages.add(routes, "/mijn/stoppen", portal.stop_all, who=may, methods=("POST",))
    pages.add(routes, "/mijn/bekend", portal.known, who=may)
    pages.add(routes, "/mijn/recht", portal.use_right, who=may, methods=("POST",))
    pages.add(routes, "/mijn/recht/stoppen", portal.end_right, who=may, methods=("POST",))
    pages.add(routes, "/mijn/gekeken", portal.looks, who=may)
    pages.add(routes, "/mijn/nakijken", portal.check, who=may)
    pages.add(routes, "/mijn/inzage", portal.export, who=may, methods=("POST",))
    pages.add(routes, "/mijn/voor-wie", portal.whom, who=may)
    pages.add(routes, "/mijn/voor-wie", portal.choose_whom, who=may, methods=("POST",))
    pages.add(routes, "/mijn/berichten", portal.inbox, who=may)
    return routes


def is_citizen(guest: Guest) -> bool:
    """Whether somebody is here as a citizen."""
    return guest.citizen is not None


def session_of(visitor: PortalVisitor) -> CitizenSession:
    """The session about the person whose choices these are.

    Raises:
        NotForYou: No citizen is logged in.
    """
    if visitor.person.citizen is None:
        raise NotForYou
    return visitor.person.citizen


class Portal:
    """The handlers; each is one screen or one button."""

    def __init__(self, node: NodeRuntime) -> None:
        self.node = node

    def _names(self, visitor: PortalVisitor) -> Names:
        return Names(self.node.vocabulary, visitor.words.language)

    def show(self, visitor: PortalVisitor, template: str, status: int = 200, **more: object) -> Response:
        """A page of the portal, with for whom is chosen at its top."""
        family, speaker = visitor.person.family, session_of(visitor).speaker
        return visitor.show(
            f"portal/{template}",
            status,
            blank=True,
            names=self._names(visitor),
            speaks_as=speaker.by,
            brp_away=family is not None and family.brp_away,
            for_name=family.name if family else "",
            **more,
        )

    async def begin(self, visitor: PortalVisitor) -> Response:
        """P1."""
        family = visitor.person.family
        return self.show(
            visitor,
            "begin.html",
            closed=await self.node.citizens.closed_to(("politie_justitie", "schuldeiser", "verhuurder")),
            messages=await self._count_messages(session_of(visitor)),
            others=bool(family and family.children),
        )

    async def _count_messages(self, session: CitizenSession) -> int:
        told = await self.node.citizens.notices(session)
        entered = await self.node.citizens.entered(session, fresh=False)
        return len(told) + sum(view.waits for view in entered)

    async def choices(self, visitor: PortalVisitor) -> Response:
        """P2: subjects by receiver, over all kinds; by law without a switch."""
        standing = await self.node.citizens.standing(session_of(visitor))
        blocks = [
            ReceiverBlock(place, view.name, subjects_of(standing, view.receiver))
            for place, view in enumerate(self.node.citizens.receivers())
        ]
        return self.show(
            visitor,
            "choices.html",
            blocks=[block for block in blocks if block.subjects],
            law=by_law(standing.by_law),
        )

    async def wish(self, visitor: PortalVisitor) -> Response:
        """A click on Ja or Nee: nothing is saved yet, the effect comes first."""
        effect, kind = visitor.field("keuze"), visitor.field("onderwerp")
        receiver, visit = self._receiver(visitor)
        if effect not in ("grant", "deny") or receiver is None:
            return visitor.say(State("form", 400))
        if kind and not (self.node.vocabulary.has_kind(kind)):
            return visitor.say(State("form", 400))
        token = secrets.token_urlsafe(12)
        wish = Wish(cast('Literal["grant", "deny"]', effect), receiver, kind, visit)
        visitor.drawer["wish"] = (token, wish)
        return visitor.go(f"/mijn/keuze?keuze={token}")

    def _receiver(self, visitor: PortalVisitor) -> tuple[ReceiverView | None, CodeView | None]:
        """The receiver that was clicked on: of the list, or of the visit whose code is open."""
        place, visit = visitor.field("ontvanger"), visitor.drawer.get("visit")
        if place == "bezoek" and isinstance(visit, CodeView):
            return visit.receiver, visit
        receivers = self.node.citizens.receivers()
        fits = place.isascii() and place.isdigit() and len(place) < 5 and int(place) < len(receivers)
        return (receivers[int(place)] if fits else None), None

    def _wish(self, visitor: PortalVisitor, token: str) -> Wish | None:
        kept = visitor.drawer.get("wish")
        if isinstance(kept, tuple) and kept[0] == token and isinstance(kept[1], Wish):
            return kept[1]
        return None

    async def effect(self, visitor: PortalVisitor) -> Response:
        """P3: what opens and closes, before anything is saved."""
        token = visitor.request.query_params.get("keuze", "")
        wish = self._wish(visitor, token)
        if wish is None:
            return visitor.go("/mijn/keuzes")
        return await self._effect(visitor, token, wish)

    async def _effect(
        self, visitor: PortalVisitor, token: str, wish: Wish, *, wrong: bool = False
    ) -> Response:
        effects = await self.node.citizens.preview(session_of(visitor), wish.change(12), wish.visit)
        mine = visitor.request.query_params.get("mijn") == "1"
        if mine:
            effects = _only(effects, {flag.kind for flag in await self._own_flags(visitor)})
        concerned = [cell for cell in effects.by_law if _at(cell, wish.receiver.receiver)]
        if wish.kind:
            concerned = [cell for cell in concerned if cell.kind == wish.kind]
        return self.show(
            visitor,
            "effect.html",
            400 if wrong else 200,
            token=token,
            mine=mine,
            wish=wish,
            opened=by_kind(effects.opened),
            closed=by_kind(effects.closed),
            law=by_law(concerned),
            periods=PERIODS,
            wrong=wrong,
            both=self._needs_both(visitor) and wish.effect == "grant",
            latest=self._latest(visitor, wish),
        )

    async def _own_flags(self, visitor: PortalVisitor) -> list[OwnFlagView]:
        return await self.node.citizens.flags(session_of(visitor))

    def _needs_both(self, visitor: PortalVisitor) -> bool:
        """Whether one yes is not enough: from 12 to 15, and while the age is not known."""
        session = session_of(visitor)
        young = regime_of(session.known.born, self.node.now()) == "samen"
        return young and session.speaker.by in ("zelf", "ouder")

    def _latest(self, visitor: PortalVisitor, wish: Wish) -> str:
        """The day on which this choice ends at the latest, where age makes that earlier than usual."""
        session, now = session_of(visitor), self.node.now()
        ends = end_of_choice(
            session.speaker,
            session.known,
            wish.effect,
            months=12,
            boundaries=self.node.vocabulary.limits.age_boundaries,
            now=now,
        )
        usual = add_months(now, 12) if wish.effect == "grant" else None
        return "" if ends is None or ends == usual else visitor.words.day(ends)

    async def save(self, visitor: PortalVisitor) -> Response:
        """The button of P3: write the choice, then P4."""
        token = visitor.field("concept")
        wish = self._wish(visitor, token)
        if wish is None:
            return visitor.go("/mijn/keuzes")
        months: Literal[3, 6, 12] = 12
        if wish.effect == "grant":
            chosen = [period for period in PERIODS if str(period) == visitor.field("maanden")]
            if not chosen:
                return await self._effect(visitor, token, wish, wrong=True)
            months = chosen[0]
        name = wish.receiver.name
        shown = self._text_shown(visitor, wish, months)
        visitor.drawer.pop("wish", None)  # a second click on the button saves nothing twice
        waits = False
        if wish.effect == "grant" and self._needs_both(visitor):
            promised = await self.node.citizens.preview(session_of(visitor), wish.change(months), wish.visit)
            waits = not promised.opened
        try:
            saved = await self.node.citizens.choose(
                session_of(visitor), wish.change(months), shown, wish.visit
            )
        except HubUnreachable:
            return visitor.say(State("not_saved", 503))
        sentence = visitor.words(f"portal.saved.{'waits' if waits else wish.effect}", receiver=name)
        return self.go_saved(
            visitor, Done(sentence, (saved.receipt,), moment_of(visitor, saved.at), saved.group, wish.back)
        )

    def _text_shown(self, visitor: PortalVisitor, wish: Wish, months: int) -> str:
        """The words the citizen confirmed; the choice carries their digest."""
        return confirmed_text(
            visitor.words,
            self._names(visitor),
            by=session_of(visitor).speaker.by,
            effect=wish.effect,
            receiver=wish.receiver.name,
            kind=wish.kind,
            months=months,
        )

    def go_saved(self, visitor: PortalVisitor, done: Done) -> Response:
        """P4, about what was just done."""
        visitor.drawer["done"] = done
        return visitor.go("/mijn/opgeslagen")

    async def saved(self, visitor: PortalVisitor) -> Response:
        """P4."""
        done = visitor.drawer.get("done")
        if not isinstance(done, Done):
            return visitor.go("/mijn/keuzes")
        again: list[Subject] = []
        if done.undo:
            # The end of a no may open something: that is said before the button, not after it.
            with suppress(BadInput):
                undone = await self.node.citizens.preview_withdrawal(session_of(visitor), done.undo)
                again = by_kind(undone.opened)
        return self.show(visitor, "saved.html", done=done, again=again)

    async def undo(self, visitor: PortalVisitor) -> Response:
        """Take back the choice that was just saved."""
        done = visitor.drawer.get("done")
        if not isinstance(done, Done) or not done.undo or done.undo != visitor.field("wat"):
            return visitor.go("/mijn/keuzes")
        text = visitor.words("portal.saved.undo")
        try:
            saved = await self.node.citizens.withdraw(session_of(visitor), done.undo, text)
        except HubUnreachable:
            return visitor.say(State("not_saved", 503))
        sentence = visitor.words("portal.saved.undone")
        return self.go_saved(visitor, Done(sentence, (saved.receipt,), moment_of(visitor, saved.at)))

    async def receipt(self, visitor: PortalVisitor) -> Response:
        """The signed proof of what was just saved, as a file whose name names nobody."""
        done = visitor.drawer.get("done")
        if not isinstance(done, Done) or not done.receipts:
            return visitor.go("/mijn/keuzes")
        headers = {**HEADERS, "Content-Disposition": 'attachment; filename="bewijs-van-uw-keuze.txt"'}
        return Response("\n".join(done.receipts) + "\n", 200, headers, media_type="text/plain")

    async def stop(self, visitor: PortalVisitor) -> Response:
        """P5: what closes, and what the law still shows."""
        standing = await self.node.citizens.standing(session_of(visitor))
        names = {_place(view.receiver): view.name for view in self.node.citizens.receivers()}
        closes: dict[str, list[str]] = {}
        for cell in standing.by_consent:
            name = names.get((cell.organisation, cell.team))
            if name is not None and cell.kind not in closes.setdefault(name, []):
                closes[name].append(cell.kind)
        return self.show(visitor, "stop.html", closes=closes, law=by_law(standing.by_law))

    async def stop_all(self, visitor: PortalVisitor) -> Response:
        """End every yes that is in force, all or none."""
        text = visitor.words("portal.stop.button")
        try:
            saved = await self.node.citizens.stop_all(session_of(visitor), text)
        except HubUnreachable:
            return visitor.say(State("not_saved", 503))
        receipts = (saved.receipt,) if saved else ()
        at = moment_of(visitor, saved.at) if saved else ""
        return self.go_saved(visitor, Done(visitor.words("portal.saved.stopped"), receipts, at))

    async def check(self, visitor: PortalVisitor) -> Response:
        """P9: the own check, and everything as one file."""
        view = await self.node.citizens.looks(session_of(visitor))
        return self.show(visitor, "check.html", view=view)

    async def export(self, visitor: PortalVisitor) -> Response:
        """Everything about this person as one file; its name names nobody."""
        found = await gather(self.node, session_of(visitor))
        settings, names, t = self.node.settings, self._names(visitor), visitor.words
        keys = {"kid": settings.hub_id, "consent": settings.hub_consent_key}
        page = await asyncio.to_thread(rendered, visitor.pages.templates, found, t, names)
        raw = await asyncio.to_thread(packed, found, names, page, keys)
        headers = {
            **HEADERS,
            "Content-Disposition": 'attachment; filename="inzage.zip"',
        }
        return Response(raw, 200, headers, media_type="application/zip")

    async def whom(self, visitor: PortalVisitor) -> Response:
        """P10: oneself and the children; no name, for the BRP's are not asked."""
        family = visitor.person.family
        children = [
            Choosable(
                place,
                visitor.words.day(child.known.born) if child.known.born else "",
                child.stage,
                family is not None and family.opened.get(place) is visitor.person.citizen,
            )
            for place, child in enumerate(family.children if family else [])
        ]
        return self.show(visitor, "whom.html", children=children)

    async def choose_whom(self, visitor: PortalVisitor) -> Response:
        """Choose for somebody else from now on, or for oneself again."""
        family, wanted = visitor.person.family, visitor.field("wie")
        if family is None or visitor.session is None:
            raise NotForYou
        if wanted == "zelf":
            citizen = family.own
        elif wanted.isascii() and wanted.isdigit() and len(wanted) < 3 and int(wanted) < len(family.children):
            citizen = await session_for(self.node, family, int(wanted))
        else:
            return visitor.say(State("form", 400))
        visitor.drawer.clear()  # a choice under way was about another person
        visitor.session.person = replace(visitor.person, citizen=citizen)
        return visitor.go("/mijn")

    async def inbox(self, visitor: PortalVisitor) -> Response:
        """P11."""
        return await self.messages(visitor)

    async def messages(self, visitor: PortalVisitor, *, wrong: bool = False) -> Response:
        """P11: what ends soon, what an employee entered, and the field for a letter's code.

        Computed at this login; nothing is renewed without a new yes.

        Args:
            wrong: A code was typed that does not work.
        """
        notices = await self.node.citizens.notices(session_of(visitor))
        places = {view.receiver: place for place, view in enumerate(self.node.citizens.receivers())}
        names = {view.receiver: view.name for view in self.node.citizens.receivers()}
        messages = [
            Message(
                visitor.words.day(notice.at),
                notice.what,
                names.get(notice.choice.receiver, "") if notice.choice else "",
                notice.choice.kind if notice.choice else "",
                places.get(notice.choice.receiver, -1) if notice.choice else -1,
            )
            for notice in notices
        ]
        entered = await self.node.citizens.entered(session_of(visitor), fresh=False)
        flags, others = await self.node.citizens.what_is_known(session_of(visitor))
        asked = [right for flag in flags for right in flag.rights] + others
        view = await self.node.citizens.looks(session_of(visitor))
        recent = view.at - timedelta(days=NEWS_DAYS)
        return self.show(
            visitor,
            "inbox.html",
            400 if wrong else 200,
            messages=messages,
            entered=entered,
            answers=[right for right in asked if right.answer or right.suspended],
            looked=[line for line in view.lines if line.at > recent and not line.own and _is_look(line)],
            wrong=wrong,
        )

    async def known(self, visitor: PortalVisitor) -> Response:
        """P6: own flags, what was asked about each, and what can be asked."""
        flags, others = await self.node.citizens.what_is_known(session_of(visitor))
        shown = [KnownFlag(flag, self._can_ask(flag), flag.rights) for flag in flags]
        return self.show(
            visitor, "known.html", flags=shown, others=others, declares=bool(self.node.declarations.kinds)
        )

    def _can_ask(self, flag: OwnFlagView) -> tuple[Right, ...]:
        if self.node.vocabulary.kind(flag.kind).self_declared:
            return ()
        used = {
            right.right
            for right in flag.rights
            if not right.answer or (right.right, right.answer) == ("objection", "rejected")
        }
        offered: list[Right] = ["dispute", "restriction"]
        if self.node.citizens.may_object(flag.kind):
            offered.insert(1, "objection")
        return tuple(right for right in offered if right not in used)

    async def use_right(self, visitor: PortalVisitor) -> Response:
        """A button of P6: this is not correct, I object, do not show this now."""
        right = _right_of(visitor.field("recht"))
        kind, source = visitor.field("onderwerp"), visitor.field("bron")
        fits = source.isascii() and source.isdigit() and len(source) < 10
        if right is None or not fits or not self.node.vocabulary.has_kind(kind):
            return visitor.say(State("form", 400))
        shown = "\n".join([visitor.words(f"portal.rights.{right}"), self._names(visitor).kind(kind)])
        try:
            saved = await self.node.citizens.use_right(session_of(visitor), right, kind, int(source), shown)
        except HubUnreachable:
            return visitor.say(State("not_saved", 503))
        return self._right_saved(visitor, f"portal.rights.saved_{right}", saved)

    async def end_right(self, visitor: PortalVisitor) -> Response:
        """Take back what was asked."""
        right = _right_of(visitor.field("recht"))
        if right is None:
            return visitor.say(State("form", 400))
        shown = visitor.words("portal.rights.end")
        try:
            saved = await self.node.citizens.end_right(
                session_of(visitor), visitor.field("wat"), right, shown
            )
        except HubUnreachable:
            return visitor.say(State("not_saved", 503))
        return self._right_saved(visitor, "portal.rights.saved_end", saved)

    def _right_saved(self, visitor: PortalVisitor, sentence: str, saved: Saved) -> Response:
        at = moment_of(visitor, saved.at)
        return self.go_saved(visitor, Done(visitor.words(sentence), (saved.receipt,), at))

    async def looks(self, visitor: PortalVisitor) -> Response:
        """P7: what others did first, own views folded below; each line was checked by the node."""
        view = await self.node.citizens.looks(session_of(visitor))
        wanted = visitor.request.query_params.get("tot", "")
        most = int(wanted) if wanted.isascii() and wanted.isdigit() and len(wanted) < 6 else LINES_A_PAGE
        others = _folded(line for line in view.lines if not line.own)
        return self.show(
            visitor,
            "looks.html",
            view=view,
            others=others[:most],
            more=most + LINES_A_PAGE if len(others) > most else 0,
            own=_folded(line for line in view.lines if line.own)[:LINES_A_PAGE],
            since=view.at - timedelta(days=365 * RETENTION_LOG_YEARS),
            later=bool(Postponement.of(self.node.vocabulary).roles),
        )


def _is_look(line: LookLine) -> bool:
    return line.activity == "lookup" and not line.counter


def _place(receiver: Receiver) -> tuple[str, str]:
    return (receiver.oin, receiver.team)


def _at(cell: Cell, receiver: Receiver) -> bool:
    """Whether a square concerns this receiver: its team, or its whole organisation."""
    return cell.organisation == receiver.oin and (not cell.team or cell.team == receiver.team)


def subjects_of(standing: Standing, receiver: Receiver, purpose: str = "") -> list[Subject]:
    """Every kind this receiver could see with a yes, in the vocabulary's order, and how it stands.

    Args:
        purpose: The only one that counts; empty for all.
    """
    now = {(cell.kind, cell.role, cell.purpose) for cell in standing.by_consent if _at(cell, receiver)}
    squares: dict[str, list[Cell]] = {}
    for cell in standing.possible:
        if _at(cell, receiver) and purpose in ("", cell.purpose):
            squares.setdefault(cell.kind, []).append(cell)
    subjects = []
    for kind, cells in squares.items():
        seen = sum((cell.kind, cell.role, cell.purpose) in now for cell in cells)
        answer: Literal["yes", "partly", "no"] = "yes" if seen == len(cells) else "partly" if seen else "no"
        subjects.append(Subject(kind, answer, _unique(cell.purpose for cell in cells)))
    return subjects


def by_law(cells: Iterable[Cell]) -> list[LawRole]:
    """By role and kind, each once, with its purposes."""
    found: dict[str, dict[str, list[str]]] = {}
    for cell in cells:
        found.setdefault(cell.role, {}).setdefault(cell.kind, []).append(cell.purpose)
    return [
        LawRole(role, [LawLine(kind, _unique(purposes)) for kind, purposes in kinds.items()])
        for role, kinds in found.items()
    ]


def _only(effects: Effects, kinds: set[str]) -> Effects:
    """These kinds alone: what a citizen asks for who wants to see the own flags only."""
    parts = (effects.opened, effects.closed, effects.by_law)
    return Effects(*([cell for cell in cells if cell.kind in kinds] for cells in parts))


def by_kind(cells: Sequence[Cell]) -> list[Subject]:
    """Kinds that open or close, each once with its purposes."""
    found: dict[str, list[str]] = {}
    for cell in cells:
        found.setdefault(cell.kind, []).append(cell.purpose)
    return [Subject(kind, "yes", _unique(purposes)) for kind, purposes in found.items()]


def _folded(lines: Iterable[LookLine]) -> list[Fold]:
    """Lines that differ only in time, on one day and next to each other, as one with a count."""
    folds: list[Fold] = []
    for line in lines:
        last = folds[-1] if folds else None
        if last is not None and _same(last.line, line):
            folds[-1] = Fold(last.line, last.times + 1)
        else:
            folds.append(Fold(line, 1))
    return folds


def _same(one: LookLine, other: LookLine) -> bool:
    return _key(one) == _key(other)


def _key(line: LookLine) -> tuple[object, ...]:
    return (
        line.at.date(),
        line.activity,
        line.organisation,
        line.role,
        line.purpose,
        tuple(line.seen),
        line.refused,
        line.urgent,
        line.by,
        line.counter,
    )


def _unique(codes: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(codes))


def moment_of(visitor: PortalVisitor, at: datetime) -> str:
    """When something was saved, as a sentence."""
    return visitor.words("portal.saved.at", date=visitor.words.day(at), time=visitor.words.clock(at))
