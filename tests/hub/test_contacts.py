"""Contact requests: only about a flag that the asker sees, without content, once."""

from typing import Any

import msgspec
import pytest

from index.protocol.codec import b64u, unb64u
from index.protocol.entry import kinds_shown
from index.protocol.messages import ContactAnswer, ContactsAnswer

from .test_lookup import newest
from .world import GEMEENTE, VOCABULARY, Node, Sent, Visit, World

pytestmark = pytest.mark.anyio
BRON, INKOMEN = 1, 2


async def asks(node: Node, visit: Visit, kind: str = "schuldhulp", source: int = BRON, **more: Any) -> Sent:
    body = {"ticket": visit.tickets[0], "kind": kind, "source": source, **more}
    return await node.send("/v1/contacts", body, "notice", **visit.statement())


async def waiting(node: Node, done: list[str] | None = None) -> ContactsAnswer:
    sent = await node.send("/v1/contacts/open", {"done": done or []}, "notice", role="bron")
    assert sent.response.status_code == 200, sent.response.text
    return msgspec.json.decode(sent.response.content, type=ContactsAnswer)


async def seeing(world: World) -> Visit:
    await world.bron.publishes("Fatima", "schuldhulp")
    await world.portaal.chooses(await world.portaal.logs_in("Fatima"))
    return await world.wijkteam.opens("m-jan", ["Fatima"])


async def test_the_source_learns_role_organisation_time_and_its_own_handle(world: World) -> None:
    visit = await seeing(world)
    sent = await asks(world.wijkteam, visit)
    assert sent.response.status_code == 200, sent.response.text
    answer = msgspec.json.decode(sent.response.content, type=ContactAnswer)
    scope = visit.scopes.index("geld")
    world.check(answer.log[0], sent, [visit.lids[0][scope]])
    (entry,) = newest(world)
    assert (entry.asker.t, entry.asker.role) == ("notice", "generalist")
    assert kinds_shown(unb64u(entry.asker.shown)) == (VOCABULARY.kind("schuldhulp").number,)
    (told,) = (await waiting(world.bron)).contacts
    assert (told.organisation, told.role, told.at) == (GEMEENTE, "generalist", answer.at)
    assert told.rtag == b64u(world.bron.rtag("Fatima", "schuldhulp"))


async def test_asking_twice_is_one_request_with_the_first_date(world: World) -> None:
    visit = await seeing(world)
    first = msgspec.json.decode((await asks(world.wijkteam, visit)).response.content, type=ContactAnswer)
    world.clock.shift(hours=1)
    again = msgspec.json.decode((await asks(world.wijkteam, visit)).response.content, type=ContactAnswer)
    assert again.at == first.at
    (told,) = (await waiting(world.bron)).contacts
    assert (await waiting(world.bron, [told.id])).contacts == []


@pytest.mark.parametrize("case", ["hidden", "absent", "retracted", "other kind", "other source", "closed"])
async def test_who_may_not_see_the_flag_cannot_reach_its_source_and_hears_the_same(
    world: World, case: str
) -> None:
    if case != "absent":
        await world.bron.publishes("Fatima", "schuldhulp")
    if case != "hidden":
        await world.portaal.chooses(await world.portaal.logs_in("Fatima"))
    visit = await world.wijkteam.opens("m-jan", ["Fatima"])
    if case == "retracted":
        await world.bron.retracts("Fatima", "schuldhulp")
    if case == "closed":
        await world.wijkteam.closes(visit)
    kind = "bijstand" if case == "other kind" else "schuldhulp"
    sent = await asks(world.wijkteam, visit, kind, INKOMEN if case == "other source" else BRON)
    assert sent.response.status_code == 400
    assert sent.response.json()["errors"][0]["code"] == "flag-not-visible"
    (entry,) = newest(world)
    assert (entry.asker.refused, len(entry.asker.handles)) == ("flag-not-visible", 1)
    assert kinds_shown(unb64u(entry.asker.shown)) == ()
    assert (await waiting(world.bron)).contacts == (await waiting(world.inkomen)).contacts == []


async def test_no_other_source_reads_or_drops_a_request(world: World) -> None:
    await asks(world.wijkteam, await seeing(world))
    (told,) = (await waiting(world.bron)).contacts
    assert (await waiting(world.inkomen, [told.id])).contacts == []
    assert len((await waiting(world.bron)).contacts) == 1
    desk = await world.wijkteam.send("/v1/contacts/open", {"done": []}, "notice", role="bron")
    assert desk.response.status_code == 403


async def test_another_nodes_ticket_asks_nobody(world: World) -> None:
    visit = await seeing(world)
    sent = await asks(world.nodes["wijkteam-twee"], visit)
    assert sent.response.status_code == 403
    assert (await waiting(world.bron)).contacts == []


@pytest.mark.parametrize(
    "change",
    [{"kind": "geen-soort"}, {"kind": "onbekend"}, {"source": 99}, {"source": "1"}, {"text": "bel mij"}],
)
async def test_what_is_malformed_or_has_content_is_refused(world: World, change: dict[str, Any]) -> None:
    visit = await seeing(world)
    sent = await asks(world.wijkteam, visit, **change)
    assert sent.response.status_code == 400
    assert (await waiting(world.bron)).contacts == []
