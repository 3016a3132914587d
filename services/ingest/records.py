"""What goes into Kafka for a request? Pure: verdicts in, records out."""

from __future__ import annotations

from hashlib import sha256
from typing import Final

import msgspec

from libs.common import clock, topics
from libs.common.events import EventRejected
from libs.common.kafka import Record
from services.ingest.intake import Accepted, Outcome, Rejected, Terms

_EVENT_RECEIVED = topics.EVENT_RECEIVED.name
_EVENT_REJECTED = topics.EVENT_REJECTED.name
_ENCODER = msgspec.json.Encoder()

BODY_BYTES_KEPT: Final = 256 * 1024
"""In base64 it stays well below the largest message that Kafka takes."""
WHOLE_BODY_BYTES: Final = "whole_body_bytes"
"""The entry of a reject's context that says that its body was cut, and how long it was."""
TRAFFIC: Final = "traffic"
PROVEN: Final = "proven"
EVERYONE: Final = ("everyone", b"1")
"""The header of an event without a person that concerns whoever a rule selects."""


def records_of(outcome: Outcome, terms: Terms, partitions: int) -> list[Record]:
    """One record per event, in the order of the events; what was refused goes where the refused are kept."""
    write_key = terms.key
    headers = write_key.headers
    made = []
    for verdict in outcome.verdicts:
        if type(verdict) is Accepted:
            key = verdict.key
            partition = topics.partition_of(key, partitions)
            said = headers if not verdict.traffic else write_key.headers_of(verdict.traffic)
            if verdict.everyone:
                said = [*said, EVERYONE]
            made.append(Record(_EVENT_RECEIVED, partition, key, verdict.value, said))
        else:
            assert not isinstance(verdict, Accepted)
            rejected = _rejected(verdict, terms)
            key = topics.EVENT_REJECTED.key(rejected).encode()
            partition = topics.partition_of(key, partitions)
            made.append(Record(_EVENT_REJECTED, partition, key, _ENCODER.encode(rejected), headers))
    return made


def _rejected(verdict: Rejected, terms: Terms) -> EventRejected:
    return EventRejected(
        source=verdict.source,
        id=verdict.id,
        type=verdict.type,
        reason=verdict.reason,
        detail=verdict.detail,
        pointer=verdict.pointer,
        body=verdict.body[:BODY_BYTES_KEPT],
        rejected_at=terms.now,
        write_key_id=terms.key.key_id,
        door=terms.door,
        context=_context(verdict, terms),
        reject_id=reject_id_of(terms.door, terms.key.key_id, verdict.body),
    )


def _context(verdict: Rejected, terms: Terms) -> dict[str, str]:
    """What the bytes do not say: the door's own context, and what its request proved."""
    context = dict(terms.context)
    if terms.traffic:
        context[TRAFFIC] = terms.traffic
    if terms.proven:
        context[PROVEN] = msgspec.json.encode(dict(terms.proven)).decode()
    if len(verdict.body) > BODY_BYTES_KEPT:
        context[WHOLE_BODY_BYTES] = str(len(verdict.body))
    return context


def reject_id_of(door: str, key_id: str, body: bytes) -> str:
    """The same thing sent again to the same door by the same key is the same reject."""
    return str(clock.derived_id("reject", door, key_id, sha256(body).hexdigest()))
