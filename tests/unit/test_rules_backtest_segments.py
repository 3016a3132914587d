"""Does a backtest of a rule that names a segment fire what the live heart fires, and read no more than it has to?"""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from services.rules.engine.snapshot import Source, compile_snapshot
from tests.backtest_log import (
    START_MS,
    VISIT,
    ZONE,
    Document,
    Log,
    customers,
    fired,
    question,
    raw,
    simulated,
)
from tests.unit.test_rules_backtest import Plain, random_log

BOUGHT: Document = {"of": "count", "event": "purchase", "over": {"last": "3d"}}
SEGMENTS: dict[str, Document] = {
    "regulars": {
        "id": "regulars",
        "name": "x",
        "who": [
            {
                "any": [
                    {"measure": BOUGHT, "op": "at_least", "value": 2},
                    {"field": "profile.tier", "op": "changed_within", "value": "12h"},
                ]
            }
        ],
    },
    "better": {
        "id": "better",
        "name": "x",
        "who": [{"in_segment": "regulars"}, {"field": "profile.tier", "op": "is", "value": "gold"}],
    },
}
ASKING: list[Document] = [
    {"when": {"type": "segment", "segment": "regulars", "moves": "in"}},
    {"when": {"type": "segment", "segment": "better", "moves": "in"}},
    {"when": {"type": "segment", "segment": "regulars", "moves": "out"}},
    {"who": [{"in_segment": "better"}]},
    {"who": [{"not": {"in_segment": "better"}}, {"field": "profile.tier", "op": "changed_within", "value": "1d"}]},
]
NAMES = ["in", "in-nested", "out", "who", "who-not-changed"]


def asked(rule: Document) -> Any:
    return question(rule, segments={id: raw(each) for id, each in SEGMENTS.items()})


class Segmented(Plain):
    def __init__(self, rule: Document) -> None:
        super().__init__(VISIT)
        sources = [Source(msgspec.json.encode(each), 1) for each in SEGMENTS.values()]
        self.snapshot = compile_snapshot([Source(msgspec.json.encode(rule), 0)], ZONE, sources)


@pytest.mark.parametrize("asks", ASKING, ids=NAMES)
def test_a_backtest_fires_what_the_plain_heart_fires(asks: Document) -> None:
    found = read = decoded = 0
    for seed in range(30):
        rule = {**VISIT, **asks}
        log, steps = random_log(seed, 60)
        plain = Segmented(rule)
        for step in steps:
            plain.on_clock(step) if isinstance(step, int) else plain.on_event(step)
        made = simulated(asked(rule), log.entries, units=1, chunk=7)
        assert fired(made) == sorted(plain.fired), f"seed {seed}"
        found, read, decoded = found + len(plain.fired), read + made.events, decoded + made.decoded
    assert found > 10, "rule and streams hardly met"
    assert decoded < 0.9 * read, "searches and carts that change nothing are decoded as well"


@pytest.mark.parametrize("asks", ASKING, ids=NAMES)
def test_what_can_neither_hit_nor_move_anybody_is_not_decoded(asks: Document) -> None:
    log = Log()
    for number in range(100):
        log.event(START_MS + number, f"c{number}", "search", profile={"tier": "gold"}, data={"tier": "gold"})
    log.event(START_MS + 1_000, "c1", "search", profile={"tier": "gold"}, changed={"tier": {"was": "a", "now": "gold"}})
    log.event(START_MS + 2_000, "c1", "purchase", profile={"tier": "gold"})
    made = simulated(asked({**VISIT, **asks}), log.entries)
    assert (made.events, made.decoded) == (102, 2)


def test_a_field_of_a_segment_within_the_segment_moves_people_as_well() -> None:
    log = Log()
    for number in range(2):
        log.event(START_MS + number, "c1", "purchase", profile={"tier": "basic"})
    change = {"tier": {"was": "basic", "now": "gold"}}
    log.event(START_MS + 10, "c1", "identify", profile={"tier": "gold"}, changed=change)
    rule = {**VISIT, "when": {"type": "segment", "segment": "better", "moves": "in"}}
    assert customers(fired(simulated(asked(rule), log.entries))) == ["c1"]
