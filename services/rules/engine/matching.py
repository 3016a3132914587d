"""Which rules find their moment in this event, or in this instant? The heart: no I/O, no clock, no chance.

match    which patterns an event meets; needs no state, so a whole batch is matched before anything is loaded
step     what the event changes in the customer's state, and what fires (`stepping`)
expire   what fires because a due instant has passed (`expiring`)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from libs.common.events import EventResolved
from services.rules.document.language import ChangeWhen
from services.rules.engine.expiring import expire
from services.rules.engine.firing import Effects
from services.rules.engine.snapshot import EVENT, CompiledRule, CompiledSegment, Snapshot, Use
from services.rules.engine.state import State
from services.rules.engine.stepping import Hit, Stepping, remember_profile
from services.rules.engine.subject import subject_of

__all__ = ["Hit", "expire", "match", "remember_profile", "step"]


def match(snapshot: Snapshot, event: EventResolved) -> Hit | None:
    """What the event means to the rules; None when it means nothing to any of them, or no customer is behind it."""
    if event.traffic or event.everyone:
        return None
    uses: list[Use] = []
    subject: dict[str, Any] = {}
    known = snapshot.by_type.get(event.type)
    if known is not None:
        subject = subject_of(event, known.envelope)
        known.find(subject, uses)
    changes, segments, watched = _changed(snapshot, event) if event.changed else ((), (), ())
    if not uses and not changes and not segments and not watched:
        return None
    if len(uses) > 1:
        uses.sort(key=_order)
    stateless = all(use.role == EVENT and use.rule is not None and not use.rule.stateful for use in uses)
    needs_state = bool(segments or watched) or not stateless or any(rule.stateful for rule in changes)
    return Hit(uses, changes, subject, needs_state, segments, watched)


def _order(use: Use) -> tuple[int, str]:
    return use.role, use.rule.id if use.rule is not None else ""


_Concerned = tuple[Sequence[CompiledRule], Sequence[CompiledSegment], Sequence[str]]


def _changed(snapshot: Snapshot, event: EventResolved) -> _Concerned:
    """The rules and the segments that the changes concern, and the fields of which it is noted when they changed."""
    found: list[CompiledRule] = []
    segments: list[CompiledSegment] = []
    watched = []
    for name, change in event.changed.items():
        rules = snapshot.by_change.get(name)
        if rules is None:
            continue
        for rule in rules:
            if isinstance(rule.when, ChangeWhen) and not _moved(rule.when, change.was, change.now):
                continue
            if rule not in found:
                found.append(rule)
        segments += snapshot.by_field.get(name, ())
        if name in snapshot.watched and change.was != change.now:
            watched.append(name)
    return found, segments, watched


def _moved(when: ChangeWhen, was: Any, now: Any) -> bool:
    if was == now or (when.from_ is not None and was not in when.from_):
        return False
    if when.to is not None and now not in when.to:
        return False
    if when.direction == "any":
        return True
    if was not in when.order or now not in when.order:
        return False
    rises = when.order.index(now) > when.order.index(was)
    return rises == (when.direction == "up")


def step(
    snapshot: Snapshot, event: EventResolved, hit: Hit, state: State, others: Sequence[State], out: Effects
) -> None:
    """Takes up one event. `others` are the person's other records, which are read and never changed.

    A `state` that the hit does not need may be empty, unless something waits for the customer.
    """
    Stepping(snapshot, event, hit, state, others, out).run()
