"""What is a CloudEvent 1.0 in our words? Pure: its attributes in, the bytes of a channel event out.

`id`, `source`, `type`, `time` and `data` mean the same in both. `channel`, `branch` and `history` are extension
attributes; identifiers come from `data.identifiers`, or from a `subject` such as "loyalty_card:8801-1234". Other
extensions and subjects are allowed and not carried on.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final
from urllib.parse import unquote_to_bytes

import msgspec
from msgspec import Raw

from libs.common.events import IDENTIFIER_TYPES
from services.ingest import strict
from services.ingest.refusals import MALFORMED, UNKNOWN_ATTRIBUTE, Reject
from services.ingest.strict import pointer

STRUCTURED: Final = b"application/cloudevents+json"
BATCH: Final = b"application/cloudevents-batch+json"
HEADER_PREFIX: Final = b"ce-"

_ATTRIBUTE_NAME = re.compile(r"[a-z0-9]{1,64}\Z")
_JSON_TYPE = re.compile(r"\s*[\w.+-]+/([\w.+-]+\+)?json\s*(;.*)?\Z", re.IGNORECASE)
_KEPT = ("id", "source", "type", "time", "channel", "branch")
_OBJECT = msgspec.json.Decoder(dict[str, Raw])
_NULL = b"null"


def members(raw: bytes | Raw) -> dict[str, Raw]:
    """The members of an object as the bytes they came in; raises msgspec's errors for anything else."""
    return _OBJECT.decode(raw)


def channel_event(attributes: Mapping[str, Raw], now: datetime) -> bytes:
    """The channel event that says the same; `now` stands in for a time that CloudEvents lets out."""
    given = {name: value for name, value in attributes.items() if bytes(value) != _NULL}
    _check_attributes(given)
    event: dict[str, Any] = {name: given[name] for name in _KEPT if name in given}
    event.setdefault("time", now)
    if "history" in given:
        event["history"] = Raw(bytes(given["history"]).strip(b'"'))
    event |= _data_and_identifiers(given)
    if "identifiers" not in event and (named := _identifier_in(given.get("subject"))):
        event["identifiers"] = named
    return msgspec.json.encode(event)


def from_headers(headers: Iterable[tuple[bytes, bytes]], content_type: bytes, body: bytes) -> dict[str, Raw]:
    """The attributes of binary mode: `ce-` headers, percent-decoded, with the body as the data."""
    attributes: dict[str, Raw] = {}
    for name, value in headers:
        if name.startswith(HEADER_PREFIX):
            attribute = name[len(HEADER_PREFIX) :].decode("latin-1")
            attributes[attribute] = _encoded(_header_text(attribute, value))
    if content_type:
        attributes["datacontenttype"] = _encoded(content_type.decode("latin-1"))
    if body.strip():
        _check_data(body)
        attributes["data"] = Raw(body)
    return attributes


def _check_data(body: bytes) -> None:
    """The body is looked at before it becomes a part of something: what is wrong then points into it."""
    try:
        strict.parse(body)
    except Reject as reject:
        raise Reject(reject.reason, f"/data{reject.pointer}", reject.detail) from None


def _check_attributes(given: Mapping[str, Raw]) -> None:
    if (version := _text(given.get("specversion"))) != "1.0":
        detail = 'specversion is not "1.0", the only version of CloudEvents that is understood.'
        raise Reject(MALFORMED, "/specversion", detail if version is not None else "specversion is missing.")
    for name, value in given.items():
        if not _ATTRIBUTE_NAME.match(name) and name != "data_base64":
            detail = "The names of CloudEvents attributes are lower-case letters and digits only."
            raise Reject(UNKNOWN_ATTRIBUTE, pointer([name]), detail)
        if name != "data" and bytes(value)[:1] in (b"{", b"["):
            detail = "A CloudEvents attribute is a text, a number or a truth value; objects go into data."
            raise Reject(MALFORMED, pointer([name]), detail)
    if "data_base64" in given:
        raise Reject(MALFORMED, "/data_base64", "Binary data is not understood; send a JSON object as data.")
    kind = _text(given.get("datacontenttype"))
    if kind is not None and "data" in given and not _JSON_TYPE.match(kind):
        raise Reject(MALFORMED, "/datacontenttype", "The data of an event is JSON; send application/json.")


def _data_and_identifiers(given: Mapping[str, Raw]) -> dict[str, Any]:
    """Identifiers leave the data, so that what history keeps of it names nobody."""
    data = given.get("data")
    if data is None:
        return {}
    if b'"identifiers"' not in bytes(data):
        return {"data": data}
    try:
        parts = members(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        # The check that every event goes through says what is wrong with it.
        return {"data": data}
    if "identifiers" not in parts:
        return {"data": data}
    identifiers = parts.pop("identifiers")
    return {"data": parts, "identifiers": identifiers}


def _identifier_in(subject: Raw | None) -> dict[str, str] | None:
    text = _text(subject)
    if text is None:
        return None
    kind, _, value = text.partition(":")
    if kind == "partner":
        name, _, value = value.partition(":")
        kind = f"partner:{name}"
    elif kind not in IDENTIFIER_TYPES:
        return None
    return {kind: value} if value else None


def _text(value: Raw | None) -> str | None:
    if value is None:
        return None
    try:
        return msgspec.json.decode(value, type=str)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def _header_text(attribute: str, value: bytes) -> str:
    if len(value) >= 2 and value[:1] == value[-1:] == b'"':
        value = re.sub(rb"\\(.)", rb"\1", value[1:-1])
    try:
        return unquote_to_bytes(value).decode("utf-8")
    except UnicodeDecodeError:
        raise Reject(
            MALFORMED, pointer([attribute]), f"The header ce-{attribute} is not percent-encoded UTF-8."
        ) from None


def _encoded(text: str) -> Raw:
    return Raw(msgspec.json.encode(text))
