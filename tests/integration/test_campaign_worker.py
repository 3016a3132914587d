"""Does the campaign worker decide once, exactly and in time, on the real PostgreSQL and the real Kafka?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from libs.common import clock, documents
from libs.common.events import ContactRequested, Decided, Fact
from libs.common.topics import partition_of
from services.campaign import store
from services.campaign.document import KIND
from tests.campaign_situations import profile
from tests.campaign_stage import DOCUMENT, UNITS, Place, customer, fired, running, settled, staged


@pytest.fixture
async def place(kafka_bootstrap: str, database_url: str, topic_prefix: str) -> AsyncIterator[Place]:
    async with staged(kafka_bootstrap, database_url, topic_prefix) as place:
        yield place


OUTCOMES = "SELECT outcome, gate, count(*)::int FROM decision GROUP BY 1, 2 ORDER BY 1, 2"
CONTACTS = "SELECT state, count(*)::int FROM contact GROUP BY 1 ORDER BY 1"
ONE_CONTACT = [("contact", "channel", 1)]


def _shift(monkeypatch: pytest.MonkeyPatch, by: timedelta) -> Callable[[], None]:
    """The wall clock of decisions goes wrong by so much, until the function that is returned puts it right."""
    real = clock.now
    monkeypatch.setattr(clock, "now", lambda: real() + by)
    return lambda: monkeypatch.setattr(clock, "now", real)


async def test_a_trigger_becomes_a_decision_and_a_request_that_delivery_commits(place: Place) -> None:
    await place.activate()
    async with running(place):
        await place.meet(customer())
        await place.give(fired(include={"amount": "45000"}))
        await place.until(OUTCOMES, ONE_CONTACT)
        await place.until(CONTACTS, [("reserved", 1)])
        [requested] = await place.published(ContactRequested)
        assert requested.values == {"amount": "45000"} and requested.conditions.consents == ["sms"]
        await place.give(settled(requested.message_id, contacted=True))
        await place.until(CONTACTS, [("committed", 1)])
        await place.until("SELECT count(*)::int FROM timer", [(0,)])
    [decided] = await place.published(Decided)
    assert decided.decision_id == requested.decision_id
    assert [each.verdict for each in decided.trace] == ["pass"] * 9


async def test_a_hundred_triggers_at_once_never_exceed_the_cap(place: Place) -> None:
    await place.activate()
    async with running(place):
        await place.meet(customer())
        await place.give(*(fired(number) for number in range(100)))
        await place.until(OUTCOMES, [*ONE_CONTACT, ("denied", "cap", 99)])
    assert len(await place.published(ContactRequested)) == 1


async def test_a_hundred_triggers_over_linked_records_of_two_units_never_exceed_the_cap(place: Place) -> None:
    ids = ["c1", _other("c1", same_unit=False)]
    person: dict[str, Any] = {"person_id": "p1", "linked": ids}
    await place.activate()
    person["profile"] = profile(version=1, consent_sms=True, has_phone=True)
    await place.give(*(fired(number, each, **person) for number in range(50) for each in ids))
    async with running(place):
        await place.until(OUTCOMES, [*ONE_CONTACT, ("denied", "cap", 99)])


async def test_after_people_were_taken_apart_each_has_their_own_contacts_and_consent(place: Place) -> None:
    one, other = "c1", _other("c1", same_unit=False)
    both: dict[str, Any] = {"person_id": one, "linked": [one, other]}
    await place.activate()
    async with running(place):
        await place.meet(customer(one, **both), customer(other, sms=True, **both))
        await place.give(fired(1, other, **both))
        await place.until(OUTCOMES, ONE_CONTACT)
        await place.give(fired(2, one, **both))
        await place.until(OUTCOMES, [*ONE_CONTACT, ("denied", "cap", 1)])
        await place.give(
            customer(one, version=2, person_id=one), customer(other, version=2, person_id=other, sms=False)
        )
        await place.until("SELECT version::int FROM customer ORDER BY 1", [(2,), (2,)])
        # These were fired before anybody knew that the two are not one.
        await place.give(fired(3, one, **both), fired(4, other, **both))
        await place.until(OUTCOMES, [("contact", "channel", 2), ("denied", "cap", 1), ("denied", "consent", 1)])
    said = {each.trigger_id: each for each in await place.published(Decided)}
    assert said[f"trigger-{other}-4"].person_id == other and said[f"trigger-{one}-3"].person_id == one


def _other(customer_id: str, *, same_unit: bool) -> str:
    def unit(each: str) -> int:
        return partition_of(each.encode(), UNITS)

    candidates = (f"x{number}" for number in range(100))
    return next(each for each in candidates if (unit(each) == unit(customer_id)) is same_unit)


async def test_a_repeated_trigger_makes_no_second_decision(place: Place) -> None:
    await place.activate(cap=None)
    async with running(place):
        await place.meet(customer())
        await place.give(fired(1))
        await place.until(OUTCOMES, ONE_CONTACT)
        await place.give(fired(1), fired(1), fired(2))
        await place.until(OUTCOMES, [("contact", "channel", 2)])
    assert len(await place.published(ContactRequested)) == 2
    assert len(await place.published(Decided)) == 2


async def test_what_is_not_contacted_gives_its_place_under_the_cap_back(place: Place) -> None:
    await place.activate()
    async with running(place):
        await place.meet(customer())
        await place.give(fired(1))
        await place.until(CONTACTS, [("reserved", 1)])
        [requested] = await place.published(ContactRequested)
        await place.give(settled(requested.message_id, contacted=False))
        await place.until(CONTACTS, [("released", 1)])
        await place.give(fired(2))
        await place.until(OUTCOMES, [("contact", "channel", 2)])


async def test_an_older_profile_never_replaces_a_newer_one(place: Place) -> None:
    await place.activate()
    async with running(place):
        await place.give(customer(version=5, sms=False), customer(version=4, sms=True))
        await place.until("SELECT version::int FROM customer", [(5,)])
        # Another customer of the same unit says when the old profile has been read.
        await place.give(customer(version=3, sms=True), customer(_other("c1", same_unit=True), version=1))
        await place.until("SELECT version::int FROM customer ORDER BY 1", [(1,), (5,)])
        await place.give(fired())
        await place.until(OUTCOMES, [("denied", "consent", 1)])


def _quiet_three_hours_ago() -> dict[str, Any]:
    middle = datetime.now(UTC) - timedelta(hours=3)
    begins, ends = middle - timedelta(minutes=30), middle + timedelta(minutes=30)
    return {"from": f"{begins:%H:%M}", "to": f"{ends:%H:%M}", "zone": "UTC"}


async def test_a_deferred_decision_is_decided_anew_when_its_time_comes(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    await place.activate(quiet_hours=_quiet_three_hours_ago())
    restore = _shift(monkeypatch, timedelta(hours=-3))
    async with running(place):
        await place.meet(customer())
        await place.give(fired(1))
        await place.until(OUTCOMES, [("deferred", "quiet_hours", 1)])
        restore()
        await asyncio.sleep(1.5)
        assert await place.rows(OUTCOMES) == [("deferred", "quiet_hours", 1)], "the unit's clock has not moved"
        await place.mark()
        await place.until(OUTCOMES, ONE_CONTACT)
    assert [each.outcome for each in await place.published(Decided)] == ["deferred", "contact"]
    [requested] = await place.published(ContactRequested)
    assert (requested.conditions.zone, requested.conditions.from_minute is not None) == ("UTC", True)


@pytest.mark.parametrize(("change", "gate"), [("pause", "eligibility"), ("withdraw", "consent"), ("switch", "switch")])
async def test_a_deferred_decision_passes_every_gate_again_at_its_release(
    place: Place, monkeypatch: pytest.MonkeyPatch, change: str, gate: str
) -> None:
    await place.activate(quiet_hours=_quiet_three_hours_ago())
    restore = _shift(monkeypatch, timedelta(hours=-3))
    async with running(place):
        await place.meet(customer())
        await place.give(fired(1))
        await place.until(OUTCOMES, [("deferred", "quiet_hours", 1)])
        restore()
        async with place.floor.database.transaction() as tx:
            if change == "pause":
                await documents.pause(tx, KIND, "spring", author="m")
            if change == "switch":
                await store.set_switch(tx, "all", off=True, actor="o", set_at=clock.now(), note="")
        await place.library.refresh()
        if change == "withdraw":
            await place.give(customer(version=2, sms=False))
            await place.until("SELECT version::int FROM customer", [(2,)])
        await place.mark()
        await place.until(OUTCOMES, [("denied", gate, 1)])
    assert await place.published(ContactRequested) == []


async def test_a_reservation_that_nobody_answers_for_is_given_back(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    await place.activate()
    restore = _shift(monkeypatch, timedelta(days=-10))
    async with running(place):
        await place.meet(customer())
        await place.give(fired(1))
        await place.until(CONTACTS, [("reserved", 1)])
        restore()
        await place.mark()
        await place.until(CONTACTS, [("released", 1)])


async def test_a_campaign_counts_within_two_seconds_of_its_activation(place: Place) -> None:
    async with running(place):
        await place.meet(customer())
        await place.give(fired(1))
        body = msgspec.json.encode(DOCUMENT | {"cap": None})
        async with place.floor.database.transaction() as tx:
            await documents.create_version(tx, KIND, "spring", body, author="m")
            await documents.activate(tx, KIND, "spring", 1, author="m")
        await asyncio.sleep(2.0)
        await place.give(fired(2))
        await place.until(OUTCOMES, ONE_CONTACT, seconds=3)


async def test_a_message_that_cannot_be_understood_is_buried_and_the_rest_goes_on(place: Place) -> None:
    await place.activate(cap=None)
    bad: Sequence[Fact] = [
        settled("no-id", contacted=True),
        fired(1, profile=msgspec.Raw(b"[]")),
        fired(2, customer_id="c1", event_id="e\x00"),
        fired(3, occurred_at=datetime(2026, 1, 1)),  # noqa: DTZ001 - it has no zone on purpose.
    ]
    async with running(place, buried=len(bad)):
        await place.meet(customer())
        await place.give(fired(4), *bad, fired(5))
        await place.until(OUTCOMES, [("contact", "channel", 2)])
