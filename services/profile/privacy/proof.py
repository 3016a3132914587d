"""What can be said of an erasure? What went where and when, what is still waited for, and what remains until when."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from libs.common.db import Row
from libs.common.topics import (
    CAMPAIGN_ERASED,
    CATALOGUE,
    DEAD_LETTER_DAYS,
    DECIDED,
    EVENT_RESOLVED,
    NOTIFY_ERASED,
    RULES_ERASED,
    SEGMENT_DAYS,
    SEGMENT_MOVED,
    SWITCH_SET,
    Topic,
    all_dead_letters,
)

SERVICES: Final = tuple(topic.owner for topic in (RULES_ERASED, CAMPAIGN_ERASED, NOTIFY_ERASED))
"""Who keeps anything of customers besides us, and tells what became of it."""

NAMES_NOBODY: Final = (EVENT_RESOLVED, SEGMENT_MOVED, DECIDED, SWITCH_SET, RULES_ERASED, CAMPAIGN_ERASED, NOTIFY_ERASED)
"""Topics in which nothing names or reaches a person in the first place."""


REJECTS_DAYS: Final = 30
IMPORTS_DAYS: Final = 14
"""How long the door keeps what it refused, as it is shipped."""


def document(row: Row, parts: Sequence[Row], notes: Sequence[Row]) -> dict[str, Any]:
    done = row["finished_at"] is not None
    waits = [] if done else silent_of(row, notes)
    return {
        "erasure_id": str(row["erasure_id"]),
        "request_id": row["request_id"],
        "customer_id": str(row["customer_id"]),
        "reason": row["reason"],
        "asked_by": row["asked_by"],
        "asked_at": row["asked_at"],
        "state": "done" if done else "running",
        "stage": row["stage"],
        "stage_at": row["stage_at"],
        "finished_at": row["finished_at"],
        "records": [str(record) for record in row["records"]],
        "erased": [*_own(parts), *_theirs(notes)],
        "waits_for": waits,
        # What others keep holds nothing up before.
        "waits_since": row["stage_at"] if waits and row["stage"] == "compacted" else None,
        "trouble": row["trouble"] or None,
        "remains": _remains(row["forgotten_at"]) if row["forgotten_at"] else [],
    }


def silent_of(row: Row, notes: Sequence[Row]) -> list[str]:
    """The services that have not told yet what became of each record."""
    told = {(note["record"], note["service"]) for note in notes}
    return sorted({service for service in SERVICES for record in row["records"] if (record, service) not in told})


def _own(parts: Sequence[Row]) -> list[dict[str, Any]]:
    return [{"where": part["place"], "count": part["count"], "at": part["done_at"]} for part in parts]


def _theirs(notes: Sequence[Row]) -> list[dict[str, Any]]:
    """The counts of all records together, by service and table."""
    found: dict[str, dict[str, Any]] = {}
    for note in notes:
        for table, count in sorted(msgspec.json.decode(note["counts"]).items()):
            where = f"{note['service']}.{table}"
            held = found.setdefault(where, {"where": where, "count": 0, "at": note["at"]})
            held["count"] += count
            held["at"] = max(held["at"], note["at"])
    return list(found.values())


def _remains(since: datetime) -> list[dict[str, Any]]:
    """What goes by the passing of time: nothing can be taken out of the middle of a log, and readers need what is new.

    Days of retention begin with the newest message of a segment, so a message may stay for a segment longer.
    """
    logs = [_log(topic, since) for topic in CATALOGUE if not topic.compacted and topic not in NAMES_NOBODY]
    others = [
        ("ingest.reject", "events that were refused at the door, as they came", REJECTS_DAYS),
        ("ingest.import_line", "lines of imported files that were refused, and files on their way", IMPORTS_DAYS),
    ]
    letters = "messages that nobody could handle, if all that they have of the person is a name of one word or a home"
    others += [(name, letters, DEAD_LETTER_DAYS) for name in all_dead_letters()]
    kept: list[dict[str, Any]] = [
        {
            "where": EVENT_RESOLVED.name,
            "what": "what happened, under ids that lead to nobody any more; no name, address, number or card is in it",
            "until": since + timedelta(days=EVENT_RESOLVED.retention_days or 0),
        },
        {
            "where": "profile.erasure_mark",
            "what": "keyed marks of the identifiers, by which they are recognised and left alone; not readable",
            "until": None,
        },
        {"where": "profile.audit", "what": "who of the staff looked at the customer id, and when", "until": None},
    ]
    return [
        *logs,
        *({"where": where, "what": what, "until": since + timedelta(days=days)} for where, what, days in others),
        *kept,
    ]


def _log(topic: Topic, since: datetime) -> dict[str, Any]:
    days = (topic.retention_days or 0) + SEGMENT_DAYS
    what = "messages as they passed; nobody reads them again"
    return {"where": topic.name, "what": what, "until": since + timedelta(days=days)}
