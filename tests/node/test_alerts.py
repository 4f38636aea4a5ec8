"""The operator is told, once, what waits too long, is rejected too often or runs out; by mail and webhook."""

import asyncio
import json
from datetime import timedelta
from pathlib import Path

import httpx
import pytest

from nodes.errors import SettingsError
from nodes.settings import AlertSettings, NodeSettings, SourceSettings

from .test_settings import write
from .world import BSN_A, NodeWorld

pytestmark = pytest.mark.anyio
HOOK = "https://alarm.test/vlagwijzer"


class Hook(httpx.AsyncBaseTransport):
    def __init__(self) -> None:
        self.bodies: list[dict[str, object]] = []
        self.status = 204

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.bodies.append(json.loads(request.content))
        return httpx.Response(self.status)


async def test_an_old_outbox_and_a_lease_that_runs_out_are_told_once_a_day(world: NodeWorld) -> None:
    hook = Hook()
    world.case_system = hook
    source = world.source(alerts=AlertSettings(webhook_url=HOOK))
    await source.publish(BSN_A, "L1")
    await source.drain()
    await source.node.sender.confirm()
    assert await source.node.alerts.look() == []
    assert hook.bodies == []

    world.network.down = True
    await source.publish(BSN_A, "L2")
    world.clock.offset += timedelta(hours=2)
    assert [one.code for one in await source.node.alerts.look()] == ["outbox-age"]
    assert await source.node.alerts.look() == []
    world.clock.offset += timedelta(days=28)
    told = await source.node.alerts.look()
    assert [one.code for one in told] == ["outbox-age", "lease"]
    assert hook.bodies[-1]["node"] == "bron"
    assert BSN_A not in json.dumps(hook.bodies)
    assert "L2" not in json.dumps(hook.bodies)


async def test_an_alarm_that_cannot_be_delivered_is_tried_again(world: NodeWorld) -> None:
    hook = Hook()
    hook.status = 500
    world.case_system = hook
    source = world.source(alerts=AlertSettings(webhook_url=HOOK))
    source.node.sources.faults["register"] = "status-500"
    assert await source.node.alerts.look() == []
    hook.status = 200
    assert [one.code for one in await source.node.alerts.look()] == ["source-fault"]
    source.node.sources.faults.clear()
    source.node.sources.ran.add("register")
    assert await source.node.alerts.look() == []
    source.node.sources.faults["register"] = "status-500"
    assert len(await source.node.alerts.look()) == 1


async def test_a_restart_does_not_tell_again_what_lasts_and_tells_at_once_what_came_back(
    world: NodeWorld,
) -> None:
    hook = Hook()
    world.case_system = hook
    alerts = AlertSettings(webhook_url=HOOK)
    source = world.source(alerts=alerts)
    world.network.down = True
    await source.publish(BSN_A, "L1")
    world.clock.offset += timedelta(hours=2)
    assert [one.code for one in await source.node.alerts.look()] == ["outbox-age"]

    again = world.source(alerts=alerts)
    assert await again.node.alerts.look() == []
    world.clock.offset += timedelta(hours=25)
    assert [one.code for one in await again.node.alerts.look()] == ["outbox-age"]
    assert len(hook.bodies) == 2

    world.network.down = False
    await again.drain()
    assert await again.node.alerts.look() == []
    world.network.down = True
    await again.publish(BSN_A, "L2")
    world.clock.offset += timedelta(hours=2)
    assert [one.code for one in await world.source(alerts=alerts).node.alerts.look()] == ["outbox-age"]


async def test_a_fault_that_lasts_over_a_restart_is_told_once(world: NodeWorld, tmp_path: Path) -> None:
    hook = Hook()
    world.case_system = hook
    folder = tmp_path / "in"
    folder.mkdir()
    lijst = SourceSettings(name="lijst", type="csv", folder=folder, settle_seconds=0)
    alerts = AlertSettings(webhook_url=HOOK)
    with (folder / "groot.csv").open("wb") as file:
        file.truncate(200 * 1024 * 1024)
    for told in (["source-fault"], []):
        node = world.source(alerts=alerts, sources=(lijst,)).node
        # The first look after a start comes before the source's first run.
        assert await node.alerts.look() == []
        await node.sources.step()
        assert [one.code for one in await node.alerts.look()] == told
    (folder / "groot.csv").unlink()
    (folder / "goed.csv").write_text(f"bsn;kind;local_ref;since\n{BSN_A};schuldhulp;L1;2025-03\n")
    while await node.sources.step():
        pass
    assert await node.alerts.look() == []
    with (folder / "groot.csv").open("wb") as file:
        file.truncate(200 * 1024 * 1024)
    await node.sources.step()
    assert [one.code for one in await node.alerts.look()] == ["source-fault"]


async def test_a_source_that_is_rejected_too_often_is_told(world: NodeWorld, tmp_path: Path) -> None:
    hook = Hook()
    world.case_system = hook
    folder = tmp_path / "in"
    folder.mkdir()
    lijst = SourceSettings(name="lijst", type="csv", folder=folder, settle_seconds=0)
    berichten = SourceSettings(name="berichten", type="istandaarden", folder=tmp_path, settle_seconds=0)
    source = world.source(alerts=AlertSettings(webhook_url=HOOK), sources=(lijst, berichten))
    rows = "".join(f"{BSN_A};schuldhulp;L{n};2025-03\n" for n in range(9)) + "1;schuldhulp;L9;2025-03\n"
    (folder / "1.csv").write_text("bsn;kind;local_ref;since\n" + rows)
    (tmp_path / "1.xml").write_bytes(b"<x/>")
    while await source.node.sources.step():
        pass
    told = {(one.code, one.about): one.text for one in await source.node.alerts.look()}
    assert set(told) == {("rejected-share", "lijst"), ("rejected-share", "berichten"), ("aside", "")}
    assert told["rejected-share", "lijst"] == "Source lijst: 10% of what it gave was rejected."


async def test_a_mail_is_sent_to_everybody_named(world: NodeWorld) -> None:
    heard: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail.test\r\n")
        body = False
        while line := await reader.readline():
            heard.append(line.decode().strip())
            if body and line != b".\r\n":
                continue
            body = line.upper() == b"DATA\r\n"
            if line.upper() == b"QUIT\r\n":
                writer.write(b"221 bye\r\n")
                break
            writer.write(b"354 go\r\n" if body else b"250 ok\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    alerts = AlertSettings(
        smtp_host="127.0.0.1",
        smtp_port=port,
        smtp_starttls=False,
        mail_from="node@example.nl",
        mail_to=("a@example.nl", "b@example.nl"),
    )
    source = world.source(alerts=alerts)
    source.node.sources.faults["register"] = "status-500"
    assert len(await source.node.alerts.look()) == 1
    server.close()
    text = "\n".join(heard)
    assert "rcpt TO:<a@example.nl>" in text
    assert "rcpt TO:<b@example.nl>" in text
    assert "Subject: Vlagwijzer bron: source-fault" in text


@pytest.mark.parametrize(
    "wrong",
    [
        {"webhook_url": "http://elsewhere.test"},
        {"smtp_host": "mail.test"},
        {"rejected_share": 2},
        {"colour": 1},
    ],
)
async def test_an_alarm_that_cannot_work_stops_the_start(world: NodeWorld, wrong: dict[str, object]) -> None:
    with pytest.raises(SettingsError, match="alerts"):
        NodeSettings.load(write(world, alerts=wrong))


async def test_a_mail_server_that_is_away_holds_nothing_up(world: NodeWorld) -> None:
    alerts = AlertSettings(smtp_host="127.0.0.1", smtp_port=9, mail_from="a@b.nl", mail_to=("c@d.nl",))
    source = world.source(alerts=alerts)
    source.node.sources.faults["register"] = "status-500"
    assert await source.node.alerts.look() == []
