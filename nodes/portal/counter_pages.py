"""X1, the counter desk: pages for an employee who helps a citizen without DigiD to see or to stop.

    start -> who is this -> see | stop | lock | evidence of who represents -> Klaar -> start

The number is typed once, in the body of a form, and ends at the check. An
address names the check and never a person; a form of an earlier check does
nothing. Not one of these routes can write a yes: the session refuses it, and
so does the hub.

Source: screens.md, X1; policy.md §2.2 and §2.6.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import date
from typing import cast

from fastapi import APIRouter
from starlette.responses import Response

from consent.directive import Giver
from consent.pages import State
from consent.pages.names import Names
from consent.pages.pages import HEADERS, Door, NotForYou
from nodes.bsn import BadBsn, Bsn
from nodes.citizen import Change, ChoiceView, Saved, readable
from nodes.errors import BadInput, HubUnreachable, NotAllowed
from nodes.pages import NOT_NOW, Guest, NodePages
from nodes.representation import is_reference
from nodes.runtime import NodeRuntime

from .counter import CAPACITIES, DOCUMENTS, Check, Counter
from .export import checked_text, everything, gather, lock_text, packed, rendered
from .pages import Done, PortalVisitor, by_kind, by_law, moment_of

_LAST_YEAR = 3000
"""A decision that would hold longer is a typing error."""
Step = Callable[[PortalVisitor, Check], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class Problem:
    """A field that is not filled in well, for the list at the top and beside the field."""

    id: str
    text: str


@dataclass(frozen=True, slots=True)
class Stoppable:
    """A yes in force, in words."""

    group: str = field(repr=False)
    kind: str = field(repr=False)
    receiver: str = field(repr=False)
    until: str


def at_counter(guest: Guest) -> bool:
    """Whether an employee of the counter is here."""
    return guest.counter is not None


def counter_of(visitor: PortalVisitor) -> Counter:
    """The counter of who is logged in.

    Raises:
        NotForYou: Somebody else is.
    """
    if visitor.person.counter is None:
        raise NotForYou
    return visitor.person.counter


def router(pages: NodePages, node: NodeRuntime) -> APIRouter:
    """The counter's pages, for its employees alone."""
    desk, routes, may = _CounterDesk(node), APIRouter(), at_counter
    pages.doors.append(Door("/balie", "counter.nav", may))
    pages.add(routes, "/balie", desk.start, who=may)
    pages.add(routes, "/balie/controle", desk.who, who=may)
    pages.add(routes, "/balie/controle", desk.begin, who=may, methods=("POST",))
    pages.add(routes, "/balie/klaar", desk.finish, who=may, methods=("POST",))
    pages.add(routes, "/balie/klaar", desk.done, who=may)
    for path, step, method in (
        ("/balie/inwoner", desk.menu, "GET"),
        ("/balie/inzien", desk.see, "GET"),
        ("/balie/inzien/bestand", desk.file, "POST"),
        ("/balie/stoppen", desk.stop, "GET"),
        ("/balie/stoppen", desk.stop_now, "POST"),
        ("/balie/slot", desk.lock, "GET"),
        ("/balie/slot", desk.choose_lock, "POST"),
        ("/balie/slot/gevolg", desk.effect, "GET"),
        ("/balie/slot/opslaan", desk.lock_now, "POST"),
        ("/balie/opgeslagen", desk.saved, "GET"),
        ("/balie/opgeslagen/bewijs", desk.receipt, "GET"),
    ):
        pages.add(routes, path, desk.within(step), who=may, methods=(method,))
    for step, method in ((desk.evidence, "GET"), (desk.show_evidence, "POST")):
        pages.add(routes, "/balie/bewijs", desk.within(step, waiting=True), who=may, methods=(method,))
    return routes


class _CounterDesk:
    """The handlers; each is one screen or one button."""

    def __init__(self, node: NodeRuntime) -> None:
        self.node = node

    def _names(self, visitor: PortalVisitor) -> Names:
        return Names(self.node.vocabulary, visitor.words.language)

    # --- the check ---------------------------------------------------------------------

    def within(self, step: Step, *, waiting: bool = False) -> Callable[[PortalVisitor], Awaitable[Response]]:
        """A step inside the check that runs; for another check a page is the start, and a form does nothing.

        Args:
            waiting: The step is open to a representative who has shown no evidence yet.
        """

        async def handler(visitor: PortalVisitor) -> Response:
            posted = visitor.request.method == "POST"
            wanted = visitor.field("controle") if posted else visitor.request.query_params.get("controle")
            check = counter_of(visitor).check
            if check is None or check.id != wanted:
                return visitor.say(State("check_over", 409)) if posted else visitor.go("/balie")
            if check.waits and not waiting:
                return visitor.go(f"/balie/bewijs?controle={check.id}")
            return await step(visitor, check)

        handler.__name__ = getattr(step, "__name__", "step")
        return handler

    def show(
        self, visitor: PortalVisitor, check: Check, template: str, status: int = 200, **more: object
    ) -> Response:
        """A page about the person of the check, with whose matter it is at its top."""
        return visitor.show(
            f"counter/{template}",
            status,
            blank=True,
            names=self._names(visitor),
            check=check,
            speaks_as=check.session.speaker.by,
            **more,
        )

    async def start(self, visitor: PortalVisitor) -> Response:
        """Begin a check, or go on with the one that runs."""
        counter = counter_of(visitor)
        return visitor.show("counter/start.html", check=counter.check, fresh=counter.fresh)

    async def who(self, visitor: PortalVisitor) -> Response:
        """The form of a check."""
        return self._who(visitor) if counter_of(visitor).fresh else visitor.go("/balie")

    def _who(self, visitor: PortalVisitor, problems: tuple[Problem, ...] = ()) -> Response:
        return visitor.show(
            "counter/check.html",
            400 if problems else 200,
            documents=DOCUMENTS,
            problems=problems,
            wrong={problem.id: problem.text for problem in problems},
            document=visitor.field("document"),
            stands=visitor.field("wie"),
        )

    async def begin(self, visitor: PortalVisitor) -> Response:
        """Check the form, and open the session of this person."""
        t = visitor.words
        problems: list[Problem] = []
        document, stands = visitor.field("document"), visitor.field("wie")
        bsn = _number(visitor, "nummer", problems)
        if stands not in ("zelf", "ander"):
            problems.append(Problem("wie-zelf", t("counter.check.choose_who")))
        if document not in DOCUMENTS:
            problems.append(Problem(f"document-{DOCUMENTS[0]}", t("counter.check.choose_document")))
        if visitor.field("gecontroleerd") != "ja":
            problems.append(Problem("gecontroleerd", t("counter.check.not_checked")))
        if problems or bsn is None:
            return self._who(visitor, tuple(problems))
        check = await counter_of(visitor).begin(bsn, document, "zelf" if stands == "zelf" else "ander")
        page = "bewijs" if check.waits else "inwoner"
        # Another id for the browser: no earlier page, with a number on it, comes back with Back.
        return visitor.pages.new_id(visitor, visitor.go(f"/balie/{page}?controle={check.id}"))

    async def menu(self, visitor: PortalVisitor, check: Check) -> Response:
        """See or stop."""
        return self.show(visitor, check, "menu.html")

    async def finish(self, visitor: PortalVisitor) -> Response:
        """Klaar: end this check; one that was begun elsewhere since goes on."""
        counter = counter_of(visitor)
        if counter.check is not None and counter.check.id != visitor.field("controle"):
            return visitor.say(State("check_over", 409))
        counter.finish()
        return visitor.pages.new_id(visitor, visitor.go("/balie/klaar"))

    async def done(self, visitor: PortalVisitor) -> Response:
        return visitor.show("counter/done.html")

    # --- see ---------------------------------------------------------------------------

    async def see(self, visitor: PortalVisitor, check: Check) -> Response:
        """Own flags, choices and who looked, to read together and to print."""
        found = await gather(self.node, check.session)
        return self.show(
            visitor, check, "see.html", **everything(found, self._names(visitor)), at=found.looks.at
        )

    async def file(self, visitor: PortalVisitor, check: Check) -> Response:
        """Everything about this person as one file to take along; its name names nobody."""
        found = await gather(self.node, check.session)
        names, settings = self._names(visitor), self.node.settings
        keys = {"kid": settings.hub_id, "consent": settings.hub_consent_key}
        page = await asyncio.to_thread(rendered, visitor.pages.templates, found, visitor.words, names)
        raw = await asyncio.to_thread(packed, found, names, page, keys)
        headers = {**HEADERS, "Content-Disposition": 'attachment; filename="inzage.zip"'}
        return Response(raw, 200, headers, media_type="application/zip")

    # --- stop --------------------------------------------------------------------------

    async def stop(self, visitor: PortalVisitor, check: Check) -> Response:
        """Each yes in force with its button, one for all, and what the law still shows."""
        citizens = self.node.citizens
        choices = [
            self._stoppable(visitor, one) for one in await citizens.choices(check.session) if _open(one)
        ]
        standing = await citizens.standing(check.session)
        return self.show(visitor, check, "stop.html", choices=choices, law=by_law(standing.by_law))

    def _stoppable(self, visitor: PortalVisitor, choice: ChoiceView) -> Stoppable:
        t, names = visitor.words, self._names(visitor)
        kind = names.kind(choice.kind) if choice.kind else t("portal.choices.all")
        if choice.domain and not choice.kind:
            kind = t(f"counter.lock.domain.{choice.domain}")
        receiver = readable(choice.receiver.team) or t("portal.inbox.everybody")
        return Stoppable(choice.group, kind, receiver, t.day(choice.until) if choice.until else "")

    async def stop_now(self, visitor: PortalVisitor, check: Check) -> Response:
        """End one yes, or all of them."""
        t, wanted = visitor.words, visitor.field("wat")
        citizens = self.node.citizens
        try:
            if wanted == "alles":
                text = checked_text(t, check.document, t("portal.stop.button"))
                saved = await citizens.stop_all(check.session, text)
            else:
                text = checked_text(t, check.document, t("counter.stop.one"))
                saved = await citizens.withdraw(check.session, wanted, text)
        except HubUnreachable:
            return visitor.say(State("not_saved", 503))
        except BadInput:
            return visitor.say(State("form", 400))
        sentence = t("portal.saved.stopped") if wanted == "alles" else t("counter.stop.stopped")
        return self._saved(visitor, check, sentence, saved)

    # --- lock --------------------------------------------------------------------------

    async def lock(self, visitor: PortalVisitor, check: Check) -> Response:
        """What to lock: everything, or one domain."""
        return self._lock(visitor, check)

    def _lock(self, visitor: PortalVisitor, check: Check, problems: tuple[Problem, ...] = ()) -> Response:
        return self.show(
            visitor,
            check,
            "lock.html",
            400 if problems else 200,
            domains=[scope.code for scope in self.node.vocabulary.scopes],
            problems=problems,
        )

    async def choose_lock(self, visitor: PortalVisitor, check: Check) -> Response:
        wanted = visitor.field("wat")
        if wanted != "alles" and wanted not in {scope.code for scope in self.node.vocabulary.scopes}:
            problem = Problem("slot-alles", visitor.words("counter.lock.choose"))
            return self._lock(visitor, check, (problem,))
        check.drawer["lock"] = "" if wanted == "alles" else wanted
        return visitor.go(f"/balie/slot/gevolg?controle={check.id}")

    async def effect(self, visitor: PortalVisitor, check: Check) -> Response:
        """What the lock closes, and what the law still shows, before anything is saved."""
        domain = check.drawer.get("lock")
        if not isinstance(domain, str):
            return visitor.go(f"/balie/slot?controle={check.id}")
        found = await self.node.citizens.preview(check.session, Change("slot", domain=domain))
        return self.show(
            visitor,
            check,
            "effect.html",
            domain=domain,
            closed=by_kind(found.closed),
            law=by_law(found.by_law),
        )

    async def lock_now(self, visitor: PortalVisitor, check: Check) -> Response:
        domain = check.drawer.pop("lock", None)
        if not isinstance(domain, str) or visitor.field("gebied") != domain:
            return visitor.say(State("form", 400))
        t = visitor.words
        text = checked_text(t, check.document, lock_text(t, domain))
        try:
            saved = await self.node.citizens.choose(check.session, Change("slot", domain=domain), text)
        except HubUnreachable:
            return visitor.say(State("not_saved", 503))
        return self._saved(visitor, check, t("counter.lock.saved"), saved)

    # --- evidence ------------------------------------------------------------------------

    async def evidence(self, visitor: PortalVisitor, check: Check) -> Response:
        """Who represents this person, and by which decision."""
        return self._evidence(visitor, check)

    def _evidence(self, visitor: PortalVisitor, check: Check, problems: tuple[Problem, ...] = ()) -> Response:
        typed = {name: visitor.field(name) for name in ("als", "kenmerk", "tot")}
        return self.show(
            visitor,
            check,
            "evidence.html",
            400 if problems else 200,
            capacities=CAPACITIES,
            problems=problems,
            wrong={problem.id: problem.text for problem in problems},
            # What is no reference may be the number of a person: it is not shown again.
            typed=typed if is_reference(typed["kenmerk"]) else {**typed, "kenmerk": ""},
        )

    async def show_evidence(self, visitor: PortalVisitor, check: Check) -> Response:
        t = visitor.words
        problems: list[Problem] = []
        by, parent = visitor.field("als"), visitor.field("als") == "ouder"
        speaker = _number(visitor, "nummer", problems)
        if by not in CAPACITIES:
            problems.append(Problem(f"als-{CAPACITIES[0]}", t("counter.evidence.choose")))
        until = _day(visitor.field("tot"))
        if until is None and not parent:
            problems.append(Problem("tot", t("counter.evidence.wrong_day")))
        if not visitor.field("kenmerk") and not parent:
            problems.append(Problem("kenmerk", t("counter.evidence.no_reference")))
        if visitor.field("gecontroleerd") != "ja":
            problems.append(Problem("gecontroleerd", t("counter.evidence.not_checked")))
        if problems or speaker is None:
            return self._evidence(visitor, check, tuple(problems))
        try:
            saved = await counter_of(visitor).show_evidence(
                check, cast("Giver", by), speaker, visitor.field("kenmerk"), until
            )
        except NotAllowed as error:
            key = f"counter.evidence.refused.{NOT_NOW.get(error.reason, '')}"
            if not t.has(key):
                raise
            return self._evidence(visitor, check, (Problem(f"als-{CAPACITIES[0]}", t(key)),))
        except HubUnreachable:
            return visitor.say(State("not_saved", 503))
        return self._saved(visitor, check, t("counter.evidence.saved"), saved)

    # --- saved -------------------------------------------------------------------------

    def _saved(self, visitor: PortalVisitor, check: Check, sentence: str, saved: Saved | None) -> Response:
        receipts = (saved.receipt,) if saved else ()
        check.drawer["done"] = Done(sentence, receipts, moment_of(visitor, saved.at) if saved else "")
        return visitor.go(f"/balie/opgeslagen?controle={check.id}")

    async def saved(self, visitor: PortalVisitor, check: Check) -> Response:
        """What holds from now on; there is no undoing here, for that may open something."""
        done = check.drawer.get("done")
        if not isinstance(done, Done):
            return visitor.go(f"/balie/inwoner?controle={check.id}")
        return self.show(visitor, check, "saved.html", done=done)

    async def receipt(self, visitor: PortalVisitor, check: Check) -> Response:
        """The signed proof, for the citizen to take along."""
        done = check.drawer.get("done")
        if not isinstance(done, Done) or not done.receipts:
            return visitor.go(f"/balie/inwoner?controle={check.id}")
        headers = {**HEADERS, "Content-Disposition": 'attachment; filename="bewijs-van-uw-keuze.txt"'}
        return Response("\n".join(done.receipts) + "\n", 200, headers, media_type="text/plain")


def _open(choice: ChoiceView) -> bool:
    return choice.effect == "grant" and choice.in_force and choice.mine


def _number(visitor: PortalVisitor, name: str, problems: list[Problem]) -> Bsn | None:
    """The number in a field of the form; what is wrong with it joins the problems."""
    if not visitor.field(name):
        problems.append(Problem(name, visitor.words("desk.who.no_number")))
        return None
    try:
        return Bsn.parse(visitor.field(name))
    except BadBsn:
        problems.append(Problem(name, visitor.words("desk.who.wrong_number")))
        return None


def _day(text: str) -> date | None:
    """A day as a date field sends it, or as people type it: 2027-03-31 or 31-03-2027."""
    parts = text.split("-")
    if len(parts) != 3 or not all(part.isascii() and part.isdigit() and len(part) <= 4 for part in parts):
        return None
    year, month, day = parts if len(parts[0]) == 4 else reversed(parts)
    try:
        found = date(int(year), int(month), int(day))
    except ValueError:
        return None
    return found if found.year < _LAST_YEAR else None
