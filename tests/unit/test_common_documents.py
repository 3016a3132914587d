"""Does the difference of two documents say every change, and the watcher never go back?"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.documents import ActiveDocument, SnapshotWatcher, diff
from libs.common.errors import NotCaughtUp, StoreAway
from libs.common.metrics import Metrics
from libs.common.watching import Watcher

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.text(max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=8,
)


def test_a_change_says_where_and_what_was_and_is() -> None:
    was = {"when": {"type": "event"}, "limits": [1, 2], "gone": None, "a/b~c": 1}
    now = {"when": {"type": "absence"}, "limits": [1, 3, 4], "new": None, "a/b~c": 2}
    assert diff(was, now) == [
        {"pointer": "/when/type", "was": "event", "now": "absence"},
        {"pointer": "/limits/1", "was": 2, "now": 3},
        {"pointer": "/limits/2", "now": 4},
        {"pointer": "/new", "now": None},
        {"pointer": "/a~1b~0c", "was": 1, "now": 2},
        {"pointer": "/gone", "was": None},
    ]


@given(VALUES, VALUES)
def test_nothing_differs_exactly_when_the_documents_are_equal(was: Any, now: Any) -> None:
    assert (diff(was, now) == []) == (msgspec.json.encode(was, order="deterministic") == msgspec.json.encode(
        now, order="deterministic"))  # fmt: skip
    assert diff(was, was) == []


class Store:
    """What the watcher sees of a database: one kind, its number and its documents, or an outage."""

    def __init__(self) -> None:
        self.number = 1
        self.bodies: dict[str, bytes] = {"a": b"1"}
        self.away = False

    @contextlib.asynccontextmanager
    async def connect(self) -> AsyncIterator[Store]:
        if self.away:
            raise StoreAway("no database")
        yield self

    async def fetchval(self, sql: str, *values: Any) -> int:
        return self.number

    async def fetch(self, sql: str, *values: Any) -> list[dict[str, Any]]:
        return [
            {
                "number": self.number,
                "id": id,
                "version": 1,
                "status": "active",
                "ramp_percent": 100,
                "body": body.decode(),
            }
            for id, body in sorted(self.bodies.items())
        ]


def total(documents: Sequence[ActiveDocument]) -> int:
    return sum(msgspec.json.decode(document.body, type=int) for document in documents)


def watcher_of(store: Store) -> tuple[SnapshotWatcher[int], Metrics]:
    metrics = Metrics("demo", process=False)
    return SnapshotWatcher("rule", store.connect, total, metrics, interval_seconds=0.01), metrics


async def test_a_new_number_brings_a_new_snapshot() -> None:
    store = Store()
    watcher, metrics = watcher_of(store)
    with pytest.raises(NotCaughtUp):
        watcher.require()
    assert watcher.problems() != []
    await watcher.refresh()
    assert (watcher.require().number, watcher.require().content) == (1, 1)
    store.number, store.bodies = 2, {"a": b"1", "b": b"5"}
    await watcher.refresh()
    assert (watcher.require().number, watcher.require().content) == (2, 6)
    assert watcher.problems() == []
    assert 'dangol_demo_document_snapshot_number{kind="rule"} 2.0' in metrics.render().decode()


async def test_a_snapshot_that_does_not_compile_leaves_the_old_one_in_use_and_says_so() -> None:
    store = Store()
    watcher, metrics = watcher_of(store)
    await watcher.refresh()
    store.number, store.bodies = 2, {"a": b'"not a number"'}
    await watcher.refresh()
    await watcher.refresh()
    assert watcher.require().number == 1
    assert "snapshot 2 could not be compiled" in watcher.problems()[0]
    assert 'snapshot_failures_total{kind="rule"} 1.0' in metrics.render().decode()
    store.number, store.bodies = 3, {"a": b"7"}
    await watcher.refresh()
    assert watcher.require().content == 7 and watcher.problems() == []


async def test_a_lower_number_is_never_taken() -> None:
    store = Store()
    store.number = 9
    watcher, _ = watcher_of(store)
    await watcher.refresh()
    store.number, store.bodies = 8, {}
    await watcher.refresh()
    assert watcher.require().number == 9 and watcher.require().content == 1
    assert "older than 9" in watcher.problems()[0]


async def test_an_outage_keeps_what_is_in_use(monkeypatch: pytest.MonkeyPatch) -> None:
    from libs.common import watching

    store = Store()
    watcher, _ = watcher_of(store)
    await watcher.start()
    store.away = True
    await asyncio.sleep(0.05)
    assert watcher.require().content == 1 and watcher.problems() == []
    monkeypatch.setattr(watching, "STALE_SECONDS_MAX", 0.0)
    assert "not read for" in watcher.problems()[0]
    monkeypatch.undo()
    store.away, store.number, store.bodies = False, 2, {"a": b"4"}
    async with asyncio.timeout(5):
        while watcher.require().number == 1:
            await asyncio.sleep(0.01)
    assert watcher.require().content == 4
    await watcher.stop()


async def test_a_first_look_at_a_database_that_is_away_is_raised_so_that_the_start_is_tried_again() -> None:
    store = Store()
    store.away = True
    watcher, _ = watcher_of(store)
    with pytest.raises(StoreAway):
        await watcher.start()


class Follower(Watcher):
    """Follows a number that is set from outside; what a look finds may be anything."""

    def __init__(self) -> None:
        super().__init__("number", interval_seconds=0.01)
        self.used = 0
        self.found: int | Exception = 0
        self.looks = 0

    async def refresh(self) -> None:
        self.looks += 1
        if isinstance(self.found, Exception):
            raise self.found
        if self._is_newer(self.found, self.used):
            self.used = self.found


async def test_a_watcher_outlives_whatever_a_look_raises_and_says_what_is_wrong() -> None:
    follower = Follower()
    await follower.start()
    for trouble in (StoreAway("no database"), KeyError("a slip"), TimeoutError()):
        follower.found, before = trouble, follower.looks
        async with asyncio.timeout(10):
            while follower.looks < before + 2:
                await asyncio.sleep(0.01)
    assert follower.problems() == []
    follower.found = 5
    async with asyncio.timeout(10):
        while follower.used != 5:
            await asyncio.sleep(0.01)
    follower.found = 4
    async with asyncio.timeout(10):
        while not follower.problems():
            await asyncio.sleep(0.01)
    assert follower.used == 5 and "older than 5" in follower.problems()[0]
    await follower.stop()
