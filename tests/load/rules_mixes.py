"""What are rules matched against in a benchmark? Mixes of rules of every kind, and events that meet some of them.

Selective: attributes with thousands of values, as a chain with many categories and stores has them. Dense: few values,
so that each event fires many rules. The plain mixes hold events and measures alone; the full ones every kind there is.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from libs.common import clock
from libs.common.events import Change, EventResolved
from services.rules.engine.snapshot import Source

TYPES = 12
CUSTOMERS = 20_000
CAMPAIGNS = 50
START_MS = 1_772_000_000_000
EVENT_EVERY_MS = 1_000
CHANGING = 0.1
"""The share of events that change a field of the profile."""
Document = dict[str, Any]


class Mix(NamedTuple):
    """`kinds` are dealt out in turn; `fields` is how many fields of the profile rules look at."""

    name: str
    categories: int
    stores: int
    fields: int
    kinds: Sequence[str]


PLAIN = ("measure", "event", "event", "event", "event")
FULL = (
    *("event",) * 7,
    *("measure",) * 3,
    *("absence", "sequence", "change", "date", "dormancy") * 2,
)
MIXES = (
    Mix("selective", 2_000, 3_000, 200, PLAIN),
    Mix("selective, all kinds", 2_000, 3_000, 200, (*FULL, "deviation", "segment")),
    Mix("dense", 30, 100, 20, PLAIN),
    Mix("dense, all kinds", 30, 100, 20, (*FULL, "deviation", "segment")),
)


def events(mix: Mix, count: int) -> list[EventResolved]:
    chance = random.Random(7)
    tiers = ("basic", "silver", "gold", "platinum")
    profile = {"tier": "gold", "zone": "Asia/Seoul", "consent_email": True, "points": 1200}
    body = msgspec.Raw(msgspec.json.encode(profile))
    made = []
    for number in range(count):
        at_ms = START_MS + number * EVENT_EVERY_MS
        made.append(
            EventResolved(
                event_id=f"e{number}",
                customer_id=f"c{chance.randrange(CUSTOMERS)}",
                person_id="p",
                type=_type(chance),
                source="store-031/pos-2",
                time=clock.from_ms(at_ms),
                received_ms=at_ms,
                data=msgspec.Raw(msgspec.json.encode(_data(chance, mix))),
                profile=body,
                changed=_changed(chance, mix, tiers) if "change" in mix.kinds else {},
            )
        )
    return made


def _type(chance: random.Random) -> str:
    """A few types are most of what happens, and most rules are about them."""
    return f"type_{min(int(chance.expovariate(0.35)), TYPES - 1)}"


def _changed(chance: random.Random, mix: Mix, values: Sequence[str]) -> dict[str, Change]:
    if chance.random() >= CHANGING:
        return {}
    field = chance.randrange(mix.fields)
    if chance.random() < 0.2:
        return {f"day_{field}": Change(None, f"2026-{chance.randrange(4, 13):02}-15")}
    return {f"trait_{field}": Change(*chance.choices(values, k=2))}


def _data(chance: random.Random, mix: Mix) -> Document:
    return {
        "category": f"category-{chance.randrange(mix.categories)}",
        "store": f"store-{chance.randrange(mix.stores)}",
        "amount": round(chance.uniform(1, 1000), 2),
        "currency": "KRW",
        "campaign": f"c-{chance.randrange(CAMPAIGNS)}",
        "items": [{"sku": f"sku-{chance.randrange(9999)}", "quantity": 1, "price": 12.5} for _ in range(2)],
    }


def sources(mix: Mix, count: int) -> list[Source]:
    return [Source(msgspec.json.encode(each), 1) for each in rules(mix, count)]


def segments(mix: Mix) -> list[Document]:
    """Those that rules of the mix name: one for each field, of whoever has one of two values in it."""
    if "segment" not in mix.kinds:
        return []
    tiers = {"op": "in", "value": ["gold", "platinum"]}
    return [
        {"id": f"segment-{number}", "name": "x", "who": [{"field": f"profile.trait_{number}", **tiers}]}
        for number in range(mix.fields)
    ]


def rules(mix: Mix, count: int) -> list[Document]:
    dealt = _Dealt(mix)
    return [dealt.rule(number) for number in range(count)]


class _Dealt:
    def __init__(self, mix: Mix) -> None:
        self._mix = mix
        self._chance = random.Random(11)

    def rule(self, number: int) -> Document:
        kind = self._mix.kinds[number % len(self._mix.kinds)]
        when = getattr(self, f"_{kind}")(number)
        return {"id": f"rule-{number}", "name": "x", "when": {"type": kind, **when}, "emit": {"trigger": "offer.x"}}

    def _pick(self) -> Document:
        """An event type, one or two values and a range."""
        chance, low = self._chance, self._chance.uniform(1, 500)
        where: list[Document] = [{"field": "event.amount", "op": "between", "value": [low, low + 500]}]
        if chance.random() < 0.6:
            value = f"category-{chance.randrange(self._mix.categories)}"
            where.append({"field": "event.category", "op": "is", "value": value})
        else:
            where.append({"field": "event.store", "op": "is", "value": f"store-{chance.randrange(self._mix.stores)}"})
        if chance.random() < 0.3:
            where.append({"field": "event.campaign", "op": "is", "value": f"c-{chance.randrange(CAMPAIGNS)}"})
        return {"event": _type(chance), "where": where}

    def _event(self, _: int) -> Document:
        return self._pick()

    def _measure(self, _: int) -> Document:
        return {"measure": {"of": "count", **self._pick(), "over": {"last": "7d"}}, "reaches": 3}

    def _absence(self, _: int) -> Document:
        return {"after": self._pick(), "no": self._pick(), "for": "1d"}

    def _sequence(self, _: int) -> Document:
        return {"steps": [self._pick(), self._pick()], "within": "3d"}

    def _dormancy(self, _: int) -> Document:
        return {"no": self._pick(), "for": "30d"}

    def _deviation(self, _: int) -> Document:
        measure = {"of": "sum", "field": "event.amount", **self._pick(), "over": {"last": "7d"}}
        return {"measure": measure, "against": {"periods": 3}, "by_percent": 50}

    def _change(self, number: int) -> Document:
        to = self._chance.choice(("silver", "gold", "platinum"))
        return {"field": f"profile.trait_{number % self._mix.fields}", "to": [to]}

    def _date(self, number: int) -> Document:
        return {"field": f"profile.day_{number % self._mix.fields}", "shift": "-7d", "at": "09:00"}

    def _segment(self, number: int) -> Document:
        return {"segment": f"segment-{number % self._mix.fields}", "moves": self._chance.choice(("in", "out"))}
