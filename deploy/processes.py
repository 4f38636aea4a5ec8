"""Each process from its settings file: read, set up logging, make the application, serve.

The demo and the commands start processes through the same functions; the demo
only hands over a socket that is bound already.
"""

import os
import socket
from datetime import UTC, datetime
from pathlib import Path

from .logging_setup import set_up_logging
from .serve import serve


def _begin(process: str) -> None:
    # Whatever a process writes is for its own user: databases, copies of documents, logs.
    os.umask(0o077)
    set_up_logging(process)


def serve_hub(config: Path, sock: socket.socket | None = None) -> None:
    """Serve the hub until it is stopped.

    Raises:
        SettingsError, KeyFileError: Names the setting or file.
        PortTaken: Another process listens there.
    """
    from index.app import create_app
    from index.gate import Shedding
    from index.settings import HubSettings

    settings = HubSettings.load(config)
    _begin("hub")
    app = create_app(settings)
    gate = app.state.gate
    serve(app, settings.host, settings.port, sock, around=lambda inner: Shedding(inner, gate))


def serve_keyholder(config: Path, sock: socket.socket | None = None) -> None:
    """Serve a key holder until it is stopped.

    Raises:
        CannotStart: Names the setting or file.
        PortTaken: Another process listens there.
    """
    from nodes.keyholder.app import create_app
    from nodes.keyholder.settings import KeyHolderSettings

    settings = KeyHolderSettings.load(config)
    _begin(f"keyholder {settings.holder_id}")
    serve(create_app(settings), settings.host, settings.port, sock)


def serve_node(config: Path, sock: socket.socket | None = None) -> None:
    """Serve a node with its parts until it is stopped.

    Raises:
        SettingsError: Names the setting or file.
        PortTaken: Another process listens there.
    """
    from nodes.app import create_app
    from nodes.settings import NodeSettings

    settings = NodeSettings.load(config)
    _begin(f"node {settings.node_id}")
    serve(create_app(settings), settings.host, settings.port, sock)


def init_hub(config: Path, rotation_public: str) -> dict[str, str]:
    """Make the key store of a new hub and give the public values that others pin.

    Raises:
        KeystoreError: There is one already; it is not touched.
        SettingsError: A setting, or the rotation key, has a wrong form.
    """
    from index.keystore import init_keystore
    from index.protocol.codec import EncodingError, b64u, unb64u
    from index.protocol.note import ED25519, NoteKey, origin_of
    from index.settings import HubSettings, SettingsError

    settings = HubSettings.load(config)
    try:
        rotation = unb64u(rotation_public, 32)
    except EncodingError:
        raise SettingsError("--rotation-public is not 32 bytes of base64url") from None
    now = datetime.now(UTC)
    keystore = init_keystore(settings.keystore, rotation_public=rotation, at=now)
    origin = origin_of(settings.statement_hub, now.year)
    return {
        "hub_id": settings.hub_id,
        "hub_log_vkey": NoteKey(origin, ED25519, bytes(keystore.log_signing.verify_key)).text(),
        "hub_receipt_key": b64u(bytes(keystore.receipt_signing.verify_key)),
        "hub_consent_key": b64u(bytes(keystore.consent_signing.verify_key)),
        "points_public": b64u(keystore.points_public),
    }


def migrate_hub(config: Path) -> str:
    """Bring the hub's database to the newest schema; give the revision it then has."""
    from index.settings import HubSettings
    from index.store import migrate
    from index.store.engine import open_engine

    settings = HubSettings.load(config)
    engine = open_engine(settings.database_url)
    try:
        migrate.upgrade(engine)
        return migrate.newest()
    finally:
        engine.dispose()


def fetch_checkpoint(url: str) -> dict[str, object]:
    """The signed checkpoint of a hub, parsed. Its signature is checked by who has the key."""
    import httpx

    from index.protocol.note import parse_checkpoint, parse_note

    answer = httpx.get(f"{url.rstrip('/')}/v1/log/checkpoint", timeout=10, trust_env=False)
    answer.raise_for_status()
    checkpoint = parse_checkpoint(parse_note(answer.text).text)
    return {"origin": checkpoint.origin, "size": checkpoint.size, "note": answer.text}
