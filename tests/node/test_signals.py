"""Signals at a desk: followed, heard, worked on by one, told to the organisation's system."""

import base64
import json
import secrets
from collections.abc import Callable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from nacl.signing import SigningKey, VerifyKey
from pydantic import ValidationError

from index.protocol.keyfile import write_key_file
from index.signals import Signals as HubSignals
from nodes.bsn import Bsn
from nodes.employees import Employee
from nodes.errors import NotAllowed, SettingsError, UnknownVisit
from nodes.runtime import NodeRuntime
from nodes.settings import CombinationSettings, SignalSettings, WebhookSettings
from nodes.webhooks import AddressRefused, checked_address, signature_base

from .world import BORN, BSN_A, BSN_B, NodeWorld

pytestmark = pytest.mark.anyio
JAN = Employee("jan-pseudoniem", "generalist", "wijkteam-noord")
PIET = Employee("piet-pseudoniem", "generalist", "wijkteam-noord")
WMO = Employee("wil-pseudoniem", "generalist_wmo", "wijkteam-noord")


async def an_hour_later(world: NodeWorld) -> None:
    world.clock.offset += timedelta(hours=1)
    await HubSignals(world.network.app.state.hub).round()


async def followed(world: NodeWorld, desk: NodeRuntime, *numbers: str) -> str:
    """An own visit that may see schuldhulp and is followed."""
    await world.allow(BSN_A)
    visit = await desk.visits.open(
        JAN, [Bsn.parse(number) for number in numbers or (BSN_A,)], "huisbezoek", "Z-7"
    )
    await desk.signals.follow(JAN, visit.id)
    return visit.id


async def something_new(world: NodeWorld, desk: NodeRuntime, reference: str = "SH-1") -> int:
    source = world.source()
    await source.publish(BSN_A, reference)
    await source.drain()
    await an_hour_later(world)
    return await desk.signals.poll()


async def test_a_publication_reaches_the_list_and_looking_makes_it_seen(world: NodeWorld) -> None:
    desk = world.desk()
    visit = await followed(world, desk)
    assert await desk.signals.poll() == 0
    assert await something_new(world, desk) == 1
    (view,) = await desk.signals.items(JAN)
    assert (view.case_reference, view.item.state, view.item.mine, view.item.first) == (
        "Z-7",
        "new",
        True,
        False,
    )
    assert await desk.signals.poll() == 0
    await desk.visits.look(JAN, visit, None, "presence")
    assert [one.item.state for one in await desk.signals.items(JAN)] == ["seen"]
    await desk.signals.choose(JAN, visit, "taken")
    assert [one.item.state for one in await desk.signals.items(JAN)] == ["taken"]
    await desk.signals.choose(JAN, visit, "closed")
    assert await desk.signals.items(JAN) == []
    assert await something_new(world, desk, "SH-2") == 1
    assert [one.item.state for one in await desk.signals.items(JAN)] == ["new"]


async def test_a_restart_between_keeping_and_saying_so_tells_nothing_twice(world: NodeWorld) -> None:
    desk = world.desk()
    await followed(world, desk)
    source = world.source()
    await source.publish(BSN_A, "SH-1")
    await source.drain()
    await an_hour_later(world)
    answer = await desk.hub.signals([])
    pairs = [(one.id, one.visit) for one in answer.signals]
    hooks = {"regie": frozenset[str]()}
    for _ in range(2):
        desk.signals._follow_up.keep(pairs, world.clock(), hooks)
    assert len(desk.signals.webhooks._due()) == 1


async def test_who_stops_following_or_closes_hears_nothing(world: NodeWorld) -> None:
    desk = world.desk()
    visit = await followed(world, desk)
    await desk.signals.follow(JAN, visit, wanted=False)
    assert await something_new(world, desk) == 0
    again = await followed(world, desk)
    await desk.visits.close(JAN, again)
    assert await something_new(world, desk, "SH-2") == 0
    assert await desk.signals.items(JAN) == []


async def test_a_person_who_is_added_is_followed_too(world: NodeWorld) -> None:
    desk = world.desk()
    visit = await followed(world, desk, BSN_B)
    await desk.visits.places(JAN, visit, [Bsn.parse(BSN_A)])
    assert await something_new(world, desk) == 1


async def test_only_ones_own_visit_is_followed_and_never_break_glass(world: NodeWorld) -> None:
    desk = world.desk()
    visit = await followed(world, desk)
    with pytest.raises(UnknownVisit):
        await desk.signals.follow(PIET, visit)
    with pytest.raises(UnknownVisit):
        await desk.signals.follow(JAN, "v" + "x" * 20)
    with pytest.raises(NotAllowed):
        await desk.signals.follow(JAN, "c" + "x" * 20)
    assert await desk.signals.followed([visit, "v" + "x" * 20]) == {visit}


async def test_the_team_sees_what_waits_too_long_and_one_colleague_takes_it_over(world: NodeWorld) -> None:
    desk = world.desk()
    visit = await followed(world, desk)
    await something_new(world, desk)
    assert await desk.signals.items(PIET) == []
    with pytest.raises(UnknownVisit):
        await desk.signals.choose(PIET, visit, "taken")
    world.clock.offset += timedelta(hours=25)
    (view,) = await desk.signals.items(PIET)
    assert (view.item.mine, view.case_reference) == (False, "Z-7")
    assert await desk.signals.items(WMO) == []
    for who, state in ((PIET, "closed"), (WMO, "taken"), (PIET, "seen")):
        with pytest.raises(UnknownVisit):
            await desk.signals.choose(who, visit, state)  # type: ignore[arg-type]
    await desk.signals.choose(PIET, visit, "taken")
    assert [one.item.mine for one in await desk.signals.items(PIET)] == [True]
    assert await desk.signals.items(JAN) == []
    (person,) = await desk.visits.look(PIET, visit)
    assert [flag.kind for flag in person.flags] == ["schuldhulp"]
    with pytest.raises(UnknownVisit):
        await desk.visits.look(JAN, visit)


async def test_what_comes_first_and_combinations_stand_on_top_once_they_were_seen(world: NodeWorld) -> None:
    pair = CombinationSettings(name="Schulden en zorg", kinds=frozenset({"schuldhulp", "wmo_voorziening"}))
    desk = world.desk(signals=SignalSettings(first=frozenset(), combinations=(pair,)))
    await world.allow(BSN_A, "wmo_voorziening")
    visit = await followed(world, desk)
    assert await something_new(world, desk) == 1
    persons = await desk.visits.look(JAN, visit)
    assert desk.signals.combined(persons) == []
    assert [one.item.first for one in await desk.signals.items(JAN)] == [False]
    source = world.source()
    await source.publish(BSN_A, "W-1", kind="wmo_voorziening")
    await source.drain()
    persons = await desk.visits.look(JAN, visit)
    assert desk.signals.combined(persons) == ["Schulden en zorg"]
    assert [one.item.first for one in await desk.signals.items(JAN)] == [True]


# --- the webhook -----------------------------------------------------------------------


class Receiver(httpx.AsyncBaseTransport):
    def __init__(self) -> None:
        self.got: list[httpx.Request] = []
        self.answers: list[int] = []
        self.headers: dict[str, str] = {}

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.got.append(request)
        status = self.answers.pop(0) if self.answers else 204
        return httpx.Response(status, headers=self.headers)


def public(*addresses: str) -> Callable[[str, int], Any]:
    async def resolve(host: str, port: int) -> Sequence[str]:
        return addresses

    return resolve


KEY = secrets.token_bytes(32)


def hooked(world: NodeWorld, folder: Path, *addresses: str, **changes: Any) -> tuple[NodeRuntime, Receiver]:
    """A desk whose webhook leads to these addresses."""
    if not (folder / "hook.key").exists():
        write_key_file(folder / "hook.key", KEY)
    made = {
        "name": "regie",
        "url": "https://regie.example/hook",
        "key_file": folder / "hook.key",
        "key_id": "k1",
    }
    desk = world.desk(signals=SignalSettings(webhooks=(WebhookSettings(**{**made, **changes}),)))
    receiver = Receiver()
    desk.signals.webhooks.client = httpx.AsyncClient(transport=receiver)
    desk.signals.webhooks._resolve = public(*(addresses or ("93.184.215.14",)))
    return desk, receiver


async def test_the_event_is_signed_names_the_visit_and_no_person(world: NodeWorld, tmp_path: Path) -> None:
    desk, receiver = hooked(world, tmp_path)
    visit = await followed(world, desk)
    await something_new(world, desk)
    assert await desk.signals.webhooks.deliver() == 1
    assert await desk.signals.webhooks.deliver() == 0
    (request,) = receiver.got
    event = json.loads(request.content)
    assert set(event) == {"specversion", "id", "source", "type", "subject", "time", "datacontenttype", "data"}
    assert event["data"] == {"visit": visit}
    assert event["type"] == "nl.vlagwijzer.vraag-opnieuw"
    assert event["source"] == "urn:nld:oin:00000001234567890000:systeem:wijkteam"
    assert not any(text in request.content.decode() for text in (BSN_A, "Z-7", "schuldhulp"))
    # To the address that was checked, under the name of the settings.
    assert (request.url.host, request.headers["host"]) == ("93.184.215.14", "regie.example")
    assert request.extensions["sni_hostname"] == "regie.example"
    parameters = request.headers["signature-input"].removeprefix("sig1=")
    signed = [
        ("@method", "POST"),
        ("@target-uri", "https://regie.example/hook"),
        ("content-type", request.headers["content-type"]),
        ("content-digest", request.headers["content-digest"]),
    ]
    signature = base64.b64decode(request.headers["signature"].removeprefix("sig1=:").removesuffix(":"))
    VerifyKey(bytes(SigningKey(KEY).verify_key)).verify(signature_base(signed, parameters), signature)


def test_the_signature_is_that_of_the_rfc() -> None:
    """RFC 9421, B.2.6."""
    key = SigningKey(
        base64.b64decode("MC4CAQAwBQYDK2VwBCIEIJ+DYvh6SEqVTm50DFtMDoQikTmiCqirVv9mWG9qfSnF")[-32:]
    )
    components = [
        ("date", "Tue, 20 Apr 2021 02:07:55 GMT"),
        ("@method", "POST"),
        ("@path", "/foo"),
        ("@authority", "example.com"),
        ("content-type", "application/json"),
        ("content-length", "18"),
    ]
    names = " ".join(f'"{name}"' for name, _ in components)
    parameters = f'({names});created=1618884473;keyid="test-key-ed25519"'
    signature = key.sign(signature_base(components, parameters)).signature
    assert base64.b64encode(signature).decode() == (
        "wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKRCw=="
    )


async def test_a_failure_or_a_redirect_is_tried_again_later_and_given_up_in_the_end(
    world: NodeWorld, tmp_path: Path
) -> None:
    desk, receiver = hooked(world, tmp_path)
    await followed(world, desk)
    await something_new(world, desk)
    receiver.answers = [503, 302]
    receiver.headers = {"Location": "http://127.0.0.1/"}
    assert await desk.signals.webhooks.deliver() == 0
    assert await desk.signals.webhooks.deliver() == 0
    assert len(receiver.got) == 1
    world.clock.offset += timedelta(seconds=31)
    await desk.signals.webhooks.deliver()
    assert len(receiver.got) == 2
    world.clock.offset += timedelta(seconds=31)
    await desk.signals.webhooks.deliver()
    assert len(receiver.got) == 2
    world.clock.offset += timedelta(seconds=31)
    assert await desk.signals.webhooks.deliver() == 1
    assert len({json.loads(request.content)["id"] for request in receiver.got}) == 1
    await something_new(world, desk, "SH-2")
    receiver.answers = [500] * 9
    world.clock.offset += timedelta(hours=73)
    await desk.signals.webhooks.deliver()
    world.clock.offset += timedelta(hours=73)
    assert await desk.signals.webhooks.deliver() == 0
    assert desk.signals.webhooks._due() == []


@pytest.mark.parametrize(
    "addresses",
    [
        ("127.0.0.1",), ("10.0.0.5",), ("169.254.169.254",), ("192.168.1.1",), ("::1",), ("fe80::1%eth0",),
        ("fc00::1",), ("::ffff:10.0.0.1",), (".".join("0000"),), ("224.0.0.1",),
        ("93.184.215.14", "10.0.0.5"), (),
    ],
)  # fmt: skip
def test_a_name_that_leads_inside_is_refused(addresses: tuple[str, ...]) -> None:
    with pytest.raises(AddressRefused):
        checked_address(addresses, private=False)


async def test_an_address_inside_is_not_called_and_waits(world: NodeWorld, tmp_path: Path) -> None:
    desk, receiver = hooked(world, tmp_path, "10.0.0.5")
    await followed(world, desk)
    await something_new(world, desk)
    assert await desk.signals.webhooks.deliver() == 0
    assert receiver.got == []


async def test_a_network_of_ones_own_is_called_where_the_settings_say_so(
    world: NodeWorld, tmp_path: Path
) -> None:
    desk, receiver = hooked(world, tmp_path, "10.0.0.5", private=True)
    await followed(world, desk)
    await something_new(world, desk)
    assert await desk.signals.webhooks.deliver() == 1
    assert receiver.got[0].url.host == "10.0.0.5"


async def test_a_webhook_of_other_teams_hears_nothing(world: NodeWorld, tmp_path: Path) -> None:
    desk, receiver = hooked(world, tmp_path, teams=("wijkteam-zuid",))
    await followed(world, desk)
    assert await something_new(world, desk) == 1
    assert await desk.signals.webhooks.deliver() == 0
    assert receiver.got == []


@pytest.mark.parametrize(
    "url",
    [
        "http://regie.example/",
        "http://127.0.0.1:1/",
        "https://",
        "ftp://regie.example/",
        "https://a:b@regie.example/",
    ],
)
def test_an_address_that_is_not_safe_stops_the_start(tmp_path: Path, url: str) -> None:
    with pytest.raises(ValidationError):
        WebhookSettings(name="regie", url=url, key_file=tmp_path / "k", key_id="k1")


async def test_a_missing_key_stops_the_start(world: NodeWorld, tmp_path: Path) -> None:
    hook = WebhookSettings(
        name="regie", url="https://regie.example/", key_file=tmp_path / "none.key", key_id="k1"
    )
    with pytest.raises(SettingsError):
        world.desk(signals=SignalSettings(webhooks=(hook,)))


# --- for a calling system ----------------------------------------------------------------


async def test_a_regiesysteem_follows_hears_asks_again_and_closes(world: NodeWorld) -> None:
    await world.allow(BSN_A)
    desk = world.desk()
    async with world.system(desk, roles=["generalist"]) as system:

        def who(**changes: Any) -> dict[str, str]:
            return {"Authorization": f"Bearer {world.token(**changes)}"}

        body = {"clients": [{"bsn": BSN_A}], "purpose": "huisbezoek", "caseReference": "Z-9"}
        visit = (await system.post("/v1/visits", json=body, headers=who())).json()["visit"]
        path = f"/v1/visits/{visit}/subscriptions"
        assert (await system.post(path)).status_code == 403
        assert (await system.post(path, json={"wanted": "ja"}, headers=who())).status_code == 400
        assert (await system.post(path, headers=who(sub="piet"))).status_code == 404
        assert (await system.post(path, headers=who())).json() == {"visit": visit, "wanted": True}
        assert await something_new(world, desk) == 1
        (signal,) = (await system.get("/v1/signals", headers=who())).json()["signals"]
        assert (signal["visit"], signal["caseReference"], signal["state"]) == (visit, "Z-9", "new")
        assert (await system.get("/v1/signals", headers=who(sub="piet"))).json() == {"signals": []}
        states = f"/v1/signals/{visit}/states"
        assert (await system.post(states, json={"state": "seen"}, headers=who())).status_code == 400
        assert (
            await system.post(states, json={"state": "taken"}, headers=who(sub="piet"))
        ).status_code == 404
        looked = (await system.post("/v1/lookups", json={"visit": visit}, headers=who())).json()
        assert looked["combinations"] == []
        assert (await system.post(states, json={"state": "closed"}, headers=who())).status_code == 200
        assert (await system.get("/v1/signals", headers=who())).json() == {"signals": []}


async def test_the_citizen_reads_that_a_team_was_told_and_asked_contact(world: NodeWorld) -> None:
    desk = world.desk()
    visit = await followed(world, desk)
    await something_new(world, desk)
    (person,) = await desk.visits.look(JAN, visit)
    await desk.contacts.ask(JAN, visit, 0, person.flags[0])
    portal = world.portal()
    session = await portal.citizens.open(Bsn.parse(BSN_A), world.grant(), BORN)
    view = await portal.citizens.looks(session)
    assert view.verified
    by_activity = {line.activity: line for line in view.lines}
    told, asked = by_activity["notice"], by_activity["contact"]
    assert {line.organisation for line in (told, asked)} == {"Wijkteam Noord"}
    assert {line.purpose for line in (told, asked)} == {"huisbezoek"}
    assert (told.something, told.seen, asked.seen) == (True, [], ["Hulp bij schulden"])
    assert by_activity["subscription"].role == "generalist"
