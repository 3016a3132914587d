"""Which mapping goes by a name right now? The owners' own where one is in force, else the one that ships."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any, Final

import msgspec

from libs.common import logs
from libs.common.documents import ActiveDocument, SnapshotWatcher
from libs.common.errors import Invalid
from libs.common.metrics import Metrics
from services.ingest.mapping.document import CompiledMapping, compile_mapping

KIND: Final = "mapping"
SHIPPED: Final = Path(__file__).parent / "shipped"

Compiled = Mapping[str, CompiledMapping | None]
"""By name; None for one that this version of the program cannot read."""


class Mappings:
    """A component. Never waits for PostgreSQL: it goes on with what was read last."""

    def __init__(self, connect: Callable[[], AbstractAsyncContextManager[Any]], metrics: Metrics) -> None:
        self.shipped = shipped_documents()
        self._compiled = {name: compile_mapping(document) for name, document in self.shipped.items()}
        self._watcher = SnapshotWatcher[Compiled](KIND, connect, compiled_of, metrics)

    async def start(self) -> None:
        await self._watcher.start()

    async def stop(self) -> None:
        await self._watcher.stop()

    async def failed(self) -> None:
        await self._watcher.failed()

    async def refresh(self) -> None:
        await self._watcher.refresh()

    def get(self, name: str) -> CompiledMapping | None:
        current = self._watcher.current
        own = {} if current is None else current.content
        return own[name] if name in own else self._compiled.get(name)


def compiled_of(documents: Sequence[ActiveDocument]) -> Compiled:
    """One that cannot be read any more costs no other: what needs it is kept until somebody mends it."""
    compiled: dict[str, CompiledMapping | None] = {}
    for each in documents:
        try:
            compiled[each.id] = compile_mapping(msgspec.json.decode(each.body))
        except Invalid as error:
            logs.get(__name__).error(
                "a mapping cannot be read", mapping=each.id, version=each.version, error=str(error)
            )
            compiled[each.id] = None
    return compiled


def shipped_documents() -> dict[str, dict[str, Any]]:
    """The documents that ship, by name."""
    return {path.stem: json.loads(path.read_text("utf-8")) for path in sorted(SHIPPED.glob("*.json"))}
