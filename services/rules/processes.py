"""How is long work over the log done beside the service? In processes of their own, at the lowest priority.

`Child` is the side of the service: it starts a module, gives it one line, and hears line by line how far it is.
`confined` is the side of the process: bound in memory, tied to the life of its service, and as nice as can be.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from libs.common import logs
from libs.common.errors import DangolError, Misconfigured
from libs.common.runtime import loop_factory
from services.rules.backtest import confining

ROOT = Path(__file__).resolve().parents[2]
EXIT_AGAIN = 1
_LINE_BYTES_MAX = 64 << 20
_NICEST = 19


class Line(Protocol):
    """What a process tells: how far it is, or its last word."""

    def __init__(self, *, error: str) -> None: ...
    @property
    def step(self) -> Any: ...
    @property
    def error(self) -> str: ...
    @property
    def is_last(self) -> bool: ...


L = TypeVar("L", bound=Line)


class Child(Generic[L]):
    """A process that is at one job, and what it has told."""

    def __init__(self, process: asyncio.subprocess.Process, task: bytes, line: type[L], name: str) -> None:
        self._process = process
        self._task = task
        self._line = msgspec.json.Decoder(line)
        self._failed = line
        self._name = name
        self._last: L | None = None
        self._listening = asyncio.create_task(self._listen(), name=name)
        self.step: Any = None
        self.heard = time.monotonic()

    @classmethod
    async def begun(cls, module: str, task: msgspec.Struct, line: type[L]) -> Child[L]:
        """`line` decodes what the process tells; made with an `error` alone, it is a last word."""
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            module,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=ROOT,
            limit=_LINE_BYTES_MAX,
            # A signal to the service's terminal is for the service, which ends its jobs itself.
            start_new_session=True,
        )
        return cls(process, msgspec.json.encode(task) + b"\n", line, module.rpartition(".")[2])

    @property
    def is_over(self) -> bool:
        return self._listening.done()

    @property
    def code(self) -> int | None:
        return self._process.returncode

    async def result(self) -> L | None:
        """The last word; None when it ended without one."""
        await self._listening
        return self._last

    async def kill(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        await self._listening

    def give_up(self, error: str) -> None:
        """Let this be its last word, unless it had one."""
        self._last = self._last or self._failed(error=error)

    async def _listen(self) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            self._process.stdin.write(self._task)
            await self._process.stdin.drain()
            self._process.stdin.close()
        try:
            while line := await self._process.stdout.readline():
                self._hear(self._line.decode(line))
        except (ValueError, msgspec.DecodeError) as error:
            # Half a line of a process that was ended, or something that is none of ours.
            logs.get(self._name).warning(f"{self._name}_unreadable", error=str(error))
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
        await self._process.wait()

    def _hear(self, told: L) -> None:
        self.step, self.heard = told.step or self.step, time.monotonic()
        if told.is_last:
            self._last = told


class Confined(Protocol):
    """What every task says of the process that does it. It ends with the process `parent`, if named."""

    @property
    def memory_mb(self) -> int: ...
    @property
    def log_level(self) -> str: ...
    @property
    def parent(self) -> int: ...


T = TypeVar("T", bound=Confined)


def confined(
    name: str,
    task: type[T],
    work: Callable[[T], Coroutine[Any, Any, None]],
    failed: Callable[[str], Any],
    remedy: str,
) -> int:
    """Do the work that standard input asks for; returns the exit code.

    `failed` makes a last word of an error; `remedy` says what to do where memory does not suffice.
    """
    asked = msgspec.json.decode(sys.stdin.buffer.readline(), type=task)
    if asked.parent and not confining.tie_to(asked.parent):
        return EXIT_AGAIN
    confining.bound_memory(asked.memory_mb)
    logs.configure(f"rules.{name}", asked.log_level)
    if hasattr(os, "nice"):
        os.nice(_NICEST)
    # States are trees without cycles: looking through them again and again would cost more than all else.
    gc.freeze()
    gc.set_threshold(200_000, 50, 1_000)
    error = ""
    try:
        with asyncio.Runner(loop_factory=loop_factory()) as runner:
            runner.run(work(asked))
    except BrokenPipeError:
        # Whoever asked is gone, or wants no answer any more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_AGAIN
    except MemoryError:
        error = f"its process needs more memory than {asked.memory_mb:,} MB beside the program; {remedy}"
    except Misconfigured as wrong:
        error = str(wrong)
    except DangolError as trouble:
        logs.get(name).warning(f"{name}_interrupted", error=str(trouble))
        return EXIT_AGAIN
    # Only now, when all that was remembered has gone.
    if error:
        tell(failed(error))
    return 0


def tell(told: Any) -> None:
    sys.stdout.buffer.write(msgspec.json.encode(told) + b"\n")
    sys.stdout.buffer.flush()
