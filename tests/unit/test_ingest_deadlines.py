"""Is work that takes too long ended, and is all other work left alone?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from services.ingest.deadlines import Deadlines


@pytest_asyncio.fixture
async def deadlines() -> AsyncIterator[Deadlines]:
    made = Deadlines()
    await made.start()
    yield made
    await made.stop()


async def quick() -> str:
    return "done"


async def waits(seconds: float, ended: list[str]) -> str:
    try:
        await asyncio.sleep(0)
        await asyncio.sleep(seconds)
        return "done"
    except asyncio.CancelledError:
        ended.append("cancelled")
        raise


async def fails() -> None:
    await asyncio.sleep(0)
    raise ValueError("by itself")


async def test_work_that_need_not_wait_and_work_in_time_give_their_results(deadlines: Deadlines) -> None:
    assert await deadlines.bounded(quick(), 0.0) == "done"
    assert await deadlines.bounded(waits(0.01, []), 5.0) == "done"
    with pytest.raises(ValueError, match="by itself"):
        await deadlines.bounded(fails(), 5.0)


async def test_work_past_its_time_is_ended_and_the_task_lives_on(deadlines: Deadlines) -> None:
    ended: list[str] = []
    with pytest.raises(TimeoutError):
        await deadlines.bounded(waits(30.0, ended), 0.05)
    assert ended == ["cancelled"]
    assert await deadlines.bounded(waits(0.01, ended), 5.0) == "done"


async def test_who_is_cancelled_from_outside_is_cancelled(deadlines: Deadlines) -> None:
    ended: list[str] = []
    task = asyncio.create_task(deadlines.bounded(waits(30.0, ended), 30.0))
    await asyncio.sleep(0.01)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == ["cancelled"]
