"""How does the API's description speak of the hot door, which FastAPI never sees?"""

from __future__ import annotations

from typing import Any

import msgspec

from libs.common.events import IDENTIFIER_TYPES
from services.ingest.doors.native import PATH
from services.ingest.envelope import (
    ATTRIBUTES,
    BRANCH_LENGTH_MAX,
    IDENTIFIER_LENGTH_MAX,
    IDENTIFIERS_MAX,
    NAME_LENGTH_MAX,
)
from services.ingest.intake import EVENT_BYTES_MAX
from services.ingest.reading import BODY_BYTES_MAX
from services.ingest.replies import AllRefused, Receipt
from services.ingest.splitting import EVENTS_MAX

_TEXT = f"""Accepts one event, an array of events, or `{{"events": [...]}}`; CloudEvents 1.0 in structured, binary
and batch mode too. 202 means that the events are stored safely. In a batch each event has its own verdict, and
`rejected` says where and why; when none is accepted the answer is 422. 503 means that nothing can be said of the
events: send the same again, repeats have no second effect.

Limits: {EVENT_BYTES_MAX} bytes an event, {BODY_BYTES_MAX} bytes and {EVENTS_MAX} events a request (inflated, when it
is compressed by gzip or deflate)."""

_HEADERS = [
    {
        "name": "X-Identity-Token",
        "in": "header",
        "required": False,
        "schema": {"type": "string"},
        "description": "With a browser key: who is logged in, signed by the site's server. Without it a browser speaks "
        "for its cookie and its device alone; what it says of other identities is left out.",
    },
    {
        "name": "X-Dangol-Test",
        "in": "header",
        "required": False,
        "schema": {"type": "string", "enum": ["true", "false"]},
        "description": "true flags the events as a test: they are kept, and no rule looks at them.",
    },
]

_EXAMPLE = {
    "id": "r-20261121-0042",
    "source": "store-031/pos-2",
    "type": "purchase",
    "time": "2026-11-21T10:15:00+09:00",
    "identifiers": {"loyalty_card": "8801-0001"},
    "branch": "gangnam",
    "data": {"amount": 45000, "currency": "KRW", "items": [{"product": "tea-12", "quantity": 1}]},
}


def _channel_event() -> dict[str, Any]:
    name = {"type": "string", "minLength": 1, "maxLength": NAME_LENGTH_MAX}
    branch = {"type": "string", "minLength": 1, "maxLength": BRANCH_LENGTH_MAX}
    identifiers = {
        "type": "object",
        "maxProperties": IDENTIFIERS_MAX,
        "additionalProperties": {"type": "string", "minLength": 1, "maxLength": IDENTIFIER_LENGTH_MAX},
        "description": f"By type: {', '.join(IDENTIFIER_TYPES)} or partner:<name>.",
    }
    shapes: dict[str, Any] = dict.fromkeys(ATTRIBUTES, name) | {
        "time": {"type": "string", "format": "date-time", "description": "With an offset from UTC."},
        "channel": {**name, "description": "The channel of the write key, which stands in for it."},
        "identifiers": identifiers,
        "branch": {"anyOf": [branch, {"type": "null"}]},
        "data": {"type": "object", "description": "As its type demands; more is kept."},
        "history": {"type": "boolean", "default": False, "description": "Old data, which fires nothing."},
    }
    return {
        "type": "object",
        "required": ["id", "source", "type", "time"],
        "additionalProperties": False,
        "properties": shapes,
    }


def add(document: dict[str, Any]) -> None:
    (receipt, refusal), schemas = msgspec.json.schema_components(
        [Receipt, AllRefused], ref_template="#/components/schemas/{name}"
    )
    components = document.setdefault("components", {})
    components.setdefault("schemas", {}).update(schemas)
    components.setdefault("securitySchemes", {})["WriteKey"] = {
        "type": "apiKey",
        "in": "header",
        "name": "X-Write-Key",
        "description": "The write key of a channel; also as a Bearer token, or as the user of Basic.",
    }
    schemas["ChannelEvent"] = _channel_event()
    event = {"$ref": "#/components/schemas/ChannelEvent"}
    batch = {"type": "array", "items": event, "minItems": 1, "maxItems": EVENTS_MAX}
    wrapped = {"type": "object", "properties": {"events": batch}, "required": ["events"]}
    problem = {"content": {"application/problem+json": {"schema": refusal}}}
    document["paths"][PATH] = {
        "post": {
            "summary": "Send events",
            "description": _TEXT,
            "operationId": "send_events",
            "parameters": _HEADERS,
            "security": [{"WriteKey": []}],
            "requestBody": {
                "required": True,
                "content": {
                    "application/json": {"schema": {"anyOf": [event, batch, wrapped]}, "example": _EXAMPLE},
                    "application/cloudevents+json": {"schema": {"type": "object"}},
                    "application/cloudevents-batch+json": {"schema": {"type": "array"}},
                },
            },
            "responses": {
                "202": {
                    "description": "Stored safely.",
                    "content": {"application/json": {"schema": receipt}},
                },
                "429": {"description": "The key has used up its share; Retry-After says when it has more.", **problem},
                "4XX": {"description": "Not accepted, and why.", **problem},
                "503": {"description": "Not stored just now; Retry-After says when to send it again."},
            },
        }
    }
