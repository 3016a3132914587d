"""Is it known what a customer holds, which papers are good and how content they are, on the day that it changes?"""

from __future__ import annotations

from datetime import date
from typing import Any

import pytest

from services.profile import person
from services.profile.person import Customer, Definitions, Moment, Occurrence
from services.profile.person.chapter import Chapter
from services.profile.person.folding import CHAPTERS
from services.profile.person.holdings import KINDS_MAX

DEFINED = Definitions()


def day(text: str) -> int:
    return date.fromisoformat(text).toordinal()


def happened(type_: str, at: int, /, **data: Any) -> Occurrence:
    return Occurrence(type_, at, "crm", f"{type_}-{at}", data)


def customer(*events: Occurrence) -> Customer:
    made = Customer("p")
    for event in events:
        person.apply(made, event, DEFINED)
    return made


def chapter(name: str) -> Chapter:
    return next(each for each in CHAPTERS if each.name == name)


def on(text: str, name: str, *records: Customer) -> dict[str, Any]:
    return chapter(name).fields(records, Moment(day(text), DEFINED))


def due(text: str, name: str, *records: Customer) -> str | None:
    found = chapter(name).due(records, Moment(day(text), DEFINED))
    return date.fromordinal(found).isoformat() if found else None


def shown(text: str, name: str, *records: Customer) -> list[dict[str, Any]]:
    made = chapter(name).shown
    assert made is not None
    found: list[dict[str, Any]] = made(records, Moment(day(text), DEFINED))
    return found


def test_a_contract_is_held_until_its_last_day_and_no_longer() -> None:
    seen = customer(happened("contract.opened", 1, contract="c-1", kind="tea-club", ends_on="2026-12-31"))
    assert on("2026-12-31", "holdings", seen) == {
        "holding_count": 1,
        "holds_tea_club": True,
        "next_contract_end_on": "2026-12-31",
    }
    assert due("2026-12-30", "holdings", seen) == "2027-01-01"
    assert on("2027-01-01", "holdings", seen) == {"holding_count": 0}
    assert due("2027-01-01", "holdings", seen) is None
    assert shown("2027-01-01", "holdings", seen)[0]["status"] == "ended"


def test_a_contract_that_is_ending_has_the_end_that_was_said_last() -> None:
    seen = customer(
        happened("contract.opened", 1, contract="c-1", product="tea-club", amount=19000, currency="KRW"),
        happened("contract.ending", 2, contract="c-1", ends_on="2026-06-30"),
    )
    [held] = shown("2026-06-01", "holdings", seen)
    assert (held["status"], held["ends_on"], held["product"]) == ("ending", "2026-06-30", "tea-club")
    assert (held["amount"], held["currency"]) == ("19000", "KRW")
    person.apply(seen, happened("contract.opened", 3, contract="c-1", ends_on="2027-06-30"), DEFINED)
    assert shown("2026-06-01", "holdings", seen)[0]["status"] == "active"
    assert on("2026-06-01", "holdings", seen)["next_contract_end_on"] == "2027-06-30"


def test_a_closed_contract_is_held_again_when_it_is_opened_again() -> None:
    opened = happened("contract.opened", 1, contract="c-1")
    closed = happened("contract.closed", 2, contract="c-1", reason="moved away")
    seen = customer(closed, opened)
    assert on("2026-01-01", "holdings", seen)["holding_count"] == 0
    assert shown("2026-01-01", "holdings", seen)[0]["reason"] == "moved away"
    person.apply(seen, happened("contract.opened", 3, contract="c-1"), DEFINED)
    assert on("2026-01-01", "holdings", seen)["holding_count"] == 1


def test_a_registered_product_is_held_beyond_its_warranty() -> None:
    seen = customer(
        happened("product.registered", 1, product="kettle-2", serial="S1", warranty_until="2026-03-01"),
        happened("product.registered", 2, product="kettle-2", serial="S2"),
    )
    found = on("2026-03-01", "holdings", seen)
    assert (found["holding_count"], found["next_warranty_end_on"]) == (2, "2026-03-01")
    assert due("2026-03-01", "holdings", seen) == "2026-03-02"
    later = on("2026-03-02", "holdings", seen)
    assert later["holding_count"] == 2 and "next_warranty_end_on" not in later
    person.apply(seen, happened("product.disposed", 3, serial="S1"), DEFINED)
    assert on("2026-03-01", "holdings", seen)["holding_count"] == 1


def test_kinds_become_names_only_where_they_can_and_no_more_than_there_is_room_for() -> None:
    odd = customer(
        *(happened("contract.opened", at, contract=f"c{at}", kind=k) for at, k in enumerate(["보험", "1st"]))
    )
    assert on("2026-01-01", "holdings", odd) == {"holding_count": 2}
    many = customer(*(happened("contract.opened", at, contract=f"c{at}", kind=f"k{at}") for at in range(60)))
    found = on("2026-01-01", "holdings", many)
    assert found["holding_count"] == 60
    assert sum(name.startswith("holds_") for name in found) == KINDS_MAX


def test_a_document_warns_a_month_before_it_expires() -> None:
    seen = customer(happened("document.received", 1, document="id-1", kind="passport", expires_on="2026-07-31"))
    assert on("2026-06-30", "documents", seen)["documents_expiring_30d"] == 0
    assert due("2026-06-30", "documents", seen) == "2026-07-01"
    assert on("2026-07-01", "documents", seen)["documents_expiring_30d"] == 1
    assert due("2026-07-01", "documents", seen) == "2026-08-01"
    assert on("2026-08-01", "documents", seen) == {
        "document_count": 1,
        "document_expired_count": 1,
        "documents_expiring_30d": 0,
    }
    assert due("2026-08-01", "documents", seen) is None


def test_a_document_is_what_was_found_of_its_newest_version() -> None:
    seen = customer(
        happened("document.received", 1, document="d", hash="aa", contract="c-1"),
        happened("document.verified", 2, document="d"),
    )
    assert shown("2026-01-01", "documents", seen)[0]["status"] == "verified"
    assert shown("2026-01-01", "documents", seen)[0]["contract"] == "c-1"
    person.apply(seen, happened("document.expired", 3, document="d"), DEFINED)
    assert on("2026-01-01", "documents", seen)["document_expired_count"] == 1
    person.apply(seen, happened("document.received", 4, document="d", hash="bb"), DEFINED)
    [again] = shown("2026-01-01", "documents", seen)
    assert (again["status"], again["hash"]) == ("received", "bb")


@pytest.mark.parametrize(
    ("score", "class_"), [(10, "promoter"), (9, "promoter"), (8.9, "passive"), (7, "passive"), (6, "detractor")]
)
def test_an_answer_says_what_kind_of_customer_gave_it(score: float, class_: str) -> None:
    assert on("2026-01-01", "surveys", customer(happened("survey.answered", 1, score=score)))["nps_class"] == class_


def test_scores_of_other_scales_are_brought_to_ten_and_averaged_exactly() -> None:
    one = customer(happened("survey.answered", 1, score=4, scale_max=5), happened("survey.answered", 3, score=7.5))
    two = customer(happened("survey.answered", 2, score=0.1), happened("survey.answered", 4))
    assert on("2026-01-01", "surveys", one, two) == {
        "survey_count": 4,
        "survey_score_last": 7.5,
        "survey_score_average": 5.2,
        "nps_class": "passive",
    }


@pytest.mark.parametrize("score", [True, "9", None, [], 1e17, float("inf")])
def test_what_is_no_score_counts_as_an_answer_alone(score: object) -> None:
    seen = customer(happened("survey.answered", 1, score=score))
    assert on("2026-01-01", "surveys", seen) == {"survey_count": 1}
