"""What is asked of the past, and what is answered? Shapes that cross between the service, its job and its store."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

from msgspec import Raw, Struct, field

from services.rules.backtest.gates import Door, GateExample

EXAMPLES_MAX = 100
NONE = Raw(b"null")


class LiveRule(Struct, frozen=True):
    """A rule in force, to be run beside the one that is tested."""

    body: Raw
    version: int
    ramp_percent: int = 100


class Question(Struct, frozen=True):
    """Everything that a backtest depends on, but for where the log is.

    `in_force_before` says that firings before `from` count for the limits, as if it had been switched on long ago;
    `ignore_valid` leaves the rule's own `valid` aside. `version` 0 is a document that was never stored. `campaign`,
    an id or a document as JSON, is whose gates are asked what they would have done. `segments` are those that rules may
    name, by id: in force or, where none is, as they were written last.
    """

    rule: Raw
    since: datetime = field(name="from")
    until: datetime = field(name="to")
    company_zone: str
    version: int = 0
    in_force_before: bool = False
    ignore_valid: bool = False
    examples: int = 20
    live: list[LiveRule] = []
    grace_seconds: float = 2.0
    campaign: Raw = NONE
    segments: dict[str, Raw] = {}

    @property
    def asks_gates(self) -> bool:
        return bytes(self.campaign) != bytes(NONE)


class Task(Struct, frozen=True):
    """What the process of a job is told on its standard input. It ends with the process `parent`, if named."""

    question: Question
    bootstrap: str
    prefix: str
    topic: str
    partitions: int
    memory_mb: int
    log_level: str = "info"
    parent: int = 0
    archive: str = ""
    door: Door | None = None


class Step(Struct, frozen=True):
    """How far a job has come: messages (events and marks) of how many, and until when the log has been read."""

    messages_read: int
    messages_total: int
    events_read: int
    reached: datetime | None = None


class DayCount(Struct, frozen=True):
    day: date
    fires: int


class Repeat(Struct, frozen=True):
    """How many customers it fired for so many times; the last entry stands for that many and more."""

    times: int
    customers: int


class Overlap(Struct, frozen=True):
    """Of the customers whom the tested rule hit, those whom a live rule hit within 24 hours of it, either way."""

    rule_id: str
    version: int
    customers: int
    share: float
    fires: int


class Ground(Struct, frozen=True):
    """An event on which a trigger rested."""

    event_id: str
    time: datetime


class Example(Struct, frozen=True):
    """A trigger that would have been published, with what caused it and the values that the rule looked at."""

    trigger_id: str
    customer_id: str
    occurred_at: datetime
    event_id: str
    include: dict[str, Any] = {}
    events: list[Ground] = []
    values: dict[str, Any] = {}


class Warmth(Struct, frozen=True):
    """Where reading was to begin and where it began; `complete` is false when the log does not reach back so far."""

    wanted: datetime | None
    log_begins: datetime | None
    complete: bool


class Report(Struct, frozen=True):
    """`fires` counts what would have been published between `from` and `to`; days are those of the company's zone.

    `outcomes` counts the chances to fire by what became of them. `customers` are people: linked records are one.
    `reached` is until when the log was read; `seconds` is how long that took. `customers_seen` are those of whom the
    period tells anything at all, people as well; traffic that was flagged tells nothing.
    """

    rule_id: str
    version: int
    fires: int
    customers: int
    per_day: list[DayCount]
    repeats: list[Repeat]
    outcomes: dict[str, int]
    overlap: list[Overlap]
    warm_up: Warmth
    messages_read: int
    events_read: int
    events_decoded: int
    undecodable: int
    customers_remembered: int
    seconds: float
    events_per_second: float
    reached: datetime | None = None
    warnings: list[str] = []
    customers_seen: int = 0
    gates: dict[str, Any] | None = None


class Told(Struct, frozen=True):
    """A line of the job's standard output: progress, and at the end the report or the reason why there is none."""

    step: Step | None = None
    report: Report | None = None
    examples: list[Example] = []
    error: str = ""
    gate_examples: list[GateExample] = []

    @property
    def is_last(self) -> bool:
        return self.report is not None or bool(self.error)
