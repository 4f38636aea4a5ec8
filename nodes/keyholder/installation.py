"""The files of a key holder: made once for a new installation, read and checked at every start."""

from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from nacl.signing import SigningKey

from index.protocol.directory import (
    Adopted,
    Directory,
    Manifest,
    NotTrusted,
    check_environment,
    parse_directory,
    parse_manifest,
)
from index.protocol.keyfile import KeyFileError, read_key_file, write_key_file
from nodes.oprf import voprf
from nodes.oprf.ristretto import BadScalar, Secret

from . import store
from .errors import CannotStart
from .settings import KeyHolderSettings


def share_file(folder: Path, kid: str) -> Path:
    """Where the share of one kid lies."""
    return folder / f"{kid}.key"


def initialise(
    *,
    database: Path,
    signing_key_file: Path,
    shares_dir: Path,
    signing_key: SigningKey,
    shares: Mapping[str, Secret],
) -> None:
    """Write what a new key holder keeps: signing key, shares, an empty counter store.

    Raises:
        CannotStart: One of the files exists already; nothing is overwritten.
    """
    try:
        write_key_file(signing_key_file, bytes(signing_key))
        for kid, share in shares.items():
            write_key_file(share_file(shares_dir, kid), share.for_key_file())
    except FileExistsError as error:
        raise CannotStart(f"{error.filename} exists already; it is never made anew") from None
    store.create(database)


def read_signing_key(settings: KeyHolderSettings) -> SigningKey:
    """The holder's own key, which must be the one that the others pinned.

    Raises:
        CannotStart: Names the file.
    """
    try:
        key = SigningKey(read_key_file(settings.signing_key_file))
    except KeyFileError as error:
        raise CannotStart(str(error)) from None
    if settings.pins().get(settings.holder_id) != bytes(key.verify_key):
        raise CannotStart(
            f"{settings.signing_key_file} is not the signing key that is pinned for {settings.holder_id}"
        )
    return key


def read_documents(settings: KeyHolderSettings, now: datetime) -> tuple[Manifest, Directory]:
    """Manifest and directory, verified.

    Raises:
        CannotStart: Names the file and the rule.
    """
    pins = settings.pins()
    try:
        manifest = Adopted(parse_manifest(_read(settings.manifest_file), pins), now).current
        check_environment(manifest, settings.environment)
    except NotTrusted as error:
        raise CannotStart(f"manifest {settings.manifest_file}: {error}") from None
    threshold = max(key.t for key in manifest.keys)
    try:
        directory = parse_directory(_read(settings.directory_file), pins, threshold)
    except NotTrusted as error:
        raise CannotStart(f"directory {settings.directory_file}: {error}") from None
    return manifest, directory


def read_shares(settings: KeyHolderSettings, manifest: Manifest) -> dict[str, Secret]:
    """The shares of all kids that may still be used.

    Raises:
        CannotStart: One is missing or no scalar; names the file.
    """
    shares = {}
    for key in manifest.keys:
        if key.state == "closed":
            continue
        path = share_file(settings.shares_dir, key.kid)
        try:
            shares[key.kid] = Secret.from_bytes(read_key_file(path))
        except KeyFileError as error:
            raise CannotStart(str(error)) from None
        except BadScalar:
            raise CannotStart(f"key file {path} does not hold a share") from None
    return shares


def check_cryptography() -> None:
    """The start-up known answer.

    Raises:
        CannotStart: The library computes something else than the RFC.
    """
    try:
        voprf.check_known_answer()
    except voprf.BadProof:
        raise CannotStart("libsodium does not give the known answer of RFC 9497") from None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        raise CannotStart(f"{path} is missing or cannot be read") from None
