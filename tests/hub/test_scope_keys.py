"""Points that waited stay good as long as the keys are the same; a manifest never goes back."""

from pathlib import Path

import msgspec
import pytest

from index.protocol.codec import b64u
from index.protocol.directory import Manifest
from index.store import migrate
from index.store.engine import open_engine
from index.store.scopekeys import ManifestOlder, versions_of_equal_keys

from .world import World, point

pytestmark = pytest.mark.anyio


def later(manifest: Manifest, version: int, **changes: object) -> Manifest:
    return msgspec.structs.replace(manifest, version=version, **changes)


def test_a_manifest_signed_again_with_the_same_keys_keeps_waiting_points_good(tmp_path: Path) -> None:
    manifest = World(tmp_path).manifest()
    engine = open_engine(f"sqlite:///{tmp_path / 'other.db'}")
    migrate.upgrade(engine)
    assert versions_of_equal_keys(engine, manifest) == {1}
    assert versions_of_equal_keys(engine, manifest) == {1}
    assert versions_of_equal_keys(engine, later(manifest, 2)) == {1, 2}

    first = manifest.keys[0]
    another = msgspec.structs.replace(
        first, commits=[b64u(point("somebody", first.scope)), *first.commits[1:]]
    )
    changed = later(manifest, 3, keys=[another, *manifest.keys[1:]])
    assert versions_of_equal_keys(engine, changed) == {3}


def test_an_older_manifest_than_one_served_before_is_refused(tmp_path: Path) -> None:
    manifest = World(tmp_path).manifest()
    engine = open_engine(f"sqlite:///{tmp_path / 'other.db'}")
    migrate.upgrade(engine)
    versions_of_equal_keys(engine, later(manifest, 7))
    with pytest.raises(ManifestOlder):
        versions_of_equal_keys(engine, manifest)


async def test_the_hub_takes_points_of_an_earlier_version_with_the_same_keys(tmp_path: Path) -> None:
    world = World(tmp_path)
    engine = open_engine(world.settings.database_url)
    versions_of_equal_keys(engine, world.manifest())
    (tmp_path / "manifest.json").write_bytes(world.signed_again(2))
    async with world.running():
        visit, sent = await world.wijkteam.tries_to_open("m-jan", ["Fatima"])
        assert world.hub.manifest.version == 2
        assert sent.response.status_code == 200
        assert visit.persons == ["Fatima"]
