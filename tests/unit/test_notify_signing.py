"""Is nothing believed that we, or a provider of ours, did not sign?"""

from __future__ import annotations

import base64
import hashlib
import hmac

from hypothesis import given, settings
from hypothesis import strategies as st

from services.notify import signing

SECRET = b"a secret"
MESSAGE = "0193a3c0-0000-7000-8000-000000000001"


@settings(deadline=None)
@given(st.uuids(), st.integers(0, 65_535), st.sampled_from("ocu"))
def test_a_token_names_its_message_and_link(message: object, number: int, purpose: str) -> None:
    made = signing.token(SECRET, purpose, str(message), number)
    assert len(made) == 40
    assert signing.read_token(SECRET, purpose, made) == (str(message), number)


def test_a_token_of_another_purpose_secret_or_shape_is_refused() -> None:
    made = signing.token(SECRET, "o", MESSAGE, 1)
    assert signing.read_token(SECRET, "u", made) is None
    assert signing.read_token(b"another", "o", made) is None
    for index in range(len(made)):
        changed = made[:index] + ("A" if made[index] != "A" else "B") + made[index + 1 :]
        assert signing.read_token(SECRET, "o", changed) is None


@settings(deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_no_token(text: str) -> None:
    assert signing.read_token(SECRET, "o", text) is None


def test_a_receipt_is_believed_for_five_minutes_and_as_it_was_signed() -> None:
    signature = signing.sign_body(SECRET, b"{}", 1_000)
    assert signing.is_signed(SECRET, b"{}", signature, 1_300)
    assert not signing.is_signed(SECRET, b"{}", signature, 1_301)
    assert not signing.is_signed(SECRET, b"{} ", signature, 1_000)
    assert not signing.is_signed(b"another", b"{}", signature, 1_000)


@settings(deadline=None)
@given(st.text(max_size=60))
def test_any_text_is_no_signature(text: str) -> None:
    assert not signing.is_signed(SECRET, b"{}", text, 1_000)


def test_secrets_of_two_purposes_differ() -> None:
    assert signing.derive(SECRET, "receipt") != signing.derive(SECRET, "tracking")


def test_a_webhook_is_signed_as_the_convention_has_it() -> None:
    wanted = base64.b64encode(hmac.new(SECRET, b"id.7.{}", hashlib.sha256).digest()).decode()
    assert signing.standard_webhook(SECRET, "id", 7, b"{}") == f"v1,{wanted}"
