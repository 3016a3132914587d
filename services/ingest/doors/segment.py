"""How do Segment's and RudderStack's clients come in? `POST /v1/track` and the like, unchanged as they are.

They take 200 alone for success (a 202 makes some of them send everything again), drop a whole batch on any 4xx but 429
and come again after 429 and 5xx; so what is wrong with one item is said beside `"success": true`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qs

import msgspec
from msgspec import Struct

from services.ingest.doors.visit import Reply, Visit
from services.ingest.intake import Outcome, Rejected
from services.ingest.keys.book import WriteKey
from services.ingest.reception import BODY_BYTES_AT_ONCE, Reception
from services.ingest.refusals import NotPossible
from services.ingest.replies import JSON
from services.ingest.segment.body import BATCH, IMPORT, Parcel, opened
from services.ingest.segment.items import CALLS
from services.ingest.segment.translation import DOOR, Help, context_kept, examined, may_be_old

METRICS: Final = "metrics"
CALL_OF_PATH: Final[Mapping[str, str]] = {
    **{f"/v1/{call}": call for call in (*CALLS, BATCH, IMPORT)},
    **{f"/v1/{call[0]}": call for call in (*CALLS, BATCH) if call != "identify"},
    "/v1/i": "identify",
    "/v1/m": METRICS,
    # RudderStack's browser client, when it sends by beacon.
    "/beacon/v1/batch": BATCH,
}

_ENCODER = msgspec.json.Encoder()


class RefusedItem(Struct, frozen=True, rename="camel"):
    """An item that was not accepted; `type` is the reason, `pointer` is relative to the item."""

    index: int
    message_id: str
    type: str
    detail: str
    pointer: str


class Answer(Struct, frozen=True, omit_defaults=True):
    success: bool
    rejected: list[RefusedItem] = []


_DONE: Final = Reply(200, JSON, _ENCODER.encode(Answer(True)))


class SegmentDoor:
    def __init__(self, reception: Reception, help: Help) -> None:
        self._reception = reception
        self._help = help

    async def answer(self, visit: Visit) -> Reply:
        if visit.method != "POST":
            raise NotPossible(f"{visit.method} is not possible at {visit.path}; send calls by POST.")
        call, reception = CALL_OF_PATH[visit.path], self._reception
        key = key_shown(visit, reception)
        body = await reception.read(visit.receive, visit.head.encoding)
        visit.read = True
        if call == METRICS:
            return _DONE
        parcel = await _opened(body, call)
        if key is None:
            key = reception.key_of(parcel.write_key.encode(), visit.head.origin)
        terms = reception.terms(key, DOOR, head=visit.head)
        context = context_kept(call, parcel, terms.traffic)
        terms = msgspec.structs.replace(terms, context=context, late_as_history=may_be_old(call, key))
        outcome = await reception.examine(len(body), examined, parcel, call, terms, self._help, terms.now)
        await reception.take(outcome, terms)
        return _reply_to(outcome)


def key_shown(visit: Visit, reception: Reception) -> WriteKey | None:
    """The key in the request's head or, as beacons have it, in its address; None when it can only be in the body."""
    shown = visit.head.key or key_in_query(visit)
    return reception.key_of(shown, visit.head.origin) if shown else None


def key_in_query(visit: Visit) -> bytes:
    query: bytes = visit.scope.get("query_string", b"")
    if b"writeKey=" not in query:
        return b""
    return parse_qs(query.decode("latin-1")).get("writeKey", [""])[0].encode()


async def _opened(body: bytes, call: str) -> Parcel:
    if len(body) <= BODY_BYTES_AT_ONCE:
        return opened(body, call)
    return await asyncio.to_thread(opened, body, call)


def _reply_to(outcome: Outcome) -> Reply:
    refused = [_refused(verdict) for verdict in outcome.verdicts if isinstance(verdict, Rejected)]
    return Reply(200, JSON, _ENCODER.encode(Answer(True, refused))) if refused else _DONE


def _refused(one: Rejected) -> RefusedItem:
    return RefusedItem(one.index, one.id, one.reason, one.detail, one.pointer)
