"""Which units does this process own? Ownership is a row with an owner, an epoch and an end, in the service's database.

Taking a unit raises its epoch; whoever held it before finds the epoch changed when it next locks the row, and lets go.
Time is the database's alone: no two clocks are ever compared.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from libs.common.db import Tx, literal
from libs.common.errors import Fenced, Misconfigured

LEASE_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class Lease:
    """A unit that is ours: its epoch, and the row's revision and progress when it was taken."""

    unit: int
    epoch: int
    revision: int
    progress: str


@dataclass(frozen=True, slots=True)
class Holding:
    """One row of the ownership table as another process sees it."""

    unit: int
    owner: str | None
    epoch: int
    valid: bool
    redrive: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do about ownership: `lost` are no longer ours, `release` are too many, `take` are free and due to us."""

    lost: frozenset[int]
    release: frozenset[int]
    take: tuple[int, ...]


def plan(me: str, holdings: Sequence[Holding], mine: Mapping[int, int], alive: int) -> Plan:
    """Share the units evenly among `alive` processes; `mine` is the epoch of each unit that I believe to own.

    The share is rounded up, so that all units have an owner when no two processes ask at once; whoever holds more lets
    the highest units go, and takes free ones lowest first from a place of its own, so that newcomers do not collide.
    """
    share = -(-len(holdings) // max(1, alive))
    by_unit = {holding.unit: holding for holding in holdings}
    lost = frozenset(unit for unit, epoch in mine.items() if (by_unit[unit].owner, by_unit[unit].epoch) != (me, epoch))
    kept = sorted(set(mine) - lost)
    release = frozenset(kept[share:])
    free = [holding.unit for holding in holdings if not holding.valid and holding.unit not in kept]
    return Plan(lost, release, tuple(free[: max(0, share - len(kept))]))


async def register(tx: Tx, worker: str, units: int) -> None:
    """Make the rows of a worker's units. Misconfigured when it ran with another number of units before."""
    await tx.execute(
        "INSERT INTO worker_unit (worker, unit) SELECT $1, n FROM generate_series(0, $2 - 1) n"
        " WHERE NOT EXISTS (SELECT 1 FROM worker_unit WHERE worker = $1) ON CONFLICT DO NOTHING",
        worker,
        units,
    )
    known = await tx.fetchval("SELECT count(*) FROM worker_unit WHERE worker = $1", worker)
    if known != units:
        raise Misconfigured(
            f"{worker} has {known} units on record and DANGOL_PARTITIONS is {units}: "
            "customers would change units and lose their order. Set DANGOL_PARTITIONS back."
        )


async def renew(connection: Any, worker: str, me: str) -> tuple[list[Holding], int]:
    """Prolong what is mine and say that I am alive; returns all holdings and how many processes are alive.

    A row that is locked is in the middle of a batch, whose own commit prolongs it.
    """
    await connection.execute(
        """
        WITH alive AS (
            INSERT INTO worker_instance VALUES ($1, $2, clock_timestamp() + make_interval(secs => $3))
            ON CONFLICT (worker, instance) DO UPDATE SET alive_until = excluded.alive_until
        ), mine AS (
            SELECT unit FROM worker_unit WHERE worker = $1 AND owner = $2 FOR UPDATE SKIP LOCKED
        )
        UPDATE worker_unit u SET lease_until = clock_timestamp() + make_interval(secs => $3)
        FROM mine WHERE u.worker = $1 AND u.unit = mine.unit
        """,
        worker,
        me,
        LEASE_SECONDS,
    )
    rows = await connection.fetch(
        "SELECT unit, owner, epoch, redrive, owner IS NOT NULL AND lease_until > clock_timestamp() AS valid,"
        " (SELECT count(*) FROM worker_instance i WHERE i.worker = $1 AND alive_until > clock_timestamp()) AS alive"
        " FROM worker_unit WHERE worker = $1 ORDER BY unit",
        worker,
    )
    holdings = [Holding(row["unit"], row["owner"], row["epoch"], row["valid"], row["redrive"]) for row in rows]
    return holdings, max(1, rows[0]["alive"] if rows else 1)


async def take(connection: Any, worker: str, me: str, units: Sequence[int]) -> list[Lease]:
    """Take those of `units` that are still free or expired."""
    rows = await connection.fetch(
        """
        WITH free AS (
            SELECT unit FROM worker_unit
            WHERE worker = $1 AND unit = ANY($3) AND (owner IS NULL OR lease_until <= clock_timestamp())
            ORDER BY unit FOR UPDATE SKIP LOCKED
        )
        UPDATE worker_unit u
        SET owner = $2, epoch = epoch + 1, lease_until = clock_timestamp() + make_interval(secs => $4)
        FROM free WHERE u.worker = $1 AND u.unit = free.unit
        RETURNING u.unit, u.epoch, u.revision, u.progress
        """,
        worker,
        me,
        list(units),
        LEASE_SECONDS,
    )
    return [Lease(row["unit"], row["epoch"], row["revision"], row["progress"]) for row in rows]


async def release(connection: Any, worker: str, me: str, units: Collection[int]) -> None:
    await connection.execute(
        "UPDATE worker_unit SET owner = NULL, lease_until = '-infinity'"
        " WHERE worker = $1 AND owner = $2 AND unit = ANY($3)",
        worker,
        me,
        list(units),
    )


async def leave(connection: Any, worker: str, me: str) -> None:
    """Forget that this process exists, so that the others' fair share grows at once."""
    await connection.execute("DELETE FROM worker_instance WHERE worker = $1 AND instance = $2", worker, me)


async def read(connection: Any, worker: str, me: str, unit: int, epoch: int) -> Lease:
    """The row as it stands, after doubt. Fenced when it is not ours any more."""
    row = await connection.fetchrow(
        "SELECT owner, epoch, revision, progress FROM worker_unit WHERE worker = $1 AND unit = $2",
        worker,
        unit,
    )
    if row is None or row["owner"] != me or row["epoch"] != epoch:
        raise Fenced(f"{worker}/{unit} has another owner")
    return Lease(unit, epoch, row["revision"], row["progress"])


def holding(worker: str, me: str, unit: int, epoch: int, revision: int, published_seq: int) -> str:
    """The statement that opens a unit's transaction: it locks the row, and forgets the outbox up to `published_seq`.

    It fails with the SQLSTATE that means Fenced when the row is not ours any more, or not as we left it.
    """
    return f"SELECT hold_unit({literal(worker)}, {unit}, {literal(me)}, {epoch}, {revision}, {published_seq})"


async def save(tx: Tx, worker: str, unit: int, progress: str, *, redriven: bool, box: tuple[int, bytes] | None) -> None:
    """Write how far the unit has come, and what is to be published (number of the first record, payload).

    The commit is also the lease's renewal.
    """
    seq, payload = box if box is not None else (None, None)
    await tx.execute(
        """
        WITH box AS (
            INSERT INTO outbox (worker, unit, seq, payload)
            SELECT $1, $2, $6::bigint, $7::bytea WHERE $6::bigint IS NOT NULL
        )
        UPDATE worker_unit
        SET progress = $3, revision = revision + 1, redrive = redrive AND NOT $4,
            lease_until = clock_timestamp() + make_interval(secs => $5)
        WHERE worker = $1 AND unit = $2
        """,
        worker,
        unit,
        progress,
        redriven,
        LEASE_SECONDS,
        seq,
        payload,
    )


async def ask_redrive(connection: Any, worker: str) -> int:
    """Ask all units of a worker to read their dead letters again; returns how many units were asked."""
    answer = await connection.execute("UPDATE worker_unit SET redrive = true WHERE worker = $1", worker)
    return int(answer.split()[-1])
