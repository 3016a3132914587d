"""Do points add up, whoever spends them and in whatever order they are told, and is there never less than nothing?"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.profile import person
from services.profile.person import Customer, Definitions, Moment, Occurrence
from services.profile.person.points import NEVER, Points, Standing
from services.profile.person.points_terms import EarnRule, PointsTerms
from services.profile.points import Book, Entry, entry_id, entry_of, expire, play
from services.profile.points.ledger import Terms

TODAY = 740_000
TERMS = Terms(TODAY, returned_days=30)
DEFINED = Definitions()
A, B = "record-a", "record-b"
_names = itertools.count()


def entry(kind: str, points: int, record: str = A, /, **more: Any) -> Entry:
    made = Entry(f"entry-{next(_names)}", record, kind, points, TODAY, waits_until=TODAY + 7)
    return msgspec.structs.replace(made, **more)


def played(*entries: Entry, records: Sequence[str] = (A, B), book: Book | None = None) -> Book:
    book = book or Book(standings={A: Points(), B: Points()})
    for each in entries:
        play(book, each, records, TERMS)
        consistent(book)
    return book


def consistent(book: Book) -> None:
    """What a bookkeeper would check after each entry."""
    sums: dict[tuple[str, str, int], int] = {}
    for each in book.postings:
        lot = each.customer_id, each.business_unit, each.expires_day
        sums[lot] = sums.get(lot, 0) + each.points
    lots = {(lot.customer_id, lot.business_unit, lot.expires_day): lot for lot in book.lots_of(book.lots)}
    assert {key: total for key, total in sums.items() if total} == {
        key: lot.left for key, lot in lots.items() if lot.left
    }
    assert all(lot.left >= 0 and lot.expired >= 0 for lot in lots.values())
    assert all(each.points >= 0 for each in book.opens.values())
    by_entry: dict[str, int] = {}
    for each in book.postings:
        by_entry[each.entry_id] = by_entry.get(each.entry_id, 0) + each.points
    assert all(by_entry[each.id] == each.moved for each in book.entries)
    assert len({each.id for each in book.entries}) == len(book.entries)


def owed(book: Book) -> int:
    return sum(each.points for each in book.opens.values() if each.state == "open" and each.kind != "reverse")


def total(book: Book) -> int:
    return sum(book.balance(record) for record in (A, B))


# --- one after the other ---------------------------------------------------------------------------------------


def test_what_ends_first_is_spent_first_and_of_two_the_records_own() -> None:
    book = played(
        entry("earn", 10, A, expires_day=NEVER),
        entry("earn", 10, A, expires_day=TODAY + 9),
        entry("earn", 10, B, expires_day=TODAY + 9),
        entry("earn", 10, B, expires_day=TODAY + 1),
        entry("spend", 25, A),
    )
    left = {(lot.customer_id, lot.expires_day): lot.left for lot in book.lots_of((A, B))}
    assert left == {(A, NEVER): 10, (A, TODAY + 9): 0, (B, TODAY + 9): 5, (B, TODAY + 1): 0}


def test_a_spend_takes_all_or_nothing() -> None:
    book = played(entry("earn", 10), asked := entry("spend", 11, waits_until=0))
    assert (asked.status, asked.why, asked.moved, total(book)) == ("refused", "short", 0, 10)
    assert not book.opens


def test_the_same_entry_again_has_no_second_effect() -> None:
    once = entry("earn", 10)
    book = played(once, once, msgspec.structs.replace(once, points=99))
    assert total(book) == 10 and len(book.entries) == 1


def test_points_of_a_day_that_is_over_are_not_spent() -> None:
    book = played(entry("earn", 10, expires_day=TODAY - 1), entry("spend", 1, waits_until=0))
    assert total(book) == 10 and book.entries[-1].status == "refused"


def test_a_late_spend_finds_the_points_that_have_expired_since() -> None:
    book = played(entry("earn", 10, expires_day=TODAY - 1, day=TODAY - 50))
    assert expire(book, "gone", A, TODAY, 0) is not None
    assert total(book) == 0
    played(entry("spend", 4, day=TODAY - 2), book=book)
    assert book.entries[-1].status == "done" and total(book) == 0
    [lot] = book.lots_of((A,))
    assert (lot.left, lot.expired) == (0, 6)
    played(entry("spend", 1, day=TODAY, waits_until=0), book=book)
    assert book.entries[-1].status == "refused"


def test_nothing_expires_before_the_end_of_its_last_day() -> None:
    book = played(entry("earn", 10, expires_day=TODAY), entry("earn", 5))
    assert expire(book, "x", A, TODAY, 0) is None
    gone = expire(book, "y", A, TODAY + 1, 0)
    assert gone is not None and (gone.moved, total(book)) == (-10, 5)
    consistent(book)


def test_a_spend_that_came_before_its_points_is_made_up_for() -> None:
    book = played(early := entry("spend", 30), entry("earn", 20))
    assert (early.status, total(book), owed(book)) == ("waiting", 20, 30)
    played(entry("earn", 15), book=book)
    assert (total(book), owed(book)) == (5, 0)
    assert book.entries[-1].settles == early.id


def test_a_spend_is_not_waited_for_for_ever() -> None:
    book = played(entry("spend", 30))
    play(book, entry("earn", 40), (A, B), Terms(TODAY + 8))
    assert (total(book), owed(book)) == (40, 30)


def test_what_was_earned_and_spent_and_is_taken_back_is_owed_and_made_up_for_later() -> None:
    book = played(earned := entry("earn", 10), entry("spend", 8), entry("reverse", 0, reverses=earned.id))
    assert (total(book), owed(book)) == (0, 8)
    played(entry("earn", 5), book=book)
    assert (total(book), owed(book)) == (0, 3)
    played(entry("grant", 5), book=book)
    assert (total(book), owed(book)) == (2, 0)


def test_what_is_taken_back_is_taken_back_once_though_in_parts() -> None:
    earned = entry("earn", 10)
    book = played(earned, *[entry("reverse", 4, reverses=earned.id) for _ in range(4)])
    assert total(book) == 0 and owed(book) == 0
    assert [each.points for each in book.entries[1:]] == [4, 4, 2, 4]
    assert [each.status for each in book.entries[1:]] == ["done", "done", "done", "refused"]


def test_what_was_spent_goes_back_to_where_it_came_from() -> None:
    spent = entry("spend", 15, A)
    book = played(entry("earn", 10, B, expires_day=TODAY + 5), entry("earn", 10, A, expires_day=TODAY + 9), spent)
    played(entry("reverse", 6, reverses=spent.id), book=book)
    assert (book.balance(A), book.balance(B)) == (10, 1)
    played(entry("reverse", 0, reverses=spent.id), book=book)
    assert (book.balance(A), book.balance(B)) == (10, 10)
    played(entry("reverse", 0, reverses=spent.id), book=book)
    assert total(book) == 20 and book.entries[-1].why == "reversed"


@given(st.integers(1, 20), st.integers(1, 20), st.data())
def test_taken_apart_and_given_back_each_has_what_they_had_before_the_spend(one: int, other: int, data: Any) -> None:
    spent = entry("spend", data.draw(st.integers(1, one + other)), A)
    book = played(entry("earn", one, A, expires_day=TODAY + 9), entry("earn", other, B, expires_day=TODAY + 5), spent)
    first = data.draw(st.integers(1, spent.points))
    played(entry("reverse", first, reverses=spent.id), book=book, records=(A,))
    played(entry("reverse", 0, reverses=spent.id), book=book, records=(A,))
    played(entry("reverse", 0, reverses=spent.id), book=book, records=(A,))
    assert (book.balance(A), book.balance(B), owed(book)) == (one, other, 0)


def test_what_was_of_somebody_who_is_no_more_goes_to_whom_it_is_given_back() -> None:
    spent = entry("spend", 15, A)
    book = Book(standings={A: Points()})
    played(entry("earn", 10, B, expires_day=TODAY + 5), entry("earn", 10, A, expires_day=TODAY + 9), spent, book=book)
    touched = len(book.postings)
    played(entry("reverse", 0, reverses=spent.id), records=(A,), book=book)
    assert (book.balance(A), book.balance(B)) == (20, 0)
    assert {each.customer_id for each in book.postings[touched:]} == {A}


def test_what_comes_back_to_points_that_are_over_lasts_a_while_longer() -> None:
    spent = entry("spend", 10, day=TODAY - 3)
    book = played(
        entry("earn", 10, expires_day=TODAY - 1, day=TODAY - 9), spent, entry("reverse", 0, reverses=spent.id)
    )
    assert [lot.expires_day for lot in book.lots_of((A,)) if lot.left] == [TODAY + 30]


def test_a_reversal_that_came_first_waits_for_what_it_reverses() -> None:
    earned = entry("earn", 10)
    book = played(early := entry("reverse", 0, reverses=earned.id), earned)
    assert (early.status, total(book), owed(book)) == ("waiting", 0, 0)
    assert book.opens[early.id].state == "settled"


def test_a_spend_that_waits_can_be_called_off_in_part_or_whole() -> None:
    spend = entry("spend", 10)
    book = played(spend, entry("reverse", 4, reverses=spend.id), entry("earn", 7))
    assert (total(book), owed(book)) == (1, 0)
    played(entry("reverse", 0, reverses=spend.id), book=book)
    assert total(book) == 7


def test_nobody_reverses_what_is_anothers_or_no_giving_or_taking() -> None:
    earned, back = entry("earn", 10, "record-c"), entry("reverse", 0)
    back.reverses = earned.id
    book = played(earned, records=("record-c",))
    played(back, book=book)
    assert back.why == "another customer's"
    again = entry("reverse", 0, reverses=back.id)
    played(again, book=book)
    assert again.why == "not reversible"


def test_an_adjustment_goes_both_ways_and_not_below_nothing() -> None:
    down = entry("adjust", -4)
    book = played(entry("adjust", 10), down, entry("adjust", -7, waits_until=0))
    assert total(book) == 6 and book.entries[-1].status == "refused"
    played(entry("reverse", 0, reverses=down.id), book=book)
    assert total(book) == 10


def test_a_debt_can_be_written_off() -> None:
    earned, back = entry("earn", 10), entry("reverse", 0)
    back.reverses = earned.id
    book = played(earned, entry("spend", 10), back)
    assert owed(book) == 10
    played(off := entry("settle", 0, reverses=back.id, reason="goodwill"), entry("earn", 3), book=book)
    assert (off.status, off.points, owed(book), total(book)) == ("done", 10, 0, 3)
    played(entry("settle", 0, reverses=back.id), book=book)
    assert book.entries[-1].why == "nothing open"


def test_two_records_that_prove_one_person_make_up_for_each_other() -> None:
    book = played(entry("spend", 5, A), entry("earn", 8, B), records=(A,))
    assert owed(book) == 5
    played(entry("earn", 1, A), book=book)
    assert (owed(book), total(book)) == (0, 4)


def test_what_was_earned_counts_on_its_day_and_not_when_it_is_taken_back() -> None:
    earned = entry("earn", 10, day=TODAY - 400)
    book = played(earned, entry("earn", 5, day=TODAY - 3), entry("grant", 2, day=TODAY - 3))
    assert book.standing(A).earned == [(TODAY - 3, 7)]
    played(entry("reverse", 0, reverses=book.entries[1].id), entry("adjust", 9), book=book)
    assert book.standing(A).earned == [(TODAY - 3, 2)]


# --- in any order ----------------------------------------------------------------------------------------------

Steps = list[tuple[str, str, int, int]]
STEPS = st.lists(
    st.tuples(
        st.sampled_from("earn grant spend adjust reverse".split()),
        st.sampled_from([A, B]),
        st.integers(1, 30),
        st.integers(0, 9),
    ),
    max_size=14,
)


def entries_of(steps: Steps) -> list[Entry]:
    """Entries with names by their place; a reversal names the entry whose place its last number says."""
    made = []
    for at, (kind, record, points, which) in enumerate(steps):
        each = entry(kind, points if kind != "adjust" or which % 2 else -points, record, id=f"step-{at}", at_ms=at)
        if kind == "reverse":
            each.reverses, each.points = f"step-{which}", points if which % 2 else 0
        elif kind != "spend":
            each.expires_day = TODAY + which if which < 8 else NEVER
        made.append(each)
    return made


@given(STEPS)
def test_the_books_balance_after_every_entry_whatever_comes(steps: Steps) -> None:
    played(*entries_of(steps))


class Naive:
    """One number per person: what was given, less what was taken, as long as that is not below nothing."""

    def __init__(self) -> None:
        self.balance = 0

    def play(self, each: Entry) -> None:
        signed = -each.points if each.kind == "spend" else each.points
        if self.balance + signed >= 0:
            self.balance += signed


@given(STEPS)
def test_without_waiting_it_is_what_one_counts_on_ones_fingers(steps: Steps) -> None:
    naive, book = Naive(), Book()
    for each in entries_of([step for step in steps if step[0] != "reverse"]):
        each.waits_until = 0
        naive.play(each)
        played(each, book=book)
        assert total(book) == naive.balance


@given(st.data(), STEPS)
def test_what_there_is_less_what_is_owed_does_not_depend_on_the_order(data: Any, steps: Steps) -> None:
    """A reversal refers to giving here: what of a reversed spend was still waiting is another question."""
    entries = entries_of(steps)
    gifts = {each.id for each in entries if each.kind in ("earn", "grant")}
    entries = [each for each in entries if each.kind != "reverse" or (each.reverses in gifts and not each.points)]
    shuffled = data.draw(st.permutations(entries))
    one = played(*[msgspec.structs.replace(each) for each in entries])
    other = played(*[msgspec.structs.replace(each) for each in shuffled])
    assert total(one) - owed(one) == total(other) - owed(other)


@given(st.data(), st.lists(st.integers(1, 20), max_size=8), st.lists(st.integers(1, 20), max_size=8))
def test_spends_that_suffice_together_end_alike_in_any_order(data: Any, earns: list[int], spends: list[int]) -> None:
    while sum(spends) > sum(earns):
        spends.pop()
    entries = [entry("earn", points, data.draw(st.sampled_from([A, B]))) for points in earns]
    entries += [entry("spend", points, data.draw(st.sampled_from([A, B]))) for points in spends]
    book = played(*data.draw(st.permutations(entries)))
    assert (total(book), owed(book)) == (sum(earns) - sum(spends), 0)


@given(STEPS)
def test_taken_apart_again_each_record_has_what_is_its_own(steps: Steps) -> None:
    """After entries as one person, each record goes on alone and is never short of what its own lots say."""
    book = played(*entries_of(steps))
    for record in (A, B):
        own = book.balance(record)
        assert own >= 0
        if own:
            played(all_of_it := entry("spend", own, record, waits_until=0), book=book, records=(record,))
            assert all_of_it.status == "done"
    assert total(book) == 0


@given(STEPS, st.integers(0, 12))
def test_what_expires_is_what_was_left_of_its_days(steps: Steps, later: int) -> None:
    book = played(*entries_of(steps))
    expected = {
        record: sum(lot.left for lot in book.lots_of((record,)) if lot.expires_day >= TODAY + later)
        for record in (A, B)
    }
    for record in (A, B):
        expire(book, f"expired-{record}", record, TODAY + later, 0)
    consistent(book)
    assert {record: book.balance(record) for record in (A, B)} == expected


# --- what events ask for ---------------------------------------------------------------------------------------


def asked(kind: str, /, source: str = "pos-1", definitions: Definitions = DEFINED, **data: Any) -> Entry | None:
    return entry_of(A, Occurrence(kind, 86_400_000 * 20_000, source, "e1", data), definitions, TODAY)


def test_an_event_says_how_many_for_whom_and_until_when() -> None:
    found = asked("points.earned", points=30, business_unit="bakery", order="o-1", expires_on="2027-12-31")
    assert found is not None
    assert (found.id, found.kind, found.points) == (entry_id("pos-1", "e1"), "earn", 30)
    assert (found.business_unit, found.reference, found.status) == ("bakery", "o-1", "done")
    assert found.waits_until == TODAY + 7
    partner = asked("points.spent", points="30", partner="airline")
    assert partner is not None and (partner.points, partner.business_unit) == (30, "partner:airline")


@pytest.mark.parametrize("points", [None, 0, -5, "", "many", 1.5, True, [], {}, 10**12, "9" * 30])
def test_points_that_are_none_are_refused_and_seen(points: object) -> None:
    found = asked("points.earned", points=points)
    assert found is not None and (found.status, found.points) == ("refused", 0)
    book = played(found)
    assert total(book) == 0 and len(book.entries) == 1


def test_only_our_own_api_is_answered_at_once_and_writes_off() -> None:
    direct = asked("points.spent", "dangol/api/somebody", points=3)
    assert direct is not None and direct.waits_until == 0
    assert asked("points.settled", entry=entry_id("a", "b")) is None
    assert asked("points.settled", "dangol/api/somebody", entry=entry_id("a", "b")) is not None


def test_points_without_a_day_last_as_long_as_is_defined() -> None:
    terms = Definitions(points=PointsTerms(lifetime_days=365))
    found, unlimited = asked("points.granted", definitions=terms, points=3), asked("points.granted", points=3)
    assert found is not None and unlimited is not None
    assert (found.expires_day, unlimited.expires_day) == (found.day + 365, NEVER)


RULES = Definitions(
    points=PointsTerms(
        earn=(
            EarnRule("bakery", Decimal(1000), 10, branches=("bakery-1",)),
            EarnRule("store", Decimal(100), 1, channels=("pos",), lifetime_days=10),
        )
    )
)


def bought(kind: str, amount: object, branch: str = "", currency: str = "KRW") -> Entry | None:
    event = Occurrence(kind, 0, "pos-1", "e1", {"amount": amount, "currency": currency}, {}, "pos", branch)
    return entry_of(A, event, RULES, TODAY)


def test_a_purchase_earns_by_the_first_rule_that_fits_and_a_refund_takes_that_back() -> None:
    one, other, back = bought("purchase", 2999, "bakery-1"), bought("purchase", 2999), bought("refund", 2999)
    assert one is not None and other is not None and back is not None
    assert (one.kind, one.points, one.business_unit) == ("earn", 20, "bakery")
    assert (other.points, other.business_unit, other.expires_day - other.day) == (29, "store", 10)
    assert (back.kind, back.points) == ("reverse", 29)
    book = played(other, msgspec.structs.replace(back, id="back"))
    assert (total(book), owed(book)) == (0, 0)


def test_no_rule_no_points() -> None:
    assert bought("purchase", 2999, currency="EUR") is None and bought("purchase", 99) is None
    assert entry_of(A, Occurrence("purchase", 0, "p", "e", {"amount": 9e5, "currency": "KRW"}), DEFINED, TODAY) is None


# --- what the profile shows ------------------------------------------------------------------------------------


def customer(points: Points) -> Customer:
    return Customer("p", points=points)


def test_the_profile_adds_up_the_records_of_a_person() -> None:
    one = customer(Points(30, 2, [(TODAY + 5, 10)], [(TODAY - 10, 30)]))
    two = customer(Points(5, 0, [(TODAY + 5, 1), (TODAY + 40, 4)], [(TODAY - 364, 5), (TODAY - 365, 9)]))
    seen = person.view([one, two], Moment(TODAY, DEFINED))
    assert (seen["points_balance"], seen["points_owed"]) == (35, 2)
    assert (seen["points_expiring_30d"], seen["points_earned_365d"]) == (11, 35)
    assert seen["points_next_expiry_on"] == "2027-01-24"


def test_the_profile_says_on_which_day_it_will_change_by_itself() -> None:
    held = customer(Points(30, 0, [(TODAY + 40, 10)], [(TODAY - 10, 30)]))
    day = TODAY
    for expected in (TODAY + 10, TODAY + 355):
        due = person.due([held], Moment(day, DEFINED))
        assert due == expected
        before, after = (person.view([held], Moment(at, DEFINED)) for at in (due - 1, due))
        assert before != after
        day = due


def test_an_event_without_the_ledgers_word_changes_nothing() -> None:
    held = Customer("p")
    person.apply(held, Occurrence("points.earned", 1, "s", "e", {"points": 5}), DEFINED)
    assert held.points is None and "points_balance" not in person.view([held], Moment(TODAY, DEFINED))


def test_the_ledgers_word_is_taken_for_the_other_records_too() -> None:
    own, other = Customer("p"), customer(Points(9))
    standing = Standing(Points(), [(other, Points(4))])
    assert person.apply(own, Occurrence("points.spent", 1, "s", "e", standing=standing), DEFINED)
    assert person.view([own, other], Moment(TODAY, DEFINED))["points_balance"] == 4
