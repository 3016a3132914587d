"""Is what is known of an address known of that address alone, and is it seen what is missing or old?"""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from libs.common.addresses import address_mark
from services.profile import person
from services.profile.person import Customer, Definitions, Moment, Occurrence
from services.profile.person.folding import CHAPTERS
from services.profile.person.quality import home_branch
from services.profile.person.quality_terms import QualityTerms

DEFINED = Definitions()
DAY_MS = 86_400_000
TODAY = Moment(date(1970, 3, 1).toordinal(), DEFINED)


def happened(type_: str, at: int, /, **data: Any) -> Occurrence:
    return Occurrence(type_, at, "esp", f"{type_}-{at}", data)


def at_address(at: int, type_: str = "product_view", **identifiers: str) -> Occurrence:
    return Occurrence(type_, at, "web", f"{type_}-{at}", {}, identifiers)


def customer(*events: Occurrence) -> Customer:
    made = Customer("p")
    for event in events:
        person.apply(made, event, DEFINED)
    return made


def suppressed(*records: Customer) -> list[str]:
    return person.suppressed(records, TODAY)


def fields(*records: Customer) -> dict[str, Any]:
    return person.view(records, TODAY)


def test_a_new_address_does_not_bounce_because_the_old_one_did() -> None:
    seen = customer(at_address(1, email="old@a.kr"), happened("message.bounced", 2, channel="email"))
    assert (suppressed(seen), fields(seen)["email_status"]) == (["bounced:email"], "bounced")
    person.apply(seen, at_address(3, email="new@a.kr"), DEFINED)
    assert (suppressed(seen), fields(seen)["has_deliverable_email"]) == ([], True)
    person.apply(seen, at_address(4, email="old@a.kr"), DEFINED)
    assert suppressed(seen) == ["bounced:email"]


def test_a_bounce_of_the_old_address_that_comes_late_is_no_bounce_of_the_new_one() -> None:
    known = [at_address(1, email="old@a.kr"), at_address(5, email="new@a.kr")]
    said = happened("message.bounced", 9, channel="email", address_mark=address_mark("Old@A.kr "))
    assert suppressed(customer(*known, said)) == []
    silent = happened("message.bounced", 9, channel="email")
    assert suppressed(customer(*known, silent)) == ["bounced:email"]
    assert suppressed(customer(*known, happened("message.bounced", 4, channel="email"))) == []


def test_a_message_to_an_old_address_does_not_make_it_the_present_one() -> None:
    seen = customer(at_address(1, email="old@a.kr"), at_address(5, email="new@a.kr"))
    person.apply(seen, at_address(9, "message.bounced", email="old@a.kr"), DEFINED)
    assert suppressed(seen) == []
    assert seen.contacts is not None and seen.contacts.held["email"].value == "new@a.kr"


def test_what_arrives_or_is_answered_later_clears_a_bounce() -> None:
    seen = customer(at_address(1, email="a@a.kr"), happened("message.bounced", 2, channel="email"))
    for type_ in ("message.delivered", "message.clicked", "address.verified"):
        again = customer(at_address(1, email="a@a.kr"), happened("message.bounced", 2), happened(type_, 3))
        assert suppressed(again) == []
        assert fields(again)["email_status"] == "verified"
    person.apply(seen, happened("message.delivered", 1, channel="email"), DEFINED)
    assert suppressed(seen) == ["bounced:email"]


def test_bounces_for_now_count_by_days_until_something_arrives() -> None:
    soft = [happened("message.bounced", day * DAY_MS, kind="soft") for day in range(1, 6)]
    seen = customer(at_address(1, email="a@a.kr"), *soft[:4])
    assert (suppressed(seen), fields(seen)["email_status"]) == ([], "soft_bouncing")
    person.apply(seen, happened("message.bounced", DAY_MS + 5, soft=True), DEFINED)
    assert suppressed(seen) == []
    person.apply(seen, soft[4], DEFINED)
    assert suppressed(seen) == ["bounced:email"]
    person.apply(seen, happened("message.delivered", 5 * DAY_MS + 1), DEFINED)
    assert (suppressed(seen), fields(seen)["email_status"]) == ([], "verified")


def test_a_wrong_number_is_wrong_for_calls_and_texts_until_there_is_another() -> None:
    seen = customer(at_address(1, phone="+821011112222"), happened("task.done", 2, channel="call", outcome="reached"))
    assert fields(seen)["phone_status"] == "verified"
    person.apply(seen, happened("call_outcome", 3, outcome="wrong_number"), DEFINED)
    assert (suppressed(seen), fields(seen)["has_deliverable_phone"]) == (["wrong:phone"], False)
    person.apply(seen, at_address(4, phone="+821033334444"), DEFINED)
    assert suppressed(seen) == []


def test_returned_post_stands_until_there_is_another_address() -> None:
    def moved(at: int, street: str) -> Occurrence:
        return happened("identify", at, traits={"street": street, "city": "Seoul"})

    seen = customer(moved(1, "Toegye-ro 1"), happened("address.wrong", 2, point="post"))
    assert suppressed(seen) == ["wrong:post"]
    person.apply(seen, moved(3, "Toegye-ro 1"), DEFINED)
    assert suppressed(seen) == ["wrong:post"]
    person.apply(seen, moved(4, "Sejong-daero 2"), DEFINED)
    assert suppressed(seen) == []


def test_a_bounce_at_one_place_forbids_that_place() -> None:
    seen = customer(at_address(1, phone="+821011112222"), happened("message.bounced", 2, channel="sms"))
    assert suppressed(seen) == ["bounced:sms"]


@pytest.mark.parametrize("channel", ["pigeon", ["email"], 5, {"a": 1}])
def test_a_bounce_at_no_place_that_there_is_forbids_nothing(channel: object) -> None:
    assert suppressed(customer(at_address(1, email="a@a.kr"), happened("message.bounced", 2, channel=channel))) == []


def test_the_newest_address_of_all_records_is_the_persons() -> None:
    old = customer(at_address(1, email="old@a.kr"), happened("message.bounced", 2))
    new = customer(at_address(5, email="new@a.kr"))
    assert (suppressed(old), suppressed(old, new)) == (["bounced:email"], [])


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("A@b.kr ", "a@B.KR", True),
        ("010-1234-5678", "+82 10 1234 5678", True),
        ("a@b.kr", "a@b.krr", False),
        ("+821012345678", "+821012345679", False),
        ("12345678@b.kr", "99912345678@b.kr", False),
    ],
)
def test_a_mark_is_that_of_the_address_however_it_is_written(one: str, other: str, same: bool) -> None:
    assert (address_mark(one) == address_mark(other)) is same


def test_completeness_is_the_share_of_what_should_be_known() -> None:
    terms = QualityTerms(expected={"name": ["name", "first_name"], "email": ["email"], "phone": ["phone"]})
    at = Moment(TODAY.day, Definitions(quality=terms))
    seen = customer(happened("identify", 1, traits={"first_name": "Mina"}), at_address(2, email="a@b.kr"))
    assert person.view([seen], at)["quality_completeness"] == 0.67
    section = person.sections([seen], at)["quality"]
    assert (section["missing"], section["contact_stale"]) == (["phone"], False)


def test_contacts_that_nobody_confirmed_for_long_are_stale_on_the_day_after() -> None:
    seen = customer(at_address(1, email="a@b.kr"))
    freshness = next(each for each in CHAPTERS if each.name == "freshness")
    first = DEFINED.day_of(1)
    turns = freshness.due([seen], Moment(first, DEFINED))
    assert turns == first + 366
    assert freshness.fields([seen], Moment(turns - 1, DEFINED))["contact_stale"] is False
    assert freshness.fields([seen], Moment(turns, DEFINED))["contact_stale"] is True
    assert freshness.due([seen], Moment(turns, DEFINED)) is None


def test_home_is_where_the_newest_purchase_was_unless_somebody_said_so() -> None:
    def bought(at: int, branch: str) -> Occurrence:
        return Occurrence("purchase", at, "pos", f"b-{at}", {}, {}, "pos", branch)

    one, two = customer(bought(3, "gangnam"), bought(1, "jamsil")), customer(bought(2, "mapo"))
    assert (home_branch([one], DEFINED), home_branch([two, one], DEFINED), home_branch([Customer("x")], DEFINED)) == (
        "gangnam",
        "gangnam",
        "",
    )
    person.apply(two, happened("identify", 4, traits={"home_branch": "seocho"}), DEFINED)
    assert home_branch([one, two], DEFINED) == "seocho"
