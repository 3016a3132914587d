"""Which campaign and which rule does a contact go back to, and what has been counted of it already?"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from libs.common.db import Tx


class Cause(NamedTuple):
    """What brought a contact about; `rule_version` is 0 where that is not known."""

    campaign_id: str
    campaign_version: int
    rule_id: str
    rule_version: int


class Made(NamedTuple):
    """A contact, as of the instant from which its reactions count as well."""

    cause: Cause
    contacted_at: datetime


class Reacted(NamedTuple):
    """The reactions to a contact, one bit each, that had not been counted before."""

    cause: Cause
    contacted_at: datetime
    fresh: int


async def react(tx: Tx, bits: Mapping[UUID, int]) -> list[Reacted]:
    """Notes reactions, by message; however often one is told, it is new once."""
    ids = sorted(bits)
    if not ids:
        return []
    rows = await tx.fetch(
        """
        WITH heard AS (
            UPDATE contact SET reactions = contact.reactions | new.bits
            FROM unnest($1::uuid[], $2::smallint[]) AS new (message_id, bits)
            JOIN contact was ON was.message_id = new.message_id
            WHERE contact.message_id = new.message_id AND contact.reactions & new.bits <> new.bits
            RETURNING contact.decision_id, coalesce(contact.settled_at, contact.reserved_at) AS contacted_at,
                new.bits & ~was.reactions AS fresh
        )
        SELECT campaign_id, campaign_version, rule_id, rule_version, contacted_at, fresh
        FROM heard JOIN decision USING (decision_id)
        """,
        ids,
        [bits[each] for each in ids],
    )
    return [Reacted(Cause(*tuple(row)[:4]), row["contacted_at"], row["fresh"]) for row in rows]
