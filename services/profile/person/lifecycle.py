"""Where does a customer stand between a first sign and being lost? It follows from the days of their purchases.

Days of silence make somebody at risk and then lapsed, also where a purchase ended the silence later.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import zip_longest
from typing import Any, Final, NamedTuple

from services.profile.person.chapter import Chapter, Moment, Records
from services.profile.person.keeping import written
from services.profile.person.measure_terms import Lifecycle
from services.profile.person.presence import first_seen_ms, interest_ms
from services.profile.person.purchases import runs_of

_HISTORY_MAX: Final = 50


class Step(NamedTuple):
    """A stage and the day (ordinal) on which it began; `cause` is what brought it about."""

    day: int
    stage: str
    cause: str


def step_at(runs: list[int], day: int, terms: Lifecycle) -> Step:
    """The stage on a day within the last run, or after it; `runs` are not empty."""
    last, first = runs[-1], runs[0]
    silence = day - last
    if silence >= terms.lapsed_days:
        return Step(last + terms.lapsed_days, "lapsed", "silence")
    if silence >= terms.at_risk_days:
        return Step(last + terms.at_risk_days, "at_risk", "silence")
    back, won_back = _returns(runs, terms)
    if not back:
        until = first + terms.new_days
        return Step(first, "new", "first_purchase") if day < until else Step(until, "active", "time")
    until = won_back + terms.won_back_days if won_back else 0
    if day < until:
        return Step(back, "won_back", "return")
    return Step(until, "active", "time") if until > back else Step(back, "active", "return")


def _returns(runs: list[int], terms: Lifecycle) -> tuple[int, int]:
    """The last day on which a purchase ended a risk, and the last on which one ended a lapse; 0 for none.

    A lapse so long ago that it says nothing of the present is not looked for.
    """
    back = 0
    for at in range(len(runs) - 2, 0, -2):
        silence = runs[at] - runs[at - 1]
        if silence >= terms.lapsed_days:
            return back or runs[at], runs[at]
        if silence >= terms.at_risk_days and not back:
            back = runs[at]
        if back and runs[at - 1] + terms.won_back_days <= back:
            break
    return back, 0


def next_day(runs: list[int], day: int, terms: Lifecycle) -> int | None:
    """The first day after `day` on which the stage changes by itself."""
    last = runs[-1]
    if day >= last + terms.lapsed_days:
        return None
    if day >= (fades := last + terms.at_risk_days):
        return last + terms.lapsed_days
    back, won_back = _returns(runs, terms)
    if not back:
        until = runs[0] + terms.new_days
    else:
        until = won_back + terms.won_back_days if won_back else 0
    return until if day < until < fades else fades


def steps(runs: list[int], day: int, terms: Lifecycle) -> list[Step]:
    """All stages that followed from purchases until a day, in their order."""
    days = {runs[0] + terms.new_days}
    for at in range(0, len(runs), 2):
        start, end = runs[at], runs[at + 1]
        days |= {start, start + terms.won_back_days, end + terms.at_risk_days, end + terms.lapsed_days}
    found: list[Step] = []
    for each in sorted(each for each in days if each <= day):
        # Within a run there was a purchase a few days before, whichever day is looked at.
        here = step_at(runs[: bisect_right(runs[::2], each) * 2], each, terms)
        if not found or here[:2] != found[-1][:2]:
            found.append(here)
    return found


def _before(records: Records, at: Moment) -> list[Step]:
    """The stages of somebody who has not bought anything yet."""
    seen, interest = first_seen_ms(records), interest_ms(records)
    found = []
    if seen and not (interest and interest <= seen):
        found.append(Step(at.definitions.day_of(seen), "prospect", "first_sign"))
    if interest:
        found.append(Step(at.definitions.day_of(interest), "lead", "interest"))
    return found


def _now(records: Records, at: Moment) -> Step | None:
    runs = runs_of(records)
    if runs:
        return step_at(runs, max(at.day, runs[-1]), at.definitions.lifecycle)
    before = _before(records, at)
    return before[-1] if before else None


def _fields(records: Records, at: Moment) -> dict[str, Any]:
    now = _now(records, at)
    return {} if now is None else {"lifecycle": now.stage, "lifecycle_since": written(now.day)}


def _due(records: Records, at: Moment) -> int | None:
    runs = runs_of(records)
    return next_day(runs, max(at.day, runs[-1]), at.definitions.lifecycle) if runs else None


def _shown(records: Records, at: Moment) -> dict[str, Any]:
    runs = runs_of(records)
    first = runs[0] if runs else at.day + 1
    found = [each for each in _before(records, at) if each.day < first]
    if runs:
        found += steps(runs, max(at.day, runs[-1]), at.definitions.lifecycle)
    if not found:
        return {"stage": None, "history": []}
    told = [_told(each, later) for each, later in zip_longest(found, found[1:])]
    return {**told[-1], "history": told[-_HISTORY_MAX:]}


def _told(step: Step, later: Step | None) -> dict[str, Any]:
    until = written(later.day) if later is not None else None
    return {"stage": step.stage, "since": written(step.day), "until": until, "cause": step.cause}


LIFECYCLE = Chapter(
    "lifecycle",
    reads=("presence", "purchases"),
    fields=_fields,
    shown=_shown,
    due=_due,
    reserved=lambda name: name in ("lifecycle", "lifecycle_since"),
)
