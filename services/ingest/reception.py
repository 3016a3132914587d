"""What do all doors have in common? Whose key it is, the body, the terms, and Kafka's word that it is stored."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from types import MappingProxyType
from typing import Final, NamedTuple, ParamSpec

from msgspec import structs
from starlette.types import Receive

from libs.common import clock
from libs.common.errors import BrokerAway, Forbidden, StoreAway, Unauthenticated
from libs.common.kafka import Publisher
from services.ingest.deadlines import Deadlines
from services.ingest.doors.visit import Head
from services.ingest.intake import Outcome, Rejected, Terms
from services.ingest.keys import proof
from services.ingest.keys.book import Holding, WriteKey
from services.ingest.meters import Meters
from services.ingest.reading import discard, read_body
from services.ingest.records import records_of
from services.ingest.refusals import TooFast, TooSlow
from services.ingest.registry import Registry
from services.ingest.schemas.violations import Recorder
from services.ingest.traffic import TEST, Traffic

# Below this a body is examined at once; above it, on another thread, so that it holds up nobody.
BODY_BYTES_AT_ONCE: Final = 128 * 1024
LARGE_AT_ONCE: Final = 4
NO_CONTEXT: Final[Mapping[str, str]] = MappingProxyType({})
NO_HEAD: Final = Head()

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
        traffic: Traffic | None = None,
        recorder: Recorder | None = None,
    ) -> None:
        self.registry = registry
        self.meters = meters
        self.traffic = traffic or Traffic()
        self._recorder = recorder
        self._publisher = publisher
        self._deadlines = deadlines
        self._limits = limits
        # One at a time: a second thread would make nothing faster, and each of these bodies becomes many objects.
        self._aside = ThreadPoolExecutor(1, "examination")
        self._large = asyncio.Semaphore(LARGE_AT_ONCE)
        # Whether Kafka took what it was last given.
        self.acknowledged = True

    def key_of(self, header: bytes, origin: bytes = b"") -> WriteKey:
        """The key that a header carries, as `keys.secret_in` reads it, for a page of `origin` if a browser names one.

        Unauthenticated without one of ours that holds now, Forbidden from a page that may not use it, TooFast while it
        has used up its share.
        """
        if not header:
            raise Unauthenticated("Send the channel's write key: 'Authorization: Bearer <key>', or X-Write-Key.")
        holding = self.registry.holding_of(header)
        if holding is None:
            if not self.registry.loaded:
                raise StoreAway("the keys have not been read yet")
            raise Unauthenticated("The write key is not known here, or it was revoked.")
        if holding.is_guarded:
            self._guard(holding, origin)
        return holding.key

    def _guard(self, holding: Holding, origin: bytes) -> None:
        key = holding.key
        if holding.expires_at is not None and holding.expires_at <= clock.now():
            raise Unauthenticated("The write key has expired; ask for a new one.")
        if origin and key.is_browser and not key.may_be_used_from(origin):
            allowed = ", ".join(key.scope.origins)
            raise Forbidden(f"This key may not be used on pages of this origin; its origins are {allowed}.")
        if key.pace is not None and (wait := key.pace.wait_seconds(time.monotonic())) > 0:
            self.meters.limited(key.key_id)
            rate = f"{key.scope.events_per_second:g} events a second"
            raise TooFast(f"This key may send {rate}; send the same again later.", math.ceil(wait))

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

    def terms(
        self, key: WriteKey, door: str = "events", context: Mapping[str, str] = NO_CONTEXT, head: Head = NO_HEAD
    ) -> Terms:
        """On which terms this request is examined; `door` and `context` are kept with what is refused.

        Unauthenticated when the head of a browser's request carries an identity token that proves nothing.
        """
        now, limits = clock.now(), self._limits
        oldest, newest = now - limits.live_age_max, now + limits.live_ahead_max
        terms = Terms(key, self.registry.kinds, now, oldest, newest, door, context)
        if not (key.is_web or head.test):
            return terms
        traffic = TEST if head.test else self.traffic.kind_of(head.user_agent, browser=key.is_browser)
        proven = proof.proven(key, head.identity_token, now) if key.is_browser and head.identity_token else NO_CONTEXT
        return structs.replace(terms, proven=proven, traffic=traffic)

    async def examine(self, size: int, work: Callable[P, Outcome], /, *arguments: P.args, **named: P.kwargs) -> Outcome:
        """`work` on a body of `size` bytes: small ones at once, large ones where they hold up nobody."""
        if size <= BODY_BYTES_AT_ONCE:
            return work(*arguments, **named)
        return await asyncio.get_running_loop().run_in_executor(self._aside, lambda: work(*arguments, **named))

    async def take(self, outcome: Outcome, terms: Terms, *, live: bool = True) -> None:
        """Returns when Kafka has everything. What is refused is kept as far as that is possible now.

        What is not `live` was sent before and is brought in again by its owner: it does not count for the key's pace.
        """
        channel = terms.key.channel
        if live and terms.key.pace is not None:
            terms.key.pace.charge(len(outcome.verdicts), time.monotonic())
        good = 0
        noteworthy = False
        for verdict in outcome.verdicts:
            if isinstance(verdict, Rejected):
                self.meters.rejected(channel, verdict.reason)
                noteworthy = True
            else:
                good += 1
                noteworthy |= bool(verdict.violations)
                if verdict.traffic:
                    self.meters.flagged[verdict.traffic] += 1
        try:
            await self._publish(outcome, terms)
            self.acknowledged = True
        except (BrokerAway, TimeoutError):
            self.acknowledged = False
            if live and terms.key.pace is not None:
                # What was not taken comes again, and would be paid for twice.
                terms.key.pace.charge(-len(outcome.verdicts), time.monotonic())
            self.meters.unkept(len(outcome.verdicts) - good)
            if good:
                self.meters.failed(channel, good)
                raise
        if good:
            self.meters.accepted[channel] += good
        if noteworthy and self._recorder is not None:
            self._recorder.note(outcome, terms)

    async def _publish(self, outcome: Outcome, terms: Terms) -> None:
        """Large requests go a few at a time: on its way into Kafka each is held three times over."""
        seconds_max = self._limits.publish_seconds_max
        if _size_of(outcome) <= BODY_BYTES_AT_ONCE:
            await self._publisher.publish(records_of(outcome, terms, self._limits.partitions), seconds_max)
            return
        async with asyncio.timeout(seconds_max / 2):
            await self._large.acquire()
        try:
            await self._publisher.publish(records_of(outcome, terms, self._limits.partitions), seconds_max)
        finally:
            self._large.release()


def _size_of(outcome: Outcome) -> int:
    return sum(len(each.body) if isinstance(each, Rejected) else len(each.value) for each in outcome.verdicts)
