"""How much dearer are ten thousand rules than ten? Matching and what follows from it, one thread, CPU time.

Run it as `python -m tests.load.bench_rules_matching [--quick] [--json FILE]`. Of each mix and number of rules:

match      which rules an event meets, its data decoded; needs no state
of decode  the rate of decoding and matching together, as a share of that of decoding alone
step       what the event then changes and fires, states in memory; of the dense mixes this is the output itself
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from libs.common.events import EventResolved
from services.rules.document.language import Pick, Rule
from services.rules.engine import conditions, matching
from services.rules.engine.firing import Effects
from services.rules.engine.index import event_getter
from services.rules.engine.snapshot import Snapshot, Source, compile_snapshot
from services.rules.engine.state import State
from tests.load.rules_mixes import MIXES, Mix, events, segments, sources

EVENTS = 20_000
STEPPED = 4_000
SIZES = (10, 100, 1_000, 10_000)
ZONE = "Asia/Seoul"
LOOPED = 30
ROUNDS = 3


class Figure(NamedTuple):
    """Rates are events per second of CPU time; `uses` and `fires` are per event."""

    mix: str
    rules: int
    build_seconds: float
    matched: float
    decoded: float
    stepped: float
    uses: float
    fires: float
    looped: float = 0.0

    @property
    def of_decoding(self) -> float:
        return 1 / (1 + self.decoded / self.matched)


def main(arguments: Sequence[str]) -> int:
    # As services do: the collector looks at what was made at the start never again, and seldom at what is new.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 1_000)
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures there")
    parser.add_argument("--quick", action="store_true", help="fewer events, and 1,000 rules at the most")
    options = parser.parse_args(arguments)
    count, sizes = (EVENTS // 10, SIZES[:3]) if options.quick else (EVENTS, SIZES)
    print(
        f"{'mix':<21}{'rules':>7} {'build s':>8} {'match/s':>9} {'x 10':>6} {'of decode':>9} "
        f"{'step/s':>9} {'met/event':>9} {'fires/event':>11} {'loop/s':>8}"
    )
    found: list[Figure] = []
    for mix in MIXES:
        base = 0.0
        for figure in measured(mix, count, sizes):
            base = base or figure.matched
            print(_line(figure, base))
            found.append(figure)
    if options.json is not None:
        options.json.write_bytes(msgspec.json.encode([each._asdict() for each in found]))
    return 0


def measured(mix: Mix, count: int, sizes: Sequence[int]) -> Iterator[Figure]:
    bodies = [msgspec.json.encode(event) for event in events(mix, count)]
    given = _decoded(bodies)
    decoding = _rate(lambda: _decoded(bodies), count)
    named = [Source(msgspec.json.encode(each), 1) for each in segments(mix)]
    for size in sizes:
        written = sources(mix, size)
        began = time.process_time()
        snapshot = compile_snapshot(written, ZONE, named)
        build_seconds = time.process_time() - began
        matched = _rate(lambda s=snapshot: _matched(s, given), count)  # type: ignore[misc]
        uses = sum(len(hit.uses) + len(hit.changes) for hit in _hits(snapshot, given)) / count
        fires, stepped = _stepped(snapshot, given[:STEPPED])
        looped = _looped(written, given[:LOOPED]) if size == sizes[-1] else 0.0
        yield Figure(mix.name, size, build_seconds, matched, decoding, stepped, uses, fires, looped)


def _line(figure: Figure, base: float) -> str:
    looped = f"{figure.looped:>8,.0f}" if figure.looped else ""
    return (
        f"{figure.mix:<21}{figure.rules:>7} {figure.build_seconds:>8.2f} {figure.matched:>9,.0f} "
        f"{base / figure.matched:>6.2f} {figure.of_decoding:>9.2f} {figure.stepped:>9,.0f} {figure.uses:>9.2f} "
        f"{figure.fires:>11.2f} {looped}"
    ).rstrip()


def _decoded(bodies: Sequence[bytes]) -> list[EventResolved]:
    """What the worker does before anything is matched, and reading the data, which a rule cannot do without."""
    decoder = msgspec.json.Decoder(EventResolved)
    data = msgspec.json.Decoder(dict[str, Any])
    found = []
    for body in bodies:
        event = decoder.decode(body)
        data.decode(event.data)
        found.append(event)
    return found


def _matched(snapshot: Snapshot, given: Sequence[EventResolved]) -> int:
    return sum(1 for event in given if matching.match(snapshot, event) is not None)


def _hits(snapshot: Snapshot, given: Sequence[EventResolved]) -> Iterator[matching.Hit]:
    return (hit for event in given if (hit := matching.match(snapshot, event)) is not None)


def _stepped(snapshot: Snapshot, given: Sequence[EventResolved]) -> tuple[float, float]:
    """Fires per event, and the rate of matching and stepping, with every state in memory. Once: states change."""
    states: dict[str, State] = {}
    fires, began = 0, time.process_time()
    for event in given:
        hit = matching.match(snapshot, event)
        if hit is not None:
            own = states.get(event.customer_id)
            if own is None:
                own = states[event.customer_id] = State(event.customer_id)
            out = Effects()
            matching.step(snapshot, event, hit, own, (), out)
            fires += len(out.triggers)
    spent = time.process_time() - began
    return fires / len(given), len(given) / spent


def _looped(written: Sequence[Source], given: Sequence[EventResolved]) -> float:
    """The naive way, for comparison: every pattern of every rule is asked, a compiled closure each."""
    picks = [each for source in written for each in _picks(msgspec.json.decode(source.body, type=Rule).when)]
    tests = [(each.event, conditions.compile_all(each.where, event_getter)) for each in picks]

    def loop() -> None:
        for event in given:
            subject = msgspec.json.decode(event.data)
            for kind, test in tests:
                if test is not None and kind == event.type:
                    test(subject)

    return _rate(loop, len(given), 1)


def _picks(when: Any) -> Iterator[Pick]:
    """The patterns of events that a rule looks for, wherever they stand in it."""
    if getattr(when, "event", None) is not None:
        yield when
    for name in ("measure", "after", "no"):
        if (part := getattr(when, name, None)) is not None:
            yield part
    yield from getattr(when, "steps", ())


def _rate(work: Callable[[], object], count: int, rounds: int = ROUNDS) -> float:
    """Things per second of CPU time, the best of some rounds."""
    best = float("inf")
    for _ in range(rounds):
        began = time.process_time()
        work()
        best = min(best, time.process_time() - began)
    return count / best


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
