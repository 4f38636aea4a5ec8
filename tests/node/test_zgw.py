"""Cases of a case system become flags, and go when the case does."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from nodes import apikeys
from nodes.app import create_app
from nodes.errors import BadInput, SettingsError
from nodes.settings import SourceSettings

from .world import BSN_A, BSN_B, BSN_C, VOCABULARY, NodeWorld, Source
from .zgw_server import CATALOGI, CLIENT, SECRET, ZAKEN, CaseSystem

pytestmark = pytest.mark.anyio
NAME = "zaaksysteem"
CALLBACK = f"https://node.test/v1/sources/{NAME}/notifications"
TYPES = '[zaaktypen]\n"B1" = "schuldhulp"\n"B2" = "wmo_voorziening"\n"B9" = ""\n'


class Office:
    """A node with a case system beside it."""

    def __init__(self, source: Source, cases: CaseSystem, client: httpx.AsyncClient) -> None:
        self.source = source
        self.cases = cases
        self.client = client
        self.types = {name: cases.case_type(name) for name in ("B1", "B2", "B9", "B7")}

    async def hear(self) -> None:
        """Notifications go out and are worked off."""
        codes = await self.cases.notify(self.client)
        assert set(codes) <= {202}
        await self.work()

    async def work(self, most: int = 60) -> None:
        for _ in range(most):
            if not await self.source.node.sources.step():
                break
        await self.source.drain()

    def live(self) -> list[str]:
        flags = self.source.node.outbox.flags_of(NAME).values()
        return sorted(flag.kind for flag in flags if flag.meant_live)

    def aside(self) -> list[str]:
        return [one.code for one in self.source.node.sources.inbox.aside()]


@pytest.fixture
async def office(world: NodeWorld, tmp_path: Path) -> AsyncIterator[Office]:
    async with opened(world, tmp_path) as made:
        yield made


@asynccontextmanager
async def opened(world: NodeWorld, tmp_path: Path, **changes: Any) -> AsyncIterator[Office]:
    cases = CaseSystem()
    world.case_system = cases
    (tmp_path / "types.toml").write_text(TYPES)
    (tmp_path / "secret").write_text(SECRET)
    made = {
        "name": NAME,
        "type": "zgw",
        "mapping_file": tmp_path / "types.toml",
        "zaken_url": ZAKEN,
        "catalogi_url": CATALOGI,
        "client_id": CLIENT,
        "client_secret_file": tmp_path / "secret",
        **changes,
    }
    source = world.source(sources=(SourceSettings(**made),))
    _, key = apikeys.add(
        source.node.engine, VOCABULARY, "zaken", kinds=["schuldhulp"], roles=[], now=world.clock()
    )
    app = create_app(source.node.settings, source.node)
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="https://node.test") as client:
        subscription = {"callbackUrl": CALLBACK, "auth": f"Bearer {key}", "kanalen": [{"naam": "zaken"}]}
        own = httpx.AsyncClient(transport=httpx.ASGITransport(cases.app), base_url="https://zaken.test")
        assert (await own.post("/notificaties/api/v1/abonnement", json=subscription)).status_code == 201
        yield Office(source, cases, client)


async def test_an_open_case_is_a_flag_of_its_initiator_only(office: Office) -> None:
    case = office.cases.case(office.types["B1"])
    office.cases.role(case, BSN_A)
    office.cases.role(case, BSN_B, generic="behandelaar")
    office.cases.role(case, BSN_C, kind="medewerker")
    await office.hear()
    (flag,) = office.source.node.outbox.flags_of(NAME).values()
    assert (flag.kind, flag.since, flag.state) == ("schuldhulp", "2026-01", "published")
    assert flag.person == office.source.node.outbox.person(office.source.checked(BSN_A, "x").bsn)
    assert not any(number in address for address in office.cases.asked for number in (BSN_A, BSN_B, BSN_C))


@pytest.mark.parametrize("how", ["final", "result", "end"])
async def test_a_closed_case_is_no_flag_any_more(office: Office, how: str) -> None:
    case = office.cases.case(office.types["B1"])
    office.cases.role(case, BSN_A)
    office.cases.state(case, final=False)
    await office.hear()
    assert office.live() == ["schuldhulp"]
    if how == "final":
        office.cases.state(case, final=True)
    else:
        office.cases.change(
            case, **({"resultaat": "https://x"} if how == "result" else {"einddatum": "2026-02-01"})
        )
        office.cases.say(case, "resultaat", "create", case)
    await office.hear()
    assert office.live() == []


async def test_a_person_who_leaves_and_one_who_comes(office: Office) -> None:
    case = office.cases.case(office.types["B1"])
    first = office.cases.role(case, BSN_A)
    for bsn in (BSN_B, BSN_C):
        office.cases.role(case, bsn)
    await office.hear()
    assert len(office.live()) == 3
    office.cases.remove(first, "rol", case)
    await office.hear()
    assert len(office.live()) == 2


async def test_a_part_of_a_case_has_its_own_kind_and_the_persons_of_the_whole(office: Office) -> None:
    case = office.cases.case(office.types["B9"])
    office.cases.case(office.types["B2"], above=case)
    office.cases.role(case, BSN_A)
    await office.hear()
    assert office.live() == ["wmo_voorziening"]


async def test_a_destroyed_case_takes_its_flags_along_and_does_not_come_back(office: Office) -> None:
    case = office.cases.case(office.types["B1"])
    office.cases.role(case, BSN_A)
    await office.hear()
    office.cases.remove(case, "zaak", case)
    late = dict(office.cases.waiting[-1], actie="update")
    office.cases.waiting.append(late)
    await office.hear()
    assert office.live() == []
    assert office.aside() == []


async def test_a_case_type_that_is_not_in_the_mapping_waits_aside_until_it_is(
    office: Office, world: NodeWorld, tmp_path: Path
) -> None:
    case = office.cases.case(office.types["B7"])
    office.cases.role(case, BSN_A)
    await office.hear()
    assert office.aside() == ["unknown-code", "unknown-code"]
    assert office.live() == []

    (tmp_path / "types.toml").write_text(TYPES + '"B7" = "schuldhulp"\n')
    again = Source(world, world.node("bron", "source", sources=office.source.node.settings.sources))
    for one in again.node.sources.inbox.aside():
        content = again.node.sources.inbox.aside_content(one.id)
        assert content is not None
        assert await again.node.sources.handle(content)
    assert [flag.kind for flag in again.node.outbox.flags_of(NAME).values()] == ["schuldhulp"]
    assert again.node.sources.inbox.counts() == (0, 0)


@pytest.mark.parametrize("fault", [401, 403, 429, 500, 503, "slow", "garbage"])
async def test_a_fault_of_the_api_changes_nothing_and_is_asked_again(
    office: Office, world: NodeWorld, fault: int | str
) -> None:
    from datetime import timedelta

    case = office.cases.case(office.types["B1"])
    office.cases.role(case, BSN_A)
    await office.hear()
    office.cases.state(case, final=True)
    setattr(office.cases, "status" if isinstance(fault, int) else fault, fault)
    await office.cases.notify(office.client)
    for _ in range(5):
        await office.source.node.sources.step()
    assert office.live() == ["schuldhulp"]
    assert office.source.node.sources.inbox.counts() == (1, 0)
    assert NAME in office.source.node.sources.faults

    office.cases.status, office.cases.slow, office.cases.garbage = 0, False, False
    world.clock.offset += timedelta(minutes=11)
    await office.work()
    assert office.live() == []
    assert office.source.node.sources.inbox.counts() == (0, 0)
    assert office.source.node.sources.faults == {}


async def test_a_case_that_is_not_found_lies_aside_and_retracts_nothing(office: Office) -> None:
    case = office.cases.case(office.types["B1"])
    office.cases.role(case, BSN_A)
    await office.hear()
    gone = office.cases.things.pop(case)
    office.cases.say(case, "status", "create", case)
    await office.hear()
    assert office.live() == ["schuldhulp"]
    assert office.aside() == ["not-found"]
    assert gone


@pytest.mark.parametrize(
    "address",
    [
        "https://elsewhere.test/zaken/api/v1/zaken/1",
        "http://127.0.0.1:9/zaken",
        f"{ZAKEN}/../../admin",
        "https://zaken.test.evil.test/zaken/api/v1/zaken/1",
        f"{ZAKEN}",
        "file:///etc/passwd",
        "",
    ],
)
async def test_nothing_outside_the_api_is_fetched(office: Office, address: str) -> None:
    office.cases.say(address, "zaak", "create", address)
    await office.hear()
    assert office.cases.asked == []
    assert office.aside() == ["other-api"]


async def test_the_public_notification_is_read_and_its_foreign_address_refused(
    office: Office, shared: Path
) -> None:
    content = (shared / "samples" / "zgw-notificatie-zaak-create.json").read_bytes()
    with pytest.raises(BadInput) as refused:
        await office.source.node.sources.plan(NAME, content)
    assert refused.value.code == "other-api"


async def test_the_public_notification_publishes_and_retracts_at_the_api_it_comes_from(
    world: NodeWorld, tmp_path: Path, shared: Path
) -> None:
    """Its addresses, with a local stand-in behind them."""
    said = json.loads((shared / "samples" / "zgw-notificatie-zaak-create.json").read_bytes())
    base = "https://zaken-api.vng.cloud/api/v1"
    async with opened(world, tmp_path, zaken_url=base, catalogi_url=CATALOGI) as office:
        cases = office.cases
        case = cases.case(office.types["B1"])
        cases.role(case, BSN_A)
        cases.state(case, final=False)

        async def stand_in(request: httpx.Request) -> httpx.Response:
            if "rollen" in request.url.path:
                return httpx.Response(200, json={"next": None, "results": roles()})
            kept = cases.things[status_kind()] if "statustypen" in str(request.url) else None
            if request.url.path.endswith("/zaken/d7a22"):
                kept = cases.things[case]
            if kept is None:
                kept = cases.things[str(request.url)]
            return httpx.Response(200, json=localised(kept))

        def roles() -> list[dict[str, Any]]:
            return [one for address, one in cases.things.items() if "/rollen/" in address]

        def status_kind() -> str:
            return str(cases.things[cases.things[case]["status"]]["statustype"])

        def localised(thing: dict[str, Any]) -> dict[str, Any]:
            if thing is not cases.things[case]:
                return thing
            return {**thing, "status": said["resourceUrl"]}

        async def handle(request: httpx.Request) -> httpx.Response:
            if str(request.url) == said["resourceUrl"]:
                return httpx.Response(200, json=cases.things[cases.things[case]["status"]])
            return await stand_in(request)

        cases.handle_async_request = handle  # type: ignore[method-assign]
        cases.waiting = [said]
        await office.hear()
        assert office.live() == ["schuldhulp"]
        cases.state(case, final=True)
        cases.waiting = [said]
        await office.hear()
        assert office.live() == []


async def test_a_notification_of_another_form_or_caller_is_refused_at_once(office: Office) -> None:
    key = {"Authorization": office.cases.subscriptions[0]["auth"]}
    for body in ({}, {"kanaal": 1}, {"kanaal": "zaken", "hoofdObject": BSN_A}):
        answer = await office.client.post(CALLBACK, json=body, headers=key)
        assert answer.status_code == 400
        assert BSN_A not in answer.text
    said = {"kanaal": "zaken", "hoofdObject": ZAKEN, "resource": "zaak", "actie": "create"}
    assert (await office.client.post(CALLBACK, json=said)).status_code == 401
    elsewhere = CALLBACK.replace(NAME, "anders")
    assert (await office.client.post(elsewhere, json=said, headers=key)).status_code == 404
    assert office.source.node.sources.inbox.counts() == (0, 0)


async def test_another_channel_changes_nothing(office: Office) -> None:
    office.cases.case(office.types["B1"])
    office.cases.waiting[0]["kanaal"] = "documenten"
    await office.hear()
    assert office.cases.asked == []
    assert office.source.node.sources.inbox.counts() == (0, 0)


def test_a_mapping_with_an_unknown_kind_stops_the_start(tmp_path: Path) -> None:
    from nodes.connectors.zgw import load_case_types

    path = tmp_path / "types.toml"
    path.write_text('[zaaktypen]\n"B1" = "schulden"\n')
    with pytest.raises(SettingsError, match="kind schulden is not in the vocabulary"):
        load_case_types(path, VOCABULARY)
