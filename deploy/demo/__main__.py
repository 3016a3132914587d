"""How is the demo shop started? `python -m deploy.demo`, once the services are ready."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys

from deploy.demo import town
from deploy.demo.calls import Calls
from deploy.demo.settings import Access, access
from deploy.demo.shop import Shop
from deploy.local.failure import StackFailure


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        return asyncio.run(_run(access(), options))
    except StackFailure as failure:
        sys.stderr.write(f"demo shop: {failure}\n")
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m deploy.demo", description=__doc__)
    parser.add_argument("--speed", type=float, default=20.0, help="events per second (default 20)")
    parser.add_argument("--customers", type=int, default=2_000, help="people in the town (default 2,000)")
    parser.add_argument("--seed", type=int, default=7, help="another seed makes another town (default 7)")
    parser.add_argument("--seconds", type=float, default=0.0, help="end after so many; 0 never (default)")
    return parser


async def _run(found: Access, options: argparse.Namespace) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    async with Calls(found) as calls:
        shop = Shop(calls, town.found(options.seed, options.customers), options.speed)
        opening = asyncio.create_task(shop.open())
        ended = asyncio.create_task(stop.wait())
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, stop.set)
        await asyncio.wait({opening, ended}, return_when=asyncio.FIRST_COMPLETED)
        if not opening.done():
            opening.cancel()
            return 0
        opening.result()
        if options.seconds:
            loop.call_later(options.seconds, stop.set)
        await shop.run(stop)
        ended.cancel()
    return 0


if __name__ == "__main__":
    sys.exit(main())
