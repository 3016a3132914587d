"""Does it say why a rule fires or does not, by the very state that the engine keeps?"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from libs.common import clock
from libs.common.events import Change, EventResolved
from services.rules.document import language, validation
from services.rules.engine import matching
from services.rules.engine.firing import Effects, Expiry
from services.rules.engine.snapshot import Snapshot, Source, compile_snapshot
from services.rules.engine.state import State
from services.rules.explaining import progress as explaining
from services.rules.explaining import retracing
from services.rules.explaining.progress import Explanation, Known

Document = dict[str, Any]
# A Monday noon in Seoul.
NOON = datetime(2026, 11, 16, 3, tzinfo=UTC)
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
VISITS: Document = {
    "type": "measure",
    "measure": {"of": "count", "event": "visit", "over": {"last": "7d"}},
    "reaches": 3,
}
BIG: Document = {
    "type": "event",
    "event": "purchase",
    "where": [
        {"field": "event.category", "op": "in", "value": ["tv", "audio"]},
        {"field": "event.amount", "op": "at_least", "value": 500},
    ],
}
BASKET: Document = {
    "type": "absence",
    "after": {"event": "cart_add", "where": [{"field": "event.amount", "op": "at_least", "value": 50}]},
    "no": {"event": "purchase"},
    "for": "24h",
}


class Play:
    """One rule, one customer, and what has happened."""

    def __init__(self, when: Document, ramp_percent: int = 100, active: bool = True, **more: Any) -> None:
        document = {"id": "some-rule", "name": "x", "when": when, "emit": {"trigger": "offer.x"}, **more}
        self.rule = validation.read(document)
        self.snapshot: Snapshot = compile_snapshot(
            [Source(msgspec.json.encode(document), 4, active, ramp_percent)], "Asia/Seoul"
        )
        self.own = State("c")
        self.out = Effects()

    def happens(self, kind: str, at: datetime = NOON, profile: Document | None = None, **data: Any) -> None:
        changed = data.pop("changed", {})
        event = EventResolved(
            event_id=f"{kind}@{at:%d-%H:%M}",
            customer_id="c",
            person_id="p",
            type=kind,
            source="till",
            time=at,
            received_ms=clock.to_ms(at),
            data=msgspec.Raw(msgspec.json.encode(data)),
            profile=msgspec.Raw(msgspec.json.encode(profile or {})),
            changed=changed,
        )
        hit = matching.match(self.snapshot, event)
        if hit is not None:
            matching.step(self.snapshot, event, hit, self.own, (), self.out)

    def asked(self, now: datetime, known: Known | None = None, **more: Any) -> Explanation:
        return explaining.explain(self.snapshot, self.rule, [self.own], known or Known(), now, **more)


def test_of_three_visits_the_third_is_missing_and_until_when_it_would_still_do() -> None:
    play = Play(VISITS)
    play.happens("visit", NOON)
    play.happens("visit", NOON + DAY)
    found = play.asked(NOON + 2 * DAY)
    assert found.would_fire is False
    # Monday's visit counts in the seven days up to Sunday.
    assert found.because == ["2 of 3 visit events in the last 7 days; one more by 2026-11-22 would fire it"]
    measure = found.when.measure
    assert measure is not None
    assert (measure.value, measure.wanted, measure.missing) == (2, 3, 1)
    assert [(each.pane, each.worth, each.leaves) for each in measure.panes] == [
        ("2026-11-16", 1, "2026-11-23"),
        ("2026-11-17", 1, "2026-11-24"),
    ]


@pytest.mark.parametrize("on_the_last_day", [True, False])
def test_the_day_that_is_named_is_the_last_on_which_one_more_does_it(on_the_last_day: bool) -> None:
    play = Play(VISITS)
    play.happens("visit", NOON)
    play.happens("visit", NOON + DAY)
    measure = play.asked(NOON + 2 * DAY).when.measure
    assert measure is not None and measure.reach_by is not None
    last = datetime.fromisoformat(f"{measure.reach_by}T12:00:00+09:00")
    play.happens("visit", last if on_the_last_day else last + DAY)
    assert len(play.out.triggers) == on_the_last_day


def test_a_measure_that_was_reached_says_when_it_will_have_fallen_below() -> None:
    play = Play(VISITS)
    for day in range(3):
        play.happens("visit", NOON + day * DAY)
    found = play.asked(NOON + 3 * DAY)
    assert len(play.out.triggers) == 1
    assert found.would_fire is False
    assert found.because[0].endswith(
        "less than that from 2026-11-23 on; it was reached, and fires again only after it has fallen below"
    )


def test_a_sum_says_how_much_is_missing() -> None:
    measure = {"of": "sum", "event": "purchase", "field": "event.amount", "over": {"calendar": "month"}}
    play = Play({"type": "measure", "measure": measure, "reaches": 100})
    play.happens("purchase", NOON, amount="60.50")
    assert play.asked(NOON + DAY).because == [
        "the sum of event.amount over purchase events is 60.5 in this month, of 100;"
        " 39.5 more by 2026-11-30 would fire it"
    ]


def test_linked_records_are_weighed_together() -> None:
    play = Play(VISITS)
    play.happens("visit", NOON)
    other = play.own
    play.own = State("d")
    play.happens("visit", NOON + DAY)
    alone = explaining.explain(play.snapshot, play.rule, [play.own], Known(), NOON + DAY)
    together = explaining.explain(play.snapshot, play.rule, [play.own, other], Known(), NOON + DAY)
    assert alone.when.measure is not None and together.when.measure is not None
    assert (alone.when.measure.value, together.when.measure.value) == (1, 2)


def test_each_condition_says_what_was_found_and_by_how_much_it_misses() -> None:
    who = [
        {"field": "profile.tier", "op": "in", "value": ["gold", "platinum"]},
        {"field": "profile.points", "op": "at_least", "value": 1000},
        {"field": "profile.consent_email", "op": "is", "value": True},
    ]
    play = Play(BIG, who=who)
    profile = {"tier": "silver", "points": 760, "consent_email": True}
    found = play.asked(NOON, Known(profile=profile, event={"type": "purchase", "category": "tv", "amount": 450}))
    assert [each.holds for each in found.who] == [False, False, True]
    assert (found.who[1].found, found.who[1].wanted, found.who[1].misses_by) == (760, 1000, 240)
    assert found.who[0].detail == 'profile.tier is "silver"; wanted: is one of ["gold","platinum"]'
    assert [each.holds for each in found.when.conditions] == [True, False]
    assert found.when.detail == "event.amount is 450; wanted: at least 500; 50 off"
    assert found.would_fire is False and len(found.because) == 3


def test_with_everything_given_it_answers_as_the_engine_does() -> None:
    play = Play(BIG, who=[{"field": "profile.tier", "op": "is", "value": "gold"}])
    for category in ("tv", "toys"):
        for tier in ("gold", "basic"):
            data = {"category": category, "amount": 600}
            fired = len(play.out.triggers)
            play.happens("purchase", NOON, {"tier": tier}, **data)
            known = Known(profile={"tier": tier}, event={"type": "purchase", **data})
            assert play.asked(NOON, known).would_fire is (len(play.out.triggers) > fired)


def test_a_profile_that_rules_do_not_know_is_said_to_be_unknown() -> None:
    play = Play(VISITS, who=[{"field": "profile.tier", "op": "is", "value": "gold"}])
    found = play.asked(NOON)
    assert found.who[0].holds is None
    assert "is not known to rules until the customer's next event" in found.who[0].detail
    remembered = play.asked(NOON, Known(fields={"profile.tier": "basic"}))
    assert remembered.who[0].holds is False


def test_groups_and_measures_in_who_are_judged_within() -> None:
    visits = {"measure": VISITS["measure"], "op": "at_least", "value": 2}
    who = [{"any": [{"field": "profile.tier", "op": "is", "value": "gold"}, visits]}, {"not": visits}]
    play = Play(BIG, who=who)
    play.happens("visit", NOON)
    found = play.asked(NOON, Known(profile={"tier": "basic"}))
    assert [each.holds for each in found.who] == [False, True]
    assert (
        found.who[0].inner[1].detail.startswith("1 of 2 visit events in the last 7 days; one more by 2026-11-22 would")
    )
    play.happens("visit", NOON + HOUR)
    assert [each.holds for each in play.asked(NOON + HOUR, Known(profile={})).who] == [True, False]


def test_a_wait_is_shown_with_its_due_instant_and_what_would_end_it() -> None:
    play = Play(BASKET)
    assert play.asked(NOON).because == ["nothing is waited for: no cart_add has begun a wait"]
    play.happens("cart_add", NOON, amount=70)
    found = play.asked(NOON + HOUR)
    assert [(each.since, each.due, each.event_id) for each in found.when.waits] == [
        (NOON, NOON + DAY, "cart_add@16-03:00")
    ]
    assert found.would_fire is True
    assert found.when.detail.endswith("until 2026-11-17 03:00:00 UTC; fires then unless a purchase comes")
    play.happens("purchase", NOON + 2 * HOUR)
    assert play.asked(NOON + 3 * HOUR).when.waits == []


@pytest.mark.parametrize(
    ("limits", "firings", "limit", "until"),
    [
        ({"repeat": "once"}, 1, "repeat", None),
        ({"cooldown": "30d"}, 1, "cooldown", NOON + 30 * DAY),
        ({"max": {"times": 2, "per": "10d"}}, 2, "max", NOON + 10 * DAY),
        ({"max": {"times": 2, "per": "10d"}, "cooldown": "1d"}, 2, "max", NOON + 10 * DAY),
    ],
)
def test_a_limit_says_until_when_it_holds_back(
    limits: Document, firings: int, limit: str, until: datetime | None
) -> None:
    play = Play(BIG, limits=limits)
    assert play.asked(NOON).limits.holds is True
    for number in range(firings):
        play.happens("purchase", NOON + number * DAY, category="tv", amount=600)
    assert len(play.out.triggers) == firings
    found = play.asked(NOON + 2 * DAY).limits
    assert (found.holds, found.limit, found.until) == (False, limit, until)
    assert found.fired_at[-1] == NOON
    if until is not None:
        assert play.asked(until - timedelta(seconds=1)).limits.holds is False
        assert play.asked(until).limits.holds is True


def test_what_is_paused_outside_its_validity_or_its_ramp_says_so() -> None:
    assert Play(BIG, active=False).asked(NOON, status="paused").because[0] == "the rule is paused"
    valid = {"from": "2026-12-01T00:00:00+09:00", "until": "2026-12-31T00:00:00+09:00"}
    play = Play(BIG, valid=valid)
    assert play.asked(NOON).because[0] == "the rule is valid from 2026-11-30 15:00:00 UTC on"
    assert play.asked(NOON + 20 * DAY).in_force.holds is True
    assert play.asked(NOON + 60 * DAY).because[0] == "the rule was valid until 2026-12-30 15:00:00 UTC"
    assert Play(BIG, ramp_percent=0).asked(NOON).because[0] == "the person is not among the 0 % it is in force for"


def test_who_is_said_to_be_in_the_ramp_is_who_fires() -> None:
    play = Play(BIG, ramp_percent=50)
    answers = []
    for number in range(20):
        play.own = State(f"c{number}", f"p{number}")
        answers.append(play.asked(NOON).ramp.holds)
    fired = [firing_of(play, f"p{number}") for number in range(20)]
    assert answers == fired and len(set(answers)) == 2


def firing_of(play: Play, person_id: str) -> bool:
    out = Effects()
    event = EventResolved("e", "c", person_id, "purchase", "till", NOON, clock.to_ms(NOON))
    event = msgspec.structs.replace(event, data=msgspec.Raw(b'{"category":"tv","amount":600}'))
    hit = matching.match(play.snapshot, event)
    assert hit is not None
    matching.step(play.snapshot, event, hit, State("c"), (), out)
    return bool(out.triggers)


@pytest.mark.parametrize(
    ("when", "happened", "detail"),
    [
        (
            {"type": "sequence", "steps": [{"event": "quote"}, {"event": "visit"}], "within": "2d"},
            "quote",
            "1 of 2 steps have happened; a visit by 2026-11-18 03:00:00 UTC is next",
        ),
        (
            {"type": "dormancy", "no": {"event": "visit"}, "for": "30d"},
            "visit",
            "silent for 30 days if nothing happens; due 2026-12-16 03:00:00 UTC, unless a visit comes",
        ),
        (
            {"type": "change", "field": "profile.tier", "to": ["gold"]},
            "visit",
            'profile.tier is "basic"; waits until it moves to "gold"',
        ),
        (
            {"type": "date", "field": "profile.birthday", "every": "year", "at": "09:00"},
            "profile.changed",
            'profile.birthday is "1990-12-24"; due 2026-12-24 00:00:00 UTC, fires then',
        ),
    ],
)
def test_every_kind_says_how_far_the_customer_is(when: Document, happened: str, detail: str) -> None:
    play = Play(when)
    changed = {"birthday": Change(None, "1990-12-24")} if when["type"] == "date" else {}
    play.happens(happened, NOON, {"tier": "basic", "birthday": "1990-12-24"}, changed=changed)
    assert play.asked(NOON + HOUR, Known(profile={"tier": "basic"})).when.detail == detail


def test_a_deviation_shows_both_sides() -> None:
    measure = {"of": "count", "event": "visit", "over": {"last": "7d"}}
    play = Play({"type": "deviation", "measure": measure, "against": {"periods": 1}, "by_percent": 50})
    for days in (0, 1, 2, 3, 7):
        play.happens("visit", NOON + days * DAY)
    found = play.asked(NOON + 13 * DAY).when
    assert found.detail == (
        "the number of visit events in the last 7 days is 1, against 4 before: -75.0 %; wanted: a drop by 50 %"
    )
    assert found.holds is True


def test_what_a_trigger_rested_on_is_shown_condition_by_condition() -> None:
    play = Play(BIG, who=[{"field": "profile.tier", "op": "is", "value": "gold"}])
    play.happens("purchase", NOON, {"tier": "gold", "phone": "secret"}, category="tv", amount=620, card="secret")
    [grounds] = play.out.grounds
    found = retracing.retrace(play.rule, grounds)
    assert [(each.event_id, each.time) for each in found.events] == [("purchase@16-03:00", NOON)]
    assert [(each.found, each.holds) for each in found.where] == [("tv", True), (620, True)]
    assert [(each.found, each.holds) for each in found.who] == [("gold", True)]
    assert "secret" not in repr(grounds), "what no condition looks at is not written down"


def test_a_trigger_of_a_measure_shows_the_days_that_made_it() -> None:
    visits = {"measure": VISITS["measure"], "op": "at_least", "value": 2}
    play = Play(VISITS, who=[visits])
    for day in (-1, 1, 6, 7):
        play.happens("visit", NOON + day * DAY)
    [grounds] = play.out.grounds
    found = retracing.retrace(play.rule, grounds)
    assert found.measure is not None
    assert [(each.pane, each.worth) for each in found.measure.panes] == [
        ("2026-11-17", 1),
        ("2026-11-22", 1),
        ("2026-11-23", 1),
    ]
    assert (found.measure.value, found.measure.wanted, found.who[0].found, found.who[0].holds) == (3, 3, 3, True)


def test_days_outside_the_window_are_not_among_those_that_made_it() -> None:
    measure = {"of": "count", "event": "visit", "over": {"calendar": "week"}}
    play = Play({"type": "measure", "measure": measure, "reaches": 2})
    for day in (-1, 0, 1):
        play.happens("visit", NOON + day * DAY)
    assert [(pane.pane, pane.worth) for pane in shown_panes(play)] == [("2026-11-16", 1), ("2026-11-17", 1)]


def shown_panes(play: Play) -> list[retracing.PaneThen]:
    found = retracing.retrace(play.rule, play.out.grounds[0]).measure
    assert found is not None
    return found.panes


def test_a_trigger_of_a_wait_shows_the_event_that_began_it_and_what_it_had() -> None:
    play = Play(BASKET)
    play.happens("cart_add", NOON, amount=70)
    [due] = play.out.timers.values()
    expiry = msgspec.msgpack.decode(due.payload, type=Expiry)
    matching.expire(play.snapshot, expiry, play.own, (), play.out)
    found = retracing.retrace(play.rule, play.out.grounds[0])
    assert [(each.event_id, each.time) for each in found.events] == [("cart_add@16-03:00", NOON)]
    assert [(each.found, each.holds) for each in found.where] == [(70, True)]


def test_a_trigger_of_a_sequence_shows_each_of_its_events() -> None:
    steps = [
        {"event": "quote", "where": [{"field": "event.amount", "op": "more_than", "value": 9}]},
        {"event": "visit", "where": [{"field": "event.shop", "op": "is", "value": "north"}]},
    ]
    play = Play({"type": "sequence", "steps": steps, "within": "2d"})
    play.happens("quote", NOON, amount=10)
    play.happens("visit", NOON + DAY, shop="north")
    found = retracing.retrace(play.rule, play.out.grounds[0])
    assert [each.event_id for each in found.events] == ["quote@16-03:00", "visit@17-03:00"]
    assert [(each.found, each.holds) for each in found.where] == [(10, True), ("north", True)]


def test_a_huge_value_is_written_down_in_part() -> None:
    where = [{"field": "event.items.sku", "op": "contains", "value": "s1"}]
    play = Play({"type": "event", "event": "purchase", "where": where})
    play.happens("purchase", NOON, items=[{"sku": f"s{number}" * 300} for number in range(400)])
    [grounds] = play.out.grounds
    assert len(msgspec.msgpack.encode(grounds)) < 30_000


# --- values of another type ------------------------------------------------------------------------------------------


def amounts(count: int, **more: Any) -> list[Document]:
    return [
        {
            "type": "event",
            "event": "purchase",
            "where": [
                {"field": "event.amount", "op": "between", "value": [number, number + 500]},
                {"field": "event.category", "op": "is", "value": "tv"},
            ],
        }
        for number in range(count)
    ]


@pytest.mark.parametrize("count", [1, 3, 12])
def test_a_value_that_cannot_be_compared_is_counted_for_each_rule_that_it_concerns(count: int) -> None:
    sources = [
        Source(msgspec.json.encode({"id": f"rule-{n}", "name": "x", "when": when, "emit": {"trigger": "offer.x"}}), 1)
        for n, when in enumerate(amounts(count))
    ]
    snapshot = compile_snapshot(sources, "Asia/Seoul")

    def seen(data: Document) -> dict[str, int]:
        event = EventResolved("e", "c", "p", "purchase", "till", NOON, clock.to_ms(NOON))
        matching.match(snapshot, msgspec.structs.replace(event, data=msgspec.Raw(msgspec.json.encode(data))))
        return dict(snapshot.oddities.take())

    everybody = {f"rule-{n}": 1 for n in range(count)}
    assert seen({"amount": "a lot", "category": "tv"}) == everybody
    assert seen({"amount": {"krw": 5}, "category": "tv"}) == everybody
    assert seen({"amount": "a lot", "category": "toys"}) == {}, "no rule means this event at all"
    assert seen({"amount": "100.5", "category": "tv"}) == {}
    assert seen({"category": "tv"}) == {}, "what is missing is no odd value"
    assert snapshot.oddities.take() == {}


def test_an_odd_value_in_who_is_counted_as_well() -> None:
    play = Play(BIG, who=[{"field": "profile.points", "op": "more_than", "value": 5}])
    play.happens("purchase", NOON, {"points": "many"}, category="tv", amount=600)
    assert play.out.triggers == []
    assert play.snapshot.oddities.take() == {"some-rule": 1}
    found = play.asked(NOON, Known(profile={"points": "many"}))
    assert found.who[0].detail == 'profile.points is "many"; wanted: more than 5, which it cannot be compared with'


def test_what_cannot_be_added_up_is_counted_for_each_rule_that_measures_it() -> None:
    measure = {"of": "sum", "event": "purchase", "field": "event.amount", "over": {"last": "7d"}}
    play = Play({"type": "measure", "measure": measure, "reaches": 100})
    amounts: list[Any] = ["60.50", None, [], "a lot"]
    for amount in amounts:
        play.happens("purchase", NOON + HOUR * len(play.own.seen), amount=amount)
    assert play.snapshot.oddities.take() == {"some-rule": 1}


def test_a_stored_document_reads_as_the_rule_that_was_explained() -> None:
    play = Play(BIG)
    assert language.decode(msgspec.json.encode(play.rule)).when == play.rule.when


def test_only_of_the_first_measures_of_a_rule_it_is_said_what_becomes_of_them() -> None:
    measures = [
        {"measure": {**VISITS["measure"], "over": {"last": f"{7 + n}d"}}, "op": "at_least", "value": 3}
        for n in range(explaining.LOOKED_AHEAD_MAX)
    ]
    play = Play(VISITS, who=measures)
    play.happens("visit", NOON)
    found = play.asked(NOON + DAY)
    weighed = [found.when.measure, *(each.measure for each in found.who)]
    assert [each is not None and each.value for each in weighed] == [1] * len(weighed)
    told = [each is not None and each.reach_by is not None for each in weighed]
    assert told == [True] * explaining.LOOKED_AHEAD_MAX + [False]
