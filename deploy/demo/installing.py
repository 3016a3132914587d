"""How do the demo's rules, campaigns and templates get into the services? Once, through the public APIs."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deploy.demo.calls import Calls

DOCUMENTS = Path(__file__).with_name("documents")
KINDS = (("templates", "notify"), ("campaigns", "campaign"), ("rules", "rules"))
"""Which service owns them."""


def read(kind: str) -> list[dict[str, Any]]:
    documents: list[dict[str, Any]] = json.loads((DOCUMENTS / f"{kind}.json").read_text())
    return documents


async def install(calls: Calls) -> int:
    """How many documents were put in force. What is there already, edited or paused, is left as it is."""
    return sum(await asyncio.gather(*(_install(calls, service, kind, read(kind)) for kind, service in KINDS)))


async def _install(calls: Calls, service: str, kind: str, documents: Sequence[dict[str, Any]]) -> int:
    made = 0
    for document in documents:
        path = f"/v1/{kind}/{document['id']}"
        known = await calls.find(service, path)
        if known is None:
            known = await calls.post(service, f"/v1/{kind}", document, role="marketer")
        # A first draft that nobody touched is one that an earlier run did not get to activate.
        if known["version"] == 1 and known["status"] == "draft":
            await calls.post(service, f"{path}/activate", {"note": "The demo's own."}, role="marketer")
            made += 1
    return made
