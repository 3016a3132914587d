"""What does a unit do so that new rules learn of the past? It asks, hears what comes in meanwhile, and takes over."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import Mapping, Sequence, Set
from datetime import timedelta
from typing import Any, NamedTuple

import msgspec

from libs.common import clock, logs, timers
from libs.common.documents.reading import load_snapshot
from libs.common.documents.shapes import ActiveDocument
from libs.common.events import ERASED, EventResolved
from libs.common.timers import Timer
from libs.common.topics import EVENT_RESOLVED
from libs.common.unit import Message, UnitTx
from services.rules.engine import absorbing, state
from services.rules.engine.absorbing import Heard, Voice, Way
from services.rules.engine.compiled import SEGMENT
from services.rules.engine.firing import Effects
from services.rules.engine.snapshot import Snapshot, compile_snapshot
from services.rules.engine.state import FORM, State
from services.rules.warming import needs, sources, store
from services.rules.warming.store import Open

TIMER_KEY = "/warming"
"""No timer of a rule begins like that."""
CUSTOMERS_AT_ONCE = 500
HEARD_AT_ONCE = 5_000
WORK_SECONDS_MAX = 0.3
"""Of one transaction: while it lasts, nothing that comes in is handled."""
BREATH_SECONDS = 0.05
"""Units share a loop: each waits for all others before it asks its server again."""
_HEARD_IN_A_BREATH = 100
_OPEN = "warming"
_SNAPSHOTS_KEPT = 3
_event = msgspec.json.Decoder(EventResolved)


class Pace:
    """Of a transaction that is busy: it is kept alive, and ends in time."""

    def __init__(self) -> None:
        self._breathed = time.monotonic()
        self._until = self._breathed + WORK_SECONDS_MAX

    @property
    def enough(self) -> bool:
        return time.monotonic() > self._until

    async def breathe(self, tx: UnitTx) -> None:
        if time.monotonic() - self._breathed > BREATH_SECONDS:
            await store.breathe(tx)
            self._breathed = time.monotonic()


class Taken(NamedTuple):
    """Some customers of whom the past has told: their states then, and what was heard of them since.

    `told` are the ids of all that these rules are known to have fired for them, `gauges` what `absorbing.gauges_of`
    says. Once `pace` has enough no other customer is begun with.
    """

    rules: Mapping[str, needs.Wanted]
    silent: Snapshot
    states: Mapping[str, State]
    heard: Mapping[str, Sequence[Heard]]
    told: Set[str]
    gauges: Mapping[int, int]
    pace: Pace


class Warming:
    """The units' side. What it keeps of one lives in the unit's own cache; documents are shared by the process."""

    def __init__(self, company_zone: str, grace_seconds: float, kind: str = "rule") -> None:
        self._company_zone = company_zone
        self._grace = timedelta(seconds=grace_seconds)
        self._grace_ms = round(grace_seconds * 1000)
        self._kind = kind
        self._documents: dict[int, list[ActiveDocument]] = {0: []}
        self._silent: dict[tuple[object, ...], Snapshot] = {}
        self._memo: needs.Known = {}
        self._answer: tuple[object, list[needs.Wanted]] = None, []

    async def follow(self, tx: UnitTx, before: int, now: int, live: Snapshot) -> None:
        """The unit goes on with another snapshot: ask about what is new in it, and forget what is not wanted."""
        open_ = await self._open(tx, live)
        over = [each for each in open_ if not any(_is_live(live, rule) for rule in each.rules)]
        unready = frozenset(rule.id for each in open_ for rule in each.rules)
        met = await store.segments_met(tx, tx.unit)
        wanted = await self._wanted(tx, before, now, unready)
        await self._ask(tx, [*wanted, *await self._wanted_segments(tx, met, live)])
        if over:
            await store.settle(tx, tx.unit, [each.number for each in over], "cancelled", tx.now)
            await self._forget_needless(tx)
        await self._look_again(tx)

    async def hear(self, tx: UnitTx, live: Snapshot, batch: Sequence[Message[EventResolved]]) -> None:
        """Remember what comes in while a question is open; nothing otherwise."""
        if not await self._open(tx, live):
            return
        position, clock_ms = tx.positions.get(EVENT_RESOLVED.name, 0), clock.to_ms(tx.clock)
        erased = {each.event.customer_id for each in batch if each.event.type == ERASED}
        heard = [store.Heard(customer_id, b"", position, clock_ms) for customer_id in sorted(erased)]
        heard += [
            store.Heard(each.event.customer_id, each.value, position, clock_ms)
            for each in batch
            if not each.event.everyone and each.event.customer_id not in erased
        ]
        if heard:
            await store.hear(tx, tx.unit, heard)

    async def take(self, tx: UnitTx, live: Snapshot) -> Taken | None:
        """The next customers to be taken over; None when there are none, or none any more.

        What is due comes first: with the wait a timer would be taken away that is about to fire.
        """
        await self._open(tx, live)
        if await store.ask_anew(tx, tx.unit, tx.positions.get(EVENT_RESOLVED.name, 0)):
            await self._forget_needless(tx)
        open_ = await self._look_again(tx)
        answered = [each for each in open_ if each.state == "read"]
        if not answered:
            return None
        if await timers.is_due(tx, tx.worker, tx.unit, tx.clock - self._grace):
            await tx.set_timers([Timer(TIMER_KEY, tx.now, gated=False)])
            return None
        rows = await store.first(tx, tx.unit, CUSTOMERS_AT_ONCE, HEARD_AT_ONCE)
        if not rows:
            await self._settle(tx, answered)
            return None
        await tx.set_timers([Timer(TIMER_KEY, tx.now, gated=False)])
        return await self._taken(tx, live, open_, answered, rows)

    async def _taken(
        self, tx: UnitTx, live: Snapshot, open_: Sequence[Open], answered: Sequence[Open], rows: list[tuple[str, bytes]]
    ) -> Taken:
        wanted = [rule for each in answered for rule in each.rules if _is_live(live, rule)]
        heard, gone = defaultdict[str, list[Heard]](list), set[str]()
        after = min(each.position for each in answered)
        for each in await store.heard(tx, tx.unit, [id for id, _ in rows], after):
            # Of whoever was erased the past may tell nothing.
            if each.body:
                heard[each.customer_id].append(Heard(each.clock_ms, _event.decode(each.body)))
            else:
                gone.add(each.customer_id)
        await store.take(tx, tx.unit, gone)
        silent = await self._compiled(tx, wanted)
        states = {id: state.decode(body) for id, body in rows if id not in gone}
        told = await store.told(tx, states, [rule.id for rule in wanted])
        unready = {rule.id for each in open_ for rule in each.rules}
        gauges = absorbing.gauges_of(silent, live, {rule.id for rule in wanted}, unready)
        return Taken({rule.id: rule for rule in wanted}, silent, states, heard, told, gauges, Pace())

    async def took(self, tx: UnitTx, customer_ids: Sequence[str]) -> None:
        """With these the unit is through."""
        await store.take(tx, tx.unit, customer_ids)

    async def absorb(
        self, tx: UnitTx, live: Snapshot, taken: Taken, own: State, others: Sequence[State], out: Effects
    ) -> None:
        """However much was heard of somebody: the transaction is kept alive."""
        earlier = taken.states[own.customer_id]
        heard = taken.heard.get(own.customer_id, ())
        # What comes due on the way is held to the limits by all that fired live.
        earlier.memories = own.memories
        voice = Voice(live, {id: rule.since_ms for id, rule in taken.rules.items()}, taken.told, out)
        way = Way(taken.silent, earlier, others, clock.to_ms(tx.clock), self._grace_ms, voice)
        for at in range(0, len(heard), _HEARD_IN_A_BREATH):
            way.hear(heard[at : at + _HEARD_IN_A_BREATH])
            await taken.pace.breathe(tx)
        way.arrive()
        await taken.pace.breathe(tx)
        absorbing.absorb(own, earlier, live, {id: rule.is_new for id, rule in taken.rules.items()}, taken.gauges, out)

    async def forget(self, tx: UnitTx, live: Snapshot, customer_ids: Sequence[str]) -> None:
        """Whoever is erased: what the past left of them, and what was heard."""
        if await self._open(tx, live):
            await store.forget(tx, tx.unit, customer_ids)

    async def _settle(self, tx: UnitTx, answered: Sequence[Open]) -> None:
        await store.settle(tx, tx.unit, [each.number for each in answered], "ready", tx.now)
        logs.get("warming").info("warming_ready", unit=tx.unit, rules=sum(len(each.rules) for each in answered))
        await self._forget_needless(tx)

    async def _look_again(self, tx: UnitTx) -> list[Open]:
        open_ = tx.cache[_OPEN] = await store.open_questions(tx, tx.unit)
        return open_

    async def _forget_needless(self, tx: UnitTx) -> None:
        """What was heard, and what the past left, for questions that are settled or were put anew."""
        open_ = await self._look_again(tx)
        await store.forget_heard(tx, tx.unit, min((each.position for each in open_), default=None))
        if not open_:
            await store.drop_warmed(tx, [tx.unit])

    async def _open(self, tx: UnitTx, live: Snapshot) -> list[Open]:
        found: list[Open] | None = tx.cache.get(_OPEN)
        if found is None and await store.change_form(tx, tx.unit, FORM):
            wanted = await self._wanted(tx, 0, tx.snapshot, frozenset())
            await self._ask(tx, [*wanted, *await self._wanted_segments(tx, {}, live)])
        return await self._look_again(tx) if found is None else found

    async def _wanted_segments(self, tx: UnitTx, met: Mapping[str, int], live: Snapshot) -> list[needs.Wanted]:
        """Those that are not among the `met` ones; from now on they are, as of the unit's position."""
        if (now := needs.segments_of(live)) != met:
            await store.meet_segments(tx, tx.unit, now)
        return needs.wanted_segments(met, live)

    async def _ask(self, tx: UnitTx, wanted: Sequence[needs.Wanted]) -> None:
        position = tx.positions.get(EVENT_RESOLVED.name, 0)
        # At the beginning of the log there is nothing to learn.
        if wanted and position:
            since_ms = clock.to_ms(tx.clock)
            asked = [msgspec.structs.replace(each, since_ms=since_ms) for each in wanted]
            await store.ask(tx, tx.unit, asked, position, tx.now)
            logs.get("warming").info("warming_asked", unit=tx.unit, rules=len(wanted), position=position)

    async def _wanted(self, tx: UnitTx, before: int, now: int, unready: frozenset[str]) -> list[needs.Wanted]:
        """Kept for the other units, and for the next attempt of one that took so long over it that it was cut off."""
        asked = (before, now, unready)
        if self._answer[0] != asked:
            documents = await self._at(tx, before), await self._at(tx, now)
            self._answer = asked, await asyncio.to_thread(needs.wanted, *documents, unready, self._memo)
        return self._answer[1]

    async def _at(self, tx: UnitTx, number: int) -> list[ActiveDocument]:
        """The documents that counted at a snapshot: all units of a process ask for the same ones."""
        found = self._documents.get(number)
        if found is None:
            _, found = await load_snapshot(tx, self._kind, at=number, with_paused=True)
            self._documents[number] = found
            while len(self._documents) > _SNAPSHOTS_KEPT:
                del self._documents[min(self._documents)]
        return found

    async def _compiled(self, tx: UnitTx, wanted: Sequence[needs.Wanted]) -> Snapshot:
        """These versions alone, as paused ones."""
        key = (tx.snapshot, *sorted(f"{each.id} {each.version}" for each in wanted))
        found = self._silent.get(key)
        if found is None:
            documents = await sources.load(tx, wanted)
            rules, segments = ([each.silent for each in part] for part in (documents.rules, documents.segments))
            found = await asyncio.to_thread(compile_snapshot, rules, self._company_zone, segments)
            self._silent = {key: found}
        return found


def _is_live(live: Snapshot, rule: needs.Wanted) -> bool:
    held: Any = live.rules.get(rule.id) or live.segments.get(rule.id.removeprefix(SEGMENT))
    return held is not None and held.version == rule.version
