"""What is it like to know a million customers? Tables filled as by their events, and events of such customers."""

from __future__ import annotations

import asyncio
import json
import random
import uuid
from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final

import asyncpg

from libs.common import clock
from libs.common.kafka import Publisher, Record
from libs.common.topics import EVENT_RECEIVED, partition_of
from services.profile import holding, person
from services.profile.normal import normalised
from services.profile.person import Customer, Definitions, Moment, Occurrence
from services.profile.person.state import FORM
from services.profile.quality_rows import filed_of, rated
from services.profile.store.quality import Rated

_NAMES: Final = uuid.UUID("6d2f6a0e-6f0e-4a7e-8f43-2c5b8a9f5d11")
_MARK: Final = "0" * 36
_AT_ONCE: Final = 20_000
_PUBLISHED_AT_ONCE: Final = 2_000
_PURCHASES_BEFORE: Final = 6


def card_of(number: int) -> str:
    """As a till writes it; the hyphen is none of what identifies."""
    return f"8801-{number:07d}"


def key_of(number: int) -> str:
    """As it is looked for: customers are known only where their cards stand there in the form that is compared."""
    [(kind, value)] = normalised({"loyalty_card": card_of(number)}, "KR").items()
    return f"{kind}:{value}"


def record_of(number: int) -> str:
    return str(uuid.uuid5(_NAMES, card_of(number)))


async def settle(database_url: str, count: int, units: int) -> None:
    """Customers 0 to `count`, each known by a card, with a name and some purchases of the last weeks.

    All of them have had the same events, folded once by the service's own heart, and only what no purchase looks at is
    left out: their timelines and portraits.
    """
    connection = await asyncpg.connect(database_url)
    try:
        at = clock.now()
        made, row = _known(at)
        head, _, tail = holding.stored(made).partition(_MARK.encode())
        due = Definitions().starts(made.due_day)
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
                records=[(key_of(n), each, at) for n, each in zip(numbers, records, strict=True)],
                columns=["key", "record_id", "learned_at"],
            )
            placed = [(each, partition_of(each.encode(), units)) for each in records]
            await connection.copy_records_to_table(
                "customer",
                records=[(each, unit, made.version, FORM, head + each.encode() + tail) for each, unit in placed],
                columns=["customer_id", "unit", "version", "form", "body"],
            )
            await connection.copy_records_to_table(
                "quality",
                records=[(each, unit, *row[1:]) for each, unit in placed],
                columns=["customer_id", "unit", *row._fields[1:]],
            )
            await connection.copy_records_to_table(
                "timer",
                records=[("profile.apply", unit, each, due) for each, unit in placed],
                columns=["worker", "unit", "key", "due"],
            )
        await connection.execute("VACUUM ANALYZE record, identifier, customer, quality, timer")
    finally:
        await connection.close()


def _known(at: datetime) -> tuple[Customer, Rated]:
    """A customer who has been looked after until today, and their row in the report on quality: ids differ."""
    defined = Definitions()
    made = Customer(_MARK)
    said = {"traits": {"first_name": "Mina", "tier": "gold", "birth_date": "1990-02-03"}}
    events: list[tuple[str, dict[str, Any]]] = [("identify", said), ("consent_given", {"channel": "email"})]
    events += [("purchase", {"amount": 10_000 + each, "currency": "KRW"}) for each in range(_PURCHASES_BEFORE)]
    for each, (kind, data) in enumerate(events):
        time = clock.to_ms(at - timedelta(days=40 - 5 * each))
        event = Occurrence(kind, time, "bench/pos-1", f"e{each}", data, {}, "pos", "gangnam", time)
        person.apply(made, event, defined)
    made.passed_day = defined.day_of(clock.to_ms(at))
    made.dues = person.dues([made], Moment(made.passed_day, defined), person.EVERYTHING, {})
    made.due_day = min(made.dues.values())
    row = rated(holding.hold(_MARK, made), defined)
    assert row is not None
    made.filed = filed_of(row)
    return made, row


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
