"""The two documents everybody pins: the key holders' manifest and their directory.

    raw bytes -> shape -> pinned keys -> signatures -> rules -> Manifest | Directory

The manifest says which keys there are; it counts only with the signature of
**every** holder it lists. The directory says who takes part; it counts with
the signatures of t holders. Holder keys are pinned in settings and delivered
out of band, so neither the hub nor a mirror can bring in a key it knows.
`Adopted` keeps the version in use, which only rises.

Source: docs/design/pseudonyms.md, "Key holders and manifest".
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Annotated, Any, Generic, Literal, TypeVar

import msgspec
from msgspec import Meta
from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from .codec import EncodingError, Environment, b64u, jcs, lp, unb64u
from .messages import B64, Instant, Message, ScopeCode

SUITE = "ristretto255-SHA512"
EvaluationClass = Literal["publish", "lookup", "crisis", "citizen", "inzage"]
CLASSES: tuple[EvaluationClass, ...] = ("publish", "lookup", "crisis", "citizen", "inzage")
"""Classes of an evaluation, in the order of their numbers in tickets: `publish` is 1."""

GRANT_CLASSES = frozenset({"citizen", "inzage"})
"""Classes that need a grant of a login broker."""

_MANIFEST_TAG = b"vlagwijzer/manifest/v1\n"
_DIRECTORY_TAG = b"vlagwijzer/directory/v1\n"
_CLOCKS_DIFFER_AT_MOST = timedelta(seconds=60)

Identifier = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9.\-]{0,62}$")]
"""An id of a node, holder, hub, team or broker: it never is a nine-digit number (checked on parsing)."""

Kid = Annotated[str, Meta(pattern=r"^[a-z]{1,20}\.e[1-9]\d{0,4}$")]
Oin = Annotated[str, Meta(pattern=r"^\d{20}$")]
Number = Annotated[int, Meta(ge=1, le=0xFFFFFFFF)]
Url = Annotated[str, Meta(pattern=r"^https?://", max_length=200)]
Label = Annotated[str, Meta(min_length=1, max_length=100)]


class NotTrusted(Exception):
    """A manifest or directory that must not be used: says which rule it broke, never a value."""


class HolderEntry(Message, frozen=True):
    """One key holder; `index` is its place i in the sharing, never 0."""

    id: Identifier
    index: Annotated[int, Meta(ge=1, le=255)]
    url: Url
    ed25519: B64


class HubEntry(Message, frozen=True):
    """The hub's X25519 keys for sealed points: the newest first, at most two during a change."""

    id: Identifier
    x25519: Annotated[list[B64], Meta(min_length=1, max_length=2)]


class Canary(Message, frozen=True):
    """A known answer: `x` names the kid and never a person; `n` is k·H(x)."""

    x: B64
    n: B64 = msgspec.field(name="N")


class ScopeKey(Message, frozen=True):
    """One key of one scope, as commitments to its sharing: `commits[0]` is the public key.

    `origin` tells how it came to be: `dealer` means that one process once knew
    the whole key, and every page that speaks of trust must say so.
    """

    kid: Kid
    scope: ScopeCode
    state: Literal["active", "next", "readable", "closed"]
    carry: bool
    t: Annotated[int, Meta(ge=1, le=255)]
    n: Annotated[int, Meta(ge=1, le=255)]
    commits: Annotated[list[B64], Meta(min_length=1, max_length=255)]
    canary: Canary
    origin: Literal["dealer", "ceremony"]

    @property
    def number(self) -> int:
        """The decimal of the kid: 1 in `geld.e1`."""
        return int(self.kid.rpartition(".e")[2])


class Manifest(Message, frozen=True, dict=True, omit_defaults=True):
    """What the key holders together say about keys. Only `parse_manifest` gives one to trust."""

    version: Number
    suite: Literal["ristretto255-SHA512"]
    not_before: Instant
    holders: Annotated[list[HolderEntry], Meta(min_length=1, max_length=32)]
    hub: HubEntry
    keys: Annotated[list[ScopeKey], Meta(min_length=1, max_length=200)]
    sigs: dict[Identifier, B64]
    environment: Environment = "production"
    """`test`: no real people. Left out where it is `production`: earlier manifests keep their bytes."""

    @cached_property
    def _by_kid(self) -> dict[str, ScopeKey]:
        return {key.kid: key for key in self.keys}

    @cached_property
    def _active(self) -> dict[str, ScopeKey]:
        return {key.scope: key for key in self.keys if key.state == "active"}

    @cached_property
    def _holders(self) -> dict[str, HolderEntry]:
        return {holder.id: holder for holder in self.holders}

    def key(self, kid: str) -> ScopeKey | None:
        """The key with this kid, whatever its state."""
        return self._by_kid.get(kid)

    def scope_key(self, scope: str) -> ScopeKey | None:
        """The one active key of a scope."""
        return self._active.get(scope)

    def holder(self, holder_id: str) -> HolderEntry | None:
        """The holder with this id."""
        return self._holders.get(holder_id)

    @property
    def origin(self) -> Literal["dealer", "ceremony"]:
        """`dealer` as soon as one living key came from a dealer."""
        living = [key for key in self.keys if key.state != "closed"]
        return "dealer" if any(key.origin == "dealer" for key in living) else "ceremony"


class KindEntry(Message, frozen=True):
    """How an organisation's flags of one kind are named and reached, in neutral words."""

    kind: Annotated[str, Meta(pattern=r"^[a-z0-9_]{1,40}$")]
    display_name: Label
    desk: Annotated[str, Meta(max_length=100)]


class TeamEntry(Message, frozen=True):
    """A team; its number is permanent within its organisation."""

    number: Number
    id: Identifier


class OrganisationEntry(Message, frozen=True):
    """A legal party. Several nodes may carry its OIN."""

    number: Number
    oin: Oin
    class_: Annotated[str, Meta(pattern=r"^[a-z0-9_\-]{1,40}$")] = msgspec.field(name="class")
    kinds: Annotated[list[KindEntry], Meta(max_length=200)]
    teams: Annotated[list[TeamEntry], Meta(max_length=1000)]

    def kind(self, code: str) -> KindEntry | None:
        """The registration of one kind, when this organisation has it."""
        return next((entry for entry in self.kinds if entry.kind == code), None)

    def team(self, team_id: str) -> TeamEntry | None:
        return next((entry for entry in self.teams if entry.id == team_id), None)

    def team_by_number(self, number: int) -> TeamEntry | None:
        return next((entry for entry in self.teams if entry.number == number), None)


class NodeEntry(Message, frozen=True):
    """A node: its signing keys (the newest first) and what it may ask of the key holders."""

    id: Identifier
    number: Number
    oin: Oin
    url: Url
    ed25519: Annotated[list[B64], Meta(min_length=1, max_length=2)]
    classes: Annotated[list[EvaluationClass], Meta(max_length=5)]
    scopes: Annotated[list[ScopeCode], Meta(max_length=6)]

    def signed(self, message: bytes, signature: bytes) -> bool:
        """Whether one of this node's listed keys made the signature."""
        return any(signed_by(unb64u(key, 32), message, signature) for key in self.ed25519)


class BrokerEntry(Message, frozen=True):
    """A login broker whose grants the key holders accept."""

    id: Identifier
    ed25519: B64


class Directory(Message, frozen=True, dict=True):
    """Who takes part. Only `parse_directory` gives one to trust."""

    version: Number
    organisations: Annotated[list[OrganisationEntry], Meta(max_length=5000)]
    nodes: Annotated[list[NodeEntry], Meta(max_length=5000)]
    brokers: Annotated[list[BrokerEntry], Meta(max_length=100)]
    sigs: dict[Identifier, B64]

    @cached_property
    def _nodes(self) -> dict[str, NodeEntry]:
        return {node.id: node for node in self.nodes}

    @cached_property
    def _numbers(self) -> dict[int, NodeEntry]:
        return {node.number: node for node in self.nodes}

    @cached_property
    def _organisations(self) -> dict[str, OrganisationEntry]:
        return {organisation.oin: organisation for organisation in self.organisations}

    def node(self, node_id: str) -> NodeEntry | None:
        return self._nodes.get(node_id)

    def node_by_number(self, number: int) -> NodeEntry | None:
        return self._numbers.get(number)

    def organisation(self, oin: str) -> OrganisationEntry | None:
        return self._organisations.get(oin)

    def organisation_of(self, node: NodeEntry) -> OrganisationEntry:
        """The organisation behind a node; parsing made sure that there is one."""
        return self._organisations[node.oin]

    def team(self, oin: str, team_id: str) -> TeamEntry | None:
        """A team of one organisation by its id."""
        organisation = self.organisation(oin)
        return organisation.team(team_id) if organisation else None

    def team_by_number(self, oin: str, number: int) -> TeamEntry | None:
        organisation = self.organisation(oin)
        return organisation.team_by_number(number) if organisation else None

    def broker(self, broker_id: str) -> BrokerEntry | None:
        return next((broker for broker in self.brokers if broker.id == broker_id), None)


Document = TypeVar("Document", bound=Manifest | Directory)


def class_number(class_: str) -> int:
    """The permanent number of an evaluation class, 1 to 5, as tickets carry it."""
    names: tuple[str, ...] = CLASSES
    return names.index(class_) + 1


def canary_input(kid: str) -> bytes:
    """The hashed input of a kid's canary: never a person."""
    return b"vlagwijzer/canary/v1" + lp(kid)


def signed_by(public: bytes, message: bytes, signature: bytes) -> bool:
    """Whether an Ed25519 signature holds; a malformed key or signature does not."""
    try:
        VerifyKey(public).verify(message, signature)
    except (BadSignatureError, ValueError):
        return False
    return True


def _signing_bytes(document: Manifest | Directory) -> bytes:
    tag = _MANIFEST_TAG if isinstance(document, Manifest) else _DIRECTORY_TAG
    fields: dict[str, Any] = msgspec.to_builtins(document)
    del fields["sigs"]
    return tag + jcs(fields)


def sign(document: Document, keys: Mapping[str, SigningKey]) -> Document:
    """The document with the signatures of these holders and no others.

    Args:
        document: Its present `sigs` are ignored and replaced.
        keys: Signing key per holder id. A dealer has all; in production each
            holder signs by itself and the signatures are brought together.
    """
    message = _signing_bytes(document)
    sigs = {holder: b64u(key.sign(message).signature) for holder, key in keys.items()}
    return msgspec.structs.replace(document, sigs=sigs)


def encode(document: Manifest | Directory) -> bytes:
    """The bytes to serve or store; parsing them again gives the same document."""
    return jcs(document)


def _valid_signers(document: Manifest | Directory, pinned: Mapping[str, bytes]) -> set[str]:
    try:
        message = _signing_bytes(document)
    except EncodingError:
        raise NotTrusted("it has no canonical form") from None
    return {
        holder
        for holder, signature in document.sigs.items()
        if holder in pinned and signed_by(pinned[holder], message, _bytes(signature, 64))
    }


def _bytes(text: str, size: int) -> bytes:
    try:
        return unb64u(text, size)
    except EncodingError:
        raise NotTrusted(f"a value that should be {size} bytes in base64url is not") from None


def _decode(raw: bytes, kind: type[Document]) -> Document:
    try:
        return msgspec.json.decode(raw, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise NotTrusted(f"not a {kind.__name__.lower()}") from None


def _unique(what: str, values: list[Any]) -> None:
    if len(set(values)) != len(values):
        raise NotTrusted(f"{what} must be unique")


def _no_bsn_like(ids: list[str]) -> None:
    # A name of nine digits would trip every scan for a BSN, and might hide one.
    if any(re.fullmatch(r"\d{8,9}", name) for name in ids):
        raise NotTrusted("an id must not be a number of eight or nine digits")


def parse_manifest(raw: bytes, pinned: Mapping[str, bytes]) -> Manifest:
    """A manifest that every holder it lists has signed with its pinned key.

    Args:
        raw: As served by any mirror.
        pinned: Ed25519 public key (32 bytes) per holder id, from settings.

    Raises:
        NotTrusted: A shape, rule or signature does not hold. Whether points
            are canonical is checked where they are computed with.
    """
    manifest = _decode(raw, Manifest)
    holders = [holder.id for holder in manifest.holders]
    for holder in manifest.holders:
        if pinned.get(holder.id) != _bytes(holder.ed25519, 32):
            raise NotTrusted("a holder is not pinned, or with another signing key")
    _unique("holder ids", holders)
    _unique("holder indices", [holder.index for holder in manifest.holders])
    _no_bsn_like([*holders, manifest.hub.id])
    if _valid_signers(manifest, pinned) != set(holders) or set(manifest.sigs) != set(holders):
        raise NotTrusted("the signature of every listed holder is needed")
    for public in manifest.hub.x25519:
        _bytes(public, 32)
    try:
        datetime.fromisoformat(manifest.not_before)
    except ValueError:
        raise NotTrusted("notBefore is not a time") from None
    _unique("kids", [key.kid for key in manifest.keys])
    _unique("active keys per scope", [key.scope for key in manifest.keys if key.state == "active"])
    for key in manifest.keys:
        _check_scope_key(key, len(holders))
    return manifest


def _check_scope_key(key: ScopeKey, holders: int) -> None:
    if key.kid.rpartition(".e")[0] != key.scope:
        raise NotTrusted("a kid must begin with its scope")
    if key.n != holders or not 1 <= key.t <= key.n or len(key.commits) != key.t:
        raise NotTrusted("threshold, holders and commitments do not agree")
    if any(_bytes(commit, 32) == bytes(32) for commit in key.commits[:1]):
        raise NotTrusted("a public key must not be the identity")
    if key.canary.x != b64u(canary_input(key.kid)) or _bytes(key.canary.n, 32) == bytes(32):
        raise NotTrusted("a canary does not belong to its kid")


def parse_directory(raw: bytes, pinned: Mapping[str, bytes], threshold: int) -> Directory:
    """A directory that at least `threshold` pinned holders have signed.

    Args:
        raw: As served by a key holder or mirrored by the hub.
        pinned: Ed25519 public key (32 bytes) per holder id, from settings.
        threshold: The t of the manifest; never below 1.

    Raises:
        NotTrusted: A shape, rule or signature does not hold.
    """
    directory = _decode(raw, Directory)
    if len(_valid_signers(directory, pinned)) < max(threshold, 1):
        raise NotTrusted(f"signatures of {max(threshold, 1)} key holders are needed")
    check_directory(directory)
    return directory


def check_directory(directory: Directory) -> None:
    """The rules of a directory, whoever signed it.

    Raises:
        NotTrusted: Names the rule.
    """
    nodes, organisations = directory.nodes, directory.organisations
    _unique("node ids", [node.id for node in nodes])
    _unique("node numbers", [node.number for node in nodes])
    _unique("organisations' OINs", [organisation.oin for organisation in organisations])
    _unique("organisation numbers", [organisation.number for organisation in organisations])
    _unique("broker ids", [broker.id for broker in directory.brokers])
    for organisation in organisations:
        _unique("team ids", [team.id for team in organisation.teams])
        _unique("team numbers", [team.number for team in organisation.teams])
        _unique("kinds", [kind.kind for kind in organisation.kinds])
        _no_bsn_like([team.id for team in organisation.teams])
    _no_bsn_like([*(node.id for node in nodes), *(broker.id for broker in directory.brokers)])
    for node in nodes:
        if directory.organisation(node.oin) is None:
            raise NotTrusted("a node belongs to an organisation that is not listed")
        for key in node.ed25519:
            _bytes(key, 32)
    # One key under two names would let one node speak as another.
    _unique("signing keys", [key for node in nodes for key in node.ed25519])
    for broker in directory.brokers:
        _bytes(broker.ed25519, 32)


def check_environment(manifest: Manifest, environment: Environment) -> None:
    """A process of one environment goes by no manifest of the other.

    Raises:
        NotTrusted: Which of the two is which.
    """
    if manifest.environment != environment:
        raise NotTrusted(f"it is of environment {manifest.environment}, and this process is {environment}")


class Adopted(Generic[Document]):
    """The version in use. It only rises, and another text under the same number is refused.

    A caller reads `current` once per call, so no call ever mixes two versions.
    """

    def __init__(self, document: Document, now: datetime) -> None:
        self._current = document
        self._check_time(document, now)

    @property
    def current(self) -> Document:
        return self._current

    def adopt(self, document: Document, now: datetime) -> bool:
        """Take a newer verified document; True when it replaced the one in use.

        Args:
            document: From `parse_manifest` or `parse_directory`.
            now: UTC; a manifest is not adopted before its `notBefore`.

        Raises:
            NotTrusted: A lower version, another content under the same
                version, or too early.
        """
        if document.version < self._current.version:
            raise NotTrusted("a lower version than the one in use")
        if document.version == self._current.version:
            if _signing_bytes(document) != _signing_bytes(self._current):
                raise NotTrusted("another content under the version in use")
            return False
        self._check_time(document, now)
        self._current = document
        return True

    @staticmethod
    def _check_time(document: Manifest | Directory, now: datetime) -> None:
        if isinstance(document, Manifest):
            begins = datetime.fromisoformat(document.not_before).astimezone(UTC)
            if begins > now + _CLOCKS_DIFFER_AT_MOST:
                raise NotTrusted("this manifest is not in force yet")
