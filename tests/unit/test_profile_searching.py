"""Does what somebody types find the people whom they mean?"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.profile.duplicates.portrait import portrait_of
from services.profile.searching import WORDS_MAX, masked_email, masked_phone, terms_of, words_of

MINSU = {"name": "김민수", "birth_date": "1990-03-15", "phone": "010-1234-5678", "email": "minsu.kim@naver.com"}
MARY = {"first_name": "Mary-Jane", "last_name": "O'Brien", "phone": "02-555-0199", "dob": "15/03/1990"}


def finds(query: str, traits: dict[str, Any]) -> bool:
    """Whether a record with these traits has every word of a query."""
    terms = terms_of(portrait_of("r", traits, region="KR"))
    words = words_of(query, "KR")
    return bool(words) and all(any(term.startswith(word.terms) for term in terms) for word in words)


@pytest.mark.parametrize(
    "query",
    [
        "김민수",
        "김민",
        "민수",
        "김 민수",
        "김민수님",
        "ㄱㅁㅅ",
        "ㅁㅅ",
        "5678",
        "45678",
        "1234",
        "010-1234",
        "010 1234 5678",
        "01012345678",
        "+82 10-1234-5678",
        "0082 10 1234 5678",
        "minsu.kim@naver.com",
        "MINSU.kim@nav",
        "minsu",
        "19900315",
        "1990-03-15",
        "900315",
        "민수 5678",
        "김민수 010 1234",
        "김민수 1990.03.15 minsu",
    ],
)
def test_a_person_is_found_by_what_is_remembered_of_them(query: str) -> None:
    assert finds(query, MINSU)


@pytest.mark.parametrize("query", ["mary", "Mary-Jane", "obrien", "O'Brien", "02-555", "0199", "1990-03-15"])
def test_a_person_with_a_latin_name_is_found_by_any_word_of_it(query: str) -> None:
    assert finds(query, MARY)


@pytest.mark.parametrize(
    "query", ["김민지", "민수 9999", "수민", "ㄱㅁㄱ", "minsa", "020-1234", "kim@naver.com", "19900316"]
)
def test_nobody_is_found_by_what_they_are_not(query: str) -> None:
    assert not finds(query, MINSU)


@pytest.mark.parametrize("query", ["", " ", "a", "0", "12", "- -", "!", "%", "_"])
def test_too_little_is_nothing_to_look_for(query: str) -> None:
    assert words_of(query, "KR") == []


def test_digits_may_be_either_end_of_a_card() -> None:
    [word] = words_of("8801-1234 5678", "KR")
    assert word.cards == ("880112345678",)
    assert words_of("CARD-12345", "KR")[0].cards == ("CARD12345",)
    assert words_of("123", "KR")[0].cards == ()


@given(st.text(max_size=120))
def test_whatever_is_typed_is_a_bounded_question(query: str) -> None:
    words = words_of(query, "KR")
    assert len(words) <= WORDS_MAX
    assert all(len(word.terms) <= 40 and all(len(term) > 1 for term in word.terms) for word in words)


@given(
    st.dictionaries(
        st.sampled_from(["name", "phone", "email", "birth", "first_name", "last_name"]), st.text(), max_size=6
    )
)
def test_whatever_a_source_sends_is_kept_under_few_short_terms(traits: dict[str, str]) -> None:
    terms = terms_of(portrait_of("r", traits, region="KR"))
    assert all(1 < len(term) <= 200 for term in terms)


def test_what_reaches_a_person_is_not_shown_in_full() -> None:
    assert masked_phone("+821012345678") == "***5678"
    assert masked_email("minsu.kim@naver.com") == "m***@naver.com"
    assert (masked_phone(""), masked_email(""), masked_email("broken")) == ("", "", "***")
