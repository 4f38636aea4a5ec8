"""The hub's policy at a node: what it asks for and shows follows from what decides at the hub.

    GET /v1/policy -> both signatures -> build the version -> the hash that was signed -> askers

A portal computes a preview with it, and asks at every page that needs it; the hub answers "unchanged" in a
few bytes. A desk takes from it only which scopes to ask, and reads it anew when the hub says that others
are right. What does not hold is not used, and nothing older is used in its place.

Source: docs/design/policy-and-consent.md, "Effect preview".
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

import httpx
import structlog

from consent.resolve import Former
from index.protocol.directory import Directory, OrganisationEntry
from index.protocol.policy import (
    MandateInForce,
    OrganisationRules,
    PolicyAnswer,
    PolicyNotSigned,
    check_policy,
)
from index.protocol.receipt import pinned_log_key
from policy.decide import Asker, may_break_glass, scopes_for, scopes_of_role
from policy.engine import PolicyVersion, PublishError, build
from policy.texts import FORBIDS, SCHEMA, VOCABULARY, Texts
from policy.vocabulary import UnknownCode, Vocabulary, VocabularyError, Way

from .errors import HubUnreachable, ReceiptInvalid

log = structlog.get_logger()

BASIS = "basis"
_MAX_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class InForce:
    """The version in force and what is registered per organisation (OIN)."""

    version: PolicyVersion
    organisations: Mapping[str, OrganisationRules]
    acts: int
    tag: str = field(default="", repr=False)

    def profile_of(self, oin: str) -> str:
        """The profile of an organisation."""
        found = self.organisations.get(oin)
        return found.profile if found else BASIS

    def formers(self, oin: str, team: str) -> tuple[Former, ...]:
        """Under which names the people of a team asked before a merger."""
        rules = self.organisations.get(oin)
        return tuple(
            Former(
                one.former_organisation,
                one.former_team,
                datetime.fromtimestamp(one.since, UTC) if one.since else None,
            )
            for one in (rules.formers if rules else ())
            if one.team == team
        )

    def asker(self, organisation: OrganisationEntry, role: str, purpose: str, seconds: int) -> Asker:
        """Who asks, with what is registered at an instant (Unix seconds), as the hub reads it."""
        rules = self.organisations.get(organisation.oin) or OrganisationRules(organisation.oin, BASIS)
        named = {
            kind
            for one in rules.convenants
            if one.begin <= seconds < one.end and purpose in one.purposes
            for kind in one.kinds
        }
        mandated = {one.act for one in rules.mandates if one.begin <= seconds < one.end}
        return Asker(
            role=role,
            organisation_class=organisation.class_,
            profile=rules.profile,
            purpose=purpose,
            convenant=frozenset(named),
            mandate=frozenset(mandated),
        )


class HubPolicy:
    """Fetches the policy, believes it when it verifies, and keeps the last one that did.

    Args:
        http: Its base address is the hub's.
        log_vkey: The pinned key of the log; the hub signs its policy with the same key.
        directory: In use now; Cedar is asked for the classes of its organisations.
    """

    def __init__(
        self, http: httpx.AsyncClient, *, hub_id: str, log_vkey: str, directory: Callable[[], Directory]
    ) -> None:
        self._http, self._hub_id, self._log_vkey, self._directory = http, hub_id, log_vkey, directory
        self._read: _Read | None = None
        self._held: InForce | None = None
        self._one = asyncio.Lock()

    async def scopes(self, oin: str, role: str, purpose: str, *, anew: bool = False) -> tuple[str, ...]:
        """The scopes in which a role of an organisation may see anything for a purpose; empty for none.

        Args:
            anew: Ask the hub also when something was read before.

        Raises:
            As `current`.
        """
        async with self._one:
            read = self._read if self._read and not anew else await self._fetched()
        try:
            return scopes_for(read.unfilled, role, purpose, read.profile_of(oin))
        except UnknownCode:
            return ()

    async def scopes_of_role(self, oin: str, role: str) -> tuple[str, ...]:
        """The scopes in which a role may see anything for any purpose; empty for none.

        Raises:
            As `current`.
        """
        async with self._one:
            read = self._read or await self._fetched()
        try:
            return scopes_of_role(read.unfilled, role, read.profile_of(oin))
        except UnknownCode:
            return ()

    def may_break_glass(self, oin: str, role: str, otherwise: Vocabulary) -> bool:
        """Whether a role may declare break-glass at all, as last read; for what is offered, the hub decides.

        Args:
            otherwise: What counts before the hub was asked for the first time.
        """
        read = self._read
        try:
            if read is None:
                return may_break_glass(otherwise, role)
            return may_break_glass(read.unfilled, role, read.profile_of(oin))
        except UnknownCode:
            return False

    async def way(self, oin: str, team: str, *, anew: bool = False) -> Way:
        """How the desk of a team works, as the version in force says.

        Args:
            anew: Ask the hub also when something was read before.

        Raises:
            As `current`.
        """
        async with self._one:
            read = self._read if self._read and not anew else await self._fetched()
        return read.unfilled.vocabulary.way_of(oin, team, read.profile_of(oin))

    async def mandates(self, oin: str, seconds: int) -> tuple[MandateInForce, ...]:
        """What an organisation carries out by decision at an instant (Unix seconds), as the hub says now.

        Raises:
            As `current`.
        """
        async with self._one:
            read = await self._fetched()
        own = [one for one in read.answer.organisations if one.organisation == oin]
        return tuple(one for rules in own for one in rules.mandates if one.begin <= seconds < one.end)

    async def current(self) -> InForce:
        """What is in force now.

        Raises:
            HubUnreachable: It cannot be asked.
            ReceiptInvalid: It is not what the hub signed, or this program makes another version of it.
        """
        async with self._one:
            read = await self._fetched()
            if self._held is None or self._held.tag != read.tag:
                self._held = await asyncio.to_thread(self._filled, read)
            return self._held

    async def _fetched(self) -> "_Read":
        """The caller holds the lock."""
        before = self._read
        try:
            asked = {"If-None-Match": before.tag} if before else {}
            response = await self._http.get("/v1/policy", headers=asked)
        except httpx.HTTPError:
            raise HubUnreachable from None
        if response.status_code == 304 and before is not None:
            return before
        if response.status_code != 200:
            raise HubUnreachable
        if len(response.content) > _MAX_BYTES:
            raise ReceiptInvalid("the policy is too large")
        tag = response.headers.get("ETag", "")
        self._read = await asyncio.to_thread(self._checked, response.content, tag)
        return self._read

    def _checked(self, raw: bytes, tag: str) -> "_Read":
        try:
            _, key = pinned_log_key(self._log_vkey)
            oldest = self._read.answer.acts if self._read else 0
            answer = check_policy(raw, hub=self._hub_id, public=key.public, not_before=oldest)
            version = self._built(answer, filled=())
        except (PolicyNotSigned, PublishError, VocabularyError, KeyError) as error:
            log.error("policy_refused", error=type(error).__name__)
            raise ReceiptInvalid("the hub's policy does not hold") from None
        return _Read(answer, version, tag)

    def _filled(self, read: "_Read") -> InForce:
        answer = read.answer
        profiles = {BASIS, *(one.profile for one in answer.organisations)}
        try:
            version = self._built(answer, filled=tuple(sorted(profiles)))
        except (PolicyNotSigned, PublishError, VocabularyError, KeyError) as error:
            log.error("policy_refused", error=type(error).__name__)
            raise ReceiptInvalid("the hub's policy does not hold") from None
        organisations = {one.organisation: one for one in answer.organisations}
        return InForce(version, organisations, answer.acts, read.tag)

    def _built(self, answer: PolicyAnswer, filled: tuple[str, ...]) -> PolicyVersion:
        files = answer.content
        version = build(
            Texts(files[VOCABULARY], files[FORBIDS], files[SCHEMA]),
            number=answer.number,
            filled=filled,
            organisation_classes=tuple(sorted({one.class_ for one in self._directory().organisations})),
        )
        if version.hash.hex() != answer.hash:
            raise PolicyNotSigned("this program makes another version of the hub's texts")
        return version


@dataclass(frozen=True, slots=True)
class _Read:
    """What the hub signed, checked, and the version that it is, for which Cedar was not asked."""

    answer: PolicyAnswer
    unfilled: PolicyVersion
    tag: str

    def profile_of(self, oin: str) -> str:
        found = (one.profile for one in self.answer.organisations if one.organisation == oin)
        return next(found, BASIS)
