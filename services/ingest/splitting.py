"""Which events does one body hold? Pure: bytes in, the bytes of each event out, so that one costs no other."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

import msgspec
from msgspec import Raw

from libs.common.errors import Fault, Refused
from services.ingest import cloudevents, strict
from services.ingest.refusals import TooLarge

EVENTS_MAX: Final = 500

_ITEMS = msgspec.json.Decoder(list[Raw])
UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


def split(body: bytes) -> list[bytes]:
    try:
        items = [bytes(item) for item in _ITEMS.decode(body)]
    except UNREADABLE as error:
        items = list(_split_leniently(body, str(error)))
    if len(items) > EVENTS_MAX:
        raise TooLarge(f"The body holds {len(items)} events; send at most {EVENTS_MAX} at once.")
    if not items:
        raise Refused("The body holds no events.")
    return items


def _split_leniently(body: bytes, found: str) -> Iterator[bytes]:
    """Items that a lenient reader can tell apart (NaN, half characters), so that one costs no other."""
    text = body.decode("utf-8", "surrogateescape").strip(" \t\r\n")
    reader = json.JSONDecoder(parse_int=str, parse_float=str)
    position = 1
    try:
        while True:
            start = _after_whitespace(text, position)
            _, end = reader.raw_decode(text, start)
            yield text[start:end].encode("utf-8", "surrogateescape")
            position = _after_whitespace(text, end)
            if text[position : position + 1] != ",":
                break
            position += 1
    except (ValueError, RecursionError):
        raise _unreadable(found) from None
    if text[position:] != "]":
        raise _unreadable(found)


def _after_whitespace(text: str, position: int) -> int:
    while text[position : position + 1] in (" ", "\t", "\r", "\n"):
        position += 1
    return position


def _unreadable(found: str) -> Refused:
    return Refused(f"The body is not JSON: {found}.")


def wrapped(body: bytes) -> bytes | None:
    """The list in {"events": [...]}; None when `events` is something inside of one event."""
    try:
        outer = cloudevents.members(body)
    except UNREADABLE:
        return None
    if "events" not in outer or "id" in outer or "specversion" in outer:
        return None
    if extra := next((name for name in outer if name != "events"), None):
        where = strict.pointer([extra])
        raise Refused("Beside events there is nothing else in a batch.", [Fault(where, "unknown attribute")])
    if not bytes(outer["events"]).startswith(b"["):
        raise Refused("events is not a list.", [Fault("/events", "expected a JSON array")])
    return bytes(outer["events"])
