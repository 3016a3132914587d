"""Does the door let in what is right, and say of what is wrong where and why?"""

from __future__ import annotations

import json
from typing import Any

import msgspec
import pytest

from libs.common.errors import Refused
from libs.common.events import EventReceived
from services.ingest.intake import Accepted, Rejected
from services.ingest.refusals import TooLarge
from services.ingest.splitting import EVENTS_MAX
from tests.ingest_events import OFFICE, event, judged, refusal


def accepted(body: object, **options: Any) -> Accepted:
    (verdict,) = judged(body, **options).verdicts
    assert isinstance(verdict, Accepted), f"refused: {verdict}"
    return verdict


def test_the_bytes_of_an_accepted_event_go_on_as_they_came() -> None:
    body = b' {"time" : "2026-11-21T10:15:00+09:00", "id":"\\u0061", "source":"store-1/pos-1", "type":"visit"}\n'
    verdict = accepted(body)
    assert verdict.value == body
    assert verdict.id == "a"


def test_the_strongest_identifier_is_the_key_of_the_record() -> None:
    assert accepted(event()).key == b"loyalty_card:8801-0001"
    assert accepted(event(identifiers={"cookie": "c", "partner:mall": "7"})).key == b"partner:mall:7"


def test_an_event_without_identifiers_is_kept_under_its_own_id() -> None:
    assert accepted(event(identifiers=...)).key == b"receipt-1"


@pytest.mark.parametrize("wrap", [lambda events: events, lambda events: {"events": events}])
def test_a_bad_event_of_a_batch_costs_no_good_one(wrap: Any) -> None:
    outcome = judged(wrap([event(id="a"), event(id="b", time="yesterday"), event(id="c")]))
    assert [type(verdict) for verdict in outcome.verdicts] == [Accepted, Rejected, Accepted]
    bad = outcome.verdicts[1]
    assert isinstance(bad, Rejected)
    assert (bad.index, bad.id, bad.reason, bad.pointer) == (1, "b", "wrong-time", "/time")


@pytest.mark.parametrize("poison", ["NaN", "Infinity", '"\\ud800"', '"\\udc00"', "1e999", "18446744073709551616"])
def test_a_value_that_json_readers_disagree_on_costs_no_other_event_of_the_batch(poison: str) -> None:
    good = json.dumps(event())
    bad = json.dumps(event(data={"note": "?"}, type="visit")).replace('"?"', poison)
    outcome = judged(f"[{good}, {bad}\n, {good}]".encode())
    assert [type(verdict) for verdict in outcome.verdicts] == [Accepted, Rejected, Accepted]
    verdict = outcome.verdicts[1]
    assert isinstance(verdict, Rejected)
    assert verdict.pointer == "/data/note"


@pytest.mark.parametrize(
    "body", [b"", b" \n", b"[", b"[]", b"[1,]", b"[{}", b'{"events": 5}', b'{"events": [], "sent": 1}', b"[1] 2"]
)
def test_a_body_that_cannot_be_read_as_a_whole_is_refused_as_a_whole(body: bytes) -> None:
    with pytest.raises(Refused) as caught:
        judged(body)
    assert caught.value.status == 400


def test_more_events_than_allowed_are_refused_before_any_is_examined() -> None:
    with pytest.raises(TooLarge):
        judged([{}] * (EVENTS_MAX + 1))
    assert len(judged([{}] * EVENTS_MAX).verdicts) == EVENTS_MAX


@pytest.mark.parametrize("name", ["id", "source", "type", "time"])
def test_a_missing_attribute_is_named(name: str) -> None:
    reason, pointer, detail = refusal(event(**{name: ...}))
    assert (reason, pointer) == ("malformed", f"/{name}")
    assert name in detail


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"id": ""}, "/id"),
        ({"id": 7}, "/id"),
        ({"id": "x" * 201}, "/id"),
        ({"id": "a\nb"}, "/id"),
        ({"source": None}, "/source"),
        ({"source": "store-1/pos-\x7f"}, "/source"),
        ({"type": []}, "/type"),
        ({"branch": 5}, "/branch"),
        ({"branch": ""}, "/branch"),
        ({"channel": 5}, "/channel"),
        ({"history": "yes"}, "/history"),
        ({"identifiers": None}, "/identifiers"),
        ({"identifiers": {"phone": 821012345678}}, "/identifiers/phone"),
        ({"identifiers": {"phone": ""}}, "/identifiers/phone"),
        ({"identifiers": {"email": " "}}, "/identifiers/email"),
        ({"identifiers": {"email": "e" * 257}}, "/identifiers/email"),
        ({"identifiers": {f"partner:p{n}": "1" for n in range(21)}}, "/identifiers"),
    ],
)
def test_a_malformed_attribute_is_pointed_at(changes: dict[str, Any], pointer: str) -> None:
    assert refusal(event(**changes))[:2] == ("malformed", pointer)


def test_an_unknown_attribute_is_refused_with_the_nearest_known_one() -> None:
    reason, pointer, detail = refusal(event(identifier={}))
    assert (reason, pointer) == ("unknown-attribute", "/identifier")
    assert "identifiers" in detail


def test_an_unknown_identifier_is_refused_with_the_nearest_known_one() -> None:
    reason, pointer, detail = refusal(event(identifiers={"loyalty/kard": "1"}))
    assert (reason, pointer) == ("unknown-identifier", "/identifiers/loyalty~1kard")
    assert "loyalty_card" in detail


def test_a_time_without_an_offset_is_refused_with_an_example() -> None:
    reason, pointer, detail = refusal(event(time="2026-11-21T10:15:00"))
    assert (reason, pointer) == ("wrong-time", "/time")
    assert "offset" in detail and "+09:00" in detail


@pytest.mark.parametrize("time", ["2026-11-21", "10:15", "", 1763691300, None, "2026-13-01T00:00:00Z"])
def test_what_is_no_instant_is_refused(time: object) -> None:
    assert refusal(event(time=time))[:2] == ("wrong-time", "/time")


def test_old_data_is_refused_as_live_with_history_as_the_remedy() -> None:
    reason, pointer, detail = refusal(event(time="2025-11-21T10:15:00Z"), key=OFFICE)
    assert (reason, pointer) == ("wrong-time", "/time")
    assert "history: true" in detail
    accepted(event(time="2025-11-21T10:15:00Z", history=True), key=OFFICE)


@pytest.mark.parametrize(
    ("time", "history"),
    [
        ("2026-11-22T12:00:01Z", False),
        ("2027-11-21T12:00:00Z", True),
        ("1899-12-31T23:59:59Z", True),
        ("0001-01-01T00:00:00+14:00", True),
        ("9999-12-31T23:59:59-14:00", True),
    ],
)
def test_no_event_lies_beyond_the_ends_of_time(time: str, history: bool) -> None:
    assert refusal(event(time=time, history=history), key=OFFICE)[:2] == ("wrong-time", "/time")


def test_history_needs_a_key_that_may_send_it() -> None:
    assert refusal(event(history=True))[:2] == ("history-not-allowed", "/history")


def test_a_key_sends_only_as_its_own_sources_and_to_its_own_channel() -> None:
    assert refusal(event(source="web/shop"))[:2] == ("source-not-allowed", "/source")
    assert refusal(event(channel="web"))[:2] == ("wrong-channel", "/channel")
    accepted(event(channel="pos"))
    accepted(event(source="web/shop"), key=OFFICE)


def test_an_unknown_type_is_refused_with_the_nearest_known_ones() -> None:
    reason, pointer, detail = refusal(event(type="purchse"))
    assert (reason, pointer) == ("unknown-type", "/type")
    assert "purchase" in detail
    assert refusal(event(type="warranty"))[0] == "unknown-type"
    accepted(event(type="warranty", data={"free": True}), own_types=("warranty",))


@pytest.mark.parametrize("name", ["message.clicked", "task.done", "profile.changed"])
def test_what_the_platform_itself_says_is_refused_from_outside(name: str) -> None:
    assert refusal(event(type=name))[:2] == ("reserved-type", "/type")


@pytest.mark.parametrize("amount", [45000, 0.5, "45000", "45000.50", -3])
def test_an_amount_is_a_number_or_a_decimal_string(amount: object) -> None:
    accepted(event(data={"amount": amount, "currency": "KRW"}))


@pytest.mark.parametrize(
    ("data", "pointer"),
    [
        ({"amount": "4,500", "currency": "KRW"}, "/data/amount"),
        ({"amount": "NaN", "currency": "KRW"}, "/data/amount"),
        ({"amount": True, "currency": "KRW"}, "/data/amount"),
        ({"amount": 10**16, "currency": "KRW"}, "/data/amount"),
        ({"amount": 1, "currency": "won"}, "/data/currency"),
        ({"amount": 1, "currency": "KRW\n"}, "/data/currency"),
        ({"amount": 1}, "/data"),
        ({"currency": "KRW"}, "/data"),
        ({"amount": 1, "currency": "KRW", "items": {}}, "/data/items"),
        ({"amount": 1, "currency": "KRW", "items": [{}, {"price": "x"}]}, "/data/items/1/price"),
        ([], "/data"),
        (None, "/data"),
    ],
)
def test_data_that_does_not_fit_its_type_is_pointed_at(data: object, pointer: str) -> None:
    assert refusal(event(data=data))[:2] == ("invalid-data", pointer)


def test_the_data_of_an_own_type_is_an_object() -> None:
    assert refusal(event(type="own", data=[1]), own_types=("own",))[:2] == ("invalid-data", "/data")


def test_a_refused_event_keeps_its_bytes_and_what_could_be_read_of_it() -> None:
    (verdict,) = judged(event(type="nothing")).verdicts
    assert isinstance(verdict, Rejected)
    assert json.loads(verdict.body) == event(type="nothing")
    assert (verdict.id, verdict.source, verdict.type) == ("receipt-1", "store-031/pos-2", "nothing")


def test_an_event_that_is_too_large_is_refused_alone() -> None:
    large = event(type="visit", data={f"k{n}": "x" * 30_000 for n in range(9)})
    outcome = judged([large, event()])
    first = outcome.verdicts[0]
    assert isinstance(first, Rejected) and first.reason == "too-large"
    assert isinstance(outcome.verdicts[1], Accepted)


def test_what_is_accepted_reads_as_the_event_that_the_log_promises() -> None:
    read = msgspec.json.decode(accepted(event()).value, type=EventReceived)
    assert read.identifiers["phone"] == "+821012345678"
    assert json.loads(bytes(read.data)) == event()["data"]
