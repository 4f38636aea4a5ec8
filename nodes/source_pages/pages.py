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

from fastapi import APIRouter
from starlette.datastructures import UploadFile
from starlette.responses import Response

from consent.pages import State, Visitor
from consent.pages.names import Names
from consent.pages.pages import Door
from nodes.citizen import readable
from nodes.connectors import csv
from nodes.connectors.plan import Plan, apply
from nodes.errors import BadInput, HubUnreachable, ReceiptInvalid, Refused, UnknownReference
from nodes.pages import Guest, NodePages
from nodes.runtime import NodeRuntime

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
}
"""Codes of a rejection that have a repair of their own; another code gets the general sentence."""
FIELDS = {"bsn": "number", "kind": "kind", "since": "dates", "until": "dates", "localref": "reference"}


LARGEST_LIST = 5 * 1024 * 1024


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
        ("/bron/soorten", "source.nav_kinds"),
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
    pages.add(routes, "/bron/soorten", source.kinds, who=may)
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
        await apply(plan, self._node.intake, confirm_shrink=confirmed)
        visitor.drawer["said"] = visitor.words("source.import.done")
        return visitor.go("/bron")

    async def kinds(self, visitor: SourceVisitor) -> Response:
        """S8, read only."""
        return visitor.show(
            "source/kinds.html",
            names=Names(self._node.vocabulary, visitor.words.language),
            kinds=self._node.source.kinds(),
        )


def repair(code: str, field: str) -> str:
    """The key of the sentence that says how to repair a rejection."""
    by_field = FIELDS.get(field.rpartition(".")[2].replace("_", "").lower(), "other")
    return f"source.repair.{REPAIRS.get(code, by_field)}"
