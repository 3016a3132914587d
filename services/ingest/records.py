"""What goes into Kafka for a request? Pure: verdicts in, records out."""

from __future__ import annotations

import msgspec

from libs.common import topics
from libs.common.events import EventRejected
from libs.common.kafka import Record
from services.ingest.intake import Accepted, Outcome, Terms

_EVENT_RECEIVED = topics.EVENT_RECEIVED.name
_EVENT_REJECTED = topics.EVENT_REJECTED.name
_ENCODER = msgspec.json.Encoder()


def records_of(outcome: Outcome, terms: Terms, partitions: int) -> list[Record]:
    """One record per event, in the order of the events; what was refused goes where the refused are kept."""
    headers = terms.key.headers
    made = []
    for verdict in outcome.verdicts:
        if type(verdict) is Accepted:
            key = verdict.key
            partition = topics.partition_of(key, partitions)
            made.append(Record(_EVENT_RECEIVED, partition, key, verdict.value, headers))
        else:
            assert not isinstance(verdict, Accepted)
            rejected = EventRejected(
                source=verdict.source,
                id=verdict.id,
                type=verdict.type,
                reason=verdict.reason,
                detail=verdict.detail,
                pointer=verdict.pointer,
                body=verdict.body[:BODY_BYTES_KEPT],
                rejected_at=terms.now,
                write_key_id=terms.key.key_id,
            )
            key = topics.EVENT_REJECTED.key(rejected).encode()
            partition = topics.partition_of(key, partitions)
            made.append(Record(_EVENT_REJECTED, partition, key, _ENCODER.encode(rejected), headers))
    return made


BODY_BYTES_KEPT = 256 * 1024
"""In base64 it stays well below the largest message that Kafka takes."""
