"""Is a campaign that is not right refused at the place where it is wrong, and a right one understood?"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import msgspec
import pytest
from pydantic import ValidationError

from libs.common.documents import ActiveDocument
from services.campaign.caps import Cap
from services.campaign.document import CampaignDocument, campaign_of, compile_library, span_of
from services.campaign.hours import QuietHours

WHOLE: dict[str, Any] = {
    "id": "welcome",
    "name": "Welcome",
    "trigger": "offer.welcome",
    "class": "marketing",
    "channel": "sms",
    "template": "welcome-text",
    "quiet_hours": {"from": "21:30", "to": "08:00", "zone": "Europe/Berlin"},
    "cap": {"times": 1, "per": "7d"},
    "holdout_percent": 10,
    "valid_for": "36h",
    "priority": 80,
    "cost": "12.50",
}


def _without(*names: str, **changes: Any) -> dict[str, Any]:
    return {name: value for name, value in (WHOLE | changes).items() if name not in names}


def test_a_whole_document_is_understood() -> None:
    understood = campaign_of(CampaignDocument.model_validate(WHOLE), 4, 25)
    assert understood.quiet == QuietHours(21 * 60 + 30, 8 * 60, "Europe/Berlin")
    assert understood.cap == Cap(1, timedelta(days=7))
    assert (understood.version, understood.ramp_percent, understood.class_) == (4, 25, "marketing")
    assert (understood.valid_for, understood.holdout_percent) == (timedelta(hours=36), 10)


@pytest.mark.parametrize(
    ("channel", "class_", "quiet"),
    [
        ("sms", "marketing", True),
        ("call", "marketing", True),
        ("email", "marketing", False),
        ("webhook", "marketing", False),
        ("sms", "transactional", False),
        ("sms", "service", False),
    ],
)
def test_without_quiet_hours_the_default_of_the_channel_and_class_holds(channel: str, class_: str, quiet: bool) -> None:
    document = _without("quiet_hours", channel=channel, **{"class": class_})
    understood = campaign_of(CampaignDocument.model_validate(document), 1)
    assert understood.quiet == (QuietHours(20 * 60, 9 * 60) if quiet else None)


def test_quiet_hours_null_means_none() -> None:
    assert campaign_of(CampaignDocument.model_validate(WHOLE | {"quiet_hours": None}), 1).quiet is None


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"colour": "red"}, ("colour",)),
        ({"id": "Has Blanks"}, ("id",)),
        ({"trigger": "offer..x"}, ("trigger",)),
        ({"trigger": "offer.*"}, ("trigger",)),
        ({"class": "spam"}, ("class",)),
        ({"channel": "fax"}, ("channel",)),
        ({"name": "a\nb"}, ("name",)),
        ({"quiet_hours": {"from": "24:00", "to": "09:00"}}, ("quiet_hours", "from")),
        ({"quiet_hours": {"from": "9:00", "to": "10:00"}}, ("quiet_hours", "from")),
        ({"quiet_hours": {"from": "09:00", "to": "09:00"}}, ("quiet_hours",)),
        ({"quiet_hours": {"from": "20:00", "to": "09:00", "zone": "Mars"}}, ("quiet_hours", "zone")),
        ({"cap": {"times": -1, "per": "7d"}}, ("cap", "times")),
        ({"cap": {"times": True, "per": "7d"}}, ("cap", "times")),
        ({"cap": {"times": 1, "per": "2 fortnights"}}, ("cap", "per")),
        ({"cap": {"times": 1}}, ("cap", "per")),
        ({"holdout_percent": 51}, ("holdout_percent",)),
        ({"holdout_percent": float("nan")}, ("holdout_percent",)),
        ({"valid_for": "0d"}, ("valid_for",)),
        ({"valid_for": "999999w"}, ("valid_for",)),
        ({"priority": 101}, ("priority",)),
        ({"priority": "80"}, ("priority",)),
        ({"cost": "-1"}, ("cost",)),
        ({"cost": 1.5}, ("cost",)),
    ],
)
def test_what_is_wrong_is_refused_at_its_place(changes: dict[str, Any], place: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError) as refused:
        CampaignDocument.model_validate(WHOLE | changes)
    assert [error["loc"] for error in refused.value.errors()] == [place]


@pytest.mark.parametrize("name", ["id", "name", "trigger", "channel", "template"])
def test_what_cannot_be_left_out_is_asked_for(name: str) -> None:
    with pytest.raises(ValidationError) as refused:
        CampaignDocument.model_validate(_without(name))
    assert [(error["loc"], error["type"]) for error in refused.value.errors()] == [((name,), "missing")]


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("30min", timedelta(minutes=30)),
        ("5h", timedelta(hours=5)),
        ("7d", timedelta(days=7)),
        ("2w", timedelta(days=14)),
    ],
)
def test_a_span_is_a_number_and_a_unit(text: str, span: timedelta) -> None:
    assert span_of(text) == span


def test_campaigns_of_one_trigger_stand_by_priority_and_then_by_id() -> None:
    def active(id: str, priority: int) -> ActiveDocument:
        body = msgspec.json.encode(_without(id=id, priority=priority))
        return ActiveDocument(id, 3, "active", 100, body)

    library = compile_library([active("b", 10), active("c", 90), active("a", 10)])
    assert [each.id for each in library.by_trigger["offer.welcome"]] == ["c", "a", "b"]
    assert library.by_id["a"].version == 3
