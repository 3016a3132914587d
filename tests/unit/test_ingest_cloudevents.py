"""Is a CloudEvent accepted in each of its modes, and says the same afterwards?"""

from __future__ import annotations

import json
from typing import Any

import pytest

from libs.common.errors import Refused
from services.ingest.intake import Accepted, Form, Outcome, Rejected, decode_binary
from tests.ingest_events import NOW, event, judged, refusal, terms


def cloud_event(**changes: Any) -> dict[str, Any]:
    whole = {"specversion": "1.0", "subject": "loyalty_card:8801-0001", "identifiers": ...}
    return event(**(whole | changes))


def read(outcome: Outcome) -> dict[str, Any]:
    (verdict,) = outcome.verdicts
    assert isinstance(verdict, Accepted), f"refused: {verdict}"
    whole: dict[str, Any] = json.loads(verdict.value)
    return whole


@pytest.mark.parametrize("form", [Form.NATIVE, Form.CLOUD_EVENT])
def test_a_structured_cloud_event_becomes_a_channel_event(form: Form) -> None:
    whole = read(judged(cloud_event(branch="gangnam", traceparent="00-1", channel="pos"), form=form))
    assert whole == event(identifiers={"loyalty_card": "8801-0001"}, branch="gangnam", channel="pos")


def test_identifiers_in_the_data_come_first_and_leave_the_data() -> None:
    data = {"amount": 12345678901.123456789, "currency": "KRW", "identifiers": {"email": "kim@example.com"}}
    whole = read(judged(cloud_event(data=data)))
    assert whole["identifiers"] == {"email": "kim@example.com"}
    assert whole["data"] == {"amount": 12345678901.123456789, "currency": "KRW"}


def test_a_subject_that_is_no_identifier_is_let_be() -> None:
    assert "identifiers" not in read(judged(event(specversion="1.0", identifiers=..., subject="a/b:c")))


def test_a_partner_s_identifier_can_be_the_subject() -> None:
    whole = read(judged(event(specversion="1.0", identifiers=..., subject="partner:mall:77")))
    assert whole["identifiers"] == {"partner:mall": "77"}


def test_a_cloud_event_without_a_time_happened_when_it_came() -> None:
    assert read(judged(cloud_event(time=...)))["time"] == NOW.isoformat().replace("+00:00", "Z")


def test_a_batch_of_cloud_events_has_a_verdict_for_each() -> None:
    outcome = judged([cloud_event(), cloud_event(specversion="0.3"), event()], form=Form.CLOUD_BATCH)
    assert [type(verdict) for verdict in outcome.verdicts] == [Accepted, Rejected, Rejected]


@pytest.mark.parametrize(
    ("changes", "pointer"),
    [
        ({"specversion": "0.3"}, "/specversion"),
        ({"specversion": 1}, "/specversion"),
        ({"Traceparent": "x"}, "/Traceparent"),
        ({"extension": {"a": 1}}, "/extension"),
        ({"data": ..., "data_base64": "AA=="}, "/data_base64"),
        ({"datacontenttype": "text/xml"}, "/datacontenttype"),
        ({"id": ""}, "/id"),
        ({"source": ...}, "/source"),
        ({"data": "text"}, "/data"),
        ({"channel": "web"}, "/channel"),
    ],
)
def test_a_bad_cloud_event_is_pointed_at(changes: dict[str, Any], pointer: str) -> None:
    assert refusal(cloud_event(**changes))[1] == pointer


def test_the_content_type_and_the_body_must_agree() -> None:
    for body, form in ((cloud_event(), Form.CLOUD_BATCH), ([cloud_event()], Form.CLOUD_EVENT)):
        with pytest.raises(Refused):
            judged(body, form=form)


HEADERS = [
    (b"ce-specversion", b"1.0"),
    (b"ce-id", b"receipt-1"),
    (b"ce-source", b"store-031/pos-2"),
    (b"ce-type", b"visit"),
    (b"ce-time", b"2026-11-21T10:15:00+09:00"),
    (b"ce-branch", b"%EA%B0%95%EB%82%A8"),
    (b"ce-subject", b'"account:\\"kim\\""'),
    (b"host", b"example.com"),
]


def test_binary_mode_takes_attributes_from_headers_and_decodes_them() -> None:
    outcome = decode_binary(HEADERS, b"application/json; charset=utf-8", b'{"page": "/tea"}', terms())
    assert read(outcome) == event(type="visit", branch="강남", identifiers={"account": '"kim"'}, data={"page": "/tea"})


@pytest.mark.parametrize(
    ("extra", "content_type", "body", "pointer"),
    [
        ((b"ce-branch", b"%ff"), b"application/json", b"{}", "/branch"),
        ((b"ce-branch", b"%00"), b"application/json", b"{}", "/branch"),
        ((b"ce-branch", b"a"), b"text/plain", b"{}", "/datacontenttype"),
        ((b"ce-branch", b"a"), b"application/json", b"{", "/data"),
        ((b"ce-branch", b"a"), b"application/json", b'{"a": 1e999}', "/data/a"),
    ],
)
def test_a_bad_binary_cloud_event_is_pointed_at(
    extra: tuple[bytes, bytes], content_type: bytes, body: bytes, pointer: str
) -> None:
    (verdict,) = decode_binary([*HEADERS[:5], extra], content_type, body, terms()).verdicts
    assert isinstance(verdict, Rejected)
    assert verdict.pointer == pointer


def test_binary_mode_without_a_body_is_an_event_without_data() -> None:
    assert read(decode_binary(HEADERS[:5], b"", b"", terms())) == event(type="visit", identifiers=..., data=...)
