"""Is every telephone number and every field of a person kept out of the history, and every other number left in it?"""

from __future__ import annotations

import json
import random
import time
import unicodedata
from typing import Any

import msgspec
import pytest

from services.profile.holding import hold
from services.profile.person import Customer, Occurrence
from services.profile.person.private import folded, is_private
from services.profile.person.telephones import stands_in
from services.profile.person.telling import history_of, may_reach, plain
from services.profile.person.traits import Trait, Traits
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
    assert history_of(said, []) is None


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
    data = {"store": {"phone": "02-123-4567", "name": "Gangnam", "desk": {"tel": "031-123-4567"}}}
    assert history(data) == data
    assert history({"store_phone": "02-123-4567", "order": {"phone": 1012345678, "size": 3}}) == {
        "store_phone": "02-123-4567",
        "order": {"size": 3},
    }


def test_whatever_holds_a_number_is_looked_at() -> None:
    """The first, quick look overlooks nothing that the second would find."""
    chance = random.Random(3)
    for _ in range(5_000):
        number = "".join(chance.choice("0123456789+ -.()") for _ in range(chance.randint(8, 18)))
        if chance.random() < 0.8:
            number = chance.choice(("010", "+82", "0", "02", "8210", "82-10")) + number
        text = chance.choice(("", "a", "5 ", "전화", "(")) + number
        if stands_in(plain(text)):
            body = json.dumps({"t": text}, ensure_ascii=False).encode()
            assert may_reach(body, folded(body)), text


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
            assert history_of(f"{said} VIP", [known]) is None


def test_data_that_was_looked_at_in_vain_is_given_as_it_came() -> None:
    raw = msgspec.Raw(b'{"name_of": 1.10, "items": [{"name":  "tea"}], "note_count": 1e2}')
    held = hold("c", Customer("c"))
    assert _scrubbed(raw, held, Occurrence("purchase", 1, "s"), ()) is raw


@pytest.mark.parametrize(
    "part", ["a", "a.", "@", "a@", "@a", "a@b", "1", "01", "0 ", "+1 ", "010-", "0-", "82 ", "1234-", "가", "\u200b"]
)
def test_a_hostile_text_takes_time_by_its_length_alone(part: str) -> None:
    """Four times as long a text would take sixteen times as long otherwise, and minutes by the end."""

    def seconds(length: int) -> float:
        text = part * (length // len(part))
        return min(_timed(text) for _ in range(2))

    short, long = seconds(5_000), seconds(20_000)
    assert long < 9 * short + 0.05


def _timed(text: str) -> float:
    before = time.perf_counter()
    history_of(f"{text}@", ["Mina Kim", "+821088237745"])
    history_of([text], ["Mina Kim", "+821088237745"])
    return time.perf_counter() - before
