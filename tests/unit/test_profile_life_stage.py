"""Is that stage of life believed for which there is the best evidence, from the day on which it began?"""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.common.clock import to_ms
from services.profile import person
from services.profile.person import Customer, Definitions, Moment, Occurrence
from services.profile.person.life_stage import LIFE_STAGE, STAGES_MAX
from services.profile.person.trait_terms import Declared, Evidence, LifeStages

FIRST = datetime(2023, 1, 1, 3, tzinfo=UTC)
FIRST_DAY = FIRST.date().toordinal()
DEFINED = Definitions()


def event(kind: str, day: int, minute: int = 0, /, source: str = "crm", **data: Any) -> Occurrence:
    at_ms = to_ms(FIRST + timedelta(days=day, minutes=minute))
    return Occurrence(kind, at_ms, source, f"{kind}-{day}-{minute}", data)


def said(stage: Any, day: int, minute: int = 0) -> Occurrence:
    return event("identify", day, minute, traits={"life_stage": stage})


def set_by(source: str, stage: Any, day: int, minute: int = 0) -> Occurrence:
    return event("profile.changed", day, minute, source=source, life_stage=stage)


def by_rule(stage: Any, day: int, minute: int = 0) -> Occurrence:
    return set_by("dangol/rules/just-married", stage, day, minute)


def by_hand(stage: Any, day: int, minute: int = 0) -> Occurrence:
    return set_by("dangol/api/agent-7", stage, day, minute)


def folded(*events: Occurrence, definitions: Definitions = DEFINED) -> Customer:
    customer = Customer("p")
    for each in events:
        person.apply(customer, each, definitions)
    return customer


def seen(customer: Customer, day: int, definitions: Definitions = DEFINED) -> dict[str, Any]:
    return LIFE_STAGE.fields([customer], Moment(FIRST_DAY + day, definitions))


def shown(customer: Customer, day: int) -> dict[str, Any]:
    assert LIFE_STAGE.shown is not None
    found: dict[str, Any] = LIFE_STAGE.shown([customer], Moment(FIRST_DAY + day, DEFINED))
    return found


def written(day: int) -> str:
    return date.fromordinal(FIRST_DAY + day).isoformat()


@pytest.mark.parametrize(
    ("told", "kind"),
    [
        (said("married", 3), "said"),
        (event("life.marriage", 3), "event"),
        (by_rule("married", 3), "rule"),
        (by_hand("married", 3), "hand"),
    ],
)
def test_a_stage_is_set_by_a_source_an_event_a_rule_or_a_hand_and_is_seen(told: Occurrence, kind: str) -> None:
    customer = folded(told)
    assert seen(customer, 3) == {"life_stage": "married", "life_stage_since": written(3)}
    assert person.view([customer], Moment(FIRST_DAY + 3, DEFINED))["life_stage"] == "married"
    now = shown(customer, 3)["now"]
    assert (now["evidence"]["kind"], now["evidence"]["source"]) == (kind, told.source)
    assert now["confidence"] == getattr(DEFINED.life_stages, kind).confidence


def test_life_goes_on_whoever_knew_the_stage_before() -> None:
    customer = folded(by_hand("married", 0), event("life.childbirth", 200), said("family", 900))
    assert seen(customer, 199)["life_stage"] == "married"
    assert seen(customer, 200)["life_stage"] == "parent"
    assert seen(customer, 900) == {"life_stage": "family", "life_stage_since": written(900)}
    history = shown(customer, 900)["history"]
    assert [(each["stage"], each["since"], each["until"]) for each in history] == [
        ("married", written(0), written(200)),
        ("parent", written(200), written(900)),
        ("family", written(900), None),
    ]


def test_of_what_is_said_of_one_time_the_better_evidence_is_believed_whatever_came_first() -> None:
    for events in ((by_hand("single", 10), event("life.marriage", 12)), (said("family", 10), by_rule("single", 10, 5))):
        assert seen(folded(*events), 20)["life_stage"] == "single"
        assert seen(folded(*events[::-1]), 20)["life_stage"] == "single"
    later = DEFINED.life_stages.hand.holds_days + 10
    assert seen(folded(by_hand("single", 10), event("life.marriage", later)), later)["life_stage"] == "married"


def test_a_rule_makes_more_of_an_event_than_the_event_says() -> None:
    customer = folded(event("life.childbirth", 5), by_rule("family", 5))
    assert seen(customer, 5)["life_stage"] == "family"


def test_an_event_makes_nobody_what_they_are_more_than_already() -> None:
    customer = folded(said("family", 0), event("life.childbirth", 300), event("life.marriage", 400))
    assert seen(customer, 400) == {"life_stage": "family", "life_stage_since": written(0)}
    assert seen(folded(said("married", 0), event("life.childbirth", 300)), 300)["life_stage"] == "parent"


def test_a_source_that_repeats_what_it_always_said_overrules_nobody_who_knows_better_since() -> None:
    nightly = [said("single", day) for day in range(0, 40, 2)]
    customer = folded(*nightly, event("life.marriage", 21))
    assert seen(customer, 40) == {"life_stage": "married", "life_stage_since": written(21)}
    changed_its_mind = folded(*nightly, event("life.marriage", 21), said("divorced", 50))
    assert seen(changed_its_mind, 50)["life_stage"] == "divorced"


def test_repetition_confirms_and_does_not_begin_anew() -> None:
    customer = folded(*[said("single", day) for day in range(0, 40, 2)])
    assert seen(customer, 40) == {"life_stage": "single", "life_stage_since": written(0)}
    assert shown(customer, 40)["now"]["confirmed_at"] == FIRST + timedelta(days=38)


def test_a_source_that_takes_a_mistake_back_is_believed_again() -> None:
    customer = folded(said("single", 0), said("family", 10), *[said("single", day) for day in range(11, 60)])
    assert seen(customer, 60) == {"life_stage": "single", "life_stage_since": written(11)}


def test_a_wedding_counts_from_its_day_whenever_it_is_told() -> None:
    told_late = folded(event("life.marriage", 100, on=written(60)))
    assert seen(told_late, 100)["life_stage_since"] == written(60)
    coming = folded(said("single", 0), event("life.marriage", 100, on=written(130)))
    at = Moment(FIRST_DAY + 100, DEFINED)
    assert seen(coming, 129)["life_stage"] == "single"
    assert seen(coming, 130) == {"life_stage": "married", "life_stage_since": written(130)}
    assert LIFE_STAGE.due([coming], at) == FIRST_DAY + 130
    assert [each["stage"] for each in shown(coming, 100)["coming"]] == ["married"]


@pytest.mark.parametrize("on", ["9999-12-31", "0001-01-01", "soon", 5, None, ["2023-01-01"]])
def test_a_day_that_cannot_be_is_taken_for_a_slip(on: Any) -> None:
    assert seen(folded(event("life.marriage", 100, on=on)), 100)["life_stage_since"] == written(100)


def test_what_declares_a_stage_is_defined() -> None:
    defined = Definitions(life_stages=LifeStages(events={"graduated": Declared("starting_out", 0.4)}))
    customer = folded(event("graduated", 3), event("life.marriage", 9), definitions=defined)
    assert seen(customer, 9, defined)["life_stage"] == "starting_out"


def test_whom_to_believe_is_defined() -> None:
    defined = Definitions(life_stages=LifeStages(said=Evidence(9, 0.9, 30)))
    customer = folded(said("single", 10), by_hand("married", 12))
    assert (seen(customer, 12)["life_stage"], seen(customer, 12, defined)["life_stage"]) == ("married", "single")


def test_a_hand_may_say_that_nobody_knows() -> None:
    customer = folded(said("married", 0), by_hand(None, 5))
    assert seen(customer, 5) == {}
    assert shown(customer, 5)["now"] is None


@pytest.mark.parametrize("stage", [5, True, ["married"], {"a": 1}, "x" * 61])
def test_what_is_no_stage_says_nothing(stage: Any) -> None:
    assert seen(folded(by_rule(stage, 1)), 1) == {}


def test_too_many_stages_leave_the_same_ones_in_whatever_order() -> None:
    events = [said(f"stage-{number}", number) for number in range(60)]
    one, other = folded(*events), folded(*events[::-1])
    assert one.life_stage == other.life_stage
    assert one.life_stage is not None and len(one.life_stage.claims["said"]) == STAGES_MAX


STAGES = ("single", "married", "family", None)


def statements(chance: random.Random) -> list[Occurrence]:
    found = []
    for minute in range(chance.randint(1, 10)):
        day = chance.randint(0, 40)
        found.append(
            chance.choice(
                [
                    said(chance.choice(STAGES), day, minute),
                    by_rule(chance.choice(STAGES), day, minute),
                    by_hand(chance.choice(STAGES), day, minute),
                    event("life.marriage", day, minute, on=written(day + chance.randint(-20, 20))),
                    event("life.childbirth", day, minute),
                ]
            )
        )
    return found


@settings(max_examples=1_000, deadline=None)
@given(st.integers(0, 2**32))
def test_no_order_of_arrival_matters_and_a_change_by_time_falls_due(seed: int) -> None:
    chance = random.Random(seed)
    events = statements(chance)
    shuffled = chance.sample(events, len(events))
    one, other = folded(*events), folded(*shuffled)
    assert one.life_stage == other.life_stage
    due = LIFE_STAGE.due([one], Moment(FIRST_DAY + 40, DEFINED))
    before = seen(one, 40)
    for day in range(41, 80):
        now = seen(other, day)
        assert now == before or FIRST_DAY + day == due
        if FIRST_DAY + day == due:
            due, before = LIFE_STAGE.due([one], Moment(FIRST_DAY + day, DEFINED)), now


def test_the_last_word_by_hand_is_believed_for_its_days() -> None:
    for seed in range(300):
        events = [each for each in statements(random.Random(seed)) if not each.data.get("on")]
        last = by_hand("retired", 41)
        customer = folded(*events, last, said("single", 42), by_rule("family", 43), event("life.childbirth", 44))
        assert seen(customer, 45)["life_stage"] == "retired"


def test_a_message_says_the_stage_that_is_believed_and_not_what_a_source_says_of_it() -> None:
    customer = folded(said("single", 1), event("life.marriage", 3), event("identify", 4, traits={"tier": "gold"}))
    told = [person.for_delivery("c", customer, Moment(FIRST_DAY + day, DEFINED), FIRST).attributes for day in (2, 5)]
    assert told[1] == {"life_stage": "married", "life_stage_since": written(3), "tier": "gold"}
    assert told[0]["life_stage"] == "single"
    claimed = folded(event("identify", 1, traits={"life_stage_since": "1066-10-14", "tier": "gold"}))
    assert person.for_delivery("c", claimed, Moment(FIRST_DAY, DEFINED), FIRST).attributes == {"tier": "gold"}
