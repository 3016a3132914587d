"""What does a log look like to a backtest? Made in memory: resolved events and marks, partition by partition."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec

from libs.common import clock, progress
from libs.common.events import Change, EventResolved
from libs.common.topics import partition_of
from services.rules.backtest.shapes import LiveRule, Question
from services.rules.backtest.simulation import Logged, Simulation

ZONE = "Asia/Seoul"
UNITS = 2
START_MS = 1_772_000_000_000
MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
Document = dict[str, Any]

VISIT = {"id": "any-visit", "name": "x", "when": {"type": "event", "event": "visit"}, "emit": {"trigger": "a.b"}}
BASKET = {
    "id": "basket-left",
    "name": "x",
    "when": {"type": "absence", "after": {"event": "cart_add"}, "no": {"event": "purchase"}, "for": "1h"},
    "emit": {"trigger": "a.b", "include": {"basket": "first.basket"}},
}


Entry = tuple[int, int, Logged]
"""When it was appended in milliseconds, its partition, and the message."""


class Message(NamedTuple):
    value: bytes | None
    headers: Sequence[tuple[str, bytes]]
    key: bytes | None = None


@dataclass
class Log:
    """Entries in the order in which they are made; the time of each is when it was appended."""

    units: int = UNITS
    entries: list[Entry] = field(default_factory=list)
    events: list[EventResolved] = field(default_factory=list)
    seq: int = 0

    def event(self, at_ms: int, customer: str, kind: str, *, time_ms: int | None = None, **more: Any) -> EventResolved:
        """Appended at `at_ms`; it happened then, unless `time_ms` says otherwise."""
        changed = {name: Change(**each) for name, each in more.pop("changed", {}).items()}
        made = EventResolved(
            event_id=more.pop("id", f"e{len(self.events)}"),
            customer_id=customer,
            person_id=more.pop("person", customer),
            type=kind,
            source="test",
            time=clock.from_ms(at_ms if time_ms is None else time_ms),
            received_ms=at_ms,
            data=msgspec.Raw(msgspec.json.encode(more.pop("data", {}))),
            profile=msgspec.Raw(msgspec.json.encode(more.pop("profile", {}))),
            changed=changed,
            **more,
        )
        self.events.append(made)
        self.put(at_ms, made)
        return made

    def put(self, at_ms: int, made: EventResolved, seq: int | None = None) -> None:
        self.seq += 1
        stamp = progress.stamp("profile.apply/0", self.seq if seq is None else seq)
        message = Message(msgspec.json.encode(made), [(progress.ORIGIN, stamp)], made.customer_id.encode())
        self.entries.append((at_ms, self.unit_of(made.customer_id), message))

    def marks(self, at_ms: int, clock_ms: int | None = None) -> None:
        """Every unit upstream says in every partition how far it has come."""
        said = at_ms if clock_ms is None else clock_ms
        for unit in range(self.units):
            for origin in range(self.units):
                mark = (progress.MARK, progress.stamp(f"profile.apply/{origin}", said))
                self.entries.append((at_ms, unit, Message(None, [mark])))

    def unit_of(self, customer: str) -> int:
        return partition_of(customer.encode(), self.units)


def question(rule: Document, since_ms: int = 0, until_ms: int = 1 << 43, **more: Any) -> Question:
    return Question(
        rule=raw(rule),
        since=clock.from_ms(since_ms),
        until=clock.from_ms(until_ms),
        company_zone=ZONE,
        live=[LiveRule(raw(each), 1) for each in more.pop("live", ())],
        **({"grace_seconds": 0.0, "examples": 1_000_000} | more),
    )


def raw(document: Document) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(document))


def simulated(asked: Question, entries: Sequence[Entry], units: int = UNITS, chunk: int = 50) -> Simulation:
    made = Simulation(asked, units, 1 << 30)
    for begin in range(0, len(entries), chunk):
        made.take([(at, unit, (message,)) for at, unit, message in entries[begin : begin + chunk]])
    return made


def fired(made: Simulation) -> list[tuple[str, str]]:
    """Customer and event of each trigger, sorted."""
    return sorted((each.customer_id, each.event_id) for each in made.examples())


def customers(pairs: Iterable[tuple[str, str]]) -> list[str]:
    return [customer for customer, _ in pairs]
