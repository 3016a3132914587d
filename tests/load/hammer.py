"""How much does an HTTP server take? A load generator of few microseconds per request, in a process of its own.

Closed loop (`rate` 0): every connection sends its next request when it has its answer. Open loop: requests are due at
fixed instants, and the time to their answer counts from then, also when no connection was free.

    python -m tests.load.hammer '{"port": 8001, "key": "...", "connections": 64, "seconds": 5}'
"""

from __future__ import annotations

import asyncio
import json
import math
import sys
import time
from collections import deque
from typing import Any

import msgspec
import uvloop

from tests.load import cores, payload
from tests.load.ground import REPORT

WARM_SECONDS = 1.0
_LENGTH = b"content-length: "
_DIFFERENT_BODIES = {1: 4_000}
_SCHEDULE_SECONDS = 0.001


class Order(msgspec.Struct):
    """`watched` are processes whose CPU time is read at both ends of the measured window, by name."""

    port: int
    key: str = "none"
    batch: int = 1
    connections: int = 64
    seconds: float = 5.0
    rate: float = 0.0
    path: str = "/v1/events"
    watched: dict[str, int] = {}


class Report(msgspec.Struct):
    """Requests within the window; `failed` are those that were not answered by 202."""

    requests: int
    failed: int
    seconds: float
    p50_ms: float
    p99_ms: float
    cpu: dict[str, float]
    own_cpu: float
    foreign_cpu: float


class Run:
    """One order in execution; the window opens after the warm-up."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self._requests = _requests(order)
        self._next = 0
        self._idle: list[Connection] = []
        self._due: deque[float] = deque()
        self._took: list[float] = []
        self._failed = 0
        self._open = False
        self._ended = False

    async def execute(self) -> Report:
        loop = asyncio.get_running_loop()
        for _ in range(self.order.connections):
            _, connection = await loop.create_connection(lambda: Connection(self), "127.0.0.1", self.order.port)
            self._idle.append(connection)
        schedule = asyncio.create_task(self._schedule()) if self.order.rate else None
        if schedule is None:
            idle, self._idle = self._idle, []
            for connection in idle:
                connection.send(self._request(), time.perf_counter())
        await asyncio.sleep(WARM_SECONDS)
        before, began = self._spent(), time.perf_counter()
        self._open = True
        await asyncio.sleep(self.order.seconds)
        self._open = False
        after, ended = self._spent(), time.perf_counter()
        self._ended = True
        if schedule is not None:
            schedule.cancel()
        return self._report(ended - began, {name: after[name] - before[name] for name in after})

    def answered(self, connection: Connection, since: float, good: bool) -> None:
        if self._open:
            self._took.append(time.perf_counter() - since)
            self._failed += not good
        if self._ended:
            return
        if not self.order.rate:
            connection.send(self._request(), time.perf_counter())
        elif self._due:
            connection.send(self._request(), self._due.popleft())
        else:
            self._idle.append(connection)

    async def _schedule(self) -> None:
        began, done = time.perf_counter(), 0
        while True:
            await asyncio.sleep(_SCHEDULE_SECONDS)
            wanted = int((time.perf_counter() - began) * self.order.rate)
            for number in range(done, wanted):
                at = began + number / self.order.rate
                if self._idle:
                    self._idle.pop().send(self._request(), at)
                else:
                    self._due.append(at)
            done = wanted

    def _request(self) -> bytes:
        self._next = (self._next + 1) % len(self._requests)
        return self._requests[self._next]

    def _spent(self) -> dict[str, float]:
        watched = {name: cores.cpu_seconds(pid) for name, pid in self.order.watched.items()}
        return {**watched, "": time.process_time(), "machine": cores.busy_seconds()}

    def _report(self, seconds: float, spent: dict[str, float]) -> Report:
        machine, own = spent.pop("machine"), spent.pop("")
        if not self._took:
            raise SystemExit(f"no request to port {self.order.port} was answered within {seconds:.1f} s")
        took = sorted(self._took)
        return Report(
            requests=len(took),
            failed=self._failed,
            seconds=seconds,
            p50_ms=_percentile(took, 0.5) * 1000,
            p99_ms=_percentile(took, 0.99) * 1000,
            cpu=spent,
            own_cpu=own,
            foreign_cpu=max(0.0, machine - own - sum(spent.values())),
        )


class Connection(asyncio.Protocol):
    """One request at a time; of the answer no more is read than where it ends."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._since = 0.0
        self._held = b""
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._run._ended:
            raise SystemExit(f"the server closed a connection: {exc!r}")

    def send(self, request: bytes, since: float) -> None:
        self._since = since
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        answer = self._held + data if self._held else data
        head = answer.find(b"\r\n\r\n")
        if head > 0:
            at = answer.index(_LENGTH) + len(_LENGTH)
            if len(answer) >= head + 4 + int(answer[at : answer.index(b"\r", at)]):
                self._held = b""
                self._run.answered(self, self._since, answer[9:12] == b"202")
                return
        self._held = answer


def _requests(order: Order) -> list[bytes]:
    count = _DIFFERENT_BODIES.get(order.batch, max(16, 4_000 // order.batch))
    made = []
    for body in payload.bodies(count, order.batch):
        head = (
            f"POST {order.path} HTTP/1.1\r\nHost: 127.0.0.1:{order.port}\r\nContent-Type: application/json\r\n"
            f"Authorization: Bearer {order.key}\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        made.append(head.encode() + body)
    return made


def _percentile(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)]


def main(arguments: list[str]) -> int:
    order = msgspec.json.decode(arguments[0], type=Order)
    report = uvloop.run(Run(order).execute())
    sys.stdout.write(f"{REPORT}{json.dumps(msgspec.to_builtins(report))}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
