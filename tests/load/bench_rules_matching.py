"""How much dearer are ten thousand rules than ten? Matching of a selective mix, one thread, CPU time.

Run it as `python -m tests.load.bench_rules_matching [--json DIR]`. A rule names an event type, one or two values and a
range, of attributes with thousands of values, as a chain with many
categories and stores has them; a fifth of the rules count.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from libs.common import clock
from libs.common.events import EventResolved
from services.rules.document.language import EventWhen, Rule
from services.rules.engine import conditions, matching
from services.rules.engine.index import event_getter
from services.rules.engine.snapshot import Snapshot, Source, compile_snapshot

TYPES = 12
CATEGORIES = 2_000
STORES = 3_000
EVENTS = 40_000
SIZES = (10, 100, 1_000, 10_000)
START_MS = 1_772_000_000_000
COST_RATIO_MAX = 8.0
DECODE_RATIO_MIN = 1 / 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", type=Path, metavar="DIR", help="also write one JSON file per figure there")
    directory: Path | None = parser.parse_args().json
    bodies = [msgspec.json.encode(event) for event in _events(EVENTS)]
    events = _decoded(bodies)
    decoding = _rate(lambda: _decoded(bodies), EVENTS)
    print(f"{'rules':>7} {'build s':>8} {'events/s':>10} {'x 10 rules':>10} {'decode+match/s':>14} {'of decode':>9}")
    base, results = 0.0, []
    for size in SIZES:
        began = time.process_time()
        snapshot = compile_snapshot(_sources(size), "Asia/Seoul")
        build_seconds = time.process_time() - began
        rate = _rate(lambda s=snapshot: _matched(s, events), EVENTS)  # type: ignore[misc]
        base = base or rate
        whole = 1 / (1 / decoding + 1 / rate)
        figures = f"{rate:>10,.0f} {base / rate:>10.2f} {whole:>14,.0f} {whole / decoding:>9.2f}"
        print(f"{size:>7} {build_seconds:>8.2f} {figures}")
        results.append((size, rate, base / rate, whole / decoding))
    loop = _loop_rate(10_000, events[:60])
    print(f"decode alone {decoding:,.0f} events/s; a loop over 10,000 compiled rules {loop:,.0f} events/s")
    if directory is not None:
        _write(directory, results, base, decoding, loop)


def _events(count: int) -> list[EventResolved]:
    chance = random.Random(7)
    profile = msgspec.json.encode({"tier": "gold", "zone": "Asia/Seoul", "consent_email": True, "points": 1200})
    return [
        EventResolved(
            event_id=f"e{number}",
            customer_id=f"c{chance.randrange(20_000)}",
            person_id="p",
            type=f"type_{min(int(chance.expovariate(0.35)), TYPES - 1)}",
            source="store-031/pos-2",
            time=clock.from_ms(START_MS + number * 1000),
            received_ms=START_MS + number * 1000,
            data=msgspec.Raw(msgspec.json.encode(_data(chance))),
            profile=msgspec.Raw(profile),
        )
        for number in range(count)
    ]


def _data(chance: random.Random) -> dict[str, Any]:
    return {
        "category": f"category-{chance.randrange(CATEGORIES)}",
        "store": f"store-{chance.randrange(STORES)}",
        "amount": round(chance.uniform(1, 1000), 2),
        "currency": "KRW",
        "campaign": f"c-{chance.randrange(50)}",
        "items": [{"sku": f"sku-{chance.randrange(9999)}", "quantity": 1, "price": 12.5} for _ in range(2)],
    }


def _sources(count: int) -> list[Source]:
    chance = random.Random(11)
    return [Source(msgspec.json.encode(_rule(chance, number)), 1) for number in range(count)]


def _rule(chance: random.Random, number: int) -> dict[str, Any]:
    low = chance.uniform(1, 700)
    where: list[dict[str, Any]] = [{"field": "event.amount", "op": "between", "value": [low, low + 300]}]
    if chance.random() < 0.6:
        where.append({"field": "event.category", "op": "is", "value": f"category-{chance.randrange(CATEGORIES)}"})
    else:
        where.append({"field": "event.store", "op": "is", "value": f"store-{chance.randrange(STORES)}"})
    if chance.random() < 0.3:
        where.append({"field": "event.campaign", "op": "is", "value": f"c-{chance.randrange(50)}"})
    pick = {"event": f"type_{number % TYPES}", "where": where}
    when: dict[str, Any] = {"type": "event", **pick}
    if number % 5 == 0:
        measure = {"of": "count", **pick, "over": {"last": "7d"}}
        when = {"type": "measure", "measure": measure, "reaches": 3}
    return {"id": f"rule-{number}", "name": "x", "when": when, "emit": {"trigger": "offer.x"}}


def _decoded(bodies: Sequence[bytes]) -> list[EventResolved]:
    """What the worker does before anything is matched, and reading the data, which a rule cannot do without."""
    decoder = msgspec.json.Decoder(EventResolved)
    data = msgspec.json.Decoder(dict[str, Any])
    events = []
    for body in bodies:
        event = decoder.decode(body)
        data.decode(event.data)
        events.append(event)
    return events


def _matched(snapshot: Snapshot, events: Sequence[EventResolved]) -> int:
    return sum(1 for event in events if matching.match(snapshot, event) is not None)


def _loop_rate(count: int, events: Sequence[EventResolved]) -> float:
    """The naive way, for comparison: every rule of the event's type and of all others is asked."""
    rules = [msgspec.json.decode(source.body, type=Rule) for source in _sources(count)]
    tests = [
        (rule.when.event, conditions.compile_all(rule.when.where, event_getter))
        for rule in rules
        if isinstance(rule.when, EventWhen)
    ]

    def loop() -> None:
        for event in events:
            subject = msgspec.json.decode(event.data)
            for kind, test in tests:
                if kind == event.type and test is not None:
                    test(subject)

    return _rate(loop, len(events))


def _rate(work: Callable[[], object], count: int) -> float:
    """Things per second of CPU time, the best of three."""
    best = float("inf")
    for _ in range(3):
        began = time.process_time()
        work()
        best = min(best, time.process_time() - began)
    return count / best


def _write(
    directory: Path,
    results: Sequence[tuple[int, float, float, float]],
    base: float,
    decoding: float,
    loop: float,
) -> None:
    size, rate, cost, of_decoding = results[-1]
    figures = {
        "rules_matching_cost": ("10 rules", base, cost, COST_RATIO_MAX),
        "rules_matching_of_decoding": ("decoding alone", decoding, of_decoding, DECODE_RATIO_MIN),
        "rules_matching_over_loop": ("a loop over all rules", loop, rate / loop, 500.0),
    }
    directory.mkdir(parents=True, exist_ok=True)
    for name, (reference, reference_value, ratio, wanted) in figures.items():
        figure = {
            "name": name,
            "value": round(rate),
            "reference": reference,
            "reference_value": round(reference_value),
            "ratio": round(ratio, 3),
            "wanted_ratio": round(wanted, 3),
            "unit": "events/s",
            "rules": size,
        }
        (directory / f"{name}.json").write_bytes(msgspec.json.encode(figure))


if __name__ == "__main__":
    main()
