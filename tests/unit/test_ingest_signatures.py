"""Who signed a webhook? Signers that are not ours, and everything that may be wrong with what they sent."""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks.webhooks import Webhook

from libs.common.errors import Unauthenticated
from services.ingest.hooks import signatures
from services.ingest.hooks.signatures import Delivery, TooOld, key_of, verify

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
BODY = b'{"id": 820982911946154508, "note": "\xea\xb0\x90\xec\x82\xac", "timestamp": "2026-11-21T11:59:58.120+0000"}'
SECRET = "hush-hush-0123456789"
URL = "https://events.example.com/v1/hooks/square/main"
WHSEC = "whsec_" + base64.b64encode(b"k" * 32).decode()


def openssl(secret: str, message: bytes) -> bytes:
    """The signature as a shell would make it, with nobody's Python in between."""
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl here")
    made = subprocess.run(
        ["openssl", "dgst", "-sha256", "-hmac", secret, "-binary"], input=message, capture_output=True, check=True
    )
    return base64.b64encode(made.stdout)


def delivery(headers: Mapping[bytes, bytes], body: bytes = BODY, url: str = "") -> Delivery:
    return Delivery(body, lambda name: headers.get(name, b""), url)


def signed(provider: str, *, body: bytes = BODY, secret: str = SECRET, url: str = URL) -> Delivery:
    message = {
        "shopify": body,
        "square": url.encode() + body,
        "toast": body + b"2026-11-21T11:59:58.120+0000",
    }[provider]
    return delivery({signatures.SIGNATURE_HEADERS[provider]: openssl(secret, message)}, body, url)


def standard(*, body: bytes = BODY, secret: str = WHSEC, at: datetime = NOW, id: str = "msg_1") -> dict[bytes, bytes]:
    """The headers that the library of the standard's authors makes."""
    return {
        b"webhook-id": id.encode(),
        b"webhook-timestamp": str(int(at.timestamp())).encode(),
        b"webhook-signature": Webhook(secret).sign(id, at, body.decode()).encode(),
    }


def keys(provider: str, *secrets: str) -> list[bytes]:
    return [key_of(provider, secret) for secret in secrets]


@pytest.mark.parametrize("provider", ["shopify", "square", "toast"])
def test_what_openssl_signed_is_taken(provider: str) -> None:
    verify(provider, signed(provider), keys(provider, SECRET), NOW)


def test_what_the_standards_own_library_signed_is_taken() -> None:
    verify("standard", delivery(standard()), keys("standard", WHSEC), NOW)


def test_the_vector_of_the_standard_fits() -> None:
    """From the specification's reference implementations."""
    headers = {
        b"webhook-id": b"msg_p5jXN8AQM9LWM0D4loKWxJek",
        b"webhook-timestamp": b"1614265330",
        b"webhook-signature": b"v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }
    key = keys("standard", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    sent = delivery(headers, b'{"test": 2432232314}')
    verify("standard", sent, key, datetime.fromtimestamp(1614265330, UTC))


@pytest.mark.parametrize("provider", ["shopify", "square", "toast"])
@pytest.mark.parametrize("position", [0, 20, len(BODY) - 2])
def test_one_changed_byte_is_noticed(provider: str, position: int) -> None:
    good = signed(provider)
    body = BODY[:position] + bytes([BODY[position] ^ 1]) + BODY[position + 1 :]
    with pytest.raises(Unauthenticated):
        verify(provider, Delivery(body, good.header, good.notification_url), keys(provider, SECRET), NOW)


@pytest.mark.parametrize("provider", ["shopify", "square", "toast"])
def test_another_secret_is_noticed(provider: str) -> None:
    with pytest.raises(Unauthenticated):
        verify(provider, signed(provider, secret="another-secret-0123"), keys(provider, SECRET), NOW)


def test_a_body_that_is_written_otherwise_is_another_body() -> None:
    """The raw bytes count, not the document in them."""
    good = signed("shopify")
    body = json.dumps(json.loads(BODY)).encode()
    with pytest.raises(Unauthenticated):
        verify("shopify", Delivery(body, good.header), keys("shopify", SECRET), NOW)


def test_square_signs_the_address_that_it_was_told() -> None:
    good = signed("square")
    for url in (URL + "/", URL.replace("https", "http"), ""):
        with pytest.raises(Unauthenticated):
            verify("square", Delivery(BODY, good.header, url), keys("square", SECRET), NOW)


@pytest.mark.parametrize("body", [b"", b"{}", b"[1]", b'{"timestamp": ', b'{"timestamp": "\xff"}', b"\x00" * 100])
def test_a_toast_body_without_a_timestamp_is_refused_and_not_a_crash(body: bytes) -> None:
    sent = delivery({b"toast-signature": openssl(SECRET, body)}, body)
    with pytest.raises(Unauthenticated):
        verify("toast", sent, keys("toast", SECRET), NOW)


@pytest.mark.parametrize("provider", signatures.PROVIDERS)
@pytest.mark.parametrize("value", [b"", b" ", b"=", b"v1,", b"v1", b"\xff\xfe", b"AAAA", b"v1, v1, v1,", b"v2,AAAA"])
def test_nonsense_for_a_signature_is_refused(provider: str, value: bytes) -> None:
    headers = {signatures.SIGNATURE_HEADERS[provider]: value} | {
        b"webhook-id": b"1",
        b"webhook-timestamp": str(int(NOW.timestamp())).encode(),
    }
    with pytest.raises(Unauthenticated):
        verify(provider, delivery(headers), keys(provider, WHSEC), NOW)


@pytest.mark.parametrize("provider", signatures.PROVIDERS)
def test_without_a_key_nothing_is_taken(provider: str) -> None:
    good = delivery(standard()) if provider == "standard" else signed(provider)
    with pytest.raises(Unauthenticated):
        verify(provider, good, [], NOW)


@pytest.mark.parametrize("seconds", [-299, 0, 299])
def test_a_clock_may_be_off_by_five_minutes(seconds: int) -> None:
    verify("standard", delivery(standard(at=NOW + timedelta(seconds=seconds))), keys("standard", WHSEC), NOW)


@pytest.mark.parametrize("seconds", [-86_400, -302, 302, 86_400])
def test_an_old_delivery_cannot_be_sent_again(seconds: int) -> None:
    with pytest.raises(TooOld):
        verify("standard", delivery(standard(at=NOW + timedelta(seconds=seconds))), keys("standard", WHSEC), NOW)


@pytest.mark.parametrize("stamp", [b"", b"-1", b"1e9", b"soon", b"9" * 40, "１２３".encode()])
def test_a_timestamp_is_a_number_of_seconds(stamp: bytes) -> None:
    with pytest.raises(Unauthenticated):
        verify("standard", delivery(standard() | {b"webhook-timestamp": stamp}), keys("standard", WHSEC), NOW)


@pytest.mark.parametrize("name", [b"webhook-id", b"webhook-timestamp"])
def test_id_and_time_of_a_standard_webhook_are_signed_too(name: bytes) -> None:
    headers = standard()
    for value in (b"msg_2", str(int(NOW.timestamp()) + 1).encode()):
        with pytest.raises(Unauthenticated):
            verify("standard", delivery(headers | {name: value}), keys("standard", WHSEC), NOW)


@pytest.mark.parametrize("provider", ["shopify", "square", "toast"])
def test_both_secrets_count_while_one_follows_the_other(provider: str) -> None:
    both = keys(provider, "the-next-secret-42", SECRET)
    verify(provider, signed(provider), both, NOW)
    verify(provider, signed(provider, secret="the-next-secret-42"), both, NOW)
    with pytest.raises(Unauthenticated):
        verify(provider, signed(provider), both[:1], NOW)


def test_a_sender_who_rotates_signs_with_both() -> None:
    other = "whsec_" + base64.b64encode(b"o" * 24).decode()
    first, second = standard(), standard(secret=other)
    headers = first | {b"webhook-signature": second[b"webhook-signature"] + b" " + first[b"webhook-signature"]}
    verify("standard", delivery(headers), keys("standard", WHSEC), NOW)
    verify("standard", delivery(headers), keys("standard", other), NOW)


def test_a_signature_of_another_version_is_none_of_ours() -> None:
    headers = standard()
    headers[b"webhook-signature"] = headers[b"webhook-signature"].replace(b"v1,", b"v1a,")
    with pytest.raises(Unauthenticated):
        verify("standard", delivery(headers), keys("standard", WHSEC), NOW)


@pytest.mark.parametrize(
    ("provider", "secret"),
    [
        ("shopify", "short"),
        ("shopify", "x" * 501),
        ("square", "with a\nline break"),
        ("standard", "whsec_????"),
        ("standard", "whsec_" + base64.b64encode(b"short").decode()),
        ("standard", "whsec_" + base64.b64encode(b"x" * 65).decode()),
    ],
)
def test_what_cannot_be_a_secret_is_not_taken_for_one(provider: str, secret: str) -> None:
    with pytest.raises(ValueError, match="secret"):
        key_of(provider, secret)


def test_a_secret_that_was_made_here_works_in_the_standards_library() -> None:
    secret = signatures.standard_secret(bytes(range(32)))
    verify("standard", delivery(standard(secret=secret)), keys("standard", secret), NOW)
