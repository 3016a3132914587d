"""Where are customers taken from, and put back with all that goes with them, while a batch is handled?"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

from libs.common.events import ProfileUpdated
from libs.common.timers import Timer
from libs.common.unit import UnitTx
from services.profile import holding, person
from services.profile.holding import Held
from services.profile.person import Customer, Definitions, Moment
from services.profile.projecting import Happened, Projection
from services.profile.store import customers as store
from services.profile.timeline import Line

CUSTOMERS_CACHED_MAX: Final = 20_000
"""Per unit; the cache is emptied when it is over, which is seldom and cheap beside an eviction order."""


class Cabinet:
    """The customers of one unit within one transaction; `opened` are those that this batch works on."""

    def __init__(self, tx: UnitTx, definitions: Definitions, projections: Sequence[Projection] = ()) -> None:
        self.tx = tx
        self.definitions = definitions
        self._projections = projections
        self._held: dict[str, Held] = tx.cache.setdefault("customers", {})
        self._others: Mapping[str, Customer] = {}

    def __getitem__(self, customer_id: str) -> Held:
        return self._held[customer_id]

    async def open(self, customer_ids: Collection[str], linked: Iterable[str] = ()) -> None:
        """Have these customers at hand, and the other records of their people, `linked` among them, to be read only.

        Those belong to other units and are seen as committed.
        """
        await self._load(customer_ids)
        own = set(customer_ids)
        wanted = {other for each in own for other in self[each].customer.linked if other != each} | set(linked)
        bodies = await store.load_customers(self.tx, wanted) if wanted else {}
        self._others = {customer_id: holding.restored(body) for customer_id, body in bodies.items()}

    async def _load(self, customer_ids: Collection[str]) -> None:
        missing = {each for each in customer_ids if each not in self._held}
        if not missing:
            return
        if len(self._held) + len(missing) > CUSTOMERS_CACHED_MAX:
            self._held.clear()
            missing = set(customer_ids)
        bodies = await store.load_customers(self.tx, missing)
        for customer_id in missing:
            body = bodies.get(customer_id)
            customer = holding.restored(body) if body is not None else Customer(customer_id)
            self._held[customer_id] = holding.hold(customer_id, customer, self.definitions, self.tx.now)

    def others(self, held: Held) -> list[Customer]:
        """The other records of the person, as far as they are known; those of this unit as they are now."""
        found = []
        for each in held.customer.linked:
            if each != held.id:
                own = self._held.get(each)
                other = own.customer if own is not None else self._others.get(each)
                if other is not None:
                    found.append(other)
        return found

    def eldest(self, held: Held) -> Customer | None:
        """The record that speaks for the person when that is another one."""
        linked = held.customer.linked
        if not linked or linked[0] == held.id:
            return None
        own = self._held.get(linked[0])
        return own.customer if own is not None else self._others.get(linked[0])

    async def close(
        self, customer_ids: Iterable[str], happened: Sequence[Happened], timeline: Sequence[Line]
    ) -> list[ProfileUpdated]:
        """Write what changed and what goes with it; returns what delivery learns from it.

        The next day on which a profile changes by itself is a timer of the record.
        """
        changed = [held for held in map(self._held.__getitem__, sorted(customer_ids)) if held.dirty]
        news = [found for held in changed if (found := holding.news(held, self.definitions, self.tx.now)) is not None]
        for projection in self._projections:
            await projection.keep(self.tx, changed, happened)
        timers = []
        for held in changed:
            held.touched, held.dirty = 0, False
            due_day = person.due([held.customer, *self.others(held)], Moment(held.day, self.definitions)) or 0
            if due_day and due_day != held.customer.due_day:
                timers.append(Timer(held.id, self.definitions.starts(due_day)))
                held.customer.due_day = due_day
        await self.tx.set_timers(timers)
        states = [(held.id, held.customer.version, holding.stored(held.customer)) for held in changed]
        if states or timeline:
            await store.save(self.tx, self.tx.unit, states, timeline)
        return news
