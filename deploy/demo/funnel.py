"""How is a campaign's way through its gates told, so that one sees where the firings of a rule stay behind?"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

_BAR = 30
_DAYS_MAX = 31
_VERB_OF = {"holdout": "left alone"}
"""Of those held out it is not said that a gate stopped them: they are who would have been contacted."""


def told(gates: Mapping[str, Any], examples: Iterable[Mapping[str, Any]] = ()) -> Iterator[str]:
    if "unavailable" in gates:
        yield f"  gates: not known, {gates['unavailable']}"
        return
    version = f" version {gates['campaign_version']}" if gates["campaign_version"] else ""
    outcomes = gates["outcomes"]
    yield f"  campaign {gates['campaign_id']}{version} by {gates['channel']}, policy version {gates['policy_version']}:"
    yield f"    {gates['firings']:>9,}  fired"
    for each in gates["gates"]:
        yield from _gate(each, gates["firings"])
    people = f"{gates['people']:,} people, cost {gates['cost']}"
    yield f"    {outcomes.get('contact', 0):>9,}  contacted: {people}"
    if gates["deferred"]:
        yield f"    {gates['deferred']:>9,}  of all waited before they were decided"
    yield from _days(gates["days"])
    for each in _one_of_each(examples):
        yield f"    e.g. {each['outcome']} at {each['gate']}: customer {each['customer_id']}, {_why(each)}"
    if gates["consent_is_newer"]:
        yield f"    note: {gates['consent_is_newer']:,} contacts rest on a consent that was given after the firing"
    for warning in (*gates.get("warnings", ()), *gates["assumes"]):
        yield f"    note: {warning}"


def _gate(gate: Mapping[str, Any], firings: int) -> Iterator[str]:
    if not gate["stopped"] and not gate["deferred"]:
        return
    bar = "#" * max(1, round(_BAR * gate["stopped"] / firings)) if gate["stopped"] and firings else ""
    waited = f", {gate['deferred']:,} deferred" if gate["deferred"] else ""
    reasons = "; ".join(f"{reason} {count:,}" for reason, count in gate["reasons"].items())
    stopped = _VERB_OF.get(gate["gate"], "stopped")
    yield f"    {-gate['stopped']:>9,}  {gate['gate']:<12} {stopped}{waited}  {bar} {reasons}".rstrip()


def _days(days: list[Mapping[str, Any]]) -> Iterator[str]:
    for each in [day for day in days if day["contact"]][-_DAYS_MAX:]:
        yield f"    {each['day']}  {each['channel']:<8} {each['contact']:>9,} contacted, {each['denied']:,} denied"


def _one_of_each(examples: Iterable[Mapping[str, Any]]) -> Iterator[Mapping[str, Any]]:
    seen = set()
    for each in examples:
        if (end := (each["outcome"], each["gate"])) not in seen:
            seen.add(end)
            yield each


def _why(example: Mapping[str, Any]) -> str:
    waited = f", waited at {', '.join(example['waited'])}" if example["waited"] else ""
    return f"{example['fired_at'][:16]}{waited}{': ' + example['detail'] if example['detail'] else ''}"
