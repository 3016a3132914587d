"""How does the API's description speak of the doors, which FastAPI never sees?"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI

from services.ingest.openapi import events, hooks, imports, segment

_ADDITIONS = (events.add, hooks.add, imports.add, segment.add)


def describe_doors(app: FastAPI) -> None:
    """Adds the doors to what /openapi.json says, once, when FastAPI has made its own part."""
    described = app.openapi

    def openapi() -> dict[str, Any]:
        is_new = app.openapi_schema is None
        document = described()
        if is_new:
            for add in _ADDITIONS:
                add(document)
        return document

    app.openapi = openapi  # type: ignore[method-assign]
