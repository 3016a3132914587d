"""Are versions numbered without gaps, is one version live at most, and is each snapshot whole?"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from libs.common import documents
from libs.common.db import Database
from libs.common.errors import Conflict, NotFound, Stale

KIND = "rule"


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    opened = Database(database_url, application="test", size=6)
    await opened.start()
    async with opened.connection() as connection:
        await connection.execute(documents.SQL + documents.REVIEW_SQL)
    yield opened
    await opened.stop()


async def draft(database: Database, id: str = "welcome", body: bytes = b"{}", expected: int | None = None) -> int:
    async with database.transaction() as tx:
        made = await documents.create_version(tx, KIND, id, body, author="ops-1", expected=expected)
    return made.version


async def activate(database: Database, id: str, version: int, *, ramp_percent: int = 100, note: str = "") -> None:
    async with database.transaction() as tx:
        await documents.activate(tx, KIND, id, version, author="ops-2", note=note, ramp_percent=ramp_percent)


async def snapshot(database: Database, at: int | None = None) -> tuple[int, dict[str, int]]:
    async with database.connection() as connection:
        number, active = await documents.load_snapshot(connection, KIND, at=at)
    return number, {document.id: document.version for document in active}


async def test_the_author_gets_back_what_they_wrote(database: Database) -> None:
    body = b'{"z": 1.10, "a": "\xeb\x8b\xa8\xea\xb3\xa8", "n": 12345678901234567890}'
    await draft(database, body=body)
    async with database.connection() as connection:
        latest = await documents.get(connection, KIND, "welcome")
    assert latest.body == body and latest.status == "draft" and latest.author == "ops-1"
    assert list(latest.content) == ["z", "a", "n"]


async def test_versions_are_numbered_and_a_change_of_something_else_is_refused(database: Database) -> None:
    assert await draft(database, expected=0) == 1
    assert await draft(database, expected=1) == 2
    with pytest.raises(Stale, match="at version 2 by now, not 1"):
        await draft(database, expected=1)
    with pytest.raises(Conflict, match="already"):
        await draft(database, expected=0)
    with pytest.raises(NotFound):
        await draft(database, id="other", expected=3)


async def test_authors_who_write_at_once_lose_nothing(database: Database) -> None:
    made = await asyncio.gather(*(draft(database) for _ in range(12)))
    assert sorted(made) == list(range(1, 13))


async def test_of_authors_who_read_the_same_version_one_wins(database: Database) -> None:
    await draft(database)
    outcomes = await asyncio.gather(*(draft(database, expected=1) for _ in range(5)), return_exceptions=True)
    assert [outcome for outcome in outcomes if not isinstance(outcome, Stale)] == [2]


async def test_activating_another_version_retires_the_one_before(database: Database) -> None:
    for _ in range(2):
        await draft(database)
    await activate(database, "welcome", 1)
    await activate(database, "welcome", 2)
    async with database.connection() as connection:
        versions = await documents.versions(connection, KIND, "welcome")
    assert [(version.version, version.status) for version in versions] == [(2, "active"), (1, "retired")]
    assert await snapshot(database) == (2, {"welcome": 2})


async def test_an_older_version_can_be_rolled_back_to(database: Database) -> None:
    for _ in range(2):
        await draft(database)
    for version in (1, 2, 1):
        await activate(database, "welcome", version)
    assert await snapshot(database) == (3, {"welcome": 1})


async def test_each_switch_raises_the_number_and_a_repeat_does_not(database: Database) -> None:
    await draft(database)
    await activate(database, "welcome", 1, ramp_percent=10)
    await activate(database, "welcome", 1, ramp_percent=10)
    assert await snapshot(database) == (1, {"welcome": 1})
    await activate(database, "welcome", 1, ramp_percent=50)
    async with database.transaction() as tx:
        await documents.pause(tx, KIND, "welcome", author="ops-2")
        await documents.pause(tx, KIND, "welcome", author="ops-2")
    assert await snapshot(database) == (3, {})
    async with database.transaction() as tx:
        resumed = await documents.resume(tx, KIND, "welcome", author="ops-2")
    assert resumed.status == "active" and resumed.ramp_percent == 50
    async with database.transaction() as tx:
        await documents.retire(tx, KIND, "welcome", author="ops-2")
        await documents.retire(tx, KIND, "welcome", author="ops-2")
    assert await snapshot(database) == (5, {})


async def test_paused_documents_are_given_to_those_who_ask(database: Database) -> None:
    await draft(database)
    await activate(database, "welcome", 1)
    async with database.transaction() as tx:
        await documents.pause(tx, KIND, "welcome", author="ops-2")
    async with database.connection() as connection:
        _, found = await documents.load_snapshot(connection, KIND, with_paused=True)
    assert [(document.id, document.status) for document in found] == [("welcome", "paused")]


async def test_what_counted_at_an_earlier_number_can_be_read_again(database: Database) -> None:
    for id in ("a", "b"):
        for _ in range(2):
            await draft(database, id=id)
    await activate(database, "a", 1)
    await activate(database, "b", 1)
    await activate(database, "a", 2)
    async with database.transaction() as tx:
        await documents.retire(tx, KIND, "b", author="ops-2")
    expected = {0: {}, 1: {"a": 1}, 2: {"a": 1, "b": 1}, 3: {"a": 2, "b": 1}, 4: {"a": 2}, 99: {"a": 2}}
    for number, documents_then in expected.items():
        assert await snapshot(database, at=number) == (min(number, 4), documents_then)


async def test_who_switched_what_and_why_is_kept(database: Database) -> None:
    await draft(database)
    await draft(database)
    await activate(database, "welcome", 1, note="first try")
    await activate(database, "welcome", 2, note="better text", ramp_percent=20)
    async with database.connection() as connection:
        latest, first = await documents.changes(connection, KIND, id="welcome")
    assert (latest.number, latest.version, latest.was_version, latest.was_status) == (2, 2, 1, "active")
    assert (latest.author, latest.note, latest.ramp_percent) == ("ops-2", "better text", 20)
    assert (first.was_version, first.was_status, first.note) == (1, "draft", "first try")


async def test_kinds_do_not_meet(database: Database) -> None:
    await draft(database)
    await activate(database, "welcome", 1)
    async with database.connection() as connection:
        assert await documents.snapshot_number(connection, "campaign") == 0
        assert await documents.load_snapshot(connection, "campaign") == (0, [])
        assert await documents.page(connection, "campaign") == []


async def test_a_switch_that_is_rolled_back_leaves_no_number(database: Database) -> None:
    await draft(database)
    with pytest.raises(ZeroDivisionError):
        async with database.transaction() as tx:
            await documents.activate(tx, KIND, "welcome", 1, author="ops-2")
            raise ZeroDivisionError
    assert await snapshot(database) == (0, {})


async def test_a_reader_sees_the_number_and_the_documents_of_one_moment(database: Database) -> None:
    ids = [f"r{n}" for n in range(8)]
    for id in ids:
        await draft(database, id=id)
    seen: list[tuple[int, dict[str, int]]] = []

    async def read() -> None:
        while not seen or seen[-1][0] < len(ids):
            seen.append(await snapshot(database))

    await asyncio.gather(read(), read(), *(activate(database, id, 1) for id in ids))
    assert all(len(active) == number for number, active in seen)


async def test_what_does_not_exist_or_is_not_live_is_said(database: Database) -> None:
    with pytest.raises(NotFound):
        await activate(database, "nothing", 1)
    await draft(database)
    with pytest.raises(NotFound, match="version 7"):
        await activate(database, "welcome", 7)
    with pytest.raises(NotFound):
        await activate(database, "welcome", 2**40)
    with pytest.raises(Conflict, match="is draft"):
        async with database.transaction() as tx:
            await documents.pause(tx, KIND, "welcome", author="ops-2")
    async with database.connection() as connection:
        with pytest.raises(NotFound, match="no active version"):
            await documents.get(connection, KIND, "welcome", "active")


async def test_a_list_shows_the_latest_version_beside_the_live_one(database: Database) -> None:
    for id in ("a", "b", "c"):
        await draft(database, id=id)
    await activate(database, "a", 1)
    await draft(database, id="a")
    async with database.connection() as connection:
        everything = await documents.page(connection, KIND)
        rest = await documents.page(connection, KIND, after="a", limit=1)
        active = await documents.page(connection, KIND, status="active")
        drafts = await documents.page(connection, KIND, status="draft")
    assert [(item.latest.id, item.latest.version, item.live_version) for item in everything] == [
        ("a", 2, 1),
        ("b", 1, None),
        ("c", 1, None),
    ]
    assert [item.latest.id for item in rest] == ["b"]
    assert [item.latest.id for item in active] == ["a"]
    assert [item.latest.id for item in drafts] == ["b", "c"]


async def test_a_running_watcher_learns_a_switch_within_its_interval(database: Database) -> None:
    from libs.common.metrics import Metrics

    watcher = documents.SnapshotWatcher(
        KIND, database.connection, lambda found: [document.id for document in found],
        Metrics("demo", process=False), interval_seconds=0.05,
    )  # fmt: skip
    await draft(database)
    await watcher.start()
    assert watcher.require().content == []
    await activate(database, "welcome", 1)
    async with asyncio.timeout(5):
        while watcher.require().number == 0:
            await asyncio.sleep(0.01)
    assert watcher.require().content == ["welcome"]
    await watcher.stop()
