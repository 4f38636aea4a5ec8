"""What a hub does and says when nobody confirms its log, over its own routes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from nacl.signing import SigningKey

from index.app import open_hub
from index.officer import Officers
from index.protocol.entry import parse_asker
from index.protocol.note import COSIGNATURE_V1, ED25519, NoteKey
from index.protocol.tlogpolicy import Witness, policy_of
from index.settings import HubSettings, SettingsError

from .world import HUB_ID, World

pytestmark = pytest.mark.anyio


class Witnessed(World):
    """A hub with a policy of two witnesses that nobody can reach: they have no address."""

    other_key = False

    def _write(self, changes: Mapping[str, Any]) -> HubSettings:
        key = SigningKey.generate() if self.other_key else self.keystore.log_signing
        vkey = NoteKey(f"{HUB_ID}/v1/log", ED25519, bytes(key.verify_key)).text()
        public = [bytes(SigningKey(bytes([number]) * 32).verify_key) for number in (1, 2)]
        witnesses = [
            Witness(f"w{at}", NoteKey(f"w{at}.test/witness", COSIGNATURE_V1, one))
            for at, one in enumerate(public)
        ]
        path = self.folder / "log-policy.txt"
        path.write_text(policy_of(vkey, witnesses, 2))
        return super()._write({"log_policy": path, **changes})


async def health(world: World) -> tuple[int, Any]:
    answer = await world.client.get("/health")
    return answer.status_code, answer.json()["log"]


async def test_health_and_the_officers_page_say_how_long_nobody_confirmed(tmp_path: Path) -> None:
    async with Witnessed(tmp_path).running() as world:
        await world.bron.publishes("Fatima", "schuldhulp")
        officers = Officers(world.hub)
        seen = []
        for minutes in (0, 11, 300):
            world.clock.shift(minutes=minutes)
            status, said = await health(world)
            seen.append((status, said["state"], officers.unconfirmed() is not None))
        assert seen == [(200, "good", False), (200, "alert", False), (200, "banner", True)]


async def test_lookups_go_on_without_witnesses_unless_the_setting_says_otherwise(tmp_path: Path) -> None:
    for folder, hours, expected in (("off", None, 200), ("on", 24.0, 503)):
        (tmp_path / folder).mkdir()
        settings = {} if hours is None else {"refuse_unconfirmed_hours": hours}
        async with Witnessed(tmp_path / folder, **settings).running() as world:
            await world.bron.publishes("Fatima", "schuldhulp")
            visit = await world.wijkteam.opens("m-jan", ["Fatima"])
            await world.wijkteam.looks(visit)
            world.clock.shift(hours=25)
            sent = await world.wijkteam.tries_to_look(visit)
            assert sent.response.status_code == expected
            with world.hub.reading() as connection:
                head = world.hub.log_reader.head(connection)
                assert head is not None
                entries = list(world.hub.log_reader.opened(connection, head.year, head.size - 1, head.size))
            last = parse_asker(entries[0][1].asker)
            assert (last.t, last.refused) == ("lookup", "" if expected == 200 else "log-unconfirmed")


async def test_a_hub_that_signs_nothing_more_says_why_and_answers_nobody(tmp_path: Path) -> None:
    async with Witnessed(tmp_path).running() as world:
        await world.bron.publishes("Fatima", "schuldhulp")
        world.hub.access_log.refuse("the witness w1 has seen more than this database has")
        refused = await world.bron.publishes("Piet", "schuldhulp")
        assert refused.response.status_code == 503
        status, said = await health(world)
        assert (status, said["state"]) == (503, "refused")
        assert said["reason"] == "the witness w1 has seen more than this database has"
        unconfirmed = Officers(world.hub).unconfirmed()
        assert unconfirmed is not None
        assert unconfirmed.refusal == said["reason"]
        figures = (await world.client.get("/metrics")).text
        assert "vlagwijzer_hub_log_confirmed_age_seconds" in figures


async def test_a_policy_about_another_log_or_none_at_all_stops_the_start(tmp_path: Path) -> None:
    class Other(Witnessed):
        other_key = True

    settings = Other(tmp_path).settings
    with pytest.raises(SettingsError, match="another log"):
        open_hub(settings)
    (tmp_path / "log-policy.txt").write_text("quorum none")
    with pytest.raises(SettingsError, match="log_policy"):
        open_hub(settings)
