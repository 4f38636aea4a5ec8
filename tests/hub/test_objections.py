"""Rights of the citizen through real lookups: what they hide, for how long, and who answers."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from consent import claims
from consent.receipt import verify
from index.protocol.codec import b64u
from index.protocol.messages import ObjectionAnswer, OwnLogAnswer, ReplyAnswer
from policy.clock import add_working_days, month_later
from tests.hub.acting import Acting, decoded, problem
from tests.hub.rights import answer, asked, disputed, end, ending, item, own, try_answer, try_right, use
from tests.hub.test_choices import choose, entry
from tests.hub.world import GEMEENTE, HUB_ID, VOCABULARY, Visit

BRON, INKOMEN = 1, 2
"""Numbers of the nodes in the directory of the test world."""
TASK = {"role": "schuldhulpverlener", "purpose": "schuldregeling"}
"""Who sees schuldhulp and bijstand by task."""


@pytest.fixture
def hub(tmp_path_factory: pytest.TempPathFactory, database: dict[str, str]) -> Iterator[Acting]:
    with Acting(tmp_path_factory.mktemp("hub"), **database) as acting:
        yield acting


def at(hub: Acting, moment: datetime) -> None:
    """Set the hub's clock."""
    hub.world.clock.offset = moment - datetime.now(UTC)


def task_visit(hub: Acting, person: str) -> Visit:
    return hub.visit(person, **TASK)


# --- row 10: objection --------------------------------------------------------------------


def test_an_objection_hides_at_once_what_a_task_shows_and_its_rejection_shows_it_again(hub: Acting) -> None:
    person = hub.somebody()
    hub.publish(hub.bron, hub.flag(person, "schuldhulp"))
    visit = task_visit(hub, person)
    assert hub.sees(visit) == [{"schuldhulp"}]

    use(hub, hub.login(person), "objection", "schuldhulp", BRON)

    assert hub.sees(visit) == [set()]
    (question,) = asked(hub, hub.bron)
    assert (question.kind, question.right) == ("schuldhulp", "objection")
    assert answer(hub, hub.bron, question.token, "rejected") == "stored"
    assert hub.sees(visit) == [{"schuldhulp"}]
    assert asked(hub, hub.bron) == []


def test_an_objection_that_is_upheld_stays_and_consent_still_opens(hub: Acting) -> None:
    person = hub.somebody()
    hub.publish(hub.bron, hub.flag(person, "schuldhulp"))
    session = hub.login(person)
    use(hub, session, "objection", "schuldhulp")
    (question,) = asked(hub, hub.bron)

    assert answer(hub, hub.bron, question.token, "upheld") == "stored"

    assert hub.sees(task_visit(hub, person)) == [set()]
    decoded(choose(hub, session, entry()), ObjectionAnswer)
    assert hub.sees(hub.visit(person)) == [{"schuldhulp"}]  # row 11


def test_an_objection_to_one_publisher_leaves_the_flags_of_another(hub: Acting) -> None:
    person = hub.somebody()
    hub.publish(hub.inkomen, hub.flag(person, "bijstand"))
    other = hub.world.nodes["wijkteam"]
    use(hub, hub.login(person), "objection", "bijstand", INKOMEN)
    assert hub.sees(task_visit(hub, person)) == [set()]
    assert asked(hub, hub.inkomen)
    assert (
        problem(hub.run(other.send("/v1/objections/open", {}, "objection", role="bron")).response)[0] == 403
    )


def test_a_no_to_what_a_role_sees_by_task_is_an_objection_as_well(hub: Acting) -> None:
    person = hub.somebody()
    hub.publish(hub.bron, hub.flag(person, "schuldhulp"))
    session, visit = hub.login(person), task_visit(hub, person)
    no = entry(effect="deny", category=["geld", "schuldhulp"], receiver=[], purpose=[])

    sent = choose(hub, session, no, group="A" * 21 + "A")

    receipt = verify(
        decoded(sent, ObjectionAnswer).receipt,
        keys={HUB_ID: bytes(hub.world.keystore.consent_signing.verify_key)},
        issuer=HUB_ID,
    )
    assert [(term.effect, term.lawful_basis) for term in receipt.entries] == [
        ("deny", "toestemming"),
        ("objection", "avg-art-21"),
    ]
    assert hub.sees(visit) == [set()]
    assert [claim.right for claim in own(hub, session)] == ["objection"]
    assert len(asked(hub, hub.bron)) == 1

    decoded(
        choose(hub, session, {"scope": "geld", "effect": "withdraw", "withdraws": "A" * 22}), ObjectionAnswer
    )

    assert hub.sees(visit) == [{"schuldhulp"}]
    assert (own(hub, session), asked(hub, hub.bron)) == ([], [])


def test_a_no_to_a_team_is_no_objection(hub: Acting) -> None:
    person = hub.somebody()
    hub.publish(hub.bron, hub.flag(person, "schuldhulp"))
    session = hub.login(person)

    choose(hub, session, entry(effect="deny", category=["geld", "schuldhulp"], receiver=[GEMEENTE, "noord"]))

    assert own(hub, session) == []
    assert hub.sees(task_visit(hub, person)) == [{"schuldhulp"}]


def test_two_more_months_are_taken_once_and_with_notice(hub: Acting) -> None:
    person = hub.somebody()
    hub.publish(hub.bron, hub.flag(person, "schuldhulp"))
    session = hub.login(person)
    use(hub, session, "objection", "schuldhulp")
    opened = datetime.fromisoformat(own(hub, session)[0].opened)
    assert datetime.fromisoformat(own(hub, session)[0].due or "") == month_later(opened, 1)
    (question,) = asked(hub, hub.bron)

    assert answer(hub, hub.bron, question.token, "extended") == "stored"
    assert answer(hub, hub.bron, question.token, "extended") == "extended-before"

    (claim,) = [one for one in own(hub, session) if one.publisher == BRON]
    assert claim.extended
    assert datetime.fromisoformat(claim.due or "") == month_later(opened, 3)
    assert asked(hub, hub.bron)[0].extended
    assert hub.sees(task_visit(hub, person)) == [set()]


def test_an_objection_that_nobody_answers_goes_on_to_hide(hub: Acting) -> None:
    person = hub.somebody()
    flag = hub.flag(person, "schuldhulp")
    hub.publish(hub.bron, flag)
    use(hub, hub.login(person), "objection", "schuldhulp")
    hub.world.clock.shift(days=34)
    assert hub.sees(task_visit(hub, person)) == [set()]


def test_a_rejected_objection_is_not_made_again_within_a_year_and_not_taken_back(hub: Acting) -> None:
    person = hub.somebody()
    hub.publish(hub.bron, hub.flag(person, "schuldhulp"))
    session = hub.login(person)
    group = use(hub, session, "objection", "schuldhulp", BRON)
    answer(hub, hub.bron, asked(hub, hub.bron)[0].token, "rejected")

    again = try_right(hub, session, item("objection", "schuldhulp", BRON))
    anybody = try_right(hub, session, item("objection", "schuldhulp"))
    back = try_right(hub, session, ending("objection", "schuldhulp", group))

    codes = [problem(sent.response)[2] for sent in (again, anybody, back)]
    assert codes == [["rejected-before"], ["rejected-before"], ["not-yours"]]
    assert hub.sees(task_visit(hub, person)) == [{"schuldhulp"}]


# --- row 2: restriction --------------------------------------------------------------------


def test_a_restriction_hides_at_once_asks_nobody_and_ends_when_the_citizen_ends_it(hub: Acting) -> None:
    person = hub.somebody()
    hub.publish(hub.bron, hub.flag(person, "schuldhulp"))
    hub.publish(hub.inkomen, hub.flag(person, "bijstand"))
    session, visit = hub.login(person), task_visit(hub, person)

    group = use(hub, session, "restriction", "schuldhulp", BRON)

    assert hub.sees(visit) == [{"bijstand"}]
    assert asked(hub, hub.bron) == []
    end(hub, session, "restriction", "schuldhulp", group)
    assert hub.sees(visit) == [{"schuldhulp", "bijstand"}]


def test_a_kind_of_child_safety_is_restricted_only_after_its_publisher_decided(hub: Acting) -> None:
    person = hub.somebody()
    hub.publish(hub.inkomen, hub.flag(person, "jeugdbescherming"))
    visit = hub.visit(person, role="jeugdprofessional", purpose="toeleiding_jeugd")
    session = hub.login(person)
    assert hub.sees(visit) == [{"jeugdbescherming"}]

    use(hub, session, "restriction", "jeugdbescherming")

    assert hub.sees(visit) == [{"jeugdbescherming"}]
    (question,) = asked(hub, hub.inkomen)
    assert answer(hub, hub.inkomen, question.token, "upheld") == "stored"
    assert hub.sees(visit) == [set()]
    (first, *_) = own(hub, session)
    assert (first.answer, first.due) == ("", None)  # an answer would tell that there is a flag


def test_a_pending_objection_hides_no_kind_of_child_safety_and_an_upheld_one_does(hub: Acting) -> None:
    person = hub.somebody()
    hub.publish(hub.inkomen, hub.flag(person, "jeugdbescherming"))
    visit = hub.visit(person, role="jeugdprofessional", purpose="toeleiding_jeugd")
    use(hub, hub.login(person), "objection", "jeugdbescherming")
    assert hub.sees(visit) == [{"jeugdbescherming"}]

    answer(hub, hub.inkomen, asked(hub, hub.inkomen)[0].token, "upheld")

    assert hub.sees(visit) == [set()]


# --- row 1: dispute ------------------------------------------------------------------------


def test_a_disputed_flag_is_marked_and_suspended_from_the_eleventh_working_day(hub: Acting) -> None:
    person = hub.somebody()
    hub.publish(hub.bron, hub.flag(person, "schuldhulp"))
    session, visit = hub.login(person), task_visit(hub, person)
    use(hub, session, "dispute", "schuldhulp", BRON)
    opened = datetime.fromisoformat(own(hub, session)[0].opened)
    end_of_term = add_working_days(opened, 10)
    (question,) = asked(hub, hub.bron)
    assert disputed(hub, visit) == {"schuldhulp": True}
    # Longer than a visit may last, where holidays are many.
    at(hub, end_of_term - timedelta(seconds=30))
    assert disputed(hub, task_visit(hub, person)) == {"schuldhulp": True}

    at(hub, end_of_term + timedelta(seconds=1))

    assert disputed(hub, task_visit(hub, person)) == {}
    assert [claim.suspended for claim in own(hub, hub.login(person))] == [True]
    assert answer(hub, hub.bron, question.token, "confirmed") == "stored"
    assert disputed(hub, task_visit(hub, person)) == {"schuldhulp": False}
    assert [claim.answer for claim in own(hub, hub.login(person))] == ["confirmed"]


def test_a_dispute_about_child_safety_has_a_second_term(hub: Acting) -> None:
    person = hub.somebody()
    hub.publish(hub.inkomen, hub.flag(person, "jeugdbescherming"))
    session = hub.login(person)
    use(hub, session, "dispute", "jeugdbescherming")
    opened = datetime.fromisoformat(own(hub, session)[0].opened)
    role = {"role": "jeugdprofessional", "purpose": "toeleiding_jeugd"}

    at(hub, add_working_days(opened, 10) + timedelta(seconds=1))
    assert disputed(hub, hub.visit(person, **role)) == {"jeugdbescherming": True}
    at(hub, add_working_days(opened, 15) + timedelta(seconds=1))
    assert disputed(hub, hub.visit(person, **role)) == {}


def test_an_answer_for_one_publisher_leaves_a_dispute_about_any_open_for_others(hub: Acting) -> None:
    person = hub.somebody()
    session = hub.login(person)
    use(hub, session, "dispute", "schuldhulp")
    hub.publish(hub.bron, hub.flag(person, "schuldhulp"))

    (question,) = asked(hub, hub.bron)
    answer(hub, hub.bron, question.token, "confirmed")

    assert [(claim.publisher, claim.answer) for claim in own(hub, session)] == [(0, ""), (BRON, "confirmed")]
    assert disputed(hub, task_visit(hub, person)) == {"schuldhulp": False}


def test_retracted_is_an_answer_only_when_the_flag_is_gone(hub: Acting) -> None:
    person = hub.somebody()
    flag = hub.flag(person, "schuldhulp")
    hub.publish(hub.bron, flag)
    session = hub.login(person)
    use(hub, session, "dispute", "schuldhulp", BRON)
    (question,) = asked(hub, hub.bron)

    assert answer(hub, hub.bron, question.token, "retracted") == "flag-still-there"
    hub.retract(hub.bron, flag.secret)
    assert answer(hub, hub.bron, question.token, "retracted") == "stored"

    assert [claim.answer for claim in own(hub, session)] == ["retracted"]
    hub.publish(hub.bron, hub.flag(person, "schuldhulp"))
    assert disputed(hub, task_visit(hub, person)) == {"schuldhulp": False}


def test_a_disputed_flag_that_its_publisher_took_back_is_answered_by_that(hub: Acting) -> None:
    person = hub.somebody()
    flag = hub.flag(person, "schuldhulp")
    hub.publish(hub.bron, flag)
    session = hub.login(person)
    use(hub, session, "dispute", "schuldhulp", BRON)
    assert len(asked(hub, hub.bron)) == 1

    hub.retract(hub.bron, flag.secret)

    assert asked(hub, hub.bron) == []
    assert [claim.answer for claim in own(hub, session)] == ["retracted"]
    assert hub.count("claim") == 0


# --- who learns what -----------------------------------------------------------------------


def test_a_right_about_no_flag_is_kept_and_nobody_is_asked_until_there_is_one(hub: Acting) -> None:
    person = hub.somebody()
    session = hub.login(person)
    use(hub, session, "dispute", "schuldhulp", BRON)
    assert asked(hub, hub.bron) == asked(hub, hub.inkomen) == []

    flag = hub.flag(person, "schuldhulp")
    hub.publish(hub.bron, flag)

    assert [question.rtags for question in asked(hub, hub.bron)] == [[b64u(flag.rtag)]]
    assert asked(hub, hub.inkomen) == []


def test_only_who_was_asked_answers_and_only_once(hub: Acting) -> None:
    person = hub.somebody()
    hub.publish(hub.bron, hub.flag(person, "schuldhulp"))
    use(hub, hub.login(person), "dispute", "schuldhulp")
    (question,) = asked(hub, hub.bron)

    stolen = try_answer(hub, hub.inkomen, (question.token, "confirmed"))
    bent = try_answer(hub, hub.bron, (question.token[:-6] + "AAAAAA", "confirmed"))
    twice = try_answer(hub, hub.bron, (question.token, "confirmed"), (question.token, "corrected"))

    assert [problem(sent.response)[1] for sent in (stolen, bent)] == ["ticket-refused"] * 2
    assert problem(twice.response)[2] == ["token-twice"]
    assert answer(hub, hub.bron, question.token, "upheld") == "answer-does-not-fit"
    assert answer(hub, hub.bron, question.token, "confirmed") == "stored"
    assert answer(hub, hub.bron, question.token, "corrected") == "nothing-asked"


def test_the_same_answer_sent_again_gives_the_same_receipt(hub: Acting) -> None:
    person, msg = hub.somebody(), "0190a1b2-0000-7000-8000-00000000000a"
    hub.publish(hub.bron, hub.flag(person, "schuldhulp"))
    use(hub, hub.login(person), "dispute", "schuldhulp")
    (question,) = asked(hub, hub.bron)

    first = try_answer(hub, hub.bron, (question.token, "confirmed"), msg=msg)
    again = try_answer(hub, hub.bron, (question.token, "confirmed"), msg=msg)

    assert decoded(first, ReplyAnswer) == decoded(again, ReplyAnswer)
    assert hub.run(hub.bron.deliver(first.path, first.body, first.headers)).response.status_code == 401


def test_the_citizen_sees_the_answer_in_the_log_unless_its_notice_is_postponed(hub: Acting) -> None:
    person = hub.somebody()
    hub.publish(hub.bron, hub.flag(person, "schuldhulp"))
    hub.publish(hub.inkomen, hub.flag(person, "jeugdbescherming"))
    session = hub.login(person)
    use(hub, session, "dispute", "schuldhulp")
    use(hub, session, "dispute", "jeugdbescherming")
    answer(hub, hub.bron, asked(hub, hub.bron)[0].token, "confirmed")
    answer(hub, hub.inkomen, asked(hub, hub.inkomen)[0].token, "confirmed")

    lines = hub.own(session, "log", OwnLogAnswer).lines

    answered = [
        line.scope for line in lines if '"role":"bron"' in line.asker and '"t":"objection"' in line.asker
    ]
    assert answered == ["geld"]
    claims = {
        claim.kind: claim.answer
        for claim in own(hub, session)
        if claim.publisher or claim.kind != "schuldhulp"
    }
    assert claims == {"schuldhulp": "confirmed", "jeugdbescherming": ""}


def test_a_stolen_database_joins_a_claim_with_no_flag_and_no_ledger_and_shows_no_flag(hub: Acting) -> None:
    person, other = hub.somebody(), hub.somebody()
    hub.publish(hub.bron, hub.flag(person, "schuldhulp"))
    use(hub, hub.login(person), "dispute", "schuldhulp", BRON)
    with_flag = hub.count("claim")
    use(hub, hub.login(other), "dispute", "schuldhulp", BRON)
    assert hub.count("claim") == 2 * with_flag == 2  # as many without a flag

    stored = hub.everything_stored()

    claims = {bytes(cell) for row in stored.pop("claim") for cell in row}
    rest = {
        bytes(cell) for rows in stored.values() for row in rows for cell in row if isinstance(cell, bytes)
    }
    assert len(claims) == 7  # one tag, and nothing else in common
    assert not claims & rest


# --- rules ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("right", "kind", "fields", "code"),
    [
        ("objection", "vroegsignaal", {}, "no-task-for-kind"),
        ("objection", "ggz", {}, "no-task-for-kind"),
        ("dispute", "zelf_gemeld_geldzorgen", {}, "self-declared"),
        ("dispute", "schuldhulp", {"scope": "zorg"}, "other-scope"),
        ("dispute", "schuldhulp", {"kind": "bestaat_niet"}, "unknown-kind"),
        ("dispute", "schuldhulp", {"publisher": INKOMEN}, "unknown-publisher"),
        ("dispute", "schuldhulp", {"publisher": 77}, "unknown-publisher"),
        ("restriction", "schuldhulp", {"until": "2027-01-01T00:00:00Z"}, "no-say"),
        ("restriction", "schuldhulp", {"ends": "A" * 22}, "end-form"),
    ],
)
def test_what_breaks_a_rule_is_refused_whole_and_recorded(
    hub: Acting, right: str, kind: str, fields: dict[str, object], code: str
) -> None:
    person = hub.somebody()
    session = hub.login(person)
    before = hub.everything_stored()

    sent = try_right(hub, session, {**item(right, kind), **fields}, item("dispute", "jeugdhulp"))

    assert problem(sent.response) == (400, "rejected", [code])
    assert hub.everything_stored() == before
    lines = hub.own(session, "log", OwnLogAnswer).lines
    assert sum(f'"refused":"{code}"' in line.asker for line in lines) == 2  # one line in each scope


def test_a_duty_by_law_is_shown_whatever_is_asked_against_the_kind(hub: Acting) -> None:
    person = hub.somebody()
    hub.publish(hub.inkomen, hub.flag(person, "vroegsignaal"))
    visit = hub.visit(person, role="schuldhulpverlener", purpose="vroegsignalering")
    session = hub.login(person)
    assert hub.sees(visit) == [{"vroegsignaal"}]

    try_right(hub, session, item("objection", "vroegsignaal"))
    choose(hub, session, entry(effect="deny", category=["geld", "vroegsignaal"], receiver=[], purpose=[]))

    assert hub.sees(visit) == [{"vroegsignaal"}]  # row 8
    assert own(hub, session) == []


def test_a_right_in_use_is_not_used_twice_and_a_strangers_is_not_ended(hub: Acting) -> None:
    person = hub.somebody()
    session, other = hub.login(person), hub.login(hub.somebody())
    group = use(hub, session, "dispute", "schuldhulp")

    again = try_right(hub, session, item("dispute", "schuldhulp"))
    stranger = try_right(hub, other, ending("dispute", "schuldhulp", group))
    borrowed = try_right(hub, other, item("dispute", "bijstand"), ticket=session.tickets[0])

    assert problem(again.response)[2] == ["right-in-use"]
    assert problem(stranger.response)[2] == ["unknown-group"]
    assert problem(borrowed.response)[1] == "points-refused"


def test_rights_in_several_scopes_are_written_in_all_or_in_none(hub: Acting) -> None:
    person = hub.somebody()
    session = hub.login(person)
    use(hub, session, "restriction", "jeugdhulp")
    before = hub.everything_stored()

    refused = try_right(hub, session, item("restriction", "schuldhulp"), item("restriction", "jeugdhulp"))
    assert problem(refused.response)[2] == ["right-in-use"]
    assert hub.everything_stored() == before

    sent = try_right(hub, session, item("restriction", "schuldhulp"), item("restriction", "ggz"))
    answer_ = decoded(sent, ObjectionAnswer)
    lids = [
        lid for lid, scope in zip(session.lids[0], session.scopes, strict=True) if scope in ("geld", "zorg")
    ]
    hub.world.check(answer_.log[0], sent, lids)
    assert sorted(claim.scope for claim in own(hub, session)) == ["geld", "jeugd", "zorg"]


def test_the_receipt_of_a_right_names_its_article_and_verifies(hub: Acting) -> None:
    session = hub.login(hub.somebody())
    sent = try_right(hub, session, item("dispute", "schuldhulp", BRON), item("restriction", "jeugdhulp"))

    receipt = verify(
        decoded(sent, ObjectionAnswer).receipt,
        keys={HUB_ID: bytes(hub.world.keystore.consent_signing.verify_key)},
        issuer=HUB_ID,
    )

    terms = [(term.effect, term.lawful_basis, term.recipient_third_parties) for term in receipt.entries]
    assert terms == [
        ("dispute", "avg-art-16", ["node-1"]),
        ("restriction", "avg-art-18", []),
    ]


def test_a_parent_asks_until_the_age_boundary_and_a_child_below_twelve_asks_nothing(hub: Acting) -> None:
    person = hub.somebody()
    hub.publish(hub.bron, hub.flag(person, "schuldhulp"))
    session = hub.login(person)
    parent = {"by": "ouder", "giver": "ouder-1", "evidence": "brp", "regime": "ouder"}
    until = (hub.world.clock() + timedelta(days=3)).strftime("%Y-%m-%dT%H:%M:%SZ")

    child = try_right(hub, session, item("restriction", "schuldhulp"), regime="ouder")
    endless = try_right(hub, session, item("restriction", "schuldhulp"), **parent)
    decoded(
        try_right(hub, session, item("restriction", "schuldhulp", until=until), **parent), ObjectionAnswer
    )

    assert [problem(sent.response)[2] for sent in (child, endless)] == [["no-say"], ["no-end"]]
    assert hub.sees(task_visit(hub, person)) == [set()]
    hub.world.clock.shift(days=4)
    assert hub.sees(task_visit(hub, person)) == [{"schuldhulp"}]


def test_a_representative_needs_a_regime_entry(hub: Acting) -> None:
    session = hub.login(hub.somebody())
    curator = {"by": "curator", "giver": "c1", "evidence": "besluit"}
    refused = try_right(hub, session, item("restriction", "schuldhulp"), **curator)
    assert problem(refused.response)[2] == ["no-authority"]

    until = (hub.world.clock() + timedelta(days=90)).strftime("%Y-%m-%dT%H:%M:%SZ")
    choose(hub, session, {"scope": "geld", "effect": "regime", "until": until}, **curator)

    decoded(try_right(hub, session, item("restriction", "schuldhulp"), **curator), ObjectionAnswer)


def test_terms_of_claims_are_those_of_the_vocabulary() -> None:
    assert VOCABULARY.limits.dispute_answer_working_days == claims.DISPUTE_DAYS
    assert VOCABULARY.limits.dispute_second_deadline_working_days == claims.SECOND_DAYS
