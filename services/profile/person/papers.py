"""Which documents has a customer handed in, are they verified, and until when do they hold? Never what is in them."""

from __future__ import annotations

from typing import Any, Final

from msgspec import Struct

from libs.common.clock import from_ms
from services.profile.person.chapter import Chapter, Moment, Records
from services.profile.person.definitions import Definitions
from services.profile.person.keeping import Statement, day_of, keep_newest, newest_of, text_of, written
from services.profile.person.occurrence import Occurrence

PAPERS_MAX: Final = 100
SOON_DAYS: Final = 30
_TEXT_MAX: Final = 200


class Received(Statement, array_like=True, order=True, frozen=True, gc=False):
    """`hash` tells one version of the document from another; `expires` is its last day (ordinal), 0 for none."""

    kind: str = ""
    hash: str = ""
    contract: str = ""
    expires: int = 0


class Ruled(Statement, array_like=True, order=True, frozen=True, gc=False):
    """What was found of a document: verified, rejected or expired; `expires` where that was found as well."""

    status: str
    expires: int = 0


class Papers(Struct, array_like=True, gc=False):
    """By the document's id, else its hash, else the event by which it came."""

    received: dict[str, Received] = {}
    ruled: dict[str, Ruled] = {}


class Paper(Struct, frozen=True):
    id: str
    received: Received
    ruled: Ruled | None

    @property
    def expires(self) -> int:
        return (self.ruled.expires if self.ruled is not None else 0) or self.received.expires

    def has_expired(self, day: int) -> bool:
        return (self.ruled is not None and self.ruled.status == "expired") or 0 < self.expires < day

    def expires_soon(self, day: int) -> bool:
        return not self.has_expired(day) and 0 < self.expires <= day + SOON_DAYS

    def status(self, day: int) -> str:
        if self.has_expired(day):
            return "expired"
        return self.ruled.status if self.ruled is not None else "received"


def _received(held: Papers, event: Occurrence, definitions: Definitions) -> bool:
    del definitions
    said = event.data
    found = Received(
        event.at_ms,
        text_of(said.get("kind"), _TEXT_MAX),
        text_of(said.get("hash"), _TEXT_MAX),
        text_of(said.get("contract"), _TEXT_MAX),
        day_of(said.get("expires_on")),
    )
    return keep_newest(held.received, _id(event) or event.id, found, PAPERS_MAX)


def _ruled(held: Papers, event: Occurrence, definitions: Definitions) -> bool:
    del definitions
    name = _id(event)
    found = Ruled(event.at_ms, event.type.removeprefix("document."), day_of(event.data.get("expires_on")))
    return bool(name) and keep_newest(held.ruled, name, found, 2 * PAPERS_MAX)


def _id(event: Occurrence) -> str:
    return text_of(event.data.get("document")) or text_of(event.data.get("hash"))


def papers_of(records: Records) -> list[Paper]:
    """In the order of their ids; a document that came again is no longer what was found of the one before."""
    held = [each.papers for each in records if each.papers is not None]
    ruled = newest_of(each.ruled for each in held)
    found = []
    for name, received in sorted(newest_of(each.received for each in held).items()):
        last = ruled.get(name)
        found.append(Paper(name, received, last if last is not None and last.at_ms >= received.at_ms else None))
    return found


def _none(records: Records) -> bool:
    if len(records) == 1:
        return records[0].papers is None
    return all([each.papers is None for each in records])


def _fields(records: Records, at: Moment) -> dict[str, Any]:
    if _none(records):
        return {}
    papers = papers_of(records)
    return {
        "document_count": len(papers),
        "document_expired_count": sum(each.has_expired(at.day) for each in papers),
        "documents_expiring_30d": sum(each.expires_soon(at.day) for each in papers),
    }


def _due(records: Records, at: Moment) -> int | None:
    if _none(records):
        return None
    days = [day for each in papers_of(records) if each.expires for day in (each.expires - SOON_DAYS, each.expires + 1)]
    return min((day for day in days if day > at.day), default=None)


def _shown(records: Records, at: Moment) -> list[dict[str, Any]] | None:
    return [_written(each, at.day) for each in papers_of(records)] or None


def _written(paper: Paper, day: int) -> dict[str, Any]:
    return {
        "document": paper.id,
        "kind": paper.received.kind,
        "hash": paper.received.hash or None,
        "contract": paper.received.contract or None,
        "status": paper.status(day),
        "expires_on": written(paper.expires),
        "received_at": from_ms(paper.received.at_ms),
        "ruled_at": from_ms(paper.ruled.at_ms) if paper.ruled is not None else None,
    }


_FIELDS: Final = frozenset({"document_count", "document_expired_count", "documents_expiring_30d"})

PAPERS = Chapter(
    "documents",
    reads=("papers",),
    keeps="papers",
    state=Papers,
    effects={
        "document.received": _received,
        "document.verified": _ruled,
        "document.rejected": _ruled,
        "document.expired": _ruled,
    },
    fields=_fields,
    shown=_shown,
    due=_due,
    reserved=_FIELDS.__contains__,
)
