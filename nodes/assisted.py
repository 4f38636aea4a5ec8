"""What an employee does at the table for the citizen: give a code, enter a no, enter a signed form.

    open visit -> code for the citizen's own phone -> done or not, never what was chosen
    open visit -> no or slot -> holds at once
    open visit -> signed form with its number -> holds 72 hours, and a letter with a code to confirm it

The employee gives no yes: a yes from a form is provisional and lapses by itself.
Nothing of this is kept at the node; the code goes to the screen or the letter.

Source: docs/design/policy-and-consent.md, "Assisted consent"; policy.md §2.6.
"""

import hashlib
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal

from index.protocol.codec import b64u
from index.protocol.messages import AssistedRequest, ChoiceEntry, CodeRequest, CodeStateRequest
from policy.vocabulary import Kind, Vocabulary

from .codes import digest_of_code, new_code
from .employees import Employee
from .errors import BadInput, NotAllowed
from .hub import Hub, new_message_id
from .representation import is_reference
from .settings import NodeSettings
from .trust import Trust
from .visits import Visits

PORTAL_CLASS = "portaal"


@dataclass(frozen=True, slots=True)
class GivenCode:
    """A code for the citizen's phone, where it is typed, and until when (UTC) it opens."""

    code: str = field(repr=False)
    address: str = field(repr=False)
    portal: str
    until: datetime


@dataclass(frozen=True, slots=True)
class Letter:
    """What a letter to the citizen says: the code that confirms the form, where, and until when (UTC)."""

    code: str = field(repr=False)
    portal: str
    kind: str = field(repr=False)
    purpose: str
    team: str
    made: datetime
    until: datetime


class Assisted:
    """The desk's part of assisted consent.

    Args:
        now: Clock, UTC.
    """

    def __init__(
        self,
        visits: Visits,
        hub: Hub,
        trust: Trust,
        vocabulary: Vocabulary,
        settings: NodeSettings,
        *,
        now: Callable[[], datetime],
    ) -> None:
        self._visits = visits
        self._hub = hub
        self._trust = trust
        self._vocabulary = vocabulary
        self._settings = settings
        self._now = now

    # --- a code for the own phone --------------------------------------------------------

    async def give_code(self, employee: Employee, visit_id: str, person: int) -> GivenCode:
        """A code for one person of a visit (0-based place); it ends the one that was given before.

        Raises:
            UnknownVisit: Not an open visit of this employee, or no such person in it.
            NotAllowed: `no-portal`: the directory has no portal, or several and the settings name none.
            HubUnreachable, Refused, ReceiptInvalid: No code was given.
        """
        portal = self._portal()
        at = await self._visits.person(employee, visit_id, person)
        code = new_code()
        request = CodeRequest(at.ticket, b64u(digest_of_code(code)), portal[0])
        answer = await self._hub.give_code(request, at.asking, at.lids)
        # In the path and not in a query: it is short-lived, names nobody, and a phone shows it whole.
        address = f"{portal[1].rstrip('/')}/code/{code}"
        return GivenCode(code, address, portal[1], datetime.fromisoformat(answer.until))

    async def is_done(self, employee: Employee, visit_id: str, person: int) -> bool:
        """Whether the citizen said to be done with the code. Recorded, as every question is."""
        at = await self._visits.person(employee, visit_id, person)
        return (await self._hub.code_state(CodeStateRequest(at.ticket), at.asking, at.lids)).done

    def _portal(self) -> tuple[str, str]:
        """Id and address of the portal."""
        directory, wanted = self._trust.directory, self._settings.portal_node
        portals = [
            node
            for node in directory.nodes
            if directory.organisation_of(node).class_ == PORTAL_CLASS and "citizen" in node.classes
        ]
        found = [node for node in portals if node.id == wanted] if wanted else portals
        if len(found) != 1:
            raise NotAllowed("no-portal")
        return found[0].id, found[0].url

    # --- a no, or a form -------------------------------------------------------------------

    async def stop(
        self,
        employee: Employee,
        visit_id: str,
        person: int,
        *,
        effect: Literal["deny", "slot"],
        kind: str,
        text: str,
    ) -> None:
        """Enter a no for the own team, or a slot for everybody; it holds at once.

        Args:
            kind: One subject of the visit; empty for all of them.
            text: What the employee confirmed on the page; its digest is kept.
        """
        at = await self._visits.person(employee, visit_id, person)
        receiver = [self._trust.oin, employee.team] if effect == "deny" else []
        places = self._places(at.scopes, kind)
        entries = [ChoiceEntry(scope, effect, category, receiver) for scope, category in places]  # type: ignore[arg-type]
        request = AssistedRequest(
            at.ticket, b64u(secrets.token_bytes(16)), _digest(text), entries, regime="zelf"
        )
        lids = [at.lids[at.scopes.index(scope)] for scope, _ in places]
        await self._hub.assist(request, at.asking, new_message_id(), lids)

    def _places(self, scopes: Sequence[str], kind: str) -> list[tuple[str, list[str]]]:
        if not kind:
            return [(scope, []) for scope in scopes]
        if not self._vocabulary.has_kind(kind) or self._vocabulary.kind(kind).domain not in scopes:
            raise BadInput("kind", "unknown-kind", "This subject is not part of the visit.")
        domain = self._vocabulary.kind(kind).domain
        return [(domain, [domain, kind])]

    async def subjects(self, employee: Employee, visit_id: str) -> list[Kind]:
        """The kinds that a no can be about in this visit: of its scopes, with consent possible."""
        at = await self._visits.person(employee, visit_id, 0)
        return [
            kind
            for kind in self._vocabulary.kinds
            if kind.enabled and kind.consent_possible and kind.domain in at.scopes
        ]

    async def form_subjects(self, employee: Employee, visit_id: str) -> list[Kind]:
        """The kinds that a form can be about: also seen by this role for this purpose, and outside art. 9."""
        visit = await self._visits.person(employee, visit_id, 0)
        role = self._vocabulary.role(employee.role)
        return [
            kind
            for kind in await self.subjects(employee, visit_id)
            if kind.code in role.toestemming and visit.asking.purpose in kind.purposes and not kind.art9_or_10
        ]

    async def enter_form(
        self,
        employee: Employee,
        visit_id: str,
        person: int,
        *,
        kind: str,
        reference: str,
        text: str,
        adult: bool,
    ) -> Letter:
        """Enter a signed form; it holds 72 hours, unless the citizen confirms it.

        Args:
            reference: The number on the form; 1 to 32 plain characters, no citizen's number.
            adult: The employee established that the person is 16 or older.

        Raises:
            BadInput: `no-form`, `bad-form`, `not-adult` or `unknown-kind`; nothing was sent.
            Refused: `form-art9`, `form-again`, ...: nothing was written, and the citizen sees the attempt.
        """
        if not reference:
            raise BadInput("form", "no-form", "Without a form there is no yes.")
        if not is_reference(reference):
            raise BadInput("form", "bad-form", "A reference is short, plain, and no citizen's number.")
        if not adult:
            raise BadInput("adult", "not-adult", "A form is for somebody of 16 or older.")
        portal = self._portal()
        at = await self._visits.person(employee, visit_id, person)
        if not kind:
            raise BadInput("kind", "unknown-kind", "A form names one subject.")
        ((scope, category),) = self._places(at.scopes, kind)
        purpose = list(self._vocabulary.purpose(at.asking.purpose).path)
        receiver = [self._trust.oin, employee.team]
        code = new_code()
        request = AssistedRequest(
            at.ticket,
            b64u(digest_of_code(code)),
            _digest(text),
            [ChoiceEntry(scope, "grant", category, receiver, purpose)],  # type: ignore[arg-type]
            regime="zelf",
            form=reference,
        )
        lids = [at.lids[at.scopes.index(scope)]]
        await self._hub.assist(request, at.asking, new_message_id(), lids)
        made = self._now()
        until = made + timedelta(hours=self._vocabulary.limits.assisted_consent_hours)
        return Letter(code, portal[1], kind, at.asking.purpose, employee.team, made, until)


def _digest(text: str) -> str:
    return b64u(hashlib.sha256(text.encode()).digest())
