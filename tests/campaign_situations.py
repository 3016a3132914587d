"""Which situation does a campaign test begin with? One in which all may be contacted; tests change one thing."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from libs.common.events import Consent, RuleTriggered
from services.campaign.caps import Cap, Contact
from services.campaign.facts import Facts, Record, Standing
from services.campaign.policy import Campaign, Company, Situation

NOON = datetime(2026, 3, 4, 3, 0, tzinfo=UTC)
"""Twelve o'clock in Seoul."""

COMPANY = Company("Asia/Seoul", {"marketing": Cap(3, timedelta(days=7))})
WILLING = Facts(
    consents={"email": True, "sms": True, "call": True, "webhook": True},
    suppressed=frozenset(),
    points=frozenset({"email", "phone", "webhook"}),
    zone="Asia/Seoul",
)


def campaign(**changes: Any) -> Campaign:
    base = Campaign("spring", 1, "offer.spring", "marketing", "sms", "spring-text", timedelta(days=3))
    return msgspec.structs.replace(base, **changes)


def situation(**changes: Any) -> Situation:
    base = Situation("person-1", NOON, campaign(), True, WILLING, [], frozenset(), COMPANY, NOON)
    return msgspec.structs.replace(base, **changes)


def facts(**changes: Any) -> Facts:
    return msgspec.structs.replace(WILLING, **changes)


def contact(at: datetime = NOON, **changes: Any) -> Contact:
    return msgspec.structs.replace(Contact("spring", "sms", "marketing", at), **changes)


def trigger(number: int = 1, customer_id: str = "c1", **changes: Any) -> RuleTriggered:
    base = RuleTriggered(
        trigger_id=f"trigger-{customer_id}-{number}",
        trigger="offer.spring",
        rule_id="rule-1",
        rule_version=1,
        customer_id=customer_id,
        person_id=f"person-of-{customer_id}",
        occurred_at=NOON,
        event_id=f"event-{number}",
        received_ms=1234,
    )
    return msgspec.structs.replace(base, **changes)


def profile(**values: Any) -> msgspec.Raw:
    return msgspec.Raw(msgspec.json.encode(values))


def record(version: int = 1, linked: Sequence[str] = (), **changes: Any) -> Record:
    base = Standing(
        version=version,
        consents={"sms": Consent(True, NOON - timedelta(days=30))},
        zone="Asia/Seoul",
        points=["email", "phone"],
    )
    return Record(msgspec.structs.replace(base, **changes), list(linked))
