"""What becomes of a record that has changed, among the people whom it might be one with?"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from services.profile.duplicates.deciding import Thresholds
from services.profile.duplicates.placing import Question, Renewed, Scene, Settled, renewed
from services.profile.duplicates.portrait import Portrait, portrait_of
from services.profile.duplicates.weights import SHIPPED

HANA: dict[str, Any] = {
    "name": "김하늘",
    "birth_date": "1988-04-17",
    "address": "서울 마포구 양화로 45",
    "city": "서울",
    "postal_code": "04036",
    "phone": "010-7182-8182",
}
SLIPPED = {**HANA, "phone": "010-7182-8183"}
TWIN = {**HANA, "name": "김하은"}
STRANGER = {
    **HANA,
    "name": "박서준",
    "birth_date": "1970-01-02",
    "phone": "010-9999-1234",
    "address": "부산 해운대로 1",
}


def scene(
    people: dict[str, dict[str, dict[str, Any]]], *, apart: Iterable[tuple[str, str]] = (), automatic: bool = True
) -> Scene:
    """People by id, each with their records and what is known of those."""
    portraits: dict[str, Portrait] = {}
    kept: dict[str, set[str]] = {}
    for one, other in apart:
        kept.setdefault(one, set()).add(other)
        kept.setdefault(other, set()).add(one)
    for records in people.values():
        portraits |= {record: portrait_of(record, traits, region="KR") for record, traits in records.items() if traits}
    person_of = {record: person for person, records in people.items() for record in records}
    return Scene(
        portraits,
        person_of,
        {person: list(records) for person, records in people.items()},
        kept,
        SHIPPED,
        Thresholds(),
        automatic,
    )


def pairs(found: Settled) -> set[tuple[str, str]]:
    return {(edge.left, edge.right) for edge in found.reviews}


def test_a_record_joins_whom_it_surely_is_and_nobody_else() -> None:
    place = scene({"p": {"a": HANA}, "q": {"b": SLIPPED}, "r": {"c": STRANGER}})
    found = place.settle("b", ["a", "c"])
    assert found.joined is not None
    assert (found.joined.left, found.joined.right, found.reviews) == ("a", "b", ())


def test_those_who_are_kept_apart_are_neither_joined_nor_asked_about() -> None:
    people = {"p": {"a": HANA, "a2": HANA}, "q": {"b": SLIPPED, "b2": {}}}
    found = scene(people, apart=[("a2", "b2")]).settle("b", ["a"])
    assert found == Settled(None, ())


def test_without_leave_to_link_somebody_is_asked() -> None:
    found = scene({"p": {"a": HANA}, "q": {"b": SLIPPED}}, automatic=False).settle("b", ["a"])
    assert (found.joined, pairs(found)) == (None, {("a", "b")})


def test_a_twin_is_asked_about() -> None:
    found = scene({"p": {"a": HANA}, "q": {"b": TWIN}}).settle("b", ["a"])
    assert (found.joined, pairs(found)) == (None, {("a", "b")})


def test_of_a_person_all_records_must_fit() -> None:
    people = {"p": {"a": HANA}, "q": {"b": SLIPPED, "b2": TWIN}}
    assert scene(people).settle("b", ["a"]).joined is None


def test_two_who_are_one_person_themselves_are_no_rivals() -> None:
    place = scene({"p": {"a": HANA}, "q": {"b": HANA}, "r": {"c": HANA}})
    first = place.settle("a", ["b", "c"])
    assert first.joined is not None
    assert first.reviews == ()
    second = place.settle("c", ["a", "b"])
    assert second.joined is not None
    assert len(place.records_of) == 1


def test_what_was_settled_is_known_to_the_next() -> None:
    place = scene({"p": {"a": HANA}, "q": {"b": HANA}})
    assert place.settle("a", ["b"]).joined is not None
    assert place.settle("b", ["a"]) == Settled(None, ())


def test_of_two_people_only_the_surest_pair_is_asked_about() -> None:
    place = scene({"p": {"a": HANA, "a2": {**HANA, "phone": None}}, "q": {"b": TWIN}})
    settled = {"b": place.settle("b", ["a", "a2"])}
    found = renewed(place, settled, [Question("old", "a2", "b", 1.0), Question("other", "a", "z", 1.0)])
    assert [(edge.left, edge.right) for edge in found.asked] == [("a", "b")]
    assert found.dropped == ("old",)
    again = renewed(place, {"a2": place.settle("a2", ["b"])}, [Question("new", "a", "b", 99.0)])
    assert again == Renewed((), ())


def test_a_question_that_nobody_would_ask_any_more_is_taken_back() -> None:
    place = scene({"p": {"a": HANA}, "q": {"b": STRANGER}})
    settled = {"b": place.settle("b", ["a"])}
    assert renewed(place, settled, [Question("old", "a", "b", 3.0)]) == Renewed((), ("old",))


def test_nothing_is_asked_about_records_of_one_person() -> None:
    place = scene({"p": {"a": HANA, "b": TWIN}})
    assert renewed(place, {}, [Question("old", "a", "b", 3.0)]) == Renewed((), ("old",))
