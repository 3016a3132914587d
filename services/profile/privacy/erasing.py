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
from collections.abc import Awaitable, Sequence
from typing import Final

import msgspec

from libs.common import clock, logs
from libs.common.db import Database, Row, Tx
from libs.common.errors import DangolError, NotCaughtUp, Transient
from libs.common.events import EMPTY, CommandIssued
from libs.common.kafka import Publisher, Record
from libs.common.topics import COMMAND_ISSUED, partition_of
from services.profile import holding
from services.profile.commands import ERASE
from services.profile.person.telling import said_of
from services.profile.privacy.marks import Marks
from services.profile.privacy.proof import SERVICES
from services.profile.privacy.sweeping import Sweeper
from services.profile.privacy.trail import Trail, finder
from services.profile.store import commands as command_store
from services.profile.store import customers as customer_store
from services.profile.store import erasing as store
from services.profile.store import identity as identity_store

LEASE_SECONDS: Final = 10.0
ERASURES_AT_ONCE: Final = 20
POLL_SECONDS: Final = 1.0
_NO_TRAIL = msgspec.json.encode(Trail([], [], []))
_OBEYED_SECONDS_MAX = 5.0
_TELL_AGAIN_SECONDS = 150.0
"""A broker that has not compacted by then is given something new to write, or it never begins another segment."""

_ON_TOPICS = frozenset(("forgotten", "obeyed", "deleted"))


class Eraser:
    """Drives erasures on, one process at a time each; `wake` when one was asked for."""

    def __init__(
        self, database: Database, publisher: Publisher, marks: Marks, sweeper: Sweeper, *, me: str, partitions: int
    ) -> None:
        self._database = database
        self._publisher = publisher
        self._marks = marks
        self._sweeper = sweeper
        self._me = me
        self._partitions = partitions
        self._woken = asyncio.Event()
        self._log = logs.get("erasures")

    def wake(self) -> None:
        self._woken.set()

    async def keep(self, stopping: asyncio.Event) -> None:
        while not stopping.is_set():
            try:
                moved = await self._round()
            except (DangolError, TimeoutError) as error:
                self._log.warning("erasures_wait", error=f"{type(error).__name__}: {error}")
                moved = False
            await self._pause(stopping, 0.05 if moved else POLL_SECONDS)

    async def _pause(self, stopping: asyncio.Event, seconds: float) -> None:
        waiting = [asyncio.ensure_future(each.wait()) for each in (stopping, self._woken)]
        await asyncio.wait(waiting, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        for each in waiting:
            each.cancel()
        self._woken.clear()

    async def _round(self) -> bool:
        """One step with each open erasure; says whether anything moved on."""
        async with self._database.transaction() as tx:
            rows = await store.claim(tx, self._me, LEASE_SECONDS, ERASURES_AT_ONCE)
        moved = False
        for row in rows:
            moved |= await self._survived([row], self._advance(row))
        sweeping = [row for row in rows if row["stage"] == "deleted"]
        if sweeping:
            moved |= await self._survived(sweeping, self._sweep(sweeping))
        else:
            await self._rest()
        return moved

    async def _survived(self, rows: Sequence[Row], step: Awaitable[bool]) -> bool:
        try:
            return await step
        except DangolError as error:
            async with self._database.transaction() as tx:
                await store.note_trouble(tx, [row["erasure_id"] for row in rows], f"{type(error).__name__}: {error}")
            self._log.warning("erasure_waits", stage=rows[0]["stage"], error=f"{type(error).__name__}: {error}")
            return False

    async def _rest(self) -> None:
        """Topics are compacted at leisure again once nothing waits for it, whoever had hurried them."""
        if not self._sweeper.may_be_hurried:
            return
        async with self._database.connection() as connection:
            stages = await store.open_stages(connection)
        if not _ON_TOPICS.intersection(stages):
            await self._sweeper.calm()

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
            if not records and (other := await store.earlier(tx, row["erasure_id"], row["customer_id"])) is not None:
                known = [str(each) for each in other["records"]]
                await store.note_trail(tx, row["erasure_id"], known, other["trail"] or _NO_TRAIL, now)
                await store.move_on(tx, row["erasure_id"], "forgotten", now)
                return
            await identity_store.lock_records(tx, records)
            if records != await identity_store.records_of(tx.connection, record_id=str(row["customer_id"])):
                raise Transient("the person has just been joined with another one")
            identifiers = await identity_store.identifiers_of(tx.connection, records)
            bodies = await customer_store.load_customers(tx, records)
            values = said_of([holding.restored(body) for body in bodies.values()])
            trail = Trail(records, identifiers, sorted(set(values)))
            await store.note_trail(tx, row["erasure_id"], records, msgspec.json.encode(trail), now)
            await store.add_marks(tx, [self._marks.of(each) for each in identifiers], now)
            for table, count in (await store.forget_identity(tx, records)).items():
                await store.add_part(tx, row["erasure_id"], f"profile.{table}", count, now)
            await store.move_on(tx, row["erasure_id"], "forgotten", now)

    async def _order(self, row: Row) -> None:
        await self._obeyed(await self._command(row, 0))
        async with self._database.transaction() as tx:
            now = clock.now()
            if await store.holds_still(tx, row["erasure_id"], "forgotten"):
                await store.set_part(tx, row["erasure_id"], "profile.customer", len(row["records"]), now)
                await store.move_on(tx, row["erasure_id"], "obeyed", now)

    async def _command(self, row: Row, turn: int) -> list[str]:
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
        await self._delete_conflicts(row)
        async with self._database.transaction() as tx:
            if await store.holds_still(tx, row["erasure_id"], "obeyed"):
                await store.move_on(tx, row["erasure_id"], "deleted", clock.now())

    async def _delete_conflicts(self, row: Row) -> None:
        """Nobody has said whose they are, so each is looked into."""
        about = finder(_trail(row))
        place = None
        while True:
            async with self._database.connection() as connection:
                rows = await store.conflicts_after(connection, place, 500)
            if not rows:
                return
            place = (rows[-1]["at"], rows[-1]["source"], rows[-1]["event_id"])
            theirs = [each for each in rows if about(bytes(each["body"]))]
            if theirs:
                async with self._database.transaction() as tx:
                    await store.delete_conflicts(tx, theirs)
                    await store.add_part(tx, row["erasure_id"], "profile.conflict", len(theirs), clock.now())

    async def _sweep(self, rows: Sequence[Row]) -> bool:
        """Until nothing is found any more; what was written meanwhile by whoever lagged is found as well."""
        if not self._sweeper.is_time(min(row["stage_at"] for row in rows)):
            return False
        found = await self._sweeper.sweep([_trail(row) for row in rows])
        now = clock.now()
        for row, counts in zip(rows, found, strict=True):
            await self._delete_conflicts(row)
            async with self._database.transaction() as tx:
                for place, count in counts.items():
                    await store.set_part(tx, row["erasure_id"], place, count, now)
                if not counts:
                    await store.move_on(tx, row["erasure_id"], "compacted", now)
            turn = int((now - row["stage_at"]).total_seconds() / _TELL_AGAIN_SECONDS)
            if counts and turn:
                await self._command(row, turn)
        return not all(found)

    async def _conclude(self, row: Row) -> bool:
        async with self._database.connection() as connection:
            notes = await store.notes(connection, row["records"])
        told = {(note["record"], note["service"]) for note in notes}
        if not told.issuperset((record, service) for record in row["records"] for service in SERVICES):
            return False
        async with self._database.transaction() as tx:
            await store.finish(tx, row["erasure_id"], clock.now())
        return True


def _trail(row: Row) -> Trail:
    return msgspec.json.decode(bytes(row["trail"]), type=Trail)
