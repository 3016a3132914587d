"""Who is in which segment, and who has come in or fallen out just now? Pure.

A person is judged when something happens that the segment looks at, and each night where time alone may move them.
Each record of a person keeps what it judged last; of these the newest counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from libs.common import clock
from libs.common.events import EventResolved, SegmentMoved
from services.rules.document.language import SegmentWhen
from services.rules.engine import standing
from services.rules.engine.compiled import SEGMENT, changed_ms, segment_figures, zone_of
from services.rules.engine.firing import Cause, Effects, Expiry, fire, looked_at_again, profile_of
from services.rules.engine.snapshot import (
    JUDGE,
    LINKING,
    CompiledRule,
    CompiledSegment,
    Moment,
    Snapshot,
    Use,
)
from services.rules.engine.state import DAY_MS, FOREVER_MS, Membership, State

KEPT_MS = 3 * DAY_MS
_NOT_LISTED, _LISTED_OUT, _LISTED_IN, _UNSURE = 0, 1, 2, -1


class Sign(NamedTuple):
    """Why somebody is judged, and as of when. `silent`: whoever moves by it is not told of."""

    at_ms: int
    person_id: str
    event_id: str
    hops: int
    received_ms: int
    silent: bool = False
    regroups: bool = False
    """Whether other records belong to the person from now on."""


def newest(segment_id: str, views: Iterable[State]) -> Membership | None:
    """What was judged last, at whichever record of the person."""
    known = [held for view in views if (held := view.memberships.get(segment_id)) is not None and held.judged_ms]
    return max(known, key=lambda held: held.judged_ms, default=None)


def is_known(segment: CompiledSegment, views: Iterable[State]) -> bool:
    """Whether it was judged by this very definition."""
    held = newest(segment.id, views)
    return held is not None and held.about == segment.about


def judge(segment: CompiledSegment, moment: Moment, before: bool | None, sign: Sign, out: Effects) -> str:
    """Judges the person now, and says how they have moved, "in" or "out", where that is a moment in their life.

    `before` is whether they were in by this definition just before, where `is_known` is false.
    """
    own, *others = moment.views
    held = newest(segment.id, moment.views)
    was = held.inside if held is not None and held.about == segment.about else bool(before)
    # Records that are put together, or taken apart, were told of each by itself.
    told = own.memberships.get(segment.id) if sign.regroups else held
    was_told = told is not None and told.inside
    now = segment.holds(moment)
    since_ms = held.since_ms if held is not None and held.inside == now else sign.at_ms
    entry = _entry(segment, own)
    if entry.listed and (others or sign.regroups):
        # Of the records of a person the newest counts in the list as well.
        entry.listed = _UNSURE
    # Newer than all that it has looked at, even within one instant.
    entry.judged_ms = max(sign.at_ms, 0 if held is None else held.judged_ms + 1)
    entry.inside, entry.since_ms, entry.version = now, since_ms, segment.version
    entry.event_id, entry.hops, entry.received_ms = sign.event_id, sign.hops, sign.received_ms
    entry.until_ms = FOREVER_MS if now else _overrules_until(segment.id, others, sign.at_ms)
    _look_again(segment, moment, entry, sign.at_ms, out)
    is_moment = was != now and not sign.silent and segment.active
    if is_moment or now != was_told:
        _tell(segment, own, now, is_moment, sign, out)
    return ("in" if now else "out") if is_moment else ""


def _overrules_until(id: str, others: Sequence[State], at_ms: int) -> int:
    """For how long it has to be known that somebody is out: while another record says in, or is yet to be looked at."""
    known = [held for other in others if (held := other.memberships.get(id)) is not None]
    if any(held.inside for held in known):
        return FOREVER_MS
    return at_ms + KEPT_MS if known else 0


def _entry(segment: CompiledSegment, own: State) -> Membership:
    entry = own.memberships.setdefault(segment.id, Membership(about=segment.about, hidden=segment.hidden))
    if entry.about != segment.about:
        # It may have been out of force for a while, and its list have been cleared.
        entry.about, entry.listed = segment.about, _UNSURE
    return entry


def _tell(segment: CompiledSegment, own: State, now: bool, told: bool, sign: Sign, out: Effects) -> None:
    if segment.hidden:
        return
    became = ("entered" if now else "left") if told else ("joined" if now else "dropped")
    out.outcomes[segment_figures(segment.id), became] += 1
    out.moves.append(
        SegmentMoved(
            customer_id=own.customer_id,
            person_id=sign.person_id,
            segment_id=segment.id,
            version=segment.version,
            moved="in" if now else "out",
            at=clock.from_ms(sign.at_ms),
            event_id=sign.event_id,
            told=told,
        )
    )


def as_listed(inside: bool, since_ms: int, judged_ms: int, version: int) -> Membership:
    """What the list says of a record of which nothing else is remembered; by which definition, nobody knows."""
    listed = _LISTED_IN if inside else _LISTED_OUT
    return Membership(0, FOREVER_MS, version, inside, since_ms, judged_ms, listed=listed)


# --- by what the past has told -----------------------------------------------------------------------------------


def inside(ids: Iterable[str], views: Sequence[State]) -> dict[str, bool]:
    """Whether the person is in each of these segments, as far as any record knows."""
    return {id: held is not None and held.inside for id in ids for held in (newest(id, views),)}


def tell_of_past(snapshot: Snapshot, before: Mapping[str, bool], views: Sequence[State], out: Effects) -> None:
    """Tells of those segments in which a person is not as they were `before`: nothing has happened to them."""
    own = views[0]
    for id, was in sorted(before.items()):
        held, segment = newest(id, views), snapshot.segments.get(id)
        if segment is None or held is None or held.inside == was:
            continue
        person = own.person_id or own.customer_id
        sign = Sign(held.since_ms, person, held.event_id, held.hops, held.received_ms, silent=True)
        _tell(segment, own, held.inside, False, sign, out)


# --- by an event -------------------------------------------------------------------------------------------------


class Judging:
    """The segments that an event concerns. It is made before anything is taken up, and asked to judge after that."""

    def __init__(
        self,
        snapshot: Snapshot,
        event: EventResolved,
        concerned: Iterable[CompiledSegment],
        profile: Mapping[str, Any],
        views: Sequence[State],
    ) -> None:
        self._snapshot, self._event, self._profile, self._views = snapshot, event, profile, views
        self._concerned = sorted(set(concerned), key=lambda each: each.id)
        self._before = {each.id: self._was_in(each) for each in self._concerned if not is_known(each, views)}

    def moves(self, out: Effects) -> list[CompiledRule]:
        """Judges, and returns the rules whose moment it is."""
        event, found = self._event, list[CompiledRule]()
        regroups = event.type in LINKING
        sign = Sign(
            event.received_ms,
            event.person_id,
            event.event_id,
            event.hops,
            event.received_ms,
            silent=regroups or event.history,
            regroups=regroups,
        )
        for segment in self._concerned:
            moved = judge(segment, self._moment(segment, self._profile), self._before.get(segment.id), sign, out)
            if moved:
                found += rules_of(self._snapshot, segment.id, moved)
        return found

    def _was_in(self, segment: CompiledSegment) -> bool:
        """By this definition, just before the event."""
        was = {name: change.was for name, change in self._event.changed.items()}
        return segment.holds(self._moment(segment, {**self._profile, **was}))

    def _moment(self, segment: CompiledSegment, profile: Mapping[str, Any]) -> Moment:
        return moment_of(self._snapshot, segment, self._event.received_ms, profile, self._views)


def concerned_by(uses: Iterable[Use]) -> Iterator[CompiledSegment]:
    return (use.segment for use in uses if use.role == JUDGE and use.segment is not None)


# --- what moves by itself ----------------------------------------------------------------------------------------


def _look_again(segment: CompiledSegment, moment: Moment, entry: Membership, at_ms: int, out: Effects) -> None:
    """At the next midnight, for as long as there is something that can still grow old."""
    if not segment.moves_by_itself or entry.due_ms or not _may_move(segment, moment, at_ms):
        return
    entry.due_ms = standing.next_midnight(at_ms, moment.zone)
    out.begin(looked_at_again(segment.id, moment.views[0].customer_id, entry.due_ms))


def _may_move(segment: CompiledSegment, moment: Moment, at_ms: int) -> bool:
    instant = clock.from_ms(at_ms)
    for gauge, reach in segment.panes.values():
        if gauge.newest(moment.views, 0) > gauge.pane_at(instant, moment.zone) - reach - 1:
            return True
    for name, asked in segment.watched.items():
        changed = changed_ms(moment.views, name)
        if changed is not None and changed + max(span.ms_max for span in asked) + DAY_MS > at_ms:
            return True
    return False


def is_look(expiry: Expiry) -> bool:
    """Whether a timer is one of ours."""
    return expiry.rule_id.startswith(SEGMENT)


def look(snapshot: Snapshot, expiry: Expiry, state: State, others: Sequence[State], out: Effects) -> None:
    """The night has come in which somebody is looked at without an event."""
    id, due_ms = expiry.rule_id.removeprefix(SEGMENT), expiry.same
    entry, segment = state.memberships.get(id), snapshot.segments.get(id)
    if entry is None or entry.due_ms != due_ms:
        return
    entry.due_ms = 0
    if segment is None:
        return
    state.latest_ms = max(state.latest_ms, due_ms)
    moment = moment_of(snapshot, segment, due_ms, profile_of(msgspec.Raw(state.profile or b"{}")), (state, *others))
    held = newest(id, moment.views)
    if held is not None and held.judged_ms > entry.judged_ms:
        # One record speaks for the person: the one that was judged last, which knows what it was judged by.
        _look_again(segment, moment, entry, due_ms, out)
        return
    # By a new definition nobody moves because it is night.
    before = None if is_known(segment, moment.views) else segment.holds(moment)
    person = state.person_id or state.customer_id
    sign = Sign(due_ms, person, entry.event_id, entry.hops, max(entry.received_ms, due_ms))
    moved = judge(segment, moment, before, sign, out)
    if moved:
        _fire(snapshot, id, moved, moment, sign, out)


def _fire(snapshot: Snapshot, id: str, moved: str, moment: Moment, sign: Sign, out: Effects) -> None:
    own = moment.views[0]
    raw = msgspec.Raw(own.profile or b"{}")
    for rule in rules_of(snapshot, id, moved):
        occasion = f"{moved}:{sign.at_ms}"
        cause = Cause(
            occasion, sign.event_id, own.customer_id, sign.person_id, own.linked, raw, sign.hops, sign.received_ms
        )
        fire(snapshot, rule, moment, cause, out)


def rules_of(snapshot: Snapshot, id: str, moved: str) -> Iterator[CompiledRule]:
    """Those that wait for such a move."""
    for rule in snapshot.by_segment.get(id, ()):
        if isinstance(rule.when, SegmentWhen) and rule.when.moves == moved:
            yield rule


def moment_of(
    snapshot: Snapshot, segment: CompiledSegment, at_ms: int, profile: Mapping[str, Any], views: Sequence[State]
) -> Moment:
    moment = Moment(at_ms, profile, views, snapshot.company_zone)
    moment.zone = zone_of(segment.zone_name, profile, snapshot.company_zone)
    return moment


# --- the list of members -----------------------------------------------------------------------------------------


class Entry(NamedTuple):
    """What the list says of one record: `inside` None takes it off."""

    segment_id: str
    customer_id: str
    person_id: str
    inside: bool | None
    since_ms: int
    judged_ms: int
    version: int


def listing(snapshot: Snapshot, state: State, out: Effects) -> list[Entry]:
    """What has to be written of a record before it is swept; segments that are in force no more are let go."""
    found = []
    for id, held in list(state.memberships.items()):
        gone = id not in snapshot.segments
        wanted = _LISTED_IN if held.inside else _LISTED_OUT if held.until_ms >= FOREVER_MS else _NOT_LISTED
        if gone:
            wanted = _NOT_LISTED
            del state.memberships[id]
            if held.due_ms:
                out.end(looked_at_again(id, state.customer_id, held.due_ms).key)
        if wanted == held.listed:
            continue
        inside = None if wanted == _NOT_LISTED else held.inside
        person = state.person_id or state.customer_id
        found.append(Entry(id, state.customer_id, person, inside, held.since_ms, held.judged_ms, held.version))
        held.listed = wanted
    return found
