"""Which rules wait for an event that has no person, and which customers can it concern at all? Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

import msgspec

from services.rules.document.language import Condition, EventWhen, Rule, When

TYPES: Final = ("branch_closing", "competitor_opened", "price_dropped", "restocked", "weather")
"""The types that ship and are about a product, a branch or a region; of others a rule says it by `concerns`."""

AUDIENCE: Final = "audience:"
"""Begins the id of the hidden segment of a rule; no segment that people write can be called so."""

_GROWING: Final = ("at_least", "more_than")


def is_for_everyone(when: When) -> bool:
    """Whether the rule asks, at such an event, for all customers whom its `who` selects."""
    if not isinstance(when, EventWhen):
        return False
    return when.concerns == "everyone" or (when.concerns is None and when.event in TYPES)


def audience_id(rule_id: str) -> str:
    return AUDIENCE + rule_id


def audience_of(rule: Rule) -> list[Condition]:
    """The conditions of `who` that can be judged before the event comes: none means all customers.

    Only such that do not come true by the passing of time, or by the edit of a segment: whoever is left out here is
    never asked again.
    """
    return [each for each in rule.who if not _looks_at_event(each) and not _comes_true_by_itself(each)]


def _looks_at_event(condition: Condition) -> bool:
    paths = (condition.field, condition.field_value)
    return any(path is not None and path.startswith("event.") for path in paths) or any(
        map(_looks_at_event, _within(condition))
    )


def _comes_true_by_itself(condition: Condition, negated: bool = False) -> bool:
    """A window that moves on loses events: what must be many only ever becomes false by it, what must be few, true."""
    measure = condition.measure
    if measure is not None:
        # What a refund takes off leaves the window as well, and one that is skipped at first enters it later.
        shrinks = measure.of in ("count", "max", "distinct") and measure.over.skip is None
        return negated or not shrinks or condition.op not in _GROWING
    if condition.op == "changed_within":
        return negated
    if condition.in_segment is not None:
        # What it asks for is written elsewhere, and may be edited while nobody looks at its members for the rule.
        return True
    if condition.not_ is not None:
        return _comes_true_by_itself(condition.not_, not negated)
    return any(_comes_true_by_itself(each, negated) for each in _within(condition))


def _within(condition: Condition) -> Sequence[Condition]:
    return [*(condition.any_ or ()), *(condition.all_ or ()), *((condition.not_,) if condition.not_ else ())]


def cautions(rule: Rule) -> Iterator[tuple[str, str]]:
    """What is most likely not meant by it, each with its place."""
    if is_for_everyone(rule.when):
        if not rule.who:
            yield "/who", "is empty, so the rule would reach everyone: say whom the event concerns"
        return
    for at, event in () if isinstance(rule.when, EventWhen) else _events(rule.when, "/when"):
        if event in TYPES:
            yield at, f"{event} mostly has no person, and only rules of kind event reach those whom it concerns"


def _events(part: Any, at: str) -> Iterator[tuple[str, str]]:
    """Every type of event that a part of the rule waits for, with its place."""
    for name in getattr(part, "__struct_fields__", ()):
        value, place = getattr(part, name), f"{at}/{name.rstrip('_')}"
        if name == "event":
            yield place, value
        elif isinstance(value, msgspec.Struct):
            yield from _events(value, place)
        elif name == "steps":
            for index, step in enumerate(value):
                yield from _events(step, f"{place}/{index}")
