"""Can every message that was ever promised still be read? Each example is the past, which is only added to.

An example is a message as it lies in the log; `keys.json` holds the key of each. `minimal` has exactly the fields that
a reader may rely on.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from libs.common import events
from libs.common.topics import CATALOGUE, Topic

FOLDER = Path(__file__).parent / "examples"
TOPICS = {topic.name: topic for topic in CATALOGUE}
KEYS: dict[str, str] = json.loads((FOLDER / "keys.json").read_text("utf-8"))
FILES = sorted(FOLDER.glob("*/*.json"))

each_example = pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parent.name}/{file.stem}")


def read(file: Path) -> tuple[Topic, bytes]:
    return TOPICS[file.parent.name], file.read_bytes()


def as_struct(topic: Topic, message: bytes) -> events.Fact:
    return msgspec.json.decode(message, type=topic.event)


@each_example
def test_an_example_comes_out_as_it_went_in(file: Path) -> None:
    topic, message = read(file)
    again = msgspec.json.encode(as_struct(topic, message))
    assert json.loads(again) == json.loads(message), "an unknown field, a default written out, or a value that changed"


@each_example
def test_an_example_keeps_its_key(file: Path) -> None:
    topic, message = read(file)
    assert topic.key(as_struct(topic, message)) == KEYS[f"{topic.name}/{file.stem}"]


@each_example
def test_a_field_that_nobody_knows_yet_disturbs_no_reader(file: Path) -> None:
    topic, message = read(file)
    later = json.dumps(json.loads(message) | {"a_field_of_next_year": {"any": ["thing"]}}).encode()
    assert _seen(as_struct(topic, later)) == _seen(as_struct(topic, message))


@pytest.mark.parametrize("topic", CATALOGUE, ids=lambda topic: topic.name)
def test_no_field_has_become_required_since_the_first_message(topic: Topic) -> None:
    _, message = read(FOLDER / topic.name / "minimal.json")
    required = {field.encode_name for field in msgspec.structs.fields(topic.event) if field.required}
    assert json.loads(message).keys() == required


@pytest.mark.parametrize("file", sorted(FOLDER.glob("profile.event-identified.v1/*.json")), ids=lambda file: file.stem)
def test_the_event_within_an_identified_event_is_an_event(file: Path) -> None:
    topic, message = read(file)
    identified = as_struct(topic, message)
    assert isinstance(identified, events.EventIdentified)
    assert msgspec.json.decode(identified.event, type=events.EventReceived).id


def test_every_key_belongs_to_an_example() -> None:
    assert KEYS.keys() == {f"{file.parent.name}/{file.stem}" for file in FILES}


def test_every_folder_belongs_to_a_topic() -> None:
    assert {folder.name for folder in FOLDER.iterdir() if folder.is_dir()} == TOPICS.keys()


def _seen(fact: events.Fact) -> Any:
    return json.loads(msgspec.json.encode(fact))
