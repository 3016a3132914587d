"""Where are customers taken from, and put back with all that goes with them, while a batch is handled?"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final

from libs.common.errors import NotCaughtUp
from libs.common.events import ProfileUpdated
from libs.common.timers import Timer
from libs.common.unit import UnitTx
from services.profile import holding, person
from services.profile.holding import Held
from services.profile.person import Customer, Definitions, Moment
from services.profile.projecting import Happened, Projection
from services.profile.restoring import load
from services.profile.store import customers as store
from services.profile.timeline import Line

CUSTOMERS_CACHED_MAX: Final = 20_000
"""Per unit; the cache is emptied when it is over, which is seldom and cheap beside an eviction order."""


class Cabinet:
    """The customers of one unit within one transaction; `anew` are those that were folded anew by being opened."""

    def __init__(self, tx: UnitTx, definitions: Definitions, projections: Sequence[Projection] = ()) -> None:
        self.tx = tx
        self.definitions = definitions
        self._projections = projections
        self._held: dict[str, Held] = tx.cache.setdefault("customers", {})
        self._others: Mapping[str, Customer] = {}
        self.anew: set[str] = set()
        self._switch()

    def _switch(self) -> None:
        """Look at everybody anew under other definitions; never under older ones than this unit has seen."""
        number = self.definitions.number
        if number < self.tx.snapshot:
            raise NotCaughtUp(f"the definitions here are at number {number}, this unit is at {self.tx.snapshot}")
        if self.tx.cache.setdefault("definitions", number) != number:
            self.tx.cache["definitions"] = number
            for held in self._held.values():
                holding.forget_views(held)
        self.tx.snapshot = number

    def __getitem__(self, customer_id: str) -> Held:
        return self._held[customer_id]

    async def open(self, customer_ids: Collection[str], linked: Iterable[str] = ()) -> None:
        """Have these customers at hand, and the other records of their people, `linked` among them, to be read only.

        Those belong to other units and are seen as committed.
        """
        await self._load(customer_ids)
        own = set(customer_ids)
        wanted = {other for each in own for other in self[each].customer.linked if other != each} | set(linked)
        self._others = (await load(self.tx, wanted, self.definitions)).known if wanted else {}

    async def _load(self, customer_ids: Collection[str]) -> None:
        missing = {each for each in customer_ids if each not in self._held}
        if not missing:
            return
        if len(self._held) + len(missing) > CUSTOMERS_CACHED_MAX:
            self._held.clear()
            missing = set(customer_ids)
        states = await load(self.tx, missing, self.definitions)
        for customer_id in missing:
            customer = states.known.get(customer_id) or Customer(customer_id)
            self._held[customer_id] = held = holding.hold(customer_id, customer)
            # What is folded anew is written even where nothing else changes: it was dear.
            held.dirty = customer_id in states.anew
        self.anew |= states.anew

    def others(self, held: Held) -> list[Customer]:
        """The other records of the person, as far as they are known; those of this unit as they are now."""
        return self.others_among(held.customer.linked, held)

    def others_among(self, linked: Sequence[str], held: Held) -> list[Customer]:
        """The same for a list of records that may be another than the person's now."""
        found = []
        for each in linked:
            if each != held.id:
                own = self._held.get(each)
                other = own.customer if own is not None else self._others.get(each)
                if other is not None:
                    found.append(other)
        return found

    def held(self, customer_id: str) -> Held | None:
        """A record of this unit, if it is at hand."""
        return self._held.get(customer_id)

    def known(self, customer_id: str) -> Customer | None:
        """A record as it is known here: one of this unit as it is now, one of another as it was committed."""
        own = self._held.get(customer_id)
        return own.customer if own is not None else self._others.get(customer_id)

    def empty(self, held: Held) -> None:
        """Nothing is known of this record any more, and nothing ever will be."""
        version = held.customer.version + 1
        self._held[held.id] = fresh = holding.hold(held.id, Customer(held.id, version=version, erased=True))
        fresh.dirty = True

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
            due_day = self._due_day(held)
            # A day that has come and was not told yet has its timer; that one finds the next day when it fires.
            waits = held.customer.passed_day < held.customer.due_day <= held.day
            if due_day and due_day != held.customer.due_day and not waits:
                timers.append(Timer(held.id, self.definitions.starts(due_day)))
                held.customer.due_day = due_day
            held.touched, held.dirty = 0, False
        await self.tx.set_timers(timers)
        states = [(held.id, held.customer.version, holding.stored(held.customer)) for held in changed]
        if states or timeline:
            await store.save(self.tx, self.tx.unit, states, timeline)
        return news

    def _due_day(self, held: Held) -> int:
        """The next day on which the profile changes by itself, 0 for none; what was not touched is due as before."""
        customer, others = held.customer, self.others(held)
        # What other records of the person say, and what they said before they were others', is not known here.
        touched = person.EVERYTHING if others or not customer.dues or held.touched & holding.JOINED else held.touched
        customer.dues = person.dues([customer, *others], Moment(held.day, self.definitions), touched, customer.dues)
        return min(customer.dues.values(), default=0)
