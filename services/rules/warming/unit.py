"""What does a unit do so that new rules learn of the past? It asks, hears what comes in meanwhile, and takes over."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from libs.common import clock, logs
from libs.common.documents.reading import load_snapshot
from libs.common.documents.shapes import ActiveDocument
from libs.common.events import ERASED, EventResolved
from libs.common.timers import Timer
from libs.common.topics import EVENT_RESOLVED
from libs.common.unit import Message, UnitTx
from services.rules.engine import absorbing, state
from services.rules.engine.absorbing import Heard
from services.rules.engine.compiled import SEGMENT
from services.rules.engine.firing import Effects
from services.rules.engine.snapshot import Snapshot, compile_snapshot
from services.rules.engine.state import FORM, State
from services.rules.warming import needs, sources, store
from services.rules.warming.store import Open

TIMER_KEY = "/warming"
"""No timer of a rule begins like that."""
CUSTOMERS_AT_ONCE = 500
_OPEN = "warming"
_SNAPSHOTS_KEPT = 3
_event = msgspec.json.Decoder(EventResolved)


class Taken(NamedTuple):
    """Some customers of whom the past has told: their states then, and what was heard of them since."""

    rules: Mapping[str, bool]
    silent: Snapshot
    states: Mapping[str, State]
    heard: Mapping[str, Sequence[Heard]]


class Warming:
    """The units' side. What it keeps of one lives in the unit's own cache; documents are shared by the process."""

    def __init__(self, company_zone: str, grace_seconds: float, kind: str = "rule") -> None:
        self._company_zone = company_zone
        self._grace_ms = round(grace_seconds * 1000)
        self._kind = kind
        self._documents: dict[int, list[ActiveDocument]] = {0: []}
        self._silent: dict[tuple[object, ...], Snapshot] = {}
        self._memo: needs.Known = {}
        self._answer: tuple[object, list[needs.Wanted]] = None, []

    async def follow(self, tx: UnitTx, before: int, now: int, was: Snapshot | None, live: Snapshot) -> None:
        """The unit goes on with another snapshot: ask about what is new in it, and forget what is not wanted.

        `was` is the one before, where this process has had the unit with it.
        """
        open_ = await self._open(tx)
        over = [each for each in open_ if not any(_is_live(live, rule) for rule in each.rules)]
        await store.settle(tx, tx.unit, [each.number for each in over], "cancelled", tx.now)
        unready = frozenset(rule.id for each in open_ for rule in each.rules)
        segments = needs.wanted_segments(was, live)
        await self._ask(tx, [*await self._wanted(tx, before, now, unready), *segments])
        await self._look_again(tx)

    async def hear(self, tx: UnitTx, batch: Sequence[Message[EventResolved]]) -> None:
        """Remember what comes in while a question is open; nothing otherwise."""
        if not await self._open(tx):
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
        """The next customers to be taken over; None when there are none, or none any more."""
        await self._open(tx)
        answered = [each for each in await self._look_again(tx) if each.state == "read"]
        if not answered:
            return None
        rows = await store.take(tx, tx.unit, CUSTOMERS_AT_ONCE)
        if not rows:
            await self._settle(tx, answered)
            return None
        await tx.set_timers([Timer(TIMER_KEY, tx.now, gated=False)])
        wanted = [rule for each in answered for rule in each.rules if _is_live(live, rule)]
        heard: dict[str, list[Heard]] = defaultdict(list)
        after = max(each.position for each in answered)
        for each in await store.heard(tx, tx.unit, [id for id, _ in rows], after):
            # Of whoever was erased the past may tell nothing.
            if each.body:
                heard[each.customer_id].append(Heard(each.clock_ms, _event.decode(each.body)))
            else:
                rows = [row for row in rows if row[0] != each.customer_id]
        silent = await self._compiled(tx, wanted)
        states = {id: state.decode(body) for id, body in rows}
        return Taken({rule.id: rule.is_new for rule in wanted}, silent, states, heard)

    def absorb(
        self, tx: UnitTx, live: Snapshot, taken: Taken, own: State, others: Sequence[State], out: Effects
    ) -> None:
        earlier = taken.states[own.customer_id]
        heard = taken.heard.get(own.customer_id, ())
        absorbing.carry_on(taken.silent, earlier, heard, others, clock.to_ms(tx.clock), self._grace_ms)
        absorbing.absorb(own, earlier, live, taken.rules, out)

    async def forget(self, tx: UnitTx, customer_ids: Sequence[str]) -> None:
        """Whoever is erased: what the past left of them, and what was heard."""
        if await self._open(tx):
            await store.forget(tx, tx.unit, customer_ids)

    async def _settle(self, tx: UnitTx, answered: Sequence[Open]) -> None:
        await store.settle(tx, tx.unit, [each.number for each in answered], "ready", tx.now)
        logs.get("warming").info("warming_ready", unit=tx.unit, rules=sum(len(each.rules) for each in answered))
        await self._look_again(tx)

    async def _look_again(self, tx: UnitTx) -> list[Open]:
        open_ = tx.cache[_OPEN] = await store.open_questions(tx, tx.unit)
        await store.forget_heard(tx, tx.unit, min((each.position for each in open_), default=None))
        if not open_:
            await store.drop_warmed(tx, [tx.unit])
        return open_

    async def _open(self, tx: UnitTx) -> list[Open]:
        found: list[Open] | None = tx.cache.get(_OPEN)
        if found is None and await store.change_form(tx, tx.unit, FORM):
            await self._ask(tx, await self._wanted(tx, 0, tx.snapshot, frozenset()))
        return await self._look_again(tx) if found is None else found

    async def _ask(self, tx: UnitTx, wanted: Sequence[needs.Wanted]) -> None:
        position = tx.positions.get(EVENT_RESOLVED.name, 0)
        # At the beginning of the log there is nothing to learn.
        if wanted and position:
            await store.ask(tx, tx.unit, wanted, position, tx.now)
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
