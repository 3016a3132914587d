"""What does notify itself know of a customer? Its copy of profiles, and what responses have forbidden."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import msgspec

from libs.common.db import Tx
from libs.common.events import ProfileUpdated
from services.notify.permission import Suppression

_PROFILE = msgspec.json.Decoder(ProfileUpdated)


async def save_profiles(tx: Tx, unit: int, rows: Sequence[tuple[str, int, bytes]]) -> None:
    """(customer, version, message as it came), one of each customer; a version that is not newer changes nothing."""
    rows = sorted(rows)
    await tx.execute(
        """
        INSERT INTO customer AS known (customer_id, unit, version, body)
        SELECT customer_id, $1, version, body
        FROM unnest($2::text[], $3::bigint[], $4::bytea[]) AS new (customer_id, version, body)
        ON CONFLICT (customer_id) DO UPDATE
        SET version = excluded.version, body = excluded.body, unit = excluded.unit
        WHERE known.version < excluded.version
        """,
        unit,
        [row[0] for row in rows],
        [row[1] for row in rows],
        [row[2] for row in rows],
    )


async def load_profiles(tx: Tx, customer_ids: Collection[str]) -> dict[str, list[ProfileUpdated]]:
    """By customer: their own record, then the other records of the same person in the order of ids."""
    found = await _load(tx, customer_ids)
    others = {other for profile in found.values() for other in profile.linked} - found.keys()
    everybody = found | (await _load(tx, others) if others else {})
    return {
        customer_id: [
            profile,
            *(everybody[each] for each in sorted(set(profile.linked) - {customer_id}) if each in everybody),
        ]
        for customer_id, profile in found.items()
    }


async def _load(tx: Tx, customer_ids: Collection[str]) -> dict[str, ProfileUpdated]:
    rows = await tx.fetch("SELECT customer_id, body FROM customer WHERE customer_id = ANY($1)", list(customer_ids))
    return {row["customer_id"]: _PROFILE.decode(row["body"]) for row in rows}


async def load_suppressions(tx: Tx, customer_ids: Collection[str], channel: str) -> list[Suppression]:
    rows = await tx.fetch(
        "SELECT customer_id, channel, reason, recipient, at FROM suppression"
        " WHERE customer_id = ANY($1) AND channel = $2",
        list(customer_ids),
        channel,
    )
    return [Suppression(*row.values()) for row in rows]


async def suppress(tx: Tx, unit: int, message_id: str, wanted: Suppression) -> None:
    """The newest of a reason stays; it counts from this commit on, before the profile has heard of it."""
    await tx.execute(
        """
        INSERT INTO suppression AS known (customer_id, unit, channel, reason, recipient, message_id, at)
        VALUES ($1, $2, $3, $4, $5, $6, $7)
        ON CONFLICT (customer_id, channel, reason) DO UPDATE
        SET recipient = excluded.recipient, message_id = excluded.message_id, at = excluded.at
        WHERE known.at < excluded.at
        """,
        wanted.customer_id,
        unit,
        wanted.channel,
        wanted.reason,
        wanted.recipient,
        message_id,
        wanted.at,
    )


async def read_up_to(connection: Any, worker: str) -> dict[int, datetime]:
    """By unit: everything that was appended until then has been read; units that cannot tell yet are absent."""
    rows = await connection.fetch(
        "SELECT unit, to_timestamp((progress->>'clock_ms')::bigint / 1000.0) AS clock FROM worker_unit"
        " WHERE worker = $1 AND coalesce((progress->>'clock_ms')::bigint, 0) > 0",
        worker,
    )
    return {row["unit"]: row["clock"] for row in rows}
