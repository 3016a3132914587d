"""Is what was bought kept exactly in packed columns, and does a long history cost no more looks than a short one?"""

from __future__ import annotations

import random
from decimal import Decimal
from fractions import Fraction
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.profile import person
from services.profile.person import Customer, Definitions, Moment, Occurrence
from services.profile.person import reaching as looking
from services.profile.person.grades import GRADES
from services.profile.person.measure_terms import Grade, Grades
from services.profile.person.rfm import RFM
from services.profile.person.series import KEPT_DAYS, Series, add, amount_of, merged, read, within

FIRST = 739_000
DAY_MS = 86_400_000
DEFINED = Definitions()
AMOUNTS = st.one_of(
    st.integers(-99_999, 2_500_000),
    st.decimals(-9_999, 9_999, places=2),
    st.sampled_from([Decimal("1e-9"), Decimal("-0.000000001"), 10**15, -(10**15), 2**31, -(2**31), 2**62]),
)
MOVES = st.lists(st.tuples(st.integers(0, 1_000), st.integers(0, 1), AMOUNTS), min_size=1, max_size=30)


def kept(moves: list[tuple[int, int, Any]]) -> Series:
    held = Series()
    for day, count, amount in moves:
        add(held, FIRST + day, count, amount)
    return held


@settings(max_examples=300, deadline=None)
@given(MOVES, st.randoms(use_true_random=False))
def test_every_window_is_the_sum_of_its_days_whatever_order_they_came_in(moves: Any, chance: random.Random) -> None:
    held = kept(moves)
    newest = max(day for day, _, _ in moves)
    for later in (0, 3, 400):
        for length in (1, 7, 365, KEPT_DAYS - 1):
            inside = [move for move in moves if move[0] > newest + later - length]
            [(count, units)] = within(held, FIRST + newest + later, (length,))
            assert count == sum(counted for _, counted, _ in inside)
            assert Fraction(amount_of(units, held.scale)) == sum(Fraction(amount) for _, _, amount in inside)
    shuffled = chance.sample(moves, len(moves))
    assert kept(shuffled) == held
    at = chance.randint(0, len(moves))
    assert merged([kept(part) for part in (shuffled[:at], shuffled[at:]) if part]) == held
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(held), type=Series) == held


def customer(count: int, days: int, *, refund_every: int = 0) -> Customer:
    """So many purchases, spread evenly over the days up to now."""
    made = Customer("p")
    for number in range(count):
        at_ms = 1_770_000_000_000 - int((count - number) / count * days * DAY_MS)
        kind = "refund" if refund_every and number % refund_every == 1 else "purchase"
        event = Occurrence(kind, at_ms, "test", f"{number}", {"amount": 9_000 + number % 2_000, "currency": "KRW"})
        person.apply(made, event, DEFINED)
    return made


NOW = Moment(DEFINED.day_of(1_770_000_000_000), DEFINED)


@pytest.mark.parametrize(("count", "days"), [(20_000, 1_500), (2_000, 700)])
@pytest.mark.parametrize("refund_every", [0, 12])
def test_a_history_of_twenty_thousand_purchases_takes_few_looks(
    monkeypatch: pytest.MonkeyPatch, count: int, days: int, refund_every: int
) -> None:
    held = customer(count, days, refund_every=refund_every)
    looks = []
    spent = looking.Window.spent

    def counted(window: looking.Window, first: int, last: int) -> tuple[int, int]:
        looks.append((first, last))
        return spent(window, first, last)

    monkeypatch.setattr(looking.Window, "spent", counted)
    assert GRADES.fields([held], NOW)["grade"] == "vip"
    assert GRADES.due([held], NOW) is not None and RFM.due([held], NOW) is not None
    assert 0 < len(looks) < 60


def test_a_day_takes_sixteen_bytes_whatever_happened_on_it() -> None:
    held = customer(20_000, 1_500)
    assert held.purchases is not None
    book = held.purchases.money["KRW"]
    assert len(read(book.days)) == KEPT_DAYS
    assert len(msgspec.msgpack.encode(book)) < 16 * KEPT_DAYS + 40


@settings(max_examples=200, deadline=None)
@given(st.integers(0, 2**32))
def test_the_history_of_grades_ends_with_the_grade_that_rules_see_and_goes_on_on_the_day_that_is_due(seed: int) -> None:
    chance = random.Random(seed)
    amounts = [50, 100, 299, 300, 601]
    ladder = tuple(
        Grade(name, {"KRW": float(least)}, chance.choice([30, 60, 200]), chance.choice([0, 30, 90]))
        for name, least in (("silver", 300), ("gold", 900), ("vip", 1_500))
    )
    defined = Definitions(grades=Grades(ladder))
    held = Customer("p")
    for number in range(chance.randint(1, 40)):
        kind = chance.choice(["purchase", "purchase", "refund"])
        data = {"amount": chance.choice(amounts), "currency": "KRW"}
        event = Occurrence(kind, (20_000 + chance.randint(0, 900)) * DAY_MS, "test", f"{number}", data)
        person.apply(held, event, defined)
    at = Moment(defined.day_of((20_000 + chance.randint(800, 1_300)) * DAY_MS), defined)
    seen, shown, due = GRADES.fields([held], at), GRADES.shown, GRADES.due([held], at)
    assert shown is not None
    told = shown([held], at)
    assert told["grade"] == seen.get("grade")
    if seen.get("grade_since"):
        assert told["history"][-1] == {"grade": seen["grade"], "since": seen["grade_since"]}
    assert (told["next"] is None) is (due is None)
    if due is not None:
        later = GRADES.fields([held], Moment(due, defined)).get("grade")
        assert (told["next"]["grade"], later != seen.get("grade")) == (later, True)
