"""Choices: in all scopes or in none, by the citizen alone, in force at the very next question."""

import secrets
import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from consent.directive import FIRST_PREVIOUS, directive_hash, parse_canonical
from consent.receipt import verify
from index.protocol.codec import SCOPES, b64u
from index.protocol.messages import ChoiceAnswer, OwnChoicesAnswer, OwnLogAnswer
from index.transaction import DirectiveRow
from tests.hub.acting import Acting, decoded, problem
from tests.hub.world import GEMEENTE, HUB_ID, Sent, Visit, instant, point


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory, module_database: dict[str, str]) -> Iterator[Acting]:
    with Acting(tmp_path_factory.mktemp("hub"), **module_database) as acting:
        yield acting


def entry(scope: str = "geld", effect: str = "grant", **fields: Any) -> dict[str, Any]:
    """A grant to team noord for help, unless said otherwise."""
    here: dict[str, Any] = {"scope": scope, "effect": effect}
    if effect != "withdraw":
        here |= {"receiver": [GEMEENTE, "noord"], "purpose": ["hulp"]}
    return {**here, **fields}


def choose(
    hub: Acting, session: Visit, *entries: dict[str, Any], msg: str = "", actor: str = "", **changes: Any
) -> Sent:
    """Send a choice; `changes` replace fields of the body."""
    msg = msg or str(uuid.uuid4())
    named = [scope for scope in SCOPES if any(one["scope"] == scope for one in entries)]
    body = {
        "ticket": session.tickets[0],
        "version": 1,
        "points": hub.world.sealed("portaal", msg, [point(session.persons[0], scope) for scope in named]),
        "group": b64u(secrets.token_bytes(16)),
        "text": b64u(bytes(range(32))),
        "regime": "zelf",
        "by": "zelf",
        "entries": list(entries),
        **changes,
    }
    said = {"role": "burger", "actor": actor}
    return hub.run(hub.portaal.send("/v1/choices", body, "choice", msg=msg, **said))


def ledgers(hub: Acting) -> dict[str, list[Any]]:
    stored = hub.everything_stored()
    return {name: stored[name] for name in ("directive", "choice_state")}


# --- in force at once ---------------------------------------------------------------


def test_a_choice_holds_at_the_very_next_question_and_so_does_its_end(hub: Acting) -> None:
    person = hub.somebody()
    hub.publish(hub.bron, hub.flag(person, "schuldhulp"))
    session, visit = hub.login(person), hub.visit(person)
    assert hub.sees(visit) == [set()]
    group = b64u(secrets.token_bytes(16))

    decoded(choose(hub, session, entry(), group=group), ChoiceAnswer)
    assert hub.sees(visit) == [{"schuldhulp"}]

    decoded(choose(hub, session, entry(effect="withdraw", withdraws=group)), ChoiceAnswer)
    assert hub.sees(visit) == [set()]


def test_a_no_to_one_subject_beats_a_yes_to_all(hub: Acting) -> None:
    person = hub.somebody()
    hub.publish(hub.inkomen, hub.flag(person, "bijstand"), hub.flag(person, "minima"))
    session = hub.login(person)

    decoded(choose(hub, session, entry(), entry(effect="deny", category=["geld", "minima"])), ChoiceAnswer)

    assert hub.sees(hub.visit(person)) == [{"bijstand"}]


def test_one_choice_about_everything_is_one_entry_in_six_ledgers(hub: Acting) -> None:
    person = hub.somebody()
    session = hub.login(person)

    sent = choose(hub, session, *(entry(scope) for scope in SCOPES))

    answer = decoded(sent, ChoiceAnswer)
    hub.world.check(answer.log[0], sent, session.lids[0])
    own = hub.own(session, "choices", OwnChoicesAnswer).directives
    assert [(one.scope, one.number, one.in_force) for one in own] == [(scope, 1, True) for scope in SCOPES]
    assert len({one.group for one in own}) == 1


def test_the_receipt_proves_what_was_written_and_names_no_person(hub: Acting) -> None:
    person = hub.somebody()
    session = hub.login(person)
    choose(hub, session, entry())

    answer = decoded(choose(hub, session, entry(), entry("werk", "deny")), ChoiceAnswer)

    key = bytes(hub.world.keystore.consent_signing.verify_key)
    receipt = verify(answer.receipt, keys={HUB_ID: key}, issuer=HUB_ID)
    assert [(term.scope, term.seq, term.effect) for term in receipt.entries] == [
        ("geld", 2, "grant"),
        ("werk", 1, "deny"),
    ]
    heads = {b64u(row[5]) for row in ledgers(hub)["directive"]}
    assert {term.head for term in receipt.entries} <= heads
    assert all(b64u(point(person, scope)) not in answer.receipt for scope in SCOPES)


def test_a_stop_gives_a_receipt_too(hub: Acting) -> None:
    session, group = hub.login(hub.somebody()), b64u(secrets.token_bytes(16))
    choose(hub, session, entry(category=["geld"]), group=group)

    answer = decoded(choose(hub, session, entry(effect="withdraw", withdraws=group)), ChoiceAnswer)

    key = bytes(hub.world.keystore.consent_signing.verify_key)
    (term,) = verify(answer.receipt, keys={HUB_ID: key}, issuer=HUB_ID).entries
    assert (term.effect, term.withdraws) == ("withdraw", group)
    assert [event.event_state for event in term.events] == ["given", "withdrawn"]
    assert term.pii_type == ["geld"]


def test_the_ledger_is_a_chain_of_hashes(hub: Acting) -> None:
    person = hub.somebody()
    session = hub.login(person)
    for _ in range(3):
        choose(hub, session, entry())
    rows, keys = hub.world.hub.rows, hub.world.hub.rows.keys_of("geld", point(person, "geld"))
    stored = [DirectiveRow(*row) for row in ledgers(hub)["directive"] if row[0] == keys.idx_dir]

    head = FIRST_PREVIOUS
    for row in sorted(stored, key=lambda one: one.number):
        directive, prev = parse_canonical(rows.open_directive(row, "geld")[1])
        assert (prev, row.prev_hash) == (head, head)
        head = directive_hash(head, directive)
        assert row.hash == head
    assert len(stored) == 3


def test_a_grant_without_an_end_ends_after_a_year(hub: Acting) -> None:
    session = hub.login(hub.somebody())
    choose(hub, session, entry())

    (own,) = hub.own(session, "choices", OwnChoicesAnswer).directives

    assert own.until is not None
    assert own.until[:4] == str(hub.world.clock().year + 1)


# --- all or nothing -----------------------------------------------------------------


BAD = [
    (entry(category=["werk"]), "other-scope"),
    (entry(category=["geld", "ww"]), "other-scope"),
    (entry(category=["geld", "geen_soort"]), "unknown-kind"),
    (entry(category=["geld", "vroegsignaal"]), "no-consent-for-kind"),
    (entry(receiver=["00000000000000000001"]), "unknown-receiver"),
    (entry(receiver=[GEMEENTE, "geen-team"]), "unknown-receiver"),
    (entry(receiver=[GEMEENTE, "noord", "m-17"]), "unknown-receiver"),
    (entry(receiver=[GEMEENTE, "noord", "privacy_officer"]), "unknown-receiver"),
    (entry(purpose=["toezicht"]), "no-consent-for-purpose"),
    (entry(purpose=["wettelijk"]), "no-consent-for-purpose"),
    (entry(purpose=["wettelijk", "vroegsignalering"]), "no-consent-for-purpose"),
    (entry(effect="deny", purpose=["toezicht"]), "no-consent-for-purpose"),
    (entry(purpose=["huisbezoek"]), "unknown-purpose"),
    (entry(withdraws=b64u(bytes(16))), "withdraw-form"),
    (entry(effect="withdraw"), "withdraw-form"),
    (entry(effect="withdraw", withdraws=b64u(b"short")), "withdraw-form"),
    (entry(effect="withdraw", withdraws=b64u(bytes(16)), purpose=["hulp"]), "withdraw-form"),
    (entry(effect="withdraw", withdraws=b64u(b"u" * 16)), "unknown-group"),
]


@pytest.mark.parametrize(("bad", "code"), BAD, ids=[f"{code}-{at}" for at, (_, code) in enumerate(BAD)])
def test_one_bad_entry_refuses_the_whole_choice_and_the_citizen_sees_that(
    hub: Acting, bad: dict[str, Any], code: str
) -> None:
    session = hub.login(hub.somebody())
    before = ledgers(hub)

    sent = choose(hub, session, entry("jeugd"), bad)

    assert problem(sent.response) == (400, "rejected", [code])
    assert ledgers(hub) == before
    refused = _refusals(hub, session)
    assert refused["geld"] == refused["jeugd"] == [code]


@pytest.mark.parametrize(
    ("effect", "period", "code"),
    [
        ("grant", timedelta(minutes=-5), "until-past"),
        ("grant", timedelta(days=370), "until-too-far"),
        ("deny", timedelta(days=30), "deny-has-no-end"),
    ],
)
def test_a_yes_ends_within_a_year_and_a_no_never_by_itself(
    hub: Acting, effect: str, period: timedelta, code: str
) -> None:
    session = hub.login(hub.somebody())
    before = ledgers(hub)

    sent = choose(hub, session, entry(effect=effect, until=instant(hub.world.clock() + period)))

    assert problem(sent.response) == (400, "rejected", [code])
    assert ledgers(hub) == before


def test_a_withdrawal_must_be_known_in_every_scope_that_it_names(hub: Acting) -> None:
    session, group = hub.login(hub.somebody()), b64u(secrets.token_bytes(16))
    choose(hub, session, entry(), group=group)
    before = ledgers(hub)
    stop = [entry(scope, "withdraw", withdraws=group) for scope in ("geld", "werk")]

    assert problem(choose(hub, session, *stop).response) == (400, "rejected", ["unknown-group"])
    assert ledgers(hub) == before


def test_a_group_is_not_used_for_a_second_choice(hub: Acting) -> None:
    session, group = hub.login(hub.somebody()), b64u(secrets.token_bytes(16))
    choose(hub, session, entry(), group=group)

    assert problem(choose(hub, session, entry(), group=group).response)[2] == ["group-used"]


def test_a_full_state_refuses_in_all_scopes_and_writes_nothing(hub: Acting) -> None:
    session = hub.login(hub.somebody())
    kinds = ["bijstand", "minima", "schuldhulp", "bbz"]
    response = None
    for _ in range(60):
        before = ledgers(hub)
        added = [entry(category=["geld", kind]) for kind in kinds]
        response = choose(hub, session, *added, entry("werk", "deny")).response
        if response.status_code != 200:
            break

    assert response is not None
    assert problem(response) == (409, "choices-full", [])
    assert ledgers(hub) == before
    assert _refusals(hub, session)["geld"] == _refusals(hub, session)["werk"] == ["choices-full"]


def test_an_unknown_effect_or_field_is_refused_without_echo(hub: Acting) -> None:
    session = hub.login(hub.somebody())

    for bad in (
        entry(effect="dispute"),
        entry(employee="m-17"),
        entry(receiver=[GEMEENTE, "noord", "generalist", "x"]),
    ):
        response = choose(hub, session, bad).response
        assert response.status_code == 400
        assert "m-17" not in response.text


# --- whose choice -------------------------------------------------------------------


def test_points_of_another_person_write_nothing(hub: Acting) -> None:
    session, other = hub.login(hub.somebody()), hub.somebody()
    msg, before = str(uuid.uuid4()), ledgers(hub)
    points = hub.world.sealed("portaal", msg, [point(other, "geld")])

    sent = choose(hub, session, entry(), msg=msg, points=points)

    assert problem(sent.response) == (400, "points-refused", [])
    assert ledgers(hub) == before


def test_one_persons_point_beside_anothers_writes_nothing(hub: Acting) -> None:
    person, other = hub.somebody(), hub.somebody()
    session, msg, before = hub.login(person), str(uuid.uuid4()), ledgers(hub)
    points = hub.world.sealed("portaal", msg, [point(person, "geld"), point(other, "werk")])

    sent = choose(hub, session, entry(), entry("werk"), msg=msg, points=points)

    assert problem(sent.response) == (400, "points-refused", [])
    assert ledgers(hub) == before


def test_a_ticket_of_a_visit_makes_no_choice(hub: Acting) -> None:
    person = hub.somebody()
    visit = hub.visit(person)
    session = hub.login(person)
    session.tickets = visit.tickets

    assert problem(choose(hub, session, entry()).response)[:2] == (403, "ticket-refused")


def test_an_employee_makes_no_choice(hub: Acting) -> None:
    person = hub.somebody()
    visit, before = hub.visit(person), ledgers(hub)
    msg = str(uuid.uuid4())
    body = {
        "ticket": visit.tickets[0],
        "version": 1,
        "points": hub.world.sealed("wijkteam", msg, [point(person, "geld")]),
        "group": b64u(bytes(16)),
        "text": b64u(bytes(32)),
        "regime": "zelf",
        "by": "zelf",
        "entries": [entry()],
    }

    as_self = hub.run(hub.wijkteam.send("/v1/choices", body, "choice", msg=msg, **visit.statement()))
    as_citizen = hub.run(hub.wijkteam.send("/v1/choices", body, "choice", msg=msg, role="burger"))

    assert problem(as_self.response)[:2] == problem(as_citizen.response)[:2] == (403, "not-allowed")
    assert ledgers(hub) == before


def test_a_session_that_was_closed_or_left_alone_chooses_nothing(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with Acting(tmp_path_factory.mktemp("sessions")) as hub:
        closed = hub.login(hub.somebody())
        hub.run(hub.portaal.closes(closed))
        assert problem(choose(hub, closed, entry()).response)[:2] == (403, "ticket-refused")

        idle = hub.login(hub.somebody())
        for _ in range(2):
            hub.world.clock.shift(minutes=14)
            decoded(choose(hub, idle, entry()), ChoiceAnswer)
        hub.world.clock.shift(minutes=16)
        assert problem(choose(hub, idle, entry()).response)[:2] == (403, "ticket-refused")

        busy = hub.login(hub.somebody())
        for _ in range(4):
            hub.world.clock.shift(minutes=14)
            decoded(choose(hub, busy, entry()), ChoiceAnswer)
        hub.world.clock.shift(minutes=5)
        assert problem(choose(hub, busy, entry()).response)[:2] == (403, "ticket-refused")
        assert hub.count("directive") == 6


# --- the same message again, and at once ---------------------------------------------


def test_the_same_choice_sent_again_is_written_once(hub: Acting) -> None:
    session, msg = hub.login(hub.somebody()), str(uuid.uuid4())
    group = b64u(secrets.token_bytes(16))
    points = hub.world.sealed("portaal", msg, [point(session.persons[0], "geld")])
    first = choose(hub, session, entry(), msg=msg, group=group, points=points)
    stored = ledgers(hub)

    again = choose(hub, session, entry(), msg=msg, group=group, points=points)

    assert decoded(again, ChoiceAnswer) == decoded(first, ChoiceAnswer)
    assert ledgers(hub) == stored


def test_choices_made_at_once_all_stand_in_one_unbroken_ledger(hub: Acting) -> None:
    session = hub.login(hub.somebody())

    async def one() -> Sent:
        return await hub.portaal.chooses(session, scopes=("geld",))

    sent = hub.together(*(one() for _ in range(5)))

    assert [one_sent.response.status_code for one_sent in sent] == [200] * 5
    own = hub.own(session, "choices", OwnChoicesAnswer).directives
    assert [one.number for one in own] == [1, 2, 3, 4, 5]


def test_a_choice_and_a_look_in_one_batch_agree(hub: Acting) -> None:
    """Whichever came first in the batch, the next look sees the stop."""
    person = hub.somebody()
    hub.publish(hub.bron, hub.flag(person, "schuldhulp"))
    session, visit = hub.allow_everything(person), hub.visit(person)

    async def stop() -> Any:
        return await hub.portaal.chooses(session, "deny", scopes=("geld",), category=("geld", "schuldhulp"))

    async def look() -> Any:
        return await hub.wijkteam.sees(visit)

    hub.together(look(), stop(), look(), look())

    assert hub.sees(visit) == [set()]


def test_no_choice_stands_in_clear(hub: Acting) -> None:
    session = hub.login(hub.somebody())
    choose(hub, session, entry(category=["geld", "schuldhulp"]))
    stored = repr(ledgers(hub))

    assert "schuldhulp" not in stored
    assert GEMEENTE not in stored
    assert "hulp" not in stored


def _refusals(hub: Acting, session: Visit) -> dict[str, list[str]]:
    """Refused choices in the citizen's own log, by scope."""
    found: dict[str, list[str]] = {}
    for line in hub.own(session, "log", OwnLogAnswer).lines:
        asker = msgspec.json.decode(line.asker)
        if asker["t"] == "choice" and asker["refused"]:
            found.setdefault(line.scope, []).append(asker["refused"])
    return found


# --- a counter gives no yes -----------------------------------------------------------


def at_counter(hub: Acting, session: Visit, *entries: dict[str, Any], actor: str = "", **body: Any) -> Sent:
    """As `choose`, from the channel of a counter and with an actor in the statement."""
    return choose(hub, session, *entries, actor=actor, **{"channel": "balie", **body})


@pytest.mark.parametrize(
    ("actor", "channel"),
    [("", "balie"), ("counter-employee-id-22", "balie"), ("counter-employee-id-22", "portaal")],
)
def test_a_yes_from_a_counter_is_refused_and_nothing_is_written(
    hub: Acting, actor: str, channel: str
) -> None:
    person = hub.somebody()
    session, before = hub.login(person), ledgers(hub)

    sent = at_counter(hub, session, entry("zorg", "deny"), entry(), actor=actor, channel=channel)

    assert problem(sent.response)[2] == ["counter-gives-no-yes"], sent.response.text
    assert ledgers(hub) == before
    lines = hub.own(session, "log", OwnLogAnswer).lines
    assert any("counter-gives-no-yes" in line.asker for line in lines)


@pytest.mark.parametrize("actor", ["", "ouder", "curator", "gemachtigde"])
def test_a_citizen_and_who_speaks_for_one_are_no_counter(hub: Acting, actor: str) -> None:
    session = hub.login(hub.somebody())
    before = len(ledgers(hub)["directive"])

    decoded(at_counter(hub, session, entry(), actor=actor, channel="portaal"), ChoiceAnswer)

    assert len(ledgers(hub)["directive"]) == before + 1


@pytest.mark.parametrize("effect", ["deny", "slot"])
def test_a_counter_closes_and_cannot_end_what_is_closed(hub: Acting, effect: str) -> None:
    person = hub.somebody()
    hub.publish(hub.bron, hub.flag(person, "schuldhulp"))
    session, visit = hub.allow_everything(person), hub.visit(person)
    assert hub.sees(visit) == [{"schuldhulp"}]
    group = b64u(secrets.token_bytes(16))
    no = entry(effect=effect, receiver=[GEMEENTE, "noord"], purpose=["hulp"], category=["geld", "schuldhulp"])
    decoded(at_counter(hub, session, no, group=group), ChoiceAnswer)
    assert hub.sees(visit) == [set()]
    before = ledgers(hub)

    sent = at_counter(hub, session, entry(effect="withdraw", withdraws=group))

    assert "counter-gives-no-yes" in sent.response.text
    assert ledgers(hub) == before
    assert hub.sees(visit) == [set()]


def test_a_counter_ends_a_yes_and_the_ledger_says_where(hub: Acting) -> None:
    person = hub.somebody()
    session, group = hub.login(person), b64u(secrets.token_bytes(16))
    decoded(choose(hub, session, entry(), group=group), ChoiceAnswer)
    decoded(at_counter(hub, session, entry(effect="withdraw", withdraws=group)), ChoiceAnswer)
    made = hub.own(session, "choices", OwnChoicesAnswer).directives
    assert [(own.effect, own.channel) for own in made] == [("grant", "portaal"), ("withdraw", "balie")]
