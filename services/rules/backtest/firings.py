"""What did a rule fire for whom, as far as a campaign's gates are asked about it? Kept within bounds. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from libs.common import clock
from libs.common.events import RuleTriggered
from services.rules.engine.state import digest

FIRINGS_KEPT_MAX = 100_000
"""Of more firings than this the people are drawn from, so that each that is asked for is asked for whole."""

PAGE_FIRINGS_MAX = 1_000
PERSON_FIRINGS_MAX = 1_000
"""No more than fit into a page: the first ones of somebody for whom it fires more often."""

Fired = tuple[str, str, datetime]
"""Customer id, person id, instant."""


class Firings:
    """What a rule fired, person by person; bounded by leaving out people, never a part of somebody."""

    def __init__(self, kept_max: int = FIRINGS_KEPT_MAX) -> None:
        self._kept_max = kept_max
        self._by_person: dict[str, list[tuple[str, int]]] = {}
        self._count = 0
        self._one_in = 1
        self.left_out = 0

    @property
    def share(self) -> float:
        return 1 / self._one_in

    def note(self, trigger: RuleTriggered) -> None:
        person = trigger.person_id
        if self._one_in > 1 and digest(person) % self._one_in:
            return
        fired = self._by_person.setdefault(person, [])
        if len(fired) >= PERSON_FIRINGS_MAX:
            self.left_out += 1
            return
        fired.append((trigger.customer_id, clock.to_ms(trigger.occurred_at)))
        self._count += 1
        while self._count > self._kept_max and len(self._by_person) > 1:
            self._thin_out()

    def forget(self, customer_id: str) -> None:
        """Whoever is erased is asked about no more."""
        for person, fired in list(self._by_person.items()):
            if any(each[0] == customer_id for each in fired):
                self._count -= len(fired)
                del self._by_person[person]

    def pages(self, firings_max: int = PAGE_FIRINGS_MAX) -> Iterator[list[Fired]]:
        """Whole persons alone, so that pages may be added up."""
        page: list[Fired] = []
        for person, fired in self._by_person.items():
            if page and len(page) + len(fired) > firings_max:
                yield page
                page = []
            page += [(customer_id, person, clock.from_ms(at_ms)) for customer_id, at_ms in fired]
        if page:
            yield page

    def _thin_out(self) -> None:
        self._one_in *= 2
        kept = (person for person in self._by_person if not digest(person) % self._one_in)
        self._by_person = {person: self._by_person[person] for person in kept}
        self._count = sum(map(len, self._by_person.values()))
