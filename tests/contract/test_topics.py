"""Do the catalogue, the event classes, the workers and the door plates tell one story?"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from typing import Any, get_args, get_type_hints

import pytest

from libs.common import events
from libs.common.runtime import App
from libs.common.topics import CATALOGUE, SWITCH_SET, Topic
from libs.common.unit import WorkerSpec

NAME = re.compile(r"^[a-z]+\.[a-z]+(-[a-z]+)*\.v[1-9][0-9]*$")
ANY_TOPIC = re.compile(r"\b[a-z]+\.[a-z-]+\.v[0-9]+\b")

RESERVED = {SWITCH_SET}
"""Named before anybody writes them: campaign and its switches share a database, so far."""

each_topic = pytest.mark.parametrize("topic", CATALOGUE, ids=lambda topic: topic.name)


@each_topic
def test_a_name_says_owner_fact_and_version(topic: Topic) -> None:
    assert NAME.match(topic.name)
    assert topic.name.split(".")[0] == topic.owner


@each_topic
def test_a_topic_is_written_by_its_owner_alone(topic: Topic) -> None:
    assert not topic.producer or topic.producer.split(".")[0] == topic.owner
    assert topic.producer or not topic.marks, "marks come from the units of one worker"


@each_topic
def test_a_compacted_topic_carries_a_version_by_which_its_readers_keep_the_newest(topic: Topic) -> None:
    if topic.compacted:
        assert "version" in topic.event.__struct_fields__
    else:
        assert (topic.retention_days or 0) > 0


def test_names_and_classes_are_used_once() -> None:
    assert len({topic.name for topic in CATALOGUE}) == len(CATALOGUE)
    assert len({topic.event for topic in CATALOGUE}) == len(CATALOGUE)


def test_every_fact_that_is_no_part_of_another_has_a_topic() -> None:
    facts = {fact for fact in events.Fact.__subclasses__() if fact.__module__.startswith(f"{events.__name__}.")}
    parts = {part for fact in facts for hint in get_type_hints(fact).values() for part in _within(hint)} & facts
    assert {topic.event for topic in CATALOGUE} == facts - parts


def test_readers_in_the_catalogue_are_the_workers_that_read(specs: dict[str, WorkerSpec]) -> None:
    told = {(topic.name, consumer) for topic in CATALOGUE for consumer in topic.consumers}
    real = {(each.topic.name, spec.name) for spec in specs.values() for each in spec.inputs}
    assert told == real


def test_producers_in_the_catalogue_are_the_workers_that_publish(specs: dict[str, WorkerSpec]) -> None:
    told = {(topic.name, topic.producer) for topic in CATALOGUE if topic.producer}
    real = {(topic.name, spec.name) for spec in specs.values() for topic in spec.outputs}
    assert told == real


def test_what_is_reserved_has_no_readers_who_would_wait_in_vain() -> None:
    assert not [topic.name for topic in RESERVED if topic.consumers or topic.producer]


def test_no_clock_waits_for_itself(specs: dict[str, WorkerSpec]) -> None:
    """Marks that do not count as feedback must lead out of every circle, or no timer would ever fire."""
    sources = {
        spec.name: {each.topic.producer for each in spec.inputs if each.topic.marks and not each.feedback}
        for spec in specs.values()
    }
    while free := [name for name, waits_for in sources.items() if not waits_for & sources.keys()]:
        for name in free:
            del sources[name]
    assert not sources, f"each of these waits for another's mark: {sorted(sources)}"


def test_each_door_plate_names_what_its_service_reads_and_writes(
    built: dict[str, App], specs: dict[str, WorkerSpec]
) -> None:
    wrong: dict[str, list[str]] = {}
    for service in built:
        plate = importlib.import_module(f"services.{service}").__doc__ or ""
        own = [spec for spec in specs.values() if spec.owner == service]
        reads = {each.topic.name for spec in own for each in spec.inputs}
        # What no worker publishes comes from a door or an API of its owner.
        writes = {topic.name for topic in CATALOGUE if topic.owner == service and topic not in RESERVED}
        differs = {
            "consumes": set(ANY_TOPIC.findall(_section(plate, "consumes"))) ^ reads,
            "publishes": set(ANY_TOPIC.findall(_section(plate, "publishes"))) ^ writes,
        }
        wrong |= {f"services/{service}/__init__.py {what}": sorted(names) for what, names in differs.items() if names}
    assert not wrong


def _section(plate: str, name: str) -> str:
    """The lines of a door plate from the one that begins with `name` to the next heading."""
    found = re.search(rf"^{name}\b(.*?)(?=^\S|\Z)", plate, re.MULTILINE | re.DOTALL)
    assert found, f"no line {name!r} on the door plate"
    return found[1]


def _within(hint: Any) -> Iterator[Any]:
    yield hint
    for inner in get_args(hint):
        yield from _within(inner)
