"""What would a campaign's gates have done to what a rule would have fired? Asked of campaign in pages, and added up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from datetime import date
from decimal import Decimal
from typing import Any

import msgspec
from msgspec import Raw

from services.rules.backtest.firings import Firings
from services.rules.backtest.gates import DayCount, Door, GateCount, GateExample, Gates, Simulated
from services.rules.providers import Away, Campaign

EXAMPLES_PER_END = 5


async def asked_of(
    door: Door | None, campaign: Raw, firings: Firings, trigger: str, told: Callable[[], None]
) -> tuple[dict[str, Any], list[GateExample]]:
    """The part of the report on the gates, and examples; `{"unavailable": why}` where campaign does not say.

    `told` is called between pages, so that it is seen that something goes on.
    """
    if door is None or not door.url:
        return {"unavailable": "the address of campaign is not set: DANGOL_CAMPAIGN_URL"}, []
    if not door.token:
        return {"unavailable": "there is no token for campaign: DANGOL_CAMPAIGN_TOKEN_FILE"}, []
    try:
        async with Campaign(door) as there:
            pages = []
            # One at least, though empty: whether there is such a campaign is an answer too.
            for page in [*firings.pages()] or [[]]:
                pages.append(await there.simulate(campaign, page, EXAMPLES_PER_END))
                told()
    except Away as away:
        return {"unavailable": str(away)}, []
    found = summed(pages, firings, trigger)
    return msgspec.to_builtins(found), examples_of(pages)


def summed(pages: Sequence[Simulated], firings: Firings, trigger: str) -> Gates:
    first = pages[0]
    outcomes: Counter[str] = Counter()
    for each in pages:
        outcomes.update(each.outcomes)
    return Gates(
        campaign_id=first.campaign_id,
        campaign_version=first.campaign_version,
        policy_version=first.policy_version,
        channel=first.channel,
        firings=sum(each.firings for each in pages),
        people=sum(each.people for each in pages),
        outcomes=dict(sorted(outcomes.items())),
        deferred=sum(each.deferred for each in pages),
        consent_is_newer=sum(each.consent_is_newer for each in pages),
        cost=str(sum((Decimal(each.cost) for each in pages), Decimal(0))),
        gates=_gates(pages),
        days=_days(pages),
        assumes=first.assumes,
        share=firings.share,
        warnings=_warnings(pages, firings, trigger),
    )


def examples_of(pages: Sequence[Simulated]) -> list[GateExample]:
    """Some of each end."""
    seen: Counter[tuple[str, str]] = Counter()
    found = []
    for fate in (fate for page in pages for fate in page.examples):
        seen[fate.outcome, fate.gate] += 1
        if seen[fate.outcome, fate.gate] <= EXAMPLES_PER_END:
            found.append(GateExample(fate.customer_id, fate))
    return found


def _gates(pages: Sequence[Simulated]) -> list[GateCount]:
    found: dict[str, GateCount] = {}
    for each in (gate for page in pages for gate in page.gates):
        known = found.get(each.gate, GateCount(each.gate, 0, 0, 0))
        found[each.gate] = GateCount(
            each.gate,
            known.reached + each.reached,
            known.stopped + each.stopped,
            known.deferred + each.deferred,
            dict(sorted((Counter(known.reasons) + Counter(each.reasons)).items())),
        )
    return list(found.values())


def _days(pages: Sequence[Simulated]) -> list[DayCount]:
    found: dict[tuple[date, str], list[int]] = {}
    for each in (day for page in pages for day in page.days):
        counts = found.setdefault((each.day, each.channel), [0, 0, 0])
        for place, count in enumerate((each.contact, each.holdout, each.denied)):
            counts[place] += count
    return [DayCount(day, channel, *counts) for (day, channel), counts in sorted(found.items())]


def _warnings(pages: Sequence[Simulated], firings: Firings, trigger: str) -> list[str]:
    found = []
    listens = pages[0].trigger
    if listens != trigger:
        found.append(f"the campaign listens to {listens}, the rule emits {trigger}: live they would not meet")
    if firings.share < 1:
        found.append(f"of so many firings only those of {firings.share:.1%} of the people were asked for")
    if firings.left_out:
        found.append(f"{firings.left_out:,} firings of people with very many of them were left out")
    if len({(each.campaign_version, each.policy_version) for each in pages}) > 1:
        found.append("the campaign or the policy was changed while this was asked")
    return found
