"""How is the demo getting on? Counts out of the services' metrics, in one calm line."""

from __future__ import annotations

import asyncio
import re
from typing import NamedTuple

from deploy.demo.calls import Calls

_SAMPLE = re.compile(r"^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? ([0-9.eE+-]+|NaN|\+Inf)$")


class Counts(NamedTuple):
    sent: int
    triggers: int
    decided: int
    messages: int
    lag: int


def total(metrics: str, name: str, *labels: str) -> int:
    """The sum of all samples of a metric that carry these labels, written as `name="value"`."""
    found = (_SAMPLE.match(line) for line in metrics.splitlines())
    return int(
        sum(
            float(match[3])
            for match in found
            if match and match[1] == name and all(label in (match[2] or "") for label in labels)
        )
    )


async def counts(calls: Calls) -> Counts:
    rules, campaign, notify, profile = await asyncio.gather(
        *(calls.metrics(name) for name in ("rules", "campaign", "notify", "profile"))
    )
    lag = sum(
        total(text, f"dangol_{name}_consumer_lag_messages")
        for name, text in (("rules", rules), ("campaign", campaign), ("notify", notify), ("profile", profile))
    )
    return Counts(
        sent=calls.sent,
        triggers=total(rules, "dangol_rules_rule_outcomes_total", 'outcome="fired"'),
        decided=total(campaign, "dangol_campaign_decisions_total"),
        messages=total(notify, "dangol_notify_handover_seconds_count"),
        lag=lag,
    )


def line(now: Counts, before: Counts, seconds: float) -> str:
    rate = (now.sent - before.sent) / seconds if seconds > 0 else 0.0
    return (
        f"demo shop: {now.sent:,} events sent ({rate:.0f}/s)   {now.triggers:,} triggers"
        f"   {now.decided:,} decisions   {now.messages:,} messages   lag {now.lag:,}"
    )
