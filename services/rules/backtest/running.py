"""How is one job done? The log is read and fed to a simulation, and now and then somebody is told how far it is."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec

from libs.common import clock
from libs.common.kafka import History
from services.rules.archive.reading import About, earlier
from services.rules.backtest.gates import GateExample
from services.rules.backtest.gating import asked_of
from services.rules.backtest.memory import MemoryFull
from services.rules.backtest.shapes import Step, Task, Told
from services.rules.backtest.simulation import Simulation

TELL_EVERY_SECONDS = 0.5

Tell = Callable[[Told], None]


async def run(task: Task, tell: Tell) -> None:
    """Tells progress, and at last a report. BrokerAway, Misconfigured.

    Where memory does not suffice, the report is of what was read until then, beside the reason.
    """
    teller = _Teller(tell)
    simulation = Simulation(task.question, task.partitions, task.memory_mb << 20, teller.alive)
    teller.step = simulation.step
    began = time.perf_counter()
    error = ""
    async with _history(task, simulation.reads_from_ms, teller.alive) as history:
        total = teller.total = history.span.messages
        try:
            async for chunk in history.chunks():
                simulation.take(chunk)
                teller.alive()
        except MemoryFull as full:
            error = str(full)
    report = simulation.report(time.perf_counter() - began, history.span.log_begins_ms)
    gates, gate_examples = await _gates(task, simulation, lambda: tell(Told(step=simulation.step(total))))
    report = msgspec.structs.replace(report, gates=gates)
    tell(Told(simulation.step(total), report, simulation.examples(), error, gate_examples))


class _Teller:
    """Tells how far it is, now and then, however often it is called: whoever is silent for long is taken for dead."""

    def __init__(self, tell: Tell) -> None:
        self.total = 0
        self.step: Callable[[int], Step] | None = None
        self._tell = tell
        self._told = float("-inf")

    def alive(self) -> None:
        if self.step is not None and time.perf_counter() - self._told > TELL_EVERY_SECONDS:
            self._told = time.perf_counter()
            self._tell(Told(step=self.step(self.total)))


async def _gates(
    task: Task, simulation: Simulation, told: Callable[[], None]
) -> tuple[dict[str, Any] | None, list[GateExample]]:
    if simulation.firings is None:
        return None, []
    return await asked_of(task.door, task.question.campaign, simulation.firings, simulation.trigger, told)


def _history(task: Task, since_ms: int, alive: Callable[[], None]) -> History:
    about = About(task.topic, task.partitions)
    return History(
        task.bootstrap,
        prefix=task.prefix,
        name=task.topic,
        partitions=task.partitions,
        since_ms=since_ms,
        until_ms=clock.to_ms(task.question.until),
        earlier=earlier(Path(task.archive), about, since_ms, alive) if task.archive else None,
    )
