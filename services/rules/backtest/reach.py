"""How far back must be read before a rule can be judged as if it had always been watched? Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from services.rules.document.everyone import is_for_everyone
from services.rules.document.language import Rule
from services.rules.engine import spans
from services.rules.engine.snapshot import ACCEPT_LATE_MS
from services.rules.engine.state import DAY_MS

WHOLE_LOG = None
"""Nothing less than all that there is."""

_PERIOD_DAYS = {"day": 1, "week": 7, "month": 31, "quarter": 92, "year": 366}
# What these look at may have been said at any time: a profile's date, who is in a segment, and when somebody first
# came: from then on, windows in which nothing happened count for a deviation.
_BOUNDLESS_KINDS = ("date", "segment", "deviation")
_SPANS = ("for", "within")


def reach_ms(rule: Rule, *, in_force_before: bool) -> int | None:
    """The longest of windows, waits and, where it was in force before, limits; and how late an event may come in.

    None stands for the whole log. A day is added, because windows are made of whole panes.
    """
    written = msgspec.to_builtins(rule)
    # Who an event without a person concerns may have come at any time.
    if is_for_everyone(rule.when) or _is_boundless(written):
        return WHOLE_LOG
    found = list(_lengths([written["when"], written.get("who", [])]))
    if in_force_before:
        limits = written.get("limits", {})
        if limits.get("repeat") == "once":
            return WHOLE_LOG
        found += [_ms(text) for text in (limits.get("cooldown"), limits.get("max", {}).get("per")) if text]
    late = rule.time.accept_late
    return max(found, default=0) + (ACCEPT_LATE_MS if late is None else _ms(late)) + DAY_MS


def _is_boundless(written: Mapping[str, Any]) -> bool:
    when = written["when"]
    return (
        when["type"] in _BOUNDLESS_KINDS
        or bool(when.get("never_counts"))
        or any("in_segment" in each for each in _objects(written.get("who", [])))
    )


def _lengths(part: Any) -> Iterator[int]:
    """Of every window and wait, wherever it stands: a kind of rule that is new needs nothing here."""
    for each in _objects(part):
        yield from (_ms(each[name]) for name in _SPANS if isinstance(each.get(name), str))
        measure = each.get("measure")
        if isinstance(measure, dict):
            yield _window_ms(measure["over"])


def _window_ms(over: Mapping[str, Any]) -> int:
    if "calendar" in over:
        return _PERIOD_DAYS[over["calendar"]] * DAY_MS
    return _ms(over["last"]) + (_ms(over["skip"]) if "skip" in over else 0)


def _objects(part: Any) -> Iterator[Mapping[str, Any]]:
    if isinstance(part, dict):
        yield part
        for each in part.values():
            yield from _objects(each)
    elif isinstance(part, list):
        for each in part:
            yield from _objects(each)


def _ms(text: str) -> int:
    return spans.parse(text).ms_max
