"""Are dead letters bounded and traceable, and does nothing old remain the newest of a key?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from libs.common.events import Fact
from libs.common.kafka import Record
from libs.common.progress import Progress
from libs.common.unit import WorkerSpec, burial
from libs.common.unit.aftermath import Aftermath
from libs.common.unit.burial import BURIED_PER_MINUTE_MAX, Pace
from libs.common.unit.reading import Reading
from tests.tally import specs


@dataclass
class Read:
    """A message as the broker gives it."""

    value: bytes | None
    headers: list[tuple[str, bytes]] = field(default_factory=list)
    topic: str = "tally.given.v1"
    partition: int = 0
    offset: int = 7
    timestamp: int = 1
    key: bytes | None = b"k"


def spec() -> WorkerSpec:
    return specs()[0]


GOOD = b'{"key": "k", "number": 1}'


LETTERS = spec().dead_letters


def letter(record: Read, topic: str = "tally.given.v1", worker: bytes = b"tally.split") -> Read:
    """A message as it comes back out of the dead-letter topic."""
    dead = burial.of_message(topic, record, "because", dead_letters=LETTERS)
    return Read(dead.value, [("worker", worker), *dead.about.items()], topic=LETTERS, offset=99)


def test_a_dead_letter_that_dies_again_keeps_its_first_place_and_counts_on() -> None:
    again = burial.of_message(LETTERS, letter(Read(b"x")), "still", dead_letters=LETTERS).about
    assert again == {"reason": b"still", "topic": b"tally.given.v1", "offset": b"7", "attempts": b"2"}


def test_a_dead_letter_that_is_tried_again_has_the_headers_of_its_message_however_often_it_dies() -> None:
    came = [("everyone", b"1"), ("traffic", b"test"), ("topic", b"of its own"), ("origin", b"ingest/0:3")]
    again = letter(Read(GOOD, came))
    for attempts in (2, 3):
        [message] = Reading(spec()).read([(LETTERS, again)], Progress()).messages["tally.given.v1"]
        assert message.headers == {"everyone": b"1", "traffic": b"test", "topic": b"of its own"}
        assert message.attempts == attempts
        dead = burial.of_message(LETTERS, again, "still", dead_letters=LETTERS)
        again = Read(dead.value, [("worker", b"tally.split"), *dead.about.items()], topic=LETTERS, offset=100)


def test_a_dead_letter_of_another_worker_is_passed_over() -> None:
    reading = Reading(spec())
    mine, foreign = letter(Read(GOOD)), letter(Read(GOOD), worker=b"tally.count")
    [message] = reading.read([(LETTERS, mine)], Progress()).messages["tally.given.v1"]
    assert message.attempts == 2
    assert reading.read([(LETTERS, foreign)], Progress()).empty


def test_what_cannot_be_read_is_set_aside_with_a_reason_and_the_position_moves_on() -> None:
    at = Progress()
    records = [("tally.given.v1", Read(each)) for each in (b"{", None, GOOD, b'{"key": 3, "number": 1}')]
    batch = Reading(spec()).read(records, at)
    assert len(batch.dead) == 3
    assert [message.event.number for message in batch.messages["tally.given.v1"]] == [1]
    assert at.positions == {"tally.given.v1": 8}


def test_a_tombstone_is_told_by_its_key_unless_the_key_lives_again() -> None:
    async def ignored(*_: Any) -> Sequence[Fact]:
        return ()

    [given, *others] = spec().inputs
    reading = Reading(replace(spec(), inputs=[replace(given, on_erased=ignored), *others]))
    records = [
        *(("tally.given.v1", Read(GOOD, key=key)) for key in (b"a", b"b")),
        *(("tally.given.v1", Read(None, key=key)) for key in (b"a", b"b", b"c")),
        ("tally.given.v1", Read(GOOD, key=b"b")),
    ]
    batch = reading.read(records, Progress())
    assert batch.erased == {"tally.given.v1": ["a", "c"]}
    assert len(batch.messages["tally.given.v1"]) == 3 and not batch.dead and not batch.empty


def test_a_tombstone_that_dies_is_a_letter_with_its_key_and_erases_when_it_is_tried_again() -> None:
    async def ignored(*_: Any) -> Sequence[Fact]:
        return ()

    [given, *others] = spec().inputs
    erasable = Reading(replace(spec(), inputs=[replace(given, on_erased=ignored), *others]))
    record = Read(None, key=b"a")
    for attempts in (b"1", b"2"):
        dead = burial.of_message(record.topic, record, "because", dead_letters=LETTERS)
        assert dead.key == b"a" and dead.value is not None and dead.about["attempts"] == attempts
        record = Read(dead.value, [("worker", b"tally.split"), ("key", b"a"), *dead.about.items()], topic=LETTERS)
        batch = erasable.read([(LETTERS, record)], Progress())
        assert batch.erased == {"tally.given.v1": ["a"]} and not batch.messages and not batch.dead


def test_a_dead_letter_that_was_erased_is_passed_over() -> None:
    assert Reading(spec()).read([(LETTERS, Read(None))], Progress()).empty


def test_a_dead_letter_that_dies_again_remembers_the_key_that_it_had_as_a_message() -> None:
    first = burial.of_message("tally.given.v1", Read(b"x"), "because", dead_letters=LETTERS)
    kept = Read(b"x", [*first.about.items(), ("key", b"k")], topic=LETTERS, key=b"tally.split/0:9")
    assert burial.of_message(LETTERS, kept, "still", dead_letters=LETTERS).key == b"k"


def test_a_unit_stands_still_rather_than_bury_a_topic(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("libs.common.unit.burial.time.monotonic", lambda: now)
    pace = Pace()
    pace.note(BURIED_PER_MINUTE_MAX)
    assert not pace.allows(1)
    now += 61
    assert pace.allows(1)


def test_the_newest_record_of_a_watched_key_is_published_again_once_the_old_one_can_be_in() -> None:
    def record(value: bytes, key: bytes = b"k", topic: str = "compacted") -> Record:
        return Record(topic, 0, key, value)

    after = Aftermath(["compacted"], seconds=0.0)
    after.watch([record(b"old"), record(b"other", topic="log")])
    after.note([record(b"new"), record(b"elsewhere", key=b"l")])
    assert after.due() == [record(b"new")]
    assert after.due() == []


def test_nothing_is_published_again_while_the_old_producer_may_still_write() -> None:
    after = Aftermath(["compacted"], seconds=60.0)
    after.watch([Record("compacted", 0, b"k", b"old")])
    assert after.due() == []
