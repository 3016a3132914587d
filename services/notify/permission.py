"""May this message go to this person now? Asked again at the moment of sending, over what notify itself knows. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from msgspec import Struct

from libs.common.consents import newest_consents
from libs.common.events import Conditions, Consent, ProfileUpdated
from services.notify import lawful
from services.notify.delivery import MARKETING, State

CATCH_UP_SECONDS = 2.0
"""A refusal that a newer profile could overturn stands only when the message is this old: the profile that allows it
may have been published before the request and not be read yet."""
CATCH_UP_STEP_SECONDS = 0.2
UNKNOWN_CUSTOMER_SECONDS = 30.0
STALE_STEP_SECONDS = 1.0
OUTSIDE = "outside the lawful hours"

POINT_OF_CHANNEL = {"email": "email", "sms": "phone", "call": "phone", "webhook": "webhook", "push": "push"}
_DAY_MINUTES = 1_440
_OF_AN_ADDRESS = frozenset({"bounced", "wrong"})
_BINDS_ALL_CLASSES = _OF_AN_ADDRESS | {"restricted"}
"""Nothing arrives there, or the person wants nothing there: that holds for a receipt as well."""


class Request(Struct, frozen=True):
    channel: str
    class_: str
    conditions: Conditions
    planned_at: datetime


class Suppression(Struct, frozen=True):
    """What a response forbade: `unsubscribed` and `complained` until a newer consent, `bounced` for that address."""

    customer_id: str
    channel: str
    reason: str
    recipient: str
    at: datetime


class Send(Struct, frozen=True):
    recipient: str


class Wait(Struct, frozen=True):
    until: datetime
    reason: str


class End(Struct, frozen=True):
    state: State
    reason: str


Verdict = Send | Wait | End


class Person(Struct, frozen=True):
    """What all records of a person say together."""

    contacts: dict[str, str]
    consents: dict[str, Consent]
    suppressed: frozenset[str]


def person_of(records: Sequence[ProfileUpdated]) -> Person | None:
    """The first record is the addressed one: its contact points go first, unless one is dead and another is not.

    The newest statement on consent counts. What is said of an address binds that address, all else the person.
    """
    if not records:
        return None
    contacts = _living_contacts(records)
    suppressed = {
        reason
        for record in records
        for reason in record.suppressed
        if record.contacts.get(_point_of(reason)) in (None, contacts.get(_point_of(reason)))
    }
    return Person(contacts, newest_consents(each.consents for each in records), frozenset(suppressed))


def _living_contacts(records: Sequence[ProfileUpdated]) -> dict[str, str]:
    dead = {
        (point, address)
        for record in records
        for reason in record.suppressed
        if (point := _point_of(reason)) and (address := record.contacts.get(point))
    }
    contacts: dict[str, str] = {}
    for record in records:
        for point, address in record.contacts.items():
            known = contacts.get(point)
            if not known or ((point, known) in dead and address and (point, address) not in dead):
                contacts[point] = address
    return contacts


def _point_of(reason: str) -> str:
    """The contact point of a reason that speaks of an address; empty for one that speaks of the person."""
    cause, _, place = reason.partition(":")
    return POINT_OF_CHANNEL.get(place, place) if cause in _OF_AN_ADDRESS else ""


def judge(
    request: Request,
    person: Person | None,
    suppressions: Iterable[Suppression],
    now: datetime,
    read_up_to: datetime | None,
    age_seconds_max: float,
) -> Verdict:
    """`read_up_to`: everything that happened until then is in what we know; None while nobody can tell."""
    verdict = _verdict(request, person, suppressions, now, read_up_to, age_seconds_max)
    if isinstance(verdict, Wait) and verdict.until >= request.conditions.valid_until:
        return End("EXPIRED", f"no time left: {verdict.reason}")
    return verdict


def _verdict(
    request: Request,
    person: Person | None,
    suppressions: Iterable[Suppression],
    now: datetime,
    read_up_to: datetime | None,
    age_seconds_max: float,
) -> Verdict:
    if now >= request.conditions.valid_until:
        return End("EXPIRED", "its time is over")
    if _needs_fresh_profile(request) and read_up_to is not None:
        if now - read_up_to > timedelta(seconds=age_seconds_max):
            return Wait(now + timedelta(seconds=STALE_STEP_SECONDS), "what is known of the customer is too old")
    if person is None:
        return _until_known(request, now, "customer_unknown", UNKNOWN_CUSTOMER_SECONDS)
    recipient = person.contacts.get(POINT_OF_CHANNEL.get(request.channel, ""), "")
    if reason := _forbidden(request, person, recipient, suppressions):
        return End("DROPPED", reason)
    if reason := _not_granted(request.conditions, person, now):
        return _until_known(request, now, reason, CATCH_UP_SECONDS)
    if not recipient:
        return _until_known(request, now, f"no_contact_point:{request.channel}", CATCH_UP_SECONDS)
    return _at_lawful_time(request.conditions, person, recipient, now)


def _needs_fresh_profile(request: Request) -> bool:
    return request.class_ == MARKETING or bool(request.conditions.consents)


def _until_known(request: Request, now: datetime, reason: str, seconds: float) -> Verdict:
    if now - request.planned_at < timedelta(seconds=seconds):
        return Wait(now + timedelta(seconds=CATCH_UP_STEP_SECONDS), reason)
    return End("DROPPED", reason)


def _forbidden(request: Request, person: Person, recipient: str, suppressions: Iterable[Suppression]) -> str:
    channel = request.channel
    if "erased" in person.suppressed:
        return "suppressed:erased"
    binding = sorted(reason for reason in person.suppressed if _binds(reason, request))
    if hard := [reason for reason in binding if reason.partition(":")[0] in _BINDS_ALL_CLASSES]:
        return f"suppressed:{hard[0]}"
    for each in suppressions:
        if each.channel == channel and _holds(each, request, person, recipient):
            return f"suppressed:{each.reason}:{channel}"
    if request.class_ == MARKETING and binding:
        return f"suppressed:{binding[0]}"
    return ""


def _binds(reason: str, request: Request) -> bool:
    """A reason is `<cause>:<place>:<class>`, and binds everywhere, and every class, where it names none."""
    _, place, class_ = (*reason.split(":", 2), "", "")[:3]
    if place and place not in (request.channel, POINT_OF_CHANNEL.get(request.channel, request.channel)):
        return False
    return not class_ or class_ == request.class_


def _holds(each: Suppression, request: Request, person: Person, recipient: str) -> bool:
    if each.reason == "bounced":
        return each.recipient == recipient
    consent = person.consents.get(each.channel)
    given_again = consent is not None and consent.granted and consent.at > each.at
    return request.class_ == MARKETING and not given_again


def _not_granted(conditions: Conditions, person: Person, now: datetime) -> str:
    for channel in conditions.consents:
        consent = person.consents.get(channel)
        if consent is None or not consent.granted:
            return f"no_consent:{channel}"
    lapsed = lawful.consent_that_lapsed(conditions, person.consents, now)
    return f"consent_lapsed:{lapsed}" if lapsed else ""


def _at_lawful_time(conditions: Conditions, person: Person, recipient: str, now: datetime) -> Verdict:
    opens = lawful.lawful_from(conditions, person.consents, now)
    if opens is None:
        return End("DROPPED", "no_lawful_time")
    if opens > now:
        return Wait(opens, OUTSIDE)
    return _in_window(conditions, recipient, now)


def _in_window(conditions: Conditions, recipient: str, now: datetime) -> Verdict:
    start, end = conditions.from_minute, conditions.to_minute
    if start is None or end is None:
        return Send(recipient)
    zone = _zone(conditions.zone)
    if zone is None:
        return End("DROPPED", "zone_unknown")
    if is_within(now, zone, start, end):
        return Send(recipient)
    opens = next_within(now, zone, start, end)
    return End("DROPPED", "no_lawful_time") if opens is None else Wait(opens, OUTSIDE)


def _zone(name: str | None) -> ZoneInfo | None:
    try:
        return ZoneInfo(name or "UTC")
    except (KeyError, ValueError, OSError):
        return None


def is_within(now: datetime, zone: ZoneInfo, from_minute: int, to_minute: int) -> bool:
    """Does local time lie in [from, to)? A window whose end is not after its start reaches over midnight."""
    local = now.astimezone(zone)
    minute = local.hour * 60 + local.minute
    if from_minute < to_minute:
        return from_minute <= minute < to_minute
    return minute >= from_minute or minute < to_minute


def next_within(now: datetime, zone: ZoneInfo, from_minute: int, to_minute: int) -> datetime | None:
    """The first whole minute after `now` at which the window is open; None when there is none within two days."""
    day = now.astimezone(zone).replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
    for days in range(3):
        local = (day + timedelta(days=days)).replace(hour=from_minute % _DAY_MINUTES // 60, minute=from_minute % 60)
        opens = local.astimezone(UTC)
        if opens > now and is_within(opens, zone, from_minute, to_minute):
            return opens
        # Where clocks are put forward over the opening, the window opens when the gap ends.
        for minutes in range(0, 181):
            later = opens + timedelta(minutes=minutes)
            if later > now and is_within(later, zone, from_minute, to_minute):
                return later
    return None
