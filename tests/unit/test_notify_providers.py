"""Is every answer of a provider read as what it means, and is a mail what it should be?"""

from __future__ import annotations

from datetime import UTC, datetime
from email import message_from_bytes
from email.policy import default

import pytest
from pydantic import ValidationError

from services.notify.delivery import Accepted, Rejected, RetryLater
from services.notify.providers.mail import compose
from services.notify.providers.port import Ambiguous, NotConfigured, Outgoing
from services.notify.providers.web import meaning, retry_after_seconds
from services.notify.settings import Settings

NOW = datetime(2026, 11, 21, 10, 0, tzinfo=UTC)
MAIL = Outgoing(
    "0193a3c0-0000-7000-8000-000000000001",
    "email",
    "marketing",
    "welcome",
    "k",
    "kim@example.org",
    "단골 Kim",
    "<p>안녕</p>",
    "https://m.example.org/t/u/x",
)


@pytest.mark.parametrize(
    ("status", "body", "wanted"),
    [
        (200, b'{"id": "r1"}', Accepted("r1")),
        (202, b"not json", Accepted("")),
        (429, b"", RetryLater("http_429", 7.0, True)),
        (503, b"", RetryLater("http_503", 7.0, True)),
        (401, b"", RetryLater("credentials_refused_401", 30.0, True)),
        (422, b'{"code": "invalid_number"}', Rejected("invalid_number", True)),
        (400, b"\xff", Rejected("http_400")),
        (302, b"", Rejected("http_302")),
    ],
)
def test_answers_over_http(status: int, body: bytes, wanted: object) -> None:
    assert meaning(status, body, "7", NOW, everybody=True) == wanted


@pytest.mark.parametrize("status", [408, 500, 502, 504])
def test_answers_that_say_nothing_certain_are_in_doubt(status: int) -> None:
    with pytest.raises(Ambiguous):
        meaning(status, b"", None, NOW, everybody=True)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("3", 3.0),
        ("Sat, 21 Nov 2026 10:00:09 GMT", 9.0),
        ("Sat, 21 Nov 2026 09:00:00 GMT", 0.0),
        ("soon", None),
        (None, None),
    ],
)
def test_retry_after_in_both_forms(text: str | None, wanted: float | None) -> None:
    assert retry_after_seconds(text, NOW) == wanted


def test_a_mail_carries_its_id_and_a_one_click_way_out() -> None:
    mail = message_from_bytes(compose(MAIL, "Shop <hello@shop.example>", NOW), policy=default)
    assert mail["Message-ID"] == f"<{MAIL.message_id}@shop.example>"
    assert mail["List-Unsubscribe"] == "<https://m.example.org/t/u/x>"
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert mail["Subject"] == "단골 Kim"
    text, html = mail.get_body(("plain",)), mail.get_body(("html",))
    assert text is not None and text.get_content().strip() == "안녕"
    assert html is not None and html.get_content().strip() == "<p>안녕</p>"


async def test_a_channel_that_nobody_configured_says_so() -> None:
    assert await NotConfigured("push").send(MAIL, NOW) == Rejected("channel_not_configured")


def test_demo_mode_refuses_a_provider_of_another_host() -> None:
    base = {"database_url": "postgresql://u:p@h/postgres", "token_secret": "0123456789abcdefghijklmnopqrstuvwxyz"}
    with pytest.raises(ValidationError, match="nobody is contacted in demo mode"):
        Settings(**base, demo=True, smtp_host="smtp.example.org")  # type: ignore[arg-type]
    assert Settings(**base, demo=True).smtp_address == ("127.0.0.1", 18025)  # type: ignore[arg-type]
    assert Settings(**base).smtp_address is None  # type: ignore[arg-type]
