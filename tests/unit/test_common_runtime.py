"""Does a service start in order, stop in order and in time, and end when a part of it dies?"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import httpx2
import pytest
from fastapi import APIRouter
from pydantic import SecretStr
from structlog.testing import capture_logs

from libs.common.auth import Authenticator, public
from libs.common.errors import Misconfigured, StoreAway
from libs.common.metrics import Metrics
from libs.common.runtime import App, Background, Component, Recurring, parts, serve
from libs.common.runtime.life import Life
from libs.common.settings import CommonSettings
from libs.common.web import create_app

SECRET = "a-secret-of-forty-characters-0123456789!"


def settings(shutdown_seconds_max: float = 5.0) -> CommonSettings:
    return CommonSettings(
        database_url="postgresql://127.0.0.1/x",
        token_secret=SecretStr(SECRET),
        shutdown_seconds_max=shutdown_seconds_max,
    )


class Part:
    """Writes down when it starts and stops; can refuse a few times to start, or take its time to stop."""

    def __init__(self, name: str, said: list[str], refusals: int = 0, stop_seconds: float = 0.0) -> None:
        self._name, self._said = name, said
        self._refusals, self._stop_seconds = refusals, stop_seconds

    async def start(self) -> None:
        if self._refusals:
            self._refusals -= 1
            raise StoreAway("no database yet")
        self._said.append(f"+{self._name}")

    async def stop(self) -> None:
        await asyncio.sleep(self._stop_seconds)
        self._said.append(f"-{self._name}")


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound


def app_of(resources: Sequence[Component] = (), components: Sequence[Component] = ()) -> App:
    async def ready() -> list[str]:
        return []

    web = create_app(
        "demo", authenticator=Authenticator([SECRET]), metrics=Metrics("demo", process=False), readiness=ready
    )
    router = APIRouter(prefix="/v1")

    @router.get("/slow")
    @public("only a test")
    async def slow(seconds: float) -> str:
        await asyncio.sleep(seconds)
        return "done"

    web.include_router(router)
    return App(web, resources, components)


class Running:
    """A life in a task, with its stop switch and its address."""

    def __init__(self, app: App, listener: socket.socket, chosen: CommonSettings) -> None:
        self.stop = asyncio.Event()
        self.app = app
        self.task = asyncio.create_task(Life(app, chosen).run(self.stop, listener))
        self.client = httpx2.AsyncClient(base_url=f"http://127.0.0.1:{listener.getsockname()[1]}")

    async def ready(self) -> None:
        await until(lambda: self.app.web.state.starting == "" or self.task.done())

    async def end(self) -> int:
        self.stop.set()
        async with asyncio.timeout(20):
            code = await self.task
        await self.client.aclose()
        return code


async def until(reached: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not reached():
            await asyncio.sleep(0.01)


@pytest.fixture
def live(listener: socket.socket) -> Callable[..., Awaitable[Running]]:
    async def start(app: App, shutdown_seconds_max: float = 5.0) -> Running:
        running = Running(app, listener, settings(shutdown_seconds_max))
        # The state begins as ready; the life says so itself once it has begun.
        await asyncio.sleep(0.05)
        return running

    return start


async def test_parts_start_in_order_and_stop_in_reverse_with_the_pools_last(live: Any) -> None:
    said: list[str] = []
    running = await live(app_of([Part("pool", said), Part("producer", said)], [Part("a", said), Part("b", said)]))
    await running.ready()
    assert said == ["+pool", "+producer", "+a", "+b"]
    assert (await running.client.get("/readyz")).status_code == 200
    assert await running.end() == 0
    assert said[4:] == ["-b", "-a", "-producer", "-pool"]


async def test_while_a_part_cannot_start_the_service_is_alive_and_says_what_it_waits_for(live: Any) -> None:
    said: list[str] = []
    running = await live(app_of([Part("pool", said, refusals=2)], [Part("worker", said)]))
    assert (await running.client.get("/healthz")).status_code == 200
    answer = await running.client.get("/readyz")
    assert answer.status_code == 503 and "no database yet" in answer.json()["reasons"][0]
    assert said == []
    await running.ready()
    assert said == ["+pool", "+worker"]
    assert await running.end() == 0


async def test_a_stop_during_the_start_stops_what_had_started_and_nothing_else(live: Any) -> None:
    said: list[str] = []
    running = await live(app_of([Part("pool", said), Part("broken", said, refusals=10**6)], [Part("worker", said)]))
    await until(lambda: said == ["+pool"])
    assert await running.end() == 0
    assert said == ["+pool", "-pool"]


async def test_readiness_is_off_while_workers_drain_and_http_still_answers(live: Any) -> None:
    running = await live(app_of([], [Part("worker", [], stop_seconds=0.5)]))
    await running.ready()
    running.stop.set()
    await asyncio.sleep(0.1)
    answer = await running.client.get("/readyz")
    assert answer.status_code == 503 and answer.json()["reasons"] == ["stopping"]
    assert await running.end() == 0


async def test_a_request_that_is_being_answered_is_finished(live: Any) -> None:
    running = await live(app_of())
    await running.ready()
    request = asyncio.create_task(running.client.get("/v1/slow?seconds=0.5"))
    await asyncio.sleep(0.1)
    assert await running.end() == 0
    assert (await request).json() == "done"


async def test_what_hangs_is_cut_and_the_rest_still_stops(live: Any) -> None:
    said: list[str] = []
    hanging = Part("worker", said, stop_seconds=60)
    running = await live(app_of([Part("pool", said)], [hanging]), shutdown_seconds_max=2.0)
    await running.ready()
    request = asyncio.create_task(running.client.get("/v1/slow?seconds=60"))
    await asyncio.sleep(0.1)
    began = time.monotonic()
    assert await running.end() == 0
    assert time.monotonic() - began < 2.5 and said[-1] == "-pool"
    await asyncio.gather(request, return_exceptions=True)


@pytest.mark.parametrize("fails", [True, False])
async def test_a_part_that_dies_by_itself_ends_the_process_with_1(fails: bool, live: Any) -> None:
    async def work(stopping: asyncio.Event) -> None:
        await asyncio.sleep(0.1)
        if fails:
            raise RuntimeError("a bug")

    said: list[str] = []
    running = await live(app_of([Part("pool", said)], [Background("worker", work)]))
    async with asyncio.timeout(5):
        assert await running.task == 1
    assert said == ["+pool", "-pool"]
    await running.client.aclose()


async def test_a_background_that_listens_to_the_stop_ends_the_process_with_0(live: Any) -> None:
    done: list[str] = []

    async def work(stopping: asyncio.Event) -> None:
        await stopping.wait()
        done.append("finished the batch")

    running = await live(app_of([], [Background("worker", work)]))
    await running.ready()
    assert await running.end() == 0 and done == ["finished the batch"]


async def test_what_recurs_outlives_whatever_its_turns_meet_and_tells_each_trouble_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(parts, "RETRY_SECONDS_MIN", 0.0)
    said: list[str] = []
    troubles: list[Exception | None] = [
        KeyError("a bug"),
        KeyError("a bug"),
        StoreAway("away"),
        None,
        KeyError("a bug"),
    ]

    async def turn() -> float:
        said.append("turn")
        if troubles and (trouble := troubles.pop(0)) is not None:
            raise trouble
        return 0.0 if troubles else 3600.0

    metrics = Metrics("demo", process=False)
    with capture_logs() as told:
        recurring = Recurring("sweep", turn, metrics)
        await recurring.start()
        async with asyncio.timeout(20):
            while len(said) < 6:
                await asyncio.sleep(0.01)
            recurring.wake()
            while len(said) < 7:
                await asyncio.sleep(0.01)
        await recurring.stop()
    assert [(each["event"], each.get("error"), "exc_info" in each) for each in told] == [
        ("turn_failed", "KeyError: 'a bug'", True),
        ("turn_failed", "StoreAway: away", False),
        ("recovered", None, False),
        ("turn_failed", "KeyError: 'a bug'", True),
        ("recovered", None, False),
    ]
    assert b'dangol_demo_loop_failures_total{loop="sweep"} 4.0' in metrics.render()


def test_what_fails_again_and_again_is_tried_less_and_less_often() -> None:
    async def turn() -> float:
        return 0.0

    recurring = Recurring("sweep", turn, Metrics("demo", process=False))
    pauses = [recurring._note_failure(KeyError(str(at))) for at in range(12)]
    assert pauses == sorted(pauses) and (pauses[0], pauses[-1]) == (parts.RETRY_SECONDS_MIN, parts.RETRY_SECONDS_MAX)


async def test_a_misconfigured_part_is_not_tried_again(live: Any) -> None:
    class Wrong(Part):
        async def start(self) -> None:
            raise Misconfigured("8 partitions expected, 4 found")

    running = await live(app_of([], [Wrong("worker", [])]))
    with pytest.raises(Misconfigured, match="8 partitions"):
        await running.task
    await running.client.aclose()


async def test_an_open_route_keeps_the_service_from_starting(listener: socket.socket) -> None:
    async def build(chosen: CommonSettings) -> App:
        app = app_of()
        app.web.add_api_route("/v1/hole", lambda: "", methods=["GET"])
        return app

    with pytest.raises(Misconfigured, match="GET /v1/hole"):
        await serve("demo", settings(), build, listener)


@pytest.mark.parametrize("works", [True, False])
async def test_a_process_that_does_not_work_leaves_the_work_out(works: bool, listener: socket.socket) -> None:
    said: list[str] = []
    app = replace(app_of(components=[Part("watcher", said)]), work=[Part("worker", said)])
    running = Running(app, listener, settings().model_copy(update={"works": works}))
    await until(lambda: "+watcher" in said)
    await running.ready()
    assert await running.end() == 0
    assert said == (["+watcher", "+worker", "-worker", "-watcher"] if works else ["+watcher", "-watcher"])
