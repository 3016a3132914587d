"""Is it known who belongs to a customer, and do rules and the history hear no name of them?"""

from __future__ import annotations

import json
from typing import Any

import pytest

from services.profile import person
from services.profile.person import Customer, Definitions, Moment, Occurrence, without_contact_data

DEFINED = Definitions()
TODAY = Moment(730_000, DEFINED)


def happened(type_: str, at: int, /, **data: Any) -> Occurrence:
    return Occurrence(type_, at, "crm", f"{type_}-{at}", data)


def customer(*events: Occurrence) -> Customer:
    made = Customer("p")
    for event in events:
        person.apply(made, event, DEFINED)
    return made


def fields(*records: Customer) -> dict[str, Any]:
    return person.view(records, TODAY)


def relations(*records: Customer) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = person.sections(records, TODAY)["relations"]["relations"]
    return found


ANNA = {"name": "Anna", "identifier": "phone:+821012345678"}


def test_a_household_is_whoever_lives_there() -> None:
    seen = customer(
        happened("relation.added", 1, role="Spouse", other_party=ANNA, since="2019-05-01"),
        happened("relation.added", 2, role="child", other_party={"name": "Bo"}, born_on="2021-03-04"),
        happened("relation.added", 3, role="parent", other_party={"name": "Cho"}),
        happened("relation.added", 4, role="parent", other_party={"name": "Dae"}, household=True),
        happened("relation.added", 5, role="employer", other_party="Hanok Ltd"),
    )
    found = fields(seen)
    assert (found["household_size"], found["has_spouse"], found["child_count"]) == (4, True, 1)
    assert found["youngest_child_birth_year"] == 2021


def test_people_see_who_it_is_and_rules_and_the_history_do_not() -> None:
    event = happened("relation.added", 1, role="spouse", other_party=ANNA)
    seen = customer(event)
    [shown] = relations(seen)
    assert (shown["name"], shown["identifier"], shown["role"]) == ("Anna", "phone:+821012345678", "spouse")
    assert "Anna" not in shown["relation"] and "8210" not in shown["relation"]
    text = json.dumps(fields(seen), default=str) + json.dumps(without_contact_data(event.data))
    assert "Anna" not in text and "12345678" not in text


def test_a_relation_ends_by_its_party_by_its_role_or_by_its_id() -> None:
    for ending in ({"role": "spouse", "other_party": ANNA}, {"role": "spouse"}):
        seen = customer(
            happened("relation.added", 1, role="spouse", other_party=ANNA),
            happened("relation.ended", 2, until="2026-01-31", **ending),
        )
        assert (fields(seen)["has_spouse"], fields(seen)["household_size"]) == (False, 1)
        assert relations(seen)[0]["until"] == "2026-01-31"
    seen = customer(happened("relation.added", 1, role="spouse", other_party=ANNA))
    person.apply(seen, happened("relation.ended", 2, relation=relations(seen)[0]["relation"]), DEFINED)
    assert fields(seen)["has_spouse"] is False


def test_the_end_of_one_spouse_is_not_that_of_the_next() -> None:
    seen = customer(
        happened("relation.added", 1, role="spouse", other_party=ANNA),
        happened("relation.ended", 2, role="spouse"),
        happened("relation.added", 3, role="spouse", other_party={"name": "Eun"}),
    )
    assert fields(seen)["has_spouse"] is True
    assert [each["ended"] for each in relations(seen)] == [False, True]


def test_a_birth_that_was_told_twice_is_one_child() -> None:
    seen = customer(
        happened("life.childbirth", 1, child_birth_date="2024-02-29"),
        happened("life.childbirth", 2, child_birth_date="2024-02-29"),
        happened("relation.added", 3, role="child", other_party={"name": "Bo"}, born_on="2024-02-29"),
    )
    assert (fields(seen)["child_count"], fields(seen)["household_size"]) == (1, 2)
    assert fields(seen)["youngest_child_birth_year"] == 2024


def test_whoever_brings_others_is_a_referrer() -> None:
    one, two = customer(happened("referred", 1, code="A-1")), customer(happened("referred", 2))
    assert (fields(one, two)["referral_count"], fields(one)["is_referrer"]) == (2, True)
    assert fields(customer(happened("life.childbirth", 1)))["is_referrer"] is False


@pytest.mark.parametrize("role", [None, "", 1.5, [], {}])
def test_what_has_no_role_is_no_relation(role: object) -> None:
    assert customer(happened("relation.added", 1, role=role, other_party=ANNA)).relations is None
