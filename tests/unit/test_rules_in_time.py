"""Do rules that wait for time mean what their page says, where it tells no story of it? One small story per promise."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest

from libs.common import clock
from libs.common.events import Change, EventResolved, RuleTriggered
from services.rules.document import validation
from services.rules.document.language import DateWhen
from services.rules.engine import dates, matching, state
from services.rules.engine.firing import Effects, Expiry
from services.rules.engine.snapshot import Source, compile_snapshot
from services.rules.engine.state import State

Document = dict[str, Any]
SEOUL, NEW_YORK = ZoneInfo("Asia/Seoul"), ZoneInfo("America/New_York")
QUOTE: Document = {
    "type": "sequence",
    "steps": [
        {"event": "quote_requested", "where": [{"field": "event.product", "op": "is", "value": "car"}]},
        {"event": "branch_visit"},
    ],
    "within": "3d",
}
DORMANT: Document = {"type": "dormancy", "no": {"event": "purchase"}, "for": "90d"}
HALVED: Document = {
    "type": "deviation",
    "measure": {"of": "sum", "event": "purchase", "field": "event.amount", "over": {"last": "30d"}},
    "against": {"periods": 3},
    "by_percent": 50,
}


def at(text: str) -> int:
    """Milliseconds of a local time in Seoul."""
    return clock.to_ms(datetime.fromisoformat(text).replace(tzinfo=SEOUL).astimezone(UTC))


class Life:
    """One customer record, one rule, and the time between. `others` are the other records of the person."""

    def __init__(self, when: Document, customer_id: str = "c", **more: Any) -> None:
        self.versions: list[Source] = []
        self.edit(when, **more)
        self.customer_id = customer_id
        self.others: list[Life] = []
        self.body = state.encode(State(customer_id))
        self.timers: dict[str, tuple[int, bytes]] = {}
        self.profile: Document = {}
        self.count = 0
        self.firings: list[RuleTriggered] = []

    def edit(self, when: Document, **more: Any) -> None:
        rule = {"id": "some-rule", "name": "x", "when": when, "emit": {"trigger": "offer.x"}, **more}
        validation.read(rule)
        self.versions.append(Source(msgspec.json.encode(rule), len(self.versions) + 1))
        self.snapshot = compile_snapshot(self.versions[-1:], "Asia/Seoul")

    def event(self, kind: str, when: str, received: str = "", **more: Any) -> list[RuleTriggered]:
        self.count += 1
        changed = {name: Change(self.profile.get(name), value) for name, value in more.pop("changed", {}).items()}
        self.profile |= {name: change.now for name, change in changed.items()}
        event = EventResolved(
            event_id=more.pop("id", f"{self.customer_id}{self.count}"),
            customer_id=self.customer_id,
            person_id="p",
            type=kind,
            source="pos-1",
            time=clock.from_ms(at(when)),
            received_ms=at(received or when),
            history=more.pop("history", False),
            data=msgspec.Raw(msgspec.json.encode(more)),
            profile=msgspec.Raw(msgspec.json.encode(self.profile)),
            changed=changed,
        )
        own, out = state.decode(self.body), Effects()
        hit = matching.match(self.snapshot, event)
        if hit is not None:
            matching.step(self.snapshot, event, hit, own, self._theirs(), out)
        elif own.waiting:
            matching.remember_profile(own, event)
        return self._took(own, out)

    def until(self, when: str) -> list[str]:
        """The clock goes on; when it fired meanwhile, in Seoul's time."""
        fired: list[RuleTriggered] = []
        while due := sorted((due, key) for key, (due, _) in self.timers.items() if due <= at(when)):
            expiry = msgspec.msgpack.decode(self.timers.pop(due[0][1])[1], type=Expiry)
            own, out = state.decode(self.body), Effects()
            matching.expire(self.snapshot, expiry, own, self._theirs(), out)
            fired += self._took(own, out)
        self.firings += fired
        return [each.occurred_at.astimezone(SEOUL).strftime("%Y-%m-%d %H:%M") for each in fired]

    def _theirs(self) -> list[State]:
        return [state.decode(each.body) for each in self.others]

    def _took(self, own: State, out: Effects) -> list[RuleTriggered]:
        own.sweep()
        self.body = state.encode(own)
        for key in out.cancelled:
            self.timers.pop(key, None)
        self.timers |= {due.key: (due.due_ms, due.payload) for due in out.timers.values()}
        return out.triggers


# --- sequence ----------------------------------------------------------------------------------------------------


def test_of_two_quotes_the_younger_is_the_first_unless_only_idle_runs_begin() -> None:
    for restart, quote in (("on_each_first", "q2"), ("only_when_idle", "q1")):
        life = Life(QUOTE | {"restart": restart}, emit={"trigger": "a.b", "include": {"quote": "first.quote"}})
        life.event("quote_requested", "2026-03-02 10:00", product="car", quote="q1")
        life.event("quote_requested", "2026-03-03 10:00", product="car", quote="q2")
        (fired,) = life.event("branch_visit", "2026-03-03 12:00")
        assert fired.include == {"quote": quote}
        assert life.event("branch_visit", "2026-03-03 13:00") == []


def test_events_that_have_nothing_in_common_are_no_run() -> None:
    life = Life(QUOTE | {"same": ["basket"]})
    life.event("quote_requested", "2026-03-02 10:00", product="car", basket=1)
    assert life.event("branch_visit", "2026-03-02 11:00", basket=2) == []
    assert life.event("branch_visit", "2026-03-02 11:00") == []
    assert len(life.event("branch_visit", "2026-03-02 11:00", basket=1)) == 1


def test_one_event_is_one_step_only_and_three_make_three() -> None:
    life = Life({"type": "sequence", "steps": [{"event": "view"}] * 3, "within": "1h"})
    assert life.event("view", "2026-03-02 10:00") == []
    assert life.event("view", "2026-03-02 10:00") == []
    assert len(life.event("view", "2026-03-02 10:00")) == 1


def test_a_day_full_of_events_at_one_instant_is_no_labyrinth() -> None:
    """A sheet whose times are dates only; to try every order of these events would take for ever."""
    kinds = "abcde"
    life = Life({"type": "sequence", "steps": [{"event": kind} for kind in kinds], "within": "3d"})
    for kind in kinds[:4]:
        for _ in range(40):
            assert life.event(kind, "2026-03-02 00:00") == []
    assert life.event("d", "2026-03-02 00:00") == []
    assert len(life.event("e", "2026-03-02 00:00")) == 1


def test_an_event_that_goes_with_two_steps_is_left_to_the_step_that_has_no_other() -> None:
    either = {"field": "event.how", "op": "in", "value": ["x", "both"]}
    other = {"field": "event.how", "op": "in", "value": ["y", "both"]}
    steps = [{"event": "a"}, {"event": "view", "where": [either]}, {"event": "view", "where": [other]}]
    for kinds in (("both", "x"), ("x", "both"), ("both", "y"), ("y", "both"), ("both", "both")):
        life = Life({"type": "sequence", "steps": steps, "within": "1h"})
        life.event("a", "2026-03-02 09:00")
        fired = [life.event("view", "2026-03-02 09:30", how=each) for each in kinds]
        assert [len(each) for each in fired] == [0, 1], kinds


def test_a_run_that_was_complete_before_two_records_were_one_fires_with_no_later_event() -> None:
    quoted, visiting = Life(QUOTE, "a"), Life(QUOTE, "b")
    quoted.event("quote_requested", "2026-03-02 10:00", product="car")
    visiting.event("branch_visit", "2026-03-03 10:00")
    visiting.others = [quoted]
    assert visiting.event("branch_visit", "2026-03-04 10:00") == []
    assert visiting.event("branch_visit", "2026-03-12 10:00") == []


def test_looking_at_many_things_does_not_crowd_out_the_one_that_is_bought() -> None:
    steps = [{"event": "view"}, {"event": "buy"}]
    life = Life({"type": "sequence", "steps": steps, "within": "3d", "same": ["product"]})
    for number in range(200):
        life.event("view", "2026-03-02 10:00", product=number)
    assert len(life.event("buy", "2026-03-02 11:00", product=0)) == 1


# --- dormancy ----------------------------------------------------------------------------------------------------


def test_one_timer_is_enough_however_often_somebody_buys() -> None:
    life = Life(DORMANT)
    for day in range(1, 29):
        life.event("purchase", f"2026-01-{day:02} 10:00")
    assert len(life.timers) == 1


def test_whoever_is_judged_is_judged_by_the_profile_as_last_seen() -> None:
    life = Life(DORMANT, who=[{"field": "profile.tier", "op": "is", "value": "gold"}])
    life.event("purchase", "2026-01-01 10:00")
    life.event("visit", "2026-02-01 10:00", changed={"tier": "gold"})
    assert len(life.until("2026-05-01 10:00")) == 1


def test_somebody_who_never_bought_is_dormant_only_where_that_counts() -> None:
    for counts in (True, False):
        life = Life(DORMANT | {"never_counts": counts})
        life.event("visit", "2026-01-01 10:00", changed={"first_seen_at": "2026-01-01"})
        assert len(life.until("2026-05-01 10:00")) == counts


def test_a_silence_of_long_ago_that_is_imported_is_nobodys_business() -> None:
    life = Life(DORMANT)
    life.event("purchase", "2025-01-01 10:00", received="2026-01-01 10:00", history=True)
    assert life.until("2026-12-31 00:00") == []
    life.event("purchase", "2025-12-30 10:00", received="2026-01-02 10:00", history=True)
    assert life.until("2026-12-31 00:00") == ["2026-03-30 10:00"]


def test_an_edit_lets_a_silence_go_on_or_drops_it() -> None:
    for on_edit, fires in (("finish_running", True), ("drop_running", False)):
        life = Life(DORMANT)
        life.event("purchase", "2026-01-01 10:00")
        life.edit(DORMANT, on_edit=on_edit)
        assert bool(life.until("2026-12-31 00:00")) is fires


def test_what_a_rule_waited_for_is_dropped_when_it_becomes_about_something_else() -> None:
    birthday = {"type": "date", "field": "profile.birthday", "every": "year"}
    for now in (birthday, DORMANT | {"for": "30d"}):
        life = Life({"type": "date", "field": "profile.contract_end"})
        life.event("signed", "2026-01-01 10:00", changed={"contract_end": "2026-03-01"})
        life.edit(now)
        assert life.until("2028-01-01 00:00") == []
        assert life.timers == {}


# --- date --------------------------------------------------------------------------------------------------------


def test_a_birthday_comes_every_year_a_week_ahead() -> None:
    life = Life({"type": "date", "field": "profile.birth_date", "every": "year", "shift": "-7d", "at": "10:00"})
    life.event("identify", "2026-01-01 10:00", changed={"birth_date": "1990-01-03"})
    assert life.until("2029-01-01 00:00") == ["2026-12-27 10:00", "2027-12-27 10:00", "2028-12-27 10:00"]


def test_a_date_that_changes_takes_its_timer_along_and_one_that_is_gone_has_none() -> None:
    life = Life({"type": "date", "field": "profile.ends_on"})
    life.event("signed", "2026-01-01 10:00", changed={"ends_on": "2026-03-01"})
    life.event("signed", "2026-01-02 10:00", changed={"ends_on": "2026-04-01T23:30:00+00:00"})
    assert life.until("2026-05-01 00:00") == ["2026-04-02 00:00"]
    life.event("signed", "2026-05-02 10:00", changed={"ends_on": "2026-06-01"})
    life.event("ended", "2026-05-03 10:00", changed={"ends_on": None})
    assert life.until("2027-05-01 00:00") == []


def test_a_day_that_was_told_is_not_told_again_from_another_zone() -> None:
    life = Life({"type": "date", "field": "profile.contract_end"})
    life.event("signed", "2026-11-01 10:00", changed={"contract_end": "2026-12-01", "zone": "Asia/Seoul"})
    assert life.until("2026-12-01 08:00") == ["2026-12-01 00:00"]
    life.event("moved", "2026-12-01 09:00", changed={"zone": "America/Los_Angeles"})
    assert life.until("2027-12-01 00:00") == []


def test_two_records_of_a_person_tell_a_day_once_whichever_told_it_first() -> None:
    for first, second in (("a", "b"), ("b", "a")):
        one, two = (Life({"type": "date", "field": "profile.ends_on"}, name) for name in (first, second))
        one.event("signed", "2026-01-01 10:00", changed={"ends_on": "2026-02-01"})
        assert len(one.until("2026-02-01 12:00")) == 1
        one.others, two.others = [two], [one]
        two.event("profile.linked", "2026-02-03 10:00", changed={"ends_on": "2026-02-01"})
        assert two.until("2026-12-01 00:00") == []


def test_an_edit_that_moves_the_hour_moves_the_timer_that_is_set() -> None:
    life = Life({"type": "date", "field": "profile.ends_on", "at": "09:00"})
    life.event("signed", "2026-01-01 10:00", changed={"ends_on": "2026-02-01"})
    life.edit({"type": "date", "field": "profile.ends_on", "at": "15:00"})
    assert life.until("2026-12-01 00:00") == ["2026-02-01 15:00"]


def test_what_was_due_before_its_history_was_imported_is_over() -> None:
    life = Life({"type": "date", "field": "profile.ends_on"})
    life.event(
        "signed", "2026-12-02 10:00", received="2026-12-05 10:00", history=True, changed={"ends_on": "2026-12-01"}
    )
    assert life.until("2027-12-01 00:00") == []
    life = Life(DORMANT)
    life.event("purchase", "2026-01-01 10:00", received="2026-04-04 10:00", history=True)
    assert life.until("2027-12-01 00:00") == []


def test_the_31st_of_every_month_is_the_last_day_of_a_short_one() -> None:
    life = Life({"type": "date", "field": "profile.pay_day", "every": "month"})
    life.event("signed", "2026-01-31 10:00", changed={"pay_day": "2026-01-31"})
    assert [each[5:10] for each in life.until("2026-06-01 00:00")] == ["02-28", "03-31", "04-30", "05-31"]


@pytest.mark.parametrize("value", ["soon", 7, True, "0001-01-01", "9999-12-31", "2026-13-01", ["2026-01-01"], {}])
def test_what_is_no_date_is_counted_and_waits_for_nothing(value: Any) -> None:
    life = Life({"type": "date", "field": "profile.ends_on", "every": "year"})
    life.event("signed", "2026-01-01 10:00", changed={"ends_on": value})
    assert life.timers == {}


def test_every_shift_of_every_rhythm_comes_after_now_and_is_the_next() -> None:
    now = at("2026-06-15 12:00")
    for every in ("year", "month"):
        for shift in (None, "-800d", "+800d", "-26mo", "+26mo", "-1d", "+1w"):
            when = DateWhen("profile.x", every, shift)
            _, due = dates.next_due(when, date(1990, 6, 15), SEOUL, now)
            assert 0 < due - now <= 367 * 86_400_000 * (1 if every == "year" else 0.1)


# --- deviation ---------------------------------------------------------------------------------------------------


def spends(life: Life, days: range, amount: float) -> list[str]:
    """The same on each of some days of 2026, counted from 1 January; when it fired meanwhile."""
    fired = []
    for number in days:
        day = date.fromordinal(date(2026, 1, 1).toordinal() + number)
        fired += life.until(f"{day} 09:00")
        life.event("purchase", f"{day} 10:00", amount=amount)
    return fired


def test_somebody_new_has_no_habits_to_depart_from() -> None:
    life = Life(HALVED | {"direction": "rise"})
    life.event("purchase", "2026-03-01 10:00", amount=10)
    life.event("purchase", "2026-03-02 10:00", amount=500)
    assert life.until("2026-03-30 00:00") == []


def test_a_rise_is_seen_at_the_event_where_that_is_asked_for() -> None:
    life = Life(HALVED | {"direction": "rise", "check": "on_event"})
    spends(life, range(0, 90, 10), 10)
    assert life.event("purchase", "2026-04-01 10:00", amount=20) == []
    assert len(life.event("purchase", "2026-04-01 11:00", amount=5)) == 1
    assert life.event("purchase", "2026-04-01 12:00", amount=10) == [], "it is still high"
    assert life.timers == {}


def test_two_records_of_a_person_tell_one_fall_once() -> None:
    week = HALVED | {"measure": HALVED["measure"] | {"over": {"last": "7d"}}}
    one, two = Life(week, "b"), Life(week, "a")
    spends(one, range(28), 10)
    assert len(spends(one, range(28, 36), 3)) == 1
    one.others, two.others = [two], [one]
    two.event("purchase", "2026-02-06 10:00", amount=1)
    assert two.until("2026-02-10 00:00") == []


def test_nobody_is_looked_at_for_ever() -> None:
    life = Life(HALVED)
    spends(life, range(1), 100)
    life.until("2027-01-01 00:00")
    assert life.timers == {}
