"""Is what is not looked at, because nothing is kept, what a look would have found?"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common import clock
from services.profile import holding, person
from services.profile.person import Customer, Definitions, Moment, Occurrence, folding
from services.profile.person.consent_terms import ConsentTerms, Duties, Level
from services.profile.person.folding import CHAPTERS, SILENT
from services.profile.person.measure_terms import Grades, Lifecycle, Rfm
from services.profile.person.quality_terms import QualityTerms

NOON_MS = 1_780_000_000_000
DAY_MS = 86_400_000
OTHERWISE = Definitions(
    number=7,
    consents=ConsentTerms(jurisdiction="EU", duties={"EU": Duties(3, 1)}, levels=[Level("known"), Level("unknown")]),
    lifecycle=Lifecycle(lead_events=frozenset({"visit"})),
    rfm=Rfm(window_days=100),
    grades=Grades(),
    quality=QualityTerms(expected={"name": ["first_name"]}, fresh_days=9),
)
EVENTS: list[tuple[str, dict[str, Any]]] = [
    ("identify", {"traits": {"first_name": "Mina", "email": "mina@example.com", "tier": "gold"}}),
    ("purchase", {"amount": 5_000, "currency": "KRW", "items": [{"product": "tea", "category": "drinks"}]}),
    ("refund", {"amount": 400, "currency": "KRW"}),
    ("consent_given", {"channel": "email"}),
    ("consent_withdrawn", {"channel": "email"}),
    ("complaint", {"case": "c-1", "cause": "late"}),
    ("contract.opened", {"contract": "k-1", "kind": "lease", "ends_on": "2027-01-01"}),
    ("survey.answered", {"score": 9}),
    ("life.move", {}),
    ("visit", {}),
]
told = st.lists(st.tuples(st.sampled_from(EVENTS), st.integers(-800, 0)), max_size=8)


def happened(kind: str, data: dict[str, Any], day: int) -> Occurrence:
    at_ms = NOON_MS + day * DAY_MS
    return Occurrence(kind, at_ms, "pos", f"{kind}{day}", data, {}, "pos", "gangnam", at_ms)


def folded(events: list[tuple[tuple[str, dict[str, Any]], int]]) -> Customer:
    made = Customer("p" * 36)
    for (kind, data), day in events:
        person.apply(made, happened(kind, data, day), Definitions())
    return made


@pytest.mark.parametrize("defined", [Definitions(), OTHERWISE])
@pytest.mark.parametrize("day", [1, 730_000, 739_000])
def test_a_chapter_that_keeps_nothing_says_the_same_by_whatever_definitions(defined: Definitions, day: int) -> None:
    nobody, at = [Customer("")], Moment(day, defined)

    said = {each.name: folding.part(index, nobody, at) for index, each in enumerate(CHAPTERS) if each.keeps}
    due = {each.name: each.due(nobody, at) for each in CHAPTERS if each.wakes}

    assert said == {each.name: SILENT[index] for index, each in enumerate(CHAPTERS) if each.keeps}
    assert set(due.values()) == {None}


@given(told, st.integers(0, 900))
def test_what_is_known_without_a_look_is_what_a_look_would_find(
    events: list[tuple[tuple[str, dict[str, Any]], int]], later: int
) -> None:
    made = folded(events)
    at = Moment(Definitions().day_of(NOON_MS) + later, OTHERWISE)
    looked = folding.parts([made], at)

    without = holding.hold(made.person_id, made).parts

    assert [look if known is None else known for known, look in zip(without, looked, strict=True)] == looked
    days = {each.name: each.due([made], at) for each in CHAPTERS if each.wakes}
    assert person.dues([made], at, person.EVERYTHING, {}) == {
        name: day for name, day in days.items() if day is not None
    }


@given(told, st.sampled_from(EVENTS), st.integers(0, 900))
def test_an_event_on_a_later_day_shows_the_same_to_whoever_had_the_customer_at_hand(
    events: list[tuple[tuple[str, dict[str, Any]], int]], last: tuple[str, dict[str, Any]], later: int
) -> None:
    """What is kept of the views from one day to another is told from what is not."""
    now, defined = clock.from_ms(NOON_MS), Definitions()
    made = holding.hold("p" * 36, folded(events))
    holding.step(made, happened("visit", {}, 0), defined, [], now)
    fresh = holding.hold("p" * 36, holding.restored(holding.stored(made.customer)))
    event = happened(*last, later)

    at_hand, restored = (holding.step(each, event, defined, [], now) for each in (made, fresh))

    assert at_hand[0] == restored[0]
    assert msgspec.json.decode(at_hand[1]) == msgspec.json.decode(restored[1])
    assert msgspec.json.decode(at_hand[1])["version"] == made.customer.version
    whole = person.view([made.customer], Moment(made.day, defined))
    assert msgspec.json.decode(at_hand[1]) == msgspec.json.decode(msgspec.json.encode(whole))


@given(
    st.dictionaries(st.sampled_from("abcdef"), st.none() | st.integers(0, 2)),
    st.dictionaries(st.sampled_from("abcdef"), st.none() | st.integers(0, 2)),
)
def test_a_difference_is_every_field_that_is_not_the_same(before: dict[str, Any], after: dict[str, Any]) -> None:
    found = {name: (change.was, change.now) for name, change in person.differences(before, after).items()}

    names = before.keys() | after.keys()
    assert found == {name: (before.get(name), after.get(name)) for name in names if before.get(name) != after.get(name)}
