"""Is every telephone number and every field of a person kept out of the history, and every other number left in it?"""

from __future__ import annotations

import json
import random
import re
import time
import unicodedata
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from services.profile.holding import hold
from services.profile.person import Customer, Definitions, Moment, Occurrence
from services.profile.person.enriched import ENRICHED, Enriched, Lent
from services.profile.person.keeping import mark_of
from services.profile.person.private import is_private
from services.profile.person.telephones import stands_in
from services.profile.person.telling import historian, may_reach, plain, telltale_of
from services.profile.person.traits import TRAITS, Trait, Traits
from services.profile.resolving import _scrubbed

NUMBERS = [
    "010-1234-5678",
    "010 1234 5678",
    "010.1234.5678",
    "01012345678",
    "(010) 1234-5678",
    "010-12345678",
    "010 - 1234 - 5678",
    "０１０－１２３４－５６７８",
    "010\u20111234\u20115678",
    "010\u00a01234\u00a05678",
    "010\u200b-1234-5678",
    "010\t1234\t5678",
    "+82 10 1234 5678",
    "+821012345678",
    "+82-(0)10-1234-5678",
    "+1 (212) 555-0123",
    "+442079460958",
    "82-10-1234-5678",
    "821012345678",
    "02-123-4567",
    "02)123-4567",
    "0212345678",
    "031-123-4567",
    "0504-1234-5678",
    "07911123456",
    "010_1234_5678",
    "010~1234~5678",
    "010,1234,5678",
    "010:1234:5678",
    "010/1234/5678",
    "010, 1234, 5678",
    "010\u318d1234\u318d5678",
    "010\u301c1234\u301c5678",
    "02/123/4567",
    "+82,10,1234,5678",
    "82:10:1234:5678",
    "82-(0)10-1234-5678",
    "00821012345678",
    "0082-10-1234-5678",
    "001-82-10-1234-5678",
    "00182 10 1234 5678",
]
"""Each as somebody would write it."""

NO_NUMBERS = [
    "2025-07-14",
    "2025-07-14T10:11:12.123456+09:00",
    "14.07.2025 09:30",
    "20250714101112",
    "R-20250714-00817",
    "1752487872",
    "8801234567890",
    "0012345678905",
    "012345678905",
    "04012345",
    "0000123456",
    "A0212345678",
    "1234-5678-9012-3456",
    "0123-4567-8901-2345",
    "123-45-67890",
    "9f0c0123-0412-4567-8901-abcdef012345",
    "45,000,000",
    "+45000",
    "0.0212345678",
    "1588-1234",
    "10.0.0.12",
    "0 points of 100 200 3000",
    "2025-07-14 09:30:12.123456",
    "2025/07/1234/5678",
    "2025_07_1234",
    "09:30~18:00",
    "1,234,567,890",
    "+12,345,678",
    "0082101234567",
]


def history(data: Any, customer: Customer | None = None, *, ascii: bool = False) -> Any:
    """What becomes of an event's data on its way into the history; `ascii` puts everything else behind escapes."""
    raw = msgspec.Raw(json.dumps(data, ensure_ascii=ascii, separators=(",", ":")).encode())
    held = hold("c", customer or Customer("c"))
    return json.loads(bytes(_scrubbed(raw, held, Occurrence("inquiry", 1, "s"), ())))


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("text", ["{}", "call my wife {}", "{} please", "5 times {}, 3 in vain", "전화{}로", "tel:{}."])
def test_a_stranger_s_telephone_number_does_not_become_history(number: str, text: str) -> None:
    if number in ("0212345678", "07911123456") and text == "전화{}로":
        number = f" {number} "
    said = text.format(number)
    assert history({"topic": "seed", "text": said, "list": [said, "tea"], said: 1}) == {
        "topic": "seed",
        "list": ["tea"],
    }
    assert history({"text": said, "size": 3}, ascii=True) == {"size": 3}
    assert historian([])(said) is None


@pytest.mark.parametrize("text", NO_NUMBERS)
def test_a_date_an_amount_a_bar_code_and_an_order_are_no_telephone_number(text: str) -> None:
    for said in (text, f"order {text} please", f"주문 {text} 건"):
        data = {"order": said, "items": [{"sku": said}], "list": [said]}
        assert history(data) == data
    assert not stands_in(plain(text))


def test_an_article_s_code_in_one_piece_stays_and_a_mobile_number_does_not() -> None:
    data = {"items": [{"sku": "0212345678"}, {"isbn": "0306406152"}], "order_no": "0412345678", "text": "0412345678"}
    assert history(data) == {key: data[key] for key in ("items", "order_no")}
    assert history({"member_id": "01012345678", "size": 3}) == {"size": 3}


def test_the_number_of_a_branch_is_nobody_s_and_that_of_an_order_is() -> None:
    data = {"store": {"phone": "02-123-4567", "name": "Gangnam"}, "shops": [{"tel": "031-123-4567"}]}
    assert history(data) == data
    assert history({"store_phone": "02-123-4567", "order": {"phone": 1012345678, "size": 3}}) == {
        "store_phone": "02-123-4567",
        "order": {"size": 3},
    }


@pytest.mark.parametrize(
    "held",
    [
        {"location": "010-1234-5678"},
        {"seller": "Kim 010-9999-8888"},
        {"store": {"memo": "call 010-1234-5678"}},
        {"store": {"visits": [{"text": "010-1234-5678"}]}},
        {"branch": {"guest": {"tel": "031-123-4567"}}},
        {"shops": ["02-123-4567"]},
    ],
)
def test_a_place_shelters_its_own_number_and_no_text(held: dict[str, Any]) -> None:
    kept = json.dumps(history({**held, "size": 3}))
    assert not any(map(str.isdigit, kept.replace("3}", "}"))), kept


def test_whatever_holds_a_number_is_looked_at() -> None:
    """The first, quick look overlooks nothing that the second would find."""
    chance = random.Random(3)
    for _ in range(10_000):
        number = "".join(chance.choice("0123456789+ -.()_~,:/") for _ in range(chance.randint(8, 18)))
        if chance.random() < 0.8:
            number = chance.choice(("010", "+82", "0", "02", "8210", "82-10", "001 82", "010:12")) + number
        text = chance.choice(("", "a", "5 ", "전화", "(")) + number
        if stands_in(plain(text)):
            body = json.dumps({"t": text}, ensure_ascii=False).encode()
            assert may_reach(body), text


FIELDS = [
    "recipient.name", "recipient-phone", "recipient phone", "recipientPhone", "RECIPIENT_PHONE", "e.mail", "E Mail",
    "E-Mail", "e/mail", "contact[email]", "shipping_address_1", "billingPostalCode", "customer.phone.number",
    "birth/date", "home_phone", "phone2", "emails", "address line 2", "이름", "고객 이름", "수령인-연락처",
    "휴대폰 번호", "ｅｍａｉｌ", "date.of.birth", "Ｐhone", "first\u200bname", "user.profile.email",
]  # fmt: skip


@pytest.mark.parametrize("name", [*FIELDS, *(unicodedata.normalize("NFD", each) for each in FIELDS)])
def test_a_field_of_a_person_is_left_out_however_it_is_written_and_wherever_it_stands(name: str) -> None:
    assert is_private(name)
    for data in ({name: "x", "size": 3}, {"customer": {name: "x"}, "size": 3}, {"size": 3, name: {"a": ["x"]}}):
        assert history(data) in ({"size": 3}, {"customer": {}, "size": 3})


def test_a_field_that_says_whose_it_is_is_left_out_of_anything() -> None:
    data = {"order": {"recipient.name": "x", "buyerAddress": "y", "name": "gift"}, "delivery_info": {"name": "x"}}
    assert history(data) == {"order": {"name": "gift"}, "delivery_info": {}}


def test_a_field_of_a_thing_stays() -> None:
    data = {
        "product_name": "latte", "items": [{"name": "tea", "title": "Phone 15", "capacity": 3}], "velocity": 2,
        "hotel": "x", "is_gift": True, "telling": 1, "quantity": 2, "branch": {"name": "Gangnam", "city": "Seoul"},
    }  # fmt: skip
    assert history(data) == data


def test_a_name_is_found_whatever_form_its_letters_have() -> None:
    composed, parts = unicodedata.normalize("NFC", "김민아"), unicodedata.normalize("NFD", "김민아")
    for known in (composed, parts):
        for said in (composed, parts):
            customer = Customer("c", traits=Traits({"firstName": Trait(known, 1)}))
            assert history({"text": f"{said}님이 전화했다", "size": 3}, customer) == {"size": 3}
            assert historian([known])(f"{said} VIP") is None


def test_data_that_was_looked_at_in_vain_is_given_as_it_came() -> None:
    raw = msgspec.Raw(b'{"name_of": 1.10, "items": [{"name":  "tea"}], "note_count": 1e2}')
    held = hold("c", Customer("c"))
    assert _scrubbed(raw, held, Occurrence("purchase", 1, "s"), ()) is raw


def test_a_whole_number_is_looked_at_like_a_text() -> None:
    for number in (821012345678, 821012345678.0):
        assert history({"kakao": number, "size": 3}) == {"size": 3}
        assert historian([])(number) is None
        traits = Traits({"kakao": Trait(number, 1), "spent": Trait(45_000.5, 1), "vip": Trait(True, 1)})
        seen = TRAITS.fields([Customer("c", traits=traits)], Moment(1, Definitions()))
        assert seen == {"kakao": None, "spent": 45_000.5, "vip": True}
    lent = Enriched({f"kakao/{mark_of('kakao')}": Lent(1, "e", 821012345678, until_day=9)})
    assert ENRICHED.fields([Customer("c", enriched=lent)], Moment(1, Definitions())) == {"kakao": None}


@pytest.mark.parametrize(
    "part",
    [
        "a",
        "a.",
        "@",
        "a@",
        "@a",
        "a@b",
        "1",
        "01",
        "0 ",
        "+1 ",
        "010-",
        "0-",
        "0_",
        "0:1",
        "82 ",
        "1234-",
        "가",
        "\u200b",
    ],
)
def test_a_hostile_text_takes_time_by_its_length_alone(part: str) -> None:
    """Four times as long a text would take sixteen times as long otherwise, and minutes by the end."""
    said = historian(["Mina Kim", "+821088237745", "a" * 99, "1-" * 60 + "0"])

    def looked_at(length: int) -> None:
        text = part * (length // len(part))
        said(f"{text}@")
        said([text, f"{'a' * 64}@{text}"])

    assert _growth(looked_at, 10_000) < 9


def test_hostile_names_take_time_by_their_length_alone() -> None:
    """Names and codes that all but stand in the text, and overlap with themselves."""

    def looked_at(length: int) -> None:
        size = length // 30
        names = [f"{'a' * (size - at)}" for at in range(15)] + [f"{'1-' * (size // 2)}{at}" for at in range(15)]
        assert historian(names)([f"{'a' * length} b", "1-" * (length // 2), f"{'ab ' * length}"]) is not None

    assert _growth(looked_at, 10_000) < 9


def test_what_stands_around_an_at_is_gone_through_once() -> None:
    def looked_at(signs: int) -> None:
        historian([])("a" * 64 + "@" * signs + "b" * 200_000)

    without, behind = (min(_seconds(looked_at, signs) for _ in range(3)) for signs in (0, 1))
    assert behind < 9 * without


def test_no_pattern_is_made_of_what_somebody_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """To make one of many long names takes seconds, and some would take for ever to look for."""
    monkeypatch.setattr(re, "compile", None)
    names = [f"{number}-" * 400 for number in range(300)]
    tells = telltale_of(names, reaching=True)
    assert tells(f"so {names[7]}") and not tells("-" * 2_000)


def _growth(what: Callable[[int], None], length: int) -> float:
    """How many times as long four times the length takes: 4 by its length alone, 16 by its square."""
    times = [[_seconds(what, each) for each in (length, 4 * length)] for _ in range(3)]
    return min(long for _, long in times) / min(short for short, _ in times)


def _seconds(what: Callable[[int], None], length: int) -> float:
    before = time.process_time()
    what(length)
    return time.process_time() - before


def test_a_name_that_nobody_looks_for_anew_is_found_at_its_borders_alone() -> None:
    for name, text, found in (
        ("mina", "Minamino", False),
        ("mina", "minamina mina", True),
        ("8801-0417", "card 8801 0417!", True),
        ("88010417", "880/1041/7", True),
        ("88010417", "a8801-0417", False),
        ("88010417", "8 8 0 1 0 4 1 7 5", True),
        ("88010417", "88 and 01, 04 and 17", False),
        ("가나다라", "x가나다라y", True),
        ("x" * 1_500, f"the {'x' * 1_500} of", True),
        ("----1234", "1234", True),
        ("-----1", "1", False),
    ):
        assert telltale_of([name])(text) is found, (name, text)
