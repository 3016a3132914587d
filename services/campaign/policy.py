"""May this campaign contact this person now? The gates, in their one order, with the reason of each. Pure.

    switch → eligibility → suppression → consent → policy → quiet_hours → holdout → cap → channel

The first gate that does not let pass decides, and nothing behind it can overrule it. Holdout is drawn behind
every gate that looks at the person, so that those held out would have been contacted, and behind the choice
between campaigns that want one person, whose place is right before it. Caps come behind holdout, since those
who are left alone use up nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from msgspec import Struct

from libs.common.events import Conditions, GateVerdict
from services.campaign.caps import Cap, Contact, used
from services.campaign.facts import OPEN_COMPLAINT, POINT_OF_CHANNEL, Facts
from services.campaign.hours import QuietHours, is_quiet, next_allowed, zone_of
from services.campaign.law import judging
from services.campaign.law.judging import FORBIDDEN, LATER, Asked
from services.campaign.law.places import places_of
from services.campaign.law.rows import Table, table_of
from services.campaign.results.terms import Goal

PASS, DENY, DEFER, HOLD_OUT = "pass", "deny", "defer", "holdout"
OUTCOME_OF_VERDICT = {PASS: "contact", DENY: "denied", DEFER: "deferred", HOLD_OUT: "holdout"}

MARKETING, TRANSACTIONAL, SERVICE = "marketing", "transactional", "service"
CLASSES = (MARKETING, TRANSACTIONAL, SERVICE)
ZONES_SHOWN_MAX = 5
"""Of somebody whose zone is unknown in a large country; all of them count."""

NO_LAW = table_of(0, ())

_BINDS_MARKETING_ALONE = frozenset({OPEN_COMPLAINT, "complained"})
"""Whoever complained still gets the receipt and the apology; every other reason binds all classes."""


class Campaign(Struct, frozen=True):
    """An active campaign, as the gates look at it."""

    id: str
    version: int
    trigger: str
    class_: str
    channel: str
    template: str
    valid_for: timedelta
    quiet: QuietHours | None = None
    cap: Cap | None = None
    holdout_percent: float = 0.0
    ramp_percent: int = 100
    priority: int = 50
    cost: str = "0"
    goal: Goal | None = None


class Company(Struct, frozen=True):
    """What holds for all campaigns: `zone` stands in where a customer's is unknown; `caps` are by class.

    Such a cap counts the contacts of its class on one channel. `law` is the policy table in force.
    """

    zone: str
    caps: Mapping[str, Cap]
    law: Table = NO_LAW


class Situation(Struct, frozen=True):
    """All that a decision depends on. `campaign` is None when it is not active any more."""

    person_id: str
    occurred_at: datetime
    campaign: Campaign
    active: bool
    facts: Facts
    contacts: Sequence[Contact]
    switched_off: frozenset[str]
    company: Company
    now: datetime

    @property
    def valid_until(self) -> datetime:
        return self.occurred_at + self.campaign.valid_for


class Decision(Struct, frozen=True):
    """`gate` is the one that decided; `trace` holds every gate up to it."""

    outcome: str
    gate: str
    trace: list[GateVerdict]
    defer_until: datetime | None = None


Gate = Callable[[Situation], GateVerdict]


def evaluate(situation: Situation) -> Decision:
    trace: list[GateVerdict] = []
    for gate in GATES:
        verdict = gate(situation)
        trace.append(verdict)
        if verdict.verdict != PASS:
            break
    last = trace[-1]
    defer_until = _resume_at(situation, last.gate) if last.verdict == DEFER else None
    return Decision(OUTCOME_OF_VERDICT[last.verdict], last.gate, trace, defer_until)


def switch(situation: Situation) -> GateVerdict:
    campaign = situation.campaign
    for scope in ("all", f"channel:{campaign.channel}", f"campaign:{campaign.id}"):
        if scope in situation.switched_off:
            return _deny("switch", "an operator has switched this off", scope=scope)
    return GateVerdict("switch", PASS)


def eligibility(situation: Situation) -> GateVerdict:
    campaign = situation.campaign
    if not situation.active:
        return _deny("eligibility", "the campaign is not active", campaign=campaign.id)
    if situation.now > situation.valid_until:
        return _deny("eligibility", "stale: the occasion is over", valid_until=_text(situation.valid_until))
    if campaign.ramp_percent < 100:
        drawn = share_of(situation.person_id, campaign.id, "ramp")
        if drawn >= campaign.ramp_percent:
            return _deny("eligibility", "outside the ramp", drawn=drawn, ramp_percent=campaign.ramp_percent)
    return GateVerdict("eligibility", PASS, values={"valid_until": _text(situation.valid_until)})


def suppression(situation: Situation) -> GateVerdict:
    campaign, facts = situation.campaign, situation.facts
    reasons = sorted(reason for reason in facts.suppressed if _binds(reason, campaign))
    if reasons:
        return _deny("suppression", "contact is forbidden", reasons=reasons)
    point = POINT_OF_CHANNEL[campaign.channel]
    if point not in facts.points:
        return _deny("suppression", "no contact point for the channel", needs=point)
    return GateVerdict("suppression", PASS)


def consent(situation: Situation) -> GateVerdict:
    campaign, facts = situation.campaign, situation.facts
    values = {"channel": campaign.channel, "class": campaign.class_}
    if campaign.class_ == TRANSACTIONAL:
        return GateVerdict("consent", PASS, "transactional messages need none", values)
    granted = facts.consents.get(campaign.channel)
    if granted:
        return GateVerdict("consent", PASS, values=values)
    detail = "never asked" if granted is None else "refused or withdrawn"
    return GateVerdict("consent", DENY, detail, values)


def policy(situation: Situation) -> GateVerdict:
    """What the law of the recipient's place says, by the table; every row that binds is named."""
    asked, law = _asked(situation), situation.company.law
    ruling = judging.judge(law, asked)
    values: dict[str, Any] = {"version": law.version, "places": list(asked.places.countries), "rows": list(ruling.rows)}
    if asked.places.region:
        values["region"] = asked.places.region
    if ruling.by:
        values |= {"by": list(ruling.by), "zones": list(asked.places.zones[:ZONES_SHOWN_MAX])}
    if ruling.verdict == FORBIDDEN:
        return GateVerdict("policy", DENY, ruling.detail, values)
    if ruling.verdict != LATER or ruling.until is None:
        return GateVerdict("policy", PASS, values=values)
    values["until"] = _text(ruling.until)
    if ruling.until > situation.valid_until:
        return GateVerdict("policy", DENY, "stale before the lawful hours begin", values)
    return GateVerdict("policy", DEFER, ruling.detail, values)


def quiet_hours(situation: Situation) -> GateVerdict:
    quiet = situation.campaign.quiet
    if quiet is None:
        return GateVerdict("quiet_hours", PASS, "the campaign has none")
    name = zone_in_force(situation)
    values = {"from": _clock(quiet.from_minute), "to": _clock(quiet.to_minute), "zone": name}
    zone = zone_of(name)
    if zone is None:
        return GateVerdict("quiet_hours", DENY, "no known zone to tell the time by", values)
    if not is_quiet(situation.now, quiet, zone):
        return GateVerdict("quiet_hours", PASS, values=values)
    until = next_allowed(situation.now, quiet, zone)
    values["until"] = _text(until)
    if until > situation.valid_until:
        return GateVerdict("quiet_hours", DENY, "stale before the quiet hours end", values)
    return GateVerdict("quiet_hours", DEFER, "it is quiet there", values)


def holdout(situation: Situation) -> GateVerdict:
    campaign = situation.campaign
    if not campaign.holdout_percent:
        return GateVerdict("holdout", PASS, "the campaign has none")
    drawn = share_of(situation.person_id, campaign.id)
    values = {"drawn": drawn, "percent": campaign.holdout_percent}
    if drawn < campaign.holdout_percent:
        return GateVerdict("holdout", HOLD_OUT, "left alone to compare with", values)
    return GateVerdict("holdout", PASS, values=values)


def cap(situation: Situation) -> GateVerdict:
    if situation.campaign.class_ == TRANSACTIONAL:
        return GateVerdict("cap", PASS, "transactional messages are exempt")
    counted: dict[str, Any] = {}
    for name, limit, contacts in _caps(situation):
        count = used(limit, contacts, situation.now)
        counted[name] = {"used": count, "times": limit.times, "per_seconds": int(limit.per.total_seconds())}
        if count >= limit.times:
            return GateVerdict("cap", DENY, f"the cap of the {name} is used up", counted)
    return GateVerdict("cap", PASS, values=counted)


def channel(situation: Situation) -> GateVerdict:
    campaign = situation.campaign
    return GateVerdict("channel", PASS, values={"channel": campaign.channel, "template": campaign.template})


GATES: tuple[Gate, ...] = (switch, eligibility, suppression, consent, policy, quiet_hours, holdout, cap, channel)
BEHIND_HOLDOUT = tuple(gate.__name__ for gate in GATES[GATES.index(holdout) + 1 :])
"""Who is stopped by one of these was drawn to be contacted."""


def conditions(situation: Situation) -> Conditions:
    """What must still hold when the message is claimed for sending, which may be much later."""
    campaign, quiet, law = situation.campaign, situation.campaign.quiet, situation.company.law
    asked = _asked(situation)
    months = judging.consents_to_hold(law, asked)
    from_minute, to_minute = (None, None) if quiet is None else quiet.allowed_minutes
    return Conditions(
        valid_until=situation.valid_until,
        consents=[] if campaign.class_ == TRANSACTIONAL else [campaign.channel],
        zone=None if quiet is None else zone_in_force(situation),
        from_minute=from_minute,
        to_minute=to_minute,
        lawful=judging.hours_to_hold(law, asked, situation.valid_until),
        consent_months=months,
        consent_zones=list(asked.places.zones) if any(months.values()) else [],
    )


def zone_in_force(situation: Situation) -> str:
    """The campaign's zone, else the customer's, else the company's.

    Where the customer's is unknown, the company's stands for every place where the person may be.
    """
    quiet = situation.campaign.quiet
    if quiet is not None and quiet.zone is not None:
        return quiet.zone
    theirs = situation.facts.zone
    return theirs if theirs is not None and zone_of(theirs) is not None else situation.company.zone


def share_of(person_id: str, campaign_id: str, purpose: str = "holdout") -> float:
    """Where a person stands between 0 and 100: always the same, unrelated between campaigns and purposes."""
    text = "\x00".join((purpose, campaign_id, person_id))
    drawn = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())
    return round(drawn / 2**64 * 100, 6)


def longest_window(campaigns: Iterable[Campaign], company: Company) -> timedelta:
    """How far back contacts can still count."""
    own = [campaign.cap.per for campaign in campaigns if campaign.cap is not None]
    own += [row.cap.per for row in company.law.rows if row.cap is not None]
    return max([*own, *(each.per for each in company.caps.values())], default=timedelta(0))


def policy_version_of(trace: Iterable[GateVerdict]) -> int | None:
    """Of the table by which was decided; None where another gate did before it was asked."""
    return next((each.values["version"] for each in trace if each.gate == "policy"), None)


def _caps(situation: Situation) -> Iterator[tuple[str, Cap, list[Contact]]]:
    """Each cap that binds the campaign, with the contacts that are its kind."""
    campaign, contacts = situation.campaign, situation.contacts
    if campaign.cap is not None:
        yield "campaign", campaign.cap, [each for each in contacts if each.campaign_id == campaign.id]
    company = situation.company.caps.get(campaign.class_)
    if company is not None:
        kind = (campaign.channel, campaign.class_)
        yield "company", company, [each for each in contacts if (each.channel, each.class_) == kind]
    asked = _asked(situation)
    for row in situation.company.law.rows_for(asked.class_, asked.channel, asked.places):
        if row.cap is not None:
            bound = [each for each in contacts if each.channel in row.channels and each.class_ in row.classes]
            yield f"law {row.id}", row.cap, bound


def _asked(situation: Situation) -> Asked:
    campaign, facts = situation.campaign, situation.facts
    places = places_of(facts.whereabouts, situation.company.zone)
    return Asked(campaign.class_, campaign.channel, places, facts.said, situation.now)


def _binds(reason: str, campaign: Campaign) -> bool:
    """`bounced:email` binds what goes to an email address; a reason without a place binds every channel.

    `restricted:call:marketing` binds that class alone, `restricted::marketing` on every channel.
    """
    cause, place, class_ = (*reason.split(":", 2), "", "")[:3]
    if place and place not in (campaign.channel, POINT_OF_CHANNEL[campaign.channel]):
        return False
    if class_ and class_ != campaign.class_:
        return False
    return campaign.class_ == MARKETING or cause not in _BINDS_MARKETING_ALONE


def _resume_at(situation: Situation, gate: str) -> datetime | None:
    if gate == "policy":
        return judging.judge(situation.company.law, _asked(situation)).until
    quiet, zone = situation.campaign.quiet, zone_of(zone_in_force(situation))
    return None if quiet is None or zone is None else next_allowed(situation.now, quiet, zone)


def _deny(gate: str, detail: str, **values: Any) -> GateVerdict:
    return GateVerdict(gate, DENY, detail, values)


def _clock(minute: int) -> str:
    return f"{minute // 60:02d}:{minute % 60:02d}"


def _text(instant: datetime) -> str:
    return instant.isoformat(timespec="seconds")
