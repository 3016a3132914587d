"""Which stages are held against a loop written by hand? Their workers, their tables, and what they are fed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import asyncpg
import msgspec

from libs.common import clock, migrations, worker_tables
from libs.common.events import EventIdentified, EventReceived, Fact
from libs.common.topics import EVENT_IDENTIFIED, EVENT_RECEIVED, EVENT_RESOLVED, PROFILE_UPDATED, Topic
from libs.common.unit import Input, WorkerSpec
from services.profile.apply import Apply
from services.profile.identify import Identify
from services.profile.store import arrivals
from tests.load import payload
from tests.load.echo import ECHOED, SAID, Said, on_said
from tests.tally import GIVEN, SPLIT, TABLES, Given, Tally

BATCH = 500
UNITS = 4
LIVE_AGE_DAYS = 35


@dataclass(frozen=True)
class Stage:
    """`service` is whose migrations make the tables; without one, `tables` are made beside the worker's own."""

    name: str
    topics: Sequence[Topic]
    spec: Callable[[], WorkerSpec]
    facts: Callable[[int], Iterator[Fact]]
    service: str = ""
    tables: str = ""

    @property
    def source(self) -> Topic:
        return self.topics[0]


def _echo() -> WorkerSpec:
    return WorkerSpec("echo.say", [Input(SAID, on_said)], [ECHOED], batch_max=BATCH)


def _tally() -> WorkerSpec:
    return WorkerSpec("tally.split", [Input(GIVEN, Tally("split").on_given)], [SPLIT], batch_max=BATCH)


def _identify() -> WorkerSpec:
    identify = Identify("KR", LIVE_AGE_DAYS, lambda what, count: None)
    return WorkerSpec(
        "profile.identify", [Input(EVENT_RECEIVED, identify.on_received)], [EVENT_IDENTIFIED], batch_max=BATCH
    )


def _apply() -> WorkerSpec:
    inputs = [Input(EVENT_IDENTIFIED, Apply().on_identified)]
    return WorkerSpec("profile.apply", inputs, [EVENT_RESOLVED, PROFILE_UPDATED], batch_max=BATCH)


def _said(count: int) -> Iterator[Fact]:
    return (Said(f"k{number % payload.CUSTOMERS}", number, "x" * 500) for number in range(count))


def _given(count: int) -> Iterator[Fact]:
    return (Given(f"k{number % payload.CUSTOMERS}", number // payload.CUSTOMERS + 1) for number in range(count))


def _received(count: int) -> Iterator[Fact]:
    return (msgspec.json.decode(payload.event(number), type=EventReceived) for number in range(count))


def _identified(count: int) -> Iterator[Fact]:
    people = [str(clock.derived_id("bench", number)) for number in range(payload.CUSTOMERS)]
    now_ms = clock.now_ms()
    for number in range(count):
        person = people[number % payload.CUSTOMERS]
        known = {"loyalty_card": f"8801-{number % payload.CUSTOMERS:06d}"}
        yield EventIdentified(person, person, msgspec.Raw(payload.event(number)), now_ms, "pos", known)


STAGES = {
    stage.name: stage
    for stage in (
        Stage("echo", (SAID, ECHOED), _echo, _said, tables=worker_tables.SQL),
        Stage("tally", (GIVEN, SPLIT), _tally, _given, tables=worker_tables.SQL + TABLES),
        Stage("identify", (EVENT_RECEIVED, EVENT_IDENTIFIED), _identify, _received, service="profile"),
        Stage("apply", (EVENT_IDENTIFIED, EVENT_RESOLVED, PROFILE_UPDATED), _apply, _identified, service="profile"),
    )
}


async def make_tables(stage: Stage, database_url: str) -> None:
    """What a service makes of an empty database before its first event."""
    if not stage.service:
        return
    await migrations.upgrade(stage.service, database_url)
    connection = await asyncpg.connect(database_url)
    try:
        await arrivals.arrange_days(connection, clock.now().date(), LIVE_AGE_DAYS)
    finally:
        await connection.close()
