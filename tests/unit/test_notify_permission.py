"""Is everybody left alone who should be, by what notify itself knows at the moment of sending?"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.common.events import Conditions, Consent, ProfileUpdated
from services.notify.permission import (
    End,
    Request,
    Send,
    Suppression,
    Verdict,
    Wait,
    is_within,
    judge,
    next_within,
    person_of,
)

NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
LONG_AGO = NOW - timedelta(days=30)


def record(customer_id: str = "c", **more: object) -> ProfileUpdated:
    fields: dict[str, object] = {
        "customer_id": customer_id,
        "person_id": "p",
        "version": 1,
        "contacts": {"email": "a@example.org", "phone": "+8210"},
        "consents": {"email": Consent(True, LONG_AGO), "sms": Consent(True, LONG_AGO)},
    }
    return ProfileUpdated(**(fields | more))  # type: ignore[arg-type]


def verdict(
    *records: ProfileUpdated,
    class_: str = "marketing",
    channel: str = "email",
    consents: tuple[str, ...] = ("email",),
    suppressions: tuple[Suppression, ...] = (),
    age_seconds: float = 0,
    planned_seconds_ago: float = 100,
    **conditions: object,
) -> Verdict:
    asked = Request(
        channel,
        class_,
        Conditions(NOW + timedelta(hours=1), list(consents), **conditions),  # type: ignore[arg-type]
        NOW - timedelta(seconds=planned_seconds_ago),
    )
    return judge(asked, person_of(records), suppressions, NOW, NOW - timedelta(seconds=age_seconds), 30.0)


def test_whoever_agreed_gets_it_at_their_address() -> None:
    assert verdict(record()) == Send("a@example.org")
    assert verdict(record(), channel="sms", consents=("sms",)) == Send("+8210")


def test_without_consent_it_is_dropped_once_a_newer_profile_had_time_to_come() -> None:
    silent = record(consents={})
    assert verdict(silent) == End("DROPPED", "no_consent:email")
    assert isinstance(verdict(silent, planned_seconds_ago=1), Wait)
    assert verdict(silent, class_="transactional", consents=()) == Send("a@example.org")


def test_the_newest_statement_of_all_records_counts_and_a_tie_is_a_refusal() -> None:
    no, yes = (record("d", consents={"email": Consent(granted, NOW)}) for granted in (False, True))
    assert verdict(record(), no) == End("DROPPED", "no_consent:email")
    assert verdict(record(consents={}), yes) == Send("a@example.org")
    assert verdict(yes, no) == verdict(no, yes) == End("DROPPED", "no_consent:email")


def test_what_is_known_too_long_ago_allows_nothing_that_needs_consent() -> None:
    assert isinstance(verdict(record(), age_seconds=31), Wait)
    assert verdict(record(), age_seconds=29) == Send("a@example.org")
    assert verdict(record(), age_seconds=31, class_="transactional", consents=()) == Send("a@example.org")


@pytest.mark.parametrize(
    ("reason", "marketing", "transactional"),
    [
        ("erased", False, False),
        ("bounced:email", False, False),
        ("open_complaint", False, True),
        ("bounced:phone", True, True),
        ("wrong:email", False, False),
        ("wrong:phone", True, True),
        ("complained:email", False, True),
        ("complained:sms", True, True),
        ("restricted", False, False),
        ("restricted:email", False, False),
        ("restricted:call", True, True),
        ("restricted:email:marketing", False, True),
        ("restricted::transactional", True, False),
    ],
)
def test_suppressions_of_the_profile(reason: str, marketing: bool, transactional: bool) -> None:
    found = record("d", suppressed=[reason])
    assert isinstance(verdict(record(), found), Send) == marketing
    assert isinstance(verdict(record(), found, class_="transactional", consents=()), Send) == transactional


def test_an_unsubscription_holds_until_a_newer_consent_and_for_marketing_alone() -> None:
    left = Suppression("c", "email", "unsubscribed", "a@example.org", NOW - timedelta(days=1))
    assert verdict(record(), suppressions=(left,)) == End("DROPPED", "suppressed:unsubscribed:email")
    again = record(consents={"email": Consent(True, NOW - timedelta(hours=1))})
    assert verdict(again, suppressions=(left,)) == Send("a@example.org")
    assert verdict(record(), suppressions=(left,), class_="transactional", consents=()) == Send("a@example.org")
    assert verdict(record(), suppressions=(left,), channel="sms", consents=("sms",)) == Send("+8210")


def test_a_bounce_holds_for_its_address() -> None:
    dead = Suppression("c", "email", "bounced", "a@example.org", NOW)
    assert verdict(record(), suppressions=(dead,), class_="transactional", consents=()) == End(
        "DROPPED", "suppressed:bounced:email"
    )
    assert verdict(record(contacts={"email": "b@example.org"}), suppressions=(dead,)) == Send("b@example.org")


def test_of_two_addresses_the_living_one_is_taken_and_a_dead_one_binds_itself_alone() -> None:
    dead = record(suppressed=["bounced:email"])
    alive = record("d", contacts={"email": "b@example.org"})
    assert verdict(dead, alive) == verdict(alive, dead) == Send("b@example.org")
    assert verdict(dead, record("d")) == verdict(record("d"), dead) == End("DROPPED", "suppressed:bounced:email")
    both = record("d", contacts={"email": "b@example.org"}, suppressed=["wrong:email"])
    assert verdict(dead, both) == End("DROPPED", "suppressed:bounced:email")
    assert verdict(record(contacts={}, suppressed=["bounced:email"]), alive) == End(
        "DROPPED", "suppressed:bounced:email"
    )


def test_an_unknown_customer_is_waited_for_and_then_dropped() -> None:
    assert isinstance(verdict(planned_seconds_ago=29), Wait)
    assert verdict(planned_seconds_ago=31) == End("DROPPED", "customer_unknown")


def test_out_of_hours_it_waits_for_the_opening_or_expires() -> None:
    opens = verdict(record(), zone="Asia/Seoul", from_minute=19 * 60 + 30, to_minute=21 * 60)
    assert opens == Wait(NOW + timedelta(minutes=30), "outside the lawful hours")
    assert verdict(record(), zone="Asia/Seoul", from_minute=9 * 60, to_minute=20 * 60) == Send("a@example.org")
    late = verdict(record(), zone="Asia/Seoul", from_minute=9 * 60, to_minute=10 * 60)
    assert late == End("EXPIRED", "no time left: outside the lawful hours")
    assert verdict(record(), zone="Mars/Base", from_minute=0, to_minute=60) == End("DROPPED", "zone_unknown")


@settings(deadline=None)
@given(
    st.integers(0, 10 * 365 * 1_440),
    st.sampled_from(["Asia/Seoul", "Europe/Berlin", "America/Santiago", "Australia/Lord_Howe", "Pacific/Apia", "UTC"]),
    st.integers(0, 1_439),
    st.integers(0, 1_439),
)
def test_the_next_opening_exists_and_is_open_in_every_zone_and_season(
    minutes: int, name: str, start: int, end: int
) -> None:
    now, zone = datetime(2020, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes), ZoneInfo(name)
    opens = next_within(now, zone, start, end)
    # A window of less than an hour may fall into the hour that a change of clocks leaves out.
    if opens is None:
        assert (end - start) % 1_440 < 60
        return
    assert now < opens <= now + timedelta(days=2, hours=3)
    assert is_within(opens, zone, start, end)
