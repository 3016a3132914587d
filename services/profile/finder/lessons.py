"""What is agreement worth among these customers? The weights in force, and how new ones are learned from a sample."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Final

import msgspec

from libs.common import clock
from libs.common.db import Database
from services.profile.duplicates.comparing import Pattern, compare
from services.profile.duplicates.learning import learn, strangers_among, value_counts
from services.profile.duplicates.portrait import Portrait
from services.profile.duplicates.weights import SHIPPED, Weights
from services.profile.finder.meeting import meet
from services.profile.finder.pace import Pace
from services.profile.portraits import decoded
from services.profile.store import duplicates as store
from services.profile.store import lessons as lesson_store

KIND: Final = "learning"
_SAMPLE_MAX = 20_000
_ASKED_MAX = 2_000
_AT_ONCE = 50
_PAGE = 2_000
_LEASE_SECONDS = 600.0
_IDLE_SECONDS = 1.0
_FRESH_SECONDS = 1.0
_COUNT_SECONDS = 30.0
_encode: Final = msgspec.json.Encoder().encode
decoded_weights: Final = msgspec.json.Decoder(Weights).decode


class Lessons:
    """`weights` gives the newest version; `turn` learns when somebody has asked for it."""

    def __init__(self, database: Database, pace: Pace) -> None:
        self._database = database
        self._pace = pace
        self._held: tuple[int, Weights] = (0, SHIPPED)
        self._read_at = self._counted_at = float("-inf")

    async def weights(self) -> tuple[int, Weights]:
        """Version and weights, for as many customers as there are; 0 for what ships.

        Among fewer than the shipped weights speak of, a namesake would prove more than he does a year later.
        """
        now = time.monotonic()
        if now - self._read_at > _FRESH_SECONDS:
            async with self._database.connection() as connection:
                version, weights = self._held
                newest = await lesson_store.newest_version(connection)
                if newest != version:
                    row = await lesson_store.weights(connection, newest)
                    version, weights = newest, decoded_weights(row["body"]) if row is not None else SHIPPED
                    self._counted_at = float("-inf")
                if now - self._counted_at > _COUNT_SECONDS:
                    records = await store.customers_about(connection)
                    weights, self._counted_at = weights.among(max(records, SHIPPED.records)), now
            self._held, self._read_at = (version, weights), now
        return self._held

    async def turn(self) -> float:
        """Learn if somebody asks for it; a job whose turn failed is taken again when its lease is over."""
        return 0.0 if await self._learn() else _IDLE_SECONDS

    async def _learn(self) -> bool:
        async with self._database.transaction() as tx:
            job = await lesson_store.claim(tx, KIND, _LEASE_SECONDS)
        if job is None:
            return False
        sample = await self._sample(job["job"])
        async with self._database.connection() as connection:
            records = max(len(sample), await store.customers_about(connection))
        asked = dict(islice(sample.items(), _ASKED_MAX))
        candidates = await self._candidates(asked)
        strangers = await self._compared(list(sample.values()))
        weights = await asyncio.to_thread(
            learn,
            candidates,
            strangers,
            pairs=len(asked) * max(1, records - 1),
            records=records,
            values=value_counts(list(sample.values())),
        )
        async with self._database.transaction() as tx:
            version = await lesson_store.add_weights(tx, _encode(weights), clock.now())
            await lesson_store.end(tx, job["job"], clock.now(), version)
        return True

    async def _sample(self, job: int) -> dict[str, Portrait]:
        """Ids follow from events by a hash, so any stretch of them is a fair sample; each job takes another one."""
        start = place = str(clock.derived_id("sample", job, clock.new_id()))
        sample: dict[str, Portrait] = {}
        around = False
        while len(sample) < _SAMPLE_MAX:
            async with self._database.connection() as connection:
                rows = await store.portraits_after(connection, place, _PAGE)
            fresh = {row["record_id"]: decoded(row["body"]).portrait for row in rows}
            sample |= {record: portrait for record, portrait in fresh.items() if not around or record <= start}
            if rows and not (around and rows[-1]["record_id"] > start):
                place = rows[-1]["record_id"]
            elif around:
                break
            else:
                place, around = "00000000-0000-0000-0000-000000000000", True
        return dict(islice(sample.items(), _SAMPLE_MAX))

    async def _candidates(self, asked: Mapping[str, Portrait]) -> Counter[Pattern]:
        """Patterns of pairs that share a key: each record of the sample with whomever it meets."""
        found: Counter[Pattern] = Counter()
        for some in _handfuls(list(asked)):
            began = time.perf_counter()
            async with self._database.connection() as connection:
                met = await meet(connection, {record: asked[record] for record in some})
                others = {each for candidates in met.candidates.values() for each in candidates}
                bodies = await store.bodies(connection, others)
            known = {record: decoded(body).portrait for record, body in bodies.items()}
            for record, candidates in met.candidates.items():
                found.update(compare(asked[record], known[each]) for each in candidates if each in known)
                await asyncio.sleep(0)
            await self._rest(began)
        return found

    async def _compared(self, portraits: Sequence[Portrait]) -> Counter[Pattern]:
        """Patterns of pairs that have nothing to do with one another."""
        found: Counter[Pattern] = Counter()
        pairs = strangers_among(len(portraits))
        while some := list(islice(pairs, 500)):
            began = time.perf_counter()
            found.update(compare(portraits[one], portraits[other]) for one, other in some)
            await self._rest(began)
        return found

    async def _rest(self, began: float) -> None:
        await asyncio.sleep(self._pace.rest_seconds(time.perf_counter() - began))


def _handfuls(records: Sequence[str]) -> Iterator[Sequence[str]]:
    return (records[at : at + _AT_ONCE] for at in range(0, len(records), _AT_ONCE))
