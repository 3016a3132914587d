"""What do the tests of ingest send? Events that are right, to be made wrong in one place."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from services.ingest.intake import Form, Outcome, Rejected, Terms, decode_batch
from services.ingest.keys.book import WriteKey
from services.ingest.schemas.kinds import Kinds

NOW = datetime(2026, 11, 21, 12, 0, tzinfo=UTC)
TILL = WriteKey("key-1", "pos", ["store-*/pos-*"], [])
OFFICE = WriteKey("key-2", "pos", [], ["history"])


def event(**changes: Any) -> dict[str, Any]:
    """A purchase at a till; a value of `...` takes the attribute out."""
    whole: dict[str, Any] = {
        "id": "receipt-1",
        "source": "store-031/pos-2",
        "type": "purchase",
        "time": "2026-11-21T10:15:00+09:00",
        "identifiers": {"loyalty_card": "8801-0001", "phone": "+821012345678"},
        "data": {"amount": 45000, "currency": "KRW", "items": [{"product": "tea-12", "quantity": 1}]},
    }
    whole |= changes
    return {name: value for name, value in whole.items() if value is not ...}


def terms(key: WriteKey = TILL, own_types: tuple[str, ...] = ()) -> Terms:
    return Terms(key, Kinds(dict.fromkeys(own_types)), NOW, NOW - timedelta(days=35), NOW + timedelta(hours=24))


def judged(body: object, *, form: Form = Form.NATIVE, key: WriteKey = TILL, own_types: tuple[str, ...] = ()) -> Outcome:
    """The verdicts on a body; what is not bytes is encoded first."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return decode_batch(raw, form, terms(key, own_types))


def refusal(body: object, **options: Any) -> tuple[str, str, str]:
    """Reason, pointer and detail of the only event, which must be refused."""
    (verdict,) = judged(body, **options).verdicts
    assert isinstance(verdict, Rejected), f"accepted: {verdict}"
    return verdict.reason, verdict.pointer, verdict.detail


def naughty_strings() -> list[str]:
    """The big list of naughty strings, where the folder with data is there."""
    folder = Path(os.environ.get("DANGOL_DATA", "../shared/data"))
    file = folder / "naughty_strings" / "blns.json"
    if not file.exists():
        pytest.skip(f"the big list of naughty strings is not at {file}; DANGOL_DATA names its folder")
    strings: list[str] = json.loads(file.read_text("utf-8"))
    return strings
