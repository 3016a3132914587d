"""How do tests bring in files? Sheets of any length, uploads by clients that others wrote, and a wait for the end."""

from __future__ import annotations

import asyncio
import csv
import io
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from tusclient.client import TusClient
from tusclient.uploader.uploader import Uploader

from libs.common.topics import EVENT_RECEIVED
from tests.ingest_door import POS, Door, now

COLUMNS = ("id", "type", "time", "identifiers.loyalty_card", "branch", "data.amount", "data.currency")
ENDED = {"done", "failed", "cancelled", "expired", "totals_disagree"}


def rows(number: int, begin: int = 0, **changes: str) -> list[list[str]]:
    """Sales of 1,000 won each, of one moment; `changes` are columns by name."""
    moment = changes.get("time", now())
    made = []
    for index in range(begin, begin + number):
        row = [f"r-{index}", "purchase", moment, f"8801-{index % 97:04}", "gangnam", "1000", "KRW"]
        made.append([changes.get(name, value) for name, value in zip(COLUMNS, row, strict=True)])
    return made


def sheet(lines: Iterable[Sequence[str]], columns: Sequence[str] = COLUMNS, delimiter: str = ",") -> bytes:
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter).writerows([columns, *lines])
    return text.getvalue().encode()


def uploader(door: Door, body: bytes, chunk: int = 64 * 1024, url: str | None = None, **metadata: str) -> Uploader:
    """A client that goes on with `url`, or with an upload of its own."""
    client = TusClient(f"{door.address}/v1/imports", headers={"Authorization": f"Bearer {POS}"})
    about = {"format": "csv", "source": "store-031/pos-2"} | metadata
    return client.uploader(file_stream=io.BytesIO(body), url=url, chunk_size=chunk, metadata=about)


def id_of(upload: Uploader) -> str:
    """The import that a client has made or goes on with."""
    return str(upload.url).rsplit("/", 1)[1]


async def post(
    door: Door,
    body: Any,
    key: str = POS,
    kind: str = "text/csv",
    headers: Mapping[str, str] | None = None,
    **query: str,
) -> tuple[int, Any]:
    """One shot: status and decoded answer. An asynchronous iterator goes out in chunks."""
    whole = {"Authorization": f"Bearer {key}", "Content-Type": kind} | dict(headers or {})
    query = {"source": "store-031/pos-2"} | query
    sent = io.BytesIO(body) if isinstance(body, bytes) else body
    async with door.client.post(f"{door.address}/v1/imports", params=query, data=sent, headers=whole) as answer:
        return answer.status, json.loads(await answer.read())


async def brought(door: Door, body: Any, **options: Any) -> dict[str, Any]:
    """What became of a file that was sent in one shot."""
    status, answer = await post(door, body, **options)
    assert status == 202, answer
    return await ended(door, answer["id"], key=options.get("key", POS))


async def seen(door: Door, import_id: str, key: str = POS) -> dict[str, Any]:
    headers = {"Authorization": f"Bearer {key}"}
    async with door.client.get(f"{door.address}/v1/imports/{import_id}", headers=headers) as answer:
        told: dict[str, Any] = await answer.json()
        assert answer.status == 200, told
        return told


async def ended(door: Door, import_id: str, seconds_max: float = 60.0, key: str = POS) -> dict[str, Any]:
    async with asyncio.timeout(seconds_max):
        while (view := await seen(door, import_id, key))["state"] not in ENDED:
            await asyncio.sleep(0.05)
    return view


async def sent(door: Door) -> dict[tuple[str, str], Counter[bytes]]:
    """What is in the log, by source and id: how often which bytes."""
    found: dict[tuple[str, str], Counter[bytes]] = {}
    for message in await door.log(EVENT_RECEIVED.name):
        assert message.value is not None
        event = json.loads(message.value)
        found.setdefault((event["source"], event["id"]), Counter())[bytes(message.value)] += 1
    return found
