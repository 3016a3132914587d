"""How does a customer look to whoever asks? Rows in, documents out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from libs.common import clock
from libs.common.db import Row, Tx
from services.profile import person
from services.profile.person import Customer, Definitions, Moment
from services.profile.person.traits import HAND as BY_HAND
from services.profile.restoring import load
from services.profile.store import identity as identity_store
from services.profile.store import points_reading as points_store
from services.profile.timeline import told_of


async def customer(
    connection: Any, customer_id: str, records: Sequence[str], definitions: Definitions
) -> dict[str, Any]:
    """One person as of today, seen from the record `customer_id`; `records` are all of the person's, the eldest first.

    What rules see stands under `profile`; beside it a section per chapter, personal data included.
    """
    states = (await load(Tx(connection), records, definitions)).known
    if len(records) > 1:
        # Their units write the records again a moment after another one has moved points of theirs.
        for record, standing in (await points_store.standings(connection, records)).items():
            if record in states:
                states[record].points = standing
    identifiers = await identity_store.identifiers_of(connection, records)
    person_id = await identity_store.person_of(connection, customer_id)
    own = states.get(customer_id) or Customer(person_id or customer_id)
    ordered = [own, *(states[record] for record in records if record in states and record != customer_id)]
    moment = Moment(definitions.day_of(clock.now_ms()), definitions)
    return {
        "customer_id": customer_id,
        "person_id": person_id,
        "version": own.version,
        "records": list(records),
        "identifiers": [_identifier(key) for key in identifiers],
        "profile": _plain(person.view(ordered, moment)),
        **person.sections(ordered, moment),
        "suppressed": person.suppressed(ordered, moment),
    }


def _identifier(key: str) -> dict[str, str]:
    # The type of a partner's identifier has a colon of its own.
    head, _, rest = key.partition(":")
    if head == "partner":
        name, _, rest = rest.partition(":")
        head = f"partner:{name}"
    return {"type": head, "value": rest}


def _plain(view: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in view.items() if name != "version"}


def line(row: Row) -> dict[str, Any]:
    told = told_of(row)
    return {
        "id": row["event_id"],
        "time": row["time"],
        "type": row["type"],
        "source": row["source"],
        "channel": row["channel"],
        "branch": told.branch or None,
        "history": told.history,
        "customer_id": str(row["customer_id"]),
        "data": msgspec.json.decode(row["body"] or b"{}"),
        "changed": {name: {"was": each.was, "now": each.now} for name, each in told.changed.items()},
        "by": row["source"].removeprefix(BY_HAND) if row["source"].startswith(BY_HAND) else None,
        "reason": told.reason or None,
    }


def conflict(row: Row) -> dict[str, Any]:
    return {
        "at": row["at"],
        "source": row["source"],
        "id": row["event_id"],
        "time": row["time"],
        "event": None if row["body"] is None else msgspec.json.decode(row["body"]),
    }
