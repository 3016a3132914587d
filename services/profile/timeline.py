"""What does the timeline keep of an event? Enough to fold the profile again, and what the event changed."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import msgspec
from msgspec import Struct

from libs.common.clock import to_ms
from libs.common.events import Change
from services.profile.person import Occurrence
from services.profile.reference.catalogue import Context


class Origin(Struct, gc=False):
    """Where an event comes from, as far as its resolved form repeats it.

    `context` is what reference data adds, and `whole` the data (JSON) with that; None where it adds nothing. `reason`
    is why somebody changed it by hand: for people, so it is no part of what is resolved.
    """

    time: datetime
    source: str
    channel: str
    branch: str | None
    raw: msgspec.Raw
    received_ms: int
    hops: int = 0
    history: bool = False
    traffic: str = ""
    context: Context | None = None
    whole: msgspec.Raw | None = None
    reason: str = ""

    @property
    def is_news(self) -> bool:
        """Whether rules act on it: not on what was long ago, nor on what crawlers and tests did."""
        return not self.history and not self.traffic


class Told(Struct, array_like=True, omit_defaults=True, gc=False):
    """What stands beside the data of a line: identifiers as normalised, circumstances, and what came of it."""

    received_ms: int = 0
    identifiers: dict[str, str] = {}
    branch: str = ""
    hops: int = 0
    history: bool = False
    traffic: str = ""
    changed: dict[str, Change] = {}
    context: Context | None = None
    reason: str = ""


Line = tuple[str, datetime, str, str, str, str, bytes, bytes]
"""Customer, time, event id, type, source, channel, data as it came (JSON), and what else is told (msgpack)."""

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Told).decode
_object: Final = msgspec.json.Decoder(dict[str, Any]).decode


def line(customer_id: str, event: Occurrence, origin: Origin, changed: dict[str, Change]) -> Line:
    told = Told(
        origin.received_ms,
        dict(event.identifiers),
        origin.branch or "",
        origin.hops,
        origin.history,
        origin.traffic,
        changed,
        origin.context,
        origin.reason,
    )
    return (
        customer_id,
        origin.time,
        event.id,
        event.type,
        origin.source,
        origin.channel,
        bytes(origin.raw),
        _encode(told),
    )


def told_of(row: Any) -> Told:
    """What a row of the timeline tells beside its data; nothing where it was written before that was kept."""
    held = bytes(row["told"])
    return _decode(held) if held else Told()


def occurrence_of(row: Any, *, decoded: bool) -> Occurrence:
    """The event of a row, to be folded again; its data only where that is asked for."""
    told = told_of(row)
    data = _object(bytes(row["body"]) or b"{}") if decoded else {}
    return Occurrence(
        row["type"],
        to_ms(row["time"]),
        row["source"],
        row["event_id"],
        told.context.added_to(data) if decoded and told.context is not None else data,
        told.identifiers,
        row["channel"],
        told.branch,
        told.received_ms,
        told.history,
        told.traffic,
        region=told.context.region if told.context is not None else "",
    )
