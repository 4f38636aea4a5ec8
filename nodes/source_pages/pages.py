"""For the manager of a source: is everything sent, what waits, what was rejected and how to repair it.

Shows counts, local references and reasons; never a person.

Source: screens.md §7.
"""

from datetime import UTC, datetime

from fastapi import APIRouter
from starlette.responses import Response

from consent.pages import Visitor
from consent.pages.names import Names
from consent.pages.pages import Door
from nodes.pages import Guest, NodePages
from nodes.runtime import NodeRuntime

SourceVisitor = Visitor[Guest]

REPAIRS = {
    "missing": "missing",
    "required": "missing",
    "bsn": "number",
    "elfproef": "number",
    "kind": "kind",
    "unknown-kind": "kind",
    "not-registered": "kind",
    "date": "dates",
    "until-before-since": "dates",
    "far-future": "dates",
}
"""Codes of a rejection that have a repair of their own; another code gets the general sentence."""
FIELDS = {"bsn": "number", "kind": "kind", "since": "dates", "until": "dates", "localref": "reference"}


def router(pages: NodePages, node: NodeRuntime) -> APIRouter:
    """The pages of the source, for the role that the settings name."""
    source = _Source(node)
    routes = APIRouter()
    may = _manages
    for path, label in (
        ("/bron", "source.nav"),
        ("/bron/geweigerd", "source.nav_rejected"),
        ("/bron/soorten", "source.nav_kinds"),
    ):
        pages.doors.append(Door(path, label, may))
    pages.add(routes, "/bron", source.overview, who=may)
    pages.add(routes, "/bron/geweigerd", source.rejected, who=may)
    pages.add(routes, "/bron/geweigerd", source.dismiss, who=may, methods=("POST",))
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
        return visitor.show("source/overview.html", overview=overview, now=datetime.now(UTC))

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
        if id_.isascii() and id_.isdigit():
            await self._node.source.dismiss(int(id_))
            visitor.drawer["said"] = visitor.words("source.rejected.dismissed")
        return visitor.go("/bron/geweigerd")

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
