"""How does a person get out of topics that do not forget by themselves? By tombstones, and a look whether it helped.

`profile.updated` is told by the owners of the records; here it is only read. Dead letters lie in topics of all services
and nobody but us knows what to look for in them, so we lay the tombstones there: each letter has a key of its own.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

from libs.common import clock
from libs.common.kafka import (
    Publisher,
    Record,
    calm_compaction,
    hurry_compaction,
    partition_counts,
    through,
)
from libs.common.topics import PROFILE_UPDATED, all_dead_letters, partition_of
from services.profile.privacy.trail import Trail, finder, union

ROUND_SECONDS: Final = 8.0
"""Between two looks: a broker's cleaner makes its rounds every fifteen seconds."""


class Sweeper:
    def __init__(self, bootstrap: str, prefix: str, publisher: Publisher, partitions: int) -> None:
        self._bootstrap = bootstrap
        self._prefix = prefix
        self._publisher = publisher
        self._partitions = partitions
        self._next = 0.0
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

    async def sweep(self, trails: Sequence[Trail]) -> list[dict[str, int]]:
        """For each of these people, what was found in which topic; tombstones lie on all of it afterwards."""
        self._next = time.monotonic() + ROUND_SECONDS
        await self.hurry()
        found = [Counter[str]() for _ in trails]
        await self._look_for_profiles(trails, found)
        existing = await partition_counts(self._bootstrap, self._prefix, all_dead_letters())
        tests = [finder(trail) for trail in trails]
        whole = finder(union(trails))
        for name in sorted(existing):
            await self._erase_letters(name, existing[name], whole, tests, found)
        return [dict(counts) for counts in found]

    async def _look_for_profiles(self, trails: Sequence[Trail], found: Sequence[Counter[str]]) -> None:
        owners = {record.encode(): at for at, trail in enumerate(trails) for record in trail.records}
        partitions = {partition_of(record, self._partitions) for record in owners}
        where = f"topic {PROFILE_UPDATED.name}"
        if not partitions:
            return
        messages = through(self._bootstrap, prefix=self._prefix, name=PROFILE_UPDATED.name, partitions=partitions)
        async for _, message in messages:
            if message.key in owners and message.value is not None:
                found[owners[message.key]][where] += 1

    async def _erase_letters(
        self,
        name: str,
        partitions: int,
        whole: Callable[[bytes], bool],
        tests: Sequence[Callable[[bytes], bool]],
        found: Sequence[Counter[str]],
    ) -> None:
        tombstones: list[Record] = []
        everywhere = range(partitions)
        async for partition, message in through(self._bootstrap, prefix=self._prefix, name=name, partitions=everywhere):
            if message.value is None or message.key is None:
                continue
            said = [message.value, *(value for header, value in message.headers if header in ("key", "reason"))]
            if not any(map(whole, said)):
                continue
            for at, test in enumerate(tests):
                if any(map(test, said)):
                    found[at][f"topic {name}"] += 1
            tombstones.append(Record(name, partition, message.key, None))
        await self._publisher.publish(tombstones)
