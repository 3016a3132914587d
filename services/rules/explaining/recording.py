"""What is written down of a trigger, so that it can be explained later? Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from libs.common.events import RuleTriggered
from services.rules.explaining.grounds import Grounds


class LoggedTrigger(NamedTuple):
    """`body` says on what grounds it fired, see `Record`."""

    occurred_at: datetime
    trigger_id: str
    rule_id: str
    version: int
    customer_id: str
    person_id: str
    event_id: str
    body: bytes


class Record(Struct, array_like=True):
    """What a log's body holds: what the trigger said beside its columns, and on what grounds it fired."""

    trigger: str
    reason: str
    priority: int
    include: dict[str, Any]
    sets: dict[str, Any]
    hops: int
    grounds: Grounds


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(Record)


def rows(triggers: Sequence[RuleTriggered], grounds: Sequence[Grounds]) -> list[LoggedTrigger]:
    """One row per trigger, in the order of both."""
    return [_row(trigger, ground) for trigger, ground in zip(triggers, grounds, strict=True)]


def _row(trigger: RuleTriggered, ground: Grounds) -> LoggedTrigger:
    record = Record(
        trigger.trigger,
        trigger.reason,
        trigger.priority,
        trigger.include,
        trigger.sets,
        trigger.hops,
        ground,
    )
    return LoggedTrigger(
        trigger.occurred_at,
        trigger.trigger_id,
        trigger.rule_id,
        trigger.rule_version,
        trigger.customer_id,
        trigger.person_id,
        trigger.event_id,
        _encoder.encode(record),
    )


def read(row: LoggedTrigger) -> Record:
    return _decoder.decode(row.body)
