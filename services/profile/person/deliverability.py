"""Which addresses are known to work, to be dead, wrong or unwelcome?

What is known is known of an address, not of a channel: a new address does not bounce because the old one did. An event
that does not say which address it speaks of speaks of the one that was known at that time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final

from msgspec import Struct

from libs.common.addresses import address_mark
from libs.common.clock import from_ms
from services.profile.person.chapter import Chapter, Moment, Records
from services.profile.person.contacts import POST, all_contacts, marks_of
from services.profile.person.definitions import Definitions
from services.profile.person.keeping import keep_by_mark, keep_largest
from services.profile.person.occurrence import Effect, Occurrence

HARD_BOUNCES = frozenset({"hard", "permanent", "undeliverable"})
POINT_OF_PLACE: Final = {
    "email": "email",
    "sms": "phone",
    "call": "phone",
    "phone": "phone",
    "push": "push",
    "webhook": "webhook",
    POST: POST,
}
"""What can bounce or be wrong: channels and contact points, each with the contact point that it needs."""

ADDRESSES_MAX: Final = 32
SOFT_DAYS_MAX: Final = 10
_DAY_MS: Final = 86_400_000
_IDENTIFIER_OF_POINT: Final = {"email": "email", "phone": "phone", "push": "device"}
_SAID_AS: Final = ("address", "recipient", "email", "phone")


class Address(Struct, array_like=True, gc=False):
    """The newest of each that is known of an address at a place, in Unix milliseconds; 0 for never.

    `reached` says that something arrived there, `proven` that a person answers there. `soft` are days (since 1970)
    with a bounce that may pass.
    """

    bounced: int = 0
    reached: int = 0
    proven: int = 0
    wrong: int = 0
    soft: list[int] = []


class Deliverability(Struct, array_like=True, gc=False):
    """`suppressed` are reasons that hold whatever the address, with the instant of the first cause.

    `addresses` are by `<place>/<mark>`, without a mark where nobody said which; the marks decide which ones stay.
    """

    suppressed: dict[str, int] = {}
    addresses: dict[str, Address] = {}


class Standing(Struct, frozen=True):
    """What is known of the present address of a contact point; `dead` are the places at which it bounces."""

    status: str
    dead: tuple[str, ...] = ()
    at_ms: int = 0


_UNVERIFIED: Final = Standing("unverified")


def _bounced(held: Deliverability, event: Occurrence, definitions: Definitions) -> bool:
    del definitions
    kind = event.data.get("kind", "hard")
    if event.data.get("soft") or not (isinstance(kind, str) and kind in HARD_BOUNCES):
        return _keep(held, event, lambda found: keep_largest(found.soft, event.at_ms // _DAY_MS, SOFT_DAYS_MAX))
    return _keep(held, event, lambda found: _later(found, "bounced", event.at_ms))


def _arrived(held: Deliverability, event: Occurrence, definitions: Definitions) -> bool:
    del definitions
    return _keep(held, event, lambda found: _later(found, "reached", event.at_ms))


def _answered(held: Deliverability, event: Occurrence, definitions: Definitions) -> bool:
    del definitions
    return _keep(held, event, lambda found: _later(found, "proven", event.at_ms))


def _wrong(held: Deliverability, event: Occurrence, definitions: Definitions) -> bool:
    del definitions
    return _keep(held, event, lambda found: _later(found, "wrong", event.at_ms))


def _called(held: Deliverability, event: Occurrence, definitions: Definitions) -> bool:
    del definitions
    outcome = event.data.get("outcome")
    if not isinstance(outcome, str) or outcome not in ("wrong_number", "invalid_number", "reached"):
        return False
    name = "proven" if outcome == "reached" else "wrong"
    return _keep(held, event, lambda found: _later(found, name, event.at_ms), "phone")


def _marked_as_spam(held: Deliverability, event: Occurrence, definitions: Definitions) -> bool:
    del definitions
    reason = f"complained:{_place(event) or 'email'}"
    if held.suppressed.get(reason, event.at_ms + 1) <= event.at_ms:
        return False
    held.suppressed[reason] = event.at_ms
    return True


def _keep(held: Deliverability, event: Occurrence, change: Callable[[Address], bool], place: str = "") -> bool:
    place = place or _place(event)
    if not place:
        return False
    name = f"{place}/{_mark(event, POINT_OF_PLACE[place])}"
    found = held.addresses.get(name)
    if found is not None:
        return change(found)
    found = Address()
    return change(found) and keep_by_mark(held.addresses, name, found, ADDRESSES_MAX)


def _later(found: Address, name: str, at_ms: int) -> bool:
    if getattr(found, name) >= at_ms:
        return False
    setattr(found, name, at_ms)
    return True


def _place(event: Occurrence) -> str:
    """The place that an event names; e-mail where it names none, nothing where it is no place that we know."""
    named = event.data.get("channel") or event.data.get("point") or "email"
    place = named.lower() if isinstance(named, str) else ""
    return place if place in POINT_OF_PLACE else ""


def _mark(event: Occurrence, point: str) -> str:
    """The mark of the address that an event speaks of; empty where it does not say."""
    if isinstance(mark := event.data.get("address_mark"), str) and len(mark) == 16:
        return mark
    for name in _SAID_AS:
        if isinstance(said := event.data.get(name), str) and said:
            return address_mark(said)
    known = event.identifiers.get(_IDENTIFIER_OF_POINT.get(point, ""))
    return address_mark(known) if known else ""


def standings(records: Records, definitions: Definitions) -> dict[str, Standing]:
    """By contact point: of each present address, and of a point whose address nobody told when something is known."""
    if not any([each.deliverability is not None for each in records]):
        held = [each.contacts for each in records if each.contacts is not None]
        return {point: _UNVERIFIED for each in held for point in (*each.held, *each.post)}
    marks = marks_of(records)
    heard: dict[str, list[tuple[str, str, Address]]] = {point: [] for point in marks}
    for each in records:
        if each.deliverability is not None:
            for name, known in each.deliverability.addresses.items():
                place, _, mark = name.partition("/")
                heard.setdefault(POINT_OF_PLACE.get(place, place), []).append((place, mark, known))
    most = definitions.quality.soft_bounces_max
    return {point: _standing(_present(known, marks.get(point)), most) for point, known in heard.items()}


def _present(heard: list[tuple[str, str, Address]], present: tuple[str, int] | None) -> list[tuple[str, Address]]:
    """What concerns the present address, by place: what names it, and what names none but came since it is known."""
    if present is None:
        return [(place, known) for place, _, known in heard]
    mark, since = present
    return [
        (place, known if named else _from(known, since)) for place, named, known in heard if not named or named == mark
    ]


def _from(known: Address, since: int) -> Address:
    def kept(at_ms: int) -> int:
        return at_ms if at_ms >= since else 0

    days = [day for day in known.soft if (day + 1) * _DAY_MS > since]
    return Address(kept(known.bounced), kept(known.reached), kept(known.proven), kept(known.wrong), days)


def _standing(heard: list[tuple[str, Address]], soft_bounces_max: int) -> Standing:
    by_place: dict[str, list[Address]] = {}
    for place, known in heard:
        by_place.setdefault(place, []).append(known)
    proven = max((known.proven for _, known in heard), default=0)
    wrong = max((known.wrong for _, known in heard), default=0)
    ends = {place: _end(known, proven, soft_bounces_max) for place, known in by_place.items()}
    dead = tuple(sorted(place for place, (state, _) in ends.items() if state == "bounced"))
    if wrong and wrong >= proven:
        return Standing("wrong", dead, wrong)
    status, at_ms = max(ends.values(), key=lambda end: (_SEVERITY[end[0]], end[1]), default=("unverified", 0))
    return Standing(status, dead, at_ms)


_SEVERITY: Final = {"unverified": 0, "verified": 1, "soft_bouncing": 2, "bounced": 3}


def _end(heard: list[Address], proven: int, soft_bounces_max: int) -> tuple[str, int]:
    """How the newest of what is known at one place ended, and when."""
    bounced = max(each.bounced for each in heard)
    good = max(proven, *(each.reached for each in heard))
    soft = {day for each in heard for day in each.soft if day > good // _DAY_MS}
    if bounced and bounced >= good:
        return "bounced", bounced
    if len(soft) >= soft_bounces_max:
        return "bounced", max(soft) * _DAY_MS
    if soft:
        return "soft_bouncing", max(soft) * _DAY_MS
    return ("verified", good) if good else ("unverified", 0)


def _suppresses(records: Records, at: Moment) -> Iterable[str]:
    held = [each.deliverability for each in records if each.deliverability is not None]
    if not held:
        return ()
    found = {reason for each in held for reason in each.suppressed}
    for point, standing in standings(records, at.definitions).items():
        found |= {f"bounced:{place}" for place in standing.dead}
        if standing.status == "wrong":
            found.add(f"wrong:{point}")
    return found


_SEEN: Final = (
    ("email", "has_deliverable_email", "email_status"),
    ("phone", "has_deliverable_phone", "phone_status"),
)


def _fields(records: Records, at: Moment) -> dict[str, Any]:
    if len(records) == 1 and records[0].contacts is None:
        return {}
    held = all_contacts(records)
    if not held:
        return {}
    known = standings(records, at.definitions)
    seen: dict[str, Any] = {}
    for point, deliverable, status in _SEEN:
        if point in held:
            seen[deliverable] = is_deliverable(known[point])
            seen[status] = known[point].status
    return seen


def is_deliverable(standing: Standing) -> bool:
    return standing.status not in ("bounced", "wrong")


def _shown(records: Records, at: Moment) -> dict[str, Any] | None:
    return {
        point: {
            "status": standing.status,
            "bounces_at": list(standing.dead),
            "since": from_ms(standing.at_ms) if standing.at_ms else None,
        }
        for point, standing in sorted(standings(records, at.definitions).items())
    } or None


_EFFECTS: Final[dict[str, Effect]] = {
    "message.bounced": _bounced,
    "message.complained": _marked_as_spam,
    "message.delivered": _arrived,
    "message.opened": _answered,
    "message.clicked": _answered,
    "message.replied": _answered,
    "address.verified": _answered,
    "address.wrong": _wrong,
    "call_outcome": _called,
    "task.done": _called,
}

_FIELDS: Final = frozenset(name for _, *names in _SEEN for name in names)

DELIVERABILITY = Chapter(
    "deliverability",
    reads=("contacts", "deliverability"),
    keeps="deliverability",
    state=Deliverability,
    effects=_EFFECTS,
    fields=_fields,
    shown=_shown,
    suppresses=_suppresses,
    reserved=frozenset(
        f"{head}{point}{tail}" for point in _SEEN for head, tail in (("has_deliverable_", ""), ("", "_status"))
    ).__contains__,
)
