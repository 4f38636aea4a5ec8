"""`node doctor` names what is wrong and its repair; `node conformance` catches a broken promise."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from deploy.conformance import PROMISES, Conformance, report_text
from deploy.node_doctor import Finding, examine, findings
from nodes.errors import BadItems
from nodes.runtime import NodeRuntime
from nodes.settings import SourceSettings

from .test_settings import write
from .world import BSN_A, NodeWorld

pytestmark = pytest.mark.anyio


def wrong(found: list[Finding]) -> set[str]:
    assert all(one.fix for one in found if not one.ok)
    return {one.check for one in found if not one.ok}


async def test_a_node_that_is_well_is_told_so(world: NodeWorld) -> None:
    source = world.source()
    await source.publish(BSN_A, "L1")
    await source.drain()
    found = await findings(source.node)
    # Holders and login share one stand-in here, which has no /health.
    assert wrong(found) <= {"holder"}
    assert {one.check for one in found} >= {"manifest", "keys", "holder", "hub", "outbox", "aside", "lease"}


async def test_each_thing_that_is_wrong_is_named(world: NodeWorld, tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text('kind = "ww"\n')
    sources = (SourceSettings(name="lijst", type="csv", mapping_file=tmp_path / "own.toml"),)
    source = world.source(sources=sources)
    await source.publish(BSN_A, "L1")
    await source.drain()
    await source.node.sender.confirm()
    world.network.down = True
    await source.publish(BSN_A, "L2")
    source.node.sources.inbox.put("lijst", b"")
    await source.node.sources.step()
    world.clock.offset += timedelta(days=29)
    assert wrong(await findings(source.node)) >= {"hub", "outbox", "aside", "lease", "mapping"}


async def test_a_clock_that_is_wrong_is_seen_from_the_answer(
    world: NodeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    import httpx

    source = world.source()
    from email.utils import format_datetime

    for shift, fine in ((5, True), (300, False)):
        said = format_datetime(world.clock() + timedelta(seconds=shift))

        async def get(*_: Any, said: str = said, **__: Any) -> httpx.Response:
            return httpx.Response(200, headers={"date": said})

        monkeypatch.setattr(source.node.clients[0], "get", get)
        told = [one.ok for one in await findings(source.node) if one.check == "clock"]
        # The hub's is wrong now and then; that of each key holder is right.
        assert len(told) > 1
        assert all(told) == fine


async def test_what_keeps_a_node_from_starting_is_named(world: NodeWorld, tmp_path: Path) -> None:
    path = write(world)
    assert wrong(examine(tmp_path / "nothing.toml")) == {"settings"}
    key = world.folder / "nodes" / "bron" / "secret.key"
    kept = key.read_bytes()
    key.unlink()
    assert wrong(examine(path)) == {"key files"}
    key.write_bytes(kept)
    key.chmod(0o600)
    assert wrong(examine(write(world, sources=[{"name": "a", "type": "csv", "folder": "/nowhere"}]))) == {
        "start"
    }
    database = world.folder / "nodes" / "bron" / "node.sqlite"
    database.write_bytes(b"SQLite format 3\0" + b"x" * 5000)
    assert "database" in wrong(examine(path)[:3])


def conformance(world: NodeWorld, bsn: str = BSN_A, kind: str = "schuldhulp") -> Conformance:
    def opened() -> NodeRuntime:
        return world.node("bron", "source")

    def cut(away: bool) -> None:
        world.network.down = away

    return Conformance(opened, cut, kind, bsn)


async def test_a_node_that_keeps_its_promises_gets_its_report(world: NodeWorld) -> None:
    report = await conformance(world).run()
    assert [one.step for one in report.steps] == list(PROMISES)
    assert report.ok, report.steps
    text = report_text(report)
    assert "All promises held." in text
    assert BSN_A not in text + repr(report.data())
    assert world.source().node.outbox.live() == []


@pytest.mark.parametrize(
    ("broken", "step"),
    [("loses the outbox at a restart", "outage"), ("acknowledges nothing", "publish"), ("revives", "late")],
)
async def test_a_broken_promise_is_caught(
    world: NodeWorld, monkeypatch: pytest.MonkeyPatch, broken: str, step: str
) -> None:
    run = conformance(world)
    monkeypatch.setattr("deploy.conformance._PATIENCE_S", 0.3)
    if broken == "acknowledges nothing":
        world.network.down = True
        monkeypatch.setattr(run, "_cut", lambda _away: None)
    elif broken == "revives":
        real = run._retract

        async def forgets() -> str:
            said = await real()
            monkeypatch.setattr(run._node.outbox, "live", lambda: [(b"x" * 32, 1, "L")])
            return said

        monkeypatch.setattr(run, "_retract", forgets)
    else:
        from sqlalchemy import text

        opened = run._opened

        def emptied() -> NodeRuntime:
            node = opened()
            with node.engine.begin() as connection:
                connection.execute(text("UPDATE flag SET state = 'rejected' WHERE state = 'queued'"))
            return node

        monkeypatch.setattr(run, "_opened", emptied)
    report = await run.run()
    assert not report.ok
    assert report.steps[-1].step == step
    assert "NOT conformant" in report_text(report)


async def test_a_kind_or_number_that_cannot_be_used_is_refused_before_anything_is_sent(
    world: NodeWorld,
) -> None:
    for bsn, kind in (("123456789", "schuldhulp"), (BSN_A, "ww")):
        before = len(world.network.sent)
        with pytest.raises(BadItems):
            await conformance(world, bsn, kind).run()
        assert len(world.network.sent) == before
