"""How is one long step run, told and, when interrupted, ended with all that it started?"""

import asyncio
import contextlib
import os
import signal
import sys
import time
from collections.abc import Awaitable, Mapping, Sequence
from pathlib import Path

from deploy.local.children import last_words
from deploy.local.failure import StackFailure

_TELL_EVERY_SECONDS = 10.0


def write(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def say(name: str, text: str) -> None:
    write(f"  {name:<16}  {text}")


async def told(name: str, doing: str, step: Awaitable[str]) -> None:
    """Tells the start, every ten seconds that it still goes on, and the end with its time."""
    began = time.monotonic()
    say(name, doing)
    task = asyncio.ensure_future(step)
    try:
        while not (await asyncio.wait({task}, timeout=_TELL_EVERY_SECONDS))[0]:
            say(name, f"{doing} ({time.monotonic() - began:.0f} s)")
    except asyncio.CancelledError:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        raise
    say(name, f"{task.result()}, {time.monotonic() - began:.1f} s")


async def command(
    arguments: Sequence[str], log: Path, *, env: Mapping[str, str] | None = None, cwd: Path | None = None
) -> None:
    """Runs a command with its output in `log`; a failure carries its last words."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        output.write(f"$ {' '.join(arguments)}\n".encode())
        output.flush()
        process = await asyncio.create_subprocess_exec(
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            env=env,
            cwd=cwd,
            start_new_session=True,
        )
    try:
        code = await process.wait()
    except asyncio.CancelledError:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        await process.wait()
        raise
    if code != 0:
        raise StackFailure(f"`{Path(arguments[0]).name}` ended with code {code}: {last_words(log)} (log: {log})")
