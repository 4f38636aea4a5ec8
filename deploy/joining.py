"""A node makes its keys and asks to be let in: `node join`.

Source: docs/operating.md, "A node joins".
"""

import secrets
from pathlib import Path
from typing import Any

from nacl.signing import SigningKey

from index.protocol.codec import SCOPES
from index.protocol.directory import NotTrusted
from index.protocol.enrolment import fingerprint, make_request, parse_request
from index.protocol.keyfile import read_key_file, write_key_file
from nodes.errors import SettingsError
from nodes.settings import NodeSettings

CLASSES: dict[str, tuple[str, ...]] = {
    "source": ("publish",),
    "desk": ("lookup", "crisis"),
    "portal": ("publish", "citizen", "inzage"),
}
"""What each part of a node asks of the key holders."""


def ask_to_join(config: Path, oin: str, request: Path, scopes: list[str]) -> dict[str, Any]:
    """Write the request file. A key file that exists is never made anew.

    Raises:
        SettingsError: A setting or value has no allowed form, or the request file is there already.
    """
    settings = NodeSettings.load(config)
    if request.exists():
        raise SettingsError(f"{request} is there already; it is not overwritten")
    made = []
    for file in (
        settings.signing_key_file, settings.node_secret_file, settings.case_key_file,
        settings.storage_key_file,
    ):  # fmt: skip
        if not file.exists():
            write_key_file(file, secrets.token_bytes(32))
            made.append(file.name)
    key = SigningKey(read_key_file(settings.signing_key_file))
    try:
        raw = make_request(
            key,
            environment=settings.environment,
            node=settings.node_id,
            oin=oin,
            url=settings.url,
            classes=[one for part in settings.parts for one in CLASSES[part]],
            scopes=scopes or list(SCOPES),
        )
    except NotTrusted:
        raise SettingsError(
            "the request has a wrong form: look at --organisation (20 digits), --scope, node_id and url"
        ) from None
    request.write_bytes(raw)
    asked = parse_request(raw)
    return {
        "node": asked.node,
        "environment": asked.environment,
        "classes": list(asked.classes),
        "scopes": list(asked.scopes),
        "fingerprint": fingerprint(asked.ed25519),
        "made": made,
        "request": str(request),
    }
