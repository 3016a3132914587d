"""Which rules have to learn of the past when a snapshot changes, and which know enough already?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import msgspec
import pytest

from libs.common.documents.shapes import ActiveDocument
from services.rules.document import validation
from services.rules.warming import needs, reading
from services.rules.warming.needs import Wanted

Document = dict[str, Any]
VISITS: Document = {"of": "count", "event": "visit", "over": {"last": "7d"}}
KINDS: list[Document] = [
    {"type": "measure", "measure": VISITS, "reaches": 3},
    {"type": "sequence", "steps": [{"event": "a"}, {"event": "b"}], "within": "3d"},
    {"type": "absence", "after": {"event": "a"}, "no": {"event": "b"}, "for": "3d"},
    {"type": "date", "field": "profile.birthday", "every": "year"},
    {"type": "dormancy", "no": {"event": "a"}, "for": "30d"},
    {"type": "deviation", "measure": VISITS, "against": {"periods": 3}, "by_percent": 50},
]


def document(when: Document, id: str = "some-rule", version: int = 1, **more: Any) -> ActiveDocument:
    rule = {"id": id, "name": "x", "when": when, "emit": {"trigger": "a.b"}, **more}
    validation.read(rule)
    return ActiveDocument(id, version, "active", 100, msgspec.json.encode(rule))


def changed(old: Document, new: Document, **more: Any) -> list[Wanted]:
    return needs.wanted([document(old)], [document(new, version=2, **more)])


@pytest.mark.parametrize("when", KINDS, ids=lambda when: when["type"])
def test_a_rule_that_remembers_learns_of_the_past_when_it_is_new(when: Document) -> None:
    assert needs.wanted([], [document(when)]) == [Wanted("some-rule", 1, True)]


@pytest.mark.parametrize("when", KINDS, ids=lambda when: when["type"])
def test_what_was_watched_all_along_needs_nothing(when: Document) -> None:
    assert needs.wanted([document(when)], [document(when)]) == []
    assert changed(when, when, limits={"cooldown": "1d"}) == [], "nor does a version that waits for the same"


def test_what_can_be_told_from_the_event_alone_needs_nothing() -> None:
    change = {"type": "change", "field": "profile.tier"}
    assert needs.wanted([], [document({"type": "event", "event": "a"}), document(change, "other")]) == []


def test_a_measure_in_who_is_learned_as_well() -> None:
    who = [{"any": [{"measure": VISITS, "op": "at_least", "value": 1}]}]
    assert needs.wanted([], [document({"type": "event", "event": "a"}, who=who)]) == [Wanted("some-rule", 1, True)]


def test_a_measure_that_others_ask_for_is_shared_unless_this_one_reaches_further_back() -> None:
    old = document(KINDS[0])
    longer = {**KINDS[0], "measure": {**VISITS, "over": {"last": "30d"}}}
    assert needs.wanted([old], [old, document({**KINDS[0], "reaches": 5}, "other")]) == []
    assert needs.wanted([old], [old, document(longer, "other")]) == [Wanted("other", 1, True)]
    assert changed(KINDS[0], longer) == [Wanted("some-rule", 2, False)]
    assert changed(longer, KINDS[0]) == []


def test_nothing_can_be_shared_with_a_rule_that_has_not_learned_itself() -> None:
    old, new = document(KINDS[0]), document(KINDS[0], "other")
    assert needs.wanted([old], [old, new], ["some-rule"]) == [Wanted("other", 1, True)]
    assert needs.wanted([old], [document(KINDS[0], version=2)], ["some-rule"]) == [Wanted("some-rule", 2, True)]


def test_a_version_that_waits_for_something_else_learns_of_that() -> None:
    assert changed(KINDS[1], {**KINDS[1], "steps": [{"event": "a"}, {"event": "c"}]}) == [Wanted("some-rule", 2, False)]
    assert changed(KINDS[1], {**KINDS[1], "within": "30d"}) == [Wanted("some-rule", 2, False)]
    assert changed(KINDS[3], {**KINDS[3], "field": "profile.contract_end"}) == [Wanted("some-rule", 2, False)]
    assert changed(KINDS[4], {**KINDS[4], "for": "10d"}) == [], "a silence that has begun goes on"


def test_a_rule_that_comes_back_after_it_was_retired_learns_anew() -> None:
    assert needs.wanted([], [document(KINDS[4], version=1)]) == [Wanted("some-rule", 1, True)]


async def test_a_unit_that_has_lost_interest_takes_nothing_from_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    class Fold:
        def remembered(self) -> Iterator[tuple[int, str, bytes]]:
            return iter([(unit, str(number), b"") for number in range(3) for unit in (0, 1)])

    class Task:
        units: ClassVar = {0: 5, 1: 5}

    async def keeps(task: Any, database: Any, unit: int, rows: list[Any]) -> bool:
        return unit != 0

    monkeypatch.setattr(reading, "_keep_rows", keeps)
    monkeypatch.setattr(reading, "ROWS_AT_ONCE", 2)
    task: Any = Task
    nothing: Any = None
    fold: Any = Fold()
    assert await reading._keep(task, nothing, fold) == {1: 3}
