"""How is a verdict said over HTTP? Pure: an outcome in, a status and a body out."""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct

from services.ingest.doors.visit import Reply
from services.ingest.intake import Accepted, Outcome, Rejected
from services.ingest.refusals import status_of

JSON: Final = b"application/json"
PROBLEM: Final = b"application/problem+json"
_POINTED_MAX = 100
_ENCODER = msgspec.json.Encoder()


class Refusal(Struct, frozen=True):
    """One event that was not accepted; `type` is the reason, `pointer` is relative to the event."""

    index: int
    id: str
    type: str
    detail: str
    pointer: str


class Receipt(Struct, frozen=True):
    accepted: int
    rejected: list[Refusal]
    ids: list[str]


class Pointed(Struct, frozen=True):
    pointer: str
    detail: str


class AllRefused(Struct, frozen=True):
    """Problem details (RFC 9457); a batch has its receipt beside them."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[Pointed]
    trace_id: str
    accepted: int = 0
    rejected: list[Refusal] = []
    ids: list[str] = []


def reply_to(outcome: Outcome, trace_id: str) -> Reply:
    """The answer to a request whose accepted events are acknowledged."""
    if outcome.single and type(outcome.verdicts[0]) is Accepted:
        return Reply(202, JSON, _ENCODER.encode(Receipt(1, [], [outcome.verdicts[0].id])))
    ids = [verdict.id for verdict in outcome.verdicts if isinstance(verdict, Accepted)]
    refused = [verdict for verdict in outcome.verdicts if isinstance(verdict, Rejected)]
    if ids:
        return Reply(202, JSON, _ENCODER.encode(Receipt(len(ids), [_refusal(one) for one in refused], ids)))
    problem = _single(refused[0], trace_id) if outcome.single else _whole(refused, outcome.at, trace_id)
    return Reply(problem.status, PROBLEM, _ENCODER.encode(problem))


def _single(one: Rejected, trace_id: str) -> AllRefused:
    return AllRefused(
        type=one.reason,
        title="The event is not accepted",
        status=status_of(one.reason),
        detail=one.detail,
        errors=[Pointed(f"#{one.pointer}", one.detail)],
        trace_id=trace_id,
        rejected=[_refusal(one)],
    )


def _whole(refused: list[Rejected], at: str, trace_id: str) -> AllRefused:
    return AllRefused(
        type="all-rejected",
        title="No event of the batch is accepted",
        status=422,
        detail=f"{len(refused)} events were examined; the first: {refused[0].detail}",
        errors=[Pointed(f"#{at}/{one.index}{one.pointer}", one.detail) for one in refused[:_POINTED_MAX]],
        trace_id=trace_id,
        rejected=[_refusal(one) for one in refused],
    )


def _refusal(one: Rejected) -> Refusal:
    return Refusal(one.index, one.id, one.reason, one.detail, one.pointer)
