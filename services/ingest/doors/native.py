"""How do our own events and CloudEvents come in? `POST /v1/events`."""

from __future__ import annotations

from typing import Final

from services.ingest import cloudevents
from services.ingest.doors.visit import Reply, Visit
from services.ingest.intake import Accepted, Form, Outcome, Terms, decode_batch, decode_binary
from services.ingest.reception import Reception
from services.ingest.refusals import NotPossible
from services.ingest.replies import reply_to

PATH: Final = "/v1/events"


class NativeDoor:
    def __init__(self, reception: Reception) -> None:
        self._reception = reception

    async def answer(self, visit: Visit) -> Reply:
        if visit.method != "POST":
            raise NotPossible(f"{visit.method} is not possible at {PATH}; send events by POST.")
        reception = self._reception
        key = reception.key_of(visit.head.key)
        body = await reception.read(visit.receive, visit.head.encoding)
        visit.read = True
        terms = reception.terms(key)
        outcome = await reception.examine(len(body), _examine, visit, body, terms)
        await reception.take(outcome, terms)
        return reply_to(outcome, "" if outcome.single and type(outcome.verdicts[0]) is Accepted else visit.trace_id)


def _examine(visit: Visit, body: bytes, terms: Terms) -> Outcome:
    head = visit.head
    if head.binary:
        return decode_binary(visit.headers, head.content_type, body, terms)
    kind = head.content_type.partition(b";")[0].strip().lower()
    if kind == cloudevents.STRUCTURED:
        return decode_batch(body, Form.CLOUD_EVENT, terms)
    if kind == cloudevents.BATCH:
        return decode_batch(body, Form.CLOUD_BATCH, terms)
    return decode_batch(body, Form.NATIVE, terms)
