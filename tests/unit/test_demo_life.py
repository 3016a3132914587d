"""Does the demo's town live the same life for the same seed, and is every event of it one that the door takes?"""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime, timedelta

from deploy.demo import life, past, town
from services.ingest.intake import Accepted, Form, Outcome, Terms, decode_batch
from services.ingest.keys.book import WriteKey
from services.ingest.schemas.kinds import Kinds

MIDNIGHT = datetime(2026, 1, 1, tzinfo=UTC)
NOW = MIDNIGHT + timedelta(hours=12)
TICK = 43_200


def judged(events: list[dict[str, object]], channel: str) -> Outcome:
    key = WriteKey("key", channel, [], ["history"])
    terms = Terms(key, Kinds(), NOW, NOW - timedelta(days=35), NOW + timedelta(days=1))
    return decode_batch(json.dumps(events).encode(), Form.NATIVE, terms)


def of_seconds(seed: int, seconds: int, rate: float = 20.0) -> list[dict[str, object]]:
    place = town.found(seed, 300)
    return [event for tick in range(TICK - seconds, TICK) for event in life.second(place, tick, rate, MIDNIGHT)]


def test_the_same_seed_and_second_give_the_same_events_and_another_seed_gives_others() -> None:
    assert of_seconds(7, 5) == of_seconds(7, 5)
    assert of_seconds(7, 5) != of_seconds(8, 5)


def test_no_id_occurs_twice_however_long_the_shop_is_open() -> None:
    ids = [event["id"] for event in of_seconds(7, 120)]
    assert len(ids) == len(set(ids))


def test_about_as_many_events_happen_as_were_asked_for() -> None:
    for rate in (0.5, 20.0, 100.0):
        count = len(of_seconds(7, 60, rate))
        # Baskets that are paid, lives and complaints come on top of the business.
        assert 60 * rate <= count <= 60 * rate * 1.15 + 60


def test_the_door_takes_every_event_of_the_shop_and_of_its_past() -> None:
    events = [*of_seconds(7, 300), *past.first_load(town.found(7, 300))]
    for channel in ("pos", "web", "call-center"):
        own = [event for event in events if event["channel"] == channel]
        assert own
        for start in range(0, len(own), 500):
            verdicts = judged(own[start : start + 500], channel).verdicts
            assert [each for each in verdicts if not isinstance(each, Accepted)] == []


def test_the_past_is_history_and_always_the_same() -> None:
    first = list(past.first_load(town.found(7, 50)))
    assert first == list(past.first_load(town.found(7, 50)))
    assert all(event["history"] is True for event in first)
    assert first[0]["identifiers"]["loyalty_card"] == "8801-0001"


def test_everything_that_a_rule_waits_for_happens_within_ten_minutes() -> None:
    seen = Counter(str(event["type"]) for event in of_seconds(7, 600))
    wanted = {"purchase", "refund", "cart_add", "complaint", "complaint_resolved", "life.marriage", "life.childbirth"}
    assert wanted | {"life.move", "product_view", "visit", "call_inbound"} <= set(seen)


def test_some_baskets_are_paid_in_time_and_some_are_left() -> None:
    events = of_seconds(7, 300)
    carts = sum(event["type"] == "cart_add" for event in events)
    paid = sum(event["type"] == "purchase" and event["channel"] == "web" for event in events)
    assert 0.4 * carts < paid < 0.8 * carts


def test_most_people_agree_to_mail_and_some_refuse_or_were_never_asked() -> None:
    answers = Counter(person.consents.get("email") for person in town.found(7, 2_000).people)
    assert answers[True] > 1_400 and answers[False] > 100 and answers[None] > 20


def test_the_first_customer_can_be_reached_by_every_channel_under_every_seed() -> None:
    for seed in range(20):
        first = town.found(seed, 3).people[0]
        assert first.consents == {"email": True, "sms": True, "call": True}
        assert set(first.identifiers()) == {"loyalty_card", "account", "phone", "email", "cookie"}
