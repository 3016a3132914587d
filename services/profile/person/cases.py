"""What has a customer complained of, and is it settled?"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from msgspec import Struct

from services.profile.person.chapter import Chapter, Moment, Records
from services.profile.person.definitions import Definitions
from services.profile.person.occurrence import Occurrence


class Cases(Struct, array_like=True, gc=False):
    """Instants (Unix milliseconds) by the name of the case: last opened, last resolved; `""` resolves all before it."""

    opened: dict[str, int] = {}
    resolved: dict[str, int] = {}


def _complained(held: Cases, event: Occurrence, definitions: Definitions) -> bool:
    del definitions
    return _later(held.opened, str(event.data.get("case") or event.id), event.at_ms)


def _resolved(held: Cases, event: Occurrence, definitions: Definitions) -> bool:
    del definitions
    case = event.data.get("case")
    return _later(held.resolved, "" if case is None else str(case), event.at_ms)


def _later(held: dict[str, int], name: str, at_ms: int) -> bool:
    if held.get(name, -1) >= at_ms:
        return False
    held[name] = at_ms
    return True


def open_cases(records: Records) -> set[str]:
    return {case for each in records if each.cases is not None for case in _open(each.cases)}


def _open(held: Cases) -> Iterable[str]:
    everything = held.resolved.get("", -1)
    return (case for case, at in held.opened.items() if max(everything, held.resolved.get(case, -1)) < at)


def _fields(records: Records, at: Moment) -> dict[str, Any]:
    del at
    return {"open_complaint": bool(open_cases(records))}


def _suppresses(records: Records, at: Moment) -> Iterable[str]:
    del at
    return ("open_complaint",) if open_cases(records) else ()


CASES = Chapter(
    "cases",
    reads=("cases",),
    keeps="cases",
    state=Cases,
    effects={"complaint": _complained, "complaint_resolved": _resolved},
    fields=_fields,
    suppresses=_suppresses,
    reserved=lambda name: name == "open_complaint",
)
