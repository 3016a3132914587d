"""Are two ways of writing one identifier the same, and is what we write down in its last form?"""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.profile import normal
from services.profile.identity import IdentifierType, IdentityRules, Table
from services.profile.normal import normalised, record_id_in


def test_identifiers_are_compared_in_one_form() -> None:
    sent = {"phone": "010-1234-5678", "email": " Kim@Example.KR ", "loyalty_card": " 88-01 ", "cookie": "  "}
    assert normalised(sent, "KR") == {"phone": "+821012345678", "email": "kim@example.kr", "loyalty_card": "8801"}


@pytest.mark.parametrize(
    "written",
    [
        "010-1234-5678",
        "01012345678",
        "+82 10 1234 5678",
        "+82 (0)10-1234-5678",
        "+82 010 1234 5678",
        "0082 10 1234 5678",
        "0082-010-1234-5678",
        "(010) 1234.5678",
        "０１０－１２３４－５６７８",
        "010\u20111234\u20115678",
    ],
)
def test_one_number_in_many_ways_of_writing_is_one_number(written: str) -> None:
    assert normal.phone(written, "KR") == "+821012345678"


@pytest.mark.parametrize(
    ("written", "region", "number"),
    [
        ("02-312-3456", "KR", "+8223123456"),
        ("07911 123456", "GB", "+447911123456"),
        ("+44 (0)7911 123456", "KR", "+447911123456"),
        ("0044 7911 123456", "GB", "+447911123456"),
        ("(212) 555-0123", "US", "+12125550123"),
        ("+39 06 6982", "KR", "+39066982"),
    ],
)
def test_a_number_belongs_to_the_region_or_to_the_country_that_it_names(written: str, region: str, number: str) -> None:
    assert normal.phone(written, region) == number


def test_a_phone_that_is_no_number_is_kept_as_it_came() -> None:
    assert normalised({"phone": " extension 12 "}, "KR") == {"phone": "extension 12"}
    assert not normal.is_phone("extension 12")


@pytest.mark.parametrize(
    ("written", "form"),
    [
        (" Kim@Example.KR ", "kim@example.kr"),
        ("kim@example.kr.", "kim@example.kr"),
        ("kim@example.kr. ", "kim@example.kr"),
        ("kim@단골.한국", "kim@xn--bb0bu7i.xn--3e0b707e"),
        ("kim@BÜCHER.example", "kim@xn--bcher-kva.example"),
        ("kim@xn--bcher-kva.example", "kim@xn--bcher-kva.example"),
        ("k.i.m+shop@example.kr", "k.i.m+shop@example.kr"),
        ("no address", "no address"),
    ],
)
def test_an_address_is_lower_case_and_its_domain_as_the_name_system_writes_it(written: str, form: str) -> None:
    assert normal.email(written) == form


@pytest.mark.parametrize(
    "written", ["8801-1234", "8801 1234", "88011234", "8801.1234", "８８０１－１２３４", " 8801-1234\n"]
)
def test_a_card_is_the_same_with_and_without_its_separators(written: str) -> None:
    assert normalised({"loyalty_card": written}, "KR") == {"loyalty_card": "88011234"}


def test_what_counts_as_a_separator_is_defined_by_type() -> None:
    rules = Table(IdentityRules((IdentifierType("loyalty_card"), IdentifierType("account", ignored="/"))))
    sent = {"loyalty_card": "88-01", "account": "a/b-c", "partner:mall": " 8-8 "}
    assert normalised(sent, "KR", rules) == {"loyalty_card": "88-01", "account": "ab-c", "partner:mall": "8-8"}


def test_letters_that_are_composed_in_different_ways_are_the_same() -> None:
    for composed in ("김민수", "é@b.kr", "José"):
        parts = unicodedata.normalize("NFD", composed)
        assert parts != composed
        assert normalised({"account": parts}, "KR") == normalised({"account": composed}, "KR")
        assert normal.email(parts) == normal.email(composed)
        assert normal.name(f"  {parts} \t Lee ") == f"{composed} Lee"


SEPARATED = st.text(alphabet="0123456789 -.()+/０é\u0301\u00a0", max_size=24)
ANY = st.text(max_size=30) | SEPARATED | st.from_regex(r"\+?[0-9]{1,4}[ -]?\(?0?\)?[0-9 -]{4,14}", fullmatch=True)
KINDS = st.sampled_from(["customer_id", "account", "loyalty_card", "phone", "email", "partner:x", "device", "cookie"])


@settings(max_examples=1000, deadline=None)
@given(st.dictionaries(KINDS, ANY, max_size=4), st.sampled_from(["KR", "US", "GB", "IT", "DE"]))
@example({"loyalty_card": "e-\u0301"}, "KR")
@example({"email": "\u0130@\u0130.kr"}, "KR")
@example({"email": "a@b .kr."}, "KR")
@example({"email": "@\u00df"}, "KR")
def test_a_form_is_its_own_form(identifiers: dict[str, str], region: str) -> None:
    once = normalised(identifiers, region)
    assert normalised(once, region) == once


@settings(max_examples=500, deadline=None)
@given(st.text(max_size=30))
def test_a_name_in_its_form_stays_as_it_is(written: str) -> None:
    once = normal.name(written)
    assert normal.name(once) == once


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("0192D5C2-7A10-7C3E-9A41-6B1F0E2D3C4B", "0192d5c2-7a10-7c3e-9a41-6b1f0e2d3c4b"),
        ("0192d5c27a107c3e9a416b1f0e2d3c4b", ""),
        ("{0192d5c2-7a10-7c3e-9a41-6b1f0e2d3c4}", ""),
        ("crm-7", ""),
    ],
)
def test_only_what_is_written_as_an_id_can_be_the_id_of_a_record(value: str, found: str) -> None:
    assert record_id_in(value) == found
