"""A pseudonym leaves only where it must."""

import copy
import json
import pickle

import pytest

from consent.pseudonym import Pseudonym

SECRET = bytes(range(200, 232))


def test_a_pseudonym_shows_its_scope_and_never_its_value():
    shown = repr(Pseudonym("geld", SECRET))

    assert shown == "<Pseudonym geld>"
    assert SECRET.hex() not in shown


@pytest.mark.parametrize(
    "leak",
    [
        str,
        "{}".format,
        "{:>10}".format,
        bytes,
        hash,
        pickle.dumps,
        copy.copy,
        copy.deepcopy,
        json.dumps,
        list,
        vars,
    ],
    ids=lambda leak: getattr(leak, "__qualname__", str(leak)),
)
def test_a_pseudonym_cannot_be_turned_into_something_else(leak):
    with pytest.raises(TypeError):
        leak(Pseudonym("geld", SECRET))


def test_a_pseudonym_of_another_scope_is_another_pseudonym():
    assert Pseudonym("geld", SECRET) == Pseudonym("geld", SECRET)
    assert Pseudonym("geld", SECRET) != Pseudonym("werk", SECRET)
    assert Pseudonym("geld", SECRET) != SECRET


def test_a_pseudonym_has_thirty_two_bytes():
    with pytest.raises(ValueError, match="32 bytes"):
        Pseudonym("geld", SECRET[:31])


def test_a_pseudonym_gives_its_value_to_the_sealed_box_and_the_search_key():
    pseudonym = Pseudonym("geld", SECRET)

    assert pseudonym.for_sealed_points() == pseudonym.for_search_key() == SECRET
