"""What does `python -m services.<name>` do? Settings, logs, the port, the signals, and one life."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator
from typing import NoReturn, TypeVar

from libs.common import logs
from libs.common.errors import Misconfigured
from libs.common.runtime.life import EXIT_FAILED, Life
from libs.common.runtime.parts import App
from libs.common.settings import EXIT_MISCONFIGURED, CommonSettings, load
from libs.common.web import require_guarded

S = TypeVar("S", bound=CommonSettings)


def run(service: str, settings_class: type[S], build: Callable[[S], Awaitable[App]]) -> NoReturn:
    """The whole life of a service process. The settings need a `port`; 0 takes any free one.

    Exit codes: 0 after SIGTERM or SIGINT, 1 when a part died, 2 when a person has to change something first.
    """
    settings = load(settings_class)
    logs.configure(service, settings.log_level, instance=settings.instance_id)
    try:
        with _listening(service, settings.host, getattr(settings, "port", 0)) as listener:
            with asyncio.Runner(loop_factory=loop_factory()) as runner:
                code = runner.run(serve(service, settings, build, listener))
    except Misconfigured as error:
        sys.stderr.write(f"error: {service}: {error}\n")
        code = EXIT_MISCONFIGURED
    # The last words of a process go through the log as well, which masks what is a person's.
    except Exception as error:  # noqa: BLE001
        logs.get("runtime").critical("the service died", exc_info=error)
        code = EXIT_FAILED
    raise SystemExit(code)


async def serve(service: str, settings: S, build: Callable[[S], Awaitable[App]], listener: socket.socket) -> int:
    """Runs until a signal (0) or until a part dies (1)."""
    stop = asyncio.Event()
    with _signals(stop):
        app = await _built(build(settings), stop)
        if app is None:
            return 0
        require_guarded(app.web)
        return await Life(app, settings).run(stop, listener)


async def _built(building: Awaitable[App], stop: asyncio.Event) -> App | None:
    """None when the signal to stop came first."""
    made = asyncio.ensure_future(building)
    stopped = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({made, stopped}, return_when=asyncio.FIRST_COMPLETED)
        return made.result() if made.done() else None
    finally:
        made.cancel()
        stopped.cancel()
        await asyncio.gather(made, stopped, return_exceptions=True)


@contextlib.contextmanager
def _listening(service: str, host: str, port: int) -> Iterator[socket.socket]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
        except OSError as error:
            raise Misconfigured(
                f"cannot listen on {host}:{port} ({error.strerror}); "
                f"stop what uses it, or set DANGOL_{service.upper()}_PORT or DANGOL_HOST"
            ) from None
        yield listener


@contextlib.contextmanager
def _signals(stop: asyncio.Event) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    names = (signal.SIGTERM, signal.SIGINT)
    for name in names:
        loop.add_signal_handler(name, stop.set)
    try:
        yield
    finally:
        for name in names:
            loop.remove_signal_handler(name)


def loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if sys.platform == "win32":
        return None
    import uvloop

    return uvloop.new_event_loop
