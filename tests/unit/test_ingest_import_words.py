"""What do senders of files say, and is it understood? Orders, headers of uploads, totals, sheets that are owed."""

from __future__ import annotations

import base64
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from libs.common.errors import Invalid, Refused
from services.ingest.imports import protocol
from services.ingest.imports.order import Order, order_of
from services.ingest.imports.owing import Expected, day_due, owed
from services.ingest.imports.totals import Found, Sum, disagreements, money_in, money_of


def test_an_order_is_read_with_all_that_it_may_say() -> None:
    given = {"format": "CSV", "mode": "history", "charset": "EUC-KR", "delimiter": "tab", "encoding": "gzip"}
    given |= {"source": " store-1 ", "branch": "gangnam", "sheet_date": "2026-11-21", "lines": "12"}
    order = order_of(given | {"amount": "KRW:45000,USD:12.50", "zone": "Asia/Seoul"}, "query")
    assert order == Order(
        format="csv",
        mode="history",
        charset="cp949",
        delimiter="\t",
        encoding="gzip",
        zone="Asia/Seoul",
        source="store-1",
        branch="gangnam",
        sheet_date=date(2026, 11, 21),
        lines=12,
        amounts={"KRW": Decimal(45_000), "USD": Decimal("12.50")},
    )
    assert order_of({"format": "ndjson", "amount": "5", "currency": "KRW"}, "q").amounts == {"KRW": Decimal(5)}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("format", "xlsx"),
        ("mode", "later"),
        ("charset", "utf-16"),
        ("delimiter", "|"),
        ("encoding", "zstd"),
        ("zone", "../../etc/passwd"),
        ("source", "a\x00b"),
        ("source", "a" * 201),
        ("sheet_date", "21.11.2026"),
        ("lines", "-1"),
        ("lines", "٣"),
        ("amount", "NaN"),
        ("amount", "KRW:1,2"),
        ("amount", "KRW:1,KRW:2"),
        ("amount", "1e99"),
        ("currency", "won"),
        ("colour", "red"),
    ],
)
def test_each_fault_of_an_order_is_named(name: str, value: str) -> None:
    with pytest.raises(Invalid) as caught:
        order_of({"format": "csv", "branch": "b"} | {name: value}, "query")
    assert [fault.pointer for fault in caught.value.errors] == [f"query/{name}"]


@given(st.dictionaries(st.sampled_from(["format", "lines", "amount", "zone", "x"]), st.text(max_size=20)))
def test_no_order_is_more_than_refused(given: dict[str, str]) -> None:
    try:
        order_of(given, "query")
    except Invalid as error:
        assert error.errors


def test_metadata_of_an_upload_is_read_as_tus_says() -> None:
    name = base64.b64encode("매출.csv".encode())
    assert protocol.metadata_in(b"filename " + name + b", format Y3N2,empty") == {
        "filename": "매출.csv",
        "format": "csv",
        "empty": "",
    }
    for wrong in (b"format !", b"format " + base64.b64encode(b"\xff"), b"x " * 5_000):
        with pytest.raises(Refused):
            protocol.metadata_in(wrong)


@pytest.mark.parametrize("header", [b"crc32 AAAA", b"sha1 !", b"sha1"])
def test_a_checksum_that_cannot_be_checked_is_refused(header: bytes) -> None:
    if header == b"sha1":
        checksum = protocol.checksum_in(header)
        assert checksum is not None and not checksum.agrees()
        return
    with pytest.raises(Refused):
        protocol.checksum_in(header)


@pytest.mark.parametrize("header", [b"-1", b"1.5", b"0x10", b"9" * 16])
def test_an_offset_is_a_number_of_bytes(header: bytes) -> None:
    with pytest.raises(Refused):
        protocol.number_in(header, "Upload-Offset")


@given(amounts=st.lists(st.decimals(-(10**12), 10**12, places=4), max_size=200))
def test_sums_of_money_are_exact(amounts: list[Decimal]) -> None:
    total = Sum()
    total.add([("KRW", amount) for amount in amounts])
    total.add([money_in(f"{amount:f}", "USD") for amount in amounts])
    exact = sum((int(amount.scaleb(4)) for amount in amounts), 0)
    for currency in ("KRW", "USD"):
        assert total.found().amounts.get(currency, Decimal(0)) == Decimal(exact).scaleb(-4)


@pytest.mark.parametrize(
    ("event", "money"),
    [
        (b'{"data": {"amount": 0.10, "currency": "KRW"}}', ("KRW", Decimal("0.10"))),
        (b'{"data": {"amount": "0.10"}}', ("", Decimal("0.10"))),
        (b'{"data": {"amount": "NaN"}}', ("", None)),
        (b'{"data": {"amount": 1e999999}}', ("", None)),
        (b'{"data": {"amount": null}}', None),
        (b'{"data": {}}', None),
        (b'{"amount": 5}', None),
        (b'{"amount"', ("", None)),
    ],
)
def test_the_money_of_an_event_is_read_or_said_to_be_none(event: bytes, money: object) -> None:
    assert money_of(event) == money


def test_totals_that_disagree_are_said_one_by_one() -> None:
    order = Order(format="csv", lines=3, amounts={"KRW": Decimal(10), "USD": Decimal(1)})
    found = Found(2, {"KRW": Decimal(10), "EUR": Decimal(5)}, unread=1)
    assert disagreements(order, found) == [
        "3 lines were announced and 2 are there.",
        "0 EUR was announced and 5 is there.",
        "1 USD was announced and 0 is there.",
        "1 amounts are no numbers and are in no sum.",
    ]
    unnamed = Order(format="csv", amounts={"": Decimal(10)})
    assert disagreements(unnamed, Found(2, {"KRW": Decimal("10.00")})) == []
    assert "announce each" in disagreements(unnamed, found)[0]
    assert disagreements(Order(format="csv"), found) == []


SHEET = Expected(branch="b", due=time(23, 30), zone="Asia/Seoul", weekdays=(1, 2, 3, 4, 5), grace_minutes=30)


def seoul(day: int, hour: int, minute: int = 0) -> datetime:
    """A moment of November 2026 by the clock of Seoul; the 20th is a Friday."""
    return datetime(2026, 11, day, hour, minute, tzinfo=UTC) - timedelta(hours=9)


def test_a_sheet_is_owed_from_its_hour_in_the_branchs_zone_until_it_has_come() -> None:
    assert day_due(SHEET, seoul(20, 23, 59)) == date(2026, 11, 19)
    assert day_due(SHEET, seoul(21, 0, 1)) == date(2026, 11, 20)
    # Over the weekend it is still Friday's that is owed.
    assert day_due(SHEET, seoul(23, 12)) == date(2026, 11, 20)
    (one,) = owed([SHEET], set(), seoul(22, 12), None)
    assert (one.branch, one.sheet_date, one.due_at) == ("b", date(2026, 11, 20), seoul(21, 0))
    assert not list(owed([SHEET], {("b", date(2026, 11, 20), "")}, seoul(22, 12), None))
    assert list(owed([SHEET], {("b", date(2026, 11, 19), ""), ("c", date(2026, 11, 20), "")}, seoul(22, 12), None))


def test_a_day_that_is_asked_for_is_owed_only_when_a_sheet_was_due() -> None:
    assert list(owed([SHEET], set(), seoul(23, 12), date(2026, 11, 18)))
    assert not list(owed([SHEET], set(), seoul(23, 12), date(2026, 11, 21)))
    assert not list(owed([SHEET], set(), seoul(23, 12), date(2026, 11, 23)))


def test_an_expected_source_is_the_one_that_counts() -> None:
    only = Expected(branch="b", source="till", due=time(1), zone="UTC", weekdays=(1, 2, 3, 4, 5, 6, 7), grace_minutes=0)
    day, now = date(2026, 11, 20), datetime(2026, 11, 20, 12, tzinfo=UTC)
    assert list(owed([only], {("b", day, "office")}, now, day))
    assert not list(owed([only], {("b", day, "till"), ("b", day, "office")}, now, day))
