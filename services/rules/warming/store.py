"""Which rules still learn of the past, what did it leave, and what came in meanwhile?"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec

from libs.common.db import Row, Tx
from services.rules.warming.needs import Wanted

LEASE_SECONDS = 10.0
UNITS_AWAITED_SECONDS = 3.0
"""Units notice a new rule one after the other: what is asked within this time is read in one go."""
KEPT_DAYS = 90
_CLAIMS = 0x7761726D
_wanted = msgspec.json.Decoder(list[Wanted])


class Open(NamedTuple):
    """A question of a unit that has not been settled."""

    number: int
    state: str
    position: int
    rules: list[Wanted]


class Heard(NamedTuple):
    """An event as it came, after all that had been read up to `position`; empty for an erasure."""

    customer_id: str
    body: bytes
    position: int
    clock_ms: int


# --- of the units ----------------------------------------------------------------------------------------------------


async def open_questions(tx: Tx, unit: int) -> list[Open]:
    rows = await tx.fetch(
        "SELECT number, state, position, rules FROM warming"
        " WHERE unit = $1 AND state IN ('asked', 'reading', 'read') ORDER BY number",
        unit,
    )
    return [Open(row["number"], row["state"], row["position"], rules_of(row)) for row in rows]


async def change_form(tx: Tx, unit: int, form: int) -> bool:
    """Note by which form the unit packs states from now on; whether it packed them by another one before."""
    before = await tx.fetchval("SELECT form FROM rule_form WHERE unit = $1", unit)
    if before != form:
        await tx.execute(
            "INSERT INTO rule_form VALUES ($1, $2) ON CONFLICT (unit) DO UPDATE SET form = excluded.form", unit, form
        )
    return before not in (None, form)


async def ask(tx: Tx, unit: int, rules: Sequence[Wanted], position: int, at: datetime) -> None:
    await tx.execute(
        "INSERT INTO warming (unit, number, state, rules, position, asked_at)"
        " SELECT $1, coalesce(max(number), 0) + 1, 'asked', $2::jsonb, $3, $4 FROM warming WHERE unit = $1",
        unit,
        msgspec.json.encode(list(rules)).decode(),
        position,
        at,
    )


async def settle(tx: Tx, unit: int, numbers: Collection[int], state: str, at: datetime) -> None:
    await tx.execute(
        "UPDATE warming SET state = $3, ended_at = $4, owner = NULL, error = '' WHERE unit = $1 AND number = ANY($2)",
        unit,
        list(numbers),
        state,
        at,
    )


async def hear(tx: Tx, unit: int, heard: Sequence[Heard]) -> None:
    await tx.execute(
        "INSERT INTO warming_event (unit, customer_id, body, position, clock_ms)"
        " SELECT $1, * FROM unnest($2::text[], $3::bytea[], $4::bigint[], $5::bigint[])",
        unit,
        *[list(column) for column in zip(*heard, strict=True)],
    )


async def heard(tx: Tx, unit: int, customer_ids: Collection[str], after: int) -> list[Heard]:
    """In the order in which they came."""
    rows = await tx.fetch(
        "SELECT customer_id, body, position, clock_ms FROM warming_event"
        " WHERE unit = $1 AND customer_id = ANY($2) AND position > $3 ORDER BY number",
        unit,
        list(customer_ids),
        after,
    )
    return [Heard(*row) for row in rows]


async def ask_anew(tx: Tx, unit: int, position: int) -> bool:
    """Let what failed be read up to `position`; whether there was any such question."""
    rows = await tx.fetch(
        "UPDATE warming SET position = $2 WHERE unit = $1 AND state = 'asked' AND error <> '' AND position < $2"
        " RETURNING number",
        unit,
        position,
    )
    return bool(rows)


async def segments_met(tx: Tx, unit: int) -> dict[str, int]:
    """By id, what they meant when the unit asked about them."""
    rows = await tx.fetch("SELECT segment_id, about FROM warming_segment WHERE unit = $1", unit)
    return {row["segment_id"]: row["about"] for row in rows}


async def meet_segments(tx: Tx, unit: int, segments: Mapping[str, int]) -> None:
    """Those that are in force now."""
    await tx.execute("DELETE FROM warming_segment WHERE unit = $1", unit)
    rows = [(unit, *each) for each in sorted(segments.items())]
    await tx.copy("warming_segment", ("unit", "segment_id", "about"), rows)


async def forget_heard(tx: Tx, unit: int, until: int | None) -> None:
    """What no question of the unit needs any more: all, or what came up to a position."""
    await tx.execute("DELETE FROM warming_event WHERE unit = $1 AND position <= coalesce($2, position)", unit, until)


async def first(tx: Tx, unit: int, count_max: int, heard_max: int) -> list[tuple[str, bytes]]:
    """The next customers: as many as have been heard of `heard_max` times together, but at least one."""
    rows = await tx.fetch(
        """
        WITH next AS (SELECT customer_id, body FROM warmed WHERE unit = $1 ORDER BY customer_id LIMIT $2),
        counted AS (
            SELECT customer_id, body, row_number() OVER (ORDER BY customer_id) AS place,
                sum((SELECT count(*) FROM warming_event e WHERE e.unit = $1 AND e.customer_id = next.customer_id))
                    OVER (ORDER BY customer_id) AS heard
            FROM next
        )
        SELECT customer_id, body FROM counted WHERE place = 1 OR heard <= $3 ORDER BY customer_id
        """,
        unit,
        count_max,
        heard_max,
    )
    return [(row["customer_id"], bytes(row["body"])) for row in rows]


async def take(tx: Tx, unit: int, customer_ids: Iterable[str]) -> None:
    """The past remembers them no longer."""
    await tx.execute("DELETE FROM warmed WHERE unit = $1 AND customer_id = ANY($2)", unit, sorted(customer_ids))


async def breathe(tx: Tx) -> None:
    """The server ends a transaction in which nothing is asked for two seconds."""
    await tx.execute("SELECT 1")


async def told(tx: Tx, customer_ids: Iterable[str], rule_ids: Collection[str]) -> set[str]:
    """The ids of all triggers of these rules for these customers."""
    rows = await tx.fetch(
        "SELECT trigger_id FROM trigger_log WHERE customer_id = ANY($1) AND rule_id = ANY($2)",
        sorted(customer_ids),
        sorted(rule_ids),
    )
    return {str(row["trigger_id"]) for row in rows}


async def forget(tx: Tx, unit: int, customer_ids: Iterable[str]) -> None:
    wanted = sorted(set(customer_ids))
    await tx.execute("DELETE FROM warmed WHERE unit = $1 AND customer_id = ANY($2)", unit, wanted)
    await tx.execute("DELETE FROM warming_event WHERE unit = $1 AND customer_id = ANY($2)", unit, wanted)


async def drop_warmed(tx: Tx, units: Collection[int]) -> None:
    await tx.execute("DELETE FROM warmed WHERE unit = ANY($1)", list(units))


# --- of the jobs -----------------------------------------------------------------------------------------------------


async def lapse(tx: Tx, retry: tuple[float, float]) -> list[int]:
    """Let what failed, or was read by a process that is gone, be asked again; returns the units, which ask anew.

    It rests first, and longer each time: `retry` says the first rest and the longest, in seconds.
    """
    await tx.execute("SELECT pg_advisory_xact_lock($1)", _CLAIMS)
    rows = await tx.fetch(
        "UPDATE warming SET state = 'asked', owner = NULL, job = NULL,"
        " retry_at = clock_timestamp() + make_interval(secs => least($2, $1 * 2 ^ least(attempts - 1, 20))),"
        " error = CASE error WHEN '' THEN 'its process ended before it was done' ELSE error END"
        " WHERE state = 'reading' AND lease_until < clock_timestamp() RETURNING unit",
        *retry,
    )
    return sorted({row["unit"] for row in rows})


async def claim(tx: Tx, me: str, job: UUID, units: int) -> list[Row]:
    """Take all that is asked, if nothing is read anywhere; [] when there is nothing to do yet.

    A unit whose last answer is not taken over yet waits with its next question.
    """
    await tx.execute("SELECT pg_advisory_xact_lock($1)", _CLAIMS)
    if await tx.fetchval("SELECT EXISTS (SELECT FROM warming WHERE state = 'reading')"):
        return []
    return await tx.fetch(
        """
        WITH free AS (
            SELECT unit, number, asked_at FROM warming w
            WHERE state = 'asked' AND retry_at <= clock_timestamp()
              AND NOT EXISTS (SELECT FROM warming o WHERE o.unit = w.unit AND o.state = 'read')
        ), together AS (
            SELECT count(DISTINCT unit) >= $4
                OR min(asked_at) < clock_timestamp() - make_interval(secs => $5) AS ripe FROM free
        )
        UPDATE warming w
        SET state = 'reading', job = $2, owner = $1, attempts = attempts + 1, messages_read = 0,
            messages_total = NULL, lease_until = clock_timestamp() + make_interval(secs => $3)
        FROM free, together WHERE together.ripe AND w.unit = free.unit AND w.number = free.number
        RETURNING w.*
        """,
        me,
        job,
        LEASE_SECONDS,
        units,
        UNITS_AWAITED_SECONDS,
    )


async def renew(connection: Any, me: str, job: UUID, read: int, total: int | None) -> bool:
    """Say how far it is; False when nobody wants to know any more."""
    rows = await connection.fetch(
        "UPDATE warming SET lease_until = clock_timestamp() + make_interval(secs => $3), messages_read = $4,"
        " messages_total = coalesce($5, messages_total) WHERE job = $2 AND owner = $1 AND state = 'reading'"
        " RETURNING unit",
        me,
        job,
        LEASE_SECONDS,
        read,
        total,
    )
    return bool(rows)


async def keep(tx: Tx, job: UUID, unit: int, rows: Iterable[tuple[str, bytes]]) -> bool:
    """Some of what the past left; False when the job is not wanted any more."""
    found = await tx.fetchval(
        "SELECT unit FROM warming WHERE job = $1 AND unit = $2 AND state = 'reading' ORDER BY number LIMIT 1 FOR SHARE",
        job,
        unit,
    )
    if found is None:
        return False
    await tx.copy("warmed", ("unit", "customer_id", "body"), ((unit, *row) for row in rows))
    return True


async def end(tx: Tx, me: str, job: UUID, customers: Mapping[int, int], since: datetime | None) -> list[int]:
    """All is read and kept; returns the units that may take it over."""
    rows = await tx.fetch(
        "UPDATE warming w SET state = 'read', owner = NULL, customers = coalesce(c.count, 0), since = $3, error = ''"
        " FROM warming o LEFT JOIN unnest($4::integer[], $5::bigint[]) AS c (unit, count) ON c.unit = o.unit"
        " WHERE w.job = $2 AND w.owner = $1 AND w.state = 'reading' AND o.unit = w.unit AND o.number = w.number"
        " RETURNING w.unit",
        me,
        job,
        since,
        list(customers),
        list(customers.values()),
    )
    return sorted({row["unit"] for row in rows})


async def add_beginners(tx: Tx, job: UUID, blank: Callable[[str], bytes]) -> None:
    """Whoever was first heard of between two questions that were read for together: to the later one that is the past.

    `blank` packs the state of somebody of whom nothing is known.
    """
    rows = await tx.fetch(
        """
        SELECT DISTINCT e.unit, e.customer_id
        FROM (SELECT unit, min(position) AS first, max(position) AS last FROM warming WHERE job = $1 GROUP BY unit) q
        JOIN warming_event e ON e.unit = q.unit AND e.position > q.first AND e.position <= q.last
        WHERE NOT EXISTS (SELECT FROM warmed w WHERE w.unit = e.unit AND w.customer_id = e.customer_id)
        """,
        job,
    )
    made = [(row["unit"], row["customer_id"], blank(row["customer_id"])) for row in rows]
    await tx.copy("warmed", ("unit", "customer_id", "body"), made)


async def fail(connection: Any, me: str, job: UUID, error: str) -> None:
    """Let it be asked anew, after a while."""
    await connection.execute(
        "UPDATE warming SET lease_until = '-infinity', error = $3 WHERE job = $2 AND owner = $1 AND state = 'reading'",
        me,
        job,
        error,
    )


async def give_back(connection: Any, me: str) -> None:
    """The process stops: another one may go on at once."""
    await connection.execute(
        "UPDATE warming SET state = 'asked', owner = NULL, job = NULL, attempts = attempts - 1"
        " WHERE owner = $1 AND state = 'reading'",
        me,
    )


async def trim(tx: Tx) -> None:
    await tx.execute("DELETE FROM warming WHERE ended_at < clock_timestamp() - make_interval(days => $1)", KEPT_DAYS)


async def figures(connection: Any) -> Row:
    """Over all units: how many units wait, for how long the first, and how many had trouble."""
    return await connection.fetchrow(
        "SELECT count(DISTINCT unit) AS open,"
        " coalesce(extract(epoch FROM clock_timestamp() - min(asked_at)), 0)::float8 AS age,"
        " count(DISTINCT unit) FILTER (WHERE error <> '') AS failing"
        " FROM warming WHERE state IN ('asked', 'reading', 'read')"
    )


def rules_of(row: Row) -> list[Wanted]:
    return _wanted.decode(row["rules"])


# --- of those who look at a rule -------------------------------------------------------------------------------------


async def of_rule(connection: Any, rule_id: str, version: int) -> list[Row]:
    """The newest answer of each unit about this version."""
    return await connection.fetch(  # type: ignore[no-any-return]
        "SELECT DISTINCT ON (unit) * FROM warming WHERE state <> 'cancelled' AND rules @> $1::jsonb"
        " ORDER BY unit, number DESC",
        msgspec.json.encode([{"id": rule_id, "version": version}]).decode(),
    )
