"""Whom does an event without a person set a rule off for, and whose turn is when? Without servers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import msgspec
import pytest

from libs.common import clock
from libs.common.events import EventResolved
from services.rules.document import cautions, validation
from services.rules.document.everyone import audience_of, is_for_everyone
from services.rules.document.language import Rule
from services.rules.engine import audience, matching
from services.rules.engine.firing import Effects
from services.rules.engine.snapshot import Snapshot, Source, compile_snapshot
from services.rules.engine.state import State
from services.rules.fanout import pages, spreading, store
from services.rules.fanout.store import Running

NOW = datetime(2026, 11, 22, 3, 0, tzinfo=UTC)
CLOSING: dict[str, Any] = {
    "id": "branch-closing",
    "name": "Their branch closes",
    "when": {"type": "event", "event": "branch_closing"},
    "who": [
        {"field": "profile.favourite_branch", "op": "is", "field_value": "event.branch"},
        {"field": "profile.grade", "op": "in", "value": ["gold"]},
    ],
    "emit": {"trigger": "branch.closing", "reason": "service", "include": {"branch": "event.branch"}},
}


def rule(**changes: Any) -> Rule:
    return validation.read(CLOSING | changes)


def snapshot(*documents: dict[str, Any], version: int = 1, active: bool = True) -> Snapshot:
    sources = [Source(msgspec.json.encode(each), version, active) for each in documents or (CLOSING,)]
    return compile_snapshot(sources, "Asia/Seoul")


def event(kind: str = "branch_closing", at: datetime = NOW, **changes: Any) -> EventResolved:
    data = msgspec.Raw(msgspec.json.encode(changes.pop("data", {"branch": "gangnam"})))
    given: dict[str, Any] = {"everyone": True, "received_ms": clock.to_ms(at), "data": data} | changes
    return EventResolved("e-1", "everyone.1", "everyone.1", kind, "hq", at, **given)


def customer(name: str, branch: str = "gangnam", grade: str = "gold", **more: Any) -> State:
    profile = msgspec.json.encode({"favourite_branch": branch, "grade": grade})
    return State(name, more.pop("person_id", name), profile=profile, **more)


def reached(found: Snapshot, told: EventResolved, *states: State, others: tuple[State, ...] = ()) -> Effects:
    out = Effects()
    for concern in audience.concerned(found, told, out):
        for each in states:
            audience.reach(found, concern, each, others, out)
    return out


def test_it_fires_for_those_whose_profile_goes_with_the_event_and_says_of_which_event() -> None:
    out = reached(snapshot(), event(), customer("a"), customer("b", "jongno"), customer("c", grade="basic"))
    [trigger] = out.triggers
    assert (trigger.customer_id, trigger.event_id, trigger.occurred_at) == ("a", "e-1", NOW)
    assert (trigger.reason, trigger.include) == ("service", {"branch": "gangnam"})
    assert out.outcomes == {("branch-closing", "fired"): 1, ("branch-closing", "who"): 2}


def test_the_same_turn_again_makes_the_same_trigger_and_another_event_another() -> None:
    [one] = reached(snapshot(), event(), customer("a")).triggers
    [same] = reached(snapshot(version=2), event(), customer("a")).triggers
    [other] = reached(snapshot(), msgspec.structs.replace(event(), event_id="e-2"), customer("a")).triggers
    assert one.trigger_id == same.trigger_id != other.trigger_id


@pytest.mark.parametrize("changed", [{"time": NOW + timedelta(hours=1)}, {"source": "shop"}], ids=str)
def test_the_same_id_at_another_time_or_of_another_source_is_another_event(changed: dict[str, Any]) -> None:
    state, again = customer("a", linked=["a", "b"]), msgspec.structs.replace(event(), **changed)
    [one] = reached(snapshot(), event(), state).triggers
    [other] = reached(snapshot(), again, state).triggers
    assert one.event_id == other.event_id and one.trigger_id != other.trigger_id


def test_of_the_records_of_a_person_one_alone_fires() -> None:
    linked = ["a", "b"]
    a, b = (customer(each, person_id="p", linked=linked) for each in linked)
    found, out = snapshot(), Effects()
    [concern] = audience.concerned(found, event(), out)
    assert audience.reach(found, concern, b, [a], out) == "fired"
    assert audience.reach(found, concern, a, [b], out) == "told_already"
    assert [each.person_id for each in out.triggers] == ["p"]


def test_a_person_is_judged_by_the_profile_that_was_seen_last_whichever_record_holds_it() -> None:
    old = customer("a", "gangnam", latest_ms=1, linked=["a", "b"])
    new = customer("b", "jongno", latest_ms=2, linked=["a", "b"])
    assert reached(snapshot(), event(), old, others=(new,)).triggers == []
    assert len(reached(snapshot(), event(data={"branch": "jongno"}), old, others=(new,)).triggers) == 1


def test_limits_hold_back_over_several_events() -> None:
    document = CLOSING | {"limits": {"cooldown": "7d"}}
    state, out = customer("a"), Effects()
    for days in (0, 3, 8):
        told = msgspec.structs.replace(event(at=NOW + timedelta(days=days)), event_id=f"e-{days}")
        [concern] = audience.concerned(snapshot(document), told, out)
        audience.reach(snapshot(document), concern, state, (), out)
    assert [each.event_id for each in out.triggers] == ["e-0", "e-8"]


@pytest.mark.parametrize(
    ("told", "counted"),
    [
        (event(history=True), {}),
        (event(traffic="test"), {}),
        (event(data={"branch": "gangnam"}, received_ms=clock.to_ms(NOW + timedelta(days=8))), {"late": 1}),
        (event("weather"), {}),
    ],
    ids=["history", "test", "late", "another type"],
)
def test_what_is_old_flagged_or_late_begins_nothing(told: EventResolved, counted: dict[str, int]) -> None:
    out = Effects()
    assert audience.concerned(snapshot(), told, out) == []
    assert {outcome: count for (_, outcome), count in out.outcomes.items()} == counted


def test_a_rule_of_people_is_not_set_off_by_everyones_event_and_says_so() -> None:
    document = CLOSING | {"id": "own", "when": {"type": "event", "event": "route_closed"}}
    out = Effects()
    assert audience.concerned(snapshot(document), event("route_closed"), out) == []
    assert out.outcomes == {("own", "no_audience"): 1}
    document["when"]["concerns"] = "everyone"
    assert len(audience.concerned(snapshot(document), event("route_closed"), out)) == 1


def test_everyones_event_means_nothing_to_the_state_of_the_key_that_it_has() -> None:
    counting = CLOSING | {
        "id": "counting",
        "when": {
            "type": "measure",
            "reaches": 1,
            "measure": {"of": "count", "event": "branch_closing", "over": {"last": "1d"}},
        },
        "who": [],
        "emit": {"trigger": "x"},
    }
    assert matching.match(snapshot(counting, CLOSING), event()) is None


def test_such_an_event_with_a_person_sets_the_rule_off_for_that_person_alone() -> None:
    told = event(everyone=False, profile=msgspec.Raw(customer("a").profile))
    told = msgspec.structs.replace(told, customer_id="a", person_id="a")
    hit, out = matching.match(snapshot(), told), Effects()
    assert hit is not None
    matching.step(snapshot(), told, hit, State("a"), (), out)
    assert [each.customer_id for each in out.triggers] == ["a"]


def test_what_is_under_way_ends_when_the_rule_is_gone_silent_or_about_something_else() -> None:
    told, other = event(), CLOSING | {"when": {"type": "event", "event": "weather"}}
    narrower = CLOSING | {
        "when": {
            "type": "event",
            "event": "branch_closing",
            "where": [{"field": "event.branch", "op": "is", "value": "x"}],
        }
    }
    dropping = CLOSING | {"on_edit": "drop_running"}

    def goes_on(found: Snapshot) -> Any:
        return audience.still(found, "branch-closing", 1, told)

    assert goes_on(compile_snapshot([], "Asia/Seoul")) == "retired"
    assert goes_on(snapshot(active=False)) == "paused"
    assert [goes_on(snapshot(each, version=2)) for each in (other, narrower, dropping)] == ["edited"] * 3
    assert goes_on(snapshot(dropping)).rule.version == 1
    assert goes_on(snapshot(version=2)).rule.version == 2, "an edited one goes on in its new words"


# --- what can be asked before the event is there ---------------------------------------------------------------------


COUNT = {"of": "count", "event": "purchase", "over": {"last": "30d"}}


@pytest.mark.parametrize(
    ("condition", "kept"),
    [
        ({"field": "profile.grade", "op": "is", "value": "gold"}, True),
        ({"not": {"field": "profile.grade", "op": "is", "value": "gold"}}, True),
        ({"field": "profile.favourite_branch", "op": "is", "field_value": "event.branch"}, False),
        ({"field": "event.branch", "op": "is", "field_value": "profile.favourite_branch"}, False),
        (
            {
                "any": [
                    {"field": "profile.grade", "op": "exists"},
                    {"not": {"field": "profile.x", "op": "is", "field_value": "event.branch"}},
                ]
            },
            False,
        ),
        ({"measure": COUNT, "op": "at_least", "value": 2}, True),
        ({"measure": COUNT, "op": "at_most", "value": 2}, False),
        ({"not": {"measure": COUNT, "op": "at_least", "value": 2}}, False),
        ({"measure": COUNT | {"over": {"last": "30d", "skip": "30d"}}, "op": "at_least", "value": 2}, False),
        ({"measure": COUNT | {"of": "sum", "field": "event.amount"}, "op": "at_least", "value": 2}, False),
        ({"in_segment": "regulars"}, False),
        ({"not": {"any": [{"in_segment": "regulars"}]}}, False),
    ],
)
def test_those_are_listed_beforehand_whom_no_passing_of_time_brings_in(condition: dict[str, Any], kept: bool) -> None:
    found = msgspec.convert(CLOSING | {"who": [condition]}, Rule)
    assert (len(audience_of(found)) == 1) is kept


def test_the_types_that_ship_concern_everyone_unless_the_rule_says_otherwise() -> None:
    assert is_for_everyone(rule().when)
    assert not is_for_everyone(rule(when={"type": "event", "event": "branch_closing", "concerns": "customer"}).when)
    assert not is_for_everyone(rule(when={"type": "event", "event": "purchase"}, who=[]).when)


def test_a_rule_that_says_of_nobody_whom_it_concerns_is_warned_of() -> None:
    told = {each.pointer: each.detail for each in cautions.cautions(rule(who=[]), NOW)}
    assert "would reach everyone" in told["/who"]
    assert "/who" not in {each.pointer for each in cautions.cautions(rule(), NOW)}


def test_a_rule_of_another_kind_that_waits_for_a_type_without_a_person_is_warned_of() -> None:
    waiting = {"type": "absence", "after": {"event": "restocked"}, "no": {"event": "purchase"}, "for": "1d"}
    told = {
        each.pointer: each.detail for each in cautions.cautions(rule(when=waiting, who=[], emit={"trigger": "x"}), NOW)
    }
    assert "has no person" in told["/when/after/event"]


# --- whose turn is when ----------------------------------------------------------------------------------------------


def running(name: str, cursor: str = "", segment: str = "s") -> Running:
    return Running(name, "rule", 1, segment, cursor, NOW, None, 0, b"")


def test_events_that_are_at_the_same_place_of_the_same_list_share_their_way() -> None:
    rows = [running("1"), running("2", "c"), running("3"), running("4", segment="t")]
    assert [[each.fanout_id for each in group.members] for group in pages.groups(rows)] == [["1", "3"], ["2"], ["4"]]


@pytest.mark.parametrize(("elapsed", "customers"), [(1.0, 500), (1.5, 750), (60.0, 1000), (0.0, 1), (-5.0, 1)], ids=str)
def test_the_pace_is_by_the_time_that_passed_and_a_long_absence_is_not_made_up_for(
    elapsed: float, customers: int
) -> None:
    assert pages.budget(500, elapsed) == customers


CUSTOMERS = [f"c{number:04}" for number in range(2_000)]


async def paged(monkeypatch: pytest.MonkeyPatch, rows: list[Running], pace: int) -> list[tuple[list[str], int, bool]]:
    """Of each group that has its turn: the events, for how many customers, and whether that is the end."""

    async def members(_: Any, __: int, ___: str, after: str, count: int) -> list[str]:
        return [each for each in CUSTOMERS if each > after][:count]

    monkeypatch.setattr(store, "members", members)
    found = await spreading._pages(SimpleNamespace(unit=0), pages.groups(rows), pace)  # type: ignore[arg-type]
    return [([each.fanout_id for each in group.members], len(names), over) for group, names, over in found]


async def test_the_oldest_has_its_turn_first_and_what_it_leaves_is_for_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = [running("old", CUSTOMERS[-101]), running("next", "c0001"), running("new")]
    assert await paged(monkeypatch, rows, 50) == [(["old"], 50, False)]
    assert await paged(monkeypatch, rows, 250) == [(["old"], 100, True), (["next"], 150, False)]


async def test_what_is_judged_in_one_transaction_is_bounded_over_all_that_is_under_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    crowd = [running(f"e{at}", CUSTOMERS[at % 7]) for at in range(spreading.RUNNING_AT_ONCE_MAX)]
    found = await paged(monkeypatch, crowd, 10_000)
    assert 500 < sum(len(events) * customers for events, customers, _ in found) <= pages.JUDGED_MAX <= 1_000
    [(events, customers, _)] = await paged(monkeypatch, [running(f"e{at}") for at in range(500)], 10_000)
    assert (len(events), customers) == (spreading.RUNNING_AT_ONCE_MAX, 2), "something moves however many there are"


def test_the_profile_of_a_customer_is_read_once_for_all_events_of_a_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    reads, out, found = list[msgspec.Raw](), Effects(), snapshot()

    def read(raw: msgspec.Raw) -> Any:
        reads.append(raw)
        return msgspec.json.decode(raw)

    monkeypatch.setattr(audience, "profile_of", read)
    states = {name: customer(name) for name in ("a", "b")}
    views = SimpleNamespace(own=states.__getitem__, linked=lambda *_: [])
    concerns = {
        name: audience.concerned(found, msgspec.structs.replace(event(), event_id=name), out)[0]
        for name in ("1", "2", "3")
    }
    [group] = pages.groups([running(name) for name in concerns])
    spreading._told(found, group, concerns, ["a", "b"], views, out, set(), over=True)
    assert (len(out.triggers), len(reads)) == (6, 2)
