"""Postponed notice: what waits on the second chain, until when, and what its release tells."""

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from index import notices
from index.protocol.codec import b64u, unb64u
from index.protocol.entry import handle, kinds_shown, parse_asker, parse_chain
from index.protocol.messages import LogLine, LookupAnswer, OwnFlagsAnswer, OwnLogAnswer
from index.protocol.receipt import ReceiptError, verify_log_receipt
from index.upkeep import Upkeep
from nodes.looks import check_lines
from policy.postpone import Postponement

from .acting import Acting, decoded, outcomes
from .world import VOCABULARY


@pytest.fixture
def hub(tmp_path_factory: pytest.TempPathFactory, database: dict[str, str]) -> Iterator[Acting]:
    with Acting(tmp_path_factory.mktemp("hub"), **database) as acting:
        yield acting


def lines(hub: Acting, person: str) -> list[LogLine]:
    return hub.own(hub.login(person), "log", OwnLogAnswer).lines


def seen(found: list[LogLine], scope: str = "jeugd") -> list[str]:
    """Role and activity of each line in a scope."""
    askers = [parse_asker(line.asker.encode()) for line in found if line.scope == scope]
    return [f"{asker.role}:{asker.t}" for asker in askers]


def liaison(hub: Acting, person: str) -> None:
    """A liaison of Veilig Thuis opens a case and looks."""
    visit = hub.visit(person, role="vt_liaison", purpose="crisis")
    assert hub.run(hub.wijkteam.tries_to_look(visit)).response.status_code == 200


def release(hub: Acting, *, due_only: bool = False) -> int:
    made = 0
    for group in notices.waiting(hub.world.hub):
        keys = notices.keys_of(hub.world.hub, group.id, due_only=due_only)
        answer = hub.run(hub.world.hub.sequencer.submit(notices.Release(hub.world.hub, keys)))
        made += msgspec.json.decode(answer.body)
    return made


def test_the_rule_names_the_kinds_and_roles_of_child_safety_only() -> None:
    rule = Postponement.of(VOCABULARY)
    assert {VOCABULARY.kind_by_number(n).code for n in rule.kinds} == {
        "jeugdbescherming",
        "corv",
        "veilig_thuis",
    }
    assert rule.roles == {"vt_liaison", "jeugd_intake"}
    assert not rule.postpones("generalist", [VOCABULARY.kind("schuldhulp").number, 0])


def test_a_look_of_the_liaison_is_not_told_before_its_release_and_leaves_no_gap(hub: Acting) -> None:
    person = hub.somebody()
    hub.sees(hub.visit(person))
    liaison(hub, person)
    hub.sees(hub.visit(person))

    found = lines(hub, person)

    assert not [line for line in found if "vt_liaison" in line.asker]
    session = hub.login(person)
    answer = hub.own(session, "log", OwnLogAnswer)
    own = dict(zip(session.scopes, session.lids[0], strict=True))
    assert check_lines(answer, own, hub.world.log_vkey).verified


def test_after_the_release_the_line_stands_there_with_its_true_time_and_everything_verifies(
    hub: Acting,
) -> None:
    person = hub.somebody()
    liaison(hub, person)
    then = hub.world.clock()
    hub.world.clock.shift(days=15)

    assert release(hub, due_only=True) == 2

    session = hub.login(person)
    answer = hub.own(session, "log", OwnLogAnswer)
    own = dict(zip(session.scopes, session.lids[0], strict=True))
    checked = check_lines(answer, own, hub.world.log_vkey)
    assert checked.verified
    told = [asker for _, asker in checked.entries if asker.role == "vt_liaison"]
    assert [asker.t for asker in told] == ["lookup", "relation"]
    assert all(abs(asker.ts / 1000 - then.timestamp()) < 60 for asker in told)
    assert notices.waiting(hub.world.hub) == []
    assert hub.count("postponed") == 0


def test_a_postponed_line_that_nobody_released_does_not_verify_when_it_is_given(hub: Acting) -> None:
    """As if the hub slipped a line of another chain under the citizen's."""
    person = hub.somebody()
    liaison(hub, person)
    release(hub)
    session = hub.login(person)
    answer = hub.own(session, "log", OwnLogAnswer)
    own = dict(zip(session.scopes, session.lids[0], strict=True))
    later = {line.index for line in answer.lines if "vt_liaison" in line.asker}
    without = [line for line in answer.lines if '"t":"release"' not in line.asker]

    slipped = check_lines(msgspec.structs.replace(answer, lines=without), own, hub.world.log_vkey)
    cut = check_lines(
        msgspec.structs.replace(answer, lines=[line for line in answer.lines if line.index not in later]),
        own,
        hub.world.log_vkey,
    )

    assert not slipped.verified
    assert not any(asker.role == "vt_liaison" for _, asker in slipped.entries)
    assert not cut.verified


def test_a_release_names_the_earlier_line_on_the_ordinary_chain(hub: Acting) -> None:
    person = hub.somebody()
    liaison(hub, person)
    release(hub)
    year = hub.world.clock().year
    named = []
    for line in lines(hub, person):
        asker, chain = parse_asker(line.asker.encode()), parse_chain(line.chain.encode())
        if asker.t == "release" and line.scope == "veiligheid":
            assert b64u(handle(year, hub.lids(person)[5])) in asker.handles
            named.append((chain.year, chain.index))
    later = handle(year, hub.lids(person)[5], True)
    with hub.world.hub.reading() as connection:
        found = [hub.world.hub.log_reader.at(connection, *place) for place in named]
    assert sorted(one.asker.t for one in found if one) == ["lookup", "relation"]
    assert all(one and b64u(later) in one.asker.handles for one in found)


def test_a_line_that_shows_such_a_kind_waits_and_one_that_shows_none_does_not(hub: Acting) -> None:
    with_flag, without = hub.somebody(), hub.somebody()
    hub.publish(hub.inkomen, hub.flag(with_flag, "jeugdbescherming"))
    for person in (with_flag, without):
        visit = hub.visit(person, role="jeugdprofessional", purpose="toeleiding_jeugd")
        sent = hub.run(hub.wijkteam.tries_to_look(visit))
        assert sent.response.status_code == 200

    assert seen(lines(hub, with_flag)) == [
        "jeugdprofessional:relation",
        "burger:relation",
        "burger:log_view",
    ]
    assert seen(lines(hub, without)) == [
        "jeugdprofessional:relation",
        "jeugdprofessional:lookup",
        "burger:relation",
        "burger:log_view",
    ]


def test_the_chain_of_a_line_tells_the_asker_nothing_that_was_not_shown(hub: Acting) -> None:
    """Only that something is there was asked: whose chain the line is on must not say which kind it is."""
    person = hub.somebody()
    hub.publish(hub.inkomen, hub.flag(person, "jeugdbescherming"))
    visit = hub.visit(person, role="jeugdprofessional", purpose="toeleiding_jeugd")

    sent = hub.run(hub.wijkteam.tries_to_look(visit, detail="presence"))

    (one,) = sent.response.json()["persons"]
    assert one["present"]
    asker = parse_asker(one["log"]["asker"].encode())
    assert kinds_shown(unb64u(asker.shown)) == (0,)
    assert asker.handles == [b64u(handle(hub.world.clock().year, lid)) for lid in visit.lids[0]]


def test_a_node_refuses_a_line_that_the_hub_postponed_without_the_rule(
    hub: Acting, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The planted bug: every look would vanish from the citizens' lists."""
    person = hub.somebody()
    visit = hub.visit(person)
    monkeypatch.setattr(Postponement, "postpones", lambda *_: True)

    sent = hub.run(hub.wijkteam.tries_to_look(visit))

    (one,) = decoded(sent, LookupAnswer).persons
    with pytest.raises(ReceiptError):
        verify_log_receipt(one.log, log_vkey=hub.world.log_vkey, sent=sent.signed, lids=visit.lids[0])


def test_a_term_is_fourteen_days_and_the_officer_may_postpone_once_more_with_a_reason(hub: Acting) -> None:
    person = hub.somebody()
    liaison(hub, person)
    the_hub = hub.world.hub
    hub.world.clock.shift(days=13)
    assert [group.due for group in notices.waiting(the_hub)] == [0, 0]
    hub.world.clock.shift(days=2)
    groups = notices.waiting(the_hub)
    assert sorted((group.role, group.t, group.due) for group in groups) == [
        ("vt_liaison", "lookup", 1),
        ("vt_liaison", "relation", 1),
    ]

    keys = notices.keys_of(the_hub, groups[0].id, due_only=True)
    hub.run(the_hub.sequencer.submit(notices.Renewal(the_hub, keys, "veiligheid_kind")))

    assert sorted(group.due for group in notices.waiting(the_hub)) == [0, 1]
    with the_hub.reading() as connection:
        head = the_hub.log_reader.head(connection)
        assert head
        last = the_hub.log_reader.at(connection, head.year, head.size - 1)
    assert last
    assert (last.asker.t, last.asker.handles) == ("admin", [])
    assert parse_chain(last.opened.chain).cause == "postponed-veiligheid_kind"
    assert "vt_liaison" not in " ".join(line.asker for line in lines(hub, person))
    hub.world.clock.shift(days=14, minutes=1)
    assert [group.due for group in notices.waiting(the_hub)] == [1, 1]


def test_releasing_twice_tells_once(hub: Acting) -> None:
    person = hub.somebody()
    liaison(hub, person)
    the_hub = hub.world.hub
    group = notices.waiting(the_hub)[0]
    keys = notices.keys_of(the_hub, group.id, due_only=False)
    work = notices.Release(the_hub, keys)
    first, second = hub.together(the_hub.sequencer.submit(work), the_hub.sequencer.submit(work))
    assert sorted(msgspec.json.decode(one.body) for one in (first, second)) == [0, 1]
    assert sum('"t":"release"' in line.asker for line in lines(hub, person) if line.scope == "jeugd") == 1


def test_a_stolen_database_shows_of_what_waits_only_how_much(hub: Acting) -> None:
    person = hub.somebody()
    liaison(hub, person)
    with hub.world.hub.reading() as connection:
        rows = connection.exec_driver_sql("SELECT key, sealed FROM postponed").all()
    assert {len(row.sealed) for row in rows} == {812}
    raw = b"".join(bytes(row.key) + bytes(row.sealed) for row in rows)
    assert not any(lid in raw or b64u(lid).encode() in raw for lid in hub.lids(person))
    assert b"vt_liaison" not in raw


def own_kinds(hub: Acting, person: str) -> list[str]:
    return [flag.kind for flag in hub.own(hub.login(person), "flags", OwnFlagsAnswer).flags]


@pytest.mark.parametrize("kind", ["jeugdbescherming", "corv", "veilig_thuis"])
def test_a_flag_of_child_safety_stands_in_the_own_view_once_its_notice_was_released(
    hub: Acting, kind: str
) -> None:
    person, other = hub.somebody(), hub.somebody()
    flag, others = hub.flag(person, kind), hub.flag(other, kind)
    hub.publish(hub.inkomen, flag, hub.flag(person, "wmo_voorziening"))
    assert own_kinds(hub, person) == ["wmo_voorziening"]

    assert release(hub) == 1
    hub.publish(hub.inkomen, others)

    assert own_kinds(hub, person) == sorted([kind, "wmo_voorziening"])
    assert own_kinds(hub, other) == [], "another's flag waits for its own release"
    session = hub.login(person)
    answer = hub.own(session, "log", OwnLogAnswer)
    own = dict(zip(session.scopes, session.lids[0], strict=True))
    assert check_lines(answer, own, hub.world.log_vkey).verified

    hub.publish(hub.inkomen, flag)
    assert own_kinds(hub, person) == sorted([kind, "wmo_voorziening"]), (
        "what was told stays told when its source changes it"
    )
    assert outcomes(hub.retract(hub.inkomen, flag.secret)) == ["removed"]
    assert own_kinds(hub, person) == ["wmo_voorziening"]


def test_the_release_of_a_flag_that_was_taken_back_tells_of_it_and_brings_nothing_back(hub: Acting) -> None:
    person = hub.somebody()
    flag = hub.flag(person, "veilig_thuis")
    hub.publish(hub.inkomen, flag)
    hub.retract(hub.inkomen, flag.secret)
    assert release(hub) == 2
    assert own_kinds(hub, person) == []
    assert hub.count("flag") == 0


def test_the_release_of_a_look_tells_nothing_of_a_flag_whose_own_notice_waits(hub: Acting) -> None:
    person = hub.somebody()
    hub.publish(hub.inkomen, hub.flag(person, "veilig_thuis"))
    liaison(hub, person)
    the_hub = hub.world.hub
    looks = [group for group in notices.waiting(the_hub) if group.t != "publish"]
    keys = [key for group in looks for key in notices.keys_of(the_hub, group.id, due_only=False)]
    hub.run(the_hub.sequencer.submit(notices.Release(the_hub, keys)))
    assert own_kinds(hub, person) == []


def test_a_postponed_notice_of_a_line_that_is_erased_is_forgotten_and_the_others_wait_on(
    tmp_path: Path, database: dict[str, str]
) -> None:
    terms = {"retention_months": {"crisis": 1}, "retention_default_months": 12}
    with Acting(tmp_path, **database, **terms) as hub:
        person = hub.somebody()
        hub.publish(hub.inkomen, hub.flag(person, "veilig_thuis"))
        liaison(hub, person)
        upkeep = Upkeep(hub.world.hub)
        hub.world.clock.shift(days=25)
        upkeep.erase()
        assert sorted(group.t for group in notices.waiting(hub.world.hub)) == [
            "lookup",
            "publish",
            "relation",
        ]
        hub.world.clock.shift(days=45)
        assert upkeep.erase().lines > 0
        assert [group.t for group in notices.waiting(hub.world.hub)] == ["publish"]
        assert hub.count("postponed") == 1
