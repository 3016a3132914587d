"""Is a portrait drawn of whatever is known, and drawn again only when that has changed?"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.profile import person
from services.profile.finder.pace import BEHIND_MESSAGES, Pace
from services.profile.person import Customer, Definitions, Occurrence
from services.profile.portraits import draw, key_numbers
from services.profile.searching import terms_of

DEFINED = Definitions()


def customer(*said: dict[str, Any], **identifiers: str) -> Customer:
    made = Customer("r")
    for at, traits in enumerate(said, 1):
        person.apply(made, Occurrence("identify", at, "crm", str(at), {"traits": traits}, identifiers), DEFINED)
    return made


@pytest.mark.parametrize(
    ("traits", "name"),
    [
        ({"name": " 김  하늘 "}, "김 하늘"),
        ({"first_name": "하늘", "last_name": "김"}, "김하늘"),
        ({"firstName": "Mary-Jane", "lastName": "O'Brien"}, "Mary-Jane O'Brien"),
        ({"first_name": "Mary"}, "Mary"),
        ({"name": 12}, "12"),
        ({}, ""),
    ],
)
def test_a_name_is_shown_as_it_was_written(traits: dict[str, Any], name: str) -> None:
    assert draw("r", customer(traits), "KR").name == name


def test_what_delivery_reaches_somebody_by_is_what_is_compared() -> None:
    drawn = draw("r", customer({"mobile": "010-0000-1111"}, phone="+821012345678", email="a@naver.com"), "KR").portrait
    assert (drawn.phone, drawn.email) == ("+821012345678", "a@naver.com")


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=30),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
NAMES = st.sampled_from("name first_name birth_date address phone email zip city ssn 이름 shipping".split())


@given(st.dictionaries(NAMES | st.text(max_size=8), ANYTHING, max_size=8))
def test_whatever_a_source_sends_has_a_portrait(traits: dict[str, Any]) -> None:
    made = customer(traits)
    drawn = draw("r", made, "KR")
    assert len(key_numbers(drawn.portrait)) <= 19
    assert all(len(term) > 1 for term in terms_of(drawn.portrait))
    assert len(drawn.name) <= 200


@pytest.mark.parametrize(("lag", "rest"), [(0, 2.0), (BEHIND_MESSAGES, 2.0), (BEHIND_MESSAGES + 1, 18.0)])
def test_the_finder_rests_as_long_as_it_was_busy_and_longer_while_events_wait(lag: int, rest: float) -> None:
    assert Pace(lambda: lag).rest_seconds(2.0) == pytest.approx(rest)
