"""What citizens see of themselves: all own flags, the whole ledger, every line; and each look is a line."""

from collections.abc import Iterator

import pytest
from sqlalchemy import Connection, text

from index.protocol.codec import SCOPES, b64u, unb64u
from index.protocol.entry import Asker, handle, leaf_of, parse_asker, parse_chain
from index.protocol.merkle import leaf_hash, verify_inclusion
from index.protocol.messages import LogLine, OwnChoicesAnswer, OwnFlagsAnswer, OwnLogAnswer
from index.protocol.note import ED25519, NoteKey, origin_of, parse_note, verified_checkpoint
from tests.hub.acting import Acting, problem
from tests.hub.world import HUB_ID, Visit, point


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, module_database: dict[str, str]) -> Iterator[Acting]:
    with Acting(tmp_path_factory.mktemp("hub"), **module_database) as acting:
        yield acting


# --- flags --------------------------------------------------------------------------


def test_a_citizen_sees_own_flags_that_nobody_else_may_see(hub: Acting) -> None:
    person = hub.somebody()
    hub.publish(hub.inkomen, hub.flag(person, "bijstand"), hub.flag(person, "ggz", until="2030-01"))
    assert hub.sees(hub.visit(person)) == [set()]

    flags = hub.own(hub.login(person), "flags", OwnFlagsAnswer).flags

    assert [(flag.kind, flag.source, flag.since, flag.until) for flag in flags] == [
        ("bijstand", 2, "2025-03", None),
        ("ggz", 2, "2025-03", "2030-01"),
    ]
    assert all(flag.confirmed_at for flag in flags)


def test_flags_with_postponed_notice_are_not_told_before_their_release(hub: Acting) -> None:
    person = hub.somebody()
    kinds = ("veilig_thuis", "corv", "jeugdbescherming", "jeugdhulp")
    hub.publish(hub.inkomen, *(hub.flag(person, kind) for kind in kinds))

    flags = hub.own(hub.login(person), "flags", OwnFlagsAnswer).flags

    assert [flag.kind for flag in flags] == ["jeugdhulp"]


def test_flags_past_their_retention_are_not_told(hub: Acting) -> None:
    person = hub.somebody()
    hub.publish(hub.inkomen, hub.flag(person, "bijstand", since="2020-01", until="2020-02"))

    assert hub.own(hub.login(person), "flags", OwnFlagsAnswer).flags == []


def test_nobody_sees_flags_of_another_person(hub: Acting) -> None:
    person, other = hub.somebody(), hub.somebody()
    hub.publish(hub.inkomen, hub.flag(person, "bijstand"))

    assert hub.own(hub.login(other), "flags", OwnFlagsAnswer).flags == []


# --- choices ------------------------------------------------------------------------


def test_a_citizen_reads_the_whole_ledger_with_what_is_still_in_force(hub: Acting) -> None:
    session = hub.login(hub.somebody())
    hub.run(hub.portaal.chooses(session, scopes=("geld",)))
    (first,) = hub.own(session, "choices", OwnChoicesAnswer).directives
    hub.run(hub.portaal.chooses(session, "deny", scopes=("geld", "werk")))
    hub.run(
        hub.portaal.chooses(
            session, "withdraw", scopes=("geld",), receiver=(), purpose=(), withdraws=first.group
        )
    )

    own = hub.own(session, "choices", OwnChoicesAnswer).directives

    assert [(one.scope, one.number, one.effect, one.in_force) for one in own] == [
        ("geld", 1, "grant", False),
        ("geld", 2, "deny", True),
        ("geld", 3, "withdraw", False),
        ("werk", 1, "deny", True),
    ]
    assert own[2].withdraws == first.group


def test_a_grant_that_ended_is_no_longer_in_force(tmp_path_factory: pytest.TempPathFactory) -> None:
    with Acting(tmp_path_factory.mktemp("year")) as hub:
        person = hub.somebody()
        hub.run(hub.portaal.chooses(hub.login(person), scopes=("geld",)))
        hub.world.clock.shift(days=366)

        (own,) = hub.own(hub.login(person), "choices", OwnChoicesAnswer).directives

    assert not own.in_force


def test_a_ledger_with_a_missing_entry_is_not_shown(tmp_path_factory: pytest.TempPathFactory) -> None:
    with Acting(tmp_path_factory.mktemp("broken")) as hub:
        session = hub.login(hub.somebody())
        for _ in range(2):
            hub.run(hub.portaal.chooses(session, scopes=("geld",)))
        with hub.world.hub.engine.begin() as connection:
            for trigger in _triggers(connection, "directive"):
                connection.execute(text(f"DROP TRIGGER {trigger}"))
            connection.execute(text("DELETE FROM directive WHERE number = 2"))

        response = hub.run(hub.portaal.asks(session, "choices")).response

    assert problem(response) == (500, "internal", [])


def _triggers(connection: Connection, table: str) -> list[str]:
    rows = connection.execute(
        text("SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = :table"), {"table": table}
    )
    return [row[0] for row in rows]


# --- log ----------------------------------------------------------------------------


def test_every_look_is_in_the_citizens_list_empty_and_refused_ones_too(hub: Acting) -> None:
    person = hub.somebody()
    hub.publish(hub.bron, hub.flag(person, "schuldhulp"))
    visit = hub.visit(person)
    hub.sees(visit)
    hub.run(hub.wijkteam.closes(visit))
    hub.sees(visit)

    lines = _in_scope(hub.own(hub.login(person), "log", OwnLogAnswer), "geld")

    told = [(one.t, one.org, one.role, one.refused) for one in lines]
    gemeente, schuldhulp, portaal = (hub.wijkteam.oin, hub.bron.oin, hub.portaal.oin)
    assert told == [
        ("publish", schuldhulp, "bron", ""),
        ("relation", gemeente, "generalist", ""),
        ("lookup", gemeente, "generalist", ""),
        ("relation", gemeente, "generalist", ""),
        ("lookup", gemeente, "generalist", "no-relation"),
        ("relation", portaal, "burger", ""),
        ("log_view", portaal, "burger", ""),
    ]


def test_each_own_view_is_a_line_of_its_own(hub: Acting) -> None:
    session = hub.login(hub.somebody())
    hub.own(session, "flags", OwnFlagsAnswer)
    hub.own(session, "choices", OwnChoicesAnswer)
    hub.own(session, "log", OwnLogAnswer)

    lines = _in_scope(hub.own(session, "log", OwnLogAnswer), "zorg")

    assert [one.t for one in lines] == ["relation", *["log_view"] * 4]


def test_every_line_can_be_checked_without_trusting_the_hub(hub: Acting) -> None:
    person = hub.somebody()
    hub.publish(hub.bron, *(hub.flag(person, "schuldhulp") for _ in range(5)))
    hub.sees(hub.visit(person, hub.somebody()))
    session = hub.login(person)
    answer = hub.own(session, "log", OwnLogAnswer)

    note = parse_note(answer.checkpoint)
    year = hub.world.clock().year
    public = bytes(hub.world.keystore.log_signing.verify_key)
    key = NoteKey(origin_of(f"{HUB_ID}/v1/log", year), ED25519, public)
    checkpoint = verified_checkpoint(note, key)
    last: dict[str, tuple[int, int]] = {}
    for line in answer.lines:
        assert verify_inclusion(
            leaf_hash(_leaf(line)),
            line.index,
            checkpoint.size,
            [unb64u(h) for h in line.proof],
            checkpoint.root,
        )
        own = b64u(handle(year, session.lids[0][SCOPES.index(line.scope)]))
        handles = parse_asker(line.asker.encode()).handles
        n, prev = parse_chain(line.chain.encode()).subj[handles.index(own)]
        assert (n - 1, prev) == last.get(line.scope, (0, -1))
        last[line.scope] = (n, line.index)
    looked = dict.fromkeys(("werk", "zorg", "jeugd", "onderwijs"), 4)
    assert {scope: n for scope, (n, _) in last.items()} == {"geld": 9, **looked, "veiligheid": 2}


def test_household_members_do_not_stand_in_each_others_log(hub: Acting) -> None:
    one, other = hub.somebody(), hub.somebody()
    hub.sees(hub.visit(one, other))
    others = {b64u(handle(hub.world.clock().year, lid)) for lid in hub.lids(other)}

    lines = hub.own(hub.login(one), "log", OwnLogAnswer).lines

    assert not any(mark in line.asker for line in lines for mark in others)


def test_no_pseudonym_leaves_in_any_answer_to_a_citizen(hub: Acting) -> None:
    person = hub.somebody()
    hub.publish(hub.bron, hub.flag(person, "schuldhulp"))
    session = hub.login(person)
    keys = hub.world.hub.rows.keys_of("geld", point(person, "geld"))
    secret = [b64u(value) for value in (point(person, "geld"), keys.idx, keys.idx_dir, keys.idx_rel)]

    for what in ("flags", "choices", "log"):
        answer = hub.run(hub.portaal.asks(session, what)).response.text
        assert not any(value in answer for value in secret)


# --- whose session ------------------------------------------------------------------


@pytest.mark.parametrize("what", ["flags", "choices", "log"])
def test_a_closed_session_sees_nothing_and_the_attempt_is_recorded(hub: Acting, what: str) -> None:
    person = hub.somebody()
    session = hub.login(person)
    hub.run(hub.portaal.closes(session))

    response = hub.run(hub.portaal.asks(session, what)).response

    assert problem(response)[:2] == (403, "ticket-refused")
    lines = _in_scope(hub.own(hub.login(person), "log", OwnLogAnswer), "geld")
    assert [one.refused for one in lines if one.t == "log_view"] == ["ticket", ""]


@pytest.mark.parametrize("what", ["flags", "choices", "log"])
def test_a_ticket_of_a_visit_opens_no_own_view(hub: Acting, what: str) -> None:
    visit = hub.visit(hub.somebody())

    as_employee = hub.run(hub.wijkteam.asks(visit, what)).response
    as_portal = hub.run(hub.portaal.asks(visit, what)).response

    assert problem(as_employee)[:2] == (403, "not-allowed")
    assert problem(as_portal)[:2] == (403, "ticket-refused")


def test_one_bit_changed_in_a_ticket_opens_nothing(hub: Acting) -> None:
    session = hub.login(hub.somebody())
    raw = unb64u(session.tickets[0])
    for at in (0, 4, 20, 40, 400, len(raw) - 1):
        changed = bytearray(raw)
        changed[at] ^= 1
        forged = Visit(**{**vars(session), "tickets": [b64u(bytes(changed))]})
        assert problem(hub.run(hub.portaal.asks(forged, "flags")).response)[:2] == (403, "ticket-refused")


def _leaf(line: LogLine) -> bytes:
    salts = [unb64u(part, 32) for part in (line.salt, line.salt_a, line.salt_b)]
    return leaf_of(*salts, line.asker.encode(), line.chain.encode())


def _in_scope(answer: OwnLogAnswer, scope: str) -> list[Asker]:
    return [parse_asker(line.asker.encode()) for line in answer.lines if line.scope == scope]
