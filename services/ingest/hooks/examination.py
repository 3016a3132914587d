"""What does a webhook bring in? Pure: the raw body and its headers through a mapping, a verdict for each event."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from services.ingest.hooks.endpoints import Hook
from services.ingest.intake import Accepted, Outcome, Rejected, Terms, admit
from services.ingest.mapping import CompiledMapping
from services.ingest.refusals import MAPPING_FAILED, NOT_JSON, Reject
from services.ingest.rejects.reexamination import RECEIVED_AT
from services.ingest.strict import printable
from services.ingest.traffic import TEST

HEADER: Final = "header."
"""What stands before the name of each header in the context of a reject."""

_HEADERS_MAX: Final = 40
_HEADER_LENGTH_MAX: Final = 1_000
# What the way of a request wrote on it, and what must not be kept: an event may not depend on either.
_NOT_GIVEN: Final = frozenset(
    "accept accept-encoding authorization cf-connecting-ip connection content-encoding content-length cookie forwarded"
    " host proxy-authorization sec-fetch-dest te traceparent tracestate transfer-encoding upgrade user-agent via"
    " x-amzn-trace-id x-correlation-id x-forwarded-for x-forwarded-host x-forwarded-port x-forwarded-proto x-real-ip"
    " x-request-id x-write-key".split()
)
_UNREADABLE = (msgspec.MsgspecError, UnicodeError, RecursionError)


class _Data(msgspec.Struct):
    test: bool = False


class _Marked(msgspec.Struct):
    data: _Data = msgspec.field(default_factory=_Data)


_MARKED = msgspec.json.Decoder(_Marked)


def context_of(headers: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """The headers that a mapping may look at, as they are kept with what is refused: never those of a signature."""
    kept: dict[str, str] = {}
    for name, value in headers:
        text = name.decode("latin-1").lower()
        if text in _NOT_GIVEN or "signature" in text or "hmac" in text or len(kept) >= _HEADERS_MAX:
            continue
        kept.setdefault(HEADER + text, printable(value.decode("utf-8", "replace"), _HEADER_LENGTH_MAX))
    return kept


def examine(
    body: bytes, context: Mapping[str, str], hook: Hook, mapping: CompiledMapping | None, terms: Terms
) -> Outcome:
    """The same for the same body and context, now and whenever it is looked at again.

    What is refused is kept once, as the whole body with the first reason, however many of its events are refused.
    """
    try:
        events = _events(body, context, hook, mapping, terms)
    except Reject as reject:
        return Outcome([Rejected(0, reject.reason, reject.detail, reject.pointer, body)], single=True)
    verdicts: list[Accepted | Rejected] = []
    for index, event in enumerate(events):
        try:
            verdicts.append(admit(event, _flagged(event, terms)))
        except Reject as reject:
            verdicts.append(_rejected(index, event, body, reject))
    return Outcome(verdicts)


def to_keep(outcome: Outcome) -> Outcome:
    """What goes into the log: of several refusals of one body the first."""
    refused = [verdict for verdict in outcome.verdicts if isinstance(verdict, Rejected)]
    if len(refused) < 2:
        return outcome
    accepted = [verdict for verdict in outcome.verdicts if isinstance(verdict, Accepted)]
    detail = f"{refused[0].detail} And {len(refused) - 1} more of its {len(outcome.verdicts)} events."
    return Outcome([*accepted, msgspec.structs.replace(refused[0], detail=detail)])


def given_of(body: Any, context: Mapping[str, str], hook: Hook, received_at: str) -> dict[str, Any]:
    """What the expressions of a mapping are evaluated over."""
    return {
        "body": body,
        "headers": {name.removeprefix(HEADER): text for name, text in context.items() if name.startswith(HEADER)},
        "received_at": received_at,
        "source": hook.stored.source,
        "branch": hook.stored.branch,
    }


def _events(
    body: bytes, context: Mapping[str, str], hook: Hook, mapping: CompiledMapping | None, terms: Terms
) -> list[bytes]:
    if mapping is None:
        detail = f"No mapping named {hook.stored.mapping!r} is in force; activate one, or give the hook another."
        raise Reject(MAPPING_FAILED, "", detail)
    try:
        document = msgspec.json.decode(body)
    except _UNREADABLE as error:
        raise Reject(NOT_JSON, "", f"The body is not JSON: {error}.") from None
    received_at = context.get(RECEIVED_AT) or terms.now.isoformat()
    return mapping.events(given_of(document, context, hook, received_at))


def _flagged(event: bytes, terms: Terms) -> Terms:
    """Orders that a shop places to try itself out say so in their data."""
    if b'"test":true' not in event:
        return terms
    try:
        is_test = _MARKED.decode(event).data.test
    except _UNREADABLE:
        return terms
    return msgspec.structs.replace(terms, traffic=TEST) if is_test else terms


def _rejected(index: int, event: bytes, body: bytes, reject: Reject) -> Rejected:
    made = msgspec.json.decode(event)
    shown = (made.get(name) for name in ("id", "source", "type"))
    first, second, third = (printable(text) if isinstance(text, str) else "" for text in shown)
    return Rejected(index, reject.reason, reject.detail, reject.pointer, body, first, second, third)
