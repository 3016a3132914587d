"""How does a customer look to whoever asks? Rows in, documents out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from libs.common.clock import from_ms
from libs.common.db import Row, Tx
from services.profile import person, store
from services.profile.person import Customer

_state = msgspec.msgpack.Decoder(Customer)


async def customer(connection: Any, customer_id: str, records: Sequence[str]) -> dict[str, Any]:
    """One person seen from the record `customer_id`; `records` are all of the person's, the eldest first."""
    bodies = await store.load_customers(Tx(connection), records)
    states = {record: _state.decode(body) for record, body in bodies.items()}
    identifiers = await store.identifiers_of(connection, records)
    person_id = await store.person_of(connection, customer_id)
    own = states.get(customer_id) or Customer(person_id or customer_id)
    ordered = [own, *(states[record] for record in records if record in states and record != customer_id)]
    return {
        "customer_id": customer_id,
        "person_id": person_id,
        "version": own.version,
        "records": list(records),
        "identifiers": [_identifier(key) for key in identifiers],
        "profile": _plain(person.view(ordered)),
        "traits": {name: _sourced(trait) for each in reversed(ordered) for name, trait in each.traits.items()},
        "contacts": {name: trait.value for each in reversed(ordered) for name, trait in each.contacts.items()},
        "consents": {
            channel: {"granted": held.granted, "at": from_ms(held.at_ms), "source": held.source}
            for channel, held in person.consents(ordered).items()
        },
        "suppressed": sorted({reason for each in ordered for reason in each.suppressed}),
        "spent": {
            currency: str(sum(each.purchases.spent.get(currency, 0) for each in ordered))
            for currency in sorted({currency for each in ordered for currency in each.purchases.spent})
        },
        "refund_count": sum(each.purchases.refunds for each in ordered),
    }


def _identifier(key: str) -> dict[str, str]:
    # The type of a partner's identifier has a colon of its own.
    head, _, rest = key.partition(":")
    if head == "partner":
        name, _, rest = rest.partition(":")
        head = f"partner:{name}"
    return {"type": head, "value": rest}


def _sourced(trait: person.Trait) -> dict[str, Any]:
    return {"value": trait.value, "at": from_ms(trait.at_ms), "source": trait.source}


def _plain(view: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in view.items() if name != "version"}


def line(row: Row) -> dict[str, Any]:
    return {
        "id": row["event_id"],
        "time": row["time"],
        "type": row["type"],
        "source": row["source"],
        "channel": row["channel"],
        "customer_id": str(row["customer_id"]),
        "data": msgspec.json.decode(row["body"] or b"{}"),
    }


def conflict(row: Row) -> dict[str, Any]:
    return {
        "at": row["at"],
        "source": row["source"],
        "id": row["event_id"],
        "time": row["time"],
        "event": msgspec.json.decode(row["body"]),
    }
