"""Are a rule's firings put to campaign person by person, within bounds, and are its answers added up?"""

from __future__ import annotations

from collections import Counter
from datetime import date
from typing import Any

import msgspec
from msgspec import Raw

from deploy.demo import funnel
from libs.common import clock
from libs.common.events import RuleTriggered
from services.rules.backtest.firings import PERSON_FIRINGS_MAX, Firings
from services.rules.backtest.gates import DayCount, Door, Fate, GateCount, Simulated
from services.rules.backtest.gating import asked_of, examples_of, summed


def trigger(person: int, number: int = 0) -> RuleTriggered:
    return RuleTriggered("t", "a.b", "r", 1, f"c{person}", f"p{person}", clock.from_ms(number * 1000))


def fate(outcome: str = "contact", gate: str = "channel") -> Fate:
    at = clock.from_ms(0)
    return Fate("c1", "p1", at, at, outcome, gate, "", [], [])


def page(**changes: Any) -> Simulated:
    base = Simulated(
        campaign_id="letter",
        campaign_version=3,
        policy_version=0,
        trigger="a.b",
        channel="email",
        firings=10,
        people=4,
        outcomes={"contact": 6, "denied": 4},
        deferred=2,
        consent_is_newer=1,
        cost="0.30",
        gates=[GateCount("consent", 10, 3, 0, {"never asked": 3}), GateCount("cap", 7, 1, 0, {"used up": 1})],
        days=[DayCount(date(2026, 11, 1), "email", 6, 0, 4)],
        examples=[fate()] * 4,
        assumes=["as now"],
    )
    return msgspec.structs.replace(base, **changes)


def test_a_page_never_splits_a_person_and_none_is_left_out() -> None:
    firings = Firings()
    for number in range(500):
        firings.note(trigger(number % 37, number))
    pages = list(firings.pages(firings_max=50))
    assert sum(map(len, pages)) == 500 and max(map(len, pages)) <= 50
    whose = Counter(person for page in pages for person in {person for _, person, _ in page})
    assert set(whose.values()) == {1} and len(whose) == 37


def test_of_very_many_firings_whole_people_are_left_out_and_the_share_is_said() -> None:
    firings = Firings(kept_max=1_000)
    for number in range(10_000):
        firings.note(trigger(number % 2_000, number))
    kept = Counter(person for page in firings.pages() for _, person, _ in page)
    assert firings.share in (1 / 8, 1 / 16) and sum(kept.values()) <= 1_000
    assert set(kept.values()) == {5}, "each that is kept is kept whole"
    assert abs(len(kept) - 2_000 * firings.share) < 60


def test_somebody_for_whom_it_fires_more_often_than_a_page_holds_is_cut_and_that_is_said() -> None:
    firings = Firings()
    for number in range(PERSON_FIRINGS_MAX + 5):
        firings.note(trigger(1, number))
    [only] = firings.pages()
    assert len(only) == PERSON_FIRINGS_MAX and firings.left_out == 5
    assert any("left out" in each for each in summed([page()], firings, "a.b").warnings)


def test_whoever_is_erased_is_not_asked_about() -> None:
    firings = Firings()
    for person in (1, 2):
        firings.note(trigger(person))
    firings.forget("c1")
    assert [person for page in firings.pages() for _, person, _ in page] == ["p2"]


def test_pages_add_up_gate_by_gate_and_day_by_day() -> None:
    other = page(
        outcomes={"contact": 1, "holdout": 2},
        gates=[GateCount("consent", 5, 1, 2, {"never asked": 1}), GateCount("cap", 4, 0, 0)],
        days=[DayCount(date(2026, 11, 1), "email", 1, 2, 0), DayCount(date(2026, 11, 2), "email", 3, 0, 0)],
        cost="0.05",
    )
    found = summed([page(), other], Firings(), "a.b")
    assert found.outcomes == {"contact": 7, "denied": 4, "holdout": 2} and found.cost == "0.35"
    assert found.gates == [
        GateCount("consent", 15, 4, 2, {"never asked": 4}),
        GateCount("cap", 11, 1, 0, {"used up": 1}),
    ]
    assert [(each.contact, each.holdout, each.denied) for each in found.days] == [(7, 2, 4), (3, 0, 0)]
    assert (found.firings, found.people, found.deferred, found.consent_is_newer) == (20, 8, 4, 2)
    assert found.warnings == [] and found.share == 1
    mixed = summed([page(), page(campaign_version=4)], Firings(), "other.trigger").warnings
    assert "listens to a.b" in mixed[0] and "was changed" in mixed[1]
    ends = Counter((each.fate.outcome, each.fate.gate) for each in examples_of([page(), page()]))
    assert ends == {("contact", "channel"): 5}


async def test_without_an_address_or_a_token_or_anybody_there_it_is_said_why_nothing_is_known() -> None:
    told: list[int] = []
    for door, why in (
        (None, "DANGOL_CAMPAIGN_URL"),
        (Door("", "x"), "DANGOL_CAMPAIGN_URL"),
        (Door("http://127.0.0.1:9", ""), "DANGOL_CAMPAIGN_TOKEN_FILE"),
        (Door("http://127.0.0.1:9", "x"), "campaign does not answer"),
    ):
        found, examples = await asked_of(door, Raw(b'"letter"'), Firings(), "a.b", lambda: told.append(1))
        assert why in found["unavailable"] and not examples
    assert not told


def test_the_funnel_shows_each_gate_that_stopped_somebody_and_what_was_taken_for_granted() -> None:
    gates = msgspec.to_builtins(summed([page()], Firings(), "a.b"))
    lines = "\n".join(funnel.told(gates, [msgspec.to_builtins(fate("denied", "consent"))]))
    assert "10  fired" in lines and "-3  consent      stopped" in lines and "never asked 3" in lines
    assert "6  contacted: 4 people, cost 0.30" in lines and "denied at consent: customer c1" in lines
    assert "note: as now" in lines and "given after the firing" in lines
    assert "not known, away" in "\n".join(funnel.told({"unavailable": "away"}))
