"""Do messages that were once on ingest's topics still mean the same?"""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from libs.common.events import EventReceived, EventRejected
from libs.common.topics import EVENT_RECEIVED, EVENT_REJECTED, Topic
from services.ingest import intake
from services.ingest.intake import Accepted, Form, Rejected, Terms
from services.ingest.keys.book import WriteKey
from services.ingest.records import records_of
from services.ingest.schemas.kinds import Kinds

EXAMPLES = Path(__file__).parent / "examples"
NOW = datetime.fromisoformat("2026-11-21T03:00:00+00:00")


def terms() -> Terms:
    key = WriteKey("key-1", "pos", [], ["history"])
    return Terms(key, Kinds(), NOW, NOW - timedelta(days=35), NOW + timedelta(days=1))


def example(topic: Topic, name: str) -> bytes:
    return (EXAMPLES / topic.name / f"{name}.json").read_bytes()


@pytest.mark.parametrize("topic", [EVENT_RECEIVED, EVENT_REJECTED])
def test_every_example_can_still_be_read(topic: Topic) -> None:
    files = sorted((EXAMPLES / topic.name).glob("*.json"))
    assert files
    for file in files:
        read = msgspec.json.decode(file.read_bytes(), type=topic.event)
        assert topic.key(read)


def test_a_purchase_means_what_it_meant() -> None:
    read = msgspec.json.decode(example(EVENT_RECEIVED, "purchase"), type=EventReceived)
    assert EVENT_RECEIVED.key(read) == "loyalty_card:8801-0001"
    assert read.time.utcoffset() == timedelta(hours=9)
    assert (read.channel, read.branch, read.history) == ("pos", "gangnam", False)


@pytest.mark.parametrize("name", ["purchase", "history"])
def test_the_door_still_accepts_what_it_once_let_in(name: str) -> None:
    body = example(EVENT_RECEIVED, name)
    (verdict,) = intake.decode_batch(body, Form.NATIVE, terms()).verdicts
    assert isinstance(verdict, Accepted)
    assert verdict.value == body


def test_what_is_refused_is_written_as_its_topic_promises() -> None:
    outcome = intake.decode_batch(b'{"id": "r-7", "type": "purchse"}', Form.NATIVE, terms())
    (record,) = records_of(outcome, terms(), 8)
    (verdict,) = outcome.verdicts
    assert isinstance(verdict, Rejected) and record.value is not None
    read = msgspec.json.decode(record.value, type=EventRejected)
    assert (read.id, read.reason, read.body) == ("r-7", verdict.reason, verdict.body)
    assert record.topic == EVENT_REJECTED.name and record.key == b"r-7"


def test_a_reader_learns_the_channel_and_the_key_from_headers() -> None:
    (record,) = records_of(intake.decode_batch(example(EVENT_RECEIVED, "history"), Form.NATIVE, terms()), terms(), 8)
    assert dict(record.headers) == {"channel": b"pos", "key-id": b"key-1"}
