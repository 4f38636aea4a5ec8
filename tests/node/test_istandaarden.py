"""iWmo and iJw messages: what each does, in any order, and that a broken one does nothing."""

import asyncio
import base64
import itertools
import re
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nodes.connectors.heard import Part, State
from nodes.connectors.istandaarden import load_codes
from nodes.connectors.plan import Plan
from nodes.errors import BadInput, BadItems, SettingsError
from nodes.settings import SourceSettings

from .world import BSN_A, BSN_B, GEMEENTE, VOCABULARY, NodeWorld, Source

pytestmark = pytest.mark.anyio
SAMPLES = Path(__file__).parents[3] / "shared" / "samples"
NAME = "berichten"
REF = "wmo:0384:77"


def sample(name: str) -> bytes:
    path = SAMPLES / name
    if not path.exists():
        pytest.skip(f"the example ../shared/samples/{name} is not here")
    return path.read_bytes()


def at(world: NodeWorld, day: str) -> None:
    moment = datetime.fromisoformat(day).replace(tzinfo=UTC, hour=12)
    world.clock.offset += moment - world.clock()


def standard(world: NodeWorld, **changes: object) -> Source:
    connector = SourceSettings(name=NAME, type="istandaarden", **changes)  # type: ignore[arg-type]
    return world.source(sources=(connector,))


async def take(source: Source, content: bytes) -> Plan:
    made = await source.node.sources.take(NAME, content)
    await source.drain()
    return made


def message(
    number: str,
    product: str,
    *,
    family: str = "wmo",
    day: str = "2026-01-05",
    bsn: str = BSN_A,
    identification: str = "id-1",
    parties: tuple[str, str] | None = None,
    header: str = "",
    client: str = "",
) -> bytes:
    """A message in the 3.2 shape; the names in it are persons that must be dropped."""
    sender, receiver = parties or (
        ("0384", "98026987") if number in ("301", "306", "308") else ("98026987", "0384")
    )
    space = f"http://www.istandaarden.nl/i{family}/3_2/{family}{number}/schema"
    return f"""<?xml version="1.0" encoding="UTF-8"?>
<b:Bericht xmlns:b="{space}" xmlns:i="http://www.istandaarden.nl/i{family}/3_2/basisschema/schema">
 <b:Header><b:BerichtCode>1</b:BerichtCode><b:Afzender>{sender}</b:Afzender><b:Ontvanger>{receiver}</b:Ontvanger>
  <b:BerichtIdentificatie><i:Identificatie>{identification}</i:Identificatie><i:Dagtekening>{day}</i:Dagtekening>
  </b:BerichtIdentificatie>{header}</b:Header>
 <b:Client><b:Bsn>{bsn}</b:Bsn><b:Naam><i:Geslachtsnaam>{BSN_B}</i:Geslachtsnaam></b:Naam>{client}
  {product}
 </b:Client>
</b:Bericht>""".encode()


def granted(until: str | None = "2027-06-30", *, time: str = "09:00:00", day: str = "2026-01-05") -> str:
    end = f"<b:Einddatum>{until}</b:Einddatum>" if until else ""
    return (
        "<b:ToegewezenProducten><b:ToegewezenProduct><b:ToewijzingNummer>77</b:ToewijzingNummer>"
        f"<b:Toewijzingsdatum>{day}</b:Toewijzingsdatum><b:Toewijzingstijd>{time}</b:Toewijzingstijd>"
        f"<b:Ingangsdatum>2026-01-01</b:Ingangsdatum>{end}</b:ToegewezenProduct></b:ToegewezenProducten>"
    )


def begun(status: str = "1", day: str = "2026-02-01") -> str:
    return (
        "<b:StartProducten><b:StartProduct><b:ToewijzingNummer>77</b:ToewijzingNummer>"
        f"<b:Begindatum>{day}</b:Begindatum><b:StatusAanlevering>{status}</b:StatusAanlevering>"
        "</b:StartProduct></b:StartProducten>"
    )


def ended(reason: str = "19", day: str = "2026-03-31", status: str = "1") -> str:
    return (
        "<b:StopProducten><b:StopProduct><b:ToewijzingNummer>77</b:ToewijzingNummer>"
        f"<b:Begindatum>2026-02-01</b:Begindatum><b:StatusAanlevering>{status}</b:StatusAanlevering>"
        f"<b:Einddatum>{day}</b:Einddatum><b:RedenBeeindiging>{reason}</b:RedenBeeindiging>"
        "</b:StopProduct></b:StopProducten>"
    )


@pytest.fixture
def spring(world: NodeWorld) -> NodeWorld:
    """The world on a day in spring 2026, when the invented messages hold."""
    at(world, "2026-04-10")
    return world


# --- the public samples ------------------------------------------------------------


async def test_the_public_allocation_is_published_with_its_reference_and_period(world: NodeWorld) -> None:
    source = standard(world)
    at(world, "2016-03-08")
    made = await source.node.sources.plan(NAME, sample("iwmo20-CasusB-01-WMO301_toewijzing.xml"))
    (found,) = made.publications
    assert (found.kind, found.since, found.until) == ("wmo_voorziening", "2016-03", "2016-12")
    assert found.local_ref == "wmo:0384:658721123:01A01"


async def test_the_public_allocation_seen_from_today_is_never_published(spring: NodeWorld) -> None:
    source = standard(spring)
    made = await take(source, sample("iwmo20-CasusB-01-WMO301_toewijzing.xml"))
    assert not made.publications
    assert made.counts["unchanged"] == 1


async def test_the_public_start_is_published_for_the_municipality_that_receives_it(world: NodeWorld) -> None:
    source = standard(world)
    at(world, "2016-03-11")
    made = await source.node.sources.plan(NAME, sample("iwmo20-CasusB-02-WMO305_start.xml"))
    (found,) = made.publications
    assert (found.local_ref, found.since) == ("wmo:0384:658721123:01A01", "2016-03")


async def test_the_public_withdrawal_retracts_its_own_reference(world: NodeWorld) -> None:
    source = standard(world)
    at(world, "2016-11-06")
    withdrawal = sample("iwmo20-CasusA-04-WMO301_intrekking.xml")
    text = withdrawal.decode().replace("<wmo301:RedenIntrekking>4</wmo301:RedenIntrekking>", "")
    allocation = re.sub("2016-11-08(?=</wmo301:Toew)", "2016-02-15", text).encode()
    given_out = await source.node.sources.plan(NAME, allocation)
    assert [one.local_ref for one in given_out.publications] == ["wmo:0384:425386123:07A03"]
    await source.node.sources.do(given_out)

    made = await source.node.sources.take(NAME, withdrawal)

    assert made.retractions == ["wmo:0384:425386123:07A03"]
    assert source.state("wmo:0384:425386123:07A03") == "retracting"


async def test_the_public_envelope_is_refused_because_no_message_is_in_it(world: NodeWorld) -> None:
    source = standard(world)
    with pytest.raises(BadInput) as refused:
        await take(source, sample("ggk-Di01-heenbericht.xml"))
    assert (refused.value.field, refused.value.code) == ("bericht", "not-xml")
    assert source.node.outbox.is_drained()


# --- each message ------------------------------------------------------------------


async def test_an_allocation_is_seen_and_its_end_takes_it_away(spring: NodeWorld) -> None:
    source = standard(spring)
    await take(source, message("301", granted()))
    await take(source, message("305", begun(), identification="id-2"))
    assert source.state(REF) == "published"
    assert source.node.outbox.flags([REF])[REF].since == "2026-02"

    made = await take(source, message("307", ended(), day="2026-04-01", identification="id-3"))

    assert made.retractions == [REF]
    assert source.state(REF) == "retracted"


@pytest.mark.parametrize("number", ["302", "303", "306", "308", "315", "316", "323", "325"])
async def test_messages_that_grant_and_end_nothing_change_nothing(spring: NodeWorld, number: str) -> None:
    source = standard(spring)
    made = await take(source, message(number, granted()))
    assert made.counts["unchanged"] == 1
    assert not made.publications


async def test_youth_help_has_its_own_kind(spring: NodeWorld) -> None:
    source = standard(spring)
    with pytest.raises(BadItems) as refused:
        await take(source, message("301", granted(), family="jw"))
    assert [one.code for one in refused.value.errors] == ["kind-not-registered"]


@pytest.mark.parametrize("reason", ["19", "20", "31", "32", "33", "34"])
async def test_every_reason_of_an_end_takes_the_flag_back(spring: NodeWorld, reason: str) -> None:
    source = standard(spring)
    await take(source, message("305", begun()))
    await take(source, message("307", ended(reason), identification="id-2", day="2026-04-01"))
    assert source.state(REF) == "retracted"


async def test_an_end_in_the_future_waits_for_its_day(spring: NodeWorld) -> None:
    source = standard(spring)
    await take(source, message("301", granted()))
    await take(source, message("307", ended(day="2026-04-20"), identification="id-2", day="2026-04-01"))
    assert source.state(REF) == "published"
    assert source.node.outbox.flags([REF])[REF].until == "2026-04"

    at(spring, "2026-04-21")
    assert await source.node.sources.retract_past() == 1
    await source.drain()
    assert source.state(REF) == "retracted"
    assert await source.node.sources.retract_past() == 0


async def test_who_died_loses_every_flag_of_this_source_and_nothing_brings_one_back(
    spring: NodeWorld,
) -> None:
    source = standard(spring)
    other = granted().replace(">77<", ">78<")
    await take(source, message("301", granted()))
    await take(source, message("301", other, identification="id-2"))
    await source.publish(BSN_A, "anders", kind="schuldhulp")
    await take(source, message("307", ended("02"), identification="id-3", day="2026-04-01"))
    for ref in (REF, "wmo:0384:78", "anders"):
        assert source.state(ref) == "retracted"

    await take(source, message("301", other, identification="id-2"))
    assert source.state("wmo:0384:78") == "retracted"


async def test_support_that_was_on_hold_comes_back_with_its_next_start(spring: NodeWorld) -> None:
    source = standard(spring)
    await take(source, message("305", begun()))
    await take(source, message("307", ended("20"), identification="id-2", day="2026-04-01"))
    await take(source, message("305", begun(day="2026-04-05"), identification="id-3", day="2026-04-06"))
    assert source.state(REF) == "published"


async def test_a_start_that_is_taken_back_is_gone_and_an_ending_taken_back_is_there_again(
    spring: NodeWorld,
) -> None:
    source = standard(spring)
    await take(source, message("305", begun()))
    await take(source, message("307", ended(), identification="id-2", day="2026-04-01"))
    await take(source, message("307", ended(status="3"), identification="id-3", day="2026-04-02"))
    assert source.state(REF) == "published"
    await take(source, message("305", begun("9"), identification="id-4", day="2026-04-03"))
    assert source.state(REF) == "published"
    await take(source, message("305", begun("3"), identification="id-5", day="2026-04-04"))
    assert source.state(REF) == "retracted"


async def test_a_rejection_undoes_what_the_original_did_and_only_that(spring: NodeWorld) -> None:
    source = standard(spring)
    await take(source, message("301", granted()))
    await take(source, message("307", ended(), identification="id-2", day="2026-04-01"))
    rejects = "<b:IdentificatieRetour>{}</b:IdentificatieRetour><b:RetourCode>8001</b:RetourCode>"
    await take(source, message("308", "", identification="id-3", header=rejects.format("id-2")))
    assert source.state(REF) == "published"
    parties = ("98026987", "0384")
    header = rejects.format("id-1")
    await take(source, message("302", "", identification="id-4", header=header, parties=parties))
    assert source.state(REF) == "retracted"
    header = rejects.format("id-99")
    made = await take(source, message("302", "", identification="id-5", header=header, parties=parties))
    assert made.counts["unchanged"] == 1


async def test_an_allocation_without_end_still_ends_some_day(spring: NodeWorld) -> None:
    source = standard(spring)
    made = await take(source, message("301", granted(None)))
    assert made.publications[0].until == "2028-01"
    made = await take(source, message("301", granted("9999-12-31"), identification="id-2"))
    assert made.counts["unchanged"] == 1


async def test_an_envelope_is_unwrapped(spring: NodeWorld) -> None:
    source = standard(spring)
    made = await take(source, envelope(message("301", granted())))
    assert [one.local_ref for one in made.publications] == [REF]
    with pytest.raises(BadInput) as refused:
        await take(source, envelope(message("301", granted()), function="WMO305"))
    assert refused.value.code == "other-message"


def envelope(inner: bytes, function: str = "WMO301") -> bytes:
    return f"""<g:envelop xmlns:g="http://www.stufstandaarden.nl/sectormodel/ggk/0210"
 xmlns:s="http://www.egem.nl/StUF/StUF0301"><g:stuurgegevens><s:functie>{function}</s:functie></g:stuurgegevens>
 <g:parameters><g:bericht>{base64.b64encode(inner).decode()}</g:bericht></g:parameters></g:envelop>""".encode()


# --- order -------------------------------------------------------------------------


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_an_allocation_and_its_withdrawal_leave_no_flag_in_either_order(
    world: NodeWorld, order: Sequence[int]
) -> None:
    source = standard(world)
    at(world, "2016-11-01")
    withdrawal = sample("iwmo20-CasusA-04-WMO301_intrekking.xml").decode()
    allocation = withdrawal.replace("<wmo301:RedenIntrekking>4</wmo301:RedenIntrekking>", "")
    allocation = re.sub("2016-11-08(?=</wmo301:Toew)", "2016-02-15", allocation)
    for which in order:
        # Not drained: the keys of this world did not exist in 2016, so what is published waits.
        await source.node.sources.take(NAME, [allocation.encode(), withdrawal.encode()][which])
    known = source.node.outbox.flags(["wmo:0384:425386123:07A03"])
    assert not any(flag.meant_live for flag in known.values())


async def test_a_withdrawal_that_overtakes_its_allocation_in_the_node_is_not_overwritten(
    spring: NodeWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = standard(spring)
    intake, withdrawn, begun_ = source.node.intake, asyncio.Event(), asyncio.Event()
    evaluate = intake.evaluate

    async def slowly(publications: Any, done: Any = lambda _count: None) -> Any:
        """The key holders take their time, and another message comes meanwhile."""
        begun_.set()
        with suppress(TimeoutError):
            await asyncio.wait_for(withdrawn.wait(), 0.3)
        return await evaluate(publications, done)

    monkeypatch.setattr(intake, "evaluate", slowly)
    reason = "</b:Ingangsdatum><b:RedenIntrekking>2</b:RedenIntrekking>"
    later = granted(time="10:00:00").replace("</b:Ingangsdatum>", reason)

    async def withdraw() -> None:
        await begun_.wait()
        await source.node.sources.take(NAME, message("301", later, identification="id-2"))
        withdrawn.set()

    await asyncio.gather(source.node.sources.take(NAME, message("301", granted())), withdraw())
    await source.drain()
    assert source.state(REF) == "retracted"


async def test_every_order_of_a_whole_story_ends_the_same(spring: NodeWorld) -> None:
    source = standard(spring)
    story = [
        message("301", granted()),
        message("305", begun(), identification="id-2"),
        message("307", ended(), identification="id-3", day="2026-04-01"),
        message("301", granted("2027-08-31", day="2026-02-02"), identification="id-4"),
    ]
    for order in itertools.permutations(range(4)):
        for one in order:
            await source.node.sources.take(NAME, story[one].replace(b">77<", f">{order}<".encode()))
    await source.drain()
    assert {flag.state for flag in source.node.outbox.flags_of(NAME).values()} <= {"retracted"}
    assert not source.node.outbox.live()


parts = st.builds(
    Part,
    at=st.sampled_from(["2026-01-01", "2026-01-02", "2026-02-01"]),
    message=st.just("m"),
    day=st.sampled_from(["2026-01-01", "2026-02-01", "2026-03-01", "2026-12-01"]),
    until=st.sampled_from(["", "2026-02-15", "2027-01-01"]),
    off=st.booleans(),
)


@given(
    st.lists(st.tuples(st.sampled_from(["allocation", "start", "end"]), parts), max_size=6),
    st.randoms(use_true_random=False),
)
def test_what_is_wanted_does_not_depend_on_the_order_of_hearing(
    heard: list[tuple[str, Part]], random: object
) -> None:
    import msgspec

    shuffled = list(heard)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    today = datetime(2026, 4, 10, tzinfo=UTC).date()
    ends = []
    for order in (heard, shuffled):
        state = State()
        for name, part in order:
            state.hear(name, msgspec.structs.replace(part))
        ends.append(state.wanted(today, 24))
    assert ends[0] == ends[1]


async def test_a_message_that_comes_again_sends_nothing_and_brings_back_what_was_lost(
    spring: NodeWorld,
) -> None:
    source = standard(spring)
    content = message("301", granted())
    await take(source, content)
    made = await take(source, content)
    assert made.counts["unchanged"] == 1
    source.node.outbox.lost([REF])
    assert (await take(source, content)).counts["update"] + made.counts["publish"] == 1
    assert source.state(REF) == "published"


# --- broken ------------------------------------------------------------------------

GOOD = message("301", granted())
BOMB = b'<?xml version="1.0"?><!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]><a>&b;</a>'
BROKEN: dict[str, tuple[bytes, str]] = {
    "nothing": (b"", "empty"),
    "blanks": (b" \n ", "empty"),
    "cut off": (GOOD[:-40], "not-xml"),
    "no text": (bytes(range(256)), "encoding"),
    "latin": (GOOD.replace(b"<b:Naam>", b"<b:Naam>\xe9"), "encoding"),
    "utf-16": (GOOD.decode().encode("utf-16"), "encoding"),
    "doctype": (GOOD.replace(b"?>\n", b"?><!DOCTYPE b>\n", 1), "doctype"),
    "bomb": (BOMB, "doctype"),
    "a zip": (b"PK\x03\x04" + bytes(200), "not-xml"),
    "2 MB": (GOOD + b" " * 2_000_000, "too-large"),
    "deep": (b"<a>" * 3000 + b"</a>" * 3000, "not-xml"),
    "other namespace": (GOOD.replace(b"istandaarden.nl", b"example.nl"), "not-a-message"),
    "other version": (GOOD.replace(b"3_2/wmo301", b"9_9/wmo301"), "unknown-version"),
    "other number": (GOOD.replace(b"wmo301", b"wmo999"), "unknown-message"),
    "no header": (re.sub(b"<b:Header>.*</b:Header>", b"", GOOD, flags=re.S), "missing"),
    "no municipality": (GOOD.replace(b">0384<", b">98000001<"), "parties"),
    "no client": (re.sub(b"<b:Client>.*</b:Client>", b"", GOOD, flags=re.S), "clients"),
    "two clients": (GOOD.replace(b"</b:Client>", b"</b:Client><b:Client/>"), "clients"),
    "no product": (message("301", ""), "no-product"),
    "no number": (GOOD.replace(b"<b:ToewijzingNummer>77</b:ToewijzingNummer>", b""), "no-reference"),
    "bad bsn": (GOOD.replace(BSN_A.encode(), b"123456789"), "elfproef"),
    "bsn of eight": (GOOD.replace(BSN_A.encode(), BSN_A[1:].encode()), "elfproef"),
    "dates reversed": (message("301", granted("2025-01-01")), "before-since"),
    "no day": (message("301", granted("31-12-2026")), "day"),
    "impossible day": (message("301", granted("2026-02-30")), "day"),
    "unknown reason": (message("307", ended("99")), "unknown-code"),
    "unknown status": (message("305", begun("7")), "unknown-code"),
    "unknown withdrawal": (
        GOOD.replace(
            b"</b:ToegewezenProduct>", b"<b:RedenIntrekking>5</b:RedenIntrekking></b:ToegewezenProduct>"
        ),
        "unknown-code",
    ),
    "returns nothing known": (message("302", "<b:RetourCode>8001</b:RetourCode>"), "no-original"),
    "too far": (message("301", granted("2090-01-01")), "too-far-ahead"),
    "not base64": (envelope(GOOD).replace(b"<g:bericht>", b"<g:bericht>%%"), "base64"),
    "envelope in envelope": (envelope(envelope(GOOD)), "other-message"),
}


@pytest.mark.parametrize("name", BROKEN)
async def test_a_broken_message_has_place_and_reason_and_does_nothing(spring: NodeWorld, name: str) -> None:
    content, code = BROKEN[name]
    source = standard(spring)
    await take(source, message("301", granted(), identification="id-0"))
    sent = len(spring.network.sent)
    with pytest.raises((BadInput, BadItems)) as refused:
        await source.node.sources.take(NAME, content)
    error = refused.value
    wrong = error.errors if isinstance(error, BadItems) else [error]
    assert code in {one.code for one in wrong}
    assert all(one.field and one.detail for one in wrong)
    told = repr([(one.field, one.code, one.detail) for one in wrong]) + str(error)
    assert BSN_A not in told
    assert BSN_B not in told
    assert source.state(REF) == "published"
    assert len(spring.network.sent) == sent


async def test_one_bad_product_refuses_the_whole_message(spring: NodeWorld) -> None:
    source = standard(spring)
    bad = granted().replace(">77<", ">78<").replace("2027-06-30", "later")
    with pytest.raises(BadItems) as refused:
        await take(source, message("301", granted() + bad))
    assert refused.value.errors[0].field == "ToegewezenProduct[2]/Einddatum"
    assert "Line" in refused.value.errors[0].detail
    assert source.node.outbox.flags_of(NAME) == {}


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.one_of(
        st.binary(max_size=400),
        st.tuples(st.integers(0, len(GOOD)), st.integers(0, 30), st.binary(max_size=20)).map(
            lambda cut: GOOD[: cut[0]] + cut[2] + GOOD[cut[0] + cut[1] :]
        ),
    )
)
async def test_any_bytes_give_a_result_or_a_clean_rejection(spring: NodeWorld, content: bytes) -> None:
    source = spring.runtimes[0] if spring.runtimes else standard(spring).node
    try:
        made = await source.sources.plan(NAME, content)
    except (BadInput, BadItems) as error:
        told = str(error)
    else:
        told = repr(made)
        assert made.steps
    assert BSN_A not in told


def test_a_mapping_that_cannot_work_is_named_at_the_start(tmp_path: Path) -> None:
    packaged = (Path(__file__).parents[2] / "nodes/connectors/mappings/istandaarden.toml").read_text()
    for old, new, why in (
        ('kind = "wmo_voorziening"', 'kind = "wmo"', "kind wmo is not"),
        ('"301" = "allocation"', '"301" = "publish"', "Invalid enum"),
        ('"302" = "301"', '"302" = "315"', "returns names 315"),
        ("open_end_months = 24", "open_end_months = 0", "open_end_months"),
        ("most_clients", "clients", "unknown field"),
    ):
        path = tmp_path / "own.toml"
        path.write_text(packaged.replace(old, new))
        with pytest.raises(SettingsError, match=why):
            load_codes(path, VOCABULARY)


def test_a_number_that_could_be_a_bsn_is_hidden_and_stays_the_same() -> None:
    from nodes.connectors.references import References

    own, other = References(b"a" * 32), References(b"b" * 32)
    assert own.of("wmo", "0384", "77") == "wmo:0384:77"
    hidden = own.of("wmo", "0384", BSN_A, "01A01")
    assert BSN_A not in hidden
    assert hidden == own.of("wmo", "0384", BSN_A, "01A01") != other.of("wmo", "0384", BSN_A, "01A01")
    assert GEMEENTE not in hidden
