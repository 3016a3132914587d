"""Is a customer's complaint open until it is settled, in whatever order its events come, however many there are?"""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest

from services.profile import person
from services.profile.person import Customer, Definitions, Moment, Occurrence
from services.profile.person.cases import OPENED_MAX, RESOLVED_MAX

DEFINED = Definitions()
TODAY = Moment(730_000, DEFINED)


def happened(type_: str, at: int, /, **data: Any) -> Occurrence:
    return Occurrence(type_, at, "crm", f"{type_}-{at}", data, channel="call", branch="gangnam")


def customer(*events: Occurrence) -> Customer:
    made = Customer("p")
    for event in events:
        person.apply(made, event, DEFINED)
    return made


def fields(*records: Customer) -> dict[str, Any]:
    return person.view(records, TODAY)


def shown(*records: Customer) -> dict[str, Any]:
    found: dict[str, Any] = person.sections(records, TODAY)["cases"]
    return found


def test_a_case_goes_from_opened_to_resolved_to_reopened() -> None:
    seen = customer(happened("service_request", 1, case="s-1", cause="broken zip", product="bag-3"))
    assert (fields(seen)["open_case_count"], fields(seen)["open_complaint"]) == (1, False)
    person.apply(seen, happened("case_resolved", 2, case="s-1", outcome="repaired"), DEFINED)
    [settled] = shown(seen)["settled"]
    assert (settled["kind"], settled["cause"], settled["product"]) == ("service_request", "broken zip", "bag-3")
    assert (settled["branch"], settled["outcome"], fields(seen)["open_case_count"]) == ("gangnam", "repaired", 0)
    person.apply(seen, happened("case_reopened", 3, case="s-1"), DEFINED)
    [again] = shown(seen)["open"]
    assert again["reopened_at"] is not None and again["resolved_at"] is None
    assert fields(seen)["open_case_count"] == 1


def test_a_complaint_without_a_case_is_named_by_its_event() -> None:
    seen = customer(happened("complaint", 1), happened("complaint_resolved", 2, case="complaint-1"))
    assert (fields(seen)["open_complaint"], fields(seen)["complaint_count"]) == (False, 1)
    assert fields(seen)["last_complaint_resolved_at"].timestamp() == 0.002


def test_a_resolution_without_a_case_settles_all_complaints_before_it_and_no_request() -> None:
    seen = customer(
        happened("complaint", 1, case="a"),
        happened("service_request", 2, case="b"),
        happened("complaint_resolved", 3),
        happened("complaint", 4, case="c"),
    )
    assert {each["case"] for each in shown(seen)["open"]} == {"b", "c"}
    assert person.suppressed([seen], TODAY) == ["open_complaint"]


@pytest.mark.parametrize("name", [False, 1.5, [], {}, ["a"], "", " "])
def test_what_is_no_name_of_a_case_settles_nothing(name: object) -> None:
    seen = customer(happened("complaint", 1, case="a"), happened("complaint_resolved", 2, case=name))
    assert fields(seen)["open_complaint"] is True


def test_a_question_without_a_case_was_answered_as_it_was_asked() -> None:
    seen = customer(happened("inquiry", 1, topic="opening hours"), happened("inquiry", 2, case="q-1"))
    assert [each["case"] for each in shown(seen)["open"]] == ["q-1"]
    assert [each["cause"] for each in shown(seen)["settled"]] == ["opening hours"]


def test_a_question_that_becomes_a_complaint_is_one_case() -> None:
    seen = customer(happened("inquiry", 1, case="q-1"), happened("complaint", 2, case="q-1"))
    assert [each["kind"] for each in shown(seen)["open"]] == ["complaint"]
    assert fields(seen)["open_case_count"] == 1


def test_no_number_of_questions_drives_an_open_complaint_out() -> None:
    seen = customer(happened("complaint", 1, case="old"))
    for at in range(2, 5_000):
        person.apply(seen, happened("service_request", at, case=f"s-{at}"), DEFINED)
    assert fields(seen)["open_complaint"] is True
    assert fields(seen)["open_case_count"] == 1 + OPENED_MAX


def test_a_resolution_that_had_to_go_leaves_its_case_open_rather_than_settled() -> None:
    seen = customer(happened("complaint", 9_000, case="late"), happened("complaint_resolved", 9_001, case="late"))
    for at in range(9_002, 9_003 + RESOLVED_MAX):
        person.apply(seen, happened("complaint_resolved", at, case=f"never-opened-{at}"), DEFINED)
    assert fields(seen)["open_complaint"] is True


def test_two_records_know_together_what_one_would_have_known() -> None:
    events = [
        happened("complaint", 1, case="a"),
        happened("complaint_resolved", 2, case="a", outcome="refunded"),
        happened("service_request", 3, case="b"),
        happened("case_reopened", 4, case="a"),
        happened("case_resolved", 5, case="b"),
        happened("complaint_resolved", 6),
    ]
    whole = fields(customer(*events)) | {"version": 0}
    for size in range(len(events) + 1):
        for chosen in itertools.combinations(events, size):
            rest = [each for each in events if each not in chosen]
            assert fields(customer(*chosen), customer(*rest)) | {"version": 0} == whole


def test_the_order_of_arrival_leaves_no_trace_even_where_much_had_to_go() -> None:
    chance = random.Random(4)
    kinds = ["complaint", "service_request", "inquiry", "case_resolved", "complaint_resolved", "case_reopened"]
    events = [
        Occurrence(chance.choice(kinds), chance.randrange(1, 600), "crm", f"e-{number}", {"case": f"c-{number % 400}"})
        for number in range(1_500)
    ]
    first = customer(*events)
    assert first.cases is not None
    assert len(first.cases.complaints) == OPENED_MAX
    for _ in range(3):
        chance.shuffle(events)
        again = customer(*events)
        assert again.cases == first.cases
        assert fields(again) | {"version": 0} == fields(first) | {"version": 0}
