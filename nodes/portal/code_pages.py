"""A code from a desk, and a code from a letter: what a citizen does with them after logging in.

    address of the QR code -> login -> "go on" -> P2 for that team only -> choices -> done
    code of the letter -> the form that an employee entered -> an own yes in its place, or not

Opening an address uses no code: only the button does, for an address is opened by previews
and by Back too. A code that does not work gets one sentence, whatever is wrong with it.

Source: screens.md §5, "Assisted consent at the kitchen table"; P11.
"""

from typing import Literal, cast

from fastapi import APIRouter
from starlette.responses import Response

from consent.pages import State
from nodes.citizen import CodeView, EnteredView
from nodes.codes import read_code, shown
from nodes.errors import BadInput, HubUnreachable
from nodes.pages import NodePages
from nodes.runtime import NodeRuntime

from .pages import (
    PERIODS,
    Done,
    Portal,
    PortalVisitor,
    ReceiverBlock,
    is_citizen,
    moment_of,
    session_of,
    subjects_of,
)


def router(pages: NodePages, node: NodeRuntime) -> APIRouter:
    """The pages of codes, for citizens; the first of them for everybody."""
    codes = _Codes(node)
    routes = APIRouter()
    may = is_citizen
    pages.add(routes, "/code/{code}", codes.arrive, who=None)
    pages.add(routes, "/mijn/code", codes.field, who=may)
    pages.add(routes, "/mijn/code", codes.open, who=may, methods=("POST",))
    pages.add(routes, "/mijn/team", codes.team, who=may)
    pages.add(routes, "/mijn/team/klaar", codes.done, who=may, methods=("POST",))
    pages.add(routes, "/mijn/brief", codes.letter, who=may, methods=("POST",))
    pages.add(routes, "/mijn/bevestigen", codes.confirm, who=may)
    pages.add(routes, "/mijn/bevestigen", codes.save, who=may, methods=("POST",))
    return routes


class _Codes(Portal):
    """The handlers; each is one screen or one button."""

    async def arrive(self, visitor: PortalVisitor) -> Response:
        """Where the QR code leads: log in first, then the code stands in its field."""
        code = read_code(str(visitor.request.path_params["code"]))
        person = visitor.session.person if visitor.session else None
        if person is not None and is_citizen(person):
            return self.show(visitor, "code.html", typed=shown(code) if code else "", wrong=False)
        return visitor.show("portal/code_door.html", to=f"/code/{code}" if code else "/mijn/code")

    async def field(self, visitor: PortalVisitor) -> Response:
        """For who types the code."""
        return self.show(visitor, "code.html", typed="", wrong=False)

    async def open(self, visitor: PortalVisitor) -> Response:
        """Use the code, once."""
        code = read_code(visitor.field("code"))
        try:
            if not code:
                raise BadInput("code", "code")
            view = await self.node.citizens.open_code(session_of(visitor), code)
        except BadInput:
            return self.show(visitor, "code.html", 400, typed="", wrong=True)
        visitor.drawer["visit"] = view
        return visitor.go("/mijn/team")

    async def team(self, visitor: PortalVisitor) -> Response:
        """P2 for the team of the visit alone."""
        view = visitor.drawer.get("visit")
        if not isinstance(view, CodeView):
            return visitor.go("/mijn/code")
        standing = await self.node.citizens.standing(session_of(visitor))
        subjects = subjects_of(standing, view.receiver.receiver, view.purpose)
        domain = self.node.vocabulary.kind
        subjects = [subject for subject in subjects if domain(subject.kind).domain in view.scopes]
        block = ReceiverBlock(-1, view.receiver.name, subjects)
        return self.show(visitor, "team.html", block=block, visit=view)

    async def done(self, visitor: PortalVisitor) -> Response:
        """Tell the desk that this is done; whether anything was chosen is not told."""
        view = visitor.drawer.pop("visit", None)
        if not isinstance(view, CodeView):
            return visitor.go("/mijn")
        try:
            await self.node.citizens.code_done(session_of(visitor), view.code)
        except BadInput:
            return visitor.go("/mijn")  # the visit ended meanwhile; what was chosen stays
        except HubUnreachable:
            visitor.drawer["visit"] = view
            return visitor.say(State("not_saved", 503))
        return self.show(visitor, "code_done.html")

    # --- the code of a letter ----------------------------------------------------------

    async def letter(self, visitor: PortalVisitor) -> Response:
        """The form behind a letter's code, or behind a button of the own messages."""
        session, group = session_of(visitor), visitor.field("welke")
        try:
            if group:
                view = await self._waiting(visitor, group)
            else:
                view = await self.node.citizens.form_of(session, read_code(visitor.field("code")))
        except BadInput:
            return await self.messages(visitor, wrong=True)
        visitor.drawer["form"] = view
        return visitor.go("/mijn/bevestigen")

    async def _waiting(self, visitor: PortalVisitor, group: str) -> EnteredView:
        for view in await self.node.citizens.entered(session_of(visitor)):
            if view.group == group and view.waits:
                return view
        raise BadInput("code", "code")

    async def confirm(self, visitor: PortalVisitor) -> Response:
        view = visitor.drawer.get("form")
        if not isinstance(view, EnteredView):
            return visitor.go("/mijn/berichten")
        return self._confirm(visitor, view)

    def _confirm(self, visitor: PortalVisitor, view: EnteredView, *, wrong: bool = False) -> Response:
        return self.show(
            visitor, "confirm.html", 400 if wrong else 200, form=view, periods=PERIODS, wrong=wrong
        )

    async def save(self, visitor: PortalVisitor) -> Response:
        """An own yes in place of the form, or the end of the form."""
        view, t = visitor.drawer.get("form"), visitor.words
        if not isinstance(view, EnteredView):
            return visitor.go("/mijn/berichten")
        session, months = session_of(visitor), visitor.field("maanden")
        says_yes = visitor.field("keuze") == "grant"
        if says_yes and months not in [str(period) for period in PERIODS]:
            return self._confirm(visitor, view, wrong=True)
        visitor.drawer.pop("form", None)
        text = "\n".join(
            [t("portal.confirm.title"), view.receiver, view.kind, visitor.field("keuze"), months]
        )
        try:
            if says_yes:
                saved = await self.node.citizens.confirm(
                    session, view.group, cast("Literal[3, 6, 12]", int(months)), text
                )
            else:
                saved = await self.node.citizens.withdraw(session, view.group, text)
        except BadInput:
            return await self.messages(visitor, wrong=True)
        except HubUnreachable:
            visitor.drawer["form"] = view
            return visitor.say(State("not_saved", 503))
        effect = "grant" if says_yes else "deny"
        sentence = t(f"portal.saved.{effect}", receiver=view.receiver)
        visitor.drawer["done"] = Done(sentence, (saved.receipt,), moment_of(visitor, saved.at), "")
        return visitor.go("/mijn/opgeslagen")
