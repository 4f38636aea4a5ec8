"""Whatever a source sends: a result or a clean refusal, nothing echoed, and nothing that stops the others."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodes.connectors import sql
from nodes.connectors.facts import Fact
from nodes.connectors.rows import Mapped, read_rows
from nodes.errors import BadInput
from tests.fuzz.seeds import seeds
from tests.fuzz.targets import NUMBER, TARGETS, rules, zaken_api

from .test_zgw import NAME as CASES
from .test_zgw import opened
from .world import NodeWorld

SHARED = Path(__file__).parents[3] / "shared" / "vectors"
READERS = ["istandaarden_messages", "suwinet_answers", "zaken_notifications", "excel_lists", "csv_lists"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20)
    | st.sampled_from([NUMBER, "https://zaken.test/zaken/api/v1/zaken/1", "http://[", "\x00", "2026-01-01"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip


@pytest.fixture(scope="module")
def known() -> dict[str, list[bytes]]:
    if not SHARED.exists():
        pytest.skip("../shared is not here")
    return seeds()


@pytest.mark.parametrize("name", READERS)
def test_any_bytes_and_any_change_of_a_good_one_are_taken_or_refused(
    name: str, known: dict[str, list[bytes]]
) -> None:
    good = known[name]

    @settings(max_examples=60, deadline=None)
    @given(
        raw=st.one_of(
            st.binary(max_size=300),
            st.tuples(
                st.sampled_from(good), st.integers(0, 800), st.integers(0, 40), st.binary(max_size=20)
            ).map(lambda cut: cut[0][: cut[1]] + cut[3] + cut[0][cut[1] + cut[2] :]),
        )
    )
    def tried(raw: bytes) -> None:
        assert TARGETS[name](raw) in (True, False)

    tried()


@settings(max_examples=60, deadline=None)
@given(part=st.integers(0, 5), field=st.integers(0, 5), value=JSON, whole=st.booleans())
def test_any_json_of_a_case_system_is_read_or_refused(part: int, field: int, value: Any, whole: bool) -> None:
    """One field of one message, or one whole message, is something else than the standard has."""
    said = json.loads(zaken_api()[part])
    names = [*said, "deelzaken", "resultaat", "hoofdzaak", "einddatum"]
    changed = value if whole else {**said, names[field % len(names)]: value}
    assert TARGETS["zaken_answers"](bytes([part]) + json.dumps(changed).encode()) in (True, False)


def test_every_field_of_a_case_system_may_be_of_another_form() -> None:
    for part, said in enumerate(map(json.loads, zaken_api())):
        for name in (*said, "deelzaken", "resultaat", "hoofdzaak", "einddatum"):
            for value in (5, "x", {"a": 1}, [5]):
                changed = json.dumps({**said, name: value}).encode()
                assert TARGETS["zaken_answers"](bytes([part]) + changed) in (True, False)


CELLS = st.none() | st.integers() | st.floats() | st.text(max_size=20) | st.dates() | st.binary(max_size=9)


@settings(max_examples=60, deadline=None)
@given(row=st.lists(CELLS | st.just(NUMBER), min_size=0, max_size=7), acts=st.booleans())
def test_any_cells_of_a_database_are_facts_or_refusals(row: list[Any], acts: bool) -> None:
    heading = ["bsn", "kind", "local_ref", "since", "until", "mutatie"]
    (read,) = read_rows([(2, row)], heading, Mapped(whole=not acts), changes=acts)
    if isinstance(read, Fact):
        checked = rules().check(read.item)
        assert not isinstance(checked, list) or NUMBER not in repr([one.detail for one in checked])
    for cell in row:
        with suppress(BadInput):
            assert sql.read(sql.written(cell)) == cell


@pytest.mark.anyio
@pytest.mark.parametrize(
    "address",
    [
        "http://[",
        "https://zaken.test/zaken/api/v1/zaken/\x00",
        "https://zaken.test/zaken/api/v1/zaken/ \n",
        "\ud800",
    ],
)
async def test_an_address_that_is_none_lies_aside(world: NodeWorld, tmp_path: Path, address: str) -> None:
    async with opened(world, tmp_path) as office:
        said = {"kanaal": "zaken", "hoofdObject": address, "resource": "zaak", "actie": "create"}
        office.source.node.sources.inbox.put(CASES, json.dumps(said).encode())
        await office.work()
        (code,) = office.aside()
        assert code in {"other-api", "form"}


@pytest.mark.anyio
async def test_a_message_that_meets_a_defect_does_not_stop_the_next(
    world: NodeWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with opened(world, tmp_path) as office:
        inbox = office.source.node.sources.inbox
        other = {"kanaal": "besluiten", "hoofdObject": "x", "resource": "y", "actie": "z"}
        inbox.put(CASES, zaken_api()[0])
        inbox.put(CASES, json.dumps(other).encode())

        def broken(*_: object, **__: object) -> httpx.Response:
            raise RuntimeError(NUMBER)

        monkeypatch.setattr(office.source.node.sources._http, "stream", broken)
        await office.work()
        (one,) = inbox.aside()
        assert (one.code, inbox.counts()) == ("defect", (0, 1))
        assert NUMBER not in one.detail
