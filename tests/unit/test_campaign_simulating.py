"""Does a simulation put firings through the very gates, in order of time, and fill caps with what it would send?"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.common.events import Consent
from services.campaign.caps import Cap
from services.campaign.facts import Facts, Person
from services.campaign.hours import QuietHours
from services.campaign.law.document import shipped_table
from services.campaign.law.places import Whereabouts
from services.campaign.policy import Campaign, Company
from services.campaign.simulating import (
    GATE_NAMES,
    Fate,
    Firing,
    Known,
    PastContact,
    examples_of,
    results_of,
    simulate,
)
from tests.campaign_situations import COMPANY, NOON, campaign, facts

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
SEOUL = ZoneInfo("Asia/Seoul")
LAWFUL = msgspec.structs.replace(COMPANY, law=shipped_table())


def known(
    people: dict[str, Facts],
    *,
    contacts: dict[str, Sequence[PastContact]] | None = None,
    off: frozenset[str] = frozenset(),
    company: Company = COMPANY,
) -> Known:
    found = {id: Person(f"person-of-{id}", each, [id]) for id, each in people.items()}
    return Known(found, contacts or {}, off, company)


def fired(at: datetime, customer_id: str = "c1") -> Firing:
    return Firing(customer_id, f"person-of-{customer_id}", at)


def ends(fates: Sequence[Fate]) -> list[tuple[str, str]]:
    return [(fate.decision.outcome, fate.decision.gate) for fate in fates]


def test_caps_are_filled_by_the_simulated_contacts_and_free_again_when_they_have_passed() -> None:
    at = [NOON + days * DAY for days in (0, 1, 6.9, 7.1)]
    fates = simulate(campaign(cap=Cap(1, 7 * DAY)), map(fired, at), known({"c1": facts()}))
    assert [fate.decision.outcome for fate in fates] == ["contact", "denied", "denied", "contact"]


def test_the_order_is_that_of_time_and_not_that_of_the_page() -> None:
    late_first = [fired(NOON + HOUR), fired(NOON)]
    fates = simulate(campaign(cap=Cap(1, 7 * DAY)), late_first, known({"c1": facts()}))
    assert [(fate.firing.at, fate.decision.outcome) for fate in fates] == [(NOON, "contact"), (NOON + HOUR, "denied")]


def test_real_contacts_of_others_count_as_they_stood_then_and_this_campaign_s_own_do_not() -> None:
    def real(campaign_id: str, reserved: float, settled: float | None, contacted: bool = True) -> PastContact:
        at = None if settled is None else NOON + settled * HOUR
        return PastContact(campaign_id, "sms", "marketing", NOON + reserved * HOUR, at, contacted)

    company = msgspec.structs.replace(COMPANY, caps={"marketing": Cap(1, DAY)})
    for contact, outcome in (
        (real("other", -2, -1), "denied"),
        (real("other", -2, 1), "denied"),
        (real("other", -2, None), "denied"),
        (real("other", -26, -25), "contact"),
        (real("other", 1, 2), "contact"),
        (real("other", -2, -1, contacted=False), "contact"),
        (real("spring", -2, -1), "contact"),
    ):
        there = known({"c1": facts()}, contacts={"c1": [contact]}, company=company)
        [fate] = simulate(campaign(), [fired(NOON)], there)
        assert fate.decision.outcome == outcome, contact


def test_a_deferred_firing_is_looked_at_again_at_its_release_behind_what_happened_meanwhile() -> None:
    quiet = QuietHours(20 * 60, 9 * 60)
    late = datetime(2026, 3, 4, 14, 0, tzinfo=UTC)
    nine = datetime(2026, 3, 5, 0, 0, tzinfo=UTC)
    one = campaign(quiet=quiet, cap=Cap(1, 7 * DAY))
    fates = simulate(one, [fired(late), fired(late + HOUR)], known({"c1": facts()}))
    assert ends(fates) == [("contact", "channel"), ("denied", "cap")]
    assert [(fate.decided_at, fate.waited) for fate in fates] == [(nine, ("quiet_hours",))] * 2
    short = campaign(quiet=quiet, valid_for=2 * HOUR)
    assert ends(simulate(short, [fired(late)], known({"c1": facts()}))) == [("denied", "quiet_hours")]


def test_the_law_defers_and_the_quiet_hours_defer_again() -> None:
    willing = facts(said={"sms": Consent(True, NOON - DAY)}, whereabouts=Whereabouts(country="KR", zone="Asia/Seoul"))
    late = datetime(2026, 3, 4, 14, 0, tzinfo=UTC)
    one = campaign(quiet=QuietHours(20 * 60, 9 * 60))
    [fate] = simulate(one, [fired(late)], known({"c1": willing}, company=LAWFUL))
    assert (fate.waited, fate.decision.outcome) == (("policy", "quiet_hours"), "contact")
    assert fate.decided_at == datetime(2026, 3, 5, 0, 0, tzinfo=UTC)


def test_each_gate_appears_with_how_many_came_to_it_and_stayed_there() -> None:
    people = {
        "switch": facts(),
        "suppression": facts(suppressed=frozenset({"erased"})),
        "consent": facts(consents={"sms": False}),
        "policy": facts(whereabouts=Whereabouts(country="KR")),
        "contact": facts(said={"sms": Consent(True, NOON + DAY)}),
    }
    one = campaign(cap=Cap(1, 7 * DAY))
    there = known({**people, "cap": people["contact"]}, company=LAWFUL)
    firings = [fired(NOON, each) for each in there.people if each != "switch"] + [fired(NOON + HOUR, "cap")]
    found = results_of(one, simulate(one, firings, there), SEOUL, there)
    assert (found.firings, found.people, found.outcomes) == (6, 2, {"contact": 2, "denied": 4})
    assert found.consent_is_newer == 2
    gates = {each.gate: (each.reached, each.stopped) for each in found.gates}
    assert list(gates) == list(GATE_NAMES)
    assert gates == {
        "switch": (6, 0),
        "eligibility": (6, 0),
        "suppression": (6, 1),
        "consent": (5, 1),
        "policy": (4, 1),
        "quiet_hours": (3, 0),
        "holdout": (3, 0),
        "cap": (3, 1),
        "channel": (2, 0),
    }
    assert found.gates[3].reasons == {"refused or withdrawn": 1}
    assert [(each.day.isoformat(), each.contact, each.denied) for each in found.days] == [("2026-03-04", 2, 4)]
    off = known(people, off=frozenset({"all"}))
    assert ends(simulate(one, [fired(NOON, "switch")], off)) == [("denied", "switch")]


def test_held_out_are_those_whom_live_would_hold_out_and_days_are_the_company_s() -> None:
    held = campaign(holdout_percent=50.0)
    there = known({f"c{number}": facts() for number in range(200)})
    late = datetime(2026, 3, 4, 15, 30, tzinfo=UTC)
    fates = simulate(held, [fired(late, each) for each in there.people], there)
    found = results_of(held, fates, SEOUL, there)
    assert 70 < found.outcomes["holdout"] < 130
    [day] = found.days
    assert (day.day.isoformat(), day.holdout) == ("2026-03-05", found.outcomes["holdout"])
    kinds = [fate.decision.outcome for fate in examples_of(fates, 3)]
    assert sorted(kinds) == ["contact"] * 3 + ["holdout"] * 3


SPANS = st.integers(0, 20 * 24 * 60).map(lambda minutes: NOON + timedelta(minutes=minutes))


@st.composite
def stories(draw: st.DrawFn) -> tuple[Campaign, list[Firing], Known]:
    quiet = draw(st.sampled_from([None, QuietHours(20 * 60, 9 * 60), QuietHours(60, 23 * 60)]))
    own = draw(st.none() | st.builds(Cap, st.integers(0, 3), st.sampled_from([HOUR, DAY, 7 * DAY])))
    one = campaign(quiet=quiet, cap=own, valid_for=draw(st.sampled_from([2 * HOUR, 3 * DAY])))
    people = {
        "c1": facts(said={"sms": Consent(True, NOON - DAY)}, whereabouts=Whereabouts(country="KR")),
        "c2": facts(said={"sms": Consent(True, NOON - DAY)}, whereabouts=Whereabouts(country="US", region="FL")),
    }
    real = draw(st.lists(st.builds(_real, SPANS, st.integers(0, 600), st.booleans()), max_size=4))
    firings = draw(st.lists(st.builds(fired, SPANS, st.sampled_from(sorted(people))), max_size=25))
    return one, firings, known(people, contacts={"c1": real}, company=LAWFUL)


def _real(at: datetime, minutes: int, contacted: bool) -> PastContact:
    return PastContact("other", "sms", "marketing", at, at + timedelta(minutes=minutes), contacted)


@settings(max_examples=200, deadline=None)
@given(stories())
def test_nobody_is_ever_contacted_beyond_a_cap_or_outside_the_lawful_hours(story: tuple[Any, ...]) -> None:
    one, firings, there = story
    fates = simulate(one, firings, there)
    assert len(fates) == len(firings)
    for id in there.people:
        made = sorted(
            fate.decided_at for fate in fates if fate.firing.customer_id == id and fate.decision.outcome == "contact"
        )
        real = [each.settled_at for each in there.contacts.get(id, ()) if each.contacted and each.settled_at]
        caps = [(one.cap, made)] if one.cap else []
        caps += [(LAWFUL.caps["marketing"], made)]
        for cap, instants in caps:
            for end in instants:
                assert sum(1 for each in instants if end - cap.per < each <= end) <= cap.times
        company = LAWFUL.caps["marketing"]
        for end in made:
            before = [each for each in real if end - company.per < each <= end]
            assert len(before) + sum(1 for each in made if end - company.per < each <= end) <= company.times
            if id == "c1":
                assert 8 <= end.astimezone(SEOUL).hour < 21
