"""What does the front door cost? Ingest on a real broker beside a bare ASGI app and Kafka's own producer tool."""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
import resource
from collections.abc import Iterator
from dataclasses import dataclass

from deploy.local import broker
from deploy.local.ports import LOOPBACK, free_port
from deploy.local.settings import java
from libs.common import clock, migrations
from libs.common.db import Database
from libs.common.kafka import ensure_topics
from libs.common.topics import EVENT_RECEIVED
from services.ingest.store import schemas as plan
from tests.load import cores, payload
from tests.load.ground import SECRET, Ground, ground, output_of, server, told_by
from tests.load.hammer import Report
from tests.load.rows import Row, Scale, company

PARTITIONS = 8
KEY = "dk_bench_0123456789abcdef"
_PRODUCED_PER_SECOND = 60_000
_LEARNED_SECONDS = 4.0
_SCHEMA = json.dumps(
    {
        "type": "object",
        "required": ["product"],
        "properties": {"product": {"type": "string"}, "price": {"type": ["number", "null"], "minimum": 0}},
    }
)
_PER_SECOND = re.compile(r"([\d.]+) records/sec")


@dataclass(frozen=True)
class Places:
    """Where the two HTTP servers listen and which processes they are."""

    ground: Ground
    ports: dict[str, int]
    pids: dict[str, int]


@dataclass
class Best:
    """The best round of one side: noise of others only ever slows down."""

    per_second: float = 0.0
    cpu_microseconds: float = float("inf")
    report: Report | None = None

    @property
    def per_core(self) -> float:
        """Events a second if the process had a core to itself and nothing to wait for."""
        return 1e6 / self.cpu_microseconds if 0 < self.cpu_microseconds < float("inf") else 0.0

    def note(self, per_second: float, cpu_microseconds: float, report: Report | None = None) -> None:
        self.cpu_microseconds = min(self.cpu_microseconds, cpu_microseconds)
        if per_second > self.per_second:
            self.per_second, self.report = per_second, report


def single(scale: Scale) -> list[Row]:
    return _measured(scale, batch=1, connections=64)


def batches(scale: Scale) -> list[Row]:
    return _measured(scale, batch=100, connections=16)


def schemas(scale: Scale) -> list[Row]:
    """Does an event cost more among a thousand registered schemas than beside a single one?"""
    with _places() as places:
        sides = {number: Best() for number in (1, 1_000)}
        for number, best in sides.items():
            asyncio.run(_register(places.ground, number))
            for _ in range(scale.rounds):
                report = _hammered(places, "ingest", 100, 16, scale.seconds)
                events = report.requests * 100
                best.note(events / report.seconds, report.cpu["ingest"] / events * 1e6, report)
        one, many = sides[1], sides[1_000]
        return [
            Row("CPU per event, 1,000 schemas", many.cpu_microseconds, "µs", "1 schema", one.cpu_microseconds),
            Row("accepted, 1,000 schemas", many.per_second, "events/s", "1 schema", one.per_second),
        ]


async def _register(stage: Ground, number: int) -> None:
    """So many types of owners, each with a schema, and the time in which the service learns of them."""
    database = Database(stage.database_url("bench_ingest"), application="bench")
    await database.start()
    async with database.transaction() as tx:
        revision = await plan.next_revision(tx)
        for each in range(await plan.count_types(tx), number):
            await plan.put_type(tx, f"own_{each}", "", 1, revision, "bench", clock.now())
            await plan.add_version(tx, f"own_{each}", 1, _SCHEMA, "backward", "", "bench", clock.now())
    await database.stop()
    await asyncio.sleep(_LEARNED_SECONDS)


def _measured(scale: Scale, batch: int, connections: int) -> list[Row]:
    with _places() as places:
        sides = {name: Best() for name in ("bare", "ingest", "producer")}
        for _ in range(scale.rounds):
            for name in ("bare", "ingest"):
                report = _hammered(places, name, batch, connections, scale.seconds)
                events = report.requests * batch
                sides[name].note(events / report.seconds, report.cpu[name] / events * 1e6, report)
            sides["producer"].note(*_produced(places.ground, int(_PRODUCED_PER_SECOND * scale.seconds)))
        half = sides["ingest"].per_second / 2
        calm = {
            name: _hammered(places, name, batch, connections, scale.seconds, rate=half / batch)
            for name in ("bare", "ingest")
        }
        return _rows(sides, calm, scale.rounds, batch)


def _rows(sides: dict[str, Best], calm: dict[str, Report], rounds: int, batch: int) -> list[Row]:
    ours, bare, tool = sides["ingest"], sides["bare"], sides["producer"]
    report = ours.report
    assert report is not None
    generator = f"generator busy {report.own_cpu / report.seconds:.0%} of its core"
    generator += company(report.foreign_cpu / report.seconds)
    promise = "promised: 0.45 or more" if batch == 1 else "promised: 50,000 a core"
    return [
        Row(
            "accepted and acknowledged",
            ours.per_second,
            "events/s",
            "bare ASGI app",
            bare.per_second,
            f"best of {rounds}; {promise}; {generator}",
        ),
        Row("per core, by CPU time", ours.per_core, "events/s", "bare ASGI app", bare.per_core),
        Row("beside Kafka's tool", ours.per_second, "events/s", "ProducerPerformance", tool.per_second, "acks=all"),
        Row("CPU per event", ours.cpu_microseconds, "µs", "ProducerPerformance", tool.cpu_microseconds),
        Row("p50 at half load", calm["ingest"].p50_ms, "ms", "bare ASGI app", calm["bare"].p50_ms),
        Row("p99 at half load", calm["ingest"].p99_ms, "ms", "bare ASGI app", calm["bare"].p99_ms),
    ]


@contextlib.contextmanager
def _places() -> Iterator[Places]:
    with ground() as stage:
        asyncio.run(_prepare(stage))
        ports = {name: free_port() for name in ("bare", "ingest")}
        variables = _variables(stage, ports)
        with (
            server("tests.load.bare", ports["bare"], stage.folder, variables) as bare,
            server("services.ingest", ports["ingest"], stage.folder, variables) as ingest,
        ):
            yield Places(stage, ports, {"bare": bare, "ingest": ingest})


async def _prepare(stage: Ground) -> None:
    await migrations.upgrade("ingest", stage.database_url("bench_ingest"))
    await ensure_topics(stage.kafka.bootstrap, prefix="", partitions=PARTITIONS)
    (stage.folder / "keys.json").write_text(json.dumps({"write_keys": {"pos": KEY}}), "utf-8")


def _variables(stage: Ground, ports: dict[str, int]) -> dict[str, str]:
    return {
        "DANGOL_DATABASE_URL": stage.postgres.url,
        "DANGOL_DATABASE_PREFIX": "bench_",
        "DANGOL_KAFKA_BOOTSTRAP": stage.kafka.bootstrap,
        "DANGOL_PARTITIONS": str(PARTITIONS),
        "DANGOL_TOPIC_PREFIX": "",
        "DANGOL_TOKEN_SECRET": SECRET,
        "DANGOL_WRITE_KEYS_FILE": str(stage.folder / "keys.json"),
        "DANGOL_BARE_PORT": str(ports["bare"]),
        "DANGOL_INGEST_PORT": str(ports["ingest"]),
    }


def _hammered(places: Places, name: str, batch: int, connections: int, seconds: float, *, rate: float = 0.0) -> Report:
    order = {
        "port": places.ports[name],
        "key": KEY,
        "batch": batch,
        "connections": connections,
        "seconds": seconds,
        "rate": rate,
        "watched": {name: places.pids[name], **places.ground.pids},
    }
    report = Report(**told_by("tests.load.hammer", order, cores.others()))
    assert not report.failed, f"{name} refused {report.failed} of {report.requests} requests"
    return report


def _produced(stage: Ground, number: int) -> tuple[float, float]:
    """Kafka's own tool on the measured core: records a second, and CPU microseconds for each of them."""
    command = [java(), "-Xmx256m", "-cp", ":".join(map(str, sorted(broker.LIBRARIES.glob("*.jar"))))]
    command += ["org.apache.kafka.tools.ProducerPerformance", "--topic", EVENT_RECEIVED.name]
    command += ["--num-records", str(number), "--record-size", str(payload.EVENT_BYTES), "--throughput", "-1"]
    command += ["--bootstrap-server", f"{LOOPBACK}:{stage.kafka.port}"]
    command += ["--command-property", "acks=all", "linger.ms=5", "batch.size=262144"]
    before = _children_cpu()
    told = output_of(command, cores.measured())
    spent = _children_cpu() - before
    return float(_PER_SECOND.findall(told)[-1]), spent / number * 1e6


def _children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
