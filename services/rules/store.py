"""What does the engine remember, row by row? One query to load for a batch and one to save."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple

from libs.common.db import Tx
from services.rules.engine.state import FORM
from services.rules.explaining.recording import LoggedTrigger

LOCK_MS_MAX = 200


class StateRow(NamedTuple):
    """`waiting` says that timers of this customer are set; `expires_at` when nothing in `body` matters any more."""

    customer_id: str
    waiting: bool
    expires_at: datetime
    body: bytes


async def load(tx: Tx, customer_ids: Iterable[str]) -> list[tuple[str, int, bytes]]:
    """Customer, the form by which the state was packed, and the packed state; see `restoring` for the whole of it."""
    wanted = sorted(set(customer_ids))
    if not wanted:
        return []
    rows = await tx.fetch("SELECT customer_id, form, body FROM rule_state WHERE customer_id = ANY($1)", wanted)
    return [(row["customer_id"], row["form"], row["body"]) for row in rows]


async def waiting_among(tx: Tx, customer_ids: Iterable[str]) -> set[str]:
    """Those of them for whom something waits."""
    rows = await tx.fetch(
        "SELECT customer_id FROM rule_state WHERE customer_id = ANY($1) AND waiting", sorted(customer_ids)
    )
    return {row["customer_id"] for row in rows}


async def fired(tx: Tx, customer_ids: Iterable[str]) -> list[tuple[str, str, datetime]]:
    """Customer, rule and instant of all that the log of triggers holds of them."""
    rows = await tx.fetch(
        "SELECT customer_id, rule_id, occurred_at FROM trigger_log WHERE customer_id = ANY($1) ORDER BY occurred_at",
        sorted(customer_ids),
    )
    return [(row["customer_id"], row["rule_id"], row["occurred_at"]) for row in rows]


async def save(tx: Tx, unit: int, rows: Sequence[StateRow]) -> None:
    """One row per customer."""
    if not rows:
        return
    ordered = sorted(rows)
    await tx.execute(
        """
        INSERT INTO rule_state (customer_id, unit, waiting, expires_at, body, form)
        SELECT customer_id, $1, waiting, expires_at, body, $6
        FROM unnest($2::text[], $3::boolean[], $4::timestamptz[], $5::bytea[])
            AS given (customer_id, waiting, expires_at, body)
        ON CONFLICT (customer_id)
        DO UPDATE SET waiting = excluded.waiting, expires_at = excluded.expires_at, body = excluded.body,
            form = excluded.form
        """,
        unit,
        [row.customer_id for row in ordered],
        [row.waiting for row in ordered],
        [row.expires_at for row in ordered],
        [row.body for row in ordered],
        FORM,
    )


async def sample_states(connection: Any, count: int) -> tuple[int, list[bytes]]:
    """How many customers there are states of, and the states of about so many of them, taken at random.

    The number is the planner's guess where there are many: to count them all would cost a walk through the table.
    """
    guess = await connection.fetchval("SELECT reltuples FROM pg_class WHERE oid = 'rule_state'::regclass")
    if guess <= 10 * count:
        total = int(await connection.fetchval("SELECT count(*) FROM rule_state"))
        percent = 100.0
    else:
        total, percent = int(guess), 100.0 * count / guess
    rows = await connection.fetch(
        "SELECT body FROM rule_state TABLESAMPLE SYSTEM ($1) WHERE form = $2 LIMIT $3", percent, FORM, 2 * count
    )
    return total, [row["body"] for row in rows]


async def delete_expired(tx: Tx, unit: int, before: datetime) -> None:
    """Forget customers of whom nothing matters any more; a thousand at a time, so that the batch stays short."""
    await tx.execute(
        """
        DELETE FROM rule_state WHERE customer_id = ANY (ARRAY(
            SELECT customer_id FROM rule_state
            WHERE unit = $1 AND NOT waiting AND expires_at < $2 ORDER BY expires_at LIMIT 1000
        ))
        """,
        unit,
        before,
    )


async def delete(tx: Tx, customer_ids: Iterable[str]) -> set[str]:
    """Forget these customers; returns those of whom there was anything."""
    rows = await tx.fetch(
        "DELETE FROM rule_state WHERE customer_id = ANY($1) RETURNING customer_id", sorted(set(customer_ids))
    )
    return {row["customer_id"] for row in rows}


# --- what fired ------------------------------------------------------------------------------------------------------


_LOGGED = "occurred_at, trigger_id::text, rule_id, version, customer_id, person_id, event_id, body"


async def log_triggers(tx: Tx, unit: int, now: datetime, rows: Sequence[LoggedTrigger]) -> None:
    """A trigger that is found a second time stays as it was logged first."""
    if not rows:
        return
    await tx.execute(
        """
        INSERT INTO trigger_log
            (unit, logged_at, occurred_at, trigger_id, rule_id, version, customer_id, person_id, event_id, body)
        SELECT $1, $2, * FROM unnest(
            $3::timestamptz[], $4::uuid[], $5::text[], $6::integer[], $7::text[], $8::text[], $9::text[], $10::bytea[])
        ON CONFLICT DO NOTHING
        """,
        unit,
        now,
        *[list(column) for column in zip(*sorted(rows), strict=True)],
    )


class Asked(NamedTuple):
    """Which triggers are asked for; `before` is the instant and the id of the last of the page before."""

    rule_id: str | None = None
    customer_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    before: tuple[datetime, str] | None = None


async def triggers(connection: Any, asked: Asked, limit: int) -> list[LoggedTrigger]:
    """Newest first; `until` does not belong to what is asked for."""
    where = ["TRUE"]
    values: list[object] = []

    def narrow(condition: str, *given: object) -> None:
        numbers = [f"${len(values) + place}" for place in range(1, len(given) + 1)]
        values.extend(given)
        where.append(condition.format(*numbers))

    for condition, given in (
        ("rule_id = {}", asked.rule_id),
        ("customer_id = {}", asked.customer_id),
        ("occurred_at >= {}", asked.since),
        ("occurred_at < {}", asked.until),
    ):
        if given is not None:
            narrow(condition, given)
    if asked.before is not None:
        narrow("(occurred_at, trigger_id) < ({}, {}::uuid)", *asked.before)
    rows = await connection.fetch(
        f"SELECT {_LOGGED} FROM trigger_log WHERE {' AND '.join(where)}"
        f" ORDER BY occurred_at DESC, trigger_log.trigger_id DESC LIMIT {limit:d}",
        *values,
    )
    return [LoggedTrigger(*row) for row in rows]


async def trigger(connection: Any, trigger_id: str) -> LoggedTrigger | None:
    row = await connection.fetchrow(f"SELECT {_LOGGED} FROM trigger_log WHERE trigger_id = $1::uuid", trigger_id)
    return None if row is None else LoggedTrigger(*row)


async def forget_triggers(tx: Tx, customer_ids: Iterable[str]) -> dict[str, int]:
    """Returns how many there were of each customer."""
    rows = await tx.fetch(
        """
        WITH gone AS (DELETE FROM trigger_log WHERE customer_id = ANY($1) RETURNING customer_id)
        SELECT customer_id, count(*) AS count FROM gone GROUP BY customer_id
        """,
        sorted(set(customer_ids)),
    )
    return {row["customer_id"]: row["count"] for row in rows}


class Month(NamedTuple):
    """A part of the log, from its first day to that of the month after it."""

    first: date
    following: date

    @property
    def part(self) -> str:
        return f"trigger_log_{self.first:%Y%m}"


async def months_to_arrange(connection: Any, today: date, days_kept: int) -> tuple[list[Month], list[str]]:
    """The months in which a trigger may occur that have no part of the log yet, and the parts that are over."""
    rows = await connection.fetch(
        "SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = 'trigger_log'::regclass"
    )
    existing = {row["name"] for row in rows}
    wanted = list(_months(today, days_kept))
    # Never a later one: a clock that was set back must not cost what is known.
    over = sorted(each for each in existing if each < wanted[0].part)
    return [each for each in wanted if each.part not in existing], over


async def add_month(tx: Tx, month: Month) -> None:
    """With the triggers of that month that had to lie in the last part meanwhile.

    The table is made by itself, and joins for a moment: the last part alone is locked, after most of it was moved.
    """
    if not await _may_arrange(tx):
        return
    if await tx.fetchval("SELECT EXISTS (SELECT FROM pg_inherits WHERE inhrelid = to_regclass($1))", month.part):
        return
    period = f"FROM ({_midnight(month.first)}) TO ({_midnight(month.following)})"
    await tx.execute(f"CREATE TABLE {month.part} (LIKE trigger_log INCLUDING ALL)")
    await _move_into(tx, month)
    await tx.execute("LOCK TABLE trigger_log_older IN ACCESS EXCLUSIVE MODE")
    await _move_into(tx, month)
    await tx.execute(f"ALTER TABLE trigger_log ATTACH PARTITION {month.part} FOR VALUES {period}")


async def _move_into(tx: Tx, month: Month) -> None:
    await tx.execute(
        f"""
        WITH moved AS (
            DELETE FROM trigger_log_older
            WHERE occurred_at >= {_midnight(month.first)} AND occurred_at < {_midnight(month.following)} RETURNING *
        )
        INSERT INTO {month.part} SELECT * FROM moved
        """
    )


async def drop_month(tx: Tx, part: str) -> None:
    if await _may_arrange(tx):
        await tx.execute(f"DROP TABLE IF EXISTS {part}")


async def _may_arrange(tx: Tx) -> bool:
    """One process at a time; who has to wait for a lock gives way, since everything that fires would wait behind it."""
    await tx.execute(f"SET LOCAL lock_timeout = {LOCK_MS_MAX}")
    mine: bool = await tx.fetchval("SELECT pg_try_advisory_xact_lock(hashtextextended('trigger_log', 0))")
    return mine


def _midnight(day: date) -> str:
    return f"'{day} 00:00:00+00'"


def _months(today: date, days_kept: int) -> Iterator[Month]:
    """From the oldest kept to two ahead."""
    month = (today - timedelta(days=days_kept)).replace(day=1)
    while month < today + timedelta(days=62):
        following = (month + timedelta(days=32)).replace(day=1)
        yield Month(month, following)
        month = following


async def trim_logs(tx: Tx, before: datetime) -> None:
    """Forget what is over and has no month of its own, and the figures of days that are."""
    await tx.execute("DELETE FROM trigger_log_older WHERE logged_at < $1", before)
    await tx.execute("DELETE FROM rule_day WHERE day < $1", before.date())


# --- what became of chances to fire ----------------------------------------------------------------------------------


async def count_outcomes(tx: Tx, unit: int, day: date, counts: Mapping[tuple[str, str], int]) -> None:
    """By rule and outcome."""
    if not counts:
        return
    ordered = sorted(counts.items())
    await tx.execute(
        """
        INSERT INTO rule_day AS held (unit, day, rule_id, outcome, count)
        SELECT $1, $2, * FROM unnest($3::text[], $4::text[], $5::bigint[])
        ON CONFLICT (rule_id, day, outcome, unit) DO UPDATE SET count = held.count + excluded.count
        """,
        unit,
        day,
        [rule_id for (rule_id, _), _ in ordered],
        [outcome for (_, outcome), _ in ordered],
        [count for _, count in ordered],
    )


async def outcomes(connection: Any, rule_id: str, since: date) -> list[tuple[date, str, int]]:
    """By day and outcome, the oldest day first."""
    rows = await connection.fetch(
        """
        SELECT day, outcome, sum(count)::bigint AS count FROM rule_day WHERE rule_id = $1 AND day >= $2
        GROUP BY day, outcome ORDER BY day, outcome
        """,
        rule_id,
        since,
    )
    return [(row["day"], row["outcome"], row["count"]) for row in rows]
