"""Do states only move forward, and does every doubt end as its channel's policy says?"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import permutations

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from services.notify.delivery import (
    Accepted,
    Answer,
    InDoubt,
    Rejected,
    RetryLater,
    Standing,
    after_answer,
    after_receipt,
    contacted,
    ended,
    key_is_alive,
    retry_delay_seconds,
    submitting,
)

NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
BLIND, KEYED = 0, 86_400


def planned(class_: str = "marketing", *, minutes: float = 60) -> Standing:
    return Standing("m", class_, NOW + timedelta(minutes=minutes), NOW)


def out(class_: str = "marketing", *, minutes: float = 60) -> Standing:
    return submitting(planned(class_, minutes=minutes), NOW)


def test_an_accepted_message_is_settled_once() -> None:
    accepted = after_answer(out(), Accepted("r"), NOW, BLIND)
    assert (accepted.state, accepted.settled) == ("ACCEPTED", "accepted")
    assert after_receipt(accepted, "bounced").settled == "accepted"


def test_marketing_in_doubt_with_a_blind_provider_is_presumed_sent_and_never_tried_again() -> None:
    unknown = after_answer(out(), InDoubt("hung up"), NOW, BLIND)
    assert (unknown.state, unknown.settled) == ("UNKNOWN", "unknown")
    assert contacted(unknown.settled)


def test_a_receipt_in_doubt_with_a_blind_provider_is_tried_once_more_and_flagged() -> None:
    again = after_answer(out("transactional"), InDoubt("hung up"), NOW, BLIND)
    assert (again.state, again.possible_duplicate, again.settled) == ("PLANNED", True, "")
    twice = after_answer(submitting(again, NOW), InDoubt("hung up"), NOW, BLIND)
    assert (twice.state, twice.attempts) == ("UNKNOWN", 2)


def test_doubt_with_a_provider_that_keeps_keys_is_tried_again_and_not_flagged() -> None:
    again = after_answer(out(), InDoubt("500"), NOW, KEYED)
    assert (again.state, again.possible_duplicate) == ("PLANNED", False)
    assert again.not_before > NOW


def test_a_key_that_the_provider_has_forgotten_is_not_repeated() -> None:
    again = after_answer(out(minutes=600), InDoubt("500"), NOW, 3_600)
    assert key_is_alive(again, NOW + timedelta(minutes=50), 3_600)
    assert not key_is_alive(again, NOW + timedelta(minutes=55), 3_600)
    late = after_answer(submitting(again, NOW), RetryLater("429", 3_500.0), NOW, 3_600)
    assert late.state == "UNKNOWN"


def test_a_refusal_that_asks_for_patience_is_obeyed_and_bounded_by_the_messages_own_time() -> None:
    later = after_answer(out(), RetryLater("429", 120.0), NOW, BLIND)
    assert (later.state, later.not_before) == ("PLANNED", NOW + timedelta(seconds=120))
    expired = after_answer(out(minutes=1), RetryLater("429", 120.0), NOW, BLIND)
    assert (expired.state, expired.settled) == ("EXPIRED", "expired")
    assert not contacted(expired.settled)


def test_after_a_doubt_nothing_ends_as_if_it_had_surely_not_been_sent() -> None:
    again = after_answer(out(), InDoubt("500"), NOW, KEYED)
    for state in ("DROPPED", "EXPIRED"):
        end = ended(again, state, "no_consent:sms")
        assert (end.state, end.settled) == ("UNKNOWN", "unknown")
    flagged = after_answer(out("transactional"), InDoubt("hung up"), NOW, BLIND)
    assert after_answer(submitting(flagged, NOW), Rejected("554"), NOW, BLIND).state == "UNKNOWN"
    assert after_answer(submitting(again, NOW), Rejected("422"), NOW, KEYED).state == "REJECTED"


def test_receipts_end_in_the_same_state_in_whatever_order_they_come() -> None:
    ends = set()
    for order in permutations(["accepted", "delivered", "bounced", "expired", "delivered"]):
        standing = out()
        for each in order:
            known = after_answer(standing, Accepted(), NOW, BLIND)
            standing = known if each == "accepted" else after_receipt(standing, each)
        ends.add((standing.state, standing.settled))
    assert ends == {("BOUNCED", "accepted")}


def test_a_notice_about_what_was_never_handed_over_changes_nothing() -> None:
    for never in (planned(), ended(planned(), "DROPPED", "x"), ended(planned(), "EXPIRED", "x")):
        assert after_receipt(never, "delivered") == never


def test_a_notice_stops_a_retry_that_was_planned() -> None:
    again = after_answer(out(), RetryLater("503"), NOW, BLIND)
    assert after_receipt(again, "delivered").state == "DELIVERED"


ANSWERS = st.one_of(
    st.just(Accepted()),
    st.just(Rejected("no")),
    st.builds(RetryLater, st.just("later"), st.none() | st.floats(0, 5_000)),
    st.just(InDoubt("doubt")),
)


@settings(deadline=None)
@given(
    st.lists(ANSWERS, max_size=30), st.sampled_from(["marketing", "transactional"]), st.sampled_from([BLIND, KEYED, 60])
)
def test_no_run_of_answers_sends_blind_marketing_twice_or_loses_a_message(
    answers: list[Answer], class_: str, key_seconds: int
) -> None:
    standing, now, may_have_been_sent = planned(class_), NOW, 0
    for answer in answers:
        if standing.state != "PLANNED" or not key_is_alive(standing, now, key_seconds):
            break
        now = max(now, standing.not_before)
        standing = after_answer(submitting(standing, now), answer, now, key_seconds)
        may_have_been_sent += isinstance(answer, Accepted | InDoubt)
        assert standing.state != "SUBMITTING"
        assert bool(standing.settled) == (standing.state != "PLANNED")
    if key_seconds == BLIND:
        assert may_have_been_sent <= (1 if class_ == "marketing" else 2)
        assert may_have_been_sent < 2 or standing.possible_duplicate
    if standing.settled in ("expired", "dropped"):
        assert may_have_been_sent == 0


@settings(deadline=None)
@given(st.integers(0, 200), st.none() | st.floats(0, 1e9))
def test_delays_grow_and_stay_bounded(attempts: int, asked: float | None) -> None:
    delay = retry_delay_seconds("m", attempts, asked)
    assert 0.25 <= delay <= 3_600
    assert asked is None or delay >= min(asked, 3_600)


def test_an_acceptance_counts_although_the_lease_ran_out() -> None:
    unknown = after_answer(out(), InDoubt("its sender died"), NOW, BLIND)
    assert after_answer(unknown, Accepted(), NOW, BLIND).state == "ACCEPTED"
    assert after_answer(unknown, RetryLater("x"), NOW, BLIND) == unknown
    assert after_answer(replace(unknown, state="DELIVERED"), Accepted(), NOW, BLIND).state == "DELIVERED"
