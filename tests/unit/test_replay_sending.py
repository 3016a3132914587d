"""Does a replay note only what is acknowledged, and keep within its bounds?"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from deploy.demo.calls import Calls
from deploy.demo.settings import Access
from deploy.local.failure import StackFailure
from deploy.replay import journal, tables
from deploy.replay.journal import Journal
from deploy.replay.sending import BATCH_BYTES_MAX, BATCH_EVENTS_MAX, Batch, Sender, Tally, batches
from deploy.replay.times import Shift, as_live, require_young_enough

NOW = datetime(2026, 11, 21, tzinfo=UTC)


class Door(Calls):
    """Answers batches in an order of its own: the first of each pair after the second."""

    def __init__(self) -> None:
        super().__init__(Access({}, {}, {}))
        self.open_now = 0
        self.open_most = 0

    async def send(self, channel: str, events: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        self.open_now += 1
        self.open_most = max(self.open_most, self.open_now)
        await asyncio.sleep(0.02 if events[0]["id"] % 2 == 0 else 0.0)
        self.open_now -= 1
        return {"accepted": len(events), "rejected": []}


async def test_what_is_noted_never_runs_ahead_of_what_is_acknowledged() -> None:
    noted: list[int] = []
    door, tally = Door(), Tally()
    sender = Sender(door, "web", tally, rate=0, in_flight=3, saved=noted.append)
    await sender.send(Batch([{"id": number}], number + 1) for number in range(10))
    assert noted == list(range(1, 11))
    assert (tally.accepted, door.open_most) == (10, 3)


async def test_a_rate_is_kept() -> None:
    began = asyncio.get_running_loop().time()
    sender = Sender(Door(), "web", Tally(), rate=50, in_flight=4, saved=lambda _: None)
    await sender.send(Batch([{"id": 1}] * 5, number) for number in range(4))
    assert 0.3 <= asyncio.get_running_loop().time() - began < 2


def test_batches_stay_within_what_the_door_takes() -> None:
    small = [({"id": str(number)}, number + 1) for number in range(600)]
    assert [len(batch.events) for batch in batches(small)] == [BATCH_EVENTS_MAX, BATCH_EVENTS_MAX, 100]
    large = [({"id": "x", "data": "y" * 300_000}, number) for number in range(5)]
    assert all(len(batch.events) * 300_000 <= BATCH_BYTES_MAX for batch in batches(large))
    assert [batch.lines_done for batch in batches(small)] == [250, 500, 600]
    assert {len(batch.events) for batch in batches(small, rate=20.5)} == {20}


def test_the_last_event_of_a_live_replay_is_now_and_the_others_keep_their_distance() -> None:
    shift = Shift(last=NOW - timedelta(days=4000), now=NOW, speed=2.0)
    event = {"id": "a", "time": (shift.last - timedelta(hours=4)).isoformat()}
    assert datetime.fromisoformat(as_live(event, shift)["time"]) == NOW - timedelta(hours=2)
    assert as_live(event, shift)["id"] != "a"


def test_a_table_that_is_too_long_to_be_live_says_how_to_press_it_together() -> None:
    shift = Shift(last=NOW, now=NOW, speed=1.0)
    with pytest.raises(StackFailure, match=r"--speed 10\.1 or more"):
        require_young_enough(NOW - timedelta(days=350), shift)
    require_young_enough(NOW - timedelta(days=350), Shift(NOW, NOW, 10.1))


def test_a_journal_of_another_replay_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "journal.json"
    assert journal.load(file, "this") is None
    journal.save(file, Journal("this", 7))
    found = journal.load(file, "this")
    assert found is not None and found.lines_done == 7
    with pytest.raises(StackFailure, match="belongs to another table"):
        journal.load(file, "that")


def test_csv_rows_are_numbered_and_can_be_taken_up_in_the_middle(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("a,b\n1,x\n2,y\n3,z\n")
    assert list(tables.rows(file, ["a"], first=2)) == [(2, {"a": "3", "b": "z"})]


def test_a_missing_column_is_named_with_those_that_are_there(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text("a,b\n1,x\n")
    with pytest.raises(StackFailure, match="no column 'c'; it has a, b"):
        list(tables.rows(file, ["c"]))
