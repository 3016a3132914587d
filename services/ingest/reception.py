"""What do all doors have in common? Whose key it is, the body, the terms, and Kafka's word that it is stored."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Final, NamedTuple, ParamSpec

from starlette.types import Receive

from libs.common import clock
from libs.common.errors import BrokerAway, StoreAway, Unauthenticated
from libs.common.kafka import Publisher
from services.ingest.deadlines import Deadlines
from services.ingest.intake import Outcome, Rejected, Terms
from services.ingest.keys import WriteKey
from services.ingest.meters import Meters
from services.ingest.reading import discard, read_body
from services.ingest.records import records_of
from services.ingest.refusals import TooSlow
from services.ingest.registry import Registry

# Below this a body is examined at once; above it, on another thread, so that it holds up nobody.
BODY_BYTES_AT_ONCE: Final = 128 * 1024

P = ParamSpec("P")


class ReceptionLimits(NamedTuple):
    """What the settings say of the doors."""

    partitions: int
    live_age_max: timedelta
    live_ahead_max: timedelta
    body_seconds_max: float
    publish_seconds_max: float


class Reception:
    def __init__(
        self,
        *,
        registry: Registry,
        publisher: Publisher,
        meters: Meters,
        deadlines: Deadlines,
        limits: ReceptionLimits,
    ) -> None:
        self.registry = registry
        self.meters = meters
        self._publisher = publisher
        self._deadlines = deadlines
        self._limits = limits
        # Whether Kafka took what it was last given.
        self.acknowledged = True

    def key_of(self, header: bytes) -> WriteKey:
        """The key that a header carries, as `keys.secret_in` reads it; Unauthenticated without one of ours."""
        if not header:
            raise Unauthenticated("Send the channel's write key: 'Authorization: Bearer <key>', or X-Write-Key.")
        key = self.registry.holder_of(header)
        if key is None and not self.registry.loaded:
            raise StoreAway("the keys have not been read yet")
        if key is None:
            raise Unauthenticated("The write key is not known here, or it was revoked.")
        return key

    async def read(self, receive: Receive, encoding: bytes) -> bytes:
        """The body, inflated, within its time; Refused past a limit."""
        try:
            body = await self._deadlines.bounded(read_body(receive, encoding), self._limits.body_seconds_max)
        except TimeoutError:
            raise TooSlow(f"The body did not arrive within {self._limits.body_seconds_max:g} s.") from None
        self.meters.read_bytes += len(body)
        return body

    async def discard(self, receive: Receive) -> None:
        await self._deadlines.bounded(discard(receive), self._limits.body_seconds_max)

    def terms(self, key: WriteKey, door: str = "events") -> Terms:
        """On which terms this request is examined; `door` is kept with what is refused."""
        now, limits = clock.now(), self._limits
        return Terms(key, self.registry.kinds, now, now - limits.live_age_max, now + limits.live_ahead_max, door)

    async def examine(self, size: int, work: Callable[P, Outcome], /, *arguments: P.args, **named: P.kwargs) -> Outcome:
        """`work` on a body of `size` bytes: small ones at once, large ones where they hold up nobody."""
        if size <= BODY_BYTES_AT_ONCE:
            return work(*arguments, **named)
        return await asyncio.to_thread(work, *arguments, **named)

    async def take(self, outcome: Outcome, terms: Terms) -> None:
        """Returns when Kafka has everything. What is refused is kept as far as that is possible now."""
        channel = terms.key.channel
        good = 0
        for verdict in outcome.verdicts:
            if isinstance(verdict, Rejected):
                self.meters.rejected(channel, verdict.reason)
            else:
                good += 1
        try:
            records = records_of(outcome, terms, self._limits.partitions)
            await self._deadlines.bounded(self._publisher.publish(records), self._limits.publish_seconds_max)
            self.acknowledged = True
        except (BrokerAway, TimeoutError):
            self.acknowledged = False
            self.meters.unkept(len(outcome.verdicts) - good)
            if good:
                self.meters.failed(channel, good)
                raise
        if good:
            self.meters.accepted[channel] += good
