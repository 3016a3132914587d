"""What does the campaign service remember, and how is it asked? Tables and queries; no decisions."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec

from libs.common.db import Row, Tx
from libs.common.documents import Connection
from libs.common.events import ERASED_VERSION, MessageSettled
from services.campaign.caps import Contact
from services.campaign.decisions import Outcome
from services.campaign.facts import SUPPRESSED, Record, Standing
from services.campaign.guard.store import Cause, Made
from services.campaign.policy import policy_version_of
from services.campaign.simulating import PastContact

_STANDING = msgspec.json.Decoder(Standing)
_LIST_COLUMNS = (
    "decision_id, trigger_id, campaign_id, campaign_version, customer_id, person_id, outcome, gate, channel,"
    " cost, event_id, rule_id, reason, decided_at, defer_until, trace, policy_version"
)


# --- the copy of profiles ----------------------------------------------------------------------------------


async def save_records(tx: Tx, unit: int, records: Mapping[str, Record]) -> None:
    """Keeps the higher version, whatever order they come in."""
    ids = sorted(records)
    if not ids:
        return
    await tx.execute(
        """
        INSERT INTO customer (unit, customer_id, version, linked, body, person_id)
        SELECT $1, id, version, ARRAY(SELECT jsonb_array_elements_text(linked)), body, person
        FROM unnest($2::text[], $3::bigint[], $4::jsonb[], $5::bytea[], $6::text[])
             AS new (id, version, linked, body, person)
        ON CONFLICT (customer_id) DO UPDATE
        SET unit = excluded.unit, version = excluded.version, linked = excluded.linked, body = excluded.body,
            person_id = excluded.person_id
        WHERE customer.version < excluded.version
        """,
        unit,
        ids,
        [records[each].standing.version for each in ids],
        # PostgreSQL has no arrays of arrays of different lengths.
        [msgspec.json.encode(records[each].linked).decode() for each in ids],
        [msgspec.json.encode(records[each].standing) for each in ids],
        [records[each].standing.person_id for each in ids],
    )


async def load_records(tx: Tx, customer_ids: Collection[str]) -> dict[str, Record]:
    """The records asked for, and those that their copies say belong to the same people."""
    rows = await tx.fetch(
        """
        WITH asked AS (SELECT unnest($1::text[]) AS id)
        SELECT customer_id, linked, body FROM customer
        WHERE customer_id IN (
            SELECT id FROM asked
            UNION SELECT unnest(own.linked) FROM customer own JOIN asked ON own.customer_id = asked.id
        )
        """,
        sorted(customer_ids),
    )
    return {row["customer_id"]: Record(_STANDING.decode(row["body"]), row["linked"]) for row in rows}


async def erase_records(tx: Tx, unit: int, customer_ids: Collection[str]) -> dict[str, int]:
    """Leaves of each of these that nobody may contact them; those newly erased, with how many copies there were."""
    rows = await tx.fetch(
        """
        INSERT INTO customer (unit, customer_id, version, linked, body)
        SELECT $1, id, $3, '{}', $4 FROM unnest($2::text[]) AS id
        ON CONFLICT (customer_id) DO UPDATE
        SET version = excluded.version, linked = excluded.linked, body = excluded.body, person_id = ''
        WHERE customer.version < excluded.version
        RETURNING customer_id, (xmax <> 0)::integer AS known
        """,
        unit,
        sorted(set(customer_ids)),
        ERASED_VERSION,
        msgspec.json.encode(Standing(ERASED_VERSION, suppressed=[SUPPRESSED])),
    )
    return {row["customer_id"]: row["known"] for row in rows}


async def deferred_of(tx: Tx, customer_ids: Collection[str]) -> list[UUID]:
    """The decisions on these customers that are still to be made."""
    rows = await tx.fetch(
        "SELECT decision_id FROM decision WHERE customer_id = ANY($1) AND outcome = 'deferred'", sorted(customer_ids)
    )
    return [row["decision_id"] for row in rows]


# --- contacts that count against caps ----------------------------------------------------------------------


async def lock_people(tx: Tx, person_ids: Collection[str]) -> None:
    """Until the end of the transaction no other unit decides about these people.

    Only people with records in several units need it; the others have one writer anyway. It holds within one
    database, and from the moment on at which what is known here of all their records tells of the merge.
    """
    if person_ids:
        await tx.execute(
            """
            SELECT pg_advisory_xact_lock(key) FROM (
                SELECT DISTINCT hashtextextended(id, 6004) AS key FROM unnest($1::text[]) AS id ORDER BY key
            ) AS sorted
            """,
            list(person_ids),
        )


async def load_contacts(tx: Tx, customer_ids: Collection[str], since: datetime) -> dict[str, list[Contact]]:
    """What counts, by record: all that is pending, and what happened after `since`."""
    rows = await tx.fetch(
        """
        SELECT customer_id, campaign_id, channel, class, coalesce(settled_at, reserved_at) AS at,
               state = 'reserved' AS pending
        FROM contact
        WHERE customer_id = ANY($1) AND state <> 'released' AND (state = 'reserved' OR settled_at > $2)
        """,
        sorted(customer_ids),
        since,
    )
    found: dict[str, list[Contact]] = {}
    for row in rows:
        contact = Contact(row["campaign_id"], row["channel"], row["class"], row["at"], row["pending"])
        found.setdefault(row["customer_id"], []).append(contact)
    return found


async def past_contacts(tx: Tx, customer_ids: Collection[str], since: datetime) -> dict[str, list[PastContact]]:
    """Every contact that may have counted after `since`, with when it was reserved and how it ended, by record.

    One that was never settled and is free again was given back without a word: when, nobody wrote down.
    """
    rows = await tx.fetch(
        """
        SELECT customer_id, campaign_id, channel, class, reserved_at, settled_at, state <> 'released' AS contacted
        FROM contact
        WHERE customer_id = ANY($1)
          AND (state = 'reserved' OR settled_at > $2)
        """,
        sorted(customer_ids),
        since,
    )
    found: dict[str, list[PastContact]] = {}
    for row in rows:
        customer_id, *rest = row.values()
        found.setdefault(customer_id, []).append(PastContact(*rest))
    return found


async def reserve(tx: Tx, unit: int, outcomes: Sequence[Outcome]) -> None:
    kept = sorted((each.reservation, each.decision_id) for each in outcomes if each.reservation is not None)
    if not kept:
        return
    await tx.copy(
        "contact",
        (
            *("message_id", "unit", "customer_id", "person_id", "campaign_id", "channel", "class"),
            *("state", "reserved_at", "decision_id"),
        ),
        [
            (
                *(each.message_id, unit, each.customer_id, each.person_id),
                *(each.contact.campaign_id, each.contact.channel, each.contact.class_),
                *("reserved", each.contact.at, decision_id),
            )
            for each, decision_id in kept
        ],
    )


async def settle(tx: Tx, settled: Mapping[UUID, MessageSettled]) -> list[Made]:
    """Commits or gives back; the last word on a message stands, in whatever order the words come.

    Returns each that has become a contact now: what brought it about, and as of when it counts.
    """
    ids = sorted(settled)
    if not ids:
        return []
    rows = await tx.fetch(
        """
        WITH settled AS (
            UPDATE contact SET state = CASE WHEN new.contacted THEN 'committed' ELSE 'released' END,
                               settled_at = new.at
            FROM unnest($1::uuid[], $2::boolean[], $3::timestamptz[]) AS new (message_id, contacted, at)
            JOIN contact was ON was.message_id = new.message_id
            WHERE contact.message_id = new.message_id
              AND (contact.settled_at IS NULL OR contact.settled_at <= new.at)
            RETURNING contact.decision_id, contact.settled_at, new.contacted AND was.state <> 'committed' AS made
        )
        SELECT campaign_id, campaign_version, rule_id, rule_version, settled_at
        FROM settled JOIN decision USING (decision_id) WHERE made
        """,
        ids,
        [settled[each].contacted for each in ids],
        [settled[each].settled_at for each in ids],
    )
    return [Made(Cause(*tuple(row)[:4]), row["settled_at"]) for row in rows]


async def expire(tx: Tx, message_ids: Sequence[UUID]) -> None:
    """Gives back what nobody ever answered for."""
    if message_ids:
        await tx.execute(
            "UPDATE contact SET state = 'released' WHERE message_id = ANY($1) AND state = 'reserved'",
            sorted(message_ids),
        )


# --- decisions ---------------------------------------------------------------------------------------------


async def outcomes_of(tx: Tx, decision_ids: Collection[UUID]) -> dict[UUID, str]:
    """The outcome of each of these that was decided before."""
    rows = await tx.fetch("SELECT decision_id, outcome FROM decision WHERE decision_id = ANY($1)", sorted(decision_ids))
    return {UUID(int=row["decision_id"].int): row["outcome"] for row in rows}


async def save_decisions(tx: Tx, unit: int, outcomes: Sequence[Outcome]) -> None:
    """A new row for each, or the new outcome of one that was deferred."""
    if not outcomes:
        return
    rows = sorted((_decision_row(outcome) for outcome in outcomes), key=lambda row: row[0])
    await tx.execute(
        """
        INSERT INTO decision (unit, decision_id, trigger_id, campaign_id, campaign_version, customer_id,
                              person_id, outcome, gate, channel, cost, event_id, rule_id, rule_version, decided_at,
                              defer_until, trace, policy_version, reason)
        SELECT $1, * FROM unnest($2::uuid[], $3::text[], $4::text[], $5::integer[], $6::text[], $7::text[],
                                 $8::text[], $9::text[], $10::text[], $11::text[], $12::text[], $13::text[],
                                 $14::integer[], $15::timestamptz[], $16::timestamptz[], $17::bytea[],
                                 $18::integer[], $19::text[])
        ON CONFLICT (decision_id) DO UPDATE
        SET campaign_version = excluded.campaign_version, outcome = excluded.outcome, gate = excluded.gate,
            cost = excluded.cost, decided_at = excluded.decided_at, trace = excluded.trace,
            policy_version = excluded.policy_version,
            defer_until = coalesce(excluded.defer_until, decision.defer_until)
        """,
        unit,
        *(list(column) for column in zip(*rows, strict=True)),
    )


def _decision_row(outcome: Outcome) -> tuple[Any, ...]:
    trigger, campaign, decision = outcome.occasion.trigger, outcome.occasion.campaign, outcome.decision
    return (
        outcome.decision_id,
        *(trigger.trigger_id, campaign.id, campaign.version, trigger.customer_id, outcome.situation.person_id),
        *(decision.outcome, decision.gate, campaign.channel),
        campaign.cost if outcome.reservation is not None else "0",
        *(trigger.event_id, trigger.rule_id, trigger.rule_version, outcome.situation.now, decision.defer_until),
        msgspec.json.encode(decision.trace),
        policy_version_of(decision.trace),
        trigger.reason,
    )


async def find_decisions(
    connection: Connection,
    wanted: Mapping[str, str | None],
    since: datetime | None,
    until: datetime | None,
    after: tuple[datetime, UUID] | None,
    limit: int,
) -> list[Row]:
    """Newest first, from `since` up to but not including `until`; `wanted` holds columns and their values."""
    conditions, values = ["true"], list[Any]()
    for column in ("customer_id", "person_id", "campaign_id", "gate", "outcome", "event_id", "reason"):
        if (value := wanted.get(column)) is not None:
            values.append(value)
            conditions.append(f"{column} = ${len(values)}")
    for comparison, instant in (("decided_at >=", since), ("decided_at <", until)):
        if instant is not None:
            values.append(instant)
            conditions.append(f"{comparison} ${len(values)}")
    if after is not None:
        values += after
        conditions.append(f"(decided_at, decision_id) < (${len(values) - 1}, ${len(values)})")
    return await connection.fetch(
        f"SELECT {_LIST_COLUMNS} FROM decision WHERE {' AND '.join(conditions)}"
        f" ORDER BY decided_at DESC, decision_id DESC LIMIT ${len(values) + 1}",
        *values,
        limit,
    )


async def get_decision(connection: Connection, decision_id: UUID) -> Row | None:
    return await connection.fetchrow(f"SELECT {_LIST_COLUMNS} FROM decision WHERE decision_id = $1", decision_id)


async def count_results(connection: Connection, campaign_id: str) -> tuple[list[Row], list[Row]]:
    """Decisions by outcome and gate, and contacts by state."""
    decided = await connection.fetch(
        "SELECT outcome, gate, count(*) FROM decision WHERE campaign_id = $1 GROUP BY outcome, gate",
        campaign_id,
    )
    contacts = await connection.fetch(
        "SELECT state, count(*) FROM contact WHERE campaign_id = $1 GROUP BY state", campaign_id
    )
    return decided, contacts


# --- kill switches -----------------------------------------------------------------------------------------


async def switched_off(tx: Tx) -> frozenset[str]:
    return frozenset(row["scope"] for row in await tx.fetch("SELECT scope FROM switch WHERE off"))


async def list_switches(connection: Connection) -> list[Row]:
    return await connection.fetch("SELECT scope, version, off, actor, set_at, note FROM switch ORDER BY scope")


async def set_switch(tx: Tx, scope: str, *, off: bool, actor: str, set_at: datetime, note: str) -> Row:
    row = await tx.fetchrow(
        """
        INSERT INTO switch AS old (scope, version, off, actor, set_at, note) VALUES ($1, 1, $2, $3, $4, $5)
        ON CONFLICT (scope) DO UPDATE
        SET version = old.version + 1, off = $2, actor = $3, set_at = $4, note = $5
        RETURNING scope, version, off, actor, set_at, note
        """,
        *(scope, off, actor, set_at, note),
    )
    assert row is not None
    return row
