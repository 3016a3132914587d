"""Do notes and restrictions hold, and do all chapters of care stay the same in any order and small at any size?"""

from __future__ import annotations

import random
import time
from datetime import date
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.common import clock
from services.profile import holding, person
from services.profile.person import Customer, Definitions, Moment, Occurrence, without_contact_data
from services.profile.person.folding import CHAPTERS
from services.profile.person.notes import NOTES_MAX

DEFINED = Definitions()
DAY_MS = 86_400_000
TODAY = Moment(date(1970, 3, 1).toordinal(), DEFINED)
KEPT = "contacts deliverability cases relations holdings papers surveys notes restrictions quality".split()


def happened(type_: str, at: int, /, source: str = "dangol/api/agent-7", **data: Any) -> Occurrence:
    return Occurrence(type_, at, source, f"{type_}-{at}", data)


def customer(*events: Occurrence) -> Customer:
    made = Customer("p")
    for event in events:
        person.apply(made, event, DEFINED)
    return made


def suppressed(*records: Customer, day: int = TODAY.day) -> list[str]:
    return person.suppressed(records, Moment(day, DEFINED))


def notes(*records: Customer) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = person.sections(records, TODAY)["notes"]
    return found


def test_a_note_says_who_wrote_it_and_can_be_taken_back() -> None:
    seen = customer(happened("note.added", 1, note="Prefers mornings."))
    [note] = notes(seen)
    assert (note["note"], note["author"], note["retracted_at"]) == ("Prefers mornings.", "agent-7", None)
    person.apply(seen, happened("note.retracted", 2, note_id=note["note_id"]), DEFINED)
    [gone] = notes(seen)
    assert (gone["note"], gone["retracted_by"]) == (None, "agent-7")


def test_notes_of_two_channels_with_the_same_id_are_two_notes() -> None:
    crm = happened("note.added", 1, "crm", note="one", author="Kim")
    assert {each["note"] for each in notes(customer(crm, happened("note.added", 1, "shop", note="two")))} == {
        "one",
        "two",
    }


def test_rules_and_the_history_hear_nothing_of_notes() -> None:
    event = happened("note.added", 1, note="Mother of Bo.")
    assert b"Mother" not in msgspec.json.encode(person.view([customer(event)], TODAY))
    assert without_contact_data(event.data) == {}


def test_the_newest_notes_stay() -> None:
    seen = customer(*(happened("note.added", at, note=f"n{at}") for at in range(1, 100)))
    assert [each["note"] for each in notes(seen)] == [f"n{at}" for at in range(99, 99 - NOTES_MAX, -1)]


@pytest.mark.parametrize(
    ("said", "reasons"),
    [
        ({"channel": "call"}, ["restricted:call"]),
        (
            {"channels": ["call", "sms"], "purpose": "marketing"},
            ["restricted:call:marketing", "restricted:sms:marketing"],
        ),
        ({}, ["restricted"]),
        ({"purpose": "marketing"}, ["restricted::marketing"]),
        ({"channel": "pigeon"}, ["restricted"]),
        ({"channels": []}, ["restricted"]),
        ({"channel": "call", "purpose": "whatever"}, ["restricted:call"]),
    ],
)
def test_a_restriction_forbids_what_it_names_and_everything_where_nobody_understands_it(
    said: dict[str, Any], reasons: list[str]
) -> None:
    assert suppressed(customer(happened("restriction.set", 1, **said))) == reasons


def test_only_what_is_named_exactly_is_lifted() -> None:
    seen = customer(happened("restriction.set", 1, channel="call"), happened("restriction.set", 2))
    for said in ({"channel": "pigeon"}, {"channel": "call", "purpose": "marketing"}, {"purpose": "odd"}):
        person.apply(seen, happened("restriction.lifted", 3, **said), DEFINED)
    assert suppressed(seen) == ["restricted", "restricted:call"]
    person.apply(seen, happened("restriction.lifted", 4), DEFINED)
    assert suppressed(seen) == ["restricted:call"]
    person.apply(seen, happened("restriction.lifted", 5, channel="call"), DEFINED)
    assert suppressed(seen) == []


def test_of_a_restriction_and_its_lifting_at_one_instant_the_restriction_counts() -> None:
    both = [happened("restriction.set", 1, channel="call"), happened("restriction.lifted", 1, channel="call")]
    assert suppressed(customer(*both)) == suppressed(customer(*reversed(both))) == ["restricted:call"]


def test_a_restriction_holds_through_its_last_day() -> None:
    seen = customer(happened("restriction.set", 1, channel="call", until="1970-06-30"))
    last = date(1970, 6, 30).toordinal()
    assert (suppressed(seen, day=last), suppressed(seen, day=last + 1)) == (["restricted:call"], [])
    chapter = next(each for each in CHAPTERS if each.name == "restrictions")
    assert chapter.due([seen], TODAY) == last + 1
    assert chapter.fields([seen], Moment(last, DEFINED)) == {"restricted_call": True}
    assert chapter.fields([seen], Moment(last + 1, DEFINED)) == {}


def test_a_restriction_until_the_end_of_the_calendar_has_no_end() -> None:
    seen = customer(happened("restriction.set", 1, channel="call", until="9999-12-31"))
    assert person.due([seen], TODAY) is None
    assert suppressed(seen) == ["restricted:call"]


def test_the_end_of_a_restriction_is_news_to_delivery_under_a_version_of_its_own() -> None:
    now = clock.from_ms(1)
    seen = customer(happened("restriction.set", 1, channel="call", until="1970-06-30"))
    seen.linked = ["elder", "p"]
    held = holding.hold("p", seen)
    day = date(1970, 7, 1).toordinal()
    holding.passed(held, day, DEFINED, [], now)
    told = holding.news(held, DEFINED, now)
    assert told is not None and told.suppressed == []
    assert told.version == seen.version == 2


NAMES = st.sampled_from(["a", "b", "c"])
PLACES = st.sampled_from(["email", "sms", "call", "phone", "post"])
DAYS = st.sampled_from(["1970-02-01", "1970-03-05", "1970-03-31", "1971-01-01"])
MAYBE = {
    "case": NAMES,
    "outcome": st.sampled_from(["done", "wrong_number", "reached"]),
    "role": st.sampled_from(["spouse", "child", "parent"]),
    "other_party": st.fixed_dictionaries({"name": NAMES}),
    "born_on": DAYS,
    "contract": NAMES,
    "kind": st.sampled_from(["hard", "soft", "gym"]),
    "ends_on": DAYS,
    "document": NAMES,
    "expires_on": DAYS,
    "score": st.integers(0, 10),
    "note": NAMES,
    "note_id": st.sampled_from(["note.added-1", "note.added-2"]),
    "channel": PLACES,
    "point": PLACES,
    "purpose": st.sampled_from(["marketing", "odd"]),
    "until": DAYS,
    "email": st.sampled_from(["a@b.kr", "c@d.kr"]),
    "street": NAMES,
}
TYPES = sorted({kind for each in CHAPTERS if each.keeps in KEPT for kind in each.effects} - {"profile.changed"})
EVENTS = st.builds(
    lambda type_, at, number, data, identifiers, branch: Occurrence(
        type_, at, "dangol/api/x", f"{type_}-{number}", data, identifiers, "web", branch
    ),
    st.sampled_from(TYPES),
    st.integers(1, 60).map(lambda day: day * DAY_MS // 2),
    st.integers(1, 3),
    st.fixed_dictionaries({}, optional=MAYBE),
    st.fixed_dictionaries({}, optional={"email": st.sampled_from(["a@b.kr", "e@f.kr"])}),
    NAMES,
)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False) | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
READ = st.sampled_from([*MAYBE, "purpose", "channels", "relation", "household", "scale_max", "address_mark", "soft"])


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(TYPES), st.dictionaries(READ, ANYTHING, max_size=5))
def test_whatever_an_observed_source_sends_can_be_kept_and_shown(kind: str, data: dict[str, Any]) -> None:
    seen = customer(happened(kind, 1, **data), happened(kind, 2, **data), happened(kind, 1, "crm", **data))
    assert msgspec.json.encode(seen_by_all(seen))
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(seen), type=Customer) == seen


def state(held: Customer) -> dict[str, Any]:
    return {name: getattr(held, name) for name in KEPT}


def seen_by_all(*records: Customer) -> tuple[Any, ...]:
    return (
        [each.fields(records, TODAY) for each in CHAPTERS if each.keeps in KEPT],
        [each.shown(records, TODAY) for each in CHAPTERS if each.keeps in KEPT and each.shown is not None],
        suppressed(*records),
        person.due(records, TODAY),
    )


@settings(max_examples=150, deadline=None)
@given(st.lists(EVENTS, max_size=25), st.randoms())
def test_no_order_of_events_leaves_a_trace(events: list[Occurrence], chance: random.Random) -> None:
    shuffled = [*events]
    chance.shuffle(shuffled)
    assert state(customer(*events)) == state(customer(*shuffled))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(EVENTS, st.booleans()), max_size=25))
def test_two_records_are_seen_as_the_one_that_they_might_have_been(events: list[tuple[Occurrence, bool]]) -> None:
    one = customer(*(event for event, first in events if first))
    two = customer(*(event for event, first in events if not first))
    whole = customer(*(event for event, _ in events))
    assert seen_by_all(one, two) == seen_by_all(two, one) == seen_by_all(whole)


def test_an_event_that_changes_nothing_says_so() -> None:
    for kind in TYPES:
        made, counted = Customer("p"), {"complaint", "survey.answered", "referred", "purchase"}
        event = happened(kind, 5, "crm", case="a", role="child", contract="c", document="d", note="n", note_id="x")
        person.apply(made, event, DEFINED)
        before = msgspec.msgpack.encode(state(made))
        if kind not in counted:
            person.apply(made, event, DEFINED)
            assert msgspec.msgpack.encode(state(made)) == before, kind


def test_a_hundred_thousand_events_leave_a_small_state_and_take_seconds() -> None:
    chance, made = random.Random(7), Customer("p")
    started = time.process_time()
    for number in range(100_000):
        name = f"n-{chance.randrange(50_000)}"
        data = {
            "case": name,
            "contract": name,
            "document": name,
            "note": name * 50,
            "role": "child",
            "channel": "email",
        }
        data |= {"other_party": name, "address_mark": f"{hash(name) & (1 << 64) - 1:016x}", "note_id": name}
        event = Occurrence(TYPES[number % len(TYPES)], number * 1000 + 1, "crm", f"e-{number}", data, {"email": name})
        person.apply(made, event, DEFINED)
    took = time.process_time() - started
    assert len(msgspec.msgpack.encode(state(made))) < 100_000
    assert took < 30
