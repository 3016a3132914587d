"""What does a customer hold: contracts and products, since when, until when, and what has become of them?"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, Final

from msgspec import Struct

from libs.common.clock import from_ms
from services.profile.person.chapter import Chapter, Moment, Records
from services.profile.person.definitions import Definitions
from services.profile.person.keeping import Statement, day_of, keep_newest, newest_of, text_of, written
from services.profile.person.occurrence import Occurrence

HOLDINGS_MAX: Final = 100
KINDS_MAX: Final = 20
_TEXT_MAX: Final = 100
_KIND: Final = re.compile(r"[a-z][a-z0-9_]{0,39}")


class Begun(Statement, array_like=True, order=True, frozen=True, gc=False):
    """Days are ordinals, 0 where nobody named one; a warranty has an end, what it is given for has none."""

    kind: str
    product: str = ""
    starts: int = 0
    ends: int = 0
    warranty: int = 0
    amount: str = ""
    currency: str = ""
    branch: str = ""


class Ending(Statement, array_like=True, order=True, frozen=True, gc=False):
    ends: int
    kind: str = ""
    product: str = ""


class Over(Statement, array_like=True, order=True, frozen=True, gc=False):
    reason: str = ""


class Holdings(Struct, array_like=True, gc=False):
    """The newest statements by the holding's id: its contract, else its serial number, else its product."""

    begun: dict[str, Begun] = {}
    ending: dict[str, Ending] = {}
    over: dict[str, Over] = {}


class Holding(Struct, frozen=True):
    id: str
    begun: Begun
    ends: int
    announced: bool
    over: Over | None

    def status(self, day: int) -> str:
        if self.over is not None:
            return "closed"
        if self.ends and self.ends < day:
            return "ended"
        return "ending" if self.announced else "active"

    def lasts(self, day: int) -> bool:
        return self.over is None and not 0 < self.ends < day


def _opened(held: Holdings, event: Occurrence, definitions: Definitions) -> bool:
    del definitions
    return _begin(held, event, "contract", "")


def _registered(held: Holdings, event: Occurrence, definitions: Definitions) -> bool:
    del definitions
    return _begin(held, event, "product", event.id)


def _begin(held: Holdings, event: Occurrence, kind: str, otherwise: str) -> bool:
    said = event.data
    found = Begun(
        event.at_ms,
        text_of(said.get("kind"), _TEXT_MAX) or kind,
        text_of(said.get("product"), _TEXT_MAX),
        day_of(said.get("starts_on")),
        day_of(said.get("ends_on")),
        day_of(said.get("warranty_until")),
        _amount(said.get("amount")),
        text_of(said.get("currency"), 3),
        event.branch[:_TEXT_MAX],
    )
    return keep_newest(held.begun, _id(event) or otherwise or event.id, found, HOLDINGS_MAX)


def _ending(held: Holdings, event: Occurrence, definitions: Definitions) -> bool:
    del definitions
    name, said = _id(event), event.data
    found = Ending(
        event.at_ms,
        day_of(said.get("ends_on")),
        text_of(said.get("kind"), _TEXT_MAX) or "contract",
        text_of(said.get("product"), _TEXT_MAX),
    )
    return bool(name) and keep_newest(held.ending, name, found, HOLDINGS_MAX)


def _closed(held: Holdings, event: Occurrence, definitions: Definitions) -> bool:
    del definitions
    name = _id(event)
    found = Over(event.at_ms, text_of(event.data.get("reason"), _TEXT_MAX))
    return bool(name) and keep_newest(held.over, name, found, 2 * HOLDINGS_MAX)


def _id(event: Occurrence) -> str:
    said = event.data
    return text_of(said.get("contract")) or text_of(said.get("serial")) or text_of(said.get("product"))


def _amount(value: object) -> str:
    return repr(value) if isinstance(value, float) else text_of(value, 30)


def holdings_of(records: Records) -> list[Holding]:
    """In the order of their ids; one that is only known to be ending is one as well."""
    held = [each.holdings for each in records if each.holdings is not None]
    begun = {**newest_of(each.begun for each in held)}
    ending = newest_of(each.ending for each in held)
    over = newest_of(each.over for each in held)
    for name, said in ending.items():
        begun.setdefault(name, Begun(said.at_ms, said.kind, said.product))
    return [_holding(name, begun[name], ending.get(name), over.get(name)) for name in sorted(begun)]


def _holding(name: str, begun: Begun, ending: Ending | None, over: Over | None) -> Holding:
    ends, announced = begun.ends, False
    if ending is not None and ending.at_ms >= begun.at_ms:
        ends, announced = ending.ends or begun.ends, True
    closed = over if over is not None and over.at_ms >= begun.at_ms else None
    return Holding(name, begun, ends, announced, closed)


def _none(records: Records) -> bool:
    if len(records) == 1:
        return records[0].holdings is None
    return all([each.holdings is None for each in records])


def _fields(records: Records, at: Moment) -> dict[str, Any]:
    if _none(records):
        return {}
    present = [each for each in holdings_of(records) if each.lasts(at.day)]
    seen: dict[str, Any] = {"holding_count": len(present)}
    kinds = sorted({kind for each in present if (kind := _safe(each.begun.kind))})
    seen |= {f"holds_{kind}": True for kind in kinds[:KINDS_MAX]}
    if ends := min((each.ends for each in present if each.ends), default=0):
        seen["next_contract_end_on"] = written(ends)
    if ends := min((each.begun.warranty for each in present if each.begun.warranty >= at.day), default=0):
        seen["next_warranty_end_on"] = written(ends)
    return seen


def _safe(kind: str) -> str:
    """A kind as the end of a name; empty where it cannot be one."""
    name = kind.lower().replace("-", "_").replace(" ", "_")
    return name if _KIND.fullmatch(name) else ""


def _due(records: Records, at: Moment) -> int | None:
    if _none(records):
        return None
    return min((day for day in _days(records, at.day) if day > at.day), default=None)


def _days(records: Records, today: int) -> Iterator[int]:
    """Days on which something is over, being the first without it."""
    for each in holdings_of(records):
        if each.lasts(today):
            yield from (day + 1 for day in (each.ends, each.begun.warranty) if day)


def _shown(records: Records, at: Moment) -> list[dict[str, Any]] | None:
    return [_written(each, at.day) for each in holdings_of(records)] or None


def _written(holding: Holding, day: int) -> dict[str, Any]:
    begun = holding.begun
    return {
        "holding": holding.id,
        "kind": begun.kind,
        "product": begun.product,
        "status": holding.status(day),
        "starts_on": written(begun.starts),
        "ends_on": written(holding.ends),
        "warranty_until": written(begun.warranty),
        "amount": begun.amount or None,
        "currency": begun.currency or None,
        "branch": begun.branch or None,
        "since": from_ms(begun.at_ms),
        "closed_at": from_ms(holding.over.at_ms) if holding.over is not None else None,
        "reason": holding.over.reason if holding.over is not None else None,
    }


def _reserved(name: str) -> bool:
    return name.startswith("holds_") or name in ("holding_count", "next_contract_end_on", "next_warranty_end_on")


HOLDINGS = Chapter(
    "holdings",
    reads=("holdings",),
    keeps="holdings",
    state=Holdings,
    effects={
        "contract.opened": _opened,
        "contract.ending": _ending,
        "contract.closed": _closed,
        "product.registered": _registered,
        "product.disposed": _closed,
    },
    fields=_fields,
    shown=_shown,
    due=_due,
    reserved=_reserved,
)
