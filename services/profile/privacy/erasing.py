"""How is a person erased, step by step, whatever dies in between? A row says how far it has come.

    asked      somebody with the role has asked for it
    forgotten  identifiers, links and records are gone, their marks are kept: nothing new can come to the records
    obeyed     the owner of each record has emptied its state and told everybody downstream
    deleted    what was kept by customer is gone from every table of ours
    compacted  no topic that keeps its newest messages, and no dead letter, has anything of theirs any more
    done       the other services have told what they did, and the trail that led to the person is forgotten

Every step may be done twice, so it is enough that somebody does the next one. It is no worker's: it reads whole topics
and waits for brokers, which no transaction may.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from libs.common import clock, logs
from libs.common.db import Database, Row, Tx
from libs.common.errors import DangolError, NotCaughtUp, Transient
from libs.common.events import EMPTY, CommandIssued
from libs.common.kafka import Publisher, Record
from libs.common.topics import COMMAND_ISSUED, partition_of
from services.profile.commands import ERASE
from services.profile.person import Definitions
from services.profile.privacy.marks import Marks
from services.profile.privacy.proof import silent_of
from services.profile.privacy.sweeping import Sweeper
from services.profile.privacy.trail import Trail, finder, trail_of
from services.profile.restoring import load
from services.profile.store import commands as command_store
from services.profile.store import erasing as store
from services.profile.store import identity as identity_store

LEASE_SECONDS = 10.0
ERASURES_AT_ONCE: Final = 20
ERASURES_SWEPT_AT_ONCE: Final = 500
"""A topic is read for all of them together; whoever is left out is read for from the beginning."""
CONFLICTS_AT_ONCE: Final = 100
"""Their bodies are large."""
POLL_SECONDS: Final = 1.0
MOVED_SECONDS: Final = 0.05
ANSWER_SECONDS = 300.0
"""A service that has not told by then what it forgot is told again, each time this has passed."""

_TROUBLE_LENGTH_MAX = 2_000
_NO_TRAIL = msgspec.json.encode(Trail([], [], []))
_OBEYED_SECONDS_MAX = 5.0
_TELL_AGAIN_SECONDS = 150.0
"""A broker that has not compacted by then is given something new to write, or it never begins another segment."""

_CONFLICTS_LATE: Final = timedelta(minutes=5)
"""What is committed that long after the instant it bears is found as well."""

_ON_TOPICS = frozenset(("forgotten", "obeyed", "deleted"))


class Eraser:
    """Drives erasures on, one process at a time each."""

    def __init__(
        self,
        database: Database,
        publisher: Publisher,
        marks: Marks,
        sweeper: Sweeper,
        *,
        me: str,
        partitions: int,
        definitions: Callable[[], Definitions] = Definitions,
    ) -> None:
        self._database = database
        self._publisher = publisher
        self._marks = marks
        self._sweeper = sweeper
        self._me = me
        self._partitions = partitions
        self._definitions = definitions
        self._told_again: dict[Any, int] = {}
        # Up to when conflicts were read for whom.
        self._conflicts_read: dict[Any, datetime] = {}
        self._log = logs.get("erasures")

    async def begin(self) -> float:
        """One step with those that have not gone far, which wait for no other; returns when to come again."""
        rows = await self._claimed(("asked", "forgotten"), ERASURES_AT_ONCE)
        async with self._kept(rows):
            moved = [await self._survived([row], self._advance(row)) for row in rows if row["stage"] == "asked"]
            # Each may wait for an owner that is away.
            orders = [self._survived([row], self._advance(row)) for row in rows if row["stage"] == "forgotten"]
            moved += [each is True for each in await asyncio.gather(*orders, return_exceptions=True)]
        return MOVED_SECONDS if any(moved) else POLL_SECONDS

    async def go_on(self) -> float:
        """One step with all others, some of which read whole topics; returns when to come again."""
        rows = await self._claimed(("obeyed", "compacted"), ERASURES_AT_ONCE)
        async with self._kept(rows):
            moved = [await self._survived([row], self._advance(row)) for row in rows]
        async with self._database.connection() as connection:
            stages = await store.open_stages(connection)
        if "deleted" in stages and self._sweeper.is_time(stages["deleted"]):
            rows = await self._claimed(("deleted",), ERASURES_SWEPT_AT_ONCE)
            async with self._kept(rows):
                moved.append(bool(rows) and await self._survived(rows, self._sweep(rows)))
        elif self._sweeper.may_be_hurried and not _ON_TOPICS.intersection(stages):
            # Topics are compacted at leisure again once nothing waits for it, whoever had hurried them.
            await self._sweeper.calm()
        return MOVED_SECONDS if any(moved) else POLL_SECONDS

    async def _claimed(self, stages: Sequence[str], count: int) -> list[Row]:
        async with self._database.transaction() as tx:
            return await store.claim(tx, self._me, LEASE_SECONDS, stages, count)

    @contextlib.asynccontextmanager
    async def _kept(self, rows: Sequence[Row]) -> AsyncIterator[None]:
        """They stay ours for as long as this process lives and is at them."""
        keeping = asyncio.create_task(self._renew([row["erasure_id"] for row in rows]), name="erasures.lease")
        try:
            yield
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)

    async def _renew(self, erasure_ids: Sequence[Any]) -> None:
        while erasure_ids:
            await asyncio.sleep(LEASE_SECONDS / 4)
            try:
                async with self._database.transaction() as tx:
                    await store.renew(tx, self._me, LEASE_SECONDS, erasure_ids)
            except DangolError as error:
                self._log.warning("erasures_not_renewed", error=f"{type(error).__name__}: {error}")

    async def _survived(self, rows: Sequence[Row], step: Awaitable[bool]) -> bool:
        """What stops one erasure stops no other; it stands in its answer."""
        try:
            return await step
        except Exception as error:  # noqa: BLE001 - whatever it is, the others go on.
            expected = isinstance(error, DangolError)
            trouble = logs.mask(f"{type(error).__name__}: {error}")[:_TROUBLE_LENGTH_MAX]
            if any(row["trouble"] != trouble for row in rows):
                self._log.warning(
                    "erasure_waits", stage=rows[0]["stage"], error=trouble, exc_info=None if expected else error
                )
            async with self._database.transaction() as tx:
                await store.note_trouble(tx, [row["erasure_id"] for row in rows], trouble)
            return False

    async def _advance(self, row: Row) -> bool:
        match row["stage"]:
            case "asked":
                await self._forget(row)
            case "forgotten":
                await self._order(row)
            case "obeyed":
                await self._delete(row)
            case "compacted":
                return await self._conclude(row)
            case _:
                return False
        return True

    # --- steps -------------------------------------------------------------------------------------------------

    async def _forget(self, row: Row) -> None:
        """In one transaction, with the records locked: whoever decides about them waits, and finds them gone."""
        now = clock.now()
        async with self._database.transaction() as tx:
            if not await store.holds_still(tx, row["erasure_id"], "asked"):
                # Somebody else has had it meanwhile.
                return
            records = await identity_store.records_of(tx.connection, record_id=str(row["customer_id"]))
            if not records and (other := await store.earlier(tx, row["customer_id"])) is not None:
                known = [str(each) for each in other["records"]]
                await store.note_trail(tx, row["erasure_id"], known, other["trail"] or _NO_TRAIL, now)
                await store.move_on(tx, row["erasure_id"], "forgotten", now)
                return
            await identity_store.lock_records(tx, records)
            if records != await identity_store.records_of(tx.connection, record_id=str(row["customer_id"])):
                raise Transient("the person has just been joined with another one")
            identifiers = await identity_store.identifiers_of(tx.connection, records)
            states = (await load(tx, records, self._definitions())).known
            trail = trail_of(records, identifiers, states.values())
            await store.note_trail(tx, row["erasure_id"], records, msgspec.json.encode(trail), now)
            await store.add_marks(tx, [self._marks.of(each) for each in identifiers], now)
            for table, count in (await store.forget_identity(tx, records)).items():
                await store.add_part(tx, row["erasure_id"], f"profile.{table}", count, now)
            await store.move_on(tx, row["erasure_id"], "forgotten", now)

    async def _order(self, row: Row) -> None:
        await self._obeyed(await self._command(row, "0"))
        async with self._database.transaction() as tx:
            now = clock.now()
            if await store.holds_still(tx, row["erasure_id"], "forgotten"):
                await store.set_part(tx, row["erasure_id"], "profile.customer", len(row["records"]), now)
                await store.move_on(tx, row["erasure_id"], "obeyed", now)

    async def _command(self, row: Row, turn: str) -> list[str]:
        """A command for each record; of one turn under the same id however often it is given."""
        commands = [
            CommandIssued(
                str(clock.derived_id("erase", row["erasure_id"], record, turn)),
                str(record),
                ERASE,
                EMPTY,
                row["asked_by"],
                row["asked_at"],
            )
            for record in row["records"]
        ]
        keys = [each.customer_id.encode() for each in commands]
        units = [partition_of(key, self._partitions) for key in keys]
        values = [msgspec.json.encode(each) for each in commands]
        await self._publisher.publish(
            [Record(COMMAND_ISSUED.name, *each) for each in zip(units, keys, values, strict=True)]
        )
        return [each.command_id for each in commands]

    async def _obeyed(self, command_ids: Sequence[str]) -> None:
        try:
            async with asyncio.timeout(_OBEYED_SECONDS_MAX):
                while True:
                    async with self._database.connection() as connection:
                        known = await command_store.known_commands(Tx(connection), command_ids)
                    if len(known) == len(command_ids):
                        return
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise NotCaughtUp("the owners of the records have not obeyed yet") from None

    async def _delete(self, row: Row) -> None:
        records = [str(each) for each in row["records"]]
        async with self._database.connection() as connection:
            tables = await store.tables_of_customers(connection)
        for table, column, kind in tables:
            deleted = -1
            while deleted:
                async with self._database.transaction() as tx:
                    deleted = await store.delete_some(tx, table, column, kind, records)
                    if deleted:
                        await store.add_part(tx, row["erasure_id"], f"profile.{table}", deleted, clock.now())
        await self._delete_conflicts([row])
        async with self._database.transaction() as tx:
            if await store.holds_still(tx, row["erasure_id"], "obeyed"):
                await store.move_on(tx, row["erasure_id"], "deleted", clock.now())

    async def _delete_conflicts(self, rows: Sequence[Row]) -> None:
        """Nobody has said whose they are, so each is looked into, once for each person."""
        reached = clock.now() - _CONFLICTS_LATE
        about = finder({str(row["erasure_id"]): _trail(row) for row in rows})
        place = min(self._conflicts_read.get(row["erasure_id"], clock.from_ms(0)) for row in rows), "", ""
        found: Sequence[Row] | None = None
        while found is None or len(found) == CONFLICTS_AT_ONCE:
            async with self._database.connection() as connection:
                found = await store.conflicts_after(connection, place, CONFLICTS_AT_ONCE)
            theirs: dict[str, list[Row]] = {}
            for each in found:
                # The leases of the workers live on the same loop.
                await asyncio.sleep(0)
                for erasure_id in about(bytes(each["body"])):
                    theirs.setdefault(erasure_id, []).append(each)
                place = each["at"], each["source"], each["event_id"]
            for erasure_id, conflicts in theirs.items():
                async with self._database.transaction() as tx:
                    await store.delete_conflicts(tx, conflicts)
                    await store.add_part(tx, erasure_id, "profile.conflict", len(conflicts), clock.now())
        self._conflicts_read.update((row["erasure_id"], reached) for row in rows)

    async def _sweep(self, rows: Sequence[Row]) -> bool:
        """Until nothing is found any more; what was written meanwhile by whoever lagged is found as well."""
        found = await self._sweeper.sweep({str(row["erasure_id"]): _trail(row) for row in rows})
        read = self._conflicts_read
        self._conflicts_read = {each: read[each] for row in rows if (each := row["erasure_id"]) in read}
        await self._delete_conflicts(rows)
        now = clock.now()
        for row in rows:
            counts = found[str(row["erasure_id"])]
            async with self._database.transaction() as tx:
                for place, count in counts.items():
                    await store.set_part(tx, row["erasure_id"], place, count, now)
                if not counts and await store.holds_still(tx, row["erasure_id"], "deleted"):
                    await store.move_on(tx, row["erasure_id"], "compacted", now)
            turn = int((now - row["stage_at"]).total_seconds() / _TELL_AGAIN_SECONDS)
            if counts and turn:
                await self._command(row, str(turn))
        return not all(found.values())

    async def _conclude(self, row: Row) -> bool:
        erasure_id = row["erasure_id"]
        async with self._database.connection() as connection:
            silent = silent_of(row, await store.notes(connection, row["records"]))
        if silent:
            await self._ask_again(row, silent)
            return False
        self._told_again.pop(erasure_id, None)
        async with self._database.transaction() as tx:
            await store.finish(tx, erasure_id, clock.now())
        return True

    async def _ask_again(self, row: Row, silent: Sequence[str]) -> None:
        """What a service could not handle lies in its dead letters, or not even there: it gets another one."""
        erasure_id = row["erasure_id"]
        turn = int((clock.now() - row["stage_at"]).total_seconds() / ANSWER_SECONDS)
        if turn <= self._told_again.get(erasure_id, 0):
            return
        await self._command(row, f"silent {turn}")
        self._told_again[erasure_id] = turn
        trouble = f"no word of what was forgotten since {row['stage_at'].isoformat()} from: {', '.join(silent)}"
        async with self._database.transaction() as tx:
            await store.note_trouble(tx, [erasure_id], f"{trouble}; it is told again, its dead letters may say why")
        self._log.warning("erasure_unanswered", silent=list(silent), times=turn)


def _trail(row: Row) -> Trail:
    return msgspec.json.decode(bytes(row["trail"]), type=Trail)
