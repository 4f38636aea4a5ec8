"""The hub keeps everything it gets, and searches it for people.

All of `DIR/hub` after a whole demo: database, journal, keys, log. Searched for
the demo's numbers in every form, and for the unblinded values of the run,
which the hub saw while it answered and must not have kept.
"""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import httpx
from nacl.signing import SigningKey

from deploy.demo import papers
from index.protocol.directory import Adopted
from nodes.bsn import Bsn
from nodes.pseudonymise import Pseudonymiser
from nodes.settings import NodeSettings
from tests.attacks.traces import forms_of_number, forms_of_value, search
from tests.federation import Federation


def unblinded_values(folder: Path) -> list[bytes]:
    """N of every published flag, evaluated anew by the sources' own keys."""
    written = papers.opened(folder)

    async def of_node(node_id: str) -> list[bytes]:
        settings = NodeSettings.load(written.node(node_id) / "node.toml")
        entry = written.directory.node(node_id)
        assert entry is not None
        (scope,) = {"jeugdhulp": ("jeugd",), "leerplicht": ("onderwijs",), "wmo": ("zorg",)}.get(
            node_id, ("geld",)
        )
        async with httpx.AsyncClient(trust_env=False, timeout=30) as client:
            evaluated = await Pseudonymiser(
                node=node_id,
                signing_key=SigningKey(settings.keys().signing),
                manifest=Adopted(written.manifest, datetime.now(UTC)),
                pinned=settings.pins(),
                client=client,
                classes=entry.classes,
                scopes=entry.scopes,
            ).pseudonymise(
                [(Bsn.parse(fact.bsn), (scope,)) for fact in written.world.facts_of(node_id)], "publish"
            )
        return [value.for_sealed_points() for row in evaluated.pseudonyms for value in row]

    sources = sorted({fact.node for fact in written.world.facts})

    async def of_all() -> list[bytes]:
        return [value for node_id in sources for value in await of_node(node_id)]

    # In a thread: a browser of another test may have a loop running in this one.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, of_all()).result()


def test_curious_hub_finds_no_number_and_no_unblinded_value(
    federation: Federation, record_property: Callable[[str, object], None]
) -> None:
    numbers = [citizen["bsn"] for citizen in federation.info["citizens"]]
    values = unblinded_values(federation.folder)
    assert len(numbers) >= 1000
    assert len(values) > 300

    found = search(federation.folder / "hub", numbers, values)

    record_property("bytes_scanned", found.bytes_scanned)
    record_property("hits", len(found.hits))
    print(f"curious hub: {found.files} files, {found.bytes_scanned} bytes scanned, {len(found.hits)} hits")
    assert found.bytes_scanned > 500_000
    assert found.hits == []


def test_the_same_search_finds_everything_that_is_planted(tmp_path: Path) -> None:
    number, value = "999990019", bytes(range(32))
    planted = [*forms_of_number(number), *forms_of_value(value)]
    for place, (_, raw) in enumerate(planted):
        (tmp_path / f"{place}.bin").write_bytes(b"\x07before" + raw + b"after\x07")
    (tmp_path / "text.log").write_text(f'{{"a": "{number}"}} 9999.90.019 9 9 9 9 9 0 0 1 9 x{number}x')

    found = search(tmp_path, [number], [value])

    names = {hit.split(":")[0] for hit in found.hits}
    assert names == {f"{place}.bin" for place in range(len(planted))} | {"text.log"}
    assert sum(hit == "text.log: digits" for hit in found.hits) == 4


def test_an_integer_in_a_database_is_found(tmp_path: Path) -> None:
    import sqlite3

    with sqlite3.connect(tmp_path / "x.sqlite") as connection:
        connection.execute("CREATE TABLE t (n INTEGER)")
        connection.execute("INSERT INTO t VALUES (999990019)")
    connection.close()
    assert search(tmp_path, ["999990019"]).hits == ["x.sqlite: integer in t"]
