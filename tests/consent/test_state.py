"""The folded state: what a lookup opens beside the ledger."""

from dataclasses import replace
from datetime import timedelta
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consent.directive import (
    FIRST_PREVIOUS,
    MAX_ENTRY,
    DirectiveInvalid,
    canonical,
    directive_hash,
    parse_canonical,
)
from consent.state import (
    MAX_ENCODED,
    ChoiceState,
    OutOfOrder,
    StateFull,
    StateUnreadable,
    as_resolved,
    decode,
    encode,
    fold,
)

from .ledgers import NOW, TEAM, entry, folded, ledgers, stop


def _long(number: int, **fields):
    """An entry as long as real ones get."""
    return entry(
        number,
        "grant",
        category=("geld", "zorgpremie_achterstand"),
        receiver=TEAM.path,
        purpose=("hulp", "keukentafelgesprek"),
        until=NOW + timedelta(days=365),
        explicit=True,
        text=bytes(range(32)),
        policy=3,
        **fields,
    )


@given(ledgers())
def test_a_state_survives_its_encoding_also_with_padding(entries):
    state = folded(*entries)
    if state is None:
        return
    expected = ChoiceState(
        state.head, state.number, tuple(as_resolved(directive) for directive in state.directives)
    )

    assert decode(encode(state)) == expected
    assert decode(encode(state).ljust(2048, b"\0")) == expected


def test_a_representative_and_a_paper_form_survive_the_encoding():
    state = folded(
        entry(1, "grant", by="curator", giver="Curator één", evidence="b1", evidence_until=NOW),
        entry(2, "grant", channel="formulier", evidence="f7", regime="samen"),
    )

    decoded = decode(encode(state))

    assert decoded.directives == tuple(as_resolved(directive) for directive in state.directives)
    assert decoded.directives[1].provisional


@given(st.binary(max_size=200))
def test_bytes_that_are_no_state_are_refused(raw):
    try:
        state = decode(raw)
    except StateUnreadable:
        return
    assert encode(state) == raw.rstrip(b"\0").ljust(len(encode(state)), b"\0")


def test_a_state_cut_short_or_of_another_version_is_refused():
    encoded = encode(folded(_long(1), _long(2)))

    for broken in (b"", encoded[:-1], encoded[:40], b"\x04" + encoded[1:], encoded + b"x"):
        with pytest.raises(StateUnreadable):
            decode(broken)


def test_a_full_state_says_so_and_holds_at_least_thirty_choices_first():
    thirty = folded(*map(_long, range(1, 31)))
    assert len(encode(thirty)) <= MAX_ENCODED

    with pytest.raises(StateFull):
        encode(folded(*map(_long, range(1, 61))))


def test_an_entry_out_of_order_is_refused():
    state = folded(entry(1, "grant"))

    for number in (1, 3):
        with pytest.raises(OutOfOrder):
            fold(state, entry(number, "deny"))


def test_a_withdrawal_leaves_the_state_and_moves_the_head():
    before = folded(entry(1, "grant"), entry(2, "deny"))
    after = fold(before, stop(3, 1))

    assert [directive.number for directive in after.directives] == [2]
    assert after.number == 3
    assert after.head != before.head


def test_an_ended_yes_is_pruned_and_a_no_never():
    ended = {"from_": NOW - timedelta(days=60), "until": NOW - timedelta(days=40)}
    state = folded(entry(1, "grant", **ended), entry(2, "deny", **ended), entry(3, "grant"))

    assert [directive.number for directive in state.directives] == [2, 3]


# --- the chain ---------------------------------------------------------------------


def test_the_head_depends_on_every_entry_and_on_their_order():
    one, two = _long(1), replace(_long(2), explicit=False)
    head = folded(one, two).head

    assert head == directive_hash(directive_hash(FIRST_PREVIOUS, one), two)
    assert folded(replace(one, explicit=False), two).head != head
    assert folded(replace(two, number=1), replace(one, number=2)).head != head


@pytest.mark.parametrize(
    "change",
    [
        {"effect": "deny"},
        {"category": ("geld",)},
        {"receiver": TEAM.path[:2]},
        {"purpose": ()},
        {"from_": NOW},
        {"until": None},
        {"explicit": False},
        {"by": "ouder"},
        {"regime": "samen"},
        {"giver": "ouder1"},
        {"evidence": "gezag"},
        {"evidence_until": NOW},
        {"channel": "balie"},
        {"text": bytes(32)},
        {"policy": 4},
        {"group": bytes(16)},
    ],
)
def test_no_field_of_an_entry_can_change_without_its_hash(change):
    before = replace(_long(1), category=("geld", "ww"))

    assert directive_hash(FIRST_PREVIOUS, replace(before, **change)) != directive_hash(FIRST_PREVIOUS, before)


def test_an_entry_has_a_known_form_and_a_known_hash():
    """The form is checked by eye; the hash is the formula over it, written out once more."""
    directive = entry(1, "deny", group=bytes(16), category=("geld",), from_=NOW)
    raw = (
        b'{"by":"zelf","category":["geld"],"channel":"portaal","effect":"deny",'
        b'"from":"2026-06-15T10:00:00Z","group":"AAAAAAAAAAAAAAAAAAAAAA",'
        b'"prevHash":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA","regime":"zelf","seq":1}'
    )

    assert canonical(directive, bytes(32)) == raw
    assert (
        directive_hash(bytes(32), directive)
        == sha256(b"vlagwijzer/directive/v1\n" + bytes(32) + raw).digest()
    )


@given(ledgers())
def test_a_ledger_reads_back_from_its_canonical_entries(entries):
    prev = FIRST_PREVIOUS
    for directive in entries:
        assert parse_canonical(canonical(directive, prev)) == (directive, prev)
        prev = directive_hash(prev, directive)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b'{"seq":1}',
        canonical(_long(1), FIRST_PREVIOUS).replace(b'"seq"', b'"naam":"x","seq"'),
        canonical(_long(1), FIRST_PREVIOUS) + b" ",
        canonical(_long(1), FIRST_PREVIOUS).replace(b'"by":"zelf"', b'"by":"buurman"'),
        canonical(_long(1), FIRST_PREVIOUS).replace(b'"seq":1', b'"seq":"1"'),
    ],
)
def test_bytes_that_are_no_entry_are_refused(raw):
    with pytest.raises(DirectiveInvalid):
        parse_canonical(raw)


def test_an_entry_fits_its_row_or_is_refused():
    assert len(canonical(_long(1), FIRST_PREVIOUS)) <= MAX_ENTRY
    with pytest.raises(DirectiveInvalid):
        canonical(replace(_long(1), receiver=(TEAM.organisation, "t" * 200)), FIRST_PREVIOUS)


@pytest.mark.parametrize(
    "fields",
    [
        {"number": 0},
        {"group": b"short"},
        {"category": ("geld", "schuldhulp", "meer")},
        {"receiver": ("a", "b", "c", "d")},
        {"withdraws": bytes(16)},
        {"effect": "withdraw"},
        {"text": b"short"},
        {"from_": NOW.replace(tzinfo=None)},
    ],
)
def test_what_cannot_be_an_entry_is_refused(fields):
    with pytest.raises(DirectiveInvalid):
        replace(entry(1, "grant"), **fields)


def test_a_name_that_no_byte_can_count_is_refused_in_words():
    longest = folded(entry(1, "grant", receiver=("0" * 20, "t" * 255)))
    assert decode(encode(longest)) == longest

    with pytest.raises(StateFull, match="too long"):
        encode(folded(entry(1, "grant", receiver=("0" * 20, "t" * 256))))
