"""The signed manifest and directory that this node goes by.

    fetched from a mirror, or the copy kept beside the store -> signatures of the pinned key holders -> in use

A mirror needs no trust: only what the key holders signed counts, and versions
only rise. The kept copy lets a node start while every mirror is down; its
signatures are checked again.

Source: docs/design/pseudonyms.md, "Key holders and manifest".
"""

import asyncio
import os
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote, urlsplit

import httpx
import structlog

from index.protocol.codec import unb64u
from index.protocol.directory import (
    Adopted,
    Directory,
    Manifest,
    NodeEntry,
    NotTrusted,
    OrganisationEntry,
    check_environment,
    encode,
    parse_directory,
    parse_manifest,
)

from .errors import SettingsError
from .settings import NodeSettings

log = structlog.get_logger()
_MAX_BYTES = 4 * 1024 * 1024
_START_SECONDS = 20.0
Document = TypeVar("Document", Manifest, Directory)


class Trust:
    """Manifest and directory in use, and this node's place in them."""

    def __init__(
        self, settings: NodeSettings, manifest: Manifest, directory: Directory, now: Callable[[], datetime]
    ) -> None:
        self._settings = settings
        self._now = now
        check_environment(manifest, settings.environment)
        self.manifest = Adopted(manifest, now())
        self._directory = Adopted(directory, now())
        entry = directory.node(settings.node_id)
        if entry is None:
            raise SettingsError(f"node_id {settings.node_id} is not in the directory")
        self.oin = entry.oin

    @property
    def directory(self) -> Directory:
        """The directory in use now."""
        return self._directory.current

    @property
    def node(self) -> NodeEntry:
        """This node's entry; the one it started with when a later directory dropped it."""
        entry = self.directory.node(self._settings.node_id)
        if entry is None:
            raise SettingsError("this node is no longer in the directory")
        return entry

    @property
    def organisation(self) -> OrganisationEntry:
        """The organisation behind this node."""
        return self.directory.organisation_of(self.node)

    @property
    def hub_key(self) -> bytes:
        """X25519 key to which points are sealed: the newest that the manifest lists."""
        return unb64u(self.manifest.current.hub.x25519[0], 32)

    async def refresh(self, http: httpx.AsyncClient) -> None:
        """Take newer documents, if a mirror has them; what is wrong is refused and reported."""
        for url, take in (
            (self._settings.manifest_url, self._take_manifest),
            (self._settings.directory_url, self._take_directory),
        ):
            try:
                response = await http.get(url) if not url.startswith("file:") else None
                raw = await asyncio.to_thread(_file(url).read_bytes) if response is None else response.content
                if response is None or response.status_code == 200:
                    take(raw)
            except (httpx.HTTPError, OSError):
                continue
            except NotTrusted as error:
                log.error("document_refused", rule=str(error))

    def _take_manifest(self, raw: bytes) -> None:
        manifest = parse_manifest(raw, self._settings.pins())
        check_environment(manifest, self._settings.environment)
        if self.manifest.adopt(manifest, self._now()):
            _keep(self._settings, manifest)

    def _take_directory(self, raw: bytes) -> None:
        directory = parse_directory(raw, self._settings.pins(), self._settings.threshold)
        if self._directory.adopt(directory, self._now()):
            _keep(self._settings, directory)


def establish(settings: NodeSettings, now: Callable[[], datetime]) -> Trust:
    """Fetch both documents at start, or take the kept copies.

    Raises:
        SettingsError: Neither is to be had, or what there is was not signed as it should be.
    """
    pins = settings.pins()
    manifest = _obtain(settings, settings.manifest_url, Manifest, lambda raw: parse_manifest(raw, pins))
    directory = _obtain(
        settings,
        settings.directory_url,
        Directory,
        lambda raw: parse_directory(raw, pins, settings.threshold),
    )
    try:
        trust = Trust(settings, manifest, directory, now)
    except NotTrusted as error:
        raise SettingsError(f"manifest or directory: {error}") from None
    _keep(settings, manifest)
    _keep(settings, directory)
    return trust


def _obtain(
    settings: NodeSettings, url: str, kind: type[Document], parse: Callable[[bytes], Document]
) -> Document:
    kept = _kept(settings, kind)
    copy: Document | None = None
    if kept.exists():
        try:
            copy = parse(kept.read_bytes())
        except (NotTrusted, OSError):
            log.error("kept_document_refused", document=kind.__name__.lower())
    end = time.monotonic() + _START_SECONDS
    while True:
        try:
            fetched = parse(_fetch(url))
        except NotTrusted as error:
            raise SettingsError(f"{kind.__name__.lower()} at {url}: {error}") from None
        except (httpx.HTTPError, OSError):
            if copy is not None:
                return copy
            if time.monotonic() > end:
                raise SettingsError(f"{kind.__name__.lower()} cannot be fetched from {url}") from None
            time.sleep(0.2)
        else:
            if copy is not None and copy.version > fetched.version:
                raise SettingsError(f"{kind.__name__.lower()} at {url} is older than the copy in use")
            return fetched


def _fetch(url: str) -> bytes:
    if url.startswith("file:"):
        return _file(url).read_bytes()
    with httpx.Client(timeout=5.0, follow_redirects=False, trust_env=False) as client:
        response = client.get(url)
        response.raise_for_status()
        return response.content[:_MAX_BYTES]


def _file(url: str) -> Path:
    return Path(unquote(urlsplit(url).path))


def _kept(settings: NodeSettings, kind: type[Document]) -> Path:
    return settings.database.with_name(f"{kind.__name__.lower()}.json")


def _keep(settings: NodeSettings, document: Manifest | Directory) -> None:
    path = settings.database.with_name(f"{type(document).__name__.lower()}.json")
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".new")
    beside.write_bytes(encode(document))
    os.replace(beside, path)
