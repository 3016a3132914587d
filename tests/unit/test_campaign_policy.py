"""Do the gates stand in their order, and does the first one that says no decide?"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.campaign import policy
from services.campaign.caps import Cap
from services.campaign.hours import QuietHours
from services.campaign.policy import Situation, evaluate
from tests.campaign_situations import COMPANY, NOON, WILLING, campaign, contact, facts, situation

ORDER = ["switch", "eligibility", "suppression", "consent", "policy", "quiet_hours", "holdout", "cap", "channel"]
NIGHT = QuietHours(20 * 60, 9 * 60)
LATE = datetime(2026, 3, 4, 14, 0, tzinfo=UTC)
"""Eleven at night in Seoul."""

Break = Callable[[dict[str, Any]], None]


def _break_campaign(**changes: Any) -> Break:
    def apply(parts: dict[str, Any]) -> None:
        parts["campaign"].update(changes)

    return apply


def _break(**changes: Any) -> Break:
    def apply(parts: dict[str, Any]) -> None:
        parts["situation"].update(changes)

    return apply


def _break_facts(**changes: Any) -> Break:
    def apply(parts: dict[str, Any]) -> None:
        parts["facts"].update(changes)

    return apply


OBSTACLES: dict[str, Break] = {
    "switch": _break(switched_off=frozenset({"channel:sms"})),
    "eligibility": _break(active=False),
    "suppression": _break_facts(suppressed=frozenset({"open_complaint"})),
    "consent": _break_facts(consents={"sms": False}),
    "quiet_hours": _break_campaign(quiet=QuietHours(0, 23 * 60)),
    "holdout": _break_campaign(holdout_percent=100.0),
    "cap": _break_campaign(cap=Cap(0, timedelta(days=1))),
}


def _with(*gates: str) -> Situation:
    parts: dict[str, Any] = {"campaign": {}, "situation": {}, "facts": {}}
    for gate in gates:
        OBSTACLES[gate](parts)
    return situation(campaign=campaign(**parts["campaign"]), facts=facts(**parts["facts"]), **parts["situation"])


def test_who_meets_no_obstacle_is_contacted_and_every_gate_is_in_the_trace() -> None:
    decision = evaluate(situation())
    assert (decision.outcome, decision.gate) == ("contact", "channel")
    assert [verdict.gate for verdict in decision.trace] == ORDER
    assert {verdict.verdict for verdict in decision.trace} == {"pass"}


@given(st.sets(st.sampled_from(sorted(OBSTACLES)), min_size=1))
def test_the_first_obstacle_in_the_order_decides_and_nothing_overrules_it(gates: set[str]) -> None:
    decision = evaluate(_with(*gates))
    first = min(gates, key=ORDER.index)
    assert decision.gate == first
    assert decision.outcome == {"quiet_hours": "deferred", "holdout": "holdout"}.get(first, "denied")
    assert [verdict.gate for verdict in decision.trace] == ORDER[: ORDER.index(first) + 1]
    assert all(verdict.verdict == "pass" for verdict in decision.trace[:-1])


@pytest.mark.parametrize("scope", ["all", "channel:sms", "campaign:spring"])
def test_a_switch_stops_what_is_in_its_scope(scope: str) -> None:
    decision = evaluate(situation(switched_off=frozenset({scope})))
    assert (decision.outcome, decision.gate) == ("denied", "switch")
    assert decision.trace[0].values == {"scope": scope}


def test_a_switch_of_another_scope_stops_nothing() -> None:
    off = frozenset({"channel:email", "campaign:summer"})
    assert evaluate(situation(switched_off=off)).outcome == "contact"


def test_a_stale_trigger_is_dropped_with_its_reason() -> None:
    just = situation(now=NOON + timedelta(days=3))
    assert evaluate(just).outcome == "contact"
    late = evaluate(situation(now=NOON + timedelta(days=3, seconds=1)))
    assert (late.outcome, late.gate) == ("denied", "eligibility")
    assert "stale" in late.trace[-1].detail


@pytest.mark.parametrize(
    ("reason", "channel", "class_", "denied"),
    [
        ("open_complaint", "sms", "marketing", True),
        ("open_complaint", "sms", "service", False),
        ("open_complaint", "sms", "transactional", False),
        ("complained:sms", "sms", "marketing", True),
        ("complained:sms", "sms", "transactional", False),
        ("erased", "sms", "transactional", True),
        ("bounced:email", "email", "transactional", True),
        ("bounced:email", "sms", "marketing", False),
        ("wrong:phone", "call", "marketing", True),
        ("wrong:phone", "email", "marketing", False),
        ("something_new", "email", "service", True),
        ("restricted", "email", "transactional", True),
        ("restricted:call", "call", "transactional", True),
        ("restricted:call", "sms", "marketing", False),
        ("restricted:call:marketing", "call", "marketing", True),
        ("restricted:call:marketing", "call", "service", False),
        ("restricted::marketing", "email", "marketing", True),
        ("restricted::marketing", "email", "transactional", False),
    ],
)
def test_a_suppression_binds_what_it_names(reason: str, channel: str, class_: str, denied: bool) -> None:
    decision = evaluate(
        situation(campaign=campaign(channel=channel, class_=class_), facts=facts(suppressed=frozenset({reason})))
    )
    assert (decision.gate == "suppression") is denied


def test_who_has_no_contact_point_for_the_channel_is_not_contacted_by_it() -> None:
    decision = evaluate(situation(facts=facts(points=frozenset({"email"}))))
    assert (decision.outcome, decision.gate) == ("denied", "suppression")
    assert decision.trace[-1].values == {"needs": "phone"}


@given(
    consents=st.dictionaries(st.sampled_from(["email", "sms", "call", "webhook"]), st.booleans()),
    channel=st.sampled_from(["email", "sms", "call", "webhook"]),
    class_=st.sampled_from(policy.CLASSES),
)
def test_nobody_is_contacted_on_a_channel_without_consent_but_by_transactional_messages(
    consents: dict[str, bool], channel: str, class_: str
) -> None:
    decision = evaluate(situation(campaign=campaign(channel=channel, class_=class_), facts=facts(consents=consents)))
    lawful = class_ == "transactional" or consents.get(channel) is True
    assert (decision.outcome == "contact") is lawful
    assert lawful or decision.gate == "consent"


def test_quiet_hours_defer_to_the_first_allowed_instant_of_the_customers_place() -> None:
    seoul = evaluate(situation(campaign=campaign(quiet=NIGHT), occurred_at=LATE, now=LATE))
    assert (seoul.outcome, seoul.gate) == ("deferred", "quiet_hours")
    assert seoul.defer_until == datetime(2026, 3, 5, 0, 0, tzinfo=UTC)
    berlin = situation(campaign=campaign(quiet=NIGHT), facts=facts(zone="Europe/Berlin"), occurred_at=LATE, now=LATE)
    assert evaluate(berlin).outcome == "contact"


@pytest.mark.parametrize("zone", [None, "Mars/Phobos"])
def test_the_companys_zone_stands_in_for_an_unknown_one(zone: str | None) -> None:
    decision = evaluate(situation(campaign=campaign(quiet=NIGHT), facts=facts(zone=zone), occurred_at=LATE, now=LATE))
    assert decision.outcome == "deferred"
    assert decision.trace[-1].values["zone"] == COMPANY.zone


def test_a_campaigns_own_zone_beats_the_customers() -> None:
    quiet = QuietHours(20 * 60, 9 * 60, "Europe/Berlin")
    assert evaluate(situation(campaign=campaign(quiet=quiet), occurred_at=LATE, now=LATE)).outcome == "contact"


def test_what_would_be_stale_when_the_quiet_hours_end_is_dropped_at_once() -> None:
    short = campaign(quiet=NIGHT, valid_for=timedelta(hours=2))
    decision = evaluate(situation(campaign=short, occurred_at=LATE, now=LATE))
    assert (decision.outcome, decision.gate) == ("denied", "quiet_hours")


@settings(max_examples=300)
@given(hours=st.integers(0, 24 * 400), zone=st.sampled_from(["Asia/Seoul", "Europe/Berlin", "America/New_York"]))
def test_a_deferred_decision_is_not_deferred_again_at_its_release(hours: int, zone: str) -> None:
    at = NOON + timedelta(hours=hours, minutes=17)
    first = situation(campaign=campaign(quiet=NIGHT), facts=facts(zone=zone), occurred_at=at, now=at)
    until = evaluate(first).defer_until
    if until is not None:
        again = situation(campaign=campaign(quiet=NIGHT), facts=facts(zone=zone), occurred_at=at, now=until)
        assert evaluate(again).outcome == "contact"


@given(st.text(min_size=1), st.text(min_size=1), st.floats(0, 100))
def test_holdout_is_sticky(person_id: str, campaign_id: str, percent: float) -> None:
    asked = situation(person_id=person_id, campaign=campaign(id=campaign_id, holdout_percent=percent))
    later = situation(
        person_id=person_id,
        campaign=campaign(id=campaign_id, holdout_percent=percent, version=9, template="other"),
        now=NOON + timedelta(days=2),
    )
    assert evaluate(asked).outcome == evaluate(later).outcome


@pytest.mark.parametrize("percent", [5, 20, 50])
def test_the_share_held_out_is_the_one_asked_for_and_campaigns_draw_apart(percent: int) -> None:
    people = [f"person-{number}" for number in range(20_000)]
    held = {person for person in people if policy.share_of(person, "spring") < percent}
    other = {person for person in people if policy.share_of(person, "summer") < percent}
    expected = percent * 200
    spread = 4 * (20_000 * percent / 100 * (1 - percent / 100)) ** 0.5
    assert abs(len(held) - expected) < spread
    assert abs(len(held & other) - expected * percent / 100) < spread


def test_who_is_held_out_is_held_out_before_the_cap_is_looked_at() -> None:
    decision = evaluate(_with("holdout", "cap"))
    assert decision.outcome == "holdout"


def test_a_ramp_lets_in_the_share_asked_for_and_keeps_them_as_it_grows() -> None:
    def inside(percent: int) -> set[str]:
        ramped = campaign(ramp_percent=percent)
        people = [f"person-{number}" for number in range(3_000)]
        return {
            person for person in people if evaluate(situation(person_id=person, campaign=ramped)).outcome == "contact"
        }

    tenth, half = inside(10), inside(50)
    assert 200 < len(tenth) < 400 and 1350 < len(half) < 1650
    assert tenth < half
    assert not inside(0)


@pytest.mark.parametrize(
    ("age_days", "pending", "denied"),
    [(6.9, False, True), (7.0, False, False), (300, False, False), (300, True, True)],
)
def test_a_cap_counts_what_happened_in_its_window_and_whatever_is_pending(
    age_days: float, pending: bool, denied: bool
) -> None:
    capped = campaign(cap=Cap(1, timedelta(days=7)))
    past = contact(NOON - timedelta(days=age_days), pending=pending)
    decision = evaluate(situation(campaign=capped, contacts=[past]))
    assert (decision.gate == "cap") is denied


def test_the_companys_cap_counts_marketing_of_all_campaigns_on_the_channel_and_nothing_else() -> None:
    others = [contact(campaign_id=f"other-{number}") for number in range(2)]
    harmless = [
        contact(campaign_id="mail", channel="email"),
        contact(campaign_id="receipt", class_="transactional"),
    ]
    assert evaluate(situation(contacts=others + harmless)).outcome == "contact"
    full = evaluate(situation(contacts=[*others, contact(campaign_id="third")]))
    assert (full.outcome, full.gate) == ("denied", "cap")
    receipt = campaign(class_="transactional", cap=Cap(0, timedelta(days=1)))
    assert evaluate(situation(campaign=receipt, contacts=[contact()] * 50)).outcome == "contact"


def test_the_conditions_of_a_contact_repeat_what_the_gates_asked() -> None:
    asked = policy.conditions(situation(campaign=campaign(quiet=NIGHT), facts=facts(zone="Europe/Berlin")))
    assert asked.consents == ["sms"]
    assert (asked.zone, asked.from_minute, asked.to_minute) == ("Europe/Berlin", 540, 1200)
    assert asked.valid_until == NOON + timedelta(days=3)
    receipt = policy.conditions(situation(campaign=campaign(class_="transactional")))
    assert (receipt.consents, receipt.zone, receipt.from_minute) == ([], None, None)


def test_the_first_situation_of_these_tests_is_one_of_consent() -> None:
    assert WILLING.consents["sms"] and not WILLING.suppressed
