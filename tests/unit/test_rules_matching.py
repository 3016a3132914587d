"""Do the rules mean what their page says? One small story per promise."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from libs.common import clock
from libs.common.events import HOPS_MAX, Change, EventResolved, RuleTriggered
from services.rules.document import validation
from services.rules.engine import matching, spans, state
from services.rules.engine.aggregates import DISTINCT_PER_PANE_MAX
from services.rules.engine.firing import Effects
from services.rules.engine.snapshot import Snapshot, Source, compile_snapshot
from services.rules.engine.state import State

Document = dict[str, Any]
NOON_MS = clock.to_ms(datetime(2026, 3, 4, 12, tzinfo=UTC))
DAY_MS = 86_400_000
BIG: Document = {
    "type": "event",
    "event": "purchase",
    "where": [{"field": "event.amount", "op": "more_than", "value": 9}],
}


def rule(when: Document, id: str = "some-rule", **more: Any) -> Document:
    return {"id": id, "name": "x", "when": when, "emit": {"trigger": "offer.x"}, **more}


def snapshot_of(*rules: Document, **about: Any) -> Snapshot:
    for each in rules:
        validation.read(each)
    return compile_snapshot([Source(msgspec.json.encode(each), 1, **about) for each in rules], "Asia/Seoul")


def event(kind: str = "purchase", at_ms: int = NOON_MS, data: Any = None, **more: Any) -> EventResolved:
    given = {"profile": {}, "event_id": str(at_ms), "received_ms": at_ms, **more}
    given["profile"] = msgspec.Raw(msgspec.json.encode(given["profile"]))
    return EventResolved(
        customer_id="c",
        person_id="p",
        type=kind,
        source="pos-1",
        time=clock.from_ms(at_ms),
        data=msgspec.Raw(msgspec.json.encode({"amount": 10} if data is None else data)),
        **given,
    )


def play(snapshot: Snapshot, own: State, *events: EventResolved) -> list[RuleTriggered]:
    out = Effects()
    for each in events:
        hit = matching.match(snapshot, each)
        if hit is not None:
            matching.step(snapshot, each, hit, own, (), out)
    return out.triggers


def test_a_redelivered_event_has_no_second_effect() -> None:
    counting = {"type": "measure", "measure": {"of": "count", "event": "visit", "over": {"last": "7d"}}, "reaches": 2}
    own = State("c")
    visit = event("visit")
    assert play(snapshot_of(rule(counting)), own, visit, visit, visit) == []


def test_the_id_of_a_trigger_depends_on_rule_customer_and_event_and_not_on_the_version() -> None:
    body = msgspec.json.encode(rule(BIG))
    first, second = (compile_snapshot([Source(body, version)], "UTC") for version in (1, 2))
    one, other = play(first, State("c"), event()), play(second, State("c"), event())
    assert one[0].trigger_id == other[0].trigger_id
    assert (one[0].rule_version, other[0].rule_version) == (1, 2)
    assert play(first, State("c"), event(event_id="another"))[0].trigger_id != one[0].trigger_id


def test_a_rule_that_sets_a_field_adds_a_hop_and_stops_setting_after_the_last() -> None:
    setting = rule(BIG, emit={"trigger": "stage.set", "set": {"profile.life_stage": "new"}})
    first = play(snapshot_of(setting), State("c"), event(hops=0))[0]
    assert (first.sets, first.hops) == ({"life_stage": "new"}, 1)
    last = play(snapshot_of(setting), State("c"), event(hops=HOPS_MAX))[0]
    assert (last.sets, last.hops) == ({}, HOPS_MAX)
    assert play(snapshot_of(rule(BIG)), State("c"), event(hops=1))[0].hops == 1


@pytest.mark.parametrize("flag", ["bot", "test"])
def test_traffic_behind_which_is_no_customer_means_nothing_to_any_rule(flag: str) -> None:
    change = {"type": "change", "field": "profile.tier", "to": ["gold"]}
    snapshot = snapshot_of(rule(BIG), rule(change, id="another-rule"))
    moved = {"tier": Change(None, "gold")}
    assert len(play(snapshot, State("c"), event(changed=moved))) == 2
    assert play(snapshot, State("c"), event(changed=moved, traffic=flag)) == []


@pytest.mark.parametrize("amount", [10, "10.00", 9.5])
def test_a_number_may_be_written_as_text(amount: Any) -> None:
    assert play(snapshot_of(rule(BIG)), State("c"), event(data={"amount": amount}))


@pytest.mark.parametrize("data", [{"amount": "ten"}, {"amount": True}, {"amount": None}, {"amount": {}}, [], 5])
def test_a_value_of_another_type_does_not_match(data: Any) -> None:
    assert not play(snapshot_of(rule(BIG)), State("c"), event(data=data))


def test_a_list_matches_by_any_of_its_members_and_once() -> None:
    where = [{"field": "event.items.sku", "op": "in", "value": ["a", "b"]}]
    rules = [rule({"type": "event", "event": "purchase", "where": where})]
    rules += [
        rule(
            {
                "type": "event",
                "event": "purchase",
                "where": [{"field": "event.items.sku", "op": "is", "value": f"s{n}"}],
            },
            id=f"rule-{n}",
        )
        for n in range(20)
    ]
    bought = event(data={"items": [{"sku": "b"}, {"sku": "a"}, {"sku": "s3"}]})
    found = play(snapshot_of(*rules), State("c"), bought)
    assert sorted(trigger.rule_id for trigger in found) == ["rule-3", "some-rule"]


def test_the_envelope_is_looked_at_where_the_data_has_no_such_field() -> None:
    where = [{"field": "event.channel", "op": "is", "value": "web"}]
    snapshot = snapshot_of(rule({"type": "event", "event": "purchase", "where": where}))
    assert play(snapshot, State("c"), event(channel="web"))
    assert not play(snapshot, State("c"), event(channel="web", data={"channel": "pos"}))


def test_a_rule_may_ask_for_the_region_of_the_branch_and_whether_there_is_one() -> None:
    here = {"field": "event.region", "op": "is", "value": "capital"}
    nowhere = {"field": "event.region", "op": "missing"}
    told = rule({"type": "change", "field": "profile.tier"}, id="told")
    told["emit"]["include"] = {"where": "event.region"}
    snapshot = snapshot_of(
        rule({"type": "event", "event": "purchase", "where": [here]}, id="here"),
        rule({"type": "event", "event": "purchase", "where": [nowhere]}, id="nowhere"),
        told,
    )
    changed = {"tier": Change("basic", "gold")}

    def found(kind: str = "purchase", **more: Any) -> list[tuple[str, Any]]:
        return [(each.rule_id, each.include.get("where")) for each in play(snapshot, State("c"), event(kind, **more))]

    assert found(region="capital") == [("here", None)]
    assert found() == [("nowhere", None)]
    assert found("visit", changed=changed, region="capital") == [("told", "capital")]
    assert found("visit", changed=changed) == [("told", None)]


def test_truth_is_not_the_number_one() -> None:
    rules = [
        rule({"type": "event", "event": "a", "where": [{"field": "event.x", "op": "is", "value": value}]}, id=f"is-{n}")
        for n, value in enumerate([1, True, "1", 0, False, "true"])
    ]
    snapshot = snapshot_of(*rules)

    def found(value: Any) -> list[str]:
        return sorted(t.rule_id for t in play(snapshot, State("c"), event("a", data={"x": value})))

    assert found(True) == ["is-1"]
    assert found(1) == found(1.0) == ["is-0"]
    assert found("1") == ["is-0", "is-2"]


def test_many_ranges_meet_their_borders_exactly() -> None:
    rules = [
        rule(
            {"type": "event", "event": "a", "where": [{"field": "event.x", "op": "between", "value": [n, n + 2]}]},
            id=f"range-{n:02}",
        )
        for n in range(30)
    ]
    found = play(snapshot_of(*rules), State("c"), event("a", data={"x": 7}))
    assert [trigger.rule_id for trigger in found] == ["range-05", "range-06", "range-07"]


def test_a_measure_fires_on_the_crossing_and_again_only_after_it_fell_below() -> None:
    counting = {"type": "measure", "measure": {"of": "count", "event": "visit", "over": {"last": "2d"}}, "reaches": 2}
    days = (0, 0, 1, 5, 5)
    visits = [event("visit", NOON_MS + day * DAY_MS + n) for n, day in enumerate(days)]
    found = play(snapshot_of(rule(counting)), State("c"), *visits)
    assert [trigger.event_id for trigger in found] == [visits[1].event_id, visits[4].event_id]


def test_a_late_event_counts_in_its_own_pane() -> None:
    counting = {"type": "measure", "measure": {"of": "count", "event": "visit", "over": {"last": "3d"}}, "reaches": 3}
    late = event("visit", NOON_MS - DAY_MS, received_ms=NOON_MS + 1)
    found = play(snapshot_of(rule(counting)), State("c"), event("visit", NOON_MS - 2 * DAY_MS), event("visit"), late)
    assert [trigger.event_id for trigger in found] == [late.event_id]


def test_what_comes_too_late_is_counted_and_does_not_fire() -> None:
    snapshot = snapshot_of(rule(BIG, time={"accept_late": "1h"}))
    out = Effects()
    late = event(received_ms=NOON_MS + 2 * 3_600_000)
    hit = matching.match(snapshot, late)
    assert hit is not None
    matching.step(snapshot, late, hit, State("c"), (), out)
    assert not out.triggers
    assert out.outcomes["some-rule", "late"] == 1


def test_a_calendar_window_begins_at_the_customers_own_midnight() -> None:
    measure = {"of": "count", "event": "visit", "over": {"calendar": "day"}}
    snapshot = snapshot_of(rule({"type": "measure", "measure": measure, "reaches": 2}))
    # 03:30 UTC on 4 March is still 3 March in New York and long 4 March in Seoul.
    early = clock.to_ms(datetime(2026, 3, 4, 3, 30, tzinfo=UTC))
    for zone, fires in (("America/New_York", False), ("Asia/Seoul", True)):
        seen = [event("visit", at, profile={"zone": zone}) for at in (early, early + 3 * 3_600_000)]
        assert bool(play(snapshot, State("c"), *seen)) is fires


def test_a_cooldown_looks_at_firings_on_both_sides_of_a_late_one() -> None:
    snapshot = snapshot_of(rule(BIG, limits={"repeat": "always", "cooldown": "2d"}))
    late = event(at_ms=NOON_MS - DAY_MS, received_ms=NOON_MS)
    older = event(at_ms=NOON_MS - 2 * DAY_MS, received_ms=NOON_MS)
    found = play(snapshot, State("c"), event(), late, older)
    assert [trigger.event_id for trigger in found] == [str(NOON_MS), older.event_id]


def test_a_rule_outside_its_validity_or_ramp_is_silent() -> None:
    ended = rule(BIG, valid={"until": "2026-03-04T12:00:00Z"})
    assert not play(snapshot_of(ended), State("c"), event())
    assert not play(snapshot_of(rule(BIG), ramp_percent=0), State("c"), event())
    share = sum(
        bool(
            play(
                snapshot_of(rule(BIG), ramp_percent=30), State("c"), msgspec.structs.replace(event(), person_id=str(n))
            )
        )
        for n in range(400)
    )
    assert 80 < share < 160


def test_state_is_bounded_and_what_has_ended_is_swept() -> None:
    distinct = {"of": "distinct", "event": "visit", "field": "event.page", "over": {"last": "30d"}}
    absence = {"type": "absence", "after": {"event": "visit"}, "no": {"event": "purchase"}, "for": "1h"}
    snapshot = snapshot_of(
        rule({"type": "measure", "measure": distinct, "reaches": 5}, limits={"cooldown": "3d"}),
        rule(absence, id="wait-here"),
    )
    own = State("c")
    for n in range(DISTINCT_PER_PANE_MAX + 500):
        play(snapshot, own, event("visit", NOON_MS + n * 1000, {"page": f"/{n}"}))
        own.sweep()
    assert len(state.encode(own)) < 40_000
    assert own.waiting
    own.absences["wait-here"].waits.clear()
    own.latest_ms += 120 * DAY_MS
    own.sweep()
    assert own == State("c", "p", own.latest_ms)


def test_state_survives_as_bytes() -> None:
    own = State("c")
    counting = {"of": "average", "event": "visit", "field": "event.amount", "over": {"last": "7d"}}
    play(snapshot_of(rule({"type": "measure", "measure": counting, "reaches": 1})), own, event("visit"))
    assert state.decode(state.encode(own)) == own


@pytest.mark.parametrize(
    ("start", "span", "expected"),
    [
        ("2026-01-31T12:00:00+09:00", "1mo", "2026-02-28T12:00:00+09:00"),
        ("2024-02-29T12:00:00+09:00", "1y", "2025-02-28T12:00:00+09:00"),
        ("2026-03-04T12:00:00+09:00", "14d", "2026-03-18T12:00:00+09:00"),
    ],
)
def test_a_span_of_months_follows_the_calendar(start: str, span: str, expected: str) -> None:
    reached = spans.after(clock.to_ms(datetime.fromisoformat(start)), spans.parse(span), ZoneInfo("Asia/Seoul"))
    assert clock.from_ms(reached) == datetime.fromisoformat(expected)


def test_the_index_finds_exactly_what_asking_every_rule_finds() -> None:
    fields: list[tuple[str, list[Any]]] = [("a", [f"v{n}" for n in range(7)]), ("b", list(range(5)))]
    rules = [
        rule({"type": "event", "event": "e", "where": where}, id=f"rule-{n:03}")
        for n, where in enumerate(
            [
                {"field": f"event.{name}", "op": "is", "value": value},
                {"field": "event.x", "op": "at_least", "value": low},
            ][: 1 + low % 2]
            for name, values in fields
            for value in values
            for low in range(12)
        )
    ]
    together = snapshot_of(*rules)
    alone = [snapshot_of(each) for each in rules]
    for n in range(200):
        given = event("e", data={"a": f"v{n % 9}", "b": [n % 5, "3"] if n % 3 else n % 6, "x": n % 14})
        expected = sorted(t.rule_id for each in alone for t in play(each, State("c"), given))
        assert sorted(t.rule_id for t in play(together, State("c"), given)) == expected
