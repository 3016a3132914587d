"""What has come of each document since it was put in force, and which of them have to be stopped?

Whoever counts does so in the transaction of what is counted, and leaves a note of what was touched; whoever guards
looks at those, a few documents in a transaction, and throws the notes away afterwards: looked at twice, nothing is
stopped twice. A count belongs to a stay: the time from the moment at which a person put the
version in force. So a resumption begins anew, and a change of the ramp does not.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import msgspec
from msgspec import Struct

from libs.common import clock
from libs.common.db import Tx
from libs.common.documents import limits, writing
from libs.common.documents.limits import Guards, Share, Standing
from libs.common.documents.reading import snapshot_number
from libs.common.documents.shapes import Connection

AUTHOR = "guard"
NOTES_AT_ONCE = 1_000
JUDGED_AT_ONCE = 50
"""Documents in one transaction: it holds the lock of their kind, and the event loop judges without a pause."""

DAYS_KEPT = 400

# What began the present stay, or the one of a moment: a change of the ramp begins none.
_BEGINS = """
    stay.status = 'active'
    AND (stay.was_status IS DISTINCT FROM 'active' OR stay.was_version IS DISTINCT FROM stay.version)
"""


class GuardedKind(NamedTuple):
    """A kind of documents that is guarded, its name in addresses, and the zone whose days are counted."""

    name: str
    plural: str
    zone: str


class Counted(NamedTuple):
    """So many of one measure for a version, as of an instant."""

    id: str
    version: int
    at: datetime
    measure: str
    number: int


class Guarded(NamedTuple):
    """A document in force or paused, the stay that counts and when that began, and what came of it by day."""

    id: str
    version: int
    status: str
    ramp_percent: int
    body: str
    stay: int
    since: datetime
    days: Mapping[date, Mapping[str, int]]

    @property
    def counts(self) -> dict[str, int]:
        total: dict[str, int] = {}
        for counts in self.days.values():
            for measure, count in counts.items():
                total[measure] = total.get(measure, 0) + count
        return total

    @property
    def own_guards(self) -> Any:
        return msgspec.json.decode(self.body).get("guards")


class Stopped(NamedTuple):
    id: str
    version: int
    over: Sequence[Share]


class Notes(NamedTuple):
    """Some of what was left by whoever counted: the numbers of the notes, and what they name, each once and sorted."""

    numbers: Sequence[int]
    ids: Sequence[str]

    @property
    def full(self) -> bool:
        """Whether there may be more."""
        return len(self.numbers) == NOTES_AT_ONCE

    def slices(self) -> list[Sequence[str]]:
        return [self.ids[at : at + JUDGED_AT_ONCE] for at in range(0, len(self.ids), JUDGED_AT_ONCE)]


AskGuards = Callable[[Connection], Awaitable[Guards]]


class Stop(Struct, frozen=True):
    """Who paused a document, when and why; `figures` are those of the guard where it was the guard."""

    by: str
    at: datetime
    note: str
    figures: list[dict[str, Any]] = []


async def count(tx: Tx, kind: str, unit: int, zone: str, counted: Sequence[Counted]) -> None:
    """Adds up by day in `zone`. What was counted for a version before it was in force belongs to no stay, number 0."""
    if not counted:
        return
    await tx.execute(
        f"""
        WITH placed AS (
            SELECT new.id, (new.at AT TIME ZONE $3)::date AS day, new.measure, sum(new.count)::bigint AS count,
                coalesce((
                    SELECT stay.number FROM document_change stay
                    WHERE stay.kind = $1 AND stay.id = new.id AND stay.version = new.version AND stay.at <= new.at
                        AND {_BEGINS}
                    ORDER BY stay.number DESC LIMIT 1
                ), 0) AS stay
            FROM unnest($4::text[], $5::integer[], $6::timestamptz[], $7::text[], $8::bigint[])
                AS new (id, version, at, measure, count)
            GROUP BY new.id, day, new.measure, stay
        ), added AS (
            INSERT INTO document_guard_day AS held (kind, id, stay, day, measure, unit, count)
            SELECT $1, id, stay, day, measure, $2, count FROM placed ORDER BY id, stay, day, measure
            ON CONFLICT (kind, id, stay, day, measure, unit) DO UPDATE SET count = held.count + excluded.count
            RETURNING held.id
        )
        INSERT INTO document_guard_touched (kind, ids) SELECT $1, array_agg(DISTINCT id) FROM added
        """,
        *(kind, unit, zone),
        *(list(column) for column in zip(*sorted(counted), strict=True)),
    )


async def touch_all(tx: Tx, kind: str) -> None:
    """Has every document in force looked at once more: the limits have changed."""
    await tx.execute(
        """
        INSERT INTO document_guard_touched (kind, ids)
        SELECT $1, array_agg(id) FROM document WHERE kind = $1 AND status = 'active' HAVING count(*) > 0
        """,
        kind,
    )


async def notes(connection: Connection, kind: str) -> Notes:
    """The oldest. Only once all that they name has been looked at, `forget` them."""
    rows = await connection.fetch(
        "SELECT number, ids FROM document_guard_touched WHERE kind = $1 ORDER BY number LIMIT $2", kind, NOTES_AT_ONCE
    )
    return Notes([row["number"] for row in rows], sorted({id for row in rows for id in row["ids"]}))


async def forget(tx: Tx, numbers: Sequence[int]) -> None:
    """By number: one that was given out earlier may come to light later, and nobody has looked at what it names."""
    await tx.execute("DELETE FROM document_guard_touched WHERE number = ANY ($1)", numbers)


async def guard(tx: Tx, kind: GuardedKind, ids: Sequence[str], ask: AskGuards, now: datetime) -> list[Stopped] | None:
    """Pauses those of these that are over a limit; None while another process is at it."""
    if not await tx.fetchval(
        "SELECT pg_try_advisory_xact_lock(hashtextextended('document_guard ' || $1, 0))", kind.name
    ):
        return None
    zone = ZoneInfo(kind.zone)
    today = now.astimezone(zone).date()
    # Asked after the notes were read: a note of new limits comes to light together with them.
    suspects = [each.id for each, _ in await _over(tx, kind.name, ids, today, await ask(tx))]
    if not suspects:
        return []
    # Once more under the lock of the kind: whoever has switched one meanwhile, or allowed more, has decided about it.
    await writing.lock(tx, kind.name)
    guards = await ask(tx)
    stopped = []
    for each, over in await _over(tx, kind.name, suspects, today, guards):
        since = max(each.since.astimezone(zone).date(), _first_day(today, guards))
        await _stop(tx, kind.name, each, over, since)
        stopped.append(Stopped(each.id, each.version, over))
    return stopped


async def _over(
    tx: Tx, kind: str, ids: Sequence[str], today: date, guards: Guards
) -> list[tuple[Guarded, Sequence[Share]]]:
    found = [each for each in await guarded(tx, kind, ids, _first_day(today, guards)) if each.status == "active"]
    judged = [(each, limits.over(*limits.with_own(guards, each.own_guards), each.counts)) for each in found]
    return [(each, over) for each, over in judged if over]


def judged(each: Guarded, guards: Guards) -> list[Standing]:
    """For whoever looks at one document: with how far it is from each limit."""
    return limits.standings(*limits.with_own(guards, each.own_guards), each.counts)


def in_force(each: Guarded, guards: Guards) -> Guards:
    return limits.with_own(guards, each.own_guards)[0]


async def _stop(tx: Tx, kind: str, each: Guarded, over: Sequence[Share], since: date) -> None:
    note = limits.reasons(over, since.isoformat())
    await writing.pause(tx, kind, each.id, author=AUTHOR, note=note)
    figures = [
        {
            "limit": share.name,
            "limit_percent": share.limit_percent,
            "count": share.count,
            "of": share.of,
            "share_percent": share.share_percent,
            "since": since.isoformat(),
        }
        for share in over
    ]
    await tx.execute(
        "INSERT INTO document_guard_stop (kind, number, figures) VALUES ($1, $2, $3)",
        kind,
        await snapshot_number(tx, kind),
        msgspec.json.encode(figures).decode(),
    )


async def guarded(connection: Connection, kind: str, ids: Collection[str], first_day: date) -> list[Guarded]:
    """Those of these documents that are in force or paused, with the counts of their stay from a day on."""
    rows = await connection.fetch(
        f"""
        SELECT document.id, document.version, document.status, document.ramp_percent, document.body,
            begun.number AS stay, begun.at AS since,
            (SELECT coalesce(json_agg(json_build_array(day, measure, count) ORDER BY day, measure), '[]') FROM (
                SELECT day, measure, sum(count)::bigint AS count FROM document_guard_day held
                WHERE held.kind = $1 AND held.id = document.id AND held.stay = begun.number AND held.day >= $3
                GROUP BY day, measure
            ) AS summed) AS counts
        FROM document, LATERAL (
            SELECT stay.number, stay.at FROM document_change stay
            WHERE stay.kind = $1 AND stay.id = document.id AND {_BEGINS} ORDER BY stay.number DESC LIMIT 1
        ) AS begun
        WHERE document.kind = $1 AND document.id = ANY ($2) AND document.status IN ('active', 'paused')
        ORDER BY document.id
        """,
        kind,
        sorted(ids),
        first_day,
    )
    return [
        Guarded(
            *(row["id"], row["version"], row["status"], row["ramp_percent"], row["body"]),
            *(row["stay"], row["since"], _by_day(row["counts"])),
        )
        for row in rows
    ]


def _by_day(text: str) -> dict[date, dict[str, int]]:
    found: dict[date, dict[str, int]] = {}
    for day, measure, number in msgspec.json.decode(text, type=list[tuple[date, str, int]]):
        found.setdefault(day, {})[measure] = number
    return found


async def last_stop(connection: Connection, kind: str, id: str) -> Stop | None:
    """The pause that holds; None where none does."""
    row = await connection.fetchrow(
        """
        SELECT change.status, change.author, change.at, change.note, stop.figures
        FROM document_change change LEFT JOIN document_guard_stop stop USING (kind, number)
        WHERE change.kind = $1 AND change.id = $2 ORDER BY change.number DESC LIMIT 1
        """,
        kind,
        id,
    )
    if row is None or row["status"] != "paused":
        return None
    return Stop(row["author"], row["at"], row["note"], msgspec.json.decode(row["figures"] or "[]"))


async def trim(tx: Tx) -> None:
    await tx.execute("DELETE FROM document_guard_day WHERE day < $1", clock.now().date() - timedelta(days=DAYS_KEPT))


def _first_day(today: date, guards: Guards) -> date:
    return today - timedelta(days=guards.days - 1)
