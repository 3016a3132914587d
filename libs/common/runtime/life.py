"""How does a service live and die? Started in order, stopped in reverse, within a bound whatever hangs."""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import gc
import socket
from collections.abc import Iterator
from typing import Any

import uvicorn

from libs.common import logs
from libs.common.errors import Misconfigured, Transient
from libs.common.runtime.connections import HttpConnection, hang_up_on_crawlers
from libs.common.runtime.parts import App, Component, Mortal
from libs.common.settings import CommonSettings

EXIT_FAILED = 1
RETRY_SECONDS_MAX = 5.0
BACKLOG = 2048
KEEP_ALIVE_SECONDS = 30
# Which share of the time to stop is over at the latest when the components, HTTP, and the pools are through.
_COMPONENTS_SHARE = 0.6
_HTTP_SHARE = 0.9
_POOLS_SHARE = 0.98


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        # The signals are ours: workers drain before HTTP closes.
        yield


class Life:
    def __init__(self, app: App, settings: CommonSettings) -> None:
        self._app = app
        self._works = settings.works
        self._seconds = settings.shutdown_seconds_max
        self._log = logs.get("runtime")
        self._resources: list[Component] = []
        self._components: list[Component] = []
        self._deaths: set[asyncio.Task[None]] = set()
        self._server = _Server(_http(app, settings))

    async def run(self, stop: asyncio.Event, listener: socket.socket) -> int:
        self._app.web.state.starting = "starting"
        http = asyncio.create_task(self._server.serve(sockets=[listener]), name="http")
        stopped = asyncio.create_task(stop.wait(), name="signal")
        up = asyncio.create_task(self._start(listener), name="start")
        sweep = asyncio.create_task(hang_up_on_crawlers(self._server.server_state.connections), name="crawlers")
        try:
            dead = await self._first_death(http, stopped, up)
        finally:
            watching = (up, stopped, sweep, *self._deaths)
            for task in watching:
                task.cancel()
            await asyncio.gather(*watching, return_exceptions=True)
            await self._stop(http)
        return EXIT_FAILED if dead else 0

    async def _first_death(self, http: asyncio.Task[None], stopped: asyncio.Task[bool], up: asyncio.Task[None]) -> bool:
        """Waits for a signal (False) or for something that should have lived on (True)."""
        waiting: set[asyncio.Task[Any]] = {http, stopped, up}
        while True:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if stopped in done:
                return False
            for task in done:
                error = None if task.cancelled() else task.exception()
                if isinstance(error, Misconfigured):
                    raise error
                if task is not up or error is not None:
                    self._log.critical("a part of the service died", part=task.get_name(), exc_info=error)
                    return True
            self._deaths = set(self._watched())
            waiting = {http, stopped, *self._deaths}

    def _watched(self) -> Iterator[asyncio.Task[None]]:
        for component in (*self._resources, *self._components):
            if isinstance(component, Mortal):
                yield asyncio.create_task(component.failed(), name=type(component).__name__)

    async def _start(self, listener: socket.socket) -> None:
        components = [*self._app.components, *(self._app.work if self._works else ())]
        for kind, kept in ((self._app.resources, self._resources), (components, self._components)):
            for component in kind:
                await self._start_one(component)
                kept.append(component)
        # All that is alive now stays: the collector need not look at it again.
        gc.collect()
        gc.freeze()
        gc.set_threshold(50_000, 20, 1_000)
        self._app.web.state.starting = ""
        self._log.info("ready", listen="{}:{}".format(*listener.getsockname()[:2]))

    async def _start_one(self, component: Component) -> None:
        delay_seconds = 0.1
        while True:
            try:
                await component.start()
                return
            except Transient as error:
                reason = f"{type(component).__name__} does not start: {error}"
                self._app.web.state.starting = logs.mask(f"starting: {reason}")
                self._log.warning("waiting", reason=reason, retry_seconds=delay_seconds)
            await asyncio.sleep(delay_seconds)
            delay_seconds = min(delay_seconds * 2, RETRY_SECONDS_MAX)

    async def _stop(self, http: asyncio.Task[None]) -> None:
        """Within the bound: past it a watchdog that needs no loop writes all stacks and ends the process."""
        began = asyncio.get_running_loop().time()
        _watch(self._seconds)
        self._app.web.state.draining = "stopping"
        self._log.info("stopping")
        await self._stop_each(self._components, began + self._seconds * _COMPONENTS_SHARE)
        await self._close_http(http, began + self._seconds * _HTTP_SHARE)
        await self._stop_each(self._resources, began + self._seconds * _POOLS_SHARE)
        faulthandler.cancel_dump_traceback_later()
        self._log.info("stopped")

    async def _stop_each(self, components: list[Component], deadline: float) -> None:
        for component in reversed(components):
            try:
                async with asyncio.timeout_at(deadline):
                    await component.stop()
            except TimeoutError:
                self._log.error("did not stop in time", part=type(component).__name__)
            # One part that cannot stop must not keep the others from stopping.
            except Exception as error:  # noqa: BLE001
                self._log.error("failed while stopping", part=type(component).__name__, exc_info=error)

    async def _close_http(self, http: asyncio.Task[None], deadline: float) -> None:
        remaining = deadline - asyncio.get_running_loop().time()
        self._server.config.timeout_graceful_shutdown = max(1, int(remaining))
        self._server.should_exit = True
        _, late = await asyncio.wait({http}, timeout=max(remaining, 0.1))
        for task in late:
            task.cancel()
        await asyncio.gather(http, return_exceptions=True)


def _http(app: App, settings: CommonSettings) -> uvicorn.Config:
    return uvicorn.Config(
        app.asgi if app.asgi is not None else app.web,
        http=HttpConnection,
        ws="none",
        loop="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=BACKLOG,
        limit_concurrency=settings.limit_concurrency,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
    )


def _watch(seconds: float) -> None:
    with contextlib.suppress(ValueError, OSError, AttributeError):
        # Where standard error is no real file there is nothing to write the stacks to.
        faulthandler.dump_traceback_later(seconds, exit=True)
