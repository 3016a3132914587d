"""What is known of a person at this moment, as far as it says whether they may be contacted?

Two sources say it: the copy that this service keeps of every profile, and the profile inside the trigger.
Whichever has the higher version is believed, so that a consent which the triggering event itself gave counts,
and a withdrawal that came after the trigger counts as well. Over the linked records of one person the newest
statement on a channel wins, and what forbids contact on any of them forbids it for all. Only that an
address is dead is said of that address.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from libs.common.consents import newest_consents
from libs.common.errors import Poison
from libs.common.events import CHANNELS_OF_CONTACT, Consent, ProfileUpdated, RuleTriggered
from services.campaign.law.places import Whereabouts, country_code, country_of_phone, region_code

POINT_OF_CHANNEL = {"email": "email", "sms": "phone", "call": "phone", "push": "push", "webhook": "webhook"}
"""Which contact point a channel needs."""

_POINTS_IN_SNAPSHOT = {"email": "has_email", "phone": "has_phone", "push": "has_device"}
OPEN_COMPLAINT = "open_complaint"
SUPPRESSED = "erased"
"""The reason that stands for everything once a person has been erased; in a profile, the field that says so."""


class Standing(Struct, frozen=True, omit_defaults=True):
    """One record's standing: what it consented to, what forbids contact, and which contact points exist.

    It says that there is an address, never which; this service has no use for more.
    """

    version: int = 0
    consents: dict[str, Consent] = {}
    zone: str | None = None
    suppressed: list[str] = []
    points: list[str] = []
    person_id: str = ""
    country: str = ""
    region: str = ""
    phone_country: str = ""


class Facts(Struct, frozen=True):
    """A person, as the gates look at them. `consents` has only channels on which somebody said yes or no.

    `said` are those statements with their instants; `whereabouts` is what is known of the place where they are.
    """

    consents: Mapping[str, bool]
    suppressed: frozenset[str]
    points: frozenset[str]
    zone: str | None
    said: Mapping[str, Consent] = {}
    whereabouts: Whereabouts = Whereabouts()


class Person(NamedTuple):
    """Whom a trigger is about; `ids` are all their records, the trigger's own among them, `id` is the person's."""

    id: str
    facts: Facts
    ids: Sequence[str]


class Record(Struct, frozen=True):
    """A row of this service's copy: the standing, and which records belong to the same person."""

    standing: Standing
    linked: Sequence[str] = ()


UNKNOWN = Record(Standing())


def record_of(profile: ProfileUpdated) -> Record:
    standing = Standing(
        version=profile.version,
        consents=profile.consents,
        zone=profile.zone,
        suppressed=sorted(profile.suppressed),
        points=sorted(name for name, value in profile.contacts.items() if value),
        person_id=profile.person_id,
        country=country_code(profile.attributes.get("country")),
        region=region_code(profile.attributes.get("region")),
        phone_country=country_of_phone(profile.contacts.get("phone", "")),
    )
    return Record(standing, profile.linked)


def facts_of(trigger: RuleTriggered, records: Mapping[str, Record]) -> tuple[Facts, Sequence[str]]:
    """The facts about the trigger's person, and the ids of all their records, the trigger's own included."""
    copy = records.get(trigger.customer_id, UNKNOWN)
    own = _with_snapshot(copy.standing, trigger)
    linked = copy.linked if own is copy.standing and own.version else trigger.linked
    ids = sorted({trigger.customer_id, *linked})
    others = [records[each].standing for each in ids if each != trigger.customer_id and each in records]
    everyone = [own, *others]
    said, by_age = newest_consents(each.consents for each in everyone), [own, *sorted(others, key=_by_version)]
    zone = _first(each.zone for each in by_age)
    facts = Facts(
        consents={channel: each.granted for channel, each in said.items()},
        suppressed=_suppressions(everyone),
        points=frozenset(point for each in everyone for point in each.points),
        zone=zone,
        said=said,
        whereabouts=_whereabouts(by_age, zone),
    )
    return facts, ids


def _whereabouts(by_age: Sequence[Standing], zone: str | None) -> Whereabouts:
    """The trigger's record first, then the newest: of country and region what one of them says together."""
    named = next((each for each in by_age if each.country), None)
    region = _first(each.region for each in by_age) if named is None else named.region
    phone = _first(each.phone_country for each in by_age)
    return Whereabouts("" if named is None else named.country, region or "", phone or "", zone or "")


def _first(values: Iterable[str | None]) -> str | None:
    return next((each for each in values if each), None)


def _suppressions(everyone: Sequence[Standing]) -> frozenset[str]:
    """What any record says binds the person; not that an address is dead, where another record has a living one."""
    alive = {
        point
        for each in everyone
        for point in each.points
        if all(_point_of(reason) != point for reason in each.suppressed)
    }
    return frozenset(reason for each in everyone for reason in each.suppressed if _point_of(reason) not in alive)


def _point_of(reason: str) -> str:
    """The contact point of a reason that speaks of an address; empty for one that speaks of the person."""
    cause, _, place = reason.partition(":")
    return POINT_OF_CHANNEL.get(place, place) if cause in ("bounced", "wrong") else ""


def person_of(trigger: RuleTriggered, records: Mapping[str, Record]) -> str:
    """The id of the trigger's person, by the same source as their records: a merge or its end may have come since."""
    copy = records.get(trigger.customer_id, UNKNOWN).standing
    return copy.person_id if copy.person_id and _with_snapshot(copy, trigger) is copy else trigger.person_id


def _by_version(standing: Standing) -> int:
    return -standing.version


def _with_snapshot(copy: Standing, trigger: RuleTriggered) -> Standing:
    """The record as the trigger's profile shows it when that is newer than the copy, else the copy."""
    profile = _decoded(trigger)
    version = profile.get("version")
    if not isinstance(version, int) or version <= copy.version:
        return copy
    points = {name for name, key in _POINTS_IN_SNAPSHOT.items() if profile.get(key) is True}
    said_here = (OPEN_COMPLAINT, SUPPRESSED)
    suppressed = {reason for reason in copy.suppressed if reason not in said_here}
    suppressed.update(reason for reason in said_here if profile.get(reason) is True)
    zone, country = profile.get("zone"), country_code(profile.get("country"))
    return Standing(
        version=version,
        consents=_consents_in(profile, copy, trigger.occurred_at),
        zone=zone if isinstance(zone, str) else None,
        suppressed=sorted(suppressed),
        # The snapshot does not speak of points beyond those three.
        points=sorted(points | set(copy.points).difference(_POINTS_IN_SNAPSHOT)),
        country=country or copy.country,
        # Of another country the old region is none.
        region=region_code(profile.get("region")) or (copy.region if country in ("", copy.country) else ""),
        phone_country=copy.phone_country,
    )


def _consents_in(profile: Mapping[str, Any], copy: Standing, at: datetime) -> dict[str, Consent]:
    """Statements without a time: one that the copy has too is as old as there, others as the trigger."""
    # Purposes beside a channel are not in the snapshot; without its marketing none of them counts.
    found = {key: said for key, said in copy.consents.items() if ":" in key}
    for channel in CHANNELS_OF_CONTACT:
        granted = profile.get(f"consent_{channel}")
        if isinstance(granted, bool):
            known = copy.consents.get(channel)
            found[channel] = known if known and known.granted is granted else Consent(granted, at)
    return found


def _decoded(trigger: RuleTriggered) -> dict[str, Any]:
    try:
        return msgspec.json.decode(trigger.profile, type=dict[str, Any])
    except msgspec.MsgspecError as error:
        raise Poison(f"the profile in trigger {trigger.trigger_id} is not an object: {error}") from error
