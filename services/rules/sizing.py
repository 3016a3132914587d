"""How much does the engine remember, and for which aggregate? Estimated from a sample, for whoever watches it grow."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from libs.common.db import Database
from libs.common.metrics import Metrics
from libs.common.runtime import Recurring
from services.rules import store
from services.rules.engine import state
from services.rules.engine.snapshot import Snapshot
from services.rules.engine.state import State

SAMPLE = 1_000
EVERY_SECONDS = 60.0
AGGREGATES_MAX = 200
OTHER = "other"


class Size(NamedTuple):
    """Of one aggregate in a sample: customers who have something in it, and the panes that are kept of them."""

    customers: int
    entries: int


class StateSizing(Recurring):
    """A component. An aggregate is named by the rule of whose `when` it is; what only conditions ask for is `other`."""

    def __init__(self, database: Database, metrics: Metrics, current: Callable[[], Snapshot | None]) -> None:
        super().__init__("state-sizes", self._turn, metrics)
        self._database = database
        self._current = current
        self._customers = metrics.gauge("state_customers", "Customers of whom the engine remembers anything.")
        self._bytes = metrics.gauge("state_bytes", "What is remembered of all of them, packed.")
        by = ["aggregate"]
        self._held = metrics.gauge("aggregate_customers", "Customers who have something in an aggregate.", by)
        self._entries = metrics.gauge("aggregate_entries", "Panes that are kept of an aggregate.", by)

    async def _turn(self) -> float:
        snapshot = self._current()
        if snapshot is None:
            return 1.0
        async with self._database.connection() as connection:
            total, bodies = await store.sample_states(connection, SAMPLE)
        share = total / len(bodies) if bodies else 0.0
        self._customers.set(total)
        self._bytes.set(round(share * sum(map(len, bodies))))
        found = sizes(map(state.decode, bodies), names_of(snapshot))
        self._held.clear()
        self._entries.clear()
        for name, size in found.items():
            self._held.labels(name).set(round(share * size.customers))
            self._entries.labels(name).set(round(share * size.entries))
        return EVERY_SECONDS


def names_of(snapshot: Snapshot) -> dict[int, str]:
    """By the key of an aggregate; of several rules that share one, the first by its id."""
    found: dict[int, str] = {}
    for id_, rule in sorted(snapshot.rules.items()):
        if rule.gauge is not None:
            found.setdefault(rule.gauge.key, id_)
    return dict(list(found.items())[:AGGREGATES_MAX])


def sizes(states: Iterable[State], names: Mapping[int, str]) -> dict[str, Size]:
    customers: Counter[str] = Counter()
    entries: Counter[str] = Counter()
    for each in states:
        for key, aggregate in each.aggregates.items():
            name = names.get(key, OTHER)
            customers[name] += 1
            entries[name] += len(aggregate.panes)
    return {name: Size(customers[name], entries[name]) for name in sorted(customers)}
