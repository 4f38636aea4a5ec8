"""The officer's own work: the sample, the question to an organisation, opening with two, patterns, replay."""

import asyncio
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from sqlalchemy import text

from consent.pages import LoginSettings, PageSettings
from index import indicators, inquiries, openings, replaying, reviews, sampling
from index.accesslog.reading import Found
from index.acts import Refused
from index.office_hours import OfficersWork, silent_sources
from index.protocol.codec import b64u, unb64u
from index.protocol.entry import handle, parse_chain
from index.protocol.messages import InquiryAnswer, InquiryList, OwnLogAnswer
from index.web.pages import with_organisation
from nodes.looks import check_lines
from policy.decide import scopes_of_role
from policy.recheck import Difference

from .acting import Acting, decoded, problem
from .world import GEMEENTE, SCHULDHULP, VOCABULARY, Node


@pytest.fixture
def hub(tmp_path_factory: pytest.TempPathFactory, database: dict[str, str]) -> Iterator[Acting]:
    with Acting(tmp_path_factory.mktemp("hub"), **database) as acting:
        yield acting


def entries(hub: Acting, t: str) -> list[Found]:
    now = hub.world.clock()
    with hub.world.hub.reading() as connection:
        found = hub.world.hub.log_reader.between(connection, now.replace(year=now.year - 1), now)
        return [one for one in found if one.asker.t == t]


def causes(hub: Acting) -> list[str]:
    return [str(parse_chain(one.opened.chain).cause) for one in entries(hub, "admin")]


def to(hub: Acting, day: str) -> None:
    at = datetime.fromisoformat(day).replace(tzinfo=UTC)
    hub.world.clock.shift(seconds=(at - hub.world.clock()).total_seconds())


# --- the sample ------------------------------------------------------------------------


def test_the_same_seed_draws_the_same_whatever_the_order_and_another_seed_draws_others() -> None:
    places = [(2026, index) for index in range(500)]
    drawn = sampling.draw(b"\x01" * 32, places)
    assert drawn == sampling.draw(b"\x01" * 32, reversed(places))
    assert len(set(drawn)) == 25
    assert drawn != sampling.draw(b"\x02" * 32, places)
    assert sampling.draw(b"\x01" * 32, places[:3]) == places[:3]


def test_every_look_has_the_same_chance() -> None:
    hits = [0] * 50
    for seed in range(400):
        for _, index in sampling.draw(seed.to_bytes(32, "big"), [(2026, n) for n in range(50)], 5):
            hits[index] += 1
    assert sum(hits) == 2000
    assert min(hits) > 15
    assert max(hits) < 75


def test_a_months_sample_is_fixed_before_drawn_after_and_can_be_repeated(hub: Acting) -> None:
    the_hub = hub.world.hub
    to(hub, "2027-02-20T10:00")
    sampling.due(the_hub)
    to(hub, "2027-03-10T10:00")
    visit = hub.visit(hub.somebody())
    for _ in range(30):
        hub.sees(visit)
    sampling.due(the_hub)
    assert sampling.of_month(the_hub, "2027-03")
    assert not sampling.of_month(the_hub, "2027-03").drawn
    to(hub, "2027-04-01T00:05")
    sampling.due(the_hub)
    assert not sampling.of_month(the_hub, "2027-03").drawn  # type: ignore[union-attr]
    to(hub, "2027-04-01T01:00")
    sampling.due(the_hub)
    sampling.due(the_hub)

    sample = sampling.of_month(the_hub, "2027-03")

    assert sample
    assert (len(sample.places), sample.population, sample.late) == (25, 30, False)
    assert sampling.repeats(the_hub, sample)
    said = causes(hub)
    assert said.count("sample-drawn-2027-03") == 1
    assert said.index("sample-seed-2027-03") < said.index("sample-drawn-2027-03")
    (fixed,) = [
        e for e in entries(hub, "admin") if parse_chain(e.opened.chain).cause == "sample-seed-2027-03"
    ]
    assert fixed.asker.ts < datetime(2027, 3, 1, tzinfo=UTC).timestamp() * 1000
    commitment = sampling.commitment("2027-03", unb64u(sample.seed))
    assert parse_chain(fixed.opened.chain).digest == b64u(commitment)


def test_a_draw_that_was_chosen_by_hand_is_not_repeated(hub: Acting) -> None:
    """The planted bug: one look was left out of the sample and another put in."""
    import msgspec

    the_hub = hub.world.hub
    to(hub, "2027-03-10T10:00")
    visit = hub.visit(hub.somebody())
    for _ in range(30):
        hub.sees(visit)
    sampling.due(the_hub)
    to(hub, "2027-04-01T01:00")
    sampling.due(the_hub)
    sample = sampling.of_month(the_hub, "2027-03")
    assert sample
    assert sample.late
    others = [one for one in sampling._population(the_hub, "2027-03") if one not in sample.places]
    swapped = sorted([*sample.places[1:], others[0]])
    assert not sampling.repeats(the_hub, msgspec.structs.replace(sample, places=swapped))


# --- the question to an organisation ---------------------------------------------------


def fetched(hub: Acting, node: Node) -> InquiryList:
    return decoded(hub.run(node.send("/v1/inquiries", {}, "admin", role="bron")), InquiryList)


def replied(hub: Acting, node: Node, id_: str, answer: str, actor: str = "m-17") -> Any:
    body = {"id": id_, "answer": answer}
    return hub.run(node.send("/v1/inquiries/answers", body, "admin", role="bron", actor=actor))


@pytest.fixture
def asked(hub: Acting) -> str:
    hub.sees(hub.visit(hub.somebody()))
    (look,) = entries(hub, "lookup")
    return inquiries.ask(hub.world.hub, look.year, look.index, "steekproef", "olga")


def test_a_question_goes_to_the_node_that_looked_and_its_answer_comes_back(hub: Acting, asked: str) -> None:
    (one,) = fetched(hub, hub.wijkteam).inquiries
    assert (one.id, one.actor, one.why, one.purpose) == (asked, "m-17", "steekproef", "huisbezoek")
    assert one.case

    decoded(replied(hub, hub.wijkteam, asked, "own_client"), InquiryAnswer)

    assert fetched(hub, hub.wijkteam).inquiries == []
    (view,) = inquiries.views(hub.world.hub)
    assert (view.asked.answer, view.open) == ("own_client", True)
    assert inquiries.close(hub.world.hub, unb64u(asked), "fits")
    assert not inquiries.close(hub.world.hub, unb64u(asked), "fits")
    assert {"asked-steekproef", "inquiry-fits", "answer-own_client"} <= set(causes(hub))


def test_no_other_node_sees_or_answers_a_question(hub: Acting, asked: str) -> None:
    other = hub.world.nodes["wijkteam-twee"]
    assert fetched(hub, other).inquiries == []
    assert problem(replied(hub, other, asked, "mistake").response)[2] == ["unknown-inquiry"]


def test_only_the_employee_who_looked_answers_and_once(hub: Acting, asked: str) -> None:
    wrong = replied(hub, hub.wijkteam, asked, "own_client", actor="m-other")
    assert problem(wrong.response)[2] == ["other-employee"]
    assert replied(hub, hub.wijkteam, asked, "mistake").response.status_code == 200
    assert replied(hub, hub.wijkteam, asked, "mistake").response.status_code == 200
    changed = replied(hub, hub.wijkteam, asked, "own_client")
    assert problem(changed.response)[2] == ["already-settled"]


def test_there_is_no_free_text_in_an_answer(hub: Acting, asked: str) -> None:
    assert replied(hub, hub.wijkteam, asked, "mevrouw was ziek").response.status_code == 400


def test_the_same_entry_is_asked_about_once_and_only_looks_of_employees_are(hub: Acting, asked: str) -> None:
    the_hub = hub.world.hub
    (look,) = entries(hub, "lookup")
    assert inquiries.ask(the_hub, look.year, look.index, "patroon", "olga") == asked
    with pytest.raises(Refused):
        inquiries.ask(the_hub, look.year, 0, "patroon", "olga")
    with pytest.raises(Refused):
        inquiries.ask(the_hub, look.year, 10_000, "patroon", "olga")


def test_nobody_is_asked_about_what_a_citizen_or_representative_did(hub: Acting) -> None:
    hub.run(hub.portaal.logs_in(hub.somebody()))
    session = entries(hub, "relation")[-1]
    as_parent = msgspec.structs.replace(session.asker, actor="ouder")
    assert session.asker.role == "burger"
    assert not inquiries._by_employee(as_parent)
    with pytest.raises(Refused):
        inquiries.ask(hub.world.hub, session.year, session.index, "patroon", "olga")


# --- opening with two ------------------------------------------------------------------


@pytest.fixture
def looked(hub: Acting) -> tuple[str, Found]:
    person = hub.somebody()
    hub.sees(hub.visit(person))
    (look,) = entries(hub, "lookup")
    hub.sees(hub.run(hub.wijkteam.opens("m-2", [person])))
    hub.sees(hub.visit(hub.somebody()))
    return person, look


def wish(hub: Acting, look: Found, officer: str = "olga", org: str = GEMEENTE) -> str:
    return openings.request(hub.world.hub, (look.year, look.index), "vermoeden_misbruik", officer, org)


def test_two_officers_of_two_organisations_open_the_lines_of_one_person(
    hub: Acting, looked: tuple[str, Found]
) -> None:
    _person, look = looked
    id_ = wish(hub, look)
    with pytest.raises(Refused):
        openings.lines(hub.world.hub, id_, "olga")

    openings.approve(hub.world.hub, id_, "otto", SCHULDHULP)

    for officer in ("olga", "otto"):
        found = openings.lines(hub.world.hub, id_, officer)
        assert [(one.asker.t, one.asker.actor) for one in found] == [
            ("relation", "m-17"),
            ("lookup", "m-17"),
            ("relation", "m-2"),
            ("lookup", "m-2"),
            ("open", ""),
        ]
    with pytest.raises(Refused):
        openings.lines(hub.world.hub, id_, "eva")


def test_the_person_sees_that_the_lines_were_opened_and_it_verifies(
    hub: Acting, looked: tuple[str, Found]
) -> None:
    person, look = looked
    openings.approve(hub.world.hub, wish(hub, look), "otto", SCHULDHULP)
    session = hub.login(person)
    answer = hub.own(session, "log", OwnLogAnswer)
    own = dict(zip(session.scopes, session.lids[0], strict=True))
    checked = check_lines(answer, own, hub.world.log_vkey)
    assert checked.verified
    assert [asker.t for _, asker in checked.entries].count("open") == 1


@pytest.mark.parametrize(
    ("officer", "org"),
    [("olga", SCHULDHULP), ("otto", GEMEENTE), ("otto", ""), ("otto", "00000000000000000009")],
)
def test_one_officer_or_one_organisation_alone_opens_nothing(
    hub: Acting, looked: tuple[str, Found], officer: str, org: str
) -> None:
    id_ = wish(hub, looked[1])
    with pytest.raises(Refused):
        openings.approve(hub.world.hub, id_, officer, org)
    with pytest.raises(Refused):
        openings.lines(hub.world.hub, id_, "olga")
    assert entries(hub, "open") == []


def test_an_approval_after_a_day_comes_too_late_and_an_opening_ends_after_a_day(
    hub: Acting, looked: tuple[str, Found]
) -> None:
    late, open_now = wish(hub, looked[1]), wish(hub, looked[1])
    openings.approve(hub.world.hub, open_now, "otto", SCHULDHULP)
    hub.world.clock.shift(hours=25)
    with pytest.raises(Refused):
        openings.approve(hub.world.hub, late, "otto", SCHULDHULP)
    with pytest.raises(Refused):
        openings.lines(hub.world.hub, open_now, "olga")
    assert {view.state for view in openings.views(hub.world.hub)} == {"over"}


def test_a_postponed_look_is_not_opened_for_the_person_could_not_see_it(hub: Acting) -> None:
    visit = hub.visit(hub.somebody(), role="vt_liaison", purpose="crisis")
    hub.run(hub.wijkteam.tries_to_look(visit))
    (look,) = entries(hub, "lookup")
    with pytest.raises(Refused, match="postponed"):
        wish(hub, look)


def test_nothing_that_officers_keep_shows_a_person_at_rest(hub: Acting, looked: tuple[str, Found]) -> None:
    person, look = looked
    wish(hub, look)
    inquiries.ask(hub.world.hub, look.year, look.index, "patroon", "olga")
    with hub.world.hub.reading() as connection:
        raw = b"".join(
            bytes(cell)
            for table in ("inquiry", "opening")
            for row in connection.execute(text(f"SELECT * FROM {table}"))  # noqa: S608
            for cell in row
            if isinstance(cell, bytes)
        )
    for lid in hub.lids(person):
        assert handle(look.year, lid) not in raw
        assert b64u(handle(look.year, lid)).encode() not in raw
    assert b"m-17" not in raw


# --- patterns --------------------------------------------------------------------------


def patterns(hub: Acting, **more: str) -> list[indicators.QuestionToAsk]:
    now = hub.world.clock()
    begin = now.replace(year=now.year - 1)
    return indicators.questions(hub.world.hub, begin, now.replace(year=now.year + 1), **more)


def test_a_team_that_looks_at_night_is_a_question_with_its_sample_and_comparison(hub: Acting) -> None:
    to(hub, "2027-03-10T10:00")
    for team, hours in (("noord", 12), ("zuid", 0)):
        for number in range(12):
            to(hub, f"2027-03-{10 + number // 12:02d}T{10 + hours:02d}:{number:02d}")
            visit = hub.run(hub.wijkteam.opens(f"m-{team}", [hub.somebody()], team=team))
            hub.sees(visit)

    (found,) = [one for one in patterns(hub) if one.sign == "outside_hours"]

    assert (found.group.team, found.unusual, found.looks) == ("noord", 12, 12)
    assert (found.compared, found.others) == (0.0, 1)
    assert list(patterns(hub, organisation=SCHULDHULP)) == []


def test_one_person_by_many_employees_and_many_in_an_hour_are_questions(hub: Acting) -> None:
    to(hub, "2027-03-10T10:00")
    person = hub.somebody()
    for number in range(5):
        hub.sees(hub.run(hub.wijkteam.opens(f"m-{number}", [person])))
    busy = hub.run(hub.wijkteam.opens("m-busy", [hub.somebody()]))
    for _ in range(26):
        hub.sees(busy)
    signs = {one.sign: one for one in patterns(hub)}
    assert signs["many_employees"].unusual == 5
    assert signs["many_per_hour"].unusual == 6
    assert "urgent" not in signs


def test_a_team_like_the_others_is_no_question(hub: Acting) -> None:
    to(hub, "2027-03-10T22:00")
    for team in ("noord", "zuid"):
        visit = hub.run(hub.wijkteam.opens(f"m-{team}", [hub.somebody()], team=team))
        for _ in range(11):
            hub.sees(visit)
    assert [one for one in patterns(hub) if one.sign == "outside_hours"] == []


def test_a_case_opened_after_a_refusal_is_a_question(hub: Acting) -> None:
    to(hub, "2027-03-10T10:00")
    for _ in range(10):
        person = hub.somebody()
        visit = hub.visit(person)
        hub.run(hub.wijkteam.closes(visit))
        hub.sees(visit)
        hub.sees(hub.visit(person))
    signs = {one.sign: one for one in patterns(hub)}
    assert (signs["opened_afterwards"].unusual, signs["opened_afterwards"].looks) == (10, 20)
    assert signs["refused"].unusual == 10


def test_a_refused_purpose_counts_as_a_refused_look(hub: Acting) -> None:
    to(hub, "2027-03-10T10:00")
    everything = scopes_of_role(VOCABULARY, "generalist")
    for _ in range(10):
        asked = hub.wijkteam.tries_to_open("m-jan", [hub.somebody()], purpose="toezicht", scopes=everything)
        assert hub.run(asked)[1].response.status_code == 403
    (found,) = [one for one in patterns(hub) if one.sign == "refused"]
    assert (found.unusual, found.looks) == (10, 10)


def test_looks_without_later_contact_are_a_question_only_beside_a_team_that_asks(hub: Acting) -> None:
    to(hub, "2027-03-10T10:00")
    source = hub.world.hub.directory.node("bron").number  # type: ignore[union-attr]
    for team in ("noord", "zuid"):
        for _ in range(10):
            person = hub.somebody()
            hub.publish(hub.bron, hub.flag(person, "schuldhulp"))
            hub.run(hub.portaal.chooses(hub.login(person), receiver=(GEMEENTE,)))
            visit = hub.run(hub.wijkteam.opens(f"m-{team}", [person], team=team))
            assert hub.sees(visit) == [{"schuldhulp"}]
            if team == "zuid":
                body = {"ticket": visit.tickets[0], "kind": "schuldhulp", "source": source}
                hub.run(hub.wijkteam.send("/v1/contacts", body, "notice", **visit.statement()))
        if team == "noord":
            assert "without_contact" not in {one.sign for one in patterns(hub)}
    (found,) = [one for one in patterns(hub) if one.sign == "without_contact"]
    assert (found.group.team, found.unusual, found.compared) == ("noord", 10, 0.0)


# --- replay ----------------------------------------------------------------------------


def test_a_look_replayed_gives_the_same_outcome_with_version_and_rows(
    hub: Acting, looked: tuple[str, Found]
) -> None:
    found = replaying.replay(hub.world.hub, looked[1].year, looked[1].index)
    assert (found.outcome, found.version, found.role) == ("same", 1, "generalist")
    assert len(found.kinds) > 5
    assert all(kind.same for kind in found.kinds)
    with pytest.raises(Refused):
        replaying.replay(hub.world.hub, looked[1].year, 0)


def test_a_decision_that_the_rules_do_not_give_is_shown_as_different(
    hub: Acting, looked: tuple[str, Found], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if a wrong table had answered: Cedar says no to one row."""
    one = replaying.replay(hub.world.hub, looked[1].year, looked[1].index).kinds[0]
    differs = [Difference("generalist", "huisbezoek", one.kind, one.row, 0)]
    monkeypatch.setattr(replaying, "apart", lambda *_: differs)
    found = replaying.replay(hub.world.hub, looked[1].year, looked[1].index)
    assert found.outcome == "different"
    assert [kind.kind for kind in found.kinds if not kind.same] == [one.kind]


def test_two_officers_at_once_approve_once(hub: Acting, looked: tuple[str, Found]) -> None:
    id_ = wish(hub, looked[1])

    async def both() -> list[object]:
        again = [asyncio.to_thread(openings.approve, hub.world.hub, id_, "otto", SCHULDHULP) for _ in "ab"]
        return list(await asyncio.gather(*again, return_exceptions=True))

    outcomes = hub.run(both())
    assert sum(isinstance(one, Refused) for one in outcomes) == 1
    assert len(entries(hub, "open")) == 1


# --- asking about break-glass ------------------------------------------------------------


def test_asking_about_break_glass_asks_the_employee_who_declared_and_once(hub: Acting) -> None:
    the_hub = hub.world.hub
    hub.run(hub.wijkteam.declares("m-carla", [hub.somebody()]))
    (line,) = reviews.waiting_for_review(the_hub).lines
    for _ in range(2):
        answer = hub.run(reviews.verdict(the_hub, unb64u(line.id), "asked", "olga"))
        assert answer.status_code == 200
    (asked,) = fetched(hub, hub.wijkteam).inquiries
    assert (asked.actor, asked.why) == ("m-carla", "spoed")
    assert reviews.waiting_for_review(the_hub).lines[0].review.outcome == "asked"


# --- silent sources, the login of an officer ----------------------------------------------


def test_a_source_that_confirmed_nothing_for_its_lease_is_named(hub: Acting) -> None:
    hub.publish(hub.bron, hub.flag(hub.somebody(), "schuldhulp"))
    assert silent_sources(hub.world.hub) == []
    hub.world.clock.shift(days=36)
    assert [one.node for one in silent_sources(hub.world.hub)] == ["bron"]


def test_the_officers_login_asks_for_the_organisation_whatever_was_set(hub: Acting) -> None:
    """Without the claim nobody could open with two, and the page would not say why."""
    login = LoginSettings(issuer="http://localhost:1", client_id="hub", client_auth="none")
    given = PageSettings(process_id="hub", origin="http://localhost:2", login=login, demo=True)
    assert "oin" in with_organisation(given).login.claims


def test_the_register_of_the_rules_in_force_is_saved_and_recorded(hub: Acting) -> None:
    raw = hub.run(OfficersWork(hub.world.hub).document("register")).decode()
    assert "Register van verwerkingen (AVG 30)" in raw
    assert "Hulp bij schulden" in raw
    assert "export-register" in causes(hub)
