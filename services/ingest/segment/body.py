"""Which items does a request hold, and whose are they? Pure: the bytes of a body in, those of each item out."""

from __future__ import annotations

import json
from typing import Final

import msgspec
from msgspec import Raw, Struct

from libs.common.errors import Refused
from services.ingest.refusals import TooLarge
from services.ingest.splitting import UNREADABLE, split

BATCH: Final = "batch"
IMPORT: Final = "import"
NULL: Final = Raw(b"null")
# It goes into every item of the batch, so that each byte of it costs as many as there are items.
CONTEXT_BYTES_MAX: Final = 16 * 1024
SENT_AT_LENGTH_MAX: Final = 64

_WHITESPACE = " \t\r\n"


class Parcel(Struct, frozen=True):
    """A request taken apart. `context` is what a batch says once for all of its items; `sent_at` its clock, as text."""

    items: list[bytes]
    write_key: str = ""
    sent_at: str = ""
    context: bytes = b""


class _Wrapper(Struct, rename="camel"):
    """What is asked of the outermost object, be it a batch or a single item."""

    write_key: str | None = None
    sent_at: Raw = NULL
    batch: Raw = NULL
    context: Raw = NULL


_WRAPPER = msgspec.json.Decoder(_Wrapper)
_TEXT = msgspec.json.Decoder(str)


def opened(body: bytes, call: str) -> Parcel:
    """The body of one call; Refused when it is no JSON object, or a batch that holds no list."""
    try:
        wrapper = _WRAPPER.decode(body)
    except UNREADABLE as error:
        wrapper = _leniently(body, str(error))
    write_key, sent_at = wrapper.write_key or "", _instant(wrapper.sent_at)
    if call not in (BATCH, IMPORT):
        return Parcel([body], write_key, sent_at)
    batch = bytes(wrapper.batch)
    if not batch.startswith(b"["):
        raise Refused('The body of a batch is an object such as {"batch": [...]}.')
    items = split(batch) if batch[1:-1].strip() else []
    return Parcel(items, write_key, sent_at, _shared(bytes(wrapper.context)))


def _shared(context: bytes) -> bytes:
    """The context of all items as it is kept; Refused when it is too large, or not what every JSON reader can read."""
    if not context.startswith(b"{"):
        return b""
    if len(context) > CONTEXT_BYTES_MAX:
        raise TooLarge(f"The context of a batch is larger than {CONTEXT_BYTES_MAX} bytes; send it with the items.")
    try:
        msgspec.json.decode(context)
    except UNREADABLE as error:
        raise Refused(f"The context of the batch is not JSON: {error}.") from None
    return context


def _instant(raw: Raw) -> str:
    """What says when the request was sent; it is kept with every item that is refused, so nothing else may pass."""
    text = _text(raw)
    return text if len(text) <= SENT_AT_LENGTH_MAX and text.isascii() and text.isprintable() else ""


def _text(raw: Raw) -> str:
    try:
        return _TEXT.decode(raw)
    except UNREADABLE:
        return ""


def _leniently(body: bytes, found: str) -> _Wrapper:
    """The same for a body that a lenient reader can take apart: NaN in one item must not cost the others."""
    parts = _members(body, found)
    key = _text(Raw(parts.get("writeKey", b"")))
    sent_at, batch, context = (Raw(parts.get(name, b"null")) for name in ("sentAt", "batch", "context"))
    return _Wrapper(key, sent_at, batch, context)


def _members(body: bytes, found: str) -> dict[str, bytes]:
    text = body.decode("utf-8", "surrogateescape")
    reader = json.JSONDecoder(parse_int=str, parse_float=str)
    members: dict[str, bytes] = {}
    try:
        position = _expect(text, 0, "{")
        while True:
            name, position = reader.raw_decode(text, _skip(text, position))
            start = _skip(text, _expect(text, position, ":"))
            _, position = reader.raw_decode(text, start)
            members[str(name)] = text[start:position].encode("utf-8", "surrogateescape")
            position = _skip(text, position)
            if text[position : position + 1] != ",":
                break
            position += 1
        if text[_expect(text, position, "}") :].strip(_WHITESPACE):
            raise ValueError
    except (ValueError, RecursionError):
        raise Refused(f"The body is not a JSON object: {found}.") from None
    return members


def _skip(text: str, position: int) -> int:
    while text[position : position + 1] in (" ", "\t", "\r", "\n"):
        position += 1
    return position


def _expect(text: str, position: int, mark: str) -> int:
    position = _skip(text, position)
    if text[position : position + 1] != mark:
        raise ValueError
    return position + 1
