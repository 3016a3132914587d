"""What has a customer asked for or complained of, and is it settled?

A case is known by its id, one without by the id of the event that opened it. A question without an id opens nothing:
it was answered as it was asked. What reopens a case is a later opening of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from libs.common.clock import from_ms
from services.profile.person.chapter import Chapter, Moment, Records
from services.profile.person.definitions import Definitions
from services.profile.person.keeping import Statement, keep_newest, newest_of, text_of
from services.profile.person.occurrence import Occurrence

COMPLAINT: Final = "complaint"
INQUIRY: Final = "inquiry"
OPENED_MAX: Final = 100
RESOLVED_MAX: Final = 2 * OPENED_MAX
EVERYTHING: Final = ""
"""The name under which all complaints before it are resolved."""

_TEXT_MAX: Final = 100
_SHOWN_MAX: Final = 50


class Opened(Statement, array_like=True, order=True, frozen=True, gc=False):
    event_id: str
    kind: str = ""
    cause: str = ""
    product: str = ""
    branch: str = ""
    channel: str = ""


class Resolved(Statement, array_like=True, order=True, frozen=True, gc=False):
    outcome: str = ""


class Cases(Struct, array_like=True, gc=False):
    """Statements by the id of the case. Complaints are kept apart, so that no number of questions drives one out.

    Of each kind the newest stay; a case whose resolution had to go is taken for open, which forbids more, not less.
    """

    complaints: dict[str, Opened] = {}
    requests: dict[str, Opened] = {}
    reopened: dict[str, Opened] = {}
    resolved: dict[str, Resolved] = {}
    complaint_count: int = 0


class Case(Struct, frozen=True):
    """One case as all records know it together; `settled_ms` is 0 while it is open."""

    id: str
    opened: Opened
    again_ms: int
    settled_ms: int
    outcome: str


def _complained(held: Cases, event: Occurrence, definitions: Definitions) -> bool:
    del definitions
    held.complaint_count += 1
    found = _opening(event, COMPLAINT)
    keep_newest(held.complaints, text_of(event.data.get("case")) or event.id, found, OPENED_MAX)
    return True


def _asked(held: Cases, event: Occurrence, definitions: Definitions) -> bool:
    del definitions
    case = text_of(event.data.get("case")) or event.id
    return keep_newest(held.requests, case, _opening(event, event.type), OPENED_MAX)


def _reopened(held: Cases, event: Occurrence, definitions: Definitions) -> bool:
    del definitions
    case = text_of(event.data.get("case"))
    return bool(case) and keep_newest(held.reopened, case, _opening(event, ""), OPENED_MAX)


def _complaint_resolved(held: Cases, event: Occurrence, definitions: Definitions) -> bool:
    """Without a case it settles all complaints before it; with something that is no name of one it settles none."""
    del definitions
    case = event.data.get("case")
    name = text_of(case)
    if case is not None and not name:
        return False
    return keep_newest(held.resolved, name or EVERYTHING, _resolution(event), RESOLVED_MAX)


def _case_resolved(held: Cases, event: Occurrence, definitions: Definitions) -> bool:
    del definitions
    case = text_of(event.data.get("case"))
    return bool(case) and keep_newest(held.resolved, case, _resolution(event), RESOLVED_MAX)


def _opening(event: Occurrence, kind: str) -> Opened:
    said = event.data
    return Opened(
        event.at_ms,
        event.id,
        kind,
        text_of(said.get("cause"), _TEXT_MAX) or text_of(said.get("topic"), _TEXT_MAX),
        text_of(said.get("product"), _TEXT_MAX),
        event.branch[:_TEXT_MAX] or text_of(said.get("branch"), _TEXT_MAX),
        event.channel[:_TEXT_MAX],
    )


def _resolution(event: Occurrence) -> Resolved:
    return Resolved(event.at_ms, text_of(event.data.get("outcome"), _TEXT_MAX))


def cases_of(records: Records) -> list[Case]:
    """The newest first; a case that was opened as a question and became a complaint is a complaint."""
    return sorted(_cases(records), key=lambda case: (case.opened, case.id), reverse=True)


def _cases(records: Records, *, answered: bool = True) -> list[Case]:
    """In no order, and without questions that were answered as they were asked where those are not wanted."""
    held = [each.cases for each in records if each.cases is not None]
    if not held:
        return []
    resolved = newest_of(each.resolved for each in held)
    reopened = newest_of(each.reopened for each in held)
    opened = {**newest_of(each.requests for each in held), **newest_of(each.complaints for each in held)}
    found = [
        _case(name, each, reopened.get(name), resolved)
        for name, each in opened.items()
        if answered or not _is_answered(name, each) or name in reopened
    ]
    found += [_case(name, each, each, resolved) for name, each in reopened.items() if name not in opened]
    return found


def _is_answered(name: str, opened: Opened) -> bool:
    return opened.kind == INQUIRY and name == opened.event_id


def _case(name: str, opened: Opened, again: Opened | None, resolved: Mapping[str, Resolved]) -> Case:
    candidates = [resolved[name]] if name in resolved else []
    if opened.kind == COMPLAINT and EVERYTHING in resolved:
        candidates.append(resolved[EVERYTHING])
    again_ms = again.at_ms if again is not None else 0
    last = max(candidates, default=None)
    if last is not None and last.at_ms >= max(opened.at_ms, again_ms):
        return Case(name, opened, again_ms, last.at_ms, last.outcome)
    answered = _is_answered(name, opened) and not again_ms
    return Case(name, opened, again_ms, opened.at_ms if answered else 0, "")


def _open(cases: Sequence[Case]) -> Iterator[Case]:
    return (each for each in cases if not each.settled_ms)


def _fields(records: Records, at: Moment) -> dict[str, Any]:
    del at
    if len(records) == 1 and records[0].cases is None:
        return {"open_complaint": False}
    held = [each.cases for each in records if each.cases is not None]
    if not any([each.requests or each.complaints or each.reopened for each in held]):
        return {"open_complaint": False}
    cases = _cases(records, answered=False)
    seen: dict[str, Any] = {
        "open_complaint": any(each.opened.kind == COMPLAINT for each in _open(cases)),
        "open_case_count": sum(1 for _ in _open(cases)),
        "complaint_count": sum([each.complaint_count for each in held]),
    }
    settled = max((each.settled_ms for each in cases if each.opened.kind == COMPLAINT), default=0)
    if settled:
        seen["last_complaint_resolved_at"] = from_ms(settled)
    waiting = min((max(each.opened.at_ms, each.again_ms) for each in _open(cases)), default=0)
    if waiting:
        seen["oldest_open_case_at"] = from_ms(waiting)
    return seen


def _shown(records: Records, at: Moment) -> dict[str, Any]:
    del at
    cases = cases_of(records)
    settled = [each for each in cases if each.settled_ms]
    return {"open": [_written(each) for each in _open(cases)], "settled": [_written(e) for e in settled[:_SHOWN_MAX]]}


def _written(case: Case) -> dict[str, Any]:
    return {
        "case": case.id,
        "kind": case.opened.kind or "case",
        "cause": case.opened.cause,
        "product": case.opened.product,
        "branch": case.opened.branch,
        "channel": case.opened.channel,
        "opened_at": from_ms(case.opened.at_ms),
        "reopened_at": from_ms(case.again_ms) if case.again_ms else None,
        "resolved_at": from_ms(case.settled_ms) if case.settled_ms else None,
        "outcome": case.outcome,
    }


def _suppresses(records: Records, at: Moment) -> Iterable[str]:
    del at
    if len(records) == 1 and records[0].cases is None:
        return ()
    open_complaint = any([each.opened.kind == COMPLAINT for each in _open(_cases(records, answered=False))])
    return ("open_complaint",) if open_complaint else ()


_FIELDS: Final = frozenset(
    "open_complaint open_case_count complaint_count last_complaint_resolved_at oldest_open_case_at".split()
)

CASES = Chapter(
    "cases",
    reads=("cases",),
    keeps="cases",
    state=Cases,
    effects={
        COMPLAINT: _complained,
        INQUIRY: _asked,
        "service_request": _asked,
        "case_reopened": _reopened,
        "complaint_resolved": _complaint_resolved,
        "case_resolved": _case_resolved,
    },
    fields=_fields,
    shown=_shown,
    suppresses=_suppresses,
    reserved=_FIELDS.__contains__,
)
