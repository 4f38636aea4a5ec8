"""What the portal does for a citizen who is logged in: own flags, choices and log.

    BSN + grant -> pseudonyms in all scopes (the BSN ends here) -> a session at the hub -> ticket

The session lives in memory only: pseudonyms for writing choices, the ticket
for everything else. Every view is recorded as an own view. What a choice
changes is computed by the same functions that decide at the hub.

Source: docs/design/pseudonyms.md, "Citizen portal"; docs/design/consent.md, "Effect preview".
"""

import asyncio
import hashlib
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from typing import Literal, NoReturn, TypeVar, get_args

import msgspec

from consent.claims import ANY, Claim, may_object, objection_with
from consent.directive import Directive, Giver, Right
from consent.preview import Cell as PreviewCell
from consent.preview import PossibleAsker, effects
from consent.pseudonym import Pseudonym
from consent.receipt import Receipt
from consent.receipt import ReceiptInvalid as ConsentReceiptInvalid
from consent.receipt import verify as verify_consent
from consent.resolve import Receiver as AskingTeam
from consent.resolve import add_months, measures_of
from consent.state import NOTHING_CHOSEN, ChoiceState, fold
from index.protocol.codec import SCOPES, b64u, unb64u
from index.protocol.directory import OrganisationEntry
from index.protocol.entry import SOMETHING, kinds_shown, log_id
from index.protocol.entry import Asker as LoggedAsker
from index.protocol.export import files_of
from index.protocol.messages import (
    ChoiceEntry,
    ChoiceRequest,
    ClosingRequest,
    LogLine,
    ObjectionRequest,
    OwnClaim,
    OwnCodeAnswer,
    OwnCodeRequest,
    OwnDirective,
    OwnFlag,
    RelationRequest,
    RightItem,
)
from index.protocol.note import parse_checkpoint, parse_note, year_of
from index.protocol.points import seal_points
from policy.vocabulary import UnknownCode, Vocabulary

from .ages import next_boundary, regime_of
from .bsn import Bsn
from .codes import digest_of_code
from .errors import BadInput, HubUnreachable, LoginExpired, NodeError, NotAllowed, ReceiptInvalid, Refused
from .hub import CITIZEN, Asking, Hub, new_message_id
from .looks import check_lines, leaf_of_line
from .policy import HubPolicy, InForce
from .proofs import Confirmation, ConfirmedLog
from .pseudonymise import Pseudonymiser
from .representation import (
    CURATELE_BY_BRP,
    CURATELE_MONTHS,
    OWN,
    SAY,
    Known,
    Speaker,
    check_choice,
    check_mandate,
    end_of_choice,
    stale,
)
from .settings import NodeSettings
from .trust import Trust
from .visits import instant, source_name

Answer = TypeVar("Answer")
_CITIZENS = ("", *get_args(Giver))
"""Actors of a citizen's own sessions; any other is the id of an employee at a counter."""
_PARENT_MONTHS = 3
"""How long what a parent asks holds where the child's age is not known."""


@dataclass(frozen=True, slots=True)
class RightView:
    """A right that was used about a kind, of one publisher (`publisher`) or any (0).

    `due`: until when an answer is asked; None where none is, or it was given. `mine`: this
    session may end it.
    """

    group: str
    right: Right
    kind: str
    publisher: int
    opened: datetime
    due: datetime | None
    answer: str
    answered: datetime | None
    extended: bool
    suspended: bool
    mine: bool


@dataclass(frozen=True, slots=True)
class OwnFlagView:
    """A flag about the citizen, also when nobody may see it."""

    kind: str
    label: str
    sentence: str
    domain: str
    since: str
    until: str | None
    name: str
    desk: str
    confirmed_on: date | None
    source: int = 0
    """The number of the node that published it."""
    rights: tuple["RightView", ...] = ()


@dataclass(frozen=True, slots=True)
class Receiver:
    """Who may look: everybody (all empty), an organisation, a team of it, a role in that team."""

    oin: str = ""
    team: str = ""
    role: str = ""


@dataclass(frozen=True, slots=True)
class ReceiverView:
    """A receiver the portal offers a choice for, such as a team, with the name a citizen reads."""

    receiver: Receiver
    name: str


@dataclass(frozen=True, slots=True)
class Change:
    """One choice before it is made. Empty `kind` and `domain`: all subjects; empty purpose: all.

    `months` is how long a yes holds (3, 6 or 12); a no has no end. A slot is a no that no
    narrower yes passes.
    """

    effect: Literal["grant", "deny", "slot"]
    kind: str = ""
    domain: str = ""
    receiver: Receiver = Receiver()
    purpose: str = ""
    months: Literal[3, 6, 12] = 12


@dataclass(frozen=True, slots=True)
class ChoiceView:
    """A choice as it was made, over all its scopes (`group`); `mine`: this session may end it."""

    group: str
    effect: Literal["grant", "deny", "withdraw", "slot", "regime"]
    kind: str
    domain: str
    receiver: Receiver
    purpose: str
    made_at: datetime
    until: datetime | None
    in_force: bool
    by: Giver = "zelf"
    mine: bool = True
    provisional: bool = False


@dataclass(frozen=True, slots=True)
class CodeView:
    """The visit that a code opened: a choice under it is about this team, and a yes for this purpose."""

    code: str = field(repr=False)
    receiver: ReceiverView
    role: str
    purpose: str
    scopes: tuple[str, ...]
    until: datetime


@dataclass(frozen=True, slots=True)
class EnteredView:
    """What an employee entered for the citizen, with the team and role that did."""

    group: str
    effect: str
    kind: str
    receiver: str
    purpose: str
    by: str
    role: str
    made_at: datetime
    until: datetime | None
    in_force: bool

    @property
    def waits(self) -> bool:
        """A yes from a form that the citizen has not confirmed."""
        return self.effect == "grant" and self.in_force


@dataclass(frozen=True, slots=True)
class Notice:
    """What the inbox says. `ends`: a yes ends on `at`; `older`: another age regime begins then."""

    what: Literal["ends", "older"]
    at: datetime
    choice: ChoiceView | None = None


@dataclass(frozen=True, slots=True)
class Cell:
    """One square of who sees what. Codes, as in `Receiver`; `label` is the kind's."""

    kind: str
    label: str
    organisation: str
    team: str
    role: str
    purpose: str


@dataclass(frozen=True, slots=True)
class Effects:
    """What a change would open and close, and what stays visible by law, by the deciding engine."""

    opened: list[Cell]
    closed: list[Cell]
    by_law: list[Cell]


@dataclass(frozen=True, slots=True)
class Saved:
    """A choice that holds from now on. `receipt` is the signed proof, a file for the citizen."""

    receipt: str
    group: str
    at: datetime


@dataclass(frozen=True, slots=True)
class LookLine:
    """One line of "wie heeft gekeken", its place in the log checked.

    `seen` holds labels of kinds; `something`: only that there is something was seen;
    `activity` is the entry's `t` (`lookup`, `log_view`, `relation`, ...).
    """

    at: datetime
    activity: str
    organisation: str
    role: str
    role_label: str
    purpose: str
    purpose_label: str
    seen: list[str]
    refused: str
    own: bool
    urgent: bool
    something: bool = False
    by: str = ""
    """Of an own view: who looked, when that was somebody else who may choose for this person."""
    counter: bool = False
    """At a counter: an employee did it, after a check of who the citizen is. Then it is no own view."""


@dataclass(frozen=True, slots=True)
class LooksView:
    """All lines the citizen may see now, newest first.

    `verified` is true when every line was recomputed (handle, leaf, inclusion) and the
    numbers of each chain run from 1 without a gap; `checked` of `total` lines held.
    """

    lines: list[LookLine]
    verified: bool
    checked: int
    total: int
    at: datetime
    confirmed_by: int = 0
    """Witnesses that cosigned the history these lines stand in; 0 where no quorum did."""
    confirmed_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """Who may see what now. `possible`: what each receiver would see if the citizen said yes to all.

    With `consent.preview.effects`: by consent is `opened` from no choices to the folded ones,
    possible is `opened` from no choices to a yes for everything and everybody.
    """

    by_consent: list[Cell]
    by_law: list[Cell]
    possible: list[Cell]


class CitizenSession:
    """A citizen's session: pseudonyms and ticket in memory only, 15 minutes idle and 1 hour in all."""

    __slots__ = (
        "_claims",
        "_closed",
        "_directives",
        "_lids",
        "_pseudonyms",
        "_ticket",
        "counter",
        "known",
        "opened_at",
        "speaker",
        "used_at",
    )

    def __init__(
        self,
        ticket: str,
        pseudonyms: Sequence[Pseudonym],
        opened_at: datetime,
        known: Known,
        speaker: Speaker = OWN,
        *,
        counter: str = "",
    ) -> None:
        self._ticket = ticket
        self.known = known
        self.speaker = speaker
        self.counter = counter
        self._pseudonyms = {value.scope: value for value in pseudonyms}
        self._lids = {value.scope: log_id(value.scope, value.for_search_key()) for value in pseudonyms}
        self._directives: list[OwnDirective] | None = None
        self._claims: list[OwnClaim] = []
        self._closed = False
        self.opened_at = self.used_at = opened_at

    def __repr__(self) -> str:
        return "<CitizenSession>"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a citizen's session stays in memory")

    @property
    def asking(self) -> Asking:
        """As it will stand in the log."""
        return asking_of(self.speaker, self.counter)

    def mine(self, entry: OwnDirective) -> bool:
        """Whether who speaks here may end it: their own, and for the person what a gemachtigde decided."""
        own = (entry.by, entry.giver) == (self.speaker.by, self.speaker.giver)
        return own or (self.speaker.by == "zelf" and entry.by == "gemachtigde")


def asking_of(speaker: Speaker, counter: str = "") -> Asking:
    """Who looks, where that is not the person: the employee of a counter, or the speaker's capacity."""
    actor = counter or ("" if speaker.by == "zelf" else speaker.by)
    return replace(CITIZEN, actor=actor)


class Citizens:
    """Opens and serves citizen sessions.

    Args:
        consent_key: The hub's pinned public key of consent receipts.
        log_vkey: The pinned key of the log.
        policy: What the hub decides under; what a choice changes is computed by it.
        now: Clock, UTC.
    """

    def __init__(
        self,
        hub: Hub,
        pseudonymiser: Pseudonymiser,
        trust: Trust,
        vocabulary: Vocabulary,
        *,
        policy: HubPolicy,
        confirmed: ConfirmedLog,
        settings: NodeSettings,
        now: Callable[[], datetime],
    ) -> None:
        self._hub = hub
        self._confirmed = confirmed
        self._policy = policy
        self._pseudonymiser = pseudonymiser
        self._trust = trust
        self._vocabulary = vocabulary
        self._settings = settings
        self._now = now
        self._boundaries = vocabulary.limits.age_boundaries
        self._endings: set[asyncio.Task[None]] = set()

    # --- the session -------------------------------------------------------------------

    async def open(
        self,
        bsn: Bsn,
        grant: str,
        born: date | None,
        *,
        known: Known | None = None,
        speaker: Speaker = OWN,
        counter: str = "",
    ) -> CitizenSession:
        """Evaluate all scopes under the broker's grant and open a session at the hub.

        What is known now ends earlier entries first: of another age, of a former parent.

        Args:
            bsn: Whose choices these are; who speaks is in `speaker`.
            grant: Of one login for one person: the key holders count it.
            born: The latest day the birth date can be; None when it is not known.
            known: Everything known of this person, in place of `born` alone.
            counter: Id of the employee at a counter who opens it; such a session opens nothing else.

        Raises:
            NotAllowed: `parent-of-adult`: from 16 a parent sees nothing.
            HoldersUnreachable, HolderLied, HolderRefused, HubUnreachable, Refused,
            ReceiptInvalid: No session was opened.
        """
        known = known or Known(born)
        if speaker.by == "ouder" and regime_of(known.born, self._now()) == "zelf":
            raise NotAllowed("parent-of-adult")
        scopes = tuple(scope for scope in SCOPES if self._trust.manifest.current.scope_key(scope))
        found = await self._pseudonymiser.pseudonymise([(bsn, scopes)], "citizen", grant)
        values = found.pseudonyms[0]
        message_id = new_message_id()
        points = [value.for_sealed_points() for value in values]
        opened = self._now()
        limit = timedelta(minutes=self._vocabulary.limits.citizen_session_minutes)
        request = RelationRequest(
            class_="citizen",
            persons=1,
            scopes=list(scopes),  # type: ignore[arg-type]  # SCOPES are the protocol's
            until=instant(opened + limit),
            version=found.version,
            points=b64u(seal_points(self._trust.hub_key, self._settings.node_id, message_id, points)),
            receipts=found.receipts,
        )
        lids = [log_id(value.scope, value.for_search_key()) for value in values]
        asking = asking_of(speaker, counter)
        answer = await self._hub.open_relation(request, asking, message_id, [lids])
        session = CitizenSession(answer.tickets[0], values, opened, known, speaker, counter=counter)
        if known.born is not None or known.curatele is not None or known.holders is not None:
            await self._tidy(session)
        return session

    async def _tidy(self, session: CitizenSession) -> None:
        """Bring the ledger in line with what the BRP says now: stale entries, and curatele."""
        own = await self._ledger(session)
        for (by, giver), groups in _by_giver(
            stale(own, session.known, self._boundaries, self._now())
        ).items():
            for group, scopes in groups.items():
                entries = [ChoiceEntry(scope, "withdraw", withdraws=group) for scope in scopes]  # type: ignore[arg-type]
                await self._write(session, entries, "", Speaker(by, giver), tidying=True)
        if session.known.curatele is not None:
            await self._tidy_curatele(session, own)

    async def _tidy_curatele(self, session: CitizenSession, own: Sequence[OwnDirective]) -> None:
        by_brp = Speaker("curator", "", CURATELE_BY_BRP)
        held = [
            entry for entry in own if entry.effect == "regime" and entry.in_force and entry.by == "curator"
        ]
        soon = self._now() + timedelta(days=self._vocabulary.limits.consent_renewal_notice_days)
        if session.known.curatele:
            lasting = {
                entry.scope for entry in held if entry.until and datetime.fromisoformat(entry.until) > soon
            }
            until = instant(add_months(self._now(), CURATELE_MONTHS))
            missing = [scope for scope in session._pseudonyms if scope not in lasting]
            entries = [ChoiceEntry(scope, "regime", until=until) for scope in missing]  # type: ignore[arg-type]
            if entries:
                await self._write(session, entries, "", by_brp, tidying=True)
            return
        for group, scopes in (
            _by_giver([one for one in held if not one.giver]).get(("curator", ""), {}).items()
        ):
            over = [ChoiceEntry(scope, "withdraw", withdraws=group) for scope in scopes]  # type: ignore[arg-type]
            await self._write(session, over, "", by_brp, tidying=True)

    async def establish(self, session: CitizenSession, speaker: Speaker, until: datetime) -> Saved | None:
        """Enter what gives somebody a say, in all scopes it concerns or in none, unless it stands already.

        Args:
            session: About the person.
            speaker: The representative, with the evidence that a login or a counter saw.
            until: Of the evidence, UTC.

        Returns:
            None when it stands already.

        Raises:
            NotAllowed: The person is too young, or the BRP contradicts it.
        """
        check_mandate(speaker.by, session.known, self._now())
        concerned = [scope for scope in session._pseudonyms if scope in SAY.get(speaker.by, SCOPES)]
        until = min(until, add_months(self._now(), 60))
        standing = {
            entry.scope
            for entry in await self._ledger(session)
            if entry.effect == "regime"
            and entry.in_force
            and (entry.by, entry.giver) == (speaker.by, speaker.giver)
            and entry.until is not None
            and datetime.fromisoformat(entry.until) >= until - timedelta(days=1)
        }
        entries = [
            ChoiceEntry(scope, "regime", until=instant(until))  # type: ignore[arg-type]
            for scope in concerned
            if scope not in standing
        ]
        return await self._write(session, entries, "", speaker) if entries else None

    def close(self, session: CitizenSession) -> None:
        """Forget everything of the session, and let the hub end it."""
        if session._closed:
            return
        request, lids = ClosingRequest([session._ticket]), [list(session._lids.values())]
        asking = session.asking
        session._closed = True
        session._pseudonyms.clear()
        session._lids, session._directives, session._ticket = {}, None, ""

        async def end() -> None:
            # The hub's own idle limit ends it too; nothing is lost when this fails.
            with suppress(NodeError):
                await self._hub.close(request, asking, lids)

        with suppress(RuntimeError):
            task = asyncio.get_running_loop().create_task(end())
            self._endings.add(task)
            task.add_done_callback(self._endings.discard)

    async def settle(self) -> None:
        """Wait until the hub was told of every session closed; before connections are let go."""
        await asyncio.gather(*self._endings, return_exceptions=True)

    def _use(self, session: CitizenSession) -> tuple[str, list[bytes]]:
        """Ticket and log ids, when the session still holds."""
        limits, now = self._vocabulary.limits, self._now()
        idle = timedelta(minutes=limits.citizen_idle_minutes)
        whole = timedelta(minutes=limits.citizen_session_minutes)
        if session._closed or now - session.used_at > idle or now - session.opened_at > whole:
            self.close(session)
            raise LoginExpired
        if session.speaker.by == "ouder" and regime_of(session.known.born, now) == "zelf":
            # The sixteenth birthday comes at 00:00 whoever is logged in then.
            self.close(session)
            raise NotAllowed("parent-of-adult")
        session.used_at = now
        return session._ticket, list(session._lids.values())

    async def _asked(self, session: CitizenSession, answer: Awaitable[Answer]) -> Answer:
        try:
            return await answer
        except Refused as error:
            if error.reason == "ticket-refused":
                self.close(session)
                raise LoginExpired from None
            raise

    # --- reading -----------------------------------------------------------------------

    async def flags(self, session: CitizenSession) -> list[OwnFlagView]:
        """Own flags, those nobody may see included. Recorded as an own view."""
        ticket, lids = self._use(session)
        answer = await self._asked(session, self._hub.own_flags(ticket, lids, session.asking))
        return [self._flag(flag) for flag in answer.flags]

    async def what_is_known(self, session: CitizenSession) -> tuple[list[OwnFlagView], list[RightView]]:
        """Own flags, each with the rights in use about it, and the rights about no flag of these."""
        flags = await self.flags(session)
        await self._ledger(session)
        rights = [self._right(session, claim) for claim in session._claims]
        shown = [replace(flag, rights=_about(rights, flag)) for flag in flags]
        taken = {id(right) for flag in shown for right in flag.rights}
        return shown, [right for right in rights if id(right) not in taken]

    def may_object(self, kind: str) -> bool:
        """Whether a task is a basis of this kind: only against that there is objection."""
        return may_object(self._vocabulary.kind(kind))

    def _right(self, session: CitizenSession, claim: OwnClaim) -> RightView:
        own = (claim.by, claim.giver) == (session.speaker.by, session.speaker.giver)
        return RightView(
            group=claim.group,
            right=claim.right,
            kind=claim.kind,
            publisher=claim.publisher,
            opened=datetime.fromisoformat(claim.opened),
            due=_moment(claim.due),
            answer=claim.answer,
            answered=_moment(claim.answered),
            extended=claim.extended,
            suspended=claim.suspended,
            mine=(own or (session.speaker.by == "zelf" and claim.by != "ouder"))
            and not (claim.right == "objection" and claim.answer == "rejected"),
        )

    def _flag(self, flag: OwnFlag) -> OwnFlagView:
        kind = self._vocabulary.kind(flag.kind)
        name, desk = source_name(self._trust, flag.source, flag.kind)
        confirmed = None if flag.confirmed_at is None else datetime.fromisoformat(flag.confirmed_at).date()
        return OwnFlagView(
            kind=kind.code,
            label=kind.label,
            sentence=kind.sentence,
            domain=kind.domain,
            since=flag.since,
            until=flag.until,
            name=name,
            desk=desk,
            confirmed_on=confirmed,
            source=flag.source,
        )

    async def _ledger(self, session: CitizenSession) -> list[OwnDirective]:
        ticket, lids = self._use(session)
        answer = await self._asked(session, self._hub.own_choices(ticket, lids, session.asking))
        session._directives, session._claims = answer.directives, answer.claims
        return answer.directives

    async def choices(self, session: CitizenSession) -> list[ChoiceView]:
        """All choices ever made, newest first."""
        groups: dict[str, list[OwnDirective]] = {}
        for directive in await self._ledger(session):
            groups.setdefault(directive.group, []).append(directive)
        # Times are whole seconds; within one second a later choice has the higher number somewhere.
        newest = sorted(
            groups.items(), key=lambda item: max((own.from_, own.number) for own in item[1]), reverse=True
        )
        return [self._choice(session, group, copies) for group, copies in newest]

    async def notices(self, session: CitizenSession) -> list[Notice]:
        """What is to be told at this login, soonest first: a yes that ends, or another age, within 30 days.

        Computed from the ledger of who is logged in; nothing keeps a list of people, and nothing is
        renewed by itself.
        """
        now = self._now()
        soon = now + timedelta(days=self._vocabulary.limits.consent_renewal_notice_days)
        ending = [
            Notice("ends", choice.until, choice)
            for choice in await self.choices(session)
            if choice.mine
            and choice.effect == "grant"
            and choice.in_force
            and not choice.provisional
            and choice.until is not None
            and choice.until <= soon
        ]
        boundary = next_boundary(session.known.born, now, self._boundaries)
        older = [Notice("older", boundary)] if boundary is not None and boundary <= soon else []
        return sorted([*ending, *older], key=lambda notice: (notice.at, notice.what))

    def _choice(self, session: CitizenSession, group: str, copies: Sequence[OwnDirective]) -> ChoiceView:
        # A no carries the endings of each narrower yes; the choice itself is the rest.
        made = [copy for copy in copies if copy.effect != "withdraw"] or list(copies)
        first = made[0]
        # A choice about everything has one copy per scope and no category in any of them.
        category = first.category if len(made) == 1 else []
        oin, team, role = [*first.receiver, "", "", ""][:3]
        return ChoiceView(
            group=group,
            effect=first.effect,
            kind=category[1] if len(category) > 1 else "",
            domain=category[0] if category else "",
            receiver=Receiver(oin, team, role),
            purpose=first.purpose[-1] if first.purpose else "",
            made_at=datetime.fromisoformat(first.from_),
            until=None if first.until is None else datetime.fromisoformat(first.until),
            in_force=any(copy.in_force for copy in copies),
            by=first.by,
            mine=session.mine(first),
            provisional=first.channel == "formulier",
        )

    async def looks(self, session: CitizenSession) -> LooksView:
        """Who looked, every line verified; a line that does not hold is left out and the view says so.

        Raises:
            ReceiptInvalid: Not even the checkpoint holds; nothing is shown.
        """
        return (await self.own_log(session))[0]

    async def own_log(
        self, session: CitizenSession, wait_s: float = 0.0
    ) -> tuple[LooksView, dict[str, bytes]]:
        """As `looks`, with the files by which anybody can check the lines (`index.protocol.export`).

        Args:
            wait_s: How long to wait for witnesses to confirm the newest line too.

        Raises:
            ReceiptInvalid: Not even the checkpoint holds.
        """
        ticket, lids = self._use(session)
        answer = await self._asked(session, self._hub.own_log(ticket, lids, session.asking))
        vkey, own = self._settings.hub_log_vkey, dict(session._lids)
        found = await asyncio.to_thread(check_lines, answer, own, vkey)
        view = LooksView(
            lines=[self._line(asker) for _, asker in found.entries],
            verified=found.verified,
            checked=len(found.entries),
            total=found.total,
            at=self._now(),
        )
        listed = {scope: [lid] for scope, lid in own.items()}
        head = parse_checkpoint(parse_note(answer.checkpoint).text)
        year = year_of(head.origin)[1]
        confirmed = await self._confirmed.continuing(year, head, wait_s)
        proofs: dict[tuple[int, int], str] = {}
        if confirmed is not None:
            view = replace(view, confirmed_by=confirmed.by, confirmed_at=confirmed.at)
            if wait_s:
                # A tile that cannot be read now costs confirmations, not the citizen's own list.
                with suppress(HubUnreachable):
                    proofs = await self._confirmed_proofs(answer.lines, {year: confirmed})
        policy = self._confirmed.policy_text
        return view, await asyncio.to_thread(
            files_of,
            answer.lines,
            [answer.checkpoint, *answer.earlier],
            listed,
            vkey,
            proofs=proofs,
            policy=policy,
        )

    async def _confirmed_proofs(
        self, lines: Sequence[LogLine], known: dict[int, Confirmation]
    ) -> dict[tuple[int, int], str]:
        """Proofs of these lines under the confirmed checkpoint of their year; those that have one."""
        found: dict[tuple[int, int], str] = {}
        for year in {line.year for line in lines}:
            confirmed = known.get(year) or await self._confirmed.newest(year)
            if confirmed is not None:
                leaves = {line.index: leaf_of_line(line) for line in lines if line.year == year}
                made = await self._confirmed.proofs(year, sorted(leaves.items()), confirmed)
                found |= {(year, index): proof for index, proof in made.items()}
        return found

    async def receipts(self, session: CitizenSession) -> dict[str, tuple[str, Receipt]]:
        """A fresh signed receipt of every choice ever made, by group: the token and what it says.

        Raises:
            ReceiptInvalid: One does not verify; none is given.
        """
        ticket, lids = self._use(session)
        answer = await self._asked(session, self._hub.own_receipts(ticket, lids, session.asking))
        found: dict[str, tuple[str, Receipt]] = {}
        for token in answer.receipts:
            said = self._verified(token)
            found[said.record_id] = (token, said)
        return found

    async def rules(self) -> InForce:
        """What the hub decides under now."""
        return await self._policy.current()

    def _line(self, asker: LoggedAsker) -> LookLine:
        words = self._vocabulary
        shown = kinds_shown(unb64u(asker.shown))
        labels = {kind.number: kind.label for kind in words.kinds}
        citizens = asker.role == CITIZEN.role
        counter = citizens and asker.actor not in _CITIZENS
        return LookLine(
            at=datetime.fromtimestamp(asker.ts / 1000, UTC),
            activity="contact" if asker.t == "notice" and asker.node else asker.t,
            organisation=self._counter(asker) if counter else self._organisation(asker),
            role=asker.role,
            role_label=words.role(asker.role).label if words.has_role(asker.role) else "",
            purpose=asker.purpose,
            purpose_label=words.purpose(asker.purpose).label if words.has_purpose(asker.purpose) else "",
            seen=[labels[number] for number in shown if number in labels],
            something=SOMETHING in shown,
            refused=asker.refused,
            own=citizens and not counter,
            by=asker.actor if citizens and not counter else "",
            urgent=asker.bg == 1,
            counter=counter,
        )

    def _counter(self, asker: LoggedAsker) -> str:
        """The counter's name; empty for a portal that has none now, or another portal's."""
        counter, own = self._settings.counter, self._settings.node_id
        return counter.name if counter is not None and asker.node == own else ""

    def _organisation(self, asker: LoggedAsker) -> str:
        """A team's readable id, or the neutral names under which the source is registered."""
        if asker.team:
            return readable(asker.team)
        node = self._trust.directory.node(asker.node)
        if node is None:
            return ""
        kinds = self._trust.directory.organisation_of(node).kinds
        names = [
            entry.display_name
            for entry in kinds
            if self._vocabulary.has_kind(entry.kind)
            and self._vocabulary.kind(entry.kind).domain in node.scopes
        ]
        return ", ".join(dict.fromkeys(names))

    # --- who may see what --------------------------------------------------------------

    def receivers(self) -> list[ReceiverView]:
        """Every team of the directory whose organisation may look, in a fixed order; the same for everybody.

        A name is the team's id in readable form (`wijkteam-noord`: Wijkteam Noord); no organisation's
        other name is shown.
        """
        found = [
            ReceiverView(Receiver(organisation.oin, team.id), readable(team.id))
            for organisation in self._looking()
            for team in organisation.teams
        ]
        return sorted(found, key=lambda view: (view.name, view.receiver.oin))

    def _looking(self) -> list[OrganisationEntry]:
        return [
            organisation
            for organisation in self._trust.directory.organisations
            if self._vocabulary.organisation_class(organisation.class_).may_view
        ]

    async def closed_to(self, classes: Sequence[str]) -> bool:
        """Whether no organisation of these classes can look, under every profile in use (policy P13)."""
        rules = await self._policy.current()
        words = rules.version.vocabulary
        profiles = {rules.profile_of(organisation.oin) for organisation in self._looking()}
        # The insurer's role is the one by which a class marked creditor may look.
        return not any("extern_zorg" in words.profile(code).roles for code in profiles) and not any(
            words.organisation_class(code).may_view for code in classes
        )

    async def standing(self, session: CitizenSession) -> Standing:
        """Who may see what as of now, by the deciding engine, over all kinds and receivers."""
        states = self._with_rights(self._folded(await self._ledger(session)), session._claims)
        return await asyncio.to_thread(self._standing, states, await self._policy.current())

    def _standing(self, states: Mapping[str, ChoiceState | None], rules: InForce) -> Standing:
        version, askers, now = rules.version, self._askers(rules), self._now()
        nothing: dict[str, ChoiceState | None] = dict.fromkeys(states)
        yes = Directive(1, bytes(16), "grant", from_=now, until=add_months(now, 1), explicit=True)
        everything = dict.fromkeys(states, fold(None, yes))
        given = effects(version, nothing, states, askers, now)
        possible = effects(version, nothing, everything, askers, now)
        return Standing(
            _cells(rules, given.opened), _cells(rules, given.by_law), _cells(rules, possible.opened)
        )

    async def preview(self, session: CitizenSession, change: Change, code: CodeView | None = None) -> Effects:
        """What the change would open and close; nothing is written. `code` as for `choose`."""
        # Anew each time: another who has a say may have chosen since.
        standing = await self._ledger(session)
        entries = self._entries(session, within(change, code), code.scopes if code else SCOPES)
        if change.effect != "grant":
            entries = _with_closings(entries, standing, session)
        return await self._after(session, standing, entries)

    async def preview_withdrawal(self, session: CitizenSession, group: str) -> Effects:
        """What ending an earlier choice would open and close: the end of a no may open something.

        Raises:
            BadInput: No choice of this group is in force.
        """
        own = await self._ledger(session)
        return await self._after(session, own, self._withdrawing(session, own, group))

    async def preview_stop_all(self, session: CitizenSession) -> Effects:
        """What ending every own yes would close."""
        own = await self._ledger(session)
        return await self._after(session, own, _every_yes(session, own))

    async def _after(
        self, session: CitizenSession, own: Sequence[OwnDirective], entries: Sequence[ChoiceEntry]
    ) -> Effects:
        """Both sides by the deciding engine: the ledger as it is, and with these entries added."""
        rules = await self._policy.current()
        before = self._with_rights(self._folded(own), session._claims)
        after = dict(before)
        for entry in entries:
            state = after[entry.scope]
            number = state.number + 1 if state else 1
            drafted = self._drafted(session, entry, number)
            after[entry.scope] = _objecting(drafted, state, rules.version.vocabulary)
        found = await asyncio.to_thread(
            effects, rules.version, before, after, self._askers(rules), self._now()
        )
        return Effects(_cells(rules, found.opened), _cells(rules, found.closed), _cells(rules, found.by_law))

    def _askers(self, rules: InForce) -> list[PossibleAsker]:
        """Every team, role and purpose that can ask, under what is registered for its organisation."""
        seconds = int(self._now().timestamp())
        roles = [role for role in rules.version.vocabulary.roles if role.bsn_allowed]
        return [
            PossibleAsker(
                rules.asker(organisation, role.code, purpose, seconds),
                AskingTeam(organisation.oin, team.id, role.code),
                rules.formers(organisation.oin, team.id),
            )
            for organisation in self._looking()
            for team in organisation.teams
            for role in roles
            for purpose in role.purposes
        ]

    def _folded(self, directives: Sequence[OwnDirective]) -> dict[str, ChoiceState | None]:
        """The folded choices per scope, replayed from the ledger by the same `fold` as the hub's."""
        states: dict[str, ChoiceState | None] = {scope.code: None for scope in self._vocabulary.scopes}
        for own in sorted(directives, key=lambda own: (own.scope, own.number)):
            before = states[own.scope]
            directive = Directive(
                # Between the numbers of choices stand those of rights; only the order matters here.
                number=before.number + 1 if before else 1,
                group=unb64u(own.group, 16),
                effect=own.effect,
                category=tuple(own.category),
                receiver=tuple(own.receiver),
                purpose=tuple(own.purpose),
                from_=datetime.fromisoformat(own.from_),
                until=None if own.until is None else datetime.fromisoformat(own.until),
                explicit=own.explicit,
                by=own.by,
                regime=own.regime,
                giver=own.giver,
                evidence="+" if own.proven else "",
                evidence_until=None if own.proven_until is None else datetime.fromisoformat(own.proven_until),
                channel=own.channel,
                withdraws=unb64u(own.withdraws),
            )
            states[own.scope] = fold(before, directive)
        return states

    def _with_rights(
        self, states: Mapping[str, ChoiceState | None], claims: Sequence[OwnClaim]
    ) -> dict[str, ChoiceState | None]:
        """The folded choices with the rights in use, which close what a task would show."""
        return {
            scope: replace(state or NOTHING_CHOSEN, claims=own)
            if (own := tuple(_claim(claim) for claim in claims if claim.scope == scope))
            else state
            for scope, state in states.items()
        }

    # --- by a visit's code, or after a form -----------------------------------------------

    def pseudonym(self, session: CitizenSession, scope: str) -> Pseudonym:
        """The person's pseudonym in one scope, for as long as the session holds."""
        self._use(session)
        return session._pseudonyms[scope]

    async def open_code(self, session: CitizenSession, code: str) -> CodeView:
        """The visit behind a code that a desk gave this person, once and within its minutes.

        Raises:
            BadInput: `code`: it opens nothing here; why is not told.
        """
        answer = await self._own_code(session, code, done=False)
        return CodeView(
            code,
            ReceiverView(Receiver(answer.organisation, answer.team), readable(answer.team)),
            answer.role,
            answer.purpose,
            tuple(answer.scopes),
            datetime.fromisoformat(answer.until),
        )

    async def code_done(self, session: CitizenSession, code: str) -> None:
        """Tell the desk that this person is done, and nothing else."""
        await self._own_code(session, code, done=True)

    async def _own_code(self, session: CitizenSession, code: str, *, done: bool) -> OwnCodeAnswer:
        ticket, lids = self._use(session)
        request = OwnCodeRequest(ticket, b64u(digest_of_code(code)), done)
        try:
            return await self._asked(session, self._hub.own_code(request, lids, session.asking))
        except Refused as error:
            if error.reason == "code-refused":
                raise BadInput("code", "code", "This code does not work.") from None
            raise

    async def entered(self, session: CitizenSession, *, fresh: bool = True) -> list[EnteredView]:
        """What employees entered for this person, newest first, with the role and team that did.

        Args:
            fresh: Ask the hub, which is a recorded look; else the ledger read last will do.
        """
        known = None if fresh else session._directives
        found: dict[str, OwnDirective] = {}
        for own in await self._ledger(session) if known is None else known:
            if own.entered and own.effect != "withdraw":
                found.setdefault(own.group, own)
        views = [self._entered(own) for own in found.values()]
        return sorted(views, key=lambda view: view.made_at, reverse=True)

    def _entered(self, own: OwnDirective) -> EnteredView:
        number, team, role = own.entered
        node = self._trust.directory.node_by_number(number)
        found = self._trust.directory.organisation_of(node).team_by_number(team) if node else None
        return EnteredView(
            group=own.group,
            effect=own.effect,
            kind=own.category[1] if len(own.category) > 1 else "",
            receiver=readable(own.receiver[1]) if len(own.receiver) > 1 else "",
            purpose=own.purpose[-1] if own.purpose else "",
            by=readable(found.id) if found else "",
            role=next((one.code for one in self._vocabulary.roles if one.number == role), ""),
            made_at=datetime.fromisoformat(own.from_),
            until=None if own.until is None else datetime.fromisoformat(own.until),
            in_force=own.in_force,
        )

    async def form_of(self, session: CitizenSession, code: str) -> EnteredView:
        """The form that a letter's code confirms, while it still holds.

        Raises:
            BadInput: `code`: no form of this person waits for it.
        """
        group = b64u(digest_of_code(code)) if code else ""
        for view in await self.entered(session):
            if view.group == group and view.waits:
                return view
        raise BadInput("code", "code", "This code does not work.")

    async def confirm(
        self, session: CitizenSession, group: str, months: Literal[3, 6, 12], text_shown: str
    ) -> Saved:
        """Write an own yes in place of the form that an employee entered.

        Raises:
            BadInput: No form of this group waits any more.
            NotAllowed: As for any choice.
        """
        own = await self._ledger(session)
        form = next((one for one in own if one.group == group and one.channel == "formulier"), None)
        if form is None or not form.in_force:
            raise BadInput("group", "unknown-group", "This form does not wait any more.")
        change = Change("grant", kind=form.category[-1], months=months)
        check_choice(
            session.speaker,
            session.known,
            "grant",
            scopes=[form.scope],
            measures=self._measures(own, [form.scope]),
            now=self._now(),
        )
        (entry,) = self._entries(session, change)
        yes = msgspec.structs.replace(entry, receiver=form.receiver, purpose=form.purpose)
        return await self._write(
            session, [yes, ChoiceEntry(form.scope, "withdraw", withdraws=group)], text_shown
        )

    # --- choosing ----------------------------------------------------------------------

    async def choose(
        self, session: CitizenSession, change: Change, text_shown: str, code: CodeView | None = None
    ) -> Saved:
        """Write the choice in all its scopes or in none. `text_shown` is what the citizen confirmed.

        With `code` it is about that visit: its scopes, and a yes for its purpose.

        A no also ends every narrower yes of one's own inside it: narrower beats
        broader, so without that a no for everything would leave it open.

        Raises:
            BadInput: A kind, domain, receiver or purpose that nobody can decide about.
            NotAllowed: Who speaks here may not decide this; see `representation.check_choice`.
            Refused: The hub refuses; nothing was written, and the refusal is in the citizen's log.
        """
        entries = self._entries(session, within(change, code), code.scopes if code else SCOPES)
        own = session._directives
        if own is None or change.effect != "grant":
            own = await self._ledger(session)
        scopes = [entry.scope for entry in entries]
        measures = self._measures(own, scopes)
        check_choice(
            session.speaker, session.known, change.effect, scopes=scopes, measures=measures, now=self._now()
        )
        if change.effect != "grant":
            entries = _with_closings(entries, own, session)
        return await self._write(session, entries, text_shown, code=code.code if code else "")

    def _measures(self, own: Sequence[OwnDirective], scopes: Sequence[str]) -> frozenset[str]:
        states = self._folded(own)
        return frozenset().union(*(measures_of(states[scope], self._now()) for scope in scopes))

    async def withdraw(self, session: CitizenSession, group: str, text_shown: str) -> Saved:
        """End an earlier choice of one's own; also how a choice is undone.

        What a no ended comes back with its undoing, for the time it still had.

        Raises:
            BadInput: No choice of this group is in force.
            NotAllowed: `age`: below 12 the parents choose; `counter-gives-no-yes`: the end of a no
                at a counter.
        """
        if session.speaker.by == "zelf" and regime_of(session.known.born, self._now()) == "ouder":
            raise NotAllowed("age")
        own = await self._ledger(session)
        closed = any(one.group == group and one.effect in ("deny", "slot") for one in own)
        if session.counter and closed:
            raise NotAllowed("counter-gives-no-yes")
        return await self._write(session, self._withdrawing(session, own, group), text_shown)

    def _withdrawing(
        self, session: CitizenSession, own: Sequence[OwnDirective], group: str
    ) -> list[ChoiceEntry]:
        scopes = [
            scope
            for scope in SCOPES
            if any(d.group == group and d.scope == scope and d.in_force and session.mine(d) for d in own)
        ]
        if not scopes:
            raise BadInput("group", "unknown-group", "This choice does not exist.")
        entries = [ChoiceEntry(scope, "withdraw", withdraws=group) for scope in scopes]  # type: ignore[arg-type]
        return entries + _given_back(session, own, group, self._now())

    async def stop_all(self, session: CitizenSession, text_shown: str) -> Saved | None:
        """End every own yes in force, in all scopes in one transaction or none of it.

        Returns:
            None when there is no yes to end; nothing is written then.

        Raises:
            NotAllowed: `age`: below 12 the parents choose.
            Refused: The hub refuses; everything is as it was.
        """
        if session.speaker.by == "zelf" and regime_of(session.known.born, self._now()) == "ouder":
            raise NotAllowed("age")
        entries = _every_yes(session, await self._ledger(session))
        return await self._write(session, entries, text_shown) if entries else None

    async def use_right(
        self, session: CitizenSession, right: Right, kind: str, publisher: int, text_shown: str
    ) -> Saved:
        """Dispute a flag, object to it, or have it not shown for now; holds from the next lookup.

        Raises:
            BadInput: No such kind.
            NotAllowed: `age`: below 12 the parents ask.
            Refused: The hub refuses (in use already, rejected before, no task); nothing was written.
        """
        try:
            scope = self._vocabulary.kind(kind).domain
        except UnknownCode:
            raise BadInput("kind", "unknown-code", "This subject does not exist.") from None
        boundary = next_boundary(session.known.born, self._now(), self._boundaries)
        parent = session.speaker.by == "ouder"
        ends = (boundary or add_months(self._now(), _PARENT_MONTHS)) if parent else None
        item = RightItem(
            scope,  # type: ignore[arg-type]  # the vocabulary's scopes are the protocol's
            right,
            kind=kind,
            publisher=publisher,
            until=instant(ends) if ends else None,
        )
        return await self._write_right(session, item, text_shown)

    async def end_right(self, session: CitizenSession, group: str, right: Right, text_shown: str) -> Saved:
        """End a right that was used.

        Raises:
            BadInput: Nothing of this group stands.
        """
        await self._ledger(session)
        found = [claim for claim in session._claims if (claim.group, claim.right) == (group, right)]
        if not found:
            raise BadInput("group", "unknown-group", "This does not exist.")
        return await self._write_right(session, RightItem(found[0].scope, right, ends=group), text_shown)

    async def _write_right(self, session: CitizenSession, item: RightItem, text_shown: str) -> Saved:
        speaker, regime = session.speaker, regime_of(session.known.born, self._now())
        if speaker.by == "zelf" and regime == "ouder":
            raise NotAllowed("age")
        ticket, _ = self._use(session)
        group, message_id = b64u(secrets.token_bytes(16)), new_message_id()
        point = session._pseudonyms[item.scope].for_sealed_points()
        request = ObjectionRequest(
            ticket=ticket,
            version=self._trust.manifest.current.version,
            points=b64u(seal_points(self._trust.hub_key, self._settings.node_id, message_id, [point])),
            group=group,
            text=b64u(hashlib.sha256(text_shown.encode()).digest()),
            regime=regime,
            by=speaker.by,
            items=[item],
            giver=speaker.giver,
            evidence=speaker.evidence,
            channel="balie" if session.counter else "portaal",
        )
        lids = [session._lids[item.scope]]
        answer = await self._asked(session, self._hub.use_right(request, message_id, lids, session.asking))
        self._check_receipt(answer.receipt, group, [item.scope])
        return Saved(answer.receipt, group, self._now())

    def _entries(
        self, session: CitizenSession, change: Change, scopes: Sequence[str] = SCOPES
    ) -> list[ChoiceEntry]:
        """One entry per scope that the change touches and that this speaker has a say about."""
        words, speaker = self._vocabulary, session.speaker
        end = end_of_choice(
            speaker,
            session.known,
            change.effect,
            months=change.months,
            boundaries=self._boundaries,
            now=self._now(),
        )
        until = instant(end) if end else None
        said = SAY.get(speaker.by, SCOPES)
        receiver = [change.receiver.oin, change.receiver.team, change.receiver.role]
        path = [part for part in receiver if part]
        try:
            purpose = list(words.purpose(change.purpose).path) if change.purpose else []
            if change.kind:
                kind = words.kind(change.kind)
                places = [(kind.domain, [kind.domain, kind.code])]
            elif change.domain:
                places = [(change.domain, [change.domain])]
            else:
                places = [
                    (scope.code, []) for scope in words.scopes if scope.code in said and scope.code in scopes
                ]
        except UnknownCode:
            raise BadInput("choice", "unknown-code", "This subject or purpose does not exist.") from None
        if path != receiver[: len(path)]:
            raise BadInput("receiver", "form", "A team needs its organisation, a role its team.")
        return [
            ChoiceEntry(
                scope,  # type: ignore[arg-type]  # the vocabulary's scopes are the protocol's
                change.effect,
                category=category,
                receiver=path,
                purpose=purpose,
                until=until,
                # A yes to one named subject is explicit; a yes to many at once is not.
                explicit=change.effect == "grant" and bool(change.kind),
            )
            for scope, category in places
        ]

    def _drafted(self, session: CitizenSession, entry: ChoiceEntry, number: int) -> Directive:
        return Directive(
            number=number,
            group=bytes(16),
            effect=entry.effect,
            category=tuple(entry.category),
            receiver=tuple(entry.receiver),
            purpose=tuple(entry.purpose),
            from_=self._now(),
            until=None if entry.until is None else datetime.fromisoformat(entry.until),
            explicit=entry.explicit,
            by=session.speaker.by,
            regime=regime_of(session.known.born, self._now()),
            giver=session.speaker.giver,
            evidence=session.speaker.evidence,
            withdraws=unb64u(entry.withdraws),
        )

    async def _write(
        self,
        session: CitizenSession,
        entries: list[ChoiceEntry],
        text_shown: str,
        speaker: Speaker | None = None,
        *,
        tidying: bool = False,
        code: str = "",
    ) -> Saved:
        """Write in all scopes or in none.

        Args:
            tidying: What the BRP says is entered, whoever opened the session; no counter decides it.

        Raises:
            NotAllowed: `counter-gives-no-yes`.
        """
        speaker = speaker or session.speaker
        if session.counter and any(entry.effect == "grant" for entry in entries):
            raise NotAllowed("counter-gives-no-yes")
        ticket, _ = self._use(session)
        group, message_id = b64u(secrets.token_bytes(16)), new_message_id()
        named = {entry.scope for entry in entries}
        scopes = [scope for scope in SCOPES if scope in named and scope in session._pseudonyms]
        if len(scopes) != len(named):
            raise BadInput("choice", "unknown-code", "This subject does not exist.")
        points = [session._pseudonyms[scope].for_sealed_points() for scope in scopes]
        request = ChoiceRequest(
            ticket=ticket,
            version=self._trust.manifest.current.version,
            points=b64u(seal_points(self._trust.hub_key, self._settings.node_id, message_id, points)),
            group=group,
            text=b64u(hashlib.sha256(text_shown.encode()).digest()),
            regime=regime_of(session.known.born, self._now()),
            by=speaker.by,
            entries=entries,
            giver=speaker.giver,
            evidence=speaker.evidence,
            channel="balie" if session.counter and not tidying else "portaal",
            code=b64u(digest_of_code(code)) if code else "",
        )
        session._directives = None
        lids = [session._lids[scope] for scope in scopes]
        answer = await self._asked(session, self._hub.choose(request, message_id, lids, session.asking))
        self._check_receipt(answer.receipt, group, scopes)
        return Saved(answer.receipt, group, self._now())

    def _check_receipt(self, receipt: str, group: str, scopes: Sequence[str]) -> None:
        """The citizen gets only a receipt that verifies and names this choice in each of its scopes."""
        found = self._verified(receipt)
        if found.record_id != group or {term.scope for term in found.entries} != set(scopes):
            raise ReceiptInvalid("the receipt is about another choice")

    def _verified(self, token: str) -> Receipt:
        hub, key = self._settings.hub_id, self._settings.consent_key()
        try:
            return verify_consent(token, keys={hub: key}, issuer=hub)
        except ConsentReceiptInvalid as error:
            raise ReceiptInvalid(str(error)) from None


def _about(rights: Sequence[RightView], flag: OwnFlagView) -> tuple[RightView, ...]:
    """The rights that concern one flag; what its publisher answered takes the place of what any was asked."""
    own = [right for right in rights if right.kind == flag.kind and right.publisher == flag.source]
    answered = {right.group for right in own}
    own += [
        right
        for right in rights
        if right.kind == flag.kind and right.publisher == ANY and right.group not in answered
    ]
    return tuple(sorted(own, key=lambda right: right.opened))


def _claim(own: OwnClaim) -> Claim:
    return Claim(
        number=1,
        group=unb64u(own.group, 16),
        right=own.right,
        kind=own.kind,
        publisher=own.publisher,
        opened=datetime.fromisoformat(own.opened),
        until=_moment(own.until),
        answer=own.answer,
        answered=_moment(own.answered),
        extended=own.extended,
        by=own.by,
        giver=own.giver,
    )


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _by_giver(entries: Sequence[OwnDirective]) -> dict[tuple[Giver, str], dict[str, list[str]]]:
    """Scopes by group by giver, in scope order: a withdrawal is written per giver and group."""
    found: dict[tuple[Giver, str], dict[str, list[str]]] = {}
    for entry in sorted(entries, key=lambda entry: SCOPES.index(entry.scope)):
        scopes = found.setdefault((entry.by, entry.giver), {}).setdefault(entry.group, [])
        if entry.scope not in scopes:
            scopes.append(entry.scope)
    return found


def _with_closings(
    entries: list[ChoiceEntry], own: Sequence[OwnDirective], session: CitizenSession
) -> list[ChoiceEntry]:
    """The entries, and after each no a withdrawal of every own yes in force that lies inside it."""
    found: list[ChoiceEntry] = []
    for entry in entries:
        found.append(entry)
        if entry.effect in ("deny", "slot"):
            groups = dict.fromkeys(yes.group for yes in own if session.mine(yes) and _lies_inside(yes, entry))
            found += [ChoiceEntry(entry.scope, "withdraw", withdraws=group) for group in groups]
    return found


def _objecting(directive: Directive, state: ChoiceState | None, words: Vocabulary) -> ChoiceState:
    """The state after a choice, with the objection that a no to a task is as well."""
    after = fold(state, directive)
    entry = objection_with(directive, after, words)
    return after if entry is None else fold(after, entry)


def _every_yes(session: CitizenSession, own: Sequence[OwnDirective]) -> list[ChoiceEntry]:
    """A withdrawal of each own yes in force, once per scope and group."""
    found = dict.fromkeys(
        (yes.scope, yes.group)
        for yes in sorted(own, key=lambda yes: (SCOPES.index(yes.scope), yes.number))
        if yes.effect == "grant" and yes.in_force and session.mine(yes)
    )
    return [ChoiceEntry(scope, "withdraw", withdraws=group) for scope, group in found]


def _cells(rules: InForce, cells: Sequence[PreviewCell]) -> list[Cell]:
    return [
        Cell(
            kind=cell.kind,
            label=rules.version.vocabulary.kind(cell.kind).label,
            organisation=cell.receiver.organisation,
            team=cell.receiver.team,
            role=cell.receiver.role,
            purpose=cell.purpose,
        )
        for cell in cells
    ]


def _lies_inside(yes: OwnDirective, no: ChoiceEntry) -> bool:
    axes = (
        (yes.category, no.category),
        (yes.receiver, no.receiver),
        (yes.purpose, no.purpose),
    )
    return (
        yes.scope == no.scope
        and yes.effect == "grant"
        and yes.in_force
        and all(list(narrow[: len(broad)]) == list(broad) for narrow, broad in axes)
        and any(len(narrow) > len(broad) for narrow, broad in axes)
    )


def _given_back(
    session: CitizenSession, own: Sequence[OwnDirective], group: str, now: datetime
) -> list[ChoiceEntry]:
    """Each yes that the choice of this group ended, as it was, as far as it has not run out since."""
    ended = {(no.scope, no.withdraws) for no in own if no.group == group and no.effect == "withdraw"}
    return [
        ChoiceEntry(
            yes.scope,
            "grant",
            category=yes.category,
            receiver=yes.receiver,
            purpose=yes.purpose,
            until=yes.until,
            explicit=yes.explicit,
        )
        for yes in own
        if (yes.scope, yes.group) in ended
        and yes.effect == "grant"
        and (yes.by, yes.giver) == (session.speaker.by, session.speaker.giver)
        and (yes.until is None or datetime.fromisoformat(yes.until) > now)
    ]


def within(change: Change, code: CodeView | None) -> Change:
    """A change as a visit's code allows it: for its team only, and a yes for its purpose only."""
    if code is None:
        return change
    purpose = code.purpose if change.effect == "grant" else ""
    return replace(change, receiver=code.receiver.receiver, purpose=purpose)


def readable(team: str) -> str:
    """A team's id as a name: `wijkteam-noord` is Wijkteam Noord."""
    return " ".join(word.capitalize() for word in team.replace("_", "-").replace(".", "-").split("-") if word)
