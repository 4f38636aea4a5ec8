"""What commands do with the files of a key holder.

Source: docs/operating.md, "Who takes part".
"""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from index.organisations import differences
from index.protocol.directory import (
    Adopted,
    Directory,
    NotTrusted,
    check_directory,
    encode,
    parse_directory,
    sign,
)
from nodes.keyholder import installation
from nodes.keyholder.errors import CannotStart
from nodes.keyholder.settings import KeyHolderSettings


def sign_draft(config: Path, draft: Path) -> tuple[int, list[str], Callable[[], bytes]]:
    """Version of a draft, what differs from the directory in force here, and what signs it.

    Raises:
        CannotStart: The draft is no directory, breaks a rule or is not the next version.
    """
    settings = KeyHolderSettings.load(config)
    _, current = installation.read_documents(settings, datetime.now(UTC))
    try:
        document = msgspec.json.decode(draft.read_bytes(), type=Directory)
        check_directory(document)
    except (msgspec.DecodeError, UnicodeDecodeError, NotTrusted) as error:
        raise CannotStart(f"{draft} is no directory that can be signed: {error}") from None
    if document.version != current.version + 1:
        raise CannotStart(
            f"{draft} has version {document.version}; the next one here is {current.version + 1}"
        )
    key = installation.read_signing_key(settings)
    return (
        document.version,
        differences(current, document),
        lambda: encode(sign(document, {settings.holder_id: key})),
    )


def install(config: Path, file: Path) -> int:
    """Replace the holder's directory by a newer one that enough holders signed; its version.

    Raises:
        CannotStart: It is not signed by enough, or not newer; nothing was changed.
    """
    settings, now = KeyHolderSettings.load(config), datetime.now(UTC)
    manifest, current = installation.read_documents(settings, now)
    raw = file.read_bytes()
    try:
        found = parse_directory(raw, settings.pins(), max(key.t for key in manifest.keys))
        Adopted(current, now).adopt(found, now)
    except NotTrusted as error:
        raise CannotStart(f"{file}: {error}") from None
    beside = settings.directory_file.with_name(f".{settings.directory_file.name}.new")
    beside.write_bytes(raw)
    beside.replace(settings.directory_file)
    return found.version
