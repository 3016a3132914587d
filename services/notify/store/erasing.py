"""How is a customer forgotten? That there were messages stays; what they said, and to which address, does not."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import msgspec

from libs.common.db import Tx
from libs.common.events import ERASED_VERSION, ProfileUpdated

REASON = "erased"


async def erase_profiles(tx: Tx, unit: int, customer_ids: Collection[str]) -> dict[str, int]:
    """Leaves of each of these that nobody may contact them; those newly erased, with how many copies there were."""
    ids = sorted(set(customer_ids))
    rows = await tx.fetch(
        """
        INSERT INTO customer AS known (customer_id, unit, version, body)
        SELECT id, $1, $2, body FROM unnest($3::text[], $4::bytea[]) AS new (id, body)
        ON CONFLICT (customer_id) DO UPDATE SET version = excluded.version, body = excluded.body
        WHERE known.version < excluded.version
        RETURNING customer_id, (xmax <> 0)::integer AS known
        """,
        unit,
        ERASED_VERSION,
        ids,
        [msgspec.json.encode(ProfileUpdated(each, each, ERASED_VERSION, suppressed=[REASON])) for each in ids],
    )
    return {row["customer_id"]: row["known"] for row in rows}


async def planned_of(tx: Tx, customer_ids: Collection[str]) -> list[str]:
    """The messages to these customers that nobody has handed over yet."""
    rows = await tx.fetch(
        "SELECT message_id FROM message WHERE customer_id = ANY($1) AND state = 'PLANNED'", sorted(customer_ids)
    )
    return [row["message_id"] for row in rows]


_BLANKED = {
    "message": """
        UPDATE message SET erased = true, recipient = '', subject = '', body = '', links = '[]', "values" = '{}',
                           reason = '', provider_ref = ''
        WHERE customer_id = ANY($1) RETURNING customer_id
        """,
    "message_step": """
        UPDATE message_step s SET detail = '' FROM message m
        WHERE m.customer_id = ANY($1) AND s.message_id = m.message_id AND s.detail <> '' RETURNING m.customer_id
        """,
    "response": """
        UPDATE response r SET data = '{}' FROM message m
        WHERE m.customer_id = ANY($1) AND r.message_id = m.message_id RETURNING m.customer_id
        """,
    "task": """
        UPDATE task SET phone = '', script = '', note = '', call_back_at = NULL, state = 'done',
                        outcome = CASE WHEN state = 'open' THEN 'erased' ELSE outcome END
        WHERE customer_id = ANY($1) RETURNING customer_id
        """,
    "suppression": "DELETE FROM suppression WHERE customer_id = ANY($1) RETURNING customer_id",
}


async def blank(tx: Tx, customer_ids: Collection[str]) -> dict[str, dict[str, int]]:
    """By customer and table, how many rows were blanked or deleted."""
    counts: dict[str, dict[str, int]] = {each: {} for each in customer_ids}
    for table, statement in _BLANKED.items():
        rows: list[Any] = await tx.fetch(statement, sorted(customer_ids))
        for row in rows:
            of_customer = counts[row["customer_id"]]
            of_customer[table] = of_customer.get(table, 0) + 1
    return counts
