"""What does a batch add to the figures of the campaigns and rules behind it? Pure, but for writing it down."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from libs.common.documents import guarding, limits
from libs.common.documents.guarding import Counted
from libs.common.events import ContactsCounted, Fact, ResponseReceived
from libs.common.unit import UnitTx
from services.campaign.decisions import Outcome
from services.campaign.guard.store import Cause, Made, Reacted
from services.campaign.policy import DENY

KIND = "campaign"
CAP_GATE = "cap"
REACTIONS = (limits.UNSUBSCRIBED, limits.COMPLAINED, limits.BOUNCED)
"""The bit of each is its place here."""


class Noted(NamedTuple):
    cause: Cause
    at: datetime
    measure: str


Tally = Mapping[Noted, int]


def of_outcomes(outcomes: Sequence[Outcome], now: datetime) -> Counter[Noted]:
    """Decisions that came as far as the caps, and those that a cap denied: what a ramp keeps out tells of no cap."""
    found: Counter[Noted] = Counter()
    for outcome in outcomes:
        trigger, campaign = outcome.occasion.trigger, outcome.occasion.campaign
        cause = Cause(campaign.id, campaign.version, trigger.rule_id, trigger.rule_version)
        for verdict in outcome.decision.trace:
            if verdict.gate == CAP_GATE:
                found[Noted(cause, now, limits.CAP_ASKED)] += 1
                found[Noted(cause, now, limits.CAP_BLOCKED)] += verdict.verdict == DENY
    return +found


def of_contacts(made: Iterable[Made]) -> Counter[Noted]:
    """Each counts as of when it came about, not as of now: so do its reactions, and a pause may lie between.

    Those of one second are told together, as of the last: rules would hear of every single contact otherwise.
    """
    counts: Counter[tuple[Cause, datetime]] = Counter()
    last: dict[tuple[Cause, datetime], datetime] = {}
    for each in made:
        together = (each.cause, each.contacted_at.replace(microsecond=0))
        counts[together] += 1
        last[together] = max(each.contacted_at, last.get(together, each.contacted_at))
    return Counter({Noted(key[0], last[key], limits.CONTACTS): number for key, number in counts.items()})


def of_reactions(reacted: Iterable[Reacted]) -> Counter[Noted]:
    """Each counts as of the contact that it goes back to."""
    return Counter(
        Noted(each.cause, each.contacted_at, measure)
        for each in reacted
        for place, measure in enumerate(REACTIONS)
        if each.fresh & 1 << place
    )


def bits_of(responses: Iterable[ResponseReceived]) -> dict[UUID, int]:
    """The reactions that count, by message. A soft bounce is none: the address may be reached another time."""
    found: dict[UUID, int] = {}
    for each in responses:
        kind = each.type.removeprefix("message.")
        if kind in REACTIONS and not each.data.get("soft"):
            message_id = _uuid(each.message_id)
            if message_id is not None:
                found[message_id] = found.get(message_id, 0) | 1 << REACTIONS.index(kind)
    return found


def facts_of(tally: Tally) -> list[ContactsCounted]:
    """One for each version of a rule and instant; a campaign that nothing triggered has no rule."""
    counts: dict[tuple[str, int, datetime], Counter[str]] = {}
    for noted, number in sorted(tally.items()):
        rule = (noted.cause.rule_id, noted.cause.rule_version, noted.at)
        counts.setdefault(rule, Counter())[noted.measure] += number
    return [ContactsCounted(*rule, dict(each)) for rule, each in counts.items() if rule[0]]


async def note(tx: UnitTx, zone: str, tally: Tally) -> Sequence[Fact]:
    """Adds to the figures of the campaigns, and gives back what the rules have to be told."""
    totals: Counter[tuple[str, int, datetime, str]] = Counter()
    for (cause, at, measure), number in tally.items():
        totals[cause.campaign_id, cause.campaign_version, at, measure] += number
    await guarding.count(tx, KIND, tx.unit, zone, [Counted(*key, number) for key, number in totals.items()])
    return facts_of(tally)


def _uuid(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
