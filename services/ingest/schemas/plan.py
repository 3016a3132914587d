"""Which tracking plan counts in this process? Looked for by its revision, compiled as far as it changed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import Struct

from libs.common import logs
from libs.common.db import Row
from libs.common.errors import Invalid
from libs.common.metrics import Metrics
from services.ingest.schemas.kinds import Kinds
from services.ingest.schemas.modes import Mode, SourceModes
from services.ingest.schemas.schema import Schema, compiled
from services.ingest.store import schemas as stored_schemas
from services.ingest.store import sources as stored_sources


class Change(Struct, frozen=True):
    """What was read because the plan has another revision than the one in use."""

    revision: int
    whole: bool
    types: list[tuple[str, str | None]]
    modes: dict[str, Mode]


class Plan:
    """Owners' schemas and the modes of sources; `kinds` is replaced whole and never changed."""

    def __init__(self, metrics: Metrics) -> None:
        self.kinds = Kinds()
        self._revision = 0
        self._log = logs.get(__name__)
        self._unusable = metrics.counter("unusable_schemas_total", "Stored schemas that could not be compiled.")
        metrics.gauge("registered_types_number", "Event types with an entry of their owners.").set_function(
            lambda: len(self.kinds.own)
        )

    async def read(self, connection: Any) -> Change | None:
        """What has changed since; None, after one look at one row, when nothing has."""
        revision = await stored_schemas.revision(connection)
        if revision == self._revision:
            return None
        # A number that went back means another database: nothing of what is known counts then.
        whole = revision < self._revision
        rows: Sequence[Row] = await stored_schemas.changed_types(connection, 0 if whole else self._revision)
        modes = {row["pattern"]: row["mode"] for row in await stored_sources.all_modes(connection)}
        return Change(revision, whole, [(row["name"], row["schema"]) for row in rows], modes)

    async def adopt(self, change: Change) -> None:
        """Compiles what changed, where it holds up nobody, and puts it in use."""
        made = await asyncio.to_thread(lambda: {name: self._compiled(name, text) for name, text in change.types})
        own = made if change.whole else self.kinds.own | made
        self.kinds = Kinds(own, SourceModes(change.modes))
        self._revision = change.revision

    def _compiled(self, name: str, text: str | None) -> Schema | None:
        if text is None:
            return None
        try:
            return compiled(msgspec.json.decode(text))
        except Invalid as error:
            # It could be used when it was registered. To let too much in is mended later; what is refused is gone.
            self._unusable.inc()
            self._log.error("a stored schema cannot be used, so any data goes", type=name, error=error.detail)
            return None
