"""What follows from a trigger: which ids, which facts, which timers?"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import msgspec
import pytest

from libs.common import clock
from libs.common.errors import Poison
from libs.common.events import ContactRequested, Decided, RuleTriggered
from services.campaign import decisions
from services.campaign.decisions import Deferral, Outcome
from services.campaign.document import Library
from services.campaign.facts import Record
from services.campaign.hours import QuietHours
from services.campaign.policy import Campaign
from tests.campaign_situations import COMPANY, NOON, campaign, record, trigger


def _library(*campaigns: Campaign) -> Library:
    return Library({each.id: each for each in campaigns}, {"offer.spring": list(campaigns)})


def _decide(
    triggers: Sequence[RuleTriggered], library: Library, records: dict[str, Record] | None = None
) -> list[Outcome]:
    occasions = decisions.occasions_of(triggers, library)
    people = decisions.people_of(occasions.values(), records or {"c1": record()})
    return decisions.decide(occasions, decisions.Known(people, {}, frozenset(), COMPANY, NOON))


def test_a_repeated_trigger_makes_no_second_decision() -> None:
    assert len(_decide([trigger(1), trigger(1), trigger(2)], _library(campaign()))) == 2


def test_every_campaign_bound_to_the_trigger_is_decided_in_order() -> None:
    outcomes = _decide([trigger()], _library(campaign(id="first"), campaign(id="second")))
    assert [each.occasion.campaign.id for each in outcomes] == ["first", "second"]


def test_a_trigger_that_no_campaign_waits_for_is_no_decision() -> None:
    assert _decide([trigger(trigger="offer.unknown")], _library(campaign())) == []


def test_ids_follow_from_the_trigger_and_not_from_the_version_or_the_time() -> None:
    first = _decide([trigger()], _library(campaign(version=1)))[0]
    again = _decide([trigger(occurred_at=NOON - timedelta(hours=1))], _library(campaign(version=2)))[0]
    assert first.decision_id == again.decision_id
    assert first.decision_id == clock.derived_id("decision", "trigger-c1-1", "spring", 0)
    assert first.reservation is not None and again.reservation is not None
    assert first.reservation.message_id == clock.derived_id("message", first.decision_id, "sms")


def test_a_contact_is_decided_requested_and_reserved() -> None:
    outcomes = _decide([trigger(include={"amount": "45000"})], _library(campaign(cost="12.50")))
    decided, requested = decisions.facts_from(outcomes)
    assert isinstance(decided, Decided) and isinstance(requested, ContactRequested)
    assert (decided.outcome, decided.cost, decided.event_id, decided.rule_id) == (
        "contact",
        "12.50",
        "event-1",
        "rule-1",
    )
    assert (requested.decision_id, requested.template, requested.class_) == (
        decided.decision_id,
        "spring-text",
        "marketing",
    )
    assert requested.values == {"amount": "45000"} and requested.received_ms == 1234
    [timer] = decisions.timers_from(outcomes)
    assert timer.key == f"reservation:{requested.message_id}"
    assert timer.due == requested.conditions.valid_until + timedelta(days=1)


def test_a_decision_says_for_what_reason_its_trigger_fired() -> None:
    outcomes = _decide([trigger(reason="price")], _library(campaign()))
    assert [each.reason for each in decisions.facts_from(outcomes) if isinstance(each, Decided)] == ["price"]


def test_nobody_is_asked_to_contact_who_is_denied_or_held_out() -> None:
    refusing = {"c1": record(consents={})}
    for library, records in (
        (_library(campaign()), refusing),
        (_library(campaign(holdout_percent=100.0)), {"c1": record()}),
    ):
        outcomes = _decide([trigger()], library, records)
        [decided] = decisions.facts_from(outcomes)
        assert isinstance(decided, Decided) and decided.cost == "0"
        assert decisions.timers_from(outcomes) == []


def test_a_deferred_decision_is_told_and_comes_back_with_its_trigger() -> None:
    night = campaign(quiet=QuietHours(0, 23 * 60))
    outcomes = _decide([trigger(include={"x": 1})], _library(night))
    [decided] = decisions.facts_from(outcomes)
    assert isinstance(decided, Decided) and decided.outcome == "deferred"
    [timer] = decisions.timers_from(outcomes)
    assert timer.key == decided.decision_id and timer.gated
    deferral = msgspec.json.decode(timer.payload, type=Deferral)
    assert deferral.trigger.include == {"x": 1} and deferral.campaign == night
    assert decisions.Occasion(deferral.trigger, deferral.campaign).decision_id == outcomes[0].decision_id


def test_at_its_release_the_version_in_force_decides() -> None:
    deferral = Deferral(trigger(), campaign(version=1))
    assert decisions.released(deferral, _library(campaign(version=2))).campaign.version == 2
    ended = decisions.released(deferral, _library())
    assert not ended.active and ended.campaign.version == 1


def test_an_occasion_without_an_offset_is_poison() -> None:
    with pytest.raises(Poison, match="offset"):
        _decide([trigger(occurred_at=NOON.replace(tzinfo=None))], _library(campaign()))
