"""Does the round of the guard get through whatever was counted, however much, and by the limits that hold?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import date
from zoneinfo import ZoneInfo

import msgspec
import pytest

from libs.common import clock, documents
from libs.common.documents import guarding, limits, writing
from libs.common.documents.guarding import AskGuards, Counted, GuardedKind
from libs.common.documents.limits import Guards
from libs.common.documents.shapes import Connection
from libs.common.documents.stopping import Guardian
from libs.common.metrics import Metrics
from services.campaign.document import KIND
from tests.campaign_stage import DOCUMENT, Place, staged

GUARDED = GuardedKind(KIND, "campaigns", "Asia/Seoul")
COMPANY = Guards(0.5, 0.1, 5.0, 50.0, 10, 7)


@pytest.fixture
async def place(kafka_bootstrap: str, database_url: str, topic_prefix: str) -> AsyncIterator[Place]:
    async with staged(kafka_bootstrap, database_url, topic_prefix) as found:
        yield found


async def company(connection: Connection) -> Guards:
    return COMPANY


def guardian(place: Place, ask: AskGuards = company, kind: GuardedKind = GUARDED) -> Guardian:
    return Guardian(place.floor.database, kind, ask, Metrics("test", process=False))


async def note_harm(place: Place, *ids: str, contacts: int = 100, unsubscribed: int = 50) -> None:
    """As if so many contacts of each had come about just now."""
    at = clock.now()
    counted = [
        Counted(id, 1, at, measure, number)
        for id in ids
        for measure, number in (("contacts", contacts), ("unsubscribed", unsubscribed))
    ]
    async with place.floor.database.transaction() as tx:
        await guarding.count(tx, KIND, 0, GUARDED.zone, counted)


async def in_force(place: Place, count: int) -> list[str]:
    """So many campaigns, written without compiling them each time."""
    ids = [f"c{number:03}" for number in range(count)]
    async with place.floor.database.transaction() as tx:
        for id in ids:
            body = msgspec.json.encode(DOCUMENT | {"id": id})
            await documents.create_version(tx, KIND, id, body, author="m")
            await documents.activate(tx, KIND, id, 1, author="m")
    return ids


async def paused(place: Place) -> list[str]:
    return [id for (id,) in await place.rows("SELECT id FROM document WHERE status = 'paused' ORDER BY id")]


async def test_a_company_with_many_documents_is_looked_at_in_slices_and_no_slice_waits_for_another(
    place: Place,
) -> None:
    ids = await in_force(place, 2 * guarding.JUDGED_AT_ONCE + 10)
    await note_harm(place, ids[0], ids[-1])
    async with place.floor.database.transaction() as tx:
        await guarding.touch_all(tx, KIND)
    seen: list[int] = []

    async def third_fails(connection: Connection) -> Guards:
        seen.append(len(await paused(place)))
        if len(seen) == 4:
            raise RuntimeError("the third slice")
        return COMPANY

    with pytest.raises(RuntimeError, match="the third slice"):
        await guardian(place, third_fails).turn()
    assert seen == [0, 0, 1, 1], "asked twice for the first slice, whose pause stands before the second begins"
    assert await paused(place) == [ids[0]]
    await guardian(place).turn()
    assert await paused(place) == [ids[0], ids[-1]], "the notes were kept for what was not looked at"
    assert await place.rows("SELECT number FROM document_guard_touched") == []


async def test_a_round_searches_no_count_that_would_stop(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(limits, "least_over")
    [harmless, harmful] = await in_force(place, 2)
    await note_harm(place, harmless, contacts=200_000, unsubscribed=1_001)
    await note_harm(place, harmful, contacts=200_000, unsubscribed=2_000)
    await guardian(place).turn()
    assert await paused(place) == [harmful]


async def test_after_as_many_notes_as_are_taken_at_once_there_is_no_rest(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guarding, "NOTES_AT_ONCE", 3)
    ids = await in_force(place, 4)
    for id in ids:
        await note_harm(place, id)
    at_work = guardian(place)
    assert (await at_work.turn(), await paused(place)) == (0.0, ids[:3])
    assert (await at_work.turn(), await paused(place)) == (2.0, ids)


async def test_limits_that_are_raised_while_the_guard_waits_count(place: Place) -> None:
    [one] = await in_force(place, 1)
    await note_harm(place, one)
    allowed = COMPANY
    waiting = (
        "SELECT count(*)::int FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )

    async def ask(connection: Connection) -> Guards:
        return allowed

    async with place.floor.database.transaction() as tx:
        await writing.lock(tx, KIND)
        turn = asyncio.create_task(guardian(place, ask).turn())
        await place.until(waiting, [(1,)])
        allowed = msgspec.structs.replace(COMPANY, unsubscribe_percent=90.0)
    await turn
    assert await paused(place) == []


async def test_limits_that_are_lowered_while_the_notes_are_looked_at_leave_a_note_that_stays(place: Place) -> None:
    [one] = await in_force(place, 1)
    await note_harm(place, one, unsubscribed=1)
    allowed = COMPANY

    async def ask(connection: Connection) -> Guards:
        nonlocal allowed
        before = allowed
        if before is COMPANY:
            allowed = msgspec.structs.replace(COMPANY, unsubscribe_percent=0.0)
            async with place.floor.database.transaction() as tx:
                await guarding.touch_all(tx, KIND)
        return before

    at_work = guardian(place, ask)
    await at_work.turn()
    assert await paused(place) == [], "one of a hundred may be chance"
    await at_work.turn()
    assert await paused(place) == [one], "whoever had asked before reading would have thrown the note away"


@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "Etc/GMT+12"])
async def test_a_pause_names_the_day_of_the_company_on_which_the_count_began(place: Place, zone: str) -> None:
    """Fourteen hours before UTC and twelve behind: at any time one of the two has another date than UTC."""
    [one] = await in_force(place, 1)
    await note_harm(place, one)
    await guardian(place, kind=GuardedKind(KIND, "campaigns", zone)).turn()
    stop = await guarding.last_stop(place.connection, KIND, one)
    [found] = await guarding.guarded(place.connection, KIND, [one], date(2000, 1, 1))
    day = found.since.astimezone(ZoneInfo(zone)).date().isoformat()
    assert stop is not None and f"unsubscribed since {day} " in stop.note
    assert stop.figures[0]["since"] == day
