"""What is one item of Segment's protocol? Its shape, and a precise word on what breaks it."""

from __future__ import annotations

import json
import re
from datetime import datetime
from typing import Any, Final

import msgspec
from msgspec import Raw, Struct

from services.ingest import strict
from services.ingest.refusals import MALFORMED, TOO_LARGE, WRONG_TIME, Reject
from services.ingest.segment.body import NULL
from services.ingest.segment.objects import EMPTY
from services.ingest.splitting import UNREADABLE

CALLS: Final = ("identify", "track", "page", "screen", "group", "alias")
# Segment itself stops at 32 KB an item; what a tuned client of ours sends beyond that is fine here.
ITEM_BYTES_MAX: Final = 256 * 1024

_INDEX = re.compile(r"\[(\d+)\]")


class Item(Struct, rename="camel", gc=False):
    """What clients send for one call, as far as it says something; what changes when it is sent again is left out."""

    type: str = ""
    message_id: str | int | None = None
    user_id: str | int | None = None
    anonymous_id: str | int | None = None
    previous_id: str | int | None = None
    group_id: str | int | None = None
    event: str | None = None
    name: str | None = None
    category: str | None = None
    original_timestamp: datetime | None = None
    timestamp: datetime | None = None
    sent_at: datetime | None = None
    properties: Raw = NULL
    traits: Raw = NULL
    context: Raw = NULL

    def object(self, name: str, held: Raw) -> bytes:
        """The bytes of one of its objects, `{}` where there is none; Reject for anything else."""
        value = bytes(held)
        if value[:1] == b"{":
            return value
        if value == b"null":
            return EMPTY
        raise Reject(MALFORMED, f"/{name}", f"{name} is not a JSON object.")


class _Written(Item, gc=False):
    """An item whose times are written in another form of ISO 8601 than RFC 3339 has, `+0900` for one."""

    original_timestamp: Raw = NULL  # type: ignore[assignment]
    timestamp: Raw = NULL  # type: ignore[assignment]
    sent_at: Raw = NULL  # type: ignore[assignment]


_ITEM = msgspec.json.Decoder(Item)
_WRITTEN = msgspec.json.Decoder(_Written)
_TEXT = msgspec.json.Decoder(str | None)


def decoded(raw: bytes) -> Item:
    """Reject, with a pointer into the item, when it is not of this shape."""
    if len(raw) > ITEM_BYTES_MAX:
        raise Reject(TOO_LARGE, "", f"The item is larger than {ITEM_BYTES_MAX} bytes.")
    try:
        item = _ITEM.decode(raw)
        if not raw.isascii():
            # What the decoder leaves as it is may hold bytes that are no text.
            raw.decode()
        return item
    except UNREADABLE:
        # What no part of the platform can hold has a better word than what does not fit the shape.
        strict.parse(raw)
    try:
        written = _WRITTEN.decode(raw)
    except UNREADABLE as error:
        raise _misshapen(str(error)) from None
    parts: dict[str, Any] = {name: getattr(written, name) for name in Item.__struct_fields__}
    return Item(**parts | {name: _time(name, parts[name]) for name in _CAMEL})


def message_id_in(raw: bytes) -> str:
    """The messageId of an item that was refused, as far as it can be told."""
    if len(raw) > ITEM_BYTES_MAX:
        return ""
    try:
        document = json.loads(raw, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        return ""
    found = document.get("messageId") if isinstance(document, dict) else None
    return strict.printable(found) if isinstance(found, str) else ""


def shape_checked(item: Item, call: str) -> None:
    """What Segment demands of each call; Reject when it is missing."""
    if call == "track":
        if not item.event or item.event.isspace():
            raise Reject(MALFORMED, "/event", "A track call has a name: event is missing or empty.")
    elif call == "group":
        if item.group_id in (None, ""):
            raise Reject(MALFORMED, "/groupId", "A group call names its group: groupId is missing.")
    elif call == "alias":
        for name, id in (("previousId", item.previous_id), ("userId", item.user_id)):
            if id in (None, ""):
                raise Reject(MALFORMED, f"/{name}", f"An alias call joins previousId to userId: {name} is missing.")


def _time(name: str, raw: Raw) -> datetime | None:
    try:
        text = _TEXT.decode(raw)
        return datetime.fromisoformat(text) if text else None
    except (*UNREADABLE, ValueError):
        attribute = _CAMEL[name]
        detail = f"{attribute} is not a time in ISO 8601 such as 2026-11-21T10:15:00.000Z."
        raise Reject(WRONG_TIME, f"/{attribute}", detail) from None


_CAMEL: Final = {"original_timestamp": "originalTimestamp", "timestamp": "timestamp", "sent_at": "sentAt"}


def _misshapen(message: str) -> Reject:
    what, _, place = message.partition(" - at `$")
    where = _INDEX.sub(r"/\1", place.rstrip("`")).replace(".", "/")
    if not where and "object" in what:
        return Reject(MALFORMED, "", "An item is a JSON object.")
    return Reject(MALFORMED, where, f"The item does not fit Segment's protocol: {what}.")
