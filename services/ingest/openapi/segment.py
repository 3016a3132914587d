"""How does the API's description speak of the doors for Segment's and RudderStack's clients?"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from services.ingest.doors.sdk_settings import PROJECTS, SOURCE_CONFIG
from services.ingest.doors.segment import Answer
from services.ingest.reading import BODY_BYTES_MAX
from services.ingest.segment.body import BATCH, CONTEXT_BYTES_MAX, IMPORT
from services.ingest.segment.items import CALLS, ITEM_BYTES_MAX
from services.ingest.segment.moments import SKEW_STEP
from services.ingest.splitting import EVENTS_MAX

_TAG: Final = "segment"
_TEXT: Final = f"""For the clients of Segment and RudderStack as they are: point their host (`host`, `dataPlaneUrl`,
`apiHost`) here. JSON under any content type, plain or compressed by gzip; the write key as the user of Basic, else as
`writeKey` in the body. 200 says that everything is stored safely, but for the items in `rejected`, which are kept
among the rejects. A bad item never costs a good one: the whole is refused (400, 413) only when it is no JSON object or
too large. After 429 and 503 the clients send the same again; repeats have no second effect.

| call | event |
|---|---|
| identify | `identify`; traits.email and traits.phone are identifiers too, where a server key says so |
| track | the standard event that the mapping `segment` knows for the name, such as `purchase` for Order Completed; \
else `segment.track.<name_in_lower_case>` with the properties as its data |
| page, screen | `visit` |
| group | `segment.group` |
| alias | `identify`, joining previousId (a cookie) to userId |

userId is the `account`, anonymousId the `cookie`, context.device.token the `device`. messageId is the id; an item
without one gets the same one each time that it comes. originalTimestamp, else timestamp, is the time; a clock that is
ahead by more than {SKEW_STEP.seconds // 60} minutes, by `sentAt`, is set right in steps of as many. Of the context all
is kept but what says who or where somebody is. `context.test: true` marks a test, `context.identity_token` proves the
userId of a browser. `import` is a batch in which old items are history, for keys that may send history.

Limits: {ITEM_BYTES_MAX} bytes an item (Segment's own: 32 KB), {BODY_BYTES_MAX} bytes (500 KB) and {EVENTS_MAX} items
a request, inflated, of which {CONTEXT_BYTES_MAX} bytes are context that the items share. `/v1/i`, `/v1/t`, `/v1/p`,
`/v1/s`, `/v1/g`, `/v1/a` and `/v1/b` are the same by other names, `/beacon/v1/batch?writeKey=` is for beacons, and what
clients measure of themselves (`/v1/m`) is taken and dropped."""

_ITEM: Final[dict[str, Any]] = {
    "messageId": "m-1f0c",
    "userId": "mina-7",
    "timestamp": "2026-11-21T10:15:00.000Z",
    "context": {"library": {"name": "analytics-python", "version": "2.4.0"}},
}
_OWN: Final[dict[str, dict[str, Any]]] = {
    "identify": {"traits": {"email": "mina@example.com", "plan": "gold"}},
    "track": {
        "event": "Order Completed",
        "properties": {
            "order_id": "o-1",
            "total": 45000,
            "currency": "KRW",
            "products": [{"product_id": "tea-12", "quantity": 1, "price": 45000}],
        },
    },
    "page": {"name": "Tea", "properties": {"url": "https://shop.example/tea", "title": "Tea"}},
    "screen": {"name": "Menu"},
    "group": {"groupId": "acme", "traits": {"plan": "team"}},
    "alias": {"previousId": "anon-1"},
}


def add(document: dict[str, Any]) -> None:
    (answer,), schemas = msgspec.json.schema_components([Answer], ref_template="#/components/schemas/{name}")
    components = document.setdefault("components", {})
    components.setdefault("schemas", {}).update(schemas)
    components["schemas"]["SegmentItem"] = _item()
    components.setdefault("securitySchemes", {})["SegmentWriteKey"] = {
        "type": "http",
        "scheme": "basic",
        "description": "The write key as the user, and no password.",
    }
    item = {"$ref": "#/components/schemas/SegmentItem"}
    batch = {
        "type": "object",
        "required": ["batch"],
        "properties": {
            "batch": {"type": "array", "items": item, "maxItems": EVENTS_MAX},
            "sentAt": {"type": "string", "description": "The client's clock when it sent the batch."},
            "context": {"type": "object", "description": "What all items have in their context."},
            "writeKey": {"type": "string"},
        },
    }
    for call in CALLS:
        document["paths"][f"/v1/{call}"] = _sending(call, item, _ITEM | _OWN[call], answer)
    whole = {"batch": [{"type": "track"} | _ITEM | _OWN["track"]], "sentAt": "2026-11-21T10:15:01.000Z"}
    for call in (BATCH, IMPORT):
        document["paths"][f"/v1/{call}"] = _sending(call, batch, whole, answer)
    document["paths"][PROJECTS + "{write_key}/settings"] = _asking(
        "settings", "What Segment's browser client asks.", True
    )
    document["paths"][SOURCE_CONFIG[1]] = _asking("source_config", "What RudderStack's browser client asks.", False)


def _item() -> dict[str, Any]:
    text, id = {"type": ["string", "null"]}, {"type": ["string", "integer", "null"]}
    held = {"type": ["object", "null"]}
    ids = dict.fromkeys(("messageId", "userId", "anonymousId", "previousId", "groupId"), id)
    texts = dict.fromkeys(("event", "name", "category", "timestamp", "originalTimestamp", "sentAt"), text)
    objects = dict.fromkeys(("properties", "traits", "context"), held)
    kind = {"type": "string", "enum": list(CALLS), "description": "In a batch; else the path says it."}
    return {
        "type": "object",
        "description": "With a userId or an anonymousId. Whatever else clients send is taken and left out.",
        "properties": {"type": kind, **ids, **texts, **objects},
    }


def _sending(call: str, schema: dict[str, Any], example: dict[str, Any], answer: Any) -> dict[str, Any]:
    return {
        "post": {
            "summary": f"Send {'items' if call in (BATCH, IMPORT) else 'a call'} as Segment's clients do: {call}",
            "description": _TEXT,
            "operationId": f"segment_{call}",
            "tags": [_TAG],
            "security": [{"SegmentWriteKey": []}],
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": schema, "example": example}},
            },
            "responses": {
                "200": {
                    "description": "Stored safely, but for what `rejected` lists.",
                    "content": {"application/json": {"schema": answer}},
                },
                "4XX": {
                    "description": "Nothing was taken, and why.",
                    "content": {"application/problem+json": {"schema": {"type": "object"}}},
                },
                "503": {"description": "Not stored just now; Retry-After says when to send it again."},
            },
        }
    }


def _asking(name: str, summary: str, by_path: bool) -> dict[str, Any]:
    shape = {"name": "write_key" if by_path else "writeKey", "schema": {"type": "string", "maxLength": 200}}
    parameter = shape | ({"in": "path", "required": True} if by_path else {"in": "query"})
    return {
        "get": {
            "summary": summary,
            "operationId": f"segment_{name}",
            "tags": [_TAG],
            "security": [] if by_path else [{"SegmentWriteKey": []}, {}],
            "parameters": [parameter],
            "responses": {
                "200": {"description": "What the client asks for.", "content": {"application/json": {"schema": {}}}},
                "4XX": {
                    "description": "The key is not known here, or the page may not use it.",
                    "content": {"application/problem+json": {"schema": {"type": "object"}}},
                },
            },
        }
    }
