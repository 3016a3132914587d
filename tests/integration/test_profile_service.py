"""Does profile put real events from the real log to the right person, once, whatever door or order they came by?"""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta

import msgspec
import pytest

from libs.common import clock
from libs.common.events import EventReceived, EventResolved, ProfileUpdated
from libs.common.topics import (
    EVENT_RESOLVED,
    PROFILE_UPDATED,
    dead_letters,
)
from services.profile.store import arrivals
from tests.profile_place import Profile, purchase, running


@pytest.fixture
async def profile(kafka_bootstrap: str, postgres_url: str, fresh_name: str) -> AsyncIterator[Profile]:
    async with running(kafka_bootstrap, postgres_url, fresh_name) as place:
        yield place


async def test_events_of_one_card_add_up_and_a_repeat_has_no_second_effect(profile: Profile) -> None:
    first, second = purchase("1", 1000, loyalty_card="c"), purchase("2", 500, loyalty_card="c")
    await profile.send(first, second, first)
    await profile.send(first)
    await profile.send(purchase("3", 1, loyalty_card="c"))
    found = await profile.until("loyalty_card:c", lambda c: c["profile"]["purchase_count"] == 3)
    assert found["purchases"]["spent"] == {"KRW": "1501"}
    assert len(await profile.log(EVENT_RESOLVED)) == 3


async def test_the_same_id_with_another_body_is_a_conflict_without_effect(profile: Profile) -> None:
    event = purchase("1", 1000, loyalty_card="c")
    other = msgspec.structs.replace(event, data=msgspec.Raw(b'{"amount": 9, "currency": "KRW"}'))
    await profile.send(event)
    await profile.until("loyalty_card:c", lambda c: c["profile"]["purchase_count"] == 1)
    await profile.send(other, purchase("2", 10, loyalty_card="c"))
    found = await profile.until("loyalty_card:c", lambda c: c["profile"]["purchase_count"] == 2)
    assert found["purchases"]["spent"] == {"KRW": "1010"}
    [row] = await arrivals.conflicts_page(profile.connection, None, 10)
    assert (row["source"], row["event_id"], row["body"]) == ("store-1/pos-1", "1", msgspec.json.encode(other))


async def test_an_event_with_two_known_customers_makes_them_one_person(profile: Profile) -> None:
    await profile.send(purchase("1", 10, loyalty_card="c"), purchase("2", 5, phone="010-1234-5678"))
    card = await profile.until("loyalty_card:c", lambda c: c["profile"]["purchase_count"] == 1)
    phone = await profile.until("phone:+821012345678", lambda c: c["profile"]["purchase_count"] == 1)
    assert card["person_id"] != phone["person_id"]
    await profile.send(purchase("3", 1, loyalty_card="c", phone="+82 10 1234 5678"))
    merged = await profile.until("phone:+821012345678", lambda c: c["profile"]["purchase_count"] == 3)
    assert merged["purchases"]["spent"] == {"KRW": "16"}
    assert set(merged["records"]) == {card["customer_id"], phone["customer_id"]}
    assert merged["person_id"] in (card["person_id"], phone["person_id"])


async def test_what_goes_into_the_history_names_and_locates_nobody(profile: Profile) -> None:
    event = EventReceived(
        "1",
        "web",
        "identify",
        clock.now(),
        "web",
        {"account": "a", "email": "someone@example.com"},
        data=msgspec.Raw(b'{"traits": {"first_name": "Someone", "tier": "gold", "phone": "+821099998888"}}'),
    )
    await profile.send(event)
    await profile.until("account:a", lambda c: c["profile"].get("tier") == "gold")
    [resolved] = await profile.log(EVENT_RESOLVED)
    for secret in (b"Someone", b"someone@example.com", b"99998888"):
        assert secret not in resolved.value
    body = msgspec.json.decode(resolved.value, type=EventResolved)
    assert msgspec.json.decode(body.profile)["has_email"] is True
    assert {name: change.now for name, change in body.changed.items()}["tier"] == "gold"
    [updated] = await profile.log(PROFILE_UPDATED)
    delivery = msgspec.json.decode(updated.value, type=ProfileUpdated)
    assert delivery.contacts == {"email": "someone@example.com", "phone": "+821099998888"}


async def test_an_event_without_identifiers_builds_no_profile(profile: Profile) -> None:
    await profile.send(purchase("1"), purchase("2", loyalty_card="c"))
    await profile.until("loyalty_card:c", lambda c: c["profile"]["purchase_count"] == 1)
    assert await profile.connection.fetchval("SELECT count(*) FROM record") == 1


async def test_bytes_that_postgresql_refuses_are_buried_and_the_partition_goes_on(profile: Profile) -> None:
    good, bad = purchase("1", loyalty_card="c"), purchase("2", loyalty_card="c")
    poisoned = msgspec.json.encode(bad).replace(b'"loyalty_card":"c"', b'"loyalty_card":"c","email":"a\\u0000b"')
    await profile.send(bad, good, bodies=[poisoned, msgspec.json.encode(good)])
    await profile.until("loyalty_card:c", lambda c: c["profile"]["purchase_count"] == 1)
    [dead] = await profile.log(dead_letters("profile"))
    assert dead.value == poisoned


async def test_old_data_is_counted_once_and_marked_as_history(profile: Profile) -> None:
    old = msgspec.structs.replace(purchase("1", loyalty_card="c", minutes_ago=60 * 24 * 4000), history=True)
    await profile.send(old, old)
    await profile.send(old, purchase("2", loyalty_card="c"))
    await profile.until("loyalty_card:c", lambda c: c["profile"]["purchase_count"] == 2)
    marks = [
        msgspec.json.decode(record.value, type=EventResolved).history for record in await profile.log(EVENT_RESOLVED)
    ]
    assert sorted(marks) == [False, True]


async def test_what_came_live_and_comes_again_as_history_counts_once_and_the_other_way_round(profile: Profile) -> None:
    live, listed = purchase("1", loyalty_card="c", minutes_ago=60), purchase("2", loyalty_card="c", minutes_ago=90)
    await profile.send(live, msgspec.structs.replace(listed, history=True))
    await profile.until("loyalty_card:c", lambda c: c["profile"]["purchase_count"] == 2)
    await profile.send(msgspec.structs.replace(live, history=True), listed, purchase("3", loyalty_card="c"))
    found = await profile.until("loyalty_card:c", lambda c: c["profile"]["purchase_count"] >= 3)
    assert found["profile"]["purchase_count"] == 3


async def test_what_is_flagged_as_a_bots_or_a_test_stays_flagged(profile: Profile) -> None:
    await profile.send(purchase("1", cookie="c"), headers=[("channel", b"web"), ("traffic", b"bot")])
    await profile.send(purchase("2", cookie="c"), headers=[("channel", b"web")])
    # Only one of them was a purchase of theirs.
    await profile.until("cookie:c", lambda c: c["profile"]["purchase_count"] == 1)
    flags = {
        event.event_id: event.traffic
        for record in await profile.log(EVENT_RESOLVED)
        for event in [msgspec.json.decode(record.value, type=EventResolved)]
    }
    assert flags == {"1": "bot", "2": ""}


async def test_a_till_that_counts_anew_each_day_loses_nothing(profile: Profile) -> None:
    """The same number on two days, one after the other in the log, is two purchases; on one day it is a repeat."""
    today, yesterday = purchase("0001", 5, loyalty_card="till"), purchase("0001", 7, loyalty_card="till")
    yesterday = msgspec.structs.replace(yesterday, time=today.time - timedelta(days=1))
    await profile.send(today, yesterday, today, yesterday)
    found = await profile.until("loyalty_card:till", lambda c: c["profile"]["purchase_count"] >= 2)
    assert found["purchases"]["spent"] == {"KRW": "12"}
    assert not await arrivals.conflicts_page(profile.connection, None, 10)
