"""Is each step of an erasure one process's at a time, and does none of them stop another? On a real database alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, cast

import asyncpg
import msgspec
import pytest

from libs.common import clock, migrations
from libs.common.db import Database
from libs.common.kafka import Publisher
from services.profile.app import _Days
from services.profile.privacy import erasing
from services.profile.privacy.erasing import Eraser
from services.profile.privacy.marks import Marks
from services.profile.privacy.sweeping import Sweeper
from services.profile.privacy.trail import Trail, finder
from services.profile.store import arrivals
from services.profile.store import erasing as store

SECRET = "one secret of at least thirty-two signs"


class Slow(Sweeper):
    """Looks until it is told that it has found nothing any more; no broker is asked."""

    def __init__(self) -> None:
        super().__init__("127.0.0.1:1", "", cast(Publisher, None), 2)
        self.may_be_hurried = False
        self.sweeps = 0
        self.done = asyncio.Event()

    async def sweep(self, trails: Mapping[str, Trail]) -> dict[str, dict[str, int]]:
        self.sweeps += 1
        await self.done.wait()
        return {each: {} for each in trails}

    async def calm(self) -> None:
        """Nothing was hurried."""


@dataclass
class Place:
    database: Database
    connection: Any
    sweeper: Slow

    def eraser(self, me: str) -> Eraser:
        return Eraser(self.database, cast(Publisher, None), Marks([SECRET]), self.sweeper, me=me, partitions=2)

    async def erasure(self, stage: str, customer_id: str, trail: bytes) -> str:
        erasure_id = str(clock.new_id())
        await self.connection.execute(
            "INSERT INTO erasure (erasure_id, request_id, customer_id, reason, asked_by, asked_at, stage, stage_at,"
            " records, trail) VALUES ($1::text::uuid, $1::text, $2, '', '', now(), $3, now(), ARRAY[$2::uuid], $4)",
            erasure_id,
            customer_id,
            stage,
            trail,
        )
        return erasure_id

    async def row(self, erasure_id: str) -> Any:
        return await store.one(self.connection, erasure_id)


@pytest.fixture
async def place(database_url: str) -> AsyncIterator[Place]:
    await migrations.upgrade("profile", database_url)
    database = Database(database_url, application="test")
    await database.start()
    connection = await asyncpg.connect(database_url)
    yield Place(database, connection, Slow())
    await connection.close()
    await database.stop()


def trail(*identifiers: str) -> bytes:
    return msgspec.json.encode(Trail([], list(identifiers), []))


async def test_two_processes_at_the_same_step_do_it_once(place: Place) -> None:
    """Whoever comes second finds nothing any more, and must not write down that there was nothing; nor set it back."""
    record = str(clock.new_id())
    await place.connection.execute("INSERT INTO record VALUES ($1, $1, now())", record)
    await place.connection.execute("INSERT INTO identifier VALUES ('device:canary', $1, now())", record)
    erasure_id = await place.erasure("asked", record, b"")
    row = await place.row(erasure_id)
    await asyncio.gather(*(place.eraser(me)._advance(row) for me in ("one", "two")))
    async with place.database.transaction() as tx:
        await store.move_on(tx, erasure_id, "deleted", clock.now())
    await place.eraser("late")._advance(row)
    found = await place.row(erasure_id)
    kept = msgspec.json.decode(found["trail"], type=Trail)
    assert (found["stage"], kept.records, kept.identifiers) == ("deleted", [record], ["device:canary"])
    parts = store.counted(await store.parts(place.connection, erasure_id))
    assert parts["profile.identifier"] == parts["profile.record"] == 1


async def test_nobody_takes_over_what_takes_longer_than_a_lease(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasing, "LEASE_SECONDS", 4.0)
    erasure_id = await place.erasure("deleted", str(clock.new_id()), trail("device:canary"))
    turn = asyncio.create_task(place.eraser("one").go_on())
    until = None
    async with asyncio.timeout(30):
        while not place.sweeper.sweeps:
            await asyncio.sleep(0.01)
        while until is None or await _lease_of(place, erasure_id) < until:
            until = until or await _lease_of(place, erasure_id) + timedelta(seconds=0.5)
            await asyncio.sleep(0.05)
    await place.eraser("two").go_on()
    assert place.sweeper.sweeps == 1, "it is somebody's"
    place.sweeper.done.set()
    await turn
    assert (await place.row(erasure_id))["stage"] == "compacted"


async def _lease_of(place: Place, erasure_id: str) -> Any:
    return await place.connection.fetchval("SELECT lease_until FROM erasure WHERE erasure_id = $1", erasure_id)


async def test_an_erasure_that_meets_a_bug_says_so_and_stops_no_other(place: Place) -> None:
    await place.connection.execute("INSERT INTO conflict VALUES (now(), 's', '1', now(), '{}')")
    broken = await place.erasure("obeyed", str(clock.new_id()), b"{}")
    sound = await place.erasure("obeyed", str(clock.new_id()), trail("device:canary"))
    place.sweeper.done.set()
    await place.eraser("one").go_on()
    found = await place.row(broken)
    assert found["stage"] == "obeyed" and found["trouble"].startswith("ValidationError")
    assert (await place.row(sound))["stage"] == "compacted"


async def test_erasures_that_cannot_move_hold_up_no_later_one(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasing, "ERASURES_AT_ONCE", 2)
    eraser = place.eraser("one")
    place.sweeper.done.set()
    for _ in range(2):
        # There is no publisher to order anything, and no trail in these.
        await place.erasure("forgotten", str(clock.new_id()), b"")
        await place.erasure("obeyed", str(clock.new_id()), b"{}")
    await eraser.begin()
    await eraser.go_on()
    new = await place.erasure("asked", str(clock.new_id()), b"")
    sound = await place.erasure("obeyed", str(clock.new_id()), trail("device:canary"))
    await eraser.begin()
    await eraser.go_on()
    assert (await place.row(new))["stage"] == "forgotten"
    assert (await place.row(sound))["stage"] == "compacted"


async def test_owners_that_do_not_obey_are_waited_for_together(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    everybody = asyncio.Barrier(3)

    async def wait(eraser: Eraser, row: Any) -> None:
        await everybody.wait()

    monkeypatch.setattr(Eraser, "_order", wait)
    for _ in range(3):
        await place.erasure("forgotten", str(clock.new_id()), b"")
    async with asyncio.timeout(20):
        await place.eraser("one").begin()


async def test_a_new_erasure_begins_while_topics_are_read_for_another(place: Place) -> None:
    eraser = place.eraser("one")
    await place.erasure("deleted", str(clock.new_id()), trail("device:canary"))
    reading = asyncio.create_task(eraser.go_on())
    async with asyncio.timeout(20):
        while not place.sweeper.sweeps:
            await asyncio.sleep(0.01)
    new = await place.erasure("asked", str(clock.new_id()), b"")
    await eraser.begin()
    assert (await place.row(new))["stage"] == "forgotten" and not reading.done()
    place.sweeper.done.set()
    await reading


async def test_a_conflict_is_looked_into_once_unless_it_is_young_enough_to_have_been_written_late(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasing, "CONFLICTS_AT_ONCE", 2)
    turns, seen = [0], []

    def finder_of(trails: Mapping[str, Trail]) -> Callable[[bytes], list[str]]:
        about = finder(trails)

        def noted(body: bytes) -> list[str]:
            seen.append((turns[0], body))
            return about(body)

        return noted

    monkeypatch.setattr(erasing, "finder", finder_of)
    now = clock.now()
    for minutes, name in ((90, "old"), (80, "old"), (70, "old canary"), (60, "old"), (2, "young")):
        await keep_conflict(place, now - timedelta(minutes=minutes), name)
    row = await place.row(await place.erasure("obeyed", str(clock.new_id()), trail("device:canary-7")))
    eraser = place.eraser("one")
    others = asyncio.create_task(count(turns))
    await eraser._delete_conflicts([row])
    others.cancel()
    assert len({turn for turn, _ in seen}) == len(seen) == 5, "others have their turn between any two"
    seen.clear()
    await keep_conflict(place, now - timedelta(minutes=3), "late canary")
    await eraser._delete_conflicts([row])
    assert [body for _, body in seen] == [body_of("late canary"), body_of("young")]
    left = await place.connection.fetch("SELECT event_id FROM conflict ORDER BY at")
    assert [each["event_id"].split()[0] for each in left] == ["old", "old", "old", "young"]
    assert store.counted(await store.parts(place.connection, row["erasure_id"])) == {"profile.conflict": 2}


async def keep_conflict(place: Place, at: datetime, name: str) -> None:
    async with place.database.transaction() as tx:
        await arrivals.keep_conflicts(tx, at, [("s", f"{name} {at}", at, body_of(name))])


def body_of(name: str) -> bytes:
    return b'{"device": "canary-7"}' if "canary" in name else b"{}"


async def count(turns: list[int]) -> None:
    while True:
        turns[0] += 1
        await asyncio.sleep(0)


async def test_conflicts_go_when_the_ids_do(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrivals, "CONFLICTS_AT_ONCE", 2)
    now = clock.now()
    for days in (0, 34, 36, 37, 50):
        async with place.database.transaction() as tx:
            at = now - timedelta(days=days)
            await arrivals.keep_conflicts(tx, at, [("s", f"{days}-{each}", at, b"{}") for each in "ab"])
    await _Days(place.database, 35).turn()
    seen, position = [], None
    while rows := await arrivals.conflicts_page(place.connection, position, 1):
        position = rows[0]["at"], rows[0]["source"], rows[0]["event_id"]
        seen.append(rows[0]["event_id"])
    assert seen == ["0-b", "0-a", "34-b", "34-a"], "none twice, none overlooked"
