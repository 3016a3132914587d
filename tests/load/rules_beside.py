"""Do backtests slow what is live? From an event in the log to its trigger, with none and with two at work beside it.

Both sides in one run, in turns. Backtests run at the lowest priority, on the same core as the service.
"""

from __future__ import annotations

import asyncio
import json
import time
import urllib.request
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from libs.common import clock
from libs.common.events import EventResolved
from tests.load.ground import ground, server
from tests.load.rows import Row, Scale
from tests.load.rules_ground import Feed, customers, event, prepare, quantile, token, until_counted, variables_of

_HISTORY: Final = 300_000
_PER_SECOND: Final = 40
_SECONDS: Final = 10
_TURNS: Final = 3
_BESIDE: Final = 2
_PATIENCE_SECONDS: Final = 60.0
_LIVE: Final = {
    "id": "any-visit",
    "name": "x",
    "when": {"type": "event", "event": "visit"},
    "emit": {"trigger": "a.b"},
}
_THRICE: Final = {"of": "count", "event": "search", "over": {"last": "7d"}}
_ASKED: Final = {**_LIVE, "id": "asked-one", "when": {"type": "measure", "measure": _THRICE, "reaches": 3}}


def rows(scale: Scale) -> list[Row]:
    found: dict[bool, list[float]] = {False: [], True: []}
    with ground() as stand:
        variables = variables_of(stand)
        asyncio.run(prepare(stand, variables, [_LIVE]))
        with server("services.rules", int(variables["DANGOL_RULES_PORT"]), stand.folder, variables):
            asyncio.run(_measure(stand.kafka.bootstrap, variables, scale, found))
    alone, beside = ({share: quantile(found[side], share) for share in (0.5, 0.99)} for side in (False, True))
    note = f"{len(found[True]):,} events at {_PER_SECOND}/s; median {beside[0.5]:.1f} against {alone[0.5]:.1f} ms"
    return [Row("live p99 beside two backtests", beside[0.99], "ms", "with none, same run", alone[0.99], note)]


async def _measure(bootstrap: str, variables: Mapping[str, str], scale: Scale, found: dict[bool, list[float]]) -> None:
    port, total = int(variables["DANGOL_RULES_PORT"]), scale.events(_HISTORY)
    async with Feed(bootstrap, variables["DANGOL_TOPIC_PREFIX"]) as feed:
        await feed.give(_history(total))
        await asyncio.to_thread(until_counted, port, "events", total)
        await _latencies(feed, 1)
        for _ in range(_TURNS):
            found[False] += await _latencies(feed, _SECONDS)
            asked = [await asyncio.to_thread(_ask, port) for _ in range(_BESIDE)]
            await _until_running(port, asked)
            found[True] += await _latencies(feed, _SECONDS, beside=(port, asked))
            for each in asked:
                await asyncio.to_thread(_call, port, f"/v1/rules/backtests/{each}/cancel", {})


def _history(total: int) -> Iterator[EventResolved]:
    people, now_ms = customers(20_000), clock.now_ms()
    for number in range(total):
        yield event(people[number % len(people)], "search", f"h-{number}", now_ms - total + number)


async def _latencies(feed: Feed, seconds: int, beside: tuple[int, list[str]] | None = None) -> list[float]:
    """Milliseconds from giving an event to reading its trigger. `beside` is kept at two that run."""
    people, given, found = customers(500), dict[str, float](), list[float]()
    began = time.monotonic()

    async def read() -> None:
        while len(found) < seconds * _PER_SECOND and time.monotonic() < began + seconds + _PATIENCE_SECONDS:
            for trigger in await feed.triggers(20):
                if trigger.event_id in given:
                    found.append(1000 * (time.monotonic() - given[trigger.event_id]))

    reading = asyncio.create_task(read())
    for number in range(seconds * _PER_SECOND):
        await asyncio.sleep(max(0.0, began + number / _PER_SECOND - time.monotonic()))
        name = f"l-{began}-{number}"
        given[name] = time.monotonic()
        await feed.give([event(people[number % len(people)], "visit", name, clock.now_ms())])
        if beside is not None and number % _PER_SECOND == 0:
            await asyncio.to_thread(_keep_up, *beside)
    await reading
    if len(found) < seconds * _PER_SECOND:
        raise AssertionError(f"{len(found)} of {seconds * _PER_SECOND} triggers came")
    return found


async def _until_running(port: int, asked: list[str]) -> None:
    end = time.monotonic() + _PATIENCE_SECONDS
    while not all(await asyncio.gather(*(asyncio.to_thread(_is_at_work, port, each) for each in asked))):
        if time.monotonic() > end:
            raise AssertionError("two backtests never ran at once: give them more to read")
        await asyncio.sleep(0.1)


def _keep_up(port: int, asked: list[str]) -> None:
    """One that has finished is followed by another."""
    for at, each in enumerate(asked):
        if _call(port, f"/v1/rules/backtests/{each}")["state"] not in ("queued", "running"):
            asked[at] = _ask(port)


def _is_at_work(port: int, id: str) -> bool:
    return bool(_call(port, f"/v1/rules/backtests/{id}")["state"] != "queued")


def _ask(port: int) -> str:
    since = datetime(2020, 1, 1, tzinfo=UTC).isoformat()
    return str(_call(port, "/v1/rules/backtests", {"rule": _ASKED, "from": since, "overlap": False})["id"])


def _call(port: int, path: str, body: Any = None) -> Any:
    headers = {"Authorization": f"Bearer {token()}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.loads(answer.read())
