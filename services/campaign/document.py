"""What may a marketer write in a campaign, and what does the policy make of it?"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from decimal import Decimal
from typing import Annotated, Literal
from zoneinfo import available_timezones

import msgspec
from pydantic import ConfigDict, Field, TypeAdapter, ValidationError, field_validator, model_validator

from libs.common.documents import ActiveDocument
from libs.common.errors import Fault
from libs.common.web import Document
from libs.common.web.problems import faults_of
from services.campaign.caps import Cap
from services.campaign.hours import QuietHours
from services.campaign.policy import MARKETING, Campaign
from services.campaign.results.terms import Goal

KIND = "campaign"
CUSTOMER_ZONE = "customer"
QUIET_BY_DEFAULT = QuietHours(20 * 60, 9 * 60)
"""Stricter than every night rule that the product knows of."""

_QUIET_CHANNELS = frozenset({"sms", "push", "call"})
_SPAN = re.compile(r"^([1-9][0-9]{0,5})(min|h|d|w)$")
_SECONDS_OF = {"min": 60, "h": 3600, "d": 86_400, "w": 604_800}
_SPAN_MAX = timedelta(days=366)
AMOUNT = r"^(0|[1-9][0-9]{0,8})(\.[0-9]{1,4})?$"
_MINUTE = re.compile(r"^([01][0-9]|2[0-3]):([0-5][0-9])$")

Id = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,99}$")]
Name = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
TriggerName = Annotated[str, Field(max_length=200, pattern=r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$")]


class _Part(Document):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, strict=True, frozen=True)


class QuietHoursPart(_Part):
    from_: str = Field(alias="from")
    to: str
    zone: str = CUSTOMER_ZONE

    @field_validator("from_", "to")
    @classmethod
    def _is_minute(cls, text: str) -> str:
        if not _MINUTE.match(text):
            raise ValueError(f'"{text}" is not a time of day; write hours and minutes, such as "20:00"')
        return text

    @field_validator("zone")
    @classmethod
    def _is_zone(cls, text: str) -> str:
        if text != CUSTOMER_ZONE and text not in available_timezones():
            raise ValueError(f'"{text}" is neither "customer" nor a time zone such as "Asia/Seoul"')
        return text

    @model_validator(mode="after")
    def _is_part_of_the_day(self) -> QuietHoursPart:
        if self.from_ == self.to:
            raise ValueError("from and to are the same time; write null for no quiet hours")
        return self


class CapPart(_Part):
    times: int = Field(ge=0, le=1000)
    per: str

    @field_validator("per")
    @classmethod
    def _is_span(cls, text: str) -> str:
        span_of(text)
        return text


class GoalPart(_Part):
    """What the campaign is for, and what its report is held against. `target_percent` of the people contacted shall
    do `event` within `within` of the decision; `response_value` is what one response is expected to leave before the
    cost of contact; `margin_percent` is left of what the catalogue knows no margin of.
    """

    event: str = Field(max_length=100, pattern=r"^[a-z0-9_]+(\.[a-z0-9_]+)*$")
    within: str = "14d"
    target_percent: float = Field(gt=0, le=100)
    until: date
    response_value: str = Field(pattern=AMOUNT)
    currency: str = Field("", pattern=r"^([A-Z]{3})?$")
    margin_percent: float = Field(30, ge=-100, le=100)
    planned_people: int = Field(10_000, ge=100, le=1_000_000_000)

    @field_validator("within")
    @classmethod
    def _is_span(cls, text: str) -> str:
        span_of(text)
        return text

    @field_validator("until", mode="before")
    @classmethod
    def _is_day(cls, text: object) -> date:
        try:
            return date.fromisoformat(text) if isinstance(text, str) else _no_day(text)
        except ValueError:
            return _no_day(text)


class GuardsPart(_Part):
    """Limits of its own, in percent, above which it is paused; null for none. What is left out is the company's."""

    unsubscribe_percent: float | None = Field(None, ge=0, le=100)
    complaint_percent: float | None = Field(None, ge=0, le=100)
    bounce_percent: float | None = Field(None, ge=0, le=100)
    cap_block_percent: float | None = Field(None, ge=0, le=100)
    after: int = Field(100, ge=1, le=1_000_000)


class CampaignDocument(_Part):
    """A trigger bound to a message. What is left out has its default; `quiet_hours` null means none."""

    id: Id
    name: Name
    description: str = Field("", max_length=2000)
    trigger: TriggerName
    class_: Literal["marketing", "transactional", "service"] = Field("marketing", alias="class")
    channel: Literal["email", "sms", "webhook", "call"]
    template: Id
    quiet_hours: QuietHoursPart | None = None
    cap: CapPart | None = None
    holdout_percent: float = Field(0, ge=0, le=50)
    valid_for: str = "3d"
    priority: int = Field(50, ge=0, le=100)
    cost: str = Field("0", pattern=AMOUNT)
    goal: GoalPart | None = None
    guards: GuardsPart | None = None

    @field_validator("valid_for")
    @classmethod
    def _is_span(cls, text: str) -> str:
        span_of(text)
        return text


class Library(msgspec.Struct, frozen=True):
    """The active campaigns, by id, and by trigger in the order in which they are decided."""

    by_id: Mapping[str, Campaign]
    by_trigger: Mapping[str, Sequence[Campaign]]


def faults_in(document: Mapping[str, object]) -> list[Fault]:
    """Everything that is wrong with what somebody wrote; nothing when it can be kept."""
    try:
        CampaignDocument.model_validate(document)
    except ValidationError as error:
        # The pointers are those of a request with the document as its body.
        found = error.errors(include_url=False, include_context=False, include_input=False)
        return faults_of([{**each, "loc": ("body", *each["loc"])} for each in found])
    return []


def span_of(text: str) -> timedelta:
    """ValueError, saying how a span is written, for what is none."""
    found = _SPAN.match(text)
    span = timedelta(seconds=int(found[1]) * _SECONDS_OF[found[2]]) if found else None
    if span is None or span > _SPAN_MAX:
        raise ValueError(f'"{text}" is no span of up to a year; write a number and min, h, d or w, such as "7d"')
    return span


def compile_library(documents: Sequence[ActiveDocument]) -> Library:
    adapter = TypeAdapter(CampaignDocument)
    campaigns = [campaign_of(adapter.validate_json(each.body), each.version, each.ramp_percent) for each in documents]
    by_trigger: dict[str, list[Campaign]] = {}
    for campaign in sorted(campaigns, key=lambda each: (-each.priority, each.id)):
        by_trigger.setdefault(campaign.trigger, []).append(campaign)
    return Library({each.id: each for each in campaigns}, by_trigger)


def campaign_of(document: CampaignDocument, version: int, ramp_percent: int = 100) -> Campaign:
    cap = document.cap
    return Campaign(
        id=document.id,
        version=version,
        trigger=document.trigger,
        class_=document.class_,
        channel=document.channel,
        template=document.template,
        valid_for=span_of(document.valid_for),
        quiet=_quiet_of(document),
        cap=None if cap is None else Cap(cap.times, span_of(cap.per)),
        holdout_percent=document.holdout_percent,
        ramp_percent=ramp_percent,
        priority=document.priority,
        cost=document.cost,
        goal=goal_of(document),
    )


def goal_of(document: CampaignDocument) -> Goal | None:
    part = document.goal
    if part is None:
        return None
    return Goal(
        event=part.event,
        window=span_of(part.within),
        target_percent=part.target_percent,
        until=part.until,
        response_value=Decimal(part.response_value),
        currency=part.currency,
        margin_percent=part.margin_percent,
        planned_people=part.planned_people,
    )


def _quiet_of(document: CampaignDocument) -> QuietHours | None:
    if "quiet_hours" not in document.model_fields_set:
        by_default = document.class_ == MARKETING and document.channel in _QUIET_CHANNELS
        return QUIET_BY_DEFAULT if by_default else None
    part = document.quiet_hours
    if part is None:
        return None
    return QuietHours(_minute(part.from_), _minute(part.to), None if part.zone == CUSTOMER_ZONE else part.zone)


def _no_day(text: object) -> date:
    raise ValueError(f'"{text}" is no day; write year, month and day, such as "2026-12-31"')


def _minute(text: str) -> int:
    hours, minutes = text.split(":")
    return int(hours) * 60 + int(minutes)
