"""What must have come of the events in the raw log? A reading of the game of its own, sharing no code with the players.

It reads the log at the door, the ledger of the provider outside, and what the tests did. Nothing that a service says of
itself is believed here, except where the test asks whether a profile equals the fold of the log.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from aiokafka import AIOKafkaConsumer, TopicPartition

DEAR = Decimal(100_000)
"""Purchases from this amount on earn a message, if the customer has agreed to be told."""


async def raw_log(bootstrap: str, topic: str, partitions: int) -> list[dict[str, Any]]:
    """Every event in a topic, decoded by the standard library, in the order of each partition."""
    consumer = AIOKafkaConsumer(bootstrap_servers=bootstrap, group_id=None, auto_offset_reset="earliest")
    await consumer.start()
    try:
        places = [TopicPartition(topic, number) for number in range(partitions)]
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        events: list[dict[str, Any]] = []
        while [place for place in places if await consumer.position(place) < ends[place]]:
            for messages in (await consumer.getmany(timeout_ms=500)).values():
                events += [json.loads(message.value) for message in messages]
        return events
    finally:
        await consumer.stop()


@dataclass
class Expected:
    """The fold of a log in which every event counts once: per account."""

    purchases: Counter[str] = field(default_factory=Counter)
    spent: dict[str, Decimal] = field(default_factory=lambda: defaultdict(Decimal))
    messages: Counter[str] = field(default_factory=Counter)


def fold(events: Iterable[Mapping[str, Any]]) -> Expected:
    """Purchases by account; a dear one of an account whose name begins with `yes` earns one message."""
    expected, seen = Expected(), set()
    for event in events:
        identity = (event["source"], event["id"])
        if identity in seen or event["type"] != "purchase":
            continue
        seen.add(identity)
        account, amount = event["identifiers"]["account"], Decimal(str(event["data"]["amount"]))
        expected.purchases[account] += 1
        expected.spent[account] += amount
        if amount >= DEAR and account.startswith("yes"):
            expected.messages[account] += 1
    return expected


def accepted(ledger: Iterable[str], channel: str, recipients: Mapping[str, str]) -> tuple[Counter[str], list[str]]:
    """What the provider accepted on one channel: how many by account, and ids of messages accepted twice."""
    by_hash = {hashlib.sha256(address.encode()).hexdigest(): account for account, address in recipients.items()}
    counts: Counter[str] = Counter()
    ids: Counter[str] = Counter()
    for text in ledger:
        line = json.loads(text)
        if line["kind"] == "accepted" and line["channel"] == channel:
            counts[by_hash[line["recipient_sha256"]]] += 1
            ids[line["message_id"]] += 1
    return counts, [message_id for message_id, count in ids.items() if count > 1]
