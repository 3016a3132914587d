"""Which contact does a purchase go back to?"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from services.campaign.results.attribution import Goal, Touch, attribute

NOON = datetime(2026, 5, 4, 12, tzinfo=UTC)
DAY = timedelta(days=1)


def touch(decision: str, at: datetime, window: timedelta = 7 * DAY) -> Touch:
    return Touch(at, decision, "spring", window)


def bought(at: datetime, decision: str = "") -> Goal:
    return Goal(at, "e1", "purchase", 30.0, decision)


def test_the_newest_contact_whose_window_is_open_gets_the_purchase() -> None:
    touches = [touch("old", NOON), touch("new", NOON + DAY), touch("later", NOON + 3 * DAY)]
    assert attribute(touches, [bought(NOON + 2 * DAY)]) == {"e1": "new"}


def test_a_newer_contact_with_a_closed_window_leaves_it_to_an_older_one_that_is_open() -> None:
    touches = [touch("long", NOON, 30 * DAY), touch("short", NOON + DAY, timedelta(hours=1))]
    assert attribute(touches, [bought(NOON + 3 * DAY)]) == {"e1": "long"}


def test_the_last_instant_of_a_window_counts_and_the_next_does_not() -> None:
    assert attribute([touch("d", NOON)], [bought(NOON + 7 * DAY)]) == {"e1": "d"}
    assert attribute([touch("d", NOON)], [bought(NOON + 7 * DAY + timedelta(microseconds=1))]) == {}


def test_a_contact_of_the_same_instant_or_later_is_no_cause() -> None:
    assert attribute([touch("d", NOON)], [bought(NOON)]) == {}


def test_a_coupon_names_its_contact_whatever_came_after_it() -> None:
    touches = [touch("coupon", NOON), touch("new", NOON + DAY)]
    assert attribute(touches, [bought(NOON + 2 * DAY, "coupon")]) == {"e1": "coupon"}


def test_a_coupon_that_names_no_contact_of_ours_counts_as_any_purchase() -> None:
    assert attribute([touch("d", NOON)], [bought(NOON + DAY, "elsewhere")]) == {"e1": "d"}


def test_the_order_in_which_contacts_are_told_does_not_matter() -> None:
    touches = [touch("b", NOON), touch("a", NOON), touch("c", NOON - DAY)]
    assert attribute(touches, [bought(NOON + DAY)]) == attribute(touches[::-1], [bought(NOON + DAY)]) == {"e1": "b"}
