"""Do segments mean what their page says? One small story per promise."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from libs.common import clock
from libs.common.errors import Invalid
from libs.common.events import RuleTriggered
from services.rules.document import cautions, checking, segments, validation
from services.rules.document.segments import decode, named_by, reference_faults
from services.rules.engine.firing import Effects
from services.rules.engine.segments import Entry, listing
from services.rules.engine.snapshot import Source, compile_snapshot
from services.rules.engine.state import State
from services.rules.explaining import progress, retracing
from services.rules.explaining.grounds import Grounds
from services.rules.explaining.progress import Known
from tests.unit.test_rules_in_time import Life, at

Document = dict[str, Any]
GOLD: Document = {"field": "profile.tier", "op": "is", "value": "gold"}
BUYS: Document = {
    "measure": {"of": "count", "event": "purchase", "over": {"last": "3d"}},
    "op": "at_least",
    "value": 2,
}
COMES: Document = {"type": "segment", "segment": "vip", "moves": "in"}
GOES: Document = {"type": "segment", "segment": "vip", "moves": "out"}


def segment(*who: Document, id: str = "vip", **more: Any) -> Document:
    return {"id": id, "name": "x", "who": list(who), **more}


class Member(Life):
    """A life with segments in it."""

    def __init__(self, when: Document, *written: Document, **more: Any) -> None:
        self.moves: list[tuple[str, bool]] = []
        self.listed: dict[str, Entry] = {}
        self.outcomes: dict[tuple[str, str], int] = {}
        self.known: list[Source] = []
        self.write(*written)
        super().__init__(when, **more)

    def write(self, *written: Document, **kept: Any) -> None:
        """Puts other definitions in force."""
        began = self.known[0].began + 1 if self.known else 1
        self.known = [Source(segments.read(each)[1], began, began=began, **kept) for each in written]
        if hasattr(self, "versions"):
            self.snapshot = compile_snapshot(self.versions[-1:], "Asia/Seoul", self.known)

    def edit(self, when: Document, **more: Any) -> None:
        rule = {"id": "some-rule", "name": "x", "when": when, "emit": {"trigger": "offer.x"}, **more}
        validation.read(rule)
        self.versions.append(Source(msgspec.json.encode(rule), len(self.versions) + 1))
        self.snapshot = compile_snapshot(self.versions[-1:], "Asia/Seoul", self.known)

    def becomes(self, when: str, **profile: Any) -> list[RuleTriggered]:
        return self.event("identify", when, changed=profile)

    def _took(self, own: State, out: Effects) -> list[RuleTriggered]:
        self.moves += [(each.moved, each.told) for each in out.moves]
        self.outcomes |= {name: self.outcomes.get(name, 0) + count for name, count in out.outcomes.items()}
        for each in listing(self.snapshot, own, out):
            self.listed.pop(each.segment_id, None)
            if each.inside is not None:
                self.listed[each.segment_id] = each
        return super()._took(own, out)


def test_whoever_comes_in_is_a_moment_each_time_and_staying_is_none() -> None:
    life = Member(COMES, segment(GOLD))
    assert life.becomes("2026-03-01 09:00", tier="basic") == []
    (fired,) = life.becomes("2026-03-02 09:00", tier="gold")
    assert life.listed["vip"].inside
    assert life.becomes("2026-03-03 09:00", tier="gold", city="busan") == []
    assert life.becomes("2026-03-04 09:00", tier="basic") == []
    assert "vip" not in life.listed
    (again,) = life.becomes("2026-03-05 09:00", tier="gold")
    assert again.trigger_id != fired.trigger_id
    assert life.moves == [("in", True), ("out", True), ("in", True)]


def test_an_event_that_comes_in_twice_moves_nobody_twice() -> None:
    life = Member(COMES, segment(BUYS))
    life.event("purchase", "2026-03-01 09:00")
    (fired,) = life.event("purchase", "2026-03-01 10:00", id="again")
    assert life.event("purchase", "2026-03-01 10:00", id="again") == []
    replayed = Member(COMES, segment(BUYS))
    replayed.event("purchase", "2026-03-01 09:00")
    assert [each.trigger_id for each in replayed.event("purchase", "2026-03-01 10:00", id="again")] == [
        fired.trigger_id
    ]


def test_who_is_in_by_definition_alone_joins_without_a_word() -> None:
    life = Member(COMES, segment(GOLD, id="other"), segment(GOLD))
    life.write(segment({"field": "profile.tier", "op": "is", "value": "none"}))
    life.becomes("2026-03-01 09:00", tier="gold")
    assert life.moves == []
    life.write(segment(GOLD))
    assert life.becomes("2026-03-02 09:00", tier="gold", city="busan") == [], "nothing that it looks at has changed"
    life.event("profile.linked", "2026-03-03 09:00")
    assert life.moves == [("in", False)]


def test_who_comes_in_by_an_event_after_an_edit_has_come_in_by_it() -> None:
    life = Member(COMES, segment(BUYS))
    life.event("purchase", "2026-03-01 09:00")
    life.write(segment({**BUYS, "value": 3}))
    assert life.event("purchase", "2026-03-01 10:00") == []
    (fired,) = life.event("purchase", "2026-03-01 11:00")
    assert fired.trigger == "offer.x"
    assert life.moves == [("in", True)]


def test_a_paused_segment_is_followed_and_tells_of_nobody() -> None:
    life = Member(COMES, segment(GOLD))
    life.write(segment(GOLD), active=False)
    assert life.becomes("2026-03-01 09:00", tier="gold") == []
    assert life.listed["vip"].inside and life.moves == [("in", False)]


def test_history_moves_people_and_tells_of_nobody() -> None:
    life = Member(COMES, segment(GOLD))
    assert life.event("identify", "2026-03-01 09:00", changed={"tier": "gold"}, history=True) == []
    assert life.listed["vip"].inside and life.moves == [("in", False)]


def test_somebody_falls_out_in_the_night_in_which_their_purchases_have_grown_old() -> None:
    life = Member(GOES, segment(BUYS))
    life.event("purchase", "2026-03-01 09:00")
    life.event("purchase", "2026-03-02 09:00")
    assert life.listed["vip"].inside
    assert life.until("2026-03-03 23:59") == []
    assert life.until("2026-03-30 00:00") == ["2026-03-04 00:00"]
    assert "vip" not in life.listed and not life.timers, "nobody is looked at for ever"


def test_a_change_is_recent_for_as_long_as_it_says() -> None:
    recent = {"field": "profile.tier", "op": "changed_within", "value": "2d"}
    life = Member({"type": "event", "event": "purchase"}, segment(recent), who=[recent])
    life.becomes("2026-03-01 10:00", tier="gold")
    assert life.listed["vip"].inside
    assert len(life.event("purchase", "2026-03-03 09:59")) == 1
    assert life.event("purchase", "2026-03-03 10:00") == [], "two days have passed"
    assert life.until("2026-03-04 00:00") == []
    assert "vip" not in life.listed


def test_a_rule_looks_into_a_segment_at_that_moment() -> None:
    rule = {"type": "event", "event": "purchase"}
    life = Member(
        rule, segment(GOLD, id="golden"), segment({"in_segment": "golden"}, BUYS), who=[{"in_segment": "vip"}]
    )
    life.becomes("2026-03-01 09:00", tier="gold")
    assert life.event("purchase", "2026-03-01 10:00") == []
    assert len(life.event("purchase", "2026-03-01 11:00")) == 1
    assert life.until("2026-03-06 00:00") == []
    assert life.event("purchase", "2026-03-06 09:00") == []


def test_odd_values_within_a_segment_are_counted_for_the_rule_that_asks() -> None:
    odd = {"field": "profile.points", "op": "at_least", "value": 5}
    life = Member({"type": "event", "event": "purchase"}, segment(odd), who=[{"in_segment": "vip"}])
    life.becomes("2026-03-01 09:00", points="many")
    life.snapshot.oddities.take()
    life.event("purchase", "2026-03-01 10:00")
    assert life.snapshot.oddities.take() == {"some-rule": 1}


def test_it_is_explained_by_the_conditions_within() -> None:
    life = Member({"type": "event", "event": "purchase"}, segment(GOLD, BUYS), who=[{"in_segment": "vip"}])
    rule = msgspec.json.decode(life.versions[-1].body)
    known = Known(profile={"tier": "gold"})
    found = progress.explain(
        life.snapshot, validation.read(rule), [State("c")], known, clock.from_ms(at("2026-03-01 09:00"))
    )
    (who,) = found.who
    assert who.holds is False and [each.holds for each in who.inner] == [True, False]
    assert "is not in the segment vip" in who.detail and "0 of 2 purchase events" in who.detail


def test_what_is_named_has_to_be_there_and_lead_nowhere_round() -> None:
    written = [segment({"in_segment": "aaa"}), segment({"not": {"in_segment": "vip"}}, id="aaa")]
    known = {each["id"]: decode(msgspec.json.encode(each)) for each in written}
    assert "circle: vip > aaa > vip" in reference_faults(known["vip"], known)[0].detail
    lost = decode(msgspec.json.encode(segment({"any": [GOLD, {"in_segment": "vib"}]}, id="lost")))
    (fault,) = reference_faults(lost, known)
    assert fault.pointer == "/who/0/any/1/in_segment" and "vib is no segment" in fault.detail
    chain = [segment({"in_segment": f"s-{n + 1}"}, id=f"s-{n}") for n in range(6)] + [segment(GOLD, id="s-6")]
    known = {each["id"]: decode(msgspec.json.encode(each)) for each in chain}
    assert "more than 5 segments within one another" in reference_faults(known["s-0"], known)[0].detail
    assert not reference_faults(known["s-2"], known)
    with pytest.raises(ValueError, match="too deep"):
        compile_snapshot([], "UTC", [Source(msgspec.json.encode(each), 1) for each in chain])


def test_a_segment_is_refused_where_it_asks_what_only_an_event_could_answer() -> None:
    with pytest.raises(Invalid) as caught:
        segments.read(segment({"field": "event.amount", "op": "exists"}, GOLD, time={"zone": "Asia/Soul"}))
    assert {each.pointer for each in caught.value.errors} == {"/who/0/field", "/time/zone"}
    with pytest.raises(Invalid):
        segments.read({"id": "empty", "name": "x", "who": []})


def test_a_segment_in_which_nobody_can_be_is_warned_of() -> None:
    never = segment(GOLD, {"field": "profile.tier", "op": "is_not", "value": "gold"})
    (fault,) = cautions.of_segment(decode(msgspec.json.encode(never)))
    assert fault.pointer == "/who" and "nobody is ever in it" in fault.detail
    assert not cautions.of_segment(decode(msgspec.json.encode(segment(GOLD, {"in_segment": "golden"}))))


def test_a_rule_is_tested_with_the_segments_that_it_rests_on() -> None:
    given = [
        {"type": "identify", "time": "2026-03-01T09:00:00+09:00", "changed": {"tier": {"was": "basic", "now": "gold"}}}
    ]
    tests = [{"name": "comes in", "given": given, "expect": [{"event": "1"}]}]
    rule = {"id": "some-rule", "name": "x", "when": COMES, "emit": {"trigger": "a.b"}, "tests": tests}
    written = {"vip": msgspec.json.encode(segment(GOLD))}
    assert named_by(checking.read(rule, "Asia/Seoul", written).rule) == [("/when/segment", "vip")]
    with pytest.raises(Invalid, match="did not fire"):
        checking.read(rule, "Asia/Seoul", {"vip": msgspec.json.encode(segment(BUYS))})
    assert checking.read(rule, "Asia/Seoul").rule.id == "some-rule", "nobody here knows what vip means"


def test_a_customer_whom_no_segment_concerns_costs_no_state() -> None:
    life = Member(COMES, segment(GOLD))
    life.event("purchase", "2026-03-01 09:00")
    life.event("identify", "2026-03-01 10:00", changed={"city": "busan"})
    assert not msgspec.msgpack.decode(life.body)[2], "not even when they were last seen"


def test_two_records_agree_on_the_newest_word_and_one_of_them_speaks() -> None:
    one, other = Member(GOES, segment(BUYS), customer_id="a"), Member(GOES, segment(BUYS), customer_id="b")
    one.others, other.others = [other], [one]
    one.event("purchase", "2026-03-01 09:00")
    other.event("purchase", "2026-03-02 09:00")
    assert other.listed["vip"].inside and other.moves == [("in", True)]
    fired = [*one.until("2026-03-10 00:00"), *other.until("2026-03-10 00:00")]
    assert fired == ["2026-03-04 00:00"]


def test_a_trigger_is_retraced_by_the_segment_as_it_was() -> None:
    rule = validation.read(
        {"id": "some-rule", "name": "x", "when": {"type": "event", "event": "purchase"}, "who": [{"in_segment": "vip"}]}
        | {"emit": {"trigger": "a.b"}}
    )
    grounds = Grounds([], {"profile.tier": "gold"}, [2.0], {}, {"vip": 3})
    found = retracing.retrace(rule, grounds, segments={"vip": decode(msgspec.json.encode(segment(GOLD, BUYS))).who})
    assert found.who[0].holds and [each.holds for each in found.who[0].inner] == [True, True]


def test_another_name_of_an_inner_segment_is_no_new_definition_of_the_outer_one() -> None:
    def about(name: str, version: int, began: int, who: Document = BUYS) -> int:
        inner = {**segment(who, id="inner"), "name": name}
        outer = msgspec.json.encode(segment({"in_segment": "inner"}))
        sources = [Source(msgspec.json.encode(inner), version, began=began), Source(outer, 1, began=2)]
        return compile_snapshot([], "UTC", sources).segments["vip"].about

    assert about("x", 1, 1) == about("another name", 2, 1)
    assert about("x", 1, 1) != about("x", 1, 3), "it was out of force for a while"
    assert about("x", 1, 1) != about("x", 1, 1, GOLD)


def repeating(times: int) -> list[Document]:
    """Five segments, each of which names the one within it so many times."""
    asked = [[{"in_segment": f"s-{n - 1}"}] * times if n else [BUYS] for n in range(5)]
    return [segment({"any": each}, id=f"s-{n}") for n, each in enumerate(asked)]


def test_a_segment_that_is_named_again_and_again_is_looked_into_once(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[str] = []
    named_by = segments.named_by

    def counted(document: Any) -> list[tuple[str, str]]:
        looks.append(document.id)
        assert len(looks) < 100, "it grows with the power of the depth"
        return named_by(document)

    monkeypatch.setattr(segments, "named_by", counted)
    known = {each["id"]: decode(msgspec.json.encode(each)) for each in repeating(6)}
    for each in known.values():
        segments.require_references(each, known)
    life = Member({"type": "event", "event": "purchase"}, *repeating(6), who=[{"in_segment": "s-4"}])
    rule = life.snapshot.rules["some-rule"]
    assert len(rule.worths) == 1 and set(rule.named) == set(known)
    asked: list[object] = []
    (gauge, _) = next(iter(rule.panes.values()))
    monkeypatch.setattr(type(gauge), "value", lambda *given: asked.append(given))
    found = progress.explain(
        life.snapshot,
        validation.read(msgspec.json.decode(life.versions[-1].body)),
        [State("c")],
        Known(),
        clock.from_ms(at("2026-03-01 09:00")),
    )
    assert len(msgspec.json.encode(found)) < 50_000
    life.event("purchase", "2026-03-01 09:00")
    assert 0 < len(asked) <= 2 * 6, "each segment, and the rule, before and after the event"


def test_what_was_found_out_about_a_segment_holds_for_one_look_alone() -> None:
    twice = [{"any": [{"in_segment": "vip"}, {"not": {"in_segment": "vip"}}]}, {"in_segment": "vip"}]
    life = Member({"type": "event", "event": "purchase"}, segment(BUYS), who=twice)
    fired = [len(life.event("purchase", f"2026-03-01 {hour}:00")) for hour in (10, 11, 12)]
    assert fired == [0, 1, 1]


def test_a_trigger_is_retraced_where_a_segment_with_measures_is_named_twice() -> None:
    more = {**BUYS, "measure": {**BUYS["measure"], "of": "sum", "field": "event.amount"}, "value": 50}
    who = [{"in_segment": "vip"}, {"not": {"not": {"in_segment": "vip"}}}, more]
    given = {"type": "event", "event": "purchase"}
    rule = validation.read({"id": "some-rule", "name": "x", "when": given, "who": who, "emit": {"trigger": "a.b"}})
    found = retracing.retrace(rule, Grounds([], {}, [2.0, 70.0]), segments={"vip": decode_one(segment(BUYS)).who})
    assert [each.holds for each in found.who] == [True, True, True]
    assert found.who[2].found == 70.0 and "see above" in found.who[1].detail


def decode_one(written: Document) -> segments.Segment:
    return decode(msgspec.json.encode(written))


def test_segments_that_are_named_count_as_conditions() -> None:
    with pytest.raises(Invalid, match="1001 conditions"):
        checking.require_bounded(segment({"any": [{"in_segment": "vip"}] * 1_001}, id="other"))
