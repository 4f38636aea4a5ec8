"""At the table: a code opens one person's own visit once; a desk narrows, or enters a form that lapses."""

import secrets
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from index.assisted import CODE_LIFE
from index.protocol.codec import b64u
from index.protocol.entry import parse_asker
from index.protocol.messages import (
    AssistedAnswer,
    ChoiceAnswer,
    CodeAnswer,
    CodeStateAnswer,
    OwnChoicesAnswer,
    OwnCodeAnswer,
    OwnDirective,
    OwnLogAnswer,
)
from index.store import tables as t
from tests.hub.acting import Acting, decoded, problem
from tests.hub.rights import answer, asked, own
from tests.hub.test_choices import choose, entry
from tests.hub.world import GEMEENTE, SCHULDHULP, Sent, Visit

REFUSED = (400, "rejected", ["code-refused"])
OWN = ["hulp", "huisbezoek"]


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, module_database: dict[str, str]) -> Iterator[Acting]:
    with Acting(tmp_path_factory.mktemp("hub"), **module_database) as acting:
        yield acting


@pytest.fixture
def alone(tmp_path: Path, database: dict[str, str]) -> Iterator[Acting]:
    """A hub of its own, for who moves its clock."""
    with Acting(tmp_path, **database) as acting:
        yield acting


def give(hub: Acting, visit: Visit, code: bytes, portal: str = "portaal", **statement: str) -> Sent:
    body = {"ticket": visit.tickets[0], "code": b64u(code), "portal": portal}
    said = {**visit.statement(), **statement}
    return hub.run(hub.wijkteam.send("/v1/codes", body, "relation", **said))


def given(hub: Acting, visit: Visit, **more: str) -> bytes:
    code = secrets.token_bytes(16)
    sent = give(hub, visit, code, **more)
    hub.world.check(decoded(sent, CodeAnswer).log[0], sent, visit.lids[0])
    return code


def type_in(hub: Acting, session: Visit, code: bytes, *, done: bool = False) -> Sent:
    body = {"ticket": session.tickets[0], "code": b64u(code), "done": done}
    return hub.run(hub.portaal.send("/v1/citizen/code", body, "relation", role="burger"))


def is_done(hub: Acting, visit: Visit) -> bool:
    sent = hub.run(
        hub.wijkteam.send("/v1/codes/state", {"ticket": visit.tickets[0]}, "relation", **visit.statement())
    )
    answer = decoded(sent, CodeStateAnswer)
    hub.world.check(answer.log[0], sent, visit.lids[0])
    return answer.done


def assist(hub: Acting, visit: Visit, *entries: dict[str, Any], form: str = "", **changes: Any) -> Sent:
    body = {
        "ticket": visit.tickets[0],
        "group": b64u(secrets.token_bytes(16)),
        "text": b64u(bytes(range(32))),
        "entries": list(entries),
        "regime": "zelf",
        "form": form,
        **changes,
    }
    return hub.run(hub.wijkteam.send("/v1/choices/assisted", body, "choice", **visit.statement()))


def yes(kind: str = "schuldhulp", scope: str = "geld", **changes: Any) -> dict[str, Any]:
    """What a form may say: one subject, the own team, the visit's purpose."""
    return {
        "scope": scope,
        "effect": "grant",
        "category": [scope, kind],
        "receiver": [GEMEENTE, "noord"],
        "purpose": OWN,
        **changes,
    }


def by_code(**changes: Any) -> dict[str, Any]:
    return entry(category=["geld", "schuldhulp"], purpose=OWN, **changes)


def known(hub: Acting, kind: str = "schuldhulp") -> str:
    person = hub.somebody()
    hub.publish(hub.bron if kind == "schuldhulp" else hub.inkomen, hub.flag(person, kind))
    return person


def ledger(hub: Acting, person: str) -> list[OwnDirective]:
    return hub.own(hub.login(person), "choices", OwnChoicesAnswer).directives


# --- a code for the own phone -----------------------------------------------------------


def test_a_code_opens_the_visit_of_its_own_person_and_says_whose_it_is(hub: Acting) -> None:
    person = hub.somebody()
    visit = hub.visit(person)
    code, session = given(hub, visit), hub.login(person)

    sent = type_in(hub, session, code)

    answer = decoded(sent, OwnCodeAnswer)
    hub.world.check(answer.log[0], sent, session.lids[0])
    assert (answer.organisation, answer.team, answer.role, answer.purpose) == (
        GEMEENTE,
        "noord",
        "generalist",
        "huisbezoek",
    )
    assert tuple(answer.scopes) == visit.scopes


def test_a_yes_by_code_is_seen_at_once_and_only_by_that_visits_team_and_purpose(hub: Acting) -> None:
    person = known(hub)
    visit = hub.visit(person)
    code, session = given(hub, visit), hub.login(person)
    decoded(type_in(hub, session, code), OwnCodeAnswer)

    decoded(choose(hub, session, by_code(), code=b64u(code)), ChoiceAnswer)

    assert hub.sees(visit) == [{"schuldhulp"}]
    assert hub.sees(hub.visit(person, team="zuid")) == [set()]
    assert hub.sees(hub.visit(person, purpose="keukentafelgesprek")) == [set()]
    (own,) = ledger(hub, person)
    assert (own.channel, own.in_force) == ("code", True)


def test_a_yes_by_code_lasts_a_month_after_the_visit_and_not_longer(alone: Acting) -> None:
    hub, later = alone, alone.world.clock.shift
    person = known(hub)
    visit = hub.visit(person)
    code, session = given(hub, visit), hub.login(person)
    decoded(type_in(hub, session, code), OwnCodeAnswer)
    decoded(choose(hub, session, by_code(), code=b64u(code)), ChoiceAnswer)
    hub.run(hub.wijkteam.closes(visit))

    later(days=27)
    assert hub.sees(hub.visit(person)) == [{"schuldhulp"}]
    assert [own.in_force for own in ledger(hub, person)] == [True]
    later(days=5)
    assert hub.sees(hub.visit(person)) == [set()]
    assert [own.in_force for own in ledger(hub, person)] == [False]


def test_a_visit_that_is_prolonged_prolongs_what_its_code_gave(alone: Acting) -> None:
    hub, later = alone, alone.world.clock.shift
    person = known(hub)
    visit = hub.visit(person)
    code, session = given(hub, visit), hub.login(person)
    decoded(type_in(hub, session, code), OwnCodeAnswer)
    decoded(choose(hub, session, by_code(), code=b64u(code)), ChoiceAnswer)
    assert hub.run(hub.wijkteam.renews(visit, timedelta(days=60))).response.status_code == 200

    later(days=50)
    hub.publish(hub.bron, hub.flag(person, "schuldhulp"))  # the first one's source fell silent

    assert hub.sees(hub.visit(person)) == [{"schuldhulp"}]


def test_a_code_is_used_once_and_every_failure_reads_alike(alone: Acting) -> None:
    hub, later = alone, alone.world.clock.shift
    person, other = hub.somebody(), hub.somebody()
    visit, session = hub.visit(person), hub.login(person)
    used = given(hub, visit)
    decoded(type_in(hub, session, used), OwnCodeAnswer)
    found = {"used": type_in(hub, session, used), "in another session": type_in(hub, hub.login(person), used)}
    replaced = given(hub, visit)
    fresh = given(hub, visit)
    found["replaced"] = type_in(hub, session, replaced)
    # The employee who scans the code and logs in, or anybody else at the table.
    found["of another person"] = type_in(hub, hub.login(other), fresh)
    found["unknown"] = type_in(hub, session, secrets.token_bytes(16))
    found["malformed"] = type_in(hub, session, b"")
    later(seconds=CODE_LIFE.total_seconds() + 1)
    found["over"] = type_in(hub, session, fresh)
    hub.run(hub.wijkteam.closes(visit))
    found["of a closed visit"] = type_in(hub, session, fresh)

    assert {name: problem(sent.response) for name, sent in found.items()} == dict.fromkeys(found, REFUSED)
    assert len({sent.response.content for sent in found.values()}) == 1


def test_a_code_is_for_the_portal_that_the_desk_named(hub: Acting) -> None:
    person = hub.somebody()
    visit, session = hub.visit(person), hub.login(person)
    for portal in ("wijkteam-twee", "nergens"):
        sent = give(hub, visit, secrets.token_bytes(16), portal)
        assert problem(sent.response) == (400, "rejected", ["unknown-portal"])
    assert problem(type_in(hub, session, given(hub, visit, portal="portaal-twee")).response) == REFUSED


def test_a_choice_by_code_stays_with_the_visits_team_scopes_and_purpose(hub: Acting) -> None:
    person = hub.somebody()
    visit, session = hub.visit(person), hub.login(person)
    code = given(hub, visit)
    assert problem(choose(hub, session, by_code(), code=b64u(code)).response) == REFUSED  # not opened yet
    decoded(type_in(hub, session, code), OwnCodeAnswer)
    wrong = {
        "code-other-team": [
            by_code(receiver=[GEMEENTE, "zuid"]),
            by_code(receiver=[GEMEENTE]),
            by_code(receiver=[]),
            by_code(effect="slot"),
        ],
        "code-other-purpose": [entry(), entry(purpose=["hulp", "casusoverleg"]), entry(purpose=[])],
        "code-other-scope": [entry("veiligheid", purpose=OWN)],
    }

    for rule, entries in wrong.items():
        for one in entries:
            sent = choose(hub, session, one, code=b64u(code))
            assert problem(sent.response) == (400, "rejected", [rule]), one
    assert ledger(hub, person) == []


def test_the_desk_sees_done_and_nothing_else_also_when_nothing_was_chosen(hub: Acting) -> None:
    person = hub.somebody()
    visit, session = hub.visit(person), hub.login(person)
    assert not is_done(hub, visit)
    code = given(hub, visit)
    decoded(type_in(hub, session, code), OwnCodeAnswer)
    assert not is_done(hub, visit)

    decoded(type_in(hub, session, code, done=True), OwnCodeAnswer)

    assert is_done(hub, visit)
    assert problem(choose(hub, session, by_code(), code=b64u(code)).response) == REFUSED
    given(hub, visit)
    assert not is_done(hub, visit)


def test_only_the_session_that_opened_a_code_can_be_done_with_it(hub: Acting) -> None:
    person = hub.somebody()
    visit, session = hub.visit(person), hub.login(person)
    code = given(hub, visit)
    assert problem(type_in(hub, session, code, done=True).response) == REFUSED
    assert not is_done(hub, visit)


def test_a_ticket_of_another_team_gives_no_code_and_enters_nothing(hub: Acting) -> None:
    person = hub.somebody()
    visit = hub.visit(person)
    for statement in ({"team": "zuid"}, {"purpose": "keukentafelgesprek"}, {"role": "generalist_wmo"}):
        sent = give(hub, visit, secrets.token_bytes(16), **statement)
        assert problem(sent.response) == (403, "ticket-refused", [])
    hub.run(hub.wijkteam.closes(visit))
    assert problem(give(hub, visit, secrets.token_bytes(16)).response) == (403, "ticket-refused", [])
    assert problem(assist(hub, visit, entry(effect="deny")).response) == (403, "ticket-refused", [])
    assert ledger(hub, person) == []


# --- what an employee enters ------------------------------------------------------------


def test_a_no_entered_at_the_desk_holds_at_once_and_stays(alone: Acting) -> None:
    hub, later = alone, alone.world.clock.shift
    person = known(hub)
    hub.allow_everything(person)
    visit = hub.visit(person)
    assert hub.sees(visit) == [{"schuldhulp"}]

    sent = assist(hub, visit, {"scope": "geld", "effect": "deny", "receiver": [GEMEENTE, "noord"]})

    hub.world.check(decoded(sent, AssistedAnswer).log[0], sent, [visit.lids[0][visit.scopes.index("geld")]])
    assert hub.sees(visit) == [set()]
    later(days=400)
    no = next(own for own in ledger(hub, person) if own.effect == "deny")
    assert (no.channel, no.in_force, no.until) == ("balie", True, None)
    assert no.entered == [3, 1, 1]


def test_a_no_for_everybody_to_what_a_task_shows_is_an_objection_too_and_its_source_is_asked(
    hub: Acting,
) -> None:
    person = known(hub)
    by_task = hub.visit(person, role="schuldhulpverlener", purpose="schuldregeling")
    assert hub.sees(by_task) == [{"schuldhulp"}]

    no = {"scope": "geld", "effect": "deny", "category": ["geld", "schuldhulp"]}
    decoded(assist(hub, hub.visit(person), no), AssistedAnswer)

    assert hub.sees(by_task) == [set()]
    (claim,) = own(hub, hub.login(person))
    assert (claim.right, claim.kind) == ("objection", "schuldhulp")
    (question,) = asked(hub, hub.bron)
    assert answer(hub, hub.bron, question.token, "rejected") == "stored"
    assert hub.sees(by_task) == [{"schuldhulp"}]


def test_nothing_at_rest_joins_what_a_source_is_asked_with_the_ledger(hub: Acting) -> None:
    person = known(hub)
    no = {"scope": "geld", "effect": "deny", "category": ["geld", "schuldhulp"]}
    decoded(assist(hub, hub.visit(person), no), AssistedAnswer)

    with hub.world.hub.reading() as connection:
        escrows = {
            name: {bytes(row[0]) for row in connection.execute(select(getattr(t, name).c.escrow))}
            for name in ("claim", "directive", "choice_state", "relation")
        }
    assert escrows["claim"]
    assert not escrows["claim"] & (escrows["directive"] | escrows["choice_state"] | escrows["relation"])


def test_a_no_at_the_desk_also_ends_a_narrower_yes_inside_it(hub: Acting) -> None:
    person = known(hub)
    decoded(choose(hub, hub.login(person), yes()), ChoiceAnswer)
    visit = hub.visit(person)
    assert hub.sees(visit) == [{"schuldhulp"}]

    decoded(
        assist(
            hub,
            visit,
            {
                "scope": "geld",
                "effect": "deny",
                "category": ["geld", "schuldhulp"],
                "receiver": [GEMEENTE, "noord"],
            },
        ),
        AssistedAnswer,
    )

    assert hub.sees(visit) == [set()]


def test_the_first_entry_of_a_person_who_never_chose_can_be_made_at_the_desk(hub: Acting) -> None:
    person = known(hub)
    decoded(assist(hub, hub.visit(person), {"scope": "geld", "effect": "slot"}), AssistedAnswer)
    decoded(choose(hub, hub.login(person), yes()), ChoiceAnswer)
    assert hub.sees(hub.visit(person)) == [set()]


def test_a_form_opens_for_72_hours_and_then_nothing(alone: Acting) -> None:
    hub, later = alone, alone.world.clock.shift
    person = known(hub)
    visit = hub.visit(person)

    sent = assist(hub, visit, yes(), form="F-2026-17")

    decoded(sent, AssistedAnswer)
    assert hub.sees(visit) == [{"schuldhulp"}]
    assert hub.sees(hub.visit(person, team="zuid")) == [set()]
    (own,) = ledger(hub, person)
    assert (own.channel, own.proven, own.entered) == ("formulier", True, [3, 1, 1])
    later(hours=71)
    assert hub.sees(visit) == [{"schuldhulp"}]
    later(hours=2)
    assert hub.sees(visit) == [set()]
    assert [one.in_force for one in ledger(hub, person)] == [False]


@pytest.mark.parametrize(
    ("rule", "wrong", "form"),
    [
        ("no-form", yes(), ""),
        ("form-without-yes", yes(effect="deny"), "F-1"),
        ("form-art9", yes("wmo_voorziening", "zorg"), "F-1"),
        ("form-one-subject", yes(category=["geld"]), "F-1"),
        ("form-one-subject", yes(category=[]), "F-1"),
        ("form-other-team", yes(receiver=[GEMEENTE, "zuid"]), "F-1"),
        ("form-other-team", yes(receiver=[GEMEENTE]), "F-1"),
        ("form-other-team", yes(receiver=[]), "F-1"),
        ("form-other-team", yes(receiver=[SCHULDHULP]), "F-1"),
        ("form-other-purpose", yes(purpose=["hulp"]), "F-1"),
        ("form-other-purpose", yes(purpose=["hulp", "casusoverleg"]), "F-1"),
        ("no-consent-for-kind", yes("vroegsignaal"), "F-1"),
        ("desk-narrows-only", {"scope": "geld", "effect": "withdraw", "withdraws": b64u(bytes(16))}, ""),
        ("desk-narrows-only", {"scope": "geld", "effect": "regime"}, ""),
        ("until-set", yes(until="2030-01-01T00:00:00Z"), "F-1"),
        ("scope-not-in-visit", {"scope": "veiligheid", "effect": "deny"}, ""),
    ],
)
def test_a_desk_may_only_narrow_or_enter_a_form_of_its_own(
    hub: Acting, rule: str, wrong: dict[str, Any], form: str
) -> None:
    person = known(hub)
    visit = hub.visit(person)

    sent = assist(hub, visit, wrong, form=form)

    assert problem(sent.response) == (400, "rejected", [rule])
    assert ledger(hub, person) == []
    assert hub.sees(visit) == [set()]


def test_one_wrong_entry_refuses_all_of_them(hub: Acting) -> None:
    person = hub.somebody()
    sent = assist(hub, hub.visit(person), yes(), yes("wmo_voorziening", "zorg"), form="F-1")
    assert problem(sent.response) == (400, "rejected", ["form-art9"])
    assert ledger(hub, person) == []


def test_a_second_form_within_30_days_needs_the_citizens_own_act(alone: Acting) -> None:
    hub, later = alone, alone.world.clock.shift
    person = known(hub)
    visit = hub.visit(person, until=timedelta(days=60))
    again = (400, "rejected", ["form-again"])
    decoded(assist(hub, visit, yes(), form="F-1"), AssistedAnswer)
    assert problem(assist(hub, visit, yes(), form="F-2").response) == again
    decoded(assist(hub, visit, yes("bijstand"), form="F-3"), AssistedAnswer)  # another scope
    later(days=10)
    assert problem(assist(hub, visit, yes(), form="F-4").response) == again
    later(days=21)
    decoded(assist(hub, visit, yes(), form="F-5"), AssistedAnswer)


def test_a_form_that_was_taken_back_counts_and_one_that_was_confirmed_does_not(hub: Acting) -> None:
    person = known(hub)
    visit, session = hub.visit(person), hub.login(person)
    group = b64u(secrets.token_bytes(16))
    decoded(assist(hub, visit, yes(), form="F-1", group=group), AssistedAnswer)
    decoded(choose(hub, session, entry(effect="withdraw", withdraws=group)), ChoiceAnswer)
    assert hub.sees(visit) == [set()]
    assert problem(assist(hub, visit, yes(), form="F-2").response) == (400, "rejected", ["form-again"])

    decoded(choose(hub, session, yes()), ChoiceAnswer)

    decoded(assist(hub, visit, yes(), form="F-3"), AssistedAnswer)


def test_what_the_desk_is_told_depends_on_no_choice_of_the_citizen(hub: Acting) -> None:
    told = set()
    for earlier in ([], [yes()], [entry(effect="deny")], [{"scope": "geld", "effect": "slot"}]):
        person = known(hub)
        if earlier:
            decoded(choose(hub, hub.login(person), *earlier), ChoiceAnswer)
        visit = hub.visit(person)
        for form, one in (("F-1", yes()), ("", {"scope": "geld", "effect": "slot"})):
            sent = assist(hub, visit, one, form=form)
            told.add((form, sent.response.status_code, frozenset(sent.response.json())))
    assert told == {("F-1", 200, frozenset({"log"})), ("", 200, frozenset({"log"}))}


def test_every_attempt_of_a_desk_stands_in_the_citizens_own_log(hub: Acting) -> None:
    person = hub.somebody()
    visit = hub.visit(person)
    given(hub, visit)
    assist(hub, visit, yes("wmo_voorziening", "zorg"), form="F-1")
    assist(hub, visit, {"scope": "geld", "effect": "deny"})

    lines = hub.own(hub.login(person), "log", OwnLogAnswer).lines

    askers = [parse_asker(line.asker.encode()) for line in lines]
    seen = {(one.t, one.role, one.team, one.refused) for one in askers}
    assert {
        ("relation", "generalist", "noord", ""),
        ("choice", "generalist", "noord", "form-art9"),
        ("choice", "generalist", "noord", ""),
    } <= seen


def test_the_same_message_again_gets_the_same_answer_and_writes_nothing(hub: Acting) -> None:
    person = hub.somebody()
    visit = hub.visit(person)
    sent = assist(hub, visit, yes(), form="F-1")
    msg = sent.signed.statement.msg
    again = hub.run(
        hub.wijkteam.send("/v1/choices/assisted", sent.body, "choice", msg=msg, **visit.statement())
    )
    assert again.response.content == sent.response.content
    assert len(ledger(hub, person)) == 1
