"""What was planned, who holds it, and how far has it come? One row per message, one per step of it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

import msgspec
from msgspec import Struct

from libs.common.db import Tx
from libs.common.events import Conditions, ContactRequested
from services.notify.delivery import Standing

_STANDING = (
    "message_id, class, valid_until, not_before, state, attempts, first_tried_at, doubt, possible_duplicate,"
    " settled, reason"
)
_IDENTITY = (
    "unit, decision_id, campaign_id, customer_id, person_id, channel, received_ms, recipient, provider, provider_ref,"
    " lease_owner, erased"
)
_STANDING_COUNT = 11
_ENTRY_COUNT = 23

_conditions = msgspec.json.Decoder(Conditions)
_values = msgspec.json.Decoder(dict[str, Any])


class Entry(Struct, frozen=True):
    """A message and where it stands; of one that is `erased` nothing else is known any more."""

    standing: Standing
    unit: int
    decision_id: str
    campaign_id: str
    customer_id: str
    person_id: str
    channel: str
    received_ms: int
    recipient: str = ""
    provider: str = ""
    provider_ref: str = ""
    lease_owner: str = ""
    erased: bool = False

    @property
    def message_id(self) -> str:
        return self.standing.message_id


class Due(Struct, frozen=True):
    """An entry with what is needed to judge and to write it."""

    entry: Entry
    template: str
    conditions: Conditions
    values: dict[str, Any]
    planned_at: datetime


class Taken(Struct, frozen=True):
    """An entry that is about to be handed over, with what it says."""

    entry: Entry
    template_version: int
    subject: str
    body: str
    links: tuple[str, ...]


async def plan(tx: Tx, unit: int, now: datetime, requests: Sequence[ContactRequested]) -> None:
    """Record what was not recorded before; a repeat changes nothing."""
    ordered = sorted(requests, key=lambda each: each.message_id)
    columns = zip(*(_planned(each) for each in ordered), strict=True)
    await tx.execute(
        """
        INSERT INTO message (
            message_id, decision_id, campaign_id, customer_id, person_id, trigger_id, event_id, variant, channel,
            class, template, conditions, "values", received_ms, requested_at, valid_until,
            unit, planned_at, not_before, updated_at
        )
        SELECT new.*, $1::int, $2::timestamptz, $2, $2 FROM unnest(
            $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[], $10::text[],
            $11::text[], $12::text[], $13::text[], $14::bytea[], $15::bytea[], $16::bigint[], $17::timestamptz[],
            $18::timestamptz[]
        ) AS new
        ON CONFLICT (message_id) DO NOTHING
        """,
        unit,
        now,
        *(list(column) for column in columns),
    )


def _planned(request: ContactRequested) -> tuple[Any, ...]:
    return (
        request.message_id,
        request.decision_id,
        request.campaign_id,
        request.customer_id,
        request.person_id,
        request.trigger_id,
        request.event_id,
        request.variant,
        request.channel,
        request.class_,
        request.template,
        msgspec.json.encode(request.conditions),
        msgspec.json.encode(request.values),
        request.received_ms,
        request.requested_at,
        request.conditions.valid_until,
    )


async def due(tx: Tx, channel: str, now: datetime, count_max: int) -> list[Due]:
    """Lock what is due, oldest first, past what another sender holds."""
    rows = await tx.fetch(
        f"""
        SELECT {_STANDING}, {_IDENTITY}, template, conditions, "values", planned_at FROM message
        WHERE state = 'PLANNED' AND channel = $1 AND not_before <= $2
        ORDER BY not_before LIMIT $3 FOR UPDATE SKIP LOCKED
        """,
        channel,
        now,
        count_max,
    )
    return [
        Due(
            _entry(row),
            row["template"],
            _conditions.decode(row["conditions"]),
            _values.decode(row["values"]),
            row["planned_at"],
        )
        for row in rows
    ]


async def lock(tx: Tx, message_ids: Collection[str]) -> list[Entry]:
    rows = await tx.fetch(
        f"SELECT {_STANDING}, {_IDENTITY} FROM message WHERE message_id = ANY($1) ORDER BY message_id FOR UPDATE",
        list(message_ids),
    )
    return [_entry(row) for row in rows]


async def renew(tx: Tx, owner_prefix: str, lease_seconds: float, message_ids: Collection[str]) -> None:
    """Prolong the leases of calls that are still out."""
    if message_ids:
        await tx.execute(
            """
            UPDATE message SET lease_until = clock_timestamp() + make_interval(secs => $3)
            WHERE message_id = ANY($1) AND state = 'SUBMITTING' AND starts_with(lease_owner, $2)
            """,
            sorted(message_ids),
            owner_prefix,
            lease_seconds,
        )


async def abandoned(tx: Tx, channel: str, count_max: int) -> list[Entry]:
    """Lock what somebody was handing over when their lease ran out."""
    rows = await tx.fetch(
        f"""
        SELECT {_STANDING}, {_IDENTITY} FROM message
        WHERE state = 'SUBMITTING' AND channel = $1 AND lease_until <= clock_timestamp()
        ORDER BY lease_until LIMIT $2 FOR UPDATE SKIP LOCKED
        """,
        channel,
        count_max,
    )
    return [_entry(row) for row in rows]


def _entry(row: Any) -> Entry:
    held = tuple(row.values())
    return Entry(Standing(*held[:_STANDING_COUNT]), *held[_STANDING_COUNT:_ENTRY_COUNT])


async def take(tx: Tx, owner: str, lease_seconds: float, now: datetime, taken: Sequence[Taken]) -> None:
    """Write down that these are being handed over, and what they say; the lease runs by the server's clock."""
    await tx.execute(
        """
        UPDATE message m SET
            state = 'SUBMITTING', attempts = new.attempts, first_tried_at = new.first_tried_at, reason = '',
            lease_owner = $1, lease_until = clock_timestamp() + make_interval(secs => $2), updated_at = $3,
            provider = new.provider, recipient = new.recipient, template_version = new.template_version,
            subject = new.subject, body = new.body, links = new.links
        FROM unnest(
            $4::text[], $5::int[], $6::timestamptz[], $7::text[], $8::text[], $9::int[], $10::text[], $11::text[],
            $12::text[]
        ) AS new (
            message_id, attempts, first_tried_at, provider, recipient, template_version, subject, body, links
        )
        WHERE m.message_id = new.message_id
        """,
        owner,
        lease_seconds,
        now,
        [each.entry.message_id for each in taken],
        [each.entry.standing.attempts for each in taken],
        [each.entry.standing.first_tried_at for each in taken],
        [each.entry.provider for each in taken],
        [each.entry.recipient.replace("\x00", "") for each in taken],
        [each.template_version for each in taken],
        [each.subject for each in taken],
        [each.body for each in taken],
        [msgspec.json.encode(each.links).decode() for each in taken],
    )


async def save(tx: Tx, now: datetime, entries: Sequence[Entry]) -> None:
    """Write where these stand now."""
    columns = zip(*(_saved(entry) for entry in entries), strict=True)
    await tx.execute(
        """
        UPDATE message m SET
            not_before = new.not_before, state = new.state, doubt = new.doubt,
            possible_duplicate = new.possible_duplicate, settled = new.settled, reason = new.reason,
            provider_ref = new.provider_ref, recipient = new.recipient, updated_at = $1
        FROM unnest(
            $2::text[], $3::timestamptz[], $4::text[], $5::boolean[], $6::boolean[], $7::text[], $8::text[],
            $9::text[], $10::text[]
        ) AS new (
            message_id, not_before, state, doubt, possible_duplicate, settled, reason, provider_ref, recipient
        )
        WHERE m.message_id = new.message_id
        """,
        now,
        *(list(column) for column in columns),
    )


def _saved(entry: Entry) -> tuple[Any, ...]:
    standing = entry.standing
    return (
        entry.message_id,
        standing.not_before,
        standing.state,
        standing.doubt,
        standing.possible_duplicate,
        standing.settled,
        # Providers' and templates' words are shown to people, and PostgreSQL refuses NUL.
        standing.reason.replace("\x00", ""),
        entry.provider_ref.replace("\x00", ""),
        entry.recipient,
    )


class Step(Struct, frozen=True):
    message_id: str
    unit: int
    at: datetime
    state: str
    detail: str


async def add_steps(tx: Tx, steps: Sequence[Step]) -> None:
    if steps:
        await tx.copy(
            "message_step", ("message_id", "unit", "at", "state", "detail"), [_stored(step) for step in steps]
        )


def _stored(step: Step) -> tuple[Any, ...]:
    return (step.message_id, step.unit, step.at, step.state, step.detail.replace("\x00", ""))


async def link(connection: Any, message_id: str, number: int) -> str | None:
    """Where the link of that number leads; None when the message has no such link."""
    links = await connection.fetchval("SELECT links FROM message WHERE message_id = $1", message_id)
    targets = msgspec.json.decode(links, type=list[str]) if links else []
    return targets[number] if number < len(targets) else None
