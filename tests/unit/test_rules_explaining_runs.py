"""Which events are the steps of a sequence so far? Against the plain look through all of them, and at what cost."""

from __future__ import annotations

import random

import pytest

from services.rules.engine.state import Step
from services.rules.explaining import moments


def plain(first: Step, steps: list[list[Step]], end_ms: int) -> list[Step]:
    run = [first]
    for events in steps[1:]:
        fitting = [each for each in events if run[-1].time_ms <= each.time_ms <= end_ms and each.same == first.same]
        found = next((each for each in fitting if each.number not in {taken.number for taken in run}), None)
        if found is None:
            break
        run.append(found)
    return run


def test_the_run_is_what_a_plain_look_finds() -> None:
    chance, lengths = random.Random(5), set()
    for _ in range(500):
        steps = [
            sorted(
                (Step(chance.randrange(12), chance.randrange(20), chance.randrange(2), "e") for _ in range(8)),
                key=lambda each: (each.time_ms, each.number),
            )
            for _ in range(3)
        ]
        for first in steps[0]:
            end_ms = first.time_ms + chance.randrange(8)
            found = moments._run(first, moments._by_same(steps), end_ms)
            assert found == plain(first, steps, end_ms)
            lengths.add(len(found))
    assert lengths == {1, 2, 3}


def test_many_events_cost_little_more_each_than_few(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = 0

    def counting(step: Step) -> int:
        nonlocal looked
        looked += 1
        return step.time_ms

    monkeypatch.setattr(moments, "_time_of", counting)
    count = 4_000
    steps = [[Step(number, at * count + number, 0, "e") for number in range(count)] for at in range(2)]
    later = moments._by_same(steps)
    assert all(len(moments._run(first, later, 2 * count)) == 2 for first in steps[0])
    assert looked < 20 * count
