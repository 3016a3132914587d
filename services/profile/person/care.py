"""Who looks after a customer, and who did before?"""

from __future__ import annotations

from typing import Any, Final

from msgspec import Struct

from libs.common.clock import from_ms
from services.profile.person.chapter import Chapter, Moment, Records
from services.profile.person.definitions import Definitions
from services.profile.person.keeping import Statement, keep_newest, newest_of, text_of
from services.profile.person.occurrence import Occurrence

HISTORY_MAX: Final = 50
MAIN: Final = "main"


class Assigned(Statement, array_like=True, order=True, frozen=True, gc=False):
    """That from an instant on a member of staff is responsible, or nobody where `staff` is empty."""

    event_id: str
    staff: str = ""
    branch: str = ""
    role: str = MAIN
    reason: str = ""
    source: str = ""


class Care(Struct, array_like=True, gc=False):
    """Assignments by the id of their event; the newest stay."""

    held: dict[str, Assigned] = {}


def _assigned(held: Care, event: Occurrence, definitions: Definitions) -> bool:
    del definitions
    found = Assigned(
        event.at_ms,
        event.id,
        text_of(event.data.get("staff")),
        text_of(event.data.get("branch")) or event.branch,
        text_of(event.data.get("role")) or MAIN,
        text_of(event.data.get("reason")),
        event.source,
    )
    return keep_newest(held.held, event.id, found, HISTORY_MAX)


def history(records: Records) -> list[Assigned]:
    """All that is known, the newest first."""
    held = newest_of(each.care.held for each in records if each.care is not None)
    return sorted(held.values(), reverse=True)


def responsible(records: Records) -> dict[str, Assigned]:
    """Who is responsible now, by role; a role that nobody has any more is left out."""
    newest: dict[str, Assigned] = {}
    for each in history(records):
        newest.setdefault(each.role, each)
    return {role: each for role, each in newest.items() if each.staff}


def _fields(records: Records, at: Moment) -> dict[str, Any]:
    del at
    if (len(records) == 1 and records[0].care is None) or all([each.care is None for each in records]):
        return {}
    main = responsible(records).get(MAIN)
    return {
        "responsible_staff": main.staff if main is not None else None,
        "responsible_branch": (main.branch or None) if main is not None else None,
    }


def _shown(records: Records, at: Moment) -> dict[str, Any] | None:
    del at
    if all(each.care is None for each in records):
        return None
    return {
        "responsible": [_line(each) for _, each in sorted(responsible(records).items())],
        "history": [_line(each) for each in history(records)],
    }


def _line(each: Assigned) -> dict[str, Any]:
    return {
        "role": each.role,
        "staff": each.staff or None,
        "branch": each.branch or None,
        "since": from_ms(each.at_ms),
        "reason": each.reason,
        "source": each.source,
    }


CARE = Chapter(
    "care",
    reads=("care",),
    keeps="care",
    state=Care,
    effects={"care.assigned": _assigned},
    fields=_fields,
    shown=_shown,
    reserved=frozenset({"responsible_staff", "responsible_branch"}).__contains__,
)
