"""Who saw what of whom, by organisation, employee or key; and exports that name nobody."""

import csv
import io
import json
import re
from collections.abc import Iterator
from datetime import timedelta

import pytest

from index import breach, exports
from index.breach import Report, Suspect, UnknownSuspect, letter
from index.protocol.codec import b64u
from index.protocol.entry import handle

from .acting import Acting
from .world import GEMEENTE, SCHULDHULP, VOCABULARY


@pytest.fixture
def hub(tmp_path_factory: pytest.TempPathFactory, database: dict[str, str]) -> Iterator[Acting]:
    with Acting(tmp_path_factory.mktemp("hub"), **database) as acting:
        yield acting


@pytest.fixture
def people(hub: Acting) -> list[str]:
    """Three persons; a colleague looked at the first, the suspect at all, at the first in two visits."""
    persons = [hub.somebody() for _ in range(3)]
    hub.publish(hub.bron, hub.flag(persons[0], "schuldhulp"))
    hub.allow_everything(persons[0])
    hub.sees(hub.run(hub.wijkteam.opens("m-colleague", [persons[0]])))
    for person in (*persons, persons[0]):
        hub.sees(hub.run(hub.wijkteam.opens("m-suspect", [person])))
    return persons


def found(hub: Acting, **who: str) -> Report:
    now = hub.world.clock()
    day = timedelta(days=1)
    return breach.report(hub.world.hub, now - day, now + day, Suspect(**who))


def test_an_employees_looks_are_listed_with_persons_told_apart_and_kinds(
    hub: Acting, people: list[str]
) -> None:
    report = found(hub, employee="m-suspect")
    looks = [line for line in report.lines if line.t == "lookup"]
    assert [line.person for line in looks] == [1, 2, 3, 1]
    assert [line.kinds for line in looks] == [["schuldhulp"], [], [], ["schuldhulp"]]
    assert report.persons == 3
    assert report.kinds == {"schuldhulp": 1}
    assert {line.employee for line in report.lines} == {"m-suspect"}


def test_an_organisations_report_has_all_its_employees_and_nothing_of_others(
    hub: Acting, people: list[str]
) -> None:
    report = found(hub, organisation=GEMEENTE)
    assert {line.employee for line in report.lines} == {"m-suspect", "m-colleague"}
    assert {line.organisation for line in report.lines} == {GEMEENTE}
    assert found(hub, organisation=SCHULDHULP).lines == []
    (part,) = report.nodes
    assert (part.node, part.lines, part.persons, part.with_kinds) == ("wijkteam", len(report.lines), 3, 1)


def test_a_nodes_key_gives_what_was_signed_with_it_and_a_scopes_key_what_was_seen_there(
    hub: Acting, people: list[str]
) -> None:
    public = b64u(bytes(hub.wijkteam.key.verify_key))
    signed = found(hub, key=public)
    assert len(signed.lines) == len(found(hub, organisation=GEMEENTE).lines)
    other = b64u(bytes(hub.portaal.key.verify_key))
    assert {line.node for line in found(hub, key=other).lines} == {"portaal"}
    assert all(line.kinds == ["schuldhulp"] for line in found(hub, key="geld.e1").lines)
    assert len(found(hub, key="geld.e1").lines) == 3
    assert found(hub, key="zorg.e1").lines == []
    with pytest.raises(UnknownSuspect):
        found(hub, key="nothing")


def test_what_lies_outside_the_period_is_not_in_it(hub: Acting, people: list[str]) -> None:
    now = hub.world.clock()
    later = breach.report(
        hub.world.hub, now + timedelta(hours=1), now + timedelta(days=9), Suspect(employee="m-suspect")
    )
    assert (later.lines, later.entries_read) == ([], 0)


def test_the_report_holds_no_pseudonym_and_the_node_finds_its_client_by_its_own_case(
    hub: Acting, people: list[str]
) -> None:
    report = found(hub, organisation=GEMEENTE)
    raw = str(report)
    year = hub.world.clock().year
    for person in people:
        for lid in hub.lids(person):
            assert b64u(lid) not in raw
            assert b64u(handle(year, lid)) not in raw
    visit = hub.run(hub.wijkteam.opens("m-x", [people[0]]))
    assert {line.case for line in report.lines if line.t == "lookup"} == {visit.case}


def test_lines_that_wait_for_their_notice_are_marked_in_report_and_letter(hub: Acting) -> None:
    person = hub.somebody()
    visit = hub.visit(person, role="vt_liaison", purpose="crisis")
    hub.run(hub.wijkteam.tries_to_look(visit))
    report = found(hub, employee="m-17")
    assert {line.notice for line in report.lines} == {"postponed"}
    told = letter(report, report.nodes[0], {})
    assert "2 regels mag de inwoner nu nog niet weten" in told


def test_a_letter_names_counts_and_the_term_and_nobody(hub: Acting, people: list[str]) -> None:
    report = found(hub, organisation=GEMEENTE)
    labels = {kind.code: kind.label for kind in VOCABULARY.kinds}
    told = letter(report, report.nodes[0], labels)
    assert "over 3 personen" in told
    assert "72 uur" in told
    assert f"- {labels['schuldhulp']}: 1 personen" in told
    assert not re.search(r"[A-Za-z0-9_-]{23,}", told)


# --- exports ---------------------------------------------------------------------------


def exported(hub: Acting, form: exports.Form) -> str:
    now, day = hub.world.clock(), timedelta(days=1)
    with hub.world.hub.reading() as connection:
        entries = list(hub.world.hub.log_reader.between(connection, now - day, now + day))
    return "".join(exports.written(form, entries, hub.world.hub.vocabulary))


def test_an_ldv_record_has_the_fields_of_the_standard_and_a_subject_of_this_export_only(
    hub: Acting, people: list[str]
) -> None:
    first = [json.loads(line) for line in exported(hub, "ldv").splitlines()]
    again = [json.loads(line) for line in exported(hub, "ldv").splitlines()]
    looks = [record for record in first if record["name"] == "lookup"]
    wanted = {"trace_id", "span_id", "status", "name", "start_time", "end_time", "resource", "attributes"}
    assert all(wanted == set(record) for record in first)
    assert all(re.fullmatch("[0-9a-f]{32}", r["trace_id"]) and len(r["span_id"]) == 16 for r in first)
    assert len({record["span_id"] for record in first}) == len(first)
    subjects = [record["attributes"]["dpl.core.data_subject_id"] for record in looks]
    # One person of two visits of one role is one label; another export has other labels.
    assert subjects[0] == subjects[1] == subjects[4]
    assert len(set(subjects)) == 3
    others = {r["attributes"].get("dpl.core.data_subject_id") for r in again} - {None}
    assert not others & set(subjects)


def test_a_refusal_is_unset_and_no_error(hub: Acting) -> None:
    visit = hub.visit(hub.somebody())
    hub.run(hub.wijkteam.closes(visit))
    hub.sees(visit)
    states = {
        r["status"] for r in map(json.loads, exported(hub, "ldv").splitlines()) if r["name"] == "lookup"
    }
    assert states == {"Unset"}


def test_small_counts_are_hidden_and_large_ones_are_not(hub: Acting, people: list[str]) -> None:
    few = list(csv.DictReader(io.StringIO(exported(hub, "counts"))))
    assert {row["aantal"] for row in few} == {"<10"}
    visit = hub.visit(people[1])
    for _ in range(10):
        hub.sees(visit)
    many = list(csv.DictReader(io.StringIO(exported(hub, "counts"))))
    looks = [row["aantal"] for row in many if row["uitkomst"] == "niets"]
    assert looks == ["10"]


def test_a_nen_7513_row_tells_who_what_why_and_no_citizen(hub: Acting, people: list[str]) -> None:
    raw = exported(hub, "nen7513")
    rows = [row for row in csv.DictReader(io.StringIO(raw)) if row["event_type"] == "E-raadplegen"]
    assert {(row["gebruiker"], row["rol"], row["doel"]) for row in rows} == {
        ("m-suspect", "generalist", "huisbezoek"),
        ("m-colleague", "generalist", "huisbezoek"),
    }
    assert rows[0]["objecten"] == "schuldhulp"
    year = hub.world.clock().year
    assert not any(b64u(handle(year, lid)) in raw for person in people for lid in hub.lids(person))


def test_a_cell_that_a_spreadsheet_would_run_is_made_text() -> None:
    assert exports._row(("=1+1", "a,b")) == '\'=1+1,"a,b"\r\n'
