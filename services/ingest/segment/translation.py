"""What becomes of each item of a Segment request? An event of ours, or a word on why not. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from hashlib import blake2b
from typing import Any, Final, Protocol

import msgspec
from msgspec import Raw, Struct

from libs.common.errors import Unauthenticated
from libs.common.events import EventReceived
from services.ingest import strict
from services.ingest.intake import Accepted, Outcome, Rejected, Terms, admit
from services.ingest.keys.book import WriteKey
from services.ingest.keys.proof import proven
from services.ingest.refusals import MALFORMED, UNPROVEN_IDENTITY, WRONG_TIME, Reject, Violation
from services.ingest.rejects.reexamination import RECEIVED_AT
from services.ingest.segment import calls
from services.ingest.segment.body import BATCH, IMPORT, Parcel
from services.ingest.segment.context import Context, context_of
from services.ingest.segment.items import CALLS, Item, decoded, message_id_in, shape_checked
from services.ingest.segment.moments import Moment, moment_of, skew_of
from services.ingest.segment.objects import encoded, text_in
from services.ingest.segment.people import contacts_in, identifiers_of
from services.ingest.traffic import TEST

DOOR: Final = "segment"
SOURCE_PREFIX: Final = "segment/"

_DIGEST_BYTES: Final = 16


class WellKnown(Protocol):
    """Track calls that a mapping knows a better type for than `segment.track.<slug>`."""

    def covers(self, slug: str) -> bool: ...

    def events(self, given: Mapping[str, Any]) -> list[bytes]:
        """Reject when it fails; no events when it has none for this call after all."""
        ...


class Help(Struct, frozen=True):
    """What the translation asks of others: a mapping, and whether a user agent is a crawler's."""

    well_known: WellKnown
    kind_of_visitor: Callable[[bytes], str]


class _Request(Struct, frozen=True):
    """What holds for all items of a request."""

    call: str
    terms: Terms
    source: str
    sent_at: str
    skew: timedelta
    received: datetime
    shared_context: bytes
    help: Help


class _Draft(Struct, frozen=True):
    """An item as it is understood so far; `known_as` is the short name of a track call."""

    id: str
    item: Item
    context: Context
    moment: Moment
    identifiers: dict[str, str]
    type: str
    data: bytes
    known_as: str = ""


def examined(parcel: Parcel, call: str, terms: Terms, help: Help, received: datetime) -> Outcome:
    """The verdicts on all items. `received` is when they came first, `terms.now` when they are examined."""
    skew = skew_of(parcel.sent_at, received)
    source = source_of(terms.key)
    request = _Request(call, terms, source, parcel.sent_at, skew, received, parcel.context, help)
    verdicts: list[Accepted | Rejected] = []
    for index, raw in enumerate(parcel.items):
        _judge(raw, index, request, verdicts)
    return Outcome(verdicts, single=call not in (BATCH, IMPORT))


_CALL, _SENT_AT, _SHARED, _TRAFFIC = "call", "sent_at", "batch_context", "traffic"


def context_kept(call: str, parcel: Parcel, traffic: str = "") -> dict[str, str]:
    """What the bytes of an item do not say of it, for whoever examines it again."""
    kept = {_CALL: call, _SENT_AT: parcel.sent_at, _SHARED: parcel.context.decode(), _TRAFFIC: traffic}
    return {name: value for name, value in kept.items() if value}


def examine_again(body: bytes, context: Mapping[str, str], terms: Terms, help: Help) -> Outcome:
    """One item as it was kept; the same bytes come of it as would have the first time."""
    parcel = Parcel([body], "", context.get(_SENT_AT, ""), context.get(_SHARED, "").encode())
    received = datetime.fromisoformat(context[RECEIVED_AT]) if RECEIVED_AT in context else terms.now
    call = context.get(_CALL, BATCH)
    late_as_history = terms.late_as_history or may_be_old(call, terms.key)
    terms = msgspec.structs.replace(terms, traffic=context.get(_TRAFFIC, ""), late_as_history=late_as_history)
    return examined(parcel, call, terms, help, received)


def may_be_old(call: str, key: WriteKey) -> bool:
    """By `import` old data comes in, as history; what is new is live there too, for some clients send all by it."""
    return call == IMPORT and key.may_send_history


def source_of(key: WriteKey) -> str:
    """The source of all that comes by this key, always the same and always one that the key may claim.

    The first of its sources without a * when there is one; else the first, with `segment` where the * is; a key that
    may claim any source sends as `segment/<channel>`, so that a new key of the channel goes on where the old one ended.
    """
    plain = next((source for source in key.sources if "*" not in source), None)
    if plain is not None:
        return plain
    return key.sources[0].replace("*", "segment") if key.sources else SOURCE_PREFIX + key.channel


def _judge(raw: bytes, index: int, request: _Request, verdicts: list[Accepted | Rejected]) -> None:
    named = ""
    try:
        draft = _draft(decoded(raw), request)
        named = draft.type
        verdicts.extend(_admitted(draft, request))
    except Reject as reject:
        pointer, shown = _in_item(reject.pointer, named), message_id_in(raw)
        verdicts.append(Rejected(index, reject.reason, reject.detail, pointer, raw, shown, request.source, named))


def _draft(item: Item, request: _Request) -> _Draft:
    call = item.type if request.call in (BATCH, IMPORT) else request.call
    if call not in CALLS:
        said = f", not {strict.printable(call, 60)!r}" if call else ", and here it is missing"
        raise Reject(MALFORMED, "/type", f"The type of an item is one of {', '.join(CALLS)}{said}.")
    shape_checked(item, call)
    context = context_of(item.object("context", item.context), request.shared_context)
    identifiers = identifiers_of(call, item, context)
    moment = moment_of(item, request.sent_at, request.skew, request.received)
    known_as = ""
    if call == "track":
        assert item.event is not None
        name = calls.name_of(item.event)
        known_as, type = name.slug, name.type
        data = calls.track(name, item.object("properties", item.properties), context)
    elif call == "identify":
        traits = calls.traits_of(item, context)
        type, data = "identify", calls.identify(traits, context)
        if not request.terms.key.is_browser:
            identifiers |= contacts_in(traits)
    else:
        type, data = _rest(call, item, context)
    given = item.message_id
    id = str(given).strip() if given is not None else ""
    if not id:
        id = _derived_id(item, type, identifiers, data)
    return _Draft(id, item, context, moment, identifiers, type, data, known_as)


def _rest(call: str, item: Item, context: Context) -> tuple[str, bytes]:
    if call == "alias":
        return "identify", calls.alias(context)
    if call == "group":
        return calls.GROUP, calls.group(item, context)
    return "visit", calls.page(item, context) if call == "page" else calls.screen(item, context)


def _derived_id(item: Item, type: str, identifiers: Mapping[str, str], data: bytes) -> str:
    """For an item without a messageId: the same for the same item, whenever and however often it is sent."""
    said = encoded([type, identifiers, item.original_timestamp, item.timestamp])
    return "segment-" + blake2b(said + data, digest_size=_DIGEST_BYTES).hexdigest()


def _admitted(draft: _Draft, request: _Request) -> list[Accepted]:
    terms, violations = _item_terms(draft, request)
    if draft.moment.naive:
        detail = "The time has no offset from UTC; it was taken for UTC."
        violations = (*violations, Violation("/time", WRONG_TIME, detail))
    accepted = [admit(made, terms) for made in _events(draft, request)]
    if not violations:
        return accepted
    return [msgspec.structs.replace(each, violations=(*each.violations, *violations)) for each in accepted]


def _item_terms(draft: _Draft, request: _Request) -> tuple[Terms, tuple[Violation, ...]]:
    """The terms of the request, with what the context of this item says of its own visitor."""
    terms, held = request.terms, draft.context.held
    traffic, proof = terms.traffic, terms.proven
    violations: tuple[Violation, ...] = ()
    if "test" in held and bytes(held["test"]) == b"true":
        traffic = TEST
    elif "userAgent" in held and traffic != TEST and (agent := bytes(held["userAgent"])[1:-1]):
        # A server that passes on what its visitors do names them here; by its own name it is a program.
        traffic = request.help.kind_of_visitor(agent)
    if terms.key.is_browser and (token := text_in(held, "identity_token")):
        try:
            proof = proven(terms.key, token, request.received)
        except Unauthenticated as error:
            # A page that is open for longer than its token holds still has a visitor.
            violations = (Violation("/data/context/identity_token", UNPROVEN_IDENTITY, error.detail),)
    if traffic == terms.traffic and proof is terms.proven:
        return terms, violations
    return msgspec.structs.replace(terms, traffic=traffic, proven=proof), violations


def _events(draft: _Draft, request: _Request) -> list[bytes]:
    if draft.known_as:
        known = request.help.well_known
        if known.covers(draft.known_as) and (made := known.events(_given(draft, request))):
            return made
    data = Raw(draft.data)
    event = EventReceived(
        draft.id, request.source, draft.type, draft.moment.at, identifiers=draft.identifiers, data=data
    )
    return [encoded(event)]


def _given(draft: _Draft, request: _Request) -> dict[str, Any]:
    """What a mapping gets to see: the item as it is understood here, so that it need not be understood again."""
    item = draft.item
    body = {
        "id": draft.id,
        "time": draft.moment.at.isoformat(),
        "slug": draft.known_as,
        "event": item.event,
        "identifiers": draft.identifiers,
        "properties": msgspec.json.decode(item.object("properties", item.properties)),
        "context": msgspec.json.decode(draft.context.kept) or None,
    }
    return {"body": body, "headers": {}, "received_at": request.received.isoformat(), "source": request.source}


_PLACES: Final = {
    "/id": "/messageId",
    "/time": "/timestamp",
    "/identifiers/account": "/userId",
    "/identifiers/cookie": "/anonymousId",
    "/identifiers/device": "/context/device/token",
    "/identifiers/email": "/traits/email",
    "/identifiers/phone": "/traits/phone",
}


def _in_item(pointer: str, named: str) -> str:
    """Where in the item it is what is wrong with the event that was made of it."""
    if pointer in _PLACES:
        return _PLACES[pointer]
    for made, given in (("/data/context", "/context"), ("/data/traits", "/traits")):
        if pointer == made or pointer.startswith(f"{made}/"):
            return given + pointer[len(made) :]
    if named.startswith(calls.TRACK_PREFIX) or named == "visit":
        return pointer.replace("/data", "/properties", 1) if pointer.startswith("/data") else pointer
    return pointer
