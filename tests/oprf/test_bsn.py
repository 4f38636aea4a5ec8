"""A Bsn shows itself nowhere."""

import copy
import json
import pickle
import traceback

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodes.bsn import BadBsn, Bsn, passes_elfproef

NUMBER = "999990019"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "000000000",
        "99999001",
        "9999900190",
        " 999990019",
        "999990019\n",
        "999.990.019",
        "999990018",
        "abcdefghi",
        "not-a-bsn",
        "٩٩٩٩٩٠٠١٩",
        "\uff19\uff19\uff19\uff19\uff19\uff10\uff10\uff11\uff19",
        "99999001²",
        b"999990019",
        999990019,
        None,
    ],
)
def test_anything_but_nine_ascii_digits_that_pass_the_elfproef_is_refused_without_echo(text):
    with pytest.raises(BadBsn) as caught:
        Bsn.parse(text)
    shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value.args)
    assert caught.value.__context__ is None
    assert caught.value.__cause__ is None
    assert text in ("", None) or str(text) not in shown


def test_a_number_with_leading_zero_keeps_it():
    number = next(f"{n:09d}" for n in range(1, 99) if passes_elfproef(f"{n:09d}"))
    assert Bsn.parse(number).reveal() == number


@given(st.from_regex(r"\A[0-9]{9}\Z"))
def test_exactly_the_numbers_that_pass_the_elfproef_are_taken(text):
    total = sum(weight * int(digit) for weight, digit in zip((9, 8, 7, 6, 5, 4, 3, 2, -1), text, strict=True))
    if total % 11 == 0 and text != "000000000":
        assert Bsn.parse(text).reveal() == text
    else:
        with pytest.raises(BadBsn):
            Bsn.parse(text)


@pytest.mark.parametrize(
    "use",
    [
        str,
        "{}".format,
        "%s".__mod__,
        bytes,
        list,
        len,
        hash,
        int,
        vars,
        pickle.dumps,
        copy.copy,
        copy.deepcopy,
        json.dumps,
        msgspec.json.encode,
        lambda bsn: f"{bsn:>9}",
        lambda bsn: {bsn},
        lambda bsn: {bsn: 1},
        lambda bsn: bsn[0],
        lambda bsn: "9" in bsn,
        lambda bsn: sorted([bsn, bsn]),
        lambda bsn: setattr(bsn, "_digits", "1"),
        "".join,
    ],
)
def test_a_bsn_cannot_be_turned_into_anything_else(use):
    with pytest.raises(TypeError) as caught:
        use(Bsn.parse(NUMBER))
    assert NUMBER not in "".join(traceback.format_exception(caught.value)[-1:])


def test_repr_shows_nothing():
    bsn = Bsn.parse(NUMBER)
    assert repr(bsn) == repr([bsn])[1:-1] == f"{bsn!r}" == "<Bsn>"


def test_two_numbers_can_be_compared_and_are_only_equal_to_numbers():
    assert Bsn.parse(NUMBER) == Bsn.parse(NUMBER)
    other = next(n for n in map(str, range(999990020, 999990050)) if passes_elfproef(n))
    assert Bsn.parse(NUMBER) != Bsn.parse(other)
    assert Bsn.parse(NUMBER) != NUMBER


def test_there_is_no_other_way_to_make_one():
    with pytest.raises(TypeError):
        Bsn()
    with pytest.raises(TypeError):
        type("Other", (Bsn,), {})
