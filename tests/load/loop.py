"""How many events a second does the whole loop carry on two cores, and where does the time go?

All services, Kafka and PostgreSQL run as `make run` runs them; the generator is a process of its own and counted apart.
First a backlog is worked off, which shows what each stage can do; then events are sent at a steady rate and each
message's way is timed, from the broker's acknowledgement at the door to the hand-over to the provider.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import asyncpg

from deploy.local.broker import KafkaBroker
from deploy.local.ports import free_port
from deploy.local.postgres import PostgresServer
from libs.common import clock
from tests.caller import Caller
from tests.load.rows import Row, Scale
from tests.stack import SERVICES, Stack

BATCH = 100
PARTITIONS = 4
CUSTOMERS = 20_000
TRIGGER_SHARE = 0.01
"""One event in a hundred makes a rule fire and a message go out."""


def documents() -> Iterator[tuple[str, dict[str, Any]]]:
    """A rule that fires for dear purchases, its campaign and template, and forty rules that look and mostly pass."""
    yield (
        "templates",
        {"id": "bench", "channel": "email", "subject": "Thank you", "body": "For {{ trigger.amount }}"},
    )
    yield "rules", _rule("dear", {"field": "event.amount", "op": "at_least", "value": 900_000}, "offer.bench")
    for number in range(40):
        condition = {"field": "event.category", "op": "is", "value": f"rare-{number}"}
        yield "rules", _rule(f"rare-{number}", condition, f"offer.rare_{number}")
    yield (
        "campaigns",
        {
            "id": "bench",
            "name": "bench",
            "trigger": "offer.bench",
            "class": "transactional",
            "channel": "email",
            "template": "bench",
            "quiet_hours": None,
            "cap": {"times": 1000, "per": "1d"},
            "holdout_percent": 0,
            "valid_for": "1d",
            "priority": 50,
            "cost": "0",
        },
    )


def _rule(name: str, condition: dict[str, Any], trigger: str) -> dict[str, Any]:
    return {
        "id": name,
        "name": name,
        "when": {"type": "event", "event": "purchase", "where": [condition]},
        "limits": {"repeat": "always"},
        "emit": {"trigger": trigger, "include": {"amount": "event.amount"}},
    }


def body(first: int, chance: random.Random, count: int = BATCH) -> bytes:
    """A batch of about 400 bytes each: two views for one purchase; first everybody once, then people by chance."""
    now = clock.now().isoformat()
    events = []
    for number in range(first, first + count):
        customer = number if number < CUSTOMERS else chance.randrange(CUSTOMERS)
        bought = number % 3 == 0
        dear = bought and chance.random() < 3 * TRIGGER_SHARE
        data: dict[str, Any] = {
            "amount": 950_000 if dear else chance.randrange(1000, 90_000),
            "currency": "KRW",
            "items": [{"sku": f"S-{chance.randrange(5000)}", "quantity": 1}, {"sku": "S-1", "quantity": 2}],
            "category": f"c-{chance.randrange(50)}",
        }
        if not bought:
            data = {
                "product": f"S-{chance.randrange(5000)}",
                "page": "/shop/" + "x" * 60,
                "referrer": "https://a.example",
            }
        events.append(
            {
                "id": f"b-{number}",
                "source": f"bench/{customer % 7}",
                "type": "purchase" if bought else "product_view",
                "time": now,
                "identifiers": {"account": f"a{customer}", "email": f"a{customer}@example.com"},
                "branch": "gangnam",
                "data": data,
            }
        )
    return json.dumps(events).encode()


class Load:
    """Sends batches to the door and watches how far the stages are, through their databases."""

    def __init__(self, caller: Caller) -> None:
        self._caller = caller
        self._stack = caller.stack
        self._next = 0
        self._chance = random.Random(7)

    async def send(self, seconds: float, per_second: float) -> int:
        """Open loop: batches at their scheduled time, several requests in flight; how many events were accepted."""
        url = f"{self._stack.urls['ingest']}/v1/events"
        headers = {"Authorization": f"Bearer {self._stack.write_keys['web']}", "Content-Type": "application/json"}
        gate, accepted, start = asyncio.Semaphore(32), 0, time.monotonic()

        async def post(content: bytes) -> None:
            nonlocal accepted
            try:
                async with self._caller.session.post(url, data=content, headers=headers) as answer:
                    told = await answer.json(content_type=None)
                    assert answer.status == 202 and not told["rejected"], (answer.status, told)
                    accepted += int(told["accepted"])
            finally:
                gate.release()

        tasks = []
        for number in range(int(seconds * per_second / BATCH)):
            await asyncio.sleep(max(0.0, start + number * BATCH / per_second - time.monotonic()))
            await gate.acquire()
            tasks.append(asyncio.create_task(post(body(self._next, self._chance))))
            self._next += BATCH
        await asyncio.gather(*tasks)
        return accepted

    async def meet_everybody(self, connections: dict[str, Any]) -> None:
        """New customers cost more than known ones; the measurement is of people who come back."""
        before = (await self.reached(connections))["timeline"]
        if before == 0:
            await self.send(CUSTOMERS / 2000, 2000)
            while (await self.reached(connections))["timeline"] < CUSTOMERS:
                await asyncio.sleep(0.2)
        self._next = max(self._next, CUSTOMERS + before)
        await asyncio.sleep(3)

    async def reached(self, connections: dict[str, Any]) -> dict[str, int]:
        """How many events each stage has put behind itself, by the offsets of its units."""
        topics = {
            "identify": ("profile", "profile.identify", "ingest.event-received.v1"),
            "apply": ("profile", "profile.apply", "profile.event-identified.v1"),
            "rules": ("rules", "rules.match", "profile.event-resolved.v1"),
        }
        found = {}
        for stage, (service, worker, topic) in topics.items():
            found[stage] = await connections[service].fetchval(
                "SELECT coalesce(sum((progress->'positions'->>$2)::bigint), 0)::bigint"
                " FROM worker_unit WHERE worker = $1",
                worker,
                topic,
            )
        found["timeline"] = await connections["profile"].fetchval(
            "SELECT count(*) FROM timeline WHERE source LIKE 'bench/%'"
        )
        return found


def cpu_seconds(stack: Stack, others: dict[str, int]) -> dict[str, float]:
    """User and system time so far of every process, children included."""
    pids = {name: stack.pid(name) for name in (*SERVICES, "providers")} | others
    tick = os.sysconf("SC_CLK_TCK")
    found = {}
    for name, pid in pids.items():
        if pid is not None:
            found[name] = sum(_ticks(each) for each in _family(pid)) / tick
    return found


def _family(pid: int) -> list[int]:
    children = [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return [pid, *(descendant for child in children for descendant in _family(child))]


def _ticks(pid: int) -> int:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except FileNotFoundError:
        return 0
    return sum(int(fields[index]) for index in (11, 12, 13, 14))


async def measure(stack: Stack, servers: dict[str, int], rate: float, seconds: float) -> dict[str, Any]:
    """One run at a steady rate, until everything that was sent has come out at the end."""
    async with Caller(stack) as caller:
        load = Load(caller)
        connections = {name: await asyncpg.connect(stack.database_url_of(name)) for name in SERVICES}
        try:
            await load.meet_everybody(connections)
            before, cpu, start = await load.reached(connections), cpu_seconds(stack, servers), time.monotonic()
            began = clock.now()
            sent = await load.send(seconds, rate)
            sending = time.monotonic() - start
            behind = before["timeline"] + sent - (await load.reached(connections))["timeline"]
            while (await load.reached(connections))["timeline"] < before["timeline"] + sent:
                await asyncio.sleep(0.1)
            spent = time.monotonic() - start
            await asyncio.sleep(2)
            after = cpu_seconds(stack, servers)
            latencies = await _latencies(connections["notify"], began + timedelta(seconds=min(2.0, seconds / 4)))
        finally:
            for connection in connections.values():
                await connection.close()
    return {
        "offered_per_second": rate,
        "sent": sent,
        "sent_per_second": sent / sending,
        "carried_per_second": sent / spent,
        "behind_when_sending_ended": behind,
        "cpu_microseconds_per_event": {name: (after[name] - cpu[name]) / sent * 1e6 for name in after if name in cpu},
        "messages": len(latencies),
        "latency_ms": _percentiles(latencies),
    }


async def _latencies(connection: Any, since: Any) -> list[float]:
    """From the broker's time at the door to the instant before the provider was called, in milliseconds."""
    rows = await connection.fetch(
        "SELECT extract(epoch FROM s.at) * 1000 - m.received_ms AS took FROM message m"
        " JOIN message_step s USING (message_id)"
        " WHERE s.state = 'SUBMITTING' AND m.planned_at > $1 AND m.received_ms > 0",
        since,
    )
    return sorted(float(row["took"]) for row in rows)


def _percentiles(values: Sequence[float]) -> dict[str, float]:
    if not values:
        return {}
    return {
        "p50": statistics.median(values),
        "p99": values[min(len(values) - 1, int(len(values) * 0.99))],
        "max": values[-1],
    }


HIGHEST_PER_SECOND = 5000.0
PROMISED_PER_SECOND = 5000.0
LATENCY_MS_P99_MAX = 250.0


def rows(scale: Scale) -> list[Row]:
    """The promised load, then half of it; what each part spends on one event."""
    seconds = max(6.0, 4 * scale.seconds)
    high, half = runs([HIGHEST_PER_SECOND, HIGHEST_PER_SECOND / 2], seconds, PARTITIONS)
    spent: dict[str, float] = high["cpu_microseconds_per_event"]
    total = sum(spent.values())
    behind = f"{high['behind_when_sending_ended']} events behind when {high['sent']} had been sent"
    found = [
        Row("carried", high["carried_per_second"], "events/s", "promised", PROMISED_PER_SECOND, behind),
        Row("CPU, all processes", total, "us/event", "two cores at the promised rate", 2e6 / PROMISED_PER_SECOND),
        *(Row(f"CPU, {name}", value, "us/event", "all processes", total) for name, value in spent.items()),
    ]
    for percentile in ("p50", "p99"):
        took = half["latency_ms"].get(percentile, float("nan"))
        note = f"{half['messages']} messages at {half['offered_per_second']:.0f} events/s"
        found.append(Row(f"door to provider, {percentile}", took, "ms", "promised p99", LATENCY_MS_P99_MAX, note))
    return found


def runs(rates: Sequence[float], seconds: float, partitions: int) -> list[dict[str, Any]]:
    """One stack, one run at each rate."""
    with tempfile.TemporaryDirectory(prefix="dangol-loop-", ignore_cleanup_errors=True) as folder:
        root = Path(folder)
        postgres, kafka = PostgresServer(root / "postgres", free_port()), KafkaBroker(root / "kafka", free_port())
        with postgres, kafka:
            stack = Stack(root, database_url=postgres.url, kafka_bootstrap=kafka.bootstrap, partitions=partitions)
            try:
                stack.start()
                asyncio.run(_install(stack))
                pids = {"postgres": postgres.pid, "kafka": kafka.pid}
                known = {name: pid for name, pid in pids.items() if pid is not None}
                return [asyncio.run(measure(stack, known, rate, seconds)) for rate in rates]
            finally:
                stack.discard()


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rates", default="2500,5000", help="events a second, one run each")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--partitions", type=int, default=PARTITIONS)
    options = parser.parse_args(arguments)
    rates = [float(rate) for rate in options.rates.split(",")]
    print(json.dumps(runs(rates, options.seconds, options.partitions), indent=1))
    return 0


async def _install(stack: Stack) -> None:
    async with Caller(stack) as caller:
        for kind, document in documents():
            await caller.install(kind, document)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
