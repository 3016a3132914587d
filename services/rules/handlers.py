"""How does a batch of events become triggers? Match all of it, load what it needs, step, save."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec

from libs.common import clock, logs
from libs.common.documents import SnapshotWatcher
from libs.common.errors import NotCaughtUp
from libs.common.events import ERASED, EventResolved, Fact, RulesErased
from libs.common.timers import Timer
from libs.common.topics import partition_of
from libs.common.unit import Message, UnitTx
from services.rules import restoring, store
from services.rules.backtest import store as backtests
from services.rules.engine import firing, matching, segments, state
from services.rules.engine.compiled import segment_figures
from services.rules.engine.firing import Effects, Expiry
from services.rules.engine.snapshot import Snapshot
from services.rules.engine.state import State
from services.rules.explaining import recording
from services.rules.fanout import spreading
from services.rules.fanout.spreading import Spreading
from services.rules.membership import store as membership
from services.rules.waiting import Waiting
from services.rules.warming.unit import TIMER_KEY, Warming

Counted = Callable[[str, str, int], None]
"""Rule id, what became of a chance to fire, how many times."""

ANY_RULE = "*"
"""Stands for the rule where an event was kept from all of them."""
ODD_VALUE = "odd_value"
_WAITING, _STATES, _SWEPT = "waiting", "states", "swept_at"
_SNAPSHOT = "snapshot"
_FIGURES, _COUNTED = "figures", "counted_at"
_COUNT_EVERY = timedelta(seconds=1)
_SWEEP_EVERY = timedelta(minutes=10)
_EXPIRES_MAX_MS = 250_000_000_000_000
_expiry = msgspec.msgpack.Decoder(Expiry)


class Matching:
    """The handlers of `rules.match`. What it caches of a unit lives in the unit's own cache."""

    def __init__(
        self,
        rules: SnapshotWatcher[Snapshot],
        units: int,
        states_cached_max: int,
        counted: Counted,
        batch_max: int = 500,
        spread: Spreading | None = None,
        warming: Warming | None = None,
    ) -> None:
        self._rules = rules
        self._units = units
        self._states_cached_max = states_cached_max
        self._counted = counted
        self._batch_max = batch_max
        self._spread = spread or Spreading(spreading.CUSTOMERS_PER_SECOND, spreading.VALID_FOR)
        self._warming = warming or Warming("UTC", 0.0)

    async def on_resolved_events(self, batch: Sequence[Message[EventResolved]], tx: UnitTx) -> Sequence[Fact]:
        snapshot = await self._snapshot(tx)
        out = Effects()
        if spread := [message.event for message in batch if message.event.everyone]:
            batch = [message for message in batch if not message.event.everyone]
            await self._spread.begin(tx, snapshot, spread, out)
        await self._spread.wake(tx)
        erased = [message.event.customer_id for message in batch if message.event.type == ERASED]
        found = [
            (message.event, matching.match(snapshot, message.event))
            for message in batch
            if message.event.type != ERASED
        ]
        _note_oddities(snapshot, out)
        waiting = _waiting(tx)
        await waiting.learn(tx, {event.customer_id for event, _ in found})
        beginners = {event.customer_id for event, hit in found if hit is not None and hit.needs_state}
        wanted = {event.customer_id for event, _ in found if event.customer_id in waiting} | beginners
        linked = {each for event, hit in found if hit is not None and hit.needs_state for each in event.linked}
        views = await self._load(tx, wanted, linked)
        if flagged := sum(1 for event, _ in found if event.traffic):
            out.outcomes[ANY_RULE, "flagged_traffic"] += flagged
        touched = set(beginners)
        for event, hit in found:
            own = views.own(event.customer_id) if event.customer_id in wanted else State(event.customer_id)
            if hit is not None:
                matching.step(snapshot, event, hit, own, views.others(event), out)
                touched |= {event.customer_id} & wanted
            elif event.customer_id in wanted and matching.remember_profile(own, event):
                touched.add(event.customer_id)
        _note_oddities(snapshot, out)
        await self._save(tx, views, touched, out, busy=len(batch) >= self._batch_max)
        forgotten = await self._forget(erased, snapshot, tx) if erased else ()
        await self._warming.hear(tx, snapshot, batch)
        return [*out.triggers, *out.moves, *forgotten]

    async def _forget(self, erased: Sequence[str], snapshot: Snapshot, tx: UnitTx) -> Sequence[Fact]:
        """Nothing comes after the last event of a customer, so nothing of them is kept."""
        views, waiting = await self._load(tx, erased, ()), _waiting(tx)
        timers = {each: firing.timer_keys(views.own(each)) for each in sorted(set(erased))}
        await tx.cancel_timers([key for keys in timers.values() for key in keys])
        deleted = await store.delete(tx, timers)
        logged = await store.forget_triggers(tx, timers)
        listed = await membership.forget(tx, timers)
        await backtests.forget(tx, timers, tx.now)
        await self._warming.forget(tx, snapshot, list(timers))
        for customer_id in timers:
            views.forget(customer_id)
            waiting.note(customer_id, False)
        return [
            RulesErased(each, tx.now, _counts(each in deleted, len(keys), logged.get(each, 0), listed.get(each, 0)))
            for each, keys in timers.items()
        ]

    async def on_timers(self, batch: Sequence[Timer], tx: UnitTx) -> Sequence[Fact]:
        snapshot = await self._snapshot(tx)
        spread = await self._fan_out(snapshot, tx) if any(each.key == spreading.TIMER for each in batch) else []
        absorbs = any(each.key == TIMER_KEY for each in batch)
        batch = [each for each in batch if each.key not in (spreading.TIMER, TIMER_KEY)]
        expiries = [each for timer in batch if (each := _read(timer)) is not None]
        wanted = {each.customer_id for each in expiries}
        views = await self._load(tx, wanted, ())
        await views.load_more(tx, (each for own in wanted for each in views.own(own).linked))
        out = Effects()
        for each in expiries:
            own = views.own(each.customer_id)
            matching.expire(snapshot, each, own, views.linked(own.linked, own.customer_id), out)
        await self._save(tx, views, wanted, out)
        absorbed = await self._absorb(snapshot, tx) if absorbs else []
        return [*spread, *out.triggers, *out.moves, *absorbed]

    async def _absorb(self, snapshot: Snapshot, tx: UnitTx) -> Sequence[Fact]:
        """The next customers of whom the past has told something to rules that are new."""
        taken = await self._warming.take(tx, snapshot)
        if taken is None:
            return []
        linked = {each for earlier in taken.states.values() for each in earlier.linked}
        views, out = await self._load(tx, taken.states, linked), Effects()
        learning = [id for id in snapshot.segments if segment_figures(id) in taken.rules]
        through: list[str] = []
        for customer_id, earlier in taken.states.items():
            if through and taken.pace.enough:
                break
            own, others = views.own(customer_id), views.linked(earlier.linked, customer_id)
            before = segments.inside(learning, (own, *others))
            await self._warming.absorb(tx, snapshot, taken, own, others, out)
            through.append(customer_id)
            segments.tell_of_past(snapshot, before, (own, *others), out)
        await self._warming.took(tx, through)
        await self._save(tx, views, through, out)
        return [*out.triggers, *out.moves]

    async def _fan_out(self, snapshot: Snapshot, tx: UnitTx) -> Sequence[Fact]:
        """The next customers whom events without a person may concern."""
        views, out = await self._load(tx, (), ()), Effects()
        touched = await self._spread.turn(tx, snapshot, views, out)
        _note_oddities(snapshot, out)
        await self._save(tx, views, touched, out)
        return out.triggers

    async def _snapshot(self, tx: UnitTx) -> Snapshot:
        """The rules in force: never older than those that this unit has seen, whoever ran it then."""
        current = self._rules.current
        if current is None or current.number < tx.snapshot:
            await self._rules.refresh()
            current = self._rules.require()
        if current.number < tx.snapshot:
            raise NotCaughtUp(f"the rules here are at snapshot {current.number}, this unit is at {tx.snapshot}")
        before, tx.snapshot = tx.snapshot, current.number
        if before != current.number:
            await self._warming.follow(tx, before, current.number, current.content)
            # A segment may be in force no more.
            tx.cache[_SWEPT] = None
        tx.cache[_SNAPSHOT] = current.content
        return current.content

    async def _load(self, tx: UnitTx, wanted: Iterable[str], linked: Iterable[str]) -> _Views:
        views = _Views(tx.cache.setdefault(_STATES, {}), tx.unit, self._units)
        await views.load_more(tx, [*wanted, *linked])
        return views

    async def _save(
        self, tx: UnitTx, views: _Views, touched: Iterable[str], out: Effects, *, busy: bool = False
    ) -> None:
        waiting, rows = _waiting(tx), []
        entries: list[segments.Entry] = []
        for customer_id in touched:
            own = views.own(customer_id)
            if own.memberships:
                entries += segments.listing(tx.cache[_SNAPSHOT], own, out)
            own.sweep()
            waiting.note(customer_id, own.waiting)
            rows.append(store.StateRow(customer_id, own.waiting, _instant(own.until_ms), state.encode(own)))
        await store.save(tx, tx.unit, rows)
        await membership.write(tx, tx.unit, entries)
        await tx.cancel_timers(sorted(out.cancelled))
        await tx.set_timers([Timer(due.key, _instant(due.due_ms), due.payload) for due in out.timers.values()])
        await self._log(tx, out, busy)
        await self._forget_expired(tx)
        views.trim(self._states_cached_max)
        for (rule_id, outcome), count in out.outcomes.items():
            self._counted(rule_id, outcome, count)

    async def _log(self, tx: UnitTx, out: Effects, busy: bool) -> None:
        """What fired and on what grounds, and how often each rule came to what on this day.

        While a backlog is worked off, the figures of many batches are written together: they are no ledger.
        """
        await store.log_triggers(tx, tx.unit, tx.now, recording.rows(out.triggers, out.grounds))
        figures: Counter[tuple[str, str]] = tx.cache.setdefault(_FIGURES, Counter())
        figures.update(out.outcomes)
        last: datetime | None = tx.cache.get(_COUNTED)
        if busy and last is not None and tx.now - last < _COUNT_EVERY:
            return
        tx.cache[_FIGURES], tx.cache[_COUNTED] = Counter(), tx.now
        today = tx.now.astimezone(self._rules.require().content.company_zone).date()
        await store.count_outcomes(tx, tx.unit, today, figures)

    async def _forget_expired(self, tx: UnitTx) -> None:
        last: datetime | None = tx.cache.get(_SWEPT)
        if last is None or tx.now - last > _SWEEP_EVERY:
            tx.cache[_SWEPT] = tx.now
            await store.delete_expired(tx, tx.unit, tx.now)
            if await membership.clear(tx, tx.unit, tx.cache[_SNAPSHOT].segments):
                # There is more of it: go on with the next batch.
                tx.cache[_SWEPT] = None


class _Views:
    """The states that a batch looks at: this unit's own, from its cache, and those of other units, read only."""

    def __init__(self, cached: dict[str, State], unit: int, units: int) -> None:
        self._own = cached
        self._foreign: dict[str, State] = {}
        self._unit = unit
        self._units = units

    async def load_more(self, tx: UnitTx, customer_ids: Iterable[str]) -> None:
        missing = [each for each in set(customer_ids) if each not in self._own and each not in self._foreign]
        found = await restoring.load(tx, missing)
        for customer_id in missing:
            held = found.get(customer_id) or State(customer_id)
            (self._own if self._is_ours(customer_id) else self._foreign)[customer_id] = held

    def own(self, customer_id: str) -> State:
        # Moved to the end: what was not touched for longest is the first to be dropped.
        held = self._own.pop(customer_id)
        self._own[customer_id] = held
        return held

    def forget(self, customer_id: str) -> None:
        self._own.pop(customer_id, None)

    def others(self, event: EventResolved) -> list[State]:
        return self.linked(event.linked, event.customer_id) if event.linked else []

    def linked(self, linked: Sequence[str], own: str) -> list[State]:
        found: list[State | None] = [self._own.get(each) or self._foreign.get(each) for each in linked if each != own]
        return [each for each in found if each is not None]

    def trim(self, count_max: int) -> None:
        for customer_id in list(self._own)[: max(0, len(self._own) - count_max)]:
            del self._own[customer_id]

    def _is_ours(self, customer_id: str) -> bool:
        return partition_of(customer_id.encode(), self._units) == self._unit


def _waiting(tx: UnitTx) -> Waiting:
    found: Waiting = tx.cache.setdefault(_WAITING, Waiting())
    return found


def _note_oddities(snapshot: Snapshot, out: Effects) -> None:
    """Comparisons that met a value of another type since they were last noted."""
    for rule_id, count in snapshot.oddities.take().items():
        out.outcomes[rule_id, ODD_VALUE] += count


def _counts(state: bool, timers: int, triggers: int, listed: int) -> dict[str, int]:
    return {"rule_state": int(state), "timer": timers, "trigger_log": triggers, "segment_member": listed}


def _read(timer: Timer) -> Expiry | None:
    """None for a timer that nobody can read: it is dropped, or it would keep all others of its unit waiting."""
    try:
        return _expiry.decode(timer.payload)
    except msgspec.DecodeError as error:
        logs.get(__name__).error("timer_dropped", due=timer.due.isoformat(), error=str(error))
        return None


def _instant(milliseconds: int) -> Any:
    """Within what a timestamp can say: what never ends, ends in the year 9892."""
    return clock.from_ms(min(milliseconds, _EXPIRES_MAX_MS))
