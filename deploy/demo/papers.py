"""Everything on disk that the demo's processes start from: keys, manifest, directory, settings, extracts.

    first start: keys, shares from a dealer, key stores, extracts
    every start: manifest and directory (signed anew, one version higher, when an address changed), settings

Each process has a folder of its own and finds nothing of another's: `DIR/hub`,
`DIR/keyholders/<id>`, `DIR/nodes/<id>`, `DIR/identity`. What came into being
once is never made again: a missing key file stops the process that needs it.

Source: docs/design/pseudonyms.md, "Key holders and manifest".
"""

import csv
import io
import os
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from nacl.signing import SigningKey

from index.keystore import init_keystore, load_keystore
from index.protocol.codec import b64u
from index.protocol.directory import (
    BrokerEntry,
    Directory,
    HolderEntry,
    HubEntry,
    KindEntry,
    Manifest,
    NodeEntry,
    OrganisationEntry,
    ScopeKey,
    TeamEntry,
    encode,
    parse_directory,
    parse_manifest,
    sign,
)
from index.protocol.keyfile import read_key_file, write_key_file
from index.protocol.note import COSIGNATURE_V1, ED25519, NoteKey, origin_of
from index.protocol.tlogpolicy import Witness, policy_of
from nodes.keyholder import installation
from nodes.oprf.dealer import deal
from nodes.witness.routes import PREFIX as WITNESS_PREFIX

from ..processes import migrate_hub
from ..toml_text import toml_text
from . import plan
from .citizens import DEFAULT_COUNT, DEFAULT_SEED, World, generate
from .register import register_of

NODE_KEYS = ("signing", "secret", "case", "storage")
MADE_BY = "Written by vlagwijzer demo at every start"


@dataclass(frozen=True, slots=True)
class Papers:
    """Where everything lies, and the documents in force."""

    folder: Path
    base: int
    world: World
    manifest: Manifest
    directory: Directory

    def hub(self) -> Path:
        return self.folder / "hub"

    def holder(self, holder_id: str) -> Path:
        return self.folder / "keyholders" / holder_id

    def node(self, node_id: str) -> Path:
        return self.folder / "nodes" / node_id

    def identity(self) -> Path:
        return self.folder / "identity"

    def broker_key(self) -> SigningKey:
        return SigningKey(read_key_file(self.identity() / "broker.key"))

    def api_key_file(self, node_id: str) -> Path:
        return self.node(node_id) / "api-key.txt"


class _Made(msgspec.Struct, frozen=True):
    """`demo.json`: with what this folder was made. It is written last, so its presence means complete."""

    seed: int
    count: int
    base: int


def prepare(folder: Path, base: int, *, seed: int = DEFAULT_SEED, count: int = DEFAULT_COUNT) -> Papers:
    """Make a new folder complete, or bring an earlier one up to date with these ports.

    Args:
        folder: Of the whole demo. An earlier demo's folder keeps its keys, people and data.
        base: First port.
        seed, count: For a new folder only.
    """
    folder.mkdir(parents=True, exist_ok=True)
    marker = folder / "demo.json"
    if marker.exists():
        made = msgspec.json.decode(marker.read_bytes(), type=_Made)
        world = generate(made.seed, made.count)
        made = _Made(made.seed, made.count, base)
        keys = _kept_keys(folder)
    else:
        world = generate(seed, count)
        made = _Made(seed, count, base)
        keys = _make_keys(folder)
        _write_extracts(folder, world)
    manifest, directory = _documents(folder, base, keys)
    _write_settings(folder, base)
    _write(folder / "nodes" / plan.PORTAL_NODE / "brp.json", register_of(world))
    migrate_hub(folder / "hub" / "hub.toml")
    _write(marker, msgspec.json.encode(made))
    return Papers(folder, base, world, manifest, directory)


def opened(folder: Path) -> Papers:
    """The papers of a demo that runs or ran in this folder; nothing is written.

    Raises:
        FileNotFoundError: No demo was started with this folder.
    """
    made = msgspec.json.decode((folder / "demo.json").read_bytes(), type=_Made)
    manifest, directory = _stored(folder)
    if manifest is None or directory is None:
        raise FileNotFoundError(folder / "demo.json")
    return Papers(folder, made.base, generate(made.seed, made.count), manifest, directory)


# --- Keys: once ----------------------------------------------------------------------


def _make_keys(folder: Path) -> list[ScopeKey]:
    """All key files of a new federation; the dealer's shares leave memory at once."""
    dealing = deal(t=plan.THRESHOLD, n=len(plan.HOLDERS))
    for holder in plan.HOLDERS:
        home = folder / "keyholders" / holder.id
        installation.initialise(
            database=home / "counters.sqlite",
            signing_key_file=home / "signing.key",
            shares_dir=home / "shares",
            signing_key=SigningKey.generate(),
            shares=dealing.shares[holder.index],
        )
    dealing.erase()
    for node in plan.NODES:
        for name in NODE_KEYS:
            write_key_file(folder / "nodes" / node.id / f"{name}.key", secrets.token_bytes(32))
        _write(folder / "nodes" / node.id / "login-secret.txt", secrets.token_urlsafe(24).encode())
    write_key_file(folder / "identity" / "broker.key", secrets.token_bytes(32))
    _write(folder / "hub" / "login-secret.txt", secrets.token_urlsafe(24).encode())
    # The rotation key's private half belongs offline with two people; the demo throws it away.
    rotation = SigningKey.generate().verify_key.to_curve25519_public_key()
    init_keystore(folder / "hub" / "keys", rotation_public=bytes(rotation), at=datetime.now(UTC))
    return dealing.keys


def _kept_keys(folder: Path) -> list[ScopeKey]:
    manifest, _ = _stored(folder)
    if manifest is None:
        raise FileNotFoundError(f"{folder} was not completed by an earlier demo; remove it")
    return list(manifest.keys)


# --- Manifest and directory: signed anew when something changed ------------------------


def _holder_keys(folder: Path) -> dict[str, SigningKey]:
    return {
        holder.id: SigningKey(read_key_file(folder / "keyholders" / holder.id / "signing.key"))
        for holder in plan.HOLDERS
    }


def pins(folder: Path) -> dict[str, bytes]:
    """The key holders' public signing keys, as they would be delivered out of band."""
    return {holder: bytes(key.verify_key) for holder, key in _holder_keys(folder).items()}


def _stored(folder: Path) -> tuple[Manifest | None, Directory | None]:
    home = folder / "keyholders" / plan.HOLDERS[0].id
    if not (home / "manifest.json").exists():
        return None, None
    known = pins(folder)
    return (
        parse_manifest((home / "manifest.json").read_bytes(), known),
        parse_directory((home / "directory.json").read_bytes(), known, plan.THRESHOLD),
    )


def _documents(folder: Path, base: int, keys: list[ScopeKey]) -> tuple[Manifest, Directory]:
    signing = _holder_keys(folder)
    old_manifest, old_directory = _stored(folder)
    manifest = _manifest(folder, base, keys, signing, old_manifest)
    directory = _directory(folder, base, old_directory)
    if old_manifest is None or encode(sign(manifest, signing)) != encode(old_manifest):
        manifest = _risen(manifest, old_manifest)
    if old_directory is None or encode(sign(directory, signing)) != encode(old_directory):
        directory = _risen(directory, old_directory)
    manifest, directory = sign(manifest, signing), sign(directory, signing)
    homes = [folder / "hub", *(folder / "keyholders" / holder.id for holder in plan.HOLDERS)]
    for home in homes:
        _write(home / "manifest.json", encode(manifest))
        _write(home / "directory.json", encode(directory))
    return manifest, directory


def _risen(document: Any, old: Any) -> Any:
    return msgspec.structs.replace(document, version=1 if old is None else old.version + 1)


def _manifest(
    folder: Path, base: int, keys: list[ScopeKey], signing: Mapping[str, SigningKey], old: Manifest | None
) -> Manifest:
    keystore = load_keystore(folder / "hub" / "keys")
    return Manifest(
        version=old.version if old else 1,
        suite="ristretto255-SHA512",
        not_before=old.not_before if old else datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        holders=[
            HolderEntry(
                holder.id,
                holder.index,
                plan.loopback(base, holder.offset),
                b64u(bytes(signing[holder.id].verify_key)),
            )
            for holder in plan.HOLDERS
        ],
        hub=HubEntry(plan.HUB_ID, [b64u(keystore.points_public)]),
        keys=keys,
        sigs={},
        environment="test",
    )


def _directory(folder: Path, base: int, old: Directory | None) -> Directory:
    broker = SigningKey(read_key_file(folder / "identity" / "broker.key"))
    return Directory(
        version=old.version if old else 1,
        organisations=[
            OrganisationEntry(
                entry.number,
                entry.oin,
                entry.class_,
                [KindEntry(kind.kind, kind.name, kind.desk) for kind in entry.kinds],
                [TeamEntry(number, team) for number, team in enumerate(entry.teams, 1)],
            )
            for entry in plan.ORGANISATIONS
        ],
        nodes=[
            NodeEntry(
                entry.id,
                entry.number,
                entry.oin,
                plan.url(base, entry.offset),
                [b64u(_public(folder / "nodes" / entry.id / "signing.key"))],
                list(entry.classes),  # type: ignore[arg-type]
                list(entry.scopes),  # type: ignore[arg-type]
            )
            for entry in plan.NODES
        ],
        brokers=[BrokerEntry(plan.BROKER_ID, b64u(bytes(broker.verify_key)))],
        sigs={},
    )


def _public(key_file: Path) -> bytes:
    return bytes(SigningKey(read_key_file(key_file)).verify_key)


# --- Extracts ------------------------------------------------------------------------


def _write_extracts(folder: Path, world: World) -> None:
    for node in plan.NODES:
        if "source" in node.parts:
            facts = world.facts_of(node.id)
            rows = ((fact.bsn, fact.kind, fact.local_ref, fact.since, fact.until) for fact in facts)
            target = folder / "nodes" / node.id / "extract" / f"{node.id}.csv"
            _write(target, csv_text(("bsn", "kind", "local_ref", "since", "until"), rows).encode())


def csv_text(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """An extract as an organisation's own system writes it: UTF-8, comma, a line of names."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


# --- Settings ------------------------------------------------------------------------


def _write_settings(folder: Path, base: int) -> None:
    pinned = {holder: b64u(key) for holder, key in pins(folder).items()}
    for holder in plan.HOLDERS:
        _toml(folder / "keyholders" / holder.id / "keyholder.toml", _holder_settings(holder, base, pinned))
    _toml(folder / "hub" / "hub.toml", _hub_settings((folder / "hub").resolve(), base, pinned))
    keystore = load_keystore(folder / "hub" / "keys")
    public = {
        "hub_log_vkey": NoteKey(
            origin_of(f"{plan.HUB_ID}/v1/log", datetime.now(UTC).year),
            ED25519,
            bytes(keystore.log_signing.verify_key),
        ).text(),
        "hub_receipt_key": b64u(bytes(keystore.receipt_signing.verify_key)),
        "hub_consent_key": b64u(bytes(keystore.consent_signing.verify_key)),
    }
    public["log_policy"] = "log-policy.txt"
    policy = _log_policy(folder, base, public["hub_log_vkey"]).encode()
    _write(folder / "hub" / "log-policy.txt", policy)
    for node in plan.NODES:
        _write(folder / "nodes" / node.id / "log-policy.txt", policy)
        _toml(folder / "nodes" / node.id / "node.toml", _node_settings(node, base, pinned, public))


def _log_policy(folder: Path, base: int, log_vkey: str) -> str:
    """The witnesses of the log. Their keys come into being once, also in a folder of an earlier demo."""
    listed = []
    for node_id in plan.WITNESSES:
        key_file = folder / "nodes" / node_id / "witness.key"
        if not key_file.exists():
            write_key_file(key_file, secrets.token_bytes(32))
        key = NoteKey(plan.witness_name(node_id), COSIGNATURE_V1, _public(key_file))
        url = plan.loopback(base, plan.node(node_id).offset) + WITNESS_PREFIX
        listed.append(Witness(node_id, key, url))
    return policy_of(log_vkey, listed, plan.WITNESS_QUORUM)


def _holder_settings(holder: plan.Holder, base: int, pinned: Mapping[str, str]) -> dict[str, Any]:
    return {
        "holder_id": holder.id,
        "host": "127.0.0.1",
        "port": base + holder.offset,
        "manifest_file": "manifest.json",
        "directory_file": "directory.json",
        "signing_key_file": "signing.key",
        "shares_dir": "shares",
        "database": "counters.sqlite",
        "trust_separation": "none",
        "environment": "test",
        "holders": dict(pinned),
    }


def _approvers(folder: Path) -> dict[str, str]:
    """Who may publish and approve rules, each with a key file that elsewhere only that person has."""
    for name in plan.APPROVERS:
        if not (folder / f"{name}.key").exists():
            write_key_file(folder / f"{name}.key", secrets.token_bytes(32))
    return {name: b64u(_public(folder / f"{name}.key")) for name in plan.APPROVERS}


def _hub_settings(home: Path, base: int, pinned: Mapping[str, str]) -> dict[str, Any]:
    return {
        "hub_id": plan.HUB_ID,
        "host": "127.0.0.1",
        "port": base + plan.HUB_OFFSET,
        "database": "hub.sqlite",
        "keystore": "keys",
        "manifest": "manifest.json",
        "directory": "directory.json",
        "log_policy": "log-policy.txt",
        "trust_separation": "none",
        "environment": "test",
        "approvers": _approvers(home.parent / "people"),
        "holders": dict(pinned),
        "pages": {
            "process_id": "hub",
            "origin": plan.url(base, plan.HUB_OFFSET),
            "trust_separation": "none",
            "login": {
                "issuer": plan.url(base, plan.OFFICER_ISSUER.offset),
                "client_id": "hub",
                "scope": "openid profile",
                "client_auth": "client_secret_basic",
                "client_secret_file": str(home / "login-secret.txt"),
            },
        },
    }


def _node_settings(
    node: plan.Node, base: int, pinned: Mapping[str, str], public: Mapping[str, str]
) -> dict[str, Any]:
    issuer = plan.url(base, plan.issuer_of(node.oin).offset)
    login = {"issuer": issuer, "client_id": node.id, "client_secret_file": "login-secret.txt"}
    login["scope"] = "openid profile"
    settings: dict[str, Any] = {
        "node_id": node.id,
        "parts": list(node.parts),
        "organisation_name": node.name,
        "url": plan.url(base, node.offset),
        "host": "127.0.0.1",
        "port": base + node.offset,
        "database": "node.sqlite",
        "signing_key_file": "signing.key",
        "node_secret_file": "secret.key",
        "case_key_file": "case.key",
        "storage_key_file": "storage.key",
        "hub_url": plan.loopback(base, plan.HUB_OFFSET),
        "hub_id": plan.HUB_ID,
        **public,
        "threshold": plan.THRESHOLD,
        "manifest_url": f"{plan.loopback(base, plan.HOLDERS[0].offset)}/v1/manifest",
        "directory_url": f"{plan.loopback(base, plan.HUB_OFFSET)}/v1/directory",
        "trust_separation": "none",
        "environment": "test",
        "holders": dict(pinned),
    }
    if node.id in plan.WITNESSES:
        settings["witness"] = {"name": plan.witness_name(node.id), "key_file": "witness.key"}
    if "portal" in node.parts:
        settings["grant_url"] = f"{issuer}/token-exchange"
        settings["brp"] = {"file": "brp.json"}
        settings["counter"] = {"name": plan.COUNTER_NAME, "role": plan.COUNTER_ROLE}
    else:
        settings["tokens"] = {
            "issuer": issuer,
            "jwks_url": f"{issuer}/employee-tokens/keys",
            "algorithms": ["ES256"],
        }
    return {**settings, "login": login}


def _toml(path: Path, settings: Mapping[str, Any]) -> None:
    _write(path, toml_text(settings, MADE_BY).encode())


def _write(path: Path, content: bytes) -> None:
    """Write whole or not at all, readable by the owner only."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.new")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(content)
    fresh.replace(path)
