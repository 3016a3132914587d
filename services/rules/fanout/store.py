"""Which events are being told to whom, and how far is that in each unit? A row per unit, event and rule."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from libs.common.db import Tx

RUNNING = "running"
LOCK_SPACE = "fanout"


class Begun(NamedTuple):
    """`fanout_id` is of the event and the rule, the same in all units, and so is `received_at`."""

    fanout_id: str
    rule_id: str
    version: int
    event_id: str
    event_type: str
    received_at: datetime
    ends_at: datetime
    body: bytes


class Running(NamedTuple):
    """`cursor` is the last customer who had a turn, and `left` how many have had none; `cancelled_at` is there when
    somebody wants it to end.
    """

    fanout_id: str
    rule_id: str
    version: int
    segment_id: str
    cursor: str
    ends_at: datetime
    cancelled_at: datetime | None
    left: int
    body: bytes


class Step(NamedTuple):
    """What a turn came to; `state` is running, or why there is no other turn."""

    fanout_id: str
    cursor: str
    seen: int
    fired: int
    state: str


async def begin(tx: Tx, unit: int, now: datetime, rows: Sequence[Begun], segments: Sequence[str]) -> None:
    """An event that comes in again begins nothing. `segments` are those of whose members each row is about."""
    if not rows:
        return
    columns = [list(column) for column in zip(*rows, strict=True)]
    await tx.execute(
        """
        INSERT INTO fanout (unit, began_at, fanout_id, rule_id, version, event_id, event_type, received_at, ends_at,
                            body, segment_id, selected)
        SELECT $1, $2, given.*, coalesce(counted.members, 0)
        FROM unnest($3::uuid[], $4::text[], $5::integer[], $6::text[], $7::text[], $8::timestamptz[],
                    $9::timestamptz[], $10::bytea[], $11::text[])
            AS given (fanout_id, rule_id, version, event_id, event_type, received_at, ends_at, body, segment_id)
        LEFT JOIN (
            SELECT segment_id, count(*) AS members FROM segment_member
            WHERE unit = $1 AND segment_id = ANY($11) AND inside GROUP BY segment_id
        ) AS counted USING (segment_id)
        ON CONFLICT DO NOTHING
        """,
        unit,
        now,
        *columns,
        list(segments),
    )


async def running(tx: Tx, unit: int, now: datetime, held: Collection[str], count_max: int) -> list[Running]:
    """Those that began first, first; of the rules that are `held` such alone as end."""
    rows = await tx.fetch(
        """
        SELECT fanout_id::text, rule_id, version, segment_id, cursor, ends_at, cancelled_at,
            greatest(selected - seen, 0), body
        FROM fanout LEFT JOIN fanout_cancelled USING (fanout_id)
        WHERE unit = $1 AND state = 'running'
            AND (rule_id <> ALL($4::text[]) OR ends_at <= $3 OR cancelled_at IS NOT NULL)
        ORDER BY received_at, fanout.fanout_id LIMIT $2
        """,
        unit,
        count_max,
        now,
        sorted(held),
    )
    return [Running(*row) for row in rows]


async def count_anew(tx: Tx, unit: int, rule_ids: Collection[str]) -> None:
    """How many there are to go to, for such as have gone to nobody yet: in the meantime more have become known."""
    await tx.execute(
        """
        UPDATE fanout SET selected = (
            SELECT count(*) FROM segment_member
            WHERE segment_member.unit = $1 AND segment_member.segment_id = fanout.segment_id AND inside)
        WHERE unit = $1 AND state = 'running' AND cursor = '' AND rule_id = ANY($2)
        """,
        unit,
        sorted(rule_ids),
    )


async def any_running(tx: Tx, unit: int) -> bool:
    found: bool = await tx.fetchval("SELECT EXISTS (SELECT FROM fanout WHERE unit = $1 AND state = 'running')", unit)
    return found


async def members(tx: Tx, unit: int, segment_id: str, after: str, count_max: int) -> list[str]:
    """In the order of their ids, which is that of their bytes wherever this runs."""
    rows = await tx.fetch(
        """
        SELECT customer_id FROM segment_member
        WHERE unit = $1 AND segment_id = $2 AND customer_id > $3 AND inside ORDER BY customer_id LIMIT $4
        """,
        unit,
        segment_id,
        after,
        count_max,
    )
    return [row["customer_id"] for row in rows]


async def step(tx: Tx, unit: int, now: datetime, steps: Sequence[Step]) -> None:
    if not steps:
        return
    await tx.execute(
        """
        UPDATE fanout SET cursor = given.cursor, seen = fanout.seen + given.seen, fired = fanout.fired + given.fired,
            state = given.state, ended_at = CASE WHEN given.state = 'running' THEN NULL ELSE $2::timestamptz END
        FROM unnest($3::uuid[], $4::text[], $5::bigint[], $6::bigint[], $7::text[])
            AS given (fanout_id, cursor, seen, fired, state)
        WHERE fanout.unit = $1 AND fanout.fanout_id = given.fanout_id
        """,
        unit,
        now,
        *[list(column) for column in zip(*sorted(steps), strict=True)],
    )


async def lock_people(tx: Tx, person_ids: Iterable[str]) -> None:
    """Until the end of the transaction: units in which a person has records take turns, and see one another's."""
    ordered = sorted(set(person_ids))
    if ordered:
        await tx.execute(
            "SELECT pg_advisory_xact_lock(key) FROM (SELECT DISTINCT hashtextextended($1 || person, 0) AS key"
            " FROM unnest($2::text[]) AS person ORDER BY key) AS keys",
            LOCK_SPACE,
            ordered,
        )


# --- what is told of them --------------------------------------------------------------------------------------------


class Total(NamedTuple):
    """All units of one together. `states` are how many units stand where; `left` is how many have had no turn yet."""

    fanout_id: str
    rule_id: str
    version: int
    event_id: str
    event_type: str
    received_at: datetime
    began_at: datetime
    ends_at: datetime
    ended_at: datetime | None
    selected: int
    seen: int
    fired: int
    states: Mapping[str, int]
    cancelled_by: str | None
    cancelled_at: datetime | None


_TOTALS = """
    SELECT fanout_id::text, rule_id, max(version), event_id, event_type, received_at, min(began_at), ends_at,
        CASE WHEN bool_and(state <> 'running') THEN max(ended_at) END, sum(selected)::bigint, sum(seen)::bigint,
        sum(fired)::bigint, array_agg(state), cancelled_by, cancelled_at
    FROM fanout LEFT JOIN fanout_cancelled USING (fanout_id)
    WHERE fanout_id = ANY($1::uuid[])
    GROUP BY fanout_id, rule_id, event_id, event_type, received_at, ends_at, cancelled_by, cancelled_at
    ORDER BY received_at DESC, fanout.fanout_id DESC
"""


async def totals(
    connection: Any, rule_id: str | None, running_alone: bool, before: tuple[datetime, str] | None, limit: int
) -> list[Total]:
    """The newest first. `before` is the instant and the id of the last of the page before."""
    where, values = ["TRUE"], list[object]()
    if rule_id is not None:
        values.append(rule_id)
        where.append(f"rule_id = ${len(values)}")
    if running_alone:
        where.append("state = 'running'")
    if before is not None:
        values += before
        where.append(f"(received_at, fanout_id) < (${len(values) - 1}, ${len(values)}::uuid)")
    rows = await connection.fetch(
        f"SELECT DISTINCT received_at, fanout_id FROM fanout WHERE {' AND '.join(where)}"
        f" ORDER BY received_at DESC, fanout_id DESC LIMIT {limit:d}",
        *values,
    )
    found = await connection.fetch(_TOTALS, [row["fanout_id"] for row in rows])
    return [_total(row) for row in found]


async def total(connection: Any, fanout_id: str) -> Total | None:
    row = await connection.fetchrow(_TOTALS, [fanout_id])
    return None if row is None else _total(row)


def _total(row: Any) -> Total:
    found = list(row)
    states: list[str] = found[12]
    found[12] = {each: states.count(each) for each in sorted(set(states))}
    return Total(*found)


async def cancel(connection: Any, fanout_id: str, by: str, at: datetime) -> None:
    """Counts for the units as well that have not met the event yet. The first one who wanted it stays."""
    await connection.execute(
        "INSERT INTO fanout_cancelled (fanout_id, cancelled_by, cancelled_at) VALUES ($1::uuid, $2, $3)"
        " ON CONFLICT DO NOTHING",
        fanout_id,
        by,
        at,
    )


async def figures(connection: Any) -> tuple[int, int]:
    """How many are running, and how many customers have had no turn in them yet."""
    row = await connection.fetchrow(
        "SELECT count(DISTINCT fanout_id), coalesce(sum(greatest(selected - seen, 0)), 0)::bigint"
        " FROM fanout WHERE state = 'running'"
    )
    return row[0], row[1]


async def trim(tx: Tx, before: datetime) -> None:
    """Forget what ended long ago; what is forgotten could begin again, so that is later than any event may come."""
    await tx.execute("DELETE FROM fanout WHERE state <> 'running' AND ended_at < $1", before)
    await tx.execute(
        "DELETE FROM fanout_cancelled WHERE cancelled_at < $1"
        " AND NOT EXISTS (SELECT FROM fanout WHERE fanout.fanout_id = fanout_cancelled.fanout_id)",
        before,
    )
