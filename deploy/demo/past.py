"""What was known of the town's people before the demo began? Their first load, as history. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from deploy.demo.life import Happening
from deploy.demo.town import GOODS, Person, Town

_BEGAN = datetime(2025, 1, 6, 9, 0, tzinfo=UTC)
_LAPSED_UNTIL_DAYS = 120
_ACTIVE_UNTIL_DAYS = 300


def first_load(town: Town) -> Iterator[dict[str, Any]]:
    """Always the same events, so sending them again has no effect. The best known customers come first."""
    for person in town.people:
        yield from _of(town, person)


def _of(town: Town, person: Person) -> Iterator[dict[str, Any]]:
    chance = Random(f"{town.seed}/past/{person.number}")
    joined = _BEGAN + timedelta(minutes=chance.randint(0, 40 * 24 * 60))
    for at, happening in enumerate([_introduction(person), *_consents(person)]):
        yield _dressed(town, person, at, happening, joined + timedelta(seconds=at))
    days = _LAPSED_UNTIL_DAYS if person.lapsed else _ACTIVE_UNTIL_DAYS
    for visit in range(chance.randint(0, 3)):
        time = joined + timedelta(days=chance.randint(1, days))
        yield _dressed(town, person, 100 + visit, _purchase(person, chance), time)


def _dressed(town: Town, person: Person, at: int, happening: Happening, time: datetime) -> dict[str, Any]:
    return {**happening.event(f"past-{town.seed}-{person.number}-{at}", time), "history": True}


def _introduction(person: Person) -> Happening:
    traits = {
        "name": person.name,
        "tier": person.tier,
        "life_stage": person.stage,
        "zone": person.zone,
        "birth_year": 2026 - person.age,
        "gender": person.gender,
        "home_branch": person.home.name,
        "activity": "lapsed" if person.lapsed else "active",
    }
    return Happening("pos", "identify", "loyalty-desk", person.identifiers(), {"traits": traits})


def _consents(person: Person) -> Iterator[Happening]:
    for type_, granted in (("consent_given", True), ("consent_withdrawn", False)):
        channels = [channel for channel, answer in person.consents.items() if answer is granted]
        if channels:
            held = person.identifiers()
            yield Happening("pos", type_, "loyalty-desk", held, {"channels": channels})


def _purchase(person: Person, chance: Random) -> Happening:
    product = chance.choice(GOODS[person.home.kind])
    line = {"product": product.name, "category": product.category, "quantity": 1, "price": product.price}
    data = {"amount": product.price, "currency": "KRW", "items": [line]}
    return Happening("pos", "purchase", f"{person.home.source}/pos-1", person.identifiers(), data)
