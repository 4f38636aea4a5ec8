"""The tlog-policy file: what it means, and everything that is refused."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nacl.signing import SigningKey

from index.protocol.note import COSIGNATURE_V1, ED25519, NoteKey
from index.protocol.tlogpolicy import PolicyFileError, parse_policy, policy_without_witnesses


def vkey(name: str, type_: int = COSIGNATURE_V1, seed: int = 0) -> str:
    public = bytes(SigningKey(bytes([seed or (hash(name) % 250 + 1)]) * 32).verify_key)
    return NoteKey(name, type_, public).text()


LOG = f"log {vkey('hub.example.nl/v1/log/2026', ED25519, 1)}\n"
WITNESSES = "".join(f"witness {name} {vkey(name, seed=number)}\n" for number, name in enumerate("abcdef", 10))


def quorum(text: str, *cosigned: str) -> bool:
    return parse_policy(LOG + WITNESSES + text).confirmed_by(dict.fromkeys(cosigned, 7)).quorum


def test_the_quorum_of_a_threshold_of_any_and_of_all() -> None:
    three = "group g 3 a b c d\nquorum g\n"
    assert quorum(three, "a", "b", "d")
    assert not quorum(three, "a", "b")
    assert not quorum(three, "a", "b", "e", "f")
    assert quorum("group g any a b\nquorum g\n", "b")
    assert not quorum("group g all a b\nquorum g\n", "b")
    assert quorum("quorum a\n", "a")
    assert not quorum("quorum a\n", "b", "c")
    assert quorum("quorum none\n")


def test_groups_of_groups_count_each_group_once() -> None:
    two_levels = "group x 2 a b c\ngroup y any d e\ngroup both all x y\nquorum both\n"
    assert quorum(two_levels, "a", "c", "e")
    assert not quorum(two_levels, "a", "b", "c")
    assert not quorum(two_levels, "a", "d", "e")


def test_the_time_of_a_quorum_is_the_one_all_its_members_reached() -> None:
    policy = parse_policy(LOG + WITNESSES + "group g 3 a b c d\nquorum g\n")
    said = policy.confirmed_by({"a": 10, "b": 40, "c": 30, "d": 20})
    assert (said.quorum, said.since) == (True, 20)
    assert policy.confirmed_by({"a": 10, "b": 40}).since is None


def test_comments_tabs_and_spaces_change_nothing() -> None:
    plain = parse_policy(LOG + WITNESSES + "group g 2 a b c\nquorum g\n")
    spaced = parse_policy(
        "# who\n\n  "
        + LOG
        + WITNESSES.replace(" ", " \t ")
        + "\t# two of three\ngroup g 2 a b c  \n quorum g"
    )
    assert (plain.groups, plain.quorum, set(plain.witnesses)) == (
        spaced.groups,
        spaced.quorum,
        set(spaced.witnesses),
    )


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (LOG, "no quorum"),
        (LOG + "quorum none\nquorum none\n", "second quorum"),
        (LOG + "quorum g\n", "no line before"),
        (LOG + LOG + "quorum none\n", "two logs have one key"),
        (LOG + WITNESSES + WITNESSES.splitlines()[0].replace(" a ", " z ") + "\nquorum none\n", "one key"),
        (LOG + WITNESSES + f"witness a {vkey('new', seed=99)}\nquorum none\n", "taken"),
        (LOG + f"witness none {vkey('new', seed=99)}\nquorum none\n", "taken"),
        (LOG + f"witness w {vkey('w', ED25519, 99)}\nquorum none\n", "no key of a witness"),
        (f"log {vkey('x', COSIGNATURE_V1, 99)}\nquorum none\n", "no key of a log"),
        (LOG + WITNESSES + "group g 3 a b\nquorum g\n", "threshold"),
        (LOG + WITNESSES + "group g 0 a b\nquorum g\n", "threshold"),
        (LOG + WITNESSES + "group g 02 a b c\nquorum g\n", "threshold"),
        (LOG + WITNESSES + "group g some a b\nquorum g\n", "threshold"),
        (LOG + WITNESSES + "group g 2\nquorum g\n", "words"),
        (LOG + WITNESSES + "group g 2 a a\nquorum g\n", "member twice"),
        (LOG + WITNESSES + "group g any a b\ngroup h any b c\nquorum g\n", "member twice"),
        (LOG + WITNESSES + "group g any g\nquorum g\n", "no line before"),
        (LOG + WITNESSES + "group g any none a\nquorum g\n", "no line before"),
        (LOG + WITNESSES + "group a any b\nquorum a\n", "taken"),
        (LOG + "quorum none none\n", "words"),
        (LOG + "quota none\n", "unknown line"),
        (LOG.replace("+", "*") + "quorum none\n", "vkey"),
        (LOG + "quorum none\r\n", "control"),
        ("# " + "x" * 70_000, "short"),
    ],
)
def test_what_is_no_policy_is_refused_with_its_reason(text: str, why: str) -> None:
    with pytest.raises(PolicyFileError, match=why):
        parse_policy(text)


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(PolicyFileError):
        parse_policy(b"\xff\xfe")


@settings(max_examples=200, deadline=None)
@given(st.sets(st.sampled_from("abcdef")), st.sets(st.sampled_from("abcdef")), st.integers(1, 6))
def test_more_cosignatures_never_undo_a_quorum(some: set[str], more: set[str], k: int) -> None:
    text = f"group g {k} a b c d e f\nquorum g\n"
    assert quorum(text, *some) == (len(some) >= k)
    assert not quorum(text, *some) or quorum(text, *some, *more)


def test_the_policy_of_a_log_without_witnesses_asks_for_none() -> None:
    policy = parse_policy(policy_without_witnesses(LOG.split()[1]))
    assert not policy.asks_quorum
    assert policy.prefix == "hub.example.nl/v1/log"
    assert policy.key_of("hub.example.nl/v1/log/2031").public == policy.log.public
    for other in ("hub.example.nl/v1/log", "hub.elsewhere.nl/v1/log/2026"):
        with pytest.raises(PolicyFileError):
            policy.key_of(other)
