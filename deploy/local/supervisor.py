"""What does `make run` do from the first line to the last?"""

import asyncio
import contextlib
import signal
import sys

from deploy.local import addresses, instance, steps
from deploy.local.failure import StackFailure
from deploy.local.stack import Stack


async def supervise() -> int:
    """Runs until Ctrl-C or SIGTERM (code 0), or until a part cannot be kept alive (code 1)."""
    ending, hurry = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # The first asks for the end, a second one cannot wait for it.
        loop.add_signal_handler(number, lambda: hurry.set() if ending.is_set() else ending.set())
    stack = Stack()
    running = asyncio.ensure_future(_run(stack))
    asked = asyncio.ensure_future(ending.wait())
    await asyncio.wait({running, asked}, return_when=asyncio.FIRST_COMPLETED)
    failed = running.done()
    if failed:
        _tell(running.exception())
    ending.set()
    for task in (running, asked):
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError, StackFailure):
            await task
    steps.write("Stopping")
    await stack.stop(hurry)
    steps.write("Stopped; state is kept in .local")
    return 1 if failed else 0


async def _run(stack: Stack) -> None:
    """Starts everything and then only waits; a part that keeps dying ends either."""
    given_up = asyncio.ensure_future(stack.until_given_up())
    starting = asyncio.ensure_future(stack.start())
    try:
        await asyncio.wait({given_up, starting}, return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            starting.result()
        await given_up
    finally:
        for task in (starting, given_up):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, StackFailure):
                await task


def _tell(error: BaseException | None) -> None:
    if isinstance(error, StackFailure):
        sys.stderr.write(f"error: {error}\n")
    elif error is not None:
        raise error


def main() -> int:
    try:
        with instance.claim():
            for name in instance.end_leftovers():
                steps.say(name, "was left running by a supervisor that died; ended")
            addresses.require_all_free()
            return asyncio.run(supervise())
    except StackFailure as failure:
        sys.stderr.write(f"error: {failure}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
