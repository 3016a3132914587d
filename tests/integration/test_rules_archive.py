"""Does history in files stand for the log that it was taken from, without gap or overlap, and without the erased?"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest
from aiokafka.admin import RecordsToDelete
from aiokafka.structs import TopicPartition

from libs.common import clock, progress
from libs.common.errors import Misconfigured
from libs.common.events import ERASED, Change, EventResolved
from libs.common.kafka import Publisher, Record, ensure_topics
from libs.common.kafka.catalogue import connected
from libs.common.topics import EVENT_RESOLVED, partition_of
from services.rules.archive import files
from services.rules.archive.exporting import Log, export
from services.rules.backtest.running import run
from services.rules.backtest.shapes import Question, Task, Told

UNITS = 2
DAY_MS, HOUR_MS = 86_400_000, 3_600_000
KINDS: list[dict[str, Any]] = [
    {"type": "event", "event": "visit", "where": [{"field": "event.amount", "op": "at_least", "value": 60}]},
    {"type": "measure", "measure": {"of": "count", "event": "visit", "over": {"last": "3d"}}, "reaches": 3},
    {"type": "absence", "after": {"event": "cart_add"}, "no": {"event": "purchase"}, "for": "1h"},
    {"type": "change", "field": "profile.tier", "to": ["gold"]},
    {"type": "sequence", "steps": [{"event": "visit"}, {"event": "purchase"}], "within": "1d"},
    {"type": "dormancy", "no": {"event": "purchase"}, "for": "12h"},
]


class Place(NamedTuple):
    log: Log
    publisher: Publisher


@pytest.fixture
async def place(kafka_bootstrap: str, topic_prefix: str) -> AsyncIterator[Place]:
    await ensure_topics(kafka_bootstrap, prefix=topic_prefix, partitions=UNITS, catalogue=[EVENT_RESOLVED])
    publisher = Publisher(kafka_bootstrap, prefix=topic_prefix)
    await publisher.start()
    yield Place(Log(kafka_bootstrap, topic_prefix, EVENT_RESOLVED.name, UNITS), publisher)
    await publisher.stop()


class Upstream:
    """What a profile service of two units would have said, in the order in which it did."""

    def __init__(self, seed: int) -> None:
        self._chance = random.Random(seed)
        self._people = [str(clock.new_id()) for _ in range(20)]
        self._seq = 0
        self.now_ms = clock.now_ms() - 3 * DAY_MS

    def some(self, count: int) -> list[Record]:
        records = []
        for number in range(count):
            self.now_ms += self._chance.randrange(600_000)
            records.append(self.event(self._chance.choice(self._people), self._kind()))
            if number % 10 == 0:
                records += self.marks()
        return records

    def _kind(self) -> str:
        return self._chance.choice(("visit", "purchase", "cart_add", "search"))

    def event(self, customer: str, kind: str, seq: int | None = None) -> Record:
        tier = self._chance.choice(("basic", "gold"))
        event = EventResolved(
            event_id=str(clock.new_id()),
            customer_id=customer,
            person_id=customer,
            type=kind,
            source="test",
            time=clock.from_ms(self.now_ms - self._chance.choice((0, 0, 4 * HOUR_MS))),
            received_ms=self.now_ms,
            data=msgspec.Raw(msgspec.json.encode({"amount": self._chance.randrange(100)})),
            profile=msgspec.Raw(msgspec.json.encode({"tier": tier})),
            changed={"tier": Change("basic", tier)} if self._chance.random() < 0.3 else {},
            history=self._chance.random() < 0.05,
        )
        self._seq += 1
        stamp = progress.ORIGIN, progress.stamp("profile.apply/0", seq or self._seq)
        key = customer.encode()
        return Record(EVENT_RESOLVED.name, partition_of(key, UNITS), key, msgspec.json.encode(event), [stamp])

    def marks(self) -> list[Record]:
        marks = [(progress.MARK, progress.stamp(f"profile.apply/{unit}", self.now_ms)) for unit in range(UNITS)]
        return [Record(EVENT_RESOLVED.name, unit, None, None, [mark]) for unit in range(UNITS) for mark in marks]


async def answered(place: Place, when: dict[str, Any], archive: Path | None) -> tuple[list[str], dict[str, Any]]:
    """The triggers of a rule, and what the report says but for how long it took."""
    question = Question(
        rule=msgspec.Raw(
            msgspec.json.encode({"id": "the-rule", "name": "x", "when": when, "emit": {"trigger": "a.b"}})
        ),
        since=clock.from_ms(0),
        until=clock.from_ms(clock.now_ms() + DAY_MS),
        company_zone="Asia/Seoul",
        examples=1_000_000,
        grace_seconds=0,
    )
    folder = "" if archive is None else str(archive)
    told: list[Told] = []
    await run(Task(question, *place.log, 256, archive=folder), told.append)
    report = msgspec.to_builtins(told[-1].report)
    assert report["undecodable"] == 0
    timing = ("seconds", "events_per_second")
    return (
        sorted(each.trigger_id for each in told[-1].examples),
        {name: value for name, value in report.items() if name not in timing},
    )


async def cut(place: Place) -> None:
    """Retention takes everything that is in the log by now."""
    admin = await connected(place.log.bootstrap)
    try:
        name = place.log.prefix + EVENT_RESOLVED.name
        await admin.delete_records({TopicPartition(name, unit): RecordsToDelete(-1) for unit in range(UNITS)})
    finally:
        await admin.close()


async def test_files_and_log_together_answer_as_the_whole_log_did(place: Place, tmp_path: Path) -> None:
    upstream = Upstream(3)
    await place.publisher.publish(upstream.some(300))
    first = await export(place.log, tmp_path)
    assert first.messages > 300 and first.unreadable == 0
    again = await export(place.log, tmp_path)
    assert again.messages == 0, "there was nothing new"
    await place.publisher.publish(upstream.some(150))
    second = await export(place.log, tmp_path)
    await cut_and_go_on(place, upstream, tmp_path, first.messages + second.messages)


async def cut_and_go_on(place: Place, upstream: Upstream, archive: Path, count: int) -> None:
    """One more piece that is in the log alone, where a repeat of what is in the files alone comes in as well."""
    held = {unit: [row for each in own for rows in files.read(each) for row in rows] for unit, own in pieces(archive)}
    assert sum(map(len, held.values())) == count
    last = [row for row in held[0] if row.value is not None][-1]
    stamp = progress.ORIGIN, progress.stamp(last.origin, last.seq)
    repeat = Record(EVENT_RESOLVED.name, 0, (last.customer_id or "").encode(), last.value, [stamp])
    await place.publisher.publish([repeat, *upstream.some(150)])
    whole = [await answered(place, when, None) for when in KINDS]
    assert [await answered(place, when, archive) for when in KINDS] == whole, "both are there: nothing counts twice"
    assert all(triggers for triggers, _ in whole), "a kind that never fires proves nothing"
    await export(place.log, archive)
    await cut(place)
    alone = [await answered(place, when, archive) for when in KINDS]
    assert [triggers for triggers, _ in alone] == [triggers for triggers, _ in whole], "files alone"


def pieces(folder: Path) -> list[tuple[int, list[files.Piece]]]:
    return sorted(files.pieces(folder).items())


async def test_whoever_is_erased_is_gone_from_older_files_with_the_next_export(place: Place, tmp_path: Path) -> None:
    upstream = Upstream(5)
    goes, stays = str(clock.new_id()), str(clock.new_id())
    await place.publisher.publish([*upstream.some(40), upstream.event(goes, "visit"), upstream.event(stays, "visit")])
    await export(place.log, tmp_path)
    before = {each.path.name for _, own in pieces(tmp_path) for each in own}
    assert goes.encode() in values(tmp_path)
    await place.publisher.publish([upstream.event(goes, "visit"), upstream.event(goes, ERASED), *upstream.some(5)])
    done = await export(place.log, tmp_path)
    assert done.erased == 1
    assert [row.value for row in rows(tmp_path) if row.customer_id == goes and b'"visit"' in (row.value or b"")] == []
    [said] = [row for row in rows(tmp_path) if row.customer_id == goes]
    assert b"profile.erased" in (said.value or b""), "that there was an erasure stays, as in the log"
    assert stays.encode() in values(tmp_path)
    assert before < {each.path.name for _, own in pieces(tmp_path) for each in own}
    assert not list(tmp_path.rglob("*.being-written"))


def rows(folder: Path) -> list[files.Found]:
    return [row for _, own in pieces(folder) for each in own for some in files.read(each) for row in some]


def values(folder: Path) -> bytes:
    return b"".join(row.value or b"" for row in rows(folder))


async def test_an_interrupted_erasure_is_done_by_the_next_export(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream, goes = Upstream(6), str(clock.new_id())
    await place.publisher.publish([upstream.event(goes, "visit")])
    await export(place.log, tmp_path)
    await place.publisher.publish([upstream.event(goes, ERASED)])

    def broken(*given: Any) -> int:
        raise OSError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(files, "forget", broken)
        with pytest.raises(OSError, match="full"):
            await export(place.log, tmp_path)
    assert b'"visit"' in values(tmp_path)
    await export(place.log, tmp_path)
    assert b'"visit"' not in values(tmp_path) and goes.encode() in values(tmp_path)


async def test_a_gap_between_files_and_log_is_no_answer(place: Place, tmp_path: Path) -> None:
    upstream = Upstream(7)
    await place.publisher.publish(upstream.some(20))
    await export(place.log, tmp_path)
    await place.publisher.publish(upstream.some(20))
    await cut(place)
    with pytest.raises(Misconfigured, match="what lies between is lost"):
        await answered(place, KINDS[0], tmp_path)


async def test_an_archive_of_another_number_of_partitions_is_refused(place: Place, tmp_path: Path) -> None:
    await export(place.log, tmp_path)
    with pytest.raises(Misconfigured, match="in 2 partitions, not of .* in 4"):
        await export(place.log._replace(partitions=4), tmp_path)
