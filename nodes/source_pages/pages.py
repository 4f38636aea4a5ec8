"""For the manager of a source: is everything sent, what waits, what was rejected and how to repair it.

Shows counts, local references and reasons; never a person. A list is tried
first; what it would do is shown, and done only after a second click.

Source: screens.md §7.
"""

import asyncio
import contextlib
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from fastapi import APIRouter
from starlette.datastructures import UploadFile
from starlette.responses import Response

from consent.pages import State, Visitor
from consent.pages.names import Names
from consent.pages.pages import Door
from nodes.citizen import readable
from nodes.connectors import csv
from nodes.connectors.plan import Action, Plan, Step, apply
from nodes.connectors.runs import TYPE
from nodes.errors import (
    BadInput,
    BadItems,
    HubUnreachable,
    NotAllowed,
    ReceiptInvalid,
    Refused,
    SourceOff,
    SourceUnreachable,
    UnknownReference,
    UnknownSource,
    Wrong,
)
from nodes.pages import Guest, NodePages
from nodes.runtime import NodeRuntime
from nodes.sender import Comparison

SourceVisitor = Visitor[Guest]

REPAIRS = {
    "required": "missing",
    "elfproef": "number",
    "unknown-kind": "kind",
    "kind-switched-off": "kind",
    "kind-not-registered": "kind",
    "self-declared": "kind",
    "month": "dates",
    "before-since": "dates",
    "too-far-ahead": "dates",
    "already-ended": "dates",
    "length": "reference",
    "not-nfc": "reference",
    "control-character": "reference",
    "holds-bsn": "reference",
    "duplicate-reference": "reference",
    "no-reference": "reference",
    "day": "dates",
    "deceased": "deceased",
    "unknown-code": "code",
    "clients": "clients",
    "defect": "defect",
    **dict.fromkeys(
        (
            "base64",
            "csv",
            "doctype",
            "empty",
            "encoding",
            "file-too-large",
            "form",
            "missing-column",
            "not-a-message",
            "not-excel",
            "not-xml",
            "too-large",
            "unknown-message",
            "unknown-version",
        ),
        "file",
    ),
}
"""Codes of a rejection that have a repair of their own; another code gets the general sentence."""
FIELDS = {"bsn": "number", "kind": "kind", "since": "dates", "until": "dates", "localref": "reference"}


OFF_PROBLEMS = {"name": "source.off.wrong_name"}
"""Why a step of switching off was not taken; another code means that something changed."""

LARGEST_LIST = 5 * 1024 * 1024
LARGEST_EXAMPLE = 512 * 1024
MOST_SHOWN = 100

Result = Literal["published", "retracted", "nothing"]
RESULTS: dict[Action, Result] = {
    "publish": "published",
    "update": "published",
    "correct": "published",
    "retract": "retracted",
    "unchanged": "nothing",
    "ended": "nothing",
}
WHY = {
    "new in the list": "new",
    "kind or period changed": "changed",
    "another BSN: the old flag is retracted first, then the new one published": "corrected",
    "as before": "same",
    "no longer in the list": "gone",
    "period and retention are over": "over",
    "it is granted or begun": "granted",
    "the allocation was withdrawn": "withdrawn",
    "the start was taken back": "start_back",
    "the support ended": "support_ended",
    "nothing was granted or begun": "not_granted",
    "the end date is past": "past",
    "the person died": "died",
    "a later message about this was heard before": "later",
    "a later message spoke of this since": "later",
    "what stood before stands": "stands",
    "what is rejected did nothing here": "stands",
    "the message changes nothing here": "no_change",
    "on hold: the mapping keeps the flag": "no_change",
    "a message that grants and ends nothing": "no_grant",
    "a message that accepts what was sent": "accepted",
    "the source takes it back": "source_back",
    "the source's state says nothing yet": "state",
    "a record of it is open": "open",
    "no record of it is open": "not_open",
    "nothing in it is a flag": "no_flag",
    "another channel than zaken": "channel",
    "the case is open": "case_open",
    "the case is closed": "case_closed",
    "a closed case that was never passed on": "case_closed",
    "the case was destroyed": "case_gone",
    "the case was destroyed before": "case_gone",
    "no flag came from this case": "case_none",
    "cases of this type are no flag": "no_flag",
    "this person left the case": "left",
    "the case names no person": "no_person",
}
"""What a connector says as its reason, as the key of a sentence below `source.why`."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A list that was tried and not yet imported; for this login only."""

    token: str
    content: bytes = field(repr=False)
    plan: Plan = field(repr=False)

    @property
    def share(self) -> int:
        """How much shorter the list is, in percent of what is live."""
        return round(100 * self.plan.lost / self.plan.before) if self.plan.before else 0


@dataclass(frozen=True, slots=True)
class TriedMessage:
    """What a pasted message would do: results with the key of the reason, and nothing of its content.

    `steps` is None where nothing could be read of it.
    """

    what: str
    problem: str = ""
    steps: list[tuple[Result, str, Step]] | None = None
    wrong: list[Wrong] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)


def router(pages: NodePages, node: NodeRuntime) -> APIRouter:
    """The pages of the source, for the role that the settings name."""
    source = _Source(node)
    routes = APIRouter()
    may = _manages
    for path, label in (
        ("/bron", "source.nav"),
        ("/bron/geweigerd", "source.nav_rejected"),
        ("/bron/betwist", "source.nav_disputes"),
        ("/bron/verzoeken", "source.nav_requests"),
        ("/bron/invoeren", "source.nav_import"),
        ("/bron/proefbericht", "source.nav_try"),
        ("/bron/vergelijken", "source.nav_compare"),
        ("/bron/soorten", "source.nav_kinds"),
        ("/bron/uitzetten", "source.nav_off"),
    ):
        pages.doors.append(Door(path, label, may))
    pages.add(routes, "/bron", source.overview, who=may)
    pages.add(routes, "/bron/geweigerd", source.rejected, who=may)
    pages.add(routes, "/bron/geweigerd", source.dismiss, who=may, methods=("POST",))
    pages.add(routes, "/bron/betwist", source.disputes, who=may)
    pages.add(routes, "/bron/betwist", source.answer_dispute, who=may, methods=("POST",))
    pages.add(routes, "/bron/verzoeken", source.requests, who=may)
    pages.add(routes, "/bron/verzoeken", source.request_done, who=may, methods=("POST",))
    pages.add(routes, "/bron/invoeren", source.choose_list, who=may)
    pages.add(routes, "/bron/invoeren", source.try_list, who=may, methods=("POST",), limit=LARGEST_LIST)
    pages.add(routes, "/bron/invoeren/proef", source.trial, who=may)
    pages.add(routes, "/bron/invoeren/proef", source.do_import, who=may, methods=("POST",))
    pages.add(routes, "/bron/opnieuw", source.again, who=may, methods=("POST",))
    pages.add(routes, "/bron/proefbericht", source.paste, who=may)
    pages.add(routes, "/bron/proefbericht", source.try_out, who=may, methods=("POST",), limit=LARGEST_EXAMPLE)
    pages.add(routes, "/bron/vergelijken", source.compared, who=may)
    pages.add(routes, "/bron/vergelijken", source.compare, who=may, methods=("POST",))
    pages.add(routes, "/bron/vergelijken/herstellen", source.repair_differences, who=may, methods=("POST",))
    pages.add(routes, "/bron/soorten", source.kinds, who=may)
    pages.add(routes, "/bron/uitzetten", source.switch, who=may)
    pages.add(routes, "/bron/uitzetten", source.switch_off, who=may, methods=("POST",))
    return routes


def _manages(guest: Guest) -> bool:
    return guest.manages_source


class _Source:
    """The handlers; each is one screen or one button."""

    def __init__(self, node: NodeRuntime) -> None:
        self._node = node

    async def overview(self, visitor: SourceVisitor) -> Response:
        """S1."""
        overview = await self._node.source.overview()
        said = str(visitor.drawer.pop("said", ""))
        return visitor.show("source/overview.html", overview=overview, now=datetime.now(UTC), said=said)

    async def rejected(self, visitor: SourceVisitor) -> Response:
        """S2."""
        return visitor.show(
            "source/rejected.html",
            rejected=await self._node.source.rejected(),
            aside=await asyncio.to_thread(self._node.sources.inbox.aside),
            repair=repair,
            said=str(visitor.drawer.pop("said", "")),
        )

    async def dismiss(self, visitor: SourceVisitor) -> Response:
        """Take a repaired line off the list."""
        id_ = visitor.field("regel")
        if id_.isascii() and id_.isdigit() and len(id_) < 16:
            await self._node.source.dismiss(int(id_))
            visitor.drawer["said"] = visitor.words("source.rejected.dismissed")
        return visitor.go("/bron/geweigerd")

    async def again(self, visitor: SourceVisitor) -> Response:
        """S2: work off once more what lies aside; a short list once somebody says that it is right."""
        id_, inbox = visitor.field("bericht"), self._node.sources.inbox
        number = int(id_) if id_.isascii() and id_.isdigit() and len(id_) < 16 else 0
        arrived = await asyncio.to_thread(inbox.aside_content, number)
        said = "source.rejected.gone"
        if arrived is not None:
            done = await self._node.sources.handle(arrived, confirm_shrink=visitor.field("korter") == "ja")
            said = "source.rejected.done" if done else "source.rejected.still"
            self._node.sender.wake()
        visitor.drawer["said"] = visitor.words(said)
        return visitor.go("/bron/geweigerd")

    async def paste(self, visitor: SourceVisitor) -> Response:
        """S3: the form, and below it what the last message of this login would have done."""
        tried = visitor.drawer.get("tried")
        return self._example(visitor, tried if isinstance(tried, TriedMessage) else TriedMessage(""))

    def _example(self, visitor: SourceVisitor, tried: TriedMessage, status: int = 200) -> Response:
        triable = self._node.sources.triable
        choices = [(name, name.removeprefix(TYPE), name.startswith(TYPE)) for name in triable]
        return visitor.show("source/try.html", status, choices=choices, repair=repair, tried=tried)

    async def try_out(self, visitor: SourceVisitor) -> Response:
        """S3: what a pasted message would do, why, and what is dropped of it. Nothing is kept of it."""
        what, text = visitor.field("koppeling"), visitor.form.get("bericht")
        content = text.strip().encode() if isinstance(text, str) else b""
        visitor.drawer.pop("tried", None)
        if not content:
            return self._example(visitor, TriedMessage(what, "source.try.empty"), 400)
        try:
            visitor.drawer["tried"] = await self._tried(what, content)
        except UnknownSource:
            return self._example(visitor, TriedMessage("", "source.try.unknown"), 400)
        except SourceUnreachable:
            return self._example(visitor, TriedMessage(what, "source.try.unreachable"), 503)
        return visitor.go("/bron/proefbericht")

    async def _tried(self, what: str, content: bytes) -> TriedMessage:
        try:
            tried = await self._node.sources.try_out(what, content)
        except BadItems as error:
            return TriedMessage(what, wrong=list(error.errors[:MOST_SHOWN]))
        except BadInput as error:
            return TriedMessage(what, wrong=[Wrong(error.field, error.code, error.detail)])
        steps = [step for step in tried.plan.steps[:MOST_SHOWN] if step.action != "rejected"]
        return TriedMessage(
            what,
            steps=[(RESULTS[step.action], why(step), step) for step in steps],
            wrong=[one.wrong for one in tried.plan.rejections[:MOST_SHOWN]],
            dropped=tried.dropped,
        )

    async def compared(self, visitor: SourceVisitor) -> Response:
        """S5: what the last comparison of this login found; nothing is asked by looking at the page."""
        found = visitor.drawer.get("compared")
        return visitor.show(
            "source/compare.html",
            found=found if isinstance(found, Comparison) else None,
            most=MOST_SHOWN,
            said=str(visitor.drawer.pop("said", "")),
            problem=str(visitor.drawer.pop("problem", "")),
        )

    async def compare(self, visitor: SourceVisitor) -> Response:
        """A button of S5: ask the index, and change nothing."""
        return await self._compare(visitor, repair=False)

    async def repair_differences(self, visitor: SourceVisitor) -> Response:
        """A button of S5: compare anew and repair what differs then."""
        return await self._compare(visitor, repair=True)

    async def _compare(self, visitor: SourceVisitor, *, repair: bool) -> Response:
        sender, drawer = self._node.sender, visitor.drawer
        drawer.pop("compared", None)
        try:
            found = await (sender.repair() if repair else sender.compare())
        except (HubUnreachable, ReceiptInvalid, Refused):
            drawer["problem"] = visitor.words("source.compare.away")
        else:
            if found is None:
                drawer["problem"] = visitor.words("source.compare.busy")
            elif repair:
                drawer["said"] = visitor.words("source.compare.repaired")
            else:
                drawer["compared"] = found
        return visitor.go("/bron/vergelijken")

    async def disputes(self, visitor: SourceVisitor) -> Response:
        """S7: what residents disagree with, soonest term first, and the answers that fit."""
        return visitor.show(
            "source/disputes.html",
            disputes=await self._node.disputes.open(),
            compelling={kind.code for kind in self._node.vocabulary.kinds if kind.compelling_child_safety},
            names=Names(self._node.vocabulary, visitor.words.language),
            said=str(visitor.drawer.pop("said", "")),
        )

    async def answer_dispute(self, visitor: SourceVisitor) -> Response:
        """A button of S7: one code for one question."""
        said = "source.disputes.answered"
        try:
            await self._node.disputes.answer(visitor.field("vraag"), visitor.field("antwoord"))
        except (UnknownReference, Refused):
            said = "source.disputes.gone"
        except BadInput:
            return visitor.say(State("form", 400))
        self._node.sender.wake()
        visitor.drawer["said"] = visitor.words(said)
        return visitor.go("/bron/betwist")

    async def requests(self, visitor: SourceVisitor) -> Response:
        """S9: who wants contact, under the own reference; what is not done first."""
        # What came before is shown, whether or not the hub can be asked for more.
        with contextlib.suppress(HubUnreachable, Refused, ReceiptInvalid):
            await self._node.contacts.fetch()
        return visitor.show(
            "source/requests.html",
            requests=await self._node.contacts.requests(),
            names=Names(self._node.vocabulary, visitor.words.language),
            readable=readable,
            said=str(visitor.drawer.pop("said", "")),
        )

    async def request_done(self, visitor: SourceVisitor) -> Response:
        """The button of S9."""
        said = "source.requests.said"
        try:
            await self._node.contacts.done(visitor.field("verzoek"))
        except UnknownReference:
            said = "source.requests.gone"
        visitor.drawer["said"] = visitor.words(said)
        return visitor.go("/bron/verzoeken")

    async def choose_list(self, visitor: SourceVisitor) -> Response:
        """S4, before a file is chosen."""
        return visitor.show("source/import.html", problem="")

    async def try_list(self, visitor: SourceVisitor) -> Response:
        """S4: read the list and say what it would do; nothing is queued."""
        file = visitor.form.get("lijst")
        content = await file.read() if isinstance(file, UploadFile) else b""
        problem = "" if content else "source.import.no_file"
        if content:
            try:
                plan = await self._plan(content)
            except BadInput:
                problem = "source.import.unreadable"
        if problem:
            return visitor.show("source/import.html", 400, problem=problem)
        visitor.drawer["trial"] = Trial(secrets.token_urlsafe(12), content, plan)
        return visitor.go("/bron/invoeren/proef")

    async def _plan(self, content: bytes) -> Plan:
        node = self._node
        return await asyncio.to_thread(
            csv.plan,
            content,
            node.outbox,
            node.rules,
            mapping=node.csv_mapping,
            shrink_share=node.settings.csv.shrink_share,
        )

    async def trial(self, visitor: SourceVisitor) -> Response:
        """S4: what the list would do, by action, and the lines that do not go along."""
        trial = visitor.drawer.get("trial")
        if not isinstance(trial, Trial):
            return visitor.go("/bron/invoeren")
        return self._trial(visitor, trial)

    def _trial(self, visitor: SourceVisitor, trial: Trial, *, changed: bool = False) -> Response:
        return visitor.show(
            "source/trial.html",
            409 if changed else 200,
            trial=trial,
            counts=trial.plan.counts,
            rejections=trial.plan.rejections[:100],
            repair=repair,
            changed=changed,
        )

    async def do_import(self, visitor: SourceVisitor) -> Response:
        """S4: do what was shown; when it would do something else by now, show that first."""
        trial = visitor.drawer.get("trial")
        if not isinstance(trial, Trial) or trial.token != visitor.field("proef"):
            return visitor.go("/bron/invoeren")
        plan = await self._plan(trial.content)
        confirmed = visitor.field("korter") == "ja"
        changed = plan.counts != trial.plan.counts
        if changed or (plan.shrinks and not confirmed):
            visitor.drawer["trial"] = again = Trial(trial.token, trial.content, plan)
            return self._trial(visitor, again, changed=changed)
        visitor.drawer.pop("trial")
        try:
            await apply(plan, self._node.intake, confirm_shrink=confirmed)
        except SourceOff:
            return visitor.go("/bron/uitzetten")
        visitor.drawer["said"] = visitor.words("source.import.done")
        return visitor.go("/bron")

    async def switch(self, visitor: SourceVisitor) -> Response:
        """S6: what would be taken back, and which step comes now."""
        return await self._switch(visitor)

    async def _switch(self, visitor: SourceVisitor, problem: str = "") -> Response:
        off = self._node.switching_off
        return visitor.show(
            "source/off.html",
            409 if problem else 200,
            switch=await asyncio.to_thread(off.state),
            organisation=off.name,
            own=visitor.person.id,
            problem=problem,
            said=str(visitor.drawer.pop("said", "")),
        )

    async def switch_off(self, visitor: SourceVisitor) -> Response:
        """S6: ask, confirm as a colleague, or drop it."""
        off, step = self._node.switching_off, visitor.field("stap")
        try:
            if step == "vragen":
                await asyncio.to_thread(off.ask, visitor.person.id, visitor.field("naam"))
            elif step == "bevestigen":
                seen = visitor.field("aantal")
                number = int(seen) if seen.isascii() and seen.isdigit() and len(seen) < 10 else -1
                await asyncio.to_thread(off.confirm, visitor.person.id, number)
                self._node.sender.wake()
                visitor.drawer["said"] = visitor.words("source.off.done")
            elif step == "niet":
                await asyncio.to_thread(off.withdraw)
                visitor.drawer["said"] = visitor.words("source.off.dropped")
            else:
                return visitor.say(State("form", 400))
        except BadInput as error:
            return await self._switch(visitor, OFF_PROBLEMS.get(error.code, "source.off.changed"))
        except NotAllowed:
            return await self._switch(visitor, "source.off.colleague")
        return visitor.go("/bron/uitzetten")

    async def kinds(self, visitor: SourceVisitor) -> Response:
        """S8, read only."""
        return visitor.show(
            "source/kinds.html",
            names=Names(self._node.vocabulary, visitor.words.language),
            kinds=self._node.source.kinds(),
        )


def why(step: Step) -> str:
    """The key of the sentence that says why a message does what it does."""
    reason = step.reason.removesuffix("; nothing stood here")
    return f"source.why.{WHY.get(reason, 'other')}"


def repair(code: str, field: str) -> str:
    """The key of the sentence that says how to repair a rejection."""
    by_field = FIELDS.get(field.rpartition(".")[2].replace("_", "").lower(), "other")
    return f"source.repair.{REPAIRS.get(code, by_field)}"
