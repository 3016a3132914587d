"""How is an event without a person told to the customers of a unit: begun with its batch, and then page by page?

What a turn does and where it stopped are one transaction, so that after any crash nobody has a turn twice, and nobody
none. The pace bounds what a unit looks at; whether somebody is contacted is for the gates of campaign to say. While a
unit learns of the past for a rule it does not know whom that concerns, so the rule's events wait.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final, Protocol

import msgspec

from libs.common import clock
from libs.common.events import EventResolved
from libs.common.timers import Timer
from libs.common.unit import UnitTx
from services.rules.document.everyone import audience_id
from services.rules.engine import audience
from services.rules.engine.audience import Concern
from services.rules.engine.compiled import segment_figures
from services.rules.engine.firing import Effects
from services.rules.engine.snapshot import Snapshot
from services.rules.engine.state import State
from services.rules.fanout import pages, store
from services.rules.fanout.pages import Group
from services.rules.fanout.store import RUNNING, Begun, Running, Step
from services.rules.warming import store as warming

TIMER: Final = "fanout"
"""The key of the unit's only timer of this kind; those of rules have a stroke in theirs."""
CUSTOMERS_PER_SECOND: Final = 500.0
VALID_FOR: Final = timedelta(hours=24)
RUNNING_AT_ONCE_MAX: Final = 500
_AGAIN: Final = timedelta(seconds=0.5)
_TURNED: Final = "fanout_turned_at"
_HELD: Final = "fanout_held"
_encode: Final = msgspec.json.Encoder().encode
_event: Final = msgspec.json.Decoder(EventResolved).decode


class Views(Protocol):
    """The states that a batch looks at."""

    async def load_more(self, tx: UnitTx, customer_ids: Iterable[str]) -> None: ...
    def own(self, customer_id: str) -> State: ...
    def linked(self, linked: Sequence[str], own: str) -> list[State]: ...


class Spreading:
    """One instance for all units. An event that came in longer ago than `valid_for` is no news to anybody."""

    def __init__(self, customers_per_second: float, valid_for: timedelta) -> None:
        self._customers_per_second = customers_per_second
        self._valid_for = valid_for

    async def begin(self, tx: UnitTx, snapshot: Snapshot, events: Sequence[EventResolved], out: Effects) -> None:
        found = [each for event in events for each in audience.concerned(snapshot, event, out)]
        if not found:
            return
        rows = {each.fanout_id: each for each in map(self._begun, found)}
        segments = [audience_id(each.rule_id) for each in rows.values()]
        await store.begin(tx, tx.unit, tx.now, list(rows.values()), segments)
        await self._come_again(tx, tx.now)

    async def wake(self, tx: UnitTx) -> None:
        """Once after the unit was taken over: whatever became of the timer, what is running goes on."""
        if _TURNED not in tx.cache:
            tx.cache[_TURNED] = None
            if await store.any_running(tx, tx.unit):
                await self._come_again(tx, tx.now)

    async def turn(self, tx: UnitTx, snapshot: Snapshot, views: Views, out: Effects) -> set[str]:
        """As many customers as the pace allows since the last turn; returns those whose state has changed."""
        held = await _held(tx, snapshot)
        rows = await store.running(tx, tx.unit, tx.now, held, RUNNING_AT_ONCE_MAX)
        concerns, steps = self._going_on(snapshot, rows, tx.now)
        ended = {each.fanout_id: each.state for each in steps}
        for row in rows:
            if row.fanout_id in ended:
                out.outcomes[row.rule_id, f"fanout_{ended[row.fanout_id]}"] += row.left
        groups = pages.groups([row for row in rows if row.fanout_id in concerns])
        touched = set[str]()
        found = await _pages(tx, groups, self._budget(tx))
        await _load(tx, views, {each for _, members, _ in found for each in members})
        for group, members, over in found:
            steps += _told(snapshot, group, concerns, members, views, out, touched, over=over)
        await store.step(tx, tx.unit, tx.now, steps)
        if await store.any_running(tx, tx.unit):
            await self._come_again(tx, tx.now + _AGAIN)
        return touched

    def _begun(self, concern: Concern) -> Begun:
        rule, event = concern.rule, concern.event
        received_at = clock.from_ms(event.received_ms)
        # Customers have its id in a trigger, and the same event of another source has another time.
        fanout_id = str(clock.derived_id("fanout", rule.id, event.source, event.event_id, clock.to_ms(event.time)))
        return Begun(
            fanout_id,
            rule.id,
            rule.version,
            event.event_id,
            event.type,
            received_at,
            received_at + self._valid_for,
            _encode(event),
        )

    @staticmethod
    def _going_on(snapshot: Snapshot, rows: Sequence[Running], now: datetime) -> tuple[dict[str, Concern], list[Step]]:
        """What goes on, by id, and the last step of what does not."""
        concerns: dict[str, Concern] = {}
        steps = []
        for row in rows:
            found: Concern | str
            if row.cancelled_at is not None:
                found = "cancelled"
            elif row.ends_at <= now:
                found = "expired"
            else:
                found = audience.still(snapshot, row.rule_id, row.version, _event(row.body))
            if isinstance(found, Concern):
                concerns[row.fanout_id] = found
            else:
                steps.append(Step(row.fanout_id, row.cursor, 0, 0, found))
        return concerns, steps

    def _budget(self, tx: UnitTx) -> int:
        last: datetime | None = tx.cache.get(_TURNED)
        tx.cache[_TURNED] = tx.now
        elapsed = (tx.now - last).total_seconds() if last is not None else 1.0
        return pages.budget(self._customers_per_second, elapsed)

    async def _come_again(self, tx: UnitTx, at: datetime) -> None:
        await tx.set_timers([Timer(TIMER, at, gated=False)])


async def _held(tx: UnitTx, snapshot: Snapshot) -> set[str]:
    """The rules for which the unit still learns of the past, for themselves or for a segment that they look into."""
    learned = {each.id for asked in await warming.open_questions(tx, tx.unit) for each in asked.rules}
    held = set[str]()
    if learned:
        held = {
            id
            for id, rule in snapshot.rules.items()
            if rule.active and (id in learned or any(segment_figures(each) in learned for each in rule.named))
        }
    before: set[str] = tx.cache.get(_HELD, set())
    tx.cache[_HELD] = held
    if before - held:
        await store.count_anew(tx, tx.unit, before - held)
    return held


async def _pages(tx: UnitTx, groups: Sequence[Group], customers: int) -> list[tuple[Group, list[str], bool]]:
    """Who has a turn now in which events, and whether they are the last."""
    judged, found = pages.JUDGED_MAX, []
    for group in groups:
        share = pages.share(customers, judged, group)
        if share < 1:
            break
        members = await store.members(tx, tx.unit, group.segment_id, group.cursor, share)
        customers -= len(members)
        judged -= len(members) * len(group.members)
        found.append((group, members, len(members) < share))
    return found


async def _load(tx: UnitTx, views: Views, members: Iterable[str]) -> None:
    """Of a person whose records lie in several units one at a time has its turn, and sees what the others did.

    All at once and in one order, or two units could wait for one another.
    """
    wanted = sorted(members)
    await views.load_more(tx, wanted)
    linked = [own for each in wanted if (own := views.own(each)).linked]
    if linked:
        await store.lock_people(tx, (each.person_id for each in linked))
        await views.load_more(tx, (other for each in linked for other in each.linked))


def _told(
    snapshot: Snapshot,
    group: Group,
    concerns: Mapping[str, Concern],
    members: Sequence[str],
    views: Views,
    out: Effects,
    touched: set[str],
    *,
    over: bool,
) -> list[Step]:
    fired = dict.fromkeys((each.fanout_id for each in group.members), 0)
    for customer_id in members:
        own = views.own(customer_id)
        others = views.linked(own.linked, customer_id)
        known = audience.known_of((own, *others))
        for each in group.members:
            if audience.reach(snapshot, concerns[each.fanout_id], own, others, out, known) == audience.FIRED:
                fired[each.fanout_id] += 1
                touched.add(customer_id)
    cursor = members[-1] if members else group.cursor
    state = "done" if over else RUNNING
    return [Step(name, cursor, len(members), count, state) for name, count in fired.items()]
