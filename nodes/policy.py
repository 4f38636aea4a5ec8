"""The hub's policy at a portal: what it shows before a choice is computed under what decides after it.

    GET /v1/policy -> both signatures -> build the version -> the hash that was signed -> askers

Asked at every page that needs it; the hub answers "unchanged" in a few bytes.
What does not hold is not used, and nothing older is used in its place.

Source: docs/design/policy-and-consent.md, "Effect preview".
"""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import httpx
import structlog

from index.protocol.directory import Directory, OrganisationEntry
from index.protocol.policy import OrganisationRules, PolicyAnswer, PolicyNotSigned, check_policy
from index.protocol.receipt import pinned_log_key
from policy.decide import Asker
from policy.engine import PolicyVersion, PublishError, build
from policy.texts import FORBIDS, SCHEMA, VOCABULARY, Texts
from policy.vocabulary import VocabularyError

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
        self._held: InForce | None = None
        self._one = asyncio.Lock()

    async def current(self) -> InForce:
        """What is in force now.

        Raises:
            HubUnreachable: It cannot be asked.
            ReceiptInvalid: It is not what the hub signed, or this program makes another version of it.
        """
        async with self._one:
            held = self._held
            try:
                asked = {"If-None-Match": held.tag} if held else {}
                response = await self._http.get("/v1/policy", headers=asked)
            except httpx.HTTPError:
                raise HubUnreachable from None
            if response.status_code == 304 and held is not None:
                return held
            if response.status_code != 200:
                raise HubUnreachable
            if len(response.content) > _MAX_BYTES:
                raise ReceiptInvalid("the policy is too large")
            tag = response.headers.get("ETag", "")
            self._held = await asyncio.to_thread(self._checked, response.content, tag)
            return self._held

    def _checked(self, raw: bytes, tag: str) -> InForce:
        before = self._held
        try:
            _, key = pinned_log_key(self._log_vkey)
            oldest = before.acts if before else 0
            answer = check_policy(raw, hub=self._hub_id, public=key.public, not_before=oldest)
            version = self._built(answer)
        except (PolicyNotSigned, PublishError, VocabularyError, KeyError) as error:
            log.error("policy_refused", error=type(error).__name__)
            raise ReceiptInvalid("the hub's policy does not hold") from None
        return InForce(version, {one.organisation: one for one in answer.organisations}, answer.acts, tag)

    def _built(self, answer: PolicyAnswer) -> PolicyVersion:
        files = answer.content
        profiles = {BASIS, *(one.profile for one in answer.organisations)}
        version = build(
            Texts(files[VOCABULARY], files[FORBIDS], files[SCHEMA]),
            number=answer.number,
            filled=tuple(sorted(profiles)),
            organisation_classes=tuple(sorted({one.class_ for one in self._directory().organisations})),
        )
        if version.hash.hex() != answer.hash:
            raise PolicyNotSigned("this program makes another version of the hub's texts")
        return version
