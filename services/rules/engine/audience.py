"""What does an event without a person set off, and for whom? One rule and one customer at a time. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from libs.common import clock
from libs.common.events import EventResolved
from services.rules.document.everyone import is_for_everyone
from services.rules.engine.firing import Cause, Effects, fire, is_valid, profile_of
from services.rules.engine.snapshot import EVENT, CompiledRule, Moment, Snapshot, Use
from services.rules.engine.state import State, digest
from services.rules.engine.subject import subject_of, with_envelope

FIRED, TWICE = "fired", "told_already"
"""What became of a customer's turn, beside what `fire` says."""


class Concern(NamedTuple):
    """A rule that an event without a person concerns, with what the rule sees of the event."""

    rule: CompiledRule
    event: EventResolved
    subject: Mapping[str, Any]


def concerned(snapshot: Snapshot, event: EventResolved, out: Effects) -> list[Concern]:
    """The rules whose moment it is, as long as they are in force; why not is counted, once for the whole event."""
    if event.history or event.traffic:
        return []
    late_ms = event.received_ms - clock.to_ms(event.time)
    found = []
    for rule, subject in _matching(snapshot, event):
        if not is_for_everyone(rule.when):
            out.outcomes[rule.id, "no_audience"] += 1
        elif late_ms > rule.accept_late_ms:
            out.outcomes[rule.id, "late"] += 1
        elif not rule.active:
            out.outcomes[rule.id, "paused"] += 1
        elif not is_valid(rule, clock.to_ms(event.time)):
            out.outcomes[rule.id, "outside_validity"] += 1
        else:
            found.append(Concern(rule, event, with_envelope(event, subject)))
    return found


def still(snapshot: Snapshot, rule_id: str, version: int, event: EventResolved) -> Concern | str:
    """The same for one that has begun: the rule as it is now, or why there is no going on.

    An edited one goes on in its new words, as waits do, unless it says that what is running is dropped.
    """
    rule = snapshot.rules.get(rule_id)
    if rule is None:
        return "retired"
    if not rule.active:
        return "paused"
    if rule.version != version and rule.drop_running:
        return "edited"
    for each, subject in _matching(snapshot, event):
        if each is rule and is_for_everyone(rule.when):
            return Concern(rule, event, with_envelope(event, subject))
    return "edited"


class Known(NamedTuple):
    """The profile of a person as it was seen last, packed as it goes into triggers, and read."""

    raw: msgspec.Raw
    profile: Mapping[str, Any]


def known_of(views: Sequence[State]) -> Known:
    raw = msgspec.Raw(_newest(views).profile or b"{}")
    return Known(raw, profile_of(raw))


def reach(
    snapshot: Snapshot,
    concern: Concern,
    state: State,
    others: Sequence[State],
    out: Effects,
    known: Known | None = None,
) -> str:
    """A customer's turn: fires if all of `who` holds now. Says what came of it.

    `others` are the person's other records: whichever has its turn first speaks for all of them. `known` is there
    where the customer has a turn in several events at once.
    """
    rule, event, views = concern.rule, concern.event, (state, *others)
    # An id counts within its source and its time: the same one at another time is another event, here as in fan-outs.
    occasion = f"{event.source}/{event.event_id}/{clock.to_ms(event.time)}"
    mark = digest("everyone", rule.id, occasion)
    if any(mark in each.seen for each in views):
        return TWICE
    raw, profile = known or known_of(views)
    moment = Moment(clock.to_ms(event.time), profile, views, snapshot.company_zone)
    moment.subject = concern.subject
    cause = Cause(
        occasion,
        event.event_id,
        state.customer_id,
        state.person_id or state.customer_id,
        state.linked,
        raw,
        event.hops,
        event.received_ms,
    )
    told = Effects(out.triggers, out.grounds, out.timers, out.cancelled, Counter())
    fire(snapshot, rule, moment, cause, told)
    outcome = next(outcome for (_, outcome) in told.outcomes)
    out.outcomes.update(told.outcomes)
    if outcome == FIRED and state.linked:
        state.was_seen(mark, max(event.received_ms, moment.time_ms))
    return outcome


def _newest(views: Sequence[State]) -> State:
    """Of a person's records the one that was seen last; each holds the profile of the whole person."""
    return max((each for each in views if each.profile), key=lambda each: each.latest_ms, default=views[0])


def _matching(snapshot: Snapshot, event: EventResolved) -> Iterator[tuple[CompiledRule, dict[str, Any]]]:
    known = snapshot.by_type.get(event.type)
    if known is None:
        return
    subject, uses = subject_of(event, known.envelope), list[Use]()
    known.find(subject, uses)
    rules = {use.rule.id: use.rule for use in uses if use.role == EVENT and use.rule is not None}
    for _, rule in sorted(rules.items()):
        yield rule, subject
