"""How do events learn what the catalogue knows, and who hears of codes that it does not know?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Final, Protocol

import msgspec
from msgspec import Struct

from libs.common.clock import from_ms, to_ms
from libs.common.unit import UnitTx
from services.profile.person import Occurrence
from services.profile.reference.catalogue import Catalogue, Unknown
from services.profile.store import reference as store
from services.profile.timeline import Origin

UNKNOWN_KEPT_MAX: Final = 20_000
"""Different codes per unit; who sends inventions does not fill the table. What is more is counted as `OTHERS`."""

OTHERS: Final = "(others)"
FLUSH_EVERY_MS: Final = 10_000
_PRODUCT: Final = b'"product"'
_encode: Final = msgspec.json.Encoder().encode
_object: Final = msgspec.json.Decoder(dict[str, Any]).decode


class Joined(Protocol):
    """Something that happened, with where it comes from."""

    event: Occurrence
    origin: Origin


class Seen(Struct, gc=False):
    """An unknown code: in how many events since it was written last, and when; milliseconds."""

    events: int = 0
    first_ms: int = 0
    last_ms: int = 0
    source: str = ""


class Tally(Struct, gc=False):
    """What a unit remembers of unknown codes. It is lost with the unit, and so are the counts of some seconds."""

    codes: dict[Unknown, Seen] = {}
    flushed_ms: int = 0
    fresh: bool = False


class Enriching:
    """One instance for all units."""

    def __init__(self, catalogue: Callable[[], Catalogue]) -> None:
        self._catalogue = catalogue

    async def enrich(self, work: Sequence[Joined], tx: UnitTx) -> None:
        """Give the events of a batch what they do not say of their products and branches; note what nobody knows."""
        catalogue = self._catalogue()
        tally: Tally = tx.cache.setdefault("unknown_codes", Tally())
        for each in work:
            unknown: list[Unknown] = []
            self._join(catalogue, each, unknown)
            if unknown:
                _note(tally, unknown, each.event)
        now_ms = to_ms(tx.now)
        if tally.fresh or (tally.codes and now_ms - tally.flushed_ms > FLUSH_EVERY_MS):
            await self._flush(catalogue, tally, tx)
            tally.flushed_ms, tally.fresh = now_ms, False

    def join(self, work: Sequence[Joined]) -> None:
        """The same, where somebody else notes what nobody knows."""
        catalogue = self._catalogue()
        for each in work:
            self._join(catalogue, each, [])

    @staticmethod
    def _join(catalogue: Catalogue, each: Joined, unknown: list[Unknown]) -> None:
        event, raw = each.event, each.origin.raw
        data = event.data
        if not data and _PRODUCT in bytes(raw):
            # No chapter looks at the data of such an event, so nobody has decoded it.
            data = _object(raw)
        staff = data.get("staff") if event.type == "care.assigned" else None
        if isinstance(staff, str) and staff and staff not in catalogue.staff:
            unknown.append(("staff", staff[:200]))
        if not event.branch and "product" not in data and "items" not in data:
            return
        context = catalogue.look_up(event.branch, data, unknown)
        if not context:
            return
        each.origin.context = context
        event.region = context.region
        if context.fields or context.items:
            whole = context.added_to(data)
            each.origin.whole = msgspec.Raw(_encode(whole))
            event.data = whole if event.data else event.data

    @staticmethod
    async def _flush(catalogue: Catalogue, tally: Tally, tx: UnitTx) -> None:
        rows = [
            (kind, code, seen.events, _at(seen.first_ms), _at(seen.last_ms), seen.source)
            for (kind, code), seen in tally.codes.items()
            if seen.events and not catalogue.knows(kind, code)
        ]
        for seen in tally.codes.values():
            seen.events = 0
        if rows:
            await store.add_unknown(tx, tx.unit, rows)


def _note(tally: Tally, unknown: Sequence[Unknown], event: Occurrence) -> None:
    for kind, code in dict.fromkeys(unknown):
        key = (kind, code)
        if key not in tally.codes:
            if len(tally.codes) >= UNKNOWN_KEPT_MAX:
                key = (kind, OTHERS)
            tally.fresh = tally.fresh or key not in tally.codes
        seen = tally.codes.setdefault(key, Seen(0, event.at_ms, event.at_ms))
        seen.events += 1
        seen.first_ms, seen.last_ms = min(seen.first_ms, event.at_ms), max(seen.last_ms, event.at_ms)
        seen.source = event.source[:200]


def _at(ms: int) -> datetime:
    return from_ms(ms)
