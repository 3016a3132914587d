"""How does the ledger of points look to whoever asks? Rows in, documents out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any, Final

import msgspec

from libs.common.db import Row
from services.profile.store import points_reading as store

OPEN_SHOWN_MAX: Final = 100


async def balance(connection: Any, records: Sequence[str]) -> dict[str, Any]:
    """What a person has, all records together, and each way to divide it."""
    rows = await store.lots(connection, records)
    open_ = await store.open_of(connection, records, OPEN_SHOWN_MAX)
    return {
        "balance": sum(row["left_points"] for row in rows),
        "by_business_unit": _added((row["business_unit"], row["left_points"]) for row in rows),
        "by_record": _added((str(row["customer_id"]), row["left_points"]) for row in rows),
        "expiring": [
            {"on": day, "points": points}
            for day, points in _added((_day(row["expires_on"]), row["left_points"]) for row in rows).items()
            if day is not None
        ],
        "owed": sum(row["points"] for row in open_ if row["kind"] != "reverse"),
        "open": [discrepancy(row) for row in open_],
    }


def line(row: Row) -> dict[str, Any]:
    """One entry; `postings` where they were read along."""
    found = {
        "entry_id": str(row["entry_id"]),
        "customer_id": str(row["customer_id"]),
        **{name: row[name] for name in ("kind", "points", "moved", "status", "why")},
        **{name: row[name] for name in ("business_unit", "partner", "reference", "reason", "actor")},
        "expires_on": _day(row["expires_on"]),
        "reverses": _id(row["reverses"]),
        "settles": _id(row["settles"]),
        "at": row["at"],
        "booked_at": row["booked_at"],
    }
    if "postings" in row.keys():
        found["postings"] = msgspec.json.decode(row["postings"]) if row["postings"] else []
    return found


def discrepancy(row: Row) -> dict[str, Any]:
    return {
        "entry_id": str(row["entry_id"]),
        "customer_id": str(row["customer_id"]),
        **{name: row[name] for name in ("kind", "points", "business_unit", "state", "note", "by", "at", "changed_at")},
        "awaits": _id(row["awaits"]),
        "until": _day(row["until_on"]),
    }


def summary(totals: Sequence[Row], liabilities: Sequence[Row]) -> dict[str, Any]:
    """By business unit: what moved its points and where, and what it still owes, by the month in which that ends."""
    units: dict[str, dict[str, Any]] = {}
    for row in totals:
        unit = units.setdefault(row["issuer"], _nothing(row["issuer"]))
        moved = unit["moved"]
        moved[row["kind"]] = moved.get(row["kind"], 0) + row["points"]
        unit["outstanding"] += row["points"]
        if row["kind"] == "spend" and row["points"]:
            unit["spent_at"][row["business_unit"]] = -row["points"]
    for row in liabilities:
        month = _day(row["month"])
        name = month.strftime("%Y-%m") if month is not None else "never"
        units.setdefault(row["issuer"], _nothing(row["issuer"]))["expires"][name] = row["points"]
    return {
        "outstanding": sum(unit["outstanding"] for unit in units.values()),
        "business_units": [units[name] for name in sorted(units)],
    }


def _nothing(name: str) -> dict[str, Any]:
    return {"business_unit": name, "outstanding": 0, "moved": {}, "spent_at": {}, "expires": {}}


def _added(pairs: Iterable[tuple[Any, int]]) -> dict[Any, int]:
    added: dict[Any, int] = {}
    for key, points in pairs:
        added[key] = added.get(key, 0) + points
    return added


def _day(found: date) -> date | None:
    """A day; None for never, which PostgreSQL calls infinity."""
    return None if found == date.max else found


def _id(found: Any) -> str | None:
    return None if found is None else str(found)
