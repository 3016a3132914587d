"""How do our own events and CloudEvents come in? `POST /v1/events`."""

from __future__ import annotations

from typing import Final

from services.ingest import cloudevents
from services.ingest.doors.visit import Head, Reply, Visit
from services.ingest.intake import Accepted, Form, Outcome, Terms, decode_batch, decode_binary
from services.ingest.reception import NO_CONTEXT, Reception
from services.ingest.refusals import NotPossible
from services.ingest.rejects.reexamination import CLOUD_CONTEXT
from services.ingest.replies import reply_to

PATH: Final = "/v1/events"
_FORMS: Final = {cloudevents.STRUCTURED: Form.CLOUD_EVENT, cloudevents.BATCH: Form.CLOUD_BATCH}


class NativeDoor:
    def __init__(self, reception: Reception) -> None:
        self._reception = reception

    async def answer(self, visit: Visit) -> Reply:
        if visit.method != "POST":
            raise NotPossible(f"{visit.method} is not possible at {PATH}; send events by POST.")
        reception = self._reception
        key = reception.key_of(visit.head.key, visit.head.origin)
        body = await reception.read(visit.receive, visit.head.encoding)
        visit.read = True
        form = _form_of(visit.head)
        terms = reception.terms(key, context=NO_CONTEXT if form is Form.NATIVE else CLOUD_CONTEXT, head=visit.head)
        outcome = await reception.examine(len(body), _examine, visit, body, form, terms)
        await reception.take(outcome, terms)
        return reply_to(outcome, "" if outcome.single and type(outcome.verdicts[0]) is Accepted else visit.trace_id)


def _examine(visit: Visit, body: bytes, form: Form, terms: Terms) -> Outcome:
    if visit.head.binary:
        return decode_binary(visit.headers, visit.head.content_type, body, terms)
    return decode_batch(body, form, terms)


def _form_of(head: Head) -> Form:
    """An event in binary mode counts as a CloudEvent, whatever the type of its data."""
    if head.binary:
        return Form.CLOUD_EVENT
    kind = head.content_type.partition(b";")[0].strip().lower()
    return _FORMS.get(kind, Form.NATIVE)
