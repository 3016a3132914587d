"""Is a file gone through exactly, when its process is killed, its servers go away, or it is larger than memory?"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import os
import signal
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from deploy.local.broker import KafkaBroker
from deploy.local.ports import free_port
from deploy.local.postgres import PostgresServer
from libs.common import clock
from libs.common.topics import EVENT_REJECTED
from tests.ingest_door import POS, Door, another, fresh, running
from tests.ingest_imports import COLUMNS, ended, post, rows, seen, sent, sheet

LINES = 6_000
FILE_MEGABYTES = int(os.environ.get("DANGOL_TEST_IMPORT_MEGABYTES", "24"))
RESIDENT_MEGABYTES_MAX = 200
# The first process takes no files: it is there to be asked, and to take over.
IDLE = {"DANGOL_INGEST_IMPORT_RUNNING_MAX": "0"}


@contextlib.asynccontextmanager
async def stage(
    postgres_url: str, kafka_bootstrap: str, folder: Path, **more: str
) -> AsyncIterator[tuple[Door, dict[str, str]]]:
    """A door that goes through no files, and the settings of others that do."""
    name = f"t{clock.new_id().hex[-12:]}"
    async with running(postgres_url, kafka_bootstrap, name, folder, more=IDLE | more) as door:
        yield door, {"DANGOL_INGEST_IMPORT_RUNNING_MAX": "2"} | more


def mixed(number: int) -> bytes:
    """Every tenth line is refused for its type."""
    return sheet([[*row[:1], "visitt", *row[2:]] if n % 10 == 3 else row for n, row in enumerate(rows(number))])


async def killed(door: Door) -> None:
    door.process.kill()
    await door.process.wait()


async def accounted(door: Door, import_id: str, number: int, repeats_max: int) -> None:
    """Every line exactly: the counts in the row, and in the log each event with always the same bytes."""
    view = await ended(door, import_id, 120)
    assert view["state"] == "done", view
    refused = number // 10
    assert view["lines"] == {
        "total": number,
        "read": number,
        "accepted": number - refused,
        "refused": refused,
        "skipped": 0,
    }
    assert view["sent"]["amounts"] == {"KRW": str((number - refused) * 1_000)}
    found = await sent(door)
    assert found.keys() == {("store-031/pos-2", f"r-{n}") for n in range(number) if n % 10 != 3}
    assert all(len(bytes_of) == 1 for bytes_of in found.values()), "an event was sent with two bodies"
    repeats = sum(times.total() - 1 for times in found.values())
    assert repeats <= repeats_max, f"{repeats} repeats"
    headers = {"Authorization": f"Bearer {POS}"}
    address = f"{door.address}/v1/imports/{import_id}/rejects?format=ndjson"
    async with door.client.get(address, headers=headers) as answer:
        kept = (await answer.read()).splitlines()
    assert len(kept) == len(set(kept)) == refused


async def test_an_import_whose_process_is_killed_is_gone_on_with_within_seconds(
    postgres_url: str, kafka_bootstrap: str, tmp_path: Path
) -> None:
    async with stage(postgres_url, kafka_bootstrap, tmp_path) as (door, working):
        slow = working | {"DANGOL_INGEST_IMPORT_LINES_PER_SECOND_MAX": "2000"}
        async with another(door, slow) as first:
            status, answer = await post(door, mixed(LINES))
            assert status == 202
            async with asyncio.timeout(30):
                while (await seen(door, answer["id"]))["lines"]["accepted"] < LINES // 5:
                    await asyncio.sleep(0.02)
            await killed(first)
            died = time.monotonic()
            before = (await seen(door, answer["id"]))["lines"]["read"]
            assert before < LINES
            async with another(door, working) as second:
                started = time.monotonic()
                async with asyncio.timeout(20):
                    while (await seen(door, answer["id"]))["lines"]["read"] <= before:
                        await asyncio.sleep(0.02)
                # The lease of the dead lasts three seconds; who looks for work does so every second.
                assert time.monotonic() - max(died, started) < 6.0
                await accounted(second, answer["id"], LINES, repeats_max=500)


async def test_a_process_that_dies_after_each_publish_repeats_one_block_at_most(
    postgres_url: str, kafka_bootstrap: str, tmp_path: Path
) -> None:
    """The worst moment: a block is in the log and nothing says so."""
    async with stage(postgres_url, kafka_bootstrap, tmp_path) as (door, working):
        status, answer = await post(door, mixed(2_000))
        assert status == 202
        for _ in range(2):
            async with another(door, working | {"DANGOL_CRASHPOINTS": "import_published:1"}) as first:
                await asyncio.wait_for(first.process.wait(), 30)
        assert (await seen(door, answer["id"]))["lines"]["accepted"] == 0
        async with another(door, working) as last:
            await accounted(last, answer["id"], 2_000, repeats_max=2 * 500)


async def test_two_processes_share_the_files_and_no_line_is_sent_twice(
    postgres_url: str, kafka_bootstrap: str, tmp_path: Path
) -> None:
    async with stage(postgres_url, kafka_bootstrap, tmp_path) as (door, working):
        async with another(door, working), another(door, working):
            sheets = [sheet([[f"{n}-{row[0]}", *row[1:]] for row in rows(1_500)]) for n in range(5)]
            answers = await asyncio.gather(*(post(door, each) for each in sheets))
            for _, answer in answers:
                assert (await ended(door, answer["id"]))["lines"]["accepted"] == 1_500
        found = await sent(door)
        assert len(found) == 7_500 and all(times.total() == 1 for times in found.values())


async def test_a_process_that_was_frozen_finds_its_import_in_other_hands(
    postgres_url: str, kafka_bootstrap: str, tmp_path: Path
) -> None:
    async with stage(postgres_url, kafka_bootstrap, tmp_path) as (door, working):
        slow = working | {"DANGOL_INGEST_IMPORT_LINES_PER_SECOND_MAX": "1500"}
        async with another(door, slow) as first:
            # Compressed, so that whoever goes on has to find the place again from the beginning.
            _, answer = await post(door, gzip.compress(mixed(LINES)))
            async with asyncio.timeout(30):
                while (await seen(door, answer["id"]))["lines"]["accepted"] < 500:
                    await asyncio.sleep(0.02)
            first.process.send_signal(signal.SIGSTOP)
            try:
                before = (await seen(door, answer["id"]))["lines"]["read"]
                async with another(door, slow):
                    async with asyncio.timeout(30):
                        while (await seen(door, answer["id"]))["lines"]["read"] <= before + 500:
                            await asyncio.sleep(0.02)
                    # It wakes up in the middle of what it was doing, while the other one is at it.
                    first.process.send_signal(signal.SIGCONT)
                    await accounted(door, answer["id"], LINES, repeats_max=500)
            finally:
                first.process.send_signal(signal.SIGCONT)


async def test_when_postgresql_was_killed_an_import_goes_on_by_itself(
    postgres: PostgresServer, kafka_bootstrap: str, tmp_path: Path
) -> None:
    async with stage(postgres.url, kafka_bootstrap, tmp_path) as (door, working):
        slow = working | {"DANGOL_INGEST_IMPORT_LINES_PER_SECOND_MAX": "1500"}
        async with another(door, slow):
            _, answer = await post(door, mixed(LINES))
            async with asyncio.timeout(30):
                while (await seen(door, answer["id"]))["lines"]["accepted"] < 500:
                    await asyncio.sleep(0.02)
            postgres.kill()
            status, problem = await post(door, b"id,type\n")
            assert status == 503 and problem["detail"]
            await asyncio.sleep(2.0)
            postgres.start()
            async with asyncio.timeout(30):
                while (await asked(door, answer["id"])) != 200:
                    await asyncio.sleep(0.1)
            await accounted(door, answer["id"], LINES, repeats_max=500)


async def asked(door: Door, import_id: str) -> int:
    headers = {"Authorization": f"Bearer {POS}"}
    async with door.client.get(f"{door.address}/v1/imports/{import_id}", headers=headers) as answer:
        return answer.status


async def test_while_kafka_is_away_an_import_waits_and_then_goes_on_by_itself(
    postgres_url: str, tmp_path: Path
) -> None:
    broker = KafkaBroker(tmp_path / "kafka", free_port())
    broker.start()
    try:
        async with stage(postgres_url, broker.bootstrap, tmp_path) as (door, working):
            slow = working | {"DANGOL_INGEST_IMPORT_LINES_PER_SECOND_MAX": "3000"}
            async with another(door, slow) as first:
                status, answer = await post(door, mixed(LINES))
                assert status == 202
                async with asyncio.timeout(30):
                    while (await seen(door, answer["id"]))["lines"]["accepted"] < 1_000:
                        await asyncio.sleep(0.02)
                broker.kill()
                await asyncio.sleep(4.0)
                stuck = (await seen(door, answer["id"]))["lines"]["read"]
                await asyncio.sleep(2.0)
                view = await seen(door, answer["id"])
                assert (view["state"], view["lines"]["read"]) == ("importing", stuck)
                broker.start()
                await accounted(first, answer["id"], LINES, repeats_max=20 * 500)
                async with asyncio.timeout(15):
                    while (await first.send(fresh()))[0] != 202:
                        await asyncio.sleep(0.1)
    finally:
        broker.stop()


async def test_a_large_file_takes_no_more_memory_than_a_small_one(
    postgres_url: str, kafka_bootstrap: str, tmp_path: Path
) -> None:
    """`DANGOL_TEST_IMPORT_MEGABYTES=100` for the size that is promised."""
    note = "x" * 2_000
    line = ["big", *rows(1)[0][1:], note]
    one = len(sheet([line])) - len(sheet([]))
    number = FILE_MEGABYTES * 1_000_000 // one

    async def body() -> AsyncIterator[bytes]:
        yield sheet([], (*COLUMNS, "data.note"))
        for begin in range(0, number, 100):
            end = min(number, begin + 100)
            yield sheet([[f"big-{n}", *line[1:]] for n in range(begin, end)])[len(sheet([])) :]

    async with stage(postgres_url, kafka_bootstrap, tmp_path) as (door, working):
        async with another(door, working) as worker:
            status, answer = await post(worker, body(), lines=str(number))
            assert status == 202
            view = await ended(door, answer["id"], 170)
            assert (view["state"], view["lines"]["accepted"]) == ("done", number)
            assert view["bytes"]["received"] > FILE_MEGABYTES * 1_000_000 * 0.95
            # The most that the process ever had, upload and both passes together.
            status_file = Path(f"/proc/{worker.process.pid}/status")
            if not status_file.exists():
                pytest.skip("there is no /proc here to tell the memory of a process")
            (peak,) = [row for row in status_file.read_text().splitlines() if row.startswith("VmHWM:")]
            assert int(peak.split()[1]) / 1_000 < RESIDENT_MEGABYTES_MAX, peak
            print(f"{FILE_MEGABYTES} MB, {number} lines: {peak}")


async def test_what_was_refused_is_kept_in_the_log_as_well(
    postgres_url: str, kafka_bootstrap: str, tmp_path: Path
) -> None:
    async with stage(postgres_url, kafka_bootstrap, tmp_path) as (door, working):
        async with another(door, working):
            _, answer = await post(door, mixed(1_000))
            assert (await ended(door, answer["id"]))["lines"]["refused"] == 100
        told = [json.loads(message.value or b"{}") for message in await door.log(EVENT_REJECTED.name)]
        lines = {each["context"]["line"] for each in told if each["door"] == f"imports/{answer['id']}"}
        assert lines == {str(n + 2) for n in range(1_000) if n % 10 == 3}
