"""What did a fetch bring? Messages decoded, repeats dropped, marks noted, and what can be nothing set aside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from libs.common import progress
from libs.common.errors import Poison, Undecodable
from libs.common.kafka import Received
from libs.common.progress import Progress
from libs.common.unit.burial import TOMBSTONE, headers_of
from libs.common.unit.shapes import Message, WorkerSpec

Records = Sequence[tuple[str, Received]]
"""Messages as they were read, each with the name of its topic."""


@dataclass
class Batch:
    """What a fetch came to: messages by topic, those that are dead already with their reason, and repeats.

    `erased` are the keys of tombstones by topic.
    """

    messages: dict[str, list[Message[Any]]] = field(default_factory=dict)
    erased: dict[str, list[str]] = field(default_factory=dict)
    dead: list[tuple[str, Received, str]] = field(default_factory=list)
    repeats: int = 0

    @property
    def empty(self) -> bool:
        return not self.messages and not self.dead and not any(self.erased.values())


class Reading:
    """Decodes for one worker; what it learns on the way goes into the unit's progress."""

    def __init__(self, spec: WorkerSpec) -> None:
        self._name = spec.name
        self._dead_letters = spec.dead_letters
        self._decoders = {each.topic.name: msgspec.json.Decoder(each.topic.event) for each in spec.inputs}
        self._erasable = {each.topic.name for each in spec.inputs if each.on_erased is not None}

    def read(self, records: Records, at: Progress) -> Batch:
        """Decode, drop repeats, take notice of marks, and move the positions on."""
        batch = Batch()
        last: dict[str, Received] = {}
        for topic, record in records:
            last[topic] = record
            about = dict(record.headers)
            try:
                if self._is_new(topic, about, at, batch):
                    self._add(batch, topic, record, about)
            except (ValueError, Poison) as error:
                batch.dead.append((topic, record, str(error)))
        for topic, record in last.items():
            at.note_read(topic, record.offset + 1, record.timestamp)
        return batch

    @staticmethod
    def _is_new(topic: str, about: dict[str, bytes], at: Progress, batch: Batch) -> bool:
        stamp = about.get(progress.ORIGIN)
        if stamp is not None:
            if at.is_repeat(topic, *progress.read_stamp(stamp)):
                batch.repeats += 1
                return False
        elif progress.MARK in about:
            at.note_mark(topic, *progress.read_stamp(about[progress.MARK]))
            return False
        return True

    def _add(self, batch: Batch, topic: str, record: Received, about: dict[str, bytes]) -> None:
        """A dead letter names the worker and the topic it is for; one that is not ours, or erased, is passed over."""
        attempts = 1
        if topic == self._dead_letters:
            if record.value is None or about.get("worker", b"").decode() != self._name:
                return
            topic, attempts = about["topic"].decode(), int(about["attempts"]) + 1
            if TOMBSTONE in about and topic in self._erasable and "key" in about:
                batch.erased.setdefault(topic, []).append(about["key"].decode())
                return
            about = headers_of(about)
        elif topic in self._erasable and _is_erasure(record, batch.erased.setdefault(topic, [])):
            return
        batch.messages.setdefault(topic, []).append(self._decoded(topic, record, about, attempts))

    def _decoded(self, topic: str, record: Received, about: dict[str, bytes], attempts: int) -> Message[Any]:
        decoder = self._decoders.get(topic)
        if decoder is None:
            raise Undecodable(f"nothing here reads {topic}")
        if record.value is None:
            raise Undecodable("the message has no value")
        try:
            return Message(decoder.decode(record.value), record.value, record.timestamp, about, attempts)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise Undecodable(f"not a {topic} message: {error}") from error


def _is_erasure(record: Received, erased: list[str]) -> bool:
    """Notes the key of a tombstone; a message with a value takes back the tombstone that came before it."""
    if record.key is None:
        return False
    if record.value is None:
        erased.append(record.key.decode())
        return True
    if erased and (key := record.key.decode()) in erased:
        erased[:] = [each for each in erased if each != key]
    return False
