"""How does a person get out of topics that do not forget by themselves? By tombstones, and a look whether it helped.

`profile.updated` is told by the owners of the records; here it is only read. Dead letters lie in topics of all services
and nobody but us knows what to look for in them, so we lay the tombstones there: each letter has a key of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import datetime, timedelta
from typing import Final, NamedTuple

import msgspec

from libs.common import clock
from libs.common.kafka import (
    Publisher,
    Received,
    Record,
    calm_compaction,
    hurry_compaction,
    partition_counts,
    still_there,
    through,
)
from libs.common.topics import EVENT_REJECTED, PROFILE_UPDATED, all_dead_letters, partition_of
from libs.common.unit.burial import TOMBSTONE
from services.profile.privacy.trail import Trail, finder

ROUND_SECONDS: Final = 8.0
"""Between two looks: a broker's cleaner makes its rounds every fifteen seconds."""


class _Read(NamedTuple):
    """How far a topic has been read for a person, by partition, and where they were found in it, with the keys."""

    reached: dict[int, int]
    places: dict[tuple[int, int], bytes]


class _Rejected(msgspec.Struct):
    body: bytes = b""


class Sweeper:
    """Reads a topic once for each person; afterwards what is new, and whether what was found is still there."""

    def __init__(self, bootstrap: str, prefix: str, publisher: Publisher, partitions: int) -> None:
        self._bootstrap = bootstrap
        self._prefix = prefix
        self._publisher = publisher
        self._partitions = partitions
        self._next = 0.0
        self._looks: dict[str, dict[str, _Read]] = {}
        # Somebody who died may have left it so.
        self.may_be_hurried = True

    async def hurry(self) -> None:
        self.may_be_hurried = True
        await hurry_compaction(self._bootstrap, prefix=self._prefix, names=self._names)

    async def calm(self) -> None:
        await calm_compaction(self._bootstrap, prefix=self._prefix, names=self._names)
        self.may_be_hurried = False

    @property
    def _names(self) -> list[str]:
        return [PROFILE_UPDATED.name, *all_dead_letters()]

    def is_time(self, since: datetime) -> bool:
        """At once for what has just come, then once in a while."""
        return time.monotonic() >= self._next or clock.now() - since < timedelta(seconds=1)

    async def sweep(self, trails: Mapping[str, Trail]) -> dict[str, dict[str, int]]:
        """For each of these people, what was found in which topic; tombstones lie on all of it afterwards."""
        self._next = time.monotonic() + ROUND_SECONDS
        self._looks = {each: self._looks.get(each, {}) for each in trails}
        await self.hurry()
        await self._look_for_profiles(trails)
        existing = await partition_counts(self._bootstrap, self._prefix, all_dead_letters())
        whose = finder(trails)
        for name in sorted(existing):
            await self._erase_letters(name, dict.fromkeys(trails, range(existing[name])), whose)
        return {
            each: {f"topic {name}": len(read.places) for name, read in look.items() if read.places}
            for each, look in self._looks.items()
        }

    async def _look_for_profiles(self, trails: Mapping[str, Trail]) -> None:
        owners = {record.encode(): each for each, trail in trails.items() for record in trail.records}

        async def about(message: Received) -> Collection[str]:
            owner = owners.get(message.key or b"")
            return () if owner is None or message.value is None else (owner,)

        theirs = {
            each: {partition_of(record.encode(), self._partitions) for record in trail.records}
            for each, trail in trails.items()
        }
        self._keep(PROFILE_UPDATED.name, await self._search(PROFILE_UPDATED.name, theirs, about))

    async def _erase_letters(
        self, name: str, theirs: Mapping[str, Collection[int]], whose: Callable[[bytes], Collection[str]]
    ) -> None:
        async def about(message: Received) -> Collection[str]:
            # The leases of the workers live on the same loop: they have their turn after each letter.
            await asyncio.sleep(0)
            return {each for said in said_in(message) for each in whose(said)}

        reads = await self._search(name, theirs, about)
        letters = {place: key for read in reads.values() for place, key in read.places.items()}
        await self._publisher.publish([Record(name, partition, key, None) for (partition, _), key in letters.items()])
        # Not before: what was found and has no tombstone must be found again.
        self._keep(name, reads)

    async def _search(
        self, name: str, theirs: Mapping[str, Collection[int]], about: Callable[[Received], Awaitable[Collection[str]]]
    ) -> dict[str, _Read]:
        """What has become of what was found, and what has come since, in the partitions of each person."""
        before = {each: self._looks[each].get(name) or _Read({}, {}) for each in theirs}
        known = {place for read in before.values() for place in read.places}
        there = await still_there(self._bootstrap, prefix=self._prefix, name=name, places=known) if known else ()
        reads = {
            each: _Read(dict(reached), {place: key for place, key in places.items() if place in there})
            for each, (reached, places) in before.items()
        }
        since: dict[int, int] = {}
        for each, partitions in theirs.items():
            for partition in partitions:
                reached = reads[each].reached.get(partition, 0)
                since[partition] = min(reached, since.get(partition, reached))
        if not since:
            return reads
        ends = dict(since)
        messages = through(self._bootstrap, prefix=self._prefix, name=name, partitions=since, since=since)
        async for partition, message in messages:
            ends[partition] = message.offset + 1
            for each in await about(message):
                reads[each].places[partition, message.offset] = message.key or b""
        for each, partitions in theirs.items():
            reads[each].reached.update((partition, ends[partition]) for partition in partitions)
        return reads

    def _keep(self, name: str, reads: Mapping[str, _Read]) -> None:
        for each, read in reads.items():
            self._looks[each][name] = read


def said_in(letter: Received) -> list[bytes]:
    """Where a person may stand in a dead letter; nowhere in one that is erased."""
    if letter.value is None or letter.key is None:
        return []
    about = dict(letter.headers)
    if TOMBSTONE in about:
        # It says that somebody is to be erased, and must be there when it is tried again.
        return [about.get("reason", b"")]
    said = [letter.value, about.get("key", b""), about.get("reason", b"")]
    if about.get("topic") == EVENT_REJECTED.name.encode():
        with contextlib.suppress(msgspec.DecodeError):
            said.append(msgspec.json.decode(letter.value, type=_Rejected).body)
    return said
