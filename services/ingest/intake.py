"""May these bytes come in? The heart of ingest: a request's body in, a verdict for each event out.

Pure: the moment, the key and the known types are handed in. The bytes of an accepted native event go on unchanged.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from enum import Enum
from typing import Final

import msgspec
from msgspec import Struct

from libs.common import topics
from libs.common.errors import Refused
from libs.common.events import EventReceived
from services.ingest import cloudevents, envelope, strict
from services.ingest.keys.book import WriteKey
from services.ingest.keys.claims import confined
from services.ingest.refusals import (
    BRANCH_NOT_ALLOWED,
    HISTORY_NOT_ALLOWED,
    MALFORMED,
    SOURCE_NOT_ALLOWED,
    TOO_LARGE,
    TYPE_NOT_ALLOWED,
    WRONG_CHANNEL,
    WRONG_TIME,
    Reject,
    Violation,
)
from services.ingest.schemas.kinds import Kinds
from services.ingest.splitting import UNREADABLE, split, wrapped

EVENT_BYTES_MAX: Final = 256 * 1024
HISTORY_BEGINS: Final = datetime(1900, 1, 1, tzinfo=UTC)

_WHITESPACE = b" \t\r\n"


class Form(Enum):
    """What the caller says the body is; `NATIVE` leaves it to each event whether it is a CloudEvent."""

    NATIVE = "native"
    CLOUD_EVENT = "cloud event"
    CLOUD_BATCH = "batch of cloud events"


class Terms(Struct, frozen=True):
    """On which terms a request is examined; live events lie in [oldest, newest].

    `door` names the way by which the events came, and `context` what must be known to examine them again; both are
    kept with what is refused. `late_as_history` marks a live event that comes too late as history.
    `proven` are identifiers that a browser's site vouched for; `traffic` says that no customer is behind the events:
    bot, test, or nothing for most.
    """

    key: WriteKey
    kinds: Kinds
    now: datetime
    oldest: datetime
    newest: datetime
    door: str = "events"
    context: Mapping[str, str] = {}
    late_as_history: bool = False
    proven: Mapping[str, str] = {}
    traffic: str = ""


class Accepted(Struct, frozen=True, gc=False):
    """`key` is the record's key, `value` the bytes to forward; `violations` were observed and let pass.

    `everyone` says that it names nobody, and that its type is for whoever a rule selects.
    """

    id: str
    key: bytes
    value: bytes
    violations: tuple[Violation, ...] = ()
    traffic: str = ""
    everyone: bool = False


class Rejected(Struct, frozen=True):
    """`pointer` is relative to the event; `id`, `source` and `type` are empty where they cannot be read."""

    index: int
    reason: str
    detail: str
    pointer: str
    body: bytes
    id: str = ""
    source: str = ""
    type: str = ""


class Outcome(Struct, frozen=True):
    """The verdicts in the order of the events. `at` is the pointer to the list of events in the body."""

    verdicts: list[Accepted | Rejected]
    single: bool = False
    at: str = ""


def decode_batch(body: bytes, form: Form, terms: Terms) -> Outcome:
    """One event, an array of events, or {"events": [...]}. Refused when the whole body cannot be read."""
    first = body[:1]
    if first in _WHITESPACE:
        first = body.lstrip(_WHITESPACE)[:1]
    if not first:
        raise Refused("The body is empty; send an event or an array of events as JSON.")
    if first == b"[":
        if form is Form.CLOUD_EVENT:
            raise Refused("A list of CloudEvents has the content type application/cloudevents-batch+json.")
        return Outcome(_judged(split(body), form, terms))
    if form is Form.CLOUD_BATCH:
        raise Refused("A body of the type application/cloudevents-batch+json is a JSON array.")
    verdict = _judge(body, 0, form, terms)
    if type(verdict) is Rejected and form is Form.NATIVE and b'"events"' in body:
        inner = wrapped(body)
        if inner is not None:
            return Outcome(_judged(split(inner), form, terms), at="/events")
    return Outcome([verdict], single=True)


def decode_binary(headers: Iterable[tuple[bytes, bytes]], content_type: bytes, body: bytes, terms: Terms) -> Outcome:
    """One CloudEvent in binary mode: the attributes in `ce-` headers, the data in the body.

    One that is refused is kept in structured form, for its body alone says little.
    """
    kept = body
    try:
        _check_size(body)
        attributes = cloudevents.from_headers(headers, content_type, body)
        kept = msgspec.json.encode(attributes)
        verdict: Accepted | Rejected = admit(cloudevents.channel_event(attributes, terms.now), terms)
    except Reject as reject:
        verdict = _rejected(kept, 0, reject)
    return Outcome([verdict], single=True)


def judge_one(raw: bytes, form: Form, terms: Terms) -> Outcome:
    """The verdict on bytes that are known to be one event, whatever they look like."""
    return Outcome([_judge(raw, 0, form, terms)], single=True)


def _judged(items: Iterable[bytes], form: Form, terms: Terms) -> list[Accepted | Rejected]:
    return [_judge(item, index, form, terms) for index, item in enumerate(items)]


def _judge(raw: bytes, index: int, form: Form, terms: Terms) -> Accepted | Rejected:
    try:
        _check_size(raw)
        if form is not Form.NATIVE:
            return admit(_from_cloud(raw, terms), terms)
        return admit(raw, terms)
    except Reject as reject:
        return _rejected(raw, index, reject)


def _check_size(raw: bytes) -> None:
    if len(raw) > EVENT_BYTES_MAX:
        raise Reject(TOO_LARGE, "", f"The event is larger than {EVENT_BYTES_MAX} bytes.")


def admit(raw: bytes, terms: Terms) -> Accepted:
    """The event as it goes on, also for doors that made it of something else; Reject when it may not come in."""
    _check_size(raw)
    try:
        event = envelope.decode(raw)
    except UNREADABLE as error:
        raw = _second_reading(raw, str(error), terms)
        event = envelope.decode(raw)
    if terms.late_as_history and event.time < terms.oldest and not event.history:
        raw = _as_history(raw)
        event = envelope.decode(raw)
    strict.check(raw)
    envelope.check_text(event)
    _check_rights(event, terms)
    _check_time(event, terms)
    violations = terms.kinds.check(event)
    if terms.key.is_browser:
        raw, event, left_out = confined(raw, event, terms.proven)
        violations += left_out
    everyone = not event.identifiers and _is_for_everyone(event.type, terms)
    return Accepted(event.id, topics.strongest_identifier(event).encode(), raw, violations, terms.traffic, everyone)


def _is_for_everyone(type: str, terms: Terms) -> bool:
    """A stranger with a key that everybody can read, a crawler and a test reach nobody by it."""
    return not terms.key.is_browser and not terms.traffic and terms.kinds.concerns_everyone(type)


def _second_reading(raw: bytes, found: str, terms: Terms) -> bytes:
    """For what is no channel event: the bytes of one made from a CloudEvent, else Reject with the cause."""
    document = strict.parse(raw)
    if not isinstance(document, dict):
        raise Reject(MALFORMED, "", "An event is a JSON object.")
    if "specversion" not in document:
        raise envelope.explain(document, found)
    raw = _from_cloud(raw, terms)
    try:
        envelope.decode(raw)
    except UNREADABLE as error:
        raise envelope.explain(strict.parse(raw), str(error)) from None
    return raw


def _from_cloud(raw: bytes, terms: Terms) -> bytes:
    strict.parse(raw)
    try:
        attributes = cloudevents.members(raw)
    except UNREADABLE:
        raise Reject(MALFORMED, "", "A CloudEvent is a JSON object.") from None
    return cloudevents.channel_event(attributes, terms.now)


def _as_history(raw: bytes) -> bytes:
    return msgspec.json.encode(cloudevents.members(raw) | {"history": msgspec.Raw(b"true")})


def _check_rights(event: EventReceived, terms: Terms) -> None:
    key = terms.key
    if event.channel and event.channel != key.channel:
        detail = f"This key writes to the channel {key.channel!r}; leave channel out, or use that channel's key."
        raise Reject(WRONG_CHANNEL, "/channel", detail)
    if not key.may_claim(event.source):
        detail = f"This key may not send as this source; its sources are {', '.join(key.sources)}."
        raise Reject(SOURCE_NOT_ALLOWED, "/source", detail)
    if event.history and not key.may_send_history:
        raise Reject(HISTORY_NOT_ALLOWED, "/history", "This key has no permission to send history.")
    if key.is_narrow:
        _check_scope(event, key)


def _check_scope(event: EventReceived, key: WriteKey) -> None:
    if not key.may_send(event.type):
        detail = f"This key may not send events of this type; its types are {', '.join(key.scope.types)}."
        raise Reject(TYPE_NOT_ALLOWED, "/type", detail)
    if not key.may_send_of(event.branch):
        said = "This event names none" if event.branch is None else "It may not send for this one"
        detail = f"This key sends for the branches {', '.join(key.scope.branches)} alone. {said}."
        raise Reject(BRANCH_NOT_ALLOWED, "/branch", detail)


def _check_time(event: EventReceived, terms: Terms) -> None:
    if event.time > terms.newest:
        hours = (terms.newest - terms.now).total_seconds() / 3600
        detail = f"time lies more than {hours:g} hours ahead; check the clock of the source and its offset."
        raise Reject(WRONG_TIME, "/time", detail)
    if event.time >= terms.oldest:
        return
    if not event.history:
        days = (terms.now - terms.oldest).days
        detail = f"A live event is at most {days} days old; send old data with history: true, which fires nothing."
        raise Reject(WRONG_TIME, "/time", detail)
    if event.time < HISTORY_BEGINS:
        raise Reject(WRONG_TIME, "/time", f"History begins in {HISTORY_BEGINS.year}.")


def _rejected(raw: bytes, index: int, reject: Reject) -> Rejected:
    seen = _seen(raw)
    return Rejected(index, reject.reason, reject.detail, reject.pointer, raw, *seen)


def _seen(raw: bytes) -> tuple[str, str, str]:
    """The id, source and type of an event that was refused, as far as they can be told."""
    if len(raw) > EVENT_BYTES_MAX:
        return "", "", ""
    try:
        document = json.loads(raw, parse_int=str, parse_float=str)
    except (ValueError, RecursionError):
        return "", "", ""
    if not isinstance(document, dict):
        return "", "", ""
    shown = (document.get(name) for name in ("id", "source", "type"))
    first, second, third = (strict.printable(text) if isinstance(text, str) else "" for text in shown)
    return first, second, third
