"""Which manifest versions this hub served, and under which keys.

Points name the version they were made under. They stay good as long as every
scope key is the same as now: an outbox may wait for days while a manifest is
signed again with another address in it. A version only rises.

Source: docs/design/pseudonyms.md, "Manifest and directory".
"""

from sqlalchemy import Engine, insert, select
from sqlalchemy.exc import IntegrityError

from index.protocol.codec import unb64u
from index.protocol.directory import Manifest
from index.store.tables import scope_key


class ManifestOlder(Exception):
    """The manifest has a lower version than one served before: it is refused."""


def versions_of_equal_keys(engine: Engine, manifest: Manifest) -> frozenset[int]:
    """Note the manifest, and tell which versions had the very keys it has.

    Raises:
        ManifestOlder: A later version was served here before.
    """
    now: dict[str, bytes] = {
        key.scope: unb64u(key.commits[0], 32) for key in manifest.keys if key.state == "active"
    }
    known: dict[int, dict[str, bytes]] = {}
    with engine.connect() as connection:
        for version, scope, a0 in connection.execute(
            select(scope_key.c.version, scope_key.c.scope, scope_key.c.a0)
        ):
            known.setdefault(version, {})[scope] = bytes(a0)
    if known and max(known) > manifest.version:
        raise ManifestOlder(
            f"manifest version {manifest.version} is older than version {max(known)}, which was served before"
        )
    if manifest.version not in known:
        rows = [{"version": manifest.version, "scope": scope, "a0": a0} for scope, a0 in now.items()]
        try:
            with engine.begin() as connection:
                connection.execute(insert(scope_key), rows)
        except IntegrityError:
            pass  # another hub process on this database noted the same version first
        known[manifest.version] = now
    return frozenset(version for version, keys in known.items() if keys == now)
