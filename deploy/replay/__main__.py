"""How is a table of old purchases sent to a running system? `python -m deploy.replay TABLE --mapping FILE`."""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from deploy.demo.calls import Calls
from deploy.demo.settings import Access, access
from deploy.local.failure import StackFailure
from deploy.local.places import LOCAL
from deploy.local.steps import write
from deploy.replay import baskets, journal, mapping, sending, tables, times
from deploy.replay.journal import Journal
from deploy.replay.mapping import Mapping
from deploy.replay.times import Shift
from libs.common import clock

_TELL_EVERY_SECONDS = 5.0


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        return asyncio.run(_replay(options, access(), mapping.read(options.mapping)))
    except StackFailure as failure:
        sys.stderr.write(f"replay: {failure}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("replay: interrupted; the same command goes on from here\n")
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m deploy.replay", description=__doc__)
    parser.add_argument("table", type=Path, help="Parquet, or CSV (.csv, .tsv) with a header line")
    parser.add_argument("--mapping", type=Path, required=True, help="TOML or JSON; see deploy/replay/*.toml")
    parser.add_argument("--live", action="store_true", help="as if the last event happened now; else as history")
    parser.add_argument("--speed", type=float, default=1.0, help="with --live: press time together (default 1)")
    parser.add_argument("--rate", type=float, default=0.0, help="events per second at the most (default: no limit)")
    parser.add_argument("--in-flight", type=int, default=4, help="requests under way at once (default 4)")
    parser.add_argument("--journal", type=Path, help="where to note how far it got (default: under .local/replay)")
    parser.add_argument("--again", action="store_true", help="from the first line, whatever the journal says")
    return parser


async def _replay(options: argparse.Namespace, found: Access, columns: Mapping) -> int:
    if options.speed <= 0 or options.in_flight < 1 or options.rate < 0:
        raise StackFailure("--speed must be above 0, --in-flight at least 1, --rate not negative")
    about = _about(options, columns)
    file = options.journal or LOCAL / "replay" / f"{options.table.stem}-{about[-8:]}.json"
    kept = None if options.again else journal.load(file, about)
    if kept is not None and kept.finished:
        write(f"replay: {options.table.name} was sent to its end before; --again sends it once more")
        return 0
    kept = kept or Journal(about, live_ms=clock.now_ms() if options.live else None)
    shift = _shift(options, columns, kept)
    # Before anything is sent: the ids of a live replay follow from an instant that must not be forgotten.
    journal.save(file, kept)
    tally = sending.Tally(lines_done=kept.lines_done)

    def saved(lines_done: int) -> None:
        kept.lines_done = lines_done
        journal.save(file, kept)

    async with Calls(found, connections=options.in_flight) as calls:
        in_flight = options.in_flight
        sender = sending.Sender(calls, columns.channel, tally, rate=options.rate, in_flight=in_flight, saved=saved)
        telling = asyncio.create_task(_tell(calls, tally, tables.row_count(options.table)))
        try:
            events = _events(options.table, columns, kept.lines_done, shift)
            await sender.send(sending.batches(events, options.rate))
        finally:
            telling.cancel()
            with suppress(asyncio.CancelledError):
                await telling
    kept.finished = True
    journal.save(file, kept)
    return _end(tally)


def _about(options: argparse.Namespace, columns: Mapping) -> str:
    if not options.table.is_file():
        raise StackFailure(f"the table {options.table} is not there")
    way = f"live x{options.speed:g}" if options.live else "history"
    parts = (options.table.resolve(), options.table.stat().st_size, columns.fingerprint(), way)
    return f"{options.table.name} {way} {clock.derived_id('replay', *parts)}"


def _shift(options: argparse.Namespace, columns: Mapping, kept: Journal) -> Shift | None:
    if kept.live_ms is None:
        return None
    first, last = _ends(options.table, columns)
    shift = Shift(last, clock.from_ms(kept.live_ms), options.speed)
    times.require_young_enough(first, shift)
    return shift


def _ends(table: Path, columns: Mapping) -> tuple[datetime, datetime]:
    first = last = None
    for number, row in tables.rows(table, [columns.columns.time]):
        found = baskets.time_of(row, number, columns)
        first = found if first is None or found < first else first
        last = found if last is None or found > last else last
    if first is None or last is None:
        raise StackFailure(f"the table {table} has no rows")
    return first, last


def _events(
    table: Path, columns: Mapping, first_line: int, shift: Shift | None
) -> Iterator[tuple[dict[str, Any], int]]:
    for basket, lines_done in baskets.baskets(tables.rows(table, columns.needed(), first_line), columns):
        event = baskets.event(basket, columns)
        yield (times.as_history(event) if shift is None else times.as_live(event, shift)), lines_done


async def _tell(calls: Calls, tally: sending.Tally, lines: int | None) -> None:
    before, since, of = 0, time.monotonic(), f" of {lines:,}" if lines is not None else ""
    while True:
        await asyncio.sleep(_TELL_EVERY_SECONDS)
        at = time.monotonic()
        rate = (tally.accepted - before) / (at - since)
        waits = f", waited {calls.waits} times for the door" if calls.waits else ""
        write(
            f"replay: {tally.lines_done:,}{of} lines, {tally.accepted:,} events ({rate:,.0f}/s),"
            f" {tally.refused:,} refused{waits}"
        )
        before, since = tally.accepted, at


def _end(tally: sending.Tally) -> int:
    write(f"replay: done, {tally.lines_done:,} lines, {tally.accepted:,} events accepted, {tally.refused:,} refused")
    for fault in tally.faults:
        write(f"  refused: {fault}")
    return 1 if tally.refused else 0


if __name__ == "__main__":
    sys.exit(main())
