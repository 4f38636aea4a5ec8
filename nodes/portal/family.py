"""For whom a login chooses: oneself, a child by the BRP, or the person that the login itself speaks for.

    checked login -> what the BRP says -> a mandate, or oneself with one's children -> a session each

One grant of the broker opens one person. Numbers of children stay in memory,
for this login only, until a session was opened or the login ends.

Source: docs/adr/0011-a-grant-for-each-person-a-parent-chooses-for.md; screens.md P10.
"""

from dataclasses import dataclass, field
from typing import Any

from consent.pages import Identity
from nodes.ages import birth_date
from nodes.brp import BrpPerson
from nodes.bsn import Bsn
from nodes.citizen import CitizenSession
from nodes.errors import BrpUnavailable, HolderRefused, LoginExpired, NotAllowed
from nodes.representation import (
    OWN,
    Child,
    Known,
    Mandate,
    Speaker,
    check_mandate,
    children_of,
    giver_of,
    known_of,
    read_mandate,
    refuse_if_gone,
)
from nodes.runtime import NodeRuntime
from nodes.settings import OidcSettings

from .grant import fetch_grant


@dataclass(slots=True)
class Family:
    """What one login may choose about. `brp_away`: ages and children are not known now."""

    own: CitizenSession
    children: list[Child] = field(default_factory=list, repr=False)
    brp_away: bool = False
    opened: dict[int, CitizenSession] = field(default_factory=dict, repr=False)
    name: str = field(default="", repr=False)
    """Of the person a login speaks for, where the login says it."""

    def sessions(self) -> list[CitizenSession]:
        return [self.own, *self.opened.values()]


async def welcome(node: NodeRuntime, identity: Identity) -> Family:
    """Open the session of who logged in, or of the person they speak for. The numbers end here.

    Raises:
        BadBsn: The login gave no citizen service number.
        NotAllowed: Nobody may choose here on this login; `reason` says why.
    """
    login = node.settings.login or OidcSettings(issuer="", client_id="")
    bsn = Bsn.parse(identity.claims.get(login.bsn_claim))
    mandate = read_mandate(identity.claims.get(login.represents_claim), node.now())
    about = mandate.about if mandate else bsn
    record, known, away = await known_now(node, bsn, about, identity.claims.get(login.birthdate_claim))
    speaker = OWN
    if mandate is not None:
        if about == bsn:
            raise NotAllowed("wrong-evidence")
        check_mandate(mandate.by, known, node.now())
        speaker = Speaker(mandate.by, giver_of(node.keys.secret, bsn, about), mandate.evidence)
    grant = await fetch_grant(node.settings, identity.id_token)
    session = await node.citizens.open(about, grant, known.born, known=known, speaker=speaker)
    family = Family(session, brp_away=away, name=mandate.name if mandate else "")
    if mandate is not None:
        await _establish(node, session, mandate)
    elif record is not None:
        await _find_children(node, family, record, identity.id_token)
    return family


async def known_now(
    node: NodeRuntime, bsn: Bsn, about: Bsn, claim: Any = None
) -> tuple[BrpPerson | None, Known, bool]:
    """The BRP's record of who logged in, what is known of whom it is about, and whether the BRP was away.

    Raises:
        NotAllowed: `deceased` or `number-changed`.
    """
    if node.brp is None:
        return None, Known(birth_date(claim)) if bsn == about else Known(), False
    try:
        records = await node.brp.persons([bsn] if bsn == about else [bsn, about])
    except BrpUnavailable:
        return None, Known(), True
    for record in records:
        if record is not None:
            refuse_if_gone(record)
    subject = records[-1]
    return records[0], known_of(node.keys.secret, subject) if subject else Known(), subject is None


async def _establish(node: NodeRuntime, session: CitizenSession, mandate: Mandate) -> None:
    try:
        await node.citizens.establish(session, session.speaker, mandate.until)
    except BaseException:
        node.citizens.close(session)
        raise


async def _find_children(node: NodeRuntime, family: Family, record: BrpPerson, id_token: str) -> None:
    if node.brp is None:
        return
    try:
        family.children = await children_of(node.brp, node.keys.secret, record, node.now())
    except BrpUnavailable:
        family.brp_away = True
    for child in family.children:
        if child.stage != "zelf":
            # Now, for the login's token is not kept; one that is not used costs nothing.
            child.grant = await fetch_grant(node.settings, id_token)


async def session_for(node: NodeRuntime, family: Family, place: int) -> CitizenSession:
    """The session about one child, opened at first use.

    Raises:
        NotAllowed: `parent-of-adult`: from 16 the child chooses alone.
        LoginExpired: The broker's grant has ended: a new login gives a new one.
    """
    child = family.children[place]
    if place not in family.opened:
        if not child.grant:
            raise NotAllowed("parent-of-adult")
        try:
            family.opened[place] = await node.citizens.open(
                child.bsn, child.grant, child.known.born, known=child.known, speaker=child.speaker
            )
        except HolderRefused:
            raise LoginExpired from None
    return family.opened[place]
