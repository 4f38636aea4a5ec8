"""An organisation leaves: everything of it goes, from every table, and the hub signs that it is gone."""

import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select

from index import contacts, errands, inquiries, leaving, openings, signals
from index.accesslog.tables import entry as log_entry
from index.acts import Act, Refused
from index.leaving import RULES, Kept, Target, check_report, counts, purge
from index.organisations import Changes, Roster, following
from index.protocol.codec import b64u
from index.registers import Registers
from index.store.metadata import metadata
from index.transaction import ErrandRow
from tests.hub.acting import Acting
from tests.hub.office import Bureau, People
from tests.hub.rights import use
from tests.hub.world import GEMEENTE, SCHULDHULP

KEPT_FOR_OTHERS = {"postponed", "sample"}


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Acting]:
    people = People(tmp_path / "people")
    with Acting(tmp_path / "hub", approvers=people.approvers()) as acting:
        acting.bureau = Bureau(acting.world, people)  # type: ignore[attr-defined]
        yield acting


def bureau(hub: Acting) -> Bureau:
    return hub.bureau  # type: ignore[attr-defined, no-any-return]


def change(hub: Acting, do: Any) -> int:
    office = bureau(hub)
    version = office.version()
    with office.office.sitting() as sitting:
        roster = Roster(hub.world.settings, office.directory, version, sitting)
        held = do(roster, Registers().after(sitting.history))
    return int(held.act.about or held.seq)


def proposed(hub: Acting, oin: str = SCHULDHULP) -> int:
    return change(hub, lambda roster, _: roster.leave(bureau(hub).who("anna"), oin))


def agreed(hub: Acting, oin: str = SCHULDHULP) -> int:
    number = proposed(hub, oin)
    bram = bureau(hub).who("bram")
    return change(hub, lambda roster, registers: roster.approve(bram, number, registers))


def target(hub: Acting, oin: str = SCHULDHULP) -> Target:
    nodes = {node.id: node.number for node in hub.world.hub.directory.nodes if node.oin == oin}
    return Target(oin, nodes, hub.world.hub.rows)


def lived_in(hub: Acting) -> dict[str, str]:
    """Something of SCHULDHULP in every table that something goes from, and as much of others."""
    mina, omar = hub.somebody(), hub.somebody()
    debt, gone, benefit = (hub.flag(mina, "schuldhulp"), hub.flag(omar, "schuldhulp"), hub.flag(mina, "ww"))
    hub.publish(hub.bron, debt, gone)
    hub.publish(hub.inkomen, benefit)
    hub.retract(hub.bron, gone.secret)
    session = hub.allow_everything(mina)
    hub.run(hub.portaal.chooses(session, "deny", receiver=(SCHULDHULP,)))
    # A ledger that speaks of the leaving organisation alone.
    hub.run(hub.portaal.chooses(hub.login(omar), "grant", receiver=(SCHULDHULP, "noord")))
    use(hub, session, "dispute", "schuldhulp")
    crisis = hub.world.crisis
    hub.run(crisis.declares("m-eva", [mina], team="crisisdienst"))
    visit = hub.visit(mina)
    assert hub.sees(visit) == [{"schuldhulp", "ww"}]
    the_hub = hub.world.hub
    with the_hub.office.sitting() as sitting:
        asked = inquiries.Asked(
            year=sitting.now.year, index=1, node="crisis", actor="m-eva", role="crisisdienst",
            team="crisisdienst", purpose="crisis", case="", at=0, why="spoed", asked=0, due=1, officer="o-1",
        )  # fmt: skip
        tag = the_hub.rows.node_tag(target(hub).nodes["crisis"])
        row = inquiries._sealed(the_hub, secrets.token_bytes(16), tag, asked, open_=True)
        sitting.connection.execute(leaving.t.inquiry.insert(), [row._asdict()])
        wish = openings.Wish(sitting.now.year, 1, "klacht", "o-1", SCHULDHULP, sitting.seconds)
        key = secrets.token_bytes(16)
        sitting.connection.execute(
            leaving.t.opening.insert(), [{"key": key, "sealed": openings._sealed(the_hub, key, wish)}]
        )
        followed = signals.Watched(
            scope="geld", kid=1, keys=[secrets.token_bytes(16)] * 4, node=target(hub).nodes["crisis"],
            org=SCHULDHULP, team="crisisdienst", role="crisisdienst", purpose="crisis", numbers=[1, 1, 1],
            case=b"c" * 16, opened=0, mark=1, visit=b"v" * 16, known=b"",
        )  # fmt: skip
        watched = signals._sealed(the_hub, secrets.token_bytes(16), b"t" * 16, 0, followed)
        sitting.connection.execute(leaving.t.watch.insert(), [watched._asdict()])
        waits = errand(hub, "signal", target(hub).nodes["crisis"], signals._Waits("v"))
        sitting.connection.execute(leaving.t.errand.insert(), [waits._asdict()])
    body = {"tickets": visit.tickets, "visit": b64u(b"w" * 16)}
    hub.run(hub.wijkteam.send("/v1/subscriptions", body, "subscription", **visit.statement()))
    return {"mina": mina, "omar": omar}


def errand(hub: Acting, sort: errands.Sort, node: int, content: Any) -> ErrandRow:
    return errands.row_of(hub.world.hub, sort, node, secrets.token_bytes(16), content)


def test_what_it_asked_of_others_goes_too_and_what_others_asked_of_others_stays(hub: Acting) -> None:
    inkomen = hub.world.hub.directory.node("inkomen").number  # type: ignore[union-attr]
    asked = [contacts.Asked("", oin, "noord", "generalist", 0) for oin in (SCHULDHULP, GEMEENTE)]
    rows = [errand(hub, "contact", inkomen, one) for one in asked]
    with bureau(hub).office.sitting() as sitting:
        sitting.connection.execute(leaving.t.errand.insert(), [row._asdict() for row in rows])
    purge(bureau(hub).office, bureau(hub).directory, bureau(hub).who("bram"), agreed(hub))
    with hub.world.hub.reading() as connection:
        left = connection.execute(select(leaving.t.errand.c.key)).scalars().all()
    assert left == [rows[1].key]


def test_every_table_has_a_rule() -> None:
    assert set(metadata.tables) == set(RULES), "say in index/leaving.py what leaving does to this table"
    for name, rule in RULES.items():
        assert not isinstance(rule, Kept) or rule.why, name


def test_everything_goes_nothing_of_others_does_and_the_log_keeps_its_entries(hub: Acting) -> None:
    people = lived_in(hub)
    office, who = bureau(hub).office, target(hub)
    with hub.world.hub.reading() as connection:
        # The states that others decided under, and how many lines there are.
        lines = connection.scalar(select(func.count()).select_from(log_entry)) or 0
    before = counts(office, who)
    assert all(before.values()), f"this test has nothing of the organisation in {before}"
    others = counts(office, target(hub, GEMEENTE))

    number = agreed(hub)
    raw = purge(office, bureau(hub).directory, bureau(hub).who("bram"), number)
    report = check_report(raw, bytes(hub.world.keystore.log_signing.verify_key))

    assert not any(counts(office, who).values())
    assert counts(office, target(hub, GEMEENTE)) == others
    assert {name: one["before"] for name, one in report["tables"].items()} == before
    assert set(report["tables"]) | set(report["kept"]) == set(metadata.tables)
    with hub.world.hub.reading() as connection:
        assert (connection.scalar(select(func.count()).select_from(log_entry)) or 0) > lines
    assert hub.sees(hub.visit(people["mina"])) == [{"ww"}]


def test_the_citizens_own_ledger_still_holds_and_no_longer_counts_what_named_it(hub: Acting) -> None:
    from index.protocol.messages import OwnChoicesAnswer

    people = lived_in(hub)
    purge(bureau(hub).office, bureau(hub).directory, bureau(hub).who("bram"), agreed(hub))
    own = hub.own(hub.login(people["mina"]), "choices", OwnChoicesAnswer)
    named = [one for one in own.directives if one.receiver[:1] == [SCHULDHULP]]
    assert named
    assert not any(one.in_force for one in named)
    assert any(one.in_force for one in own.directives)
    assert not own.claims or all(claim.publisher not in target(hub).numbers for claim in own.claims)
    assert hub.own(hub.login(people["omar"]), "choices", OwnChoicesAnswer).directives == []
    # The chain goes on from where it was.
    decoded_answer = hub.run(hub.portaal.chooses(hub.login(people["mina"]), "deny", receiver=(GEMEENTE,)))
    assert decoded_answer.response.status_code == 200


def test_its_calls_are_refused_from_the_second_person_on_and_nothing_comes_back(hub: Acting) -> None:
    lived_in(hub)
    number = proposed(hub)
    late = hub.flag(hub.somebody(), "schuldhulp")
    assert hub.try_to_publish(hub.bron, late).response.status_code == 200
    bram = bureau(hub).who("bram")
    change(hub, lambda roster, registers: roster.approve(bram, number, registers))
    refused = hub.try_to_publish(hub.bron, hub.flag(hub.somebody(), "schuldhulp"))
    assert refused.response.status_code == 403
    purge(bureau(hub).office, bureau(hub).directory, bram, number)
    assert not any(counts(bureau(hub).office, target(hub)).values())
    with pytest.raises(Refused, match="leaves or left"):
        proposed(hub)


def test_one_person_alone_purges_nothing(hub: Acting) -> None:
    lived_in(hub)
    number, before = proposed(hub), counts(bureau(hub).office, target(hub))
    anna = bureau(hub).who("anna")
    with pytest.raises(Refused, match="another person"):
        change(hub, lambda roster, registers: roster.approve(anna, number, registers))
    with pytest.raises(Refused, match="two people"):
        purge(bureau(hub).office, bureau(hub).directory, anna, number)
    assert counts(bureau(hub).office, target(hub)) == before


def test_an_interrupted_purge_is_carried_out_again(hub: Acting, monkeypatch: pytest.MonkeyPatch) -> None:
    lived_in(hub)
    number, office = agreed(hub), bureau(hub).office
    done: list[str] = []
    real = leaving._carry_out

    def cut(*args: Any) -> None:
        done.append("")
        if len(done) == 6:
            raise KeyboardInterrupt
        real(*args)

    monkeypatch.setattr(leaving, "_carry_out", cut)
    with pytest.raises(KeyboardInterrupt):
        purge(office, bureau(hub).directory, bureau(hub).who("bram"), number)
    assert any(counts(office, target(hub)).values())
    monkeypatch.setattr(leaving, "_carry_out", real)
    purge(office, bureau(hub).directory, bureau(hub).who("carla"), number)
    assert not any(counts(office, target(hub)).values())


def test_a_report_counts_only_as_the_hub_signed_it(hub: Acting) -> None:
    lived_in(hub)
    raw = purge(bureau(hub).office, bureau(hub).directory, bureau(hub).who("bram"), agreed(hub))
    key = bytes(hub.world.keystore.log_signing.verify_key)
    check_report(raw, key)
    for spoilt in (raw.replace(b'"after":0', b'"after":1', 1), raw[:-9], b"{}", b"[]"):
        with pytest.raises(Refused):
            check_report(spoilt, key)
    with pytest.raises(Refused):
        check_report(raw, secrets.token_bytes(32))


def test_in_small_steps_it_comes_to_the_same(hub: Acting, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leaving, "_AT_ONCE", 2)
    lived_in(hub)
    hub.publish(hub.bron, *(hub.flag(hub.somebody(), "schuldhulp") for _ in range(5)))
    purge(bureau(hub).office, bureau(hub).directory, bureau(hub).who("bram"), agreed(hub))
    assert not any(counts(bureau(hub).office, target(hub)).values())


def test_the_flags_of_a_node_that_was_shut_out_before_go_too(hub: Acting) -> None:
    lived_in(hub)
    anna = bureau(hub).who("anna")
    gone = change(hub, lambda roster, _: roster.remove_node(anna, "bron"))
    whose, directory = target(hub), bureau(hub).directory
    with bureau(hub).office.sitting() as sitting:
        next_one = following(directory, Changes().after(sitting.history))
        sitting.add(Act(t="directory-adopt", at=sitting.seconds, about=2, detail={"changes": [gone]}))
    assert next_one.node("bron") is None
    bureau(hub).directory = next_one
    purge(bureau(hub).office, next_one, anna, agreed(hub))
    assert not any(counts(bureau(hub).office, whose).values())
