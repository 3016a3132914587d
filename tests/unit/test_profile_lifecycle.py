"""Do lifecycle, RFM cells and grades follow from purchases, and wake on exactly the days on which they change?"""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.common.clock import to_ms
from services.profile import person
from services.profile.person import Customer, Definitions, Moment, Occurrence
from services.profile.person.folding import CHAPTERS
from services.profile.person.grades import GRADES
from services.profile.person.lifecycle import LIFECYCLE
from services.profile.person.measure_terms import Grade, Grades, Lifecycle, Rfm
from services.profile.person.panes import RUN_GAP_DAYS
from services.profile.person.rfm import RFM
from services.profile.person.series import KEPT_DAYS

FIRST = datetime(2023, 1, 1, 3, tzinfo=UTC)
FIRST_DAY = FIRST.date().toordinal()
QUICK = Definitions(
    lifecycle=Lifecycle(new_days=10, at_risk_days=20, lapsed_days=45, won_back_days=15),
    rfm=Rfm(90, (5, 10, 30, 60), (2, 4, 6, 8), {"KRW": (100.0, 300.0, 500.0, 900.5), "USD": (1.0, 2.0, 3.0, 4.0)}),
    grades=Grades(
        (
            Grade("silver", {"KRW": 300.0, "USD": 3.0}, 60, 30),
            Grade("gold", {"KRW": 600.0}, 60, 10),
            Grade("vip", {"KRW": 1_500.0, "USD": 9.0}, 100, 0),
        )
    ),
)


def event(kind: str, day: int, number: int = 0, /, **data: Any) -> Occurrence:
    at = FIRST + timedelta(days=day, minutes=number)
    return Occurrence(kind, to_ms(at), "test", f"{kind}-{day}-{number}", data)


def bought(*days: int, amount: int = 100, currency: str = "KRW") -> list[Occurrence]:
    return [event("purchase", day, at, amount=amount, currency=currency) for at, day in enumerate(days)]


def folded(events: Sequence[Occurrence], definitions: Definitions = QUICK) -> Customer:
    customer = Customer("p")
    for each in events:
        person.apply(customer, each, definitions)
    return customer


def moment(day: int, definitions: Definitions = QUICK) -> Moment:
    return Moment(FIRST_DAY + day, definitions)


def written(day: int) -> str:
    return date.fromordinal(FIRST_DAY + day).isoformat()


def stage(customer: Customer, day: int, definitions: Definitions = QUICK) -> tuple[str, int]:
    seen = LIFECYCLE.fields([customer], moment(day, definitions))
    return seen["lifecycle"], date.fromisoformat(seen["lifecycle_since"]).toordinal() - FIRST_DAY


def lived(days: set[int], until: int, terms: Lifecycle) -> tuple[str, int]:
    """The stage at the end of a day, reached by living through all days before it."""
    now, since, last, back = "", 0, -1, -(10**6)
    first = min(days)
    for day in range(first, until + 1):
        new_until = first + terms.new_days if now == "new" else back + terms.won_back_days
        aged = _aged(now, day - last, day >= new_until, terms)
        if day in days:
            back = day if aged == "lapsed" else back
            last, later = day, _bought(aged, day < back + terms.won_back_days)
        else:
            later = aged
        since = day if aged != now or later != aged else since
        now = later
    return now, since


def _aged(now: str, silence: int, is_over: bool, terms: Lifecycle) -> str:
    """What the beginning of a day makes of a stage."""
    if now and silence >= terms.lapsed_days:
        return "lapsed"
    if now and silence >= terms.at_risk_days:
        return "at_risk"
    return "active" if now in ("new", "won_back") and is_over else now


def _bought(now: str, is_lately_back: bool) -> str:
    """What a purchase makes of it."""
    if now == "at_risk":
        return "won_back" if is_lately_back else "active"
    return {"": "new", "lapsed": "won_back"}.get(now, now)


def random_days(chance: random.Random, most: int = 14, span: int = 400) -> list[int]:
    days = [chance.randint(0, span)]
    for _ in range(chance.randint(0, most)):
        gap = chance.choice([1, 3, 9, 13, 14, 15, 19, 20, 21, 30, 44, 45, 46, 80])
        days.append(chance.choice([chance.randint(0, span), max(days) + gap]))
    return days


SEEDS = st.integers(0, 2**32)


LONG_WON_BACK = Definitions(lifecycle=Lifecycle(new_days=14, at_risk_days=14, lapsed_days=40, won_back_days=60))


@settings(max_examples=1_500, deadline=None)
@given(SEEDS, st.sampled_from([QUICK, LONG_WON_BACK]))
def test_the_stage_is_what_living_through_the_days_makes_of_it(seed: int, defined: Definitions) -> None:
    chance = random.Random(seed)
    days = random_days(chance)
    customer = folded(bought(*days), defined)
    day = max(days) + chance.randint(0, 70)
    now, since = lived(set(days), day, defined.lifecycle)
    assert stage(customer, day, defined) == (now, since)
    assert LIFECYCLE.shown is not None
    told = LIFECYCLE.shown([customer], moment(day, defined))
    assert (told["stage"], told["since"]) == (now, written(since))
    # The history is what would have been said on the last day of each of its stages.
    for earlier, later in pairwise(told["history"]):
        end = date.fromisoformat(later["since"]).toordinal() - FIRST_DAY - 1
        assert earlier["until"] == later["since"]
        before, began = lived(set(days), end, defined.lifecycle)
        assert (earlier["stage"], earlier["since"]) == (before, written(began))


def test_somebody_is_a_prospect_then_a_lead_and_then_new() -> None:
    events = [event("consent_withdrawn", 0), event("product_view", 3), *bought(5)]
    assert [stage(folded(events[:count]), 5)[0] for count in (1, 2, 3)] == ["prospect", "lead", "new"]
    assert LIFECYCLE.shown is not None
    history = LIFECYCLE.shown([folded(events)], moment(60))["history"]
    assert [(each["stage"], each["since"], each["cause"]) for each in history] == [
        ("prospect", written(0), "first_sign"),
        ("lead", written(3), "interest"),
        ("new", written(5), "first_purchase"),
        ("active", written(15), "time"),
        ("at_risk", written(25), "silence"),
        ("lapsed", written(50), "silence"),
    ]


def test_a_late_purchase_undoes_a_lapse_that_never_was() -> None:
    late = folded([*bought(0, 100), *bought(30, 60, 80)])
    assert stage(late, 100) == stage(folded(bought(0, 30, 60, 80, 100)), 100)
    assert stage(folded(bought(0, 100)), 100) == ("won_back", 100)


def test_other_thresholds_give_another_stage_of_the_same_purchases() -> None:
    customer = folded(bought(0, 3))
    slow = Moment(FIRST_DAY + 60, Definitions())
    assert stage(customer, 60)[0] == "lapsed"
    assert LIFECYCLE.fields([customer], slow)["lifecycle"] == "active"


def cells(events: Sequence[Occurrence], day: int, terms: Rfm) -> str:
    def days_ago(each: Occurrence) -> int:
        return FIRST_DAY + day - QUICK.day_of(each.at_ms)

    purchases = [each for each in events if each.type == "purchase"]
    silence = min(days_ago(each) for each in purchases)
    count = sum(1 for each in purchases if days_ago(each) < terms.window_days)
    best = 0
    for currency, steps in terms.monetary.items():
        amount = sum(
            each.data["amount"] if each.type == "purchase" else -each.data["amount"]
            for each in events
            if each.data["currency"] == currency and days_ago(each) < terms.window_days
        )
        best = max(best, sum(amount >= step for step in steps))
    recency = sum(silence < step for step in terms.recency_days)
    return f"{1 + recency}{1 + sum(count >= step for step in terms.frequency)}{1 + best}"


def random_purchases(chance: random.Random) -> list[Occurrence]:
    """Of half of the people something is given back now and then, and some of it is paid in another currency."""
    kinds, currencies = (["purchase"], ["KRW"])
    if chance.random() < 0.5:
        kinds, currencies = (["purchase", "purchase", "purchase", "refund"], ["KRW", "KRW", "KRW", "USD"])
    return [
        event(
            chance.choice(kinds) if at else "purchase",
            day,
            at,
            amount=chance.randint(0, 5) if currency == "USD" else chance.choice([0, 50, 100, 299, 300, 601]),
            currency=currency,
        )
        for at, day in enumerate(random_days(chance))
        for currency in [chance.choice(currencies)]
    ]


@settings(max_examples=1_000, deadline=None)
@given(SEEDS)
def test_cells_are_what_is_counted_from_all_events(seed: int) -> None:
    chance = random.Random(seed)
    events = random_purchases(chance)
    last = max(QUICK.day_of(each.at_ms) for each in events) - FIRST_DAY
    day = last + chance.randint(0, 100)
    seen = RFM.fields([folded(events)], moment(day))
    assert seen["rfm_cell"] == cells(events, day, QUICK.rfm)
    assert seen["rfm_cell"] == f"{seen['rfm_recency']}{seen['rfm_frequency']}{seen['rfm_monetary']}"


def graded(events: Sequence[Occurrence], day: int, terms: Grades) -> int:
    """The highest grade that was reached on this day or within the days for which it is kept."""
    held = 0
    for place, grade in enumerate(terms.ladder, 1):
        for earlier in range(day - grade.keeps_days, day + 1):
            for currency, least in grade.spend_min.items():
                amount = sum(
                    each.data["amount"] if each.type == "purchase" else -each.data["amount"]
                    for each in events
                    if each.data["currency"] == currency
                    and 0 <= FIRST_DAY + earlier - QUICK.day_of(each.at_ms) < grade.window_days
                )
                if amount >= least:
                    held = place
    return held


@settings(max_examples=300, deadline=None)
@given(SEEDS)
def test_a_grade_is_reached_at_once_and_kept_for_its_days(seed: int) -> None:
    chance = random.Random(seed)
    events = random_purchases(chance)
    last = max(QUICK.day_of(each.at_ms) for each in events) - FIRST_DAY
    day = last + chance.randint(0, 120)
    seen = GRADES.fields([folded(events)], moment(day))
    names = [None, *(grade.name for grade in QUICK.grades.ladder)]
    now = graded(events, day, QUICK.grades)
    assert seen.get("grade") == names[now]
    if now:
        since = date.fromisoformat(seen["grade_since"]).toordinal() - FIRST_DAY
        assert graded(events, since, QUICK.grades) == now
        assert graded(events, since - 1, QUICK.grades) != now
        assert all(graded(events, each, QUICK.grades) == now for each in range(since, day, 7))


def test_a_grade_goes_up_at_once_and_down_when_its_time_is_over() -> None:
    customer = folded(bought(0, amount=250) + bought(5, amount=100))
    grades = [GRADES.fields([customer], moment(day)).get("grade") for day in (5, 59, 60, 89, 90)]
    # From the 60th day the first purchase has left the window; silver is kept for 30 days after the 59th.
    assert grades == ["silver"] * 4 + [None]
    assert GRADES.due([customer], moment(5)) == FIRST_DAY + 90


def test_since_when_a_grade_is_held_is_left_open_where_it_is_not_known() -> None:
    for years in (1, 4):
        customer = folded(bought(*range(0, 365 * years, 10), amount=300))
        seen = GRADES.fields([customer], moment(365 * years))
        assert seen["grade"] == "vip"
        assert ("grade_since" in seen) is (years * 365 < KEPT_DAYS)


@settings(max_examples=400, deadline=None)
@given(SEEDS, st.sampled_from([LIFECYCLE, RFM, GRADES]))
def test_views_change_by_time_on_the_days_that_are_due_and_on_no_other(seed: int, chapter: Any) -> None:
    chance = random.Random(seed)
    records = [folded(random_purchases(chance)) for _ in range(chance.randint(1, 2))]
    day = max(each.presence.last_day for each in records if each.presence is not None)
    due = chapter.due(records, Moment(day, QUICK))
    seen = chapter.fields(records, Moment(day, QUICK))
    for later in range(day + 1, day + 250):
        changed = chapter.fields(records, Moment(later, QUICK))
        assert (changed != seen) is (later == due), (chapter.name, later, due, seen, changed)
        if changed != seen:
            seen, due = changed, chapter.due(records, Moment(later, QUICK))
    assert due is None


def test_nobody_is_woken_every_day() -> None:
    customer = folded(bought(*range(0, 300, 15), amount=400_000), Definitions())
    day, woken = FIRST_DAY + 300, 0
    while (due := person.due([customer], Moment(day, Definitions()))) is not None:
        day, woken = due, woken + 1
    assert 0 < woken < 20


@pytest.mark.parametrize("name", ["lifecycle", "lifecycle_since", "grade", "grade_since", "rfm_cell", "rfm_recency"])
def test_no_trait_stands_in_for_a_stage_a_grade_or_a_cell(name: str) -> None:
    assert person.computed(name)
    seen = person.view([folded([event("identify", 0, traits={name: "vip"})])], moment(0))
    assert seen.get(name) != "vip"


def test_the_shortest_silence_that_may_be_defined_is_seen_in_what_is_kept() -> None:
    terms = Definitions(lifecycle=Lifecycle(new_days=7, at_risk_days=RUN_GAP_DAYS, lapsed_days=RUN_GAP_DAYS + 7))
    customer = folded(bought(0, 10, 10 + RUN_GAP_DAYS), terms)
    seen = LIFECYCLE.fields([customer], Moment(FIRST_DAY + 10 + RUN_GAP_DAYS, terms))
    assert (seen["lifecycle"], seen["lifecycle_since"]) == ("active", written(10 + RUN_GAP_DAYS))


def test_every_chapter_that_falls_due_is_looked_at_anew_each_day() -> None:
    assert all(chapter.ages for chapter in CHAPTERS if chapter.name in ("lifecycle", "rfm", "grade", "life_stage"))


def test_a_day_that_has_come_is_not_due_again_though_nothing_was_touched() -> None:
    """Else its timer would be set for the past, and fire for ever."""
    customer = Customer("p")
    at_ms = 1_700_000_000_000
    event = Occurrence("purchase", at_ms, "test", "1", {"amount": 5, "currency": "KRW"}, received_ms=at_ms)
    person.apply(customer, event, Definitions())
    first = Definitions().day_of(at_ms)
    known = person.dues([customer], Moment(first, Definitions()), person.EVERYTHING, {})
    assert known
    reached = min(known.values())
    assert min(person.dues([customer], Moment(reached, Definitions()), 0, known).values()) > reached
