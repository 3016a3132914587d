"""Is a document over a limit exactly when chance is no excuse, and is that said in figures that can be checked?"""

from __future__ import annotations

from math import comb

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.common.documents import limits
from libs.common.documents.limits import CHANCE, Guards

COMPANY = Guards(0.5, 0.1, 5.0, 50.0, 100, 7)


def states(*, own: object = None, **counts: int) -> dict[str, str]:
    return {each.name: each.state for each in limits.standings(*limits.with_own(COMPANY, own), counts)}


def test_one_of_three_stops_nothing() -> None:
    assert states(contacts=3, unsubscribed=3)["unsubscribe"] == "too_few"
    assert states(contacts=99, unsubscribed=99)["unsubscribe"] == "too_few"
    assert states(contacts=100, unsubscribed=99)["unsubscribe"] == "over"


def test_a_single_unsubscription_of_a_hundred_is_chance_and_three_are_not() -> None:
    assert states(contacts=100, unsubscribed=1)["unsubscribe"] == "within", "one percent, but it may be chance"
    assert states(contacts=100, unsubscribed=2)["unsubscribe"] != "over"
    assert states(contacts=100, unsubscribed=3)["unsubscribe"] == "over"
    assert states(contacts=10_000, unsubscribed=62)["unsubscribe"] == "near"
    assert states(contacts=10_000, unsubscribed=63)["unsubscribe"] == "over"
    assert states(contacts=10_000, unsubscribed=50)["unsubscribe"] == "near", "as much as is allowed"
    assert states(contacts=10_000, unsubscribed=25)["unsubscribe"] == "within"


def test_caps_are_a_share_of_the_decisions_that_asked_them() -> None:
    assert states(contacts=1, cap_asked=100, cap_blocked=60)["cap_block"] == "over"
    assert states(contacts=1_000, cap_asked=99, cap_blocked=99)["cap_block"] == "too_few"


def test_a_document_may_have_limits_of_its_own_and_switch_one_off() -> None:
    counts = {"contacts": 100, "unsubscribed": 3, "complained": 2}
    assert states(**counts) == {"unsubscribe": "over", "complaint": "over", "bounce": "within", "cap_block": "too_few"}
    own = {"unsubscribe_percent": None, "complaint_percent": 2}
    assert states(own=own, **counts)["unsubscribe"] == "off"
    assert states(own=own, **counts)["complaint"] == "within"
    assert states(own={"after": 101}, **counts)["unsubscribe"] == "too_few"
    assert states(own={"days": 1, "loss": 7}, **counts)["unsubscribe"] == "over", "what nobody knows changes nothing"
    found = {each.name: each.own for each in limits.standings(*limits.with_own(COMPANY, own), counts)}
    assert found == {"unsubscribe": True, "complaint": True, "bounce": False, "cap_block": False}


def test_a_limit_of_nothing_is_broken_by_one_and_one_of_everything_by_none() -> None:
    assert limits.least_over(1_000, 0) == 1
    assert limits.least_over(1_000, 100) is None


def test_a_reaction_that_is_counted_before_its_contact_is_no_share_above_all() -> None:
    [unsubscribe, *_] = limits.standings(COMPANY, frozenset(), {"unsubscribed": 2})
    assert (unsubscribe.of, unsubscribe.share_percent) == (2, 100.0)


def test_the_reason_names_the_share_of_how_many_the_limit_and_since_when() -> None:
    [over, *_] = limits.standings(COMPANY, frozenset(), {"contacts": 800, "unsubscribed": 9})
    assert limits.reasons([over], "2026-11-16") == (
        "9 of 800 contacts unsubscribed since 2026-11-16 (1.125 %): more than the limit of 0.5 %"
    )


@given(st.integers(1, 300), st.floats(0.01, 99.0), st.data())
def test_the_tail_is_the_sum_of_the_binomial_terms(of: int, percent: float, data: st.DataObject) -> None:
    share = percent / 100
    count = data.draw(st.integers(min(of, int(of * share) + 1), of))
    terms = [comb(of, seen) * share**seen * (1 - share) ** (of - seen) for seen in range(count, of + 1)]
    assert limits.tail(count, of, share) == pytest.approx(sum(terms), rel=1e-6, abs=1e-12)


@settings(deadline=None)
@given(st.integers(1, 5_000), st.floats(0.01, 100.0), st.integers(0, 5_000))
def test_the_count_that_would_stop_is_the_least_that_does(of: int, percent: float, count: int) -> None:
    least = limits.least_over(of, percent)
    count = min(count, of)
    assert limits.is_over(count, of, percent) is (least is not None and count >= least)
    if least is not None:
        assert limits.is_over(least, of, percent) and not limits.is_over(least - 1, of, percent)
        assert limits.tail(least, of, percent / 100) < CHANCE


@settings(deadline=None)
@given(st.fixed_dictionaries({each: st.integers(0, 3_000) for each in limits.MEASURES}), st.integers(1, 500))
def test_what_stops_a_document_is_what_is_shown_as_over(counts: dict[str, int], after: int) -> None:
    guards, own = limits.with_own(COMPANY, {"after": after, "bounce_percent": None})
    shown = [each.name for each in limits.standings(guards, own, counts) if each.state == "over"]
    assert [each.name for each in limits.over(guards, own, counts)] == shown


def test_whether_a_document_is_over_is_one_question_and_not_a_search(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    tail = limits.tail

    def counted(count: int, of: int, share: float) -> float:
        asked.append(count)
        return tail(count, of, share)

    monkeypatch.setattr(limits, "tail", counted)
    counts = {"contacts": 200_000, "unsubscribed": 1_001, "complained": 150, "bounced": 9_000}
    assert not limits.over(COMPANY, frozenset(), counts | {"unsubscribed": 1_000, "complained": 200}), "at the limits"
    assert asked == []
    assert not limits.over(COMPANY, frozenset(), counts)
    assert asked == [1_001], "one above its share may be chance; the others are below theirs"


def test_millions_are_judged_without_a_loop_over_them() -> None:
    assert limits.least_over(50_000_000, 0.5) == pytest.approx(250_000, rel=0.01)
    assert limits.least_over(50_000_000, 50) == pytest.approx(25_000_000, rel=0.01)
