"""How do messages leave, at a pace of their own? One sender per channel, so that a provider that hangs holds up itself.

claim   due rows become SUBMITTING, committed before the call
call    outside any transaction, each within its time
record  answers, as many as there are, in one transaction
sweep   leases of calls that are out are renewed; what a dead sender was handing over is judged by policy
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from msgspec.structs import replace

from libs.common import clock, logs
from libs.common.crashpoints import CrashPoints
from libs.common.db import Database, Tx
from libs.common.events import ResponseReceived
from libs.common.metrics import Metrics
from services.notify import delivery, reactions, reporting
from services.notify.claiming import Claimer, Ready
from services.notify.delivery import Accepted, Answer, InDoubt, Rejected, RetryLater
from services.notify.providers.port import Ambiguous, Provider
from services.notify.recording import Change, record
from services.notify.store import customers, ledger
from services.notify.store.ledger import Entry

POLL_SECONDS = 0.2
SWEEP_SECONDS = 1.0
CLAIM_MAX = 100
TROUBLE_SECONDS_MAX = 5.0
STOP_SECONDS_MAX = 3.0
LEASE_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Limits:
    """`calls_max` calls are out at once; each ends within `call_seconds_max`."""

    calls_max: int
    call_seconds_max: float


class Sender:
    """Hands over what is planned on one channel; several may run side by side, in any number of processes."""

    def __init__(
        self,
        channel: str,
        instance: str,
        database: Database,
        provider: Provider,
        claimer: Claimer,
        limits: Limits,
        metrics: Metrics,
        crash: CrashPoints,
    ) -> None:
        self.channel = channel
        self._instance = instance
        self._database = database
        self._provider = provider
        self._claimer = claimer
        self._limits = limits
        self._crash = crash
        self._calls: dict[str, asyncio.Task[None]] = {}
        self._answers: list[tuple[Ready, str, Answer]] = []
        self._answered = asyncio.Event()
        self._wake = asyncio.Event()
        self._stopping = False
        self._resume_at = 0.0
        self._refusals = 0
        self._next_sweep = 0.0
        self._claims = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._log = logs.get("sender").bind(channel=channel)
        self._sends = metrics.counter("sends_total", "Answers of providers.", ["channel", "status"])
        self._seconds = metrics.histogram("send_seconds", "Time a provider takes.", ["channel"]).labels(channel)
        self._way = metrics.histogram(
            "handover_seconds", "From the event that caused it to the provider's answer.", ["channel"]
        ).labels(channel)
        self._out = metrics.gauge("calls_requests", "Calls that are out.", ["channel"]).labels(channel)

    async def start(self) -> None:
        await self._provider.start()
        self._tasks = [
            asyncio.create_task(self._survive(self._turn), name=f"send.{self.channel}"),
            asyncio.create_task(self._survive(self._record), name=f"record.{self.channel}"),
        ]

    async def stop(self) -> None:
        """Claim no more, let calls end for a while, write down what they came to."""
        self._stopping = True
        self.wake()
        await self._tasks[0]
        if self._calls:
            _, late = await asyncio.wait(list(self._calls.values()), timeout=STOP_SECONDS_MAX)
            for call in late:
                call.cancel()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_SECONDS_MAX / 2):
                while self._calls or self._answers:
                    await asyncio.sleep(0.01)
        self._tasks[1].cancel()
        await asyncio.gather(self._tasks[1], return_exceptions=True)
        await self._provider.stop()

    def wake(self) -> None:
        self._wake.set()

    async def _survive(self, work: object) -> None:
        assert callable(work)
        delay_seconds = 0.1
        recording = work == self._record
        while recording or not self._stopping:
            try:
                await work()
                delay_seconds = 0.1
            except Exception as error:  # noqa: BLE001 - a sender outlives whatever one round of it meets.
                self._log.warning("sender_waits", error=f"{type(error).__name__}: {error}")
                await self._pause(delay_seconds)
                delay_seconds = min(TROUBLE_SECONDS_MAX, delay_seconds * 2)

    async def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self._stopping:
            await asyncio.sleep(min(0.1, seconds))

    # --- claiming ----------------------------------------------------------------------------------------------

    async def _turn(self) -> None:
        self._wake.clear()
        if time.monotonic() >= self._next_sweep:
            await self._sweep()
            self._next_sweep = time.monotonic() + SWEEP_SECONDS
        while not self._stopping and time.monotonic() >= self._resume_at and self._has_room():
            looked_at, wanted = await self._claim()
            if looked_at < wanted:
                break
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(POLL_SECONDS):
                await self._wake.wait()

    def _has_room(self) -> bool:
        """A few free places are not worth a transaction while others are about to become free."""
        free = self._limits.calls_max - len(self._calls)
        return free > 0 and (not self._calls or free * 4 >= self._limits.calls_max)

    async def _claim(self) -> tuple[int, int]:
        wanted = min(CLAIM_MAX, self._limits.calls_max - len(self._calls))
        self._claims += 1
        owner = f"{self._instance}/{self.channel}/{self._claims}"
        lease_ends = time.monotonic() + LEASE_SECONDS
        async with self._database.transaction() as tx:
            looked_at, ready = await self._claimer.claim(tx, owner, LEASE_SECONDS, clock.now(), wanted)
        if ready:
            self._crash.reach("after_claim")
        for each in ready:
            self._calls[each.outgoing.message_id] = asyncio.create_task(self._call(each, owner, lease_ends))
        self._out.set(len(self._calls))
        return looked_at, wanted

    # --- calling -----------------------------------------------------------------------------------------------

    async def _call(self, ready: Ready, owner: str, lease_ends: float) -> None:
        began = time.monotonic()
        answer: Answer
        try:
            if began > lease_ends:
                # This process stood still: somebody else may be judging the message by now.
                answer = RetryLater("the lease ran out before the call")
            else:
                async with asyncio.timeout(self._limits.call_seconds_max):
                    answer = await self._provider.send(ready.outgoing, clock.now())
                self._crash.reach("after_send")
        except Ambiguous as error:
            answer = InDoubt(str(error))
        except TimeoutError:
            answer = InDoubt("no answer in time")
        except asyncio.CancelledError:
            answer = InDoubt("the process was stopped during the call")
        except Exception as error:  # noqa: BLE001 - a fault of a provider's code leaves open what it did.
            self._log.error("provider_failed", provider=self._provider.name, exc_info=error)
            answer = InDoubt(type(error).__name__)
        self._seconds.observe(time.monotonic() - began)
        self._heed(answer)
        self._answers.append((ready, owner, answer))
        self._answered.set()
        if isinstance(answer, Accepted) and ready.taken.entry.received_ms:
            self._way.observe(max(0.0, (clock.now_ms() - ready.taken.entry.received_ms) / 1_000))

    def _heed(self, answer: Answer) -> None:
        """A provider that turns everybody away is left alone for a while, by this sender."""
        self._sends.labels(self.channel, type(answer).__name__.lower()).inc()
        if not isinstance(answer, RetryLater):
            self._refusals = 0
        elif answer.everybody:
            self._refusals += 1
            own = 0.1 * 2.0 ** min(self._refusals, 8)
            pause_seconds = min(TROUBLE_SECONDS_MAX, max(own, answer.after_seconds or 0.0))
            self._resume_at = max(self._resume_at, time.monotonic() + pause_seconds)

    # --- recording ---------------------------------------------------------------------------------------------

    async def _record(self) -> None:
        await self._answered.wait()
        self._answered.clear()
        answers = list(self._answers)
        by_id: dict[str, list[tuple[str, Answer]]] = {}
        for ready, owner, answer in answers:
            by_id.setdefault(ready.outgoing.message_id, []).append((owner, answer))
        try:
            async with self._database.transaction() as tx:
                now = clock.now()
                entries = await ledger.lock(tx, by_id)
                changes = [Change(each, self._judged(each, by_id[each.message_id], now)) for each in entries]
                await record(tx, now, changes, await self._dead_addresses(tx, changes, by_id, now))
        except BaseException:
            # Nothing is forgotten: the same answers are written with the next try.
            self._answered.set()
            raise
        del self._answers[: len(answers)]
        for message_id in by_id:
            self._calls.pop(message_id, None)
        self._out.set(len(self._calls))
        self.wake()

    def _judged(self, entry: Entry, answers: list[tuple[str, Answer]], now: datetime) -> Entry:
        for owner, answer in answers:
            # Only an acceptance counts from somebody whose lease is over: it is true whatever was concluded meanwhile.
            if entry.lease_owner == owner or isinstance(answer, Accepted):
                standing = delivery.after_answer(entry.standing, answer, now, self._provider.key_seconds)
                ref = answer.ref if isinstance(answer, Accepted) else entry.provider_ref
                entry = replace(entry, standing=standing, provider_ref=ref)
        return entry

    async def _dead_addresses(
        self, tx: Tx, changes: list[Change], answers: dict[str, list[tuple[str, Answer]]], now: datetime
    ) -> list[tuple[int, ResponseReceived]]:
        """An address that was refused for good is a hard bounce, as if a notice had come later."""
        found = []
        for _, after in changes:
            dead = [each for _, each in answers[after.message_id] if isinstance(each, Rejected) and each.permanent]
            if dead and after.standing.state == "REJECTED":
                await customers.suppress(tx, after.unit, after.message_id, reactions.suppression(after, "bounced", now))
                data = {"code": dead[0].code, "hard": True}
                found.append((after.unit, reporting.response(after, "message.bounced", "", now, data)))
        return found

    async def _sweep(self) -> None:
        """Renew what is ours, and judge what was abandoned between SUBMITTING and its record."""
        async with self._database.transaction() as tx:
            await ledger.renew(tx, f"{self._instance}/", LEASE_SECONDS, list(self._calls))
            entries = await ledger.abandoned(tx, self.channel, CLAIM_MAX)
            if not entries:
                return
            now, doubt = clock.now(), InDoubt("its sender died during the call")
            key_seconds = self._provider.key_seconds
            changes = [
                Change(each, replace(each, standing=delivery.after_answer(each.standing, doubt, now, key_seconds)))
                for each in entries
            ]
            await record(tx, now, changes)
        self._log.warning("abandoned_messages_judged", count=len(entries))


class Senders:
    """All channels of a process; they stop at the same time, so that a provider that hangs costs its time once."""

    def __init__(self, senders: Sequence[Sender]) -> None:
        self._by_channel = {sender.channel: sender for sender in senders}

    async def start(self) -> None:
        for sender in self._by_channel.values():
            await sender.start()

    async def stop(self) -> None:
        await asyncio.gather(*(sender.stop() for sender in self._by_channel.values()))

    def wake(self, channels: Iterable[str]) -> None:
        for channel in channels:
            self._by_channel[channel].wake()
