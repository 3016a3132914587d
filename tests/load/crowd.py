"""What is it like to know a million customers? Tables filled as by their events, and events of such customers."""

from __future__ import annotations

import asyncio
import json
import random
import uuid
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Final

import asyncpg

from libs.common import clock
from libs.common.kafka import Publisher, Record
from libs.common.topics import EVENT_RECEIVED, partition_of
from services.profile import holding, person
from services.profile.person import Customer, Definitions, Occurrence
from services.profile.person.state import FORM

_NAMES: Final = uuid.UUID("6d2f6a0e-6f0e-4a7e-8f43-2c5b8a9f5d11")
_AT_ONCE: Final = 20_000
_PUBLISHED_AT_ONCE: Final = 2_000
_PURCHASES_BEFORE: Final = 6


def card_of(number: int) -> str:
    return f"8801-{number:07d}"


def record_of(number: int) -> str:
    return str(uuid.uuid5(_NAMES, card_of(number)))


async def settle(database_url: str, count: int, units: int) -> None:
    """Customers 0 to `count`, each known by a card, with a name and some purchases of the last weeks."""
    connection = await asyncpg.connect(database_url)
    try:
        at = clock.now()
        head, tail = _state(at)
        for first in range(0, count, _AT_ONCE):
            numbers = range(first, min(count, first + _AT_ONCE))
            records = [record_of(number) for number in numbers]
            await connection.copy_records_to_table(
                "record",
                records=[(each, each, at) for each in records],
                columns=["record_id", "person_id", "created_at"],
            )
            await connection.copy_records_to_table(
                "identifier",
                records=[(f"loyalty_card:{card_of(n)}", each, at) for n, each in zip(numbers, records, strict=True)],
                columns=["key", "record_id", "learned_at"],
            )
            await connection.copy_records_to_table(
                "customer",
                records=[
                    (each, partition_of(each.encode(), units), 8, FORM, head + each.encode() + tail) for each in records
                ],
                columns=["customer_id", "unit", "version", "form", "body"],
            )
        await connection.execute("VACUUM ANALYZE record, identifier, customer")
    finally:
        await connection.close()


def _state(at: Any) -> tuple[bytes, bytes]:
    """A customer's state before and behind the id of the person, which alone differs."""
    mark, defined = "0" * 36, Definitions()
    made = Customer(mark)
    said = {"traits": {"first_name": "Mina", "tier": "gold", "birth_date": "1990-02-03"}}
    events: list[tuple[str, dict[str, Any]]] = [("identify", said), ("consent_given", {"channel": "email"})]
    events += [("purchase", {"amount": 10_000 + each, "currency": "KRW"}) for each in range(_PURCHASES_BEFORE)]
    for each, (kind, data) in enumerate(events):
        time = clock.to_ms(at - timedelta(days=40 - 5 * each))
        event = Occurrence(kind, time, "bench/pos-1", f"e{each}", data, {}, "pos", "gangnam", time)
        person.apply(made, event, defined)
    head, _, tail = holding.stored(made).partition(mark.encode())
    return head, tail


def events(count: int, customers: int, seed: int = 7) -> Iterator[tuple[bytes, bytes]]:
    """Keys and bodies of purchases by customers drawn evenly; about 400 bytes each."""
    chance = random.Random(seed)
    for number in range(count):
        card = card_of(chance.randrange(customers))
        document = {
            "id": f"receipt-{seed}-{number:09d}",
            "source": f"bench/pos-{number % 7}",
            "type": "purchase",
            "time": clock.now().isoformat(timespec="milliseconds"),
            "channel": "pos",
            "identifiers": {"loyalty_card": card},
            "branch": f"branch-{number % 40}",
            "data": {
                "amount": 1_000 + number % 90_000,
                "currency": "KRW",
                "items": [
                    {"product": f"tea-{number % 50}", "quantity": 1, "price": 4_500, "category": "tea"},
                    {"product": "cup-1", "quantity": 2},
                ],
            },
        }
        yield f"loyalty_card:{card}".encode(), json.dumps(document, separators=(",", ":")).encode()


async def pour(bootstrap: str, prefix: str, units: int, made: Iterator[tuple[bytes, bytes]]) -> None:
    """Publish events as the door does."""
    publisher = Publisher(bootstrap, prefix=prefix)
    await publisher.start()
    records: list[Record] = []
    for key, body in made:
        records.append(Record(EVENT_RECEIVED.name, partition_of(key, units), key, body))
        if len(records) == _PUBLISHED_AT_ONCE:
            await publisher.publish(records)
            records = []
            await asyncio.sleep(0)
    await publisher.publish(records)
    await publisher.stop()
