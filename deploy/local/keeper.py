"""How is one process of the stack kept alive, and when is it given up?"""

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from deploy.local import children, instance, steps
from deploy.local.failure import StackFailure

_POLL_SECONDS = 0.1
_DEATHS_MAX = 5
_DEATHS_WITHIN_SECONDS = 60.0
_BACKOFF_SECONDS = (0.5, 1.0, 2.0, 4.0)
_LAST_LINES = 12


class Keeper:
    """Starts a process by `launch`, and again each time it dies; `stop_signal` asks it to end in peace."""

    def __init__(
        self,
        name: str,
        launch: Callable[[], children.Child],
        log: Path,
        *,
        stop_signal: signal.Signals = signal.SIGTERM,
        may_finish: bool = False,
    ) -> None:
        self.name = name
        self.log = log
        self.stop_signal = stop_signal
        self.child: children.Child | None = None
        self._launch = launch
        self._may_finish = may_finish
        self._deaths: list[float] = []

    def start(self) -> None:
        self.child = self._launch()
        instance.remember(self.name, self.child)

    async def watch(self) -> None:
        """Returns when the process finished, if it may; a StackFailure when it keeps dying."""
        while True:
            code = await self._ended()
            if code == 0 and self._may_finish:
                steps.say(self.name, "finished")
                instance.forget(self.name)
                return
            await self._mourn(code)
            self.start()

    async def _ended(self) -> int:
        while True:
            code = self.child.poll() if self.child is not None else 0
            if code is not None:
                return code
            await asyncio.sleep(_POLL_SECONDS)

    async def _mourn(self, code: int) -> None:
        now = time.monotonic()
        self._deaths = [at for at in self._deaths if now - at < _DEATHS_WITHIN_SECONDS] + [now]
        if len(self._deaths) >= _DEATHS_MAX:
            words = children.last_words(self.log, _LAST_LINES, "\n    ")
            raise StackFailure(
                f"{self.name} died {_DEATHS_MAX} times within {_DEATHS_WITHIN_SECONDS:.0f} s, {_how(code)}."
                f" Its last words (all in {self.log}):\n    {words}"
            )
        wait = _BACKOFF_SECONDS[len(self._deaths) - 1]
        steps.say(self.name, f"died, {_how(code)}; starting it again in {wait} s (log: {self.log})")
        await asyncio.sleep(wait)


def _how(code: int) -> str:
    if code >= 0:
        return f"exit code {code}"
    with contextlib.suppress(ValueError):
        return f"killed by {signal.Signals(-code).name}"
    return f"killed by signal {-code}"


async def end_all(keepers: Sequence[Keeper], seconds_max: float, hurry: asyncio.Event) -> None:
    """Asks all at once, waits for all, and kills those that take longer or when the person is in a hurry."""
    alive = _alive(keepers)
    for keeper, child in alive:
        with contextlib.suppress(ProcessLookupError):
            child.send_signal(keeper.stop_signal)
    deadline = time.monotonic() + seconds_max
    while alive and time.monotonic() < deadline and not hurry.is_set():
        await asyncio.sleep(_POLL_SECONDS / 2)
        alive = _alive(keepers)
    for keeper, child in alive:
        steps.say(keeper.name, "did not end in time and was killed")
        children.kill_group(child)
    for keeper in keepers:
        instance.forget(keeper.name)


def _alive(keepers: Sequence[Keeper]) -> list[tuple[Keeper, children.Child]]:
    return [(k, k.child) for k in keepers if k.child is not None and k.child.poll() is None]
