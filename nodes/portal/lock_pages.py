"""Everything locked, or one domain: a no that no narrower yes passes, until the citizen ends it.

    /mijn/slot -> what it closes and what the law still shows -> saved
               -> what opening it again would show            -> saved

Source: policy.md §2.3 and §2.5.
"""

from fastapi import APIRouter
from starlette.responses import Response

from consent.pages import State
from nodes.citizen import Change, ChoiceView
from nodes.errors import BadInput, HubUnreachable
from nodes.pages import NodePages
from nodes.runtime import NodeRuntime

from .export import lock_text
from .pages import Done, Portal, PortalVisitor, by_kind, by_law, is_citizen, moment_of, session_of


def router(pages: NodePages, node: NodeRuntime) -> APIRouter:
    """The page, its effect, and the button."""
    lock = _Lock(node)
    routes = APIRouter()
    pages.add(routes, "/mijn/slot", lock.ask, who=is_citizen)
    pages.add(routes, "/mijn/slot", lock.choose, who=is_citizen, methods=("POST",))
    pages.add(routes, "/mijn/slot/gevolg", lock.effect, who=is_citizen)
    pages.add(routes, "/mijn/slot/opslaan", lock.save, who=is_citizen, methods=("POST",))
    pages.add(routes, "/mijn/slot/open", lock.choose_open, who=is_citizen, methods=("POST",))
    pages.add(routes, "/mijn/slot/open", lock.open_effect, who=is_citizen)
    pages.add(routes, "/mijn/slot/open/opslaan", lock.open_now, who=is_citizen, methods=("POST",))
    return routes


class _Lock(Portal):
    """The handlers; each is one screen or one button."""

    async def ask(self, visitor: PortalVisitor) -> Response:
        return await self._ask(visitor)

    async def _ask(self, visitor: PortalVisitor, *, wrong: bool = False) -> Response:
        problems = [{"id": "slot-alles", "text": visitor.words("counter.lock.choose")}] if wrong else []
        domains = [scope.code for scope in self.node.vocabulary.scopes]
        return self.show(
            visitor,
            "lock.html",
            400 if wrong else 200,
            domains=domains,
            problems=problems,
            locks=await self._locks(visitor),
        )

    async def _locks(self, visitor: PortalVisitor) -> list[ChoiceView]:
        """The locks that this person may open."""
        own = await self.node.citizens.choices(session_of(visitor))
        return [one for one in own if one.effect == "slot" and one.in_force and one.mine]

    async def choose(self, visitor: PortalVisitor) -> Response:
        wanted = visitor.field("wat")
        if wanted != "alles" and wanted not in {scope.code for scope in self.node.vocabulary.scopes}:
            return await self._ask(visitor, wrong=True)
        visitor.drawer["lock"] = "" if wanted == "alles" else wanted
        return visitor.go("/mijn/slot/gevolg")

    async def effect(self, visitor: PortalVisitor) -> Response:
        """What it closes, and what stays visible by law, before anything is saved."""
        domain = visitor.drawer.get("lock")
        if not isinstance(domain, str):
            return visitor.go("/mijn/slot")
        found = await self.node.citizens.preview(session_of(visitor), Change("slot", domain=domain))
        closed, law = by_kind(found.closed), by_law(found.by_law)
        return self.show(visitor, "lock_effect.html", domain=domain, closed=closed, law=law)

    async def save(self, visitor: PortalVisitor) -> Response:
        # Taken out first: a second click on the button, or another tab, saves nothing twice.
        domain = visitor.drawer.pop("lock", None)
        if not isinstance(domain, str) or visitor.field("gebied") != domain:
            return visitor.go("/mijn/slot")
        shown = lock_text(visitor.words, domain)
        try:
            saved = await self.node.citizens.choose(session_of(visitor), Change("slot", domain=domain), shown)
        except HubUnreachable:
            return visitor.say(State("not_saved", 503))
        sentence = visitor.words("portal.lock.saved")
        at = moment_of(visitor, saved.at)
        return self.go_saved(visitor, Done(sentence, (saved.receipt,), at, saved.group, "/mijn/slot"))

    async def choose_open(self, visitor: PortalVisitor) -> Response:
        visitor.drawer["unlock"] = visitor.field("wat")
        return visitor.go("/mijn/slot/open")

    async def open_effect(self, visitor: PortalVisitor) -> Response:
        """What would be visible again: said before the button, not after it."""
        group = visitor.drawer.get("unlock")
        if not isinstance(group, str):
            return visitor.go("/mijn/slot")
        try:
            found = await self.node.citizens.preview_withdrawal(session_of(visitor), group)
        except BadInput:
            return visitor.go("/mijn/slot")
        return self.show(visitor, "lock_open.html", opened=by_kind(found.opened), group=group)

    async def open_now(self, visitor: PortalVisitor) -> Response:
        group = visitor.drawer.pop("unlock", None)
        if not isinstance(group, str) or visitor.field("wat") != group:
            return visitor.go("/mijn/slot")
        shown = visitor.words("portal.lock.open")
        try:
            saved = await self.node.citizens.withdraw(session_of(visitor), group, shown)
        except BadInput:
            return visitor.go("/mijn/slot")
        except HubUnreachable:
            return visitor.say(State("not_saved", 503))
        sentence, at = visitor.words("portal.lock.opened"), moment_of(visitor, saved.at)
        return self.go_saved(visitor, Done(sentence, (saved.receipt,), at, "", "/mijn/slot"))
