"""Does the policy table say what the law says? Beside an oracle that was written apart, and at its edges by hand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import msgspec
import pytest
from pydantic import ValidationError

from libs.common.consents import newest_consents
from libs.common.documents import ActiveDocument
from libs.common.events import Consent
from services.campaign.law.document import faults_in, shipped_table, table_in_force
from services.campaign.law.judging import Asked, Ruling, judge
from services.campaign.law.places import Whereabouts, country_of_phone, places_of
from services.campaign.law.rows import Table
from tests.oracles import policy as apart
from tests.oracles.policy import Case, Oracle

SEOUL = "Asia/Seoul"
STEP = timedelta(minutes=15)
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def table(document: dict[str, Any], version: int = 1) -> Table:
    body = msgspec.json.encode({"id": "company", **document})
    return table_in_force([ActiveDocument("company", version, "active", 100, body)])


def ruling(law: Table, case: Case) -> Ruling:
    known = Whereabouts(case.country, case.region, country_of_phone(case.phone), case.zone)
    said = {key: Consent(yes, at, renewed_at=case.renewed.get(key)) for key, (yes, at) in case.said.items()}
    return judge(law, Asked(case.class_, case.channel, places_of(known, SEOUL), newest_consents([said]), case.at))


def compare(law: Table, oracle: Oracle, seed: int, count: int) -> dict[str, int]:
    """How often each verdict was given by both; the first difference is an AssertionError."""
    seen: dict[str, int] = {}
    for case in apart.cases(seed, count):
        found, told = ruling(law, case), oracle.told(case)
        assert (found.verdict, set(found.rows), set(found.by)) == (told.verdict, told.rows, told.by), case
        seen[found.verdict] = seen.get(found.verdict, 0) + 1
        if found.until is not None:
            assert oracle.opens(case, found.until), (case, found.until)
            assert not oracle.opens(case, found.until - timedelta(seconds=1)), (case, found.until)
            at = case.at
            while at < found.until:
                assert not oracle.opens(case, at), (case, at, found.until)
                at += STEP
    return seen


@pytest.mark.parametrize("seed", range(4))
def test_the_table_that_ships_agrees_with_one_that_was_written_apart(seed: int) -> None:
    seen = compare(shipped_table(), Oracle(apart.SHIPPED), seed, 3_000)
    assert min(seen.get(each, 0) for each in ("lawful", "later", "forbidden")) > 100, seen


@pytest.mark.parametrize("seed", range(4))
def test_a_company_s_rows_with_holidays_agree_with_those_written_apart(seed: int) -> None:
    law = table(apart.COMPANY_DOCUMENT)
    seen = compare(law, Oracle(apart.SHIPPED, apart.COMPANY), 100 + seed, 2_000)
    assert min(seen.get(each, 0) for each in ("lawful", "later", "forbidden")) > 50, seen


def sms(at: str, **more: Any) -> Case:
    """Marketing by text to a consenting person; `at` is local to the zone."""
    case = Case("sms", "marketing", datetime(2026, 1, 1, tzinfo=UTC), **{"country": "KR", "zone": SEOUL, **more})
    zone = apart.clocks(case)[0]
    case.at = datetime.fromisoformat(at).replace(tzinfo=zone).astimezone(UTC)
    case.said = {"sms": (True, case.at - timedelta(days=30)), **case.said}
    return case


@pytest.mark.parametrize(
    ("case", "verdict"),
    [
        (sms("2026-11-22T20:59:59"), "lawful"),
        (sms("2026-11-22T21:00:00"), "later"),
        (sms("2026-11-23T07:59:59"), "later"),
        (sms("2026-11-23T08:00:00"), "lawful"),
        (sms("2026-11-22T23:00:00", country="", phone="+821012345678"), "later"),
        (sms("2026-11-22T23:00:00", said={"sms:night": (True, LONG_AGO)}), "later"),
        (sms("2026-11-22T23:00:00", said={"sms:night": (True, datetime(2026, 11, 1, tzinfo=UTC))}), "lawful"),
        (sms("2026-11-22T20:30:00", country="US", region="FL", zone="America/New_York"), "later"),
        (sms("2026-11-22T20:30:00", country="US", region="NY", zone="America/New_York"), "lawful"),
        # A Sunday: before noon the people of Texas rest, and so does whoever may be in Texas.
        (sms("2026-11-22T11:00:00", country="US", region="TX", zone="America/Chicago"), "later"),
        (sms("2026-11-22T11:00:00", country="US", zone="America/Chicago"), "later"),
        (sms("2026-11-23T11:00:00", country="US", region="TX", zone="America/Chicago"), "lawful"),
        (sms("2026-11-22T23:00:00", country="DE", zone="Europe/Berlin"), "lawful"),
    ],
)
def test_the_hours_of_a_law_bind_to_the_second(case: Case, verdict: str) -> None:
    assert ruling(shipped_table(), case).verdict == verdict


def test_e_mail_is_exempt_from_the_night_of_korea_and_transactional_messages_from_all_of_it() -> None:
    night = sms("2026-11-22T23:00:00")
    for channel in ("sms", "push", "webhook", "call"):
        night.channel, night.said[channel] = channel, night.said["sms"]
        assert ruling(shipped_table(), night).verdict == "later"
    night.channel, night.said["email"] = "email", night.said["sms"]
    assert ruling(shipped_table(), night).verdict == "lawful"
    night.channel, night.class_, night.said = "sms", "transactional", {}
    found = ruling(shipped_table(), night)
    assert found.verdict == "lawful" and not found.rows


def test_in_an_unknown_zone_only_hours_that_are_lawful_in_all_of_them_are() -> None:
    """Nine in the morning in Hawaii is two in the afternoon in New York, and later than eight on the Aleutians."""
    honolulu = datetime(2026, 11, 24, 18, 0, tzinfo=UTC)
    case = Case("sms", "marketing", honolulu, country="US", region="NY", said={"sms": (True, LONG_AGO)})
    assert ruling(shipped_table(), case).verdict == "lawful"
    for hours in (-1, 8):
        case.at = honolulu + timedelta(hours=hours)
        found = ruling(shipped_table(), case)
        assert found.verdict == "later" and found.until is not None
        assert found.until.astimezone(UTC).hour == 18


@pytest.mark.parametrize(
    ("given", "now", "lawful"),
    [
        ("2024-11-22T15:00:00", "2026-11-21T23:59:59", True),
        ("2024-11-22T15:00:00", "2026-11-22T09:00:00", False),
        ("2024-02-29T15:00:00", "2026-02-27T12:00:00", True),
        ("2024-02-29T15:00:00", "2026-02-28T12:00:00", False),
        ("2026-02-28T15:00:00", "2028-02-27T12:00:00", True),
        ("2026-02-28T15:00:00", "2028-02-28T12:00:00", False),
    ],
)
def test_a_consent_counts_until_the_day_before_the_same_day_two_years_later(given: str, now: str, lawful: bool) -> None:
    case = sms(now, phone="")
    case.channel = "email"
    said = datetime.fromisoformat(given).replace(tzinfo=apart.clocks(case)[0]).astimezone(UTC)
    case.said = {"email": (True, said)}
    found = ruling(shipped_table(), case)
    assert (found.verdict == "lawful") is lawful
    assert lawful or found.by == ["kr.ad.consent"]


@pytest.mark.parametrize(
    ("given", "again", "last_day"),
    [
        ("2024-11-22", None, "2026-11-21"),
        # Early, late, and too early to be about the second year: the day of the consent recurs.
        ("2024-11-22", "2026-11-02", "2028-11-21"),
        ("2024-11-22", "2027-03-10", "2028-11-21"),
        ("2024-11-22", "2025-11-22", "2028-11-21"),
        ("2024-11-22", "2025-11-21", "2026-11-21"),
        ("2024-11-22", "2028-01-05", "2030-11-21"),
        ("2024-02-29", "2026-02-20", "2028-02-28"),
    ],
)
def test_a_consent_that_was_confirmed_anew_counts_until_the_next_of_its_days(
    given: str, again: str | None, last_day: str
) -> None:
    zone = ZoneInfo(SEOUL)

    def noon(day: str) -> datetime:
        return datetime.fromisoformat(f"{day}T12:00:00").replace(tzinfo=zone).astimezone(UTC)

    case = sms("2026-01-01T12:00:00", phone="")
    case.said = {"sms": (True, noon(given)), "sms:night": (True, noon(given))}
    if again is not None:
        case.renewed = {"sms": noon(again), "sms:night": noon(again)}
    for hours in (0, 10.5):
        case.at = noon(last_day) + timedelta(hours=hours)
        assert ruling(shipped_table(), case).verdict == "lawful"
        case.at += timedelta(days=1)
        assert ruling(shipped_table(), case).verdict == "forbidden"


def test_of_two_countries_that_may_be_theirs_both_laws_bind() -> None:
    """A Korean number whose owner is in New York: four in the afternoon is lawful in neither place's night."""
    case = sms("2026-11-22T20:30:00", country="", phone="+821012345678", zone="America/New_York")
    assert set(ruling(shipped_table(), case).rows) >= {"kr.ad.night", "us.ad.hours"}


def test_a_company_s_row_stands_in_the_place_of_one_that_ships_and_others_can_be_left_out() -> None:
    stricter = {
        "rows": [
            {
                "id": "kr.ad.night",
                "source": "our own promise",
                "where": ["KR"],
                "channels": ["sms"],
                "hours": {"open": {"mon-fri": ["10:00-18:00"]}},
            }
        ],
        "without": ["kr.ad.consent"],
    }
    law = table(stricter, version=7)
    saturday = sms("2026-11-21T12:00:00", said={"sms:night": (True, datetime(2026, 11, 1, tzinfo=UTC))})
    found = ruling(law, saturday)
    assert (found.verdict, found.rows, law.version) == ("later", ["kr.ad.night"], 7)
    assert found.until == datetime(2026, 11, 23, 1, 0, tzinfo=UTC)
    assert ruling(shipped_table(), saturday).verdict == "lawful"


def test_what_is_forbidden_or_never_open_is_denied_with_its_reason() -> None:
    rows = [
        {"id": "no.calls", "source": "x", "where": ["KR"], "channels": ["sms"], "forbidden": True},
        {"id": "never", "source": "x", "where": ["JP"], "channels": ["sms"], "hours": {"open": {}}},
    ]
    law = table({"rows": rows})
    found = ruling(law, sms("2026-11-21T12:00:00"))
    assert (found.verdict, found.by) == ("forbidden", ["no.calls"])
    found = ruling(law, sms("2026-11-21T12:00:00", country="JP", zone="Asia/Tokyo"))
    assert (found.verdict, found.by) == ("forbidden", ["never"]) and "no lawful hour" in found.detail


@pytest.mark.parametrize(
    ("row", "pointer", "said"),
    [
        ({"where": ["Korea"]}, "/where", "is no place"),
        ({"hours": {"open": {"mon-son": ["08:00-21:00"]}}}, "/hours/open", "names no days"),
        ({"hours": {"open": {"sat-mon": ["08:00-21:00"]}}}, "/hours/open", "over the end of the week"),
        ({"hours": {"open": {"mon": ["21:00-08:00"]}}}, "/hours/open", "follow one another"),
        ({"hours": {"open": {"mon": ["8-21"]}}}, "/hours/open", "is no span"),
        ({"hours": {"open": {"mon-wed": [], "tue": []}}}, "/hours/open", "named twice"),
        ({}, "", "asks for nothing"),
        ({"forbiden": True}, "/forbiden", "not permitted"),
    ],
)
def test_a_row_that_says_nothing_clear_is_refused_at_its_place(row: dict[str, Any], pointer: str, said: str) -> None:
    [fault, *_] = faults_in({"rows": [{"id": "a", "source": "b", "where": ["KR"], **row}]})
    assert fault.pointer.startswith(f"/rows/0{pointer}") and said in fault.detail


def test_two_rows_of_one_id_and_a_row_that_does_not_ship_are_refused() -> None:
    row = {"id": "a", "source": "b", "where": ["KR"], "forbidden": True}
    assert "two rows" in faults_in({"rows": [row, row]})[0].detail
    assert "no row that ships" in faults_in({"without": ["a"]})[0].detail
    with pytest.raises(ValidationError):
        table({"rows": [row, row]})
