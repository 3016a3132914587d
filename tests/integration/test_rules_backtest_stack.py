"""Does `make backtest` work on a service as it is started, and does a job outlive that service's sudden death?"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest

from deploy.local.settings import ROOT
from libs.common import clock
from libs.common.events import EventResolved
from libs.common.kafka import Publisher, Record
from libs.common.topics import EVENT_RESOLVED, partition_of
from tests.stack import Stack

SECONDS_MAX = 60.0
VISIT: dict[str, Any] = {
    "id": "any-visit",
    "name": "Any visit",
    "when": {"type": "event", "event": "visit"},
    "emit": {"trigger": "a.b"},
}


@pytest.fixture
def stack(tmp_path: Path, postgres_url: str, kafka_bootstrap: str) -> Iterator[Stack]:
    made = Stack(tmp_path, database_url=postgres_url, kafka_bootstrap=kafka_bootstrap, partitions=2)
    made.prepare()
    asyncio.run(_give(made, 3))
    made.launch("rules")
    made.wait_ready("rules")
    yield made
    made.discard()


async def _give(stack: Stack, count: int) -> None:
    publisher = Publisher(stack.kafka_bootstrap, prefix=stack.topic_prefix)
    await publisher.start()
    now, records = clock.now(), []
    for _ in range(count):
        customer = str(clock.new_id())
        event = EventResolved(str(clock.new_id()), customer, customer, "visit", "test", now, clock.to_ms(now))
        key = customer.encode()
        records.append(Record(EVENT_RESOLVED.name, partition_of(key, 2), key, msgspec.json.encode(event)))
    await publisher.publish(records)
    await publisher.stop()


def commanded(stack: Stack, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "deploy.demo.backtest", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=stack.variables(), capture_output=True, text=True, timeout=SECONDS_MAX, check=False
    )


def waited(what: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + SECONDS_MAX
    while not (found := what()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.002)
    return found


def jobs_of(pid: int) -> list[int]:
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        children = [int(each) for task in tasks for each in (task / "children").read_text().split()]
        return [each for each in children if b"rules.backtest" in Path(f"/proc/{each}/cmdline").read_bytes()]
    except OSError:
        return []


def stopped_at_the_lowest_priority(job: int) -> bool:
    """Lets it run for some milliseconds only, so that it has not come to its end when it is looked at."""
    os.kill(job, signal.SIGCONT)
    time.sleep(0.005)
    os.kill(job, signal.SIGSTOP)
    return os.getpriority(os.PRIO_PROCESS, job) == 19


def test_the_command_tells_what_a_rule_in_a_file_would_have_done(stack: Stack, tmp_path: Path) -> None:
    file = tmp_path / "rule.json"
    file.write_text(json.dumps(VISIT))
    done = commanded(stack, str(file), "--from", "2026-01-01")
    assert done.returncode == 0, done.stderr
    assert "3 triggers for 3 customers" in done.stdout and "outcomes: fired 3" in done.stdout
    file.write_text(json.dumps({**VISIT, "whn": 1}))
    wrong = commanded(stack, str(file))
    assert wrong.returncode == 1 and "#/rule/whn: is not known here" in wrong.stderr
    missing = commanded(stack, "not-there")
    assert missing.returncode == 1 and "There is no rule" in missing.stderr


def test_a_job_outlives_a_service_that_is_killed_and_leaves_no_process_behind(stack: Stack) -> None:
    service = stack.pid("rules")
    assert service is not None
    headers = {"Authorization": f"Bearer {stack.tokens['marketer']}"}
    with httpx2.Client(base_url=stack.urls["rules"], headers=headers) as client:
        question = {"rule": VISIT, "from": "2026-01-01T00:00:00Z"}
        asked = client.post("/v1/rules/backtests", json=question).json()
        [job] = waited(lambda: jobs_of(service))
        waited(lambda: stopped_at_the_lowest_priority(job))
        stack.kill("rules")
        # It stands still, as within one long call: only the kernel can end it.
        waited(lambda: not Path(f"/proc/{job}").exists() or b"Z" in Path(f"/proc/{job}/stat").read_bytes().split()[2])
        stack.launch("rules")
        stack.wait_ready("rules")
        address = f"/v1/rules/backtests/{asked['id']}"
        waited(lambda: client.get(address).json()["state"] == "finished")
        assert client.get(address).json()["report"]["fires"] == 3
