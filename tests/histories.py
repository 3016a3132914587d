"""What would the log hold of a real shop's year, and of a month of the demo's town? Events as the oracle takes them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from deploy.demo import life
from deploy.demo.town import found
from deploy.local.settings import ROOT
from deploy.replay import baskets, mapping, tables
from libs.common import clock
from libs.common.events import Change, EventResolved
from tests.oracles.rules import Firing, Oracle

TABLE = (
    Path(os.environ.get("DANGOL_DATA") or ROOT.parent / "shared" / "data") / "online_retail" / "online_retail.parquet"
)
MAPPING = ROOT / "deploy" / "replay" / "online_retail.toml"
ZONE = "Asia/Seoul"
DAY_MS = 86_400_000
_TIERS = ((Decimal(5000), "gold"), (Decimal(1000), "silver"))
_WON_PER_POUND = 300
Document = dict[str, Any]


def rules(type_: str, after: str, amount: int) -> list[Document]:
    """One of each kind, about an event type of the history and what often comes after it, around an amount."""
    bought: Document = {"event": type_}
    big: list[Document] = [{"field": "event.amount", "op": "at_least", "value": amount}]
    money = {"of": "sum", "event": type_, "field": "event.amount"}
    whens: dict[str, Document] = {
        "event": {**bought, "where": big},
        "measure": {"measure": {**money, "over": {"last": "30d"}}, "reaches": 3 * amount},
        "sequence": {"steps": [bought, {"event": after}], "within": "14d"},
        "absence": {"after": {**bought, "where": big}, "no": bought, "for": "10d"},
        "change": {"field": "profile.tier", "to": ["gold", "silver"]},
        "date": {"field": "profile.card_ends", "shift": "-7d", "at": "09:00"},
        "dormancy": {"no": bought, "for": "12d"},
        "deviation": {
            "measure": {**money, "over": {"last": "1w"}},
            "against": {"periods": 2},
            "direction": "rise",
            "by_percent": 50,
            "check": "on_event",
        },
    }
    limits: list[Document] = [{}, {"cooldown": "20d"}, {"max": {"times": 2, "per": "30d"}}]
    made: list[Document] = [
        {"id": f"one-{kind}", "name": "x", "when": {"type": kind, **when}, "emit": {"trigger": "a.b"}}
        for kind, when in whens.items()
    ]
    for number, rule in enumerate(made):
        rule["limits"] = limits[number % 3]
        rule["time"] = {"accept_late": "30d"}
    made[3]["who"] = [{"field": "profile.tier", "op": "in", "value": ["basic", "silver"]}]
    return made


def retail(until: str = "9999-12-31") -> list[Document]:
    """The invoices of the file that have a customer, in the order of their instants."""
    shop = mapping.read(MAPPING)
    rows = tables.rows(TABLE, shop.needed())
    events = (baskets.event(each, shop) for each, _ in baskets.baskets(rows, shop))
    given = [(f"c-{each['identifiers']['account']}", each) for each in events if each["identifiers"].get("account")]
    return _told((customer, each, each["time"]) for customer, each in given if each["time"] < until)


def town(days: int, every_seconds: int, size: int = 300, rate: float = 3.0) -> list[Document]:
    """Days of the demo, of which one second in so many is played."""
    place, midnight = found(1, size), datetime(2026, 10, 1, tzinfo=UTC)
    people = {value: each.number for each in place.people for value in each.identifiers().values()}
    found_: list[tuple[str, Document, str]] = []
    for tick in range(0, days * 86_400, every_seconds):
        for event in life.second(place, tick, rate, midnight):
            person = next((people[value] for value in event["identifiers"].values() if value in people), None)
            if person is not None:
                found_.append((f"c-{person}", event, event["time"]))
    return _told(found_)


def _told(given: Iterable[tuple[str, Document, str]]) -> list[Document]:
    """With a profile of what was spent, as the profile service would keep one."""
    spent: dict[str, Decimal] = {}
    told = []
    for customer, event, time in sorted(given, key=lambda each: (clock.to_ms(_instant(each[2])), each[1]["id"])):
        time_ms, known = clock.to_ms(_instant(time)), customer in spent
        before = spent.setdefault(customer, Decimal(0))
        if event["type"] == "purchase":
            in_won = event["data"].get("currency") == "KRW"
            spent[customer] += Decimal(str(event["data"]["amount"])) / (_WON_PER_POUND if in_won else 1)
        changed: Document = {}
        if _tier(before) != _tier(spent[customer]):
            changed["tier"] = {"was": _tier(before), "now": _tier(spent[customer])}
        if not known:
            ends = clock.from_ms(time_ms + 20 * DAY_MS).date().isoformat()
            changed["card_ends"] = {"was": None, "now": ends}
        told.append(
            {
                "id": event["id"],
                "customer": customer,
                "type": event["type"],
                "time": time_ms,
                "received": time_ms,
                "data": event["data"],
                "profile": {"tier": _tier(spent[customer])},
                "changed": changed,
                "linked": [],
                "history": False,
                "region": "",
            }
        )
    return told


def _tier(spent: Decimal) -> str:
    return next((name for least, name in _TIERS if spent >= least), "basic")


def _instant(time: str) -> datetime:
    found_ = datetime.fromisoformat(time)
    return found_ if found_.tzinfo is not None else found_.replace(tzinfo=UTC)


def resolved(given: Document) -> EventResolved:
    return EventResolved(
        event_id=given["id"],
        customer_id=given["customer"],
        person_id=given["customer"],
        type=given["type"],
        source="test",
        time=clock.from_ms(given["time"]),
        received_ms=given["received"],
        data=msgspec.Raw(msgspec.json.encode(given["data"])),
        profile=msgspec.Raw(msgspec.json.encode(given["profile"])),
        changed={name: Change(**each) for name, each in given["changed"].items()},
    )


def steps(events: list[Document], every_days: int) -> Iterator[tuple[list[Document], int]]:
    """Some days of events, and what the clock says when they have been read; at last all that is due afterwards."""
    span, at = every_days * DAY_MS, 0
    midnight = events[0]["time"] // DAY_MS * DAY_MS
    while at < len(events):
        midnight += span
        some = []
        while at < len(events) and events[at]["time"] < midnight:
            some.append(events[at])
            at += 1
        yield some, midnight
    yield [], midnight + 60 * DAY_MS


def by_brute_force(rules_: list[Document], events: list[Document], every_days: int) -> set[Firing]:
    """Customer by customer, for none of them is linked to another: the oracle looks at all events at every event."""
    clocks = [said for _, said in steps(events, every_days)]
    own: dict[str, list[Document]] = {}
    for event in events:
        own.setdefault(event["customer"], []).append(event)
    triggers: set[Firing] = set()
    for theirs in own.values():
        oracle, at = Oracle(rules_, ZONE), 0
        for said in clocks:
            while at < len(theirs) and theirs[at]["time"] < said:
                oracle.on_event(theirs[at])
                at += 1
            if at:
                oracle.on_clock(said)
        triggers |= oracle.triggers
    return triggers


def span_of(events: list[Document]) -> timedelta:
    return timedelta(milliseconds=events[-1]["time"] - events[0]["time"])
