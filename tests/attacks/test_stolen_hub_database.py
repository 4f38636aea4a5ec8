"""Attack: copy the hub's database and its key folder, and look for people in the bytes.

Defence: no `N` is stored outside an escrow, and log ids and handles stand in
sealed bytes only. The search is shown to find each of these where it is planted.
"""

import shutil
from pathlib import Path

import pytest

from index.protocol.codec import SCOPES
from index.protocol.entry import handle
from index.rows import EscrowSession
from tests.attacks.traces import search
from tests.hub.acting import Acting
from tests.hub.world import point


def stolen(hub: Acting) -> Path:
    """The folder with the hub's own files and, on PostgreSQL, copies of the server's files beside them."""
    if hub.world.hub.engine.dialect.name == "postgresql":
        with hub.world.hub.reading().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("CHECKPOINT")
            oid = connection.exec_driver_sql(
                "SELECT oid FROM pg_database WHERE datname = current_database()"
            ).scalar()
            data = Path(str(connection.exec_driver_sql("SHOW data_directory").scalar()))
        for part in (data / "base" / str(oid), data / "pg_wal"):
            shutil.copytree(part, hub.folder / "stolen" / part.name)
    return hub.folder


def test_a_stolen_database_holds_no_unblinded_value_log_id_or_handle(
    tmp_path: Path, database: dict[str, str]
) -> None:
    with Acting(tmp_path, **database) as hub:
        people = [hub.somebody() for _ in range(20)]
        flags = [hub.flag(person, kind) for person in people for kind in ("bijstand", "ww", "jeugdhulp")]
        hub.publish(hub.inkomen, *flags)
        hub.retract(hub.inkomen, *(flag.secret for flag in flags[:10]))
        for person in people[:5]:
            hub.allow_everything(person)
            hub.sees(hub.visit(person))
        year = hub.world.clock().year
        lids = [lid for person in people for lid in hub.lids(person)]

        points = [point(person, scope) for person in people for scope in SCOPES]
        values = [*points, *lids, *(handle(year, lid) for lid in lids)]
        values += [flag.secret for flag in flags]
        found = search(stolen(hub), [], values)

        assert found.bytes_scanned > 100_000
        assert found.hits == []
        for at, value in enumerate((points[3], lids[7], handle(year, lids[11]))):
            (tmp_path / f"planted-{at}").write_bytes(b"before" + value + b"after")
        assert {hit.split(":")[0] for hit in search(tmp_path, [], values).hits} == {
            "planted-0",
            "planted-1",
            "planted-2",
        }


def test_a_hub_that_kept_the_values_would_be_found(
    tmp_path: Path, database: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The defence taken out: the escrow holds `N` as it is."""

    def in_clear(_: EscrowSession, _scope: str, _key: bytes, n: bytes, _nonce: bytes | None = None) -> bytes:
        return n + bytes(44)

    monkeypatch.setattr(EscrowSession, "seal", in_clear)
    with Acting(tmp_path, **database) as hub:
        person = hub.somebody()
        hub.publish(hub.inkomen, hub.flag(person, "bijstand"))
        assert search(stolen(hub), [], [point(person, "geld")]).hits != []
