"""How does the API's description speak of the door for webhooks, which FastAPI never sees?"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from services.ingest.doors.hooks import HookReceipt
from services.ingest.hooks.endpoints import PATH
from services.ingest.hooks.signatures import PROVIDERS, SIGNATURE_HEADERS, TOLERANCE_SECONDS
from services.ingest.reading import BODY_BYTES_MAX

_PLACE: Final = PATH + "{provider}/{source}"

_TEXT = f"""Takes a webhook as its provider sends it. `POST /v1/hook-endpoints` makes the address and knows the secret;
the mapping of the endpoint says which events a body holds.

| provider | signature | over |
|---|---|---|
| shopify | `X-Shopify-Hmac-SHA256`, base64 of HMAC-SHA256 | the body |
| square | `x-square-hmacsha256-signature`, base64 of HMAC-SHA256 | the notification URL, then the body |
| toast | `Toast-Signature`, base64 of HMAC-SHA256 | the body, then its `timestamp` |
| standard | `webhook-signature` of Standard Webhooks, `v1` | `webhook-id`, `webhook-timestamp` and the body, by dots; \
at most {TOLERANCE_SECONDS} s old |

200 says that the webhook is kept safely: as events, or among the rejects with a reason, from where it comes in once the
mapping or the schema is mended. It is never the provider's affair, who would repeat it in vain. Repeats have no second
effect: the ids of the events come from the order or the payment, not from the delivery.

At most {BODY_BYTES_MAX} bytes."""

_EXAMPLE = {
    "type": "purchase",
    "timestamp": "2026-11-21T10:15:00Z",
    "data": {"identifiers": {"email": "mina@example.com"}, "amount": "45000", "currency": "KRW"},
}


def add(document: dict[str, Any]) -> None:
    (receipt,), schemas = msgspec.json.schema_components([HookReceipt], ref_template="#/components/schemas/{name}")
    components = document.setdefault("components", {})
    components.setdefault("schemas", {}).update(schemas)
    schemes = components.setdefault("securitySchemes", {})
    for provider in PROVIDERS:
        name = SIGNATURE_HEADERS[provider].decode()
        schemes[_scheme(provider)] = {"type": "apiKey", "in": "header", "name": name}
    document["paths"][_PLACE] = {
        "post": {
            "summary": "Take a webhook",
            "description": _TEXT,
            "operationId": "take_webhook",
            "tags": ["webhooks"],
            "security": [{_scheme(provider): []} for provider in PROVIDERS],
            "parameters": [
                _parameter("provider", {"type": "string", "enum": list(PROVIDERS)}),
                _parameter("source", {"type": "string", "maxLength": 200}),
            ],
            "requestBody": {
                "required": True,
                "content": {"application/json": {"schema": {"type": "object"}, "example": _EXAMPLE}},
            },
            "responses": {
                "200": {
                    "description": "Kept safely.",
                    "content": {"application/json": {"schema": receipt}},
                },
                "401": _problem("The signature is missing, does not fit, or is too old."),
                "404": _problem("Nobody made this address."),
                "4XX": _problem("Not taken, and why."),
                "503": {"description": "Not kept just now; Retry-After says when to send it again."},
            },
        }
    }


def _scheme(provider: str) -> str:
    return f"{provider.capitalize()}Signature"


def _parameter(name: str, shape: dict[str, Any]) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": shape}


def _problem(description: str) -> dict[str, Any]:
    return {"description": description, "content": {"application/problem+json": {"schema": {"type": "object"}}}}
